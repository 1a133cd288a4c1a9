//! The sessions of a model, each for one call at a time.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::runtime::RunFault;
use super::session::ModelSession;

/// Sessions that callers take in turn.
#[derive(Debug)]
pub(super) struct Sessions<T = ModelSession> {
    free: Mutex<Vec<T>>,
    freed: Condvar,
    /// How long a caller waits for one.
    wait: Duration,
}

impl<T> Sessions<T> {
    pub(super) fn new(sessions: Vec<T>, wait: Duration) -> Self {
        Self { free: Mutex::new(sessions), freed: Condvar::new(), wait }
    }

    /// Takes a session, if need be when another has given one back.
    pub(super) fn take(&self) -> Result<Taken<'_, T>, RunFault> {
        let mut free = self.free.lock();
        self.freed.wait_while_for(&mut free, |free| free.is_empty(), self.wait);
        match free.pop() {
            Some(session) => Ok(Taken { session: Some(session), home: self }),
            None => Err(RunFault::Failed(format!(
                "all its sessions were busy for {:?}; allow it more of them, or ask it less",
                self.wait
            ))),
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
        self.home.free.lock().extend(self.session.take());
        self.home.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn who_finds_none_waits_until_one_comes_back() {
        let sessions = Sessions::new(vec![7], Duration::from_secs(60));
        let taken = sessions.take().unwrap();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| *sessions.take().unwrap());
            drop(taken);
            assert_eq!(waiting.join().unwrap(), 7);
        });
    }

    #[test]
    fn nobody_waits_for_ever() {
        let sessions = Sessions::new(vec![7], Duration::from_millis(1));
        let _taken = sessions.take().unwrap();
        let refused = sessions.take().err().unwrap().to_string();
        assert!(refused.contains("busy for 1ms"), "{refused}");
    }

    #[test]
    fn a_session_survives_the_panic_of_its_caller() {
        let sessions = Sessions::new(vec![7], Duration::ZERO);
        let caller = thread::scope(|scope| {
            let caller = scope.spawn(|| {
                let _taken = sessions.take().unwrap();
                panic!("in the middle");
            });
            caller.join()
        });
        assert!(caller.is_err());
        assert_eq!(*sessions.take().unwrap(), 7);
    }
}
