//! Questions that were asked over a link and wait for their answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use genii_protocols::Fault;
use parking_lot::Mutex;
use slab::Slab;
use tokio::sync::oneshot;

use super::flowing::Flowing;
use super::lane::End;

/// How many slabs there are, so that threads seldom meet.
const SHARDS: usize = 16;

/// How many bits of a correlation tell the slab, and how many the place in it.
const SHARD_BITS: u32 = SHARDS.ilog2();
const INDEX_BITS: u32 = 24;

/// What comes back.
pub(crate) enum FarAnswer {
    /// A reply or a refusal, encoded.
    Reply(Bytes),
    /// What takes its place.
    Failed(Box<Fault>),
}

/// Who waits for what comes back.
enum Asker {
    /// For one answer.
    One(oneshot::Sender<FarAnswer>),
    /// For many.
    Many(Arc<Flowing>),
    /// A person, for what a command says.
    Person(Arc<Flowing>),
}

/// A moment among the questions of a link.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark(u64);

/// The questions of one link.
pub(crate) struct Questions {
    shards: [Mutex<Shard>; SHARDS],
    next: AtomicU64,
}

#[derive(Default)]
struct Shard {
    waiting: Slab<(u64, Asker)>,
    closed: bool,
}

impl Default for Questions {
    fn default() -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::default()), next: AtomicU64::new(0) }
    }
}

impl Questions {
    /// A new question: what ties its answer to it, and where that comes. `None` when the link is
    /// over, or far too many wait.
    pub(crate) fn add(&self) -> Option<(u64, oneshot::Receiver<FarAnswer>)> {
        let (answer, comes) = oneshot::channel();
        Some((self.enlist(Asker::One(answer))?, comes))
    }

    /// As [`Questions::add`], for a question that has many answers.
    pub(crate) fn add_stream(&self, flowing: Arc<Flowing>) -> Option<u64> {
        self.enlist(Asker::Many(flowing))
    }

    /// As [`Questions::add_stream`], for a command that a person gives. Nobody waits for those.
    pub(crate) fn add_command(&self, flowing: Arc<Flowing>) -> Option<u64> {
        self.enlist(Asker::Person(flowing))
    }

    fn enlist(&self, asker: Asker) -> Option<u64> {
        let sequence = self.next.fetch_add(1, Ordering::SeqCst);
        let shard = sequence % SHARDS as u64;
        let mut waits = self.shards[shard as usize].lock();
        let entry = waits.waiting.vacant_entry();
        let index = entry.key() as u64;
        // The sequence in front, so that an answer that comes late is not taken for another's.
        let correlation = (((sequence << INDEX_BITS) | index) << SHARD_BITS) | shard;
        if index >> INDEX_BITS != 0 {
            return None;
        }
        entry.insert((correlation, asker));
        match waits.closed {
            true => {
                waits.waiting.remove(index as usize);
                None
            }
            false => Some(correlation),
        }
    }

    /// An answer has come. It is dropped if nobody waits for it any more.
    pub(crate) fn answer(&self, correlation: u64, answer: FarAnswer) {
        match self.remove(correlation) {
            Some(Asker::One(asker)) => {
                let _asker_has_gone = asker.send(answer);
            }
            Some(Asker::Many(flowing) | Asker::Person(flowing)) => flowing.end(answer),
            None => {}
        }
    }

    /// One of many answers has come. It is dropped if nobody waits for it any more.
    pub(crate) fn item(&self, correlation: u64, item: Bytes) -> Result<(), End> {
        let (shard, index) = place(correlation);
        let flowing = match self.shards[shard].lock().waiting.get(index) {
            Some((known, Asker::Many(flowing) | Asker::Person(flowing)))
                if *known == correlation =>
            {
                flowing.clone()
            }
            _ => return Ok(()),
        };
        flowing.item(item)
    }

    /// Nobody waits for this answer any more; whether it had not come.
    pub(crate) fn forget(&self, correlation: u64) -> bool {
        self.remove(correlation).is_some()
    }

    fn remove(&self, correlation: u64) -> Option<Asker> {
        let (shard, index) = place(correlation);
        let mut waits = self.shards[shard].lock();
        let is_it = waits.waiting.get(index).is_some_and(|(known, _)| *known == correlation);
        is_it.then(|| waits.waiting.remove(index).1)
    }

    /// The link is over: all askers learn that no answer comes, and nobody asks any more.
    pub(crate) fn close(&self) {
        for shard in &self.shards {
            let mut waits = shard.lock();
            waits.closed = true;
            waits.waiting.clear();
        }
    }

    /// How many wait, but for people.
    pub(crate) fn len(&self) -> usize {
        self.count(|_| true)
    }

    /// Counts the questions that are asked from now on, so that those before can be told from them.
    pub(crate) fn mark(&self) -> Mark {
        Mark(self.next.load(Ordering::SeqCst))
    }

    /// Whether any waits that was asked before a mark, but for those of people.
    pub(crate) fn any_before(&self, mark: Mark) -> bool {
        self.count(|correlation| correlation >> (INDEX_BITS + SHARD_BITS) < mark.0) > 0
    }

    fn count(&self, counts: impl Fn(u64) -> bool) -> usize {
        let of = |shard: &Mutex<Shard>| {
            let waits = shard.lock();
            let questions = waits.waiting.iter().map(|(_, question)| question);
            let counted = |(correlation, asker): &&(u64, Asker)| {
                !matches!(asker, Asker::Person(_)) && counts(*correlation)
            };
            questions.filter(counted).count()
        };
        self.shards.iter().map(of).sum()
    }
}

/// The slab of a correlation, and the place in it.
fn place(correlation: u64) -> (usize, usize) {
    let shard = (correlation % SHARDS as u64) as usize;
    let index = ((correlation >> SHARD_BITS) & ((1 << INDEX_BITS) - 1)) as usize;
    (shard, index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_finds_its_question_and_no_other() {
        let questions = Questions::default();
        let mut asked: Vec<_> = (0..1_000).map(|_| questions.add().unwrap()).collect();
        let (late, _) = asked.swap_remove(500);
        questions.forget(late);
        // Its place is taken by another, for which its answer must not be taken.
        let again: Vec<_> = (0..SHARDS).map(|_| questions.add().unwrap()).collect();
        questions.answer(late, FarAnswer::Reply(Bytes::from_static(b"late")));
        assert_eq!(questions.len(), 999 + SHARDS);
        for (correlation, mut comes) in asked.into_iter().chain(again) {
            let text = correlation.to_string();
            assert!(comes.try_recv().is_err());
            questions.answer(correlation, FarAnswer::Reply(text.clone().into()));
            let Ok(FarAnswer::Reply(bytes)) = comes.try_recv() else { panic!("no answer") };
            assert_eq!(bytes, text);
        }
        assert_eq!(questions.len(), 0);
        let (_, comes) = questions.add().unwrap();
        questions.close();
        assert!(comes.blocking_recv().is_err() && questions.add().is_none());
    }
}
