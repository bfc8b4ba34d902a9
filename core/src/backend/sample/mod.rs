//! Samples from random words, many at a time. What a word becomes is said in `lattice/sample.rs`.

#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
pub mod portable;

use super::cpu::fastest;

/// Ternary values of 64 bits.
pub(crate) const DIGITS: usize = 16;
/// Centred binomial values of 128 bits.
pub(crate) const EACH: usize = 3;

fastest! {
    /// Takes the lowest `bits` bits of every word and moves those below `bound` to the front, in
    /// order. Returns how many these are. Takes a time that depends on the words.
    pub fn keep_below_vartime(words: &mut [i32], bits: u32, bound: i32) -> usize;

    /// The first 16 digits to base 3 of fractions of `2^64`, each less 1: `DIGITS` for each 64
    /// bits, of which the low word comes first.
    pub fn ternary(words: &[[u32; 2]], out: &mut [i8]);

    /// The number of ones, less 21, of three times 42 of 128 bits, the lowest first: `EACH` for
    /// each 128 bits.
    pub fn binomial(words: &[[u32; 4]], out: &mut [i8]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::{LIMB_BITS, PRIMES};
    use crate::rng::{Domain, Seed};
    use std::vec::Vec;

    /// Random words, among them all bits zero, all bits one, and the edges of thirds.
    fn words(len: usize) -> Vec<u64> {
        let mut random = Seed([6; 32]).stream(Domain::Mask, len as u64);
        let third = u64::MAX / 3;
        let edges =
            [0, u64::MAX, third, third + 1, 2 * third, 2 * third + 1, 1 << 63, (1 << 42) - 1];
        (0..len)
            .map(|i| if i % 3 == 1 { edges[i / 3 % edges.len()] } else { random.next_u64() })
            .collect()
    }

    #[test]
    fn both_paths_agree() {
        for len in (0..40).chain([255, 256, 257, 1000]) {
            let words = words(2 * len);
            let (mut a, mut b) = (std::vec![9; len * DIGITS], std::vec![7; len * DIGITS]);
            ternary(bytemuck::cast_slice(&words[..len]), &mut a);
            portable::ternary(bytemuck::cast_slice(&words[..len]), &mut b);
            assert_eq!(a, b);
            let (mut a, mut b) = (std::vec![9; len * EACH], std::vec![7; len * EACH]);
            binomial(bytemuck::cast_slice(&words), &mut a);
            portable::binomial(bytemuck::cast_slice(&words), &mut b);
            assert_eq!(a, b);
            let limbs = PRIMES.map(|q| q as i32).into_iter().zip(LIMB_BITS);
            for (bound, bits) in limbs.chain([(0, 27), (1 << 26, 27), (1 << 27, 27), (1, 1)]) {
                let mut a: Vec<i32> = words[..len].iter().map(|&x| x as i32).collect();
                let mut b = a.clone();
                let (n, m) = (
                    keep_below_vartime(&mut a, bits, bound),
                    portable::keep_below_vartime(&mut b, bits, bound),
                );
                assert_eq!(a[..n], b[..m], "{bound}, {bits} bits");
                assert!(b[..m].iter().all(|&x| x < bound));
            }
        }
    }
}
