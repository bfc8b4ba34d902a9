//! `minionn demo`.

use super::plain::Prediction;
use super::plan::{SessionArgs, bytes};
use crate::client::{self, Report, Settings};
use crate::npy;
use crate::repository::model_file;
use crate::server_process::ServerProcess;
use anyhow::{Context as _, ensure};
use minionn_core::model::Model;
use minionn_core::plan::Plan;

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
    let model = model_file(MODEL)?;
    let (images, labels) = (npy::parse(&model_file(IMAGES)?)?, npy::parse(&model_file(LABELS)?)?);
    let count = args.images.clamp(1, images.rows());
    let pixels = images.data().get(..count * SIDE * SIDE).context("too few images")?;
    let inputs =
        npy::Array::new(&[count, SIDE * SIDE], pixels.to_vec()).context("too few images")?;
    let server = ServerProcess::start(&model, &["--once"])?;
    if !args.json {
        println!(
            "A server process ({}) holds a network, 64-32-10 with ReLU, trained on handwritten digits.",
            server.id()
        );
        println!(
            "This process ({}) holds {count} images that the network never saw. Neither shows the other what it holds.\n",
            std::process::id()
        );
    }

    let mut link = client::connect(server.address())?;
    let plan_bytes = client::plan_from(&mut link)?;
    let plan = Plan::parse(&plan_bytes)?;
    let settings = Settings { options: args.session.options()?, ..Settings::default() };
    let report = client::predict(link, plan, &settings, &inputs, || {})?;

    // The check looks into the model, which a real client cannot.
    let model = Model::parse(&model)?;
    let expected = super::plain::evaluate(&model, &inputs)?.predictions;
    let equal = report.predictions == expected;
    let labels: Vec<usize> = labels.data().iter().take(count).map(|&x| x as usize).collect();
    if args.json {
        let mut value = serde_json::json!(report);
        value["labels"] = labels.into();
        value["equals_integer_model"] = equal.into();
        println!("{value}");
    } else {
        show(&report, &inputs, &labels);
    }
    ensure!(equal, "a private prediction differs from the integer model: please report this");
    if !args.json {
        println!(
            "\nChecked: each of the {count} private predictions equals the integer model in the clear, bit for bit."
        );
    }
    Ok(())
}

fn show(report: &Report, inputs: &npy::Array, labels: &[usize]) {
    for ((prediction, label), image) in
        report.predictions.iter().zip(labels).zip(inputs.data().chunks(SIDE * SIDE))
    {
        draw(image, prediction, *label);
    }
    println!("{:<9} {:>9} {:>11} {:>11} {:>7}", "phase", "seconds", "sent", "received", "rounds");
    for (name, phase) in
        [("set-up", &report.setup), ("offline", &report.offline), ("online", &report.online)]
    {
        let (sent, received) = (bytes(phase.bytes_sent), bytes(phase.bytes_received));
        println!("{name:<9} {:>9.4} {sent:>11} {received:>11} {:>7}", phase.seconds, phase.rounds);
    }
}

/// An image in half blocks, two rows of pixels in a line of text, with the answer beside it.
fn draw(image: &[f32], prediction: &Prediction, label: usize) {
    const SHADES: [char; 5] = [' ', '░', '▒', '▓', '█'];
    let verdict = if prediction.argmax == label { "right" } else { "wrong" };
    let logits: Vec<String> =
        prediction.logits.iter().flatten().map(|x| format!("{x:.1}")).collect();
    for (y, row) in image.chunks(SIDE).enumerate() {
        let line: String =
            row.iter().flat_map(|&x| [SHADES[((x * 4.99) as usize).min(4)]; 2]).collect();
        let note = match y {
            2 => format!("private prediction  {}   (label {label}, {verdict})", prediction.argmax),
            3 => format!("logits  {}", logits.join("  ")),
            _ => String::new(),
        };
        println!("  {line}   {note}");
    }
    println!();
}
