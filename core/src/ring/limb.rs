//! Arithmetic modulo one 27-bit prime and the negacyclic number-theoretic transform.
//!
//! Values are `i32`. A *representative* of `x` is any integer congruent to it; bounds stand next to
//! each routine, in multiples of q. The transform is plain (no Montgomery factor): index `i` of the
//! output is the value at `ψ^(2·brv(i) + 1)`, with brv over `log2(n)` bits and ψ as in
//! [`Limb::new`]. Signed Montgomery arithmetic with R = 2^32 (Seiler, ePrint 2018/039).

use crate::backend::{self, layers};
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
    pub(crate) vectors: backend::limb::avx2::Factors,
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

const fn pow(mut base: u64, mut exponent: u64, q: u64) -> u64 {
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
            vectors: backend::limb::avx2::Factors::new(&all_factors(psi, q), minus_inverse),
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

    /// Montgomery form of 1, below `0.52q`.
    #[inline(always)]
    #[must_use]
    pub const fn montgomery_one(&self) -> i32 {
        self.montgomery(self.r2 as i64)
    }

    /// A value below `0.52q` congruent to `a`, any `i32`.
    #[inline(always)]
    #[must_use]
    pub const fn reduce(&self, a: i32) -> i32 {
        // a·(2^32 mod q) / 2^32: two steps would double the cost of the constant, so derive it from
        // r2.
        self.mul(a, self.montgomery_one())
    }

    /// `2^32 / n` for a power of two from 4, below `0.52q`: with [`Limb::mul`], divides by n.
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

    /// Transforms `a` (length a power of two, 4 to N) in place. Input in `(−q, q)`; output in `(−q,
    /// q)`. Inside, after layer i representatives are below `B_i·q` with `B_0 = 1`, `B_{i+1} =
    /// B_i·(1 + 1/64) + 1/2`: 7.75 after 12 layers.
    ///
    /// Two layers at a time where there are no vectors: half the loads and stores, and a third of
    /// the factors.
    pub fn forward(&self, a: &mut [i32]) {
        match <&mut [i32; N]>::try_from(&mut *a).ok() {
            Some(a) => backend::limb::forward(self, a),
            None => self.forward_in_passes(a),
        }
    }

    /// The transform without vectors.
    pub(crate) fn forward_in_passes(&self, a: &mut [i32]) {
        debug_assert!(a.len().is_power_of_two() && (4..=N).contains(&a.len()));
        let mut blocks = 1;
        if a.len().trailing_zeros() % 2 == 1 {
            self.forward_layer(a);
            blocks = 2;
        }
        while blocks <= a.len() / 4 {
            layers::forward(self, a, blocks);
            blocks *= 4;
        }
    }

    /// Undoes [`Limb::forward`]. Input in `(−q, q)`; output in `(−q, q)`.
    ///
    /// Two layers at a time where there are no vectors: of four values below 2q, the sum of all, at
    /// most 8q, is reduced below `0.6q`, the sum of two products stays below 2q, the other two
    /// are products.
    pub fn inverse(&self, a: &mut [i32]) {
        match <&mut [i32; N]>::try_from(&mut *a).ok() {
            Some(a) => backend::limb::inverse(self, a),
            None => self.inverse_in_passes(a),
        }
    }

    /// The inverse without vectors.
    pub(crate) fn inverse_in_passes(&self, a: &mut [i32]) {
        debug_assert!(a.len().is_power_of_two() && (4..=N).contains(&a.len()));
        let mut blocks = a.len() / 4;
        while blocks > 0 {
            layers::inverse(self, a, blocks);
            blocks /= 4;
        }
        if a.len().trailing_zeros() % 2 == 1 {
            self.inverse_layer(a);
        }
        let scale = self.scale(a.len());
        for x in a {
            *x = self.mul(*x, scale);
        }
    }

    /// The first layer alone, for lengths that are no power of four.
    fn forward_layer(&self, a: &mut [i32]) {
        let (low, high) = a.split_at_mut(a.len() / 2);
        for (x, y) in low.iter_mut().zip(high) {
            let t = self.mul(*y, self.root);
            (*x, *y) = (*x + t, *x - t);
        }
    }

    /// Undoes [`Self::forward_layer`] but for a factor of 2.
    fn inverse_layer(&self, a: &mut [i32]) {
        let (low, high) = a.split_at_mut(a.len() / 2);
        for (x, y) in low.iter_mut().zip(high) {
            (*x, *y) = (*x + *y, self.mul(*y - *x, self.root));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn product(limb: &Limb, a: &[u64], b: &[u64]) -> Vec<u64> {
        let load = |v: &[u64]| v.iter().map(|&x| limb.centre(x as u32)).collect::<Vec<_>>();
        let (mut a, mut b) = (load(a), load(b));
        limb.forward(&mut a);
        limb.forward(&mut b);
        for (a, b) in a.iter_mut().zip(&b) {
            *a = limb.mul(*a, limb.to_montgomery(*b));
        }
        limb.inverse(&mut a);
        a.iter().map(|&x| u64::from(limb.canonical(x))).collect()
    }

    /// The vectors of tests/vectors/negacyclic.json; see there for the generator.
    struct Lcg(u64);
    impl Lcg {
        fn next(&mut self) -> u64 {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            self.0 >> 33
        }
        fn wide(&mut self, m: u64) -> u64 {
            let high = self.next() << 31;
            (high | self.next()) % m
        }
    }

    #[test]
    fn reference_vectors() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/negacyclic.json");
        let file: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let numbers = |v: &serde_json::Value| {
            v.as_array().unwrap().iter().map(|x| x.as_u64().unwrap()).collect::<Vec<_>>()
        };
        let mut checked = 0;
        for group in file["testGroups"].as_array().unwrap() {
            let q = group["params"]["q"].as_u64().unwrap();
            if q >= 1 << 27 {
                continue; // the paper's 37-bit N: not a limb
            }
            let limb = Limb::new(q as u32);
            for t in group["tests"].as_array().unwrap() {
                if group["type"] == "product" {
                    assert_eq!(
                        product(&limb, &numbers(&t["a"]), &numbers(&t["b"])),
                        numbers(&t["product"]),
                        "q {q}"
                    );
                } else {
                    let mut g = Lcg(q);
                    let a: Vec<u64> = (0..N).map(|_| g.wide(q)).collect();
                    let mut b = [0; N];
                    for _ in 0..64 {
                        // make.py assigns `b[wide(g, n)] = wide(g, q)`: Python draws the value
                        // before the position.
                        let value = g.wide(q);
                        b[g.wide(N as u64) as usize] = value;
                    }
                    use sha2::Digest as _;
                    let bytes: Vec<u8> =
                        product(&limb, &a, &b).iter().flat_map(|x| x.to_le_bytes()).collect();
                    let hex: std::string::String = sha2::Sha256::digest(&bytes)
                        .iter()
                        .map(|b| std::format!("{b:02x}"))
                        .collect();
                    assert_eq!(hex, t["product_sha256"].as_str().unwrap(), "q {q}");
                }
                checked += 1;
            }
        }
        assert_eq!(checked, 60);
    }

    #[test]
    fn extreme_values_stay_within_bounds() {
        for limb in LIMBS.iter().chain([&SLOT]) {
            for fill in [limb.q - 1, 1 - limb.q, limb.q / 2] {
                let mut a = [fill; N];
                limb.forward(&mut a);
                assert!(a.iter().all(|x| x.abs() < limb.q));
                limb.inverse(&mut a);
                assert!(a.iter().all(|x| limb.canonical(*x) == limb.canonical(limb.reduce(fill))));
            }
        }
    }

    #[test]
    fn transform_is_evaluation_at_odd_powers() {
        let limb = &LIMBS[0];
        let q = limb.q as u64;
        let psi = (2..)
            .map(|g| pow(g, (q - 1) / (2 * N as u64), q))
            .find(|&psi| pow(psi, N as u64, q) == q - 1)
            .unwrap();
        assert_eq!(pow(psi, N as u64 / 2, q), u64::from(limb.canonical(limb.mul(limb.root, 1))));
        assert_eq!(pow(psi, N as u64, q), q - 1);
        let mut a = [0; N];
        a[1] = 1;
        limb.forward(&mut a);
        for i in [0_u32, 1, 2, 77, 4095] {
            let exponent = 2 * u64::from(i.reverse_bits() >> 20) + 1;
            assert_eq!(u64::from(limb.canonical(a[i as usize])), pow(psi, exponent, q));
        }
    }
}
