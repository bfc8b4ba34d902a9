//! Small ONNX graphs, one or more for each operator and attribute: what the integer model makes of
//! them against onnxruntime's results, which `graphs/make.py` has written next to them, and private
//! predictions against the integer model.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

#[path = "common/graphs.rs"]
mod graphs;
#[path = "common/session.rs"]
mod session;

use graphs::{Graphs, folder};
use minionn_core::compare::OtActivation;
use minionn_core::session::{Activations, Options, Tables};
use minionn_host::Model;
use minionn_host::compile::{CompileOptions, Compiled, compile};
use minionn_host::npy::Array;
use serde_json::Value;

/// A graph with its inputs and the float results.
struct Case {
    name: String,
    op: String,
    /// Whether only the order of the results is left: behind a Softmax.
    order: bool,
    range: (f32, f32),
    onnx: Vec<u8>,
    x: Array,
    y: Array,
}

/// What the importer refuses, with reason: see `import.rs`.
const REFUSED: [&str; 1] = ["argmax_negative_axis"];

fn cases(archive: &str, index: &str) -> Vec<Case> {
    let graphs = Graphs::read(archive);
    let index = std::fs::read(folder().join(index)).unwrap();
    let index: Value = serde_json::from_slice(&index).unwrap();
    let case = |entry: &Value| {
        let (name, bound) = (entry["name"].as_str().unwrap(), |i: usize| {
            entry["input_range"][i].as_f64().unwrap() as f32
        });
        Case {
            name: name.into(),
            op: entry["op"].as_str().unwrap().into(),
            order: matches!(entry["op"].as_str(), Some("Softmax" | "LogSoftmax"))
                || entry["tolerance_note"].as_str().is_some_and(|note| note.contains("not logits")),
            range: (bound(0), bound(1)),
            onnx: graphs.onnx(name).to_vec(),
            x: graphs.array(name, "x"),
            y: graphs.array(name, "y"),
        }
    };
    index
        .as_array()
        .unwrap()
        .iter()
        .map(case)
        .filter(|case| !REFUSED.contains(&&case.name[..]))
        .collect()
}

fn options(case: &Case, bits: u8) -> CompileOptions {
    CompileOptions {
        input_range: Some(case.range),
        weight_bits: bits,
        activation_bits: bits,
        ..CompileOptions::default()
    }
}

/// Largest difference from the float results, as a part of the largest of these (for indices: 1 if
/// one is wrong), and the largest result.
fn distance(case: &Case, compiled: &Compiled) -> f64 {
    let model = Model::from_bytes(&compiled.model[..]).unwrap();
    let rows = case.x.rows_of(model.plan().input_len()).unwrap();
    let predictions = model.predict_plain_batch(rows).unwrap();
    let rows = || case.y.data().chunks(case.y.columns()).zip(&predictions);
    let largest = case.y.data().iter().fold(0.0_f64, |most, &y| most.max(f64::from(y.abs())));
    let best =
        |row: &[f32]| (0..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best });
    match case.op.as_str() {
        "ArgMax" => rows().map(|(y, p)| f64::from(p.class != y[0] as usize)).fold(0.0, f64::max),
        // Dropped at the end: the order is what is left of it.
        _ if case.order => rows().map(|(y, p)| f64::from(p.class != best(y))).fold(0.0, f64::max),
        _ => {
            let each = rows().flat_map(|(y, p)| {
                let logits = p.logits.as_ref().unwrap();
                assert_eq!(logits.len(), y.len(), "{}", case.name);
                y.iter().zip(logits).map(|(&y, x)| (f64::from(y) - x).abs()).collect::<Vec<_>>()
            });
            each.fold(0.0, f64::max) / largest.max(1e-3)
        }
    }
}

#[test]
fn integers_are_near_the_floats() {
    let mut far = vec![];
    let cases = cases("graphs", "index.json");
    assert!(cases.len() >= 60);
    for case in &cases {
        match compile(&case.onnx, &options(case, 12), Some(&case.x)) {
            // One step of a 12-bit activation is 1/2048 of its range; a few of them add up, and
            // curves are off by a step or two.
            Ok(compiled) => {
                let distance = distance(case, &compiled);
                if distance > 0.02 {
                    far.push(format!("{}: off by {distance:.4}", case.name));
                }
            }
            Err(error) => far.push(format!("{}: {error}", case.name)),
        }
    }
    assert!(far.is_empty(), "{} of {}:\n{}", far.len(), cases.len(), far.join("\n"));
}

/// ONNX's own examples of single operators: what passes within 2 % of the largest result, and what
/// is refused with which words, is a committed list. `MINIONN_BLESS=1` writes it again.
#[test]
fn examples_of_the_standard_pass_or_are_refused_as_listed() {
    use core::fmt::Write as _;
    let mut list = String::new();
    let (mut passed, mut refused) = (0, 0);
    for case in cases("backend", "backend.json") {
        let line = match compile(&case.onnx, &options(&case, 12), Some(&case.x)) {
            Err(error) => {
                refused += 1;
                format!("refused: {error}")
            }
            Ok(compiled) => match distance(&case, &compiled) {
                distance if distance <= 0.02 => {
                    passed += 1;
                    "passes".into()
                }
                distance => format!("off by {distance:.3}"),
            },
        };
        writeln!(list, "{}: {line}", case.name).unwrap();
    }
    println!("{passed} pass, {refused} are refused");
    let path = folder().join("backend.txt");
    if std::env::var_os("MINIONN_BLESS").is_some() {
        std::fs::write(&path, &list).unwrap();
    }
    let off: Vec<&str> = list.lines().filter(|line| line.contains(": off by")).collect();
    assert!(off.is_empty(), "{off:#?}");
    assert_eq!(
        std::fs::read_to_string(&path).unwrap_or_default(),
        list,
        "the list has changed: look at it, then bless it"
    );
}

#[test]
fn private_predictions_are_the_integer_model() {
    let mut compared = 0;
    for (i, case) in cases("graphs", "index.json").iter().enumerate() {
        let compiled = compile(&case.onnx, &options(case, 8), Some(&case.x)).unwrap();
        let tables = if i % 2 == 0 { Tables::Stored } else { Tables::Streamed };
        let rows =
            Array::new(&[2, case.x.columns()], case.x.data()[..2 * case.x.columns()].to_vec())
                .unwrap();
        for activations in [Activations::Garbled, Activations::Compared { log2_bytes_per_round: 0 }]
        {
            let options =
                Options { tables, activations, stock: 1 + i as u32 % 2, ..Options::default() };
            let plan = minionn_core::plan::Plan::parse(&compiled.plan).unwrap();
            compared += plan.ops().filter(|op| OtActivation::of(op, &options).is_some()).count();
            session::check(&case.name, &compiled.model, options, &rows, &[]);
        }
    }
    assert!(compared > 100, "{compared} operations compared");
}
