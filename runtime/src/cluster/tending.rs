//! A link while it is up: both ends say that they are alive, and see to it that the other does.

use std::sync::Arc;
use std::time::Duration;

use genii_protocols::frame::Control;
use tokio::time::{Instant, MissedTickBehavior, timeout};

use super::pulse::Pulse;
use super::{Inner, Membership, Peer, draining, expulsions, places, standings, tables};
use crate::link::control_thread::Elsewhere;
use crate::link::lane::{self, End, Frames, read};
use crate::link::network::Broken;
use crate::link::receiving::Receiving;
use crate::link::sending::Link;

/// How long what a node said before it left is waited for.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// How a link ended.
struct Ended {
    membership: Membership,
    why: End,
}

impl From<End> for Ended {
    fn from(why: End) -> Self {
        Self { membership: Membership::Down, why }
    }
}

/// Tends a link until it is lost.
pub(super) async fn tend(
    cluster: Arc<Inner>,
    peer: Arc<Peer>,
    link: Arc<Link>,
    control: Frames,
    data: Frames,
) {
    let Some(node) = cluster.node.upgrade() else { return link.end() };
    let mut receiving = tokio::spawn(Receiving::new(node, link.clone()).run(data));
    let abort = receiving.abort_handle();
    let there = cluster.network.control_runtime().unwrap_or_else(|| cluster.runtime.clone());
    let listening = listen(cluster.clone(), peer.clone(), link.clone(), control);
    let mut listening = Elsewhere::run(&there, listening);
    let ended = tokio::select! {
        biased;
        // It was given up, and another may have taken its place: nothing of it counts any more.
        () = link.over() => {
            abort.abort();
            End::Broken(Broken::Other("this end has given it up".to_owned())).into()
        }
        () = link.overrun() => {
            abort.abort();
            End::Broken(Broken::Other("it does not take what it asks for".to_owned())).into()
        }
        end = mind(&cluster, &peer, &link) => end.into(),
        ended = listening.done() => {
            let ended = ended.unwrap_or_else(|| End::Closed.into());
            if ended.membership == Membership::Left {
                // What it said before it left may still be on its way.
                let _either_way = timeout(LAST_WORDS, receiving).await;
            }
            ended
        }
        end = &mut receiving => match end {
            // Whoever leaves ends this lane in good order, and says so on the other.
            Ok(End::Closed) => {
                let last = timeout(LAST_WORDS, listening.done()).await;
                last.ok().flatten().unwrap_or_else(|| End::Closed.into())
            }
            Ok(end) => end.into(),
            Err(_) => End::Closed.into(),
        },
    };
    // What was on its way on this link is heard no more.
    abort.abort();
    listening.end();
    cluster.lost(&peer, &link, ended.membership, &ended.why);
}

/// Sees to it that the other end still belongs to the household, and knows who does not. That looks at
/// files, and so is not done where signs of life are heeded.
async fn mind(cluster: &Inner, peer: &Peer, link: &Link) -> End {
    loop {
        tokio::time::sleep(cluster.timing.ping).await;
        if let Err(verdict) = cluster.still_counts(link) {
            return End::Broken(Broken::Refused(verdict.to_string()));
        }
        expulsions::tell(cluster, peer, link);
    }
}

/// Heeds the control lane.
async fn listen(
    cluster: Arc<Inner>,
    peer: Arc<Peer>,
    link: Arc<Link>,
    mut frames: Frames,
) -> Ended {
    let (cluster, peer, link) = (&cluster, &*peer, &link);
    let timing = &cluster.timing;
    let mut heard = Instant::now();
    let mut looked = Instant::now();
    let mut ticks = tokio::time::interval(timing.ping);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        // Silence is noticed when it has lasted, and not at the next ping after that.
        let is_suspect = heard.elapsed() >= timing.suspect;
        let due = heard + if is_suspect { timing.down } else { timing.suspect };
        tokio::select! {
            // What was said counts before how long nothing was.
            biased;
            more = frames.more() => {
                if let Err(end) = more {
                    return end.into();
                }
                heard = Instant::now();
                let mut leaves = false;
                let read = frames.each(|frame| {
                    leaves |= heed(cluster, peer, link, frame)?;
                    Ok(())
                });
                if leaves {
                    let why = End::Broken(Broken::Other("it has taken its leave".to_owned()));
                    return Ended { membership: Membership::Left, why };
                }
                if let Err(end) = read {
                    return end.into();
                }
                suspect(cluster, peer, link, false);
                // Who says very much does not keep this node from what is due.
                if looked.elapsed() < timing.ping {
                    // Nor the other links of their turn.
                    tokio::task::yield_now().await;
                    continue;
                }
            }
            _ = ticks.tick() => {}
            () = tokio::time::sleep_until(due) => {}
        }
        let now = Instant::now();
        let slept = now - looked;
        looked = now;
        if slept > timing.ping + timing.suspect {
            // This node itself did nothing for a while. What has come meanwhile is heard first, and
            // the other given the time that it would have had.
            heard = heard.max(now - timing.suspect);
        }
        let silent = now - heard;
        if silent >= timing.down {
            let why = format!("nothing was heard of it for {silent:.1?}");
            return End::Broken(Broken::Other(why)).into();
        }
        if silent >= timing.suspect {
            suspect(cluster, peer, link, true);
        }
        Pulse::ask(cluster);
        if cluster.pulse.has_stopped(timing.held) {
            continue;
        }
        link.give_back_owed();
        // One for which there is no room is not needed: more is on its way.
        let _crowded = link.ping();
        standings::catch_up(cluster, link);
    }
}

/// Heeds one frame; whether it is the last.
pub(super) fn heed(
    cluster: &Arc<Inner>,
    peer: &Peer,
    link: &Arc<Link>,
    frame: &[u8],
) -> Result<bool, End> {
    if link.is_over() {
        return Err(End::Closed);
    }
    match read(frame)? {
        // Who can do nothing any more does not say that it is alive.
        Control::Ping(_) if cluster.pulse.has_stopped(cluster.timing.held) => {}
        Control::Ping(number) => {
            let _crowded = link.control.write(|buffer| lane::put(buffer, &Control::Pong(number)));
        }
        Control::Pong(number) => {
            peer.state.lock().round_trip = Some(link.pings.answered(number));
        }
        told @ (Control::Standings { .. }
        | Control::AllTold
        | Control::Groups { .. }
        | Control::Patterns { .. }) => hear(cluster, peer, link, told)?,
        Control::Places(places) => places::hear(cluster, &link.peer, &places),
        Control::Goodbye => return Ok(true),
        Control::Expulsions(number) => peer.list.is(number),
        Control::Expelled(list) => expulsions::learn(cluster, peer, link, list)?,
        Control::Draining => draining::heed(cluster, link),
        other => return Err(End::nonsense(format_args!("{other:?} when greetings are over"))),
    }
    Ok(false)
}

/// Takes in what the other end tells that it has. What is read of a link that is lost counts for
/// nothing.
fn hear(
    cluster: &Arc<Inner>,
    peer: &Peer,
    link: &Arc<Link>,
    frame: Control<'_>,
) -> Result<(), End> {
    let _hearing = peer.hearing.lock();
    if !peer.is_linked_by(link) {
        return Ok(());
    }
    match frame {
        Control::Groups { told, members } => tables::hear_groups(cluster, link, told, &members),
        Control::Patterns { told, patterns } => {
            tables::hear_patterns(cluster, link, told, &patterns)
        }
        standings => {
            let mut told = std::mem::take(&mut peer.state.lock().told);
            let learnt = match standings {
                Control::Standings { is_first, agents } => {
                    standings::learn(cluster, link, &mut told, is_first, &agents)
                }
                _ => {
                    standings::learnt_all(cluster, &link.peer, &mut told);
                    Ok(())
                }
            };
            peer.state.lock().told = told;
            learnt
        }
    }
}

/// A node is suspected, or heard of again.
fn suspect(cluster: &Inner, peer: &Peer, link: &Arc<Link>, is_suspect: bool) {
    let mut state = peer.state.lock();
    let (from, to, text) = match is_suspect {
        true => (Membership::Alive, Membership::Suspect, "is suspected: nothing is heard of it"),
        false => (Membership::Suspect, Membership::Alive, "is heard of again"),
    };
    let is_its = state.link.as_ref().is_some_and(|current| Arc::ptr_eq(current, link));
    if is_its && state.membership == from {
        peer.stand(&mut state, to, None);
        drop(state);
        cluster.note(&link.peer, link.incarnation, text);
    }
}

/// Tells the other end that this node leaves.
pub(super) fn say_goodbye(link: &Link) {
    let _over = link.control.write_always(|buffer| lane::put(buffer, &Control::Goodbye));
}
