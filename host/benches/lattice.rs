//! `cargo bench --package minionn-host --no-default-features --bench lattice`: the lattice side, operation by operation.

use minionn_host::bench::primitives::{lattice, layers};

fn main() -> anyhow::Result<()> {
    for line in lattice::all() {
        println!("{line}");
    }
    for (name, op) in layers::published() {
        for line in layers::layer(name, op, 8)? {
            println!("{line}");
        }
    }
    Ok(())
}
