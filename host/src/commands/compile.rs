//! `minionn compile`.

use super::input;
use crate::compile::report::CompileReport;
use crate::compile::{self, CompileOptions, InputSteps, Output};
use crate::network::{Labels, Network, Port};
use crate::npy;
use crate::onnx::{self, Reading};
use crate::say::{say, write};
use anyhow::{Context as _, ensure};
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Arguments; what the command does stands at [`super::Command`], where clap looks for it.
#[derive(Debug, clap::Args)]
#[command(after_help = "`minionn operators` lists the operators that can be read.\n\n\
    Status: 0; 1 for an error; 3 if the files are written, but the integer model is far from the \
    float network on the calibration rows: a warning says which layer is to blame and what helps.")]
pub struct Args {
    /// The network: an ONNX file, with its weights inside or in files beside it.
    #[arg(value_name = "M.onnx")]
    onnx: PathBuf,
    /// Where to write the model [default: the ONNX file's name with .minionn].
    #[arg(short, long, value_name = "M.minionn")]
    output_file: Option<PathBuf>,
    /// Also write the plan, which clients need.
    #[arg(long, value_name = "M.plan")]
    plan: Option<PathBuf>,
    #[command(flatten)]
    shared: CompileArgs,
    /// Name in the plan, at most 32 bytes [default: the graph's name].
    #[arg(long)]
    name: Option<String>,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

/// The files are written, but the model is not to be used as it is: a status of its own.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Poor(String);

/// The status of a command that ends so, as `compile --help` has it.
pub const POOR: u8 = 3;

/// How to compile.
#[derive(Clone, Debug, clap::Args)]
pub struct CompileArgs {
    /// Typical inputs, one per row: they set the input range and the shifts. For a network of
    /// several inputs NAME=X.npy, once for each, or one array of whole rows.
    #[arg(long, value_name = "[NAME=]X.npy")]
    calibrate: Vec<String>,
    /// Range of the inputs, for example 0,1 or -1,1. Values outside are clamped. Overrides the
    /// range of the calibration rows.
    #[arg(long, value_name = "LO,HI", value_parser = range, allow_hyphen_values = true)]
    input_range: Option<(f32, f32)>,
    /// Whether each feature of a flat input has a step and an offset of its own: auto does so if
    /// one step for all would leave many features with few steps and --input-range is not given.
    #[arg(long, value_enum, value_name = "HOW", default_value_t = InputSteps::Auto)]
    input_steps: InputSteps,
    /// Signed width of the weights, 2 to 12.
    #[arg(long, value_name = "BITS", default_value_t = 8)]
    weight_bits: u8,
    /// Width of inputs and activations, 2 to 16.
    #[arg(long, value_name = "BITS", default_value_t = 8)]
    activation_bits: u8,
    /// A scale for the weights of every output channel, where what follows can take that in.
    #[arg(long)]
    per_channel: bool,
    /// Activations stop at what the calibration rows reach, up to the next power of two: narrower
    /// rings and fewer bytes, but larger values than these are cut off. Without it, they take
    /// more bits.
    #[arg(long, requires = "calibrate")]
    saturate: bool,
    /// Most straight pieces of a curve (sigmoid, tanh, GELU, ...): 1, 2, 4, 8, 16 or 32.
    #[arg(long, value_name = "N", default_value_t = 32)]
    segments: u8,
    /// Largest error of a curve's approximation. Without it, the fewest pieces that are right to
    /// about one step of its result, or the best there are.
    #[arg(long, value_name = "E")]
    max_error: Option<f64>,
    #[command(flatten)]
    reading: ReadingArgs,
    /// What the classes are called, one name on each line; the plan carries them. Without it, what
    /// the network's file says.
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// What inputs are to be, in words, for those who read the plan: "RGB, pixels / 255".
    #[arg(long, value_name = "TEXT")]
    input_note: Option<String>,
    /// What the client learns [default: argmax if the network ends with ArgMax, else logits].
    #[arg(long, value_name = "WHAT")]
    output: Option<Output>,
}

/// What is read of a network file.
#[derive(Clone, Debug, clap::Args)]
pub struct ReadingArgs {
    /// The tensor that is the output [default: the first output that is a score, not a label].
    #[arg(long, value_name = "NAME")]
    output_node: Option<String>,
    /// Shape of an input where the file leaves it open, for example 1,3,224,224. For one of
    /// several inputs NAME=1,3,224,224, once for each.
    #[arg(long, value_name = "[NAME=]SHAPE", value_parser = shape)]
    input_shape: Vec<(Option<String>, Shape)>,
    /// Take a fixed batch above one as one input. Without it, one row of it is the input, if rows
    /// do not depend on each other.
    #[arg(long)]
    keep_batch: bool,
}

/// A shape as an argument.
type Shape = Vec<usize>;

impl ReadingArgs {
    /// For the network at `path`.
    #[must_use]
    pub fn of(&self, path: &Path) -> Reading {
        // A name alone is a file of the current folder.
        let folder = path.parent().filter(|folder| *folder != Path::new(""));
        Reading {
            folder: Some(folder.map_or_else(|| ".".into(), Path::to_owned)),
            output_node: self.output_node.clone(),
            shapes: self.input_shape.clone(),
            keep_batch: self.keep_batch,
        }
    }
}

/// Reads `[NAME=]1,3,224,224`; `x` may stand between numbers, too.
fn shape(text: &str) -> Result<(Option<String>, Shape), String> {
    let (name, dims) = match text.rsplit_once('=') {
        Some((name, dims)) => (Some(name.to_owned()), dims),
        None => (None, text),
    };
    let dims = dims.split([',', 'x']).map(|d| {
        d.trim().parse::<usize>().ok().filter(|&d| d > 0).ok_or_else(|| {
            format!("'{d}' is no size: positive numbers with commas are needed, such as 1,3,8,8")
        })
    });
    Ok((name, dims.collect::<Result<_, _>>()?))
}

impl CompileArgs {
    /// What is read of the network at `path`.
    #[must_use]
    pub fn reading(&self, path: &Path) -> Reading {
        self.reading.of(path)
    }

    fn labels(&self) -> anyhow::Result<Option<Labels>> {
        self.labels.as_deref().map(input::labels).transpose()
    }

    /// The network of the file at `path`, whose bytes are `onnx`. `rows`: files of inputs besides
    /// those of calibration; they say whether a fixed batch is one input.
    ///
    /// # Errors
    /// What cannot be read.
    pub fn network(&self, path: &Path, onnx: &[u8], rows: &[String]) -> anyhow::Result<Network> {
        let files = if self.calibrate.is_empty() { rows } else { &self.calibrate };
        let whole = |network: &Network, batch: usize| {
            let [file] = files else { return false };
            let inputs = &network.signature.inputs;
            input::read(core::slice::from_ref(file), &[], None).is_ok_and(|array| {
                array.columns() == batch.saturating_mul(network.input_len)
                    && array.rows_for(inputs, network.input_len).is_err()
            })
        };
        let network = compile::read(onnx, &self.reading(path), whole);
        network.with_context(|| path.display().to_string())
    }

    /// The options for the network at `path`, and the calibration rows if there are any.
    ///
    /// # Errors
    /// If the rows cannot be read.
    pub fn read(
        &self,
        path: &Path,
        ports: &[Port],
    ) -> anyhow::Result<(CompileOptions, Option<npy::Array>)> {
        let calibrate = (!self.calibrate.is_empty())
            .then(|| input::read(&self.calibrate, ports, None))
            .transpose()?;
        let options = CompileOptions {
            input_range: self.input_range,
            input_steps: self.input_steps,
            weight_bits: self.weight_bits,
            activation_bits: self.activation_bits,
            per_channel: self.per_channel,
            saturate: self.saturate,
            segments: self.segments,
            max_error: self.max_error,
            output: self.output,
            reading: self.reading(path),
            labels: self.labels()?,
            input_note: self.input_note.clone(),
            name: None,
            progress: true,
        };
        Ok((options, calibrate))
    }
}

/// Reads `LO,HI`.
pub(super) fn range(text: &str) -> Result<(f32, f32), String> {
    let (lo, hi) =
        text.split_once(',').ok_or("two numbers with a comma between are needed, such as 0,1")?;
    let number = |s: &str| s.trim().parse::<f32>().map_err(|e| format!("'{s}': {e}"));
    Ok((number(lo)?, number(hi)?))
}

/// Reads a file of at most `max` bytes.
pub(super) fn read(path: &Path, max: usize) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(max as u64 + 1).read_to_end(&mut bytes)?;
    ensure!(bytes.len() <= max, "larger than {max} bytes");
    Ok(bytes)
}

/// No file is written over the network, nor the plan over the model.
fn apart(onnx: &Path, model: &Path, plan: Option<&Path>) -> anyhow::Result<()> {
    // One file may have many names; a name without a file is only its own.
    let file = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    for written in [Some(model), plan].into_iter().flatten() {
        ensure!(
            file(written) != file(onnx),
            "{}: this would be written over the network: name another file",
            written.display()
        );
    }
    ensure!(
        plan.is_none_or(|plan| file(plan) != file(model)),
        "{}: the plan would be written over the model: name another file",
        model.display()
    );
    Ok(())
}

/// Compiles and writes the files.
///
/// # Errors
/// What could not be read, compiled or written.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let model = args.output_file.clone().unwrap_or_else(|| args.onnx.with_extension("minionn"));
    apart(&args.onnx, &model, args.plan.as_deref())?;
    let name = || args.onnx.display().to_string();
    let onnx = read(&args.onnx, onnx::MAX_FILE).with_context(name)?;
    let network = args.shared.network(&args.onnx, &onnx, &[])?;
    drop(onnx);
    let (options, calibrate) = args.shared.read(&args.onnx, &network.signature.inputs)?;
    let options = CompileOptions { name: args.name.clone(), ..options };
    let compiled = compile::network(network, &options, calibrate.as_ref()).with_context(name)?;
    std::fs::write(&model, &compiled.model).with_context(|| model.display().to_string())?;
    if let Some(plan) = &args.plan {
        std::fs::write(plan, &compiled.plan).with_context(|| plan.display().to_string())?;
    }
    if args.json {
        say!("{}", serde_json::to_string_pretty(&compiled.report)?);
    } else {
        let report = CompileReport { warning: None, ..compiled.report.clone() };
        write(format_args!("{report}"));
        say!("written: {}", model.display());
    }
    match compiled.report.warning {
        Some(warning) => Err(Poor(warning).into()),
        None => Ok(()),
    }
}
