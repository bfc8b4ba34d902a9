//! The hash over labels of a comparison.

use super::common;
use super::parties::{CLIENT_SEED, Frame, frames, payload, serve};
use super::{Stripped, secrets, session_of};
use minionn_core::attack::Defence;
use minionn_core::block::Block;
use minionn_core::compare::{DReluTruncate, OtActivation};
use minionn_core::hash::Tmmo;
use minionn_core::model::Model;
use minionn_core::ot::{Leaves, Receiver};
use minionn_core::plan::{Function, Op, Parity, PiecewiseLinear};
use minionn_core::ring::Modulus;
use minionn_core::rng::{Domain, Seed};
use minionn_core::session::{Activations, Options};
use minionn_core::wire::{Reader, Tag};

/// Elements of the compared layer under attack.
const ELEMENTS: usize = 60;

/// A hidden value of 16 bits; the low 3 are cut off, so its next digits are bits 3 to 6, 7 to 10,
/// 11 to 14.
fn compared_ops() -> [Op; 3] {
    let len = ELEMENTS as u32;
    let relu = |ring_in, shift, ring_out| Op::Activation {
        function: Function::Relu,
        ring_in,
        shift,
        ring_out,
        len,
    };
    [relu(14, 1, 16), relu(16, 3, 14), Op::Reveal { ring: 14, len }]
}

/// What a client sees of the second of two compared layers, whose input is hidden.
struct Compares {
    /// Seed of its shares.
    own: Seed,
    /// Its labels of the second layer's OTs.
    labels: Vec<Block>,
    /// Its shares of the layer's input, and the truth that they hide.
    shares: Vec<u64>,
    hidden: Vec<u64>,
    /// The server's messages, from the second layer's first on.
    messages: Vec<Frame>,
}

fn compares(ops: &[Op; 3]) -> Compares {
    let net = common::model(ELEMENTS as u32, ops, 3);
    let model = Model::parse(&net).unwrap();
    let x = common::input(ELEMENTS, 4);
    let mut scratch = vec![0; Model::scratch_len(model.plan())];
    model.evaluate(&x, &mut scratch, &mut vec![0; ELEMENTS]).unwrap();
    let options = Options {
        activations: Activations::Compared { log2_bytes_per_round: 0 },
        ..Options::default()
    };
    let (up, down) = serve(&net, options, |served| {
        served.parties(|p| {
            p.prepare();
            assert_eq!(p.predict(&x), common::expected(&model, &x));
            (frames(&p.up), frames(&p.down))
        })
    });
    // The client's labels: of the base OTs, of the first layer, of the second.
    let session = session_of(&up, &down);
    let (hash, own) = (Tmmo::new(session), secrets(CLIENT_SEED, session));
    let mut leaves = vec![0; options.repetition.leaves()];
    let mut roots = own.derive(0).stream(Domain::Label, 0);
    let leaves = Leaves::new(options.repetition, &mut leaves).unwrap();
    let mut receiver = Receiver::new(leaves, &mut roots, &hash, &hash, |_, _| {}).unwrap();
    let (mut sums, each) = ([0; 128], options.repetition.correction_bytes_per_group());
    receiver.start(&mut sums, &mut vec![0; each]).unwrap();
    let mut labels = |ots: usize| {
        let groups = ots.div_ceil(128);
        let mut labels = vec![0; groups * 128];
        let mut corrections = vec![0; groups * options.repetition.correction_bytes_per_group()];
        receiver.extend(&mut sums, &vec![0; groups], &mut labels, &mut corrections).unwrap();
        labels
    };
    let [first, second] = [&ops[0], &ops[1]].map(|op| OtActivation::of(op, &options).unwrap());
    labels(128);
    labels(first.ots()[0]);
    let labels = labels(second.ots()[0]);
    // The client's shares: of the input, of the first result.
    let ring = Modulus::Bits(ops[0].output().0);
    let own = own.derive(5).derive(0);
    let mut masks = own.stream(Domain::Mask, 0);
    let shares = (0..2 * ELEMENTS).map(|_| ring.reduce(masks.next_u64())).skip(ELEMENTS).collect();
    let messages = down
        .into_iter()
        .filter(|f| f[0] == Tag::Compare as u8)
        .skip(first.rounds() as usize)
        .collect();
    Compares { own, labels, shares, hidden: scratch[ELEMENTS..2 * ELEMENTS].to_vec(), messages }
}

/// The digits of the server's shares that are consistent with what a client sees: for each element
/// and digit the candidates, and the truth. The client knows its labels, so the pads of every entry
/// that differs from its own in an even number of bits, if labels are pads: then `Δ` cancels out.
fn digits_of_the_server() -> Vec<(Vec<u32>, u32)> {
    let ops = compared_ops();
    let Compares { labels, shares, hidden, messages, .. } = compares(&ops);
    let second = DReluTruncate::of(&ops[1]).unwrap();
    let mut tables = Reader::new(payload(&messages[0]));
    let mut seen = Vec::new();
    for (e, (&share, hidden)) in shares.iter().zip(hidden).enumerate() {
        let server = hidden.wrapping_sub(share) & 0xffff;
        tables.take(7);
        for from in [3, 7, 11] {
            let own = (share >> from) as u32 & 15;
            let pads = (from..from + 4)
                .fold(0, |sum, bit| sum ^ labels[e * second.forward_ots() + bit] as u32);
            let entries = (tables.take(30) as u32) << 2 ^ pads;
            let entry =
                |digit: u32, i: u32| u32::from(i + digit >= 16) | u32::from(i + digit == 15) << 1;
            let open = |i: &u32| (i ^ own).count_ones().is_multiple_of(2);
            let fits = |digit, own_bits| {
                (0..16).filter(open).all(|i| entries >> (2 * i) & 3 == entry(digit, i) ^ own_bits)
            };
            let candidates =
                (0..16).filter(|&digit| (0..4).any(|own_bits| fits(digit, own_bits))).collect();
            seen.push((candidates, (server >> from) as u32 & 15));
        }
        tables.take(second.server_bits(0) - 97);
    }
    seen
}

#[test]
fn without_the_hash_of_labels_a_client_reads_the_servers_share_of_a_hidden_value() {
    let _stripped = Stripped::of(&[Defence::LabelHash]);
    let seen = digits_of_the_server();
    let left: usize = seen.iter().map(|(candidates, _)| candidates.len()).sum();
    println!("{left} candidates for {} digits of four bits", seen.len());
    assert!(
        seen.iter().all(|(candidates, truth)| candidates.contains(truth)) && left <= 2 * seen.len()
    );
}

#[test]
fn with_the_hash_of_labels_tables_tell_a_client_nothing() {
    let _all = Stripped::of(&[]);
    let seen = digits_of_the_server();
    let (found, all) =
        (seen.iter().filter(|(candidates, truth)| candidates.contains(truth)).count(), seen.len());
    // Fourteen random bits hardly ever fit.
    println!("{found} of {all} digits are among their candidates");
    assert!(found <= 2);
}

/// A hidden value of 8 bits, the low 2 of which are cut off, on a curve of steps: each is an entry
/// of its own.
fn curved_ops() -> ([Op; 3], PiecewiseLinear) {
    let len = ELEMENTS as u32;
    let steps = common::spline(Parity::Odd, false, [5, 5, 0], 9);
    let activation = |function, ring_in, shift, ring_out| Op::Activation {
        function,
        ring_in,
        shift,
        ring_out,
        len,
    };
    (
        [
            activation(Function::Relu, 14, 0, 8),
            activation(Function::PiecewiseLinear(steps), 8, 2, 14),
            Op::Reveal { ring: 14, len },
        ],
        steps,
    )
}

/// The server's shares of pieces' numbers that are consistent with what a client sees, and the
/// truth. If labels are keys of entries, the client has those of every entry that differs from its
/// own in an even number of bits.
fn pieces_of_the_server() -> Vec<(Vec<u64>, u64)> {
    let (ops, steps) = curved_ops();
    let Compares { own, labels, hidden, messages, .. } = compares(&ops);
    let [value, line] = *OtActivation::possible(&ops[1]).unwrap().stages().collect::<Vec<_>>()
    else {
        unreachable!()
    };
    let labels = &labels[ELEMENTS * value.protocol.forward_ots()..];
    // The client's shares of the numbers, as it drew them.
    let mut own = own.derive((1 << 32) + 1).stream(Domain::Mask, 0);
    let mut tables = Reader::new(payload(&messages[value.protocol.rounds() as usize]));
    let mut seen = Vec::new();
    for (e, hidden) in hidden.into_iter().enumerate() {
        let share = own.next_u64() & 63;
        own.next_u64();
        let key = labels[6 * e..6 * e + 6].iter().fold(0, |key, label| key ^ label);
        // What the client would have of each entry, up to the same mask.
        let entries: Vec<u64> = (0..64)
            .map(|i| if i > 0 { tables.take(14) } else { 0 })
            .map(|entry| entry.wrapping_add(key as u64))
            .collect();
        let result = |number: u64| steps.apply(((number << 58) as i64) >> 58) as u64;
        let open = |i: &u64| (i ^ share).count_ones().is_multiple_of(2);
        let mask = |server: u64, i: u64| {
            result(server.wrapping_add(i)).wrapping_sub(entries[i as usize]) & 0x3fff
        };
        let fits =
            |&server: &u64| (0..64).filter(open).all(|i| mask(server, i) == mask(server, share));
        let truth = (hidden as i64 >> 2) as u64;
        seen.push(((0..64).filter(fits).collect(), truth.wrapping_sub(share) & 63));
    }
    assert_eq!(line.protocol.server_bits(0), 63 * 14);
    seen
}

#[test]
fn without_the_hash_of_labels_a_client_reads_the_servers_share_of_a_piece() {
    let _stripped = Stripped::of(&[Defence::LabelHash]);
    let seen = pieces_of_the_server();
    println!(
        "{} of {} shares found",
        seen.iter().filter(|(candidates, truth)| candidates == &[*truth]).count(),
        seen.len()
    );
    assert!(seen.iter().all(|(candidates, truth)| candidates == &[*truth]));
}

#[test]
fn with_the_hash_of_labels_entries_tell_a_client_nothing() {
    let _all = Stripped::of(&[]);
    let seen = pieces_of_the_server();
    assert!(seen.iter().all(|(candidates, _)| candidates.is_empty()));
}
