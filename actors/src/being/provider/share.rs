//! What the providers of a house may have in common: connections to the same server.
//!
//! Nothing of what is said, no key and no limit is shared.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use reqwest::{Client, Url, redirect, retry};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::sync::OnceCell;

/// To how many servers connections are kept. A provider of one more makes connections of its own.
const SERVERS_MAX: usize = 64;

/// How many connections to one server are kept while nobody uses them: about as many as beings talk at once.
const IDLE_CONNECTIONS_MAX: usize = 256;

/// How long they are kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// How many warnings are remembered, so that each is given once. Beyond that there are none.
const WARNED_MAX: usize = 1_024;

/// Connections, for all providers that are made with the same share. Cheap to copy; without a
/// connection, a thread or a certificate until a first question is asked.
#[derive(Clone, Default)]
pub struct ProviderShare {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    clients: Mutex<HashMap<Server, Client>>,
    /// What is trusted on the way to a server; reading the certificates of the system takes a while.
    trust: OnceCell<ClientConfig>,
    warned: Mutex<HashSet<String>>,
}

/// Who can share connections: those who talk to one server, and give it the same time to connect.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Server {
    origin: String,
    connect_timeout: Duration,
}

impl ProviderShare {
    /// A share in which there is nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// To how many servers it keeps connections.
    pub fn servers(&self) -> usize {
        self.shared.clients.lock().len()
    }

    /// Who makes connections to a server.
    ///
    /// # Errors
    /// When this machine trusts no certificates, in words.
    pub(super) async fn client(
        &self,
        url: &Url,
        connect_timeout: Duration,
    ) -> Result<Client, String> {
        let origin = url.origin().ascii_serialization();
        let server = Server { origin, connect_timeout };
        if let Some(client) = self.shared.clients.lock().get(&server) {
            return Ok(client.clone());
        }
        let trust = match url.scheme() {
            "https" => self.shared.trust.get_or_try_init(read_trust).await?.clone(),
            _ => trust_nobody()?,
        };
        let client = build(url, connect_timeout, trust)?;
        let mut clients = self.shared.clients.lock();
        if let Some(other) = clients.get(&server) {
            // Somebody was quicker.
            return Ok(other.clone());
        }
        if clients.len() < SERVERS_MAX {
            clients.insert(server, client.clone());
        }
        Ok(client)
    }

    /// Whether this is the first time that a file or a place is to be warned of.
    pub(super) fn is_news(&self, what: &str) -> bool {
        let mut warned = self.shared.warned.lock();
        warned.len() < WARNED_MAX && warned.insert(what.to_owned())
    }
}

impl fmt::Debug for ProviderShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderShare").field("servers", &self.servers()).finish()
    }
}

fn build(url: &Url, connect_timeout: Duration, trust: ClientConfig) -> Result<Client, String> {
    let builder = Client::builder()
        .tls_backend_preconfigured(trust)
        .connect_timeout(connect_timeout)
        .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .user_agent(concat!("genii/", env!("CARGO_PKG_VERSION")))
        .referer(false)
        // A question that is sent on to somewhere else would go there without having been meant to.
        .redirect(redirect::Policy::none())
        // There is one policy of retries, and it is not here.
        .retry(retry::never());
    // A proxy is for what is far away.
    let builder = if is_this_machine(url) { builder.no_proxy() } else { builder };
    builder.build().map_err(|error| format!("no client can be made: {error}"))
}

/// Whether a URL points at this machine.
pub(super) fn is_this_machine(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let is_loopback = host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
    host == "localhost" || host.ends_with(".localhost") || is_loopback
}

/// What this machine trusts.
async fn read_trust() -> Result<ClientConfig, String> {
    let read = || {
        let builder = tls()?.with_platform_verifier().map_err(no_trust)?;
        Ok(builder.with_no_client_auth())
    };
    let reading = tokio::task::spawn_blocking(read).await;
    reading.unwrap_or_else(|error| Err(format!("reading certificates was broken off: {error}")))
}

/// For connections without TLS: the client wants to know whom to trust all the same.
fn trust_nobody() -> Result<ClientConfig, String> {
    Ok(tls()?.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

// With ring named here, no default that belongs to the whole process is needed or set.
fn tls() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, String> {
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(ring)
        .with_safe_default_protocol_versions()
        .map_err(no_trust)
}

fn no_trust(error: rustls::Error) -> String {
    format!("this machine has no certificates to trust: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(1);

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn one_server_is_one_client_and_many_are_bounded() {
        let share = ProviderShare::new();
        for path in ["v1", "v2"] {
            let url = url(&format!("http://127.0.0.1:9/{path}"));
            share.client(&url, PATIENCE).await.unwrap();
        }
        assert_eq!(share.servers(), 1);
        share.client(&url("http://127.0.0.1:9/v1"), PATIENCE * 2).await.unwrap();
        assert_eq!(share.servers(), 2, "who is more patient has a client of its own");
        for port in 10..10 + SERVERS_MAX {
            share.client(&url(&format!("http://127.0.0.1:{port}/")), PATIENCE).await.unwrap();
        }
        assert_eq!(share.servers(), SERVERS_MAX);
    }

    #[test]
    fn this_machine_is_known_by_all_its_names() {
        for near in
            ["http://localhost:1/", "http://127.0.0.9/", "http://[::1]:4/", "http://a.localhost/"]
        {
            assert!(is_this_machine(&url(near)), "{near}");
        }
        for far in
            ["http://10.0.0.1/", "https://api.example.org/v1", "http://localhost.example.org"]
        {
            assert!(!is_this_machine(&url(far)), "{far}");
        }
    }

    #[test]
    fn each_thing_is_warned_of_once() {
        let share = ProviderShare::new();
        assert!(share.is_news("/a") && share.clone().is_news("/b"));
        assert!(!share.is_news("/a"));
    }
}
