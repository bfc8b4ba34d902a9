//! Straight pieces of integers that are near to targets, and go no other way than they may: what
//! keeps a curve monotone and within its bounds.

/// Whole numbers from the first to the second, both included; never the other way round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Interval(i64, i64);

/// Far beyond every value of a piece: no bound.
const FAR: i64 = 1 << 40;

impl Interval {
    /// How a value changes that never falls.
    pub(super) const RISES: Self = Self(0, FAR);
    /// How a value changes that never rises.
    pub(super) const FALLS: Self = Self(-FAR, 0);
    /// How a value changes that stays the same.
    pub(super) const STAYS: Self = Self(0, 0);
    /// How a value changes that never rises, and never falls with the number of steps added to it.
    pub(super) const FALLS_BY_ONE: Self = Self(-1, 0);

    /// The whole numbers between two others, if there are any.
    pub(super) fn inside(least: f64, most: f64) -> Option<Self> {
        let whole = |x: f64| x.clamp(-(FAR as f64), FAR as f64) as i64;
        let (least, most) = (whole(least.ceil()), whole(most.floor()));
        (least <= most).then_some(Self(least, most))
    }

    fn nearest(self, x: i64) -> i64 {
        x.clamp(self.0, self.1)
    }

    /// Those that are in both, which have some in common.
    fn and(self, other: Self) -> Self {
        Self(other.nearest(self.0), other.nearest(self.1))
    }
}

/// One piece: `offset + floor(slope · t / 2^shift)`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    pub(super) offset: i64,
    pub(super) slope: i64,
}

/// One line for each part, which is what it should give and by how much it may change from one
/// place to the next: each the nearest among those that go on from the one before and stay inside
/// the bounds. And the largest distance from what they should give.
pub(super) fn lines<'t>(
    parts: impl Iterator<Item = (&'t [f64], Interval)>,
    shift: u8,
    bounds: Interval,
) -> (f64, Vec<Line>) {
    let (mut worst, mut lines) = (0.0_f64, Vec::new());
    let mut before: Option<(i64, Interval)> = None;
    for (targets, course) in parts {
        // Where the course changes, the border may go either way.
        let first = before.map_or(bounds, |(end, past)| {
            Interval(end + past.0.min(course.0), end + past.1.max(course.1)).and(bounds)
        });
        let (far, end, line) = line(targets, shift, course, first, bounds);
        worst = worst.max(far);
        lines.push(line);
        before = Some((end, course));
    }
    (worst, lines)
}

/// As [`lines`], for parts that may turn: `None` is a part that rises and falls. It is straight, so
/// it goes the way of the part before it or of the one behind it, whichever is nearer. The parts go
/// on from 0.
pub(super) fn turning_lines(
    parts: &[(&[f64], Option<Interval>)],
    shift: u8,
    bounds: Interval,
) -> (f64, Vec<Line>) {
    let known = |mut parts: core::slice::Iter<'_, (&[f64], Option<Interval>)>| {
        parts.find_map(|(_, course)| *course)
    };
    let mut before = (0, known(parts.iter()).unwrap_or(Interval::STAYS));
    let (mut worst, mut lines) = (0.0_f64, Vec::new());
    for (i, (targets, course)) in parts.iter().enumerate() {
        let (end, past) = before;
        let next = known(parts.get(i + 1..).unwrap_or_default().iter()).unwrap_or(past);
        let with = |course: Interval| {
            let reach = Interval(end + past.0.min(course.0), end + past.1.max(course.1));
            (line(targets, shift, course, reach.and(bounds), bounds), course)
        };
        let ((far, end, line), course) = match course {
            Some(course) => with(*course),
            None => {
                let (a, b) = (with(past), with(next));
                if b.0.0 < a.0.0 { b } else { a }
            }
        };
        worst = worst.max(far);
        lines.push(line);
        before = (end, course);
    }
    (worst, lines)
}

/// The line nearest to the targets among those that start inside `first`, which is inside the
/// bounds: its distance from them and its last value.
fn line(
    targets: &[f64],
    shift: u8,
    course: Interval,
    first: Interval,
    bounds: Interval,
) -> (f64, i64, Line) {
    let last = targets.len() as i64 - 1;
    let chord = match (targets.first(), targets.last()) {
        (Some(a), Some(b)) if last > 0 => (b - a) / last as f64 * f64::from(shift).exp2(),
        _ => 0.0,
    };
    // No step of a line is larger than its slope, rounded away from 0. And the slopes that lead
    // from somewhere in `first` to somewhere inside the bounds.
    let (down, up) = ((bounds.0 - first.1) << shift, ((bounds.1 - first.0 + 1) << shift) - 1);
    let slopes = Interval(course.0 << shift, course.1 << shift)
        .and(Interval(-(-down / last.max(1)), up / last.max(1)));
    let at = |slope: i64| {
        let rise = |t: i64| (slope * t) >> shift;
        let (low, high) = (0..)
            .zip(targets)
            .map(|(t, &target)| target - rise(t) as f64)
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), d| (lo.min(d), hi.max(d)));
        let rise = rise(last);
        let room = first.and(Interval(bounds.0 - rise, bounds.1 - rise));
        let offset = room.nearest(((low + high) / 2.0).round() as i64);
        let far = (offset as f64 - low).abs().max((high - offset as f64).abs());
        (far, offset + rise, Line { offset, slope })
    };
    let [a, b] = [chord.floor(), chord.ceil()].map(|slope| at(slopes.nearest(slope as i64)));
    if b.0 < a.0 { b } else { a }
}
