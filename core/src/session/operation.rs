//! One walk over a plan's operations, the same for both parties and all phases: which protocol
//! computes an operation is decided here, once for each.

use super::keys::op_instance;
use super::{Options, Tables};
use crate::choice::OpProtocol;
use crate::hash::Tmmo;
use crate::options::COMPARE;
use crate::ot::GROUP;
use crate::plan::circuit::NonlinearCost;
use crate::plan::{Op, Plan, Step};
use crate::ring::Modulus;
use core::ops::Range;

/// What both parties know of the current stock.
#[derive(Clone, Copy)]
pub(crate) struct Context<'s> {
    pub(crate) plan: &'s Plan<'s>,
    pub(crate) options: &'s Options,
    pub(crate) hash: &'s Tmmo,
    /// Number of the stock among those of the session.
    pub(crate) stock: u64,
}

impl<'s> Context<'s> {
    /// The places of the predictions whose material is prepared offline.
    pub(crate) fn stored(&self) -> Range<usize> {
        match self.options.tables {
            Tables::Stored => 0..self.options.stock as usize,
            Tables::Streamed => 0..0,
        }
    }

    /// The operations of one prediction in order. `index`: its place in the stock.
    pub(crate) fn operations(self, index: usize) -> impl Iterator<Item = OpContext<'s>> {
        let prediction = self.stock * u64::from(self.options.stock) + index as u64;
        self.plan.steps().map(move |step| OpContext::new(self, step, prediction, index))
    }
}

/// One operation of one prediction.
pub(crate) struct OpContext<'s> {
    pub(crate) options: &'s Options,
    pub(crate) hash: &'s Tmmo,
    /// The operation in its place.
    pub(crate) step: Step,
    pub(crate) protocol: OpProtocol,
    /// What a circuit or product costs; nothing of any other protocol.
    pub(crate) counts: NonlinearCost,
    /// Names the operation among those of all predictions of a session: never repeats.
    pub(crate) instance: u64,
    /// The prediction's place in the stock.
    pub(crate) index: usize,
}

impl<'s> OpContext<'s> {
    fn new(context: Context<'s>, step: Step, prediction: u64, index: usize) -> Self {
        let Context { options, hash, .. } = context;
        let protocol = OpProtocol::of(&step.op, options);
        let counts = costs(&step.op, &protocol);
        let instance = op_instance(prediction, step.number);
        Self { options, hash, step, protocol, counts, instance, index }
    }

    /// What it uses up of the material that was prepared.
    pub(crate) fn amounts(&self) -> Amounts {
        Amounts::of(&self.protocol, &self.counts)
    }

    /// The ring of the tensor that it reads.
    pub(crate) fn ring(&self) -> Modulus {
        Modulus::Bits(self.step.op.input().0)
    }

    /// The ring of the tensor that it makes.
    pub(crate) fn ring_out(&self) -> Modulus {
        Modulus::Bits(self.step.op.output().0)
    }

    /// Elements of the tensor that it reads.
    pub(crate) fn inputs(&self) -> usize {
        self.step.op.input().1 as usize
    }

    /// Elements of the tensor that it makes.
    pub(crate) fn outputs(&self) -> usize {
        self.step.op.output().1 as usize
    }
}

/// How much of each kind there is.
#[derive(Clone, Copy, Default)]
pub(crate) struct Amounts {
    /// Labels of circuits and products, in whole groups of OTs.
    pub(crate) labels: usize,
    /// Copies of circuits.
    pub(crate) neurons: usize,
    /// Products by OT.
    pub(crate) products: usize,
    /// Element states of comparisons.
    pub(crate) elements: usize,
}

impl Amounts {
    /// An operation's, for one prediction.
    fn of(protocol: &OpProtocol, counts: &NonlinearCost) -> Self {
        let elements = match protocol {
            // Devices without comparisons have no room for the code either.
            OpProtocol::Ot(activation) if COMPARE => activation.len(),
            _ => 0,
        };
        let NonlinearCost { neurons, products, .. } = *counts;
        Self { labels: counts.groups() * GROUP, neurons, products, elements }
    }

    fn fold(plan: &Plan<'_>, options: &Options, with: fn(usize, usize) -> usize) -> Self {
        plan.ops().fold(Self::default(), |all, op| {
            let protocol = OpProtocol::of(&op, options);
            let one = Self::of(&protocol, &costs(&op, &protocol));
            Self {
                labels: with(all.labels, one.labels),
                neurons: with(all.neurons, one.neurons),
                products: with(all.products, one.products),
                elements: with(all.elements, one.elements),
            }
        })
    }

    /// What all operations of one prediction use up. A plan may ask for more than a small machine
    /// can count, and is then told that there is too little memory.
    pub(crate) fn prediction(plan: &Plan<'_>, options: &Options) -> Self {
        Self::fold(plan, options, usize::saturating_add)
    }

    /// The most that any operation uses up.
    pub(crate) fn most(plan: &Plan<'_>, options: &Options) -> Self {
        Self::fold(plan, options, usize::max)
    }
}

/// What an operation costs as a circuit or product; nothing with any other protocol.
fn costs(op: &Op, protocol: &OpProtocol) -> NonlinearCost {
    match protocol {
        OpProtocol::Circuit(_) | OpProtocol::Product => NonlinearCost::of(op),
        _ => NonlinearCost::default(),
    }
}
