//! What a being's store holds of its memories.
//!
//! | table | what it holds |
//! |---|---|
//! | `memories` | each memory, by its id |
//! | `memory_gists` | of each, what finding it needs: made from the memory, and made again when missing |
//! | `memory_terms` | in how many of the settled memories each term is |
//! | `memory_settled` | through which id memories are settled, and by what gists were made |
//! | `memory_renewal` | while settled memories get vectors of another embedder: how far that has come |
//! | `memory_forgotten` | ids of removed memories of which the index may still have bytes |
//! | `memory_next` | the id that comes next |
//!
//! A memory is settled when it is in the index, its terms are counted and its gist has its vector.
//!
//! In a large store damage may be met, and it is lived on with. A gist that is damaged counts as
//! missing; a memory that is, is passed over by whatever goes through many, and told to whoever
//! asks for it. The store itself remembers that it met damage.

mod renewal;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Range, RangeBounds, RangeInclusive};

use genii_protocols::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ranking::{Candidate, Question, Statistics};
use crate::store::{Reader, Remains, StoreError, Table, Writer};
use crate::text::{self, Analysis};
use crate::vector::{Aim, Vector};

pub(super) use renewal::{Renewal, end_renewal, renew, standing, turn_to};

use super::memory::{Memory, MemoryKind, NewMemory};

pub(super) const MEMORIES: Table<u64, Memory> = Table::new("memories");
const GISTS: Table<u64, Gist> = Table::new("memory_gists");
const TERMS: Table<String, u64> = Table::new("memory_terms");
const SETTLED: Table<(), Settled> = Table::new("memory_settled");
const RENEWAL: Table<(), Renewal> = Table::new("memory_renewal");
const FORGOTTEN: Table<u64, ()> = Table::new("memory_forgotten");
const NEXT: Table<(), u64> = Table::new("memory_next");

/// Which form gists have. It goes up with every change of [`Gist`].
const GIST_VERSION: u32 = 1;

/// What a filter needs to know of a memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Brief {
    pub(super) at: Timestamp,
    pub(super) kind: MemoryKind,
    pub(super) speaker: Option<String>,
    pub(super) turn: Option<u64>,
    pub(super) replaced_by: Option<u64>,
}

/// What finding a memory needs, so that nothing is analysed or embedded twice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Gist {
    pub(super) brief: Brief,
    pub(super) analysis: Analysis,
    /// Made after the memory is kept, because that may take long. One of another embedder is never read:
    /// [`Renewal`] tells it apart.
    pub(super) vector: Option<Vector>,
}

impl Gist {
    pub(super) fn of(memory: &Memory) -> Self {
        let analysis = Analysis::new(&memory.text, memory.speaker.as_deref(), memory.at);
        Self::with(memory, analysis)
    }

    /// That of a memory with this analysis.
    pub(super) fn with(memory: &Memory, analysis: Analysis) -> Self {
        let Memory { at, kind, turn, replaced_by, .. } = *memory;
        let speaker = memory.speaker.clone();
        Self { brief: Brief { at, kind, speaker, turn, replaced_by }, analysis, vector: None }
    }

    /// As a candidate for a question with this vector.
    pub(super) fn candidate(&self, id: u64, aim: &Aim) -> Candidate<'_> {
        let similarity = self.vector.as_ref().map(|own| own.cosine(aim));
        Candidate { id, at: self.brief.at, analysis: &self.analysis, similarity }
    }

    /// About how many bytes it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        let speaker = self.brief.speaker.as_ref().map_or(0, String::capacity);
        let vector = self.vector.as_ref().map_or(0, |vector| vector.numbers().len());
        size_of::<Self>() + speaker + self.analysis.heap_bytes() + vector
    }

    /// Its terms, each once.
    fn terms(&self) -> BTreeSet<&str> {
        self.analysis.terms.iter().collect()
    }
}

/// Which memories are settled, and by what they were.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Settled {
    /// The analyser, the embedder and the form of gists; as long as there is a [`Renewal`], without the
    /// embedder.
    made_by: String,
    /// All memories through this id.
    through: u64,
    /// How many they are.
    memories: u64,
    /// How many terms they have together.
    terms: u64,
}

impl Settled {
    fn nothing(made_by: &str) -> Self {
        Self { made_by: made_by.to_owned(), through: 0, memories: 0, terms: 0 }
    }
}

/// Everything that gists, counts and index depend on, but for vectors.
pub(super) fn analysed_by() -> String {
    format!("gist-v{GIST_VERSION} text-v{}", text::VERSION)
}

/// Everything that gists, counts and index depend on.
pub(super) fn made_by(embedder: &str) -> String {
    format!("{} {embedder}", analysed_by())
}

/// Whether a table holds only what is made of memories.
pub(super) fn is_made_anew(table: &str) -> bool {
    [GISTS.name(), TERMS.name(), SETTLED.name(), RENEWAL.name()].contains(&table)
}

/// Whether a table is one of memories.
pub(super) fn is_own(table: &str) -> bool {
    is_made_anew(table) || [MEMORIES.name(), FORGOTTEN.name(), NEXT.name()].contains(&table)
}

/// Keeps a memory.
pub(super) fn put(writer: &mut Writer, new: &NewMemory) -> Result<Memory, StoreError> {
    let memory = new.with_id(writer.get(NEXT, &())?.unwrap_or(1));
    let next = memory.id.checked_add(1);
    let next = next.ok_or(StoreError::NoNumber { table: MEMORIES.name() })?;
    writer.insert(NEXT, &(), &next)?;
    writer.insert(MEMORIES, &memory.id, &memory)?;
    writer.insert(GISTS, &memory.id, &Gist::of(&memory))?;
    Ok(memory)
}

/// Writes down that a memory no longer holds.
pub(super) fn outdate(writer: &mut Writer, old: Memory, by: &Memory) -> Result<(), StoreError> {
    let mut gist = gist(writer, &old)?;
    gist.brief.replaced_by = Some(by.id);
    let old = Memory { until: Some(by.at), replaced_by: Some(by.id), ..old };
    writer.insert(GISTS, &old.id, &gist)?;
    writer.insert(MEMORIES, &old.id, &old).map(drop)
}

/// Removes memories and everything that was made of them; those that there were.
pub(super) fn remove(writer: &mut Writer, ids: &[u64]) -> Result<Vec<Memory>, StoreError> {
    let mut settled = match writer.get(SETTLED, &()) {
        // It is all counted anew at the next opening.
        Err(StoreError::Damaged { .. }) => None,
        settled => settled?,
    };
    let (mut removed, mut counts) = (Vec::new(), BTreeMap::<String, u64>::new());
    for id in ids.iter().copied().collect::<BTreeSet<_>>() {
        let Some(memory) = writer.take(MEMORIES, &id)? else { continue };
        let gist = gist(writer, &memory)?;
        writer.remove(GISTS, &id)?;
        if let Some(settled) = settled.as_mut().filter(|settled| id <= settled.through) {
            settled.memories = settled.memories.saturating_sub(1);
            let terms = gist.analysis.terms.len() as u64;
            settled.terms = settled.terms.saturating_sub(terms);
            count(&mut counts, &gist);
        }
        writer.insert(FORGOTTEN, &id, &())?;
        removed.push(memory);
    }
    for (term, count) in counts {
        match writer.get(TERMS, &term)?.unwrap_or_default().saturating_sub(count) {
            0 => writer.remove(TERMS, &term)?,
            left => writer.insert(TERMS, &term, &left)?,
        };
    }
    if let Some(settled) = settled {
        writer.insert(SETTLED, &(), &settled)?;
    }
    Ok(removed)
}

/// Settles what is kept through an id: counts its terms and completes its gists. What was settled
/// already is left alone, so that it does no harm to do this again.
pub(super) fn settle(
    writer: &mut Writer,
    made_by: &str,
    through: u64,
    vectors: &BTreeMap<u64, Vector>,
) -> Result<(), StoreError> {
    let before = writer.get(SETTLED, &())?;
    let mut settled = before.unwrap_or_else(|| Settled::nothing(made_by));
    if through <= settled.through {
        return Ok(());
    }
    let mut counts = BTreeMap::new();
    for (memory, mut gist) in some(writer, settled.through + 1..=through, usize::MAX)? {
        count(&mut counts, &gist);
        settled.memories += 1;
        settled.terms += gist.analysis.terms.len() as u64;
        gist.vector = vectors.get(&memory.id).cloned().or(gist.vector);
        writer.insert(GISTS, &memory.id, &gist)?;
    }
    for (term, count) in counts {
        let counted = writer.get(TERMS, &term)?.unwrap_or_default();
        writer.insert(TERMS, &term, &(counted + count))?;
    }
    settled.through = through;
    writer.insert(SETTLED, &(), &settled).map(drop)
}

fn count(counts: &mut BTreeMap<String, u64>, gist: &Gist) {
    for term in gist.terms() {
        match counts.get_mut(term) {
            Some(count) => *count += 1,
            None => drop(counts.insert(term.to_owned(), 1)),
        }
    }
}

/// Keeps vectors of memories, so that they need not be made again.
pub(super) fn save(writer: &mut Writer, vectors: &BTreeMap<u64, Vector>) -> Result<(), StoreError> {
    for (id, vector) in vectors {
        let memory = match writer.get(MEMORIES, id) {
            // Passed over, as wherever it is met.
            Err(StoreError::Damaged { .. }) => continue,
            memory => memory?,
        };
        let Some(memory) = memory else { continue };
        let gist = Gist { vector: Some(vector.clone()), ..gist(writer, &memory)? };
        writer.insert(GISTS, id, &gist)?;
    }
    Ok(())
}

/// The highest id that is taken to have been given: what was imported may say anything of itself.
const ID_MAX: u64 = u64::MAX / 2;

/// Brings to agree what is left of memories in a store that has lost some entries. What was made of them is
/// made anew. `named` is the highest id that something else names.
pub(super) fn mend(
    writer: &mut Writer,
    remains: &mut Remains,
    named: u64,
) -> Result<(), StoreError> {
    remains.keep_readable(writer, MEMORIES)?;
    remains.keep_readable(writer, FORGOTTEN)?;
    remains.keep_readable(writer, NEXT)?;
    let lost = remains.table(MEMORIES.name()).map_or(0, |table| table.lost);
    let last = writer.last(MEMORIES)?.map_or(0, |(id, _)| id);
    let said = writer.get(NEXT, &())?;
    // One from before the last write knows nothing of what was kept with that.
    let next = match said.filter(|_| remains.are_all) {
        Some(next) => next.max(last.saturating_add(1)),
        None => {
            let forgotten = writer.last(FORGOTTEN)?.map_or(0, |(id, ())| id);
            let gist = remains.table(GISTS.name()).and_then(|gists| gists.last_number);
            let last = last.max(forgotten).max(gist.unwrap_or(0)).max(named);
            let last = last.saturating_add(lost).min(ID_MAX).max(last);
            said.unwrap_or(1).max(last.saturating_add(1))
        }
    };
    writer.insert(NEXT, &(), &next)?;
    writer.remove_range(GISTS, ..)?;
    writer.remove_range(TERMS, ..)?;
    writer.remove(RENEWAL, &())?;
    writer.remove(SETTLED, &()).map(drop)
}

/// Keeps a memory once more under the id that it had, if it was lost; whether it was. Its gist is made like those
/// of the others, which [`mend`] has removed.
pub(super) fn put_again(writer: &mut Writer, id: u64, new: &NewMemory) -> Result<bool, StoreError> {
    let was_given = (1..next_id(writer)?).contains(&id);
    if !was_given || writer.contains(MEMORIES, &id)? || writer.contains(FORGOTTEN, &id)? {
        return Ok(false);
    }
    writer.insert(MEMORIES, &id, &new.with_id(id))?;
    Ok(true)
}

/// The first memories of a range, with their gists.
pub(super) fn some(
    reader: &Reader,
    range: RangeInclusive<u64>,
    limit: usize,
) -> Result<Vec<(Memory, Gist)>, StoreError> {
    let walk = reader.range(MEMORIES, range.clone()).take(limit);
    let memories: Result<Vec<Memory>, StoreError> = walk.map(|entry| Ok(entry?.1)).collect();
    let memories = match memories {
        Err(StoreError::Damaged { .. }) => readable(reader, in_use(reader, range)?, limit)?,
        memories => memories?,
    };
    with_gists(reader, memories)
}

/// The gists of the first memories of a range, of those that there are.
pub(super) fn some_gists(
    reader: &Reader,
    range: RangeInclusive<u64>,
    limit: usize,
) -> Result<Vec<(u64, Gist)>, StoreError> {
    // Mostly each memory has one, and need not be read.
    if reader.len(GISTS)? == reader.len(MEMORIES)? {
        let walk = reader.range(GISTS, range.clone()).take(limit);
        match walk.collect::<Result<Vec<(u64, Gist)>, StoreError>>() {
            Err(StoreError::Damaged { .. }) => {}
            gists => {
                let (mut gists, renewal) = (gists?, renewal::going_on(reader)?);
                gists.iter_mut().for_each(|(id, gist)| {
                    renewal::without_outdated(renewal.as_ref(), *id, gist);
                });
                return Ok(gists);
            }
        }
    }
    let some = some(reader, range, limit)?;
    Ok(some.into_iter().map(|(memory, gist)| (memory.id, gist)).collect())
}

/// The newest memories after an id, with their gists, the oldest of them first.
pub(super) fn newest(
    reader: &Reader,
    after: u64,
    limit: usize,
) -> Result<Vec<(Memory, Gist)>, StoreError> {
    let range = after.saturating_add(1)..=u64::MAX;
    let walk = reader.range(MEMORIES, range.clone()).rev().take(limit);
    let newest: Result<Vec<Memory>, StoreError> = walk.map(|entry| Ok(entry?.1)).collect();
    let mut newest = match newest {
        Err(StoreError::Damaged { .. }) => readable(reader, in_use(reader, range)?.rev(), limit)?,
        newest => newest?,
    };
    newest.reverse();
    with_gists(reader, newest)
}

/// Memories, of those that there are and can be read.
pub(super) fn memories(
    reader: &Reader,
    ids: impl Iterator<Item = u64> + Clone,
) -> Result<Vec<Memory>, StoreError> {
    match reader.get_all(MEMORIES, ids.clone()) {
        Err(StoreError::Damaged { .. }) => readable(reader, ids, usize::MAX),
        memories => Ok(memories?.into_iter().map(|(_, memory)| memory).collect()),
    }
}

/// Whether there is a memory with an id in a range.
pub(super) fn has_any(reader: &Reader, range: impl RangeBounds<u64>) -> Result<bool, StoreError> {
    match reader.range(MEMORIES, range).next() {
        // It can't be read, and is there.
        Some(Err(StoreError::Damaged { .. })) => Ok(true),
        first => Ok(first.transpose()?.is_some()),
    }
}

/// The ids of a range that have been given out.
fn in_use(reader: &Reader, range: RangeInclusive<u64>) -> Result<Range<u64>, StoreError> {
    let next = next_id(reader)?;
    Ok(*range.start()..next.min(range.end().saturating_add(1)))
}

/// The first of some memories that can be read. They are looked for one by one, since a walk ends
/// at what is damaged.
fn readable(
    reader: &Reader,
    ids: impl Iterator<Item = u64>,
    limit: usize,
) -> Result<Vec<Memory>, StoreError> {
    let (mut readable, mut first_damage, mut count) = (Vec::new(), None, 0_u64);
    for id in ids {
        if readable.len() >= limit {
            break;
        }
        match reader.get(MEMORIES, &id) {
            Err(damage @ StoreError::Damaged { .. }) => {
                count += 1;
                first_damage = first_damage.or(Some(damage));
            }
            memory => readable.extend(memory?),
        }
    }
    if let Some(first) = first_damage {
        tracing::warn!(count, "memories are damaged and are passed over, the first since {first}");
    }
    Ok(readable)
}

fn with_gists(reader: &Reader, memories: Vec<Memory>) -> Result<Vec<(Memory, Gist)>, StoreError> {
    let renewal = renewal::going_on(reader)?;
    let with_gist = |memory: Memory| {
        let mut gist = gist(reader, &memory)?;
        renewal::without_outdated(renewal.as_ref(), memory.id, &mut gist);
        Ok((memory, gist))
    };
    memories.into_iter().map(with_gist).collect()
}

/// The gist of a memory, with a vector of whichever embedder.
fn gist(reader: &Reader, memory: &Memory) -> Result<Gist, StoreError> {
    Ok(kept_gist(reader, memory.id)?.unwrap_or_else(|| Gist::of(memory)))
}

/// The gist that is kept of a memory, if it can be read.
fn kept_gist(reader: &Reader, id: u64) -> Result<Option<Gist>, StoreError> {
    match reader.get(GISTS, &id) {
        Err(StoreError::Damaged { .. }) => Ok(None),
        gist => gist,
    }
}

/// The gists of memories, of those that there are.
pub(super) fn gists_of(
    reader: &Reader,
    ids: &BTreeSet<u64>,
) -> Result<BTreeMap<u64, Gist>, StoreError> {
    let mut runs: Vec<RangeInclusive<u64>> = Vec::new();
    for id in ids {
        match runs.last_mut() {
            // Over one that is not wanted it is quicker to read on than to look for the next.
            Some(run) if id - run.end() <= 2 => *run = *run.start()..=*id,
            _ => runs.push(*id..=*id),
        }
    }
    let mut gists = match reader.within(GISTS, runs, |id| ids.contains(id)) {
        Err(StoreError::Damaged { .. }) => readable_gists(reader, ids)?,
        gists => gists?.into_iter().collect::<BTreeMap<u64, Gist>>(),
    };
    let renewal = renewal::going_on(reader)?;
    gists.iter_mut().for_each(|(id, gist)| {
        renewal::without_outdated(renewal.as_ref(), *id, gist);
    });
    let missing = ids.iter().copied().filter(|id| !gists.contains_key(id)).collect::<Vec<_>>();
    let memories = match reader.get_all(MEMORIES, missing.iter().copied()) {
        Err(StoreError::Damaged { .. }) => readable(reader, missing.into_iter(), usize::MAX)?,
        memories => memories?.into_iter().map(|(_, memory)| memory).collect(),
    };
    gists.extend(memories.iter().map(|memory| (memory.id, Gist::of(memory))));
    Ok(gists)
}

/// Of some gists those that can be read.
fn readable_gists(reader: &Reader, ids: &BTreeSet<u64>) -> Result<BTreeMap<u64, Gist>, StoreError> {
    let kept = |id: &u64| kept_gist(reader, *id).map(|gist| gist.map(|gist| (*id, gist)));
    ids.iter().filter_map(|id| kept(id).transpose()).collect()
}

/// What the settled memories add to the counts that ranking goes by, and through which id they are.
pub(super) fn counts(
    reader: &Reader,
    question: &Question,
) -> Result<(Statistics, u64), StoreError> {
    let settled = match reader.get(SETTLED, &()) {
        // Ranking goes by what else is counted, and the next opening makes it anew.
        Err(StoreError::Damaged { .. }) => None,
        settled => settled?,
    };
    let Some(settled) = settled else { return Ok(Default::default()) };
    let Settled { through, memories, terms, .. } = settled;
    let mut frequencies = BTreeMap::new();
    for term in question.terms().map(str::to_owned) {
        if let Some(count) = reader.get(TERMS, &term)? {
            frequencies.insert(term, count);
        }
    }
    Ok((Statistics { memories, terms, frequencies }, through))
}

/// What one memory adds to these counts.
pub(super) fn count_one(statistics: &mut Statistics, question: &Question, gist: &Gist) {
    let terms = gist.terms();
    statistics.memories += 1;
    statistics.terms += gist.analysis.terms.len() as u64;
    for term in question.terms().filter(|term| terms.contains(term)) {
        *statistics.frequencies.entry(term.to_owned()).or_default() += 1;
    }
}

/// The id that comes next.
pub(super) fn next_id(reader: &Reader) -> Result<u64, StoreError> {
    Ok(reader.get(NEXT, &())?.unwrap_or(1))
}

/// The removed memories of which the index may still have bytes.
pub(super) fn forgotten(reader: &Reader) -> Result<BTreeSet<u64>, StoreError> {
    reader.range(FORGOTTEN, ..).map(|entry| Ok(entry?.0)).collect()
}

/// Writes down that nothing is left of removed memories.
pub(super) fn are_gone(writer: &mut Writer, ids: &BTreeSet<u64>) -> Result<(), StoreError> {
    ids.iter().try_for_each(|id| writer.remove(FORGOTTEN, id).map(drop))
}
