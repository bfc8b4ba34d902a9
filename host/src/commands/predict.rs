//! `minionn predict`.

use super::session::{LinkArgs, SessionArgs};
use crate::client::Phase;
use crate::report::Report;
use crate::{Client, ClientOptions, Plan, Threads, npy};
use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use std::path::PathBuf;
use std::sync::Arc;

/// Arguments; what the command does stands at [`super::Command`].
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The server, HOST:PORT.
    #[arg(value_name = "ADDR")]
    address: String,
    /// Inputs, float32, one per row. Values outside the model's input range are clamped.
    #[arg(long, value_name = "X.npy")]
    input: PathBuf,
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
    let inputs = npy::read(&args.input).with_context(|| args.input.display().to_string())?;
    let inputs = Arc::new(inputs);
    let client = Client::connect_with(&args.address, options(args, inputs.clone())?)?;
    let rows = inputs.rows_of(client.plan().input_len())?;
    let many = rows.len() > 1 && !args.json;
    let bar = if many { ProgressBar::new(rows.len() as u64) } else { ProgressBar::hidden() };
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} predictions, {eta} left")?);
    let report = Report::make(client, rows, || bar.inc(1))?;
    bar.finish_and_clear();
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print(&report);
    }
    Ok(())
}

/// The client's options; the plan must fit the inputs.
fn options(args: &Args, inputs: Arc<npy::Array>) -> anyhow::Result<ClientOptions> {
    let threads = Threads::new(args.threads.unwrap_or_else(Threads::here))?;
    let mut options = ClientOptions::new()
        .session(args.session.options_on(args.link.link.as_ref())?)
        .threads(threads)
        .check_plan(move |plan| {
            let rows = inputs.rows_of(plan.input_len())?;
            for (i, row) in rows.enumerate() {
                plan.check_input(i, row)?;
            }
            Ok(())
        });
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

fn print(report: &Report) {
    super::print(&report.predictions);
    let phases = &report.phases;
    for (name, phase) in
        [("set-up", &phases.setup), ("offline", &phases.offline), ("online", &phases.online)]
    {
        let Phase { seconds, bytes_sent, bytes_received, rounds } = phase;
        println!(
            "{name:<8} {seconds:>8.3} s {bytes_sent:>10} bytes sent {bytes_received:>10} received \
             {rounds:>5} rounds"
        );
    }
}
