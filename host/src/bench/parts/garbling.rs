//! One layer of equal neurons: ReLU with truncation, from a ring of 22 bits into one of 16.

use super::{Facts, Measure, Needs};
use minionn_core::garble::{Evaluator, Function, Garbler, Neuron, Shape, totals};
use minionn_core::hash::{Block, Tmmo};
use minionn_core::params::LANES;
use minionn_core::ring::Modulus;
use minionn_core::rng::{Domain, Seed};

const CIRCUIT: Neuron = Neuron { function: Function::Relu, modulus_in: Modulus::Bits(22), modulus_out: Modulus::Bits(16), shift: 7 };
/// A whole number of calls with all lanes.
const NEURONS: usize = 256;
const LAYER: u64 = 3;
/// AES blocks of an AND gate: two for each hash, four hashes garbling and two evaluating.
const GARBLE_BLOCKS: u64 = 8;
const EVALUATE_BLOCKS: u64 = 4;

/// Labels, tables and keys of the layer.
struct Layer {
    shape: Shape,
    session: Tmmo,
    secret: Tmmo,
    delta: Block,
    /// Zero labels of the client's inputs; its active labels, too: it chose zeros.
    client: Vec<Block>,
    server: Vec<Block>,
    tables: Vec<u8>,
    results: Vec<u64>,
}

/// Elements of the call for the neurons from `first` on, which has so many for each.
const fn part(first: usize, each: usize) -> core::ops::Range<usize> {
    first * each..(first + LANES) * each
}

impl Layer {
    fn new() -> Self {
        let shape = totals(&CIRCUIT);
        let mut random = Seed([1; 32]).stream(Domain::Label, 0);
        let mut blocks = |each: u32| (0..NEURONS * each as usize).map(|_| random.next_u128()).collect::<Vec<_>>();
        Self {
            session: Tmmo::new(1),
            secret: Tmmo::new(2),
            delta: 0x0123_4567_89ab_cdef_0f1e_2d3c_4b5a_6979,
            client: blocks(shape.client_inputs),
            server: blocks(shape.server_inputs),
            tables: vec![0; NEURONS * shape.table_bytes()],
            results: vec![0; NEURONS],
            shape,
        }
    }

    fn facts(&self, what: &str, blocks: u64, own_labels: u64) -> Facts {
        let (neurons, ands) = (NEURONS as u64, u64::from(self.shape.ands));
        // A record's key is a block of its own; so is every label of the garbler.
        let blocks = neurons * (blocks * ands + own_labels + 1);
        Facts { what: what.to_owned(), units: neurons * ands, unit: "AND", needs: Needs { blocks, schedules: neurons, ..Needs::default() } }
    }

    fn garble(&mut self) -> anyhow::Result<()> {
        let garbler = Garbler::new(&self.session, &self.secret, self.delta, LAYER);
        for first in (0..NEURONS).step_by(LANES) {
            garbler.garble_neurons::<_, LANES>(
                &CIRCUIT,
                first as u64,
                LANES,
                self.client.get(part(first, self.shape.client_inputs as usize)).unwrap_or_default(),
                self.tables.get_mut(part(first, self.shape.table_bytes())).unwrap_or_default(),
                self.results.get_mut(part(first, 1)).unwrap_or_default(),
            )?;
        }
        Ok(())
    }

    fn evaluate(&mut self) -> anyhow::Result<()> {
        let evaluator = Evaluator::new(&self.session, LAYER);
        for first in (0..NEURONS).step_by(LANES) {
            evaluator.evaluate_neurons::<_, LANES>(
                &CIRCUIT,
                first as u64,
                LANES,
                self.tables.get(part(first, self.shape.table_bytes())).unwrap_or_default(),
                self.server.get(part(first, self.shape.server_inputs as usize)).unwrap_or_default(),
                self.client.get(part(first, self.shape.client_inputs as usize)).unwrap_or_default(),
                self.results.get_mut(part(first, 1)).unwrap_or_default(),
            )?;
        }
        Ok(())
    }
}

/// The server's work.
///
/// # Errors
/// Those of `measure`, as everywhere here.
pub fn garble(measure: Measure<'_>) -> anyhow::Result<()> {
    let mut layer = Layer::new();
    let facts = layer.facts("garble", GARBLE_BLOCKS, layer.shape.server_inputs.into());
    measure(facts, &mut || layer.garble())
}

/// The client's work.
///
/// # Errors
/// As above.
pub fn evaluate(measure: Measure<'_>) -> anyhow::Result<()> {
    let mut layer = Layer::new();
    layer.garble()?;
    measure(layer.facts("evaluate", EVALUATE_BLOCKS, 0), &mut || layer.evaluate())
}
