//! Integers of any width up to 64 bits, packed little-endian, the first in the lowest bits. A run
//! is padded with zero bits to a byte.

use crate::{Error, Result};

/// Values packed or unpacked at a time, a multiple of eight: so a group takes whole bytes. Small
/// machines keep it on their stack.
pub const GROUP: usize = if cfg!(target_pointer_width = "64") { 64 } else { 16 };

/// Bytes of `count` values of `bits` bits.
#[must_use]
pub const fn packed_len(count: u64, bits: u32) -> u64 {
    (count * bits as u64).div_ceil(8)
}

/// What a machine shifts at a time.
#[cfg(target_pointer_width = "64")]
type Word = u64;
/// Shifts of 64 bits cost several instructions there.
#[cfg(not(target_pointer_width = "64"))]
type Word = u32;

/// Packs `values` (each below `2^bits`) into `out`, which has [`packed_len`] bytes.
///
/// # Errors
/// [`Error::Internal`] if it has another length.
pub fn pack(values: &[u64], bits: u32, out: &mut [u8]) -> Result<()> {
    let mut packer = Packer::new(out);
    for &value in values {
        packer.push(value, bits);
    }
    packer.finish()
}

/// Unpacks `values.len()` values. Returns whether all were there and the padding is zero, as an
/// honest sender leaves it.
#[must_use]
pub fn unpack(bytes: &[u8], bits: u32, values: &mut [u64]) -> bool {
    unpack_widths(bytes, |_| bits, values)
}

/// As [`unpack`], with a width for each value, 1 to 64.
#[must_use]
#[inline]
pub fn unpack_widths(bytes: &[u8], width: impl Fn(usize) -> u32, values: &mut [u64]) -> bool {
    let mut reader = Reader::new(bytes);
    for (i, value) in values.iter_mut().enumerate() {
        *value = reader.take(width(i));
    }
    reader.finish()
}

/// A run of values of any widths, written into bytes which it must fill: [`Packer::finish`] tells.
#[derive(Debug)]
pub struct Packer<'a> {
    out: &'a mut [u8],
    word: Word,
    filled: u32,
    /// Whether a value did not fit.
    beyond: bool,
}

impl<'a> Packer<'a> {
    /// Starts at the front of `out`.
    #[must_use]
    pub const fn new(out: &'a mut [u8]) -> Self {
        Self { out, word: 0, filled: 0, beyond: false }
    }

    /// Appends `value < 2^bits`, `bits` 1 to 64.
    #[inline]
    pub fn push(&mut self, value: u64, bits: u32) {
        debug_assert!(bits == 64 || value >> bits == 0);
        if bits <= Word::BITS {
            self.push_word(value as Word, bits);
        } else {
            self.push_word(value as Word, Word::BITS);
            self.push_word((value >> (Word::BITS - 1) >> 1) as Word, bits - Word::BITS);
        }
    }

    #[inline]
    fn push_word(&mut self, value: Word, bits: u32) {
        self.word |= value << self.filled;
        let filled = self.filled + bits;
        if filled < Word::BITS {
            self.filled = filled;
            return;
        }
        self.write_word();
        // Twice: a shift by the whole width is none.
        self.word = value >> 1 >> (Word::BITS - 1 - self.filled);
        self.filled = filled - Word::BITS;
    }

    #[inline]
    fn write_word(&mut self) {
        match core::mem::take(&mut self.out).split_first_chunk_mut() {
            Some((slot, rest)) => {
                *slot = self.word.to_le_bytes();
                self.out = rest;
            }
            None => self.beyond = true,
        }
    }

    /// Writes the last, padded bytes if there are any.
    ///
    /// # Errors
    /// [`Error::Internal`] if the values did not fill the bytes, or not all of them fit.
    pub fn finish(self) -> Result<()> {
        let rest = self.filled.div_ceil(8) as usize;
        if self.beyond || self.out.len() != rest {
            return Err(Error::Internal);
        }
        for (to, from) in self.out.iter_mut().zip(self.word.to_le_bytes()) {
            *to = from;
        }
        Ok(())
    }
}

/// Reads a run of values. Behind the end it gives zeros; [`Reader::finish`] tells.
#[derive(Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    /// Bits that were read from `bytes` and not yet taken, `remaining` of them.
    word: Word,
    remaining: u32,
    /// Bits of the last word that lie behind the end of the bytes.
    behind: u32,
}

impl<'a> Reader<'a> {
    /// Starts at the front of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, word: 0, remaining: 0, behind: 0 }
    }

    /// Whether all values that were taken were there, and what is left is zero, as an honest sender
    /// leaves the padding.
    #[must_use]
    pub fn finish(self) -> bool {
        self.remaining >= self.behind && self.word == 0 && self.bytes.iter().all(|&b| b == 0)
    }

    /// The next value, of 1 to 64 bits.
    #[inline]
    #[allow(clippy::useless_conversion, reason = "words are narrower on small machines")]
    pub fn take(&mut self, bits: u32) -> u64 {
        if bits <= Word::BITS {
            return u64::from(self.take_word(bits));
        }
        let low = u64::from(self.take_word(Word::BITS));
        low | u64::from(self.take_word(bits - Word::BITS)) << (Word::BITS - 1) << 1
    }

    #[inline]
    fn take_word(&mut self, bits: u32) -> Word {
        let mask = Word::MAX >> (Word::BITS - bits);
        if bits <= self.remaining {
            let value = self.word & mask;
            self.remaining -= bits;
            self.word = self.word >> 1 >> (bits - 1);
            return value;
        }
        let next = self.next();
        let value = (self.word | next << self.remaining) & mask;
        let taken = bits - self.remaining;
        self.word = next >> 1 >> (taken - 1);
        self.remaining = Word::BITS - taken;
        value
    }

    #[inline]
    fn next(&mut self) -> Word {
        if let Some((bytes, rest)) = self.bytes.split_first_chunk() {
            self.bytes = rest;
            return Word::from_le_bytes(*bytes);
        }
        // The last bytes do not fill a word; without any, all of it lies behind them.
        let last = core::mem::take(&mut self.bytes);
        self.behind = Word::BITS - 8 * last.len() as u32;
        last.iter().rev().fold(0, |word, &byte| word << 8 | Word::from(byte))
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
                let values: std::vec::Vec<u64> = (0..count)
                    .map(|i| 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(i + 1) & mask)
                    .collect();
                let mut bytes = vec![0xff; packed_len(count, bits) as usize];
                pack(&values, bits, &mut bytes).unwrap();
                let mut back = vec![0; values.len()];
                assert!(unpack(&bytes, bits, &mut back));
                assert_eq!(back, values);
            }
        }
    }

    #[test]
    fn values_must_fill_the_bytes() {
        for bits in 1..=64 {
            for count in [1, 7, 8, 9, 63] {
                let values = vec![1; count];
                let right = packed_len(count as u64, bits) as usize;
                for length in [0, right - 1, right, right + 1, right + 8] {
                    let packed = pack(&values, bits, &mut vec![0xff; length]);
                    let wanted = if length == right { Ok(()) } else { Err(Error::Internal) };
                    assert_eq!(packed, wanted, "{count} of {bits} bits in {length} bytes");
                }
            }
        }
    }

    /// However short the bytes, and with zeros only, as which missing values are read.
    #[test]
    fn values_behind_the_end_are_told() {
        for bits in 1..=64 {
            for count in 1..40 {
                for length in 0..packed_len(count, bits) + 10 {
                    let mut values = vec![0; count as usize];
                    let there = unpack(&vec![0; length as usize], bits, &mut values);
                    assert_eq!(there, count * u64::from(bits) <= 8 * length, "{count} of {bits}");
                }
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
