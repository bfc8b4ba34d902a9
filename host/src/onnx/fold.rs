//! Arithmetic on constants: what exporters leave of shapes, scales and quantised weights.

use super::build::Builder;
use super::call::{Call, Outputs, axis_of, one};
use super::proto::data_type;
use super::tensor::{Data, Tensor, count};

/// Whether each number is not 0, as 1 or 0.
pub(super) fn truth(x: Tensor) -> Tensor {
    let data = Data::Int(x.numbers().into_iter().map(|x| i64::from(x != 0.0)).collect());
    Tensor { data, ..x }
}

pub(super) fn constant(b: &mut Builder, call: &Call<'_>) -> Outputs {
    let [value] = &call.node.attribute[..] else {
        return Err("it needs one attribute, its value".into());
    };
    let tensor = Tensor::of_attribute(value)?;
    b.count_constant(tensor.len())?;
    one(tensor)
}

pub(super) fn constant_of_shape(b: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(1, &["value"])?;
    let shape = call.constant(0)?.ints()?;
    let dims = shape.iter().map(|&d| usize::try_from(d).ok()).collect::<Option<Vec<_>>>();
    let dims = dims
        .filter(|d| count(d).is_some())
        .ok_or_else(|| format!("shape {shape:?} is not valid"))?;
    let len = count(&dims).unwrap_or(usize::MAX);
    b.count_constant(len)?;
    let data = match call.tensor("value")?.map(|t| t.data) {
        None => Data::Float(vec![0.0; len]),
        Some(Data::Float(xs)) if xs.len() == 1 => Data::Float(xs.repeat(len)),
        Some(Data::Int(xs)) if xs.len() == 1 => Data::Int(xs.repeat(len)),
        Some(_) => return Err("attribute `value` must hold one number".into()),
    };
    one(Tensor { dims, data })
}

/// The shape of a tensor, from `start` to `end`.
pub(super) fn shape(_: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(1, &["start", "end"])?;
    let dims = call.value(0)?.dims();
    let rank = dims.len() as i64;
    let clamp =
        |at: i64| if at < 0 { at.saturating_add(rank).max(0) } else { at.min(rank) } as usize;
    let (start, end) = (clamp(call.int("start", 0)?), clamp(call.int("end", rank)?));
    one(Tensor::ints_of(
        dims.get(start..end).unwrap_or_default().iter().map(|&d| d as i64).collect(),
    ))
}

pub(super) fn size(_: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(1, &[])?;
    let len = count(call.value(0)?.dims()).ok_or("it is too large")?;
    one(Tensor { dims: vec![], data: Data::Int(vec![len as i64]) })
}

/// The constant as the type that a Cast asks for.
pub(super) fn cast(b: &mut Builder, x: &Tensor, to: i64) -> Result<Tensor, String> {
    b.count_constant(x.len())?;
    let data = match (i32::try_from(to).unwrap_or(0), &x.data) {
        (data_type::FLOAT | data_type::DOUBLE | data_type::FLOAT16 | data_type::BFLOAT16, _) => {
            Data::Float(x.floats())
        }
        (data_type::BOOL, _) => truth(x.clone()).data,
        (to, data) => {
            let (least, most) =
                whole(to).ok_or_else(|| format!("a cast to type number {to} is not supported"))?;
            Data::Int(match data {
                Data::Int(xs) => xs.iter().map(|&x| x.clamp(least, most)).collect(),
                Data::Float(xs) => xs.iter().map(|&x| (x as i64).clamp(least, most)).collect(),
            })
        }
    };
    Ok(Tensor { dims: x.dims.clone(), data })
}

/// Least and largest number of an integer type.
const fn whole(to: i32) -> Option<(i64, i64)> {
    Some(match to {
        data_type::INT8 => (i8::MIN as i64, i8::MAX as i64),
        data_type::UINT8 => (0, u8::MAX as i64),
        data_type::INT16 => (i16::MIN as i64, i16::MAX as i64),
        data_type::UINT16 => (0, u16::MAX as i64),
        data_type::INT32 => (i32::MIN as i64, i32::MAX as i64),
        data_type::UINT32 => (0, u32::MAX as i64),
        data_type::INT64 => (i64::MIN, i64::MAX),
        data_type::UINT64 => (0, i64::MAX),
        _ => return None,
    })
}

/// `(x − zero point) · scale`, one of each for the tensor or for each index of an axis.
pub(super) fn dequantize(b: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(3, &["axis", "block_size", "output_dtype"])?;
    let x = call
        .constant(0)
        .map_err(|what| format!("{what}: only stored weights can be dequantised"))?;
    if call.int("block_size", 0)? != 0 {
        return Err(
            "attribute `block_size` is not supported: scales are for the tensor or for an axis"
                .into(),
        );
    }
    if call.int("output_dtype", 0)? > 1 {
        return Err("attribute `output_dtype` is not supported, except 1 (FLOAT)".into());
    }
    let (scale, zero) = (call.constant(1)?, call.optional_constant(2)?);
    b.count_constant(x.len())?;
    let (n, inner) = if scale.len() == 1 {
        (1, x.len().max(1))
    } else {
        let axis = axis_of(call.int("axis", 1)?, x.dims.len())?;
        let (n, rest) =
            (x.dims.get(axis).copied().unwrap_or(1), x.dims.get(axis + 1..).unwrap_or_default());
        (n, count(rest).unwrap_or(0).max(1))
    };
    if scale.len() != n || zero.is_some_and(|z| z.len() != n) {
        let zero = zero.map_or(0, Tensor::len);
        return Err(format!(
            "{} scales and {zero} zero points do not fit shape {:?}: {n} are needed",
            scale.len(),
            x.dims
        ));
    }
    let (scales, zeros) = (
        scale.floats(),
        zero.map_or_else(|| vec![0; n], |z| z.ints().unwrap_or_default().to_vec()),
    );
    let one_of = |i: usize, q: i64| {
        let at = i / inner % n;
        let (scale, zero) =
            (scales.get(at).copied().unwrap_or(f32::NAN), zeros.get(at).copied().unwrap_or(0));
        q.saturating_sub(zero) as f32 * scale
    };
    let numbers = x.ints()?.iter().enumerate().map(|(i, &q)| one_of(i, q)).collect();
    one(Tensor { dims: x.dims.clone(), data: Data::Float(numbers) })
}
