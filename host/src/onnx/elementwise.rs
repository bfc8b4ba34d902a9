//! Nodes that compute element by element.

use super::build::{Builder, joint};
use super::call::{Call, Computed, Outputs, Value, one};
use super::evaluate;
use super::functions::{activated, function, merged};
use super::tensor::Tensor;
use super::views::{Loops, strides};
use crate::network::{Activation, Binary, Chain, Curve, PerElement, Piece, Unary};
use minionn_core::plan::Convolution;
use std::sync::Arc;

const ZERO: PerElement = PerElement::One(0.0);
const ONE: PerElement = PerElement::One(1.0);

/// A computed tensor and a constant, at one shape.
fn aligned(
    b: &mut Builder,
    name: &str,
    x: &Computed,
    c: &Tensor,
) -> Result<(Computed, PerElement), String> {
    let dims = joint(&x.dims, &c.dims)?;
    let x = b.stretch(name, x, &dims)?;
    Ok((x, c.broadcast(&dims)?))
}

/// Add, Sub, Mul and Div of two.
pub(super) fn arithmetic(b: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(2, &[])?;
    let (op, name) = (call.op(), &call.name);
    match (call.value(0)?, call.value(1)?) {
        (x @ Value::Computed(_), Value::Constant(c)) => {
            let (x, c) = aligned(b, name, x.number()?, c)?;
            let (scale, offset) = match op {
                "Add" => (ONE, masks(c)),
                "Sub" => (ONE, masks(c.map(|c| -c))),
                "Mul" => (c, ZERO),
                _ => (c.map(|c| 1.0 / c), ZERO),
            };
            one(b.affine(name, &x, scale, offset)?)
        }
        (Value::Constant(c), x @ Value::Computed(_)) => {
            let x = x.number()?;
            if op == "Div" {
                return one(divided(b, name, c, x)?);
            }
            let (x, c) = aligned(b, name, x, c)?;
            let (scale, offset) = match op {
                "Add" => (ONE, masks(c)),
                "Sub" => (PerElement::One(-1.0), c),
                _ => (c, ZERO),
            };
            one(b.affine(name, &x, scale, offset)?)
        }
        (x, y) => {
            let (x, y) = (x.number()?, y.number()?);
            one(match op {
                "Add" => added(b, name, (x, y), Binary::Add)?,
                "Sub" => added(b, name, (x, y), Binary::Sub)?,
                "Mul" => multiply(b, name, x, y)?,
                _ => quotient(b, name, x, y)?,
            })
        }
    }
}

/// What masks add: no number below the least float.
fn masks(offset: PerElement) -> PerElement {
    offset.map(|o| if o == f64::NEG_INFINITY { f64::from(f32::MIN) } else { o })
}

fn added(
    b: &mut Builder,
    name: &str,
    (x, y): (&Computed, &Computed),
    function: Binary,
) -> Result<Computed, String> {
    match merged(b, name, (x, y), function)? {
        Some(curve) => Ok(curve),
        None => b.sum(name, &[(1.0, x), (if function == Binary::Sub { -1.0 } else { 1.0 }, y)]),
    }
}

/// `x·y`, broadcast; a curve where exporters spell one out as a product.
pub(super) fn multiply(
    b: &mut Builder,
    name: &str,
    x: &Computed,
    y: &Computed,
) -> Result<Computed, String> {
    let dims = joint(&x.dims, &y.dims)?;
    super::call::possible(&dims)?;
    if let Some(curve) = merged(b, name, (x, y), Binary::Mul)? {
        return Ok(curve);
    }
    let (x, y) = (b.stretch(name, x, &dims)?, b.stretch(name, y, &dims)?);
    b.product(name, &x, &y)
}

/// `x / y`: one curve, or `x` times the reciprocal of `y`.
pub(super) fn quotient(
    b: &mut Builder,
    name: &str,
    x: &Computed,
    y: &Computed,
) -> Result<Computed, String> {
    if let Some(curve) = merged(b, name, (x, y), Binary::Div)? {
        return Ok(curve);
    }
    let inverse = function(b, name, y, |chain| chain.unary(Unary::Reciprocal))?;
    multiply(b, name, x, &inverse)
}

/// A constant divided by `x`.
fn divided(b: &mut Builder, name: &str, c: &Tensor, x: &Computed) -> Result<Computed, String> {
    if let PerElement::One(c) = c.broadcast(&joint(&x.dims, &c.dims)?)? {
        let dims = x.dims.clone();
        let made = function(b, name, x, |chain| Chain::constant(c).binary(Binary::Div, chain))?;
        return Ok(made.shaped(dims));
    }
    let inverse = function(b, name, x, |chain| chain.unary(Unary::Reciprocal))?;
    let (inverse, c) = aligned(b, name, &inverse, c)?;
    b.affine(name, &inverse, c, ZERO)
}

/// Most inputs of a sum or maximum.
const MAX_TERMS: usize = 64;

/// The computed inputs, and what `join` makes of the constant ones.
fn parted<'a>(
    call: &'a Call<'_>,
    mut join: impl FnMut(&Tensor, &Tensor) -> Result<Tensor, String>,
) -> Result<(Vec<&'a Computed>, Option<Tensor>), String> {
    if call.inputs.is_empty() {
        return Err("it has no inputs".into());
    }
    if call.inputs.len() > MAX_TERMS {
        return Err(format!(
            "it has {} inputs: at most {MAX_TERMS} are supported",
            call.inputs.len()
        ));
    }
    let (mut computed, mut constant): (Vec<&Computed>, Option<Tensor>) = (Vec::new(), None);
    for i in 0..call.inputs.len() {
        match call.value(i)? {
            Value::Constant(c) => {
                constant = Some(constant.map_or_else(|| Ok(Tensor::clone(c)), |sum| join(&sum, c))?)
            }
            x @ Value::Computed(_) => computed.push(x.number()?),
        }
    }
    Ok((computed, constant))
}

/// Sum and Mean of any number.
pub(super) fn sum(b: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(usize::MAX, &[])?;
    let (computed, constant) = parted(call, |x, y| evaluate::binary(b, Binary::Add, x, y))?;
    let factor = if call.op() == "Mean" { 1.0 / call.inputs.len() as f64 } else { 1.0 };
    let terms: Vec<(f64, &Computed)> = computed.into_iter().map(|x| (factor, x)).collect();
    let sum = b.sum(&call.name, &terms)?;
    let Some(c) = constant else { return one(sum) };
    let (sum, c) = aligned(b, &call.name, &sum, &c)?;
    one(b.affine(&call.name, &sum, ONE, c.map(|c| c * factor))?)
}

/// Max and Min of any number.
pub(super) fn extreme(b: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(usize::MAX, &[])?;
    let most = call.op() == "Max";
    let pick = if most { Binary::Max } else { Binary::Min };
    let (computed, constant) = parted(call, |x, y| evaluate::binary(b, pick, x, y))?;
    let mut x = largest(b, &call.name, &computed, most)?;
    if let Some(c) = constant {
        let (wide, c) = aligned(b, &call.name, &x, &c)?;
        x = match c {
            PerElement::One(lo) if most => clip(b, &call.name, &wide, lo, f64::INFINITY)?,
            PerElement::One(hi) => clip(b, &call.name, &wide, f64::NEG_INFINITY, hi)?,
            // max(x, c) = relu(x − c) + c, min(x, c) = c − relu(c − x).
            each => {
                let sign = if most { 1.0 } else { -1.0 };
                let above =
                    b.affine(&call.name, &wide, PerElement::One(sign), each.map(|c| -sign * c))?;
                let above = b.activation(&call.name, &above, Activation::Relu)?;
                b.affine(&call.name, &above, PerElement::One(sign), each)?
            }
        };
    }
    one(x)
}

/// The largest or least of several tensors: they become neighbours, of which a pool takes the
/// largest.
fn largest(
    b: &mut Builder,
    name: &str,
    tensors: &[&Computed],
    most: bool,
) -> Result<Computed, String> {
    let mut all: Vec<&Computed> = Vec::new();
    let mut dims = Vec::new();
    for x in tensors {
        dims = joint(&dims, &x.dims)?;
        if !all.contains(x) {
            all.push(x);
        }
    }
    let len = super::call::possible(&dims)?;
    let k = all.len();
    if let [x] = all[..] {
        return Ok(x.clone());
    }
    let sign = if most { 1.0 } else { -1.0 };
    let places: Vec<i64> = strides(&dims).iter().map(|s| s * k as i64).collect();
    let mut pieces = Vec::new();
    for (input, x) in all.iter().enumerate() {
        let loops =
            Loops::new(&dims, 0, &super::views::stretched(&x.dims, &dims), input as i64, &places);
        pieces.extend(loops.views()?.into_iter().map(|view| Piece { input, factor: sign, view }));
    }
    let wide = super::call::possible(&[len, k])?;
    let mixed = b.arrange(name, all.iter().map(|x| x.id).collect(), wide, pieces)?;
    let window =
        Convolution::window([len as u32, 1, k as u32], [1, k as u32], [1; 2], [0; 4], [1; 2]);
    let pooled = Computed::new(b.max_pool(name, mixed, window)?, dims);
    b.scaled(name, &pooled, sign, 0.0)
}

/// `min(max(x, lo), hi)`.
fn clip(b: &mut Builder, name: &str, x: &Computed, lo: f64, hi: f64) -> Result<Computed, String> {
    // Exporters write the largest floats for "no bound".
    let lo = if lo <= f64::from(f32::MIN) { f64::NEG_INFINITY } else { lo };
    let hi = if hi >= f64::from(f32::MAX) { f64::INFINITY } else { hi };
    if lo.is_nan() || hi.is_nan() || lo > hi || lo == f64::INFINITY || hi == f64::NEG_INFINITY {
        return Err(format!("bounds {lo} and {hi} are not a range"));
    }
    if lo == hi {
        return b.scaled(name, x, 0.0, lo);
    }
    match (lo, hi) {
        (f64::NEG_INFINITY, f64::INFINITY) => Ok(x.clone()),
        (0.0, f64::INFINITY) => b.activation(name, x, Activation::Relu),
        _ => b.activation(name, x, Activation::Clip { lo, hi }),
    }
}

pub(super) fn clip_node(b: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(3, if call.opset < 11 { &["min", "max"] } else { &[] })?;
    let bound = |i, name: &str, default: f32| match call.optional_constant(i)? {
        Some(c) => c.scalar(),
        None => call.bound(name, default),
    };
    let (lo, hi) = (bound(1, "min", f32::MIN)?, bound(2, "max", f32::MAX)?);
    one(clip(b, &call.name, call.computed(0)?, lo, hi)?)
}

/// `slope·x` where `x` is negative: `slope·x + (1 − slope)·relu(x)`.
pub(super) fn bent(
    b: &mut Builder,
    name: &str,
    x: &Computed,
    slope: &PerElement,
) -> Result<Computed, String> {
    match slope {
        PerElement::One(0.0) => return b.activation(name, x, Activation::Relu),
        PerElement::One(1.0) => return Ok(x.clone()),
        &PerElement::One(slope) if slope > 0.0 && slope < 1.0 => {
            return b.activation(name, x, Activation::Leaky(slope));
        }
        _ => {}
    }
    let straight = b.affine(name, x, slope.clone(), ZERO)?;
    let relu = b.activation(name, x, Activation::Relu)?;
    let rest = b.affine(name, &relu, slope.map(|s| 1.0 - s), ZERO)?;
    b.sum(name, &[(1.0, &straight), (1.0, &rest)])
}

pub(super) fn prelu(b: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(2, &[])?;
    let (x, slope) = (call.computed(0)?, call.constant(1)?);
    // As ONNX has it: a shape [C] may also mean the channels.
    let rank = x.dims.len();
    let slope = match (slope.broadcast(&x.dims), &slope.dims[..]) {
        (Err(_), &[c]) if rank > 2 && x.dims.get(1) == Some(&c) => {
            let dims = [vec![c], vec![1; rank - 2]].concat();
            Tensor { dims, ..slope.clone() }.broadcast(&x.dims)?
        }
        (slope, _) => slope?,
    };
    one(bent(b, &call.name, x, &slope)?)
}

/// An activation of a line, and a line of that.
#[derive(Clone, Debug)]
pub(super) struct Form {
    before: (f64, f64),
    activation: Activation,
    after: f64,
}

impl Form {
    /// The function.
    pub(super) fn at(&self, x: f64) -> f64 {
        self.after * self.activation.at(self.before.0 * x + self.before.1)
    }
}

/// The function that a node with one input applies, if it is one of these.
pub(super) fn form(call: &Call<'_>) -> Result<Option<Form>, String> {
    let plain = |activation| Form { before: (1.0, 0.0), activation, after: 1.0 };
    let curve = |curve| Ok(plain(Activation::Curve(curve)));
    let known = match call.op() {
        "Gelu" => &["approximate"][..],
        "Elu" | "Celu" | "LeakyRelu" | "ThresholdedRelu" | "Swish" => &["alpha"],
        "Selu" => &["alpha", "gamma"],
        "HardSigmoid" => &["alpha", "beta"],
        "Shrink" => &["bias", "lambd"],
        _ => &[],
    };
    let made = match call.op() {
        "Relu" => Ok(plain(Activation::Relu)),
        "Sigmoid" => curve(Curve::Sigmoid),
        "Tanh" => curve(Curve::Tanh),
        "Erf" => curve(Curve::Erf),
        "Softsign" => curve(Curve::Softsign),
        "Softplus" => curve(Curve::Softplus),
        "HardSwish" => curve(Curve::HardSwish),
        "Gelu" => match call.text("approximate", "none")?.as_str() {
            "none" => curve(Curve::Gelu),
            "tanh" => curve(Curve::GeluTanh),
            other => Err(format!("approximate is {other}: none and tanh are supported")),
        },
        "Elu" | "Selu" | "Celu" => elu(call),
        // min(max(α·x + β, 0), 1).
        "HardSigmoid" => Ok(Form {
            before: (call.float("alpha", 0.2)?, call.float("beta", 0.5)?),
            ..plain(Activation::Clip { lo: 0.0, hi: 1.0 })
        }),
        // x·σ(α·x).
        "Swish" => match call.float("alpha", 1.0)? {
            0.0 => Err("alpha is 0".into()),
            alpha => Ok(Form {
                before: (alpha, 0.0),
                after: 1.0 / alpha,
                ..plain(Activation::Curve(Curve::Silu))
            }),
        },
        "ThresholdedRelu" => {
            let (x, alpha) = (Chain::input(), Chain::constant(call.float("alpha", 1.0)?));
            let above = x.binary(Binary::Greater, &alpha);
            chain(above.and_then(|above| above.select(&x, &Chain::constant(0.0))))
        }
        "Shrink" => shrink(call),
        _ => return Ok(None),
    };
    call.only(1, known)?;
    made.map(Some)
}

fn chain(made: Option<Chain>) -> Result<Form, String> {
    let chain = made.ok_or("it is too long an expression")?;
    Ok(Form { before: (1.0, 0.0), activation: Activation::Chain(Arc::new(chain)), after: 1.0 })
}

/// `x + bias` below `−lambd`, `x − bias` above `lambd`, 0 between.
fn shrink(call: &Call<'_>) -> Result<Form, String> {
    let (bias, lambd) = (call.float("bias", 0.0)?, call.float("lambd", 0.5)?);
    let side = |sign: f64, otherwise: &Chain| {
        let beyond = Chain::input().scaled(sign, 0.0)?;
        let beyond = beyond.binary(Binary::Greater, &Chain::constant(lambd))?;
        beyond.select(&Chain::input().scaled(1.0, -sign * bias)?, otherwise)
    };
    chain(side(-1.0, &Chain::constant(0.0)).and_then(|low| side(1.0, &low)))
}

/// Elu, Selu and Celu.
fn elu(call: &Call<'_>) -> Result<Form, String> {
    let selu = call.op() == "Selu";
    let alpha = call.float("alpha", if selu { 1.673_263_2 } else { 1.0 })?;
    let after = if selu { call.float("gamma", 1.050_701)? } else { 1.0 };
    let beta = if call.op() == "Celu" { alpha } else { 1.0 };
    if alpha <= 0.0 {
        return Err(format!("alpha is {alpha}: it must be positive"));
    }
    let activation = Activation::Curve(Curve::Elu { alpha, beta });
    Ok(Form { before: (1.0, 0.0), activation, after })
}

/// ThresholdedRelu and Shrink, exactly: what is beyond a bound, and a step there.
fn jumping(b: &mut Builder, call: &Call<'_>, x: &Computed) -> Result<Computed, String> {
    let name = &call.name;
    // Checks the attributes.
    form(call)?;
    let side = |b: &mut Builder, sign: f64, bound: f64, start: f64| {
        let beyond = b.scaled(name, x, sign, -bound)?;
        let relu = b.activation(name, &beyond, Activation::Relu)?;
        if start == 0.0 {
            return Ok(relu);
        }
        let step = b.activation(name, &beyond, Activation::Step)?;
        b.sum(name, &[(1.0, &relu), (start, &step)])
    };
    if call.op() == "ThresholdedRelu" {
        let alpha = call.float("alpha", 1.0)?;
        return side(b, 1.0, alpha, alpha);
    }
    let (bias, lambd) = (call.float("bias", 0.0)?, call.float("lambd", 0.5)?);
    let above = side(b, 1.0, lambd, lambd - bias)?;
    let below = side(b, -1.0, lambd, lambd - bias)?;
    b.sum(name, &[(1.0, &above), (-1.0, &below)])
}

/// Functions of one number.
pub(super) fn curve(b: &mut Builder, call: &Call<'_>) -> Outputs {
    let x = call.computed(0)?;
    if call.op() == "LeakyRelu" {
        call.only(1, &["alpha"])?;
        return one(bent(b, &call.name, x, &PerElement::One(call.float("alpha", 0.01)?))?);
    }
    if let "ThresholdedRelu" | "Shrink" = call.op() {
        return one(jumping(b, call, x)?);
    }
    let Form { before, activation, after } =
        form(call)?.ok_or("it is no function of one number")?;
    let x = b.scaled(&call.name, x, before.0, before.1)?;
    let x = match activation {
        Activation::Clip { lo, hi } => clip(b, &call.name, &x, lo, hi)?,
        activation => activated(b, &call.name, &x, activation)?,
    };
    one(b.scaled(&call.name, &x, after, 0.0)?)
}

pub(super) fn power(b: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(2, &[])?;
    let name = &call.name;
    let (x, exponent) = match (call.value(0)?, call.value(1)?) {
        (Value::Constant(base), x) => {
            let base = base.scalar()?;
            let x = x.number()?;
            return one(function(b, name, x, |chain| {
                Chain::constant(base).binary(Binary::Pow, chain)
            })?);
        }
        (x, Value::Constant(exponent)) => (x.number()?, exponent),
        _ => return Err("the base or the exponent must be a constant".into()),
    };
    let PerElement::One(exponent) = exponent.broadcast(&x.dims)? else {
        return Err("the exponent must be the same for all elements".into());
    };
    one(match exponent {
        0.0 => b.scaled(name, x, 0.0, 1.0)?,
        1.0 => x.clone(),
        2.0 => multiply(b, name, x, x)?,
        3.0 => {
            let square = multiply(b, name, x, x)?;
            multiply(b, name, &square, x)?
        }
        other => function(b, name, x, |chain| chain.binary(Binary::Pow, &Chain::constant(other)))?,
    })
}

/// `(x − mean) / √(variance + ε) · scale + bias`, with one of each for every channel.
pub(super) fn batch_normalization(b: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(5, &["epsilon", "momentum", "spatial", "training_mode"])?;
    let x = call.computed(0)?;
    let &[_, channels, ..] = &x.dims[..] else {
        return Err(format!("shape {:?} has no channels", x.dims));
    };
    if call.flag("training_mode", false)? || !call.flag("spatial", true)? {
        return Err(
            "only inference with one mean and variance for each channel is supported".into()
        );
    }
    let epsilon = call.float("epsilon", 1e-5)?;
    let constant = |i| {
        let tensor: &Tensor = call.constant(i)?;
        if tensor.dims != [channels] {
            return Err(format!(
                "input {i} has shape {:?}, {channels} numbers are needed",
                tensor.dims
            ));
        }
        Ok(PerElement::Each(tensor.numbers()))
    };
    let (scale, bias, mean, variance) = (constant(1)?, constant(2)?, constant(3)?, constant(4)?);
    let scale = scale.zip(&variance, |s, v| s / (v + epsilon).sqrt());
    let offset = bias.zip(&scale.zip(&mean, |s, m| s * m), |b, sm| b - sm);
    let inner = x.dims.get(2..).unwrap_or_default().iter().product();
    let outer = x.dims.first().copied().unwrap_or(1);
    let each = |of: PerElement| match of.repeat(inner) {
        PerElement::Each(xs) => PerElement::Each(xs.repeat(outer)),
        one => one,
    };
    one(b.affine(&call.name, x, each(scale), each(offset))?)
}
