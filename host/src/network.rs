//! A float network: what importers make and the compiler reads.
//!
//! A tensor is a flat array; an image is `[channels][height][width]`. A fully connected layer is a
//! convolution of a 1×1 image.

mod chain;

pub use chain::{Binary, Chain, Unary};

use minionn_core::plan::{Convolution, View};
use std::sync::Arc;

/// A number for every element of a tensor.
#[derive(Clone, Debug, PartialEq)]
pub enum PerElement {
    /// The same for all.
    One(f64),
    /// One each.
    Each(Vec<f64>),
}

impl PerElement {
    /// The number of element `i` (0 outside).
    #[must_use]
    pub fn at(&self, i: usize) -> f64 {
        match self {
            Self::One(x) => *x,
            Self::Each(xs) => xs.get(i).copied().unwrap_or(0.0),
        }
    }

    /// Applies `f` to every number.
    #[must_use]
    pub fn map(&self, f: impl Fn(f64) -> f64) -> Self {
        match self {
            Self::One(x) => Self::One(f(*x)),
            Self::Each(xs) => Self::Each(xs.iter().map(|&x| f(x)).collect()),
        }
    }

    /// Joins two element by element.
    #[must_use]
    pub fn zip(&self, other: &Self, f: impl Fn(f64, f64) -> f64) -> Self {
        match (self, other) {
            (Self::One(a), _) => other.map(|b| f(*a, b)),
            (_, Self::One(b)) => self.map(|a| f(a, *b)),
            (Self::Each(a), Self::Each(b)) => {
                Self::Each(a.iter().zip(b).map(|(&a, &b)| f(a, b)).collect())
            }
        }
    }

    /// Every number `times` times: those of channels become those of their elements.
    #[must_use]
    pub fn repeat(&self, times: usize) -> Self {
        match self {
            Self::Each(xs) if times != 1 => {
                Self::Each(xs.iter().flat_map(|&x| core::iter::repeat_n(x, times)).collect())
            }
            _ => self.clone(),
        }
    }

    /// Whether all numbers are finite.
    #[must_use]
    pub fn is_finite(&self) -> bool {
        match self {
            Self::One(x) => x.is_finite(),
            Self::Each(xs) => xs.iter().all(|x| x.is_finite()),
        }
    }
}

/// A fully connected layer or a convolution: `y = W∗x + b`.
#[derive(Clone, Debug, PartialEq)]
pub struct Linear {
    /// Shapes; they are possible ([`Convolution::output_size`]).
    pub layer: Convolution,
    /// `W`, `[outputs][channels / groups][kernel]`.
    pub weights: Vec<f32>,
    /// `b`, one for each output channel.
    pub biases: Vec<f64>,
}

impl Linear {
    /// A fully connected layer; `weights`: `[outputs][inputs]`.
    #[must_use]
    pub const fn fully_connected(
        inputs: u32,
        outputs: u32,
        weights: Vec<f32>,
        biases: Vec<f64>,
    ) -> Self {
        Self { layer: Convolution::fully_connected(inputs, outputs), weights, biases }
    }

    /// Whether every output reads every input, with a weight of its own.
    #[must_use]
    pub fn is_dense(&self) -> bool {
        self.layer == Convolution::fully_connected(self.layer.input[0], self.layer.outputs)
    }

    /// Elements in.
    #[must_use]
    pub fn inputs(&self) -> usize {
        input_len(&self.layer)
    }

    /// Elements out.
    #[must_use]
    pub fn outputs(&self) -> usize {
        output_len(&self.layer)
    }

    /// Weights of one output channel.
    #[must_use]
    pub const fn fan_in(&self) -> usize {
        self.layer.fan_in() as usize
    }

    /// The weights of each output channel with their bias.
    pub fn rows(&self) -> impl Iterator<Item = (&[f32], f64)> {
        self.weights.chunks_exact(self.fan_in()).zip(self.biases.iter().copied())
    }

    /// `y = W∗x + b`; `x` has [`Linear::inputs`] elements.
    #[must_use]
    pub fn apply(&self, x: &[f64]) -> Vec<f64> {
        if self.is_dense() {
            self.rows().map(|(row, bias)| bias + dot(row, x)).collect()
        } else {
            self.convolve(x)
        }
    }

    fn convolve(&self, x: &[f64]) -> Vec<f64> {
        let layer = self.layer;
        let [ho, wo] = size(&layer);
        let [kh, kw] = layer.kernel.map(|n| n as usize);
        let (inputs, outputs) =
            ((layer.input[0] / layer.groups) as usize, (layer.outputs / layer.groups) as usize);
        let (places, fan_in) = (ho * wo, self.fan_in());
        let mut all = vec![0.0; self.outputs()];
        // Some places at a time: what they read lies row by row, as the weights do, and each row of
        // weights is used for all of them.
        let mut patches = vec![0.0; PLACES * fan_in];
        for group in 0..layer.groups as usize {
            for start in (0..places).step_by(PLACES) {
                let now = PLACES.min(places - start);
                for (i, patch) in patches.chunks_exact_mut(fan_in.max(1)).take(now).enumerate() {
                    let place = [(start + i) / wo, (start + i) % wo];
                    let taps = (0..inputs).flat_map(|c| {
                        (0..kh * kw).map(move |i| (group * inputs + c, [i / kw, i % kw]))
                    });
                    for (value, (c, at)) in patch.iter_mut().zip(taps) {
                        // Outside of the image there are zeros.
                        *value = layer.tap(c, place, at).and_then(|i| x.get(i)).map_or(0.0, |&x| x);
                    }
                }
                let first = group * outputs;
                for (output, (row, bias)) in self.rows().enumerate().skip(first).take(outputs) {
                    let made = all.iter_mut().skip(output * places + start).take(now);
                    for (made, patch) in made.zip(patches.chunks_exact(fan_in.max(1))) {
                        *made = bias + dot(row, patch);
                    }
                }
            }
        }
        all
    }
}

/// Places of a convolution that are computed together.
const PLACES: usize = 16;

/// Height and width of what a layer with possible shapes makes.
pub(crate) fn size(layer: &Convolution) -> [usize; 2] {
    layer.output_size().unwrap_or([0; 2]).map(|n| n as usize)
}

/// Elements that a layer reads.
pub(crate) fn input_len(layer: &Convolution) -> usize {
    layer.input.iter().map(|&n| n as usize).product()
}

/// Elements that a layer makes.
pub(crate) fn output_len(layer: &Convolution) -> usize {
    layer.outputs as usize * size(layer).iter().product::<usize>()
}

/// The largest element of each window.
pub(crate) fn max_pool(window: &Convolution, x: &[f64]) -> Vec<f64> {
    let most =
        |i| window.window_at(i).filter_map(|j| x.get(j)).copied().fold(f64::NEG_INFINITY, f64::max);
    (0..output_len(window)).map(most).collect()
}

/// The sum of each window.
pub(crate) fn sum_pool(window: &Convolution, x: &[f64]) -> Vec<f64> {
    (0..output_len(window)).map(|i| window.window_at(i).filter_map(|j| x.get(j)).sum()).collect()
}

/// Eight running sums, so that the compiler can use vector instructions.
fn dot(w: &[f32], x: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let (w, w_rest) = w.as_chunks::<8>();
    let (x, x_rest) = x.as_chunks::<8>();
    for (w, x) in w.iter().zip(x) {
        for ((sum, &w), &x) in sums.iter_mut().zip(w).zip(x) {
            *sum += f64::from(w) * x;
        }
    }
    sums.iter().sum::<f64>()
        + w_rest.iter().zip(x_rest).map(|(&w, &x)| f64::from(w) * x).sum::<f64>()
}

/// Which tensor: 0 is the input, then one for each node in order.
pub type TensorId = usize;

/// A function of one number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Curve {
    /// `1 / (1 + e^−x)`.
    Sigmoid,
    /// `tanh(x)`.
    Tanh,
    /// The error function.
    Erf,
    /// `x / (1 + |x|)`.
    Softsign,
    /// `x · Φ(x)`.
    Gelu,
    /// `x · (1 + tanh(√(2/π)·(x + 0.044715·x³))) / 2`.
    GeluTanh,
    /// `x · sigmoid(x)`.
    Silu,
    /// `ln(1 + e^x)`.
    Softplus,
    /// `x` where positive, else `α·(e^(x/β) − 1)`: ELU with β = 1, CELU with α = β; SELU is
    /// `scaled`.
    Elu {
        /// Height of the left side.
        alpha: f64,
        /// Its width.
        beta: f64,
    },
    /// `x · min(max(x/6 + 1/2, 0), 1)`.
    HardSwish,
}

impl Curve {
    /// The function.
    #[must_use]
    pub fn at(self, x: f64) -> f64 {
        match self {
            Self::Sigmoid => 1.0 / (1.0 + (-x).exp()),
            Self::Tanh => x.tanh(),
            Self::Erf => libm::erf(x),
            Self::Softsign => x / (1.0 + x.abs()),
            Self::Gelu => x * 0.5 * libm::erfc(-x * core::f64::consts::FRAC_1_SQRT_2),
            Self::GeluTanh => {
                x * 0.5
                    * (1.0
                        + ((2.0 / core::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3)))
                            .tanh())
            }
            Self::Silu => x / (1.0 + (-x).exp()),
            Self::Softplus => x.max(0.0) + (-x.abs()).exp().ln_1p(),
            Self::Elu { alpha, beta } if x < 0.0 => alpha * (x / beta).exp_m1(),
            Self::Elu { .. } => x,
            Self::HardSwish => x * (x / 6.0 + 0.5).clamp(0.0, 1.0),
        }
    }

    /// Where the curve has its minimum, if it falls up to there and rises from there on; the others
    /// rise everywhere.
    #[must_use]
    pub const fn minimum(self) -> Option<f64> {
        match self {
            Self::Gelu => Some(-0.751_791_524_693_564_5),
            Self::GeluTanh => Some(-0.752_461_422_071_016_3),
            Self::Silu => Some(-1.278_464_542_761_074),
            Self::HardSwish => Some(-1.5),
            Self::Sigmoid
            | Self::Tanh
            | Self::Erf
            | Self::Softsign
            | Self::Softplus
            | Self::Elu { .. } => None,
        }
    }
}

/// A function of each element.
#[derive(Clone, Debug, PartialEq)]
pub enum Activation {
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, lo), hi)`; infinite where there is no bound, never on both sides.
    Clip {
        /// Least result.
        lo: f64,
        /// Largest result.
        hi: f64,
    },
    /// `x`, or `slope · x` where `x` is negative; `0 < slope < 1`.
    Leaky(f64),
    /// A curve, to be approximated.
    Curve(Curve),
    /// 1 where `x` is positive, else 0.
    Step,
    /// Any other function of one number, to be approximated where the calibration rows reach.
    Chain(Arc<Chain>),
}

impl Activation {
    /// Whether larger inputs never have smaller results.
    #[must_use]
    pub const fn is_monotone(&self) -> bool {
        match self {
            Self::Relu | Self::Clip { .. } | Self::Leaky(_) | Self::Step => true,
            Self::Curve(curve) => curve.minimum().is_none(),
            Self::Chain(_) => false,
        }
    }

    /// The function.
    #[must_use]
    pub fn at(&self, x: f64) -> f64 {
        match self {
            Self::Relu => x.max(0.0),
            Self::Clip { lo, hi } => x.max(*lo).min(*hi),
            Self::Leaky(slope) => {
                if x < 0.0 {
                    slope * x
                } else {
                    x
                }
            }
            Self::Curve(curve) => curve.at(x),
            Self::Step => f64::from(x > 0.0),
            Self::Chain(chain) => chain.at(x),
        }
    }
}

/// Part of a strided add: `factor` times some elements of an input, to be added to some of the
/// output.
#[derive(Clone, Debug, PartialEq)]
pub struct Piece {
    /// Which of the node's inputs.
    pub input: usize,
    /// What its elements are multiplied by.
    pub factor: f64,
    /// Which element goes where; inside both tensors ([`View::check`]).
    pub view: View,
}

/// What a node does.
#[derive(Clone, Debug, PartialEq)]
pub enum Work {
    /// Fully connected or a convolution.
    Linear(Linear),
    /// The largest element of each window ([`Convolution::is_window`]).
    MaxPool(Convolution),
    /// The sum of each window, divided by a positive number.
    SumPool(Convolution, f64),
    /// A function of each element.
    Activation(Activation),
    /// `x²`.
    Square,
    /// `x·y` of two inputs of the same length.
    Product,
    /// `scale·x + offset`, element by element, all finite.
    Affine(PerElement, PerElement),
    /// A tensor of this length made of pieces of the inputs: starts as zeros, elements add up.
    StridedAdd(usize, Vec<Piece>),
}

/// A node and the name that its errors and its line in the report carry.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Name for people.
    pub name: String,
    /// What it does.
    pub work: Work,
    /// The tensors that it reads: one, for a product two, for a strided add any number.
    pub inputs: Vec<TensorId>,
}

/// A network: a directed graph without cycles, every node behind those that it reads.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// Name for people.
    pub name: String,
    /// Elements of the input.
    pub input_len: usize,
    /// Elements of the output.
    pub output_len: usize,
    /// The nodes in order; node `i` makes tensor `i + 1`.
    pub nodes: Vec<Node>,
    /// The tensor that is the output.
    pub output: TensorId,
    /// For each tensor, the input's first, the name in the file of a tensor with the same elements
    /// in the same order, where there is one.
    pub names: Vec<Option<String>>,
    /// Whether the network ends with the index of its largest output.
    pub argmax: bool,
    /// What the file says of inputs and outputs.
    pub signature: Signature,
    /// What was dropped on the way, for people.
    pub notes: Vec<String>,
}

/// What a file says of a network's inputs and outputs, beside their lengths.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Signature {
    /// The declared inputs. Their elements follow one another in the input tensor, in this order.
    pub inputs: Vec<Port>,
    /// What the classes are called, as many as there are outputs; or two for one output that says
    /// which of two classes it is.
    pub labels: Option<Labels>,
    /// What stood behind the logits and was dropped.
    pub head: Option<Head>,
    /// For one output and two classes: above this, it is the second.
    pub threshold: f64,
    /// The fixed batch of the file, of which one row is left.
    pub batch: Option<usize>,
}

/// A declared input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Name in the file.
    pub name: String,
    /// Shape of one row, the batch in front where there is one (then 1).
    pub shape: Vec<usize>,
    /// Whether the first dimension is the batch.
    pub batch: bool,
}

impl Port {
    /// Elements of one row.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether a row has no elements: never for an input that was read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Shape of one row, without the batch.
    #[must_use]
    pub fn row(&self) -> &[usize] {
        match &self.shape[..] {
            [_, row @ ..] if self.batch => row,
            all => all,
        }
    }
}

/// What classes are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Labels {
    /// Numbers.
    Numbers(Vec<i64>),
    /// Words.
    Words(Vec<String>),
}

impl Labels {
    /// How many.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self {
            Self::Numbers(all) => all.len(),
            Self::Words(all) => all.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What can be dropped behind logits, as it does not change which is largest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// `e^x` as a part of the sum of all.
    Softmax,
    /// The logarithm of that.
    LogSoftmax,
}

impl Network {
    /// Elements of every tensor.
    #[must_use]
    pub fn lengths(&self) -> Vec<usize> {
        let mut lengths = vec![self.input_len];
        for node in &self.nodes {
            let before = node.inputs.first().and_then(|&i| lengths.get(i)).copied().unwrap_or(0);
            lengths.push(node.work.output_len(before));
        }
        lengths
    }

    /// Every tensor for one input.
    #[must_use]
    pub fn evaluate(&self, x: Vec<f64>) -> Vec<Vec<f64>> {
        let mut tensors = vec![x];
        for node in &self.nodes {
            let inputs: Vec<&[f64]> =
                node.inputs.iter().map(|&i| tensors.get(i).map_or(&[][..], |t| t)).collect();
            tensors.push(node.work.apply(&inputs));
        }
        tensors
    }
}

impl Work {
    /// Elements that it makes of a first input of `len`.
    #[must_use]
    pub fn output_len(&self, len: usize) -> usize {
        match self {
            Self::Linear(linear) => linear.outputs(),
            Self::MaxPool(window) | Self::SumPool(window, _) => output_len(window),
            Self::StridedAdd(len, _) => *len,
            Self::Activation(_) | Self::Square | Self::Product | Self::Affine(..) => len,
        }
    }

    /// What it makes.
    #[must_use]
    pub fn apply(&self, inputs: &[&[f64]]) -> Vec<f64> {
        let x = inputs.first().copied().unwrap_or_default();
        match self {
            Self::Linear(linear) => linear.apply(x),
            Self::MaxPool(window) => max_pool(window, x),
            Self::SumPool(window, divisor) => {
                sum_pool(window, x).into_iter().map(|x| x / divisor).collect()
            }
            Self::Activation(activation) => x.iter().map(|&x| activation.at(x)).collect(),
            Self::Square => x.iter().map(|&x| x * x).collect(),
            Self::Product => x
                .iter()
                .zip(inputs.get(1).copied().unwrap_or_default())
                .map(|(x, y)| x * y)
                .collect(),
            Self::Affine(scale, offset) => {
                x.iter().enumerate().map(|(i, x)| scale.at(i) * x + offset.at(i)).collect()
            }
            Self::StridedAdd(len, pieces) => arrange(*len, pieces, inputs),
        }
    }
}

/// A tensor made of pieces of others.
pub(crate) fn arrange(len: usize, pieces: &[Piece], inputs: &[&[f64]]) -> Vec<f64> {
    let mut y = vec![0.0; len];
    for piece in pieces {
        let x = inputs.get(piece.input).copied().unwrap_or_default();
        piece.view.for_each(|from, to| {
            if let (Some(x), Some(y)) = (x.get(from), y.get_mut(to)) {
                *y += piece.factor * x;
            }
        });
    }
    y
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dot_products_of_every_length() {
        for n in 0..40 {
            let w: Vec<f32> = (0..n).map(|i| i as f32 - 7.0).collect();
            let x: Vec<f64> = (0..n).map(|i| f64::from(i * i % 5)).collect();
            let slow: f64 = w.iter().zip(&x).map(|(&w, &x)| f64::from(w) * x).sum();
            assert_eq!(dot(&w, &x), slow);
        }
    }

    #[test]
    fn branches_meet_again() {
        let step = |name: &str, work, inputs: &[usize]| Node {
            name: name.into(),
            work,
            inputs: inputs.to_vec(),
        };
        let whole = |input, factor| Piece { input, factor, view: View::whole(3) };
        let network = Network {
            name: "n".into(),
            input_len: 3,
            output_len: 3,
            nodes: vec![
                step("relu", Work::Activation(Activation::Relu), &[0]),
                step("sum", Work::StridedAdd(3, vec![whole(0, 2.0), whole(1, -1.0)]), &[0, 1]),
                step("gate", Work::Product, &[1, 2]),
            ],
            output: 3,
            names: vec![],
            argmax: false,
            signature: Signature::default(),
            notes: vec![],
        };
        assert_eq!(network.lengths(), [3; 4]);
        let tensors = network.evaluate(vec![-1.0, 0.5, 2.0]);
        assert_eq!(tensors[2], [-2.0, 0.5, 2.0]);
        assert_eq!(tensors[3], [0.0, 0.25, 4.0]);
    }
}
