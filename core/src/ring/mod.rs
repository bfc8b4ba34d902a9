//! Integer arithmetic: share rings and the number-theoretic transform of the lattice's limbs.

mod modulus;
mod transform;

pub use crate::prime::{LIMBS, Limb, SLOT, montgomery_inverse};
pub use modulus::Modulus;
