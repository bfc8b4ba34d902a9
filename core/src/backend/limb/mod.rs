//! Polynomials of one limb, whole slices at a time: the transform, products, reductions.
//!
//! A value is any representative within the bounds that are stated; which one it is may differ between the paths, its class never.
//! Slices of one call have the same length.

#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
pub mod avx2;
pub mod portable;

use super::cpu::fastest;
use crate::params::N;
use crate::ring::Limb;

/// Products of two limbs that an `i64` surely holds: each is below `2^54` in absolute value.
pub(crate) const LAZY: usize = 256;

fastest! {
    /// [`Limb::forward`] of a whole polynomial.
    pub fn forward(limb: &Limb, a: &mut [i32; N]);

    /// [`Limb::inverse`] of a whole polynomial.
    pub fn inverse(limb: &Limb, a: &mut [i32; N]);

    /// `a·2^32`, as [`Limb::to_montgomery`]: any `i32` in, `(−q, q)` out.
    pub fn to_montgomery(limb: &Limb, a: &mut [i32]);

    /// `a·b / 2^32`, as [`Limb::mul`]: `|a·b| < 2^31·q` in, `(−q, q)` out.
    pub fn multiply(limb: &Limb, a: &mut [i32], b: &[i32]);

    /// `out + a·b / 2^32`: `|a·b| < 2^31·q` and `|out| < 2^31 − q` in, `(−q, q)` out.
    pub fn multiply_add(limb: &Limb, a: &[i32], b: &[i32], out: &mut [i32]);

    /// `out − a·b / 2^32`, in `[0, q)`: bounds as in [`multiply_add`].
    pub fn multiply_subtract(limb: &Limb, a: &[i32], b: &[i32], out: &mut [i32]);

    /// `Σ x_k·y_k / 2^32` of polynomials that lie one after the other in `x` and `y`, as many as fit both; all in `(−q, q)`.
    pub fn sum_of_products(limb: &Limb, x: &[i32], y: &[i32], out: &mut [i32]);

    /// `Σ x_k·w_k / 2^32` of polynomials that lie one after the other in `x`, each with one factor for all coefficients; all in `(−q, q)`.
    pub fn sum_of_multiples(limb: &Limb, x: &[i32], w: &[i32], out: &mut [i32]);
}

#[cfg(test)]
mod tests;
