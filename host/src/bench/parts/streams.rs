//! Streams of bytes: randomness, checksums.

use super::{Facts, Measure, Needs};
use core::hint::black_box;
use minionn_core::params::N;
use minionn_core::rng::{Domain, Seed};
use minionn_core::wire::Checksum;

/// Bytes of one run: a limb of a polynomial in memory.
const BYTES: usize = 4 * N;

/// Pseudo-random bytes.
///
/// # Errors
/// Those of `measure`, as everywhere here.
pub fn random(measure: Measure<'_>) -> anyhow::Result<()> {
    let mut bytes = vec![0; BYTES];
    let needs = Needs { bytes: BYTES as u64, ..Needs::default() };
    measure(
        Facts {
            what: "pseudo-random bytes, ChaCha20".into(),
            units: BYTES as u64,
            unit: "byte",
            needs,
        },
        &mut || {
            Seed([6; 32]).stream(Domain::Mask, 0).fill(black_box(&mut bytes));
            Ok(())
        },
    )
}

/// A frame's checksum.
///
/// # Errors
/// As above.
pub fn checksum(measure: Measure<'_>) -> anyhow::Result<()> {
    let bytes = vec![7; BYTES];
    let needs = Needs { bytes: BYTES as u64, ..Needs::default() };
    measure(
        Facts { what: "checksum, CRC-32".into(), units: BYTES as u64, unit: "byte", needs },
        &mut || {
            let mut checksum = Checksum::new();
            checksum.update(black_box(&bytes));
            black_box(checksum.finish());
            Ok(())
        },
    )
}
