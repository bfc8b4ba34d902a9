//! What runs on OT in the paper's profile: garbled circuits and squares mod N, between two parties
//! in one process.
//!
//! The OT extension is the core's with k = 1 (IKNP), garbling its half-gates, products its Gilboa
//! products mod N; nothing travels, what would is counted. The 128 base OTs are handed over: they
//! belong to the set-up, which this profile leaves out.

use super::batch::RING;
use super::traffic::Cost;
use anyhow::Context as _;
use minionn_core::block::Block;
use minionn_core::garble::{
    Circuit, EvaluateBuffers, Evaluator, GATE_BYTES, GarbleBuffers, Garbler, totals,
};
use minionn_core::hash::Tmmo;
use minionn_core::ot::{self, GROUP, OtMultiply, Receiver, Repetition, Sender, product_bits};
use minionn_core::params::KAPPA;
use minionn_core::rng::{Domain, Prg, Seed};
use minionn_core::target::LANES;
use minionn_core::wire::packed_len;

/// IKNP: the OT extension of the paper's time.
pub const REPETITION: Repetition = Repetition::K1;
/// Bits of a share.
const BITS: u32 = RING.bits();

/// Leaves of the OT extension's trees, which outlive [`Parties`].
#[derive(Default)]
pub struct Leaves {
    client: Vec<Block>,
    server: Vec<Block>,
}

/// Labels of OTs: the client's `T`, the server's `Q`, `T = Q ⊕ b·Δ`.
struct Labels {
    client: Vec<Block>,
    server: Vec<Block>,
}

/// What both parties keep between operations.
pub struct Parties<'l> {
    receiver: Receiver<'l>,
    sender: Sender<'l>,
    /// Sums of labels: the client's, the server's.
    sums: [[Block; GROUP]; 2],
    /// Public key of garbling and hashing.
    session: Tmmo,
    /// The server's.
    secret: Tmmo,
    server_random: Prg,
    /// Circuits garbled so far: each needs a name of its own.
    layers: u64,
    /// Products so far: each OT of theirs needs a tweak of its own.
    tweak: u128,
}

/// What an operation on shares gave.
pub struct Outcome {
    /// For each neuron the output bits.
    pub outputs: Vec<u64>,
    /// AND gates.
    pub and_gates: u64,
    /// OTs, without padding.
    pub ots: u64,
}

impl<'l> Parties<'l> {
    /// Sets both parties up.
    ///
    /// # Errors
    /// None for memory of the right length, which this allocates.
    pub fn new(seed: &Seed, leaves: &'l mut Leaves) -> anyhow::Result<Self> {
        let mut random = seed.stream(Domain::Label, 0);
        let (session, secret) = (Tmmo::new(random.next_u128()), Tmmo::new(random.next_u128()));
        let delta = random.next_u128() | 1;
        leaves.client = vec![0; REPETITION.leaves()];
        leaves.server = vec![0; REPETITION.leaves()];
        let mut messages = [[0; 2]; KAPPA];
        let client = ot::Leaves::new(REPETITION, &mut leaves.client)?;
        let keep = |b: usize, pair| messages.iter_mut().skip(b).take(1).for_each(|to| *to = pair);
        let mut receiver = Receiver::new(client, &mut random, &session, &session, keep)?;
        let mut received = [0; KAPPA];
        for (b, (to, [m0, m1])) in received.iter_mut().zip(messages).enumerate() {
            *to = if delta >> b & 1 == 0 { m0 } else { m1 };
        }
        let server = ot::Leaves::new(REPETITION, &mut leaves.server)?;
        let mut sender = Sender::new(server, delta, &received, &session, &session)?;
        // One run for all: the published method has no check, so its bytes are not counted.
        let mut mask = [0; REPETITION.correction_bytes_per_group()];
        let mut sums = [[0; GROUP]; 2];
        let [ours, theirs] = &mut sums;
        receiver.start(ours, &mut mask)?;
        sender.start(theirs, &mask)?;
        let server_random = seed.stream(Domain::Mask, 0);
        Ok(Self { receiver, sender, sums, session, secret, server_random, layers: 0, tweak: 0 })
    }

    /// One OT for each of the low [`BITS`] bits of every value, lowest first.
    fn transfer(&mut self, values: &[u64], cost: &mut Cost) -> anyhow::Result<Labels> {
        let bits: Vec<u128> =
            values.iter().flat_map(|v| (0..BITS).map(move |i| u128::from(v >> i & 1))).collect();
        let choices: Vec<u128> = bits
            .chunks(GROUP)
            .map(|group| group.iter().rev().fold(0, |word, bit| word << 1 | bit))
            .collect();
        let mut labels = Labels {
            client: vec![0; choices.len() * GROUP],
            server: vec![0; choices.len() * GROUP],
        };
        let mut corrections = vec![0; choices.len() * REPETITION.correction_bytes_per_group()];
        let [ours, theirs] = &mut self.sums;
        self.receiver.extend(ours, &choices, &mut labels.client, &mut corrections)?;
        cost.bytes_up += corrections.len() as u64;
        self.sender.extend(theirs, &corrections, &mut labels.server)?;
        Ok(labels)
    }

    /// Garbles and evaluates `circuit`. `server`: for each neuron its share of each of the
    /// circuit's values. `client`: for each neuron the same, and the mask of the output if the
    /// circuit has one. Labels and tables are counted; the outputs are not.
    ///
    /// # Errors
    /// If the lengths do not fit the circuit.
    pub fn garble<C: Circuit>(
        &mut self,
        circuit: &C,
        server: &[u64],
        client: &[u64],
        cost: &mut Cost,
    ) -> anyhow::Result<Outcome> {
        let (shape, steps) = (totals(circuit), circuit.steps());
        let neurons = server.len() / steps;
        let labels = self.transfer(client, cost)?;
        self.layers += 1;
        let garbler = Garbler::new(&self.session, &self.secret, self.sender.delta(), self.layers);
        let evaluator = Evaluator::new(&self.session, self.layers);

        let (inputs, bits) = (shape.client_inputs as usize, BITS as usize);
        let mut tables = vec![0; LANES * shape.table_bytes()];
        let mut active = vec![0; LANES * shape.server_inputs as usize];
        let mut outputs = Vec::with_capacity(neurons);
        for first in (0..neurons).step_by(LANES) {
            let lanes = LANES.min(neurons - first);
            let range = first * inputs..(first + lanes) * inputs;
            let (zero, chosen) = (
                labels.server.get(range.clone()).context("OTs")?,
                labels.client.get(range).context("OTs")?,
            );
            let tables = tables.get_mut(..lanes * shape.table_bytes()).context("tables")?;
            let active =
                active.get_mut(..lanes * shape.server_inputs as usize).context("labels")?;
            let (mut decode, mut colours) = ([0; LANES], [0; LANES]);
            let (decode, colours) = (
                decode.get_mut(..lanes).context("lanes")?,
                colours.get_mut(..lanes).context("lanes")?,
            );
            let neurons = first as u64..(first + lanes) as u64;
            let buffers =
                GarbleBuffers { client_zero: zero, tables: &mut *tables, decode: &mut *decode };
            garbler.garble_neurons::<C, LANES>(circuit, neurons.clone(), buffers)?;
            let shares = server.iter().enumerate().skip(first * steps);
            for ((instance, &share), out) in shares.zip(active.chunks_exact_mut(bits)) {
                garbler.active_labels(instance as u64, 0, share, out)?;
            }
            cost.bytes_down += (tables.len() + size_of_val(active)) as u64;
            let buffers = EvaluateBuffers {
                tables,
                server_labels: active,
                client_labels: chosen,
                colours: &mut *colours,
            };
            evaluator.evaluate_neurons::<C, LANES>(circuit, neurons, buffers)?;
            outputs.extend(colours.iter().zip(decode).map(|(colour, decode)| colour ^ *decode));
        }
        debug_assert_eq!(shape.table_bytes(), shape.ands as usize * GATE_BYTES);
        Ok(Outcome {
            outputs,
            and_gates: neurons as u64 * u64::from(shape.ands),
            ots: (neurons * inputs) as u64,
        })
    }

    /// The server's shares `y² − r mod N` (the paper's Figure 8), for shares `server + client = y`.
    ///
    /// # Errors
    /// None for shares in `[0, N)`.
    pub fn square(
        &mut self,
        server: &[u64],
        client: &[u64],
        r: &[u64],
        cost: &mut Cost,
    ) -> anyhow::Result<Outcome> {
        let labels = self.transfer(client, cost)?;
        let (mut outputs, mut corrections) = (Vec::with_capacity(server.len()), [0; BITS as usize]);
        let labels = labels
            .server
            .chunks_exact(BITS as usize)
            .zip(labels.client.chunks_exact(BITS as usize));
        for (((&y_s, &y_c), &r), (q, t)) in server.iter().zip(client).zip(r).zip(labels) {
            let a = super::triplet::uniform(&mut self.server_random);
            let multiply =
                OtMultiply { modulus: RING, hash: &self.session, tweak_base: self.tweak };
            let p_s = multiply.server(a, q, self.sender.delta(), &mut corrections)?;
            let p_c = multiply.client(y_c, t, &corrections)?;
            self.tweak += u128::from(BITS);
            // The server opens y_s − a; the client answers with its share of y², less r.
            let cross = RING.add(p_c, RING.mul(RING.sub(y_s, a), y_c));
            let answer = RING.sub(RING.add(RING.mul(y_c, y_c), RING.add(cross, cross)), r);
            outputs.push(RING.add(answer, RING.add(RING.mul(y_s, y_s), RING.add(p_s, p_s))));
        }
        let n = outputs.len() as u64;
        cost.bytes_down += n * packed_len(1, product_bits(RING)) + packed_len(n, BITS);
        cost.bytes_up += packed_len(n, BITS);
        Ok(Outcome { outputs, and_gates: 0, ots: n * u64::from(BITS) })
    }
}
