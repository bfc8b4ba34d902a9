//! Operations of a plan.

use super::geometry::Geometry;
use super::limits::{MAX_CLASSES, MAX_COPIES, MAX_LEN, MAX_WEIGHTS, OP};
use super::view::View;
use crate::convolution::Convolution;
use crate::error::{Error, PlanFault, Result};
pub use crate::garble::{Function, MAX_PIECES, Parity, PiecewiseLinear};
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
    /// `x = Σ over a window of y` in the ring: mean and global pooling, the divisor left to the
    /// scale.
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
    /// `z = x·y`, element by element, in the ring.
    Product {
        /// Ring of both inputs and of the output.
        ring: u8,
        /// Elements.
        len: u32,
    },
    /// `y += factor · x` along a view, in the ring, on a tensor that starts as zeros: slices,
    /// transposes, padding, concatenation, sums.
    StridedAdd {
        /// Ring of the output; the input's may be wider.
        ring: u8,
        /// Whether it adds to the tensor of the operation before, instead of starting one.
        onto: bool,
        /// Elements of the input.
        inputs: u32,
        /// Elements of the output.
        len: u32,
        /// What every element is multiplied by.
        factor: i32,
        /// Which element goes where.
        view: View,
    },
    /// `y = x + b`: secret constants, one for each of `channels` equal parts.
    Offset {
        /// Ring of input and output.
        ring: u8,
        /// Constants.
        channels: u32,
        /// Elements.
        len: u32,
    },
    /// Last: the client learns every element.
    Reveal {
        /// Ring of the input.
        ring: u8,
        /// Elements.
        len: u32,
    },
    /// Last: the client learns the index of the largest element (lowest index on a tie), and
    /// nothing else.
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
            Self::Convolution { ring, layer, .. } => {
                (ring, elements(layer.input[0], [layer.input[1], layer.input[2]]))
            }
            Self::Activation { ring_in, len, .. } => (ring_in, len),
            Self::MaxPool { ring_in: ring, window: layer, .. }
            | Self::SumPool { ring, window: layer } => {
                (ring, elements(layer.input[0], [layer.input[1], layer.input[2]]))
            }
            Self::StridedAdd { ring, inputs, .. } => (ring, inputs),
            Self::Square { ring, len }
            | Self::Product { ring, len }
            | Self::Offset { ring, len, .. }
            | Self::Reveal { ring, len }
            | Self::Argmax { ring, len } => (ring, len),
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
            Self::MaxPool { ring_out: ring, window: layer, .. }
            | Self::SumPool { ring, window: layer } => match layer.output_size() {
                Ok(size) => (ring, elements(layer.outputs, size)),
                Err(_) => (ring, 0),
            },
            Self::Square { ring, len }
            | Self::Product { ring, len }
            | Self::StridedAdd { ring, len, .. }
            | Self::Offset { ring, len, .. }
            | Self::Reveal { ring, len }
            | Self::Argmax { ring, len } => (ring, len),
        }
    }

    /// Whether this ends a plan.
    #[must_use]
    pub const fn is_output(&self) -> bool {
        matches!(self, Self::Reveal { .. } | Self::Argmax { .. })
    }

    /// Whether this has weights.
    #[must_use]
    pub const fn is_linear(&self) -> bool {
        matches!(self, Self::FullyConnected { .. } | Self::Convolution { .. })
    }

    /// Whether the model has numbers for this: weights and biases, or constants.
    #[must_use]
    pub const fn has_parameters(&self) -> bool {
        self.is_linear() || matches!(self, Self::Offset { .. })
    }

    /// Ring, width of the weights and geometry of a linear layer.
    #[must_use]
    pub const fn linear(&self) -> Option<(u8, u8, Result<Geometry>)> {
        match *self {
            Self::FullyConnected { ring, weight_bits, inputs, outputs } => Some((
                ring,
                weight_bits,
                Geometry::new(Convolution::fully_connected(inputs, outputs)),
            )),
            Self::Convolution { ring, weight_bits, layer } => {
                Some((ring, weight_bits, Geometry::new(layer)))
            }
            _ => None,
        }
    }

    /// Whether this starts a tensor, which later operations read.
    #[must_use]
    pub const fn makes_tensor(&self) -> bool {
        !matches!(
            self,
            Self::Reveal { .. } | Self::Argmax { .. } | Self::StridedAdd { onto: true, .. }
        )
    }

    /// Whether each party computes its share by itself, the client offline.
    #[must_use]
    pub const fn is_local(&self) -> bool {
        matches!(self, Self::SumPool { .. } | Self::StridedAdd { .. } | Self::Offset { .. })
    }

    /// OT products that an element takes: one where both factors are the same.
    pub(crate) const fn products_per_element(&self) -> usize {
        match self {
            Self::Square { .. } => 1,
            Self::Product { .. } => 2,
            _ => 0,
        }
    }

    /// The function of a garbled operation.
    const fn function(&self) -> Option<Function> {
        match *self {
            Self::Activation { function, .. } | Self::MaxPool { function, .. } => Some(function),
            _ => None,
        }
    }

    /// What the server adds to the output of the circuit.
    pub(crate) const fn constant(&self) -> i64 {
        match self.function() {
            Some(function) => function.constant(),
            None => 0,
        }
    }

    /// The kind, its three bytes and its two numbers.
    const fn head(&self) -> ([u8; 4], u32, u32) {
        match *self {
            Self::FullyConnected { ring, weight_bits, inputs, outputs } => {
                ([1, ring, weight_bits, 0], inputs, outputs)
            }
            Self::Activation { ring_in, ring_out, shift, len, .. } => {
                ([2, ring_in, ring_out, shift], len, 0)
            }
            Self::Square { ring, len } => ([3, ring, 0, 0], len, 0),
            Self::Reveal { ring, len } => ([4, ring, 0, 0], len, 0),
            Self::Argmax { ring, len } => ([5, ring, 0, 0], len, 0),
            Self::Convolution { ring, weight_bits, layer } => {
                ([6, ring, weight_bits, 0], layer.input[0], layer.outputs)
            }
            Self::MaxPool { ring_in, ring_out, shift, window, .. } => {
                ([7, ring_in, ring_out, shift], window.input[0], window.outputs)
            }
            Self::SumPool { ring, window } => ([8, ring, 0, 0], window.input[0], window.outputs),
            Self::StridedAdd { ring, onto, inputs, len, .. } => {
                ([9, ring, onto as u8, 0], inputs, len)
            }
            Self::Product { ring, len } => ([10, ring, 0, 0], len, 0),
            Self::Offset { ring, channels, len } => ([11, ring, 0, 0], len, channels),
        }
    }
}

/// An operation and the tensors that it reads, by their first element among the elements of all
/// tensors (see [`super::Step`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    /// What is done.
    pub op: Op,
    /// What it reads; `None` is the tensor of the operation before, for the first one the input.
    pub from: Option<u32>,
    /// The second factor of a product, only together with `from`; 0 for all others.
    pub also: u32,
}

impl From<Op> for Node {
    fn from(op: Op) -> Self {
        Self { op, from: None, also: 0 }
    }
}

impl From<&Op> for Node {
    fn from(op: &Op) -> Self {
        Self::from(*op)
    }
}

impl From<&Node> for Node {
    fn from(node: &Self) -> Self {
        *node
    }
}

impl Node {
    /// Entries that it takes in a plan.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.emit().len()
    }

    /// The entries. The first: kind, four bytes, flags, two zeros, two u32. Flag 1: an entry with
    /// what it reads. Then three for a convolution or a window, four for a view, and the
    /// parameters of a function.
    pub(super) fn emit(&self) -> PlanEntries {
        let (kind, x, y) = self.op.head();
        let function = self.op.function().unwrap_or(Function::Identity);
        let flags = u8::from(self.from.is_some());
        let mut entries = PlanEntries::default();
        entries.push([
            u32::from_le_bytes(kind),
            u32::from_le_bytes([function_code(&function), flags, 0, 0]),
            x,
            y,
        ]);
        if let Some(from) = self.from {
            entries.push([from, self.also, 0, 0]);
        }
        match self.op {
            Op::Convolution { layer, .. }
            | Op::MaxPool { window: layer, .. }
            | Op::SumPool { window: layer, .. } => {
                let ([_, h, w], [kh, kw], [sh, sw], [dh, dw], [top, left, bottom, right]) =
                    (layer.input, layer.kernel, layer.stride, layer.dilation, layer.pads);
                entries.push([h, w, kh, kw]);
                entries.push([sh, sw, dh, dw]);
                entries.push([top | left << 16, bottom | right << 16, layer.groups, 0]);
            }
            Op::StridedAdd { view, factor, .. } => {
                entries.push(view.dims);
                entries.push(view.steps.map(|s| s as u32));
                entries.push(view.strides.map(|s| s as u32));
                entries.push([view.from, view.to, factor as u32, 0]);
            }
            _ => {}
        }
        match function {
            Function::Identity | Function::Relu => {}
            Function::Clip { lo, hi } => {
                entries.push([lo as u32, (lo >> 32) as u32, hi as u32, (hi >> 32) as u32])
            }
            Function::Leaky { multiplier, bits } => {
                entries.push([multiplier.into(), bits.into(), 0, 0])
            }
            Function::PiecewiseLinear(s) => {
                let sizes = [s.input_bits, s.index_bits, s.shift, s.plus_relu.into()];
                entries.push([
                    parity_code(s.parity),
                    u32::from_le_bytes(sizes),
                    s.centre as u32,
                    0,
                ]);
                let piece = |i: usize| {
                    let at = |xs: &[i16; MAX_PIECES]| u32::from(xs.get(i).map_or(0, |&x| x as u16));
                    at(&s.offsets) | at(&s.slopes) << 16
                };
                for first in (0..s.pieces()).step_by(4) {
                    entries.push([0, 1, 2, 3].map(|i| piece(first + i)));
                }
            }
        }
        entries
    }

    /// Reads and checks the next operation; only what [`Node::emit`] writes is accepted. `None` at
    /// the end.
    pub(super) fn parse<'r>(
        entries: &mut impl Iterator<Item = &'r [u8; OP]>,
    ) -> Option<Result<Self>> {
        let first = entries.next()?;
        Some(Self::parse_from(first, entries))
    }

    fn parse_from<'r>(
        first: &[u8; OP],
        entries: &mut impl Iterator<Item = &'r [u8; OP]>,
    ) -> Result<Self> {
        let mut read = PlanEntries::default();
        read.push(numbers(first));
        let [kind, a, b, c, code, flags, ..] = *first;
        let [_, _, x, y] = numbers(first);
        let (mut from, mut also) = (None, 0);
        if flags != 0 {
            let [f, s, ..] = read.next(entries)?;
            (from, also) = (Some(f), s);
        }
        let mut layer = Convolution::fully_connected(x, y);
        let (mut factor, mut view) = (0, View::whole(x));
        if matches!(kind, 6..=8) {
            layer = read.convolution([x, y], entries)?;
        } else if kind == 9 {
            (factor, view) = read.view(entries)?;
        }
        let function = read.function(code, entries)?;
        let op = match kind {
            1 => Op::FullyConnected { ring: a, weight_bits: b, inputs: x, outputs: y },
            2 => Op::Activation { function, ring_in: a, ring_out: b, shift: c, len: x },
            3 => Op::Square { ring: a, len: x },
            4 => Op::Reveal { ring: a, len: x },
            5 => Op::Argmax { ring: a, len: x },
            6 => Op::Convolution { ring: a, weight_bits: b, layer },
            7 => Op::MaxPool { function, ring_in: a, ring_out: b, shift: c, window: layer },
            8 => Op::SumPool { ring: a, window: layer },
            9 => Op::StridedAdd { ring: a, onto: b != 0, inputs: x, len: y, factor, view },
            10 => Op::Product { ring: a, len: x },
            11 => Op::Offset { ring: a, channels: y, len: x },
            _ => return Err(REFUSED),
        };
        let node = Self { op, from, also };
        // Whatever was not understood above comes out differently here.
        if node.emit() == read && op.is_valid()? { Ok(node) } else { Err(REFUSED) }
    }
}

impl Op {
    /// Whether everything is in its range.
    fn is_valid(&self) -> Result<bool> {
        let ring = |l: u8| (MIN_RING_BITS..=MAX_RING_BITS).contains(&l);
        let len = |n: u32| (1..=MAX_LEN).contains(&n);
        let own = match *self {
            Self::Activation { function, ring_in, shift, .. } => {
                shift.saturating_add(1) < ring_in && function.is_valid()
            }
            Self::Argmax { len, .. } => len <= MAX_CLASSES,
            Self::MaxPool { function, ring_in, shift, window, .. } => {
                matches!(function, Function::Identity | Function::Relu)
                    && shift.saturating_add(1) < ring_in
                    && window.is_window()
                    && window.window_len() as u64 <= u64::from(MAX_CLASSES)
            }
            Self::SumPool { window, .. } => window.is_window(),
            Self::StridedAdd { inputs, len, view, .. } => {
                view.check(inputs, len, MAX_COPIES).is_ok()
            }
            Self::Offset { channels, len, .. } => channels > 0 && len.is_multiple_of(channels),
            _ => true,
        };
        let linear = match self.linear() {
            Some((_, weight_bits, geometry)) => {
                let g = geometry?;
                (2..=MAX_WEIGHT_BITS).contains(&weight_bits)
                    && g.layer().weights() <= MAX_WEIGHTS
                    && g.channels as u64 <= u64::from(MAX_LEN)
            }
            None => true,
        };
        let ((ring_in, len_in), (ring_out, len_out)) = (self.input(), self.output());
        Ok(ring(ring_in) && ring(ring_out) && len(len_in) && len(len_out) && own && linear)
    }
}

/// What an operation is that no plan may hold.
const REFUSED: Error = Error::Plan(PlanFault::Field);

/// The entries of one operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PlanEntries {
    words: [[u32; 4]; MAX_ENTRIES],
    len: usize,
}

impl PlanEntries {
    fn push(&mut self, entry: [u32; 4]) {
        if let Some(slot) = self.words.get_mut(self.len) {
            *slot = entry;
            self.len += 1;
        }
    }

    /// Reads the shape of a convolution or a window of `x` input and `y` output channels.
    fn convolution<'r>(
        &mut self,
        [x, y]: [u32; 2],
        entries: &mut impl Iterator<Item = &'r [u8; OP]>,
    ) -> Result<Convolution> {
        let [[h, w, kh, kw], [sh, sw, dh, dw], [p, q, groups, _]] =
            [self.next(entries)?, self.next(entries)?, self.next(entries)?];
        Ok(Convolution {
            input: [x, h, w],
            outputs: y,
            kernel: [kh, kw],
            stride: [sh, sw],
            pads: [p & 0xffff, p >> 16, q & 0xffff, q >> 16],
            dilation: [dh, dw],
            groups,
        })
    }

    /// Reads a factor and a view.
    fn view<'r>(
        &mut self,
        entries: &mut impl Iterator<Item = &'r [u8; OP]>,
    ) -> Result<(i32, View)> {
        let (dims, steps, strides) =
            (self.next(entries)?, self.next(entries)?, self.next(entries)?);
        let [from, to, factor, _] = self.next(entries)?;
        let (steps, strides) = (steps.map(|s| s as i32), strides.map(|s| s as i32));
        Ok((factor as i32, View { dims, from, steps, to, strides }))
    }

    /// Reads the parameters of a function.
    fn function<'r>(
        &mut self,
        code: u8,
        entries: &mut impl Iterator<Item = &'r [u8; OP]>,
    ) -> Result<Function> {
        match code {
            0 => Ok(Function::Identity),
            1 => Ok(Function::Relu),
            2 => {
                let wide = |[lo, hi]: [u32; 2]| (u64::from(hi) << 32 | u64::from(lo)) as i64;
                let [a, b, c, d] = self.next(entries)?;
                Ok(Function::Clip { lo: wide([a, b]), hi: wide([c, d]) })
            }
            3 => {
                let [multiplier, bits, ..] = self.next(entries)?;
                Ok(Function::Leaky { multiplier: multiplier as u8, bits: bits as u8 })
            }
            4 => self.pieces(entries).map(Function::PiecewiseLinear),
            _ => Err(REFUSED),
        }
    }

    /// Reads a function of straight pieces.
    fn pieces<'r>(
        &mut self,
        entries: &mut impl Iterator<Item = &'r [u8; OP]>,
    ) -> Result<PiecewiseLinear> {
        let [parity, sizes, centre, _] = self.next(entries)?;
        let [input_bits, index_bits, shift, plus_relu] = sizes.to_le_bytes();
        let mut s = PiecewiseLinear {
            parity: match parity {
                0 => Parity::Odd,
                1 => Parity::Even,
                _ => Parity::Left,
            },
            plus_relu: plus_relu != 0,
            input_bits,
            index_bits,
            shift,
            centre: centre as i32,
            offsets: [0; MAX_PIECES],
            slopes: [0; MAX_PIECES],
        };
        for first in (0..s.pieces()).step_by(4) {
            let places = s.offsets.iter_mut().zip(&mut s.slopes).skip(first);
            for ((offset, slope), piece) in places.zip(self.next(entries)?) {
                (*offset, *slope) = (piece as u16 as i16, (piece >> 16) as u16 as i16);
            }
        }
        Ok(s)
    }

    /// Reads one more.
    #[inline(never)] // read in many places
    fn next<'r>(&mut self, entries: &mut impl Iterator<Item = &'r [u8; OP]>) -> Result<[u32; 4]> {
        let entry = numbers(entries.next().ok_or(Error::Plan(PlanFault::Truncated))?);
        self.push(entry);
        Ok(entry)
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn bytes(self) -> impl Iterator<Item = [u8; OP]> {
        self.words
            .into_iter()
            .take(self.len)
            .map(|words| bytemuck::cast(words.map(u32::to_le_bytes)))
    }
}

/// Most entries of an operation: the first, what it reads, a window, a function with all pieces.
const MAX_ENTRIES: usize = 1 + 1 + 4 + 1 + MAX_PIECES / 4;

/// Elements of a tensor; too many to count are more than any plan may have.
const fn elements(channels: u32, [h, w]: [u32; 2]) -> u32 {
    channels.saturating_mul(h).saturating_mul(w)
}

fn numbers(entry: &[u8; OP]) -> [u32; 4] {
    bytemuck::cast::<[u8; OP], [[u8; 4]; 4]>(*entry).map(u32::from_le_bytes)
}

const fn function_code(function: &Function) -> u8 {
    match function {
        Function::Identity => 0,
        Function::Relu => 1,
        Function::Clip { .. } => 2,
        Function::Leaky { .. } => 3,
        Function::PiecewiseLinear(_) => 4,
    }
}

const fn parity_code(parity: Parity) -> u32 {
    match parity {
        Parity::Odd => 0,
        Parity::Even => 1,
        Parity::Left => 2,
    }
}
