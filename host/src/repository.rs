//! What the command shows and measures by itself: networks and samples in the repository's folder
//! `models/`, which packages do not carry.

use anyhow::Context as _;
use std::path::Path;

/// Another place for that folder.
const VARIABLE: &str = "MINIONN_MODELS";

/// The bytes of a file in `models/`.
///
/// # Errors
/// If it is not there.
pub fn model_file(name: &str) -> anyhow::Result<Vec<u8>> {
    let folder = std::env::var_os(VARIABLE)
        .unwrap_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/../models").into());
    let path = Path::new(&folder).join(name);
    std::fs::read(&path).with_context(|| {
        format!("{}: {VARIABLE} names the folder models/ of the repository", path.display())
    })
}
