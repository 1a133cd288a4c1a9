//! What somebody asks for, as far as the form of what they say tells it to who understands nothing.

use genii_protocols::Timestamp;
use genii_storage::memories::Memory;
use genii_storage::text::Analysis;
use genii_storage::text::dates::{self, Day, Days, Named};

/// Who asks for something without a question mark has one of these among the first words.
const ASKING: [&str; 12] = [
    "what", "who", "where", "which", "how", "did", "tell", "show", "list", "remind", "describe",
    "say",
];

/// How many these are.
const FIRST_WORDS: usize = 4;

/// With what a question begins that has no question mark, and what comes next; else it may tell something, as `What I
/// like is tea` does.
const QUESTION_WORDS: [&str; 7] = ["what", "who", "where", "when", "which", "how", "why"];
const THEN: [&str; 17] = [
    "did", "do", "does", "is", "are", "am", "was", "were", "will", "would", "can", "could",
    "should", "has", "have", "had", "happened",
];

/// What is asked to be kind, and not for what is remembered.
const GREETINGS: [&str; 5] =
    ["how are you", "how are things", "how do you do", "how is it going", "how's it going"];

/// What people say who want to know what they are called, and what else is known of themselves.
const NAME_OF_ASKER: [&str; 4] = ["who am i", "my name", "am i called", "do you call me"];
const ABOUT_ASKER: [&str; 4] = ["about me", "about myself", "know me", "remember me"];

/// The words that mean another day each time.
const RELATIVE_DAYS: [&str; 4] = ["today", "tonight", "tomorrow", "yesterday"];

/// Whether a text asks something, or wants something told.
pub(super) fn asks(text: &str) -> bool {
    let mut words = text.split_whitespace().map(bare);
    let (first, second) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let word = first.strip_suffix("'s").unwrap_or(&first);
    let is_asked = QUESTION_WORDS.contains(&word) && (word != first || THEN.contains(&&*second));
    let is_wanted = first == "tell" && ["me", "us"].contains(&&*second);
    text.trim_end().ends_with('?') || is_asked || is_wanted
}

/// Whether what was said asks what whoever says it is called.
pub(super) fn is_about_name_of_asker(said: &str) -> bool {
    is_after_something(said) && has_one_of(said, &NAME_OF_ASKER)
}

/// Whether what was said asks what is known of whoever says it.
pub(super) fn is_about_asker(said: &str) -> bool {
    is_about_name_of_asker(said) || is_after_something(said) && has_one_of(said, &ABOUT_ASKER)
}

/// Whether what was said wants something told, as far as its form says so.
pub(super) fn is_after_something(said: &str) -> bool {
    let mut first = said.split_whitespace().take(FIRST_WORDS).map(bare);
    said.contains('?') || first.any(|word| ASKING.contains(&&*word))
}

/// Whether one of these words, one behind the other, stands in what was said.
pub(super) fn has_one_of(said: &str, phrases: &[&str]) -> bool {
    let said = words(said);
    phrases.iter().any(|phrase| said.contains(&words(phrase)))
}

/// A text in lower case with one space around each word, so that whole words can be looked for.
pub(super) fn words(text: &str) -> String {
    let lower = text.to_lowercase();
    let words = lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.fold(" ".to_owned(), |all, word| all + word + " ")
}

/// A word in small letters, without what stands around it.
fn bare(word: &str) -> String {
    word.trim_matches(|letter: char| !letter.is_alphanumeric()).replace('’', "'").to_lowercase()
}

/// The days for which something is asked: none where none is named, or only in passing.
pub(super) struct AskedDays(Vec<Named>);

impl AskedDays {
    /// Those of what was said at some time.
    pub(super) fn of(said: &str, at: Timestamp) -> Self {
        let is_meant = is_after_something(said) && !has_one_of(said, &GREETINGS);
        Self(if is_meant { dates::named(said, Some(Day::of(at))) } else { Vec::new() })
    }

    /// Whether a memory is of one of them: it was told then, or names days of which most are among them.
    pub(super) fn have(&self, memory: &Memory) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let told = Analysis::new(&memory.text, memory.speaker.as_deref(), memory.at);
        let of_it = |days: Days| self.0.iter().any(|asked| has_most(*asked, days));
        of_it(Days::one(told.day)) || told.dates.into_iter().any(of_it)
    }
}

fn has_most(asked: Named, days: Days) -> bool {
    let asked = asked.days_in(days.first.date().0);
    asked.is_some_and(|asked| 2 * asked.shared(days) > days.count())
}

/// Whether a word means another day each time that it is said.
pub(super) fn is_relative_day(word: &str) -> bool {
    RELATIVE_DAYS.contains(&word)
}

#[cfg(test)]
pub(super) mod tests {
    use genii_storage::memories::MemoryKind;

    use super::*;

    pub(in crate::being) fn at(day: &str) -> Timestamp {
        serde_json::from_value(format!("{day}T10:00:00Z").into()).unwrap()
    }

    /// Something that was told on a day.
    pub(in crate::being) fn told(day: &str, text: &str) -> Memory {
        Memory {
            id: 1,
            kind: MemoryKind::Turn,
            text: text.to_owned(),
            speaker: None,
            at: at(day),
            turn: None,
            subject: None,
            until: None,
            replaced_by: None,
        }
    }

    /// Of the fourth of May, a Monday.
    fn is_of(asked: &str, memory: &Memory) -> bool {
        AskedDays::of(asked, at("2026-05-04")).have(memory)
    }

    #[test]
    fn a_day_is_the_one_that_is_asked_for_and_not_the_one_after() {
        let (yesterday, today) = (told("2026-05-03", "It rains."), told("2026-05-04", "It rains."));
        assert!(is_of("What did Ann do yesterday?", &yesterday));
        assert!(!is_of("What did Ann do yesterday?", &today));
        assert!(is_of("And today?!", &today) && !is_of("And today?!", &yesterday));
        assert!(is_of("What happened in May?", &yesterday));
        assert!(!is_of("What happened in April?", &yesterday));
    }

    #[test]
    fn what_is_told_of_a_day_later_or_before_is_of_that_day() {
        let (later, plan) = (
            told("2026-05-04", "I went swimming yesterday."),
            told("2026-04-30", "On 3 May 2026 I swim."),
        );
        assert!(is_of("What did Ann do yesterday?", &later));
        assert!(is_of("What did Ann do yesterday?", &plan));
        assert!(!is_of("What did Ann do yesterday?", &told("2026-05-10", "I swam last week.")));
    }

    #[test]
    fn a_day_that_is_named_in_passing_is_not_asked_for() {
        let today = told("2026-05-04", "It rains.");
        for passing in ["I had soup today.", "How are you today?", "Marit, how’s it going today?"]
        {
            assert!(!is_of(passing, &today), "{passing}");
        }
        for asked in ["What was said today?", "Please tell me what was said today"] {
            assert!(is_of(asked, &today), "{asked}");
        }
    }

    #[test]
    fn who_asks_for_themselves_is_understood() {
        for said in
            ["Who am I?", "What’s my name?", "what do you know about me", "Do you remember me?"]
        {
            assert!(is_about_asker(said), "{said}");
        }
        for said in [
            "Who is Ann?",
            "My sister knows me.",
            "My name is Ann.",
            "What did Ann tell you about meat?",
        ] {
            assert!(!is_about_asker(said), "{said}");
        }
    }
}
