//! How time, bytes and memory grow with a layer's width, its channels, the stock, and the number of
//! clients.

use super::clients;
use super::networks;
use super::own;
use super::synthetic::{WEIGHT_BITS, layer_with_relu};
use crate::chart::{Chart, Panel, Series};
use crate::model::Model;
use crate::threads::Threads;
use crate::units::{bytes, seconds};
use anyhow::Context as _;
use minionn_core::plan::{Convolution, Op};
use minionn_core::rng::Seed;
use minionn_core::session::{Options, Tables, client_memory, prepared_memory, server_memory};
use serde::Serialize;
use std::path::Path;

/// What is measured at one place of a curve: `None` where it says nothing.
#[derive(Clone, Debug, Serialize)]
pub struct Point {
    /// Width, channels, stock or clients.
    pub x: u32,
    /// Seconds of one prediction, offline and online; of all clients: between two answers of the
    /// server.
    pub seconds: Vec<f64>,
    /// Bytes of one prediction, offline and online, as the plan predicts and the run confirms; of
    /// a client, all of them.
    pub bytes: Vec<u64>,
    /// Memory in bytes: a client's, a session's on the server, the weights'; of many clients: all
    /// sessions' as planned, as measured.
    pub memory: Vec<u64>,
}

/// A curve and what its lines are.
#[derive(Clone, Debug, Serialize)]
pub struct Curve {
    /// For file names.
    pub name: &'static str,
    /// In words.
    pub title: &'static str,
    /// What grows.
    pub along: &'static str,
    /// Names of the lines: of seconds, bytes and memory.
    pub lines: [&'static [&'static str]; 3],
    /// From left to right.
    pub points: Vec<Point>,
}

/// Where each is measured by `minionn bench --curves`.
const WIDTHS: [u32; 6] = [32, 64, 128, 256, 512, 1024];
const CHANNELS: [u32; 5] = [4, 8, 16, 32, 64];
const STOCKS: [u32; 6] = [1, 2, 4, 16, 64, 256];
const CLIENTS: [u32; 7] = [1, 2, 4, 8, 16, 32, 64];

const PHASES: [&[&str]; 3] = [
    &["offline", "online"],
    &["offline", "online"],
    &["client", "server, a session", "server, weights once"],
];

/// A fully connected layer with ReLU, as wide as it is high.
///
/// # Errors
/// As [`own::measure`], here and below.
pub fn width(widths: &[u32], runs: u32) -> anyhow::Result<Curve> {
    let points = widths.iter().map(|&n| {
        let ring = 16 + n.ilog2() as u8;
        let layer = Op::FullyConnected { ring, weight_bits: WEIGHT_BITS, inputs: n, outputs: n };
        let model = Model::from_bytes(layer_with_relu("width", layer, ring)?)?;
        point(n, &model, Options::default(), runs)
    });
    let points = points.collect::<anyhow::Result<_>>()?;
    Ok(Curve {
        name: "width",
        title: "fully connected layer n→n with ReLU",
        along: "n",
        lines: PHASES,
        points,
    })
}

/// A convolution with as many channels out as in.
///
/// # Errors
/// As above.
pub fn channels(channels: &[u32], runs: u32) -> anyhow::Result<Curve> {
    let points = channels.iter().map(|&c| {
        let plain = Convolution::fully_connected(1, 1);
        let layer =
            Convolution { input: [c, 16, 16], outputs: c, kernel: [3, 3], pads: [1; 4], ..plain };
        let ring = 16 + (9 * c).ilog2() as u8 + 1;
        let model = layer_with_relu(
            "channels",
            Op::Convolution { ring, weight_bits: WEIGHT_BITS, layer },
            ring,
        )?;
        point(c, &Model::from_bytes(model)?, Options::default(), runs)
    });
    let points = points.collect::<anyhow::Result<_>>()?;
    Ok(Curve {
        name: "channels",
        title: "convolution 3×3, c→c channels on 16×16, with ReLU",
        along: "c",
        lines: PHASES,
        points,
    })
}

/// Fig. 10 in stocks.
///
/// # Errors
/// As above.
pub fn stock(stocks: &[u32], runs: u32) -> anyhow::Result<Curve> {
    let model = networks::find("fig10").context("no such network")?.model()?;
    let points = stocks.iter().map(|&stock| {
        let options = Options { stock, tables: Tables::Streamed, ..Options::default() };
        point(stock, &model, options, runs)
    });
    let points = points.collect::<anyhow::Result<_>>()?;
    Ok(Curve {
        name: "stock",
        title: "Fig. 10 in stocks, each prediction",
        along: "predictions in a stock",
        lines: PHASES,
        points,
    })
}

/// Clients of one server at once, Fig. 10.
///
/// # Errors
/// As [`clients::measure`].
pub fn at_once(counts: &[u32]) -> anyhow::Result<Curve> {
    let model = networks::find("fig10").context("no such network")?.model()?;
    let points = counts.iter().map(|&count| {
        let m = clients::measure(&model, Options::default(), count, &Seed([9; 32]))?;
        let sessions = |each: u64| each * u64::from(count);
        let memory = core::iter::once(m.planned).chain(m.resident).map(sessions).collect();
        Ok(Point {
            x: count,
            seconds: vec![1.0 / m.predictions_per_second],
            bytes: vec![m.bytes],
            memory,
        })
    });
    let points = points.collect::<anyhow::Result<_>>()?;
    let lines: [&[&str]; 3] = [
        &["between two answers"],
        &["each client, set-up included"],
        &["all sessions, planned", "all sessions, measured"],
    ];
    Ok(Curve {
        name: "clients",
        title: "Fig. 10, clients of one server at once",
        along: "clients",
        lines,
        points,
    })
}

/// One network at one place of a curve.
fn point(x: u32, model: &Model, options: Options, runs: u32) -> anyhow::Result<Point> {
    let plan = model.plan().core();
    let inputs = own::inputs(model, None, options.stock as usize, &Seed([9; 32]))?;
    let m = own::measure(model, options, None, &Threads::default(), runs, &inputs)?;
    let stock = options.stock;
    let memory = [
        client_memory(plan, &options)?,
        server_memory(plan, &options)?,
        prepared_memory(plan, stock)?,
    ];
    Ok(Point {
        x,
        seconds: vec![m.offline.seconds / f64::from(stock), m.online.seconds],
        bytes: vec![m.offline.bytes() / u64::from(stock), m.online.bytes()],
        memory: memory.map(|n| n as u64).to_vec(),
    })
}

/// Measures all curves, and writes for each a picture and its figures into `folder`; `progress` is
/// told each file.
///
/// # Errors
/// If something cannot be measured or written.
pub fn write(folder: &Path, runs: u32, mut progress: impl FnMut(&Path)) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let measured: [&dyn Fn() -> anyhow::Result<Curve>; 4] = [
        &|| width(&WIDTHS, runs),
        &|| channels(&CHANNELS, runs),
        &|| stock(&STOCKS, runs),
        &|| at_once(&CLIENTS),
    ];
    for measure in measured {
        let curve = measure()?;
        for (extension, content) in
            [("svg", curve.chart().svg()), ("json", serde_json::to_string_pretty(&curve)? + "\n")]
        {
            let path = folder.join(curve.name).with_extension(extension);
            std::fs::write(&path, content).with_context(|| path.display().to_string())?;
            progress(&path);
        }
    }
    Ok(())
}

impl Curve {
    /// Its picture.
    #[must_use]
    pub fn chart(&self) -> Chart {
        let panel =
            |title, lines: &[&str], label: fn(f64) -> String, values: fn(&Point) -> Vec<f64>| {
                let series = lines.iter().enumerate().map(|(i, &name)| Series {
                    name: name.to_owned(),
                    points: self
                        .points
                        .iter()
                        .filter_map(|p| Some((f64::from(p.x), *values(p).get(i)?)))
                        .collect(),
                });
                Panel { title, label, series: series.collect() }
            };
        let count = |n: f64| bytes(n as u64);
        let [of_seconds, of_bytes, of_memory] = self.lines;
        Chart {
            title: self.title.to_owned(),
            along: self.along.to_owned(),
            panels: vec![
                panel("seconds", of_seconds, seconds, |p| p.seconds.clone()),
                panel("bytes", of_bytes, count, |p| p.bytes.iter().map(|&n| n as f64).collect()),
                panel("memory", of_memory, count, |p| p.memory.iter().map(|&n| n as f64).collect()),
            ],
        }
    }
}
