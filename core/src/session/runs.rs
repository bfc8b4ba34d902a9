//! Runs of OT corrections: each fills a frame's corrections, from a mask at their start to a proof
//! at the end of the frame, see `ot/check.rs`. `sums`: 128 blocks that are the run's from its start
//! to its end.

use super::Options;
use super::channel::Channel;
use crate::block::Block;
use crate::error::Result;
use crate::memory::Space;
use crate::ot::{PROOF_BYTES, Receiver, Sender};
use embedded_io_async::{Read, Write};

/// Room for the corrections of one group.
fn room<'w>(workspace: &'w mut [u8], options: &Options) -> Result<&'w mut [u8]> {
    let bytes = options.repetition.correction_bytes_per_group();
    Space::carve(workspace)?.take(bytes)
}

/// Starts a run in which this party chooses.
pub(crate) async fn start_choosing<IO: Read + Write>(
    ch: &mut Channel<IO>,
    (receiver, sums): (&mut Receiver<'_>, &mut [Block]),
    options: &Options,
    workspace: &mut [u8],
) -> Result<()> {
    let corrections = room(workspace, options)?;
    receiver.start(sums, corrections)?;
    ch.put(corrections).await
}

/// Ends it, and the frame.
pub(crate) async fn end_choosing<IO: Read + Write>(
    ch: &mut Channel<IO>,
    (receiver, sums): (&mut Receiver<'_>, &mut [Block]),
) -> Result<()> {
    ch.put(&receiver.finish(sums)?).await?;
    ch.end().await
}

/// Starts a run in which the peer chooses.
pub(crate) async fn start_offering<IO: Read + Write>(
    ch: &mut Channel<IO>,
    (sender, sums): (&mut Sender<'_>, &mut [Block]),
    options: &Options,
    workspace: &mut [u8],
) -> Result<()> {
    let corrections = room(workspace, options)?;
    ch.get(corrections).await?;
    sender.start(sums, corrections)
}

/// Ends the frame, then the run: damage on the way is none of the peer's doing.
pub(crate) async fn end_offering<IO: Read + Write>(
    ch: &mut Channel<IO>,
    (sender, sums): (&mut Sender<'_>, &mut [Block]),
) -> Result<()> {
    let mut proof = [0; PROOF_BYTES];
    ch.get(&mut proof).await?;
    ch.finish().await?;
    sender.finish(sums, &proof)
}
