//! Any function of one number as straight pieces: one table, or the sum of a few where one would be
//! too coarse.
//!
//! Each table describes the function between two ends. It reads the input less its upper end, so
//! only the left side of 0 has pieces ([`Parity::Left`]): it is 0 above, and stays what it is
//! below its lower end. Their sum is the function, less its value at the upper end of the first. A
//! tail of constant slope is a ReLU in the first table, or a multiple of the input.

use super::pieces::{Interval, turning_lines};
use super::{MAX_INPUT_BITS, Wanted};
use minionn_core::garble::{Neuron, totals};
use minionn_core::plan::{Function, MAX_PIECES, Parity, PiecewiseLinear};
use minionn_core::ring::Modulus;

/// Most tables.
const MAX_TABLES: usize = 4;
/// Two tables take the place of one whose error is larger than the wanted one by this: each takes a
/// circuit.
const TWO_ARE_BETTER: f64 = 1.6;
/// How far beyond the calibration rows a table reaches, as a part of their width.
const MARGIN: f64 = 1.0 / 8.0;
/// Points at which a function is looked at.
const GRID: usize = 2048;

/// A function of one number.
pub(crate) type Curve<'f> = &'f dyn Fn(f64) -> f64;

/// Why there are no tables.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    /// The error that the best of them have; infinite if there are none.
    Coarse(f64),
    /// The function jumps here, or is infinite.
    Jumps(f64),
}

/// One table.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    /// Real number that is taken off the input.
    pub(crate) above: f64,
    /// Bits cut off then, rounded to nearest.
    pub(crate) shift: u8,
    pub(crate) spline: PiecewiseLinear,
}

/// `line · x + sign · Σ tables`, of `−x` where it is mirrored.
#[derive(Clone, Debug)]
pub(crate) struct Tables {
    pub(crate) mirrored: bool,
    pub(crate) line: f64,
    pub(crate) sign: f64,
    pub(crate) tables: Vec<Table>,
    /// Real value of one step of the tables.
    pub(crate) scale: f64,
    /// Largest error between the ends.
    pub(crate) error: f64,
    /// Where it is described, and whether it goes on as it should below and above.
    pub(crate) ends: (f64, f64),
    pub(crate) open: (bool, bool),
}

/// The tables of `f`; `seen` is what its input reaches on the calibration rows.
///
/// # Errors
/// [`Fault`] if an error was asked for and none is as good, and for a function that jumps or has no
/// numbers there.
pub(crate) fn fit(f: Curve<'_>, seen: (f64, f64), wanted: &Wanted) -> Result<Tables, Fault> {
    let region = Region::new(f, seen, wanted)?;
    if region.slopes.0 != 0.0 && region.slopes.1 == 0.0 {
        // The slope belongs to the right.
        let turned = |x: f64| f(-x);
        let wanted = Wanted { range: (-wanted.range.1, -wanted.range.0), ..*wanted };
        let made = plain(&turned, &region.mirrored(), &wanted)?;
        return Ok(Tables { mirrored: true, ends: region.ends, open: region.open, ..made });
    }
    plain(f, &region, wanted)
}

/// Where a function is described, and how it goes on from there.
#[derive(Clone, Copy, Debug)]
struct Region {
    ends: (f64, f64),
    /// Slopes below and above; 0 where it stays what it is.
    slopes: (f64, f64),
    /// Whether that is what the function does.
    open: (bool, bool),
}

/// Rings up to this width, in bits, are looked at integer by integer.
const EXACT_BITS: u32 = 16;

fn grid(lo: f64, hi: f64) -> impl DoubleEndedIterator<Item = f64> + Clone {
    (0..=GRID).map(move |i| lo + (hi - lo) * i as f64 / GRID as f64)
}

/// Largest distance of two values.
fn span(values: impl Iterator<Item = f64>) -> f64 {
    let (lo, hi) =
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
    hi - lo
}

/// Where a function begins and ends to go by steps that are small against its height: closer to a
/// pole at its end it stays what it is.
fn without_steep_ends(f: Curve<'_>, known: &[f64]) -> Option<(f64, f64)> {
    let (mut start, mut end) = (0, known.len().checked_sub(1)?);
    let at = |i: usize| known.get(i).map_or(f64::NAN, |&x| f(x));
    let steep = |i: usize, start: usize, end: usize| {
        let height = span((start..=end).map(at));
        height > 0.0 && (at(i + 1) - at(i)).abs() > height / 16.0
    };
    // Not more than a quarter from either side.
    while start < known.len() / 4 && start + 1 < end && steep(start, start, end) {
        start += 1;
    }
    while end > known.len() - known.len() / 4 && start + 1 < end && steep(end - 1, start, end) {
        end -= 1;
    }
    Some((*known.get(start)?, *known.get(end)?))
}

/// Where a function takes more than half of its height in one step.
fn jump(f: Curve<'_>, lo: f64, hi: f64) -> Option<f64> {
    let height = span(grid(lo, hi).map(f));
    let steps = grid(lo, hi).zip(grid(lo, hi).skip(1));
    let mut steps = steps.filter(|_| height > 0.0);
    let far = |&(x, y): &(f64, f64)| (f(y) - f(x)).abs();
    steps.find(|step| far(step).is_nan() || far(step) > height / 2.0).map(|(x, _)| x)
}

impl Region {
    fn new(f: Curve<'_>, (least, most): (f64, f64), wanted: &Wanted) -> Result<Self, Fault> {
        let proven = (wanted.range.0 as f64 * wanted.scale, wanted.range.1 as f64 * wanted.scale);
        let (lo, hi) = (least.max(proven.0).min(proven.1), most.min(proven.1).max(proven.0));
        let width = (hi - lo).max(4.0 * wanted.scale);
        // Where the rows reach and the function is a number; a little farther, unless it grows.
        let known: Vec<f64> = grid(lo, hi).filter(|&x| f(x).is_finite()).collect();
        let (Some(&first), Some(&last)) = (known.first(), known.last()) else {
            return Err(Fault::Coarse(f64::INFINITY));
        };
        let (first, last) = without_steep_ends(f, &known).unwrap_or((first, last));
        let (lo, hi) = (lo.max(first), hi.min(last));
        if let Some(at) = jump(f, lo, hi) {
            return Err(Fault::Jumps(at));
        }
        let largest = grid(lo, hi).map(|x| f(x).abs()).fold(0.0, f64::max);
        let fine = |x: &f64| f(*x).is_finite() && f(*x).abs() <= 1.5 * largest;
        let up = grid(hi, (hi + MARGIN * width).min(proven.1)).take_while(fine).last();
        let down = grid(lo, (lo - MARGIN * width).max(proven.0)).take_while(fine).last();
        let (lo, hi) = (down.unwrap_or(first), up.unwrap_or(last));
        let tolerance = span(grid(lo, hi).map(f)) / f64::from(1_u32 << (wanted.bits + 2));
        // A tail is straight from somewhere inside up to the last input that there is.
        let straight = |from: f64, to: f64| -> Option<(f64, f64)> {
            let step = (to - from) / 64.0;
            let slope = (f(to) - f(to - step)) / step;
            let near = |x: &f64| (f(*x) - f(to) - slope * (x - to)).abs() <= tolerance;
            let start = grid(from, to).rev().take_while(near).last()?;
            let flat = (slope * (to - start)).abs() <= tolerance;
            // A slope that is short is bent: it only looks straight.
            let long = (to - start).abs() >= (to - from).abs() / 4.0;
            (slope.is_finite() && (flat || long)).then_some((start, if flat { 0.0 } else { slope }))
        };
        let right = straight(lo, proven.1).filter(|(start, _)| *start < hi - (hi - lo) / 64.0);
        let left = straight(hi, proven.0).filter(|(start, _)| *start > lo + (hi - lo) / 64.0);
        let inside = |tail: Option<(f64, f64)>, end: f64| tail.unwrap_or((end, 0.0));
        let ((b, above), (a, below)) = (inside(right, hi), inside(left, lo));
        // A straight line altogether: somewhere has to be the end.
        let (a, b) = if a < b { (a, b) } else { (lo, hi) };
        let ends = (a, b.max(a + 4.0 * wanted.scale));
        Ok(Self {
            ends,
            slopes: (below, above),
            open: (left.is_some() || lo <= proven.0, right.is_some() || hi >= proven.1),
        })
    }

    fn mirrored(&self) -> Self {
        let turned = |(a, b): (f64, f64)| (-b, -a);
        Self {
            ends: turned(self.ends),
            slopes: turned(self.slopes),
            open: (self.open.1, self.open.0),
        }
    }
}

/// A function without the slope on its left.
fn plain(f: Curve<'_>, region: &Region, wanted: &Wanted) -> Result<Tables, Fault> {
    let Region { ends: (a, b), slopes: (line, above), open } = *region;
    let bend = above - line;
    let sign = if bend < 0.0 { -1.0 } else { 1.0 };
    let rest = |x: f64| sign * (f(x) - line * x);
    let most = f64::from((1 << (wanted.bits - 1)) - 1);
    let height = match span(grid(a, b).map(rest)) {
        0.0 => rest(b).abs().max(wanted.scale),
        height => height,
    };
    // One step of the result: all bits for what is bounded; where a tail has a slope, a whole
    // number of steps of the input.
    let (mut shift, mut scale) = (0, height / 2.0 / most);
    if bend != 0.0 {
        scale = wanted.scale * bend.abs();
        while (wanted.peak / scale > most || height / scale > f64::from(i16::MAX))
            && shift < wanted.widest
        {
            (shift, scale) = (shift + 1, scale * 2.0);
        }
    }
    let fitter = Fitter { f: &rest, wanted, scale, relu: (bend != 0.0).then_some(shift) };
    let steepest = if bend == 0.0 { 0.0 } else { scale };
    let goal = wanted.max_error.unwrap_or(1.25 * scale.max(steepest));
    let none = Fault::Coarse(f64::INFINITY);
    let mut parts = vec![fitter.part(a, b, true, goal).ok_or(none)?];
    // The worst part becomes two, as long as that helps.
    while parts.len() < MAX_TABLES {
        let worst = (0..parts.len()).max_by(|&i, &j| {
            let error = |i: usize| parts.get(i).map_or(0.0, |part: &Part| part.error);
            error(i).total_cmp(&error(j))
        });
        let Some((at, part)) = worst.and_then(|i| Some((i, parts.get(i)?))) else { break };
        if part.error <= TWO_ARE_BETTER * goal {
            break;
        }
        let Some([low, high]) = fitter.halves(part, at == 0, goal) else { break };
        if low.error.max(high.error) > 0.8 * part.error {
            break;
        }
        parts.splice(at..=at, [high, low]);
    }
    let b = fitter.whole(b);
    let centre = (rest(b) / scale).round();
    let centre = Some(centre as i32).filter(|_| centre.abs() < f64::from(1 << 20)).ok_or(none)?;
    let mut tables: Vec<Table> = parts.into_iter().map(|part| part.table).collect();
    tables.first_mut().into_iter().for_each(|table| table.spline.centre = centre);
    let mut made =
        Tables { mirrored: false, line, sign, tables, scale, error: 0.0, ends: (a, b), open };
    made.error = made.distance(f, wanted);
    match wanted.max_error {
        Some(most) if made.error > most => Err(Fault::Coarse(made.error)),
        _ => Ok(made),
    }
}

impl Tables {
    /// What the tables make of an integer, in steps.
    fn at(&self, y: i64, step: f64) -> i64 {
        let one = |table: &Table| {
            let moved = y + (-table.above / step).round() as i64;
            table.spline.apply((moved + ((1 << table.shift) >> 1)) >> table.shift)
        };
        self.tables.iter().map(one).sum()
    }

    /// The largest distance from the function between the ends, over all integers there, or as many
    /// as tell.
    fn distance(&self, f: Curve<'_>, wanted: &Wanted) -> f64 {
        let whole = |x: f64| (x / wanted.scale) as i64;
        let (lo, hi) = (whole(self.ends.0), whole(self.ends.1));
        let (lo, hi) = (lo.max(wanted.range.0), hi.min(wanted.range.1));
        let hop = ((hi - lo) >> EXACT_BITS).max(0) as usize + 1;
        let far = |y: i64| {
            let x = y as f64 * wanted.scale;
            let value = self.sign * self.at(y, wanted.scale) as f64 * self.scale + self.line * x;
            (value - f(x)).abs()
        };
        (lo..=hi).step_by(hop).map(far).filter(|far| far.is_finite()).fold(0.0, f64::max)
    }
}

/// A table with its ends and its error.
struct Part {
    ends: (f64, f64),
    error: f64,
    table: Table,
}

struct Fitter<'a> {
    f: Curve<'a>,
    wanted: &'a Wanted,
    scale: f64,
    /// The shift of a table with a ReLU.
    relu: Option<u8>,
}

impl Fitter<'_> {
    /// The nearest whole step of the input; the one below where that has no value.
    fn whole(&self, x: f64) -> f64 {
        let step = self.wanted.scale;
        let near = (x / step).round() * step;
        if (self.f)(near).is_finite() { near } else { (x / step - 0.5).floor() * step }
    }

    /// The best table for the function between two ends: the one with the fewest ANDs among those
    /// that are good enough.
    fn part(&self, a: f64, b: f64, first: bool, goal: f64) -> Option<Part> {
        let Wanted { scale: step, widest, .. } = *self.wanted;
        let b = self.whole(b);
        if b - a < step {
            return None;
        }
        let steepest = grid(a, b)
            .zip(grid(a, b).skip(1))
            .map(|(x, y)| ((self.f)(y) - (self.f)(x)).abs() / (y - x))
            .fold(0.0, f64::max);
        let relu = self.relu.filter(|_| first);
        let cell = |shift: u8| step * f64::from(shift).exp2();
        let mut shift = relu.unwrap_or(0);
        while relu.is_none()
            && shift < widest
            && (cell(shift + 1) * steepest <= self.scale
                || (b - a) / cell(shift) > f64::from(1 << MAX_INPUT_BITS))
        {
            shift += 1;
        }
        let cells = (b - a) / cell(shift);
        if cells > f64::from(1 << MAX_INPUT_BITS) {
            return None;
        }
        let input_bits = (cells.log2().ceil().max(1.0)) as u8;
        // Cell u is the input −1 − u steps from the upper end.
        let value = |x: f64| ((self.f)(x.clamp(a, b)) - (self.f)(b)) / self.scale;
        let targets: Vec<f64> =
            (0..1 << input_bits).map(|u| value(b - (f64::from(u) + 1.0) * cell(shift))).collect();
        let most = self.wanted.segments.max(1).ilog2().min(5).min(u32::from(input_bits)) as u8;
        let floor = 0.5 * self.scale.max(cell(shift) * steepest);
        let mut best: Option<(u32, f64, PiecewiseLinear)> = None;
        for index_bits in 0..=most {
            for bits in 0..=(input_bits - index_bits + 2).min(15) {
                let Some(mut spline) = spline(&targets, input_bits, index_bits, bits) else {
                    continue;
                };
                spline.plus_relu = relu.is_some();
                let far = |(u, &target): (usize, &f64)| {
                    (spline.apply(-1 - u as i64) as f64 - target).abs() * self.scale
                };
                // Half a cell between what is rounded to it.
                let error = targets.iter().enumerate().map(far).fold(0.0, f64::max) + floor;
                let ands = self.ands(&spline, shift);
                let better = match &best {
                    None => true,
                    Some((least, known, _)) if *known <= goal => error <= goal && ands < *least,
                    Some((_, known, _)) => error < *known,
                };
                if better {
                    best = Some((ands, error, spline));
                }
            }
        }
        let (_, error, spline) = best?;
        Some(Part { ends: (a, b), error, table: Table { above: b, shift, spline } })
    }

    /// Two tables instead of one, cut where they are best: lower and upper.
    fn halves(&self, part: &Part, first: bool, goal: f64) -> Option<[Part; 2]> {
        let (a, b) = part.ends;
        let cuts = [0.004, 0.015, 0.03, 0.0625, 0.125, 0.25, 0.5, 0.75, 0.875, 0.9375, 0.97];
        let both = cuts.iter().filter_map(|cut| {
            let middle = a + (b - a) * cut;
            Some([self.part(a, middle, false, goal)?, self.part(middle, b, first, goal)?])
        });
        let worst = |[low, high]: &[Part; 2]| low.error.max(high.error);
        both.min_by(|x, y| worst(x).total_cmp(&worst(y)))
    }

    fn ands(&self, spline: &PiecewiseLinear, shift: u8) -> u32 {
        totals(&Neuron {
            function: Function::PiecewiseLinear(*spline),
            modulus_in: Modulus::Bits(self.wanted.ring),
            modulus_out: Modulus::Bits(20),
            shift,
        })
        .ands
    }
}

/// Pieces near to the targets, which rise where these do and fall where these do.
fn spline(targets: &[f64], input_bits: u8, index_bits: u8, shift: u8) -> Option<PiecewiseLinear> {
    let cells = (targets.len() >> index_bits).max(1);
    let (lo, hi) = targets.iter().fold((0.0_f64, 0.0_f64), |(l, h), &t| (l.min(t), h.max(t)));
    let bounds = Interval::inside(lo, hi)?;
    let mut before = 0.0;
    let parts: Vec<(&[f64], Option<Interval>)> = targets
        .chunks_exact(cells)
        .map(|part| {
            let steps = core::iter::once(&before).chain(part).zip(part).map(|(a, b)| b - a);
            let (least, most) = steps.fold((0.0_f64, 0.0_f64), |(l, h), d| (l.min(d), h.max(d)));
            before = part.last().copied().unwrap_or(0.0);
            let course = match (least > -1e-9, most < 1e-9) {
                (true, true) => Some(Interval::STAYS),
                (true, false) => Some(Interval::RISES),
                (false, true) => Some(Interval::FALLS),
                (false, false) => None,
            };
            (part, course)
        })
        .collect();
    let (_, lines) = turning_lines(&parts, shift, bounds);
    let zeros = [0; MAX_PIECES];
    let mut spline = PiecewiseLinear {
        parity: Parity::Left,
        plus_relu: false,
        input_bits,
        index_bits,
        shift,
        centre: 0,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Unary;

    /// A function, where it is looked at, and how often it turns.
    type Case = (&'static str, fn(f64) -> f64, (f64, f64), usize);

    const CASES: [Case; 12] = [
        ("mish", |x| Unary::Mish.at(x), (-9.0, 6.0), 1),
        ("mish, narrow", |x| Unary::Mish.at(x), (-1.0, 1.0), 0),
        ("mish, turned", |x| -Unary::Mish.at(-x), (-5.0, 7.0), 1),
        ("exp", f64::exp, (-6.0, 2.0), 0),
        ("log", f64::ln, (0.05, 6.0), 0),
        ("1/x", |x| 1.0 / x, (0.2, 5.0), 0),
        ("1/sqrt", |x| 1.0 / x.sqrt(), (0.1, 3.0), 0),
        ("sqrt", f64::sqrt, (0.0, 4.0), 0),
        ("bump", |x| (-x * x).exp(), (-3.0, 3.0), 1),
        ("sine", f64::sin, (-4.0, 4.0), 2),
        ("log sigmoid, squared", |x| (1.0 + (-x).exp()).ln().powi(2), (-3.0, 5.0), 0),
        ("half", |x| 0.5 * (1.0 + x.exp()).ln(), (-8.0, 8.0), 0),
    ];

    fn wanted((lo, hi): (f64, f64), f: Curve<'_>, bits: u8, ring: u8) -> Wanted {
        let scale = hi.max(-lo) / f64::from((1 << (ring - 1)) - 1);
        Wanted {
            scale,
            ring,
            widest: ring - 3,
            range: ((lo / scale).ceil() as i64, (hi / scale).floor() as i64),
            peak: grid(lo, hi).map(|x| f(x).abs()).filter(|x| x.is_finite()).fold(0.0, f64::max),
            bits,
            segments: 32,
            max_error: None,
        }
    }

    /// How often a sequence turns from rising to falling, or back.
    fn turns(all: &[i64]) -> usize {
        let steps = all.windows(2).map(|pair| (pair[1] - pair[0]).signum()).filter(|&s| s != 0);
        let steps: Vec<i64> = steps.collect();
        steps.windows(2).filter(|pair| pair[0] != pair[1]).count()
    }

    #[test]
    fn tables_turn_only_where_the_function_does_and_are_as_near_as_they_say() {
        for (name, f, range, most) in CASES {
            for (bits, ring) in [(4, 8), (8, 10), (8, 13), (12, 14), (8, 16)] {
                let wanted = wanted(range, &f, bits, ring);
                // What the rows reach: everything, or a part.
                let (lo, hi) = range;
                for seen in [range, (lo + (hi - lo) / 4.0, hi - (hi - lo) / 8.0)] {
                    let made = fit(&f, seen, &wanted).unwrap();
                    let all: Vec<i64> = (wanted.range.0..=wanted.range.1)
                        .map(|y| made.at(if made.mirrored { -y } else { y }, wanted.scale))
                        .collect();
                    if made.line == 0.0 {
                        let found = turns(&all);
                        assert!(found <= most, "{name}, {bits} bits, {ring}: {found} turns");
                    }
                    let mut worst = 0.0_f64;
                    for (y, &result) in (wanted.range.0..).zip(&all) {
                        let x = y as f64 * wanted.scale;
                        let line = made.line * if made.mirrored { -x } else { x };
                        let value = made.sign * result as f64 * made.scale + line;
                        if (made.ends.0..=made.ends.1).contains(&x) {
                            worst = worst.max((value - f(x)).abs());
                        }
                    }
                    assert!(
                        worst <= made.error + 1e-9,
                        "{name}, {bits} bits, {ring}: off by {worst}, not {}",
                        made.error
                    );
                }
            }
        }
    }

    #[test]
    fn errors_are_a_few_steps_of_the_result() {
        for (name, f, range, _) in CASES.iter().filter(|(name, ..)| *name != "sqrt") {
            let wanted = wanted(*range, f, 8, 20);
            let made = fit(f, *range, &wanted).unwrap();
            assert!(made.error <= 4.0 * made.scale, "{name}: {} of {}", made.error, made.scale);
        }
    }

    #[test]
    fn a_pole_at_an_end_is_cut_off_and_one_inside_is_refused() {
        let f = |x: f64| 1.0 / x;
        let made = fit(&f, (0.0, 4.0), &wanted((0.0, 4.0), &f, 8, 14)).unwrap();
        assert!(made.ends.0 > 0.0 && made.ends.0 < 0.2, "{:?}", made.ends);
        let inside = fit(&f, (-3.0, 4.0), &wanted((-3.0, 4.0), &f, 8, 14)).unwrap_err();
        assert!(matches!(inside, Fault::Jumps(at) if at.abs() < 0.01), "{inside:?}");
        let none = |_| f64::NAN;
        let fault = fit(&none, (-1.0, 1.0), &wanted((-1.0, 1.0), &none, 8, 14)).unwrap_err();
        assert_eq!(fault, Fault::Coarse(f64::INFINITY));
    }

    #[test]
    fn what_has_slopes_on_both_sides_keeps_them() {
        let root = |x: f64| (x * x + 1.0).sqrt();
        let wanted = wanted((-40.0, 40.0), &root, 8, 16);
        let made = fit(&root, (-30.0, 30.0), &wanted).unwrap();
        // Far beyond the rows it goes on.
        assert!((made.line + 1.0).abs() < 0.01 && made.open == (true, true), "{made:?}");
        for x in [-39.0, 38.0] {
            let value = made.at((x / wanted.scale) as i64, wanted.scale) as f64 * made.scale;
            let value = made.sign * value + made.line * x;
            assert!((value - root(x)).abs() < 1.0, "{value} at {x}");
        }
    }
}
