//! A house with a gateway, and an agent that tells what became of its askers.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant, SystemTime};

use genii_protocols::client::{CallError, Client, ConnectError, Household, Proof};
use genii_protocols::{Address, Never, NodeName, message};
use genii_runtime::gateway::Gateway;
use genii_runtime::topology::Topology;
use genii_runtime::trust::Authority;
use genii_runtime::trust::scope::Verb;
use genii_runtime::trust::tokens::{Token, TokenSpec, Tokens};
use genii_runtime::{
    Agent, Catalogue, Context, Handle, HandleLater, HandleStream, House, Node, NodeOptions, Outlet,
    Promise, Protocol,
};
use genii_supervision::StartError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// After so long a test has failed.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Say it back.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Echo {
    pub text: String,
}
message!(Echo = "worker.echo" -> String, refused by WontSay);

/// It does not say that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[error("it does not say {word:?}")]
pub struct WontSay {
    pub word: String,
}

/// Note a number.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Note {
    pub number: u64,
}
message!(Note = "worker.note" -> ());

/// Take a question on, and never answer it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Brood {}
message!(Brood = "worker.brood" -> ());

/// Count up to a number.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct CountTo {
    pub number: u64,
    /// How many letters stand beside each number.
    #[serde(default)]
    pub letters: usize,
}
message!(CountTo = "worker.count_to" -> u64, refused by WontSay, streams Counted);

/// A number, with some letters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Counted {
    pub number: u64,
    pub letters: String,
}

/// Say so many letters.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Spell {
    pub letters: usize,
}
message!(Spell = "worker.spell" -> String);

/// Fail.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Crash {}
message!(Crash = "worker.crash" -> ());

/// Fail, and say who is to blame.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Blame {
    pub whom: String,
}
message!(Blame = "worker.blame" -> ());

/// Say what became of those who asked.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Report {}
message!(Report = "worker.report" -> Reported);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reported {
    pub notes: Vec<u64>,
    /// How many questions it broods over whose askers have gone.
    pub forgotten: usize,
    /// How many items it has sent, and in how many streams the asker has gone.
    pub sent: u64,
    pub gone: u64,
}

#[derive(Default)]
pub struct Worker {
    notes: Vec<u64>,
    brooding: Vec<Promise<Brood>>,
    sent: Arc<AtomicU64>,
    gone: Arc<AtomicU64>,
}

impl Agent for Worker {
    type Settings = ();

    fn protocol() -> Protocol<Self> {
        Protocol::new()
            .on::<Echo>()
            .on::<Note>()
            .on_later::<Brood>()
            .on_stream::<CountTo>()
            .on::<Spell>()
            .on::<Crash>()
            .on::<Blame>()
            .on::<Report>()
    }

    async fn start((): (), _: &mut Context) -> Result<Self, StartError> {
        Ok(Self::default())
    }
}

impl Handle<Echo> for Worker {
    async fn handle(&mut self, echo: Echo, _: &mut Context) -> Result<String, WontSay> {
        match echo.text.as_str() {
            "unsayable" => Err(WontSay { word: echo.text }),
            _ => Ok(echo.text),
        }
    }
}

impl Handle<Note> for Worker {
    async fn handle(&mut self, note: Note, _: &mut Context) -> Result<(), Never> {
        self.notes.push(note.number);
        Ok(())
    }
}

impl HandleLater<Brood> for Worker {
    async fn handle_later(&mut self, _: Brood, promise: Promise<Brood>, _: &mut Context) {
        self.brooding.push(promise);
    }
}

impl HandleStream<CountTo> for Worker {
    async fn handle_stream(
        &mut self,
        count: CountTo,
        mut outlet: Outlet<CountTo>,
        context: &mut Context,
    ) {
        if count.number == 13 {
            return outlet.finish(Err(WontSay { word: "13".to_owned() })).await;
        }
        let (sent, gone) = (self.sent.clone(), self.gone.clone());
        context.spawn(async move {
            for number in 1..=count.number {
                let letters = "x".repeat(count.letters);
                if outlet.send(Counted { number, letters }).await.is_err() {
                    gone.fetch_add(1, SeqCst);
                    return;
                }
                sent.fetch_add(1, SeqCst);
            }
            outlet.finish(Ok(count.number)).await;
        });
    }
}

impl Handle<Spell> for Worker {
    async fn handle(&mut self, spell: Spell, _: &mut Context) -> Result<String, Never> {
        Ok("x".repeat(spell.letters))
    }
}

impl Handle<Crash> for Worker {
    async fn handle(&mut self, _: Crash, _: &mut Context) -> Result<(), Never> {
        panic!("as it was told");
    }
}

impl Handle<Blame> for Worker {
    async fn handle(&mut self, blame: Blame, _: &mut Context) -> Result<(), Never> {
        panic!("as it was told, {} is to blame", blame.whom);
    }
}

impl Handle<Report> for Worker {
    async fn handle(&mut self, _: Report, _: &mut Context) -> Result<Reported, Never> {
        Ok(Reported {
            notes: self.notes.clone(),
            forgotten: self.brooding.iter().filter(|promise| promise.is_forgotten()).count(),
            sent: self.sent.load(SeqCst),
            gone: self.gone.load(SeqCst),
        })
    }
}

const TOPOLOGY: &str = r#"
[groups.here]
[groups.away]
node = "pc2"

[agents."here/lamp"]
kind = "worker"
[agents."here/desk"]
kind = "worker"
[agents."away/oven"]
kind = "worker"
"#;

pub fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

/// A house, its gateway, and the folder of both.
pub struct Place {
    pub scratch: tempfile::TempDir,
    pub house: House,
    pub gateway: Gateway,
    /// Where clients reach it over TLS.
    pub at: SocketAddr,
}

impl Place {
    pub async fn new() -> Self {
        Self::with(Catalogue::new().with::<Worker>("worker"), TOPOLOGY).await
    }

    /// One in which others live.
    pub async fn with(kinds: Catalogue, topology: &str) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let trust = scratch.path().join("trust");
        let name = NodeName::new("main").unwrap();
        Authority::found(&trust, &name, SystemTime::now()).unwrap();
        let node = Node::new(NodeOptions::new(name));
        let topology = Topology::parse(topology, &kinds).unwrap();
        let house = House::begin(node, kinds, topology).await.unwrap();
        house.up().await.unwrap();
        let gateway = Gateway::new(house.clone(), &trust);
        gateway.serve_unix(&scratch.path().join("clients.sock")).unwrap();
        let at = gateway.serve_tcp("127.0.0.1:0".parse().unwrap()).await.unwrap();
        gateway.is_serving(true).await;
        Self { scratch, house, gateway, at }
    }

    pub fn trust(&self) -> PathBuf {
        self.scratch.path().join("trust")
    }

    pub fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.trust().join(name)).unwrap()
    }

    pub fn socket(&self) -> PathBuf {
        self.scratch.path().join("clients.sock")
    }

    /// The owner, at the Unix socket.
    pub async fn owner(&self) -> Client {
        Client::unix(self.socket()).await.unwrap()
    }

    /// A connection of somebody who has no client of ours.
    pub async fn channel(&self) -> tonic::transport::Channel {
        let socket = self.socket();
        let connect = tower::service_fn(move |_: tonic::transport::Uri| {
            let socket = socket.clone();
            async move {
                tokio::net::UnixStream::connect(socket).await.map(hyper_util::rt::TokioIo::new)
            }
        });
        let endpoint = tonic::transport::Endpoint::from_static("http://genii.invalid");
        endpoint.connect_with_connector(connect).await.unwrap()
    }

    pub fn household(&self) -> Household {
        Household::from_pem(&self.file("household.crt")).unwrap()
    }

    /// Makes a token.
    pub fn token(&self, allow: &[&str], verbs: &[Verb]) -> (Token, String) {
        let spec = TokenSpec {
            name: "a test".to_owned(),
            allow: allow.iter().map(|pattern| pattern.parse().unwrap()).collect(),
            verbs: verbs.to_vec(),
            span: Duration::from_secs(3_600),
        };
        let tokens = Tokens::open(&self.trust()).unwrap();
        let (token, bearer) = tokens.make(spec, SystemTime::now()).unwrap();
        (token, bearer.line())
    }

    /// Takes a token back.
    pub fn revoke(&self, id: &str) {
        Tokens::open(&self.trust()).unwrap().revoke(id, SystemTime::now()).unwrap();
    }

    /// Somebody who comes over TLS with a token.
    pub async fn holder(&self, token: &str) -> Result<Client, ConnectError> {
        let proof = Proof::Token(token.to_owned());
        Client::tcp(&self.at.to_string(), self.household(), proof).await
    }

    /// What a worker reports, once it is so.
    pub async fn report(&self, of: &str, is_so: impl Fn(&Reported) -> bool) -> Reported {
        let mail = self.house.node().to(address(of));
        let began = Instant::now();
        loop {
            let report = mail.ask(Report {}).await.unwrap();
            if is_so(&report) {
                return report;
            }
            assert!(began.elapsed() < DEADLINE, "it never came true: {report:?}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// Why a caller was not let in.
pub fn why<T: std::fmt::Debug, R: std::fmt::Debug>(
    answer: Result<T, CallError<R>>,
) -> genii_protocols::api::Why {
    match answer.unwrap_err() {
        CallError::Denied(refused) => refused.why,
        other => panic!("it should have been denied: {other:?}"),
    }
}
