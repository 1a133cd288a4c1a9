//! The fields of a character that are text or lists of texts: what each is called where.

use super::Character;
use super::card::CardVersion;
use super::card::CardVersion::{V1, V2, V3};

/// A field, and its names.
pub(super) struct Field<T: 'static> {
    /// In our own form.
    pub(super) plain: &'static str,
    /// In a card.
    pub(super) card: &'static str,
    /// The first version of the card that has it.
    pub(super) since: CardVersion,
    /// Whether a card has it also when it is empty.
    pub(super) always: bool,
    pub(super) get: fn(&Character) -> &T,
    pub(super) get_mut: fn(&mut Character) -> &mut T,
}

macro_rules! field {
    ($name:ident, $card:literal, $since:expr, $always:literal) => {
        Field {
            plain: stringify!($name),
            card: $card,
            since: $since,
            always: $always,
            get: |character| &character.$name,
            get_mut: |character| &mut character.$name,
        }
    };
}

/// In the order in which they are written.
pub(super) const TEXTS: [Field<String>; 12] = [
    field!(name, "name", V1, true),
    field!(nickname, "nickname", V3, false),
    field!(description, "description", V1, true),
    field!(personality, "personality", V1, true),
    field!(scenario, "scenario", V1, true),
    field!(first_message, "first_mes", V1, true),
    field!(example_dialogue, "mes_example", V1, true),
    field!(system_prompt, "system_prompt", V2, true),
    field!(post_history_instructions, "post_history_instructions", V2, true),
    field!(creator, "creator", V2, true),
    field!(creator_notes, "creator_notes", V2, true),
    field!(version, "character_version", V2, true),
];

/// In the order in which they are written.
pub(super) const LISTS: [Field<Vec<String>>; 4] = [
    field!(alternate_greetings, "alternate_greetings", V2, true),
    field!(group_greetings, "group_only_greetings", V3, true),
    field!(tags, "tags", V2, true),
    field!(source, "source", V3, false),
];
