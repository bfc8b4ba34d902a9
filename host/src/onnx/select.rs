//! Comparisons, and what chooses by them: Where, tables by index, the largest few.

use super::build::{Builder, joint};
use super::call::{Call, Computed, Kind, Outputs, Value, axis_of, one, possible};
use super::elementwise::{bent, multiply};
use super::functions::{Traced, approximated, both, inverse, traced};
use super::moves::masked;
use super::tensor::{Tensor, count};
use super::views::{Loops, listed, strides};
use crate::network::{Activation, Binary, Chain, Curve, Node, PerElement, Piece, TensorId, Work};

const ONE: PerElement = PerElement::One(1.0);
const ZERO: PerElement = PerElement::One(0.0);

/// Most rows of a table that is looked up by computed indices.
const MAX_ROWS: usize = 1024;
/// Most elements that are sorted.
const MAX_SORTED: usize = 64;

/// Greater, Less and their kin: 1 where the difference is positive.
pub(super) fn compare(b: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(2, &[])?;
    let name = &call.name;
    let (x, y) = (call.value(0)?, call.value(1)?);
    let (sign, open) = match call.op() {
        "Greater" => (1.0, true),
        "Less" => (-1.0, true),
        "GreaterOrEqual" => (-1.0, false),
        "LessOrEqual" => (1.0, false),
        _ => {
            return Err("whether two computed numbers are equal is not supported, as they are \
                        rounded: compare them with Greater or Less"
                .into());
        }
    };
    let difference = match (x, y) {
        (Value::Constant(c), x) => less(b, name, x.number()?, c, -sign)?,
        (x, Value::Constant(c)) => less(b, name, x.number()?, c, sign)?,
        (x, y) => b.sum(name, &[(sign, x.number()?), (-sign, y.number()?)])?,
    };
    let step = b.activation(name, &difference, Activation::Step)?;
    let step = if open { step } else { b.scaled(name, &step, -1.0, 1.0)? };
    one(Computed { kind: Kind::Truth, ..step })
}

/// `sign · (x − c)`; of a rising curve, its argument is compared instead, which is cheaper and
/// exact.
fn less(
    b: &mut Builder,
    name: &str,
    x: &Computed,
    c: &Tensor,
    sign: f64,
) -> Result<Computed, String> {
    let dims = joint(&x.dims, &c.dims)?;
    let c = c.broadcast(&dims)?;
    if let (PerElement::One(c), Some((curve, of))) = (&c, curve_of(&b.nodes, x.id))
        && let Some(c) = inverse(curve, *c)
    {
        return b.scaled(name, &Computed::new(of, dims), sign, -sign * c);
    }
    let x = b.stretch(name, x, &dims)?;
    b.affine(name, &x, PerElement::One(sign), c.map(|c| -sign * c))
}

/// The curve that makes a tensor, and of which one.
fn curve_of(nodes: &[Node], id: TensorId) -> Option<(Curve, TensorId)> {
    match nodes.get(id.checked_sub(1)?)? {
        Node { work: Work::Activation(Activation::Curve(curve)), inputs, .. } => {
            Some((*curve, *inputs.first()?))
        }
        _ => None,
    }
}

/// And, Or and Xor of what is 1 or 0.
pub(super) fn logic(b: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(2, &[])?;
    let name = &call.name;
    let made = match (call.value(0)?, call.value(1)?) {
        (Value::Constant(c), x) | (x, Value::Constant(c)) => {
            let x = x.number()?;
            let dims = joint(&x.dims, &c.dims)?;
            let (x, c) = (b.stretch(name, x, &dims)?, c.broadcast(&dims)?);
            let c = c.map(|c| f64::from(c != 0.0));
            let (scale, offset) = match call.op() {
                "And" => (c, ZERO),
                "Or" => (c.map(|c| 1.0 - c), c),
                _ => (c.map(|c| 1.0 - 2.0 * c), c),
            };
            b.affine(name, &x, scale, offset)?
        }
        (x, y) => {
            let (x, y) = (x.number()?, y.number()?);
            let dims = joint(&x.dims, &y.dims)?;
            let (x, y) = (&b.stretch(name, x, &dims)?, &b.stretch(name, y, &dims)?);
            let product = b.product(name, x, y)?;
            let factor = match call.op() {
                "And" => return one(Computed { kind: Kind::Truth, ..product }),
                "Or" => -1.0,
                _ => -2.0,
            };
            b.sum(name, &[(1.0, x), (1.0, y), (factor, &product)])?
        }
    };
    one(Computed { kind: Kind::Truth, ..made })
}

/// A tensor as `scale · base + offset`; a constant is of any base.
#[derive(Clone, Copy, Debug)]
struct Line {
    base: Option<TensorId>,
    scale: f64,
    offset: f64,
}

fn line(nodes: &[Node], mut id: TensorId) -> Line {
    let (mut scale, mut offset) = (1.0, 0.0);
    while let Some(Node {
        work: Work::Affine(PerElement::One(s), PerElement::One(o)), inputs, ..
    }) = id.checked_sub(1).and_then(|i| nodes.get(i))
        && let Some(&before) = inputs.first()
    {
        (scale, offset, id) = (scale * s, scale * o + offset, before);
    }
    Line { base: Some(id), scale, offset }
}

/// A condition as `z > at` of a tensor, or as its opposite.
fn threshold(nodes: &[Node], condition: TensorId) -> Option<(TensorId, f64, bool)> {
    let outer = line(nodes, condition);
    let yes = match (outer.scale, outer.offset) {
        (1.0, 0.0) => true,
        (-1.0, 1.0) => false,
        _ => return None,
    };
    let Node { work: Work::Activation(Activation::Step), inputs, .. } =
        nodes.get(outer.base?.checked_sub(1)?)?
    else {
        return None;
    };
    // scale·z + offset > 0.
    let Line { base, scale, offset } = line(nodes, *inputs.first()?);
    let (z, at) = (base?, -offset / scale);
    // A falling line: z < at, which differs from the opposite of z > at in one point only.
    (scale != 0.0).then_some((z, at, yes == (scale > 0.0)))
}

/// `condition ? x : y`.
pub(super) fn choose(b: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(3, &[])?;
    let name = &call.name;
    let (x, y) = (call.value(1)?, call.value(2)?);
    let condition = match call.value(0)? {
        Value::Constant(mask) => return one(masked(b, name, mask, (&finite(x), &finite(y)))?),
        condition => condition.number()?,
    };
    let dims = joint(&joint(&condition.dims, x.dims())?, y.dims())?;
    possible(&dims)?;
    if let Some(made) = bent_line(b, name, condition, (x, y), &dims)? {
        return one(made);
    }
    if let Some(made) = one_curve(b, name, condition, (x, y), &dims)? {
        return one(made);
    }
    // y + condition · (x − y).
    let difference = match (x, y) {
        (Value::Constant(x), Value::Constant(y)) => {
            let (x, y) = (x.broadcast(&dims)?, y.broadcast(&dims)?);
            let condition = b.stretch(name, condition, &dims)?;
            return one(b.affine(name, &condition, x.zip(&y, |x, y| x - y), y)?);
        }
        (x, y) => {
            let (x, y) = (at_shape(b, name, x, &dims)?, at_shape(b, name, y, &dims)?);
            (b.sum(name, &[(1.0, &x), (-1.0, &y)])?, y)
        }
    };
    let chosen = multiply(b, name, condition, &difference.0)?;
    one(b.sum(name, &[(1.0, &difference.1), (1.0, &chosen)])?)
}

/// The least float for what is not a number to compute with: what masks are filled with.
fn finite(value: &Value) -> Value {
    match value {
        Value::Constant(c) if c.numbers().contains(&f64::NEG_INFINITY) => {
            let most = f64::from(f32::MIN);
            let all = c.numbers().into_iter();
            c.like(all.map(|x| if x == f64::NEG_INFINITY { most } else { x }).collect()).into()
        }
        other => other.clone(),
    }
}

/// A tensor of shape `dims`; a constant becomes 0 times something computed, plus itself.
fn at_shape(
    b: &mut Builder,
    name: &str,
    value: &Value,
    dims: &[usize],
) -> Result<Computed, String> {
    match value {
        Value::Computed(_) => b.stretch(name, value.number()?, dims),
        Value::Constant(c) => {
            let of = Computed::new(0, vec![b.len(0)]);
            let one =
                Loops::new(&vec![1; dims.len()], 0, &vec![0; dims.len()], 0, &vec![0; dims.len()]);
            let one = b.copy(name, &of, vec![1; dims.len()], 0.0, &one)?;
            let wide = b.stretch(name, &one, dims)?;
            b.affine(name, &wide, ONE, c.broadcast(dims)?)
        }
    }
}

/// Two lines of the tensor that decides, exactly: what bends in one point, and perhaps jumps.
fn bent_line(
    b: &mut Builder,
    name: &str,
    condition: &Computed,
    (x, y): (&Value, &Value),
    dims: &[usize],
) -> Result<Option<Computed>, String> {
    let Some((z, at, above)) = threshold(&b.nodes, condition.id) else { return Ok(None) };
    let len = count(dims).unwrap_or(0);
    let of = |value: &Value| match value {
        Value::Constant(c) => match c.broadcast(dims).ok()? {
            PerElement::One(offset) => Some(Line { base: None, scale: 0.0, offset }),
            PerElement::Each(_) => None,
        },
        Value::Computed(x) => {
            Some(line(&b.nodes, x.id)).filter(|l| x.len() == len && l.base == Some(z))
        }
    };
    let (Some(x), Some(y)) = (of(x), of(y)) else { return Ok(None) };
    if condition.len() != len || x.base.is_none() && y.base.is_none() {
        return Ok(None);
    }
    let (high, low) = if above { (x, y) } else { (y, x) };
    let z = Computed::new(z, dims.to_vec());
    let moved = b.scaled(name, &z, 1.0, -at)?;
    // From the point where it bends, on either side.
    let start = low.scale * at + low.offset;
    let jump = high.scale * at + high.offset - start;
    let made = if low.scale == 0.0 || high.scale != 1.0 {
        let relu = b.activation(name, &moved, Activation::Relu)?;
        if low.scale == 0.0 {
            b.scaled(name, &relu, high.scale, start)?
        } else {
            let sum = b.sum(name, &[(low.scale, &moved), (high.scale - low.scale, &relu)])?;
            b.scaled(name, &sum, 1.0, start)?
        }
    } else {
        let leaky = bent(b, name, &moved, &PerElement::One(low.scale))?;
        b.scaled(name, &leaky, 1.0, start)?
    };
    if jump.abs() <= 1e-6 * (1.0 + start.abs()) {
        return Ok(Some(made));
    }
    let step = b.activation(name, &moved, Activation::Step)?;
    b.sum(name, &[(1.0, &made), (jump, &step)]).map(Some)
}

/// All three functions of one tensor: a curve.
fn one_curve(
    b: &mut Builder,
    name: &str,
    condition: &Computed,
    (x, y): (&Value, &Value),
    dims: &[usize],
) -> Result<Option<Computed>, String> {
    let len = count(dims).unwrap_or(0);
    let from = traced(&b.nodes, condition.id);
    let of = |value: &Value| match value {
        Value::Constant(c) => match c.broadcast(dims).ok()? {
            PerElement::One(c) => Some(Traced { chain: Chain::constant(c), ..from.clone() }),
            PerElement::Each(_) => None,
        },
        Value::Computed(x) => Some(traced(&b.nodes, x.id)).filter(|_| x.len() == len),
    };
    let (Some(x), Some(y)) = (of(x), of(y)) else { return Ok(None) };
    if condition.len() != len || x.base != from.base || y.base != from.base {
        return Ok(None);
    }
    // A jump is a step of its own.
    if let Some((z, at, _)) = threshold(&b.nodes, condition.id) {
        let (high, low) = (x.chain.at(at), y.chain.at(at));
        if z != from.base || (high - low).abs() > 1e-4 * (1.0 + high.abs()) {
            return Ok(None);
        }
    }
    let Some(chain) = from.chain.select(&x.chain, &y.chain) else { return Ok(None) };
    // Only what is a curve by itself: steps between constants stay exact.
    if both(&x, &y, Binary::Add).is_none_or(|sum| !sum.curved) {
        return Ok(None);
    }
    let base = Computed::new(from.base, dims.to_vec());
    approximated(b, name, &base, chain).map(Some)
}

/// A table looked up by computed indices: for every row of the table, whether it is the one.
pub(super) fn looked_up(
    b: &mut Builder,
    call: &Call<'_>,
    table: &Value,
    indices: &Computed,
) -> Outputs {
    let Value::Constant(table) = table else {
        return Err("both its table and its indices are computed: one must be a constant".into());
    };
    let axis = axis_of(call.int("axis", 0)?, table.dims.len())?;
    let &[rows, ref inner @ ..] = &table.dims[..] else {
        return Err("its table is one number".into());
    };
    if axis != 0 || !(2..=MAX_ROWS).contains(&rows) {
        return Err(format!(
            "computed indices into a table of shape {:?} along axis {axis}: 2 to {MAX_ROWS} rows \
             along axis 0 are supported, as every index is compared with every row; look the rows \
             up before (a linear layer on one-hot inputs)",
            table.dims
        ));
    }
    let name = &call.name;
    let (n, width) = (indices.len(), inner.iter().product::<usize>());
    b.count_constant(possible(&[n, rows])?)?;
    // Whether an index is at least 1, 2, ….
    let steps = rows - 1;
    let column = Computed::new(indices.id, vec![n, 1]);
    let wide = b.stretch(name, &column, &[n, steps])?;
    let limits = (0..n * steps).map(|i| -0.5 - (i % steps) as f64).collect();
    let wide = b.affine(name, &wide, ONE, PerElement::Each(limits))?;
    let least = b.activation(name, &wide, Activation::Step)?;
    // Row i: at least i, but not i + 1.
    let dims = [n, steps];
    let part = |factor: f64, to: i64| -> Result<Vec<Piece>, String> {
        let loops = Loops::new(&dims, 0, &strides(&dims), to, &strides(&[n, rows]));
        Ok(loops.views()?.into_iter().map(|view| Piece { input: 0, factor, view }).collect())
    };
    let pieces = [part(1.0, 1)?, part(-1.0, 0)?].concat();
    let hot = Computed::new(b.arrange(name, vec![least.id], n * rows, pieces)?, vec![n, rows]);
    let first = (0..n * rows).map(|i| f64::from(i % rows == 0)).collect();
    let hot = b.affine(name, &hot, ONE, PerElement::Each(first))?;
    let matrix = Tensor { dims: vec![rows, width], ..Tensor::clone(table) };
    let made = super::matrix::multiplied(b, name, &hot.into(), &matrix.into())?;
    one(made.shaped([&indices.dims[..], inner].concat()))
}

/// The largest or least few of each row, in order.
pub(super) fn top_k(b: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(2, &["axis", "k", "largest", "sorted"])?;
    let x = call.computed(0)?;
    let axis = axis_of(call.int("axis", -1)?, x.dims.len())?;
    let k = match call.optional_constant(1)? {
        Some(k) => k.scalar()? as i64,
        None => call.int("k", 0)?,
    };
    let n = x.dims.get(axis).copied().unwrap_or(1);
    let k = usize::try_from(k).ok().filter(|k| (1..=n).contains(k));
    let k = k.ok_or_else(|| format!("it takes more or less than there are: {n}"))?;
    if axis + 1 != x.dims.len() || n > MAX_SORTED && k > 1 {
        return Err(format!(
            "the largest {k} of {n} along axis {axis}: the last axis of at most {MAX_SORTED} \
             elements is supported"
        ));
    }
    let largest = call.flag("largest", true)?;
    let sorted = sorted(b, &call.name, x, n, k, largest)?;
    let mut dims = x.dims.clone();
    dims.get_mut(axis).into_iter().for_each(|d| *d = k);
    let mut made = vec![sorted.shaped(dims.clone()).into()];
    if k == 1 && largest && n == x.len() {
        let kind = Kind::Index(call.described.as_str().into());
        made.push(Computed { kind, ..x.shaped(dims) }.into());
    }
    Ok(made)
}

/// Which places are compared, stage by stage: Batcher's merges of odd and even places, as far as
/// the first `k` need them.
fn comparators(n: usize, k: usize) -> Vec<Vec<(usize, usize)>> {
    let mut stages = Vec::new();
    let full = n.next_power_of_two();
    let mut p = 1;
    while p < full {
        let mut q = p;
        while q >= 1 {
            let pairs =
                (q % p..full - q).step_by(2 * q).flat_map(|j| (j..j + q).map(|i| (i, i + q)));
            let pairs = pairs.filter(|&(i, j)| j < n && i / (2 * p) == j / (2 * p));
            stages.push(pairs.collect::<Vec<_>>());
            q /= 2;
        }
        p *= 2;
    }
    let mut wanted = vec![false; n];
    wanted.iter_mut().take(k).for_each(|w| *w = true);
    for stage in stages.iter_mut().rev() {
        stage.retain(|&(i, j)| wanted.get(i) == Some(&true) || wanted.get(j) == Some(&true));
        for &(i, j) in stage.iter() {
            [i, j]
                .into_iter()
                .for_each(|at| wanted.get_mut(at).into_iter().for_each(|w| *w = true));
        }
    }
    stages.retain(|stage| !stage.is_empty());
    stages
}

/// Each pair `(a, b)` becomes `(a + r, b − r)` with `r = relu(b − a)`: the larger one first.
fn sorted(
    b: &mut Builder,
    name: &str,
    x: &Computed,
    n: usize,
    k: usize,
    largest: bool,
) -> Result<Computed, String> {
    let (len, sign) = (x.len(), if largest { 1.0 } else { -1.0 });
    let mut x = b.scaled(name, &x.shaped(vec![len]), sign, 0.0)?;
    for stage in comparators(n, k) {
        let pairs: Vec<(u32, u32)> = (0..len / n)
            .flat_map(|row| {
                stage.iter().map(move |&(i, j)| ((row * n + i) as u32, (row * n + j) as u32))
            })
            .collect();
        let pick = |of: fn(&(u32, u32)) -> u32| -> Result<_, String> {
            let moves: Vec<(u32, u32)> = pairs.iter().map(of).zip(0..).collect();
            listed(&moves, stage.len())
        };
        let (firsts, seconds) = (pick(|pair| pair.0)?, pick(|pair| pair.1)?);
        let piece = |input: usize, factor: f64| move |view| Piece { input, factor, view };
        let pieces = firsts.iter().copied().map(piece(0, -1.0));
        let pieces = pieces.chain(seconds.iter().copied().map(piece(0, 1.0))).collect();
        let difference = b.arrange(name, vec![x.id], pairs.len(), pieces)?;
        let difference = Computed::new(difference, vec![pairs.len()]);
        let more = b.activation(name, &difference, Activation::Relu)?;
        let whole = minionn_core::plan::View::whole(len as u32);
        let mut pieces = vec![Piece { input: 0, factor: 1.0, view: whole }];
        // The same views backwards: what was read is written.
        pieces.extend(firsts.into_iter().map(|view| piece(1, 1.0)(turned(view))));
        pieces.extend(seconds.into_iter().map(|view| piece(1, -1.0)(turned(view))));
        x = Computed::new(b.arrange(name, vec![x.id, more.id], len, pieces)?, vec![len]);
    }
    let rows = len / n;
    let dims = [rows, k];
    let loops = Loops::new(&dims, 0, &strides(&[rows, n]), 0, &strides(&dims));
    b.copy(name, &x, dims.to_vec(), sign, &loops)
}

/// A view whose source and target are exchanged.
const fn turned(view: minionn_core::plan::View) -> minionn_core::plan::View {
    minionn_core::plan::View {
        from: view.to,
        steps: view.strides,
        to: view.from,
        strides: view.steps,
        ..view
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_every_order_of_zeros_and_ones_are_sorted() {
        for n in 2..=12 {
            for k in 1..=n {
                let stages = comparators(n, k);
                for bits in 0..1_u32 << n {
                    let mut x: Vec<u32> = (0..n).map(|i| bits >> i & 1).collect();
                    for &(i, j) in stages.iter().flatten() {
                        (x[i], x[j]) = (x[i].max(x[j]), x[i].min(x[j]));
                    }
                    let ones = bits.count_ones() as usize;
                    assert!((0..k).all(|i| x[i] == u32::from(i < ones)), "{n} {k} {bits:b}");
                }
            }
        }
    }
}
