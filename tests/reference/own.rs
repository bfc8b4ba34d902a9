//! The reference implementation held against itself and the integer model, without the engine:
//! `rustc --edition 2024 -O --test tests/reference/reference.rs` does, too.

use super::*;

/// Numbers that are not random.
fn numbers(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut stream = Stream::new([9; 32], MASK, seed);
    move |below| stream.u64() % below
}

fn network(name: &str, ops: &[Op]) -> Network {
    let mut next = numbers(ops.len() as u64);
    let (mut weights, mut biases) = (vec![], vec![]);
    for op in ops {
        if let Op::FullyConnected { weight_bits, inputs, outputs, .. } = *op {
            let half = 1 << (weight_bits - 1);
            weights.push(
                (0..inputs * outputs).map(|_| next(1 << weight_bits) as i64 - half).collect(),
            );
            biases.push((0..outputs).map(|_| next(2000) as i64 - 1000).collect());
        }
    }
    let name = name.to_owned();
    let ops = ops.to_vec();
    Network {
        step: 0.5,
        least: -100,
        greatest: 100,
        output_step: 0.125,
        name,
        ops,
        weights,
        biases,
    }
}

fn sum_pool(ring: u8) -> Op {
    let window =
        Window { channels: 3, size: [4, 5], kernel: [2, 3], stride: [2, 1], padding: [0, 1, 0, 0] };
    Op::SumPool { ring, window }
}

/// Limbs of each linear layer; tags of the messages of one Prepare.
fn run(net: &Network, options: Options) -> (Vec<usize>, Vec<u8>) {
    let limbs = net.ops.iter().filter_map(|&op| Some(Tile::choose(op, options.stock)?.limbs));
    let mut session = Session::new(net, options, [[3; 32], [4; 32]], None);
    let mut next = numbers(77);
    for _ in 0..2 {
        let inputs: Vec<Vec<i64>> = (0..options.stock)
            .map(|_| (0..net.ops[0].inputs()).map(|_| next(201) as i64 - 100).collect())
            .collect();
        for ((_, opened), x) in session.predict(&inputs).into_iter().zip(&inputs) {
            assert_eq!(opened, net.evaluate(x));
        }
    }
    let results: usize = net
        .ops
        .iter()
        .filter(|op| matches!(op, Op::FullyConnected { .. }))
        .map(|op| op.outputs())
        .sum();
    let [zero, one] = session.carries;
    assert_eq!(zero + one, 2 * options.stock * results);
    assert!(zero > 0 && one > 0, "carries: {zero}, {one}");
    let tags: Vec<u8> = session.messages.iter().map(|m| m.tag).collect();
    let first = tags.iter().position(|&tag| tag == 9).unwrap();
    let end = tags.iter().position(|&tag| tag == 14).unwrap();
    (limbs.collect(), tags[first..end].to_vec())
}

/// Linear layers and local operations one behind the other: the carries go in time.
#[test]
fn carries_before_and_behind_local_operations() {
    let net = network(
        "carries",
        &[
            Op::FullyConnected { ring: 20, weight_bits: 8, inputs: 20, outputs: 60 },
            sum_pool(20),
            Op::FullyConnected { ring: 19, weight_bits: 8, inputs: 24, outputs: 7 },
            Op::FullyConnected { ring: 17, weight_bits: 3, inputs: 7, outputs: 9 },
            Op::Activation { ring: 16, ring_out: 18, shift: 3, function: Function::Relu, len: 9 },
            Op::FullyConnected { ring: 17, weight_bits: 5, inputs: 9, outputs: 5 },
            Op::Reveal { ring: 17, len: 5 },
        ],
    );
    for streamed in [false, true] {
        let options = Options { k: 8, streamed, stock: 3, compare: None };
        let (limbs, tags) = run(&net, options);
        assert_eq!(limbs, [2; 4]);
        let behind: &[u8] = if streamed { &[] } else { &[12, 13] };
        let linear = [9, 10, 11, 12, 23, 10, 11, 12, 23, 10, 11, 10, 11, 12, 23];
        assert_eq!(tags, [&linear, behind].concat());
    }
}

/// Rings that need the larger set, the widest among them with whole uploads; the narrowest in the
/// smaller.
#[test]
fn carries_in_both_sets() {
    let net = network(
        "wide",
        &[
            Op::FullyConnected { ring: 44, weight_bits: 12, inputs: 30, outputs: 20 },
            Op::FullyConnected { ring: 36, weight_bits: 8, inputs: 20, outputs: 12 },
            Op::FullyConnected { ring: 8, weight_bits: 2, inputs: 12, outputs: 3 },
            Op::Reveal { ring: 8, len: 3 },
        ],
    );
    let (limbs, tags) = run(&net, Options { k: 8, streamed: false, stock: 2, compare: None });
    assert_eq!(limbs, [3, 3, 2]);
    assert_eq!(tags, [9, 10, 11, 12, 23, 10, 11, 12, 23, 10, 11, 12, 23]);
}

/// Comparisons start their group of base OTs behind the carries.
#[test]
fn carries_with_comparisons() {
    let net = network(
        "compared",
        &[
            Op::FullyConnected { ring: 20, weight_bits: 8, inputs: 20, outputs: 40 },
            Op::Activation { ring: 20, ring_out: 19, shift: 7, function: Function::Relu, len: 40 },
            Op::FullyConnected { ring: 19, weight_bits: 6, inputs: 40, outputs: 6 },
            Op::Reveal { ring: 19, len: 6 },
        ],
    );
    let (_, tags) = run(&net, Options { k: 8, streamed: false, stock: 2, compare: Some(0) });
    assert_eq!(tags, [9, 10, 11, 10, 11, 12, 23, 12, 13]);
}

/// A toy of 6.3, 6.4 and 8.3: every result, every mask, errors up to the edge of half a step, with
/// `c0` of a few more bits than `2^Λ` steps.
#[test]
fn carries_of_every_mask_in_a_toy() {
    let (bits, label, delta) = (3_u32, 0x1234_5678_9abc_u128 << 64, (7 << 90) | 1);
    let mut seen = [0; 2];
    for q in [257_u128, 12_289] {
        let step = q as f64 / 16.0;
        for result in 0..8_u64 {
            let exact = (q * u128::from(result)) as f64 / 8.0;
            // 16 of 256 units are for the rounding of c0.
            let room = step / 2.0 * 15.0 / 16.0;
            let (from, to) = ((exact - room).ceil() as i128, (exact + room).floor() as i128);
            for x in (from..=to).step_by(if q > 1000 { 97 } else { 1 }).chain([to]) {
                let scaled = rescale_mod(x.rem_euclid(q as i128) as u128, q, bits + 5);
                for drawn in 0..1 << (bits + 5) {
                    let [t, u] = mask(scaled, drawn, bits);
                    let v = unmask(32 * t % (1 << (bits + 10)), bits);
                    let epsilon = (v + u + 16 - 2 * result) % 16;
                    assert!(epsilon < 2, "q {q}, result {result}, x {x}, U {drawn}");
                    seen[epsilon as usize] += 1;
                    if drawn % 16 > 1 {
                        continue;
                    }
                    let own = label ^ if v & 1 == 1 { delta } else { 0 };
                    let [_, server, client] = carry(5, bits, [u, v], [label, own], delta, 99);
                    assert_eq!((server + client) % 8, result);
                }
            }
        }
    }
    assert!(seen[0] > 1000 && seen[1] > 1000, "{seen:?}");
}

/// 5.1 as it is written, at some layers, and the flooding of base OTs.
#[test]
fn moduli() {
    assert_eq!(base_flooding(), 74);
    assert_eq!(upload(2, 20, 8, 13 * 784, 784), Some(Upload::Rounded(39)));
    assert_eq!(upload(2, 36, 8, 240, 20), None);
    assert_eq!(upload(3, 36, 8, 240, 20), Some(Upload::Rounded(53)));
    // 65 bits would be needed, and more than the noise leaves.
    assert_eq!(upload(3, 44, 12, 100, 100), Some(Upload::Whole));
    assert_eq!(upload(3, 44, 12, 1 << 22, 1 << 22), None);
    assert_eq!(upload(2, 8, 2, 1, 1), Some(Upload::Rounded(14)));
    assert_eq!(upload(3, 8, 2, 1, 1), Some(Upload::Rounded(22)));
    assert_eq!([2, 3].map(|limbs| Upload::Whole.bytes(limbs)), [13_568, 40_960]);
    for limbs in 2..=4 {
        let q = modulus(limbs);
        assert!(q < 1 << [53, 80, 96][limbs - 2]);
        assert!(LIMBS[..limbs].iter().zip(LIMB_BITS).all(|(&p, bits)| p.ilog2() + 1 == bits));
    }
    assert!(LIMBS.iter().all(|p| p % 8192 == 1));
}

/// 2.4: the transform is the evaluation at the powers of ψ, in both degrees, and products are those
/// of `Z_p[X]/(X^n + 1)`.
#[test]
fn transforms_of_both_degrees() {
    for (limb, n) in [(0, 2048), (1, 2048), (1, 4096), (3, 4096)] {
        let p = LIMBS[limb];
        let a = uniform([limb as u8; 32], 3, limb, n);
        let values = transform(&a, p);
        assert_eq!(interpolate(&values, p), a);
        for i in [0, 1, 2, 77, n - 1] {
            assert_eq!(values[i], value_at(&a, 2 * reversed(i, n) + 1, p));
        }
        // X^n = −1: times X turns by one and changes the sign of what wraps.
        let mut x = vec![0; n];
        x[1] = 1;
        let product: Vec<u64> =
            values.iter().zip(transform(&x, p)).map(|(a, x)| a * x % p).collect();
        let mut turned = a.clone();
        turned.rotate_right(1);
        turned[0] = (p - turned[0]) % p;
        assert_eq!(interpolate(&product, p), turned);
    }
}
