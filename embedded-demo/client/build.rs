//! Writes what the firmware carries in flash: the plan, held-out windows as the network's integers, what the integer model makes of them,
//! and the size of the workspace.

use minionn_core::machine::Machine;
use minionn_core::model::Model;
use minionn_core::session::client_memory_on;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

#[path = "src/options.rs"]
mod options;

/// Compiled in; a run may ask for fewer.
const WINDOWS: usize = 10;
const MODELS: &str = "../../models";

fn main() {
    let name = env::var("MINIONN_MODEL").unwrap_or_else(|_| "sensor".to_owned());
    let (model, windows) = (PathBuf::from(format!("{MODELS}/{name}.minionn")), PathBuf::from(format!("{MODELS}/{name}.test.npy")));
    for input in [Path::new("build.rs"), Path::new("src/options.rs"), &model, &windows] {
        println!("cargo::rerun-if-changed={}", input.display());
    }
    println!("cargo::rerun-if-env-changed=MINIONN_MODEL");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let (bytes, samples) = (read(&model), floats(&read(&windows)));
    let model = Model::parse(&bytes).expect("the model is valid");
    let (plan, digest) = model.plan().bytes();
    write(&out.join("plan"), &[plan, digest].concat());
    write(&out.join("network.rs"), network(&model, &samples).as_bytes());
    // Beside link.x of cortex-m-rt: where defmt keeps its texts.
    println!("cargo::rustc-link-arg-bins=-Tdefmt.x");
}

/// Rust source: constants and windows.
fn network(model: &Model<'_>, samples: &[f32]) -> String {
    let (plan, header) = (model.plan(), model.plan().header());
    let (inputs, outputs) = (header.input_len as usize, if model.plan().is_argmax() { 0 } else { header.output_len as usize });
    let workspace = client_memory_on(Machine::BITS32, plan, &options::OPTIONS).expect("the options are valid");
    let sample = if header.input.min >= i8::MIN.into() && header.input.max <= i8::MAX.into() { "i8" } else { "i16" };
    let mut text = format!(
        "pub(crate) const WORKSPACE: usize = {workspace};\n\
         pub(crate) const INPUTS: usize = {inputs};\n\
         pub(crate) const OUTPUTS: usize = {outputs};\n\
         pub(crate) type Sample = {sample};\n\
         pub(crate) static WINDOWS: [Window; {WINDOWS}] = [\n"
    );
    for window in samples.chunks_exact(inputs).take(WINDOWS) {
        let x: Vec<i64> = window.iter().map(|&x| header.input.quantise(x).expect("samples are numbers")).collect();
        let mut out = vec![0; header.output_len as usize];
        let label = model.evaluate(&x, &mut vec![0; Model::scratch_len(plan)], &mut out).expect("samples are in range");
        out.truncate(outputs);
        writeln!(text, "    Window {{ samples: {x:?}, label: {label}, outputs: {out:?} }},").expect("a string takes everything");
    }
    text + "];\n"
}

/// The numbers of a NumPy file: little-endian float32 in C order, whatever the shape.
fn floats(npy: &[u8]) -> Vec<f32> {
    let (magic, rest) = npy.split_at(8);
    assert_eq!(magic, b"\x93NUMPY\x01\0", "a NumPy file, version 1");
    let (length, rest) = rest.split_at(2);
    let (header, data) = rest.split_at(u16::from_le_bytes([length[0], length[1]]).into());
    let header = String::from_utf8_lossy(header);
    assert!(header.contains("'<f4'") && header.contains("'fortran_order': False"), "little-endian float32 in C order");
    data.as_chunks().0.iter().map(|&x| f32::from_le_bytes(x)).collect()
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn write(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
