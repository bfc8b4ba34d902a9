//! What stays in a ring: linear layers, squares, products, scales and strided adds.

use super::Error;
use super::bounds::Bounds;
use super::graph::Task;
use super::quantise::{At, Fault, Kind, Lowering, Tensor};
use crate::network::{Activation, Linear, PerElement, Piece, TensorId};
use minionn_core::plan::{Convolution, View};

/// Largest relative error of the factor that brings one scale to another.
const FACTOR_ERROR: f64 = 1.0 / 1024.0;
/// Largest such factor.
const MAX_FACTOR: f64 = 65_536.0;

impl Lowering<'_> {
    /// Fully connected or a convolution.
    pub(super) fn linear(&mut self, at: At<'_>, linear: &Linear) -> Result<usize, Fault> {
        let At { name, stands_for, .. } = at;
        let x = self.at_level(1, at)?;
        let input = self.tensor(x).clone();
        let layer = linear.layer;
        let [kernel, outputs] = [layer.window_len(), layer.outputs as usize];
        let (channels, per_group) =
            (layer.input[0] as usize, (layer.input[0] / layer.groups) as usize);
        // Uneven scales of the input are taken in by the weights.
        let ratio = |output: usize, j: usize| {
            let channel = output / (outputs / layer.groups as usize) * per_group + j / kernel;
            *input.ratios.get(channel * input.ratios.len() / channels).unwrap_or(&1.0)
        };
        let rows: Vec<Vec<f64>> = linear
            .rows()
            .enumerate()
            .map(|(output, (row, _))| {
                row.iter().enumerate().map(|(j, &w)| f64::from(w) * ratio(output, j)).collect()
            })
            .collect();
        let top = |row: &Vec<f64>| row.iter().fold(0.0_f64, |top, w| top.max(w.abs()));
        let all = rows.iter().map(top).fold(0.0, f64::max);
        let whole = f64::from((1 << (self.options.weight_bits - 1)) - 1);
        let uneven =
            self.options.per_channel && all > 0.0 && self.takes_uneven(stands_for, outputs);
        let ratios: Vec<f64> = if uneven {
            rows.iter().map(|row| if top(row) > 0.0 { top(row) / all } else { 1.0 }).collect()
        } else {
            vec![]
        };
        let largest = linear.biases.iter().fold(0.0_f64, |top, b| top.max(b.abs()));
        let mut scale = input.scale * (all / whole);
        if scale == 0.0 {
            // Without weights, the biases alone set the scale.
            scale = if largest > 0.0 { largest / f64::from(1 << 15) } else { input.scale };
        }
        let mut weights = Vec::with_capacity(linear.weights.len());
        let mut biases = Vec::with_capacity(outputs);
        for (output, (row, bias)) in rows.iter().zip(&linear.biases).enumerate() {
            let ratio = ratios.get(output).unwrap_or(&1.0);
            let step = all / whole * ratio;
            weights
                .extend(row.iter().map(|w| if step > 0.0 { (w / step).round() as i16 } else { 0 }));
            biases.push(self.integer(name, x, (bias / scale / ratio).round())?);
        }
        let bounds = input.bounds.linear(&layer, &weights, &biases);
        let bounds = self.fits(name, Kind::Offset(vec![]), &[x], bounds)?;
        let tensor = Tensor { stands_for, inside: false, bounds, scale, ratios, level: 2, ring: 0 };
        Ok(self.push(name, Kind::Linear { layer, weights, biases }, vec![x], tensor))
    }

    /// Whether all that reads a tensor lets uneven scales of its `channels` pass, up to linear
    /// layers that take them in.
    fn takes_uneven(&self, tensor: TensorId, channels: usize) -> bool {
        if tensor == self.graph.output {
            return false;
        }
        let mut open = vec![tensor];
        while let Some(tensor) = open.pop() {
            for (index, item) in self.graph.readers(tensor) {
                match &item.task {
                    Task::Linear(linear)
                        if (linear.layer.input[0] as usize).is_multiple_of(channels) => {}
                    Task::Garbled(None | Some(Activation::Relu | Activation::Leaky(_)), _)
                    | Task::Sum(..)
                    | Task::Square => {
                        if index + 1 == self.graph.output {
                            return false;
                        }
                        open.push(index + 1);
                    }
                    _ => return false,
                }
            }
        }
        true
    }

    /// `x²`.
    pub(super) fn square(&mut self, at: At<'_>) -> Result<usize, Fault> {
        let x = self.at_level(0, at)?;
        let bounds = self.tensor(x).bounds.square();
        let made = self.local(At { x, ..at }, Kind::Square, vec![x], bounds)?;
        let (scale, ratios) =
            (self.tensor(x).scale, self.tensor(x).ratios.iter().map(|r| r * r).collect());
        self.change(made, |t| (t.scale, t.ratios, t.level) = (scale * scale, ratios, 1));
        Ok(made)
    }

    /// `x·y`.
    pub(super) fn product(&mut self, at: At<'_>, inputs: &[usize]) -> Result<usize, Fault> {
        let mut factors = Vec::new();
        for &x in inputs {
            factors.push(self.at_level(0, At { x, single: false, ..at })?);
        }
        let [x, y] = factors[..] else {
            return Err(Error::Option(format!("{}: a product takes two tensors", at.name)).into());
        };
        let bounds = self.tensor(x).bounds.product(&self.tensor(y).bounds);
        let scale = self.tensor(x).scale * self.tensor(y).scale;
        let made = self.local(At { x, ..at }, Kind::Product, factors, bounds)?;
        self.change(made, |t| (t.scale, t.level) = (scale, 2));
        Ok(made)
    }

    /// `scale·x + offset`: where the scale is one number, a matter of what the integers stand for.
    pub(super) fn affine(
        &mut self,
        at: At<'_>,
        scale: &PerElement,
        offset: &PerElement,
    ) -> Result<usize, Fault> {
        let factor = match scale {
            PerElement::One(s) if *s != 0.0 => *s,
            _ => return self.diagonal(at, scale, offset),
        };
        let x = if factor < 0.0 { self.negate(at)? } else { at.x };
        let constants: Vec<f64> = match offset {
            PerElement::One(o) => vec![o / factor.abs()],
            PerElement::Each(os) => os.iter().step_by(run(os)).map(|o| o / factor.abs()).collect(),
        };
        let constants = self.steps(at.name, x, &constants)?;
        let mut made = self.plus(At { x, single: at.single || x != at.x, ..at }, &constants)?;
        if made == at.x && !at.single {
            // Another scale for the same integers: a tensor of its own.
            let len = self.tensor(made).bounds.len();
            let copy = Kind::StridedAdd(vec![(0, 1, View::whole(len as u32))]);
            let bounds = Ok(self.tensor(made).bounds.clone());
            made = self.local(at, copy, vec![at.x], bounds)?;
        }
        self.rescale(made, factor.abs());
        self.change(made, |t| (t.stands_for, t.inside) = (at.stands_for, false));
        Ok(made)
    }

    /// Scales of its own for every part: a linear layer that mixes nothing.
    fn diagonal(
        &mut self,
        at: At<'_>,
        scale: &PerElement,
        offset: &PerElement,
    ) -> Result<usize, Fault> {
        let len = self.tensor(at.x).bounds.len();
        let runs =
            |numbers: &PerElement| if let PerElement::Each(xs) = numbers { run(xs) } else { len };
        let each = gcd(runs(scale), runs(offset));
        let channels = len / each.max(1);
        // An image has less than 2^15 rows and columns.
        let rows =
            (1..).find(|rows| each.is_multiple_of(*rows) && each / rows < 1 << 15).unwrap_or(1);
        let [c, h, w] = [channels, rows, each / rows].map(|n| n as u32);
        let layer =
            Convolution { input: [c, h, w], groups: c, ..Convolution::fully_connected(c, c) };
        let part = |numbers: &PerElement| {
            (0..channels).map(|i| numbers.at(i * each)).collect::<Vec<f64>>()
        };
        let weights = part(scale).iter().map(|&s| s as f32).collect();
        self.linear(at, &Linear { layer, weights, biases: part(offset) })
    }

    /// A tensor made of pieces of others: their scales become one by whole factors.
    pub(super) fn arrange(
        &mut self,
        at: At<'_>,
        len: usize,
        pieces: &[Piece],
        inputs: &[usize],
    ) -> Result<usize, Fault> {
        let name = at.name;
        if pieces.is_empty() {
            return Err(Error::Layer {
                layer: name.into(),
                what: "it makes nothing of its inputs".into(),
            }
            .into());
        }
        let mut inputs = inputs.to_vec();
        let (scale, factors) = loop {
            // What one step of the input is worth in the output.
            let worth = |piece: &Piece| {
                piece.factor * inputs.get(piece.input).map_or(0.0, |&i| self.tensor(i).scale)
            };
            if let Some(common) = common_scale(&pieces.iter().map(worth).collect::<Vec<_>>()) {
                break common;
            }
            // The finest of them is truncated, if it was not yet.
            let rough = inputs.iter().enumerate().filter(|&(_, &x)| self.tensor(x).level > 0);
            let finest = rough
                .min_by(|(_, a), (_, b)| self.tensor(**a).scale.total_cmp(&self.tensor(**b).scale));
            let (index, x) = finest.map(|(i, &x)| (i, x)).ok_or_else(|| Error::Layer {
                layer: name.into(),
                what:
                    "the scales of its inputs are too far apart to be added. Use more activation \
                     bits (--activation-bits) or inputs of a similar range"
                        .into(),
            })?;
            let truncated = self.at_level(0, At { x, single: false, ..at })?;
            inputs.get_mut(index).into_iter().for_each(|input| *input = truncated);
        };
        let of = |piece: &Piece| inputs.get(piece.input).copied().unwrap_or(0);
        let integers: Vec<(usize, i32, View)> = pieces
            .iter()
            .zip(&factors)
            .map(|(piece, &factor)| (piece.input, factor, piece.view))
            .collect();
        let parts: Vec<(&Bounds, i32, View)> = pieces
            .iter()
            .zip(&factors)
            .map(|(piece, &factor)| (&self.tensor(of(piece)).bounds, factor, piece.view))
            .collect();
        let bounds = Bounds::arrange(len, &parts);
        let level = inputs.iter().map(|&i| self.tensor(i).level).max().unwrap_or(0);
        let made = self.local(at, Kind::StridedAdd(integers), inputs, bounds)?;
        self.change(made, |t| (t.scale, t.level, t.ratios) = (scale, level, vec![]));
        Ok(made)
    }
}

/// Elements of the longest runs that share a number and that the tensor is made of.
fn run(numbers: &[f64]) -> usize {
    let first = numbers.iter().take_while(|x| Some(*x) == numbers.first()).count().max(1);
    let mut each = gcd(first, numbers.len());
    // Divisors of the first run, longest first.
    while !numbers.chunks(each).all(|c| c.iter().all(|x| Some(x) == c.first())) {
        each = (1..each).rev().find(|n| each.is_multiple_of(*n)).unwrap_or(1);
    }
    each
}

const fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// A scale of which all of `worth` are whole multiples, but for a small error, and the multiples.
fn common_scale(worth: &[f64]) -> Option<(f64, Vec<i32>)> {
    let least = worth.iter().map(|w| w.abs()).filter(|&w| w > 0.0).fold(f64::INFINITY, f64::min);
    if !least.is_finite() {
        return Some((1.0, vec![0; worth.len()]));
    }
    let mut best: Option<(f64, f64)> = None;
    for parts in 1..=64 {
        let scale = least / f64::from(parts);
        if worth.iter().any(|w| w.abs() / scale > MAX_FACTOR) {
            break;
        }
        let off =
            |w: &f64| if *w == 0.0 { 0.0 } else { ((w / scale).round() * scale / w - 1.0).abs() };
        let error = worth.iter().map(off).fold(0.0, f64::max);
        if best.is_none_or(|(least, _)| error < least) {
            best = Some((error, scale));
        }
        if error <= FACTOR_ERROR {
            break;
        }
    }
    best.map(|(_, scale)| (scale, worth.iter().map(|w| (w / scale).round() as i32).collect()))
}
