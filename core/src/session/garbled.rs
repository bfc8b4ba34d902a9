//! Garbled layers: OT extension offline, tables offline or online, labels and colours online.

use super::channel::Channel;
use super::store::Store;
use super::{Options, Tables};
use crate::error::{Error, Result};
use crate::garble::{Circuit, Evaluator, GATE_BYTES, Garbler, shapes};
use crate::hash::{Block, Tmmo};
use crate::machine::Machine;
use crate::memory::Space;
use crate::ot::{GROUP, Receiver, Sender};
use crate::plan::Op;
use crate::plan::nonlinear::{Gadget, LABEL_BYTES, Nonlinear};
use embedded_io_async::{Read, Write};

/// Neurons that this machine garbles or evaluates at once.
const LANES: usize = Machine::THIS.lanes;
/// Groups of OTs that it makes at once.
const CHUNK: usize = Machine::THIS.groups;

/// Scratch of either party for the OT extension.
pub(crate) struct ExtendScratch<'a> {
    choices: &'a mut [u128],
    corrections: &'a mut [u8],
}

impl<'a> ExtendScratch<'a> {
    pub(crate) fn take(space: &mut Space<'a>, options: &Options) -> Result<Self> {
        let groups = space.machine().groups;
        Ok(Self { choices: space.take(groups)?, corrections: space.take(groups * options.repetition.correction_bytes_per_group())? })
    }
}

/// A run of bits from values of any widths, cut into groups.
struct Choices<I> {
    values: I,
    pending: (u64, u32),
}

impl<I: Iterator<Item = (u64, u32)>> Choices<I> {
    /// The next 128 bits, the first lowest; zeros behind the end.
    fn group(&mut self) -> u128 {
        let (mut group, mut filled) = (0, 0);
        while filled < GROUP as u32 {
            if self.pending.1 == 0 {
                let Some(next) = self.values.next() else { break };
                self.pending = next;
                continue;
            }
            let (value, width) = self.pending;
            let take = width.min(GROUP as u32 - filled);
            group |= u128::from(value & (u64::MAX >> (64 - take))) << filled;
            filled += take;
            self.pending = (value.checked_shr(take).unwrap_or(0), width - take);
        }
        group
    }
}

/// Client: OTs of one operation of one prediction. Choices are its shares of the input, and of the output where the circuit re-shares.
#[expect(clippy::too_many_arguments, reason = "each is a different thing; a struct would be built only for this call")]
pub(crate) async fn extend_client<IO: Read + Write>(
    ch: &mut Channel<IO>,
    scratch: &mut [u8],
    options: &Options,
    receiver: &mut Receiver<'_>,
    op: &Op,
    labels: &mut [Block],
    input: impl Fn(usize) -> u64,
    output: impl Fn(usize) -> u64,
) -> Result<()> {
    let ExtendScratch { choices, corrections } = ExtendScratch::take(&mut Space::carve(scratch)?, options)?;
    let (ring, counts) = (u32::from(op.input().0), Nonlinear::of(op));
    let (neurons, steps) = if counts.products > 0 { (counts.products, 1) } else { (counts.neurons, counts.steps) };
    // A neuron's shares of its inputs, then of its output (none goes to the server in products and argmax: no bits).
    let values = (0..neurons).flat_map(|n| {
        let inputs = (0..steps).map(move |step| Nonlinear::element(op, n, step)).map(|element| (input(element), ring));
        inputs.chain(core::iter::once((output(n), counts.colour_bits)))
    });
    let mut run = Choices { values, pending: (0, 0) };
    for labels in labels.chunks_mut(CHUNK * GROUP) {
        let groups = labels.len() / GROUP;
        let choices = choices.get_mut(..groups).ok_or(Error::Internal)?;
        choices.fill_with(|| run.group());
        let corrections = corrections.get_mut(..groups * options.repetition.correction_bytes_per_group()).ok_or(Error::Internal)?;
        receiver.extend(choices, labels, corrections)?;
        ch.put(corrections).await?;
    }
    Ok(())
}

/// Server: the same OTs.
pub(crate) async fn extend_server<IO: Read + Write>(
    ch: &mut Channel<IO>,
    scratch: &mut [u8],
    options: &Options,
    sender: &mut Sender<'_>,
    labels: &mut [Block],
) -> Result<()> {
    let ExtendScratch { corrections, .. } = ExtendScratch::take(&mut Space::carve(scratch)?, options)?;
    for labels in labels.chunks_mut(CHUNK * GROUP) {
        let groups = labels.len() / GROUP;
        let corrections = corrections.get_mut(..groups * options.repetition.correction_bytes_per_group()).ok_or(Error::Internal)?;
        ch.get(corrections).await?;
        sender.extend(corrections, labels)?;
    }
    Ok(())
}

/// Scratch of either party for a garbled layer.
pub(crate) struct EvaluateScratch<'a> {
    tables: &'a mut [u8],
    labels: &'a mut [Block],
    /// Colours at the client, permute bits at a server that streams: one word for each neuron.
    words: &'a mut [u64],
}

impl<'a> EvaluateScratch<'a> {
    pub(crate) fn take(space: &mut Space<'a>, counts: &Nonlinear) -> Result<Self> {
        let lanes = space.machine().lanes.min(counts.neurons);
        Ok(Self {
            tables: space.take(lanes * counts.widest_record.0)?,
            labels: space.take(lanes * counts.widest_record.1 / LABEL_BYTES as usize)?,
            words: space.take(counts.neurons)?,
        })
    }
}

/// Lanes, first neuron and step of every call for a layer, and the shape of its records. Circuits of several steps run in one lane.
struct Records<'c, C> {
    circuit: &'c C,
    neurons: usize,
}

impl<C: Circuit> Records<'_, C> {
    fn lanes<const L: usize>(&self, first: usize) -> usize {
        if self.circuit.steps() == 1 { L.min(self.neurons - first) } else { 1 }
    }
}

/// What a server sends of a layer.
pub(crate) struct Send<'s> {
    /// The garbled tables (else they went before).
    pub(crate) tables: bool,
    /// Labels of the server's shares of the layer's input.
    pub(crate) shares: Option<&'s [u64]>,
}

/// What a server needs to garble.
pub(crate) struct Garbling<'s> {
    pub(crate) session: &'s Tmmo,
    pub(crate) secret: &'s Tmmo,
    pub(crate) delta: Block,
    pub(crate) layer: u64,
}

/// Server: garbles and sends records, in the order of the wire: each record's tables, then its labels, whichever of the two travel now.
/// `decode`: permute bits, one word for each neuron, written when tables are made.
pub(crate) async fn send<IO: Read + Write>(
    ch: &mut Channel<IO>,
    scratch: &mut [u8],
    op: &Op,
    garbling: &Garbling<'_>,
    zero: &[Block],
    decode: &mut [u64],
    what: Send<'_>,
) -> Result<()> {
    let counts = Nonlinear::of(op);
    match Gadget::of(op).ok_or(Error::Internal)? {
        Gadget::Neuron(circuit) => send_records::<_, _, LANES>(ch, scratch, op, &circuit, &counts, garbling, zero, decode, &what).await,
        Gadget::Max(circuit) => send_records::<_, _, 1>(ch, scratch, op, &circuit, &counts, garbling, zero, decode, &what).await,
        Gadget::Argmax(circuit) => {
            send_records::<_, _, 1>(ch, scratch, op, &circuit, &counts, garbling, zero, decode, &what).await?;
            if what.tables {
                ch.put(&decode.first().ok_or(Error::Internal)?.to_le_bytes()).await?;
            }
            Ok(())
        }
    }
}

#[expect(clippy::too_many_arguments, reason = "those of send")]
async fn send_records<IO: Read + Write, C: Circuit, const L: usize>(
    ch: &mut Channel<IO>,
    scratch: &mut [u8],
    op: &Op,
    circuit: &C,
    counts: &Nonlinear,
    garbling: &Garbling<'_>,
    zero: &[Block],
    decode: &mut [u64],
    what: &Send<'_>,
) -> Result<()> {
    let EvaluateScratch { tables, labels, .. } = EvaluateScratch::take(&mut Space::carve(scratch)?, counts)?;
    let garbler = Garbler::new(garbling.session, garbling.secret, garbling.delta, garbling.layer);
    let records = Records { circuit, neurons: counts.neurons };
    let (mut first, mut at) = (0, 0);
    while first < counts.neurons {
        let lanes = records.lanes::<L>(first);
        let mut state = circuit.start();
        for (step, shape) in shapes(circuit).enumerate() {
            let table_bytes = shape.ands as usize * GATE_BYTES;
            let tables = tables.get_mut(..lanes * table_bytes).ok_or(Error::Internal)?;
            let inputs = lanes * shape.client_inputs as usize;
            if what.tables {
                let zero = zero.get(at..at + inputs).ok_or(Error::Internal)?;
                let decode = decode.get_mut(first..first + lanes).ok_or(Error::Internal)?;
                garbler.garble::<C, L>(circuit, &mut state, step, first as u64, lanes, zero, tables, decode)?;
            }
            at += inputs;
            for lane in 0..lanes {
                if what.tables {
                    ch.put(tables.get(lane * table_bytes..(lane + 1) * table_bytes).ok_or(Error::Internal)?).await?;
                }
                if let Some(shares) = what.shares {
                    let record = (first + lane) * circuit.steps() + step;
                    let bits = shape.server_inputs as usize;
                    let labels = labels.get_mut(..bits).ok_or(Error::Internal)?;
                    let share = *shares.get(Nonlinear::element(op, first + lane, step)).ok_or(Error::Internal)?;
                    garbler.active_labels(record as u64, 0, share, bits, labels);
                    put_blocks(ch, labels).await?;
                }
            }
        }
        first += lanes;
    }
    Ok(())
}

async fn put_blocks<IO: Read + Write>(ch: &mut Channel<IO>, blocks: &[Block]) -> Result<()> {
    for block in blocks {
        ch.put(&block.to_le_bytes()).await?;
    }
    Ok(())
}

async fn get_blocks<IO: Read + Write>(ch: &mut Channel<IO>, blocks: &mut [Block]) -> Result<()> {
    for block in blocks {
        let mut bytes = [0; size_of::<Block>()];
        ch.get(&mut bytes).await?;
        *block = Block::from_le_bytes(bytes);
    }
    Ok(())
}

/// Client, offline: keeps one operation's tables.
pub(crate) async fn keep<IO: Read + Write>(ch: &mut Channel<IO>, scratch: &mut [u8], op: &Op, store: &mut impl Store) -> Result<()> {
    let counts = Nonlinear::of(op);
    let EvaluateScratch { tables, .. } = EvaluateScratch::take(&mut Space::carve(scratch)?, &counts)?;
    let mut left = counts.table_bytes() + counts.decode_bytes;
    while left > 0 {
        let n = tables.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let chunk = tables.get_mut(..n).filter(|c| !c.is_empty()).ok_or(Error::Internal)?;
        ch.get(chunk).await?;
        store.write(chunk)?;
        left -= n as u64;
    }
    Ok(())
}

/// What a client needs to evaluate.
pub(crate) struct Evaluation<'s> {
    pub(crate) session: &'s Tmmo,
    pub(crate) layer: u64,
    pub(crate) tables: Tables,
    /// Active labels of the client's inputs.
    pub(crate) labels: &'s [Block],
}

/// Client, online: evaluates a layer while its labels (and tables) arrive inside the current frame.
/// Returns the colours, one word for each neuron; for an argmax the plain index.
pub(crate) async fn evaluate<'a, IO: Read + Write>(
    ch: &mut Channel<IO>,
    scratch: &'a mut [u8],
    op: &Op,
    evaluation: &Evaluation<'_>,
    store: &mut impl Store,
) -> Result<&'a mut [u64]> {
    let counts = Nonlinear::of(op);
    let mut scratch = EvaluateScratch::take(&mut Space::carve(scratch)?, &counts)?;
    match Gadget::of(op).ok_or(Error::Internal)? {
        Gadget::Neuron(circuit) => evaluate_records::<_, _, LANES>(ch, &mut scratch, &circuit, &counts, evaluation, store).await?,
        Gadget::Max(circuit) => evaluate_records::<_, _, 1>(ch, &mut scratch, &circuit, &counts, evaluation, store).await?,
        Gadget::Argmax(circuit) => {
            evaluate_records::<_, _, 1>(ch, &mut scratch, &circuit, &counts, evaluation, store).await?;
            let mut decode = [0; size_of::<u64>()];
            match evaluation.tables {
                Tables::Stored => store.read(&mut decode)?,
                Tables::Streamed => ch.get(&mut decode).await?,
            }
            *scratch.words.first_mut().ok_or(Error::Internal)? ^= u64::from_le_bytes(decode);
        }
    }
    Ok(scratch.words)
}

async fn evaluate_records<IO: Read + Write, C: Circuit, const L: usize>(
    ch: &mut Channel<IO>,
    scratch: &mut EvaluateScratch<'_>,
    circuit: &C,
    counts: &Nonlinear,
    evaluation: &Evaluation<'_>,
    store: &mut impl Store,
) -> Result<()> {
    let evaluator = Evaluator::new(evaluation.session, evaluation.layer);
    let records = Records { circuit, neurons: counts.neurons };
    let (mut first, mut at) = (0, 0);
    while first < counts.neurons {
        let lanes = records.lanes::<L>(first);
        let mut state = circuit.start();
        for (step, shape) in shapes(circuit).enumerate() {
            let (table_bytes, bits) = (shape.ands as usize * GATE_BYTES, shape.server_inputs as usize);
            let tables = scratch.tables.get_mut(..lanes * table_bytes).ok_or(Error::Internal)?;
            let server = scratch.labels.get_mut(..lanes * bits).ok_or(Error::Internal)?;
            if evaluation.tables == Tables::Stored {
                store.read(tables)?;
            }
            for lane in 0..lanes {
                if evaluation.tables == Tables::Streamed {
                    ch.get(tables.get_mut(lane * table_bytes..(lane + 1) * table_bytes).ok_or(Error::Internal)?).await?;
                }
                get_blocks(ch, server.get_mut(lane * bits..(lane + 1) * bits).ok_or(Error::Internal)?).await?;
            }
            let inputs = lanes * shape.client_inputs as usize;
            let client = evaluation.labels.get(at..at + inputs).ok_or(Error::Internal)?;
            at += inputs;
            let colours = scratch.words.get_mut(first..first + lanes).ok_or(Error::Internal)?;
            evaluator.evaluate::<C, L>(circuit, &mut state, step, first as u64, lanes, tables, server, client, colours)?;
        }
        first += lanes;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_the_bits_in_order() {
        let values = [(0b101, 3), (0, 0), (u64::MAX, 64), (0x5555, 16), (1, 44), (0, 44)];
        let mut run = Choices { values: values.into_iter(), pending: (0, 0) };
        let first = run.group();
        let expected = 0b101_u128 | u128::from(u64::MAX) << 3 | 0x5555 << 67 | 1 << 83;
        assert_eq!((first, run.group(), run.group()), (expected, 0, 0));
    }
}
