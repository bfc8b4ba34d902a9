//! The programs in `examples/`, each run to its end as a process of its own, its answers held
//! against the integer model.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use minionn_host::{Model, npy};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Once;
use std::time::SystemTime;

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn models(file: &str) -> PathBuf {
    repository().join("models").join(file)
}

/// Where cargo puts programs of this build: this test is in the folder `deps` of it.
fn profile_folder() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().unwrap().parent().unwrap().to_owned()
}

/// The time of the last change to a file in this folder.
fn newest(folder: &Path) -> SystemTime {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let times = entries.map(|entry| match entry.file_type().unwrap().is_dir() {
        true => newest(&entry.path()),
        false => entry.metadata().unwrap().modified().unwrap(),
    });
    times.max().unwrap_or(SystemTime::UNIX_EPOCH)
}

/// An example's program. `cargo test` has built all of them, unless it was asked for this test
/// alone: then they are built here.
fn example(name: &str) -> PathBuf {
    static BUILT: Once = Once::new();
    let program =
        profile_folder().join("examples").join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    BUILT.call_once(|| {
        let sources = ["core/src", "host/src", "host/examples"];
        let changed = sources.iter().map(|folder| newest(&repository().join(folder))).max();
        let made = std::fs::metadata(&program).and_then(|data| data.modified());
        if made.is_ok_and(|made| Some(made) >= changed) {
            return;
        }
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--locked", "--offline", "--examples"]).args([
            "--package",
            "minionn-host",
            "--target-dir",
        ]);
        cargo.arg(profile_folder().parent().unwrap()).current_dir(repository());
        if cfg!(feature = "tokio") {
            cargo.args(["--features", "tokio"]);
        }
        if !cfg!(debug_assertions) {
            cargo.arg("--release");
        }
        assert!(cargo.status().unwrap().success());
    });
    program
}

/// Runs an example; what it prints, line by line.
fn run(name: &str, arguments: &[&Path]) -> Vec<String> {
    let output = Command::new(example(name)).args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{name}: {}", text(&output.stderr));
    text(&output.stdout).lines().map(str::to_owned).collect()
}

/// What the integer model says of the first three images.
fn classes() -> Vec<String> {
    let model = Model::open(models("digits_relu.minionn")).unwrap();
    let images = npy::read(&models("digits_relu.test.npy")).unwrap();
    let first = images.rows_of(64).unwrap().take(3);
    let answers = model.predict_plain_batch(first).unwrap();
    // Images of different digits: an answer that is always the same would be found out.
    assert!(answers.iter().any(|answer| answer.class != answers[0].class));
    answers.iter().map(|answer| format!("class {}", answer.class)).collect()
}

#[test]
fn loopback() {
    assert_eq!(run("loopback", &[]), classes());
}

#[test]
fn sans_io() {
    assert_eq!(run("sans_io", &[]), classes());
}

#[cfg(feature = "tokio")]
#[test]
fn tokio() {
    assert_eq!(run("tokio", &[]), classes());
}

#[test]
fn pairing() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("example-pairing");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let bytes = |phase: minionn_core::cost::Phase| phase.up + phase.down;
    let full = bytes(minionn_core::cost::setup()) + bytes(minionn_core::cost::keep());
    let resumed = bytes(minionn_core::cost::resume());
    // Once in the first session of the first run.
    for first in [full, resumed] {
        let lines = run("pairing", &[&folder]);
        let setup = |bytes: u64| format!("set-up took {bytes} bytes");
        assert_eq!(
            lines.iter().step_by(2).cloned().collect::<Vec<_>>(),
            [setup(first), setup(resumed), setup(resumed)]
        );
        assert_eq!(lines.iter().skip(1).step_by(2).cloned().collect::<Vec<_>>(), classes());
    }
}

/// A process that is ended with the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn client_and_server() {
    let mut server = Command::new(example("server"));
    server.arg(models("digits_relu.minionn")).arg("127.0.0.1:0");
    let server = server.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut server = Ended(server);
    let mut output = BufReader::new(server.0.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on ").unwrap().to_owned();

    let images = models("digits_relu.test.npy");
    let lines = run("client", &[Path::new(&address), &images]);
    assert_eq!(lines[..3], classes());
    let model = Model::open(models("digits_relu.minionn")).unwrap();
    let image = npy::read(&images).unwrap();
    let first = model.predict_plain(&image.data()[..64]).unwrap();
    assert_eq!(lines[3], format!("logits of the first: {:?}", first.logits.unwrap()));

    // It stops when it is told to, and says what it has done.
    server.0.stdin.take().unwrap().write_all(b"\n").unwrap();
    assert!(server.0.wait().unwrap().success());
    let mut rest = String::new();
    output.read_to_string(&mut rest).unwrap();
    assert!(rest.trim().ends_with(": 3 predictions"), "{rest}");
}
