//! Curves as straight pieces of integers: sigmoid, tanh and their kin (paper, §5.3: monotone on
//! each side of 0, piecewise polynomial or approximable).
//!
//! Pieces have equal lengths, so the circuit finds one by the top bits of its input, for `2^s − s −
//! 1` ANDs where comparisons with free knots would take the input's width each; the coefficients
//! are chosen for nothing. So another bit of index costs less than a second degree, whose
//! multiplication would take as many ANDs again: pieces are straight.

mod pieces;
pub(super) mod tables;
#[cfg(test)]
mod tests;

use crate::network::Curve;
use minionn_core::garble::{Neuron, totals};
use minionn_core::plan::{Function, MAX_PIECES, Parity, PiecewiseLinear};
use minionn_core::ring::Modulus;
use pieces::Interval;

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
    /// Most bits that may be cut off the input.
    pub(super) widest: u8,
    /// Smallest and largest input that is proven.
    pub(super) range: (i64, i64),
    /// Largest absolute real result on the calibration rows, or the proven one.
    pub(super) peak: f64,
    /// Width of activations.
    pub(super) bits: u8,
    /// Most pieces, a power of two.
    pub(super) segments: u8,
    /// Largest error that is accepted.
    pub(super) max_error: Option<f64>,
}

/// The best fit misses the wanted error: the error that it has, infinite if no coefficients fit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct TooCoarse(pub(super) f64);

/// Where a curve is as good as flat, at the latest, if it is not stretched.
const FARTHEST: f64 = 16.0;

/// Most bits of a magnitude.
const MAX_INPUT_BITS: u8 = 14;

/// What the pieces describe: the curve less its middle and less `max(x, 0)`, where it has these, by
/// magnitude.
#[derive(Clone, Copy, Debug)]
struct Shape {
    parity: Parity,
    plus_relu: bool,
    /// The curve at 0, for odd ones.
    middle: f64,
    /// Steepest slope of what the pieces describe.
    steepest: f64,
    /// By how much the curve is wider than one that is flat from [`FARTHEST`] on.
    stretch: f64,
    /// By how much their value may change from one magnitude to the next so that the curve is
    /// monotone: up to its minimum, and from there on.
    course: [Interval; 2],
    /// Their least and largest value that keep the curve within its bounds.
    bounds: (f64, f64),
}

impl Shape {
    fn of(curve: Curve) -> Self {
        let odd = |middle, steepest| Self {
            parity: Parity::Odd,
            plus_relu: false,
            middle,
            steepest,
            stretch: 1.0,
            course: [Interval::RISES; 2],
            bounds: (0.0, 1.0 - middle),
        };
        // Even ones are read from both sides: as they are, where they have to fall for the curve to
        // rise, and with the ReLU added.
        let falls = Interval::FALLS_BY_ONE;
        let even = |course, bounds| Self {
            parity: Parity::Even,
            plus_relu: true,
            middle: 0.0,
            steepest: 0.5,
            stretch: 1.0,
            course,
            bounds,
        };
        match curve {
            Curve::Sigmoid => odd(0.5, 0.25),
            Curve::Tanh | Curve::Softsign => odd(0.0, 1.0),
            Curve::Erf => odd(0.0, core::f64::consts::FRAC_2_SQRT_PI),
            Curve::Gelu | Curve::GeluTanh | Curve::Silu | Curve::Softplus | Curve::HardSwish => {
                match curve.minimum() {
                    Some(x) => even([falls, Interval::RISES], (curve.at(x), 0.0)),
                    None => even([falls; 2], (0.0, f64::INFINITY)),
                }
            }
            Curve::Elu { alpha, beta } => Self {
                parity: Parity::Left,
                plus_relu: true,
                middle: 0.0,
                steepest: alpha / beta,
                stretch: beta,
                course: [Interval::FALLS; 2],
                bounds: (-alpha, 0.0),
            },
        }
    }

    /// What the pieces give at magnitude `x`.
    fn pieces_at(&self, curve: Curve, x: f64) -> f64 {
        match self.parity {
            Parity::Odd => curve.at(x) - self.middle,
            Parity::Even | Parity::Left => curve.at(-x),
        }
    }
}

/// The function with the fewest ANDs among those that are good enough, else the best one.
///
/// # Errors
/// [`TooCoarse`] if an error was asked for and none is as good.
pub(super) fn fit(curve: Curve, wanted: &Wanted) -> Result<Fit, TooCoarse> {
    let best =
        jobs(curve, wanted).iter().filter_map(Job::best).min_by(|a, b| a.error.total_cmp(&b.error));
    match best {
        Some(fit) if wanted.max_error.is_none_or(|most| fit.error <= most) => Ok(fit),
        best => Err(TooCoarse(best.map_or(f64::INFINITY, |fit| fit.error))),
    }
}

/// The steps that a curve may have. It has more than one choice where the pieces would reach over
/// more cells than can be counted, or higher than an offset: they end earlier, or the steps are
/// coarser.
fn jobs(curve: Curve, wanted: &Wanted) -> Vec<Job<'_>> {
    let shape = Shape::of(curve);
    let (lo, hi) = wanted.range;
    let reach = match shape.parity {
        Parity::Left => -lo,
        Parity::Odd | Parity::Even => hi.max(-lo),
    };
    let most = f64::from((1 << (wanted.bits - 1)) - 1);
    let coarser = |shift: u8| shift < wanted.widest;
    // One step of the result: all bits for what is bounded; where the tail has slope 1, a whole
    // number of steps of the input.
    let (mut shift, mut scale) = (0, wanted.scale);
    if shape.plus_relu {
        while wanted.peak / scale > most && coarser(shift) {
            (shift, scale) = (shift + 1, scale * 2.0);
        }
    } else {
        let amplitude = if shape.middle == 0.0 { 1.0 } else { shape.middle };
        scale = amplitude / most;
        while wanted.scale * f64::from(shift + 1).exp2() * shape.steepest <= scale && coarser(shift)
        {
            shift += 1;
        }
    }
    let extent = extent(&shape, curve, scale / 4.0).min(reach.max(1) as f64 * wanted.scale);
    let highest = [0.0, extent, -curve.minimum().unwrap_or(0.0)]
        .map(|x| shape.pieces_at(curve, x).abs())
        .into_iter()
        .fold(0.0, f64::max);
    let mut jobs = Vec::new();
    loop {
        let cell = wanted.scale * f64::from(shift).exp2();
        let width = (extent / cell).log2().ceil().max(1.0);
        let input_bits = width.min(f64::from(MAX_INPUT_BITS)) as u8;
        jobs.push(Job { curve, shape, wanted, shift, scale, input_bits });
        let fits = width <= f64::from(MAX_INPUT_BITS) && highest / scale <= f64::from(i16::MAX);
        if fits || !coarser(shift) {
            return jobs;
        }
        shift += 1;
        if shape.plus_relu {
            scale *= 2.0;
        }
    }
}

/// Magnitude from which on the pieces stay within `tolerance` of where they end.
fn extent(shape: &Shape, curve: Curve, tolerance: f64) -> f64 {
    let end = shape.pieces_at(curve, 1e6 * shape.stretch);
    let far = |x: f64| (shape.pieces_at(curve, x) - end).abs() > tolerance;
    let (steps, farthest) = (1 << 12, FARTHEST * shape.stretch);
    (1..=steps)
        .rev()
        .map(|i| farthest * f64::from(i) / f64::from(steps))
        .find(|&x| far(x))
        .unwrap_or(farthest / f64::from(steps))
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

    /// The function with the fewest ANDs among those that are good enough, else the best one; none
    /// if no coefficients hold the values.
    fn best(&self) -> Option<Fit> {
        let Self { shape, wanted, shift, scale, input_bits, .. } = *self;
        let steepest = if shape.plus_relu { scale } else { self.cell() * shape.steepest };
        let goal = wanted.max_error.unwrap_or(1.25 * scale.max(steepest));
        let (targets, edges) = (self.targets(), self.edges());
        let most_index = wanted.segments.max(1).ilog2().min(5).min(u32::from(input_bits)) as u8;
        let mut best: Option<(u32, Fit)> = None;
        for index_bits in 0..=most_index {
            // Finer slopes than this make no difference to any cell of a piece.
            for bits in 0..=(input_bits - index_bits + 2).min(15) {
                let Some(spline) = self.spline(&targets, index_bits, bits) else { continue };
                let error = self.error(&spline, &edges);
                let ands = self.ands(&spline);
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
        best.map(|(_, fit)| fit)
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

    /// Pieces near to the targets that keep the curve monotone, on each side of its minimum if it
    /// has one, and within its bounds, for every integer.
    fn spline(&self, targets: &[f64], index_bits: u8, shift: u8) -> Option<PiecewiseLinear> {
        let Shape { parity, plus_relu, middle, course: [before, after], bounds, .. } = self.shape;
        let cells = (targets.len() >> index_bits).max(1);
        let bounds = Interval::inside(bounds.0 / self.scale, bounds.1 / self.scale)?;
        let lines = |falling| {
            let course = |piece| if piece < falling { before } else { after };
            let parts = targets.chunks_exact(cells).enumerate();
            pieces::lines(parts.map(|(piece, targets)| (targets, course(piece))), shift, bounds)
        };
        // A straight piece can't turn: the one with the minimum goes either way.
        let lowest = targets.iter().enumerate().min_by(|(_, a), (_, b)| a.total_cmp(b));
        let turn = lowest.map_or(0, |(u, _)| u / cells);
        let (_, lines) = if before == after {
            lines(0)
        } else {
            let either = [lines(turn), lines(turn + 1)];
            either.into_iter().min_by(|(a, _), (b, _)| a.total_cmp(b))?
        };
        let zeros = [0; MAX_PIECES];
        let mut spline = PiecewiseLinear {
            parity,
            plus_relu,
            input_bits: self.input_bits,
            index_bits,
            shift,
            centre: (middle / self.scale).round() as i32,
            offsets: zeros,
            slopes: zeros,
        };
        let places = spline.offsets.iter_mut().zip(&mut spline.slopes);
        for (line, (offset, slope)) in lines.iter().zip(places) {
            *offset = i16::try_from(line.offset).ok()?;
            *slope = i16::try_from(line.slope).ok()?;
        }
        Some(spline)
    }

    /// The curve wherever the largest error can be: at both ends of every cell of the pieces and of
    /// those where the range ends, and where the curve turns, against the cell or against the ReLU.
    fn edges(&self) -> Vec<(i64, [f64; 2])> {
        let Wanted { scale, range: (lo, hi), .. } = *self.wanted;
        // The compiler adds half a step before the shift where the tail counts from the value
        // itself.
        let early = if self.shape.parity == Parity::Left { (1 << self.shift) >> 1 } else { 0 };
        let cell = |y: i64| (y + early) >> self.shift;
        let at = |y: i64| self.curve.at(y.clamp(lo, hi) as f64 * scale);
        let last = (1 << self.shift) - 1;
        let ends = |z: i64| {
            let first = (z << self.shift) - early;
            (z, [first, first + last].map(at))
        };
        let cells = 1_i64 << self.input_bits;
        let turns = self.curve.minimum().into_iter().flat_map(|x| [x, -x]);
        let turns = turns.map(|x| {
            let y = (x / scale).clamp(lo as f64, hi as f64);
            (cell(y.floor() as i64), [self.curve.at(y * scale); 2])
        });
        (cell(lo).max(-cells)..=cell(hi).min(cells - 1))
            .chain([cell(lo), cell(hi)])
            .map(ends)
            .chain(turns)
            .collect()
    }

    /// The largest distance from the curve.
    fn error(&self, spline: &PiecewiseLinear, edges: &[(i64, [f64; 2])]) -> f64 {
        let far = |&(y, edges): &(i64, [f64; 2])| {
            let value = spline.apply(y) as f64 * self.scale;
            edges.map(|x| (value - x).abs())
        };
        edges.iter().flat_map(far).fold(0.0, f64::max)
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
