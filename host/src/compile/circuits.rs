//! What is garbled: truncation, activations, maxima, curves.

use super::Error;
use super::bounds::Bounds;
use super::curves::{self, TooCoarse, Wanted};
use super::quantise::{At, Fault, Kind, Lowering, Operation, Tensor};
use crate::network::{Activation, Curve, TensorId};
use minionn_core::params::MAX_RING_BITS;
use minionn_core::plan::{Convolution, Function, View};

/// Stands for none of the float tensors: its range is the proven one.
const NO_TENSOR: TensorId = usize::MAX;

impl Lowering<'_> {
    /// A circuit.
    pub(super) fn garbled(
        &mut self,
        at: At<'_>,
        activation: Option<Activation>,
        window: Option<Convolution>,
    ) -> Result<usize, Fault> {
        match activation {
            None => self.truncating(at, Function::Identity, window),
            Some(Activation::Relu) => self.truncating(at, Function::Relu, window),
            Some(Activation::Leaky(slope)) => {
                let (multiplier, bits) = slope_of(slope);
                self.truncating(at, Function::Leaky { multiplier, bits }, window)
            }
            Some(Activation::Clip { lo, hi }) => self.clip(at, lo, hi),
            Some(Activation::Curve(curve)) => self.curve(at, curve),
            Some(Activation::Step) => self.step(at),
            Some(Activation::Chain(chain)) => self.chain(at, &chain),
        }
    }

    /// A function that keeps the scale, but for the shift that brings the calibrated peak down to
    /// the width of activations.
    fn truncating(
        &mut self,
        at: At<'_>,
        function: Function,
        window: Option<Convolution>,
    ) -> Result<usize, Fault> {
        let At { name, stands_for, x, .. } = at;
        let Tensor { stands_for: before, bounds, scale, ratios, .. } = self.tensor(x);
        // Logits need no shift.
        let opened = stands_for == self.graph.output
            && self.graph.readers(stands_for).next().is_none()
            && *before != stands_for;
        let bounds = bounds.activate(&function, 0);
        let clipped = matches!(function, Function::Clip { .. });
        let peak = match at.reach {
            Some(reach) => reached(reach / scale, &bounds),
            None if clipped => bounds.extremes().1,
            None => self.peak(stands_for, &bounds, (*scale, ratios)),
        };
        let signed = u8::from(is_signed(&function));
        let limit = (1_i64 << (self.options.activation_bits - signed)) - 1;
        let rounded = clipped || self.is_linear(x);
        let after = |shift: u8| (peak + if rounded { half(shift) } else { 0 }) >> shift;
        let extra = self.coarser.get(&self.circuits(self.next())).copied().unwrap_or(0);
        let least = if opened {
            0
        } else {
            (0..MAX_RING_BITS).find(|&s| after(s) <= limit).unwrap_or(MAX_RING_BITS)
        };
        let shift = (least + extra).min(widest_shift(&self.tensor(x).bounds));
        let beyond = magnitude(&bounds) >> shift > limit;
        let function = match function {
            // More bits than the calibration rows need are cut off above, too.
            Function::Identity | Function::Relu
                if self.options.saturate
                    && beyond
                    && window.is_none()
                    && !opened
                    && self.reference.is_some() =>
            {
                let hi = ((limit + 1) << shift) - 1;
                Function::Clip { lo: if function == Function::Relu { 0 } else { !hi }, hi }
            }
            // The ends on whole steps of the result.
            Function::Clip { lo, hi } => {
                Function::Clip { lo, hi: ((hi + half(shift)) >> shift) << shift }
            }
            other => other,
        };
        let x = self.plus(at, &[half(shift)]).or_else(|fault| match fault {
            // No room for half a step: then it is floor.
            Fault::Misfit(..) => {
                self.integers.operations.pop();
                Ok(x)
            }
            error @ Fault::Error(_) => Err(error),
        })?;
        if extra > 0 {
            self.integers.notes.push(format!(
                "{name}: {extra} more bits cut off, so that its square fits into the ring"
            ));
        }
        let Tensor { bounds, scale, ratios, .. } = self.tensor(x).clone();
        let activated = bounds.activate(&function, shift);
        let bounds =
            window.as_ref().map_or_else(|| activated.clone(), |window| activated.max_pool(window));
        let tensor = Tensor {
            stands_for,
            inside: false,
            bounds,
            scale: scale * f64::from(shift).exp2(),
            ratios,
            level: 0,
            ring: 0,
        };
        Ok(self.push(name, Kind::Garbled { function, window, shift }, vec![x], tensor))
    }

    /// Whether constants can be added to `x` for nothing.
    fn is_linear(&self, x: usize) -> bool {
        let maker = x.checked_sub(1).and_then(|i| self.integers.operations.get(i));
        matches!(maker, Some(Operation { kind: Kind::Linear { .. }, .. }))
    }

    /// `min(max(x, lo), hi)`, moved so that one end is 0: a sign is found for nothing, and
    /// constants are added locally.
    fn clip(&mut self, at: At<'_>, lo: f64, hi: f64) -> Result<usize, Fault> {
        // What the results reach, as they are and counted from the bound that becomes 0.
        let range = self.reference.and_then(|r| r.ranges.get(at.stands_for)).copied();
        let range = range.filter(|(least, most)| least <= most);
        let reach =
            |from: f64| range.map(|(least, most)| (least - from).abs().max((most - from).abs()));
        let end = if lo == f64::NEG_INFINITY { hi } else { lo };
        if let (Some(plain), Some(moved)) = (reach(0.0), reach(end))
            && moved > 2.0 * plain
        {
            return self.far_clip(at, (lo, hi), plain);
        }
        let within = At { stands_for: NO_TENSOR, reach: reach(end), ..at };
        if lo == f64::NEG_INFINITY {
            // hi − relu(hi − x)
            let x = self.negate(at)?;
            let x = self.moved(At { x, single: true, ..at }, hi)?;
            self.change(x, |t| t.inside = true);
            let x = self.truncating(At { x, single: true, ..within }, Function::Relu, None)?;
            self.change(x, |t| t.inside = true);
            let x = self.negate(At { x, single: true, ..at })?;
            let done = self.moved(At { x, single: true, ..at }, hi)?;
            self.change(done, |t| (t.stands_for, t.inside) = (at.stands_for, false));
            return Ok(done);
        }
        let from_zero = self.moved(at, -lo)?;
        let single = at.single || from_zero != at.x;
        let mut function = Function::Relu;
        if hi < f64::INFINITY {
            let top = self.steps(at.name, from_zero, &[hi - lo])?.first().copied().unwrap_or(0);
            // A bound that no input reaches costs nothing.
            if top < self.tensor(from_zero).bounds.extremes().1 {
                function = Function::Clip { lo: 0, hi: top };
            }
        }
        if lo == 0.0 {
            return self.truncating(At { x: from_zero, single, ..at }, function, None);
        }
        self.change(from_zero, |t| t.inside = true);
        let x = self.truncating(At { x: from_zero, single, ..within }, function, None)?;
        self.change(x, |t| t.inside = true);
        let done = self.moved(At { x, single: true, ..at }, lo)?;
        self.change(done, |t| (t.stands_for, t.inside) = (at.stands_for, false));
        Ok(done)
    }

    /// 1 where the integer is positive, else 0.
    fn step(&mut self, at: At<'_>) -> Result<usize, Fault> {
        let function = Function::Clip { lo: 0, hi: 1 };
        let bounds = self.tensor(at.x).bounds.activate(&function, 0);
        let tensor = Tensor {
            stands_for: at.stands_for,
            inside: false,
            bounds,
            scale: 1.0,
            ratios: vec![],
            level: 0,
            ring: 0,
        };
        let kind = Kind::Garbled { function, window: None, shift: 0 };
        Ok(self.push(at.name, kind, vec![at.x], tensor))
    }

    /// The same with bounds that lie far from all that calibration rows reach: counted from one of
    /// them, these values would have few steps. Both ends are compared with instead.
    fn far_clip(&mut self, at: At<'_>, (lo, hi): (f64, f64), reach: f64) -> Result<usize, Fault> {
        let (least, most) = self.tensor(at.x).bounds.extremes();
        let mut ends = [least, most];
        for (end, bound) in ends.iter_mut().zip([lo, hi]) {
            if bound.is_finite() {
                *end = self.steps(at.name, at.x, &[bound])?.first().copied().unwrap_or(*end);
            }
        }
        let [lo, hi] = ends;
        // Bounds that no input reaches cost nothing.
        let function = if lo <= least && hi >= most {
            Function::Identity
        } else {
            Function::Clip { lo: lo.max(least).min(most), hi: hi.min(most).max(least) }
        };
        self.truncating(At { reach: Some(reach), ..at }, function, None)
    }

    /// Plus a real number.
    fn moved(&mut self, at: At<'_>, by: f64) -> Result<usize, Fault> {
        let steps = self.steps(at.name, at.x, &[by])?;
        self.plus(at, &steps)
    }

    /// The same with the other sign: a step on the way to something else.
    pub(super) fn negate(&mut self, at: At<'_>) -> Result<usize, Fault> {
        let len = self.tensor(at.x).bounds.len();
        let view = View::whole(len as u32);
        let bounds = Bounds::arrange(len, &[(&self.tensor(at.x).bounds, -1, view)]);
        let negated = self.local(at, Kind::StridedAdd(vec![(0, -1, view)]), vec![at.x], bounds)?;
        self.change(negated, |t| t.inside = true);
        Ok(negated)
    }

    fn curve(&mut self, at: At<'_>, curve: Curve) -> Result<usize, Fault> {
        let At { name, stands_for, x, .. } = at;
        let Tensor { bounds, scale, .. } = self.tensor(x).clone();
        let (lo, hi) = bounds.extremes();
        let real = |y: i64| y as f64 * scale;
        let peaks = self.reference.and_then(|r| r.peaks.get(stands_for)).map_or(&[][..], |p| p);
        let turn = curve.minimum().map(|x| x.clamp(real(lo), real(hi)));
        let proven = [real(lo), real(hi)]
            .into_iter()
            .chain(turn)
            .map(|x| curve.at(x).abs())
            .fold(0.0, f64::max);
        let peak = match peaks.iter().copied().fold(0.0, f64::max) {
            peak if peak > 0.0 => peak.min(proven),
            _ => proven,
        };
        // Its tail counts from the value itself: half a step is added before the shift.
        let early = matches!(curve, Curve::Elu { .. });
        let wanted = Wanted {
            scale,
            ring: bounds.bits(),
            widest: if early { widest_shift(&bounds) } else { bounds.bits() - 2 },
            range: (lo, hi),
            peak,
            bits: self.options.activation_bits,
            segments: self.options.segments,
            max_error: self.options.max_error,
        };
        let fit = curves::fit(curve, &wanted).map_err(|TooCoarse(error)| Error::Layer {
            layer: name.into(),
            what: if error.is_finite() {
                format!(
                    "its approximation is off by up to {error:.2e}, more than wanted. Allow more \
                     pieces (--segments, at most 32), a larger --max-error or more \
                     activation bits (--activation-bits)"
                )
            } else {
                "no straight pieces of 16-bit numbers describe it on the range of its inputs, \
                 which is too narrow or too steep for it: rescale the layer before it, or allow \
                 more activation bits (--activation-bits)"
                    .into()
            },
        })?;
        if fit.error > peak / 10.0 {
            self.integers.notes.push(format!(
                "{name}: its approximation is off by up to {:.1e}, where its results reach \
                 {peak:.1e}: allow more activation bits (--activation-bits) or more pieces \
                 (--segments), or rescale the layer before it",
                fit.error
            ));
        }
        let x = self.plus(at, &[if early { half(fit.shift) } else { 0 }])?;
        let function = Function::PiecewiseLinear(fit.spline);
        let bounds = self.tensor(x).bounds.activate(&function, fit.shift);
        let tensor = Tensor {
            stands_for,
            inside: false,
            bounds,
            scale: fit.scale,
            ratios: vec![],
            level: 0,
            ring: 0,
        };
        let made = self.push(
            name,
            Kind::Garbled { function, window: None, shift: fit.shift },
            vec![x],
            tensor,
        );
        if let Some(operation) = self.integers.operations.last_mut() {
            operation.curve_error = Some(fit.error);
        }
        Ok(made)
    }

    /// Largest magnitude of a float tensor in the steps of an integer one: calibrated, at most the
    /// proven one.
    pub(super) fn peak(
        &self,
        stands_for: TensorId,
        bounds: &Bounds,
        (scale, ratios): (f64, &[f64]),
    ) -> i64 {
        let (lo, hi) = bounds.extremes();
        let proven = hi.max(-lo);
        let peaks = self.reference.and_then(|r| r.peaks.get(stands_for)).map_or(&[][..], |p| p);
        let each = (peaks.len() / ratios.len().max(1)).max(1);
        let steps =
            peaks.iter().enumerate().map(|(i, p)| p / scale / ratios.get(i / each).unwrap_or(&1.0));
        // A layer that never fires on the calibration rows says nothing about its range.
        let most = steps.fold(0.0, f64::max).ceil();
        if most >= 1.0 { (most as i64).min(proven) } else { proven }
    }
}

/// Whether a function has negative results.
const fn is_signed(function: &Function) -> bool {
    match function {
        Function::Identity | Function::Leaky { .. } => true,
        Function::Clip { lo, .. } => *lo < 0,
        _ => false,
    }
}

/// A magnitude in steps that calibration rows reach: at most the proven one, which it is where they
/// reach nothing.
fn reached(steps: f64, bounds: &Bounds) -> i64 {
    let (lo, hi) = bounds.extremes();
    let proven = hi.max(-lo);
    let most = steps.ceil();
    if most >= 1.0 { (most as i64).min(proven) } else { proven }
}

/// Largest magnitude.
fn magnitude(bounds: &Bounds) -> i64 {
    let (lo, hi) = bounds.extremes();
    hi.max(!lo)
}

/// The most bits that a circuit may cut off: one is left besides the sign, also when half a step
/// has moved the values towards 0.
fn widest_shift(bounds: &Bounds) -> u8 {
    let leaves = |&shift: &u8| {
        let moved = bounds.plus(&[half(shift)]);
        shift + 2 <= moved.map_or(MAX_RING_BITS, |moved| moved.bits())
    };
    (0..=bounds.bits().saturating_sub(2)).rev().find(leaves).unwrap_or(0)
}

/// Half a step of a shift: turns its floor into rounding to nearest.
const fn half(shift: u8) -> i64 {
    (1 << shift) >> 1
}

/// A slope below 1 as a small multiplier over a power of two: the fewest bits that are right to
/// half a percent.
fn slope_of(slope: f64) -> (u8, u8) {
    let candidates = (1..=15_u8).map(|bits| {
        let multiplier = (slope * f64::from(bits).exp2()).round().clamp(1.0, 255.0);
        (multiplier as u8, bits, (multiplier / f64::from(bits).exp2() / slope - 1.0).abs())
    });
    let mut best = (1, 15, f64::INFINITY);
    for (multiplier, bits, error) in candidates {
        if error < best.2 {
            best = (multiplier, bits, error);
        }
        if error <= 0.005 {
            break;
        }
    }
    (best.0, best.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_widest_shift_leaves_a_bit_and_the_sign() {
        let mut moved_less = 0;
        for lo in -600..=0_i64 {
            for hi in [0, 1, 100, 127, 128, 255, 256, 500] {
                let bounds = Bounds::same(1, lo, hi);
                let shift = widest_shift(&bounds);
                let moved = bounds.plus(&[half(shift)]).unwrap();
                assert!(shift + 2 <= bounds.bits() && shift + 2 <= moved.bits(), "{lo} {hi}");
                moved_less += usize::from(moved.bits() < bounds.bits());
            }
        }
        assert!(moved_less > 0, "no case in which half a step takes a bit off");
    }
}
