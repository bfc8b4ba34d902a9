//! Puts the board's `memory.x` where the linker looks, with symbols for where its regions begin.

use std::path::PathBuf;
use std::{env, fs};

const BOARDS: [&str; 5] = ["mps2-an386", "netduinoplus2", "stm32f407", "stm32f429", "nrf52840"];

/// Only their addresses mean something: see `src/memory.rs`.
const SYMBOLS: &str = "_ram_start = ORIGIN(RAM);\n_flash_start = ORIGIN(FLASH);\n";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=memory");
    let chosen = |board: &&&str| {
        env::var_os(format!("CARGO_FEATURE_{}", board.to_uppercase().replace('-', "_"))).is_some()
    };
    let Some(board) = BOARDS.iter().find(chosen) else { return };
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let mut memory =
        fs::read_to_string(format!("memory/{board}.x")).expect("every board has a memory layout");
    for (feature, length) in [("RAM_256K", "256K"), ("RAM_512K", "512K")] {
        if env::var_os(format!("CARGO_FEATURE_{feature}")).is_some() {
            memory = memory.replace("LENGTH = 128K", &format!("LENGTH = {length}"));
        }
    }
    fs::write(out.join("memory.x"), memory + SYMBOLS).expect("OUT_DIR can be written");
    println!("cargo::rustc-link-search={}", out.display());
}
