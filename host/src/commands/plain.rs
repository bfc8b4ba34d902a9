//! `minionn plain`.

use crate::npy;
use anyhow::Context as _;
use minionn_core::model::Model;
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
    /// Print JSON: {"predictions":[{"logits":[...],"argmax":i}]}; logits are null for a model that gives the index only.
    #[arg(long)]
    json: bool,
}

/// What a client learns from one input.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Prediction {
    /// Real logits; `None` if the plan gives the index only.
    pub logits: Option<Vec<f64>>,
    /// Index of the largest output, the first one on a tie.
    pub argmax: usize,
}

/// All predictions.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Predictions {
    /// One for each row.
    pub predictions: Vec<Prediction>,
}

/// Runs a model on every row.
///
/// # Errors
/// If the array does not fit the model or holds something that is not a number.
pub fn evaluate(model: &Model<'_>, inputs: &npy::Array) -> anyhow::Result<Predictions> {
    let header = model.plan().header();
    let scale = f64::from(header.output_scale);
    let mut scratch = vec![0; Model::scratch_len(model.plan())];
    let mut out = vec![0; header.output_len as usize];
    let mut predictions = Vec::new();
    for (i, row) in inputs.rows_of(header.input_len as usize)?.enumerate() {
        let x: Result<Vec<i64>, _> = row.iter().map(|&x| header.input.quantise(x)).collect();
        let x = x.with_context(|| format!("row {i}"))?;
        let argmax = model.evaluate(&x, &mut scratch, &mut out)?;
        let logits = (!model.plan().is_argmax()).then(|| out.iter().map(|&y| y as f64 * scale).collect());
        predictions.push(Prediction { logits, argmax });
    }
    Ok(Predictions { predictions })
}

/// Reads, runs and prints.
///
/// # Errors
/// What could not be read or run.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let bytes = std::fs::read(&args.model).with_context(|| args.model.display().to_string())?;
    let model = Model::parse(&bytes).with_context(|| args.model.display().to_string())?;
    let inputs = npy::read(&args.input).with_context(|| args.input.display().to_string())?;
    let result = evaluate(&model, &inputs).with_context(|| args.input.display().to_string())?;
    if args.json {
        println!("{}", serde_json::to_string(&result)?);
        return Ok(());
    }
    for (i, prediction) in result.predictions.iter().enumerate() {
        let logits: Vec<String> = prediction.logits.iter().flatten().map(|x| format!("{x:.4}")).collect();
        println!("{i}: {} {}", prediction.argmax, logits.join(" "));
    }
    Ok(())
}
