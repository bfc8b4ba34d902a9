//! `minionn predict`.

use super::plan::{LinkArgs, SessionArgs};
use crate::client::{self, Phase, Report, Settings};
use crate::npy;
use crate::threads::Threads;
use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use minionn_core::plan::Plan;
use std::path::PathBuf;

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
    /// pairing, that is an error: remove the file to set up anew.
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
    let mut link = client::connect(&args.address)?;
    let plan_bytes = match &args.plan {
        Some(path) => std::fs::read(path).with_context(|| path.display().to_string())?,
        None => client::plan_from(&mut link)?,
    };
    let plan = Plan::parse(&plan_bytes)?;
    let rows = inputs.rows_of(plan.header().input_len as usize)?.count() as u64;
    let bar = if rows > 1 && !args.json { ProgressBar::new(rows) } else { ProgressBar::hidden() };
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} predictions, {eta} left")?);
    let threads = Threads::new(args.threads.unwrap_or_else(Threads::here))?;
    let settings = Settings {
        options: args.session.options_on(args.link.link.as_ref())?,
        store: args.store.as_deref(),
        pairing: args.pairing.as_deref(),
        workers: threads.workers(),
    };
    let report = client::predict(link, plan, &settings, &inputs, || bar.inc(1))?;
    bar.finish_and_clear();
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print(&report);
    }
    Ok(())
}

fn print(report: &Report) {
    for (i, prediction) in report.predictions.iter().enumerate() {
        let logits: Vec<String> =
            prediction.logits.iter().flatten().map(|x| format!("{x:.4}")).collect();
        println!("{i}: {} {}", prediction.argmax, logits.join(" "));
    }
    for (name, phase) in
        [("set-up", &report.setup), ("offline", &report.offline), ("online", &report.online)]
    {
        let Phase { seconds, bytes_sent, bytes_received, rounds } = phase;
        println!(
            "{name:<8} {seconds:>8.3} s {bytes_sent:>10} bytes sent {bytes_received:>10} received {rounds:>5} rounds"
        );
    }
}
