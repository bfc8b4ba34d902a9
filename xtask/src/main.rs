//! `cargo xtask`: one place for what people and CI run. `cargo xtask --help` lists the commands.

mod checkout;
mod constant_time;
mod embedded;
mod instructions;
mod packages;
mod rules;
mod shell;
mod steps;
mod tools;

use std::process::ExitCode;

const HELP: &str = "\
One place for what people and CI run.

Usage: cargo xtask <command>

  test       everything: tools, formatting, rules, lints, tests, attacks, fuzz targets, no_std,
             firmware in QEMU, C and C++, instruction counts, constant time, documentation, packages
  test --quick
             what to run while working: formatting, rules, lints, unit tests, protocol tests that
             take seconds. It leaves out: tests of damaged and random sessions, of the reference
             and of the command's networks, attacks, fuzz targets, no_std, firmware, C++,
             instruction counts, constant time, documentation, packages
  setup      only look for the tools that `test` needs; as root on a Debian-like machine also
             install what is missing
  rules      only the rules that the code's text keeps: layers, defaults, lengths, columns, words;
             --accept writes the list of defaults, for a person to give the reasons
  attacks    only the tests that strip a defence and attack
  constant-time
             only sessions under memcheck, which finds branches and addresses that secrets decide
  embedded   only the firmware on emulated microcontrollers
  results    as `embedded`, and write embedded-demo/RESULTS.md
  log ELF F  the text of log frames that a firmware wrote to file F in a QEMU started by hand
  cpp        only the C and C++ demo
  header     write include/minionn.h
  bench      count the instructions of hot paths and hold them against the committed figures;
             --accept writes these, --profile PART tells what the instructions of one part are
             spent on
  packages   only the packages that are published: what they carry, and whether they compile

Each stops at the first failure with a non-zero exit code. CARGO_TARGET_DIR is respected;
MINIONN_TEST_SEED=N draws other random samples, MINIONN_NO_INSTALL=1 keeps root from installing.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["test"] => steps::run_all(&steps::TEST),
        ["test", "--quick"] => steps::run_all(&steps::QUICK),
        ["setup"] => steps::run_one(steps::SETUP),
        ["rules"] => steps::run_one(steps::RULES),
        ["rules", "--accept"] => ended(rules::accept()),
        ["constant-time"] => steps::run_one(steps::CONSTANT_TIME),
        ["attacks"] => steps::run_one(steps::ATTACKS),
        ["embedded"] => steps::run_one(steps::EMBEDDED),
        ["results"] => steps::run_one(steps::RESULTS),
        ["log", elf, frames] => ended(embedded::log(elf, frames).map(|lines| println!("{lines}"))),
        ["cpp"] => steps::run_one(steps::CPP),
        ["header"] => steps::run_one(steps::HEADER),
        ["bench"] => steps::run_one(steps::BENCH),
        ["bench", "--accept"] => steps::run_one(steps::ACCEPT),
        ["bench", "--profile", part] => ended(instructions::profile(part)),
        ["packages"] => steps::run_one(steps::PACKAGES),
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

/// How a command that is no step ended.
fn ended(result: Result<(), String>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}
