//! Operations of a plan.

use super::{MAX_CLASSES, MAX_LEN, MAX_WEIGHTS, OP};
use crate::error::{Error, PlanFault, Result};
pub use crate::garble::Function;
use crate::params::{MAX_RING_BITS, MAX_WEIGHT_BITS, MIN_RING_BITS};

/// One operation. Rings are widths in bits; a tensor is a flat array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// `y = W·x + b`, `W: [outputs][inputs]`, in one ring.
    FullyConnected {
        /// Ring of input and output.
        ring: u8,
        /// Signed width of the weights.
        weight_bits: u8,
        /// Elements in.
        inputs: u32,
        /// Elements out.
        outputs: u32,
    },
    /// `x = floor(f(y) / 2^shift)`, re-shared into another ring.
    Activation {
        /// What is applied.
        function: Function,
        /// Ring of the input.
        ring_in: u8,
        /// Ring of the output.
        ring_out: u8,
        /// Bits cut off.
        shift: u8,
        /// Elements.
        len: u32,
    },
    /// `x = y²` in the ring.
    Square {
        /// Ring of input and output.
        ring: u8,
        /// Elements.
        len: u32,
    },
    /// Last: the client learns every element.
    Open {
        /// Ring of the input.
        ring: u8,
        /// Elements.
        len: u32,
    },
    /// Last: the client learns the index of the largest element (lowest index on a tie), and nothing else.
    Argmax {
        /// Ring of the input.
        ring: u8,
        /// Elements.
        len: u32,
    },
}

impl Op {
    /// Ring and length of the tensor that goes in.
    #[must_use]
    pub const fn input(&self) -> (u8, u32) {
        match *self {
            Self::FullyConnected { ring, inputs, .. } => (ring, inputs),
            Self::Activation { ring_in, len, .. } => (ring_in, len),
            Self::Square { ring, len } | Self::Open { ring, len } | Self::Argmax { ring, len } => (ring, len),
        }
    }

    /// Ring and length of the tensor that comes out.
    #[must_use]
    pub const fn output(&self) -> (u8, u32) {
        match *self {
            Self::FullyConnected { ring, outputs, .. } => (ring, outputs),
            Self::Activation { ring_out, len, .. } => (ring_out, len),
            Self::Square { ring, len } | Self::Open { ring, len } | Self::Argmax { ring, len } => (ring, len),
        }
    }

    /// Whether this ends a plan.
    #[must_use]
    pub const fn is_output(&self) -> bool {
        matches!(self, Self::Open { .. } | Self::Argmax { .. })
    }

    /// Whether this has weights.
    #[must_use]
    pub const fn is_linear(&self) -> bool {
        matches!(self, Self::FullyConnected { .. })
    }

    /// The record: kind, four bytes, three zeros, two u32.
    pub(super) fn emit(&self) -> [u8; OP] {
        let (kind, a, b, c, d, x, y) = match *self {
            Self::FullyConnected { ring, weight_bits, inputs, outputs } => (1, ring, weight_bits, 0, 0, inputs, outputs),
            Self::Activation { function, ring_in, ring_out, shift, len } => (2, ring_in, ring_out, shift, function_code(function), len, 0),
            Self::Square { ring, len } => (3, ring, 0, 0, 0, len, 0),
            Self::Open { ring, len } => (4, ring, 0, 0, 0, len, 0),
            Self::Argmax { ring, len } => (5, ring, 0, 0, 0, len, 0),
        };
        let mut record = [0; OP];
        let fields = [kind, a, b, c, d, 0, 0, 0].into_iter().chain(u32::to_le_bytes(x)).chain(u32::to_le_bytes(y));
        for (to, from) in record.iter_mut().zip(fields) {
            *to = from;
        }
        record
    }

    /// Reads and checks a record; only what [`Op::emit`] writes is accepted.
    pub(super) fn parse(record: &[u8; OP]) -> Result<Self> {
        let [kind, a, b, c, d, _, _, _, x0, x1, x2, x3, y0, y1, y2, y3] = *record;
        let (x, y) = (u32::from_le_bytes([x0, x1, x2, x3]), u32::from_le_bytes([y0, y1, y2, y3]));
        let op = match kind {
            1 => Self::FullyConnected { ring: a, weight_bits: b, inputs: x, outputs: y },
            2 => {
                let function = if d == 0 { Function::Identity } else { Function::Relu };
                Self::Activation { function, ring_in: a, ring_out: b, shift: c, len: x }
            }
            3 => Self::Square { ring: a, len: x },
            4 => Self::Open { ring: a, len: x },
            5 => Self::Argmax { ring: a, len: x },
            _ => return Err(Error::Plan(PlanFault::Field)),
        };
        let ring = |l: u8| (MIN_RING_BITS..=MAX_RING_BITS).contains(&l);
        let len = |n: u32| (1..=MAX_LEN).contains(&n);
        let own = match op {
            Self::FullyConnected { weight_bits, inputs, outputs, .. } => {
                (2..=MAX_WEIGHT_BITS).contains(&weight_bits) && u64::from(inputs) * u64::from(outputs) <= MAX_WEIGHTS
            }
            Self::Activation { ring_in, shift, .. } => shift.saturating_add(1) < ring_in,
            Self::Argmax { len, .. } => len <= MAX_CLASSES,
            _ => true,
        };
        let ((ring_in, len_in), (ring_out, len_out)) = (op.input(), op.output());
        if op.emit() == *record && ring(ring_in) && ring(ring_out) && len(len_in) && len(len_out) && own {
            Ok(op)
        } else {
            Err(Error::Plan(PlanFault::Field))
        }
    }
}

const fn function_code(function: Function) -> u8 {
    match function {
        Function::Identity => 0,
        Function::Relu => 1,
    }
}
