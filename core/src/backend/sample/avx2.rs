//! The path with AVX2.

use super::{DIGITS, portable};
use core::arch::x86_64::*;

/// As [`super::keep_below_vartime`]: whole vectors as long as all of one are kept.
#[target_feature(enable = "avx2")]
pub(crate) fn keep_below_vartime(words: &mut [i32], bits: u32, bound: i32) -> usize {
    const LANES: usize = 8;
    let (mask, bounds) = (_mm256_set1_epi32((1 << bits) - 1), _mm256_set1_epi32(bound));
    let (mut kept, mut at) = (0, 0);
    while let Some(&eight) = words.get(at..).and_then(|rest| rest.first_chunk::<LANES>()) {
        let x = _mm256_and_si256(bytemuck::must_cast(eight), mask);
        let good = _mm256_movemask_epi8(_mm256_cmpgt_epi32(bounds, x));
        let x: [i32; LANES] = bytemuck::must_cast(x);
        // What is kept never overtakes what is read.
        if let Some(slots) = words.get_mut(kept..).and_then(|rest| rest.first_chunk_mut::<LANES>())
        {
            *slots = x;
            kept +=
                if good == -1 { LANES } else { portable::keep_below_vartime(slots, bits, bound) };
        }
        at += LANES;
    }
    words.copy_within(at.., kept);
    let rest = words.len() - at;
    kept + words
        .get_mut(kept..kept + rest)
        .map_or(0, |rest| portable::keep_below_vartime(rest, bits, bound))
}

/// As [`super::ternary`]: four words at a time.
#[target_feature(enable = "avx2")]
pub(crate) fn ternary(words: &[[u32; 2]], out: &mut [i8]) {
    const THIRD: u64 = u64::MAX / 3;
    const SIGN: u64 = 1 << 63;
    // Comparisons are signed: a word is held with its top bit flipped, which a multiplication by
    // three leaves flipped.
    let (one, two) = (
        _mm256_set1_epi64x((THIRD ^ SIGN) as i64),
        _mm256_set1_epi64x(((2 * THIRD) ^ SIGN) as i64),
    );
    let (fours, rest) = words.as_chunks::<4>();
    let (whole, rest_out) = out.split_at_mut((fours.len() * 4 * DIGITS).min(out.len()));
    for (&four, out) in fours.iter().zip(whole.as_chunks_mut::<{ 4 * DIGITS }>().0) {
        let mut x = _mm256_xor_si256(bytemuck::must_cast(four), _mm256_set1_epi64x(SIGN as i64));
        let mut halves = [_mm256_setzero_si256(); 2];
        for half in &mut halves {
            let mut byte = 0xff_u64;
            for _ in 0..DIGITS / 2 {
                // All bytes of a lane are the digit with its sign changed; one of them is taken.
                let digit = _mm256_add_epi8(_mm256_cmpgt_epi64(x, one), _mm256_cmpgt_epi64(x, two));
                *half = _mm256_or_si256(
                    *half,
                    _mm256_and_si256(digit, _mm256_set1_epi64x(byte as i64)),
                );
                x = _mm256_add_epi64(x, _mm256_add_epi64(x, x));
                byte <<= 8;
            }
            *half = _mm256_sub_epi8(_mm256_set1_epi8(-1), *half);
        }
        let [first, second] = halves;
        let (even, odd) =
            (_mm256_unpacklo_epi64(first, second), _mm256_unpackhi_epi64(first, second));
        *out = bytemuck::must_cast([
            _mm256_permute2x128_si256::<0x20>(even, odd),
            _mm256_permute2x128_si256::<0x31>(even, odd),
        ]);
    }
    portable::ternary(rest, rest_out);
}

/// As [`super::binomial`], with the instruction that counts ones.
#[target_feature(enable = "avx2,popcnt")]
pub(crate) fn binomial(words: &[[u32; 4]], out: &mut [i8]) {
    portable::binomial(words, out);
}
