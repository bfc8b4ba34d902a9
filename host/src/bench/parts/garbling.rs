//! One layer of equal neurons: ReLU with truncation, from a ring of 22 bits into one of 16.

use super::{Facts, Measure, Needs};
use crate::bench::primitives::garbling::Layer;
use minionn_core::backend::aes::Path;
use minionn_core::garble::{Function, Neuron};
use minionn_core::ring::Modulus;

const CIRCUIT: Neuron = Neuron {
    function: Function::Relu,
    modulus_in: Modulus::Bits(22),
    modulus_out: Modulus::Bits(16),
    shift: 7,
};
/// A whole number of calls with all lanes.
const NEURONS: usize = 256;

fn facts(what: &str, layer: &Layer<Neuron>, blocks: usize) -> Facts {
    let needs =
        Needs { blocks: blocks as u64, schedules: layer.instances() as u64, ..Needs::default() };
    Facts { what: what.to_owned(), units: layer.and_gates() as u64, unit: "AND", needs }
}

/// The server's work.
///
/// # Errors
/// Those of `measure`, as everywhere here.
pub fn garble(measure: Measure<'_>) -> anyhow::Result<()> {
    let mut layer = Layer::new(CIRCUIT, NEURONS, Path::best());
    measure(facts("garble", &layer, layer.garbling_blocks()), &mut || {
        layer.garble();
        Ok(())
    })
}

/// The client's work.
///
/// # Errors
/// As above.
pub fn evaluate(measure: Measure<'_>) -> anyhow::Result<()> {
    let mut layer = Layer::new(CIRCUIT, NEURONS, Path::best());
    layer.garble();
    measure(facts("evaluate", &layer, layer.evaluating_blocks()), &mut || {
        layer.evaluate();
        Ok(())
    })
}
