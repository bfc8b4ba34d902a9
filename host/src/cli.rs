//! The command line. A new subcommand is one file in [`crate::commands`] and one line in
//! [`crate::commands::Command`].

use crate::commands::Command;
use clap::Parser;

/// Private neural-network prediction between two parties.
///
/// The client learns the prediction and nothing else about the weights; the server learns nothing
/// about the input.
#[derive(Debug, Parser)]
#[command(
    name = "minionn",
    version,
    about,
    propagate_version = true,
    arg_required_else_help = true
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}
