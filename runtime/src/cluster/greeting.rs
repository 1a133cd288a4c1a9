//! How two nodes come to have a link.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt;
use genii_protocols::NodeName;
use genii_protocols::frame::{Control, Data, Hello, NEWEST, OLDEST, Refused};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::linking::NotNeeded;
use super::{DataLane, Inner, Membership, Peer, forms, places};
use crate::link::lane::{self, End, Frames, read, read_greeting};
use crate::link::network::{Broken, Certificate, Lane, Opened};
use crate::link::outbox::{Batches, Outbox};
use crate::link::sending::{CONTROL_CAPACITY, DATA_CAPACITY, Link};

/// How many callers may be welcomed whose data lanes have not come; more are not.
const HALF_OPEN_MAX: usize = 64;

/// How many lanes are greeted at once; more are not taken.
const GREETINGS_MAX: usize = 128;

/// As many of one node. A call has two lanes, and the next call may come before they are gone.
const GREETINGS_OF_ONE_MAX: usize = 8;

/// A greeting as it was read.
struct Greeted {
    versions: (u16, u16),
    incarnation: u64,
    link: u64,
    ended: Option<u64>,
    places: Vec<String>,
    /// What its messages look like.
    forms: Vec<(String, u64)>,
}

/// Closes a lane, and with it its connection, unless a link has come of it.
struct Unless(Option<Arc<Outbox>>);

impl Unless {
    fn done(outbox: &Arc<Outbox>) -> Self {
        Self(Some(outbox.clone()))
    }

    fn is_done(&mut self) {
        self.0 = None;
    }
}

impl Drop for Unless {
    fn drop(&mut self) {
        if let Some(outbox) = &self.0 {
            outbox.close();
        }
    }
}

/// A lane that is being greeted; not any more when this is dropped.
struct Greeting {
    cluster: Arc<Inner>,
    from: NodeName,
}

impl Greeting {
    /// `None` when too many are: of this node, or of all.
    fn begin(cluster: &Arc<Inner>, from: &NodeName) -> Option<Self> {
        let mut greeted = cluster.greeted.lock();
        let of_it = greeted.get(from).copied().unwrap_or_default();
        if of_it >= GREETINGS_OF_ONE_MAX || greeted.values().sum::<usize>() >= GREETINGS_MAX {
            return None;
        }
        greeted.insert(from.clone(), of_it + 1);
        Some(Self { cluster: cluster.clone(), from: from.clone() })
    }
}

impl Drop for Greeting {
    fn drop(&mut self) {
        let mut greeted = self.cluster.greeted.lock();
        let of_it = greeted.remove(&self.from).unwrap_or_default();
        if of_it > 1 {
            greeted.insert(self.from.clone(), of_it - 1);
        }
    }
}

/// A caller whose data lane is waited for; not any more when this is dropped.
struct HalfOpen {
    cluster: Arc<Inner>,
    call: (NodeName, u64),
}

impl HalfOpen {
    fn enter(
        cluster: &Arc<Inner>,
        call: (NodeName, u64),
        attached: oneshot::Sender<DataLane>,
    ) -> Result<Self, Failed> {
        let mut half_open = cluster.half_open.lock();
        if half_open.contains_key(&call) {
            return Err(Failed::Another);
        }
        if half_open.len() >= HALF_OPEN_MAX {
            cluster.turned_away.fetch_add(1, Ordering::Relaxed);
            return Err(Failed::Crowded);
        }
        half_open.insert(call.clone(), attached);
        Ok(Self { cluster: cluster.clone(), call })
    }
}

impl Drop for HalfOpen {
    fn drop(&mut self) {
        self.cluster.half_open.lock().remove(&self.call);
    }
}

/// A link that lived for less than this is no better than a call that came to nothing.
const LIVED_LONG: Duration = Duration::from_secs(5);

/// The greatest number of a life. No clock comes near it.
const LIFE_MAX: u64 = u64::MAX / 2;

/// Why a call came to nothing.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Lane(#[from] End),
    #[error(transparent)]
    Broken(#[from] Broken),
    #[error("{0}")]
    Refused(Refused),
    #[error("it did not answer in time")]
    Silent,
    #[error("there is another link")]
    Another,
    #[error("too many wait to be linked")]
    Crowded,
}

/// Calls a node whenever there is no link to it.
pub(super) async fn keep_calling(cluster: Arc<Inner>, peer: Arc<Peer>) {
    let mut wait = cluster.timing.retry.0;
    let mut linked_since: Option<Instant> = None;
    while !cluster.is_leaving() {
        let changed = peer.changed.notified();
        tokio::pin!(changed);
        changed.as_mut().enable();
        let is_linked = peer.state.lock().link.is_some();
        if is_linked {
            linked_since.get_or_insert_with(Instant::now);
            changed.await;
            continue;
        }
        match linked_since.take().map(|since| since.elapsed() < LIVED_LONG) {
            Some(true) => {}
            Some(false) => {
                wait = cluster.timing.retry.0;
                continue;
            }
            None => match call(&cluster, &peer).await {
                Ok(()) => {
                    linked_since = Some(Instant::now());
                    continue;
                }
                Err(failed) => {
                    if let Failed::Lane(end) = &failed {
                        cluster.heard_nonsense(&peer.name, end);
                    }
                    tracing::debug!(node = %peer.name, "cannot be linked: {failed}");
                    cluster.note_failed_call(&peer, &failed);
                }
            },
        }
        if places::gives_up(&cluster, &peer) {
            return;
        }
        let pause = wait.mul_f64(1.0 - 0.3 * cluster.chance());
        let _either_way = timeout(pause, changed).await;
        wait = (wait * 2).min(cluster.timing.retry.1);
    }
}

async fn call(cluster: &Arc<Inner>, peer: &Arc<Peer>) -> Result<(), Failed> {
    peer.state.lock().is_calling = true;
    let called = timeout(cluster.timing.greet, greet(cluster, peer)).await;
    peer.state.lock().is_calling = false;
    called.unwrap_or(Err(Failed::Silent))
}

async fn greet(cluster: &Arc<Inner>, peer: &Arc<Peer>) -> Result<(), Failed> {
    let id = cluster.new_link();
    let (control, data) = (Outbox::new(CONTROL_CAPACITY), Outbox::new(DATA_CAPACITY));
    let mut guards = [Unless::done(&control), Unless::done(&data)];
    let hello = cluster.hello(peer, id);
    write(&control, &Control::Hello(hello));
    let open = |lane, batches: Batches| cluster.network.open(&peer.name, lane, batches.boxed());
    let controlled = open(Lane::Control, Batches::at_once(&control)).await?;
    let mut control_frames = Frames::new(controlled.incoming);
    let greeted = match control_frames.next(welcome).await? {
        Ok(greeted) => greeted,
        Err(refused) => {
            match refused {
                Refused::Ended(ended) if ended > LIFE_MAX => {
                    return Err(Failed::Lane(End::nonsense("a life that cannot be")));
                }
                Refused::Ended(ended) => cluster.begin_another_life(peer, ended),
                _ => {}
            }
            return Err(Failed::Refused(refused));
        }
    };
    check_versions(&greeted).map_err(Failed::Refused)?;
    if let Some(ended) = greeted.ended {
        cluster.begin_another_life(peer, ended);
    }
    if peer.state.lock().ended.is_some_and(|ended| ended >= greeted.incarnation) {
        return Err(Failed::Lane(End::nonsense("it greets as a life that has ended")));
    }
    let _over = data.write(|buffer| lane::put(buffer, &Data::Attach { link: id }));
    let attached = open(Lane::Data, Batches::gathered(&data)).await?;
    let data_frames = Frames::new(attached.incoming);
    let certificates = [controlled.certificate, attached.certificate];
    let link = greeted.link_with(cluster, &peer.name, (control, data), certificates);
    guards.iter_mut().for_each(Unless::is_done);
    cluster.establish(link, control_frames, data_frames).map_err(|NotNeeded| Failed::Another)
}

fn welcome(frame: &[u8]) -> Result<Result<Greeted, Refused>, End> {
    match read_greeting(frame)? {
        Control::Welcome(hello) => Greeted::read(hello).map(Ok),
        Control::Refused(refused) => Ok(Err(refused)),
        other => Err(End::nonsense(format_args!("{other:?} for a welcome"))),
    }
}

/// Takes the calls of others.
pub(super) async fn accept(cluster: Arc<Inner>) {
    while let Some(opened) = cluster.network.accept().await {
        let Some(greeting) = Greeting::begin(&cluster, &opened.from) else {
            // Dropped, it is not taken.
            cluster.turned_away.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(node = %opened.from, "opens lanes faster than they can be greeted");
            continue;
        };
        let cluster_of_call = cluster.clone();
        cluster.spawn(async move {
            let _greeting = greeting;
            let greet = cluster_of_call.timing.greet;
            let from = opened.from.clone();
            let answered = match opened.lane {
                Lane::Control => timeout(greet, answer(&cluster_of_call, opened)).await,
                Lane::Data => timeout(greet, attach(&cluster_of_call, opened)).await,
            };
            if let Err(failed) = answered.unwrap_or(Err(Failed::Silent)) {
                if let Failed::Lane(end) = &failed {
                    cluster_of_call.heard_nonsense(&from, end);
                }
                tracing::debug!(node = %from, "its call came to nothing: {failed}");
                if let Failed::Lane(end) = &failed {
                    cluster_of_call.count_nonsense(end);
                }
            }
        });
    }
}

async fn answer(cluster: &Arc<Inner>, opened: Opened) -> Result<(), Failed> {
    let Opened { from, certificate, incoming, outgoing, .. } = opened;
    let mut control_frames = Frames::new(incoming);
    let greeted = control_frames.next(hello).await?;
    let control = Outbox::new(CONTROL_CAPACITY);
    let peer = cluster.peer(&from);
    let (attached, attaching) = oneshot::channel();
    let id = greeted.link;
    if let Err(refused) = consider(cluster, &peer, &greeted) {
        write(&control, &Control::Refused(as_told(refused)));
        control.close();
        if let Refused::Version(..) = refused {
            peer.state.lock().why = Some(refused.to_string());
        }
        let _has_gone = outgoing.send(Batches::at_once(&control).boxed());
        return Err(Failed::Refused(refused));
    }
    let _half_open = HalfOpen::enter(cluster, (from.clone(), id), attached)?;
    let mut guard = Unless::done(&control);
    write(&control, &Control::Welcome(cluster.hello(&peer, id)));
    let _has_gone = outgoing.send(Batches::at_once(&control).boxed());
    let attached = tokio::select! {
        biased;
        attached = attaching => attached.map_err(|_| Failed::Silent)?,
        // A caller that has gone leaves its place to others.
        more = control_frames.more() => {
            more?;
            return Err(Failed::Lane(End::nonsense("it goes on before its data lane has come")));
        }
    };
    let (data_frames, certificate_of_data, data_outgoing) = attached;
    let data = Outbox::new(DATA_CAPACITY);
    guard.is_done();
    let _has_gone = data_outgoing.send(Batches::gathered(&data).boxed());
    let certificates = [certificate, certificate_of_data];
    let link = greeted.link_with(cluster, &from, (control, data), certificates);
    cluster.establish(link, control_frames, data_frames).map_err(|NotNeeded| Failed::Another)
}

fn hello(frame: &[u8]) -> Result<Greeted, End> {
    match read_greeting(frame)? {
        Control::Hello(hello) => Greeted::read(hello),
        other => Err(End::nonsense(format_args!("{other:?} for a greeting"))),
    }
}

/// Whether there is a version that both ends understand.
fn check_versions(greeted: &Greeted) -> Result<(), Refused> {
    match greeted.versions {
        (oldest, newest) if oldest > NEWEST || newest < OLDEST => {
            Err(Refused::Version(oldest, newest))
        }
        _ => Ok(()),
    }
}

/// A refusal as it is told to who is refused: of versions, those of this node.
fn as_told(refused: Refused) -> Refused {
    match refused {
        Refused::Version(..) => Refused::Version(OLDEST, NEWEST),
        refused => refused,
    }
}

/// Whether a caller is to be linked.
fn consider(cluster: &Arc<Inner>, peer: &Arc<Peer>, greeted: &Greeted) -> Result<(), Refused> {
    check_versions(greeted)?;
    if cluster.is_leaving() {
        return Err(Refused::Leaving);
    }
    let mut state = peer.state.lock();
    if let Some(ended) = state.ended.filter(|ended| *ended >= greeted.incarnation) {
        return Err(Refused::Ended(ended));
    }
    if let Some(ended) = greeted.ended.filter(|ended| *ended >= state.own) {
        state.own = ended.saturating_add(1);
    }
    let current = state.link.clone().filter(|link| !link.is_over());
    match current {
        Some(link) if link.incarnation >= greeted.incarnation => return Err(Refused::Crossed),
        // It has begun another life, which tells that the one before has ended.
        Some(link) => {
            drop(state);
            let why = End::Broken(Broken::Other("it has begun another life".to_owned()));
            cluster.lost(peer, &link, Membership::Down, &why);
        }
        // Both call: the call of the lesser name counts.
        None if state.is_calling && cluster.name < peer.name => return Err(Refused::Crossed),
        None => {}
    }
    Ok(())
}

async fn attach(cluster: &Arc<Inner>, opened: Opened) -> Result<(), Failed> {
    let Opened { from, certificate, incoming, outgoing, .. } = opened;
    let mut frames = Frames::new(incoming);
    let link = frames.next(attached).await?;
    let waiting = cluster.half_open.lock().remove(&(from, link));
    let waiting = waiting.ok_or_else(|| Failed::Lane(End::nonsense("a lane of no link")))?;
    waiting.send((frames, certificate, outgoing)).map_err(|_| Failed::Silent)
}

fn attached(frame: &[u8]) -> Result<u64, End> {
    match read(frame)? {
        Data::Attach { link } => Ok(link),
        other => Err(End::nonsense(format_args!("{other:?} before it attaches"))),
    }
}

fn write(control: &Outbox, frame: &Control<'_>) {
    let _over = control.write_always(|buffer| lane::put(buffer, frame));
}

impl Inner {
    fn hello(&self, peer: &Peer, link: u64) -> Hello<'static> {
        let state = peer.state.lock();
        Hello {
            versions: (OLDEST, NEWEST),
            incarnation: state.own,
            link,
            ended: state.ended,
            places: self.network.places().into_iter().map(Into::into).collect(),
            messages: self.forms(),
        }
    }

    /// A name for a link that this node has not had before.
    pub(super) fn new_link(&self) -> u64 {
        self.links.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
    }

    /// The other has seen this life end.
    fn begin_another_life(&self, peer: &Peer, ended: u64) {
        let mut state = peer.state.lock();
        state.own = state.own.max(ended.saturating_add(1));
    }

    /// Keeps why a node cannot be linked: what ended its last life, or, above that, that it is refused
    /// or refuses this node, which no waiting mends.
    fn note_failed_call(&self, peer: &Peer, failed: &Failed) {
        let is_refused = matches!(
            failed,
            Failed::Broken(Broken::Refused(_)) | Failed::Lane(End::Broken(Broken::Refused(_)))
        );
        let why = failed.to_string();
        let mut state = peer.state.lock();
        if state.link.is_some() {
            // The other has called meanwhile.
            return;
        }
        if !is_refused {
            state.why.get_or_insert(why);
        } else if state.why.as_ref() != Some(&why) {
            state.why = Some(why.clone());
            let incarnation = state.incarnation;
            drop(state);
            self.note(&peer.name, incarnation, &format!("cannot be linked: {why}"));
        }
    }

    fn chance(&self) -> f64 {
        self.node.upgrade().map_or(0.0, |node| node.tree().chance())
    }
}

impl Greeted {
    /// The link to who has greeted so. Where it is reached is kept.
    fn link_with(
        &self,
        cluster: &Inner,
        peer: &NodeName,
        (control, data): (Arc<Outbox>, Arc<Outbox>),
        certificates: [Option<Certificate>; 2],
    ) -> Link {
        cluster.network.learn(peer, &self.places);
        let mut link = Link::new(peer.clone(), self.incarnation, control, data);
        // The newest that both understand.
        link.version = self.versions.1.min(NEWEST);
        link.certificates = certificates.into_iter().flatten().collect();
        link.messages = forms::known(&self.forms);
        link.differing = cluster.differing(&self.forms);
        link
    }

    fn read(hello: Hello<'_>) -> Result<Self, End> {
        if hello.incarnation.max(hello.ended.unwrap_or_default()) > LIFE_MAX {
            return Err(End::nonsense("a life that cannot be"));
        }
        let places = hello.places.into_iter().map(|place| place.into_owned()).collect();
        let forms = hello.messages.into_iter().map(|(name, digest)| (name.into_owned(), digest));
        Ok(Self {
            forms: forms.collect(),
            versions: hello.versions,
            incarnation: hello.incarnation,
            link: hello.link,
            ended: hello.ended,
            places,
        })
    }
}
