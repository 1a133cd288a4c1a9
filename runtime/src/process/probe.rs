//! Asking from outside whether a process is ready, or well.

use std::sync::Arc;
use std::time::Duration;

use genii_protocols::Address;
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::keep::{Exit, run_once};
use super::output::Output;
use super::settings::{Probe, ProcessSettings};
use super::zmtp;
use crate::node::Node;

/// The answers to a health check that count as well.
const WELL: [&str; 4] = ["ok", "ready", "healthy", "HEALTHY"];

/// Looks at one process.
pub(crate) struct Prober {
    node: Node,
    settings: Arc<ProcessSettings>,
    output: Arc<Output>,
    agent: Address,
}

impl Prober {
    pub(crate) fn new(
        node: Node,
        settings: Arc<ProcessSettings>,
        output: Arc<Output>,
        agent: Address,
    ) -> Self {
        Self { node, settings, output, agent }
    }

    pub(crate) fn agent(&self) -> &Address {
        &self.agent
    }

    pub(crate) fn output(&self) -> &Output {
        &self.output
    }

    /// One look.
    ///
    /// # Errors
    /// In words, why it does not count as well.
    pub(crate) async fn probe(&self, probe: &Probe, patience: Duration) -> Result<(), String> {
        let looking = async {
            match probe {
                Probe::Zmq(endpoint) => zmq(&endpoint.host_port()).await,
                Probe::Http(url) => http(url).await,
                Probe::Tcp(endpoint) => tcp(&endpoint.host_port()).await.map(drop),
                Probe::Line { contains, within } => {
                    self.line(contains, within.map(|within| within.0))
                }
                Probe::Command(words) => self.command(words).await,
            }
        };
        match tokio::time::timeout(patience, looking).await {
            Ok(result) => result,
            Err(_) => Err(format!("no answer within {patience:.1?}")),
        }
    }

    /// Runs a command as the agent is run: in its folder, with its environment and limits, and kept,
    /// so that nothing of it is left when it has ended or takes too long.
    async fn command(&self, words: &[String]) -> Result<(), String> {
        let program = words.first().ok_or("there is no command")?;
        match run_once(words, &self.settings, self.node.keepers()).await {
            Ok(Exit::Code(0)) => Ok(()),
            Ok(exit) => Err(format!("{program} {exit}")),
            Err(error) => Err(format!("{program}: {error}")),
        }
    }

    fn line(&self, contains: &str, within: Option<Duration>) -> Result<(), String> {
        match (self.output.last_with(contains), within) {
            (None, _) => Err(format!("it has not printed {contains:?}")),
            (Some(seen), Some(within)) if seen.elapsed() > within => {
                Err(format!("it has not printed {contains:?} for {:.1?}", seen.elapsed()))
            }
            (Some(_), _) => Ok(()),
        }
    }
}

/// Whether nobody answers on a port of this machine yet, who would then be taken for the agent.
///
/// # Errors
/// In words, when somebody does.
pub(super) async fn is_free(port: u16) -> Result<(), String> {
    let looking = TcpStream::connect(("127.0.0.1", port));
    match tokio::time::timeout(Duration::from_secs(1), looking).await {
        Ok(Ok(_)) => Err(format!("port {port} is in use: another process answers there")),
        _ => Ok(()),
    }
}

async fn tcp(host_port: &str) -> Result<TcpStream, String> {
    TcpStream::connect(host_port).await.map_err(|error| format!("{host_port}: {error}"))
}

/// Asks `{"action":"health_check"}` of a ZeroMQ REP socket.
async fn zmq(host_port: &str) -> Result<(), String> {
    let stream = tcp(host_port).await?;
    let answer = zmtp::ask(stream, br#"{"action":"health_check"}"#).await;
    let answer = answer.map_err(|why| format!("{host_port}: {why}"))?;
    is_well(&answer).map_err(|why| format!("{host_port}: {why}"))
}

fn is_well(answer: &[u8]) -> Result<(), String> {
    let answer: serde_json::Value = serde_json::from_slice(answer)
        .map_err(|error| format!("its answer is no JSON: {error}"))?;
    match answer.get("status").and_then(|status| status.as_str()) {
        Some(status) if WELL.contains(&status) => Ok(()),
        Some(status) => Err(format!("it says that it is {status:?}")),
        None => Err("its answer has no status".to_owned()),
    }
}

/// Asks a URL for anything.
async fn http(url: &str) -> Result<(), String> {
    let uri: hyper::Uri = url.parse().map_err(|error| format!("{url}: {error}"))?;
    let host = uri.host().ok_or_else(|| format!("{url} has no host"))?;
    let host_port = format!("{host}:{}", uri.port_u16().unwrap_or(80));
    let stream = tcp(&host_port).await?;
    let failed = |error: hyper::Error| format!("{url}: {error}");
    let (mut requests, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    let connection = tokio::spawn(connection);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = hyper::Request::get(path)
        .header(hyper::header::HOST, &host_port)
        .header(hyper::header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| format!("{url}: {error}"))?;
    let response = requests.send_request(request).await.map_err(failed);
    connection.abort();
    match response?.status() {
        status if status.is_success() => Ok(()),
        status => Err(format!("{url} answers {status}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use zeromq::{RepSocket, Socket, SocketRecv, SocketSend};

    /// A REP socket that gives one answer, again and again.
    async fn rep(answer: &'static str) -> String {
        let mut socket = RepSocket::new();
        let endpoint = socket.bind("tcp://127.0.0.1:0").await.unwrap();
        tokio::spawn(async move {
            while let Ok(question) = socket.recv().await {
                let question = question.into_vec().concat();
                assert_eq!(question, br#"{"action":"health_check"}"#);
                socket.send(answer.into()).await.unwrap();
            }
        });
        endpoint.to_string().trim_start_matches("tcp://").to_owned()
    }

    #[tokio::test]
    async fn zmq_agents_are_well_when_their_status_says_so() {
        for status in WELL {
            let answer = format!(r#"{{"status":"{status}","uptime":3}}"#);
            zmq(&rep(answer.leak()).await).await.unwrap();
        }
        let said = async |answer| zmq(&rep(answer).await).await.unwrap_err();
        assert!(said(r#"{"status":"degraded"}"#).await.contains("it says that it is \"degraded\""));
        assert!(said(r#"{"ok":true}"#).await.contains("no status"));
        assert!(said("hello").await.contains("no JSON"));
        assert!(zmq("127.0.0.1:1").await.unwrap_err().contains("refused"));
    }

    async fn http_server(response: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 1024];
                let count = stream.read(&mut request).await.unwrap();
                assert!(request[..count].starts_with(b"GET /health?deep=1 HTTP/1.1\r\n"));
                stream.write_all(response.as_bytes()).await.unwrap();
            }
        });
        format!("http://{address}/health?deep=1")
    }

    #[tokio::test]
    async fn http_agents_are_well_when_they_answer_with_success() {
        let url = http_server("HTTP/1.1 204 No Content\r\n\r\n").await;
        http(&url).await.unwrap();
        let url = http_server("HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n").await;
        assert!(http(&url).await.unwrap_err().contains("answers 503"));
        let url = http_server("what?").await;
        assert!(http(&url).await.is_err());
    }
}
