//! How far heavy work has come.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use lance_index::progress::IndexBuildProgress;
use tokio::sync::watch;

/// How far heavy work on an index has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// What is being done, in LanceDB's words; empty while nothing is.
    pub stage: String,
    /// How much of it is done.
    pub done: u64,
    /// Of how much, if that is known.
    pub total: Option<u64>,
}

/// Passes on what LanceDB tells.
#[derive(Debug)]
pub(super) struct Teller(watch::Sender<Progress>);

impl Teller {
    pub(super) fn new(to: watch::Sender<Progress>) -> Arc<Self> {
        Arc::new(Self(to))
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        self.0.send_replace(Progress::default());
    }
}

/// A step of LanceDB's own progress, which always goes on at once.
type Told<'a> = Pin<Box<dyn Future<Output = lance::Result<()>> + Send + 'a>>;

impl IndexBuildProgress for Teller {
    fn stage_start<'life0, 'life1, 'life2, 'async_trait>(
        &'life0 self,
        stage: &'life1 str,
        total: Option<u64>,
        _unit: &'life2 str,
    ) -> Told<'async_trait>
    where
        'life0: 'async_trait,
        'life1: 'async_trait,
        'life2: 'async_trait,
        Self: 'async_trait,
    {
        self.0.send_replace(Progress { stage: stage.to_owned(), done: 0, total });
        Box::pin(std::future::ready(Ok(())))
    }

    fn stage_progress<'life0, 'life1, 'async_trait>(
        &'life0 self,
        stage: &'life1 str,
        completed: u64,
    ) -> Told<'async_trait>
    where
        'life0: 'async_trait,
        'life1: 'async_trait,
        Self: 'async_trait,
    {
        self.0.send_if_modified(|progress| {
            let is_this = progress.stage == stage;
            progress.done = if is_this { completed } else { progress.done };
            is_this
        });
        Box::pin(std::future::ready(Ok(())))
    }

    fn stage_complete<'life0, 'life1, 'async_trait>(
        &'life0 self,
        _stage: &'life1 str,
    ) -> Told<'async_trait>
    where
        'life0: 'async_trait,
        'life1: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(std::future::ready(Ok(())))
    }
}
