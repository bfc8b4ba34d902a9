//! `cargo xtask`: one place for what people and CI run. `cargo xtask --help` lists the commands.

mod embedded;
mod shell;
mod steps;
mod tools;

use std::process::ExitCode;

const HELP: &str = "\
One place for what people and CI run.

Usage: cargo xtask <command>

  test       everything: tools, formatting, lints, tests, attacks, fuzz targets, no_std, embedded self-test, C and C++, documentation
  setup      only look for the tools that `test` needs; as root on a Debian-like machine also install what is missing
  attacks    only the tests that strip a defence and attack
  embedded   only the firmware on emulated microcontrollers
  results    as `embedded`, and write embedded-demo/RESULTS.md anew
  log ELF F  the text of log frames that a firmware wrote to file F in a QEMU started by hand
  cpp        only the C and C++ demo
  header     write include/minionn.h anew

Each stops at the first failure with a non-zero exit code. CARGO_TARGET_DIR is respected.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["test"] => steps::run_all(steps::TEST),
        ["setup"] => steps::run_all(&[steps::SETUP]),
        ["attacks"] => steps::run_all(&[steps::ATTACKS]),
        ["embedded"] => steps::run_all(&[steps::EMBEDDED]),
        ["results"] => steps::run_all(&[steps::RESULTS]),
        ["log", elf, frames] => match embedded::log(elf, frames) {
            Ok(lines) => {
                println!("{lines}");
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        },
        ["cpp"] => steps::run_all(&[steps::CPP]),
        ["header"] => steps::run_all(&[steps::HEADER]),
        ["-h" | "--help" | "help"] => {
            println!("{HELP}");
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("{HELP}");
            ExitCode::from(2)
        }
    }
}
