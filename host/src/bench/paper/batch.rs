//! Batch encoding mod N: a vector of n slots as a polynomial in `Z_N[X]/(X^n + 1)`, so that
//! products of polynomials are products of slots (Smart, Vercauteren, "Fully homomorphic SIMD
//! operations", 2014).
//!
//! Slots are the values of the polynomial at the odd powers of ψ, a primitive 2n-th root of unity:
//! encoding is the inverse number-theoretic transform, decoding the transform. N has 37 bits, so 12
//! layers need no reduction inside a 64-bit word.

use minionn_core::params::N;
use minionn_core::ring::Modulus;

/// The paper's plaintext modulus: prime, 37 bits, 1 mod 8192.
pub const MODULUS: u64 = 101_285_036_033;
/// The ring in which everything is shared.
pub const RING: Modulus = Modulus::Odd(MODULUS);

/// A constant factor mod N with `⌊factor·2^64/N⌋` (Shoup).
#[derive(Clone, Copy, Debug)]
pub struct Factor {
    value: u64,
    quotient: u64,
}

impl Factor {
    /// The factor of an element of `[0, N)`.
    #[must_use]
    pub fn new(value: u64) -> Self {
        debug_assert!(value < MODULUS);
        Self { value, quotient: ((u128::from(value) << 64) / u128::from(MODULUS)) as u64 }
    }

    /// A representative of `x·factor` in `[0, 2N)`, for any `x`.
    #[inline(always)]
    const fn lazy(self, x: u64) -> u64 {
        let quotient = ((x as u128 * self.quotient as u128) >> 64) as u64;
        x.wrapping_mul(self.value).wrapping_sub(quotient.wrapping_mul(MODULUS))
    }

    /// `x·factor mod N`, for any `x`.
    #[inline(always)]
    #[must_use]
    pub const fn times(self, x: u64) -> u64 {
        RING.sub(self.lazy(x), MODULUS * (self.lazy(x) >= MODULUS) as u64)
    }
}

/// `base^exponent mod N`.
fn power(base: u64, exponent: u64) -> u64 {
    let bits = u64::BITS - exponent.leading_zeros();
    (0..bits).rev().fold(1, |x, i| {
        let square = RING.mul(x, x);
        if exponent >> i & 1 == 1 { RING.mul(square, base) } else { square }
    })
}

/// The transform of one length.
#[derive(Clone, Debug)]
pub struct Batch {
    /// `ψ^brv(k)`; entry 0 is unused.
    roots: Vec<Factor>,
    /// `1/n`.
    scale: Factor,
}

impl Default for Batch {
    /// For polynomials of degree below 4096.
    fn default() -> Self {
        Self::new(N.ilog2())
    }
}

impl Batch {
    /// For `2^log` slots, `1 ≤ log ≤ 12`.
    #[must_use]
    pub fn new(log: u32) -> Self {
        debug_assert!((1..=N.ilog2()).contains(&log));
        let n = 1_u64 << log;
        // ψ = g^((N−1)/2n) has order 2n if g is not a square.
        let psi = (2..MODULUS)
            .map(|g| power(g, (MODULUS - 1) / (2 * n)))
            .find(|&psi| power(psi, n) == MODULUS - 1)
            .unwrap_or(1);
        let roots = (0..n as u32)
            .map(|k| Factor::new(power(psi, u64::from(k.reverse_bits() >> (u32::BITS - log)))));
        Self { roots: roots.collect(), scale: Factor::new(power(n, MODULUS - 2)) }
    }

    /// The polynomial with these slots, in place. `slots`: n elements of `[0, N)`.
    pub fn encode(&self, slots: &mut [u64]) {
        debug_assert_eq!(slots.len(), self.roots.len());
        let (mut half, mut layer) = (1, 0);
        while half < slots.len() {
            // Values are below 2^layer·2N: sums double in every layer, products are below 2N.
            let above = MODULUS << (layer + 1);
            let blocks = slots.len() / (2 * half);
            // ψ^-brv(k) = −ψ^brv(k') with k' mirrored inside its layer.
            let roots = self.roots.iter().take(2 * blocks).rev();
            for (block, root) in slots.chunks_exact_mut(2 * half).zip(roots) {
                let (low, high) = block.split_at_mut(half);
                for (x, y) in low.iter_mut().zip(high) {
                    (*x, *y) = (*x + *y, root.lazy(*y + above - *x));
                }
            }
            half *= 2;
            layer += 1;
        }
        for x in slots {
            *x = self.scale.times(*x);
        }
    }

    /// The slots of a polynomial, in place. `coefficients`: n elements of `[0, N)`.
    pub fn decode(&self, coefficients: &mut [u64]) {
        debug_assert_eq!(coefficients.len(), self.roots.len());
        let (mut half, mut first) = (coefficients.len() / 2, 1);
        while half > 0 {
            for (block, root) in
                coefficients.chunks_exact_mut(2 * half).zip(self.roots.iter().skip(first))
            {
                let (low, high) = block.split_at_mut(half);
                for (x, y) in low.iter_mut().zip(high) {
                    // Every layer adds at most 2N: below 25N after twelve.
                    let t = root.lazy(*y);
                    (*x, *y) = (*x + t, *x + 2 * MODULUS - t);
                }
            }
            first *= 2;
            half /= 2;
        }
        for x in coefficients {
            *x %= MODULUS;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;
    use minionn_core::rng::{Domain, Seed};

    fn random(number: u64, n: usize) -> Vec<u64> {
        let mut prg = Seed([5; 32]).stream(Domain::Mask, number);
        (0..n).map(|i| if i == 0 { MODULUS - 1 } else { prg.next_u64() % MODULUS }).collect()
    }

    /// By definition: `X^n = −1`.
    fn negacyclic(a: &[u64], b: &[u64]) -> Vec<u64> {
        let mut c = vec![0; a.len()];
        for (i, &a) in a.iter().enumerate() {
            for (j, &b) in b.iter().enumerate() {
                let (k, x) = ((i + j) % c.len(), RING.mul(a, b));
                c[k] = if i + j < c.len() { RING.add(c[k], x) } else { RING.sub(c[k], x) };
            }
        }
        c
    }

    fn product(batch: &Batch, a: &[u64], b: &[u64]) -> Vec<u64> {
        let (mut a, mut b) = (a.to_vec(), b.to_vec());
        batch.decode(&mut a);
        batch.decode(&mut b);
        let mut c: Vec<u64> = a.iter().zip(&b).map(|(&a, &b)| RING.mul(a, b)).collect();
        batch.encode(&mut c);
        c
    }

    #[test]
    fn slots_multiply_as_polynomials_do() {
        for log in [1, 2, 3, 6, 9] {
            let (batch, n) = (Batch::new(log), 1 << log);
            let (a, b) = (random(1, n), random(2, n));
            assert_eq!(product(&batch, &a, &b), negacyclic(&a, &b), "n = {n}");
        }
    }

    #[test]
    fn slots_are_values_at_odd_powers_of_psi() {
        let batch = Batch::default();
        let (coefficients, psi) = (random(3, 4096), batch.roots[2048].value);
        assert_eq!(power(psi, 4096), MODULUS - 1);
        let mut slots = coefficients.clone();
        batch.decode(&mut slots);
        for slot in [0_u32, 1, 2, 99, 4095] {
            let at = power(psi, 2 * u64::from(slot.reverse_bits() >> 20) + 1);
            let value = coefficients.iter().rev().fold(0, |sum, &c| RING.add(RING.mul(sum, at), c));
            assert_eq!(slots[slot as usize], value, "slot {slot}");
        }
    }

    #[test]
    fn encoding_undoes_decoding_at_the_extremes() {
        let batch = Batch::default();
        for slots in [vec![MODULUS - 1; 4096], vec![0; 4096], random(4, 4096)] {
            let mut other = slots.clone();
            batch.encode(&mut other);
            assert!(other.iter().all(|&x| x < MODULUS));
            batch.decode(&mut other);
            assert_eq!(other, slots);
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
            let params = &group["params"];
            if params["q"] != MODULUS || group["type"] != "product" {
                continue;
            }
            let batch = Batch::new(params["n"].as_u64().unwrap().ilog2());
            for test in group["tests"].as_array().unwrap() {
                assert_eq!(
                    product(&batch, &numbers(&test["a"]), &numbers(&test["b"])),
                    numbers(&test["product"])
                );
                checked += 1;
            }
        }
        assert_eq!(checked, 9);
    }
}
