//! Scales, shifts and rings.
//!
//! Integers stand for reals: `real ≈ scale · integer`. Weights are symmetric around 0 with one scale for each layer. The only rescaling is the
//! shift of an activation; its floor becomes rounding to nearest by half a step that is added to the biases before it. Shifts follow what
//! calibration rows reach, rings what is proven for every input: beyond the calibrated range a value takes more bits, but never overflows.

use super::bounds::{Bounds, TooWide, width};
use super::segment::{Chain, Entry, Part, Reference, Segment, Work};
use super::{CompileOptions, Error, option};
use crate::network::Linear;
use minionn_core::params::MAX_RING_BITS;
use minionn_core::plan::{Convolution, Function, Op, Quantisation, tile::Tile};

/// Least magnitude that a squared value keeps when its shift is raised to make the ring fit.
const MIN_SQUARED: i64 = 4;

/// The quantised input.
#[derive(Clone, Copy, Debug)]
pub(super) struct Input {
    pub(super) quantisation: Quantisation,
    /// The real range that was declared or seen.
    pub(super) range: (f32, f32),
}

/// A tensor between operations.
#[derive(Clone, Debug)]
pub(super) struct Tensor {
    pub(super) bounds: Bounds,
    pub(super) scale: f64,
}

/// Integers of a linear layer, in the order of [`Linear`].
#[derive(Clone, Debug, Default)]
pub(super) struct Weights {
    pub(super) weights: Vec<i16>,
    pub(super) biases: Vec<i64>,
}

/// What an operation inside a ring makes.
#[derive(Clone, Debug)]
pub(super) struct Done {
    pub(super) tensor: Tensor,
    pub(super) weights: Option<Weights>,
}

/// A segment in integers. Tensors: after its entry, after each of its operations.
#[derive(Clone, Debug)]
pub(super) struct Quantised {
    pub(super) ring: u8,
    pub(super) shift: u8,
    pub(super) entered: Tensor,
    pub(super) done: Vec<Done>,
}

/// The network in integers.
#[derive(Clone, Debug)]
pub(super) struct Integers {
    pub(super) segments: Vec<Quantised>,
    pub(super) notes: Vec<String>,
}

/// Scale and range of the input.
pub(super) fn input(options: &CompileOptions, rows: &[&[f32]]) -> Result<Input, Error> {
    let seen = || rows.iter().copied().flatten().fold((f32::INFINITY, f32::NEG_INFINITY), |(lo, hi), &x| (lo.min(x), hi.max(x)));
    let (lo, hi) = match options.input_range {
        Some(range) => range,
        None if rows.is_empty() => {
            return option(
                "the range of the inputs is not known: give calibration rows (--calibrate X.npy) or a range (--input-range LO,HI)",
            );
        }
        None => seen(),
    };
    let bits = options.activation_bits;
    let (min, max) = if lo >= 0.0 { (0, (1 << bits) - 1) } else { (1 - (1 << (bits - 1)), (1 << (bits - 1)) - 1) };
    let scale = (f64::from(lo.abs().max(hi.abs())) / f64::from(max)) as f32;
    if !(lo.is_finite() && hi.is_finite() && lo <= hi && scale.is_normal()) {
        return option(format!("the input range {lo} to {hi} is not usable: it must be finite, ascending and more than 0 alone"));
    }
    Ok(Input { quantisation: Quantisation { scale, min, max }, range: (lo, hi) })
}

/// Why a segment does not fit.
enum Misfit {
    Wide(u32),
    Flooding,
}

impl From<TooWide> for Misfit {
    fn from(TooWide(bits): TooWide) -> Self {
        Self::Wide(bits)
    }
}

impl Misfit {
    fn refuse(&self, segment: &Segment) -> Error {
        let last = segment.parts.last().map(|p| &p.name).or(segment.entry.as_ref().map(|e| &e.name));
        let layer = last.cloned().unwrap_or_else(|| "input".into());
        let reason = match self {
            Self::Wide(bits) => format!("its integers can take {bits} bits, the widest ring has {MAX_RING_BITS}"),
            Self::Flooding => "no parameters leave 40 bits of noise flooding for its ring and weights".into(),
        };
        Error::Layer {
            layer,
            what: format!("{reason}. Use fewer weight bits (--weight-bits) or fewer activation bits (--activation-bits)"),
        }
    }
}

/// Makes integers of the whole chain.
pub(super) fn quantise(chain: &Chain, input: &Input, options: &CompileOptions, reference: Option<&Reference>) -> Result<Integers, Error> {
    let Quantisation { scale, min, max } = input.quantisation;
    let start = Tensor { bounds: Bounds::same(chain.input_len, i64::from(min), i64::from(max)), scale: f64::from(scale) };
    let mut all = Integers { segments: Vec::new(), notes: Vec::new() };
    for (index, segment) in chain.segments.iter().enumerate() {
        let peak = reference.and_then(|r| r.entry_peaks.get(index)).copied();
        // Logits need no shift.
        let opened = index + 1 == chain.segments.len() && segment.parts.is_empty();
        let quantiser = Quantiser { segment, options, opened, symmetric: symmetric(segment, options.weight_bits) };
        let behind = index.checked_sub(1).and_then(|i| chain.segments.get(i));
        let next = match (&segment.entry, all.segments.last_mut(), behind) {
            (Some(entry), Some(before), Some(behind)) => quantiser.behind(entry, (behind, before), peak, &mut all.notes)?,
            _ => quantiser.body(start.clone(), 0).map_err(|misfit| misfit.refuse(segment))?,
        };
        all.segments.push(next);
    }
    Ok(all)
}

/// Integer weights and their scale (0 if all are 0), independent of the input's scale.
fn symmetric(segment: &Segment, bits: u8) -> (Vec<i16>, f64) {
    let linear = segment.parts.iter().find_map(|p| if let Work::Linear(linear) = &p.work { Some(linear) } else { None });
    let Some(linear) = linear else { return (Vec::new(), 0.0) };
    let top = linear.weights.iter().fold(0.0_f32, |top, w| top.max(w.abs()));
    let scale = f64::from(top) / f64::from((1 << (bits - 1)) - 1);
    let integer = |w: &f32| if scale > 0.0 { (f64::from(*w) / scale).round() as i16 } else { 0 };
    (linear.weights.iter().map(integer).collect(), scale)
}

/// One segment on its way.
struct Quantiser<'a> {
    segment: &'a Segment,
    options: &'a CompileOptions,
    /// Whether nothing stands behind its entry but the output.
    opened: bool,
    /// Integer weights and their scale.
    symmetric: (Vec<i16>, f64),
}

impl Quantiser<'_> {
    /// The next segment after `before`: finds the shift, and adds half a step to the biases of `before`.
    fn behind(
        &self,
        entry: &Entry,
        (behind, before): (&Segment, &mut Quantised),
        peak: Option<f64>,
        notes: &mut Vec<String>,
    ) -> Result<Quantised, Error> {
        let goal = Goal::new(entry.function, before, peak, self.options.activation_bits);
        let first = if self.opened { 0 } else { goal.shift(before.gain(behind).is_some()) };
        let mut shift = first;
        loop {
            let rounded = before.rounded(behind, shift, self.options.weight_bits);
            let end = rounded.as_ref().and_then(|r| r.bounds.last()).unwrap_or(&before.end().bounds).activate(entry.function, shift);
            let bounds = entry.window.as_ref().map_or_else(|| end.clone(), |window| end.max_pool(window));
            let entered = Tensor { bounds, scale: before.end().scale * f64::from(shift).exp2() };
            match self.body(entered, shift) {
                Ok(quantised) => {
                    before.commit(rounded);
                    if shift > first {
                        notes.push(format!("{}: {} more bits cut off, so that its square fits into the ring", entry.name, shift - first));
                    }
                    return Ok(quantised);
                }
                // A square grows fast: a coarser value in front of it may be enough.
                Err(_) if self.segment.has_square() && (goal.peak >> (shift + 1)) >= MIN_SQUARED => shift += 1,
                Err(misfit) => return Err(misfit.refuse(self.segment)),
            }
        }
    }

    /// The operations on `entered`.
    fn body(&self, entered: Tensor, shift: u8) -> Result<Quantised, Misfit> {
        let mut quantised = Quantised { ring: entered.bounds.bits(), shift, entered, done: Vec::new() };
        for part in &self.segment.parts {
            let done = self.part(part, quantised.end())?;
            quantised.ring = quantised.ring.max(done.tensor.bounds.bits());
            quantised.done.push(done);
        }
        if carried(self.segment, quantised.ring, self.options.weight_bits) { Ok(quantised) } else { Err(Misfit::Flooding) }
    }

    fn part(&self, part: &Part, x: &Tensor) -> Result<Done, Misfit> {
        let local = |bounds, scale| Done { tensor: Tensor { bounds, scale }, weights: None };
        Ok(match &part.work {
            Work::Square => local(x.bounds.square()?, x.scale * x.scale),
            Work::Sum(window, divisor) => local(x.bounds.sum_pool(window)?, x.scale / divisor),
            Work::Linear(layer) => {
                let (tensor, weights) = self.linear(layer, x)?;
                Done { tensor, weights: Some(weights) }
            }
        })
    }

    fn linear(&self, layer: &Linear, x: &Tensor) -> Result<(Tensor, Weights), Misfit> {
        let top = layer.biases.iter().fold(0.0_f64, |top, b| top.max(b.abs()));
        let (weights, step) = &self.symmetric;
        let mut scale = x.scale * step;
        if scale == 0.0 {
            // Without weights, the biases alone set the scale.
            scale = if top > 0.0 { top / f64::from(1 << 15) } else { x.scale };
        }
        // Within i64 for certain; the bounds decide about the ring.
        if top / scale >= 62.0_f64.exp2() {
            return Err(Misfit::Wide((top / scale).log2().min(1e4) as u32 + 2));
        }
        let biases: Vec<i64> = layer.biases.iter().map(|b| (b / scale).round() as i64).collect();
        let bounds = x.bounds.linear(&layer.layer, weights, &biases)?;
        Ok((Tensor { bounds, scale }, Weights { weights: weights.clone(), biases }))
    }
}

/// What an activation aims at.
struct Goal {
    /// Largest magnitude before the shift: calibrated, at most the proven one.
    peak: i64,
    /// Largest magnitude after the shift.
    limit: i64,
}

impl Goal {
    fn new(function: Function, before: &Quantised, peak: Option<f64>, bits: u8) -> Self {
        let (lo, hi) = before.end().bounds.activate(function, 0).extremes();
        let proven = hi.max(-lo);
        // A layer that never fires on the calibration rows says nothing about its range.
        let peak = match peak.map(|p| (p / before.end().scale).ceil()) {
            Some(peak) if peak >= 1.0 => (peak as i64).min(proven),
            _ => proven,
        };
        let signed = u8::from(function == Function::Identity);
        Self { peak, limit: (1 << (bits - signed)) - 1 }
    }

    /// The smallest shift that brings the peak down to the limit.
    fn shift(&self, rounded: bool) -> u8 {
        let after = |shift: u8| (self.peak + if rounded { half(shift) } else { 0 }) >> shift;
        (0..MAX_RING_BITS).find(|&shift| after(shift) <= self.limit).unwrap_or(MAX_RING_BITS)
    }
}

/// Half a step of a shift: turns its floor into rounding to nearest.
fn half(shift: u8) -> i64 {
    (1 << shift) >> 1
}

/// A segment with half a step added to its end.
struct Rounded {
    /// What the biases grow by.
    each: i64,
    /// Of each operation.
    bounds: Vec<Bounds>,
    ring: u8,
}

/// Whether the lattice carries the linear layer, if there is one, in this ring.
fn carried(segment: &Segment, ring: u8, weight_bits: u8) -> bool {
    segment.parts.iter().all(|part| match &part.work {
        Work::Linear(Linear { layer, .. }) => Tile::choose(&linear_op(layer, ring, weight_bits), 1).is_ok(),
        _ => true,
    })
}

/// The operation of a linear layer.
pub(super) fn linear_op(layer: &Convolution, ring: u8, weight_bits: u8) -> Op {
    let ([inputs, ..], outputs) = (layer.input, layer.outputs);
    if *layer == Convolution::fully_connected(inputs, outputs) {
        Op::FullyConnected { ring, weight_bits, inputs, outputs }
    } else {
        Op::Convolution { ring, weight_bits, layer: *layer }
    }
}

impl Quantised {
    /// The last tensor.
    pub(super) fn end(&self) -> &Tensor {
        self.done.last().map_or(&self.entered, |done| &done.tensor)
    }

    /// How much the biases of `segment` raise its end: by nothing that can be said where there are none, or where sums are cut by padding.
    fn gain(&self, segment: &Segment) -> Option<i64> {
        let mut gain = None;
        for part in &segment.parts {
            gain = match &part.work {
                Work::Linear(_) => Some(1),
                Work::Sum(window, _) if window.pads == [0; 4] => gain.map(|gain: i64| gain.saturating_mul(window.window_len() as i64)),
                _ => None,
            };
        }
        gain
    }

    /// Half a step added through the biases of `segment`; `None` where that does not work or would take a ring that is not there.
    fn rounded(&self, segment: &Segment, shift: u8, weight_bits: u8) -> Option<Rounded> {
        let each = half(shift) / self.gain(segment)?;
        if each == 0 {
            return None;
        }
        let (mut bounds, mut ring, mut raise) = (Vec::new(), self.ring, 0);
        for (part, done) in segment.parts.iter().zip(&self.done) {
            raise = match &part.work {
                Work::Linear(_) => each,
                Work::Sum(window, _) => raise * window.window_len() as i64,
                Work::Square => 0,
            };
            let raised = done.tensor.bounds.plus(raise).ok()?;
            ring = ring.max(raised.bits());
            bounds.push(raised);
        }
        carried(segment, ring, weight_bits).then_some(Rounded { each, bounds, ring })
    }

    fn commit(&mut self, rounded: Option<Rounded>) {
        let Some(Rounded { each, bounds, ring }) = rounded else { return };
        for (done, bounds) in self.done.iter_mut().zip(bounds) {
            done.weights.iter_mut().flat_map(|w| &mut w.biases).for_each(|b| *b += each);
            done.tensor.bounds = bounds;
        }
        self.ring = ring;
    }
}

/// Bits that the integers of a tensor take, signed.
pub(super) fn proven_bits(bounds: &Bounds) -> u32 {
    let (lo, hi) = bounds.extremes();
    width(i128::from(lo), i128::from(hi))
}
