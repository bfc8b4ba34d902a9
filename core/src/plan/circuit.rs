//! The circuit of an operation without weights, and what it costs one prediction: OTs, tables,
//! labels.

use super::op::Op;
use crate::block::Block;
use crate::garble::{Argmax, Circuit, Function, GATE_BYTES, GateCounts, Max, Neuron, shapes};
use crate::ot::{self, GROUP, Repetition};
use crate::ring::Modulus;
use crate::wire::packed_len;

/// Bytes of a label.
pub const LABEL_BYTES: u64 = size_of::<Block>() as u64;
/// Bytes of the permute bits that open an argmax to the client.
pub const DECODE_BYTES: u64 = 8;

/// The circuit of an operation.
#[derive(Clone, Copy, Debug)]
pub enum OpCircuit {
    /// One copy for each element; its outputs go to the server.
    Neuron(Neuron),
    /// One copy for each window, one instance for each of its elements; its outputs go to the
    /// server.
    Max(Max),
    /// One copy, one instance for each element; its outputs go to the client.
    Argmax(Argmax),
}

impl OpCircuit {
    /// The circuit of `op`, if it has one.
    #[must_use]
    pub const fn of(op: &Op) -> Option<Self> {
        match *op {
            Op::Activation { function, ring_in, ring_out, shift, .. } => {
                Some(Self::Neuron(Neuron {
                    function,
                    modulus_in: Modulus::Bits(ring_in),
                    modulus_out: Modulus::Bits(ring_out),
                    shift,
                }))
            }
            Op::MaxPool { function, ring_in, ring_out, shift, window } => Some(Self::Max(Max {
                modulus_in: Modulus::Bits(ring_in),
                modulus_out: Modulus::Bits(ring_out),
                inputs: window.window_len() as u32,
                shift,
                relu: matches!(function, Function::Relu),
            })),
            Op::Argmax { ring, len } => {
                Some(Self::Argmax(Argmax { modulus: Modulus::Bits(ring), inputs: len }))
            }
            _ => None,
        }
    }
}

/// Counts of one operation for one prediction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NonlinearCost {
    /// OTs, without padding.
    pub ots: usize,
    /// AND gates.
    pub and_gates: u64,
    /// Copies of the circuit.
    pub neurons: usize,
    /// Instances of one copy.
    pub steps: usize,
    /// Labels of the server's inputs, in all.
    pub server_labels: u64,
    /// Bytes of an instance's tables and of the server's labels for it, of the widest step.
    pub widest_instance: (usize, usize),
    /// Bits of one neuron's output, as the client returns them; zero if it goes to the client.
    pub colour_bits: u32,
    /// Bytes of the permute bits sent to the client.
    pub decode_bytes: u64,
    /// Products by OT.
    pub products: usize,
    /// Bytes of one product's corrections.
    pub product_bytes: usize,
}

impl NonlinearCost {
    /// The cost of `op`; all zero for linear layers and for a reveal.
    #[must_use]
    pub fn of(op: &Op) -> Self {
        match (OpCircuit::of(op), *op) {
            (Some(OpCircuit::Neuron(circuit)), Op::Activation { ring_out, len, .. }) => {
                Self { colour_bits: u32::from(ring_out), ..Self::circuit(&circuit, len as usize) }
            }
            (Some(OpCircuit::Max(circuit)), _) => {
                let (ring_out, len) = op.output();
                Self { colour_bits: u32::from(ring_out), ..Self::circuit(&circuit, len as usize) }
            }
            (Some(OpCircuit::Argmax(circuit)), _) => {
                Self { decode_bytes: DECODE_BYTES, ..Self::circuit(&circuit, 1) }
            }
            (_, Op::Square { ring, len } | Op::Product { ring, len }) => Self {
                ots: op.products_per_element() * len as usize * usize::from(ring),
                products: op.products_per_element() * len as usize,
                product_bytes: packed_len(1, ot::product_bits(Modulus::Bits(ring))) as usize,
                ..Self::default()
            },
            _ => Self::default(),
        }
    }

    #[inline(never)] // its wires leave the stack again
    fn circuit<C: Circuit>(circuit: &C, neurons: usize) -> Self {
        let (mut all, mut widest) = (GateCounts::default(), (0, 0));
        for shape in shapes(circuit) {
            all = all + shape;
            widest = (
                widest.0.max(shape.table_bytes()),
                widest.1.max(shape.server_inputs as usize * LABEL_BYTES as usize),
            );
        }
        Self {
            ots: neurons * all.client_inputs as usize,
            and_gates: neurons as u64 * u64::from(all.ands),
            neurons,
            steps: circuit.steps(),
            server_labels: neurons as u64 * u64::from(all.server_inputs),
            widest_instance: widest,
            ..Self::default()
        }
    }

    /// Element of the input that instance `step` of `neuron` reads.
    #[must_use]
    pub fn element(op: &Op, neuron: usize, step: usize) -> usize {
        match op {
            Op::MaxPool { window, .. } => window.window_element(neuron, step),
            // One of the two is always zero: neurons have one step, an argmax has one neuron.
            _ => neuron + step,
        }
    }

    /// Bytes of all tables and of all labels of the server's inputs of one neuron; zero if there is
    /// none.
    #[must_use]
    pub const fn neuron_bytes(&self) -> (usize, usize) {
        let (tables, labels) = (self.table_bytes(), self.server_labels * LABEL_BYTES);
        match self.neurons {
            0 => (0, 0),
            n => (tables as usize / n, labels as usize / n),
        }
    }

    /// Groups of OTs: an operation starts a new one.
    #[must_use]
    pub const fn groups(&self) -> usize {
        self.ots.div_ceil(GROUP)
    }

    /// Bytes of the garbled tables.
    #[must_use]
    pub const fn table_bytes(&self) -> u64 {
        self.and_gates * GATE_BYTES as u64
    }

    /// Bytes of the OT corrections.
    #[must_use]
    pub const fn correction_bytes(&self, repetition: Repetition) -> u64 {
        (self.groups() * repetition.correction_bytes_per_group()) as u64
    }

    /// Bytes of the product corrections.
    #[must_use]
    pub const fn products_bytes(&self) -> u64 {
        (self.products * self.product_bytes) as u64
    }
}
