//! Decryption of a rescaled ciphertext: `c1·s` exactly, over the integers. Where few coefficients
//! of it are wanted, each is an inner product with the small secret; where many are, the product of
//! polynomials is made by transforms modulo two or three limbs.

use super::encrypt::{SecretKey, check, check_degree};
use crate::backend::{self, matrix::Weights};
use crate::lattice::noise::{C0_EXTRA, C1_EXTRA};
use crate::params::PRIMES;
use crate::ring::{LIMBS, Limb, montgomery_inverse};
use crate::wire::{GROUP, packed_len, unpack};
use crate::{Error, Result};

/// Up to this many results, inner products cost less than transforms: `n` additions each against
/// `9·log2(n)·n/2` butterflies or more.
pub const FEW: usize = 64;

/// Numbers of an unfolded secret of degree n.
#[must_use]
pub const fn unfolded(n: usize) -> usize {
    2 * n
}

/// The secret backwards, and once more with its sign changed: `X^n = −1`, so coefficient `k` of
/// `c1·s` is `Σ_j c1[j]·out[n − 1 − k + j]`.
///
/// # Errors
/// [`Error::Length`] unless `out` has [`unfolded`] numbers.
pub fn unfold(key: &SecretKey, out: &mut [i8]) -> Result<()> {
    let (positive, negative) = out.split_at_mut(out.len() / 2);
    check(positive.len(), negative.len())?;
    key.coefficients(positive.len())?.fill(positive)?;
    positive.reverse();
    for (n, p) in negative.iter_mut().zip(positive) {
        *n = -*p;
    }
    Ok(())
}

/// Where the factors of a coefficient of `c1·s` begin in what [`unfold`] makes.
///
/// # Errors
/// [`Error::Internal`] if the coefficient is not below n.
pub fn row(n: usize, coefficient: usize) -> Result<u16> {
    let row = (n - 1).checked_sub(coefficient).ok_or(Error::Internal)?;
    Ok(row as u16) // below n
}

/// Adds to `sums[i]` the part that the coefficients `first..first + c1.len()` of `c1` have in the
/// coefficient of `c1·s` that `rows[i]` belongs to, modulo `2^bits`; higher bits of the sums are
/// left undefined. `unfolded` is [`unfold`]'s, rows are [`row`]'s.
///
/// # Errors
/// [`Error::Internal`] if a length is wrong, or a row is not whole.
pub fn add_products(
    unfolded: &[i8],
    bits: u32,
    first: usize,
    c1: &[u64],
    rows: &[u16],
    sums: &mut [u64],
) -> Result<()> {
    if rows.len() != sums.len() {
        return Err(Error::Internal);
    }
    let rows = rows.iter().map(|&row| usize::from(row) + first);
    backend::matrix::add_rows(Weights::Narrow(unfolded), bits, rows, c1, sums)
}

/// Limbs that hold `c1·s` exactly, for signed `c1` of degree n and `bits` bits: `n·2^(bits−1)` must
/// stay below half their product.
#[must_use]
pub const fn limbs(n: usize, bits: u32) -> usize {
    // Two are above 2^52.99, three above 2^79.99.
    if bits + n.ilog2() <= 52 { 2 } else { 3 }
}

/// Unpacks `c1`, `bits` bits for each coefficient read signed, into representatives of limb `index`
/// in `(−q, q)`.
///
/// # Errors
/// [`Error::Length`] unless these are n coefficients, [`Error::Internal`] if there is no such limb.
pub fn load(index: usize, packed: &[u8], bits: u32, out: &mut [i32]) -> Result<()> {
    let limb = LIMBS.get(index).ok_or(Error::Internal)?;
    check_degree(out.len())?;
    check(packed_len(out.len() as u64, bits) as usize, packed.len())?;
    let group_bytes = packed_len(GROUP as u64, bits) as usize;
    let mut values = [0; GROUP];
    for (out, packed) in out.chunks_exact_mut(GROUP).zip(packed.chunks_exact(group_bytes)) {
        if !unpack(packed, bits, &mut values) {
            return Err(Error::Internal); // a group takes whole bytes, without padding
        }
        backend::limb::reduce_signed(limb, bits, &values, out);
    }
    Ok(())
}

/// Replaces `c1` (coefficients as representatives of limb `index`, in `(−q, q)`) by `c1·s`, in
/// `(−q, q)`. `secret` is [`SecretKey::expand`] for this limb.
///
/// # Errors
/// [`Error::Length`] unless both have n values, [`Error::Internal`] if there is no such limb.
pub fn multiply_by_secret(index: usize, secret: &[i32], c1: &mut [i32]) -> Result<()> {
    let limb = LIMBS.get(index).ok_or(Error::Internal)?;
    check_degree(c1.len())?;
    check(c1.len(), secret.len())?;
    limb.forward(c1);
    backend::limb::multiply(limb, c1, secret);
    limb.inverse(c1);
    Ok(())
}

/// The signed integer with residues `r[i] mod q_i`, each in `(−q, q)`, modulo 2^64 (Garner, centred
/// digits).
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

/// The plaintext of one coefficient in `[0, 2^bits)`: `c0` has `bits + 4` bits, `product = (c1·s)`
/// modulo `2^(bits+9)`.
#[inline]
#[must_use]
pub fn round(bits: u32, c0: u64, product: u64) -> u64 {
    let phase = (c0 << (C1_EXTRA - C0_EXTRA)).wrapping_add(product);
    (phase.wrapping_add(1 << (C1_EXTRA - 1)) >> C1_EXTRA) & ((1 << bits) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::{N, SMALL_N};
    use crate::rng::{Domain, Seed};
    use crate::wire::pack;

    #[test]
    fn lift_is_the_chinese_remainder() {
        let residues = |x: i128| {
            let mut r = [0; 3];
            for (r, limb) in r.iter_mut().zip(&LIMBS) {
                *r = (x % i128::from(limb.q)) as i32;
            }
            r
        };
        for x in [0, 1, -1, 1 << 51, -(1 << 51), (1 << 51) + (1 << 50), 0x1234_5678_9abc] {
            assert_eq!(lift(residues(x), 2), x as u64, "{x}");
        }
        for x in [0, -1, 1 << 63, -(1 << 64), (1 << 77) + 12345, -(1 << 77) - 999] {
            assert_eq!(lift(residues(x), 3), x as u64, "{x}");
        }
    }

    #[test]
    fn inner_products_are_coefficients_of_the_product_of_polynomials() {
        let key = SecretKey::new(Seed([5; 32]));
        for n in [N, SMALL_N] {
            let mut secret = std::vec![0; n];
            let mut own = std::vec![0; unfolded(n)];
            unfold(&key, &mut own).unwrap();
            let places = [0, 1, 63, 64, 2047, n - 2, n - 1];
            let rows = places.map(|place| row(n, place).unwrap());
            for bits in [17, 31, 32, 33, 40, 41, 42, 53, 54] {
                let mut random = Seed([bits as u8; 32]).stream(Domain::Mask, 0);
                let c1: std::vec::Vec<u64> =
                    (0..n).map(|_| random.next_u64() >> (64 - bits)).collect();
                let mut packed = std::vec![0; packed_len(n as u64, bits) as usize];
                pack(&c1, bits, &mut packed).unwrap();
                let mut residues = [[0; 3]; 7];
                for index in 0..limbs(n, bits) {
                    let mut poly = std::vec![0; n];
                    key.expand(&LIMBS[index], &mut secret).unwrap();
                    load(index, &packed, bits, &mut poly).unwrap();
                    multiply_by_secret(index, &secret, &mut poly).unwrap();
                    residues.iter_mut().zip(places).for_each(|(r, place)| r[index] = poly[place]);
                }
                // However the coefficients arrive.
                for piece in [GROUP, 7] {
                    let mut sums = [0; 7];
                    for (i, c1) in c1.chunks(piece).enumerate() {
                        add_products(&own, bits, i * piece, c1, &rows, &mut sums).unwrap();
                    }
                    for (sum, residue) in sums.iter().zip(residues) {
                        let exact = lift(residue, limbs(n, bits));
                        assert_eq!((sum ^ exact) << (64 - bits), 0, "{n} {bits} bits");
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_short_is_an_error() {
        let key = SecretKey::new(Seed([5; 32]));
        let most = Err(Error::Length { need: N });
        for n in [N, SMALL_N] {
            let (mut poly, mut own) = (std::vec![0; n], std::vec![0; unfolded(n)]);
            let (need, bytes) = (packed_len(n as u64, 20) as usize, std::vec![0; 3 * n]);
            for got in [0, n / 2, unfolded(n) - 2] {
                assert_eq!(unfold(&key, &mut own[..got]), most);
            }
            let odd = Err(Error::Length { need: n - 1 });
            assert_eq!(unfold(&key, &mut own[..unfolded(n) - 1]), odd);
            for got in [0, need - 1, need + 1] {
                let length = Err(Error::Length { need });
                assert_eq!(load(0, &bytes[..got], 20, &mut poly), length);
            }
            assert_eq!(load(0, &bytes[..need], 20, &mut poly[1..]), most);
            assert_eq!(load(4, &bytes[..need], 20, &mut poly), Err(Error::Internal));
            let secret = poly.clone();
            let length = Err(Error::Length { need: n });
            assert_eq!(multiply_by_secret(0, &secret[1..], &mut poly), length);
            assert_eq!(multiply_by_secret(0, &secret, &mut poly[1..]), most);
            assert_eq!(multiply_by_secret(4, &secret, &mut poly), Err(Error::Internal));
            assert_eq!((row(n, 0), row(n, n - 1)), (Ok(n as u16 - 1), Ok(0)));
            assert_eq!(row(n, n), Err(Error::Internal));
            let last = n - GROUP;
            for (row, first, sums, right) in [
                (n - 1, last, 1, true),
                (n + 1, last, 1, false),
                (n - 1, last + 2, 1, false),
                (0, 0, 0, false),
                (0, 0, 2, false),
            ] {
                let (rows, sums) = ([row as u16], &mut [0; 2][..sums]);
                let wanted = if right { Ok(()) } else { Err(Error::Internal) };
                let done = add_products(&own, 20, first, &[0; GROUP], &rows, sums);
                assert_eq!(done, wanted);
            }
        }
    }
}
