//! The paper's tables, as published beside measured: Tables 2 and 4 with latencies, message sizes
//! and accuracy, Table 3 with the work of one layer, and SecureML's network with ReLU (6.1).
//!
//! The published figures are those of the paper (CCS 2017): its authors' machines, a LAN, seconds
//! of their runs. Message sizes are comparable, and so is the method as published on this project's
//! own primitives, which runs beside the rest; seconds of other machines are not.

use super::compare::{self, Table3};
use super::networks::{self, Network, SessionOn};
use super::own::{self, Measured};
use super::{paper, synthetic};
use crate::client::Phase;
use crate::link_model::LinkModel;
use crate::model::Model;
use crate::npy::{self, Array};
use crate::repository::model_file;
use crate::threads::Threads;
use anyhow::{Context as _, ensure};
use core::fmt;
use minionn_core::plan::{Function, Op};
use minionn_core::rng::Seed;
use minionn_core::session::Options;
use serde::Serialize;

/// Held-out digits: images and what they show.
const DIGITS: [&str; 2] = ["mnist.test.npy", "mnist.labels.npy"];

/// Seconds of all runs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Seconds {
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation, of a sample; nothing is known of published figures.
    pub deviation: Option<f64>,
}

/// One line of Table 2 or 4: a network, and who ran it.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// The figure that shows the network.
    pub network: &'static str,
    /// Whose method, and where the figures are from.
    pub method: String,
    /// Seconds before the input is known.
    pub offline: Option<Seconds>,
    /// Seconds from input to prediction.
    pub online: Option<Seconds>,
    /// Megabytes before the input is known.
    pub offline_mb: Option<f64>,
    /// Megabytes from input to prediction.
    pub online_mb: Option<f64>,
    /// Right answers in per cent of the held-out inputs.
    pub accuracy: Option<f64>,
}

/// All of it.
#[derive(Clone, Debug, Serialize)]
pub struct PaperTables {
    /// Runs of each, after one to warm up.
    pub runs: u32,
    /// SecureML's and CryptoNets' networks (Figures 10 and 11), and the first with ReLU (6.1).
    pub table_2: Vec<Line>,
    /// Ciphertexts of the layer from 784 to 128.
    pub table_3: Table3,
    /// MiniONN's own networks (Figures 12 to 14).
    pub table_4: Vec<Line>,
}

/// What the paper prints of a network: seconds and megabytes, offline and online, and accuracy.
struct Published {
    network: &'static str,
    method: &'static str,
    seconds: [Option<f64>; 2],
    megabytes: [Option<f64>; 2],
    accuracy: Option<f64>,
}

impl Published {
    fn line(&self) -> Line {
        let [offline, online] =
            self.seconds.map(|s| s.map(|mean| Seconds { mean, deviation: None }));
        let [offline_mb, online_mb] = self.megabytes;
        let (network, method) = (self.network, format!("{}, published", self.method));
        Line { network, method, offline, online, offline_mb, online_mb, accuracy: self.accuracy }
    }
}

/// A line with all figures.
const fn minionn(
    network: &'static str,
    seconds: [f64; 2],
    megabytes: [f64; 2],
    accuracy: Option<f64>,
) -> Published {
    let [[offline, online], [before, after]] = [seconds, megabytes];
    Published {
        network,
        method: "MiniONN",
        seconds: [Some(offline), Some(online)],
        megabytes: [Some(before), Some(after)],
        accuracy,
    }
}

/// Tables 2 and 4 as published.
const PUBLISHED: [Published; 7] = [
    Published {
        network: "fig10",
        method: "SecureML",
        seconds: [Some(4.7), Some(0.18)],
        megabytes: [None; 2],
        accuracy: Some(93.1),
    },
    minionn("fig10", [0.9, 0.14], [3.8, 12.0], Some(97.6)),
    Published {
        network: "fig11",
        method: "CryptoNets",
        seconds: [None, Some(297.5)],
        megabytes: [None, Some(372.2)],
        accuracy: Some(98.95),
    },
    minionn("fig11", [0.88, 0.4], [3.6, 44.0], Some(98.95)),
    minionn("fig12", [3.58, 5.74], [20.9, 636.6], Some(99.31)),
    minionn("fig13", [472.0, 72.0], [3046.0, 6226.0], Some(81.61)),
    minionn("fig14", [13.9, 4.39], [86.7, 474.0], None),
];

/// What to measure.
#[derive(Clone, Copy)]
pub struct Request<'r> {
    /// The options of all sessions, but for how tables travel.
    pub session: SessionOn<'r>,
    /// Beside loopback.
    pub link: &'r LinkModel,
    /// Runs of each, after one to warm up.
    pub runs: u32,
    /// Whether the method as published runs on Figure 13, too: once, which takes most of the time.
    pub largest_as_published: bool,
}

/// Measures all tables, over loopback and the link. `progress` is told what comes next.
///
/// # Errors
/// If a file of `models/` is not there, a run fails, or an answer is not the integer model's.
pub fn measure(
    request: Request<'_>,
    seed: &Seed,
    mut progress: impl FnMut(&str),
) -> anyhow::Result<PaperTables> {
    let digits = DIGITS.map(|name| Ok(npy::parse(&model_file(name)?)?));
    let [images, labels]: [anyhow::Result<Array>; 2] = digits;
    let (images, labels) = (images?, labels?);
    let mut table_3 = None;
    let mut lines = |name: &'static str| {
        progress(name);
        let network = networks::find(name).context("no such network")?;
        let bench = Bench { request, network, seed };
        bench.lines((&images, &labels), &mut table_3)
    };
    let mut table_2 = [lines("fig10")?, lines("fig11")?].concat();
    let table_4 = [lines("fig12")?, lines("fig13")?, lines("fig14")?].concat();
    progress("fig10 with ReLU");
    table_2.extend(with_relu(request, seed)?);
    let table_3 = table_3.context("no network has the layer of Table 3")?;
    Ok(PaperTables { runs: request.runs.max(1), table_2, table_3, table_4 })
}

/// One network of the paper.
struct Bench<'b> {
    request: Request<'b>,
    network: &'static Network,
    seed: &'b Seed,
}

impl Bench<'_> {
    /// As published; the method as published on our primitives; the own method over both links.
    fn lines(
        self,
        (images, labels): (&Array, &Array),
        table_3: &mut Option<Table3>,
    ) -> anyhow::Result<Vec<Line>> {
        let Self { request: Request { link, runs, .. }, network, seed } = self;
        let model = network.model()?;
        let digits = model.plan().input_len() == images.columns();
        let accuracy = digits.then(|| accuracy(&model, images, labels)).transpose()?;
        let inputs = own::inputs(&model, digits.then_some(images), 1, &seed.derive(0))?;
        let published = PUBLISHED.iter().filter(|published| published.network == network.name);
        let mut lines: Vec<Line> = published.map(Published::line).collect();
        let session =
            |link| anyhow::Ok(Options { tables: network.tables, ..(self.request.session)(link)? });
        if digits {
            let seed = seed.derive(1);
            let both = compare::compare(&model, session(None)?, runs, &inputs, &seed)?;
            *table_3 = both.table_3.or(*table_3);
            let method = "MiniONN as published, this machine".into();
            let sizes = [both.offline.bytes(), both.online.bytes()];
            lines.push(Line::measured(network.name, method, &both.each, sizes, accuracy));
        } else if self.request.largest_as_published && paper::knows(model.plan().core()) {
            lines.push(once(network.name, &model, &inputs, &seed.derive(1))?);
        }
        for link in [None, Some(link)] {
            let (threads, session) = (Threads::default(), session(link)?);
            let measured = own::measure(&model, session, link, &threads, runs, &inputs)?;
            lines.push(Line::own(network.name, &measured, accuracy));
        }
        Ok(lines)
    }
}

/// The method as published, once and not warmed up: on the largest network a run takes half a
/// minute.
fn once(network: &'static str, model: &Model, inputs: &Array, seed: &Seed) -> anyhow::Result<Line> {
    let row = inputs.rows_of(model.plan().input_len())?.next().context("no inputs")?;
    let profile = paper::run(model.core(), &model.plan().quantise(0, row)?, seed)?;
    let (offline, online) = (profile.offline, profile.online);
    let method = "MiniONN as published, this machine, one run".into();
    let (each, sizes) = ([offline.seconds, online.seconds], [offline.bytes(), online.bytes()]);
    Ok(Line::measured(network, method, &[each], sizes, None))
}

/// Right answers of the integer model in per cent: a private prediction is the same integers.
fn accuracy(model: &Model, images: &Array, labels: &Array) -> anyhow::Result<f64> {
    let predictions = model.predict_plain_batch(images.rows_of(model.plan().input_len())?)?;
    ensure!(predictions.len() == labels.data().len(), "{DIGITS:?} have different lengths");
    let right =
        predictions.iter().zip(labels.data()).filter(|(p, label)| p.class as f32 == **label);
    Ok(100.0 * right.count() as f64 / predictions.len() as f64)
}

/// SecureML's network with ReLU instead of squares: random weights, as accuracy is not the point.
fn with_relu(
    Request { session, link, runs, .. }: Request<'_>,
    seed: &Seed,
) -> anyhow::Result<Vec<Line>> {
    let layer = |inputs, outputs| Op::FullyConnected {
        ring: RING,
        weight_bits: synthetic::WEIGHT_BITS,
        inputs,
        outputs,
    };
    let relu = Op::Activation {
        function: Function::Relu,
        ring_in: RING,
        ring_out: RING,
        shift: 16,
        len: 128,
    };
    let ops = [layer(784, 128), relu, layer(128, 128), relu, layer(128, 10)];
    let ops = [&ops[..], &[Op::Reveal { ring: RING, len: 10 }]].concat();
    let model = Model::from_bytes(synthetic::model("fig10 with ReLU", &ops)?)?;
    let inputs = own::inputs(&model, None, 1, &seed.derive(0))?;
    let mut lines = Vec::new();
    for at in [None, Some(link)] {
        let threads = Threads::default();
        let measured = own::measure(&model, session(at)?, at, &threads, runs, &inputs)?;
        lines.push(Line::own("fig10, ReLU", &measured, None));
    }
    Ok(lines)
}

/// Bits that a sum of 784 products of 8-bit numbers takes.
const RING: u8 = 26;

impl Line {
    fn own(network: &'static str, own: &Measured, accuracy: Option<f64>) -> Self {
        let method = format!("this project, {}", own.link_name());
        Self::measured(
            network,
            method,
            &own.each,
            [&own.offline, &own.online].map(Phase::bytes),
            accuracy,
        )
    }

    /// `each`: offline and online seconds, run by run; `sizes`: bytes offline and online.
    fn measured(
        network: &'static str,
        method: String,
        each: &[[f64; 2]],
        sizes: [u64; 2],
        accuracy: Option<f64>,
    ) -> Self {
        let [offline, online] = [0, 1].map(|i: usize| Some(Seconds::of(each.iter().map(|s| s[i]))));
        let [offline_mb, online_mb] = sizes.map(|bytes| Some(bytes as f64 / 1e6));
        Self { network, method, offline, online, offline_mb, online_mb, accuracy }
    }
}

impl Seconds {
    fn of(runs: impl ExactSizeIterator<Item = f64> + Clone) -> Self {
        let n = runs.len() as f64;
        let mean = runs.clone().sum::<f64>() / n;
        let squares: f64 = runs.map(|s| (s - mean).powi(2)).sum();
        Self { mean, deviation: (n > 1.0).then(|| (squares / (n - 1.0)).sqrt()) }
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.deviation {
            Some(deviation) => write!(f, "{:.4} ± {deviation:.4}", self.mean),
            // As many digits as published, at most four decimals of one run.
            None => write!(f, "{}", (self.mean * 1e4).round() / 1e4),
        }
    }
}

/// A cell of a table: a dash where nothing is known.
fn cell<T>(value: Option<T>, show: impl Fn(T) -> String) -> String {
    value.map_or_else(|| "-".into(), show)
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |s: Option<Seconds>| cell(s, |s| s.to_string());
        let megabytes = |mb: Option<f64>| cell(mb, |mb| format!("{mb:.2}"));
        writeln!(
            f,
            "| {} | {} | {} | {} | {} | {} | {} |",
            self.network,
            self.method,
            seconds(self.offline),
            seconds(self.online),
            megabytes(self.offline_mb),
            megabytes(self.online_mb),
            cell(self.accuracy, |percent| format!("{percent:.2}")),
        )
    }
}

/// Above the lines of Tables 2 and 4.
const HEAD: &str = "\
| network | method | offline s | online s | offline MB | online MB | accuracy % |
|---|---|--:|--:|--:|--:|--:|
";

/// Markdown.
impl fmt::Display for PaperTables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "**Table 2**: one prediction; seconds are ")?;
        match self.runs {
            1 => write!(f, "those of one run.\n\n{HEAD}")?,
            runs => write!(f, "mean ± standard deviation of {runs} runs.\n\n{HEAD}")?,
        }
        self.table_2.iter().try_for_each(|line| line.fmt(f))?;
        writeln!(f, "\n**Table 3**: the layer from 784 to 128.\n")?;
        writeln!(f, "| method | encryptions | multiplications | transfers | decryptions |")?;
        writeln!(f, "|---|--:|--:|--:|--:|")?;
        for (method, c) in [
            ("SecureML, published", self.table_3.secureml),
            ("MiniONN as published, counted", self.table_3.paper),
            ("this project", self.table_3.own),
        ] {
            let transfers = c.up + c.down;
            writeln!(
                f,
                "| {method} | {} | {} | {transfers} | {} |",
                c.up, c.multiplications, c.decryptions
            )?;
        }
        write!(f, "\n**Table 4**: one prediction, as Table 2.\n\n{HEAD}")?;
        self.table_4.iter().try_for_each(|line| line.fmt(f))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_and_deviation() {
        let seconds = Seconds::of([1.0, 2.0, 3.0, 4.0].into_iter());
        assert_eq!(seconds.mean, 2.5);
        assert!((seconds.deviation.unwrap() - (5.0_f64 / 3.0).sqrt()).abs() < 1e-12);
        assert_eq!(Seconds::of([2.0].into_iter()).deviation, None);
    }

    #[test]
    fn published_sizes_add_up_to_the_paper_s_totals() {
        let sum = |network: &str| -> f64 {
            let line = PUBLISHED.iter().find(|p| p.network == network && p.method == "MiniONN");
            line.unwrap().megabytes.iter().flatten().sum()
        };
        let totals = ["fig10", "fig11", "fig12", "fig13"].map(sum);
        assert_eq!(totals.map(|mb| (mb * 10.0).round() / 10.0), [15.8, 47.6, 657.5, 9272.0]);
    }
}
