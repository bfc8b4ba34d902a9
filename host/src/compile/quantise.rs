//! Scales, shifts and rings.
//!
//! Integers stand for reals: `real ≈ scale · integer`. Weights are symmetric around 0 with one scale for each layer. The only rescaling is the
//! shift of an activation; its floor becomes rounding to nearest by half a step that is added to the biases before it. Shifts follow what
//! calibration rows reach, rings what is proven for every input: beyond the calibrated range a value takes more bits, but never overflows.

use super::bounds::{Bounds, TooWide, width};
use super::segment::{Chain, Entry, Reference, Segment};
use super::{CompileOptions, Error, option};
use crate::network::Linear;
use minionn_core::params::MAX_RING_BITS;
use minionn_core::plan::{Function, Op, Quantisation, tile::Tile};

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

/// Integers of a fully connected layer: `[outputs][inputs]` and `[outputs]`.
#[derive(Clone, Debug, Default)]
pub(super) struct Weights {
    pub(super) weights: Vec<i16>,
    pub(super) biases: Vec<i64>,
}

/// A segment in integers. Tensors: after its entry, after its square, at its end.
#[derive(Clone, Debug)]
pub(super) struct Quantised {
    pub(super) ring: u8,
    pub(super) shift: u8,
    pub(super) entered: Tensor,
    pub(super) squared: Tensor,
    pub(super) end: Tensor,
    pub(super) linear: Option<Weights>,
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
        let layer = segment.linear.as_ref().map(|(name, _)| name).or(segment.square.as_ref());
        let layer = layer.or(segment.entry.as_ref().map(|e| &e.name)).cloned().unwrap_or_else(|| "input".into());
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
        let quantiser = Quantiser { segment, options, symmetric: symmetric(segment, options.weight_bits) };
        let next = match (&segment.entry, all.segments.last_mut()) {
            (Some(entry), Some(before)) => quantiser.behind(entry, before, peak, &mut all.notes)?,
            _ => quantiser.body(start.clone(), 0).map_err(|misfit| misfit.refuse(segment))?,
        };
        all.segments.push(next);
    }
    Ok(all)
}

/// Integer weights and their scale (0 if all are 0), independent of the input's scale.
fn symmetric(segment: &Segment, bits: u8) -> (Vec<i16>, f64) {
    let Some((_, linear)) = &segment.linear else { return (Vec::new(), 0.0) };
    let top = linear.weights.iter().fold(0.0_f32, |top, w| top.max(w.abs()));
    let scale = f64::from(top) / f64::from((1 << (bits - 1)) - 1);
    let integer = |w: &f32| if scale > 0.0 { (f64::from(*w) / scale).round() as i16 } else { 0 };
    (linear.weights.iter().map(integer).collect(), scale)
}

/// One segment on its way.
struct Quantiser<'a> {
    segment: &'a Segment,
    options: &'a CompileOptions,
    /// Integer weights and their scale.
    symmetric: (Vec<i16>, f64),
}

impl Quantiser<'_> {
    /// The segment behind `before`: finds the shift, and adds half a step to the biases of `before`.
    fn behind(&self, entry: &Entry, before: &mut Quantised, peak: Option<f64>, notes: &mut Vec<String>) -> Result<Quantised, Error> {
        let goal = Goal::new(entry.function, before, peak, self.options.activation_bits);
        // Logits need no shift.
        let last = self.segment.square.is_none() && self.segment.linear.is_none();
        let first = if last { 0 } else { goal.shift(before.linear.is_some()) };
        let mut shift = first;
        loop {
            let rounded = before.rounded(shift, self.options.weight_bits);
            let source = rounded.as_ref().map_or(&before.end.bounds, |r| &r.bounds);
            let entered = Tensor { bounds: source.activate(entry.function, shift), scale: before.end.scale * f64::from(shift).exp2() };
            match self.body(entered, shift) {
                Ok(quantised) => {
                    before.commit(rounded);
                    if shift > first {
                        notes.push(format!("{}: {} more bits cut off, so that its square fits into the ring", entry.name, shift - first));
                    }
                    return Ok(quantised);
                }
                // A square grows fast: a coarser value in front of it may be enough.
                Err(_) if self.segment.square.is_some() && (goal.peak >> (shift + 1)) >= MIN_SQUARED => shift += 1,
                Err(misfit) => return Err(misfit.refuse(self.segment)),
            }
        }
    }

    /// Square and fully connected layer on `entered`.
    fn body(&self, entered: Tensor, shift: u8) -> Result<Quantised, Misfit> {
        let squared = match self.segment.square {
            None => entered.clone(),
            Some(_) => Tensor { bounds: entered.bounds.square()?, scale: entered.scale * entered.scale },
        };
        let (end, linear) = match &self.segment.linear {
            None => (squared.clone(), None),
            Some((_, layer)) => {
                let (end, linear) = self.linear(layer, &squared)?;
                (end, Some(linear))
            }
        };
        let ring = entered.bounds.bits().max(squared.bounds.bits()).max(end.bounds.bits());
        let quantised = Quantised { ring, shift, entered, squared, end, linear };
        if quantised.carried(ring, self.options.weight_bits) { Ok(quantised) } else { Err(Misfit::Flooding) }
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
        let bounds = x.bounds.linear(weights, &biases)?;
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
        let (lo, hi) = before.end.bounds.activate(function, 0).extremes();
        let proven = hi.max(-lo);
        // A layer that never fires on the calibration rows says nothing about its range.
        let peak = match peak.map(|p| (p / before.end.scale).ceil()) {
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

/// The end of a segment with half a step added.
struct Rounded {
    half: i64,
    bounds: Bounds,
    ring: u8,
}

impl Quantised {
    /// Whether the lattice carries the fully connected layer, if there is one, in this ring.
    fn carried(&self, ring: u8, weight_bits: u8) -> bool {
        let (inputs, outputs) = (self.squared.bounds.len() as u32, self.end.bounds.len() as u32);
        self.linear.is_none() || Tile::choose(&Op::FullyConnected { ring, weight_bits, inputs, outputs }, 1).is_ok()
    }

    /// Half a step added to the biases; `None` where there are none, or where that would take a ring that is not there.
    fn rounded(&self, shift: u8, weight_bits: u8) -> Option<Rounded> {
        let half = half(shift);
        if half == 0 || self.linear.is_none() {
            return None;
        }
        let bounds = self.end.bounds.plus(half).ok()?;
        let ring = self.ring.max(bounds.bits());
        self.carried(ring, weight_bits).then_some(Rounded { half, bounds, ring })
    }

    fn commit(&mut self, rounded: Option<Rounded>) {
        if let (Some(Rounded { half, bounds, ring }), Some(linear)) = (rounded, &mut self.linear) {
            linear.biases.iter_mut().for_each(|b| *b += half);
            self.end.bounds = bounds;
            self.ring = ring;
        }
    }
}

/// Bits that the integers of a tensor take, signed.
pub(super) fn proven_bits(bounds: &Bounds) -> u32 {
    let (lo, hi) = bounds.extremes();
    width(i128::from(lo), i128::from(hi))
}
