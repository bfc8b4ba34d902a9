//! The tools that the tests need: which are missing, and how to get them.

use crate::shell::{cargo, command, run, works};
use std::process::Command;

/// The target of the firmware.
pub(crate) const THUMB: &str = "thumbv7em-none-eabihf";

/// Targets on which the core must build.
pub(crate) const TARGETS: [&str; 5] = [
    THUMB,
    "thumbv6m-none-eabi",
    "thumbv8m.main-none-eabihf",
    "riscv32imac-unknown-none-elf",
    "wasm32-unknown-unknown",
];

/// How to get a tool.
#[derive(Clone, Copy)]
enum Source {
    /// Debian packages.
    Apt(&'static str),
    /// Arguments for rustup.
    Rustup(&'static str),
}

struct Tool {
    name: &'static str,
    present: fn() -> bool,
    source: Source,
}

const TOOLS: &[Tool] = &[
    Tool {
        name: "qemu-system-arm",
        present: || version("qemu-system-arm"),
        source: Source::Apt("qemu-system-arm"),
    },
    Tool { name: "cmake", present: || version("cmake"), source: Source::Apt("cmake") },
    Tool { name: "make", present: || version("make"), source: Source::Apt("make") },
    Tool {
        name: "arm-none-eabi-gcc",
        present: || version("arm-none-eabi-gcc"),
        source: Source::Apt("gcc-arm-none-eabi"),
    },
    Tool { name: "g++ or clang++", present: || compiler().is_some(), source: Source::Apt("g++") },
    Tool { name: "Boost headers", present: boost, source: Source::Apt("libboost-dev") },
    Tool { name: "valgrind", present: || version("valgrind"), source: Source::Apt("valgrind") },
    Tool { name: "python3", present: || version("python3"), source: Source::Apt("python3") },
    // Tests that hold emulated links against the kernel's.
    Tool {
        name: "tc",
        present: || works(Command::new("tc").arg("-Version")),
        source: Source::Apt("iproute2"),
    },
    Tool {
        name: "targets of microcontrollers and WebAssembly",
        present: targets,
        source: Source::Rustup(
            "target add thumbv7em-none-eabihf thumbv6m-none-eabi thumbv8m.main-none-eabihf \
             riscv32imac-unknown-none-elf wasm32-unknown-unknown",
        ),
    },
    Tool {
        name: "clippy",
        present: || works(&mut cargo("clippy --version")),
        source: Source::Rustup("component add clippy"),
    },
    Tool {
        name: "rustfmt",
        present: || works(&mut cargo("fmt --version")),
        source: Source::Rustup("component add rustfmt"),
    },
];

fn version(tool: &str) -> bool {
    works(Command::new(tool).arg("--version"))
}

/// A compiler for the host.
pub(crate) fn compiler() -> Option<&'static str> {
    ["g++", "clang++"].into_iter().find(|name| version(name))
}

/// Whether the compiler finds Boost.Asio, wherever it is installed.
fn boost() -> bool {
    compiler().is_some_and(|name| {
        works(&mut command(&format!("{name} -x c++ -E -include boost/asio.hpp /dev/null")))
    })
}

/// Whether all targets' core libraries are installed, by rustup or otherwise.
fn targets() -> bool {
    let libraries =
        |target| run(&mut command(&format!("rustc --print target-libdir --target {target}")));
    TARGETS
        .into_iter()
        .all(|target| libraries(target).is_ok_and(|dir| std::path::Path::new(dir.trim()).is_dir()))
}

/// Looks for every tool and installs what is missing if this may be done here.
///
/// # Errors
/// What is missing, and the one line that gets it.
pub(crate) fn ensure() -> Result<String, String> {
    let missing = missing();
    if missing.is_empty() {
        return Ok(format!("{} tools", TOOLS.len()));
    }
    let names = names(&missing);
    let lines = install_lines(&missing);
    if !may_install() {
        return Err(format!(
            "missing: {names}. This gets them on a Debian-like machine:\n\n    {}\n",
            one_line(&lines)
        ));
    }
    println!("      missing: {names}; installing");
    for line in &lines {
        run(command(line).env("DEBIAN_FRONTEND", "noninteractive"))?;
    }
    let still = self::missing();
    if still.is_empty() {
        Ok(format!("installed {names}"))
    } else {
        Err(format!("installed, but still not usable: {}", self::names(&still)))
    }
}

fn missing() -> Vec<&'static Tool> {
    TOOLS.iter().filter(|tool| !(tool.present)()).collect()
}

fn names(tools: &[&Tool]) -> String {
    tools.iter().map(|tool| tool.name).collect::<Vec<_>>().join(", ")
}

/// The commands that install `tools`: packages in one go, then rustup's parts.
fn install_lines(tools: &[&Tool]) -> Vec<String> {
    let packages: Vec<_> = tools
        .iter()
        .filter_map(|t| if let Source::Apt(name) = t.source { Some(name) } else { None })
        .collect();
    let parts = tools.iter().filter_map(|t| {
        if let Source::Rustup(arguments) = t.source { Some(arguments) } else { None }
    });
    let mut lines = Vec::new();
    if !packages.is_empty() {
        lines.push("apt-get update".to_owned());
        lines.push(format!("apt-get install -y --no-install-recommends {}", packages.join(" ")));
    }
    lines.extend(parts.map(|arguments| format!("rustup {arguments}")));
    lines
}

fn one_line(lines: &[String]) -> String {
    let with_sudo = |line: &String| {
        if line.starts_with("apt-get") { format!("sudo {line}") } else { line.clone() }
    };
    lines.iter().map(with_sudo).collect::<Vec<_>>().join(" && ")
}

/// Set, it keeps root from installing.
const NO_INSTALL: &str = "MINIONN_NO_INSTALL";

/// Root on a Debian-like machine is a container or a CI runner; on anybody else's machine, nothing
/// is installed unasked.
fn may_install() -> bool {
    std::env::var_os(NO_INSTALL).is_none()
        && run(&mut command("id -u")).is_ok_and(|id| id.trim() == "0")
        && version("apt-get")
}
