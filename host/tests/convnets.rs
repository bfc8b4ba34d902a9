//! The compiler on convolutions and pooling.

mod common;

use common::exact::{accuracy, exact, run};
use common::{File, Numbers, attr, attr_f, attr_ints, attr_s, ints, raw};
use minionn_core::plan::{Convolution, Function, Op, Plan};
use minionn_host::compile::{CompileOptions, Compiled, Error, compile};
use minionn_host::npy::Array;
use minionn_host::onnx::proto::AttributeProto;

fn fine() -> CompileOptions {
    CompileOptions {
        input_range: Some((-1.0, 1.0)),
        weight_bits: 12,
        activation_bits: 12,
        ..Default::default()
    }
}

fn must(file: &File) -> Compiled {
    compile(&file.bytes(), &fine(), None).unwrap_or_else(|e| panic!("{e}"))
}

fn ops(compiled: &Compiled) -> Vec<Op> {
    Plan::parse(&compiled.plan).unwrap().ops().collect()
}

fn refusal(file: &File) -> String {
    compile(&file.bytes(), &fine(), None).map(|_| ()).expect_err("must be refused").to_string()
}

fn close(case: &str, file: &File, inputs: usize, expected: impl Fn(&[f64]) -> Vec<f64>) {
    let compiled = must(file);
    let mut numbers = Numbers::seeded(7);
    for _ in 0..5 {
        let x = numbers.units(inputs);
        let (got, want) =
            (run(&compiled, &x).0, expected(&x.iter().map(|&x| f64::from(x)).collect::<Vec<_>>()));
        assert_eq!(got.len(), want.len(), "{case}");
        for (g, w) in got.iter().zip(&want) {
            assert!((g - w).abs() <= 1e-2, "{case}: {got:?} instead of {want:?}");
        }
    }
}

/// The elements under every window of every channel, `None` for padding; from ONNX's definition.
fn windows(x: &[f64], l: &Convolution, channel: i64) -> Vec<Vec<Option<f64>>> {
    let ([_, h, w], [sh, sw], [dh, dw], [kh, kw]) = (
        l.input.map(i64::from),
        l.stride.map(i64::from),
        l.dilation.map(i64::from),
        l.kernel.map(i64::from),
    );
    let [top, left, bottom, right] = l.pads.map(i64::from);
    let (ho, wo) = (
        (h + top + bottom - dh * (kh - 1) - 1) / sh + 1,
        (w + left + right - dw * (kw - 1) - 1) / sw + 1,
    );
    let at = |row: i64, column: i64| {
        ((0..h).contains(&row) && (0..w).contains(&column))
            .then(|| x[((channel * h + row) * w + column) as usize])
    };
    let window = |y: i64, z: i64| {
        (0..kh * kw).map(move |i| (y * sh - top + i / kw * dh, z * sw - left + i % kw * dw))
    };
    (0..ho * wo)
        .map(|i| window(i / wo, i % wo).map(|(row, column)| at(row, column)).collect())
        .collect()
}

fn convolution(x: &[f64], l: &Convolution, weights: &[f32], biases: &[f32]) -> Vec<f64> {
    let (per_in, per_out) = (l.input[0] / l.groups, l.outputs / l.groups);
    let kernel = (l.kernel[0] * l.kernel[1]) as usize;
    let mut all = Vec::new();
    for o in 0..l.outputs {
        let channels: Vec<_> =
            (0..per_in).map(|c| windows(x, l, i64::from(o / per_out * per_in + c))).collect();
        for place in 0..channels[0].len() {
            let mut sum = f64::from(biases[o as usize]);
            for (c, channel) in channels.iter().enumerate() {
                let row = &weights[(o as usize * per_in as usize + c) * kernel..][..kernel];
                sum += channel[place]
                    .iter()
                    .zip(row)
                    .map(|(x, &w)| x.unwrap_or(0.0) * f64::from(w))
                    .sum::<f64>();
            }
            all.push(sum);
        }
    }
    all
}

fn pooled(x: &[f64], l: &Convolution, f: impl Fn(&[Option<f64>]) -> f64) -> Vec<f64> {
    (0..i64::from(l.outputs))
        .flat_map(|c| windows(x, l, c).iter().map(|w| f(w)).collect::<Vec<_>>())
        .collect()
}

fn most(window: &[Option<f64>]) -> f64 {
    window.iter().flatten().copied().fold(f64::NEG_INFINITY, f64::max)
}

/// With padding counted.
fn mean(window: &[Option<f64>]) -> f64 {
    window.iter().flatten().sum::<f64>() / window.len() as f64
}

fn dims(shape: [u32; 3]) -> Vec<i64> {
    [&[1][..], &shape.map(i64::from)].concat()
}

/// A convolution with random weights under attributes; `flat`: in one dimension.
fn conv(
    l: &Convolution,
    attributes: &[AttributeProto],
    flat: bool,
    seed: u64,
) -> (File, Vec<f32>, Vec<f32>) {
    let mut numbers = Numbers::seeded(seed);
    let (w, b) = (numbers.units(l.weights() as usize), numbers.units(l.outputs as usize));
    let [kh, kw] = l.kernel.map(i64::from);
    let (mut input, mut shape) =
        (dims(l.input), vec![i64::from(l.outputs), i64::from(l.input[0] / l.groups), kh, kw]);
    if flat {
        input.remove(2);
        shape.remove(2);
    }
    let file = File::new(&input).constant(raw("w", &shape, &w)).constant(raw(
        "b",
        &[i64::from(l.outputs)],
        &b,
    ));
    (file.node("Conv", "x w b", "y", attributes), w, b)
}

const PLAIN: Convolution = Convolution {
    input: [2, 6, 7],
    outputs: 4,
    kernel: [3, 2],
    stride: [1; 2],
    pads: [0; 4],
    dilation: [1; 2],
    groups: 1,
};

#[test]
fn every_form_of_a_convolution() {
    let pads = |p: &[i64]| attr_ints("pads", p);
    let strides = |s: &[i64]| attr_ints("strides", s);
    let line = Convolution { input: [2, 1, 20], kernel: [1, 5], ..PLAIN };
    let cases = [
        ("defaults", PLAIN, vec![], false),
        (
            "all explicit",
            PLAIN,
            vec![
                attr_ints("kernel_shape", &[3, 2]),
                attr("group", 1),
                attr_s("auto_pad", "NOTSET"),
            ],
            false,
        ),
        ("pads", Convolution { pads: [1, 0, 2, 1], ..PLAIN }, vec![pads(&[1, 0, 2, 1])], false),
        (
            "strides",
            Convolution { stride: [2, 3], ..PLAIN },
            vec![strides(&[2, 3]), attr_s("auto_pad", "VALID")],
            false,
        ),
        (
            "dilations",
            Convolution { dilation: [2, 3], ..PLAIN },
            vec![attr_ints("dilations", &[2, 3])],
            false,
        ),
        ("groups", Convolution { groups: 2, ..PLAIN }, vec![attr("group", 2)], false),
        (
            "same, upper",
            Convolution { pads: [1, 0, 1, 1], ..PLAIN },
            vec![attr_s("auto_pad", "SAME_UPPER")],
            false,
        ),
        (
            "same, lower",
            Convolution { pads: [1, 1, 1, 0], ..PLAIN },
            vec![attr_s("auto_pad", "SAME_LOWER")],
            false,
        ),
        (
            "same, strides",
            Convolution { stride: [2, 2], pads: [0, 0, 1, 1], ..PLAIN },
            vec![attr_s("auto_pad", "SAME_UPPER"), strides(&[2, 2])],
            false,
        ),
        ("line", line, vec![], true),
        (
            "line, pads",
            Convolution { stride: [1, 2], pads: [0, 2, 0, 1], ..line },
            vec![strides(&[2]), pads(&[2, 1])],
            true,
        ),
        (
            "line, dilation",
            Convolution { dilation: [1, 3], ..line },
            vec![attr_ints("dilations", &[3])],
            true,
        ),
    ];
    for (case, layer, attributes, flat) in cases {
        let (file, w, b) = conv(&layer, &attributes, flat, 3);
        let inputs = layer.input.iter().product::<u32>() as usize;
        close(case, &file, inputs, |x| convolution(x, &layer, &w, &b));
        assert_eq!(ops(&must(&file))[0].linear().unwrap().2.unwrap().layer(), &layer, "{case}");
    }
    let (mut file, w, _) = conv(&PLAIN, &[], false, 3);
    file.graph.node[0].input.pop();
    close("no bias", &file, 84, |x| convolution(x, &PLAIN, &w, &[0.0; 4]));
    let (mut file, w, b) = conv(&PLAIN, &[], false, 3);
    file = rename(file, "c").node("Flatten", "c", "y", &[]);
    close("flattened", &file, 84, |x| convolution(x, &PLAIN, &w, &b));
}

/// The last node makes `to`.
fn rename(mut file: File, to: &str) -> File {
    file.graph.node.last_mut().unwrap().output[0] = to.into();
    file
}

#[test]
fn every_form_of_pooling() {
    let input = [3, 6, 7];
    let window =
        |kernel, stride, pads, dilation| Convolution::window(input, kernel, stride, pads, dilation);
    let kernel = || attr_ints("kernel_shape", &[2, 3]);
    let plain = window([2, 3], [1; 2], [0; 4], [1; 2]);
    let all = window([6, 7], [1; 2], [0; 4], [1; 2]);
    let (stride, pads) = (attr_ints("strides", &[2, 2]), attr_ints("pads", &[1, 1, 0, 1]));
    let padded = window([2, 3], [2, 2], [1, 1, 0, 1], [1; 2]);
    let full = vec![kernel(), stride.clone(), pads.clone()];
    let ceiled = window([2, 3], [2, 3], [0, 0, 0, 2], [1; 2]);
    let ceiling = vec![kernel(), attr_ints("strides", &[2, 3]), attr("ceil_mode", 1)];
    let same = window([2, 3], [1; 2], [0, 1, 1, 1], [1; 2]);
    let wide = window([2, 3], [1; 2], [0; 4], [2, 2]);
    let dilated = vec![kernel(), attr_ints("dilations", &[2, 2])];
    let axes = attr_ints("axes", &[2, -1]);
    type Form = (&'static str, Convolution, Vec<AttributeProto>, fn(&[Option<f64>]) -> f64);
    let forms: [Form; 11] = [
        ("MaxPool", plain, vec![kernel()], most),
        ("MaxPool", padded, full.clone(), most),
        ("MaxPool", wide, dilated.clone(), most),
        ("MaxPool", ceiled, ceiling, most),
        ("MaxPool", same, vec![kernel(), attr_s("auto_pad", "SAME_UPPER")], most),
        ("GlobalMaxPool", all, vec![], most),
        ("AveragePool", plain, vec![kernel()], mean),
        ("AveragePool", padded, [full, vec![attr("count_include_pad", 1)]].concat(), mean),
        ("AveragePool", wide, dilated, mean),
        ("GlobalAveragePool", all, vec![], mean),
        ("ReduceMean", all, vec![axes.clone()], mean),
    ];
    for (op, window, attributes, f) in forms {
        let file = File::new(&dims(input)).node(op, "x", "y", &attributes);
        close(op, &file, 126, |x| pooled(x, &window, f));
    }
    let file = File::new(&dims(input))
        .node("ReduceMean", "x", "m", &[axes, attr("keepdims", 0)])
        .node("Squeeze", "m", "y", &[]);
    close("ReduceMean, flat", &file, 126, |x| pooled(x, &all, mean));
    let line = Convolution::window([3, 1, 20], [1, 4], [1, 2], [0; 4], [1; 2]);
    let file = File::new(&[1, 3, 20]).node(
        "MaxPool",
        "x",
        "y",
        &[attr_ints("kernel_shape", &[4]), attr_ints("strides", &[2])],
    );
    close("line", &file, 60, |x| pooled(x, &line, most));
    // Every window meets one column of padding: the divisor is the same for all.
    let file = File::new(&dims([1, 2, 1]));
    let attributes = [attr_ints("kernel_shape", &[1, 2]), attr_ints("pads", &[0, 1, 0, 0])];
    close("even", &file.node("AveragePool", "x", "y", &attributes), 2, <[f64]>::to_vec);
}

fn pool(op: &str, from: &str, to: &str, file: File) -> File {
    let attributes = [attr_ints("kernel_shape", &[2, 2]), attr_ints("strides", &[2, 2])];
    file.node(op, from, to, &attributes)
}

#[test]
fn relu_and_maximum_fuse_either_way_round() {
    let (file, w, b) = conv(&PLAIN, &[], false, 5);
    let file = rename(file, "c");
    let window = Convolution::window([4, 4, 6], [2, 2], [2, 2], [0; 4], [1; 2]);
    let before = pool("MaxPool", "r", "y", file.clone().node("Relu", "c", "r", &[]));
    let after = pool("MaxPool", "c", "p", file.clone()).node("Relu", "p", "y", &[]);
    let without = pool("MaxPool", "c", "y", file.clone());
    let expected = |x: &[f64]| pooled(&convolution(x, &PLAIN, &w, &b), &window, most);
    for (case, net, function) in [
        ("before", &before, Function::Relu),
        ("after", &after, Function::Relu),
        ("", &without, Function::Identity),
    ] {
        close(case, net, 84, |x| {
            expected(x)
                .into_iter()
                .map(|y| if function == Function::Relu { y.max(0.0) } else { y })
                .collect()
        });
        let all = ops(&must(net));
        let [
            Op::Convolution { .. },
            Op::MaxPool { function: f, window: got, .. },
            Op::Reveal { .. },
        ] = all[..]
        else {
            panic!("{all:?}")
        };
        assert_eq!((f, got), (function, window), "{case}");
    }
    let twice = pool("MaxPool", "y", "z", without);
    let mut twice = twice.node("Relu", "z", "q", &[]);
    twice.graph.output[0].name = "q".into();
    let second = Convolution::window([4, 2, 3], [2, 2], [2, 2], [0; 4], [1; 2]);
    close("two maxima", &twice, 84, |x| {
        pooled(&expected(x), &second, most).into_iter().map(|y| y.max(0.0)).collect()
    });
}

#[test]
fn sums_stay_in_the_ring_of_their_neighbours() {
    let (file, w, b) = conv(&PLAIN, &[], false, 5);
    let head: Vec<f32> = Numbers::seeded(8).units(12);
    let file = rename(file, "c")
        .node("Relu", "c", "r", &[])
        .node("GlobalAveragePool", "r", "g", &[])
        .node("Flatten", "g", "f", &[]);
    let file = file.constant(raw("h", &[4, 3], &head)).node("MatMul", "f h", "y", &[]);
    let all_of = Convolution::window([4, 4, 6], [4, 6], [1; 2], [0; 4], [1; 2]);
    close("mean behind ReLU", &file, 84, |x| {
        let y: Vec<f64> = convolution(x, &PLAIN, &w, &b).into_iter().map(|y| y.max(0.0)).collect();
        let g = pooled(&y, &all_of, mean);
        (0..3).map(|j| (0..4).map(|i| g[i] * f64::from(head[i * 3 + j])).sum()).collect()
    });
    let all = ops(&must(&file));
    let [
        _,
        Op::Activation { ring_out, .. },
        Op::SumPool { ring, .. },
        Op::FullyConnected { ring: last, .. },
        _,
    ] = all[..]
    else {
        panic!("{all:?}")
    };
    assert_eq!((ring_out, ring), (ring, last));
    // Sum, then ReLU: half a step is added to the biases before the sum.
    let (file, w, b) = conv(&PLAIN, &[], false, 5);
    let file = pool("AveragePool", "c", "p", rename(file, "c")).node("Relu", "p", "y", &[]);
    let window = Convolution::window([4, 4, 6], [2, 2], [2, 2], [0; 4], [1; 2]);
    close("mean before ReLU", &file, 84, |x| {
        pooled(&convolution(x, &PLAIN, &w, &b), &window, mean)
            .into_iter()
            .map(|y| y.max(0.0))
            .collect()
    });
}

#[test]
fn arithmetic_of_channels_folds() {
    let (file, w, b) = conv(&PLAIN, &[], false, 5);
    let (s, v) = ([2.0, 0.5, 1.0, -1.0], [4.0, 0.25, 1.0, 1.0]);
    let each = |f: fn(f64, f64) -> f64, x: Vec<f64>| -> Vec<f64> {
        x.iter().enumerate().map(|(i, &x)| f(x, f64::from(s[i / 24]))).collect()
    };
    let base = rename(file, "c")
        .constant(raw("s", &[4], &s))
        .constant(raw("v", &[4], &v))
        .constant(raw("k", &[4, 1, 1], &s));
    let norm = base.clone().node("BatchNormalization", "c s b b v", "y", &[attr_f("epsilon", 0.0)]);
    close("batch normalization", &norm, 84, |x| {
        let y = convolution(x, &PLAIN, &w, &b);
        let one = |(i, y): (usize, f64)| {
            let c = i / 24;
            (y - f64::from(b[c])) / f64::from(v[c]).sqrt() * f64::from(s[c]) + f64::from(b[c])
        };
        y.into_iter().enumerate().map(one).collect()
    });
    close("Add", &base.clone().node("Add", "c k", "y", &[]), 84, |x| {
        each(|x, s| x + s, convolution(x, &PLAIN, &w, &b))
    });
    close("Mul", &base.node("Mul", "k c", "y", &[]), 84, |x| {
        each(|x, s| x * s, convolution(x, &PLAIN, &w, &b))
    });
    // Before the convolution.
    let before = |attributes: &[AttributeProto]| {
        let (mut file, ..) = conv(&PLAIN, attributes, false, 5);
        file.graph.node[0].input[0] = "a".into();
        file.constant(raw("q", &[1, 2, 1, 1], &[0.5, -0.25])).constant(raw(
            "z",
            &[2, 6, 7],
            &Numbers::seeded(1).units(84),
        ))
    };
    close("Add before", &before(&[]).node("Add", "x q", "a", &[]), 84, |x| {
        let x: Vec<f64> = x.iter().enumerate().map(|(i, x)| x + [0.5, -0.25][i / 42]).collect();
        convolution(&x, &PLAIN, &w, &b)
    });
    // Where it does not fold, it is a layer of its own.
    let kinds = |file: &File| ops(&compile(&file.bytes(), &fine(), None).unwrap());
    let padded = before(&[attr_ints("pads", &[1; 4])]).node("Add", "x q", "a", &[]);
    assert!(
        matches!(
            kinds(&padded)[..],
            [Op::Offset { channels: 2, .. }, Op::Convolution { .. }, Op::Reveal { .. }]
        ),
        "{:?}",
        kinds(&padded)
    );
    let uneven = before(&[]).node("Mul", "x z", "a", &[]);
    assert!(
        matches!(kinds(&uneven)[0], Op::Convolution { layer: Convolution { groups: 84, .. }, .. }),
        "{:?}",
        kinds(&uneven)
    );
}

#[test]
fn refusals_name_the_attribute() {
    let image = || File::new(&dims([2, 6, 7])).constant(raw("w", &[4, 2, 3, 3], &[0.5; 72]));
    let conv = |a: &[AttributeProto]| image().node("Conv", "x w", "y", a);
    let node = |op: &str, a: &[AttributeProto]| image().node(op, "x", "y", a);
    let kernel = |k: &[i64]| attr_ints("kernel_shape", k);
    let cases: [(File, &[&str]); 22] = [
        (conv(&[attr_ints("pads", &[1, 1])]), &["node 0 \"n0\" (Conv)", "pads", "4 numbers"]),
        (conv(&[attr_ints("pads", &[-1, 0, 0, 0])]), &["pads holds -1"]),
        (conv(&[attr_ints("pads", &[i64::MAX; 4])]), &["pads holds"]),
        (conv(&[attr_ints("strides", &[0, 1])]), &["strides holds 0", "positive"]),
        (conv(&[attr_ints("strides", &[1, i64::MAX])]), &["strides holds"]),
        (conv(&[attr_ints("strides", &[1])]), &["strides", "2 numbers"]),
        (conv(&[attr_ints("dilations", &[4, 1])]), &["does not fit"]),
        (conv(&[attr_ints("dilations", &[32767, 32767])]), &["does not fit"]),
        (conv(&[attr_ints("dilations", &[-1, 1])]), &["dilations holds -1"]),
        (conv(&[attr("group", 0)]), &["group holds 0"]),
        (conv(&[attr("group", 3)]), &["in 3 groups"]),
        (conv(&[attr("group", i64::MIN)]), &["group"]),
        (conv(&[kernel(&[3, 2])]), &["kernel_shape", "[3, 3]"]),
        (conv(&[attr_s("auto_pad", "MAGIC")]), &["auto_pad is MAGIC", "SAME_UPPER"]),
        (conv(&[attr("fancy", 1)]), &["attribute `fancy`", "strides"]),
        (
            File::new(&[2, 2, 6, 7]).constant(raw("w", &[4, 2, 3, 3], &[0.5; 72])).node(
                "Conv",
                "x w",
                "y",
                &[],
            ),
            &["[2, 2, 6, 7]"],
        ),
        (
            File::new(&[1, 2, 3, 4, 5]).constant(raw("w", &[1], &[0.5])).node(
                "Conv",
                "x w",
                "y",
                &[],
            ),
            &["is not [1, channels"],
        ),
        (
            image().node("ConvTranspose", "x w", "y", &[]),
            &["(ConvTranspose)", "do not fit 2 input channels"],
        ),
        (node("MaxPool", &[]), &["kernel_shape is missing"]),
        (node("MaxPool", &[kernel(&[7, 7])]), &["does not fit"]),
        (
            node("MaxPool", &[kernel(&[2, 2]), attr_ints("pads", &[3, 0, 0, 0])]),
            &["padding altogether"],
        ),
        (
            image().node("MaxPool", "x", "y", &[kernel(&[2, 2]), attr("count_include_pad", 1)]),
            &["count_include_pad"],
        ),
    ];
    for (file, parts) in cases {
        let text = refusal(&file);
        for part in parts {
            assert!(text.contains(part), "\"{text}\" lacks \"{part}\"");
        }
    }
    let mut two = node("MaxPool", &[kernel(&[2, 2])]);
    two.graph.node[0].output.push("indices".into());
    assert!(refusal(&two).contains("Indices"));
}

#[test]
fn giant_shapes_are_refused_at_once() {
    let w = |o: i64, c: i64| raw("w", &[o, c, 1, 1], &vec![0.5; (o * c) as usize]);
    let conv = |shape: &[i64], o, a: &[AttributeProto]| {
        File::new(shape).constant(w(o, shape[1])).node("Conv", "x w", "y", a)
    };
    let one = [attr_ints("kernel_shape", &[1, 1]), attr_ints("pads", &[0, 0, 32767, 32767])];
    let cases = [
        (conv(&[1, 1, 40000, 1], 1, &[]), "40000"),
        (conv(&[1, 1, 4000, 4000], 50, &[]), "too large"),
        (conv(&[1, 1, 8, 8], 1, &one), "too large"),
        (conv(&[1, 512, 1, 1], 1, &[attr_ints("strides", &[32767, 32767])]), "too large"),
        (File::new(&[1, 1, 4000, 4000]).node("GlobalMaxPool", "x", "y", &[]), "too large"),
        (File::new(&[1, 1, 8, 8]).node("MaxPool", "x", "y", &one), "too large"),
    ];
    let wide = File::new(&[1, 1, 65, 65])
        .constant(raw("w", &[1, 1, 65, 65], &[0.5; 65 * 65]))
        .node("Conv", "x w", "y", &[]);
    for (file, part) in cases.into_iter().chain([(wide, "65 times 65 elements")]) {
        let text = refusal(&file);
        assert!(text.contains(part), "\"{text}\" lacks \"{part}\"");
    }
}

#[test]
fn damaged_files_are_refused_without_a_panic() {
    let w = Numbers::seeded(1).units(18);
    let file = File::new(&dims([2, 5, 5]))
        .constant(raw("w", &[1, 2, 3, 3], &w))
        .constant(ints("s", &[1, -1]));
    let window =
        [attr_ints("kernel_shape", &[2, 2]), attr_ints("strides", &[2, 1]), attr("ceil_mode", 1)];
    let padded = [
        attr_ints("pads", &[1, 1, 1, 1]),
        attr_ints("dilations", &[1, 2]),
        attr_s("auto_pad", "NOTSET"),
        attr("group", 1),
    ];
    let file = file.node("Conv", "x w", "c", &padded).node("MaxPool", "c", "p", &window).node(
        "AveragePool",
        "p",
        "a",
        &window[..2],
    );
    let bytes = file.node("Reshape", "a s", "y", &[]).bytes();
    compile(&bytes, &fine(), None).unwrap();
    // A flipped bit may go unnoticed in a weight, but never panics.
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << bit;
            let _ = compile(&damaged, &fine(), None);
        }
    }
}

/// One to three convolutions with pooling and activations between, then a fully connected layer or
/// nothing.
fn random(numbers: &mut Numbers) -> (File, usize) {
    let mut pick = |n: u64| numbers.below(n) as u32;
    let mut at = [1 + pick(3), 4 + pick(8), 4 + pick(8)];
    let inputs = at.iter().product::<u32>() as usize;
    let (mut file, mut name) = (File::new(&dims(at)), "x".to_string());
    for l in 0..1 + pick(3) {
        let groups = if pick(3) == 0 { at[0] } else { 1 };
        let (outputs, kernel) = (groups * (1 + pick(3)), [1 + pick(3), 1 + pick(3)]);
        let (stride, pads) = ([1 + pick(2), 1 + pick(2)], [pick(2), pick(3), pick(3), pick(2)]);
        let layer =
            Convolution { input: at, outputs, kernel, stride, pads, dilation: [1; 2], groups };
        let Ok([h, w]) = layer.output_size() else { break };
        let mut seed = Numbers::new(u64::from(pick(1 << 20)));
        let gain = [0.05, 1.0, 20.0][pick(3) as usize];
        let mut units =
            |n: u32| seed.units(n as usize).iter().map(|w| w * gain).collect::<Vec<f32>>();
        let shape = [outputs, at[0] / groups, kernel[0], kernel[1]].map(i64::from);
        let (wn, bn) = (format!("w{l}"), format!("b{l}"));
        file = file.constant(raw(&wn, &shape, &units(layer.weights() as u32))).constant(raw(
            &bn,
            &shape[..1],
            &units(outputs),
        ));
        let longs = |xs: &[u32]| xs.iter().map(|&x| i64::from(x)).collect::<Vec<_>>();
        let attributes = [
            attr_ints("strides", &longs(&stride)),
            attr_ints("pads", &longs(&pads)),
            attr("group", i64::from(groups)),
        ];
        file = file.node("Conv", &format!("{name} {wn} {bn}"), &format!("c{l}"), &attributes);
        (at, name) = ([outputs, h, w], format!("c{l}"));
        for step in 0..pick(3) {
            let next = format!("s{l}{step}");
            let window = [attr_ints("kernel_shape", &[2, 2]), attr_ints("strides", &[2, 1])];
            let (op, input, attributes) = match pick(4) {
                0 => ("Mul", format!("{name} {name}"), &[][..]),
                1 if at[1] > 1 && at[2] > 1 => ("MaxPool", name.clone(), &window[..]),
                2 if at[1] > 1 && at[2] > 1 => ("AveragePool", name.clone(), &window[..]),
                _ => ("Relu", name.clone(), &[][..]),
            };
            if op.ends_with("Pool") {
                at = [at[0], (at[1] - 2) / 2 + 1, at[2] - 1];
            }
            file = file.node(op, &input, &next, attributes);
            name = next;
        }
    }
    if pick(2) == 0 {
        let n = i64::from(at.iter().product::<u32>());
        let w = Numbers::new(u64::from(pick(1 << 20))).units(n as usize * 3);
        file = file.node("Flatten", &name, "f", &[]).constant(raw("w", &[n, 3], &w)).node(
            "MatMul",
            "f w",
            "m",
            &[],
        );
        name = "m".into();
    }
    file.graph.output[0].name = name;
    (file, inputs)
}

#[test]
fn random_convolutions_never_overflow() {
    let mut numbers = Numbers::seeded(42);
    let (mut all, mut rejected) = (0, 0);
    for _ in 0..120 {
        let (file, inputs) = random(&mut numbers);
        if file.graph.node.is_empty() {
            continue;
        }
        let options = CompileOptions {
            input_range: Some([(0.0, 1.0), (-1.0, 1.0), (-0.1, 9.0)][numbers.below(3) as usize]),
            weight_bits: 2 + numbers.below(11) as u8,
            activation_bits: 2 + numbers.below(9) as u8,
            ..Default::default()
        };
        let rows =
            Array::new(&[3, inputs], numbers.units(3 * inputs).iter().map(|x| x * 0.1).collect())
                .unwrap();
        let calibrate = (numbers.below(2) == 0).then_some(&rows);
        match compile(&file.bytes(), &options, calibrate) {
            Ok(compiled) => {
                all += 1;
                exact(&compiled, &mut numbers, 12);
            }
            Err(Error::Layer { .. }) => rejected += 1,
            // Squares of squares with large weights.
            Err(Error::Option(what)) if what.contains("outside the range of f32") => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert!(all > 80, "only {all} compiled, {rejected} did not fit");
}

#[test]
fn shapes_from_constants() {
    // ReduceMean takes its axes as an input from operator set 18 on; a Reshape makes an image of a
    // row.
    let file =
        File::new(&[0, 12]).constant(ints("s", &[0, 3, 2, 2])).constant(ints("a", &[-2, -1]));
    let file = file.node("Reshape", "x s", "i", &[]).node("ReduceMean", "i a", "y", &[]);
    close("axes", &file, 12, |x| x.chunks(4).map(|x| x.iter().sum::<f64>() / 4.0).collect());
}

#[test]
fn models_fig11_conv_square() {
    accuracy("fig11_conv_square", "mnist");
}

#[test]
fn models_fig12_conv_relu() {
    accuracy("fig12_conv_relu", "mnist");
}
