//! The thread of the control lanes.
//!
//! What nodes say of themselves waits for nobody: not for a transfer that keeps all threads of the
//! agents busy, and not for an agent that holds one and does not give it back. So the connections of
//! the control lanes, and what is said on them, have a thread of their own. It sleeps nearly always,
//! and such a thread is let run by the system as soon as it has something to do.

use std::io;
use std::sync::Arc;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// The thread. It ends when this is dropped, and with it whatever runs on it.
#[derive(Debug)]
pub(super) struct ControlThread {
    runtime: Handle,
    _over: oneshot::Sender<()>,
}

impl ControlThread {
    /// Starts it.
    ///
    /// # Errors
    /// When the system has no thread to give, or no files for it to wait on.
    pub(super) fn start() -> io::Result<Arc<Self>> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (over, is_over) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new().name("genii-control".to_owned());
        thread.spawn(move || {
            let _dropped = runtime.block_on(is_over);
        })?;
        Ok(Arc::new(Self { runtime: handle, _over: over }))
    }

    /// By which more is run on it.
    pub(super) fn runtime(&self) -> &Handle {
        &self.runtime
    }
}

/// What runs elsewhere for as long as somebody waits for it.
pub(crate) struct Elsewhere<T>(JoinHandle<T>);

impl<T: Send + 'static> Elsewhere<T> {
    /// Runs something there.
    pub(crate) fn run(there: &Handle, work: impl Future<Output = T> + Send + 'static) -> Self {
        Self(there.spawn(work))
    }

    /// What came of it; `None` if it panicked, or what it ran on has ended.
    pub(crate) async fn done(&mut self) -> Option<T> {
        (&mut self.0).await.ok()
    }

    /// Ends it half-way.
    pub(crate) fn end(&self) {
        self.0.abort();
    }
}

impl<T> Drop for Elsewhere<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
