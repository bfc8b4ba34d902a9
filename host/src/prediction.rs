//! What a client learns.

use crate::network::Labels;
use core::fmt;
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
    /// What the plan calls that class, or, of one output and two names, the one that it says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<Label>,
}

/// The name of a class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Label {
    /// A number.
    Number(i64),
    /// A word.
    Word(String),
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Word(word) => word.fmt(f),
        }
    }
}

impl Label {
    /// The name at place `i`.
    #[must_use]
    pub fn of(labels: &Labels, i: usize) -> Option<Self> {
        match labels {
            Labels::Numbers(all) => all.get(i).copied().map(Self::Number),
            Labels::Words(all) => all.get(i).cloned().map(Self::Word),
        }
    }
}

impl Prediction {
    /// From the opened integers, which an argmax plan does not have, and the index of the largest.
    pub(crate) fn of(plan: &Plan<'_>, integers: &[i64], class: usize) -> Self {
        let scale = f64::from(plan.header().output_scale);
        let logits =
            (!plan.is_argmax()).then(|| integers.iter().map(|&y| y as f64 * scale).collect());
        Self { logits, class, label: None }
    }

    /// Names the class; of one output, what is above the threshold is the second of two.
    pub(crate) fn name_by(&mut self, labels: Option<&Labels>, threshold: f64) {
        let named = match self.logits.as_deref() {
            Some([one]) => usize::from(*one > threshold),
            _ => self.class,
        };
        self.label = labels.and_then(|labels| Label::of(labels, named));
    }
}
