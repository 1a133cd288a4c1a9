//! Models on tract.
//!
//! tract panics on some models that are not as they should be. That must not go beyond the model, so
//! every call into it is caught.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use tract_onnx::prelude::{
    Arc, DatumType, Framework, InferenceModel, InferenceModelExt, IntoRunnable, TDim, TValue, TVec,
    Tensor, TractResult, TypedRunnableModel,
};

use super::{Engine, Input, Output, RunFault};

/// A model; clones share its numbers.
#[derive(Clone)]
pub(super) struct Model {
    plan: Arc<TypedRunnableModel>,
    inputs: Vec<Input>,
    outputs: Vec<String>,
}

impl Model {
    pub(super) fn load(path: &Path) -> Result<Self, String> {
        caught(|| load(path))
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
        let outputs = caught(|| {
            let inputs =
                inputs.iter().map(|numbers| Ok(Tensor::from_shape(&shape, numbers)?.into()));
            self.plan.run(inputs.collect::<TractResult<TVec<TValue>>>()?)
        });
        let outputs = outputs.map_err(RunFault::Failed)?;
        let (Some(value), Some(name)) = (outputs.get(output), self.outputs.get(output)) else {
            return Err(RunFault::Output(format!("output {output} was not given")));
        };
        let numbers = value.to_plain_array_view::<f32>().map_err(|_| {
            let kind = value.datum_type();
            RunFault::Output(format!("{name} is of {kind:?}, and not of 32-bit numbers"))
        })?;
        Ok(Output { shape: value.shape().to_vec(), numbers: numbers.iter().copied().collect() })
    }
}

fn load(path: &Path) -> TractResult<Model> {
    let parsed = tract_onnx::onnx().model_for_path(path)?;
    let names = names(&parsed)?;
    let outputs = parsed.output_outlets()?.iter();
    let outputs = outputs.map(|&outlet| parsed.outlet_label(outlet).unwrap_or_default().to_owned());
    let outputs = outputs.collect();
    let model = parsed.into_optimized()?;
    let mut inputs = Vec::with_capacity(names.len());
    for (at, name) in names.into_iter().enumerate() {
        let fact = model.input_fact(at)?;
        let other_numbers =
            (fact.datum_type != DatumType::I64).then(|| format!("{:?}", fact.datum_type));
        let shape = fact.shape.iter().map(fixed).collect();
        inputs.push(Input { name, other_numbers, shape });
    }
    Ok(Model { plan: model.into_runnable()?, inputs, outputs })
}

/// The size of a dimension, if it is not a symbol.
fn fixed(dimension: &TDim) -> Option<usize> {
    usize::try_from(dimension.to_i64().ok()?).ok()
}

/// The names of a model's inputs, which are lost when it is optimised.
fn names(model: &InferenceModel) -> TractResult<Vec<String>> {
    let inputs = model.input_outlets()?.iter();
    Ok(inputs.map(|outlet| model.node(outlet.node).name.clone()).collect())
}

/// Calls tract; a panic in there becomes an error.
fn caught<T>(call: impl FnOnce() -> TractResult<T>) -> Result<T, String> {
    // A model whose load panicked is gone, and a run keeps nothing of itself in the model.
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(format!("{error:#}")),
        Err(panic) => Err(format!("it panicked: {}", words(panic.as_ref()))),
    }
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let said = panic.downcast_ref::<&str>().copied();
    said.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a word")
}
