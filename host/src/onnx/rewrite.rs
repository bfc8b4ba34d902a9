//! Nodes of quantised networks, and what scikit-learn's exporter spells out, in terms of other
//! nodes, before anything is read.
//!
//! onnxruntime writes quantised networks in three ways: QuantizeLinear and DequantizeLinear around
//! float operators, operators on integers (QLinearConv and its kin), and weights that meet
//! activations quantised as they come (DynamicQuantizeLinear). The last two become the first here.

use super::graph::describe;
use super::learn;
use super::proto::{AttributeProto, GraphProto, NodeProto, TensorProto, attribute_type};
use super::tensor::Tensor;
use std::collections::HashMap;

/// The domain of onnxruntime's own operators.
const ONNXRUNTIME: &str = "com.microsoft";

/// What went wrong: the node and the reason.
type Fault = (String, String);

/// Rewrites all nodes that have another form. New nodes go behind the others, so that those of the
/// file keep their numbers.
pub(super) fn rewrite(graph: &mut GraphProto) -> Result<(), Fault> {
    let mut added = Vec::new();
    for (index, node) in graph.node.iter_mut().enumerate() {
        let quantised = matches!(node.domain.as_str(), "" | "ai.onnx" | ONNXRUNTIME);
        if !quantised {
            continue;
        }
        let described = describe(index, node);
        if node.domain == ONNXRUNTIME
            && matches!(node.op_type.as_str(), "QuantizeLinear" | "DequantizeLinear" | "Gelu")
        {
            // The same as ONNX's own.
            node.domain.clear();
            continue;
        }
        let mut parts = Parts { index, added: &mut added };
        parts.node(node).map_err(|what| (described, what))?;
    }
    dynamic(graph, &mut added);
    graph.node.extend(added);
    spelled(graph);
    Ok(())
}

/// Who makes what, by names.
struct Makers {
    nodes: Vec<NodeProto>,
    of: HashMap<String, usize>,
    /// Constants of one number.
    numbers: HashMap<String, f64>,
}

impl Makers {
    fn new(graph: &GraphProto) -> Self {
        let outputs = graph.node.iter().enumerate();
        let of = outputs.flat_map(|(i, n)| n.output.iter().map(move |name| (name.clone(), i)));
        let number = |tensor: &TensorProto| {
            let small = tensor.dims.iter().all(|&d| d == 1) && tensor.data_location == 0;
            let number = small.then(|| Tensor::decode(tensor).ok()?.scalar().ok())??;
            Some((tensor.name.clone(), number))
        };
        Self {
            of: of.collect(),
            numbers: graph.initializer.iter().filter_map(number).collect(),
            nodes: graph.node.clone(),
        }
    }

    /// The node that makes a tensor, if it is this operator.
    fn op(&self, name: &str, op: &str) -> Option<&NodeProto> {
        self.nodes.get(*self.of.get(name)?).filter(|node| node.op_type == op)
    }

    /// The two inputs of a node, in both orders.
    fn sides(node: &NodeProto) -> Option<[(&str, &str); 2]> {
        match &node.input[..] {
            [a, b] => Some([(a, b), (b, a)]),
            _ => None,
        }
    }

    /// What a tensor is `op` of, with a constant of this number as the other side.
    fn with_number(&self, name: &str, op: &str, number: f64) -> Option<&str> {
        let mut sides = Self::sides(self.op(name, op)?)?.into_iter();
        sides.find(|(_, c)| self.numbers.get(*c) == Some(&number)).map(|(x, _)| x)
    }

    /// `s` of `1 / (1 + e^−s)`, as the node that takes the reciprocal ends it.
    fn sigmoid(&self, node: &NodeProto) -> Option<String> {
        let exp = self.op(self.with_number(node.input.first()?, "Add", 1.0)?, "Exp")?;
        let turned = exp.input.first()?;
        let neg = || self.op(turned, "Neg")?.input.first().map(String::as_str);
        self.with_number(turned, "Mul", -1.0).or_else(neg).map(str::to_owned)
    }

    /// `x` of `x / Σ|x|`, as a division ends it; also where a sum of 0 is looked after.
    fn proportion(&self, node: &NodeProto) -> Option<String> {
        let [part, sum] = &node.input[..] else { return None };
        let of_sum = |name: &str| {
            let x = self.op(name, "ReduceSum")?.input.first()?;
            Some(self.op(x, "Abs").map_or(x, |abs| abs.input.first().unwrap_or(x)).clone())
        };
        if let Some(x) = of_sum(sum) {
            return (x == *part).then_some(x);
        }
        // (x + m) / (Σx + m·k), with m = 1 where the sum is 0.
        let none = |mask: &str, sum: &str| {
            let not = self.op(self.op(mask, "Cast")?.input.first()?, "Not")?;
            let known = self.op(not.input.first()?, "Cast")?.input.first()? == sum;
            known.then_some(())
        };
        Self::sides(self.op(sum, "Add")?)?.into_iter().find_map(|(total, masks)| {
            let x = of_sum(total)?;
            let mut masks = Self::sides(self.op(masks, "Mul")?)?.into_iter();
            let (mask, _) = masks.find(|(mask, _)| none(mask, total).is_some())?;
            let mut parts = Self::sides(self.op(part, "Add")?)?.into_iter();
            parts.any(|(a, b)| a == x && b == mask).then_some(x)
        })
    }
}

/// Functions that are spelled out in ONNX's operators by scikit-learn's exporter.
fn spelled(graph: &mut GraphProto) {
    let names = ["Reciprocal", "Div"];
    if !graph.node.iter().any(|node| names.contains(&node.op_type.as_str())) {
        return;
    }
    let makers = Makers::new(graph);
    for node in &mut graph.node {
        if node.op_type == "Reciprocal"
            && let Some(x) = makers.sigmoid(node)
        {
            node.op_type = "Sigmoid".into();
            node.input = vec![x];
        } else if node.op_type == "Div"
            && let Some(x) = makers.proportion(node)
        {
            node.op_type = "Normalizer".into();
            node.domain = learn::DOMAIN.into();
            node.attribute = vec![int(learn::PROPORTIONS, 1)];
            node.input = vec![x];
        }
    }
}

/// The nodes that one node becomes.
struct Parts<'n> {
    index: usize,
    added: &'n mut Vec<NodeProto>,
}

fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        i,
        r#type: attribute_type::INT,
        ..AttributeProto::default()
    }
}

impl Parts<'_> {
    /// Adds a node, and returns the name of what it makes.
    fn add(&mut self, op: &str, inputs: Vec<String>, attribute: Vec<AttributeProto>) -> String {
        let made = format!("{op} {} of node {}", self.added.len(), self.index);
        self.added.push(NodeProto {
            input: inputs,
            output: vec![made.clone()],
            name: made.clone(),
            op_type: op.into(),
            attribute,
            domain: String::new(),
        });
        made
    }

    /// The numbers behind a tensor, its scale and its zero point.
    fn float(&mut self, triple: &[String], axis: Option<i64>) -> String {
        self.add(
            "DequantizeLinear",
            triple.to_vec(),
            axis.map(|a| int("axis", a)).into_iter().collect(),
        )
    }

    /// Makes of `node` the quantisation of what `op` makes of `inputs`.
    fn becomes(
        &mut self,
        node: &mut NodeProto,
        op: &str,
        inputs: Vec<String>,
        to: Vec<String>,
    ) -> Result<(), String> {
        let attribute = core::mem::take(&mut node.attribute);
        let made = self.add(op, inputs, attribute);
        node.op_type = "QuantizeLinear".into();
        node.domain.clear();
        node.input = [vec![made], to].concat();
        Ok(())
    }

    fn node(&mut self, node: &mut NodeProto) -> Result<(), String> {
        let inputs = node.input.clone();
        let of = |range: core::ops::Range<usize>| {
            inputs.get(range).map(<[String]>::to_vec).ok_or("an input is missing")
        };
        match node.op_type.as_str() {
            "QLinearConv" => {
                let (x, w, to) = (of(0..3)?, of(3..6)?, of(6..8)?);
                let mut floats = vec![self.float(&x, None), self.float(&w, Some(0))];
                if let Some(bias) = inputs.get(8).filter(|name| !name.is_empty()) {
                    floats.push(self.bias(bias, &x, &w));
                }
                self.becomes(node, "Conv", floats, to)
            }
            "QLinearMatMul" => {
                let (x, w, to) = (of(0..3)?, of(3..6)?, of(6..8)?);
                let floats = vec![self.float(&x, Some(-2)), self.float(&w, Some(-1))];
                self.becomes(node, "MatMul", floats, to)
            }
            "QGemm" => {
                let (x, w, to) = (of(0..3)?, of(3..6)?, of(7..9)?);
                let turned = node.attribute.iter().any(|a| a.name == "transB" && a.i != 0);
                let axis = i64::from(!turned);
                let mut floats = vec![self.float(&x, None), self.float(&w, Some(axis))];
                if let Some(bias) = inputs.get(6).filter(|name| !name.is_empty()) {
                    floats.push(self.bias(bias, &x, &w));
                }
                self.becomes(node, "Gemm", floats, to)
            }
            "QLinearAdd" | "QLinearMul" => {
                let op = if node.op_type == "QLinearAdd" { "Add" } else { "Mul" };
                let floats = vec![self.float(&of(0..3)?, None), self.float(&of(3..6)?, None)];
                self.becomes(node, op, floats, of(6..8)?)
            }
            "QLinearSigmoid"
            | "QLinearLeakyRelu"
            | "QLinearGlobalAveragePool"
            | "QLinearAveragePool"
            | "QLinearReduceMean"
            | "QLinearSoftmax" => {
                let op = node.op_type.trim_start_matches("QLinear").to_owned();
                node.attribute
                    .retain(|a| !(a.name == "channels_last" && a.i == 0) && a.name != "opset");
                let floats = vec![self.float(&of(0..3)?, None)];
                self.becomes(node, &op, floats, of(3..5)?)
            }
            "QLinearConcat" => {
                let to = of(0..2)?;
                let all = inputs.get(2..).unwrap_or_default();
                let floats = all.chunks(3).map(|triple| self.float(triple, None)).collect();
                self.becomes(node, "Concat", floats, to)
            }
            _ => Ok(()),
        }
    }

    /// A bias in integers, whose step is the product of those of `x` and `w`.
    fn bias(&mut self, bias: &str, x: &[String], w: &[String]) -> String {
        let scales = [x, w].iter().filter_map(|t| t.get(1).cloned()).collect();
        let step = self.add("Mul", scales, vec![]);
        self.add("DequantizeLinear", vec![bias.into(), step], vec![int("axis", 0)])
    }
}

/// `cast(x̂ ∗ W)·(s·t)` with `x̂`, `s` from DynamicQuantizeLinear becomes `x ∗ (W·t)`: the layer on
/// the numbers that were to be quantised.
fn dynamic(graph: &mut GraphProto, added: &mut Vec<NodeProto>) {
    if !graph.node.iter().any(|node| node.op_type == "DynamicQuantizeLinear") {
        return;
    }
    let makers = Makers::new(graph);
    let input = |node: &NodeProto, i: usize| node.input.get(i).cloned().unwrap_or_default();
    for (index, node) in graph.node.iter_mut().enumerate() {
        if node.op_type != "Mul" {
            continue;
        }
        // One side is the cast of the layer, the other the product of the scales.
        let sides = [(0, 1), (1, 0)].map(|(a, b)| (input(node, a), input(node, b)));
        let found = sides.iter().find_map(|(layer, scales)| {
            let cast = input(makers.op(layer, "Cast")?, 0);
            let dense = makers.op(&cast, "MatMulInteger").is_some();
            let layer = makers.op(&cast, if dense { "MatMulInteger" } else { "ConvInteger" })?;
            let quantised = makers.op(&input(layer, 0), "DynamicQuantizeLinear")?;
            let product = makers.op(scales, "Mul")?;
            let own = quantised.output.get(1)?;
            let both = [input(product, 0), input(product, 1)];
            let scale = both.iter().find(|name| *name != own)?.clone();
            both.contains(own).then(|| (layer.clone(), input(quantised, 0), scale, dense))
        });
        let Some((layer, x, scale, dense)) = found else { continue };
        let mut parts = Parts { index, added };
        let zero = input(&layer, 3);
        let triple =
            [vec![input(&layer, 1), scale], [zero].into_iter().filter(|z| !z.is_empty()).collect()];
        let weights = parts.float(&triple.concat(), Some(if dense { -1 } else { 0 }));
        node.op_type = if dense { "MatMul" } else { "Conv" }.into();
        node.attribute.clone_from(&layer.attribute);
        node.input = vec![x, weights];
    }
}
