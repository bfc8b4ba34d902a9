//! The client's side of comparisons.

use super::super::phase::ClientPhase;
use super::super::runs::{end_choosing, end_offering, start_choosing, start_offering};
use super::super::shares::tensor;
use super::super::{Options, Tables};
use super::comparison::{Comparison, Message, choices, part};
use super::messages::{receive, send};
use super::ots::{Direction, Ots, choose, offer};
use super::reverse::backward_hash;
use crate::block::Block;
use crate::compare::Stage;
use crate::compare::client::Element;
use crate::cost::{late_corrections_bytes, server_message_bytes};
use crate::error::{Error, Result};
use crate::rng::Domain;
use crate::wire::Tag;
use embedded_io_async::{Read, Write};

impl Comparison<'_> {
    /// What the client has of an element's input, and of what the result is added to. `x`: its
    /// shares of the operation's input; `before`: elements of stages before.
    fn client_shares(
        &self,
        stage: &Stage,
        e: usize,
        x: &[u64],
        before: &[Element],
    ) -> Result<[u64; 2]> {
        let ring = self.op.ring();
        let input = |i: usize| x.get(i).map(|&x| ring.reduce(x));
        let result = |i: usize| before.get(i).map(|element| element.result);
        self.activation.shares(stage, e, false, input, result).ok_or(Error::Internal)
    }
}

/// OTs in which the client chooses.
pub(crate) async fn corrections<IO: Read + Write, S>(
    phase: &mut ClientPhase<'_, '_, IO, S>,
    it: Comparison<'_>,
    elements: &mut [Element],
) -> Result<()> {
    let op = it.op;
    let shares = phase.shares.of(op.index)?;
    let x = tensor(shares, op.step.from, op.inputs())?;
    draw(phase, it, elements)?;
    let share = |elements: &[Element], stage: &Stage, e: usize| -> Result<u64> {
        let [share, _] = it.client_shares(stage, e, x, elements)?;
        Ok(share)
    };
    let word = |elements: &[Element], stage: &Stage, e: usize| {
        let share = share(elements, stage, e)?;
        let element = elements.get(stage.first + e).ok_or(Error::Internal)?;
        Ok(stage.protocol.client_choices(element, share))
    };
    let take = |elements: &mut [Element], stage: &Stage, e: usize, labels: &[Block]| {
        let (share, tweak) = (share(elements, stage, e)?, it.tweak(stage, e));
        let element = elements.get_mut(stage.first + e).ok_or(Error::Internal)?;
        stage.protocol.client_forward(element, share, op.hash, tweak, labels)
    };
    let ots = Ots { of: it, direction: Direction::Forward };
    choose(phase.ch, phase.workspace, (phase.receiver, phase.sums), ots, elements, (word, take))
        .await
}

/// Draws what is random of every element, and its share of the result unless the plan's output has
/// one.
fn draw<IO, S>(
    phase: &ClientPhase<'_, '_, IO, S>,
    it: Comparison<'_>,
    elements: &mut [Element],
) -> Result<()> {
    let (op, shares) = (it.op, phase.shares.of(it.op.index)?);
    let x = tensor(shares, op.step.from, op.inputs())?;
    let mut random = choices(phase.seed, op.step.number).stream(Domain::Mask, op.index as u64);
    for stage in it.activation.stages() {
        let (protocol, (before, elements)) = (&stage.protocol, part(&stage, elements)?);
        let results =
            if stage.is_last() { Some(tensor(shares, op.step.to, elements.len())?) } else { None };
        for (e, element) in elements.iter_mut().enumerate() {
            let fresh = protocol.reduce(random.next_u64());
            let result = match results {
                Some(results) => op.ring_out().reduce(*results.get(e).ok_or(Error::Internal)?),
                None => fresh,
            };
            let [share, _] = it.client_shares(&stage, e, x, before)?;
            protocol.client_start(element, share, result, &mut random);
        }
    }
    Ok(())
}

/// Starts a run of OTs in which the server chooses.
pub(crate) async fn start<IO: Read + Write, S>(
    phase: &mut ClientPhase<'_, '_, IO, S>,
    options: &Options,
) -> Result<()> {
    start_offering(phase.ch, (phase.backward.half()?, phase.sums), options, phase.workspace).await
}

/// Ends it, and the frame.
pub(crate) async fn end<IO: Read + Write, S>(phase: &mut ClientPhase<'_, '_, IO, S>) -> Result<()> {
    end_offering(phase.ch, (phase.backward.half()?, phase.sums)).await
}

/// OTs in which the server chooses.
pub(crate) async fn tables<IO: Read + Write, S>(
    phase: &mut ClientPhase<'_, '_, IO, S>,
    it: Comparison<'_>,
    elements: &mut [Element],
) -> Result<()> {
    let x = tensor(phase.shares.of(it.op.index)?, it.op.step.from, it.op.inputs())?;
    let sender = phase.backward.half()?;
    let (hash, delta) = (backward_hash(it.op.hash), sender.delta());
    let take = |stage: &Stage, e: usize, labels: &[Block]| {
        let (before, rest) =
            elements.split_at_mut_checked(stage.first + e).ok_or(Error::Internal)?;
        let element = rest.first_mut().ok_or(Error::Internal)?;
        let [share, _] = it.client_shares(stage, e, x, before)?;
        let (hash, tweak) = ((&hash, delta), it.tweak(stage, e));
        stage.protocol.client_backward(element, share, hash, tweak, labels)
    };
    let ots = Ots { of: it, direction: Direction::Backward };
    offer(phase.ch, phase.workspace, (sender, phase.sums), ots, take).await
}

/// Online: all stages. An argmax gives the answer.
pub(crate) async fn online<IO: Read + Write, S>(
    phase: &mut ClientPhase<'_, '_, IO, S>,
    it: Comparison<'_>,
    elements: &mut [Element],
) -> Result<Option<usize>> {
    let (op, options) = (&it.op.step.op, it.op.options);
    let streamed = options.tables == Tables::Streamed;
    if streamed {
        phase.ch.begin(Tag::Corrections, late_corrections_bytes(op, options)).await?;
        start_choosing(phase.ch, (phase.receiver, phase.sums), options, phase.workspace).await?;
        corrections(phase, it, elements).await?;
        end_choosing(phase.ch, (phase.receiver, phase.sums)).await?;
    }
    for stage in it.activation.stages() {
        for number in 0..stage.protocol.rounds() {
            let message = Message { stage: &stage, number };
            let bytes = server_message_bytes(op, &stage, number, options);
            phase.ch.expect(Tag::Compare, bytes).await?;
            if streamed && stage.first == 0 && number == 0 {
                start(phase, options).await?;
                tables(phase, it, elements).await?;
                read(phase, it, message, elements).await?;
                end(phase).await?;
            } else {
                read(phase, it, message, elements).await?;
                phase.ch.finish().await?;
            }
            let [_, bytes] = stage.message_bytes(number);
            phase.ch.begin(Tag::Compare, bytes).await?;
            write(phase, it, message, elements).await?;
            phase.ch.end().await?;
        }
    }
    if !op.is_output() {
        return Ok(None);
    }
    let own = elements.last().ok_or(Error::Internal)?.result;
    phase.ch.expect(Tag::Output, it.activation.answer_bytes()).await?;
    let mut answer = None;
    phase
        .ch
        .get_values(1, it.activation.answer_bits(), |_, share| {
            answer = it.activation.answer([own, share]);
            if answer.is_none() { Err(Error::Malformed) } else { Ok(()) }
        })
        .await?;
    phase.ch.finish().await?;
    Ok(answer)
}

/// Reads a message of the server.
async fn read<IO: Read + Write, S>(
    phase: &mut ClientPhase<'_, '_, IO, S>,
    it: Comparison<'_>,
    message: Message<'_>,
    elements: &mut [Element],
) -> Result<()> {
    let Message { stage, number } = message;
    let (protocol, (before, elements)) = (&stage.protocol, part(stage, elements)?);
    let x = tensor(phase.shares.of(it.op.index)?, it.op.step.from, it.op.inputs())?;
    let bits = protocol.server_bits(number);
    receive(phase.ch, phase.workspace, bits, elements, |e, element, input| {
        // Later ones need no share.
        let [share, _] = if number == 0 { it.client_shares(stage, e, x, before)? } else { [0; 2] };
        protocol.client_receive(element, share, number, input);
        Ok(())
    })
    .await
}

/// Writes a message to the server.
async fn write<IO: Read + Write, S>(
    phase: &mut ClientPhase<'_, '_, IO, S>,
    it: Comparison<'_>,
    message: Message<'_>,
    elements: &mut [Element],
) -> Result<()> {
    let Message { stage, number } = message;
    let (protocol, (before, elements)) = (&stage.protocol, part(stage, elements)?);
    let x = tensor(phase.shares.of(it.op.index)?, it.op.step.from, it.op.inputs())?;
    let (bits, last) = (protocol.client_bits(number), message.is_last());
    send(phase.ch, phase.workspace, bits, elements, |e, element, out| {
        // Only the last one needs shares.
        let [share, base] = if last { it.client_shares(stage, e, x, before)? } else { [0; 2] };
        let part = stage.part(base, element.result);
        protocol.client_send(element, [share, part], number, out)
    })
    .await
}
