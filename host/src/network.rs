//! A chain of float layers: what importers make and the compiler reads.

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

    /// Whether all numbers are finite.
    #[must_use]
    pub fn is_finite(&self) -> bool {
        match self {
            Self::One(x) => x.is_finite(),
            Self::Each(xs) => xs.iter().all(|x| x.is_finite()),
        }
    }
}

/// A fully connected layer: `y = W·x + b`.
#[derive(Clone, Debug, PartialEq)]
pub struct Linear {
    /// Elements in.
    pub inputs: usize,
    /// Elements out.
    pub outputs: usize,
    /// `W`, `[outputs][inputs]`.
    pub weights: Vec<f32>,
    /// `b`, `[outputs]`.
    pub biases: Vec<f64>,
}

impl Linear {
    /// The rows of `W` with their biases.
    pub fn rows(&self) -> impl Iterator<Item = (&[f32], f64)> {
        self.weights.chunks_exact(self.inputs).zip(self.biases.iter().copied())
    }

    /// `y = W·x + b`; `x` has `inputs` elements.
    #[must_use]
    pub fn apply(&self, x: &[f64]) -> Vec<f64> {
        self.rows().map(|(row, bias)| bias + dot(row, x)).collect()
    }
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
    /// Fully connected.
    Linear(Linear),
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

/// A chain of layers over flat rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// Name for people.
    pub name: String,
    /// Elements of the input row.
    pub input_len: usize,
    /// Elements of the output row.
    pub output_len: usize,
    /// The layers in order.
    pub steps: Vec<Step>,
    /// Whether the network ends with the index of its largest output.
    pub argmax: bool,
    /// What was dropped on the way, for people.
    pub notes: Vec<String>,
}

/// Collects layers; constant arithmetic (`scale·x + offset`) is folded into the fully connected layer before or after it.
#[derive(Debug, Default)]
pub struct Builder {
    steps: Vec<Step>,
    /// Name, scale and offset of arithmetic that waits for the next layer. At most one, so that memory stays bounded.
    pending: Option<(String, PerElement, PerElement)>,
}

impl Builder {
    /// Appends a fully connected layer.
    ///
    /// # Errors
    /// A sentence, if waiting arithmetic makes a weight infinite.
    pub fn linear(&mut self, name: String, mut linear: Linear) -> Result<(), String> {
        if let Some((_, scale, offset)) = self.pending.take() {
            fold_before(&mut linear, &scale, &offset);
            finite(&linear)?;
        }
        self.steps.push(Step { name, layer: Layer::Linear(linear) });
        Ok(())
    }

    /// Appends `scale·x + offset`.
    ///
    /// # Errors
    /// A sentence, if that makes a weight infinite.
    pub fn affine(&mut self, name: String, scale: PerElement, offset: PerElement) -> Result<(), String> {
        if let (None, Some(Step { layer: Layer::Linear(linear), .. })) = (&self.pending, self.steps.last_mut()) {
            fold_after(linear, &scale, &offset);
            return finite(linear);
        }
        self.pending = Some(match self.pending.take() {
            None => (name, scale, offset),
            Some((first, s, o)) => (first, s.zip(&scale, |a, b| a * b), o.zip(&scale, |a, b| a * b).zip(&offset, |a, b| a + b)),
        });
        Ok(())
    }

    /// Appends an activation.
    ///
    /// # Errors
    /// A sentence, if constant arithmetic stands before it with no fully connected layer to fold into.
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
            Err(format!("the constant arithmetic of {name} has no fully connected layer next to it to be folded into"))
        })
    }
}

/// `W·(s·x + o) + b = (W·s)·x + (b + W·o)`.
fn fold_before(linear: &mut Linear, scale: &PerElement, offset: &PerElement) {
    for (row, bias) in linear.weights.chunks_exact_mut(linear.inputs).zip(&mut linear.biases) {
        for (j, w) in row.iter_mut().enumerate() {
            *bias += f64::from(*w) * offset.at(j);
            *w = (f64::from(*w) * scale.at(j)) as f32;
        }
    }
}

/// `s·(W·x + b) + o`.
fn fold_after(linear: &mut Linear, scale: &PerElement, offset: &PerElement) {
    for (i, (row, bias)) in linear.weights.chunks_exact_mut(linear.inputs).zip(&mut linear.biases).enumerate() {
        *bias = *bias * scale.at(i) + offset.at(i);
        if scale.at(i) != 1.0 {
            row.iter_mut().for_each(|w| *w = (f64::from(*w) * scale.at(i)) as f32);
        }
    }
}

fn finite(linear: &Linear) -> Result<(), String> {
    let finite = linear.weights.iter().all(|w| w.is_finite()) && linear.biases.iter().all(|b| b.is_finite());
    if finite { Ok(()) } else { Err("folding constants into the layer gives an infinite weight".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer() -> Linear {
        Linear { inputs: 2, outputs: 3, weights: vec![1.0, -2.0, 0.5, 4.0, 3.0, 0.0], biases: vec![1.0, 0.0, -1.0] }
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
