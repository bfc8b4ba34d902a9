//! What goes over the wire: frames and packed integers. docs/protocol.md describes every message
//! for a third party.
//!
//! A frame is `tag u8 | length u32 | payload | CRC-32`. Both sides know tag and length in advance;
//! the header lets a receiver say what is wrong, the checksum catches damage. Neither replaces a
//! secure channel, see SECURITY.md.
//!
//! The checksum is that of header and payload, with the frame's number (u64) before them unless it
//! is 0: each direction counts its frames from hello and welcome, which are number 0, as is all
//! that comes before. So no frame stands in for another of its kind.

mod bits;

pub use bits::{GROUP, Packer, Reader, pack, packed_len, unpack, unpack_widths};

use crate::error::{Error, Result};
use crate::params::LIMB_BITS;

/// Bytes before the payload.
pub const HEADER: usize = 5;
/// Bytes after the payload.
pub const TRAILER: usize = 4;
/// Bytes of a frame around its payload.
pub const OVERHEAD: usize = HEADER + TRAILER;
/// Most payload of a frame: a longer one is sent in several frames with the same tag, all full but
/// the last.
pub const MAX_PAYLOAD: u64 = u32::MAX as u64;

/// Bytes of a polynomial of degree n with the first `limbs` limbs on the wire.
pub(crate) const fn polynomial_bytes(n: usize, limbs: usize) -> u64 {
    let (mut bytes, mut rest) = (0, LIMB_BITS.as_slice().split_at(limbs).0);
    while let Some((&bits, others)) = rest.split_first() {
        bytes += packed_len(n as u64, bits);
        rest = others;
    }
    bytes
}

/// Bytes of the frames that carry a payload.
pub(crate) const fn framed(payload: u64) -> u64 {
    let frames = if payload <= MAX_PAYLOAD { 1 } else { payload.div_ceil(MAX_PAYLOAD) };
    payload + frames * OVERHEAD as u64
}

/// Kind of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Tag {
    /// Client: version, options, plan digest, nonce, pairing.
    Hello = 1,
    /// Client: asks for the plan before the hello.
    PlanRequest = 2,
    /// Server: the plan.
    Plan = 3,
    /// Server: version, nonce.
    Welcome = 4,
    /// Server: public key and encrypted choice bits of the base OTs.
    ServerKeys = 5,
    /// Client: public key.
    ClientKeys = 6,
    /// Client: base OT answer.
    BaseOt = 7,
    /// Server: set-up is complete.
    Ready = 8,
    /// Client: starts the offline phase of one stock.
    Prepare = 9,
    /// Client: encrypted masks of one linear layer.
    Upload = 10,
    /// Server: encrypted shares of its product.
    Download = 11,
    /// Client: OT corrections for the whole stock.
    Corrections = 12,
    /// Server: garbled tables and product corrections for the whole stock.
    Tables = 13,
    /// Client: its masked input.
    Input = 14,
    /// Server: labels of one garbled layer (streamed: with tables).
    Labels = 15,
    /// Client: output colours of one garbled layer.
    Colours = 16,
    /// Server: masked operand of a square.
    Opening = 17,
    /// Client: its correction of a square.
    Answer = 18,
    /// Server: its share of the result.
    Output = 19,
    /// Client: the session is over.
    Bye = 20,
    /// Client: has kept its half of the pairing; the server may keep the other.
    Keep = 21,
    /// Either: a message of a comparison.
    Compare = 22,
    /// Server: its part of the carries of linear layers.
    Carries = 23,
    /// Either: the session ends with an error code.
    Abort = 255,
}

/// A running CRC-32 (ISO-HDLC: the one of Ethernet and zip).
pub struct Checksum(Running);

#[cfg(not(target_pointer_width = "64"))]
use half_bytes::Running;
#[cfg(target_pointer_width = "64")]
use whole_words::Running;

/// Carry-less multiplication where the CPU has it.
#[cfg(target_pointer_width = "64")]
mod whole_words {
    pub(super) struct Running(crc32fast::Hasher);

    impl Running {
        pub(super) fn new() -> Self {
            Self(crc32fast::Hasher::new())
        }
        pub(super) fn update(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
        pub(super) fn finish(self) -> u32 {
            self.0.finalize()
        }
    }
}

/// Half a byte at a time, with a table of 64 bytes: one of the usual kilobyte is more flash than a
/// device can spare, and going bit by bit takes a sixth of a whole set-up's instructions.
#[cfg(any(not(target_pointer_width = "64"), test))]
mod half_bytes {
    const POLYNOMIAL: u32 = 0xedb8_8320;

    #[expect(clippy::indexing_slicing, reason = "at compile time")]
    static REMAINDERS: [u32; 16] = {
        let mut table = [0; 16];
        let mut i = 0;
        while i < 16 {
            let (mut remainder, mut bit) = (i as u32, 0);
            while bit < 4 {
                remainder = (remainder >> 1) ^ (POLYNOMIAL * (remainder & 1));
                bit += 1;
            }
            table[i] = remainder;
            i += 1;
        }
        table
    };

    /// The remainder of four bits.
    #[expect(clippy::indexing_slicing, reason = "the table has an entry for every four bits")]
    fn remainder(low: u32) -> u32 {
        REMAINDERS[low as usize % 16]
    }

    pub(super) struct Running(u32);

    impl Running {
        pub(super) fn new() -> Self {
            Self(!0)
        }
        pub(super) fn update(&mut self, bytes: &[u8]) {
            for &byte in bytes {
                // Not a loop, which would take as many instructions again.
                let half = self.0 ^ u32::from(byte);
                let half = (half >> 4) ^ remainder(half % 16);
                self.0 = (half >> 4) ^ remainder(half % 16);
            }
        }
        pub(super) fn finish(self) -> u32 {
            !self.0
        }
    }
}

impl Checksum {
    /// The checksum of nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self(Running::new())
    }
    /// The checksum of a frame with this number, so far.
    #[must_use]
    pub fn of_frame(number: u64) -> Self {
        let mut checksum = Self::new();
        if number > 0 {
            checksum.update(&number.to_le_bytes());
        }
        checksum
    }
    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
    /// The checksum, little-endian.
    #[must_use]
    pub fn finish(self) -> [u8; TRAILER] {
        self.0.finish().to_le_bytes()
    }
}

/// Writes a whole frame into `out`. Returns its length. For callers that answer before there is a
/// session, as with a plan.
///
/// # Errors
/// [`Error::Memory`] if `out` is too small, [`Error::Option`] if the payload is longer than a frame
/// can be.
pub fn emit_frame(tag: Tag, payload: &[u8], out: &mut [u8]) -> Result<usize> {
    emit_parts(tag, &[payload], out)
}

/// As [`emit_frame`], with a payload in several parts.
pub(crate) fn emit_parts(tag: Tag, payload: &[&[u8]], out: &mut [u8]) -> Result<usize> {
    let bytes: usize = payload.iter().map(|part| part.len()).sum();
    let need = bytes + OVERHEAD;
    let length = u32::try_from(bytes).map_err(|_| Error::Option)?;
    let out = out.get_mut(..need).ok_or(Error::Memory { need })?;
    let (body, trailer) = out.split_at_mut(need - TRAILER);
    let fields = [tag as u8]
        .into_iter()
        .chain(length.to_le_bytes())
        .chain(payload.iter().flat_map(|part| part.iter().copied()));
    for (to, from) in body.iter_mut().zip(fields) {
        *to = from;
    }
    let mut checksum = Checksum::new();
    checksum.update(body);
    trailer.copy_from_slice(&checksum.finish());
    Ok(need)
}

impl Default for Checksum {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::{half_bytes, whole_words};

    #[test]
    fn half_bytes_make_the_same_checksum() {
        let text: std::vec::Vec<u8> = (0..300_u32).map(|i| (i * i + 7 * i) as u8).collect();
        for (from, to) in [(0, 0), (0, 1), (3, 12), (0, 300), (17, 18)] {
            let (mut one, mut other) = (half_bytes::Running::new(), whole_words::Running::new());
            for part in text[from..to].chunks(7) {
                one.update(part);
                other.update(part);
            }
            assert_eq!(one.finish(), other.finish());
        }
        let mut check = half_bytes::Running::new();
        check.update(b"123456789");
        assert_eq!(check.finish(), 0xcbf4_3926, "the check value of CRC-32/ISO-HDLC");
    }
}
