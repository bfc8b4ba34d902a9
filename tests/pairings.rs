//! Every pairing of Rust and C++ parties over loopback predicts what the integer model says, and so
//! do the examples in C and C++. Run by `cargo xtask cpp`, which builds the programs;
//! `MINIONN_RELEASE` is the folder of the Rust command, `MINIONN_CPP` that of the others.

use serde_json::Value;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A server that is stopped when the test ends, however it ends.
struct Server {
    process: Child,
    address: String,
}

impl Server {
    fn start(command: &mut Command) -> Self {
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line
            .trim()
            .strip_prefix("listening on ")
            .unwrap_or_else(|| panic!("said '{line}'"))
            .to_owned();
        Self { process, address }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended in order.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn folder(variable: &str) -> PathBuf {
    std::env::var_os(variable)
        .unwrap_or_else(|| panic!("{variable} is not set: cargo xtask cpp"))
        .into()
}

fn model(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(name)
}

fn json(command: &mut Command) -> Value {
    let output = command.stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{command:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The first rows of an array of float32 or of bytes with `columns` columns, as float32 in a file
/// of their own.
fn rows(name: &str, columns: usize, count: usize) -> PathBuf {
    let bytes = std::fs::read(model(&format!("{name}.test.npy"))).unwrap();
    let begin = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let mut header =
        format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({count}, {columns}), }}");
    header = format!("{header:<117}\n");
    let mut out = b"\x93NUMPY\x01\x00".to_vec();
    out.extend(u16::to_le_bytes(header.len() as u16));
    out.extend(header.bytes());
    let of = |kind: &[u8]| bytes[..begin].windows(5).any(|descr| descr == kind);
    if of(b"'|i1'") {
        let samples = bytes[begin..begin + count * columns].iter();
        out.extend(samples.flat_map(|&sample| f32::from(sample.cast_signed()).to_le_bytes()));
    } else if of(b"'|u1'") {
        let pixels = bytes[begin..begin + count * columns].iter();
        out.extend(pixels.flat_map(|&pixel| f32::from(pixel).to_le_bytes()));
    } else {
        out.extend(&bytes[begin..begin + count * columns * 4]);
    }
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.{count}.npy"));
    std::fs::write(&path, out).unwrap();
    path
}

/// Prediction, then the bytes and rounds of each phase.
fn without_time(report: &Value) -> Value {
    let mut report = report.clone();
    for phase in ["setup", "offline", "online"] {
        assert!(report[phase]["seconds"].as_f64().unwrap() >= 0.0);
        report[phase]["seconds"] = Value::Null;
    }
    // The Rust command alone counts inputs beyond the network's range.
    report.as_object_mut().unwrap().remove("clamped");
    report
}

/// Runs one pairing.
fn pairing(
    (server, client): (&str, &str),
    network: &Path,
    rows: &Path,
    arguments: &[&str],
) -> Value {
    let (rust, cpp) = (folder("MINIONN_RELEASE").join("minionn"), folder("MINIONN_CPP"));
    let mut serve =
        Command::new(if server == "Rust" { rust.clone() } else { cpp.join("minionn-server") });
    if server == "Rust" {
        serve.arg("serve");
    }
    let server_process =
        Server::start(serve.arg(network).args(["--listen", "127.0.0.1:0", "--once"]));
    let mut predict =
        Command::new(if client == "Rust" { rust } else { cpp.join("minionn-client") });
    if client == "Rust" {
        predict.args(["predict", "--json"]);
    }
    json(predict.arg(&server_process.address).arg("--input").arg(rows).args(arguments))
}

/// The integer model's predictions.
fn plain(network: &Path, rows: &Path) -> Value {
    let rust = folder("MINIONN_RELEASE").join("minionn");
    json(Command::new(rust).arg("plain").arg(network).arg("--json").arg("--input").arg(rows))
}

const PAIRS: [(&str, &str); 4] =
    [("Rust", "Rust"), ("Rust", "C++"), ("C++", "Rust"), ("C++", "C++")];

#[test]
#[ignore = "needs both commands: cargo xtask cpp"]
fn every_pairing_predicts_what_the_integer_model_says() {
    let (network, rows) = (model("digits_relu.minionn"), rows("digits_relu", 64, 5));
    let plain = plain(&network, &rows);
    let mut reports = Vec::new();
    for (tables, activation) in
        [("stored", "gc"), ("streamed", "gc"), ("stored", "ot"), ("streamed", "ot")]
    {
        let mut of_mode = Vec::new();
        for pair in PAIRS {
            let report = pairing(
                pair,
                &network,
                &rows,
                &["--stock", "2", "--tables", tables, "--activation", activation],
            );
            assert_eq!(
                report["predictions"], plain["predictions"],
                "{pair:?}, {tables}, {activation}"
            );
            of_mode.push(without_time(&report));
        }
        assert!(
            of_mode.windows(2).all(|pair| pair[0] == pair[1]),
            "the same bytes and rounds: {of_mode:?}"
        );
        reports.push(of_mode);
    }
    assert!(
        (0..4).all(|i| !reports[..i].contains(&reports[i])),
        "tables and activations differ in their phases"
    );
}

/// What a client keeps of a set-up, a server of either language goes on with; and a client of the
/// other language, too.
#[test]
#[ignore = "needs both commands: cargo xtask cpp"]
fn sessions_go_on_with_a_pairing() {
    let (network, rows) = (model("digits_relu.minionn"), rows("digits_relu", 64, 2));
    let (rust, cpp) = (folder("MINIONN_RELEASE").join("minionn"), folder("MINIONN_CPP"));
    let (rust_client, cpp_client) =
        ([rust.clone(), "predict".into(), "--json".into()], [cpp.join("minionn-client")]);
    let plain = plain(&network, &rows);
    for server in [&[rust, "serve".into()][..], &[cpp.join("minionn-server")]] {
        let process = Server::start(
            Command::new(&server[0])
                .args(&server[1..])
                .arg(&network)
                .args(["--listen", "127.0.0.1:0"]),
        );
        for first in [&rust_client[..], &cpp_client] {
            let half = Path::new(env!("CARGO_TARGET_TMPDIR")).join("device.pairing");
            let _ = std::fs::remove_file(&half);
            let predict = |client: &[PathBuf]| {
                let mut predict = Command::new(&client[0]);
                predict
                    .args(&client[1..])
                    .arg(&process.address)
                    .arg("--input")
                    .arg(&rows)
                    .arg("--pairing")
                    .arg(&half);
                let report = json(&mut predict);
                assert_eq!(report["predictions"], plain["predictions"], "{server:?}, {client:?}");
                report["setup"]["bytes_sent"].as_u64().unwrap()
            };
            assert!(predict(first) > 50_000);
            assert_eq!(
                [&rust_client[..], &cpp_client].map(predict),
                [105, 105],
                "{server:?}, {first:?}"
            );
        }
    }
}

#[test]
#[ignore = "needs both commands: cargo xtask cpp"]
fn every_network_runs_in_cpp_unchanged() {
    for (name, data, columns) in [
        ("fig10_square", "mnist", 784),
        ("fig11_conv_square", "mnist", 784),
        ("fig12_conv_relu", "mnist", 784),
        ("fig13_cifar", "fig13_cifar", 3072),
        ("fig14_lstm_small", "fig14_lstm_small", 264),
        ("sensor", "sensor", 384),
        ("anomaly", "anomaly", 640),
    ] {
        let (network, rows) = (model(&format!("{name}.minionn")), rows(data, columns, 1));
        let plain = plain(&network, &rows);
        // The largest one once: it takes seconds.
        let pairs = if name == "fig13_cifar" { &PAIRS[3..] } else { &PAIRS[1..] };
        for &pair in pairs {
            // By comparison something is compared: that takes fewer bytes.
            let mut online = u64::MAX;
            for activation in ["gc", "ot", "auto"] {
                let report = pairing(
                    pair,
                    &network,
                    &rows,
                    &["--tables", "streamed", "--activation", activation],
                );
                assert_eq!(
                    report["predictions"], plain["predictions"],
                    "{name}: {pair:?}, {activation}"
                );
                let received = report["online"]["bytes_received"].as_u64().unwrap();
                assert!(activation != "ot" || received < online, "{name}: {pair:?}");
                online = received;
            }
        }
    }
}

/// What an example prints for these numbers.
fn example(name: &str, address: &str, row: &[f32]) -> String {
    let (host, port) = address.rsplit_once(':').unwrap();
    let mut command = Command::new(folder("MINIONN_CPP").join(format!("example-{name}")));
    command.args([host, port]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = command.spawn().unwrap();
    let numbers: Vec<String> = row.iter().map(f32::to_string).collect();
    // What it does not want is told by what it prints.
    let _ = process.stdin.take().unwrap().write_all(numbers.join(" ").as_bytes());
    let output = process.wait_with_output().unwrap();
    assert!(output.status.success(), "{name}");
    String::from_utf8(output.stdout).unwrap()
}

/// The numbers in an array of float32.
fn numbers(rows: &Path) -> Vec<f32> {
    let bytes = std::fs::read(rows).unwrap();
    let begin = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    bytes[begin..].as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
}

/// What it promises to whoever has not read anything yet.
#[test]
fn the_minimal_client_has_30_lines() {
    let text = include_str!("../examples/c/minimal.c");
    let (_, program) = text.split_once("*/\n").unwrap();
    let lines = program.lines().filter(|line| !line.is_empty() && !line.starts_with("#include"));
    assert_eq!(lines.count(), 30);
}

/// As written, and under sanitizers: the clients against the command and against the server in C,
/// which serves the command, too.
#[test]
#[ignore = "needs all programs: cargo xtask cpp"]
fn examples_predict_what_the_integer_model_says() {
    let (network, rows) = (model("digits_relu.minionn"), rows("digits_relu", 64, 3));
    let plain = plain(&network, &rows);
    let numbers = numbers(&rows);
    let class = |i: usize| format!("class {}\n", plain["predictions"][i]["argmax"]);
    let logits = |i: usize| {
        let logits = plain["predictions"][i]["logits"].as_array().unwrap();
        let line = |(k, y): (usize, &Value)| format!("{k}: {:.4}\n", y.as_f64().unwrap());
        logits.iter().enumerate().map(line).collect::<String>()
    };
    let rust = folder("MINIONN_RELEASE").join("minionn");
    for suffix in ["", "-sanitized"] {
        let mut serve = Command::new(&rust);
        serve.arg("serve").arg(&network).args(["--listen", "127.0.0.1:0"]);
        let server = folder("MINIONN_CPP").join(format!("example-c-server{suffix}"));
        let mut in_c = Command::new(server);
        in_c.arg(&network).args(["0", "9"]);
        for (command, is_c) in [(&mut serve, false), (&mut in_c, true)] {
            let mut server = Server::start(command);
            for (i, row) in numbers.chunks(64).enumerate() {
                let said = example(&format!("c-client{suffix}"), &server.address, row);
                assert_eq!(said, class(i) + &logits(i), "{command:?}");
                let said = example(&format!("c-minimal{suffix}"), &server.address, row);
                assert_eq!(said, class(i), "{command:?}");
            }
            let said = example(&format!("cpp-client{suffix}"), &server.address, &numbers);
            assert_eq!(said, (0..3).map(class).collect::<String>(), "{command:?}");
            if is_c {
                let predict = |extra: &[&str]| {
                    let mut predict = Command::new(&rust);
                    predict.args(["predict", "--json", &server.address]).args(extra);
                    predict.arg("--input").arg(&rows).output().unwrap()
                };
                let report = predict(&["--stock", "3"]);
                let report: Value = serde_json::from_slice(&report.stdout).unwrap();
                assert_eq!(report["predictions"], plain["predictions"]);
                let refused = predict(&["--stock", "65"]);
                let said = String::from_utf8(refused.stderr).unwrap();
                assert!(!refused.status.success() && said.contains("refused"), "{said}");
                // It ends by itself, with all its memory given back.
                assert!(server.process.wait().unwrap().success(), "{command:?}");
            }
        }
    }
}
