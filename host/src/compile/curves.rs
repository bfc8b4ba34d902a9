//! Curves as straight pieces of integers: sigmoid, tanh and their kin (paper, §5.3: monotone on
//! each side of 0, piecewise polynomial or approximable).
//!
//! Pieces have equal lengths, so the circuit finds one by the top bits of its input, for `2^s − s −
//! 1` ANDs where comparisons with free knots would take the input's width each; the coefficients
//! are chosen for nothing. So another bit of index costs less than a second degree, whose
//! multiplication would take as many ANDs again: pieces are straight.

use crate::network::Curve;
use minionn_core::garble::{Neuron, totals};
use minionn_core::plan::{Function, MAX_PIECES, Parity, PiecewiseLinear};
use minionn_core::ring::Modulus;

/// A curve in integers.
#[derive(Clone, Debug)]
pub(super) struct Fit {
    pub(super) spline: PiecewiseLinear,
    /// Bits cut off the input first.
    pub(super) shift: u8,
    /// Real value of one step of the result.
    pub(super) scale: f64,
    /// Largest absolute error over every input that the layer can meet.
    pub(super) error: f64,
}

/// What a fit has to go by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// Real value of one step of the input.
    pub(super) scale: f64,
    /// Bits of the input's ring.
    pub(super) ring: u8,
    /// Smallest and largest real input that is proven.
    pub(super) range: (f64, f64),
    /// Largest absolute real result on the calibration rows, or the proven one.
    pub(super) peak: f64,
    /// Width of activations.
    pub(super) bits: u8,
    /// Most pieces, a power of two.
    pub(super) segments: u8,
    /// Largest error that is accepted.
    pub(super) max_error: Option<f64>,
}

/// The best fit misses the wanted error: the error that it has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct TooCoarse(pub(super) f64);

/// Where a curve is as good as flat, at the latest.
const FARTHEST: f64 = 16.0;

/// What the pieces describe.
#[derive(Clone, Copy, Debug)]
struct Shape {
    parity: Parity,
    plus_relu: bool,
    /// The curve at 0, for odd ones.
    middle: f64,
    /// Steepest slope of what the pieces describe.
    steepest: f64,
}

impl Shape {
    fn of(curve: Curve) -> Self {
        let odd =
            |middle, steepest| Self { parity: Parity::Odd, plus_relu: false, middle, steepest };
        match curve {
            Curve::Sigmoid => odd(0.5, 0.25),
            Curve::Tanh | Curve::Softsign => odd(0.0, 1.0),
            Curve::Erf => odd(0.0, core::f64::consts::FRAC_2_SQRT_PI),
            Curve::Gelu | Curve::GeluTanh | Curve::Silu | Curve::Softplus | Curve::HardSwish => {
                Self { parity: Parity::Even, plus_relu: true, middle: 0.0, steepest: 0.5 }
            }
            Curve::Elu { alpha, beta } => {
                Self { parity: Parity::Left, plus_relu: true, middle: 0.0, steepest: alpha / beta }
            }
        }
    }

    /// What the pieces give at magnitude `x`.
    fn pieces_at(&self, curve: Curve, x: f64) -> f64 {
        match self.parity {
            Parity::Odd => curve.at(x) - self.middle,
            Parity::Even => curve.at(-x),
            Parity::Left => curve.at(-x),
        }
    }
}

/// The function with the fewest ANDs among those that are good enough, else the best one.
///
/// # Errors
/// [`TooCoarse`] if an error was asked for and none is as good.
pub(super) fn fit(curve: Curve, wanted: &Wanted) -> Result<Fit, TooCoarse> {
    let shape = Shape::of(curve);
    let reach = wanted.range.1.max(-wanted.range.0).max(wanted.scale);
    let most = f64::from((1 << (wanted.bits - 1)) - 1);
    // One step of the result: all bits for what is bounded; where the tail has slope 1, a whole
    // number of steps of the input.
    let (mut shift, mut scale) = (0, wanted.scale);
    if shape.plus_relu {
        while wanted.peak / scale > most && shift + 2 < wanted.ring {
            (shift, scale) = (shift + 1, scale * 2.0);
        }
    } else {
        let amplitude = if shape.middle == 0.0 { 1.0 } else { shape.middle };
        scale = amplitude / most;
        while wanted.scale * f64::from(shift + 1).exp2() * shape.steepest <= scale
            && shift + 2 < wanted.ring
        {
            shift += 1;
        }
    }
    let extent = extent(&shape, curve, scale / 4.0).min(reach);
    let cell = |shift: u8| wanted.scale * f64::from(shift).exp2();
    let width = |shift: u8| (extent / cell(shift)).log2().ceil().max(1.0);
    if !shape.plus_relu {
        while width(shift) > 14.0 && shift + 2 < wanted.ring {
            shift += 1;
        }
    }
    let input_bits = width(shift).min(14.0) as u8;
    let goal = wanted.max_error.unwrap_or(
        1.25 * scale.max(if shape.plus_relu { scale } else { cell(shift) * shape.steepest }),
    );
    let job = Job { curve, shape, wanted, shift, scale, input_bits };
    let targets = job.targets();
    let most_index = wanted.segments.max(1).ilog2().min(5).min(u32::from(input_bits)) as u8;
    let mut best: Option<(u32, Fit)> = None;
    for index_bits in 0..=most_index {
        // Finer slopes than this make no difference to any cell of a piece.
        for bits in 0..=(input_bits - index_bits + 2).min(15) {
            let Some(spline) = job.spline(&targets, index_bits, bits) else { continue };
            let error = job.error(&spline);
            let ands = job.ands(&spline);
            let better = match &best {
                None => true,
                Some((least, fit)) if fit.error <= goal => error <= goal && ands < *least,
                Some((_, fit)) => error < fit.error,
            };
            if better {
                best = Some((ands, Fit { spline, shift, scale, error }));
            }
        }
    }
    match best {
        Some((_, fit)) if wanted.max_error.is_none_or(|most| fit.error <= most) => Ok(fit),
        best => Err(TooCoarse(best.map_or(f64::INFINITY, |(_, fit)| fit.error))),
    }
}

/// Magnitude from which on the pieces stay within `tolerance` of where they end.
fn extent(shape: &Shape, curve: Curve, tolerance: f64) -> f64 {
    let end = shape.pieces_at(curve, 1e6);
    let far = |x: f64| (shape.pieces_at(curve, x) - end).abs() > tolerance;
    let steps = 1 << 12;
    (1..=steps)
        .rev()
        .map(|i| FARTHEST * f64::from(i) / f64::from(steps))
        .find(|&x| far(x))
        .unwrap_or(FARTHEST / f64::from(steps))
}

/// A curve with its steps chosen.
struct Job<'a> {
    curve: Curve,
    shape: Shape,
    wanted: &'a Wanted,
    shift: u8,
    scale: f64,
    input_bits: u8,
}

impl Job<'_> {
    /// Real width of the input's steps after the shift.
    fn cell(&self) -> f64 {
        self.wanted.scale * f64::from(self.shift).exp2()
    }

    /// What the pieces should give for every magnitude.
    fn targets(&self) -> Vec<f64> {
        let at = |u: i32| match self.shape.parity {
            // The middle of the cell, on either side.
            Parity::Odd => {
                self.shape.pieces_at(self.curve, (f64::from(u) + 0.5) * self.cell()) / self.scale
            }
            // Floor takes half a step off the tail of the positive side, and none off the other: a
            // quarter is between.
            Parity::Even => {
                self.shape.pieces_at(self.curve, (f64::from(u) + 0.5) * self.cell()) / self.scale
                    + 0.25
            }
            // The compiler adds half a step first: the value itself.
            Parity::Left => {
                self.shape.pieces_at(self.curve, (f64::from(u) + 1.0) * self.cell()) / self.scale
            }
        };
        (0..1 << self.input_bits).map(at).collect()
    }

    /// Pieces with the least largest distance from the targets, rising where the curve rises,
    /// inside its bounds.
    fn spline(&self, targets: &[f64], index_bits: u8, shift: u8) -> Option<PiecewiseLinear> {
        let centre = (self.shape.middle / self.scale).round() as i32;
        let (parity, plus_relu, input_bits) =
            (self.shape.parity, self.shape.plus_relu, self.input_bits);
        let zeros = [0; MAX_PIECES];
        let mut spline = PiecewiseLinear {
            parity,
            plus_relu,
            input_bits,
            index_bits,
            shift,
            centre,
            offsets: zeros,
            slopes: zeros,
        };
        let rising = parity == Parity::Odd;
        let top = targets.last().copied()?.round() as i64;
        let mut least = if rising { 0 } else { i64::MIN };
        let cells = targets.len() >> index_bits;
        let places = spline.offsets.iter_mut().zip(&mut spline.slopes);
        for (targets, (offset, slope)) in targets.chunks_exact(cells.max(1)).zip(places) {
            let line = line(targets, shift, rising.then_some((least, top)))?;
            *offset = i16::try_from(line.offset).ok()?;
            *slope = i16::try_from(line.slope).ok()?;
            least = if rising { line.at(cells as i64 - 1, shift) } else { least };
        }
        Some(spline)
    }

    /// The largest distance from the curve, at both ends of every cell, and where the pieces have
    /// ended.
    fn error(&self, spline: &PiecewiseLinear) -> f64 {
        let (lo, hi) = self.wanted.range;
        // The compiler adds half a step before the shift where the tail counts from the value
        // itself.
        let early = if self.shape.parity == Parity::Left { 0.5 } else { 0.0 };
        let cells = 1_i64 << self.input_bits;
        let mut worst = 0.0_f64;
        let mut look = |y: i64| {
            let value = spline.apply(y) as f64 * self.scale;
            for edge in [y as f64 - early, y as f64 + 1.0 - early] {
                let x = (edge * self.cell()).clamp(lo, hi);
                worst = worst.max((value - self.curve.at(x)).abs());
            }
        };
        let ends = |x: f64| (x / self.cell()).floor().clamp(-1e15, 1e15) as i64;
        for y in (-cells..cells).filter(|&y| y >= ends(lo) && y <= ends(hi)) {
            look(y);
        }
        for end in [ends(lo), ends(hi)] {
            look(end);
        }
        worst
    }

    fn ands(&self, spline: &PiecewiseLinear) -> u32 {
        let ring = Modulus::Bits(self.wanted.ring);
        totals(&Neuron {
            function: Function::PiecewiseLinear(*spline),
            modulus_in: ring,
            modulus_out: Modulus::Bits(20),
            shift: self.shift,
        })
        .ands
    }
}

/// One piece.
#[derive(Clone, Copy)]
struct Line {
    offset: i64,
    slope: i64,
}

impl Line {
    const fn at(&self, t: i64, shift: u8) -> i64 {
        self.offset + ((self.slope * t) >> shift)
    }
}

/// The line nearest to the targets, rising from at least `least` to at most `top` if that is
/// wanted.
fn line(targets: &[f64], shift: u8, rising: Option<(i64, i64)>) -> Option<Line> {
    let last = targets.len() as i64 - 1;
    let chord = match (targets.first(), targets.last()) {
        (Some(a), Some(b)) if last > 0 => (b - a) / last as f64 * f64::from(shift).exp2(),
        _ => 0.0,
    };
    let mut best: Option<(f64, Line)> = None;
    for slope in [chord.floor(), chord.ceil()].map(|s| s.clamp(-32768.0, 32767.0) as i64) {
        let slope = if rising.is_some() { slope.max(0) } else { slope };
        let distance = |t: i64, target: f64| target - ((slope * t) >> shift) as f64;
        let distances = || (0..).zip(targets).map(|(t, &target)| distance(t, target));
        let (low, high) = distances()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), d| (lo.min(d), hi.max(d)));
        let mut offset = ((low + high) / 2.0).round() as i64;
        let rise = (slope * last) >> shift;
        if let Some((least, top)) = rising {
            if least + rise > top {
                continue;
            }
            offset = offset.clamp(least, top - rise);
        }
        let worst = (offset as f64 - low).abs().max((high - offset as f64).abs());
        if best.is_none_or(|(error, _)| worst < error) {
            best = Some((worst, Line { offset, slope }));
        }
    }
    // Where even the flatter line is too steep: the flat one.
    best.map(|(_, line)| line).or_else(|| rising.map(|(least, _)| Line { offset: least, slope: 0 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CURVES: [Curve; 11] = [
        Curve::Sigmoid,
        Curve::Tanh,
        Curve::Erf,
        Curve::Softsign,
        Curve::Gelu,
        Curve::GeluTanh,
        Curve::Silu,
        Curve::Softplus,
        Curve::HardSwish,
        Curve::Elu { alpha: 1.0, beta: 1.0 },
        Curve::Elu { alpha: 0.5, beta: 0.5 },
    ];

    fn wanted(scale: f64, range: (f64, f64), bits: u8) -> Wanted {
        Wanted {
            scale,
            ring: 24,
            range,
            peak: range.1.max(-range.0),
            bits,
            segments: 32,
            max_error: None,
        }
    }

    #[test]
    fn every_curve_is_near_at_every_input() {
        for curve in CURVES {
            for (scale, range, bits) in [
                (1e-3, (-9.0, 9.0), 8),
                (0.013, (-3.0, 20.0), 8),
                (2e-5, (-4.0, 4.0), 10),
                (0.03, (-1.0, 1.0), 6),
            ] {
                let wanted = wanted(scale, range, bits);
                let fit = fit(curve, &wanted).unwrap();
                let early = if Shape::of(curve).parity == Parity::Left {
                    (1_i64 << fit.shift) >> 1
                } else {
                    0
                };
                let (lo, hi) = ((range.0 / scale).ceil() as i64, (range.1 / scale).floor() as i64);
                let (mut worst, mut before) = (0.0_f64, i64::MIN);
                for y in (lo..=hi).step_by(1 + (hi - lo) as usize / 20_000) {
                    let got = Function::PiecewiseLinear(fit.spline).apply(y + early, fit.shift);
                    worst = worst.max((got as f64 * fit.scale - curve.at(y as f64 * scale)).abs());
                    if Shape::of(curve).parity == Parity::Odd {
                        let (least, most) =
                            if curve == Curve::Sigmoid { (0.0, 1.0) } else { (-1.0, 1.0) };
                        assert!(got >= before, "{curve:?} falls at {y}");
                        assert!(
                            (least..=most).contains(&(got as f64 * fit.scale)),
                            "{curve:?} leaves its bounds at {y}: {got}"
                        );
                    }
                    before = got;
                }
                assert!(worst <= fit.error + 1e-9, "{curve:?} {scale} {worst} {}", fit.error);
                let flat = if curve == Curve::Softsign { 0.07 } else { 0.0 };
                assert!(
                    fit.error <= 2.6 * fit.scale + flat,
                    "{curve:?} {scale}: {} with steps of {}",
                    fit.error,
                    fit.scale
                );
            }
        }
    }

    #[test]
    fn fewer_pieces_are_worse_and_an_error_that_cannot_be_kept_is_refused() {
        let all = wanted(1e-3, (-9.0, 9.0), 8);
        let errors: Vec<f64> = [2, 4, 8, 16]
            .map(|segments| fit(Curve::Tanh, &Wanted { segments, ..all }).unwrap().error)
            .to_vec();
        assert!(errors.windows(2).all(|e| e[1] <= e[0] * 1.01), "{errors:?}");
        assert!(errors[0] > 2.0 * errors[3]);
        assert!(fit(Curve::Tanh, &Wanted { max_error: Some(1e-6), ..all }).is_err());
        let ands = |max_error| {
            let wanted = Wanted { max_error, ..all };
            let fit = fit(Curve::Sigmoid, &wanted).unwrap();
            assert!(fit.error <= max_error.unwrap_or(1.0));
            let ring = Modulus::Bits(wanted.ring);
            totals(&Neuron {
                function: Function::PiecewiseLinear(fit.spline),
                modulus_in: ring,
                modulus_out: ring,
                shift: fit.shift,
            })
            .ands
        };
        assert!(ands(Some(0.05)) < ands(None), "what may be coarse is cheaper");
    }
}
