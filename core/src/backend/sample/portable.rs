//! The twin without vectors.

use super::{DIGITS, EACH};
use crate::params::CBD;

/// As [`super::keep_below_vartime`].
pub fn keep_below_vartime(words: &mut [i32], bits: u32, bound: i32) -> usize {
    let mut kept = 0;
    for i in 0..words.len() {
        let x = words.get(i).map_or(0, |x| x & ((1 << bits) - 1));
        if let Some(slot) = words.get_mut(kept) {
            *slot = x;
        }
        kept += usize::from(x < bound);
    }
    kept
}

/// As [`super::ternary`].
pub fn ternary(words: &[u64], out: &mut [i8]) {
    for (&word, out) in words.iter().zip(out.as_chunks_mut::<DIGITS>().0) {
        let mut fraction = word;
        for x in out {
            *x = digit(&mut fraction);
        }
    }
}

/// The next digit of a fraction, less 1.
#[inline(always)]
pub(crate) fn digit(fraction: &mut u64) -> i8 {
    // Times three in words of 32 bits: what carries out of the top is the digit.
    let low = (*fraction & 0xffff_ffff) * 3;
    let high = (*fraction >> 32) * 3 + (low >> 32);
    *fraction = high << 32 | (low & 0xffff_ffff);
    (high >> 32) as i8 - 1
}

/// As [`super::binomial`].
#[inline(always)]
pub fn binomial(words: &[[u64; 2]], out: &mut [i8]) {
    for (&word, out) in words.iter().zip(out.as_chunks_mut::<EACH>().0) {
        let mut coins = word;
        for x in out {
            *x = heads(&mut coins);
        }
    }
}

/// The number of heads among the next coins, less half of them.
#[inline(always)]
pub(crate) fn heads([low, high]: &mut [u64; 2]) -> i8 {
    const COINS: u32 = 2 * CBD;
    let heads = (*low & ((1 << COINS) - 1)).count_ones();
    (*low, *high) = (*low >> COINS | *high << (64 - COINS), *high >> COINS);
    heads as i8 - CBD as i8
}
