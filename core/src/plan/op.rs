//! Operations of a plan.

use super::geometry::{Convolution, Geometry};
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
    /// A convolution: `y = W∗x + b`, one bias for each output channel.
    Convolution {
        /// Ring of input and output.
        ring: u8,
        /// Signed width of the weights.
        weight_bits: u8,
        /// Shapes.
        layer: Convolution,
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
    /// `x = floor(f(max over a window of y) / 2^shift)`, re-shared into another ring.
    MaxPool {
        /// What is applied.
        function: Function,
        /// Ring of the input.
        ring_in: u8,
        /// Ring of the output.
        ring_out: u8,
        /// Bits cut off.
        shift: u8,
        /// The window, see [`Convolution::window`].
        window: Convolution,
    },
    /// `x = Σ over a window of y` in the ring: mean and global pooling, the divisor left to the scale.
    SumPool {
        /// Ring of input and output.
        ring: u8,
        /// The window, see [`Convolution::window`].
        window: Convolution,
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
            Self::Convolution { ring, layer, .. } => (ring, elements(layer.input[0], [layer.input[1], layer.input[2]])),
            Self::Activation { ring_in, len, .. } => (ring_in, len),
            Self::MaxPool { ring_in: ring, window: layer, .. } | Self::SumPool { ring, window: layer } => {
                (ring, elements(layer.input[0], [layer.input[1], layer.input[2]]))
            }
            Self::Square { ring, len } | Self::Open { ring, len } | Self::Argmax { ring, len } => (ring, len),
        }
    }

    /// Ring and length of the tensor that comes out.
    #[must_use]
    pub const fn output(&self) -> (u8, u32) {
        match *self {
            Self::FullyConnected { ring, outputs, .. } => (ring, outputs),
            Self::Convolution { ring, layer, .. } => match layer.output_size() {
                Ok(size) => (ring, elements(layer.outputs, size)),
                Err(_) => (ring, 0),
            },
            Self::Activation { ring_out, len, .. } => (ring_out, len),
            Self::MaxPool { ring_out: ring, window: layer, .. } | Self::SumPool { ring, window: layer } => match layer.output_size() {
                Ok(size) => (ring, elements(layer.outputs, size)),
                Err(_) => (ring, 0),
            },
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
        matches!(self, Self::FullyConnected { .. } | Self::Convolution { .. })
    }

    /// Ring, width of the weights and geometry of a linear layer.
    #[must_use]
    pub const fn linear(&self) -> Option<(u8, u8, Result<Geometry>)> {
        match *self {
            Self::FullyConnected { ring, weight_bits, inputs, outputs } => {
                Some((ring, weight_bits, Geometry::new(Convolution::fully_connected(inputs, outputs))))
            }
            Self::Convolution { ring, weight_bits, layer } => Some((ring, weight_bits, Geometry::new(layer))),
            _ => None,
        }
    }

    /// The records: the first has the kind, four bytes, three zeros, two u32; a convolution or a window has three more.
    pub(super) fn emit(&self) -> ([[u8; OP]; MOST_RECORDS], usize) {
        let (kind, a, b, c, d, x, y) = match *self {
            Self::FullyConnected { ring, weight_bits, inputs, outputs } => (1, ring, weight_bits, 0, 0, inputs, outputs),
            Self::Activation { function, ring_in, ring_out, shift, len } => (2, ring_in, ring_out, shift, function_code(function), len, 0),
            Self::Square { ring, len } => (3, ring, 0, 0, 0, len, 0),
            Self::Open { ring, len } => (4, ring, 0, 0, 0, len, 0),
            Self::Argmax { ring, len } => (5, ring, 0, 0, 0, len, 0),
            Self::Convolution { ring, weight_bits, layer } => (6, ring, weight_bits, 0, 0, layer.input[0], layer.outputs),
            Self::MaxPool { function, ring_in, ring_out, shift, window } => {
                (7, ring_in, ring_out, shift, function_code(function), window.input[0], window.outputs)
            }
            Self::SumPool { ring, window } => (8, ring, 0, 0, 0, window.input[0], window.outputs),
        };
        let first = u64::from_le_bytes([kind, a, b, c, d, 0, 0, 0]);
        let mut records = [[0; OP]; MOST_RECORDS];
        let [head, shape, steps, borders] = &mut records;
        *head = words([first as u32, (first >> 32) as u32, x, y]);
        let (Self::Convolution { layer, .. } | Self::MaxPool { window: layer, .. } | Self::SumPool { window: layer, .. }) = *self else {
            return (records, 1);
        };
        let ([_, h, w], [kh, kw], [sh, sw], [dh, dw], [top, left, bottom, right]) =
            (layer.input, layer.kernel, layer.stride, layer.dilation, layer.pads);
        *shape = words([h, w, kh, kw]);
        *steps = words([sh, sw, dh, dw]);
        *borders = words([top | left << 16, bottom | right << 16, layer.groups, 0]);
        (records, MOST_RECORDS)
    }

    /// Reads and checks the next operation; only what [`Op::emit`] writes is accepted. `None` at the end.
    pub(super) fn parse<'r>(records: &mut impl Iterator<Item = &'r [u8; OP]>) -> Option<Result<Self>> {
        let first = records.next()?;
        Some(Self::parse_from(first, records))
    }

    fn parse_from<'r>(first: &[u8; OP], records: &mut impl Iterator<Item = &'r [u8; OP]>) -> Result<Self> {
        const REFUSED: Error = Error::Plan(PlanFault::Field);
        let [kind, a, b, c, d, ..] = *first;
        let [_, _, x, y] = numbers(first);
        let function = if d == 0 { Function::Identity } else { Function::Relu };
        let mut bytes = [*first, [0; OP], [0; OP], [0; OP]];
        if matches!(kind, 6..=8) {
            for slot in bytes.iter_mut().skip(1) {
                *slot = *records.next().ok_or(Error::Plan(PlanFault::Truncated))?;
            }
        }
        let [_, shape, steps, borders] = &bytes;
        let ([h, w, kh, kw], [sh, sw, dh, dw], [p, q, groups, _]) = (numbers(shape), numbers(steps), numbers(borders));
        let pads = [p & 0xffff, p >> 16, q & 0xffff, q >> 16];
        let layer = Convolution { input: [x, h, w], outputs: y, kernel: [kh, kw], stride: [sh, sw], pads, dilation: [dh, dw], groups };
        let op = match kind {
            1 => Self::FullyConnected { ring: a, weight_bits: b, inputs: x, outputs: y },
            2 => Self::Activation { function, ring_in: a, ring_out: b, shift: c, len: x },
            3 => Self::Square { ring: a, len: x },
            4 => Self::Open { ring: a, len: x },
            5 => Self::Argmax { ring: a, len: x },
            6 => Self::Convolution { ring: a, weight_bits: b, layer },
            7 => Self::MaxPool { function, ring_in: a, ring_out: b, shift: c, window: layer },
            8 => Self::SumPool { ring: a, window: layer },
            _ => return Err(REFUSED),
        };
        let ring = |l: u8| (MIN_RING_BITS..=MAX_RING_BITS).contains(&l);
        let len = |n: u32| (1..=MAX_LEN).contains(&n);
        let own = match op {
            Self::Activation { ring_in, shift, .. } => shift.saturating_add(1) < ring_in,
            Self::Argmax { len, .. } => len <= MAX_CLASSES,
            Self::MaxPool { ring_in, shift, window, .. } => {
                shift.saturating_add(1) < ring_in && window.is_window() && window.window_len() as u64 <= u64::from(MAX_CLASSES)
            }
            Self::SumPool { window, .. } => window.is_window(),
            _ => true,
        };
        let linear = match op.linear() {
            Some((_, weight_bits, geometry)) => {
                let g = geometry?;
                (2..=MAX_WEIGHT_BITS).contains(&weight_bits)
                    && g.layer().weights() <= MAX_WEIGHTS
                    && g.channels as u64 <= u64::from(MAX_LEN)
            }
            None => true,
        };
        let ((ring_in, len_in), (ring_out, len_out)) = (op.input(), op.output());
        if op.emit().0 == bytes && ring(ring_in) && ring(ring_out) && len(len_in) && len(len_out) && own && linear {
            Ok(op)
        } else {
            Err(REFUSED)
        }
    }
}

/// Most records of an operation.
pub(super) const MOST_RECORDS: usize = 4;

/// Elements of a tensor; too many to count are more than any plan may have.
const fn elements(channels: u32, [h, w]: [u32; 2]) -> u32 {
    channels.saturating_mul(h).saturating_mul(w)
}

fn words(words: [u32; 4]) -> [u8; OP] {
    bytemuck::cast(words.map(u32::to_le_bytes))
}

fn numbers(record: &[u8; OP]) -> [u32; 4] {
    bytemuck::cast::<[u8; OP], [[u8; 4]; 4]>(*record).map(u32::from_le_bytes)
}

const fn function_code(function: Function) -> u8 {
    match function {
        Function::Identity => 0,
        Function::Relu => 1,
    }
}
