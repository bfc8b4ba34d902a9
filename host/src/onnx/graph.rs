//! Who makes which tensor, and in which order.

use super::Error;
use super::proto::{GraphProto, NodeProto, TensorProto, ValueInfoProto};
use core::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

/// Operators that compute nothing.
const PASSES: [&str; 8] =
    ["Cast", "Dropout", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze", "ZipMap"];
/// Most inputs and most outputs of a graph.
const MAX_PORTS: usize = 64;

/// A graph whose tensors all have exactly one origin.
pub(super) struct Graph<'a> {
    pub(super) proto: &'a GraphProto,
    /// What is no constant, in the order of the file.
    pub(super) inputs: Vec<&'a ValueInfoProto>,
    pub(super) outputs: Vec<&'a ValueInfoProto>,
    initializers: HashMap<&'a str, &'a TensorProto>,
    /// Which node makes a tensor.
    producers: HashMap<&'a str, usize>,
}

/// The start of a name that may be of any length.
pub(super) fn short(name: &str) -> &str {
    name.char_indices().nth(80).and_then(|(end, _)| name.get(..end)).unwrap_or(name)
}

/// Index, name and operator of a node, for messages.
pub(super) fn describe(index: usize, node: &NodeProto) -> String {
    format!("node {index} \"{}\" ({})", short(&node.name), short(&node.op_type))
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
        let inputs: Vec<&ValueInfoProto> =
            proto.input.iter().filter(|v| !initializers.contains_key(v.name.as_str())).collect();
        let outputs: Vec<&ValueInfoProto> = proto.output.iter().collect();
        let twice = inputs
            .iter()
            .enumerate()
            .find(|&(i, input)| inputs.iter().take(i).any(|other| other.name == input.name));
        if let Some((_, input)) = twice {
            return file(format!("two inputs are named `{}`", short(&input.name)));
        }
        for (what, ports) in [("input", &inputs), ("output", &outputs)] {
            if ports.is_empty() {
                return file(format!("the graph has no {what}"));
            }
            if ports.len() > MAX_PORTS {
                return file(format!(
                    "the graph has {} {what}s: at most {MAX_PORTS} are supported",
                    ports.len()
                ));
            }
        }
        let mut graph = Self { proto, inputs, outputs, initializers, producers: HashMap::new() };
        graph.index()?;
        Ok(graph)
    }

    pub(super) fn error(&self, index: usize, what: impl Into<String>) -> Error {
        let node =
            self.proto.node.get(index).map_or_else(String::new, |node| describe(index, node));
        Error::Node { node, what: what.into() }
    }

    /// Fills `producers`; refuses tensors made twice.
    fn index(&mut self) -> Result<(), Error> {
        for (i, node) in self.proto.node.iter().enumerate() {
            for name in node.output.iter().filter(|name| !name.is_empty()) {
                let known = self.initializers.contains_key(name.as_str()) || self.is_input(name);
                if known || self.producers.insert(name, i).is_some() {
                    return Err(self.error(
                        i,
                        format!("it makes `{name}`, which something else already makes"),
                    ));
                }
            }
        }
        Ok(())
    }

    fn is_input(&self, name: &str) -> bool {
        self.inputs.iter().any(|input| input.name == name)
    }

    /// The element type of a constant.
    pub(super) fn constant_type(&self, name: &str) -> Option<i32> {
        let made = || {
            let node = self.proto.node.get(*self.producers.get(name)?)?;
            let value = node.attribute.iter().find(|a| a.name == "value")?;
            value.t.as_ref().filter(|_| node.op_type == "Constant")
        };
        self.initializer(name).or_else(made).map(|tensor| tensor.data_type)
    }

    pub(super) fn initializer(&self, name: &str) -> Option<&'a TensorProto> {
        self.initializers.get(name).copied()
    }

    /// For each node, whether nothing computes with what it makes: it is the end, or what follows
    /// only changes shapes or asks which output is largest.
    pub(super) fn ends(&self, order: &[usize]) -> Vec<bool> {
        let mut ends = vec![true; self.proto.node.len()];
        for &reader in order.iter().rev() {
            let Some(node) = self.proto.node.get(reader) else { continue };
            let passes = PASSES.contains(&node.op_type.as_str()) && ends.get(reader) == Some(&true);
            if passes || node.op_type == "ArgMax" {
                continue;
            }
            for input in &node.input {
                let made = self.producers.get(input.as_str()).and_then(|&i| ends.get_mut(i));
                made.into_iter().for_each(|end| *end = false);
            }
        }
        ends
    }

    /// The nodes that a node reads, each once; refuses a tensor that nothing makes.
    fn before(&self, index: usize) -> Result<Vec<usize>, Error> {
        let mut before = Vec::new();
        for name in self
            .proto
            .node
            .get(index)
            .iter()
            .flat_map(|node| &node.input)
            .filter(|name| !name.is_empty())
        {
            match self.producers.get(name.as_str()) {
                Some(&i) => before.push(i),
                None if self.is_input(name) || self.initializers.contains_key(name.as_str()) => {}
                None => {
                    return Err(
                        self.error(index, format!("it reads `{name}`, which nothing makes"))
                    );
                }
            }
        }
        before.sort_unstable();
        before.dedup();
        Ok(before)
    }

    /// The nodes that lead to a tensor, every node behind those that it reads, otherwise as in the
    /// file (Kahn); refuses cycles.
    pub(super) fn order(&self, target: &str) -> Result<Vec<usize>, Error> {
        let mut waiting: HashMap<usize, usize> = HashMap::new();
        let mut readers: HashMap<usize, Vec<usize>> = HashMap::new();
        let mut open: Vec<usize> = self.producers.get(target).copied().into_iter().collect();
        if open.is_empty() {
            return file(format!(
                "nothing makes the output `{}` from the input: the network has no layer",
                short(target)
            ));
        }
        while let Some(i) = open.pop() {
            if waiting.contains_key(&i) {
                continue;
            }
            let before = self.before(i)?;
            waiting.insert(i, before.len());
            for &other in &before {
                readers.entry(other).or_default().push(i);
            }
            open.extend(before);
        }
        let mut ready: BinaryHeap<Reverse<usize>> =
            waiting.iter().filter(|&(_, &left)| left == 0).map(|(&i, _)| Reverse(i)).collect();
        let mut order = Vec::new();
        while let Some(Reverse(i)) = ready.pop() {
            order.push(i);
            waiting.remove(&i);
            for reader in readers.get(&i).into_iter().flatten() {
                if let Some(left) = waiting.get_mut(reader) {
                    *left -= 1;
                    if *left == 0 {
                        ready.push(Reverse(*reader));
                    }
                }
            }
        }
        match waiting.keys().min() {
            Some(&stuck) => Err(self.error(stuck, "it is in a cycle or behind one")),
            None => Ok(order),
        }
    }
}
