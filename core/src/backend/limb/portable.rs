//! The portable path, without vectors. Constants of loops are opaque where a compiler would keep
//! them in 64 bits on 32-bit machines.

use super::{BLOCK, Encoding, LAZY, Polynomials, count};
use crate::prime::Limb;
use crate::prime::Reciprocal;
use core::hint::black_box;

/// As [`super::forward`].
pub fn forward(limb: &Limb, a: &mut [i32]) {
    limb.forward_in_passes(a);
}

/// As [`super::inverse`].
pub fn inverse(limb: &Limb, a: &mut [i32]) {
    limb.inverse_in_passes(a);
}

/// As [`super::to_montgomery_small`].
#[inline(always)]
pub fn to_montgomery_small(limb: &Limb, a: &[i8], out: &mut [i32]) {
    let r = limb.montgomery_one();
    for (out, &a) in out.iter_mut().zip(a) {
        *out = i32::from(a) * r;
    }
}

/// As [`super::add_small`].
#[inline(always)]
pub fn add_small(a: &[i8], out: &mut [i32]) {
    for (out, &a) in out.iter_mut().zip(a) {
        *out += i32::from(a);
    }
}

/// As [`super::multiply`].
pub fn multiply(limb: &Limb, a: &mut [i32], b: &[i32]) {
    debug_assert_eq!(a.len(), b.len());
    for (a, &b) in a.iter_mut().zip(b) {
        *a = limb.mul(*a, b);
    }
}

/// As [`super::multiply_add`].
pub fn multiply_add(limb: &Limb, a: &[i32], b: &[i32], out: &mut [i32]) {
    debug_assert_eq!((a.len(), b.len()), (out.len(), out.len()));
    let one = black_box(limb.montgomery_one());
    for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
        *out = limb.mul(*out + limb.mul(a, b), one);
    }
}

/// As [`super::multiply_subtract`].
pub fn multiply_subtract(limb: &Limb, a: &[i32], b: &[i32], out: &mut [i32]) {
    debug_assert_eq!((a.len(), b.len()), (out.len(), out.len()));
    let one = black_box(limb.montgomery_one());
    for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
        *out = limb.canonical(limb.mul(*out - limb.mul(a, b), one)) as i32;
    }
}

/// As [`super::sums_of_products`].
pub fn sums_of_products(
    limb: &Limb,
    x: [Polynomials<'_>; 2],
    y: &[i32],
    [out0, out1]: [&mut [i32]; 2],
) {
    let (polynomials, y) = (count(y, out0), y.as_chunks::<BLOCK>().0);
    for (x, out) in x.into_iter().zip([out0, out1]) {
        for (block, out) in out.as_chunks_mut().0.iter_mut().enumerate() {
            let y = y.iter().skip(block * polynomials).take(polynomials);
            sum(limb, x, block, y.map(|y| y.iter().copied()), out);
        }
    }
}

/// As [`super::sums_of_multiples`].
pub fn sums_of_multiples(limb: &Limb, x: [Polynomials<'_>; 2], y: &[i32], out: [&mut [i32]; 2]) {
    for (x, out) in x.into_iter().zip(out) {
        for (block, out) in out.as_chunks_mut().0.iter_mut().enumerate() {
            sum(limb, x, block, y.iter().map(|&y| core::iter::repeat(y)), out);
        }
    }
}

/// One block of the sum of products of the polynomials `x` with the factors of each.
#[inline(always)]
fn sum<F: Iterator<Item = i32>>(
    limb: &Limb,
    x: Polynomials<'_>,
    block: usize,
    factors: impl Iterator<Item = F>,
    out: &mut [i32; BLOCK],
) {
    out.fill(0);
    let mut sums = [0_i64; BLOCK];
    for (k, factors) in factors.enumerate() {
        if k.is_multiple_of(LAZY) {
            add(limb, &mut sums, out);
        }
        for ((sum, &x), y) in sums.iter_mut().zip(x.block(block, k)).zip(factors) {
            *sum += i64::from(x) * i64::from(y);
        }
    }
    add(limb, &mut sums, out);
}

/// Adds sums of products and clears them.
fn add(limb: &Limb, sums: &mut [i64; BLOCK], out: &mut [i32; BLOCK]) {
    for (out, sum) in out.iter_mut().zip(sums) {
        *out = limb.reduce(*out + limb.montgomery(core::mem::take(sum)));
    }
}

/// As [`super::reduce_signed`].
pub fn reduce_signed(limb: &Limb, bits: u32, x: &[u64], out: &mut [i32]) {
    debug_assert_eq!(x.len(), out.len());
    for (out, &x) in out.iter_mut().zip(x) {
        *out = limb.reduce_wide((x << (64 - bits)) as i64 >> (64 - bits));
    }
}

/// As [`super::encode`].
pub fn encode(limb: &Limb, encoding: &Encoding, m: &[u64], out: &mut [i32]) {
    debug_assert_eq!(m.len(), out.len());
    for (out, &m) in out.iter_mut().zip(m) {
        *out = limb
            .mul(limb.montgomery(numerator(encoding.bits, encoding.q_mod_p, m)), encoding.inverse);
    }
}

/// `h − ((q·m + h) mod p)` with `p = 2^bits`, `h = p/2`.
#[inline]
pub(crate) fn numerator(bits: u32, q_mod_p: u64, m: u64) -> i64 {
    let half = (1 << bits) / 2;
    let rem = q_mod_p.wrapping_mul(m).wrapping_add(half) & ((1 << bits) - 1);
    half as i64 - rem as i64
}

/// As [`super::add_uniform`].
pub fn add_uniform(limb: &Limb, bits: u32, words: &[[u64; 2]], out: &mut [i32]) {
    debug_assert_eq!(words.len(), out.len());
    let uniform = Uniform::new(limb, bits);
    for (out, &word) in out.iter_mut().zip(words) {
        *out += limb.montgomery(uniform.wide(word)) - uniform.centre;
    }
}

/// Constants of [`add_uniform`].
pub(super) struct Uniform {
    /// The bits of a word that are taken.
    pub(super) mask: [u64; 2],
    /// `2^32, 2^64, 2^96, 2^128`, in `[0, q)`.
    pub(super) powers: [u64; 4],
    /// `2^bits`, as [`Uniform::wide`] gives it.
    pub(super) centre: i32,
}

impl Uniform {
    pub(super) fn new(limb: &Limb, bits: u32) -> Self {
        let split = |x: u128| [x as u64, (x >> 64) as u64];
        let (r, r2) = (limb.montgomery_one(), limb.r2);
        let r3 = limb.mul(r2, r2);
        let powers = [r, r2, r3, limb.mul(r3, r2)].map(|x| u64::from(limb.canonical(x)));
        let mut uniform = Self { mask: split((2 << bits) - 1), powers, centre: 0 };
        uniform.centre = limb.montgomery(uniform.wide(split(1 << bits)));
        uniform
    }

    /// A word times `2^32`, below `2^61`: four of 32 bits, each times its power.
    fn wide(&self, [low, high]: [u64; 2]) -> i64 {
        let (low, high) = (low & self.mask[0], high & self.mask[1]);
        let words = [low & 0xffff_ffff, low >> 32, high & 0xffff_ffff, high >> 32];
        words.iter().zip(&self.powers).map(|(word, power)| word * power).sum::<u64>() as i64
    }
}

/// As [`super::add_fractions`].
pub fn add_fractions(
    limb: &Limb,
    inverse: i32,
    reciprocal: &Reciprocal,
    c: &[i32],
    sums: &mut [u64],
) {
    debug_assert_eq!(c.len(), sums.len());
    for (sum, &c) in sums.iter_mut().zip(c) {
        *sum = sum.wrapping_add(fraction(limb, inverse, reciprocal, c));
    }
}

/// What [`add_fractions`] adds.
#[inline]
pub(crate) fn fraction(
    limb: &Limb,
    inverse: i32,
    &[low, middle, high]: &Reciprocal,
    c: i32,
) -> u64 {
    let x = limb.canonical(limb.mul(c, inverse));
    // Each word has 32 bits: no machine need multiply more.
    let times = |word: u64| u64::from(x) * u64::from(word as u32);
    (times(low) >> 32).wrapping_add(times(middle)).wrapping_add(times(high) << 32)
}
