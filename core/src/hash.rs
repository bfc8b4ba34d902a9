//! The tweakable hash of garbling, OT and GGM trees: TMMO on AES-128.
//!
//! `H(x, i) = π(π(x) ⊕ i) ⊕ π(x)` with `π = AES-128_k`, tweakable circular-correlation robust in
//! the ideal-cipher model (Guo, Katz, Wang, Yu, "Efficient and Secure Multiparty Computation from
//! Fixed-Key Block Ciphers", S&P 2020, §7.4). An attack costs `2^128 / calls`, so keys are changed
//! often: one per garbled instance, see SECURITY.md.

use crate::backend::aes::{Aes, Job, Lane, Pass, SimdBackend, in_flight};
use crate::block::Block;
use core::slice::Chunks;

/// TMMO under one AES key.
pub struct Tmmo {
    aes: Aes,
}

impl Tmmo {
    /// Schedules the (public) key.
    #[must_use]
    pub fn new(key: Block) -> Self {
        Self { aes: Aes::of(key) }
    }

    /// `H(x[j], tweak[j])` for all `j`, with the AES calls of one layer in one pipeline.
    #[inline]
    #[must_use]
    pub fn hash<const M: usize>(&self, mut x: [Block; M], tweaks: [Block; M]) -> [Block; M] {
        self.hash_in_place(&mut x, &tweaks);
        x
    }

    /// The same for slices of one length. Where flash is scarce, calls are cheaper than a copy of
    /// the code for every length.
    #[cfg_attr(target_pointer_width = "64", inline)]
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    fn hash_in_place(&self, x: &mut [Block], tweaks: &[Block]) {
        self.aes.run(Hash { x, tweaks });
    }

    /// `π(x)`: derives public keys of instances from the session's key.
    #[cfg(any(test, feature = "unstable"))]
    #[must_use]
    pub fn permute(&self, x: Block) -> Block {
        let mut y = [x];
        self.permute_all(&mut y);
        y[0]
    }

    /// `π` of every block, in place.
    pub fn permute_all(&self, blocks: &mut [Block]) {
        self.aes.encrypt(blocks);
    }
}

/// See [`Tmmo::hash`].
struct Hash<'b> {
    x: &'b mut [Block],
    tweaks: &'b [Block],
}

impl Job<1> for Hash<'_> {
    #[inline(always)]
    fn run<X: SimdBackend>(self, simd: X, keys: &X::Keys<1>) {
        let tweaks = self.tweaks.chunks(X::BLOCKS);
        in_flight(simd, self.x, &mut HashPass::<X> { simd, keys, tweaks });
    }
}

struct HashPass<'b, X: SimdBackend> {
    simd: X,
    keys: &'b X::Keys<1>,
    /// For each vector that is still to come: as many as there are blocks.
    tweaks: Chunks<'b, Block>,
}

impl<X: SimdBackend> Pass<X> for HashPass<'_, X> {
    #[inline(always)]
    fn pass<const M: usize>(&mut self, _at: usize, x: &mut [X::Vector; M]) {
        let simd = self.simd;
        simd.encrypt(self.keys, Lane::FIRST, x);
        let mut y = *x;
        for (y, tweaks) in y.iter_mut().zip(&mut self.tweaks) {
            *y = simd.xor(*y, simd.load(tweaks));
        }
        simd.encrypt(self.keys, Lane::FIRST, &mut y);
        for (x, y) in x.iter_mut().zip(&y) {
            *x = simd.xor(*x, *y);
        }
    }
}

/// `H(x, tweaks[j])` under the keys of lanes, vector by vector: vector `j` of `x[g]` has tweak `j`
/// in all lanes, and its blocks belong to the lanes from `at[g]` on.
#[inline(always)]
pub(crate) fn hash_lanes<X: SimdBackend, const L: usize, const M: usize, const G: usize>(
    simd: X,
    keys: &X::Keys<L>,
    at: [Lane<L>; G],
    x: &mut [[X::Vector; M]; G],
    tweaks: [X::Vector; M],
) {
    simd.encrypt_lanes(keys, at, x);
    let mut y = *x;
    for y in &mut y {
        for (y, tweak) in y.iter_mut().zip(&tweaks) {
            *y = simd.xor(*y, *tweak);
        }
    }
    simd.encrypt_lanes(keys, at, &mut y);
    for (x, y) in x.iter_mut().zip(&y) {
        for (x, y) in x.iter_mut().zip(y) {
            *x = simd.xor(*x, *y);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_definition() {
        let h = Tmmo::new(7);
        let (x, i) = (0x0123_4567_89ab_cdef_u128 << 3, 99);
        let px = h.permute(x);
        assert_eq!(
            h.hash([x, x ^ 1, x], [i, i, i]),
            [h.permute(px ^ i) ^ px, h.hash([x ^ 1], [i])[0], h.hash([x], [i])[0]]
        );
    }
}
