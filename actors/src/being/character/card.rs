//! Character Cards: V1 (flat), V2 and V3 (a `spec` and `data`), read into a [`Character`] and written.

use std::time::{Duration, UNIX_EPOCH};

use genii_protocols::Timestamp;
use serde_json::{Map, Value, json};

use super::error::CharacterError;
use super::fields::Fields;
use super::limits::{CARD_BYTES_MAX, LIST_MAX};
use super::plain::texts_by_key;
use super::table::{LISTS, TEXTS};
use super::{Character, Form, Import, is_empty, text};
use crate::being::lorebook::Lorebook;

/// What errors call the JSON within an image.
pub(super) const IN_IMAGE: &str = "the card in the image";

/// What errors call the card that a character in our own form carries.
pub(super) const WITHIN: &str = "`card`";

const BOOK: &str = "character_book";
const NOTES: &str = "creator_notes_multilingual";
const CREATED: &str = "creation_date";
const MODIFIED: &str = "modification_date";

/// A version of the format of cards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CardVersion {
    /// Six texts, flat.
    V1,
    /// `chara_card_v2`.
    V2,
    /// `chara_card_v3`.
    V3,
}

/// A picture or a sound that a card names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asset {
    /// What it is for: `icon`, `background`, `emotion`, `user_icon`, or something else.
    pub kind: String,
    /// Where it is. `ccdefault:` means the image that the card came in.
    pub uri: String,
    /// What it is called.
    pub name: String,
    /// The ending that a file of it would have.
    pub ext: String,
}

/// A card that was read.
pub(super) struct Read {
    character: Character,
    version: CardVersion,
    notes: Vec<String>,
}

impl Read {
    pub(super) fn import(self, form: fn(CardVersion) -> Form) -> Import {
        Import { character: self.character, form: form(self.version), notes: self.notes }
    }
}

/// Whether JSON is a card, and not our own form. A flat object with the names that only V1 has is one.
pub(super) fn is_card(value: &Value) -> bool {
    ["spec", "data", "first_mes", "mes_example"].iter().any(|key| value.get(key).is_some())
}

pub(super) fn read(text: &str, place: &'static str) -> Result<Read, CharacterError> {
    from_value(text, &text::json(text, place)?)
}

/// Reads a card whose text has been parsed.
pub(super) fn from_value(text: &str, value: &Value) -> Result<Read, CharacterError> {
    let top = Fields::of(value, "")?;
    let version = version_of(&top)?;
    let data = match version {
        CardVersion::V1 => top,
        CardVersion::V2 | CardVersion::V3 => {
            let missing = || CharacterError::Missing { place: "data".to_owned() };
            top.table("data")?.ok_or_else(missing)?
        }
    };
    let mut character = read_data(&data)?;
    character.card = Some(text.to_owned());
    character.check()?;
    Ok(Read { character, version, notes: newer_note(value).into_iter().collect() })
}

/// The card of a character, and its version.
pub(super) fn write(character: &Character) -> Result<(CardVersion, String), CharacterError> {
    let Some(text) = &character.card else {
        return pretty(CardVersion::V3, &fresh(character));
    };
    let before = read(text, WITHIN)?;
    let now = values(character);
    let then = values(&before.character);
    let changed: Vec<&CardValue> = now
        .iter()
        .zip(&then)
        .filter(|(now, then)| now.value != then.value)
        .map(|(now, _)| now)
        .collect();
    if changed.is_empty() {
        return Ok((before.version, text.clone()));
    }
    let needed = changed.iter().filter(|it| !is_empty(&it.value)).map(|it| it.since).max();
    let version = before.version.max(needed.unwrap_or(CardVersion::V1));
    let mut card = raised(text::json(text, WITHIN)?, before.version, version, &now);
    for value in changed {
        put(&mut card, version, value);
    }
    pretty(version, &card)
}

/// The card that a changed character carries from now on, if it came of one: without what was changed
/// away, which is to be forgotten.
pub(super) fn kept(character: &Character) -> Result<Option<String>, CharacterError> {
    if character.card.is_none() {
        return Ok(None);
    }
    let (_, text) = write(character)?;
    // It may have grown beyond what is read, and then the character could not be read again.
    read(&text, WITHIN)?;
    Ok(Some(text))
}

/// What a card says of assets. A card whose assets are not as they should be has none.
pub(super) fn assets(text: &str) -> Vec<Asset> {
    let value: Value = text::json(text, WITHIN).unwrap_or_default();
    let listed = value.pointer("/data/assets").and_then(Value::as_array);
    let read = |asset: &Value| {
        let text = |key: &str| Some(asset.get(key)?.as_str()?.to_owned());
        Some(Asset {
            kind: text("type")?,
            uri: text("uri")?,
            name: text("name")?,
            ext: text("ext")?,
        })
    };
    listed.into_iter().flatten().filter_map(read).take(LIST_MAX).collect()
}

fn version_of(top: &Fields<'_>) -> Result<CardVersion, CharacterError> {
    match top.text("spec")?.as_deref() {
        Some("chara_card_v2") => Ok(CardVersion::V2),
        Some("chara_card_v3") => Ok(CardVersion::V3),
        Some("lorebook_v3") => Err(CharacterError::Foreign {
            what: "a lorebook alone",
            remedy: "put it into a character, as `lorebook` or `character_book`",
        }),
        Some(other) => Err(CharacterError::UnknownSpec { spec: other.chars().take(40).collect() }),
        // Some programs leave `spec` away and write the rest.
        None if top.has("data") => Ok(CardVersion::V2),
        None => Ok(CardVersion::V1),
    }
}

/// The specification wants people to be told when a card is newer than who reads it.
fn newer_note(value: &Value) -> Option<String> {
    let version = value.get("spec_version")?.as_str()?;
    let number: f64 = version.parse().ok()?;
    (number > 3.0).then(|| {
        format!("The card is of version {number}, newer than 3.0: what is new in it is kept, and not used.")
    })
}

fn read_data(data: &Fields<'_>) -> Result<Character, CharacterError> {
    let mut character = Character::default();
    for field in &TEXTS {
        *(field.get_mut)(&mut character) = data.text(field.card)?.unwrap_or_default();
    }
    for field in &LISTS {
        *(field.get_mut)(&mut character) = data.texts(field.card)?;
    }
    character.notes_by_language = texts_by_key(data, NOTES)?;
    character.created = data.number(CREATED)?.and_then(date);
    character.modified = data.number(MODIFIED)?.and_then(date);
    character.lorebook = data.table(BOOK)?.map(|book| Lorebook::read(&book)).transpose()?;
    Ok(character)
}

/// Seconds above this are milliseconds: some programs write those. As seconds it is the year 5138.
const SECONDS_MAX: f64 = 1e11;

/// When, by a card; 0 says that nobody knows.
fn date(number: f64) -> Option<Timestamp> {
    let seconds = if number > SECONDS_MAX { number / 1_000.0 } else { number };
    if !(1.0..=SECONDS_MAX).contains(&seconds) {
        return None;
    }
    let since = Duration::from_secs(seconds as u64);
    UNIX_EPOCH.checked_add(since).map(Timestamp::from)
}

/// A field as a card has it.
struct CardValue {
    key: &'static str,
    since: CardVersion,
    value: Value,
    /// A card has it also when it is empty.
    always: bool,
}

fn values(character: &Character) -> Vec<CardValue> {
    let texts = TEXTS.iter().map(|field| CardValue {
        key: field.card,
        since: field.since,
        value: (field.get)(character).clone().into(),
        always: field.always,
    });
    let lists = LISTS.iter().map(|field| CardValue {
        key: field.card,
        since: field.since,
        value: (field.get)(character).clone().into(),
        always: field.always,
    });
    let other = |key, since, value| CardValue { key, since, value, always: false };
    let notes = serde_json::to_value(&character.notes_by_language).unwrap_or_default();
    let book = character.lorebook.as_ref().map(Lorebook::to_value).unwrap_or_default();
    let seconds = |at: Option<Timestamp>| at.map(|at| at.micros() / 1_000_000).into();
    let others = [
        other(NOTES, CardVersion::V3, notes),
        other(CREATED, CardVersion::V3, seconds(character.created)),
        other(MODIFIED, CardVersion::V3, seconds(character.modified)),
        other(BOOK, CardVersion::V2, book),
    ];
    texts.chain(lists).chain(others).collect()
}

fn fresh(character: &Character) -> Value {
    let flat = Value::Object(Map::new());
    let all = values(character);
    let mut card = raised(flat, CardVersion::V1, CardVersion::V3, &all);
    for value in &all {
        put(&mut card, CardVersion::V3, value);
    }
    card
}

/// The card in a version that is as high or higher, with the fields that this one must have.
fn raised(card: Value, from: CardVersion, to: CardVersion, values: &[CardValue]) -> Value {
    let (spec, spec_version) = match to {
        _ if from == to => return card,
        CardVersion::V1 => return card,
        CardVersion::V2 => ("chara_card_v2", "2.0"),
        CardVersion::V3 => ("chara_card_v3", "3.0"),
    };
    let mut card = match from {
        CardVersion::V1 => json!({ "spec": spec, "spec_version": spec_version, "data": card }),
        CardVersion::V2 | CardVersion::V3 => card,
    };
    card["spec"] = spec.into();
    card["spec_version"] = spec_version.into();
    for value in values.iter().filter(|it| it.always && it.since <= to) {
        if card["data"].get(value.key).is_none() {
            card["data"][value.key] = value.value.clone();
        }
    }
    if card["data"].get("extensions").is_none() {
        card["data"]["extensions"] = json!({});
    }
    card
}

/// By what other names some programs repeat a text, for those that are older or read another form.
const ALSO_CALLED: [(&str, &str); 6] = [
    ("name", "char_name"),
    ("description", "char_persona"),
    ("scenario", "world_scenario"),
    ("first_mes", "char_greeting"),
    ("mes_example", "example_dialogue"),
    ("creator_notes", "creatorcomment"),
];

fn put(card: &mut Value, version: CardVersion, it: &CardValue) {
    set_repeated(card, it);
    if version > CardVersion::V1 {
        // Some programs repeat the texts of V1 at the top, for those that know no other.
        if card.get(it.key).is_some() {
            set(card, it);
        }
        set_repeated(&mut card["data"], it);
        return set(&mut card["data"], it);
    }
    set(card, it);
}

/// Sets a field where an object has it under another name.
fn set_repeated(object: &mut Value, it: &CardValue) {
    for (_, name) in ALSO_CALLED.iter().filter(|(key, _)| *key == it.key) {
        if let Some(repeated) = object.get_mut(name) {
            *repeated = it.value.clone();
        }
    }
}

fn set(object: &mut Value, it: &CardValue) {
    let Value::Object(map) = object else {
        return;
    };
    if is_empty(&it.value) && !it.always {
        // Not `remove`, which would put the last field into the place of this one.
        map.shift_remove(it.key);
        return;
    }
    map.insert(it.key.to_owned(), it.value.clone());
}

fn pretty(version: CardVersion, card: &Value) -> Result<(CardVersion, String), CharacterError> {
    let text = format!("{card:#}");
    match text.len() {
        bytes if bytes > CARD_BYTES_MAX => Err(CharacterError::TooLarge { bytes }),
        _ => Ok((version, text)),
    }
}
