//! The first operations of a model as a model of its own: what they make is opened to the client.

use anyhow::{Context as _, ensure};
use minionn_core::model::{Layer, Model};
use minionn_core::plan::{self, Header, Node, Op, Plan};

/// A model that ends with the tensor at `offset` (see [`minionn_core::plan::Step`]) and opens it;
/// one step of its logits is worth 1.
///
/// # Errors
/// If no operation makes a tensor there, or the core refuses the shorter plan.
pub fn up_to(model: &Model<'_>, offset: usize) -> anyhow::Result<Vec<u8>> {
    let plan = model.plan();
    let mut nodes: Vec<Node> = Vec::new();
    let mut last = None;
    let mut behind = 0;
    for step in plan.steps().take_while(|step| step.to <= offset && !step.op.is_output()) {
        // What an operation reads is said only where it is not the tensor before it: that takes a
        // record less.
        let told = step.from != behind || matches!(step.op, Op::Product { .. });
        nodes.push(Node {
            op: step.op,
            from: told.then_some(step.from as u32),
            also: step.also as u32,
        });
        last = Some(step);
        behind = step.to;
    }
    let last = last.context("no operation makes this tensor")?;
    ensure!(last.to == offset, "no operation makes this tensor");
    let (ring, len) = last.op.output();
    nodes.push(Op::Reveal { ring, len }.into());
    let header = Header { output_len: len, output_scale: 1.0, ..*plan.header() };
    let mut bytes = vec![0; plan::MAX_BYTES];
    let n = Plan::write_with(&header, &nodes, plan.features(), "", &mut bytes)?;
    bytes.truncate(n);
    let layers: Vec<Layer<'_>> = model.layers().collect();
    let fan_in =
        |l: usize| layers.get(l).map_or(1, |layer| layer.geometry().layer().fan_in() as usize);
    let biases: Vec<Vec<i64>> = layers.iter().map(|layer| layer.biases().collect()).collect();
    let weight = |l: usize, i: usize, j: usize| {
        layers.get(l).and_then(|layer| layer.weight(i * fan_in(l) + j)).unwrap_or(0)
    };
    let bias = |l: usize, i: usize| biases.get(l).and_then(|b| b.get(i)).copied().unwrap_or(0);
    let mut short = vec![0; Model::len_bytes(&Plan::parse(&bytes)?)];
    Model::write(&bytes, weight, bias, &mut short)?;
    Ok(short)
}
