//! The method as published (Liu, Juuti, Lu, Asokan, CCS 2017), as a baseline to measure against:
//! SIMD packing at n = 4096, shares mod the prime N of 37 bits, a copy of every element for every
//! row, garbled circuits and squares mod N. **It never serves real inputs**: at this n and N there
//! is no room for 40 bits of flooding ([`cipher::STATISTICAL_BITS`] are left).
//!
//! Both parties run in one process, one after the other; what would travel is counted, without
//! frames. Only the triplets are offline; OTs, garbled tables and products come online. Keys and
//! base OTs are left out of both.
//!
//! It runs on this project's own lattice, OT and garbling code, so what it shows is the method, not
//! the authors' implementation.
//!
//! | module | what it is |
//! |---|---|
//! | [`batch`] | slots: the number-theoretic transform mod N |
//! | [`cipher`] | encryption of batch-encoded polynomials |
//! | [`triplet`] | a linear layer as dot products with copied elements |
//! | `clear` | whether the integers fit N |
//! | [`ots`] | garbled circuits and squares |
//! | [`traffic`] | seconds and bytes |

pub mod batch;
pub mod cipher;
mod clear;
pub mod ots;
pub mod traffic;
pub mod triplet;

use anyhow::{Context as _, bail, ensure};
use batch::{Batch, RING};
use minionn_core::garble::{Argmax, Function, Max, Neuron};
use minionn_core::model::Model;
use minionn_core::plan::{Op, Plan};
use minionn_core::rng::{Domain, Prg, Seed};
use minionn_core::wire::packed_len;
use serde::Serialize;
use std::time::Instant;
use traffic::Cost;
use triplet::{Counts, Dots};

/// What must stand beside every figure of this profile.
pub const WARNING: &str = "This is a measuring profile and never serves real inputs";

/// One operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Row {
    /// Ciphertexts of its triplets.
    pub ciphertexts: Counts,
    /// AND gates garbled.
    pub and_gates: u64,
    /// OTs, without padding.
    pub ots: u64,
    /// Triplets.
    pub offline: Cost,
    /// Everything else.
    pub online: Cost,
}

/// What a prediction came to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Profile {
    /// One for each operation of the plan.
    pub rows: Vec<Row>,
    /// Encoding the weights, once for each model; in no phase.
    pub preparation_seconds: f64,
    /// The sum over all operations.
    pub offline: Cost,
    /// The sum over all operations, and the input.
    pub online: Cost,
    /// What the client got: the opened tensor, or the index alone.
    pub outputs: Vec<i64>,
}

/// Predicts one row of integers, and holds the answer against the integer model in the clear.
///
/// # Errors
/// If the network has an operation that is unknown here, an integer does not fit N, or the answer
/// is another one than the integer model's.
pub fn run(model: &Model<'_>, x: &[i64], seed: &Seed) -> anyhow::Result<Profile> {
    let plan = model.plan();
    clear::check(model, x)?;
    let expected = evaluate(model, x)?;

    let began = Instant::now();
    let batch = Batch::default();
    let mut layers: Vec<Dots<'_>> = model.layers().map(|layer| Dots::new(layer, &batch)).collect();
    let preparation_seconds = began.elapsed().as_secs_f64();

    let mut random = seed.derive(0).stream(Domain::Mask, 0);
    let mut rows = Vec::new();
    let mut parts: Vec<Part<'_>> = Vec::new();
    let mut ciphers = cipher::Client::with_server(&seed.derive(1), seed.derive(2));
    let mut masks = seed.derive(3).stream(Domain::Mask, 0);
    let mut share = mask(plan.header().input_len as usize, &mut random);
    layers.reverse();
    for op in plan.ops() {
        let (mut row, began) = (Row::default(), Instant::now());
        let (dots, server, after) = if op.is_linear() {
            let dots = layers.pop().context("a layer has no weights")?;
            let triplet = dots.triplet(&mut ciphers, &batch, &share, &mut masks)?;
            row.ciphertexts = triplet.counts;
            [row.offline.bytes_up, row.offline.bytes_down] = triplet.counts.bytes();
            (Some(dots), triplet.server, triplet.client)
        } else {
            (None, Vec::new(), client_output(&op, &share, &mut random)?)
        };
        row.offline.stop(began);
        parts.push(Part { op, dots, server, client: share });
        rows.push(row);
        share = after;
    }

    let mut leaves = ots::Leaves::default();
    let mut parties = ots::Parties::new(&seed.derive(4), &mut leaves)?;
    let mut online = Cost::default();
    let began = Instant::now();
    let mut server: Vec<u64> = x
        .iter()
        .zip(parts.first().map(|part| part.client.as_slice()).unwrap_or_default())
        .map(|(&x, &r)| RING.sub(RING.reduce_signed(x), r))
        .collect();
    online.bytes_up = packed_len(server.len() as u64, RING.bits());
    online.stop(began);
    let mut outputs = Vec::new();
    let ends = parts.iter().skip(1).map(|part| part.client.as_slice()).chain([share.as_slice()]);
    for ((part, row), r) in parts.iter().zip(&mut rows).zip(ends) {
        let began = Instant::now();
        match part.online(&server, r, &mut parties, row)? {
            Online::Share(next) => server = next,
            Online::Opened(values) => outputs = values,
        }
        row.online.stop(began);
    }
    ensure!(
        outputs == expected,
        "the result differs from the integer model: {outputs:?} for {expected:?}"
    );
    let offline = rows.iter().map(|row| row.offline).fold(Cost::default(), Cost::plus);
    online = rows.iter().map(|row| row.online).fold(online, Cost::plus);
    Ok(Profile { rows, preparation_seconds, offline, online, outputs })
}

/// Whether this profile knows all operations of a network: chains of layers, without branches.
#[must_use]
pub fn knows(plan: &Plan<'_>) -> bool {
    plan.ops().all(|op| op.is_linear() || step(&op).is_some())
}

/// What an operation without weights leaves in the client's hands.
enum Step {
    /// A share that it draws.
    Drawn,
    /// The same sums of its share.
    Sums,
    /// The result.
    Opened,
}

const fn step(op: &Op) -> Option<Step> {
    match op {
        Op::Activation { .. } | Op::MaxPool { .. } | Op::Square { .. } => Some(Step::Drawn),
        Op::SumPool { .. } => Some(Step::Sums),
        Op::Reveal { .. } | Op::Argmax { .. } => Some(Step::Opened),
        _ => None,
    }
}

/// What the client has to get.
fn evaluate(model: &Model<'_>, x: &[i64]) -> anyhow::Result<Vec<i64>> {
    let plan = model.plan();
    let mut out = vec![0; plan.header().output_len as usize];
    let index = model.evaluate(x, &mut vec![0; Model::scratch_len(plan)], &mut out)?;
    Ok(if plan.is_argmax() { vec![index as i64] } else { out })
}

fn mask(len: usize, random: &mut Prg) -> Vec<u64> {
    (0..len).map(|_| triplet::uniform(random)).collect()
}

/// The client's share of the output of an operation without weights: known before the input is.
fn client_output(op: &Op, share: &[u64], random: &mut Prg) -> anyhow::Result<Vec<u64>> {
    Ok(match step(op) {
        Some(Step::Drawn) => mask(op.output().1 as usize, random),
        Some(Step::Sums) => sums(op, share),
        Some(Step::Opened) => Vec::new(),
        None => bail!("the paper's profile does not know {op:?}"),
    })
}

/// Sums over windows, of either party's share.
fn sums(op: &Op, share: &[u64]) -> Vec<u64> {
    let Op::SumPool { window, .. } = *op else { return Vec::new() };
    let sum =
        |i| window.window_at(i).filter_map(|i| share.get(i)).fold(0, |sum, &x| RING.add(sum, x));
    (0..op.output().1 as usize).map(sum).collect()
}

/// An operation between the phases.
struct Part<'m> {
    op: Op,
    /// The dot products of a linear layer.
    dots: Option<Dots<'m>>,
    /// The server's `u` of a linear layer.
    server: Vec<u64>,
    /// The client's share of the input.
    client: Vec<u64>,
}

/// What an operation gives online.
enum Online {
    /// The server's share of the output.
    Share(Vec<u64>),
    /// What the client learns.
    Opened(Vec<i64>),
}

impl Part<'_> {
    /// `server`: the server's share of the input, `r`: the client's of the output.
    fn online(
        &self,
        server: &[u64],
        r: &[u64],
        parties: &mut ots::Parties<'_>,
        row: &mut Row,
    ) -> anyhow::Result<Online> {
        if let Some(dots) = &self.dots {
            let sums = dots.apply(server);
            return Ok(Online::Share(
                sums.iter().zip(&self.server).map(|(&y, &u)| RING.add(y, u)).collect(),
            ));
        }
        let outcome = match self.op {
            Op::Activation { function, shift, .. } => {
                let circuit = Neuron { function, modulus_in: RING, modulus_out: RING, shift };
                let client: Vec<u64> =
                    self.client.iter().zip(r).flat_map(|(&y, &r)| [y, r]).collect();
                parties.garble(&circuit, server, &client, &mut row.online)?
            }
            Op::MaxPool { function, shift, window, .. } => {
                let inputs = window.window_len();
                let relu = function == Function::Relu;
                let circuit = Max {
                    modulus_in: RING,
                    modulus_out: RING,
                    inputs: u32::try_from(inputs)?,
                    shift,
                    relu,
                };
                let elements = |n: usize| (0..inputs).map(move |i| window.window_element(n, i));
                let of = |share: &[u64], n: usize| -> Vec<u64> {
                    elements(n).filter_map(|i| share.get(i).copied()).collect()
                };
                let shares: Vec<u64> = (0..r.len()).flat_map(|n| of(server, n)).collect();
                let client: Vec<u64> = r
                    .iter()
                    .enumerate()
                    .flat_map(|(n, &r)| of(&self.client, n).into_iter().chain([r]))
                    .collect();
                parties.garble(&circuit, &shares, &client, &mut row.online)?
            }
            Op::Square { .. } => {
                let outcome = parties.square(server, &self.client, r, &mut row.online)?;
                row.ots = outcome.ots;
                return Ok(Online::Share(outcome.outputs));
            }
            Op::SumPool { .. } => return Ok(Online::Share(sums(&self.op, server))),
            Op::Reveal { .. } => {
                row.online.bytes_down += packed_len(server.len() as u64, RING.bits());
                let opened =
                    server.iter().zip(&self.client).map(|(&s, &c)| RING.to_signed(RING.add(s, c)));
                return Ok(Online::Opened(opened.collect()));
            }
            Op::Argmax { len, .. } => {
                let outcome = parties.garble(
                    &Argmax { modulus: RING, inputs: len },
                    server,
                    &self.client,
                    &mut row.online,
                )?;
                row.online.bytes_down += size_of::<u64>() as u64;
                (row.and_gates, row.ots) = (outcome.and_gates, outcome.ots);
                return Ok(Online::Opened(outcome.outputs.iter().map(|&i| i as i64).collect()));
            }
            op => bail!("the paper's profile does not know {op:?}"),
        };
        (row.and_gates, row.ots) = (outcome.and_gates, outcome.ots);
        row.online.bytes_up += packed_len(outcome.outputs.len() as u64, RING.bits());
        Ok(Online::Share(outcome.outputs))
    }
}
