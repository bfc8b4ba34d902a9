//! Messages of a stage: some bits of each element, packed.

use super::super::channel::Channel;
use crate::error::{Error, Result};
use crate::memory::Space;
use crate::target::TargetProfile;
use crate::wire::{Packer, Reader, packed_len};
use embedded_io_async::{Read, Write};

/// Elements whose bits are packed at once; those of eight fill whole bytes.
const BATCH: usize = batch(TargetProfile::THIS);

pub(super) const fn batch(machine: TargetProfile) -> usize {
    machine.groups.next_multiple_of(8)
}

/// Room for the bits of the elements that are packed at once.
fn batch_bytes(workspace: &mut [u8], bits: u32) -> Result<&mut [u8]> {
    Space::carve(workspace)?.take(packed_len(BATCH as u64, bits) as usize)
}

/// Sends `bits` bits of every element.
pub(super) async fn send<IO: Read + Write, E>(
    ch: &mut Channel<IO>,
    workspace: &mut [u8],
    bits: u32,
    elements: &mut [E],
    mut each: impl FnMut(usize, &mut E, &mut Packer<'_>) -> Result<()>,
) -> Result<()> {
    let bytes = batch_bytes(workspace, bits)?;
    for (first, elements) in (0..).step_by(BATCH).zip(elements.chunks_mut(BATCH)) {
        let bytes = bytes
            .get_mut(..packed_len(elements.len() as u64, bits) as usize)
            .ok_or(Error::Internal)?;
        let mut out = Packer::new(bytes);
        (first..).zip(elements).try_for_each(|(e, element)| each(e, element, &mut out))?;
        out.finish()?;
        ch.put(bytes).await?;
    }
    Ok(())
}

/// Receives `bits` bits of every element.
pub(super) async fn receive<IO: Read + Write, E>(
    ch: &mut Channel<IO>,
    workspace: &mut [u8],
    bits: u32,
    elements: &mut [E],
    mut each: impl FnMut(usize, &mut E, &mut Reader<'_>) -> Result<()>,
) -> Result<()> {
    let bytes = batch_bytes(workspace, bits)?;
    for (first, elements) in (0..).step_by(BATCH).zip(elements.chunks_mut(BATCH)) {
        let bytes = bytes
            .get_mut(..packed_len(elements.len() as u64, bits) as usize)
            .ok_or(Error::Internal)?;
        ch.get(bytes).await?;
        let mut input = Reader::new(bytes);
        (first..).zip(elements).try_for_each(|(e, element)| each(e, element, &mut input))?;
        if !input.finish() {
            return Err(Error::Malformed);
        }
    }
    Ok(())
}
