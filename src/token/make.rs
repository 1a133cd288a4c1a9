//! `genii token new`: makes a token.

use std::process::ExitCode;
use std::time::SystemTime;

use clap::Args;
use genii_protocols::{TimeSpan, Timestamp};
use genii_runtime::trust::scope::{Pattern, Verb};
use genii_runtime::trust::tokens::TokenSpec;
use serde_json::json;

use super::{fault, tokens};
use crate::commands::examples;
use crate::data::Data;
use crate::fault::Fault;
use crate::screen::{Screen, complain};

#[derive(Debug, Args)]
#[command(after_help = examples(&[
    "genii token new --allow 'memory/*' --name game",
    "genii token new --allow core/system-digital-twin --verbs ask --for 1h",
    "genii token new --allow 'being/*' --allow 'world.updates.**' --verbs ask,tell,subscribe",
    "genii token new --allow being/marit --verbs ask,manage --for 1h",
]))]
pub struct NewArgs {
    /// What it is for: addresses, as memory/recall, memory/*, being/guest-*; topics, as world.updates.*,
    /// world.**, topic:bell; or * for everything
    #[arg(long, value_name = "PATTERN", required = true)]
    allow: Vec<Pattern>,
    /// What may be done there: ask, tell, stream, subscribe, publish, watch [default: all of these]; and
    /// manage, with which what is asked or told may change a being, write it out and make it forget
    #[arg(long, value_name = "VERBS", value_delimiter = ',')]
    verbs: Vec<Verb>,
    /// How long it counts; a year at most
    #[arg(long = "for", value_name = "TIME", default_value = "30d")]
    span: TimeSpan,
    /// Whom or what it is for, in your words [default: nothing]
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    name: String,
    /// Print an object with `token`, `id` and `expires`
    #[arg(long)]
    json: bool,
}

/// Makes a token and prints it.
pub fn run(args: &NewArgs, data: &Data) -> Result<ExitCode, Fault> {
    let verbs = match args.verbs.is_empty() {
        true => Verb::USUAL.to_vec(),
        false => args.verbs.clone(),
    };
    let (name, allow, span) = (args.name.clone(), args.allow.clone(), args.span.0);
    let spec = TokenSpec { name, allow, verbs, span };
    let (token, bearer) = tokens(data)?.make(spec, SystemTime::now()).map_err(fault)?;
    let expires = super::list::at(token.expires);
    let mut screen = Screen::stdout();
    if args.json {
        let (line, id) = (bearer.line(), &token.id);
        screen.line(json!({ "token": line, "id": id, "expires": expires }).to_string());
        return screen.finish();
    }
    let id = &token.id;
    let until: Timestamp = expires;
    complain(format_args!(
        "counts until {until}, on this machine; it is shown this once; `{} token revoke {id}` takes \
         it back",
        data.genii()
    ));
    screen.line(bearer.line());
    screen.finish()
}
