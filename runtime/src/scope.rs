//! Which agent the running code belongs to.
//!
//! A panic hook and a log layer are process-wide by nature; this is how they learn whose panic or
//! whose line it is. Nothing is stored here: the agent is known while its code runs, and no longer.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, PanicHookInfo};
use std::sync::{Arc, Once};

use futures_util::FutureExt;
use genii_protocols::Sender;
use genii_supervision::{Failure, FailureKind};

tokio::task_local! {
    static CURRENT: Arc<Sender>;
}

thread_local! {
    /// Where the panic that unwinds this thread began.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// The agent whose code is running, if it is an agent's.
pub fn current() -> Option<Arc<Sender>> {
    CURRENT.try_with(Arc::clone).ok()
}

/// Runs code that belongs to an agent.
pub(crate) async fn run<F: Future>(agent: Arc<Sender>, code: F) -> F::Output {
    CURRENT.scope(agent, code).await
}

/// Runs code that may panic; a panic becomes a failure that knows where it happened.
pub(crate) async fn catch<F: Future>(code: F) -> Result<F::Output, Failure> {
    install_hook();
    AssertUnwindSafe(code).catch_unwind().await.map_err(|panic| failure_of(&*panic))
}

fn failure_of(panic: &(dyn Any + Send)) -> Failure {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    let message = text.unwrap_or_else(|| "a panic without a message".to_owned());
    let place = PLACE.take();
    Failure { place, ..Failure::new(FailureKind::Panic, message) }
}

/// Notes where a panic begins. An agent's panic is not printed, since its supervisor reports it;
/// any other goes on to the hook that was there before.
fn install_hook() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info: &PanicHookInfo<'_>| {
            PLACE.set(info.location().map(ToString::to_string));
            if current().is_none() {
                before(info);
            }
        }));
    });
}
