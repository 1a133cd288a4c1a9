//! How memories, turns and budgets look to a person.

use std::borrow::Cow;

use genii_actors::being::character::macros::USER_DEFAULT;
use genii_protocols::being::{CoreBlock, Memory, MemoryKind, Recollection, Reminder, Turn};
use genii_protocols::beings::{BeingState, Isolation};
use genii_protocols::budget::{Budget, BudgetFor, BudgetLimits, BudgetOf, Spent};
use genii_protocols::{Json, Timestamp};
use serde_json::Value;

use crate::screen::flow::Flow;
pub use crate::screen::harmless;
use crate::screen::{Screen, many};

/// With what each line of a text begins that is set in.
const INDENT: &str = "    ";

/// How many letters are shown of something that was remembered.
const MEMORY_LETTERS_MAX: usize = 2_000;

/// How a being stands, in a word.
pub fn state(state: BeingState) -> &'static str {
    match state {
        BeingState::Asleep => "asleep",
        BeingState::Waking => "waking",
        BeingState::Awake => "awake",
        BeingState::Down => "down",
        BeingState::Quarantined => "quarantined",
        BeingState::Unreachable => "unreachable",
    }
}

/// Whether a store is said to be damaged. Of what is wrong in it, no more than the words come this far.
pub fn tells_of_damage(why: &str) -> bool {
    why.contains("store") && why.contains("damaged")
}

/// Whose budget is said to be spent, if that is why a being refuses: its own, or that of one whom it asked.
pub fn whose_budget<'a>(asked: &'a str, why: &'a str) -> Option<&'a str> {
    let (other, no) = why.split_once(" does not answer: ").unwrap_or((asked, why));
    no.starts_with("the budget is ").then_some(other)
}

/// What helps a being whose store is damaged.
pub fn damage_remedy(id: &str) -> String {
    format!(
        "`being check {id}` tells what of it can be read; with `--give-up` it saves that, and gives up the \
         rest"
    )
}

/// What helps an agent, called so, that is held back because of this.
pub fn remedy(name: &str, why: &str) -> String {
    let released = format!("`release {name}` lets it try again");
    match name.strip_prefix("being/") {
        None => released,
        Some(being) if tells_of_damage(why) => {
            damage_remedy(being.split_once('@').map_or(being, |(id, _)| id))
        }
        Some(_) => {
            format!("{released}; if it could not wake, so does speaking to it after a while")
        }
    }
}

/// How a being is kept apart, in a few words.
pub fn isolation(isolation: Option<Isolation>) -> &'static str {
    match isolation {
        Some(Isolation::Actor) => "an actor beside others",
        Some(Isolation::Process) => "a process of its own",
        None => "not known while its machine is away",
    }
}

/// What sort a memory is, in a word.
pub fn kind(kind: MemoryKind) -> &'static str {
    match kind {
        MemoryKind::Turn => "turn",
        MemoryKind::Note => "note",
        MemoryKind::Fact => "fact",
        MemoryKind::Summary => "summary",
    }
}

/// A text on one line, cut to so many letters.
pub fn in_short(text: &str, letters_max: usize) -> String {
    let text = harmless(text);
    let mut words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((at, _)) = words.char_indices().nth(letters_max) {
        words.truncate(at);
        words.push_str("...");
    }
    words
}

/// Writes a text, each line of it set in. On a terminal that is narrower, it goes on in the next behind a word.
pub fn set_in(text: &str, screen: &mut Screen) {
    let columns = screen.columns();
    for line in harmless(text.trim()).lines() {
        let line = Flow::new(columns, INDENT, INDENT).whole(line);
        screen.line(format!("{INDENT}{line}"));
    }
}

/// Writes something that was remembered: what, when, by whom, how well it fits, and why.
pub fn recollection(found: &Recollection, screen: &mut Screen) {
    let score = screen.bold(&format!("{:.2}", found.score));
    screen.line(format!("{score}  {}", about(&found.memory, screen)));
    set_in(&beginning(&found.memory.text, MEMORY_LETTERS_MAX), screen);
    if !found.why.is_empty() {
        let why = format!("because {}", harmless(&found.why));
        let why = Flow::new(screen.columns(), INDENT, INDENT).whole(&why);
        screen.line(format!("{INDENT}{}", screen.faint(&why)));
    }
}

/// So many letters of a text, and how many more there are.
fn beginning(text: &str, letters_max: usize) -> Cow<'_, str> {
    let text = text.trim();
    match text.char_indices().nth(letters_max) {
        None => text.into(),
        Some((at, _)) => {
            let (shown, rest) = text.split_at(at);
            format!("{shown}... ({} more; --json has all)", rest.chars().count()).into()
        }
    }
}

/// What is known about a memory besides its text. Its number is not that of a turn.
pub fn about(memory: &Memory, screen: &Screen) -> String {
    let by = memory.speaker.as_ref().map(|by| format!(" by {}", harmless(by))).unwrap_or_default();
    let until = memory.until.map(|until| format!(", held until {until}")).unwrap_or_default();
    let when = screen.faint(&memory.at.to_string());
    format!("memory {} ({}) {when}{by}{until}", memory.id, kind(memory.kind))
}

/// Writes a turn of a conversation with a being of this name.
pub fn turn(turn: &Turn, being: &str, screen: &mut Screen) {
    // As the being calls them, too.
    let speaker = harmless(turn.speaker.as_deref().unwrap_or(USER_DEFAULT));
    let head = screen.faint(&format!("turn {} {}", turn.id, turn.at));
    screen.line(format!("{head} {}", screen.bold(&speaker)));
    set_in(&turn.said, screen);
    if let Some(answer) = &turn.answer {
        screen.line(format!("  {}", screen.bold(being)));
        set_in(answer, screen);
    }
    if let Some(failure) = &turn.failure {
        let how = if turn.answer.is_some() { "not answered to the end" } else { "not answered" };
        let why = failure.strip_prefix("it was not answered to the end: ").unwrap_or(failure);
        let failure = screen.red(&format!("{how}: {}", harmless(why)));
        screen.line(format!("    {failure}"));
    }
    if turn.is_being_answered {
        let answering = screen.faint("(being answered)");
        screen.line(format!("{INDENT}{answering}"));
    }
}

/// What is known about a reminder besides its text.
pub fn reminder(Reminder { id, at, .. }: &Reminder, screen: &Screen) -> String {
    format!("{} {}", screen.bold(&format!("reminder {id}")), screen.faint(&format!("at {at}")))
}

/// Writes what a being keeps in mind at all times.
pub fn core(blocks: &[CoreBlock], screen: &mut Screen) {
    for block in blocks {
        screen.line(screen.bold(&harmless(&block.title)));
        set_in(&block.text, screen);
    }
}

/// Each limit that is set, in words, with what of it is spent.
pub fn limits(limits: &BudgetLimits, today: Spent, month: Spent, all: Spent) -> Vec<String> {
    let of = |per, spent: Spent, requests, tokens| {
        [
            (["question", "questions"], requests, spent.requests, per),
            (["token", "tokens"], tokens, spent.tokens, per),
        ]
    };
    let each = [
        of(BudgetFor::Day, today, limits.requests_per_day, limits.tokens_per_day),
        of(BudgetFor::Month, month, limits.requests_per_month, limits.tokens_per_month),
        of(BudgetFor::Ever, all, limits.requests_in_all, limits.tokens_in_all),
    ];
    let set = each.into_iter().flatten();
    set.filter_map(|([one, more], limit, spent, per)| {
        let (limit, spent) = (many(limit?, one, more), many(spent, "is", "are"));
        Some(format!("{limit} {per}, of which {spent} spent"))
    })
    .collect()
}

/// That nothing of a budget is left, and until when, so that a being answers nothing. What is left may still be too
/// little for a question.
pub fn nothing_left(budget: &Budget, now: Timestamp) -> Option<String> {
    let spent = budget.admit(now, 1).err()?;
    Some(match spent.free_at {
        Some(at) if spent.of == BudgetOf::Tokens => format!(
            "nothing is left before {at}, and it answers nothing; nor ever what takes more than the limit"
        ),
        Some(at) => format!("nothing is left before {at}, and it answers nothing"),
        None => "nothing is left, and it answers nothing without a larger budget".to_owned(),
    })
}

/// Settings, each as its name and its value in words.
pub fn settings(settings: &Json) -> Vec<(String, String)> {
    let in_words = |value: &Value| match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => harmless(text),
        other => other.to_string(),
    };
    let all = settings.0.as_object().into_iter().flatten();
    all.map(|(name, value)| (harmless(name), in_words(value))).collect()
}

/// How many bytes, as a person reads them.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["bytes", "KiB", "MiB", "GiB"];
    if bytes == 1 {
        return "1 byte".to_owned();
    }
    let mut amount = bytes as f64;
    let mut unit = 0;
    while amount >= 1024.0 && unit + 1 < UNITS.len() {
        amount /= 1024.0;
        unit += 1;
    }
    let digits = usize::from(unit > 0 && amount < 100.0);
    format!("{amount:.digits$} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_helps_one_that_is_held_back_is_told_by_why_it_is() {
        let damage = "entry 7 of the store /x/being.redb is damaged: it is not what was written";
        for (name, why, help) in [
            ("being/marit@pc2", damage, "`being check marit`"),
            ("being/marit", "panic: no", "`release being/marit` lets it try again; if it could"),
            ("shop/till", damage, "`release shop/till` lets it try again"),
        ] {
            let told = remedy(name, why);
            assert!(told.starts_with(help), "{name}: {told}");
        }
    }

    #[test]
    fn a_long_text_is_cut_between_letters() {
        assert_eq!(in_short("two\nlines", 20), "two lines");
        assert_eq!(in_short("äöüß und so", 4), "äöüß...");
    }

    #[test]
    fn a_long_memory_is_shown_by_its_beginning() {
        assert_eq!(beginning(" two\nlines ", 9), "two\nlines");
        assert_eq!(beginning("äöüß und so", 4), "äöüß... (7 more; --json has all)");
    }

    #[test]
    fn a_turn_that_is_being_answered_is_no_failure() {
        let said = serde_json::json!({
            "id": 7, "at": "2026-05-03T10:00:00Z", "speaker": "Ann", "said": "Aye?",
            "answer": null, "failure": null,
        });
        let shown = |said: &Value| {
            let mut screen = Screen::stdout();
            turn(&serde_json::from_value(said.clone()).unwrap(), "marit", &mut screen);
            screen.into_text()
        };
        let mut answering = said.clone();
        answering["is_being_answered"] = true.into();
        let seen = shown(&answering);
        assert!(seen.contains("(being answered)") && !seen.contains("not answered"), "{seen}");
        // As a being of an earlier version tells it.
        assert!(!shown(&said).contains("(being answered)"));
    }

    #[test]
    fn who_has_said_no_name_is_called_as_the_being_calls_them() {
        let said = serde_json::json!({
            "id": 7, "at": "2026-05-03T10:00:00Z", "speaker": null, "said": "Aye?",
            "answer": null, "failure": null,
        });
        let mut screen = Screen::stdout();
        screen.colour = false;
        turn(&serde_json::from_value(said).unwrap(), "marit", &mut screen);
        assert_eq!(screen.into_text(), "turn 7 2026-05-03T10:00:00.000Z User\n    Aye?\n");
    }

    #[test]
    fn settings_are_told_in_words() {
        let all = serde_json::json!({ "a": null, "b": "x\u{1b}y", "c": 0.5, "d": true });
        let told: Vec<String> = settings(&Json(all)).into_iter().map(|it| it.1).collect();
        assert_eq!(told, ["none", "xy", "0.5", "true"]);
        assert!(settings(&Json::default()).is_empty());
    }

    #[test]
    fn bytes_have_as_many_digits_as_matter() {
        for (number, expected) in [
            (0, "0 bytes"),
            (1, "1 byte"),
            (1023, "1023 bytes"),
            (1536, "1.5 KiB"),
            (500 << 20, "500 MiB"),
        ] {
            assert_eq!(bytes(number), expected);
        }
    }

    #[test]
    fn only_limits_that_are_set_are_told_with_what_is_spent() {
        let set = BudgetLimits {
            tokens_per_day: Some(10),
            requests_per_month: Some(1),
            ..BudgetLimits::default()
        };
        let today = Spent { requests: 1, tokens: 7 };
        let told = limits(&set, today, today, today);
        let expected =
            ["10 tokens a day, of which 7 are spent", "1 question a month, of which 1 is spent"];
        assert_eq!(told, expected);
    }
}
