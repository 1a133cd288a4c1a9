//! How the dead letters of the process of a being come to stand among those of the house: the process tells
//! of them in order, of each until the house has heard.
//!
//! What is told waits where it is kept anyhow: the last [`DEAD_LETTERS_KEPT`] of the process. So nothing waits
//! for the house, and of more than that the oldest are not told of; they are counted.
//!
//! [`DEAD_LETTERS_KEPT`]: genii_runtime::dead_letters::DEAD_LETTERS_KEPT

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use genii_protocols::{
    Address, AskError, Destination, Fault, Json, Never, Rejection, Sender, Timestamp, message,
};
use genii_runtime::{Agent, Context, DeadLetter, DeadLetters, Handle, Mail, Node, Protocol};
use genii_supervision::StartError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::{sleep, timeout};

use super::annex;

/// How long the house may take to hear of one.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long to wait before it is told again what it has not heard.
const AGAIN: Duration = Duration::from_millis(250);

/// How long it may take, at the end of the process, to hear of those that there are still.
const LAST_PATIENCE: Duration = Duration::from_secs(2);

/// A message reached nobody in the process.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(super) struct LetterDied {
    /// Which of the dead letters of the process it is; the first is 1.
    number: u64,
    /// As in [`DeadLetter`].
    to: Destination,
    /// As in [`DeadLetter`].
    from: Option<Sender>,
    /// As in [`DeadLetter`].
    message: String,
    /// As in [`DeadLetter`].
    fault: Fault,
}
message!(LetterDied = "annex.letter_died" -> ());

/// The agent: the end of it that is in the house.
pub(super) struct Graveyard {
    being: Address,
    /// The number of the last that it has heard of.
    heard: u64,
}

/// Where it is.
pub(super) fn address() -> Address {
    Address::parse("annex/graveyard").expect("it is written as an address is")
}

/// What is set for it.
pub(super) fn settings(being: &Address) -> Json {
    Json::of(&GraveyardSettings { being: being.clone() })
}

/// What is set for it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GraveyardSettings {
    being: Address,
}

impl Agent for Graveyard {
    type Settings = GraveyardSettings;

    fn protocol() -> Protocol<Self> {
        Protocol::new().on::<LetterDied>()
    }

    async fn start(settings: GraveyardSettings, _: &mut Context) -> Result<Self, StartError> {
        Ok(Self { being: settings.being, heard: 0 })
    }
}

impl Handle<LetterDied> for Graveyard {
    async fn handle(&mut self, died: LetterDied, context: &mut Context) -> Result<(), Never> {
        let LetterDied { number, to, from, message, fault } = died;
        // Nothing in the name of another; and nothing twice, where the answer did not come in time.
        let is_its_own = to.address == self.being
            || from.as_ref().is_some_and(|from| from.address == self.being);
        if is_its_own && number > self.heard {
            let (from, message) = (from.map(Arc::new), message.into());
            // By the clock of the house: the process may say anything.
            let at = Timestamp::now();
            context.node().dead_letters().keep(DeadLetter { at, to, from, message, fault });
        }
        self.heard = self.heard.max(number);
        Ok(())
    }
}

/// The other end: who tells of them, in the process.
pub(super) struct Teller {
    letters: Arc<DeadLetters>,
    graveyard: Mail,
    /// The number of the last that was told of, or is not to be.
    through: u64,
    /// How many of those were not told of.
    untold: u64,
}

impl Teller {
    pub(super) fn new(node: &Node) -> Self {
        let graveyard = Destination { address: address(), node: Some(annex::own_name()) };
        let (letters, graveyard) = (node.dead_letters().clone(), node.to(graveyard));
        Self { letters, graveyard, through: 0, untold: 0 }
    }

    /// Tells of each as it comes, for ever. Dropped half-way, it goes on with what has not been heard.
    pub(super) async fn tell(&mut self) -> Infallible {
        loop {
            let (number, letter) = self.letters.next_after(self.through).await;
            if !self.tell_of(number, &letter).await {
                sleep(AGAIN).await;
            }
        }
    }

    /// Tells of those that there are still, as long as somebody hears. Of how many nobody has heard in all.
    pub(super) async fn tell_rest(mut self) -> u64 {
        let telling = async {
            while let Some((number, letter)) = self.letters.first_after(self.through)
                && self.tell_of(number, &letter).await
            {}
        };
        let _in_time = timeout(LAST_PATIENCE, telling).await;
        self.untold + (self.letters.total() - self.through)
    }

    /// Tells of one; whether the next is to be told.
    async fn tell_of(&mut self, number: u64, letter: &DeadLetter) -> bool {
        let DeadLetter { to, from, message, fault, .. } = letter.clone();
        let (from, message) = (from.map(|from| (*from).clone()), message.into_owned());
        let died = LetterDied { number, to, from, message, fault };
        let is_heard = match self.graveyard.ask_within(died, PATIENCE).await {
            Ok(()) => true,
            // It will not be understood another time either.
            Err(AskError::Fault(fault)) if is_not_understood(&fault) => false,
            Err(_) => return false,
        };
        // Those in between are kept no longer.
        self.untold += number - self.through - u64::from(is_heard);
        self.through = number;
        true
    }
}

/// Whether what was told is nothing that the house understands. Else it may hear it another time.
fn is_not_understood(fault: &Fault) -> bool {
    let Fault::Rejected { reason, .. } = fault else { return false };
    matches!(reason, Rejection::UnknownMessage { .. } | Rejection::Malformed { .. })
}

#[cfg(test)]
mod tests {
    use genii_protocols::{Cause, CauseKind, NodeName};
    use genii_runtime::NodeOptions;
    use genii_runtime::cluster::{Cluster, Timing};
    use genii_runtime::dead_letters::DEAD_LETTERS_KEPT;
    use genii_runtime::link::simulated::Waters;
    use genii_supervision::{Supervisor, SupervisorHandle, SupervisorSpec};

    use super::*;
    use crate::being::process::tenant;

    /// How long anything may take.
    const LONG: Duration = Duration::from_secs(60);

    fn node(name: NodeName) -> Node {
        Node::new(NodeOptions::new(name))
    }

    fn address_of(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    /// One that Ann sent to somebody.
    fn letter(to: &str, message: &str) -> DeadLetter {
        let to = Destination::from(address_of(to));
        let cause = Cause::new(CauseKind::Stopped, "it has just ended");
        DeadLetter {
            at: Timestamp::now(),
            from: Some(Arc::new(Sender { address: address_of("shop/ann"), incarnation: 3 })),
            message: message.to_owned().into(),
            fault: Fault::Down { to: to.clone(), cause },
            to,
        }
    }

    /// The two ends of an annex, which are linked.
    struct Ends {
        house: Node,
        tenant: Node,
        _clusters: [Cluster; 2],
        _root: SupervisorHandle,
    }

    impl Ends {
        async fn new() -> Self {
            let waters = Waters::new(1, (Duration::ZERO, Duration::ZERO));
            let (house, tenant) = (node(annex::own_name()), node(tenant::name()));
            let graveyard =
                house.agent::<Graveyard>(&address(), settings(&address_of("being/marit")));
            let spec = SupervisorSpec::new("annex").with_child(graveyard);
            let root = Supervisor::start(spec, house.tree().clone()).await.unwrap();
            let join = |node: &Node| {
                Cluster::begin(node, waters.harbour(node.name()), Timing::default(), 1)
            };
            let clusters = [join(&house), join(&tenant)];
            let linked = async {
                while !clusters[1].is_connected(house.name()) {
                    sleep(Duration::from_millis(5)).await;
                }
            };
            timeout(LONG, linked).await.unwrap();
            Self { house, tenant, _clusters: clusters, _root: root }
        }
    }

    /// Tells of them until the house has had so many.
    async fn tell_until(teller: &mut Teller, ends: &Ends, total: u64) {
        let telling = async {
            tokio::select! {
                never = teller.tell() => match never {},
                _ = ends.house.dead_letters().next_after(total - 1) => {}
            }
        };
        timeout(LONG, telling).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn the_house_has_them_as_they_are_and_in_order_and_nothing_in_the_name_of_others() {
        let ends = Ends::new().await;
        let began = Timestamp::now();
        let mut teller = Teller::new(&ends.tenant);
        let at: Timestamp = serde_json::from_value("2024-05-06T12:53:20Z".into()).unwrap();
        let old = |message: &str| DeadLetter { at, ..letter("being/marit", message) };
        let letters = ["one", "two", "three"].map(old);
        ends.tenant.dead_letters().keep(letters[0].clone());
        tell_until(&mut teller, &ends, 1).await;
        ends.tenant.dead_letters().keep(letter("being/tobin", "of another"));
        letters[1..].iter().for_each(|letter| ends.tenant.dead_letters().keep(letter.clone()));
        assert_eq!(teller.tell_rest().await, 0);
        let kept = ends.house.dead_letters().tail(10);
        assert_eq!(kept.len(), letters.len());
        for (kept, letter) in kept.iter().zip(&letters) {
            let told = |letter: &DeadLetter| {
                let DeadLetter { to, from, message, fault, .. } = letter.clone();
                (to, from, message, fault)
            };
            assert_eq!(told(kept), told(letter));
            assert!(kept.at >= began, "by the clock of the house: {}", kept.at);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn of_more_than_are_kept_the_last_are_told_and_the_others_counted() {
        let ends = Ends::new().await;
        for number in 0..DEAD_LETTERS_KEPT + 7 {
            ends.tenant.dead_letters().keep(letter("being/marit", &number.to_string()));
        }
        let mut teller = Teller::new(&ends.tenant);
        tell_until(&mut teller, &ends, DEAD_LETTERS_KEPT as u64).await;
        assert_eq!(teller.tell_rest().await, 7);
        let kept = ends.house.dead_letters().tail(DEAD_LETTERS_KEPT);
        assert_eq!((kept.len(), &*kept[0].message), (DEAD_LETTERS_KEPT, "7"));
        assert_eq!(ends.house.dead_letters().total(), DEAD_LETTERS_KEPT as u64);
    }

    #[test]
    fn only_what_can_never_be_understood_is_not_told_again() {
        for (reason, is_not) in [
            (Rejection::UnknownMessage { nearest: None }, true),
            (Rejection::Malformed { detail: "no number".to_owned() }, true),
            (Rejection::Unanswered, false),
        ] {
            let message = "annex.letter_died".to_owned();
            let fault = Fault::Rejected { to: address().into(), message, reason };
            assert_eq!(is_not_understood(&fault), is_not, "{fault}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_told_twice_counts_once() {
        let ends = Ends::new().await;
        ends.tenant.dead_letters().keep(letter("being/marit", "one"));
        for _ in 0..2 {
            assert_eq!(Teller::new(&ends.tenant).tell_rest().await, 0);
        }
        assert_eq!(ends.house.dead_letters().total(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn where_nobody_hears_all_are_counted() {
        let tenant = node(tenant::name());
        let mut teller = Teller::new(&tenant);
        for message in ["one", "two", "three"] {
            tenant.dead_letters().keep(letter("being/marit", message));
        }
        let telling = timeout(LONG, teller.tell()).await;
        assert!(telling.is_err(), "it is told again and again");
        assert_eq!(teller.tell_rest().await, 3);
        assert_eq!(tenant.dead_letters().total(), 3, "and leaves no dead letters itself");
    }
}
