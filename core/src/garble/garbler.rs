//! The garbler: the server's side.

use super::circuit::Circuit;
use super::gates::{GATE_BYTES, Gates};
use super::half_gates::{GarbleAnd, Rows, Second};
use super::lanes::{Cursor, Labels, instance_keys, lane_elements, lane_instances, next};
use crate::backend::aes::{Lanes, Path};
use crate::block::Block;
use crate::hash::Tmmo;
use crate::{Error, Result};
use core::array;
use core::ops::Range;
use zeroize::Zeroize as _;

/// What is garbled from, and where it goes: of several neurons, in the order of the wire.
pub struct GarbleBuffers<'b> {
    /// Zero labels of the client's inputs, `[neurons][client_inputs]`, of all steps.
    pub client_zero: &'b [Block],
    /// Receives the tables, `[neurons][32 · ands]` bytes, of all steps.
    pub tables: &'b mut [u8],
    /// Receives a word for each neuron. Bit `i` is the permute bit of output `i`: output =
    /// colour ⊕ decode.
    pub decode: &'b mut [u64],
}

/// What the server needs to garble a layer, and online to name its own input labels.
pub struct Garbler<'a> {
    /// Public: derives the instances' keys.
    pub session: &'a Tmmo,
    /// Secret: the pseudo-random function of the server's own input labels, so that none need be
    /// kept.
    pub secret: &'a Tmmo,
    /// Free-XOR offset, its lsb 1: the Δ of the correlated OTs that gave the client's labels.
    /// Wiped on drop.
    pub delta: Block,
    /// Which layer of which prediction. Never twice under one session key.
    pub layer: u64,
    /// How AES is done: the best way, unless it is set to another.
    pub path: Path,
}

impl Drop for Garbler<'_> {
    fn drop(&mut self) {
        self.delta.zeroize();
    }
}

impl<'a> Garbler<'a> {
    /// The garbler of one layer.
    #[must_use]
    pub fn new(session: &'a Tmmo, secret: &'a Tmmo, delta: Block, layer: u64) -> Self {
        debug_assert_eq!(delta & 1, 1);
        Self { session, secret, delta, layer, path: Path::best() }
    }

    /// Garbles instances `steps` of some neurons side by side, at most `L`. Between the steps of
    /// one neuron, `state` is kept.
    ///
    /// # Errors
    /// [`Error::Internal`] if a length is wrong, there are no neurons or more than `L`, or the
    /// circuit's parameters are out of range. Nothing is garbled with a label that is not there.
    pub fn garble<C: Circuit, const L: usize>(
        &self,
        circuit: &C,
        state: &mut C::State<Labels<L>>,
        steps: Range<usize>,
        neurons: Range<u64>,
        buffers: GarbleBuffers<'_>,
    ) -> Result<()> {
        circuit.check()?;
        let GarbleBuffers { client_zero, tables, decode } = buffers;
        let lanes = decode.len();
        let count = neurons.end.saturating_sub(neurons.start);
        if lanes == 0 || lanes > L || count != lanes as u64 || steps.end > circuit.steps() {
            return Err(Error::Internal);
        }
        decode.fill(0);
        let (first_instance, stride) = lane_instances(circuit, neurons.start, steps.start);
        // Built apart, it is not moved.
        let mut keys =
            Lanes::on(self.path, &instance_keys(self.session, self.layer, first_instance, stride));
        let mut context = GarbleContext::<L> {
            garbler: self,
            keys: &mut keys,
            first_instance,
            instance_stride: stride,
            lanes,
            client_stride: client_zero.len() / lanes,
            client_zero,
            table_stride: tables.len() / lanes,
            tables,
            decode,
            cursor: Cursor::default(),
            missing: false,
        };
        for step in steps.clone() {
            if step > steps.start {
                context.next_instance();
            }
            circuit.step(&mut context, state, step);
        }
        let Cursor { client_input, row, .. } = context.cursor;
        let exact = client_zero.len() == client_input * lanes
            && context.tables.len() == row * GATE_BYTES * lanes;
        if exact && !context.missing { Ok(()) } else { Err(Error::Internal) }
    }

    /// Garbles all instances of some neurons: [`Self::garble`], with slices for whole neurons
    /// ([`super::totals`]).
    ///
    /// # Errors
    /// Those of [`Self::garble`].
    #[cfg(any(test, feature = "unstable"))]
    pub fn garble_neurons<C: Circuit, const L: usize>(
        &self,
        circuit: &C,
        neurons: Range<u64>,
        buffers: GarbleBuffers<'_>,
    ) -> Result<()> {
        let (mut state, steps) = (circuit.start(), 0..circuit.steps());
        self.garble::<C, L>(circuit, &mut state, steps, neurons, buffers)
    }

    /// The active labels of the server's inputs from `first_input` on of an instance, one for each
    /// of the low bits of `value` that `out` has room for, lowest first.
    ///
    /// # Errors
    /// [`Error::Length`] for more than 64 labels.
    pub fn active_labels(
        &self,
        instance: u64,
        first_input: usize,
        value: u64,
        out: &mut [Block],
    ) -> Result<()> {
        const MAX: usize = u64::BITS as usize;
        if out.len() > MAX {
            return Err(Error::Length { need: MAX });
        }
        for (input, label) in (first_input..).zip(out.iter_mut()) {
            *label = self.server_input_name(instance, input);
        }
        self.secret.permute_all(out);
        for (i, label) in out.iter_mut().enumerate() {
            let bit = Block::from(value >> i & 1);
            *label ^= bit.wrapping_neg() & self.delta;
        }
        Ok(())
    }

    /// What the secret function takes to the zero label of a server input: layer (64 bits),
    /// instance (48) and input (16).
    #[inline]
    fn server_input_name(&self, instance: u64, input: usize) -> Block {
        debug_assert!(instance < 1 << 48 && input < 1 << 16);
        Block::from(self.layer) << 64 | Block::from(instance) << 16 | input as Block
    }
}

/// One instance in all lanes. A wire is its zero label.
struct GarbleContext<'r, const L: usize> {
    garbler: &'r Garbler<'r>,
    keys: &'r mut Lanes<L>,
    first_instance: u64,
    instance_stride: u64,
    lanes: usize,
    client_zero: &'r [Block],
    client_stride: usize,
    tables: &'r mut [u8],
    table_stride: usize,
    decode: &'r mut [u64],
    cursor: Cursor,
    /// Whether a label or a row was not there. From then on nothing is garbled.
    missing: bool,
}

impl<const L: usize> GarbleContext<'_, L> {
    /// On to the neurons' next instances: their own keys, gates and server inputs from 0.
    fn next_instance(&mut self) {
        self.first_instance = self.first_instance.wrapping_add(1);
        self.keys.replace(&instance_keys(
            self.garbler.session,
            self.garbler.layer,
            self.first_instance,
            self.instance_stride,
        ));
        self.cursor.gate = 0;
        self.cursor.server_input = 0;
    }

    #[inline]
    fn gate(&mut self, a: &Labels<L>, b: Second<'_, L>, carry: &mut Labels<L>) {
        let (gate, row) = (next(&mut self.cursor.gate), next(&mut self.cursor.row));
        match Rows::new(&mut *self.tables, self.table_stride, self.lanes, row) {
            Some(rows) if !self.missing => {
                self.keys.run(GarbleAnd { delta: self.garbler.delta, gate, a, b, carry, rows });
            }
            _ => self.missing = true,
        }
    }
}

impl<const L: usize> Gates for GarbleContext<'_, L> {
    type Wire = Labels<L>;

    #[inline]
    fn server_input(&mut self) -> Labels<L> {
        let input = next(&mut self.cursor.server_input);
        let mut zero = array::from_fn(|lane| {
            let instance =
                self.first_instance.wrapping_add(self.instance_stride.wrapping_mul(lane as u64));
            self.garbler.server_input_name(instance, input)
        });
        match zero.get_mut(..self.lanes) {
            Some(used) => self.garbler.secret.permute_all(used),
            None => self.missing = true,
        }
        Labels(zero)
    }

    #[inline]
    fn client_input(&mut self) -> Labels<L> {
        let input = next(&mut self.cursor.client_input);
        let mut zero = Labels([0; L]);
        let (blocks, stride) = (self.client_zero, self.client_stride);
        self.missing |= !lane_elements(blocks, stride, self.lanes, input, &mut zero);
        zero
    }

    #[inline]
    fn xor(&mut self, a: &Labels<L>, b: &Labels<L>) -> Labels<L> {
        let mut c = *a;
        c.0.iter_mut().zip(b.0).for_each(|(c, b)| *c ^= b);
        c
    }

    #[inline]
    fn negate(&mut self, a: &mut Labels<L>) {
        a.0.iter_mut().for_each(|a| *a ^= self.garbler.delta);
    }

    #[inline]
    fn and(&mut self, a: &Labels<L>, b: &Labels<L>) -> Labels<L> {
        let mut both = Labels([0; L]);
        self.gate(a, Second::Kept(b), &mut both);
        both
    }

    #[inline]
    fn majority(&mut self, a: &Labels<L>, b: &Labels<L>, carry: &mut Labels<L>) {
        self.gate(a, Second::Kept(b), carry);
    }

    #[inline]
    fn add(&mut self, a: &Labels<L>, b: &mut Labels<L>, carry: &mut Labels<L>) {
        self.gate(a, Second::Added(b), carry);
    }

    #[inline]
    fn output(&mut self, a: &Labels<L>) {
        for (decode, a) in self.decode.iter_mut().zip(a.0) {
            *decode |= (a as u64 & 1).wrapping_shl(self.cursor.output);
        }
        self.cursor.output += 1;
    }
}
