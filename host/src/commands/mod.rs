//! The subcommands: each has `Args` and `run`.

pub mod compile;
pub mod plain;

use clap::Subcommand;

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Turn an ONNX network into an integer model.
    Compile(compile::Args),
    /// Run an integer model in the clear: what a private prediction equals bit for bit.
    Plain(plain::Args),
}

impl Command {
    /// Runs the subcommand.
    ///
    /// # Errors
    /// Whatever stopped it, ready to be shown to a person.
    pub fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Compile(args) => compile::run(&args),
            Self::Plain(args) => plain::run(&args),
        }
    }
}
