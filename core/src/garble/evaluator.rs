//! The evaluator: the client's side.

use super::circuit::Circuit;
use super::gates::{GATE_BYTES, GateCounts, Gates};
use super::half_gates::{EvaluateAnd, Rows, Second};
use super::lanes::{Cursor, Labels, instance_keys, lane_elements, lane_instances, next};
use crate::backend::aes::{Lanes, Path};
use crate::block::Block;
use crate::hash::Tmmo;
use crate::{Error, Result};
use core::ops::Range;

/// What the client needs to evaluate a layer.
pub struct Evaluator<'a> {
    /// Public: derives the instances' keys.
    pub session: &'a Tmmo,
    /// Which layer of which prediction, as the garbler's.
    pub layer: u64,
    /// How AES is done: the best way, unless it is set to another.
    pub path: Path,
}

impl<'a> Evaluator<'a> {
    /// The evaluator of one layer.
    #[must_use]
    pub fn new(session: &'a Tmmo, layer: u64) -> Self {
        Self { session, layer, path: Path::best() }
    }

    /// Evaluates instance `step` of the neurons `first_neuron..first_neuron + lanes`.
    ///
    /// `tables`: `[lanes][32 · ands]` bytes. `server_labels`, `client_labels`: active labels,
    /// `[lanes][server_inputs]` and `[lanes][client_inputs]`. Writes `colours`, `[lanes]`: bit
    /// `i` is the colour of output `i`, output = colour ⊕ decode. The lengths are those of
    /// [`super::shape`]. Between the steps of one neuron, `state` is kept.
    ///
    /// # Errors
    /// [`Error::Internal`] if a length is wrong, `lanes` is not in `1..=L`, or the circuit's
    /// parameters are out of range.
    #[expect(
        clippy::too_many_arguments,
        reason = "inputs first, then outputs; a struct of these would be built only to be taken apart"
    )]
    pub fn evaluate<C: Circuit, const L: usize>(
        &self,
        circuit: &C,
        state: &mut C::State<Labels<L>>,
        step: usize,
        first_neuron: u64,
        lanes: usize,
        tables: &[u8],
        server_labels: &[Block],
        client_labels: &[Block],
        colours: &mut [u64],
    ) -> Result<()> {
        let steps = step..step.saturating_add(1);
        self.evaluate_steps::<C, L>(
            circuit,
            state,
            steps,
            first_neuron,
            lanes,
            tables,
            server_labels,
            client_labels,
            colours,
        )
    }

    /// Evaluates all instances of the neurons `first_neuron..first_neuron + lanes`:
    /// [`Self::evaluate`], with slices for whole neurons ([`super::totals`]) in the order of
    /// the wire.
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
        self.evaluate_steps::<C, L>(
            circuit,
            &mut state,
            steps,
            first_neuron,
            lanes,
            tables,
            server_labels,
            client_labels,
            colours,
        )
    }

    /// [`Self::evaluate`] for instances of several `steps`, with slices for all of them in the order
    /// of the wire.
    #[expect(clippy::too_many_arguments, reason = "those of evaluate")]
    pub(crate) fn evaluate_steps<C: Circuit, const L: usize>(
        &self,
        circuit: &C,
        state: &mut C::State<Labels<L>>,
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
        // Built apart, it is not moved.
        let mut keys = Lanes::on(self.path, &self.keys(circuit, first_neuron, steps.start));
        let mut run = EvalContext::<L> {
            keys: Some(&mut keys),
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
                if let Some(keys) = &mut run.keys {
                    keys.replace(&self.keys(circuit, first_neuron, step));
                }
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

    fn keys<C: Circuit, const L: usize>(
        &self,
        circuit: &C,
        first_neuron: u64,
        step: usize,
    ) -> [Block; L] {
        let (first, stride) = lane_instances(circuit, first_neuron, step);
        instance_keys(self.session, self.layer, first, stride)
    }
}

/// What instance `step` holds: an evaluation without tables, labels and hashes. A reading of its own
/// would be every circuit a second time in a client's flash.
pub(crate) fn count<C: Circuit, const L: usize>(
    circuit: &C,
    state: &mut C::State<Labels<L>>,
    step: usize,
) -> GateCounts {
    let mut run = EvalContext::<L> {
        keys: None,
        lanes: 0,
        tables: &[],
        table_stride: 0,
        server_labels: &[],
        server_stride: 0,
        client_labels: &[],
        client_stride: 0,
        colours: &mut [],
        cursor: Cursor::default(),
    };
    circuit.step(&mut run, state, step);
    let Cursor { server_input, client_input, row, output, .. } = run.cursor;
    GateCounts {
        ands: row as u32,
        server_inputs: server_input as u32,
        client_inputs: client_input as u32,
        outputs: output,
    }
}

/// One instance in all lanes. A wire is its active label.
struct EvalContext<'r, const L: usize> {
    /// Without keys, everything is only counted.
    keys: Option<&'r mut Lanes<L>>,
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

impl<const L: usize> EvalContext<'_, L> {
    #[inline]
    fn gate(&mut self, a: &Labels<L>, b: Second<'_, L>, carry: &mut Labels<L>) {
        let (gate, row) = (next(&mut self.cursor.gate), next(&mut self.cursor.row));
        if let Some(keys) = &mut self.keys {
            let rows = Rows { tables: self.tables, stride: self.table_stride, row };
            keys.run(EvaluateAnd { gate, lanes: self.lanes, a, b, carry, rows });
        }
    }
}

impl<const L: usize> Gates for EvalContext<'_, L> {
    type Wire = Labels<L>;

    #[inline]
    fn server_input(&mut self) -> Labels<L> {
        let input = next(&mut self.cursor.server_input);
        lane_elements(self.server_labels, self.server_stride, input)
    }

    #[inline]
    fn client_input(&mut self) -> Labels<L> {
        let input = next(&mut self.cursor.client_input);
        lane_elements(self.client_labels, self.client_stride, input)
    }

    #[inline]
    fn xor(&mut self, a: &Labels<L>, b: &Labels<L>) -> Labels<L> {
        let mut c = *a;
        c.0.iter_mut().zip(b.0).for_each(|(c, b)| *c ^= b);
        c
    }

    /// The garbler swaps the meaning of the labels.
    #[inline]
    fn negate(&mut self, _a: &mut Labels<L>) {}

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
        for (colours, a) in self.colours.iter_mut().zip(a.0) {
            *colours |= (a as u64 & 1).wrapping_shl(self.cursor.output);
        }
        self.cursor.output += 1;
    }
}
