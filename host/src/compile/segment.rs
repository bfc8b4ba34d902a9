//! Layers grouped by the ring that they share.
//!
//! Only an activation changes the ring. Between two activations stand at most a square and then a fully connected layer, all in one ring:
//! a segment. Where a chain offers no activation in between, one that only truncates is put in.

use super::{Error, progress};
use crate::network::{Layer, Linear, Network};
use minionn_core::plan::Function;

/// What happens to the previous segment's output first.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) function: Function,
}

/// A segment: entry (none for the input), square, fully connected layer.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Segment {
    pub(super) entry: Option<Entry>,
    pub(super) square: Option<String>,
    pub(super) linear: Option<(String, Linear)>,
}

/// A network as segments.
#[derive(Clone, Debug)]
pub(super) struct Chain {
    pub(super) name: String,
    pub(super) input_len: usize,
    pub(super) output_len: usize,
    pub(super) argmax: bool,
    pub(super) segments: Vec<Segment>,
    pub(super) notes: Vec<String>,
}

/// The float network on the calibration rows.
#[derive(Clone, Debug)]
pub(super) struct Reference {
    /// For each segment: the largest absolute value after its entry.
    pub(super) entry_peaks: Vec<f64>,
    /// For each segment: the largest absolute value after its square.
    pub(super) square_peaks: Vec<f64>,
    /// For each segment: the largest absolute value at its end.
    pub(super) end_peaks: Vec<f64>,
    /// The logits of each row.
    pub(super) logits: Vec<Vec<f64>>,
}

impl Segment {
    fn is_empty(&self) -> bool {
        self.square.is_none() && self.linear.is_none()
    }
}

impl Chain {
    pub(super) fn new(network: Network) -> Result<Self, Error> {
        let Network { name, input_len, output_len, steps, argmax, notes } = network;
        if steps.is_empty() {
            return super::option("the network has no layer to compute");
        }
        let mut chain = Self { name, input_len, output_len, argmax, segments: vec![Segment::default()], notes };
        for step in steps {
            match step.layer {
                Layer::Linear(linear) => chain.linear(step.name, linear),
                Layer::Relu => chain.relu(step.name),
                Layer::Square => chain.square(step.name),
            }
        }
        Ok(chain)
    }

    fn enter(&mut self, name: String, function: Function) -> &mut Segment {
        self.segments.push(Segment { entry: Some(Entry { name, function }), ..Segment::default() });
        self.last()
    }

    /// The segment that is being filled.
    #[expect(clippy::indexing_slicing, reason = "there is always one")]
    fn last(&mut self) -> &mut Segment {
        let last = self.segments.len() - 1;
        &mut self.segments[last]
    }

    fn linear(&mut self, name: String, linear: Linear) {
        match &mut self.last().linear {
            None => self.last().linear = Some((name, linear)),
            Some((before, first)) if worth_folding(first, &linear) => {
                let note = format!("{before} and {name} folded into one layer");
                *first = product(&linear, first);
                *before = format!("{before}+{name}");
                self.notes.push(note);
            }
            Some(_) => {
                let entry = format!("before {name}");
                self.enter(entry, Function::Identity).linear = Some((name, linear));
            }
        }
    }

    fn relu(&mut self, name: String) {
        let last = self.last();
        let already = last.is_empty() && last.entry.as_ref().is_some_and(|e| e.function == Function::Relu);
        if already || (last.square.is_some() && last.linear.is_none()) {
            self.notes.push(format!("{name} dropped: its input is never negative"));
        } else {
            self.enter(name, Function::Relu);
        }
    }

    fn square(&mut self, name: String) {
        if self.last().is_empty() {
            self.last().square = Some(name);
        } else {
            let entry = format!("before {name}");
            self.enter(entry, Function::Identity).square = Some(name);
        }
    }

    /// Evaluates the float network; `None` without rows.
    pub(super) fn reference(&self, rows: &[&[f32]], show: bool) -> Option<Reference> {
        if rows.is_empty() {
            return None;
        }
        let zeros = vec![0.0; self.segments.len()];
        let mut reference =
            Reference { entry_peaks: zeros.clone(), square_peaks: zeros.clone(), end_peaks: zeros, logits: Vec::with_capacity(rows.len()) };
        let bar = progress(show, rows.len(), "float network");
        for row in rows {
            let logits = self.evaluate(row.iter().map(|&x| f64::from(x)).collect(), &mut reference);
            reference.logits.push(logits);
            bar.inc(1);
        }
        bar.finish_and_clear();
        Some(reference)
    }

    fn evaluate(&self, mut x: Vec<f64>, reference: &mut Reference) -> Vec<f64> {
        let peaks = reference.entry_peaks.iter_mut().zip(&mut reference.square_peaks).zip(&mut reference.end_peaks);
        for (segment, ((entry, square), end)) in self.segments.iter().zip(peaks) {
            if segment.entry.as_ref().is_some_and(|e| e.function == Function::Relu) {
                x.iter_mut().for_each(|x| *x = x.max(0.0));
            }
            raise(entry, &x);
            if segment.square.is_some() {
                x.iter_mut().for_each(|x| *x *= *x);
            }
            raise(square, &x);
            if let Some((_, linear)) = &segment.linear {
                x = linear.apply(&x);
            }
            raise(end, &x);
        }
        x
    }
}

fn raise(peak: &mut f64, x: &[f64]) {
    *peak = x.iter().fold(*peak, |peak, x| peak.max(x.abs()));
}

/// Most products that folding two layers may take.
const MAX_FOLDING: u128 = 1 << 33;

/// Whether one layer has no more weights than the two that it replaces.
fn worth_folding(first: &Linear, second: &Linear) -> bool {
    let [i, m, o] = [first.inputs, second.inputs, second.outputs].map(|n| n as u128);
    i * o <= i * m + m * o && i * m * o <= MAX_FOLDING
}

/// `second ∘ first`.
fn product(second: &Linear, first: &Linear) -> Linear {
    let biases = second.apply(&first.biases);
    let mut weights = Vec::with_capacity(first.inputs * second.outputs);
    for (row, _) in second.rows() {
        let mut sums = vec![0.0; first.inputs];
        for (&a, (inner, _)) in row.iter().zip(first.rows()) {
            for (sum, &w) in sums.iter_mut().zip(inner) {
                *sum += f64::from(a) * f64::from(w);
            }
        }
        weights.extend(sums.iter().map(|&s| s as f32));
    }
    Linear { inputs: first.inputs, outputs: second.outputs, weights, biases }
}
