//! What a journal keeps, and in which order, tried.

use super::*;

fn note(journal: &Journal, text: &str) {
    journal.record(&Key::from("a"), 1, What::Note { text: text.into() });
}

fn kept_note(journal: &Journal, text: &str) {
    let what = What::KeptNote { text: text.into(), is_coming: false };
    journal.record(&Key::from("b"), 0, what);
}

fn coming(journal: &Journal, text: &str) {
    let what = What::KeptNote { text: text.into(), is_coming: true };
    journal.record(&Key::from("b"), 0, what);
}

/// A kept note of before.
fn of_before(number: usize) -> KeptNote {
    let (at, key) = (SystemTime::UNIX_EPOCH, Key::from("b"));
    KeptNote { at, key, text: number.to_string().into(), is_coming: false }
}

/// All that it has.
fn told(journal: &Journal) -> Vec<String> {
    journal.tail(usize::MAX, |_| true).iter().map(|event| event.what.to_string()).collect()
}

/// The numbers of a page.
fn page(journal: &Journal, from: u64, limit: usize) -> Vec<u64> {
    journal.from(from, limit).iter().map(|event| event.seq).collect()
}

#[test]
fn keeps_the_last_events_and_never_reuses_a_number() {
    let journal = Journal::new(3);
    for _ in 0..5 {
        journal.record(&Key::from("a"), 1, What::Starting);
    }
    let seqs: Vec<u64> = journal.tail(10, |_| true).iter().map(|event| event.seq).collect();
    assert_eq!(seqs, [3, 4, 5]);
    assert_eq!(journal.tail(1, |_| true)[0].seq, 5);
    let from = |seq, limit| page(&journal, seq, limit);
    assert_eq!((from(0, 9), from(4, 9), from(4, 1)), (vec![3, 4, 5], vec![4, 5], vec![4]));
    assert!(from(6, 9).is_empty() && from(u64::MAX, 9).is_empty());
}

#[test]
fn notes_outlive_other_events_and_are_bounded_too() {
    let journal = Journal::new(3);
    note(&journal, "was deleted");
    for _ in 0..5 {
        journal.record(&Key::from("b"), 1, What::Starting);
    }
    assert_eq!(told(&journal), ["was deleted", "is starting", "is starting", "is starting"]);
    for number in 0..NOTES_KEPT + 10 {
        note(&journal, &number.to_string());
    }
    let told = told(&journal);
    assert_eq!((told.len(), told[0].as_str()), (NOTES_KEPT + 3, "7"));
}

#[test]
fn other_notes_push_out_none_that_are_kept_and_all_stand_in_order() {
    let journal = Journal::new(3);
    note(&journal, "is overdue");
    kept_note(&journal, "was deleted");
    note(&journal, "is suspended");
    for _ in 0..3 {
        journal.record(&Key::from("b"), 1, What::Released);
    }
    assert_eq!(told(&journal)[..3], ["is overdue", "was deleted", "is suspended"]);
    for number in 0..NOTES_KEPT + 10 {
        note(&journal, &number.to_string());
    }
    let told = told(&journal);
    assert_eq!((told.len(), told[0].as_str()), (NOTES_KEPT + 4, "was deleted"));
}

#[test]
fn kept_notes_of_before_stand_first_in_their_order_and_come_once() {
    let journal = Journal::new(3);
    note(&journal, "is ready");
    journal.recall((1..3).map(of_before));
    journal.recall((3..5).map(of_before));
    kept_note(&journal, "was deleted");
    assert_eq!(told(&journal), ["1", "2", "is ready", "was deleted"]);
    let seqs: Vec<u64> = journal.tail(9, |_| true).iter().map(|event| event.seq).collect();
    assert_eq!(seqs, [0, 0, 1, 2]);
    assert_eq!((journal.from(0, 9).len(), journal.last()), (2, 2), "they have no number");
    let newest = journal.tail(1, |event| event.key == Key::from("b"));
    assert_eq!(newest[0].what.to_string(), "was deleted");
}

#[test]
fn of_kept_notes_the_newest_are_kept() {
    let journal = Journal::new(3);
    journal.recall((0..KEPT_NOTES_MAX + 5).map(of_before));
    assert_eq!((told(&journal).len(), told(&journal)[0].as_str()), (KEPT_NOTES_MAX, "5"));
    for _ in 0..5 {
        kept_note(&journal, "was moved");
    }
    assert_eq!((told(&journal).len(), told(&journal)[0].as_str()), (KEPT_NOTES_MAX, "10"));
}

#[test]
fn however_many_come_to_be_known_no_other_event_goes() {
    let journal = Journal::new(3);
    kept_note(&journal, "was deleted");
    journal.record(&Key::from("a"), 1, What::Starting);
    for number in 0..COMINGS_MAX + 7 {
        coming(&journal, &number.to_string());
    }
    let told = told(&journal);
    assert_eq!(told[..3], ["was deleted", "is starting", "7"]);
    assert_eq!(told.len(), 2 + COMINGS_MAX, "the oldest of them have gone");
    // Nor do they go for other events.
    for _ in 0..5 {
        journal.record(&Key::from("a"), 1, What::Starting);
        kept_note(&journal, "was moved");
    }
    assert_eq!(journal.tail(usize::MAX, is_coming).len(), COMINGS_MAX);
}

#[test]
fn pages_go_on_by_number_where_kept_notes_have_gone() {
    let journal = Journal::new(3);
    kept_note(&journal, "was deleted");
    journal.record(&Key::from("a"), 1, What::Starting);
    for number in 0..COMINGS_MAX + 7 {
        coming(&journal, &number.to_string());
    }
    journal.record(&Key::from("a"), 1, What::Recovered);
    let last = journal.last();
    assert_eq!(page(&journal, 0, 4), [1, 2, 10, 11]);
    assert_eq!(page(&journal, 5, 2), [10, 11]);
    assert_eq!(page(&journal, last - 1, 9), [last - 1, last]);
    // Those before the first of the last events are told of no more, though some are kept.
    for _ in 0..2 {
        journal.record(&Key::from("a"), 1, What::Recovered);
    }
    assert_eq!(page(&journal, 0, 2), [10, 11]);
    journal.record(&Key::from("a"), 1, What::Recovered);
    assert_eq!(page(&journal, 0, 9), [last + 1, last + 2, last + 3]);
}

#[test]
fn each_kind_of_kept_notes_of_before_has_its_room_and_all_stand_in_order() {
    let journal = Journal::new(3);
    let even_come = |number: usize| {
        let is_coming = number.is_multiple_of(2);
        KeptNote { is_coming, ..of_before(number) }
    };
    journal.recall((1..2 * COMINGS_MAX + 4).map(even_come));
    let told = told(&journal);
    // Of the even ones the newest, and all others.
    assert_eq!(told[..4], ["1", "3", "4", "5"]);
    assert_eq!(told.len(), 2 * COMINGS_MAX + 2);
}

#[test]
fn each_kind_of_kept_notes_has_its_room_at_any_time_and_all_stand_in_order() {
    let journal = Journal::new(3);
    // Those of before and the new ones share their rooms.
    journal.recall(
        (0..COMINGS_MAX)
            .map(|number| KeptNote { is_coming: number.is_multiple_of(2), ..of_before(number) }),
    );
    let of_a_kind = COMINGS_MAX / 2;
    for number in 1..=KEPT_NOTES_MAX {
        kept_note(&journal, "was moved");
        coming(&journal, "was found");
        let book = journal.book.lock();
        let kept = book.places.each_ref().map(VecDeque::len);
        let told = of_a_kind + number;
        assert_eq!(kept, [told.min(KEPT_NOTES_MAX), told.min(COMINGS_MAX)], "after {number}");
        assert_eq!(book.kept_notes.len(), kept.iter().sum::<usize>(), "nothing else is held");
    }
    let kept = journal.tail(usize::MAX, |_| true);
    assert!(kept.is_sorted_by(|one, next| one.seq < next.seq), "all that are left have a number");
    assert_eq!(kept.iter().filter(|event| is_coming(event)).count(), COMINGS_MAX);
    assert_eq!(kept.len(), KEPT_NOTES_MAX + COMINGS_MAX);
}

#[tokio::test]
async fn a_follower_that_falls_behind_is_told() {
    let journal = Journal::new(3);
    let mut follow = journal.follow();
    for n in 0..FOLLOW_CAPACITY + 5 {
        note(&journal, &n.to_string());
    }
    assert!(matches!(follow.next().await, Some(Followed::Missed(5))));
    assert!(matches!(follow.next().await, Some(Followed::Event(event)) if event.seq == 6));
}
