//! The `minionn` command.

use clap::Parser as _;
use minionn_host::commands::compile::{POOR, Poor};
use std::process::ExitCode;

fn main() -> ExitCode {
    match minionn_host::cli::Cli::parse().command.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<Poor>() => {
            eprintln!("warning: {error}");
            ExitCode::from(POOR)
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
