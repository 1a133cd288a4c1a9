//! Speaking to beings and to their registry, for commands.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use genii_actors::beings::registry::ERRAND_PATIENCE_MAX;
use genii_actors::beings::{NOT_THERE_YET, SUSPENDED};
use genii_protocols::being::{Answered, BeingInfo, Converse};
use genii_protocols::beings::{BeingEntry, BeingState, GetBeing, ListBeings, NoBeing};
use genii_protocols::{
    Address, AskError, CauseKind, Destination, Fault, Json, Message, Name, NodeName,
};
use genii_runtime::topology::AgentSpec;
use genii_runtime::{House, JsonNext};
use genii_supervision::Status;
use parking_lot::Mutex;

use super::words;
use crate::commands::ask::fault_refusal;
use crate::commands::{Refusal, Side};

/// The group of all beings.
const GROUP: &str = "being";

/// What an agent is in which beings live.
const HOME_KIND: &str = "beings-home";

/// How long what is quickly done may take: a being may have to wake for it.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long what takes a being long may take: forgetting for good, speaking to another.
pub const LONG_PATIENCE: Duration = Duration::from_secs(600);

/// How long what takes the registry long may take, with what it takes to say so: making, moving, writing out,
/// taking in, deleting. All that it does has bounds of its own, and it says what went wrong.
pub const REGISTRY_PATIENCE: Duration = ERRAND_PATIENCE_MAX.saturating_add(PATIENCE);

/// How long the next words of an answer may take. Providers have bounds of their own, which are less;
/// this one is for what went astray.
const WORDS_PATIENCE: Duration = Duration::from_secs(3_600);

/// How long the registry may take to tell why a being does not answer, or whether there are any, and how much
/// longer than the being to tell of it.
pub const ASIDE_PATIENCE: Duration = Duration::from_secs(2);

/// For how long it is not asked again before a question to a being, once it has not answered in that time.
const UNANSWERED_FOR: Duration = Duration::from_secs(10);

/// Of the beings of which machines the registry has not told in time, and when: it may hang, or the home that it
/// asks may. Whoever speaks to others of these does not wait for it again meanwhile.
#[derive(Clone, Default)]
pub struct Unanswered(Arc<Mutex<HashMap<NodeName, Instant>>>);

impl Unanswered {
    fn note(&self, home: NodeName, now: Instant) {
        let mut homes = self.0.lock();
        homes.retain(|_, since| is_recent(*since, now));
        homes.insert(home, now);
    }

    fn is_recent(&self, home: &NodeName, now: Instant) -> bool {
        self.0.lock().get(home).is_some_and(|since| is_recent(*since, now))
    }
}

fn is_recent(since: Instant, now: Instant) -> bool {
    now.saturating_duration_since(since) < UNANSWERED_FOR
}

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
    not_down(side, &registry)?;
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

/// What the registry says of a being: what it knows, or why it refuses. `Err` if it does not answer.
pub type Told = Result<Result<BeingEntry, Refusal>, Refusal>;

/// Asks the registry for what it knows of a being.
pub async fn entry(side: &Side, id: &Name) -> Told {
    let get = GetBeing { id: id.clone() };
    match side.house.node().to(registry()).ask_within(get, PATIENCE).await {
        Ok(entry) => Ok(Ok(entry)),
        Err(AskError::Refused(no)) => Ok(Err(no_being(&no))),
        Err(AskError::Fault(fault)) => Err(no_registry(&side.house, &fault)),
    }
}

/// What is known of a being that has answered, by its own account alone, and why the registry has not.
pub fn entry_of(side: &Side, id: Name, info: &BeingInfo, why: String) -> BeingEntry {
    let address = address(&id);
    let elsewhere = side.house.home_of(address.as_str());
    let node = elsewhere.unwrap_or_else(|| side.house.node().name().clone());
    BeingEntry {
        id,
        address,
        name: info.name.clone(),
        state: BeingState::Awake,
        isolation: None,
        node,
        created: info.created,
        why: Some(why),
    }
}

/// That the registry has not answered in time.
pub fn registry_hangs() -> Refusal {
    let registry = registry();
    Refusal::new(format!("{registry} does not answer"))
        .help(format!("`inspect {registry}` shows what it does"))
}

/// Sees that an agent is not down, as far as is known on this machine, and about to start again by itself:
/// until it has, nothing that is said reaches it.
fn not_down(side: &Side, address: &Address) -> Result<(), Refusal> {
    match status(&side.house, address) {
        Some(Status::Down(failure)) => Err(down(address, &failure.to_string())),
        _ => Ok(()),
    }
}

fn down(address: &Address, why: &str) -> Refusal {
    let refusal = Refusal::new(format!("{address} is down: {why}"));
    let refusal = refusal.help(format!("`why {address}` tells the cause"));
    Refusal { passes: true, ..refusal }
}

/// How an agent stands, as far as is known on this machine; `None` of one that sleeps, too.
fn status(house: &House, address: &Address) -> Option<Status> {
    house.node().tree().board.view(address.as_str()).map(|view| view.status)
}

/// Whether a question has reached nobody, and may if it is asked again in a moment: who it is for is about to
/// start, or what there is no being without.
fn passes(house: &House, fault: &Fault) -> bool {
    let comes = |address: &Address| status(house, address).is_some_and(|it| !it.is_settled());
    match fault {
        Fault::Down { to, cause } => cause.kind == CauseKind::Starting && comes(&to.address),
        Fault::NotFound { .. } => {
            let topology = house.topology();
            let is_needed =
                |agent: &&AgentSpec| agent.kind == HOME_KIND || agent.address == registry();
            topology.agents.iter().filter(is_needed).any(|agent| comes(&agent.address))
        }
        _ => false,
    }
}

/// Sees that a being is neither [down](not_down) nor suspended, as far as is known: whoever asks one that is
/// suspended would wait in vain. Of one that lives on another machine the registry knows, if it answers; if it
/// has [not](Unanswered) just now, nothing is known.
async fn is_at_hand(side: &Side, id: &Name) -> Result<(), Refusal> {
    let address = address(id);
    not_down(side, &address)?;
    if side.house.node().is_suspended(&address) {
        return Err(suspended(id, &address));
    }
    let Some(home) = side.house.home_of(address.as_str()) else { return Ok(()) };
    if side.unanswered.is_recent(&home, Instant::now()) {
        return Ok(());
    }
    let get = GetBeing { id: id.clone() };
    let known = side.house.node().to(registry()).ask_within(get, ASIDE_PATIENCE).await;
    let BeingEntry { state, why, .. } = match known {
        Ok(known) => known,
        Err(AskError::Fault(fault)) if matches!(*fault, Fault::Timeout { .. }) => {
            side.unanswered.note(home, Instant::now());
            return Ok(());
        }
        Err(_) => return Ok(()),
    };
    let why = why.unwrap_or_default();
    match state {
        BeingState::Down if why != NOT_THERE_YET => Err(down(&address, &why)),
        BeingState::Awake if why.starts_with(SUSPENDED) => Err(suspended(id, &address)),
        _ => Ok(()),
    }
}

fn suspended(id: &Name, address: &Address) -> Refusal {
    let message = format!("{id} is suspended, and handles nothing until it is resumed");
    Refusal::new(message).help(format!("`resume {address}` ends that"))
}

/// Asks a being.
///
/// # Errors
/// When it refuses, is suspended or not there, or does not answer.
pub async fn ask_within<M: Message>(
    side: &Side,
    id: &Name,
    message: M,
    patience: Duration,
) -> Result<M::Reply, Refusal> {
    is_at_hand(side, id).await?;
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
    is_at_hand(side, id).await?;
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

/// A character that comes with the source of genii, in the folder of that.
const EXAMPLE: &str = "examples/characters/marit.toml";

/// How the owner of a house in which no being lives yet makes the first, of an example if the source of genii lies
/// in this folder; `None` where there are some, or no registry, or it does not answer.
pub async fn how_to_begin(house: &House, genii: &str, folder: &Path) -> Option<String> {
    let registry = registry();
    house.topology().agent(&registry)?;
    let first = ListBeings { limit: Some(1), ..ListBeings::default() };
    let beings = house.node().to(&registry).ask_within(first, ASIDE_PATIENCE).await.ok()?;
    let makes = match example_in(folder) {
        Some(file) => format!("`{genii} being create {file} --id marit` makes one"),
        None => format!(
            "`echo 'name = \"Ada\"' | {genii} being create -` makes one of no more than a name"
        ),
    };
    let how = format!(
        "no being lives here yet; {makes}, and `{genii} being create --help` tells of what else"
    );
    (beings.total == 0).then_some(how)
}

/// The example, as a shell reads its path wherever it is called.
fn example_in(folder: &Path) -> Option<String> {
    let file = std::path::absolute(folder.join(EXAMPLE)).ok().filter(|file| file.is_file())?;
    shlex::try_quote(file.to_str()?).ok().map(Cow::into_owned)
}

/// What a being refuses, with what to do if its store is damaged or its budget spent.
pub(super) fn refused(id: &Name, no: &impl std::fmt::Display) -> Refusal {
    let no = no.to_string();
    let refusal = Refusal::new(format!("{id}: {no}"));
    if words::tells_of_damage(&no) {
        return refusal.help(words::damage_remedy(id.as_str()));
    }
    if let Some(whose) = words::whose_budget(id.as_str(), &no) {
        let help = format!("`being budget {whose}` shows what is spent, and sets another");
        return refusal.help(help);
    }
    refusal
}

/// Why a being does not answer, by what the registry knows of it.
async fn why_not(side: &Side, id: &Name, fault: &Fault) -> Refusal {
    // Before the registry is asked, which may have come by then.
    let passes = passes(&side.house, fault);
    let get = GetBeing { id: id.clone() };
    let known = side.house.node().to(registry()).ask_within(get, ASIDE_PATIENCE).await;
    let is_unknown = matches!(fault, Fault::NotFound { .. });
    let has_stopped =
        matches!(fault, Fault::Down { cause, .. } if cause.kind == CauseKind::Stopped);
    let refusal = match known {
        // Also one that is being made or deleted. Nothing that starts will bring it.
        Err(AskError::Refused(no)) if is_unknown => return no_being(&no),
        Err(AskError::Refused(NoBeing::NotFound { .. })) if has_stopped => {
            let message = format!("{id} is no more: it was deleted, or is just being deleted");
            return Refusal::new(message).help("`being list` shows all");
        }
        Err(AskError::Fault(of_registry)) if is_unknown => no_registry(&side.house, &of_registry),
        // What is amiss with one that is awake is not why it does not answer.
        Ok(BeingEntry { why: Some(why), state, .. }) if state != BeingState::Awake => {
            let help = match state {
                BeingState::Quarantined => words::remedy(address(id).as_str(), &why),
                _ => format!("`being show {id}` shows it"),
            };
            let state = words::state(state);
            Refusal::new(format!("{id} is {state}: {why}")).help(help)
        }
        _ => of_fault(&side.house, &Destination::from(address(id)), fault),
    };
    Refusal { passes, ..refusal }
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
        fault => {
            let passes = passes(house, fault);
            Refusal { passes, ..of_fault(house, &Destination::from(registry), fault) }
        }
    }
}

/// A fault, with what to do. No command about beings takes a `--timeout`, and what was begun is not called off
/// with the waiting for it.
pub(super) fn of_fault(house: &House, to: &Destination, fault: &Fault) -> Refusal {
    match fault {
        Fault::Timeout { .. } => Refusal::new(fault.to_string()).help(format!(
            "it may go on all the same: `being list` shows how all stand, and `inspect {to}` what it \
             does"
        )),
        fault => fault_refusal(house, to, fault),
    }
}

#[cfg(test)]
mod tests {
    use super::super::stand_ins::{
        SUSPENDED_THERE, name, side_of_beings_elsewhere,
        side_of_beings_elsewhere_with_a_registry_that_hangs,
    };
    use super::*;

    #[tokio::test]
    async fn a_registry_that_hangs_is_not_waited_for_before_each_question_to_a_being_elsewhere() {
        let side = side_of_beings_elsewhere_with_a_registry_that_hangs().await;
        let began = Instant::now();
        is_at_hand(&side, &name("marit")).await.unwrap();
        assert!(began.elapsed() >= ASIDE_PATIENCE / 2, "{:?}", began.elapsed());
        let began = Instant::now();
        // The same of another command, and of another being of that machine.
        for id in ["marit", "marit", SUSPENDED_THERE] {
            is_at_hand(&side.clone(), &name(id)).await.unwrap();
        }
        assert!(began.elapsed() < ASIDE_PATIENCE, "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn a_registry_that_answers_is_asked_before_each_question_to_a_being_elsewhere() {
        let side = side_of_beings_elsewhere().await;
        for _ in 0..2 {
            let no = is_at_hand(&side, &name(SUSPENDED_THERE)).await.unwrap_err();
            assert!(no.message.contains("is suspended"), "{no:?}");
        }
    }

    #[test]
    fn the_registry_is_asked_again_of_other_machines_and_after_a_while() {
        let (unanswered, began) = (Unanswered::default(), Instant::now());
        let [pc2, pc3] = ["pc2", "pc3"].map(|node| NodeName::new(node).unwrap());
        unanswered.note(pc2.clone(), began);
        let soon = began + UNANSWERED_FOR / 2;
        assert!(unanswered.is_recent(&pc2, soon) && !unanswered.is_recent(&pc3, soon));
        let late = began + UNANSWERED_FOR;
        assert!(!unanswered.is_recent(&pc2, late));
        unanswered.note(pc3.clone(), late);
        assert!(unanswered.is_recent(&pc3, late));
        assert_eq!(unanswered.0.lock().len(), 1, "what is over is not kept");
    }
}
