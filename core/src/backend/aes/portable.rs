//! AES by the `aes` crate: constant-time software, or the processor's instructions for one key at a
//! time.

#![allow(unsafe_code)]

use super::simd::{Lane, SimdBackend, Vectors};
use crate::block::Block;
use ::aes::Aes128Enc;
use ::aes::cipher::{Array, BlockCipherEncrypt as _, KeyInit as _};
use core::mem::ManuallyDrop;

/// Any processor.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

/// The keys of `L` lanes; wiped on drop. Keys that are replaced are only overwritten.
pub(crate) struct Ciphers<const L: usize>([ManuallyDrop<Aes128Enc>; L]);

impl<const L: usize> Ciphers<L> {
    #[inline]
    pub(super) fn new(keys: &[Block; L]) -> Self {
        Self(keys.each_ref().map(schedule))
    }

    #[inline]
    pub(super) fn replace(&mut self, keys: &[Block; L]) {
        for (cipher, key) in self.0.iter_mut().zip(keys) {
            *cipher = schedule(key);
        }
    }
}

impl<const L: usize> Drop for Ciphers<L> {
    fn drop(&mut self) {
        for cipher in &mut self.0 {
            // SAFETY: every cipher is dropped here, once, and nothing uses it any more.
            unsafe { ManuallyDrop::drop(cipher) };
        }
    }
}

#[inline]
fn schedule(key: &Block) -> ManuallyDrop<Aes128Enc> {
    ManuallyDrop::new(Aes128Enc::new(&Array(key.to_le_bytes())))
}

impl Vectors for Portable {
    type Vector = Block;

    const BLOCKS: usize = 1;

    #[inline(always)]
    fn load(self, from: &[Block]) -> Block {
        from.first().copied().unwrap_or_default()
    }

    #[inline(always)]
    fn store(self, v: Block, to: &mut [Block]) {
        if let Some(to) = to.first_mut() {
            *to = v;
        }
    }

    #[inline(always)]
    fn gather(self, pair: impl Fn(usize) -> [Block; 2]) -> [Block; 2] {
        pair(0)
    }

    #[inline(always)]
    fn scatter(self, pair: [Block; 2], mut each: impl FnMut(usize, [Block; 2])) {
        each(0, pair);
    }

    #[inline(always)]
    fn splat(self, block: Block) -> Block {
        block
    }

    #[inline(always)]
    fn xor(self, a: Block, b: Block) -> Block {
        a ^ b
    }

    #[inline(always)]
    fn and(self, a: Block, b: Block) -> Block {
        a & b
    }

    #[inline(always)]
    fn colour_masks(self, v: Block) -> Block {
        (v & 1).wrapping_neg()
    }
}

impl SimdBackend for Portable {
    type Keys<const L: usize> = Ciphers<L>;

    #[inline(always)]
    fn encrypt<const L: usize, const M: usize>(
        self,
        keys: &Ciphers<L>,
        lane: Lane<L>,
        x: &mut [Block; M],
    ) {
        let cipher = lane.of(&keys.0);
        x.iter_mut().for_each(|x| *x = x.to_le());
        cipher.encrypt_blocks(Array::cast_slice_from_core_mut(bytemuck::must_cast_slice_mut::<
            _,
            [u8; 16],
        >(x)));
        x.iter_mut().for_each(|x| *x = Block::from_le(*x));
    }

    #[inline(always)]
    fn encrypt_lanes<const L: usize, const M: usize, const G: usize>(
        self,
        keys: &Ciphers<L>,
        at: [Lane<L>; G],
        x: &mut [[Block; M]; G],
    ) {
        for (lane, x) in at.into_iter().zip(x) {
            self.encrypt(keys, lane, x);
        }
    }
}
