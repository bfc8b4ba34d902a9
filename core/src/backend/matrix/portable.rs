//! The portable path, without vectors.

use super::{Rows, Shape, Weights};
use crate::convolution::Convolution;
use crate::{Error, Result};

/// As [`super::add_rows`], in words of 32 bits if these are enough.
///
/// # Errors
/// Those of [`super::add_rows`].
pub fn add_rows<R: Rows>(
    weights: Weights<'_>,
    bits: u32,
    mut rows: R,
    x: &[u64],
    y: &mut [u64],
) -> Result<()> {
    let narrow =
        |sum: u32, (w, &x): (i32, &u64)| sum.wrapping_add((w as u32).wrapping_mul(x as u32));
    let wide =
        |sum: u64, (w, &x): (i32, &u64)| sum.wrapping_add((i64::from(w) as u64).wrapping_mul(x));
    for y in y {
        let first = rows.next().ok_or(Error::Internal)?;
        let row = first..first + x.len();
        *y = match (weights, bits <= u32::BITS) {
            (Weights::Narrow(all), true) => {
                terms(all, row, i32::from)?.zip(x).fold(*y as u32, narrow).into()
            }
            (Weights::Narrow(all), false) => terms(all, row, i32::from)?.zip(x).fold(*y, wide),
            (Weights::Wide(all), true) => {
                terms(all, row, from_bytes)?.zip(x).fold(*y as u32, narrow).into()
            }
            (Weights::Wide(all), false) => terms(all, row, from_bytes)?.zip(x).fold(*y, wide),
        };
    }
    Ok(())
}

/// The weights of a row.
#[inline(always)]
fn terms<T: Copy>(
    all: &[T],
    row: core::ops::Range<usize>,
    value: impl Fn(T) -> i32,
) -> Result<impl Iterator<Item = i32>> {
    Ok(all.get(row).ok_or(Error::Internal)?.iter().map(move |&w| value(w)))
}

fn from_bytes(bytes: [u8; 2]) -> i32 {
    i16::from_le_bytes(bytes).into()
}

/// As [`super::convolve`]: each weight times the rows of inputs that it meets.
///
/// # Errors
/// Those of [`super::convolve`].
pub fn convolve(
    weights: Weights<'_>,
    _bits: u32,
    layer: &Convolution,
    x: &[u64],
    y: &mut [u64],
) -> Result<()> {
    let shape = Shape::new(layer, weights, x, y)?;
    y.fill(0);
    for (output, y) in y.chunks_exact_mut(shape.pixels()).enumerate() {
        for tap in 0..shape.fan_in() {
            let w = weights.get(output * shape.fan_in() + tap).ok_or(Error::Internal)?;
            let w = i64::from(w) as u64;
            let (channel, [u, v]) = shape.tap(output / shape.outputs, tap);
            for (row, y) in y.chunks_exact_mut(shape.size[1]).enumerate() {
                let (columns, from) = inside(layer, channel, row, [u, v], shape.size[1]);
                let (x, y) = x.get(from..).zip(y.get_mut(columns)).ok_or(Error::Internal)?;
                for (y, &x) in y.iter_mut().zip(x.iter().step_by(layer.stride[1] as usize)) {
                    *y = y.wrapping_add(w.wrapping_mul(x));
                }
            }
        }
    }
    Ok(())
}

/// The output columns of a row at which a tap lies inside of the image, and the input element under
/// the first of them.
fn inside(
    layer: &Convolution,
    channel: usize,
    row: usize,
    [u, v]: [usize; 2],
    wo: usize,
) -> (core::ops::Range<usize>, usize) {
    let [stride, dilation, left] =
        [layer.stride[1], layer.dilation[1], layer.pads[1]].map(|n| n as usize);
    let first = left.saturating_sub(v * dilation).div_ceil(stride).min(wo);
    let end = (left + layer.input[2] as usize)
        .saturating_sub(v * dilation)
        .div_ceil(stride)
        .clamp(first, wo);
    match layer.tap(channel, [row, first], [u, v]) {
        Some(from) => (first..end, from),
        None => (0..0, 0),
    }
}
