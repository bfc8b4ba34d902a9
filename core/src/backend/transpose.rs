//! Transpose of a 128 × 128 bit matrix, in portable code that vectorises; compiled for AVX2, too.

#![allow(unsafe_code)]

use crate::block::Block;

/// Bit `c` of row `r` becomes bit `r` of row `c`. In place, in constant time.
pub fn transpose(rows: &mut [Block; 128]) {
    #[cfg(all(target_arch = "x86_64", not(feature = "force-portable")))]
    if avx2::get() {
        // SAFETY: the CPU has AVX2.
        return unsafe { with_avx2(rows) };
    }
    portable(rows);
}

#[cfg(all(target_arch = "x86_64", not(feature = "force-portable")))]
cpufeatures::new!(avx2, "avx2");

#[cfg(all(target_arch = "x86_64", not(feature = "force-portable")))]
#[target_feature(enable = "avx2")]
fn with_avx2(rows: &mut [Block; 128]) {
    portable(rows);
}

/// Seven rounds swap the off-diagonal squares of side 64, 32, … 1 (Knuth, TAOCP 4A, §7.1.3).
#[inline(always)]
fn portable(rows: &mut [Block; 128]) {
    let (top, bottom) = rows.split_at_mut(64);
    for (a, b) in top.iter_mut().zip(bottom) {
        let swap = (*a >> 64 ^ *b) & u128::from(u64::MAX);
        *a ^= swap << 64;
        *b ^= swap;
    }
    // Smaller squares stay within a word, and both words of a row are treated alike: u64
    // vectorises, u128 does not.
    let words: &mut [u64] = bytemuck::cast_slice_mut(rows.as_mut_slice());
    swap_squares::<32>(words, 0x0000_0000_ffff_ffff);
    swap_squares::<16>(words, 0x0000_ffff_0000_ffff);
    swap_squares::<8>(words, 0x00ff_00ff_00ff_00ff);
    swap_squares::<4>(words, 0x0f0f_0f0f_0f0f_0f0f);
    swap_squares::<2>(words, 0x3333_3333_3333_3333);
    swap_squares::<1>(words, 0x5555_5555_5555_5555);
}

/// One round for squares of side `S`; `low` marks the columns of the left squares. Two words per
/// row.
#[inline(always)]
fn swap_squares<const S: usize>(words: &mut [u64], low: u64) {
    for pair in words.chunks_exact_mut(4 * S) {
        let (top, bottom) = pair.split_at_mut(2 * S);
        for (a, b) in top.iter_mut().zip(bottom) {
            let swap = (*a >> S ^ *b) & low;
            *a ^= swap << S;
            *b ^= swap;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Domain, Seed};

    #[test]
    fn agrees_with_the_definition() {
        let mut random = Seed([9; 32]).stream(Domain::Mask, 0);
        for _ in 0..20 {
            let rows: [Block; 128] = core::array::from_fn(|_| random.next_u128());
            let (mut got, mut plain) = (rows, rows);
            transpose(&mut got);
            portable(&mut plain);
            assert_eq!(got, plain);
            for (r, row) in rows.iter().enumerate() {
                for (c, column) in got.iter().enumerate() {
                    assert_eq!(column >> r & 1, row >> c & 1, "row {r}, column {c}");
                }
            }
        }
    }
}
