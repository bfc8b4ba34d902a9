//! With the feature `header`: writes include/minionn.h from ffi/src. Without it, nothing.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "header")]
    header::write();
}

#[cfg(feature = "header")]
mod header {
    use std::path::PathBuf;

    pub(crate) fn write() {
        let root = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
        let out = std::env::var_os("MINIONN_HEADER").map_or_else(|| root.join("include/minionn.h"), PathBuf::from);
        println!("cargo::rerun-if-env-changed=MINIONN_HEADER");
        for file in ["ffi/src", "include/cbindgen.toml"] {
            println!("cargo::rerun-if-changed={file}");
        }
        let config = cbindgen::Config::from_file(root.join("include/cbindgen.toml")).expect("include/cbindgen.toml");
        // File by file, in reading order: a header for people, and nothing of other crates.
        let files = ["version", "status", "random", "options", "plan", "greeting", "session", "client", "model", "server"];
        let builder =
            files.iter().fold(cbindgen::Builder::new().with_config(config), |b, f| b.with_src(root.join(format!("ffi/src/{f}.rs"))));
        builder.generate().expect("ffi/src has what a header needs").write_to_file(out);
    }
}
