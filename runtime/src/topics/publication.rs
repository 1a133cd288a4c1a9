//! Something that was published.

use std::sync::Arc;

use genii_protocols::{Json, NodeName, Rejection, Sender, Topic, TraceContext};
use serde::de::DeserializeOwned;

use crate::aside;

/// Something that was published. Shared by all who take it here.
#[derive(Debug)]
pub struct Publication {
    topic: Topic,
    node: NodeName,
    from: Option<Arc<Sender>>,
    trace: Option<TraceContext>,
    text: String,
}

impl Publication {
    pub(crate) fn new(
        topic: Topic,
        node: NodeName,
        from: Option<Arc<Sender>>,
        trace: Option<TraceContext>,
        text: String,
    ) -> Self {
        Self { topic, node, from, trace, text }
    }

    /// What it is about.
    pub fn topic(&self) -> &Topic {
        &self.topic
    }

    /// The node where it was published.
    pub fn node(&self) -> &NodeName {
        &self.node
    }

    /// Who published it, when an agent did.
    pub fn from(&self) -> Option<&Sender> {
        self.from.as_deref()
    }

    pub(crate) fn sender(&self) -> Option<&Arc<Sender>> {
        self.from.as_ref()
    }

    /// The trace that it is part of.
    pub fn trace(&self) -> Option<TraceContext> {
        self.trace
    }

    /// What it holds, as JSON text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it holds, as JSON. That takes tens of times the memory of the text.
    ///
    /// # Errors
    /// When it is no JSON; only a node that is at fault publishes such a thing.
    pub fn json(&self) -> Result<Json, Rejection> {
        aside::reading(self.text.len(), || serde_json::from_str(&self.text))
            .map(Json)
            .map_err(malformed)
    }

    /// What it holds, as a value of its own type. Nothing at all is as good as no fields.
    ///
    /// # Errors
    /// When it is not of that type.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Rejection> {
        let text = if self.text == "null" { "{}" } else { &self.text };
        aside::reading(text.len(), || serde_json::from_str(text)).or_else(|error| {
            // A type that is `null` itself.
            serde_json::from_str(&self.text).map_err(|_| malformed(error))
        })
    }
}

fn malformed(error: impl std::fmt::Display) -> Rejection {
    Rejection::Malformed { detail: error.to_string() }
}
