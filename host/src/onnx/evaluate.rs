//! Nodes that read constants only: what exporters leave of shapes, masks, tables and scales is
//! computed while the file is read. What only moves elements is in `moves`, `copy` and `shape`.

use super::build::{Builder, joint};
use super::call::{Call, Outputs, Value, axes_of, axis_of, one, plausible};
use super::elementwise;
use super::fold;
use super::tensor::{Data, Tensor, count, source};
use super::views::strides;
use crate::network::{Binary, Unary};

/// What a node makes of constants; `None` if it is no node that this module computes.
pub(super) fn node(b: &mut Builder, call: &Call<'_>) -> Option<Outputs> {
    let given: Option<Vec<&Tensor>> = call
        .inputs
        .iter()
        .flatten()
        .map(|value| match value {
            Value::Constant(tensor) => Some(tensor.as_ref()),
            Value::Computed(_) => None,
        })
        .collect();
    let given = given?;
    let made = match call.op() {
        "Mod" => call.flag("fmod", false).and_then(|fmod| {
            binary(
                b,
                if fmod { Binary::Fmod } else { Binary::Mod },
                call.constant(0)?,
                call.constant(1)?,
            )
        }),
        "Max" | "Min" | "Sum" | "Mean" => variadic(b, call.op(), &given),
        "Clip" => clip(b, call),
        "LeakyRelu" => call.float("alpha", 0.01).and_then(|alpha| {
            let slope = Tensor { dims: vec![], data: Data::Float(vec![alpha as f32]) };
            binary(b, Binary::PRelu, call.constant(0)?, &slope)
        }),
        "Where" => select(b, call),
        "Range" => range(b, call),
        "MatMul" => mat_mul(b, call),
        "CumSum" => cumulative(b, call),
        "NonZero" => non_zero(b, call),
        "OneHot" => one_hot(b, call),
        "EyeLike" => eye(b, call),
        "ArgMax" | "ArgMin" => extreme_index(b, call),
        "Softmax" | "LogSoftmax" => soft(b, call),
        op if op.starts_with("Reduce") => reduce(b, call),
        op => match (Binary::named(op), Unary::named(op)) {
            (Some(function), _) => call
                .only(2, &[])
                .and_then(|()| binary(b, function, call.constant(0)?, call.constant(1)?)),
            (_, Some(function)) => {
                call.only(1, &[]).and_then(|()| unary(b, call.constant(0)?, function))
            }
            _ => match elementwise::form(call).transpose()? {
                Ok(form) => call.constant(0).and_then(|x| floats(b, x, |x| form.at(x))),
                Err(what) => Err(what),
            },
        },
    };
    Some(made.and_then(one))
}

/// A function of each number, as a float.
fn floats(b: &mut Builder, x: &Tensor, f: impl Fn(f64) -> f64) -> Result<Tensor, String> {
    b.count_constant(x.len())?;
    let numbers = x.numbers().into_iter().map(|x| f(x) as f32).collect();
    Ok(Tensor { dims: x.dims.clone(), data: Data::Float(numbers) })
}

fn unary(b: &mut Builder, x: &Tensor, function: Unary) -> Result<Tensor, String> {
    let truth = matches!(function, Unary::Not | Unary::IsInf | Unary::IsNan);
    let whole = matches!(function, Unary::Abs | Unary::Neg | Unary::Sign);
    let made = match &x.data {
        Data::Int(xs) if whole => {
            b.count_constant(x.len())?;
            let one = |&x: &i64| match function {
                Unary::Abs => x.checked_abs(),
                Unary::Neg => x.checked_neg(),
                _ => Some(x.signum()),
            };
            let ints = xs.iter().map(one).collect::<Option<_>>().ok_or("integers too large")?;
            Tensor { dims: x.dims.clone(), data: Data::Int(ints) }
        }
        _ => floats(b, x, |x| function.at(x))?,
    };
    Ok(if truth { fold::truth(made) } else { made })
}

/// `x op y`, broadcast.
pub(super) fn binary(
    builder: &mut Builder,
    function: Binary,
    a: &Tensor,
    b: &Tensor,
) -> Result<Tensor, String> {
    let dims = joint(&a.dims, &b.dims)?;
    let len = count(&dims).ok_or("it is too large")?;
    builder.count_constant(len)?;
    let at = |t: &Tensor, i| {
        source(i, &t.dims, dims.get(dims.len() - t.dims.len()..).unwrap_or_default())
    };
    if let (Data::Int(xs), Data::Int(ys)) = (&a.data, &b.data) {
        let one = |i| function.of_integers(*xs.get(at(a, i))?, *ys.get(at(b, i))?);
        let ints = (0..len)
            .map(one)
            .collect::<Option<_>>()
            .ok_or("integers that are too large, or a division by zero")?;
        return Ok(Tensor { dims, data: Data::Int(ints) });
    }
    let (xs, ys) = (a.numbers(), b.numbers());
    let one = |i| {
        let of = |xs: &[f64], i| xs.get(i).copied().unwrap_or(f64::NAN);
        function.at(of(&xs, at(a, i)), of(&ys, at(b, i))) as f32
    };
    let made = Tensor { data: Data::Float((0..len).map(one).collect()), dims };
    let truth = matches!(
        function,
        Binary::And
            | Binary::Equal
            | Binary::Greater
            | Binary::GreaterOrEqual
            | Binary::Less
            | Binary::LessOrEqual
            | Binary::Or
            | Binary::Xor
    );
    Ok(if truth { fold::truth(made) } else { made })
}

/// Any number of tensors, one after the other.
pub(super) fn variadic(b: &mut Builder, op: &str, all: &[&Tensor]) -> Result<Tensor, String> {
    let function = Binary::named(if op == "Mean" { "Sum" } else { op });
    let function = function.ok_or("it is no sum and no extreme")?;
    let (first, rest) = all.split_first().ok_or("it has no inputs")?;
    let mut made = Tensor::clone(first);
    for x in rest {
        made = binary(b, function, &made, x)?;
    }
    if op == "Mean" { floats(b, &made, |x| x / all.len() as f64) } else { Ok(made) }
}

fn clip(b: &mut Builder, call: &Call<'_>) -> Result<Tensor, String> {
    let mut x = call.constant(0)?.clone();
    for (i, name, function) in [(1, "min", Binary::Max), (2, "max", Binary::Min)] {
        let bound = match (call.optional_constant(i)?, call.has(name)) {
            (Some(bound), _) => bound.clone(),
            (None, true) => {
                Tensor { dims: vec![], data: Data::Float(vec![call.bound(name, 0.0)? as f32]) }
            }
            (None, false) => continue,
        };
        x = binary(b, function, &x, &bound)?;
    }
    Ok(x)
}

/// `condition ? x : y`, broadcast.
fn select(b: &mut Builder, call: &Call<'_>) -> Result<Tensor, String> {
    let (c, x, y) = (call.constant(0)?, call.constant(1)?, call.constant(2)?);
    let dims = joint(&joint(&c.dims, &x.dims)?, &y.dims)?;
    let len = count(&dims).ok_or("it is too large")?;
    b.count_constant(len)?;
    let at = |t: &Tensor, i| {
        source(i, &t.dims, dims.get(dims.len() - t.dims.len()..).unwrap_or_default())
    };
    let chosen = c.numbers();
    let first = |i| chosen.get(at(c, i)).is_some_and(|&c| c != 0.0);
    let data = match (&x.data, &y.data) {
        (Data::Int(xs), Data::Int(ys)) => Data::Int(
            (0..len)
                .map(|i| if first(i) { xs.get(at(x, i)) } else { ys.get(at(y, i)) }.copied())
                .collect::<Option<_>>()
                .ok_or("its shapes do not match")?,
        ),
        _ => {
            let (xs, ys) = (x.floats(), y.floats());
            let one = |i| if first(i) { xs.get(at(x, i)) } else { ys.get(at(y, i)) }.copied();
            let all = (0..len).map(one).collect::<Option<_>>();
            Data::Float(all.ok_or("its shapes do not match")?)
        }
    };
    Ok(Tensor { dims, data })
}

/// From the first number to the second by the third.
fn range(b: &mut Builder, call: &Call<'_>) -> Result<Tensor, String> {
    call.only(3, &[])?;
    let all = [call.constant(0)?, call.constant(1)?, call.constant(2)?];
    let [start, limit, delta] = [all[0].scalar()?, all[1].scalar()?, all[2].scalar()?];
    let n = ((limit - start) / delta).ceil().max(0.0);
    if !n.is_finite() || n > (1_u64 << 31) as f64 {
        return Err(format!("{start} to {limit} by {delta} is no range"));
    }
    let n = n as usize;
    b.count_constant(n)?;
    let data = if all.iter().all(|x| x.ints().is_ok()) {
        Data::Int((0..n).map(|i| (start + i as f64 * delta) as i64).collect())
    } else {
        Data::Float((0..n).map(|i| (start + i as f64 * delta) as f32).collect())
    };
    Ok(Tensor { dims: vec![n], data })
}

/// Sums of products of rows and columns; vectors gain a dimension, which vanishes in the end.
fn mat_mul(b: &mut Builder, call: &Call<'_>) -> Result<Tensor, String> {
    call.only(2, &[])?;
    let (x, y) = (call.constant(0)?, call.constant(1)?);
    let matrix = |dims: &[usize], left: bool| match (dims, left) {
        (&[n], true) => vec![1, n],
        (&[n], false) => vec![n, 1],
        (dims, _) => dims.to_vec(),
    };
    let (xd, yd) = (matrix(&x.dims, true), matrix(&y.dims, false));
    let (&[ref xb @ .., m, k], &[ref yb @ .., inner, n]) = (&xd[..], &yd[..]) else {
        return Err(format!("shapes {:?} and {:?} are no matrices", x.dims, y.dims));
    };
    if k != inner {
        return Err(format!("shapes {:?} and {:?} do not multiply", x.dims, y.dims));
    }
    let batch = joint(xb, yb)?;
    let len = [count(&batch), Some(m), Some(n)]
        .into_iter()
        .try_fold(1_usize, |all, d| all.checked_mul(d?))
        .ok_or("it is too large")?;
    // Work counts, too: a small file should not keep a reader busy.
    b.count_constant(len.saturating_add(len.saturating_mul(k) / 64))?;
    let (xs, ys) = (x.numbers(), y.numbers());
    let of = |all: &[f64], i: usize| all.get(i).copied().unwrap_or(f64::NAN);
    let mut made = Vec::with_capacity(len);
    for i in 0..len {
        let (place, row, column) = (i / (m * n), i / n % m, i % n);
        let at = |dims: &[usize]| {
            source(place, dims, batch.get(batch.len() - dims.len()..).unwrap_or_default())
        };
        let (x0, y0) = ((at(xb) * m + row) * k, at(yb) * k * n + column);
        made.push((0..k).map(|j| of(&xs, x0 + j) * of(&ys, y0 + j * n)).sum::<f64>());
    }
    let mut dims = [batch, vec![m, n]].concat();
    if y.dims.len() == 1 {
        dims.pop();
    }
    if x.dims.len() == 1 {
        dims.remove(dims.len() - if y.dims.len() == 1 { 1 } else { 2 });
    }
    let ints = x.ints().is_ok() && y.ints().is_ok();
    let data = if ints {
        Data::Int(made.into_iter().map(|x| x as i64).collect())
    } else {
        Data::Float(made.into_iter().map(|x| x as f32).collect())
    };
    Ok(Tensor { dims, data })
}

/// The numbers along one axis: size, distance of neighbours, and where each row starts.
struct Rows {
    size: usize,
    step: usize,
    starts: Vec<usize>,
}

impl Rows {
    fn new(dims: &[usize], axis: usize) -> Self {
        let size = dims.get(axis).copied().unwrap_or(1);
        let step = strides(dims).get(axis).map_or(1, |&s| s as usize);
        let rows = count(dims).unwrap_or(0) / size.max(1);
        let starts = (0..rows).map(|i| i / step * step * size + i % step).collect();
        Self { size, step, starts }
    }

    fn at(&self, start: usize) -> impl Iterator<Item = usize> {
        let step = self.step;
        (0..self.size).map(move |i| start + i * step)
    }
}

fn cumulative(b: &mut Builder, call: &Call<'_>) -> Result<Tensor, String> {
    call.only(2, &["exclusive", "reverse"])?;
    let x = call.constant(0)?;
    let axis = axis_of(call.constant(1)?.scalar()? as i64, x.dims.len())?;
    let (exclusive, reverse) = (call.flag("exclusive", false)?, call.flag("reverse", false)?);
    b.count_constant(x.len())?;
    let (xs, rows) = (x.numbers(), Rows::new(&x.dims, axis));
    let mut made = vec![0.0; xs.len()];
    for &start in &rows.starts {
        let mut places: Vec<usize> = rows.at(start).collect();
        if reverse {
            places.reverse();
        }
        let mut sum = 0.0;
        for place in places {
            let own = xs.get(place).copied().unwrap_or(f64::NAN);
            let now = if exclusive { sum } else { sum + own };
            made.get_mut(place).into_iter().for_each(|slot| *slot = now);
            sum += own;
        }
    }
    Ok(x.like(made))
}

fn non_zero(b: &mut Builder, call: &Call<'_>) -> Result<Tensor, String> {
    call.only(1, &[])?;
    let x = call.constant(0)?;
    let places: Vec<usize> =
        x.numbers().iter().enumerate().filter(|(_, x)| **x != 0.0).map(|(i, _)| i).collect();
    b.count_constant(places.len() * x.dims.len())?;
    let along = strides(&x.dims).into_iter().zip(&x.dims);
    let ints =
        along.flat_map(|(s, &d)| places.iter().map(move |&i| (i as i64 / s) % d as i64)).collect();
    Ok(Tensor { dims: vec![x.dims.len(), places.len()], data: Data::Int(ints) })
}

fn one_hot(b: &mut Builder, call: &Call<'_>) -> Result<Tensor, String> {
    call.only(3, &["axis"])?;
    let (indices, values) = (call.constant(0)?, call.constant(2)?);
    let depth = call.constant(1)?.scalar()?;
    let &[off, on] = &values.numbers()[..] else {
        return Err("two values are needed, for off and on".into());
    };
    if !(1.0..=(1_u64 << 31) as f64).contains(&depth) {
        return Err(format!("a depth of {depth} is not supported"));
    }
    let (depth, rank) = (depth as usize, indices.dims.len() + 1);
    let axis = axis_of(call.int("axis", -1)?, rank)?;
    let mut dims = indices.dims.clone();
    dims.insert(axis, depth);
    plausible(&dims)?;
    let len = count(&dims).ok_or("it is too large")?;
    b.count_constant(len)?;
    let (mut made, rows) = (vec![off; len], Rows::new(&dims, axis));
    for (&start, index) in rows.starts.iter().zip(indices.numbers()) {
        let index = if index < 0.0 { index + depth as f64 } else { index };
        if (0.0..depth as f64).contains(&index) {
            let place = start + index as usize * rows.step;
            made.get_mut(place).into_iter().for_each(|slot| *slot = on);
        }
    }
    Ok(values.with(dims, made))
}

fn eye(b: &mut Builder, call: &Call<'_>) -> Result<Tensor, String> {
    call.only(1, &["dtype", "k"])?;
    let x = call.constant(0)?;
    let &[rows, columns] = &x.dims[..] else {
        return Err(format!("shape {:?} is no matrix", x.dims));
    };
    b.count_constant(x.len())?;
    let k = call.int("k", 0)?;
    let one = |i: usize| f64::from((i % columns) as i64 - (i / columns) as i64 == k);
    let made = x.with(x.dims.clone(), (0..rows * columns).map(one).collect());
    match call.int("dtype", 0)? {
        0 => Ok(made),
        to => fold::cast(b, &made, to),
    }
}

fn extreme_index(b: &mut Builder, call: &Call<'_>) -> Result<Tensor, String> {
    call.only(1, &["axis", "keepdims", "select_last_index"])?;
    let x = call.constant(0)?;
    let axis = axis_of(call.int("axis", 0)?, x.dims.len())?;
    let (last, most) = (call.flag("select_last_index", false)?, call.op() == "ArgMax");
    let (xs, rows) = (x.numbers(), Rows::new(&x.dims, axis));
    b.count_constant(rows.starts.len())?;
    let index = |&start: &usize| {
        let (mut best, mut at) = (f64::NAN, 0);
        for (i, place) in rows.at(start).enumerate() {
            let x = xs.get(place).copied().unwrap_or(f64::NAN);
            if best.is_nan() || (if most { x > best } else { x < best }) || last && x == best {
                (best, at) = (x, i as i64);
            }
        }
        at
    };
    let ints = rows.starts.iter().map(index).collect();
    let mut dims = x.dims.clone();
    if call.flag("keepdims", true)? {
        dims.get_mut(axis).into_iter().for_each(|d| *d = 1);
    } else {
        dims.remove(axis);
    }
    Ok(Tensor { dims, data: Data::Int(ints) })
}

fn soft(b: &mut Builder, call: &Call<'_>) -> Result<Tensor, String> {
    call.only(1, &["axis"])?;
    let x = call.constant(0)?;
    let old = call.opset < 13;
    let axis = axis_of(call.int("axis", if old { 1 } else { -1 })?, x.dims.len())?;
    // Before version 13 all dimensions from the axis on are one.
    let mut dims = x.dims.clone();
    if old {
        dims = [dims.get(..axis).unwrap_or_default(), &[dims.iter().skip(axis).product()]].concat();
    }
    b.count_constant(x.len())?;
    let (xs, rows) = (x.numbers(), Rows::new(&dims, axis));
    let mut made = vec![0.0; xs.len()];
    for &start in &rows.starts {
        let own = || rows.at(start).map(|i| xs.get(i).copied().unwrap_or(f64::NAN));
        let most = own().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = own().map(|x| (x - most).exp()).sum();
        for (place, x) in rows.at(start).zip(own()) {
            let log = x - most - sum.ln();
            let value = if call.op() == "LogSoftmax" { log } else { log.exp() };
            made.get_mut(place).into_iter().for_each(|slot| *slot = value);
        }
    }
    Ok(x.like(made))
}

/// Sums, means, products, norms and extremes over axes.
fn reduce(b: &mut Builder, call: &Call<'_>) -> Result<Tensor, String> {
    call.only(2, &["axes", "keepdims", "noop_with_empty_axes"])?;
    let x = call.constant(0)?;
    let rank = x.dims.len();
    let keep = call.flag("keepdims", true)?;
    let axes = match call.ints_or(1, "axes")? {
        Some(axes) if !axes.is_empty() => axes_of(&axes, rank)?,
        _ if call.flag("noop_with_empty_axes", false)? => return Ok(x.clone()),
        _ => (0..rank).collect(),
    };
    let kept: Vec<usize> = (0..rank).filter(|a| !axes.contains(a)).collect();
    let shape: Vec<usize> = kept.iter().filter_map(|&a| x.dims.get(a).copied()).collect();
    let len = count(&shape).ok_or("it is too large")?;
    b.count_constant(len.saturating_add(x.len()))?;
    let (hops, places) = (strides(&x.dims), strides(&shape));
    let place = |i: usize| -> usize {
        let along = kept.iter().zip(&places).map(|(&a, &p)| {
            let (hop, d) = (hops.get(a).copied().unwrap_or(1), x.dims.get(a).copied().unwrap_or(1));
            (i / hop.max(1) as usize) % d * p as usize
        });
        along.sum()
    };
    let mut parts: Vec<Vec<f64>> = vec![Vec::new(); len];
    for (i, x) in x.numbers().into_iter().enumerate() {
        parts.get_mut(place(i)).into_iter().for_each(|part| part.push(x));
    }
    let made: Vec<f64> =
        parts.iter().map(|part| reduced(call.op(), part)).collect::<Result<_, _>>()?;
    let dims = if keep {
        x.dims.iter().enumerate().map(|(i, &d)| if axes.contains(&i) { 1 } else { d }).collect()
    } else {
        shape
    };
    // A mean of integers is one, cut off.
    Ok(x.with(dims, made))
}

fn reduced(op: &str, part: &[f64]) -> Result<f64, String> {
    let all = || part.iter().copied();
    Ok(match op {
        "ReduceSum" => all().sum(),
        "ReduceMean" => all().sum::<f64>() / part.len() as f64,
        "ReduceProd" => all().product(),
        "ReduceMax" => all().fold(f64::NEG_INFINITY, f64::max),
        "ReduceMin" => all().fold(f64::INFINITY, f64::min),
        "ReduceL1" => all().map(f64::abs).sum(),
        "ReduceL2" => all().map(|x| x * x).sum::<f64>().sqrt(),
        "ReduceSumSquare" => all().map(|x| x * x).sum(),
        "ReduceLogSum" => all().sum::<f64>().ln(),
        "ReduceLogSumExp" => all().map(f64::exp).sum::<f64>().ln(),
        other => return Err(format!("{other} is not known")),
    })
}
