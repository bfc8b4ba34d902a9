//! The last look at the nodes: scales of scales become one, what changes nothing or leads nowhere
//! goes.

use crate::network::{Node, PerElement, TensorId, Work};

/// The nodes that lead to `output`, which tensor that is then, and the names of the tensors that
/// are left.
pub(super) fn simplify(
    nodes: Vec<Node>,
    output: TensorId,
    names: &[Option<String>],
) -> (Vec<Node>, TensorId, Vec<Option<String>>) {
    let (nodes, same) = fused(nodes);
    let output = same.get(output).copied().unwrap_or(output);
    let mut needed = vec![false; nodes.len() + 1];
    needed.get_mut(output).into_iter().for_each(|n| *n = true);
    for (i, node) in nodes.iter().enumerate().rev() {
        if needed.get(i + 1) == Some(&true) {
            for &input in &node.inputs {
                needed.get_mut(input).into_iter().for_each(|n| *n = true);
            }
        }
    }
    let (mut kept, mut moved) = (Vec::new(), vec![0]);
    for (mut node, needed) in nodes.into_iter().zip(needed.iter().skip(1)) {
        if *needed {
            node.inputs
                .iter_mut()
                .for_each(|input| *input = moved.get(*input).copied().unwrap_or(0));
            kept.push(node);
        }
        moved.push(kept.len());
    }
    let mut named = vec![None; kept.len() + 1];
    for (name, same) in
        names.iter().zip(&same).filter(|(_, same)| **same == 0 || needed.get(**same) == Some(&true))
    {
        let slot: Option<&mut Option<String>> =
            moved.get(*same).and_then(|&tensor| named.get_mut(tensor));
        slot.into_iter().filter(|slot| slot.is_none()).for_each(|slot| slot.clone_from(name));
    }
    (kept, moved.get(output).copied().unwrap_or(0), named)
}

/// Every scale reads what the scale before it reads; and which tensor each one equals.
fn fused(nodes: Vec<Node>) -> (Vec<Node>, Vec<TensorId>) {
    let (mut done, mut same): (Vec<Node>, Vec<TensorId>) = (Vec::new(), vec![0]);
    for mut node in nodes {
        node.inputs
            .iter_mut()
            .for_each(|input| *input = same.get(*input).copied().unwrap_or(*input));
        let before = node.inputs.first().and_then(|i| done.get(i.checked_sub(1)?));
        if let (Work::Affine(scale, offset), Some(Node { work: Work::Affine(s, o), inputs, .. })) =
            (&node.work, before)
        {
            let offset = offset.zip(&scale.zip(o, |scale, o| scale * o), |offset, o| offset + o);
            let scale = scale.zip(s, |scale, s| scale * s);
            if scale.is_finite() && offset.is_finite() {
                node = Node { work: Work::Affine(scale, offset), inputs: inputs.clone(), ..node };
            }
        }
        let nothing = node.work == Work::Affine(PerElement::One(1.0), PerElement::One(0.0));
        same.push(if nothing { node.inputs.first().copied().unwrap_or(0) } else { done.len() + 1 });
        done.push(node);
    }
    (done, same)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Activation;

    #[test]
    fn scales_join_and_dead_ends_go() {
        let node = |name: &str, work, input| Node { name: name.into(), work, inputs: vec![input] };
        let scale = |s| Work::Affine(PerElement::One(s), PerElement::One(0.0));
        let nodes = vec![
            node("relu", Work::Activation(Activation::Relu), 0),
            node("twice", scale(2.0), 1),
            node("dead", Work::Square, 1),
            node("half", scale(0.5), 2),
            node("last", Work::Square, 4),
            node("behind", scale(3.0), 5),
        ];
        let numbered: Vec<Option<String>> = (0..7).map(|i| Some(format!("t{i}"))).collect();
        let (nodes, output, tensors) = simplify(nodes, 6, &numbered);
        // What was joined with the scale before it, or changes nothing, stands for the tensor that
        // is left.
        assert_eq!(tensors, ["t0", "t1", "t5", "t6"].map(|name| Some(name.to_owned())));
        let names: Vec<&str> = nodes.iter().map(|n| n.name.as_str()).collect();
        assert_eq!((names, output), (vec!["relu", "last", "behind"], 3));
        assert_eq!(nodes[1].inputs, [1]);
    }
}
