//! Models of given layers with random weights, for measuring.

use anyhow::Context as _;
use minionn_core::model::Model;
use minionn_core::plan::{self, Function, Header, Op, Plan, Quantisation};
use minionn_core::rng::{Domain, Seed};

/// Inputs of eight bits.
const INPUT: Quantisation = Quantisation { scale: 1.0, min: -128, max: 127 };
/// Bits of a weight.
pub const WEIGHT_BITS: u8 = 8;

/// A model of these operations, each reading what the one before wrote.
///
/// # Errors
/// If the plan does not admit them.
pub fn model(name: &str, ops: &[Op]) -> anyhow::Result<Vec<u8>> {
    let (first, last) = ops.first().zip(ops.last()).context("no operations")?;
    let mut header = Header {
        input_len: first.input().1,
        output_len: last.output().1,
        input: INPUT,
        output_scale: 1.0,
        name: [0; 32],
    };
    header.name.iter_mut().zip(name.bytes()).for_each(|(to, from)| *to = from);
    let mut plan = vec![0; plan::MAX_BYTES];
    let len = Plan::write(&header, ops, &mut plan)?;
    plan.truncate(len);
    let weight = |layer: usize, i: usize, j: usize| {
        let mut random =
            Seed([7; 32]).stream(Domain::Mask, (layer as u64) << 48 | (i as u64) << 24 | j as u64);
        (random.next_u32() % (1 << WEIGHT_BITS)) as i64 - (1 << (WEIGHT_BITS - 1))
    };
    let mut bytes = vec![0; Model::len_bytes(&Plan::parse(&plan)?)];
    Model::write(&plan, weight, |_, _| 0, &mut bytes)?;
    Ok(bytes)
}

/// `layer`, whose sums fit `ring` bits, then ReLU with truncation to eight bits, opened.
///
/// # Errors
/// As [`model`].
pub fn layer_with_relu(name: &str, layer: Op, ring: u8) -> anyhow::Result<Vec<u8>> {
    let (ring_out, shift, len) = (10, ring - 9, layer.output().1);
    let relu = Op::Activation { function: Function::Relu, ring_in: ring, ring_out, shift, len };
    model(name, &[layer, relu, Op::Reveal { ring: ring_out, len }])
}
