//! Quantised networks: QuantizeLinear and DequantizeLinear around weights and activations.
//!
//! A quantised activation stands for the numbers that are meant. That integers were rounded in the
//! file is left out: the compiler quantises by itself, from what calibration rows reach. What a
//! quantised type cuts off is kept where it is a function of the network: exporters leave out a
//! ReLU whose zeros are those of the type.

use super::build::Builder;
use super::call::{Call, Computed, Kind, Outputs, Steps, Value, one};
use super::fold;
use super::proto::data_type;
use super::tensor::{Data, Tensor};
use crate::network::{Activation, Node, TensorId, Work};

/// The scale and zero point of an activation: one for the whole tensor.
fn steps(call: &Call<'_>) -> Result<Steps, String> {
    let scale = call.constant(1)?.scalar().map_err(|what| format!("its scale: {what}"))?;
    let zero = match call.optional_constant(2)? {
        Some(zero) => zero.scalar().map_err(|what| format!("its zero point: {what}"))?,
        None => 0.0,
    };
    if !(scale.is_finite() && scale > 0.0 && zero.fract() == 0.0) {
        return Err(format!("scale {scale} and zero point {zero} are not usable"));
    }
    Ok(Steps { scale, zero: zero as i64 })
}

/// Least and greatest integer of the quantised type: that of the zero point, or the named one.
fn range(b: &Builder, call: &Call<'_>) -> Result<(i64, i64), String> {
    let named = i32::try_from(call.int("output_dtype", 0)?).map_err(|_| "output_dtype is large")?;
    // Without either, ONNX has bytes.
    let default = if named == 0 { data_type::UINT8 } else { named };
    Ok(match b.zero_type.unwrap_or(default) {
        data_type::UINT8 => (0, 255),
        data_type::INT8 => (-128, 127),
        data_type::UINT16 => (0, 65535),
        data_type::INT16 => (-32768, 32767),
        other => return Err(format!("quantisation to type number {other} is not supported")),
    })
}

/// Whether a tensor is what arithmetic made, which may be negative.
fn is_arithmetic(nodes: &[Node], id: TensorId) -> bool {
    let mut at = id;
    while let Some(node) = at.checked_sub(1).and_then(|i| nodes.get(i)) {
        match &node.work {
            Work::Activation(_) | Work::Square => return false,
            Work::MaxPool(_) | Work::SumPool(..) => at = node.inputs.first().map_or(0, |&i| i),
            Work::StridedAdd(_, pieces)
                if node.inputs.len() == 1 && pieces.iter().all(|piece| piece.factor >= 0.0) =>
            {
                at = node.inputs.first().map_or(0, |&i| i);
            }
            _ => return true,
        }
    }
    false
}

/// The same numbers, quantised.
pub(super) fn quantize(b: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(3, &["axis", "block_size", "output_dtype", "precision", "saturate"])?;
    if call.int("block_size", 0)? != 0 {
        return Err("attribute `block_size` is not supported".into());
    }
    match call.value(0)? {
        Value::Constant(x) => constant(b, call, x),
        Value::Computed(x) => {
            let steps = steps(call)?;
            let (least, most) = range(b, call)?;
            let x = match &x.kind {
                Kind::Integer => Computed { kind: Kind::Float, ..x.clone() },
                _ => call.computed(0)?.clone(),
            };
            // Below the least integer is zero: a ReLU, with the type's upper end.
            let cut = steps.zero == least && is_arithmetic(&b.nodes, x.id);
            let hi = (most - least) as f64 * steps.scale;
            let x = if cut {
                b.activation(&call.name, &x, Activation::Clip { lo: 0.0, hi })?
            } else {
                x
            };
            one(Computed { kind: Kind::Quantised(steps), ..x })
        }
    }
}

/// A constant, rounded as the file asks.
fn constant(b: &mut Builder, call: &Call<'_>, x: &Tensor) -> Outputs {
    let Steps { scale, zero } = steps(call)?;
    let (least, most) = range(b, call)?;
    b.count_constant(x.len())?;
    let one_of =
        |x: f64| ((x / scale).round_ties_even() as i64).saturating_add(zero).clamp(least, most);
    let data = Data::Int(x.numbers().into_iter().map(one_of).collect());
    one(Tensor { dims: x.dims.clone(), data })
}

/// The numbers that a quantised tensor stands for.
pub(super) fn dequantize(b: &mut Builder, call: &Call<'_>) -> Outputs {
    let Value::Computed(x) = call.value(0)? else { return fold::dequantize(b, call) };
    call.only(3, &["axis", "block_size", "output_dtype"])?;
    let float = |x: &Computed| Computed { kind: Kind::Float, ..x.clone() };
    let new = steps(call)?;
    match x.kind {
        Kind::Quantised(old) if old == new => one(float(x)),
        // Read by another scale than it was made with: another number for the same integer.
        Kind::Quantised(old) => {
            let ratio = new.scale / old.scale;
            one(b.scaled(&call.name, &float(x), ratio, (old.zero - new.zero) as f64 * new.scale)?)
        }
        // Integers of the input.
        Kind::Integer => {
            one(b.scaled(&call.name, &float(x), new.scale, -(new.zero as f64) * new.scale)?)
        }
        _ => Err("it reads numbers that are not quantised".into()),
    }
}
