//! The uniform masks of results, against a client that uploads fractions of a step instead of
//! shares.

use super::common;
use super::parties::{CLIENT_SEED, find, frames, payload, serve};
use super::{Stripped, prepare_dishonestly, secrets, session_of};
use minionn_core::attack::Defence;
use minionn_core::lattice::encode::{Encoder, Plaintext};
use minionn_core::lattice::noise::{C0_EXTRA, C1_EXTRA, RESULT_EXTRA};
use minionn_core::lattice::rescale::{Basis, Fraction as _};
use minionn_core::lattice::{SecretKey, decrypt};
use minionn_core::model::Model;
use minionn_core::plan::Op;
use minionn_core::plan::tile::Tile;
use minionn_core::ring::LIMBS;
use minionn_core::rng::Seed;
use minionn_core::session::{MAX_STOCK, Options};
use minionn_core::wire::{Tag, pack, packed_len, unpack};

const RING: u32 = 16;
const WEIGHT_BITS: u32 = 8;
const INPUTS: usize = 4;
const OUTPUTS: usize = 256;
/// Each result tells this many bits of a weight.
const AT_ONCE: u32 = 2;
/// Predictions that tell all bits of one weight of every output.
const PARTS: usize = (WEIGHT_BITS / AT_ONCE) as usize;

const LAYER: Op = Op::FullyConnected {
    ring: RING as u8,
    weight_bits: WEIGHT_BITS as u8,
    inputs: INPUTS as u32,
    outputs: OUTPUTS as u32,
};

/// What the client uploads: in each prediction one input is a fraction of a step and the others are
/// 0. Its parts are `2^-2`, `2^-4`, … of a step, so a result, as a
/// fraction of a step, is the low 2, 4, … bits of a weight: the highest two of these are new.
fn upload(tile: &Tile, key: &SecretKey, payload: &mut [u8]) {
    let (n, bits) = (tile.n(), tile.level.upload_bits.unwrap());
    let (public, rest) = payload.split_first_chunk_mut().unwrap();
    let public = Seed(*public);
    let encoder = Encoder::new(Plaintext::Bits(RING + WEIGHT_BITS), tile.limbs());
    let basis = Basis::new(tile.limbs());
    let uploads = rest.chunks_exact_mut(packed_len(n as u64, bits) as usize);
    assert_eq!(uploads.len(), tile.up());
    for (number, packed) in uploads.enumerate() {
        let mut fractions = vec![0; n];
        for (prediction, element, at) in tile.inputs(number) {
            if element == prediction % INPUTS {
                let part = prediction / INPUTS % PARTS;
                fractions[at] = 1 << (AT_ONCE as usize * (PARTS - 1 - part));
            }
        }
        let (mut poly, mut encoded, mut sums) = (vec![0; n], vec![0; n], vec![0_u64; n]);
        for (index, limb) in LIMBS.iter().enumerate().take(tile.limbs()) {
            key.expand(limb, &mut poly).unwrap();
            // Without noise: it is the attacker's own secret.
            let noise = vec![0; n];
            SecretKey::mask_limb((index, limb), number as u64, &public, &noise, &mut poly).unwrap();
            encoder.encode_all(index, &fractions, &mut encoded).unwrap();
            poly.iter_mut().zip(&encoded).for_each(|(x, e)| *x += e);
            basis.add(index, &poly, &mut sums).unwrap();
        }
        let rounded: Vec<u64> = sums.into_iter().map(|sum| sum.round(bits)).collect();
        pack(&rounded, bits, packed).unwrap();
    }
}

/// The client's lattice key in the session in which these bytes went up and down.
fn client_key(up: &[u8], down: &[u8]) -> SecretKey {
    SecretKey::new(secrets(CLIENT_SEED, session_of(&frames(up), &frames(down))).derive(0))
}

/// All that the client decrypts, `[prediction][output]`: the results at full precision, in units of
/// `2^-(RESULT_EXTRA + C1_EXTRA)` of a step.
pub(super) fn decrypt(tile: &Tile, key: &SecretKey, mut payload: &[u8]) -> Vec<u64> {
    let (n, bits) = (tile.n(), tile.c1_bits());
    let limbs = decrypt::limbs(n, bits);
    let mut secrets = vec![vec![0; n]; limbs];
    for (limb, secret) in LIMBS.iter().zip(&mut secrets) {
        key.expand(limb, secret).unwrap();
    }
    let mut seen = vec![0; tile.stock * tile.outputs()];
    let mut poly = vec![0; n];
    for number in 0..tile.down() {
        let packed = payload.split_off(..packed_len(n as u64, bits) as usize).unwrap();
        let mut residues = vec![[0; 3]; n];
        for (index, secret) in secrets.iter().enumerate() {
            decrypt::load(index, packed, bits, &mut poly).unwrap();
            decrypt::multiply_by_secret(index, secret, &mut poly).unwrap();
            residues.iter_mut().zip(&poly).for_each(|(r, &x)| r[index] = x);
        }
        let mut c0 = vec![0; tile.result_count(number)];
        let bytes = packed_len(c0.len() as u64, tile.c0_bits()) as usize;
        assert!(unpack(payload.split_off(..bytes).unwrap(), tile.c0_bits(), &mut c0));
        for (c0, (prediction, output, at)) in c0.into_iter().zip(tile.results(number)) {
            let phase = c0 << (C1_EXTRA - C0_EXTRA);
            seen[prediction * tile.outputs() + output] =
                phase.wrapping_add(decrypt::lift(residues[at], limbs)) & ((1 << bits) - 1);
        }
    }
    assert!(payload.is_empty());
    seen
}

/// The weights as the client reads them, `[output][input]`: the low bits of each first.
fn weights_read(seen: &[u64]) -> Vec<i64> {
    let step = RESULT_EXTRA + C1_EXTRA;
    let unit = 1 << (step - AT_ONCE);
    let weight = |output: usize, input: usize| {
        let weight = (0..PARTS).fold(0_u64, |low, part| {
            let known = AT_ONCE * part as u32;
            let own = seen[(part * INPUTS + input) * OUTPUTS + output];
            // What is known stands below the new bits.
            let rest = own.wrapping_sub((low << (step - AT_ONCE)) >> known);
            let bits = (rest.wrapping_add(unit / 2) / unit) % (1 << AT_ONCE);
            low | bits << known
        });
        i64::from(weight as u8 as i8)
    };
    (0..OUTPUTS).flat_map(|o| (0..INPUTS).map(move |i| weight(o, i))).collect()
}

/// How far counts of `bits` bits of the values are from uniform: χ² less its mean, in standard
/// deviations.
pub(super) fn deviation(seen: &[u64], from: u32, bits: u32) -> f64 {
    let mut counts = vec![0_u32; 1 << bits];
    for value in seen {
        counts[(value >> from) as usize & ((1 << bits) - 1)] += 1;
    }
    let (mean, free) = (seen.len() as f64 / counts.len() as f64, (counts.len() - 1) as f64);
    let square = counts.iter().map(|&n| (f64::from(n) - mean).powi(2) / mean).sum::<f64>();
    (square - free) / (2.0 * free).sqrt()
}

/// What a client of fractional uploads sees of the largest stock: how many weights it reads, of how
/// many, and the deviations of the low and of the high bits of all that it decrypts.
fn attack() -> ([usize; 2], [f64; 2]) {
    let net = common::model(
        INPUTS as u32,
        &[LAYER, Op::Reveal { ring: RING as u8, len: OUTPUTS as u32 }],
        78,
    );
    let model = Model::parse(&net).unwrap();
    let weights: Vec<i64> = model.layers().next().unwrap().weights().collect();
    let tile = Tile::choose(&LAYER, MAX_STOCK as usize).unwrap();
    let seen = serve(&net, Options { stock: MAX_STOCK, ..Options::default() }, |served| {
        served.parties(|p| {
            prepare_dishonestly(p, |tag, payload, [up, down]| {
                if tag == Tag::Upload as u8 {
                    upload(&tile, &client_key(up, down), payload);
                }
            })
            .unwrap();
            let key = client_key(&p.up, &p.down);
            decrypt(&tile, &key, payload(find(&frames(&p.down), Tag::Download)))
        })
    });
    let found = weights_read(&seen).iter().zip(&weights).filter(|(a, b)| a == b).count();
    let half = tile.c1_bits() / 2;
    let deviations = [0, half].map(|from| deviation(&seen, from, half));
    println!("{found} of {} weights, {} results: {deviations:?}", weights.len(), seen.len());
    ([found, weights.len()], deviations)
}

#[test]
fn without_masks_below_a_step_fractional_uploads_read_every_weight() {
    let _stripped = Stripped::of(&[Defence::MaskBelowStep]);
    let ([found, all], [low, _]) = attack();
    assert_eq!((found, all), (all, INPUTS * OUTPUTS));
    // The test for uniformity sees it, too.
    assert!(low > 100.0);
}

#[test]
fn with_masks_over_the_whole_ring_fractional_uploads_read_nothing() {
    let _all = Stripped::of(&[]);
    let ([found, all], deviations) = attack();
    assert!(MAX_STOCK as usize * OUTPUTS >= 1 << 20);
    // By chance one in 2^8, within six standard deviations.
    assert!(found < all / 256 + 6 * (all as f64 / 256.0).sqrt() as usize, "{found}");
    assert!(deviations.iter().all(|d| d.abs() < 5.0));
}
