//! Why a model cannot be opened.

use std::io;
use std::path::PathBuf;

/// What a model folder must hold, for those who have to put it there.
const WANTED: &str = "a folder with model.onnx (or onnx/model.onnx) and tokenizer.json, as \
                      sentence-transformers writes them, is wanted";

/// Why a model cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenModelError {
    /// The folder is not there, or is none.
    #[error("there is no model folder {}: {WANTED}", .0.display())]
    NoFolder(PathBuf),

    /// A file that must be there is not.
    #[error("the model folder {} has no {file}: {WANTED}", .folder.display())]
    NoFile {
        /// Which folder.
        folder: PathBuf,
        /// Which file.
        file: &'static str,
    },

    /// A file cannot be read.
    #[error("{} cannot be read: {source}; see who owns it, and whether its disk is well", .path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// A file is larger than it may be.
    #[error(
        "{} has {bytes} bytes, more than {limit} of {limit_bytes}; take a smaller model, or raise \
         the limit",
        .path.display()
    )]
    TooLarge {
        /// Which.
        path: PathBuf,
        /// How large it is; of a model, with its weights.
        bytes: u64,
        /// The name of the limit.
        limit: &'static str,
        /// The limit.
        limit_bytes: u64,
    },

    /// A file of settings does not say what such files say.
    #[error("{} is not as sentence-transformers writes it: {cause}; copy it again from the model", .path.display())]
    Settings {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },

    /// The model wants a step that is not part of an ONNX file, and that is not known here.
    #[error(
        "{} wants the step {module} after the model, which cannot be done here; take a model of \
         Transformer, Pooling and Normalize alone",
        .path.display()
    )]
    Module {
        /// Where it says so.
        path: PathBuf,
        /// Which step.
        module: String,
    },

    /// The vectors of tokens are to become one in a way that is not known here.
    #[error(
        "{} wants {pooling}, which cannot be done here; take a model that pools by the mean or by \
         the first token",
        .path.display()
    )]
    Pooling {
        /// Where it says so.
        path: PathBuf,
        /// Which way.
        pooling: String,
    },

    /// The tokenizer is broken.
    #[error(
        "{} is no tokenizer that can be used: {cause}; copy it again from the model, or save it \
         anew with the tokenizers library",
        .path.display()
    )]
    Tokenizer {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },

    /// Fewer tokens are let in than make a text.
    #[error(
        "{tokens_max} tokens of a text are to be read, {added} of them the tokenizer's own, which \
         leaves none for the text; raise text_tokens_max, or export the model for longer texts"
    )]
    NoRoomForText {
        /// How many are let in.
        tokens_max: usize,
        /// How many the tokenizer adds to each text.
        added: usize,
    },

    /// The file is no ONNX model.
    #[error("{} is not an ONNX model: {cause}", .path.display())]
    NotOnnx {
        /// Which.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        cause: String,
    },

    /// The model is none that can be run here.
    #[error(
        "{} cannot be run on {runtime}: {cause}; see that it is whole, export it anew without what is \
         named, or let another runtime run it",
        .path.display()
    )]
    Unusable {
        /// Which.
        path: PathBuf,
        /// What was to run it.
        runtime: String,
        /// What it said.
        cause: String,
    },

    /// The model takes something else than sentences.
    #[error(
        "{} is no sentence-embedding model: {cause}; one is wanted that takes input_ids, \
         attention_mask and perhaps token_type_ids, whole numbers of texts by tokens, and gives \
         32-bit numbers of texts by tokens by dimensions, or of texts by dimensions",
        .path.display()
    )]
    NoSentenceModel {
        /// Which.
        path: PathBuf,
        /// What it takes or gives instead.
        cause: String,
    },

    /// ONNX Runtime cannot be loaded.
    #[error(
        "ONNX Runtime cannot be loaded from {}: {cause}; set the path of a libonnxruntime.so of \
         version 1.24 or later that was made for this machine, or none to let tract run the model, \
         and start genii again",
        .path.display()
    )]
    Library {
        /// Where from.
        path: PathBuf,
        /// What was wrong, perhaps at an earlier try: there is only one in each process.
        cause: String,
    },

    /// Another library is loaded already.
    #[error(
        "ONNX Runtime is loaded from {} already, and cannot be loaded from {} beside it; set the \
         same path for all models, and start genii again",
        .in_use.display(), .wanted.display()
    )]
    AnotherLibrary {
        /// The one that is loaded.
        in_use: PathBuf,
        /// The one that was to be.
        wanted: PathBuf,
    },
}
