//! `ask`: asks an agent, and shows its answer or, where it streams, its answers.

use genii_protocols::{AskError, Destination, Fault, Json, Rejection, Style, TimeSpan};
use genii_runtime::process::KIND;
use genii_runtime::{House, JsonNext, Mail};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Command, Out, Refusal, Side};
use crate::schema;
use crate::screen::Screen;

pub struct Ask;

#[derive(Debug, clap::Args, Serialize, Deserialize)]
pub struct Args {
    #[command(flatten)]
    #[serde(flatten)]
    letter: Letter,
    /// How long to wait for the answer, or for each item of a stream [default: the setting `ask_timeout`]
    #[arg(long, value_name = "TIME")]
    timeout: Option<TimeSpan>,
}

/// A message to an agent.
#[derive(Debug, clap::Args, Serialize, Deserialize)]
pub struct Letter {
    /// The agent, as `core/system-digital-twin`; with `@NODE` behind it, of that machine
    #[arg(value_name = "ADDR")]
    pub to: Destination,
    /// The wire name of the message; `messages ADDR` lists them
    #[arg(value_name = "MESSAGE")]
    pub message: String,
    /// What it holds, as JSON
    #[arg(value_name = "JSON", default_value = "{}", value_parser = json)]
    pub content: Json,
}

/// What an agent answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// An item of a stream.
    Item(Json),
    /// The answer, or what sums up a stream.
    Reply(Json),
}

impl Command for Ask {
    const NAME: &'static str = "ask";
    const ABOUT: &'static str = "Ask an agent, and show its answer";
    const EXAMPLES: &'static [&'static str] = &[
        "ask pc2-core/health-monitor health.check",
        "ask core/system-digital-twin twin.what_if '{\"goes\": [\"pc2-core/unified-error\"]}'",
    ];
    const SHOWS_JSON: bool = true;
    type Args = Args;
    type Said = Answer;

    async fn serve(args: Args, side: Side, out: Out<Answer>) -> Result<(), Refusal> {
        let Args { letter: Letter { to, message, content }, timeout } = args;
        let node = side.house.node();
        let timeout = timeout.map_or(node.limits().ask_timeout, |timeout| timeout.0);
        let mail = node.to(to.clone());
        let refusal = |error| refusal(&side.house, &to, &message, error);
        if node.message_style(&to.address, &message) == Some(Style::Stream) {
            return stream(&mail, &message, &content, timeout, out, refusal).await;
        }
        match mail.ask_json(&message, &content, timeout).await {
            Ok(reply) => out.say(Answer::Reply(reply)).await,
            // Of an agent elsewhere only that machine knows, and it has not begun.
            Err(error) if is_for_streams(&error) => {
                stream(&mail, &message, &content, timeout, out, refusal).await
            }
            Err(error) => Err(refusal(error)),
        }
    }

    fn show(said: Answer, screen: &mut Screen) {
        let (Answer::Item(json) | Answer::Reply(json)) = said;
        screen.json(&json.0);
    }
}

fn is_for_streams(error: &AskError<Json>) -> bool {
    let Some(Fault::Rejected { reason, .. }) = error.fault() else { return false };
    matches!(reason, Rejection::WrongStyle { expected } if expected == "a stream")
}

async fn stream(
    mail: &Mail,
    message: &str,
    content: &Json,
    patience: std::time::Duration,
    out: Out<Answer>,
    refusal: impl Fn(AskError<Json>) -> Refusal,
) -> Result<(), Refusal> {
    let answers = mail.stream_json(message, content, patience).await;
    let mut answers = answers.map_err(|fault| refusal(fault.into()))?;
    loop {
        match answers.next().await {
            JsonNext::Item(item) => out.say(Answer::Item(item)).await?,
            JsonNext::End(Ok(reply)) => return out.say(Answer::Reply(reply)).await,
            JsonNext::End(Err(error)) => return Err(refusal(error)),
        }
    }
}

/// Why there is no answer: no in the words of the agent, or a fault.
fn refusal(house: &House, to: &Destination, message: &str, error: AskError<Json>) -> Refusal {
    match error {
        AskError::Refused(Json(no)) => {
            let form = house.catalogue().message(message).and_then(|info| info.refusal);
            Refusal::new(format!("{to} refuses: {}", in_words(form.as_ref(), &no)))
        }
        AskError::Fault(fault) => fault_refusal(house, to, &fault),
    }
}

/// A refusal with what its schema says about it, which may be all that there is: some hold nothing.
fn in_words(form: Option<&Json>, no: &Value) -> String {
    let told = form.and_then(|form| {
        let title = form.0.get("title").and_then(Value::as_str).unwrap_or_default();
        Some(format!("{} ({})", schema::about(&form.0, no)?, format!("{title} {no}").trim_start()))
    });
    told.unwrap_or_else(|| no.to_string())
}

/// A fault, with the command that tells more about it.
pub fn fault_refusal(house: &House, to: &Destination, fault: &Fault) -> Refusal {
    let help = match fault {
        Fault::NotFound { .. } if to.address.as_str().starts_with("being/") => {
            "`being list` shows all".to_owned()
        }
        Fault::NotFound { .. } => "`ps` lists all agents".to_owned(),
        Fault::Rejected { .. } if is_process(house, to) => {
            let message = format!("{to} is a process, and answers no messages");
            return Refusal::new(message).help(format!("`log {to}` shows what it prints"));
        }
        Fault::Rejected { .. } => format!("`messages {to}` lists what it answers"),
        // One that is not pinned is known here, and `why` says more.
        Fault::Unreachable { node, .. } if to.node.is_some() => {
            format!("`nodes` shows how {node} stands")
        }
        Fault::Timeout { .. } => format!("`inspect {to}` shows what it does; or --timeout"),
        _ => format!("`why {to}` tells the cause"),
    };
    Refusal::new(fault.to_string()).help(help)
}

/// Whether an agent is a process, for all that is known here.
fn is_process(house: &House, to: &Destination) -> bool {
    let spec = house.member(to.address.as_str()).ok().and_then(|member| member.spec);
    spec.is_some_and(|spec| spec.kind == KIND)
}

/// Reads JSON from a command line.
pub fn json(text: &str) -> Result<Json, String> {
    serde_json::from_str(text).map_err(|error| format!("it is no JSON: {error}"))
}
