//! Files as programs write them: data beside the network, several inputs and outputs, batches, old
//! operator sets, quantised networks, scikit-learn's operators. Expected values are worked out here
//! or by hand.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use minionn_host::compile::{CompileOptions, InputSteps, compile};
use minionn_host::network::{Activation, Head, Labels, Network, Work};
use minionn_host::npy::Array;
use minionn_host::onnx::proto::*;
use minionn_host::onnx::{Reading, import, read};
use minionn_host::{Label, Model};
use prost::Message as _;
use std::path::{Path, PathBuf};

const FLOAT: i32 = data_type::FLOAT;

/// A file in the making.
#[derive(Clone, Default)]
struct File {
    graph: GraphProto,
    sets: Vec<(&'static str, i64)>,
}

fn port(name: &str, kind: i32, dims: &[i64]) -> ValueInfoProto {
    // 0 is a dimension with a name.
    let dim = |&d: &i64| match d {
        0 => Dimension { dim_value: None, dim_param: Some("n".into()) },
        d => Dimension { dim_value: Some(d), dim_param: None },
    };
    let shape = Some(TensorShapeProto { dim: dims.iter().map(dim).collect() });
    let tensor_type = Some(TensorType { elem_type: kind, shape });
    ValueInfoProto { name: name.into(), r#type: Some(TypeProto { tensor_type }) }
}

fn tensor(name: &str, dims: &[i64], data: &[f32]) -> TensorProto {
    TensorProto {
        name: name.into(),
        dims: dims.to_vec(),
        data_type: FLOAT,
        float_data: data.to_vec(),
        ..Default::default()
    }
}

/// Integers of a type that shares the field of 32-bit ones.
fn small(name: &str, kind: i32, dims: &[i64], data: &[i32]) -> TensorProto {
    TensorProto {
        name: name.into(),
        dims: dims.to_vec(),
        data_type: kind,
        int32_data: data.to_vec(),
        ..Default::default()
    }
}

fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { name: name.into(), i, r#type: attribute_type::INT, ..Default::default() }
}

fn numbers(name: &str, floats: &[f32]) -> AttributeProto {
    let floats = floats.to_vec();
    AttributeProto {
        name: name.into(),
        floats,
        r#type: attribute_type::FLOATS,
        ..Default::default()
    }
}

fn whole(name: &str, ints: &[i64]) -> AttributeProto {
    let ints = ints.to_vec();
    AttributeProto { name: name.into(), ints, r#type: attribute_type::INTS, ..Default::default() }
}

fn words(name: &str, texts: &[&str]) -> AttributeProto {
    let strings = texts.iter().map(|t| t.as_bytes().to_vec()).collect();
    AttributeProto {
        name: name.into(),
        strings,
        r#type: attribute_type::STRINGS,
        ..Default::default()
    }
}

fn word(name: &str, text: &str) -> AttributeProto {
    let s = text.as_bytes().to_vec();
    AttributeProto { name: name.into(), s, r#type: attribute_type::STRING, ..Default::default() }
}

impl File {
    /// With operator set 13 and scikit-learn's.
    fn new() -> Self {
        Self { sets: vec![("", 13), ("ai.onnx.ml", 1), ("com.microsoft", 1)], ..Self::default() }
    }

    fn opset(mut self, version: i64) -> Self {
        self.sets = vec![("", version)];
        self
    }

    fn input(mut self, name: &str, dims: &[i64]) -> Self {
        self.graph.input.push(port(name, FLOAT, dims));
        self
    }

    fn output(mut self, name: &str, kind: i32, dims: &[i64]) -> Self {
        self.graph.output.push(port(name, kind, dims));
        self
    }

    fn constant(mut self, tensor: TensorProto) -> Self {
        self.graph.initializer.push(tensor);
        self
    }

    /// Names are separated by spaces; a `/` in front of the operator names its domain.
    fn node(mut self, op: &str, inputs: &str, outputs: &str, of: &[AttributeProto]) -> Self {
        let names = |text: &str| -> Vec<String> {
            text.split_whitespace().map(|n| if n == "-" { "" } else { n }.into()).collect()
        };
        let (domain, op) = op.rsplit_once('/').unwrap_or(("", op));
        self.graph.node.push(NodeProto {
            input: names(inputs),
            output: names(outputs),
            name: format!("n{}", self.graph.node.len()),
            op_type: op.into(),
            attribute: of.to_vec(),
            domain: domain.into(),
        });
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let set = |&(domain, version): &(&str, i64)| OperatorSetIdProto {
            domain: domain.into(),
            version,
        };
        ModelProto {
            ir_version: 8,
            graph: Some(self.graph.clone()),
            opset_import: self.sets.iter().map(set).collect(),
        }
        .encode_to_vec()
    }

    fn network(&self) -> Network {
        import(&self.bytes()).unwrap_or_else(|error| panic!("{error}"))
    }

    fn refusal(&self) -> String {
        import(&self.bytes()).map(|_| ()).expect_err("must be refused").to_string()
    }

    fn run(&self, x: &[f64]) -> Vec<f64> {
        output(&self.network(), x)
    }
}

fn output(network: &Network, x: &[f64]) -> Vec<f64> {
    network.evaluate(x.to_vec()).swap_remove(network.output)
}

#[track_caller]
fn close(got: &[f64], wanted: &[f64]) {
    assert_eq!(got.len(), wanted.len(), "{got:?} {wanted:?}");
    for (g, w) in got.iter().zip(wanted) {
        assert!((g - w).abs() <= 1e-5 * w.abs().max(1.0), "{got:?} {wanted:?}");
    }
}

/// A folder of its own, which goes with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("minionn-files-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.0);
    }
}

/// A layer whose four weights are in another file, as these entries say.
fn external(entries: &[(&str, &str)]) -> File {
    let entry = |&(key, value): &(&str, &str)| StringStringEntryProto {
        key: key.into(),
        value: value.into(),
    };
    let weights = TensorProto {
        name: "w".into(),
        dims: vec![2, 2],
        data_type: FLOAT,
        data_location: 1,
        external_data: entries.iter().map(entry).collect(),
        ..Default::default()
    };
    File::new().input("x", &[0, 2]).output("y", FLOAT, &[0, 2]).constant(weights).node(
        "MatMul",
        "x w",
        "y",
        &[],
    )
}

fn from_folder(file: &File, folder: &Path) -> Result<Network, String> {
    let reading = Reading { folder: Some(folder.into()), ..Reading::default() };
    read(&file.bytes(), &reading).map_err(|error| error.to_string())
}

#[test]
fn data_beside_the_network_are_read() {
    let folder = Folder::new("external");
    let numbers = [9.0_f32, 1.0, 2.0, 3.0, 4.0, 9.0];
    let bytes: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
    folder.write("m.onnx.data", &bytes);
    let named = [("location", "m.onnx.data"), ("offset", "4"), ("length", "16")];
    let network = from_folder(&external(&named), &folder.0).unwrap();
    close(&output(&network, &[1.0, 10.0]), &[31.0, 42.0]);
    // Without offset and length, they start with the file.
    let network = from_folder(&external(&named[..1]), &folder.0).unwrap();
    close(&output(&network, &[1.0, 0.0]), &[9.0, 1.0]);
}

#[test]
fn data_are_read_from_the_network_s_folder_only() {
    let outer = Folder::new("outside");
    outer.write("secret", &[0; 64]);
    let inner = outer.0.join("inner");
    std::fs::create_dir_all(inner.join("sub")).unwrap();
    std::fs::write(inner.join("sub/w"), [0; 16]).unwrap();
    std::fs::write(inner.join("short"), [0; 15]).unwrap();
    let of = |location: &str| from_folder(&external(&[("location", location)]), &inner);
    assert!(of("sub/w").is_ok() && of("./sub/w").is_ok());
    let absolute = outer.0.join("secret").display().to_string();
    for location in ["../secret", "sub/../../secret", &absolute, "", ".."] {
        let text = of(location).map(|_| ()).unwrap_err();
        assert!(text.contains("only files in the folder"), "{location}: {text}");
    }
    assert!(of("sub").map(|_| ()).unwrap_err().contains("not a file"));
    assert!(of("missing").map(|_| ()).unwrap_err().contains("missing"));
    assert!(of("short").map(|_| ()).unwrap_err().contains("cut off"));
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(outer.0.join("secret"), inner.join("link")).unwrap();
        assert!(of("link").map(|_| ()).unwrap_err().contains("only files in the folder"));
    }
    // Nothing is allocated or read for numbers that do not fit.
    for (key, value, part) in [
        ("offset", "18446744073709551615", "cut off"),
        ("offset", "-1", "not a number"),
        ("length", "12", "need 16"),
        ("offset", "1", "cut off"),
        ("location", "sub/w", "twice"),
    ] {
        let file = external(&[("location", "sub/w"), (key, value)]);
        let text = from_folder(&file, &inner).map(|_| ()).unwrap_err();
        assert!(text.contains(part), "{key} {value}: {text}");
    }
    let mut huge = external(&[("location", "sub/w")]);
    huge.graph.initializer[0].dims = vec![1 << 31, 1 << 31];
    assert!(from_folder(&huge, &inner).is_err());
    assert!(external(&[("location", "sub/w")]).refusal().contains("not read from a file"));
}

#[test]
fn several_inputs_are_one_row() {
    let file = File::new()
        .input("a", &[1, 2])
        .input("b", &[0, 3])
        .output("y", FLOAT, &[])
        .constant(tensor("w", &[5, 1], &[1.0, 10.0, 100.0, 1e3, 1e4]))
        .node("Concat", "b a", "c", &[int("axis", 1)])
        .node("MatMul", "c w", "y", &[]);
    let network = file.network();
    let lens: Vec<(&str, usize)> =
        network.signature.inputs.iter().map(|p| (p.name.as_str(), p.len())).collect();
    assert_eq!(lens, [("a", 2), ("b", 3)]);
    // a = 4 5, b = 1 2 3.
    close(&output(&network, &[4.0, 5.0, 1.0, 2.0, 3.0]), &[54321.0]);
    let mut twice = file.clone();
    twice.graph.input[1].name = "a".into();
    assert!(twice.refusal().contains("two inputs are named `a`"));
    let many = (0..100).fold(file, |file, i| file.input(&format!("i{i}"), &[1, 1]));
    assert!(many.refusal().contains("at most 64"));
}

#[test]
fn the_first_score_is_the_output_unless_another_is_named() {
    let file = File::new()
        .input("x", &[0, 2])
        .output("label", data_type::INT64, &[0])
        .output("scores", FLOAT, &[0, 2])
        .output("other", FLOAT, &[0, 2])
        .node("Neg", "x", "scores", &[])
        .node("Add", "x x", "other", &[])
        .node("ArgMax", "scores", "label", &[int("axis", 1), int("keepdims", 0)]);
    close(&file.run(&[1.0, 2.0]), &[-1.0, -2.0]);
    let named = |name: &str| {
        let reading = Reading { output_node: Some(name.into()), ..Reading::default() };
        read(&file.bytes(), &reading)
    };
    close(&output(&named("other").unwrap(), &[1.0, 2.0]), &[2.0, 4.0]);
    assert!(named("label").unwrap().argmax);
    let text = named("nothing").unwrap_err().to_string();
    assert!(text.contains("`label`, `scores`, `other`"), "{text}");
}

#[test]
fn shapes_that_are_open_can_be_given() {
    let file = File::new().input("x", &[0, 1, 0, 0]).output("y", FLOAT, &[]).node(
        "GlobalAveragePool",
        "x",
        "y",
        &[],
    );
    let of = |shapes: Vec<(Option<&str>, &[usize])>| {
        let shapes = shapes.into_iter().map(|(n, s)| (n.map(String::from), s.to_vec())).collect();
        read(&file.bytes(), &Reading { shapes, ..Reading::default() }).map_err(|e| e.to_string())
    };
    assert!(file.refusal().contains("--input-shape"));
    for shape in [&[1, 1, 2, 3][..], &[7, 1, 2, 3], &[1, 2, 3]] {
        assert_eq!(of(vec![(None, shape)]).unwrap().input_len, 6, "{shape:?}");
    }
    assert_eq!(of(vec![(Some("x"), &[1, 1, 4, 4])]).unwrap().input_len, 16);
    for (name, shape, part) in [
        (None, &[1, 3, 2, 3][..], "3 was asked for as dimension 1"),
        (None, &[6], "it declares"),
        (Some("z"), &[1, 1, 2, 2], "no input"),
        (None, &[1, 1, 1 << 20, 1 << 20], "too large"),
    ] {
        let text = of(vec![(name, shape)]).map(|_| ()).unwrap_err();
        assert!(text.contains(part), "{shape:?}: {text}");
    }
}

#[test]
fn a_fixed_batch_becomes_one_row_where_rows_are_independent() {
    let start = || {
        File::new()
            .input("x", &[4, 2])
            .output("y", FLOAT, &[4, 2])
            .constant(tensor("w", &[2, 2], &[1.0, 2.0, 3.0, 4.0]))
            .node("MatMul", "x w", "m", &[])
    };
    let independent = start()
        .constant(TensorProto {
            name: "s".into(),
            dims: vec![3],
            data_type: data_type::INT64,
            int64_data: vec![4, 1, 2],
            ..Default::default()
        })
        .node("Reshape", "m s", "r", &[])
        .node("Flatten", "r", "y", &[]);
    let network = independent.network();
    assert_eq!((network.input_len, network.signature.batch), (2, Some(4)));
    close(&output(&network, &[1.0, 10.0]), &[31.0, 42.0]);
    let kept = Reading { keep_batch: true, ..Reading::default() };
    assert_eq!(read(&independent.bytes(), &kept).unwrap().input_len, 8);
    // Rows that look at each other stay together.
    let mean =
        start().node("ReduceMean", "m", "a", &[whole("axes", &[0])]).node("Sub", "m a", "y", &[]);
    let network = mean.network();
    assert_eq!((network.input_len, network.signature.batch), (8, None));
    assert!(network.notes.iter().any(|note| note.contains("depend on each other")));
    // Which of the two is meant, the calibration rows say.
    let rows = Array::new(&[2, 8], (0..16).map(|i| i as f32).collect()).unwrap();
    let compiled = compile(&independent.bytes(), &CompileOptions::default(), Some(&rows)).unwrap();
    assert_eq!(compiled.report.input.len, 8);
}

#[test]
fn operator_set_6_broadcasts_along_an_axis() {
    let base = |op: &str, of: &[AttributeProto]| {
        File::new()
            .opset(6)
            .input("x", &[1, 2, 2])
            .output("y", FLOAT, &[])
            .constant(tensor("c", &[2], &[10.0, 100.0]))
            .node(op, "x c", "y", of)
    };
    let x = [1.0, 2.0, 3.0, 4.0];
    let axis = [int("broadcast", 1), int("axis", 1)];
    close(&base("Mul", &axis).run(&x), &[10.0, 20.0, 300.0, 400.0]);
    close(&base("Add", &[int("broadcast", 1)]).run(&x), &[11.0, 102.0, 13.0, 104.0]);
    assert!(base("Add", &[]).refusal().contains("`broadcast` is not 1"));
    let far = [int("broadcast", 1), int("axis", 3)];
    assert!(base("Add", &far).refusal().contains("axis 3"));
    let dropped = File::new()
        .opset(6)
        .input("x", &[1, 4])
        .output("y", FLOAT, &[])
        .node("Dropout", "x", "d", &[int("is_test", 1)])
        .node("Neg", "d", "y", &[]);
    close(&dropped.run(&x), &[-1.0, -2.0, -3.0, -4.0]);
}

/// `x` quantised to bytes with this zero point, doubled, and back.
fn around(kind: i32, zero: i32) -> File {
    File::new()
        .input("x", &[1, 2])
        .output("y", FLOAT, &[])
        .constant(tensor("s", &[], &[0.5]))
        .constant(small("z", kind, &[], &[zero]))
        .node("Neg", "x", "n", &[])
        .node("QuantizeLinear", "n s z", "q", &[])
        .node("Flatten", "q", "f", &[])
        .node("DequantizeLinear", "f s z", "d", &[])
        .node("Add", "d d", "y", &[])
}

#[test]
fn quantised_activations_keep_what_their_type_cuts_off() {
    // A zero point at the least integer is a ReLU that the exporter left out.
    close(&around(data_type::UINT8, 0).run(&[-3.0, 5.0]), &[6.0, 0.0]);
    close(&around(data_type::INT8, -128).run(&[-3.0, 5.0]), &[6.0, 0.0]);
    // Any other is none, whichever type it has.
    close(&around(data_type::INT8, 0).run(&[-3.0, 5.0]), &[6.0, -10.0]);
    close(&around(data_type::UINT8, 128).run(&[-3.0, 5.0]), &[6.0, -10.0]);
    // Behind a ReLU there is nothing to cut off.
    let relu = File::new()
        .input("x", &[1, 2])
        .output("y", FLOAT, &[])
        .constant(tensor("s", &[], &[0.5]))
        .constant(small("z", data_type::UINT8, &[], &[0]))
        .node("Relu", "x", "r", &[])
        .node("QuantizeLinear", "r s z", "q", &[])
        .node("DequantizeLinear", "q s z", "y", &[]);
    assert_eq!(relu.network().nodes.len(), 1);
    let mixed = around(data_type::UINT8, 128).node("Relu", "q", "y2", &[]);
    let mixed = mixed.output("y2", FLOAT, &[]);
    let reading = Reading { output_node: Some("y2".into()), ..Reading::default() };
    let text = read(&mixed.bytes(), &reading).unwrap_err().to_string();
    assert!(text.contains("quantised numbers"), "{text}");
}

#[test]
fn operators_on_integers_are_layers_on_floats() {
    let scales = |file: File| {
        file.constant(tensor("xs", &[], &[0.5]))
            .constant(small("xz", data_type::UINT8, &[], &[128]))
            .constant(tensor("ws", &[2], &[0.25, 2.0]))
            .constant(small("wz", data_type::INT8, &[2], &[0, 0]))
            .constant(tensor("ys", &[], &[0.125]))
            .constant(small("yz", data_type::UINT8, &[], &[100]))
    };
    // W = [[4·0.25, −2·2], [1·0.25, 3·2]], rows are inputs.
    let matrix = scales(File::new())
        .input("x", &[1, 2])
        .output("y", FLOAT, &[])
        .constant(small("w", data_type::INT8, &[2, 2], &[4, -2, 1, 3]))
        .node("QuantizeLinear", "x xs xz", "q", &[])
        .node("QLinearMatMul", "q xs xz w ws wz ys yz", "m", &[])
        .node("DequantizeLinear", "m ys yz", "y", &[]);
    close(&matrix.run(&[2.0, 4.0]), &[2.0 + 1.0, -8.0 + 24.0]);
    // One pixel of one channel, two outputs; the bias counts in steps of 0.5·0.25 and 0.5·2.
    let image = scales(File::new())
        .input("x", &[1, 1, 1, 1])
        .output("y", FLOAT, &[])
        .constant(small("w", data_type::INT8, &[2, 1, 1, 1], &[4, -3]))
        .constant(small("b", data_type::INT32, &[2], &[8, 5]))
        .node("QuantizeLinear", "x xs xz", "q", &[])
        .node("QLinearConv", "q xs xz w ws wz ys yz b", "m", &[])
        .node("com.microsoft/QLinearAdd", "m ys yz m ys yz ys yz", "a", &[])
        .node("DequantizeLinear", "a ys yz", "y", &[]);
    close(&image.run(&[2.0]), &[2.0 * (2.0 + 1.0), 2.0 * (-12.0 + 5.0)]);
    // As onnxruntime writes dynamic quantisation.
    let dynamic = File::new()
        .input("x", &[1, 2])
        .output("y", FLOAT, &[])
        .constant(small("w", data_type::INT8, &[2, 2], &[4, -2, 1, 3]))
        .constant(tensor("ws", &[], &[0.5]))
        .constant(small("wz", data_type::INT8, &[], &[1]))
        .node("DynamicQuantizeLinear", "x", "q s z", &[])
        .node("MatMulInteger", "q w z wz", "i", &[])
        .node("Cast", "i", "f", &[int("to", 1)])
        .node("Mul", "s ws", "p", &[])
        .node("Mul", "f p", "y", &[]);
    close(&dynamic.run(&[2.0, 4.0]), &[0.5 * (6.0 + 0.0), 0.5 * (-6.0 + 8.0)]);
}

/// A classifier with two features and these rows of coefficients.
fn classifier(rows: &[f32], biases: &[f32], transform: &str, labels: AttributeProto) -> File {
    let attributes = [
        numbers("coefficients", rows),
        numbers("intercepts", biases),
        word("post_transform", transform),
        labels,
    ];
    File::new()
        .input("x", &[0, 2])
        .output("label", data_type::INT64, &[0])
        .output("p", FLOAT, &[0, 2])
        .node("ai.onnx.ml/LinearClassifier", "x", "label p", &attributes)
}

fn softmax(x: &[f64]) -> Vec<f64> {
    let sum: f64 = x.iter().map(|x| x.exp()).sum();
    x.iter().map(|x| x.exp() / sum).collect()
}

#[test]
fn classifiers_give_logits_of_their_probabilities() {
    let sigma = |s: f64| 1.0 / (1.0 + (-s).exp());
    let ints = || whole("classlabels_ints", &[7, -2]);
    let x = [0.75, -0.5];
    let s = 2.0 * x[0] - x[1] + 0.5;
    // Two opposite rows, and one row alone: σ(−s) and σ(s).
    for (rows, biases) in
        [(&[-2.0_f32, 1.0, 2.0, -1.0][..], &[-0.5_f32, 0.5][..]), (&[2.0, -1.0], &[0.5])]
    {
        let file = classifier(rows, biases, "LOGISTIC", ints());
        close(&softmax(&file.run(&x)), &[sigma(-s), sigma(s)]);
        let network = file.network();
        assert_eq!(network.signature.labels, Some(Labels::Numbers(vec![7, -2])));
        assert_eq!(network.signature.head, Some(Head::Softmax));
    }
    // Any other rows: each σ(s) as a part of their sum.
    let rows = [1.0, 0.0, 0.0, 2.0, -1.0, -1.0];
    let three = words("classlabels_strings", &["a", "b", "c"]);
    let file = classifier(&rows, &[0.0, 0.5, 1.0], "LOGISTIC", three.clone());
    let scores = [x[0], 2.0 * x[1] + 0.5, -x[0] - x[1] + 1.0];
    let all: Vec<f64> = scores.iter().map(|&s| sigma(s)).collect();
    let sum: f64 = all.iter().sum();
    close(&softmax(&file.run(&x)), &all.iter().map(|p| p / sum).collect::<Vec<_>>());
    let file = classifier(&rows, &[0.0, 0.5, 1.0], "SOFTMAX", three.clone());
    close(&file.run(&x), &scores);
    let labels = ["a", "b", "c"].map(String::from).to_vec();
    assert_eq!(file.network().signature.labels, Some(Labels::Words(labels)));
    // The label alone is an argmax with names.
    let mut label = file;
    label.graph.output.truncate(1);
    assert!(label.network().argmax && label.network().signature.labels.is_some());
    let probit = classifier(&rows, &[0.0; 3], "PROBIT", three.clone());
    assert!(probit.refusal().contains("PROBIT"));
    assert!(
        classifier(&rows[..5], &[0.0; 3], "NONE", three.clone()).refusal().contains("whole rows")
    );
    assert!(classifier(&rows, &[0.0; 2], "NONE", three).refusal().contains("2 intercepts"));
}

#[test]
fn a_pipeline_of_scikit_learn() {
    let file = File::new()
        .input("x", &[0, 2])
        .output("p", FLOAT, &[0, 3])
        .output("label", data_type::INT64, &[0])
        .constant(tensor("w", &[3, 3], &[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]))
        .constant(TensorProto {
            name: "classes".into(),
            dims: vec![3],
            data_type: data_type::STRING,
            string_data: ["red", "green", "blue"].map(|w| w.as_bytes().to_vec()).to_vec(),
            ..Default::default()
        })
        .constant(TensorProto {
            name: "columns".into(),
            dims: vec![3],
            data_type: data_type::INT64,
            int64_data: vec![1, 0, 1],
            ..Default::default()
        })
        .node("ai.onnx.ml/Imputer", "x", "i", &[numbers("imputed_value_floats", &[0.0])])
        .node(
            "ai.onnx.ml/Scaler",
            "i",
            "s",
            &[numbers("offset", &[1.0, 2.0]), numbers("scale", &[10.0, 100.0])],
        )
        .node("ai.onnx.ml/ArrayFeatureExtractor", "s columns", "e", &[])
        .node("MatMul", "e w", "m", &[])
        .node("Softmax", "m", "p", &[int("axis", 1)])
        .node("ArgMax", "p", "a", &[int("axis", 1)])
        .node("ai.onnx.ml/ArrayFeatureExtractor", "classes a", "label", &[]);
    close(&file.run(&[3.0, 5.0]), &[300.0, 20.0, 300.0]);
    let rows: Vec<f32> = (0..40).map(|i| (i % 7) as f32).collect();
    let rows: Vec<&[f32]> = rows.chunks(2).collect();
    let model = Model::compile(&file.bytes(), &rows, &CompileOptions::default()).unwrap();
    let prediction = model.predict_plain(&[6.0, 0.0]).unwrap();
    assert_eq!((prediction.class, prediction.label), (1, Some(Label::Word("green".into()))));
    assert_eq!(model.plan().described().signature.head, Some(Head::Softmax));
}

#[test]
fn what_has_no_private_form_is_refused_by_name() {
    let of = |op: &str, attributes: &[AttributeProto]| {
        File::new()
            .input("x", &[0, 2])
            .output("y", FLOAT, &[])
            .node(&format!("ai.onnx.ml/{op}"), "x", "y", attributes)
            .refusal()
    };
    assert!(of("TreeEnsembleRegressor", &[]).contains("decision trees"));
    assert!(of("SVMClassifier", &[]).contains("LinearSVC"));
    assert!(of("Normalizer", &[word("norm", "L2")]).contains("own norm (L2)"));
    assert!(of("Mystery", &[]).contains("Scaler"));
    assert!(of("Scaler", &[numbers("scale", &[1.0; 3])]).contains("3 numbers"));
    let replaced = AttributeProto {
        name: "replaced_value_float".into(),
        f: -1.0,
        r#type: attribute_type::FLOAT,
        ..Default::default()
    };
    assert!(of("Imputer", &[replaced]).contains("only NaN"));
    assert!(of("LabelEncoder", &[]).contains("names of classes"));
}

#[test]
fn proportions_at_the_end_are_logarithms_of_a_sigmoid() {
    let file = File::new()
        .input("x", &[0, 3])
        .output("p", FLOAT, &[])
        .constant(tensor("minus", &[], &[-1.0]))
        .constant(tensor("unity", &[], &[1.0]))
        .node("Mul", "x minus", "t", &[])
        .node("Exp", "t", "e", &[])
        .node("Add", "e unity", "a", &[])
        .node("Reciprocal", "a", "q", &[])
        .node("ReduceSum", "q", "sum", &[int("keepdims", 1)])
        .node("Div", "q sum", "p", &[]);
    let x = [0.5, -1.0, 2.0];
    let all = x.map(|s: f64| 1.0 / (1.0 + (-s).exp()));
    let sum: f64 = all.iter().sum();
    close(&softmax(&file.run(&x)), &all.map(|p| p / sum));
}

#[test]
fn files_of_other_kinds_are_named() {
    for (bytes, part) in [
        (&b"version https://git-lfs.github.com/spec/v1\n"[..], "git lfs pull"),
        (b"\x1c\0\0\0TFL3 and more", "tf2onnx"),
        (b"\x89HDF\r\n\x1a\n....", "Keras"),
        (b"PK\x03\x04....archive/data.pkl", "torch.onnx.export"),
        (b"PK\x03\x04....metadata.json", ".keras"),
        (b"\x80\x04\x95 pickled", "pickle"),
        (b"\x93NUMPY\x01\x00", "NumPy"),
        (b"{\"model\": 1}", "text"),
    ] {
        let text = import(bytes).map(|_| ()).unwrap_err().to_string();
        assert!(text.contains("not an ONNX file, but") && text.contains(part), "{text}");
    }
}

#[test]
fn raw_features_of_unlike_scales_keep_their_bits() {
    // Two features of 0..1 and 0..1000, of which the small one decides.
    let file = File::new()
        .input("x", &[0, 3])
        .output("y", FLOAT, &[])
        .constant(tensor("o", &[3], &[0.5, 500.0, 1e-3]))
        .constant(tensor("d", &[3], &[0.25, 250.0, 5e-4]))
        .constant(tensor("w", &[3, 2], &[1.0, -1.0, 0.25, 0.5, 2.0, 1.0]))
        .node("Sub", "x o", "s", &[])
        .node("Div", "s d", "n", &[])
        .node("MatMul", "n w", "y", &[]);
    let data: Vec<f32> = (0..64)
        .flat_map(|i| {
            let part = |m: u32| (i * m % 64) as f32 / 63.0;
            [part(1), 1000.0 * part(7), 2e-3 * part(11)]
        })
        .collect();
    let rows: Vec<&[f32]> = data.chunks(3).collect();
    let off = |steps| {
        let options = CompileOptions { input_steps: steps, ..CompileOptions::default() };
        let model = Model::compile(&file.bytes(), &rows, &options).unwrap();
        let worst = rows.iter().map(|row| {
            let x: Vec<f64> = row.iter().map(|&x| f64::from(x)).collect();
            let logits = model.predict_plain(row).unwrap().logits.unwrap();
            file.run(&x).iter().zip(logits).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
        });
        (worst.fold(0.0, f64::max), model)
    };
    let (auto, model) = off(InputSteps::Auto);
    assert!(auto < 0.1, "{auto}");
    assert!(off(InputSteps::One).0 > 1.0);
    assert_eq!(model.plan().core().features().len(), 3);
    let [lo, hi] = model.plan().range_of(1).unwrap();
    assert!(lo < 0.0 && hi > 1000.0 && hi < 2000.0, "{lo} {hi}");
    // Like features have one step, as before.
    let like: Vec<Vec<f32>> = rows.iter().map(|r| vec![r[0], r[1] / 1000.0, r[0]]).collect();
    let model = Model::compile(&file.bytes(), &like, &CompileOptions::default()).unwrap();
    assert!(model.plan().core().features().is_empty());
}

#[test]
fn arrays_of_another_order_are_refused() {
    let file =
        File::new().input("x", &[0, 3, 4, 5]).output("y", FLOAT, &[]).node("Neg", "x", "y", &[]);
    let ports = file.network().signature.inputs;
    let array = |shape: &[usize]| Array::new(shape, vec![0.5; shape.iter().product()]).unwrap();
    for (shape, rows) in [
        (&[2, 3, 4, 5][..], 2),
        (&[3, 4, 5], 1),
        (&[2, 60], 2),
        (&[60], 1),
        (&[1, 2, 60][1..], 2),
        (&[2, 1, 3, 4, 5], 2),
    ] {
        assert_eq!(array(shape).rows_for(&ports, 60).unwrap().len(), rows, "{shape:?}");
    }
    for (shape, part) in [
        (&[2, 4, 5, 3][..], "x.transpose(0, 3, 1, 2)"),
        (&[2, 5, 4, 3], "shape [2, 5, 4, 3]"),
        (&[2, 12, 5], "flat rows of 60"),
        (&[2, 59], "60 numbers"),
        (&[4, 5, 3], "shape [4, 5, 3]"),
    ] {
        let text = array(shape).rows_for(&ports, 60).map(|_| ()).unwrap_err().to_string();
        assert!(text.contains(part), "{shape:?}: {text}");
    }
}

/// Six layers of three rotations, each behind a bound.
fn bounded(op: impl Fn(File, &str, &str) -> File) -> File {
    let mut file = File::new()
        .input("x", &[0, 4])
        .constant(tensor("lo", &[], &[-0.4]))
        .constant(tensor("far", &[], &[-1000.0]))
        .constant(tensor("top", &[], &[0.3]));
    let mut last = "x".to_owned();
    for i in 0..6 {
        let weights: Vec<f32> =
            (0..16).map(|j| ((j * 7 + i * 5) % 11) as f32 / 8.0 - 0.6).collect();
        let (w, m, y) = (format!("w{i}"), format!("m{i}"), format!("y{i}"));
        file = file.constant(tensor(&w, &[4, 4], &weights));
        file = file.node("MatMul", &format!("{last} {w}"), &m, &[]);
        file = op(file, &m, &y);
        last = y;
    }
    file.node("MatMul", &format!("{last} w0"), "y", &[]).output("y", FLOAT, &[])
}

#[test]
fn bounds_on_one_side_take_steps_from_calibration() {
    type Bound = fn(File, &str, &str) -> File;
    let cases: [(&str, Bound); 7] = [
        ("clip from below", |f, x, y| f.node("Clip", &format!("{x} lo"), y, &[])),
        ("clip from above", |f, x, y| f.node("Clip", &format!("{x} - top"), y, &[])),
        ("max", |f, x, y| f.node("Max", &format!("{x} lo"), y, &[])),
        ("min", |f, x, y| f.node("Min", &format!("{x} top"), y, &[])),
        ("far bound", |f, x, y| f.node("Max", &format!("{x} far"), y, &[])),
        ("far and near", |f, x, y| f.node("Clip", &format!("{x} far top"), y, &[])),
        ("behind leaky", |f, x, y| {
            let leaky = format!("{y}l");
            let slope = AttributeProto {
                name: "alpha".into(),
                f: 0.5,
                r#type: attribute_type::FLOAT,
                ..Default::default()
            };
            f.node("LeakyRelu", x, &leaky, &[slope]).node("Max", &format!("{leaky} lo"), y, &[])
        }),
    ];
    let data: Vec<f32> = (0..256).map(|i| (i * 37 % 101) as f32 / 50.0 - 1.0).collect();
    let rows: Vec<&[f32]> = data.chunks(4).collect();
    for (name, op) in cases {
        let file = bounded(op);
        let network = file.network();
        let model = Model::compile(&file.bytes(), &rows, &CompileOptions::default()).unwrap();
        let (mut worst, mut most) = (0.0_f64, 0.0_f64);
        for row in &rows {
            let x: Vec<f64> = row.iter().map(|&x| f64::from(x)).collect();
            let logits = model.predict_plain(row).unwrap().logits.unwrap();
            for (a, b) in output(&network, &x).iter().zip(logits) {
                (worst, most) = (worst.max((a - b).abs()), most.max(a.abs()));
            }
        }
        assert!(worst < 0.06 * most, "{name}: off by {worst} of {most}");
    }
}

#[test]
fn damaged_files_of_every_kind_never_panic() {
    let folder = Folder::new("damage");
    folder.write("w", &[0; 16]);
    let files = [
        external(&[("location", "w")]),
        around(data_type::UINT8, 0),
        classifier(&[1.0, 2.0], &[0.5], "LOGISTIC", whole("classlabels_ints", &[0, 1])),
    ];
    let reading = Reading { folder: Some(folder.0.clone()), ..Reading::default() };
    let mut read_still = 0;
    for file in &files {
        let bytes = file.bytes();
        for at in 0..bytes.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff, bytes[at] ^ 0x10] {
                let mut damaged = bytes.clone();
                damaged[at] = value;
                if let Ok(network) = read(&damaged, &reading)
                    && network.input_len < 1000
                {
                    let _any = network.evaluate(vec![0.5; network.input_len]);
                    read_still += 1;
                }
            }
            let _cut = read(&bytes[..at], &reading);
        }
    }
    assert!(read_still > 100);
}

#[test]
fn steps_of_features_survive_a_private_run_s_plan() {
    let file = File::new()
        .input("x", &[0, 2])
        .output("y", FLOAT, &[])
        .constant(tensor("w", &[2, 2], &[1.0, 0.001, -1.0, 0.002]))
        .node("MatMul", "x w", "m", &[])
        .node("Relu", "m", "y", &[]);
    let rows: Vec<Vec<f32>> =
        (0..16).map(|i| vec![i as f32 / 16.0, (i * 5 % 16) as f32 * 100.0]).collect();
    let model = Model::compile(&file.bytes(), &rows, &CompileOptions::default()).unwrap();
    assert_eq!(model.plan().core().features().len(), 2);
    let relu = file.network().nodes.iter().any(|n| n.work == Work::Activation(Activation::Relu));
    assert!(relu);
    let session = minionn_host::loopback::predict(
        &model,
        minionn_host::Options::default(),
        &Array::new(&[16, 2], rows.concat()).unwrap(),
        || {},
    )
    .unwrap();
    assert_eq!(session.predictions, model.predict_plain_batch(&rows).unwrap());
}
