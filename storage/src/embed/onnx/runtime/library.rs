//! Models on ONNX Runtime, from a library.
//!
//! `ort` keeps one library and one environment for a whole process, so they are kept here in a static
//! (decision 60).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::{Outlet, Tensor, TensorElementType, ValueType};
use parking_lot::Mutex;

use super::super::OnnxOptions;
use super::super::error::OpenModelError;
use super::{Engine, Input, Output, RunFault};

/// What has become of the library.
enum Library {
    /// None was wanted so far.
    None,
    Loaded {
        path: PathBuf,
        environment: Environment,
    },
    /// One could not be loaded. `ort` takes the place where it keeps the library for filled from then
    /// on, and would call into nothing, so it is never asked again.
    Failed {
        cause: String,
    },
}

static LIBRARY: Mutex<Library> = Mutex::new(Library::None);

/// The environment of a library, which is loaded at the first call and lasts as long as the process.
pub(super) fn environment(path: &Path) -> Result<Environment, OpenModelError> {
    let fault = |cause| OpenModelError::Library { path: path.to_owned(), cause };
    let real = real(path).map_err(fault)?;
    let mut library = LIBRARY.lock();
    match &*library {
        Library::Loaded { path, environment } if *path == real => return Ok(environment.clone()),
        Library::Loaded { path, .. } => {
            return Err(OpenModelError::AnotherLibrary { in_use: path.clone(), wanted: real });
        }
        Library::Failed { cause } => return Err(fault(cause.clone())),
        Library::None => {}
    }
    match begin(&real) {
        Ok(environment) => {
            *library = Library::Loaded { path: real, environment: environment.clone() };
            Ok(environment)
        }
        Err(cause) => {
            *library = Library::Failed { cause: cause.clone() };
            Err(fault(cause))
        }
    }
}

/// The real path of a library, so that one library is one choice. That it is there is looked at here,
/// where a failure costs nothing.
fn real(path: &Path) -> Result<PathBuf, String> {
    let real = path.canonicalize().map_err(|error| error.to_string())?;
    if real.is_file() { Ok(real) } else { Err("it is no file".to_owned()) }
}

fn begin(path: &Path) -> Result<Environment, String> {
    let builder = ort::init_from(path).map_err(|error| error.to_string())?;
    let environment = builder
        .with_name("genii")
        .with_telemetry(false)
        .with_logger(Arc::new(log))
        .build()
        .map_err(|error| error.to_string())?;
    environment.set_log_level(LogLevel::Warning);
    tracing::info!(library = %path.display(), "ONNX Runtime is loaded");
    Ok(environment)
}

/// What ONNX Runtime says goes into genii's log and not between the lines of a terminal. Its errors
/// come back from the calls as well.
fn log(level: LogLevel, category: &str, _id: &str, place: &str, message: &str) {
    match level {
        LogLevel::Fatal | LogLevel::Error | LogLevel::Warning => {
            tracing::warn!(category, place, "ONNX Runtime: {message}");
        }
        LogLevel::Info | LogLevel::Verbose => {
            tracing::debug!(category, place, "ONNX Runtime: {message}");
        }
    }
}

pub(super) struct Model {
    session: Session,
    inputs: Vec<Input>,
    outputs: Vec<String>,
}

impl Model {
    pub(super) fn load(
        environment: &Environment,
        path: &Path,
        options: &OnnxOptions,
    ) -> ort::Result<Self> {
        // Threads that spin while they wait would take a core from a house that is idle.
        let session = Session::builder(environment)?
            .with_optimization_level(GraphOptimizationLevel::All)?
            .with_intra_threads(options.session_threads.get())?
            .with_inter_threads(1)?
            .with_intra_op_spinning(false)?
            .commit_from_file(path)?;
        let inputs = session.inputs().iter().map(input).collect();
        let outputs = session.outputs().iter().map(|output| output.name().to_owned()).collect();
        Ok(Self { session, inputs, outputs })
    }
}

impl Engine for Model {
    fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    fn outputs(&self) -> &[String] {
        &self.outputs
    }

    fn run(
        &mut self,
        inputs: Vec<Vec<i64>>,
        shape: [usize; 2],
        output: usize,
    ) -> Result<Output, RunFault> {
        let mut tensors = Vec::with_capacity(inputs.len());
        for (input, numbers) in self.inputs.iter().zip(inputs) {
            tensors
                .push((input.name.as_str(), Tensor::from_array((shape, numbers)).map_err(failed)?));
        }
        let outputs = self.session.run(tensors).map_err(failed)?;
        let name = self.outputs.get(output).map_or("", String::as_str);
        let fault = |cause| RunFault::Output(format!("{name} {cause}"));
        let value = outputs.get(name).ok_or_else(|| fault("was not given".to_owned()))?;
        let (shape, numbers) = value
            .try_extract_tensor::<f32>()
            .map_err(|_| fault(format!("is {}, and not of 32-bit numbers", value.dtype())))?;
        let shape = shape.iter().map(|&size| usize::try_from(size).unwrap_or_default()).collect();
        Ok(Output { shape, numbers: numbers.to_vec() })
    }
}

fn failed(error: ort::Error) -> RunFault {
    RunFault::Failed(error.to_string())
}

fn input(outlet: &Outlet) -> Input {
    let name = outlet.name().to_owned();
    match outlet.dtype() {
        ValueType::Tensor { ty, shape, .. } => Input {
            name,
            other_numbers: (*ty != TensorElementType::Int64).then(|| ty.to_string()),
            // A dimension that is free is less than nothing.
            shape: shape.iter().map(|&size| usize::try_from(size).ok()).collect(),
        },
        other => Input { name, other_numbers: Some(other.to_string()), shape: Vec::new() },
    }
}
