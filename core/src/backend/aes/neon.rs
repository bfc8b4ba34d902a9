//! AArch64's AES instructions: one block to a vector.

#![allow(unsafe_code)]

use super::rounds::{self, RoundKeys, Rounds};
use super::simd::{Job, Vectors};
use crate::block::Block;
use core::arch::aarch64::*;
use core::mem::transmute;

cpufeatures::new!(found, "aes");

/// One block.
#[derive(Clone, Copy)]
pub(crate) struct Neon(());

impl Neon {
    /// The proof, if this CPU has the instructions.
    pub(super) fn detect() -> Option<Self> {
        found::get().then_some(Self(()))
    }

    #[inline]
    pub(super) fn schedule<const L: usize>(self, keys: &[Block; L], to: &mut RoundKeys<L>) {
        #[target_feature(enable = "neon,aes")]
        fn compiled<const L: usize>(simd: Neon, keys: &[Block; L], to: &mut RoundKeys<L>) {
            rounds::schedule(simd, keys, to);
        }
        // SAFETY: `self` is the proof of the features.
        unsafe { compiled(self, keys, to) }
    }

    #[inline]
    pub(super) fn run<const L: usize>(self, job: impl Job<L>, keys: &RoundKeys<L>) {
        #[target_feature(enable = "neon,aes")]
        fn compiled<const L: usize, J: Job<L>>(simd: Neon, job: J, keys: &RoundKeys<L>) {
            job.run(simd, keys);
        }
        // SAFETY: `self` is the proof of the features.
        unsafe { compiled(self, job, keys) }
    }
}

#[inline(always)]
fn one(block: Block) -> uint8x16_t {
    // SAFETY: both are 16 bytes without invalid values.
    unsafe { transmute::<Block, uint8x16_t>(block) }
}

#[inline(always)]
fn block(v: uint8x16_t) -> Block {
    // SAFETY: both are 16 bytes without invalid values.
    unsafe { transmute::<uint8x16_t, Block>(v) }
}

impl Vectors for Neon {
    type Vector = uint8x16_t;
    const BLOCKS: usize = 1;

    #[inline(always)]
    fn load(self, from: &[Block]) -> uint8x16_t {
        one(from.first().copied().unwrap_or_default())
    }

    #[inline(always)]
    fn store(self, v: uint8x16_t, to: &mut [Block]) {
        if let Some(to) = to.first_mut() {
            *to = block(v);
        }
    }

    #[inline(always)]
    fn gather(self, pair: impl Fn(usize) -> [Block; 2]) -> [uint8x16_t; 2] {
        pair(0).map(one)
    }

    #[inline(always)]
    fn scatter(self, pair: [uint8x16_t; 2], mut each: impl FnMut(usize, [Block; 2])) {
        each(0, pair.map(block));
    }

    #[inline(always)]
    fn splat(self, block: Block) -> uint8x16_t {
        one(block)
    }

    #[inline(always)]
    fn xor(self, a: uint8x16_t, b: uint8x16_t) -> uint8x16_t {
        // SAFETY: `self` is the proof.
        unsafe { veorq_u8(a, b) }
    }

    #[inline(always)]
    fn and(self, a: uint8x16_t, b: uint8x16_t) -> uint8x16_t {
        // SAFETY: `self` is the proof.
        unsafe { vandq_u8(a, b) }
    }

    #[inline(always)]
    fn colour_masks(self, v: uint8x16_t) -> uint8x16_t {
        // SAFETY: `self` is the proof.
        unsafe { vtstq_u8(vdupq_laneq_u8::<0>(v), vdupq_n_u8(1)) }
    }
}

/// `AESE` adds a key, substitutes and shifts rows; `AESMC` mixes columns.
impl Rounds for Neon {
    #[inline(always)]
    fn begin(self, x: uint8x16_t, key: uint8x16_t) -> uint8x16_t {
        self.round(x, key)
    }

    #[inline(always)]
    fn round(self, x: uint8x16_t, key: uint8x16_t) -> uint8x16_t {
        // SAFETY: `self` is the proof.
        unsafe { vaesmcq_u8(vaeseq_u8(x, key)) }
    }

    #[inline(always)]
    fn ninth(self, x: uint8x16_t, key: uint8x16_t) -> uint8x16_t {
        // SAFETY: `self` is the proof.
        unsafe { vaeseq_u8(x, key) }
    }

    #[inline(always)]
    fn last(self, x: uint8x16_t, key: uint8x16_t) -> uint8x16_t {
        self.xor(x, key)
    }

    #[inline(always)]
    fn next_key(self, key: uint8x16_t, constant: u8) -> uint8x16_t {
        // SAFETY: `self` is the proof.
        unsafe {
            let zero = vdupq_n_u8(0);
            // All columns are equal, so the shift of rows changes nothing: it substitutes.
            let last = vreinterpretq_u8_u32(vdupq_laneq_u32::<3>(vreinterpretq_u32_u8(key)));
            let substituted = vreinterpretq_u32_u8(vaeseq_u8(last, zero));
            let rotated = vorrq_u32(vshrq_n_u32::<8>(substituted), vshlq_n_u32::<24>(substituted));
            let word = veorq_u32(rotated, vdupq_n_u32(u32::from(constant)));
            let two = veorq_u8(key, vextq_u8::<12>(zero, key));
            let four = veorq_u8(two, vextq_u8::<8>(zero, two));
            veorq_u8(four, vreinterpretq_u8_u32(word))
        }
    }
}
