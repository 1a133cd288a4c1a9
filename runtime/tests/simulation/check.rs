//! What must be true of everything that was sent, whatever happened.

use std::collections::BTreeMap;
use std::time::Duration;

use genii_protocols::{Address, Fault};

use crate::log::{Buried, Log, Outcome, Sent, Style};
use crate::machine::stand_in;
use crate::streams;

/// How late the end of an ask may be noticed.
const LATE: Duration = Duration::from_millis(10);

/// Checks it.
pub fn what_was_sent(log: &Log, nodes: usize) {
    let (sent, mut handled) = (log.sent(), BTreeMap::<u64, usize>::new());
    for one in log.handled() {
        *handled.entry(one.id).or_default() += 1;
        let to = &sent[&one.id].to;
        let may = one.by == *to || stand_in(to, nodes).as_ref() == Some(&one.by);
        assert!(may, "{} to {to} was handled by {}", one.id, one.by);
    }
    for (id, one) in &sent {
        let times = handled.get(id).copied().unwrap_or_default();
        assert!(times <= 1, "{id} was handled {times} times: {one:?}");
        ended_well(*id, one, times);
        streams::ended_well(*id, one, times);
    }
    order(log, &sent);
    nothing_is_silent(log, &sent, &handled);
}

/// Nothing that is asked of who has a stand-in is lost, and no stream of it broken off, while nodes are
/// drained and started again one after another. It must be so: the node that drains has told all others of it, and they ask the stand-in,
/// which they see ready on a node that stays. The node that drains waits until each of the others
/// has said that it waits for no answer any more. Its agents take no messages, as the others see it,
/// from before they end until they are ready again. And nothing else goes wrong that would break a
/// link or keep a handler from its end.
pub fn nothing_covered_is_lost(log: &Log, nodes: usize) {
    let sent = log.sent();
    let covered = sent.iter().filter(|(_, one)| stand_in(&one.to, nodes).is_some());
    for (id, one) in covered {
        let is_whole = matches!(one.ended, Some((_, Outcome::Answered(_) | Outcome::LetGo)));
        assert!(is_whole, "{id} was lost: {one:?}");
    }
}

fn ended_well(id: u64, one: &Sent, times: usize) {
    let Some((at, outcome)) = &one.ended else { panic!("{id} has not ended: {one:?}") };
    if let (Style::Ask { patience }, false) = (one.style, matches!(outcome, Outcome::Orphaned)) {
        let took = *at - one.began;
        assert!(took <= patience + LATE, "{id} took {took:?}: {one:?}");
    }
    match (outcome, one.style) {
        (Outcome::Answered(of), Style::Ask { .. } | Style::Stream(_)) => {
            assert_eq!(*of, id, "{id} had the answer of another");
            assert_eq!(times, 1, "{id} was answered and handled {times} times: {one:?}");
        }
        (Outcome::Told, Style::Tell | Style::TryTell) | (Outcome::Orphaned, _) => {}
        (Outcome::LetGo, Style::Stream(_)) => {}
        (Outcome::Failed(fault), style) => {
            let undone = style.is_told() || says_that_nothing_was_done(fault);
            assert!(!undone || times == 0, "{id} failed and was handled: {one:?}");
        }
        (_, _) => panic!("{id} ended as nothing that it could: {one:?}"),
    }
}

/// As `docs/semantics.md` has it.
fn says_that_nothing_was_done(fault: &Fault) -> bool {
    matches!(fault, Fault::NotFound { .. } | Fault::Overloaded { .. } | Fault::Rejected { .. })
}

/// From one sender to one receiver, what was sent later is handled later. The stand-in of a receiver
/// is another.
fn order(log: &Log, sent: &BTreeMap<u64, Sent>) {
    let mut last: BTreeMap<_, u64> = BTreeMap::new();
    let handled = log.handled();
    for one in &handled {
        let from = sent[&one.id].from;
        let before = last.insert((from, &sent[&one.id].to, &one.by), one.id);
        let is_later = before.is_none_or(|before| before < one.id);
        assert!(is_later, "{} handled {} after {before:?}, both of {from:?}", one.by, one.id);
    }
}

/// What was told and not handled is a dead letter, of who told it or of who should have handled it.
fn nothing_is_silent(log: &Log, sent: &BTreeMap<u64, Sent>, handled: &BTreeMap<u64, usize>) {
    let (buried, uncounted) = (log.buried(), log.uncounted());
    let mut unhandled: BTreeMap<&Address, BTreeMap<(usize, u64), Lost>> = BTreeMap::new();
    for (id, one) in sent {
        let of = unhandled.entry(&one.to).or_default();
        let lost = of.entry((one.from.0, one.from.1)).or_default();
        match &one.ended {
            Some((_, Outcome::Failed(_))) if one.style.is_told() => {
                lost.failed += 1;
            }
            Some((_, Outcome::Told)) if !handled.contains_key(id) => lost.told += 1,
            _ => {}
        }
    }
    for (to, by_node) in unhandled {
        let of_it = |buried: &&Buried| buried.to == *to;
        let mut to_explain = 0;
        for (node, lost) in &by_node {
            let own = |buried: &&Buried| of_it(buried) && buried.on == *node;
            let up_to: u64 = buried.iter().filter(own).filter_map(|it| it.up_to).sum();
            // What a node had told that crashed may have gone with it, and nobody is left to ask.
            let crashed = log.crashed().contains(node);
            to_explain += if crashed { 0 } else { lost.told.saturating_sub(up_to) };
        }
        let failed: u64 = by_node.values().map(|lost| lost.failed).sum();
        let each =
            buried.iter().filter(of_it).filter(|buried| buried.up_to.is_none()).count() as u64;
        let is_told = each >= failed + to_explain || !uncounted.is_empty();
        assert!(
            is_told,
            "{to}: {to_explain} were told and vanished, {failed} failed, {each} are dead letters: {by_node:?}"
        );
    }
}

/// How many were lost on their way from a node to an address.
#[derive(Debug, Default)]
struct Lost {
    /// Told, and not handled.
    told: u64,
    /// Not even told, of which their senders know.
    failed: u64,
}
