//! The float network in tract: every tensor that a layer is held against is an output.

use crate::onnx::proto::ModelProto;
use anyhow::{Context as _, anyhow, ensure};
use core::panic::AssertUnwindSafe;
use prost::Message as _;
use std::collections::HashMap;
use std::panic::catch_unwind;
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::infer::Factoid as _;

/// A network that is ready to run.
pub(super) struct Engine {
    model: Arc<TypedRunnableModel>,
    /// Names of the outputs, in order.
    names: Vec<String>,
    shape: Vec<usize>,
    kind: DatumType,
}

impl Engine {
    /// The network with as many of `names` (in the order in which they are computed) as tract can
    /// reach, and notes on what it cannot.
    pub(super) fn new(onnx: &[u8], names: &[&str]) -> (Option<Self>, Vec<String>) {
        let error = match Self::build(onnx, names) {
            Ok(engine) => return (Some(engine), vec![]),
            Err(error) => error,
        };
        // What stands before the node that stops tract can still be had.
        let (mut reached, mut beyond, mut best) = (0, names.len(), None);
        while beyond - reached > 1 {
            let middle = usize::midpoint(reached, beyond);
            match Self::build(onnx, names.get(..middle).unwrap_or_default()) {
                Ok(engine) => (reached, best) = (middle, Some(engine)),
                Err(_) => beyond = middle,
            }
        }
        let why = format!("{error:#}");
        let why = why.split_whitespace().collect::<Vec<_>>().join(" ");
        let why: String = why.chars().take(200).collect();
        let from = names.get(reached).copied().unwrap_or_default();
        let note = format!(
            "tract cannot compute `{from}` ({why}): from there on, float values are of the \
             compiler's own float network"
        );
        (best, vec![note])
    }

    fn build(onnx: &[u8], names: &[&str]) -> anyhow::Result<Self> {
        guarded(|| Self::try_build(onnx, names))
    }

    fn try_build(onnx: &[u8], names: &[&str]) -> anyhow::Result<Self> {
        let (input, shape) = input(onnx)?;
        let mut model = tract_onnx::onnx()
            .with_ignore_output_shapes(true)
            .with_ignore_value_info(true)
            .model_for_read(&mut &*onnx)?;
        let inputs = model.input_outlets()?.to_vec();
        let at = inputs
            .iter()
            .position(|outlet| model.node(outlet.node).name == input)
            .context("tract does not know the input")?;
        let kind = model.input_fact(at)?.datum_type.concretize().unwrap_or(DatumType::F32);
        model.set_input_fact(at, InferenceFact::dt_shape(kind, &shape))?;
        let found: Vec<(String, OutletId)> = names
            .iter()
            .filter_map(|&name| Some((name.to_owned(), model.find_outlet_label(name)?)))
            .collect();
        ensure!(!found.is_empty(), "tract knows none of the tensors by its name");
        model
            .select_output_outlets(&found.iter().map(|(_, outlet)| *outlet).collect::<Vec<_>>())?;
        let model = model.into_typed()?.into_runnable()?;
        Ok(Self { model, names: found.into_iter().map(|(name, _)| name).collect(), shape, kind })
    }

    /// The wanted tensors for one row.
    pub(super) fn run(&self, row: &[f32]) -> anyhow::Result<HashMap<String, Vec<f64>>> {
        guarded(|| {
            let x = Tensor::from_shape(&self.shape, row)?.cast_to_dt(self.kind)?.into_owned();
            let outputs = self.model.run(tvec!(x.into_tvalue()))?;
            let read = |(name, value): (&String, &TValue)| {
                let floats = value.cast_to::<f64>()?;
                Ok((name.clone(), floats.try_as_plain_ram()?.as_slice::<f64>()?.to_vec()))
            };
            self.names.iter().zip(&outputs).map(read).collect()
        })
    }
}

/// An engine that stops in the middle is as good as one that says no.
fn guarded<T>(run: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| Err(anyhow!("it panicked")))
}

/// The input's name and shape: what is not fixed is 1.
fn input(onnx: &[u8]) -> anyhow::Result<(String, Vec<usize>)> {
    let graph = ModelProto::decode(onnx)?.graph.context("no graph")?;
    let constant = |name: &str| graph.initializer.iter().any(|tensor| tensor.name == name);
    let input = graph.input.iter().find(|input| !constant(&input.name)).context("no input")?;
    let shape = input
        .r#type
        .as_ref()
        .and_then(|t| t.tensor_type.as_ref())
        .and_then(|t| t.shape.as_ref())
        .context("no shape")?;
    let dims =
        shape.dim.iter().map(|dim| usize::try_from(dim.dim_value.unwrap_or(0)).unwrap_or(0).max(1));
    Ok((input.name.clone(), dims.collect()))
}
