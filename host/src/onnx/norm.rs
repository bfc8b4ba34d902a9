//! Normalisations, and Softmax inside a network: sums and products, with curves for roots,
//! reciprocals and exponentials of the few numbers that they take.

use super::build::Builder;
use super::call::{Call, Computed, Outputs, Value, axis_of, one};
use super::elementwise::multiply;
use super::functions::function;
use super::moves::{Moved, placed};
use super::reduce::{over, reduced};
use super::tensor::{Tensor, count};
use super::views::{Loops, strides};
use crate::network::{Binary, Chain, Node, PerElement, Piece, Unary, Work};

/// What is added to a number below this is a mask.
const MASK: f64 = -1e3;

/// No norm is less.
const LEAST: f64 = 1e-12;

/// `1 / √(x + ε)`.
fn inverse_root(
    b: &mut Builder,
    name: &str,
    x: &Computed,
    epsilon: f64,
) -> Result<Computed, String> {
    function(b, name, x, |chain| {
        chain.scaled(1.0, epsilon)?.unary(Unary::Sqrt)?.unary(Unary::Reciprocal)
    })
}

/// `x` less its mean over `axes`, if that is wanted, divided by the root of its mean square.
fn normalised(
    b: &mut Builder,
    name: &str,
    x: &Computed,
    axes: &[usize],
    (centred, epsilon): (bool, f64),
) -> Result<Computed, String> {
    let x = if centred {
        let mean = reduced(b, name, "ReduceMean", x, axes, true)?;
        b.sum(name, &[(1.0, x), (-1.0, &mean)])?
    } else {
        x.clone()
    };
    let square = b.product(name, &x, &x)?;
    let variance = reduced(b, name, "ReduceMean", &square, axes, true)?;
    let inverse = inverse_root(b, name, &variance, epsilon)?;
    multiply(b, name, &x, &inverse)
}

/// Times and plus constants of a shape that broadcasts.
fn stretched(
    b: &mut Builder,
    name: &str,
    x: &Computed,
    (scale, bias): (Option<&Tensor>, Option<&Tensor>),
) -> Result<Computed, String> {
    let at = |c: Option<&Tensor>, neutral: f64| {
        c.map_or(Ok(PerElement::One(neutral)), |c| c.broadcast(&x.dims))
    };
    b.affine(name, x, at(scale, 1.0)?, at(bias, 0.0)?)
}

/// LayerNormalization and RMSNormalization: over all dimensions from the axis on.
pub(super) fn layer(b: &mut Builder, call: &Call<'_>) -> Outputs {
    let centred = call.op() == "LayerNormalization";
    call.only(if centred { 3 } else { 2 }, &["axis", "epsilon", "stash_type"])?;
    let x = call.computed(0)?;
    let rank = x.dims.len();
    let axis = axis_of(call.int("axis", -1)?, rank)?;
    let axes: Vec<usize> = (axis..rank).collect();
    let form = (centred, call.float("epsilon", 1e-5)?);
    let made = normalised(b, &call.name, x, &axes, form)?;
    let constants = (call.optional_constant(1)?, call.optional_constant(2)?);
    one(stretched(b, &call.name, &made, constants)?)
}

/// GroupNormalization and InstanceNormalization, which has a group for each channel.
pub(super) fn group(b: &mut Builder, call: &Call<'_>) -> Outputs {
    let instance = call.op() == "InstanceNormalization";
    call.only(3, if instance { &["epsilon"] } else { &["epsilon", "num_groups", "stash_type"] })?;
    let x = call.computed(0)?;
    let &[batch, channels, ref image @ ..] = &x.dims[..] else {
        return Err(format!("shape {:?} has no channels", x.dims));
    };
    let groups = if instance { channels as i64 } else { call.int("num_groups", 0)? };
    let groups = usize::try_from(groups).ok().filter(|&g| g > 0 && channels.is_multiple_of(g));
    let groups = groups.ok_or_else(|| format!("{channels} channels do not make these groups"))?;
    let inner = count(image).unwrap_or(1);
    let rows = x.shaped(vec![batch * groups, channels / groups * inner]);
    let form = (true, call.float("epsilon", 1e-5)?);
    let made = normalised(b, &call.name, &rows, &[1], form)?.shaped(x.dims.clone());
    // One for each channel, or for each group in version 18.
    let each = |i: usize| -> Result<Tensor, String> {
        let c = call.constant(i)?;
        let repeat = if c.len() == groups && c.len() != channels { channels / groups } else { 1 };
        if c.len() * repeat != channels {
            return Err(format!("input {i} has shape {:?}, {channels} numbers are needed", c.dims));
        }
        let all = c.numbers().into_iter().flat_map(|c| core::iter::repeat_n(c, repeat)).collect();
        Ok(c.with([&[channels], &vec![1; image.len()][..]].concat(), all))
    };
    let (scale, bias) = (each(1)?, each(2)?);
    one(stretched(b, &call.name, &made, (Some(&scale), Some(&bias)))?)
}

/// Over batch and image, without constants.
pub(super) fn mean_variance(b: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(1, &["axes"])?;
    let x = call.computed(0)?;
    let axes = super::call::axes_of(call.ints("axes")?.unwrap_or(&[0, 2, 3]), x.dims.len())?;
    one(normalised(b, &call.name, x, &axes, (true, 1e-9))?)
}

/// Divided by the sum of the absolute values, or the root of the sum of the squares, along an axis.
pub(super) fn lp(b: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(1, &["axis", "p"])?;
    let (x, name) = (call.computed(0)?, &call.name);
    let axis = axis_of(call.int("axis", -1)?, x.dims.len())?;
    let norm = match call.int("p", 2)? {
        1 => "ReduceL1",
        2 => "ReduceL2",
        other => return Err(format!("p is {other}: 1 and 2 are supported")),
    };
    let norm = reduced(b, name, norm, x, &[axis], true)?;
    // Nothing but zeros stays so.
    let inverse = function(b, name, &norm, |chain| {
        chain.binary(Binary::Max, &Chain::constant(LEAST))?.unary(Unary::Reciprocal)
    })?;
    one(multiply(b, name, x, &inverse)?)
}

/// `x / (bias + α/size · Σ x²)^β`, summed over neighbouring channels.
pub(super) fn local_response(b: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(1, &["alpha", "beta", "bias", "size"])?;
    let (x, name) = (call.computed(0)?, &call.name);
    let &[batch, channels, ref image @ ..] = &x.dims[..] else {
        return Err(format!("shape {:?} has no channels", x.dims));
    };
    let size = call.int("size", 0)?;
    if !(1..1 << 10).contains(&size) {
        return Err(format!("size is {size}: 1 to 1023 are supported"));
    }
    let (alpha, beta) = (call.float("alpha", 1e-4)?, call.float("beta", 0.75)?);
    let bias = call.float("bias", 1.0)?;
    let square = b.product(name, x, x)?;
    let inner = count(image).unwrap_or(1);
    let mut pieces = Vec::new();
    // Each channel is added to those that are near enough.
    for shift in -((size - 1) / 2)..=size / 2 {
        let n = channels as i64 - shift.abs();
        if n <= 0 {
            continue;
        }
        let dims = [batch, n as usize * inner];
        let hop = [(channels * inner) as i64, 1];
        let at = |channel: i64| channel * inner as i64;
        let loops = Loops::new(&dims, at(shift.max(0)), &hop, at((-shift).max(0)), &hop);
        pieces.extend(loops.views()?.into_iter().map(|view| Piece { input: 0, factor: 1.0, view }));
    }
    let sum = Computed::new(b.arrange(name, vec![square.id], x.len(), pieces)?, x.dims.clone());
    let scale = function(b, name, &sum, |chain| {
        let base = chain.scaled(alpha / size as f64, bias)?;
        base.binary(Binary::Pow, &Chain::constant(-beta))
    })?;
    one(multiply(b, name, x, &scale)?)
}

/// Softmax whose results are computed with: exponentials of what is less than the largest, and the
/// reciprocal of their sum.
pub(super) fn softmax(
    b: &mut Builder,
    call: &Call<'_>,
    x: &Computed,
    axes: &[usize],
) -> Result<Computed, String> {
    let name = &call.name;
    let (x, mask) = unmasked(b, name, x, axes)?;
    let most = reduced(b, name, "ReduceMax", &x, axes, true)?;
    let less = b.sum(name, &[(1.0, &x), (-1.0, &most)])?;
    let mut powers = function(b, name, &less, |chain| chain.unary(Unary::Exp))?;
    if let Some(mask) = mask {
        let kept = |i: usize| (mask.get(i) == Some(&false)).then_some(i);
        let moved = Moved::new(b, x.dims.clone(), kept)?;
        let left = placed(b, name, &[&powers.into()], moved, 0.0)?;
        powers = left.number()?.clone();
    }
    let sum = reduced(b, name, "ReduceSum", &powers, axes, true)?;
    if call.op() == "LogSoftmax" {
        let log = function(b, name, &sum, |chain| chain.unary(Unary::Log))?;
        return b.sum(name, &[(1.0, &less), (-1.0, &log)]);
    }
    let inverse = function(b, name, &sum, |chain| chain.unary(Unary::Reciprocal))?;
    multiply(b, name, &powers, &inverse)
}

/// `x` without the large negative numbers that a mask added, each replaced by an element of its row
/// that is not masked; and which they were.
fn unmasked(
    b: &mut Builder,
    name: &str,
    x: &Computed,
    axes: &[usize],
) -> Result<(Computed, Option<Vec<bool>>), String> {
    let node = x.id.checked_sub(1).and_then(|i| b.nodes.get(i));
    if matches!(node, Some(Node { work: Work::Affine(_, PerElement::One(o)), .. }) if *o <= MASK) {
        return Err("its mask leaves nothing of a row".into());
    }
    let Some(Node { work: Work::Affine(scale, PerElement::Each(offsets)), inputs, .. }) = node
    else {
        return Ok((x.clone(), None));
    };
    if offsets.iter().all(|&o| o > MASK) {
        return Ok((x.clone(), None));
    }
    let mask: Vec<bool> = offsets.iter().map(|&o| o <= MASK).collect();
    let rest = offsets.iter().map(|&o| if o <= MASK { 0.0 } else { o }).collect::<Vec<_>>();
    let rest =
        if rest.iter().all(|&o| o == 0.0) { PerElement::One(0.0) } else { PerElement::Each(rest) };
    let (scale, before) = (scale.clone(), inputs.first().copied().unwrap_or(0));
    let clear = b.affine(name, &Computed::new(before, x.dims.clone()), scale, rest)?;
    // The first of each row that is not masked.
    let (hops, dims) = (strides(&x.dims), &x.dims);
    let row = |i: usize| -> usize {
        let along = axes.iter().map(|&a| {
            let hop = hops.get(a).copied().unwrap_or(1) as usize;
            i / hop % dims.get(a).copied().unwrap_or(1) * hop
        });
        i - along.sum::<usize>()
    };
    let mut firsts = std::collections::HashMap::new();
    for (i, _) in mask.iter().enumerate().filter(|(_, masked)| !**masked) {
        firsts.entry(row(i)).or_insert(i);
    }
    if (0..mask.len()).any(|i| !firsts.contains_key(&row(i))) {
        return Err("its mask leaves nothing of a row".into());
    }
    let from = |i: usize| {
        if mask.get(i) == Some(&true) { firsts.get(&row(i)).copied() } else { Some(i) }
    };
    let moved = Moved::new(b, x.dims.clone(), from)?;
    let value: Value = clear.into();
    let clear = placed(b, name, &[&value], moved, 0.0)?;
    Ok((clear.number()?.clone(), Some(mask)))
}

/// Axes of a Softmax: before version 13 all from its axis on are one.
pub(super) fn softmax_axes(call: &Call<'_>, rank: usize) -> Result<Vec<usize>, String> {
    let old = call.opset < 13;
    let axis = axis_of(call.int("axis", if old { 1 } else { -1 })?, rank)?;
    Ok(if old { (axis..rank).collect() } else { vec![axis] })
}

/// Softmax: dropped at the end, computed inside.
pub(super) fn soft(b: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(1, &["axis"])?;
    let x = call.computed(0)?;
    let axes = softmax_axes(call, x.dims.len())?;
    if call.last && over(x, &axes) {
        return super::reduce::dropped(b, call, x);
    }
    one(softmax(b, call, x, &axes)?)
}
