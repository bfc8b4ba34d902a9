//! Products of small signed weights in the clear with elements of a ring of `2^bits`, for whole
//! layers.

#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
pub mod portable;

use super::cpu::fastest;
use crate::convolution::Convolution;
use crate::{Error, Result};

/// Weights as a model holds them: at most 8 bits each, or at most 12.
#[derive(Clone, Copy, Debug)]
pub enum Weights<'a> {
    /// One byte each.
    Narrow(&'a [i8]),
    /// Two bytes each, little-endian.
    Wide(&'a [[u8; 2]]),
}

impl Weights<'_> {
    /// Weight `index`, if there is one.
    #[inline]
    #[must_use]
    pub fn get(&self, index: usize) -> Option<i16> {
        match self {
            Self::Narrow(weights) => weights.get(index).map(|&w| w.into()),
            Self::Wide(weights) => weights.get(index).map(|&w| i16::from_le_bytes(w)),
        }
    }

    /// How many there are.
    #[must_use]
    pub const fn count(&self) -> usize {
        match self {
            Self::Narrow(weights) => weights.len(),
            Self::Wide(weights) => weights.len(),
        }
    }
}

/// Where rows of a matrix begin among its weights.
pub trait Rows: Iterator<Item = usize> + Clone {}
impl<I: Iterator<Item = usize> + Clone> Rows for I {}

fastest! {
    /// Adds `Σ_j w[row + j]·x[j]` for every row to its element of `y`, modulo `2^bits`, `bits ≤
    /// 64`; higher bits of `y` are left undefined.
    ///
    /// # Errors
    /// [`Error::Internal`] if there is no row for an element of `y`, or weights of a row are
    /// missing.
    pub fn add_rows<R: Rows>(
        weights: Weights<'_>,
        bits: u32,
        rows: R,
        x: &[u64],
        y: &mut [u64],
    ) -> Result<()>;

    /// `y = W∗x` modulo `2^bits`, `bits ≤ 48`; higher bits of `y` are left undefined. Tensors and
    /// weights in ONNX's order.
    ///
    /// # Errors
    /// [`Error::Internal`] if a length is not the layer's.
    pub fn convolve(
        weights: Weights<'_>,
        bits: u32,
        layer: &Convolution,
        x: &[u64],
        y: &mut [u64],
    ) -> Result<()>;
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
    /// The shape of a layer with all its weights, inputs and outputs.
    fn new(layer: &Convolution, weights: Weights<'_>, x: &[u64], y: &[u64]) -> Result<Self> {
        let ([channels, height, width], [kh, kw], [ho, wo]) =
            (layer.input, layer.kernel, layer.output_size()?);
        let of_group = |n: u32| (n / layer.groups) as usize;
        let shape = Self {
            outputs: of_group(layer.outputs),
            taps: [of_group(channels), kh as usize, kw as usize],
            size: [ho as usize, wo as usize],
        };
        let outputs = layer.outputs as usize;
        let whole = weights.count() == outputs * shape.fan_in()
            && x.len() == channels as usize * height as usize * width as usize
            && y.len() == outputs * shape.pixels();
        if whole { Ok(shape) } else { Err(Error::Internal) }
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
