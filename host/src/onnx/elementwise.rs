//! Nodes that compute element by element.

use super::build::{Builder, joint};
use super::call::{Call, Computed, Outputs, Value, one};
use super::fold;
use super::patterns::recognise;
use super::tensor::Tensor;
use super::views::{Loops, strides};
use crate::network::{Activation, Curve, PerElement, Piece};
use minionn_core::plan::Convolution;

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
    let op = call.op();
    match (call.value(0)?, call.value(1)?) {
        (Value::Constant(x), Value::Constant(y)) => one(fold::binary(b, op, x, y)?),
        (x @ Value::Computed(_), Value::Constant(c)) => {
            let (x, c) = aligned(b, &call.name, x.number()?, c)?;
            let (scale, offset) = match op {
                "Add" => (ONE, c),
                "Sub" => (ONE, c.map(|c| -c)),
                "Mul" => (c, ZERO),
                _ => (c.map(|c| 1.0 / c), ZERO),
            };
            one(b.affine(&call.name, &x, scale, offset)?)
        }
        (Value::Constant(c), x @ Value::Computed(_)) => {
            let (x, c) = aligned(b, &call.name, x.number()?, c)?;
            let (scale, offset) = match op {
                "Add" => (ONE, c),
                "Sub" => (PerElement::One(-1.0), c),
                "Mul" => (c, ZERO),
                _ => return Err("a constant divided by a computed tensor is not supported".into()),
            };
            one(b.affine(&call.name, &x, scale, offset)?)
        }
        (x, y) => {
            let (x, y) = (x.number()?, y.number()?);
            match op {
                "Add" => one(b.sum(&call.name, &[(1.0, x), (1.0, y)])?),
                "Sub" => one(b.sum(&call.name, &[(1.0, x), (-1.0, y)])?),
                "Mul" => one(multiply(b, &call.name, x, y)?),
                _ => Err("a division by a computed tensor is not supported".into()),
            }
        }
    }
}

/// `x·y`, broadcast; a curve where exporters spell one out as a product.
fn multiply(b: &mut Builder, name: &str, x: &Computed, y: &Computed) -> Result<Computed, String> {
    let dims = joint(&x.dims, &y.dims)?;
    let len = super::call::possible(&dims)?;
    // Element by element, not one repeated along the other.
    if (x.len(), y.len()) == (len, len)
        && let Some(found) = recognise(&b.nodes, x.id, y.id)
    {
        let of = Computed::new(found.of, dims);
        let inner = b.scaled(name, &of, found.inner, 0.0)?;
        let curve = b.activation(name, &inner, Activation::Curve(found.curve))?;
        return b.scaled(name, &curve, found.outer, 0.0);
    }
    let (x, y) = (b.stretch(name, x, &dims)?, b.stretch(name, y, &dims)?);
    b.product(name, &x, &y)
}

/// Most inputs of a sum or maximum.
const MAX_TERMS: usize = 64;

/// The computed inputs, and what `join` makes of the constant ones.
fn parted<'a>(
    call: &'a Call<'_>,
    mut join: impl FnMut(&Tensor, &Tensor) -> Result<Tensor, String>,
) -> Result<(Vec<&'a Computed>, Option<Tensor>), String> {
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
    let (computed, constant) = parted(call, |x, y| fold::binary(b, "Add", x, y))?;
    let factor = if call.op() == "Mean" { 1.0 / call.inputs.len() as f64 } else { 1.0 };
    if computed.is_empty() {
        return Err("it reads constants only, which is not supported".into());
    }
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
    let pick = |x: f32, y: f32| if (x > y) == most { x } else { y };
    let (computed, constant) = parted(call, |x, y| {
        let dims = joint(&x.dims, &y.dims)?;
        let at = |t: &Tensor| t.broadcast(&dims);
        let both = at(x)?.zip(&at(y)?, |x, y| f64::from(pick(x as f32, y as f32)));
        let data = match both {
            PerElement::One(c) => vec![c as f32; super::tensor::count(&dims).unwrap_or(0)],
            PerElement::Each(cs) => cs.into_iter().map(|c| c as f32).collect(),
        };
        Ok(Tensor { dims, data: super::tensor::Data::Float(data) })
    })?;
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
    match all[..] {
        [] => return Err("it reads constants only, which is not supported".into()),
        [x] => return Ok(x.clone()),
        _ => {}
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
fn bent(b: &mut Builder, name: &str, x: &Computed, slope: &PerElement) -> Result<Computed, String> {
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

pub(super) fn leaky_relu(b: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(1, &["alpha"])?;
    one(bent(b, &call.name, call.computed(0)?, &PerElement::One(call.float("alpha", 0.01)?))?)
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

/// Functions of one number without any choice.
pub(super) fn curve(b: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(1, if call.op() == "Gelu" { &["approximate"] } else { &[] })?;
    let activation = match call.op() {
        "Relu" => Activation::Relu,
        "Sigmoid" => Activation::Curve(Curve::Sigmoid),
        "Tanh" => Activation::Curve(Curve::Tanh),
        "Erf" => Activation::Curve(Curve::Erf),
        "Softsign" => Activation::Curve(Curve::Softsign),
        "Softplus" => Activation::Curve(Curve::Softplus),
        "HardSwish" => Activation::Curve(Curve::HardSwish),
        _ => match call.text("approximate", "none")?.as_str() {
            "none" => Activation::Curve(Curve::Gelu),
            "tanh" => Activation::Curve(Curve::GeluTanh),
            other => return Err(format!("approximate is {other}: none and tanh are supported")),
        },
    };
    one(b.activation(&call.name, call.computed(0)?, activation)?)
}

/// Elu, Selu and Celu.
pub(super) fn elu(b: &mut Builder, call: &Call<'_>) -> Outputs {
    let (alpha, beta, gamma) = match call.op() {
        "Selu" => {
            call.only(1, &["alpha", "gamma"])?;
            (call.float("alpha", 1.673_263_2)?, 1.0, call.float("gamma", 1.050_701)?)
        }
        op => {
            call.only(1, &["alpha"])?;
            let alpha = call.float("alpha", 1.0)?;
            (alpha, if op == "Celu" { alpha } else { 1.0 }, 1.0)
        }
    };
    if alpha <= 0.0 {
        return Err(format!("alpha is {alpha}: it must be positive"));
    }
    let x =
        b.activation(&call.name, call.computed(0)?, Activation::Curve(Curve::Elu { alpha, beta }))?;
    one(b.scaled(&call.name, &x, gamma, 0.0)?)
}

/// `min(max(α·x + β, 0), 1)`.
pub(super) fn hard_sigmoid(b: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(1, &["alpha", "beta"])?;
    let (alpha, beta) = (call.float("alpha", 0.2)?, call.float("beta", 0.5)?);
    let line = b.scaled(&call.name, call.computed(0)?, alpha, beta)?;
    one(clip(b, &call.name, &line, 0.0, 1.0)?)
}

/// `|x| = 2·relu(x) − x`.
pub(super) fn abs(b: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(1, &[])?;
    let x = call.computed(0)?;
    let relu = b.activation(&call.name, x, Activation::Relu)?;
    one(b.sum(&call.name, &[(2.0, &relu), (-1.0, x)])?)
}

pub(super) fn neg(b: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(1, &[])?;
    match call.value(0)? {
        Value::Constant(x) => {
            one(fold::binary(b, "Sub", &Tensor { dims: vec![], data: zero_like(x) }, x)?)
        }
        x => one(b.scaled(&call.name, x.number()?, -1.0, 0.0)?),
    }
}

fn zero_like(x: &Tensor) -> super::tensor::Data {
    if x.ints().is_ok() {
        super::tensor::Data::Int(vec![0])
    } else {
        super::tensor::Data::Float(vec![0.0])
    }
}

pub(super) fn power(b: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(2, &[])?;
    let (x, exponent) = (call.computed(0)?, call.constant(1)?);
    match exponent.broadcast(&x.dims)? {
        PerElement::One(1.0) => one(x.clone()),
        PerElement::One(2.0) => one(b.product(&call.name, x, x)?),
        PerElement::One(3.0) => {
            let square = b.product(&call.name, x, x)?;
            one(b.product(&call.name, &square, x)?)
        }
        _ => {
            Err("only power 2, power 3 and power 1 are supported, the same for all elements".into())
        }
    }
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
