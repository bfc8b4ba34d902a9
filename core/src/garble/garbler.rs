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

    /// Garbles instance `step` of the neurons `first_neuron..first_neuron + lanes`.
    ///
    /// `client_zero`: zero labels of the client's inputs, `[lanes][client_inputs]`. Writes
    /// `tables`, `[lanes][32 · ands]` bytes, and `decode`, `[lanes]`: bit `i` is the permute
    /// bit of output `i`, so that output = colour ⊕ decode. The lengths are those of
    /// [`super::shape`]. Between the steps of one neuron, `state` is kept.
    ///
    /// # Errors
    /// [`Error::Internal`] if a length is wrong, `lanes` is not in `1..=L`, or the circuit's
    /// parameters are out of range.
    #[expect(
        clippy::too_many_arguments,
        reason = "inputs first, then outputs; a struct of these would be built only to be taken apart"
    )]
    pub fn garble<C: Circuit, const L: usize>(
        &self,
        circuit: &C,
        state: &mut C::State<Labels<L>>,
        step: usize,
        first_neuron: u64,
        lanes: usize,
        client_zero: &[Block],
        tables: &mut [u8],
        decode: &mut [u64],
    ) -> Result<()> {
        self.garble_steps::<C, L>(
            circuit,
            state,
            step..step.saturating_add(1),
            first_neuron,
            lanes,
            client_zero,
            tables,
            decode,
        )
    }

    /// Garbles all instances of the neurons `first_neuron..first_neuron + lanes`: [`Self::garble`],
    /// with slices for whole neurons ([`super::totals`]) in the order of the wire.
    ///
    /// # Errors
    /// As [`Self::garble`].
    pub fn garble_neurons<C: Circuit, const L: usize>(
        &self,
        circuit: &C,
        first_neuron: u64,
        lanes: usize,
        client_zero: &[Block],
        tables: &mut [u8],
        decode: &mut [u64],
    ) -> Result<()> {
        let mut state = circuit.start();
        self.garble_steps::<C, L>(
            circuit,
            &mut state,
            0..circuit.steps(),
            first_neuron,
            lanes,
            client_zero,
            tables,
            decode,
        )
    }

    /// [`Self::garble`] for instances of several `steps`, with slices for all of them in the order of
    /// the wire.
    #[expect(clippy::too_many_arguments, reason = "those of garble")]
    pub(crate) fn garble_steps<C: Circuit, const L: usize>(
        &self,
        circuit: &C,
        state: &mut C::State<Labels<L>>,
        steps: Range<usize>,
        first_neuron: u64,
        lanes: usize,
        client_zero: &[Block],
        tables: &mut [u8],
        decode: &mut [u64],
    ) -> Result<()> {
        circuit.check()?;
        if lanes == 0 || lanes > L || decode.len() != lanes || steps.end > circuit.steps() {
            return Err(Error::Internal);
        }
        decode.fill(0);
        let (first_record, stride) = lane_instances(circuit, first_neuron, steps.start);
        // Built apart, it is not moved.
        let mut keys =
            Lanes::on(self.path, &instance_keys(self.session, self.layer, first_record, stride));
        let mut run = GarbleContext::<L> {
            garbler: self,
            keys: &mut keys,
            first_record,
            record_stride: stride,
            lanes,
            client_stride: client_zero.len() / lanes,
            client_zero,
            table_stride: tables.len() / lanes,
            tables,
            decode,
            cursor: Cursor::default(),
        };
        for step in steps.clone() {
            if step > steps.start {
                run.next_record();
            }
            circuit.step(&mut run, state, step);
        }
        // Whatever was missing was counted all the same, so a wrong length cannot pass.
        let Cursor { client_input, row, .. } = run.cursor;
        let exact = client_zero.len() == client_input * lanes
            && run.tables.len() == row * GATE_BYTES * lanes;
        if exact { Ok(()) } else { Err(Error::Internal) }
    }

    /// The active labels of the server's inputs `first_input..first_input + bits` of a instance, for
    /// the low bits of `value`, least significant first; `bits ≤ 64`, and as many labels in
    /// `out`.
    pub fn active_labels(
        &self,
        instance: u64,
        first_input: usize,
        value: u64,
        bits: usize,
        out: &mut [Block],
    ) {
        debug_assert!(bits <= 64 && bits == out.len());
        for (input, label) in (first_input..).zip(out.iter_mut()) {
            *label = self.server_input_name(instance, input);
        }
        self.secret.permute_all(out);
        for (i, label) in out.iter_mut().enumerate().take(bits) {
            let bit = Block::from(value >> i & 1);
            *label ^= bit.wrapping_neg() & self.delta;
        }
    }

    /// What the secret function takes to the zero label of a server input: layer (64 bits), instance
    /// (48) and input (16).
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
    first_record: u64,
    record_stride: u64,
    lanes: usize,
    client_zero: &'r [Block],
    client_stride: usize,
    tables: &'r mut [u8],
    table_stride: usize,
    decode: &'r mut [u64],
    cursor: Cursor,
}

impl<const L: usize> GarbleContext<'_, L> {
    /// On to the neurons' next instances: their own keys, gates and server inputs from 0.
    fn next_record(&mut self) {
        self.first_record = self.first_record.wrapping_add(1);
        self.keys.replace(&instance_keys(
            self.garbler.session,
            self.garbler.layer,
            self.first_record,
            self.record_stride,
        ));
        self.cursor.gate = 0;
        self.cursor.server_input = 0;
    }

    #[inline]
    fn gate(&mut self, a: &Labels<L>, b: Second<'_, L>, carry: &mut Labels<L>) {
        self.keys.run(GarbleAnd {
            delta: self.garbler.delta,
            gate: next(&mut self.cursor.gate),
            lanes: self.lanes,
            a,
            b,
            carry,
            rows: Rows {
                tables: &mut *self.tables,
                stride: self.table_stride,
                row: next(&mut self.cursor.row),
            },
        });
    }
}

impl<const L: usize> Gates for GarbleContext<'_, L> {
    type Wire = Labels<L>;

    #[inline]
    fn server_input(&mut self) -> Labels<L> {
        let input = next(&mut self.cursor.server_input);
        let mut zero = array::from_fn(|lane| {
            let instance =
                self.first_record.wrapping_add(self.record_stride.wrapping_mul(lane as u64));
            self.garbler.server_input_name(instance, input)
        });
        if let Some(used) = zero.get_mut(..self.lanes) {
            self.garbler.secret.permute_all(used);
        }
        Labels(zero)
    }

    #[inline]
    fn client_input(&mut self) -> Labels<L> {
        let input = next(&mut self.cursor.client_input);
        lane_elements(self.client_zero, self.client_stride, input)
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
