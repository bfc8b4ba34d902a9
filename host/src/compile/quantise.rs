//! Scales, shifts and rings.
//!
//! Integers stand for reals: `real ≈ scale · integer`. Weights are symmetric around 0, with one scale for each layer or, where what follows
//! can take it in, for each output channel. The only rescaling is the shift of a circuit; its floor becomes rounding to nearest by half a
//! step that is added before it. Shifts follow what calibration rows reach, rings what is proven for every input: beyond the calibrated range
//! a value takes more bits, but never overflows; or, where that is asked for, it stops there.
//!
//! Circuits change rings, everything else stays in one. Between two circuits a value may be squared once and then go through one linear layer;
//! where a network wants more, a circuit that only truncates is put in.

use super::bounds::{Bounds, TooWide, width};
use super::curves::{self, TooCoarse, Wanted};
use super::graph::{Graph, Item, Reference, Task};
use super::{CompileOptions, Error, option};
use crate::network::{Activation, Curve, Linear, PerElement, Piece, TensorId};
use minionn_core::params::MAX_RING_BITS;
use minionn_core::plan::tile::Tile;
use minionn_core::plan::{Convolution, Function, Op, Quantisation, View};
use std::collections::HashMap;

/// Least magnitude that a squared value keeps when its shift is raised to make the ring fit.
const MIN_SQUARED: i64 = 4;
/// Largest relative error of the factor that brings one scale to another.
const FACTOR_ERROR: f64 = 1.0 / 1024.0;
/// Largest such factor.
const MAX_FACTOR: f64 = 65_536.0;

/// The quantised input.
#[derive(Clone, Copy, Debug)]
pub(super) struct Input {
    pub(super) quantisation: Quantisation,
    /// The real range that was declared or seen.
    pub(super) range: (f32, f32),
}

/// A tensor in integers.
#[derive(Clone, Debug)]
pub(super) struct Tensor {
    /// The float tensor that it stands for.
    pub(super) stands_for: TensorId,
    /// Whether it is a step on the way to that tensor, with other numbers.
    pub(super) inside: bool,
    pub(super) bounds: Bounds,
    pub(super) scale: f64,
    /// What the scale is multiplied by in each of equal parts; empty: nothing.
    pub(super) ratios: Vec<f64>,
    /// 0 for what a circuit makes, 1 if it was squared since, 2 if it went through a linear layer or a product.
    level: u8,
    pub(super) ring: u8,
}

/// What an operation does.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Garbled {
        function: Function,
        window: Option<Convolution>,
        shift: u8,
    },
    /// Weights in the order of [`Linear`].
    Linear {
        layer: Convolution,
        weights: Vec<i16>,
        biases: Vec<i64>,
    },
    Sum(Convolution),
    Square,
    Product,
    Arrange(Vec<(usize, i32, View)>),
    Offset(Vec<i64>),
}

/// An operation; operation `i` makes tensor `i + 1`.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    pub(super) name: String,
    pub(super) kind: Kind,
    /// Integer tensors.
    pub(super) inputs: Vec<usize>,
    /// Largest error of the approximation of a curve.
    pub(super) curve_error: Option<f64>,
}

/// The network in integers.
#[derive(Clone, Debug)]
pub(super) struct Integers {
    pub(super) tensors: Vec<Tensor>,
    pub(super) operations: Vec<Operation>,
    /// The tensor that is opened.
    pub(super) output: usize,
    pub(super) notes: Vec<String>,
}

/// Scale and range of the input.
pub(super) fn input(options: &CompileOptions, rows: &[&[f32]]) -> Result<Input, Error> {
    let seen = || rows.iter().copied().flatten().fold((f32::INFINITY, f32::NEG_INFINITY), |(lo, hi), &x| (lo.min(x), hi.max(x)));
    let (lo, hi) = match options.input_range {
        Some(range) => range,
        None if rows.is_empty() => {
            return option(
                "the range of the inputs is not known: give calibration rows (--calibrate X.npy) or a range (--input-range LO,HI)",
            );
        }
        None => seen(),
    };
    let bits = options.activation_bits;
    let (min, max) = if lo >= 0.0 { (0, (1 << bits) - 1) } else { (1 - (1 << (bits - 1)), (1 << (bits - 1)) - 1) };
    let scale = (f64::from(lo.abs().max(hi.abs())) / f64::from(max)) as f32;
    if !(lo.is_finite() && hi.is_finite() && lo <= hi && scale.is_normal()) {
        return option(format!("the input range {lo} to {hi} is not usable: it must be finite, ascending and more than 0 alone"));
    }
    Ok(Input { quantisation: Quantisation { scale, min, max }, range: (lo, hi) })
}

/// Makes integers of the whole network.
pub(super) fn quantise(graph: &Graph, input: &Input, options: &CompileOptions, reference: Option<&Reference>) -> Result<Integers, Error> {
    let mut coarser: HashMap<usize, u8> = HashMap::new();
    loop {
        let mut lowering = Lowering::new(graph, input, options, reference, &coarser);
        match lowering.run() {
            Ok(()) => return Ok(lowering.integers),
            // A square grows fast: a coarser value in front of it may be enough.
            Err(Fault::Misfit(at, misfit)) => match lowering.before_square(at) {
                Some(source) if coarser.len() < 64 => *coarser.entry(source).or_default() += 1,
                _ => return Err(misfit.refuse(&lowering.name_of(at))),
            },
            Err(Fault::Error(error)) => return Err(error),
        }
    }
}

/// Why an operation does not fit.
#[derive(Debug)]
enum Misfit {
    Wide(u32),
    Flooding,
}

impl Misfit {
    fn refuse(&self, layer: &str) -> Error {
        let reason = match self {
            Self::Wide(bits) => format!("its integers can take {bits} bits, the widest ring has {MAX_RING_BITS}"),
            Self::Flooding => "no parameters leave 40 bits of noise flooding for its ring and weights".into(),
        };
        Error::Layer {
            layer: layer.into(),
            what: format!(
                "{reason}. Use fewer weight bits (--weight-bits) or fewer activation bits (--activation-bits), or let activations stop at what \
                 calibration rows reach (--saturate)"
            ),
        }
    }
}

enum Fault {
    /// At this operation.
    Misfit(usize, Misfit),
    Error(Error),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// The network on its way.
struct Lowering<'a> {
    graph: &'a Graph,
    options: &'a CompileOptions,
    reference: Option<&'a Reference>,
    /// Bits by which circuits, counted in order, are to be coarser.
    coarser: &'a HashMap<usize, u8>,
    integers: Integers,
    /// The integer tensor of each float tensor.
    map: Vec<usize>,
    /// What was truncated already: integer tensors before and after.
    truncated: HashMap<usize, usize>,
    /// How many operations read an integer tensor so far.
    read: Vec<usize>,
}

impl<'a> Lowering<'a> {
    fn new(
        graph: &'a Graph,
        input: &Input,
        options: &'a CompileOptions,
        reference: Option<&'a Reference>,
        coarser: &'a HashMap<usize, u8>,
    ) -> Self {
        let Quantisation { scale, min, max } = input.quantisation;
        let bounds = Bounds::same(graph.input_len, i64::from(min), i64::from(max));
        let start = Tensor { stands_for: 0, inside: false, bounds, scale: f64::from(scale), ratios: vec![], level: 0, ring: 0 };
        let integers = Integers { tensors: vec![start], operations: vec![], output: 0, notes: vec![] };
        Self { graph, options, reference, coarser, integers, map: vec![0], truncated: HashMap::new(), read: vec![0] }
    }

    fn run(&mut self) -> Result<(), Fault> {
        for (index, item) in self.graph.items.iter().enumerate() {
            let made = self.item(index + 1, item)?;
            self.map.push(made);
        }
        self.integers.output = self.map.get(self.graph.output).copied().unwrap_or(0);
        self.rings()
    }

    #[expect(clippy::indexing_slicing, reason = "tensors are named by the numbers that push gave out")]
    fn tensor(&self, tensor: usize) -> &Tensor {
        &self.integers.tensors[tensor]
    }

    fn name_of(&self, operation: usize) -> String {
        self.integers.operations.get(operation).map_or_else(|| "input".into(), |o| o.name.clone())
    }

    /// Where the next operation stands, for faults.
    const fn next(&self) -> usize {
        self.integers.operations.len()
    }

    fn push(&mut self, name: &str, kind: Kind, inputs: Vec<usize>, tensor: Tensor) -> usize {
        for &input in &inputs {
            if let Some(read) = self.read.get_mut(input) {
                *read += 1;
            }
        }
        self.integers.operations.push(Operation { name: name.into(), kind, inputs, curve_error: None });
        self.integers.tensors.push(tensor);
        self.read.push(0);
        self.integers.tensors.len() - 1
    }

    /// A local operation, which leaves scale and level as they are, on bounds that it may widen too far.
    fn local(
        &mut self,
        name: &str,
        stands_for: TensorId,
        kind: Kind,
        inputs: Vec<usize>,
        like: usize,
        bounds: Result<Bounds, TooWide>,
    ) -> Result<usize, Fault> {
        let bounds = self.fits(name, kind.clone(), &inputs, bounds)?;
        let tensor = Tensor { stands_for, inside: false, bounds, ..self.tensor(like).clone() };
        Ok(self.push(name, kind, inputs, tensor))
    }

    /// Bounds, or the fault that they are too wide: then the operation is put down without a tensor, so that the fault can name it.
    fn fits(&mut self, name: &str, kind: Kind, inputs: &[usize], bounds: Result<Bounds, TooWide>) -> Result<Bounds, Fault> {
        bounds.map_err(|TooWide(bits)| {
            let at = self.next();
            self.integers.operations.push(Operation { name: name.into(), kind, inputs: inputs.to_vec(), curve_error: None });
            Fault::Misfit(at, Misfit::Wide(bits))
        })
    }

    /// The circuit whose tensor is squared on the way to an operation that does not fit, if it may be coarser.
    fn before_square(&self, operation: usize) -> Option<usize> {
        let mut open = vec![operation];
        let mut seen = vec![false; operation + 1];
        let mut squared = None;
        while let Some(operation) = open.pop() {
            let Some(seen) = seen.get_mut(operation).filter(|seen| !**seen) else { continue };
            *seen = true;
            let Some(Operation { kind, inputs, .. }) = self.integers.operations.get(operation) else { continue };
            match kind {
                Kind::Garbled { .. } => continue,
                Kind::Square => squared = inputs.first().copied(),
                _ => {}
            }
            open.extend(inputs.iter().filter_map(|&tensor| tensor.checked_sub(1)));
        }
        let mut source = squared?;
        // Back over local operations to the circuit.
        while let Some(Operation { kind, inputs, .. }) = source.checked_sub(1).and_then(|i| self.integers.operations.get(i)) {
            if let Kind::Garbled { function, .. } = kind {
                let exact = matches!(function, Function::Identity | Function::Relu);
                let Tensor { stands_for, bounds, scale, ratios, .. } = self.tensor(source);
                let left = self.peak(*stands_for, bounds, (*scale, ratios)) >> 1;
                return (exact && left >= MIN_SQUARED).then(|| self.circuits(source - 1));
            }
            source = *inputs.first()?;
        }
        None
    }

    /// Circuits before an operation.
    fn circuits(&self, operation: usize) -> usize {
        self.integers.operations.iter().take(operation).filter(|o| matches!(o.kind, Kind::Garbled { .. })).count()
    }

    /// Largest magnitude of a float tensor in the steps of an integer one: calibrated, at most the proven one.
    fn peak(&self, stands_for: TensorId, bounds: &Bounds, (scale, ratios): (f64, &[f64])) -> i64 {
        let (lo, hi) = bounds.extremes();
        let proven = hi.max(-lo);
        let peaks = self.reference.and_then(|r| r.peaks.get(stands_for)).map_or(&[][..], |p| p);
        let each = (peaks.len() / ratios.len().max(1)).max(1);
        let steps = peaks.iter().enumerate().map(|(i, p)| p / scale / ratios.get(i / each).unwrap_or(&1.0));
        // A layer that never fires on the calibration rows says nothing about its range.
        let most = steps.fold(0.0, f64::max).ceil();
        if most >= 1.0 { (most as i64).min(proven) } else { proven }
    }

    fn item(&mut self, stands_for: TensorId, item: &Item) -> Result<usize, Fault> {
        let single = item.inputs.first().is_some_and(|&i| self.graph.uses.get(i) == Some(&1));
        let inputs: Vec<usize> = item.inputs.iter().map(|&i| self.map.get(i).copied().unwrap_or(0)).collect();
        let x = inputs.first().copied().unwrap_or(0);
        let name = &item.name[..];
        match &item.task {
            Task::Garbled(activation, window) => self.garbled(name, stands_for, *activation, *window, (x, single)),
            Task::Linear(linear) => {
                let x = self.at_level(1, name, x, single);
                self.linear(name, stands_for, linear, x?)
            }
            Task::Sum(window, divisor) => {
                let bounds = self.tensor(x).bounds.sum_pool(window);
                let made = self.local(name, stands_for, Kind::Sum(*window), vec![x], x, bounds)?;
                self.rescale(made, 1.0 / divisor);
                Ok(made)
            }
            Task::Square => {
                let x = self.at_level(0, name, x, single)?;
                let bounds = self.tensor(x).bounds.square();
                let made = self.local(name, stands_for, Kind::Square, vec![x], x, bounds)?;
                let (scale, ratios) = (self.tensor(x).scale, self.tensor(x).ratios.iter().map(|r| r * r).collect());
                self.change(made, |t| (t.scale, t.ratios, t.level) = (scale * scale, ratios, 1));
                Ok(made)
            }
            Task::Product => self.product(name, stands_for, &inputs),
            Task::Affine(scale, offset) => self.affine(name, stands_for, (scale, offset), (x, single)),
            Task::Arrange(len, pieces) => self.arrange(name, stands_for, *len, pieces, &inputs),
        }
    }

    fn change(&mut self, tensor: usize, change: impl FnOnce(&mut Tensor)) {
        if let Some(tensor) = self.integers.tensors.get_mut(tensor) {
            change(tensor);
        }
    }

    fn rescale(&mut self, tensor: usize, by: f64) {
        self.change(tensor, |t| t.scale *= by);
    }

    /// The tensor, truncated if more has happened to it than `level` allows.
    fn at_level(&mut self, level: u8, name: &str, x: usize, single: bool) -> Result<usize, Fault> {
        if self.tensor(x).level <= level {
            return Ok(x);
        }
        if let Some(&done) = self.truncated.get(&x) {
            return Ok(done);
        }
        let stands_for = self.tensor(x).stands_for;
        let done = self.garbled(&format!("before {name}"), stands_for, None, None, (x, single))?;
        self.truncated.insert(x, done);
        Ok(done)
    }

    /// `x` plus constants, one for each of equal parts: in the biases of the linear layer that makes `x`, if nobody else reads it.
    fn plus(&mut self, name: &str, constants: &[i64], x: usize, single: bool) -> Result<usize, Fault> {
        if constants.iter().all(|&c| c == 0) {
            return Ok(x);
        }
        let bounds = self.tensor(x).bounds.plus(constants);
        let alone = single && self.read.get(x) == Some(&0);
        let maker = x.checked_sub(1).and_then(|i| self.integers.operations.get_mut(i)).filter(|_| alone);
        if let (Some(Operation { kind: Kind::Linear { biases: own, .. } | Kind::Offset(own), .. }), Ok(bounds)) = (maker, &bounds)
            && own.len().is_multiple_of(constants.len())
        {
            let each = own.len() / constants.len();
            for (constant, own) in constants.iter().zip(own.chunks_mut(each)) {
                own.iter_mut().for_each(|own| *own += constant);
            }
            let bounds = bounds.clone();
            self.change(x, |t| t.bounds = bounds);
            return Ok(x);
        }
        let stands_for = self.tensor(x).stands_for;
        self.local(name, stands_for, Kind::Offset(constants.to_vec()), vec![x], x, bounds)
    }

    /// The constant in integers: one real number for each of equal parts of `x`.
    fn steps(&self, x: usize, reals: &[f64]) -> Result<Vec<i64>, u32> {
        let Tensor { scale, ratios, .. } = self.tensor(x);
        let step = |(i, real): (usize, &f64)| {
            let ratio = ratios.get(i * ratios.len() / reals.len().max(1)).unwrap_or(&1.0);
            let steps = (real / scale / ratio).round();
            if steps.abs() < 62.0_f64.exp2() { Ok(steps as i64) } else { Err((steps.abs().log2().min(1e4)) as u32 + 2) }
        };
        reals.iter().enumerate().map(step).collect()
    }

    /// A circuit.
    fn garbled(
        &mut self,
        name: &str,
        stands_for: TensorId,
        activation: Option<Activation>,
        window: Option<Convolution>,
        (x, single): (usize, bool),
    ) -> Result<usize, Fault> {
        match activation {
            None => self.truncating(name, stands_for, Function::Identity, window, (x, single)),
            Some(Activation::Relu) => self.truncating(name, stands_for, Function::Relu, window, (x, single)),
            Some(Activation::Leaky(slope)) => {
                let (multiplier, bits) = slope_of(slope);
                self.truncating(name, stands_for, Function::Leaky { multiplier, bits }, window, (x, single))
            }
            Some(Activation::Clip { lo, hi }) => self.clip(name, stands_for, (lo, hi), (x, single)),
            Some(Activation::Curve(curve)) => self.curve(name, stands_for, curve, (x, single)),
        }
    }

    /// A function that keeps the scale, but for the shift that brings the calibrated peak down to the width of activations.
    fn truncating(
        &mut self,
        name: &str,
        stands_for: TensorId,
        function: Function,
        window: Option<Convolution>,
        (x, single): (usize, bool),
    ) -> Result<usize, Fault> {
        let Tensor { stands_for: before, bounds, scale, ratios, .. } = self.tensor(x);
        // Logits need no shift.
        let opened = stands_for == self.graph.output && self.graph.readers(stands_for).next().is_none() && *before != stands_for;
        let bounds = bounds.activate(&function, 0);
        let clipped = matches!(function, Function::Clip { .. });
        let peak = if clipped { bounds.extremes().1 } else { self.peak(stands_for, &bounds, (*scale, ratios)) };
        let signed = u8::from(matches!(function, Function::Identity | Function::Leaky { .. }));
        let limit = (1_i64 << (self.options.activation_bits - signed)) - 1;
        let rounded = clipped || self.is_linear(x);
        let after = |shift: u8| (peak + if rounded { half(shift) } else { 0 }) >> shift;
        let extra = self.coarser.get(&self.circuits(self.next())).copied().unwrap_or(0);
        let least = if opened { 0 } else { (0..MAX_RING_BITS).find(|&s| after(s) <= limit).unwrap_or(MAX_RING_BITS) };
        let widest = self.tensor(x).bounds.bits().saturating_sub(2);
        let shift = (least + extra).min(widest);
        let beyond = peaks_end(&bounds) >> shift > limit;
        let function = match function {
            // More bits than the calibration rows need are cut off above, too.
            Function::Identity | Function::Relu
                if self.options.saturate && beyond && window.is_none() && !opened && self.reference.is_some() =>
            {
                let hi = ((limit + 1) << shift) - 1;
                Function::Clip { lo: if function == Function::Relu { 0 } else { !hi }, hi }
            }
            // The ends on whole steps of the result.
            Function::Clip { lo, hi } => Function::Clip { lo, hi: ((hi + half(shift)) >> shift) << shift },
            other => other,
        };
        let before = x;
        let x = self.plus(name, &[half(shift)], x, single).or_else(|fault| match fault {
            // No room for half a step: then it is floor.
            Fault::Misfit(..) => {
                self.integers.operations.pop();
                Ok(before)
            }
            error @ Fault::Error(_) => Err(error),
        })?;
        if extra > 0 {
            self.integers.notes.push(format!("{name}: {extra} more bits cut off, so that its square fits into the ring"));
        }
        let Tensor { bounds, scale, ratios, .. } = self.tensor(x).clone();
        let activated = bounds.activate(&function, shift);
        let bounds = window.as_ref().map_or_else(|| activated.clone(), |window| activated.max_pool(window));
        let tensor = Tensor { stands_for, inside: false, bounds, scale: scale * f64::from(shift).exp2(), ratios, level: 0, ring: 0 };
        Ok(self.push(name, Kind::Garbled { function, window, shift }, vec![x], tensor))
    }

    /// Whether constants can be added to `x` for nothing.
    fn is_linear(&self, x: usize) -> bool {
        let maker = x.checked_sub(1).and_then(|i| self.integers.operations.get(i));
        matches!(maker, Some(Operation { kind: Kind::Linear { .. }, .. }))
    }

    /// `min(max(x, lo), hi)`, moved so that one end is 0: a sign is found for nothing, and constants are added locally.
    fn clip(&mut self, name: &str, stands_for: TensorId, (lo, hi): (f64, f64), (x, single): (usize, bool)) -> Result<usize, Fault> {
        let moved = |this: &mut Self, real: f64, x: usize, single: bool| {
            let steps = this.steps(x, &[real]).map_err(|bits| Fault::Misfit(this.next(), Misfit::Wide(bits)))?;
            this.plus(name, &steps, x, single)
        };
        if lo == f64::NEG_INFINITY {
            // hi − relu(hi − x)
            let turned = self.negate(name, stands_for, x)?;
            let raised = moved(self, hi, turned, true)?;
            self.change(raised, |t| t.inside = true);
            let kept = self.truncating(name, self.tensor(x).stands_for, Function::Relu, None, (raised, true))?;
            self.change(kept, |t| t.inside = true);
            let back = self.negate(name, stands_for, kept)?;
            let done = moved(self, hi, back, true)?;
            self.change(done, |t| t.inside = false);
            return Ok(done);
        }
        let from_zero = moved(self, -lo, x, single)?;
        let single = single || from_zero != x;
        let function = if hi == f64::INFINITY {
            Function::Relu
        } else {
            let top = self.steps(from_zero, &[hi - lo]).ok().and_then(|t| t.first().copied()).unwrap_or(i64::MAX);
            // A bound that no input reaches costs nothing.
            if top < self.tensor(from_zero).bounds.extremes().1 { Function::Clip { lo: 0, hi: top } } else { Function::Relu }
        };
        let kept = self.truncating(name, if lo == 0.0 { stands_for } else { usize::MAX }, function, None, (from_zero, single))?;
        self.change(kept, |t| t.stands_for = stands_for);
        if lo != 0.0 {
            self.change(from_zero, |t| t.inside = true);
            self.change(kept, |t| t.inside = true);
        }
        let done = moved(self, lo, kept, true)?;
        self.change(done, |t| t.inside = false);
        Ok(done)
    }

    fn negate(&mut self, name: &str, stands_for: TensorId, x: usize) -> Result<usize, Fault> {
        let len = self.tensor(x).bounds.len();
        let view = View::whole(len as u32);
        let bounds = Bounds::arrange(len, &[(&self.tensor(x).bounds, -1, view)]);
        let negated = self.local(name, stands_for, Kind::Arrange(vec![(0, -1, view)]), vec![x], x, bounds)?;
        self.change(negated, |t| t.inside = true);
        Ok(negated)
    }

    fn curve(&mut self, name: &str, stands_for: TensorId, curve: Curve, (x, single): (usize, bool)) -> Result<usize, Fault> {
        let Tensor { bounds, scale, .. } = self.tensor(x).clone();
        let (lo, hi) = bounds.extremes();
        let real = |y: i64| y as f64 * scale;
        let peaks = self.reference.and_then(|r| r.peaks.get(stands_for)).map_or(&[][..], |p| p);
        let proven = curve.at(real(lo)).abs().max(curve.at(real(hi)).abs());
        let peak = match peaks.iter().copied().fold(0.0, f64::max) {
            peak if peak > 0.0 => peak.min(proven),
            _ => proven,
        };
        let wanted = Wanted {
            scale,
            ring: bounds.bits(),
            range: (real(lo), real(hi)),
            peak,
            bits: self.options.activation_bits,
            segments: self.options.segments,
            max_error: self.options.max_error,
        };
        let fit = curves::fit(curve, &wanted).map_err(|TooCoarse(error)| Error::Layer {
            layer: name.into(),
            what: format!(
                "its approximation is off by up to {error:.2e}, more than wanted. Allow more pieces (--segments, at most 32), a larger \
                 --max-error or more activation bits (--activation-bits)"
            ),
        })?;
        let early = if matches!(curve, Curve::Elu { .. }) { half(fit.shift) } else { 0 };
        let x = self.plus(name, &[early], x, single)?;
        let function = Function::Spline(fit.spline);
        let bounds = self.tensor(x).bounds.activate(&function, fit.shift);
        let tensor = Tensor { stands_for, inside: false, bounds, scale: fit.scale, ratios: vec![], level: 0, ring: 0 };
        let made = self.push(name, Kind::Garbled { function, window: None, shift: fit.shift }, vec![x], tensor);
        if let Some(operation) = self.integers.operations.last_mut() {
            operation.curve_error = Some(fit.error);
        }
        Ok(made)
    }

    fn linear(&mut self, name: &str, stands_for: TensorId, linear: &Linear, x: usize) -> Result<usize, Fault> {
        let input = self.tensor(x).clone();
        let layer = linear.layer;
        let [kernel, outputs] = [layer.window_len(), layer.outputs as usize];
        let (channels, per_group) = (layer.input[0] as usize, (layer.input[0] / layer.groups) as usize);
        // Uneven scales of the input are taken in by the weights.
        let ratio = |output: usize, j: usize| {
            let channel = output / (outputs / layer.groups as usize) * per_group + j / kernel;
            *input.ratios.get(channel * input.ratios.len() / channels).unwrap_or(&1.0)
        };
        let rows: Vec<Vec<f64>> = linear
            .rows()
            .enumerate()
            .map(|(output, (row, _))| row.iter().enumerate().map(|(j, &w)| f64::from(w) * ratio(output, j)).collect())
            .collect();
        let top = |row: &Vec<f64>| row.iter().fold(0.0_f64, |top, w| top.max(w.abs()));
        let all = rows.iter().map(top).fold(0.0, f64::max);
        let whole = f64::from((1 << (self.options.weight_bits - 1)) - 1);
        let uneven = self.options.per_channel && all > 0.0 && self.takes_uneven(stands_for, outputs);
        let ratios: Vec<f64> =
            if uneven { rows.iter().map(|row| if top(row) > 0.0 { top(row) / all } else { 1.0 }).collect() } else { vec![] };
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
            weights.extend(row.iter().map(|w| if step > 0.0 { (w / step).round() as i16 } else { 0 }));
            let steps = (bias / scale / ratio).round();
            // Within i64 for certain; the bounds decide about the ring.
            if steps.abs() >= 62.0_f64.exp2() {
                let bits = steps.abs().log2().min(1e4) as u32 + 2;
                self.fits(name, Kind::Offset(vec![]), &[x], Err(TooWide(bits)))?;
            }
            biases.push(steps as i64);
        }
        let bounds = input.bounds.linear(&layer, &weights, &biases);
        let bounds = self.fits(name, Kind::Offset(vec![]), &[x], bounds)?;
        let tensor = Tensor { stands_for, inside: false, bounds, scale, ratios, level: 2, ring: 0 };
        Ok(self.push(name, Kind::Linear { layer, weights, biases }, vec![x], tensor))
    }

    /// Whether all that reads a tensor lets uneven scales of its `channels` pass, up to linear layers that take them in.
    fn takes_uneven(&self, tensor: TensorId, channels: usize) -> bool {
        if tensor == self.graph.output {
            return false;
        }
        let mut open = vec![tensor];
        while let Some(tensor) = open.pop() {
            for (index, item) in self.graph.readers(tensor) {
                match &item.task {
                    Task::Linear(linear) if (linear.layer.input[0] as usize).is_multiple_of(channels) => {}
                    Task::Garbled(None | Some(Activation::Relu | Activation::Leaky(_)), _) | Task::Sum(..) | Task::Square => {
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

    fn product(&mut self, name: &str, stands_for: TensorId, inputs: &[usize]) -> Result<usize, Fault> {
        let mut factors = Vec::new();
        for &x in inputs {
            factors.push(self.at_level(0, name, x, false)?);
        }
        let [x, y] = factors[..] else { return Err(Error::Option(format!("{name}: a product takes two tensors")).into()) };
        let bounds = self.tensor(x).bounds.product(&self.tensor(y).bounds);
        let scale = self.tensor(x).scale * self.tensor(y).scale;
        let made = self.local(name, stands_for, Kind::Product, factors, x, bounds)?;
        self.change(made, |t| (t.scale, t.level) = (scale, 2));
        Ok(made)
    }

    fn affine(
        &mut self,
        name: &str,
        stands_for: TensorId,
        (scale, offset): (&PerElement, &PerElement),
        (x, single): (usize, bool),
    ) -> Result<usize, Fault> {
        let len = self.tensor(x).bounds.len();
        let factor = match scale {
            PerElement::One(s) if *s != 0.0 => *s,
            _ => return self.diagonal(name, stands_for, (scale, offset), (x, single)),
        };
        let mut made = x;
        if factor < 0.0 {
            made = self.negate(name, stands_for, x)?;
        }
        let constants: Vec<f64> = match offset {
            PerElement::One(o) => vec![o / factor.abs()],
            PerElement::Each(os) => os.iter().step_by(run(os)).map(|o| o / factor.abs()).collect(),
        };
        let constants = self.steps(made, &constants).map_err(|bits| Fault::Misfit(self.next(), Misfit::Wide(bits)))?;
        let alone = single || made != x;
        made = self.plus(name, &constants, made, alone)?;
        if made == x {
            // Another scale for the same integers: a tensor of its own, which costs nothing.
            let view = View::whole(len as u32);
            let bounds = Ok(self.tensor(x).bounds.clone());
            if !single {
                made = self.local(name, stands_for, Kind::Arrange(vec![(0, 1, view)]), vec![x], x, bounds)?;
            }
        }
        self.rescale(made, factor.abs());
        self.change(made, |t| (t.stands_for, t.inside) = (stands_for, false));
        Ok(made)
    }

    /// Scales of its own for every part: a linear layer that mixes nothing.
    fn diagonal(
        &mut self,
        name: &str,
        stands_for: TensorId,
        (scale, offset): (&PerElement, &PerElement),
        (x, single): (usize, bool),
    ) -> Result<usize, Fault> {
        let len = self.tensor(x).bounds.len();
        let runs = |numbers: &PerElement| if let PerElement::Each(xs) = numbers { run(xs) } else { len };
        let each = gcd(runs(scale), runs(offset));
        let channels = len / each.max(1);
        // An image has less than 2^15 rows and columns.
        let rows = (1..).find(|rows| each.is_multiple_of(*rows) && each / rows < 1 << 15).unwrap_or(1);
        let [c, h, w] = [channels, rows, each / rows].map(|n| n as u32);
        let layer = Convolution { input: [c, h, w], groups: c, ..Convolution::fully_connected(c, c) };
        let part = |numbers: &PerElement| (0..channels).map(|i| numbers.at(i * each)).collect::<Vec<f64>>();
        let weights = part(scale).iter().map(|&s| s as f32).collect();
        let x = self.at_level(1, name, x, single)?;
        self.linear(name, stands_for, &Linear { layer, weights, biases: part(offset) }, x)
    }

    fn arrange(&mut self, name: &str, stands_for: TensorId, len: usize, pieces: &[Piece], inputs: &[usize]) -> Result<usize, Fault> {
        let mut inputs = inputs.to_vec();
        let (scale, factors) = loop {
            // What one step of the input is worth in the output.
            let worth = |piece: &Piece| piece.factor * inputs.get(piece.input).map_or(0.0, |&i| self.tensor(i).scale);
            if let Some(common) = common_scale(&pieces.iter().map(worth).collect::<Vec<_>>()) {
                break common;
            }
            // The finest of them is truncated, if it was not yet.
            let rough = inputs.iter().enumerate().filter(|&(_, &x)| self.tensor(x).level > 0);
            let finest = rough.min_by(|(_, a), (_, b)| self.tensor(**a).scale.total_cmp(&self.tensor(**b).scale));
            let (index, x) = finest.map(|(i, &x)| (i, x)).ok_or_else(|| Error::Layer {
                layer: name.into(),
                what:
                    "the scales of its inputs are too far apart to be added. Use more activation bits (--activation-bits) or inputs of a \
                       similar range"
                        .into(),
            })?;
            let truncated = self.at_level(0, name, x, false)?;
            inputs.get_mut(index).into_iter().for_each(|input| *input = truncated);
        };
        let of = |piece: &Piece| inputs.get(piece.input).copied().unwrap_or(0);
        let integers: Vec<(usize, i32, View)> =
            pieces.iter().zip(&factors).map(|(piece, &factor)| (piece.input, factor, piece.view)).collect();
        let parts: Vec<(&Bounds, i32, View)> =
            pieces.iter().zip(&factors).map(|(piece, &factor)| (&self.tensor(of(piece)).bounds, factor, piece.view)).collect();
        let bounds = Bounds::arrange(len, &parts);
        let level = inputs.iter().map(|&i| self.tensor(i).level).max().unwrap_or(0);
        let first = inputs.first().copied().unwrap_or(0);
        let made = self.local(name, stands_for, Kind::Arrange(integers), inputs.clone(), first, bounds)?;
        self.change(made, |t| (t.scale, t.level, t.ratios) = (scale, level, vec![]));
        Ok(made)
    }

    /// The ring of every tensor: its bits, or those of the widest that is computed from it in one ring.
    fn rings(&mut self) -> Result<(), Fault> {
        let Integers { tensors, operations, .. } = &mut self.integers;
        let mut wanted = vec![0; tensors.len()];
        for (index, operation) in operations.iter().enumerate().rev() {
            let made = index + 1;
            let Some(tensor) = tensors.get_mut(made) else { continue };
            tensor.ring = tensor.bounds.bits().max(wanted.get(made).copied().unwrap_or(0));
            let ring = tensor.ring;
            match &operation.kind {
                Kind::Garbled { .. } => continue,
                Kind::Linear { layer, .. } if Tile::choose(&linear_op(layer, ring, self.options.weight_bits), 1).is_err() => {
                    return Err(Fault::Misfit(index, Misfit::Flooding));
                }
                _ => {}
            }
            for &input in &operation.inputs {
                if let Some(wanted) = wanted.get_mut(input) {
                    *wanted = ring.max(*wanted);
                }
            }
        }
        if let Some(input) = tensors.first_mut() {
            input.ring = input.bounds.bits().max(wanted.first().copied().unwrap_or(0));
        }
        Ok(())
    }
}

/// Largest magnitude.
fn peaks_end(bounds: &Bounds) -> i64 {
    let (lo, hi) = bounds.extremes();
    hi.max(!lo)
}

/// Half a step of a shift: turns its floor into rounding to nearest.
const fn half(shift: u8) -> i64 {
    (1 << shift) >> 1
}

/// A slope below 1 as a small multiplier over a power of two: the fewest bits that are right to half a percent.
fn slope_of(slope: f64) -> (u8, u8) {
    let candidates = (1..=15_u8).map(|bits| {
        let multiplier = (slope * f64::from(bits).exp2()).round().clamp(1.0, 255.0);
        (multiplier as u8, bits, (multiplier / f64::from(bits).exp2() / slope - 1.0).abs())
    });
    let mut best = (1, 15, f64::INFINITY);
    for (multiplier, bits, error) in candidates {
        if error < best.2 {
            best = (multiplier, bits, error);
        }
        if error <= 0.005 {
            break;
        }
    }
    (best.0, best.1)
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
        let off = |w: &f64| if *w == 0.0 { 0.0 } else { ((w / scale).round() * scale / w - 1.0).abs() };
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

/// The operation of a linear layer.
pub(super) fn linear_op(layer: &Convolution, ring: u8, weight_bits: u8) -> Op {
    let ([inputs, ..], outputs) = (layer.input, layer.outputs);
    if *layer == Convolution::fully_connected(inputs, outputs) {
        Op::FullyConnected { ring, weight_bits, inputs, outputs }
    } else {
        Op::Convolution { ring, weight_bits, layer: *layer }
    }
}

/// Bits that the integers of a tensor take, signed.
pub(super) fn proven_bits(bounds: &Bounds) -> u32 {
    let (lo, hi) = bounds.extremes();
    width(i128::from(lo), i128::from(hi))
}
