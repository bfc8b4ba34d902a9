//! Puts the model into flash, and says how much memory a session takes.

use minionn_core::model::Model;
use minionn_core::session::small_server_memory_on;
use minionn_core::target::TargetProfile;
use std::path::PathBuf;
use std::{env, fs};

#[path = "../options.rs"]
mod options;

fn main() {
    let name = env::var("MINIONN_MODEL").unwrap_or_else(|_| "sensor".to_owned());
    let file = PathBuf::from(format!("../../models/{name}.minionn"));
    for input in ["build.rs", "../options.rs", &file.display().to_string()] {
        println!("cargo::rerun-if-changed={input}");
    }
    println!("cargo::rerun-if-env-changed=MINIONN_MODEL");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let bytes = fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let model = Model::parse(&bytes).expect("the model is valid");
    let workspace = small_server_memory_on(
        TargetProfile::BITS32,
        model.plan(),
        &options::options(cfg!(feature = "compare")),
    )
    .expect("the options are valid");
    fs::write(out.join("model"), &bytes).expect("OUT_DIR can be written");
    fs::write(
        out.join("workspace.rs"),
        format!("pub(crate) const WORKSPACE: usize = {workspace};\n"),
    )
    .expect("OUT_DIR can be written");
    // Beside link.x of cortex-m-rt: where defmt keeps its texts.
    println!("cargo::rustc-link-arg-bins=-Tdefmt.x");
}
