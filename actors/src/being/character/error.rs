//! What can be wrong with the bytes of a character.

use super::limits::{
    CARD_BYTES_MAX, CHUNKS_MAX, JSON_DEPTH_MAX, JSON_VALUES_MAX, NAME_CHARS_MAX, TOML_BYTES_MAX,
};

/// Why bytes are no character, or a character cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum CharacterError {
    /// There is nothing to read.
    #[error("the file is empty; give a character in TOML or JSON, or a character card")]
    Empty,
    /// It is larger than [`CARD_BYTES_MAX`].
    #[error(
        "the character has {bytes} bytes, more than the limit of {CARD_BYTES_MAX}; use a smaller image"
    )]
    TooLarge {
        /// How large it is.
        bytes: usize,
    },
    /// TOML that is larger than [`TOML_BYTES_MAX`].
    #[error(
        "the text has {bytes} bytes, more than TOML may have ({TOML_BYTES_MAX}); write it as JSON"
    )]
    TomlTooLarge {
        /// How large it is.
        bytes: usize,
    },
    /// It is something else.
    #[error("this is {what}, and no character; {remedy}")]
    Foreign {
        /// What it looks like.
        what: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// It is not UTF-8.
    #[error("{place} is not UTF-8 at byte {offset}; save it as UTF-8")]
    NotUtf8 {
        /// Which part of it.
        place: &'static str,
        /// Where the first wrong byte is.
        offset: usize,
    },
    /// It is no JSON.
    #[error("{place} is no JSON: {source}")]
    Json {
        /// Which part of it.
        place: &'static str,
        /// What is wrong, and at which line.
        source: serde_json::Error,
    },
    /// It is no TOML.
    #[error("the file is neither JSON, nor a PNG, nor TOML; as TOML, line {line}: {message}")]
    Toml {
        /// In which line, from 1.
        line: usize,
        /// What is wrong there.
        message: String,
    },
    /// Lists in lists, deeper than [`JSON_DEPTH_MAX`].
    #[error(
        "{place} is nested deeper than {JSON_DEPTH_MAX} at byte {offset}; no character needs that"
    )]
    TooDeep {
        /// Which part of it.
        place: &'static str,
        /// Where the limit is passed.
        offset: usize,
    },
    /// More values than [`JSON_VALUES_MAX`].
    #[error(
        "{place} has more than {JSON_VALUES_MAX} values; make the lorebook or the extensions smaller"
    )]
    TooManyValues {
        /// Which part of it.
        place: &'static str,
    },
    /// A card of a kind that is not known.
    #[error(
        "`spec` is {spec:?}; cards of chara_card_v2 and chara_card_v3 are read, and those of V1 without `spec`"
    )]
    UnknownSpec {
        /// What it says it is.
        spec: String,
    },
    /// A field that must be there is not.
    #[error("`{place}` is missing or empty; a character needs it")]
    Missing {
        /// Which field.
        place: String,
    },
    /// A value of another type.
    #[error("`{place}` is {found}, and should be {expected}")]
    WrongType {
        /// Which field.
        place: String,
        /// What it is.
        found: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// A text that is too long.
    #[error("`{place}` has {bytes} bytes, more than the limit of {bytes_max}; shorten it")]
    TextTooLong {
        /// Which field.
        place: String,
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        bytes_max: usize,
    },
    /// A list that is too long.
    #[error("`{place}` has {count} entries, more than the limit of {count_max}; drop some")]
    TooMany {
        /// Which field.
        place: String,
        /// How many there are.
        count: usize,
        /// How many there may be.
        count_max: usize,
    },
    /// A field that the plain form does not have.
    #[error("`{place}` is no field of a character{}", nearest_hint(.nearest.as_deref()))]
    UnknownField {
        /// Which field.
        place: String,
        /// The known field that is most like it.
        nearest: Option<String>,
    },
    /// A name that cannot be one.
    #[error("the name {why}; a name is one line of 1 to {NAME_CHARS_MAX} characters")]
    BadName {
        /// What is wrong with it.
        why: &'static str,
    },
    /// The image ends too early.
    #[error("the PNG ends at byte {offset} within {what}; it was cut off, so get it again")]
    PngCutOff {
        /// Where it ends.
        offset: usize,
        /// What should go on there.
        what: &'static str,
    },
    /// A chunk that says it is longer than what is left of the image.
    #[error(
        "the PNG chunk {kind} at byte {offset} says that it has {declared} bytes, and {left} are left; the file is damaged"
    )]
    PngChunkTooLong {
        /// Its type.
        kind: String,
        /// Where it begins.
        offset: usize,
        /// How long it says it is.
        declared: u32,
        /// How much there is.
        left: usize,
    },
    /// More chunks than [`CHUNKS_MAX`].
    #[error(
        "the PNG has more than {CHUNKS_MAX} chunks; save the image anew with a usual image program"
    )]
    PngTooManyChunks,
    /// A chunk whose checksum is wrong.
    #[error(
        "the PNG chunk {kind} at byte {offset} has a wrong checksum; the file is damaged, so get it again"
    )]
    PngChecksum {
        /// Its type.
        kind: String,
        /// Where it begins.
        offset: usize,
    },
    /// It does not begin as a PNG does.
    #[error("the PNG does not begin with an IHDR chunk; the file is damaged")]
    PngNoHeader,
    /// An image without a character.
    #[error(
        "the PNG holds no character: no `chara` and no `ccv3` chunk; programs that shrink images drop them, so get the original file"
    )]
    PngNoCard,
    /// Two characters in one image.
    #[error(
        "the PNG holds two different `{keyword}` chunks; save the card anew with the program that made it"
    )]
    PngTwoCards {
        /// The keyword of both.
        keyword: &'static str,
    },
    /// A character in a chunk that would have to be unpacked.
    #[error(
        "the `{keyword}` chunk is of the type {kind}, and only tEXt is read; save the card anew"
    )]
    PngPacked {
        /// The keyword.
        keyword: &'static str,
        /// The type of the chunk.
        kind: String,
    },
    /// A chunk that is no base64.
    #[error("the `{keyword}` chunk is no base64: {source}")]
    Base64 {
        /// The keyword.
        keyword: &'static str,
        /// What is wrong.
        source: base64::DecodeError,
    },
}

fn nearest_hint(nearest: Option<&str>) -> String {
    nearest.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default()
}
