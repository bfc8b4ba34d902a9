//! How include/minionn.h is made: for the build script and for the test that compares.

use std::path::Path;

/// Files of ffi/src in reading order: a header for people, and nothing of other crates.
const FILES: &[&str] = &[
    "library", "status", "random", "options", "plan", "greeting", "pairing", "executor", "io",
    "session", "client", "model", "server",
];

/// Writes the header. Leaves `out` alone if it is the same already.
pub(crate) fn write(root: &Path, out: &Path) {
    let config = cbindgen::Config::from_file(root.join("include/cbindgen.toml"))
        .expect("include/cbindgen.toml is a configuration");
    let file = |name: &&str| root.join("ffi/src").join(name).with_extension("rs");
    let builder = FILES
        .iter()
        .map(file)
        .fold(cbindgen::Builder::new().with_config(config), cbindgen::Builder::with_src);
    builder.generate().expect("ffi/src has what a header needs").write_to_file(out);
}
