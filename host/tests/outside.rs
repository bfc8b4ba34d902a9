//! The front page's program in a crate of its own, which depends on this one alone: what a user
//! begins with.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::path::Path;
use std::process::Command;

/// The first program in the documentation of the crate.
fn front_page() -> String {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/lib.rs")).unwrap();
    let lines = text.lines().map_while(|line| line.strip_prefix("//!"));
    let program = lines.skip_while(|line| line.trim() != "```").skip(1);
    program.take_while(|line| line.trim() != "```").map(|line| format!("{line}\n")).collect()
}

#[test]
fn a_new_crate_predicts_with_the_program_of_the_front_page() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("outside");
    std::fs::create_dir_all(folder.join("src")).unwrap();
    // Unoptimised: it is compiled from nothing. Without the command, as a program wants it.
    let manifest = format!(
        "[package]\nname = \"outside\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[workspace]\n\n\
         [profile.dev]\ndebug = false\n\n[dependencies]\n\
         minionn-host = {{ path = {package:?}, default-features = false }}\n"
    );
    let program = front_page();
    assert!(program.contains("Client::connect(address)?") && program.contains("fn main()"));
    std::fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    std::fs::write(folder.join("src/main.rs"), &program).unwrap();
    // The same versions as here: there is no network.
    std::fs::copy(package.join("../Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    let output = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--offline", "--manifest-path"])
        .arg(folder.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(folder.join("target"))
        .env_remove("RUSTFLAGS")
        .current_dir(package)
        .output()
        .unwrap();
    let (said, printed) =
        (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success(), "{said}");
    assert!(!said.contains("warning"), "{said}");
    let model = minionn_host::Model::open(package.join("../models/digits_relu.minionn")).unwrap();
    let expected = model.predict_plain(&[0.5; 64]).unwrap();
    assert_eq!(printed.trim(), format!("class {}", expected.class));
}
