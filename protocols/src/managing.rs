//! Which messages are only for who may manage the agent that they are for.
//!
//! A client may be let talk with a being, and not be let manage it: not say who finds its words, which
//! may send the keys of the house elsewhere, nor have it written into a file, or made forget. Whoever lets
//! clients in asks here, by the name of the message alone: so it does not matter in which form it
//! comes, by which verb, or where the being lives.
//!
//! | message | whom it is for |
//! |---|---|
//! | one to talk with a being, as `being.query` | who reaches the being |
//! | any other `being.*`, also one that is not known here | who may manage it besides |
//! | any other | who reaches the agent: what only manages, as `beings/registry`, has an address of its own |

use crate::Message;
use crate::being::{
    AskHealth, CancelReminder, Converse, ListReminders, Query, RecallMemories, Remember, Remind,
    Say, ShowBeing, ShowHistory,
};

/// What the names of all messages to beings begin with.
const TO_BEINGS: &str = "being.";

/// Those to talk with a being, in the order of their types. A message that is not here is refused to who
/// may only talk, so that one that was forgotten is noticed and does no harm.
const TALK: [&str; 11] = [
    AskHealth::NAME,
    CancelReminder::NAME,
    Converse::NAME,
    ListReminders::NAME,
    Query::NAME,
    RecallMemories::NAME,
    Remember::NAME,
    Remind::NAME,
    Say::NAME,
    ShowBeing::NAME,
    ShowHistory::NAME,
];

/// Whether a message is only for who may manage the agent. Names are compared byte by byte, as agents
/// compare them: what is written in another way is not answered by anybody.
pub fn is_managing(message: &str) -> bool {
    message.starts_with(TO_BEINGS) && !TALK.contains(&message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_to_a_being_that_is_not_to_talk_with_it_is_for_who_may_manage_it() {
        for (messages, expected) in [
            ("query converse info health history remember recall", false),
            ("remind list_reminders cancel_reminder say", false),
            ("update_character set_core set_provider show_provider set_budget forget export", true),
            // Of the house itself, of another version, and written in another way.
            ("heed_reminders of_tomorrow Query query.x", true),
        ] {
            for message in messages.split(' ') {
                assert_eq!(is_managing(&format!("being.{message}")), expected, "{message}");
            }
        }
        assert!(is_managing("being."));
    }

    #[test]
    fn a_message_to_others_is_for_who_reaches_them() {
        for message in ["beings.create", "health.check", "being", "Being.export", ""] {
            assert!(!is_managing(message), "{message}");
        }
    }
}
