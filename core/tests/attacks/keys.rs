//! Results under the client's public key: re-randomisation, and a key that the client chooses.

use super::common;
use super::parties::{find, frames, payload, serve};
use super::{Stripped, prepare_dishonestly};
use minionn_core::attack::Defence;
use minionn_core::lattice::encrypt::Mask;
use minionn_core::lattice::rescale::Basis;
use minionn_core::model::Model;
use minionn_core::plan::Op;
use minionn_core::plan::tile::Tile;
use minionn_core::ring::LIMBS;
use minionn_core::rng::Seed;
use minionn_core::session::Options;
use minionn_core::wire::{Tag, packed_len, unpack};

/// A layer of one neuron with four weights, opened at once.
const ROW: Op = Op::FullyConnected { ring: 20, weight_bits: 8, inputs: 4, outputs: 1 };
const WEIGHTS: usize = 4;

/// The client's `a` of its first ciphertext, as fractions of q in units of 2^-64.
fn mask_fractions(public: &Seed, tile: &Tile) -> Vec<u64> {
    let basis = Basis::new(tile.limbs());
    let mut fractions = vec![0_u64; tile.n()];
    for (index, limb) in LIMBS.iter().enumerate().take(tile.limbs()) {
        let mut a = vec![0; tile.n()];
        Mask::new(public, 0, index).fill(limb, &mut a).unwrap();
        limb.inverse(&mut a);
        basis.add(index, &a, &mut fractions).unwrap();
    }
    fractions
}

/// All rows of four 8-bit weights that explain the returned `c1` as `a·w`: by meeting in the middle
/// on one coefficient, then by looking at others.
fn rows_that_explain(a: &[u64], c1: &[u64], bits: u32) -> Vec<[i64; WEIGHTS]> {
    // c1[k] = Σ_j W_j · a[k − 3 + j]; from k = 3 on, nothing wraps around.
    let sum = |k: usize, w: &[i64; WEIGHTS]| {
        w.iter()
            .enumerate()
            .fold(0_u64, |s, (j, &w)| s.wrapping_add(a[k + j - 3].wrapping_mul(w as u64)))
    };
    let target = |k: usize| c1[k] << (64 - bits);
    let tolerance = 1_u64 << (64 - bits);
    let near = |x: u64, y: u64| x.wrapping_sub(y).wrapping_add(tolerance) <= 2 * tolerance;
    let pairs = || (-128..128).flat_map(|x| (-128..128).map(move |y| (x, y)));
    let mut halves: Vec<(u64, (i64, i64))> =
        pairs().map(|(x, y)| (sum(3, &[x, y, 0, 0]), (x, y))).collect();
    halves.sort_unstable();
    let mut rows = Vec::new();
    for (x, y) in pairs() {
        let need = target(3).wrapping_sub(sum(3, &[0, 0, x, y]));
        let first = halves.partition_point(|h| h.0 < need.wrapping_sub(tolerance));
        for (half, (v, w)) in halves[first..].iter().chain(&halves).take_while(|h| near(h.0, need))
        {
            let row = [*v, *w, x, y];
            debug_assert!(near(*half, need));
            if (4..20).all(|k| near(sum(k, &row), target(k))) && !rows.contains(&row) {
                rows.push(row);
            }
        }
    }
    rows
}

/// Plays the offline phase and lets the client look at what it got back: the weights, and all rows
/// that explain it. `change` changes what the client sends.
fn rows_seen_by_a_client(
    change: impl FnMut(u8, &mut Vec<u8>, [&[u8]; 2]),
) -> ([i64; WEIGHTS], Vec<[i64; WEIGHTS]>) {
    let net = common::model(WEIGHTS as u32, &[ROW, Op::Reveal { ring: 20, len: 1 }], 77);
    let model = Model::parse(&net).unwrap();
    let weights: Vec<i64> = model.layers().next().unwrap().weights().collect();
    let tile = Tile::choose(&ROW, 1).unwrap();
    assert_eq!((tile.n_o, tile.n_c), (1, WEIGHTS));
    let rows = serve(&net, Options::default(), |served| {
        served.parties(|p| {
            prepare_dishonestly(p, change).unwrap();
            let (up, down) = (frames(&p.up), frames(&p.down));
            let public = Seed(*payload(find(&up, Tag::Upload)).first_chunk().unwrap());
            let mut c1 = vec![0; tile.n()];
            let bytes = packed_len(tile.n() as u64, tile.c1_bits()) as usize;
            let packed = &payload(find(&down, Tag::Download))[..bytes];
            assert!(unpack(packed, tile.c1_bits(), &mut c1));
            rows_that_explain(&mask_fractions(&public, &tile), &c1, tile.c1_bits())
        })
    });
    (weights.try_into().unwrap(), rows)
}

/// What an honest client sends.
const HONEST: fn(u8, &mut Vec<u8>, [&[u8]; 2]) = |_, _, _| ();

/// All zeros as the public key: where the client chooses the uniform half as well, a fresh
/// encryption of zero is its noise alone.
const ZERO_KEY: fn(u8, &mut Vec<u8>, [&[u8]; 2]) = |tag, payload, _| {
    if tag == Tag::ClientKeys as u8 {
        payload.fill(0);
    }
};

#[test]
fn without_rerandomisation_the_client_reads_a_weight_row() {
    let _stripped = Stripped::of(&[Defence::Rerandomise]);
    let (weights, rows) = rows_seen_by_a_client(HONEST);
    println!("weights {weights:?}, candidates {rows:?}");
    assert_eq!(rows, [weights]);
}

#[test]
fn with_rerandomisation_no_row_explains_the_ciphertext() {
    let _all = Stripped::of(&[]);
    let (_, rows) = rows_seen_by_a_client(HONEST);
    assert_eq!(rows, [[0; WEIGHTS]; 0]);
}

#[test]
fn a_client_that_chooses_the_uniform_half_of_its_key_reads_a_weight_row() {
    let _stripped = Stripped::of(&[Defence::KeySeed]);
    let (weights, rows) = rows_seen_by_a_client(ZERO_KEY);
    println!("weights {weights:?}, candidates {rows:?}");
    assert_eq!(rows, [weights]);
}

#[test]
fn with_a_uniform_half_from_both_nonces_a_key_of_zeros_tells_no_row() {
    let _all = Stripped::of(&[]);
    let (_, rows) = rows_seen_by_a_client(ZERO_KEY);
    assert_eq!(rows, [[0; WEIGHTS]; 0]);
}
