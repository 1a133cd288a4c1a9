//! Which agents live where, and how they stand: each node tells the others of its own.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use genii_protocols::frame::{ASLEEP, Control, SUSPENDED, Stand, Standing};
use genii_protocols::{Address, NodeName};
use genii_supervision::{Change, Failure, FailureKind, Status, View};

use super::claims::Claimed;
use super::{Far, Inner, Membership};
use crate::link::lane::{self, End};
use crate::link::outbox::NotWritten;
use crate::link::sending::Link;
use crate::node::Node;

/// How many agents one frame tells of.
const AGENTS_IN_FRAME: usize = 200;

/// How much of what lies behind a standing is told.
const DETAIL_MAX_LEN: usize = 500;

/// How many different ways to stand are remembered of one node, for addresses that stand alike.
const ALIKE_MAX: usize = 8;

/// Tells all that an agent here stands otherwise.
pub(super) fn tell(cluster: &Arc<Inner>, change: &Change) {
    if let Ok(address) = Address::from_shared(change.key.shared()) {
        tell_of(cluster, &address, change.incarnation);
    }
}

/// Tells all how an address here stands.
pub(super) fn tell_of(cluster: &Arc<Inner>, address: &Address, incarnation: u64) {
    let Some(node) = cluster.node.upgrade().filter(|node| !node.lives_elsewhere(address)) else {
        return;
    };
    let gone = Stand { standing: Standing::Gone, incarnation, ..takes_messages(address, "") };
    // As it stands when it is told of, so that nothing older is told after it.
    let frame = || {
        let stand = standing_here(&node, address).unwrap_or_else(|| gone.clone());
        Control::Standings { is_first: false, agents: vec![stand] }
    };
    for peer in cluster.peers.read().values() {
        let Some(link) = peer.state.lock().link.clone() else { continue };
        // One who has no room is told of everything anew when it has.
        let written = link.control.write(|buffer| lane::put(buffer, &frame()));
        if matches!(written, Err(NotWritten::Full)) {
            link.is_behind.store(true, Ordering::Release);
        }
    }
}

/// Says that one is told of everything, as long as it is.
struct Telling(Arc<Link>);

impl Drop for Telling {
    fn drop(&mut self) {
        self.0.is_told_all.store(false, Ordering::Release);
    }
}

/// Tells one of all agents here. It is told once at a time, so that the ends of two tales are not
/// mistaken for each other.
pub(super) fn tell_all(cluster: &Arc<Inner>, node: &Node, link: &Arc<Link>) {
    let (node, link) = (node.clone(), link.clone());
    // In this order: one of the two says that there is something to tell, until all is told.
    link.is_told_all.store(true, Ordering::Release);
    link.is_behind.store(false, Ordering::Release);
    let telling = Telling(link.clone());
    cluster.spawn(async move {
        let _telling = telling;
        // Begun before it is known what there is, so that what comes meanwhile is in it as well.
        write(&link, || Control::Standings { is_first: true, agents: Vec::new() }).await;
        for chunk in own_agents(&node).chunks(AGENTS_IN_FRAME) {
            write(&link, || standings_of(&node, chunk)).await;
        }
        let _over = link.control.write_always(|buffer| lane::put(buffer, &Control::AllTold));
    });
}

/// All agents that live here.
fn own_agents(node: &Node) -> Vec<Address> {
    let views = node.tree().board.all().into_iter();
    let addresses = views.filter_map(|view| Address::from_shared(view.key.shared()).ok());
    let nurseries = node.directory().nurseries();
    let sleeps = |address: &Address| {
        let mut its = nurseries.iter().filter(|it| it.group().as_str() == address.group());
        its.any(|nursery| nursery.has(address) || nursery.hides(address))
    };
    let awake: Vec<Address> =
        addresses.filter(|address| !node.lives_elsewhere(address) && !sleeps(address)).collect();
    let residents = nurseries.iter().flat_map(|nursery| nursery.shown());
    awake.into_iter().chain(residents).collect()
}

/// How an agent here stands, if there is one, and whether it is suspended.
fn standing_here(node: &Node, address: &Address) -> Option<Stand<'static>> {
    let stand = standing_otherwise(node, address)?;
    let is_suspended = stand.standing == Standing::Ready && node.is_suspended(address);
    Some(match is_suspended {
        true => Stand { detail: Cow::Borrowed(SUSPENDED), ..stand },
        false => stand,
    })
}

/// How an agent here stands but for that. One of a nursery takes messages also while it sleeps, and has no place
/// on the board then.
fn standing_otherwise(node: &Node, address: &Address) -> Option<Stand<'static>> {
    let view = node.tree().board.view(address.as_str()).map(|view| stand_of(&view));
    let Some(nursery) = node.directory().nursery(address.group()) else { return view };
    if nursery.hides(address) {
        return None;
    }
    if !nursery.has(address) {
        return view;
    }
    let is_told =
        |stand: &Stand<'_>| matches!(stand.standing, Standing::Degraded | Standing::Quarantined);
    Some(match view {
        None => takes_messages(address, ASLEEP),
        Some(stand) if is_told(&stand) => stand,
        Some(_) => takes_messages(address, ""),
    })
}

/// That somebody of a nursery takes messages, whichever of its lives does.
fn takes_messages(address: &Address, detail: &'static str) -> Stand<'static> {
    Stand {
        address: Cow::Owned(address.as_str().to_owned()),
        incarnation: 0,
        standing: Standing::Ready,
        detail: Cow::Borrowed(detail),
    }
}

/// How agents stand that live here.
fn standings_of(node: &Node, agents: &[Address]) -> Control<'static> {
    let agents = agents.iter().filter_map(|address| standing_here(node, address)).collect();
    Control::Standings { is_first: false, agents }
}

/// Writes a frame as soon as there is room: how things stand then, so that nothing older is told
/// after it.
async fn write(link: &Link, frame: impl Fn() -> Control<'static>) {
    let put = || link.control.write(|buffer| lane::put(buffer, &frame()));
    while let Err(NotWritten::Full) = put() {
        link.control.room().await;
    }
}

/// Tells one anew who had no room for what it was told.
pub(super) fn catch_up(cluster: &Arc<Inner>, link: &Arc<Link>) {
    if link.is_told_all.load(Ordering::Acquire) || !link.is_behind.load(Ordering::Acquire) {
        return;
    }
    if let Some(node) = cluster.node.upgrade() {
        tell_all(cluster, &node, link);
        super::tables::tell_all(cluster, &node, link);
    }
}

/// What one node has told of.
#[derive(Default)]
pub(super) struct Told {
    /// How many addresses of it are known.
    pub(super) known: usize,
    /// Which time it was that it last began to tell of all, and whether it still does. What it has not
    /// named since is marked with another.
    tale: u64,
    is_telling: bool,
    /// Whether it has told of all at least once.
    pub(super) is_whole: bool,
    /// How addresses that it told of last stand. Most stand as many others do.
    alike: VecDeque<Arc<Far>>,
}

impl Inner {
    fn new_tale(&self) -> u64 {
        self.tales.fetch_add(1, Ordering::Relaxed) + 1
    }
}

impl Told {
    /// The same, shared with those that stand alike.
    fn shared(&mut self, far: Far) -> Arc<Far> {
        if let Some(alike) = self.alike.iter().find(|alike| ***alike == far) {
            return alike.clone();
        }
        if self.alike.len() >= ALIKE_MAX {
            self.alike.pop_front();
        }
        let far = Arc::new(far);
        self.alike.push_back(far.clone());
        far
    }
}

/// Learns how agents of another node stand.
pub(super) fn learn(
    cluster: &Arc<Inner>,
    link: &Link,
    told: &mut Told,
    is_first: bool,
    agents: &[Stand<'_>],
) -> Result<(), End> {
    let (from, Some(node)) = (&link.peer, cluster.node.upgrade()) else { return Ok(()) };
    if is_first {
        (told.tale, told.is_telling) = (cluster.new_tale(), true);
    }
    let mut clashes = Vec::new();
    for stand in agents {
        let address = Address::parse(&stand.address).map_err(End::nonsense)?;
        let far = Far {
            node: from.clone(),
            incarnation: stand.incarnation,
            standing: stand.standing,
            detail: crate::logbook::cut(&stand.detail, DETAIL_MAX_LEN).into(),
            tale: told.tale,
        };
        let status = far.status();
        let mut claims = cluster.claims.change();
        let home = node.home_of(&address);
        match stand.standing {
            Standing::Gone => {
                let was_there = claims.withdraw(&address, from, home.as_ref());
                told.known = told.known.saturating_sub(usize::from(was_there));
            }
            _ => {
                let claimed = claims.claim(&address, told.shared(far), home.as_ref());
                told.known += usize::from(claimed != Claimed::Again);
                if let Claimed::Clash { other, counts } = claimed {
                    clashes.push((address.clone(), other, counts));
                }
            }
        }
        node.stands_elsewhere(&address, from, stand.incarnation, status);
    }
    note_clashes(cluster, &node, link, clashes);
    node.directory().ways_changed();
    let max = node.limits().addresses_of_one_max;
    match told.known > max {
        true => Err(End::nonsense(format_args!("more than {max} addresses"))),
        false => Ok(()),
    }
}

/// Another node has told of all its agents: those of which it has not are gone.
pub(super) fn learnt_all(cluster: &Arc<Inner>, from: &NodeName, told: &mut Told) {
    if !std::mem::take(&mut told.is_telling) {
        return;
    }
    told.is_whole = true;
    let Some(own) = cluster.node.upgrade() else { return };
    let mut claims = cluster.claims.change();
    let stays = |far: &Far| far.tale == told.tale;
    let gone = claims.withdraw_all(from, stays, |address| own.home_of(address));
    told.known = told.known.saturating_sub(gone.len());
    own.directory().ways_changed();
    for (address, incarnation) in gone {
        own.stands_elsewhere(&address, from, incarnation, forgotten());
    }
}

/// Says that a node has what another has too. An agent here is not in question: whoever asks here
/// asks that.
fn note_clashes(
    cluster: &Inner,
    node: &Node,
    link: &Link,
    mut clashes: Vec<(Address, NodeName, NodeName)>,
) {
    let is_here =
        |address: &Address| node.directory().find(address).is_some_and(|it| it.home().is_none());
    clashes.retain(|(address, ..)| !is_here(address));
    let Some((address, other, counts)) = clashes.first() else { return };
    let more = match clashes.len() {
        1 => String::new(),
        len => format!(" (and so it is with {} more)", len - 1),
    };
    let text = format!("has {address}, as {other} has; from here it is asked on {counts}{more}");
    tracing::warn!(node = %link.peer, "{text}");
    cluster.note(&link.peer, link.incarnation, &text);
}

fn forgotten() -> Status {
    Status::Stopped("it is forgotten on its node".into())
}

/// A node is gone, and with it all that it told of.
pub(super) fn forget(cluster: &Arc<Inner>, node: &NodeName, membership: Membership) {
    let Some(own) = cluster.node.upgrade() else { return };
    let mut claims = cluster.claims.change();
    let gone = claims.withdraw_all(node, |_| false, |address| own.home_of(address));
    own.directory().ways_changed();
    let why = match membership {
        Membership::Left => format!("its node {node} has left"),
        other => format!("its node {node} is {}", other.word()),
    };
    for (address, incarnation) in gone {
        own.stands_elsewhere(&address, node, incarnation, Status::Stopped(why.as_str().into()));
    }
}

/// What has been expected for too long, and nobody has told of, is not expected any more.
pub(super) fn give_up(cluster: &Arc<Inner>) {
    let Some(own) = cluster.node.upgrade() else { return };
    for (address, home) in own.declared_elsewhere() {
        let view = own.tree().board.view(address.as_str());
        if view.is_some_and(|view| view.since.elapsed() >= cluster.timing.join) {
            give_up_on(cluster, &own, &address, &home);
        }
    }
}

/// What is waited for, and nobody has told of, is not waited for any more.
pub(super) fn give_up_on(cluster: &Inner, own: &Node, address: &Address, home: &NodeName) {
    // Nobody tells of it between the look and what is written.
    let claims = cluster.claims.change();
    let view = own.tree().board.view(address.as_str());
    if view.is_some_and(|view| view.status == Status::Waiting) && claims.of(address, home).is_none()
    {
        let why = match cluster.is_linked(home) {
            true => format!("its node {home} does not have it"),
            false => format!("its node {home} is not connected"),
        };
        own.stands_elsewhere(address, home, 0, Status::Stopped(why.into()));
    }
}

fn stand_of(view: &View) -> Stand<'static> {
    Stand {
        address: view.key.to_string().into(),
        incarnation: view.incarnation,
        standing: standing_of(&view.status),
        detail: detail_of(&view.status).into_owned().into(),
    }
}

fn standing_of(status: &Status) -> Standing {
    match status {
        Status::Declared | Status::Waiting | Status::Starting => Standing::Coming,
        Status::Ready => Standing::Ready,
        Status::Degraded(_) => Standing::Degraded,
        Status::Down(_) | Status::Stopping => Standing::Down,
        Status::Blocked | Status::Stopped(_) => Standing::Stopped,
        Status::Completed => Standing::Completed,
        Status::Quarantined(_) => Standing::Quarantined,
    }
}

fn detail_of(status: &Status) -> Cow<'static, str> {
    let detail = match status {
        Status::Down(failure) | Status::Quarantined(failure) => failure.message.clone(),
        status => status.detail().unwrap_or_default(),
    };
    crate::logbook::cut(&detail, DETAIL_MAX_LEN).to_owned().into()
}

impl Far {
    /// How it stands, for those here who need it.
    pub(crate) fn status(&self) -> Status {
        let detail = || self.detail.clone();
        let failure = || Arc::new(Failure::new(FailureKind::Error, self.detail.to_string()));
        match self.standing {
            Standing::Coming => Status::Waiting,
            Standing::Ready => Status::Ready,
            Standing::Degraded => Status::Degraded(detail()),
            Standing::Down => Status::Down(failure()),
            Standing::Stopped => Status::Stopped(detail()),
            Standing::Completed => Status::Completed,
            Standing::Quarantined => Status::Quarantined(failure()),
            Standing::Gone => forgotten(),
        }
    }

    /// Whether it is suspended, as its node has told.
    pub(crate) fn is_suspended(&self) -> bool {
        self.standing == Standing::Ready && &*self.detail == SUSPENDED
    }

    /// Whether it sleeps, as its node has told.
    pub(crate) fn is_asleep(&self) -> bool {
        self.standing == Standing::Ready && &*self.detail == ASLEEP
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn degraded(detail: &str) -> Far {
        let node = NodeName::new("pc2").unwrap();
        Far { node, incarnation: 1, standing: Standing::Degraded, detail: detail.into(), tale: 1 }
    }

    #[test]
    fn those_that_stand_alike_share_how_within_a_bound() {
        let mut told = Told::default();
        let slow = told.shared(degraded("slow"));
        assert!(Arc::ptr_eq(&slow, &told.shared(degraded("slow"))));
        assert_eq!(told.shared(degraded("hot")).status(), degraded("hot").status());
        for number in 0..=ALIKE_MAX {
            told.shared(degraded(&number.to_string()));
        }
        assert_eq!(told.alike.len(), ALIKE_MAX);
        assert_eq!(*told.shared(degraded("slow")), *slow);
    }
}
