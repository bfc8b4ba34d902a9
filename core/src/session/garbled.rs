//! Garbled layers: OT extension offline, tables offline or online, labels and colours online.

use super::channel::Channel;
use super::store::Store;
use super::{Options, Tables};
use crate::block::Block;
use crate::error::{Error, Result};
use crate::garble::{
    Circuit, EvaluateBuffers, Evaluator, GarbleBuffers, Garbler, GateCounts, count, shapes,
};
use crate::hash::Tmmo;
use crate::memory::Space;
use crate::ot::{GROUP, Receiver, Sender};
use crate::plan::Op;
use crate::plan::circuit::{LABEL_BYTES, NonlinearCost, OpCircuit};
use crate::target::LANES;
use crate::target::TargetProfile;
use embedded_io_async::{Read, Write};

/// Groups of OTs that it makes at once.
const CHUNK: usize = TargetProfile::THIS.groups;

/// Scratch of either party for the OT extension.
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
pub(crate) struct Choices<I> {
    values: I,
    pending: (u64, u32),
}

impl<I: Iterator<Item = (u64, u32)>> Choices<I> {
    /// Values with their widths.
    pub(crate) const fn new(values: I) -> Self {
        Self::after((0, 0), values)
    }

    /// Further values, behind what others have left.
    pub(crate) const fn after(pending: (u64, u32), values: I) -> Self {
        Self { values, pending }
    }

    /// What is left of the last value, and its width.
    pub(crate) const fn pending(&self) -> (u64, u32) {
        self.pending
    }

    /// The next 128 bits, the first lowest; zeros behind the end.
    pub(crate) fn group(&mut self) -> u128 {
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

/// Client: OTs of one operation of one prediction. Choices are its shares of the input, and of the
/// output where the circuit re-shares.
#[expect(
    clippy::too_many_arguments,
    reason = "each is a different thing; a struct would be built only for this call"
)]
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
    let ExtendScratch { choices, corrections } =
        ExtendScratch::take(&mut Space::carve(scratch)?, options, labels.len() / GROUP)?;
    let (ring, counts) = (u32::from(op.input().0), NonlinearCost::of(op));
    let (neurons, steps) =
        if counts.products > 0 { (counts.products, 1) } else { (counts.neurons, counts.steps) };
    // A neuron's shares of its inputs, then of its output (none goes to the server in products and
    // argmax: no bits).
    let values = (0..neurons * (steps + 1)).map(|i| match (i / (steps + 1), i % (steps + 1)) {
        (n, step) if step == steps => (output(n), counts.colour_bits),
        (n, step) => (input(NonlinearCost::element(op, n, step)), ring),
    });
    let mut run = Choices::new(values);
    for labels in labels.chunks_mut(CHUNK * GROUP) {
        let groups = labels.len() / GROUP;
        let choices = choices.get_mut(..groups).ok_or(Error::Internal)?;
        choices.fill_with(|| run.group());
        let corrections = corrections
            .get_mut(..groups * options.repetition.correction_bytes_per_group())
            .ok_or(Error::Internal)?;
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
    let ExtendScratch { corrections, .. } =
        ExtendScratch::take(&mut Space::carve(scratch)?, options, labels.len() / GROUP)?;
    for labels in labels.chunks_mut(CHUNK * GROUP) {
        let groups = labels.len() / GROUP;
        let corrections = corrections
            .get_mut(..groups * options.repetition.correction_bytes_per_group())
            .ok_or(Error::Internal)?;
        ch.get(corrections).await?;
        sender.extend(corrections, labels)?;
    }
    Ok(())
}

/// Most bytes of tables and labels that a party garbles or evaluates at once.
const MAX_BYTES: usize = 1 << 20;
/// Most instances of a neuron that are made at once.
const MAX_STEPS: usize = if cfg!(target_pointer_width = "64") { 64 } else { 1 };

/// How a layer is cut: how many neurons at once, and whether all instances of each or one.
#[derive(Clone, Copy)]
struct ChunkPlan {
    lanes: usize,
    steps: usize,
    whole: bool,
    /// Bytes of tables and labels of one neuron's part.
    bytes: (usize, usize),
}

impl ChunkPlan {
    fn of(machine: TargetProfile, counts: &NonlinearCost) -> Self {
        let lanes = machine.lanes.min(counts.neurons).max(1);
        if counts.steps <= 1 {
            return Self { lanes, steps: 1, whole: true, bytes: counts.widest_instance };
        }
        // Neurons of several instances follow each other whole on the wire.
        let (tables, labels) = counts.neuron_bytes();
        let lanes = lanes.min(MAX_BYTES / (tables + labels).max(1));
        if counts.steps <= MAX_STEPS && lanes > 1 {
            Self { lanes, steps: counts.steps, whole: true, bytes: (tables, labels) }
        } else {
            Self { lanes: 1, steps: 1, whole: false, bytes: counts.widest_instance }
        }
    }

    /// Shapes of the instances of a neuron, if all are made at once.
    fn shapes(self, circuit: &impl Circuit) -> [GateCounts; MAX_STEPS] {
        let mut known = [GateCounts::default(); MAX_STEPS];
        if self.whole {
            known
                .iter_mut()
                .zip(shapes(circuit).take(self.steps))
                .for_each(|(to, shape)| *to = shape);
        }
        known
    }

    /// The shapes of the instances that come next, if these are made one by one the `next`.
    fn instances(
        self,
        known: &mut [GateCounts; MAX_STEPS],
        next: impl FnOnce() -> GateCounts,
    ) -> Result<&[GateCounts]> {
        if let (false, [known, ..]) = (self.whole, &mut known[..]) {
            *known = next();
        }
        known.get(..self.steps).ok_or(Error::Internal)
    }
}

/// Scratch of either party for a garbled layer.
pub(crate) struct EvaluateScratch<'a> {
    tables: &'a mut [u8],
    labels: &'a mut [Block],
    /// Colours at the client, permute bits at a server that streams: one word for each neuron.
    words: &'a mut [u64],
}

impl<'a> EvaluateScratch<'a> {
    pub(crate) fn take(space: &mut Space<'a>, counts: &NonlinearCost) -> Result<Self> {
        let ChunkPlan { lanes, bytes: (tables, labels), .. } =
            ChunkPlan::of(space.machine(), counts);
        Ok(Self {
            tables: space.take(lanes * tables)?,
            labels: space.take(lanes * labels / LABEL_BYTES as usize)?,
            words: space.take(counts.neurons)?,
        })
    }
}

/// The sum of instances' shapes.
fn sum(instances: &[GateCounts]) -> GateCounts {
    instances.iter().fold(GateCounts::default(), |sum, &instance| sum + instance)
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

/// Server: garbles and sends instances, in the order of the wire: each instance's tables, then its
/// labels, whichever of the two travel now. `decode`: permute bits, one word for each neuron,
/// written when tables are made.
pub(crate) async fn send<IO: Read + Write>(
    ch: &mut Channel<IO>,
    scratch: &mut [u8],
    op: &Op,
    garbling: &Garbling<'_>,
    zero: &[Block],
    decode: &mut [u64],
    what: Send<'_>,
) -> Result<()> {
    let counts = NonlinearCost::of(op);
    match OpCircuit::of(op).ok_or(Error::Internal)? {
        OpCircuit::Neuron(circuit) => {
            send_instances::<_, _, LANES>(
                ch, scratch, op, &circuit, &counts, garbling, zero, decode, &what,
            )
            .await
        }
        OpCircuit::Max(circuit) => {
            send_instances::<_, _, LANES>(
                ch, scratch, op, &circuit, &counts, garbling, zero, decode, &what,
            )
            .await
        }
        OpCircuit::Argmax(circuit) => {
            send_instances::<_, _, 1>(
                ch, scratch, op, &circuit, &counts, garbling, zero, decode, &what,
            )
            .await?;
            if what.tables {
                ch.put(&decode.first().ok_or(Error::Internal)?.to_le_bytes()).await?;
            }
            Ok(())
        }
    }
}

#[expect(clippy::too_many_arguments, reason = "those of send")]
async fn send_instances<IO: Read + Write, C: Circuit, const L: usize>(
    ch: &mut Channel<IO>,
    scratch: &mut [u8],
    op: &Op,
    circuit: &C,
    counts: &NonlinearCost,
    garbling: &Garbling<'_>,
    mut zero: &[Block],
    decode: &mut [u64],
    what: &Send<'_>,
) -> Result<()> {
    let EvaluateScratch { tables, labels, .. } =
        EvaluateScratch::take(&mut Space::carve(scratch)?, counts)?;
    let garbler = Garbler::new(garbling.session, garbling.secret, garbling.delta, garbling.layer);
    let cut = ChunkPlan::of(TargetProfile::THIS, counts);
    let mut known = cut.shapes(circuit);
    for first in (0..counts.neurons).step_by(cut.lanes) {
        let lanes = cut.lanes.min(counts.neurons - first);
        let mut state = circuit.start();
        for step in (0..counts.steps).step_by(cut.steps) {
            // Where nothing is garbled, counting is what moves the state on.
            let next = || {
                if what.tables {
                    count(circuit, &mut state.clone(), step)
                } else {
                    count(circuit, &mut state, step)
                }
            };
            let instances = cut.instances(&mut known, next)?;
            let total = sum(instances);
            let tables = tables.get_mut(..lanes * total.table_bytes()).ok_or(Error::Internal)?;
            let zero =
                zero.split_off(..lanes * total.client_inputs as usize).ok_or(Error::Internal)?;
            if what.tables {
                let decode = decode.get_mut(first..first + lanes).ok_or(Error::Internal)?;
                let neurons = first as u64..(first + lanes) as u64;
                let steps = step..step + cut.steps;
                let buffers = GarbleBuffers { client_zero: zero, tables, decode };
                garbler.garble::<C, L>(circuit, &mut state, steps, neurons, buffers)?;
            }
            let Some(shares) = what.shares else {
                ch.put(tables).await?;
                continue;
            };
            let mut tables = &tables[..];
            for neuron in first..first + lanes {
                for (step, instance) in (step..).zip(instances) {
                    if what.tables {
                        ch.put(tables.split_off(..instance.table_bytes()).ok_or(Error::Internal)?)
                            .await?;
                    }
                    let bits = instance.server_inputs as usize;
                    let labels = labels.get_mut(..bits).ok_or(Error::Internal)?;
                    let share = *shares
                        .get(NonlinearCost::element(op, neuron, step))
                        .ok_or(Error::Internal)?;
                    let instance = (neuron * counts.steps + step) as u64;
                    garbler.active_labels(instance, 0, share, labels)?;
                    put_blocks(ch, labels).await?;
                }
            }
        }
    }
    Ok(())
}

/// Sends blocks, and leaves them as they are sent.
async fn put_blocks<IO: Read + Write>(ch: &mut Channel<IO>, blocks: &mut [Block]) -> Result<()> {
    blocks.iter_mut().for_each(|block| *block = block.to_le());
    ch.put(bytemuck::must_cast_slice(blocks)).await
}

async fn get_blocks<IO: Read + Write>(ch: &mut Channel<IO>, blocks: &mut [Block]) -> Result<()> {
    ch.get(bytemuck::must_cast_slice_mut(blocks)).await?;
    blocks.iter_mut().for_each(|block| *block = Block::from_le(*block));
    Ok(())
}

/// Client, offline: keeps one operation's tables.
pub(crate) async fn keep<IO: Read + Write>(
    ch: &mut Channel<IO>,
    scratch: &mut [u8],
    op: &Op,
    store: &mut impl Store,
) -> Result<()> {
    let counts = NonlinearCost::of(op);
    let EvaluateScratch { tables, .. } =
        EvaluateScratch::take(&mut Space::carve(scratch)?, &counts)?;
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
    let counts = NonlinearCost::of(op);
    let mut scratch = EvaluateScratch::take(&mut Space::carve(scratch)?, &counts)?;
    match OpCircuit::of(op).ok_or(Error::Internal)? {
        OpCircuit::Neuron(circuit) => {
            evaluate_instances::<_, _, LANES>(
                ch,
                &mut scratch,
                &circuit,
                &counts,
                evaluation,
                store,
            )
            .await?
        }
        OpCircuit::Max(circuit) => {
            evaluate_instances::<_, _, LANES>(
                ch,
                &mut scratch,
                &circuit,
                &counts,
                evaluation,
                store,
            )
            .await?
        }
        OpCircuit::Argmax(circuit) => {
            evaluate_instances::<_, _, 1>(ch, &mut scratch, &circuit, &counts, evaluation, store)
                .await?;
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

async fn evaluate_instances<IO: Read + Write, C: Circuit, const L: usize>(
    ch: &mut Channel<IO>,
    scratch: &mut EvaluateScratch<'_>,
    circuit: &C,
    counts: &NonlinearCost,
    evaluation: &Evaluation<'_>,
    store: &mut impl Store,
) -> Result<()> {
    let evaluator = Evaluator::new(evaluation.session, evaluation.layer);
    let cut = ChunkPlan::of(TargetProfile::THIS, counts);
    let (mut known, mut client) = (cut.shapes(circuit), evaluation.labels);
    for first in (0..counts.neurons).step_by(cut.lanes) {
        let lanes = cut.lanes.min(counts.neurons - first);
        let mut state = circuit.start();
        for step in (0..counts.steps).step_by(cut.steps) {
            let instances =
                cut.instances(&mut known, || count(circuit, &mut state.clone(), step))?;
            let total = sum(instances);
            let tables =
                scratch.tables.get_mut(..lanes * total.table_bytes()).ok_or(Error::Internal)?;
            let server = scratch
                .labels
                .get_mut(..lanes * total.server_inputs as usize)
                .ok_or(Error::Internal)?;
            let client =
                client.split_off(..lanes * total.client_inputs as usize).ok_or(Error::Internal)?;
            match evaluation.tables {
                Tables::Stored => {
                    store.read(tables)?;
                    get_blocks(ch, server).await?;
                }
                Tables::Streamed => get_instances(ch, lanes, instances, tables, server).await?,
            }
            let colours = scratch.words.get_mut(first..first + lanes).ok_or(Error::Internal)?;
            let steps = step..step + cut.steps;
            let neurons = first as u64..(first + lanes) as u64;
            let buffers =
                EvaluateBuffers { tables, server_labels: server, client_labels: client, colours };
            evaluator.evaluate::<C, L>(circuit, &mut state, steps, neurons, buffers)?;
        }
    }
    Ok(())
}

/// Each instance's tables, then its labels, of all lanes.
async fn get_instances<IO: Read + Write>(
    ch: &mut Channel<IO>,
    lanes: usize,
    instances: &[GateCounts],
    mut tables: &mut [u8],
    mut labels: &mut [Block],
) -> Result<()> {
    for _ in 0..lanes {
        for instance in instances {
            ch.get(tables.split_off_mut(..instance.table_bytes()).ok_or(Error::Internal)?).await?;
            get_blocks(
                ch,
                labels.split_off_mut(..instance.server_inputs as usize).ok_or(Error::Internal)?,
            )
            .await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_the_bits_in_order() {
        let values = [(0b101, 3), (0, 0), (u64::MAX, 64), (0x5555, 16), (1, 44), (0, 44)];
        let mut run = Choices::new(values.into_iter());
        let first = run.group();
        let expected = 0b101_u128 | u128::from(u64::MAX) << 3 | 0x5555 << 67 | 1 << 83;
        assert_eq!((first, run.group(), run.group()), (expected, 0, 0));
    }
}
