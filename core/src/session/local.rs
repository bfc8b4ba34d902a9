//! What a party computes by itself: operations that are local to both, and linear layers online,
//! which are local to the server.

use super::operation::OpContext;
use crate::error::{Error, Result};
use crate::model::Layer;

/// Server, online: a local operation on its shares of all tensors. `constants`: what the model has
/// for it; they are added by the server alone.
pub(crate) fn server_local(
    op: &OpContext<'_>,
    constants: Option<Layer<'_>>,
    tensors: &mut [u64],
) -> Result<()> {
    op.step.compute(tensors)?;
    if let Some(constants) = constants {
        let (_, y) = op.step.split(tensors)?;
        constants.add_biases(y)?;
    }
    Ok(())
}

/// Server, online: `y = W·x + b + u`. `masks`: `u` of all predictions of the stock.
pub(crate) fn server_linear(
    op: &OpContext<'_>,
    layer: Option<Layer<'_>>,
    masks: &[u64],
    tensors: &mut [u64],
) -> Result<()> {
    let (ring, len) = (op.ring_out(), op.outputs());
    let masks = masks.get(op.index * len..(op.index + 1) * len).ok_or(Error::Internal)?;
    let (x, y) = op.step.split(tensors)?;
    layer.ok_or(Error::Internal)?.apply(x, y)?;
    // Both have `len` elements.
    for (y, &u) in y.iter_mut().zip(masks) {
        *y = ring.add(*y, u);
    }
    Ok(())
}
