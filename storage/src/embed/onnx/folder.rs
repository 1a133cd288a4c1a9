//! What is in a model folder.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::error::OpenModelError;
use super::outline::{self, NoModel};
use super::pooling::Pooling;
use super::{OnnxOptions, OnnxRuntime};

mod settings;

/// Where the model may be. The first that is there counts.
const MODELS: [&str; 2] = ["model.onnx", "onnx/model.onnx"];
const TOKENIZER: &str = "tokenizer.json";

/// How texts become vectors here. It is part of a model's name, so that vectors of another way are made
/// anew; count it up when the way changes.
const RECIPE: &str = "genii-onnx-1";
/// How much of a digest stands in a name, in bytes.
const DIGEST_LEN: usize = 8;

/// A folder in which everything is that a model needs.
#[derive(Debug)]
pub(super) struct ModelFolder {
    pub(super) model: PathBuf,
    /// Files beside the model that hold its weights.
    weights: Vec<PathBuf>,
    pub(super) tokenizer: PathBuf,
    pub(super) pooling: Pooling,
    pub(super) lower_case: bool,
    /// How many tokens of a text are read.
    pub(super) tokens_max: usize,
    runtime: OnnxRuntime,
}

impl ModelFolder {
    /// Looks whether everything is there, of a size that is borne, and the model of a model's kind.
    pub(super) fn find(folder: &Path, options: &OnnxOptions) -> Result<Self, OpenModelError> {
        if !folder.is_dir() {
            return Err(OpenModelError::NoFolder(folder.to_owned()));
        }
        let no = |file| OpenModelError::NoFile { folder: folder.to_owned(), file };
        let models = MODELS.iter().map(|name| folder.join(name));
        let model = models.into_iter().find(|path| path.exists()).ok_or_else(|| no(MODELS[0]))?;
        let tokenizer = Some(folder.join(TOKENIZER)).filter(|path| path.exists());
        let tokenizer = tokenizer.ok_or_else(|| no(TOKENIZER))?;
        let weights = weights_of(&model)?;
        check_size(&[&tokenizer], "tokenizer_bytes_max", options.tokenizer_bytes_max)?;
        let files: Vec<&Path> =
            [&model].into_iter().chain(&weights).map(PathBuf::as_path).collect();
        check_size(&files, "model_bytes_max", options.model_bytes_max)?;
        check_outline(&model)?;
        let settings = settings::read(folder)?;
        let tokens_max = settings
            .tokens_max
            .map_or(options.text_tokens_max, |max| max.min(options.text_tokens_max));
        Ok(Self {
            model,
            weights,
            tokenizer,
            pooling: settings.pooling,
            lower_case: settings.lower_case,
            tokens_max,
            runtime: options.runtime.clone(),
        })
    }

    /// A name of everything that vectors depend on.
    pub(super) fn fingerprint(
        &self,
        tokens_max: usize,
        text_bytes_max: usize,
    ) -> Result<String, OpenModelError> {
        let mut digest = Sha256::new();
        let (pooling, lower_case) = (self.pooling, self.lower_case);
        digest.update(format!("{RECIPE} {pooling:?} {lower_case} {tokens_max} {text_bytes_max}"));
        for path in [&self.tokenizer, &self.model].into_iter().chain(&self.weights) {
            add_file(&mut digest, path)
                .map_err(|source| OpenModelError::Unreadable { path: path.clone(), source })?;
        }
        let digest = digest.finalize();
        let mut name = String::from("onnx-");
        for byte in &digest[..DIGEST_LEN] {
            write!(name, "{byte:02x}").expect("a string takes everything");
        }
        Ok(name)
    }

    pub(super) fn unusable(&self, cause: impl ToString) -> OpenModelError {
        OpenModelError::Unusable {
            path: self.model.clone(),
            runtime: self.runtime.to_string(),
            cause: cause.to_string(),
        }
    }

    pub(super) fn no_sentence_model(&self, cause: String) -> OpenModelError {
        OpenModelError::NoSentenceModel { path: self.model.clone(), cause }
    }
}

/// The files beside a model whose names begin with its own. Those are its weights, where it is too
/// large for one file; sorted, as their order goes into the name.
fn weights_of(model: &Path) -> Result<Vec<PathBuf>, OpenModelError> {
    let fault = |source| OpenModelError::Unreadable { path: model.to_owned(), source };
    let (Some(folder), Some(name)) = (model.parent(), model.file_name()) else {
        return Ok(Vec::new());
    };
    let mut weights = Vec::new();
    for entry in fs::read_dir(folder).map_err(fault)? {
        let entry = entry.map_err(fault)?;
        let other = entry.file_name();
        let begins_so = other.as_encoded_bytes().starts_with(name.as_encoded_bytes());
        if begins_so && other != name && entry.path().is_file() {
            weights.push(entry.path());
        }
    }
    weights.sort();
    Ok(weights)
}

/// Looks whether files are no larger together than they may be.
fn check_size(
    files: &[&Path],
    limit: &'static str,
    limit_bytes: u64,
) -> Result<(), OpenModelError> {
    let mut bytes: u64 = 0;
    for path in files {
        let fault = |source| OpenModelError::Unreadable { path: (*path).to_owned(), source };
        bytes = bytes.saturating_add(fs::metadata(path).map_err(fault)?.len());
    }
    if bytes > limit_bytes {
        let path = files.first().map(|path| (*path).to_owned()).unwrap_or_default();
        return Err(OpenModelError::TooLarge { path, bytes, limit, limit_bytes });
    }
    Ok(())
}

fn check_outline(model: &Path) -> Result<(), OpenModelError> {
    let look = || {
        let file = File::open(model)?;
        let len = file.metadata()?.len();
        outline::check(BufReader::new(file), len)
    };
    let path = model.to_owned();
    look().map_err(|no_model| match no_model {
        NoModel::Unreadable(source) => OpenModelError::Unreadable { path, source },
        NoModel::Other(cause) => OpenModelError::NotOnnx { path, cause },
    })
}

fn add_file(digest: &mut Sha256, path: &Path) -> io::Result<()> {
    let mut file = File::open(path)?;
    // The length first, so that no byte can move from one file into the next unseen.
    digest.update(file.metadata()?.len().to_le_bytes());
    io::copy(&mut file, digest)?;
    Ok(())
}
