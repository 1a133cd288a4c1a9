//! What a being is to be reminded of, when nobody speaks to it.
//!
//! A reminder lies in the being's own store. Its home knows no more than when the next one is due, and
//! has the being heed it then, asleep or not.
//!
//! | what happens | what comes of it |
//! |---|---|
//! | its time comes, or came while genii was down | it is a turn of the conversation, said by [`SPEAKER`] |
//! | the provider fails, or the budget is spent | the turn is kept with why, as for a person, and the reminder is done |
//! | the turn cannot be kept | the reminder stays, and is tried again later |
//! | genii ends after the turn is kept | it is done: both are one write |
//! | genii ends before | it is taken up anew; what was answered by then may stand there as a broken turn |
//! | its home cannot keep when it is due | it is not set, and whoever set it is told |

use std::time::Duration;

use genii_protocols::Timestamp;
use genii_protocols::being::{
    BeingReminded, Heeded, ListReminders, NotKept, Remind, Reminder, Reminders,
};
use genii_protocols::beings::BeingDue;
use genii_runtime::Mail;
use genii_storage::store::{Reader, StoreError, Writer};
use tokio::sync::Mutex;

use super::mind::{Mind, with_causes};
use super::tables::{LAST_REMINDER, REMINDERS, StoredReminder, StoredTurn};
use super::{conversation, not_kept};

/// Who says what a being is reminded of.
pub(super) const SPEAKER: &str = "reminder";

/// How many reminders a being has at most.
pub(super) const REMINDERS_MAX: u64 = 1_000;

/// How long the text of one may be, in bytes: so that it finds room in every prompt.
pub(super) const TEXT_BYTES_MAX: usize = 4_096;

/// How many are listed unless the question says otherwise.
const LISTED: u32 = 100;

/// How long its home may take to keep when a being is due.
const HOME_PATIENCE: Duration = Duration::from_secs(5);

/// Tells the home of a being when it is due, and what it was reminded of. The home speaks to the house: a being
/// in a process of its own cannot.
pub(super) struct HomeLine {
    home: Mail,
    /// Held from reading when that is to telling it, so that what is told last is what holds.
    telling: Mutex<()>,
}

impl HomeLine {
    pub(super) fn new(home: Mail) -> Self {
        Self { home, telling: Mutex::default() }
    }

    /// Tells it, whether or not it is heard, and waits until it is or can't be. For what is no harm if
    /// it is not: that the next reminder is later than the home takes it to be, and what it was told
    /// before.
    pub(super) async fn tell(&self, mind: &Mind) {
        let _telling = self.telling.lock().await;
        match next(mind) {
            Ok(next) => {
                // Asked, so that what is told next cannot overtake it: the home takes up each by itself.
                let due = BeingDue { id: mind.id.clone(), next };
                if let Err(error) = self.home.ask_within(due, HOME_PATIENCE).await {
                    let being = mind.id.as_str();
                    tracing::debug!(being, "its home has not heard when it is due: {error}");
                }
            }
            Err(error) => {
                let being = mind.id.as_str();
                tracing::warn!(being, "its reminders cannot be read: {}", with_causes(&error));
            }
        }
    }

    /// Tells it, and returns when it is kept there.
    async fn tell_surely(&self, mind: &Mind) -> Result<(), NotKept> {
        let _telling = self.telling.lock().await;
        let next = next(mind).map_err(|error| not_kept(&error))?;
        let due = BeingDue { id: mind.id.clone(), next };
        let told = self.home.ask_within(due, HOME_PATIENCE).await;
        told.map_err(|error| NotKept {
            why: format!(
                "it cannot be seen to that it wakes for it, and so it is not set: {error}"
            ),
        })
    }
}

/// Sets a reminder, and has the home know of it.
pub(super) async fn remind(
    mind: &Mind,
    home: &HomeLine,
    asked: Remind,
) -> Result<Reminder, NotKept> {
    let text = asked.text.trim().to_owned();
    if text.is_empty() || text.len() > TEXT_BYTES_MAX {
        let why = format!("a reminder has 1 to {TEXT_BYTES_MAX} bytes; this has {}", text.len());
        return Err(NotKept { why });
    }
    let new = StoredReminder { id: 0, at: asked.at, text, made: Timestamp::now() };
    let set = mind.store.write(move |writer| put(writer, &new)).await;
    let Some(set) = set.map_err(|error: StoreError| not_kept(&error))? else {
        let why = format!("it has {REMINDERS_MAX} reminders already; cancel one before");
        return Err(NotKept { why });
    };
    match home.tell_surely(mind).await {
        Ok(()) => Ok(told(set)),
        Err(why) => {
            cancel(mind, set.id).await?;
            Err(why)
        }
    }
}

fn put(writer: &mut Writer, new: &StoredReminder) -> Result<Option<StoredReminder>, StoreError> {
    if writer.len(REMINDERS)? >= REMINDERS_MAX {
        return Ok(None);
    }
    let last = writer.get(LAST_REMINDER, &())?.unwrap_or(0);
    let id = last.checked_add(1).ok_or(StoreError::NoNumber { table: REMINDERS.name() })?;
    let set = StoredReminder { id, ..new.clone() };
    writer.insert(REMINDERS, &id, &set)?;
    writer.insert(LAST_REMINDER, &(), &id)?;
    Ok(Some(set))
}

/// Takes a reminder back.
pub(super) async fn cancel(mind: &Mind, id: u64) -> Result<Reminder, NotKept> {
    let owed = mind.owed.clone();
    let cancelled = mind.store.write(move |writer| {
        let cancelled = writer.get(REMINDERS, &id)?;
        if writer.remove(REMINDERS, &id)? {
            // No turn has its text: nobody would have that gone later.
            owed.owe(writer)?;
        }
        Ok::<_, StoreError>(cancelled)
    });
    let cancelled = cancelled.await.map_err(|error| not_kept(&error))?;
    cancelled.map(told).ok_or_else(|| NotKept { why: format!("it has no reminder {id}") })
}

/// Some of the reminders, the next first.
pub(super) fn list(mind: &Mind, asked: &ListReminders) -> Result<Reminders, NotKept> {
    let mut all = mind.store.read(all).map_err(|error| not_kept(&error))?;
    let total = all.len() as u64;
    all.truncate(asked.limit.unwrap_or(LISTED).max(1) as usize);
    Ok(Reminders { reminders: all.into_iter().map(told).collect(), total })
}

/// Takes up the next reminder, if its time has come.
pub(super) async fn heed(mind: &Mind, home: &HomeLine) -> Result<Heeded, NotKept> {
    let first = mind.store.read(all).map_err(|error| not_kept(&error))?.into_iter().next();
    let reminder = match first.filter(|reminder| reminder.at <= Timestamp::now()) {
        Some(due) => take_up(mind, home, due).await?,
        None => None,
    };
    Ok(Heeded { reminder, next: next(mind).map_err(|error| not_kept(&error))? })
}

/// Takes up a reminder, unless it was taken back meanwhile, and has others hear of it. Who is not reached
/// finds it in the history.
async fn take_up(
    mind: &Mind,
    home: &HomeLine,
    due: StoredReminder,
) -> Result<Option<u64>, NotKept> {
    let Some(turn) = conversation::remind(mind, &due).await? else { return Ok(None) };
    let StoredTurn { id, answer, failure, .. } = turn;
    let StoredReminder { id: reminder, at, text, .. } = due;
    let being = mind.id.clone();
    let told = BeingReminded { being, reminder, at, text, answer, failure, turn: id };
    if let Err(error) = home.home.ask_within(told, HOME_PATIENCE).await {
        let being = mind.id.as_str();
        tracing::warn!(being, "its home may not have told others of its reminder: {error}");
    }
    Ok(Some(reminder))
}

/// When the next one is due.
fn next(mind: &Mind) -> Result<Option<Timestamp>, StoreError> {
    mind.store.read(first)
}

/// When the first of them is due.
pub(super) fn first(reader: &Reader) -> Result<Option<Timestamp>, StoreError> {
    Ok(all(reader)?.first().map(|reminder| reminder.at))
}

/// All of them, the next first.
fn all(reader: &Reader) -> Result<Vec<StoredReminder>, StoreError> {
    let all = reader.range(REMINDERS, ..).map(|entry| Ok(entry?.1));
    let mut all = all.collect::<Result<Vec<StoredReminder>, StoreError>>()?;
    all.sort_by_key(|reminder| (reminder.at, reminder.id));
    Ok(all)
}

pub(super) fn told(StoredReminder { id, at, text, made }: StoredReminder) -> Reminder {
    Reminder { id, at, text, made }
}
