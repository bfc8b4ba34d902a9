//! Nodes that move elements without computing: slices, joins, transpositions.

use super::build::{Builder, Part};
use super::call::{Call, Outputs, Value, axes_of, axis_of, one};
use super::moves::{along, axes_or_all, reflected};
use super::tensor::{Tensor, count};
use super::views::{Loops, stretched, strides};

fn dim(dims: &[usize], axis: usize) -> usize {
    dims.get(axis).copied().unwrap_or(1)
}

fn stride(dims: &[usize], axis: usize) -> i64 {
    strides(dims).get(axis).copied().unwrap_or(1)
}

/// `dims` with another size along `axis`.
fn with(dims: &[usize], axis: usize, size: usize) -> Vec<usize> {
    let mut dims = dims.to_vec();
    dims.get_mut(axis).into_iter().for_each(|d| *d = size);
    dims
}

/// One copy of `x` into a tensor of shape `dims`.
fn copied(
    b: &mut Builder,
    call: &Call<'_>,
    x: &Value,
    dims: Vec<usize>,
    from: i64,
    steps: &[i64],
) -> Result<Value, String> {
    if let Value::Computed(_) = x {
        super::call::possible(&dims)?;
    }
    let loops = Loops::new(&dims, from, steps, 0, &strides(&dims));
    b.assemble(&call.name, &[x], dims, 0.0, &[Part { source: 0, loops }])
}

pub(super) fn transpose(b: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(1, &["perm"])?;
    let x = call.value(0)?;
    let rank = x.dims().len();
    let reversed: Vec<i64> = (0..rank as i64).rev().collect();
    let perm = call.ints("perm")?.unwrap_or(&reversed);
    if perm.len() != rank || perm.iter().any(|&a| a < 0) {
        return Err(format!("perm {perm:?} does not order {rank} dimensions"));
    }
    axes_of(perm, rank)?;
    let axes: Vec<usize> = perm.iter().map(|&a| a as usize).collect();
    let dims = axes.iter().map(|&a| dim(x.dims(), a)).collect();
    let steps: Vec<i64> = axes.iter().map(|&a| stride(x.dims(), a)).collect();
    Ok(vec![copied(b, call, x, dims, 0, &steps)?])
}

/// First element, step and number of elements of a slice along a dimension of `size`.
fn range(size: usize, start: i64, end: i64, step: i64) -> Result<(i64, i64, usize), String> {
    let size = size as i64;
    let counted = |at: i64| if at < 0 { at.saturating_add(size) } else { at };
    // Backwards, a slice may end in front of the first element.
    let (low, high) = match step {
        0 => return Err("a step of 0".into()),
        1.. => (0, size),
        _ => (-1, size - 1),
    };
    let (start, end) =
        (counted(start).clamp(low.max(0), high.max(0)), counted(end).clamp(low, high));
    let span = if step > 0 { end.saturating_sub(start) } else { start.saturating_sub(end) };
    let n = span.max(0).unsigned_abs().div_ceil(step.unsigned_abs());
    Ok((start, if n > 1 { step } else { 0 }, n as usize))
}

pub(super) fn slice(b: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(5, &["starts", "ends", "axes"])?;
    let x = call.value(0)?;
    let starts = call.ints_or(1, "starts")?.ok_or("its starts are missing")?;
    let ends = call.ints_or(2, "ends")?.ok_or("its ends are missing")?;
    let axes = call.ints_or(3, "axes")?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = call
        .optional_constant(4)?
        .map_or_else(|| Ok(vec![1; starts.len()]), |t| t.ints().map(<[i64]>::to_vec))?;
    axes_of(&axes, x.dims().len())?;
    if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] {
        return Err(format!(
            "{} starts, {} ends, {} axes and {} steps do not match",
            starts.len(),
            ends.len(),
            axes.len(),
            steps.len()
        ));
    }
    let (mut dims, mut from, mut hops) = (x.dims().to_vec(), 0, strides(x.dims()));
    for (((&start, &end), &axis), &step) in starts.iter().zip(&ends).zip(&axes).zip(&steps) {
        let axis = axis_of(axis, dims.len())?;
        let (first, step, n) = range(dim(x.dims(), axis), start, end, step)?;
        from += first * stride(x.dims(), axis);
        dims = with(&dims, axis, n);
        hops.get_mut(axis).into_iter().for_each(|hop| *hop *= step);
    }
    Ok(vec![copied(b, call, x, dims, from, &hops)?])
}

pub(super) fn concat(b: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(usize::MAX, &["axis"])?;
    let sources: Vec<&super::call::Value> =
        (0..call.inputs.len()).map(|i| call.value(i)).collect::<Result<_, _>>()?;
    let first = sources.first().ok_or("it has no inputs")?.dims();
    let axis = if call.has("axis") {
        call.int("axis", 0)?
    } else {
        return Err("attribute `axis` is missing".into());
    };
    let axis = axis_of(axis, first.len())?;
    let mut size = 0_usize;
    for source in &sources {
        if source.dims().len() != first.len()
            || with(source.dims(), axis, 0) != with(first, axis, 0)
        {
            return Err(format!(
                "shapes {first:?} and {:?} do not join along axis {axis}",
                source.dims()
            ));
        }
        size = size.checked_add(dim(source.dims(), axis)).ok_or("it is too large")?;
    }
    let dims = with(first, axis, size);
    count(&dims).ok_or("it is too large")?;
    let (mut parts, mut at) = (Vec::new(), 0);
    for (source, value) in sources.iter().enumerate() {
        let own = value.dims();
        if count(own) != Some(0) {
            parts.push(Part {
                source,
                loops: Loops::new(own, 0, &strides(own), at * stride(&dims, axis), &strides(&dims)),
            });
        }
        at += dim(own, axis) as i64;
    }
    Ok(vec![b.assemble(&call.name, &sources, dims, 0.0, &parts)?])
}

pub(super) fn split(b: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(2, &["axis", "split", "num_outputs"])?;
    let x = call.value(0)?;
    let axis = axis_of(call.int("axis", 0)?, x.dims().len())?;
    let (size, outputs) = (dim(x.dims(), axis), call.node.output.len());
    let sizes: Vec<usize> = match call.ints_or(1, "split")? {
        Some(sizes) => sizes
            .iter()
            .map(|&n| usize::try_from(n).map_err(|_| format!("a part of {n} elements")))
            .collect::<Result<_, _>>()?,
        None => {
            let asked = call.int("num_outputs", outputs as i64)?;
            let part = if outputs > 0 { size.div_ceil(outputs) } else { 0 };
            // Since version 18 the last part may be smaller.
            let uneven = outputs == 0 || (call.opset < 18 && !size.is_multiple_of(outputs));
            if asked != outputs as i64 || uneven || part * (outputs - 1) >= size {
                return Err(format!(
                    "{size} elements do not split into {asked} parts for {outputs} outputs"
                ));
            }
            (0..outputs).map(|i| part.min(size - i * part)).collect()
        }
    };
    let whole = sizes.iter().try_fold(0_usize, |n, &s| n.checked_add(s));
    if sizes.len() != outputs || whole != Some(size) {
        return Err(format!("parts {sizes:?} do not make {size} elements in {outputs} outputs"));
    }
    let mut at = 0;
    let part = |&n: &usize| {
        let from = at * stride(x.dims(), axis);
        at += n as i64;
        copied(b, call, x, with(x.dims(), axis, n), from, &strides(x.dims()))
    };
    sizes.iter().map(part).collect()
}

pub(super) fn pad(b: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(4, &["mode", "pads", "value"])?;
    let mode = call.text("mode", "constant")?;
    let x = call.value(0)?;
    let rank = x.dims().len();
    let pads = call.ints_or(1, "pads")?.ok_or("its pads are missing")?;
    let fill = match call.optional_constant(2)? {
        Some(value) if value.len() > 0 => value.scalar()?,
        _ => call.float("value", 0.0)?,
    };
    if !fill.is_finite() {
        return Err(format!("it pads with {fill}: a finite number is needed"));
    }
    let axes = call.optional_constant(3)?.map(Tensor::ints).transpose()?;
    let axes = axes_or_all(axes, rank)?;
    if pads.len() != 2 * axes.len() {
        return Err(format!("pads is {pads:?}: {} numbers are needed", 2 * axes.len()));
    }
    let (before, behind) = pads.split_at(axes.len());
    // What is inside, and where it starts in the source and in the target; negative pads cut off.
    let (mut dims, mut inside) = (x.dims().to_vec(), x.dims().to_vec());
    let (mut from, mut starts) = (0, vec![0; rank]);
    for ((&axis, &front), &back) in axes.iter().zip(before).zip(behind) {
        let size = dim(x.dims(), axis) as i64;
        let padded = size.checked_add(front).and_then(|n| n.checked_add(back)).filter(|&n| n > 0);
        let left = size.saturating_add(front.min(0)).saturating_add(back.min(0));
        let (Some(padded), 1..) = (padded, left) else {
            return Err(format!(
                "pads {front} and {back} around a dimension of {size} are not supported"
            ));
        };
        dims = with(&dims, axis, padded as usize);
        inside = with(&inside, axis, left as usize);
        from += (-front).max(0) * stride(x.dims(), axis);
        starts.get_mut(axis).into_iter().for_each(|s| *s = front.max(0));
    }
    super::call::possible(&dims)?;
    if mode != "constant" {
        let mut x = x.clone();
        for ((&axis, &front), &back) in axes.iter().zip(before).zip(behind) {
            let list = reflected(&mode, dim(x.dims(), axis) as i64, front, back)
                .ok_or_else(|| format!("mode {mode} is not known"))?;
            x = along(b, &call.name, &x, axis, &list, 0.0)?;
        }
        return one(x);
    }
    let places = strides(&dims);
    let to = starts.iter().zip(&places).map(|(s, p)| s * p).sum();
    let loops = Loops::new(&inside, from, &strides(x.dims()), to, &places);
    one(b.assemble(&call.name, &[x], dims, fill, &[Part { source: 0, loops }])?)
}

pub(super) fn expand(b: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(2, &[])?;
    let x = call.value(0)?;
    let shape = call.constant(1)?.ints()?;
    let target = shape
        .iter()
        .map(|&d| usize::try_from(d))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| format!("shape {shape:?} is not valid"))?;
    let dims = super::build::joint(x.dims(), &target)?;
    let steps = stretched(x.dims(), &dims);
    Ok(vec![copied(b, call, x, dims, 0, &steps)?])
}
