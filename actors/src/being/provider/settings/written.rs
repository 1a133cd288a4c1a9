//! Settings as they are written: read, with what was probably meant where a name is none, and told.

use genii_protocols::Json;
use genii_runtime::nearest;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{ProviderSettings, ProviderSettingsError};

/// How much of a name that is none is shown, in characters.
const NAME_SHOWN_CHARS_MAX: usize = 80;

/// How many names that are none are told.
const UNKNOWN_TOLD_MAX: usize = 8;

impl ProviderSettings {
    /// Reads what was written; nothing at all is as it is by default. Whether it makes sense,
    /// [`ProviderSettings::check`] says.
    ///
    /// # Errors
    /// With the first 8 names that are none of a setting, and those that were probably meant; or with
    /// the first value that cannot be read.
    pub fn read(written: &Json) -> Result<Self, ProviderSettingsError> {
        let settings = match &written.0 {
            Value::Null => return Ok(Self::default()),
            Value::Object(settings) => settings,
            _ => {
                let faults = vec!["they must be a JSON object".to_owned()];
                return Err(ProviderSettingsError { faults });
            }
        };
        Self::deserialize(&written.0).map_err(|error| {
            let mut faults = unknown(settings);
            if faults.is_empty() {
                faults.push(error.to_string());
            }
            ProviderSettingsError { faults }
        })
    }

    /// Of what was written, what is set, as it was written; and all that is not, as it is by default.
    /// Nothing but settings is in them, and so no place for a key.
    pub fn told(written: &Json) -> (Json, Json) {
        let mut settings = written.0.as_object().cloned().unwrap_or_default();
        let mut defaults = defaults();
        settings.retain(|name, value| !value.is_null() && defaults.contains_key(name));
        defaults.retain(|name, _| !settings.contains_key(name));
        (Json(Value::Object(settings)), Json(Value::Object(defaults)))
    }
}

/// All settings as they are by default, in the order in which they are declared.
fn defaults() -> Map<String, Value> {
    match Json::of(&ProviderSettings::default()) {
        Json(Value::Object(all)) => all,
        _ => Map::new(),
    }
}

/// What is wrong with each name that is none of a setting.
fn unknown(settings: &Map<String, Value>) -> Vec<String> {
    let defaults = defaults();
    let known: Vec<&str> = defaults.keys().map(String::as_str).collect();
    let names = settings.keys().map(String::as_str);
    let unknown = names.filter(|name| !known.contains(name) && !is_place_of_key(name));
    unknown
        .take(UNKNOWN_TOLD_MAX)
        .map(|name| {
            let shown = name.chars().take(NAME_SHOWN_CHARS_MAX).flat_map(char::escape_debug);
            let shown: String = shown.collect();
            format!("`{shown}` is no setting of a provider; {}", remedy(name, &known))
        })
        .collect()
}

/// Whether a key is looked for there, of which [`ProviderSettings::check`] says where it belongs: the
/// name is no setting, and is read all the same.
fn is_place_of_key(name: &str) -> bool {
    let alone = Value::Object(Map::from_iter([(name.to_owned(), Value::Null)]));
    ProviderSettings::deserialize(&alone).is_ok()
}

/// What to write instead of a name that is none.
fn remedy(name: &str, known: &[&str]) -> String {
    let meant: Vec<String> =
        meant(name, known).into_iter().map(|meant| format!("`{meant}`")).collect();
    match meant.is_empty() {
        true => format!("the settings are {}", known.join(", ")),
        false => format!("did you mean {}?", meant.join(" or ")),
    }
}

/// The settings that were probably meant: those that have it as a word in their names, the one whose
/// name is most like it, or those with the word that is most like it.
fn meant<'a>(name: &str, known: &[&'a str]) -> Vec<&'a str> {
    let with = |word: &str| -> Vec<&'a str> {
        let has_word = |known: &&str| known.split('_').any(|part| part == word);
        known.iter().copied().filter(has_word).collect()
    };
    let with_name = with(name);
    if !with_name.is_empty() {
        return with_name;
    }
    if let Some(nearest) = nearest(name, known.iter().copied()) {
        return vec![nearest];
    }
    let word = nearest(name, known.iter().copied().flat_map(|known| known.split('_')));
    word.map(with).unwrap_or_default()
}
