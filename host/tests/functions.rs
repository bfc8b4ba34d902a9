//! Functions of one number, from ONNX files: monotone ones at every input, and polynomials of the
//! user's own, in the clear and privately.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod common;
#[path = "common/session.rs"]
mod session;

use common::exact::{exact, run};
use common::{File, Numbers, attr, attr_f, attr_ints, raw};
use minionn_core::session::{Activations, Options};
use minionn_host::compile::{CompileOptions, Compiled, Error, compile};
use minionn_host::npy::Array;

/// What an activation makes of every input that there is, from the smallest on.
fn all_results(file: &File, range: (f32, f32), bits: u8) -> Vec<f64> {
    let options =
        CompileOptions { input_range: Some(range), activation_bits: bits, ..Default::default() };
    let compiled = compile(&file.bytes(), &options, None).unwrap();
    let most = (1_i32 << (bits - 1)) - 1;
    let step = f64::from(range.1.max(-range.0)) / f64::from(most);
    let inputs: Vec<f32> = (-most..=most).map(|y| (f64::from(y) * step) as f32).collect();
    run(&compiled, &inputs).0
}

#[test]
fn monotone_activations_are_so_at_every_input() {
    let one = |name: &str, x: f32| raw(name, &[], &[x]);
    for bits in [5, 8, 12] {
        let inputs = (1_i64 << bits) - 1;
        let file = || File::new(&[1, inputs]).constant(one("a", -0.6)).constant(one("b", 0.9));
        let plain = |op: &str| file().node(op, "x", "y", &[]);
        let alpha = |op: &str, alpha| file().node(op, "x", "y", &[attr_f("alpha", alpha)]);
        let files = [
            ("Relu", plain("Relu")),
            ("LeakyRelu", alpha("LeakyRelu", 0.3)),
            ("Clip", file().node("Clip", "x a b", "y", &[])),
            ("Clip below", file().node("Clip", "x a", "y", &[])),
            ("Clip above", file().node("Clip", "x - b", "y", &[])),
            ("HardSigmoid", plain("HardSigmoid")),
            ("Sigmoid", plain("Sigmoid")),
            ("Tanh", plain("Tanh")),
            ("Erf", plain("Erf")),
            ("Softsign", plain("Softsign")),
            ("Softplus", plain("Softplus")),
            ("Elu", plain("Elu")),
            ("Elu, low", alpha("Elu", 0.2)),
            ("Selu", plain("Selu")),
            ("Celu", alpha("Celu", 2.0)),
        ];
        for (name, file) in files {
            for range in [(-1.0, 1.0), (-16.0, 16.0), (-7.0, 3.0)] {
                let results = all_results(&file, range, bits);
                let falls = results.windows(2).position(|pair| pair[1] < pair[0]);
                assert_eq!(falls, None, "{name}, {bits} bits, {range:?}");
                assert!(results.first() < results.last(), "{name}");
            }
        }
    }
}

/// As footnote 3 of the paper wants it, because a maximum is taken before the curve, not after it:
/// of every input and the next.
#[test]
fn a_maximum_of_curves_is_the_curve_of_the_maximum() {
    let pool = [attr_ints("kernel_shape", &[1, 2]), attr_ints("strides", &[1, 2])];
    let x: Vec<f32> =
        (-127_i16..127).flat_map(|y| [y, y + 1]).map(|y| f32::from(y) * 16.0 / 127.0).collect();
    let options = CompileOptions { input_range: Some((-16.0, 16.0)), ..Default::default() };
    for op in ["Sigmoid", "Tanh", "Softplus", "Elu", "Selu", "Celu"] {
        let file = || File::new(&[1, 1, 1, x.len() as i64]);
        let results = |file: &File| run(&compile(&file.bytes(), &options, None).unwrap(), &x).0;
        let curve = results(&file().node(op, "x", "y", &[]));
        let both = results(&file().node(op, "x", "c", &[]).node("MaxPool", "c", "y", &pool));
        let largest: Vec<f64> = curve.chunks(2).map(|pair| pair[0].max(pair[1])).collect();
        assert_eq!(both, largest, "{op}");
    }
}

/// `[2][3]`, and its bias.
const W: [f32; 6] = [0.5, -1.0, 0.25, 0.75, 0.125, -0.5];
const B: [f32; 2] = [0.3, -0.7];

/// A fully connected layer, whose result is `g`.
fn layer() -> File {
    File::new(&[1, 3])
        .constant(raw("w", &[2, 3], &W))
        .constant(raw("bias", &[2], &B))
        .constant(raw("three", &[], &[3.0]))
        .constant(raw("a", &[], &[0.125]))
        .constant(raw("b", &[], &[0.5]))
        .constant(raw("c", &[], &[0.25]))
        .constant(raw("d", &[2], &[-0.75, 0.4]))
        .node("Gemm", "x w bias", "g", &[common::attr("transB", 1)])
}

fn activated(x: &[f32], f: impl Fn(f64, usize) -> f64) -> Vec<f64> {
    let dot = |row: &[f32]| -> f64 {
        row.iter().zip(x).map(|(&w, &x)| f64::from(w) * f64::from(x)).sum()
    };
    W.chunks(3).zip(B).enumerate().map(|(i, (w, b))| f(dot(w) + f64::from(b), i)).collect()
}

type Polynomial = (&'static str, File, fn(f64, usize) -> f64);

/// Polynomials as users write them, `f` being what they become.
fn polynomials() -> [Polynomial; 5] {
    let square = || layer().node("Mul", "g g", "s", &[]);
    [
        (
            "a·x² + b·x + c",
            square()
                .node("Mul", "s a", "as", &[])
                .node("Mul", "g b", "bg", &[])
                .node("Add", "as bg", "sum", &[])
                .node("Add", "sum c", "f", &[]),
            |x, _| 0.125 * x * x + 0.5 * x + 0.25,
        ),
        (
            "(a·x + b)·x + c",
            layer()
                .node("Mul", "g a", "ag", &[])
                .node("Add", "ag b", "h", &[])
                .node("Mul", "h g", "hg", &[])
                .node("Add", "hg c", "f", &[]),
            |x, _| 0.125 * x * x + 0.5 * x + 0.25,
        ),
        ("x³", layer().node("Pow", "g three", "f", &[]), |x, _| x.powi(3)),
        ("x³ by products", square().node("Mul", "s g", "f", &[]), |x, _| x.powi(3)),
        (
            "a·x³ + b·x² + c·x + d, a d for each channel",
            layer()
                .node("Mul", "g a", "ag", &[])
                .node("Add", "ag b", "h", &[])
                .node("Mul", "h g", "hg", &[])
                .node("Add", "hg c", "i", &[])
                .node("Mul", "i g", "ig", &[])
                .node("Add", "ig d", "f", &[]),
            |x, i| 0.125 * x.powi(3) + 0.5 * x * x + 0.25 * x + [-0.75, 0.4][i],
        ),
    ]
}

fn with_bits(file: &File, bits: u8) -> Compiled {
    let options = CompileOptions {
        input_range: Some((-1.0, 1.0)),
        weight_bits: bits,
        activation_bits: bits,
        ..Default::default()
    };
    compile(&file.bytes(), &options, None).unwrap()
}

/// Nothing is approximated: what is left is the rounding to integers, which four more bits make
/// smaller.
#[test]
fn polynomials_are_products() {
    for (name, file, f) in polynomials() {
        let file = file.node("Identity", "f", "y", &[]);
        let mut numbers = Numbers::seeded(12);
        let rows: Vec<Vec<f32>> = (0..200).map(|_| numbers.units(3)).collect();
        let largest =
            rows.iter().flat_map(|x| activated(x, f)).fold(0.0_f64, |most, y| most.max(y.abs()));
        let [coarse, fine] = [8, 12].map(|bits| {
            let compiled = with_bits(&file, bits);
            let curves = compiled.report.layers.iter().filter(|l| l.curve_error.is_some()).count();
            assert_eq!(curves, 0, "{name}");
            exact(&compiled, &mut numbers, 100);
            let far = |x: &Vec<f32>| {
                let pairs = run(&compiled, x).0.into_iter().zip(activated(x, f));
                pairs.fold(0.0_f64, |most, (got, want)| most.max((got - want).abs()))
            };
            rows.iter().map(far).fold(0.0, f64::max) / largest
        });
        println!("{name}: {coarse:.5} with 8 bits, {fine:.5} with 12, of {largest:.2}");
        assert!(coarse < 0.06 && fine < coarse / 6.0, "{name}: {coarse}, {fine}");
    }
}

#[test]
fn private_polynomials_equal_the_integer_model() {
    let tail = [0.5, -0.25, 1.0, 0.75];
    let mut numbers = Numbers::seeded(13);
    for (name, file, _) in polynomials() {
        let file = file.constant(raw("w2", &[2, 2], &tail)).node("MatMul", "f w2", "y", &[]);
        let model = with_bits(&file, 12).model;
        let inputs = Array::new(&[3, 3], numbers.units(9)).unwrap();
        for activations in [Activations::Garbled, Activations::Compared { log2_bytes_per_round: 0 }]
        {
            let options = Options { activations, stock: 2, ..Options::default() };
            session::check(name, &model, options, &inputs, &[]);
        }
    }
}

/// Curves behind layers whose values need few bits: half a step that is added first may take a bit
/// off the ring. A plan that this leaves without a bit besides the sign was refused.
#[test]
fn plans_of_curves_are_never_refused() {
    let mut numbers = Numbers::seeded(14);
    let mut compiled = 0;
    for _ in 0..3000 {
        let (inputs, outputs) = (1 + numbers.below(5) as i64, 1 + numbers.below(4) as i64);
        let gain = [0.01, 1.0, 30.0][numbers.below(3) as usize];
        let w: Vec<f32> =
            numbers.units((inputs * outputs) as usize).iter().map(|w| w * gain).collect();
        let b: Vec<f32> = numbers.units(outputs as usize).iter().map(|b| b * gain).collect();
        let op = ["Elu", "Celu", "Selu", "Sigmoid", "Softplus", "Mish", "Sin", "Atan"]
            [numbers.below(8) as usize];
        let file = File::new(&[1, inputs])
            .constant(raw("w", &[inputs, outputs], &w))
            .constant(raw("b", &[outputs], &b))
            .node("MatMul", "x w", "g", &[])
            .node("Add", "g b", "h", &[])
            .node(op, "h", "y", &[]);
        let width = 10.0_f32.powi(numbers.below(5) as i32 - 3);
        let input_range =
            Some([(0.0, width), (-width, 0.0), (-width, width)][numbers.below(3) as usize]);
        let options = CompileOptions {
            input_range,
            weight_bits: 2 + numbers.below(11) as u8,
            activation_bits: 2 + numbers.below(3) as u8,
            ..CompileOptions::default()
        };
        match compile(&file.bytes(), &options, None) {
            Ok(_) => compiled += 1,
            Err(Error::Layer { .. }) => {}
            Err(error) => panic!("{op}: {error}: {options:?}"),
        }
    }
    assert!(compiled > 2000, "{compiled} of 3000 compiled");
}

/// Functions that fall and then rise do so once, whatever the operator or spelling.
#[test]
fn functions_with_a_minimum_turn_there_and_nowhere_else() {
    for bits in [5, 8, 12] {
        let inputs = (1_i64 << bits) - 1;
        let file = || File::new(&[1, inputs]).constant(raw("one", &[], &[1.0]));
        let spelled = file()
            .node("Exp", "x", "e", &[])
            .node("Add", "e one", "a", &[])
            .node("Log", "a", "s", &[])
            .node("Tanh", "s", "t", &[])
            .node("Mul", "x t", "y", &[]);
        let files = [
            ("Mish", file().node("Mish", "x", "y", &[])),
            ("Mish, spelled out", spelled),
            ("Gelu", file().node("Gelu", "x", "y", &[])),
            ("HardSwish", file().node("HardSwish", "x", "y", &[])),
        ];
        for (name, file) in files {
            for range in [(-4.0, 4.0), (-16.0, 16.0), (-7.0, 3.0)] {
                let results = all_results(&file, range, bits);
                let rises = results.windows(2).position(|pair| pair[1] > pair[0]).unwrap();
                let falls = results[rises..].windows(2).position(|pair| pair[1] < pair[0]);
                assert_eq!(falls, None, "{name}, {bits} bits, {range:?}");
            }
        }
    }
}

/// A table that is looked up by the input: every index, in the clear and privately.
#[test]
fn tables_are_looked_up_by_computed_indices() {
    let (rows, width, mut numbers) = (40_usize, 3_usize, Numbers::seeded(15));
    let table = numbers.units(rows * width);
    let file = File::new(&[1, 2])
        .constant(raw("t", &[rows as i64, width as i64], &table))
        .node("Cast", "x", "i", &[attr("to", 7)])
        .node("Gather", "t i", "y", &[attr("axis", 0)]);
    let options =
        CompileOptions { input_range: Some((0.0, rows as f32 - 1.0)), ..Default::default() };
    let compiled = compile(&file.bytes(), &options, None).unwrap();
    let pairs: Vec<[f32; 2]> = (0..rows).map(|i| [i as f32, (rows - 1 - i) as f32]).collect();
    for pair in &pairs {
        let got = run(&compiled, pair).0;
        let want = pair.iter().flat_map(|&i| &table[i as usize * width..][..width]);
        for (got, &want) in got.iter().zip(want) {
            assert!((got - f64::from(want)).abs() < 0.01, "{pair:?}: {got} instead of {want}");
        }
    }
    let inputs = Array::new(&[2, 2], vec![0.0, 39.0, 7.0, 12.0]).unwrap();
    for activations in [Activations::Garbled, Activations::Compared { log2_bytes_per_round: 0 }] {
        let options = Options { activations, stock: 2, ..Options::default() };
        session::check("table", &compiled.model, options, &inputs, &[]);
    }
}
