//! Networks of the cases, as the reference implementation and the engine have them.

use super::{Case, common, reference};
use minionn_core::garble::Function;
use minionn_core::model::Model;
use minionn_core::plan::{self, Header, Plan, Quantisation};

/// A network by name, with weights from the generator of common/mod.rs.
pub(super) fn network(name: &str) -> reference::Network {
    use reference::Function::{Clip, Identity, Leaky, Relu};
    use reference::Op::{Activation, Argmax, FullyConnected, MaxPool, Reveal, Square, SumPool};
    let activation = |function, [ring, shift, ring_out]: [u8; 3], len| Activation {
        ring,
        ring_out,
        shift,
        function,
        len,
    };
    let ops = match name {
        "relu" => vec![
            FullyConnected { ring: 20, weight_bits: 8, inputs: 20, outputs: 12 },
            activation(Relu, [20, 7, 19], 12),
            FullyConnected { ring: 19, weight_bits: 6, inputs: 12, outputs: 5 },
            Reveal { ring: 19, len: 5 },
        ],
        "square" => vec![
            FullyConnected { ring: 21, weight_bits: 10, inputs: 20, outputs: 9 },
            activation(Identity, [21, 12, 30], 9),
            Square { ring: 30, len: 9 },
            FullyConnected { ring: 30, weight_bits: 8, inputs: 9, outputs: 5 },
            Argmax { ring: 30, len: 5 },
        ],
        "chunks" => {
            vec![
                FullyConnected { ring: 22, weight_bits: 8, inputs: 4097, outputs: 3 },
                Reveal { ring: 22, len: 3 },
            ]
        }
        // Every kind of comparison: with and without a low part, a carry, levels; to 44 bits and
        // back.
        "shapes" => vec![
            FullyConnected { ring: 24, weight_bits: 12, inputs: 20, outputs: 5 },
            activation(Identity, [24, 0, 44], 5),
            activation(Relu, [44, 1, 44], 5),
            activation(Identity, [44, 2, 42], 5),
            activation(Relu, [42, 0, 20], 5),
            activation(Identity, [20, 3, 16], 5),
            activation(Relu, [16, 12, 8], 5),
            Reveal { ring: 8, len: 5 },
        ],
        // Both bounds, each alone, and one next to a ReLU.
        "bounds" => vec![
            FullyConnected { ring: 20, weight_bits: 8, inputs: 20, outputs: 8 },
            activation(Clip { lo: -9000, hi: 20_001 }, [20, 2, 16], 8),
            activation(Clip { lo: 9, hi: 1 << 40 }, [16, 0, 17], 8),
            activation(Clip { lo: -1 << 40, hi: 4500 }, [17, 1, 15], 8),
            activation(Clip { lo: 1, hi: 1999 }, [15, 1, 12], 8),
            Reveal { ring: 12, len: 8 },
        ],
        // Padding, an odd one out in two rounds; then windows that overlap.
        "pools" => {
            let window = |channels, size, kernel, stride, padding| reference::Window {
                channels,
                size,
                kernel,
                stride,
                padding,
            };
            vec![
                FullyConnected { ring: 19, weight_bits: 8, inputs: 20, outputs: 30 },
                MaxPool {
                    ring: 19,
                    ring_out: 17,
                    shift: 3,
                    function: Relu,
                    window: window(1, [5, 6], [3, 3], [2, 2], [1, 0, 0, 1]),
                },
                MaxPool {
                    ring: 17,
                    ring_out: 18,
                    shift: 1,
                    function: Identity,
                    window: window(3, [2, 1], [2, 1], [1, 1], [0; 4]),
                },
                Reveal { ring: 18, len: 3 },
            ]
        }
        "leaky" => vec![
            FullyConnected { ring: 20, weight_bits: 8, inputs: 20, outputs: 6 },
            activation(Leaky { m: 51, e: 9 }, [20, 4, 19], 6),
            activation(Leaky { m: 7, e: 3 }, [19, 0, 16], 6),
            Reveal { ring: 16, len: 6 },
        ],
        // A large operation, and a small one with few rounds more.
        "sizes" => vec![
            FullyConnected { ring: 20, weight_bits: 8, inputs: 20, outputs: 40 },
            activation(Relu, [20, 7, 19], 40),
            FullyConnected { ring: 19, weight_bits: 6, inputs: 40, outputs: 6 },
            activation(Identity, [19, 9, 30], 6),
            Square { ring: 30, len: 6 },
            activation(Clip { lo: -500, hi: 900 }, [30, 1, 12], 6),
            Reveal { ring: 12, len: 6 },
        ],
        // A comparison between a product and a circuit.
        "between" => vec![
            FullyConnected { ring: 20, weight_bits: 8, inputs: 20, outputs: 40 },
            Square { ring: 20, len: 40 },
            activation(Relu, [20, 7, 19], 40),
            FullyConnected { ring: 19, weight_bits: 6, inputs: 40, outputs: 4 },
            Argmax { ring: 19, len: 4 },
        ],
        // Linear and local operations one behind the other: carries are removed on the way.
        "carries" => vec![
            FullyConnected { ring: 20, weight_bits: 8, inputs: 20, outputs: 60 },
            SumPool {
                ring: 20,
                window: reference::Window {
                    channels: 3,
                    size: [4, 5],
                    kernel: [2, 3],
                    stride: [2, 1],
                    padding: [0, 1, 0, 0],
                },
            },
            FullyConnected { ring: 19, weight_bits: 8, inputs: 24, outputs: 7 },
            FullyConnected { ring: 17, weight_bits: 3, inputs: 7, outputs: 9 },
            activation(Relu, [16, 3, 18], 9),
            FullyConnected { ring: 17, weight_bits: 5, inputs: 9, outputs: 5 },
            Reveal { ring: 17, len: 5 },
        ],
        // The larger set, with whole uploads in the widest ring; the narrowest of the smaller.
        "wide" => vec![
            FullyConnected { ring: 44, weight_bits: 12, inputs: 30, outputs: 20 },
            FullyConnected { ring: 36, weight_bits: 8, inputs: 20, outputs: 12 },
            FullyConnected { ring: 8, weight_bits: 2, inputs: 12, outputs: 3 },
            Reveal { ring: 8, len: 3 },
        ],
        _ => panic!("no network {name}"),
    };
    let (mut weights, mut biases) = (vec![], vec![]);
    for op in &ops {
        if let FullyConnected { weight_bits, inputs, outputs, .. } = *op {
            let mut g = common::Lcg(u64::from(inputs) << 8 | u64::from(outputs));
            weights.push(
                (0..inputs * outputs)
                    .map(|_| g.below(1 << weight_bits) as i64 - (1 << (weight_bits - 1)))
                    .collect(),
            );
            biases.push((0..outputs).map(|_| g.below(2000) as i64 - 1000).collect());
        }
    }
    reference::Network {
        step: 0.5,
        least: -100,
        greatest: 100,
        output_step: 0.125,
        name: name.into(),
        ops,
        weights,
        biases,
    }
}

fn core_function(function: reference::Function) -> Function {
    match function {
        reference::Function::Identity => Function::Identity,
        reference::Function::Relu => Function::Relu,
        reference::Function::Clip { lo, hi } => Function::Clip { lo, hi },
        reference::Function::Leaky { m, e } => Function::Leaky { multiplier: m, bits: e },
    }
}

pub(super) fn core_op(op: reference::Op) -> plan::Op {
    match op {
        reference::Op::FullyConnected { ring, weight_bits, inputs, outputs } => {
            plan::Op::FullyConnected { ring, weight_bits, inputs, outputs }
        }
        reference::Op::Activation { ring, ring_out, shift, function, len } => {
            plan::Op::Activation {
                function: core_function(function),
                ring_in: ring,
                ring_out,
                shift,
                len,
            }
        }
        reference::Op::Square { ring, len } => plan::Op::Square { ring, len },
        reference::Op::Reveal { ring, len } => plan::Op::Reveal { ring, len },
        reference::Op::Argmax { ring, len } => plan::Op::Argmax { ring, len },
        reference::Op::MaxPool { ring, ring_out, shift, function, window } => plan::Op::MaxPool {
            function: core_function(function),
            ring_in: ring,
            ring_out,
            shift,
            window: core_window(window),
        },
        reference::Op::SumPool { ring, window } => {
            plan::Op::SumPool { ring, window: core_window(window) }
        }
    }
}

fn core_window(window: reference::Window) -> plan::Convolution {
    let reference::Window { channels, size: [height, width], kernel, stride, padding } = window;
    plan::Convolution::window(
        [channels, height, width],
        kernel,
        stride,
        padding.map(u32::from),
        [1; 2],
    )
}

/// Plan and model as the engine writes them.
pub(super) fn core_files(net: &reference::Network) -> (Vec<u8>, Vec<u8>) {
    let ops: Vec<_> = net.ops.iter().map(|&op| core_op(op)).collect();
    let mut name = [0; 32];
    name[..net.name.len()].copy_from_slice(net.name.as_bytes());
    let header = Header {
        input_len: ops[0].input().1,
        output_len: ops.last().unwrap().output().1,
        input: Quantisation { scale: net.step, min: net.least, max: net.greatest },
        output_scale: net.output_step,
        name,
    };
    let mut plan = vec![0; plan::MAX_BYTES];
    let len = Plan::write(&header, &ops, &mut plan).unwrap();
    plan.truncate(len);
    let mut model = vec![0; Model::len_bytes(&Plan::parse(&plan).unwrap())];
    let inputs: Vec<usize> =
        ops.iter().filter(|op| op.is_linear()).map(|op| op.input().1 as usize).collect();
    Model::write(
        &plan,
        |l, i, j| net.weights[l][i * inputs[l] + j],
        |l, i| net.biases[l][i],
        &mut model,
    )
    .unwrap();
    (plan, model)
}

pub(super) fn inputs(case: &Case<'_>, net: &reference::Network) -> Vec<Vec<i64>> {
    let plan = net.plan();
    let len = u32::from_le_bytes(plan[12..16].try_into().unwrap()) as usize;
    (0..case.u64("predictions")).map(|i| common::input(len, i)).collect()
}
