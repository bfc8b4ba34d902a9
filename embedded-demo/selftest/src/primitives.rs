//! AES, TMMO, ChaCha20, share rings. The answers come from other implementations: OpenSSL for the
//! ciphers, Python for the integers.

use core::hint::black_box;
use minionn_core::backend::aes::Aes;
use minionn_core::block::Block;
use minionn_core::hash::Tmmo;
use minionn_core::ring::Modulus;
use minionn_core::rng::{Domain, Seed};

/// FIPS 197's key 00 01 … 0f, little-endian as labels are. Hidden from the compiler, so that
/// nothing is computed at compile time.
fn key() -> Block {
    black_box(0x0f0e_0d0c_0b0a_0908_0706_0504_0302_0100)
}

/// Three blocks: a full pipeline of this machine and a rest.
pub(crate) fn aes() -> bool {
    let mut blocks = [0xffee_ddcc_bbaa_9988_7766_5544_3322_1100; 3];
    Aes::of(key()).encrypt(&mut blocks);
    blocks == [0x5ac5_b470_80b7_cdd8_3004_7b6a_d8e0_c469; 3]
}

/// `π(π(x) ⊕ i) ⊕ π(x)` with π from `openssl enc -aes-128-ecb`.
pub(crate) fn tmmo() -> bool {
    let x = 0xffee_ddcc_bbaa_9988_7766_5544_3322_1100;
    let hashes = Tmmo::new(key()).hash([x, x, 0], [0, 1, 1 << 127 | 5]);
    hashes
        == [
            0x308a_aed2_3193_b58e_3147_1a35_ab6c_a726,
            0xf8df_7fa3_85ce_e288_665c_4192_6cf3_eccf,
            0xe3c0_fb4c_581b_972c_3cb5_5f57_6bdf_b415,
        ]
}

/// Bytes 0..16 and 64..80 (the second block) of
/// `openssl enc -chacha20 -K 000102…1f -iv 00000000000000005634120000000006 < /dev/zero`.
pub(crate) fn chacha20() -> bool {
    let seed = Seed(black_box(core::array::from_fn(|i| i as u8)));
    let mut bytes = [0; 80];
    seed.stream(Domain::Mask, 0x12_3456).fill(&mut bytes);
    bytes[..16] == 0x159b_4246_8951_1ff6_6fb0_9c03_c638_a928_u128.to_be_bytes()
        && bytes[64..] == 0x87d8_fd70_9b8d_97b9_17fe_28f2_41f2_b3bc_u128.to_be_bytes()
}

/// Sum, difference, product, and the signed reading both ways.
fn ring(
    modulus: Modulus,
    [a, b]: [u64; 2],
    [sum, difference, product]: [u64; 3],
    signed: i64,
) -> bool {
    let (modulus, a, b) = (black_box(modulus), black_box(a), black_box(b));
    modulus.add(a, b) == sum
        && modulus.sub(a, b) == difference
        && modulus.mul(a, b) == product
        && modulus.to_signed(b) == signed
        && modulus.reduce_signed(signed) == b
        && modulus.add(a, modulus.neg(a)) == 0
}

/// The widest share ring.
pub(crate) fn power_of_two_ring() -> bool {
    let operands = [0x0234_5678_9abc, 0x0a98_7654_3210];
    ring(
        Modulus::Bits(44),
        operands,
        [0x0ccc_cccc_cccc, 0x079b_e024_68ac, 0x0aae_6372_63c0],
        0x0a98_7654_3210 - (1 << 44),
    )
}

/// The paper's prime: 64×64-bit products and a 128-bit remainder.
pub(crate) fn prime_ring() -> bool {
    let n = 101_285_036_033;
    let operands = [0x000e_a1ed_99f7, 0x0002_250a_823b];
    ring(
        Modulus::Odd(n),
        operands,
        [0x0010_c6f8_1c32, 0x000c_7ce3_17bc, 0x0007_4980_6508],
        0x0002_250a_823b,
    ) && Modulus::Odd(n).to_signed(black_box(0x000e_a1ed_99f7)) == 0x000e_a1ed_99f7 - n as i64
}
