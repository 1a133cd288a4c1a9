//! Where other nodes were reached last, kept for the next start.

use std::collections::BTreeMap;
use std::path::Path;

use genii_protocols::NodeName;

use crate::trust::keep_text;

/// The file, in the folder of trust.
const FILE: &str = "peers.json";

/// What was kept; nothing if it cannot be read, since others tell it anew.
pub(crate) fn read(trust: &Path) -> BTreeMap<NodeName, Vec<String>> {
    let text = std::fs::read_to_string(trust.join(FILE)).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

/// Keeps it.
pub(crate) fn write(trust: &Path, peers: &BTreeMap<NodeName, Vec<String>>) {
    let text = serde_json::to_string_pretty(peers).unwrap_or_default();
    if let Err(error) = keep_text(trust, FILE, &text) {
        tracing::warn!("where other nodes are cannot be kept: {error}");
    }
}
