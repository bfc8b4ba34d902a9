//! The command as processes.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// The command.
pub(crate) fn minionn() -> Command {
    Command::new(env!("CARGO_BIN_EXE_minionn"))
}

/// A server process, which ends with this value, and its address.
pub(crate) struct Serving(Child, pub(crate) String);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts `minionn serve` on a free port.
pub(crate) fn serve(model: &Path, more: &[&str]) -> Serving {
    let mut child = minionn()
        .arg("serve")
        .arg(model)
        .args(["--listen", "127.0.0.1:0"])
        .args(more)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on ").unwrap().to_owned();
    Serving(child, address)
}
