//! What the beings of a node have in common: caches of a bounded size, connections, the embedder.
//! Nothing that one of them says or remembers.

use std::sync::Arc;

use genii_runtime::Node;
use genii_storage::embed::Embedder;
use genii_storage::embed::hashed::Hashed;
use genii_storage::index::{IndexShare, IndexShareSettings};

use super::provider::ProviderShare;

pub(super) struct Shared {
    pub(super) index: IndexShare,
    pub(super) providers: ProviderShare,
    pub(super) embedder: Arc<dyn Embedder>,
}

impl Shared {
    /// That of a node.
    pub(super) fn of(node: &Node) -> Arc<Self> {
        node.shared(|| Self {
            index: IndexShare::new(&IndexShareSettings::default()),
            providers: ProviderShare::new(),
            embedder: Arc::new(Hashed::new()),
        })
    }
}
