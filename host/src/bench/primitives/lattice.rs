//! The lattice side, on one core.

use super::{Line, least};
use minionn_core::lattice::encrypt::Mask;
use minionn_core::lattice::evaluate::{Fresh, accumulate, add_zero};
use minionn_core::lattice::rescale::{Basis, Fraction as _};
use minionn_core::lattice::{Encoder, PublicKey, SecretKey, decrypt, encode};
use minionn_core::params::{LIMB_BITS, N};
use minionn_core::ring::LIMBS;
use minionn_core::rng::{Domain, Seed};
use minionn_core::wire::{GROUP, pack, packed_len, unpack};
use std::hint::black_box;

/// A polynomial in `[0, q)` of the first limb.
fn uniform(number: u64) -> Vec<i32> {
    let mut mask = Mask::new(&Seed([1; 32]), number, 0);
    (0..N).map(|_| mask.next(&LIMBS[0])).collect()
}

/// Everything.
#[must_use]
pub fn all() -> Vec<Line> {
    let mut lines = vec![];
    lines.extend(transforms());
    lines.extend(products());
    lines.extend(encryption());
    lines.extend(bits());
    lines
}

/// The transform of one limb.
#[must_use]
pub fn transforms() -> Vec<Line> {
    let limb = &LIMBS[0];
    let mut a = uniform(0);
    let forward = least(|| limb.forward(black_box(&mut a)));
    let inverse = least(|| limb.inverse(black_box(&mut a)));
    vec![Line::new("NTT, one limb", forward), Line::new("inverse NTT, one limb", inverse)]
}

/// Products of transformed polynomials.
#[must_use]
pub fn products() -> Vec<Line> {
    let limb = &LIMBS[0];
    let (c0, c1, w) = (uniform(1), uniform(2), uniform(3));
    let (mut z0, mut z1) = (vec![0; N], vec![0; N]);
    let seconds = least(|| {
        for _ in 0..4 {
            accumulate(limb, c0.iter().copied(), &w, &mut z0);
            accumulate(limb, c1.iter().copied(), &w, &mut z1);
        }
    });
    vec![Line::new("multiply-accumulate, a ciphertext of 4 limbs", seconds)]
}

/// Encryption and decryption, and what the evaluating party adds to a result.
#[must_use]
pub fn encryption() -> Vec<Line> {
    let key = SecretKey::new(Seed([2; 32]));
    let (public, noise) = (Seed([3; 32]), Seed([4; 32]));
    let mut secrets = vec![vec![0; N]; LIMBS.len()];
    for (limb, secret) in LIMBS.iter().zip(&mut secrets) {
        key.expand(limb, secret);
    }
    let mut lines = vec![];
    for limbs in [3, 4] {
        let encoder = Encoder::new(encode::Plaintext::Bits(20), limbs);
        let mut out = vec![0; N];
        let mut number = 0;
        let seconds = least(|| {
            number += 1;
            for (index, secret) in secrets.iter().enumerate().take(limbs) {
                for (i, x) in out.iter_mut().enumerate() {
                    *x = encoder.encode(index, i as u64);
                }
                SecretKey::encrypt_limb(index, number, &public, &noise, secret, &mut out);
                black_box(&mut out);
            }
        });
        lines.push(Line::new(format!("encrypt, {limbs} limbs"), seconds));
    }

    let bits = 33;
    let packed: Vec<u8> = (0..packed_len(N as u64, bits)).map(|i| (i * 37) as u8).collect();
    let (mut poly, mut scratch) = (vec![0; N], vec![0; N]);
    let seconds = least(|| {
        for index in 0..decrypt::limbs(bits) {
            decrypt::load(index, &packed, bits, &mut poly);
            decrypt::multiply_by_secret(index, &key, &mut poly, &mut scratch);
            black_box(&mut poly);
        }
    });
    lines.push(Line::new("decrypt, all coefficients", seconds));

    let b: Vec<i32> = secrets.concat();
    let key = PublicKey { seed: public, b: &b };
    let (mut z0, mut z1, mut ephemeral, mut sums) = (vec![0; N], vec![0; N], vec![0; N], vec![0_u64; N]);
    let (encoder, basis, seed) = (Encoder::new(encode::Plaintext::Bits(24), 4), Basis::new(4), Seed([5; 32]));
    let mut number = 0;
    let seconds = least(|| {
        number += 1;
        let fresh = Fresh { seed: &seed, number, flood: 62 };
        for (index, limb) in LIMBS.iter().enumerate() {
            fresh.ephemeral(limb, &mut ephemeral);
            add_zero(index, &key, &ephemeral, &mut z0, &mut z1);
            limb.inverse(&mut z0);
            limb.inverse(&mut z1);
            let mut each = sums.iter_mut();
            fresh.finish_c0(index, &encoder, &z0, (0..16).map(|i| (i * 256, i as u64)), |x| {
                if let Some(sum) = each.next() {
                    sum.add(basis.fraction(index, x));
                }
            });
            let mut each = sums.iter_mut();
            fresh.finish_c1(index, &z1, |x| {
                if let Some(sum) = each.next() {
                    sum.add(basis.fraction(index, x));
                }
            });
        }
    });
    lines.push(Line::new("re-randomise and flood a result of 16, 4 limbs", seconds));
    lines
}

/// Integers as they travel.
#[must_use]
pub fn bits() -> Vec<Line> {
    let mut lines = vec![];
    for bits in [LIMB_BITS, 33] {
        let values: Vec<u64> = (0..N as u64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - bits)).collect();
        let mut back = vec![0; N];
        let bytes = packed_len(N as u64, bits);
        let mut packed = vec![0; bytes as usize];
        let group = packed.len() / (N / GROUP);
        let seconds = least(|| {
            for (values, packed) in values.chunks_exact(GROUP).zip(packed.chunks_exact_mut(group)) {
                pack(values, bits, packed);
            }
            black_box(&mut packed);
        });
        lines.push(Line::new(format!("pack {N} values of {bits} bits"), seconds).of_bytes(bytes));
        let seconds = least(|| {
            for (values, packed) in back.chunks_exact_mut(GROUP).zip(packed.chunks_exact(group)) {
                black_box(unpack(packed, bits, values));
            }
        });
        lines.push(Line::new(format!("unpack {N} values of {bits} bits"), seconds).of_bytes(bytes));
    }
    let mut bytes = vec![0; 4 * N];
    let seconds = least(|| Seed([6; 32]).stream(Domain::Mask, 0).fill(black_box(&mut bytes)));
    lines.push(Line::new("ChaCha20, 16 KiB", seconds).of_bytes(4 * N as u64));
    let seconds = least(|| {
        let mut checksum = minionn_core::wire::Checksum::new();
        checksum.update(black_box(&bytes));
        black_box(checksum.finish());
    });
    lines.push(Line::new("CRC-32, 16 KiB", seconds).of_bytes(4 * N as u64));
    lines
}
