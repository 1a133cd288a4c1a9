//! A model that is loaded, and how it is asked for the vectors of texts.

use std::fmt;

use super::error::OpenModelError;
use super::folder::ModelFolder;
use super::pooling::{self, Pooling};
use super::runtime::{Engine, Input, Output, RunFault};
use super::tokens::Tokens;

/// Names of outputs that hold the vectors of texts, before those that hold the vectors of tokens; of a
/// model with none of these names it is the first.
const OUTPUTS: [&str; 3] = ["sentence_embedding", "last_hidden_state", "token_embeddings"];

/// How many texts a model may take at once that was exported for a fixed number of them, and how many
/// tokens of each: all of them are always made up.
const FIXED_ROWS_MAX: usize = 1_024;
const FIXED_COLUMNS_MAX: usize = 1 << 16;

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
    inputs: Vec<Takes>,
    output: usize,
    output_name: String,
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

    fn of(engine: &dyn Engine) -> Result<Self, String> {
        let outputs = engine.outputs();
        let known =
            OUTPUTS.iter().find_map(|name| outputs.iter().position(|output| output == name));
        let output = known.unwrap_or_default();
        let output_name = outputs.get(output).ok_or("it gives nothing")?.clone();
        let mut layout =
            Self { inputs: Vec::new(), output, output_name, rows: None, columns: None };
        for input in engine.inputs() {
            layout.add_input(input)?;
        }
        if layout.inputs.contains(&Takes::Ids) {
            Ok(layout)
        } else {
            Err("it takes no input_ids".to_owned())
        }
    }

    fn add_input(&mut self, input: &Input) -> Result<(), String> {
        let name = &input.name;
        let takes = match name.as_str() {
            "input_ids" => Takes::Ids,
            "attention_mask" => Takes::Mask,
            "token_type_ids" => Takes::Kinds,
            _ => return Err(format!("it takes {name}")),
        };
        if let Some(numbers) = &input.other_numbers {
            return Err(format!("{name} is of {numbers}, and not of 64-bit whole numbers"));
        }
        let [rows, columns] = input.shape[..] else {
            return Err(format!("{name} has {} dimensions, and not two", input.shape.len()));
        };
        if rows > Some(FIXED_ROWS_MAX) || columns > Some(FIXED_COLUMNS_MAX) {
            return Err(format!(
                "{name} is fixed at the shape {:?}, more than {FIXED_ROWS_MAX} by {FIXED_COLUMNS_MAX}",
                input.shape
            ));
        }
        self.rows = self.rows.or(rows.filter(|&rows| rows > 0));
        self.columns = self.columns.or(columns.filter(|&columns| columns > 0));
        self.inputs.push(takes);
        Ok(())
    }
}

/// A model that is loaded.
pub(super) struct ModelSession {
    engine: Box<dyn Engine>,
    layout: Layout,
    pooling: Pooling,
}

impl ModelSession {
    pub(super) fn new(
        engine: Box<dyn Engine>,
        found: &ModelFolder,
    ) -> Result<Self, OpenModelError> {
        let layout = Layout::of(&*engine).map_err(|cause| found.no_sentence_model(cause))?;
        Ok(Self { engine, layout, pooling: found.pooling })
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
        let Self { engine, layout, pooling } = self;
        let rows = layout.rows.unwrap_or(texts.len());
        let longest = texts.iter().map(|tokens| tokens.len()).max().unwrap_or_default();
        let columns = layout.columns.unwrap_or(longest);
        let inputs = layout.inputs.iter();
        let inputs = inputs.map(|takes| numbers(*takes, texts, rows, columns, padding)).collect();
        let output = engine.run(inputs, [rows, columns], layout.output)?;
        let fault = |cause: String| RunFault::Output(format!("{} {cause}", layout.output_name));
        let vectors = Vectors::of(&output, rows, columns).map_err(fault)?;
        let vectors = texts.iter().enumerate().map(|(row, tokens)| {
            let vector = vectors.pooled(row, tokens.len(), *pooling);
            pooling::normalised(vector).ok_or_else(|| fault("holds what is no number".to_owned()))
        });
        vectors.collect()
    }
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

/// What a model gave, text by text.
struct Vectors<'a> {
    numbers: &'a [f32],
    dimensions: usize,
    /// How many vectors each text has; nothing if the model has pooled them.
    columns: Option<usize>,
}

impl<'a> Vectors<'a> {
    fn of(output: &'a Output, rows: usize, columns: usize) -> Result<Self, String> {
        let shape = &output.shape;
        let (dimensions, its_columns) = match shape[..] {
            [its_rows, dimensions] if its_rows == rows => (dimensions, None),
            [its_rows, its_columns, dimensions] if (its_rows, its_columns) == (rows, columns) => {
                (dimensions, Some(columns))
            }
            _ => (0, None),
        };
        if dimensions == 0 {
            return Err(format!("has the shape {shape:?} for {rows} texts of {columns} tokens"));
        }
        Ok(Self { numbers: &output.numbers, dimensions, columns: its_columns })
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

impl fmt::Debug for ModelSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelSession").field("layout", &self.layout).finish_non_exhaustive()
    }
}
