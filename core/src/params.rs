//! The fixed parameters of MiniONN and where they come from.

/// Ring degree: polynomials live in `Z_q[X]/(X^N + 1)`.
pub const N: usize = 4096;
/// `log2(N)`.
pub const LOG_N: u32 = 12;

/// The limbs of the ciphertext modulus: the largest primes below 2^27 that are 1 mod 2N.
/// `log2` of all four is 107.99; the 128-bit bound at n = 4096 with ternary secrets is 109
/// (homomorphic encryption standard).
pub const PRIMES: [u32; 4] = [134_176_769, 134_111_233, 134_012_929, 133_963_777];
/// Bits of one limb on the wire.
pub const LIMB_BITS: u32 = 27;

/// Plaintext modulus of the slots that carry base OTs: prime, 1 mod 2N, more than 16 bits.
pub const SLOT_PRIME: u32 = 65_537;

/// Centred binomial parameter: the difference of two sums of `CBD` bits, variance `CBD/2`, σ =
/// 3.24.
pub const CBD: u32 = 21;

/// Statistical security of noise flooding, in bits.
pub const FLOOD_BITS: u32 = 40;

/// Computational security and length of labels, keys and seeds, in bits.
pub const KAPPA: usize = 128;

/// Widest ring `Z_{2^ℓ}` of a layer.
pub const MAX_RING_BITS: u8 = 44;
/// Narrowest ring `Z_{2^ℓ}` of a layer.
pub const MIN_RING_BITS: u8 = 8;
/// Widest signed weight.
pub const MAX_WEIGHT_BITS: u8 = 12;

/// Version of the protocol and of the file formats.
pub const VERSION: u16 = 1;
