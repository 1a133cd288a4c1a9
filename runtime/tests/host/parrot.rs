//! An agent that does as it is told, and the house it lives in.

use std::sync::Arc;
use std::time::Duration;

use genii_protocols::{Address, Json, Never, NodeName, message};
use genii_runtime::{
    Agent, Context, Down, Handle, HandleLater, HandleStream, Health, Limits, Node, NodeOptions,
    Outlet, Promise, Protocol, WatchId,
};
use genii_supervision::{
    Backoff, ChildPolicy, Edges, GiveUp, Intensity, NeedChange, Shutdown, StartError, StartOrder,
    Supervisor, SupervisorFlags, SupervisorHandle, SupervisorSpec,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How long anything may take, on the paused clock.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Say it back.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Echo {
    /// What to say.
    pub text: String,
}
message!(Echo = "parrot.echo" -> String, refused by WontSay);

/// It will not say that.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[error("it will not say {word:?}")]
pub struct WontSay {
    /// The word.
    pub word: String,
}

/// Note a number, and take so many milliseconds over it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Note {
    pub number: u64,
    #[serde(default)]
    pub millis: u64,
}
message!(Note = "parrot.note" -> u64);

/// What was noted, in order.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Notes {}
message!(Notes = "parrot.notes" -> Vec<u64>);

/// Do something that agents do only when something is wrong, or nothing is left to do.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub enum Misbehave {
    Panic,
    PanicInTask,
    Finish,
    Hang,
}
message!(Misbehave = "parrot.misbehave" -> ());

/// Ask somebody else to say it back, and say how.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Relay {
    pub to: Address,
    pub millis: u64,
}
message!(Relay = "parrot.relay" -> String);

/// Answer after so many milliseconds, and go on meanwhile. Never, if that is zero.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct AnswerLater {
    pub millis: u64,
}
message!(AnswerLater = "parrot.answer_later" -> String);

/// Owe an answer, and never give it: the parrot itself, or a task that panics over it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Owe {
    pub in_task: bool,
}
message!(Owe = "parrot.owe" -> ());

/// Count up to a number.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct CountTo {
    pub number: u64,
    /// Break off after so many, by panic.
    pub panic_at: Option<u64>,
}
message!(CountTo = "parrot.count_to" -> u64, refused by WontSay, streams u64);

/// Watch, or be linked to, an address.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Attend {
    pub to: Address,
    pub link: bool,
}
message!(Attend = "parrot.attend" -> ());

/// Take so many milliseconds, and then attend to nobody any more.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct LetGo {
    pub millis: u64,
}
message!(LetGo = "parrot.let_go" -> ());

/// A message that no parrot knows.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Unknown {}
message!(Unknown = "parrot.ecko" -> ());

/// Note a number every so many milliseconds.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Tick {
    pub millis: u64,
}
message!(Tick = "parrot.tick" -> ());

/// What a parrot is set to.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ParrotSettings {
    pub refuses: String,
    pub slow_stop_millis: u64,
    pub ready_after_millis: Option<u64>,
}

/// What a parrot has noted, and seen happen to others.
pub struct Parrot {
    settings: ParrotSettings,
    notes: Vec<u64>,
    seen: Vec<String>,
    attends: Vec<WatchId>,
    owes: Vec<Promise<Owe>>,
}

impl Agent for Parrot {
    type Settings = ParrotSettings;

    fn protocol() -> Protocol<Self> {
        Protocol::new()
            .on::<Echo>()
            .on::<Note>()
            .on::<Notes>()
            .on::<Misbehave>()
            .on::<Relay>()
            .on_later::<AnswerLater>()
            .on_later::<Owe>()
            .on_stream::<CountTo>()
            .on::<Attend>()
            .on::<LetGo>()
            .on::<Tick>()
    }

    async fn start(settings: ParrotSettings, context: &mut Context) -> Result<Self, StartError> {
        if settings.refuses == "starting" {
            return Err(StartError::failed("it will not start"));
        }
        if let Some(millis) = settings.ready_after_millis {
            context.ready_later();
            let report = context.report();
            context.spawn(async move {
                tokio::time::sleep(Duration::from_millis(millis)).await;
                report.ready();
            });
        }
        let (notes, seen, attends, owes) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Ok(Self { settings, notes, seen, attends, owes })
    }

    fn health(&self) -> Health {
        match self.notes.len() {
            0..10 => Health::Well,
            _ => Health::Degraded("it has noted too much".to_owned()),
        }
    }

    fn snapshot(&self) -> Json {
        assert!(self.settings.refuses != "looks", "do not look");
        Json(serde_json::json!({ "notes": self.notes, "seen": self.seen }))
    }

    async fn need_changed(&mut self, change: NeedChange, _: &mut Context) {
        self.seen.push(format!("{}: {:?}", change.key, change.standing));
    }

    async fn down(&mut self, down: &Down, _: &mut Context) {
        self.seen.push(format!("{} went down: {}", down.address, down.cause));
    }

    async fn stop(&mut self, _: &mut Context) {
        tokio::time::sleep(Duration::from_millis(self.settings.slow_stop_millis)).await;
    }
}

impl Handle<Echo> for Parrot {
    async fn handle(&mut self, Echo { text }: Echo, _: &mut Context) -> Result<String, WontSay> {
        let refuses = !self.settings.refuses.is_empty() && text.contains(&self.settings.refuses);
        if refuses { Err(WontSay { word: self.settings.refuses.clone() }) } else { Ok(text) }
    }
}

impl Handle<Note> for Parrot {
    async fn handle(&mut self, note: Note, _: &mut Context) -> Result<u64, Never> {
        tokio::time::sleep(Duration::from_millis(note.millis)).await;
        self.notes.push(note.number);
        Ok(note.number)
    }
}

impl Handle<Notes> for Parrot {
    async fn handle(&mut self, _: Notes, _: &mut Context) -> Result<Vec<u64>, Never> {
        Ok(self.notes.clone())
    }
}

impl Handle<Misbehave> for Parrot {
    async fn handle(&mut self, how: Misbehave, context: &mut Context) -> Result<(), Never> {
        match how {
            Misbehave::Panic => panic!("told to panic"),
            Misbehave::PanicInTask => context.spawn(async { panic!("told to panic in a task") }),
            Misbehave::Finish => context.finish(),
            Misbehave::Hang => std::future::pending().await,
        }
        Ok(())
    }
}

impl Handle<Relay> for Parrot {
    async fn handle(&mut self, relay: Relay, context: &mut Context) -> Result<String, Never> {
        let note = Note { number: 1, millis: relay.millis };
        let answer = context.to(relay.to).ask_within(note, PATIENCE).await;
        Ok(match answer {
            Ok(number) => format!("{number}"),
            Err(error) => error.to_string(),
        })
    }
}

impl HandleLater<AnswerLater> for Parrot {
    async fn handle_later(
        &mut self,
        later: AnswerLater,
        promise: Promise<AnswerLater>,
        context: &mut Context,
    ) {
        if later.millis > 0 {
            context.spawn(async move {
                tokio::time::sleep(Duration::from_millis(later.millis)).await;
                promise.answer("at last".to_owned());
            });
        }
    }
}

impl HandleLater<Owe> for Parrot {
    async fn handle_later(&mut self, owe: Owe, promise: Promise<Owe>, context: &mut Context) {
        if !owe.in_task {
            return self.owes.push(promise);
        }
        context.spawn(async move {
            let _owed = promise;
            tokio::task::yield_now().await;
            panic!("told to panic in a task that owes an answer");
        });
    }
}

impl HandleStream<CountTo> for Parrot {
    async fn handle_stream(
        &mut self,
        count: CountTo,
        mut outlet: Outlet<CountTo>,
        context: &mut Context,
    ) {
        if count.number == 13 {
            return outlet.finish(Err(WontSay { word: "13".to_owned() })).await;
        }
        if count.number == 0 {
            return;
        }
        context.spawn(async move {
            for number in 1..=count.number {
                assert_ne!(Some(number), count.panic_at, "told to panic while counting");
                if outlet.send(number).await.is_err() {
                    return;
                }
            }
            outlet.finish(Ok(count.number)).await;
        });
    }
}

impl Handle<Attend> for Parrot {
    async fn handle(&mut self, attend: Attend, context: &mut Context) -> Result<(), Never> {
        self.attends.push(match attend.link {
            true => context.link(&attend.to),
            false => context.monitor(&attend.to),
        });
        Ok(())
    }
}

impl Handle<LetGo> for Parrot {
    async fn handle(
        &mut self,
        LetGo { millis }: LetGo,
        context: &mut Context,
    ) -> Result<(), Never> {
        tokio::time::sleep(Duration::from_millis(millis)).await;
        for watch in self.attends.drain(..) {
            context.unwatch(watch);
        }
        Ok(())
    }
}

impl Handle<Tick> for Parrot {
    async fn handle(&mut self, tick: Tick, context: &mut Context) -> Result<(), Never> {
        let period = Duration::from_millis(tick.millis);
        context.send_every(period, || Note { number: 7, millis: 0 });
        context.send_after(2 * period, Note { number: 8, millis: 0 });
        Ok(())
    }
}

/// A house of parrots.
pub struct House {
    pub node: Node,
    pub supervisor: SupervisorHandle,
}

pub fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

pub fn policy() -> ChildPolicy {
    let backoff = Backoff { first: Duration::from_secs(1), jitter: 0.0, ..Backoff::default() };
    ChildPolicy {
        backoff: Some(backoff),
        give_up: GiveUp::Quarantine,
        shutdown: Shutdown::Within(Duration::from_secs(5)),
        ..ChildPolicy::default()
    }
}

impl House {
    pub async fn new() -> Self {
        Self::with_limits(Limits::default()).await
    }

    pub async fn with_limits(limits: Limits) -> Self {
        let name = NodeName::new("test").unwrap();
        let node = Node::new(NodeOptions { limits, seed: 1, ..NodeOptions::new(name) });
        let flags = SupervisorFlags {
            intensity: Intensity { restarts: 3, window: Duration::from_secs(60) },
            start_order: StartOrder::Graph,
            ..SupervisorFlags::default()
        };
        let spec = SupervisorSpec::new("house").with_flags(flags);
        let supervisor = Supervisor::start(spec, node.tree().clone()).await.unwrap();
        Self { node, supervisor }
    }

    /// Lets a parrot live at an address.
    pub async fn parrot(&self, at: &str) -> Address {
        self.parrot_with(at, serde_json::Value::Object(Default::default()), Edges::default()).await
    }

    pub async fn parrot_with(
        &self,
        at: &str,
        settings: serde_json::Value,
        edges: Edges,
    ) -> Address {
        let address = address(at);
        let fallback = edges.fallback.as_ref().map(|key| Address::parse(key.as_str()).unwrap());
        self.node.declare(&address, fallback.as_ref(), None);
        let child = self.node.agent::<Parrot>(&address, Json(settings));
        let child = child.with_policy(policy()).with_edges(edges);
        self.supervisor.start_child(child).await.unwrap();
        address
    }

    /// A parrot whose mailbox holds so many messages.
    pub async fn small_parrot(&self, at: &str, capacity: usize) -> Address {
        let address = address(at);
        let settings = Arc::new(Json(serde_json::json!({})));
        let child = self.node.agent_with::<Parrot>(&address, settings, capacity);
        self.supervisor.start_child(child.with_policy(policy())).await.unwrap();
        address
    }

    pub async fn until(&self, what: &str, condition: impl Fn() -> bool) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while !condition() {
            assert!(tokio::time::Instant::now() < deadline, "never came true: {what}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    pub async fn reborn(&self, address: &Address, before: u64) {
        self.until(&format!("{address} is up again"), || {
            let view = self.node.tree().board.view(address.as_str());
            view.is_some_and(|view| view.incarnation > before && view.status.is_up())
        })
        .await;
    }

    pub fn incarnation(&self, address: &Address) -> u64 {
        self.node.tree().board.view(address.as_str()).map_or(0, |view| view.incarnation)
    }

    pub async fn echo(&self, to: &Address, text: &str) -> Result<String, String> {
        let echo = Echo { text: text.to_owned() };
        self.node.to(to).ask(echo).await.map_err(|error| error.to_string())
    }

    /// What a parrot has seen, by its own account.
    pub async fn seen(&self, address: &Address) -> Vec<String> {
        let snapshot = self.node.snapshot(address, PATIENCE).await.unwrap();
        serde_json::from_value(snapshot.0["seen"].clone()).unwrap()
    }

    pub fn last_crash(&self, address: &Address) -> String {
        let key = address.as_str().into();
        let report = self.node.tree().crashes.last(&key).expect("it has crashed");
        report.failure.to_string()
    }
}
