//! What runs models, and what a model is once it is loaded.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::OnnxOptions;
use super::error::OpenModelError;
use super::folder::ModelFolder;

mod library;
mod tract;

/// What runs models.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum OnnxRuntime {
    /// tract, which is part of genii.
    #[default]
    Tract,
    /// ONNX Runtime, from a `libonnxruntime.so` of version 1.24 or later: faster, and knows every
    /// operator. The library's code runs in this process, so it must be one that can be trusted. The
    /// first that is loaded is the only one until the process ends.
    Library(PathBuf),
}

impl fmt::Display for OnnxRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tract => f.write_str("tract"),
            Self::Library(path) => write!(f, "ONNX Runtime ({})", path.display()),
        }
    }
}

/// A model that a runtime has loaded, for one call at a time.
pub(super) trait Engine: Send {
    fn inputs(&self) -> &[Input];

    /// The names of what it gives.
    fn outputs(&self) -> &[String];

    /// Runs it on the numbers of each input, in their order and all in the same shape, for one of its
    /// outputs.
    fn run(
        &mut self,
        inputs: Vec<Vec<i64>>,
        shape: [usize; 2],
        output: usize,
    ) -> Result<Output, RunFault>;
}

/// What a model takes.
#[derive(Clone, Debug)]
pub(super) struct Input {
    pub(super) name: String,
    /// What kind of numbers it takes, if they are not 64-bit whole ones.
    pub(super) other_numbers: Option<String>,
    /// Its dimensions, those known that were fixed when the model was exported.
    pub(super) shape: Vec<Option<usize>>,
}

/// What a model gave.
pub(super) struct Output {
    pub(super) shape: Vec<usize>,
    pub(super) numbers: Vec<f32>,
}

/// Why a run came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum RunFault {
    /// It did not come to its end.
    #[error("{0}")]
    Failed(String),
    /// It did not begin: no session was free for so long.
    #[error("all its sessions were busy for {0:?}")]
    Busy(Duration),
    /// What it gave is no vector of a text.
    #[error("{0}")]
    Output(String),
}

/// Loads a model as often as calls are to be served at once.
pub(super) fn load(
    found: &ModelFolder,
    options: &OnnxOptions,
) -> Result<Vec<Box<dyn Engine>>, OpenModelError> {
    let times = options.sessions.get();
    match &options.runtime {
        OnnxRuntime::Tract => {
            let model = tract::Model::load(&found.model).map_err(|cause| found.unusable(cause))?;
            Ok((0..times).map(|_| Box::new(model.clone()) as Box<dyn Engine>).collect())
        }
        OnnxRuntime::Library(path) => {
            let environment = library::environment(path)?;
            let load = |_| match library::Model::load(&environment, &found.model, options) {
                Ok(model) => Ok(Box::new(model) as Box<dyn Engine>),
                Err(error) => Err(found.unusable(error)),
            };
            (0..times).map(load).collect()
        }
    }
}
