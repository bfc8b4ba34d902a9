//! Polynomials of one limb, whole slices at a time: the transform, products, reductions.
//!
//! A value is any representative within the bounds that are stated; which one it is may differ
//! between the paths, its class never. Slices of one call have the same length.

#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
pub mod portable;

use super::cpu::fastest;
use crate::prime::Limb;
use crate::prime::Reciprocal;

/// Products of two limbs that an `i64` surely holds: each is below `2^54` in absolute value.
pub(crate) const LAZY: usize = 256;

/// Coefficients of a polynomial that lie together where many polynomials are multiplied: a line of
/// the cache.
pub const BLOCK: usize = 16;

/// Many polynomials, or a part of each that follows the same coefficient.
#[derive(Clone, Copy)]
pub struct Polynomials<'a> {
    /// From the first coefficient of the first one to the last coefficient of the last one.
    pub values: &'a [i32],
    /// From a coefficient of one to the same of the next.
    pub stride: usize,
}

impl<'a> Polynomials<'a> {
    /// A block of polynomial `k`.
    #[inline(always)]
    #[expect(clippy::indexing_slicing, reason = "hot; a slice that is too short is the caller's")]
    fn block(self, block: usize, k: usize) -> &'a [i32; BLOCK] {
        let at = k * self.stride + block * BLOCK;
        &self.values[at..at + BLOCK].as_chunks().0[0]
    }
}

/// How many polynomials `y` has, of as many coefficients as `out`.
fn count(y: &[i32], out: &[i32]) -> usize {
    y.len().checked_div(out.len()).unwrap_or(0)
}

/// What a limb needs to encode plaintexts of `bits` bits, see `lattice/encode.rs`.
pub struct Encoding {
    /// Bits of a plaintext, `p = 2^bits`.
    pub bits: u32,
    /// `q mod p`, of the whole modulus.
    pub q_mod_p: u64,
    /// `p^-1` times `2^64`.
    pub inverse: i32,
}

fastest! {
    /// [`Limb::forward`]; with vectors for polynomials of degree 2048 and 4096.
    pub fn forward(limb: &Limb, a: &mut [i32]);

    /// [`Limb::inverse`]; with vectors as [`forward`].
    pub fn inverse(limb: &Limb, a: &mut [i32]);

    /// `out = a·2^32`, for `|a| ≤ 1`: at most `q/2` in absolute value.
    pub fn to_montgomery_small(limb: &Limb, a: &[i8], out: &mut [i32]);

    /// `out + a`, not reduced.
    pub fn add_small(a: &[i8], out: &mut [i32]);

    /// `a·b / 2^32`, as [`Limb::mul`]: `|a·b| < 2^31·q` in, `(−q, q)` out.
    pub fn multiply(limb: &Limb, a: &mut [i32], b: &[i32]);

    /// `out + a·b / 2^32`: `|a·b| < 2^31·q` and `|out| < 15q` in, `(−q, q)` out.
    pub fn multiply_add(limb: &Limb, a: &[i32], b: &[i32], out: &mut [i32]);

    /// `out − a·b / 2^32`, in `[0, q)`: bounds as in [`multiply_add`].
    pub fn multiply_subtract(limb: &Limb, a: &[i32], b: &[i32], out: &mut [i32]);

    /// `Σ x_k·y_k / 2^32` for both halves `x` of ciphertexts, whole blocks of their coefficients;
    /// all in `(−q, q)`. `y`: a block of every polynomial, then the next block of every one.
    pub fn sums_of_products(limb: &Limb, x: [Polynomials<'_>; 2], y: &[i32], out: [&mut [i32]; 2]);

    /// The same where all coefficients of a `y_k` are equal: one number for each.
    pub fn sums_of_multiples(limb: &Limb, x: [Polynomials<'_>; 2], y: &[i32], out: [&mut [i32]; 2]);

    /// Integers of `bits ≤ 58` bits, read signed, reduced to `(−q, q)`.
    pub fn reduce_signed(limb: &Limb, bits: u32, x: &[u64], out: &mut [i32]);

    /// `round(q·m/p)` of plaintexts `m` modulo p, in `(−q, q)`.
    pub fn encode(limb: &Limb, encoding: &Encoding, m: &[u64], out: &mut [i32]);

    /// `out + x` for `x` in `[−2^bits, 2^bits)`, `bits < 127`, that random words give: their lowest
    /// `bits + 1` bits less `2^bits`. Representatives of x below `2^30`.
    pub fn add_uniform(limb: &Limb, bits: u32, words: &[[u64; 2]], out: &mut [i32]);

    /// Adds to every sum, modulo `2^64`, the class of `c·inverse / 2^32` in `[0, q)` times `2^64 /
    /// q`, for any `i32` c: a residue's fraction of 1.
    pub fn add_fractions(
        limb: &Limb,
        inverse: i32,
        reciprocal: &Reciprocal,
        c: &[i32],
        sums: &mut [u64],
    );
}

#[cfg(test)]
mod tests;
