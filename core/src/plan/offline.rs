//! The order of the offline phase: linear layers and what is local before them, and when the
//! carries of their results are removed.
//!
//! A carry is one bit of a result that two shares of it leave (see `session/carries.rs`); removing
//! the carries of many layers takes one round. So they wait until somebody reads the result
//! offline: an operation that is local or linear itself. What other operations read is asked for
//! after the last one.

use super::{Plan, Step};
use core::ops::Range;

/// What the parties do next, offline.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum OfflineStep {
    /// The client computes its share of a local operation.
    Local(Step),
    /// Triplets of a linear layer.
    Linear(Step),
    /// The carries of all linear layers among these operations are removed.
    Carries(Range<usize>),
}

/// The walk of a plan.
struct Walk<'a, I> {
    plan: Plan<'a>,
    steps: I,
    /// The operation before the next.
    last: Option<Step>,
    /// An operation that has to wait for carries.
    held: Option<Step>,
    /// The first linear layer whose carries are still there.
    waiting: Option<usize>,
}

impl<I: Iterator<Item = Step>> Walk<'_, I> {
    /// Whether the tensor that an operation reads has carries, of linear layers from `first` on.
    fn has_carries(&self, step: &Step, first: usize) -> bool {
        let made = |maker: &Step| maker.op.makes_tensor() && maker.to == step.from;
        match self.last.filter(made) {
            Some(maker) => maker.op.is_linear() && maker.number >= first,
            None => {
                let layers = self.plan.linear_steps(&(first..step.number));
                layers.into_iter().any(|maker| made(&maker))
            }
        }
    }

    fn take(&mut self, step: Step) -> OfflineStep {
        if step.op.is_linear() {
            self.waiting.get_or_insert(step.number);
            OfflineStep::Linear(step)
        } else {
            OfflineStep::Local(step)
        }
    }
}

impl<I: Iterator<Item = Step>> Iterator for Walk<'_, I> {
    type Item = OfflineStep;

    fn next(&mut self) -> Option<OfflineStep> {
        if let Some(step) = self.held.take() {
            return Some(self.take(step));
        }
        while let Some(step) = self.steps.next() {
            let reads = step.op.is_local() || step.op.is_linear();
            let waiting = self.waiting.filter(|&first| reads && self.has_carries(&step, first));
            self.last = Some(step);
            if let Some(first) = waiting {
                (self.held, self.waiting) = (Some(step), None);
                return Some(OfflineStep::Carries(first..step.number));
            }
            if reads {
                return Some(self.take(step));
            }
        }
        let end = self.last?.number + 1;
        self.waiting.take().map(|first| OfflineStep::Carries(first..end))
    }
}

impl<'a> Plan<'a> {
    /// What the parties do offline before OTs of non-linear operations, in order.
    pub(crate) fn offline_steps(&self) -> impl Iterator<Item = OfflineStep> + use<'a> {
        Walk { plan: *self, steps: self.steps(), last: None, held: None, waiting: None }
    }

    /// The linear layers among these operations.
    pub(crate) fn linear_steps(
        &self,
        range: &Range<usize>,
    ) -> impl Iterator<Item = Step> + use<'a> {
        let Range { start, end } = *range;
        let steps = self.steps().take_while(move |step| step.number < end);
        steps.filter(move |step| step.number >= start && step.op.is_linear())
    }

    /// Results of linear layers among these operations, of one prediction.
    pub(crate) fn carries(&self, range: &Range<usize>) -> usize {
        let outputs = self.linear_steps(range).map(|step| step.op.output().1 as usize);
        outputs.fold(0, usize::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Header, MAX_BYTES, Node, Op, Quantisation};
    use super::*;
    use std::vec::Vec;

    const fn fc(inputs: u32, outputs: u32) -> Op {
        Op::FullyConnected { ring: 24, weight_bits: 8, inputs, outputs }
    }

    const fn square(len: u32) -> Op {
        Op::Square { ring: 24, len }
    }

    const fn offset(len: u32) -> Op {
        Op::Offset { ring: 24, len, channels: 1 }
    }

    /// Operations by their first letters, with numbers of the waiting layers where these end.
    fn order(nodes: &[Node], input_len: u32, output_len: u32) -> Vec<std::string::String> {
        let header = Header {
            input_len,
            output_len,
            input: Quantisation { scale: 1.0, min: -8, max: 7 },
            output_scale: 1.0,
            name: [0; 32],
        };
        let mut bytes = std::vec![0; MAX_BYTES];
        let len = Plan::write(&header, nodes.iter().copied(), &mut bytes).unwrap();
        let plan = Plan::parse(&bytes[..len]).unwrap();
        let name = |step| match step {
            OfflineStep::Local(step) => std::format!("local {}", step.number),
            OfflineStep::Linear(step) => std::format!("linear {}", step.number),
            OfflineStep::Carries(range) => {
                std::format!("carries {range:?} of {}", plan.carries(&range))
            }
        };
        plan.offline_steps().map(name).collect()
    }

    #[test]
    fn carries_wait_until_they_are_needed() {
        let reveal = |len| Op::Reveal { ring: 24, len };
        let nodes = [fc(4, 5), square(5), fc(5, 3), square(3), fc(3, 2), reveal(2)];
        assert_eq!(
            order(&nodes.map(Node::from), 4, 2),
            ["linear 0", "linear 2", "linear 4", "carries 0..6 of 10"]
        );
        let nodes = [fc(4, 5), offset(5), fc(5, 3), fc(3, 2), reveal(2)];
        assert_eq!(
            order(&nodes.map(Node::from), 4, 2),
            [
                "linear 0",
                "carries 0..1 of 5",
                "local 1",
                "linear 2",
                "carries 2..3 of 3",
                "linear 3",
                "carries 3..5 of 2"
            ]
        );
        // Another branch of the first layer's result, read later.
        let again = Node { op: fc(5, 2), from: Some(4), also: 0 };
        let nodes =
            [Node::from(fc(4, 5)), square(5).into(), fc(5, 3).into(), again, reveal(2).into()];
        assert_eq!(
            order(&nodes, 4, 2),
            ["linear 0", "linear 2", "carries 0..3 of 8", "linear 3", "carries 3..5 of 2"]
        );
        let nodes = [square(4), reveal(4)];
        assert_eq!(order(&nodes.map(Node::from), 4, 4), [""; 0]);
    }
}
