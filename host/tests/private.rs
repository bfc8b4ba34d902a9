//! Private predictions over TCP: equal to the integer model, at the predicted cost, through the
//! library and through the command.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use minionn_core::cost;
use minionn_core::ot::Repetition;
use minionn_core::plan::{Convolution, Plan};
use minionn_core::session::{
    Activations, Options, Tables, client_memory, prepared_memory, server_memory,
};
use minionn_host::Model;
use minionn_host::compile::{CompileOptions, Output, compile};
use minionn_host::link_model::LinkModel;
use minionn_host::network::{Activation, Linear, Network, Node, Work};
use minionn_host::npy::{self, Array};
use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Stdio};

#[path = "common/process.rs"]
mod process;
#[path = "common/samples.rs"]
mod samples;
#[path = "common/session.rs"]
mod session;

use process::{minionn, serve};
use samples::{array, float_right, head, models};
use session::{check, predict};

/// The compiled networks in the folder of models.
const COMMITTED: [&str; 8] = [
    "digits_relu",
    "fig10_square",
    "fig11_conv_square",
    "fig12_conv_relu",
    "fig13_cifar",
    "fig14_lstm_small",
    "sensor",
    "anomaly",
];

/// Windows of the three people whom training has not seen.
const WINDOWS: usize = 1016;

/// By comparison instead of circuits.
const COMPARED: Activations = Activations::Compared { log2_bytes_per_round: 0 };

/// How the networks for small devices are compiled, as models/README.md says it.
fn narrow(range: f32) -> CompileOptions {
    CompileOptions {
        input_range: Some((-range, range)),
        weight_bits: 3,
        activation_bits: 5,
        saturate: true,
        ..CompileOptions::default()
    }
}

#[test]
fn model_a_on_all_held_out_images() {
    let model = std::fs::read(models().join("digits_relu.minionn")).unwrap();
    let (images, labels, logits) = (
        array("digits_relu.test.npy"),
        array("digits_relu.labels.npy"),
        array("digits_relu.logits.npy"),
    );
    assert!(images.rows() >= 100);
    let right =
        check("a", &model, Options { stock: 60, ..Options::default() }, &images, labels.data());
    let float = float_right(&logits, labels.data(), images.rows());
    assert!(
        right * 100 + images.rows() >= float * 100,
        "{right} of {} right, float {float}",
        images.rows()
    );
}

#[test]
fn fig13_nine_layers() {
    let model = std::fs::read(models().join("fig13_cifar.minionn")).unwrap();
    let options = Options {
        tables: Tables::Streamed,
        repetition: Repetition::K2,
        stock: 1,
        ..Options::default()
    };
    check("fig13", &model, options, &head(&array("fig13_cifar.test.npy"), 1), &[]);
    let plan = std::fs::read(models().join("fig13_cifar.plan")).unwrap();
    let plan = Plan::parse(&plan).unwrap();
    let (client, server) =
        (client_memory(&plan, &options).unwrap(), server_memory(&plan, &options).unwrap());
    assert!(
        client < 64 << 20 && server + prepared_memory(&plan, 1).unwrap() < 512 << 20,
        "{client} {server}"
    );
}

#[test]
fn fig14_a_step_of_an_lstm() {
    let model = std::fs::read(models().join("fig14_lstm_small.minionn")).unwrap();
    let words = array("fig14_lstm_small.test.npy");
    for tables in [Tables::Stored, Tables::Streamed] {
        check("fig14", &model, Options { tables, stock: 2, ..Options::default() }, &words, &[]);
    }
}

/// People of whom training has seen nothing: within one point of the float network.
#[test]
fn windows_of_a_watch_and_labels_only() {
    let model = std::fs::read(models().join("sensor.minionn")).unwrap();
    let (windows, labels, logits) =
        (array("sensor.test.npy"), array("sensor.labels.npy"), array("sensor.logits.npy"));
    let rows = windows.rows();
    let parsed = Model::from_bytes(&model[..]).unwrap();
    assert_eq!(
        (parsed.plan().output(), rows, labels.data().len(), logits.rows()),
        (Output::Argmax, WINDOWS, WINDOWS, WINDOWS)
    );
    let answers = parsed.predict_plain_batch(windows.rows_of(384).unwrap()).unwrap();
    let right = answers
        .iter()
        .zip(labels.data())
        .filter(|(answer, label)| answer.class == **label as usize)
        .count();
    let float = float_right(&logits, labels.data(), rows);
    assert!(
        right.abs_diff(float) * 100 <= rows && right * 10 >= rows * 9,
        "{right} of {rows} right, float {float}"
    );
    for (tables, repetition) in
        [(Tables::Stored, Repetition::K8), (Tables::Streamed, Repetition::K2)]
    {
        check(
            "sensor",
            &model,
            Options { tables, repetition, stock: 4, ..Options::default() },
            &head(&windows, 8),
            labels.data(),
        );
    }
}

#[test]
fn every_window_of_a_watch_privately() {
    let onnx = std::fs::read(models().join("sensor.onnx")).unwrap();
    let (windows, labels) = (array("sensor.test.npy"), array("sensor.labels.npy"));
    let calibration = array("sensor.calibrate.npy");
    for output in [Output::Argmax, Output::Logits] {
        let options = CompileOptions { output: Some(output), ..narrow(127.0) };
        let compiled = compile(&onnx, &options, Some(&calibration)).unwrap();
        for activations in [COMPARED, Activations::Garbled] {
            let options = Options { stock: 16, activations, ..Options::default() };
            let right = check("sensor", &compiled.model, options, &windows, labels.data());
            println!("{output:?}, {activations:?}: {right} of {WINDOWS} right");
        }
    }
}

/// By comparison instead of circuits: the same answers.
#[test]
fn networks_with_compared_activations() {
    for (name, inputs, tables, repetition) in [
        ("digits_relu", "digits_relu", Tables::Stored, Repetition::K8),
        ("fig12_conv_relu", "mnist", Tables::Stored, Repetition::K4),
        ("fig12_conv_relu", "mnist", Tables::Streamed, Repetition::K8),
        ("fig13_cifar", "fig13_cifar", Tables::Streamed, Repetition::K8),
        ("sensor", "sensor", Tables::Streamed, Repetition::K2),
        ("anomaly", "anomaly", Tables::Stored, Repetition::K2),
    ] {
        let model = std::fs::read(models().join(format!("{name}.minionn"))).unwrap();
        let options = Options { tables, repetition, stock: 1, activations: COMPARED };
        let parsed = Model::from_bytes(&model[..]).unwrap();
        let garbled = Options { activations: Activations::Garbled, ..options };
        let online = |options| minionn_core::cost::online(parsed.plan().core(), options);
        assert!(
            2 * (online(&options).up + online(&options).down)
                < online(&garbled).up + online(&garbled).down,
            "{name}"
        );
        check(name, &model, options, &head(&array(&format!("{inputs}.test.npy")), 1), &[]);
    }
}

/// The chance that a faulty window has the larger error: 0 counts as healthy.
fn area_under_curve(errors: &[f64], labels: &[f32]) -> f64 {
    let of = |faulty: bool| {
        errors
            .iter()
            .zip(labels)
            .filter(move |(_, label)| (**label > 0.0) == faulty)
            .map(|(error, _)| *error)
    };
    let pairs = of(true)
        .flat_map(|faulty| of(false).map(move |healthy| f64::from(u8::from(faulty > healthy))));
    pairs.clone().sum::<f64>() / pairs.count() as f64
}

#[test]
fn spectra_that_a_faulty_machine_makes() {
    let model = std::fs::read(models().join("anomaly.minionn")).unwrap();
    let (spectra, labels, float) =
        (array("anomaly.test.npy"), array("anomaly.labels.npy"), array("anomaly.logits.npy"));
    let answers = Model::from_bytes(&model[..])
        .unwrap()
        .predict_plain_batch(spectra.rows_of(640).unwrap())
        .unwrap();
    let integers: Vec<f32> =
        answers.into_iter().flat_map(|answer| answer.logits.unwrap()).map(|y| y as f32).collect();
    let auc = |made: &[f32]| {
        let pairs = made.chunks(640).zip(spectra.data().chunks(640));
        let error = |(y, x): (&[f32], &[f32])| {
            y.iter().zip(x).map(|(y, x)| f64::from(y - x).powi(2)).sum::<f64>()
        };
        area_under_curve(&pairs.map(error).collect::<Vec<_>>(), labels.data())
    };
    let (integers, float) = (auc(&integers), auc(float.data()));
    assert!(
        float > 0.9 && integers > float - 0.01,
        "{integers} by integers, {float} by floating-point numbers"
    );
    for (tables, repetition) in
        [(Tables::Stored, Repetition::K8), (Tables::Streamed, Repetition::K2)]
    {
        check(
            "anomaly",
            &model,
            Options { tables, repetition, stock: 1, ..Options::default() },
            &head(&spectra, 1),
            &[],
        );
    }
}

/// A layer with small weights that differ.
fn linear(layer: Convolution) -> Work {
    let weights = (0..layer.weights()).map(|i| ((i * 37 + 11) % 23) as f32 / 64.0 - 0.17).collect();
    Work::Linear(Linear { layer, weights, biases: vec![0.25; layer.outputs as usize] })
}

#[test]
fn sums_stand_anywhere_between_other_operations() {
    let plain = Convolution::fully_connected(1, 1);
    let conv = Convolution {
        input: [2, 9, 8],
        outputs: 4,
        kernel: [3, 3],
        pads: [1, 0, 1, 2],
        groups: 2,
        ..plain
    };
    let window = |input, kernel| Convolution::window(input, kernel, [2, 2], [0; 4], [1, 1]);
    let tail = || linear(Convolution::fully_connected(16, 3));
    let (two, last) = (window([4, 9, 8], [3, 2]), window([4, 4, 4], [2, 2]));
    let relu = || Work::Activation(Activation::Relu);
    let cases: [(&str, Vec<Work>); 5] = [
        (
            "behind ReLU",
            vec![linear(conv), relu(), Work::SumPool(two, 6.0), Work::SumPool(last, 4.0), tail()],
        ),
        (
            "before ReLU",
            vec![linear(conv), Work::SumPool(two, 6.0), relu(), Work::SumPool(last, 4.0), tail()],
        ),
        (
            "behind a square",
            vec![
                linear(conv),
                Work::Square,
                Work::SumPool(two, 6.0),
                Work::SumPool(last, 4.0),
                tail(),
            ],
        ),
        (
            "before a square",
            vec![
                linear(conv),
                Work::SumPool(two, 6.0),
                Work::Square,
                Work::SumPool(last, 4.0),
                tail(),
            ],
        ),
        ("two maxima", vec![linear(conv), Work::MaxPool(two), Work::MaxPool(last), relu(), tail()]),
    ];
    let inputs =
        Array::new(&[2, 144], (0..288).map(|i| (i * 29 % 64) as f32 / 64.0).collect()).unwrap();
    for (name, layers) in cases {
        let nodes: Vec<Node> = layers
            .into_iter()
            .enumerate()
            .map(|(i, work)| Node { name: "layer".into(), work, inputs: vec![i] })
            .collect();
        let output = nodes.len();
        let network = Network {
            name: name.into(),
            input_len: 144,
            output_len: 3,
            nodes,
            output,
            names: vec![],
            argmax: false,
            signature: minionn_host::network::Signature::default(),
            notes: vec![],
        };
        let compiled =
            minionn_host::compile::network(network, &CompileOptions::default(), Some(&inputs))
                .unwrap();
        check(name, &compiled.model, Options::default(), &inputs, &[0.0; 2]);
    }
}

#[test]
fn streamed_tables_file_store_and_argmax() {
    let onnx = std::fs::read(models().join("digits_relu.onnx")).unwrap();
    let options = CompileOptions { output: Some(Output::Argmax), ..CompileOptions::default() };
    let argmax = compile(&onnx, &options, Some(&array("digits_relu.calibrate.npy"))).unwrap().model;
    let (images, labels) =
        (head(&array("digits_relu.test.npy"), 7), array("digits_relu.labels.npy"));
    for tables in [Tables::Stored, Tables::Streamed] {
        check(
            "argmax",
            &argmax,
            Options { tables, stock: 3, ..Options::default() },
            &images,
            labels.data(),
        );
    }
    let file = std::env::temp_dir().join(format!("minionn-store-{}", std::process::id()));
    let argmax = Model::from_bytes(argmax).unwrap();
    let options = Options { stock: 4, ..Options::default() };
    let report = predict(&argmax, options, &images, Some(&file));
    std::fs::remove_file(&file).unwrap();
    let expected = argmax.predict_plain_batch(images.rows_of(64).unwrap()).unwrap();
    assert_eq!(report.predictions, expected);
    assert!(report.predictions.iter().all(|p| p.logits.is_none()));
}

#[test]
fn committed_models_are_what_the_compiler_makes() {
    for name in COMMITTED {
        let onnx = std::fs::read(models().join(format!("{name}.onnx"))).unwrap();
        let mnist = matches!(name, "fig10_square" | "fig11_conv_square" | "fig12_conv_relu");
        let calibrate = if mnist { "mnist" } else { name };
        // As the table of models/README.md has it.
        let plain = CompileOptions::default();
        let options = match name {
            _ if mnist => CompileOptions { weight_bits: 7, per_channel: true, ..plain },
            "sensor" => narrow(127.0),
            "anomaly" => narrow(32.0),
            _ => plain,
        };
        let compiled =
            compile(&onnx, &options, Some(&array(&format!("{calibrate}.calibrate.npy")))).unwrap();
        assert!(
            compiled.model == std::fs::read(models().join(format!("{name}.minionn"))).unwrap(),
            "{name}: compile it again"
        );
        assert!(
            compiled.plan == std::fs::read(models().join(format!("{name}.plan"))).unwrap(),
            "{name}: compile it again"
        );
    }
}

#[test]
fn the_command_serves_several_clients_at_once() {
    let server = serve(&models().join("digits_relu.minionn"), &[]);
    let images = std::env::temp_dir().join(format!("minionn-images-{}.npy", std::process::id()));
    npy::write(&images, &head(&array("digits_relu.test.npy"), 4)).unwrap();
    let clients: Vec<Child> = (0..4)
        .map(|i| {
            let tables = if i % 2 == 0 { "stored" } else { "streamed" };
            let arguments =
                ["predict", &server.1, "--json", "--stock", "2", "--tables", tables, "--input"];
            minionn().args(arguments).arg(&images).stdout(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    // A client that connects and says nothing must not stop the others.
    let silent = std::net::TcpStream::connect(&server.1).unwrap();
    let plain = minionn()
        .arg("plain")
        .arg(models().join("digits_relu.minionn"))
        .arg("--json")
        .arg("--input")
        .arg(&images)
        .output()
        .unwrap();
    let plain: serde_json::Value = serde_json::from_slice(&plain.stdout).unwrap();
    for client in clients {
        let output = client.wait_with_output().unwrap();
        assert!(output.status.success());
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["predictions"], plain["predictions"]);
        for phase in ["setup", "offline", "online"] {
            for field in ["seconds", "bytes_sent", "bytes_received", "rounds"] {
                assert!(report[phase][field].as_f64().unwrap() > 0.0, "{phase} {field}");
            }
        }
    }
    drop(silent);
    std::fs::remove_file(&images).unwrap();
}

/// Where a client finds the server. At most `most` bytes go up and down, then none any more, and
/// both connections stay open. Ends only with the test.
fn stalling(server: &str, most: [u64; 2]) -> String {
    let (listener, server) =
        (std::net::TcpListener::bind("127.0.0.1:0").unwrap(), server.to_owned());
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let (client, server) =
            (listener.accept().unwrap().0, std::net::TcpStream::connect(server).unwrap());
        for ((from, to), most) in [(&client, &server), (&server, &client)].into_iter().zip(most) {
            let (from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut from.take(most), &mut to);
                std::thread::park();
            });
        }
        std::thread::park();
    });
    address
}

#[test]
fn clients_that_stall_hold_no_other() {
    // Work of all sessions is shared among two threads.
    let server = serve(&models().join("fig12_conv_relu.minionn"), &["--threads", "2"]);
    let images = std::env::temp_dir().join(format!("minionn-stalled-{}.npy", std::process::id()));
    npy::write(&images, &head(&array("mnist.test.npy"), 1)).unwrap();
    let predict = |address: &str| {
        minionn()
            .args(["predict", address, "--json", "--activation", "gc", "--input"])
            .arg(&images)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    };
    // In the set-up, in the midst of its uploads, and where the server has more to send than the
    // link takes: 13 MB of tables.
    let all = u64::MAX;
    let mut stalled: Vec<Child> = [[60_000, all], [400_000, all], [all, 2_000_000]]
        .iter()
        .map(|&most| predict(&stalling(&server.1, most)))
        .collect();
    std::thread::sleep(core::time::Duration::from_secs(1));
    let began = std::time::Instant::now();
    let output = predict(&server.1).wait_with_output().unwrap();
    let seconds = began.elapsed().as_secs();
    assert!(output.status.success() && seconds < 15, "{seconds} s");
    for client in &mut stalled {
        assert!(client.try_wait().unwrap().is_none(), "it was meant to stall");
        client.kill().unwrap();
        client.wait().unwrap();
    }
    std::fs::remove_file(&images).unwrap();
}

#[test]
fn disagreements_end_with_a_clear_message() {
    let server = serve(&models().join("digits_relu.minionn"), &["--max-stock", "8"]);
    let images = models().join("digits_relu.test.npy");
    let error = |arguments: &[&str]| {
        let output = minionn()
            .args(["predict", &server.1, "--input"])
            .arg(&images)
            .args(arguments)
            .output()
            .unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let other = models().join("fig10_square.plan");
    let message = error(&["--stock", "9"]);
    assert!(message.contains("refused") && message.contains("stock"), "{message}");
    let message = error(&["--plan", other.to_str().unwrap()]);
    assert!(message.contains("784"), "{message}");
    let message = error(&["--stock", "0"]);
    assert!(message.contains("--stock"), "{message}");
}

#[test]
fn the_demo_checks_itself() {
    let demo = |arguments: &[&str]| {
        let output = minionn().arg("demo").args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let none = minionn().args(["demo", "--images", "0"]).output().unwrap();
    assert!(!none.status.success(), "a demo without images shows nothing");
    for large in [&[][..], &["--mnist"]] {
        let report = demo(&[large, &["--images", "3", "--json"]].concat());
        let report: serde_json::Value = serde_json::from_str(&report).unwrap();
        assert_eq!(
            (&report["equals_integer_model"], report["predictions"].as_array().unwrap().len()),
            (&true.into(), 3)
        );
        let text = demo(&[large, &["--images", "1"]].concat());
        // The image is drawn: as many lines as it has rows, or half of that.
        let drawn = text.lines().filter(|line| line.contains(['░', '▒', '▓', '█'])).count();
        assert!(text.contains("bit for bit") && (6..=14).contains(&drawn), "{text}");
    }
}

/// Bytes, rounds and memory of the committed networks: a change shows in review. `MINIONN_BLESS=1`
/// rewrites the file.
#[test]
fn costs_are_the_committed_ones() {
    let mut text = String::new();
    for name in COMMITTED {
        // By default, as for a LAN; by circuits; by comparison.
        let circuits = ["--activation", "gc", "--stock"];
        let streamed = [&circuits[..], &["1", "--tables", "streamed", "--ot", "2"]].concat();
        for arguments in [
            &[][..],
            &[&circuits[..], &["1"]].concat(),
            &[&circuits[..], &["16"]].concat(),
            &streamed,
            &["--activation", "ot"],
        ] {
            let output = minionn()
                .arg("plan")
                .arg(models().join(format!("{name}.plan")))
                .args(arguments)
                .output()
                .unwrap();
            // A running engine's size depends on the compiler: everything else does not.
            let table = String::from_utf8(output.stdout).unwrap();
            text.extend(table.lines().filter(|l| !l.contains("sans-IO")).flat_map(|l| [l, "\n"]));
            text.push('\n');
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/costs.txt");
    if std::env::var_os("MINIONN_BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    assert!(
        text == std::fs::read_to_string(&path).unwrap(),
        "costs have changed: look at them with `minionn plan`, then bless them"
    );
}

/// By bytes and round trips alone, whole predictions: the choice is made layer by layer, by a power
/// of two.
#[test]
fn the_automatic_choice_is_near_the_better_one() {
    for name in COMMITTED {
        let plan = std::fs::read(models().join(format!("{name}.plan"))).unwrap();
        let plan = Plan::parse(&plan).unwrap();
        for link in ["lan", "wan", "uart", "ble"] {
            let link: LinkModel = link.parse().unwrap();
            let [garbled, compared, automatic] =
                [Activations::Garbled, COMPARED, link.activations()].map(|activations| {
                    let options = Options { activations, ..Options::default() };
                    link.seconds(cost::offline(&plan, &options).unwrap())
                        + link.seconds(cost::online(&plan, &options))
                });
            let better = garbled.min(compared);
            assert!(
                automatic <= 1.1 * better,
                "{name} over {}: {automatic} s, {better} s",
                link.name
            );
        }
    }
}
