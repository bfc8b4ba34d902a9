//! Small ONNX files, built in the test.

#![allow(dead_code, reason = "not every test uses everything")]

pub(crate) mod exact;
#[path = "../../../tests/common/seed.rs"]
mod seed;
pub(crate) use seed::seed;

use minionn_host::onnx::proto::*;
use prost::Message as _;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

/// A file in the making.
#[derive(Clone, Default)]
pub(crate) struct File {
    pub(crate) graph: GraphProto,
    pub(crate) opset: i64,
}

fn value(name: &str, dims: &[i64]) -> ValueInfoProto {
    // 0 stands for a dimension with a name.
    let dim = |&d: &i64| Dimension {
        dim_value: (d != 0).then_some(d),
        dim_param: (d == 0).then(|| "N".into()),
    };
    let shape = Some(TensorShapeProto { dim: dims.iter().map(dim).collect() });
    ValueInfoProto {
        name: name.into(),
        r#type: Some(TypeProto { tensor_type: Some(TensorType { elem_type: 1, shape }) }),
    }
}

/// A tensor with its numbers as raw bytes.
pub(crate) fn raw(name: &str, dims: &[i64], data: &[f32]) -> TensorProto {
    let raw_data = data.iter().flat_map(|x| x.to_le_bytes()).collect();
    TensorProto {
        name: name.into(),
        dims: dims.to_vec(),
        data_type: data_type::FLOAT,
        raw_data,
        ..Default::default()
    }
}

/// A tensor of integers.
pub(crate) fn ints(name: &str, data: &[i64]) -> TensorProto {
    let dims = vec![data.len() as i64];
    TensorProto {
        name: name.into(),
        dims,
        data_type: data_type::INT64,
        int64_data: data.to_vec(),
        ..Default::default()
    }
}

pub(crate) fn attr(name: &str, i: i64) -> AttributeProto {
    AttributeProto { name: name.into(), i, r#type: 2, ..Default::default() }
}

pub(crate) fn attr_f(name: &str, f: f32) -> AttributeProto {
    AttributeProto { name: name.into(), f, r#type: 1, ..Default::default() }
}

pub(crate) fn attr_s(name: &str, s: &str) -> AttributeProto {
    AttributeProto { name: name.into(), s: s.into(), r#type: 3, ..Default::default() }
}

pub(crate) fn attr_ints(name: &str, ints: &[i64]) -> AttributeProto {
    AttributeProto { name: name.into(), ints: ints.to_vec(), r#type: 7, ..Default::default() }
}

pub(crate) fn attr_t(name: &str, t: TensorProto) -> AttributeProto {
    AttributeProto { name: name.into(), t: Some(t), r#type: 4, ..Default::default() }
}

impl File {
    /// A graph from `x` to `y`.
    pub(crate) fn new(dims: &[i64]) -> Self {
        let graph = GraphProto {
            name: "test".into(),
            input: vec![value("x", dims)],
            output: vec![value("y", &[])],
            ..Default::default()
        };
        Self { graph, opset: 13 }
    }

    pub(crate) fn constant(mut self, tensor: TensorProto) -> Self {
        self.graph.initializer.push(tensor);
        self
    }

    /// Appends a node, named after its index; inputs and outputs are separated by spaces (`-`: left
    /// out).
    pub(crate) fn node(
        mut self,
        op: &str,
        inputs: &str,
        output: &str,
        attribute: &[AttributeProto],
    ) -> Self {
        let names = |text: &str| {
            text.split_whitespace()
                .map(|n| if n == "-" { String::new() } else { n.into() })
                .collect()
        };
        self.graph.node.push(NodeProto {
            input: names(inputs),
            output: names(output),
            name: format!("n{}", self.graph.node.len()),
            op_type: op.into(),
            attribute: attribute.to_vec(),
            ..Default::default()
        });
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let opset_import = vec![OperatorSetIdProto { domain: String::new(), version: self.opset }];
        ModelProto { ir_version: 8, graph: Some(self.graph.clone()), opset_import }.encode_to_vec()
    }
}

/// The same numbers in every run.
pub(crate) struct Numbers(ChaCha8Rng);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// For samples that need not be the same every day.
    pub(crate) fn seeded(own: u64) -> Self {
        Self::new(seed(own))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// In `[0, n)`.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// In `[-1, 1)`.
    pub(crate) fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    }

    pub(crate) fn units(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.unit()).collect()
    }
}
