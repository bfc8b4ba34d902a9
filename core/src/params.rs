//! The fixed parameters of MiniONN and where they come from.

/// Degree of the larger ring `Z_q[X]/(X^N + 1)`: that of base OTs, and of layers that the smaller
/// one does not carry.
pub const N: usize = 4096;
/// `log2(N)`.
pub(crate) const LOG_N: u32 = 12;
/// Degree of the smaller ring.
pub const SMALL_N: usize = 2048;

/// The limbs of ciphertext moduli, primes that are 1 mod 2N. The first two are the modulus of
/// degree 2048 (`log2 q` = 52.997), the first three that of degree 4096 (79.996), all four that of
/// base OTs (95.3): SECURITY.md has the security of each.
pub const PRIMES: [u32; 4] = [134_176_769, 66_994_177, 134_111_233, 40_961];
/// Bits of a coefficient of each limb on the wire.
pub const LIMB_BITS: [u32; 4] = [27, 26, 27, 16];

/// Plaintext modulus of the slots that carry base OTs: prime, 1 mod 2N, more than 16 bits.
pub const SLOT_PRIME: u32 = 65_537;

/// Centred binomial parameter: the difference of two sums of `CBD` bits, variance `CBD/2`, σ =
/// 3.24.
pub const CBD: u32 = 21;

/// Statistical security of the flooding of base OTs, in bits.
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
pub const VERSION: u16 = 2;
