//! Who makes and who reads which tensor.

use super::proto::{GraphProto, NodeProto, TensorProto, ValueInfoProto};
use super::tensor::Tensor;
use super::{Error, SUPPORTED};
use std::collections::{HashMap, HashSet};

/// A graph whose tensors all have exactly one origin, and without cycles.
pub(super) struct Graph<'a> {
    pub(super) proto: &'a GraphProto,
    pub(super) input: &'a ValueInfoProto,
    initializers: HashMap<&'a str, &'a TensorProto>,
    /// Which node makes a tensor.
    producers: HashMap<&'a str, usize>,
    /// Which nodes read a tensor, each once.
    readers: HashMap<&'a str, Vec<usize>>,
    /// Tensors made of constants only.
    constants: HashSet<&'a str>,
}

/// Index, name and operator of a node, for messages.
pub(super) fn describe(index: usize, node: &NodeProto) -> String {
    format!("node {index} \"{}\" ({})", node.name, node.op_type)
}

fn file<T>(what: String) -> Result<T, Error> {
    Err(Error::File(what))
}

impl<'a> Graph<'a> {
    pub(super) fn new(proto: &'a GraphProto) -> Result<Self, Error> {
        let mut initializers = HashMap::new();
        for tensor in &proto.initializer {
            if initializers.insert(tensor.name.as_str(), tensor).is_some() {
                return file(format!("two constants are named `{}`", tensor.name));
            }
        }
        let input = only("input", proto.input.iter().filter(|v| !initializers.contains_key(v.name.as_str())))?;
        only("output", proto.output.iter())?;
        let mut graph = Self { proto, input, initializers, producers: HashMap::new(), readers: HashMap::new(), constants: HashSet::new() };
        graph.constants.extend(graph.initializers.keys());
        graph.index()?;
        graph.order()?;
        Ok(graph)
    }

    pub(super) fn error(&self, index: usize, what: impl Into<String>) -> Error {
        let node = self.proto.node.get(index).map_or_else(String::new, |node| describe(index, node));
        Error::Node { node, what: what.into() }
    }

    /// Fills `producers` and `readers`; refuses tensors made twice or never.
    fn index(&mut self) -> Result<(), Error> {
        for (i, node) in self.proto.node.iter().enumerate() {
            for name in node.output.iter().filter(|name| !name.is_empty()) {
                let known = self.initializers.contains_key(name.as_str()) || *name == self.input.name;
                if known || self.producers.insert(name, i).is_some() {
                    return Err(self.error(i, format!("it makes `{name}`, which something else already makes")));
                }
            }
        }
        for (i, node) in self.proto.node.iter().enumerate() {
            for name in node.input.iter().filter(|name| !name.is_empty()) {
                let made = self.producers.contains_key(name.as_str()) || self.initializers.contains_key(name.as_str());
                if !made && *name != self.input.name {
                    return Err(self.error(i, format!("it reads `{name}`, which nothing makes")));
                }
                let readers = self.readers.entry(name).or_default();
                if readers.last() != Some(&i) {
                    readers.push(i);
                }
            }
        }
        Ok(())
    }

    /// Visits every node after its inputs (Kahn): finds cycles, and the tensors that are constants.
    fn order(&mut self) -> Result<(), Error> {
        let computed = |node: &'a NodeProto| -> HashSet<&'a str> {
            node.input.iter().map(String::as_str).filter(|n| self.producers.contains_key(n)).collect()
        };
        let mut waiting: Vec<usize> = self.proto.node.iter().map(|node| computed(node).len()).collect();
        let mut ready: Vec<usize> = (0..waiting.len()).filter(|&i| waiting.get(i) == Some(&0)).collect();
        let mut visited = 0;
        while let Some(i) = ready.pop() {
            visited += 1;
            let Some(node) = self.proto.node.get(i) else { continue };
            if self.is_constant_node(node) {
                self.constants.extend(node.output.first().map(String::as_str));
            }
            for &reader in node.output.iter().filter_map(|name| self.readers.get(name.as_str())).flatten() {
                if let Some(left) = waiting.get_mut(reader) {
                    *left -= 1;
                    if *left == 0 {
                        ready.push(reader);
                    }
                }
            }
        }
        if visited == self.proto.node.len() {
            return Ok(());
        }
        let stuck = waiting.iter().position(|&left| left > 0).unwrap_or_default();
        Err(self.error(stuck, "it is in a cycle or behind one"))
    }

    fn is_constant_node(&self, node: &NodeProto) -> bool {
        let passes = matches!(node.op_type.as_str(), "Identity" | "Transpose");
        node.op_type == "Constant" || passes && node.input.first().is_some_and(|name| self.is_constant(name))
    }

    pub(super) fn is_constant(&self, name: &str) -> bool {
        self.constants.contains(name)
    }

    /// The node that reads a tensor: `None` at the output.
    pub(super) fn reader(&self, name: &str) -> Result<Option<(usize, &'a NodeProto)>, Error> {
        let readers = self.readers.get(name).map_or(&[][..], |r| r);
        let is_output = self.proto.output.iter().any(|o| o.name == name);
        match *readers {
            [] if is_output => Ok(None),
            [] => file(format!("nothing reads `{name}`, and it is not the output: the path from the input ends here")),
            [i, ..] if is_output => Err(self.error(i, format!("it reads `{name}`, which is also the output: branches are not supported"))),
            [i] => Ok(self.proto.node.get(i).map(|node| (i, node))),
            [first, second, ..] => {
                let other = self.proto.node.get(first).map_or_else(String::new, |node| describe(first, node));
                Err(self.error(second, format!("it reads `{name}`, which {other} reads too: branches are not supported, except Mul(x, x)")))
            }
        }
    }

    /// The first node that is neither in `visited` nor a constant.
    pub(super) fn unvisited(&self, visited: &HashSet<usize>) -> Option<usize> {
        let mut nodes = self.proto.node.iter().enumerate();
        nodes.find(|(i, node)| !visited.contains(i) && !self.is_constant_node(node)).map(|(i, _)| i)
    }

    /// The constant of this name; through Identity and Transpose.
    pub(super) fn constant(&self, name: &str) -> Result<Tensor, String> {
        let (mut at, mut turned) = (name, false);
        // No cycles: this ends.
        loop {
            let tensor = if let Some(proto) = self.initializers.get(at) {
                Tensor::decode(proto)
            } else {
                let node = self.producers.get(at).and_then(|&i| self.proto.node.get(i)).filter(|_| self.is_constant(at));
                let node = node.ok_or_else(|| format!("`{at}` must be a constant"))?;
                if node.op_type == "Constant" {
                    let value = node.attribute.first().ok_or_else(|| format!("constant `{at}` has no value"))?;
                    Tensor::of_attribute(value)
                } else {
                    turned ^= node.op_type == "Transpose";
                    at = node.input.first().map_or("", |name| name);
                    continue;
                }
            };
            let tensor = tensor.and_then(|t| if turned { t.transposed() } else { Ok(t) });
            return tensor.map_err(|what| format!("constant `{name}`: {what}"));
        }
    }
}

/// The only element.
fn only<'a>(what: &str, mut values: impl Iterator<Item = &'a ValueInfoProto>) -> Result<&'a ValueInfoProto, Error> {
    match (values.next(), values.next()) {
        (Some(value), None) => Ok(value),
        (None, _) => file(format!("the graph has no {what}")),
        (Some(a), Some(b)) => file(format!("the graph has several {what}s (`{}`, `{}`): one is supported", a.name, b.name)),
    }
}

/// What is said of an operator that cannot be read.
pub(super) fn unsupported() -> String {
    format!("this operator is not supported. Supported are {SUPPORTED}")
}
