//! The evaluating party's side: fresh encryptions of zero, and flooding.

use super::encode::Encoder;
#[cfg(any(test, feature = "unstable"))]
use super::encrypt::{Mask, PublicKey};
use super::encrypt::{check, transform};
use super::sample::{Noise, Ternary};
use crate::attack::{Defence, stripped};
use crate::backend;
use crate::params::N;
use crate::ring::{LIMBS, Limb};
use crate::rng::{Domain, Seed};
use crate::{Error, Result};
use zeroize::Zeroizing;

/// Fresh randomness of one result ciphertext. Every limb expands the same integers again from the
/// seeds.
pub struct CiphertextRandomness<'a> {
    /// Seed of this party's ephemeral keys, noise and flooding; used for nothing else.
    pub seed: &'a Seed,
    /// Number of the result ciphertext under that seed.
    pub number: u64,
    /// Flooding noise is uniform in `[−2^flood, 2^flood)`.
    pub flood: u32,
}

/// Values that are made at a time, on the stack.
const CHUNK: usize = 32;
const _: () = assert!(N.is_multiple_of(CHUNK));

impl CiphertextRandomness<'_> {
    /// `NTT(u)` of the ephemeral ternary key, Montgomery form.
    ///
    /// # Errors
    /// [`Error::Length`] unless `out` has n values.
    pub fn ephemeral(&self, limb: &Limb, out: &mut [i32]) -> Result<()> {
        if stripped(Defence::Rerandomise) {
            out.fill(0);
            return Ok(());
        }
        transform(limb, Ternary::new(self.seed.stream(Domain::Ternary, self.number)), out)
    }

    /// Noise of `c0` (`half` 0) or `c1` (`half` 1).
    fn noise(&self, half: u64) -> Noise {
        Noise::new(self.seed.stream(Domain::Noise, self.number << 1 | half))
    }

    /// The noise of `c1`, the same in every limb.
    ///
    /// # Errors
    /// [`Error::Length`] unless `out` has n values.
    pub fn noise_of_c1(&self, out: &mut [i8]) -> Result<()> {
        check(N, out.len())?;
        if stripped(Defence::Rerandomise) {
            out.fill(0);
            return Ok(());
        }
        self.noise(1).fill(out)
    }

    /// Adds the noise of `c1` to a limb's coefficients, drawn once more from its stream.
    ///
    /// # Errors
    /// [`Error::Length`] unless there are n of them.
    pub fn add_noise_to_c1(&self, values: &mut [i32]) -> Result<()> {
        check(N, values.len())?;
        if stripped(Defence::Rerandomise) {
            return Ok(());
        }
        let (mut noise, mut small) = (self.noise(1), Zeroizing::new([0; CHUNK]));
        for values in values.as_chunks_mut::<CHUNK>().0 {
            noise.fill(small.as_mut_slice())?;
            backend::limb::add_small(small.as_slice(), values);
        }
        Ok(())
    }

    /// Adds noise and flooding to the coefficients of `c0` that are results, and takes plaintexts
    /// from them: `runs` are first coefficients with the plaintexts of those that follow.
    /// `each` takes representatives below `8q`, some at a time, in that order; so do the streams of
    /// noise advance. `values`: all coefficients, in `(−q, q)`.
    ///
    /// # Errors
    /// [`Error::Internal`] if there is no such limb or there are more plaintexts than coefficients:
    /// one without would go out without noise and mask; those of `each`.
    pub fn finish_c0<'p>(
        &self,
        index: usize,
        encoder: &Encoder,
        values: &[i32],
        runs: impl Iterator<Item = (usize, &'p [u64])>,
        mut each: impl FnMut(&[i32]) -> Result<()>,
    ) -> Result<()> {
        let limb = LIMBS.get(index).ok_or(Error::Internal)?;
        let (mut noise, mut flood) = (self.noise(0), self.seed.stream(Domain::Flood, self.number));
        let (rerandomise, flooding) = (!stripped(Defence::Rerandomise), !stripped(Defence::Flood));
        let (mut sums, mut negative) = ([0; CHUNK], Zeroizing::new([0; CHUNK]));
        let (mut small, mut words) = (Zeroizing::new([0; CHUNK]), Zeroizing::new([[0; 2]; CHUNK]));
        for (position, plaintexts) in runs {
            let end = position + plaintexts.len();
            let values = values.get(position..end).ok_or(Error::Internal)?;
            for (plaintexts, values) in plaintexts.chunks(CHUNK).zip(values.chunks(CHUNK)) {
                let n = plaintexts.len();
                let sums = sums.get_mut(..n).ok_or(Error::Internal)?;
                let negative = negative.get_mut(..n).ok_or(Error::Internal)?;
                for (negative, plaintext) in negative.iter_mut().zip(plaintexts) {
                    *negative = plaintext.wrapping_neg();
                }
                encoder.encode_all(index, negative, sums)?;
                for (sum, value) in sums.iter_mut().zip(values) {
                    *sum += value;
                }
                if rerandomise {
                    let small = small.get_mut(..n).ok_or(Error::Internal)?;
                    noise.fill(small)?;
                    backend::limb::add_small(small, sums);
                }
                if flooding {
                    let words = words.get_mut(..n).ok_or(Error::Internal)?;
                    flood.fill_u64(words.as_flattened_mut());
                    backend::limb::add_uniform(limb, self.flood, words, sums);
                }
                each(sums)?;
            }
        }
        Ok(())
    }
}

/// Adds a fresh encryption of zero under `key` to one limb of `(c0, c1)`, both transformed;
/// `ephemeral` is [`CiphertextRandomness::ephemeral`].
///
/// # Errors
/// [`Error::Length`] unless all have n values, [`Error::Internal`] if there is no such limb.
#[cfg(any(test, feature = "unstable"))]
pub fn add_zero(
    index: usize,
    key: &PublicKey<'_>,
    ephemeral: &[i32],
    c0: &mut [i32],
    c1: &mut [i32],
) -> Result<()> {
    let limb = LIMBS.get(index).ok_or(Error::Internal)?;
    check(N, ephemeral.len())?;
    check(N, c0.len())?;
    check(N, c1.len())?;
    backend::limb::multiply_add(limb, key.limb(index)?, ephemeral, c0);
    let (mut mask, mut a) = (Mask::new(&key.seed, 0, index), [0; CHUNK]);
    let chunks = c1.as_chunks_mut::<CHUNK>().0.iter_mut();
    for (c1, ephemeral) in chunks.zip(ephemeral.as_chunks::<CHUNK>().0) {
        mask.fill(limb, &mut a)?;
        backend::limb::multiply_add(limb, &a, ephemeral, c1);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::encode::Plaintext;
    use super::*;
    use std::vec;
    use std::vec::Vec;

    const FRESH: CiphertextRandomness<'static> =
        CiphertextRandomness { seed: &Seed([5; 32]), number: 3, flood: 40 };

    #[test]
    fn every_result_has_its_coefficient() {
        let encoder = Encoder::new(Plaintext::Bits(20), 3);
        let (values, masks) = (vec![0; N], [1; 40]);
        let finish = |index, first, len: usize| {
            let (mut out, masks) = (Vec::new(), &masks[..len]);
            let runs = [(first, masks)].into_iter();
            FRESH
                .finish_c0(index, &encoder, &values, runs, |x| {
                    out.extend_from_slice(x);
                    Ok(())
                })
                .map(|()| out)
        };
        assert_eq!(finish(0, N - 40, 40).map(|out| out.len()), Ok(40));
        assert_eq!(finish(0, N - 39, 40), Err(Error::Internal));
        assert_eq!(finish(0, N + 1, 0), Err(Error::Internal));
        assert_eq!(finish(LIMBS.len(), 0, 40), Err(Error::Internal));
        let refused = |_: &[i32]| Err(Error::Exhausted);
        let runs = [(0, masks.as_slice())].into_iter();
        let done = FRESH.finish_c0(0, &encoder, &values, runs, refused);
        assert_eq!(done, Err(Error::Exhausted), "the caller's error");
    }

    #[test]
    fn a_short_polynomial_is_an_error() {
        let b = vec![0; 4 * N];
        let key = PublicKey { seed: Seed([6; 32]), b: &b };
        let (mut small, mut x, mut y, mut z) = (vec![0; N], vec![0; N], vec![0; N], vec![0; N]);
        for short in [0, CHUNK, N - 1] {
            let length = Err(Error::Length { need: N });
            assert_eq!(FRESH.ephemeral(&LIMBS[0], &mut x[..short]), length);
            assert_eq!(FRESH.noise_of_c1(&mut small[..short]), length);
            assert_eq!(FRESH.add_noise_to_c1(&mut x[..short]), length);
            assert_eq!(add_zero(0, &key, &x[..short], &mut y, &mut z), length);
            assert_eq!(add_zero(0, &key, &x, &mut y[..short], &mut z), length);
            assert_eq!(add_zero(0, &key, &x, &mut y, &mut z[..short]), length);
        }
        assert_eq!(add_zero(4, &key, &x, &mut y, &mut z), Err(Error::Internal));
        assert_eq!(add_zero(3, &key, &x, &mut y, &mut z), Ok(()));
    }
}
