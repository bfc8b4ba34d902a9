//! From the input to the output, node by node.

use super::Error;
use super::graph::{Graph, describe, unsupported};
use super::proto::{AttributeProto, NodeProto};
use super::tensor::{Tensor, count};
use crate::network::{Builder, Layer, Linear, Network, PerElement};
use minionn_core::plan::{Convolution, MAX_LEN, MAX_WEIGHTS};
use std::collections::HashSet;

/// Most weights of all layers: twice what the largest layer may have.
const MAX_TOTAL: u64 = 2 * MAX_WEIGHTS;

/// Where the walk is: the tensor that the next node reads.
pub(super) struct Walk<'a> {
    pub(super) graph: &'a Graph<'a>,
    opset: i64,
    /// Name of the tensor.
    at: &'a str,
    /// Its shape; a batch dimension counts as 1.
    pub(super) dims: Vec<usize>,
    pub(super) builder: Builder,
    /// Weights of all layers so far: many nodes can read one constant.
    weights: u64,
    notes: Vec<String>,
    /// What has ended the network: a Softmax or ArgMax.
    ended: Option<String>,
    argmax: bool,
}

pub(super) type Step = Result<(), String>;

/// Reads the network.
pub(super) fn walk(graph: &Graph<'_>, opset: i64) -> Result<Network, Error> {
    let dims = input_dims(graph).map_err(|what| Error::File(format!("input `{}`: {what}", graph.input.name)))?;
    let input_len = dims.iter().product();
    let mut walk = Walk {
        graph,
        opset,
        at: &graph.input.name,
        dims,
        builder: Builder::default(),
        weights: 0,
        notes: Vec::new(),
        ended: None,
        argmax: false,
    };
    let mut visited = HashSet::new();
    while let Some((index, node)) = graph.reader(walk.at)? {
        walk.node(index, node).map_err(|what| graph.error(index, what))?;
        visited.insert(index);
        walk.at = node.output.first().ok_or_else(|| graph.error(index, "it has no output"))?;
    }
    if let Some(index) = graph.unvisited(&visited) {
        return Err(graph.error(index, "it is not on the path from the input to the output: branches are not supported"));
    }
    let output_len = walk.dims.iter().product();
    let steps = walk.builder.finish().map_err(Error::File)?;
    Ok(Network { name: graph.proto.name.clone(), input_len, output_len, steps, argmax: walk.argmax, notes: walk.notes })
}

/// Shape of the input; a first dimension with a name (or 0 or −1) is the batch and counts as 1.
fn input_dims(graph: &Graph<'_>) -> Result<Vec<usize>, String> {
    let tensor = graph.input.r#type.as_ref().and_then(|t| t.tensor_type.as_ref());
    let shape = tensor.and_then(|t| t.shape.as_ref()).ok_or("it declares no shape")?;
    let mut dims = Vec::new();
    for (i, dim) in shape.dim.iter().enumerate() {
        let value = dim.dim_value.unwrap_or(0);
        match usize::try_from(value) {
            Ok(value) if value > 0 => dims.push(value),
            _ if i == 0 && shape.dim.len() > 1 => dims.push(1),
            _ => return Err(format!("dimension {i} is not fixed: only the first one (the batch) may be")),
        }
    }
    match count(&dims) {
        Some(n) if n <= MAX_LEN as usize => Ok(dims),
        _ => Err(format!("shape {dims:?} is too large: at most {MAX_LEN} elements are supported")),
    }
}

pub(super) fn attribute<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    node.attribute.iter().find(|a| a.name == name)
}

pub(super) fn int(node: &NodeProto, name: &str, default: i64) -> i64 {
    attribute(node, name).map_or(default, |a| a.i)
}

fn float(node: &NodeProto, name: &str, default: f32) -> f64 {
    f64::from(attribute(node, name).map_or(default, |a| a.f))
}

/// Name of input `i`, `None` if it is left out.
pub(super) fn operand(node: &NodeProto, i: usize) -> Option<&str> {
    node.input.get(i).map(String::as_str).filter(|name| !name.is_empty())
}

/// `axis` counted from the front.
pub(super) fn axis_of(axis: i64, rank: usize) -> Result<usize, String> {
    let counted = if axis < 0 { axis.checked_add(rank as i64) } else { Some(axis) };
    counted
        .and_then(|a| usize::try_from(a).ok())
        .filter(|&a| a < rank)
        .ok_or_else(|| format!("axis {axis} is outside a tensor of {rank} dimensions"))
}

impl<'a> Walk<'a> {
    fn node(&mut self, index: usize, node: &'a NodeProto) -> Step {
        if !matches!(node.domain.as_str(), "" | "ai.onnx") {
            return Err(format!("domain `{}`: {}", node.domain, unsupported()));
        }
        let name = if node.name.is_empty() { node.output.first().cloned().unwrap_or_default() } else { node.name.clone() };
        let op = node.op_type.as_str();
        match (op, &self.ended) {
            ("Flatten" | "Reshape" | "Squeeze" | "Unsqueeze" | "Identity" | "Dropout" | "Cast", _) => self.shape(op, node),
            ("Softmax" | "LogSoftmax", None) => self.softmax(index, node),
            ("ArgMax", _) if !self.argmax => self.arg_max(index, node),
            (_, Some(end)) => Err(format!("it follows {end}, after which nothing but ArgMax and changes of shape is supported")),
            ("Gemm", _) => self.gemm(name, node),
            ("MatMul", _) => self.mat_mul(name, node),
            ("Add" | "Sub" | "Mul" | "Div", _) => self.arithmetic(name, op, node),
            ("BatchNormalization", _) => self.batch_normalization(name, node),
            ("Pow", _) => self.power(name, node),
            ("Conv", _) => self.convolution(name, node),
            ("MaxPool" | "AveragePool", _) => self.pool(name, op, node),
            ("GlobalMaxPool" | "GlobalAveragePool", _) => self.global_pool(name, op, node),
            ("ReduceMean", _) => self.reduce_mean(name, node),
            ("Relu", _) => self.builder.activation(name, Layer::Relu),
            _ => Err(unsupported()),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.dims.iter().product()
    }

    /// The constant that is input `i`.
    pub(super) fn constant(&self, node: &NodeProto, i: usize) -> Result<Tensor, String> {
        self.graph.constant(operand(node, i).ok_or_else(|| format!("input {i} is missing"))?)
    }

    /// Refuses anything but one computed tensor, as input `i`.
    pub(super) fn computed_is(&self, node: &NodeProto, i: usize) -> Step {
        let mut others = node.input.iter().enumerate().filter(|(_, name)| !name.is_empty() && !self.graph.is_constant(name));
        match others.find(|&(j, _)| j != i) {
            None => Ok(()),
            Some((_, name)) if name == self.at && operand(node, i) != Some(self.at) => {
                Err(format!("`{name}` must be input {i}, the constants the others"))
            }
            Some((_, name)) => Err(format!("it reads a second computed tensor, `{name}`: branches are not supported, except Mul(x, x)")),
        }
    }

    // Shapes.

    fn shape(&mut self, op: &str, node: &NodeProto) -> Step {
        self.computed_is(node, 0)?;
        if self.argmax {
            // One number is left, whatever its shape and type.
            return Ok(());
        }
        let dims = match op {
            "Flatten" => self.flatten(node)?,
            "Reshape" => self.reshape(node)?,
            "Squeeze" => self.squeeze(node)?,
            "Unsqueeze" => self.unsqueeze(node)?,
            "Cast" if !matches!(int(node, "to", 0), 1 | 11) => return Err("only a cast to FLOAT or DOUBLE is supported".into()),
            "Dropout" if operand(node, 2).is_some() && self.constant(node, 2)?.ints()?.iter().any(|&x| x != 0) => {
                return Err("it is in training mode: export for inference".into());
            }
            _ => return Ok(()),
        };
        if count(&dims) != Some(self.len()) {
            return Err(format!("shape {:?} does not become {dims:?}", self.dims));
        }
        self.dims = dims;
        Ok(())
    }

    fn flatten(&self, node: &NodeProto) -> Result<Vec<usize>, String> {
        let (axis, rank) = (int(node, "axis", 1), self.dims.len());
        let axis = if axis == rank as i64 { rank } else { axis_of(axis, rank)? };
        let (front, back) = self.dims.split_at(axis);
        Ok(vec![front.iter().product(), back.iter().product()])
    }

    fn reshape(&self, node: &NodeProto) -> Result<Vec<usize>, String> {
        let target = self.constant(node, 1)?;
        let target = target.ints()?;
        let copy = int(node, "allowzero", 0) == 0;
        let mut dims = Vec::new();
        for (i, &d) in target.iter().enumerate() {
            match usize::try_from(d) {
                Ok(0) if copy => dims.push(self.dims.get(i).copied().ok_or("it copies a dimension that is not there")?),
                Ok(d) => dims.push(d),
                Err(_) if d == -1 => dims.push(1),
                Err(_) => return Err(format!("shape {target:?} is not valid")),
            }
        }
        if let Some(open) = target.iter().position(|&d| d == -1) {
            let rest = count(&dims)
                .filter(|&n| n > 0 && self.len().is_multiple_of(n))
                .ok_or_else(|| format!("shape {:?} does not become {target:?}", self.dims))?;
            if let Some(dim) = dims.get_mut(open) {
                *dim = self.len() / rest;
            }
        }
        Ok(dims)
    }

    /// Axes from the attribute (before operator set 13) or from input 1.
    pub(super) fn axes(&self, node: &NodeProto) -> Result<Option<Vec<i64>>, String> {
        if let Some(axes) = attribute(node, "axes") {
            return Ok(Some(axes.ints.clone()));
        }
        operand(node, 1).map(|_| Ok(self.constant(node, 1)?.ints()?.to_vec())).transpose()
    }

    fn squeeze(&self, node: &NodeProto) -> Result<Vec<usize>, String> {
        let rank = self.dims.len();
        let Some(axes) = self.axes(node)? else { return Ok(self.dims.iter().copied().filter(|&d| d != 1).collect()) };
        let axes: HashSet<usize> = axes.iter().map(|&a| axis_of(a, rank)).collect::<Result<_, _>>()?;
        Ok(self.dims.iter().enumerate().filter(|(i, _)| !axes.contains(i)).map(|(_, &d)| d).collect())
    }

    fn unsqueeze(&self, node: &NodeProto) -> Result<Vec<usize>, String> {
        let axes = self.axes(node)?.ok_or("its axes are missing")?;
        let rank = self.dims.len() + axes.len();
        let axes: HashSet<usize> = axes.iter().map(|&a| axis_of(a, rank)).collect::<Result<_, _>>()?;
        let mut rest = self.dims.iter().copied();
        Ok((0..rank).map(|i| if axes.contains(&i) { 1 } else { rest.next().unwrap_or(1) }).collect())
    }

    // The end.

    /// The axis must hold the whole row: then it is a matter of order only.
    fn over_row(&self, axis: i64) -> Step {
        let axis = axis_of(axis, self.dims.len())?;
        if self.dims.get(axis) == Some(&self.len()) {
            return Ok(());
        }
        Err(format!("axis {axis} of shape {:?} is not the whole row", self.dims))
    }

    fn softmax(&mut self, index: usize, node: &NodeProto) -> Step {
        self.over_row(int(node, "axis", if self.opset < 13 { 1 } else { -1 }))?;
        let node = describe(index, node);
        self.notes.push(format!("{node} dropped: it does not change which output is largest; logits are those before it"));
        self.ended = Some(node);
        Ok(())
    }

    fn arg_max(&mut self, index: usize, node: &NodeProto) -> Step {
        self.over_row(int(node, "axis", 0))?;
        if int(node, "select_last_index", 0) != 0 {
            return Err("select_last_index is not supported: of equal outputs, the first is taken".into());
        }
        self.argmax = true;
        self.ended = Some(describe(index, node));
        Ok(())
    }

    // Layers.

    /// Appends a fully connected layer. `weights`: `[outputs][inputs]`.
    fn linear(&mut self, name: String, weights: Tensor, biases: Vec<f64>) -> Step {
        let (outputs, inputs) = weights.matrix()?;
        if inputs != self.len() {
            return Err(format!("its weights take rows of {inputs} numbers, but shape {:?} comes in", self.dims));
        }
        if outputs > MAX_LEN as usize || inputs as u64 * outputs as u64 > MAX_WEIGHTS {
            return Err(format!("{inputs} times {outputs} weights are too many: at most {MAX_WEIGHTS} are supported"));
        }
        self.append(name, Convolution::fully_connected(inputs as u32, outputs as u32), weights.floats(), biases)
    }

    /// Appends a linear layer with weights `[outputs][channels / groups][kernel]`.
    pub(super) fn append(&mut self, name: String, layer: Convolution, weights: Vec<f32>, biases: Vec<f64>) -> Step {
        self.weights += layer.weights();
        if self.weights > MAX_TOTAL {
            return Err(format!("all layers together have more than {MAX_TOTAL} weights"));
        }
        if let Some(at) = weights.iter().position(|w| !w.is_finite()) {
            let fan_in = layer.fan_in() as usize;
            return Err(format!("weight [{}, {}] (output, input) is not a finite number", at / fan_in, at % fan_in));
        }
        if let Some(at) = biases.iter().position(|b| !b.is_finite()) {
            return Err(format!("bias {at} is not a finite number"));
        }
        self.builder.linear(name, Linear { layer, weights, biases })
    }

    /// Refuses anything but one row of `inputs` numbers along the last dimension.
    fn flat_row(&self, inputs: usize) -> Step {
        if self.dims.last() == Some(&inputs) && self.len() == inputs {
            return Ok(());
        }
        Err(format!(
            "its weights take rows of {inputs} numbers, but shape {:?} comes in: flatten to one row, with a batch of 1 or without a size",
            self.dims
        ))
    }

    fn gemm(&mut self, name: String, node: &NodeProto) -> Step {
        self.computed_is(node, 0)?;
        if int(node, "transA", 0) != 0 {
            return Err("transA is not supported".into());
        }
        let weights = self.constant(node, 1)?;
        let mut weights = if int(node, "transB", 0) == 0 { weights.transposed()? } else { weights };
        let (outputs, inputs) = weights.matrix()?;
        self.flat_row(inputs)?;
        let alpha = float(node, "alpha", 1.0);
        if let (true, super::tensor::Data::Float(ws)) = (alpha != 1.0, &mut weights.data) {
            ws.iter_mut().for_each(|w| *w = (f64::from(*w) * alpha) as f32);
        }
        let beta = float(node, "beta", 1.0);
        let biases = match operand(node, 2) {
            None => PerElement::One(0.0),
            Some(name) => self.graph.constant(name)?.broadcast(&[1, outputs])?,
        };
        self.linear(name, weights, (0..outputs).map(|i| biases.at(i) * beta).collect())?;
        self.dims = vec![1, outputs];
        Ok(())
    }

    fn mat_mul(&mut self, name: String, node: &NodeProto) -> Step {
        let left = operand(node, 0) == Some(self.at);
        self.computed_is(node, usize::from(!left))?;
        let weights = self.constant(node, usize::from(left))?;
        let (rank, weights) = (self.dims.len(), if left { weights.transposed()? } else { weights });
        let (outputs, inputs) = weights.matrix()?;
        // x·W takes rows [.., inputs]; W·x takes a vector, or a column [.., inputs, 1].
        let column = !left && rank >= 2;
        let at = if column { rank - 2 } else { rank.wrapping_sub(1) };
        if column && (self.dims.get(at) != Some(&inputs) || self.len() != inputs) {
            return Err(format!("its weights take columns of {inputs} numbers, but shape {:?} comes in", self.dims));
        }
        if !column {
            self.flat_row(inputs)?;
        }
        self.linear(name, weights, vec![0.0; outputs])?;
        if let Some(dim) = self.dims.get_mut(at) {
            *dim = outputs;
        }
        Ok(())
    }

    fn arithmetic(&mut self, name: String, op: &str, node: &NodeProto) -> Step {
        let first = operand(node, 0) == Some(self.at);
        if first && operand(node, 1) == Some(self.at) {
            return if op == "Mul" {
                self.builder.activation(name, Layer::Square)
            } else {
                Err("it reads one tensor twice: only Mul(x, x) may".into())
            };
        }
        self.computed_is(node, usize::from(!first))?;
        let c = self.constant(node, usize::from(first))?.broadcast(&self.dims)?;
        let (zero, one) = (PerElement::One(0.0), PerElement::One(1.0));
        let (scale, offset) = match (op, first) {
            ("Add", _) => (one, c),
            ("Sub", true) => (one, c.map(|c| -c)),
            ("Sub", false) => (PerElement::One(-1.0), c),
            ("Mul", _) => (c, zero),
            ("Div", true) => (c.map(|c| 1.0 / c), zero),
            _ => return Err("a constant divided by a computed tensor is not supported".into()),
        };
        self.affine(name, scale, offset)
    }

    fn affine(&mut self, name: String, scale: PerElement, offset: PerElement) -> Step {
        if !scale.is_finite() || !offset.is_finite() {
            return Err("its constant is not a finite number, or a division by zero".into());
        }
        self.builder.affine(name, scale, offset)
    }

    /// `(x − mean) / √(variance + ε) · scale + bias`, with one of each for every channel.
    fn batch_normalization(&mut self, name: String, node: &NodeProto) -> Step {
        self.computed_is(node, 0)?;
        if self.dims.len() < 2 || self.dims.first() != Some(&1) || int(node, "training_mode", 0) != 0 {
            return Err(format!("shape {:?}: only inference over [1, channels, ...] is supported", self.dims));
        }
        let epsilon = float(node, "epsilon", 1e-5);
        let channels = self.dims.get(1..2).unwrap_or_default();
        let constant = |i| self.constant(node, i)?.broadcast(channels);
        let (scale, bias, mean, variance) = (constant(1)?, constant(2)?, constant(3)?, constant(4)?);
        let scale = scale.zip(&variance, |s, v| s / (v + epsilon).sqrt());
        let offset = bias.zip(&scale.zip(&mean, |s, m| s * m), |b, sm| b - sm);
        let each = self.dims.get(2..).unwrap_or_default().iter().product();
        self.affine(name, scale.repeat(each), offset.repeat(each))
    }

    fn power(&mut self, name: String, node: &NodeProto) -> Step {
        self.computed_is(node, 0)?;
        match self.constant(node, 1)?.broadcast(&self.dims)? {
            PerElement::One(2.0) => self.builder.activation(name, Layer::Square),
            _ => Err("only the power 2 is supported".into()),
        }
    }
}
