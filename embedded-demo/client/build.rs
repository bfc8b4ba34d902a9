//! Writes what the firmware carries in flash: the plan, held-out windows as the network's integers,
//! what the integer model makes of them, and the size of the workspace.

use core::fmt::Write as _;
use minionn_core::cost::store_bytes;
use minionn_core::model::Model;
use minionn_core::session::client_memory_on;
use minionn_core::target::TargetProfile;
use std::path::{Path, PathBuf};
use std::{env, fs};

#[path = "../options.rs"]
mod options;
#[path = "src/reconstruction.rs"]
mod reconstruction;
use reconstruction::Reconstruction;

/// Compiled in; a run may ask for fewer.
const WINDOWS: usize = 10;
const MODELS: &str = "../../models";

/// How many of a hundred windows of the training do not stand out.
const USUAL: usize = 95;

fn main() {
    let name = env::var("MINIONN_MODEL").unwrap_or_else(|_| "sensor".to_owned());
    let [model, windows, training] = ["minionn", "test.npy", "calibrate.npy"]
        .map(|kind| PathBuf::from(format!("{MODELS}/{name}.{kind}")));
    let sources = ["build.rs", "../options.rs", "src/reconstruction.rs"].map(Path::new);
    for input in sources.into_iter().chain([&*model, &windows, &training]) {
        println!("cargo::rerun-if-changed={}", input.display());
    }
    println!("cargo::rerun-if-env-changed=MINIONN_MODEL");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let bytes = read(&model);
    let network = Network(Model::parse(&bytes).expect("the model is valid"));
    let (plan, digest) = network.0.plan().bytes();
    write(&out.join("plan"), &[plan, digest].concat());
    let reconstruction = network.reconstruction(&training);
    write(
        &out.join("network.rs"),
        network.source(&floats(&read(&windows)), reconstruction).as_bytes(),
    );
    // Beside link.x of cortex-m-rt: where defmt keeps its texts.
    println!("cargo::rustc-link-arg-bins=-Tdefmt.x");
}

/// The integer model in the clear.
struct Network<'a>(Model<'a>);

impl Network<'_> {
    /// Quantised samples of a window, index of the largest output, all outputs.
    fn evaluate(&self, window: &[f32]) -> (Vec<i64>, usize, Vec<i64>) {
        let (plan, header) = (self.0.plan(), self.0.plan().header());
        let x: Vec<i64> = window
            .iter()
            .map(|&x| header.input.quantise(x).expect("samples are numbers"))
            .collect();
        let mut out = vec![0; header.output_len as usize];
        let largest = self
            .0
            .evaluate(&x, &mut vec![0; Model::scratch_len(plan)], &mut out)
            .expect("samples are in range");
        (x, largest, out)
    }

    /// For a network that gives back its input: how well it does so with windows of its training.
    fn reconstruction(&self, training: &Path) -> Option<Reconstruction> {
        let (plan, header) = (self.0.plan(), self.0.plan().header());
        if plan.is_argmax() || header.input_len != header.output_len {
            return None;
        }
        let mut found = Reconstruction {
            input_scale: header.input.scale,
            output_scale: header.output_scale,
            largest: 0.0,
        };
        let mut errors: Vec<f32> = Vec::new();
        for window in floats(&read(training)).chunks_exact(header.input_len as usize) {
            let (x, _, y) = self.evaluate(window);
            errors.push(found.error(x.into_iter().zip(y)));
        }
        errors.sort_by(f32::total_cmp);
        found.largest = errors[errors.len() * USUAL / 100];
        Some(found)
    }

    /// Rust source: constants and windows.
    fn source(&self, samples: &[f32], reconstruction: Option<Reconstruction>) -> String {
        let (plan, header) = (self.0.plan(), self.0.plan().header());
        let (inputs, outputs) = (
            header.input_len as usize,
            if plan.is_argmax() { 0 } else { header.output_len as usize },
        );
        let options = options::options(cfg!(feature = "compare"));
        let workspace =
            client_memory_on(TargetProfile::BITS32, plan, &options).expect("the options are valid");
        assert_eq!(
            store_bytes(plan, &options),
            0,
            "an activation of this network has no comparison: build without the feature 'compare'"
        );
        let sample = if header.input.min >= i8::MIN.into() && header.input.max <= i8::MAX.into() {
            "i8"
        } else {
            "i16"
        };
        let mut text = format!(
            "pub(crate) const WORKSPACE: usize = {workspace};\n\
             pub(crate) const INPUTS: usize = {inputs};\n\
             pub(crate) const OUTPUTS: usize = {outputs};\n\
             pub(crate) const RECONSTRUCTION: Option<Reconstruction> = {reconstruction:?};\n\
             pub(crate) type Sample = {sample};\n\
             pub(crate) static WINDOWS: [Window; {WINDOWS}] = [\n"
        );
        for window in samples.chunks_exact(inputs).take(WINDOWS) {
            let (x, largest, mut out) = self.evaluate(window);
            let stands_out = reconstruction.map(|r| {
                usize::from(r.error(x.iter().copied().zip(out.iter().copied())) > r.largest)
            });
            let label = stands_out.unwrap_or(largest);
            out.truncate(outputs);
            writeln!(text, "    Window {{ samples: {x:?}, label: {label}, outputs: {out:?} }},")
                .expect("a string takes everything");
        }
        text + "];\n"
    }
}

/// The numbers of a NumPy file: bytes with a sign, or little-endian float32, in C order, whatever
/// the shape.
fn floats(npy: &[u8]) -> Vec<f32> {
    let (magic, rest) = npy.split_at(8);
    assert_eq!(magic, b"\x93NUMPY\x01\0", "a NumPy file, version 1");
    let (length, rest) = rest.split_at(2);
    let (header, data) = rest.split_at(u16::from_le_bytes([length[0], length[1]]).into());
    let header = String::from_utf8_lossy(header);
    assert!(header.contains("'fortran_order': False"), "in C order");
    if header.contains("'|i1'") {
        return data.iter().map(|&x| f32::from(x.cast_signed())).collect();
    }
    assert!(header.contains("'<f4'"), "bytes with a sign, or little-endian float32");
    data.as_chunks().0.iter().map(|&x| f32::from_le_bytes(x)).collect()
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn write(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
