//! `minionn plan`.

use crate::bench::own;
use crate::c_header::{self, BufferArgs};
use crate::client::{self, Settings};
use crate::link::fresh_seed;
use crate::link_model::LinkModel;
use crate::plot::{self, Plot, Row};
use crate::{loopback, prefix};
use anyhow::{Context as _, anyhow};
use minionn_core::compare::OtActivation;
use minionn_core::cost::{self, Phase};
use minionn_core::model::{self, Model};
use minionn_core::ot::Repetition;
use minionn_core::plan::circuit::NonlinearCost;
use minionn_core::plan::tile::Tile;
use minionn_core::plan::{Function, Op, Plan};
use minionn_core::session::engine::{Buffers, ClientEngine, ServerEngine};
use minionn_core::session::{
    Activations, Options, Tables, client_memory, prepared_memory, server_memory,
};
use serde_json::{Value, json};
use std::path::PathBuf;

/// How a session runs: what client and server agree on.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct SessionArgs {
    /// Predictions prepared at once: they share ciphertexts, so bytes per prediction fall.
    #[arg(long, value_name = "K", default_value_t = 1)]
    pub stock: u32,
    /// When garbled tables travel: offline into the client's store, or online just before use.
    #[arg(long, value_enum, default_value_t = TablesArg::Stored)]
    pub tables: TablesArg,
    /// OT extension: 1, 2, 4 or 8; more saves bytes and costs work.
    #[arg(long, value_name = "K", default_value_t = 8)]
    pub ot: u8,
    /// How activations are computed: by garbled circuits (one round trip, most bytes), by
    /// comparison with OTs where there is one (more round trips, a tenth of the bytes), or
    /// whichever of the two the link makes faster, layer by layer. Without it: auto; for a C
    /// header gc, as firmware's library has comparisons only if it is built so.
    #[arg(long, value_enum, value_name = "HOW")]
    pub activation: Option<ActivationArg>,
}

/// Which link `--activation auto` is to suit.
#[derive(Clone, Debug, clap::Args)]
pub struct LinkArgs {
    /// The link that the session is for, which decides with --activation auto: lan (1 ms, 1
    /// Gbit/s), wan (50 ms, 100 Mbit/s), uart (921600 baud), ble, or a round trip and a
    /// bandwidth such as 20ms,50mbit. Without it, activations are chosen as for lan.
    #[arg(long, value_name = "LINK")]
    pub link: Option<LinkModel>,
}

/// [`Activations`] for the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ActivationArg {
    /// By garbled circuits.
    Gc,
    /// By comparison, where there is one for the function and it saves bytes.
    Ot,
    /// By comparison where it saves time on the --link.
    Auto,
}

/// [`Tables`] for the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum TablesArg {
    /// Offline, with their OTs.
    Stored,
    /// Online just before use, with their OTs: least memory.
    Streamed,
}

impl SessionArgs {
    /// The session's options.
    ///
    /// # Errors
    /// If one is out of range.
    pub fn options(&self) -> anyhow::Result<Options> {
        self.options_on(None)
    }

    /// The same on a link.
    ///
    /// # Errors
    /// If one is out of range.
    pub fn options_on(&self, link: Option<&LinkModel>) -> anyhow::Result<Options> {
        let repetition =
            Repetition::from_k(self.ot).ok_or_else(|| anyhow!("--ot takes 1, 2, 4 or 8"))?;
        let tables = match self.tables {
            TablesArg::Stored => Tables::Stored,
            TablesArg::Streamed => Tables::Streamed,
        };
        let activations = match (self.activation.unwrap_or(ActivationArg::Auto), link) {
            (ActivationArg::Gc, _) => Activations::Garbled,
            (ActivationArg::Auto, Some(link)) => link.activations(),
            (ActivationArg::Auto, None) => LinkModel::lan().activations(),
            (ActivationArg::Ot, _) => Activations::Compared { log2_bytes_per_round: 0 },
        };
        let options = Options { repetition, tables, stock: self.stock, activations };
        options
            .check()
            .with_context(|| format!("--stock takes 1 to {}", minionn_core::session::MAX_STOCK))?;
        Ok(options)
    }
}

/// Arguments; what the command does stands at [`super::Command`].
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A model or a plan.
    #[arg(value_name = "M.minionn|M.plan")]
    file: PathBuf,
    #[command(flatten)]
    session: SessionArgs,
    #[command(flatten)]
    link: LinkArgs,
    /// Also draw the bytes of every layer, for one prediction.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Also measure seconds, over loopback on random inputs: takes a model, whose layers are run
    /// one after the other, each several times.
    #[arg(long)]
    measure: bool,
    /// Also write a C header for firmware: the plan's bytes, what it takes and gives, and how much
    /// memory a party needs with these options.
    #[arg(long, value_name = "FILE.h")]
    c_header: Option<PathBuf>,
    #[command(flatten)]
    buffers: BufferArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Prints the costs.
///
/// # Errors
/// If the file is neither model nor plan.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let name = args.file.display().to_string();
    let bytes = std::fs::read(&args.file).with_context(|| name.clone())?;
    let model = bytes
        .starts_with(&model::MAGIC)
        .then(|| Model::parse(&bytes))
        .transpose()
        .with_context(|| name.clone())?;
    let plan = match &model {
        Some(model) => *model.plan(),
        None => Plan::parse(&bytes).context(name)?,
    };
    let firmware = args.c_header.as_ref().map(|_| ActivationArg::Gc);
    let session = SessionArgs { activation: args.session.activation.or(firmware), ..args.session };
    let options = session.options_on(args.link.link.as_ref())?;
    let mut costs = costs(&plan, &options)?;
    if let Some(link) = &args.link.link {
        costs["link"] = on_link(&plan, &options, link)?;
    }
    let mut seconds = Vec::new();
    if args.measure {
        let model = model.context("--measure takes a model: a plan has no weights to run")?;
        let Measured { layers, each } = measure(&model, options)?;
        costs["measured"] = json!({"seconds_each": each});
        for (layer, &s) in costs["layers"].as_array_mut().into_iter().flatten().zip(&layers) {
            layer["seconds"] = s.into();
        }
        seconds = layers;
    }
    if let Some(path) = &args.svg {
        std::fs::write(path, picture(&plan, &options, &seconds)?.svg())
            .with_context(|| path.display().to_string())?;
    }
    if let Some(path) = &args.c_header {
        let text = c_header::plan(path, &plan, &options, args.buffers)?;
        std::fs::write(path, text).with_context(|| path.display().to_string())?;
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&costs)?);
    } else {
        print!("{}", table(&costs));
    }
    Ok(())
}

/// Seconds of a private prediction.
struct Measured {
    /// For each operation.
    layers: Vec<f64>,
    /// For all of them.
    each: f64,
}

/// Sessions of which the fastest counts; one more goes before. Whatever else the machine does only
/// makes a run slower, and where one time is taken from another, a median still has too much of
/// that in it.
const RUNS: usize = 7;

/// Runs the model up to every layer: what a layer takes is what it adds to the layers before. Local
/// operations are counted with what follows.
fn measure(model: &Model<'_>, options: Options) -> anyhow::Result<Measured> {
    let mut made = Measured { layers: vec![0.0; model.plan().ops().count()], each: 0.0 };
    let steps: Vec<_> = model.plan().steps().filter(|step| !step.op.is_local()).collect();
    let bar = indicatif::ProgressBar::new(steps.len() as u64);
    let mut before = 0.0;
    for step in steps {
        let short = if step.op.is_output() { None } else { Some(prefix::up_to(model, step.to)?) };
        let short = short.as_ref().map(|bytes| Model::parse(bytes)).transpose()?;
        let total = timed(short.as_ref().unwrap_or(model), options)?;
        // Noise can make more layers seem faster than fewer.
        made.layers
            .get_mut(step.number)
            .into_iter()
            .for_each(|s| *s = f64::max(total - before, 0.0));
        before = f64::max(total, before);
        made.each = total;
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(made)
}

/// Seconds of one prediction, set-up left out.
fn timed(model: &Model<'_>, options: Options) -> anyhow::Result<f64> {
    let inputs = own::inputs(model, None, options.stock as usize, &fresh_seed()?)?;
    let settings = Settings { options, ..Settings::default() };
    let mut seconds = Vec::new();
    loopback::with_prepared(model, options, |prepared| {
        for _ in 0..=RUNS {
            let plan = *model.plan();
            let report = loopback::session(model, prepared, options, |link| {
                client::predict(link, plan, &settings, &inputs, || {})
            })?;
            seconds
                .push((report.offline.seconds + report.online.seconds) / f64::from(options.stock));
        }
        Ok(())
    })?;
    seconds.into_iter().skip(1).reduce(f64::min).context("no runs")
}

/// The plan's bytes for one prediction, layer by layer; operations that send nothing are left out.
fn picture(plan: &Plan<'_>, options: &Options, seconds: &[f64]) -> anyhow::Result<Plot> {
    let stock = u64::from(options.stock);
    let named: u64 = plan.ops().map(|op| cost::online_op(&op, options).up).sum();
    let input = cost::online(plan, options).up - named;
    let mut rows = vec![Row {
        label: format!("input {}", plan.header().input_len),
        bytes: [0, 0, input, 0],
        seconds: None,
    }];
    for (number, op) in plan.ops().enumerate() {
        let (off, on) = (cost::offline_op(&op, options)?, cost::online_op(&op, options));
        let bytes = [off.up / stock, off.down / stock, on.up, on.down];
        if bytes != [0; 4] {
            let label = format!("{} {}→{}", kind(&op), op.input().1, op.output().1);
            rows.push(Row { label, bytes, seconds: seconds.get(number).copied() });
        }
    }
    let total: u64 = rows.iter().flat_map(|row| row.bytes).sum();
    let stocked = if stock > 1 { format!(" (stock of {stock})") } else { String::new() };
    let timed = if seconds.is_empty() {
        String::new()
    } else {
        format!(", {}", plot::seconds(seconds.iter().sum()))
    };
    Ok(Plot {
        title: plan.name().to_owned(),
        subtitle: format!("{} for one prediction{stocked}{timed}", bytes(total)),
        rows,
    })
}

fn phase(p: Phase) -> Value {
    json!({"bytes_up": p.up, "bytes_down": p.down, "rounds": p.rounds})
}

/// All figures, for one stock under `options`; online figures are for one prediction.
///
/// # Errors
/// None for a checked plan.
pub fn costs(plan: &Plan<'_>, options: &Options) -> anyhow::Result<Value> {
    let layers: anyhow::Result<Vec<Value>> = plan.ops().map(|op| layer(&op, options)).collect();
    let buffers = Buffers::default();
    Ok(json!({
        "name": plan.name(),
        "stock": options.stock,
        "tables": if options.tables == Tables::Stored { "stored" } else { "streamed" },
        "ot": options.repetition.k(),
        "activations": options.activations.code(),
        "layers": layers?,
        "setup": phase(cost::setup()),
        "resume": phase(cost::resume()),
        "offline": phase(cost::offline(plan, options)?),
        "online": phase(cost::online(plan, options)),
        "memory": {
            "client_session": client_memory(plan, options)?,
            "client_engine": ClientEngine::memory(plan, options, buffers)?,
            "client_store": cost::store_bytes(plan, options),
            "server_session": server_memory(plan, options)?,
            "server_engine": ServerEngine::memory(plan, options, buffers)?,
            "server_weights": prepared_memory(plan, options.stock)?,
        },
    }))
}

/// What a prediction takes on a link with either way to compute activations, and with the way that
/// suits it; the parties' own work left out.
fn on_link(plan: &Plan<'_>, options: &Options, link: &LinkModel) -> anyhow::Result<Value> {
    let ways = [
        ("gc", Activations::Garbled),
        ("ot", Activations::Compared { log2_bytes_per_round: 0 }),
        ("auto", link.activations()),
    ];
    let mut all = json!({"name": link.name});
    for (name, activations) in ways {
        let options = Options { activations, ..*options };
        let (offline, online) = (cost::offline(plan, &options)?, cost::online(plan, &options));
        let compared = plan.ops().filter(|op| OtActivation::of(op, &options).is_some()).count();
        all[name] = json!({
            "layers_by_ot": compared,
            "offline_seconds": link.seconds(offline), "offline_bytes": offline.up + offline.down, "offline_rounds": offline.rounds,
            "online_seconds": link.seconds(online), "online_bytes": online.up + online.down, "online_rounds": online.rounds,
        });
    }
    Ok(all)
}

fn layer(op: &Op, options: &Options) -> anyhow::Result<Value> {
    let n = NonlinearCost::with_options(op, options);
    let compared = OtActivation::of(op, options);
    let ots = compared.map_or(n.ots, |compared| compared.ots().iter().sum());
    let ((ring, inputs), (ring_out, outputs)) = (op.input(), op.output());
    let mut value = json!({
        "kind": kind(op), "ring": ring, "ring_out": ring_out, "inputs": inputs, "outputs": outputs,
        "activation": if compared.is_some() { "ot" } else if n.neurons > 0 { "gc" } else { "none" },
        "and_gates": n.and_gates, "ots": ots, "products": n.products,
        "offline": phase(cost::offline_op(op, options)?),
        "online": phase(cost::online_op(op, options)),
    });
    if op.is_linear() {
        let tile = Tile::choose(op, options.stock as usize)?;
        value["tile"] = json!([tile.n_b, tile.n_o, tile.n_c]);
        value["limbs"] = tile.level.limbs.into();
        value["flooding_bits"] = tile.level.statistical.into();
        value["ciphertexts_up"] = tile.up().into();
        value["ciphertexts_down"] = tile.down().into();
    }
    Ok(value)
}

/// What an operation is, for people.
fn kind(op: &Op) -> String {
    match op {
        Op::FullyConnected { .. } => "fully connected".to_owned(),
        Op::Convolution { layer, .. } => {
            format!("convolution {}x{}", layer.kernel[0], layer.kernel[1])
        }
        Op::Activation { function, shift, .. } => format!("{} >> {shift}", function_name(function)),
        Op::MaxPool { function, shift, window, .. } => {
            format!(
                "max {}x{} {} >> {shift}",
                window.kernel[0],
                window.kernel[1],
                function_name(function)
            )
        }
        Op::SumPool { window, .. } => format!("sum {}x{}", window.kernel[0], window.kernel[1]),
        Op::Square { .. } => "square".to_owned(),
        Op::Product { .. } => "product".to_owned(),
        Op::StridedAdd { .. } => "arrange".to_owned(),
        Op::Offset { .. } => "offset".to_owned(),
        Op::Reveal { .. } => "open".to_owned(),
        Op::Argmax { .. } => "argmax".to_owned(),
    }
}

const fn function_name(function: &Function) -> &'static str {
    match function {
        Function::Identity => "identity",
        Function::Relu => "relu",
        Function::Clip { .. } => "clip",
        Function::Leaky { .. } => "leaky relu",
        Function::PiecewiseLinear(_) => "spline",
    }
}

/// A number of bytes for people.
#[must_use]
pub fn bytes(n: u64) -> String {
    match n {
        0..10_000 => format!("{n} B"),
        10_000..10_000_000 => format!("{:.1} kB", n as f64 / 1e3),
        _ => format!("{:.1} MB", n as f64 / 1e6),
    }
}

fn table(costs: &Value) -> String {
    use core::fmt::Write as _;
    let mut out = String::new();
    let u = |v: &Value| v.as_u64().unwrap_or(0);
    let b = |v: &Value| bytes(u(v));
    let _ = writeln!(
        out,
        "{} (stock {}, tables {}, OT k = {})\n",
        costs["name"].as_str().unwrap_or_default(),
        costs["stock"],
        costs["tables"].as_str().unwrap_or_default(),
        costs["ot"]
    );
    let _ = write!(
        out,
        "{:<17} {:>12} {:>7} {:>13} {:>5} {:>7} {:>7} {:>8} {:>7} {:>6} {:>10} {:>10} {:>10} {:>10}",
        "layer",
        "shape",
        "ring",
        "tile b·o·c",
        "limbs",
        "ct up",
        "ct down",
        "AND",
        "OT",
        "rounds",
        "off. up",
        "off. down",
        "on. up",
        "on. down"
    );
    let _ = writeln!(out, "{}", if costs["measured"].is_null() { "" } else { "    seconds" });
    for l in costs["layers"].as_array().into_iter().flatten() {
        let tile: Vec<String> =
            l["tile"].as_array().into_iter().flatten().map(ToString::to_string).collect();
        let dash = |v: &Value| if v.is_null() { "-".to_owned() } else { v.to_string() };
        let _ = write!(
            out,
            "{:<17} {:>12} {:>7} {:>13} {:>5} {:>7} {:>7} {:>8} {:>7} {:>6} {:>10} {:>10} {:>10} {:>10}",
            l["kind"].as_str().unwrap_or_default(),
            format!("{}→{}", l["inputs"], l["outputs"]),
            if l["ring"] == l["ring_out"] {
                l["ring"].to_string()
            } else {
                format!("{}→{}", l["ring"], l["ring_out"])
            },
            if tile.is_empty() { "-".to_owned() } else { tile.join("·") },
            dash(&l["limbs"]),
            dash(&l["ciphertexts_up"]),
            dash(&l["ciphertexts_down"]),
            if l["activation"] == "ot" { "by OT".to_owned() } else { l["and_gates"].to_string() },
            u(&l["ots"]),
            u(&l["offline"]["rounds"]) + u(&l["online"]["rounds"]),
            b(&l["offline"]["bytes_up"]),
            b(&l["offline"]["bytes_down"]),
            b(&l["online"]["bytes_up"]),
            b(&l["online"]["bytes_down"])
        );
        let _ = writeln!(
            out,
            "{}",
            l["seconds"]
                .as_f64()
                .map_or_else(String::new, |s| format!(" {:>10}", plot::seconds(s)))
        );
    }
    out.push('\n');
    for (name, key) in [
        ("set-up, once per connection", "setup"),
        ("  or going on with a pairing", "resume"),
        ("offline, per stock", "offline"),
        ("online, per prediction", "online"),
    ] {
        let p = &costs[key];
        let _ = writeln!(
            out,
            "{name:<28} {:>10} up {:>10} down {:>10} in all {:>3} rounds",
            b(&p["bytes_up"]),
            b(&p["bytes_down"]),
            bytes(u(&p["bytes_up"]) + u(&p["bytes_down"])),
            u(&p["rounds"])
        );
    }
    let stock = u(&costs["stock"]).max(1);
    let each = |way: &str| u(&costs["offline"][way]) / stock + u(&costs["online"][way]);
    let (up, down) = (each("bytes_up"), each("bytes_down"));
    let share = if stock == 1 {
        "one prediction, all of it".to_owned()
    } else {
        format!("one prediction of {stock}, all")
    };
    let (up_text, down_text, all) = (bytes(up), bytes(down), bytes(up + down));
    let _ = writeln!(out, "{share:<28} {up_text:>10} up {down_text:>10} down {all:>10} in all");
    if let Some(s) = costs["measured"]["seconds_each"].as_f64() {
        let _ = writeln!(
            out,
            "{:<28} {:>10} measured over loopback: the fastest of {RUNS}, set-up left out",
            "time of one prediction",
            plot::seconds(s)
        );
    }
    for (way, label) in [("gc", "circuits"), ("ot", "comparison"), ("auto", "auto")] {
        let l = &costs["link"][way];
        if let (Some(off), Some(on)) = (l["offline_seconds"].as_f64(), l["online_seconds"].as_f64())
        {
            let _ = writeln!(
                out,
                "{:<28} {:>10} offline ({}, {} rounds), {} online ({}, {} rounds), {} layers by OT",
                format!("on {} by {label}", costs["link"]["name"].as_str().unwrap_or_default()),
                plot::seconds(off),
                b(&l["offline_bytes"]),
                u(&l["offline_rounds"]),
                plot::seconds(on),
                b(&l["online_bytes"]),
                u(&l["online_rounds"]),
                u(&l["layers_by_ot"])
            );
        }
    }
    let m = &costs["memory"];
    let _ = writeln!(
        out,
        "\nmemory   client {} and {} for stored tables; server {} per session, {} for the weights, once",
        b(&m["client_session"]),
        b(&m["client_store"]),
        b(&m["server_session"]),
        b(&m["server_weights"])
    );
    let _ = writeln!(
        out,
        "         as sans-IO engines with their default buffers: client {} (tables included), server {}",
        b(&m["client_engine"]),
        b(&m["server_engine"])
    );
    out
}
