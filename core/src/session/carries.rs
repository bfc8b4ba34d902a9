//! Carries of linear layers. Shares `v` and `u` of a result have one bit more than its ring, and
//! their sum is twice the result, or one more: `W·r = ⌊v/2⌋ + ⌊u/2⌋ + v₀·u₀`. The product of the
//! two lowest bits is shared by one OT for each result, in which the client chooses `v₀`.

use super::Options;
use super::channel::Channel;
use super::keys::op_instance;
use super::operation::Context;
use super::runs::{end_choosing, end_offering, start_choosing, start_offering};
use super::shares::{Shares, tensor_mut};
use crate::block::Block;
use crate::cost::{carry_answer_bytes, carry_correction_bytes};
use crate::error::{Error, Result};
use crate::memory::{Space, wipe_first};
use crate::ot::{Carries, GROUP, Receiver, Sender};
use crate::plan::{Plan, Step};
use crate::ring::Modulus;
use crate::wire::Tag;
use core::ops::Range;
use embedded_io_async::{Read, Write};

/// Scratch of either party for the OTs.
struct OtScratch<'a> {
    sums: &'a mut [Block],
    labels: &'a mut [Block],
    choices: &'a mut [u128],
    corrections: &'a mut [u8],
}

impl<'a> OtScratch<'a> {
    fn take(space: &mut Space<'a>, options: &Options, results: usize) -> Result<Self> {
        let groups = results.div_ceil(GROUP).min(space.machine().groups);
        Ok(Self {
            sums: space.take(GROUP)?,
            labels: space.take(groups * GROUP)?,
            choices: space.take(groups)?,
            corrections: space.take(groups * options.repetition.correction_bytes_per_group())?,
        })
    }
}

/// Results of a stock whose carries are removed in one round.
fn results(plan: &Plan<'_>, options: &Options, range: &Range<usize>) -> usize {
    plan.carries(range).saturating_mul(options.stock as usize)
}

/// Takes the client's scratch for one round.
pub(crate) fn client_scratch(
    space: &mut Space<'_>,
    plan: &Plan<'_>,
    options: &Options,
    range: &Range<usize>,
) -> Result<()> {
    OtScratch::take(space, options, results(plan, options, range)).map(|_| ())
}

/// The server's scratch for one round.
struct ServerScratch<'a> {
    ots: OtScratch<'a>,
    /// What it sends for each result.
    answers: &'a mut [u64],
}

impl<'a> ServerScratch<'a> {
    fn take(space: &mut Space<'a>, options: &Options, results: usize) -> Result<Self> {
        Ok(Self { ots: OtScratch::take(space, options, results)?, answers: space.take(results)? })
    }
}

/// Takes the server's scratch for one round.
pub(crate) fn server_scratch(
    space: &mut Space<'_>,
    plan: &Plan<'_>,
    options: &Options,
    range: &Range<usize>,
) -> Result<()> {
    ServerScratch::take(space, options, results(plan, options, range)).map(|_| ())
}

/// Results of one layer and prediction that follow each other.
#[derive(Clone, Copy)]
struct Run {
    step: Step,
    /// The prediction's place in the stock.
    index: usize,
    first: usize,
    len: usize,
}

impl Run {
    /// The OTs of this run.
    fn carries<'h>(&self, context: &Context<'h>) -> Carries<'h> {
        let prediction = context.stock * u64::from(context.options.stock) + self.index as u64;
        let instance = op_instance(prediction, self.step.number);
        Carries {
            ring: Modulus::Bits(self.step.op.output().0),
            hash: context.hash,
            tweak_base: u128::from(instance) << 40 | (self.first as u128) << 8,
        }
    }
}

/// The results of a round in order: layer by layer, prediction by prediction.
struct Results<I> {
    runs: I,
    /// What is left of the last run.
    left: Option<Run>,
}

impl<I: Iterator<Item = Run>> Results<I> {
    /// The next results that follow each other, at most `most`; none behind the end.
    fn next(&mut self, most: usize) -> Option<Run> {
        let run = self.left.take().or_else(|| self.runs.next())?;
        let len = run.len.min(most);
        if len < run.len {
            self.left = Some(Run { first: run.first + len, len: run.len - len, ..run });
        }
        Some(Run { len, ..run })
    }
}

/// The results of a round.
fn in_order<'p>(
    context: &Context<'p>,
    range: &Range<usize>,
) -> Results<impl Iterator<Item = Run> + use<'p>> {
    let stock = context.options.stock as usize;
    let runs = context.plan.linear_steps(range).flat_map(move |step| {
        let len = step.op.output().1 as usize;
        (0..stock).map(move |index| Run { step, index, first: 0, len })
    });
    Results { runs, left: None }
}

/// Client: `v` of all results in its shares become shares of the results.
pub(crate) async fn client<IO: Read + Write>(
    ch: &mut Channel<IO>,
    scratch: &mut [u8],
    receiver: &mut Receiver<'_>,
    context: &Context<'_>,
    shares: &mut Shares<'_>,
    range: &Range<usize>,
) -> Result<()> {
    let Context { plan, options, .. } = context;
    let mut left = results(plan, options, range);
    let mut space = Space::carve(scratch)?;
    let OtScratch { sums, labels, choices, corrections } =
        OtScratch::take(&mut space, options, left)?;
    let used = space.used();
    let (mut choosing, mut chosen) = (in_order(context, range), in_order(context, range));
    ch.begin(Tag::Corrections, carry_correction_bytes(plan, options, range)).await?;
    start_choosing(ch, (receiver, sums), options, bytemuck::must_cast_slice_mut(labels)).await?;
    while left > 0 {
        let groups = left.div_ceil(GROUP).min(choices.len());
        let count = left.min(groups * GROUP);
        let choices = choices.get_mut(..groups).ok_or(Error::Internal)?;
        choices.fill(0);
        let mut bit = 0;
        while bit < count {
            let run = choosing.next(count - bit).ok_or(Error::Internal)?;
            for &v in of_run(shares, &run)?.iter() {
                let group = choices.get_mut(bit / GROUP).ok_or(Error::Internal)?;
                *group |= u128::from(v & 1) << (bit % GROUP);
                bit += 1;
            }
        }
        let labels = labels.get_mut(..groups * GROUP).ok_or(Error::Internal)?;
        let bytes = groups * options.repetition.correction_bytes_per_group();
        let corrections = corrections.get_mut(..bytes).ok_or(Error::Internal)?;
        receiver.extend(sums, choices, labels, corrections)?;
        ch.put(corrections).await?;
        let mut labels = labels.get(..count).ok_or(Error::Internal)?;
        while !labels.is_empty() {
            let run = chosen.next(labels.len()).ok_or(Error::Internal)?;
            let own = labels.split_off(..run.len).ok_or(Error::Internal)?;
            run.carries(context).client_choose(of_run(shares, &run)?, own)?;
        }
        left -= count;
    }
    end_choosing(ch, (receiver, sums)).await?;
    wipe_first(used, scratch)?;

    ch.expect(Tag::Carries, carry_answer_bytes(plan, options, range)).await?;
    for step in plan.linear_steps(range) {
        let (ring, len) = step.op.output();
        ch.get_values(options.stock as usize * len as usize, ring.into(), |i, answer| {
            let own = shares.of_mut(i / len as usize)?;
            let v = own.get_mut(step.to + i % len as usize).ok_or(Error::Internal)?;
            Carries::client_finish(Modulus::Bits(ring), v, answer)
        })
        .await?;
    }
    ch.finish().await
}

/// The client's shares of a run.
fn of_run<'s>(shares: &'s mut Shares<'_>, run: &Run) -> Result<&'s mut [u64]> {
    tensor_mut(shares.of_mut(run.index)?, run.step.to + run.first, run.len)
}

/// Server: `u` of all results in `masks`, layer by layer and prediction by prediction, become its
/// shares of what the results are less the client's.
pub(crate) async fn server<IO: Read + Write>(
    ch: &mut Channel<IO>,
    scratch: &mut [u8],
    sender: &mut Sender<'_>,
    context: &Context<'_>,
    mut masks: &mut [u64],
    range: &Range<usize>,
) -> Result<()> {
    let Context { plan, options, .. } = context;
    let mut left = results(plan, options, range);
    if masks.len() != left {
        return Err(Error::Internal);
    }
    let mut space = Space::carve(scratch)?;
    let ServerScratch { ots, answers } = ServerScratch::take(&mut space, options, left)?;
    let used = space.used();
    let OtScratch { sums, labels, choices, corrections } = ots;
    let (mut in_order, delta, mut making) =
        (in_order(context, range), sender.delta(), &mut *answers);
    ch.expect(Tag::Corrections, carry_correction_bytes(plan, options, range)).await?;
    start_offering(ch, (sender, sums), options, bytemuck::must_cast_slice_mut(labels)).await?;
    while left > 0 {
        let groups = left.div_ceil(GROUP).min(choices.len());
        let count = left.min(groups * GROUP);
        let labels = labels.get_mut(..groups * GROUP).ok_or(Error::Internal)?;
        let bytes = groups * options.repetition.correction_bytes_per_group();
        let corrections = corrections.get_mut(..bytes).ok_or(Error::Internal)?;
        ch.get(corrections).await?;
        sender.extend(sums, corrections, labels)?;
        let mut labels = labels.get(..count).ok_or(Error::Internal)?;
        while !labels.is_empty() {
            let run = in_order.next(labels.len()).ok_or(Error::Internal)?;
            let own = labels.split_off(..run.len).ok_or(Error::Internal)?;
            let u = masks.split_off_mut(..run.len).ok_or(Error::Internal)?;
            let answers = making.split_off_mut(..run.len).ok_or(Error::Internal)?;
            run.carries(context).server(u, own, delta, answers)?;
        }
        left -= count;
    }
    end_offering(ch, (sender, sums)).await?;

    ch.begin(Tag::Carries, carry_answer_bytes(plan, options, range)).await?;
    let mut sending = answers.iter();
    for step in plan.linear_steps(range) {
        let (ring, len) = step.op.output();
        ch.put_values(options.stock as usize * len as usize, ring.into(), |_| {
            sending.next().copied().ok_or(Error::Internal)
        })
        .await?;
    }
    ch.end().await?;
    wipe_first(used, scratch)
}
