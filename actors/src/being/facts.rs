//! Facts that people tell of themselves, and that change: where they live, what their dog is called.
//!
//! They are found by plain rules, and kept as they were said, in the same write as the turn that tells
//! them: no crash comes between. When another is told of the same subject, the one before is not
//! overwritten: it is kept with the time until which it held. Of what one turn tells of a subject the last
//! is kept, and other words for it are not: nothing is over in the moment in which it is said. What the
//! rules do not know is not lost, since each turn is remembered as it is.

use std::sync::LazyLock;

use genii_protocols::Timestamp;
use genii_storage::memories::{Memories, Memory, MemoryKind, NewMemory};
use genii_storage::store::{StoreError, Writer};
use regex::Regex;

use super::consolidating::Derived;
use super::mind::Mind;
use super::tables::{DERIVED, FACTS};

/// How many facts are taken from one turn.
const FACTS_MAX: usize = 8;

/// How long a sentence may be in which a fact is looked for, in bytes.
const SENTENCE_BYTES_MAX: usize = 300;

/// How a fact is told, and what it is then about; `$1` is what the first group has.
const RULES: [(&str, &str); 7] = [
    (r"^(?:hi,? |hello,? )?my name is \w+", "name"),
    (
        r"^(?:and |now |so )?(?:i(?: now)? live|i(?: now| have|'ve)? moved|i(?: am|'m)(?: now)? living)(?: now)? (?:in|to|at) \w+",
        "home",
    ),
    (r"^(?:and |now |so )?i(?: now)? work (?:as|at|for|in) \w+", "work"),
    (r"^(?:i am|i'm) (?:now )?\d{1,3} years old", "age"),
    (r"^my favou?rite ((?:\w+ ){0,2}\w+) (?:is|are) (?:now )?\w+", "favourite $1"),
    (r"^my ((?:\w+ ){0,2}\w+)'s name is \w+", "name of the $1"),
    (r"^my ((?:\w+ ){0,2}\w+) (?:is|are) (?:now )?(?:called|named) \w+", "name of the $1"),
];

static PATTERNS: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    let rules = RULES.iter();
    rules
        .map(|(pattern, subject)| {
            (Regex::new(pattern).expect("the rules are tried by a test"), *subject)
        })
        .collect()
});

/// Where a sentence goes on to tell something else: `I live in Porto, and my boat is called Gull`, or `I moved:
/// I live in Bergen now`. What stands between is the first group, and what is told then begins with the second.
/// Without blanks behind it a colon or a hyphen is part of a time, an address or a word.
static JOINT: LazyLock<Regex> = LazyLock::new(|| {
    let joint = concat!(
        r"(?i)(,?\s+(?:and|but)\s+|\s*:\s+|\s+[-\u{2013}]\s+|\s*(?:--|\u{2014})\s*)",
        r"((?:my|i)\b)",
    );
    Regex::new(joint).expect("it is tried by a test")
});

/// Where it may say who is quoted.
static COLON: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\s*:\s+").expect("it is tried by a test"));

/// What whoever speaks begins with before a dash, beside what they tell of themselves.
static INTERJECTION: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)^(?:yes|yeah|no|well|so|ok|okay|oh|ah)$").expect("it is tried by a test")
});

/// What tells of whoever speaks. Before a colon or a dash anything else may say who is quoted (`Bob: I live in
/// Rome`).
static OWN: LazyLock<Regex> = LazyLock::new(|| {
    let own = r"(?i)^(?:(?:and|but|now|so|well|yes|no),? )*(?:i|we)\b";
    Regex::new(own).expect("it is tried by a test")
});

/// What leads to words that somebody said elsewhere, or that are not meant: `I told Bob: I live in Rome`.
static QUOTING: LazyLock<Regex> = LazyLock::new(|| {
    let quoting = concat!(
        r"(?i)\b(?:say|says|said|saying|tell|tells|told|telling|ask|asks|asked|asking|answer|answers",
        r"|answered|reply|replies|replied|write|writes|wrote|written|writing|read|reads|reading|hear",
        r"|hears|heard|sing|sings|sang|singing|quote|quotes|quoted|shout|shouts|shouted|thought|dream",
        r"|dreams|dreamt|dreamed|wish|wished|pretend|pretended|joke|joked|lie|lied)\b",
        r"|\b(?:is|are|was|were|called|named|goes|like|this)$",
    );
    Regex::new(quoting).expect("it is tried by a test")
});

/// The facts that somebody tells in a turn. Its number is known to whoever keeps it.
pub(super) fn of(said: &str, speaker: Option<&str>, at: Timestamp) -> Vec<NewMemory> {
    let whose = speaker.unwrap_or("whoever talks with it");
    let sentences = said.split_inclusive(['.', '!', '?', '\n', ';']);
    let clauses = sentences.map(str::trim).flat_map(clauses);
    let facts = clauses.filter_map(|clause| {
        let subject = subject(clause)?;
        Some(NewMemory {
            kind: MemoryKind::Fact,
            text: clause.to_owned(),
            speaker: speaker.map(str::to_owned),
            at,
            turn: None,
            subject: Some(format!("{subject} of {}", whose.to_lowercase())),
        })
    });
    facts.take(FACTS_MAX).collect()
}

/// What a sentence tells, one thing after the other. One that asks, or is long, tells nothing.
fn clauses(sentence: &str) -> Vec<&str> {
    if sentence.len() > SENTENCE_BYTES_MAX || sentence.ends_with('?') {
        return Vec::new();
    }
    let (mut clauses, mut from) = (Vec::new(), 0);
    for joint in JOINT.captures_iter(sentence) {
        let (Some(between), Some(next)) = (joint.get(1), joint.get(2)) else { continue };
        let before = &sentence[from..between.start()];
        if !is_told_by_the_same(before, between.as_str().trim()) {
            // And so with all that follows.
            break;
        }
        clauses.push(before);
        from = next.start();
    }
    clauses.push(&sentence[from..]);
    clauses
}

/// Whether what comes behind a joint is told by whoever says what is before it, and that is whoever speaks.
fn is_told_by_the_same(before: &str, joint: &str) -> bool {
    let leads_on =
        |text: &str| (OWN.is_match(text) || subject(text).is_some()) && !QUOTING.is_match(text);
    // Behind whose name something else stands first: `Bob: yes, and I live in Rome`.
    if COLON.find(before).is_some_and(|colon| !leads_on(&before[..colon.start()])) {
        return false;
    }
    match joint {
        ":" => leads_on(before),
        "-" | "--" | "\u{2013}" | "\u{2014}" => leads_on(before) || INTERJECTION.is_match(before),
        // `And` and `but`.
        _ => true,
    }
}

/// Whether two facts are told in the same words, whatever stands at their ends.
fn is_same(one: &str, other: &str) -> bool {
    let [one, other] = [one, other].map(|text| text.trim_end_matches(['.', '!', ';', ',']));
    one.to_lowercase() == other.to_lowercase()
}

/// What a clause tells a fact about, if it does.
fn subject(clause: &str) -> Option<String> {
    let plain = clause.to_lowercase().replace('\u{2019}', "'");
    PATTERNS.iter().find_map(|(pattern, subject)| {
        let found = pattern.captures(&plain)?;
        Some(
            found
                .get(1)
                .map_or_else(|| (*subject).to_owned(), |what| subject.replace("$1", what.as_str())),
        )
    })
}

/// What has become of facts.
#[derive(Default)]
pub(super) struct Kept {
    new: Vec<Memory>,
    /// Those that no longer hold, each with the one that holds in its stead.
    outdated: Vec<(u64, u64)>,
}

impl Kept {
    /// Has them found, once the write of [`put`] has returned.
    pub(super) async fn take_in(self, mind: &Mind) {
        for (old, by) in self.outdated {
            mind.memories.outdated(old, by);
        }
        // Most turns tell none.
        if !self.new.is_empty() {
            mind.memories.take_in(self.new).await;
        }
    }
}

/// Keeps facts in a write of the caller's own, each in place of the one that held before, unless that is
/// the same, or was told later or in the same turn. `derived` says of which turns they may tell, if of more
/// than the one that each names.
pub(super) fn put(
    writer: &mut Writer,
    facts: &[NewMemory],
    derived: Option<&Derived>,
) -> Result<Kept, StoreError> {
    let mut kept = Kept::default();
    for (place, fact) in facts.iter().enumerate() {
        let Some(subject) = &fact.subject else { continue };
        let is_of_its_turn = |turn: Option<u64>| turn.is_some() && turn == fact.turn;
        let corrects = |it: &NewMemory| is_of_its_turn(it.turn) && it.subject == fact.subject;
        if facts[place + 1..].iter().any(corrects) {
            continue;
        }
        let before = writer.get(FACTS, subject)?.map(|id| Memories::find(writer, id));
        let before = before.transpose()?.flatten().filter(|before| before.replaced_by.is_none());
        let stands = |it: &Memory| {
            is_same(&it.text, &fact.text) || it.at > fact.at || is_of_its_turn(it.turn)
        };
        if before.as_ref().is_some_and(stands) {
            continue;
        }
        let new = Memories::put(writer, fact)?;
        if let Some(before) = before {
            Memories::outdate(writer, before.id, &new)?;
            kept.outdated.push((before.id, new.id));
        }
        if let Some(derived) = derived {
            writer.insert(DERIVED, &new.id, derived)?;
        }
        writer.insert(FACTS, subject, &new.id)?;
        kept.new.push(new);
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use genii_storage::store::{Store, StoreOptions};

    use super::super::tables::SCHEMA;
    use super::*;

    #[test]
    fn what_people_tell_of_themselves_is_a_fact() {
        let check = |said: &str, subjects: &[&str]| {
            let facts = of(said, Some("Ann"), Timestamp::now());
            let found: Vec<_> = facts.iter().filter_map(|fact| fact.subject.as_deref()).collect();
            assert_eq!(found, subjects, "{said}");
        };
        check("My name is Ann.", &["name of ann"]);
        check("Hello! I moved to Lisbon last week.", &["home of ann"]);
        check("I live in Porto. I work as a baker!", &["home of ann", "work of ann"]);
        check("I'm living in Porto now.", &["home of ann"]);
        check("So I am now living at home again.", &["home of ann"]);
        check("I've moved to Lisbon!", &["home of ann"]);
        check("I lived in Paris as a child.", &[]);
        check("I have lived in Paris.", &[]);
        check("My dog is called Rex, and he is old.", &["name of the dog of ann"]);
        check("My old dog\u{2019}s name is Rex", &["name of the old dog of ann"]);
        check("My favourite colour is green", &["favourite colour of ann"]);
        check("I am 42 years old", &["age of ann"]);
        check("Is my dog called Rex?", &[]);
        check(
            "I live in Porto and my boat is called Gull, but I work as a baker.",
            &["home of ann", "name of the boat of ann", "work of ann"],
        );
        check("I live in Porto and my boat is called what?", &[]);
        // Whatever stands between what is told.
        for between in
            [": ", " : ", "; ", " - ", " -- ", "--", " \u{2013} ", " \u{2014} ", "\u{2014}"]
        {
            check(&format!("I moved{between}I live in Bergen now."), &["home of ann"]);
            check(
                &format!("My name is Ann{between}my dog is called Rex and I work at sea."),
                &["name of ann", "name of the dog of ann", "work of ann"],
            );
        }
        check("So we moved: I'm living in Bergen now.", &["home of ann"]);
        check(
            "I have two pets: my dog is called Rex, and my cat is named Miso!",
            &["name of the dog of ann", "name of the cat of ann"],
        );
        check("Yes - I live in Bergen.", &["home of ann"]);
        check("I like it here.", &[]);
        check("", &[]);
    }

    #[test]
    fn what_others_said_and_what_only_looks_like_a_border_tells_nothing() {
        for said in [
            "I get up at 9:30 and my shift ends at 17:00.",
            "My shift: 9:30 - 17:00.",
            "Note: my dog is called Rex.",
            "Bob: I live in Rome.",
            "[9:30] Bob: my name is Bob.",
            "My brother: I live in Rome.",
            "Bob says: I live in Rome.",
            "Bob says: I live in Rome and I work at sea, but my boat is called Gull.",
            "I told Bob: I live in Rome.",
            "I told Bob - I live in Rome.",
            "Bob - I live in Rome.",
            "Bob \u{2014} I live in Rome.",
            "\u{2014} I live in Rome.",
            "Bob: yes - I live in Rome.",
            "[9:30] Bob: hi - my name is Bob.",
            "Bob: she left, but I live in Rome.",
            "From Bob: hi, and my name is Bob.",
            "The first line -- my name is Ishmael.",
            "I heard him on the phone \u{2014} I live in Rome.",
            "I like one song, it goes like this: my name is Luka.",
            "I wrote: \"I live in Rome.\"",
            "I moved:I live in Rome.",
            "I moved, see https://example.org/a-b:i/my-home - it is new.",
            "I found mailto:my.name@example.org.",
            "I was half-my age then.",
        ] {
            let facts = of(said, Some("Ann"), Timestamp::now());
            assert!(facts.is_empty(), "{said}: {facts:?}");
        }
    }

    #[test]
    fn a_fact_is_kept_as_it_was_said() {
        let facts = of("Well. My cat is named Miso!", None, Timestamp::now());
        assert_eq!(facts[0].text, "My cat is named Miso!");
        let facts = of("I live in Porto, and My boat is called Gull", None, Timestamp::now());
        let texts: Vec<_> = facts.iter().map(|fact| fact.text.as_str()).collect();
        assert_eq!(texts, ["I live in Porto", "My boat is called Gull"]);
        let said = "I work as a baker - I live in Porto: my boat is called Gull.";
        let facts = of(said, None, Timestamp::now());
        let texts: Vec<_> = facts.iter().map(|fact| fact.text.as_str()).collect();
        assert_eq!(texts, ["I work as a baker", "I live in Porto", "my boat is called Gull."]);
        assert_eq!(facts[0].speaker.as_deref(), None);
    }

    /// Facts of one subject are kept, write by write, each with the turn that tells it. What is there then:
    /// whether it holds, and what it says.
    fn check_kept(writes: &[&[(u64, &str)]], expected: &[(bool, &str)]) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("being.redb");
        let store = Store::open(file, &SCHEMA, &StoreOptions::default()).unwrap();
        let mut there = 0;
        for facts in writes {
            let fact = |(turn, text): &(u64, &str)| NewMemory {
                kind: MemoryKind::Fact,
                text: (*text).to_owned(),
                speaker: None,
                at: (SystemTime::UNIX_EPOCH + Duration::from_secs(*turn)).into(),
                turn: Some(*turn),
                subject: Some("home of ann".to_owned()),
            };
            let facts: Vec<NewMemory> = facts.iter().map(fact).collect();
            let keep = move |writer: &mut Writer| {
                Ok::<_, StoreError>(put(writer, &facts, None)?.new.len() as u64)
            };
            there += store.write_blocking(keep).unwrap();
        }
        let all = store.read(|reader| {
            let all = (1..=there).map(|id| Memories::find(reader, id));
            all.collect::<Result<Vec<_>, StoreError>>()
        });
        let all: Vec<Memory> = all.unwrap().into_iter().flatten().collect();
        let kept: Vec<_> = all.iter().map(|it| (it.until.is_none(), it.text.as_str())).collect();
        assert_eq!(kept, expected, "{writes:?}");
        assert!(all.iter().all(|it| it.until.is_none_or(|until| until > it.at)), "{all:?}");
    }

    #[test]
    fn a_fact_is_over_only_when_another_turn_tells_so() {
        let moved = "I moved to Lisbon.";
        check_kept(
            &[&[(5, moved)], &[(6, "I live in Faro.")]],
            &[(false, moved), (true, "I live in Faro.")],
        );
        // It is told again.
        check_kept(&[&[(5, moved)], &[(6, "i moved to Lisbon")]], &[(true, moved)]);
        // It is put into other words when the talk is summed up.
        check_kept(&[&[(5, moved)], &[(5, "Ann lives in Lisbon.")]], &[(true, moved)]);
        // By then something else may hold.
        check_kept(
            &[&[(5, moved)], &[(6, "I live in Faro.")], &[(5, "Ann lives in Lisbon.")]],
            &[(false, moved), (true, "I live in Faro.")],
        );
        // Whoever corrects themselves at once means what they say last.
        check_kept(&[&[(5, "I live in Porto."), (5, moved)]], &[(true, moved)]);
    }

    #[test]
    fn long_texts_are_looked_through_within_bounds() {
        let many = "My cat is named Miso. ".repeat(1_000);
        assert_eq!(of(&many, None, Timestamp::now()).len(), FACTS_MAX);
        assert!(of(&"my ".repeat(1_000_000), None, Timestamp::now()).is_empty());
    }
}
