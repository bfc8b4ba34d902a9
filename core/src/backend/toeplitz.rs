//! Sums of Toeplitz matrices of bits times labels: the linear hash of a consistency check.
//!
//! The product of a *multiplier* `χ` of 256 bits and a row `x` of 128 bits is bits 128 … 255 of
//! `χ·x`, polynomials over GF(2): `y[n] = ⊕_j χ[128 + n − j]·x[j]`. For 128 labels it is the
//! product of each of their bit positions: `y_n = ⊕_j χ[128 + n − j]·x_j`. Multipliers are public;
//! time and addresses depend on nothing else.
//!
//! Where the processor multiplies without carries, sums are kept as rows, one for each bit position
//! of the labels; else as labels. Only this file knows.

#![allow(unsafe_code)]
#![expect(clippy::indexing_slicing, reason = "hot; four bits are an index of 16 sums")]

use crate::block::Block;

/// Labels of a group, or sums of such.
type Labels = [Block; 128];

/// The lowest 32 bits first.
pub type Multiplier = [u32; 8];

/// Makes sums of labels, which are the first to be added, times 1.
pub fn start(labels: &mut Labels) {
    #[cfg(all(target_arch = "x86_64", not(feature = "force-portable")))]
    if clmul::get() {
        return super::transpose::transpose(labels);
    }
    let [..] = labels;
}

/// Adds the product of `multiplier` and `labels`.
pub fn add(multiplier: Multiplier, labels: &Labels, sums: &mut Labels) {
    #[cfg(all(target_arch = "x86_64", not(feature = "force-portable")))]
    if clmul::get() {
        let mut rows = *labels;
        super::transpose::transpose(&mut rows);
        // SAFETY: the CPU has the instructions.
        unsafe { without_carries(multiplier, &rows, sums) };
        return zeroize::Zeroize::zeroize(&mut rows);
    }
    portable(multiplier, labels, sums);
}

/// 128 bits of a multiplier from bit `at` on, `at` from 1 to 128.
#[must_use]
pub fn bits(multiplier: Multiplier, at: usize) -> Block {
    (0..4).rev().fold(0, |bits, run| bits << 32 | Block::from(word(&multiplier, at + 32 * run)))
}

/// 32 bits of a multiplier from bit `at` on, zeros behind its end.
fn word(multiplier: &Multiplier, at: usize) -> u32 {
    let words = multiplier.iter().skip(at / 32).take(2);
    let both = words.zip([0, 32]).fold(0, |both, (&word, shift)| both | u64::from(word) << shift);
    (both >> (at % 32)) as u32
}

/// Makes labels of sums.
pub fn finish(sums: &mut Labels) {
    start(sums); // a transpose, or nothing, undoes itself
}

#[cfg(all(target_arch = "x86_64", not(feature = "force-portable")))]
cpufeatures::new!(clmul, "pclmulqdq");

#[cfg(all(target_arch = "x86_64", not(feature = "force-portable")))]
#[target_feature(enable = "pclmulqdq")]
fn without_carries(multiplier: Multiplier, rows: &Labels, sums: &mut Labels) {
    use core::arch::x86_64::{
        __m128i, _mm_clmulepi64_si128, _mm_slli_si128, _mm_srli_si128, _mm_xor_si128,
    };
    use core::mem::transmute;
    // SAFETY: both are 256 bits of which all values are valid.
    let [a, b] = unsafe { transmute::<Multiplier, [__m128i; 2]>(multiplier) };
    for (sum, &row) in sums.iter_mut().zip(rows) {
        // SAFETY: both are 128 bits of which all values are valid.
        let (x, before) =
            unsafe { (transmute::<Block, __m128i>(row), transmute::<Block, __m128i>(*sum)) };
        // The high half of `a·x`, less what the product of the low words has in it, which is none.
        let middle =
            _mm_xor_si128(_mm_clmulepi64_si128::<0x01>(a, x), _mm_clmulepi64_si128::<0x10>(a, x));
        let high = _mm_xor_si128(_mm_clmulepi64_si128::<0x11>(a, x), _mm_srli_si128::<8>(middle));
        // The low half of `b·x`.
        let middle =
            _mm_xor_si128(_mm_clmulepi64_si128::<0x01>(b, x), _mm_clmulepi64_si128::<0x10>(b, x));
        let low = _mm_xor_si128(_mm_clmulepi64_si128::<0x00>(b, x), _mm_slli_si128::<8>(middle));
        let after = _mm_xor_si128(before, _mm_xor_si128(high, low));
        // SAFETY: as above.
        *sum = unsafe { transmute::<__m128i, Block>(after) };
    }
}

/// Four labels at a time: four bits of the multiplier choose one of their 16 sums.
fn portable(multiplier: Multiplier, labels: &Labels, sums: &mut Labels) {
    for (first, four) in (0..).step_by(4).zip(labels.as_chunks::<4>().0) {
        // Bit `b` of a choice stands for label `3 − b` of the four.
        let mut all = [0; 16];
        for (b, label) in four.iter().rev().enumerate() {
            let (known, fresh) = all.split_at_mut(1 << b);
            fresh.iter_mut().zip(known).for_each(|(to, from)| *to = *from ^ label);
        }
        // Sum `n` takes bits `125 − first + n` and the three above.
        for (run, sums) in sums.as_chunks_mut::<16>().0.iter_mut().enumerate() {
            let mut bits = word(&multiplier, 125 - first + 16 * run);
            for sum in sums {
                *sum ^= all[(bits & 15) as usize];
                bits >>= 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Domain, Seed};

    /// The product of a row, bit by bit.
    fn product(multiplier: Multiplier, row: Block) -> Block {
        let bit = |i: usize| multiplier[i / 32] >> (i % 32) & 1;
        (0..128).fold(0, |product, n| {
            let sum = (0..128).filter(|j| row >> j & 1 == 1).map(|j| bit(128 + n - j));
            product | Block::from(sum.fold(0, |sum, bit| sum ^ bit)) << n
        })
    }

    #[test]
    fn every_path_is_the_definition() {
        let mut random = Seed([31; 32]).stream(Domain::Mask, 0);
        let first: Labels = core::array::from_fn(|_| random.next_u128());
        let (mut sums, mut by_labels, mut want) = (first, first, first);
        start(&mut sums);
        for special in [[0; 8], [u32::MAX; 8], [1, 0, 0, 0, 0, 0, 0, 1 << 31]]
            .into_iter()
            .map(Some)
            .chain([None; 5])
        {
            let multiplier = special.unwrap_or_else(|| core::array::from_fn(|_| random.next_u32()));
            let labels: Labels = core::array::from_fn(|_| random.next_u128());
            add(multiplier, &labels, &mut sums);
            portable(multiplier, &labels, &mut by_labels);
            for position in 0..128 {
                let row = (0..128).fold(0, |row, j| row | (labels[j] >> position & 1) << j);
                let product = product(multiplier, row);
                (0..128).for_each(|n| want[n] ^= (product >> n & 1) << position);
            }
        }
        finish(&mut sums);
        assert!(sums == want && by_labels == want);
    }
}
