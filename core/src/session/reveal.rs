//! The client learns a tensor: the server sends its share.

use super::operation::OpContext;
use super::phase::{ClientPhase, ServerPhase};
use super::shares::tensor;
use crate::error::{Error, Result};
use crate::wire::{Tag, packed_len};
use embedded_io_async::{Read, Write};

/// Client: opens the tensor into `out`, signed. Returns the index of the largest element, the first
/// one of several.
pub(crate) async fn client<IO: Read + Write, S>(
    phase: &mut ClientPhase<'_, '_, IO, S>,
    op: &OpContext<'_>,
    out: &mut [i64],
) -> Result<Option<usize>> {
    let (ring, len) = (op.ring(), op.inputs());
    let own = tensor(phase.shares.of(op.index)?, op.step.from, len)?;
    phase.ch.expect(Tag::Output, packed_len(len as u64, ring.bits())).await?;
    let mut slots = out.iter_mut().zip(own);
    let mut largest = None;
    phase
        .ch
        .get_values(len, ring.bits(), |i, share| {
            let (slot, &own) = slots.next().ok_or(Error::Internal)?;
            *slot = ring.to_signed(ring.add(share, ring.reduce(own)));
            if largest.is_none_or(|(_, most)| *slot > most) {
                largest = Some((i, *slot));
            }
            Ok(())
        })
        .await?;
    phase.ch.finish().await?;
    Ok(largest.map(|(i, _)| i))
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
