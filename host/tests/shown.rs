//! What the command shows: names of classes, probabilities, warnings, statuses; and what inputs may
//! come as.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use minionn_host::npy::{self, Array};
use minionn_host::onnx::proto::*;
use prost::Message as _;
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A folder of its own with a network in it: three classes of two features, a Softmax behind.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.0);
    }
}

fn value(name: &str, dims: &[i64]) -> ValueInfoProto {
    let dim = |&d: &i64| Dimension { dim_value: Some(d), dim_param: None };
    let shape = Some(TensorShapeProto { dim: dims.iter().map(dim).collect() });
    let tensor_type = Some(TensorType { elem_type: data_type::FLOAT, shape });
    ValueInfoProto { name: name.into(), r#type: Some(TypeProto { tensor_type }) }
}

fn node(op: &str, input: &[&str], output: &str) -> NodeProto {
    NodeProto {
        input: input.iter().map(|n| (*n).into()).collect(),
        output: vec![output.into()],
        name: output.into(),
        op_type: op.into(),
        ..Default::default()
    }
}

fn network(weights: &[f32], softmax: bool) -> Vec<u8> {
    let last = if softmax { "m" } else { "y" };
    let mut nodes = vec![node("MatMul", &["x", "w"], last)];
    if softmax {
        nodes.push(node("Softmax", &["m"], "y"));
    }
    let graph = GraphProto {
        node: nodes,
        name: "three".into(),
        initializer: vec![TensorProto {
            name: "w".into(),
            dims: vec![2, 3],
            data_type: data_type::FLOAT,
            float_data: weights.to_vec(),
            ..Default::default()
        }],
        input: vec![value("x", &[1, 2])],
        output: vec![value("y", &[1, 3])],
    };
    let opset_import = vec![OperatorSetIdProto { domain: String::new(), version: 13 }];
    ModelProto { ir_version: 8, graph: Some(graph), opset_import }.encode_to_vec()
}

impl Folder {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("minionn-shown-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        let folder = Self(path);
        folder.write("m.onnx", &network(&[1.0, -1.0, 0.5, -0.5, 1.0, 0.25], true));
        folder.write("labels", b"red\ngreen\nblue\n");
        folder.write("x.csv", b"a,b\n1,0\n0,1\n0.5,0.5\n");
        let cal = (0..40).map(|i| (i % 11) as f32 / 10.0).collect();
        npy::write(&folder.0.join("cal.npy"), &Array::new(&[20, 2], cal).unwrap()).unwrap();
        folder
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.0.join(name), bytes).unwrap();
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_minionn"));
        command.args(args).current_dir(&self.0);
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Standard output of a run that succeeds.
    #[track_caller]
    fn out(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    }

    fn compiled(&self) -> &Self {
        self.out(&["compile", "m.onnx", "--calibrate", "cal.npy", "--labels", "labels", "-o", "m"]);
        self
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn classes_have_names_and_probabilities() {
    let folder = Folder::new("names");
    let shown = folder.compiled().out(&["plain", "m", "--input", "x.csv"]);
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines[0], "row: class | red green blue");
    assert!(lines[1].starts_with("0: red | 1.0") && lines[2].starts_with("1: green |"), "{shown}");
    // The head that was dropped is what the plan says.
    let json = folder.out(&["plain", "m", "--input", "x.csv", "--softmax", "--json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    let first = &json["predictions"][0];
    let numbers = |name: &str| -> Vec<f64> {
        first[name].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
    };
    let (logits, shares) = (numbers("logits"), numbers("probabilities"));
    let sum: f64 = logits.iter().map(|x| x.exp()).sum();
    for (logit, share) in logits.iter().zip(&shares) {
        assert!((logit.exp() / sum - share).abs() < 1e-12);
    }
    assert_eq!((&first["label"], &first["argmax"]), (&"red".into(), &0.into()));
    // Other names here, of which there have to be as many.
    folder.write("other", b"uno\ndue\ntre");
    let shown = folder.out(&["plain", "m", "--input", "x.csv", "--labels", "other"]);
    assert!(shown.contains("1: due |"), "{shown}");
    folder.write("two", b"uno\ndue");
    let refused = folder.run(&["plain", "m", "--input", "x.csv", "--labels", "two"]);
    assert!(text(&refused.stderr).contains("2 labels are given for 3 outputs"));
    // Nothing was dropped: there is nothing to apply.
    folder.write("m.onnx", &network(&[1.0, -1.0, 0.5, -0.5, 1.0, 0.25], false));
    folder.compiled();
    let refused = folder.run(&["plain", "m", "--input", "x.csv", "--softmax"]);
    assert!(text(&refused.stderr).contains("no Softmax was dropped"));
}

#[test]
fn labels_of_another_number_are_refused_when_compiled() {
    let folder = Folder::new("labels");
    folder.write("labels", b"one\n");
    let refused =
        folder.run(&["compile", "m.onnx", "--calibrate", "cal.npy", "--labels", "labels"]);
    let text = text(&refused.stderr);
    assert!(!refused.status.success() && text.contains("1 labels"), "{text}");
}

#[test]
fn clamped_inputs_are_told_or_refused() {
    let folder = Folder::new("clamped");
    folder.compiled().write("far.csv", b"0.5,0.5\n300,-2\n");
    let run = folder.run(&["plain", "m", "--input", "far.csv", "--json"]);
    let warning = text(&run.stderr);
    assert!(run.status.success());
    assert!(warning.contains("2 of 4 input values, in 1 rows") && warning.contains("row 1"));
    let json: Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!((&json["clamped"]["values"], &json["clamped"]["at"][0]), (&2.into(), &1.into()));
    assert!((json["clamped"]["farthest"].as_f64().unwrap() - 299.0).abs() < 0.1);
    let strict = folder.run(&["plain", "m", "--input", "far.csv", "--strict"]);
    assert_eq!(strict.status.code(), Some(1));
    assert!(strict.stdout.is_empty() && text(&strict.stderr).contains("clamped"));
    assert!(folder.run(&["plain", "m", "--input", "x.csv", "--strict"]).stderr.is_empty());
}

#[test]
fn standard_input_is_read_and_a_closed_pipe_is_no_error() {
    let folder = Folder::new("pipes");
    folder.compiled();
    let mut child = folder
        .command(&["plain", "m", "--input", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // More than a pipe holds, so that the end of it is closed while there is more to say.
    let rows = "0.25;0.5\n".repeat(20_000);
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(rows.as_bytes()).unwrap();
    drop(stdin);
    let mut first = [0; 64];
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut first).unwrap();
    drop(stdout);
    let output = child.wait_with_output().unwrap();
    assert!(text(&first).starts_with("row: class"));
    assert!(output.status.success() && output.stderr.is_empty(), "{}", text(&output.stderr));
}

#[test]
fn a_poor_model_is_written_with_a_status_of_its_own() {
    let folder = Folder::new("poor");
    let weights = "--weight-bits=2";
    folder.write("m.onnx", &network(&[1.0, 0.3, 0.4, 0.2, 1.0, 0.45], true));
    let run = folder.run(&["compile", "m.onnx", "--calibrate", "cal.npy", "-o", "m", weights]);
    let warning = text(&run.stderr);
    assert_eq!(run.status.code(), Some(3), "{warning}{}", text(&run.stdout));
    assert!(warning.contains("The layer to blame is") && warning.contains("--weight-bits"));
    assert_eq!(warning.matches("far from the float network").count(), 1);
    assert!(folder.0.join("m").is_file() && !text(&run.stdout).contains("warning"));
}

#[test]
fn what_is_no_input_gets_a_clear_error() {
    let folder = Folder::new("errors");
    folder.compiled();
    for (name, bytes, part) in [
        ("words", &b"a,b\nc,d\n"[..], "'c' is not a number"),
        ("ragged", b"1,2\n1", "line 2 has 1 numbers"),
        ("wide", b"1,2,3\n", "2 numbers per row"),
        ("bytes", &[0xff, 0xfe, 0x00, 0x01], "neither a NumPy array"),
        ("cut.png", &b"\x89PNG\r\n\x1a\n1234"[..], "an image is taken"),
    ] {
        folder.write(name, bytes);
        let run = folder.run(&["plain", "m", "--input", name]);
        let error = text(&run.stderr);
        assert_eq!(run.status.code(), Some(1));
        assert!(error.contains(part) && error.lines().count() == 1, "{name}: {error}");
    }
    for (arg, part) in [("z=x.csv", "no input of the network"), ("missing.npy", "missing.npy")] {
        let run = folder.run(&["plain", "m", "--input", arg]);
        assert!(text(&run.stderr).contains(part), "{}", text(&run.stderr));
    }
    assert!(Path::new(&folder.0).is_dir());
}
