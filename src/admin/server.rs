//! The side of the running genii.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;

use genii_protocols::NodeName;
use genii_protocols::admin::admin_server::{Admin, AdminServer};
use genii_protocols::admin::{RunReply, RunRequest};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::oneshot;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::{ReceiverStream, UnixListenerStream};
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use super::SAID_MAX_LEN;
use crate::commands::{self, Side};

/// How many commands may run at once on one connection; more wait.
const RUNNING_MAX: usize = 64;

/// How long to wait after a connection could not be taken, as when no more files may be opened.
const ACCEPT_PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

/// The socket, and the task that serves it.
pub struct AdminSocket {
    path: PathBuf,
    stop: Option<oneshot::Sender<()>>,
    served: tokio::task::JoinHandle<()>,
}

impl AdminSocket {
    /// Begins to listen. Whoever holds the data folder may take the place of a socket that was left
    /// behind.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn open(path: &Path, side: Side) -> io::Result<Self> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        let connections = UnixListenerStream::new(listener).then(|stream| async move {
            if let Err(error) = &stream {
                tracing::warn!("a connection to the admin socket cannot be taken: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
            stream
        });
        let own = connections.filter(|stream| match stream {
            Ok(stream) => is_ours(stream),
            Err(_) => true,
        });
        let (stop, stopped) = oneshot::channel();
        let service = AdminServer::new(Service { side })
            .max_encoding_message_size(SAID_MAX_LEN)
            .max_decoding_message_size(SAID_MAX_LEN);
        let server = Server::builder()
            .concurrency_limit_per_connection(RUNNING_MAX)
            .http2_keepalive_interval(Some(std::time::Duration::from_secs(30)))
            .add_service(service)
            .serve_with_incoming_shutdown(own, async {
                let _either_way = stopped.await;
            });
        let served = tokio::spawn(async move {
            if let Err(error) = server.await {
                tracing::error!("the admin socket is no longer served: {error}");
            }
        });
        Ok(Self { path: path.to_owned(), stop: Some(stop), served })
    }

    /// Takes the socket away. To be done while the data folder is still held, so that it is not
    /// another's.
    pub fn unlink(&self) {
        let _gone_already = std::fs::remove_file(&self.path);
    }

    /// Takes no more connections, and gives the running commands a moment to say their last word.
    pub async fn close(mut self) {
        drop(self.stop.take());
        let moment = std::time::Duration::from_millis(200);
        if tokio::time::timeout(moment, &mut self.served).await.is_err() {
            self.served.abort();
        }
    }
}

/// Whether somebody who connected is who runs this process. The permissions of the socket say so
/// already; this holds where a file system does not heed them.
fn is_ours(stream: &UnixStream) -> bool {
    let own = rustix::process::geteuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| peer.uid() == own || peer.uid() == 0)
}

struct Service {
    side: Side,
}

#[tonic::async_trait]
impl Admin for Service {
    type RunStream = Pin<Box<dyn tokio_stream::Stream<Item = Result<RunReply, Status>> + Send>>;

    async fn run(&self, request: Request<RunRequest>) -> Result<Response<Self::RunStream>, Status> {
        let RunRequest { command, arguments, node } = request.into_inner();
        let entry = commands::find(&command).ok_or_else(|| {
            Status::unimplemented(format!(
                "there is no command {command:?}; is this another version?"
            ))
        })?;
        let arguments = serde_json::from_str(&arguments).map_err(|error| {
            Status::invalid_argument(format!("the arguments are no JSON: {error}"))
        })?;
        let node = (!node.is_empty()).then(|| NodeName::new(&node)).transpose();
        let node =
            node.map_err(|error| Status::invalid_argument(format!("the machine: {error}")))?;
        let listener = commands::begin_anywhere(entry, arguments, node, self.side.clone());
        let replies = ReceiverStream::new(listener).map(|said| Ok(RunReply { said: Some(said) }));
        Ok(Response::new(Box::pin(replies)))
    }
}
