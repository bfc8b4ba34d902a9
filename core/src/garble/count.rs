//! How many gates and inputs a circuit has.

use super::circuit::Circuit;
use super::evaluator::count;
use super::gates::GateCounts;

/// The shapes of a neuron's instances, in order.
pub fn shapes<T: Circuit>(circuit: &T) -> impl Iterator<Item = GateCounts> + '_ {
    let mut state = circuit.start();
    (0..circuit.steps()).map(move |step| count::<_, 1>(circuit, &mut state, step))
}

/// The shape of instance `step`; empty if there is no such step. Takes time linear in `step`: to
/// see all, use [`shapes`].
#[cfg(any(test, feature = "unstable"))]
#[must_use]
pub fn shape<T: Circuit>(circuit: &T, step: usize) -> GateCounts {
    shapes(circuit).nth(step).unwrap_or_default()
}

/// The sum over a neuron's instances.
#[cfg(any(test, feature = "unstable"))]
#[must_use]
pub fn totals<T: Circuit>(circuit: &T) -> GateCounts {
    shapes(circuit).fold(GateCounts::default(), core::ops::Add::add)
}
