//! The integers of a prediction in the clear: whether they fit the paper's N.
//!
//! The compiler proves rings for every input; N is narrower than the widest of them. So this looks
//! at the input that is measured.

use super::batch::MODULUS;
use anyhow::{Context as _, bail, ensure};
use minionn_core::garble::Function;
use minionn_core::model::{Layer, Model};
use minionn_core::plan::{Convolution, Op};
use minionn_core::ring::Modulus;

/// Checks that this profile knows every operation, and that every integer lies between −N/2 and
/// N/2.
///
/// # Errors
/// With the operation that does not fit.
pub(super) fn check(model: &Model<'_>, x: &[i64]) -> anyhow::Result<()> {
    let (mut x, mut layers) = (x.to_vec(), model.layers());
    for (i, op) in model.plan().ops().enumerate() {
        x = output(&op, &x, || layers.next()).with_context(|| format!("operation {i}"))?;
        let widest = x.iter().map(|x| x.unsigned_abs()).max().unwrap_or(0);
        ensure!(
            widest <= MODULUS / 2,
            "operation {i}: {widest} is more than half the paper's N = {MODULUS}"
        );
    }
    Ok(())
}

/// One operation on integers.
fn output<'m>(
    op: &Op,
    x: &[i64],
    layer: impl FnOnce() -> Option<Layer<'m>>,
) -> anyhow::Result<Vec<i64>> {
    let windows =
        |window: &Convolution, of: &dyn Fn(&mut dyn Iterator<Item = i64>) -> i64| -> Vec<i64> {
            (0..op.output().1 as usize)
                .map(|i| of(&mut window.window_at(i).filter_map(|i| x.get(i).copied())))
                .collect()
        };
    Ok(match *op {
        Op::Activation { function, shift, .. } => {
            let f = known(function)?;
            x.iter().map(|&y| f.apply(y, shift)).collect()
        }
        Op::MaxPool { function, shift, ref window, .. } => {
            let f = known(function)?;
            windows(window, &|values| f.apply(values.max().unwrap_or(0), shift))
        }
        Op::SumPool { ref window, .. } => windows(window, &|values| values.sum()),
        Op::Square { .. } => x.iter().map(|x| x * x).collect(),
        Op::Reveal { .. } | Op::Argmax { .. } => x.to_vec(),
        _ if op.is_linear() => {
            let (ring, layer) = (Modulus::Bits(op.output().0), layer().context("no weights")?);
            let elements: Vec<u64> = x.iter().map(|&x| ring.reduce_signed(x)).collect();
            let mut y = vec![0; op.output().1 as usize];
            layer.apply(&elements, &mut y)?;
            y.into_iter().map(|y| ring.to_signed(y)).collect()
        }
        _ => bail!("the paper's profile does not know {op:?}"),
    })
}

/// An activation whose circuit exists mod N, too.
fn known(function: Function) -> anyhow::Result<Function> {
    match function {
        Function::Identity | Function::Relu | Function::Clip { .. } => Ok(function),
        _ => bail!("the paper's profile does not know {function:?}"),
    }
}
