//! A model that is loaded, and what it takes and gives.

use std::fmt;

use ort::environment::Environment;
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::{Outlet, Tensor, TensorElementType, ValueType};

use super::error::OpenModelError;
use super::folder::ModelFolder;
use super::pooling::{self, Pooling};
use super::tokens::Tokens;
use super::{OnnxOptions, OnnxRuntime};

/// Names of outputs that hold the vectors of texts, before those that hold the vectors of tokens; what
/// has none of these names is the first.
const OUTPUTS: [&str; 3] = ["sentence_embedding", "last_hidden_state", "token_embeddings"];

/// What an input of a model takes of each token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Takes {
    /// Its number.
    Ids,
    /// Whether it is one, and no padding.
    Mask,
    /// Of which of two texts it is.
    Kinds,
}

/// What a model takes and gives.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    inputs: Vec<(String, Takes)>,
    output: String,
    /// How many texts it takes at once, if it was exported for so many.
    rows: Option<usize>,
    /// How many tokens of each, if it was exported for so many.
    columns: Option<usize>,
}

impl Layout {
    /// How many tokens of a text the model takes, where so many would be read.
    pub(super) fn tokens_max(&self, wanted: usize) -> usize {
        self.columns.map_or(wanted, |columns| columns.min(wanted))
    }

    /// How many texts go into it together, where so many may.
    pub(super) fn batch_texts(&self, wanted: usize) -> usize {
        self.rows.unwrap_or(wanted)
    }

    fn of(session: &Session, found: &ModelFolder) -> Result<Self, OpenModelError> {
        let no = |cause| found.no_sentence_model(cause);
        let mut layout =
            Self { inputs: Vec::new(), output: String::new(), rows: None, columns: None };
        for input in session.inputs() {
            layout.add_input(input).map_err(no)?;
        }
        if !layout.inputs.iter().any(|(_, takes)| *takes == Takes::Ids) {
            return Err(no("it takes no input_ids".to_owned()));
        }
        let outputs: Vec<&str> = session.outputs().iter().map(Outlet::name).collect();
        let known = OUTPUTS.into_iter().find(|name| outputs.contains(name));
        let output = known.or(outputs.first().copied());
        layout.output = output.ok_or_else(|| no("it gives nothing".to_owned()))?.to_owned();
        Ok(layout)
    }

    fn add_input(&mut self, input: &Outlet) -> Result<(), String> {
        let name = input.name();
        let takes = match name {
            "input_ids" => Takes::Ids,
            "attention_mask" => Takes::Mask,
            "token_type_ids" => Takes::Kinds,
            _ => return Err(format!("it takes {name}")),
        };
        let ValueType::Tensor { ty: TensorElementType::Int64, shape, .. } = input.dtype() else {
            return Err(format!("{name} is {}, and not of 64-bit whole numbers", input.dtype()));
        };
        let [rows, columns] = shape[..] else {
            return Err(format!("{name} has {} dimensions, and not two", shape.len()));
        };
        self.rows = self.rows.or(fixed(rows));
        self.columns = self.columns.or(fixed(columns));
        self.inputs.push((name.to_owned(), takes));
        Ok(())
    }
}

/// A dimension that is not free.
fn fixed(dimension: i64) -> Option<usize> {
    usize::try_from(dimension).ok().filter(|&dimension| dimension > 0)
}

/// Why a run came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum RunFault {
    /// It did not come to its end.
    #[error("{0}")]
    Failed(String),
    /// What it gave is no vector of a text.
    #[error("{0}")]
    Output(String),
}

/// A model that is loaded.
pub(super) struct ModelSession {
    session: Session,
    layout: Layout,
    pooling: Pooling,
}

impl ModelSession {
    pub(super) fn open(
        environment: &Environment,
        found: &ModelFolder,
        options: &OnnxOptions,
    ) -> Result<Self, OpenModelError> {
        let session = load(environment, found, options).map_err(|error| found.unusable(error))?;
        let layout = Layout::of(&session, found)?;
        Ok(Self { session, layout, pooling: found.pooling })
    }

    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The vectors of some texts, each of length one.
    pub(super) fn run(
        &mut self,
        texts: &[&Tokens],
        padding: i64,
    ) -> Result<Vec<Vec<f32>>, RunFault> {
        let Self { session, layout, pooling } = self;
        let rows = layout.rows.unwrap_or(texts.len());
        let longest = texts.iter().map(|tokens| tokens.len()).max().unwrap_or_default();
        let columns = layout.columns.unwrap_or(longest);
        let mut inputs = Vec::with_capacity(layout.inputs.len());
        for (name, takes) in &layout.inputs {
            let numbers = numbers(*takes, texts, rows, columns, padding);
            let tensor = Tensor::from_array(([rows, columns], numbers)).map_err(failed)?;
            inputs.push((name.as_str(), tensor));
        }
        let outputs = session.run(inputs).map_err(failed)?;
        let output = |cause: String| RunFault::Output(format!("{} {cause}", layout.output));
        let value =
            outputs.get(&layout.output).ok_or_else(|| output("was not given".to_owned()))?;
        let (shape, numbers) = value
            .try_extract_tensor::<f32>()
            .map_err(|_| output(format!("is {}, and not of 32-bit numbers", value.dtype())))?;
        let vectors = Vectors::of(shape, numbers, rows, columns).map_err(output)?;
        let vectors = texts.iter().enumerate().map(|(row, tokens)| {
            let vector = vectors.pooled(row, tokens.len(), *pooling);
            pooling::normalised(vector).ok_or_else(|| output("holds what is no number".to_owned()))
        });
        vectors.collect()
    }
}

fn load(
    environment: &Environment,
    found: &ModelFolder,
    options: &OnnxOptions,
) -> ort::Result<Session> {
    let mut builder =
        Session::builder(environment)?.with_optimization_level(GraphOptimizationLevel::All)?;
    if let OnnxRuntime::Library(_) = options.runtime {
        // Threads that spin while they wait would take a core from a house that is idle.
        builder = builder
            .with_intra_threads(options.session_threads.get())?
            .with_inter_threads(1)?
            .with_intra_op_spinning(false)?;
    }
    builder.commit_from_file(&found.model)
}

/// What an input takes of all tokens, row by row. Where a model wants more rows than there are texts,
/// the first text fills them: a row of nothing but padding makes some models divide by nothing.
fn numbers(takes: Takes, texts: &[&Tokens], rows: usize, columns: usize, padding: i64) -> Vec<i64> {
    let mut numbers = Vec::with_capacity(rows * columns);
    for row in 0..rows {
        let tokens = texts.get(row).unwrap_or(&texts[0]);
        let start = numbers.len();
        match takes {
            Takes::Ids => numbers.extend_from_slice(&tokens.ids),
            Takes::Mask => numbers.resize(start + tokens.len(), 1),
            Takes::Kinds => numbers.extend_from_slice(&tokens.kinds),
        }
        numbers.resize(start + columns, if takes == Takes::Ids { padding } else { 0 });
    }
    numbers
}

/// What a model gave.
struct Vectors<'a> {
    numbers: &'a [f32],
    dimensions: usize,
    /// How many vectors each text has; nothing if the model has pooled them.
    columns: Option<usize>,
}

impl<'a> Vectors<'a> {
    fn of(shape: &[i64], numbers: &'a [f32], rows: usize, columns: usize) -> Result<Self, String> {
        let sizes: Vec<usize> = shape.iter().filter_map(|&size| fixed(size)).collect();
        let (dimensions, columns) = match sizes[..] {
            [its_rows, dimensions] if its_rows == rows => (dimensions, None),
            [its_rows, its_columns, dimensions] if (its_rows, its_columns) == (rows, columns) => {
                (dimensions, Some(columns))
            }
            _ => {
                return Err(format!(
                    "has the shape {shape:?} for {rows} texts of {columns} tokens"
                ));
            }
        };
        Ok(Self { numbers, dimensions, columns })
    }

    fn pooled(&self, row: usize, tokens: usize, pooling: Pooling) -> Vec<f32> {
        let each = self.dimensions * self.columns.unwrap_or(1);
        let numbers = &self.numbers[row * each..(row + 1) * each];
        match self.columns {
            None => numbers.to_vec(),
            Some(_) => pooling.pool(numbers, self.dimensions, tokens),
        }
    }
}

fn failed(error: ort::Error) -> RunFault {
    RunFault::Failed(error.to_string())
}

impl fmt::Debug for ModelSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelSession").field("layout", &self.layout).finish_non_exhaustive()
    }
}
