//! Layers grouped by the ring that they share.
//!
//! Only an activation or a maximum changes the ring. Between two of them stand sums over windows, at most one square and then at most one
//! linear layer, all in one ring: a segment. Where a chain offers no activation in between, one that only truncates is put in.

use super::{Error, progress};
use crate::network::{Layer, Linear, Network, max_pool, sum_pool};
use minionn_core::plan::{Convolution, Function};

/// What happens to the previous segment's output first: the maximum and the function commute.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) function: Function,
    /// The window whose maximum is taken.
    pub(super) window: Option<Convolution>,
}

/// An operation inside a ring.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Part {
    pub(super) name: String,
    pub(super) work: Work,
}

/// What an operation inside a ring does.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Work {
    Square,
    /// Sums over windows, to be divided by a number.
    Sum(Convolution, f64),
    Linear(Linear),
}

/// A segment: entry (none for the input), operations in its ring.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Segment {
    pub(super) entry: Option<Entry>,
    pub(super) parts: Vec<Part>,
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
    /// For each segment: the largest absolute value after each of its operations.
    pub(super) part_peaks: Vec<Vec<f64>>,
    /// The logits of each row.
    pub(super) logits: Vec<Vec<f64>>,
}

impl Segment {
    pub(super) fn has_linear(&self) -> bool {
        self.parts.iter().any(|p| matches!(p.work, Work::Linear(_)))
    }

    pub(super) fn has_square(&self) -> bool {
        self.parts.iter().any(|p| p.work == Work::Square)
    }

    /// Whether its end is never negative: sums keep that.
    fn is_positive(&self) -> bool {
        !self.has_linear() && (self.has_square() || self.entry.as_ref().is_some_and(|e| e.function == Function::Relu))
    }

    /// Its entry, if nothing stands behind it yet.
    fn open_entry(&mut self) -> Option<&mut Entry> {
        self.entry.as_mut().filter(|_| self.parts.is_empty())
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
                Layer::MaxPool(window) => chain.max_pool(step.name, window),
                Layer::SumPool(window, divisor) => chain.push(step.name, Work::Sum(window, divisor)),
            }
        }
        Ok(chain)
    }

    fn enter(&mut self, name: String, function: Function, window: Option<Convolution>) {
        self.segments.push(Segment { entry: Some(Entry { name, function, window }), ..Segment::default() });
    }

    fn push(&mut self, name: String, work: Work) {
        self.last().parts.push(Part { name, work });
    }

    /// The segment that is being filled.
    #[expect(clippy::indexing_slicing, reason = "there is always one")]
    fn last(&mut self) -> &mut Segment {
        let last = self.segments.len() - 1;
        &mut self.segments[last]
    }

    fn linear(&mut self, name: String, linear: Linear) {
        if let Some(Part { name: before, work: Work::Linear(first) }) = self.last().parts.last_mut()
            && worth_folding(first, &linear)
        {
            let note = format!("{before} and {name} folded into one layer");
            *first = product(&linear, first);
            *before = format!("{before}+{name}");
            self.notes.push(note);
            return;
        }
        if self.last().has_linear() {
            self.enter(format!("before {name}"), Function::Identity, None);
        }
        self.push(name, Work::Linear(linear));
    }

    fn relu(&mut self, name: String) {
        if self.last().is_positive() {
            self.notes.push(format!("{name} dropped: its input is never negative"));
        } else if let Some(entry) = self.last().open_entry() {
            entry.function = Function::Relu;
            entry.name = format!("{}+{name}", entry.name);
        } else {
            self.enter(name, Function::Relu, None);
        }
    }

    fn max_pool(&mut self, name: String, window: Convolution) {
        match self.last().open_entry() {
            Some(entry) if entry.window.is_none() => {
                entry.window = Some(window);
                entry.name = format!("{}+{name}", entry.name);
            }
            _ => self.enter(name, Function::Identity, Some(window)),
        }
    }

    fn square(&mut self, name: String) {
        if !self.last().parts.is_empty() {
            self.enter(format!("before {name}"), Function::Identity, None);
        }
        self.push(name, Work::Square);
    }

    /// Evaluates the float network; `None` without rows.
    pub(super) fn reference(&self, rows: &[&[f32]], show: bool) -> Option<Reference> {
        if rows.is_empty() {
            return None;
        }
        let mut reference = Reference {
            entry_peaks: vec![0.0; self.segments.len()],
            part_peaks: self.segments.iter().map(|s| vec![0.0; s.parts.len()]).collect(),
            logits: Vec::with_capacity(rows.len()),
        };
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
        let peaks = reference.entry_peaks.iter_mut().zip(&mut reference.part_peaks);
        for (segment, (entered, peaks)) in self.segments.iter().zip(peaks) {
            if let Some(window) = segment.entry.as_ref().and_then(|e| e.window) {
                x = max_pool(&window, &x);
            }
            if segment.entry.as_ref().is_some_and(|e| e.function == Function::Relu) {
                x.iter_mut().for_each(|x| *x = x.max(0.0));
            }
            raise(entered, &x);
            for (part, peak) in segment.parts.iter().zip(peaks) {
                x = part.work.apply(x);
                raise(peak, &x);
            }
        }
        x
    }
}

impl Work {
    fn apply(&self, mut x: Vec<f64>) -> Vec<f64> {
        match self {
            Self::Square => {
                x.iter_mut().for_each(|x| *x *= *x);
                x
            }
            Self::Sum(window, divisor) => sum_pool(window, &x).into_iter().map(|x| x / divisor).collect(),
            Self::Linear(linear) => linear.apply(&x),
        }
    }
}

fn raise(peak: &mut f64, x: &[f64]) {
    *peak = x.iter().fold(*peak, |peak, x| peak.max(x.abs()));
}

/// Most products that folding two layers may take.
const MAX_FOLDING: u128 = 1 << 33;

/// Whether both are fully connected, and one layer has no more weights than the two that it replaces.
fn worth_folding(first: &Linear, second: &Linear) -> bool {
    let [i, m, o] = [first.inputs(), second.inputs(), second.outputs()].map(|n| n as u128);
    first.is_dense() && second.is_dense() && i * o <= i * m + m * o && i * m * o <= MAX_FOLDING
}

/// `second ∘ first`.
fn product(second: &Linear, first: &Linear) -> Linear {
    let biases = second.apply(&first.biases);
    let mut weights = Vec::with_capacity(first.inputs() * second.outputs());
    for (row, _) in second.rows() {
        let mut sums = vec![0.0; first.inputs()];
        for (&a, (inner, _)) in row.iter().zip(first.rows()) {
            for (sum, &w) in sums.iter_mut().zip(inner) {
                *sum += f64::from(a) * f64::from(w);
            }
        }
        weights.extend(sums.iter().map(|&s| s as f32));
    }
    Linear::fully_connected(first.layer.input[0], second.layer.outputs, weights, biases)
}
