//! The sessions of a model, each for one call at a time.
//!
//! Who finds none stands in a line, and who comes later takes none before them. Otherwise one that
//! gives a session back and wants it again at once, as indexing does between two batches, would
//! nearly always be quicker than one that has to be woken. Questions stand before memories.

use std::collections::BTreeSet;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::runtime::RunFault;
use super::session::ModelSession;
use crate::embed::EmbedFor;

/// Sessions that callers take in turn.
#[derive(Debug)]
pub(super) struct Sessions<T = ModelSession> {
    desk: Mutex<Desk<T>>,
    /// A session has come back, or the line has become shorter.
    moved: Condvar,
}

#[derive(Debug)]
struct Desk<T> {
    free: Vec<T>,
    /// Who waits, the next one first.
    line: BTreeSet<Ticket>,
    /// How many have stood in it so far.
    drawn: u64,
}

/// A place in the line: by what the session is for, then in the order of coming.
type Ticket = (EmbedFor, u64);

impl<T> Desk<T> {
    fn stand_in_line(&mut self, of: EmbedFor) -> Ticket {
        self.drawn += 1;
        let ticket = (of, self.drawn);
        self.line.insert(ticket);
        ticket
    }

    fn is_turn(&self, ticket: Ticket) -> bool {
        !self.free.is_empty() && self.line.first() == Some(&ticket)
    }

    /// Leaves the line, with a session if it is one's turn.
    fn leave(&mut self, ticket: Ticket) -> Option<T> {
        let is_turn = self.is_turn(ticket);
        self.line.remove(&ticket);
        if is_turn { self.free.pop() } else { None }
    }
}

impl<T> Sessions<T> {
    pub(super) fn new(sessions: Vec<T>) -> Self {
        let desk = Desk { free: sessions, line: BTreeSet::new(), drawn: 0 };
        Self { desk: Mutex::new(desk), moved: Condvar::new() }
    }

    /// Takes a session, if need be when another has given one back, within a time.
    pub(super) fn take(&self, of: EmbedFor, wait: Duration) -> Result<Taken<'_, T>, RunFault> {
        let mut desk = self.desk.lock();
        let ticket = desk.stand_in_line(of);
        self.moved.wait_while_for(&mut desk, |desk| !desk.is_turn(ticket), wait);
        let session = desk.leave(ticket);
        // There may be another for the next one, who may have waited for this one to leave.
        self.moved.notify_all();
        match session {
            Some(session) => Ok(Taken { session: Some(session), home: self }),
            None => Err(RunFault::Busy(wait)),
        }
    }
}

/// A session that goes back when this is dropped, also by a panic.
pub(super) struct Taken<'a, T> {
    /// There until it goes back.
    session: Option<T>,
    home: &'a Sessions<T>,
}

impl<T> Deref for Taken<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.session.as_ref().expect("it goes back in drop only")
    }
}

impl<T> DerefMut for Taken<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.session.as_mut().expect("it goes back in drop only")
    }
}

impl<T> Drop for Taken<'_, T> {
    fn drop(&mut self) {
        self.home.desk.lock().free.extend(self.session.take());
        // All, since only the one whose turn it is may take it.
        self.home.moved.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Instant;

    use super::*;
    use EmbedFor::{Memories, Question};

    /// How long anything may take before a test gives up on it.
    const PATIENCE: Duration = Duration::from_secs(120);

    /// Waits until so many stand in the line.
    fn until_in_line(sessions: &Sessions<u8>, count: usize) {
        let deadline = Instant::now() + PATIENCE;
        while sessions.desk.lock().line.len() < count {
            assert!(Instant::now() < deadline, "not so many come");
            thread::yield_now();
        }
    }

    #[test]
    fn who_finds_none_waits_until_one_comes_back() {
        let sessions = Sessions::new(vec![7]);
        let taken = sessions.take(Memories, PATIENCE).unwrap();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| *sessions.take(Memories, PATIENCE).unwrap());
            until_in_line(&sessions, 1);
            drop(taken);
            assert_eq!(waiting.join().unwrap(), 7);
        });
    }

    #[test]
    fn a_free_one_goes_to_who_waits_and_not_to_who_gave_it_back() {
        let sessions = Sessions::new(vec![7]);
        let served = Mutex::new(Vec::new());
        let call = |who, of| {
            let _taken = sessions.take(of, PATIENCE).unwrap();
            served.lock().push(who);
        };
        let taken = sessions.take(Memories, PATIENCE).unwrap();
        thread::scope(|scope| {
            for (at, (who, of)) in
                [("first", Memories), ("second", Memories), ("question", Question)]
                    .into_iter()
                    .enumerate()
            {
                scope.spawn(move || call(who, of));
                until_in_line(&sessions, at + 1);
            }
            drop(taken);
            call("again", Memories);
        });
        assert_eq!(served.into_inner(), ["question", "first", "second", "again"]);
    }

    #[test]
    fn all_that_are_free_are_given_out() {
        let sessions = Sessions::new(vec![7, 8]);
        let both = [(); 2].map(|()| sessions.take(Memories, PATIENCE).unwrap());
        thread::scope(|scope| {
            let call = || sessions.take(Memories, PATIENCE).unwrap();
            let waiting = [(); 2].map(|()| scope.spawn(call));
            until_in_line(&sessions, 2);
            drop(both);
            let taken = waiting.map(|waiting| waiting.join().unwrap());
            assert_eq!(*taken[0] + *taken[1], 15, "each has one at the same time");
        });
    }

    #[test]
    fn nobody_waits_for_ever_and_who_gave_up_is_in_nobodys_way() {
        let sessions = Sessions::new(vec![7]);
        let taken = sessions.take(Memories, PATIENCE).unwrap();
        let refused = sessions.take(Question, Duration::from_millis(1)).err().unwrap().to_string();
        assert!(refused.contains("busy for 1ms"), "{refused}");
        drop(taken);
        assert_eq!(*sessions.take(Memories, Duration::ZERO).unwrap(), 7);
    }

    #[test]
    fn a_session_survives_the_panic_of_its_caller() {
        let sessions = Sessions::new(vec![7]);
        let caller = thread::scope(|scope| {
            let caller = scope.spawn(|| {
                let _taken = sessions.take(Memories, PATIENCE).unwrap();
                panic!("in the middle");
            });
            caller.join()
        });
        assert!(caller.is_err());
        assert_eq!(*sessions.take(Memories, PATIENCE).unwrap(), 7);
    }
}
