//! `cargo bench --package minionn-host --bench lattice`: the lattice side,
//! see `minionn_host::bench::primitives`.

use core::time::Duration;
use minionn_core::model::Model;
use minionn_host::bench::primitives::lattice::{
    Bits, Encryption, Path, Products, Results, Transform, UPLOAD_BITS,
};
use minionn_host::bench::primitives::{layers, seconds};

const BUDGET: Duration = Duration::from_millis(100);

fn show(name: &str, seconds: f64) {
    println!("{name:52} {:>10.2} µs", seconds * 1e6);
}

/// The fastest path, and how many times faster it is than the portable one.
fn compare(name: &str, mut body: impl FnMut(Path)) {
    let [fast, portable] =
        [Path::Fastest, Path::Portable].map(|path| seconds(BUDGET, || body(path)));
    println!(
        "{name:52} {:>10.2} µs   portable {:>8.2} µs, {:.1} times",
        fast * 1e6,
        portable * 1e6,
        portable / fast
    );
}

fn rate(name: &str, bytes: usize, body: impl FnMut()) {
    let seconds = seconds(BUDGET, body);
    println!("{name:52} {:>10.2} µs   {:.2} GB/s", seconds * 1e6, bytes as f64 / seconds / 1e9);
}

fn main() -> anyhow::Result<()> {
    let mut transform = Transform::default();
    compare("NTT, one limb", |path| transform.forward(path));
    compare("inverse NTT, one limb", |path| transform.inverse(path));
    for ciphertexts in [1, 3, 10] {
        let mut products = Products::new(ciphertexts);
        compare(&format!("multiply-accumulate {ciphertexts} ciphertexts"), |path| {
            products.run(path)
        });
    }
    let mut encryption = Encryption::default();
    show("encrypt", seconds(BUDGET, || encryption.encrypt()));
    show("decrypt, many results", seconds(BUDGET, || encryption.decrypt_many()));
    show("decrypt, 16 results", seconds(BUDGET, || encryption.decrypt_few(16)));
    let mut results = Results::default();
    for count in [16, 1024] {
        show(
            &format!("re-randomise, rescale {count} results"),
            seconds(BUDGET, || results.finish(count)),
        );
    }
    for width in [UPLOAD_BITS, 33] {
        let mut bits = Bits::new(width);
        rate(&format!("pack a polynomial of {width} bits"), bits.len_bytes(), || bits.pack());
        rate(&format!("unpack a polynomial of {width} bits"), bits.len_bytes(), || bits.unpack());
    }
    for (name, op) in layers::published() {
        let bytes = layers::model(op)?;
        show(&format!("{name}, offline, both parties"), layers::offline(&bytes, 8)?);
        let mut online = layers::Online::new(&Model::parse(&bytes)?)?;
        show(&format!("{name}, W·x"), seconds(BUDGET, || online.run()));
    }
    Ok(())
}
