//! The evaluating party's side: fresh encryptions of zero, and flooding.

use super::encode::Encoder;
use super::encrypt::{Mask, PublicKey, transform};
use super::sample::{Noise, Ternary};
use crate::attack::{Defence, stripped};
use crate::backend;
use crate::ring::{LIMBS, Limb};
use crate::rng::{Domain, Seed};
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

impl CiphertextRandomness<'_> {
    /// `NTT(u)` of the ephemeral ternary key, Montgomery form. `out`: n values.
    pub fn ephemeral(&self, limb: &Limb, out: &mut [i32]) {
        if stripped(Defence::Rerandomise) {
            return out.fill(0);
        }
        transform(limb, Ternary::new(self.seed.stream(Domain::Ternary, self.number)), out);
    }

    /// Noise of `c0` (`half` 0) or `c1` (`half` 1).
    fn noise(&self, half: u64) -> Noise {
        Noise::new(self.seed.stream(Domain::Noise, self.number << 1 | half))
    }

    /// The noise of `c1`, the same in every limb.
    pub fn noise_of_c1(&self, out: &mut [i8]) {
        if stripped(Defence::Rerandomise) {
            return out.fill(0);
        }
        self.noise(1).fill(out);
    }

    /// Adds the noise of `c1` to a limb's coefficients, drawn once more from its stream.
    pub fn add_noise_to_c1(&self, values: &mut [i32]) {
        if stripped(Defence::Rerandomise) {
            return;
        }
        let (mut noise, mut small) = (self.noise(1), Zeroizing::new([0; CHUNK]));
        for values in values.chunks_mut(CHUNK) {
            let Some(small) = small.get_mut(..values.len()) else { return };
            noise.fill(small);
            backend::limb::add_small(small, values);
        }
    }

    /// Adds noise and flooding to the coefficients of `c0` that are results, and takes plaintexts
    /// from them: `runs` are first coefficients with the plaintexts of those that follow.
    /// `each` takes representatives below `8q`, some at a time, in that order; so do the streams of
    /// noise advance. `values`: all coefficients, in `(−q, q)`.
    pub fn finish_c0<'p>(
        &self,
        index: usize,
        encoder: &Encoder,
        values: &[i32],
        runs: impl Iterator<Item = (usize, &'p [u64])>,
        mut each: impl FnMut(&[i32]),
    ) {
        let Some(limb) = LIMBS.get(index) else { return };
        let (mut noise, mut flood) = (self.noise(0), self.seed.stream(Domain::Flood, self.number));
        let (rerandomise, flooding) = (!stripped(Defence::Rerandomise), !stripped(Defence::Flood));
        let (mut sums, mut negative) = ([0; CHUNK], Zeroizing::new([0; CHUNK]));
        let (mut small, mut words) = (Zeroizing::new([0; CHUNK]), Zeroizing::new([[0; 2]; CHUNK]));
        for (position, plaintexts) in runs {
            let values = values.get(position..).unwrap_or_default();
            for (plaintexts, values) in plaintexts.chunks(CHUNK).zip(values.chunks(CHUNK)) {
                let n = plaintexts.len();
                let (Some(sums), Some(negative)) = (sums.get_mut(..n), negative.get_mut(..n))
                else {
                    return;
                };
                let (Some(small), Some(words)) = (small.get_mut(..n), words.get_mut(..n)) else {
                    return;
                };
                for (negative, plaintext) in negative.iter_mut().zip(plaintexts) {
                    *negative = plaintext.wrapping_neg();
                }
                encoder.encode_all(index, negative, sums);
                for (sum, value) in sums.iter_mut().zip(values) {
                    *sum += value;
                }
                if rerandomise {
                    noise.fill(small);
                    backend::limb::add_small(small, sums);
                }
                if flooding {
                    flood.fill_u64(words.as_flattened_mut());
                    backend::limb::add_uniform(limb, self.flood, words, sums);
                }
                each(sums);
            }
        }
    }
}

/// Adds a fresh encryption of zero under `key` to one limb of `(c0, c1)`, both transformed;
/// `ephemeral` is [`CiphertextRandomness::ephemeral`].
pub fn add_zero(
    index: usize,
    key: &PublicKey<'_>,
    ephemeral: &[i32],
    c0: &mut [i32],
    c1: &mut [i32],
) {
    let Some(limb) = LIMBS.get(index) else { return };
    backend::limb::multiply_add(limb, key.limb(index), ephemeral, c0);
    let (mut mask, mut a) = (Mask::new(&key.seed, 0, index), [0; CHUNK]);
    for (c1, ephemeral) in c1.chunks_mut(CHUNK).zip(ephemeral.chunks(CHUNK)) {
        let Some(a) = a.get_mut(..c1.len()) else { return };
        mask.fill(limb, a);
        backend::limb::multiply_add(limb, a, ephemeral, c1);
    }
}
