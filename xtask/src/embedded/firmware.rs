//! Building firmware.

use super::elf::Elf;
use crate::shell::{cargo, command, root, run, target_dir};
use std::path::PathBuf;
use std::process::Command;

/// One firmware: a package for a board.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Firmware {
    /// Cargo's package in `embedded-demo`.
    pub(crate) package: &'static str,
    /// Its program.
    pub(crate) binary: &'static str,
    /// Board and link; empty where there is only one.
    pub(crate) features: &'static str,
    /// Compiled in, from `models/`; for firmware that has one.
    pub(crate) model: &'static str,
}

/// A built firmware.
pub(crate) struct Built {
    /// For the emulator.
    pub(crate) path: PathBuf,
    pub(crate) elf: Elf,
}

impl Firmware {
    /// Builds it. The linker refuses what does not fit the board's `memory.x`.
    pub(crate) fn build(&self) -> Result<Built, String> {
        run(&mut self.cargo("build", &[]))?;
        // The next build of the same program would overwrite it.
        let Self { binary, features, model, .. } = self;
        let name = format!("{binary}-{model}-{}.elf", features.replace(',', "-"));
        let (from, path) =
            (folder().join("thumbv7em-none-eabihf/release").join(binary), folder().join(name));
        std::fs::copy(&from, &path).map_err(|error| format!("{}: {error}", from.display()))?;
        Built::read(path)
    }

    /// Clippy, which lets nothing pass.
    pub(crate) fn lint(&self) -> Result<(), String> {
        run(&mut self.cargo("clippy", &["--", "-D", "warnings"])).map(|_| ())
    }

    fn cargo(&self, what: &str, more: &[&str]) -> Command {
        let Self { package, features, model, .. } = self;
        let mut command = cargo(&format!("{what} --quiet --release --package {package}"));
        command.arg("--target-dir").arg(folder()).args(["--features", features]).args(more);
        command.env("MINIONN_MODEL", model).current_dir(root().join("embedded-demo"));
        command
    }
}

/// Where firmware is built.
fn folder() -> PathBuf {
    target_dir().join("firmware")
}

/// Builds the client in C, for a link, by comparison or not, with windows of a model from
/// `models/`.
pub(crate) fn in_c(link: &str, compared: bool, model: &str, windows: u64) -> Result<Built, String> {
    let model = root().join("models").join(model).with_extension("minionn");
    let (compare, folder) =
        if compared { ("1", format!("{link}-compare")) } else { ("", link.to_owned()) };
    let path = target_dir().join("embedded-c").join(folder).join("sensor.elf");
    run(command("make --silent --directory embedded-demo/c")
        .arg(format!("LINK={link}"))
        .arg(format!("COMPARE={compare}"))
        .arg(format!("MODEL={}", model.display()))
        .arg(format!("ROWS={windows}"))
        .env("CARGO_TARGET_DIR", target_dir()))?;
    Built::read(path)
}

impl Built {
    fn read(path: PathBuf) -> Result<Self, String> {
        let elf = Elf::read(&path)?;
        Ok(Self { path, elf })
    }
}
