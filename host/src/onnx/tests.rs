//! Refusals, limits and forms that no exporter's file shows.

use super::import;
use super::proto::*;
use crate::network::{Activation, Curve, Network, Node, PerElement, Work};
use prost::Message as _;

/// A file in the making, from `x` to `y`.
#[derive(Clone)]
struct File(GraphProto, i64);

fn value(name: &str, dims: &[i64]) -> ValueInfoProto {
    let dim = |&d: &i64| Dimension { dim_value: Some(d), dim_param: None };
    let shape = Some(TensorShapeProto { dim: dims.iter().map(dim).collect() });
    ValueInfoProto {
        name: name.into(),
        r#type: Some(TypeProto { tensor_type: Some(TensorType { elem_type: 1, shape }) }),
    }
}

fn floats(name: &str, dims: &[i64], data: &[f32]) -> TensorProto {
    TensorProto {
        name: name.into(),
        dims: dims.to_vec(),
        data_type: 1,
        float_data: data.to_vec(),
        ..Default::default()
    }
}

fn ints(name: &str, data: &[i64]) -> TensorProto {
    TensorProto {
        name: name.into(),
        dims: vec![data.len() as i64],
        data_type: 7,
        int64_data: data.to_vec(),
        ..Default::default()
    }
}

fn attr(name: &str, i: i64) -> AttributeProto {
    AttributeProto { name: name.into(), i, r#type: 2, ..Default::default() }
}

fn attr_ints(name: &str, ints: &[i64]) -> AttributeProto {
    AttributeProto { name: name.into(), ints: ints.to_vec(), r#type: 7, ..Default::default() }
}

fn attr_s(name: &str, s: &str) -> AttributeProto {
    AttributeProto { name: name.into(), s: s.into(), r#type: 3, ..Default::default() }
}

impl File {
    fn new(dims: &[i64]) -> Self {
        let graph = GraphProto {
            name: "test".into(),
            input: vec![value("x", dims)],
            output: vec![value("y", &[])],
            ..Default::default()
        };
        Self(graph, 13)
    }

    fn opset(mut self, version: i64) -> Self {
        self.1 = version;
        self
    }

    fn constant(mut self, tensor: TensorProto) -> Self {
        self.0.initializer.push(tensor);
        self
    }

    /// Appends a node, named after its index; names are separated by spaces (`-`: left out).
    fn node(mut self, op: &str, inputs: &str, outputs: &str, attribute: &[AttributeProto]) -> Self {
        let names = |text: &str| {
            text.split_whitespace()
                .map(|n| if n == "-" { String::new() } else { n.into() })
                .collect()
        };
        let name = format!("n{}", self.0.node.len());
        let attribute = attribute.to_vec();
        let node = NodeProto {
            input: names(inputs),
            output: names(outputs),
            name,
            op_type: op.into(),
            attribute,
            ..Default::default()
        };
        self.0.node.push(node);
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let opset_import = vec![OperatorSetIdProto { domain: String::new(), version: self.1 }];
        ModelProto { ir_version: 8, graph: Some(self.0.clone()), opset_import }.encode_to_vec()
    }

    fn read(&self) -> Network {
        import(&self.bytes()).unwrap_or_else(|e| panic!("{e}"))
    }

    fn refusal(&self) -> String {
        import(&self.bytes()).map(|_| ()).expect_err("must be refused").to_string()
    }

    fn run(&self, x: &[f64]) -> Vec<f64> {
        let network = self.read();
        network.evaluate(x.to_vec()).swap_remove(network.output)
    }
}

/// Constants of one number, named after it.
fn scalars(mut file: File, numbers: &[f32]) -> File {
    for (i, &n) in numbers.iter().enumerate() {
        file = file.constant(floats(&format!("c{i}"), &[], &[n]));
    }
    file
}

fn close(got: &[f64], want: &[f64]) {
    assert!(
        got.len() == want.len() && got.iter().zip(want).all(|(g, w)| (g - w).abs() < 1e-6),
        "{got:?} instead of {want:?}"
    );
}

/// A curve behind an affine input, so that factors cannot hide in it; the network's only activation
/// must be `curve`.
fn spelled(file: File, curve: Curve) {
    let network = file.read();
    let curves: Vec<_> = network
        .nodes
        .iter()
        .filter_map(|n| if let Work::Activation(a) = &n.work { Some(a.clone()) } else { None })
        .collect();
    assert_eq!(curves, [Activation::Curve(curve)], "{network:#?}");
    assert!(
        !network.nodes.iter().any(|n| matches!(n.work, Work::Product | Work::Square)),
        "{network:#?}"
    );
    let x = [-3.0, -0.5, 0.0, 0.7, 2.5];
    let want: Vec<f64> = x.iter().map(|&x: &f64| curve.at(2.0 * x + 0.25)).collect();
    let got = file.run(&x);
    assert!(
        got.iter().zip(&want).all(|(g, w)| (g - w).abs() < 1e-5),
        "{got:?} instead of {want:?}"
    );
}

#[test]
fn gelu_in_every_order() {
    // 2, 1/4, √2, 1/√2, 1, 1/2, √(2/π), 0.044715, 3, 6, 1/6.
    let (root, tanh) = (core::f32::consts::SQRT_2, (2.0 / core::f32::consts::PI).sqrt());
    let all = [2.0, 0.25, root, 1.0 / root, 1.0, 0.5, tanh, 0.044_715, 3.0, 6.0, 1.0 / 6.0];
    let start = || {
        scalars(File::new(&[1, 5]), &all).node("Mul", "x c0", "s", &[]).node(
            "Add",
            "s c1",
            "u",
            &[],
        )
    };
    let gate = |by: &str, with: &str| {
        start().node(by, with, "d", &[]).node("Erf", "d", "e", &[]).node("Add", "e c4", "g", &[])
    };
    for file in [gate("Div", "u c2"), gate("Mul", "c3 u")] {
        spelled(
            file.clone().node("Mul", "u g", "p", &[]).node("Mul", "p c5", "y", &[]),
            Curve::Gelu,
        );
        spelled(
            file.clone().node("Mul", "u c5", "h", &[]).node("Mul", "h g", "y", &[]),
            Curve::Gelu,
        );
        spelled(
            file.clone().node("Mul", "g c5", "h", &[]).node("Mul", "u h", "y", &[]),
            Curve::Gelu,
        );
        spelled(file.node("Div", "u c0", "h", &[]).node("Mul", "g h", "y", &[]), Curve::Gelu);
    }
    let cubes = [
        start().node("Pow", "u c8", "q", &[]),
        start().node("Mul", "u u", "v", &[]).node("Mul", "u v", "q", &[]),
    ];
    for file in cubes {
        let inner = file.node("Mul", "q c7", "r", &[]).node("Add", "u r", "t", &[]).node(
            "Mul",
            "t c6",
            "a",
            &[],
        );
        let outer = inner.node("Tanh", "a", "e", &[]).node("Add", "e c4", "g", &[]).node(
            "Mul",
            "u c5",
            "h",
            &[],
        );
        spelled(outer.node("Mul", "h g", "y", &[]), Curve::GeluTanh);
    }
    spelled(start().node("Sigmoid", "u", "g", &[]).node("Mul", "g u", "y", &[]), Curve::Silu);
    let clip = [floats("lo", &[], &[0.0]), floats("hi", &[], &[6.0])]
        .into_iter()
        .fold(start(), File::constant);
    let six = clip.node("Add", "u c8", "a", &[]).node("Clip", "a lo hi", "g", &[]);
    spelled(
        six.clone().node("Mul", "u g", "p", &[]).node("Div", "p c9", "y", &[]),
        Curve::HardSwish,
    );
    spelled(six.node("Mul", "g c10", "p", &[]).node("Mul", "p u", "y", &[]), Curve::HardSwish);
}

#[test]
fn other_functions_of_one_tensor_are_one_curve() {
    // x·tanh(softplus(x)), and x times a sigmoid that begins elsewhere.
    let mish = File::new(&[1, 2]).node("Softplus", "x", "s", &[]).node("Tanh", "s", "t", &[]).node(
        "Mul",
        "x t",
        "y",
        &[],
    );
    let f = |x: f64| x * x.exp().ln_1p().tanh();
    close(&mish.run(&[0.5, -1.0]), &[f(0.5), f(-1.0)]);
    let one = |file: &File| {
        let nodes = file.read().nodes;
        assert!(matches!(&nodes[..], [Node { work: Work::Activation(_), .. }]), "{nodes:#?}");
    };
    one(&mish);
    let other = scalars(File::new(&[1, 2]), &[1.0])
        .node("Add", "x c0", "u", &[])
        .node("Sigmoid", "u", "s", &[])
        .node("Mul", "x s", "y", &[]);
    close(&other.run(&[0.5, -1.0]), &[0.5 / (1.0 + (-1.5f64).exp()), -0.5]);
    one(&other);
    // An outer product of as many elements.
    let outer = File::new(&[1, 2])
        .constant(ints("c", &[2, 1]))
        .node("Sigmoid", "x", "s", &[])
        .node("Reshape", "s c", "t", &[]);
    let (p, q) = (1.0 / (1.0 + (-0.5f64).exp()), 1.0 / (1.0 + 1f64.exp()));
    close(&outer.node("Mul", "x t", "y", &[]).run(&[0.5, -1.0]), &[0.5 * p, -p, 0.5 * q, -q]);
    // x·sigmoid(2x) = silu(2x) / 2.
    let quick = scalars(File::new(&[1, 2]), &[2.0])
        .node("Mul", "x c0", "u", &[])
        .node("Sigmoid", "u", "s", &[])
        .node("Mul", "x s", "y", &[]);
    close(&quick.run(&[0.5, -1.0]), &[0.5 / (1.0 + (-1f64).exp()), -1.0 / (1.0 + 2f64.exp())]);
}

#[test]
fn broadcasting_both_ways() {
    let row = File::new(&[2, 3])
        .node("Slice", "x s e", "a", &[])
        .constant(ints("s", &[0, 0]))
        .constant(ints("e", &[2, 1]));
    let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    close(&row.clone().node("Mul", "x a", "y", &[]).run(&x), &[1.0, 2.0, 3.0, 16.0, 20.0, 24.0]);
    close(&row.clone().node("Sub", "a x", "y", &[]).run(&x), &[0.0, -1.0, -2.0, 0.0, -1.0, -2.0]);
    close(
        &row.clone().node("Max", "a x k", "y", &[]).constant(floats("k", &[], &[2.5])).run(&x),
        &[2.5, 2.5, 3.0, 4.0, 5.0, 6.0],
    );
    close(
        &row.node("Min", "k x", "y", &[]).constant(floats("k", &[2, 1], &[2.0, 5.0])).run(&x),
        &[1.0, 2.0, 2.0, 4.0, 5.0, 5.0],
    );
    let grows =
        File::new(&[3]).constant(floats("k", &[2, 1], &[10.0, 20.0])).node("Add", "x k", "y", &[]);
    close(&grows.run(&x[..3]), &[11.0, 12.0, 13.0, 21.0, 22.0, 23.0]);
    // The same tensor twice is a scale, not two copies.
    let twice = File::new(&[3]).node("Sum", "x x x", "y", &[]).read();
    assert_eq!(twice.nodes[0].work, Work::Affine(PerElement::One(3.0), PerElement::One(0.0)));
}

#[test]
fn weights_on_either_side_of_several_rows() {
    let file = || {
        File::new(&[2, 3]).constant(floats("w", &[3, 1], &[1.0, 10.0, 100.0])).constant(floats(
            "v",
            &[1, 2],
            &[1.0, -1.0],
        ))
    };
    let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    close(&file().node("MatMul", "x w", "y", &[]).run(&x), &[321.0, 654.0]);
    close(&file().node("MatMul", "v x", "y", &[]).run(&x), &[-3.0; 3]);
    close(&file().node("Gemm", "v x", "y", &[]).run(&x), &[-3.0; 3]);
    close(
        &file().node("Gemm", "x v", "y", &[attr("transA", 1), attr("transB", 1)]).run(&x),
        &[-3.0; 3],
    );
    let bias = file().constant(floats("b", &[2, 1], &[0.5, 0.25]));
    close(&bias.node("Gemm", "x w b", "y", &[]).run(&x), &[321.5, 654.25]);
    let computed = file().node("ReduceSum", "x", "b", &[]);
    close(&computed.node("Gemm", "x w b", "y", &[]).run(&x), &[342.0, 675.0]);
}

#[test]
fn integers_move_before_they_are_cast() {
    let mut file = File::new(&[2, 2]).node("Transpose", "x", "t", &[]).node(
        "Cast",
        "t",
        "y",
        &[attr("to", 1)],
    );
    file.0.input[0].r#type.as_mut().unwrap().tensor_type.as_mut().unwrap().elem_type =
        data_type::UINT8;
    close(&file.run(&[1.0, 2.0, 3.0, 4.0]), &[1.0, 3.0, 2.0, 4.0]);
    file.0.node[1].op_type = "Relu".into();
    file.0.node[1].attribute.clear();
    assert!(file.refusal().contains("cast them to FLOAT"));
}

/// One tensor with values that look random, all different.
fn numbers(name: &str, dims: &[i64]) -> TensorProto {
    let data: Vec<f32> = (0..dims.iter().product())
        .map(|i: i64| ((i * 37 + 11) % 101) as f32 / 101.0 - 0.5)
        .collect();
    floats(name, dims, &data)
}

/// A recurrent node over 4 steps of 2 numbers; its states start as constants or as part of the
/// input.
fn recurrent(
    op: &str,
    gates: i64,
    computed: bool,
    attributes: &[AttributeProto],
    directions: i64,
) -> File {
    let h = 3;
    let attributes = [attributes, &[attr("hidden_size", h)]].concat();
    let mut file = File::new(&[8 + 2 * h * directions])
        .constant(numbers("w", &[directions, gates * h, 2]))
        .constant(numbers("r", &[directions, gates * h, h]))
        .constant(numbers("b", &[directions, 2 * gates * h]))
        .constant(ints("sizes", &[8, h * directions, h * directions]))
        .constant(ints("steps", &[4, 1, 2]))
        .constant(ints("states", &[directions, 1, h]))
        .constant(numbers("k0", &[directions, 1, h]))
        .constant(numbers("k1", &[directions, 1, h]))
        .node("Split", "x sizes", "a s0 s1", &[])
        .node("Reshape", "a steps", "seq", &[])
        .node("Reshape", "s0 states", "h0", &[])
        .node("Reshape", "s1 states", "h1", &[]);
    let (start, outputs) =
        if op == "LSTM" { ("h0 h1", "all last cell") } else { ("h0", "all last") };
    let start = if computed { start.to_owned() } else { start.replace('h', "k") };
    file = file.node(op, &format!("seq w r b - {start}"), outputs, &attributes);
    file = file.constant(ints("flat", &[-1])).node("Reshape", "all flat", "f0", &[]).node(
        "Reshape",
        "last flat",
        "f1",
        &[],
    );
    let all = if op == "LSTM" { "f0 f1 f2" } else { "f0 f1" };
    if op == "LSTM" {
        file = file.node("Reshape", "cell flat", "f2", &[]);
    }
    file.node("Concat", all, "y", &[attr("axis", 0)])
}

#[test]
fn states_may_be_constants_or_computed() {
    let backwards = || attr_s("direction", "reverse");
    let both = || attr_s("direction", "bidirectional");
    for (op, gates, attributes, directions) in [
        ("LSTM", 4, vec![], 1),
        ("LSTM", 4, vec![backwards()], 1),
        ("LSTM", 4, vec![both()], 2),
        ("GRU", 3, vec![], 1),
        ("GRU", 3, vec![attr("linear_before_reset", 1)], 1),
        ("GRU", 3, vec![both(), attr("linear_before_reset", 1)], 2),
        ("GRU", 3, vec![both()], 2),
        ("RNN", 1, vec![both()], 2),
    ] {
        let (known, computed) = (
            recurrent(op, gates, false, &attributes, directions),
            recurrent(op, gates, true, &attributes, directions),
        );
        let mut x: Vec<f64> = (0..8).map(|i| f64::from(i * i % 7) / 3.0 - 1.0).collect();
        let state: Vec<f64> =
            numbers("", &[directions, 1, 3]).float_data.into_iter().map(f64::from).collect();
        x.extend(state.repeat(2));
        close(&known.run(&x), &computed.run(&x));
    }
}

/// `tanh(W·x + w + R·h + r)` and so on, written down from ONNX's text for one number and one step.
#[test]
fn gru_of_one_number() {
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    for after in [0, 1] {
        let file = File::new(&[1, 1, 1])
            .constant(floats("w", &[1, 3, 1], &[0.5, -0.25, 1.5]))
            .constant(floats("r", &[1, 3, 1], &[2.0, 0.75, -1.0]))
            .constant(floats("b", &[1, 6], &[0.125, 0.25, 0.5, -0.5, 1.0, 0.375]))
            .constant(floats("h", &[1, 1, 1], &[0.625]))
            .node(
                "GRU",
                "x w r b - h",
                "- y",
                &[attr("linear_before_reset", after), attr("hidden_size", 1)],
            );
        let (x, h) = (0.75, 0.625);
        let z = sigmoid(0.5 * x + 2.0 * h + 0.125 - 0.5);
        let r = sigmoid(-0.25 * x + 0.75 * h + 0.25 + 1.0);
        let old = if after == 1 { r * (-h + 0.375) } else { -r * h + 0.375 };
        let fresh = (1.5 * x + 0.5 + old).tanh();
        close(&file.run(&[x]), &[(1.0 - z) * fresh + z * h]);
    }
}

#[test]
fn slopes_of_every_kind() {
    let x = [-2.0, -1.0, 0.5, 3.0];
    for slope in [2.0f32, -0.5, 0.0, 1.0, 0.25] {
        let alpha =
            AttributeProto { name: "alpha".into(), f: slope, r#type: 1, ..Default::default() };
        let want: Vec<f64> =
            x.iter().map(|&x| if x < 0.0 { f64::from(slope) * x } else { x }).collect();
        // A slope of 1 is no layer: something has to follow.
        let file = scalars(File::new(&[1, 4]), &[3.0]).node("LeakyRelu", "x", "l", &[alpha]).node(
            "Sub",
            "l c0",
            "y",
            &[],
        );
        close(&file.run(&x).iter().map(|y| y + 3.0).collect::<Vec<_>>(), &want);
        let each = File::new(&[1, 4]).constant(floats("s", &[4], &[slope, 0.5, slope, 2.0])).node(
            "PRelu",
            "x s",
            "y",
            &[],
        );
        close(&each.run(&x), &[f64::from(slope) * -2.0, -0.5, 0.5, 3.0]);
    }
}

#[test]
fn nodes_beside_the_path_are_noted() {
    let file = File::new(&[1, 3])
        .node("Relu", "x", "y", &[])
        .node("RandomNormal", "nowhere", "q", &[])
        .node("Relu", "y", "z", &[]);
    let network = file.read();
    assert_eq!(network.nodes.len(), 1);
    assert!(
        network.notes[0].contains("2 not read")
            && network.notes[0].contains("node 1 \"n1\" (RandomNormal)"),
        "{:?}",
        network.notes
    );
}

#[test]
fn refusals_name_the_node_and_the_remedy() {
    let start = || File::new(&[1, 3]).constant(floats("w", &[3, 2], &[0.5; 6]));
    let indices: Vec<i64> = (0..1000).map(|i| i * i % 1009).collect();
    let cases: [(File, &[&str]); 22] = [
        (
            start().node("Mystery", "x", "y", &[]),
            &["node 0 \"n0\" (Mystery)", "`minionn operators` lists"],
        ),
        (start().node("Relu", "x", "y", &[attr("slope", 1)]), &["attribute `slope`"]),
        (start().node("Gemm", "x w", "y", &[attr("transB", 2)]), &["`transB` is 2"]),
        (start().node("Gemm", "x w", "y", &[attr_s("transB", "1")]), &["`transB` is of type 3"]),
        (
            start().node("Gemm", "x w", "y", &[attr("transB", 1), attr("transB", 0)]),
            &["`transB` is there twice"],
        ),
        (start().opset(7).node("Clip", "x", "y", &[attr("min", 1)]), &["`min` is of type 2"]),
        (
            start().node("Clip", "x k", "y", &[]).constant(floats("k", &[], &[f32::NAN])),
            &["not a range"],
        ),
        (start().node("MatMul", "x x", "y", &[]), &["[1, 3] and [1, 3] do not multiply"]),
        (start().node("If", "x", "y", &[]), &["which branch runs would be seen", "use Where"]),
        (start().node("Relu", "w", "y", &[]), &["does not depend on the input"]),
        (start().node("Identity", "w", "y", &[]), &["does not depend on the input"]),
        (start().node("Relu", "x", "z", &[]), &["nothing makes the output `y`"]),
        (start().node("Split", "x", "y z", &[attr("axis", 1)]), &["do not split"]),
        (
            start().node("Pad", "x p", "y", &[attr_s("mode", "turn")]).constant(ints("p", &[0; 4])),
            &["mode turn is not known"],
        ),
        (
            start().node("Pad", "x p", "y", &[]).constant(ints("p", &[0, -2, 0, -2])),
            &["pads -2 and -2"],
        ),
        (start().node("Slice", "x s s", "y", &[]).constant(ints("s", &[1])), &["no elements"]),
        (start().node("Concat", "x w", "y", &[attr("axis", 1)]), &["do not join"]),
        (start().node("Transpose", "x", "y", &[attr_ints("perm", &[0, 0])]), &["twice"]),
        (
            File::new(&[1009]).node("Gather", "x i", "y", &[]).constant(ints("i", &indices)),
            &["at most 256"],
        ),
        (
            start().node("Dropout", "x", "z q", &[]).node("Relu", "q", "y", &[]),
            &["node 1", "output of its node"],
        ),
        (start().opset(5).node("Relu", "x", "y", &[]), &["too old"]),
        (start().opset(99).node("Relu", "x", "y", &[]), &["too new"]),
    ];
    for (file, parts) in cases {
        let text = file.refusal();
        for part in parts {
            assert!(text.contains(part), "\"{text}\" lacks \"{part}\"");
        }
    }
}

/// `n` nodes in a row, each reading the one before it twice.
fn chain(n: usize, start: &str, op: &str, attribute: &[AttributeProto], file: File) -> File {
    let name = |i: usize| if i == 0 { start.to_owned() } else { format!("t{i}") };
    (0..n)
        .fold(file, |file, i| file.node(op, &format!("{0} {0}", name(i)), &name(i + 1), attribute))
}

#[test]
fn small_files_stay_small() {
    let axis = [attr("axis", 0)];
    let x = || File::new(&[64, 64]);
    let huge = || ints("huge", &[1 << 20, 1 << 20]);
    let doubled = chain(40, "x", "Concat", &axis, x()).node("Relu", "t40", "y", &[]);
    let constant = chain(40, "k", "Concat", &axis, x().constant(floats("k", &[64], &[1.0; 64])));
    let many = (0..5000).fold(x(), |file, i| {
        let from = if i == 0 { "x".into() } else { format!("t{i}") };
        file.node("Relu", &from, &format!("t{}", i + 1), &[])
    });
    let repeated = (0..2000)
        .fold(x().constant(floats("k", &[1 << 16], &[1.0; 1 << 16])), |file, i| {
            file.node("Reshape", "k s", &format!("r{i}"), &[])
        });
    let all: Vec<String> = (0..1000).map(|i| format!("r{i}")).collect();
    let repeated = repeated
        .constant(ints("s", &[256, 256]))
        .node("Concat", &all.join(" "), "j", &axis)
        .node("Add", "x j", "y", &[]);
    let squares = chain(3, "x", "Mul", &[], x());
    assert_eq!(squares.clone().node("Relu", "t3", "y", &[]).read().nodes.len(), 4);
    let long = File::new(&[1 << 23, 1]);
    let cases = [
        (doubled, "too large"),
        (constant.node("Mul", "x t40", "y", &[]), "too large"),
        (many.node("Relu", "t5000", "y", &[]), "4096 steps"),
        (repeated, "too large"),
        (
            x().constant(huge()).node("ConstantOfShape", "huge", "k", &[]).node(
                "Add",
                "x k",
                "y",
                &[],
            ),
            "too large",
        ),
        (x().constant(huge()).node("Expand", "x huge", "y", &[]), "broadcast"),
        (File::new(&[1]).constant(huge()).node("Expand", "x huge", "y", &[]), "too large"),
        (long.node("Transpose", "x", "t", &[]).node("Add", "x t", "y", &[]), "too large"),
        (x().node("Sum", &"x ".repeat(100), "y", &[]), "at most 64"),
        (x().node("Concat", &"x ".repeat(2000), "y", &axis), "at most 1024"),
        (
            x().constant(ints("a", &(0..30).collect::<Vec<_>>())).node(
                "Unsqueeze",
                "x a",
                "y",
                &[],
            ),
            "32 dimensions",
        ),
    ];
    for (file, part) in cases {
        let text = file.refusal();
        assert!(text.contains(part), "\"{text}\" lacks \"{part}\"");
    }
    let mut named = x().node("Relu", "x", "y", &[]);
    named.0.node[0].name = "ü".repeat(100_000);
    assert_eq!(named.read().nodes[0].name.chars().count(), 80);
}

#[test]
fn declared_sizes_are_not_believed() {
    for dims in [&[1 << 40, 1 << 40][..], &[i64::MAX, 2], &[-3, -2], &[3, 1 << 32], &[0, i64::MAX]]
    {
        let w = floats("w", dims, &[0.5; 6]);
        let text = File::new(&[1, 3]).constant(w).node("MatMul", "x w", "y", &[]).refusal();
        assert!(text.contains("shape"), "{text}");
    }
    for dims in [&[1, 1 << 40][..], &[1 << 33, 1 << 33], &[1, i64::MAX, i64::MAX]] {
        assert!(
            File::new(dims).node("Relu", "x", "y", &[]).refusal().contains("too large"),
            "{dims:?}"
        );
    }
}
