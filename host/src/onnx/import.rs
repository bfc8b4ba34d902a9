//! From the input to the output, node by node.

use super::build::Builder;
use super::call::{Call, Computed, Kind, MAX_INPUTS, Outputs, Value, plausible};
use super::external::Files;
use super::graph::{Graph, describe, short};
use super::proto::{NodeProto, ValueInfoProto, data_type};
use super::simplify::simplify;
use super::views::Loops;
use super::{Error, Reading, evaluate, input, learn, old, operators};
use crate::network::{Network, Port, Signature};
use std::collections::{HashMap, HashSet};

/// What a walk over a graph is told.
#[derive(Clone, Copy)]
pub(super) struct Setting<'a> {
    pub(super) opset: i64,
    /// Bytes of the file and of those beside it.
    pub(super) len: usize,
    pub(super) files: &'a Files<'a>,
    pub(super) reading: &'a Reading,
    /// A fixed batch, and what becomes of it.
    pub(super) batch: Option<(usize, usize)>,
}

/// Reads the network. A fixed batch above one becomes one where that changes nothing for a row.
pub(super) fn network(graph: &Graph<'_>, setting: Setting<'_>) -> Result<Network, Error> {
    let Some(batch) = input::fixed_batch(graph, setting.reading) else {
        return walk(graph, setting);
    };
    let of = |rows| walk(graph, Setting { batch: Some((batch, rows)), ..setting });
    let whole = || walk(graph, Setting { batch: None, ..setting });
    match (of(1), of(2)) {
        (Ok(mut one), two) if two.as_ref().map_or(true, |two| same_rows(&one, two)) => {
            let sure = if two.is_ok() { "" } else { ", taken as independent of each other" };
            one.notes.push(format!(
                "the batch of {batch} is one row for a prediction: give as many rows as you \
                 like{sure}"
            ));
            one.signature.batch = Some(batch);
            Ok(one)
        }
        (Ok(_), _) => {
            let mut whole = whole()?;
            whole.notes.push(format!(
                "the rows of its batch of {batch} depend on each other: all of them are one input"
            ));
            Ok(whole)
        }
        (Err(error), _) => whole().map_err(|_| error),
    }
}

/// Whether two rows give what each of them gives alone.
fn same_rows(one: &Network, two: &Network) -> bool {
    if 2 * one.input_len != two.input_len || 2 * one.output_len != two.output_len {
        return false;
    }
    // Numbers without a pattern, the same in every run.
    let number = |i: usize| {
        let mixed = (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        f64::from((mixed >> 40) as u32) / f64::from(1 << 23) - 1.0
    };
    // Several inputs: each has its own rows.
    let ports = &one.signature.inputs;
    let row = |r: usize| -> Vec<f64> { (0..one.input_len).map(|i| number(2 * i + r)).collect() };
    let (first, second) = (row(0), row(1));
    let (mut both, mut at) = (Vec::new(), 0);
    for port in ports {
        let part = at..at + port.len();
        both.extend_from_slice(first.get(part.clone()).unwrap_or_default());
        both.extend_from_slice(second.get(part.clone()).unwrap_or_default());
        at = part.end;
    }
    let output = |network: &Network, x| {
        network.evaluate(x).into_iter().nth(network.output).unwrap_or_default()
    };
    let alone = [output(one, first), output(one, second)].concat();
    let together = output(two, both);
    let largest = alone.iter().fold(1e-6_f64, |most, x| most.max(x.abs()));
    together.len() == alone.len()
        && together.iter().zip(&alone).all(|(x, y)| (x - y).abs() <= 1e-4 * largest)
}

/// What the names of a file stand for so far.
struct Walk<'g, 'a> {
    graph: &'g Graph<'a>,
    setting: Setting<'g>,
    builder: Builder,
    values: HashMap<&'a str, Value>,
    names: Vec<Option<String>>,
    done: HashSet<usize>,
}

impl<'a> Walk<'_, 'a> {
    /// Reads the nodes that are not yet read.
    fn nodes(&mut self, order: &[usize]) -> Result<(), Error> {
        let ends = self.graph.ends(order);
        for &index in order.iter().filter(|index| !self.done.contains(index)) {
            let Some(node) = self.graph.proto.node.get(index) else { continue };
            let last = ends.get(index) == Some(&true);
            let at = (index, node, last);
            let made = read(self.graph, &mut self.builder, &self.values, at, self.setting)
                .map_err(|what| self.graph.error(index, what))?;
            name(&mut self.names, node, &made);
            let outputs = node.output.iter().map(String::as_str).zip(made);
            self.values.extend(outputs.filter(|(name, _)| !name.is_empty()));
        }
        self.done.extend(order);
        Ok(())
    }

    /// Reads what other outputs say of the classes. What stands in the way there is no error, as
    /// the output that was chosen does not need it.
    fn labels(&mut self, output: &str) {
        let notes = self.builder.notes.len();
        for other in self.graph.outputs.iter().filter(|other| other.name != output) {
            if !input::is_score(other)
                && let Ok(order) = self.graph.order(&other.name)
                && self.builder.labels.is_none()
            {
                // Its labels are found, or not.
                let _unread = self.nodes(&order);
            }
        }
        self.builder.notes.truncate(notes);
    }
}

fn walk(graph: &Graph<'_>, setting: Setting<'_>) -> Result<Network, Error> {
    let output = input::output(graph, setting.reading)?;
    let order = graph.order(output)?;
    let inputs = input::inputs(graph, &order, setting)?;
    let input_len = inputs.iter().map(|(_, computed)| computed.len()).sum();
    let mut walk = Walk {
        graph,
        setting,
        builder: Builder::new(input_len, setting.len),
        values: HashMap::new(),
        names: vec![None],
        done: HashSet::new(),
    };
    walk.builder.batch = setting.batch;
    let ports = walk.inputs(&inputs)?;
    walk.nodes(&order)?;
    let found = match walk.values.get(output) {
        Some(Value::Computed(found)) => found.clone(),
        Some(Value::Constant(_)) => {
            return Err(Error::File(format!("the output `{output}` does not depend on the input")));
        }
        None => {
            return Err(Error::File(format!(
                "the output `{output}` is an output of its node that is not supported"
            )));
        }
    };
    if found.kind == Kind::Integer {
        return Err(Error::File("the network computes nothing from its input".into()));
    }
    let used: HashSet<usize> = walk.done.clone();
    let argmax = matches!(found.kind, Kind::Index(_));
    walk.labels(output);
    let Walk { builder, names, .. } = walk;
    let output_len = builder.len(found.id);
    let mut notes = builder.notes;
    if graph.outputs.len() > 1 {
        let others = graph.outputs.iter().map(|o| short(&o.name)).filter(|name| *name != output);
        let others = others.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        notes.push(format!(
            "the output is `{}`; left out: {others} (--output-node names another)",
            short(output)
        ));
    }
    let (nodes, last, names) = simplify(builder.nodes, found.id, &names);
    if nodes.is_empty() {
        notes.push("the network has no layer: its output is its input".into());
    }
    notes.extend(unread(graph, &used));
    let labels = builder
        .labels
        .filter(|labels| labels.len() == output_len || (labels.len(), output_len) == (2, 1));
    Ok(Network {
        name: graph.proto.name.clone(),
        input_len,
        output_len,
        nodes,
        output: last,
        names,
        argmax,
        signature: Signature { inputs: ports, labels, head: builder.head, ..Signature::default() },
        notes,
    })
}

/// A note on the nodes that were not read.
fn unread(graph: &Graph<'_>, read: &HashSet<usize>) -> Option<String> {
    let ignored: Vec<usize> = (0..graph.proto.node.len()).filter(|i| !read.contains(i)).collect();
    let shown = ignored.iter().take(8).filter_map(|&i| Some(describe(i, graph.proto.node.get(i)?)));
    let shown = shown.collect::<Vec<_>>().join(", ");
    let more = if ignored.len() > 8 { ", …" } else { "" };
    (!ignored.is_empty()).then(|| {
        format!("{} not read, as the output does not depend on it: {shown}{more}", ignored.len())
    })
}

impl<'a> Walk<'_, 'a> {
    /// The declared inputs as parts of the one input tensor.
    fn inputs(&mut self, inputs: &[(&'a ValueInfoProto, Computed)]) -> Result<Vec<Port>, Error> {
        let mut at = 0;
        let mut ports = Vec::new();
        let alone = inputs.len() == 1;
        for (proto, input) in inputs {
            let len = input.len();
            let value = if alone {
                self.names = vec![Some(proto.name.clone())];
                input.clone()
            } else {
                let loops = Loops::new(&[len], at as i64, &[1], 0, &[1]);
                let part = self
                    .builder
                    .copy(
                        &proto.name,
                        &Computed::new(0, vec![self.builder.len(0)]),
                        input.dims.clone(),
                        1.0,
                        &loops,
                    )
                    .map_err(|what| Error::File(format!("input `{}`: {what}", proto.name)))?;
                self.names.resize(part.id + 1, None);
                self.names.get_mut(part.id).into_iter().for_each(|n| *n = Some(proto.name.clone()));
                Computed { kind: input.kind.clone(), ..part }
            };
            at += len;
            let batch = input::has_batch(proto, &input.dims, self.setting);
            ports.push(Port { name: proto.name.clone(), shape: input.dims.clone(), batch });
            self.values.insert(proto.name.as_str(), value.into());
        }
        if !alone {
            let names: Vec<String> = ports
                .iter()
                .map(|p| format!("`{}` ({} numbers)", short(&p.name), p.len()))
                .collect();
            self.builder
                .notes
                .push(format!("its inputs follow one another in one row: {}", names.join(", ")));
        }
        Ok(ports)
    }
}

/// Names the tensors that a node made: the first name that stands for a tensor's numbers is kept.
fn name(names: &mut Vec<Option<String>>, node: &NodeProto, made: &[Value]) {
    for (name, value) in node.output.iter().zip(made).filter(|(name, _)| !name.is_empty()) {
        let Value::Computed(Computed {
            id,
            kind: Kind::Float | Kind::Integer | Kind::Truth | Kind::Quantised(_),
            ..
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
    (index, node, last): (usize, &NodeProto, bool),
    setting: Setting<'_>,
) -> Outputs {
    let unsupported = || operators::unsupported(&node.op_type);
    let operator = match node.domain.as_str() {
        "" | "ai.onnx" => operators::reader(&node.op_type),
        learn::DOMAIN => Some(learn::operator(&node.op_type)?),
        other => return Err(format!("domain `{other}`: {}", unsupported())),
    }
    .ok_or_else(unsupported)?;
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
            // Words are no numbers: who takes them asks the builder.
            (None, Some(proto)) if proto.data_type == data_type::STRING => {
                if node.domain != learn::DOMAIN {
                    return Err(format!("constant `{name}`: words are read as labels only"));
                }
                builder.words = Some(learn::words(proto)?);
                None
            }
            (None, Some(proto)) => {
                let tensor =
                    setting.files.tensor(proto).and_then(|t| plausible(&t.dims).map(|()| t));
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
    let opset = setting.opset;
    builder.zero_type = node.input.get(2).and_then(|zero| graph.constant_type(zero));
    let node = &*old::adapt(node, opset, &mut inputs)?;
    let described = describe(index, node);
    let call = Call { node, described, name: short(name).into(), inputs, opset, last };
    // A node without inputs is a constant already.
    let known = if call.inputs.is_empty() { None } else { evaluate::node(builder, &call) };
    let made = known.unwrap_or_else(|| operator(builder, &call))?;
    builder.words = None;
    made.iter().try_for_each(|value| plausible(value.dims()))?;
    Ok(made)
}
