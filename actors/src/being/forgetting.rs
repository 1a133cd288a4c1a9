//! Forgetting for good: when it is answered, nothing of what was forgotten is left in the folder.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use genii_protocols::Timestamp;
use genii_protocols::being::{AtStake, Forgettable, Forgotten, NotKept, WouldForget};
use genii_storage::index::IndexError;
use genii_storage::memories::{Memories, MemoriesError, Memory, MemoryKind, PAGE_MAX};
use genii_storage::store::{StoreError, Writer};
use genii_storage::text::spelt_words;

use super::consolidating::Derived;
use super::conversation::{Place, UNFINISHED};
use super::mind::{Mind, newest_turns, with_causes, without_words};
use super::provider::offline;
use super::tables::{DERIVED, FACTS, REMINDERS, REWRITE_OWED, StoredReminder, StoredTurn, TURNS};
use super::{interruption, recollection, reminding};

/// How long a text may be that is looked for in all that is remembered.
const MATCHING_CHARS_MAX: usize = 1_000;

/// How many are shown of what would go, of each sort, unless it is said otherwise, and at most.
const SHOWN: (u32, u32) = (10, 200);

/// How often the store is written anew because something was removed meanwhile.
const REWRITES_MAX: usize = 8;

/// Whether something was removed whose bytes may still lie in the file. That is written down with it;
/// here it is counted, so that what is removed while the file is written anew is not taken for gone.
#[derive(Clone, Default)]
pub(super) struct Owed(Arc<AtomicU64>);

impl Owed {
    /// Writes down that the file is to be written anew.
    pub(super) fn owe(&self, writer: &mut Writer) -> Result<(), StoreError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        writer.insert(REWRITE_OWED, &(), &()).map(drop)
    }

    fn count(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// Why a turn has no answer any more.
const ANSWER_FORGOTTEN: &str = "its answer quoted what was forgotten";

/// What genii says itself of why a turn has no answer; also what it said before it told more.
const OWN_WORDS: [&str; 3] =
    [ANSWER_FORGOTTEN, UNFINISHED, "it was not answered to the end: genii ended meanwhile"];

/// What is to go.
#[derive(Debug, Clone, Default)]
struct Going {
    memories: BTreeSet<u64>,
    turns: BTreeSet<u64>,
    /// Those of the turns that are not there, since damage took them. What was made of them goes all the same.
    lost: BTreeSet<u64>,
    /// Turns that stay, but for their answers.
    answers: BTreeSet<u64>,
    reminders: BTreeSet<u64>,
}

impl Going {
    fn counts(&self) -> Forgotten {
        Forgotten {
            memories: self.memories.len() as u64,
            turns: self.turns_there().len() as u64,
            answers: self.answers.len() as u64,
            reminders: self.reminders.len() as u64,
        }
    }

    fn turns_there(&self) -> BTreeSet<u64> {
        &self.turns - &self.lost
    }

    /// Removes it, and what was made of it since it was looked for; and what that adds to it.
    fn remove(mut self, writer: &mut Writer) -> Result<Self, StoreError> {
        for entry in writer.range(DERIVED, ..) {
            let (memory, derived) = entry?;
            if derived.is_of_any(&self.turns) || derived.is_of_any(&self.answers) {
                self.memories.insert(memory);
            }
        }
        let memories: Vec<u64> = self.memories.iter().copied().collect();
        Memories::remove(writer, &memories)?;
        for memory in &memories {
            writer.remove(DERIVED, memory)?;
        }
        writer.retain(FACTS, .., |_, memory| !self.memories.contains(memory))?;
        for turn in &self.turns {
            writer.remove(TURNS, turn)?;
        }
        for id in &self.answers {
            if let Some(mut turn) = writer.get(TURNS, id)? {
                without_answer(&mut turn);
                writer.insert(TURNS, id, &turn)?;
            }
        }
        for reminder in &self.reminders {
            writer.remove(REMINDERS, reminder)?;
        }
        Ok(self)
    }
}

/// Leaves of a turn what was said.
fn without_answer(turn: &mut StoredTurn) {
    turn.answer = None;
    turn.failure = Some(ANSWER_FORGOTTEN.to_owned());
    turn.memories.truncate(1);
}

/// Forgets.
pub(super) async fn forget(
    mind: &Arc<Mind>,
    place: Place,
    what: Forgettable,
) -> Result<Forgotten, NotKept> {
    let going = {
        // Nothing is said meanwhile that would belong to it, nor does another being answer.
        let _turn = place.turn().await;
        let _saying = mind.saying.lock().await;
        // What it was told before goes, too.
        mind.keeping.is_done().await;
        let going = look(mind, what).await?;
        // What was lost with damage is not found, and lies in the damaged file for all that.
        if going.counts() == Forgotten::default() && !mind.store.keeps_damaged() {
            going
        } else {
            let owed = mind.owed.clone();
            let removed = mind.store.write(move |writer| {
                owed.owe(writer)?;
                going.clone().remove(writer)
            });
            let gone = removed.await.map_err(|error: StoreError| not_removed(&error))?;
            // Older ones come up in the place of those that went. If none can be read, there are none: better
            // than those that were forgotten.
            let newest = mind.store.read(newest_turns);
            *mind.recent.lock() = newest.unwrap_or_default();
            gone
        }
    };
    // What is left is to be done to files, and may take long: it can be spoken to meanwhile.
    let memories: Vec<u64> = going.memories.iter().copied().collect();
    // Also where nothing was found: what was removed before may not be gone for good yet.
    let purged = mind.memories.purge(&memories).await;
    let finished = finish(mind).await;
    purged.map_err(|error| not_purged(&error))?;
    finished.map_err(not_rewritten)?;
    Ok(going.counts())
}

/// Why all is as it was.
fn not_removed(error: &StoreError) -> NotKept {
    NotKept { why: format!("it could not be forgotten: {}", with_causes(error)) }
}

/// How it begins that something was forgotten, but not for good.
const TRACES: &str = "what was to be forgotten is recalled no more, but traces of it are left in";

/// Why there are traces in the index.
fn not_purged(error: &MemoriesError) -> NotKept {
    const AGAIN: &str = "; forget the same once more";
    let (why, remedy) = match error {
        // They say themselves what to do.
        MemoriesError::Index(full @ IndexError::NoSpace { .. }) => (full.to_string(), ""),
        MemoriesError::Store(full @ StoreError::Full { .. }) => (full.to_string(), ""),
        // That the memories are safe is not what whoever forgets wants to hear.
        MemoriesError::Index(error) => (with_causes(error), AGAIN),
        MemoriesError::Embed(error) => (with_causes(error), AGAIN),
        error => (with_causes(error), AGAIN),
    };
    NotKept { why: format!("{TRACES} the index of its memories: {why}{remedy}") }
}

/// Why there are traces in the store.
fn not_rewritten(NotKept { why }: NotKept) -> NotKept {
    NotKept { why: format!("{TRACES} its store: {why}") }
}

/// Tells what would be forgotten.
pub(super) async fn would_forget(mind: &Arc<Mind>, asked: WouldForget) -> Result<AtStake, NotKept> {
    let limit = asked.limit.unwrap_or(SHOWN.0).clamp(1, SHOWN.1) as usize;
    // As when it is forgotten.
    mind.keeping.is_done().await;
    let going = look(mind, asked.what).await?;
    let shown = mind.store.read(|reader| {
        let newest =
            |ids: &BTreeSet<u64>| ids.iter().rev().take(limit).copied().collect::<Vec<_>>();
        let mut stake = AtStake {
            all: going.counts(),
            memories: Vec::new(),
            turns: Vec::new(),
            answering: Vec::new(),
            reminders: Vec::new(),
        };
        for id in newest(&going.memories) {
            let memory = Memories::find(reader, id)?;
            stake.memories.extend(memory.as_ref().map(recollection::memory));
        }
        for id in newest(&going.turns_there()) {
            stake.turns.extend(reader.get(TURNS, &id)?.map(super::shown));
        }
        for id in newest(&going.answers) {
            stake.answering.extend(reader.get(TURNS, &id)?.map(super::shown));
        }
        for id in newest(&going.reminders) {
            stake.reminders.extend(reader.get(REMINDERS, &id)?.map(reminding::told));
        }
        Ok::<_, StoreError>(stake)
    });
    shown.map_err(|error| not_kept(&error))
}

/// Looks for what is to go, beside others.
async fn look(mind: &Arc<Mind>, what: Forgettable) -> Result<Going, NotKept> {
    if let Forgettable::Matching { text } = &what
        && text.trim().is_empty()
    {
        return Err(NotKept { why: "name at least a word of what is to be forgotten".to_owned() });
    }
    if let Forgettable::Matching { text } = &what
        && text.chars().nth(MATCHING_CHARS_MAX).is_some()
    {
        let why = format!(
            "name what is to be forgotten in {MATCHING_CHARS_MAX} letters at most: a part of it is enough"
        );
        return Err(NotKept { why });
    }
    let mind = mind.clone();
    let going = tokio::task::spawn_blocking(move || going(&mind, &what)).await;
    going.map_err(|error| not_kept(&error))?.map_err(|error| not_kept(&error))
}

/// Writes the store anew if something was removed from it: until then its bytes lie in the file. Does
/// what was left undone when the disk was full, or genii ended. Of many that come at once most find it done:
/// what they removed before is in none of what is written after.
pub(super) async fn finish(mind: &Mind) -> Result<(), NotKept> {
    // What is not finished behind somebody's back stands in the log.
    let not_kept = |error: StoreError| NotKept { why: without_words(&error) };
    let _finishing = mind.finishing.lock().await;
    // What is removed from here on may be missed.
    mind.is_finish_awaited.store(false, Ordering::SeqCst);
    for _ in 0..REWRITES_MAX {
        let is_owed = mind.store.read(|reader| reader.contains(REWRITE_OWED, &()));
        if !is_owed.map_err(not_kept)? {
            return Ok(());
        }
        let (before, owed) = (mind.owed.count(), mind.owed.clone());
        mind.store.rewrite().await.map_err(not_kept)?;
        let settled = mind.store.write(move |writer| {
            if owed.count() == before {
                writer.remove(REWRITE_OWED, &())?;
            }
            Ok::<_, StoreError>(())
        });
        settled.await.map_err(not_kept)?;
    }
    let why = "it is removed, but its bytes may lie in the file until less else is removed";
    Err(NotKept { why: why.to_owned() })
}

/// A turn goes with any memory of it, and a memory with its turn; and with both go what was made of them,
/// and the answers that quote them. What somebody said that got such an answer stays.
fn going(mind: &Mind, what: &Forgettable) -> Result<Going, MemoriesError> {
    let derived = mind.store.read(|reader| {
        let all = reader.range(DERIVED, ..);
        all.collect::<Result<BTreeMap<u64, Derived>, StoreError>>()
    })?;
    let (mut going, mut quotes) = meant(mind, what, &derived)?;
    // What was made of it may have been quoted too, and so on. Each round finds more of what there is, or is
    // the last.
    loop {
        let before = going.counts();
        add_copies(mind, what, &derived, &mut quotes, &mut going)?;
        if going.counts() == before {
            return Ok(going);
        }
    }
}

/// What is meant itself, and what it says.
fn meant(
    mind: &Mind,
    what: &Forgettable,
    derived: &BTreeMap<u64, Derived>,
) -> Result<(Going, Quotes), MemoriesError> {
    let (mut going, mut quotes, mut of_turns) = (Going::default(), Quotes::default(), Vec::new());
    for_each_memory(mind, |memory| {
        // A note that a being made by itself is no part of the turn that it names.
        let turn = memory.turn.filter(|_| !derived.contains_key(&memory.id));
        // A turn that is not there itself is known by what is remembered of it.
        let is_of_it = matches!(what, Forgettable::Turn { id } if turn == Some(*id));
        if is_meant(&memory, what) {
            quotes.add(&memory.text);
            going.memories.insert(memory.id);
        } else if !is_of_it {
            return;
        }
        of_turns.extend(turn.map(|turn| (turn, memory.id)));
    })?;
    mind.store.read(|reader| {
        for (id, memory) in of_turns {
            // An answer may say what was not said to get it.
            let is_answer = |turn: StoredTurn| turn.memories.get(1) == Some(&memory);
            let by_words = matches!(what, Forgettable::Matching { .. });
            match by_words && reader.get(TURNS, &id)?.is_some_and(is_answer) {
                // It does not stay in the turn when it is remembered no more.
                true => going.answers.insert(id),
                false => going.turns.insert(id),
            };
        }
        for entry in reader.range(TURNS, ..) {
            let (id, turn) = entry?;
            if goes(&turn, what) {
                going.turns.insert(id);
            }
        }
        going.answers.retain(|id| !going.turns.contains(id));
        for entry in reader.range(REMINDERS, ..) {
            let (id, reminder) = entry?;
            if is_off(&reminder, what) {
                going.reminders.insert(id);
            }
        }
        for id in &going.turns {
            let Some(turn) = reader.get(TURNS, id)? else {
                going.lost.insert(*id);
                continue;
            };
            quotes.add(&turn.said);
            turn.answer.iter().for_each(|answer| quotes.add_quoted(answer));
        }
        Ok::<_, StoreError>(())
    })?;
    Ok((going, quotes))
}

/// Adds what repeats it, what was made of it, and what is remembered of turns that go; and to what is looked
/// for, what all of that says.
fn add_copies(
    mind: &Mind,
    what: &Forgettable,
    derived: &BTreeMap<u64, Derived>,
    quotes: &mut Quotes,
    Going { memories, turns, answers, .. }: &mut Going,
) -> Result<(), MemoriesError> {
    mind.store.read(|reader| {
        // What somebody says once more is theirs to say; what the being repeats is a copy, and so is what
        // a server says of it.
        for entry in reader.range(TURNS, ..) {
            let (id, turn) = entry?;
            let is_quoting =
                not_said(&turn).any(|part| quotes.are_in(part) || is_matching(part, what));
            if is_quoting && !turns.contains(&id) {
                answers.insert(id);
                memories.extend(turn.memories.get(1));
            }
        }
        Ok::<_, StoreError>(())
    })?;
    for_each_memory(mind, |memory| {
        let is_made_of_it = derived.get(&memory.id).is_some_and(|derived| {
            derived.is_of_any(turns) || derived.is_of_any(answers) || quotes.are_in(&memory.text)
        });
        // Of what it spoke of with another being, either may have repeated it.
        let is_with_another = memory.kind == MemoryKind::Turn && memory.turn.is_none();
        let is_copy = is_with_another && quotes.are_in(&memory.text);
        if is_made_of_it || is_copy || memory.turn.is_some_and(|turn| turns.contains(&turn)) {
            memories.insert(memory.id);
        }
        // What was made of it is looked for where it is quoted: others may have its words by themselves.
        if memories.contains(&memory.id) {
            quotes.add_quoted(&memory.text);
        }
    })
}

/// Whether a memory is meant itself.
fn is_meant(memory: &Memory, what: &Forgettable) -> bool {
    match what {
        Forgettable::Memory { id } => memory.id == *id,
        // What is remembered of a turn goes with it.
        Forgettable::Turn { .. } => false,
        Forgettable::Span { from, until } => is_within(memory.at, *from, *until),
        Forgettable::Matching { text } => {
            [Some(&memory.text), memory.speaker.as_ref(), memory.subject.as_ref()]
                .into_iter()
                .flatten()
                .any(|part| matches(part, text))
        }
    }
}

fn for_each_memory(mind: &Mind, mut look: impl FnMut(Memory)) -> Result<(), MemoriesError> {
    let mut after = None;
    loop {
        let page = mind.memories.page(after, PAGE_MAX)?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.id);
        page.into_iter().for_each(&mut look);
    }
}

fn goes(turn: &StoredTurn, what: &Forgettable) -> bool {
    match what {
        Forgettable::Memory { .. } => false,
        Forgettable::Turn { id } => turn.id == *id,
        Forgettable::Span { from, until } => is_within(turn.at, *from, *until),
        Forgettable::Matching { .. } => {
            let mut said = [Some(&turn.said), turn.speaker.as_ref()].into_iter().flatten();
            said.any(|part| is_matching(part, what))
        }
    }
}

fn is_matching(text: &str, what: &Forgettable) -> bool {
    matches!(what, Forgettable::Matching { text: wanted } if matches(text, wanted))
}

/// What there is of a turn beside what was said: the answer, or why there is none. What genii itself says
/// of that is nobody's to forget.
fn not_said(turn: &StoredTurn) -> impl Iterator<Item = &String> {
    let is_told = |why: &&String| !OWN_WORDS.contains(&why.as_str()) && !interruption::is_told(why);
    [turn.answer.as_ref(), turn.failure.as_ref().filter(is_told)].into_iter().flatten()
}

/// Whether a reminder is to go.
fn is_off(reminder: &StoredReminder, what: &Forgettable) -> bool {
    match what {
        Forgettable::Memory { .. } | Forgettable::Turn { .. } => false,
        Forgettable::Span { from, until } => is_within(reminder.made, *from, *until),
        Forgettable::Matching { text } => matches(&reminder.text, text),
    }
}

/// How many words a quote has from which it is known, and how many letters of it are looked at: who
/// answers without a model cuts what is longer.
const QUOTE_WORDS: usize = 3;
const QUOTE_CHARS_MAX: usize = 350;

/// Texts that may be quoted in others.
#[derive(Default)]
struct Quotes {
    /// Their words, by the first of them.
    long: HashMap<[String; QUOTE_WORDS], Vec<Vec<String>>>,
    /// All of them, also those of few words, as who answers without a model quotes them.
    quoted: HashSet<String>,
}

impl Quotes {
    /// A text that is looked for word by word.
    fn add(&mut self, text: &str) {
        self.add_quoted(text);
        let mut chars = 0;
        let mut words = spelt_words(text);
        let is_cut = |word: &String| {
            chars += word.chars().count() + 1;
            chars > QUOTE_CHARS_MAX
        };
        let cut_at = words.iter().position(is_cut).unwrap_or(words.len()).max(1);
        words.truncate(cut_at);
        if let Some(beginning) = words.first_chunk::<QUOTE_WORDS>().cloned() {
            self.long.entry(beginning).or_default().push(words);
        }
    }

    /// A text that is looked for only where it is quoted by who answers without a model.
    fn add_quoted(&mut self, text: &str) {
        let quoted = offline::within_quotes(text);
        if !quoted.is_empty() {
            self.quoted.insert(quoted);
        }
    }

    fn are_in(&self, text: &str) -> bool {
        if offline::quotes_in(text).any(|quote| self.quoted.contains(quote)) {
            return true;
        }
        if self.long.is_empty() {
            return false;
        }
        let words = spelt_words(text);
        (0..words.len().saturating_sub(QUOTE_WORDS - 1)).any(|at| {
            let rest = &words[at..];
            let beginning = rest.first_chunk::<QUOTE_WORDS>();
            let begun = beginning.and_then(|beginning| self.long.get(beginning));
            begun.is_some_and(|quotes| quotes.iter().any(|quote| rest.starts_with(quote)))
        })
    }
}

fn is_within(at: Timestamp, from: Timestamp, until: Timestamp) -> bool {
    at >= from && at < until
}

/// Whether words stand in a text, in their order, whatever lies between them but other words.
fn matches(text: &str, words: &str) -> bool {
    let (text, words) = (spelt_words(text), spelt_words(words));
    !words.is_empty() && text.windows(words.len()).any(|window| window == words)
}

fn not_kept(error: &dyn std::error::Error) -> NotKept {
    NotKept { why: with_causes(error) }
}

#[cfg(test)]
mod tests;
