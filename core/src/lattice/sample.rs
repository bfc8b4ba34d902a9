//! Samplers. Secret ones take a fixed number of bytes and no branch.

use crate::params::{CBD, LIMB_BITS};
use crate::ring::Limb;
use crate::rng::Prg;

/// Uniform in `[0, q)` by rejection from 27-bit strings. For public polynomials only: its time depends on its output.
#[inline]
pub fn uniform_vartime(prg: &mut Prg, limb: &Limb) -> i32 {
    loop {
        let x = (prg.next_u32() & ((1 << LIMB_BITS) - 1)) as i32;
        if x < limb.q {
            return x;
        }
    }
}

/// Uniform in `{−1, 0, 1}` up to 2^-32.
#[inline]
pub fn ternary(prg: &mut Prg) -> i32 {
    ((u64::from(prg.next_u32()) * 3) >> 32) as i32 - 1
}

/// Centred binomial with parameter [`CBD`]: 21 coins minus 21 coins, of one 64-bit word.
#[inline]
pub fn noise(prg: &mut Prg) -> i32 {
    const COINS: u64 = (1 << CBD) - 1;
    let x = prg.next_u64();
    (x & COINS).count_ones() as i32 - (x >> CBD & COINS).count_ones() as i32
}

/// Uniform in `[−2^bits, 2^bits)`, `bits < 127`, reduced to a representative of a limb in `(−q, q)`.
#[inline]
pub fn flood(prg: &mut Prg, bits: u32, limb: &Limb) -> i32 {
    let x = (prg.next_u128() & ((2 << bits) - 1)) as i128 - (1 << bits);
    // Horner in 32-bit words: Montgomery form multiplies by 2^32. Words are taken as representatives, so each step reduces.
    let word = |i: u32| limb.reduce((x >> (32 * i)) as i32);
    // A word read as i32 is 2^32 too small when its top bit is set: the carry goes into the next word.
    let carry = |i: u32| ((x >> (32 * i + 31)) & 1) as i32;
    let top = (x >> 96) as i32 + carry(2);
    [word(2) + carry(1), word(1) + carry(0), word(0)].into_iter().fold(limb.reduce(top), |sum, w| limb.reduce(limb.to_montgomery(sum) + w))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::LIMBS;
    use crate::rng::{Domain, Seed};

    #[test]
    fn flooding_is_the_same_integer_in_every_limb() {
        for bits in [20, 58, 62, 90, 100] {
            let mut exact = Seed([9; 32]).stream(Domain::Flood, 0);
            let mut prgs: std::vec::Vec<_> = LIMBS.iter().map(|_| Seed([9; 32]).stream(Domain::Flood, 0)).collect();
            for _ in 0..500 {
                let x = (exact.next_u128() & ((2 << bits) - 1)) as i128 - (1 << bits);
                for (limb, prg) in LIMBS.iter().zip(&mut prgs) {
                    let r = flood(prg, bits, limb);
                    assert!(r.abs() < limb.q);
                    assert_eq!((i128::from(r) - x) % i128::from(limb.q), 0);
                }
            }
        }
    }

    #[test]
    fn noise_has_the_variance_of_the_bound() {
        let mut prg = Seed([1; 32]).stream(Domain::Noise, 0);
        let draws = 100_000;
        let (mut sum, mut squares) = (0_i64, 0_i64);
        for _ in 0..draws {
            let e = i64::from(noise(&mut prg));
            sum += e;
            squares += e * e;
        }
        let variance = squares as f64 / draws as f64;
        assert!((variance - f64::from(CBD) / 2.0).abs() < 0.25 && (sum as f64 / draws as f64).abs() < 0.05);
    }
}
