//! Elements copied from one tensor into another by a regular pattern: what slices, transposes,
//! padding, concatenation, residual sums and sums over any axis have in common.

use crate::error::{Error, PlanFault, Result};

/// For every `i` with `i[k] < dims[k]`: element `from + Σ i[k]·steps[k]` of the source goes to
/// element `to + Σ i[k]·strides[k]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// How often each of four nested loops runs, outermost first; 1 where it is not needed.
    pub dims: [u32; 4],
    /// First element read.
    pub from: u32,
    /// From one element read to the next; 0 repeats it, negative goes backwards.
    pub steps: [i32; 4],
    /// First element written.
    pub to: u32,
    /// From one element written to the next; 0 adds them up.
    pub strides: [i32; 4],
}

impl View {
    /// The first `len` elements onto the first `len` elements.
    #[must_use]
    pub const fn whole(len: u32) -> Self {
        Self { dims: [1, 1, 1, len], from: 0, steps: [0, 0, 0, 1], to: 0, strides: [0, 0, 0, 1] }
    }

    /// Elements copied.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.dims.iter().fold(1, |n, &d| n.saturating_mul(u64::from(d)))
    }

    /// Whether it copies nothing: never so in a checked plan.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether every index lies inside: `inputs` elements to read, `outputs` to write, at most
    /// `most` copies.
    ///
    /// # Errors
    /// [`PlanFault::Shape`] if not.
    pub fn check(&self, inputs: u32, outputs: u32, most: u64) -> Result<()> {
        let inside = |first: u32, steps: &[i32; 4], len: u32| {
            let reach = |wanted: fn(i64) -> bool| {
                let ends =
                    self.dims.iter().zip(steps).map(|(&d, &s)| (i64::from(d) - 1) * i64::from(s));
                ends.filter(|&e| wanted(e)).fold(i64::from(first), i64::saturating_add)
            };
            reach(|e| e < 0) >= 0 && reach(|e| e > 0) < i64::from(len)
        };
        let len = self.len();
        if (1..=most).contains(&len)
            && inside(self.from, &self.steps, inputs)
            && inside(self.to, &self.strides, outputs)
        {
            Ok(())
        } else {
            Err(Error::Plan(PlanFault::Shape))
        }
    }

    /// Calls `copy(read, written)` for every pair of a checked view, innermost loop first.
    pub fn for_each(&self, mut copy: impl FnMut(usize, usize)) {
        let copied = self.try_for_each(|read, written| {
            copy(read, written);
            Ok(())
        });
        debug_assert!(copied.is_ok());
    }

    /// As [`Self::for_each`], up to the first error.
    ///
    /// # Errors
    /// That of `copy`.
    pub fn try_for_each(&self, mut copy: impl FnMut(usize, usize) -> Result<()>) -> Result<()> {
        let [d0, d1, d2, d3] = self.dims;
        let at = |first: i64, index: u32, step: i32| first + i64::from(index) * i64::from(step);
        for a in 0..d0 {
            for b in 0..d1 {
                for c in 0..d2 {
                    let outer = |first: u32, s: &[i32; 4]| {
                        at(at(at(i64::from(first), a, s[0]), b, s[1]), c, s[2])
                    };
                    let (read, written) =
                        (outer(self.from, &self.steps), outer(self.to, &self.strides));
                    for d in 0..d3 {
                        copy(
                            at(read, d, self.steps[3]) as usize,
                            at(written, d, self.strides[3]) as usize,
                        )?;
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn pairs(view: &View) -> Vec<(usize, usize)> {
        let mut pairs = Vec::new();
        view.for_each(|i, j| pairs.push((i, j)));
        pairs
    }

    #[test]
    fn transposes_reverses_and_adds_up() {
        let transpose =
            View { dims: [1, 1, 3, 2], from: 0, steps: [0, 0, 1, 3], to: 0, strides: [0, 0, 2, 1] };
        assert_eq!(pairs(&transpose), [(0, 0), (3, 1), (1, 2), (4, 3), (2, 4), (5, 5)]);
        let backwards = View {
            dims: [1, 1, 1, 3],
            from: 2,
            steps: [0, 0, 0, -1],
            to: 1,
            strides: [0, 0, 0, 0],
        };
        assert_eq!(pairs(&backwards), [(2, 1), (1, 1), (0, 1)]);
        assert_eq!(pairs(&View::whole(2)), [(0, 0), (1, 1)]);
    }

    #[test]
    fn nothing_outside_is_touched() {
        let good = View {
            dims: [2, 1, 3, 2],
            from: 1,
            steps: [6, 0, 2, 1],
            to: 4,
            strides: [-3, 0, 1, 1],
        };
        let most =
            |f: fn(&(usize, usize)) -> usize| pairs(&good).iter().map(f).max().unwrap() as u32 + 1;
        let (inputs, outputs) = (most(|p| p.0), most(|p| p.1));
        assert_eq!(good.check(inputs, outputs, 12), Ok(()));
        for (i, o, n) in
            [(inputs - 1, outputs, 12), (inputs, outputs - 1, 12), (inputs, outputs, 11)]
        {
            assert!(good.check(i, o, n).is_err());
        }
        for bad in [
            View { from: 0, steps: [-1, 0, 2, 1], ..good },
            View { to: 2, ..good },
            View { dims: [0, 1, 1, 1], ..good },
            View { dims: [u32::MAX; 4], ..good },
            View { dims: [u32::MAX, 1, 1, 1], steps: [i32::MAX; 4], ..good },
            View { from: u32::MAX, ..good },
        ] {
            assert!(bad.check(inputs, outputs, 1 << 26).is_err(), "{bad:?}");
        }
    }
}
