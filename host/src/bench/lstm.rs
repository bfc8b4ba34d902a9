//! Figure 14 at any size, with random weights: one step of a language model. It is made when it is
//! needed, as 4.3 million weights are too many to keep; `models/random_nets.py` writes the same
//! graph as a file.

use crate::compile::{CompileOptions, compile};
use crate::model::Model;
use crate::npy::Array;
use crate::onnx::proto::{
    AttributeProto, Dimension, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TensorType, TypeProto, ValueInfoProto, attribute_type, data_type,
};
use anyhow::Context as _;
use core::f64::consts::TAU;
use minionn_core::rng::{Domain, Prg, Seed};
use prost::Message as _;

/// The weights are always the same, and so are rings and bytes.
const SEED: Seed = Seed([14; 32]);
/// Words that the network reads to set scales and shifts.
const CALIBRATION_ROWS: usize = 8;

/// How large it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Words, of which one comes in as a one-hot vector; as many logits.
    pub words: usize,
    /// Numbers of each state.
    pub hidden: usize,
}

impl Size {
    /// The paper's.
    pub const PAPER: Self = Self { words: 10_000, hidden: 200 };

    /// The network: compiled as `minionn compile` would, on the states of a few words.
    ///
    /// # Errors
    /// If it does not compile.
    pub fn model(self) -> anyhow::Result<Model> {
        let weights = Weights::random(self);
        let options = CompileOptions::default();
        let compiled = compile(&weights.onnx(), &options, Some(&weights.rows()?))?;
        Ok(Model::from_bytes(compiled.model)?)
    }

    /// What it reads: a word, `h` and `c`.
    const fn inputs(self) -> usize {
        self.words + 2 * self.hidden
    }
}

/// All weights, row by row. Gates are in ONNX's order: input, output, forget, cell.
struct Weights {
    size: Size,
    /// `[words, hidden]`.
    embedding: Vec<f32>,
    /// `[4 hidden, hidden]` twice: of the embedded word, and of `h`.
    gates: [Vec<f32>; 2],
    /// `[8 hidden]`: of the word's, then of the state's.
    gate_bias: Vec<f32>,
    /// `[hidden, words]`.
    out: Vec<f32>,
    /// `[words]`.
    out_bias: Vec<f32>,
}

/// Normally distributed numbers with this deviation (Box and Muller).
fn normal(random: &mut Prg, len: usize, deviation: f64) -> Vec<f32> {
    let mut uniform = || (f64::from(random.next_u32()) + 0.5) / 2.0_f64.powi(32);
    let one = |_| (deviation * (-2.0 * uniform().ln()).sqrt() * (TAU * uniform()).cos()) as f32;
    (0..len).map(one).collect()
}

impl Weights {
    fn random(size: Size) -> Self {
        let Size { words, hidden } = size;
        let mut random = SEED.stream(Domain::Mask, 0);
        let mut normal = |len, deviation| normal(&mut random, len, deviation);
        let deviation = 1.0 / (hidden as f64).sqrt();
        Self {
            size,
            embedding: normal(words * hidden, 1.0),
            gates: [(); 2].map(|()| normal(4 * hidden * hidden, deviation)),
            gate_bias: normal(8 * hidden, 0.1),
            out: normal(hidden * words, 2.0 * deviation),
            out_bias: normal(words, 0.1),
        }
    }

    /// Inputs as they are while the network reads one random word after the other.
    fn rows(&self) -> anyhow::Result<Array> {
        let Size { words, hidden } = self.size;
        let mut random = SEED.stream(Domain::Mask, 1);
        let (mut h, mut c) = (vec![0.0; hidden], vec![0.0; hidden]);
        let mut data = Vec::new();
        for _ in 0..CALIBRATION_ROWS {
            let word = (random.next_u64() % words as u64) as usize;
            data.extend((0..words).map(|i| f32::from(u8::from(i == word))));
            data.extend(h.iter().chain(&c).map(|&x| x as f32));
            (h, c) = self.step(word, &h, &c);
        }
        Array::new(&[CALIBRATION_ROWS, self.size.inputs()], data).context("the rows are uneven")
    }

    /// The next `h` and `c`.
    fn step(&self, word: usize, h: &[f64], c: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let hidden = self.size.hidden;
        let x: Vec<f64> =
            self.embedding.iter().skip(word * hidden).take(hidden).map(|&x| x.into()).collect();
        let (bias, state_bias) = self.gate_bias.split_at(4 * hidden);
        let [of_word, of_state] = &self.gates;
        let rows = of_word.chunks(hidden).zip(of_state.chunks(hidden));
        let gates: Vec<f64> = rows
            .zip(bias.iter().zip(state_bias))
            .map(|((w, r), (&b, &s))| dot(w, &x) + dot(r, h) + f64::from(b) + f64::from(s))
            .collect();
        let gate = |g: usize| gates.iter().skip(g * hidden).take(hidden);
        let sigmoid = |x: &f64| 1.0 / (1.0 + (-x).exp());
        let kept = gate(2).zip(c).map(|(f, c)| sigmoid(f) * c);
        let added = gate(0).zip(gate(3)).map(|(i, g)| sigmoid(i) * g.tanh());
        let c: Vec<f64> = kept.zip(added).map(|(kept, added)| kept + added).collect();
        let h = gate(1).zip(&c).map(|(o, c)| sigmoid(o) * c.tanh()).collect();
        (h, c)
    }

    /// The file: embedding, LSTM, fully connected.
    fn onnx(&self) -> Vec<u8> {
        let Size { words, hidden } = self.size;
        let initializer = vec![
            ints("axis", &[1]),
            ints("state", &[1, 1, hidden]),
            ints("row", &[1, hidden]),
            ints("0", &[0]),
            ints("word end", &[words]),
            ints("h end", &[words + hidden]),
            ints("c end", &[self.size.inputs()]),
            floats("embedding", &[words, hidden], &self.embedding),
            floats("W", &[1, 4 * hidden, hidden], &self.gates[0]),
            floats("R", &[1, 4 * hidden, hidden], &self.gates[1]),
            floats("B", &[1, 8 * hidden], &self.gate_bias),
            floats("out", &[hidden, words], &self.out),
            floats("out bias", &[words], &self.out_bias),
        ];
        let size = AttributeProto {
            name: "hidden_size".into(),
            i: hidden as i64,
            r#type: attribute_type::INT,
            ..AttributeProto::default()
        };
        let mut lstm = node("LSTM", &["e3", "W", "R", "B", "", "h3", "c3"], &["", "next h"]);
        lstm.attribute.push(size);
        let node = vec![
            node("Slice", &["input", "0", "word end", "axis"], &["word"]),
            node("Slice", &["input", "word end", "h end", "axis"], &["h"]),
            node("Slice", &["input", "h end", "c end", "axis"], &["c"]),
            node("MatMul", &["word", "embedding"], &["e"]),
            node("Reshape", &["e", "state"], &["e3"]),
            node("Reshape", &["h", "state"], &["h3"]),
            node("Reshape", &["c", "state"], &["c3"]),
            lstm,
            node("Reshape", &["next h", "row"], &["hidden"]),
            node("MatMul", &["hidden", "out"], &["m"]),
            node("Add", &["m", "out bias"], &["logits"]),
        ];
        let graph = GraphProto {
            node,
            name: "fig14_lstm".into(),
            initializer,
            input: vec![value("input", self.size.inputs())],
            output: vec![value("logits", words)],
        };
        let opset_import = vec![OperatorSetIdProto { domain: String::new(), version: 13 }];
        ModelProto { ir_version: 7, graph: Some(graph), opset_import }.encode_to_vec()
    }
}

fn dot(weights: &[f32], x: &[f64]) -> f64 {
    weights.iter().zip(x).map(|(&w, x)| f64::from(w) * x).sum()
}

fn node(op: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
    let names = |names: &[&str]| names.iter().map(|&name| name.into()).collect();
    NodeProto {
        input: names(inputs),
        output: names(outputs),
        name: outputs.concat(),
        op_type: op.into(),
        ..NodeProto::default()
    }
}

fn ints(name: &str, data: &[usize]) -> TensorProto {
    TensorProto {
        name: name.into(),
        dims: vec![data.len() as i64],
        data_type: data_type::INT64,
        int64_data: data.iter().map(|&n| n as i64).collect(),
        ..TensorProto::default()
    }
}

fn floats(name: &str, dims: &[usize], data: &[f32]) -> TensorProto {
    TensorProto {
        name: name.into(),
        dims: dims.iter().map(|&n| n as i64).collect(),
        data_type: data_type::FLOAT,
        float_data: data.to_vec(),
        ..TensorProto::default()
    }
}

/// An input or output: one row.
fn value(name: &str, len: usize) -> ValueInfoProto {
    let dimension = |n: usize| Dimension { dim_value: Some(n as i64), dim_param: None };
    let shape = TensorShapeProto { dim: vec![dimension(1), dimension(len)] };
    let tensor = TensorType { elem_type: data_type::FLOAT, shape: Some(shape) };
    ValueInfoProto { name: name.into(), r#type: Some(TypeProto { tensor_type: Some(tensor) }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The importer's reading of the graph, held against the step as written here.
    #[test]
    fn the_graph_is_a_step_of_an_lstm() {
        let size = Size { words: 30, hidden: 8 };
        let (weights, words) = (Weights::random(size), 30);
        let rows = weights.rows().unwrap();
        let compiled = compile(&weights.onnx(), &CompileOptions::default(), Some(&rows)).unwrap();
        let mut next = None;
        for row in rows.rows_of(size.inputs()).unwrap() {
            let (word, states) = row.split_at(words);
            let (h, c) = states.split_at(size.hidden);
            let wide = |x: &[f32]| x.iter().map(|&x| f64::from(x)).collect::<Vec<_>>();
            let word = word.iter().position(|&x| x == 1.0).unwrap();
            if let Some(next) = next.replace(weights.step(word, &wide(h), &wide(c))) {
                // What one step makes is what the next one reads.
                let (want_h, want_c): (Vec<f64>, Vec<f64>) = next;
                let close = |x: &[f32], y: &[f64]| {
                    x.iter().zip(y).all(|(&x, y)| (f64::from(x) - y).abs() < 1e-5)
                };
                assert!(close(h, &want_h) && close(c, &want_c));
            }
            let (h, _) = next.as_ref().unwrap();
            let tensors = compiled.float.evaluate(row);
            let logits = &tensors[compiled.float.output()];
            assert_eq!(logits.len(), words);
            for (j, got) in logits.iter().enumerate() {
                let column = weights.out.iter().skip(j).step_by(words);
                let sum: f64 = column.zip(h).map(|(&w, h)| f64::from(w) * h).sum();
                assert!((sum + f64::from(weights.out_bias[j]) - got).abs() < 1e-4, "logit {j}");
            }
        }
    }

    #[test]
    fn weights_are_normal() {
        let mut random = SEED.stream(Domain::Mask, 2);
        let x = normal(&mut random, 100_000, 2.0);
        let (n, square) = (x.len() as f64, |x: f64| x * x);
        let mean = x.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
        let variance = x.iter().map(|&x| square(f64::from(x) - mean)).sum::<f64>() / n;
        let within = x.iter().filter(|x| x.abs() < 2.0).count() as f64 / n;
        assert!(mean.abs() < 0.03 && (variance - 4.0).abs() < 0.1, "{mean} {variance}");
        assert!((within - 0.6827).abs() < 0.01, "one deviation holds {within}");
    }
}
