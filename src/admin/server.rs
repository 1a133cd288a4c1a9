//! The side of the running genii.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;

use genii_protocols::admin::admin_server::{Admin, AdminServer};
use genii_protocols::admin::{Refusal, RunReply, RunRequest, run_reply::Said};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::{ReceiverStream, UnixListenerStream};
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use super::SAID_MAX_LEN;
use crate::commands::{self, Side};

/// How many commands may run at once on one connection; more wait.
const RUNNING_MAX: usize = 64;

/// How far a command may run ahead of who reads what it says.
const SAID_CAPACITY: usize = 64;

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
        let RunRequest { command, arguments } = request.into_inner();
        let entry = commands::find(&command).ok_or_else(|| {
            Status::unimplemented(format!(
                "there is no command {command:?}; is this another version?"
            ))
        })?;
        let arguments = serde_json::from_str(&arguments).map_err(|error| {
            Status::invalid_argument(format!("the arguments are no JSON: {error}"))
        })?;
        let (said, listener) = mpsc::channel(SAID_CAPACITY);
        let run = (entry.serve)(arguments, self.side.clone(), said.clone());
        tokio::spawn(async move {
            // In a task of its own, so that a panic in it reaches who asked.
            let mut running = tokio::spawn(run);
            let ended = tokio::select! {
                ended = &mut running => ended,
                // Whoever asked has gone: what follows a journal would follow it for ever.
                () = said.closed() => return running.abort(),
            };
            let refusal = match ended {
                Ok(Ok(())) => return,
                Ok(Err(refusal)) => refusal,
                Err(panic) => {
                    tracing::error!(command, "a command failed: {panic}");
                    commands::Refusal::new(format!("{command} failed within genii: {panic}"))
                        .help("this is a fault of genii; please report it")
                }
            };
            let _nobody_listens = said.send(refused(refusal)).await;
        });
        let replies = ReceiverStream::new(listener).map(|said| Ok(RunReply { said: Some(said) }));
        Ok(Response::new(Box::pin(replies)))
    }
}

fn refused(refusal: commands::Refusal) -> Said {
    let commands::Refusal { message, help } = refusal;
    Said::Refusal(Refusal { message, help })
}
