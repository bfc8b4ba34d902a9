//! `minionn demo`.

use super::session::SessionArgs;
use crate::report::Report;
use crate::repository::model_file;
use crate::server_process::ServerProcess;
use crate::units::bytes;
use crate::{Client, ClientOptions, Model, Prediction, npy};
use anyhow::{Context as _, ensure};
use serde::Serialize;

/// A network trained on handwritten digits, and held-out images with their labels; see
/// models/README.md.
const MODEL: &str = "digits_relu.minionn";
const IMAGES: &str = "digits_relu.test.npy";
const LABELS: &str = "digits_relu.labels.npy";

/// Rows and columns of an image.
const SIDE: usize = 8;

/// Arguments; what the command does stands at [`super::Command`].
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How many held-out images.
    #[arg(long, value_name = "N", default_value_t = 5)]
    images: usize,
    #[command(flatten)]
    session: SessionArgs,
    /// Print JSON: predictions, labels, the check, and each phase's seconds, bytes and rounds.
    #[arg(long)]
    json: bool,
}

/// Shows private predictions of held-out images.
///
/// # Errors
/// If anything fails, or if a private prediction differs from the integer model.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let model = Model::from_bytes(model_file(MODEL)?)?;
    let (images, labels) = (npy::parse(&model_file(IMAGES)?)?, npy::parse(&model_file(LABELS)?)?);
    let count = args.images.clamp(1, images.rows());
    let pixels = images.data().get(..count * SIDE * SIDE).context("too few images")?;
    let inputs =
        npy::Array::new(&[count, SIDE * SIDE], pixels.to_vec()).context("too few images")?;
    let server = ServerProcess::start(&model, &["--once"])?;
    if !args.json {
        println!(
            "A server process ({}) holds a network, 64-32-10 with ReLU, trained on handwritten \
             digits.",
            server.id()
        );
        println!(
            "This process ({}) holds {count} images that the network never saw. Neither shows the \
             other what it holds.\n",
            std::process::id()
        );
    }

    let options = ClientOptions::new().session(args.session.options()?);
    let client = Client::connect_with(server.address(), options)?;
    let report = Report::make(client, inputs.rows_of(SIDE * SIDE)?, || {})?;

    // The check looks into the model, which a real client cannot.
    let expected = model.predict_plain_batch(inputs.rows_of(SIDE * SIDE)?)?;
    let equal = report.predictions == expected;
    let labels: Vec<usize> = labels.data().iter().take(count).map(|&x| x as usize).collect();
    if args.json {
        let shown = Shown { report: &report, labels: &labels, equals_integer_model: equal };
        println!("{}", serde_json::to_string(&shown)?);
    } else {
        show(&report, &inputs, &labels);
    }
    ensure!(equal, "a private prediction differs from the integer model: please report this");
    if !args.json {
        println!(
            "\nChecked: each of the {count} private predictions equals the integer model in the \
             clear, bit for bit."
        );
    }
    Ok(())
}

/// What `--json` prints.
#[derive(Serialize)]
struct Shown<'s> {
    #[serde(flatten)]
    report: &'s Report,
    labels: &'s [usize],
    equals_integer_model: bool,
}

fn show(report: &Report, inputs: &npy::Array, labels: &[usize]) {
    for ((prediction, label), image) in
        report.predictions.iter().zip(labels).zip(inputs.data().chunks(SIDE * SIDE))
    {
        draw(image, prediction, *label);
    }
    println!("{:<9} {:>9} {:>11} {:>11} {:>7}", "phase", "seconds", "sent", "received", "rounds");
    let phases = &report.phases;
    for (name, phase) in
        [("set-up", &phases.setup), ("offline", &phases.offline), ("online", &phases.online)]
    {
        let (sent, received) = (bytes(phase.bytes_sent), bytes(phase.bytes_received));
        println!("{name:<9} {:>9.4} {sent:>11} {received:>11} {:>7}", phase.seconds, phase.rounds);
    }
}

/// An image in half blocks, two rows of pixels in a line of text, with the answer beside it.
fn draw(image: &[f32], prediction: &Prediction, label: usize) {
    const SHADES: [char; 5] = [' ', '░', '▒', '▓', '█'];
    let verdict = if prediction.class == label { "right" } else { "wrong" };
    let logits: Vec<String> =
        prediction.logits.iter().flatten().map(|x| format!("{x:.1}")).collect();
    for (y, row) in image.chunks(SIDE).enumerate() {
        let line: String =
            row.iter().flat_map(|&x| [SHADES[((x * 4.99) as usize).min(4)]; 2]).collect();
        let note = match y {
            2 => format!("private prediction  {}   (label {label}, {verdict})", prediction.class),
            3 => format!("logits  {}", logits.join("  ")),
            _ => String::new(),
        };
        println!("  {line}   {note}");
    }
    println!();
}
