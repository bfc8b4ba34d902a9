//! `minionn plain`.

use super::input;
use super::shown::{self, ShowArgs, Shown};
use crate::clamp::Clamped;
use crate::say::say;
use crate::{Model, c_header};
use anyhow::Context as _;
use serde::Serialize;
use std::path::PathBuf;

/// Arguments; what the command does stands at [`super::Command`], where clap looks for it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A model written by `minionn compile`.
    #[arg(value_name = "M.minionn")]
    model: PathBuf,
    /// Inputs, one per row: a NumPy array, a table of numbers as text (CSV), a PNG or JPEG image,
    /// or `-` for standard input; for a model of several inputs NAME=FILE, once for each. Values
    /// outside the model's input range are clamped.
    #[arg(long, value_name = "[NAME=]FILE", required = true)]
    input: Vec<String>,
    #[command(flatten)]
    show: ShowArgs,
    /// Write the inputs and the answers, as integers, to a C header instead: what firmware can be
    /// tested with.
    #[arg(long, value_name = "FILE.h", conflicts_with = "json")]
    c_header: Option<PathBuf>,
    /// With --c-header: only the first rows.
    #[arg(long, value_name = "N", requires = "c_header")]
    rows: Option<usize>,
    /// Print JSON: {"predictions":[{"logits":[...],"argmax":i,"label":...}],"clamped":{...}};
    /// logits are null for a model that gives the index only, labels are there if the classes have
    /// names.
    #[arg(long)]
    json: bool,
}

/// All predictions.
#[derive(Serialize)]
struct Predictions {
    predictions: Vec<Shown>,
    clamped: Clamped,
}

/// Reads, runs and prints.
///
/// # Errors
/// What could not be read or run.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let model = Model::open(&args.model)?;
    let ports = &model.plan().described().signature.inputs;
    let inputs = input::read(&args.input, ports, Some(args.show.pixels(model.plan())))?;
    let name = || args.input.join(" ");
    let rows = inputs.rows_for(ports, model.plan().input_len()).with_context(name)?;
    let clamped = shown::clamped(&args.show, model.plan(), &inputs)?;
    if let Some(path) = &args.c_header {
        let rows = rows.take(args.rows.unwrap_or(usize::MAX));
        let answers = model.answers(rows).with_context(name)?;
        let text = c_header::samples(path, model.plan().core(), &answers)?;
        return std::fs::write(path, text).with_context(|| path.display().to_string());
    }
    let predictions = model.predict_plain_batch(rows).with_context(name)?;
    let predictions = shown::shown(&args.show, model.plan(), predictions)?;
    if args.json {
        say!("{}", serde_json::to_string(&Predictions { predictions, clamped })?);
        return Ok(());
    }
    shown::print(&args.show, model.plan(), &predictions)
}
