//! The way to the being, for each thing that is said anew: genii may have been started again meanwhile,
//! and the being may have moved.

use genii_protocols::Name;
use genii_protocols::being::Answered;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use crate::admin::client::{Client, Replies};
use crate::commands::being::ask::Said;
use crate::commands::being::show::Known;
use crate::commands::find;
use crate::data::Data;
use crate::fault::Fault;
use crate::screen::Screen;

/// How many memories `/recall` shows.
const RECALLED: u32 = 5;

/// A conversation with a being.
pub struct Conversation<'a> {
    runtime: &'a Runtime,
    data: &'a Data,
    being: Name,
    speaker: Option<String>,
    /// Whether a person follows it, and no script.
    is_for_person: bool,
    /// The last answer that came to its end.
    last: Option<Answered>,
}

/// How something went that may have been stopped.
pub enum Went<T> {
    /// It came to its end.
    Through(T),
    /// Ctrl-C stopped it, or nobody wanted the rest.
    Stopped,
}

impl<T> Went<T> {
    /// What came of it.
    ///
    /// # Errors
    /// When it was stopped.
    pub fn through(self) -> Result<T, Fault> {
        match self {
            Self::Through(done) => Ok(done),
            Self::Stopped => Err(Fault::new("stopped")),
        }
    }
}

impl<'a> Conversation<'a> {
    /// Sees that the being is there, and that it answers.
    ///
    /// # Errors
    /// When it does not, or genii does not run.
    pub fn begin(
        runtime: &'a Runtime,
        data: &'a Data,
        being: &Name,
        speaker: Option<String>,
        is_for_person: bool,
    ) -> Result<(Self, Known), Fault> {
        let (of, last) = (being.clone(), None);
        let talk = Self { runtime, data, being: of, speaker, is_for_person, last };
        let arguments = json!({ "id": being });
        let known: Known = read(runtime.block_on(talk.asked("being show", &arguments))?)?;
        match &known.silent {
            Some(why) => {
                Err(Fault::new(why.clone()).help(format!("`being show {being}` shows how it is")))
            }
            None => Ok((talk, known)),
        }
    }

    /// On what it goes on.
    pub fn runtime(&self) -> &'a Runtime {
        self.runtime
    }

    /// With whom it is.
    pub fn being(&self) -> &Name {
        &self.being
    }

    /// Who talks with it, if they have said.
    pub fn speaker(&self) -> Option<&str> {
        self.speaker.as_deref()
    }

    /// The data folder of the genii in which it lives.
    pub fn data(&self) -> &Data {
        self.data
    }

    /// The last answer that came to its end.
    pub fn last(&self) -> Option<&Answered> {
        self.last.as_ref()
    }

    /// Says something, and hands on the answer as it comes, until its end or Ctrl-C, or until `hand_on`
    /// says that the rest is not wanted.
    ///
    /// # Errors
    /// When there is no answer, or not the whole of it.
    pub fn say(
        &mut self,
        text: &str,
        hand_on: impl FnMut(&str) -> bool,
    ) -> Result<Went<&Answered>, Fault> {
        let answer = self.runtime.block_on(until_stopped(self.answer(text, hand_on)))?;
        Ok(match answer {
            Went::Through(Some(answered)) => Went::Through(self.last.insert(answered)),
            Went::Through(None) | Went::Stopped => Went::Stopped,
        })
    }

    /// The whole answer; `None` if the rest of it was not wanted, which calls it off.
    async fn answer(
        &self,
        text: &str,
        mut hand_on: impl FnMut(&str) -> bool,
    ) -> Result<Option<Answered>, Fault> {
        let mut client = Client::connect(self.data).await?;
        let said = json!({ "id": self.being, "text": text, "speaker": self.speaker });
        let (mut next, mut replies) = self.said_by(&mut client, "being ask", &said).await?;
        while let Some(said) = next {
            match read(said)? {
                Said::Words(words) if hand_on(&words) => {}
                Said::Words(_) => return Ok(None),
                Said::Answered(answered) => return Ok(Some(answered)),
            }
            next = replies.next().await?;
        }
        Err(Fault::new(format!("{} broke off in mid-answer", self.being)).help("say it again"))
    }

    /// Waits for what a person is to say next, until it is there or Ctrl-C.
    ///
    /// # Errors
    /// When that fails, or Ctrl-C cannot be heard.
    pub fn wait_for<T>(
        &self,
        next: impl Future<Output = Result<T, Fault>>,
    ) -> Result<Went<T>, Fault> {
        self.runtime.block_on(until_stopped(next))
    }

    /// What it remembers of something, unless Ctrl-C ends the wait for that.
    ///
    /// # Errors
    /// When it does not tell.
    pub fn recall(&self, words: &str) -> Result<Went<Value>, Fault> {
        self.ask(
            "being recall",
            &json!({
                "id": self.being, "query": words, "limit": RECALLED,
                "from": null, "until": null, "speaker": null, "kind": [],
            }),
        )
    }

    /// The last turns, as [`Conversation::recall`] tells.
    ///
    /// # Errors
    /// When it does not tell.
    pub fn history(&self, turns: u32) -> Result<Went<Value>, Fault> {
        let arguments = json!({ "id": self.being, "limit": turns, "before": null });
        self.ask("being history", &arguments)
    }

    fn ask(&self, command: &str, arguments: &Value) -> Result<Went<Value>, Fault> {
        self.runtime.block_on(until_stopped(self.asked(command, arguments)))
    }

    async fn asked(&self, command: &str, arguments: &Value) -> Result<Value, Fault> {
        let mut client = Client::connect(self.data).await?;
        let (said, _) = self.said_by(&mut client, command, arguments).await?;
        said.ok_or_else(|| Fault::new(format!("{command} said nothing")))
    }

    /// What a command says.
    async fn said_by(
        &self,
        client: &mut Client,
        command: &str,
        arguments: &Value,
    ) -> Result<(Option<Value>, Replies), Fault> {
        client.run_patiently(None, command, arguments, self.is_for_person).await
    }
}

/// Writes what a command has said, for a person to read.
///
/// # Errors
/// When another version of genii said it.
pub fn show(command: &str, said: Value, screen: &mut Screen) -> Result<(), Fault> {
    find(command).map_or(Ok(()), |entry| entry.show(said, screen))
}

fn read<T: DeserializeOwned>(said: Value) -> Result<T, Fault> {
    serde_json::from_value(said).map_err(|error| {
        Fault::new(format!("the answer is of another version of genii: {error}"))
            .help("use the same version as the one that runs")
    })
}

/// Goes on until it is done, or Ctrl-C ends it.
async fn until_stopped<T>(doing: impl Future<Output = Result<T, Fault>>) -> Result<Went<T>, Fault> {
    // Heard from now on: what was pressed at the prompt is no signal.
    let mut interrupts = signal(SignalKind::interrupt())
        .map_err(|error| Fault::new(format!("Ctrl-C cannot be heard: {error}")))?;
    tokio::select! {
        _ = interrupts.recv() => Ok(Went::Stopped),
        done = doing => done.map(Went::Through),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use genii_protocols::Name;
    use parking_lot::{Mutex, MutexGuard};
    use rustix::process::{Signal, getpid, kill_process};

    use super::*;
    use crate::admin::server::AdminSocket;
    use crate::commands::Side;
    use crate::commands::being::stand_ins::{NOTICED, TALK_ON, side, side_without_registry};

    /// How long anything may take.
    const DEADLINE: Duration = Duration::from_secs(30);

    /// Held by the one conversation that there is: Ctrl-C would stop the others too.
    static ALONE: Mutex<()> = Mutex::new(());

    /// A running genii with one being, in a folder.
    struct Genii {
        runtime: Runtime,
        data: Data,
        _scratch: tempfile::TempDir,
        _alone: MutexGuard<'static, ()>,
    }

    impl Genii {
        fn new() -> Self {
            let alone = ALONE.lock();
            let scratch = tempfile::tempdir().unwrap();
            let data = Data::new(Some(scratch.path().to_owned())).unwrap();
            Self { runtime: Runtime::new().unwrap(), data, _scratch: scratch, _alone: alone }
        }

        fn open(&self) -> AdminSocket {
            self.open_on(self.runtime.block_on(side(1)))
        }

        fn open_on(&self, side: Side) -> AdminSocket {
            let _within = self.runtime.enter();
            AdminSocket::open(&self.data.socket(), side).unwrap()
        }

        fn close(&self, socket: AdminSocket) {
            socket.unlink();
            self.runtime.block_on(socket.close());
        }

        fn begin(&self, being: &str) -> Result<(Conversation<'_>, Known), Fault> {
            let being = Name::new(being).unwrap();
            Conversation::begin(&self.runtime, &self.data, &being, Some("Ann".to_owned()), true)
        }
    }

    #[test]
    fn what_is_said_is_answered_in_parts_and_the_last_answer_is_kept() {
        let genii = Genii::new();
        let _socket = genii.open();
        let (mut talk, known) = genii.begin("marit").unwrap();
        assert_eq!(known.info.unwrap().turns, 450);
        let mut words = Vec::new();
        let keep = |part: &str| {
            words.push(part.to_owned());
            true
        };
        talk.say("hello", keep).unwrap();
        assert_eq!(words, ["You said: ", "hello"]);
        assert_eq!(talk.last().unwrap().recalled.len(), 1);
        let recalled = talk.recall("nuts").and_then(Went::through).unwrap();
        assert_eq!(recalled["memories"].as_array().unwrap().len(), 2);
        let history = talk.history(3).and_then(Went::through).unwrap();
        assert_eq!(history["turns"].as_array().unwrap().len(), 3);
        let no = talk.say("", |_| true).map(drop).unwrap_err();
        assert_eq!(no.message, "marit: nothing was said");
    }

    #[test]
    fn ctrl_c_stops_an_answer_and_not_the_conversation() {
        let genii = Genii::new();
        let _socket = genii.open();
        let (mut talk, _) = genii.begin("marit").unwrap();
        // Once: what is pressed again, at the next words, might be for what is said next.
        let mut is_pressed = false;
        let went = talk.say(&format!("{TALK_ON} until Ctrl-C"), |_| {
            if !std::mem::replace(&mut is_pressed, true) {
                kill_process(getpid(), Signal::INT).unwrap();
            }
            true
        });
        assert!(matches!(went, Ok(Went::Stopped)));
        assert!(talk.last().is_none());
        assert!(matches!(talk.say("hello", |_| true), Ok(Went::Through(_))));
    }

    #[test]
    fn an_answer_whose_rest_is_not_wanted_is_called_off() {
        let genii = Genii::new();
        let _socket = genii.open();
        let (mut talk, _) = genii.begin("marit").unwrap();
        let text = format!("{TALK_ON} to nobody");
        let mut parts = 0;
        let went = talk.say(&text, |_| {
            parts += 1;
            false
        });
        assert!(matches!(went, Ok(Went::Stopped)));
        assert_eq!(parts, 1);
        assert!(talk.last().is_none());
        let until = Instant::now() + DEADLINE;
        while !NOTICED.lock().contains(&text) {
            assert!(Instant::now() < until, "it talks on");
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(matches!(talk.say("hello", |_| true), Ok(Went::Through(_))));
    }

    #[test]
    fn a_genii_that_was_started_again_is_found_again() {
        let genii = Genii::new();
        let socket = genii.open();
        let (mut talk, _) = genii.begin("marit").unwrap();
        genii.close(socket);
        let gone = talk.say("hello", |_| true).map(drop).unwrap_err();
        assert!(gone.message.contains("no genii runs on"), "{gone}");
        let _socket = genii.open();
        assert!(matches!(talk.say("hello", |_| true), Ok(Went::Through(_))));
    }

    #[test]
    fn a_conversation_begins_while_the_registry_is_away() {
        let genii = Genii::new();
        let _socket = genii.open_on(genii.runtime.block_on(side_without_registry()));
        let (mut talk, known) = genii.begin("marit").unwrap();
        assert_eq!(known.info.unwrap().turns, 450);
        assert!(matches!(talk.say("hello", |_| true), Ok(Went::Through(_))));
    }

    #[test]
    fn a_conversation_with_nobody_does_not_begin() {
        let genii = Genii::new();
        let nobody = |being: &str| genii.begin(being).map(drop).unwrap_err().to_string();
        assert!(nobody("marit").contains("no genii runs on"));
        let _socket = genii.open();
        assert!(nobody("mart").contains("did you mean marit?"));
    }
}
