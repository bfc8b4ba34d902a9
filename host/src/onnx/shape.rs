//! Nodes that change the shape only: no element moves.

use super::build::Builder;
use super::call::{Call, Computed, Kind, MAX_RANK, Outputs, Value, axes_of, axis_of, one};
use super::fold;
use super::proto::data_type;
use super::tensor::count;

/// The same elements under another shape of as many.
fn shaped(b: &mut Builder, x: &Value, dims: Vec<usize>) -> Outputs {
    if let Value::Constant(tensor) = x {
        b.count_constant(tensor.len())?;
    }
    if count(&dims) != count(x.dims()) {
        return Err(format!("shape {:?} does not become {dims:?}", x.dims()));
    }
    one(x.shaped(dims))
}

pub(super) fn flatten(b: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(1, &["axis"])?;
    let x = call.value(0)?;
    let (axis, rank) = (call.int("axis", 1)?, x.dims().len());
    let axis = if axis == rank as i64 { rank } else { axis_of(axis, rank)? };
    let (front, back) = x.dims().split_at(axis);
    shaped(b, x, vec![front.iter().product(), back.iter().product()])
}

pub(super) fn reshape(b: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(2, &["allowzero"])?;
    let x = call.value(0)?;
    let target = call.constant(1)?.ints()?;
    let copy = !call.flag("allowzero", false)?;
    let target = batched(b, target, x.dims());
    let wrong = || format!("shape {:?} does not become {target:?}", x.dims());
    let mut dims = Vec::new();
    for (i, &d) in target.iter().enumerate() {
        match usize::try_from(d) {
            Ok(0) if copy => dims
                .push(x.dims().get(i).copied().ok_or("it copies a dimension that is not there")?),
            Ok(d) => dims.push(d),
            Err(_) if d == -1 => dims.push(1),
            Err(_) => return Err(format!("shape {target:?} is not valid")),
        }
    }
    if let Some(open) = target.iter().position(|&d| d == -1) {
        let len = count(x.dims()).ok_or_else(wrong)?;
        let rest = count(&dims).filter(|&n| n > 0 && len.is_multiple_of(n)).ok_or_else(wrong)?;
        dims.get_mut(open).into_iter().for_each(|d| *d = len / rest);
    }
    if count(&dims) != count(x.dims()) {
        return Err(wrong());
    }
    shaped(b, x, dims)
}

/// The target of a reshape, its fixed batch replaced by that of `dims` where the elements only fit
/// so.
fn batched(b: &Builder, target: &[i64], dims: &[usize]) -> Vec<i64> {
    let Some((batch, rows)) = b.batch else { return target.to_vec() };
    let len = |shape: &[i64]| shape.iter().map(|&d| d.max(1)).try_fold(1_i64, i64::checked_mul);
    let fits = |shape: &[i64]| {
        let (Some(n), Some(have)) = (len(shape), count(dims)) else { return false };
        let have = have as i64;
        if shape.contains(&-1) { n > 0 && have % n == 0 && have >= n } else { n == have }
    };
    match target {
        [first, row @ ..] if *first == batch as i64 && dims.first() == Some(&rows) => {
            let own = [&[rows as i64][..], row].concat();
            if fits(&own) { own } else { target.to_vec() }
        }
        _ => target.to_vec(),
    }
}

pub(super) fn squeeze(b: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(2, &["axes"])?;
    let x = call.value(0)?;
    let axes = match call.ints_or(1, "axes")? {
        Some(axes) => axes_of(&axes, x.dims().len())?,
        None => x.dims().iter().enumerate().filter(|&(_, &d)| d == 1).map(|(i, _)| i).collect(),
    };
    shaped(
        b,
        x,
        x.dims().iter().enumerate().filter(|(i, _)| !axes.contains(i)).map(|(_, &d)| d).collect(),
    )
}

pub(super) fn unsqueeze(b: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(2, &["axes"])?;
    let x = call.value(0)?;
    let axes = call.ints_or(1, "axes")?.ok_or("its axes are missing")?;
    let rank = x.dims().len() + axes.len();
    if rank > MAX_RANK {
        return Err(format!("it makes {rank} dimensions: at most {MAX_RANK} are supported"));
    }
    let axes = axes_of(&axes, rank)?;
    let mut rest = x.dims().iter().copied();
    shaped(
        b,
        x,
        (0..rank).map(|i| if axes.contains(&i) { 1 } else { rest.next().unwrap_or(1) }).collect(),
    )
}

pub(super) fn identity(_: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(1, &[])?;
    one(call.value(0)?.clone())
}

pub(super) fn dropout(_: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(3, &["ratio", "seed"])?;
    if let Some(training) = call.optional_constant(2)?
        && training.numbers().iter().any(|&x| x != 0.0)
    {
        return Err("it is in training mode: export for inference".into());
    }
    one(call.value(0)?.clone())
}

/// Whether these are integers that indices may be.
fn whole(to: i64) -> bool {
    [data_type::INT32, data_type::INT64].iter().any(|&t| i64::from(t) == to)
}

/// Numbers become floats; the index behind an ArgMax may become anything.
pub(super) fn cast(b: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(1, &["to", "saturate"])?;
    let to = call.int("to", 0)?;
    let float = [data_type::FLOAT, data_type::DOUBLE, data_type::FLOAT16, data_type::BFLOAT16]
        .iter()
        .any(|&t| i64::from(t) == to);
    match call.value(0)? {
        Value::Constant(x) => one(fold::cast(b, x, to)?),
        Value::Computed(x) => match x.kind {
            Kind::Float | Kind::Scores(_) if float => one(x.clone()),
            Kind::Integer if float => {
                let mut x = x.clone();
                x.kind = Kind::Float;
                one(x)
            }
            // A table is looked up by the input itself: its numbers are indices.
            Kind::Float if x.id == 0 && whole(to) => {
                b.notes.push(format!(
                    "{}: its inputs have to be whole numbers, as they are looked up in tables",
                    call.described
                ));
                one(Computed { kind: Kind::Integer, ..x.clone() })
            }
            Kind::Index(_) => one(x.clone()),
            // 1 and 0 are the same numbers in every type.
            Kind::Truth => {
                one(Computed { kind: if float { Kind::Float } else { Kind::Truth }, ..x.clone() })
            }
            _ => Err(format!(
                "a cast to type number {to}: only FLOAT, DOUBLE, FLOAT16 and BFLOAT16 are supported"
            )),
        },
    }
}
