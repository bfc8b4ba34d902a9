//! AES-128 on labels, in lanes: one key for each lane, many blocks at once, in the best way that
//! the CPU has.
//!
//! Work on scheduled keys is a `Job`, written once over `SimdBackend` and compiled for every
//! [`Path`]. All give the same bits.

#[cfg(all(target_arch = "aarch64", target_endian = "little", not(feature = "force-portable")))]
mod neon;
mod portable;
mod rounds;
mod simd;
#[cfg(all(target_arch = "x86_64", not(feature = "force-portable")))]
mod x86;

pub(crate) use simd::{Job, Lane, Pass, SimdBackend, in_flight};

use crate::block::Block;
use portable::{Ciphers, Portable};
use rounds::RoundKeys;

/// A way to do AES.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// The `aes` crate: constant-time software, or the processor's instructions for the blocks of
    /// one key.
    Portable,
    /// AES-NI, one block to a vector.
    AesNi,
    /// VAES, two blocks to a vector.
    Vaes256,
    /// VAES and AVX-512, four blocks to a vector.
    Vaes512,
    /// AArch64's AES instructions, one block to a vector.
    Neon,
}

impl Path {
    /// All of them, the best last.
    pub const ALL: [Self; 5] =
        [Self::Portable, Self::AesNi, Self::Vaes256, Self::Vaes512, Self::Neon];

    /// Whether this CPU can go it, in this build.
    #[must_use]
    pub fn is_here(self) -> bool {
        self == Self::Portable || Fast::on(self).is_some()
    }

    /// The path that is taken.
    #[must_use]
    pub fn best() -> Self {
        Self::ALL.into_iter().rev().find(|path| path.is_here()).unwrap_or(Self::Portable)
    }
}

/// A processor with AES instructions.
#[derive(Clone, Copy)]
enum Fast {
    #[cfg(all(target_arch = "x86_64", not(feature = "force-portable")))]
    AesNi(x86::AesNi),
    #[cfg(all(target_arch = "x86_64", not(feature = "force-portable")))]
    Vaes256(x86::Vaes256),
    #[cfg(all(target_arch = "x86_64", not(feature = "force-portable")))]
    Vaes512(x86::Vaes512),
    #[cfg(all(target_arch = "aarch64", target_endian = "little", not(feature = "force-portable")))]
    Neon(neon::Neon),
}

impl Fast {
    #[inline]
    fn on(path: Path) -> Option<Self> {
        match path {
            #[cfg(all(target_arch = "x86_64", not(feature = "force-portable")))]
            Path::AesNi => x86::AesNi::detect().map(Self::AesNi),
            #[cfg(all(target_arch = "x86_64", not(feature = "force-portable")))]
            Path::Vaes256 => x86::Vaes256::detect().map(Self::Vaes256),
            #[cfg(all(target_arch = "x86_64", not(feature = "force-portable")))]
            Path::Vaes512 => x86::Vaes512::detect().map(Self::Vaes512),
            #[cfg(all(
                target_arch = "aarch64",
                target_endian = "little",
                not(feature = "force-portable")
            ))]
            Path::Neon => neon::Neon::detect().map(Self::Neon),
            _ => None,
        }
    }

    #[inline]
    #[allow(unused_variables, reason = "there is nothing to match where no path is faster")]
    fn schedule<const L: usize>(self, keys: &[Block; L], to: &mut RoundKeys<L>) {
        match self {
            #[cfg(all(target_arch = "x86_64", not(feature = "force-portable")))]
            Self::AesNi(simd) => simd.schedule(keys, to),
            #[cfg(all(target_arch = "x86_64", not(feature = "force-portable")))]
            Self::Vaes256(simd) => simd.schedule(keys, to),
            #[cfg(all(target_arch = "x86_64", not(feature = "force-portable")))]
            Self::Vaes512(simd) => simd.schedule(keys, to),
            #[cfg(all(
                target_arch = "aarch64",
                target_endian = "little",
                not(feature = "force-portable")
            ))]
            Self::Neon(simd) => simd.schedule(keys, to),
        }
    }

    #[inline]
    #[allow(unused_variables, reason = "as above")]
    fn run<const L: usize>(self, job: impl Job<L>, keys: &RoundKeys<L>) {
        match self {
            #[cfg(all(target_arch = "x86_64", not(feature = "force-portable")))]
            Self::AesNi(simd) => simd.run(job, keys),
            #[cfg(all(target_arch = "x86_64", not(feature = "force-portable")))]
            Self::Vaes256(simd) => simd.run(job, keys),
            #[cfg(all(target_arch = "x86_64", not(feature = "force-portable")))]
            Self::Vaes512(simd) => simd.run(job, keys),
            #[cfg(all(
                target_arch = "aarch64",
                target_endian = "little",
                not(feature = "force-portable")
            ))]
            Self::Neon(simd) => simd.run(job, keys),
        }
    }
}

/// AES-128 under one scheduled key.
pub type Aes = Lanes<1>;

/// AES-128 under a scheduled key for each of `L` lanes. Wiped on drop.
pub struct Lanes<const L: usize>(Scheduled<L>);

enum Scheduled<const L: usize> {
    Portable(Ciphers<L>),
    Fast(Fast, RoundKeys<L>),
}

impl<const L: usize> Lanes<L> {
    /// Schedules `keys`, each taken as 16 little-endian bytes.
    #[must_use]
    #[inline]
    pub fn new(keys: &[Block; L]) -> Self {
        Self::on(Path::best(), keys)
    }

    /// As [`Lanes::new`], on a path of the caller's choice; the portable one if that is not here.
    #[must_use]
    #[inline]
    pub fn on(path: Path, keys: &[Block; L]) -> Self {
        let Some(fast) = Fast::on(path) else {
            return Self(Scheduled::Portable(Ciphers::new(keys)));
        };
        let mut lanes = Self(Scheduled::Fast(fast, RoundKeys::unscheduled()));
        lanes.replace(keys);
        lanes
    }

    /// Schedules other keys in place of these.
    #[inline]
    pub fn replace(&mut self, keys: &[Block; L]) {
        match &mut self.0 {
            Scheduled::Portable(ciphers) => ciphers.replace(keys),
            Scheduled::Fast(fast, rounds) => fast.schedule(keys, rounds),
        }
    }

    /// Encrypts every block in place, under the key of `lane`.
    #[inline]
    pub(crate) fn encrypt_lane(&self, lane: Lane<L>, blocks: &mut [Block]) {
        self.run(Encrypt { lane, blocks });
    }

    /// Does `job`.
    #[inline]
    pub(crate) fn run(&self, job: impl Job<L>) {
        match &self.0 {
            Scheduled::Portable(ciphers) => job.run(Portable, ciphers),
            Scheduled::Fast(fast, rounds) => fast.run(job, rounds),
        }
    }
}

impl Aes {
    /// Schedules one key.
    #[must_use]
    #[inline]
    pub fn of(key: Block) -> Self {
        Self::new(&[key])
    }

    /// Encrypts every block in place.
    #[inline]
    pub fn encrypt(&self, blocks: &mut [Block]) {
        self.encrypt_lane(Lane::FIRST, blocks);
    }
}

/// See [`Lanes::encrypt_lane`].
struct Encrypt<'b, const L: usize> {
    lane: Lane<L>,
    blocks: &'b mut [Block],
}

impl<const L: usize> Job<L> for Encrypt<'_, L> {
    #[inline(always)]
    fn run<X: SimdBackend>(self, simd: X, keys: &X::Keys<L>) {
        in_flight(simd, self.blocks, &mut EncryptPass::<X, L> { simd, keys, lane: self.lane });
    }
}

struct EncryptPass<'k, X: SimdBackend, const L: usize> {
    simd: X,
    keys: &'k X::Keys<L>,
    lane: Lane<L>,
}

impl<X: SimdBackend, const L: usize> Pass<X> for EncryptPass<'_, X, L> {
    #[inline(always)]
    fn pass<const M: usize>(&mut self, _at: usize, x: &mut [X::Vector; M]) {
        self.simd.encrypt(self.keys, self.lane, x);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Domain, Seed};
    use core::array;
    use std::vec::Vec;

    #[test]
    fn fips_197_appendix_c1() {
        let key = 0x0f0e_0d0c_0b0a_0908_0706_0504_0302_0100;
        for path in Path::ALL {
            let mut blocks = [0xffee_ddcc_bbaa_9988_7766_5544_3322_1100; 11];
            Aes::on(path, &[key]).encrypt(&mut blocks);
            assert_eq!(blocks, [0x5ac5_b470_80b7_cdd8_3004_7b6a_d8e0_c469; 11], "{path:?}");
        }
    }

    /// Every lane, every number of blocks around the widths of vectors and flights.
    fn agrees<const L: usize>() {
        let mut random = Seed([L as u8; 32]).stream(Domain::Mask, 0);
        let keys: [Block; L] = array::from_fn(|_| random.next_u128());
        let blocks: Vec<Block> = (0..75).map(|_| random.next_u128()).collect();
        for path in Path::ALL {
            let mut lanes = Lanes::on(path, &[random.next_u128(); L]);
            lanes.replace(&keys);
            for (lane, &key) in Lane::all().zip(&keys) {
                for len in 0..blocks.len() {
                    let (mut got, mut wanted) = (blocks.clone(), blocks.clone());
                    lanes.encrypt_lane(lane, &mut got[..len]);
                    Aes::on(Path::Portable, &[key]).encrypt(&mut wanted[..len]);
                    assert_eq!(got, wanted, "{path:?}, {lane:?} of {L}, {len} blocks");
                }
            }
        }
    }

    #[test]
    fn paths_agree() {
        agrees::<1>();
        agrees::<2>();
        agrees::<3>();
        agrees::<8>();
        agrees::<21>();
    }

    #[test]
    fn there_is_no_lane_behind_the_last() {
        assert_eq!(Lane::<3>::all().map(Lane::number).collect::<Vec<_>>(), [0, 1, 2]);
        let vectors = Lane::<8>::vectors::<2>(2, 4).map(|at| at.map(Lane::number));
        assert_eq!(vectors, Some([2, 6]));
        assert!(Lane::<8>::vectors::<2>(4, 4).is_none());
        assert!(Lane::<8>::vectors::<1>(8, 1).is_none());
    }

    #[test]
    fn the_best_path_is_here() {
        assert!(Path::best().is_here());
        assert!(Path::Portable.is_here());
        assert_eq!(
            Path::best() == Path::Portable,
            Path::ALL.iter().filter(|path| path.is_here()).count() == 1
        );
    }
}
