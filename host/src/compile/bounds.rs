//! Interval arithmetic: for every element of a tensor, the integers that it can take.

use minionn_core::params::{MAX_RING_BITS, MIN_RING_BITS};
use minionn_core::plan::Function;

/// Inclusive bounds of every element. All fit into the widest ring, so sums of products fit into `i128` with room to spare:
/// 2^24 terms of 2^11 · 2^43.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    lo: Vec<i64>,
    hi: Vec<i64>,
}

/// Bits of the narrowest signed integer that holds `lo` and `hi`.
pub(super) fn width(lo: i128, hi: i128) -> u32 {
    let one = |x: i128| 129 - if x < 0 { !x } else { x }.leading_zeros();
    one(lo).max(one(hi))
}

/// A tensor that no ring holds: how many bits it would take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooWide(pub(super) u32);

impl Bounds {
    /// The same bounds for `len` elements; they fit.
    pub(super) fn same(len: usize, lo: i64, hi: i64) -> Self {
        Self { lo: vec![lo; len], hi: vec![hi; len] }
    }

    fn collect(pairs: impl Iterator<Item = (i128, i128)>) -> Result<Self, TooWide> {
        let (mut lo, mut hi) = (Vec::new(), Vec::new());
        let (mut least, mut most) = (0, 0);
        for (l, h) in pairs {
            (least, most) = (l.min(least), h.max(most));
            lo.push(l as i64);
            hi.push(h as i64);
        }
        // Casts above are wrong exactly when this fails.
        let bits = width(least, most);
        if bits > u32::from(MAX_RING_BITS) { Err(TooWide(bits)) } else { Ok(Self { lo, hi }) }
    }

    fn pairs(&self) -> impl Iterator<Item = (i64, i64)> {
        self.lo.iter().copied().zip(self.hi.iter().copied())
    }

    pub(super) fn len(&self) -> usize {
        self.lo.len()
    }

    /// Smallest and largest integer of all elements.
    pub(super) fn extremes(&self) -> (i64, i64) {
        (self.lo.iter().copied().min().unwrap_or(0), self.hi.iter().copied().max().unwrap_or(0))
    }

    /// Bits of the narrowest ring that holds every element.
    pub(super) fn bits(&self) -> u8 {
        let (lo, hi) = self.extremes();
        (width(i128::from(lo), i128::from(hi)) as u8).max(MIN_RING_BITS)
    }

    /// All elements plus `c`.
    pub(super) fn plus(&self, c: i64) -> Result<Self, TooWide> {
        Self::collect(self.pairs().map(|(lo, hi)| (i128::from(lo) + i128::from(c), i128::from(hi) + i128::from(c))))
    }

    /// `floor(f(y) / 2^shift)`; both are monotone.
    pub(super) fn activate(&self, function: Function, shift: u8) -> Self {
        let f = |y: i64| match function {
            Function::Identity => y >> shift,
            Function::Relu => y.max(0) >> shift,
        };
        Self { lo: self.lo.iter().map(|&y| f(y)).collect(), hi: self.hi.iter().map(|&y| f(y)).collect() }
    }

    /// `y²`.
    pub(super) fn square(&self) -> Result<Self, TooWide> {
        Self::collect(self.pairs().map(|(lo, hi)| {
            let (a, b) = (i128::from(lo).pow(2), i128::from(hi).pow(2));
            (if lo <= 0 && hi >= 0 { 0 } else { a.min(b) }, a.max(b))
        }))
    }

    /// `W·x + b`, exact: each bound is taken by some input inside the box.
    pub(super) fn linear(&self, weights: &[i16], biases: &[i64]) -> Result<Self, TooWide> {
        Self::collect(weights.chunks_exact(self.len().max(1)).zip(biases).map(|(row, &bias)| {
            let (mut lo, mut hi) = (i128::from(bias), i128::from(bias));
            for (&w, (l, h)) in row.iter().zip(self.pairs()) {
                let (a, b) = (i128::from(i64::from(w) * l), i128::from(i64::from(w) * h));
                lo += a.min(b);
                hi += a.max(b);
            }
            (lo, hi)
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths() {
        for (lo, hi, bits) in [(0, 0, 1), (-1, 0, 1), (0, 1, 2), (-2, 1, 2), (-128, 127, 8), (-129, 0, 9), (0, 128, 9), (0, 1 << 43, 45)] {
            assert_eq!(width(lo, hi), bits, "{lo} {hi}");
        }
    }

    #[test]
    fn bounds_are_tight_and_sound() {
        let x = Bounds { lo: vec![-3, 2], hi: vec![1, 5] };
        let weights = [2, -1, 0, 3];
        let y = x.linear(&weights, &[10, -4]).unwrap();
        let all = (-3..=1).flat_map(|a| (2..=5).map(move |b| (2 * a - b + 10, 3 * b - 4)));
        let (first, second): (Vec<i64>, Vec<i64>) = all.unzip();
        let range = |v: &[i64]| (*v.iter().min().unwrap(), *v.iter().max().unwrap());
        assert_eq!(y.pairs().collect::<Vec<_>>(), [range(&first), range(&second)]);
        assert_eq!(x.square().unwrap(), Bounds { lo: vec![0, 4], hi: vec![9, 25] });
        assert_eq!(x.activate(Function::Identity, 1), Bounds { lo: vec![-2, 1], hi: vec![0, 2] });
        assert_eq!(x.activate(Function::Relu, 0), Bounds { lo: vec![0, 2], hi: vec![1, 5] });
    }

    #[test]
    fn too_wide_is_noticed() {
        let x = Bounds::same(1, 0, (1 << 43) - 1);
        assert_eq!(x.bits(), 44);
        assert_eq!(x.plus(1), Err(TooWide(45)));
        assert_eq!(x.square(), Err(TooWide(87)));
        assert_eq!(Bounds::same(4, 0, 1 << 40).linear(&[2; 4], &[0]), Err(TooWide(45)));
    }
}
