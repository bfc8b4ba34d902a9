//! Randomness: one 32-byte seed, ChaCha20, and a named stream for every use.
//!
//! Stream `(domain, index)` of a seed is ChaCha20 (64-bit counter from 0) with the nonce `domain ·
//! 2^56 + index`, little-endian. No two uses share a stream, so every value is a function of the
//! seed alone and the reference implementation can repeat it.

use crate::error::{Error, Result};
use chacha20::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng, TryCryptoRng, TryRng};
use zeroize::Zeroize as _;

/// A secret or public seed.
#[derive(Clone)]
pub struct Seed(pub [u8; 32]);

impl Drop for Seed {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// What a stream is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Domain {
    /// Derivation of further seeds.
    Derive = 1,
    /// Uniform polynomials (public seeds).
    Uniform = 2,
    /// Ternary secrets.
    Ternary = 3,
    /// Centred binomial noise.
    Noise = 4,
    /// Flooding noise.
    Flood = 5,
    /// Shares and masks.
    Mask = 6,
    /// Labels, Δ and GGM roots.
    Label = 7,
}

impl Seed {
    /// Draws a fresh seed. A source that reports success and writes nothing is caught as well: an
    /// honest one draws zeros with probability 2^-256.
    ///
    /// # Errors
    /// [`Error::Random`].
    #[inline(never)] // once in a session: small rather than fast
    pub fn draw<R: TryCryptoRng + ?Sized>(random: &mut R) -> Result<Self> {
        let mut seed = Self([0; 32]);
        random.try_fill_bytes(&mut seed.0).map_err(|_| Error::Random)?;
        if seed.0.iter().all(|&byte| byte == 0) { Err(Error::Random) } else { Ok(seed) }
    }

    /// The stream `(domain, index)`; `index < 2^56`.
    #[must_use]
    pub fn stream(&self, domain: Domain, index: u64) -> Prg {
        let mut rng = ChaCha20Rng::from_seed(self.0);
        rng.set_stream((domain as u64) << 56 | index);
        Prg { rng }
    }

    /// A further seed, independent of all others.
    #[must_use]
    pub fn derive(&self, index: u64) -> Self {
        let mut seed = [0; 32];
        self.stream(Domain::Derive, index).fill(&mut seed);
        Self(seed)
    }
}

/// A stream of pseudo-random values; wiped on drop.
pub struct Prg {
    rng: ChaCha20Rng,
}

impl Prg {
    /// The next four bytes, little-endian.
    #[inline]
    pub fn next_u32(&mut self) -> u32 {
        self.rng.next_u32()
    }

    /// The next eight bytes, little-endian.
    #[inline]
    pub fn next_u64(&mut self) -> u64 {
        self.rng.next_u64()
    }

    /// The next sixteen bytes, little-endian.
    #[inline]
    pub fn next_u128(&mut self) -> u128 {
        let low = u128::from(self.next_u64());
        u128::from(self.next_u64()) << 64 | low
    }

    /// The next `words.len()` times four bytes, each little-endian.
    pub fn fill_u32(&mut self, words: &mut [u32]) {
        self.fill(bytemuck::cast_slice_mut(words));
        for word in words {
            *word = u32::from_le(*word);
        }
    }

    /// The next `words.len()` times eight bytes, each little-endian.
    pub fn fill_u64(&mut self, words: &mut [u64]) {
        self.fill(bytemuck::cast_slice_mut(words));
        for word in words {
            *word = u64::from_le(*word);
        }
    }

    /// The next `bytes.len()` bytes.
    #[inline(never)] // or the cipher is compiled for size, as the crates that call this may be
    pub fn fill(&mut self, bytes: &mut [u8]) {
        self.rng.fill_bytes(bytes);
    }
}

/// A random source that hands out one known seed and then fails: for tests and vectors only. A
/// session that starts from a seed that anybody else knows, or that served before, has no secrets.
pub struct KnownSeed(Option<Seed>);

impl KnownSeed {
    /// The source of this seed.
    #[must_use]
    pub const fn new(seed: Seed) -> Self {
        Self(Some(seed))
    }
}

impl TryRng for KnownSeed {
    type Error = Error;

    fn try_next_u32(&mut self) -> Result<u32> {
        Err(Error::Random)
    }
    fn try_next_u64(&mut self) -> Result<u64> {
        Err(Error::Random)
    }
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<()> {
        let seed = self.0.take().filter(|_| out.len() == 32).ok_or(Error::Random)?;
        out.copy_from_slice(&seed.0);
        Ok(())
    }
}

impl TryCryptoRng for KnownSeed {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Claims success and writes nothing.
    struct Silent;
    impl TryRng for Silent {
        type Error = core::convert::Infallible;
        fn try_next_u32(&mut self) -> core::result::Result<u32, Self::Error> {
            Ok(0)
        }
        fn try_next_u64(&mut self) -> core::result::Result<u64, Self::Error> {
            Ok(0)
        }
        fn try_fill_bytes(&mut self, _: &mut [u8]) -> core::result::Result<(), Self::Error> {
            Ok(())
        }
    }
    impl TryCryptoRng for Silent {}

    #[test]
    fn a_source_that_fails_or_is_silent_gives_no_seed() {
        let mut known = KnownSeed::new(Seed([7; 32]));
        assert_eq!(Seed::draw(&mut known).map(|seed| seed.0), Ok([7; 32]));
        assert_eq!(Seed::draw(&mut known).err(), Some(Error::Random));
        assert_eq!(Seed::draw(&mut Silent).err(), Some(Error::Random));
    }
}
