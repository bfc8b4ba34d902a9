//! The integer model without rings: what must never leave them.

use super::Numbers;
use minionn_core::model::{Layer, Model};
use minionn_core::plan::{Convolution, Function, Op};
use minionn_host::compile::{CompileOptions, Compiled, compile};
use minionn_host::npy;
use std::path::Path;

/// Logits and index for one row.
pub(crate) fn run(compiled: &Compiled, x: &[f32]) -> (Vec<f64>, usize) {
    let model = Model::parse(&compiled.model).unwrap();
    let header = model.plan().header();
    let x: Vec<i64> = x.iter().map(|&x| header.input.quantise(x).unwrap()).collect();
    let mut out = vec![0; header.output_len as usize];
    let best =
        model.evaluate(&x, &mut vec![0; Model::scratch_len(model.plan())], &mut out).unwrap();
    (out.iter().map(|&y| y as f64 * f64::from(header.output_scale)).collect(), best)
}

/// Evaluates `rounds` inputs without any ring: asserts that nothing leaves its ring, and that the
/// model agrees. Returns the width that each operation used.
pub(crate) fn exact(compiled: &Compiled, numbers: &mut Numbers, rounds: u32) -> Vec<u32> {
    let model = Model::parse(&compiled.model).unwrap();
    let header = *model.plan().header();
    let (min, max) = (i64::from(header.input.min), i64::from(header.input.max));
    let layers: Vec<Layer<'_>> =
        model.layers().filter(|layer| layer.weights().next().is_some()).collect();
    let mut used = vec![0; model.plan().ops().count()];
    for round in 0..rounds {
        let layer = layers.get(numbers.below(layers.len().max(1) as u64) as usize);
        let (fan_in, outputs) =
            layer.map_or((1, 1), |l| (l.geometry().layer().fan_in(), l.geometry().outputs as u64));
        let row = numbers.below(outputs);
        let each = header.input_len as usize / fan_in.min(u64::from(header.input_len)) as usize;
        // The signs of one row of weights: the worst case of a fully connected first layer. Another
        // layer may have fewer weights than there are inputs.
        let weight = |at: usize| layer.map_or(0, |layer| layer.weight(at).unwrap_or(0));
        let worst =
            |j: usize| (weight(row as usize * fan_in as usize + j / each) > 0) == (round % 4 == 0);
        let x: Vec<i64> = (0..header.input_len as usize)
            .map(|j| match round % 4 {
                0 | 1 => [min, max][usize::from(worst(j))],
                2 => [min, max][numbers.below(2) as usize],
                _ => min + numbers.below((max - min + 1) as u64) as i64,
            })
            .collect();
        let wide = unbounded(&model, &x, &mut used);
        let mut out = vec![0; header.output_len as usize];
        model.evaluate(&x, &mut vec![0; Model::scratch_len(model.plan())], &mut out).unwrap();
        assert_eq!(out.iter().map(|&y| i128::from(y)).collect::<Vec<_>>(), wide);
    }
    used
}

fn unbounded(model: &Model<'_>, x: &[i64], used: &mut [u32]) -> Vec<i128> {
    let plan = model.plan();
    let mut all: Vec<i128> = x.iter().map(|&x| i128::from(x)).collect();
    all.resize(plan.elements(), 0);
    let mut layers = model.layers();
    let mut steps = plan.steps().zip(used).peekable();
    while let Some((step, used)) = steps.next() {
        let holds = |ring: u8, x: &[i128]| {
            x.iter().all(|x| (-(1 << (ring - 1))..1 << (ring - 1)).contains(x))
        };
        let op = step.op;
        let len = op.input().1 as usize;
        let x = all[step.from..step.from + len].to_vec();
        // Where an operation may reduce, what it makes of it is looked at.
        assert!(op.is_linear() || op.is_local() || holds(op.input().0, &x), "{op:?} in: {x:?}");
        let activate = |function: Function, shift: u8, y: i128| {
            i128::from(function.apply(i64::try_from(y).unwrap(), shift))
        };
        let y = match op {
            Op::Offset { channels, .. } => {
                let (biases, each) =
                    (layers.next().unwrap().biases().collect::<Vec<_>>(), len / channels as usize);
                x.iter().enumerate().map(|(i, x)| x + i128::from(biases[i / each])).collect()
            }
            _ if op.is_linear() => convolve(&layers.next().unwrap(), &x),
            Op::Activation { function, shift, .. } => {
                x.iter().map(|&y| activate(function, shift, y)).collect()
            }
            Op::MaxPool { function, shift, window, .. } => {
                over(&window, &x, |xs| xs.iter().copied().max().unwrap())
                    .into_iter()
                    .map(|y| activate(function, shift, y))
                    .collect()
            }
            Op::SumPool { window, .. } => over(&window, &x, |xs| xs.iter().sum()),
            Op::Square { .. } => x.iter().map(|y| y * y).collect(),
            Op::Product { .. } => x.iter().zip(&all[step.also..]).map(|(x, y)| x * y).collect(),
            Op::StridedAdd { onto, len, factor, view, .. } => {
                let mut y = if onto {
                    all[step.to..step.to + len as usize].to_vec()
                } else {
                    vec![0; len as usize]
                };
                view.for_each(|i, j| y[j] += i128::from(factor) * x[i]);
                y
            }
            _ => return x,
        };
        // What is still being added up may leave the ring on the way.
        let unfinished =
            steps.peek().is_some_and(|(next, _)| !next.op.makes_tensor() && !next.op.is_output());
        assert!(unfinished || holds(op.output().0, &y), "{op:?} out: {y:?}");
        let bits =
            y.iter().map(|&x| 129 - if x < 0 { !x } else { x }.leading_zeros()).max().unwrap_or(0);
        *used = bits.max(*used);
        all[step.to..step.to + y.len()].copy_from_slice(&y);
    }
    unreachable!("a plan ends with an output")
}

/// `f` of the elements of every window, padding left out.
fn over(window: &Convolution, x: &[i128], f: impl Fn(&[i128]) -> i128) -> Vec<i128> {
    let (outputs, [kh, kw]) =
        (window.output_size().unwrap().map(|n| n as usize), window.kernel.map(|n| n as usize));
    let mut all = Vec::new();
    for c in 0..window.outputs as usize {
        for (y, z) in (0..outputs[0]).flat_map(|y| (0..outputs[1]).map(move |z| (y, z))) {
            let taps = (0..kh * kw).filter_map(|i| window.tap(c, [y, z], [i / kw, i % kw]));
            all.push(f(&taps.map(|i| x[i]).collect::<Vec<_>>()));
        }
    }
    all
}

/// Written from ONNX's definition.
fn convolve(layer: &Layer<'_>, x: &[i128]) -> Vec<i128> {
    let l = *layer.geometry().layer();
    let ([ho, wo], [kh, kw]) = (l.output_size().unwrap().map(i64::from), l.kernel.map(i64::from));
    let (biases, weights): (Vec<i64>, Vec<i64>) =
        (layer.biases().collect(), layer.weights().collect());
    let (per_in, per_out) = (i64::from(l.input[0] / l.groups), i64::from(l.outputs / l.groups));
    let [_, h, w] = l.input.map(i64::from);
    let mut all = Vec::new();
    for o in 0..i64::from(l.outputs) {
        for (y, z) in (0..ho).flat_map(|y| (0..wo).map(move |z| (y, z))) {
            let mut sum = i128::from(biases[o as usize]);
            for (c, u, v) in
                (0..per_in).flat_map(|c| (0..kh * kw).map(move |i| (c, i / kw, i % kw)))
            {
                let row = y * i64::from(l.stride[0]) + u * i64::from(l.dilation[0])
                    - i64::from(l.pads[0]);
                let column = z * i64::from(l.stride[1]) + v * i64::from(l.dilation[1])
                    - i64::from(l.pads[1]);
                if (0..h).contains(&row) && (0..w).contains(&column) {
                    let from = ((o / per_out * per_in + c) * h + row) * w + column;
                    sum += i128::from(weights[(((o * per_in + c) * kh + u) * kw + v) as usize])
                        * x[from as usize];
                }
            }
            all.push(sum);
        }
    }
    all
}

fn largest(row: &[f32]) -> usize {
    (0..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best })
}

/// Compiles a trained network, on the images of `data`; the integer accuracy must be within one
/// point of the float one, and the import must be exact.
pub(crate) fn accuracy(name: &str, data: &str) {
    let file = |name: &str, suffix: &str| {
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../models/{name}.{suffix}"))
    };
    let array = |name: &str, what: &str| npy::read(&file(name, &format!("{what}.npy"))).unwrap();
    let onnx = std::fs::read(file(name, "onnx")).unwrap();
    let (test, labels, logits) =
        (array(data, "test"), array(data, "labels"), array(name, "logits"));
    let compiled =
        compile(&onnx, &CompileOptions::default(), Some(&array(data, "calibrate"))).unwrap();
    println!("{}", compiled.report);
    let (mut float, mut integer, mut same, mut error) = (0, 0, 0, 0.0_f64);
    let rows = test
        .rows_of(compiled.report.input.len)
        .unwrap()
        .zip(logits.rows_of(logits.columns()).unwrap());
    for ((x, logits), &label) in rows.zip(labels.data()) {
        let (got, best) = run(&compiled, x);
        error =
            got.iter().zip(logits).map(|(g, &l)| (g - f64::from(l)).abs()).fold(error, f64::max);
        float += usize::from(largest(logits) == label as usize);
        integer += usize::from(best == label as usize);
        same += usize::from(best == largest(logits));
    }
    let n = test.rows();
    println!(
        "{name}: float {float}, integer {integer}, same {same} of {n}; largest error of a logit \
         {error:.4}"
    );
    assert!(float as f64 / n as f64 > 0.9, "the float network itself");
    assert!((float as f64 - integer as f64).abs() / n as f64 <= 0.01);
    exact(&compiled, &mut Numbers::seeded(9), 12);
    // With the same rows as calibration data, the float reference is held against ONNX's own.
    let fine = CompileOptions { weight_bits: 12, activation_bits: 12, ..Default::default() };
    let calibration = compile(&onnx, &fine, Some(&test)).unwrap().report.calibration.unwrap();
    let peak = logits.data().iter().fold(0.0_f32, |m, x| m.max(x.abs()));
    assert!(
        (calibration.max_abs_logit - f64::from(peak)).abs() < 1e-3,
        "{} {peak}",
        calibration.max_abs_logit
    );
}
