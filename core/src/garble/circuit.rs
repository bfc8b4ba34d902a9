//! What a circuit is.

use super::gates::Gates;
use crate::Result;

/// A circuit of one neuron: `steps` instances, executed in order, with state in between.
pub trait Circuit {
    /// What passes from step to step.
    type State<W: Copy>: Clone;

    /// The state before the first step.
    fn start<W: Copy>(&self) -> Self::State<W>;

    /// How many instances a neuron takes.
    fn steps(&self) -> usize;

    /// Instance number `step`, of at most 64 output bits.
    fn step<G: Gates>(&self, gates: &mut G, state: &mut Self::State<G::Wire>, step: usize);

    /// Whether all parameters are in their ranges: rings of at most
    /// [`crate::params::MAX_RING_BITS`] bits, `N` odd and at least 3, and 1 to
    /// [`super::circuits::MAX_INPUTS`] values to compare.
    ///
    /// # Errors
    /// [`crate::Error::Internal`] if not: a plan is checked long before.
    fn check(&self) -> Result<()>;
}
