//! Every pairing of Rust and C++ parties over loopback predicts what the integer model says. Run by `cargo xtask cpp`, which builds the
//! programs; `MINIONN_RELEASE` is the folder of the Rust command, `MINIONN_CPP` that of the C++ programs.

use serde_json::Value;
use std::io::{BufRead as _, BufReader};
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
        let address = line.trim().strip_prefix("listening on ").unwrap_or_else(|| panic!("said '{line}'")).to_owned();
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
    std::env::var_os(variable).unwrap_or_else(|| panic!("{variable} is not set: cargo xtask cpp")).into()
}

fn model(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(name)
}

fn json(command: &mut Command) -> Value {
    let output = command.stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{command:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The first rows of an array of float32, in a file of their own.
fn rows(count: usize) -> PathBuf {
    let bytes = std::fs::read(model("digits_relu.test.npy")).unwrap();
    let begin = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({count}, 64), }}");
    header = format!("{header:<117}\n");
    let mut out = b"\x93NUMPY\x01\x00".to_vec();
    out.extend(u16::to_le_bytes(header.len() as u16));
    out.extend(header.bytes());
    out.extend(&bytes[begin..begin + count * 64 * 4]);
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rows.npy");
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
    report
}

#[test]
#[ignore = "needs both commands: cargo xtask cpp"]
fn every_pairing_predicts_what_the_integer_model_says() {
    let (rust, cpp) = (folder("MINIONN_RELEASE").join("minionn"), folder("MINIONN_CPP"));
    let (network, rows) = (model("digits_relu.minionn"), rows(5));
    let plain = json(Command::new(&rust).arg("plain").arg(&network).arg("--json").arg("--input").arg(&rows));
    let listen = ["--listen", "127.0.0.1:0", "--once"];
    let mut reports = Vec::new();
    for tables in ["stored", "streamed"] {
        let mut of_mode = Vec::new();
        for (server, client) in [("Rust", "Rust"), ("Rust", "C++"), ("C++", "Rust"), ("C++", "C++")] {
            let mut serve = match server {
                "Rust" => Command::new(&rust),
                _ => Command::new(cpp.join("minionn-server")),
            };
            if server == "Rust" {
                serve.arg("serve");
            }
            let server_process = Server::start(serve.arg(&network).args(listen));
            let mut predict = match client {
                "Rust" => Command::new(&rust),
                _ => Command::new(cpp.join("minionn-client")),
            };
            if client == "Rust" {
                predict.args(["predict", "--json"]);
            }
            predict.arg(&server_process.address).arg("--input").arg(&rows).args(["--stock", "2", "--tables", tables]);
            let report = json(&mut predict);
            assert_eq!(report["predictions"], plain["predictions"], "{server} server, {client} client, {tables}");
            of_mode.push(without_time(&report));
        }
        assert!(of_mode.windows(2).all(|pair| pair[0] == pair[1]), "the same bytes and rounds: {of_mode:?}");
        reports.push(of_mode);
    }
    assert_ne!(reports[0], reports[1], "stored and streamed tables differ in their phases");
}
