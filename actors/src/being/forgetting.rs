//! Forgetting for good: when it is answered, nothing of what was forgotten is left in the folder.

use std::collections::BTreeSet;
use std::sync::Arc;

use genii_protocols::Timestamp;
use genii_protocols::being::{Forgettable, Forgotten, NotKept};
use genii_storage::memories::{Memories, MemoriesError, Memory, PAGE_MAX};
use genii_storage::store::StoreError;

use super::mind::{Mind, with_causes};
use super::tables::{FACTS, REMINDERS, REWRITE_OWED, StoredReminder, StoredTurn, TURNS};

/// What is to go.
struct Going {
    memories: Vec<u64>,
    turns: Vec<u64>,
    reminders: Vec<u64>,
}

/// Forgets.
pub(super) async fn forget(mind: &Arc<Mind>, what: Forgettable) -> Result<Forgotten, NotKept> {
    if let Forgettable::Matching { text } = &what
        && text.trim().is_empty()
    {
        return Err(NotKept { why: "name at least a word of what is to be forgotten".to_owned() });
    }
    // Nothing is said meanwhile that would belong to it.
    let _turn = mind.turn.lock().await;
    let looking = mind.clone();
    let going = tokio::task::spawn_blocking(move || going(&looking, &what)).await;
    let going = going.map_err(|error| not_kept(&error))?.map_err(|error| not_kept(&error))?;
    let Going { memories, turns, reminders } = going;
    if memories.is_empty() && turns.is_empty() && reminders.is_empty() {
        // What was removed before may not be gone for good yet.
        finish(mind).await?;
        return Ok(Forgotten { memories: 0, turns: 0, reminders: 0 });
    }
    let (gone, of_turns, of_reminders) = (memories.clone(), turns.clone(), reminders.clone());
    let removed = mind.store.write(move |writer| {
        Memories::remove(writer, &gone)?;
        for turn in &of_turns {
            writer.remove(TURNS, turn)?;
        }
        for reminder in &of_reminders {
            writer.remove(REMINDERS, reminder)?;
        }
        writer.retain(FACTS, .., |_, memory| gone.binary_search(memory).is_err())?;
        writer.insert(REWRITE_OWED, &(), &())?;
        Ok::<_, StoreError>(())
    });
    removed.await.map_err(|error| not_kept(&error))?;
    mind.recent.lock().retain(|turn| !turns.contains(&turn.id));
    mind.memories.purge(&memories).await.map_err(|error| not_kept(&error))?;
    finish(mind).await?;
    let [memories, turns, reminders] = [memories, turns, reminders].map(|which| which.len() as u64);
    Ok(Forgotten { memories, turns, reminders })
}

/// Writes the store anew if something was removed from it: until then its bytes lie in the file. Does
/// what was left undone when the disk was full, or genii ended.
pub(super) async fn finish(mind: &Mind) -> Result<(), NotKept> {
    let is_owed = mind.store.read(|reader| reader.contains(REWRITE_OWED, &()));
    if is_owed.map_err(|error: StoreError| not_kept(&error))? {
        mind.store.rewrite().await.map_err(|error| not_kept(&error))?;
        let settled = mind.store.write(|writer| writer.remove(REWRITE_OWED, &()).map(drop));
        settled.await.map_err(|error| not_kept(&error))?;
    }
    Ok(())
}

/// A turn goes with any memory of it, and a memory with its turn.
fn going(mind: &Mind, what: &Forgettable) -> Result<Going, MemoriesError> {
    let mut memories = BTreeSet::new();
    let mut turns = BTreeSet::new();
    let mut reminders = Vec::new();
    let is_meant = |memory: &Memory| match what {
        Forgettable::Memory { id: wanted } => memory.id == *wanted,
        Forgettable::Span { from, until } => is_within(memory.at, *from, *until),
        Forgettable::Matching { text } => [Some(&memory.text), memory.speaker.as_ref()]
            .into_iter()
            .flatten()
            .any(|part| matches(part, text)),
    };
    for_each_memory(mind, |memory| {
        if is_meant(&memory) {
            memories.insert(memory.id);
            turns.extend(memory.turn);
        }
    })?;
    mind.store.read(|reader| {
        for entry in reader.range(TURNS, ..) {
            let (id, turn) = entry?;
            if goes(&turn, what) {
                turns.insert(id);
            }
        }
        for entry in reader.range(REMINDERS, ..) {
            let (id, reminder) = entry?;
            if is_off(&reminder, what) {
                reminders.push(id);
            }
        }
        turns.retain(|turn| reader.contains(TURNS, turn).unwrap_or(true));
        Ok::<_, StoreError>(())
    })?;
    for_each_memory(mind, |memory| {
        if memory.turn.is_some_and(|turn| turns.contains(&turn)) {
            memories.insert(memory.id);
        }
    })?;
    let (memories, turns) = (memories.into_iter().collect(), turns.into_iter().collect());
    Ok(Going { memories, turns, reminders })
}

fn for_each_memory(mind: &Mind, mut look: impl FnMut(Memory)) -> Result<(), MemoriesError> {
    let mut after = None;
    loop {
        let page = mind.memories.page(after, PAGE_MAX)?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.id);
        page.into_iter().for_each(&mut look);
    }
}

fn goes(turn: &StoredTurn, what: &Forgettable) -> bool {
    match what {
        Forgettable::Memory { .. } => false,
        Forgettable::Span { from, until } => is_within(turn.at, *from, *until),
        Forgettable::Matching { text } => {
            let said = [Some(&turn.said), turn.speaker.as_ref()];
            let parts = [turn.answer.as_ref(), turn.failure.as_ref()];
            said.into_iter().chain(parts).flatten().any(|part| matches(part, text))
        }
    }
}

/// Whether a reminder is to go.
fn is_off(reminder: &StoredReminder, what: &Forgettable) -> bool {
    match what {
        Forgettable::Memory { .. } => false,
        Forgettable::Span { from, until } => is_within(reminder.made, *from, *until),
        Forgettable::Matching { text } => matches(&reminder.text, text),
    }
}

fn is_within(at: Timestamp, from: Timestamp, until: Timestamp) -> bool {
    at >= from && at < until
}

/// Whether words stand in a text, in their order, whatever lies between them but other words.
fn matches(text: &str, words: &str) -> bool {
    let (text, words) = (plain_words(text), plain_words(words));
    !words.is_empty() && text.windows(words.len()).any(|window| window == words)
}

/// The words of a text in small letters. Where no blanks stand between words, each letter is one.
fn plain_words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    for part in text.split(|c: char| !c.is_alphanumeric()).filter(|part| !part.is_empty()) {
        let mut word = String::new();
        for letter in part.chars() {
            if is_of_no_blanks(letter) {
                words.extend((!word.is_empty()).then(|| std::mem::take(&mut word)));
                words.push(letter.to_string());
            } else {
                word.extend(letter.to_lowercase());
            }
        }
        words.extend((!word.is_empty()).then_some(word));
    }
    words
}

/// Whether a letter is Chinese, or of the Japanese syllables.
fn is_of_no_blanks(letter: char) -> bool {
    matches!(letter,
        '\u{3005}'..='\u{3007}' | '\u{3040}'..='\u{30ff}' | '\u{31f0}'..='\u{31ff}'
        | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}'
        | '\u{ff66}'..='\u{ff9f}' | '\u{20000}'..='\u{3ffff}')
}

fn not_kept(error: &dyn std::error::Error) -> NotKept {
    NotKept { why: with_causes(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_match_whether_large_or_small_and_whatever_stands_between() {
        assert!(matches("The spare key is under the BLUE pot.", "blue pot"));
        assert!(matches("blue-pot", "Blue Pot"));
        assert!(!matches("the blue teapot", "blue pot"));
        assert!(!matches("blue and a pot", "blue pot"));
        assert!(!matches("anything", " , "));
    }

    #[test]
    fn where_no_blanks_stand_between_words_letters_match() {
        assert!(matches(
            "\u{6211}\u{7684}\u{5bc6}\u{7801}\u{662f}1234\u{3002}",
            "\u{5bc6}\u{7801}"
        ));
        assert!(matches("\u{6211}\u{7684}\u{5bc6}\u{7801}\u{662f}PIN1234", "\u{662f} pin1234"));
        assert!(matches("\u{732b}\u{306e}\u{30df}\u{30bd}\u{3067}\u{3059}", "\u{30df}\u{30bd}"));
        assert!(!matches("\u{5bc6}\u{7684}\u{7801}", "\u{5bc6}\u{7801}"));
        assert!(!matches("\u{6211}1234", "123"));
    }
}
