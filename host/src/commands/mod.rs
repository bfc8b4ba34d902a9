//! The subcommands: each has `Args` and `run`.

pub mod compile;
pub mod plain;

use clap::Subcommand;

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Turn an ONNX network into an integer model (the server's secret) and its plan (public).
    ///
    /// The compiler picks scales and shifts from calibration rows, and proves for every input that no layer overflows its ring. It prints
    /// what it chose and how far the integer model is from the float network on the calibration rows.
    Compile(compile::Args),
    /// Run an integer model in the clear: what a private prediction equals bit for bit.
    ///
    /// Use this to check accuracy before serving, and results afterwards.
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
