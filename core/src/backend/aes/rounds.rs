//! AES round by round, for processors that have an instruction for it.

#![cfg_attr(
    any(feature = "force-portable", not(any(target_arch = "x86_64", target_arch = "aarch64"))),
    allow(dead_code, reason = "no path there uses it")
)]

use super::simd::{Lane, SimdBackend, Vectors};
use crate::block::Block;
use core::hint::black_box;
use zeroize::Zeroize as _;

/// Keys of AES-128: one for each round and one before them.
const ROUND_KEYS: usize = 11;

/// The round keys of `L` lanes, round by round: the lanes of one round stand side by side, and no
/// vector of them crosses a cache line. Wiped on drop.
#[cfg_attr(target_pointer_width = "64", repr(align(64)))]
pub(crate) struct RoundKeys<const L: usize>([[Block; L]; ROUND_KEYS]);

impl<const L: usize> RoundKeys<L> {
    #[inline]
    pub(super) const fn unscheduled() -> Self {
        Self([[0; L]; ROUND_KEYS])
    }
}

impl<const L: usize> Drop for RoundKeys<L> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// A processor with AES instructions. Rounds are numbered from 1; the key before them is number 0.
pub(super) trait Rounds: Vectors {
    /// Takes key 0.
    fn begin(self, x: Self::Vector, key: Self::Vector) -> Self::Vector;
    /// Takes keys 1 to 8.
    fn round(self, x: Self::Vector, key: Self::Vector) -> Self::Vector;
    /// Takes key 9.
    fn ninth(self, x: Self::Vector, key: Self::Vector) -> Self::Vector;
    /// Takes key 10.
    fn last(self, x: Self::Vector, key: Self::Vector) -> Self::Vector;
    /// The round key after `key`, with the constant of its round.
    fn next_key(self, key: Self::Vector, constant: u8) -> Self::Vector;
}

/// Schedules a key for each lane, four vectors at a time: each schedule is one long chain.
#[inline(always)]
pub(super) fn schedule<X: Rounds, const L: usize>(
    simd: X,
    keys: &[Block; L],
    to: &mut RoundKeys<L>,
) {
    let mut first = 0;
    while first + 4 * X::BLOCKS <= L
        && let Some(at) = Lane::vectors::<4>(first, X::BLOCKS)
    {
        schedule_some(simd, keys, to, at);
        first += 4 * X::BLOCKS;
    }
    while let Some(at) = Lane::vectors::<1>(first, X::BLOCKS) {
        schedule_some(simd, keys, to, at);
        first += X::BLOCKS;
    }
}

/// For the lanes of `M` vectors (FIPS 197, §5.2).
#[inline(always)]
fn schedule_some<X: Rounds, const L: usize, const M: usize>(
    simd: X,
    keys: &[Block; L],
    to: &mut RoundKeys<L>,
    at: [Lane<L>; M],
) {
    const CONSTANTS: [u8; ROUND_KEYS] = [0, 1, 2, 4, 8, 16, 32, 64, 128, 27, 54];
    let mut key = [simd.splat(0); M];
    for (i, (to, constant)) in to.0.iter_mut().zip(CONSTANTS).enumerate() {
        for (key, at) in key.iter_mut().zip(at) {
            *key = if i == 0 { simd.load(at.tail(keys)) } else { simd.next_key(*key, constant) };
            simd.store(*key, at.tail_mut(to));
        }
    }
}

impl<X: Rounds> SimdBackend for X {
    type Keys<const L: usize> = RoundKeys<L>;

    #[inline(always)]
    fn encrypt<const L: usize, const M: usize>(
        self,
        keys: &RoundKeys<L>,
        lane: Lane<L>,
        x: &mut [X::Vector; M],
    ) {
        let [first, eight @ .., ninth, last] = &keys.0;
        let key = |keys: &[Block; L]| self.splat(*lane.of(keys));
        let k = key(first);
        x.iter_mut().for_each(|x| *x = self.begin(*x, k));
        for keys in eight {
            let k = key(keys);
            x.iter_mut().for_each(|x| *x = self.round(*x, k));
        }
        let k = key(ninth);
        x.iter_mut().for_each(|x| *x = self.ninth(*x, k));
        let k = key(last);
        x.iter_mut().for_each(|x| *x = self.last(*x, k));
    }

    #[inline(always)]
    fn encrypt_lanes<const L: usize, const M: usize, const G: usize>(
        self,
        keys: &RoundKeys<L>,
        at: [Lane<L>; G],
        x: &mut [[X::Vector; M]; G],
    ) {
        let lanes = |keys: &[Block; L], at: Lane<L>| self.load(at.tail(keys));
        let [k0, eight @ .., ninth, last] = &keys.0;
        for (x, at) in x.iter_mut().zip(at) {
            let k = lanes(k0, at);
            x.iter_mut().for_each(|x| *x = self.begin(*x, k));
        }
        // How many are left is hidden from the compiler: it would load all keys at once, into
        // registers that it does not have.
        for pair in black_box(eight.as_chunks::<2>().0) {
            for keys in pair {
                for (x, at) in x.iter_mut().zip(at) {
                    let k = lanes(keys, at);
                    x.iter_mut().for_each(|x| *x = self.round(*x, k));
                }
            }
        }
        for (x, at) in x.iter_mut().zip(at) {
            let k = lanes(ninth, at);
            x.iter_mut().for_each(|x| *x = self.ninth(*x, k));
        }
        for (x, at) in x.iter_mut().zip(at) {
            let k = lanes(last, at);
            x.iter_mut().for_each(|x| *x = self.last(*x, k));
        }
    }
}
