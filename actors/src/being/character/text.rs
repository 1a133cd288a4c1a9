//! From bytes to a JSON value, in bounded memory and time.

use serde_json::Value;

use super::error::CharacterError;
use super::limits::{JSON_DEPTH_MAX, JSON_VALUES_MAX, TOML_BYTES_MAX};

/// The text of bytes, with a byte order mark if it has one: a card goes as it came.
pub(super) fn utf8<'a>(bytes: &'a [u8], place: &'static str) -> Result<&'a str, CharacterError> {
    std::str::from_utf8(bytes)
        .map_err(|error| CharacterError::NotUtf8 { place, offset: error.valid_up_to() })
}

/// A text without a byte order mark, which no reader of JSON takes.
pub(super) fn unmarked(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// The value of a JSON text.
pub(super) fn json(text: &str, place: &'static str) -> Result<Value, CharacterError> {
    let text = unmarked(text);
    // A parsed value takes up to a hundred times the bytes of its text, so it is measured first.
    measure(text, place)?;
    serde_json::from_str(text).map_err(|source| CharacterError::Json { place, source })
}

/// The value of a TOML text.
pub(super) fn toml(text: &str) -> Result<Value, CharacterError> {
    let text = unmarked(text);
    if text.len() > TOML_BYTES_MAX {
        return Err(CharacterError::TomlTooLarge { bytes: text.len() });
    }
    toml::from_str(text).map_err(|error| toml_error(text, &error))
}

/// How much of what TOML's reader says is passed on, in characters.
const MESSAGE_CHARS_MAX: usize = 200;

/// The error without the line that it is about, which may be as long as the file.
fn toml_error(text: &str, error: &toml::de::Error) -> CharacterError {
    let before = error.span().and_then(|span| text.as_bytes().get(..span.start));
    let breaks = before.unwrap_or_default().iter().filter(|byte| **byte == b'\n').count();
    let message = error.message().replace('\n', " ");
    CharacterError::Toml {
        line: breaks + 1,
        message: message.chars().take(MESSAGE_CHARS_MAX).collect(),
    }
}

/// Refuses JSON that is too deep or has too many values. What is no JSON at all is left to the parser,
/// which says it better.
fn measure(text: &str, place: &'static str) -> Result<(), CharacterError> {
    let (mut depth, mut values, mut in_string, mut escaped) = (0_usize, 1_usize, false, false);
    for (offset, byte) in text.bytes().enumerate() {
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'[' | b'{' => (depth, values) = (depth + 1, values + 1),
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' | b':' => values += 1,
            _ => {}
        }
        if depth > JSON_DEPTH_MAX {
            return Err(CharacterError::TooDeep { place, offset });
        }
        if values > JSON_VALUES_MAX {
            return Err(CharacterError::TooManyValues { place });
        }
    }
    Ok(())
}
