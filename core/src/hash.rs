//! The tweakable hash of garbling, OT and GGM trees: TMMO on AES-128.
//!
//! `H(x, i) = π(π(x) ⊕ i) ⊕ π(x)` with `π = AES-128_k`, tweakable circular-correlation robust in the ideal-cipher model
//! (Guo, Katz, Wang, Yu, "Efficient and Secure Multiparty Computation from Fixed-Key Block Ciphers", S&P 2020, §7.4).
//! An attack costs `2^128 / calls`, so keys are changed often: one per garbled record, see SECURITY.md.

use crate::backend::aes::Aes;

/// A label, key or seed of 128 bits. On the wire: 16 bytes, little-endian.
pub type Block = u128;

/// TMMO under one AES key.
pub struct Tmmo {
    aes: Aes,
}

impl Tmmo {
    /// Schedules the (public) key.
    #[must_use]
    pub fn new(key: Block) -> Self {
        Self { aes: Aes::new(key) }
    }

    /// `H(x[j], tweak[j])` for all `j`, with the AES calls of one layer in one pipeline.
    #[inline]
    #[must_use]
    pub fn hash<const M: usize>(&self, mut x: [Block; M], tweak: [Block; M]) -> [Block; M] {
        self.aes.encrypt(&mut x);
        let mut y = x;
        for (y, t) in y.iter_mut().zip(tweak) {
            *y ^= t;
        }
        self.aes.encrypt(&mut y);
        for (y, x) in y.iter_mut().zip(x) {
            *y ^= x;
        }
        y
    }

    /// `π(x)`: derives public keys of records from the session's key.
    #[must_use]
    pub fn permute(&self, x: Block) -> Block {
        let mut y = [x];
        self.aes.encrypt(&mut y);
        y[0]
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
        assert_eq!(h.hash([x, x ^ 1, x], [i, i, i]), [h.permute(px ^ i) ^ px, h.hash([x ^ 1], [i])[0], h.hash([x], [i])[0]]);
    }
}
