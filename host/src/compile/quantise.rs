//! Scales, shifts and rings.
//!
//! Integers stand for reals: `real ≈ scale · integer`. Weights are symmetric around 0, with one
//! scale for each layer or, where what follows can take it in, for each output channel. The only
//! rescaling is the shift of a circuit; its floor becomes rounding to nearest by half a
//! step that is added before it. Shifts follow what calibration rows reach, rings what is proven
//! for every input: beyond the calibrated range a value takes more bits, but never overflows; or,
//! where that is asked for, it stops there.
//!
//! Circuits change rings, everything else stays in one. Between two circuits a value may be squared
//! once and then go through one linear layer; where a network wants more, a circuit that only
//! truncates is put in.
//!
//! Here is the frame; `circuits` has what is garbled, `arithmetic` what stays in a ring.

use super::bounds::{Bounds, TooWide, width};
use super::features::{self, Features};
use super::graph::{Graph, Item, Reference, Task};
use super::{CompileOptions, Error, option};
use crate::network::TensorId;
use minionn_core::params::MAX_RING_BITS;
use minionn_core::plan::tile::Tile;
use minionn_core::plan::{Convolution, Function, Op, Quantisation, View};
use std::collections::HashMap;

/// Least magnitude that a squared value keeps when its shift is raised to make the ring fit.
const MIN_SQUARED: i64 = 4;

/// The quantised input.
#[derive(Clone, Debug)]
pub(super) struct Input {
    /// How it becomes integers; where features have steps of their own, it is in steps already.
    pub(super) quantisation: Quantisation,
    pub(super) features: Option<Features>,
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
    /// 0 for what a circuit makes, 1 if it was squared since, 2 if it went through a linear layer
    /// or a product.
    pub(super) level: u8,
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
    /// Weights in the order of [`crate::network::Linear`].
    Linear {
        layer: Convolution,
        weights: Vec<i16>,
        biases: Vec<i64>,
    },
    Sum(Convolution),
    Square,
    Product,
    StridedAdd(Vec<(usize, i32, View)>),
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
pub(super) fn input(
    options: &CompileOptions,
    rows: &[&[f32]],
    features: Option<Features>,
) -> Result<Input, Error> {
    let seen = || {
        rows.iter()
            .copied()
            .flatten()
            .fold((f32::INFINITY, f32::NEG_INFINITY), |(lo, hi), &x| (lo.min(x), hi.max(x)))
    };
    let (lo, hi) = match options.input_range {
        Some(range) => range,
        None if rows.is_empty() => {
            return option(
                "the range of the inputs is not known: give calibration rows (--calibrate X.npy) \
                 or a range (--input-range LO,HI)",
            );
        }
        None => seen(),
    };
    let bits = options.activation_bits;
    if features.is_some() {
        let max = (1 << (features::bits(bits) - 1)) - 1;
        let quantisation = Quantisation { scale: 1.0, min: -max, max };
        return Ok(Input { quantisation, features, range: (lo, hi) });
    }
    let (min, max) = if lo >= 0.0 {
        (0, (1 << bits) - 1)
    } else {
        (1 - (1 << (bits - 1)), (1 << (bits - 1)) - 1)
    };
    let scale = (f64::from(lo.abs().max(hi.abs())) / f64::from(max)) as f32;
    if !(lo.is_finite() && hi.is_finite() && lo <= hi && scale.is_normal()) {
        return option(format!(
            "the input range {lo} to {hi} is not usable: it must be finite, ascending and more \
             than 0 alone"
        ));
    }
    let quantisation = Quantisation { scale, min, max };
    Ok(Input { quantisation, features: None, range: (lo, hi) })
}

/// Makes integers of the whole network.
pub(super) fn quantise(
    graph: &Graph,
    input: &Input,
    options: &CompileOptions,
    reference: Option<&Reference>,
) -> Result<Integers, Error> {
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
pub(super) enum Misfit {
    Wide(u32),
    Noise,
}

impl Misfit {
    fn refuse(&self, layer: &str) -> Error {
        let reason = match self {
            Self::Wide(bits) => {
                format!("its integers can take {bits} bits, the widest ring has {MAX_RING_BITS}")
            }
            Self::Noise => "no parameter set carries the noise of its ring and weights".into(),
        };
        Error::Layer {
            layer: layer.into(),
            what: format!(
                "{reason}. Use fewer weight bits (--weight-bits) or fewer activation bits \
                 (--activation-bits), or let activations stop at what calibration rows \
                 reach (--saturate)"
            ),
        }
    }
}

pub(super) enum Fault {
    /// At this operation.
    Misfit(usize, Misfit),
    Error(Error),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// What is being lowered.
#[derive(Clone, Copy)]
pub(super) struct At<'n> {
    /// Name of the operations that it becomes.
    pub(super) name: &'n str,
    /// The float tensor that is made.
    pub(super) stands_for: TensorId,
    /// The integer tensor that is read.
    pub(super) x: usize,
    /// Whether nothing else reads it.
    pub(super) single: bool,
    /// The largest magnitude that calibration rows reach, where it is not that of the float tensor.
    pub(super) reach: Option<f64>,
}

/// The network on its way.
pub(super) struct Lowering<'a> {
    pub(super) graph: &'a Graph,
    pub(super) options: &'a CompileOptions,
    pub(super) reference: Option<&'a Reference>,
    /// Bits by which circuits, counted in order, are to be coarser.
    pub(super) coarser: &'a HashMap<usize, u8>,
    pub(super) integers: Integers,
    /// The integer tensor of each float tensor.
    map: Vec<usize>,
    /// What was truncated already: integer tensors before and after.
    truncated: HashMap<usize, usize>,
    /// How many operations read an integer tensor so far.
    pub(super) read: Vec<usize>,
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
        let start = Tensor {
            stands_for: 0,
            inside: false,
            bounds,
            scale: f64::from(scale),
            ratios: vec![],
            level: 0,
            ring: 0,
        };
        let integers =
            Integers { tensors: vec![start], operations: vec![], output: 0, notes: vec![] };
        Self {
            graph,
            options,
            reference,
            coarser,
            integers,
            map: vec![0],
            truncated: HashMap::new(),
            read: vec![0],
        }
    }

    fn run(&mut self) -> Result<(), Fault> {
        for (index, item) in self.graph.items.iter().enumerate() {
            let made = self.item(index + 1, item)?;
            self.map.push(made);
        }
        self.integers.output = self.map.get(self.graph.output).copied().unwrap_or(0);
        self.rings()
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "tensors are named by the numbers that push gave out"
    )]
    pub(super) fn tensor(&self, tensor: usize) -> &Tensor {
        &self.integers.tensors[tensor]
    }

    fn name_of(&self, operation: usize) -> String {
        self.integers.operations.get(operation).map_or_else(|| "input".into(), |o| o.name.clone())
    }

    /// Where the next operation stands, for faults.
    pub(super) const fn next(&self) -> usize {
        self.integers.operations.len()
    }

    pub(super) fn push(
        &mut self,
        name: &str,
        kind: Kind,
        inputs: Vec<usize>,
        tensor: Tensor,
    ) -> usize {
        for &input in &inputs {
            if let Some(read) = self.read.get_mut(input) {
                *read += 1;
            }
        }
        self.integers.operations.push(Operation {
            name: name.into(),
            kind,
            inputs,
            curve_error: None,
        });
        self.integers.tensors.push(tensor);
        self.read.push(0);
        self.integers.tensors.len() - 1
    }

    /// An operation in one ring, which leaves the scale as it is, on bounds that it may widen too
    /// far.
    pub(super) fn local(
        &mut self,
        at: At<'_>,
        kind: Kind,
        inputs: Vec<usize>,
        bounds: Result<Bounds, TooWide>,
    ) -> Result<usize, Fault> {
        let bounds = self.fits(at.name, kind.clone(), &inputs, bounds)?;
        let tensor = Tensor {
            stands_for: at.stands_for,
            inside: false,
            bounds,
            ..self.tensor(at.x).clone()
        };
        Ok(self.push(at.name, kind, inputs, tensor))
    }

    /// Bounds, or the fault that they are too wide: then the operation is put down without a
    /// tensor, so that the fault can name it.
    pub(super) fn fits(
        &mut self,
        name: &str,
        kind: Kind,
        inputs: &[usize],
        bounds: Result<Bounds, TooWide>,
    ) -> Result<Bounds, Fault> {
        bounds.map_err(|TooWide(bits)| {
            let at = self.next();
            self.integers.operations.push(Operation {
                name: name.into(),
                kind,
                inputs: inputs.to_vec(),
                curve_error: None,
            });
            Fault::Misfit(at, Misfit::Wide(bits))
        })
    }

    /// The circuit whose tensor is squared on the way to an operation that does not fit, if it may
    /// be coarser.
    fn before_square(&self, operation: usize) -> Option<usize> {
        let mut open = vec![operation];
        let mut seen = vec![false; operation + 1];
        let mut squared = None;
        while let Some(operation) = open.pop() {
            let Some(seen) = seen.get_mut(operation).filter(|seen| !**seen) else { continue };
            *seen = true;
            let Some(Operation { kind, inputs, .. }) = self.integers.operations.get(operation)
            else {
                continue;
            };
            match kind {
                Kind::Garbled { .. } => continue,
                Kind::Square => squared = inputs.first().copied(),
                _ => {}
            }
            open.extend(inputs.iter().filter_map(|&tensor| tensor.checked_sub(1)));
        }
        let mut source = squared?;
        // Back over local operations to the circuit.
        while let Some(Operation { kind, inputs, .. }) =
            source.checked_sub(1).and_then(|i| self.integers.operations.get(i))
        {
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
    pub(super) fn circuits(&self, operation: usize) -> usize {
        self.integers
            .operations
            .iter()
            .take(operation)
            .filter(|o| matches!(o.kind, Kind::Garbled { .. }))
            .count()
    }

    fn item(&mut self, stands_for: TensorId, item: &Item) -> Result<usize, Fault> {
        let single = item.inputs.first().is_some_and(|&i| self.graph.uses.get(i) == Some(&1));
        let inputs: Vec<usize> =
            item.inputs.iter().map(|&i| self.map.get(i).copied().unwrap_or(0)).collect();
        let x = inputs.first().copied().unwrap_or(0);
        let at = At { name: &item.name, stands_for, x, single, reach: None };
        match &item.task {
            Task::Garbled(activation, window) => self.garbled(at, activation.clone(), *window),
            Task::Linear(linear) => self.linear(at, linear),
            Task::Sum(window, divisor) => {
                let bounds = self.tensor(x).bounds.sum_pool(window);
                let made = self.local(at, Kind::Sum(*window), vec![x], bounds)?;
                self.rescale(made, 1.0 / divisor);
                Ok(made)
            }
            Task::Square => self.square(at),
            Task::Product => self.product(at, &inputs),
            Task::Affine(scale, offset) => self.affine(at, scale, offset),
            Task::StridedAdd(len, pieces) => self.arrange(at, *len, pieces, &inputs),
        }
    }

    pub(super) fn change(&mut self, tensor: usize, change: impl FnOnce(&mut Tensor)) {
        if let Some(tensor) = self.integers.tensors.get_mut(tensor) {
            change(tensor);
        }
    }

    pub(super) fn rescale(&mut self, tensor: usize, by: f64) {
        self.change(tensor, |t| t.scale *= by);
    }

    /// The tensor that is read, truncated if more has happened to it than `level` allows.
    pub(super) fn at_level(&mut self, level: u8, at: At<'_>) -> Result<usize, Fault> {
        let x = at.x;
        if self.tensor(x).level <= level {
            return Ok(x);
        }
        if let Some(&done) = self.truncated.get(&x) {
            return Ok(done);
        }
        let name = format!("before {}", at.name);
        let done = self.garbled(
            At { name: &name, stands_for: self.tensor(x).stands_for, ..at },
            None,
            None,
        )?;
        self.truncated.insert(x, done);
        Ok(done)
    }

    /// The tensor that is read plus constants, one for each of equal parts: in the biases of the
    /// linear layer that makes it, if nobody else reads it.
    pub(super) fn plus(&mut self, at: At<'_>, constants: &[i64]) -> Result<usize, Fault> {
        let x = at.x;
        if constants.iter().all(|&c| c == 0) {
            return Ok(x);
        }
        let bounds = self.tensor(x).bounds.plus(constants);
        let alone = at.single && self.read.get(x) == Some(&0);
        let maker =
            x.checked_sub(1).and_then(|i| self.integers.operations.get_mut(i)).filter(|_| alone);
        if let (
            Some(Operation { kind: Kind::Linear { biases: own, .. } | Kind::Offset(own), .. }),
            Ok(bounds),
        ) = (maker, &bounds)
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
        self.local(At { stands_for, ..at }, Kind::Offset(constants.to_vec()), vec![x], bounds)
    }

    /// Constants in integers: one real number for each of equal parts of `x`.
    pub(super) fn steps(&mut self, name: &str, x: usize, reals: &[f64]) -> Result<Vec<i64>, Fault> {
        let Tensor { scale, ratios, .. } = self.tensor(x).clone();
        let mut all = Vec::with_capacity(reals.len());
        for (i, real) in reals.iter().enumerate() {
            let steps =
                (real / scale / ratios.get(i * ratios.len() / reals.len()).unwrap_or(&1.0)).round();
            all.push(self.integer(name, x, steps)?);
        }
        Ok(all)
    }

    /// A whole number that fits into `i64` for certain; bounds decide about the ring.
    pub(super) fn integer(&mut self, name: &str, x: usize, steps: f64) -> Result<i64, Fault> {
        if steps.abs() < 62.0_f64.exp2() {
            return Ok(steps as i64);
        }
        let bits = steps.abs().log2().min(1e4) as u32 + 2;
        self.fits(name, Kind::Offset(vec![]), &[x], Err(TooWide(bits)))?;
        Ok(0)
    }

    /// The ring of every tensor: its bits, or those of the widest that is computed from it in one
    /// ring. What reads the input holds all of the input's bits, also where it makes fewer of them,
    /// as weights of 0 do: the plan has no other ring for the input.
    fn rings(&mut self) -> Result<(), Fault> {
        let Integers { tensors, operations, .. } = &mut self.integers;
        let mut wanted = vec![0; tensors.len()];
        let bits = tensors.first().map_or(0, |input| input.bounds.bits());
        for (index, operation) in operations.iter().enumerate().rev() {
            let made = index + 1;
            let Some(tensor) = tensors.get_mut(made) else { continue };
            let circuit = matches!(operation.kind, Kind::Garbled { .. });
            let least = if operation.inputs.contains(&0) && !circuit { bits } else { 0 };
            let own = tensor.bounds.bits().max(least);
            tensor.ring = own.max(wanted.get(made).copied().unwrap_or(0));
            let ring = tensor.ring;
            match &operation.kind {
                Kind::Garbled { .. } => continue,
                Kind::Linear { layer, .. }
                    if Tile::choose(&linear_op(layer, ring, self.options.weight_bits), 1)
                        .is_err() =>
                {
                    return Err(Fault::Misfit(index, Misfit::Noise));
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
