//! The evaluating party's side: fresh encryptions of zero.

#[cfg(any(test, feature = "unstable"))]
use super::encrypt::{Mask, PublicKey, check};
use super::encrypt::{check_degree, transform};
#[cfg(any(test, feature = "unstable"))]
use super::noise::ParameterSet;
use super::sample::{Noise, Ternary};
use crate::attack::{Defence, stripped};
use crate::backend;
use crate::params::SMALL_N;
#[cfg(any(test, feature = "unstable"))]
use crate::ring::LIMBS;
use crate::ring::Limb;
use crate::rng::{Domain, Seed};
use crate::{Error, Result};
use zeroize::Zeroizing;

/// Fresh randomness of one result ciphertext: the same integers in every limb. They are drawn once
/// ([`CiphertextRandomness::draw`]), or where there is no memory for them, again for each limb.
#[derive(Clone, Copy)]
pub struct CiphertextRandomness<'a> {
    /// Seed of this party's ephemeral keys and noise; used for nothing else.
    pub seed: &'a Seed,
    /// Number of the result ciphertext under that seed.
    pub number: u64,
}

/// Values that are made at a time, on the stack.
const CHUNK: usize = 32;
const _: () = assert!(SMALL_N.is_multiple_of(CHUNK));

impl CiphertextRandomness<'_> {
    /// The ephemeral ternary key, and the noise: of `c0` where it is a result, in the order of
    /// these, and of `c1`.
    ///
    /// # Errors
    /// None.
    pub fn draw(&self, key: &mut [i8], c0: &mut [i8], c1: &mut [i8]) -> Result<()> {
        if stripped(Defence::Rerandomise) {
            [key, c0, c1].into_iter().for_each(|values| values.fill(0));
            return Ok(());
        }
        self.key().fill(key)?;
        self.noise(0).fill(c0)?;
        self.noise(1).fill(c1)
    }

    /// The coefficients of the ephemeral ternary key.
    fn key(&self) -> Ternary {
        Ternary::new(self.seed.stream(Domain::Ternary, self.number))
    }

    /// `NTT(u)` of the ephemeral ternary key, Montgomery form.
    ///
    /// # Errors
    /// [`Error::Length`] unless `out` has n values.
    pub fn ephemeral(&self, limb: &Limb, out: &mut [i32]) -> Result<()> {
        if stripped(Defence::Rerandomise) {
            out.fill(0);
            return Ok(());
        }
        transform(limb, self.key(), out)
    }

    /// Noise of `c0` (`half` 0) or `c1` (`half` 1).
    fn noise(&self, half: u64) -> Noise {
        Noise::new(self.seed.stream(Domain::Noise, self.number << 1 | half))
    }

    /// Adds the noise of `c1` to a limb's coefficients.
    ///
    /// # Errors
    /// [`Error::Length`] unless there are n of them.
    pub fn add_noise_to_c1(&self, values: &mut [i32]) -> Result<()> {
        check_degree(values.len())?;
        Self::add_some(&mut self.noise(1), values)
    }

    /// Adds the noise of `c0` to a limb's coefficients that are results: `runs` are first
    /// coefficients and how many follow each other; the noise is drawn in this order. `each` takes
    /// them run by run.
    ///
    /// # Errors
    /// [`Error::Internal`] if there is no such coefficient; those of `each`.
    pub fn add_noise_to_c0(
        &self,
        values: &mut [i32],
        runs: impl Iterator<Item = (usize, usize)>,
        mut each: impl FnMut(&[i32]) -> Result<()>,
    ) -> Result<()> {
        let mut noise = self.noise(0);
        for (first, len) in runs {
            let values = values.get_mut(first..first + len).ok_or(Error::Internal)?;
            Self::add_some(&mut noise, values)?;
            each(values)?;
        }
        Ok(())
    }

    /// Adds flooding, uniform in `[−2^bits, 2^bits)`, to a limb's coefficients. Only base OTs are
    /// flooded: results of layers are masked over their whole range.
    ///
    /// # Errors
    /// [`Error::Length`] unless there are n of them.
    pub fn add_flood(&self, limb: &Limb, bits: u32, values: &mut [i32]) -> Result<()> {
        check_degree(values.len())?;
        let mut flood = self.seed.stream(Domain::Flood, self.number);
        let mut words = Zeroizing::new([[0; 2]; CHUNK]);
        for values in values.as_chunks_mut::<CHUNK>().0 {
            flood.fill_u64(words.as_flattened_mut());
            backend::limb::add_uniform(limb, bits, words.as_slice(), values);
        }
        Ok(())
    }

    /// Adds the next noise to values.
    fn add_some(noise: &mut Noise, values: &mut [i32]) -> Result<()> {
        if stripped(Defence::Rerandomise) {
            return Ok(());
        }
        let mut small = Zeroizing::new([0; CHUNK]);
        for values in values.chunks_mut(CHUNK) {
            let small = small.get_mut(..values.len()).ok_or(Error::Internal)?;
            noise.fill(small)?;
            backend::limb::add_small(small, values);
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
    set: ParameterSet,
    index: usize,
    key: &PublicKey<'_>,
    ephemeral: &[i32],
    c0: &mut [i32],
    c1: &mut [i32],
) -> Result<()> {
    let limb = LIMBS.get(index).ok_or(Error::Internal)?;
    check(set.n, ephemeral.len())?;
    check(set.n, c0.len())?;
    check(set.n, c1.len())?;
    backend::limb::multiply_add(limb, key.limb(set, index)?, ephemeral, c0);
    let (mut mask, mut a) = (Mask::new(&key.seed, PublicKey::number(set), index), [0; CHUNK]);
    let chunks = c1.as_chunks_mut::<CHUNK>().0.iter_mut();
    for (c1, ephemeral) in chunks.zip(ephemeral.as_chunks::<CHUNK>().0) {
        mask.fill(limb, &mut a)?;
        backend::limb::multiply_add(limb, &a, ephemeral, c1);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::encrypt::{PUBLIC_KEY, transform_small};
    use super::*;
    use crate::params::N;
    use std::vec;
    use std::vec::Vec;

    const FRESH: CiphertextRandomness<'static> =
        CiphertextRandomness { seed: &Seed([5; 32]), number: 3 };

    #[test]
    fn every_result_has_its_noise() {
        let noise = |runs: &[(usize, usize)]| {
            let (mut values, mut out) = (vec![0; SMALL_N], Vec::new());
            let done = FRESH.add_noise_to_c0(&mut values, runs.iter().copied(), |x| {
                out.extend_from_slice(x);
                Ok(())
            });
            done.map(|()| out)
        };
        let whole = noise(&[(SMALL_N - 100, 100)]).unwrap();
        assert!(whole.iter().filter(|&&x| x == 0).count() < 50);
        assert_eq!(noise(&[(7, 40), (100, 60)]), Ok(whole), "however the results lie");
        assert_eq!(noise(&[(SMALL_N - 99, 100)]), Err(Error::Internal));
        assert_eq!(noise(&[(SMALL_N + 1, 0)]), Err(Error::Internal));
        let refused = |_: &[i32]| Err(Error::Exhausted);
        let done = FRESH.add_noise_to_c0(&mut [0; 5], [(0, 5)].into_iter(), refused);
        assert_eq!(done, Err(Error::Exhausted), "the caller's error");
    }

    /// Once for all limbs, or for each again.
    #[test]
    fn randomness_is_the_same_however_it_is_drawn() {
        let wide = |values: &[i8]| -> Vec<i32> { values.iter().map(|&x| x.into()).collect() };
        for n in [SMALL_N, N] {
            let (mut key, mut c0, mut c1) = (vec![0; n], vec![0; 100], vec![0; n]);
            FRESH.draw(&mut key, &mut c0, &mut c1).unwrap();
            let (mut drawn, mut again) = (vec![0; n], vec![0; n]);
            transform_small(&LIMBS[1], &key, &mut drawn).unwrap();
            FRESH.ephemeral(&LIMBS[1], &mut again).unwrap();
            assert_eq!(drawn, again);
            let mut values = vec![0; n];
            FRESH.add_noise_to_c1(&mut values).unwrap();
            assert_eq!(values, wide(&c1));
            let (mut values, mut seen) = (vec![0; n], Vec::new());
            let keep = |x: &[i32]| {
                seen.extend_from_slice(x);
                Ok(())
            };
            FRESH.add_noise_to_c0(&mut values, [(5, 60), (90, 40)].into_iter(), keep).unwrap();
            assert_eq!(seen, wide(&c0));
        }
    }

    #[test]
    fn a_short_polynomial_is_an_error() {
        let b = vec![0; PUBLIC_KEY];
        let key = PublicKey { seed: Seed([6; 32]), b: &b };
        for set in ParameterSet::ALL {
            let n = set.n;
            let (mut x, mut y, mut z) = (vec![0; n], vec![0; n], vec![0; n]);
            for short in [0, CHUNK, n - 1] {
                let (all, most) = (Err(Error::Length { need: n }), Err(Error::Length { need: N }));
                assert_eq!(FRESH.ephemeral(&LIMBS[0], &mut x[..short]), most);
                assert_eq!(FRESH.add_noise_to_c1(&mut x[..short]), most);
                assert_eq!(FRESH.add_flood(&LIMBS[0], 40, &mut x[..short]), most);
                assert_eq!(add_zero(set, 0, &key, &x[..short], &mut y, &mut z), all);
                assert_eq!(add_zero(set, 0, &key, &x, &mut y[..short], &mut z), all);
                assert_eq!(add_zero(set, 0, &key, &x, &mut y, &mut z[..short]), all);
            }
            let last = set.limbs - 1;
            assert_eq!(add_zero(set, last + 1, &key, &x, &mut y, &mut z), Err(Error::Internal));
            assert_eq!(add_zero(set, last, &key, &x, &mut y, &mut z), Ok(()));
        }
    }
}
