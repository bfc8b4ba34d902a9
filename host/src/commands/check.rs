//! `minionn check`.

use super::compile::{CompileArgs, read};
use super::input;
use crate::check::{Settings, check};
use crate::compile::{self, CompileOptions};
use crate::say::say;
use crate::{npy, onnx};
use anyhow::{Context as _, ensure};
use std::path::PathBuf;

/// Rows that are run privately unless another number is asked for.
const PRIVATE_ROWS: usize = 4;

/// Arguments; what the command does stands at [`super::Command`], where clap looks for it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The network: an ONNX file with its weights inside.
    #[arg(value_name = "M.onnx")]
    onnx: PathBuf,
    /// Inputs, one per row; for a network of several inputs NAME=X.npy, once for each.
    #[arg(long, value_name = "[NAME=]X.npy", required = true)]
    input: Vec<String>,
    /// How many of them [default: 4, with --no-private all].
    #[arg(long, value_name = "N")]
    rows: Option<usize>,
    /// How far a layer may be off, as a part of its largest value.
    #[arg(long, value_name = "PART", default_value_t = 0.05)]
    tolerance: f64,
    /// Compare floats and integers only.
    #[arg(long)]
    no_private: bool,
    /// Also fail if float network and integer model give different answers.
    #[arg(long)]
    strict: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    compile: CompileArgs,
}

/// Compiles, checks and prints.
///
/// # Errors
/// What could not be read, compiled or run; and if private values differ from the integer model.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let name = || args.onnx.display().to_string();
    let onnx = read(&args.onnx, onnx::MAX_FILE).with_context(name)?;
    let network = args.compile.network(&args.onnx, &onnx, &args.input)?;
    let ports = network.signature.inputs.clone();
    let inputs = input::read(&args.input, &ports, None)?;
    let (options, calibrate) = args.compile.read(&args.onnx, &ports)?;
    let options = CompileOptions { progress: !args.json, ..options };
    let own = calibrate.is_none() && options.input_range.is_none();
    let calibrate = calibrate.or_else(|| own.then(|| inputs.clone()));
    let compiled = compile::network(network, &options, calibrate.as_ref()).with_context(name)?;
    let most = args.rows.unwrap_or(if args.no_private { usize::MAX } else { PRIVATE_ROWS });
    let rows = head(&inputs, compiled.report.input.len, most)?;
    let settings = Settings {
        tolerance: args.tolerance,
        private: !args.no_private,
        progress: !args.json,
        ..Settings::default()
    };
    quiet();
    let mut report = check(&onnx, &compiled, &rows, &settings).with_context(name)?;
    if own {
        let note = "calibrated on the rows of --input; with --calibrate, rows are checked that the \
                    compiler has not seen";
        report.notes.push(note.into());
    }
    if args.json {
        say!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        say!("{}: {} rows\n\n{report}", report.name, report.answers.rows);
    }
    ensure!(report.private_equal(), "a private value differs from the integer model");
    ensure!(
        !args.strict || report.answers_agree(),
        "float network and integer model give different answers"
    );
    Ok(())
}

/// What tract says when it stops in the middle becomes a note of the report.
fn quiet() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !info.location().is_some_and(|at| {
            ["tract-", "smallvec-", "ndarray-"].iter().any(|of| at.file().contains(of))
        }) {
            before(info);
        }
    }));
}

/// The first `most` rows.
fn head(inputs: &npy::Array, len: usize, most: usize) -> anyhow::Result<npy::Array> {
    let rows: Vec<f32> = inputs.rows_of(len)?.take(most).flatten().copied().collect();
    ensure!(!rows.is_empty(), "no rows to check");
    npy::Array::new(&[rows.len() / len.max(1), len], rows).context("no rows to check")
}
