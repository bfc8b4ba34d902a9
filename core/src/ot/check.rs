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

use super::{GROUP, wide_mask};
use crate::Result;
use crate::backend::toeplitz::{self, Multiplier};
use crate::block::Block;
use crate::error::Error;
use sha2::{Digest as _, Sha256};

/// Bytes of a proof.
pub const PROOF_BYTES: usize = 2 * size_of::<Block>();

/// SHA-256 of all parts. Where flash is scarce, there is one copy of it.
#[cfg_attr(not(target_pointer_width = "64"), inline(never))]
fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().into()
}

/// A run of corrections under way.
pub(super) struct Run {
    chain: [u8; 32],
}

impl Run {
    /// Starts a run of a session from its mask, group number `group`, whose labels are in `sums`.
    pub(super) fn start(
        offset: Block,
        group: u64,
        corrections: &[u8],
        sums: &mut [Block],
    ) -> Result<Self> {
        toeplitz::start(labels_of(sums)?);
        let (offset, group) = (offset.to_le_bytes(), group.to_le_bytes());
        Ok(Self { chain: hash(&[b"MiniONN check", &offset, &group, corrections]) })
    }

    /// Adds a group's labels. Returns its multiplier.
    pub(super) fn add(
        &mut self,
        corrections: &[u8],
        labels: &[Block; GROUP],
        sums: &mut [Block],
    ) -> Result<Multiplier> {
        self.chain = hash(&[&self.chain, corrections]);
        let multiplier =
            bytemuck::must_cast::<[u8; 32], [[u8; 4]; 8]>(self.chain).map(u32::from_le_bytes);
        toeplitz::add(multiplier, labels, labels_of(sums)?);
        Ok(multiplier)
    }

    /// The hash of the proof, of `sums` less what the `choices` of `delta` add to them; the
    /// receiver has none.
    pub(super) fn finish(
        self,
        sums: &mut [Block],
        (choices, delta): (Block, Block),
    ) -> Result<[u8; 16]> {
        toeplitz::finish(labels_of(sums)?);
        for (n, sum) in sums.iter_mut().enumerate() {
            *sum = (*sum ^ wide_mask(choices >> n) & delta).to_le();
        }
        let digest = hash(&[b"MiniONN proof", &self.chain, bytemuck::must_cast_slice(sums)]);
        sums.fill(0);
        digest.first_chunk().copied().ok_or(Error::Internal)
    }
}

/// Memory for the sums of a run: 128 blocks.
pub(super) fn labels_of(sums: &mut [Block]) -> Result<&mut [Block; GROUP]> {
    sums.try_into().map_err(|_| Error::Length { need: GROUP })
}

/// The choices of the mask of a run that starts with group number `group`.
pub(super) fn mask(secret: Block, group: u64) -> Result<Block> {
    let hash = hash(&[b"MiniONN mask", &secret.to_le_bytes(), &group.to_le_bytes()]);
    hash.first_chunk().copied().map(Block::from_le_bytes).ok_or(Error::Internal)
}

/// The product of a multiplier and a group's choices, in constant time.
pub(super) fn product(multiplier: Multiplier, choices: Block) -> Block {
    (0..GROUP)
        .fold(0, |sum, j| sum ^ wide_mask(choices >> j) & toeplitz::bits(multiplier, GROUP - j))
}
