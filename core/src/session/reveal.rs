//! The client learns a tensor: the server sends its share.

use super::operation::OpContext;
use super::phase::{ClientPhase, ServerPhase};
use super::shares::tensor;
use crate::error::{Error, Result};
use crate::wire::{Tag, packed_len};
use embedded_io_async::{Read, Write};

/// Client: opens the tensor into `out`, signed. Returns the index of the largest element, the first
/// one of several; found without a branch, as the elements are the client's secrets.
pub(crate) async fn client<IO: Read + Write, S>(
    phase: &mut ClientPhase<'_, '_, IO, S>,
    op: &OpContext<'_>,
    out: &mut [i64],
) -> Result<Option<usize>> {
    let (ring, len) = (op.ring(), op.inputs());
    let own = tensor(phase.shares.of(op.index)?, op.step.from, len)?;
    phase.ch.expect(Tag::Output, packed_len(len as u64, ring.bits())).await?;
    let mut slots = out.iter_mut().zip(own);
    // Below every element: these have at most 44 bits.
    let (mut largest, mut index) = (i64::MIN / 2, 0);
    phase
        .ch
        .get_values(len, ring.bits(), |i, share| {
            let (slot, &own) = slots.next().ok_or(Error::Internal)?;
            *slot = ring.to_signed(ring.add(share, ring.reduce(own)));
            let larger = (largest - *slot) >> 63;
            largest ^= (largest ^ *slot) & larger;
            index ^= (index ^ i as i64) & larger;
            Ok(())
        })
        .await?;
    phase.ch.finish().await?;
    Ok(Some(index as usize))
}

/// Server: sends its share.
pub(crate) async fn server<IO: Read + Write>(
    phase: &mut ServerPhase<'_, '_, IO>,
    op: &OpContext<'_>,
    tensors: &[u64],
) -> Result<()> {
    let (ring, len) = (op.ring(), op.inputs());
    let mut own = tensor(tensors, op.step.from, len)?.iter();
    phase.ch.begin(Tag::Output, packed_len(len as u64, ring.bits())).await?;
    phase
        .ch
        .put_values(len, ring.bits(), |_| Ok(ring.reduce(*own.next().ok_or(Error::Internal)?)))
        .await?;
    phase.ch.end().await
}
