//! The `minionn` command.

use clap::Parser as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    match minionn_host::cli::Cli::parse().command.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
