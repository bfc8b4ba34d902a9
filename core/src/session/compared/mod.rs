//! Operations by comparison: OTs in both directions offline (streamed: online), then messages to
//! and fro.

pub(crate) mod client;
mod comparison;
mod messages;
mod ots;
mod reverse;
mod select;
pub(crate) mod server;

pub(crate) use comparison::Comparison;
pub(crate) use reverse::{client_choose_base, client_receive_base, server_base};
pub(crate) use select::here;

use super::Options;
use crate::compare::OtActivation;
use crate::cost::compares;
use crate::error::Result;
use crate::memory::measure;
use crate::params::KAPPA;
use crate::plan::Plan;
use crate::target::TargetProfile;
use crate::wire::packed_len;
use messages::batch;
use ots::Scratch;
use reverse::BaseScratch;

/// Leaves of the trees for the other direction.
pub(crate) fn leaves(plan: &Plan<'_>, options: &Options) -> usize {
    if compares(plan, options) { options.repetition.leaves() } else { 0 }
}

/// Base OTs of a Prepare.
pub(crate) fn base_ots(plan: &Plan<'_>, options: &Options) -> usize {
    if compares(plan, options) { KAPPA } else { 0 }
}

/// Bytes of either party's scratch.
pub(crate) fn scratch(
    machine: TargetProfile,
    activation: &OtActivation,
    options: &Options,
) -> Result<usize> {
    let ots = measure(machine, |space| Scratch::take(space, activation, options).map(|_| ()))?;
    let base = measure(machine, |space| BaseScratch::take(space, options).map(|_| ()))?;
    let bits = activation.stages().fold(0, |bits, stage| bits.max(stage.protocol.most_bits()));
    let bytes = packed_len(batch(machine) as u64, bits) as usize;
    let messages = measure(machine, |space| space.take::<u8>(bytes).map(|_| ()))?;
    Ok(ots.max(base).max(messages))
}
