//! Keys and seeded symmetric encryption, one limb at a time.

use super::noise::ParameterSet;
use super::sample::{self, Noise, Ternary};
use crate::attack::{Defence, stripped};
use crate::backend;
use crate::params::{N, SMALL_N};
use crate::ring::{LIMBS, Limb};
use crate::rng::{Domain, Prg, Seed};
use crate::{Error, Result};
use zeroize::Zeroizing;

/// A secret key, a ternary polynomial of either degree: only their seed is kept; each use expands
/// it.
pub struct SecretKey {
    seed: Seed,
}

/// Stream index of limb `limb` of polynomial `polynomial`.
const fn limb_stream(polynomial: u64, limb: usize) -> u64 {
    polynomial << 2 | limb as u64
}

impl SecretKey {
    /// A key from a seed whose streams `(Ternary, 0)` and `(Ternary, 1)` are used for nothing else.
    #[must_use]
    pub const fn new(seed: Seed) -> Self {
        Self { seed }
    }

    /// The seed.
    pub(crate) const fn seed(&self) -> &Seed {
        &self.seed
    }

    /// `NTT(s)` in Montgomery form, in `(−q, q)`.
    ///
    /// # Errors
    /// [`Error::Length`] unless `out` has n values.
    pub fn expand(&self, limb: &Limb, out: &mut [i32]) -> Result<()> {
        transform(limb, self.coefficients(out.len())?, out)
    }

    /// The coefficients of `s` of degree n, in order.
    ///
    /// # Errors
    /// [`Error::Length`] if there is no such degree.
    pub fn coefficients(&self, n: usize) -> Result<Ternary> {
        let index = match n {
            N => 0,
            SMALL_N => 1,
            _ => return Err(Error::Length { need: N }),
        };
        Ok(Ternary::new(self.seed.stream(Domain::Ternary, index)))
    }

    /// Turns `out` from an encoded message (representatives below `0.6q`) into `c0 = m + e − a·s`,
    /// transformed, in `[0, q)`. `number` names the ciphertext under the public seed; `noise`
    /// is `e`, the same in every limb and used for this ciphertext only ([`noise`]); `secret`
    /// is [`SecretKey::expand`] for this limb.
    ///
    /// # Errors
    /// [`Error::Length`] unless all have n values: then `out` must not be sent.
    #[inline(never)]
    pub fn encrypt_limb(
        (index, limb): (usize, &Limb),
        number: u64,
        public: &Seed,
        noise: &[i8],
        secret: &[i32],
        out: &mut [i32],
    ) -> Result<()> {
        check_degree(out.len())?;
        check(out.len(), noise.len())?;
        check(out.len(), secret.len())?;
        backend::limb::add_small(noise, out);
        limb.forward(out);
        let (mut mask, mut a) = (Mask::new(public, number, index), [0; CHUNK]);
        let chunks = out.as_chunks_mut::<CHUNK>().0.iter_mut();
        for (out, secret) in chunks.zip(secret.as_chunks::<CHUNK>().0) {
            mask.fill(limb, &mut a)?;
            backend::limb::multiply_subtract(limb, &a, secret, out);
        }
        Ok(())
    }

    /// The same of ciphertexts whose coefficients are rounded: turns `out` from the secret
    /// ([`SecretKey::expand`]) into the coefficients of `e − a·s`, to which the encoded message is
    /// added; representatives below `1.1q`.
    ///
    /// # Errors
    /// As [`Self::encrypt_limb`].
    #[inline(never)]
    pub fn mask_limb(
        (index, limb): (usize, &Limb),
        number: u64,
        public: &Seed,
        noise: &[i8],
        out: &mut [i32],
    ) -> Result<()> {
        check_degree(out.len())?;
        check(out.len(), noise.len())?;
        Mask::new(public, number, index).multiply(limb, out)?;
        limb.inverse(out);
        for (out, &noise) in out.iter_mut().zip(noise) {
            *out = i32::from(noise) - *out;
        }
        Ok(())
    }
}

/// Values that are made at a time, on the stack.
const CHUNK: usize = 64;
const _: () = assert!(SMALL_N.is_multiple_of(CHUNK) && N.is_multiple_of(CHUNK));

/// A polynomial must have one of the degrees.
pub(super) const fn check_degree(got: usize) -> Result<()> {
    if got == N || got == SMALL_N { Ok(()) } else { Err(Error::Length { need: N }) }
}

/// A slice must have exactly the length needed: a shorter one would leave coefficients as they are.
pub(super) const fn check(need: usize, got: usize) -> Result<()> {
    if need == got { Ok(()) } else { Err(Error::Length { need }) }
}

/// The transform of a small polynomial in Montgomery form, in `(−q, q)`.
///
/// # Errors
/// [`Error::Length`] unless both have n values.
pub fn transform_small(limb: &Limb, small: &[i8], out: &mut [i32]) -> Result<()> {
    check_degree(out.len())?;
    check(out.len(), small.len())?;
    backend::limb::to_montgomery_small(limb, small, out);
    limb.forward(out);
    Ok(())
}

/// The same of coefficients as they are drawn.
pub(super) fn transform(limb: &Limb, mut coefficients: Ternary, out: &mut [i32]) -> Result<()> {
    check_degree(out.len())?;
    let mut small = Zeroizing::new([0; CHUNK]);
    for out in out.chunks_mut(CHUNK) {
        let small = small.get_mut(..out.len()).ok_or(Error::Internal)?;
        coefficients.fill(small)?;
        backend::limb::to_montgomery_small(limb, small, out);
    }
    limb.forward(out);
    Ok(())
}

/// The noise of ciphertext `number` under a seed that is used for nothing else.
///
/// # Errors
/// None.
pub fn noise(seed: &Seed, number: u64, out: &mut [i8]) -> Result<()> {
    Noise::new(seed.stream(Domain::Noise, number)).fill(out)
}

/// The uniform half of a ciphertext in one limb, transformed, in `[0, q)`, coefficient by
/// coefficient.
pub struct Mask {
    prg: Prg,
}

impl Mask {
    /// The mask of ciphertext `number` under a public seed.
    #[must_use]
    pub fn new(public: &Seed, number: u64, limb: usize) -> Self {
        Self { prg: public.stream(Domain::Uniform, limb_stream(number, limb)) }
    }

    /// The next values.
    ///
    /// # Errors
    /// None.
    pub fn fill(&mut self, limb: &Limb, out: &mut [i32]) -> Result<()> {
        sample::uniform_vartime(&mut self.prg, limb, out)
    }

    /// `values ∘ mask`, in place: the next values, in Montgomery form if those are.
    ///
    /// # Errors
    /// None.
    pub fn multiply(&mut self, limb: &Limb, values: &mut [i32]) -> Result<()> {
        let mut mask = [0; CHUNK];
        for values in values.chunks_mut(CHUNK) {
            let mask = mask.get_mut(..values.len()).ok_or(Error::Internal)?;
            self.fill(limb, mask)?;
            backend::limb::multiply(limb, values, mask);
        }
        Ok(())
    }
}

/// The peer's public key: encryptions of zero of both degrees. Their uniform halves come from a
/// seed that nobody chose.
pub struct PublicKey<'a> {
    /// Seed of the uniform halves: ciphertext number 0 of the larger degree, 1 of the smaller.
    pub seed: Seed,
    /// `−a·s + e` for each limb, transformed, in `[0, q)`, of the smaller degree, then of the
    /// larger.
    pub b: &'a [i32],
}

/// Numbers of a public key.
pub const PUBLIC_KEY: usize =
    PublicKey::before(ParameterSet::LARGE) + ParameterSet::LARGE.limbs * ParameterSet::LARGE.n;

impl PublicKey<'_> {
    /// Number of the ciphertext that is the key of a set.
    #[must_use]
    pub const fn number(set: ParameterSet) -> u64 {
        (set.n == SMALL_N) as u64
    }

    /// Numbers before those of a set's key.
    const fn before(set: ParameterSet) -> usize {
        if set.n == SMALL_N { 0 } else { ParameterSet::SMALL.limbs * ParameterSet::SMALL.n }
    }

    /// `a` of a set in one limb. `out`: n values.
    ///
    /// # Errors
    /// [`Error::Internal`] if there is no such limb, [`Error::Length`].
    pub fn expand(&self, set: ParameterSet, index: usize, out: &mut [i32]) -> Result<()> {
        check(set.n, out.len())?;
        let limb = LIMBS.get(index).ok_or(Error::Internal)?;
        if stripped(Defence::KeySeed) {
            out.copy_from_slice(self.limb(set, index)?);
            return Ok(());
        }
        Mask::new(&self.seed, Self::number(set), index).fill(limb, out)
    }

    /// `b` of a set in one limb.
    ///
    /// # Errors
    /// [`Error::Internal`] if the key has no such limb.
    pub fn limb(&self, set: ParameterSet, index: usize) -> Result<&[i32]> {
        if index >= set.limbs {
            return Err(Error::Internal);
        }
        let first = Self::before(set) + index * set.n;
        self.b.get(first..first + set.n).ok_or(Error::Internal)
    }
}

/// Whether a value received as a limb's coefficient is in range. Honest senders only send values
/// below q.
#[must_use]
pub fn is_canonical(limb: &Limb, x: u64) -> bool {
    x < limb.q as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    /// A short secret or noise would leave coefficients of a message unmasked.
    #[test]
    fn nothing_is_encrypted_in_part() {
        let key = SecretKey::new(Seed([1; 32]));
        let public = Seed([2; 32]);
        for n in [N, SMALL_N] {
            let message = vec![7; n];
            let (mut secret, mut noise) = (vec![0; n], vec![0; n]);
            key.expand(&LIMBS[0], &mut secret).unwrap();
            super::noise(&Seed([3; 32]), 0, &mut noise).unwrap();
            let limb = (0, &LIMBS[0]);
            let encrypt = |noise: &[i8], secret: &[i32], length: usize| {
                let mut out = message.clone();
                let done =
                    SecretKey::encrypt_limb(limb, 0, &public, noise, secret, &mut out[..length]);
                (done, out)
            };
            let mask = |noise: &[i8], length: usize| {
                let mut out = secret.clone();
                SecretKey::mask_limb(limb, 0, &public, noise, &mut out[..length])
            };
            let (done, out) = encrypt(&noise, &secret, n);
            assert_eq!(done, Ok(()));
            assert!(out.iter().filter(|&&x| x == 7).count() < 3);
            assert_eq!(mask(&noise, n), Ok(()));
            for short in [0, 1, CHUNK, n - 1] {
                let (all, most) = (Err(Error::Length { need: n }), Err(Error::Length { need: N }));
                assert_eq!(key.expand(&LIMBS[0], &mut vec![0; short]), most);
                assert_eq!(encrypt(&noise[..short], &secret, n).0, all);
                assert_eq!(encrypt(&noise, &secret[..short], n).0, all);
                assert_eq!(encrypt(&noise, &secret, short).0, most);
                assert_eq!(mask(&noise[..short], n), all);
                assert_eq!(mask(&noise, short), most);
            }
        }
    }

    #[test]
    fn a_public_key_has_both_degrees() {
        let mut b = vec![0; PUBLIC_KEY];
        for (i, x) in b.iter_mut().enumerate() {
            *x = i as i32;
        }
        let key = PublicKey { seed: Seed([2; 32]), b: &b };
        let [small, large] = ParameterSet::ALL;
        assert_eq!(key.limb(small, 1).unwrap()[0], SMALL_N as i32);
        assert_eq!(key.limb(large, 0).unwrap()[0], 2 * SMALL_N as i32);
        assert_eq!(key.limb(large, 2).unwrap().last(), Some(&(PUBLIC_KEY as i32 - 1)));
        for (set, limb) in [(small, 2), (large, 3)] {
            assert_eq!(key.limb(set, limb), Err(Error::Internal));
        }
        let short = PublicKey { seed: Seed([2; 32]), b: &b[1..] };
        assert_eq!(short.limb(large, 2), Err(Error::Internal));
        assert_eq!(key.expand(small, 0, &mut vec![0; SMALL_N]), Ok(()));
        let length = Err(Error::Length { need: SMALL_N });
        assert_eq!(key.expand(small, 0, &mut vec![0; N]), length);
        assert_eq!(key.expand(large, 4, &mut vec![0; N]), Err(Error::Internal));
    }
}
