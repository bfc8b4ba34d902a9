//! A firmware in QEMU, from start to end: what it printed, how it ended. For firmware in any
//! language: log frames of defmt are decoded, all else is taken as text.

use super::firmware::Built;
use crate::shell::wait_within;
use core::time::Duration;
use std::io::Read as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};

/// An emulated board.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Board {
    /// As QEMU calls it.
    pub(crate) name: &'static str,
    /// Serial ports before the one that the firmware uses.
    pub(crate) unused_ports: usize,
}

/// Cortex-M4F with 4 MiB of flash and of RAM, of which `memory.x` gives away less; Ethernet.
pub(crate) const MPS2: Board = Board { name: "mps2-an386", unused_ports: 0 };
/// STM32F405: 1 MiB of flash, 128 KiB of RAM. The firmware uses its second USART.
pub(crate) const NETDUINO: Board = Board { name: "netduinoplus2", unused_ports: 1 };

/// What a board is connected to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wiring {
    /// Nothing.
    None,
    /// Its serial port to this TCP port of the host.
    Serial(u16),
    /// Its Ethernet to the host's network; it is told to connect to this TCP port.
    Ethernet(u16),
    /// Its Ethernet; this TCP port of the host leads to the device's port 7650.
    Listening(u16),
}

/// A running emulator; killed when dropped.
pub(crate) struct Emulator {
    child: Child,
    reader: Option<JoinHandle<Vec<u8>>>,
    what: String,
}

/// What a firmware printed, once it had ended.
pub(crate) struct Output {
    pub(crate) lines: Vec<String>,
    /// Its own verdict.
    pub(crate) success: bool,
}

impl Board {
    /// Switches it on, with words `key=value` for the firmware. One instruction takes one
    /// nanosecond of the board's time.
    pub(crate) fn start(
        &self,
        firmware: &Built,
        wiring: Wiring,
        arguments: &[String],
    ) -> Result<Emulator, String> {
        self.start_with(firmware, wiring, arguments, &[])
    }

    /// The same, with more for QEMU.
    pub(crate) fn start_with(
        &self,
        firmware: &Built,
        wiring: Wiring,
        arguments: &[String],
        more: &[&str],
    ) -> Result<Emulator, String> {
        let mut command = Command::new("qemu-system-arm");
        command
            .args(["-M", self.name, "-icount", "shift=0", "-display", "none", "-monitor", "none"]);
        command.args(["-chardev", "stdio,id=console,signal=off"]);
        let mut semihosting = "enable=on,target=native,chardev=console,arg=firmware".to_owned();
        let mut arguments = arguments.to_vec();
        match wiring {
            Wiring::None => {}
            Wiring::Serial(port) => {
                command.args(["-serial", "null"].repeat(self.unused_ports));
                command.args(["-serial", &format!("tcp:127.0.0.1:{port}")]);
            }
            Wiring::Ethernet(port) => {
                command.args(["-serial", "null", "-nic", "user,model=lan9118"]);
                arguments.push(format!("port={port}"));
            }
            Wiring::Listening(port) => {
                command.args([
                    "-serial",
                    "null",
                    "-nic",
                    &format!("user,model=lan9118,hostfwd=tcp:127.0.0.1:{port}-:7650"),
                ]);
            }
        }
        for argument in arguments {
            semihosting += &format!(",arg={argument}");
        }
        command.args(more);
        command.args(["-semihosting-config", &semihosting, "-kernel"]).arg(&firmware.path);
        let what =
            format!("{} on {}", firmware.path.file_name().unwrap_or_default().display(), self.name);
        let spawned =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn();
        let mut child = spawned.map_err(|error| format!("{what}: {error}"))?;
        let reader = child.stdout.take().map(|mut stdout| {
            thread::spawn(move || {
                let mut bytes = Vec::new();
                // What came before a read error is still worth showing.
                let _ = stdout.read_to_end(&mut bytes);
                bytes
            })
        });
        Ok(Emulator { child, reader, what })
    }
}

impl Emulator {
    /// Waits for the end.
    ///
    /// # Errors
    /// After `limit`, with what was printed until then.
    pub(crate) fn finish(mut self, firmware: &Built, limit: Duration) -> Result<Output, String> {
        let status = self.wait(limit);
        let lines = self.printed(firmware)?;
        let status = status.map_err(|why| format!("{}\n{}: {why}", lines.join("\n"), self.what))?;
        Ok(Output { lines, success: status.success() })
    }

    /// Takes its power away.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn wait(&mut self, limit: Duration) -> Result<ExitStatus, String> {
        let ended = wait_within(&mut self.child, limit).map_err(|error| error.to_string())?;
        ended.ok_or_else(|| format!("stopped after {} s", limit.as_secs()))
    }

    fn printed(&mut self, firmware: &Built) -> Result<Vec<String>, String> {
        let bytes = self.reader.take().and_then(|reader| reader.join().ok()).unwrap_or_default();
        decode(&firmware.elf.0, &bytes)
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The lines in what a firmware printed.
pub(crate) fn decode(elf: &[u8], bytes: &[u8]) -> Result<Vec<String>, String> {
    let table =
        defmt_decoder::Table::parse(elf).map_err(|error| format!("log texts: {error:#}"))?;
    let Some(table) = table.filter(|table| !table.is_empty()) else {
        return Ok(String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect());
    };
    let mut decoder = table.new_stream_decoder();
    decoder.received(bytes);
    let mut lines = Vec::new();
    loop {
        match decoder.decode() {
            Ok(frame) => lines.push(frame.display_message().to_string()),
            Err(defmt_decoder::DecodeError::UnexpectedEof) => return Ok(lines),
            Err(defmt_decoder::DecodeError::Malformed) => {
                lines.push("(a damaged log frame)".to_owned())
            }
        }
    }
}
