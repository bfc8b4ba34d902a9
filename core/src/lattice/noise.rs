//! The static noise bound: which moduli carry a layer, and how much flooding they leave.
//!
//! For one result coefficient of a layer (units of 1, modulus q):
//! - `e·w` and the encoding's rounding: noise per packed coefficient is sub-gaussian with variance
//!   `CBD/2` plus `1/4` (the mask is uniform and q odd, so the rounding error is uniform on [−½,
//!   ½)); weights are at most `2^(wb−1)` in absolute value.
//! - the fresh encryption of zero: `e_pk·u + e_0 + e_1·s`, twice σ·√n, and the tail's share of
//!   `e_0`.
//!
//! A tail of 10.5 standard deviations fails with probability 2·exp(−10.5²/2) < 2^-78 for each
//! coefficient.

use crate::error::{Error, PlanFault, Result};
use crate::params::{CBD, FLOOD_BITS, N, PRIMES};

/// `10.5² · (CBD/2 + 1/4)`, rounded up: square of the tail times the variance of one packed
/// coefficient.
const TAIL2_VARIANCE: u64 = 1186;
const _: () = assert!(4 * TAIL2_VARIANCE * 4 >= 441 * (2 * CBD as u64 + 1), "10.5² = 441/4");

/// `e_pk·u + e_0 + e_1·s`: `2 · 10.5 · 3.25 · 64` and `e_0`'s 21.
const FRESH: u64 = 4_400;

/// Extra bits of the downloaded `c1` over the plaintext modulus.
pub const C1_EXTRA: u32 = 9;
/// Extra bits of the downloaded `c0` over the plaintext modulus.
pub const C0_EXTRA: u32 = 4;

/// Steps of `q / 2^(ℓ+9)` that the flooding may use: of 256, the rounding of `c0` takes 16, that of
/// `c1·s` 10.5·√(n/12) = 194, and one is spare.
const FLOOD_STEPS: u128 = 45;

/// The moduli of one layer and its flooding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// Number of limbs of the ciphertext modulus: 3 or 4.
    pub limbs: usize,
    /// Flooding noise is uniform in `[−2^flood, 2^flood)`.
    pub flood: u32,
    /// Bits between the noise bound and the flooding: at least 40.
    pub statistical: u32,
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

/// The worst noise of a result: `weights` packed coefficients of absolute value at most
/// `2^magnitude`.
#[must_use]
pub const fn bound(weights: u64, magnitude: u32) -> u128 {
    (((TAIL2_VARIANCE * weights).isqrt() as u128 + 1) << magnitude) + FRESH as u128
}

impl Level {
    /// The fewest limbs that carry plaintexts of `plain_bits` with the noise bound `bound`, and the
    /// most flooding that they allow.
    ///
    /// # Errors
    /// [`PlanFault::Flooding`] if even four limbs leave less than 40 bits.
    pub const fn choose(plain_bits: u32, bound: u128) -> Result<Self> {
        let mut limbs = 3;
        while limbs <= PRIMES.len() {
            let room = (FLOOD_STEPS * modulus(limbs)) >> (plain_bits + C1_EXTRA);
            let flood = room.saturating_sub(bound).checked_ilog2();
            if let Some(flood) = flood
                && let Some(statistical) = flood.checked_sub(bound.ilog2() + 1)
                && statistical >= FLOOD_BITS
            {
                return Ok(Self { limbs, flood, statistical });
            }
            limbs += 1;
        }
        Err(Error::Plan(PlanFault::Flooding))
    }
}

const _: () = assert!(N == 4096, "the constants above are for n = 4096");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widest_rings_of_three_and_four_limbs() {
        let full = bound(4096, 7);
        assert_eq!(Level::choose(18, full).map(|l| l.limbs), Ok(3));
        assert_eq!(Level::choose(44, full).map(|l| l.limbs), Ok(4));
        assert_eq!(Level::choose(44, bound(3 * 4096, 11)), Err(Error::Plan(PlanFault::Flooding)));
    }
}
