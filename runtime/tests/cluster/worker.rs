//! An agent that does whatever a test of several machines wants of it.

use std::cell::Cell;
use std::time::Duration;

use genii_protocols::{Never, message};
use genii_runtime::{Agent, Context, Down, Handle, HandleStream, Outlet, Protocol, WatchId};
use genii_supervision::StartError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::machine::address;

/// Say it back, and who says it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Echo {
    pub text: String,
}
message!(Echo = "worker.echo" -> String, refused by WontSay);

/// It does not say that.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
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

/// What was noted, in order.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Notes {}
message!(Notes = "worker.notes" -> Vec<u64>);

/// Do not answer for so many milliseconds.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Dawdle {
    pub millis: u64,
}
message!(Dawdle = "worker.dawdle" -> ());

/// Fail.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Crash {}
message!(Crash = "worker.crash" -> ());

/// Count from one, and crash at 666.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct CountTo {
    pub last: u64,
}
message!(CountTo = "worker.count_to" -> u64, refused by WontSay, streams u64);

/// Say something long many times.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Repeat {
    pub len: usize,
    pub times: usize,
}
message!(Repeat = "worker.repeat" -> (), streams String);

/// Watch a life, or be linked to it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Watch {
    pub whom: String,
    pub is_link: bool,
}
message!(Watch = "worker.watch" -> ());

/// Watch no longer what was watched last.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Unwatch {}
message!(Unwatch = "worker.unwatch" -> ());

/// Watch a life until it has crashed, and then the next, before you are told of the first.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct WatchTwice {
    pub whom: String,
}
message!(WatchTwice = "worker.watch_twice" -> ());

/// Which ends were told.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Told {}
message!(Told = "worker.told" -> Vec<String>);

thread_local! {
    /// How many items all streams of a test have sent, and whether one was ended by its asker.
    pub static SENT: Cell<u64> = const { Cell::new(0) };
    pub static GONE: Cell<bool> = const { Cell::new(false) };
}

pub struct Worker {
    name: String,
    notes: Vec<u64>,
    watched: Option<WatchId>,
    told: Vec<String>,
}

impl Agent for Worker {
    type Settings = ();

    fn protocol() -> Protocol<Self> {
        Protocol::new()
            .on::<Echo>()
            .on::<Note>()
            .on::<Notes>()
            .on::<Dawdle>()
            .on::<Crash>()
            .on_stream::<CountTo>()
            .on_stream::<Repeat>()
            .on::<Watch>()
            .on::<Unwatch>()
            .on::<WatchTwice>()
            .on::<Told>()
    }

    async fn start((): (), context: &mut Context) -> Result<Self, StartError> {
        let name = format!("{}@{}", context.address(), context.node().name());
        Ok(Self { name, notes: Vec::new(), watched: None, told: Vec::new() })
    }

    async fn down(&mut self, down: &Down, _: &mut Context) {
        let how = if down.is_abnormal { "abnormal" } else { "normal" };
        self.told.push(format!("{} {how} {}", down.address, down.cause));
    }
}

impl Handle<Echo> for Worker {
    async fn handle(&mut self, echo: Echo, context: &mut Context) -> Result<String, WontSay> {
        if echo.text == "unsayable" {
            return Err(WontSay { word: echo.text });
        }
        let from = context.sender().map(|sender| sender.address.to_string()).unwrap_or_default();
        Ok(format!("{}{from}: {}", self.name, echo.text))
    }
}

impl Handle<Note> for Worker {
    async fn handle(&mut self, note: Note, _: &mut Context) -> Result<(), Never> {
        self.notes.push(note.number);
        Ok(())
    }
}

impl Handle<Notes> for Worker {
    async fn handle(&mut self, _: Notes, _: &mut Context) -> Result<Vec<u64>, Never> {
        Ok(self.notes.clone())
    }
}

impl Handle<Dawdle> for Worker {
    async fn handle(&mut self, dawdle: Dawdle, _: &mut Context) -> Result<(), Never> {
        tokio::time::sleep(Duration::from_millis(dawdle.millis)).await;
        Ok(())
    }
}

impl HandleStream<CountTo> for Worker {
    async fn handle_stream(
        &mut self,
        count: CountTo,
        mut outlet: Outlet<CountTo>,
        context: &mut Context,
    ) {
        if count.last == 13 {
            return outlet.finish(Err(WontSay { word: "13".to_owned() })).await;
        }
        context.spawn(async move {
            for number in 1..=count.last {
                assert!(count.last != 666 || number < 600, "the number of the beast");
                if outlet.send(number).await.is_err() {
                    return GONE.with(|gone| gone.set(true));
                }
                SENT.with(|sent| sent.set(sent.get() + 1));
            }
            outlet.finish(Ok(count.last)).await;
        });
    }
}

impl HandleStream<Repeat> for Worker {
    async fn handle_stream(
        &mut self,
        repeat: Repeat,
        mut outlet: Outlet<Repeat>,
        context: &mut Context,
    ) {
        context.spawn(async move {
            for _ in 0..repeat.times {
                if outlet.send("x".repeat(repeat.len)).await.is_err() {
                    return;
                }
            }
            outlet.finish(Ok(())).await;
        });
    }
}

impl Handle<Watch> for Worker {
    async fn handle(&mut self, watch: Watch, context: &mut Context) -> Result<(), Never> {
        let whom = address(&watch.whom);
        self.watched = Some(match watch.is_link {
            true => context.link(&whom),
            false => context.monitor(&whom),
        });
        Ok(())
    }
}

impl Handle<Unwatch> for Worker {
    async fn handle(&mut self, _: Unwatch, context: &mut Context) -> Result<(), Never> {
        if let Some(watch) = self.watched.take() {
            context.unwatch(watch);
        }
        Ok(())
    }
}

impl Handle<WatchTwice> for Worker {
    async fn handle(&mut self, watch: WatchTwice, context: &mut Context) -> Result<(), Never> {
        let whom = address(&watch.whom);
        context.monitor(&whom);
        context.to(whom.clone()).ask(Crash {}).await.unwrap_err();
        while context.to(whom.clone()).ask(Notes {}).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.watched = Some(context.monitor(&whom));
        Ok(())
    }
}

impl Handle<Told> for Worker {
    async fn handle(&mut self, _: Told, _: &mut Context) -> Result<Vec<String>, Never> {
        Ok(self.told.clone())
    }
}

impl Handle<Crash> for Worker {
    async fn handle(&mut self, _: Crash, _: &mut Context) -> Result<(), Never> {
        panic!("as it was told");
    }
}
