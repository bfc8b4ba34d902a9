//! `minionn bench`.

use super::session::SessionArgs;
use crate::bench::networks::{self, Request};
use crate::bench::{clients, compare, curves, own, parts, table, tables};
use crate::compile::{CompileOptions, compile};
use crate::link_model::LinkModel;
use crate::say::{say, write};
use crate::units::bytes;
use crate::{Model, Threads, npy};
use anyhow::{Context as _, bail};
use core::fmt::Display;
use getrandom::SysRng;
use minionn_core::model;
use minionn_core::rng::Seed;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// What can be measured; one of these is needed.
const WHAT: [&str; 9] = [
    "model",
    "network",
    "profile",
    "primitives",
    "networks",
    "paper_tables",
    "curves",
    "clients",
    "count",
];

/// Runs of each measurement unless `--runs` says otherwise; of the paper's tables.
const RUNS: [u32; 2] = [3, 5];

/// Arguments; what the command does stands at [`super::Command`].
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").args(WHAT).multiple(true).required(true))]
pub struct Args {
    /// fig10 to fig14 (the networks of the paper's figures), a model, or an ONNX file.
    #[arg(value_name = "MODEL")]
    model: Option<PathBuf>,
    /// The same, by name; without it the paper's profile and many clients take fig10.
    #[arg(long = "model", value_name = "MODEL", conflicts_with = "model")]
    network: Option<PathBuf>,
    /// Instead: single parts of the protocol, each beside the limit of this machine.
    #[arg(
        long,
        conflicts_with_all = [
            "model", "network", "networks", "paper_tables", "curves", "clients", "profile", "link",
        ]
    )]
    primitives: bool,
    /// Instead: the paper's Figures 10 to 14, single and, with --stock, stocked, over loopback and
    /// every --link.
    #[arg(long, conflicts_with_all = ["model", "network", "curves", "clients"])]
    networks: bool,
    /// Instead: the paper's Tables 2, 3 and 4 as published beside measured, in Markdown: over
    /// loopback and --link (lan unless named), with the default options. Takes about a minute.
    #[arg(
        long,
        conflicts_with_all = ["model", "network", "networks", "curves", "clients", "profile"]
    )]
    paper_tables: bool,
    /// Instead: how time, bytes and memory grow with width, channels, stock and clients; a picture
    /// and JSON for each go into this folder.
    #[arg(
        long,
        value_name = "DIR",
        conflicts_with_all = ["model", "network", "clients", "profile", "link"]
    )]
    curves: Option<PathBuf>,
    /// Instead: this many clients of one server at once, each with a stock of predictions; checks
    /// the server's memory for each.
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..=1024),
        conflicts_with_all = ["profile", "link"]
    )]
    clients: Option<u32>,
    /// Instead: run one part once, for `valgrind --tool=callgrind` (see docs/performance.md);
    /// `list` names them.
    #[arg(long, value_name = "PART", exclusive = true)]
    count: Option<String>,
    /// Run another method, too.
    #[arg(long, value_enum)]
    profile: Option<Profile>,
    /// Emulate a link: lan (1 ms, 1 Gbit/s), wan (50 ms, 100 Mbit/s), uart (921600 baud), ble, or
    /// a round trip and a bandwidth such as 20ms,50mbit. Several with --networks.
    #[arg(long, value_name = "LINK")]
    link: Vec<LinkModel>,
    /// Calibration rows for an ONNX file; without them its inputs range from 0 to 1.
    #[arg(
        long,
        value_name = "X.npy",
        conflicts_with_all = ["primitives", "networks", "paper_tables", "curves"]
    )]
    calibrate: Option<PathBuf>,
    /// Inputs; without them random ones in the model's range. They decide whether all integers fit
    /// the paper's N, nothing else.
    #[arg(
        long,
        value_name = "X.npy",
        conflicts_with_all = ["primitives", "networks", "paper_tables", "curves", "clients"]
    )]
    input: Option<PathBuf>,
    /// Threads of each party, for one network.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        conflicts_with_all = [
            "primitives", "networks", "paper_tables", "curves", "clients", "profile",
        ]
    )]
    threads: usize,
    /// How many runs, after one to warm up; seconds are medians [default: 3], in the paper's tables
    /// means [default: 5].
    #[arg(long, value_name = "R", value_parser = clap::value_parser!(u32).range(1..))]
    runs: Option<u32>,
    #[command(flatten)]
    session: SessionArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Methods to compare with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Profile {
    /// MiniONN as published in 2017: a measuring profile that never serves real inputs.
    Paper,
}

impl Args {
    fn runs(&self) -> u32 {
        let [medians, tables] = RUNS;
        self.runs.unwrap_or(if self.paper_tables { tables } else { medians })
    }
}

/// Measures and prints.
///
/// # Errors
/// If the model cannot be had, a run fails, or an answer is not the integer model's.
pub fn run(args: &Args) -> anyhow::Result<()> {
    if let Some(name) = &args.count {
        return count(name);
    }
    if args.primitives {
        return show(args, &table::measure()?);
    }
    if let Some(folder) = &args.curves {
        return curves::write(folder, args.runs(), |path| say!("{}", path.display()));
    }
    let seed = Seed::draw(&mut SysRng)?;
    if args.paper_tables {
        return paper_tables(args, &seed);
    }
    if args.networks { all_networks(args, &seed) } else { one_network(args, &seed) }
}

/// Runs one part once, or names them all.
fn count(name: &str) -> anyhow::Result<()> {
    if name == "list" {
        parts::PARTS.iter().for_each(|part| say!("{}", part.name));
        return Ok(());
    }
    parts::count(
        parts::find(name)
            .with_context(|| format!("no part is called '{name}': see --count list"))?,
    )
}

fn paper_tables(args: &Args, seed: &Seed) -> anyhow::Result<()> {
    if args.session.stock != 1 {
        bail!("the paper's tables are of single predictions: leave --stock out");
    }
    let link = match &args.link[..] {
        [] => LinkModel::lan(),
        [link] => link.clone(),
        _ => bail!("one --link at a time, but with --networks"),
    };
    let progress = |name: &str| eprintln!("{name} ...");
    let session = |link: Option<&LinkModel>| args.session.options_on(link);
    let request = tables::Request {
        session: &session,
        link: &link,
        runs: args.runs(),
        largest_as_published: true,
    };
    show(args, &tables::measure(request, seed, progress)?)
}

fn all_networks(args: &Args, seed: &Seed) -> anyhow::Result<()> {
    let paper = args.profile == Some(Profile::Paper);
    let session = |link: Option<&LinkModel>| args.session.options_on(link);
    let request = Request { session: &session, links: &args.link, runs: args.runs(), paper };
    if args.json {
        say!("{}", serde_json::to_string_pretty(&networks::measure(request, seed, |_| {})?)?);
        return Ok(());
    }
    write(format_args!("{}", networks::HEADING));
    networks::measure(request, seed, |row| say!("{row}"))?;
    Ok(())
}

fn one_network(args: &Args, seed: &Seed) -> anyhow::Result<()> {
    let named = args.model.as_deref().or(args.network.as_deref()).unwrap_or(Path::new("fig10"));
    let model =
        load(named, args.calibrate.as_deref()).with_context(|| named.display().to_string())?;
    let options = args.session.options_on(args.link.first())?;
    if let Some(count) = args.clients {
        return show(args, &clients::measure(&model, options, count, seed)?);
    }
    let given = args.input.as_deref().map(array).transpose()?;
    let stock = options.stock as usize;
    let inputs = own::inputs(&model, given.as_ref(), stock, &seed.derive(0))?;
    let link = match &args.link[..] {
        [] => None,
        [link] => Some(link),
        _ => bail!("one --link at a time, but with --networks"),
    };
    if args.profile == Some(Profile::Paper) {
        if link.is_some() {
            bail!("the method as published is measured without a link");
        }
        return show(
            args,
            &compare::compare(&model, options, args.runs(), &inputs, &seed.derive(1))?,
        );
    }
    let threads = Threads::new(args.threads)?;
    let measured = own::measure(&model, options, link, &threads, args.runs(), &inputs)?;
    let name = model.plan().name().to_owned();
    if args.json {
        let named = Named { network: &name, measured: &measured };
        say!("{}", serde_json::to_string_pretty(&named)?);
    } else {
        show_phases(&name, &measured, args.threads);
    }
    Ok(())
}

/// What was measured, and on what.
#[derive(Serialize)]
struct Named<'m> {
    network: &'m str,
    #[serde(flatten)]
    measured: &'m own::Measured,
}

/// As JSON if asked for, else for people.
fn show(args: &Args, made: &(impl Serialize + Display)) -> anyhow::Result<()> {
    if args.json {
        say!("{}", serde_json::to_string_pretty(made)?);
    } else {
        write(format_args!("{made}"));
    }
    Ok(())
}

fn array(path: &Path) -> anyhow::Result<npy::Array> {
    npy::read(path).with_context(|| path.display().to_string())
}

/// A model: built in, from a file, or compiled.
fn load(named: &Path, calibrate: Option<&Path>) -> anyhow::Result<Model> {
    if let Some(network) = named.to_str().and_then(networks::find) {
        return network.model();
    }
    let bytes = std::fs::read(named)?;
    if bytes.starts_with(&model::MAGIC) {
        return Ok(Model::from_bytes(bytes)?);
    }
    if named.extension().is_none_or(|extension| extension != "onnx") {
        bail!("neither a model nor an ONNX file");
    }
    let rows = calibrate.map(array).transpose()?;
    let input_range = rows.is_none().then_some((0.0, 1.0));
    let options = CompileOptions { input_range, ..CompileOptions::default() };
    Ok(Model::from_bytes(compile(&bytes, &options, rows.as_ref())?.model)?)
}

fn show_phases(name: &str, measured: &own::Measured, threads: usize) {
    let (stock, link) = (measured.stock, measured.link_name());
    say!(
        "{name}: median of {} runs over {link}, threads of each party: {threads}, stock of \
         {stock}\n",
        measured.runs
    );
    say!(
        "{:<28}{:>10}{:>12}{:>12}{:>12}{:>8}",
        "phase",
        "seconds",
        "link alone",
        "up",
        "down",
        "rounds"
    );
    let alone = |of: fn(&own::Arithmetic) -> f64| {
        measured.arithmetic.as_ref().map_or_else(|| "-".into(), |a| format!("{:.4}", of(a)))
    };
    let rows = [
        ("set-up, per connection", &measured.setup, alone(|a| a.setup)),
        ("offline, per stock", &measured.offline, alone(|a| a.offline)),
        ("online, per prediction", &measured.online, alone(|a| a.online)),
    ];
    for (phase, p, alone) in rows {
        let (up, down) = (bytes(p.bytes_sent), bytes(p.bytes_received));
        say!("{phase:<28}{:>10.4}{alone:>12}{up:>12}{down:>12}{:>8}", p.seconds, p.rounds);
    }
    say!(
        "{:<28}{:>10.4}{:>12}{:>12}",
        "offline + online, each",
        measured.seconds(),
        "",
        bytes(measured.bytes())
    );
}
