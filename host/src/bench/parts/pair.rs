//! Both parties in memory, one after the other on one thread, with fixed seeds: the same
//! instructions in every run.

use super::{Facts, Measure, Needs};
use crate::bench::networks;
use crate::memory::Memory;
use anyhow::{Context as _, ensure};
use minionn_core::cost;
use minionn_core::model::Model;
use minionn_core::ot::Repetition;
use minionn_core::rng::{Domain, KnownSeed, Seed};
use minionn_core::session::engine::{Buffers, ClientEngine, ServerEngine, Status};
use minionn_core::session::{Options, Prepared, prepared_memory};

/// Bytes moved at a time.
const PIECE: usize = 1 << 16;

/// A session, both ends of it.
struct Pair<'m> {
    client: ClientEngine<'m>,
    server: ServerEngine<'m>,
    buffer: Vec<u8>,
}

/// Memory for one session after the other.
struct Room {
    client: Memory,
    server: Memory,
}

impl Room {
    fn new(model: &Model<'_>, options: &Options) -> anyhow::Result<Self> {
        let (plan, buffers) = (model.plan(), Buffers::default());
        let client = Memory::new(ClientEngine::memory(plan, options, buffers)?);
        Ok(Self { client, server: Memory::new(ServerEngine::memory(plan, options, buffers)?) })
    }
}

impl<'m> Pair<'m> {
    fn new(
        model: &Model<'m>,
        prepared: &'m Prepared<'m>,
        options: Options,
        room: &'m mut Room,
    ) -> anyhow::Result<Self> {
        let buffers = Buffers::default();
        Ok(Self {
            client: ClientEngine::new(
                *model.plan(),
                options,
                buffers,
                room.client.bytes(),
                &mut KnownSeed::new(Seed([1; 32])),
            )?,
            server: ServerEngine::new(
                prepared,
                options,
                buffers,
                room.server.bytes(),
                &mut KnownSeed::new(Seed([2; 32])),
            )?,
            buffer: vec![0; PIECE],
        })
    }

    /// Moves bytes both ways until the client has nothing left to do.
    fn settle(&mut self) -> anyhow::Result<()> {
        loop {
            let status = self.client.poll()?;
            let up = self.client.drain(&mut self.buffer);
            let mut bytes = self.buffer.get(..up).unwrap_or_default();
            while !bytes.is_empty() {
                let taken = self.server.feed(bytes);
                bytes = bytes.get(taken..).unwrap_or_default();
                self.server.poll()?;
            }
            self.server.poll()?;
            let down = self.server.drain(&mut self.buffer);
            let mut bytes = self.buffer.get(..down).unwrap_or_default();
            while !bytes.is_empty() {
                let taken = self.client.feed(bytes);
                bytes = bytes.get(taken..).unwrap_or_default();
                self.client.poll()?;
            }
            if up + down == 0 && status != Status::Busy {
                return Ok(());
            }
        }
    }
}

/// Runs `then` on a network of the paper, its weights prepared, as it is measured there and with k
/// = 8.
fn with_network(
    name: &str,
    then: impl FnOnce(&Model<'_>, &Prepared<'_>, Options) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let network = networks::find(name).context("no such network")?;
    let options = Options {
        tables: network.tables,
        repetition: Repetition::K8,
        stock: 1,
        ..Options::default()
    };
    let model = network.model()?;
    let model = *model.core();
    let mut memory = Memory::new(prepared_memory(model.plan(), options.stock)?);
    let prepared = Prepared::new(model, options.stock, memory.bytes())?;
    then(&model, &prepared, options)
}

fn facts(what: String, phase: cost::Phase) -> Facts {
    let needs =
        Needs { wire: phase.up + phase.down, rounds: phase.rounds.into(), ..Needs::default() };
    Facts { what, units: 1, unit: "run", needs }
}

/// Keys and base OTs.
///
/// # Errors
/// Those of a session and of `measure`, as everywhere here.
pub fn set_up(measure: Measure<'_>) -> anyhow::Result<()> {
    with_network("fig10", |model, prepared, options| {
        let mut room = Room::new(model, &options)?;
        let facts = facts("set-up with base OTs, both parties".into(), cost::setup());
        measure(facts, &mut || Pair::new(model, prepared, options, &mut room)?.settle())
    })
}

/// Offline phase of one prediction.
///
/// # Errors
/// As above.
pub fn offline(name: &str, measure: Measure<'_>) -> anyhow::Result<()> {
    with_network(name, |model, prepared, options| {
        let mut room = Room::new(model, &options)?;
        let mut pair = Pair::new(model, prepared, options, &mut room)?;
        pair.settle()?;
        measure(
            facts(format!("{name} offline, both parties"), cost::offline(model.plan(), &options)?),
            &mut || {
                pair.client.prepare()?;
                pair.settle()
            },
        )
    })
}

/// Online phase of one prediction, whose answer is held against the integer model.
///
/// # Errors
/// As above.
pub fn online(name: &str, measure: Measure<'_>) -> anyhow::Result<()> {
    with_network(name, |model, prepared, options| {
        let (plan, mut random) = (model.plan(), Seed([3; 32]).stream(Domain::Mask, 0));
        let (header, q) = (plan.header(), plan.header().input);
        let values = (i64::from(q.max) - i64::from(q.min)) as u64 + 1;
        let x: Vec<i64> = (0..header.input_len)
            .map(|_| i64::from(q.min) + (random.next_u64() % values) as i64)
            .collect();
        let mut expected = vec![0; header.output_len as usize];
        let best = model.evaluate(&x, &mut vec![0; Model::scratch_len(plan)], &mut expected)?;

        let mut room = Room::new(model, &options)?;
        let mut pair = Pair::new(model, prepared, options, &mut room)?;
        pair.settle()?;
        pair.client.prepare()?;
        pair.settle()?;
        measure(
            facts(format!("{name} online, both parties"), cost::online(plan, &options)),
            &mut || {
                pair.client.predict_quantised(&x)?;
                pair.settle()
            },
        )?;
        let mut got = vec![0; pair.client.answer_len()];
        let equal = pair.client.answer(&mut got)? == best && (plan.is_argmax() || got == expected);
        ensure!(equal, "a private prediction differs from the integer model: please report this");
        Ok(())
    })
}
