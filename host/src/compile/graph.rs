//! The float network made ready for integers: constant arithmetic folded into linear layers, maxima
//! and functions that one circuit does in one go, nothing that the output does not need; and what
//! its tensors reach on the calibration rows.

use super::Error;
use crate::network::{
    self, Activation, Linear, Network, Node, PerElement, Piece, Signature, TensorId, Work, size,
};
use crate::progress::Bar;
use minionn_core::plan::{Convolution, View};
use rayon::prelude::*;

/// What an item does.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Task {
    /// A circuit: the largest element of each window, if there is one, then a function, if there is
    /// one.
    Garbled(Option<Activation>, Option<Convolution>),
    Linear(Linear),
    /// Sums over windows, to be divided by a number.
    Sum(Convolution, f64),
    Square,
    Product,
    /// `scale·x + offset` that no linear layer takes in.
    Affine(PerElement, PerElement),
    StridedAdd(usize, Vec<Piece>),
}

/// A node of the prepared network: item `i` makes tensor `i + 1`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Item {
    pub(super) name: String,
    pub(super) task: Task,
    pub(super) inputs: Vec<TensorId>,
}

/// The prepared network.
#[derive(Clone, Debug)]
pub(super) struct Graph {
    pub(super) name: String,
    pub(super) input_len: usize,
    pub(super) output_len: usize,
    pub(super) output: TensorId,
    pub(super) argmax: bool,
    pub(super) signature: Signature,
    pub(super) items: Vec<Item>,
    /// The name in the file of a tensor with the same elements, for each tensor that has one.
    pub(super) names: Vec<Option<String>>,
    /// Elements of every tensor.
    pub(super) lengths: Vec<usize>,
    /// How many items read a tensor; the output counts as one.
    pub(super) uses: Vec<usize>,
    pub(super) notes: Vec<String>,
}

/// The float network on the calibration rows.
#[derive(Clone, Debug)]
pub(super) struct Reference {
    /// For each tensor: the largest absolute value of each of its elements.
    pub(super) peaks: Vec<Vec<f64>>,
    /// For each tensor: the least and the greatest value of all its elements.
    pub(super) ranges: Vec<(f64, f64)>,
    /// The output for each row.
    pub(super) logits: Vec<Vec<f64>>,
}

impl Reference {
    fn new(lengths: &[usize]) -> Self {
        Self {
            peaks: lengths.iter().map(|&n| vec![0.0; n]).collect(),
            ranges: vec![(f64::INFINITY, f64::NEG_INFINITY); lengths.len()],
            logits: Vec::new(),
        }
    }

    /// The tensors of one more row.
    fn add(&mut self, mut tensors: Vec<Vec<f64>>, output: TensorId) {
        for (peaks, tensor) in self.peaks.iter_mut().zip(&tensors) {
            peaks.iter_mut().zip(tensor).for_each(|(peak, x)| *peak = peak.max(x.abs()));
        }
        for ((lo, hi), tensor) in self.ranges.iter_mut().zip(&tensors) {
            tensor.iter().for_each(|&x| (*lo, *hi) = (lo.min(x), hi.max(x)));
        }
        self.logits.push(tensors.swap_remove(output));
    }

    /// With the rows of another one behind these.
    fn joined(mut self, other: Self) -> Self {
        for (peaks, more) in self.peaks.iter_mut().zip(&other.peaks) {
            peaks.iter_mut().zip(more).for_each(|(peak, x)| *peak = peak.max(*x));
        }
        for ((lo, hi), (l, h)) in self.ranges.iter_mut().zip(&other.ranges) {
            (*lo, *hi) = (lo.min(*l), hi.max(*h));
        }
        self.logits.extend(other.logits);
        self
    }
}

impl Graph {
    pub(super) fn new(network: Network) -> Result<Self, Error> {
        let Network { name, input_len, output_len, nodes, output, names, argmax, .. } = network;
        let (signature, notes) = (network.signature, network.notes);
        let uses = count_uses(nodes.iter().map(|n| &n.inputs[..]), nodes.len(), output);
        let mut maker = Maker {
            input_len,
            items: Vec::new(),
            shared: Vec::new(),
            map: vec![0],
            equals: vec![Some(0)],
            notes,
        };
        for (index, node) in nodes.into_iter().enumerate() {
            let own = maker.node(node, &uses)?;
            maker.map.push(own);
            // Whatever it was before, it has been changed to be this.
            maker
                .equals
                .get_mut(own)
                .filter(|_| own > 0)
                .into_iter()
                .for_each(|equals| *equals = Some(index + 1));
        }
        let output = maker.map.get(output).copied().unwrap_or(0);
        let names = maker.equals.iter().map(|&equals| names.get(equals?)?.clone()).collect();
        let mut graph = Self {
            name,
            input_len,
            output_len,
            output,
            argmax,
            signature,
            items: maker.items,
            names,
            lengths: Vec::new(),
            uses: Vec::new(),
            notes: maker.notes,
        };
        graph.drop_unused();
        graph.uses =
            count_uses(graph.items.iter().map(|i| &i.inputs[..]), graph.items.len(), graph.output);
        graph.lengths = vec![input_len];
        for item in &graph.items {
            let before =
                item.inputs.first().and_then(|&i| graph.lengths.get(i)).copied().unwrap_or(0);
            graph.lengths.push(item.task.output_len(before));
        }
        Ok(graph)
    }

    /// Keeps what the output is made of.
    fn drop_unused(&mut self) {
        let mut wanted = vec![false; self.items.len() + 1];
        let mut open = vec![self.output];
        while let Some(tensor) = open.pop() {
            if let Some(seen) = wanted.get_mut(tensor).filter(|seen| !**seen) {
                *seen = true;
                open.extend(
                    tensor
                        .checked_sub(1)
                        .and_then(|i| self.items.get(i))
                        .iter()
                        .flat_map(|item| &item.inputs),
                );
            }
        }
        let (mut map, mut kept) = (vec![0], 0);
        for &wanted in wanted.iter().skip(1) {
            kept += usize::from(wanted);
            map.push(kept);
        }
        let at = |tensor: usize| map.get(tensor).copied().unwrap_or(0);
        let mut index = 0;
        self.items.retain(|_| {
            index += 1;
            wanted.get(index) == Some(&true)
        });
        let mut index = 0;
        self.names.retain(|_| {
            index += 1;
            index == 1 || wanted.get(index - 1) == Some(&true)
        });
        for item in &mut self.items {
            item.inputs.iter_mut().for_each(|input| *input = at(*input));
        }
        self.output = at(self.output);
    }

    /// The items that read a tensor.
    pub(super) fn readers(&self, tensor: TensorId) -> impl Iterator<Item = (usize, &Item)> {
        self.items.iter().enumerate().filter(move |(_, item)| item.inputs.contains(&tensor))
    }

    /// Evaluates the float network; `None` without rows.
    pub(super) fn reference(&self, rows: &[&[f32]], show: bool) -> Option<Reference> {
        if rows.is_empty() {
            return None;
        }
        let bar = Bar::new(show, rows.len(), "float network");
        let each = rows.len().div_ceil(rayon::current_num_threads().max(1)).max(1);
        let parts: Vec<Reference> = rows
            .par_chunks(each)
            .map(|rows| {
                let mut part = Reference::new(&self.lengths);
                for row in rows {
                    part.add(self.evaluate(row), self.output);
                    bar.advance();
                }
                part
            })
            .collect();
        bar.finish();
        parts.into_iter().reduce(Reference::joined)
    }

    /// Every tensor for one row.
    pub(super) fn evaluate(&self, row: &[f32]) -> Vec<Vec<f64>> {
        let mut tensors = vec![row.iter().map(|&x| f64::from(x)).collect::<Vec<f64>>()];
        for item in &self.items {
            let inputs: Vec<&[f64]> =
                item.inputs.iter().map(|&i| tensors.get(i).map_or(&[][..], |t| t)).collect();
            tensors.push(item.task.apply(&inputs));
        }
        tensors
    }
}

fn count_uses<'a>(
    inputs: impl Iterator<Item = &'a [TensorId]>,
    nodes: usize,
    output: TensorId,
) -> Vec<usize> {
    let mut uses = vec![0; nodes + 1];
    for tensor in inputs.flatten().copied().chain([output]) {
        if let Some(uses) = uses.get_mut(tensor) {
            *uses += 1;
        }
    }
    uses
}

impl Task {
    fn output_len(&self, len: usize) -> usize {
        match self {
            Self::Garbled(_, Some(window)) | Self::Sum(window, _) => network::output_len(window),
            Self::Garbled(_, None) | Self::Square | Self::Product | Self::Affine(..) => len,
            Self::Linear(linear) => linear.outputs(),
            Self::StridedAdd(len, _) => *len,
        }
    }

    fn apply(&self, inputs: &[&[f64]]) -> Vec<f64> {
        let x = inputs.first().copied().unwrap_or_default();
        match self {
            Self::Garbled(activation, window) => {
                let mut y = window
                    .as_ref()
                    .map_or_else(|| x.to_vec(), |window| network::max_pool(window, x));
                if let Some(activation) = activation {
                    y.iter_mut().for_each(|y| *y = activation.at(*y));
                }
                y
            }
            Self::Linear(linear) => linear.apply(x),
            Self::Sum(window, divisor) => Work::SumPool(*window, *divisor).apply(inputs),
            Self::Square => Work::Square.apply(inputs),
            Self::Product => Work::Product.apply(inputs),
            Self::Affine(scale, offset) => {
                x.iter().enumerate().map(|(i, x)| scale.at(i) * x + offset.at(i)).collect()
            }
            Self::StridedAdd(len, pieces) => network::arrange(*len, pieces, inputs),
        }
    }
}

/// Makes items of nodes, one after the other.
struct Maker {
    input_len: usize,
    items: Vec<Item>,
    /// Whether an item's tensor is read by more nodes than count as its readers.
    shared: Vec<bool>,
    /// The tensor that stands for each of the network's tensors.
    map: Vec<TensorId>,
    /// For each tensor, the input's first, the network's tensor that has the same elements.
    equals: Vec<Option<TensorId>>,
    notes: Vec<String>,
}

impl Maker {
    fn push(&mut self, name: String, task: Task, inputs: Vec<TensorId>) -> TensorId {
        self.items.push(Item { name, task, inputs });
        self.shared.push(false);
        self.equals.push(None);
        self.items.len()
    }

    /// The item that makes `tensor`, if nobody but the one who asks reads it.
    fn own(&mut self, tensor: TensorId, single: bool) -> Option<&mut Item> {
        let index = tensor.checked_sub(1)?;
        let free = single && self.shared.get(index) == Some(&false);
        self.items.get_mut(index).filter(|_| free)
    }

    /// A node that changes nothing: its tensor is that of `tensor`.
    fn pass(&mut self, tensor: TensorId, single: bool) -> TensorId {
        if let Some(shared) =
            tensor.checked_sub(1).and_then(|i| self.shared.get_mut(i)).filter(|_| !single)
        {
            *shared = true;
        }
        tensor
    }

    fn node(&mut self, node: Node, uses: &[usize]) -> Result<TensorId, Error> {
        let Node { name, work, inputs } = node;
        let single = inputs.first().is_some_and(|&i| uses.get(i) == Some(&1));
        let inputs: Vec<TensorId> =
            inputs.iter().map(|&i| self.map.get(i).copied().unwrap_or(0)).collect();
        let x = inputs.first().copied().unwrap_or(0);
        Ok(match work {
            Work::Linear(linear) => self.linear(name, linear, x, single)?,
            Work::Affine(scale, offset) => self.affine(name, scale, offset, x, single)?,
            Work::Activation(Activation::Relu) => self.relu(name, x, single),
            Work::Activation(activation) => {
                self.push(name, Task::Garbled(Some(activation), None), inputs)
            }
            Work::MaxPool(window) => self.max_pool(name, window, x, single),
            Work::SumPool(window, divisor) => self.push(name, Task::Sum(window, divisor), inputs),
            Work::Square => self.push(name, Task::Square, inputs),
            Work::Product => self.push(name, Task::Product, inputs),
            Work::StridedAdd(len, pieces) => match &pieces[..] {
                [Piece { factor: 1.0, view, .. }]
                    if self.len(x) == Some(len) && changes_nothing(view, len) =>
                {
                    self.pass(x, single)
                }
                _ => self.push(name, Task::StridedAdd(len, pieces), inputs),
            },
        })
    }

    /// Elements of a tensor.
    fn len(&self, tensor: TensorId) -> Option<usize> {
        if tensor == 0 {
            return Some(self.input_len);
        }
        let item = self.items.get(tensor - 1)?;
        match &item.task {
            Task::Square | Task::Product | Task::Affine(..) | Task::Garbled(_, None) => {
                self.len(*item.inputs.first()?)
            }
            task => Some(task.output_len(0)),
        }
    }

    fn linear(
        &mut self,
        name: String,
        mut linear: Linear,
        mut x: TensorId,
        mut single: bool,
    ) -> Result<TensorId, Error> {
        if let Some(Item { task: Task::Affine(scale, offset), inputs, .. }) = self.own(x, single) {
            let mut folded = linear.clone();
            if fold_before(&mut folded, scale, offset) {
                (linear, x) = (folded, inputs.first().copied().unwrap_or(0));
                // Whoever else reads what stood before the arithmetic, reads it still.
                single = false;
                finite(&linear, &name)?;
            }
        }
        if let Some(Item { task: Task::Linear(first), name: before, .. }) = self.own(x, single)
            && worth_folding(first, &linear)
        {
            let note = format!("{before} and {name} folded into one layer");
            *first = product(&linear, first);
            *before = format!("{before}+{name}");
            self.notes.push(note);
            return Ok(x);
        }
        Ok(self.push(name, Task::Linear(linear), vec![x]))
    }

    fn affine(
        &mut self,
        name: String,
        scale: PerElement,
        offset: PerElement,
        x: TensorId,
        single: bool,
    ) -> Result<TensorId, Error> {
        if (&scale, &offset) == (&PerElement::One(1.0), &PerElement::One(0.0)) {
            return Ok(self.pass(x, single));
        }
        if let Some(Item { task: Task::Linear(linear), .. }) = self.own(x, single)
            && fold_after(linear, &scale, &offset)
        {
            finite(linear, &name)?;
            return Ok(x);
        }
        if let Some(Item { task: Task::Affine(s, o), .. }) = self.own(x, single) {
            *s = s.zip(&scale, |a, b| a * b);
            *o = o.zip(&scale, |a, b| a * b).zip(&offset, |a, b| a + b);
            return Ok(x);
        }
        Ok(self.push(name, Task::Affine(scale, offset), vec![x]))
    }

    fn relu(&mut self, name: String, x: TensorId, single: bool) -> TensorId {
        if self.is_positive(x) {
            self.notes.push(format!("{name} dropped: its input is never negative"));
            return self.pass(x, single);
        }
        if let Some(Item { task: Task::Garbled(function @ None, Some(_)), name: before, .. }) =
            self.own(x, single)
        {
            *function = Some(Activation::Relu);
            *before = format!("{before}+{name}");
            return x;
        }
        self.push(name, Task::Garbled(Some(Activation::Relu), None), vec![x])
    }

    fn max_pool(
        &mut self,
        name: String,
        window: Convolution,
        x: TensorId,
        single: bool,
    ) -> TensorId {
        let mut after = None;
        if let Some(Item { task: Task::Garbled(function, pool @ None), name: before, .. }) =
            self.own(x, single)
        {
            match function {
                None | Some(Activation::Relu) => {
                    *pool = Some(window);
                    *before = format!("{before}+{name}");
                    return x;
                }
                // The largest of rising values is the value of the largest: fewer of them are left
                // to compute.
                Some(rising) if rising.is_monotone() => {
                    after = function.take();
                    *pool = Some(window);
                    before.clone_from(&name);
                }
                Some(_) => {}
            }
        }
        if after.is_some() {
            // The maximum of what the function is yet to be applied to: no tensor of the network.
            self.equals.get_mut(x).into_iter().for_each(|equals| *equals = None);
        }
        match after {
            Some(function) => {
                self.push(format!("after {name}"), Task::Garbled(Some(function), None), vec![x])
            }
            None => self.push(name, Task::Garbled(None, Some(window)), vec![x]),
        }
    }

    /// Whether a tensor is never negative.
    fn is_positive(&self, tensor: TensorId) -> bool {
        let Some(Item { task, inputs, .. }) = tensor.checked_sub(1).and_then(|i| self.items.get(i))
        else {
            return false;
        };
        match task {
            Task::Garbled(Some(Activation::Relu), _) | Task::Square => true,
            Task::Garbled(Some(Activation::Clip { lo, .. }), _) => *lo >= 0.0,
            Task::Garbled(None, Some(_)) | Task::Sum(..) => {
                inputs.iter().all(|&i| self.is_positive(i))
            }
            _ => false,
        }
    }
}

/// Whether a view copies every one of `len` elements to its own place.
fn changes_nothing(view: &View, len: usize) -> bool {
    let (mut next, mut same) = (0, view.len() == len as u64);
    if same {
        view.for_each(|from, to| {
            same &= from == next && to == next;
            next += 1;
        });
    }
    same
}

/// One number for each of `channels`, if all of a channel's `each` elements have the same.
fn per_channel(numbers: &PerElement, channels: usize, each: usize) -> Option<PerElement> {
    match numbers {
        PerElement::Each(xs) if each > 1 => {
            let mut all = xs.chunks(each);
            let same =
                all.len() == channels && all.all(|xs| xs.iter().all(|x| Some(x) == xs.first()));
            same.then(|| PerElement::Each(xs.iter().step_by(each).copied().collect()))
        }
        _ => Some(numbers.clone()),
    }
}

/// `W∗(s·x + o) + b = (W·s)∗x + (b + W∗o)`, unless a number differs inside a channel, or is added
/// before zeros are put around the image.
fn fold_before(linear: &mut Linear, scale: &PerElement, offset: &PerElement) -> bool {
    let layer = linear.layer;
    let [channels, height, width] = layer.input.map(|n| n as usize);
    let (Some(scale), Some(offset)) = (
        per_channel(scale, channels, height * width),
        per_channel(offset, channels, height * width),
    ) else {
        return false;
    };
    if layer.pads != [0; 4] && (0..channels).any(|c| offset.at(c) != 0.0) {
        return false;
    }
    let inputs = channels / layer.groups as usize;
    let outputs = (layer.outputs / layer.groups) as usize;
    let kernel = layer.window_len();
    for (i, (row, bias)) in
        linear.weights.chunks_exact_mut(inputs * kernel).zip(&mut linear.biases).enumerate()
    {
        for (j, w) in row.iter_mut().enumerate() {
            let channel = i / outputs * inputs + j / kernel;
            *bias += f64::from(*w) * offset.at(channel);
            *w = (f64::from(*w) * scale.at(channel)) as f32;
        }
    }
    true
}

/// `s·(W∗x + b) + o`, unless a number differs inside a channel.
fn fold_after(linear: &mut Linear, scale: &PerElement, offset: &PerElement) -> bool {
    let (channels, each) = (linear.layer.outputs as usize, size(&linear.layer).iter().product());
    let (Some(scale), Some(offset)) =
        (per_channel(scale, channels, each), per_channel(offset, channels, each))
    else {
        return false;
    };
    let fan_in = linear.fan_in();
    for (i, (row, bias)) in
        linear.weights.chunks_exact_mut(fan_in).zip(&mut linear.biases).enumerate()
    {
        *bias = *bias * scale.at(i) + offset.at(i);
        if scale.at(i) != 1.0 {
            row.iter_mut().for_each(|w| *w = (f64::from(*w) * scale.at(i)) as f32);
        }
    }
    true
}

fn finite(linear: &Linear, name: &str) -> Result<(), Error> {
    let finite =
        linear.weights.iter().all(|w| w.is_finite()) && linear.biases.iter().all(|b| b.is_finite());
    if finite {
        return Ok(());
    }
    Err(Error::Layer {
        layer: name.into(),
        what: "folding constants into the layer next to it gives an infinite weight".into(),
    })
}

/// Most products that folding two layers may take.
const MAX_FOLDING: u128 = 1 << 33;

/// Whether both are fully connected, and one layer has no more weights than the two that it
/// replaces.
fn worth_folding(first: &Linear, second: &Linear) -> bool {
    let [i, m, o] = [first.inputs(), second.inputs(), second.outputs()].map(|n| n as u128);
    first.is_dense() && second.is_dense() && i * o <= i * m + m * o && i * m * o <= MAX_FOLDING
}

/// `second ∘ first`.
fn product(second: &Linear, first: &Linear) -> Linear {
    let biases = second.apply(&first.biases);
    let mut weights = Vec::with_capacity(first.inputs() * second.outputs());
    for (row, _) in second.rows() {
        let mut sums = vec![0.0; first.inputs()];
        for (&a, (inner, _)) in row.iter().zip(first.rows()) {
            for (sum, &w) in sums.iter_mut().zip(inner) {
                *sum += f64::from(a) * f64::from(w);
            }
        }
        weights.extend(sums.iter().map(|&s| s as f32));
    }
    Linear::fully_connected(first.layer.input[0], second.layer.outputs, weights, biases)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer() -> Linear {
        Linear::fully_connected(2, 3, vec![1.0, -2.0, 0.5, 4.0, 3.0, 0.0], vec![1.0, 0.0, -1.0])
    }

    fn graph(nodes: Vec<(Work, &[TensorId])>, input_len: usize) -> Graph {
        let nodes: Vec<Node> = nodes
            .into_iter()
            .enumerate()
            .map(|(i, (work, inputs))| Node {
                name: format!("n{i}"),
                work,
                inputs: inputs.to_vec(),
            })
            .collect();
        let names = (0..=nodes.len()).map(|i| Some(format!("t{i}"))).collect();
        let mut network = Network {
            name: "n".into(),
            input_len,
            output_len: 0,
            output: nodes.len(),
            nodes,
            names,
            argmax: false,
            signature: network::Signature::default(),
            notes: vec![],
        };
        network.output_len = network.lengths()[network.output];
        Graph::new(network).unwrap()
    }

    #[test]
    fn arithmetic_folds_into_its_neighbours() {
        let (s1, o1) = (PerElement::Each(vec![2.0, -1.0]), PerElement::One(3.0));
        let (s2, o2) = (PerElement::One(0.5), PerElement::Each(vec![1.0, 2.0, 3.0]));
        let before = || Work::Affine(s1.clone(), o1.clone());
        let nodes = vec![
            (before(), &[0][..]),
            (before(), &[1]),
            (Work::Linear(layer()), &[2]),
            (Work::Affine(s2.clone(), o2.clone()), &[3]),
        ];
        let graph = graph(nodes, 2);
        assert_eq!(graph.items.len(), 1);
        assert_eq!(graph.names, [Some("t0".into()), Some("t4".into())]);
        let once = |x: &[f64]| -> Vec<f64> {
            x.iter().enumerate().map(|(i, x)| s1.at(i) * x + o1.at(i)).collect()
        };
        let expected: Vec<f64> = layer()
            .apply(&once(&once(&[0.75, -1.25])))
            .iter()
            .enumerate()
            .map(|(i, y)| s2.at(i) * y + o2.at(i))
            .collect();
        assert_eq!(graph.evaluate(&[0.75, -1.25])[1], expected);
    }

    #[test]
    fn what_others_read_is_not_folded() {
        let sum = Work::StridedAdd(
            3,
            vec![
                Piece { input: 0, factor: 1.0, view: View::whole(3) },
                Piece { input: 1, factor: 1.0, view: View::whole(3) },
            ],
        );
        let nodes = vec![
            (Work::Linear(layer()), &[0][..]),
            (Work::Affine(PerElement::One(2.0), PerElement::One(1.0)), &[1]),
            (sum, &[1, 2]),
        ];
        let graph = graph(nodes, 2);
        assert_eq!(graph.items.len(), 3);
        let y = layer().apply(&[1.0, -1.0]);
        let expected: Vec<f64> = y.iter().map(|y| y + 2.0 * y + 1.0).collect();
        assert_eq!(graph.evaluate(&[1.0, -1.0])[3], expected);
    }

    #[test]
    fn maxima_and_functions_share_a_circuit() {
        let window = Convolution::window([1, 1, 4], [1, 2], [1, 2], [0; 4], [1, 1]);
        let relu = Work::Activation(Activation::Relu);
        let one = graph(
            vec![(relu.clone(), &[0][..]), (Work::MaxPool(window), &[1]), (relu.clone(), &[2])],
            4,
        );
        assert!(
            matches!(
                &one.items[..],
                [Item { task: Task::Garbled(Some(Activation::Relu), Some(_)), .. }]
            ),
            "{:?}",
            one.items
        );
        assert_eq!(one.notes.len(), 1);
        let tanh = Work::Activation(Activation::Curve(network::Curve::Tanh));
        let two = graph(vec![(tanh, &[0][..]), (Work::MaxPool(window), &[1])], 4);
        assert!(matches!(
            &two.items[..],
            [
                Item { task: Task::Garbled(None, Some(_)), .. },
                Item { task: Task::Garbled(Some(_), None), .. }
            ]
        ));
        assert_eq!(two.names, [Some("t0".into()), None, Some("t2".into())]);
        assert_eq!(two.evaluate(&[0.5, -1.0, -2.0, -3.0])[2], [0.5_f64.tanh(), (-2.0_f64).tanh()]);
    }

    #[test]
    fn what_nobody_needs_is_dropped() {
        let square = || Work::Square;
        let nodes = vec![(square(), &[0][..]), (Work::Linear(layer()), &[0]), (square(), &[2])];
        assert_eq!(graph(nodes, 2).items.len(), 2);
    }
}
