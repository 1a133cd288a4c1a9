//! What the beings of a node have in common: caches of a bounded size, connections, the embedder.
//! Nothing that one of them says or remembers.

use std::sync::Arc;

use genii_runtime::Node;
use genii_storage::index::{IndexShare, IndexShareSettings};
use parking_lot::RwLock;

use super::embedding::Chosen;
use super::provider::ProviderShare;

pub(super) struct Shared {
    pub(super) index: IndexShare,
    pub(super) providers: ProviderShare,
    embedder: RwLock<Chosen>,
}

impl Shared {
    /// That of a node.
    pub(super) fn of(node: &Node) -> Arc<Self> {
        node.shared(|| Self {
            index: IndexShare::new(&IndexShareSettings::default()),
            providers: ProviderShare::new(),
            embedder: RwLock::default(),
        })
    }

    /// The embedder of whoever wakes now.
    pub(super) fn embedder(&self) -> Chosen {
        self.embedder.read().clone()
    }

    /// Whoever wakes from now on has this one.
    pub(super) fn choose(&self, embedder: Chosen) {
        *self.embedder.write() = embedder;
    }
}
