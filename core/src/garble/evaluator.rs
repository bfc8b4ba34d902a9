//! The evaluator: the client's side.

use super::circuits::Circuit;
use super::gates::Gates;
use super::{Cursor, GATE_BYTES, colour_mask, lane_element, lane_records, next, record_keys, row_range};
use crate::hash::{Block, Tmmo};
use crate::{Error, Result};
use core::ops::Range;

/// What the client needs to evaluate a layer.
pub struct Evaluator<'a> {
    /// Public: derives the records' keys.
    pub session: &'a Tmmo,
    /// Which layer of which prediction, as the garbler's.
    pub layer: u64,
}

impl<'a> Evaluator<'a> {
    /// The evaluator of one layer.
    #[must_use]
    pub const fn new(session: &'a Tmmo, layer: u64) -> Self {
        Self { session, layer }
    }

    /// Evaluates record `step` of the neurons `first_neuron..first_neuron + lanes`.
    ///
    /// `tables`: `[lanes][32 · ands]` bytes. `server_labels`, `client_labels`: active labels, `[lanes][server_inputs]` and
    /// `[lanes][client_inputs]`. Writes `colours`, `[lanes]`: bit `i` is the colour of output `i`, output = colour ⊕ decode.
    /// The lengths are those of [`super::shape`]. Between the steps of one neuron, `state` is kept.
    ///
    /// # Errors
    /// [`Error::Internal`] if a length is wrong, `lanes` is not in `1..=L`, or the circuit's parameters are out of range.
    #[expect(clippy::too_many_arguments, reason = "inputs first, then outputs; a struct of these would be built only to be taken apart")]
    pub fn evaluate<C: Circuit, const L: usize>(
        &self,
        circuit: &C,
        state: &mut C::State<[Block; L]>,
        step: usize,
        first_neuron: u64,
        lanes: usize,
        tables: &[u8],
        server_labels: &[Block],
        client_labels: &[Block],
        colours: &mut [u64],
    ) -> Result<()> {
        let steps = step..step.saturating_add(1);
        self.run::<C, L>(circuit, state, steps, first_neuron, lanes, tables, server_labels, client_labels, colours)
    }

    /// Evaluates all records of the neurons `first_neuron..first_neuron + lanes`: [`Self::evaluate`], with slices for whole
    /// neurons ([`super::totals`]) in the order of the wire.
    ///
    /// # Errors
    /// As [`Self::evaluate`].
    #[expect(clippy::too_many_arguments, reason = "those of evaluate")]
    pub fn evaluate_neurons<C: Circuit, const L: usize>(
        &self,
        circuit: &C,
        first_neuron: u64,
        lanes: usize,
        tables: &[u8],
        server_labels: &[Block],
        client_labels: &[Block],
        colours: &mut [u64],
    ) -> Result<()> {
        let (mut state, steps) = (circuit.start(), 0..circuit.steps());
        self.run::<C, L>(circuit, &mut state, steps, first_neuron, lanes, tables, server_labels, client_labels, colours)
    }

    #[expect(clippy::too_many_arguments, reason = "those of evaluate")]
    fn run<C: Circuit, const L: usize>(
        &self,
        circuit: &C,
        state: &mut C::State<[Block; L]>,
        steps: Range<usize>,
        first_neuron: u64,
        lanes: usize,
        tables: &[u8],
        server_labels: &[Block],
        client_labels: &[Block],
        colours: &mut [u64],
    ) -> Result<()> {
        circuit.check()?;
        if lanes == 0 || lanes > L || colours.len() != lanes || steps.end > circuit.steps() {
            return Err(Error::Internal);
        }
        colours.fill(0);
        let mut run = Run::<L> {
            keys: self.keys(circuit, first_neuron, steps.start),
            lanes,
            tables,
            table_stride: tables.len() / lanes,
            server_labels,
            server_stride: server_labels.len() / lanes,
            client_labels,
            client_stride: client_labels.len() / lanes,
            colours,
            cursor: Cursor::default(),
        };
        for step in steps.clone() {
            if step > steps.start {
                run.keys = self.keys(circuit, first_neuron, step);
                run.cursor.gate = 0;
            }
            circuit.step(&mut run, state, step);
        }
        // Whatever was missing was counted all the same, so a wrong length cannot pass.
        let Cursor { server_input, client_input, row, .. } = run.cursor;
        let exact = server_labels.len() == server_input * lanes
            && client_labels.len() == client_input * lanes
            && tables.len() == row * GATE_BYTES * lanes;
        if exact { Ok(()) } else { Err(Error::Internal) }
    }

    fn keys<C: Circuit, const L: usize>(&self, circuit: &C, first_neuron: u64, step: usize) -> [Tmmo; L] {
        let (first, stride) = lane_records(circuit, first_neuron, step);
        record_keys(self.session, self.layer, first, stride)
    }
}

/// One record in all lanes. A wire is its active label.
struct Run<'r, const L: usize> {
    keys: [Tmmo; L],
    lanes: usize,
    tables: &'r [u8],
    table_stride: usize,
    server_labels: &'r [Block],
    server_stride: usize,
    client_labels: &'r [Block],
    client_stride: usize,
    colours: &'r mut [u64],
    cursor: Cursor,
}

impl<const L: usize> Run<'_, L> {
    /// T_G and T_E of a lane's row.
    #[inline]
    fn row(&self, lane: usize, row: usize) -> Option<(Block, Block)> {
        let (t_g, rest) = self.tables.get(row_range(self.table_stride, lane, row)?)?.split_first_chunk()?;
        let t_e = rest.first_chunk()?;
        Some((Block::from_le_bytes(*t_g), Block::from_le_bytes(*t_e)))
    }
}

impl<const L: usize> Gates for Run<'_, L> {
    type Wire = [Block; L];

    #[inline]
    fn server_input(&mut self) -> [Block; L] {
        let input = next(&mut self.cursor.server_input);
        let mut label = [0; L];
        for (lane, label) in label.iter_mut().enumerate().take(self.lanes) {
            *label = lane_element(self.server_labels, self.server_stride, lane, input).unwrap_or_default();
        }
        label
    }

    #[inline]
    fn client_input(&mut self) -> [Block; L] {
        let input = next(&mut self.cursor.client_input);
        let mut label = [0; L];
        for (lane, label) in label.iter_mut().enumerate().take(self.lanes) {
            *label = lane_element(self.client_labels, self.client_stride, lane, input).unwrap_or_default();
        }
        label
    }

    #[inline]
    fn xor(&mut self, a: [Block; L], b: [Block; L]) -> [Block; L] {
        let mut c = a;
        c.iter_mut().zip(b).for_each(|(c, b)| *c ^= b);
        c
    }

    /// The garbler swaps the meaning of the labels.
    #[inline]
    fn not(&mut self, a: [Block; L]) -> [Block; L] {
        a
    }

    /// Half-gates, Figure 2 of the paper.
    #[inline]
    fn and(&mut self, a: [Block; L], b: [Block; L]) -> [Block; L] {
        let gate = next(&mut self.cursor.gate);
        let row = next(&mut self.cursor.row);
        let (j, k) = (2 * gate as Block, 2 * gate as Block + 1);
        let mut c = [0; L];
        for (lane, (((c, a), b), key)) in c.iter_mut().zip(a).zip(b).zip(&self.keys).enumerate().take(self.lanes) {
            let (t_g, t_e) = self.row(lane, row).unwrap_or_default();
            let [h_a, h_b] = key.hash([a, b], [j, k]);
            *c = h_a ^ (colour_mask(a) & t_g) ^ h_b ^ (colour_mask(b) & (t_e ^ a));
        }
        c
    }

    #[inline]
    fn output(&mut self, a: [Block; L]) {
        for (colours, a) in self.colours.iter_mut().zip(a) {
            *colours |= (a as u64 & 1).wrapping_shl(self.cursor.output);
        }
        self.cursor.output += 1;
    }
}
