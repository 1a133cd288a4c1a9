//! Lorebooks: what a being knows when the talk comes to it.
//!
//! A [`Lorebook`] is declared: it is what a character carries, with all that we do not know of it. A
//! [`PreparedLorebook`] is used: keys are folded, patterns compiled, decorators read. It finds the
//! entries that the recent talk calls for, the same for the same talk, and says why each came.
//!
//! | an entry comes | when |
//! |---|---|
//! | `constant` | always (unless `use_regex`, as V3 has it) |
//! | `@@activate` | always; `@@dont_activate` never |
//! | by `keys` | one of them is in one of the newest `scan_depth` texts |
//! | `selective` | and one of `secondary_keys` too (unless `use_regex`) |
//! | `@@additional_keys` | and one of those too, for each such line |
//! | `@@exclude_keys` | and none of those |
//! | `@@activate_only_after N`, `@@activate_only_every N` | after N answers; at every Nth |
//! | `@@is_greeting N` | the conversation began with that greeting |
//! | by lore | `recursive_scanning`, and a key is in an entry that came, up to [`ROUNDS_MAX`] rounds |
//!
//! A key matches anywhere in a text, also within a word, without regard to case unless
//! `case_sensitive`; with `extensions.match_whole_words` only as a word. What came is cut to
//! `token_budget`: the highest `priority` (else `insertion_order`) stays, entries with
//! `@@ignore_on_max_context` go first. The rest stands in `insertion_order`.

mod decorators;
mod prepared;
mod search;

use serde_json::{Map, Number, Value};

use crate::being::character::CharacterError;
use crate::being::character::fields::Fields;
use crate::being::character::limits::{
    LORE_ENTRIES_MAX, LORE_KEY_BYTES_MAX, LORE_KEYS_IN_ALL_MAX, LORE_KEYS_MAX,
};

pub(in crate::being) use prepared::by_importance;
pub use prepared::{
    Activation, ActiveLore, PreparedLorebook, ROUNDS_MAX, SCAN_DEPTH_DEFAULT, Talk, Why,
};
pub use search::{LoreProblem, PATTERNS_MAX, SCAN_BYTES_MAX};

use decorators::split;

/// What a being knows when the talk comes to it, as a character carries it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Lorebook {
    /// What it is called. Never part of a prompt.
    pub name: String,
    /// What it is about. Never part of a prompt.
    pub description: String,
    /// How many of the newest texts are searched for keys; [`SCAN_DEPTH_DEFAULT`] if not set.
    pub scan_depth: Option<u32>,
    /// How many tokens its entries may take in a prompt; as many as there is room for if not set.
    pub token_budget: Option<u32>,
    /// Whether an entry that came may call others.
    pub recursive_scanning: bool,
    /// What it holds.
    pub entries: Vec<LoreEntry>,
    /// Fields that are not known, `extensions` among them.
    pub rest: Map<String, Value>,
}

/// One thing that a being knows.
#[derive(Debug, Clone, PartialEq)]
pub struct LoreEntry {
    /// One of these calls it.
    pub keys: Vec<String>,
    /// If `selective`, one of these is wanted too.
    pub secondary_keys: Vec<String>,
    /// What is known, after lines with decorators.
    pub content: String,
    /// Whether it may come at all.
    pub enabled: bool,
    /// Where it stands among those that come: the lowest first.
    pub insertion_order: f64,
    /// How important it is: the lowest is left out first.
    pub priority: Option<f64>,
    /// Whether the case of letters matters in keys.
    pub case_sensitive: bool,
    /// Whether `keys` are patterns.
    pub use_regex: bool,
    /// Whether it always comes.
    pub constant: bool,
    /// Whether `secondary_keys` count.
    pub selective: bool,
    /// What it is called. Never part of a prompt.
    pub name: String,
    /// What its maker notes about it. Never part of a prompt.
    pub comment: String,
    /// Fields that are not known, and `position`, `extensions` and `id`.
    pub rest: Map<String, Value>,
}

/// Where in the prompt lore stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LorePosition {
    /// Before the description of the being.
    #[default]
    BeforeChar,
    /// After it.
    AfterChar,
    /// Among the turns: so many of them stand after it, counted with what was said last. Zero counts as
    /// one, because what was said ends the prompt.
    Depth(u32),
}

impl Default for LoreEntry {
    fn default() -> Self {
        Self {
            keys: Vec::new(),
            secondary_keys: Vec::new(),
            content: String::new(),
            enabled: true,
            insertion_order: 0.0,
            priority: None,
            case_sensitive: false,
            use_regex: false,
            constant: false,
            selective: false,
            name: String::new(),
            comment: String::new(),
            rest: Map::new(),
        }
    }
}

const BOOK_FIELDS: [&str; 6] =
    ["name", "description", "scan_depth", "token_budget", "recursive_scanning", "entries"];

const ENTRY_FIELDS: [&str; 12] = [
    "keys",
    "secondary_keys",
    "content",
    "enabled",
    "insertion_order",
    "priority",
    "case_sensitive",
    "use_regex",
    "constant",
    "selective",
    "name",
    "comment",
];

/// Fields that are kept as they are; in our own form all others are slips of the pen.
const KEPT_FIELDS: [&str; 3] = ["extensions", "id", POSITION];

const POSITION: &str = "position";

impl Lorebook {
    /// Reads the lorebook of a card, and keeps what it does not know.
    pub(in crate::being) fn read(fields: &Fields<'_>) -> Result<Self, CharacterError> {
        let entries = fields.tables("entries", LORE_ENTRIES_MAX)?;
        let entries = entries.iter().map(LoreEntry::read).collect::<Result<Vec<_>, _>>()?;
        let count = entries.iter().map(LoreEntry::keys_in_all).sum();
        if count > LORE_KEYS_IN_ALL_MAX {
            let (place, count_max) = (fields.at("keys of all entries"), LORE_KEYS_IN_ALL_MAX);
            return Err(CharacterError::TooMany { place, count, count_max });
        }
        Ok(Self {
            name: fields.text("name")?.unwrap_or_default(),
            description: fields.text("description")?.unwrap_or_default(),
            scan_depth: fields.count("scan_depth")?,
            token_budget: fields.count("token_budget")?,
            recursive_scanning: fields.flag("recursive_scanning")?.unwrap_or_default(),
            entries,
            rest: fields.rest(&BOOK_FIELDS),
        })
    }

    /// An error when a person wrote something that a lorebook does not have.
    pub(in crate::being) fn check_fields(fields: &Fields<'_>) -> Result<(), CharacterError> {
        fields.only(&[&BOOK_FIELDS[..], &["extensions"]].concat())?;
        let known = [&ENTRY_FIELDS[..], &KEPT_FIELDS[..]].concat();
        for entry in fields.tables("entries", LORE_ENTRIES_MAX)? {
            entry.only(&known)?;
            let position = entry.text(POSITION)?;
            if position.is_some_and(|position| side(&position).is_none()) {
                return Err(CharacterError::WrongType {
                    place: entry.at(POSITION),
                    found: "something else",
                    expected: "\"before_char\" or \"after_char\"",
                });
            }
        }
        Ok(())
    }

    /// The lorebook as a card of V3 holds it.
    pub(in crate::being) fn to_value(&self) -> Value {
        let mut map = Map::new();
        put_text(&mut map, "name", &self.name);
        put_text(&mut map, "description", &self.description);
        put(&mut map, "scan_depth", self.scan_depth.map(Value::from));
        put(&mut map, "token_budget", self.token_budget.map(Value::from));
        put_flag(&mut map, "recursive_scanning", self.recursive_scanning);
        let entries = self.entries.iter().map(LoreEntry::to_value).collect();
        map.insert("entries".to_owned(), Value::Array(entries));
        with_rest(map, &self.rest)
    }
}

impl LoreEntry {
    fn read(fields: &Fields<'_>) -> Result<Self, CharacterError> {
        let keys = |key| fields.short_texts(key, LORE_KEYS_MAX, LORE_KEY_BYTES_MAX);
        let flag = |key| Ok::<_, CharacterError>(fields.flag(key)?.unwrap_or_default());
        let content = fields.text("content")?.unwrap_or_default();
        check_listed(&content, fields)?;
        Ok(Self {
            keys: keys("keys")?,
            secondary_keys: keys("secondary_keys")?,
            content,
            enabled: fields.flag("enabled")?.unwrap_or(true),
            insertion_order: fields.number("insertion_order")?.unwrap_or_default(),
            priority: fields.number("priority")?,
            case_sensitive: flag("case_sensitive")?,
            use_regex: flag("use_regex")?,
            constant: flag("constant")?,
            selective: flag("selective")?,
            name: fields.text("name")?.unwrap_or_default(),
            comment: fields.text("comment")?.unwrap_or_default(),
            rest: fields.rest(&ENTRY_FIELDS),
        })
    }

    fn to_value(&self) -> Value {
        let mut map = Map::new();
        map.insert("keys".to_owned(), self.keys.clone().into());
        if !self.secondary_keys.is_empty() {
            map.insert("secondary_keys".to_owned(), self.secondary_keys.clone().into());
        }
        map.insert("content".to_owned(), self.content.clone().into());
        map.insert("enabled".to_owned(), self.enabled.into());
        map.insert("insertion_order".to_owned(), number(self.insertion_order));
        map.insert("use_regex".to_owned(), self.use_regex.into());
        put(&mut map, "priority", self.priority.map(number));
        put_flag(&mut map, "case_sensitive", self.case_sensitive);
        put_flag(&mut map, "constant", self.constant);
        put_flag(&mut map, "selective", self.selective);
        put_text(&mut map, "name", &self.name);
        put_text(&mut map, "comment", &self.comment);
        with_rest(map, &self.rest)
    }

    /// How many keys it has, with those that its decorators list.
    fn keys_in_all(&self) -> usize {
        let listed = split(&self.content).0.keys().count();
        self.keys.len() + self.secondary_keys.len() + listed
    }

    /// Where in the prompt it stands, by its fields; decorators may say otherwise.
    fn position(&self) -> LorePosition {
        let side = || self.rest.get(POSITION).and_then(Value::as_str).and_then(side);
        self.depth().or_else(side).unwrap_or_default()
    }

    /// SillyTavern's way to say at which depth: a number for "at depth", and the depth.
    fn depth(&self) -> Option<LorePosition> {
        const AT_DEPTH: u64 = 4;
        let is_at_depth = self.extension(POSITION)?.as_u64()? == AT_DEPTH;
        let depth = self.extension("depth")?.as_u64()?;
        is_at_depth.then(|| LorePosition::Depth(depth.try_into().unwrap_or(u32::MAX)))
    }

    /// What is called so in `extensions`.
    fn extension(&self, key: &str) -> Option<&Value> {
        self.rest.get("extensions")?.get(key)
    }
}

/// An error when decorators list too many keys, or one that is too long: they are looked for in what is
/// said as all others are.
fn check_listed(content: &str, fields: &Fields<'_>) -> Result<(), CharacterError> {
    let place = || fields.at("keys of decorators");
    let (decorators, _) = split(content);
    let count = decorators.keys().count();
    if count > LORE_KEYS_MAX {
        return Err(CharacterError::TooMany { place: place(), count, count_max: LORE_KEYS_MAX });
    }
    match decorators.keys().map(str::len).find(|bytes| *bytes > LORE_KEY_BYTES_MAX) {
        Some(bytes) => {
            let bytes_max = LORE_KEY_BYTES_MAX;
            Err(CharacterError::TextTooLong { place: place(), bytes, bytes_max })
        }
        None => Ok(()),
    }
}

/// What the field `position` says.
fn side(position: &str) -> Option<LorePosition> {
    match position {
        "before_char" => Some(LorePosition::BeforeChar),
        "after_char" => Some(LorePosition::AfterChar),
        _ => None,
    }
}

/// A number as a card writes it: whole ones without a point.
fn number(number: f64) -> Value {
    const WHOLE_MAX: f64 = 9e15;
    if number.fract() == 0.0 && number.abs() < WHOLE_MAX {
        return (number as i64).into();
    }
    Number::from_f64(number).map(Value::Number).unwrap_or_default()
}

fn put(map: &mut Map<String, Value>, key: &str, value: Option<Value>) {
    map.extend(value.map(|value| (key.to_owned(), value)));
}

fn put_text(map: &mut Map<String, Value>, key: &str, text: &str) {
    put(map, key, (!text.is_empty()).then(|| text.into()));
}

fn put_flag(map: &mut Map<String, Value>, key: &str, flag: bool) {
    put(map, key, flag.then(|| true.into()));
}

fn with_rest(mut map: Map<String, Value>, rest: &Map<String, Value>) -> Value {
    map.extend(rest.iter().map(|(key, value)| (key.clone(), value.clone())));
    map.entry("extensions").or_insert_with(|| Map::new().into());
    map.into()
}

#[cfg(test)]
mod tests;
