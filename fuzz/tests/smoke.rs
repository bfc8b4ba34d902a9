//! Every target on a few hundred pseudo-random inputs: what stable toolchains and CI run.

#[path = "../../tests/common/seed.rs"]
mod seed;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

/// The same inputs in every run.
struct Mutator(ChaCha8Rng);

impl Mutator {
    fn next(&mut self) -> u64 {
        self.0.next_u64()
    }
    fn below(&mut self, n: usize) -> usize {
        self.next() as usize % n
    }
}

/// Runs a target on its seeds, on mutants of them, and on noise.
fn smoke(name: &str, target: fn(&[u8]), mutants: usize) {
    let seeds = minionn_fuzz::seeds(name);
    let mut g = Mutator(ChaCha8Rng::seed_from_u64(seed::seed(7)));
    target(&[]);
    seeds.iter().for_each(|seed| target(seed));
    for _ in 0..mutants {
        let mut data = seeds[g.below(seeds.len())].clone();
        for _ in 0..1 + g.below(5) {
            let at = g.below(data.len());
            match g.below(6) {
                0 => data.truncate(at.max(1)),
                1 => data.extend((0..g.below(100)).map(|i| i as u8)),
                2 => data[at] ^= 1 << g.below(8),
                _ => data[at] = g.next() as u8,
            }
        }
        target(&data);
        let noise: Vec<u8> = (0..g.below(200)).map(|_| g.next() as u8).collect();
        target(&noise);
    }
}

#[test]
fn plan() {
    smoke("plan", minionn_fuzz::plan, 3000);
}

#[test]
fn model() {
    smoke("model", minionn_fuzz::model, 2000);
}

#[test]
fn greeting() {
    smoke("greeting", minionn_fuzz::greeting, 3000);
}

#[test]
fn pairing() {
    smoke("pairing", minionn_fuzz::pairing, 300);
}

#[test]
fn client() {
    smoke("client", minionn_fuzz::client, 150);
}

#[test]
fn server() {
    smoke("server", minionn_fuzz::server, 150);
}
