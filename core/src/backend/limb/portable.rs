//! The twin without vectors.

use super::LAZY;
use crate::params::N;
use crate::ring::Limb;

/// As [`super::forward`].
pub fn forward(limb: &Limb, a: &mut [i32; N]) {
    limb.forward_portable(a);
}

/// As [`super::inverse`].
pub fn inverse(limb: &Limb, a: &mut [i32; N]) {
    limb.inverse_portable(a);
}

/// As [`super::to_montgomery`].
pub fn to_montgomery(limb: &Limb, a: &mut [i32]) {
    for a in a {
        *a = limb.to_montgomery(*a);
    }
}

/// As [`super::multiply`].
pub fn multiply(limb: &Limb, a: &mut [i32], b: &[i32]) {
    for (a, &b) in a.iter_mut().zip(b) {
        *a = limb.mul(*a, b);
    }
}

/// As [`super::multiply_add`].
pub fn multiply_add(limb: &Limb, a: &[i32], b: &[i32], out: &mut [i32]) {
    for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
        *out = limb.reduce(*out + limb.mul(a, b));
    }
}

/// As [`super::multiply_subtract`].
pub fn multiply_subtract(limb: &Limb, a: &[i32], b: &[i32], out: &mut [i32]) {
    for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
        *out = limb.canonical(limb.reduce(*out - limb.mul(a, b))) as i32;
    }
}

/// As [`super::sum_of_products`].
pub fn sum_of_products(limb: &Limb, x: &[i32], y: &[i32], out: &mut [i32]) {
    let n = out.len();
    sum(limb, x, out, |k, first| y.iter().skip(k * n + first).copied());
}

/// As [`super::sum_of_multiples`].
pub fn sum_of_multiples(limb: &Limb, x: &[i32], w: &[i32], out: &mut [i32]) {
    sum(limb, x, out, |k, _| core::iter::repeat(w.get(k).copied().unwrap_or(0)));
}

/// Sums of products of `x` with what `factors` gives for a polynomial from a coefficient on, a block of coefficients at a time.
#[inline(always)]
fn sum<F: Iterator<Item = i32>>(limb: &Limb, x: &[i32], out: &mut [i32], factors: impl Fn(usize, usize) -> F) {
    const BLOCK: usize = 32;
    let n = out.len();
    for (block, out) in out.chunks_mut(BLOCK).enumerate() {
        out.fill(0);
        for (group, x) in x.chunks(n * LAZY).enumerate() {
            let mut sums = [0_i64; BLOCK];
            for (k, x) in x.chunks_exact(n).enumerate() {
                let factors = factors(group * LAZY + k, block * BLOCK);
                for ((sum, &x), y) in sums.iter_mut().zip(x.iter().skip(block * BLOCK)).zip(factors) {
                    *sum += i64::from(x) * i64::from(y);
                }
            }
            for (out, sum) in out.iter_mut().zip(sums) {
                *out = limb.reduce(*out + limb.montgomery(sum));
            }
        }
    }
}
