//! One layer of ReLUs between two parties over loopback: OTs, garbling, sending and evaluating, all
//! at once; or compared.

use crate::bench::own;
use crate::threads::Threads;
use anyhow::Context as _;
use minionn_core::garble::Function;
use minionn_core::model::Model;
use minionn_core::ot::Repetition;
use minionn_core::plan::circuit::NonlinearCost;
use minionn_core::plan::{self, Header, Op, Plan, Quantisation};
use minionn_core::rng::Seed;
use minionn_core::session::{Activations, Options, Tables};

/// A network that is one layer of ReLUs with truncation.
pub struct Network {
    model: crate::Model,
    neurons: u32,
    and_gates: u64,
}

impl Network {
    /// A layer of `neurons` neurons between two rings, cutting off `shift` bits.
    ///
    /// # Errors
    /// If that is more than a plan may have.
    pub fn new(neurons: u32, [ring_in, ring_out]: [u8; 2], shift: u8) -> anyhow::Result<Self> {
        let relu =
            Op::Activation { function: Function::Relu, ring_in, ring_out, shift, len: neurons };
        let input = Quantisation { scale: 1.0, min: -1_000_000, max: 1_000_000 };
        let header = Header {
            input_len: neurons,
            output_len: neurons,
            input,
            output_scale: 1.0,
            name: [0; 32],
        };
        let mut bytes = vec![0; plan::MAX_BYTES];
        let len =
            Plan::write(&header, &[relu, Op::Reveal { ring: ring_out, len: neurons }], &mut bytes)?;
        let bytes = bytes.get(..len).context("a plan has its length")?;
        let mut model = vec![0; Model::len_bytes(&Plan::parse(bytes)?)];
        Model::write(bytes, |_, _, _| 0, |_, _| 0, &mut model)?;
        let model = crate::Model::from_bytes(model)?;
        Ok(Self { model, neurons, and_gates: NonlinearCost::of(&relu).and_gates })
    }

    /// AND gates for each second of the online phase, in the median of `runs`: tables are streamed,
    /// so everything is in it.
    ///
    /// # Errors
    /// If a session fails.
    pub fn and_gates_per_second(&self, repetition: Repetition, runs: u32) -> anyhow::Result<f64> {
        let options =
            Options { repetition, tables: Tables::Streamed, stock: 1, ..Options::default() };
        let inputs = own::inputs(&self.model, None, 1, &Seed([7; 32]))?;
        let threads = Threads::default();
        let measured = own::measure(&self.model, options, None, &threads, runs, &inputs)?;
        Ok(self.and_gates as f64 / measured.online.seconds)
    }

    /// Seconds and bytes for each neuron, offline and online, where it is compared instead: in the
    /// median of `runs`.
    ///
    /// # Errors
    /// If a session fails.
    pub fn compared(&self, repetition: Repetition, runs: u32) -> anyhow::Result<(f64, u64)> {
        let options = Options {
            repetition,
            activations: Activations::Compared { log2_bytes_per_round: 0 },
            ..Options::default()
        };
        let inputs = own::inputs(&self.model, None, 1, &Seed([7; 32]))?;
        let threads = Threads::default();
        let measured = own::measure(&self.model, options, None, &threads, runs, &inputs)?;
        Ok((
            measured.seconds() / f64::from(self.neurons),
            measured.bytes() / u64::from(self.neurons),
        ))
    }
}
