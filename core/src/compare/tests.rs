use super::*;
use crate::cost::{offline_op, online_op};
use crate::plan::{MAX_PIECES, Parity, PiecewiseLinear};
use crate::rng::{Domain, Prg, Seed};
use crate::session::{Activations, Options};
use crate::wire::{Packer, Reader, packed_len};
use std::vec;
use std::vec::Vec;

/// Ideal OTs: labels of the sender and, for these choices, of the receiver.
fn transfer(
    choices: u64,
    count: usize,
    delta: Block,
    random: &mut Prg,
) -> (Vec<Block>, Vec<Block>) {
    let q: Vec<Block> = (0..count).map(|_| random.next_u128()).collect();
    let t = q
        .iter()
        .enumerate()
        .map(|(i, q)| q ^ if choices >> i & 1 == 1 { delta } else { 0 })
        .collect();
    (q, t)
}

/// One element from shares to the server's share of the result, with the client's share `r` of it.
pub(super) fn run(
    m: &StageProtocol,
    pieces: Option<&PiecewiseLinear>,
    s: u64,
    share: u64,
    r: u64,
    random: &mut Prg,
) -> u64 {
    let (hash, back) = (Tmmo::new(1), Tmmo::new(2));
    let [delta, delta_back] = [(); 2].map(|()| random.next_u128() | 1);
    let tweak = tweak(3, 5);
    let (mut client, mut server) = (client::Element::default(), server::Element::default());
    m.client_start(&mut client, share, r, random);
    let choices = m.client_choices(&client, share);
    let (q, t) = transfer(choices, m.forward_ots(), delta, random);
    assert!(m.forward_ots() == 64 || choices >> m.forward_ots() == 0);
    m.client_forward(&mut client, share, &hash, tweak, &t).unwrap();
    m.server_forward(&mut server, (&hash, delta), tweak, &q).unwrap();
    m.server_choose(&mut server, random);
    let choices = m.server_choices(&server);
    assert_eq!(choices >> m.backward_ots(), 0);
    let (q, t) = transfer(choices, m.backward_ots(), delta_back, random);
    m.server_backward(&mut server, &back, tweak, &t).unwrap();
    m.client_backward(&mut client, share, (&back, delta_back), tweak, &q).unwrap();
    for number in 0..m.rounds() {
        // A message has exactly its bits: one more of them are zeros that do not fill a byte.
        let mut bytes = vec![0; packed_len(1, m.server_bits(number)) as usize];
        let mut out = Packer::new(&mut bytes);
        m.server_send(&mut server, s, number, (&hash, tweak, pieces), &mut out).unwrap();
        out.finish().unwrap();
        let mut input = Reader::new(&bytes);
        m.client_receive(&mut client, share, number, &mut input);
        assert!(input.finish());
        let mut bytes = vec![0; packed_len(1, m.client_bits(number)) as usize];
        let mut out = Packer::new(&mut bytes);
        m.client_send(&mut client, [share, r], number, &mut out).unwrap();
        out.finish().unwrap();
        let mut input = Reader::new(&bytes);
        let result = m.server_receive(&mut server, s, number, &mut input);
        assert!(input.finish());
        assert_eq!(result.is_some(), number + 1 == m.rounds());
        if let Some(result) = result {
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
    let (c, m, out) =
        (DReluTruncate::of(op).unwrap(), Modulus::Bits(ring_in), Modulus::Bits(ring_out));
    let share = m.reduce(share);
    let r = out.reduce(random.next_u64());
    let got = run(
        &StageProtocol::DReluTruncate(c),
        None,
        m.sub(m.reduce_signed(y), share),
        share,
        r,
        random,
    );
    assert_eq!(out.add(got, r), out.reduce_signed(function.apply(y, shift)), "{op:?} {y} {share}");
}

const FUNCTIONS: [Function; 2] = [Function::Relu, Function::Identity];

#[test]
fn small_rings_hold_exhaustively() {
    let mut random = Seed([1; 32]).stream(Domain::Mask, 0);
    for function in FUNCTIONS {
        for (ring_in, ring_out) in (2..=6).flat_map(|i| (1..=8).map(move |o| (i, o))) {
            for shift in 0..=ring_in - 2 {
                let op = operation(function, ring_in, shift, ring_out);
                if DReluTruncate::of(&op).is_none() {
                    assert!(
                        matches!(function, Function::Identity) && shift == 0 && ring_out <= ring_in
                    );
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
    for (function, ring_in, ring_out) in
        FUNCTIONS.iter().flat_map(|&f| (8..=44).flat_map(move |i| (8..=44).map(move |o| (f, i, o))))
    {
        for shift in 0..=ring_in - 2 {
            let op = operation(function, ring_in, shift, ring_out);
            if DReluTruncate::of(&op).is_none() {
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
                let Some(c) = DReluTruncate::of(&operation(function, ring_in, shift, ring_out))
                else {
                    continue;
                };
                let mut at = 0;
                for digit in c.digits() {
                    assert_eq!(u32::from(digit.from), at);
                    assert!((1..=DIGIT).contains(&digit.bits.into()));
                    at += u32::from(digit.bits);
                }
                assert_eq!(at, c.compared);
                assert!(
                    c.levels.iter().fold(0, |sum, level| sum | level) == c.nodes()
                        && c.depth <= MAX_LEVELS
                );
                assert!(c.forward_ots() <= MAX_OTS && c.rounds() <= 4);
            }
        }
    }
}

#[test]
fn a_relu_with_truncation_costs_what_the_documentation_says() {
    let c = DReluTruncate::of(&operation(Function::Relu, 24, 10, 22)).unwrap();
    assert_eq!((c.forward_ots(), c.backward_ots(), c.rounds()), (30, 9, 3));
    let online: u32 = (0..3).map(|i| c.server_bits(i) + c.client_bits(i)).sum();
    assert_eq!(online, 268, "33.5 bytes");
    assert_eq!(2 * (c.forward_ots() + c.backward_ots()), 78, "bytes offline at k = 8");
}

#[test]
fn an_argmax_costs_what_the_documentation_says() {
    let op = Op::Argmax { ring: 23, len: 10 };
    let options = Options {
        activations: Activations::Compared { log2_bytes_per_round: 0 },
        ..Options::default()
    };
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
                sum | (u32::from(total >= limit) | u32::from(total == limit - 1) << 1)
                    << (2 * theirs)
            });
            assert_eq!(server::table(digit, own), want, "{bits} {own}");
        }
    }
}

/// A spline of all kinds.
pub(super) fn spline(random: &mut Prg, most_input: u32) -> PiecewiseLinear {
    let mut below = |n: u32| random.next_u32() % n;
    let input_bits = 1 + below(most_input) as u8;
    let index_bits = below(6).min(input_bits.into()) as u8;
    let (wide, steep, flat) = (1 + below(16), 1 + below(16), below(8) == 0);
    let mut s = PiecewiseLinear {
        parity: [Parity::Odd, Parity::Even, Parity::Left][below(3) as usize],
        plus_relu: below(2) == 1,
        input_bits,
        index_bits,
        shift: below(16) as u8,
        centre: below(1 << 20) as i32 - (1 << 19),
        offsets: [0; MAX_PIECES],
        slopes: [0; MAX_PIECES],
    };
    let mut signed = |bits: u32| (below(1 << bits) as i32 - (1 << (bits - 1))) as i16;
    for (offset, slope) in s.offsets.iter_mut().zip(&mut s.slopes).take(1 << index_bits) {
        (*offset, *slope) = (signed(wide), if flat { 0 } else { signed(steep) });
    }
    s
}

/// One element through all stages of an operation.
fn through(op: &Op, compared: &OtActivation, y: i64, random: &mut Prg) {
    let Op::Activation { function, ring_in, ring_out, shift, .. } = *op else { unreachable!() };
    let (ring, out) = (Modulus::Bits(ring_in), Modulus::Bits(ring_out));
    let share = ring.reduce(random.next_u64());
    let tensor = [share, ring.sub(ring.reduce_signed(y), share)];
    let pieces =
        if let Function::PiecewiseLinear(spline) = &function { Some(spline) } else { None };
    let mut results: Vec<[u64; 2]> = Vec::new();
    for stage in compared.stages() {
        assert_eq!((stage.len, stage.first), (1, results.len()));
        let [client, server] = [0, 1].map(|party| {
            let result = |i: usize| results.get(i).map(|shares| shares[party]);
            let shares =
                |tensor: Option<u64>| compared.shares(&stage, 0, party == 1, |_| tensor, result);
            // Without its input there are no shares of a stage that needs it.
            assert!(stage.first > 0 || shares(None).is_none());
            shares(Some(tensor[party])).unwrap()
        });
        let r = stage.protocol.reduce(random.next_u64());
        let got =
            run(&stage.protocol, pieces, server[0], client[0], stage.part(client[1], r), random);
        results.push([r, stage.combine(server[1], got)]);
        assert_eq!(stage.is_last(), results.len() == compared.stages().count());
    }
    let [r, got] = results.last().unwrap();
    assert_eq!(
        out.add(out.reduce(*got), out.reduce(*r)),
        out.reduce_signed(function.apply(y, shift)),
        "{op:?} {y}"
    );
}

#[test]
fn curves_in_small_rings_hold_exhaustively() {
    let mut random = Seed([6; 32]).stream(Domain::Mask, 0);
    for _ in 0..300 {
        for ring_in in 2..=7 {
            let function = Function::PiecewiseLinear(spline(&mut random, 7));
            let op = operation(
                function,
                ring_in,
                (random.next_u32() % (u32::from(ring_in) - 1)) as u8,
                1 + (random.next_u32() % 12) as u8,
            );
            let compared = OtActivation::possible(&op).unwrap();
            (-(1 << (ring_in - 1))..1 << (ring_in - 1))
                .for_each(|y| through(&op, &compared, y, &mut random));
        }
    }
}

#[test]
fn curves_in_large_rings_hold_at_random() {
    let mut random = Seed([7; 32]).stream(Domain::Mask, 0);
    let (mut clamped, mut all) = (0, 0);
    for ring_in in (8..=44).cycle().take(2000) {
        let shift = (random.next_u32() % (u32::from(ring_in) - 1)) as u8;
        let spline = spline(&mut random, 14);
        let op = operation(
            Function::PiecewiseLinear(spline),
            ring_in,
            shift,
            1 + (random.next_u32() % 44) as u8,
        );
        let compared = OtActivation::possible(&op).unwrap();
        clamped += u32::from(ring_in - shift + spline.index_bits > spline.input_bits + 6);
        all += 1;
        let half = 1_i64 << (ring_in - 1);
        let edge = (1_i64 << (spline.input_bits + shift)).min(half);
        let any = [half, edge, edge << 1].map(|most| {
            (random.next_u64() & (2 * most.min(half) as u64 - 1)) as i64 - most.min(half)
        });
        for y in [
            half - 1,
            -half,
            0,
            -1,
            edge - 1,
            -edge,
            (edge + 1).min(half - 1),
            (-edge - 1).max(-half),
        ]
        .into_iter()
        .chain(any)
        {
            through(&op, &compared, y, &mut random);
        }
    }
    assert!(clamped * 4 > all && clamped * 4 < 3 * all, "{clamped} of {all}");
}

/// Bytes of 1024 elements offline and online, and round trips, compared and garbled.
fn costs(function: Function) -> [[u64; 3]; 2] {
    let op = Op::Activation { function, ring_in: 24, ring_out: 20, shift: 10, len: 1024 };
    [Activations::Compared { log2_bytes_per_round: 0 }, Activations::Garbled].map(|activations| {
        let options = Options { activations, ..Options::default() };
        let [offline, online] = [offline_op(&op, &options).unwrap(), online_op(&op, &options)];
        [offline.up + offline.down, online.up + online.down, online.rounds.into()]
    })
}

/// 16 pieces of 1/2 up to 8, the input in steps of 2^-8, 256 steps of output.
#[test]
fn curves_cost_what_the_documentation_says() {
    let at = |i: i16| 127.5 * (2.0 / (1.0 + (-f64::from(i) / 2.0).exp()) - 1.0);
    let (mut offsets, mut slopes) = ([0; MAX_PIECES], [0; MAX_PIECES]);
    for (i, (offset, slope)) in (0..16_i16).zip(offsets.iter_mut().zip(&mut slopes)) {
        (*offset, *slope) = (at(i) as i16, ((at(i + 1) - at(i)) * 2.0) as i16);
    }
    let sigmoid = PiecewiseLinear {
        parity: Parity::Odd,
        plus_relu: false,
        input_bits: 11,
        index_bits: 4,
        shift: 8,
        centre: 128,
        offsets,
        slopes,
    };
    let compared = OtActivation::possible(&Op::Activation {
        function: Function::PiecewiseLinear(sigmoid),
        ring_in: 24,
        ring_out: 20,
        shift: 10,
        len: 1,
    })
    .unwrap();
    let of = |m: StageProtocol| {
        let messages = (0..m.rounds()).map(|number| m.server_bits(number) + m.client_bits(number));
        [m.forward_ots() as u32, m.backward_ots() as u32, messages.sum(), m.rounds()]
    };
    let stages: Vec<[u32; 4]> = compared.stages().map(|stage| of(stage.protocol)).collect();
    // The value, its two bounds, its piece's number, the line, and its truncation.
    assert_eq!(
        stages,
        [
            [30, 8, 194, 3],
            [18, 4, 131, 2],
            [17, 5, 131, 2],
            [8, 2, 44, 2],
            [5, 16, 1160, 1],
            [19, 5, 173, 2]
        ]
    );
    assert_eq!(
        costs(Function::PiecewiseLinear(sigmoid)),
        [[280_576, 234_840, 12], [4_710_400, 395_794, 1]]
    );
    let bump = PiecewiseLinear { parity: Parity::Even, plus_relu: true, ..sigmoid };
    assert_eq!(
        costs(Function::PiecewiseLinear(bump)),
        [[321_536, 241_788, 14], [5_562_368, 395_794, 1]]
    );
    // Pieces reach every value: no bounds. Steps: no slopes, no truncation.
    let wide = PiecewiseLinear { input_bits: 13, ..sigmoid };
    assert_eq!(
        costs(Function::PiecewiseLinear(wide)),
        [[206_848, 212_002, 9], [5_300_224, 395_794, 1]]
    );
    let steps = PiecewiseLinear { input_bits: 4, slopes: [0; MAX_PIECES], ..sigmoid };
    assert_eq!(
        costs(Function::PiecewiseLinear(steps)),
        [[176_128, 134_928, 8], [2_220_032, 395_794, 1]]
    );
}

/// With a label too few, a pad would be that of nothing: an error, for both protocols, both parties
/// and both directions.
#[test]
fn an_element_without_all_its_labels_is_refused() {
    let mut random = Seed([9; 32]).stream(Domain::Mask, 0);
    let relu = DReluTruncate::of(&operation(Function::Relu, 24, 5, 20)).unwrap();
    let spline = spline(&mut random, 11);
    let line = SegmentLookup::new(&spline, spline.index_bits.max(1), 20);
    let (hash, tweak) = (Tmmo::new(1), tweak(1, 0));
    for m in [StageProtocol::DReluTruncate(relu), StageProtocol::SegmentLookup(line)] {
        let (mut client, mut server) = (client::Element::default(), server::Element::default());
        m.client_start(&mut client, 3, 4, &mut random);
        for (backward, need) in [(false, m.forward_ots()), (true, m.backward_ots())] {
            for got in [0, need - 1, need, need + 1, MAX_OTS + 1] {
                let labels = vec![7; got];
                let wanted = if got == need { Ok(()) } else { Err(Error::Length { need }) };
                let used = if backward {
                    [
                        m.server_backward(&mut server, &hash, tweak, &labels),
                        m.client_backward(&mut client, 3, (&hash, 1), tweak, &labels),
                    ]
                } else {
                    [
                        m.client_forward(&mut client, 3, &hash, tweak, &labels),
                        m.server_forward(&mut server, (&hash, 1), tweak, &labels),
                    ]
                };
                assert_eq!(used, [wanted; 2], "{m:?}");
            }
        }
    }
    let what = (&hash, tweak, None);
    let m = StageProtocol::SegmentLookup(line);
    let mut bytes = [0; 1000];
    let sent =
        m.server_send(&mut server::Element::default(), 0, 0, what, &mut Packer::new(&mut bytes));
    assert_eq!(sent, Err(Error::Internal), "a line without its pieces");
}
