//! Which protocol computes an operation: both parties derive it from plan and options alone.

use crate::compare::OtActivation;
use crate::options::{Activations, COMPARE, Options};
use crate::plan::Op;
use crate::plan::circuit::{LABEL_BYTES, NonlinearCost, OpCircuit};
use crate::wire::packed_len;

/// The protocol of one operation.
#[derive(Clone, Copy, Debug)]
pub enum OpProtocol {
    /// Each party computes its share by itself, the client offline.
    Local,
    /// A linear layer: a triplet offline, then the server by itself.
    Linear,
    /// A garbled circuit.
    Circuit(OpCircuit),
    /// Comparisons by OTs instead of a circuit.
    Ot(OtActivation),
    /// Products by OT.
    Product,
    /// The client learns the tensor.
    Reveal,
}

impl OpProtocol {
    /// The protocol of `op` in a session with these options.
    #[must_use]
    #[inline(always)] // Without comparisons, their arm is known never to be taken while compiling.
    pub fn of(op: &Op, options: &Options) -> Self {
        if let Some(activation) = ot_activation(op, options) {
            return Self::Ot(activation);
        }
        match OpCircuit::of(op) {
            Some(circuit) => Self::Circuit(circuit),
            None if op.is_linear() => Self::Linear,
            None if op.is_local() => Self::Local,
            None if op.is_output() => Self::Reveal,
            None => Self::Product,
        }
    }
}

impl OtActivation {
    /// The comparisons that compute `op` in a session with these options, if it is to be compared.
    #[must_use]
    #[inline(always)]
    pub fn of(op: &Op, options: &Options) -> Option<Self> {
        ot_activation(op, options)
    }
}

impl NonlinearCost {
    /// The cost of `op` in a session with these options: nothing where it is compared.
    #[must_use]
    pub fn with_options(op: &Op, options: &Options) -> Self {
        if ot_activation(op, options).is_some() { Self::default() } else { Self::of(op) }
    }
}

#[inline(always)]
fn ot_activation(op: &Op, options: &Options) -> Option<OtActivation> {
    if COMPARE { cheaper_by_ots(op, options) } else { None }
}

/// Comparisons where there are some for `op` and they save at least what the link carries in each
/// further round trip.
fn cheaper_by_ots(op: &Op, options: &Options) -> Option<OtActivation> {
    let Activations::Compared { log2_bytes_per_round } = options.activations else { return None };
    let activation = OtActivation::possible(op)?;
    let circuit = NonlinearCost::of(op);
    let colours = packed_len(circuit.neurons as u64, circuit.colour_bits);
    let garbled = circuit.correction_bytes(options.repetition)
        + circuit.table_bytes()
        + circuit.decode_bytes
        + circuit.server_labels * LABEL_BYTES
        + colours;
    let saved = garbled.checked_sub(activation.bytes(options.repetition)).filter(|&s| s > 0)?;
    // A circuit whose result the client learns ends with the server's message.
    let rounds = activation.rounds() - u32::from(!op.is_output());
    (saved >= u64::from(rounds) << log2_bytes_per_round).then_some(activation)
}
