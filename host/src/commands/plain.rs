//! `minionn plain`.

use crate::{c_header, npy};
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

/// What the integer model gives for one input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The input, quantised.
    pub input: Vec<i64>,
    /// The outputs; empty if the plan gives the index only.
    pub integers: Vec<i64>,
    /// Index of the largest output, the first one on a tie.
    pub argmax: usize,
}

/// Runs a model on every row.
///
/// # Errors
/// If a row does not fit the model or holds something that is not a number.
pub fn answers<'a>(
    model: &Model<'_>,
    rows: impl Iterator<Item = &'a [f32]>,
) -> anyhow::Result<Vec<Answer>> {
    let header = model.plan().header();
    let mut scratch = vec![0; Model::scratch_len(model.plan())];
    let mut out = vec![0; header.output_len as usize];
    let mut answers = Vec::new();
    for (i, row) in rows.enumerate() {
        let x: Result<Vec<i64>, _> = row.iter().map(|&x| header.input.quantise(x)).collect();
        let x = x.with_context(|| format!("row {i}"))?;
        let argmax = model.evaluate(&x, &mut scratch, &mut out)?;
        let integers = if model.plan().is_argmax() { Vec::new() } else { out.clone() };
        answers.push(Answer { input: x, integers, argmax });
    }
    Ok(answers)
}

/// As [`answers`] of every row, in real units.
///
/// # Errors
/// If the array does not fit the model or holds something that is not a number.
pub fn evaluate(model: &Model<'_>, inputs: &npy::Array) -> anyhow::Result<Predictions> {
    let header = model.plan().header();
    let scale = f64::from(header.output_scale);
    let real = |Answer { integers, argmax, .. }| {
        let logits = (!model.plan().is_argmax())
            .then(|| integers.iter().map(|&y| y as f64 * scale).collect());
        Prediction { logits, argmax }
    };
    Ok(Predictions {
        predictions: answers(model, inputs.rows_of(header.input_len as usize)?)?
            .into_iter()
            .map(real)
            .collect(),
    })
}

/// Reads, runs and prints.
///
/// # Errors
/// What could not be read or run.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let bytes = std::fs::read(&args.model).with_context(|| args.model.display().to_string())?;
    let model = Model::parse(&bytes).with_context(|| args.model.display().to_string())?;
    let inputs = npy::read(&args.input).with_context(|| args.input.display().to_string())?;
    if let Some(path) = &args.c_header {
        let rows = inputs
            .rows_of(model.plan().header().input_len as usize)?
            .take(args.rows.unwrap_or(usize::MAX));
        let answers = answers(&model, rows).with_context(|| args.input.display().to_string())?;
        let text = c_header::samples(path, model.plan(), &answers)?;
        return std::fs::write(path, text).with_context(|| path.display().to_string());
    }
    let result = evaluate(&model, &inputs).with_context(|| args.input.display().to_string())?;
    if args.json {
        println!("{}", serde_json::to_string(&result)?);
        return Ok(());
    }
    for (i, prediction) in result.predictions.iter().enumerate() {
        let logits: Vec<String> =
            prediction.logits.iter().flatten().map(|x| format!("{x:.4}")).collect();
        println!("{i}: {} {}", prediction.argmax, logits.join(" "));
    }
    Ok(())
}
