//! The circuits, plain and garbled, against the reference vectors; and garbling between two
//! parties.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests: a failure is a panic"
)]

use crate::common;
use minionn_core::Error;
use minionn_core::block::Block;
use minionn_core::garble::{
    Argmax, Circuit, EvaluateBuffers, Evaluator, Function, GATE_BYTES, GarbleBuffers, Garbler,
    GateCounts, MAX_PIECES, Max, Neuron, Parity, PiecewiseLinear, bits, plain, shape, shapes,
    totals,
};
use minionn_core::hash::Tmmo;
use minionn_core::ring::Modulus;
use minionn_core::rng::{Domain, Prg, Seed};
use minionn_core::target::LANES;
use serde_json::Value;

/// One neuron's input bits, in the circuit's order.
#[derive(Clone)]
struct Inputs {
    server: Vec<bool>,
    client: Vec<bool>,
}

/// Both parties' common and secret values.
struct Parties {
    session: Tmmo,
    secret: Tmmo,
    delta: Block,
    labels: Seed,
}

/// What passes between them in one layer.
struct Layer {
    /// Per step, neuron-major.
    tables: Vec<Vec<u8>>,
    decode: Vec<u64>,
}

impl Parties {
    fn new(seed: u8) -> Self {
        let labels = Seed([seed; 32]);
        let mut prg = labels.stream(Domain::Label, 1 << 50);
        let mut key = || prg.next_u128();
        Self { session: Tmmo::new(key()), secret: Tmmo::new(key()), delta: key() | 1, labels }
    }

    /// The zero labels that OT gave for the client's inputs of one instance.
    fn client_zero(&self, record: u64, shape: GateCounts) -> Vec<Block> {
        let mut prg = self.labels.stream(Domain::Label, record);
        (0..shape.client_inputs).map(|_| prg.next_u128()).collect()
    }

    /// Garbles `neurons` neurons, `width` lanes at a time.
    fn garble<C: Circuit, const L: usize>(
        &self,
        circuit: &C,
        neurons: usize,
        width: usize,
    ) -> Layer {
        let garbler = Garbler::new(&self.session, &self.secret, self.delta, 3);
        let steps = circuit.steps();
        let shapes: Vec<GateCounts> = shapes(circuit).collect();
        let mut tables: Vec<Vec<u8>> =
            shapes.iter().map(|s| vec![0; s.table_bytes() * neurons]).collect();
        let mut decode = vec![0; neurons];
        for first in (0..neurons).step_by(width) {
            let lanes = width.min(neurons - first);
            let mut state = circuit.start();
            for (step, shape) in shapes.iter().enumerate() {
                let zero: Vec<Block> = (first..first + lanes)
                    .flat_map(|n| self.client_zero((n * steps + step) as u64, *shape))
                    .collect();
                let bytes = shape.table_bytes();
                let tables = &mut tables[step][first * bytes..(first + lanes) * bytes];
                let decode = &mut decode[first..first + lanes];
                let neurons = first as u64..(first + lanes) as u64;
                let buffers = GarbleBuffers { client_zero: &zero, tables, decode };
                garbler
                    .garble::<C, L>(circuit, &mut state, step..step + 1, neurons, buffers)
                    .unwrap();
            }
        }
        Layer { tables, decode }
    }

    /// Evaluates, `width` lanes at a time; returns the colours of the last step.
    fn evaluate<C: Circuit, const L: usize>(
        &self,
        circuit: &C,
        tables: &[Vec<u8>],
        inputs: &[Inputs],
        width: usize,
    ) -> Vec<u64> {
        let evaluator = Evaluator::new(&self.session, 3);
        let mut colours = vec![0; inputs.len()];
        for first in (0..inputs.len()).step_by(width) {
            let lanes = width.min(inputs.len() - first);
            let (mut state, mut server_used, mut client_used) = (circuit.start(), 0, 0);
            for (step, shape) in shapes(circuit).enumerate() {
                let (mut server, mut client) = (Vec::new(), Vec::new());
                for (neuron, inputs) in inputs.iter().enumerate().skip(first).take(lanes) {
                    let record = (neuron * circuit.steps() + step) as u64;
                    let bits =
                        &inputs.server[server_used..server_used + shape.server_inputs as usize];
                    server.extend(self.server_labels(record, bits));
                    let zero = self.client_zero(record, shape);
                    let bits = &inputs.client[client_used..client_used + zero.len()];
                    client.extend(
                        zero.iter()
                            .zip(bits)
                            .map(|(zero, bit)| zero ^ if *bit { self.delta } else { 0 }),
                    );
                }
                server_used += shape.server_inputs as usize;
                client_used += shape.client_inputs as usize;
                let bytes = shape.table_bytes();
                let tables = &tables[step][first * bytes..(first + lanes) * bytes];
                let colours = &mut colours[first..first + lanes];
                let neurons = first as u64..(first + lanes) as u64;
                let buffers = EvaluateBuffers {
                    tables,
                    server_labels: &server,
                    client_labels: &client,
                    colours,
                };
                evaluator
                    .evaluate::<C, L>(circuit, &mut state, step..step + 1, neurons, buffers)
                    .unwrap();
            }
        }
        colours
    }

    /// In two parts, as a server may send them.
    fn server_labels(&self, record: u64, bits: &[bool]) -> Vec<Block> {
        let garbler = Garbler::new(&self.session, &self.secret, self.delta, 3);
        let value = number(bits);
        let (half, mut labels) = (bits.len() / 2, vec![0; bits.len()]);
        let (low, high) = labels.split_at_mut(half);
        garbler.active_labels(record, 0, value, low).unwrap();
        garbler.active_labels(record, half, value >> half, high).unwrap();
        labels
    }

    /// The outputs of garbling and evaluating with `G` and `E` lanes.
    fn run<C: Circuit, const G: usize, const E: usize>(
        &self,
        circuit: &C,
        inputs: &[Inputs],
    ) -> Vec<u64> {
        let layer = self.garble::<C, G>(circuit, inputs.len(), G);
        let colours = self.evaluate::<C, E>(circuit, &layer.tables, inputs, E);
        colours.iter().zip(&layer.decode).map(|(c, d)| c ^ d).collect()
    }
}

fn number(bits: &[bool]) -> u64 {
    bits.iter().rev().fold(0, |x, b| x << 1 | u64::from(*b))
}

fn plainly<C: Circuit>(circuit: &C, inputs: &[Inputs]) -> Vec<u64> {
    inputs
        .iter()
        .map(|i| plain(circuit, i.server.iter().copied(), i.client.iter().copied()).unwrap())
        .collect()
}

// ---- reference vectors
// -------------------------------------------------------------------------------------------------

fn int(v: &Value) -> u64 {
    v.as_u64().unwrap_or_else(|| panic!("not a number: {v}"))
}

/// A number, or a list of numbers.
fn ints(v: &Value) -> Vec<u64> {
    v.as_array().map_or_else(|| vec![int(v)], |a| a.iter().map(int).collect())
}

fn modulus(v: &Value) -> Modulus {
    let m = int(v);
    if m.is_power_of_two() { Modulus::Bits(m.trailing_zeros() as u8) } else { Modulus::Odd(m) }
}

/// The input bits of one test: the shares, and the mask if `out` names a ring.
fn inputs(test: &Value, modulus: Modulus, out: Option<Modulus>) -> Inputs {
    let shares = |name: &str| {
        ints(&test[name]).into_iter().flat_map(|x| bits(x, modulus.bits())).collect::<Vec<_>>()
    };
    let mut client = shares("y_c");
    if let Some(out) = out {
        client.extend(bits(int(&test["r"]), out.bits()));
    }
    Inputs { server: shares("y_s"), client }
}

/// Holds one group's tests against both readings of the circuit; returns how many.
fn hold<C: Circuit + core::fmt::Debug>(
    circuit: &C,
    tests: &[Value],
    modulus: Modulus,
    out: Option<Modulus>,
    result: &str,
) -> usize {
    let inputs: Vec<Inputs> = tests.iter().map(|t| inputs(t, modulus, out)).collect();
    let wanted: Vec<u64> = tests.iter().map(|t| int(&t[result])).collect();
    assert_eq!(plainly(circuit, &inputs), wanted, "plain {circuit:?}");
    assert_eq!(Parties::new(1).run::<C, 8, 2>(circuit, &inputs), wanted, "garbled {circuit:?}");
    tests.len()
}

/// The pieces that a group describes.
fn pieces_of(params: &Value) -> PiecewiseLinear {
    let small = |name: &str| u8::try_from(int(&params[name])).unwrap();
    let pieces = |name: &str| {
        let mut all = [0; MAX_PIECES];
        for (place, piece) in all.iter_mut().zip(params[name].as_array().unwrap()) {
            *place = piece.as_i64().unwrap().try_into().unwrap();
        }
        all
    };
    PiecewiseLinear {
        parity: match params["parity"].as_str().unwrap() {
            "odd" => Parity::Odd,
            "even" => Parity::Even,
            "left" => Parity::Left,
            other => panic!("unknown parity {other}"),
        },
        plus_relu: params["plus_relu"].as_bool().unwrap(),
        input_bits: small("input_bits"),
        index_bits: small("index_bits"),
        shift: small("slope_shift"),
        centre: params["centre"].as_i64().unwrap().try_into().unwrap(),
        offsets: pieces("offsets"),
        slopes: pieces("slopes"),
    }
}

/// Curves: the definition that both ways of computing them are held to, and circuits, whose result
/// lacks what the server adds.
fn hold_curve(params: &Value, tests: &[Value], modulus_in: Modulus) -> usize {
    let modulus_out = modulus(&params["modulus_out"]);
    let shift = int(&params["shift"]) as u8;
    let function = Function::PiecewiseLinear(pieces_of(params));
    let circuit = Neuron { function, modulus_in, modulus_out, shift };
    let without = |test: &Value| {
        let (r, x_s, y) = (int(&test["r"]), int(&test["x_s"]), test["y"].as_i64().unwrap());
        let x = modulus_out.reduce_signed(function.apply(y, shift));
        assert_eq!(modulus_out.add(x_s, r), x, "{} of {y}", params["curve"]);
        let mut test = test.clone();
        let constant = modulus_out.reduce_signed(function.constant());
        test["x_s"] = modulus_out.sub(x_s, constant).into();
        test
    };
    let tests: Vec<Value> = tests.iter().map(without).collect();
    hold(&circuit, &tests, modulus_in, Some(modulus_out), "x_s")
}

#[test]
fn reference_vectors_hold_plain_and_garbled() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/functionalities.json");
    let file: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let (mut neurons, mut curves, mut max, mut argmax, mut square) = (0, 0, 0, 0, 0);
    for group in file["testGroups"].as_array().unwrap() {
        let (params, tests) = (&group["params"], group["tests"].as_array().unwrap());
        let ring = modulus(&params["modulus"]);
        match group["type"].as_str().unwrap() {
            kind @ ("ReLU" | "Trunc") => {
                let function = if kind == "ReLU" { Function::Relu } else { Function::Identity };
                let out = modulus(&params["modulus_out"]);
                let circuit = Neuron {
                    function,
                    modulus_in: ring,
                    modulus_out: out,
                    shift: int(&params["shift"]) as u8,
                };
                neurons += hold(&circuit, tests, ring, Some(out), "x_s");
            }
            "PiecewiseLinear" => curves += hold_curve(params, tests, ring),
            "Max" => {
                let out = modulus(&params["modulus_out"]);
                for (relu, result) in [(false, "x_s"), (true, "x_s_relu")] {
                    let circuit = Max {
                        modulus_in: ring,
                        modulus_out: out,
                        inputs: int(&params["k"]) as u32,
                        shift: 0,
                        relu,
                    };
                    max += hold(&circuit, tests, ring, Some(out), result);
                }
            }
            "Argmax" => {
                let circuit = Argmax { modulus: ring, inputs: int(&params["k"]) as u32 };
                argmax += hold(&circuit, tests, ring, None, "argmax");
            }
            "Square" => square += tests.len(),
            kind => panic!("unknown group {kind}"),
        }
    }
    assert_eq!((neurons, curves, max, argmax, square), (NEURONS, CURVES, MAX, ARGMAX, SQUARE));
    assert_eq!((neurons + curves + max / 2 + argmax + square) as u64, int(&file["numberOfTests"]));
}

/// How many vectors there are, so that none is skipped unseen: each Max counts twice, with and
/// without ReLU; squares are tested with OT.
const NEURONS: usize = 1910;
const CURVES: usize = 1651;
const MAX: usize = 720;
const ARGMAX: usize = 360;
const SQUARE: usize = 329;

// ---- two parties
// -------------------------------------------------------------------------------------------------

/// Random inputs for `neurons` neurons.
fn random<C: Circuit>(circuit: &C, neurons: usize, prg: &mut Prg) -> Vec<Inputs> {
    let total = totals(circuit);
    let mut draw = |n: u32| (0..n).map(|_| prg.next_u32() & 1 == 1).collect();
    (0..neurons)
        .map(|_| Inputs { server: draw(total.server_inputs), client: draw(total.client_inputs) })
        .collect()
}

/// Every lane count on either side gives the plain result, and the same bytes.
fn agree<C: Circuit + core::fmt::Debug>(circuit: &C, prg: &mut Prg) {
    let parties = Parties::new(9);
    // Not a multiple of 2 or 8: the last call has idle lanes.
    let inputs = random(circuit, 11, prg);
    let wanted = plainly(circuit, &inputs);
    let one = parties.garble::<C, 1>(circuit, 11, 1);
    for layer in [
        parties.garble::<C, 2>(circuit, 11, 2),
        parties.garble::<C, 8>(circuit, 11, 8),
        parties.garble::<C, 8>(circuit, 11, 3),
    ] {
        assert_eq!(layer.tables, one.tables, "{circuit:?}");
        assert_eq!(layer.decode, one.decode, "{circuit:?}");
    }
    for colours in [
        parties.evaluate::<C, 1>(circuit, &one.tables, &inputs, 1),
        parties.evaluate::<C, 2>(circuit, &one.tables, &inputs, 2),
        parties.evaluate::<C, 8>(circuit, &one.tables, &inputs, 8),
        parties.evaluate::<C, 8>(circuit, &one.tables, &inputs, 5),
    ] {
        let got: Vec<u64> = colours.iter().zip(&one.decode).map(|(c, d)| c ^ d).collect();
        assert_eq!(got, wanted, "{circuit:?}");
    }
}

const RELU: Neuron = Neuron {
    function: Function::Relu,
    modulus_in: Modulus::Bits(24),
    modulus_out: Modulus::Bits(20),
    shift: 6,
};

#[test]
fn garbled_is_plain_whatever_the_lanes() {
    let mut prg = common::random_bits(3);
    // Random bits may be no element of Z_N: all the same, both readings run the same gates.
    let (a, b, n) = (Modulus::Bits(24), Modulus::Bits(44), Modulus::Odd(101_285_036_033));
    for (modulus_in, modulus_out) in [(a, b), (b, a), (n, n), (a, n), (n, a)] {
        for (function, shift) in [
            (Function::Relu, 0),
            (Function::Relu, 9),
            (Function::Identity, 0),
            (Function::Identity, 30),
        ] {
            agree(&Neuron { function, modulus_in, modulus_out, shift }, &mut prg);
        }
        for (inputs, shift, relu) in [(1, 0, false), (2, 3, true), (4, 0, true), (5, 10, false)] {
            agree(&Max { modulus_in, modulus_out, inputs, shift, relu }, &mut prg);
        }
    }
    for (modulus, inputs) in [(a, 2), (a, 10), (b, 3), (n, 5)] {
        agree(&Argmax { modulus, inputs }, &mut prg);
    }
}

/// A spline with slopes of both signs: the largest that there is.
fn spline(parity: Parity, plus_relu: bool) -> Function {
    let (offsets, slopes) = (0..MAX_PIECES as i16).fold(
        ([0; MAX_PIECES], [0; MAX_PIECES]),
        |(mut offsets, mut slopes), i| {
            offsets[i as usize] = i.wrapping_mul(20011);
            slopes[i as usize] = (i + 1).wrapping_mul(-27644);
            (offsets, slopes)
        },
    );
    Function::PiecewiseLinear(PiecewiseLinear {
        parity,
        plus_relu,
        input_bits: 14,
        index_bits: 5,
        shift: 15,
        centre: 77,
        offsets,
        slopes,
    })
}

#[test]
fn garbled_activations_are_plain_whatever_the_lanes() {
    let mut prg = common::random_bits(9);
    let mut functions = vec![
        Function::Clip { lo: 0, hi: 5999 },
        Function::Clip { lo: -(1 << 20), hi: 1 << 22 },
        Function::Leaky { multiplier: 205, bits: 11 },
        Function::Leaky { multiplier: 255, bits: 2 },
    ];
    functions.extend(
        [Parity::Odd, Parity::Even, Parity::Left]
            .into_iter()
            .flat_map(|p| [false, true].map(|tail| spline(p, tail))),
    );
    for function in functions {
        for (modulus_in, modulus_out) in [(24, 20), (20, 44), (44, 30)] {
            let (modulus_in, modulus_out) = (Modulus::Bits(modulus_in), Modulus::Bits(modulus_out));
            for shift in [0, 9] {
                agree(&Neuron { function, modulus_in, modulus_out, shift }, &mut prg);
            }
        }
    }
}

/// All instances of a neuron in one call are the same bytes as one by one, neuron by neuron.
#[test]
fn whole_neurons_are_their_records() {
    let parties = Parties::new(5);
    let garbler = Garbler::new(&parties.session, &parties.secret, parties.delta, 3);
    let evaluator = Evaluator::new(&parties.session, 3);
    let circuit = Max {
        modulus_in: Modulus::Bits(22),
        modulus_out: Modulus::Bits(20),
        inputs: 4,
        shift: 8,
        relu: true,
    };
    let (total, shapes): (GateCounts, Vec<GateCounts>) =
        (totals(&circuit), shapes(&circuit).collect());
    let inputs = random(&circuit, 3, &mut common::random_bits(6));
    let records =
        || (0..3 * circuit.steps()).map(|record| (record, shapes[record % circuit.steps()]));
    let zero: Vec<Block> =
        records().flat_map(|(record, shape)| parties.client_zero(record as u64, shape)).collect();
    let (mut tables, mut decode) = (vec![0; 3 * total.table_bytes()], [0; 3]);
    let buffers = GarbleBuffers { client_zero: &zero, tables: &mut tables, decode: &mut decode };
    garbler.garble_neurons::<_, 8>(&circuit, 0..3, buffers).unwrap();

    let by_step = parties.garble::<_, 1>(&circuit, 3, 1);
    let mut wire = Vec::new();
    for (record, shape) in records() {
        let (neuron, step) = (record / circuit.steps(), record % circuit.steps());
        wire.extend_from_slice(
            &by_step.tables[step][neuron * shape.table_bytes()..][..shape.table_bytes()],
        );
    }
    assert!(tables == wire);
    assert_eq!(decode[..], by_step.decode);

    let bits = inputs.iter().flat_map(|i| &i.client);
    let client: Vec<Block> =
        zero.iter().zip(bits).map(|(z, b)| z ^ if *b { parties.delta } else { 0 }).collect();
    let server: Vec<Block> = inputs
        .iter()
        .flat_map(|i| i.server.chunks(22))
        .enumerate()
        .flat_map(|(record, bits)| parties.server_labels(record as u64, bits))
        .collect();
    let mut colours = [0; 3];
    let buffers = EvaluateBuffers {
        tables: &tables,
        server_labels: &server,
        client_labels: &client,
        colours: &mut colours,
    };
    evaluator.evaluate_neurons::<_, 4>(&circuit, 0..3, buffers).unwrap();
    let outputs: Vec<u64> = colours.iter().zip(decode).map(|(c, d)| c ^ d).collect();
    assert_eq!(outputs, plainly(&circuit, &inputs));
}

/// The largest circuits on a small stack: an overflow ends the test run.
fn run_on_a_stack_of<const L: usize>(kib: usize) {
    let run = || {
        let mut prg = common::random_bits(8);
        let parties = Parties::new(1);
        let (b, n) = (Modulus::Bits(44), Modulus::Odd((1 << 44) - 17));
        for (modulus_in, modulus_out) in [(b, b), (n, n), (b, n)] {
            let circuit = Max { modulus_in, modulus_out, inputs: 2, shift: 0, relu: true };
            let inputs = random(&circuit, L, &mut prg);
            assert_eq!(parties.run::<_, L, L>(&circuit, &inputs), plainly(&circuit, &inputs));
        }
        let circuit = Argmax { modulus: n, inputs: 3 };
        let inputs = random(&circuit, L, &mut prg);
        assert_eq!(parties.run::<_, L, L>(&circuit, &inputs), plainly(&circuit, &inputs));
        for function in [
            Function::Leaky { multiplier: 205, bits: 11 },
            Function::Clip { lo: -5, hi: 9 },
            spline(Parity::Even, true),
        ] {
            let circuit = Neuron { function, modulus_in: b, modulus_out: b, shift: 0 };
            let inputs = random(&circuit, L, &mut prg);
            assert_eq!(parties.run::<_, L, L>(&circuit, &inputs), plainly(&circuit, &inputs));
        }
    };
    std::thread::Builder::new().stack_size(kib << 10).spawn(run).unwrap().join().unwrap();
}

#[test]
fn one_lane_needs_less_than_64_kib_of_stack() {
    run_on_a_stack_of::<1>(64);
}

#[test]
fn a_hosts_lanes_need_less_than_256_kib_of_stack() {
    run_on_a_stack_of::<LANES>(256);
}

#[test]
fn every_table_bit_matters() {
    let parties = Parties::new(2);
    let circuit = Neuron {
        function: Function::Relu,
        modulus_in: Modulus::Bits(4),
        modulus_out: Modulus::Bits(4),
        shift: 0,
    };
    // All inputs, so that each row is used by some of them.
    let inputs: Vec<Inputs> = (0..1 << 12_u32)
        .map(|x: u64| Inputs { server: bits(x, 4).collect(), client: bits(x >> 4, 8).collect() })
        .collect();
    let layer = parties.garble::<_, 8>(&circuit, inputs.len(), 8);
    let right = parties.evaluate::<_, 8>(&circuit, &layer.tables, &inputs, 8);
    let bytes = shape(&circuit, 0).table_bytes();
    for byte in 0..bytes {
        // Only the colour of the last gate's label is looked at.
        let bit = if byte < bytes - GATE_BYTES { byte % 8 } else { 0 };
        if bit == 0 && byte % 16 != 0 && byte > bytes - GATE_BYTES {
            continue;
        }
        let mut tables = layer.tables.clone();
        tables[0].chunks_mut(bytes).for_each(|record| record[byte] ^= 1 << bit);
        let wrong = parties.evaluate::<_, 8>(&circuit, &tables, &inputs, 8);
        assert!(wrong != right, "byte {byte}");
    }
}

#[test]
fn another_key_layer_or_record_gives_other_colours() {
    let parties = Parties::new(4);
    let inputs = random(&RELU, 8, &mut common::random_bits(5));
    let layer = parties.garble::<_, 8>(&RELU, 8, 8);
    let right = parties.evaluate::<_, 8>(&RELU, &layer.tables, &inputs, 8);
    let server: Vec<Block> = inputs
        .iter()
        .enumerate()
        .flat_map(|(n, i)| parties.server_labels(n as u64, &i.server))
        .collect();
    let client: Vec<Block> = inputs
        .iter()
        .enumerate()
        .flat_map(|(n, i)| {
            let zero = parties.client_zero(n as u64, totals(&RELU));
            zero.into_iter()
                .zip(&i.client)
                .map(|(z, b)| z ^ if *b { parties.delta } else { 0 })
                .collect::<Vec<_>>()
        })
        .collect();
    let evaluate = |session: &Tmmo, id: u64, first: u64, tables: &[u8]| {
        let mut colours = vec![0; 8];
        let buffers = EvaluateBuffers {
            tables,
            server_labels: &server,
            client_labels: &client,
            colours: &mut colours,
        };
        Evaluator::new(session, id)
            .evaluate_neurons::<_, 8>(&RELU, first..first + 8, buffers)
            .unwrap();
        colours
    };
    let tables = &layer.tables[0];
    assert_eq!(evaluate(&parties.session, 3, 0, tables), right);
    assert_ne!(evaluate(&Tmmo::new(0), 3, 0, tables), right);
    assert_ne!(evaluate(&parties.session, 4, 0, tables), right);
    assert_ne!(evaluate(&parties.session, 3, 1, tables), right);
    // Two gates swapped: right rows under wrong tweaks.
    let mut swapped = tables.clone();
    for record in swapped.chunks_mut(shape(&RELU, 0).table_bytes()) {
        let (first, rest) = record.split_at_mut(GATE_BYTES);
        first.swap_with_slice(&mut rest[..GATE_BYTES]);
    }
    assert_ne!(evaluate(&parties.session, 3, 0, &swapped), right);
}

/// The permute bits of the outputs hide the activation: the client sees colours, and knows `r`.
/// With them it would read `f(y)`.
#[test]
fn colours_alone_are_balanced_and_decode_opens_them() {
    let parties = Parties::new(6);
    // All neurons have the same input, so only labels differ.
    let one = random(&RELU, 1, &mut common::random_bits(7));
    let inputs = vec![one[0].clone(); 2000];
    let layer = parties.garble::<_, 8>(&RELU, 2000, 8);
    let colours = parties.evaluate::<_, 8>(&RELU, &layer.tables, &inputs, 8);
    for bit in 0..20 {
        let ones = colours.iter().filter(|c| **c >> bit & 1 == 1).count();
        assert!((850..1150).contains(&ones), "bit {bit}: {ones} of 2000");
    }
    let opened = colours.iter().zip(&layer.decode).map(|(c, d)| c ^ d);
    assert!(opened.zip(plainly(&RELU, &inputs)).all(|(a, b)| a == b));
}

#[test]
fn wrong_lengths_are_errors() {
    let parties = Parties::new(8);
    let garbler = Garbler::new(&parties.session, &parties.secret, parties.delta, 3);
    let evaluator = Evaluator::new(&parties.session, 3);
    let GateCounts { server_inputs, client_inputs, .. } = shape(&RELU, 0);
    let (s, c, t) = (server_inputs as usize, client_inputs as usize, shape(&RELU, 0).table_bytes());
    for lanes in 0..=3 {
        for (server, client, table, out) in (0..81).map(|i| (i % 3, i / 3 % 3, i / 9 % 3, i / 27)) {
            let right = (1..=2).contains(&lanes) && (server, client, table, out) == (1, 1, 1, 1);
            let wanted = if right { Ok(()) } else { Err(Error::Internal) };
            // One too few, right, one too many.
            let length = |n: usize, off: usize| (n * lanes + off).saturating_sub(1);
            let (server_labels, client_labels) =
                (vec![1; length(s, server)], vec![1; length(c, client)]);
            let (mut tables, mut outputs) = (vec![0; length(t, table)], vec![0; length(1, out)]);
            let buffers = EvaluateBuffers {
                tables: &tables,
                server_labels: &server_labels,
                client_labels: &client_labels,
                colours: &mut outputs,
            };
            let got = evaluator.evaluate_neurons::<_, 2>(&RELU, 0..lanes as u64, buffers);
            assert_eq!(got, wanted, "evaluate {lanes} {server} {client} {table} {out}");
            if server == 1 {
                let buffers = GarbleBuffers {
                    client_zero: &client_labels,
                    tables: &mut tables,
                    decode: &mut outputs,
                };
                let got = garbler.garble_neurons::<_, 2>(&RELU, 0..lanes as u64, buffers);
                assert_eq!(got, wanted, "garble {lanes} {client} {table} {out}");
            }
        }
    }
    let bad = Neuron { modulus_in: Modulus::Bits(0), ..RELU };
    let buffers = GarbleBuffers { client_zero: &[], tables: &mut [], decode: &mut [0] };
    assert_eq!(garbler.garble_neurons::<_, 1>(&bad, 0..1, buffers), Err(Error::Internal));
    let (zero, mut tables) = (vec![0; c], vec![0; t]);
    let buffers = GarbleBuffers { client_zero: &zero, tables: &mut tables, decode: &mut [0] };
    let behind = garbler.garble::<_, 1>(&RELU, &mut (), 1..2, 0..1, buffers);
    assert_eq!(behind, Err(Error::Internal));
    let labels = garbler.active_labels(0, 0, 0, &mut [0; 65]);
    assert_eq!(labels, Err(Error::Length { need: 64 }));
}

/// A row of the tables, a label that is missing: no colour comes of it, and nothing is written
/// behind the gate that lacks it.
#[test]
fn nothing_is_garbled_or_evaluated_without_its_inputs() {
    let parties = Parties::new(9);
    let garbler = Garbler::new(&parties.session, &parties.secret, parties.delta, 3);
    let evaluator = Evaluator::new(&parties.session, 3);
    let GateCounts { server_inputs, client_inputs, .. } = shape(&RELU, 0);
    let (s, c, t) = (server_inputs as usize, client_inputs as usize, shape(&RELU, 0).table_bytes());
    let zero = vec![5; c];
    // The last label of the client is one of its mask, which comes behind all gates but the last.
    let mut tables = vec![0xaa; t];
    let buffers =
        GarbleBuffers { client_zero: &zero[..c - 1], tables: &mut tables, decode: &mut [0] };
    assert_eq!(garbler.garble_neurons::<_, 1>(&RELU, 0..1, buffers), Err(Error::Internal));
    // Rows of the first gates are there, that of the last is not.
    assert!(tables[..GATE_BYTES].iter().any(|&byte| byte != 0xaa));
    for (server, client, table) in [(s - 1, c, t), (s, c - 1, t), (s, c, t - 1), (0, 0, 0)] {
        let mut colours = [u64::MAX];
        let buffers = EvaluateBuffers {
            tables: &tables[..table],
            server_labels: &vec![1; server],
            client_labels: &zero[..client],
            colours: &mut colours,
        };
        let got = evaluator.evaluate_neurons::<_, 1>(&RELU, 0..1, buffers);
        assert_eq!(got, Err(Error::Internal), "{server} {client} {table}");
    }
}
