//! Integer arithmetic: share rings and the number-theoretic transform of the lattice's limbs.

mod modulus;

pub use modulus::Modulus;
