//! A network small enough to compute by hand: 3 → 2, ReLU, square, 2 → 2. Used by the firmware and
//! by its build script.

use minionn_core::plan::{Function, Header, Op, Quantisation};

/// Elements in.
pub(crate) const INPUTS: usize = 3;
/// Elements out.
pub(crate) const OUTPUTS: usize = 2;

/// One narrow layer (i8 weights) and one wide layer (i16 weights), in two rings.
pub(crate) const OPS: [Op; 5] = [
    Op::FullyConnected { ring: 16, weight_bits: 8, inputs: INPUTS as u32, outputs: 2 },
    Op::Activation { function: Function::Relu, ring_in: 16, ring_out: 20, shift: 1, len: 2 },
    Op::Square { ring: 20, len: 2 },
    Op::FullyConnected { ring: 20, weight_bits: 10, inputs: 2, outputs: OUTPUTS as u32 },
    Op::Reveal { ring: 20, len: OUTPUTS as u32 },
];

/// What stands before the operations.
pub(crate) fn header() -> Header {
    let mut name = [0; 32];
    name[..4].copy_from_slice(b"tiny");
    let input = Quantisation { scale: 0.5, min: -4, max: 4 };
    Header { input_len: INPUTS as u32, output_len: OUTPUTS as u32, input, output_scale: 0.25, name }
}

/// Rows `[-100, -99, -98], [0, 1, 2]`, then `[300, -300], [-300, 300]`.
#[allow(dead_code, reason = "only the build script writes the model")]
pub(crate) fn weight(layer: usize, i: usize, j: usize) -> i64 {
    match layer {
        0 => (i as i64 - 1) * 100 + j as i64,
        _ => [300, -300][i ^ j],
    }
}

/// `[-5, -4]`, then `[5, 6]`.
#[allow(dead_code, reason = "only the build script writes the model")]
pub(crate) fn bias(layer: usize, i: usize) -> i64 {
    (layer * 10 + i) as i64 - 5
}
