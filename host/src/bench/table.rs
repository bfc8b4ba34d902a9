//! Single parts beside the limits of the machine, all in one run.

use super::limits::{Limits, fastest};
use super::parts::{Facts, Needs, PARTS};
use super::primitives::{extension, layers, seconds, streamed};
use core::fmt;
use core::time::Duration;
use minionn_core::cost;
use minionn_core::garble::GATE_BYTES;
use minionn_core::model::Model;
use minionn_core::ot::{GROUP, Repetition};
use minionn_core::plan::Op;
use minionn_core::session::Options;
use serde::Serialize;

/// How long each part is tried.
const EACH: Duration = Duration::from_millis(150);
/// Offline phases of a layer, and predictions of a streamed one, the fastest of which counts.
const RUNS: u32 = 5;
/// Runs of OTs over loopback: 4 million OTs.
const CHUNKS: usize = 128;
/// Neurons of the streamed layer.
const NEURONS: u32 = 1 << 15;

/// One part.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Its name, for machines.
    pub name: &'static str,
    /// In words.
    pub what: String,
    /// What one of it is.
    pub unit: &'static str,
    /// Seconds of one.
    pub seconds: f64,
    /// Seconds of what one needs at the least.
    pub limit_seconds: f64,
    /// How many times the limit it takes.
    pub ratio: f64,
}

/// All parts.
#[derive(Clone, Debug, Serialize)]
pub struct Table {
    /// What they are held against, in seconds.
    pub limits: Limits,
    /// Each part.
    pub rows: Vec<Row>,
}

impl Row {
    fn new(name: &'static str, facts: Facts, seconds: f64, limits: &Limits) -> Self {
        let (units, limit) = (facts.units as f64, limits.seconds(&facts.needs));
        let Facts { what, unit, .. } = facts;
        Self {
            name,
            what,
            unit,
            seconds: seconds / units,
            limit_seconds: limit / units,
            ratio: seconds / limit,
        }
    }
}

/// Measures every part whose body can run again and again, linear layers, and a streamed layer of
/// ReLUs.
///
/// # Errors
/// If one fails.
pub fn measure() -> anyhow::Result<Table> {
    let mut limits = Limits::measure(EACH)?;
    let mut rows = vec![];
    for part in PARTS.iter().filter(|part| part.again) {
        (part.set_up)(&mut |facts, body| {
            let row = Row::new(part.name, facts, fastest(EACH, body)?, &limits);
            match part.name {
                "ntt" => limits.transform = row.seconds,
                "prg" => limits.random_byte = row.seconds,
                _ => {}
            }
            rows.push(row);
            Ok(())
        })?;
    }
    for (what, op) in layers::published() {
        rows.extend(layer(what, op, &limits)?);
    }
    for repetition in Repetition::ALL {
        let (ots, seconds) = extension::over_loopback(repetition, CHUNKS, RUNS)?;
        let needs = Needs {
            wire: (ots / GROUP * repetition.correction_bytes_per_group()) as u64,
            ..Needs::default()
        };
        let what = format!("OT extension, both parties over loopback, k = {}", repetition.k());
        rows.push(Row::new(
            "extension",
            Facts { what, units: ots as u64, unit: "OT", needs },
            seconds,
            &limits,
        ));
    }
    let network = streamed::Network::new(NEURONS, [22, 16], 7)?;
    for repetition in Repetition::ALL {
        let what = format!("OTs, garble, send, evaluate, k = {}", repetition.k());
        // Bits of a correction for every OT are few beside the tables.
        let needs = Needs { wire: GATE_BYTES as u64, ..Needs::default() };
        let seconds = 1.0 / network.and_gates_per_second(repetition, RUNS)?;
        rows.push(Row::new(
            "streamed",
            Facts { what, units: 1, unit: "AND", needs },
            seconds,
            &limits,
        ));
    }
    let network = streamed::Network::new(NEURONS, [24, 22], 10)?;
    for repetition in Repetition::ALL {
        let (seconds, bytes) = network.compared(repetition, RUNS)?;
        let what = format!("ReLU, truncation of 24 bits, by comparison, k = {}", repetition.k());
        rows.push(Row::new(
            "compared",
            Facts {
                what,
                units: 1,
                unit: "ReLU",
                needs: Needs { wire: bytes, ..Needs::default() },
            },
            seconds,
            &limits,
        ));
    }
    Ok(Table { limits, rows })
}

/// A linear layer: the offline phase of one prediction, both parties over loopback, and the
/// server's product online.
fn layer(what: &str, op: Op, limits: &Limits) -> anyhow::Result<[Row; 2]> {
    let bytes = layers::model(op)?;
    let model = Model::parse(&bytes)?;
    let cost = cost::offline(model.plan(), &Options::default())?;
    let wire = Needs { wire: cost.up + cost.down, rounds: cost.rounds.into(), ..Needs::default() };
    let offline = Facts { what: format!("{what}, offline"), units: 1, unit: "layer", needs: wire };
    let weights: usize = model.layers().map(|layer| layer.weights().count()).sum();
    let read = Needs {
        bytes: weights as u64 + 8 * u64::from(op.input().1 + op.output().1),
        ..Needs::default()
    };
    let product = Facts { what: format!("{what}, W·x"), units: 1, unit: "layer", needs: read };
    let mut online = layers::Online::new(&model)?;
    Ok([
        Row::new("layer-offline", offline, layers::offline(&bytes, RUNS as usize)?, limits),
        Row::new("layer-product", product, seconds(EACH, || online.run()), limits),
    ])
}

/// A time for people, four digits.
fn time(seconds: f64) -> String {
    match seconds {
        s if s < 1e-6 => format!("{:.3} ns", s * 1e9),
        s if s < 1e-3 => format!("{:.2} µs", s * 1e6),
        s => format!("{:.2} ms", s * 1e3),
    }
}

/// A rate for people.
fn rate(per_second: f64) -> String {
    match per_second {
        r if r >= 1e9 => format!("{:.2} G/s", r / 1e9),
        r if r >= 1e6 => format!("{:.1} M/s", r / 1e6),
        r if r >= 1e3 => format!("{:.1} k/s", r / 1e3),
        r => format!("{r:.1} /s"),
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let l = &self.limits;
        writeln!(f, "limits of this machine, one thread")?;
        for (name, seconds) in [
            ("AES block", l.block),
            ("AES key schedule", l.schedule),
            ("byte copied in the cache", 2.0 * l.cached_byte),
            ("byte copied in main memory", 2.0 * l.memory_byte),
            ("byte over loopback TCP", l.loopback_byte),
            ("round trip over loopback TCP", l.round_trip),
        ] {
            writeln!(f, "  {name:<34}{:>12}{:>12}", time(seconds), rate(1.0 / seconds))?;
        }
        writeln!(
            f,
            "\n{:<44}{:>12}{:>12}{:>12}{:>8}  of one",
            "part", "time", "rate", "limit", "ratio"
        )?;
        for row in &self.rows {
            write!(f, "{:<44}{:>12}{:>12}", row.what, time(row.seconds), rate(1.0 / row.seconds))?;
            writeln!(f, "{:>12}{:>8.2}  {}", time(row.limit_seconds), row.ratio, row.unit)?;
        }
        f.write_str(NOTES)
    }
}

/// What the limits are.
const NOTES: &str = "
Garbling, evaluating and OT extension are held against the AES blocks and key schedules that they
need; encryption, decryption and re-randomisation against their transforms and pseudo-random bytes
at the speed above; transforms, products, packing, randomness and checksums against reading and
writing their bytes once in the cache, products of layers against reading weights and shares;
set-up, both parties in memory, layers offline, streamed tables, OTs by both parties and
comparisons, a thread for each party, against their bytes and round trips over loopback. Each is the
fastest of many runs.
";
