//! The evaluating party's side: fresh encryptions of zero, and flooding.

use super::encode::Encoder;
use super::encrypt::{Mask, PublicKey};
use super::sample::{self, Noise, Ternary};
use crate::attack::{Defence, stripped};
use crate::ring::{LIMBS, Limb};
use crate::rng::{Domain, Seed};

/// Fresh randomness of one result ciphertext. Every limb expands the same integers again from the seeds.
pub struct Fresh<'a> {
    /// Seed of this party's ephemeral keys, noise and flooding; used for nothing else.
    pub seed: &'a Seed,
    /// Number of the result ciphertext under that seed.
    pub number: u64,
    /// Flooding noise is uniform in `[−2^flood, 2^flood)`.
    pub flood: u32,
}

impl Fresh<'_> {
    /// `NTT(u)` of the ephemeral ternary key, Montgomery form. `out`: n values.
    pub fn ephemeral(&self, limb: &Limb, out: &mut [i32]) {
        let mut ternary = Ternary::new(self.seed.stream(Domain::Ternary, self.number));
        let keep = i32::from(!stripped(Defence::Rerandomise));
        for x in out.iter_mut() {
            *x = limb.montgomery_one() * (ternary.draw() * keep);
        }
        limb.forward(out);
    }

    /// Noise of `c0` (`half` 0) or `c1` (`half` 1).
    fn noise(&self, half: u64) -> Noise {
        Noise::new(self.seed.stream(Domain::Noise, self.number << 1 | half))
    }

    /// Adds `c1`'s noise to a transformed-back limb; `each` takes the values in `(−q, q)`, coefficient by coefficient.
    pub fn finish_c1(&self, index: usize, values: &[i32], mut each: impl FnMut(i32)) {
        let Some(limb) = LIMBS.get(index) else { return };
        let mut noise = self.noise(1);
        let keep = i32::from(!stripped(Defence::Rerandomise));
        for &value in values {
            each(limb.reduce(value + noise.draw() * keep));
        }
    }

    /// Adds noise, flooding and an encoded plaintext to the coefficients of `c0` that are `results`: (position, plaintext).
    /// `each` takes the values in `(−q, q)`, in that order; so do the streams of noise advance.
    pub fn finish_c0(
        &self,
        index: usize,
        encoder: &Encoder,
        values: &[i32],
        results: impl Iterator<Item = (usize, u64)>,
        mut each: impl FnMut(i32),
    ) {
        let Some(limb) = LIMBS.get(index) else { return };
        let mut noise = self.noise(0);
        let mut flood = self.seed.stream(Domain::Flood, self.number);
        let (rerandomise, flooding) = (i32::from(!stripped(Defence::Rerandomise)), i32::from(!stripped(Defence::Flood)));
        for (position, plaintext) in results {
            let Some(&value) = values.get(position) else { return };
            let fresh = noise.draw() * rerandomise;
            let value = limb.reduce(value + fresh + encoder.encode(index, plaintext));
            each(limb.reduce(value + sample::flood(&mut flood, self.flood, limb) * flooding));
        }
    }
}

/// `out += x ∘ y` for transformed polynomials, `x` in `[0, q)`, `y` in Montgomery form: sums below `(terms + 1)·q`.
#[inline]
pub fn accumulate(limb: &Limb, x: impl Iterator<Item = i32>, y: &[i32], out: &mut [i32]) {
    for ((out, x), &y) in out.iter_mut().zip(x).zip(y) {
        *out = limb.reduce(*out + limb.mul(x, y));
    }
}

/// `out += w·x`: [`accumulate`] where all of `y` are the same, as those of a constant polynomial are.
#[inline]
pub fn accumulate_scaled(limb: &Limb, x: &[i32], w: i32, out: &mut [i32]) {
    for (out, &x) in out.iter_mut().zip(x) {
        *out = limb.reduce(*out + limb.mul(x, w));
    }
}

/// Adds a fresh encryption of zero under `key` to one limb of `(c0, c1)`, both transformed; `ephemeral` is [`Fresh::ephemeral`].
pub fn add_zero(index: usize, key: &PublicKey<'_>, ephemeral: &[i32], c0: &mut [i32], c1: &mut [i32]) {
    let Some(limb) = LIMBS.get(index) else { return };
    accumulate(limb, key.limb(index).iter().copied(), ephemeral, c0);
    let mut mask = Mask::new(&key.seed, 0, index);
    accumulate(limb, core::iter::repeat_with(|| mask.next(limb)), ephemeral, c1);
}
