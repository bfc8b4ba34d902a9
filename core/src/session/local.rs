//! What a party computes by itself: operations that are local to both, and linear layers online,
//! which are local to the server.

use super::operation::OpContext;
use crate::error::{Error, Result};
use crate::model::Layer;

/// Server, online: a local operation on its shares of all tensors. `layers`: what the model has for
/// this operation and those behind it; constants are added by the server alone.
pub(crate) fn server_local<'m>(
    op: &OpContext<'_>,
    layers: &mut impl Iterator<Item = Layer<'m>>,
    tensors: &mut [u64],
) -> Result<()> {
    op.step.compute(tensors)?;
    if op.step.op.has_parameters() {
        let (_, y) = op.step.split(tensors)?;
        layers.next().ok_or(Error::Internal)?.add_biases(y)?;
    }
    Ok(())
}

/// Server, online: `y = W·x + b + u`. `masks`: `u` of all predictions of the stock.
pub(crate) fn server_linear<'m>(
    op: &OpContext<'_>,
    layers: &mut impl Iterator<Item = Layer<'m>>,
    masks: &[u64],
    tensors: &mut [u64],
) -> Result<()> {
    let (ring, len) = (op.ring_out(), op.outputs());
    let masks = masks.get(op.index * len..(op.index + 1) * len).ok_or(Error::Internal)?;
    let (x, y) = op.step.split(tensors)?;
    layers.next().ok_or(Error::Internal)?.apply(x, y)?;
    // Both have `len` elements.
    for (y, &u) in y.iter_mut().zip(masks) {
        *y = ring.add(*y, u);
    }
    Ok(())
}
