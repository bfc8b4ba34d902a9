//! The path with AVX2: eight values at a time.
//!
//! Products of odd and even lanes are taken apart, as a multiplication gives 64 bits. The transform
//! goes through memory four times: three layers on eight vectors in registers, three times over (of
//! degree 2048 the third time two on four vectors), and three layers inside of vectors.

#![expect(clippy::indexing_slicing, reason = "hot; all indices are below constant lengths")]

use super::{BLOCK, Encoding, LAZY, Polynomials, portable};
use crate::params::{N, SMALL_N};
use crate::prime::{Limb, Reciprocal, SKIPPED};
use core::arch::x86_64::*;

/// Values of a vector.
const LANES: usize = 8;

#[inline(always)]
fn load(from: &[i32; LANES]) -> __m256i {
    bytemuck::must_cast(*from)
}

#[inline(always)]
fn store(to: &mut [i32; LANES], x: __m256i) {
    *to = bytemuck::must_cast(x);
}

/// A factor of all lanes or of each: in the low half of every 64 bits that of the even lanes, and
/// that of the odd ones.
#[derive(Clone, Copy)]
struct Factor {
    even: __m256i,
    odd: __m256i,
}

impl Factor {
    #[inline]
    #[target_feature(enable = "avx2")]
    fn all(x: i32) -> Self {
        let x = _mm256_set1_epi32(x);
        Self { even: x, odd: x }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn each(x: __m256i) -> Self {
        Self { even: x, odd: odd(x) }
    }
}

/// A constant factor, and its product with `−q^-1 mod 2^32`: the two multiplications of a product
/// with it do not wait for each other.
#[derive(Clone, Copy)]
struct Constant {
    high: Factor,
    low: Factor,
}

impl Constant {
    #[inline]
    #[target_feature(enable = "avx2")]
    fn new(limb: &Limb, x: i32) -> Self {
        Self { high: Factor::all(x), low: Factor::all(x.wrapping_mul(limb.minus_inverse)) }
    }

    /// Factor `i` of the transform, in the layers between vectors.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn zeta(limb: &Limb, i: usize) -> Self {
        let [high, low] = limb.vectors.first[i];
        Self { high: Factor::all(high), low: Factor::all(low) }
    }

    /// Vector `i` of the factors of the last three layers, where those of vectors begin with number
    /// `8·eight`.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn inside(limb: &Limb, eight: usize, i: usize) -> Self {
        let [high, low] = &limb.vectors.inside[eight - SKIPPED][i];
        Self { high: Factor::each(load(high)), low: Factor::each(load(low)) }
    }
}

/// Odd lanes, each in the low half of its 64 bits.
#[inline]
#[target_feature(enable = "avx2")]
fn odd(x: __m256i) -> __m256i {
    _mm256_shuffle_epi32::<0xf5>(x)
}

/// The modulus in every lane.
#[derive(Clone, Copy)]
struct Prime {
    q: __m256i,
    minus_inverse: __m256i,
    reciprocal: __m256,
}

impl Prime {
    #[inline]
    #[target_feature(enable = "avx2")]
    fn of(limb: &Limb) -> Self {
        let reciprocal = _mm256_set1_ps((limb.q as f32).recip());
        Self {
            q: _mm256_set1_epi32(limb.q),
            minus_inverse: _mm256_set1_epi32(limb.minus_inverse),
            reciprocal,
        }
    }

    /// High halves of `x + m·q`, whose low halves are zero: the end of a Montgomery reduction.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn high(self, [even, odd]: [__m256i; 2], [m_even, m_odd]: [__m256i; 2]) -> __m256i {
        let even = _mm256_add_epi64(even, _mm256_mul_epi32(m_even, self.q));
        let odd = _mm256_add_epi64(odd, _mm256_mul_epi32(m_odd, self.q));
        _mm256_blend_epi32::<0b1010_1010>(self::odd(even), odd)
    }

    /// [`Limb::montgomery`] of the wide numbers of even and odd lanes.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn montgomery(self, [even, odd]: [__m256i; 2]) -> __m256i {
        self.high(
            [even, odd],
            [_mm256_mul_epi32(even, self.minus_inverse), _mm256_mul_epi32(odd, self.minus_inverse)],
        )
    }

    /// [`Limb::mul`].
    #[inline]
    #[target_feature(enable = "avx2")]
    fn mul(self, x: __m256i, y: Factor) -> __m256i {
        self.montgomery([_mm256_mul_epi32(x, y.even), _mm256_mul_epi32(odd(x), y.odd)])
    }

    /// The same.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn times(self, x: __m256i, y: Constant) -> __m256i {
        let wide = |y: Factor| [_mm256_mul_epi32(x, y.even), _mm256_mul_epi32(odd(x), y.odd)];
        self.high(wide(y.high), wide(y.low))
    }

    /// A value below `0.51q` congruent to `x`, `|x| ≤ 16q`: half the work of [`Limb::reduce`], by
    /// the nearest multiple of q. In single precision `x/q` is off by less than `16·2^-22`.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn reduce(self, x: __m256i) -> __m256i {
        let quotient = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_cvtepi32_ps(x), self.reciprocal));
        _mm256_sub_epi32(x, _mm256_mullo_epi32(quotient, self.q))
    }

    /// The element of `[0, q)`, from a representative in `(−q, q)`.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn canonical(self, x: __m256i) -> __m256i {
        _mm256_add_epi32(x, _mm256_and_si256(self.q, _mm256_srai_epi32::<31>(x)))
    }

    /// `x + ζ·y` and `x − ζ·y`.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn forward(self, x: &mut __m256i, y: &mut __m256i, zeta: Constant) {
        let t = self.times(*y, zeta);
        (*x, *y) = (_mm256_add_epi32(*x, t), _mm256_sub_epi32(*x, t));
    }

    /// `x + y` and `ζ·(y − x)`.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn inverse(self, x: &mut __m256i, y: &mut __m256i, zeta: Constant) {
        let d = _mm256_sub_epi32(*y, *x);
        (*x, *y) = (_mm256_add_epi32(*x, *y), self.times(d, zeta));
    }
}

/// Calls `layers` with every eight vectors that are a multiple of `STRIDE` apart, and with the
/// number of their block.
#[inline]
#[target_feature(enable = "avx2")]
fn between<const STRIDE: usize>(a: &mut [[i32; LANES]], layers: impl Fn(&mut [__m256i; 8], usize)) {
    for (block, a) in a.chunks_exact_mut(8 * STRIDE).enumerate() {
        for i in 0..STRIDE {
            let mut v = [_mm256_setzero_si256(); 8];
            for (k, v) in v.iter_mut().enumerate() {
                *v = load(&a[k * STRIDE + i]);
            }
            layers(&mut v, block);
            for (k, v) in v.iter().enumerate() {
                store(&mut a[k * STRIDE + i], *v);
            }
        }
    }
}

/// Columns for rows.
#[inline]
#[target_feature(enable = "avx2")]
fn transpose(v: &mut [__m256i; 8]) {
    for i in [0, 2, 4, 6] {
        (v[i], v[i + 1]) =
            (_mm256_unpacklo_epi32(v[i], v[i + 1]), _mm256_unpackhi_epi32(v[i], v[i + 1]));
    }
    for i in [0, 1, 4, 5] {
        (v[i], v[i + 2]) =
            (_mm256_unpacklo_epi64(v[i], v[i + 2]), _mm256_unpackhi_epi64(v[i], v[i + 2]));
    }
    for i in 0..4 {
        (v[i], v[i + 4]) = (
            _mm256_permute2x128_si256::<0x20>(v[i], v[i + 4]),
            _mm256_permute2x128_si256::<0x31>(v[i], v[i + 4]),
        );
    }
    // The second round left columns 1 and 2 of every four in each other's place.
    v.swap(1, 2);
    v.swap(5, 6);
}

/// As [`super::forward`]: the same numbers as the portable transform, in another order.
#[target_feature(enable = "avx2")]
pub(crate) fn forward(limb: &Limb, a: &mut [i32]) {
    let (p, n, vectors) = (Prime::of(limb), a.len(), a.as_chunks_mut().0);
    match n {
        N => {
            forward_between::<64>(limb, p, vectors, 1);
            forward_between::<8>(limb, p, vectors, 8);
            forward_between::<1>(limb, p, vectors, 64);
            between::<1>(vectors, |v, block| forward_inside(limb, p, v, 64 + block));
        }
        SMALL_N => {
            forward_between::<32>(limb, p, vectors, 1);
            forward_between::<4>(limb, p, vectors, 8);
            between::<1>(vectors, |v, block| {
                for (number, v) in (64 + 2 * block..).zip(v.as_chunks_mut().0) {
                    forward_four(p, v, |i| Constant::zeta(limb, i), number);
                }
            });
            between::<1>(vectors, |v, block| forward_inside(limb, p, v, 32 + block));
        }
        _ => portable::forward(limb, a),
    }
}

/// Three layers between vectors, the first of which has `blocks` blocks.
#[inline]
#[target_feature(enable = "avx2")]
fn forward_between<const STRIDE: usize>(
    limb: &Limb,
    p: Prime,
    vectors: &mut [[i32; LANES]],
    blocks: usize,
) {
    between::<STRIDE>(vectors, |v, block| {
        forward_eight(p, v, |layer, i| Constant::zeta(limb, ((blocks + block) << layer) + i));
    });
}

/// Three layers inside of eight vectors, the factors of which begin with number `8·eight`; the
/// values are reduced.
#[inline]
#[target_feature(enable = "avx2")]
fn forward_inside(limb: &Limb, p: Prime, v: &mut [__m256i; 8], eight: usize) {
    transpose(v);
    forward_eight(p, v, |layer, i| Constant::inside(limb, eight, (1 << layer) - 1 + i));
    let [v0, v1, v2, v3, v4, v5, v6, v7] = *v;
    *v = [
        p.reduce(v0),
        p.reduce(v1),
        p.reduce(v2),
        p.reduce(v3),
        p.reduce(v4),
        p.reduce(v5),
        p.reduce(v6),
        p.reduce(v7),
    ];
    transpose(v);
}

/// Two layers on four vectors, which are block `number` of all layers' blocks, counted from 1.
#[inline]
#[target_feature(enable = "avx2")]
fn forward_four(
    p: Prime,
    [v0, v1, v2, v3]: &mut [__m256i; 4],
    zeta: impl Fn(usize) -> Constant,
    number: usize,
) {
    let z = zeta(number);
    p.forward(v0, v2, z);
    p.forward(v1, v3, z);
    p.forward(v0, v1, zeta(2 * number));
    p.forward(v2, v3, zeta(2 * number + 1));
}

/// Three layers on eight vectors; `zeta(layer, i)` for the i-th block of a layer.
#[inline]
#[target_feature(enable = "avx2")]
fn forward_eight(p: Prime, v: &mut [__m256i; 8], zeta: impl Fn(usize, usize) -> Constant) {
    let [v0, v1, v2, v3, v4, v5, v6, v7] = v;
    let z = zeta(0, 0);
    p.forward(v0, v4, z);
    p.forward(v1, v5, z);
    p.forward(v2, v6, z);
    p.forward(v3, v7, z);
    let z = [zeta(1, 0), zeta(1, 1)];
    p.forward(v0, v2, z[0]);
    p.forward(v1, v3, z[0]);
    p.forward(v4, v6, z[1]);
    p.forward(v5, v7, z[1]);
    p.forward(v0, v1, zeta(2, 0));
    p.forward(v2, v3, zeta(2, 1));
    p.forward(v4, v5, zeta(2, 2));
    p.forward(v6, v7, zeta(2, 3));
}

/// As [`super::inverse`]. Three layers turn values below `1.4q` into sums below `12q < 2^31` and
/// products below `0.7q`. Sums of two products are left alone, so the next layers begin below
/// `1.4q` again; all larger ones are reduced.
#[target_feature(enable = "avx2")]
pub(crate) fn inverse(limb: &Limb, a: &mut [i32]) {
    let n = a.len();
    if n != N && n != SMALL_N {
        return portable::inverse(limb, a);
    }
    let (p, vectors) = (Prime::of(limb), a.as_chunks_mut().0);
    // Factors of a layer stand mirrored.
    between::<1>(vectors, |v, block| inverse_inside(limb, p, v, n / 32 - 1 - block));
    if n == N {
        inverse_between::<1>(limb, p, vectors, 64);
        inverse_between::<8>(limb, p, vectors, 8);
        inverse_last::<64>(limb, p, vectors, n);
    } else {
        between::<1>(vectors, |v, block| {
            for (before, v) in (2 * block..).zip(v.as_chunks_mut().0) {
                inverse_four(p, v, |i| Constant::zeta(limb, i), 127 - before);
            }
        });
        inverse_between::<4>(limb, p, vectors, 8);
        inverse_last::<32>(limb, p, vectors, n);
    }
}

/// Undoes [`forward_between`] but for a factor of 8.
#[inline]
#[target_feature(enable = "avx2")]
fn inverse_between<const STRIDE: usize>(
    limb: &Limb,
    p: Prime,
    vectors: &mut [[i32; LANES]],
    blocks: usize,
) {
    between::<STRIDE>(vectors, |v, block| {
        let mirrored = 2 * blocks - 1 - block;
        inverse_eight(p, v, |layer, i| Constant::zeta(limb, (mirrored << layer) + i));
    });
}

/// Undoes [`forward_inside`] but for a factor of 8; the factors of the mirrored vectors begin with
/// number `8·eight`.
#[inline]
#[target_feature(enable = "avx2")]
fn inverse_inside(limb: &Limb, p: Prime, v: &mut [__m256i; 8], eight: usize) {
    // Rows are mirrored, as their factors are.
    v.reverse();
    transpose(v);
    inverse_eight(p, v, |layer, i| Constant::inside(limb, eight, (1 << layer) - 1 + i));
    transpose(v);
    v.reverse();
}

/// Undoes [`forward_four`] but for a factor of 4, of the mirrored block; reduced as
/// [`inverse_eight`].
#[inline]
#[target_feature(enable = "avx2")]
fn inverse_four(
    p: Prime,
    [v0, v1, v2, v3]: &mut [__m256i; 4],
    zeta: impl Fn(usize) -> Constant,
    number: usize,
) {
    p.inverse(v0, v1, zeta(2 * number + 1));
    p.inverse(v2, v3, zeta(2 * number));
    let z = zeta(number);
    p.inverse(v0, v2, z);
    p.inverse(v1, v3, z);
    *v0 = p.reduce(*v0);
}

/// The last three layers of a transform of length n, and the division by n.
#[inline]
#[target_feature(enable = "avx2")]
fn inverse_last<const STRIDE: usize>(
    limb: &Limb,
    p: Prime,
    vectors: &mut [[i32; LANES]],
    n: usize,
) {
    // 1/n goes into the last layer: into the factor of differences, and as a factor of sums.
    let (scale, last) = (limb.scale(n), limb.mul(limb.vectors.first[1][0], limb.scale(n)));
    let (scale, last) = (Constant::new(limb, scale), Constant::new(limb, last));
    between::<STRIDE>(vectors, |v, _| {
        inverse_layers(p, v, |layer, i| {
            if layer == 0 { last } else { Constant::zeta(limb, (1 << layer) + i) }
        });
        let [v0, v1, v2, v3, ..] = *v;
        [v[0], v[1], v[2], v[3]] =
            [p.times(v0, scale), p.times(v1, scale), p.times(v2, scale), p.times(v3, scale)];
    });
}

/// Three layers on eight vectors, reduced; `zeta` as for [`forward_eight`], of the mirrored block.
#[inline]
#[target_feature(enable = "avx2")]
fn inverse_eight(p: Prime, v: &mut [__m256i; 8], zeta: impl Fn(usize, usize) -> Constant) {
    inverse_layers(p, v, zeta);
    (v[0], v[1]) = (p.reduce(v[0]), p.reduce(v[1]));
}

/// The layers of [`inverse_eight`].
#[inline]
#[target_feature(enable = "avx2")]
fn inverse_layers(p: Prime, v: &mut [__m256i; 8], zeta: impl Fn(usize, usize) -> Constant) {
    let [v0, v1, v2, v3, v4, v5, v6, v7] = v;
    p.inverse(v0, v1, zeta(2, 3));
    p.inverse(v2, v3, zeta(2, 2));
    p.inverse(v4, v5, zeta(2, 1));
    p.inverse(v6, v7, zeta(2, 0));
    let z = [zeta(1, 1), zeta(1, 0)];
    p.inverse(v0, v2, z[0]);
    p.inverse(v1, v3, z[0]);
    p.inverse(v4, v6, z[1]);
    p.inverse(v5, v7, z[1]);
    let z = zeta(0, 0);
    p.inverse(v0, v4, z);
    p.inverse(v1, v5, z);
    p.inverse(v2, v6, z);
    p.inverse(v3, v7, z);
}

/// Vectors of `a` and `b`, and what is left of both.
macro_rules! vectors {
    ($a:expr, $b:expr) => {{
        let ((a, a_rest), (b, b_rest)) = ($a.as_chunks_mut::<LANES>(), $b.as_chunks::<LANES>());
        (a.iter_mut().zip(b), a_rest, b_rest)
    }};
}

/// As [`super::to_montgomery_small`].
#[target_feature(enable = "avx2")]
pub(crate) fn to_montgomery_small(limb: &Limb, a: &[i8], out: &mut [i32]) {
    portable::to_montgomery_small(limb, a, out);
}

/// As [`super::add_small`].
#[target_feature(enable = "avx2")]
pub(crate) fn add_small(a: &[i8], out: &mut [i32]) {
    portable::add_small(a, out);
}

/// As [`super::multiply`].
#[target_feature(enable = "avx2")]
pub(crate) fn multiply(limb: &Limb, a: &mut [i32], b: &[i32]) {
    debug_assert_eq!(a.len(), b.len());
    let p = Prime::of(limb);
    let (pairs, a, b) = vectors!(a, b);
    for (a, b) in pairs {
        store(a, p.mul(load(a), Factor::each(load(b))));
    }
    portable::multiply(limb, a, b);
}

/// As [`super::multiply_add`].
#[target_feature(enable = "avx2")]
pub(crate) fn multiply_add(limb: &Limb, a: &[i32], b: &[i32], out: &mut [i32]) {
    debug_assert_eq!((a.len(), b.len()), (out.len(), out.len()));
    let p = Prime::of(limb);
    let (a, a_rest) = a.as_chunks();
    let (pairs, out, b) = vectors!(out, b);
    for ((out, b), a) in pairs.zip(a) {
        store(out, p.reduce(_mm256_add_epi32(load(out), p.mul(load(a), Factor::each(load(b))))));
    }
    portable::multiply_add(limb, a_rest, b, out);
}

/// As [`super::multiply_subtract`].
#[target_feature(enable = "avx2")]
pub(crate) fn multiply_subtract(limb: &Limb, a: &[i32], b: &[i32], out: &mut [i32]) {
    debug_assert_eq!((a.len(), b.len()), (out.len(), out.len()));
    let p = Prime::of(limb);
    let (a, a_rest) = a.as_chunks();
    let (pairs, out, b) = vectors!(out, b);
    for ((out, b), a) in pairs.zip(a) {
        let difference = _mm256_sub_epi32(load(out), p.mul(load(a), Factor::each(load(b))));
        store(out, p.canonical(p.reduce(difference)));
    }
    portable::multiply_subtract(limb, a_rest, b, out);
}

/// Vectors of a block.
const VECTORS: usize = BLOCK / LANES;

/// As [`super::sums_of_products`].
#[target_feature(enable = "avx2")]
pub(crate) fn sums_of_products(
    limb: &Limb,
    x: [Polynomials<'_>; 2],
    y: &[i32],
    out: [&mut [i32]; 2],
) {
    let (polynomials, y) = (super::count(y, out[0]), y.as_chunks().0);
    sums(limb, x, polynomials, out, |block, k| {
        let [y0, y1] = vectors(&y[block * polynomials + k]);
        [Factor::each(y0), Factor::each(y1)]
    });
}

/// As [`super::sums_of_multiples`].
#[target_feature(enable = "avx2")]
pub(crate) fn sums_of_multiples(
    limb: &Limb,
    x: [Polynomials<'_>; 2],
    y: &[i32],
    out: [&mut [i32]; 2],
) {
    sums(limb, x, y.len(), out, |_, k| [Factor::all(y[k]); VECTORS]);
}

/// The vectors of a block.
#[inline(always)]
fn vectors(values: &[i32; BLOCK]) -> [__m256i; VECTORS] {
    bytemuck::must_cast(*values)
}

/// Sums of products of both `x` with what `factors` gives for a block and a polynomial.
#[inline]
#[target_feature(enable = "avx2")]
fn sums(
    limb: &Limb,
    x: [Polynomials<'_>; 2],
    polynomials: usize,
    [out0, out1]: [&mut [i32]; 2],
    factors: impl Fn(usize, usize) -> [Factor; VECTORS],
) {
    let (p, zero) = (Prime::of(limb), _mm256_setzero_si256());
    let out = out0.as_chunks_mut().0.iter_mut().zip(out1.as_chunks_mut().0);
    for (block, (out0, out1)) in out.enumerate() {
        let mut sums = [[zero; VECTORS]; 2];
        for lazy in (0..polynomials).step_by(LAZY) {
            let mut wide = [[[zero; 2]; VECTORS]; 2];
            for k in lazy..polynomials.min(lazy + LAZY) {
                let y = factors(block, k);
                for (wide, x) in wide.iter_mut().zip(x) {
                    for ((wide, x), y) in wide.iter_mut().zip(vectors(x.block(block, k))).zip(y) {
                        wide[0] = _mm256_add_epi64(wide[0], _mm256_mul_epi32(x, y.even));
                        wide[1] = _mm256_add_epi64(wide[1], _mm256_mul_epi32(odd(x), y.odd));
                    }
                }
            }
            for (sum, wide) in sums.as_flattened_mut().iter_mut().zip(wide.as_flattened()) {
                *sum = p.reduce(_mm256_add_epi32(*sum, p.montgomery(*wide)));
            }
        }
        let sums: [[i32; BLOCK]; 2] = bytemuck::must_cast(sums);
        [*out0, *out1] = sums;
    }
}

/// Four integers of at most 62 bits, divided by `2^32`, times a factor, divided by `2^32`.
#[inline]
#[target_feature(enable = "avx2")]
fn reduce_four(p: Prime, x: __m256i, factor: __m256i) -> __m128i {
    let montgomery =
        |x| _mm256_add_epi64(x, _mm256_mul_epi32(_mm256_mul_epi32(x, p.minus_inverse), p.q));
    let x = _mm256_mul_epi32(_mm256_srli_epi64::<32>(montgomery(x)), factor);
    _mm256_castsi256_si128(_mm256_permutevar8x32_epi32(
        montgomery(x),
        _mm256_setr_epi32(1, 3, 5, 7, 1, 3, 5, 7),
    ))
}

/// As [`super::reduce_signed`].
#[target_feature(enable = "avx2")]
pub(crate) fn reduce_signed(limb: &Limb, bits: u32, x: &[u64], out: &mut [i32]) {
    debug_assert_eq!(x.len(), out.len());
    let (p, r2, sign) =
        (Prime::of(limb), _mm256_set1_epi64x(limb.r2.into()), _mm256_set1_epi64x(1 << (bits - 1)));
    let ((x, x_rest), (fours, out)) = (x.as_chunks::<4>(), out.as_chunks_mut::<4>());
    for (out, &x) in fours.iter_mut().zip(x) {
        let x = _mm256_sub_epi64(_mm256_xor_si256(bytemuck::must_cast(x), sign), sign);
        *out = bytemuck::must_cast(reduce_four(p, x, r2));
    }
    portable::reduce_signed(limb, bits, x_rest, out);
}

/// As [`super::encode`].
#[target_feature(enable = "avx2")]
pub(crate) fn encode(limb: &Limb, encoding: &Encoding, m: &[u64], out: &mut [i32]) {
    debug_assert_eq!(m.len(), out.len());
    let all = |x: u64| _mm256_set1_epi64x(x as i64);
    let (p, inverse, half) =
        (Prime::of(limb), all(i64::from(encoding.inverse) as u64), (1 << encoding.bits) / 2);
    let (half, mask, low, high) = (
        all(half),
        all((1 << encoding.bits) - 1),
        all(encoding.q_mod_p),
        all(encoding.q_mod_p >> 32),
    );
    let ((m, m_rest), (fours, out)) = (m.as_chunks::<4>(), out.as_chunks_mut::<4>());
    for (out, &m) in fours.iter_mut().zip(m) {
        let m: __m256i = bytemuck::must_cast(m);
        let cross = _mm256_add_epi64(
            _mm256_mul_epu32(m, high),
            _mm256_mul_epu32(_mm256_srli_epi64::<32>(m), low),
        );
        let product = _mm256_add_epi64(_mm256_mul_epu32(m, low), _mm256_slli_epi64::<32>(cross));
        let numerator =
            _mm256_sub_epi64(half, _mm256_and_si256(_mm256_add_epi64(product, half), mask));
        *out = bytemuck::must_cast(reduce_four(p, numerator, inverse));
    }
    portable::encode(limb, encoding, m_rest, out);
}

/// As [`super::add_uniform`].
#[target_feature(enable = "avx2")]
pub(crate) fn add_uniform(limb: &Limb, bits: u32, words: &[[u64; 2]], out: &mut [i32]) {
    debug_assert_eq!(words.len(), out.len());
    let (p, uniform) = (Prime::of(limb), portable::Uniform::new(limb, bits));
    let all = |x: u64| _mm256_set1_epi64x(x as i64);
    let [k0, k1, k2, k3] = uniform.powers;
    let (k0, k1, k2, k3) = (all(k0), all(k1), all(k2), all(k3));
    let (mask0, mask1, centre) =
        (all(uniform.mask[0]), all(uniform.mask[1]), _mm_set1_epi32(uniform.centre));
    let ((words, words_rest), (fours, out)) = (words.as_chunks::<4>(), out.as_chunks_mut::<4>());
    for (out, &four) in fours.iter_mut().zip(words) {
        let [a, b]: [__m256i; 2] = bytemuck::must_cast(four);
        // Words 0, 2, 1, 3.
        let (low, high) = (
            _mm256_and_si256(_mm256_unpacklo_epi64(a, b), mask0),
            _mm256_and_si256(_mm256_unpackhi_epi64(a, b), mask1),
        );
        let top = |x| _mm256_srli_epi64::<32>(x);
        let lows = _mm256_add_epi64(_mm256_mul_epu32(low, k0), _mm256_mul_epu32(top(low), k1));
        let highs = _mm256_add_epi64(_mm256_mul_epu32(high, k2), _mm256_mul_epu32(top(high), k3));
        let wide = _mm256_add_epi64(lows, highs);
        let reduced =
            _mm256_add_epi64(wide, _mm256_mul_epi32(_mm256_mul_epi32(wide, p.minus_inverse), p.q));
        let reduced = _mm256_castsi256_si128(_mm256_permutevar8x32_epi32(
            reduced,
            _mm256_setr_epi32(1, 5, 3, 7, 1, 5, 3, 7),
        ));
        *out = bytemuck::must_cast(_mm_add_epi32(
            bytemuck::must_cast(*out),
            _mm_sub_epi32(reduced, centre),
        ));
    }
    portable::add_uniform(limb, bits, words_rest, out);
}

/// As [`super::add_fractions`].
#[target_feature(enable = "avx2")]
pub(crate) fn add_fractions(
    limb: &Limb,
    inverse: i32,
    reciprocal: &Reciprocal,
    c: &[i32],
    sums: &mut [u64],
) {
    debug_assert_eq!(c.len(), sums.len());
    let (p, inverses) = (Prime::of(limb), Constant::new(limb, inverse));
    let (c, c_rest) = c.as_chunks::<LANES>();
    let (eights, sums) = sums.as_chunks_mut::<LANES>();
    for (sums, c) in eights.iter_mut().zip(c) {
        let x = p.canonical(p.times(load(c), inverses));
        let [first, second]: &mut [[u64; 4]; 2] = bytemuck::must_cast_mut(sums);
        add_four_fractions(reciprocal, _mm256_castsi256_si128(x), first);
        add_four_fractions(reciprocal, _mm256_extracti128_si256::<1>(x), second);
    }
    portable::add_fractions(limb, inverse, reciprocal, c_rest, sums);
}

#[inline]
#[target_feature(enable = "avx2")]
fn add_four_fractions(&[low, middle, high]: &Reciprocal, x: __m128i, sums: &mut [u64; 4]) {
    let x = _mm256_cvtepu32_epi64(x);
    let times = |word: u64| _mm256_mul_epu32(x, _mm256_set1_epi64x(word as i64));
    let fraction =
        _mm256_add_epi64(_mm256_srli_epi64::<32>(times(low)), _mm256_slli_epi64::<32>(times(high)));
    let fraction = _mm256_add_epi64(fraction, times(middle));
    *sums = bytemuck::must_cast(_mm256_add_epi64(bytemuck::must_cast(*sums), fraction));
}
