//! Decryption of a rescaled ciphertext: `c1·s` exactly, over the integers, by two or three limbs.

use super::encrypt::SecretKey;
use crate::params::{N, PRIMES};
use crate::plan::noise::{C0_EXTRA, C1_EXTRA};
use crate::ring::{LIMBS, Limb, montgomery_inverse};
use crate::wire::{GROUP, unpack};

/// Limbs that hold `c1·s` exactly, for signed `c1` of `bits` bits: `n·2^(bits−1)` must stay below half their product.
#[must_use]
pub const fn limbs(bits: u32) -> usize {
    // 27-bit primes are above 2^26.99: two hold 53.9 bits with sign, three 80.9.
    if bits + N.ilog2() <= 53 { 2 } else { 3 }
}

/// Unpacks `c1`, `bits` bits for each coefficient read signed, into representatives of limb `index` in `(−q, q)`.
pub fn load(index: usize, packed: &[u8], bits: u32, out: &mut [i32]) {
    let Some(limb) = LIMBS.get(index) else { return };
    let group_bytes = (GROUP as u64 * u64::from(bits) / 8) as usize;
    let mut values = [0; GROUP];
    for (out, packed) in out.chunks_exact_mut(GROUP).zip(packed.chunks_exact(group_bytes)) {
        let _whole_bytes = unpack(packed, bits, &mut values);
        for (out, &value) in out.iter_mut().zip(&values) {
            *out = limb.reduce_wide((value << (64 - bits)) as i64 >> (64 - bits));
        }
    }
}

/// Replaces `c1` (coefficients as representatives of limb `index`, in `(−q, q)`) by `c1·s`, in `(−q, q)`.
/// `scratch`: n values, wiped by the caller with the rest of its scratch.
pub fn multiply_by_secret(index: usize, key: &SecretKey, c1: &mut [i32], scratch: &mut [i32]) {
    let Some(limb) = LIMBS.get(index) else { return };
    key.expand(limb, scratch);
    limb.forward(c1);
    for (x, &s) in c1.iter_mut().zip(scratch.iter()) {
        *x = limb.mul(*x, s);
    }
    limb.inverse(c1);
}

/// The signed integer with residues `r[i] mod q_i`, each in `(−q, q)`, modulo 2^64 (Garner, centred digits).
#[must_use]
pub fn lift(r: [i32; 3], limbs: usize) -> u64 {
    let [l0, l1, l2, _] = &LIMBS;
    let centre = |limb: &Limb, x: i32| limb.centre(limb.canonical(limb.reduce(x)));
    let d0 = centre(l0, r[0]);
    let d1 = centre(l1, l1.mul(l1.reduce(r[1] - d0), INVERSES[0]));
    let low = i64::from(d0).wrapping_add(i64::from(d1).wrapping_mul(i64::from(l0.q)));
    if limbs == 2 {
        return low as u64;
    }
    let d2 = centre(l2, l2.mul(l2.reduce(l2.reduce(r[2]) - l2.reduce_wide(low)), INVERSES[1]));
    let q01 = i64::from(l0.q).wrapping_mul(i64::from(l1.q));
    low.wrapping_add(i64::from(d2).wrapping_mul(q01)) as u64
}

/// `q_0^-1 mod q_1` and `(q_0·q_1)^-1 mod q_2`, Montgomery form.
const INVERSES: [i32; 2] = {
    let [q0, q1, q2, _] = PRIMES;
    [montgomery_inverse(q0 as u64, q1), montgomery_inverse(q0 as u64 * q1 as u64, q2)]
};

/// The plaintext of one coefficient in `[0, 2^ℓ)`: `c0` has ℓ+4 bits, `product = (c1·s)` modulo 2^(ℓ+9).
#[inline]
#[must_use]
pub fn round(ring: u32, c0: u64, product: u64) -> u64 {
    let phase = (c0 << (C1_EXTRA - C0_EXTRA)).wrapping_add(product);
    (phase.wrapping_add(1 << (C1_EXTRA - 1)) >> C1_EXTRA) & ((1 << ring) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lift_is_the_chinese_remainder() {
        let residues = |x: i128| {
            let mut r = [0; 3];
            for (r, limb) in r.iter_mut().zip(&LIMBS) {
                *r = (x % i128::from(limb.q)) as i32;
            }
            r
        };
        for x in [0, 1, -1, 1 << 52, -(1 << 52), (1 << 52) + (1 << 51), 0x1234_5678_9abc] {
            assert_eq!(lift(residues(x), 2), x as u64, "{x}");
        }
        for x in [0, -1, 1 << 63, -(1 << 64), (1 << 77) + 12345, -(1 << 77) - 999] {
            assert_eq!(lift(residues(x), 3), x as u64, "{x}");
        }
    }
}
