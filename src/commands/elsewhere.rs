//! Commands that are carried out on another machine of the household.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use genii_protocols::admin::run_reply::Said;
use genii_protocols::{AskError, Json, NodeName};
use genii_runtime::cluster::{Carry, Cluster, Membership};
use genii_runtime::{House, JsonNext};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;

use super::pinned::{Pin, is_known};
use super::{Entry, Refusal, Side, begin, find};

/// The commands that end the machine where they are carried out.
const ENDS: [&str; 2] = ["drain", "shutdown"];

/// How long it may take until it is known how a machine stands whose link is lost, and how often to
/// look.
const LEAVE_PATIENCE: Duration = Duration::from_secs(1);
const LEAVE_LOOK: Duration = Duration::from_millis(5);

/// A command on its way to another machine.
#[derive(Serialize, Deserialize)]
struct Order {
    command: String,
    arguments: Value,
}

/// Why a command was not carried out there.
#[derive(Serialize, Deserialize)]
struct Refused {
    message: String,
    #[serde(default)]
    help: String,
    #[serde(default)]
    passes: bool,
}

/// Carries a command out on another machine, and says here what it says there.
pub async fn run(
    node: NodeName,
    command: &'static str,
    arguments: Value,
    side: Side,
    said: mpsc::Sender<Said>,
) -> Result<(), Refusal> {
    let lost = |why: String| {
        Refusal::new(format!("{} cannot be carried out on {node}: {why}", command))
            .help("`nodes` shows how the machines stand")
    };
    let cluster = side.house.node().cluster();
    let cluster = cluster.ok_or_else(|| lost("this machine is by itself".to_owned()))?;
    let order = Json(json!(Order { command: command.to_owned(), arguments }));
    let answers = cluster.run(&node, &order).await;
    let mut answers = answers.map_err(|_| not_reached(command, &node, &side.house))?;
    let mut has_begun = false;
    loop {
        match answers.next().await {
            JsonNext::Item(item) => {
                has_begun = true;
                let output = Said::Output(item.0.to_string());
                said.send(output).await.map_err(|_| Refusal::new("nobody listens"))?;
            }
            JsonNext::End(Ok(_)) => return Ok(()),
            JsonNext::End(Err(AskError::Refused(refused))) => {
                let refused = serde_json::from_value(refused.0);
                let Refused { message, help, passes } = refused.unwrap_or_else(|error| Refused {
                    message: error.to_string(),
                    help: String::new(),
                    passes: false,
                });
                return Err(Refusal { message: format!("{message} (on {node})"), help, passes });
            }
            // Its last word, or its only one, may be lost with the link.
            JsonNext::End(Err(AskError::Fault(_)))
                if ENDS.contains(&command) && (has_begun || has_left(cluster, &node).await) =>
            {
                return Ok(());
            }
            JsonNext::End(Err(AskError::Fault(fault))) => return Err(lost(fault.to_string())),
        }
    }
}

/// Why a machine to which there is no link does not carry out a command.
fn not_reached(command: &str, node: &NodeName, house: &House) -> Refusal {
    let refused = format!("{command} cannot be carried out");
    if let Err(refusal) = is_known(house, node) {
        return Refusal { message: format!("{refused}: {}", refusal.message), ..refusal };
    }
    let members = house.node().cluster().map(|cluster| cluster.members()).unwrap_or_default();
    let member = members.iter().find(|member| member.node == *node);
    let state = member.map_or(Membership::Unseen, |member| member.membership).word();
    let why = member.and_then(|member| member.why.as_ref()).map(|why| format!(": {why}"));
    let why = why.unwrap_or_default();
    Refusal::new(format!("{refused} on {node}: it is not connected ({state}{why})"))
        .help("`nodes` shows how the machines stand")
}

/// Whether a machine whose link is lost has taken its leave, as one does that was told to end.
async fn has_left(cluster: &Cluster, node: &NodeName) -> bool {
    let until = Instant::now() + LEAVE_PATIENCE;
    loop {
        let members = cluster.members();
        let member = members.iter().find(|member| member.node == *node);
        match member.map(|member| member.membership) {
            Some(Membership::Alive | Membership::Suspect) if Instant::now() < until => {
                tokio::time::sleep(LEAVE_LOOK).await;
            }
            membership => return membership == Some(Membership::Left),
        }
    }
}

/// Carries out here what is asked for on other machines.
pub fn carry(side: Side) -> Arc<Carry> {
    Arc::new(move |from, order| {
        let begun = read(order).map(|(entry, arguments)| {
            tracing::info!(node = %from, command = entry.name, "another machine gives a command");
            begin(entry, arguments, side.clone())
        });
        match begun {
            Ok(said) => ReceiverStream::new(said).map(output).boxed(),
            Err(refusal) => futures_util::stream::iter([Err(refused(refusal))]).boxed(),
        }
    })
}

fn read(order: Json) -> Result<(&'static Entry, Value), Refusal> {
    let order: Result<Order, _> = serde_json::from_value(order.0);
    let Order { command, mut arguments } =
        order.map_err(|error| Refusal::new(format!("the command cannot be read: {error}")))?;
    let entry = find(&command);
    let entry = entry.ok_or_else(|| {
        Refusal::new(format!("there is no command {command:?}"))
            .help("use the same version of genii on all machines")
    })?;
    // Who gave it has looked whether it is for this machine, and leaves it out.
    if let Some(Pin { name, node, .. }) = (entry.unpin)(&mut arguments) {
        let message = format!("{name} is pinned to {node} in what was passed on to this machine");
        return Err(Refusal::new(message).help("use the same version of genii on all machines"));
    }
    Ok((entry, arguments))
}

fn output(said: Said) -> Result<Json, Json> {
    match said {
        Said::Output(text) => serde_json::from_str(&text)
            .map(Json)
            .map_err(|error| refused(Refusal::new(format!("it is no JSON: {error}")))),
        Said::Refusal(no) => {
            let (message, help, passes) = (no.message, no.help, no.passes);
            Err(refused(Refusal { message, help, passes }))
        }
    }
}

fn refused(refusal: Refusal) -> Json {
    let Refusal { message, help, passes } = refusal;
    Json(json!(Refused { message, help, passes }))
}
