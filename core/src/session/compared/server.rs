//! The server's side of comparisons.

use super::super::phase::ServerPhase;
use super::super::runs::{end_choosing, end_offering, start_choosing, start_offering};
use super::super::shares::{tensor, tensor_mut};
use super::super::{Options, Tables};
use super::comparison::{Comparison, Message, choices, part};
use super::messages::{receive, send};
use super::ots::{Direction, Ots, choose, offer};
use super::reverse::backward_hash;
use crate::block::Block;
use crate::compare::Stage;
use crate::compare::server::Element;
use crate::cost::{late_corrections_bytes, server_message_bytes};
use crate::error::{Error, Result};
use crate::plan::{Function, Op};
use crate::rng::Domain;
use crate::wire::Tag;
use embedded_io_async::{Read, Write};

impl Comparison<'_> {
    /// What the server has of an element's input, and of what the result is added to. `x`: its
    /// shares of the operation's input; `before`: elements of stages before.
    fn server_shares(
        &self,
        stage: &Stage,
        e: usize,
        x: &[u64],
        before: &[Element],
    ) -> Result<[u64; 2]> {
        let ring = self.op.ring();
        let input = |i: usize| x.get(i).map(|&x| ring.reduce(x));
        let result = |i: usize| before.get(i).map(|element| element.result);
        self.activation.shares(stage, e, true, input, result).ok_or(Error::Internal)
    }
}

/// OTs in which the client chooses.
pub(crate) async fn corrections<IO: Read + Write>(
    phase: &mut ServerPhase<'_, '_, IO>,
    it: Comparison<'_>,
    elements: &mut [Element],
) -> Result<()> {
    let hash = (it.op.hash, phase.sender.delta());
    let take = |stage: &Stage, e: usize, labels: &[Block]| {
        let element = elements.get_mut(stage.first + e).ok_or(Error::Internal)?;
        stage.protocol.server_forward(element, hash, it.tweak(stage, e), labels)
    };
    let ots = Ots { of: it, direction: Direction::Forward };
    offer(phase.ch, phase.workspace, (phase.sender, phase.sums), ots, take).await
}

/// Starts a run of OTs in which the server chooses.
pub(crate) async fn start<IO: Read + Write>(
    phase: &mut ServerPhase<'_, '_, IO>,
    options: &Options,
) -> Result<()> {
    start_choosing(phase.ch, (phase.backward.half()?, phase.sums), options, phase.workspace).await
}

/// Ends it, and the frame.
pub(crate) async fn end<IO: Read + Write>(phase: &mut ServerPhase<'_, '_, IO>) -> Result<()> {
    end_choosing(phase.ch, (phase.backward.half()?, phase.sums)).await
}

/// OTs in which the server chooses.
pub(crate) async fn tables<IO: Read + Write>(
    phase: &mut ServerPhase<'_, '_, IO>,
    it: Comparison<'_>,
    elements: &mut [Element],
) -> Result<()> {
    let (hash, op) = (backward_hash(it.op.hash), it.op);
    let mut random = choices(phase.seed, op.step.number).stream(Domain::Mask, op.index as u64);
    for stage in it.activation.stages() {
        let (_, elements) = part(&stage, elements)?;
        for element in elements {
            stage.protocol.server_choose(element, &mut random);
        }
    }
    let word = |elements: &[Element], stage: &Stage, e: usize| {
        let element = elements.get(stage.first + e).ok_or(Error::Internal)?;
        Ok(stage.protocol.server_choices(element))
    };
    let take = |elements: &mut [Element], stage: &Stage, e: usize, labels: &[Block]| {
        let element = elements.get_mut(stage.first + e).ok_or(Error::Internal)?;
        stage.protocol.server_backward(element, &hash, it.tweak(stage, e), labels)
    };
    let ots = Ots { of: it, direction: Direction::Backward };
    let receiver = phase.backward.half()?;
    choose(phase.ch, phase.workspace, (receiver, phase.sums), ots, elements, (word, take)).await
}

/// Online: all stages. The server has its share of the result then; it sends that of an argmax.
pub(crate) async fn online<IO: Read + Write>(
    phase: &mut ServerPhase<'_, '_, IO>,
    it: Comparison<'_>,
    elements: &mut [Element],
    tensors: &mut [u64],
) -> Result<()> {
    let (op, options) = (&it.op.step.op, it.op.options);
    let x = tensor(tensors, it.op.step.from, it.op.inputs())?;
    let streamed = options.tables == Tables::Streamed;
    if streamed {
        phase.ch.expect(Tag::Corrections, late_corrections_bytes(op, options)).await?;
        start_offering(phase.ch, (phase.sender, phase.sums), options, phase.workspace).await?;
        corrections(phase, it, elements).await?;
        end_offering(phase.ch, (phase.sender, phase.sums)).await?;
    }
    for stage in it.activation.stages() {
        for number in 0..stage.protocol.rounds() {
            let message = Message { stage: &stage, number };
            let bytes = server_message_bytes(op, &stage, number, options);
            phase.ch.begin(Tag::Compare, bytes).await?;
            if streamed && stage.first == 0 && number == 0 {
                start(phase, options).await?;
                tables(phase, it, elements).await?;
                write(phase, it, message, elements, x).await?;
                end(phase).await?;
            } else {
                write(phase, it, message, elements, x).await?;
                phase.ch.end().await?;
            }
            let [_, bytes] = stage.message_bytes(number);
            phase.ch.expect(Tag::Compare, bytes).await?;
            read(phase, it, message, elements, x).await?;
            phase.ch.finish().await?;
        }
    }
    if op.is_output() {
        let own = elements.last().ok_or(Error::Internal)?.result;
        phase.ch.begin(Tag::Output, it.activation.answer_bytes()).await?;
        phase.ch.put_values(1, it.activation.answer_bits(), |_| Ok(own)).await?;
        return phase.ch.end().await;
    }
    let len = it.op.outputs();
    let y = tensor_mut(tensors, it.op.step.to, len)?;
    let first = elements.len().checked_sub(len).ok_or(Error::Internal)?;
    // Both have `len` elements.
    let results = elements.get(first..).ok_or(Error::Internal)?;
    y.iter_mut().zip(results).for_each(|(y, element)| *y = element.result);
    Ok(())
}

/// Writes a message to the client.
async fn write<IO: Read + Write>(
    phase: &mut ServerPhase<'_, '_, IO>,
    it: Comparison<'_>,
    message: Message<'_>,
    elements: &mut [Element],
    x: &[u64],
) -> Result<()> {
    let Message { stage, number } = message;
    let (protocol, (before, elements)) = (&stage.protocol, part(stage, elements)?);
    let pieces = match &it.op.step.op {
        Op::Activation { function: Function::PiecewiseLinear(pieces), .. } => Some(pieces),
        _ => None,
    };
    let bits = protocol.server_bits(number);
    send(phase.ch, phase.workspace, bits, elements, |e, element, out| {
        let [share, _] = it.server_shares(stage, e, x, before)?;
        let what = (it.op.hash, it.tweak(stage, e), pieces);
        protocol.server_send(element, share, number, what, out)
    })
    .await
}

/// Reads a message of the client, and has the server's shares of the results with the last.
async fn read<IO: Read + Write>(
    phase: &mut ServerPhase<'_, '_, IO>,
    it: Comparison<'_>,
    message: Message<'_>,
    elements: &mut [Element],
    x: &[u64],
) -> Result<()> {
    let Message { stage, number } = message;
    let (protocol, (before, elements)) = (&stage.protocol, part(stage, elements)?);
    let (bits, last) = (protocol.client_bits(number), message.is_last());
    receive(phase.ch, phase.workspace, bits, elements, |e, element, input| {
        // Only the last one needs shares.
        let [share, base] = if last { it.server_shares(stage, e, x, before)? } else { [0; 2] };
        match protocol.server_receive(element, share, number, input) {
            Some(result) if last => element.result = stage.combine(base, result),
            None if !last => {}
            _ => return Err(Error::Internal),
        }
        Ok(())
    })
    .await
}
