//! What both parties know of a comparison: its operation, its stages, where its randomness begins.

use super::super::operation::OpContext;
use crate::block::Block;
use crate::compare::{OtActivation, Stage, tweak};
use crate::error::{Error, Result};
use crate::rng::Seed;

/// Where seeds of compared operations start among those of a stock.
pub(super) const SEEDS: u64 = 1 << 32;

/// The seed of an operation's random choices, in a stock's.
pub(super) fn choices(stock: &Seed, number: usize) -> Seed {
    stock.derive(SEEDS + number as u64)
}

/// An operation of a prediction, and how it is compared.
#[derive(Clone, Copy)]
pub(crate) struct Comparison<'s> {
    pub(crate) op: &'s OpContext<'s>,
    pub(crate) activation: &'s OtActivation,
}

impl Comparison<'_> {
    /// First tweak of an element of a stage.
    pub(super) const fn tweak(&self, stage: &Stage, e: usize) -> Block {
        tweak(self.op.instance, stage.first + e)
    }
}

/// A message of a stage: its number among those of the sender.
#[derive(Clone, Copy)]
pub(super) struct Message<'s> {
    pub(super) stage: &'s Stage,
    pub(super) number: u32,
}

impl Message<'_> {
    /// Whether it is the last of the stage.
    pub(super) const fn is_last(&self) -> bool {
        self.number + 1 == self.stage.protocol.rounds()
    }
}

/// A stage's elements, behind those of the stages before.
pub(super) fn part<'e, E>(stage: &Stage, elements: &'e mut [E]) -> Result<(&'e [E], &'e mut [E])> {
    let (before, rest) = elements.split_at_mut_checked(stage.first).ok_or(Error::Internal)?;
    Ok((before, rest.get_mut(..stage.len).ok_or(Error::Internal)?))
}
