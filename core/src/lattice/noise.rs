//! The static noise bound: which modulus carries a layer, and how far its uploads may be rounded.
//!
//! For one result coefficient of a layer (units of 1, modulus q), with weights of absolute value at
//! most `2^(w−1)`, `m` of them packed into one result polynomial and `F` in one output:
//! - noise: each packed weight meets a coefficient with fresh noise, the rounding of the upload and
//!   that of its reading, sub-gaussian with variances `CBD/2`, `4^d/12` and `1/12`;
//! - the encoding's rounding, at most ½, which elements that are repeated repeat: it is counted in
//!   full, for the weights of one output;
//! - the fresh encryption of zero: `e_pk·ρ + e_0 + e_1·s`.
//!
//! A tail of 10.5 standard deviations fails with probability 2·exp(−10.5²/2) < 2^-78 for each
//! coefficient.

use crate::error::{Error, PlanFault, Result};
use crate::params::{CBD, FLOOD_BITS, MAX_RING_BITS, MAX_WEIGHT_BITS, N, PRIMES, SMALL_N};

/// `10.5² · (CBD/2 + 1/4)`, rounded up: square of the tail times the variance of one packed
/// coefficient, but for the rounding of the upload.
const TAIL2_VARIANCE: u64 = 1186;
const _: () = assert!(4 * TAIL2_VARIANCE * 4 >= 441 * (2 * CBD as u64 + 1), "10.5² = 441/4");

/// `10.5²/12` times what a sixteenth of a unit more adds to a rounding of half a unit: the square
/// of the tail times the variance of a rounding to whole units, from sums of fractions.
const TAIL2_ROUNDING: u128 = 11;

/// Extra bits of the downloaded `c1` over those of the result.
pub const C1_EXTRA: u32 = 9;
/// Extra bits of the downloaded `c0` over those of the result.
pub const C0_EXTRA: u32 = 4;
/// Bits of a result over those of its ring: half a step of it holds all noise, so that twice the
/// layer's result is off by the carry of two shares at most.
pub const RESULT_EXTRA: u32 = 1;

/// Most bits to which a coefficient of an upload is rounded: sums of fractions are good enough for
/// that. An upload that needs more is sent whole.
const MAX_UPLOAD_BITS: u32 = 56;
const _: () = assert!(MAX_RING_BITS as u32 + RESULT_EXTRA + C1_EXTRA <= MAX_UPLOAD_BITS);

/// A ring and its modulus, without what a layer makes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParameterSet {
    /// Degree of the ring's polynomials.
    pub n: usize,
    /// Limbs of the ciphertext modulus: the first of all.
    pub limbs: usize,
    /// Bits of the modulus.
    bits: u32,
    /// What is left for noise in half a step of a result, which has 256 units of `q/2^(ℓ+10)`: 16
    /// are for the rounding of `c0`, `10.5·√(0.8·n/12)` for that of `c1·s`, one is spare. A secret
    /// with more than `0.8·n` coefficients that are not 0 has probability below 2^-128.
    share: u128,
    /// `e_pk·ρ + e_0 + e_1·s`, with the same bound on both secrets.
    fresh: u128,
}

impl ParameterSet {
    /// The smaller ring.
    pub const SMALL: Self = Self { n: SMALL_N, limbs: 2, bits: 53, share: 116, fresh: 1950 };
    /// The larger ring, for layers that the smaller one does not carry.
    pub const LARGE: Self = Self { n: N, limbs: 3, bits: 80, share: 65, fresh: 2760 };
    /// All that layers may use, the cheaper first.
    pub const ALL: [Self; 2] = [Self::SMALL, Self::LARGE];
}

// 441/4 · 0.8·n/12 = 7.35·n; the square of 10.5·√10.5·√(1.6·n + 1) is 1157.625·(1.6·n + 1).
const _: () = {
    let mut rest: &[ParameterSet] = &ParameterSet::ALL;
    while let Some((set, others)) = rest.split_first() {
        let (rounding, n) = (256 - 16 - 1 - set.share, set.n as u128);
        assert!(100 * rounding * rounding >= 735 * n);
        assert!(1000 * set.fresh * set.fresh >= 1_157_625 * (16 * n + 10) / 10);
        assert!(modulus(set.limbs) < 1 << set.bits);
        rest = others;
    }
};

/// The modulus of one layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// Its ring.
    pub set: ParameterSet,
    /// Bits to which a coefficient of an upload is rounded; none where it is sent whole.
    pub upload_bits: Option<u32>,
}

/// `q` of the first `limbs` primes.
#[must_use]
pub const fn modulus(limbs: usize) -> u128 {
    let mut q = 1;
    let mut rest: &[u32] = &PRIMES;
    let mut left = limbs;
    while left > 0 {
        let Some((p, tail)) = rest.split_first() else { break };
        q *= *p as u128;
        rest = tail;
        left -= 1;
    }
    q
}

/// `q` of the first `limbs` primes modulo another number of 32 bits; a prime that is the other
/// number is left out.
#[must_use]
pub const fn modulus_mod(limbs: usize, other: u32) -> u64 {
    let mut q = 1;
    let mut rest: &[u32] = PRIMES.as_slice();
    let mut left = limbs;
    while left > 0 {
        let Some((p, tail)) = rest.split_first() else { break };
        if *p != other {
            q = q * *p as u64 % other as u64;
        }
        rest = tail;
        left -= 1;
    }
    q
}

/// Weights of a layer, as far as noise depends on them.
#[derive(Clone, Copy, Debug)]
pub struct LayerNoise {
    /// Bits of the layer's ring.
    pub ring: u32,
    /// Signed bits of a weight, at least 2.
    pub weight_bits: u32,
    /// Weights of one output.
    pub fan_in: u64,
}

impl LayerNoise {
    /// With `packed` weights in one result polynomial over this ring: the fewest bits of uploads.
    ///
    /// # Errors
    /// [`PlanFault::Noise`] if it does not carry them.
    pub const fn level(self, set: ParameterSet, packed: u64) -> Result<Level> {
        const REFUSED: Result<Level> = Err(Error::Plan(PlanFault::Noise));
        /// Enough for any difference, and its square fits.
        const MOST: u128 = 1 << 60;
        let room = (set.share * modulus(set.limbs)) >> (self.ring + RESULT_EXTRA + C1_EXTRA);
        let coherent = (self.fan_in as u128) << (self.weight_bits - 2);
        let Some(left) = room.checked_sub(set.fresh + coherent) else { return REFUSED };
        let Some(tail) = (left >> (self.weight_bits - 1)).checked_sub(1) else { return REFUSED };
        let tail = if tail < MOST { tail } else { MOST };
        let own = TAIL2_VARIANCE as u128 * packed as u128;
        let Some(left) = (tail * tail).checked_sub(own) else { return REFUSED };
        let unit = TAIL2_ROUNDING * packed as u128;
        if left < unit {
            return Ok(Level { set, upload_bits: None });
        }
        // The largest with unit·4^dropped ≤ left.
        let mut dropped = (left.ilog2() - unit.ilog2()) / 2;
        if left >> (2 * dropped) < unit {
            dropped -= 1;
        }
        let bits = set.bits.saturating_sub(dropped);
        let upload_bits = if bits <= MAX_UPLOAD_BITS { Some(bits) } else { None };
        Ok(Level { set, upload_bits })
    }
}

/// The flooding of base OTs, uniform in `[−2^flood, 2^flood)`: slot differences below 2^15 in all n
/// coefficients; the encoded bits are no uniform masks, so their rounding counts in full, ½·‖w‖₁.
pub const BASE_OT_FLOOD: u32 = {
    // 45 of 256 units of `q/2^(17+9)`: 16 are for the rounding of `c0`, `10.5·√(n/12)` = 194 for
    // that of `c1·s`, and one is spare.
    let room = (45 * modulus(PRIMES.len())) >> (17 + C1_EXTRA);
    let noise = (((TAIL2_VARIANCE * N as u64).isqrt() as u128 + 1) << 15)
        + 4_400 // 2·10.5·3.25·√n and 21
        + ((N as u128) << 14);
    let flood = (room - noise).ilog2();
    assert!(flood >= noise.ilog2() + 1 + FLOOD_BITS, "less than 40 bits of flooding");
    flood
};

const _: () = assert!(N == 4096 && MAX_WEIGHT_BITS <= 12, "the constants above are for these");

#[cfg(test)]
mod tests {
    use super::*;

    fn level(set: ParameterSet, ring: u32, weight_bits: u32, packed: u64) -> Option<u32> {
        let layer = LayerNoise { ring, weight_bits, fan_in: packed };
        let level = layer.level(set, packed).ok()?;
        Some(level.upload_bits.unwrap_or(set.bits))
    }

    #[test]
    fn the_widest_rings_of_both_sets() {
        let widest = |set, weight_bits, packed| {
            (8..=MAX_RING_BITS.into())
                .rfind(|&ring| level(set, ring, weight_bits, packed).is_some())
        };
        let [small, large] = ParameterSet::ALL;
        let widest = [
            (small, 8, 2048),
            (small, 8, 64),
            (small, 12, 2048),
            (large, 8, 4096),
            (large, 12, 4096),
        ]
        .map(|(set, weight_bits, packed)| widest(set, weight_bits, packed));
        assert_eq!(widest, [Some(31), Some(34), Some(27), Some(44), Some(44)]);
    }

    /// By the inequality itself, in floating point.
    #[test]
    fn the_fewest_bits_that_the_bound_allows() {
        for set in ParameterSet::ALL {
            for ring in 8..=44 {
                for weight_bits in 2..=12 {
                    for packed in [1, 10, 1000, set.n as u64, 9 * set.n as u64] {
                        let fits = |bits: u32| {
                            let rounding = match set.bits - bits {
                                0 => 0.0,
                                dropped => 11.0 * 4_f64.powi(dropped as i32),
                            };
                            let random = ((1186.0 + rounding) * packed as f64).sqrt();
                            let weight = f64::from(1 << (weight_bits - 1));
                            let noise = (random + 1.0) * weight
                                + set.fresh as f64
                                + packed as f64 * weight / 2.0;
                            let step = modulus(set.limbs) as f64 / 2_f64.powi(ring as i32 + 1);
                            noise / step < set.share as f64 / 512.0
                        };
                        match level(set, ring, weight_bits, packed) {
                            Some(bits) => {
                                let least = match bits {
                                    80 => !fits(MAX_UPLOAD_BITS),
                                    // The difference is cut before it is squared.
                                    _ if set.limbs == 3 && ring + weight_bits <= 17 => true,
                                    bits => !fits(bits - 1),
                                };
                                let holds = fits(bits) && least;
                                assert!(holds, "{set:?} {ring} {weight_bits} {packed} {bits}");
                            }
                            None => assert!(!fits(set.bits)),
                        }
                    }
                }
            }
        }
    }
}
