//! Speaking to beings and to their registry, for commands.

use std::time::Duration;

use genii_protocols::being::{Answered, Converse};
use genii_protocols::beings::{BeingEntry, GetBeing, ListBeings, NoBeing};
use genii_protocols::{Address, AskError, Destination, Fault, Json, Message, Name, NodeName};
use genii_runtime::{House, JsonNext};

use super::words;
use crate::commands::ask::fault_refusal;
use crate::commands::{Refusal, Side};

/// The group of all beings.
const GROUP: &str = "being";

/// How long what is quickly done may take: a being may have to wake for it.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long what takes long may take: making, writing out, taking in, deleting, forgetting for good.
pub const LONG_PATIENCE: Duration = Duration::from_secs(600);

/// How long a being may take to move to another machine.
pub const MOVE_PATIENCE: Duration = Duration::from_secs(3_600);

/// How long the next words of an answer may take. Providers have bounds of their own, which are less;
/// this one is for what went astray.
const WORDS_PATIENCE: Duration = Duration::from_secs(3_600);

/// How long the registry may take to tell why a being does not answer, or whether there are any.
const ASIDE_PATIENCE: Duration = Duration::from_secs(2);

/// The registry of all beings.
fn registry() -> Address {
    Address::parse("beings/registry").expect("it is written as an address is")
}

/// The machine on which that is, as far as is known here.
pub fn registry_node(side: &Side) -> NodeName {
    let elsewhere = side.house.home_of(registry().as_str());
    elsewhere.unwrap_or_else(|| side.house.node().name().clone())
}

/// Where a being is spoken to.
fn address(id: &Name) -> Address {
    Address::new(&Name::new(GROUP).expect("it is written as a name is"), id)
}

/// Asks the registry.
///
/// # Errors
/// When it refuses, or does not answer.
pub async fn registry_ask_within<M>(
    side: &Side,
    message: M,
    patience: Duration,
) -> Result<M::Reply, Refusal>
where
    M: Message<Refusal = NoBeing>,
{
    let registry = registry();
    match side.house.node().to(&registry).ask_within(message, patience).await {
        Ok(reply) => Ok(reply),
        Err(AskError::Refused(no)) => Err(no_being(&no)),
        Err(AskError::Fault(fault)) => Err(no_registry(&side.house, &fault)),
    }
}

/// As [`registry_ask_within`], of what is quickly done.
///
/// # Errors
/// As [`registry_ask_within`].
pub async fn registry_ask<M>(side: &Side, message: M) -> Result<M::Reply, Refusal>
where
    M: Message<Refusal = NoBeing>,
{
    registry_ask_within(side, message, PATIENCE).await
}

/// Asks a being.
///
/// # Errors
/// When it refuses, is not there, or does not answer.
pub async fn ask_within<M: Message>(
    side: &Side,
    id: &Name,
    message: M,
    patience: Duration,
) -> Result<M::Reply, Refusal> {
    match side.house.node().to(address(id)).ask_within(message, patience).await {
        Ok(reply) => Ok(reply),
        Err(AskError::Refused(no)) => Err(refused(id, &no)),
        Err(AskError::Fault(fault)) => Err(why_not(side, id, &fault).await),
    }
}

/// As [`ask_within`], of what is quickly done.
///
/// # Errors
/// As [`ask_within`].
pub async fn ask<M: Message>(side: &Side, id: &Name, message: M) -> Result<M::Reply, Refusal> {
    ask_within(side, id, message, PATIENCE).await
}

/// Says something to a being, and hands on each part of its answer as it comes. Dropped, it calls the
/// answer off.
///
/// # Errors
/// As [`ask`], and when nobody wants the rest.
pub async fn converse<F>(
    side: &Side,
    id: &Name,
    said: &Converse,
    mut hand_on: impl FnMut(String) -> F,
) -> Result<Answered, Refusal>
where
    F: Future<Output = Result<(), Refusal>>,
{
    let mail = side.house.node().to(address(id));
    let answers = mail.stream_json(Converse::NAME, &Json::of(said), WORDS_PATIENCE).await;
    let mut answers = match answers {
        Ok(answers) => answers,
        Err(fault) => return Err(why_not(side, id, &fault).await),
    };
    let foreign = |error: serde_json::Error| {
        Refusal::new(format!("{id} is of another version of genii: {error}"))
            .help("bring all machines of the household up to date")
    };
    loop {
        match answers.next().await {
            JsonNext::Item(words) => {
                hand_on(serde_json::from_value(words.0).map_err(foreign)?).await?;
            }
            JsonNext::End(Ok(reply)) => return serde_json::from_value(reply.0).map_err(foreign),
            JsonNext::End(Err(AskError::Refused(no))) => {
                let no = serde_json::from_value::<<Converse as Message>::Refusal>(no.0);
                return Err(refused(id, &no.map_err(foreign)?));
            }
            JsonNext::End(Err(AskError::Fault(fault))) => {
                return Err(why_not(side, id, &fault).await);
            }
        }
    }
}

/// What the registry knows of a being that is named by its address; `None` for any other name, for a being
/// that it does not know, and in a house that has no registry.
///
/// # Errors
/// When the registry does not answer.
pub async fn known(side: &Side, name: &str) -> Result<Option<BeingEntry>, Refusal> {
    let address = Address::parse(name).ok().filter(|address| address.group() == GROUP);
    let Some(id) = address.and_then(|address| Name::new(address.name()).ok()) else {
        return Ok(None);
    };
    match side.house.node().to(registry()).ask_within(GetBeing { id }, ASIDE_PATIENCE).await {
        Ok(entry) => Ok(Some(entry)),
        Err(AskError::Fault(fault)) if !matches!(*fault, Fault::NotFound { .. }) => {
            Err(no_registry(&side.house, &fault))
        }
        Err(_) => Ok(None),
    }
}

/// How the owner of a house in which no being lives yet makes the first; `None` where there are some, or
/// no registry, or it does not answer.
pub async fn how_to_begin(house: &House, genii: &str) -> Option<String> {
    let registry = registry();
    house.topology().agent(&registry)?;
    let first = ListBeings { limit: Some(1), ..ListBeings::default() };
    let beings = house.node().to(&registry).ask_within(first, ASIDE_PATIENCE).await.ok()?;
    let how =
        format!("no being lives here yet; `{genii} being create FILE` makes one of a character");
    (beings.total == 0).then_some(how)
}

fn refused(id: &Name, no: &impl std::fmt::Display) -> Refusal {
    Refusal::new(format!("{id}: {no}"))
}

/// Why a being does not answer, by what the registry knows of it.
async fn why_not(side: &Side, id: &Name, fault: &Fault) -> Refusal {
    let get = GetBeing { id: id.clone() };
    let known = side.house.node().to(registry()).ask_within(get, ASIDE_PATIENCE).await;
    let is_unknown = matches!(fault, Fault::NotFound { .. });
    match known {
        Err(AskError::Refused(no @ NoBeing::NotFound { .. })) if is_unknown => no_being(&no),
        Err(AskError::Fault(of_registry)) if is_unknown => no_registry(&side.house, &of_registry),
        Ok(BeingEntry { why: Some(why), state, .. }) => {
            let state = words::state(state);
            Refusal::new(format!("{id} is {state}: {why}"))
                .help(format!("`being show {id}` shows it"))
        }
        _ => fault_refusal(&side.house, &Destination::from(address(id)), fault),
    }
}

fn no_being(no: &NoBeing) -> Refusal {
    let help = match no {
        NoBeing::NotFound { .. } => "`being list` shows all",
        NoBeing::Taken { .. } => "--id names another",
        NoBeing::Senseless { .. } | NoBeing::Failed { .. } => "",
    };
    Refusal::new(no.to_string()).help(help)
}

fn no_registry(house: &House, fault: &Fault) -> Refusal {
    let registry = registry();
    match fault {
        Fault::NotFound { .. } => Refusal::new(format!(
            "no beings can live here: the house has no {registry}"
        ))
        .help(format!(
            "declare it in the topology: [agents.\"{registry}\"] kind = \"beings-registry\"; \
             `genii topology` prints one that has it"
        )),
        fault => fault_refusal(house, &Destination::from(registry), fault),
    }
}
