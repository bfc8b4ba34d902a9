use super::*;
use crate::plan::cost::{offline_op, online_op};
use crate::rng::{Domain, Prg, Seed};
use crate::session::{Activations, Options};
use crate::wire::{Packer, Reader, packed_len};
use std::vec;
use std::vec::Vec;

/// Ideal OTs: labels of the sender and, for these choices, of the receiver.
fn transfer(choices: u64, count: usize, delta: Block, random: &mut Prg) -> (Vec<Block>, Vec<Block>) {
    let q: Vec<Block> = (0..count).map(|_| random.next_u128()).collect();
    let t = q.iter().enumerate().map(|(i, q)| q ^ if choices >> i & 1 == 1 { delta } else { 0 }).collect();
    (q, t)
}

/// One element from shares to the server's share of the result, with the client's share `r` of it.
fn run(c: &Comparison, s: u64, share: u64, r: u64, random: &mut Prg) -> u64 {
    let (hash, back) = (Tmmo::new(1), Tmmo::new(2));
    let [delta, delta_back] = [(); 2].map(|()| random.next_u128() | 1);
    let tweak = tweak(3, 5);
    let (mut client, mut server) = (client::Element::default(), server::Element::default());
    client.start(c, share, r, random);
    let choices = client.choices(c, share);
    let (q, t) = transfer(choices, c.forward_ots(), delta, random);
    assert!(c.forward_ots() == 64 || choices >> c.forward_ots() == 0);
    client.forward(c, share, &hash, tweak, &t);
    server.forward(c, &hash, delta, tweak, &q);
    server.choose(c, random);
    let choices = server.choices(c);
    assert_eq!(choices >> c.backward_ots(), 0);
    let (q, t) = transfer(choices, c.backward_ots(), delta_back, random);
    server.backward(c, &back, tweak, &t);
    client.backward(c, &back, delta_back, tweak, &q);
    for number in 0..c.rounds() {
        let last = number + 1 == c.rounds();
        let mut bytes = vec![0; packed_len(1, c.server_bits(number)) as usize + 1];
        let mut out = Packer::new(&mut bytes);
        server.send(c, s, number, &mut out);
        out.finish();
        let mut input = Reader::new(&bytes);
        client.receive(c, share, number, &mut input);
        if last {
            client.selected(c, &mut input);
        }
        assert!(input.finish());
        let mut bytes = vec![0; packed_len(1, c.client_bits(number)) as usize + 1];
        let mut out = Packer::new(&mut bytes);
        client.send(c, number, &mut out);
        if last {
            client.finish(c, share, r, &mut out);
        }
        out.finish();
        let mut input = Reader::new(&bytes);
        server.receive(c, number, &mut input);
        let result = if last { server.finish(c, s, &mut input) } else { 0 };
        assert!(input.finish());
        if last {
            return result;
        }
    }
    unreachable!()
}

fn operation(function: Function, ring_in: u8, shift: u8, ring_out: u8) -> Op {
    Op::Activation { function, ring_in, ring_out, shift, len: 1 }
}

fn hold(op: &Op, y: i64, share: u64, random: &mut Prg) {
    let Op::Activation { function, ring_in, ring_out, shift, .. } = *op else { unreachable!() };
    let (c, m, out) = (Comparison::of(op).unwrap(), Modulus::Bits(ring_in), Modulus::Bits(ring_out));
    let share = m.reduce(share);
    let r = out.reduce(random.next_u64());
    let got = run(&c, m.sub(m.from_signed(y), share), share, r, random);
    assert_eq!(out.add(got, r), out.from_signed(function.apply(y, shift)), "{op:?} {y} {share}");
}

const FUNCTIONS: [Function; 2] = [Function::Relu, Function::Identity];

#[test]
fn small_rings_hold_exhaustively() {
    let mut random = Seed([1; 32]).stream(Domain::Mask, 0);
    for function in FUNCTIONS {
        for (ring_in, ring_out) in (2..=6).flat_map(|i| (1..=8).map(move |o| (i, o))) {
            for shift in 0..=ring_in - 2 {
                let op = operation(function, ring_in, shift, ring_out);
                if Comparison::of(&op).is_none() {
                    assert!(matches!(function, Function::Identity) && shift == 0 && ring_out <= ring_in);
                    continue;
                }
                for y in -(1 << (ring_in - 1))..1 << (ring_in - 1) {
                    let share = random.next_u64();
                    (share..share + 3).for_each(|share| hold(&op, y, share, &mut random));
                }
            }
        }
    }
}

#[test]
fn all_rings_hold_at_random() {
    let mut random = Seed([2; 32]).stream(Domain::Mask, 0);
    for (function, ring_in, ring_out) in FUNCTIONS.iter().flat_map(|&f| (8..=44).flat_map(move |i| (8..=44).map(move |o| (f, i, o)))) {
        for shift in 0..=ring_in - 2 {
            let op = operation(function, ring_in, shift, ring_out);
            if Comparison::of(&op).is_none() {
                continue;
            }
            let half = 1_i64 << (ring_in - 1);
            let magnitude = random.next_u32() % u32::from(ring_in);
            for y in [
                half - 1,
                -half,
                0,
                -1,
                (random.next_u64() & ((1 << magnitude) - 1)) as i64,
                -((random.next_u64() & (half as u64 - 1)) as i64),
            ] {
                hold(&op, y, random.next_u64(), &mut random);
            }
        }
    }
}

#[test]
fn digits_cover_the_compared_bits_once() {
    for function in FUNCTIONS {
        for (ring_in, ring_out) in (8..=44).flat_map(|i| [8, 20, 44].map(|o| (i, o))) {
            for shift in 0..=ring_in - 2 {
                let Some(c) = Comparison::of(&operation(function, ring_in, shift, ring_out)) else { continue };
                let mut at = 0;
                for digit in c.digits() {
                    assert_eq!(u32::from(digit.from), at);
                    assert!((1..=DIGIT).contains(&digit.bits.into()));
                    at += u32::from(digit.bits);
                }
                assert_eq!(at, c.compared);
                assert!(c.levels.iter().fold(0, |sum, level| sum | level) == c.nodes() && c.depth <= MAX_LEVELS);
                assert!(c.forward_ots() <= MAX_OTS && c.rounds() <= 4);
            }
        }
    }
}

#[test]
fn a_relu_with_truncation_costs_what_the_documentation_says() {
    let c = Comparison::of(&operation(Function::Relu, 24, 10, 22)).unwrap();
    assert_eq!((c.forward_ots(), c.backward_ots(), c.rounds()), (30, 9, 3));
    let online: u32 = (0..3).map(|i| c.server_bits(i) + c.client_bits(i)).sum();
    assert_eq!(online, 268, "33.5 bytes");
    assert_eq!(2 * (c.forward_ots() + c.backward_ots()), 78, "bytes offline at k = 8");
}

#[test]
fn an_argmax_costs_what_the_documentation_says() {
    let op = Op::Argmax { ring: 23, len: 10 };
    let options = Options { activations: Activations::Compared { worth: 0 }, ..Options::default() };
    let garbled = Options { activations: Activations::Garbled, ..options };
    let [compared, garbled] = [options, garbled].map(|options| {
        let [offline, online] = [offline_op(&op, &options).unwrap(), online_op(&op, &options)];
        [offline.up + offline.down, online.up + online.down, online.rounds.into()]
    });
    assert_eq!(compared, [1792, 870, 15]);
    assert_eq!(garbled, [20_744, 3689, 0]);
}

#[test]
fn tables_are_the_carry_of_a_digit() {
    for bits in 1..=4_u8 {
        let digit = Digit { leaf: 1, from: 0, bits };
        for own in 0..1 << bits {
            let want = (0..1_u32 << bits).fold(0, |sum, theirs| {
                let (total, limit) = (own + theirs, 1 << bits);
                sum | (u32::from(total >= limit) | u32::from(total == limit - 1) << 1) << (2 * theirs)
            });
            assert_eq!(server::table(digit, own), want, "{bits} {own}");
        }
    }
}
