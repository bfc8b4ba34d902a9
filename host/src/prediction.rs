//! What a client learns.

use minionn_core::plan::Plan;
use serde::Serialize;

/// What a client learns from one input, and what the integer model gives for it in the clear: the
/// same, bit for bit.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Prediction {
    /// Real logits; `None` for a plan that reveals the class only ([`crate::Output::Argmax`]).
    pub logits: Option<Vec<f64>>,
    /// Index of the largest output, the first one on a tie. For a plan that reveals the class only,
    /// both parties compute it together and the client learns nothing else; otherwise the client
    /// takes it from the logits.
    #[serde(rename = "argmax")]
    pub class: usize,
}

impl Prediction {
    /// From the opened integers, which an argmax plan does not have, and the index of the largest.
    pub(crate) fn of(plan: &Plan<'_>, integers: &[i64], class: usize) -> Self {
        let scale = f64::from(plan.header().output_scale);
        let logits =
            (!plan.is_argmax()).then(|| integers.iter().map(|&y| y as f64 * scale).collect());
        Self { logits, class }
    }
}
