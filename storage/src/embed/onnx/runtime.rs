//! What runs the models of this process.
//!
//! `ort` keeps one table of functions and one environment for a whole process, and the first who sets
//! them decides for all. This is the one place that sets them; it remembers what was set, so that a
//! second choice becomes an error and not a surprise (decision 60).

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ort::environment::Environment;
use ort::logging::LogLevel;
use parking_lot::Mutex;

use super::error::OpenModelError;

/// What runs models. The first model that is opened decides for the whole process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum OnnxRuntime {
    /// tract, which is part of genii.
    #[default]
    Tract,
    /// ONNX Runtime, from a `libonnxruntime.so` of version 1.24 or later: faster, and knows every
    /// operator. The library's code runs in this process, so it must be one that can be trusted.
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

/// What has become of the choice.
struct Choice {
    made: Option<(OnnxRuntime, Environment)>,
    /// Why a library could not be loaded. Once that has failed, `ort` takes the place where it keeps
    /// the library for filled and would call into nothing, so it is never asked for one again.
    spoilt: Option<String>,
}

static CHOICE: Mutex<Choice> = Mutex::new(Choice { made: None, spoilt: None });

/// The environment of a runtime, which begins at the first call and lasts as long as the process.
pub(super) fn environment(wanted: &OnnxRuntime) -> Result<Environment, OpenModelError> {
    let fault = |cause| OpenModelError::Runtime { runtime: wanted.to_string(), cause };
    let real = real(wanted).map_err(fault)?;
    let mut choice = CHOICE.lock();
    if let Some((runtime, environment)) = &choice.made {
        if *runtime == real {
            return Ok(environment.clone());
        }
        let (in_use, wanted) = (runtime.to_string(), real.to_string());
        return Err(OpenModelError::AnotherRuntime { in_use, wanted });
    }
    let environment = match &real {
        OnnxRuntime::Tract => begin_tract(),
        OnnxRuntime::Library(path) => match &choice.spoilt {
            Some(cause) => Err(cause.clone()),
            None => begin_library(path).inspect_err(|cause| choice.spoilt = Some(cause.clone())),
        },
    };
    let environment = environment.map_err(fault)?;
    choice.made = Some((real, environment.clone()));
    Ok(environment)
}

/// A runtime by the real path of its library, so that one library is one choice. That it is there is
/// looked at here, where it costs nothing that cannot be tried again.
fn real(runtime: &OnnxRuntime) -> Result<OnnxRuntime, String> {
    let OnnxRuntime::Library(path) = runtime else {
        return Ok(OnnxRuntime::Tract);
    };
    let real = path.canonicalize().map_err(|error| error.to_string())?;
    if real.is_file() { Ok(OnnxRuntime::Library(real)) } else { Err("it is no file".to_owned()) }
}

fn begin_tract() -> Result<Environment, String> {
    if !ort::set_api(ort_tract::api()) {
        return Err("other code of this process has set another runtime".to_owned());
    }
    ort::init().with_name("genii").build().map_err(|error| error.to_string())
}

fn begin_library(path: &Path) -> Result<Environment, String> {
    let builder = ort::init_from(path).map_err(|error| error.to_string())?;
    let environment = builder
        .with_name("genii")
        .with_telemetry(false)
        .with_logger(Arc::new(log))
        .build()
        .map_err(|error| error.to_string())?;
    environment.set_log_level(LogLevel::Warning);
    tracing::info!(library = %path.display(), "models run on ONNX Runtime");
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
