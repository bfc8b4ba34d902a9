//! Garbling and evaluating one layer, in lanes.

use minionn_core::backend::aes::Path;
use minionn_core::block::Block;
use minionn_core::garble::{Circuit, EvaluateBuffers, Evaluator, GarbleBuffers, Garbler, totals};
use minionn_core::hash::Tmmo;
use minionn_core::rng::{Domain, Seed};
use minionn_core::target::LANES;

/// A layer of equal neurons, garbled.
pub struct Layer<C> {
    circuit: C,
    neurons: usize,
    path: Path,
    session: Tmmo,
    secret: Tmmo,
    delta: Block,
    /// Zero labels of the client's inputs; its active labels, too: it chose zeros.
    client: Vec<Block>,
    /// Active labels of the server's inputs.
    server: Vec<Block>,
    tables: Vec<u8>,
    decode: Vec<u64>,
    colours: Vec<u64>,
}

impl<C: Circuit> Layer<C> {
    /// `neurons` copies of `circuit`, with fixed labels, on a path that this CPU can go.
    #[must_use]
    pub fn new(circuit: C, neurons: usize, path: Path) -> Self {
        let shape = totals(&circuit);
        let mut random = Seed([1; 32]).stream(Domain::Label, 0);
        let mut blocks = |n: u32| (0..neurons * n as usize).map(|_| random.next_u128()).collect();
        let (client, server) = (blocks(shape.client_inputs), blocks(shape.server_inputs));
        Self {
            neurons,
            path,
            session: Tmmo::new(1),
            secret: Tmmo::new(2),
            delta: 0x0123_4567_89ab_cdef_0f1e_2d3c_4b5a_6979,
            client,
            server,
            tables: vec![0; neurons * shape.table_bytes()],
            decode: vec![0; neurons],
            colours: vec![0; neurons],
            circuit,
        }
    }

    /// AND gates of the layer.
    #[must_use]
    pub fn and_gates(&self) -> usize {
        self.neurons * totals(&self.circuit).ands as usize
    }

    /// AES blocks that garbling needs, without key schedules: eight for each AND, one for each
    /// label of the server and each instance's key.
    #[must_use]
    pub fn garbling_blocks(&self) -> usize {
        8 * self.and_gates() + self.server.len() + self.instances()
    }

    /// AES blocks that evaluating needs: four for each AND, one for each instance's key.
    #[must_use]
    pub fn evaluating_blocks(&self) -> usize {
        4 * self.and_gates() + self.instances()
    }

    /// Key schedules of either.
    #[must_use]
    pub fn instances(&self) -> usize {
        self.neurons * self.circuit.steps()
    }

    /// The server's work.
    pub fn garble(&mut self) {
        let shape = totals(&self.circuit);
        let mut garbler = Garbler::new(&self.session, &self.secret, self.delta, 3);
        garbler.path = self.path;
        for first in (0..self.neurons).step_by(LANES) {
            let lanes = LANES.min(self.neurons - first);
            let part = |each: usize| first * each..(first + lanes) * each;
            let buffers = GarbleBuffers {
                client_zero: &self.client[part(shape.client_inputs as usize)],
                tables: &mut self.tables[part(shape.table_bytes())],
                decode: &mut self.decode[part(1)],
            };
            let neurons = first as u64..(first + lanes) as u64;
            let done = garbler.garble_neurons::<C, LANES>(&self.circuit, neurons, buffers);
            debug_assert!(done.is_ok());
        }
    }

    /// The client's work.
    pub fn evaluate(&mut self) {
        let shape = totals(&self.circuit);
        let evaluator = Evaluator { path: self.path, ..Evaluator::new(&self.session, 3) };
        for first in (0..self.neurons).step_by(LANES) {
            let lanes = LANES.min(self.neurons - first);
            let part = |each: usize| first * each..(first + lanes) * each;
            let buffers = EvaluateBuffers {
                tables: &self.tables[part(shape.table_bytes())],
                server_labels: &self.server[part(shape.server_inputs as usize)],
                client_labels: &self.client[part(shape.client_inputs as usize)],
                colours: &mut self.colours[part(1)],
            };
            let neurons = first as u64..(first + lanes) as u64;
            let done = evaluator.evaluate_neurons::<C, LANES>(&self.circuit, neurons, buffers);
            debug_assert!(done.is_ok());
        }
    }
}
