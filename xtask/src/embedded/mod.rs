//! The firmware in QEMU: built, run against `minionn serve`, measured, cut off, held against plan and limits.
//!
//! | module | what it is |
//! |---|---|
//! | [`firmware`], [`elf`] | building; sizes and symbols |
//! | [`emulator`], [`server`], [`wire`] | a board, the host's server, what lies between them |
//! | [`client`], [`power`] | a client's run and its row of the table; power loss |
//! | [`device`] | a server on the device |
//! | [`limits`] | what the firmware may take |

mod client;
mod device;
mod elf;
mod emulator;
mod firmware;
mod limits;
mod power;
mod server;
mod wire;

use crate::shell::{cargo, root, run, target_dir};
use client::{Row, Setting};
use core::time::Duration;
use elf::Elf;
use emulator::{MPS2, Wiring};
use firmware::{Built, Firmware};
use power::Loss;
use server::Server;
use std::path::{Path, PathBuf};
use std::thread;
use wire::Wire;

type Result<T> = core::result::Result<T, String>;

/// Served by the host, classified by the device.
const MODEL: &str = "sensor";
/// The self-test needs seconds.
const SELF_TEST_LIMIT: Duration = Duration::from_secs(100);
/// Windows over Ethernet, and over the emulated serial ports, which take some 10 kB in a second.
const WINDOWS: u64 = 10;
const WINDOWS_SERIAL: u64 = 2;
/// Sessions that are cut over Ethernet.
const CUTS: usize = 6;

const SELF_TEST: Firmware = Firmware { package: "minionn-selftest", binary: "selftest", features: "", model: "none" };

/// A client for a board, by its features.
const fn client_for(features: &'static str) -> Firmware {
    Firmware { package: "minionn-device-client", binary: "client", features, model: MODEL }
}

/// The server, with the same model.
const SERVER: Firmware = Firmware { package: "minionn-device-server", binary: "server", features: "mps2-an386,ethernet", model: MODEL };

/// Boards that QEMU does not emulate: built only.
const BOARDS: [&str; 3] = ["stm32f407", "stm32f429", "nrf52840"];

/// Everything. Returns a few words and the table.
pub(crate) fn all() -> Result<(String, String)> {
    let minionn = host_command()?;
    let tested = self_test()?;
    for board in BOARDS {
        client_for(board).build()?;
    }
    let (serial, ethernet) = (client_for("mps2-an386").build()?, client_for("mps2-an386,ethernet").build()?);
    // Built only: its last run did not end in time, cause not found yet.
    let netduino = client_for("netduinoplus2").build()?;
    let (c_serial, c_ethernet) = (firmware::in_c("serial", MODEL, WINDOWS)?, firmware::in_c("ethernet", MODEL, WINDOWS)?);
    for firmware in [&serial, &ethernet, &netduino, &c_serial, &c_ethernet] {
        without("heap", firmware, limits::HEAP)?;
    }
    for firmware in [&serial, &netduino, &c_serial] {
        without("formatter", firmware, limits::FORMATTING)?;
    }
    let device_server = SERVER.build()?;
    let over_serial = |machine, language, firmware| Setting { machine, language, firmware, link: "UART", windows: WINDOWS_SERIAL };
    let over_ethernet = |language, firmware| Setting { machine: MPS2, language, firmware, link: "Ethernet", windows: WINDOWS };
    let (rows, served) = thread::scope(|scope| {
        let (minionn, power) = (&minionn, &[Loss::Power]);
        let others = [
            scope.spawn(|| on_serial(minionn, &over_serial(MPS2, "Rust", &serial))),
            // The client in C connects once for every start.
            scope.spawn(|| on_ethernet(minionn, &over_ethernet("C", &c_ethernet), power)),
            scope.spawn(|| on_serial(minionn, &over_serial(MPS2, "C", &c_serial))),
        ];
        let serving = scope.spawn(|| device::serve(minionn, &device_server, &model("minionn")));
        let first = on_ethernet(minionn, &over_ethernet("Rust", &ethernet), &[Loss::Power, Loss::Connection]);
        let joined = others.into_iter().map(|run| run.join().map_err(|_| "a run ended early".to_owned())?);
        let rows = core::iter::once(first).chain(joined).collect::<Result<Vec<Row>>>()?;
        let served = serving.join().map_err(|_| "the device's server ended early".to_owned())??;
        Ok::<_, String>((rows, served))
    })?;
    let words = format!("{tested}; {} windows, {} sessions cut and survived", 2 * WINDOWS + 2 * WINDOWS_SERIAL, 2 * CUTS + 2);
    Ok((words, format!("{}\n{}", Row::table(&rows), served.table())))
}

/// The text of a firmware's log frames, for those who start QEMU by hand.
pub(crate) fn log(elf: &str, frames: &str) -> Result<String> {
    let bytes = std::fs::read(frames).map_err(|error| format!("{frames}: {error}"))?;
    Ok(emulator::decode(&Elf::read(Path::new(elf))?.0, &bytes)?.join("\n"))
}

/// The command without the float engine of `minionn check`, which takes minutes to build.
fn host_command() -> Result<PathBuf> {
    run(&mut cargo("build --quiet --release --package minionn-host --no-default-features"))?;
    Ok(target_dir().join("release/minionn"))
}

fn self_test() -> Result<String> {
    let firmware = SELF_TEST.build()?;
    let output = MPS2.start(&firmware, Wiring::None, &[])?.finish(&firmware, SELF_TEST_LIMIT)?;
    let last = output.lines.last().cloned().unwrap_or_default();
    if output.success { Ok(format!("self-test: {last}")) } else { Err(output.lines.join("\n")) }
}

/// Ten windows; then sessions that are cut at random bytes, in these ways by turns.
fn on_ethernet(minionn: &Path, setting: &Setting<'_>, losses: &[Loss]) -> Result<Row> {
    let server = Server::on_tcp(minionn, &model("minionn"))?;
    let wire = Wire::to_tcp(server.port()?)?;
    let wiring = Wiring::Ethernet(wire.port);
    let row = setting.check(&setting.run(wiring)?, &model("plan"))?;
    server.session()?;
    let before = server.memory();
    let one = Setting { windows: 1, ..*setting };
    for &loss in losses.iter().cycle().take(CUTS) {
        power::survive(&one, &server, &wire, wiring, loss, row.bytes_of_one_window())?;
    }
    wire.all_greetings_differ()?;
    let grown = server.memory().zip(before).map_or(0, |(now, before)| now.saturating_sub(before));
    if grown > limits::SERVER_GROWTH * CUTS as u64 {
        return Err(format!("the server holds {grown} bytes more after {CUTS} broken sessions"));
    }
    Ok(row)
}

/// Some windows; then a session that is cut by a loss of power.
fn on_serial(minionn: &Path, setting: &Setting<'_>) -> Result<Row> {
    let (wire, terminal) = Wire::to_terminal()?;
    let server = Server::on_serial(minionn, &model("minionn"), &terminal.name)?;
    let wiring = Wiring::Serial(wire.port);
    let row = setting.check(&setting.run(wiring)?, &model("plan"))?;
    server.session()?;
    let one = Setting { windows: 1, ..*setting };
    power::survive(&one, &server, &wire, wiring, Loss::Power, row.bytes_of_one_window())?;
    wire.all_greetings_differ()?;
    Ok(row)
}

/// A file of the model.
fn model(kind: &str) -> PathBuf {
    root().join(format!("models/{MODEL}.{kind}"))
}

/// Refuses a firmware with such symbols.
fn without(what: &str, firmware: &Built, words: &[&str]) -> Result<()> {
    let found = firmware.elf.symbols_with(words)?;
    if found.is_empty() { Ok(()) } else { Err(format!("{} has a {what}: {}", firmware.path.display(), found.join(", "))) }
}
