//! Gemm and MatMul with one constant side, for any number of rows.

use super::build::{Builder, joint};
use super::call::{Call, Computed, Outputs, Value, one};
use super::tensor::{Data, Tensor, count};
use super::views::{Loops, stretched, strides};
use crate::network::PerElement;
use minionn_core::plan::{Convolution, MAX_WEIGHTS};
use std::borrow::Cow;

/// A stack of matrices: batch dimensions, rows, columns.
struct Stack {
    batch: Vec<usize>,
    size: [usize; 2],
    /// From one row and column to the next.
    steps: [i64; 2],
}

impl Stack {
    fn new(dims: &[usize], turned: bool) -> Result<Self, String> {
        let &[ref batch @ .., rows, columns] = dims else {
            return Err(format!("shape {dims:?} is not a matrix"));
        };
        let (size, steps) = ([rows, columns], [columns as i64, 1]);
        let [a, b] = size;
        let [s, t] = steps;
        let (size, steps) = if turned { ([b, a], [t, s]) } else { (size, steps) };
        Ok(Self { batch: batch.to_vec(), size, steps })
    }

    /// Rows and columns exchanged.
    fn turned(mut self) -> Self {
        self.size.reverse();
        self.steps.reverse();
        self
    }

    /// Steps along the dimensions of a batch that this one is stretched to.
    fn batch_steps(&self, to: &[usize]) -> Vec<i64> {
        let [rows, columns] = self.size;
        stretched(&self.batch, to).into_iter().map(|s| s * (rows * columns) as i64).collect()
    }
}

/// How the dimensions of a batch become those of one layer: along some of them there are weights of
/// their own, which makes groups; the others only repeat places.
struct Axes {
    batch: Vec<usize>,
    grouped: Vec<usize>,
    shared: Vec<usize>,
    groups: usize,
    spread: usize,
}

impl Axes {
    /// For `weights · x` of these shapes.
    fn new(of: &Stack, by: &Stack) -> Result<Self, String> {
        let ([inputs, places], [outputs, _]) = (of.size, by.size);
        let batch = joint(&of.batch, &by.batch)?;
        let own: Vec<bool> =
            by.batch_steps(&batch).iter().zip(&batch).map(|(&s, &n)| s != 0 && n != 1).collect();
        let pick = |groups: bool| -> Vec<usize> {
            own.iter().enumerate().filter(|&(_, &g)| g == groups).map(|(i, _)| i).collect()
        };
        let mut axes =
            Self { batch, grouped: pick(true), shared: pick(false), groups: 0, spread: 0 };
        let total = |of: &[usize]| count(&axes.sizes(of)).ok_or("it is too large");
        let (groups, spread) = (total(&axes.grouped)?, total(&axes.shared)?);
        (axes.groups, axes.spread) = (groups, spread);
        let all = [groups, inputs, outputs, spread, places]
            .iter()
            .try_fold(1_u64, |n, &d| n.checked_mul(d as u64))
            .filter(|&n| n > 0);
        let layer_weights =
            (groups as u64).saturating_mul(inputs as u64).saturating_mul(outputs as u64);
        if all.is_none() || layer_weights > MAX_WEIGHTS {
            return Err(format!(
                "{inputs} times {outputs} weights are too many: at most {MAX_WEIGHTS} are supported"
            ));
        }
        Ok(axes)
    }

    fn sizes(&self, axes: &[usize]) -> Vec<usize> {
        axes.iter().filter_map(|&a| self.batch.get(a).copied()).collect()
    }

    /// The dimensions `[groups.., channels, shared.., places]`.
    fn shape(&self, channels: usize, places: usize) -> Vec<usize> {
        let (grouped, shared) = (self.sizes(&self.grouped), self.sizes(&self.shared));
        [grouped, vec![channels], shared, vec![places]].concat()
    }

    /// Steps along these dimensions, from those along the batch.
    fn order(&self, steps: &[i64], channel: i64, place: i64) -> Vec<i64> {
        let along = |axes: &[usize]| -> Vec<i64> {
            axes.iter().filter_map(|&a| steps.get(a).copied()).collect()
        };
        [along(&self.grouped), vec![channel], along(&self.shared), vec![place]].concat()
    }
}

/// `weights · x` for every matrix of the batch: `[outputs, inputs] · [inputs, places]`, made of the
/// elements of `x` and of the constant `w`.
///
/// The inputs become channels and the places an image of height 1. Weights of their own for parts
/// of the batch become groups. The result is `[batch.., outputs, places]`, or with `rows`
/// `[batch.., places, outputs]`.
fn product(
    b: &mut Builder,
    name: &str,
    (x, of): (&Computed, &Stack),
    (w, by): (&Tensor, &Stack),
    bias: &[f64],
    rows: bool,
) -> Result<Computed, String> {
    let ([inputs, places], [outputs, wanted]) = (of.size, by.size);
    if wanted != inputs {
        let weights = &w.dims;
        return Err(format!(
            "its weights take rows of {wanted} numbers (shape {weights:?}), but shape {:?} comes \
             in: flatten to rows of that length",
            x.dims
        ));
    }
    let axes = Axes::new(of, by)?;
    let Axes { batch, grouped, groups, spread, .. } = &axes;
    let (groups, spread) = (*groups, *spread);
    super::call::possible(&[groups, outputs, spread, places])?;
    let shape = |channels| axes.shape(channels, places);

    let dims = shape(inputs);
    let gathered = Loops::new(
        &dims,
        0,
        &axes.order(&of.batch_steps(batch), of.steps[0], of.steps[1]),
        0,
        &strides(&dims),
    );
    let image = b.copy(name, x, dims, 1.0, &gathered)?;

    let steps = by.batch_steps(batch);
    let own_steps: Vec<i64> = grouped.iter().filter_map(|&a| steps.get(a).copied()).collect();
    let dims = [axes.sizes(grouped), vec![outputs, inputs]].concat();
    let turned = Loops::new(&dims, 0, &[own_steps, by.steps.to_vec()].concat(), 0, &strides(&dims));
    let weights = Tensor::assembled(dims, 0.0, &[(w, turned.views()?)]).into_floats();

    let layer = Convolution {
        input: [(groups * inputs) as u32, 1, (spread * places) as u32],
        groups: groups as u32,
        ..Convolution::fully_connected(0, (groups * outputs) as u32)
    };
    let made = b.linear(name, image.id, layer, weights, bias.repeat(groups))?;

    let (size, [channel, place]) = if rows {
        ([places, outputs], [1, outputs as i64])
    } else {
        ([outputs, places], [places as i64, 1])
    };
    let out = [batch.clone(), size.to_vec()].concat();
    let target: Vec<i64> = strides(&out);
    let dims = shape(outputs);
    let spread_back = Loops::new(
        &dims,
        0,
        &strides(&dims),
        0,
        &axes.order(target.get(..batch.len()).unwrap_or_default(), channel, place),
    );
    b.copy(name, &Computed::new(made, dims), out, 1.0, &spread_back)
}

/// Which side is the constant.
fn sides<'a>(call: &'a Call<'_>) -> Result<(bool, &'a Computed, &'a Tensor), String> {
    match (call.value(0)?, call.value(1)?) {
        (x @ Value::Computed(_), Value::Constant(w)) => Ok((true, x.number()?, w)),
        (Value::Constant(w), x @ Value::Computed(_)) => Ok((false, x.number()?, w)),
        _ => Err("it multiplies two computed tensors: one side must be a constant, or it must be \
                  a MatMul"
            .into()),
    }
}

pub(super) fn mat_mul(b: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(2, &[])?;
    one(multiplied(b, &call.name, call.value(0)?, call.value(1)?)?)
}

/// A vector is a row on the left and a column on the right.
fn matrix(dims: &[usize], left: bool) -> Vec<usize> {
    match (dims, left) {
        (&[n], true) => vec![1, n],
        (&[n], false) => vec![n, 1],
        (dims, _) => dims.to_vec(),
    }
}

/// Matrices times matrices, for every place of the dimensions in front; one may be constant.
pub(super) fn multiplied(
    b: &mut Builder,
    name: &str,
    left: &Value,
    right: &Value,
) -> Result<Computed, String> {
    let (l, r) = (matrix(left.dims(), true), matrix(right.dims(), false));
    let bias = |outputs| vec![0.0; outputs];
    let mut y = match (left, right) {
        (x @ Value::Computed(_), Value::Constant(w)) => {
            let (x, x_stack) = (x.number()?, Stack::new(&l, false)?.turned());
            let w_stack = Stack::new(&r, false)?.turned();
            let [outputs, _] = w_stack.size;
            checked(outputs)?;
            product(b, name, (x, &x_stack), (w, &w_stack), &bias(outputs), true)?
        }
        (Value::Constant(w), x @ Value::Computed(_)) => {
            let (x_stack, w_stack) = (Stack::new(&r, false)?, Stack::new(&l, false)?);
            let [outputs, _] = w_stack.size;
            checked(outputs)?;
            product(b, name, (x.number()?, &x_stack), (w, &w_stack), &bias(outputs), false)?
        }
        (x, y) => computed(b, name, (x.number()?, &l), (y.number()?, &r))?,
    };
    // The dimension of 1 that a vector was given vanishes.
    let rank = y.dims.len();
    if right.dims().len() == 1 {
        y.dims.remove(rank - 1);
    }
    if left.dims().len() == 1 {
        y.dims.remove(rank - 2);
    }
    Ok(y)
}

/// `[.., m, k] · [.., k, n]` of two computed tensors: every product of two elements is one of its
/// own, so it costs `m·k·n` of them.
fn computed(
    b: &mut Builder,
    name: &str,
    (x, l): (&Computed, &[usize]),
    (y, r): (&Computed, &[usize]),
) -> Result<Computed, String> {
    let (&[ref xb @ .., m, k], &[ref yb @ .., inner, n]) = (l, r) else {
        return Err(format!("shapes {:?} and {:?} are no matrices", x.dims, y.dims));
    };
    if k != inner {
        return Err(format!("shapes {:?} and {:?} do not multiply", x.dims, y.dims));
    }
    let batch = joint(xb, yb)?;
    let all = [&batch[..], &[m, n, k]].concat();
    let products = super::call::possible(&all)?;
    // Steps along batch, rows, columns and what is summed up.
    let steps = |own: &[usize], size: usize, last: [usize; 3]| -> Vec<i64> {
        let batch = stretched(own, &batch).into_iter().map(|s| s * size as i64);
        batch.chain(last.map(|s| s as i64)).collect()
    };
    let places = strides(&all);
    let left = Loops::new(&all, 0, &steps(xb, m * k, [k, 0, 1]), 0, &places);
    let right = Loops::new(&all, 0, &steps(yb, k * n, [0, 1, n]), 0, &places);
    let left = b.copy(name, x, all.clone(), 1.0, &left)?;
    let right = b.copy(name, y, all.clone(), 1.0, &right)?;
    let product = b.product(name, &left, &right)?;
    b.notes.push(format!(
        "{name}: both of its matrices are computed, which takes {products} products"
    ));
    let dims = [&batch[..], &[m, n]].concat();
    let sums: Vec<i64> = strides(&dims).into_iter().chain([0]).collect();
    let sums = Loops::new(&all, 0, &places, 0, &sums);
    b.copy(name, &product, dims, 1.0, &sums)
}

/// Outputs that may be allocated.
fn checked(outputs: usize) -> Result<(), String> {
    super::call::possible(&[outputs]).map(|_| ())
}

/// `α·A·B + β·C`.
pub(super) fn gemm(b: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(3, &["alpha", "beta", "transA", "transB"])?;
    if let (Value::Computed(_), Value::Computed(_)) = (call.value(0)?, call.value(1)?) {
        return both_computed(b, call);
    }
    let (first, x, w) = sides(call)?;
    let (turn_a, turn_b) = (call.flag("transA", false)?, call.flag("transB", false)?);
    let (alpha, beta) = (call.float("alpha", 1.0)?, call.float("beta", 1.0)?);
    let (turn_x, turn_w) = if first { (turn_a, turn_b) } else { (turn_b, turn_a) };
    if x.dims.len() != 2 || w.dims.len() != 2 {
        return Err(format!(
            "it takes matrices, not shapes {:?} and {:?}: flatten to one row",
            x.dims, w.dims
        ));
    }
    let (of, by) = (Stack::new(&x.dims, turn_x)?, Stack::new(&w.dims, turn_w)?);
    let (of, by) = if first { (of.turned(), by.turned()) } else { (of, by) };
    let ([_, places], [outputs, _]) = (of.size, by.size);
    checked(outputs)?;
    let dims = if first { [places, outputs] } else { [outputs, places] };
    let mut weights = Cow::Borrowed(w);
    if alpha != 1.0 {
        let scaled = w.floats().into_iter().map(|w| (f64::from(w) * alpha) as f32).collect();
        weights = Cow::Owned(Tensor { dims: w.dims.clone(), data: Data::Float(scaled) });
    }
    // C that is the same for all rows is the bias of the layer; any other is added behind it.
    let mut bias = vec![0.0; outputs];
    let mut later = None;
    match call.optional(2) {
        None => {}
        Some(Value::Computed(_)) => later = Some(call.computed(2)?.clone()),
        Some(Value::Constant(c)) => {
            let own = first && (c.dims.len() < 2 || c.dims.first() == Some(&1))
                || c.len() == 1
                || places == 1;
            let of_outputs = |i: usize, c: &PerElement| c.at(if first { i } else { i * places });
            let all = c.broadcast(&dims)?;
            if own {
                bias.iter_mut().enumerate().for_each(|(i, b)| *b = beta * of_outputs(i, &all));
            } else {
                let y = product(b, &call.name, (x, &of), (&weights, &by), &bias, first)?;
                return one(b.affine(
                    &call.name,
                    &y,
                    PerElement::One(1.0),
                    all.map(|c| beta * c),
                )?);
            }
        }
    }
    let y = product(b, &call.name, (x, &of), (&weights, &by), &bias, first)?;
    match later {
        Some(c) => one(b.sum(&call.name, &[(1.0, &y), (beta, &c)])?),
        None => one(y),
    }
}

/// The same of two computed matrices.
fn both_computed(b: &mut Builder, call: &Call<'_>) -> Outputs {
    let name = &call.name;
    let side = |b: &mut Builder, i: usize, turn: bool| -> Result<Value, String> {
        let x = call.computed(i)?;
        let &[rows, columns] = &x.dims[..] else {
            return Err(format!("it takes matrices, not shape {:?}", x.dims));
        };
        if !turn {
            return Ok(x.clone().into());
        }
        let dims = [columns, rows];
        let turned = Loops::new(&dims, 0, &[1, columns as i64], 0, &strides(&dims));
        Ok(b.copy(name, x, dims.to_vec(), 1.0, &turned)?.into())
    };
    let (left, right) =
        (side(b, 0, call.flag("transA", false)?)?, side(b, 1, call.flag("transB", false)?)?);
    let (alpha, beta) = (call.float("alpha", 1.0)?, call.float("beta", 1.0)?);
    let y = multiplied(b, name, &left, &right)?;
    one(match call.optional(2) {
        None => b.scaled(name, &y, alpha, 0.0)?,
        Some(Value::Computed(_)) => b.sum(name, &[(alpha, &y), (beta, call.computed(2)?)])?,
        Some(Value::Constant(c)) => {
            let c = c.broadcast(&y.dims)?;
            b.affine(name, &y, PerElement::One(alpha), c.map(|c| beta * c))?
        }
    })
}
