//! The certificate of this node is renewed before it runs out, without a hand.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::Inner;
use crate::link::renewal::renew;
use crate::trust::RENEWED_BEFORE;
use crate::trust::credentials::Credentials;

/// How often to look whether it is time, and how long to wait before one that failed is tried again.
const LOOK: Duration = Duration::from_secs(60);

/// After how many failures in a row one is written down again.
const SILENT_FAILURES: u32 = 60;

/// Renews it whenever that is due.
pub(super) async fn keep_renewed(cluster: Arc<Inner>) {
    let mut failures = 0;
    while let Some(credentials) = cluster.network.credentials() {
        if is_due(credentials) {
            match renew(credentials.folder()).await {
                Ok(_) => {
                    failures = 0;
                    cluster.note(&cluster.name, cluster.began, "its certificate was renewed");
                }
                Err(error) => {
                    if failures % SILENT_FAILURES == 0 {
                        let text = format!("its certificate cannot be renewed: {error}");
                        tracing::warn!("{text}");
                        cluster.note(&cluster.name, cluster.began, &text);
                    }
                    failures += 1;
                }
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn is_due(credentials: &Arc<Credentials>) -> bool {
    let expires = credentials.current().ok().and_then(|current| current.identity.expires());
    expires.is_some_and(|at| at < SystemTime::now() + RENEWED_BEFORE)
}
