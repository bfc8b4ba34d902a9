//! `minionn predict`.

use super::input;
use super::session::{LinkArgs, SessionArgs};
use super::shown::{self, ShowArgs, Shown};
use crate::clamp::Clamped;
use crate::client::{Phase, Phases};
use crate::report::Report;
use crate::say::say;
use crate::{Client, ClientOptions, Plan, Threads, npy};
use anyhow::bail;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// Arguments; what the command does stands at [`super::Command`].
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The server, HOST:PORT.
    #[arg(value_name = "ADDR")]
    address: String,
    /// Inputs, one per row: a NumPy array, a table of numbers as text (CSV), a PNG or JPEG image,
    /// or `-` for standard input; for a model of several inputs NAME=FILE, once for each. Values
    /// outside the model's input range are clamped.
    #[arg(long, value_name = "[NAME=]FILE", required = true)]
    input: Vec<String>,
    #[command(flatten)]
    show: ShowArgs,
    /// The plan that the server is to have; without it, the server is asked for its plan.
    #[arg(long, value_name = "M.plan")]
    plan: Option<PathBuf>,
    #[command(flatten)]
    session: SessionArgs,
    #[command(flatten)]
    link: LinkArgs,
    /// Keep garbled tables in this file instead of memory.
    #[arg(long, value_name = "FILE")]
    store: Option<PathBuf>,
    /// What set-up makes, so that it is done once: this file is read if it is there, and written
    /// if not (only its owner may read it).
    ///
    /// It is secret: whoever has it and what went over the wire can read the inputs of all
    /// sessions that use it. Keep it on an encrypted medium. If the server has forgotten the
    /// pairing, that is an error: remove the file to set up once more.
    #[arg(long, value_name = "FILE")]
    pairing: Option<PathBuf>,
    /// Threads; without it as many as there are processors.
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Print JSON: predictions and, for each phase, seconds, bytes_sent, bytes_received, rounds.
    #[arg(long)]
    json: bool,
}

/// Predicts and prints.
///
/// # Errors
/// What could not be read, reached or agreed on.
pub fn run(args: &Args) -> anyhow::Result<()> {
    input::there(&args.input)?;
    let held = Held::default();
    let client = Client::connect_with(&args.address, options(args, &held)?)?;
    let plan = client.plan().clone();
    let Some((inputs, clamped)) = held.take() else {
        bail!("the inputs were not read: please report it");
    };
    let rows = inputs.rows_for(&plan.described().signature.inputs, plan.input_len())?;
    let many = rows.len() > 1 && !args.json;
    let bar = if many { ProgressBar::new(rows.len() as u64) } else { ProgressBar::hidden() };
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} predictions, {eta} left")?);
    let Report { predictions, phases } = Report::make(client, rows, || bar.inc(1))?;
    bar.finish_and_clear();
    let predictions = shown::shown(&args.show, &plan, predictions)?;
    if args.json {
        say!("{}", serde_json::to_string(&Answers { predictions, clamped, phases })?);
        return Ok(());
    }
    shown::print(&args.show, &plan, &predictions)?;
    print(&phases);
    Ok(())
}

/// What is printed as JSON.
#[derive(Serialize)]
struct Answers {
    predictions: Vec<Shown>,
    clamped: Clamped,
    #[serde(flatten)]
    phases: Phases,
}

/// The inputs, which are read when the plan is known: it says what they are to be.
#[derive(Clone, Default)]
struct Held(Arc<Mutex<Option<(npy::Array, Clamped)>>>);

impl Held {
    fn put(&self, inputs: npy::Array, clamped: Clamped) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((inputs, clamped));
    }

    fn take(&self) -> Option<(npy::Array, Clamped)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The client's options; the plan must fit the inputs.
fn options(args: &Args, held: &Held) -> anyhow::Result<ClientOptions> {
    let threads = Threads::new(args.threads.unwrap_or_else(Threads::here))?;
    let (files, show, held) = (args.input.clone(), args.show.clone(), held.clone());
    // An error's own text is the cause: what wraps it says that the plan does not fit.
    let admit = move |plan: &Plan| -> anyhow::Result<()> {
        let ports = &plan.described().signature.inputs;
        let inputs = input::read(&files, ports, Some(show.pixels(plan)))?;
        for (i, row) in inputs.rows_for(ports, plan.input_len())?.enumerate() {
            plan.check_input(i, row)?;
        }
        let clamped = shown::clamped(&show, plan, &inputs)?;
        held.put(inputs, clamped);
        Ok(())
    };
    let mut options = ClientOptions::new()
        .session(args.session.options_on(args.link.link.as_ref())?)
        .threads(threads)
        .check_plan(move |plan| Ok(admit(plan)?));
    if let Some(path) = &args.plan {
        options = options.plan(Plan::open(path)?);
    }
    if let Some(path) = &args.store {
        options = options.table_file(path);
    }
    if let Some(path) = &args.pairing {
        options = options.pairing_file(path);
    }
    Ok(options)
}

fn print(phases: &Phases) {
    for (name, phase) in
        [("set-up", &phases.setup), ("offline", &phases.offline), ("online", &phases.online)]
    {
        let Phase { seconds, bytes_sent, bytes_received, rounds } = phase;
        say!(
            "{name:<8} {seconds:>8.3} s {bytes_sent:>10} bytes sent {bytes_received:>10} received \
             {rounds:>5} rounds"
        );
    }
}
