//! The path with AVX2: elements in signed digits that a product of pairs of 16 bits takes, two
//! products and a sum in 32 bits at a time.
//!
//! Digits have [`Digits::width`] bits, such that a block of sums stays below `2^31`: 16 bits and up
//! to 2^8 products of 8-bit weights, or 13 bits and up to 2^7 of 12-bit weights, for
//! `2·2^15·2^7·2^7 = 2^30` and `2^12·2^11·2^7 = 2^30`.

#![expect(clippy::indexing_slicing, reason = "hot; all indices are below constant lengths")]

use super::{Rows, Shape, Weights};
use crate::convolution::Convolution;
use crate::{Error, Result};
use core::arch::x86_64::*;

/// Terms of a sum before it is widened: see above.
const TERMS: usize = 128;
/// Values of a vector of digits.
const LANES: usize = 16;

/// How elements fall into digits.
#[derive(Clone, Copy)]
struct Digits {
    width: i32,
    /// Half of every digit's range, added beforehand: then digits are unsigned, and this is taken
    /// from each.
    halves: u64,
}

impl Digits {
    /// Bits of a digit, for these weights.
    const fn width(weights: Weights<'_>) -> u32 {
        match weights {
            Weights::Narrow(_) => 16,
            Weights::Wide(_) => 13,
        }
    }

    fn new(weights: Weights<'_>) -> Self {
        let width = Self::width(weights);
        let halves = (0..64)
            .step_by(width as usize)
            .map(|at| (1_u64 << (width - 1)).checked_shl(at).unwrap_or(0));
        Self { width: width as i32, halves: halves.fold(0, u64::wrapping_add) }
    }

    /// Digit `k` of eight elements, each in 32 bits.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn of(self, elements: &[u64; 8], k: usize) -> __m256i {
        let [a, b]: [__m256i; 2] = bytemuck::must_cast(*elements);
        let (halves, down) =
            (_mm256_set1_epi64x(self.halves as i64), _mm_cvtsi32_si128(self.width * k as i32));
        let digit = |x| _mm256_castsi256_ps(_mm256_srl_epi64(_mm256_add_epi64(x, halves), down));
        // The low words of all lanes, in order.
        let words = _mm256_castps_si256(_mm256_shuffle_ps::<0x88>(digit(a), digit(b)));
        let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(words);
        let (mask, half) =
            (_mm256_set1_epi32((1 << self.width) - 1), _mm256_set1_epi32(1 << (self.width - 1)));
        _mm256_sub_epi32(_mm256_and_si256(words, mask), half)
    }

    /// Adds sums of products with digit `k` to eight elements.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn add(self, sums: __m256i, k: usize, y: &mut [__m256i; 2]) {
        let up = _mm_cvtsi32_si128(self.width * k as i32);
        let wide = [
            _mm256_cvtepi32_epi64(_mm256_castsi256_si128(sums)),
            _mm256_cvtepi32_epi64(_mm256_extracti128_si256::<1>(sums)),
        ];
        y[0] = _mm256_add_epi64(y[0], _mm256_sll_epi64(wide[0], up));
        y[1] = _mm256_add_epi64(y[1], _mm256_sll_epi64(wide[1], up));
    }
}

/// Calls a function for the number of digits that `bits` take.
macro_rules! in_digits {
    ($function:ident, $weights:expr, $bits:expr, $($argument:expr),*) => {
        match $bits.div_ceil(Digits::width($weights)) {
            0 | 1 => $function::<1>($weights, $($argument),*),
            2 => $function::<2>($weights, $($argument),*),
            3 => $function::<3>($weights, $($argument),*),
            4 => $function::<4>($weights, $($argument),*),
            _ => $function::<5>($weights, $($argument),*),
        }
    };
}

/// As [`super::add_rows`].
#[target_feature(enable = "avx2")]
pub(crate) fn add_rows<R: Rows>(
    weights: Weights<'_>,
    bits: u32,
    rows: R,
    x: &[u64],
    y: &mut [u64],
) -> Result<()> {
    for (block, x) in x.chunks(TERMS).enumerate() {
        in_digits!(add_block, weights, bits, rows.clone().map(|row| row + block * TERMS), x, y)?;
    }
    Ok(())
}

/// [`add_rows`] of a block of elements.
#[inline]
#[target_feature(enable = "avx2")]
fn add_block<const D: usize>(
    weights: Weights<'_>,
    rows: impl Iterator<Item = usize>,
    x: &[u64],
    y: &mut [u64],
) -> Result<()> {
    // Rows that are whole: what is padded lies behind one of them.
    let (each, all) = (x.len(), weights.count());
    let rows = rows.map(|row| if row + each <= all { Ok(row) } else { Err(Error::Internal) });
    let digits = Digits::new(weights);
    let mut vectors = [[_mm256_setzero_si256(); D]; TERMS / LANES];
    for (vectors, x) in vectors.iter_mut().zip(x.chunks(LANES)) {
        let mut padded = [[0; LANES / 2]; 2];
        padded.as_flattened_mut()[..x.len()].copy_from_slice(x);
        for (k, vector) in vectors.iter_mut().enumerate() {
            let both = _mm256_packs_epi32(digits.of(&padded[0], k), digits.of(&padded[1], k));
            *vector = _mm256_permute4x64_epi64::<0b11_01_10_00>(both);
        }
    }
    let vectors = &vectors[..x.len().div_ceil(LANES)];
    match weights {
        Weights::Narrow(all) => {
            let load = |at: usize| {
                _mm256_cvtepi8_epi16(bytemuck::must_cast(chunk_or_padded::<_, LANES>(all, at)))
            };
            add_vectors(digits, load, rows, vectors, y)
        }
        Weights::Wide(all) => add_vectors(
            digits,
            |at| bytemuck::must_cast(chunk_or_padded::<_, LANES>(all, at)),
            rows,
            vectors,
            y,
        ),
    }
}

/// The values from `at` on; zeros behind the end.
#[inline(always)]
fn chunk_or_padded<T: Copy + Default, const L: usize>(values: &[T], at: usize) -> [T; L] {
    let rest = values.get(at..).unwrap_or_default();
    rest.first_chunk().copied().unwrap_or_else(|| {
        let mut padded = [T::default(); L];
        padded[..rest.len()].copy_from_slice(rest);
        padded
    })
}

/// [`add_block`] of a block in digits; `load` for sixteen weights.
#[inline]
#[target_feature(enable = "avx2")]
fn add_vectors<const D: usize>(
    digits: Digits,
    load: impl Fn(usize) -> __m256i,
    mut rows: impl Iterator<Item = Result<usize>>,
    x: &[[__m256i; D]],
    y: &mut [u64],
) -> Result<()> {
    for y in y {
        let row = rows.next().ok_or(Error::Internal)??;
        let mut sums = [_mm256_setzero_si256(); D];
        for (i, x) in x.iter().enumerate() {
            let w = load(row + i * LANES);
            for (sum, x) in sums.iter_mut().zip(x) {
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(w, *x));
            }
        }
        let mut wide = [_mm256_setzero_si256(); 2];
        for (k, sum) in sums.into_iter().enumerate() {
            digits.add(sum, k, &mut wide);
        }
        let lanes: [u64; 4] = bytemuck::must_cast(_mm256_add_epi64(wide[0], wide[1]));
        *y = lanes.into_iter().fold(*y, u64::wrapping_add);
    }
    Ok(())
}

/// Outputs of a convolution that share the digits of their inputs.
const OUTPUTS: usize = 64;
/// Pixels of a vector.
const PIXELS: usize = 8;
/// Weights of [`OUTPUTS`] outputs, in pairs of 16 bits.
type Pairs = [[i32; TERMS / 2]; OUTPUTS];

/// As [`super::convolve`].
#[target_feature(enable = "avx2")]
pub(crate) fn convolve(
    weights: Weights<'_>,
    bits: u32,
    layer: &Convolution,
    x: &[u64],
    y: &mut [u64],
) -> Result<()> {
    in_digits!(convolve_in_digits, weights, bits, layer, x, y)
}

#[inline]
#[target_feature(enable = "avx2")]
fn convolve_in_digits<const D: usize>(
    weights: Weights<'_>,
    layer: &Convolution,
    x: &[u64],
    y: &mut [u64],
) -> Result<()> {
    let shape = Shape::new(layer, weights, x, y)?;
    y.fill(0);
    let mut pairs: Pairs = [[0; TERMS / 2]; OUTPUTS];
    for (group, y) in y.chunks_exact_mut(shape.outputs * shape.pixels()).enumerate() {
        for (part, y) in y.chunks_mut(OUTPUTS * shape.pixels()).enumerate() {
            for taps in (0..shape.fan_in()).step_by(TERMS) {
                let end = shape.fan_in().min(taps + TERMS);
                let first = group * shape.outputs + part * OUTPUTS;
                let outputs = y.len() / shape.pixels();
                for (o, pairs) in pairs.iter_mut().enumerate().take(outputs) {
                    let weight = |tap: usize| {
                        let at = (first + o) * shape.fan_in() + tap;
                        if tap < end { weights.get(at).ok_or(Error::Internal) } else { Ok(0) }
                    };
                    for (pair, tap) in pairs.iter_mut().zip((taps..end).step_by(2)) {
                        *pair = i32::from(weight(tap + 1)?) << 16 | i32::from(weight(tap)? as u16);
                    }
                }
                add_taps::<D>(
                    Digits::new(weights),
                    &pairs,
                    layer,
                    (&shape, group, taps..end),
                    x,
                    y,
                );
            }
        }
    }
    Ok(())
}

/// Adds products with some taps to all pixels of some outputs.
#[inline]
#[target_feature(enable = "avx2")]
fn add_taps<const D: usize>(
    digits: Digits,
    pairs: &Pairs,
    layer: &Convolution,
    (shape, group, taps): (&Shape, usize, core::ops::Range<usize>),
    x: &[u64],
    y: &mut [u64],
) {
    let [rows, columns] = shape.size;
    let mut inputs = [[_mm256_setzero_si256(); D]; TERMS / 2];
    let inputs = &mut inputs[..taps.len().div_ceil(2)];
    for (row, column) in
        (0..rows).flat_map(|row| (0..columns).step_by(PIXELS).map(move |column| (row, column)))
    {
        for (pair, input) in inputs.iter_mut().enumerate() {
            let mut both = [[0; PIXELS]; 2];
            for (tap, elements) in (taps.start + 2 * pair..taps.end).zip(&mut both) {
                let (channel, place) = shape.tap(group, tap);
                *elements = gather(layer, x, channel, [row, column], place);
            }
            for (k, input) in input.iter_mut().enumerate() {
                let (even, odd) = (digits.of(&both[0], k), digits.of(&both[1], k));
                *input = _mm256_blend_epi16::<0b1010_1010>(even, _mm256_slli_epi32::<16>(odd));
            }
        }
        let (at, n) = (row * columns + column, PIXELS.min(columns - column));
        for (y, pairs) in y.chunks_exact_mut(shape.pixels()).zip(pairs) {
            let mut sums = [_mm256_setzero_si256(); D];
            for (input, &pair) in inputs.iter().zip(pairs) {
                for (sum, input) in sums.iter_mut().zip(input) {
                    *sum =
                        _mm256_add_epi32(*sum, _mm256_madd_epi16(*input, _mm256_set1_epi32(pair)));
                }
            }
            let y = &mut y[at..at + n];
            let mut elements = [0; PIXELS];
            elements[..n].copy_from_slice(y);
            let mut wide: [__m256i; 2] = bytemuck::must_cast(elements);
            for (k, sum) in sums.into_iter().enumerate() {
                digits.add(sum, k, &mut wide);
            }
            let elements: [u64; PIXELS] = bytemuck::must_cast(wide);
            y.copy_from_slice(&elements[..n]);
        }
    }
}

/// The inputs that a tap meets at eight pixels of a row, zeros where it meets padding.
#[inline]
fn gather(
    layer: &Convolution,
    x: &[u64],
    channel: usize,
    [row, column]: [usize; 2],
    [u, v]: [usize; 2],
) -> [u64; PIXELS] {
    let ([_, h, w], [sh, sw], [dh, dw], [top, left, ..]) =
        (layer.input, layer.stride, layer.dilation, layer.pads);
    let (h, w, top, left) = (h as usize, w as usize, top as usize, left as usize);
    let (y, first) = (
        (row * sh as usize + u * dh as usize).wrapping_sub(top),
        column * sw as usize + v * dw as usize,
    );
    if y >= h {
        return [0; PIXELS];
    }
    let line = &x[(channel * h + y) * w..][..w];
    if sw == 1
        && first >= left
        && let Some(all) = line.get(first - left..).and_then(|rest| rest.first_chunk())
    {
        return *all;
    }
    core::array::from_fn(|i| {
        line.get((first + i * sw as usize).wrapping_sub(left)).copied().unwrap_or(0)
    })
}
