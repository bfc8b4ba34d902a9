//! Arithmetic modulo one prime of at most 27 bits, and the constants of its transform.
//!
//! Values are `i32`. A *representative* of `x` is any integer congruent to it; bounds stand next to
//! each routine, in multiples of q. Signed Montgomery arithmetic with R = 2^32 (Seiler, ePrint
//! 2018/039). The transform itself is in `ring/transform.rs`.

#[cfg(target_arch = "x86_64")]
use crate::params::SMALL_N;
use crate::params::{LOG_N, N, PRIMES, SLOT_PRIME};

/// A prime modulus with its constants and twiddle factors.
#[derive(Debug)]
pub struct Limb {
    /// The prime, odd, below 2^27, 1 mod 2N.
    pub q: i32,
    /// `−q^-1 mod 2^32`.
    pub(crate) minus_inverse: i32,
    /// `2^64 mod q`, centred: turns a value into Montgomery form.
    pub(crate) r2: i32,
    /// `ψ^(N/2)`, a square root of −1, Montgomery form, centred.
    pub(crate) root: i32,
    /// Factors `ψ^brv(2m)` of blocks, for the transform: the others follow, see
    /// `backend/layers.rs`.
    pub(crate) forward: TwiddleSequence,
    /// Factors `ψ^(N/2 − brv(2m)) = −ψ^-brv(2m + 1)`, for its inverse.
    pub(crate) inverse: TwiddleSequence,
    /// All factors, as vectors take them.
    #[cfg(target_arch = "x86_64")]
    pub(crate) vectors: Factors,
}

/// Layers of the transform but for the last, whose blocks find their factors in those before.
const LAYERS: usize = LOG_N as usize - 1;

/// The factors of consecutive blocks, each from the one before: all of them would take 8 kB of
/// flash a modulus.
///
/// From block `m − 1` to `m`, `brv(2m)` over LOG_N bits loses the ones that trail in `m − 1` and
/// gains the bit behind them, so what the factor is multiplied by depends on their number alone,
/// the number of zeros that trail in `m`. Montgomery form, centred.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TwiddleSequence {
    /// By the logarithm of a layer's number of blocks: the factor of the block before its first.
    pub(crate) before: [i32; LAYERS],
    /// By the number of zeros that trail in a block's number.
    pub(crate) steps: [i32; LAYERS],
}

/// The limbs of the ciphertext modulus.
pub static LIMBS: [Limb; 4] =
    [Limb::new(PRIMES[0]), Limb::new(PRIMES[1]), Limb::new(PRIMES[2]), Limb::new(PRIMES[3])];

/// The slots of base OTs.
pub static SLOT: Limb = Limb::new(SLOT_PRIME);

pub(crate) const fn pow(mut base: u64, mut exponent: u64, q: u64) -> u64 {
    let mut result = 1;
    while exponent > 0 {
        if exponent & 1 == 1 {
            result = result * base % q;
        }
        base = base * base % q;
        exponent >>= 1;
    }
    result
}

/// The representative in `[−q/2, q/2)`.
const fn centred(x: u64, q: u64) -> i32 {
    (if x > q / 2 { x as i64 - q as i64 } else { x as i64 }) as i32
}

/// `ψ^brv(k) · 2^32 mod q`, centred, for k below N.
#[cfg(target_arch = "x86_64")]
#[expect(clippy::indexing_slicing, reason = "the index has LOG_N bits")]
const fn all_factors(psi: u64, q: u64) -> [i32; N] {
    let mut zetas = [0; N];
    let (mut power, mut i) = ((1 << 32) % q, 0_u32);
    while i < N as u32 {
        zetas[(i.reverse_bits() >> (32 - LOG_N)) as usize] = centred(power, q);
        power = power * psi % q;
        i += 1;
    }
    zetas
}

/// `a^-1 · 2^32 mod prime`, centred: for constants. Variable time.
#[must_use]
pub const fn montgomery_inverse(a: u64, prime: u32) -> i32 {
    let q = prime as u64;
    centred(pow(a % q, q - 2, q) * ((1 << 32) % q) % q, q)
}

impl Limb {
    /// Bits of an element.
    #[must_use]
    pub const fn bits(&self) -> u32 {
        i32::BITS - self.q.leading_zeros()
    }

    /// Constants of a prime. ψ is `g^((q−1)/2N)` for the smallest `g ≥ 2` that makes it a primitive
    /// 2N-th root of unity.
    #[must_use]
    #[expect(clippy::indexing_slicing, reason = "the index has LOG_N bits")]
    pub const fn new(prime: u32) -> Self {
        let q = prime as u64;
        assert!(prime % (2 * N as u32) == 1 && prime < 1 << 27);
        let mut g = 2;
        while pow(g, (q - 1) / 2, q) != q - 1 {
            g += 1;
        }
        let psi = pow(g, (q - 1) / (2 * N as u64), q);
        let r = (1_u64 << 32) % q;
        let [mut forward, mut inverse] =
            [TwiddleSequence { before: [0; LAYERS], steps: [0; LAYERS] }; 2];
        let (half, mut i) = (N as u64 / 2, 0);
        while i < LAYERS {
            let (last, gained) = (half >> i, half >> (i + 1));
            // Exponents of ψ, whose order is 2N.
            forward.before[i] = centred(pow(psi, half - last, q) * r % q, q);
            forward.steps[i] = centred(pow(psi, 4 * half + 3 * gained - half, q) * r % q, q);
            inverse.before[i] = centred(pow(psi, last, q) * r % q, q);
            inverse.steps[i] = centred(pow(psi, 4 * half + half - 3 * gained, q) * r % q, q);
            i += 1;
        }
        let mut reciprocal = 1_u32; // Newton: each step doubles the number of right bits
        let mut step = 0;
        while step < 5 {
            reciprocal =
                reciprocal.wrapping_mul(2_u32.wrapping_sub(prime.wrapping_mul(reciprocal)));
            step += 1;
        }
        let minus_inverse = reciprocal.wrapping_neg() as i32;
        Self {
            q: prime as i32,
            minus_inverse,
            r2: centred(r * r % q, q),
            root: centred(pow(psi, half, q) * r % q, q),
            forward,
            inverse,
            #[cfg(target_arch = "x86_64")]
            vectors: Factors::new(&all_factors(psi, q), minus_inverse),
        }
    }

    /// `x / 2^32` for `|x| ≤ 2^62`; the result is below `|x|/2^32 + q/2` in absolute value, so
    /// below q for `|x| < 2^31·q`.
    #[inline(always)]
    #[must_use]
    pub const fn montgomery(&self, x: i64) -> i32 {
        debug_assert!(x.unsigned_abs() <= 1 << 62);
        let m = (x as i32).wrapping_mul(self.minus_inverse);
        // The low words cancel. One multiply-accumulate on small machines.
        ((x + m as i64 * self.q as i64) >> 32) as i32
    }

    /// `a·b / 2^32`, for `|a·b| < 2^31·q`.
    #[inline(always)]
    #[must_use]
    pub const fn mul(&self, a: i32, b: i32) -> i32 {
        debug_assert!((a as i64 * b as i64).unsigned_abs() < (self.q as u64) << 31);
        self.montgomery(a as i64 * b as i64)
    }

    /// Montgomery form of `a`, any `i32`: `a·2^32`, below q in absolute value.
    #[inline(always)]
    #[must_use]
    pub const fn to_montgomery(&self, a: i32) -> i32 {
        self.mul(a, self.r2)
    }

    /// Montgomery form of 1, below `0.11q` for every limb.
    #[inline(always)]
    #[must_use]
    pub const fn montgomery_one(&self) -> i32 {
        self.montgomery(self.r2 as i64)
    }

    /// A value below `0.56q` congruent to `a`, any `i32`.
    #[inline(always)]
    #[must_use]
    pub const fn reduce(&self, a: i32) -> i32 {
        // a·(2^32 mod q) / 2^32: two steps would double the cost of the constant, so derive it from
        // r2.
        self.mul(a, self.montgomery_one())
    }

    /// `2^32 / n` for a power of two from 4, below `0.53q`: with [`Limb::mul`], divides by n.
    #[inline(always)]
    pub(crate) const fn scale(&self, n: usize) -> i32 {
        self.reduce(1 << (32 - n.trailing_zeros()))
    }

    /// The element of `[0, q)`, from a representative in `(−q, q)`.
    #[inline(always)]
    #[must_use]
    pub const fn canonical(&self, a: i32) -> u32 {
        debug_assert!(-self.q < a && a < self.q);
        (a + (self.q & (a >> 31))) as u32
    }

    /// The representative in `(−q/2, q/2)` of an element of `[0, q)`.
    #[inline(always)]
    #[must_use]
    pub const fn centre(&self, a: u32) -> i32 {
        let a = a as i32;
        let upper = (self.q / 2 - a) >> 31;
        a - (self.q & upper)
    }

    /// An `i64` of at most 58 bits, reduced to `(−q, q)`.
    #[inline(always)]
    #[must_use]
    pub const fn reduce_wide(&self, x: i64) -> i32 {
        self.to_montgomery(self.montgomery(x))
    }
}

/// Values of a vector of 256 bits.
#[cfg(target_arch = "x86_64")]
const LANES: usize = 8;
/// Where factors of vectors end: those of n/8 vectors begin with number n/8.
#[cfg(target_arch = "x86_64")]
const VECTORS: usize = 2 * N / LANES;
/// Eights of factors before those of vectors, which begin with that of the smaller degree.
#[cfg(target_arch = "x86_64")]
pub(crate) const SKIPPED: usize = SMALL_N / LANES / LANES;

/// The transform's factors `ζ_k = ψ^brv(k)` as vectors take them. They do not depend on the degree:
/// a smaller one takes fewer of them.
#[cfg(target_arch = "x86_64")]
#[derive(Debug)]
pub(crate) struct Factors {
    /// Factors of layers between vectors, each with its product with `−q^-1 mod 2^32`.
    pub(crate) first: [[i32; 2]; N / LANES],
    /// Those of the last three layers for each eight vectors, transposed: one vector, two, four.
    /// The first of entry i are factors `8(i + SKIPPED)` and up, those of vectors themselves.
    pub(crate) inside: [[[[i32; LANES]; 2]; 7]; VECTORS / LANES - SKIPPED],
}

#[cfg(target_arch = "x86_64")]
#[expect(clippy::indexing_slicing, reason = "evaluated at compile time")]
impl Factors {
    /// The factors of all `ψ^brv(k) · 2^32 mod q`.
    const fn new(zetas: &[i32; N], minus_inverse: i32) -> Self {
        let mut factors = Self {
            first: [[0; 2]; N / LANES],
            inside: [[[[0; LANES]; 2]; 7]; VECTORS / LANES - SKIPPED],
        };
        let mut i = 0;
        while i < factors.first.len() {
            factors.first[i] = [zetas[i], zetas[i].wrapping_mul(minus_inverse)];
            i += 1;
        }
        let mut i = SKIPPED * LANES;
        while i < VECTORS {
            let slots = &mut factors.inside[i / LANES - SKIPPED];
            let mut slot = 0;
            while slot < slots.len() {
                // The factors that the layer has for vector i.
                let layer = (slot + 1).ilog2();
                let zeta = zetas[(i << layer) + (slot + 1 - (1 << layer))];
                slots[slot][0][i % LANES] = zeta;
                slots[slot][1][i % LANES] = zeta.wrapping_mul(minus_inverse);
                slot += 1;
            }
            i += 1;
        }
        factors
    }
}

/// `round(2^96 / q)` of a prime of at most 27 bits, as words of 32 bits: low, middle, high. With
/// `x < q`, the product `x·high` is below `2^32`, the others below `2^59`.
pub(crate) type Reciprocal = [u64; 3];

/// Those of all limbs.
#[expect(clippy::indexing_slicing, reason = "evaluated at compile time")]
pub(crate) const RECIPROCALS: [Reciprocal; PRIMES.len()] = {
    let mut words = [[0; 3]; PRIMES.len()];
    let mut i = 0;
    while i < PRIMES.len() {
        let q = PRIMES[i] as u128;
        let r = ((1 << 96) + q / 2) / q;
        words[i] = [r as u64 & 0xffff_ffff, (r >> 32) as u64 & 0xffff_ffff, (r >> 64) as u64];
        i += 1;
    }
    words
};
