//! From the input to the output, node by node.

use super::build::Builder;
use super::call::{Call, Computed, Kind, MAX_INPUTS, Outputs, Value, plausible};
use super::graph::{Graph, describe, short};
use super::proto::{NodeProto, data_type};
use super::simplify::simplify;
use super::tensor::{Tensor, count};
use super::{Error, evaluate, operators};
use crate::network::Network;
use minionn_core::plan::MAX_LEN;
use std::collections::{HashMap, HashSet};

/// Reads the network.
pub(super) fn walk(graph: &Graph<'_>, opset: i64, file_len: usize) -> Result<Network, Error> {
    let input = input(graph)
        .map_err(|what| Error::File(format!("input `{}`: {what}", graph.input.name)))?;
    let input_len = input.len();
    let mut builder = Builder::new(input_len, file_len);
    let mut values: HashMap<&str, Value> =
        HashMap::from([(graph.input.name.as_str(), input.into())]);
    let mut names = vec![Some(graph.input.name.clone())];
    let order = graph.order()?;
    let ends = graph.ends(&order);
    for &index in &order {
        let Some(node) = graph.proto.node.get(index) else { continue };
        let last = ends.get(index) == Some(&true);
        let made = read(graph, &mut builder, &values, (index, node), (opset, last))
            .map_err(|what| graph.error(index, what))?;
        name(&mut names, node, &made);
        values.extend(
            node.output.iter().map(String::as_str).zip(made).filter(|(name, _)| !name.is_empty()),
        );
    }
    let output = match values.get(graph.output) {
        Some(Value::Computed(output)) => output,
        Some(Value::Constant(_)) => {
            return Err(Error::File(format!(
                "the output `{}` does not depend on the input",
                graph.output
            )));
        }
        None => {
            return Err(Error::File(format!(
                "the output `{}` is a second output of its node, which is not supported",
                graph.output
            )));
        }
    };
    if output.kind == Kind::Integer {
        return Err(Error::File("the network computes nothing from its input".into()));
    }
    let (output_len, argmax) = (builder.len(output.id), matches!(output.kind, Kind::Index(_)));
    let (nodes, last, names) = simplify(builder.nodes, output.id, &names);
    let mut notes = builder.notes;
    if nodes.is_empty() {
        notes.push("the network has no layer: its output is its input".into());
    }
    let order: HashSet<usize> = order.into_iter().collect();
    let ignored: Vec<usize> = (0..graph.proto.node.len()).filter(|i| !order.contains(i)).collect();
    if !ignored.is_empty() {
        let shown =
            ignored.iter().take(8).filter_map(|&i| Some(describe(i, graph.proto.node.get(i)?)));
        let shown = shown.collect::<Vec<_>>().join(", ");
        let more = if ignored.len() > 8 { ", …" } else { "" };
        notes.push(format!(
            "{} not read, as the output does not depend on it: {shown}{more}",
            ignored.len()
        ));
    }
    Ok(Network {
        name: graph.proto.name.clone(),
        input_len,
        output_len,
        nodes,
        output: last,
        names,
        argmax,
        notes,
    })
}

/// Names the tensors that a node made: the first name that stands for a tensor's numbers is kept.
fn name(names: &mut Vec<Option<String>>, node: &NodeProto, made: &[Value]) {
    for (name, value) in node.output.iter().zip(made).filter(|(name, _)| !name.is_empty()) {
        let Value::Computed(Computed {
            id, kind: Kind::Float | Kind::Integer | Kind::Truth, ..
        }) = value
        else {
            continue;
        };
        names.resize(names.len().max(id + 1), None);
        names
            .get_mut(*id)
            .into_iter()
            .for_each(|known| *known = known.take().or_else(|| Some(name.clone())));
    }
}

/// The outputs of one node.
fn read(
    graph: &Graph<'_>,
    builder: &mut Builder,
    values: &HashMap<&str, Value>,
    (index, node): (usize, &NodeProto),
    (opset, last): (i64, bool),
) -> Outputs {
    let unsupported = || operators::unsupported(&node.op_type);
    if !matches!(node.domain.as_str(), "" | "ai.onnx") {
        return Err(format!("domain `{}`: {}", node.domain, unsupported()));
    }
    let operator = operators::reader(&node.op_type).ok_or_else(unsupported)?;
    if node.input.len() > MAX_INPUTS {
        return Err(format!(
            "it has {} inputs: at most {MAX_INPUTS} are supported",
            node.input.len()
        ));
    }
    let mut inputs = Vec::new();
    for name in &node.input {
        let made = match (values.get(name.as_str()), graph.initializer(name)) {
            _ if name.is_empty() => None,
            (Some(value), _) => Some(value.clone()),
            (None, Some(proto)) => {
                let tensor = Tensor::decode(proto).and_then(|t| plausible(&t.dims).map(|()| t));
                let tensor = tensor.map_err(|what| format!("constant `{name}`: {what}"))?;
                builder.count_read(tensor.len())?;
                Some(tensor.into())
            }
            (None, None) => {
                return Err(format!(
                    "it reads `{name}`, an output of its node that is not supported"
                ));
            }
        };
        inputs.push(made);
    }
    let name =
        if node.name.is_empty() { node.output.first().map_or("", |name| name) } else { &node.name };
    let described = describe(index, node);
    let call = Call { node, described, name: short(name).into(), inputs, opset, last };
    // A node without inputs is a constant already.
    let known = if call.inputs.is_empty() { None } else { evaluate::node(builder, &call) };
    let made = known.unwrap_or_else(|| operator(builder, &call))?;
    made.iter().try_for_each(|value| plausible(value.dims()))?;
    Ok(made)
}

/// The input; a first dimension with a name (or 0 or −1) is the batch and counts as 1.
fn input(graph: &Graph<'_>) -> Result<Computed, String> {
    let tensor = graph
        .input
        .r#type
        .as_ref()
        .and_then(|t| t.tensor_type.as_ref())
        .ok_or("it is not a tensor")?;
    let shape = tensor.shape.as_ref().ok_or("it declares no shape")?;
    let mut dims = Vec::new();
    for (i, dim) in shape.dim.iter().enumerate() {
        match usize::try_from(dim.dim_value.unwrap_or(0)) {
            Ok(value) if value > 0 => dims.push(value),
            _ if i == 0 && shape.dim.len() > 1 => dims.push(1),
            _ => {
                return Err(format!(
                    "dimension {i} is not fixed: only the first one (the batch) may be"
                ));
            }
        }
    }
    let kind = match tensor.elem_type {
        data_type::FLOAT | data_type::DOUBLE | data_type::FLOAT16 | data_type::BFLOAT16 => {
            Kind::Float
        }
        data_type::UINT8
        | data_type::INT8
        | data_type::UINT16
        | data_type::INT16
        | data_type::INT32
        | data_type::INT64 => Kind::Integer,
        other => {
            return Err(format!(
                "its element type is number {other}: floats and integers are supported"
            ));
        }
    };
    match count(&dims) {
        Some(n) if n <= MAX_LEN as usize => {
            plausible(&dims).map(|()| Computed { kind, ..Computed::new(0, dims) })
        }
        _ => Err(format!("shape {dims:?} is too large: at most {MAX_LEN} elements are supported")),
    }
}
