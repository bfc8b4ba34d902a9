//! The compiler: a float network becomes integers with proven bounds, hence rings, hence a plan and
//! a model.
//!
//! | module | what it is |
//! |---|---|
//! | `graph` | the float network made ready; what it reaches on the calibration rows |
//! | `bounds` | interval arithmetic |
//! | `curves` | sigmoid, tanh and their kin as straight pieces |
//! | `features` | inputs whose parts have steps of their own |
//! | `quantise` | scales, shifts, rings |
//! | `circuits`, `chains`, `arithmetic` | of what is non-linear, spelled out, linear |
//! | `emit` | plan and model bytes, and how far the integer model is from the float one |
//! | [`report`] | what was decided, for people and as JSON |

mod arithmetic;
mod bounds;
mod chains;
mod circuits;
mod curves;
mod emit;
mod features;
mod graph;
mod quantise;
pub mod report;

#[cfg(feature = "command")]
pub(crate) use emit::first_largest;

use crate::network::{Labels, Network};
use crate::npy::{self, Array};
use crate::onnx;
use minionn_core::params::MAX_WEIGHT_BITS;
use report::CompileReport;

/// Most bits of inputs and activations: integers up to here are exact in `f32`.
pub const MAX_ACTIVATION_BITS: u8 = 16;

/// What the client learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "command", derive(clap::ValueEnum))]
pub enum Output {
    /// Every output of the last layer.
    Logits,
    /// The index of the largest output, and nothing else.
    Argmax,
}

/// Whether parts of the input have steps of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "command", derive(clap::ValueEnum))]
pub enum InputSteps {
    /// Each feature its own, if one for all would leave many of them with few steps and no range
    /// is declared.
    #[default]
    Auto,
    /// One for all.
    One,
    /// Each feature its own.
    Each,
}

/// How to compile.
#[derive(Clone, Debug, PartialEq)]
pub struct CompileOptions {
    /// Range of the inputs; without it, that of the calibration data.
    pub input_range: Option<(f32, f32)>,
    /// Whether features have steps of their own.
    pub input_steps: InputSteps,
    /// Signed width of weights: 2 to 12.
    pub weight_bits: u8,
    /// Width of inputs and activations: 2 to 16. Signed where negative values occur.
    pub activation_bits: u8,
    /// A scale for the weights of every output channel, where what follows can take that in; else
    /// one for each layer.
    pub per_channel: bool,
    /// Activations stop at what the calibration rows reach, up to the next power of two, instead
    /// of keeping what is proven: narrower rings.
    pub saturate: bool,
    /// Most straight pieces of a curve: a power of two, 1 to 32.
    pub segments: u8,
    /// Largest error of a curve's approximation; without it, about one step of the result.
    pub max_error: Option<f64>,
    /// What the client learns; without it, the index if the network ends with ArgMax, else the
    /// logits.
    pub output: Option<Output>,
    /// What is read of the file, and which files beside it.
    pub reading: onnx::Reading,
    /// What the classes are called; without it, what the file says.
    pub labels: Option<Labels>,
    /// What inputs are to be, in words, for the plan: such as their normalisation.
    pub input_note: Option<String>,
    /// Name in the plan, at most 32 bytes; without it, the graph's own.
    pub name: Option<String>,
    /// Show progress on standard error; needs the feature `command`.
    pub progress: bool,
}

impl Default for CompileOptions {
    fn default() -> Self {
        Self {
            input_range: None,
            input_steps: InputSteps::Auto,
            weight_bits: 8,
            activation_bits: 8,
            per_channel: false,
            saturate: false,
            segments: 32,
            max_error: None,
            output: None,
            reading: onnx::Reading::default(),
            labels: None,
            input_note: None,
            name: None,
            progress: false,
        }
    }
}

/// What the compiler makes.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// The model with its plan: the server's secret.
    pub model: Vec<u8>,
    /// The plan: public.
    pub plan: Vec<u8>,
    /// What was decided.
    pub report: CompileReport,
    /// Where the layers' integers are, in the order of the report.
    pub layers: Vec<LayerMap>,
    /// The float network that the integers stand for.
    pub float: Float,
}

/// The float network as the compiler prepared it: constants folded, circuits joined.
#[derive(Clone, Debug)]
pub struct Float {
    graph: graph::Graph,
    features: Option<features::Features>,
}

impl Float {
    /// Every tensor for one row, the input first; [`LayerMap::tensor`] says which one a layer
    /// stands for.
    #[must_use]
    pub fn evaluate(&self, row: &[f32]) -> Vec<Vec<f64>> {
        match &self.features {
            Some(features) => self.graph.evaluate(&features.scaled(row)),
            None => self.graph.evaluate(row),
        }
    }

    /// What its file says of inputs and outputs.
    #[cfg(feature = "command")]
    pub(crate) const fn signature(&self) -> &crate::network::Signature {
        &self.graph.signature
    }

    /// The tensor of the logits.
    #[must_use]
    pub const fn output(&self) -> usize {
        self.graph.output
    }

    /// The name in the ONNX file of a tensor with the same elements in the same order.
    #[must_use]
    pub fn name(&self, tensor: usize) -> Option<&str> {
        self.graph.names.get(tensor)?.as_deref()
    }
}

/// Which integers of [`minionn_core::model::Model::evaluate`]'s scratch stand for which tensor of
/// the float network.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerMap {
    /// The layer's name.
    pub name: String,
    /// The tensor of the prepared network.
    pub tensor: usize,
    /// Whether it is a step on the way to that tensor, with other numbers: no float tensor has
    /// these.
    pub inside: bool,
    /// The name in the ONNX file of a tensor with the same elements in the same order as the float
    /// one.
    pub onnx: Option<String>,
    /// Where its integers are.
    pub elements: core::ops::Range<usize>,
    /// Real value of one step.
    pub scale: f64,
    /// What that is multiplied by in each of equal parts; empty: nothing.
    pub ratios: Vec<f64>,
    /// Ring of the integers.
    pub ring: u8,
}

impl LayerMap {
    /// The real numbers that the integers of `scratch` stand for.
    pub fn reals(&self, scratch: &[u64]) -> impl Iterator<Item = f64> {
        let ring = minionn_core::ring::Modulus::Bits(self.ring);
        let each = (self.elements.len() / self.ratios.len().max(1)).max(1);
        let integers = scratch.get(self.elements.clone()).unwrap_or_default();
        integers.iter().enumerate().map(move |(i, &x)| {
            ring.to_signed(x) as f64 * self.scale * self.ratios.get(i / each).unwrap_or(&1.0)
        })
    }
}

/// Why a network cannot be compiled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be read.
    #[error(transparent)]
    Onnx(#[from] onnx::Error),
    /// The calibration data have another shape than the input.
    #[error("calibration data: {0}")]
    Calibration(npy::Error),
    /// An option or the data are not usable.
    #[error("{0}")]
    Option(String),
    /// A layer does not fit.
    #[error("layer {layer}: {what}")]
    Layer {
        /// Its name.
        layer: String,
        /// What does not fit, and what helps.
        what: String,
    },
    /// The core refuses the result.
    #[error("the compiled plan is refused, a fault of this compiler: please report it ({0})")]
    Core(minionn_core::Error),
}

// Their texts are part of the error's own, so they are no sources: a chain would repeat them.
impl From<npy::Error> for Error {
    fn from(error: npy::Error) -> Self {
        Self::Calibration(error)
    }
}

impl From<minionn_core::Error> for Error {
    fn from(error: minionn_core::Error) -> Self {
        Self::Core(error)
    }
}

fn option<T>(what: impl Into<String>) -> Result<T, Error> {
    Err(Error::Option(what.into()))
}

/// Compiles an ONNX file. `calibrate`: rows of inputs, which set the input range (unless the
/// options do) and the shifts.
///
/// # Errors
/// [`Error`] with the node, layer or option that stands in the way.
pub fn compile(
    onnx_bytes: &[u8],
    options: &CompileOptions,
    calibrate: Option<&Array>,
) -> Result<Compiled, Error> {
    check(options)?;
    let whole = |network: &Network, batch: usize| {
        calibrate.is_some_and(|array| {
            array.columns() == batch.saturating_mul(network.input_len)
                && array.rows_for(&network.signature.inputs, network.input_len).is_err()
        })
    };
    network(read(onnx_bytes, &options.reading, whole)?, options, calibrate)
}

/// Reads a network. Where its fixed batch became one row, but `whole` says that the rows at hand
/// are of the batch as a whole, that is the input.
pub(crate) fn read(
    onnx_bytes: &[u8],
    reading: &onnx::Reading,
    whole: impl FnOnce(&Network, usize) -> bool,
) -> Result<Network, Error> {
    let network = onnx::read(onnx_bytes, reading)?;
    match network.signature.batch {
        Some(batch) if whole(&network, batch) => {
            let reading = onnx::Reading { keep_batch: true, ..reading.clone() };
            Ok(onnx::read(onnx_bytes, &reading)?)
        }
        _ => Ok(network),
    }
}

/// Compiles a network that has been read already.
///
/// # Errors
/// As [`compile`].
pub fn network(
    network: Network,
    options: &CompileOptions,
    calibrate: Option<&Array>,
) -> Result<Compiled, Error> {
    let ports = &network.signature.inputs;
    let rows = calibrate.map(|array| array.rows_for(ports, network.input_len)).transpose()?;
    let rows: Vec<&[f32]> = rows.into_iter().flatten().collect();
    if calibrate.is_some() && rows.is_empty() {
        return option("the calibration data have no rows");
    }
    with_rows(network, options, &rows)
}

/// As [`compile`]; no rows are no calibration.
pub(crate) fn compile_rows(
    onnx_bytes: &[u8],
    options: &CompileOptions,
    rows: &[&[f32]],
) -> Result<Compiled, Error> {
    check(options)?;
    let whole = |network: &Network, batch: usize| {
        let len = batch.saturating_mul(network.input_len);
        !rows.is_empty() && rows.iter().all(|row| row.len() == len)
    };
    let network = read(onnx_bytes, &options.reading, whole)?;
    let need = network.input_len;
    if let Some((i, row)) = rows.iter().enumerate().find(|(_, row)| row.len() != need) {
        let got = format!("row {i} of {} numbers", row.len());
        return Err(npy::Error::Shape { need, got }.into());
    }
    with_rows(network, options, rows)
}

fn with_rows(
    network: Network,
    options: &CompileOptions,
    rows: &[&[f32]],
) -> Result<Compiled, Error> {
    check(options)?;
    check_rows(rows)?;
    let outputs = network.output_len;
    if let Some(labels) = &options.labels
        && labels.len() != outputs
        && (labels.len(), outputs) != (2, 1)
    {
        return option(format!("{} labels are given for {outputs} outputs", labels.len()));
    }
    let features = features(&network, options, rows)?;
    let scaled: Vec<Vec<f32>> =
        features.iter().flat_map(|f| rows.iter().map(|row| f.scaled(row))).collect();
    let scaled: Vec<&[f32]> = scaled.iter().map(Vec::as_slice).collect();
    let input = quantise::input(options, rows, features)?;
    let (network, rows) = match &input.features {
        Some(features) => (features::network(network, features), &scaled[..]),
        None => (network, rows),
    };
    let mut graph = graph::Graph::new(network)?;
    let sampled = sampled(rows);
    if sampled.len() < rows.len() {
        graph.notes.push(format!(
            "calibrated on {} of the {} rows, evenly spaced; the input range is that of all",
            sampled.len(),
            rows.len()
        ));
    }
    let rows = &sampled[..];
    let reference = graph.reference(rows, options.progress);
    let integers = quantise::quantise(&graph, &input, options, reference.as_ref())?;
    emit::emit(graph, &input, integers, options, rows, reference.as_ref())
}

/// Most rows that the network is run on: more of them hardly change what it reaches.
const MAX_ROWS: usize = 1024;

/// Rows to calibrate on: all, or as many as help, evenly spaced.
fn sampled<'r>(rows: &[&'r [f32]]) -> Vec<&'r [f32]> {
    let take = rows.len().min(MAX_ROWS);
    (0..take).filter_map(|i| rows.get(i * rows.len() / take).copied()).collect()
}

/// Steps of their own for the features, if they are to have them.
fn features(
    network: &Network,
    options: &CompileOptions,
    rows: &[&[f32]],
) -> Result<Option<features::Features>, Error> {
    let always = options.input_steps == InputSteps::Each;
    if options.input_steps == InputSteps::One || options.input_range.is_some() && !always {
        return Ok(None);
    }
    let most = (1 << (features::bits(options.activation_bits) - 1)) - 1;
    let found = features::choose(&network.signature.inputs, network.input_len, rows, most, always);
    if always && found.is_none() {
        return option(
            "steps for each feature need calibration rows, two at least, and at most 2048 \
             features (--calibrate X.npy)",
        );
    }
    Ok(found)
}

fn check(options: &CompileOptions) -> Result<(), Error> {
    if !(2..=MAX_WEIGHT_BITS).contains(&options.weight_bits) {
        return option(format!("weight bits must be 2 to {MAX_WEIGHT_BITS}"));
    }
    if !(2..=MAX_ACTIVATION_BITS).contains(&options.activation_bits) {
        return option(format!("activation bits must be 2 to {MAX_ACTIVATION_BITS}"));
    }
    if !options.segments.is_power_of_two() || options.segments > 32 {
        return option("segments must be a power of two, 1 to 32");
    }
    if options.max_error.is_some_and(|e| !(e > 0.0 && e.is_finite())) {
        return option("the largest error must be a positive number");
    }
    if options.name.as_ref().is_some_and(|name| name.len() > 32) {
        return option("the name is longer than 32 bytes");
    }
    Ok(())
}

fn check_rows(rows: &[&[f32]]) -> Result<(), Error> {
    let bad = rows
        .iter()
        .enumerate()
        .find_map(|(i, row)| Some((i, row.iter().position(|x| !x.is_finite())?)));
    bad.map_or(Ok(()), |(i, j)| {
        option(format!("calibration data: row {i}, column {j} is not a finite number"))
    })
}
