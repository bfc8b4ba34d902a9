//! OTs whose labels are wires of a circuit, or bits of factors of products: offline for the whole
//! stock, or online with the message before.

use super::Options;
use super::operation::OpContext;
use super::phase::{ClientPhase, ServerPhase};
use super::runs::{end_choosing, end_offering, start_choosing, start_offering};
use super::shares::share;
use crate::block::Block;
use crate::cost::late_corrections_bytes;
use crate::error::{Error, Result};
use crate::memory::Space;
use crate::ot::GROUP;
use crate::plan::circuit::NonlinearCost;
use crate::target::TargetProfile;
use crate::wire::Tag;
use embedded_io_async::{Read, Write};

/// Groups of OTs that are made at once.
const CHUNK: usize = TargetProfile::THIS.groups;

/// Scratch of either party.
pub(crate) struct ExtendScratch<'a> {
    choices: &'a mut [u128],
    corrections: &'a mut [u8],
}

impl<'a> ExtendScratch<'a> {
    /// For an operation of `groups` groups, or the most of any.
    pub(crate) fn take(space: &mut Space<'a>, options: &Options, groups: usize) -> Result<Self> {
        let groups = groups.min(space.machine().groups);
        Ok(Self {
            choices: space.take(groups)?,
            corrections: space.take(groups * options.repetition.correction_bytes_per_group())?,
        })
    }
}

/// A run of bits from values of any widths, cut into groups.
pub(crate) struct Choices {
    /// What is left of the last value, and its width.
    value: u64,
    width: u32,
    /// Bits that are still to come.
    remaining: usize,
}

impl Choices {
    /// This many bits.
    pub(crate) const fn new(bits: usize) -> Self {
        Self { value: 0, width: 0, remaining: bits }
    }

    /// The next 128 bits, the first lowest; zeros behind the end. `next`: values with their widths.
    pub(crate) fn group(&mut self, mut next: impl FnMut() -> Result<(u64, u32)>) -> Result<u128> {
        let bits = self.remaining.min(GROUP);
        let (mut group, mut filled) = (0, 0);
        while filled < bits as u32 {
            if self.width == 0 {
                (self.value, self.width) = next()?;
                continue;
            }
            let taken = self.width.min(bits as u32 - filled);
            group |= u128::from(self.value & (u64::MAX >> (u64::BITS - taken))) << filled;
            filled += taken;
            // Not at once: a value may have as many bits as there can be.
            self.value = self.value >> (taken - 1) >> 1;
            self.width -= taken;
        }
        self.remaining -= bits;
        Ok(group)
    }
}

/// The client's choices in an operation's OTs, one value after the other: a neuron's shares of its
/// inputs, then of its output where the circuit re-shares. `shares`: those of all tensors.
fn own_values(op: &OpContext<'_>, shares: &[u64]) -> impl FnMut() -> Result<(u64, u32)> {
    let (ring, ring_out, counts) = (op.ring(), op.ring_out(), &op.counts);
    let inputs = if counts.products > 0 { 1 } else { counts.steps };
    let each = inputs + usize::from(counts.colour_bits > 0);
    let mut values = 0..;
    move || {
        let i: usize = values.next().ok_or(Error::Internal)?;
        let (neuron, step) = (i / each, i % each);
        if step == inputs {
            return Ok((share(shares, op.step.to + neuron, ring_out)?, counts.colour_bits));
        }
        let element = if counts.products > 0 {
            op.step.factors(neuron).1
        } else {
            op.step.from + NonlinearCost::element(&op.step.op, neuron, step)
        };
        Ok((share(shares, element, ring)?, ring.bits()))
    }
}

/// Client: an operation's OTs, into `labels`.
pub(crate) async fn client<IO: Read + Write, S>(
    phase: &mut ClientPhase<'_, '_, IO, S>,
    op: &OpContext<'_>,
    labels: &mut [Block],
) -> Result<()> {
    let ExtendScratch { choices, corrections } =
        ExtendScratch::take(&mut Space::carve(phase.workspace)?, op.options, labels.len() / GROUP)?;
    let mut next = own_values(op, phase.shares.of(op.index)?);
    let mut bits = Choices::new(op.counts.ots);
    for labels in labels.chunks_mut(CHUNK * GROUP) {
        let groups = labels.len() / GROUP;
        let choices = choices.get_mut(..groups).ok_or(Error::Internal)?;
        for choices in choices.iter_mut() {
            *choices = bits.group(&mut next)?;
        }
        let corrections = corrections
            .get_mut(..groups * op.options.repetition.correction_bytes_per_group())
            .ok_or(Error::Internal)?;
        phase.receiver.extend(phase.sums, choices, labels, corrections)?;
        phase.ch.put(corrections).await?;
    }
    Ok(())
}

/// Server: the same OTs.
pub(crate) async fn server<IO: Read + Write>(
    phase: &mut ServerPhase<'_, '_, IO>,
    options: &Options,
    labels: &mut [Block],
) -> Result<()> {
    let ExtendScratch { corrections, .. } =
        ExtendScratch::take(&mut Space::carve(phase.workspace)?, options, labels.len() / GROUP)?;
    for labels in labels.chunks_mut(CHUNK * GROUP) {
        let groups = labels.len() / GROUP;
        let corrections = corrections
            .get_mut(..groups * options.repetition.correction_bytes_per_group())
            .ok_or(Error::Internal)?;
        phase.ch.get(corrections).await?;
        phase.sender.extend(phase.sums, corrections, labels)?;
    }
    Ok(())
}

/// Client, online: makes the OTs now that were not made offline.
pub(crate) async fn client_late<IO: Read + Write, S>(
    phase: &mut ClientPhase<'_, '_, IO, S>,
    op: &OpContext<'_>,
    labels: &mut [Block],
) -> Result<()> {
    let bytes = late_corrections_bytes(&op.step.op, op.options);
    if bytes == 0 {
        return Ok(());
    }
    phase.ch.begin(Tag::Corrections, bytes).await?;
    start_choosing(phase.ch, (phase.receiver, phase.sums), op.options, phase.workspace).await?;
    client(phase, op, labels).await?;
    end_choosing(phase.ch, (phase.receiver, phase.sums)).await
}

/// Server, online: the same.
pub(crate) async fn server_late<IO: Read + Write>(
    phase: &mut ServerPhase<'_, '_, IO>,
    op: &OpContext<'_>,
    labels: &mut [Block],
) -> Result<()> {
    let bytes = late_corrections_bytes(&op.step.op, op.options);
    if bytes == 0 {
        return Ok(());
    }
    phase.ch.expect(Tag::Corrections, bytes).await?;
    start_offering(phase.ch, (phase.sender, phase.sums), op.options, phase.workspace).await?;
    server(phase, op.options, labels).await?;
    end_offering(phase.ch, (phase.sender, phase.sums)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_the_bits_in_order() {
        let mut values =
            [(0b101, 3), (0, 0), (u64::MAX, 64), (0x5555, 16), (1, 44), (0, 44)].into_iter();
        let mut next = || values.next().ok_or(Error::Internal);
        let mut choices = Choices::new(171);
        let first = 0b101_u128 | u128::from(u64::MAX) << 3 | 0x5555 << 67 | 1 << 83;
        let groups = [(); 3].map(|()| choices.group(&mut next));
        assert_eq!(groups, [Ok(first), Ok(0), Ok(0)]);
    }

    #[test]
    fn a_choice_that_is_missing_is_an_error() {
        let missing = Err(Error::Internal);
        for (bits, values, last) in [
            (1, 0, missing),
            (8, 1, Ok(0xff)),
            (129, 16, missing),
            (136, 17, Ok(0xff)),
            (137, 17, missing),
        ] {
            let mut left = 0..values;
            let mut next = || left.next().map(|_| (0xff, 8)).ok_or(Error::Internal);
            let mut choices = Choices::new(bits);
            for _ in 1..bits.div_ceil(GROUP) {
                assert_eq!(choices.group(&mut next), Ok(u128::MAX));
            }
            assert_eq!(choices.group(&mut next), last, "{bits} bits");
        }
    }
}
