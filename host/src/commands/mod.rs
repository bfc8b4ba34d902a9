//! The subcommands: each has `Args` and `run`.

pub mod bench;
pub mod check;
pub mod compile;
pub mod demo;
mod files;
mod input;
pub mod operators;
pub mod plain;
pub mod plan;
mod plan_table;
pub mod predict;
pub mod serve;
pub mod session;
pub mod shown;

use clap::Subcommand;

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Turn an ONNX network into an integer model (the server's secret) and its plan (public).
    ///
    /// The compiler picks scales and shifts from calibration rows, and proves for every input that
    /// no layer overflows its ring. It prints what it chose and how far the integer model is
    /// from the float network on the calibration rows.
    Compile(compile::Args),
    /// Run an integer model in the clear: what a private prediction equals bit for bit.
    ///
    /// Use this to check accuracy before serving, and results afterwards.
    Plain(plain::Args),
    /// Hold the float network, the integer model and a private run against each other, layer by
    /// layer.
    ///
    /// The float values come from an independent ONNX engine (tract). The table says how far the
    /// integers of each layer are from them, and whether the private values equal the integers
    /// bit for bit. Fails if they do not.
    Check(check::Args),
    /// Show what a network costs before anything runs: rings, ciphertexts, gates, OTs, rounds,
    /// bytes, memory.
    ///
    /// The sessions take their message lengths from the same figures, so they are exact.
    Plan(plan::Args),
    /// List the ONNX operators that can be read, and in which forms.
    Operators(operators::Args),
    /// Serve a model to many clients at a time. The server learns nothing of the inputs, the
    /// clients nothing of the weights.
    ///
    /// Run it behind TLS or SSH where the network is not trusted: the protocol hides values, it
    /// does not authenticate the peers.
    Serve(serve::Args),
    /// Get private predictions from a server.
    Predict(predict::Args),
    /// Show a private prediction end to end: server and client as two processes, handwritten
    /// digits, every answer checked.
    Demo(demo::Args),
    /// Measure a network: seconds and bytes of each phase over loopback or an emulated link, every
    /// answer checked.
    ///
    /// Or the paper's networks in one table (`--networks`), single parts beside what this machine
    /// can do at all (`--primitives`), how costs grow (`--curves`), many clients at once
    /// (`--clients`). docs/performance.md says what the figures mean.
    ///
    /// With `--profile paper` the method as published in 2017 runs beside it, on the same integers:
    /// the baseline of every speed-up. That profile only measures; it never serves real inputs.
    Bench(bench::Args),
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
            Self::Check(args) => check::run(&args),
            Self::Plan(args) => plan::run(&args),
            Self::Operators(args) => operators::run(&args),
            Self::Serve(args) => serve::run(&args),
            Self::Predict(args) => predict::run(&args),
            Self::Demo(args) => demo::run(&args),
            Self::Bench(args) => bench::run(&args),
        }
    }
}
