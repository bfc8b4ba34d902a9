//! `minionn compile`.

use crate::compile::{self, CompileOptions, Output};
use crate::{npy, onnx};
use anyhow::{Context as _, ensure};
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Arguments; what the command does stands at [`super::Command`], where clap looks for it.
#[derive(Debug, clap::Args)]
#[command(after_help = "`minionn operators` lists the operators that can be read.")]
pub struct Args {
    /// The network: an ONNX file with its weights inside.
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

/// How to compile.
#[derive(Clone, Debug, clap::Args)]
pub struct CompileArgs {
    /// Typical inputs, one per row: they set the input range and the shifts.
    #[arg(long, value_name = "X.npy")]
    calibrate: Option<PathBuf>,
    /// Range of the inputs, for example 0,1 or -1,1. Values outside are clamped. Overrides the
    /// range of the calibration rows.
    #[arg(long, value_name = "LO,HI", value_parser = range, allow_hyphen_values = true)]
    input_range: Option<(f32, f32)>,
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
    /// What the client learns [default: argmax if the network ends with ArgMax, else logits].
    #[arg(long, value_name = "WHAT")]
    output: Option<Output>,
}

impl CompileArgs {
    /// The options, and the calibration rows if there are any.
    ///
    /// # Errors
    /// If the rows cannot be read.
    pub fn read(&self) -> anyhow::Result<(CompileOptions, Option<npy::Array>)> {
        let calibrate = self
            .calibrate
            .as_ref()
            .map(|path| npy::read(path).with_context(|| path.display().to_string()))
            .transpose()?;
        let options = CompileOptions {
            input_range: self.input_range,
            weight_bits: self.weight_bits,
            activation_bits: self.activation_bits,
            per_channel: self.per_channel,
            saturate: self.saturate,
            segments: self.segments,
            max_error: self.max_error,
            output: self.output,
            name: None,
            progress: true,
        };
        Ok((options, calibrate))
    }
}

/// Reads `LO,HI`.
fn range(text: &str) -> Result<(f32, f32), String> {
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
    let onnx = read(&args.onnx, onnx::MAX_FILE).with_context(|| args.onnx.display().to_string())?;
    let (options, calibrate) = args.shared.read()?;
    let options = CompileOptions { name: args.name.clone(), ..options };
    let compiled = compile::compile(&onnx, &options, calibrate.as_ref())
        .with_context(|| args.onnx.display().to_string())?;
    std::fs::write(&model, &compiled.model).with_context(|| model.display().to_string())?;
    if let Some(plan) = &args.plan {
        std::fs::write(plan, &compiled.plan).with_context(|| plan.display().to_string())?;
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&compiled.report)?);
    } else {
        print!("{}", compiled.report);
        println!("written: {}", model.display());
    }
    Ok(())
}
