//! Integers of any width up to 64 bits, packed little-endian, the first in the lowest bits. A run
//! is padded with zero bits to a byte.

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
pub fn pack(values: &[u64], bits: u32, out: &mut [u8]) {
    let mut packer = Packer::new(out);
    for &value in values {
        packer.push(value, bits);
    }
    packer.finish();
}

/// Unpacks `values.len()` values. Returns whether the padding is zero, as an honest sender leaves
/// it.
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

/// A run of values of any widths, written into bytes. What does not fit is left out.
#[derive(Debug)]
pub struct Packer<'a> {
    out: &'a mut [u8],
    word: Word,
    filled: u32,
}

impl<'a> Packer<'a> {
    /// Starts at the front of `out`.
    #[must_use]
    pub const fn new(out: &'a mut [u8]) -> Self {
        Self { out, word: 0, filled: 0 }
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
        if let Some((slot, rest)) = core::mem::take(&mut self.out).split_first_chunk_mut() {
            *slot = self.word.to_le_bytes();
            self.out = rest;
        }
    }

    /// Writes the last, padded bytes if there are any.
    pub fn finish(self) {
        let bytes = self.word.to_le_bytes();
        for (to, from) in self.out.iter_mut().zip(bytes).take(self.filled.div_ceil(8) as usize) {
            *to = from;
        }
    }
}

/// Reads a run of values; behind the end are zeros.
#[derive(Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    /// Bits that were read from `bytes` and not yet taken, `left` of them.
    word: Word,
    left: u32,
}

impl<'a> Reader<'a> {
    /// Starts at the front of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, word: 0, left: 0 }
    }

    /// Whether what is left is zero, as an honest sender leaves the padding.
    #[must_use]
    pub fn finish(self) -> bool {
        self.word == 0 && self.bytes.iter().all(|&b| b == 0)
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
        if bits <= self.left {
            let value = self.word & mask;
            self.left -= bits;
            self.word = self.word >> 1 >> (bits - 1);
            return value;
        }
        let next = self.next();
        let value = (self.word | next << self.left) & mask;
        let taken = bits - self.left;
        self.word = next >> 1 >> (taken - 1);
        self.left = Word::BITS - taken;
        value
    }

    #[inline]
    fn next(&mut self) -> Word {
        if let Some((bytes, rest)) = self.bytes.split_first_chunk() {
            self.bytes = rest;
            return Word::from_le_bytes(*bytes);
        }
        let mut bytes = [0; size_of::<Word>()];
        for (to, from) in bytes.iter_mut().zip(core::mem::take(&mut self.bytes)) {
            *to = *from;
        }
        Word::from_le_bytes(bytes)
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
