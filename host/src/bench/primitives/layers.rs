//! One linear layer, both parties: the offline triplet over loopback, one thread for each, and the
//! online product in the clear.

use crate::bench::synthetic;
use crate::loopback;
use crate::{ClientOptions, Server};
use anyhow::Context as _;
use core::hint::black_box;
use minionn_core::model::{Layer, Model};
use minionn_core::plan::{Convolution, Op};
use minionn_core::rng::{Domain, Seed};
use minionn_core::session::Options;
use std::time::Instant;

/// The layers that others publish figures for: what it is, the operation.
#[must_use]
pub fn published() -> [(&'static str, Op); 3] {
    let plain = Convolution::fully_connected(1, 1);
    let wide =
        Convolution { input: [64, 32, 32], outputs: 64, kernel: [3, 3], pads: [1; 4], ..plain };
    let first = Convolution { input: [1, 28, 28], outputs: 16, kernel: [5, 5], ..plain };
    [
        (
            "fully connected 784→128",
            Op::FullyConnected { ring: 24, weight_bits: 8, inputs: 784, outputs: 128 },
        ),
        (
            "convolution 3×3, 64→64 on 32×32",
            Op::Convolution { ring: 24, weight_bits: 8, layer: wide },
        ),
        (
            "convolution 5×5, 1→16 on 28×28",
            Op::Convolution { ring: 22, weight_bits: 8, layer: first },
        ),
    ]
}

/// A model of this operation alone, with random weights.
///
/// # Errors
/// If the plan does not admit it.
pub fn model(op: Op) -> anyhow::Result<Vec<u8>> {
    let (ring, ..) = op.linear().context("not a linear operation")?;
    synthetic::model("layer", &[op, Op::Reveal { ring, len: op.output().1 }])
}

/// Seconds of the offline phase of one prediction of this model, both parties at once: the least of
/// `runs`.
///
/// # Errors
/// If a session fails.
pub fn offline(model: &[u8], runs: usize) -> anyhow::Result<f64> {
    let model = crate::Model::from_bytes(model)?;
    let options = ClientOptions::new().plan(model.plan().clone()).session(Options::default());
    let server = Server::new(model.clone());
    server.prepare(1)?;
    loopback::connected(None, &server, options, |mut client| {
        let x = vec![0.0; model.plan().input_len()];
        let mut best = f64::MAX;
        for _ in 0..runs {
            let began = Instant::now();
            client.prepare()?;
            best = best.min(began.elapsed().as_secs_f64());
            client.predict(&x)?;
        }
        client.close()?;
        Ok(best)
    })
}

/// The server's product online: a model's first layer times shares.
pub struct Online<'m> {
    layer: Layer<'m>,
    x: Vec<u64>,
    y: Vec<u64>,
}

impl<'m> Online<'m> {
    /// The layer of this model, with random shares.
    ///
    /// # Errors
    /// If there is no layer.
    pub fn new(model: &Model<'m>) -> anyhow::Result<Self> {
        let header = model.plan().header();
        let (mut random, ring) = (Seed([8; 32]).stream(Domain::Mask, 0), model.plan().input_ring());
        let x = (0..header.input_len).map(|_| random.next_u64() >> (64 - ring)).collect();
        Ok(Self {
            layer: model.layers().next().context("no layer")?,
            x,
            y: vec![0; header.output_len as usize],
        })
    }

    /// `y = W·x + b`.
    pub fn run(&mut self) {
        let done = self.layer.apply(black_box(&self.x), &mut self.y);
        debug_assert!(done.is_ok());
    }
}
