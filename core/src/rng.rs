//! Randomness: one 32-byte seed, ChaCha20, and a named stream for every use.
//!
//! Stream `(domain, index)` of a seed is ChaCha20 (64-bit counter from 0) with the nonce `domain ·
//! 2^56 + index`, little-endian. No two uses share a stream, so every value is a function of the
//! seed alone and the reference implementation can repeat it.

use crate::error::{Error, Result};
use rand_core::{TryCryptoRng, TryRng};
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
        Prg(Stream::new(&self.0, (domain as u64) << 56 | index))
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
pub struct Prg(Stream);

#[cfg(not(target_pointer_width = "64"))]
use blocks::Stream;
#[cfg(target_pointer_width = "64")]
use library::Stream;

impl Prg {
    /// The next four bytes, little-endian.
    #[inline]
    pub fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// The next eight bytes, little-endian.
    #[inline]
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// The next sixteen bytes, little-endian.
    #[inline]
    pub fn next_u128(&mut self) -> u128 {
        let low = u128::from(self.next_u64());
        u128::from(self.next_u64()) << 64 | low
    }

    /// The next `words.len()` times four bytes, each little-endian.
    pub fn fill_u32(&mut self, words: &mut [u32]) {
        self.0.fill_u32(words);
    }

    /// The next `words.len()` times eight bytes, each little-endian.
    pub fn fill_u64(&mut self, words: &mut [u64]) {
        self.0.fill_u64(words);
    }

    /// The next `bytes.len()` bytes; of the last four, those that are not asked for are lost.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill(bytes);
    }
}

/// Streams by the library, several blocks at a time.
#[cfg(target_pointer_width = "64")]
mod library {
    use chacha20::ChaCha20Rng;
    use rand_core::{Rng as _, SeedableRng as _};

    pub(super) struct Stream(ChaCha20Rng);

    impl Stream {
        pub(super) fn new(key: &[u8; 32], nonce: u64) -> Self {
            let mut rng = ChaCha20Rng::from_seed(*key);
            rng.set_stream(nonce);
            Self(rng)
        }

        #[inline]
        pub(super) fn next_u32(&mut self) -> u32 {
            self.0.next_u32()
        }

        #[inline]
        pub(super) fn next_u64(&mut self) -> u64 {
            self.0.next_u64()
        }

        pub(super) fn fill_u32(&mut self, words: &mut [u32]) {
            self.fill(bytemuck::cast_slice_mut(words));
            for word in words {
                *word = u32::from_le(*word);
            }
        }

        pub(super) fn fill_u64(&mut self, words: &mut [u64]) {
            self.fill(bytemuck::cast_slice_mut(words));
            for word in words {
                *word = u64::from_le(*word);
            }
        }

        pub(super) fn fill(&mut self, bytes: &mut [u8]) {
            self.0.fill_bytes(bytes);
        }
    }
}

/// Streams block by block, into the caller's words where these take a whole one.
#[cfg(any(not(target_pointer_width = "64"), test))]
mod blocks {
    use crate::backend::chacha;
    use zeroize::Zeroize as _;

    /// Words of a block.
    const WORDS: usize = 16;

    pub(super) struct Stream {
        state: [u32; WORDS],
        /// The last block, of which the first words are taken.
        block: [u32; WORDS],
        taken: usize,
    }

    impl Stream {
        pub(super) fn new(key: &[u8; 32], nonce: u64) -> Self {
            let mut state = [0; WORDS];
            let words = b"expand 32-byte k".as_chunks().0.iter().chain(key.as_chunks().0);
            for (word, &bytes) in state.iter_mut().zip(words) {
                *word = u32::from_le_bytes(bytes);
            }
            let [.., low, high] = &mut state;
            (*low, *high) = (nonce as u32, (nonce >> 32) as u32);
            Self { state, block: [0; WORDS], taken: WORDS }
        }

        pub(super) fn next_u32(&mut self) -> u32 {
            let mut word = [0];
            self.fill_u32(&mut word);
            let [word] = word;
            word
        }

        pub(super) fn next_u64(&mut self) -> u64 {
            let low = u64::from(self.next_u32());
            u64::from(self.next_u32()) << 32 | low
        }

        pub(super) fn fill_u32(&mut self, words: &mut [u32]) {
            let left = self.block.iter().skip(self.taken);
            let (begun, words) = words.split_at_mut(left.len().min(words.len()));
            begun.iter_mut().zip(left).for_each(|(to, from)| *to = *from);
            self.taken += begun.len();
            let (whole, rest) = words.as_chunks_mut();
            for out in whole {
                chacha::block(&self.state, out);
                self.count();
            }
            if !rest.is_empty() {
                chacha::block(&self.state, &mut self.block);
                self.count();
                rest.iter_mut().zip(&self.block).for_each(|(to, from)| *to = *from);
                self.taken = rest.len();
            }
        }

        pub(super) fn fill_u64(&mut self, words: &mut [u64]) {
            self.fill_u32(bytemuck::cast_slice_mut(words));
            if cfg!(target_endian = "big") {
                words.iter_mut().for_each(|word| *word = word.rotate_left(32));
            }
        }

        pub(super) fn fill(&mut self, bytes: &mut [u8]) {
            for bytes in bytes.chunks_mut(4) {
                let word = self.next_u32().to_le_bytes();
                bytes.iter_mut().zip(word).for_each(|(to, from)| *to = from);
            }
        }

        /// Goes on to the next block.
        fn count(&mut self) {
            let [.., low, high, _, _] = &mut self.state;
            let (next, carry) = low.overflowing_add(1);
            (*low, *high) = (next, high.wrapping_add(carry.into()));
        }
    }

    impl Drop for Stream {
        fn drop(&mut self) {
            self.state.zeroize();
            self.block.zeroize();
        }
    }

    #[cfg(test)]
    mod tests {
        use super::super::library;
        use super::*;

        #[test]
        fn blocks_are_those_of_the_library() {
            let key = core::array::from_fn(|i| i as u8 * 7);
            let nonce = 0x0612_3456_789a_bcde;
            let (mut own, mut other) =
                (Stream::new(&key, nonce), library::Stream::new(&key, nonce));
            for len in [1, 3, 4, 5, 0, 63, 64, 65, 128, 1000, 2, 7] {
                let (mut a, mut b) = ([0; 1000], [0; 1000]);
                own.fill(&mut a[..len]);
                other.fill(&mut b[..len]);
                assert_eq!(a, b, "{len} bytes");
                let (mut a, mut b) = ([0; 1000], [0; 1000]);
                own.fill_u32(&mut a[..len]);
                other.fill_u32(&mut b[..len]);
                assert_eq!(a, b, "{len} words");
                let (mut a, mut b) = ([0; 1000], [0; 1000]);
                own.fill_u64(&mut a[..len]);
                other.fill_u64(&mut b[..len]);
                assert_eq!(a, b, "{len} words of 64 bits");
                assert_eq!(own.next_u32(), other.next_u32());
                assert_eq!(own.next_u64(), other.next_u64());
            }
        }

        #[test]
        fn the_counter_has_64_bits() {
            let mut stream = Stream::new(&[0; 32], 0);
            stream.state[12] = u32::MAX;
            stream.fill(&mut [0; 64]);
            assert_eq!(stream.state[12..14], [0, 1]);
        }
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
