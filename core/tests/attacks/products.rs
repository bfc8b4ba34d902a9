//! The random factors of products by OT.

use super::common;
use super::parties::{CLIENT_SEED, frames, payload, serve};
use super::{Stripped, secrets, session_of};
use minionn_core::attack::Defence;
use minionn_core::model::Model;
use minionn_core::plan::{Function, Node, Op};
use minionn_core::ring::Modulus;
use minionn_core::rng::Domain;
use minionn_core::session::Options;
use minionn_core::wire::{Tag, unpack};

const FACTORS: usize = 4;

/// The product of two hidden tensors, the second cut off less.
fn product_net() -> Vec<u8> {
    let activation = |shift| Op::Activation {
        function: Function::Identity,
        ring_in: 18,
        ring_out: 14,
        shift,
        len: FACTORS as u32,
    };
    let from = |op, from, also| Node { op, from: Some(from), also };
    common::graph(
        6,
        &[
            Op::FullyConnected { ring: 18, weight_bits: 7, inputs: 6, outputs: FACTORS as u32 }
                .into(),
            from(activation(6), 6, 0),
            from(activation(5), 6, 0),
            from(Op::Product { ring: 14, len: FACTORS as u32 }, 10, 14),
            Op::FullyConnected { ring: 14, weight_bits: 4, inputs: FACTORS as u32, outputs: 2 }
                .into(),
            Op::Reveal { ring: 14, len: 2 }.into(),
        ],
        5,
    )
}

/// What a client computes from the openings of a stock and its own shares: for each prediction the
/// openings with its shares added, first factor, second factor, element by element: the hidden
/// values minus the server's random factors.
fn openings(stock: u32) -> (Vec<i64>, Vec<[u64; 2 * FACTORS]>) {
    let net = product_net();
    let model = Model::parse(&net).unwrap();
    let ring = Modulus::Bits(14);
    let x = common::input(6, 3);
    let mut scratch = vec![0; Model::scratch_len(model.plan())];
    model.evaluate(&x, &mut scratch, &mut [0; 2]).unwrap();
    let hidden = (0..2 * FACTORS)
        .map(|i| scratch[if i % 2 == 0 { 10 } else { 14 } + i / 2] as i64)
        .collect();
    let (up, down) = serve(&net, Options { stock, ..Options::default() }, |served| {
        served.parties(|p| {
            p.prepare();
            (0..stock).for_each(|_| assert_eq!(p.predict(&x), common::expected(&model, &x)));
            (frames(&p.up), frames(&p.down))
        })
    });
    // Its shares: of the input, of both factors, of the product.
    let mut masks =
        secrets(CLIENT_SEED, session_of(&up, &down)).derive(5).derive(0).stream(Domain::Mask, 0);
    let seen = down.iter().filter(|f| f[0] == Tag::Opening as u8).map(|frame| {
        let mut opened = [0; 2 * FACTORS];
        assert!(unpack(payload(frame), 14, &mut opened));
        let shares: Vec<u64> = (0..6 + 3 * FACTORS).map(|_| masks.next_u64()).collect();
        core::array::from_fn(|i| {
            ring.add(opened[i], ring.reduce(shares[6 + FACTORS * (i % 2) + i / 2]))
        })
    });
    (hidden, seen.collect())
}

/// How often two openings differ as the hidden values behind them do: of one element, of two
/// elements, of two predictions.
fn differences(hidden: &[i64], seen: &[[u64; 2 * FACTORS]]) -> [usize; 3] {
    let ring = Modulus::Bits(14);
    let tells = |(p, i): (usize, usize), (q, j): (usize, usize)| {
        usize::from(ring.sub(seen[p][i], seen[q][j]) == ring.reduce_signed(hidden[i] - hidden[j]))
    };
    let mut counts = [0; 3];
    for p in 0..seen.len() {
        for i in 0..2 * FACTORS {
            counts[0] += if i % 2 == 0 { tells((p, i), (p, i + 1)) } else { 0 };
            counts[1] += if i >= 2 { tells((p, i - 2), (p, i)) } else { 0 };
            counts[2] += (0..p).map(|q| tells((q, i), (p, i))).sum::<usize>();
        }
    }
    counts
}

#[test]
fn one_random_factor_for_two_products_tells_the_difference_of_hidden_values() {
    let _stripped = Stripped::of(&[Defence::OwnFactor]);
    let (hidden, seen) = openings(8);
    assert!(hidden.iter().collect::<std::collections::HashSet<_>>().len() == 2 * FACTORS);
    let [element, elements, _] = differences(&hidden, &seen);
    println!("hidden {hidden:?}, opened {:?}", seen[0]);
    assert_eq!((element, elements), (8 * FACTORS, 8 * 2 * (FACTORS - 1)));
}

#[test]
fn every_product_has_a_random_factor_of_its_own() {
    let _all = Stripped::of(&[]);
    const STOCK: usize = 64;
    let (hidden, seen) = openings(STOCK as u32);
    let counts = differences(&hidden, &seen);
    // By chance one in 2^14: of 256, 384 and 16128.
    println!("{counts:?}");
    assert!(counts[0] <= 3 && counts[1] <= 3 && counts[2] <= 12, "{counts:?}");
}
