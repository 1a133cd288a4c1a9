//! `genii token list`: the tokens, and how often each was used.

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use genii_protocols::Timestamp;
use genii_protocols::api::Why;
use genii_runtime::trust::tokens::{Token, Uses};
use serde_json::json;

use super::{fault, tokens};
use crate::cli::JsonArg;
use crate::data::Data;
use crate::fault::Fault;
use crate::screen::Screen;

/// Lists the tokens.
pub fn run(args: &JsonArg, data: &Data) -> Result<ExitCode, Fault> {
    let listed = tokens(data)?.list().map_err(|error| fault(error.into()))?;
    let mut screen = Screen::stdout();
    match args.json {
        true => {
            let all: Vec<_> = listed.iter().map(|(token, uses)| json_of(token, uses)).collect();
            screen.line(json!(all).to_string());
        }
        false if listed.is_empty() => {
            let genii = data.genii();
            screen.line(format!("there are no tokens; `{genii} token new` makes one"));
        }
        false => {
            let rows = listed.iter().map(|(token, uses)| cells(token, uses)).collect();
            let header = ["id", "name", "state", "until", "allows", "to", "uses", "last used"];
            screen.table(&header, rows);
        }
    }
    screen.finish()
}

/// A moment, as people write it.
pub fn at(seconds: u64) -> Timestamp {
    Timestamp::from(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}

fn state(token: &Token) -> &'static str {
    match token.ended(SystemTime::now()) {
        None => "good",
        Some(Why::Revoked) => "revoked",
        Some(_) => "expired",
    }
}

fn last_used(uses: &Uses) -> Option<Timestamp> {
    (uses.last > 0).then(|| at(uses.last))
}

fn json_of(token: &Token, uses: &Uses) -> serde_json::Value {
    json!({
        "id": token.id,
        "name": token.name,
        "state": state(token),
        "allow": token.scope.allow,
        "verbs": token.scope.verbs,
        "made": at(token.made),
        "expires": at(token.expires),
        "revoked": token.revoked.map(at),
        "uses": uses.count,
        "last_used": last_used(uses),
    })
}

fn cells(token: &Token, uses: &Uses) -> Vec<String> {
    let list = |all: Vec<String>| all.join(", ");
    vec![
        token.id.clone(),
        token.name.clone(),
        state(token).to_owned(),
        at(token.expires).to_string(),
        list(token.scope.verbs.iter().map(ToString::to_string).collect()),
        list(token.scope.allow.iter().map(ToString::to_string).collect()),
        uses.count.to_string(),
        last_used(uses).map(|at| at.to_string()).unwrap_or_default(),
    ]
}
