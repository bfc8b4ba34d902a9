//! Sums, means and extremes over axes, and the ends of a network.

use super::build::Builder;
use super::call::{Call, Computed, Kind, Outputs, Value, axes_of, axis_of, one, possible};
use super::functions::function;
use super::image::means;
use super::tensor::count;
use super::views::{Loops, strides};
use crate::network::{Activation, Head, PerElement, Piece, Unary};
use minionn_core::plan::{Convolution, View};

/// Most factors of a product.
const MAX_FACTORS: usize = 64;

/// ReduceSum, ReduceMax and their kin.
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
    one(reduced(b, &call.name, call.op(), x, &axes, keep)?)
}

/// What `op` makes of the elements along `axes`.
pub(super) fn reduced(
    b: &mut Builder,
    name: &str,
    op: &str,
    x: &Computed,
    axes: &[usize],
    keep: bool,
) -> Result<Computed, String> {
    let of = |b: &mut Builder, op: &str, x: &Computed| reduced(b, name, op, x, axes, keep);
    match op {
        "ReduceL1" => {
            let relu = b.activation(name, x, Activation::Relu)?;
            let size = b.sum(name, &[(2.0, &relu), (-1.0, x)])?;
            of(b, "ReduceSum", &size)
        }
        "ReduceSumSquare" => {
            let square = b.product(name, x, x)?;
            of(b, "ReduceSum", &square)
        }
        "ReduceL2" => {
            let sum = of(b, "ReduceSumSquare", x)?;
            function(b, name, &sum, |chain| chain.unary(Unary::Sqrt))
        }
        "ReduceLogSum" => {
            let sum = of(b, "ReduceSum", x)?;
            function(b, name, &sum, |chain| chain.unary(Unary::Log))
        }
        "ReduceLogSumExp" => {
            // Less the largest, so that no power is large.
            let most = reduced(b, name, "ReduceMax", x, axes, true)?;
            let less = b.sum(name, &[(1.0, x), (-1.0, &most)])?;
            let powers = function(b, name, &less, |chain| chain.unary(Unary::Exp))?;
            let log = of(b, "ReduceLogSum", &powers)?;
            b.sum(name, &[(1.0, &log), (1.0, &most.shaped(log.dims.clone()))])
        }
        op => plain(b, name, op, x, axes, keep),
    }
}

/// Sums, means, products and extremes.
fn plain(
    b: &mut Builder,
    name: &str,
    op: &str,
    x: &Computed,
    axes: &[usize],
    keep: bool,
) -> Result<Computed, String> {
    let rank = x.dims.len();
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
        return Ok(x.shaped(dims));
    }
    let means = if op == "ReduceMean" { means(b, name, x, axes) } else { None };
    if let Some(id) = means.transpose()? {
        return Ok(Computed::new(id, dims));
    }
    if let "ReduceSum" | "ReduceMean" = op {
        let factor = if op == "ReduceMean" { 1.0 / n as f64 } else { 1.0 };
        // What is summed is written to one place: strides of 0.
        let mut inner = strides(&sizes(&kept)).into_iter();
        let places: Vec<i64> = (0..rank)
            .map(|a| if gone.contains(&a) { 0 } else { inner.next().unwrap_or(0) })
            .collect();
        let loops = Loops::new(&x.dims, 0, &strides(&x.dims), 0, &places);
        return Ok(b.copy(name, x, sizes(&kept), factor, &loops)?.shaped(dims));
    }
    let sign = if op == "ReduceMin" { -1.0 } else { 1.0 };
    let (rows, order) = (sizes(&kept), [&kept[..], &gone[..]].concat());
    let hops = strides(&x.dims);
    let steps: Vec<i64> = order.iter().filter_map(|&a| hops.get(a).copied()).collect();
    let loops = Loops::new(&sizes(&order), 0, &steps, 0, &strides(&sizes(&order)));
    let turned = b.copy(name, x, sizes(&order), sign, &loops)?;
    if op == "ReduceProd" {
        return Ok(multiplied(b, name, &turned, n)?.shaped(dims));
    }
    let window = [possible(&rows)? as u32, 1, n as u32];
    let window = Convolution::window(window, [1, n as u32], [1; 2], [0; 4], [1; 2]);
    let pooled = Computed::new(b.max_pool(name, turned.id, window)?, rows);
    Ok(b.scaled(name, &pooled, sign, 0.0)?.shaped(dims))
}

/// The product of each row of `n`: half of the row times the other half, until one is left.
fn multiplied(b: &mut Builder, name: &str, x: &Computed, n: usize) -> Result<Computed, String> {
    if n > MAX_FACTORS {
        return Err(format!("a product of {n} elements: at most {MAX_FACTORS} are supported"));
    }
    let rows = x.len() / n;
    let (mut x, mut n) = (x.shaped(vec![rows, n]), n);
    while n > 1 {
        let (half, part) = (n.div_ceil(2), n / 2);
        let side = |b: &mut Builder, from: usize, size: usize| {
            let dims = [rows, size];
            let loops = Loops::new(&dims, from as i64, &[n as i64, 1], 0, &strides(&dims));
            b.copy(name, &x, dims.to_vec(), 1.0, &loops)
        };
        let (left, mut right) = (side(b, 0, half)?, side(b, half, part)?);
        if part < half {
            // The odd one is multiplied by 1.
            let dims = [rows, part];
            let wide = Loops::new(&dims, 0, &strides(&dims), 0, &strides(&[rows, half]));
            right = b.copy(name, &right, vec![rows, half], 1.0, &wide)?;
            let ones = (0..rows * half).map(|i| f64::from(i % half >= part)).collect();
            right = b.affine(name, &right, PerElement::One(1.0), PerElement::Each(ones))?;
        }
        (x, n) = (b.product(name, &left, &right)?, half);
    }
    Ok(x)
}

/// Running sums along an axis: each is added to the one 1, 2, 4, … places behind it.
pub(super) fn cumulative(b: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(2, &["exclusive", "reverse"])?;
    let (x, name) = (call.computed(0)?, &call.name);
    let axis = axis_of(call.constant(1)?.scalar()? as i64, x.dims.len())?;
    let (size, reverse) = (x.dims.get(axis).copied().unwrap_or(1), call.flag("reverse", false)?);
    let hops = strides(&x.dims);
    let hop = hops.get(axis).copied().unwrap_or(1);
    let shifted = |by: usize| -> Result<Vec<Piece>, String> {
        let mut dims = x.dims.clone();
        dims.get_mut(axis).into_iter().for_each(|d| *d = size - by);
        let far = hop * by as i64;
        let (from, to) = if reverse { (far, 0) } else { (0, far) };
        let views = Loops::new(&dims, from, &hops, to, &hops).views()?;
        Ok(views.into_iter().map(|view| Piece { input: 0, factor: 1.0, view }).collect())
    };
    let mut sum = x.id;
    let mut by = 1;
    while by < size {
        let mut pieces = shifted(by)?;
        pieces.push(Piece { input: 0, factor: 1.0, view: View::whole(x.len() as u32) });
        sum = b.arrange(name, vec![sum], x.len(), pieces)?;
        by *= 2;
    }
    if call.flag("exclusive", false)? {
        if size == 1 {
            return one(b.scaled(name, x, 0.0, 0.0)?);
        }
        sum = b.arrange(name, vec![sum], x.len(), shifted(1)?)?;
    }
    one(Computed::new(sum, x.dims.clone()))
}

/// Whether all elements lie along `axes`: then it is a matter of order only.
pub(super) fn over(x: &Computed, axes: &[usize]) -> bool {
    axes.iter().filter_map(|&a| x.dims.get(a)).product::<usize>() == x.len()
}

/// Refuses anything but dimensions from `axis` that hold the whole row: then it is a matter of
/// order only.
fn over_row(x: &Computed, axis: i64) -> Result<(), String> {
    if over(x, &[axis_of(axis, x.dims.len())?]) {
        Ok(())
    } else {
        Err(format!("axis {axis} of shape {:?} is not the whole row", x.dims))
    }
}

/// A Softmax at the end: what follows may only ask which output is largest.
pub(super) fn dropped(b: &mut Builder, call: &Call<'_>, x: &Computed) -> Outputs {
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
    over_row(x, call.int("axis", 0)?)?;
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
