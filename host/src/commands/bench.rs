//! `minionn bench`.

use super::plan::{SessionArgs, bytes};
use crate::bench::{compare, own};
use crate::compile::{CompileOptions, compile};
use crate::link::fresh_seed;
use crate::npy;
use anyhow::{Context as _, bail};
use minionn_core::model::{self, Model};
use std::path::{Path, PathBuf};

/// The networks of the paper's Figures 10 to 12; see models/README.md.
const NETWORKS: [(&str, &[u8]); 3] = [
    ("fig10", include_bytes!("../../../models/fig10_square.minionn")),
    ("fig11", include_bytes!("../../../models/fig11_conv_square.minionn")),
    ("fig12", include_bytes!("../../../models/fig12_conv_relu.minionn")),
];

/// Arguments; what the command does stands at [`super::Command`].
#[derive(Debug, clap::Args)]
pub struct Args {
    /// fig10, fig11 or fig12 (the networks of the paper's figures), a model, or an ONNX file.
    #[arg(value_name = "MODEL", required_unless_present_any = ["network", "profile"])]
    model: Option<PathBuf>,
    /// The same, by name; without it the paper's profile takes fig10.
    #[arg(long = "model", value_name = "MODEL", conflicts_with = "model")]
    network: Option<PathBuf>,
    /// Run another method, too.
    #[arg(long, value_enum)]
    profile: Option<Profile>,
    /// Calibration rows for an ONNX file; without them its inputs range from 0 to 1.
    #[arg(long, value_name = "X.npy")]
    calibrate: Option<PathBuf>,
    /// Inputs; without them random ones in the model's range. They decide whether all integers fit the paper's N, nothing else.
    #[arg(long, value_name = "X.npy")]
    input: Option<PathBuf>,
    /// How many runs, after one to warm up; seconds are medians.
    #[arg(long, value_name = "R", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
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

/// Measures and prints.
///
/// # Errors
/// If the model cannot be had, a run fails, or an answer is not the integer model's.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let named = args.model.as_deref().or(args.network.as_deref()).unwrap_or(Path::new("fig10"));
    let model = load(named, args.calibrate.as_deref()).with_context(|| named.display().to_string())?;
    let (options, seed) = (args.session.options()?, fresh_seed()?);
    let given = args.input.as_deref().map(array).transpose()?;
    let inputs = own::inputs(&Model::parse(&model)?, given.as_ref(), options.stock as usize, &seed.derive(0))?;
    if args.profile == Some(Profile::Paper) {
        let comparison = compare::compare(&model, options, args.runs, &inputs, &seed.derive(1))?;
        if args.json {
            println!("{}", serde_json::to_string_pretty(&comparison)?);
        } else {
            print!("{comparison}");
        }
        return Ok(());
    }
    let measured = own::measure(&model, options, args.runs, &inputs)?;
    let name = Model::parse(&model)?.plan().name().to_owned();
    if args.json {
        let mut value = serde_json::json!(measured);
        value["network"] = name.into();
        println!("{}", serde_json::to_string_pretty(&value)?);
    } else {
        show(&name, &measured);
    }
    Ok(())
}

fn array(path: &Path) -> anyhow::Result<npy::Array> {
    npy::read(path).with_context(|| path.display().to_string())
}

/// The bytes of a model: built in, from a file, or compiled.
fn load(named: &Path, calibrate: Option<&Path>) -> anyhow::Result<Vec<u8>> {
    if let Some((_, bytes)) = NETWORKS.iter().find(|(name, _)| Path::new(name) == named) {
        return Ok(bytes.to_vec());
    }
    let bytes = std::fs::read(named)?;
    if bytes.starts_with(&model::MAGIC) {
        return Ok(bytes);
    }
    if named.extension().is_none_or(|extension| extension != "onnx") {
        bail!("neither a model nor an ONNX file");
    }
    let rows = calibrate.map(array).transpose()?;
    let input_range = rows.is_none().then_some((0.0, 1.0));
    Ok(compile(&bytes, &CompileOptions { input_range, ..CompileOptions::default() }, rows.as_ref())?.model)
}

fn show(name: &str, measured: &own::Measured) {
    let stock = measured.stock;
    println!("{name}: median of {} runs over loopback TCP, one thread for each party, stock of {stock}\n", measured.runs);
    println!("{:<28}{:>10}{:>12}{:>12}{:>8}", "phase", "seconds", "up", "down", "rounds");
    let rows = [
        ("set-up, per connection", &measured.setup),
        ("offline, per stock", &measured.offline),
        ("online, per prediction", &measured.online),
    ];
    for (phase, p) in rows {
        println!("{phase:<28}{:>10.4}{:>12}{:>12}{:>8}", p.seconds, bytes(p.bytes_sent), bytes(p.bytes_received), p.rounds);
    }
    println!("{:<28}{:>10.4}{:>12}", "offline + online, each", measured.seconds(), bytes(measured.bytes()));
}
