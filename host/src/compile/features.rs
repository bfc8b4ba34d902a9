//! Steps of their own for the parts of an input: raw features of unlike scales, as tables have
//! them, would lose most of their bits to the largest one.
//!
//! The client subtracts an offset and divides by a step, both public in the plan. What undoes that
//! is arithmetic of the network, which the first linear layer takes in for nothing.

use super::MAX_ACTIVATION_BITS;
use crate::network::{Network, Node, PerElement, Piece, Port, TensorId, Work};
use core::ops::Range;
use std::collections::HashMap;

/// A part of the input has too few steps if its values fall on fewer than these.
const FEW: f64 = 16.0;
/// What is added to the seen range of a part on both sides, as a part of it: in tables, other rows
/// reach further. The bit that this costs is made up for, see [`bits`].
const MARGIN: f64 = 0.5;

/// Signed width of an input in steps: with the margin, a seen range takes all but one bit.
pub(super) fn bits(activation_bits: u8) -> u8 {
    (activation_bits + 1).min(MAX_ACTIVATION_BITS)
}

/// Step and offset of every element of the input.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Features {
    /// Step and offset of each of equal parts.
    parts: Vec<(f32, f32)>,
    /// Elements of a part.
    each: usize,
}

impl Features {
    /// Step and offset of an element.
    fn of(&self, i: usize) -> (f32, f32) {
        self.parts.get(i / self.each.max(1)).copied().unwrap_or((1.0, 0.0))
    }

    /// A row in steps, not rounded: the same arithmetic as that of the plan.
    pub(super) fn scaled(&self, row: &[f32]) -> Vec<f32> {
        let one = |(i, &x): (usize, &f32)| {
            let (step, offset) = self.of(i);
            (x - offset) / step
        };
        row.iter().enumerate().map(one).collect()
    }

    /// As the plan has them.
    pub(super) fn bytes(&self) -> Vec<[u8; 8]> {
        let one = |&(step, offset): &(f32, f32)| {
            let mut bytes = [0; 8];
            let both = step.to_le_bytes().into_iter().chain(offset.to_le_bytes());
            bytes.iter_mut().zip(both).for_each(|(to, from)| *to = from);
            bytes
        };
        self.parts.iter().map(one).collect()
    }

    /// How many parts.
    pub(super) const fn len(&self) -> usize {
        self.parts.len()
    }
}

/// The range that the rows reach in a part of the input.
fn seen(rows: &[&[f32]], part: &Range<usize>) -> (f64, f64) {
    let values = rows.iter().filter_map(|row| row.get(part.clone())).flatten();
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), &x| {
        (lo.min(f64::from(x)), hi.max(f64::from(x)))
    })
}

/// The parts that may have steps of their own: every feature of a flat input, an image as a whole.
fn parts(ports: &[Port], len: usize) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let mut at = 0;
    for port in ports {
        let end = at + port.len();
        if port.row().iter().filter(|&&d| d != 1).count() <= 1 {
            parts.extend((at..end).map(|i| i..i + 1));
        } else {
            parts.push(at..end);
        }
        at = end;
    }
    if at == len { parts } else { vec![] }
}

/// Whether a quarter of the parts that vary, or a whole input, would be left with few steps.
fn worth_it(ranges: &[(f64, f64)], parts: &[Range<usize>], ports: &[Port], most: f64) -> bool {
    let top = ranges.iter().fold(0.0_f64, |top, (lo, hi)| top.max(lo.abs()).max(hi.abs()));
    let poor = |(lo, hi): (f64, f64)| hi > lo && (hi - lo) * most / top < FEW;
    let varied = ranges.iter().filter(|(lo, hi)| hi > lo).count();
    let few = ranges.iter().filter(|&&range| poor(range)).count();
    let mut start = 0;
    // One of several inputs may have few elements and still matter.
    let whole = ports.iter().any(|port| {
        let end = start + port.len();
        let own: Vec<(f64, f64)> = parts
            .iter()
            .zip(ranges)
            .filter(|(part, _)| part.start >= start && part.end <= end)
            .map(|(_, &range)| range)
            .filter(|(lo, hi)| hi > lo)
            .collect();
        start = end;
        ports.len() > 1 && !own.is_empty() && own.iter().all(|&range| poor(range))
    });
    varied > 0 && (4 * few >= varied || whole)
}

/// Steps for an input whose parts are of unlike scales; `None` if one step is good for all. `most`:
/// greatest integer of a signed input.
pub(super) fn choose(
    ports: &[Port],
    len: usize,
    rows: &[&[f32]],
    most: i32,
    always: bool,
) -> Option<Features> {
    let most = f64::from(most);
    let parts = parts(ports, len);
    let ranges: Vec<(f64, f64)> = parts.iter().map(|part| seen(rows, part)).collect();
    if rows.len() < 2 || parts.is_empty() || !(always || worth_it(&ranges, &parts, ports, most)) {
        return None;
    }
    let step = |&(lo, hi): &(f64, f64), part: &Range<usize>| {
        // Around zero where zeros may be put around an image.
        let (lo, hi) = if part.len() > 1 {
            let reach = lo.abs().max(hi.abs());
            (-reach, reach)
        } else if lo == hi {
            let reach = lo.abs().max(1.0);
            (lo - reach, lo + reach)
        } else {
            let margin = (hi - lo) * MARGIN;
            (lo - margin, hi + margin)
        };
        let half = (hi - lo) / 2.0;
        (((if half > 0.0 { half } else { 1.0 }) / most) as f32, f64::midpoint(lo, hi) as f32)
    };
    let chosen: Vec<(f32, f32)> = ranges.iter().zip(&parts).map(|(r, p)| step(r, p)).collect();
    let usable = |&(step, offset): &(f32, f32)| step.is_normal() && offset.is_finite();
    if !chosen.iter().all(usable) {
        return None;
    }
    // Parts of unlike lengths: one for each element, unless that is too much for a plan.
    let each = if parts.iter().all(|p| p.len() == 1) { 1 } else { common(&parts) };
    let all: Vec<(f32, f32)> = chosen
        .iter()
        .zip(&parts)
        .flat_map(|(&one, part)| core::iter::repeat_n(one, part.len() / each))
        .collect();
    (all.len() <= MAX_FEATURES).then_some(Features { parts: all, each })
}

/// Most parts: half of what a plan has room for.
const MAX_FEATURES: usize = 2048;

/// The longest run that all parts are made of.
fn common(parts: &[Range<usize>]) -> usize {
    fn gcd(a: usize, b: usize) -> usize {
        if b == 0 { a } else { gcd(b, a % b) }
    }
    parts.iter().map(ExactSizeIterator::len).fold(0, gcd).max(1)
}

/// Constants of a tensor whose elements are still in steps.
struct Raw {
    step: Vec<f64>,
    offset: Vec<f64>,
}

impl Raw {
    /// Back to real numbers.
    fn work(&self) -> Work {
        let tidy = |xs: &[f64]| match xs {
            [x, rest @ ..] if rest.iter().all(|y| y == x) => PerElement::One(*x),
            _ => PerElement::Each(xs.to_vec()),
        };
        Work::Affine(tidy(&self.step), tidy(&self.offset))
    }

    /// What a tensor of `len` has that is made of pieces of this one; `None` if it is more than a
    /// move.
    fn moved(&self, len: usize, pieces: &[Piece]) -> Option<Self> {
        let (mut step, mut offset) = (vec![1.0; len], vec![0.0; len]);
        let mut written = vec![false; len];
        let mut once = true;
        for piece in pieces {
            once &= piece.factor == 1.0;
            piece.view.for_each(|from, to| {
                let source = self.step.get(from).zip(self.offset.get(from));
                let target = step.get_mut(to).zip(offset.get_mut(to)).zip(written.get_mut(to));
                if let (Some((s, o)), Some(((step, offset), written))) = (source, target) {
                    once &= !*written;
                    (*step, *offset, *written) = (*s, *o, true);
                }
            });
        }
        once.then_some(Self { step, offset })
    }
}

/// The network on an input in steps.
pub(super) fn network(network: Network, features: &Features) -> Network {
    let all = || (0..network.input_len).map(|i| features.of(i));
    let input = Raw {
        step: all().map(|(step, _)| f64::from(step)).collect(),
        offset: all().map(|(_, offset)| f64::from(offset)).collect(),
    };
    let mut raw: HashMap<TensorId, Raw> = HashMap::from([(0, input)]);
    let mut made = Made { nodes: Vec::new(), names: vec![None], map: vec![0] };
    let name = |id: TensorId| network.names.get(id).cloned().flatten();
    for (index, mut node) in network.nodes.into_iter().enumerate() {
        let own = index + 1;
        if let (Work::StridedAdd(len, pieces), [x]) = (&node.work, &node.inputs[..])
            && let Some(moved) = raw.get(x).and_then(|r| r.moved(*len, pieces))
        {
            raw.insert(own, moved);
            node.inputs = vec![made.at(*x)];
            made.push(node, None);
            made.map.push(made.nodes.len());
            continue;
        }
        // Each reader has its own: then it can be folded into it.
        let inputs = node.inputs.clone();
        node.inputs = inputs
            .iter()
            .map(|x| match raw.get(x) {
                Some(r) => made.real(*x, r, name(*x)),
                None => made.at(*x),
            })
            .collect();
        made.push(node, name(own));
        made.map.push(made.nodes.len());
    }
    let output = match raw.get(&network.output) {
        Some(r) => made.real(network.output, r, name(network.output)),
        None => made.at(network.output),
    };
    Network { nodes: made.nodes, names: made.names, output, ..network }
}

/// The nodes so far.
struct Made {
    nodes: Vec<Node>,
    names: Vec<Option<String>>,
    /// Where each of the old tensors is.
    map: Vec<TensorId>,
}

impl Made {
    fn at(&self, tensor: TensorId) -> TensorId {
        self.map.get(tensor).copied().unwrap_or(0)
    }

    fn push(&mut self, node: Node, name: Option<String>) -> TensorId {
        self.nodes.push(node);
        self.names.push(name);
        self.nodes.len()
    }

    /// The real numbers of a tensor that is in steps.
    fn real(&mut self, tensor: TensorId, raw: &Raw, name: Option<String>) -> TensorId {
        let node = Node { name: "input".into(), work: raw.work(), inputs: vec![self.at(tensor)] };
        self.push(node, name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Linear, Signature};

    fn port(shape: &[usize]) -> Port {
        Port { name: "x".into(), shape: shape.to_vec(), batch: true }
    }

    #[test]
    fn unlike_features_get_steps_and_like_ones_do_not() {
        let rows = [&[0.0_f32, 100.0, 5.0][..], &[1.0, 900.0, 5.0]];
        let found = choose(&[port(&[1, 3])], 3, &rows, 127, false).unwrap();
        assert_eq!(found.parts.len(), 3);
        assert_eq!(found.scaled(&[0.5, 500.0, 5.0]), [0.0; 3]);
        for (i, &(step, _)) in found.parts.iter().take(2).enumerate() {
            let scaled = found.scaled(rows[1])[i];
            assert!((60.0..=64.0).contains(&scaled), "{step} {scaled}");
        }
        let like = [&[0.0_f32, 1.0, 0.5][..], &[1.0, 0.0, 0.25]];
        assert_eq!(choose(&[port(&[1, 3])], 3, &like, 127, false), None);
        // An image has one step for all, whatever its pixels reach.
        assert_eq!(choose(&[port(&[1, 1, 1, 3])], 3, &rows, 127, false).map(|f| f.len()), Some(3));
        assert_eq!(choose(&[port(&[1, 3, 2, 1])], 6, &[&[0.0; 6], &[1.0; 6]], 127, false), None);
    }

    #[test]
    fn the_network_is_the_same_on_real_numbers() {
        let features = Features { parts: vec![(0.5, 1.0), (2.0, -3.0), (4.0, 0.0)], each: 1 };
        let weights = vec![1.0, -2.0, 3.0, 0.5, 0.25, -1.0];
        let net = Network {
            name: "n".into(),
            input_len: 3,
            output_len: 2,
            nodes: vec![Node {
                name: "fc".into(),
                work: Work::Linear(Linear::fully_connected(3, 2, weights, vec![1.0, 2.0])),
                inputs: vec![0],
            }],
            output: 1,
            names: vec![],
            argmax: false,
            signature: Signature::default(),
            notes: vec![],
        };
        let x = [1.5_f32, 7.0, -8.0];
        let expected = net.evaluate(x.iter().map(|&x| f64::from(x)).collect())[1].clone();
        let stepped = network(net, &features);
        let scaled = features.scaled(&x).into_iter().map(f64::from).collect();
        assert_eq!(stepped.evaluate(scaled)[stepped.output], expected);
    }
}
