//! `minionn plain`.

use crate::{Model, Prediction, c_header, npy};
use anyhow::Context as _;
use serde::Serialize;
use std::path::PathBuf;

/// Arguments; what the command does stands at [`super::Command`], where clap looks for it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A model written by `minionn compile`.
    #[arg(value_name = "M.minionn")]
    model: PathBuf,
    /// Inputs, one per row. Values outside the model's input range are clamped.
    #[arg(long, value_name = "X.npy")]
    input: PathBuf,
    /// Write the inputs and the answers, as integers, to a C header instead: what firmware can be
    /// tested with.
    #[arg(long, value_name = "FILE.h", conflicts_with = "json")]
    c_header: Option<PathBuf>,
    /// With --c-header: only the first rows.
    #[arg(long, value_name = "N", requires = "c_header")]
    rows: Option<usize>,
    /// Print JSON: {"predictions":[{"logits":[...],"argmax":i}]}; logits are null for a model that
    /// gives the index only.
    #[arg(long)]
    json: bool,
}

/// All predictions.
#[derive(Serialize)]
struct Predictions {
    predictions: Vec<Prediction>,
}

/// Reads, runs and prints.
///
/// # Errors
/// What could not be read or run.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let model = Model::open(&args.model)?;
    let name = || args.input.display().to_string();
    let inputs = npy::read(&args.input).with_context(name)?;
    let rows = inputs.rows_of(model.plan().input_len()).with_context(name)?;
    if let Some(path) = &args.c_header {
        let rows = rows.take(args.rows.unwrap_or(usize::MAX));
        let answers = model.answers(rows).with_context(name)?;
        let text = c_header::samples(path, model.plan().core(), &answers)?;
        return std::fs::write(path, text).with_context(|| path.display().to_string());
    }
    let predictions = model.predict_plain_batch(rows).with_context(name)?;
    if args.json {
        println!("{}", serde_json::to_string(&Predictions { predictions })?);
    } else {
        super::print(&predictions);
    }
    Ok(())
}
