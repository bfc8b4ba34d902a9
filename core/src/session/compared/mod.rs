//! Operations by comparison: OTs in both directions offline (streamed: online), then messages to
//! and fro.

pub(crate) mod client;
mod ots;
mod reverse;
pub(crate) mod server;

pub(crate) use reverse::{client_choose_base, client_receive_base, server_base};

use super::Options;
use super::channel::Channel;
use super::operation::OpContext;
use crate::block::Block;
use crate::compare::{OtActivation, Stage, tweak};
use crate::cost::compares;
use crate::error::{Error, Result};
use crate::memory::{Space, measure};
use crate::options::COMPARE;
use crate::params::KAPPA;
use crate::plan::Plan;
use crate::rng::Seed;
use crate::target::TargetProfile;
use crate::wire::{Packer, Reader, packed_len};
use core::future::{Future, Ready, ready};
use embedded_io_async::{Read, Write};
use ots::Scratch;
use reverse::BaseScratch;

/// Elements whose bits are packed at once; those of eight fill whole bytes.
const BATCH: usize = batch(TargetProfile::THIS);

const fn batch(machine: TargetProfile) -> usize {
    machine.groups.next_multiple_of(8)
}

/// Where seeds of compared operations start among those of a stock.
const SEEDS: u64 = 1 << 32;

/// The seed of an operation's random choices, in a stock's.
fn choices(stock: &Seed, number: usize) -> Seed {
    stock.derive(SEEDS + number as u64)
}

/// Leaves of the trees for the other direction.
pub(crate) fn leaves(plan: &Plan<'_>, options: &Options) -> usize {
    if compares(plan, options) { options.repetition.leaves() } else { 0 }
}

/// Base OTs of a Prepare.
pub(crate) fn base_ots(plan: &Plan<'_>, options: &Options) -> usize {
    if compares(plan, options) { KAPPA } else { 0 }
}

/// A future of this module. Without comparisons in this build, what would hold it takes no room in
/// the caller's future, and none of its code is there: it is an error that nothing gets to, as such
/// options are refused.
pub(crate) fn here<T, F: Future<Output = Result<T>>>(
    future: F,
) -> <Build<COMPARE> as Select>::Future<T, F> {
    Build::<COMPARE>::select(future)
}

/// A build with comparisons or without.
pub(crate) struct Build<const COMPARES: bool>;

/// What becomes of a comparison's future.
pub(crate) trait Select {
    type Future<T, F: Future<Output = Result<T>>>: Future<Output = Result<T>>;
    fn select<T, F: Future<Output = Result<T>>>(future: F) -> Self::Future<T, F>;
}

impl Select for Build<true> {
    type Future<T, F: Future<Output = Result<T>>> = F;
    fn select<T, F: Future<Output = Result<T>>>(future: F) -> F {
        future
    }
}

impl Select for Build<false> {
    type Future<T, F: Future<Output = Result<T>>> = Ready<Result<T>>;
    fn select<T, F: Future<Output = Result<T>>>(_: F) -> Ready<Result<T>> {
        ready(Err(Error::Option))
    }
}

/// An operation of a prediction, and how it is compared.
#[derive(Clone, Copy)]
pub(crate) struct Comparison<'s> {
    pub(crate) op: &'s OpContext<'s>,
    pub(crate) activation: &'s OtActivation,
}

impl Comparison<'_> {
    /// First tweak of an element of a stage.
    const fn tweak(&self, stage: &Stage, e: usize) -> Block {
        tweak(self.op.instance, stage.first + e)
    }
}

/// A message of a stage: its number among those of the sender.
#[derive(Clone, Copy)]
struct Message<'s> {
    stage: &'s Stage,
    number: u32,
}

impl Message<'_> {
    /// Whether it is the last of the stage.
    const fn is_last(&self) -> bool {
        self.number + 1 == self.stage.protocol.rounds()
    }
}

/// A stage's elements, behind those of the stages before.
fn part<'e, E>(stage: &Stage, elements: &'e mut [E]) -> Result<(&'e [E], &'e mut [E])> {
    let (before, rest) = elements.split_at_mut_checked(stage.first).ok_or(Error::Internal)?;
    Ok((before, rest.get_mut(..stage.len).ok_or(Error::Internal)?))
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

/// Room for the bits of the elements that are packed at once.
fn batch_bytes(workspace: &mut [u8], bits: u32) -> Result<&mut [u8]> {
    Space::carve(workspace)?.take(packed_len(BATCH as u64, bits) as usize)
}

/// Sends `bits` bits of every element.
async fn send<IO: Read + Write, E>(
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
async fn receive<IO: Read + Write, E>(
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
