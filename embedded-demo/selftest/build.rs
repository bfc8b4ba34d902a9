//! Writes the tiny plan and model that the firmware carries in flash.

use minionn_core::model::Model;
use minionn_core::plan::{self, Op, Plan};
use std::path::{Path, PathBuf};
use std::{env, fs};

#[path = "src/tiny.rs"]
mod tiny;

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let plan = plan_bytes(&tiny::OPS);
    write(&out.join("tiny.plan"), &plan);
    write(&out.join("tiny.model"), &model_bytes(&plan));
    let mut ops = tiny::OPS;
    ops[tiny::OPS.len() - 1] = Op::Argmax { ring: 20, len: tiny::OUTPUTS as u32 };
    write(&out.join("largest.model"), &model_bytes(&plan_bytes(&ops)));
    for input in ["build.rs", "src/tiny.rs"] {
        println!("cargo::rerun-if-changed={input}");
    }
}

fn plan_bytes(ops: &[Op]) -> Vec<u8> {
    let mut bytes = vec![0; plan::MAX_BYTES];
    let len = Plan::write(&tiny::header(), ops, &mut bytes).expect("the tiny plan is valid");
    bytes.truncate(len);
    bytes
}

fn model_bytes(plan: &[u8]) -> Vec<u8> {
    let parsed = Plan::parse(plan).expect("the tiny plan is valid");
    let mut bytes = vec![0; Model::len_bytes(&parsed)];
    Model::write(plan, tiny::weight, tiny::bias, &mut bytes).expect("the tiny model is valid");
    bytes
}

fn write(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
