//! The method as published beside the project's own, on one model in one run.

use super::own::{self, Measured};
use super::paper::traffic::Cost;
use super::paper::{self, Profile, cipher, triplet::Counts};
use crate::costs::kind;
use crate::model::Model;
use crate::npy::Array;
use crate::threads::Threads;
use crate::units::bytes;
use anyhow::Context as _;
use core::fmt::{self, Write as _};
use minionn_core::params::FLOOD_BITS;
use minionn_core::plan::Op;
use minionn_core::plan::tile::Tile;
use minionn_core::rng::Seed;
use minionn_core::session::Options;
use serde::Serialize;

/// The layer of the paper's Table 3: inputs, outputs.
const TABLE_3: [u32; 2] = [784, 128];
/// SecureML's counts for that layer, as the paper's Table 3 has them: 912 transfers in all.
const SECUREML: Counts = Counts { up: 784, multiplications: 100_352, down: 128, decryptions: 128 };

/// One linear layer, or the step between two.
#[derive(Clone, Debug, Serialize)]
pub struct Operation {
    /// What it is, in words.
    pub kind: String,
    /// Elements in and out.
    pub shape: [u32; 2],
    /// As published.
    pub paper: paper::Row,
    /// Ciphertexts of the project's own packing, for one stock; of a linear layer.
    pub own: Option<Counts>,
}

/// The paper's Table 3: its layer from 784 inputs to 128 outputs, three times.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Table3 {
    /// SecureML, as the table has it.
    pub secureml: Counts,
    /// MiniONN as published, counted in this run.
    pub paper: Counts,
    /// The project's own method.
    pub own: Counts,
}

/// Both methods on one model.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// Name of the model.
    pub network: String,
    /// What the published method's figures are good for.
    pub warning: &'static str,
    /// Flooding that the published parameters leave room for, in bits; 40 are needed.
    pub flooding_bits: u32,
    /// Operation by operation.
    pub operations: Vec<Operation>,
    /// The paper's Table 3, if the network has that layer.
    pub table_3: Option<Table3>,
    /// The published method's offline phase.
    pub offline: Cost,
    /// The published method's online phase.
    pub online: Cost,
    /// The published method's offline and online seconds, run by run.
    pub each: Vec<[f64; 2]>,
    /// The published method's encoding of the weights: once for each model, in no phase.
    pub preparation_seconds: f64,
    /// The project's own method.
    pub own: Measured,
    /// How many times faster the own method is, offline and online together.
    pub speed_up: f64,
    /// How many times fewer bytes it sends.
    pub fewer_bytes: f64,
}

/// Runs both, the published method on the first row of `inputs` only. Seconds are those of the
/// median run, after one to warm up.
///
/// # Errors
/// As [`paper::run`] and [`own::measure`].
pub fn compare(
    model: &Model,
    options: Options,
    runs: u32,
    inputs: &Array,
    seed: &Seed,
) -> anyhow::Result<Comparison> {
    let plan = model.plan().core();
    let row = inputs.rows_of(model.plan().input_len())?.next().context("no inputs")?;
    let x = model.plan().quantise(0, row)?;
    let profiles: anyhow::Result<Vec<Profile>> = (0..=runs.max(1))
        .map(|run| paper::run(model.core(), &x, &seed.derive(run.into())))
        .collect();
    let mut profiles = profiles?.split_off(1);
    let each = profiles.iter().map(|p| [p.offline.seconds, p.online.seconds]).collect();
    profiles.sort_by(|a, b| {
        (a.offline.seconds + a.online.seconds).total_cmp(&(b.offline.seconds + b.online.seconds))
    });
    let profile = profiles.swap_remove(profiles.len() / 2);
    let own = own::measure(model, options, None, &Threads::default(), runs, inputs)?;

    let operations: anyhow::Result<Vec<Operation>> = plan
        .ops()
        .zip(&profile.rows)
        .map(|(op, &paper)| {
            let shape = [op.input().1, op.output().1];
            Ok(Operation { kind: kind(&op), shape, paper, own: own_counts(&op, options.stock)? })
        })
        .collect();
    let operations = operations?;
    let table_3 = operations.iter().find(|o| o.is_table_3());
    let table_3 = table_3
        .and_then(|o| Some(Table3 { secureml: SECUREML, paper: o.paper.ciphertexts, own: o.own? }));
    let both = profile.offline.plus(profile.online);
    Ok(Comparison {
        network: plan.name().to_owned(),
        warning: paper::WARNING,
        flooding_bits: cipher::STATISTICAL_BITS,
        operations,
        table_3,
        offline: profile.offline,
        online: profile.online,
        each,
        preparation_seconds: profile.preparation_seconds,
        speed_up: both.seconds / own.seconds(),
        fewer_bytes: both.bytes() as f64 / own.bytes() as f64,
        own,
    })
}

/// What the project's own packing of a linear layer takes.
fn own_counts(op: &Op, stock: u32) -> anyhow::Result<Option<Counts>> {
    if !op.is_linear() {
        return Ok(None);
    }
    let tile = Tile::choose(op, stock as usize)?;
    let (up, down) = (tile.up() as u64, tile.down() as u64);
    Ok(Some(Counts { up, multiplications: tile.products(), down, decryptions: down }))
}

impl Operation {
    /// Whether this is the layer of the paper's Table 3.
    fn is_table_3(&self) -> bool {
        self.own.is_some() && self.shape == TABLE_3 && self.kind == "fully connected"
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}: the method as published (n = 4096, N = {}), both parties in one process",
            self.network,
            paper::batch::MODULUS
        )?;
        writeln!(
            f,
            "{}: {} bits of flooding fit, {FLOOD_BITS} are needed.\n",
            self.warning, self.flooding_bits
        )?;
        self.layers(f)?;
        self.totals(f)?;
        if let Some(table) = &self.table_3 {
            writeln!(f, "\n{table}")?;
        }
        f.write_str(NOTES)
    }
}

/// What the figures leave out.
const NOTES: &str = "
As published, on this project's own lattice, OT and garbling code: the method is compared, not the
authors' implementation. Triplets are offline; OTs (IKNP), garbled tables and products are online;
weights are encoded before. Base OTs are handed over in process; bytes are those that would travel,
without frames. Max-pooling and ReLU share one circuit in both. Own method: two threads over
loopback TCP. Keys and base OTs are left out of both.
";

fn dash(n: u64) -> String {
    if n == 0 { "-".to_owned() } else { n.to_string() }
}

impl Comparison {
    fn layers(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head =
            ["ct up", "mult.", "ct down", "decr.", "own up", "own mult.", "own down", "AND", "OT"];
        write!(f, "{:<18}{:>12}", "operation", "shape")?;
        head.iter().try_for_each(|name| write!(f, "{name:>10}"))?;
        writeln!(f, "{:>11}{:>11}{:>10}{:>10}", "offline", "online", "off. s", "on. s")?;
        for o in &self.operations {
            let (c, own) = (o.paper.ciphertexts, o.own.unwrap_or_default());
            write!(f, "{:<18}{:>12}", o.kind, format!("{}→{}", o.shape[0], o.shape[1]))?;
            let counts = [
                c.up,
                c.multiplications,
                c.down,
                c.decryptions,
                own.up,
                own.multiplications,
                own.down,
                o.paper.and_gates,
                o.paper.ots,
            ];
            counts.iter().try_for_each(|&n| write!(f, "{:>10}", dash(n)))?;
            let (offline, online) = (o.paper.offline, o.paper.online);
            writeln!(
                f,
                "{:>11}{:>11}{:>10.4}{:>10.4}",
                bytes(offline.bytes()),
                bytes(online.bytes()),
                offline.seconds,
                online.seconds
            )?;
        }
        f.write_char('\n')
    }

    fn totals(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own = &self.own;
        let per_stock = f64::from(own.stock);
        writeln!(
            f,
            "{:<26}{:>11}{:>11}{:>11}{:>11}{:>11}{:>11}",
            "one prediction", "offline s", "online s", "sum s", "offline", "online", "sum"
        )?;
        let mut line = |name: &str, seconds: [f64; 2], sizes: [u64; 2]| {
            let [offline, online] = sizes;
            let sum = seconds[0] + seconds[1];
            write!(f, "{name:<26}{:>11.4}{:>11.4}{sum:>11.4}", seconds[0], seconds[1])?;
            writeln!(
                f,
                "{:>11}{:>11}{:>11}",
                bytes(offline),
                bytes(online),
                bytes(offline + online)
            )
        };
        line(
            "as published",
            [self.offline.seconds, self.online.seconds],
            [self.offline.bytes(), self.online.bytes()],
        )?;
        let name = if own.stock == 1 {
            "own method".to_owned()
        } else {
            format!("own method, stock of {}", own.stock)
        };
        let sizes = [own.offline.bytes() / u64::from(own.stock), own.online.bytes()];
        line(&name, [own.offline.seconds / per_stock, own.online.seconds], sizes)?;
        writeln!(f, "{:.1} times faster, {:.1} times fewer bytes", self.speed_up, self.fewer_bytes)
    }
}

impl fmt::Display for Table3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<34}", "784→128, the paper's Table 3")?;
        write!(
            f,
            "{:>12}{:>16}{:>12}{:>12}",
            "encryptions", "multiplications", "transfers", "decryptions"
        )?;
        let rows = [
            ("SecureML, as published", self.secureml),
            ("MiniONN as published, this run", self.paper),
            ("own method", self.own),
        ];
        for (name, c) in rows {
            let transfers = format!("{} + {}", c.up, c.down);
            write!(
                f,
                "\n{name:<34}{:>12}{:>16}{transfers:>12}{:>12}",
                c.up, c.multiplications, c.decryptions
            )?;
        }
        Ok(())
    }
}
