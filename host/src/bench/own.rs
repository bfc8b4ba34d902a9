//! The project's own method: one thread for each party, TCP over loopback, bare or as an emulated
//! link.

use crate::client::{self, Phase, Report, Settings};
use crate::commands::plain;
use crate::link_model::LinkModel;
use crate::loopback;
use crate::npy::Array;
use anyhow::{Context as _, ensure};
use minionn_core::cost;
use minionn_core::model::Model;
use minionn_core::rng::{Domain, Seed};
use minionn_core::session::Options;
use minionn_core::workers::Workers;
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
    model: &Model<'_>,
    given: Option<&Array>,
    stock: usize,
    seed: &Seed,
) -> anyhow::Result<Array> {
    let header = model.plan().header();
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
/// share their work with `workers`. The run that warms up goes over bare loopback.
///
/// # Errors
/// If a session fails, an answer differs, or the traffic does.
pub fn measure(
    model: &[u8],
    options: Options,
    link: Option<&LinkModel>,
    workers: Workers<'_>,
    runs: u32,
    inputs: &Array,
) -> anyhow::Result<Measured> {
    let parsed = Model::parse(model)?;
    let plan = *parsed.plan();
    ensure!(inputs.rows() == options.stock as usize, "a stock takes as many rows of inputs");
    let expected = plain::evaluate(&parsed, inputs)?.predictions;
    let settings = Settings { options, workers, ..Settings::default() };
    let mut reports = Vec::new();
    loopback::with_prepared(&parsed, options, |prepared| {
        for run in 0..=runs.max(1) {
            let emulated = link.filter(|_| run > 0);
            let predict = |link| client::predict(link, plan, &settings, inputs, || {});
            let report =
                loopback::session_over(emulated, workers, &parsed, prepared, options, predict)?;
            ensure!(
                report.predictions == expected,
                "a private prediction differs from the integer model: please report this"
            );
            if run > 0 {
                reports.push(report);
            }
        }
        Ok(())
    })?;
    let phase = |of: fn(&Report) -> Phase, predicted: cost::Phase, parts: u32| {
        median(reports.iter().map(of), predicted, parts)
    };
    let (setup, offline, online) =
        (cost::setup(), cost::offline(&plan, &options)?, cost::online(&plan, &options));
    Ok(Measured {
        link: link.cloned(),
        runs: runs.max(1),
        stock: options.stock,
        setup: phase(|r| r.setup, setup, 1)?,
        offline: phase(|r| r.offline, offline, 1)?,
        online: phase(|r| r.online, online, options.stock)?,
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
