//! Keys and seeded symmetric encryption, one limb at a time.

use super::sample::{self, Noise, Ternary};
use crate::backend;
use crate::params::{LIMB_BITS, N};
use crate::ring::{LIMBS, Limb};
use crate::rng::{Domain, Prg, Seed};
use crate::{Error, Result};
use zeroize::Zeroizing;

/// A secret key: only its seed is kept; each use expands it.
pub struct SecretKey {
    seed: Seed,
}

/// Stream index of limb `limb` of polynomial `polynomial`.
const fn limb_stream(polynomial: u64, limb: usize) -> u64 {
    polynomial << 2 | limb as u64
}

impl SecretKey {
    /// A key from a seed whose stream `(Ternary, 0)` is used for nothing else.
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
        transform(limb, self.coefficients(), out)
    }

    /// The coefficients of `s`, in order.
    #[must_use]
    pub fn coefficients(&self) -> Ternary {
        Ternary::new(self.seed.stream(Domain::Ternary, 0))
    }

    /// Turns `out` from an encoded message (representatives below `0.6q`) into `c0 = m + e − a·s`,
    /// transformed, in `[0, q)`. `number` names the ciphertext under the public seed; `noise`
    /// is `e`, the same in every limb and used for this ciphertext only ([`noise`]); `secret`
    /// is [`SecretKey::expand`] for this limb.
    ///
    /// # Errors
    /// [`Error::Length`] unless all have n values, [`Error::Internal`] if there is no such limb:
    /// then `out` must not be sent.
    #[inline(never)]
    pub fn encrypt_limb(
        index: usize,
        number: u64,
        public: &Seed,
        noise: &[i8],
        secret: &[i32],
        out: &mut [i32],
    ) -> Result<()> {
        let limb = LIMBS.get(index).ok_or(Error::Internal)?;
        check(N, noise.len())?;
        check(N, secret.len())?;
        check(N, out.len())?;
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
}

/// Values that are made at a time, on the stack.
const CHUNK: usize = 64;
const _: () = assert!(N.is_multiple_of(CHUNK));

/// A slice must have exactly the length needed: a shorter one would leave coefficients as they are.
pub(super) const fn check(need: usize, got: usize) -> Result<()> {
    if need == got { Ok(()) } else { Err(Error::Length { need }) }
}

/// The transform of a small polynomial in Montgomery form, in `(−q, q)`.
pub(super) fn transform(limb: &Limb, mut coefficients: Ternary, out: &mut [i32]) -> Result<()> {
    check(N, out.len())?;
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

/// The peer's public key: an encryption of zero. `b` holds `−a·s + e` for each limb, transformed,
/// in `[0, q)`; `a` is seeded.
pub struct PublicKey<'a> {
    /// Seed of `a`: ciphertext number 0.
    pub seed: Seed,
    /// `b`: four limbs of n values.
    pub b: &'a [i32],
}

impl PublicKey<'_> {
    /// `a` in one limb. `out`: n values.
    ///
    /// # Errors
    /// [`Error::Internal`] if there is no such limb.
    pub fn expand(&self, index: usize, out: &mut [i32]) -> Result<()> {
        let limb = LIMBS.get(index).ok_or(Error::Internal)?;
        Mask::new(&self.seed, 0, index).fill(limb, out)
    }

    /// `b` in one limb.
    ///
    /// # Errors
    /// [`Error::Internal`] if the key has no such limb.
    pub fn limb(&self, index: usize) -> Result<&[i32]> {
        self.b.get(index * N..(index + 1) * N).ok_or(Error::Internal)
    }
}

/// Whether a value received as a limb's coefficient is in range. Honest senders only send values
/// below q.
#[must_use]
pub fn is_canonical(limb: &Limb, x: u64) -> bool {
    debug_assert!(x < 1 << LIMB_BITS);
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
        let (public, message) = (Seed([2; 32]), vec![7; N]);
        let (mut secret, mut noise) = (vec![0; N], vec![0; N]);
        for short in [0, 1, CHUNK, N - 1] {
            let length = Err(Error::Length { need: N });
            assert_eq!(key.expand(&LIMBS[0], &mut secret[..short]), length);
        }
        key.expand(&LIMBS[0], &mut secret).unwrap();
        super::noise(&Seed([3; 32]), 0, &mut noise).unwrap();
        let encrypt = |index, noise: &[i8], secret: &[i32], length: usize| {
            let mut out = message.clone();
            let done =
                SecretKey::encrypt_limb(index, 0, &public, noise, secret, &mut out[..length]);
            (done, out)
        };
        let (done, out) = encrypt(0, &noise, &secret, N);
        assert_eq!(done, Ok(()));
        assert!(out.iter().filter(|&&x| x == 7).count() < 3);
        assert_eq!(encrypt(LIMBS.len(), &noise, &secret, N).0, Err(Error::Internal));
        for short in [0, 1, CHUNK, N - 1] {
            let length = Err(Error::Length { need: N });
            assert_eq!(encrypt(0, &noise[..short], &secret, N).0, length);
            assert_eq!(encrypt(0, &noise, &secret[..short], N).0, length);
            assert_eq!(encrypt(0, &noise, &secret, short).0, length);
        }
        let b = vec![0; 4 * N - 1];
        let key = PublicKey { seed: public.clone(), b: &b };
        assert!(key.limb(2).is_ok() && key.expand(3, &mut secret).is_ok());
        assert_eq!(key.limb(3), Err(Error::Internal));
        assert_eq!(key.expand(4, &mut secret), Err(Error::Internal));
    }
}
