//! Straight pieces of integers that are near to targets, and go no other way than they may: what
//! keeps a curve monotone and within its bounds.

/// Whole numbers from the first to the second, both included; never the other way round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Interval(pub(super) i64, pub(super) i64);

/// Far beyond every value of a piece: no bound.
const FAR: i64 = 1 << 40;

impl Interval {
    pub(super) const ANY: Self = Self(-FAR, FAR);
    /// How a value changes that rises.
    pub(super) const RISES: Self = Self(0, FAR);
    /// How a value changes that falls.
    pub(super) const FALLS: Self = Self(-FAR, 0);
    /// How a value changes that rises if as many are added to it as steps are taken.
    pub(super) const RISES_WITH_STEPS: Self = Self(-1, FAR);

    const fn new(least: i64, most: i64) -> Option<Self> {
        if least <= most { Some(Self(least, most)) } else { None }
    }

    /// The whole numbers between two others.
    pub(super) fn inside(least: f64, most: f64) -> Option<Self> {
        // A bound that is a whole number is one, however its quotient was rounded.
        let near = |x: f64| if (x - x.round()).abs() < 1e-9 { x.round() } else { x };
        let whole = |x: f64| x.clamp(-(FAR as f64), FAR as f64) as i64;
        Self::new(whole(near(least).ceil()), whole(near(most).floor()))
    }

    pub(super) fn and(self, other: Self) -> Option<Self> {
        Self::new(self.0.max(other.0), self.1.min(other.1))
    }

    /// The smallest that holds both.
    fn or(self, other: Self) -> Self {
        Self(self.0.min(other.0), self.1.max(other.1))
    }

    const fn plus(self, x: i64) -> Self {
        Self(self.0 + x, self.1 + x)
    }

    fn nearest(self, x: i64) -> i64 {
        x.clamp(self.0, self.1)
    }
}

/// What a piece has to describe.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part<'t> {
    /// Where in the piece the first target is.
    pub(super) from: i64,
    /// What the line should give from there on; none where no input gets to.
    pub(super) targets: &'t [f64],
    /// By how much the value may change from one place to the next.
    pub(super) course: Interval,
}

/// One piece: `offset + floor(slope · t / 2^shift)`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    pub(super) offset: i64,
    pub(super) slope: i64,
}

/// One line for each part, each the nearest to its targets among those that go on from the one
/// before as both courses have it and stay inside the bounds; and the largest distance from a
/// target.
pub(super) fn lines<'t>(
    parts: impl Iterator<Item = Part<'t>>,
    shift: u8,
    bounds: Interval,
) -> Option<(f64, Vec<Line>)> {
    let (mut worst, mut lines) = (0.0_f64, Vec::new());
    let mut before: Option<(i64, Interval)> = None;
    for part in parts {
        if part.targets.is_empty() {
            lines.push(Line { offset: 0, slope: 0 });
            before = None;
            continue;
        }
        // On either side of a minimum the border belongs to, it may go as that side does.
        let first = match before {
            Some((end, course)) => course.or(part.course).plus(end).and(bounds)?,
            None => bounds,
        };
        let (far, end, line) = line(part, shift, first, bounds)?;
        worst = worst.max(far);
        lines.push(line);
        before = Some((end, part.course));
    }
    Some((worst, lines))
}

/// The line nearest to the targets among those that start inside `first`: its distance from them
/// and its last value.
fn line(part: Part<'_>, shift: u8, first: Interval, bounds: Interval) -> Option<(f64, i64, Line)> {
    let Part { from, targets, course } = part;
    let last = targets.len() as i64 - 1;
    let chord = match (targets.first(), targets.last()) {
        (Some(a), Some(b)) if last > 0 => (b - a) / last as f64 * f64::from(shift).exp2(),
        _ => 0.0,
    };
    let at = |slope: i64| {
        let rise = |t: i64| (slope * t) >> shift;
        let (low, high) = (from..)
            .zip(targets)
            .map(|(t, &target)| target - rise(t) as f64)
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), d| (lo.min(d), hi.max(d)));
        let ends = [rise(from), rise(from + last)];
        let room = bounds.plus(-ends[0]).and(bounds.plus(-ends[1]))?.and(first.plus(-ends[0]))?;
        let offset = room.nearest(((low + high) / 2.0).round() as i64);
        let far = (offset as f64 - low).abs().max((high - offset as f64).abs());
        Some((far, offset + ends[1], Line { offset, slope }))
    };
    // No step of the line is larger than its slope, rounded away from 0.
    let steepest = Interval((course.0 << shift).max(-32768), (course.1 << shift).min(32767));
    let slopes = [chord.floor(), chord.ceil()].map(|slope| steepest.nearest(slope as i64));
    let nearest = slopes.into_iter().filter_map(at).min_by(|(a, ..), (b, ..)| a.total_cmp(b));
    // Where even the flatter line is too steep: the flat one.
    nearest.or_else(|| at(0))
}
