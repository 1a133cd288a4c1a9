//! `messages`: what may be said to an agent.

use genii_protocols::{Address, MessageInfo, Style};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::pinned::{Pin, Pinned};
use super::whom::not_awake;
use super::{Command, Out, Refusal, Side};
use crate::schema;
use crate::screen::Screen;

pub struct Messages;

#[derive(Debug, clap::Args, Serialize, Deserialize)]
pub struct Args {
    /// The agent, as `core/system-digital-twin`; with `@NODE` behind it, of that machine
    #[arg(value_name = "ADDR")]
    address: Pinned<Address>,
    /// One message, with its JSON schemas
    #[arg(value_name = "MESSAGE")]
    message: Option<String>,
}

/// The messages of an agent.
#[derive(Debug, Serialize, Deserialize)]
pub struct Answers {
    /// Each with its schemas.
    pub messages: Vec<MessageInfo>,
    /// Whether one was asked for by name.
    in_full: bool,
}

impl Command for Messages {
    const NAME: &'static str = "messages";
    const ABOUT: &'static str =
        "List the messages that an agent answers, or show the JSON schemas of one";
    const EXAMPLES: &'static [&'static str] =
        &["messages core/system-digital-twin", "messages core/system-digital-twin twin.what_if"];
    type Args = Args;
    type Said = Answers;

    fn about(args: &Args) -> Option<&str> {
        Some(args.address.name.as_str())
    }

    fn unpin(args: &mut Args) -> Option<Pin> {
        args.address.unpin()
    }

    async fn serve(args: Args, side: Side, out: Out<Answers>) -> Result<(), Refusal> {
        let address = args.address.name;
        let mut messages = match of(&side, &address) {
            Ok(messages) => messages,
            Err(no) => return Err(not_awake(&side, address.as_str()).await.unwrap_or(no)),
        };
        if let Some(name) = &args.message {
            let names: Vec<String> = messages.iter().map(|info| info.name.clone()).collect();
            messages.retain(|info| info.name == *name);
            if messages.is_empty() {
                let known = names.iter().map(String::as_str);
                let help = match genii_runtime::nearest(name, known) {
                    Some(nearest) => format!("did you mean {nearest}?"),
                    None => format!("it answers {}", names.join(", ")),
                };
                let message = format!("{address} does not answer {name:?}");
                return Err(Refusal::new(message).help(help));
            }
        }
        out.say(Answers { messages, in_full: args.message.is_some() }).await
    }

    fn show(said: Answers, screen: &mut Screen) {
        if said.messages.is_empty() {
            screen.line("it answers no messages");
        }
        for info in &said.messages {
            let style = if info.style == Style::Stream { " (streams)" } else { "" };
            let request = schema::signature(&info.request.0);
            screen.line(format!("{}{style} {}", screen.bold(&info.name), screen.faint(&request)));
            if !info.about.is_empty() {
                screen.line(format!("    {}", info.about.replace('\n', "\n    ")));
            }
            if said.in_full {
                show_schemas(info, screen);
            }
        }
    }
}

/// The messages that an agent answers: those of its life, or of its kind when it does not run.
pub fn of(side: &Side, address: &Address) -> Result<Vec<MessageInfo>, Refusal> {
    if let Some(messages) = side.house.node().messages(address) {
        return Ok(messages);
    }
    let member = side.house.member(address.as_str())?;
    let kind = member.spec.map(|spec| spec.kind);
    let messages = kind.and_then(|kind| side.house.catalogue().messages(&kind));
    messages.ok_or_else(|| Refusal::new(format!("{address} does not run")))
}

fn show_schemas(info: &MessageInfo, screen: &mut Screen) {
    let parts: [(&str, Option<&Value>); 4] = [
        ("request", Some(&info.request.0)),
        ("item", info.item.as_ref().map(|item| &item.0)),
        ("reply", Some(&info.reply.0)),
        ("refusal", info.refusal.as_ref().map(|refusal| &refusal.0)),
    ];
    for (name, schema) in parts {
        if let Some(schema) = schema {
            screen.line(format!("{name}:"));
            screen.json(schema);
        }
    }
}
