//! Products of small signed weights in the clear with elements of a ring of `2^bits`, for whole
//! layers.

#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
pub mod portable;

use super::cpu::fastest;
use crate::convolution::Convolution;

/// Weights as a model holds them: at most 8 bits each, or at most 12.
#[derive(Clone, Copy, Debug)]
pub enum Weights<'a> {
    /// One byte each.
    Narrow(&'a [i8]),
    /// Two bytes each, little-endian.
    Wide(&'a [[u8; 2]]),
}

impl Weights<'_> {
    /// Weight `index`; zero behind the end.
    #[inline]
    #[must_use]
    pub fn get(&self, index: usize) -> i16 {
        match self {
            Self::Narrow(weights) => weights.get(index).map_or(0, |&w| w.into()),
            Self::Wide(weights) => weights.get(index).map_or(0, |&w| i16::from_le_bytes(w)),
        }
    }
}

/// Where rows of a matrix begin among its weights.
pub trait Rows: Iterator<Item = usize> + Clone {}
impl<I: Iterator<Item = usize> + Clone> Rows for I {}

fastest! {
    /// Adds `Σ_j w[row + j]·x[j]` for every row to its element of `y`, modulo `2^bits`, `bits ≤ 64`; higher bits of `y` are left undefined.
    pub fn add_rows<R: Rows>(weights: Weights<'_>, bits: u32, rows: R, x: &[u64], y: &mut [u64]);

    /// `y = W∗x` modulo `2^bits`, `bits ≤ 48`; higher bits of `y` are left undefined. Tensors and weights in ONNX's order.
    pub fn convolve(weights: Weights<'_>, bits: u32, layer: &Convolution, x: &[u64], y: &mut [u64]);
}

/// A convolution as a product of matrices: for every group, weights `[outputs][taps]` with inputs
/// `[taps][pixels]`.
struct Shape {
    /// Output channels of a group.
    outputs: usize,
    /// Channels of a group, height and width of the kernel.
    taps: [usize; 3],
    /// Height and width of the output.
    size: [usize; 2],
}

impl Shape {
    fn new(layer: &Convolution) -> Option<Self> {
        let ([channels, ..], [kh, kw], [ho, wo]) =
            (layer.input, layer.kernel, layer.output_size().ok()?);
        let of_group = |n: u32| (n / layer.groups) as usize;
        Some(Self {
            outputs: of_group(layer.outputs),
            taps: [of_group(channels), kh as usize, kw as usize],
            size: [ho as usize, wo as usize],
        })
    }

    const fn pixels(&self) -> usize {
        let [ho, wo] = self.size;
        ho * wo
    }

    const fn fan_in(&self) -> usize {
        let [channels, kh, kw] = self.taps;
        channels * kh * kw
    }

    /// Channel of `group`, row and column of the kernel of a tap.
    const fn tap(&self, group: usize, tap: usize) -> (usize, [usize; 2]) {
        let [channels, kh, kw] = self.taps;
        (group * channels + tap / (kh * kw), [tap / kw % kh, tap % kw])
    }
}

#[cfg(test)]
mod tests;
