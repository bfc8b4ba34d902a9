//! Plans as graphs: what is read back, what is refused, how long it takes.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may panic")]

use crate::common;

use common::Lcg;
use minionn_core::Error;
use minionn_core::cost;
use minionn_core::error::PlanFault;
use minionn_core::plan::{
    self, Function, Header, MAX_OPS, Node, Op, Parity, PiecewiseLinear, Plan, Quantisation, View,
};
use minionn_core::session::{Options, client_memory, server_memory};
use sha2::{Digest as _, Sha256};

const SHAPE: Error = Error::Plan(PlanFault::Shape);
const FIELD: Error = Error::Plan(PlanFault::Field);

/// The bytes of a plan.
fn write(input_len: u32, nodes: &[Node]) -> Result<Vec<u8>, Error> {
    told(input_len, nodes, &[], "")
}

/// The same with steps of the input and a text.
fn told(
    input_len: u32,
    nodes: &[Node],
    features: &[[u8; 8]],
    text: &str,
) -> Result<Vec<u8>, Error> {
    let header = Header {
        input_len,
        output_len: nodes.last().unwrap().op.output().1,
        input: Quantisation { scale: 1.0, min: -10, max: 10 },
        output_scale: 1.0,
        name: [0; 32],
    };
    let mut bytes = vec![0; plan::MAX_BYTES];
    let len = Plan::write_with(&header, nodes, features, text, &mut bytes)?;
    bytes.truncate(len);
    Ok(bytes)
}

fn node(op: Op, from: Option<u32>, also: u32) -> Node {
    Node { op, from, also }
}

fn arrange(ring: u8, onto: bool, inputs: u32, len: u32) -> Op {
    Op::StridedAdd { ring, onto, inputs, len, factor: 1, view: View::whole(inputs.min(len)) }
}

const OPEN: Op = Op::Reveal { ring: 20, len: 4 };

/// Input 0..4, FullyConnected 4..8 (ring 20), Activation 8..12 (ring 24), StridedAdd 12..18 (ring
/// 16) in two operations.
fn base() -> Vec<Node> {
    vec![
        Op::FullyConnected { ring: 20, weight_bits: 8, inputs: 4, outputs: 4 }.into(),
        Op::Activation { function: Function::Relu, ring_in: 20, ring_out: 24, shift: 3, len: 4 }
            .into(),
        arrange(16, false, 4, 6).into(),
        node(arrange(16, true, 4, 6), Some(4), 0),
    ]
}

/// Whether a plan with `more` behind [`base`] is accepted.
fn with(more: &[Node]) -> Result<(), Error> {
    let last = *more.last().unwrap();
    let mut nodes = base();
    nodes.extend(more);
    if !last.op.is_output() {
        let (ring, len) = last.op.output();
        nodes.push(Op::Reveal { ring, len }.into());
    }
    write(4, &nodes).map(|_| ())
}

#[test]
fn operations_read_whole_finished_tensors_only() {
    for from in 0..40 {
        let read = |ring| with(&[node(Op::Reveal { ring, len: 4 }, Some(from), 0)]);
        assert_eq!(read(8), if matches!(from, 0 | 4 | 8) { Ok(()) } else { Err(SHAPE) }, "{from}");
        // The input is as wide as it is read.
        let widest = [(0, 44), (4, 20), (8, 24)].into_iter().find(|t| t.0 == from);
        if let Some((_, widest)) = widest {
            assert_eq!(read(widest), Ok(()));
            assert_eq!(read(widest + 1), Err(if widest < 44 { SHAPE } else { FIELD }));
        }
    }
    for far in [u32::MAX, 1 << 31, u32::MAX - 3] {
        assert_eq!(with(&[node(OPEN, Some(far), 0)]), Err(SHAPE));
    }
    assert_eq!(with(&[node(Op::Reveal { ring: 16, len: 6 }, Some(12), 0)]), Ok(()));
    assert_eq!(with(&[node(Op::Reveal { ring: 17, len: 6 }, Some(12), 0)]), Err(SHAPE));
    assert_eq!(with(&[node(Op::Reveal { ring: 16, len: 5 }, Some(12), 0)]), Err(SHAPE), "length");
    // Without saying so, the one before.
    assert_eq!(with(&[Op::Reveal { ring: 16, len: 6 }.into()]), Ok(()));
    assert_eq!(with(&[OPEN.into()]), Err(SHAPE));
    // Itself, and what comes later.
    let square = |from| {
        with(&[
            node(Op::Square { ring: 8, len: 6 }, from, 0),
            node(Op::Square { ring: 8, len: 6 }, None, 0),
        ])
    };
    assert_eq!(
        [square(None), square(Some(18)), square(Some(24))],
        [Ok(()), Err(SHAPE), Err(SHAPE)]
    );
    // Nothing after the end, nothing without one.
    assert_eq!(with(&[node(OPEN, Some(4), 0), node(OPEN, Some(4), 0)]), Err(SHAPE));
    assert_eq!(write(4, &base()), Err(SHAPE));
    // A second operand where there is none.
    assert_eq!(with(&[node(OPEN, Some(4), 8)]), Err(SHAPE));
    assert_eq!(
        with(&[node(Op::Square { ring: 16, len: 6 }, None, 4)]),
        Err(FIELD),
        "no record would hold it"
    );
}

#[test]
fn products_read_two_tensors_of_their_length() {
    let product = |ring, len, from, also| with(&[node(Op::Product { ring, len }, from, also)]);
    assert_eq!(product(20, 4, Some(4), 8), Ok(()));
    assert_eq!(product(20, 4, Some(8), 8), Ok(()), "the same twice");
    assert_eq!(product(20, 4, Some(0), 0), Ok(()));
    assert_eq!(product(24, 4, Some(4), 8), Err(SHAPE), "one is narrower");
    assert_eq!(product(24, 4, Some(8), 4), Err(SHAPE));
    assert_eq!(product(16, 4, Some(4), 12), Err(SHAPE), "one is longer");
    assert_eq!(product(16, 6, None, 0), Err(SHAPE));
    for missing in [1, 18, 24, u32::MAX] {
        assert_eq!(
            [product(8, 4, Some(4), missing), product(8, 4, Some(missing), 4)],
            [Err(SHAPE); 2],
            "{missing}"
        );
    }
}

#[test]
fn arrangements_add_onto_their_own_kind_only() {
    let onto = |op, from| with(&[node(op, from, 0)]);
    assert_eq!(onto(arrange(16, true, 4, 6), Some(0)), Ok(()));
    assert_eq!(onto(arrange(16, true, 4, 7), Some(0)), Err(SHAPE), "another length");
    assert_eq!(onto(arrange(15, true, 4, 6), Some(0)), Err(SHAPE), "another ring");
    for from in [Some(12), None] {
        assert_eq!(onto(arrange(16, true, 6, 6), from), Err(SHAPE), "itself");
    }
    assert_eq!(onto(arrange(16, true, 3, 6), Some(0)), Err(SHAPE), "a part of a tensor");
    // Nothing in between, and nothing at the start.
    let between =
        [node(Op::Square { ring: 16, len: 6 }, None, 0), node(arrange(16, true, 4, 6), Some(0), 0)];
    assert_eq!(with(&between), Err(SHAPE));
    assert_eq!(
        write(
            4,
            &[node(arrange(16, true, 4, 4), Some(0), 0), Op::Reveal { ring: 16, len: 4 }.into()]
        ),
        Err(SHAPE)
    );
}

#[test]
fn fields_out_of_range_are_refused() {
    let activation = |function, ring_in, shift| {
        with(&[node(Op::Activation { function, ring_in, ring_out: 20, shift, len: 4 }, Some(4), 0)])
    };
    let pieces = |n: usize| core::array::from_fn(|i| if i < n { i as i16 - 3 } else { 0 });
    let good = PiecewiseLinear {
        parity: Parity::Left,
        plus_relu: true,
        input_bits: 14,
        index_bits: 3,
        shift: 15,
        centre: -1,
        offsets: pieces(8),
        slopes: pieces(8),
    };
    assert_eq!(activation(Function::PiecewiseLinear(good), 20, 3), Ok(()));
    assert_eq!(activation(Function::PiecewiseLinear(good), 20, 18), Ok(()));
    assert_eq!(activation(Function::PiecewiseLinear(good), 20, 19), Err(FIELD));
    let wide = PiecewiseLinear { index_bits: 5, offsets: pieces(32), slopes: pieces(32), ..good };
    assert_eq!(activation(Function::PiecewiseLinear(wide), 20, 0), Ok(()));
    for bad in [
        PiecewiseLinear {
            input_bits: 0,
            index_bits: 0,
            offsets: pieces(1),
            slopes: pieces(1),
            ..good
        },
        PiecewiseLinear { input_bits: 15, ..good },
        PiecewiseLinear { input_bits: 2, ..good },
        PiecewiseLinear { index_bits: 6, ..wide },
        PiecewiseLinear { index_bits: 255, ..wide },
        PiecewiseLinear { shift: 16, ..good },
        PiecewiseLinear { centre: 1 << 20, ..good },
        PiecewiseLinear { centre: i32::MIN, ..good },
        // What the entries have no place for.
        PiecewiseLinear { offsets: pieces(13), ..good },
        PiecewiseLinear { slopes: pieces(9), ..good },
    ] {
        assert_eq!(activation(Function::PiecewiseLinear(bad), 20, 0), Err(FIELD), "{bad:?}");
    }
    for (lo, hi, result) in [
        (-5, -5, Ok(())),
        (-(1 << 43), (1 << 43) - 1, Ok(())),
        (1, 0, Err(FIELD)),
        (-(1 << 43) - 1, 0, Err(FIELD)),
        (0, 1 << 43, Err(FIELD)),
        (i64::MIN, i64::MAX, Err(FIELD)),
    ] {
        assert_eq!(activation(Function::Clip { lo, hi }, 20, 0), result, "{lo} {hi}");
    }
    for (multiplier, bits, result) in
        [(1, 0, Ok(())), (255, 15, Ok(())), (0, 3, Err(FIELD)), (1, 16, Err(FIELD))]
    {
        assert_eq!(activation(Function::Leaky { multiplier, bits }, 20, 0), result);
    }
    let pool = |function| {
        let window = plan::Convolution::window([1, 4, 1], [2, 1], [1, 1], [0; 4], [1, 1]);
        with(&[node(
            Op::MaxPool { function, ring_in: 20, ring_out: 20, shift: 0, window },
            Some(4),
            0,
        )])
    };
    assert_eq!([pool(Function::Relu), pool(Function::Identity)], [Ok(()); 2]);
    assert_eq!(
        [pool(Function::Clip { lo: 0, hi: 1 }), pool(Function::PiecewiseLinear(good))],
        [Err(FIELD); 2]
    );
    for (channels, len, result) in
        [(4, 4, Ok(())), (2, 4, Ok(())), (3, 4, Err(FIELD)), (0, 4, Err(FIELD)), (8, 4, Err(FIELD))]
    {
        assert_eq!(
            with(&[node(Op::Offset { ring: 20, channels, len }, Some(4), 0)]),
            result,
            "{channels}"
        );
    }
    let view =
        View { dims: [1, 1, 2, 2], from: 1, steps: [0, 0, -1, 2], to: 0, strides: [9, 9, 3, 1] };
    let viewed = |view| {
        with(&[node(
            Op::StridedAdd { ring: 20, onto: false, inputs: 4, len: 5, factor: i32::MIN, view },
            Some(4),
            0,
        )])
    };
    assert_eq!(viewed(view), Ok(()));
    for bad in [
        View { from: 0, ..view },
        View { from: 2, ..view },
        View { to: 1, ..view },
        View { dims: [2, 1, 2, 2], ..view },
        View { dims: [0, 1, 2, 2], ..view },
        View { dims: [u32::MAX; 4], steps: [0; 4], strides: [0; 4], ..view },
        View { steps: [0, 0, i32::MIN, i32::MAX], ..view },
        View { strides: [0, 0, i32::MIN, i32::MAX], ..view },
        // Every element is there, but more copies than one operation may make.
        View { dims: [1 << 13, 1 << 13, 2, 1], steps: [0; 4], strides: [0; 4], ..view },
    ] {
        assert_eq!(viewed(bad), Err(FIELD), "{bad:?}");
    }
}

/// What damage to this bit is called.
fn damage(bit: usize) -> PlanFault {
    match bit / 8 {
        0..8 => PlanFault::Magic,
        8..10 => PlanFault::Version,
        10..12 => PlanFault::Truncated,
        // More steps of the input or a longer text, up to the most that there may be.
        68..72 if bit - 8 * 68 <= 12 => PlanFault::Truncated,
        72..76 if bit - 8 * 72 <= 15 => PlanFault::Truncated,
        68..80 => PlanFault::Field,
        _ => PlanFault::Digest,
    }
}

/// What was written comes back, and only that is accepted.
#[test]
fn records_come_back_and_every_damaged_bit_is_refused_or_means_another_plan() {
    let mut g = Lcg::seeded(1);
    let (mut refused, mut other) = (0, 0);
    for _ in 0..12 {
        let (input, nodes) = common::graph::nodes(&mut g);
        let bytes = {
            let net = common::graph(input, &nodes, 1);
            let model = minionn_core::model::Model::parse(&net).unwrap();
            let (content, digest) = model.plan().bytes();
            [content, &digest[..]].concat()
        };
        let parsed = Plan::parse(&bytes).unwrap();
        let ops: Vec<Op> = parsed.ops().collect();
        assert_eq!(ops, nodes.iter().map(|n| n.op).collect::<Vec<_>>());
        for (step, node) in parsed.steps().zip(&nodes) {
            assert!(
                node.from.is_none_or(|from| from as usize == step.from)
                    && node.also as usize == step.also
            );
        }
        let again = |plan: &Plan<'_>| {
            let each: Vec<Node> =
                plan.steps().map(|s| node(s.op, Some(s.from as u32), s.also as u32)).collect();
            let mut out = vec![0; plan::MAX_BYTES];
            Plan::write(plan.header(), &each, &mut out).map(|_| each)
        };
        let steps = again(&parsed).unwrap();
        for bit in 0..8 * (bytes.len() - plan::DIGEST) {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Plan::parse(&bad).err(), Some(Error::Plan(damage(bit))), "bit {bit}");
            let (content, digest) = bad.split_at_mut(bytes.len() - plan::DIGEST);
            digest.copy_from_slice(&Sha256::digest(content));
            match Plan::parse(&bad) {
                Err(error) => {
                    assert!(matches!(error, Error::Plan(_)), "{error:?}");
                    refused += 1;
                }
                Ok(plan) => {
                    // Every bit of an entry means something.
                    if bit >= 8 * plan::HEADER {
                        assert_ne!(again(&plan).unwrap(), steps, "bit {bit}");
                    }
                    other += 1;
                }
            }
        }
        for len in 0..bytes.len() {
            assert!(Plan::parse(&bytes[..len]).is_err());
        }
    }
    println!("{refused} refused, {other} are other plans");
    assert!(refused > other && other > 0);
}

fn feature(step: f32, offset: f32) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&step.to_le_bytes());
    bytes[4..].copy_from_slice(&offset.to_le_bytes());
    bytes
}

#[test]
fn parts_of_the_input_have_steps_and_a_plan_has_words() {
    let nodes: Vec<Node> = vec![Op::Reveal { ring: 20, len: 4 }.into()];
    let parts = [feature(0.5, 100.0), feature(2.0, -1.0)];
    let bytes = told(4, &nodes, &parts, "label übel\n").unwrap();
    let plan = Plan::parse(&bytes).unwrap();
    assert_eq!((plan.features(), plan.text()), (&parts[..], "label übel\n"));
    assert_eq!((plan.input_step(1), plan.input_step(2)), (Some((0.5, 100.0)), Some((2.0, -1.0))));
    assert_eq!(plan.input_step(4), None);
    // Two elements each; beyond the range (−10 to 10) it is clamped, as with one step.
    let integers: Vec<i64> =
        (0..4).map(|i| plan.quantise(i, [101.0, 99.4, 4.9, 1e9][i]).unwrap()).collect();
    assert_eq!(integers, [2, -1, 3, 10]);
    assert_eq!(plan.quantise(0, f32::NAN), Err(Error::Input));
    assert_eq!(plan.quantise(4, 0.0), Err(Error::Input));
    let plain = write(4, &nodes).unwrap();
    assert_eq!(Plan::parse(&plain).unwrap().quantise(3, 2.4), Ok(2));
    // What stands behind the entries counts for the digest.
    assert_ne!(plan.digest(), Plan::parse(&plain).unwrap().digest());
    for (parts, text) in [
        (&[feature(0.0, 0.0)][..], ""),
        (&[feature(-1.0, 0.0)], ""),
        (&[feature(f32::NAN, 0.0)], ""),
        (&[feature(1.0, f32::INFINITY)], ""),
        // No equal parts of four.
        (&[feature(1.0, 0.0); 3], ""),
        (&[feature(1.0, 0.0); 8], ""),
        (&[feature(1.0, 0.0); 4], &"x".repeat((1 << 15) - 31)),
    ] {
        assert_eq!(told(4, &nodes, parts, text).err(), Some(FIELD), "{parts:?}");
    }
    let mut latin = bytes;
    let at = plan::HEADER + plan::OP + 16 + 6;
    latin[at] = 0xff;
    let (content, digest) = latin.split_at_mut(at + 6 + plan::DIGEST - plan::DIGEST);
    digest.copy_from_slice(&Sha256::digest(content));
    assert_eq!(Plan::parse(&latin).err(), Some(FIELD), "no UTF-8");
}

/// As many operations as fit, each reading one far away.
#[test]
fn the_longest_plan_is_checked_in_no_time() {
    let mut nodes: Vec<Node> = (0..MAX_OPS as u32 / 2 - 1)
        .map(|i| node(Op::Product { ring: 20, len: 1 }, Some(i), i / 2))
        .collect();
    nodes.push(node(Op::Reveal { ring: 20, len: 1 }, Some(0), 0));
    let start = std::time::Instant::now();
    let bytes = write(1, &nodes).unwrap();
    let parsed = start.elapsed();
    let plan = Plan::parse(&bytes).unwrap();
    let options = Options::default();
    let _ = (cost::offline(&plan, &options).unwrap(), server_memory(&plan, &options).unwrap());
    println!("{} bytes: {parsed:?} to write and check, {:?} in all", bytes.len(), start.elapsed());
    assert!(start.elapsed().as_secs() < 5);
    // Longer ones are refused.
    let mut long = nodes.clone();
    long.insert(0, node(Op::Square { ring: 20, len: 1 }, Some(0), 0));
    assert_eq!(write(1, &long).err(), Some(FIELD));
    let mut records: Vec<Node> = vec![Op::Square { ring: 20, len: 1 }.into(); MAX_OPS - 1];
    records.push(Op::Reveal { ring: 20, len: 1 }.into());
    let bytes = told(1, &records, &[], &"x".repeat(1 << 15)).unwrap();
    assert_eq!(bytes.len(), plan::MAX_BYTES);
    assert_eq!(told(1, &records, &[], &"x".repeat((1 << 15) + 1)).err(), Some(FIELD));
    let start = std::time::Instant::now();
    Plan::parse(&bytes).unwrap();
    println!("{} records: {:?} to check", records.len(), start.elapsed());
    assert!(start.elapsed().as_secs() < 5);
}

/// Copies that take hours, tensors that no memory holds: counted without overflow, and refused for
/// want of memory.
#[test]
fn the_largest_arrangements_are_planned() {
    let len = 1 << 24;
    let view = View {
        dims: [4, 1 << 8, 1 << 8, 1 << 8],
        from: 0,
        steps: [0, 1 << 16, 1 << 8, 1],
        to: 0,
        strides: [0, 1 << 16, 1 << 8, 1],
    };
    let copies = Op::StridedAdd { ring: 44, onto: false, inputs: len, len, factor: i32::MIN, view };
    let mut nodes: Vec<Node> = vec![copies.into(); 4];
    nodes.push(Op::Reveal { ring: 44, len }.into());
    let bytes = write(len, &nodes).unwrap();
    let plan = Plan::parse(&bytes).unwrap();
    assert_eq!(plan.elements(), 5 << 24);
    for stock in [1, minionn_core::session::MAX_STOCK] {
        let options = Options { stock, ..Options::default() };
        let (client, server) =
            (client_memory(&plan, &options).unwrap(), server_memory(&plan, &options).unwrap());
        assert!(client > 5 << 27 && server > 5 << 27);
    }
    // One operation more than a plan may have.
    nodes.insert(0, copies.into());
    assert!(write(len, &nodes).is_err());
    // One copy more than an operation may make.
    let view = View { dims: [5, 1 << 8, 1 << 8, 1 << 8], ..view };
    assert_eq!(
        write(
            len,
            &[
                Op::StridedAdd { ring: 44, onto: false, inputs: len, len, factor: 1, view }.into(),
                nodes[5]
            ]
        )
        .err(),
        Some(FIELD)
    );
}

/// Tensors that no machine holds are refused before anybody asks for memory.
#[test]
fn tensors_are_bounded_all_together() {
    let len = 1 << 24;
    let step =
        Op::Activation { function: Function::Relu, ring_in: 20, ring_out: 20, shift: 0, len };
    let plan = |steps: usize| {
        let mut nodes: Vec<Node> = vec![step.into(); steps];
        nodes.push(Op::Reveal { ring: 20, len }.into());
        write(len, &nodes)
    };
    assert_eq!(Plan::parse(&plan(7).unwrap()).unwrap().elements(), plan::MAX_ELEMENTS);
    assert!(plan(8).is_err());
}
