//! The compiler, from ONNX files to integers.

mod common;

use common::exact::{accuracy, exact, run};
use common::{File, Numbers, attr, attr_f, attr_ints, attr_t, ints, raw};
use minionn_core::plan::{Function, Op, Plan};
use minionn_host::compile::{CompileOptions, Compiled, Error, Output, compile};
use minionn_host::npy::{self, Array};
use minionn_host::onnx::proto::{TensorProto, data_type};

/// Fine integers, inputs from −1 to 1.
fn fine() -> CompileOptions {
    CompileOptions {
        input_range: Some((-1.0, 1.0)),
        weight_bits: 12,
        activation_bits: 12,
        ..Default::default()
    }
}

fn must(file: &File, options: &CompileOptions) -> Compiled {
    compile(&file.bytes(), options, None).unwrap_or_else(|e| panic!("{e}"))
}

fn refusal(bytes: &[u8]) -> String {
    compile(bytes, &fine(), None).map(|_| ()).expect_err("must be refused").to_string()
}

fn ops(compiled: &Compiled) -> Vec<Op> {
    Plan::parse(&compiled.plan).unwrap().ops().collect()
}

fn close(file: &File, inputs: usize, tolerance: f64, expected: impl Fn(&[f32]) -> Vec<f64>) {
    let compiled = must(file, &fine());
    let mut numbers = Numbers::seeded(7);
    for _ in 0..20 {
        let x = numbers.units(inputs);
        let (got, want) = (run(&compiled, &x).0, expected(&x));
        assert_eq!(got.len(), want.len());
        for (g, w) in got.iter().zip(&want) {
            assert!((g - w).abs() <= tolerance, "{got:?} instead of {want:?} for {x:?}");
        }
    }
}

/// `[outputs][inputs]`: what every form below computes, with `B` added.
const W: [[f32; 3]; 2] = [[0.5, -1.0, 0.25], [0.75, 0.125, -0.5]];
const B: [f32; 2] = [0.3, -0.7];

fn rows() -> Vec<f32> {
    W.concat()
}

fn columns() -> Vec<f32> {
    (0..3).flat_map(|j| [W[0][j], W[1][j]]).collect()
}

/// `w·W·x + b·B`.
fn affine(x: &[f32], w: f64, b: f64) -> Vec<f64> {
    let dot = |row: &[f32; 3]| -> f64 {
        row.iter().zip(x).map(|(&w, &x)| f64::from(w) * f64::from(x)).sum()
    };
    W.iter().zip(B).map(|(row, bias)| w * dot(row) + b * f64::from(bias)).collect()
}

fn start(dims: &[i64]) -> File {
    File::new(dims)
        .constant(raw("w", &[3, 2], &columns()))
        .constant(raw("wt", &[2, 3], &rows()))
        .constant(raw("b", &[2], &B))
}

#[test]
fn every_form_of_a_fully_connected_layer() {
    let row = || start(&[1, 3]);
    let plain: [(&str, File); 9] = [
        ("Gemm", row().node("Gemm", "x w b", "y", &[])),
        ("Gemm, transB", row().node("Gemm", "x wt b", "y", &[attr("transB", 1)])),
        ("named batch", start(&[0, 3]).node("Gemm", "x w b", "y", &[])),
        ("MatMul, Add", row().node("MatMul", "x w", "m", &[]).node("Add", "m b", "y", &[])),
        (
            "MatMul, Add, other order",
            row().node("MatMul", "x w", "m", &[]).node("Add", "b m", "y", &[]),
        ),
        (
            "vector from the left",
            start(&[3]).node("MatMul", "wt x", "m", &[]).node("Add", "m b", "y", &[]),
        ),
        (
            "transposed constant",
            row().node("Transpose", "wt", "t", &[]).node("Gemm", "x t b", "y", &[]),
        ),
        (
            "identity of a constant",
            row().node("Identity", "w", "v", &[]).node("Gemm", "x v b", "y", &[]),
        ),
        ("nodes in any order", row().node("Add", "m b", "y", &[]).node("MatMul", "x w", "m", &[])),
    ];
    for (form, file) in plain {
        println!("{form}");
        close(&file, 3, 2e-3, |x| affine(x, 1.0, 1.0));
    }
    close(&row().node("MatMul", "x w", "y", &[]), 3, 2e-3, |x| affine(x, 1.0, 0.0));
    close(&row().node("Gemm", "x w", "y", &[]), 3, 2e-3, |x| affine(x, 1.0, 0.0));
    let scaled = [attr_f("alpha", 0.5), attr_f("beta", -2.0)];
    close(&row().node("Gemm", "x w b", "y", &scaled), 3, 2e-3, |x| affine(x, 0.5, -2.0));
    let column = start(&[3, 1]).node("MatMul", "wt x", "y", &[]);
    close(&column, 3, 2e-3, |x| affine(x, 1.0, 0.0));
}

#[test]
fn every_way_to_store_numbers() {
    let base = |w: TensorProto| File::new(&[1, 3]).constant(w).node("MatMul", "x w", "y", &[]);
    let data = columns();
    let empty = TensorProto { name: "w".into(), dims: vec![3, 2], ..Default::default() };
    let doubles: Vec<f64> = data.iter().map(|&x| f64::from(x)).collect();
    let forms = [
        TensorProto { data_type: data_type::FLOAT, float_data: data.clone(), ..empty.clone() },
        TensorProto { data_type: data_type::DOUBLE, double_data: doubles.clone(), ..empty.clone() },
        TensorProto {
            data_type: data_type::DOUBLE,
            raw_data: doubles.iter().flat_map(|x| x.to_le_bytes()).collect(),
            ..empty.clone()
        },
    ];
    for tensor in forms {
        close(&base(tensor), 3, 2e-3, |x| affine(x, 1.0, 0.0));
    }
    let node = File::new(&[1, 3])
        .node("Constant", "", "w", &[attr_t("value", raw("", &[3, 2], &data))])
        .node("MatMul", "x w", "y", &[]);
    close(&node, 3, 2e-3, |x| affine(x, 1.0, 0.0));
    let integers =
        TensorProto { data_type: data_type::INT64, int64_data: vec![1, 2, 3, 4, 5, -6], ..empty };
    close(&base(integers), 3, 2e-2, |x| {
        let x: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
        vec![x[0] + 3.0 * x[1] + 5.0 * x[2], 2.0 * x[0] + 4.0 * x[1] - 6.0 * x[2]]
    });
}

#[test]
fn shapes_that_stay_flat() {
    let shape = |dims: &[i64]| [attr_t("value", ints("", dims))];
    let forms = [
        start(&[1, 1, 3]).node("Flatten", "x", "f", &[]),
        start(&[3, 1]).node("Flatten", "x", "f", &[attr("axis", 0)]),
        start(&[1, 1, 1, 3]).node("Constant", "", "s", &shape(&[1, -1])).node(
            "Reshape",
            "x s",
            "f",
            &[],
        ),
        start(&[0, 3]).node("Constant", "", "s", &shape(&[0, -1])).node("Reshape", "x s", "f", &[]),
        start(&[3]).node("Constant", "", "s", &[attr_ints("value_ints", &[-1, 3])]).node(
            "Reshape",
            "x s",
            "f",
            &[],
        ),
        start(&[1, 1, 3]).node("Squeeze", "x", "s", &[]).node(
            "Unsqueeze",
            "s",
            "f",
            &[attr_ints("axes", &[0])],
        ),
        start(&[1, 1, 3]).constant(ints("a", &[-2])).node("Squeeze", "x a", "f", &[]),
        start(&[1, 3]).node("Identity", "x", "i", &[]).node("Dropout", "i", "d", &[]).node(
            "Cast",
            "d",
            "f",
            &[attr("to", 1)],
        ),
    ];
    for file in forms {
        close(&file.node("Gemm", "f w b", "y", &[]), 3, 2e-3, |x| affine(x, 1.0, 1.0));
    }
}

#[test]
fn constant_arithmetic_folds() {
    let c = || {
        start(&[1, 3]).constant(raw("c", &[1, 3], &[2.0, 0.5, -1.0])).constant(raw(
            "k",
            &[],
            &[4.0],
        ))
    };
    let gemm = |file: File| file.node("Gemm", "f w b", "y", &[]);
    close(&gemm(c().node("Mul", "x c", "f", &[])), 3, 6e-3, |x| {
        affine(&[2.0 * x[0], 0.5 * x[1], -x[2]], 1.0, 1.0)
    });
    close(&gemm(c().node("Sub", "x c", "f", &[])), 3, 6e-3, |x| {
        affine(&[x[0] - 2.0, x[1] - 0.5, x[2] + 1.0], 1.0, 1.0)
    });
    close(&gemm(c().node("Sub", "c x", "f", &[])), 3, 6e-3, |x| {
        affine(&[2.0 - x[0], 0.5 - x[1], -1.0 - x[2]], 1.0, 1.0)
    });
    close(&gemm(c().node("Div", "x k", "f", &[])), 3, 6e-3, |x| {
        affine(&[x[0] / 4.0, x[1] / 4.0, x[2] / 4.0], 1.0, 1.0)
    });
    let after = c().node("Gemm", "x w b", "g", &[]).node("Div", "g k", "d", &[]).node(
        "Add",
        "d b",
        "y",
        &[],
    );
    close(&after, 3, 6e-3, |x| affine(x, 0.25, 1.25));
    let norm = start(&[1, 3])
        .constant(raw("s", &[2], &[2.0, 2.0]))
        .constant(raw("v", &[2], &[4.0, 4.0]))
        .node("MatMul", "x w", "m", &[])
        .node("BatchNormalization", "m s b b v", "y", &[attr_f("epsilon", 0.0)]);
    close(&norm, 3, 6e-3, |x| affine(x, 1.0, 0.0));
}

fn relu(x: f64) -> f64 {
    x.max(0.0)
}

fn square(x: f64) -> f64 {
    x * x
}

/// `W2·f(W·x + B)` with `W2 = [[1, 1], [1, −1]]`.
fn two(x: &[f32], f: fn(f64) -> f64) -> Vec<f64> {
    let h: Vec<f64> = affine(x, 1.0, 1.0).into_iter().map(f).collect();
    vec![h[0] + h[1], h[0] - h[1]]
}

fn hidden() -> File {
    start(&[1, 3]).constant(raw("w2", &[2, 2], &[1.0, 1.0, 1.0, -1.0])).node(
        "Gemm",
        "x w b",
        "g",
        &[],
    )
}

#[test]
fn relu_networks() {
    let net = hidden().node("Relu", "g", "r", &[]).node("MatMul", "r w2", "y", &[]);
    close(&net, 3, 5e-3, |x| two(x, relu));
    let kinds = |c: &Compiled| c.report.layers.iter().map(|l| l.op).collect::<Vec<_>>();
    assert_eq!(kinds(&must(&net, &fine())), ["fully_connected", "relu", "fully_connected"]);

    let twice = hidden().node("Relu", "g", "r", &[]).node("Relu", "r", "q", &[]).node(
        "MatMul",
        "q w2",
        "y",
        &[],
    );
    let compiled = must(&twice, &fine());
    assert_eq!(kinds(&compiled).len(), 3);
    assert!(
        compiled.report.notes.iter().any(|n| n.contains("n2 dropped")),
        "{:?}",
        compiled.report.notes
    );

    let last = hidden().node("Relu", "g", "y", &[]);
    close(&last, 3, 5e-3, |x| affine(x, 1.0, 1.0).into_iter().map(relu).collect());

    let first = start(&[1, 3]).node("Relu", "x", "r", &[]).node("Gemm", "r w b", "y", &[]);
    close(&first, 3, 5e-3, |x| affine(&[x[0].max(0.0), x[1].max(0.0), x[2].max(0.0)], 1.0, 1.0));
}

#[test]
fn square_networks() {
    let mul = hidden().node("Mul", "g g", "s", &[]).node("MatMul", "s w2", "y", &[]);
    let pow = hidden().constant(raw("two", &[], &[2.0])).node("Pow", "g two", "s", &[]).node(
        "MatMul",
        "s w2",
        "y",
        &[],
    );
    for net in [mul, pow] {
        close(&net, 3, 2e-2, |x| two(x, square));
        let all = ops(&must(&net, &fine()));
        let [
            _,
            Op::Activation { function, ring_out, .. },
            Op::Square { ring, .. },
            Op::FullyConnected { ring: next, .. },
            _,
        ] = all[..]
        else {
            panic!("{all:?}")
        };
        assert_eq!((function, ring_out, ring), (Function::Identity, next, next));
    }
    let fourth = hidden().node("Mul", "g g", "s", &[]).node("Mul", "s s", "t", &[]).node(
        "MatMul",
        "t w2",
        "y",
        &[],
    );
    close(&fourth, 3, 0.3, |x| two(x, |y| y.powi(4)));
    let last = hidden().node("Mul", "g g", "y", &[]);
    close(&last, 3, 2e-2, |x| affine(x, 1.0, 1.0).into_iter().map(square).collect());
    let first = start(&[1, 3]).node("Mul", "x x", "s", &[]).node("Relu", "s", "r", &[]).node(
        "Gemm",
        "r w b",
        "y",
        &[],
    );
    close(&first, 3, 5e-3, |x| affine(&[x[0] * x[0], x[1] * x[1], x[2] * x[2]], 1.0, 1.0));
    let both = hidden().node("Relu", "g", "r", &[]).node("Mul", "r r", "s", &[]).node(
        "MatMul",
        "s w2",
        "y",
        &[],
    );
    close(&both, 3, 2e-2, |x| two(x, |y| square(relu(y))));
}

#[test]
fn layers_in_a_row_fold_or_are_separated() {
    let folded = hidden().node("MatMul", "g w2", "y", &[]);
    close(&folded, 3, 6e-3, |x| two(x, |y| y));
    assert_eq!(ops(&must(&folded, &fine())).len(), 2);

    // 3 → 1 → 3: folding would make 9 weights of 6.
    let bottleneck = File::new(&[1, 3])
        .constant(raw("a", &[3, 1], &[1.0, 0.5, -0.5]))
        .constant(raw("c", &[1, 3], &[1.0, -1.0, 0.5]))
        .node("MatMul", "x a", "m", &[])
        .node("MatMul", "m c", "y", &[]);
    close(&bottleneck, 3, 6e-3, |x| {
        let m = f64::from(x[0] + 0.5 * x[1] - 0.5 * x[2]);
        vec![m, -m, 0.5 * m]
    });
    let separated = ops(&must(&bottleneck, &fine()));
    assert!(
        matches!(separated[1], Op::Activation { function: Function::Identity, .. }),
        "{separated:?}"
    );
}

#[test]
fn what_the_client_learns() {
    let arg = [attr("axis", -1)];
    let index = hidden().node("Softmax", "g", "p", &[]).node("ArgMax", "p", "a", &arg).node(
        "Squeeze",
        "a",
        "y",
        &[],
    );
    let compiled = must(&index, &fine());
    assert!(matches!(ops(&compiled)[..], [_, Op::Argmax { len: 2, .. }]));
    let asked = must(&index, &CompileOptions { output: Some(Output::Logits), ..fine() });
    assert!(matches!(ops(&asked)[..], [_, Op::Reveal { .. }]) && asked.report.notes.len() == 2);
    let logits = hidden().node("LogSoftmax", "g", "y", &[]);
    let asked = must(&logits, &CompileOptions { output: Some(Output::Argmax), ..fine() });
    assert_eq!(ops(&asked), ops(&compiled));
    close(&logits, 3, 2e-3, |x| affine(x, 1.0, 1.0));
    let mut numbers = Numbers::seeded(1);
    for _ in 0..50 {
        let x = numbers.units(3);
        let y = affine(&x, 1.0, 1.0);
        if (y[0] - y[1]).abs() > 1e-2 {
            assert_eq!(run(&compiled, &x).1, usize::from(y[1] > y[0]));
        }
    }
}

#[test]
fn refusals_name_the_node_and_the_remedy() {
    let nan = |value| {
        let mut w = columns();
        w[4] = value;
        File::new(&[1, 3]).constant(raw("w", &[3, 2], &w)).node("MatMul", "x w", "y", &[])
    };
    let cases: [(&str, File, &[&str]); 20] = [
        (
            "operator",
            start(&[1, 3]).node("Sin", "x", "y", &[]),
            &["node 0 \"n0\" (Sin)", "Supported are Gemm"],
        ),
        (
            "convolution",
            start(&[1, 1, 3, 1]).node("Conv", "x w", "y", &[]),
            &["(Conv)", "shape [3, 2]: 4 dimensions"],
        ),
        ("NaN", nan(f32::NAN), &["node 0", "weight [0, 2]", "not a finite"]),
        ("infinity", nan(f32::NEG_INFINITY), &["not a finite"]),
        (
            "NaN bias",
            start(&[1, 3]).constant(raw("n", &[2], &[0.0, f32::NAN])).node(
                "Gemm",
                "x w n",
                "y",
                &[],
            ),
            &["bias 1"],
        ),
        (
            "NaN summand",
            hidden().constant(raw("n", &[], &[f32::NAN])).node("Add", "g n", "y", &[]),
            &["node 1", "finite"],
        ),
        (
            "division by 0",
            hidden().constant(raw("n", &[], &[0.0])).node("Div", "g n", "y", &[]),
            &["node 1", "zero"],
        ),
        (
            "cycle",
            start(&[1, 3]).node("Add", "x z", "y", &[]).node("Relu", "y", "z", &[]),
            &["cycle"],
        ),
        ("own output", start(&[1, 3]).node("Relu", "y", "y", &[]), &["cycle"]),
        (
            "missing tensor",
            start(&[1, 3]).node("Gemm", "x nothing b", "y", &[]),
            &["node 0", "`nothing`, which nothing makes"],
        ),
        ("missing weights", start(&[1, 3]).node("MatMul", "x", "y", &[]), &["input 1 is missing"]),
        ("shape", start(&[1, 4]).node("Gemm", "x w b", "y", &[]), &["rows of 3 numbers", "[1, 4]"]),
        (
            "dynamic row",
            start(&[1, 0]).node("Gemm", "x w b", "y", &[]),
            &["dimension 1 is not fixed"],
        ),
        (
            "reshape",
            start(&[1, 3]).constant(ints("s", &[2, -1])).node("Reshape", "x s", "y", &[]),
            &["does not become [2, -1]"],
        ),
        ("computed shape", start(&[1, 3]).node("Reshape", "x x", "y", &[]), &["node 0"]),
        ("dead end", hidden().node("Relu", "g", "z", &[]), &["nothing makes the output `y`"]),
        (
            "made twice",
            hidden().node("Relu", "g", "y", &[]).node("Relu", "g", "y", &[]),
            &["node 2", "already makes"],
        ),
        (
            "softmax inside",
            hidden().node("Softmax", "g", "s", &[]).node("MatMul", "s w2", "y", &[]),
            &["node 2", "follows node 1"],
        ),
        (
            "softmax axis",
            start(&[1, 3]).node("Softmax", "x", "y", &[attr("axis", 0)]),
            &["not the whole row"],
        ),
        (
            "training",
            start(&[1, 3]).constant(ints("t", &[1])).node("Dropout", "x - t", "y", &[]),
            &["training"],
        ),
    ];
    for (case, file, parts) in cases {
        let text = refusal(&file.bytes());
        for part in parts {
            assert!(text.contains(part), "{case}: \"{text}\" lacks \"{part}\"");
        }
    }
    let mut old = hidden();
    old.opset = 5;
    assert!(refusal(&old.bytes()).contains("too old"));
    let mut foreign = hidden().node("Relu", "g", "y", &[]);
    foreign.graph.node[1].domain = "com.microsoft".into();
    assert!(refusal(&foreign.bytes()).contains("com.microsoft"));
}

#[test]
fn declared_sizes_are_not_believed() {
    let w = |dims: &[i64]| TensorProto { dims: dims.to_vec(), ..raw("w", &[], &columns()) };
    let base = |w: TensorProto| File::new(&[1, 3]).constant(w).node("MatMul", "x w", "y", &[]);
    let huge: [&[i64]; 5] =
        [&[1 << 40, 1 << 40], &[i64::MAX, 2], &[-3, -2], &[3, 1 << 32], &[0, i64::MAX]];
    for dims in huge {
        assert!(refusal(&base(w(dims)).bytes()).contains("shape"), "{dims:?}");
    }
    for dims in [&[1, 1 << 40][..], &[1 << 33, 1 << 33], &[1, i64::MAX, i64::MAX]] {
        let bytes =
            File::new(dims).constant(raw("k", &[], &[2.0])).node("Mul", "x k", "y", &[]).bytes();
        assert!(refusal(&bytes).contains("too large"), "{dims:?}");
    }
    // Two bytes per node: the file is small, the structures would not be.
    let nodes = [0x0a, 0x00].repeat(2_000_000);
    let mut bytes = vec![0x3a];
    prost::encoding::encode_varint(nodes.len() as u64, &mut bytes);
    bytes.extend(nodes);
    assert!(refusal(&bytes).contains("more than"));
}

#[test]
fn damaged_files_are_refused_without_a_panic() {
    let file = hidden().node("Relu", "g", "r", &[]).constant(ints("s", &[1, -1])).node(
        "Reshape",
        "r s",
        "q",
        &[],
    );
    let bytes = file.node("MatMul", "q w2", "z", &[]).node("Mul", "z z", "y", &[]).bytes();
    assert!(compile(&bytes, &fine(), None).is_ok());
    for cut in (0..bytes.len()).step_by(7) {
        refusal(&bytes[..cut]);
    }
    // A flipped bit may go unnoticed in a weight, but never panics.
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << bit;
            let _ = compile(&damaged, &fine(), None);
        }
    }
}

#[test]
fn options_are_checked() {
    let bytes = hidden().node("Relu", "g", "y", &[]).bytes();
    let text = |options: CompileOptions, data: Option<&Array>| {
        compile(&bytes, &options, data).map(|_| ()).unwrap_err().to_string()
    };
    let none = CompileOptions::default();
    let both = text(none.clone(), None);
    assert!(both.contains("--calibrate") && both.contains("--input-range"), "{both}");
    for range in [(1.0, 0.0), (0.0, 0.0), (f32::NAN, 1.0), (0.0, f32::INFINITY)] {
        assert!(
            text(CompileOptions { input_range: Some(range), ..none.clone() }, None)
                .contains("range"),
            "{range:?}"
        );
    }
    for bits in [0, 1, 13, 255] {
        assert!(text(CompileOptions { weight_bits: bits, ..fine() }, None).contains("weight bits"));
    }
    for bits in [0, 1, 17, 255] {
        assert!(
            text(CompileOptions { activation_bits: bits, ..fine() }, None)
                .contains("activation bits")
        );
    }
    assert!(
        text(CompileOptions { name: Some("n".repeat(33)), ..fine() }, None).contains("32 bytes")
    );
    let array =
        |shape: &[usize], x: f32| Array::new(shape, vec![x; shape.iter().product()]).unwrap();
    assert!(text(none.clone(), Some(&array(&[5, 4], 1.0))).contains("3 numbers per row"));
    assert!(text(none.clone(), Some(&array(&[0, 3], 1.0))).contains("no rows"));
    assert!(text(none.clone(), Some(&array(&[5, 3], f32::NAN))).contains("row 0, column 0"));
    assert!(text(none.clone(), Some(&array(&[5, 3], 0.0))).contains("range"));
    assert!(compile(&bytes, &none, Some(&array(&[3], 1.0))).is_ok(), "one row");
}

#[test]
fn layers_that_do_not_fit_are_named() {
    // 2^20 inputs of 16 bits times weights of 12 bits: 48 bits.
    let n = 1 << 20;
    let file = File::new(&[1, n]).constant(raw("w", &[n, 1], &vec![1.0; n as usize])).node(
        "MatMul",
        "x w",
        "y",
        &[],
    );
    let options = CompileOptions { activation_bits: 16, ..fine() };
    let error = compile(&file.bytes(), &options, None).unwrap_err();
    let Error::Layer { layer, what } = &error else { panic!("{error}") };
    assert_eq!(layer, "n0");
    assert!(
        what.contains("--weight-bits") && what.contains("--activation-bits") && what.contains("44"),
        "{what}"
    );
    // A bias far beyond the weights' grid.
    let bias =
        start(&[1, 3]).constant(raw("n", &[2], &[1e30, 0.0])).node("Gemm", "x w n", "y", &[]);
    assert!(refusal(&bias.bytes()).contains("layer n0"));
}

#[test]
fn squares_give_up_bits_rather_than_the_ring() {
    let n = 64;
    // One network that does not fit: others might.
    let mut numbers = Numbers::new(3);
    let mut file = File::new(&[1, n]).node("Identity", "x", "h0", &[]);
    for l in 0..3 {
        let w: Vec<f32> = numbers.units((n * n) as usize).iter().map(|w| w / 4.0).collect();
        let (w_name, g, h) = (format!("w{l}"), format!("g{l}"), format!("h{}", l + 1));
        file = file.constant(raw(&w_name, &[n, n], &w)).node(
            "MatMul",
            &format!("h{l} {w_name}"),
            &g,
            &[],
        );
        file = file.node("Mul", &format!("{g} {g}"), &h, &[]);
    }
    let file = file.node("Relu", "h3", "y", &[]);
    let rows = Array::new(&[20, n as usize], numbers.units(20 * n as usize)).unwrap();
    let options = CompileOptions { input_range: Some((-1.0, 1.0)), ..Default::default() };
    let compiled = compile(&file.bytes(), &options, Some(&rows)).unwrap();
    assert!(
        compiled.report.notes.iter().any(|n| n.contains("more bits cut off")),
        "{}",
        compiled.report
    );
    exact(&compiled, &mut numbers, 40);
}

/// A network of one to three layers with random widths, activations and weights.
fn random(numbers: &mut Numbers) -> (File, usize) {
    let inputs = 1 + numbers.below(30);
    let mut file = File::new(&[1, inputs as i64]);
    let (mut at, mut width) = ("x".to_string(), inputs);
    let layers = 1 + numbers.below(3);
    for l in 0..layers {
        let outputs = 1 + numbers.below(20);
        let gain = [0.01, 1.0, 30.0][numbers.below(3) as usize];
        let w: Vec<f32> =
            numbers.units((width * outputs) as usize).iter().map(|w| w * gain).collect();
        let b: Vec<f32> = numbers.units(outputs as usize).iter().map(|b| b * gain).collect();
        let (wn, bn, g) = (format!("w{l}"), format!("b{l}"), format!("g{l}"));
        file = file.constant(raw(&wn, &[width as i64, outputs as i64], &w)).constant(raw(
            &bn,
            &[outputs as i64],
            &b,
        ));
        file = file.node("Gemm", &format!("{at} {wn} {bn}"), &g, &[]);
        (at, width) = (g, outputs);
        let next = format!("h{l}");
        match numbers.below(4) {
            0 if l + 1 == layers => {}
            0 | 1 => file = file.node("Mul", &format!("{at} {at}"), &next, &[]),
            _ => file = file.node("Relu", &at, &next, &[]),
        }
        if file.graph.node.last().is_some_and(|n| n.output[0] == next) {
            at = next;
        }
    }
    file.graph.output[0].name = at;
    (file, inputs as usize)
}

#[test]
fn random_networks_never_overflow() {
    let mut numbers = Numbers::seeded(42);
    let (mut compiled_all, mut tight) = (0, 0);
    for _ in 0..300 {
        let (file, inputs) = random(&mut numbers);
        let options = CompileOptions {
            input_range: Some([(0.0, 1.0), (-1.0, 1.0), (-0.1, 9.0)][numbers.below(3) as usize]),
            weight_bits: 2 + numbers.below(11) as u8,
            activation_bits: 2 + numbers.below(9) as u8,
            ..Default::default()
        };
        // Rows that say less than the range: calibration must not matter for safety.
        let tiny: Vec<f32> = numbers.units(3 * inputs).iter().map(|x| x * 0.1).collect();
        let rows = Array::new(&[3, inputs], tiny).unwrap();
        let calibrate = (numbers.below(2) == 0).then_some(&rows);
        match compile(&file.bytes(), &options, calibrate) {
            Ok(compiled) => {
                compiled_all += 1;
                let used = exact(&compiled, &mut numbers, 40);
                tight += usize::from(used[0] == compiled.report.layers[0].proven_bits);
            }
            Err(Error::Layer { .. }) => {}
            // Squares of squares with large weights.
            Err(Error::Option(what)) if what.contains("outside the range of f32") => {}
            Err(error) => panic!("{error}: {options:?}"),
        }
    }
    assert!(compiled_all > 200, "only {compiled_all} of 300 compiled");
    assert!(
        tight * 10 > compiled_all * 8,
        "the first layer's bound is reached in {tight} of {compiled_all} only"
    );
}

#[test]
fn calibration_is_reported() {
    let net = hidden().node("Relu", "g", "r", &[]).node("MatMul", "r w2", "y", &[]);
    let rows = Array::new(&[50, 3], Numbers::seeded(5).units(150)).unwrap();
    let compiled = compile(&net.bytes(), &CompileOptions::default(), Some(&rows)).unwrap();
    let calibration = compiled.report.calibration.as_ref().unwrap();
    assert!(
        calibration.rows == 50 && calibration.same_argmax >= 48 && calibration.max_abs_error < 0.05,
        "{calibration:?}"
    );
    let peak = compiled.report.layers[1].calibrated_max.unwrap();
    let steps = peak / compiled.report.layers[1].scale;
    assert!((127.0..=256.0).contains(&steps), "8 bits are used: {steps}");
    let json: serde_json::Value = serde_json::to_value(&compiled.report).unwrap();
    assert_eq!(json["layers"][1]["op"], "relu");
    assert_eq!(json["calibration"]["rows"], 50);
}

#[test]
fn rounding_to_nearest_beats_the_floor() {
    // The mean error of the hidden values is far below the half step that a floor would leave.
    let file = hidden().node("Relu", "g", "r", &[]).node("MatMul", "r w2", "y", &[]);
    let options = CompileOptions { activation_bits: 5, ..fine() };
    let compiled = must(&file, &options);
    let step = compiled.report.layers[1].scale;
    let mut numbers = Numbers::seeded(11);
    let (mut sum, n) = (0.0, 4000);
    for _ in 0..n {
        // On the input's own grid, so that only the hidden rounding is left.
        let x: Vec<f32> = (0..3).map(|_| (numbers.below(31) as f32 - 15.0) / 15.0).collect();
        sum += (run(&compiled, &x).0[0] - two(&x, relu)[0]) / step;
    }
    let mean = sum / f64::from(n);
    assert!(mean.abs() < 0.15, "mean error {mean} steps");
}

#[test]
fn models_digits_relu() {
    accuracy("digits_relu", "digits_relu");
}

#[test]
fn models_fig10_square() {
    accuracy("fig10_square", "mnist");
}

#[test]
fn models_sensor() {
    accuracy("sensor", "sensor");
}

#[test]
fn the_command_compiles_and_runs() {
    let folder = std::env::temp_dir().join(format!("minionn-compile-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = |name: &str| folder.join(name);
    let command = |args: &[&str]| {
        std::process::Command::new(env!("CARGO_BIN_EXE_minionn"))
            .args(args)
            .current_dir(&folder)
            .output()
            .unwrap()
    };
    std::fs::write(path("m.onnx"), hidden().node("ArgMax", "g", "y", &[attr("axis", 1)]).bytes())
        .unwrap();
    npy::write(&path("x.npy"), &Array::new(&[4, 3], Numbers::seeded(2).units(12)).unwrap())
        .unwrap();

    let compiled = command(&[
        "compile",
        "m.onnx",
        "-o",
        "m.minionn",
        "--plan",
        "m.plan",
        "--input-range",
        "-1,1",
        "--output",
        "logits",
        "--json",
    ]);
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    let report: serde_json::Value = serde_json::from_slice(&compiled.stdout).unwrap();
    assert_eq!(report["output"]["kind"], "logits");
    assert!(Plan::parse(&std::fs::read(path("m.plan")).unwrap()).is_ok());
    let plain = |model: &str| -> serde_json::Value {
        let plain = command(&["plain", model, "--input", "x.npy", "--json"]);
        assert!(plain.status.success(), "{}", String::from_utf8_lossy(&plain.stderr));
        serde_json::from_slice(&plain.stdout).unwrap()
    };
    let logits = plain("m.minionn");
    assert_eq!(logits["predictions"].as_array().unwrap().len(), 4);
    assert_eq!(logits["predictions"][0]["logits"].as_array().unwrap().len(), 2);

    assert!(
        command(&["compile", "m.onnx", "--input-range=-1,1"]).status.success(),
        "the model's name follows from the network's"
    );
    let index = plain("m.minionn");
    assert!(index["predictions"][3]["logits"].is_null());
    assert_eq!(index["predictions"][3]["argmax"], logits["predictions"][3]["argmax"]);

    // A cause is said once.
    let refused = command(&["compile", "x.npy"]);
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(text.contains("NumPy array") && !refused.status.success(), "{text}");
    std::fs::write(path("damaged.onnx"), [0x3a, 0xff, 0xff, 0x03, 1]).unwrap();
    let refused = command(&["compile", "damaged.onnx"]);
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(text.matches("Protobuf").count(), 1, "{text}");
    let refused = command(&["compile", "m.onnx"]);
    assert!(
        !refused.status.success()
            && String::from_utf8_lossy(&refused.stderr).contains("--calibrate")
    );
    let network = std::fs::read(path("m.onnx")).unwrap();
    for files in [
        ["-o", "./m.onnx", "--plan", "p"],
        ["-o", "m", "--plan", "m.onnx"],
        ["-o", "m", "--plan", "m"],
    ] {
        let refused = command(&[&["compile", "m.onnx", "--input-range=-1,1"], &files[..]].concat());
        let text = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && text.contains("written over the"), "{text}");
    }
    assert_eq!(std::fs::read(path("m.onnx")).unwrap(), network);
    assert!(!path("m").exists() && !path("p").exists());
    let refused = command(&["plain", "x.npy", "--input", "x.npy"]);
    assert!(
        !refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("x.npy")
    );
    std::fs::remove_dir_all(&folder).unwrap();
}

/// Rows of weights whose sizes differ a hundredfold, ReLU, and a layer that evens that out.
fn uneven() -> (File, Array) {
    let mut numbers = Numbers::seeded(21);
    let gains: Vec<f32> = (0..8).map(|i| 0.01_f32.powf(i as f32 / 7.0)).collect();
    let first: Vec<f32> =
        numbers.units(16 * 8).iter().enumerate().map(|(i, w)| w * gains[i % 8]).collect();
    let second: Vec<f32> =
        numbers.units(8 * 3).iter().enumerate().map(|(i, w)| w / gains[i / 3]).collect();
    let file = File::new(&[1, 16])
        .constant(raw("a", &[16, 8], &first))
        .constant(raw("c", &[8, 3], &second))
        .node("MatMul", "x a", "g", &[])
        .node("Relu", "g", "r", &[])
        .node("MatMul", "r c", "y", &[]);
    (file, Array::new(&[50, 16], numbers.units(50 * 16)).unwrap())
}

#[test]
fn scales_for_every_channel_keep_small_ones() {
    let (file, rows) = uneven();
    let error = |per_channel| {
        let options =
            CompileOptions { input_range: Some((-1.0, 1.0)), per_channel, ..Default::default() };
        let compiled = compile(&file.bytes(), &options, Some(&rows)).unwrap();
        exact(&compiled, &mut Numbers::seeded(4), 30);
        compiled.report.calibration.unwrap().max_abs_error
    };
    let (one, each) = (error(false), error(true));
    assert!(each * 4.0 < one, "{each} against {one}");
}

#[test]
fn deep_networks_stop_at_what_they_reach() {
    const LAYERS: usize = 28;
    let mut numbers = Numbers::seeded(31);
    let mut file = File::new(&[1, 16]).node("Identity", "x", "h0", &[]);
    for l in 0..LAYERS {
        let w: Vec<f32> = numbers.units(256).iter().map(|w| w * 0.6).collect();
        let (wn, g, h) = (format!("w{l}"), format!("g{l}"), format!("h{}", l + 1));
        file = file
            .constant(raw(&wn, &[16, 16], &w))
            .node("MatMul", &format!("h{l} {wn}"), &g, &[])
            .node("Relu", &g, &h, &[]);
    }
    let bytes = file.node("Identity", &format!("h{LAYERS}"), "y", &[]).bytes();
    let rows = Array::new(&[40, 16], numbers.units(40 * 16)).unwrap();
    let proven = CompileOptions { input_range: Some((-1.0, 1.0)), ..Default::default() };
    let error = compile(&bytes, &proven, Some(&rows)).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("--saturate") && error.contains("--weight-bits"), "{error}");
    let compiled =
        compile(&bytes, &CompileOptions { saturate: true, ..proven }, Some(&rows)).unwrap();
    exact(&compiled, &mut Numbers::seeded(5), 40);
    let report = compiled.report;
    let calibration = report.calibration.unwrap();
    assert!(calibration.max_abs_error < 0.3 * calibration.max_abs_logit, "{calibration:?}");
    assert!(report.layers.iter().all(|layer| layer.ring <= 26), "{:?}", report.layers);
}

#[test]
fn curves_keep_the_error_that_is_asked_for() {
    let bytes =
        start(&[1, 3]).node("Gemm", "x w b", "g", &[]).node("Sigmoid", "g", "y", &[]).bytes();
    let error = |options: &CompileOptions| {
        let compiled = compile(&bytes, options, None).unwrap();
        let curve =
            compiled.report.layers.iter().find(|layer| layer.op == "spline").unwrap().clone();
        (curve.pieces.unwrap(), curve.curve_error.unwrap())
    };
    let options = CompileOptions { input_range: Some((-4.0, 4.0)), ..Default::default() };
    let (few, coarse) = error(&CompileOptions { segments: 2, ..options.clone() });
    let (_, fine) = error(&options);
    assert!(few <= 2 && fine < 0.006 && coarse > 3.0 * fine, "{few} {coarse} {fine}");
    assert!(error(&CompileOptions { max_error: Some(0.05), ..options.clone() }).1 <= 0.05);
    let text = compile(&bytes, &CompileOptions { max_error: Some(1e-5), ..options.clone() }, None)
        .map(|_| ())
        .unwrap_err()
        .to_string();
    assert!(text.contains("--max-error") && text.contains("--activation-bits"), "{text}");
    for segments in [0, 3, 64] {
        assert!(compile(&bytes, &CompileOptions { segments, ..options.clone() }, None).is_err());
    }
}

/// An exponential that is stretched is flat only far from 0; and one that its steps can't follow is
/// not passed over in silence.
#[test]
fn curves_are_followed_to_where_they_are_flat() {
    let compiled = |op: &str, alpha: f32, reach: f32| {
        let file = File::new(&[1, 4]).node(op, "x", "y", &[attr_f("alpha", alpha)]);
        let options = CompileOptions { input_range: Some((-reach, reach)), ..fine() };
        let report = must(&file, &options).report;
        let error = report.layers.iter().find_map(|layer| layer.curve_error).unwrap();
        (error, report.notes.join(" "))
    };
    for alpha in [0.01, 1.0, 50.0, 1e6] {
        let (error, notes) = compiled("Celu", alpha, 8.0 * alpha);
        assert!(error < 0.01 * f64::from(alpha) && notes.is_empty(), "{alpha}: {error} {notes}");
    }
    let (error, notes) = compiled("Elu", 1e4, 1.0);
    assert!(error > 1e3 && notes.contains("off by up to"), "{error} {notes}");
}

/// What makes nothing but zeros reads all bits of the input all the same.
#[test]
fn an_input_that_does_not_matter_is_held() {
    let options = CompileOptions { activation_bits: 16, ..fine() };
    let zeros = || File::new(&[1, 3]).constant(raw("zero", &[3, 3], &[0.0; 9]));
    let pruned = zeros().node("MatMul", "x zero", "y", &[]);
    let product = zeros().node("MatMul", "x zero", "z", &[]).node("Mul", "z x", "y", &[]);
    let difference = zeros().node("Sub", "x x", "z", &[]).node("Mul", "z x", "y", &[]);
    for file in [pruned, product, difference] {
        assert_eq!(run(&must(&file, &options), &[1.0, -1.0, 0.3]).0, [0.0; 3]);
    }
}

/// Only a square may cost its circuit bits; and sums that meet on ever more paths are looked
/// through once.
#[test]
fn what_is_too_wide_is_refused_at_once() {
    let mut file = hidden().node("Relu", "g", "h0", &[]).node("Add", "h0 g", "h1", &[]);
    for l in 1..90 {
        file = file.node("Add", &format!("h{l} h{}", l - 1), &format!("h{}", l + 1), &[]);
    }
    let error = refusal(&file.node("MatMul", "h90 w2", "y", &[]).bytes());
    assert!(error.contains("bits, the widest ring has 44"), "{error}");
    assert!(!error.contains("square"), "{error}");
}
