//! Finds handlers that have run too long, and says which.

use std::collections::HashMap;
use std::time::Duration;

use genii_protocols::Address;
use tokio::time::Instant;

use crate::node::{Node, WeakNode};

/// How often it looks.
const PERIOD: Duration = Duration::from_secs(1);

/// Looks after a node as long as it lives.
pub(crate) async fn watch(node: WeakNode) {
    // Who is overdue, and since when its handler runs.
    let mut overdue: HashMap<Address, u64> = HashMap::new();
    loop {
        tokio::time::sleep(PERIOD).await;
        let Some(node) = node.upgrade() else { return };
        look(&node, &mut overdue);
    }
}

fn look(node: &Node, overdue: &mut HashMap<Address, u64>) {
    let patience = node.limits().handler_patience;
    let now = node.nanos(Instant::now());
    let mut still = HashMap::new();
    for slot in node.directory().all() {
        let Some((since, entry)) = slot.vitals.busy() else { continue };
        let long = Duration::from_nanos(now.saturating_sub(since));
        let Some(line) = slot.line().filter(|_| long >= patience) else { continue };
        if overdue.get(&slot.address) != Some(&since) {
            let handler = line.protocol.name(entry);
            let text = format!("has been handling {handler} for {long:.1?}");
            tracing::warn!(agent = %slot.address, "{text}");
            node.note(&line.identity, text);
        }
        still.insert(slot.address.clone(), since);
    }
    for address in overdue.keys().filter(|address| !still.contains_key(*address)) {
        if let Some(line) = node.directory().find(address).and_then(|slot| slot.line()) {
            node.note(&line.identity, "has got out of the handler that took so long");
        }
    }
    *overdue = still;
}
