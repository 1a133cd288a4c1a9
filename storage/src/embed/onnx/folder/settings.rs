//! What the files beside a model say of how it is used. Each may be missing.

use std::fs;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::super::error::OpenModelError;
use super::super::pooling::Pooling;

/// How large a file of settings may be, in bytes.
const SETTINGS_BYTES_MAX: u64 = 1 << 20;

const MODULES: &str = "modules.json";
/// Where the settings of the pooling are, if no list of modules says otherwise.
const POOLING: &str = "1_Pooling";

/// Steps that are known. What normalises is done in any case.
const KNOWN_MODULES: [&str; 3] = ["Transformer", "Pooling", "Normalize"];

/// How the settings of a way of pooling begin.
const POOLING_MODE: &str = "pooling_mode_";

/// Models that count their places from behind the number of their padding, so that they have so many
/// places fewer.
const COUNT_FROM_PADDING: [&str; 4] = ["camembert", "mpnet", "roberta", "xlm-roberta"];

/// What the files say.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ModelSettings {
    pub(super) pooling: Pooling,
    /// Whether a text is made lower-case before its tokenizer sees it.
    pub(super) lower_case: bool,
    /// How many tokens the model takes, if anything says so.
    pub(super) tokens_max: Option<usize>,
}

#[derive(Deserialize)]
struct Module {
    #[serde(default)]
    path: String,
    #[serde(rename = "type")]
    kind: String,
}

/// `sentence_bert_config.json`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Sentences {
    max_seq_length: Option<usize>,
    do_lower_case: bool,
}

/// `tokenizer_config.json`. The number is a huge one where there is no limit.
#[derive(Default, Deserialize)]
#[serde(default)]
struct TokenizerSettings {
    model_max_length: Option<f64>,
}

/// `config.json`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Transformer {
    model_type: String,
    max_position_embeddings: Option<usize>,
    pad_token_id: Option<usize>,
}

pub(super) fn read(folder: &Path) -> Result<ModelSettings, OpenModelError> {
    let pooling = pooling(&pooling_folder(folder)?.join("config.json"))?;
    let sentences: Sentences = read_file(&folder.join("sentence_bert_config.json"))?;
    let tokenizer: TokenizerSettings = read_file(&folder.join("tokenizer_config.json"))?;
    let transformer: Transformer = read_file(&folder.join("config.json"))?;
    let said = [
        sentences.max_seq_length,
        tokenizer.model_max_length.map(|max| max as usize),
        places(&transformer),
    ];
    let tokens_max = said.into_iter().flatten().min();
    Ok(ModelSettings { pooling, lower_case: sentences.do_lower_case, tokens_max })
}

/// How many places a model has for tokens.
fn places(transformer: &Transformer) -> Option<usize> {
    let places = transformer.max_position_embeddings?;
    if !COUNT_FROM_PADDING.contains(&transformer.model_type.as_str()) {
        return Some(places);
    }
    Some(places.saturating_sub(transformer.pad_token_id.unwrap_or(1) + 1))
}

/// Where the settings of the pooling are; fails if there is a step that is not known.
fn pooling_folder(folder: &Path) -> Result<PathBuf, OpenModelError> {
    let path = folder.join(MODULES);
    let modules: Vec<Module> = read_file(&path)?;
    let mut pooling = folder.join(POOLING);
    for module in modules {
        let kind = module.kind.rsplit('.').next().unwrap_or_default();
        if !KNOWN_MODULES.contains(&kind) {
            return Err(OpenModelError::Module { path, module: module.kind });
        }
        if kind == "Pooling" {
            if !stays_inside(&module.path) {
                let cause = format!("the path {:?} leads out of the folder", module.path);
                return Err(OpenModelError::Settings { path, cause });
            }
            pooling = folder.join(module.path);
        }
    }
    Ok(pooling)
}

fn stays_inside(path: &str) -> bool {
    Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
}

fn pooling(path: &Path) -> Result<Pooling, OpenModelError> {
    let settings: Map<String, Value> = read_file(path)?;
    let ways: Vec<&str> = settings
        .iter()
        .filter(|(_, value)| **value == Value::Bool(true))
        .filter_map(|(key, _)| key.strip_prefix(POOLING_MODE))
        .collect();
    match ways[..] {
        [] if settings.is_empty() => Ok(Pooling::Mean),
        // The root of the number of tokens makes a difference to a length, and lengths become one.
        ["mean_tokens" | "mean_sqrt_len_tokens"] => Ok(Pooling::Mean),
        ["cls_token"] => Ok(Pooling::First),
        [] => Err(no_pooling(path, "no way of pooling")),
        _ => Err(no_pooling(path, &ways.join(" and "))),
    }
}

fn no_pooling(path: &Path, pooling: &str) -> OpenModelError {
    OpenModelError::Pooling { path: path.to_owned(), pooling: pooling.to_owned() }
}

/// Reads a file of settings; of one that is not there, those by default.
fn read_file<T: DeserializeOwned + Default>(path: &Path) -> Result<T, OpenModelError> {
    let fault = |source| OpenModelError::Unreadable { path: path.to_owned(), source };
    let file = match fs::File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(T::default()),
        file => file.map_err(fault)?,
    };
    let mut text = Vec::new();
    file.take(SETTINGS_BYTES_MAX + 1).read_to_end(&mut text).map_err(fault)?;
    let wrong = |cause| OpenModelError::Settings { path: path.to_owned(), cause };
    if text.len() as u64 > SETTINGS_BYTES_MAX {
        return Err(wrong(format!("it has more than {SETTINGS_BYTES_MAX} bytes")));
    }
    serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a folder of such files.
    fn read(files: &[(&str, &str)]) -> Result<ModelSettings, String> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        super::read(folder.path()).map_err(|error| error.to_string())
    }

    fn settings(pooling: Pooling, lower_case: bool, tokens_max: Option<usize>) -> ModelSettings {
        ModelSettings { pooling, lower_case, tokens_max }
    }

    #[test]
    fn a_model_alone_is_pooled_by_the_mean() {
        assert_eq!(read(&[]), Ok(settings(Pooling::Mean, false, None)));
    }

    #[test]
    fn the_smallest_number_of_tokens_counts() {
        let files = [
            ("sentence_bert_config.json", r#"{"max_seq_length": 256, "do_lower_case": true}"#),
            ("tokenizer_config.json", r#"{"model_max_length": 1000000000000000019884624838656}"#),
            ("config.json", r#"{"model_type": "bert", "max_position_embeddings": 512}"#),
        ];
        assert_eq!(read(&files), Ok(settings(Pooling::Mean, true, Some(256))));
        assert_eq!(read(&files[1..]), Ok(settings(Pooling::Mean, false, Some(512))));
    }

    #[test]
    fn models_that_count_from_their_padding_have_fewer_places() {
        let roberta =
            r#"{"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1}"#;
        let read = read(&[("config.json", roberta)]);
        assert_eq!(read, Ok(settings(Pooling::Mean, false, Some(512))));
    }

    #[test]
    fn the_way_of_pooling_is_where_the_modules_say() {
        let modules = r#"[{"path": "", "type": "sentence_transformers.models.Transformer"},
                          {"path": "pooled", "type": "sentence_transformers.models.Pooling"}]"#;
        let first = r#"{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}"#;
        let read = read(&[("modules.json", modules), ("pooled/config.json", first)]);
        assert_eq!(read, Ok(settings(Pooling::First, false, None)));
    }

    #[test]
    fn what_is_not_known_is_refused() {
        let cases = [
            ("modules.json", r#"[{"path": "2_Dense", "type": "models.Dense"}]"#, "models.Dense"),
            (
                "modules.json",
                r#"[{"path": "../..", "type": "Pooling"}]"#,
                "leads out of the folder",
            ),
            ("modules.json", r#"[{"path": "/etc", "type": "Pooling"}]"#, "leads out of the folder"),
            ("modules.json", "{}", "is not as sentence-transformers writes it"),
            ("config.json", "{", "copy it again"),
            ("1_Pooling/config.json", r#"{"pooling_mode_max_tokens": true}"#, "max_tokens"),
            ("1_Pooling/config.json", r#"{"word_embedding_dimension": 4}"#, "no way of pooling"),
            (
                "1_Pooling/config.json",
                r#"{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": true}"#,
                "cls_token and mean_tokens",
            ),
        ];
        for (name, text, wanted) in cases {
            let refused = read(&[(name, text)]).unwrap_err();
            assert!(refused.contains(wanted), "{name} {text}: {refused}");
            assert!(refused.contains(name), "{name} {text}: {refused}");
        }
    }

    #[test]
    fn a_file_of_settings_is_not_read_without_end() {
        let long = " ".repeat(SETTINGS_BYTES_MAX as usize + 1);
        let refused = read(&[("config.json", &long)]).unwrap_err();
        assert!(refused.contains("more than 1048576 bytes"), "{refused}");
    }
}
