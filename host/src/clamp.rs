//! Which values of an input lie outside of the plan's range, and how far.

use minionn_core::plan::Plan;
use serde::Serialize;

/// What was outside of the range, and is moved to its ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Clamped {
    /// How many values.
    pub values: usize,
    /// How many rows hold one.
    pub rows: usize,
    /// The farthest, in real numbers beyond the end of its range.
    pub farthest: f64,
    /// The same as a part of the range's width.
    pub part: f64,
    /// Row and column of the farthest.
    pub at: Option<[usize; 2]>,
}

/// The clamped values of one row. Half a step beyond the end is rounding.
#[must_use]
pub fn of(plan: &Plan<'_>, row: &[f32]) -> Clamped {
    let input = plan.header().input;
    let (min, max) = (f64::from(input.min), f64::from(input.max));
    let mut found = Clamped::default();
    for (i, &x) in row.iter().enumerate() {
        let Some((step, offset)) = plan.input_step(i) else { continue };
        let step = f64::from(step);
        let steps = (f64::from(x) - f64::from(offset)) / step;
        let beyond = (steps - max).max(min - steps);
        if beyond > 0.51 {
            found.values += 1;
            if beyond * step > found.farthest || found.at.is_none() {
                found.farthest = beyond * step;
                found.part = beyond / (max - min).max(1.0);
                found.at = Some([0, i]);
            }
        }
    }
    found.rows = usize::from(found.values > 0);
    found
}

/// The same of many rows.
#[must_use]
pub fn all<'r>(plan: &Plan<'_>, rows: impl IntoIterator<Item = &'r [f32]>) -> Clamped {
    let mut sum = Clamped::default();
    for (index, row) in rows.into_iter().enumerate() {
        let one = of(plan, row);
        sum.values += one.values;
        sum.rows += one.rows;
        if one.part > sum.part {
            let at = one.at.map(|[_, column]| [index, column]);
            (sum.farthest, sum.part, sum.at) = (one.farthest, one.part, at);
        }
    }
    sum
}
