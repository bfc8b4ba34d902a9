//! Oblivious transfer: base OTs, their extension, products and carries by OT.
//!
//! The client is the extension's receiver: it chooses bits `b` and gets labels `T`. The server is
//! its sender: it holds the pairing's `Δ` (lsb 1) and gets labels `Q`, with `T = Q ⊕ b·Δ`. So every
//! OT is a wire label as well (free-XOR).
//!
//! Base OTs and trees belong to a pairing, which may serve many sessions; each session has leaves
//! of its own.
//!
//! States are types: `Leaves` is memory before set-up; `Receiver::new` takes it and makes the
//! messages of the base OTs, `Sender::new` takes it with those it received. Only then is there
//! a half to extend. A half that every stock sets up again is a `Renewable`.
//!
//! # Tweaks of the session's hash
//! Bit 127 set: trees of the extension, see `ggm_tweak`. All other users of the same
//! `crate::hash::Tmmo` key, `OtMultiply` and `Carries` among them, keep their tweaks below `2^127`
//! and use each once.

mod base;
mod carry;
mod check;
mod extension;
mod ggm;
mod leaves;
mod multiply;

#[cfg(feature = "unstable")]
pub use {
    base::{decode, encode},
    carry::Carries,
    check::PROOF_BYTES,
    extension::{Receiver, Sender},
    ggm::ggm_tweak,
    leaves::{Leaves, Renewable},
    multiply::{OtMultiply, correction_width, product_bits},
};
#[cfg(not(feature = "unstable"))]
pub(crate) use {
    base::{decode, encode},
    carry::Carries,
    check::PROOF_BYTES,
    extension::{Receiver, Sender},
    leaves::{Leaves, Renewable},
    multiply::{OtMultiply, correction_width, product_bits},
};

use crate::block::Block;
use crate::params::KAPPA;
use subtle::{Choice, ConditionallySelectable as _};

/// OTs per group: the unit in which the extension works.
pub const GROUP: usize = 128;

/// An encoded message of a base OT: `X`, `Y`.
pub type Encoded = [Block; 2];

/// Blocks of the encoded messages of all base OTs.
const MESSAGES: usize = 2 * KAPPA * size_of::<Encoded>() / size_of::<Block>();

/// SoftSpokenOT's parameter `k` (Roy, CRYPTO 2022, §3–§5, repetition code): `Δ` is cut into `128/k`
/// blocks of `k` bits. Bytes fall as `1/k`, work grows as `2^k/k`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repetition {
    /// `k = 1`, which is IKNP: 16 bytes and 2 AES blocks per OT.
    K1,
    /// `k = 2`: 8 bytes and 2 AES blocks per OT.
    K2,
    /// `k = 4`: 4 bytes and 4 AES blocks per OT.
    K4,
    /// `k = 8`: 2 bytes and 32 AES blocks per OT.
    K8,
}

impl Repetition {
    /// All of them, smallest first.
    pub const ALL: [Self; 4] = [Self::K1, Self::K2, Self::K4, Self::K8];

    /// The parameter with this `k`, if there is one.
    #[must_use]
    pub const fn from_k(k: u8) -> Option<Self> {
        match k {
            1 => Some(Self::K1),
            2 => Some(Self::K2),
            4 => Some(Self::K4),
            8 => Some(Self::K8),
            _ => None,
        }
    }

    /// `k`: bits of `Δ` per block, and depth of a block's tree.
    #[must_use]
    pub const fn k(self) -> usize {
        match self {
            Self::K1 => 1,
            Self::K2 => 2,
            Self::K4 => 4,
            Self::K8 => 8,
        }
    }

    /// Blocks of `Δ`: `128/k`.
    #[must_use]
    pub const fn blocks(self) -> usize {
        KAPPA / self.k()
    }

    /// Leaves of all trees, `128/k · 2^k`.
    #[must_use]
    pub const fn leaves(self) -> usize {
        self.blocks() << self.k()
    }

    /// The length in blocks of the memory that either party lends: room for the leaves, in set-up
    /// for the messages of base OTs, and for 128 sums of labels.
    #[must_use]
    pub const fn memory(self) -> usize {
        let leaves = self.leaves();
        (if leaves > MESSAGES { leaves } else { MESSAGES }) + GROUP
    }

    /// Bytes that the client sends per [`GROUP`] of OTs: `128/k · 16`.
    #[must_use]
    pub const fn correction_bytes_per_group(self) -> usize {
        self.blocks() * size_of::<Block>()
    }
}

/// All ones if the lowest bit of `bit` is set, else zero. The barrier inside keeps the compiler
/// from branching on it.
pub(crate) fn mask(bit: u64) -> u64 {
    u64::conditional_select(&0, &u64::MAX, Choice::from((bit & 1) as u8))
}

/// [`mask`] as wide as a block.
fn wide_mask(bit: Block) -> Block {
    let half = Block::from(mask(bit as u64));
    half << 64 | half
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_follow_from_k() {
        for k in 0..=u8::MAX {
            assert_eq!(
                Repetition::from_k(k).map(Repetition::k),
                matches!(k, 1 | 2 | 4 | 8).then_some(usize::from(k))
            );
        }
        assert_eq!(Repetition::ALL.map(Repetition::leaves), [256, 256, 512, 4096]);
        assert_eq!(
            Repetition::ALL.map(Repetition::correction_bytes_per_group),
            [2048, 1024, 512, 256]
        );
    }

    #[test]
    fn masks_follow_the_lowest_bit() {
        assert_eq!([mask(0), mask(1), mask(2), mask(3)], [0, u64::MAX, 0, u64::MAX]);
        assert_eq!([wide_mask(6), wide_mask(7)], [0, Block::MAX]);
    }
}
