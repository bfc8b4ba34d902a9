//! `minionn demo`.

use super::session::SessionArgs;
use crate::report::Report;
use crate::repository::model_file;
use crate::say::say;
use crate::server_process::ServerProcess;
use crate::units::bytes;
use crate::{Client, ClientOptions, Model, Prediction, npy};
use anyhow::{Context as _, ensure};
use core::num::NonZeroUsize;
use serde::Serialize;

/// A network trained on handwritten digits, and held-out images with their labels; see
/// models/README.md.
struct Subject {
    /// What the network is.
    network: &'static str,
    model: &'static str,
    images: &'static str,
    labels: &'static str,
    /// Rows and columns of an image.
    side: usize,
    /// The brightest pixel.
    white: f32,
}

/// Quick to watch.
const SMALL: Subject = Subject {
    network: "64-32-10 with ReLU",
    model: "digits_relu.minionn",
    images: "digits_relu.test.npy",
    labels: "digits_relu.labels.npy",
    side: 8,
    white: 1.0,
};

/// Figure 12 of the paper.
const MNIST: Subject = Subject {
    network: "two convolutions with ReLU and max-pool, 256-100-10",
    model: "fig12_conv_relu.minionn",
    images: "mnist.test.npy",
    labels: "mnist.labels.npy",
    side: 28,
    white: 255.0,
};

/// Arguments; what the command does stands at [`super::Command`].
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How many held-out images.
    #[arg(long, value_name = "N", default_value = "5")]
    images: NonZeroUsize,
    /// A large network instead of a small one: convolutions, on MNIST's images of 28x28.
    #[arg(long)]
    mnist: bool,
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
    let subject = if args.mnist { &MNIST } else { &SMALL };
    let model = Model::from_bytes(model_file(subject.model)?)?;
    let (images, labels) =
        (npy::parse(&model_file(subject.images)?)?, npy::parse(&model_file(subject.labels)?)?);
    let (count, len) = (images.rows().min(args.images.get()), subject.side * subject.side);
    let pixels = images.data().get(..count * len).context("too few images")?;
    let inputs = npy::Array::new(&[count, len], pixels.to_vec()).context("too few images")?;
    let server = ServerProcess::start(&model, &["--once"])?;
    if !args.json {
        say!(
            "A server process ({}) holds a network, {}, trained on handwritten digits.",
            server.id(),
            subject.network
        );
        say!(
            "This process ({}) holds {count} images that the network never saw. Neither shows the \
             other what it holds.\n",
            std::process::id()
        );
    }

    let options = ClientOptions::new().session(args.session.options()?);
    let client = Client::connect_with(server.address(), options)?;
    let report = Report::make(client, inputs.rows_of(len)?, || {})?;

    // The check looks into the model, which a real client cannot.
    let expected = model.predict_plain_batch(inputs.rows_of(len)?)?;
    let equal = report.predictions == expected;
    let labels: Vec<usize> = labels.data().iter().take(count).map(|&x| x as usize).collect();
    ensure!(labels.len() == count, "{}: too few labels", subject.labels);
    if args.json {
        let shown = Shown { report: &report, labels: &labels, equals_integer_model: equal };
        say!("{}", serde_json::to_string(&shown)?);
    } else {
        show(subject, &report, &inputs, &labels);
    }
    ensure!(equal, "a private prediction differs from the integer model: please report this");
    if !args.json {
        say!(
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

fn show(subject: &Subject, report: &Report, inputs: &npy::Array, labels: &[usize]) {
    for ((prediction, label), image) in
        report.predictions.iter().zip(labels).zip(inputs.data().chunks(subject.side.pow(2)))
    {
        draw(subject, image, prediction, *label);
    }
    say!("{:<9} {:>9} {:>11} {:>11} {:>7}", "phase", "seconds", "sent", "received", "rounds");
    let phases = &report.phases;
    for (name, phase) in
        [("set-up", &phases.setup), ("offline", &phases.offline), ("online", &phases.online)]
    {
        let (sent, received) = (bytes(phase.bytes_sent), bytes(phase.bytes_received));
        say!("{name:<9} {:>9.4} {sent:>11} {received:>11} {:>7}", phase.seconds, phase.rounds);
    }
}

/// An image with the answer beside it. A character is twice as high as wide: it shows two rows of
/// pixels of a large image, and half a pixel of a small one.
fn draw(subject: &Subject, image: &[f32], prediction: &Prediction, label: usize) {
    const SHADES: [char; 5] = [' ', '░', '▒', '▓', '█'];
    let verdict = if prediction.class == label { "right" } else { "wrong" };
    let logits: Vec<String> =
        prediction.logits.iter().flatten().map(|x| format!("{x:.1}")).collect();
    let (rows, repeated) = if subject.side > 16 { (2, 1) } else { (1, 2) };
    for (y, rows) in image.chunks(rows * subject.side).enumerate() {
        let shade = |x: usize| {
            let pixels = rows.iter().skip(x).step_by(subject.side);
            let light = pixels.fold(0.0_f32, |light, pixel| light.max(pixel / subject.white));
            SHADES[((light * 4.99) as usize).min(4)]
        };
        let line: String = (0..subject.side).flat_map(|x| vec![shade(x); repeated]).collect();
        let note = match y {
            2 => format!("private prediction  {}   (label {label}, {verdict})", prediction.class),
            3 => format!("logits  {}", logits.join("  ")),
            _ => String::new(),
        };
        say!("  {line}   {note}");
    }
    say!("");
}
