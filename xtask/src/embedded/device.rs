//! The other way round: the device serves, and the host's client predicts against it.

use super::emulator::{MPS2, Wiring};
use super::firmware::Built;
use super::{client, limits};
use crate::shell::{command, run};
use core::time::Duration;
use serde_json::Value;
use std::net::TcpListener;
use std::path::Path;
use std::thread;
use std::time::Instant;

/// How long the device may take to start listening.
const START: Duration = Duration::from_secs(60);
/// Between two attempts to reach it.
const AGAIN: Duration = Duration::from_millis(500);
/// Predictions in the session.
const ROWS: usize = 3;

/// What a server on a device took.
pub(crate) struct Row {
    board: &'static str,
    compared: bool,
    flash: u64,
    fixed: u64,
    stack: u64,
    workspace: u64,
    /// Set-up, offline, online; the latter for one prediction.
    instructions: [u64; 3],
}

/// Serves one session in QEMU, whose predictions must be the integer model's.
pub(crate) fn serve(
    minionn: &Path,
    firmware: &Built,
    compared: bool,
    model: &Path,
) -> Result<Row, String> {
    let rows = first_rows(&model.with_extension("test.npy"), firmware)?;
    let port = TcpListener::bind("127.0.0.1:0")
        .and_then(|l| l.local_addr())
        .map_err(|error| error.to_string())?
        .port();
    let arguments = ["sessions=1".to_owned(), format!("seed={}", client::fresh_seed()?)];
    let emulator = MPS2.start(firmware, Wiring::Listening(port), &arguments)?;
    let address = format!("127.0.0.1:{port}");
    let mut words = vec!["predict", &address];
    words.extend(client::session_arguments(compared));
    words.push("--plan");
    let private =
        reach(|| predictions(minionn, &words, model.with_extension("plan").as_path(), &rows))?;
    let clear = predictions(minionn, &["plain"], model, &rows)?;
    let output = emulator.finish(firmware, client::LIMIT)?;
    if !output.success {
        return Err(output.lines.join("\n"));
    }
    if private != clear {
        return Err(format!("the device's predictions are {private}, the integer model's {clear}"));
    }
    let results = client::Results::of(&output.lines);
    let each = |phase: &str, times: u64| {
        Ok::<_, String>(results.get(&format!("{phase}.instructions"))? / times)
    };
    let row = Row {
        board: MPS2.name,
        compared,
        flash: firmware.elf.flash()?,
        fixed: firmware.elf.static_ram()?,
        stack: results.get("stack")?,
        workspace: results.get("workspace")?,
        instructions: [
            each("set-up", 1)?,
            each("offline", ROWS as u64)?,
            each("online", ROWS as u64)?,
        ],
    };
    let ram = row.fixed + row.stack;
    if ram > limits::SERVER_RAM {
        Err(format!("RAM of the server: {ram}, at most {} are allowed", limits::SERVER_RAM))
    } else {
        Ok(row)
    }
}

impl Row {
    /// The table, in Markdown.
    pub(crate) fn table(rows: &[Self]) -> String {
        let mut text = "| server on | link | activations | flash | static RAM | of it workspace | \
             stack | RAM in all | instructions: set-up | offline | online |\n"
            .to_owned();
        text += &format!("|---|---|---{}|\n", "|--:".repeat(8));
        for row in rows {
            let numbers = [row.flash, row.fixed, row.workspace, row.stack, row.fixed + row.stack]
                .into_iter()
                .chain(row.instructions);
            let numbers: Vec<String> = numbers.map(|n| n.to_string()).collect();
            let how = if row.compared { "OTs" } else { "circuits" };
            text += &format!("| {} | Ethernet | {how} | {} |\n", row.board, numbers.join(" | "));
        }
        text
    }
}

/// Tries until the device listens.
fn reach<T>(mut attempt: impl FnMut() -> Result<T, String>) -> Result<T, String> {
    let start = Instant::now();
    loop {
        match attempt() {
            Err(_) if start.elapsed() < START => thread::sleep(AGAIN),
            result => return result,
        }
    }
}

/// What a command of `minionn` predicts.
fn predictions(minionn: &Path, words: &[&str], file: &Path, rows: &Path) -> Result<Value, String> {
    let mut command = command(&minionn.display().to_string());
    let output = run(command.args(words).arg(file).arg("--json").arg("--input").arg(rows))?;
    let mut value: Value =
        serde_json::from_str(&output).map_err(|error| format!("{output}: {error}"))?;
    Ok(value["predictions"].take())
}

/// A NumPy file with the first rows of another one, of two dimensions, of bytes or of float32.
fn first_rows(npy: &Path, firmware: &Built) -> Result<std::path::PathBuf, String> {
    let broken = || format!("{}: not a NumPy file of rows", npy.display());
    let bytes = std::fs::read(npy).map_err(|error| format!("{}: {error}", npy.display()))?;
    let (head, data) = bytes.split_at_checked(128).ok_or_else(broken)?;
    let text = core::str::from_utf8(head.get(10..).ok_or_else(broken)?).map_err(|_| broken())?;
    let (before, shape) = text.split_once("'shape': (").ok_or_else(broken)?;
    let (_, columns) = shape.split_once(", ").ok_or_else(broken)?;
    let width: usize = columns
        .split(')')
        .next()
        .and_then(|n| n.trim_end_matches(',').parse().ok())
        .ok_or_else(broken)?;
    let header = format!("{before}'shape': ({ROWS}, {}", columns.trim_end());
    let mut out = head.get(..10).ok_or_else(broken)?.to_vec();
    out.extend(format!("{header:<117}\n").bytes());
    let number = if text.contains("'|i1'") { size_of::<i8>() } else { size_of::<f32>() };
    out.extend(data.get(..ROWS * width * number).ok_or_else(broken)?);
    let path = firmware.path.with_extension("rows.npy");
    std::fs::write(&path, out).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path)
}
