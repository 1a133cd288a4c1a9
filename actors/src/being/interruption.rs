//! Why an answer is interrupted: its being ends. What genii says of that stands in the history, and is nobody's
//! to forget.

use genii_runtime::nursery::PUT_TO_SLEEP;

/// It is deleted.
pub(crate) const DELETED: &str = "it is deleted";

/// It lives on another machine by now.
pub(crate) const LIVES_ELSEWHERE: &str = "it is not to live here";

/// It moves.
pub(crate) const MOVES: &str = "it moves to another machine";

/// Nothing more is known of it.
pub(super) const STOPPED: &str = "it is stopped or started anew, or genii ends";

const WHY: [&str; 5] = [DELETED, LIVES_ELSEWHERE, MOVES, PUT_TO_SLEEP, STOPPED];

const INTERRUPTED: &str = "it was interrupted: ";

/// Why a turn has no answer, or not the whole of it.
pub(super) fn told(why: &str) -> String {
    format!("{INTERRUPTED}{why}")
}

/// Whether this is what genii tells of that, and not what a file tells that somebody has made.
pub(super) fn is_told(failure: &str) -> bool {
    failure.strip_prefix(INTERRUPTED).is_some_and(|why| WHY.contains(&why))
}
