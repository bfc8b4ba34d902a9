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

/// What is evaluated, and where the results go: of several neurons, in the order of the wire.
pub struct EvaluateBuffers<'b> {
    /// The tables, `[neurons][32 · ands]` bytes, of all steps.
    pub tables: &'b [u8],
    /// Active labels of the server's inputs, `[neurons][server_inputs]`, of all steps.
    pub server_labels: &'b [Block],
    /// Active labels of the client's inputs, `[neurons][client_inputs]`, of all steps.
    pub client_labels: &'b [Block],
    /// Receives a word for each neuron. Bit `i` is the colour of output `i`: output = colour ⊕
    /// decode.
    pub colours: &'b mut [u64],
}

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

    /// Evaluates instances `steps` of some neurons side by side, at most `L`. Between the steps of
    /// one neuron, `state` is kept.
    ///
    /// # Errors
    /// [`Error::Internal`] if a length is wrong, there are no neurons or more than `L`, or the
    /// circuit's parameters are out of range. No gate is evaluated with a label or a row that is
    /// not there.
    pub fn evaluate<C: Circuit, const L: usize>(
        &self,
        circuit: &C,
        state: &mut C::State<Labels<L>>,
        steps: Range<usize>,
        neurons: Range<u64>,
        buffers: EvaluateBuffers<'_>,
    ) -> Result<()> {
        circuit.check()?;
        let EvaluateBuffers { tables, server_labels, client_labels, colours } = buffers;
        let lanes = colours.len();
        let count = neurons.end.saturating_sub(neurons.start);
        if lanes == 0 || lanes > L || count != lanes as u64 || steps.end > circuit.steps() {
            return Err(Error::Internal);
        }
        colours.fill(0);
        // Built apart, it is not moved.
        let mut keys = Lanes::on(self.path, &self.keys(circuit, neurons.start, steps.start));
        let mut context = EvalContext::<L> {
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
            missing: false,
        };
        for step in steps.clone() {
            if step > steps.start {
                if let Some(keys) = &mut context.keys {
                    keys.replace(&self.keys(circuit, neurons.start, step));
                }
                context.cursor.gate = 0;
            }
            circuit.step(&mut context, state, step);
        }
        let Cursor { server_input, client_input, row, .. } = context.cursor;
        let exact = server_labels.len() == server_input * lanes
            && client_labels.len() == client_input * lanes
            && tables.len() == row * GATE_BYTES * lanes;
        if exact && !context.missing { Ok(()) } else { Err(Error::Internal) }
    }

    /// Evaluates all instances of some neurons: [`Self::evaluate`], with slices for whole neurons
    /// ([`super::totals`]).
    ///
    /// # Errors
    /// Those of [`Self::evaluate`].
    #[cfg(any(test, feature = "unstable"))]
    pub fn evaluate_neurons<C: Circuit, const L: usize>(
        &self,
        circuit: &C,
        neurons: Range<u64>,
        buffers: EvaluateBuffers<'_>,
    ) -> Result<()> {
        let (mut state, steps) = (circuit.start(), 0..circuit.steps());
        self.evaluate::<C, L>(circuit, &mut state, steps, neurons, buffers)
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

/// What instance `step` holds: an evaluation without tables, labels and hashes. A reading of its
/// own would be every circuit a second time in a client's flash.
pub(crate) fn count<C: Circuit, const L: usize>(
    circuit: &C,
    state: &mut C::State<Labels<L>>,
    step: usize,
) -> GateCounts {
    let mut context = EvalContext::<L> {
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
        missing: false,
    };
    circuit.step(&mut context, state, step);
    let Cursor { server_input, client_input, row, output, .. } = context.cursor;
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
    /// Whether a label or a row was not there. From then on nothing is evaluated.
    missing: bool,
}

impl<const L: usize> EvalContext<'_, L> {
    #[inline]
    fn gate(&mut self, a: &Labels<L>, b: Second<'_, L>, carry: &mut Labels<L>) {
        let (gate, row) = (next(&mut self.cursor.gate), next(&mut self.cursor.row));
        let Some(keys) = &mut self.keys else { return };
        match Rows::new(self.tables, self.table_stride, self.lanes, row) {
            Some(rows) if !self.missing => keys.run(EvaluateAnd { gate, a, b, carry, rows }),
            _ => self.missing = true,
        }
    }

    /// Input number `index` of every lane. Where one is missing, nothing is evaluated any more.
    #[inline]
    fn input(&mut self, blocks: &[Block], stride: usize, index: usize) -> Labels<L> {
        let mut labels = Labels([0; L]);
        self.missing |= !lane_elements(blocks, stride, self.lanes, index, &mut labels);
        labels
    }
}

impl<const L: usize> Gates for EvalContext<'_, L> {
    type Wire = Labels<L>;

    #[inline]
    fn server_input(&mut self) -> Labels<L> {
        let input = next(&mut self.cursor.server_input);
        self.input(self.server_labels, self.server_stride, input)
    }

    #[inline]
    fn client_input(&mut self) -> Labels<L> {
        let input = next(&mut self.cursor.client_input);
        self.input(self.client_labels, self.client_stride, input)
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
