//! Sums, means and extremes over axes, and the ends of a network.

use super::build::Builder;
use super::call::{Call, Computed, Kind, Outputs, Value, axes_of, axis_of, one, possible};
use super::image::means;
use super::tensor::count;
use super::views::{Loops, strides};
use crate::network::Head;
use minionn_core::plan::Convolution;

/// ReduceSum, ReduceMean, ReduceMax and ReduceMin.
pub(super) fn reduce(b: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(2, &["axes", "keepdims", "noop_with_empty_axes"])?;
    let x = call.computed(0)?;
    let rank = x.dims.len();
    let keep = call.flag("keepdims", true)?;
    let axes = match call.ints_or(1, "axes")? {
        Some(axes) if !axes.is_empty() => axes_of(&axes, rank)?,
        _ if call.flag("noop_with_empty_axes", false)? => return one(x.clone()),
        _ => (0..rank).collect(),
    };
    let split =
        |inside: bool| -> Vec<usize> { (0..rank).filter(|a| axes.contains(a) == inside).collect() };
    let sizes = |of: &[usize]| -> Vec<usize> {
        of.iter().filter_map(|&a| x.dims.get(a).copied()).collect()
    };
    let (kept, gone) = (split(false), split(true));
    let dims: Vec<usize> = if keep {
        x.dims.iter().enumerate().map(|(i, &d)| if gone.contains(&i) { 1 } else { d }).collect()
    } else {
        sizes(&kept)
    };
    let n = count(&sizes(&gone)).unwrap_or(1);
    if n == 1 {
        return one(x.shaped(dims));
    }
    let means = if call.op() == "ReduceMean" { means(b, &call.name, x, &axes) } else { None };
    if let Some(id) = means.transpose()? {
        return one(Computed::new(id, dims));
    }
    let id = match call.op() {
        "ReduceSum" | "ReduceMean" => {
            let factor = if call.op() == "ReduceMean" { 1.0 / n as f64 } else { 1.0 };
            // What is summed is written to one place: strides of 0.
            let mut inner = strides(&sizes(&kept)).into_iter();
            let places: Vec<i64> = (0..rank)
                .map(|a| if gone.contains(&a) { 0 } else { inner.next().unwrap_or(0) })
                .collect();
            let loops = Loops::new(&x.dims, 0, &strides(&x.dims), 0, &places);
            b.copy(&call.name, x, sizes(&kept), factor, &loops)?.id
        }
        op => {
            let sign = if op == "ReduceMax" { 1.0 } else { -1.0 };
            let (rows, order) = (sizes(&kept), [&kept[..], &gone[..]].concat());
            let hops = strides(&x.dims);
            let steps: Vec<i64> = order.iter().filter_map(|&a| hops.get(a).copied()).collect();
            let loops = Loops::new(&sizes(&order), 0, &steps, 0, &strides(&sizes(&order)));
            let turned = b.copy(&call.name, x, sizes(&order), sign, &loops)?;
            let window = [possible(&rows)? as u32, 1, n as u32];
            let window = Convolution::window(window, [1, n as u32], [1; 2], [0; 4], [1; 2]);
            let pooled = Computed::new(b.max_pool(&call.name, turned.id, window)?, rows);
            b.scaled(&call.name, &pooled, sign, 0.0)?.id
        }
    };
    one(Computed::new(id, dims))
}

/// Refuses anything but dimensions from `axis` that hold the whole row: then it is a matter of
/// order only.
fn over_row(x: &Computed, axis: i64, all_behind: bool) -> Result<(), String> {
    let at = axis_of(axis, x.dims.len())?;
    let row = x.dims.get(at..).unwrap_or_default();
    let row = if all_behind { row.iter().product() } else { row.first().copied().unwrap_or(1) };
    if row == x.len() {
        Ok(())
    } else {
        Err(format!("axis {axis} of shape {:?} is not the whole row", x.dims))
    }
}

/// Dropped: what follows may only ask which output is largest.
pub(super) fn softmax(b: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(1, &["axis"])?;
    let x = call.computed(0)?;
    // Before version 13 all dimensions from the axis on are one.
    let old = call.opset < 13;
    over_row(x, call.int("axis", if old { 1 } else { -1 })?, old)?;
    let node = &call.described;
    let head = if call.op() == "LogSoftmax" { Head::LogSoftmax } else { Head::Softmax };
    b.dropped(node, head);
    one(Computed { kind: Kind::Scores(node.as_str().into()), ..x.clone() })
}

pub(super) fn arg_max(_: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(1, &["axis", "keepdims", "select_last_index"])?;
    let Value::Computed(x) = call.value(0)? else {
        return Err("it reads a constant, which is not supported".into());
    };
    if let Kind::Index(_) | Kind::Integer | Kind::Quantised(_) = x.kind {
        return Err("it needs numbers, not the result of an ArgMax or integers".into());
    }
    over_row(x, call.int("axis", 0)?, false)?;
    if call.flag("select_last_index", false)? {
        return Err(
            "select_last_index is not supported: of equal outputs, the first is taken".into()
        );
    }
    let rank = x.dims.len() - usize::from(!call.flag("keepdims", true)?);
    one(Computed {
        dims: vec![1; rank],
        kind: Kind::Index(call.described.as_str().into()),
        ..x.clone()
    })
}
