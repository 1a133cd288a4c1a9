//! Who a being is: its character, and the forms in which characters come and go.
//!
//! [`Character::read`] takes bytes and finds out by their content what they are: our own form in TOML
//! or JSON, a Character Card of V1, V2 or V3 in JSON, or one in a PNG. A card is kept as it came, with
//! all that we do not know of it, and [`Character::to_card`] gives it back to the letter as long as
//! nothing was changed; what is changed is written into it at once, so that what stood there before is
//! gone, and the rest stays.
//!
//! Specifications: `malfoyslastname/character-card-spec-v2` (V1 and V2) and
//! `kwaroran/character-card-spec-v3`. Where they leave a choice, `docs/characters.md` says ours.
//!
//! Every input is refused or read in memory and time that grow no faster than its size; the bounds are
//! in [`limits`].

mod card;
mod error;
pub(in crate::being) mod fields;
pub mod limits;
pub mod macros;
mod plain;
mod png;
mod table;
mod text;

use std::collections::BTreeMap;

use genii_protocols::{Json, Timestamp};
use serde_json::Value;

pub use card::{Asset, CardVersion};
pub use error::CharacterError;
pub use macros::Names;

use crate::being::lorebook::{LoreProblem, Lorebook, PreparedLorebook};

use limits::{CARD_BYTES_MAX, NAME_CHARS_MAX};

/// Who a being is. Empty text means that nothing is said about it.
///
/// Texts may hold macros such as `{{char}}` and `{{user}}`; see [`macros`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Character {
    /// What it is called.
    pub name: String,
    /// What it is called in the prompt, if not by its name.
    pub nickname: String,
    /// Who it is.
    pub description: String,
    /// How it is, in short.
    pub personality: String,
    /// Where and when a conversation takes place.
    pub scenario: String,
    /// What it says first.
    pub first_message: String,
    /// What it might say first instead.
    pub alternate_greetings: Vec<String>,
    /// What it might say first where several are together.
    pub group_greetings: Vec<String>,
    /// How it talks: conversations, each after a line `<START>`.
    pub example_dialogue: String,
    /// What a model is told before all else; `{{original}}` in it stands for the built-in text.
    pub system_prompt: String,
    /// What a model is told last, after the conversation.
    pub post_history_instructions: String,
    /// Who made it. Never part of a prompt, as all that follows but the lorebook.
    pub creator: String,
    /// What its maker tells those who use it.
    pub creator_notes: String,
    /// The same by language (ISO 639-1).
    pub notes_by_language: BTreeMap<String, String>,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// Which version of the character this is, in its maker's words.
    pub version: String,
    /// Where it came from.
    pub source: Vec<String>,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// When it was last changed by its maker.
    pub modified: Option<Timestamp>,
    /// What it knows when the talk comes to it.
    pub lorebook: Option<Lorebook>,
    /// The card that it was read from: to the letter, until something was changed.
    card: Option<String>,
}

/// A character, and what it was read from.
#[derive(Debug, Clone, PartialEq)]
pub struct Import {
    /// The character.
    pub character: Character,
    /// What the bytes were.
    pub form: Form,
    /// What a person should know about it, in whole sentences; often nothing.
    pub notes: Vec<String>,
}

/// What bytes of a character are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Our own form, as TOML.
    Toml,
    /// Our own form, as JSON.
    Json,
    /// A card, as JSON.
    Card(CardVersion),
    /// A card in an image. The image is not part of the character: keep the bytes to export it with.
    Image(CardVersion),
}

impl Character {
    /// Reads a character of any form.
    ///
    /// # Errors
    /// [`CharacterError`], which says what is wrong, where, and what to do.
    pub fn read(bytes: &[u8]) -> Result<Import, CharacterError> {
        let mut import = Self::read_any(bytes)?;
        import.notes.extend(import.character.lorebook.iter().flat_map(lore_notes));
        Ok(import)
    }

    fn read_any(bytes: &[u8]) -> Result<Import, CharacterError> {
        if bytes.len() > CARD_BYTES_MAX {
            return Err(CharacterError::TooLarge { bytes: bytes.len() });
        }
        if bytes.starts_with(&png::SIGNATURE) {
            let json = png::card_bytes(bytes)?;
            let read = card::read(text::utf8(&json, card::IN_IMAGE)?, card::IN_IMAGE)?;
            return Ok(read.import(Form::Image));
        }
        if let Some((what, remedy)) = foreign(bytes) {
            return Err(CharacterError::Foreign { what, remedy });
        }
        let text = text::utf8(bytes, "the file")?;
        match text::unmarked(text).trim_start().as_bytes().first() {
            None => Err(CharacterError::Empty),
            Some(b'{') => Self::read_json(text),
            Some(_) => {
                let character = plain::read(&text::toml(text)?)?;
                Ok(Import { character, form: Form::Toml, notes: Vec::new() })
            }
        }
    }

    /// The character in our own form, with the card that it came of, if it did: how it is stored and
    /// travels. `Character::try_from` gives the same character again.
    pub fn to_json(&self) -> Json {
        Json(plain::write(self))
    }

    /// The same character with some fields of our own form changed; `null` empties one. What is changed
    /// away is no longer in it, nor in the card that it came of.
    ///
    /// # Errors
    /// [`CharacterError`], as for a character that is read, or as for [`Character::to_card`].
    pub fn with(&self, changes: &Json) -> Result<Self, CharacterError> {
        plain::changed(self, &changes.0)
    }

    /// The character as a card in JSON: to the letter the one that it was read from as long as nothing
    /// was changed. Otherwise a card of the version that it came in, or of the lowest later one that
    /// could hold all that it was changed to; of V3, if it never was a card.
    ///
    /// # Errors
    /// [`CharacterError::BadName`], [`CharacterError::Missing`], [`CharacterError::TooLarge`].
    pub fn to_card(&self) -> Result<String, CharacterError> {
        self.check()?;
        card::write(self).map(|(_, text)| text)
    }

    /// The image with the character in it, which replaces one that it holds. The very same bytes if
    /// that one is this one.
    ///
    /// A changed card is written once, as `ccv3` or `chara` by its version: a second copy for older
    /// programs would tell them something else.
    ///
    /// # Errors
    /// [`CharacterError`] if the image is no sound PNG, or as for [`Character::to_card`].
    pub fn to_image(&self, image: &[u8]) -> Result<Vec<u8>, CharacterError> {
        self.check()?;
        let (version, text) = card::write(self)?;
        let held = png::card_bytes(image);
        if held.is_ok_and(|held| held == text.as_bytes()) {
            return Ok(image.to_vec());
        }
        png::with_card(image, version == CardVersion::V3, &text)
    }

    /// Pictures and sounds that its card names. They stay in the card.
    pub fn assets(&self) -> Vec<Asset> {
        self.card.as_deref().map(card::assets).unwrap_or_default()
    }

    /// What it is called in a prompt.
    pub fn called(&self) -> &str {
        if self.nickname.trim().is_empty() { &self.name } else { &self.nickname }
    }

    /// What it may say first: 0 is the first message, and the alternate greetings follow.
    pub fn greeting(&self, index: usize) -> Option<&str> {
        let first = (!self.first_message.trim().is_empty()).then_some(&self.first_message);
        let found = match index {
            0 => first,
            later => self.alternate_greetings.get(later - 1),
        };
        found.map(String::as_str)
    }

    /// Whether its names are such that it can live.
    fn check(&self) -> Result<(), CharacterError> {
        if self.name.trim().is_empty() {
            return Err(CharacterError::Missing { place: "name".to_owned() });
        }
        for name in [&self.name, &self.nickname] {
            if name.chars().any(char::is_control) {
                return Err(CharacterError::BadName {
                    why: "has line breaks or control characters",
                });
            }
            if name.chars().count() > NAME_CHARS_MAX {
                return Err(CharacterError::BadName { why: "is too long" });
            }
        }
        Ok(())
    }

    fn read_json(text: &str) -> Result<Import, CharacterError> {
        let value = text::json(text, "the file")?;
        if card::is_card(&value) {
            return Ok(card::from_value(text, &value)?.import(Form::Card));
        }
        Ok(Import { character: plain::read(&value)?, form: Form::Json, notes: Vec::new() })
    }
}

impl TryFrom<&Json> for Character {
    type Error = CharacterError;

    /// From our own form, as [`Character::to_json`] makes it.
    fn try_from(json: &Json) -> Result<Self, CharacterError> {
        plain::read_kept(&json.0)
    }
}

/// How many keys of a lorebook that never match are told one by one.
const LORE_NOTES_MAX: usize = 10;

/// What a person should know about a lorebook: which of its keys never match.
fn lore_notes(book: &Lorebook) -> Vec<String> {
    let book = PreparedLorebook::new(book);
    let problems = book.problems();
    let mut notes: Vec<String> = problems.iter().take(LORE_NOTES_MAX).map(lore_note).collect();
    if problems.len() > LORE_NOTES_MAX {
        notes.push(format!("The lorebook has {} such keys in all.", problems.len()));
    }
    notes
}

/// On one line, whatever is in the key.
fn lore_note(LoreProblem { entry, key, why }: &LoreProblem) -> String {
    let key = fields::shortened(key).replace(char::is_control, " ");
    format!("The key `{key}` of `entries[{entry}]` of the lorebook never matches: {why}.")
}

/// What files are that people take for characters, and what to do with them.
fn foreign(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    let convert = "programs that convert images drop the card in them; get the PNG or the JSON";
    let begins = |magic: &[u8]| bytes.starts_with(magic);
    match () {
        () if begins(b"PK\x03\x04") => {
            Some(("a ZIP archive (perhaps CHARX)", "take `card.json` out of it and give that"))
        }
        () if begins(b"\xff\xd8\xff") => Some(("a JPEG", convert)),
        () if begins(b"GIF8") => Some(("a GIF", convert)),
        () if begins(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") => Some(("a WebP", convert)),
        () if begins(b"\xff\xfe") || begins(b"\xfe\xff") => {
            Some(("text in UTF-16", "save it as UTF-8"))
        }
        () => None,
    }
}

/// An empty list, text or table, or `null`.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests;
