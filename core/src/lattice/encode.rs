//! Encoding: `round(q·m/p)` in one limb, without wide integers.
//!
//! With `h = ⌊p/2⌋` and `rem = (q·m + h) mod p`: `round(q·m/p) = (q·m + h − rem)/p`, and q·m
//! vanishes in every limb, so the limb's value is `(h − rem)·p^-1`.

use super::encrypt::check;
use crate::backend;
use crate::lattice::noise;
use crate::params::SLOT_PRIME;
use crate::ring::{LIMBS, Limb, SLOT, montgomery_inverse};
use crate::{Error, Result};

/// Plaintext modulus of an [`Encoder`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plaintext {
    /// `2^b`, b ≤ 56: of a ring, or of an upload that is read.
    Bits(u32),
    /// The slot prime.
    Slots,
}

/// Encodes plaintexts for a ciphertext modulus of a given number of limbs.
#[derive(Clone, Copy, Debug)]
pub struct Encoder {
    plaintext: Plaintext,
    /// `q mod p` (for slots in Montgomery form modulo the slot prime).
    q_mod_p: u64,
    /// `p^-1` in Montgomery form, twice over where the numerator went through a Montgomery
    /// reduction.
    inverses: [i32; LIMBS.len()],
}

impl Encoder {
    /// Constants for `plaintext` under the first `limbs` primes.
    #[must_use]
    pub fn new(plaintext: Plaintext, limbs: usize) -> Self {
        let (p, q_mod_p) = match plaintext {
            Plaintext::Bits(bits) => {
                let p = 1_u64 << bits;
                (p, noise::modulus(limbs) as u64 & (p - 1))
            }
            Plaintext::Slots => {
                let q_mod_p = noise::modulus_mod(limbs, SLOT_PRIME) as i32;
                (SLOT_PRIME.into(), SLOT.canonical(SLOT.to_montgomery(q_mod_p)).into())
            }
        };
        let inverses =
            LIMBS.each_ref().map(|limb| limb.to_montgomery(montgomery_inverse(p, limb.q as u32)));
        Self { plaintext, q_mod_p, inverses }
    }

    /// `h − rem`, at most p/2 in absolute value (p/2 < 2^56).
    #[inline]
    fn numerator(&self, m: u64) -> i64 {
        match self.plaintext {
            Plaintext::Bits(bits) => backend::limb::portable::numerator(bits, self.q_mod_p, m),
            Plaintext::Slots => {
                let half = (SLOT_PRIME / 2) as i32;
                let sum = SLOT.mul(self.q_mod_p as i32, m as i32) + half;
                i64::from(half) - i64::from(SLOT.canonical(SLOT.reduce(sum)))
            }
        }
    }

    /// A limb, and what a numerator is multiplied by in it.
    #[inline]
    fn limb(&self, index: usize) -> Result<(&'static Limb, i32)> {
        let inverse = self.inverses.get(index).ok_or(Error::Internal)?;
        Ok((LIMBS.get(index).ok_or(Error::Internal)?, *inverse))
    }

    /// [`Self::encode`] of many; where plaintexts are bits, of any `m` modulo p.
    ///
    /// # Errors
    /// [`Error::Length`] unless there is a place for each, [`Error::Internal`] if there is no such
    /// limb.
    pub fn encode_all(&self, index: usize, m: &[u64], out: &mut [i32]) -> Result<()> {
        check(m.len(), out.len())?;
        let (limb, inverse) = self.limb(index)?;
        match self.plaintext {
            Plaintext::Bits(bits) => backend::limb::encode(
                limb,
                &backend::limb::Encoding { bits, q_mod_p: self.q_mod_p, inverse },
                m,
                out,
            ),
            Plaintext::Slots => {
                for (out, &m) in out.iter_mut().zip(m) {
                    *out = limb.mul(limb.montgomery(self.numerator(m)), inverse);
                }
            }
        }
        Ok(())
    }

    /// `round(q·m/p)` in limb `index`, a representative in `(−q, q)`; `m` in `[0, p)`.
    ///
    /// # Errors
    /// [`Error::Internal`] if there is no such limb.
    #[inline]
    pub fn encode(&self, index: usize, m: u64) -> Result<i32> {
        let (limb, inverse) = self.limb(index)?;
        Ok(limb.mul(limb.montgomery(self.numerator(m)), inverse))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_rounded_quotient() {
        for limbs in [2, 3, 4] {
            let q = noise::modulus(limbs);
            for plaintext in [Plaintext::Bits(8), Plaintext::Bits(19), Plaintext::Slots] {
                let p = if let Plaintext::Bits(b) = plaintext { 1_u128 << b } else { 65_537 };
                let encoder = Encoder::new(plaintext, limbs);
                for m in [0, 1, 2, 77, p / 2 - 1, p / 2, p / 2 + 1, p - 1] {
                    // q·m overflows u128 for none of these: q < 2^108, m < 2^19.
                    let exact = (q * m + p / 2) / p;
                    for (i, limb) in LIMBS.iter().enumerate().take(limbs) {
                        let got = i128::from(encoder.encode(i, m as u64).unwrap());
                        assert_eq!(
                            (exact as i128 - got).rem_euclid(i128::from(limb.q)),
                            0,
                            "{plaintext:?} {m} limb {i}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn every_plaintext_has_its_place_and_limb() {
        for plaintext in [Plaintext::Bits(20), Plaintext::Slots] {
            let encoder = Encoder::new(plaintext, 3);
            for (got, index, wanted) in [
                (5, 2, Ok(())),
                (4, 2, Err(Error::Length { need: 5 })),
                (6, 2, Err(Error::Length { need: 5 })),
                (5, LIMBS.len(), Err(Error::Internal)),
            ] {
                assert_eq!(encoder.encode_all(index, &[1; 5], &mut [0; 6][..got]), wanted);
            }
            assert_eq!(encoder.encode(LIMBS.len(), 1), Err(Error::Internal));
        }
    }
}
