//! `minionn operators`.

use crate::onnx::{Operator, operators};
use std::io::Write as _;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only those whose name contains this, in any case.
    name: Option<String>,
}

/// Prints one operator in a line, and what of it is read.
///
/// # Errors
/// Where standard output cannot be written, and where no operator has such a name.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let wanted = args.name.as_deref().unwrap_or_default().to_lowercase();
    let found: Vec<Operator> =
        operators().filter(|o| o.name.to_lowercase().contains(&wanted)).collect();
    anyhow::ensure!(!found.is_empty(), "no operator that can be read has `{wanted}` in its name");
    let width = found.iter().map(|o| o.name.len()).max().unwrap_or(0);
    let mut out = std::io::stdout().lock();
    for Operator { name, forms } in found {
        writeln!(out, "{}", format!("{name:width$}  {forms}").trim_end())?;
    }
    Ok(())
}
