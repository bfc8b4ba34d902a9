//! Rescaling from q to a power of two, limb by limb.
//!
//! For `c` with residues `c_i`: `c/q ≡ Σ [c_i·(q/q_i)^-1]_{q_i} / q_i (mod 1)`. Each limb adds its
//! fraction, as a 64-bit fixed-point number with wrap-around, and the sum is rounded once at the
//! end. A term is off by less than 2^-63, so are 16 terms by 2^-59.

use super::encrypt::check;
use crate::backend;
use crate::lattice::noise;
use crate::params::PRIMES;
use crate::prime::{LIMBS, Limb, RECIPROCALS, Reciprocal, montgomery_inverse};
use crate::{Error, Result};

/// Constants of one ciphertext modulus.
#[derive(Clone, Copy, Debug)]
pub struct Basis {
    /// `(q/q_i)^-1 mod q_i`, Montgomery form.
    inverses: [i32; LIMBS.len()],
}

impl Basis {
    /// The first `limbs` primes. The inverse of the product of those that come before or after a
    /// limb, in words of 64 bits: a division of 128 bits is long where there is no instruction.
    #[must_use]
    pub const fn new(limbs: usize) -> Self {
        let mut inverses = [0; LIMBS.len()];
        let mut rest = inverses.as_mut_slice();
        let mut primes: &[u32] = &PRIMES;
        while let (Some((inverse, inverses)), Some((&prime, others))) =
            (rest.split_first_mut(), primes.split_first())
        {
            *inverse = montgomery_inverse(noise::modulus_mod(limbs, prime), prime);
            (rest, primes) = (inverses, others);
        }
        Self { inverses }
    }

    /// Adds the fractions of residues of limb `index`, any representatives, to as many sums.
    ///
    /// # Errors
    /// [`Error::Length`] unless there is a sum for each, [`Error::Internal`] if there is no such
    /// limb.
    pub fn add<F: Fraction>(&self, index: usize, residues: &[i32], sums: &mut [F]) -> Result<()> {
        check(residues.len(), sums.len())?;
        let (Some(limb), Some(&inverse), Some(reciprocal)) =
            (LIMBS.get(index), self.inverses.get(index), RECIPROCALS.get(index))
        else {
            return Err(Error::Internal);
        };
        F::add(limb, inverse, reciprocal, residues, sums);
        Ok(())
    }
}

/// A fixed-point sum of fractions.
pub trait Fraction: Copy + Default + bytemuck::Pod + Sync {
    /// As [`Basis::add`], with the limb's constants.
    fn add(limb: &Limb, inverse: i32, reciprocal: &Reciprocal, residues: &[i32], sums: &mut [Self]);
    /// The sum rounded to `bits` bits, modulo `2^bits`.
    fn round(self, bits: u32) -> u64;
}

impl Fraction for u64 {
    fn add(
        limb: &Limb,
        inverse: i32,
        reciprocal: &Reciprocal,
        residues: &[i32],
        sums: &mut [Self],
    ) {
        backend::limb::add_fractions(limb, inverse, reciprocal, residues, sums);
    }
    #[inline]
    fn round(self, bits: u32) -> u64 {
        let sum = self.wrapping_add(1 << (63 - bits));
        // Small machines shift 64 bits by a number in a call.
        match 32_u32.checked_sub(bits) {
            Some(fewer) => u64::from((sum >> 32) as u32 >> fewer),
            None => sum >> (64 - bits),
        }
    }
}

/// Half the memory, for at most 26 bits: a term is off by less than 2^-32, so 16 terms by 2^-28.
impl Fraction for u32 {
    fn add(
        limb: &Limb,
        inverse: i32,
        reciprocal: &Reciprocal,
        residues: &[i32],
        sums: &mut [Self],
    ) {
        for (sum, &c) in sums.iter_mut().zip(residues) {
            *sum = sum.wrapping_add(
                (backend::limb::portable::fraction(limb, inverse, reciprocal, c) >> 32) as u32,
            );
        }
    }
    #[inline]
    fn round(self, bits: u32) -> u64 {
        u64::from(self.wrapping_add(1 << (31 - bits)) >> (32 - bits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::slice;

    #[test]
    fn rounds_like_the_quotient() {
        for limbs in [2, 3, 4] {
            let (q, basis) = (noise::modulus(limbs), Basis::new(limbs));
            let mut c = q / 3;
            for _ in 0..200 {
                c = (c * 7 + 12345) % q;
                let (mut wide, mut narrow) = (0_u64, 0_u32);
                for (i, limb) in LIMBS.iter().enumerate().take(limbs) {
                    let residue = (c % limb.q as u128) as i32;
                    basis.add(i, &[residue], slice::from_mut(&mut wide)).unwrap();
                    basis.add(i, &[residue - limb.q], slice::from_mut(&mut narrow)).unwrap();
                }
                for bits in [17_u32, 20] {
                    let exact = ((((c << bits) + q / 2) / q) % (1 << bits)) as u64;
                    assert_eq!(wide.round(bits), exact);
                    let off = (narrow.round(bits).wrapping_sub(exact)) & ((1 << bits) - 1);
                    assert!(off == 0 || off == 1 || off == (1 << bits) - 1);
                }
            }
        }
    }

    #[test]
    fn every_residue_has_its_sum_and_limb() {
        let basis = Basis::new(3);
        let length = Err(Error::Length { need: 5 });
        assert_eq!(basis.add(0, &[1; 5], &mut [0_u64; 4]), length);
        assert_eq!(basis.add(0, &[1; 5], &mut [0_u32; 6]), length);
        assert_eq!(basis.add(LIMBS.len(), &[1; 5], &mut [0_u64; 5]), Err(Error::Internal));
    }
}
