//! What is kept when the embedder changes: all but vectors. They are made anew in the order of ids, and until
//! one is, the old one counts as none.
//!
//! | `made_by` of what is settled | what is there |
//! |---|---|
//! | the analyser and this embedder | everything |
//! | the analyser alone, and a renewal of this embedder | vectors, so far as the renewal has come |
//! | the same analyser, and another embedder | no vectors: a renewal begins |
//! | anything else | nothing: it is all made anew |

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{GISTS, Gist, RENEWAL, SETTLED, Settled, TERMS, analysed_by, save};
use crate::store::{Reader, StoreError, Writer};
use crate::vector::Vector;

/// Making vectors anew of what was settled when the embedder changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::memories) struct Renewal {
    /// The analyser, the embedder that makes them and the form of gists.
    made_by: String,
    /// All memories through this id have theirs.
    pub(in crate::memories) through: u64,
    /// Those after that have, through this id, none or one of an earlier embedder. Whatever comes later has none
    /// but of this embedder.
    pub(in crate::memories) last: u64,
}

impl Renewal {
    /// Whether the vector that is kept of a memory is of an earlier embedder.
    pub(in crate::memories) fn is_due(&self, id: u64) -> bool {
        self.through < id && id <= self.last
    }

    /// Whether all vectors are made.
    pub(in crate::memories) fn is_over(&self) -> bool {
        self.through >= self.last
    }
}

/// The renewal that goes on, if one does. Of one that is damaged it is not known how far it has come: until it begins
/// again, no vector is of this embedder.
pub(super) fn going_on(reader: &Reader) -> Result<Option<Renewal>, StoreError> {
    match reader.get(RENEWAL, &()) {
        Err(StoreError::Damaged { .. }) => {
            Ok(Some(Renewal { made_by: String::new(), through: 0, last: u64::MAX }))
        }
        renewal => renewal,
    }
}

/// Takes the vector of an earlier embedder out of what was read.
pub(super) fn without_outdated(renewal: Option<&Renewal>, id: u64, gist: &mut Gist) {
    if renewal.is_some_and(|renewal| renewal.is_due(id)) {
        gist.vector = None;
    }
}

/// Through which id memories are settled, and the renewal if one goes on; `None` if what is kept was made by
/// something else.
pub(in crate::memories) fn standing(
    reader: &Reader,
    made_by: &str,
) -> Result<Option<(u64, Option<Renewal>)>, StoreError> {
    let (settled, renewal) = match (reader.get(SETTLED, &()), reader.get(RENEWAL, &())) {
        // It is made anew, or begins again.
        (Err(StoreError::Damaged { .. }), _) | (_, Err(StoreError::Damaged { .. })) => {
            return Ok(None);
        }
        (settled, renewal) => (settled?, renewal?),
    };
    let Some(settled) = settled else { return Ok(None) };
    let is_of_this = match &renewal {
        None => settled.made_by == made_by,
        Some(renewal) => renewal.made_by == made_by && settled.made_by == analysed_by(),
    };
    Ok(is_of_this.then_some((settled.through, renewal)))
}

/// Throws away what was made by something else, so that it is made anew: vectors, if only the embedder has
/// changed. What [`standing`] tells from then on.
pub(in crate::memories) fn turn_to(
    writer: &mut Writer,
    made_by: &str,
) -> Result<(u64, Option<Renewal>), StoreError> {
    writer.remove(RENEWAL, &())?;
    let settled = match writer.get(SETTLED, &()) {
        Err(StoreError::Damaged { .. }) => None,
        settled => settled?,
    };
    let Some(settled) = settled.filter(|settled| settled.through > 0 && is_analysed_so(settled))
    else {
        unsettle(writer, made_by)?;
        return Ok((0, None));
    };
    let last = settled.through;
    // What is not settled gets its vector before it is.
    writer.remove_range(GISTS, last + 1..)?;
    let renewal = Renewal { made_by: made_by.to_owned(), through: 0, last };
    writer.insert(RENEWAL, &(), &renewal)?;
    writer.insert(SETTLED, &(), &Settled { made_by: analysed_by(), ..settled })?;
    Ok((last, Some(renewal)))
}

/// Keeps the vectors that a renewal has made of the memories through an id. A memory that has none by then can't
/// be read, and its gist goes: the vector in that is of an earlier embedder.
pub(in crate::memories) fn renew(
    writer: &mut Writer,
    through: u64,
    vectors: &BTreeMap<u64, Vector>,
) -> Result<(), StoreError> {
    let Some(renewal) = writer.get(RENEWAL, &())? else { return Ok(()) };
    save(writer, vectors)?;
    let through = renewal.through.max(through);
    let mut from = renewal.through + 1;
    for id in vectors.keys().copied().chain([through.saturating_add(1)]) {
        if from < id {
            writer.remove_range(GISTS, from..id)?;
        }
        from = from.max(id.saturating_add(1));
    }
    writer.insert(RENEWAL, &(), &Renewal { through, ..renewal }).map(drop)
}

/// Writes down that everything is made by this, the index too.
pub(in crate::memories) fn end_renewal(
    writer: &mut Writer,
    made_by: &str,
) -> Result<(), StoreError> {
    if let Some(settled) = writer.get(SETTLED, &())? {
        writer.insert(SETTLED, &(), &Settled { made_by: made_by.to_owned(), ..settled })?;
    }
    writer.remove(RENEWAL, &()).map(drop)
}

fn unsettle(writer: &mut Writer, made_by: &str) -> Result<(), StoreError> {
    writer.remove_range(GISTS, ..)?;
    writer.remove_range(TERMS, ..)?;
    writer.insert(SETTLED, &(), &Settled::nothing(made_by)).map(drop)
}

/// Whether terms were counted by this analyser, whatever made the vectors.
fn is_analysed_so(settled: &Settled) -> bool {
    let rest = settled.made_by.strip_prefix(&analysed_by());
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
}
