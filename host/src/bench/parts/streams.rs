//! What every message passes through: randomness, packed integers, checksums.

use super::{Facts, Measure, Needs};
use core::hint::black_box;
use minionn_core::params::{LIMB_BITS, N};
use minionn_core::rng::{Domain, Seed};
use minionn_core::wire::{Checksum, GROUP, pack, packed_len, unpack};

/// Bytes of one run: a limb of a polynomial in memory.
const BYTES: usize = 4 * N;

/// Pseudo-random bytes.
///
/// # Errors
/// Those of `measure`, as everywhere here.
pub fn random(measure: Measure<'_>) -> anyhow::Result<()> {
    let mut bytes = vec![0; BYTES];
    let needs = Needs { bytes: BYTES as u64, ..Needs::default() };
    measure(Facts { what: "pseudo-random bytes, ChaCha20".into(), units: BYTES as u64, unit: "byte", needs }, &mut || {
        Seed([6; 32]).stream(Domain::Mask, 0).fill(black_box(&mut bytes));
        Ok(())
    })
}

/// One limb as it travels, as values of 64 bits and packed.
struct Packed {
    values: Vec<u64>,
    bytes: Vec<u8>,
    group: usize,
}

impl Packed {
    fn new() -> Self {
        let values: Vec<u64> = (0..N as u64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - LIMB_BITS)).collect();
        let mut packed = Self { values, bytes: vec![0; packed_len(N as u64, LIMB_BITS) as usize], group: 0 };
        packed.group = packed.bytes.len() / (N / GROUP);
        packed.pack();
        packed
    }

    fn pack(&mut self) {
        for (values, bytes) in self.values.chunks_exact(GROUP).zip(self.bytes.chunks_exact_mut(self.group)) {
            pack(values, LIMB_BITS, bytes);
        }
    }

    fn unpack(&mut self) {
        for (values, bytes) in self.values.chunks_exact_mut(GROUP).zip(self.bytes.chunks_exact(self.group)) {
            black_box(unpack(bytes, LIMB_BITS, values));
        }
    }

    fn facts(&self, what: &str) -> Facts {
        let needs = Needs { bytes: (8 * N + self.bytes.len()) as u64, ..Needs::default() };
        Facts { what: what.to_owned(), units: N as u64, unit: "value", needs }
    }
}

/// Integers of 27 bits, packed.
///
/// # Errors
/// As above.
pub fn pack_limb(measure: Measure<'_>) -> anyhow::Result<()> {
    let mut packed = Packed::new();
    measure(packed.facts("pack values of 27 bits"), &mut || {
        packed.pack();
        black_box(&mut packed.bytes);
        Ok(())
    })
}

/// And back.
///
/// # Errors
/// As above.
pub fn unpack_limb(measure: Measure<'_>) -> anyhow::Result<()> {
    let mut packed = Packed::new();
    measure(packed.facts("unpack values of 27 bits"), &mut || {
        packed.unpack();
        black_box(&mut packed.values);
        Ok(())
    })
}

/// A frame's checksum.
///
/// # Errors
/// As above.
pub fn checksum(measure: Measure<'_>) -> anyhow::Result<()> {
    let bytes = vec![7; BYTES];
    let needs = Needs { bytes: BYTES as u64, ..Needs::default() };
    measure(Facts { what: "checksum, CRC-32".into(), units: BYTES as u64, unit: "byte", needs }, &mut || {
        let mut checksum = Checksum::new();
        checksum.update(black_box(&bytes));
        black_box(checksum.finish());
        Ok(())
    })
}
