//! Runs of a client firmware, and what they are held against.

use super::emulator::{Board, Emulator, Output, Wiring};
use super::firmware::Built;
use super::limits;
use crate::shell::{command, root, run};
use core::time::Duration;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What a run of some windows may take. On an idle machine it needs a tenth; a serial port in QEMU
/// waits for the scheduler twice for each byte.
pub(crate) const LIMIT: Duration = Duration::from_secs(900);

/// A client firmware on a board, on a link.
#[derive(Clone, Copy)]
pub(crate) struct Setting<'a> {
    pub(crate) machine: Board,
    /// Its name in `models/`.
    pub(crate) model: &'static str,
    /// As the table says it.
    pub(crate) language: &'static str,
    pub(crate) firmware: &'a Built,
    /// As the table says it.
    pub(crate) link: &'static str,
    /// Activations by comparison.
    pub(crate) compared: bool,
    pub(crate) windows: u64,
}

/// The lines `result NAME NUMBER` of a client.
pub(crate) struct Results(BTreeMap<String, u64>);

/// 32 random bytes in hexadecimal digits.
pub(crate) fn fresh_seed() -> Result<String, String> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| error.to_string())?;
    Ok(seed.iter().map(|byte| format!("{byte:02x}")).collect())
}

impl Results {
    pub(crate) fn of(lines: &[String]) -> Self {
        let fields = lines.iter().filter_map(|line| line.strip_prefix("result ")?.split_once(' '));
        Self(
            fields
                .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
                .collect(),
        )
    }

    /// A value that every client prints.
    pub(crate) fn get(&self, name: &str) -> Result<u64, String> {
        self.0.get(name).copied().ok_or_else(|| format!("the firmware printed no 'result {name}'"))
    }
}

impl Setting<'_> {
    /// Switches the board on, with a fresh seed: QEMU has no source of randomness of its own.
    pub(crate) fn start(&self, wiring: Wiring) -> Result<Emulator, String> {
        self.machine.start(
            self.firmware,
            wiring,
            &[format!("windows={}", self.windows), format!("seed={}", fresh_seed()?)],
        )
    }

    /// Runs it to its end, which must be a good one.
    pub(crate) fn run(&self, wiring: Wiring) -> Result<Output, String> {
        self.finish(self.start(wiring)?)
    }

    /// Waits for a good end.
    pub(crate) fn finish(&self, emulator: Emulator) -> Result<Output, String> {
        let output = emulator.finish(self.firmware, LIMIT)?;
        let passed = output
            .lines
            .iter()
            .filter(|line| line.starts_with("label ") && line.ends_with(": PASS"))
            .count() as u64;
        // After a broken session the device starts again with the first window.
        if output.success && passed >= self.windows {
            return Ok(output);
        }
        Err(format!(
            "{}\n{} of {} windows passed on {} over {}",
            output.lines.join("\n"),
            passed,
            self.windows,
            self.machine.name,
            self.link
        ))
    }

    /// Holds a run against what `minionn plan` predicts and against limits. Returns its row of the
    /// table.
    pub(crate) fn check(&self, minionn: &Path, output: &Output) -> Result<Row, String> {
        let results = Results::of(&output.lines);
        let costs = run(command(&minionn.display().to_string())
            .arg("plan")
            .arg(model_file(self.model, "plan"))
            .args(session_arguments(self.compared))
            .arg("--json"))?;
        let costs: Value =
            serde_json::from_str(&costs).map_err(|error| format!("{costs}: {error}"))?;
        let each = self.windows;
        for (measured, phase, times) in
            [("set-up", "setup", 1), ("offline", "offline", each), ("online", "online", each)]
        {
            for (way, predicted) in [("sent", "bytes_up"), ("received", "bytes_down")] {
                let predicted = costs[phase][predicted]
                    .as_u64()
                    .ok_or_else(|| format!("no {phase}.{predicted} in {costs}"))?;
                let (name, predicted) = (format!("{measured}.{way}"), predicted * times);
                let measured = results.get(&name)?;
                if measured != predicted {
                    return Err(format!("{name}: {measured} bytes, the plan predicts {predicted}"));
                }
            }
        }
        let row = Row::new(self, &results)?;
        row.check()?;
        Ok(row)
    }
}

/// A row of the table.
pub(crate) struct Row {
    network: &'static str,
    language: &'static str,
    board: &'static str,
    link: &'static str,
    compared: bool,
    flash: u64,
    fixed: u64,
    stack: u64,
    workspace: u64,
    /// Set-up, offline, online; the latter for one window.
    instructions: [u64; 3],
    sent: [u64; 3],
    received: [u64; 3],
}

/// The phases, as the firmware names them.
const PHASES: [&str; 3] = ["set-up", "offline", "online"];

impl Row {
    fn new(setting: &Setting<'_>, results: &Results) -> Result<Self, String> {
        let per_window = |what: &str| -> Result<[u64; 3], String> {
            let mut values = [0; 3];
            for ((value, phase), times) in
                values.iter_mut().zip(PHASES).zip([1, setting.windows, setting.windows])
            {
                *value = results.get(&format!("{phase}.{what}"))? / times;
            }
            Ok(values)
        };
        Ok(Self {
            network: setting.model,
            language: setting.language,
            board: setting.machine.name,
            link: setting.link,
            compared: setting.compared,
            flash: setting.firmware.elf.flash()?,
            fixed: setting.firmware.elf.static_ram()?,
            stack: results.get("stack")?,
            workspace: results.get("workspace")?,
            instructions: per_window("instructions")?,
            sent: per_window("sent")?,
            received: per_window("received")?,
        })
    }

    /// Static variables and stack.
    const fn ram(&self) -> u64 {
        self.fixed + self.stack
    }

    /// Both ways: a session with one window.
    pub(crate) fn bytes_of_one_window(&self) -> u64 {
        self.sent.iter().chain(&self.received).sum()
    }

    fn check(&self) -> Result<(), String> {
        let limits::Client { flash, ram, set_up } =
            limits::Client::of(self.network, self.language, self.link, self.compared);
        let pairs = [
            ("flash", self.flash, flash),
            ("RAM", self.ram(), ram),
            ("set-up", self.instructions[0], set_up),
        ];
        match pairs.into_iter().find(|(_, value, limit)| value > limit) {
            None => Ok(()),
            Some((what, value, limit)) => {
                let Self { network, board, link, .. } = self;
                Err(format!(
                    "{what} of {network} on {board} over {link}: {value}, at most {limit} are \
                     allowed"
                ))
            }
        }
    }

    /// Holds every row by comparison against that by circuits which is the same otherwise.
    pub(crate) fn check_pairs(rows: &[Self]) -> Result<(), String> {
        for row in rows.iter().filter(|row| row.compared) {
            let key = |row: &Self| (row.network, row.language, row.board, row.link);
            let circuits = rows
                .iter()
                .find(|other| !other.compared && key(other) == key(row))
                .ok_or("no row by circuits")?;
            let online = |row: &Self| row.sent[2] + row.received[2];
            let instructions = |row: &Self| row.instructions[1] + row.instructions[2];
            if online(row) * limits::COMPARED_FEWER_BYTES > online(circuits) {
                return Err(format!(
                    "{} bytes online by comparison, {} by circuits",
                    online(row),
                    online(circuits)
                ));
            }
            if instructions(row) * 100 > instructions(circuits) * limits::COMPARED_INSTRUCTIONS {
                return Err(format!(
                    "{} instructions by comparison, {} by circuits",
                    instructions(row),
                    instructions(circuits)
                ));
            }
        }
        Ok(())
    }

    /// Two tables, in Markdown: sizes and instructions; bytes on the wire.
    pub(crate) fn table(rows: &[Self]) -> String {
        let how = |row: &Self| if row.compared { "OTs" } else { "circuits" };
        let name = |row: &Self| {
            format!(
                "{} | {} | {} | {} | {}",
                row.network,
                row.language,
                row.board,
                row.link,
                how(row)
            )
        };
        let line = |row: &Self, numbers: &[&[u64]]| {
            let numbers: Vec<String> = numbers.concat().iter().map(u64::to_string).collect();
            format!("| {} | {} |\n", name(row), numbers.join(" | "))
        };
        let mut text = "| network | client in | board | link | activations | flash | static RAM | \
             of it workspace | stack | RAM in all | instructions: set-up | offline | online |\n"
            .to_owned();
        text += &format!("|---|---|---|---|---{}|\n", "|--:".repeat(8));
        for row in rows {
            text += &line(
                row,
                &[&[row.flash, row.fixed, row.workspace, row.stack, row.ram()], &row.instructions],
            );
        }
        text += "\n| network | client in | board | link | activations | sent: set-up \
             | offline | online | received: set-up | offline | online |\n";
        text += &format!("|---|---|---|---|---{}|\n", "|--:".repeat(6));
        for row in rows {
            text += &line(row, &[&row.sent, &row.received]);
        }
        text
    }
}

/// How a device's sessions run, embedded-demo/options.rs, as the host's command is told.
pub(crate) const fn session_arguments(compared: bool) -> &'static [&'static str] {
    if compared {
        &["--ot", "2", "--tables", "stored", "--activation", "auto", "--link", "uart"]
    } else {
        &["--ot", "2", "--tables", "streamed", "--activation", "gc"]
    }
}

/// A file of a model.
pub(crate) fn model_file(model: &str, kind: &str) -> PathBuf {
    root().join(format!("models/{model}.{kind}"))
}
