//! Random networks in which operations read any tensor before them.

use super::{Lcg, graph};
use minionn_core::plan::{
    Convolution, Function, MAX_PIECES, Node, Op, Parity, PiecewiseLinear, View,
};

/// A tensor: its offset, ring and length.
type Tensor = (u32, u8, u32);

/// Any function.
pub fn function(g: &mut Lcg) -> Function {
    match g.below(7) {
        0 => Function::Identity,
        1 => Function::Relu,
        2 => {
            let (a, b) = (g.below(1 << 20) as i64 - (1 << 19), g.below(1 << 20) as i64 - (1 << 19));
            Function::Clip { lo: a.min(b), hi: a.max(b) }
        }
        3 => Function::Leaky { multiplier: 1 + g.below(255) as u8, bits: g.below(16) as u8 },
        _ => {
            let input_bits = 1 + g.below(14) as u8;
            let (mut offsets, mut slopes) = ([0; MAX_PIECES], [0; MAX_PIECES]);
            let index_bits = g.below(6).min(input_bits.into()) as u8;
            for i in 0..1 << index_bits {
                (offsets[i], slopes[i]) = (g.next() as i16 >> 3, g.next() as i16 >> 6);
            }
            Function::PiecewiseLinear(PiecewiseLinear {
                parity: [Parity::Odd, Parity::Even, Parity::Left][g.below(3) as usize],
                plus_relu: g.below(2) == 0,
                input_bits,
                index_bits,
                shift: g.below(16) as u8,
                centre: g.below(1 << 20) as i32 - (1 << 19),
                offsets,
                slopes,
            })
        }
    }
}

/// A view of `inputs` elements, with its extent on the other side.
fn view(g: &mut Lcg, inputs: u32) -> (View, u32) {
    loop {
        let mut draw = |most: u64, least: i32| [(); 4].map(|()| g.below(most) as i32 + least);
        let (dims, steps, strides) = (draw(3, 1), draw(7, -3), draw(7, -3));
        let dims = dims.map(|d| d as u32);
        let ends = |steps: [i32; 4]| {
            let ends = || dims.iter().zip(steps).map(|(&d, s)| (d as i32 - 1) * s);
            (
                ends().map(|e| e.min(0)).sum::<i32>().unsigned_abs(),
                ends().map(|e| e.max(0)).sum::<i32>() as u32,
            )
        };
        let ((before, after), (under, over)) = (ends(steps), ends(strides));
        if before + after < inputs && under + over < 30 {
            let from = before + g.below(u64::from(inputs - before - after)) as u32;
            let to = under + g.below(3) as u32;
            return (View { dims, from, steps, to, strides }, to + over + 1);
        }
    }
}

/// The operations, and how many elements go in.
pub fn nodes(g: &mut Lcg) -> (u32, Vec<Node>) {
    let input = 2 + g.below(9) as u32;
    let mut tensors: Vec<Tensor> = vec![(0, 44, input)];
    let mut nodes: Vec<Node> = Vec::new();
    let (mut end, mut last) = (input, 0);
    let narrower = |g: &mut Lcg, ring: u8| 8 + g.below(u64::from(ring) - 7) as u8;
    for _ in 0..3 + g.below(8) {
        // Recent tensors more often, the input sometimes.
        let at = tensors.len() - 1 - g.below(tensors.len() as u64).min(g.below(4)) as usize;
        let (from, ring, len) = tensors[at];
        let ring_in = narrower(g, ring);
        let shift = g.below(u64::from(ring_in) - 1) as u8;
        let ring_out = narrower(g, 44);
        let window = Convolution::window(
            [1, len, 1],
            [2.min(len), 1],
            [1 + g.below(2) as u32, 1],
            [g.below(2) as u32 & u32::from(len > 1), 0, 0, 0],
            [1, 1],
        );
        let mut also = 0;
        let op = match g.below(9) {
            0 => Op::FullyConnected {
                ring: ring_in.min(30),
                weight_bits: 2 + g.below(9) as u8,
                inputs: len,
                outputs: 1 + g.below(8) as u32,
            },
            1 | 2 => Op::Activation { function: function(g), ring_in, ring_out, shift, len },
            3 => Op::MaxPool { function: Function::Relu, ring_in, ring_out, shift, window },
            4 => Op::SumPool { ring: ring_in, window },
            5 => Op::Square { ring: ring_in, len },
            6 => {
                let others: Vec<&Tensor> = tensors.iter().filter(|t| t.2 == len).collect();
                let other = others[g.below(others.len() as u64) as usize];
                also = other.0;
                Op::Product { ring: ring_in.min(other.1), len }
            }
            7 => {
                let channels: Vec<u32> = (1..=len).filter(|c| len.is_multiple_of(*c)).collect();
                Op::Offset {
                    ring: ring_in,
                    channels: channels[g.below(channels.len() as u64) as usize],
                    len,
                }
            }
            _ => {
                let (view, out) = view(g, len);
                let len_out = out + g.below(3) as u32;
                let factor = g.below(201) as i32 - 100;
                Op::StridedAdd {
                    ring: ring_in,
                    onto: false,
                    inputs: len,
                    len: len_out,
                    factor,
                    view,
                }
            }
        };
        let explicit = from != last || matches!(op, Op::Product { .. }) || g.below(4) == 0;
        nodes.push(Node { op, from: explicit.then_some(from), also });
        if let Op::StridedAdd { ring, len, .. } = op {
            for _ in 0..g.below(3) {
                let readable: Vec<&Tensor> = tensors.iter().filter(|t| t.1 >= ring).collect();
                let other = readable[g.below(readable.len() as u64) as usize];
                let (view, out) = view(g, other.2);
                if out <= len {
                    let factor = g.next() as i32;
                    nodes.push(Node {
                        op: Op::StridedAdd { ring, onto: true, inputs: other.2, len, factor, view },
                        from: Some(other.0),
                        also: 0,
                    });
                }
            }
        }
        let (ring, len) = op.output();
        tensors.push((end, ring, len));
        (last, end) = (end, end + len);
    }
    let (from, ring, len) = tensors[tensors.len() - 1 - g.below(2) as usize];
    let ring = narrower(g, ring);
    let op = if len > 1 && g.below(3) == 0 {
        Op::Argmax { ring, len }
    } else {
        Op::Reveal { ring, len }
    };
    nodes.push(Node { op, from: Some(from), also: 0 });
    (input, nodes)
}

/// A model with such operations.
pub fn random(g: &mut Lcg) -> Vec<u8> {
    let (input, nodes) = nodes(g);
    graph(input, &nodes, g.next())
}
