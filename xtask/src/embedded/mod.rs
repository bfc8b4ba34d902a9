//! The firmware in QEMU: built, run against `minionn serve`, measured, cut off, held against plan
//! and limits.
//!
//! | module | what it is |
//! |---|---|
//! | [`firmware`], [`elf`] | building; sizes and symbols |
//! | [`emulator`], [`server`], [`wire`] | a board, the host's server, what lies between them |
//! | [`client`], [`power`] | a client's run and its row of the table; power loss |
//! | [`device`] | a server on the device |
//! | [`trace`] | whether secrets decide what is done |
//! | [`limits`] | what the firmware may take |

mod client;
mod device;
mod elf;
mod emulator;
mod firmware;
mod limits;
mod power;
mod server;
mod trace;
mod wire;

use crate::shell::{root, target_dir};
use crate::steps::build_release;
use client::{Row, Setting};
use core::time::Duration;
use elf::Elf;
use emulator::{Board, MPS2, NETDUINO, Wiring};
use firmware::{Built, Firmware};
use power::Loss;
use server::Server;
use std::path::{Path, PathBuf};
use std::thread;
use wire::Wire;

type Result<T> = core::result::Result<T, String>;

/// Served by the host, classified by the device; and the other way round.
const MODEL: &str = "sensor";
/// The larger one: whether a spectrum is one like those of the training.
const ANOMALY: &str = "anomaly";
/// The self-test needs seconds.
const SELF_TEST_LIMIT: Duration = Duration::from_secs(100);
/// Windows over Ethernet, and over the emulated serial ports, which take some 10 kB in a second.
const WINDOWS: u64 = 10;
const WINDOWS_SERIAL: u64 = 2;
const WINDOWS_ANOMALY: u64 = 3;
const WINDOWS_COMPARED: u64 = 3;
/// Sessions that are cut over Ethernet.
const CUTS: usize = 6;
const CUTS_COMPARED: usize = 2;

const SELF_TEST: Firmware =
    Firmware { package: "minionn-selftest", binary: "selftest", features: "", model: "none" };

/// A client for a board, by its features.
const fn client_for(features: &'static str) -> Firmware {
    client_of(MODEL, features)
}

/// A client of a model for a board.
const fn client_of(model: &'static str, features: &'static str) -> Firmware {
    Firmware { package: "minionn-device-client", binary: "client", features, model }
}

/// The server, with the same model.
const SERVER: Firmware = server_for("mps2-an386,ethernet");
/// The same, by comparison.
const SERVER_COMPARED: Firmware = server_for("mps2-an386,ethernet,compare");

const fn server_for(features: &'static str) -> Firmware {
    Firmware { package: "minionn-device-server", binary: "server", features, model: MODEL }
}

/// Boards that QEMU does not emulate: built only.
const BOARDS: [&str; 3] = ["stm32f407", "stm32f429", "nrf52840"];

/// Clippy for every program and board: a program is built for one board at a time.
pub(crate) fn lints() -> Result<()> {
    let boards = ["mps2-an386", "mps2-an386,ethernet", "netduinoplus2"].into_iter().chain(BOARDS);
    let ethernet =
        Firmware { package: "minionn-c-ethernet", binary: "", features: "", model: MODEL };
    boards
        .map(client_for)
        .chain([SELF_TEST, trace::TRACE, SERVER, ethernet])
        .try_for_each(|firmware| firmware.lint())
}

/// How a client is built and what it goes through.
struct Run {
    machine: Board,
    model: &'static str,
    /// In C, or else in Rust with these features.
    language: Language,
    /// Over the emulated serial port, or else over Ethernet.
    serial: bool,
    compared: bool,
    windows: u64,
    /// Sessions that are cut over Ethernet, in these ways by turns.
    cuts: usize,
    losses: &'static [Loss],
}

enum Language {
    Rust(&'static str),
    C,
}

/// The clients, in the order of the table.
const CLIENTS: [Run; 8] = {
    const ETHERNET: Run = Run {
        machine: MPS2,
        model: MODEL,
        language: Language::Rust("mps2-an386,ethernet"),
        serial: false,
        compared: false,
        windows: WINDOWS,
        cuts: CUTS,
        losses: &[Loss::Power, Loss::Connection],
    };
    const SERIAL: Run = Run {
        language: Language::Rust("mps2-an386"),
        serial: true,
        windows: WINDOWS_SERIAL,
        ..ETHERNET
    };
    // The client in C connects once for every start.
    const C: Run = Run { language: Language::C, losses: &[Loss::Power], ..ETHERNET };
    const COMPARED: Run = Run {
        language: Language::Rust("mps2-an386,ethernet,compare"),
        compared: true,
        windows: WINDOWS_COMPARED,
        cuts: CUTS_COMPARED,
        losses: &[Loss::Power],
        ..ETHERNET
    };
    [
        ETHERNET,
        SERIAL,
        Run { machine: NETDUINO, language: Language::Rust("netduinoplus2"), ..SERIAL },
        C,
        Run { language: Language::C, ..SERIAL },
        Run { model: ANOMALY, windows: WINDOWS_ANOMALY, cuts: 0, ..ETHERNET },
        COMPARED,
        Run { language: Language::C, cuts: 0, ..COMPARED },
    ]
};

impl Run {
    fn build(&self) -> Result<Built> {
        let link = if self.serial { "serial" } else { "ethernet" };
        let built = match self.language {
            Language::Rust(features) => client_of(self.model, features).build()?,
            Language::C => firmware::in_c(link, self.compared, self.model, WINDOWS)?,
        };
        without("heap", &built, limits::HEAP)?;
        if self.serial {
            without("formatter", &built, limits::FORMATTING)?;
            panics_in_few_bytes(&built)?;
        }
        Ok(built)
    }

    fn run(&self, minionn: &Path, firmware: &Built) -> Result<Row> {
        let setting = Setting {
            machine: self.machine,
            model: self.model,
            language: if matches!(self.language, Language::C) { "C" } else { "Rust" },
            firmware,
            link: if self.serial { "UART" } else { "Ethernet" },
            compared: self.compared,
            windows: self.windows,
        };
        if self.serial {
            on_serial(minionn, &setting)
        } else {
            on_ethernet(minionn, &setting, self.cuts, self.losses)
        }
    }
}

/// Everything. Returns a few words, the tables, and what could not be done.
pub(crate) fn all() -> Result<(String, String, Vec<String>)> {
    let minionn = host_command()?;
    let minionn = &minionn;
    let (tested, traced) = (self_test()?, trace::check()?);
    let (rows, served) = thread::scope(|scope| {
        // A run waits for its emulator more than it computes, most of all on a serial line: so
        // these begin first, and while they run the others are built.
        let mut order: Vec<(usize, &Run)> = CLIENTS.iter().enumerate().collect();
        order.sort_by_key(|(_, run)| !run.serial);
        let mut started = Vec::new();
        for (number, run) in order {
            let built = run.build()?;
            started.push((number, scope.spawn(move || run.run(minionn, &built))));
        }
        let servers = [SERVER.build()?, SERVER_COMPARED.build()?];
        let serving = scope.spawn(move || {
            let model = client::model_file(MODEL, "minionn");
            let serve = |(server, compared)| device::serve(minionn, server, compared, &model);
            servers.iter().zip([false, true]).map(serve).collect::<Result<Vec<_>>>()
        });
        for board in BOARDS {
            client_for(board).build()?;
        }
        started.sort_by_key(|(number, _)| *number);
        let ended = |_| "a run ended early".to_owned();
        let rows = started.into_iter().map(|(_, run)| run.join().map_err(ended)?);
        let rows = rows.collect::<Result<Vec<Row>>>()?;
        Ok::<_, String>((rows, serving.join().map_err(ended)??))
    })?;
    Row::check_pairs(&rows)?;
    let (windows, cuts) = CLIENTS.iter().fold((0, 0), |(windows, cuts), run| {
        (windows + run.windows, cuts + if run.serial { 1 } else { run.cuts })
    });
    let skipped = "traces of instructions and addresses: QEMU knows no plugins";
    let skipped = if traced.is_some() { vec![] } else { vec![skipped.to_owned()] };
    let said = [Some(tested), traced].into_iter().flatten().collect::<Vec<_>>().join("; ");
    let words = format!("{said}; {windows} windows, {cuts} sessions cut and survived");
    Ok((words, format!("{}\n{}", Row::table(&rows), device::Row::table(&served)), skipped))
}

/// As [`all`], and writes the tables down.
pub(crate) fn results() -> Result<String> {
    let (words, tables, _) = all()?;
    let text = format!(
        "# What the firmware takes\n\n\
         Written by `cargo xtask results`; [README.md](README.md) says what the columns mean. \
         Bytes,\nand instructions in QEMU.\n\n{tables}"
    );
    std::fs::write(root().join("embedded-demo/RESULTS.md"), text)
        .map_err(|error| error.to_string())?;
    Ok(words)
}

/// The text of a firmware's log frames, for those who start QEMU by hand.
pub(crate) fn log(elf: &str, frames: &str) -> Result<String> {
    let bytes = std::fs::read(frames).map_err(|error| format!("{frames}: {error}"))?;
    Ok(emulator::decode(&Elf::read(Path::new(elf))?.0, &bytes)?.join("\n"))
}

/// The command without the float engine of `minionn check`, which takes minutes to build.
fn host_command() -> Result<PathBuf> {
    build_release()?;
    Ok(target_dir().join("release/minionn"))
}

fn self_test() -> Result<String> {
    let firmware = SELF_TEST.build()?;
    let output = MPS2.start(&firmware, Wiring::None, &[])?.finish(&firmware, SELF_TEST_LIMIT)?;
    let last = output.lines.last().cloned().unwrap_or_default();
    if output.success { Ok(format!("self-test: {last}")) } else { Err(output.lines.join("\n")) }
}

/// Some windows; then `cuts` sessions that are cut at random bytes, in these ways by turns.
fn on_ethernet(minionn: &Path, setting: &Setting<'_>, cuts: usize, losses: &[Loss]) -> Result<Row> {
    let server = Server::on_tcp(minionn, &client::model_file(setting.model, "minionn"))?;
    let wire = Wire::to_tcp(server.port()?)?;
    let wiring = Wiring::Ethernet(wire.port);
    let row = setting.check(minionn, &setting.run(wiring)?)?;
    server.session()?;
    let before = server.memory();
    let one = Setting { windows: 1, ..*setting };
    for &loss in losses.iter().cycle().take(cuts) {
        power::survive(&one, &server, &wire, wiring, loss, row.bytes_of_one_window())?;
    }
    wire.all_greetings_differ()?;
    let grown = server.memory().zip(before).map_or(0, |(now, before)| now.saturating_sub(before));
    if cuts > 0 && grown > limits::SERVER_GROWTH * cuts as u64 {
        return Err(format!("the server holds {grown} bytes more after {cuts} broken sessions"));
    }
    Ok(row)
}

/// Some windows; then a session that is cut by a loss of power.
fn on_serial(minionn: &Path, setting: &Setting<'_>) -> Result<Row> {
    let (wire, terminal) = Wire::to_terminal()?;
    let server =
        Server::on_serial(minionn, &client::model_file(setting.model, "minionn"), &terminal.name)?;
    let wiring = Wiring::Serial(wire.port);
    let row = setting.check(minionn, &setting.run(wiring)?)?;
    server.session()?;
    let one = Setting { windows: 1, ..*setting };
    power::survive(&one, &server, &wire, wiring, Loss::Power, row.bytes_of_one_window())?;
    wire.all_greetings_differ()?;
    Ok(row)
}

/// Refuses a firmware with such symbols.
fn without(what: &str, firmware: &Built, words: &[&str]) -> Result<()> {
    let found: Vec<_> =
        firmware.elf.symbols_with(words)?.into_iter().map(|(name, _)| name).collect();
    if found.is_empty() {
        Ok(())
    } else {
        Err(format!("{} has a {what}: {}", firmware.path.display(), found.join(", ")))
    }
}

/// Refuses a firmware in which more is left of panics than jumps to the handler.
fn panics_in_few_bytes(firmware: &Built) -> Result<()> {
    let found = firmware.elf.symbols_with(limits::PANICS)?;
    let bytes: u64 = found.iter().map(|(_, size)| size).sum();
    if bytes <= limits::PANIC {
        Ok(())
    } else {
        Err(format!("{}: {bytes} bytes for panics: {found:?}", firmware.path.display()))
    }
}
