//! Integers of any width up to 64 bits, packed little-endian, the first in the lowest bits. A run is padded with zero bits to a byte.

use crate::params::LIMB_BITS;

/// Values packed or unpacked at a time: 64 values of b bits are 8·b bytes exactly.
pub const GROUP: usize = 64;

/// Bytes of `count` values of `bits` bits.
#[must_use]
pub const fn packed_len(count: u64, bits: u32) -> u64 {
    (count * bits as u64).div_ceil(8)
}

/// Packs `values` (each below `2^bits`) into `out`, which has [`packed_len`] bytes.
pub fn pack(values: &[u64], bits: u32, out: &mut [u8]) {
    match bits {
        LIMB_BITS => pack_with(values, LIMB_BITS, out),
        _ => pack_with(values, bits, out),
    }
}

/// [`pack`], compiled for a width that is known.
#[inline(always)]
fn pack_with(values: &[u64], bits: u32, mut out: &mut [u8]) {
    let (mut buffer, mut filled) = (0, 0);
    for &value in values {
        debug_assert!(bits == 64 || value >> bits == 0);
        buffer |= value << filled;
        filled += bits;
        if filled >= u64::BITS {
            if let Some((word, rest)) = core::mem::take(&mut out).split_first_chunk_mut() {
                *word = buffer.to_le_bytes();
                out = rest;
            }
            filled -= u64::BITS;
            // A shift by bits − filled, which may be 64.
            buffer = value >> 1 >> (bits - filled - 1);
        }
    }
    for (to, from) in out.iter_mut().zip(buffer.to_le_bytes()) {
        *to = from;
    }
}

/// Unpacks `values.len()` values. Returns whether the padding is zero, as an honest sender leaves it.
#[must_use]
pub fn unpack(bytes: &[u8], bits: u32, values: &mut [u64]) -> bool {
    match bits {
        LIMB_BITS => unpack_with(bytes, LIMB_BITS, values),
        _ => unpack_with(bytes, bits, values),
    }
}

/// [`unpack`], compiled for a width that is known.
#[inline(always)]
fn unpack_with(bytes: &[u8], bits: u32, values: &mut [u64]) -> bool {
    let mask = u64::MAX >> (u64::BITS - bits);
    let mut at = 0;
    for value in values {
        let (first, shift) = (at as usize / 8, at % 8);
        *value = (word(bytes, first) >> shift) & mask;
        if bits + shift > u64::BITS {
            *value |= word(bytes, first + 8) << (u64::BITS - shift) & mask;
        }
        at += bits;
    }
    let padding = bytes.get(at as usize / 8..).unwrap_or_default();
    padding.first().is_none_or(|byte| byte >> (at % 8) == 0) && padding.iter().skip(1).all(|&byte| byte == 0)
}

/// Eight bytes from `first` on, little-endian; zeros behind the end.
#[inline(always)]
fn word(bytes: &[u8], first: usize) -> u64 {
    let rest = bytes.get(first..).unwrap_or_default();
    match rest.first_chunk() {
        Some(&eight) => u64::from_le_bytes(eight),
        None => rest.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)),
    }
}

/// As [`unpack`], with a width for each value.
#[must_use]
#[inline]
pub fn unpack_widths(bytes: &[u8], width: impl Fn(usize) -> u32, values: &mut [u64]) -> bool {
    let (mut buffer, mut filled) = (0_u128, 0);
    let mut bytes = bytes.iter();
    for (i, value) in values.iter_mut().enumerate() {
        let bits = width(i);
        while filled < bits {
            buffer |= u128::from(bytes.next().copied().unwrap_or(0)) << filled;
            filled += 8;
        }
        *value = buffer as u64 & (u64::MAX >> (64 - bits));
        buffer >>= bits;
        filled -= bits;
    }
    buffer == 0 && bytes.all(|&b| b == 0)
}

/// A run of values of any widths.
#[derive(Clone, Copy, Debug, Default)]
pub struct Packer {
    buffer: u128,
    filled: u32,
}

impl Packer {
    /// Appends `value < 2^bits` and hands out every finished byte.
    #[inline]
    pub fn push(&mut self, value: u64, bits: u32, mut each: impl FnMut(u8)) {
        self.buffer |= u128::from(value) << self.filled;
        self.filled += bits;
        while self.filled >= 8 {
            each(self.buffer as u8);
            self.buffer >>= 8;
            self.filled -= 8;
        }
    }

    /// Hands out the last, padded byte if there is one.
    pub fn finish(self, mut each: impl FnMut(u8)) {
        if self.filled > 0 {
            each(self.buffer as u8);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    #[test]
    fn round_trips_at_every_width_and_length() {
        for bits in 1..=64 {
            for count in [0, 1, 7, 8, 63, 64] {
                let mask = u64::MAX >> (64 - bits);
                let values: std::vec::Vec<u64> = (0..count).map(|i| 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(i + 1) & mask).collect();
                let mut bytes = vec![0xff; packed_len(count, bits) as usize];
                pack(&values, bits, &mut bytes);
                let mut back = vec![0; values.len()];
                assert!(unpack(&bytes, bits, &mut back));
                assert_eq!(back, values);
            }
        }
    }

    #[test]
    fn padding_must_be_zero() {
        let mut values = [0];
        assert!(unpack(&[0b0000_0111], 3, &mut values));
        assert!(!unpack(&[0b0000_1111], 3, &mut values));
    }
}
