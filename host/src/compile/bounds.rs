//! Interval arithmetic: for every element of a tensor, the integers that it can take.
//!
//! Bounds are kept once for each channel where all elements of a channel share them, so a
//! convolution is never expanded.

use crate::network::size;
use minionn_core::params::{MAX_RING_BITS, MIN_RING_BITS};
use minionn_core::plan::{Convolution, Function, View};

/// Inclusive bounds of every element. All fit into the widest ring, so sums of products fit into
/// `i128` with room to spare: 2^28 terms of 2^11 · 2^43.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    lo: Vec<i64>,
    hi: Vec<i64>,
    /// Neighbouring elements that share an entry of `lo` and `hi`.
    repeat: usize,
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
        Self { lo: vec![lo], hi: vec![hi], repeat: len }
    }

    fn collect(repeat: usize, pairs: impl Iterator<Item = (i128, i128)>) -> Result<Self, TooWide> {
        let (mut lo, mut hi) = (Vec::new(), Vec::new());
        let (mut least, mut most) = (0, 0);
        for (l, h) in pairs {
            (least, most) = (l.min(least), h.max(most));
            lo.push(l as i64);
            hi.push(h as i64);
        }
        // Casts above are wrong exactly when this fails.
        let bits = width(least, most);
        if bits > u32::from(MAX_RING_BITS) {
            Err(TooWide(bits))
        } else {
            Ok(Self { lo, hi, repeat })
        }
    }

    /// The entries.
    fn pairs(&self) -> impl Iterator<Item = (i64, i64)> {
        self.lo.iter().copied().zip(self.hi.iter().copied())
    }

    pub(super) fn len(&self) -> usize {
        self.lo.len() * self.repeat
    }

    /// Bounds of each of `channels` equal parts of the tensor: exact where the elements of a
    /// channel share theirs, as all but a fully connected layer make it.
    fn channels(&self, channels: usize) -> Vec<(i64, i64)> {
        let each = self.len() / channels.max(1);
        let part = |channel: usize| {
            let entries =
                channel * each / self.repeat..((channel + 1) * each).div_ceil(self.repeat);
            let lo = self.lo.get(entries.clone()).unwrap_or_default().iter().copied().min();
            let hi = self.hi.get(entries).unwrap_or_default().iter().copied().max();
            (lo.unwrap_or(0), hi.unwrap_or(0))
        };
        (0..channels).map(part).collect()
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

    /// Plus a constant for each of equal parts.
    pub(super) fn plus(&self, constants: &[i64]) -> Result<Self, TooWide> {
        let parts = constants.len().max(1);
        if self.lo.len().is_multiple_of(parts) {
            let each = self.lo.len() / parts;
            let constant = |i: usize| i128::from(constants.get(i / each).copied().unwrap_or(0));
            let pairs = self.pairs().enumerate();
            return Self::collect(
                self.repeat,
                pairs.map(|(i, (lo, hi))| {
                    (i128::from(lo) + constant(i), i128::from(hi) + constant(i))
                }),
            );
        }
        // Finer than the entries, or cut otherwise: one for each part.
        let pairs = self.channels(parts).into_iter().zip(constants);
        Self::collect(
            self.len() / parts,
            pairs.map(|((lo, hi), &c)| {
                (i128::from(lo) + i128::from(c), i128::from(hi) + i128::from(c))
            }),
        )
    }

    /// `f(y)` with its shift. All but splines are monotone, and these take the worst of all.
    pub(super) fn activate(&self, function: &Function, shift: u8) -> Self {
        if let Function::PiecewiseLinear(spline) = function {
            let (lo, hi) = self.extremes();
            let (lo, hi) = (lo >> shift, hi >> shift);
            let edge = 1_i64 << spline.input_bits;
            let inside = (lo.max(-edge)..=hi.min(edge - 1)).chain([lo, hi]);
            let (least, most) = inside
                .map(|y| spline.apply(y))
                .fold((i64::MAX, i64::MIN), |(l, h), v| (l.min(v), h.max(v)));
            return Self::same(self.len(), least, most);
        }
        let f = |&y: &i64| function.apply(y, shift);
        Self {
            lo: self.lo.iter().map(f).collect(),
            hi: self.hi.iter().map(f).collect(),
            repeat: self.repeat,
        }
    }

    /// `x·y`.
    pub(super) fn product(&self, other: &Self) -> Result<Self, TooWide> {
        let ((a, b), (c, d)) = (self.extremes(), other.extremes());
        let corners = [(a, c), (a, d), (b, c), (b, d)].map(|(x, y)| i128::from(x) * i128::from(y));
        let least = corners.iter().copied().min().unwrap_or(0);
        let most = corners.iter().copied().max().unwrap_or(0);
        Self::collect(self.len(), core::iter::once((least, most)))
    }

    /// A tensor of `len` made of pieces: bounds, factor, view of each.
    pub(super) fn arrange(len: usize, pieces: &[(&Self, i32, View)]) -> Result<Self, TooWide> {
        let mut sums = vec![(0_i128, 0_i128); len];
        for (bounds, factor, view) in pieces {
            let factor = i128::from(*factor);
            view.for_each(|from, to| {
                let entry = from / bounds.repeat.max(1);
                if let (Some(&lo), Some(&hi), Some(sum)) =
                    (bounds.lo.get(entry), bounds.hi.get(entry), sums.get_mut(to))
                {
                    let (a, b) = (factor * i128::from(lo), factor * i128::from(hi));
                    *sum = (sum.0 + a.min(b), sum.1 + a.max(b));
                }
            });
        }
        // The longest runs that share their bounds, so that images stay short.
        let same = |each: usize| {
            len.is_multiple_of(each)
                && sums.chunks(each).all(|c| c.iter().all(|s| Some(s) == c.first()))
        };
        let run = sums.iter().take_while(|s| Some(*s) == sums.first()).count().max(1);
        let repeat = if same(run) { run } else { 1 };
        Self::collect(repeat, sums.iter().step_by(repeat).copied())
    }

    /// `y²`.
    pub(super) fn square(&self) -> Result<Self, TooWide> {
        Self::collect(
            self.repeat,
            self.pairs().map(|(lo, hi)| {
                let (a, b) = (i128::from(lo).pow(2), i128::from(hi).pow(2));
                (if lo <= 0 && hi >= 0 { 0 } else { a.min(b) }, a.max(b))
            }),
        )
    }

    /// The largest of each window.
    pub(super) fn max_pool(&self, window: &Convolution) -> Self {
        let (lo, hi) = self.channels(window.outputs as usize).into_iter().unzip();
        Self { lo, hi, repeat: size(window).iter().product() }
    }

    /// The sum of each window: with padding, of one element at least.
    pub(super) fn sum_pool(&self, window: &Convolution) -> Result<Self, TooWide> {
        let most = window.window_len() as i128;
        let least = if window.pads == [0; 4] { most } else { 1 };
        let channels = self
            .channels(window.outputs as usize)
            .into_iter()
            .map(|(lo, hi)| (i128::from(lo), i128::from(hi)));
        Self::collect(
            size(window).iter().product(),
            channels.map(|(lo, hi)| ((lo * most).min(lo * least), (hi * most).max(hi * least))),
        )
    }

    /// `W∗x + b`, exact without padding: each bound is taken by some input inside the box. In the
    /// border that padding makes, terms are left out, so there each term may also be 0.
    pub(super) fn linear(
        &self,
        layer: &Convolution,
        weights: &[i16],
        biases: &[i64],
    ) -> Result<Self, TooWide> {
        let (channels, kernel) = (self.channels(layer.input[0] as usize), layer.window_len());
        let (inputs, outputs) =
            ((layer.input[0] / layer.groups) as usize, (layer.outputs / layer.groups) as usize);
        let border = layer.pads != [0; 4];
        let rows = weights.chunks_exact((inputs * kernel).max(1)).zip(biases).enumerate();
        Self::collect(
            size(layer).iter().product(),
            rows.map(|(output, (row, &bias))| {
                let (mut lo, mut hi) = (i128::from(bias), i128::from(bias));
                for (taps, (l, h)) in
                    row.chunks_exact(kernel).zip(channels.iter().skip(output / outputs * inputs))
                {
                    for &w in taps {
                        let (a, b) = (i128::from(i64::from(w) * l), i128::from(i64::from(w) * h));
                        let (least, most) = (a.min(b), a.max(b));
                        lo += if border { least.min(0) } else { least };
                        hi += if border { most.max(0) } else { most };
                    }
                }
                (lo, hi)
            }),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths() {
        for (lo, hi, bits) in [
            (0, 0, 1),
            (-1, 0, 1),
            (0, 1, 2),
            (-2, 1, 2),
            (-128, 127, 8),
            (-129, 0, 9),
            (0, 128, 9),
            (0, 1 << 43, 45),
        ] {
            assert_eq!(width(lo, hi), bits, "{lo} {hi}");
        }
    }

    #[test]
    fn bounds_are_tight_and_sound() {
        let x = Bounds { lo: vec![-3, 2], hi: vec![1, 5], repeat: 1 };
        let weights = [2, -1, 0, 3];
        let y = x.linear(&Convolution::fully_connected(2, 2), &weights, &[10, -4]).unwrap();
        let all = (-3..=1).flat_map(|a| (2..=5).map(move |b| (2 * a - b + 10, 3 * b - 4)));
        let (first, second): (Vec<i64>, Vec<i64>) = all.unzip();
        let range = |v: &[i64]| (*v.iter().min().unwrap(), *v.iter().max().unwrap());
        assert_eq!(y.pairs().collect::<Vec<_>>(), [range(&first), range(&second)]);
        assert_eq!(x.square().unwrap(), Bounds { lo: vec![0, 4], hi: vec![9, 25], repeat: 1 });
        assert_eq!(
            x.activate(&Function::Identity, 1),
            Bounds { lo: vec![-2, 1], hi: vec![0, 2], repeat: 1 }
        );
        assert_eq!(
            x.activate(&Function::Relu, 0),
            Bounds { lo: vec![0, 2], hi: vec![1, 5], repeat: 1 }
        );
    }

    #[test]
    fn too_wide_is_noticed() {
        let x = Bounds::same(1, 0, (1 << 43) - 1);
        assert_eq!(x.bits(), 44);
        assert_eq!(x.plus(&[1]), Err(TooWide(45)));
        assert_eq!(x.square(), Err(TooWide(87)));
        assert_eq!(
            Bounds::same(4, 0, 1 << 40).linear(&Convolution::fully_connected(4, 1), &[2; 4], &[0]),
            Err(TooWide(45))
        );
    }

    #[test]
    fn sums_and_products_cover_every_value() {
        let x = Bounds { lo: vec![-3, 2], hi: vec![1, 5], repeat: 2 };
        let y = Bounds::same(4, -1, 2);
        assert_eq!(x.product(&y).unwrap(), Bounds::same(4, -6, 10));
        let sum = Bounds::arrange(4, &[(&x, 2, View::whole(4)), (&y, -1, View::whole(4))]).unwrap();
        assert_eq!(sum, Bounds { lo: vec![-8, 2], hi: vec![3, 11], repeat: 2 });
        let turned =
            View { dims: [1, 1, 2, 2], from: 0, steps: [0, 0, 1, 2], to: 1, strides: [0, 0, 2, 1] };
        let padded = Bounds::arrange(5, &[(&x, 1, turned)]).unwrap();
        assert_eq!(
            padded,
            Bounds { lo: vec![0, -3, 2, -3, 2], hi: vec![0, 1, 5, 1, 5], repeat: 1 }
        );
        assert_eq!(
            x.plus(&[1, 2, 3, 4]).unwrap(),
            Bounds { lo: vec![-2, -1, 5, 6], hi: vec![2, 3, 8, 9], repeat: 1 }
        );
        assert_eq!(x.plus(&[1, 2]).unwrap(), Bounds { lo: vec![-2, 4], hi: vec![2, 7], repeat: 2 });
        let three = Bounds { lo: vec![0, 10, 20], hi: vec![1, 11, 21], repeat: 4 };
        assert_eq!(
            three.plus(&[100, 200]).unwrap(),
            Bounds { lo: vec![100, 210], hi: vec![111, 221], repeat: 6 }
        );
        assert_eq!(x.plus(&[7]).unwrap(), Bounds { lo: vec![4, 9], hi: vec![8, 12], repeat: 2 });
    }

    #[test]
    fn images_keep_one_entry_for_each_channel() {
        let x = Bounds { lo: vec![-3, 2], hi: vec![1, 5], repeat: 16 };
        let plain =
            Convolution { input: [2, 4, 4], kernel: [1, 2], ..Convolution::fully_connected(2, 1) };
        let weights = [2, -1, 0, 3];
        let inner = x.linear(&plain, &weights, &[0]).unwrap();
        assert_eq!(inner, Bounds { lo: vec![-7 + 6], hi: vec![5 + 15], repeat: 12 });
        let padded =
            x.linear(&Convolution { pads: [0, 1, 0, 0], ..plain }, &weights, &[0]).unwrap();
        assert_eq!(padded, Bounds { lo: vec![-7], hi: vec![5 + 15], repeat: 16 });
        let window = Convolution::window([2, 4, 4], [2, 2], [2, 2], [0; 4], [1, 1]);
        assert_eq!(x.max_pool(&window), Bounds { repeat: 4, ..x.clone() });
        assert_eq!(
            x.sum_pool(&window).unwrap(),
            Bounds { lo: vec![-12, 8], hi: vec![4, 20], repeat: 4 }
        );
        let padded = Convolution { pads: [1; 4], ..window };
        assert_eq!(
            x.sum_pool(&padded).unwrap(),
            Bounds { lo: vec![-12, 2], hi: vec![4, 20], repeat: 9 }
        );
        // A flat row that becomes an image: bounds of a channel cover those of its elements.
        let row = Bounds { lo: vec![-1, -5, 0, 2], hi: vec![1, 2, 3, 4], repeat: 1 };
        assert_eq!(row.channels(2), [(-5, 2), (0, 4)]);
    }
}
