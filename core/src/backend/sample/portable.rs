//! The portable path, without vectors.

use super::{DIGITS, EACH};
use crate::params::CBD;

/// As [`super::keep_below_vartime`].
pub fn keep_below_vartime(words: &mut [i32], bits: u32, bound: i32) -> usize {
    // All of them, almost always.
    let mut below = true;
    for x in words.iter_mut() {
        *x &= (1 << bits) - 1;
        below &= *x < bound;
    }
    if below {
        return words.len();
    }
    let mut kept = 0;
    for i in 0..words.len() {
        let x = words.get(i).copied().unwrap_or(0);
        if let Some(slot) = words.get_mut(kept) {
            *slot = x;
        }
        kept += usize::from(x < bound);
    }
    kept
}

/// As [`super::ternary`].
pub fn ternary(words: &[[u32; 2]], out: &mut [i8]) {
    for (&[low, high], out) in words.iter().zip(out.as_chunks_mut::<DIGITS>().0) {
        let (mut low, mut high) = (u64::from(low), u64::from(high));
        for x in out {
            // Times three in words of 32 bits: what carries out of the top is the digit.
            low *= 3;
            high = high * 3 + (low >> 32);
            *x = (high >> 32) as i8 - 1;
            (low, high) = (low & 0xffff_ffff, high & 0xffff_ffff);
        }
    }
}

/// As [`super::binomial`].
#[inline(always)]
pub fn binomial(words: &[[u32; 4]], out: &mut [i8]) {
    const _: () = assert!(CBD == 21);
    let heads = |x: u32, y: u32| (x.count_ones() + y.count_ones()) as i8 - CBD as i8;
    for (&[a, b, c, d], out) in words.iter().zip(out.as_chunks_mut::<EACH>().0) {
        // Bits 0 to 41, 42 to 83 and 84 to 125.
        *out = [heads(a, b & 0x3ff), heads(b >> 10, c & 0xf_ffff), heads(c >> 20, d & 0x3fff_ffff)];
    }
}
