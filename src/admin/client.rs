//! The side of who asks.

use std::io::ErrorKind::{ConnectionRefused, NotADirectory, NotFound, PermissionDenied};
use std::time::Duration;

use genii_protocols::NodeName;
use genii_protocols::admin::admin_client::AdminClient;
use genii_protocols::admin::{RunRequest, run_reply::Said};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::time::Instant;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Code, Status, Streaming};

use super::SAID_MAX_LEN;
use crate::commands::find;
use crate::data::Data;
use crate::fault::Fault;
use crate::screen::{complain, harmless};

/// How long to wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How often to look whether the other side still answers, and how long it may take to.
const ALIVE_INTERVAL: Duration = Duration::from_secs(5);
const ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long one that is about to listen may take until it does, and how often to look.
const STARTING_PATIENCE: Duration = Duration::from_secs(10);
const STARTING_LOOK: Duration = Duration::from_millis(25);

/// How long one that was killed may take to be gone, and how often to look whether it is.
const GONE_PATIENCE: Duration = Duration::from_millis(500);
const GONE_LOOK: Duration = Duration::from_millis(25);

/// How long a command is given again that is refused for what passes by itself, how often, and after how long a
/// person is told, also of what keeps one waiting.
const PASSING_PATIENCE: Duration = Duration::from_secs(10);
const PASSING_LOOK: Duration = Duration::from_millis(100);
const PASSING_TOLD_AFTER: Duration = Duration::from_secs(1);

/// A connection to the genii that runs on a data folder.
#[derive(Clone)]
pub struct Client {
    client: AdminClient<Channel>,
    data: Data,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// When none runs there, or it does not answer.
    pub async fn connect(data: &Data) -> Result<Self, Fault> {
        reach(data).await?;
        let socket = data.socket();
        let connect = tower::service_fn(move |_: Uri| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        });
        let channel = Endpoint::from_static("http://genii.invalid")
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(ALIVE_INTERVAL)
            .keep_alive_timeout(ALIVE_TIMEOUT)
            .connect_with_connector(connect)
            .await;
        let Ok(channel) = channel else { return Err(silent(data).await) };
        let client = AdminClient::new(channel).max_decoding_message_size(SAID_MAX_LEN);
        Ok(Self { client, data: data.clone() })
    }

    /// The data folder on which the genii runs.
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// Begins to run a command.
    ///
    /// # Errors
    /// When it is not known there, or the connection broke.
    pub async fn run(&mut self, command: &str, arguments: &Value) -> Result<Replies, Fault> {
        self.run_on(None, command, arguments).await
    }

    /// As [`Client::run`], on a machine of the household.
    ///
    /// # Errors
    /// As [`Client::run`].
    pub async fn run_on(
        &mut self,
        node: Option<&NodeName>,
        command: &str,
        arguments: &Value,
    ) -> Result<Replies, Fault> {
        let node = node.map(ToString::to_string).unwrap_or_default();
        let (command, arguments) = (command.to_owned(), arguments.to_string());
        let request = RunRequest { command, arguments, node };
        match self.client.run(request).await {
            Ok(replies) => Ok(Replies { replies: replies.into_inner(), data: self.data.clone() }),
            Err(status) => Err(broken(&self.data, &status).await),
        }
    }

    /// As [`Client::run_on`], with the first thing that it says. It is given again for a while if it is refused
    /// for what passes by itself, as when a being starts again: nothing was done then. If it is for a person, they
    /// are told when that takes long, or what the command [waits for](crate::commands::Entry::waits_for).
    ///
    /// # Errors
    /// As [`Client::run`] and [`Replies::next`].
    pub async fn run_patiently(
        &mut self,
        node: Option<&NodeName>,
        command: &str,
        arguments: &Value,
        is_for_person: bool,
    ) -> Result<(Option<Value>, Replies), Fault> {
        let began = Instant::now();
        let mut is_told = !is_for_person;
        let waits_for = find(command).map_or("", |entry| entry.waits_for);
        loop {
            let mut replies = self.run_on(node, command, arguments).await?;
            let first = replies.first(waits_for, &mut is_told).await;
            let fault = match first {
                Ok(first) => return Ok((first, replies)),
                Err(fault) => fault,
            };
            let waited = began.elapsed();
            if !fault.passes || waited >= PASSING_PATIENCE {
                return Err(fault);
            }
            if waited >= PASSING_TOLD_AFTER && !std::mem::replace(&mut is_told, true) {
                complain(format!("(waiting: {})", harmless(&fault.message)));
            }
            tokio::time::sleep(PASSING_LOOK).await;
        }
    }

    /// Runs a command that says one thing.
    ///
    /// # Errors
    /// As [`Client::run`], and when it is refused.
    pub async fn ask(&mut self, command: &str, arguments: &Value) -> Result<Value, Fault> {
        let mut replies = self.run(command, arguments).await?;
        let said = replies.next().await?;
        said.ok_or_else(|| Fault::new(format!("{command} said nothing")))
    }
}

/// What a command says.
pub struct Replies {
    replies: Streaming<genii_protocols::admin::RunReply>,
    data: Data,
}

impl Replies {
    /// The next thing that it says; `None` when it has ended.
    ///
    /// # Errors
    /// When it is refused, or the connection broke.
    pub async fn next(&mut self) -> Result<Option<Value>, Fault> {
        let reply = match self.replies.message().await {
            Ok(Some(reply)) => reply,
            Ok(None) => return Ok(None),
            Err(status) => return Err(broken(&self.data, &status).await),
        };
        match reply.said {
            Some(Said::Output(text)) => serde_json::from_str(&text)
                .map(Some)
                .map_err(|error| Fault::new(format!("the answer is no JSON: {error}"))),
            Some(Said::Refusal(no)) => {
                Err(Fault { passes: no.passes, ..Fault::new(no.message).help(no.help) })
            }
            None => Err(Fault::new("the answer is of another version of genii")
                .help("use the same version as the one that runs")),
        }
    }

    /// As [`Replies::next`]. If that takes long, whoever waits is told for what, unless they were told already.
    async fn first(&mut self, waits_for: &str, is_told: &mut bool) -> Result<Option<Value>, Fault> {
        let next = self.next();
        tokio::pin!(next);
        if let Ok(first) = tokio::time::timeout(PASSING_TOLD_AFTER, &mut next).await {
            return first;
        }
        if !waits_for.is_empty() && !std::mem::replace(is_told, true) {
            complain(format!("(waiting: {waits_for})"));
        }
        next.await
    }
}

/// Reaches where genii listens, to say what is wrong in words before anything speaks HTTP. One that has taken its
/// folder and does not listen yet is waited for.
async fn reach(data: &Data) -> Result<(), Fault> {
    let until = Instant::now() + STARTING_PATIENCE;
    loop {
        let reached = UnixStream::connect(data.socket());
        let error = match tokio::time::timeout(CONNECT_TIMEOUT, reached).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => error,
            Err(_) => return Err(silent(data).await),
        };
        let may_begin = matches!(error.kind(), NotFound | ConnectionRefused) && data.is_held();
        if !may_begin || Instant::now() >= until {
            return Err(not_reached(data, &error));
        }
        tokio::time::sleep(STARTING_LOOK).await;
    }
}

fn not_reached(data: &Data, error: &std::io::Error) -> Fault {
    let folder = data.folder().display();
    match error.kind() {
        NotFound | ConnectionRefused if data.is_held() => {
            let logs = data.logs();
            Fault::new(format!("the genii on {folder} does not listen yet, or not any more"))
                .help(format!("its log in {} says what it does", logs.display()))
                .about(data)
        }
        NotFound | ConnectionRefused => Fault::new(format!("no genii runs on {folder}"))
            .help(format!("start it with `{}`, or name its folder with --data DIR", data.up()))
            .about(data),
        PermissionDenied => Fault::new(format!("the genii on {folder} is somebody else's"))
            .help("only its owner can speak to it"),
        NotADirectory if data.folder().is_file() => Fault::new(format!(
            "{folder} is a file, and a household is a folder"
        ))
        .help("name its folder with --data DIR; `genii up --topology FILE` takes a topology"),
        _ => Fault::new(format!("the genii on {folder} cannot be reached: {error}")),
    }
}

/// It says nothing: it is there, or it was killed and is just about to be gone.
async fn silent(data: &Data) -> Fault {
    let going = async {
        while !data.is_let_go() {
            tokio::time::sleep(GONE_LOOK).await;
        }
    };
    match tokio::time::timeout(GONE_PATIENCE, going).await {
        Ok(()) => gone(data),
        Err(_) => there(data),
    }
}

/// It is there, and says nothing.
fn there(data: &Data) -> Fault {
    let (folder, logs) = (data.folder().display(), data.logs());
    let who = data.holder().map(|holder| format!(" ({holder})")).unwrap_or_default();
    let holder = data.holder().unwrap_or_default();
    let pid = holder.split_whitespace().nth(1).unwrap_or("PID");
    Fault::new(format!("the genii on {folder}{who} does not answer")).help(format!(
        "if it was paused, kill -CONT {pid} lets it go on; its log in {} says what else it may be",
        logs.display()
    ))
}

/// It was there, and is not any more.
fn gone(data: &Data) -> Fault {
    let (folder, logs) = (data.folder().display(), data.logs());
    let up = data.up();
    let help = format!("`{up}` starts it; its log in {} says why it ended", logs.display());
    Fault::new(format!("the genii on {folder} does not run any more")).help(help).about(data)
}

/// Why there is no answer: what the status says, or what is found where genii listens.
async fn broken(data: &Data, status: &Status) -> Fault {
    match status.code() {
        Code::Unimplemented | Code::InvalidArgument => Fault::new(status.message().to_owned())
            .help("use the same version of genii as the one that runs"),
        Code::ResourceExhausted => {
            Fault::new(format!("the answer is too large: {}", status.message()))
        }
        // The socket goes with the genii that listens at it, and stays with one that is paused.
        _ => match UnixStream::connect(data.socket()).await {
            Err(error) if matches!(error.kind(), NotFound | ConnectionRefused) => gone(data),
            _ => silent(data).await,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// That it was killed may be noticed before the system has let go of all that it had.
    #[tokio::test]
    async fn one_that_has_let_go_of_its_folder_is_not_said_to_be_paused() {
        let scratch = tempfile::tempdir().unwrap();
        let data = Data::new(Some(scratch.path().join("house"))).unwrap();
        data.prepare().unwrap();
        let lock = data.lock().unwrap();
        let fault = silent(&data).await;
        assert!(fault.message.contains("does not answer"), "{fault}");
        drop(lock);
        let fault = silent(&data).await;
        assert!(fault.message.contains("does not run any more"), "{fault}");
    }

    #[tokio::test]
    async fn one_that_has_its_folder_and_does_not_listen_yet_is_waited_for() {
        let scratch = tempfile::tempdir().unwrap();
        let data = Data::new(Some(scratch.path().join("house"))).unwrap();
        data.prepare().unwrap();
        let lock = data.lock().unwrap();
        let mut reaching = std::pin::pin!(reach(&data));
        let early = tokio::time::timeout(4 * STARTING_LOOK, &mut reaching).await;
        assert!(early.is_err(), "{early:?}");
        let _listens = tokio::net::UnixListener::bind(data.socket()).unwrap();
        reaching.await.unwrap();
        drop(lock);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_never_listens_is_not_waited_for_without_end() {
        let scratch = tempfile::tempdir().unwrap();
        let data = Data::new(Some(scratch.path().join("house"))).unwrap();
        let nobody = reach(&data).await.unwrap_err();
        assert!(nobody.message.contains("no genii runs"), "{nobody}");
        data.prepare().unwrap();
        let _lock = data.lock().unwrap();
        let fault = reach(&data).await.unwrap_err();
        assert!(fault.message.contains("does not listen yet"), "{fault}");
    }
}
