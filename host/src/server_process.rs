//! `minionn serve` as a process of its own, for as long as its value lives.

use crate::model::Model;
use anyhow::{Context as _, bail};
use core::sync::atomic::{AtomicU32, Ordering};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The server's process, and the file it serves; both end with this value.
pub struct ServerProcess {
    child: Child,
    model: PathBuf,
    address: String,
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.model);
    }
}

impl ServerProcess {
    /// Serves `model` on a free port of the loopback interface, with `arguments` for `minionn
    /// serve`.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start(model: &Model, arguments: &[&str]) -> anyhow::Result<Self> {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "minionn-{}-{}.minionn",
            std::process::id(),
            STARTED.fetch_add(1, Ordering::Relaxed)
        );
        let file = std::env::temp_dir().join(name);
        model.save(&file)?;
        let program = std::env::current_exe().context("finding this program")?;
        let child = Self::spawn(&program, &file, arguments)
            .with_context(|| program.display().to_string())?;
        let mut server = Self { child, model: file, address: String::new() };
        let mut line = String::new();
        let stdout = server.child.stdout.take().context("the server has no output")?;
        BufReader::new(stdout).read_line(&mut line)?;
        match line.trim().strip_prefix("listening on ") {
            Some(address) => server.address = address.to_owned(),
            None => bail!("the server did not start"),
        }
        Ok(server)
    }

    fn spawn(program: &Path, model: &Path, arguments: &[&str]) -> std::io::Result<Child> {
        let mut command = Command::new(program);
        command.arg("serve").arg(model).args(["--listen", "127.0.0.1:0"]).args(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its number in the operating system.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Bytes of memory that it has in use, where the operating system tells.
    #[must_use]
    pub fn resident(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
    }
}
