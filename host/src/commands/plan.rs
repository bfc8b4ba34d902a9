//! `minionn plan`.

use super::plan_table;
use super::session::{ActivationArg, LinkArgs, SessionArgs};
use crate::bench::own;
use crate::c_header::{self, BufferArgs};
use crate::costs::{Costs, LinkCosts};
use crate::plot::{Plot, Row};
use crate::report::Report;
use crate::say::{say, write};
use crate::units::{bytes, seconds};
use crate::{ClientOptions, Model, Plan, Server, ServerOptions, loopback, prefix};
use anyhow::Context as _;
use getrandom::SysRng;
use minionn_core::model::MAGIC;
use minionn_core::rng::Seed;
use minionn_core::session::{MAX_STOCK, Options};
use serde::Serialize;
use std::path::PathBuf;

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

/// What is printed.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    #[serde(flatten)]
    pub(super) costs: Costs,
    /// On the link that was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) link: Option<LinkCosts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) measured: Option<Measured>,
}

/// Seconds of a private prediction.
#[derive(Debug, Serialize)]
pub(super) struct Measured {
    pub(super) seconds_each: f64,
}

/// Prints the costs.
///
/// # Errors
/// If the file is neither model nor plan.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let name = args.file.display().to_string();
    let file = std::fs::read(&args.file).with_context(|| name.clone())?;
    let model =
        if file.starts_with(&MAGIC) { Some(Model::parse(file.clone(), &name)?) } else { None };
    let plan = match &model {
        Some(model) => model.plan().clone(),
        None => Plan::parse(file, &name)?,
    };
    let firmware = args.c_header.as_ref().map(|_| ActivationArg::Gc);
    let session = SessionArgs { activation: args.session.activation.or(firmware), ..args.session };
    let options = session.options_on(args.link.link.as_ref())?;
    let link = args.link.link.as_ref().map(|link| plan.costs_on(&options, link)).transpose()?;
    let mut shown = Shown { costs: plan.costs(&options)?, link, measured: None };
    if args.measure {
        let model = model.context("--measure takes a model: a plan has no weights to run")?;
        let (layers, seconds_each) = measure(&model, options)?;
        for (layer, s) in shown.costs.layers.iter_mut().zip(layers) {
            layer.seconds = Some(s);
        }
        shown.measured = Some(Measured { seconds_each });
    }
    if let Some(path) = &args.svg {
        std::fs::write(path, picture(&plan, &options, &shown.costs).svg())
            .with_context(|| path.display().to_string())?;
    }
    if let Some(path) = &args.c_header {
        let text = c_header::plan(path, plan.core(), &options, args.buffers)?;
        std::fs::write(path, text).with_context(|| path.display().to_string())?;
    }
    if args.json {
        say!("{}", serde_json::to_string_pretty(&shown)?);
    } else {
        write(format_args!("{}", plan_table::text(&shown)));
    }
    Ok(())
}

/// Sessions of which the fastest counts; one more goes before. Whatever else the machine does only
/// makes a run slower, and where one time is taken from another, a median still has too much of
/// that in it.
pub(super) const RUNS: usize = 7;

/// Runs the model up to every layer: what a layer takes is what it adds to the layers before. Local
/// operations are counted with what follows. Seconds of each operation, and of all.
fn measure(model: &Model, options: Options) -> anyhow::Result<(Vec<f64>, f64)> {
    let plan = model.plan().core();
    let (mut layers, mut each) = (vec![0.0; plan.ops().count()], 0.0);
    let steps: Vec<_> = plan.steps().filter(|step| !step.op.is_local()).collect();
    let bar = indicatif::ProgressBar::new(steps.len() as u64);
    let mut before = 0.0;
    for step in steps {
        let short = if step.op.is_output() {
            model.clone()
        } else {
            Model::from_bytes(prefix::up_to(model.core(), step.to)?)?
        };
        each = timed(&short, options)?;
        if let Some(seconds) = layers.get_mut(step.number) {
            // Noise can make more layers seem faster than fewer.
            *seconds = f64::max(each - before, 0.0);
        }
        before = f64::max(each, before);
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok((layers, each))
}

/// Seconds of one prediction, set-up left out.
fn timed(model: &Model, session: Options) -> anyhow::Result<f64> {
    let inputs = own::inputs(model, None, session.stock as usize, &Seed::draw(&mut SysRng)?)?;
    let rows = inputs.rows_of(model.plan().input_len())?;
    let options = ServerOptions::new().max_stock(MAX_STOCK);
    let server = Server::with_options(model.clone(), options);
    server.prepare(session.stock)?;
    let client = ClientOptions::new().plan(model.plan().clone()).session(session);
    let mut fastest = f64::INFINITY;
    for run in 0..=RUNS {
        let report = loopback::connected(None, &server, client.clone(), |client| {
            Ok(Report::make(client, rows.clone(), || {})?)
        })?;
        let seconds = report.phases.offline.seconds + report.phases.online.seconds;
        if run > 0 {
            fastest = fastest.min(seconds / f64::from(session.stock));
        }
    }
    Ok(fastest)
}

/// The plan's bytes for one prediction, layer by layer; operations that send nothing are left out.
fn picture(plan: &Plan, options: &Options, costs: &Costs) -> Plot {
    let stock = u64::from(options.stock);
    let named: u64 = costs.layers.iter().map(|layer| layer.online.bytes_up).sum();
    let input = costs.online.bytes_up - named;
    let mut rows = vec![Row {
        label: format!("input {}", plan.input_len()),
        bytes: [0, 0, input, 0],
        seconds: None,
    }];
    for layer in &costs.layers {
        let (off, on) = (layer.offline, layer.online);
        let bytes = [off.bytes_up / stock, off.bytes_down / stock, on.bytes_up, on.bytes_down];
        if bytes != [0; 4] {
            let label = format!("{} {}→{}", layer.kind, layer.inputs, layer.outputs);
            rows.push(Row { label, bytes, seconds: layer.seconds });
        }
    }
    let total: u64 = rows.iter().flat_map(|row| row.bytes).sum();
    let stocked = if stock > 1 { format!(" (stock of {stock})") } else { String::new() };
    let all: Option<f64> = costs.layers.iter().map(|layer| layer.seconds).sum();
    let timed = all.map_or_else(String::new, |all| format!(", {}", seconds(all)));
    Plot {
        title: plan.name().to_owned(),
        subtitle: format!("{} for one prediction{stocked}{timed}", bytes(total)),
        rows,
    }
}
