//! With the feature `header`: writes include/minionn.h from ffi/src. Without it, nothing.

#[cfg(feature = "header")]
#[path = "ffi/header.rs"]
mod header;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "header")]
    {
        for file in ["ffi/header.rs", "ffi/src", "include"] {
            println!("cargo::rerun-if-changed={file}");
        }
        let root = std::path::PathBuf::from(
            std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"),
        );
        header::write(&root, &root.join("include/minionn.h"));
    }
}
