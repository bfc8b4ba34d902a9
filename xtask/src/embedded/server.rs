//! The host's server, as people start it.

use core::time::Duration;
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

/// How long the server may take to tell something.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running `minionn serve`; killed when dropped.
pub(crate) struct Server {
    child: Child,
    events: Receiver<Value>,
    /// Where it listens: an address or a serial port.
    pub(crate) address: String,
}

/// What the server says of a session.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) predictions: u64,
    pub(crate) error: Option<String>,
}

impl Server {
    /// On a free TCP port.
    pub(crate) fn on_tcp(minionn: &Path, model: &Path) -> Result<Self, String> {
        Self::start(minionn, model, &["--listen", "127.0.0.1:0"])
    }

    /// On a serial port.
    pub(crate) fn on_serial(minionn: &Path, model: &Path, port: &str) -> Result<Self, String> {
        Self::start(minionn, model, &["--serial", port, "--baud", "115200"])
    }

    fn start(minionn: &Path, model: &Path, place: &[&str]) -> Result<Self, String> {
        let mut command = Command::new(minionn);
        command
            .arg("serve")
            .arg(model)
            .arg("--json")
            .args(place)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut child =
            command.spawn().map_err(|error| format!("{}: {error}", minionn.display()))?;
        let stdout = child.stdout.take().ok_or("the server has no output")?;
        let (sender, events) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(serde_json::from_str(&line).unwrap_or_default()).is_err() {
                    return;
                }
            }
        });
        let mut server = Self { child, events, address: String::new() };
        server.address =
            server.event("listening")?["address"].as_str().unwrap_or_default().to_owned();
        Ok(server)
    }

    /// The TCP port.
    pub(crate) fn port(&self) -> Result<u16, String> {
        let port = self.address.rsplit(':').next().and_then(|port| port.parse().ok());
        port.ok_or_else(|| format!("the server listens on '{}'", self.address))
    }

    /// How the next session ended.
    pub(crate) fn session(&self) -> Result<Session, String> {
        let value = self.event("session")?;
        Ok(Session {
            predictions: value["predictions"].as_u64().unwrap_or(0),
            error: value["error"].as_str().map(str::to_owned),
        })
    }

    fn event(&self, kind: &str) -> Result<Value, String> {
        let value = self
            .events
            .recv_timeout(PATIENCE)
            .map_err(|_| format!("the server said nothing of '{kind}'"))?;
        if value["event"] == kind {
            Ok(value)
        } else {
            Err(format!("the server said {value} instead of '{kind}'"))
        }
    }

    /// Bytes of memory that the process holds. `None` where the system does not say.
    pub(crate) fn memory(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
        Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
