//! Attributes that operators had in old operator sets, brought to the form of newer ones.

use super::call::Value;
use super::proto::NodeProto;
use std::borrow::Cow;

/// The first operator set in which two inputs are broadcast as NumPy does it.
const NUMPY_BROADCAST: i64 = 7;

/// The node as a newer operator set would have it, its inputs in the shapes that it then needs.
pub(super) fn adapt<'a>(
    node: &'a NodeProto,
    opset: i64,
    inputs: &mut [Option<Value>],
) -> Result<Cow<'a, NodeProto>, String> {
    let attribute = |name: &str| node.attribute.iter().find(|a| a.name == name).map(|a| a.i);
    if opset >= NUMPY_BROADCAST {
        return Ok(Cow::Borrowed(node));
    }
    match node.op_type.as_str() {
        "Add" | "Sub" | "Mul" | "Div" | "Pow" => {
            aligned(attribute("broadcast") == Some(1), attribute("axis"), inputs)?;
            Ok(without(node, &["broadcast", "axis"]))
        }
        // C is broadcast in one direction, as it still is.
        "Gemm" => Ok(without(node, &["broadcast"])),
        // 0 is training, but exporters left it so in networks for inference.
        "Dropout" | "BatchNormalization" => Ok(without(node, &["is_test"])),
        _ => Ok(Cow::Borrowed(node)),
    }
}

/// Gives the second input the dimensions of 1 behind its own that `axis` asks for.
fn aligned(broadcast: bool, axis: Option<i64>, inputs: &mut [Option<Value>]) -> Result<(), String> {
    let [Some(x), Some(y)] = inputs else { return Ok(()) };
    let (to, from) = (x.dims(), y.dims());
    if !broadcast {
        return if to == from {
            Ok(())
        } else {
            Err(format!("shapes {to:?} and {from:?} differ, and attribute `broadcast` is not 1"))
        };
    }
    let Some(axis) = axis else { return Ok(()) };
    let rank = to.len() as i64;
    let start = usize::try_from(if axis < 0 { axis.saturating_add(rank) } else { axis });
    let behind = start.ok().and_then(|start| to.len().checked_sub(start)?.checked_sub(from.len()));
    let behind =
        behind.ok_or_else(|| format!("shape {from:?} at axis {axis} does not fit into {to:?}"))?;
    let dims = [from.to_vec(), vec![1; behind]].concat();
    *y = y.shaped(dims);
    Ok(())
}

fn without<'a>(node: &'a NodeProto, gone: &[&str]) -> Cow<'a, NodeProto> {
    if !node.attribute.iter().any(|a| gone.contains(&a.name.as_str())) {
        return Cow::Borrowed(node);
    }
    let mut node = node.clone();
    node.attribute.retain(|a| !gone.contains(&a.name.as_str()));
    Cow::Owned(node)
}
