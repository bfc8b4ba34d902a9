//! Predictions and what is to be said about their inputs, for people and as JSON.

use super::compile::range;
use super::files::Pixels;
use crate::clamp::{self, Clamped};
use crate::network::{Head, Labels};
use crate::npy::Array;
use crate::say::say;
use crate::{Plan, Prediction};
use anyhow::{bail, ensure};
use serde::Serialize;
use std::path::PathBuf;

/// How predictions are shown, and which inputs are refused.
#[derive(Clone, Debug, clap::Args)]
pub struct ShowArgs {
    /// What the classes are called, one name on each line; without it, what the plan says.
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Give probabilities, too: what the Softmax that stood behind the logits makes of them.
    #[arg(long)]
    softmax: bool,
    /// Refuse inputs with values outside of the model's range, instead of moving these to its ends.
    #[arg(long)]
    strict: bool,
    /// What black and white of an image become, such as 0,1 or -1,1 [default: the model's input
    /// range, if it is 0,255 or one of these].
    #[arg(long, value_name = "LO,HI", value_parser = range, allow_hyphen_values = true)]
    pixels: Option<(f32, f32)>,
}

impl ShowArgs {
    /// What images become for this model.
    pub(super) fn pixels(&self, plan: &Plan) -> Pixels {
        Pixels { range: self.pixels, model: plan.input_range() }
    }
}

/// A prediction with what is made of it here.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Shown {
    #[serde(flatten)]
    prediction: Prediction,
    #[serde(skip_serializing_if = "Option::is_none")]
    probabilities: Option<Vec<f64>>,
}

/// The inputs are held against the plan: says on standard error what is clamped, or refuses it.
pub(super) fn clamped(args: &ShowArgs, plan: &Plan, inputs: &Array) -> anyhow::Result<Clamped> {
    let rows = inputs.rows_for(&plan.described().signature.inputs, plan.input_len())?;
    let total = rows.len() * plan.input_len();
    let found = clamp::all(plan.core(), rows);
    let Some([row, column]) = found.at else { return Ok(found) };
    let [lo, hi] = plan.range_of(column).unwrap_or_default();
    let text = format!(
        "{} of {total} input values, in {} rows, are outside of the model's input range and are \
         clamped: the farthest by {:.4} ({:.0} % of the range {lo} to {hi}; row {row}, number \
         {column}). Are they scaled as the calibration rows were?",
        found.values,
        found.rows,
        found.farthest,
        100.0 * found.part
    );
    ensure!(!args.strict, "{text}");
    eprintln!("warning: {text}");
    Ok(found)
}

/// Names and probabilities, as they are asked for.
pub(super) fn shown(
    args: &ShowArgs,
    plan: &Plan,
    predictions: Vec<Prediction>,
) -> anyhow::Result<Vec<Shown>> {
    let own = args.labels.as_deref().map(super::input::labels).transpose()?;
    if let Some(labels) = &own {
        let outputs = plan.output_len();
        ensure!(
            labels.len() == outputs || (labels.len(), outputs) == (2, 1),
            "{} labels are given for {outputs} outputs",
            labels.len()
        );
    }
    let head = match (args.softmax, plan.described().signature.head) {
        (false, _) => None,
        (true, Some(head)) => Some(head),
        (true, None) => bail!(
            "--softmax: no Softmax was dropped behind this model's outputs, so there are no \
             probabilities to make of them"
        ),
    };
    let one = |mut prediction: Prediction| {
        if let Some(labels) = &own {
            prediction.name_by(Some(labels), plan.described().signature.threshold);
        }
        let Some(head) = head else { return Ok(Shown { prediction, probabilities: None }) };
        let Some(logits) = &prediction.logits else {
            bail!("--softmax: this model gives the index of the largest output only")
        };
        let probabilities = softmax(logits, head);
        Ok(Shown { prediction, probabilities: Some(probabilities) })
    };
    predictions.into_iter().map(one).collect()
}

/// What a head makes of logits.
fn softmax(logits: &[f64], head: Head) -> Vec<f64> {
    let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logits.iter().map(|x| (x - most).exp()).sum();
    let one = |x: &f64| match head {
        Head::Softmax => (x - most).exp() / sum,
        Head::LogSoftmax => x - most - sum.ln(),
    };
    logits.iter().map(one).collect()
}

/// Most names of classes in a line.
const NAMED: usize = 32;

/// Prints predictions for people, one in a line, below the names of the classes where there are
/// any.
pub(super) fn print(args: &ShowArgs, plan: &Plan, shown: &[Shown]) -> anyhow::Result<()> {
    let own = args.labels.as_deref().map(super::input::labels).transpose()?;
    let labels = own.as_ref().or_else(|| plan.labels());
    let values = shown.iter().any(|s| s.prediction.logits.is_some());
    if let Some(labels) = labels.filter(|labels| values && labels.len() <= NAMED) {
        let names = match labels {
            Labels::Numbers(all) => all.iter().map(i64::to_string).collect::<Vec<_>>(),
            Labels::Words(all) => all.clone(),
        };
        if names.len() == plan.output_len() {
            say!("row: class | {}", names.join(" "));
        }
    }
    for (i, Shown { prediction, probabilities }) in shown.iter().enumerate() {
        let numbers = probabilities.as_ref().or(prediction.logits.as_ref());
        let numbers: Vec<String> =
            numbers.into_iter().flatten().map(|x| format!("{x:.4}")).collect();
        match &prediction.label {
            Some(label) => say!("{i}: {label} | {}", numbers.join(" ")),
            None => say!("{i}: {} {}", prediction.class, numbers.join(" ")),
        }
    }
    Ok(())
}
