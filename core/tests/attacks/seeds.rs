//! A server whose seed comes again, from a copied machine or a source that fails.

use super::common;
use super::masks::{decrypt, deviation};
use super::parties::{CLIENT_SEED, Frame, SERVER_SEED, find, frames, payload, serve};
use super::{Stripped, prepare_dishonestly, secrets, session_of};
use minionn_core::attack::Defence;
use minionn_core::lattice::SecretKey;
use minionn_core::lattice::noise::{C1_EXTRA, RESULT_EXTRA};
use minionn_core::model::Model;
use minionn_core::plan::Op;
use minionn_core::plan::tile::Tile;
use minionn_core::ring::Modulus;
use minionn_core::rng::{Domain, Seed};
use minionn_core::session::Options;
use minionn_core::wire::{Tag, pack, packed_len, unpack};

const RING: u32 = 18;
const INPUTS: usize = 64;
const OUTPUTS: usize = 32;
/// Predictions in a stock: a few more than inputs, so that some of them are independent mod 2.
const STOCK: usize = INPUTS + 12;

const LAYER: Op = Op::FullyConnected {
    ring: RING as u8,
    weight_bits: 7,
    inputs: INPUTS as u32,
    outputs: OUTPUTS as u32,
};

/// What a client has of one Prepare: frames up and down, and what follows from them and its seed.
struct Seen {
    up: Vec<Frame>,
    down: Vec<Frame>,
    secrets: Seed,
    /// All that it decrypts, `[prediction][output]`.
    results: Vec<u64>,
}

/// One session for each of the clients' seeds, with a server that has one seed in all of them. What
/// parties draw depends on the session's name if seeds are `hedged`. Returns the weights,
/// `[output][input]`, too.
fn sessions<const N: usize>(
    hedged: bool,
    clients: [[u8; 32]; N],
    mut change: impl FnMut(usize, u8, &mut [u8], &Tile),
) -> (Vec<i64>, [Seen; N]) {
    let (ring, len) = (RING as u8, OUTPUTS as u32);
    let net = common::model(INPUTS as u32, &[LAYER, Op::Reveal { ring, len }], 79);
    let weights = Model::parse(&net).unwrap().layers().next().unwrap().weights().collect();
    let tile = Tile::choose(&LAYER, STOCK).unwrap();
    let options = Options { stock: STOCK as u32, ..Options::default() };
    let seen = serve(&net, options, |served| {
        core::array::from_fn(|session| {
            served.parties_of(clients[session], SERVER_SEED, |p| {
                prepare_dishonestly(p, |tag, payload, _| change(session, tag, payload, &tile))
                    .unwrap();
                let (up, down) = (frames(&p.up), frames(&p.down));
                let name = if hedged { session_of(&up, &down) } else { 0 };
                let secrets = secrets(clients[session], name);
                let key = SecretKey::new(secrets.derive(0));
                let results = decrypt(&tile, &key, payload(find(&down, Tag::Download)));
                Seen { up, down, secrets, results }
            })
        })
    });
    (weights, seen)
}

/// What the results of two Prepares differ by, in whole results: that of the inputs times the
/// weights, if the server's masks are the same.
fn difference(one: &Seen, two: &Seen) -> Vec<u64> {
    let half = RESULT_EXTRA + C1_EXTRA - 1;
    let results = one.results.iter().zip(&two.results);
    results
        .map(|(one, two)| one.wrapping_sub(*two).wrapping_add(1 << half) >> (half + 1))
        .map(|whole| Modulus::Bits(RING as u8).reduce(whole))
        .collect()
}

/// The unknowns of `rows`, each a row of coefficients and one right side for each output, mod
/// `2^64` and so mod any power of two, `[output][input]`; none if the coefficients have no full
/// rank.
fn eliminate(mut rows: Vec<Vec<u64>>) -> Option<Vec<i64>> {
    for column in 0..INPUTS {
        let pivot = (column..rows.len()).find(|&row| rows[row][column] % 2 == 1)?;
        rows.swap(column, pivot);
        // Newton's inverse of an odd number mod 2^64.
        let odd = rows[column][column];
        let inverse =
            (0..6).fold(1_u64, |x, _| x.wrapping_mul(2_u64.wrapping_sub(odd.wrapping_mul(x))));
        let pivot: Vec<u64> = rows[column].iter().map(|x| x.wrapping_mul(inverse)).collect();
        for (number, row) in rows.iter_mut().enumerate() {
            let factor = row[column];
            if number == column {
                row.clone_from(&pivot);
            } else if factor != 0 {
                row.iter_mut().zip(&pivot).for_each(|(x, p)| {
                    *x = x.wrapping_sub(factor.wrapping_mul(*p));
                });
            }
        }
    }
    let ring = Modulus::Bits(RING as u8);
    let weight =
        |output: usize, input: usize| ring.to_signed(ring.reduce(rows[input][INPUTS + output]));
    Some(
        (0..OUTPUTS)
            .flat_map(|o| (0..INPUTS).map(move |i| (o, i)))
            .map(|(o, i)| weight(o, i))
            .collect(),
    )
}

/// How many are the same.
fn hits(found: &[i64], weights: &[i64]) -> usize {
    assert_eq!((found.len(), weights.len()), (INPUTS * OUTPUTS, INPUTS * OUTPUTS));
    found.iter().zip(weights).filter(|(a, b)| a == b).count()
}

/// Two sessions of honest clients, each with a seed of its own, by which they know what they
/// encrypted. Returns how many weights follow, and the payloads of both sessions' server keys.
fn honest_clients(hedged: bool) -> (usize, [Vec<u8>; 2]) {
    let (weights, [one, two]) = sessions(hedged, [[11; 32], [12; 32]], |_, _, _, _| ());
    let [shares_one, shares_two] = [&one, &two].map(|seen| {
        let mut stream = seen.secrets.derive(5).derive(0).stream(Domain::Mask, 0);
        (0..STOCK * INPUTS).map(|_| stream.next_u64()).collect::<Vec<_>>()
    });
    let results = difference(&one, &two);
    let rows = (0..STOCK).map(|p| {
        let own = p * INPUTS..(p + 1) * INPUTS;
        let inputs = shares_one[own.clone()].iter().zip(&shares_two[own]);
        inputs
            .map(|(one, two)| one.wrapping_sub(*two))
            .chain(results[p * OUTPUTS..(p + 1) * OUTPUTS].iter().copied())
            .collect()
    });
    let found = eliminate(rows.collect()).unwrap();
    let keys = [one, two].map(|seen| payload(find(&seen.down, Tag::ServerKeys)).to_vec());
    (hits(&found, &weights), keys)
}

#[test]
fn without_hedged_seeds_honest_clients_of_a_repeated_seed_read_every_weight() {
    let _stripped = Stripped::of(&[Defence::Hedge]);
    let (found, [one, two]) = honest_clients(false);
    println!("{found} of {} weights", INPUTS * OUTPUTS);
    assert_eq!(found, INPUTS * OUTPUTS);
    // All other secrets come again as well.
    assert!(one == two);
}

#[test]
fn with_hedged_seeds_honest_clients_of_a_repeated_seed_read_nothing() {
    let _all = Stripped::of(&[]);
    let (found, [one, two]) = honest_clients(true);
    // By chance one in 2^18.
    assert!(found <= 2, "{found}");
    assert!(one[..32] != two[..32]);
    assert!(one[32..].iter().zip(&two[32..]).filter(|(a, b)| a == b).count() < one.len() / 100);
}

/// One client in two sessions. Its seed and so its nonce come again, too; in the second session its
/// share of one input of each prediction is 1 more.
struct SameNonce {
    found: usize,
    /// The halves `c1` of both answers, all of them.
    c1: [Vec<u64>; 2],
    /// What the results differ by, in the finest units.
    differences: Vec<u64>,
}

fn one_client_again(hedged: bool) -> SameNonce {
    let (weights, [one, two]) =
        sessions(hedged, [CLIENT_SEED; 2], |session, tag, payload, tile| {
            if session == 1 && tag == Tag::Upload as u8 {
                add_one(tile, &mut payload[32..]);
            }
        });
    assert_eq!(session_of(&one.up, &one.down), session_of(&two.up, &two.down));
    let ring = Modulus::Bits(RING as u8);
    // Prediction `i` tells column `i`.
    let columns: Vec<i64> = difference(&two, &one).into_iter().map(|x| ring.to_signed(x)).collect();
    let found: Vec<i64> = (0..OUTPUTS)
        .flat_map(|o| (0..INPUTS).map(move |i| i * OUTPUTS + o))
        .map(|at| columns[at])
        .collect();
    let tile = Tile::choose(&LAYER, STOCK).unwrap();
    let differences =
        one.results.iter().zip(&two.results).map(|(a, b)| b.wrapping_sub(*a)).collect();
    SameNonce {
        found: hits(&found, &weights),
        c1: [one, two].map(|seen| c1_of(&tile, payload(find(&seen.down, Tag::Download)))),
        differences,
    }
}

/// Adds one whole step to one input of each prediction, on the rounded numbers as they travel.
fn add_one(tile: &Tile, uploads: &mut [u8]) {
    let (n, bits) = (tile.n(), tile.level.upload_bits.unwrap());
    let uploads = uploads.chunks_exact_mut(packed_len(n as u64, bits) as usize);
    for (number, packed) in uploads.enumerate() {
        let mut values = vec![0; n];
        assert!(unpack(packed, bits, &mut values));
        for (prediction, element, at) in tile.inputs(number) {
            if element == prediction % INPUTS {
                values[at] = (values[at] + (1 << (bits - RING))) & ((1 << bits) - 1);
            }
        }
        pack(&values, bits, packed).unwrap();
    }
}

/// The halves `c1` of all answers.
fn c1_of(tile: &Tile, mut answers: &[u8]) -> Vec<u64> {
    let mut all = vec![];
    for number in 0..tile.down() {
        let mut c1 = vec![0; tile.n()];
        let bytes = packed_len(tile.n() as u64, tile.c1_bits()) as usize;
        assert!(unpack(answers.split_off(..bytes).unwrap(), tile.c1_bits(), &mut c1));
        let results = tile.result_count(number) as u64;
        answers.split_off(..packed_len(results, tile.c0_bits()) as usize).unwrap();
        all.extend(c1);
    }
    all
}

#[test]
fn without_the_upload_in_a_servers_seed_one_nonce_twice_reads_every_weight() {
    let _stripped = Stripped::of(&[Defence::Hedge]);
    let SameNonce { found, c1: [one, two], .. } = one_client_again(false);
    println!("{found} of {} weights", INPUTS * OUTPUTS);
    assert_eq!(found, INPUTS * OUTPUTS);
    // What hides the weights in c1 is the same, too.
    assert!(one == two);
}

#[test]
fn with_the_upload_in_a_servers_seed_one_nonce_twice_reads_nothing() {
    let _all = Stripped::of(&[]);
    let SameNonce { found, c1: [one, two], differences } = one_client_again(true);
    assert!(found <= 2, "{found}");
    let same = one.iter().zip(&two).filter(|(a, b)| a == b).count();
    assert!(same <= 2, "{same} of {}", one.len());
    // All bits of the results, seven at a time.
    let bits = RING + RESULT_EXTRA + C1_EXTRA;
    for from in (0..bits).step_by(7).map(|from| from.min(bits - 7)) {
        let deviation = deviation(&differences, from, 7);
        assert!(deviation.abs() < 5.0, "{deviation} from bit {from}");
    }
}
