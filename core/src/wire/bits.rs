//! Integers of any width up to 64 bits, packed little-endian, the first in the lowest bits. A run is padded with zero bits to a byte.

/// Values packed or unpacked at a time: 64 values of b bits are 8·b bytes exactly.
pub const GROUP: usize = 64;

/// Bytes of `count` values of `bits` bits.
#[must_use]
pub const fn packed_len(count: u64, bits: u32) -> u64 {
    (count * bits as u64).div_ceil(8)
}

/// Packs `values` (each below `2^bits`) into `out`, which has [`packed_len`] bytes.
pub fn pack(values: &[u64], bits: u32, out: &mut [u8]) {
    let mut packer = Packer::default();
    let mut bytes = out.iter_mut();
    for &value in values {
        debug_assert!(bits == 64 || value >> bits == 0);
        packer.push(value, bits, |byte| {
            if let Some(slot) = bytes.next() {
                *slot = byte;
            }
        });
    }
    packer.finish(|byte| {
        if let Some(slot) = bytes.next() {
            *slot = byte;
        }
    });
}

/// Unpacks `values.len()` values. Returns whether the padding is zero, as an honest sender leaves it.
#[must_use]
pub fn unpack(bytes: &[u8], bits: u32, values: &mut [u64]) -> bool {
    unpack_widths(bytes, |_| bits, values)
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
