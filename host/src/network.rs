//! A chain of float layers: what importers make and the compiler reads.
//!
//! A tensor is a flat array; an image is `[channels][height][width]`. A fully connected layer is a convolution of a 1×1 image.

use minionn_core::plan::Convolution;

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
            (Self::Each(a), Self::Each(b)) => Self::Each(a.iter().zip(b).map(|(&a, &b)| f(a, b)).collect()),
        }
    }

    /// Every number `times` times: those of channels become those of their elements.
    #[must_use]
    pub fn repeat(&self, times: usize) -> Self {
        match self {
            Self::Each(xs) if times != 1 => Self::Each(xs.iter().flat_map(|&x| core::iter::repeat_n(x, times)).collect()),
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
    pub const fn fully_connected(inputs: u32, outputs: u32, weights: Vec<f32>, biases: Vec<f64>) -> Self {
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
        if self.is_dense() { self.rows().map(|(row, bias)| bias + dot(row, x)).collect() } else { self.convolve(x) }
    }

    fn convolve(&self, x: &[f64]) -> Vec<f64> {
        let layer = self.layer;
        let [ho, wo] = size(&layer);
        let [kh, kw] = layer.kernel.map(|n| n as usize);
        let (inputs, outputs) = ((layer.input[0] / layer.groups) as usize, (layer.outputs / layer.groups) as usize);
        let mut all = Vec::with_capacity(self.outputs());
        for (output, (row, bias)) in self.rows().enumerate() {
            let first = output / outputs * inputs;
            for place in (0..ho * wo).map(|i| [i / wo, i % wo]) {
                let taps = (0..inputs).flat_map(|c| (0..kh * kw).map(move |i| (first + c, [i / kw, i % kw])));
                let terms = taps.zip(row).filter_map(|((c, at), &w)| Some(f64::from(w) * x.get(layer.tap(c, place, at)?)?));
                all.push(bias + terms.sum::<f64>());
            }
        }
        all
    }
}

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
    let most = |i| window.window_at(i).filter_map(|j| x.get(j)).copied().fold(f64::NEG_INFINITY, f64::max);
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
    sums.iter().sum::<f64>() + w_rest.iter().zip(x_rest).map(|(&w, &x)| f64::from(w) * x).sum::<f64>()
}

/// What a layer does.
#[derive(Clone, Debug, PartialEq)]
pub enum Layer {
    /// Fully connected or a convolution.
    Linear(Linear),
    /// The largest element of each window ([`Convolution::is_window`]).
    MaxPool(Convolution),
    /// The sum of each window, divided by a positive number.
    SumPool(Convolution, f64),
    /// `max(x, 0)`.
    Relu,
    /// `x²`.
    Square,
}

/// A layer and the name that its errors and its line in the report carry.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Name for people.
    pub name: String,
    /// What it does.
    pub layer: Layer,
}

/// A chain of layers.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// Name for people.
    pub name: String,
    /// Elements of the input.
    pub input_len: usize,
    /// Elements of the output.
    pub output_len: usize,
    /// The layers in order.
    pub steps: Vec<Step>,
    /// Whether the network ends with the index of its largest output.
    pub argmax: bool,
    /// What was dropped on the way, for people.
    pub notes: Vec<String>,
}

/// Collects layers; constant arithmetic (`scale·x + offset`) is folded into the linear layer before or after it.
#[derive(Debug, Default)]
pub struct Builder {
    steps: Vec<Step>,
    /// Name, scale and offset of arithmetic that waits for the next layer. At most one, so that memory stays bounded.
    pending: Option<(String, PerElement, PerElement)>,
}

impl Builder {
    /// Appends a fully connected layer or a convolution.
    ///
    /// # Errors
    /// A sentence, if waiting arithmetic does not fold into the layer or makes a weight infinite.
    pub fn linear(&mut self, name: String, mut linear: Linear) -> Result<(), String> {
        if let Some((before, scale, offset)) = self.pending.take() {
            fold_before(&mut linear, &scale, &offset)
                .map_err(|what| format!("the constant arithmetic of {before} cannot be folded into it: {what}"))?;
            finite(&linear)?;
        }
        self.steps.push(Step { name, layer: Layer::Linear(linear) });
        Ok(())
    }

    /// Appends `scale·x + offset`.
    ///
    /// # Errors
    /// A sentence, if that makes a weight infinite, or is not the same for all elements of a channel.
    pub fn affine(&mut self, name: String, scale: PerElement, offset: PerElement) -> Result<(), String> {
        if let (None, Some(Step { layer: Layer::Linear(linear), .. })) = (&self.pending, self.steps.last_mut()) {
            fold_after(linear, &scale, &offset)?;
            return finite(linear);
        }
        self.pending = Some(match self.pending.take() {
            None => (name, scale, offset),
            Some((first, s, o)) => (first, s.zip(&scale, |a, b| a * b), o.zip(&scale, |a, b| a * b).zip(&offset, |a, b| a + b)),
        });
        Ok(())
    }

    /// Appends an activation or pooling.
    ///
    /// # Errors
    /// A sentence, if constant arithmetic stands before it with no linear layer to fold into.
    pub fn activation(&mut self, name: String, layer: Layer) -> Result<(), String> {
        self.settled()?;
        self.steps.push(Step { name, layer });
        Ok(())
    }

    /// The layers.
    ///
    /// # Errors
    /// As [`Builder::activation`].
    pub fn finish(self) -> Result<Vec<Step>, String> {
        self.settled()?;
        Ok(self.steps)
    }

    fn settled(&self) -> Result<(), String> {
        self.pending.as_ref().map_or(Ok(()), |(name, ..)| {
            Err(format!("the constant arithmetic of {name} has no fully connected layer or convolution next to it to be folded into"))
        })
    }
}

/// One number for each of `channels`, if all of a channel's `each` elements have the same.
fn per_channel(numbers: &PerElement, channels: usize, each: usize) -> Result<PerElement, String> {
    match numbers {
        PerElement::Each(xs) if each > 1 => {
            let mut all = xs.chunks(each);
            match all.len() == channels && all.all(|xs| xs.iter().all(|x| Some(x) == xs.first())) {
                true => Ok(PerElement::Each(xs.iter().step_by(each).copied().collect())),
                false => Err("its constant must be the same for all elements of a channel".into()),
            }
        }
        _ => Ok(numbers.clone()),
    }
}

/// `W∗(s·x + o) + b = (W·s)∗x + (b + W∗o)`.
fn fold_before(linear: &mut Linear, scale: &PerElement, offset: &PerElement) -> Result<(), String> {
    let layer = linear.layer;
    let [channels, height, width] = layer.input.map(|n| n as usize);
    let scale = per_channel(scale, channels, height * width)?;
    let offset = per_channel(offset, channels, height * width)?;
    if layer.pads != [0; 4] && (0..channels).any(|c| offset.at(c) != 0.0) {
        return Err("a number is added before zeros are put around the image".into());
    }
    let inputs = channels / layer.groups as usize;
    let outputs = (layer.outputs / layer.groups) as usize;
    let kernel = layer.window_len();
    for (i, (row, bias)) in linear.weights.chunks_exact_mut(inputs * kernel).zip(&mut linear.biases).enumerate() {
        for (j, w) in row.iter_mut().enumerate() {
            let channel = i / outputs * inputs + j / kernel;
            *bias += f64::from(*w) * offset.at(channel);
            *w = (f64::from(*w) * scale.at(channel)) as f32;
        }
    }
    Ok(())
}

/// `s·(W∗x + b) + o`.
fn fold_after(linear: &mut Linear, scale: &PerElement, offset: &PerElement) -> Result<(), String> {
    let (channels, each) = (linear.layer.outputs as usize, size(&linear.layer).iter().product());
    let (scale, offset) = (per_channel(scale, channels, each)?, per_channel(offset, channels, each)?);
    let fan_in = linear.fan_in();
    for (i, (row, bias)) in linear.weights.chunks_exact_mut(fan_in).zip(&mut linear.biases).enumerate() {
        *bias = *bias * scale.at(i) + offset.at(i);
        if scale.at(i) != 1.0 {
            row.iter_mut().for_each(|w| *w = (f64::from(*w) * scale.at(i)) as f32);
        }
    }
    Ok(())
}

fn finite(linear: &Linear) -> Result<(), String> {
    let finite = linear.weights.iter().all(|w| w.is_finite()) && linear.biases.iter().all(|b| b.is_finite());
    if finite { Ok(()) } else { Err("folding constants into the layer gives an infinite weight".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer() -> Linear {
        Linear::fully_connected(2, 3, vec![1.0, -2.0, 0.5, 4.0, 3.0, 0.0], vec![1.0, 0.0, -1.0])
    }

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
    fn arithmetic_folds_into_its_neighbours() {
        let (s1, o1) = (PerElement::Each(vec![2.0, -1.0]), PerElement::One(3.0));
        let (s2, o2) = (PerElement::One(0.5), PerElement::Each(vec![1.0, 2.0, 3.0]));
        let mut builder = Builder::default();
        builder.affine("a".into(), s1.clone(), o1.clone()).unwrap();
        builder.affine("b".into(), s1.clone(), o1.clone()).unwrap();
        builder.linear("fc".into(), layer()).unwrap();
        builder.affine("c".into(), s2.clone(), o2.clone()).unwrap();
        let steps = builder.finish().unwrap();
        let [Step { layer: Layer::Linear(folded), .. }] = &steps[..] else { panic!("{steps:?}") };
        let x = [0.75, -1.25];
        let once = |x: &[f64]| -> Vec<f64> { x.iter().enumerate().map(|(i, x)| s1.at(i) * x + o1.at(i)).collect() };
        let expected: Vec<f64> = layer().apply(&once(&once(&x))).iter().enumerate().map(|(i, y)| s2.at(i) * y + o2.at(i)).collect();
        assert_eq!(folded.apply(&x), expected);
    }

    #[test]
    fn arithmetic_without_a_neighbour_is_refused() {
        let mut builder = Builder::default();
        builder.affine("scale".into(), PerElement::One(2.0), PerElement::One(0.0)).unwrap();
        assert!(builder.activation("relu".into(), Layer::Relu).unwrap_err().contains("scale"));
        assert!(builder.finish().is_err());
        let mut builder = Builder::default();
        builder.linear("fc".into(), layer()).unwrap();
        assert!(builder.affine("c".into(), PerElement::One(1e300), PerElement::One(0.0)).is_err());
    }
}
