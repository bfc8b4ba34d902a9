//! Integer arithmetic: share rings and the number-theoretic transform of the lattice's limbs.

pub(crate) mod limb;
mod modulus;

pub use limb::{LIMBS, Limb, SLOT, montgomery_inverse};
pub use modulus::Modulus;
