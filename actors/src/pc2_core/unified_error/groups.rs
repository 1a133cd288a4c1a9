//! Groups of errors with the same cause, bounded and ranked.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use genii_protocols::errors::{
    ErrorDetail, ErrorGroup, ErrorGroups, ErrorId, ErrorSample, ErrorSource,
};
use genii_protocols::{Address, Timestamp};

/// How many samples are kept of a group.
const SAMPLES_KEPT: usize = 5;

/// How many agents are named in a group.
const AGENTS_NAMED: usize = 50;

/// How many bytes of a cause are compared.
const CAUSE_MAX_LEN: usize = 300;

/// After so long, an error is half as pressing.
const HALF_LIFE: Duration = Duration::from_secs(3_600);

/// An error as it was seen.
pub(super) struct Seen {
    pub(super) source: ErrorSource,
    pub(super) place: Option<String>,
    pub(super) sample: ErrorSample,
}

/// The groups.
pub(super) struct Groups {
    groups: HashMap<ErrorId, Group>,
    by_cause: HashMap<Cause, ErrorId>,
    capacity: usize,
    next: u64,
    missed: u64,
}

/// What makes two errors the same.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Cause {
    source: ErrorSource,
    text: String,
    place: Option<String>,
}

struct Group {
    cause: Cause,
    count: u64,
    first: Timestamp,
    last: Timestamp,
    agents: BTreeSet<Address>,
    samples: VecDeque<ErrorSample>,
}

impl Groups {
    pub(super) fn new(capacity: usize) -> Self {
        let (groups, by_cause) = (HashMap::new(), HashMap::new());
        Self { groups, by_cause, capacity, next: 0, missed: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.groups.len()
    }

    pub(super) fn errors(&self) -> u64 {
        self.groups.values().map(|group| group.count).sum()
    }

    /// How many errors went by too fast to be seen.
    pub(super) fn missed(&self) -> u64 {
        self.missed
    }

    pub(super) fn miss(&mut self, missed: u64) {
        self.missed += missed;
    }

    pub(super) fn add(&mut self, seen: Seen) -> ErrorId {
        let Seen { source, place, sample } = seen;
        let cause = Cause { source, text: without_accidents(&sample.message), place };
        let id = match self.by_cause.get(&cause) {
            Some(id) => *id,
            None => self.open(cause, sample.at),
        };
        if let Some(group) = self.groups.get_mut(&id) {
            group.count += 1;
            group.last = group.last.max(sample.at);
            if group.agents.len() < AGENTS_NAMED {
                group.agents.insert(sample.agent.clone());
            }
            if group.samples.len() == SAMPLES_KEPT {
                group.samples.pop_front();
            }
            group.samples.push_back(sample);
        }
        id
    }

    fn open(&mut self, cause: Cause, at: Timestamp) -> ErrorId {
        if self.groups.len() >= self.capacity {
            self.drop_least_pressing(at);
        }
        self.next += 1;
        let id = ErrorId(self.next);
        let group = Group {
            cause: cause.clone(),
            count: 0,
            first: at,
            last: at,
            agents: BTreeSet::new(),
            samples: VecDeque::new(),
        };
        self.groups.insert(id, group);
        self.by_cause.insert(cause, id);
        id
    }

    fn drop_least_pressing(&mut self, now: Timestamp) {
        let least = self.groups.iter().min_by(|(_, a), (_, b)| a.rank(now).total_cmp(&b.rank(now)));
        if let Some(id) = least.map(|(id, _)| *id) {
            self.forget(Some(id));
        }
    }

    pub(super) fn list(
        &self,
        agent: Option<&Address>,
        within: Option<Duration>,
        limit: usize,
        now: Timestamp,
    ) -> ErrorGroups {
        let is_wanted = |group: &&(&ErrorId, &Group)| {
            let (_, group) = group;
            agent.is_none_or(|agent| group.agents.contains(agent))
                && within.is_none_or(|within| age(group.last, now) <= within)
        };
        let mut groups: Vec<ErrorGroup> = self
            .groups
            .iter()
            .filter(|entry| is_wanted(&entry))
            .map(|(id, group)| group.shown(*id, now))
            .collect();
        let total = groups.len() as u64;
        groups.sort_by(|a, b| b.rank.total_cmp(&a.rank).then(a.id.0.cmp(&b.id.0)));
        groups.truncate(limit);
        ErrorGroups { groups, total }
    }

    pub(super) fn show(&self, id: ErrorId, now: Timestamp) -> Option<ErrorDetail> {
        let group = self.groups.get(&id)?;
        let samples = group.samples.iter().cloned().collect();
        Some(ErrorDetail { group: group.shown(id, now), samples })
    }

    /// Forgets one group, or all; says how many.
    pub(super) fn forget(&mut self, id: Option<ErrorId>) -> u64 {
        let Some(id) = id else {
            self.by_cause.clear();
            return std::mem::take(&mut self.groups).len() as u64;
        };
        match self.groups.remove(&id) {
            Some(group) => {
                self.by_cause.remove(&group.cause);
                1
            }
            None => 0,
        }
    }
}

impl Group {
    /// More errors, lately, by more agents, are more pressing; crashes more than lines in a log.
    fn rank(&self, now: Timestamp) -> f64 {
        let weight = match self.cause.source {
            ErrorSource::Crash => 4.0,
            ErrorSource::Start => 4.0,
            ErrorSource::Report => 2.0,
            ErrorSource::Log => 1.0,
        };
        let halvings = age(self.last, now).as_secs_f64() / HALF_LIFE.as_secs_f64();
        let many = (1.0 + self.count as f64).log2();
        let spread = (1.0 + self.agents.len() as f64).log2();
        weight * many * spread * 0.5_f64.powf(halvings)
    }

    fn shown(&self, id: ErrorId, now: Timestamp) -> ErrorGroup {
        ErrorGroup {
            id,
            source: self.cause.source,
            cause: self.cause.text.clone(),
            place: self.cause.place.clone(),
            count: self.count,
            first: self.first,
            last: self.last,
            agents: self.agents.iter().cloned().collect(),
            rank: (self.rank(now) * 100.0).round() / 100.0,
        }
    }
}

fn age(at: Timestamp, now: Timestamp) -> Duration {
    Duration::from_micros(now.micros().saturating_sub(at.micros()))
}

/// A message without what differs from one time to the next: numbers, ids and quoted names become
/// `#`, and runs of space become one.
fn without_accidents(message: &str) -> String {
    let mut words = Vec::new();
    let mut len = 0;
    for word in message.split_whitespace() {
        let word = without_numbers(word);
        len += word.len() + 1;
        if len > CAUSE_MAX_LEN {
            words.push("...".to_owned());
            break;
        }
        words.push(word);
    }
    words.join(" ")
}

/// A run of hexadecimal digits with a decimal one among them is a number, or a part of an id.
fn without_numbers(word: &str) -> String {
    let mut text = String::with_capacity(word.len());
    let mut run = String::new();
    for c in word.chars().chain(std::iter::once('\0')) {
        if c.is_ascii_hexdigit() || (c == 'x' && run == "0") {
            run.push(c);
            continue;
        }
        let is_number = run.chars().any(|digit| digit.is_ascii_digit());
        let follows_letter = text.chars().next_back().is_some_and(char::is_alphabetic);
        match is_number && (!follows_letter || run.starts_with(|c: char| c.is_ascii_digit())) {
            true => text.push('#'),
            false => text.push_str(&run),
        }
        run.clear();
        if c != '\0' {
            text.push(c);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(source: ErrorSource, agent: &str, message: &str, at: Timestamp) -> Seen {
        let agent = Address::parse(agent).unwrap();
        let (message, output) = (message.to_owned(), Vec::new());
        let sample = ErrorSample { at, agent, message, handling: None, output };
        Seen { source, place: None, sample }
    }

    fn ago(secs: u64) -> Timestamp {
        (std::time::SystemTime::now() - Duration::from_secs(secs)).into()
    }

    #[test]
    fn accidents_are_left_out_and_words_are_kept() {
        for (given, expected) in [
            ("timeout after 5003 ms", "timeout after # ms"),
            ("port 7001 in use", "port # in use"),
            ("id 3f2a9c41-77aa-4b1e-9c00-aabbccddeeff", "id #-#-#-#-aabbccddeeff"),
            ("at 0x7ffe12ab", "at #"),
            ("bad   dead beef", "bad dead beef"),
            ("utf8 error in v2", "utf8 error in v#"),
            ("", ""),
        ] {
            assert_eq!(without_accidents(given), expected);
        }
        assert!(without_accidents(&"word ".repeat(1_000)).len() < CAUSE_MAX_LEN + 10);
    }

    #[test]
    fn the_same_cause_is_one_group_and_another_source_is_another() {
        let mut groups = Groups::new(10);
        let now = ago(0);
        let one = groups.add(seen(ErrorSource::Log, "a/1", "timeout after 5 ms", now));
        let two = groups.add(seen(ErrorSource::Log, "a/2", "timeout after 7 ms", now));
        let three = groups.add(seen(ErrorSource::Crash, "a/2", "timeout after 7 ms", now));
        assert_eq!(one, two);
        assert_ne!(one, three);
        let detail = groups.show(one, now).unwrap();
        assert_eq!(
            (detail.group.count, detail.group.agents.len(), detail.samples.len()),
            (2, 2, 2)
        );
        assert_eq!(groups.errors(), 3);
    }

    #[test]
    fn many_recent_and_widespread_errors_come_first() {
        let mut groups = Groups::new(10);
        let now = ago(0);
        for _ in 0..50 {
            groups.add(seen(ErrorSource::Log, "a/1", "chatter", now));
        }
        groups.add(seen(ErrorSource::Crash, "a/1", "old crash", ago(6 * 3_600)));
        for agent in ["a/1", "a/2", "a/3"] {
            groups.add(seen(ErrorSource::Crash, agent, "database gone", now));
        }
        let listed = groups.list(None, None, 10, now);
        let causes: Vec<&str> = listed.groups.iter().map(|group| group.cause.as_str()).collect();
        assert_eq!(causes, ["database gone", "chatter", "old crash"]);
        let of_two = groups.list(Some(&Address::parse("a/2").unwrap()), None, 10, now);
        assert_eq!(of_two.total, 1);
        assert_eq!(groups.list(None, Some(Duration::from_secs(60)), 1, now).total, 2);
    }

    #[test]
    fn the_least_pressing_group_goes_when_there_are_too_many() {
        let mut groups = Groups::new(3);
        for (n, cause) in ["one", "two", "three", "four"].iter().enumerate() {
            groups.add(seen(ErrorSource::Log, "a/1", cause, ago(1_000 - 100 * n as u64)));
        }
        assert_eq!(groups.len(), 3);
        let listed = groups.list(None, None, 10, ago(0));
        assert!(listed.groups.iter().all(|group| group.cause != "one"));
        assert_eq!(groups.forget(None), 3);
        assert_eq!(groups.len(), 0);
    }
}
