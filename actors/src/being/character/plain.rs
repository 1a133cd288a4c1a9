//! Our own form of a character, the same in TOML and JSON: `name` is enough, and a field that is not
//! known is an error, because it is a slip of the pen.

use std::collections::BTreeMap;

use genii_protocols::Timestamp;
use serde_json::{Map, Value};

use super::error::CharacterError;
use super::fields::Fields;
use super::table::{LISTS, TEXTS};
use super::{Character, card, is_empty};
use crate::being::lorebook::Lorebook;

const NOTES_BY_LANGUAGE: &str = "notes_by_language";
const CREATED: &str = "created";
const MODIFIED: &str = "modified";
const LOREBOOK: &str = "lorebook";
/// The card that the character was read from, with what was changed since, as text.
const CARD: &str = "card";

/// Reads what a person wrote. In the lorebook of a card there may be what we do not know; elsewhere
/// that is a slip of the pen.
pub(super) fn read(value: &Value) -> Result<Character, CharacterError> {
    let fields = Fields::of(value, "")?;
    if !fields.has(CARD) {
        fields.table(LOREBOOK)?.map(|book| Lorebook::check_fields(&book)).transpose()?;
    }
    read_kept(value)
}

/// Reads what `write` wrote.
pub(super) fn read_kept(value: &Value) -> Result<Character, CharacterError> {
    let fields = Fields::of(value, "")?;
    fields.only(&known())?;
    let mut character = Character::default();
    for field in &TEXTS {
        *(field.get_mut)(&mut character) = fields.text(field.plain)?.unwrap_or_default();
    }
    for field in &LISTS {
        *(field.get_mut)(&mut character) = fields.texts(field.plain)?;
    }
    character.notes_by_language = texts_by_key(&fields, NOTES_BY_LANGUAGE)?;
    character.created = time(&fields, CREATED)?;
    character.modified = time(&fields, MODIFIED)?;
    let book = fields.table(LOREBOOK)?;
    character.lorebook = book.map(|book| Lorebook::read(&book)).transpose()?;
    character.card = fields.map().get(CARD).map(kept_card).transpose()?;
    character.check()?;
    Ok(character)
}

pub(super) fn write(character: &Character) -> Value {
    let texts = TEXTS.iter().map(|field| (field.plain, (field.get)(character).clone().into()));
    let lists = LISTS.iter().map(|field| (field.plain, (field.get)(character).clone().into()));
    let time = |at: Option<Timestamp>| serde_json::to_value(at).unwrap_or_default();
    let others = [
        (NOTES_BY_LANGUAGE, serde_json::to_value(&character.notes_by_language).unwrap_or_default()),
        (CREATED, time(character.created)),
        (MODIFIED, time(character.modified)),
        (LOREBOOK, character.lorebook.as_ref().map(Lorebook::to_value).unwrap_or_default()),
        (CARD, character.card.clone().map(Value::from).unwrap_or_default()),
    ];
    let all = texts.chain(lists).chain(others);
    let said = all.filter(|(_, value): &(&str, Value)| !is_empty(value));
    said.map(|(key, value)| (key.to_owned(), value)).collect::<Map<_, _>>().into()
}

pub(super) fn changed(character: &Character, changes: &Value) -> Result<Character, CharacterError> {
    let fields = Fields::of(changes, "")?;
    // The card is what the character came of. It changes with it, and never by itself.
    let known = known();
    let changeable: Vec<&str> = known.into_iter().filter(|name| *name != CARD).collect();
    fields.only(&changeable)?;
    let mut whole = write(character);
    for (key, value) in fields.map() {
        whole[key] = value.clone();
    }
    let mut changed = read(&whole)?;
    changed.card = card::kept(&changed)?;
    Ok(changed)
}

/// All names of fields.
fn known() -> Vec<&'static str> {
    let texts = TEXTS.iter().map(|field| field.plain);
    let lists = LISTS.iter().map(|field| field.plain);
    let others = [NOTES_BY_LANGUAGE, CREATED, MODIFIED, LOREBOOK, CARD];
    texts.chain(lists).chain(others).collect()
}

/// The card within a character, which must be one.
fn kept_card(value: &Value) -> Result<String, CharacterError> {
    let wrong = || CharacterError::WrongType {
        place: CARD.to_owned(),
        found: "no text",
        expected: "the JSON of a card as text",
    };
    let text = value.as_str().ok_or_else(wrong)?;
    card::read(text, card::WITHIN)?;
    Ok(text.to_owned())
}

pub(super) fn texts_by_key(
    fields: &Fields<'_>,
    key: &str,
) -> Result<BTreeMap<String, String>, CharacterError> {
    let Some(table) = fields.table(key)? else {
        return Ok(BTreeMap::new());
    };
    let texts = table.map().keys().map(|key| Ok((key.clone(), table.text(key)?)));
    let texts = texts.collect::<Result<Vec<_>, CharacterError>>()?;
    Ok(texts.into_iter().filter_map(|(key, text)| Some((key, text?))).collect())
}

fn time(fields: &Fields<'_>, key: &str) -> Result<Option<Timestamp>, CharacterError> {
    let Some(text) = fields.text(key)? else {
        return Ok(None);
    };
    let read = serde_json::from_value(text.into());
    read.map(Some).map_err(|_| CharacterError::WrongType {
        place: fields.at(key),
        found: "no time",
        expected: "one such as \"2026-03-01T12:00:00Z\"",
    })
}
