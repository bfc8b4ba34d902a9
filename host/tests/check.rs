//! `minionn check`: float network, integer model and private run side by side, and that it notices
//! what differs.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

#[path = "common/graphs.rs"]
mod graphs;

use graphs::{Graphs, folder};
use minionn_core::model::Model;
use minionn_core::plan::Plan;
use minionn_host::check::report::{CheckReport, Source};
use minionn_host::check::{Settings, check};
use minionn_host::compile::{CompileOptions, Compiled, compile};
use minionn_host::npy::{self, Array};
use minionn_host::prefix;
#[cfg(feature = "check")]
use rayon::prelude::*;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models")
}

fn head(array: &Array, rows: usize) -> Array {
    let columns = array.columns();
    let rows = rows.min(array.rows());
    Array::new(&[rows, columns], array.data()[..rows * columns].to_vec()).unwrap()
}

/// A small graph with its rows, compiled finely.
fn graph(name: &str) -> (Vec<u8>, Compiled, Array) {
    read(name).unwrap()
}

fn index() -> Value {
    serde_json::from_slice(&std::fs::read(folder().join("index.json")).unwrap()).unwrap()
}

fn read(name: &str) -> Option<(Vec<u8>, Compiled, Array)> {
    let (index, graphs) = (index(), Graphs::read("graphs"));
    let entry = index.as_array().unwrap().iter().find(|entry| entry["name"] == name).unwrap();
    let bound = |i: usize| entry["input_range"][i].as_f64().unwrap() as f32;
    let (onnx, x) = (graphs.onnx(name).to_vec(), graphs.array(name, "x"));
    let options = CompileOptions {
        input_range: Some((bound(0), bound(1))),
        weight_bits: 12,
        activation_bits: 12,
        ..CompileOptions::default()
    };
    let compiled = compile(&onnx, &options, Some(&x)).ok()?;
    Some((onnx, compiled, x))
}

fn digits() -> (Vec<u8>, Compiled, Array) {
    let array = |what: &str| npy::read(&models().join(format!("digits_relu.{what}.npy"))).unwrap();
    let onnx = std::fs::read(models().join("digits_relu.onnx")).unwrap();
    let compiled = compile(&onnx, &CompileOptions::default(), Some(&array("calibrate"))).unwrap();
    (onnx, compiled, head(&array("test"), 3))
}

/// All of it agrees.
fn agreed(name: &str, report: &CheckReport) {
    println!("{name}\n{report}");
    assert!(report.private_equal(), "{name}");
    assert!(report.layers.iter().all(|layer| layer.private_equal == Some(true)), "{name}");
    assert_eq!(report.first_far(), None, "{name}");
    assert!(report.answers_agree(), "{name}");
    assert_eq!(report.answers.all_three, Some(report.answers.rows), "{name}");
    assert!(
        report.layers.iter().all(|layer| layer.import_relative.is_none_or(|part| part < 1e-4)),
        "{name}: the import"
    );
}

fn from_tract(report: &CheckReport) -> usize {
    report.layers.iter().filter(|layer| layer.source == Source::Tract).count()
}

#[test]
fn digits_agree_layer_by_layer() {
    let (onnx, compiled, x) = digits();
    let report = check(&onnx, &compiled, &x, &Settings::default()).unwrap();
    agreed("digits_relu", &report);
    if cfg!(feature = "check") {
        assert_eq!(from_tract(&report), report.layers.len(), "{:?}", report.notes);
        assert_eq!(report.notes, Vec::<String>::new());
    }
    let names: Vec<&str> = report.layers.iter().filter_map(|layer| layer.onnx.as_deref()).collect();
    assert_eq!(names.len(), if cfg!(feature = "check") { 3 } else { names.len() });
}

#[test]
fn small_graphs_agree_layer_by_layer() {
    // Convolutions with squares and with maxima as in the paper's Figures 11 and 12, a residual
    // network, and functions that take several steps.
    for name in [
        "square_mul",
        "lenet",
        "lenet_tanh",
        "resnet",
        "gelu_erf",
        "lstm_last_state",
        "clip_inside",
        "densenet",
        "mul_gate",
    ] {
        let (onnx, compiled, x) = graph(name);
        let report = check(&onnx, &compiled, &head(&x, 2), &Settings::default()).unwrap();
        agreed(name, &report);
        if cfg!(feature = "check") {
            assert!(from_tract(&report) > 0, "{name}: {:?}", report.notes);
        }
    }
}

/// Where tract 0.23.9 is not what onnxruntime is: Celu's slope, and the last state of some
/// recurrent layers.
#[cfg(feature = "check")]
const TRACT_IS_OFF: [&str; 4] = ["celu", "lstm_reverse", "gru_initial_state", "rnn_relu"];

/// Whether the compiler's float network has onnxruntime's results.
#[cfg(feature = "check")]
fn from_onnxruntime(name: &str, compiled: &Compiled, x: &Array) -> bool {
    let y = Graphs::read("graphs").array(name, "y");
    let rows = x.rows_of(compiled.report.input.len).unwrap().zip(y.data().chunks(y.columns()));
    rows.into_iter().all(|(x, y)| {
        let own = compiled.float.evaluate(x).swap_remove(compiled.float.output());
        own.len() == y.len() && own.iter().zip(y).all(|(a, &b)| (a - f64::from(b)).abs() < 1e-4)
    })
}

/// Every graph through the float part: where tract can run it, both float networks are the same,
/// and the integers near them.
#[cfg(feature = "check")]
#[test]
fn the_importer_agrees_with_an_independent_engine() {
    let index = index();
    let all: Vec<&str> =
        index.as_array().unwrap().iter().map(|entry| entry["name"].as_str().unwrap()).collect();
    // Whether it was compared, and what was far.
    let compare = |name: &&str| {
        // What the importer refuses is a matter for tests/graphs.rs.
        let (onnx, compiled, x) = read(name)?;
        let report =
            check(&onnx, &compiled, &x, &Settings { private: false, ..Settings::default() })
                .unwrap();
        let compared = if from_tract(&report) > 0 {
            Ok(())
        } else {
            Err(format!("{name}: {:?}", report.notes))
        };
        let differs = report
            .layers
            .iter()
            .find(|layer| layer.import_relative.is_some_and(|part| part > 1e-4));
        assert_eq!(
            differs.is_some(),
            report.notes.iter().any(|note| note.contains("please report")),
            "{name}"
        );
        if TRACT_IS_OFF.contains(name) {
            assert!(differs.is_some() && from_onnxruntime(name, &compiled, &x), "{name}: {report}");
            return Some((compared, None));
        }
        let far = match (differs, report.first_far()) {
            (Some(layer), _) => Some(format!("{name}: tract and the import differ, {layer:?}")),
            (None, far) => far.map(|layer| format!("{name}: {layer:?}")),
        };
        Some((compared, far))
    };
    let (results, far): (Vec<_>, Vec<_>) = all.par_iter().filter_map(compare).unzip();
    let (far, cannot): (Vec<String>, Vec<String>) = (
        far.into_iter().flatten().collect(),
        results.iter().filter_map(|r| r.clone().err()).collect(),
    );
    let compared = results.len() - cannot.len();
    println!("{compared} of {} graphs compared with tract; not:\n{}", all.len(), cannot.join("\n"));
    assert!(far.is_empty(), "{}", far.join("\n"));
    assert!(compared * 10 >= all.len() * 8, "{compared} of {}:\n{}", all.len(), cannot.join("\n"));
}

/// The model with one weight changed: the `j`-th of the first output of its `layer`-th layer
/// becomes as different as can be.
fn damaged(model: &[u8], layer: usize, j: usize) -> Vec<u8> {
    let changed = j;
    let model = Model::parse(model).unwrap();
    let (content, digest) = model.plan().bytes();
    let plan = [content, &digest[..]].concat();
    let layers: Vec<(usize, Vec<i64>, Vec<i64>)> = model
        .layers()
        .map(|l| {
            (l.geometry().layer().fan_in() as usize, l.weights().collect(), l.biases().collect())
        })
        .collect();
    let weight = |l: usize, i: usize, j: usize| {
        let (fan_in, weights, _) = &layers[l];
        let w = weights[i * fan_in + j];
        if (l, i, j) == (layer, 0, changed) { if w > 0 { -128 } else { 127 } } else { w }
    };
    let mut bytes = vec![0; Model::len_bytes(&Plan::parse(&plan).unwrap())];
    Model::write(&plan, weight, |l, i| layers[l].2[i], &mut bytes).unwrap();
    bytes
}

#[test]
fn a_changed_weight_is_noticed_where_it_is() {
    let (onnx, mut compiled, _) = digits();
    let good = compiled.model.clone();
    // Black everywhere: the first pixels of real digits are white, so their weights count for
    // nothing.
    let x = Array::new(&[1, 64], vec![16.0; 64]).unwrap();
    let mut scratch = vec![0; Model::scratch_len(Model::parse(&good).unwrap().plan())];
    let parsed = Model::parse(&good).unwrap();
    let top = parsed.plan().header().input.max.into();
    parsed.evaluate(&[top; 64], &mut scratch, &mut [0; 10]).unwrap();
    let lit = scratch[compiled.layers[1].elements.clone()].iter().position(|&x| x > 0).unwrap();
    // A private run of another model than the integer one: everything from the changed layer on is
    // told.
    let served = damaged(&good, 1, lit);
    let report =
        check(&onnx, &compiled, &x, &Settings { served: Some(&served), ..Settings::default() })
            .unwrap();
    let equal: Vec<Option<bool>> = report.layers.iter().map(|layer| layer.private_equal).collect();
    assert_eq!(equal, [Some(true), Some(true), Some(false)]);
    assert!(
        !report.private_equal() && report.to_string().contains("DIFFER, first at fc2"),
        "{report}"
    );
    assert_eq!(report.private.unwrap().equal_layers, 2);
    // An integer model that is not the float network's.
    compiled.model = damaged(&good, 0, 0);
    let report = check(&onnx, &compiled, &x, &Settings::default()).unwrap();
    println!("{report}");
    assert_eq!(report.first_far().unwrap().name, "fc1");
    assert!(report.private_equal());
    assert!(
        report.to_string().contains(
            "the first layer that is off by more than 5.00 % of its largest value is fc1"
        ),
        "{report}"
    );
}

#[test]
fn prefixes_end_where_they_are_told_to() {
    let (_, compiled, _) = graph("resnet");
    let model = Model::parse(&compiled.model).unwrap();
    for layer in &compiled.layers {
        let bytes = prefix::up_to(&model, layer.elements.start).unwrap();
        let short = Model::parse(&bytes).unwrap();
        assert_eq!(short.plan().header().output_len as usize, layer.elements.len());
        let steps: Vec<_> = short.plan().steps().collect();
        for (a, b) in steps.iter().zip(model.plan().steps()).take(steps.len() - 1) {
            assert_eq!(*a, b);
        }
        assert_eq!(steps.last().unwrap().from, layer.elements.start);
    }
    assert!(prefix::up_to(&model, 1).is_err());
    assert!(prefix::up_to(&model, usize::MAX).is_err());
}

#[test]
fn the_command_prints_a_table_or_json() {
    let run = |more: &[&str]| {
        let file = |name: &str| models().join(name).display().to_string();
        let mut command = Command::new(env!("CARGO_BIN_EXE_minionn"));
        command.args([
            "check",
            &file("digits_relu.onnx"),
            "--input",
            &file("digits_relu.test.npy"),
        ]);
        let output = command
            .args(["--calibrate", &file("digits_relu.calibrate.npy")])
            .args(more)
            .output()
            .unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    let (good, text) = run(&["--rows", "2"]);
    assert!(
        good && text.contains("the same answer in 2 of 2 rows") && text.contains("all 2 answers"),
        "{text}"
    );
    let (good, json) = run(&["--json", "--no-private"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert!(good && json["private"].is_null());
    assert_eq!(json["layers"].as_array().unwrap().len(), 3);
    assert_eq!(
        json["answers"]["rows"],
        npy::read(&models().join("digits_relu.test.npy")).unwrap().rows()
    );
    // Two bits are too few for the digits: only --strict says so with its status.
    let coarse = ["--no-private", "--weight-bits", "2", "--activation-bits", "2"];
    let (good, text) = run(&coarse);
    assert!(good && text.contains("the first layer that is off by more than"), "{text}");
    assert!(!run(&[&coarse[..], &["--strict"]].concat()).0);
}

#[test]
fn committed_plots_are_what_the_command_draws() {
    let names = [
        "digits_relu",
        "fig10_square",
        "fig11_conv_square",
        "fig12_conv_relu",
        "fig13_cifar",
        "fig14_lstm_small",
        "sensor",
        "anomaly",
    ];
    for name in names {
        let drawn =
            std::env::temp_dir().join(format!("minionn-plot-{name}-{}.svg", std::process::id()));
        let mut command = Command::new(env!("CARGO_BIN_EXE_minionn"));
        let output = command
            .arg("plan")
            .arg(models().join(format!("{name}.plan")))
            .arg("--svg")
            .arg(&drawn)
            .output()
            .unwrap();
        assert!(output.status.success());
        let svg = std::fs::read_to_string(&drawn).unwrap();
        std::fs::remove_file(&drawn).unwrap();
        assert_eq!(
            svg,
            std::fs::read_to_string(models().join(format!("{name}.svg"))).unwrap(),
            "{name}: draw it again"
        );
    }
}

#[test]
fn measuring_takes_a_model_and_tells_seconds() {
    let run = |file: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_minionn"));
        command
            .arg("plan")
            .arg(models().join(file))
            .args(["--measure", "--json", "--stock", "2"])
            .output()
            .unwrap()
    };
    let json: Value = serde_json::from_slice(&run("digits_relu.minionn").stdout).unwrap();
    assert!(json["measured"]["seconds_each"].as_f64().unwrap() > 0.0);
    assert!(json["layers"][0]["seconds"].as_f64().unwrap() > 0.0);
    let refused = run("digits_relu.plan");
    assert!(
        !refused.status.success()
            && String::from_utf8_lossy(&refused.stderr).contains("takes a model")
    );
}
