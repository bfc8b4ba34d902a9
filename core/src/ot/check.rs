//! SoftSpokenOT's consistency check (Roy, CRYPTO 2022, §4.2), as a transcript that both parties
//! hash.
//!
//! A receiver that sends corrections for other choices in one block of `Δ` than in another one
//! makes labels that differ by a part of `Δ`, and finds that part by what the sender does with
//! them. So every run of corrections is checked before its labels are used:
//!
//! - It starts with a group of random choices, its *mask*.
//! - A chain of SHA-256 runs over the corrections of all groups. After each group it is the
//!   multiplier `χ` of this group, the mask's being 1. Both parties add up the products of
//!   [`crate::backend::toeplitz`] with their labels, and the receiver those with its choices.
//! - It ends with a *proof*: the sum `x` of choices, and a hash of the chain and of the sums of
//!   labels. These sums are labels of 128 OTs with the choices `x`: `T_n = Q_n ⊕ x[n]·Δ`, if all
//!   is consistent, so the sender knows what the hash should be.
//!
//! Choices `x_i` in block `i` that differ from those in another one differ in their sums, but with
//! probability `2^-128` for each hash that the receiver tries, as a multiplier is drawn when all
//! that it multiplies is fixed. Where they differ from `x`, the receiver has to guess `Δ_i`. Sums
//! of choices are uniform by the mask, and the hash is known to the sender.

use super::GROUP;
use crate::Result;
use crate::backend::toeplitz::Multiplier;
use crate::block::Block;
use crate::error::Error;
use crate::ot::wide_mask;
use sha2::{Digest as _, Sha256};

/// Bytes of a proof.
pub const PROOF_BYTES: usize = 2 * size_of::<Block>();

/// The chain of a run of corrections.
pub(super) struct Chain([u8; 32]);

impl Chain {
    /// Starts a run of a session with its mask, group number `group`.
    pub(super) fn start(offset: Block, group: u64, corrections: &[u8]) -> Self {
        let start = Sha256::new().chain_update(b"MiniONN check").chain_update(offset.to_le_bytes());
        Self(start.chain_update(group.to_le_bytes()).chain_update(corrections).finalize().into())
    }

    /// The multiplier of the next group.
    pub(super) fn next(&mut self, corrections: &[u8]) -> Multiplier {
        self.0 = Sha256::new().chain_update(self.0).chain_update(corrections).finalize().into();
        bytemuck::must_cast::<[u8; 32], [[u8; 8]; 4]>(self.0).map(u64::from_le_bytes)
    }

    /// The hash of a proof.
    pub(super) fn digest(&self, sums: &[Block; GROUP]) -> Result<[u8; 16]> {
        let mut hash = Sha256::new().chain_update(b"MiniONN proof").chain_update(self.0);
        sums.iter().for_each(|sum| hash.update(sum.to_le_bytes()));
        hash.finalize().first_chunk().copied().ok_or(Error::Internal)
    }
}

/// The choices of the mask of a run that starts with group number `group`.
pub(super) fn mask(secret: Block, group: u64) -> Result<Block> {
    let hash = Sha256::new().chain_update(b"MiniONN mask").chain_update(secret.to_le_bytes());
    let hash = hash.chain_update(group.to_le_bytes()).finalize();
    hash.first_chunk().copied().map(Block::from_le_bytes).ok_or(Error::Internal)
}

/// The product of a multiplier and a group's choices, in constant time.
pub(super) fn product([a0, a1, b0, b1]: Multiplier, choices: Block) -> Block {
    let wide = |low, high| Block::from(low) | Block::from(high) << 64;
    let (low, high) = (wide(a0, a1), wide(b0, b1));
    (0..GROUP).fold(0, |sum, j| {
        // Bits `128 − j … 255 − j`.
        let bits = high << j | low >> 1 >> (GROUP - 1 - j);
        sum ^ wide_mask(choices >> j) & bits
    })
}
