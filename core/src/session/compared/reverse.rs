//! Base OTs of the OTs in which the server chooses: they need the parties' roles exchanged, so
//! they are OTs of the other direction, in which the client chooses its own `Δ'`. They last for one
//! Prepare.

use super::super::Options;
use super::super::operation::Context;
use super::super::phase::{ClientPhase, ServerPhase};
use super::comparison::SEEDS;
use crate::block::Block;
use crate::error::{Error, Result};
use crate::hash::Tmmo;
use crate::memory::Space;
use crate::ot::{GROUP, Receiver, Sender};
use crate::params::KAPPA;
use crate::rng::{Domain, Prg, Seed};
use embedded_io_async::{Read, Write};

/// Tweaks of the base OTs: see docs/protocol.md, 12.3.
const BASE_TWEAK: Block = 1 << 126;

/// What the base OTs need of a stock's randomness.
fn randomness(stock: &Seed) -> Prg {
    stock.derive(SEEDS - 1).stream(Domain::Label, 0)
}

/// The client's `Δ'` for a stock.
fn own_delta(stock: &Seed) -> Block {
    randomness(stock).next_u128() | 1
}

/// The hash of everything in the direction in which the server chooses: under a key of its own.
pub(super) fn backward_hash(hash: &Tmmo) -> Tmmo {
    let [key] = hash.hash([0], [BASE_TWEAK]);
    Tmmo::new(key)
}

/// Tweak of base OT 0 of stock number `stock`.
const fn base_tweak(stock: u64) -> Block {
    BASE_TWEAK | (stock as Block + 1) << 64
}

/// Scratch of either party: one group.
pub(crate) struct BaseScratch<'a> {
    labels: &'a mut [Block],
    corrections: &'a mut [u8],
}

impl<'a> BaseScratch<'a> {
    pub(crate) fn take(space: &mut Space<'a>, options: &Options) -> Result<Self> {
        Ok(Self {
            labels: space.take(GROUP)?,
            corrections: space.take(options.repetition.correction_bytes_per_group())?,
        })
    }
}

/// Client: the base OTs, in which it chooses the bits of `Δ'`, at the start of its corrections.
/// `labels`: kept for [`client_receive_base`].
pub(crate) async fn client_choose_base<IO: Read + Write, S>(
    phase: &mut ClientPhase<'_, '_, IO, S>,
    options: &Options,
    labels: &mut [Block],
) -> Result<()> {
    let BaseScratch { corrections, .. } =
        BaseScratch::take(&mut Space::carve(phase.workspace)?, options)?;
    phase.receiver.extend(phase.sums, &[own_delta(phase.seed)], labels, corrections)?;
    phase.ch.put(corrections).await
}

/// Client: their messages, at the start of the tables.
pub(crate) async fn client_receive_base<IO: Read + Write, S>(
    phase: &mut ClientPhase<'_, '_, IO, S>,
    context: &Context<'_>,
    labels: &mut [Block],
) -> Result<()> {
    let labels = labels.first_chunk_mut::<KAPPA>().ok_or(Error::Internal)?;
    let delta = own_delta(phase.seed);
    for (j, label) in labels.iter_mut().enumerate() {
        let mut pair = [0; 2];
        phase.ch.get(bytemuck::must_cast_slice_mut(&mut pair)).await?;
        let [m0, m1] = pair.map(Block::from_le);
        let [pad] = context.hash.hash([*label], [base_tweak(context.stock) + j as Block]);
        // In constant time: all ones for the second message.
        let second = (delta >> j & 1).wrapping_neg();
        *label = pad ^ m0 ^ (m0 ^ m1) & second;
    }
    let hash = backward_hash(context.hash);
    phase.backward.renew(|leaves| Sender::new(leaves, delta, labels, &hash, &hash))
}

/// Server: the base OTs, from the start of the client's corrections. `messages` gets what to send.
pub(crate) async fn server_base<IO: Read + Write>(
    phase: &mut ServerPhase<'_, '_, IO>,
    context: &Context<'_>,
    messages: &mut [[Block; 2]],
) -> Result<()> {
    let messages = messages.first_chunk_mut::<KAPPA>().ok_or(Error::Internal)?;
    let BaseScratch { labels, corrections } =
        BaseScratch::take(&mut Space::carve(phase.workspace)?, context.options)?;
    let labels = labels.first_chunk_mut::<KAPPA>().ok_or(Error::Internal)?;
    phase.ch.get(corrections).await?;
    phase.sender.extend(phase.sums, corrections, labels)?;
    let (hash, delta) = (backward_hash(context.hash), phase.sender.delta());
    let mut roots = randomness(phase.seed);
    let keep = |j: usize, pair| messages.iter_mut().skip(j).take(1).for_each(|to| *to = pair);
    phase.backward.renew(|leaves| Receiver::new(leaves, &mut roots, &hash, &hash, keep))?;
    for (j, (pair, &label)) in messages.iter_mut().zip(&*labels).enumerate() {
        let tweak = base_tweak(context.stock) + j as Block;
        let [pad0, pad1] = context.hash.hash([label, label ^ delta], [tweak; 2]);
        let [m0, m1] = *pair;
        *pair = [(m0 ^ pad0).to_le(), (m1 ^ pad1).to_le()];
    }
    Ok(())
}
