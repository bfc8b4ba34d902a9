//! The project's own method: one thread for each party, TCP over loopback, bare or as an emulated
//! link.

use crate::client::{Phase, Phases};
use crate::link_model::LinkModel;
use crate::loopback;
use crate::model::Model;
use crate::npy::Array;
use crate::report::Report;
use crate::threads::Threads;
use crate::{ClientOptions, Server, ServerOptions};
use anyhow::{Context as _, ensure};
use minionn_core::cost;
use minionn_core::rng::{Domain, Seed};
use minionn_core::session::{MAX_STOCK, Options};
use serde::Serialize;

/// Medians over all runs.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    /// The emulated link, if there was one.
    pub link: Option<LinkModel>,
    /// Runs, each with a connection of its own; one more went before to warm up.
    pub runs: u32,
    /// Predictions in a stock.
    pub stock: u32,
    /// Keys and base OTs, once for each connection.
    pub setup: Phase,
    /// One stock.
    pub offline: Phase,
    /// One prediction.
    pub online: Phase,
    /// Offline and online seconds of one prediction, run by run.
    pub each: Vec<[f64; 2]>,
    /// What the emulated link alone takes.
    pub arithmetic: Option<Arithmetic>,
}

/// Seconds that a link takes between parties that take none.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Arithmetic {
    /// Once for each connection.
    pub setup: f64,
    /// One stock.
    pub offline: f64,
    /// One prediction.
    pub online: f64,
}

impl Measured {
    /// The link for people.
    #[must_use]
    pub fn link_name(&self) -> &str {
        self.link.as_ref().map_or("loopback", |link| &link.name)
    }

    /// Offline and online seconds of one prediction.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.offline.seconds / f64::from(self.stock) + self.online.seconds
    }

    /// Offline and online bytes of one prediction.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.offline.bytes() / u64::from(self.stock) + self.online.bytes()
    }
}

/// Inputs for a stock: the rows of `given` over and over, or random ones in the model's range.
///
/// # Errors
/// If the rows do not fit the model.
pub fn inputs(
    model: &Model,
    given: Option<&Array>,
    stock: usize,
    seed: &Seed,
) -> anyhow::Result<Array> {
    let header = model.plan().core().header();
    let (len, q) = (header.input_len as usize, header.input);
    let data: Vec<f32> = match given {
        Some(array) => array.rows_of(len)?.cycle().take(stock).flatten().copied().collect(),
        None => {
            let values = (i64::from(q.max) - i64::from(q.min)) as u64 + 1;
            let mut random = seed.stream(Domain::Mask, 0);
            (0..stock * len)
                .map(|_| (i64::from(q.min) + (random.next_u64() % values) as i64) as f32 * q.scale)
                .collect()
        }
    };
    Array::new(&[stock, len], data).context("no inputs")
}

/// Measures `runs` sessions of one stock each, every answer held against the integer model and the
/// traffic against its prediction. `inputs`: one row for each prediction of a stock. Both parties
/// have `threads`. The run that warms up goes over bare loopback.
///
/// # Errors
/// If a session fails, an answer differs, or the traffic does.
pub fn measure(
    model: &Model,
    session: Options,
    link: Option<&LinkModel>,
    threads: &Threads,
    runs: u32,
    inputs: &Array,
) -> anyhow::Result<Measured> {
    ensure!(inputs.rows() == session.stock as usize, "a stock takes as many rows of inputs");
    let rows = inputs.rows_of(model.plan().input_len())?;
    let expected = model.predict_plain_batch(rows.clone())?;
    let options = ServerOptions::new().max_stock(MAX_STOCK).threads(threads.clone());
    let server = Server::with_options(model.clone(), options);
    server.prepare(session.stock)?;
    let client =
        ClientOptions::new().plan(model.plan().clone()).session(session).threads(threads.clone());
    let mut reports = Vec::new();
    for run in 0..=runs.max(1) {
        let emulated = link.filter(|_| run > 0);
        let report = loopback::connected(emulated, &server, client.clone(), |client| {
            Ok(Report::make(client, rows.clone(), || {})?)
        })?;
        ensure!(
            report.predictions == expected,
            "a private prediction differs from the integer model: please report this"
        );
        if run > 0 {
            reports.push(report.phases);
        }
    }
    let plan = model.plan().core();
    let phase = |of: fn(&Phases) -> Phase, predicted: cost::Phase, parts: u32| {
        median(reports.iter().map(of), predicted, parts)
    };
    let (setup, offline, online) =
        (cost::setup(), cost::offline(plan, &session)?, cost::online(plan, &session));
    Ok(Measured {
        link: link.cloned(),
        runs: runs.max(1),
        stock: session.stock,
        setup: phase(|r| r.setup, setup, 1)?,
        offline: phase(|r| r.offline, offline, 1)?,
        online: phase(|r| r.online, online, session.stock)?,
        each: reports
            .iter()
            .map(|r| [r.offline, r.online].map(|p| p.seconds / f64::from(session.stock)))
            .collect(),
        arithmetic: link.map(|l| Arithmetic {
            setup: l.seconds(setup),
            offline: l.seconds(offline),
            online: l.seconds(online),
        }),
    })
}

/// One of `parts` equal parts of a phase, its seconds the median of all runs.
fn median(
    phases: impl Iterator<Item = Phase>,
    predicted: cost::Phase,
    parts: u32,
) -> anyhow::Result<Phase> {
    let mut seconds = Vec::new();
    for phase in phases {
        let (up, down, rounds) = (
            u64::from(parts) * predicted.up,
            u64::from(parts) * predicted.down,
            parts * predicted.rounds,
        );
        let measured = (phase.bytes_sent, phase.bytes_received, phase.rounds);
        ensure!(
            measured == (up, down, rounds),
            "the traffic differs from its prediction: please report this"
        );
        seconds.push(phase.seconds / f64::from(parts));
    }
    seconds.sort_by(f64::total_cmp);
    let middle = seconds.len() / 2;
    let upper = seconds.get(middle).copied().context("no runs")?;
    let lower = if seconds.len() % 2 == 0 {
        seconds.get(middle - 1).copied().unwrap_or(upper)
    } else {
        upper
    };
    let seconds = f64::midpoint(lower, upper);
    Ok(Phase {
        seconds,
        bytes_sent: predicted.up,
        bytes_received: predicted.down,
        rounds: predicted.rounds,
    })
}
