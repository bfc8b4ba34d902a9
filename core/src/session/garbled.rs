//! Operations by garbled circuits: tables offline or online, labels and colours online.

use super::Tables;
use super::channel::Channel;
use super::extension;
use super::material::ServerOpMaterial;
use super::operation::OpContext;
use super::phase::{ClientPhase, ServerPhase};
use super::shares::{tensor, tensor_mut};
use super::store::Store;
use crate::block::Block;
use crate::cost::labels_bytes;
use crate::error::{Error, Result};
use crate::garble::{
    Circuit, EvaluateBuffers, Evaluator, GarbleBuffers, Garbler, GateCounts, count, shapes,
};
use crate::memory::Space;
use crate::plan::circuit::{LABEL_BYTES, NonlinearCost, OpCircuit};
use crate::target::{LANES, TargetProfile};
use crate::wire::{Tag, packed_len};
use embedded_io_async::{Read, Write};

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

/// Server, offline: garbles, and sends the tables.
pub(crate) async fn server_tables<IO: Read + Write>(
    phase: &mut ServerPhase<'_, '_, IO>,
    op: &OpContext<'_>,
    circuit: &OpCircuit,
    own: &mut ServerOpMaterial<'_>,
) -> Result<()> {
    send(phase, op, circuit, own, None).await
}

/// Server, online: sends the labels of its shares, with tables that were not sent before, and has
/// its share of the result with the colours.
pub(crate) async fn server_online<IO: Read + Write>(
    phase: &mut ServerPhase<'_, '_, IO>,
    op: &OpContext<'_>,
    circuit: &OpCircuit,
    own: &mut ServerOpMaterial<'_>,
    tensors: &mut [u64],
) -> Result<()> {
    extension::server_late(phase, op, own.labels).await?;
    let shares = tensor(tensors, op.step.from, op.inputs())?;
    phase.ch.begin(Tag::Labels, labels_bytes(&op.step.op, op.options)).await?;
    send(phase, op, circuit, own, Some(shares)).await?;
    phase.ch.end().await?;
    if op.step.op.is_output() {
        return Ok(());
    }
    let (len, ring) = (op.outputs(), op.ring_out());
    let y = tensor_mut(tensors, op.step.to, len)?;
    phase.ch.expect(Tag::Colours, packed_len(len as u64, op.counts.colour_bits)).await?;
    let constant = ring.reduce_signed(op.step.op.constant());
    let mut slots = y.iter_mut().zip(own.decode.iter());
    phase
        .ch
        .get_values(len, ring.bits(), |_, colours| {
            let (y, &decode) = slots.next().ok_or(Error::Internal)?;
            *y = ring.add(colours ^ decode, constant);
            Ok(())
        })
        .await?;
    phase.ch.finish().await
}

/// Whether tables are garbled and sent now: offline, where there are no shares yet, or with the
/// labels of these.
fn tables_travel(op: &OpContext<'_>, shares: Option<&[u64]>) -> bool {
    shares.is_none() || op.options.tables == Tables::Streamed
}

/// Garbles and sends instances, in the order of the wire: each instance's tables, then the labels
/// of the server's `shares` of its inputs, whichever of the two travel now. Permute bits are
/// written when tables are made.
async fn send<IO: Read + Write>(
    phase: &mut ServerPhase<'_, '_, IO>,
    op: &OpContext<'_>,
    circuit: &OpCircuit,
    own: &mut ServerOpMaterial<'_>,
    shares: Option<&[u64]>,
) -> Result<()> {
    match circuit {
        OpCircuit::Neuron(circuit) => {
            send_instances::<_, _, LANES>(phase, op, circuit, own, shares).await
        }
        OpCircuit::Max(circuit) => {
            send_instances::<_, _, LANES>(phase, op, circuit, own, shares).await
        }
        OpCircuit::Argmax(circuit) => {
            send_instances::<_, _, 1>(phase, op, circuit, own, shares).await?;
            if tables_travel(op, shares) {
                let decode = own.decode.first().ok_or(Error::Internal)?;
                phase.ch.put(&decode.to_le_bytes()).await?;
            }
            Ok(())
        }
    }
}

async fn send_instances<IO: Read + Write, C: Circuit, const L: usize>(
    phase: &mut ServerPhase<'_, '_, IO>,
    op: &OpContext<'_>,
    circuit: &C,
    own: &mut ServerOpMaterial<'_>,
    shares: Option<&[u64]>,
) -> Result<()> {
    let (counts, garbles) = (&op.counts, tables_travel(op, shares));
    let EvaluateScratch { tables, labels, .. } =
        EvaluateScratch::take(&mut Space::carve(phase.workspace)?, counts)?;
    let garbler = Garbler::new(op.hash, phase.own_labels, phase.sender.delta(), op.instance);
    let cut = ChunkPlan::of(TargetProfile::THIS, counts);
    let (mut known, mut zero) = (cut.shapes(circuit), &*own.labels);
    for first in (0..counts.neurons).step_by(cut.lanes) {
        let lanes = cut.lanes.min(counts.neurons - first);
        let mut state = circuit.start();
        for step in (0..counts.steps).step_by(cut.steps) {
            // Where nothing is garbled, counting is what moves the state on.
            let next = || {
                if garbles {
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
            if garbles {
                let decode = own.decode.get_mut(first..first + lanes).ok_or(Error::Internal)?;
                let steps = step..step + cut.steps;
                let neurons = first as u64..(first + lanes) as u64;
                let buffers = GarbleBuffers { client_zero: zero, tables, decode };
                garbler.garble::<C, L>(circuit, &mut state, steps, neurons, buffers)?;
            }
            let Some(shares) = shares else {
                phase.ch.put(tables).await?;
                continue;
            };
            let mut tables = &tables[..];
            for neuron in first..first + lanes {
                for (step, instance) in (step..).zip(instances) {
                    if garbles {
                        let bytes = instance.table_bytes();
                        phase.ch.put(tables.split_off(..bytes).ok_or(Error::Internal)?).await?;
                    }
                    let bits = instance.server_inputs as usize;
                    let labels = labels.get_mut(..bits).ok_or(Error::Internal)?;
                    let element = NonlinearCost::element(&op.step.op, neuron, step);
                    let share = *shares.get(element).ok_or(Error::Internal)?;
                    let number = (neuron * counts.steps + step) as u64;
                    garbler.active_labels(number, 0, share, labels)?;
                    put_blocks(phase.ch, labels).await?;
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

/// Client, offline: keeps an operation's tables.
pub(crate) async fn client_tables<IO: Read + Write, S: Store>(
    phase: &mut ClientPhase<'_, '_, IO, S>,
    op: &OpContext<'_>,
) -> Result<()> {
    let EvaluateScratch { tables, .. } =
        EvaluateScratch::take(&mut Space::carve(phase.workspace)?, &op.counts)?;
    let mut left = op.counts.table_bytes() + op.counts.decode_bytes;
    while left > 0 {
        let n = left.min(tables.len() as u64);
        let chunk =
            tables.get_mut(..n as usize).filter(|c| !c.is_empty()).ok_or(Error::Internal)?;
        phase.ch.get(chunk).await?;
        phase.store.write(chunk)?;
        left -= n;
    }
    Ok(())
}

/// Client, online: evaluates a circuit's copies while labels (and tables) arrive, and answers the
/// colours. An argmax gives the answer.
pub(crate) async fn client_online<IO: Read + Write, S: Store>(
    phase: &mut ClientPhase<'_, '_, IO, S>,
    op: &OpContext<'_>,
    circuit: &OpCircuit,
    labels: &mut [Block],
) -> Result<Option<usize>> {
    extension::client_late(phase, op, labels).await?;
    let ClientPhase { ch, store, workspace, .. } = phase;
    ch.expect(Tag::Labels, labels_bytes(&op.step.op, op.options)).await?;
    let mut scratch = EvaluateScratch::take(&mut Space::carve(workspace)?, &op.counts)?;
    match circuit {
        OpCircuit::Neuron(circuit) => {
            evaluate::<_, _, _, LANES>(ch, *store, op, circuit, labels, &mut scratch).await?
        }
        OpCircuit::Max(circuit) => {
            evaluate::<_, _, _, LANES>(ch, *store, op, circuit, labels, &mut scratch).await?
        }
        OpCircuit::Argmax(circuit) => {
            evaluate::<_, _, _, 1>(ch, *store, op, circuit, labels, &mut scratch).await?;
            let mut decode = [0; size_of::<u64>()];
            match op.options.tables {
                Tables::Stored => store.read(&mut decode)?,
                Tables::Streamed => ch.get(&mut decode).await?,
            }
            ch.finish().await?;
            let colours = scratch.words.first().ok_or(Error::Internal)?;
            let index = usize::try_from(colours ^ u64::from_le_bytes(decode));
            let index = index.map_err(|_| Error::Malformed)?;
            return if index < op.inputs() { Ok(Some(index)) } else { Err(Error::Malformed) };
        }
    }
    ch.finish().await?;
    let (neurons, bits) = (scratch.words.len(), op.counts.colour_bits);
    ch.begin(Tag::Colours, packed_len(neurons as u64, bits)).await?;
    let mut colours = scratch.words.iter();
    ch.put_values(neurons, bits, |_| colours.next().copied().ok_or(Error::Internal)).await?;
    ch.end().await?;
    Ok(None)
}

/// Evaluates a circuit's copies: colours, one word for each.
async fn evaluate<IO: Read + Write, S: Store, C: Circuit, const L: usize>(
    ch: &mut Channel<IO>,
    store: &mut S,
    op: &OpContext<'_>,
    circuit: &C,
    mut client: &[Block],
    scratch: &mut EvaluateScratch<'_>,
) -> Result<()> {
    let (counts, evaluator) = (&op.counts, Evaluator::new(op.hash, op.instance));
    let cut = ChunkPlan::of(TargetProfile::THIS, counts);
    let mut known = cut.shapes(circuit);
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
            match op.options.tables {
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
