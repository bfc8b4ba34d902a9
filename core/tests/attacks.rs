//! What each defence is for: with the defence stripped the attack succeeds, with it on the attack
//! fails.
//!
//! `cargo test --package minionn-core --features attack --test attacks`
#![cfg(feature = "attack")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may panic")]

mod common;
#[path = "common/parties.rs"]
mod parties;

use common::Lcg;
use minionn_core::attack::{Defence, strip};
use minionn_core::backend::limb::multiply_add;
use minionn_core::block::Block;
use minionn_core::compare::{DReluTruncate, OtActivation};
use minionn_core::cost;
use minionn_core::garble::{
    EvaluateBuffers, Evaluator, Function, GarbleBuffers, Garbler, Neuron, totals,
};
use minionn_core::hash::Tmmo;
use minionn_core::lattice::encode::{Encoder, Plaintext};
use minionn_core::lattice::encrypt::Mask;
use minionn_core::lattice::evaluate::{CiphertextRandomness, add_zero};
use minionn_core::lattice::noise::modulus;
use minionn_core::lattice::rescale::Basis;
use minionn_core::lattice::{PublicKey, SecretKey, encrypt};
use minionn_core::model::Model;
use minionn_core::ot::{Leaves, Receiver};
use minionn_core::params::N;
use minionn_core::plan::circuit::NonlinearCost;
use minionn_core::plan::tile::Tile;
use minionn_core::plan::{Node, Op, Parity, PiecewiseLinear};
use minionn_core::ring::{LIMBS, Modulus};
use minionn_core::rng::{Domain, Prg, Seed};
use minionn_core::session::engine::Status;
use minionn_core::session::{Activations, Options, Tables};
use minionn_core::wire::{OVERHEAD, Reader, Tag, unpack};
use minionn_core::{Error, Result};
use parties::{
    CLIENT_SEED, Frame, feed_server, find, frame, frames, pair, payload, serve, serve_with,
};
use sha2::{Digest as _, Sha256};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Takes defences away until dropped. Switches are global to the process, so tests take turns.
struct Stripped(#[expect(dead_code, reason = "held, not read")] MutexGuard<'static, ()>);

impl Stripped {
    fn of(defences: &[Defence]) -> Self {
        static TURN: Mutex<()> = Mutex::new(());
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        strip(defences);
        Self(turn)
    }
}

impl Drop for Stripped {
    fn drop(&mut self) {
        strip(&[]);
    }
}

/// A layer of one neuron with four weights, opened at once.
const ROW: Op = Op::FullyConnected { ring: 20, weight_bits: 8, inputs: 4, outputs: 1 };
const WEIGHTS: usize = 4;

// --- Re-randomisation
// -------------------------------------------------------------------------------------------------

/// The client's `a`, as fractions of q in units of 2^-64.
fn mask_fractions(public: &Seed, limbs: usize) -> Vec<u64> {
    let basis = Basis::new(limbs);
    let mut fractions = vec![0_u64; N];
    for (index, limb) in LIMBS.iter().enumerate().take(limbs) {
        let mut a = vec![0; N];
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

/// Plays the offline phase and lets the client look at what it got back.
fn rows_seen_by_a_client() -> ([i64; WEIGHTS], Vec<[i64; WEIGHTS]>) {
    let net = common::model(WEIGHTS as u32, &[ROW, Op::Reveal { ring: 20, len: 1 }], 77);
    let model = Model::parse(&net).unwrap();
    let weights: Vec<i64> = model.layers().next().unwrap().weights().collect();
    let tile = Tile::choose(&ROW, 1).unwrap();
    assert_eq!((tile.n_o, tile.n_c), (1, WEIGHTS));
    let rows = serve(&net, Options::default(), |served| {
        served.parties(|p| {
            p.prepare();
            let (up, down) = (frames(&p.up), frames(&p.down));
            let public = Seed(*payload(find(&up, Tag::Upload)).first_chunk().unwrap());
            let mut c1 = vec![0; N];
            let packed = &payload(find(&down, Tag::Download))[..N * tile.c1_bits() as usize / 8];
            assert!(unpack(packed, tile.c1_bits(), &mut c1));
            rows_that_explain(&mask_fractions(&public, tile.level.limbs), &c1, tile.c1_bits())
        })
    });
    (weights.try_into().unwrap(), rows)
}

#[test]
fn without_rerandomisation_the_client_reads_a_weight_row() {
    let _stripped = Stripped::of(&[Defence::Rerandomise]);
    let (weights, rows) = rows_seen_by_a_client();
    println!("weights {weights:?}, candidates {rows:?}");
    assert_eq!(rows, [weights]);
}

#[test]
fn with_rerandomisation_no_row_explains_the_ciphertext() {
    let _all = Stripped::of(&[]);
    let (_, rows) = rows_seen_by_a_client();
    assert_eq!(rows, [[0; WEIGHTS]; 0]);
}

// --- Flooding
// -------------------------------------------------------------------------------------------------

/// What a client knows of one result: its own noise in the four inputs, and the noise that
/// decryption shows.
struct Observation {
    own: [f64; WEIGHTS],
    seen: f64,
}

/// Signed reading of residues modulo the first three limbs.
fn lift(residues: [i32; 3]) -> i128 {
    let q = modulus(3) as i128;
    let sum = residues.iter().zip(&LIMBS).fold(0, |sum, (&r, limb)| {
        let (own, others) = (i128::from(limb.q), q / i128::from(limb.q));
        let mut inverse = 1; // others^(own − 2) mod own
        let (mut base, mut exponent) = (others % own, own - 2);
        while exponent > 0 {
            if exponent & 1 == 1 {
                inverse = inverse * base % own;
            }
            base = base * base % own;
            exponent >>= 1;
        }
        (sum + (i128::from(r) * inverse).rem_euclid(own) * others) % q
    });
    if sum > q / 2 { sum - q } else { sum }
}

/// Triplets for 1024 predictions in one ciphertext, `ciphertexts` times, as seen by a client that
/// keeps full precision.
fn observe(weights: &[i64; WEIGHTS], ciphertexts: u64) -> Vec<Observation> {
    let tile = Tile::choose(&ROW, N / WEIGHTS).unwrap();
    assert_eq!((tile.n_b, tile.n_o, tile.n_c, tile.level.limbs), (N / WEIGHTS, 1, WEIGHTS, 3));
    let (ring, q) = (u32::from(tile.ring), modulus(3) as i128);
    let encoder = Encoder::new(Plaintext::Bits(ring), 3);
    let key = SecretKey::new(Seed([3; 32]));
    let (key_public, key_noise) = (Seed([4; 32]), Seed([5; 32]));
    let (public, noise, server) = (Seed([6; 32]), Seed([7; 32]), Seed([8; 32]));
    let mut shares = Lcg(9);

    let mut of_key = vec![0; N];
    encrypt::noise(&key_noise, 0, &mut of_key).unwrap();
    let mut secrets = vec![vec![0; N]; 3];
    let mut b = vec![0; 4 * N];
    let mut products = vec![vec![0; N]; 3];
    for (index, limb) in LIMBS.iter().enumerate().take(3) {
        key.expand(limb, &mut secrets[index]).unwrap();
        SecretKey::encrypt_limb(
            index,
            0,
            &key_public,
            &of_key,
            &secrets[index],
            &mut b[index * N..(index + 1) * N],
        )
        .unwrap();
        for (j, at) in tile.weights(0, 0) {
            products[index][at] = limb.to_montgomery(weights[j] as i32);
        }
        limb.forward(&mut products[index]);
    }
    let public_key = PublicKey { seed: key_public, b: &b };
    let places: Vec<usize> = tile.results(0).map(|(_, _, at)| at).collect();

    let mut observations = Vec::new();
    for number in 0..ciphertexts {
        let r: Vec<u64> = (0..N).map(|_| shares.below(1 << ring)).collect();
        let u: Vec<u64> = (0..tile.n_b).map(|_| shares.below(1 << ring)).collect();
        let mut phases = vec![[0; 3]; tile.n_b];
        let mut errors = vec![0; N];
        encrypt::noise(&noise, number, &mut errors).unwrap();
        for (index, limb) in LIMBS.iter().enumerate().take(3) {
            // Client.
            let mut upload: Vec<i32> =
                r.iter().map(|&m| encoder.encode(index, m).unwrap()).collect();
            SecretKey::encrypt_limb(index, number, &public, &errors, &secrets[index], &mut upload)
                .unwrap();
            // Server.
            let fresh = CiphertextRandomness { seed: &server, number, flood: tile.level.flood };
            let (mut c0, mut c1, mut ephemeral) = (vec![0; N], vec![0; N], vec![0; N]);
            multiply_add(limb, &upload, &products[index], &mut c0);
            c1.copy_from_slice(&products[index]);
            Mask::new(&public, number, index).multiply(limb, &mut c1).unwrap();
            fresh.ephemeral(limb, &mut ephemeral).unwrap();
            add_zero(index, &public_key, &ephemeral, &mut c0, &mut c1).unwrap();
            limb.inverse(&mut c0);
            limb.inverse(&mut c1);
            let mut out0 = Vec::new();
            let masks: Vec<[u64; 1]> = u.iter().map(|u| [u.wrapping_neg()]).collect();
            let results = places.iter().copied().zip(masks.iter().map(|u| u.as_slice()));
            let keep = |x: &[i32]| {
                out0.extend_from_slice(x);
                Ok(())
            };
            fresh.finish_c0(index, &encoder, &c0, results, keep).unwrap();
            fresh.add_noise_to_c1(&mut c1).unwrap();
            // Client: c0 + c1·s.
            limb.forward(&mut c1);
            for (x, &s) in c1.iter_mut().zip(&secrets[index]) {
                *x = limb.mul(*x, s);
            }
            limb.inverse(&mut c1);
            for (b, (phase, &c0)) in phases.iter_mut().zip(&out0).enumerate() {
                phase[index] = limb.reduce(c0 + c1[places[b]]);
            }
        }
        for (b, phase) in phases.iter().enumerate() {
            let own = core::array::from_fn(|j| f64::from(errors[b * WEIGHTS + j]));
            let phase = lift(*phase);
            let v = ((phase << ring) + q / 2).div_euclid(q);
            let exact = (0..WEIGHTS).fold(u[b], |v, j| {
                v.wrapping_add(r[b * WEIGHTS + j].wrapping_mul(weights[j] as u64))
            });
            assert_eq!(
                v.rem_euclid(1 << ring) as u64,
                exact % (1 << ring),
                "decrypts, flooded or not"
            );
            observations.push(Observation { own, seen: (phase - ((q * v) >> ring)) as f64 });
        }
    }
    observations
}

/// The weights by least squares: normal equations, Gauss.
#[expect(clippy::needless_range_loop, reason = "matrices read best by index")]
fn fit(observations: &[Observation]) -> [f64; WEIGHTS] {
    let mut m = [[0.0; WEIGHTS + 1]; WEIGHTS];
    for o in observations {
        for i in 0..WEIGHTS {
            for j in 0..WEIGHTS {
                m[i][j] += o.own[i] * o.own[j];
            }
            m[i][WEIGHTS] += o.own[i] * o.seen;
        }
    }
    for i in 0..WEIGHTS {
        for j in 0..WEIGHTS {
            if j != i {
                let factor = m[j][i] / m[i][i];
                for k in 0..=WEIGHTS {
                    m[j][k] -= factor * m[i][k];
                }
            }
        }
    }
    core::array::from_fn(|i| m[i][WEIGHTS] / m[i][i])
}

const SECRET_ROW: [i64; WEIGHTS] = [93, -128, 7, -41];
/// 512 ciphertexts of 1024 results: the fresh noise (σ ≈ 240) against σ = 3.24·√524288 of the
/// client's own.
const CIPHERTEXTS: u64 = 512;

#[test]
fn without_flooding_the_decryption_noise_tells_the_weights() {
    let _stripped = Stripped::of(&[Defence::Flood]);
    let fitted = fit(&observe(&SECRET_ROW, CIPHERTEXTS));
    println!("weights {SECRET_ROW:?}, fitted {fitted:?}");
    assert_eq!(fitted.map(|w| w.round() as i64), SECRET_ROW);
}

#[test]
fn with_flooding_the_decryption_noise_tells_nothing() {
    let _all = Stripped::of(&[]);
    let fitted = fit(&observe(&SECRET_ROW, CIPHERTEXTS));
    println!("weights {SECRET_ROW:?}, fitted {fitted:?}");
    // The estimates miss by about 2^flood / (σ·√samples) ≈ 2^45; the whole range of a weight is
    // 2^8.
    assert!(fitted.iter().all(|w| w.abs() > f64::from(1 << 20)), "{fitted:?}");
}

// --- Hidden activations
// -------------------------------------------------------------------------------------------------

/// Whether `count` of `of` fair coins is within 6 standard deviations.
fn fair(count: usize, of: usize) -> bool {
    let (count, of) = (count as f64, of as f64);
    (count - of / 2.0).abs() < 3.0 * of.sqrt()
}

#[test]
fn colours_hide_an_activation_and_permute_bits_open_it() {
    let relu = Neuron {
        function: Function::Relu,
        modulus_in: Modulus::Bits(16),
        modulus_out: Modulus::Bits(12),
        shift: 4,
    };
    let (ring_in, ring_out) = (relu.modulus_in, relu.modulus_out);
    let shape = totals(&relu);
    let (y, y_client, r) = (5000_u64, 0xbeef_u64, 0x5a5_u64);
    let y_server = ring_in.sub(y, y_client);
    const RUNS: usize = 600;
    let mut ones = [0; 12];
    let mut prg = Seed([11; 32]).stream(Domain::Label, 0);
    let block = |prg: &mut Prg| -> Block { prg.next_u128() };
    for run in 0..RUNS as u64 {
        let (session, secret, delta) =
            (Tmmo::new(block(&mut prg)), Tmmo::new(block(&mut prg)), block(&mut prg) | 1);
        let zero: Vec<Block> = (0..shape.client_inputs).map(|_| block(&mut prg)).collect();
        let garbler = Garbler::new(&session, &secret, delta, run);
        let (mut tables, mut decode) = (vec![0; shape.ands as usize * 32], [0]);
        let buffers =
            GarbleBuffers { client_zero: &zero, tables: &mut tables, decode: &mut decode };
        garbler.garble_neurons::<_, 1>(&relu, 0..1, buffers).unwrap();
        let mut server_labels = vec![0; 16];
        garbler.active_labels(0, 0, y_server, &mut server_labels).unwrap();
        let choices = y_client | r << 16;
        let client_labels: Vec<Block> = zero
            .iter()
            .enumerate()
            .map(|(i, &z)| if choices >> i & 1 == 1 { z ^ delta } else { z })
            .collect();
        let mut colours = [0];
        let evaluator = Evaluator::new(&session, run);
        let buffers = EvaluateBuffers {
            tables: &tables,
            server_labels: &server_labels,
            client_labels: &client_labels,
            colours: &mut colours,
        };
        evaluator.evaluate_neurons::<_, 1>(&relu, 0..1, buffers).unwrap();
        for (i, ones) in ones.iter_mut().enumerate() {
            *ones += (colours[0] >> i & 1) as usize;
        }
        // The defence stripped: a client that is also sent the permute bits opens the activation.
        assert_eq!(ring_out.add(colours[0] ^ decode[0], r), y >> 4);
    }
    println!("ones of {RUNS}: {ones:?}");
    assert!(ones.iter().all(|&n| fair(n, RUNS)), "{ones:?}");
}

/// 6-4-2: a hidden layer of four neurons.
fn small_net() -> Vec<u8> {
    common::model(
        6,
        &[
            Op::FullyConnected { ring: 18, weight_bits: 7, inputs: 6, outputs: 4 },
            Op::Activation {
                function: Function::Relu,
                ring_in: 18,
                ring_out: 14,
                shift: 6,
                len: 4,
            },
            Op::FullyConnected { ring: 14, weight_bits: 4, inputs: 4, outputs: 2 },
            Op::Reveal { ring: 14, len: 2 },
        ],
        5,
    )
}

/// An input and its hidden activations.
fn hidden_of(model: &Model<'_>, seed: u64) -> (Vec<i64>, [u64; 4]) {
    let (x, ring) = (common::input(6, seed), Modulus::Bits(18));
    let mut hidden = [0; 4];
    model
        .layers()
        .next()
        .unwrap()
        .apply(&x.iter().map(|&x| ring.reduce_signed(x)).collect::<Vec<_>>(), &mut hidden)
        .unwrap();
    (x, hidden.map(|y| (ring.to_signed(y).max(0) >> 6) as u64))
}

#[test]
fn hidden_layers_send_the_client_labels_and_nothing_else() {
    let _all = Stripped::of(&[]);
    let net = small_net();
    let model = Model::parse(&net).unwrap();
    let plan = *model.plan();
    let ops: Vec<Op> = plan.ops().collect();
    const STOCK: u32 = 256;
    for tables in [Tables::Stored, Tables::Streamed] {
        let options = Options { stock: STOCK, tables, ..Options::default() };
        let (x, hidden) = (0..)
            .map(|seed| hidden_of(&model, seed))
            .find(|(_, hidden)| hidden.iter().filter(|&&y| y > 0).count() > 1)
            .unwrap();
        let (up, down) = serve(&net, options, |served| {
            served.parties(|p| {
                p.prepare();
                for _ in 0..STOCK {
                    assert_eq!(p.predict(&x), common::expected(&model, &x));
                }
                (frames(&p.up), frames(&p.down))
            })
        });

        // By tag and length, every frame to the client is one of the plan's.
        let labels = NonlinearCost::of(&ops[1]).server_labels * 16;
        let streamed =
            if tables == Tables::Streamed { NonlinearCost::of(&ops[1]).table_bytes() } else { 0 };
        let online: Vec<(u8, u64)> = down
            .iter()
            .rev()
            .take(2 * STOCK as usize)
            .rev()
            .map(|f| (f[0], payload(f).len() as u64))
            .collect();
        for pair in online.chunks(2) {
            assert_eq!(
                pair,
                [
                    (Tag::Labels as u8, labels + streamed),
                    (Tag::Output as u8, 2 * 14_u64.div_ceil(8))
                ]
            );
        }
        let offline: Vec<u8> = down.iter().map(|f| f[0]).take(down.len() - online.len()).collect();
        let mut due = vec![
            Tag::Welcome as u8,
            Tag::ServerKeys as u8,
            Tag::Ready as u8,
            Tag::Download as u8,
            Tag::Download as u8,
        ];
        if tables == Tables::Stored {
            due.push(Tag::Tables as u8);
            let bytes = payload(find(&down, Tag::Tables)).len() as u64;
            assert_eq!(
                bytes,
                cost::store_bytes(&plan, &options),
                "tables of AND gates, no permute bits"
            );
            assert_eq!(bytes, NonlinearCost::of(&ops[1]).table_bytes() * u64::from(STOCK));
        }
        assert_eq!(offline, due);

        // The client knows its mask r of the activation, so the output bits of the circuit are
        // those of f(y) − r. Neither the colours nor any label that came with them agree
        // with these bits more often than a coin.
        let (ring, ring_out) = (Modulus::Bits(18), Modulus::Bits(14));
        let mut inputs = masked_inputs(&up.concat()).into_iter();
        let mut masks = Seed(CLIENT_SEED).derive(5).derive(0).stream(Domain::Mask, 0);
        let mut agree = vec![[0; 1 + 18]; 4 * 14];
        let (colours, labels): (Vec<_>, Vec<_>) = (
            up.iter().filter(|f| f[0] == Tag::Colours as u8).collect(),
            down.iter().filter(|f| f[0] == Tag::Labels as u8).map(|f| payload(f)).collect(),
        );
        assert_eq!((colours.len(), labels.len()), (STOCK as usize, STOCK as usize));
        for (colours, labels) in colours.iter().zip(labels) {
            // That these are the client's masks, its masked input shows.
            let masked: Vec<u64> = x
                .iter()
                .map(|&x| ring.sub(ring.reduce_signed(x), ring.reduce(masks.next_u64())))
                .collect();
            assert_eq!(inputs.next(), Some(masked));
            let mut words = [0; 4];
            assert!(unpack(payload(colours), 14, &mut words));
            for (neuron, &word) in words.iter().enumerate() {
                let output = ring_out
                    .sub(ring_out.reduce(hidden[neuron]), ring_out.reduce(masks.next_u64()));
                let record = labels.len() / 4;
                let own = &labels[neuron * record..(neuron + 1) * record];
                let own = &own[own.len() - 18 * 16..];
                for bit in 0..14 {
                    let unknown = (output ^ word) >> bit & 1;
                    let seen = core::iter::once(0)
                        .chain(own.chunks(16).map(|label| u64::from(label[0] & 1)));
                    for (count, seen) in agree[neuron * 14 + bit].iter_mut().zip(seen) {
                        *count += usize::from(unknown == seen);
                    }
                }
            }
        }
        let worst = agree.iter().flatten().map(|&n| n.abs_diff(STOCK as usize / 2)).max().unwrap();
        println!(
            "{tables:?}: {} counts of agreement, at most {worst} from {}",
            19 * agree.len(),
            STOCK / 2
        );
        assert!(agree.iter().flatten().all(|&n| fair(n, STOCK as usize)));
    }
}

// --- Products
// -------------------------------------------------------------------------------------------------

const FACTORS: usize = 4;

/// The product of two hidden tensors, the second cut off less.
fn product_net() -> Vec<u8> {
    let activation = |shift| Op::Activation {
        function: Function::Identity,
        ring_in: 18,
        ring_out: 14,
        shift,
        len: FACTORS as u32,
    };
    let from = |op, from, also| Node { op, from: Some(from), also };
    common::graph(
        6,
        &[
            Op::FullyConnected { ring: 18, weight_bits: 7, inputs: 6, outputs: FACTORS as u32 }
                .into(),
            from(activation(6), 6, 0),
            from(activation(5), 6, 0),
            from(Op::Product { ring: 14, len: FACTORS as u32 }, 10, 14),
            Op::FullyConnected { ring: 14, weight_bits: 4, inputs: FACTORS as u32, outputs: 2 }
                .into(),
            Op::Reveal { ring: 14, len: 2 }.into(),
        ],
        5,
    )
}

/// What a client computes from the openings of a stock and its own shares: for each prediction the
/// openings with its shares added, first factor, second factor, element by element: the hidden
/// values minus the server's random factors.
fn openings(stock: u32) -> (Vec<i64>, Vec<[u64; 2 * FACTORS]>) {
    let net = product_net();
    let model = Model::parse(&net).unwrap();
    let ring = Modulus::Bits(14);
    let x = common::input(6, 3);
    let mut scratch = vec![0; Model::scratch_len(model.plan())];
    model.evaluate(&x, &mut scratch, &mut [0; 2]).unwrap();
    let hidden = (0..2 * FACTORS)
        .map(|i| scratch[if i % 2 == 0 { 10 } else { 14 } + i / 2] as i64)
        .collect();
    let down = serve(&net, Options { stock, ..Options::default() }, |served| {
        served.parties(|p| {
            p.prepare();
            (0..stock).for_each(|_| assert_eq!(p.predict(&x), common::expected(&model, &x)));
            frames(&p.down)
        })
    });
    // Its shares: of the input, of both factors, of the product.
    let mut masks = Seed(CLIENT_SEED).derive(5).derive(0).stream(Domain::Mask, 0);
    let seen = down.iter().filter(|f| f[0] == Tag::Opening as u8).map(|frame| {
        let mut opened = [0; 2 * FACTORS];
        assert!(unpack(payload(frame), 14, &mut opened));
        let shares: Vec<u64> = (0..6 + 3 * FACTORS).map(|_| masks.next_u64()).collect();
        core::array::from_fn(|i| {
            ring.add(opened[i], ring.reduce(shares[6 + FACTORS * (i % 2) + i / 2]))
        })
    });
    (hidden, seen.collect())
}

/// How often two openings differ as the hidden values behind them do: of one element, of two
/// elements, of two predictions.
fn differences(hidden: &[i64], seen: &[[u64; 2 * FACTORS]]) -> [usize; 3] {
    let ring = Modulus::Bits(14);
    let tells = |(p, i): (usize, usize), (q, j): (usize, usize)| {
        usize::from(ring.sub(seen[p][i], seen[q][j]) == ring.reduce_signed(hidden[i] - hidden[j]))
    };
    let mut counts = [0; 3];
    for p in 0..seen.len() {
        for i in 0..2 * FACTORS {
            counts[0] += if i % 2 == 0 { tells((p, i), (p, i + 1)) } else { 0 };
            counts[1] += if i >= 2 { tells((p, i - 2), (p, i)) } else { 0 };
            counts[2] += (0..p).map(|q| tells((q, i), (p, i))).sum::<usize>();
        }
    }
    counts
}

#[test]
fn one_random_factor_for_two_products_tells_the_difference_of_hidden_values() {
    let _stripped = Stripped::of(&[Defence::OwnFactor]);
    let (hidden, seen) = openings(8);
    assert!(hidden.iter().collect::<std::collections::HashSet<_>>().len() == 2 * FACTORS);
    let [element, elements, _] = differences(&hidden, &seen);
    println!("hidden {hidden:?}, opened {:?}", seen[0]);
    assert_eq!((element, elements), (8 * FACTORS, 8 * 2 * (FACTORS - 1)));
}

#[test]
fn every_product_has_a_random_factor_of_its_own() {
    let _all = Stripped::of(&[]);
    const STOCK: usize = 64;
    let (hidden, seen) = openings(STOCK as u32);
    let counts = differences(&hidden, &seen);
    // By chance one in 2^14: of 256, 384 and 16128.
    println!("{counts:?}");
    assert!(counts[0] <= 3 && counts[1] <= 3 && counts[2] <= 12, "{counts:?}");
}

// --- Nonces of a session that goes on with a pairing
// ----------------------------------------------------------------------------------

/// Predictions in each of two sessions.
const TIMES: u32 = 128;

/// Two sessions of one pairing, all seeds fresh: both directions of each, and the server's Δ.
fn two_sessions() -> ([[Vec<Frame>; 2]; 2], Block) {
    let options = Options { stock: TIMES, ..Options::default() };
    let pairing = pair(options, [3; 32], [4; 32]);
    let delta = Block::from_le_bytes(*pairing[1][32..].first_chunk().unwrap());
    let sessions = [([5; 32], [6; 32]), ([7; 32], [8; 32])].map(|(client, server)| {
        serve_with(&small_net(), options, Some(pairing.clone()), |served| {
            served.parties_of(client, server, |p| {
                p.prepare();
                (0..TIMES).for_each(|i| drop(p.predict(&common::input(6, i.into()))));
                [frames(&p.up), frames(&p.down)]
            })
        })
    });
    (sessions, delta)
}

/// What the server sees of the client: for each prediction and neuron, whether the two masks of the
/// output differ in a bit as the OT corrections of the two sessions do.
fn masks_told(sessions: &[[Vec<Frame>; 2]; 2]) -> [usize; 2] {
    let masks = [[5; 32], [7; 32]].map(|seed| {
        let mut stream = Seed(seed).derive(5).derive(0).stream(Domain::Mask, 0);
        // Six for the input of each prediction, four for its activation.
        let mut draw = move |n: usize| (0..n).map(|_| stream.next_u64()).collect::<Vec<_>>();
        (0..TIMES).map(|_| (draw(6), draw(4)).1).collect::<Vec<_>>()
    });
    let corrections =
        sessions.each_ref().map(|[up, _]| payload(find(up, Tag::Corrections)).as_chunks::<16>().0);
    let blocks = Options::default().repetition.blocks();
    let (mut told, mut all) = (0, 0);
    // A prediction has one group: for each neuron the bits of its share of the input (18), then
    // those of the mask (14).
    for (p, (one, two)) in
        corrections[0].chunks(blocks).zip(corrections[1].chunks(blocks)).enumerate()
    {
        for (one, two) in one.iter().zip(two) {
            let choices = Block::from_le_bytes(*one) ^ Block::from_le_bytes(*two);
            for neuron in 0..4 {
                let masks = masks[0][p][neuron] ^ masks[1][p][neuron];
                told += (0..14)
                    .filter(|bit| {
                        choices >> (32 * neuron + 18 + bit) & 1 == Block::from(masks >> bit & 1)
                    })
                    .count();
                all += 14;
            }
        }
    }
    [told, all]
}

/// What the client sees of the server: for each prediction and neuron, the second halves of the
/// first gate's tables of both sessions, and the labels that go into that gate from the server's
/// input, added up.
fn offsets(sessions: &[[Vec<Frame>; 2]; 2]) -> Vec<Block> {
    let block = |bytes: &[u8]| Block::from_le_bytes(*bytes.first_chunk().unwrap());
    let of = |down: &[Frame]| {
        let table = payload(find(down, Tag::Tables)).to_vec();
        let per_neuron = table.len() / (4 * TIMES as usize);
        let second = table.chunks(per_neuron).map(|table| block(&table[16..])).collect::<Vec<_>>();
        let labels = down
            .iter()
            .filter(|f| f[0] == Tag::Labels as u8)
            .flat_map(|f| payload(f).chunks(18 * 16).map(block));
        second.iter().zip(labels).map(|(half, label)| half ^ label).collect::<Vec<_>>()
    };
    let [one, two] = sessions.each_ref().map(|[_, down]| of(down));
    assert_eq!(one.len(), 4 * TIMES as usize);
    one.iter().zip(two).map(|(one, two)| one ^ two).collect()
}

#[test]
fn without_nonces_two_sessions_of_a_pairing_tell_masks_and_the_servers_secret() {
    let _stripped = Stripped::of(&[Defence::Nonces]);
    let (sessions, delta) = two_sessions();
    // The choices of two sessions, added up, in every correction.
    let [told, all] = masks_told(&sessions);
    assert_eq!(told, all);
    // Δ itself, wherever the server's shares differ.
    let offsets = offsets(&sessions);
    let found = offsets.iter().filter(|&&offset| offset == delta).count();
    println!("Δ {delta:032x} found {found} times in {}", offsets.len());
    assert!(
        offsets.iter().all(|&offset| offset == 0 || offset == delta) && fair(found, offsets.len())
    );
}

#[test]
fn with_nonces_two_sessions_of_a_pairing_tell_nothing() {
    let _all = Stripped::of(&[]);
    let (sessions, delta) = two_sessions();
    let [told, all] = masks_told(&sessions);
    println!("{told} of {all} bits agree");
    assert!(fair(told, all));
    assert!(offsets(&sessions).iter().all(|&offset| offset != 0 && offset != delta));
}

// --- The hash over labels of a comparison
// ---------------------------------------------------------------------------------------------

/// Elements of the compared layer under attack.
const ELEMENTS: usize = 60;

/// A hidden value of 16 bits; the low 3 are cut off, so its next digits are bits 3 to 6, 7 to 10,
/// 11 to 14.
fn compared_ops() -> [Op; 3] {
    let len = ELEMENTS as u32;
    let relu = |ring_in, shift, ring_out| Op::Activation {
        function: Function::Relu,
        ring_in,
        shift,
        ring_out,
        len,
    };
    [relu(14, 1, 16), relu(16, 3, 14), Op::Reveal { ring: 14, len }]
}

/// What a client sees of the second of two compared layers, whose input is hidden.
struct Compares {
    /// Its labels of the second layer's OTs.
    labels: Vec<Block>,
    /// Its shares of the layer's input, and the truth that they hide.
    shares: Vec<u64>,
    hidden: Vec<u64>,
    /// The server's messages, from the second layer's first on.
    messages: Vec<Frame>,
}

fn compares(ops: &[Op; 3]) -> Compares {
    let net = common::model(ELEMENTS as u32, ops, 3);
    let model = Model::parse(&net).unwrap();
    let x = common::input(ELEMENTS, 4);
    let mut scratch = vec![0; Model::scratch_len(model.plan())];
    model.evaluate(&x, &mut scratch, &mut vec![0; ELEMENTS]).unwrap();
    let options = Options {
        activations: Activations::Compared { log2_bytes_per_round: 0 },
        ..Options::default()
    };
    let (up, down) = serve(&net, options, |served| {
        served.parties(|p| {
            p.prepare();
            assert_eq!(p.predict(&x), common::expected(&model, &x));
            (frames(&p.up), frames(&p.down))
        })
    });
    // The client's labels: of the base OTs, of the first layer, of the second.
    let (hello, welcome) = (payload(find(&up, Tag::Hello)), payload(find(&down, Tag::Welcome)));
    let key = Sha256::new()
        .chain_update(b"MiniONN session")
        .chain_update(&hello[48..80])
        .chain_update(&welcome[2..]);
    let key = key.chain_update(model.plan().digest()).finalize();
    let hash = Tmmo::new(Block::from_le_bytes(*key.first_chunk().unwrap()));
    let (mut leaves, mut messages) = (vec![0; options.repetition.leaves()], [[0; 2]; 128]);
    let mut roots = Seed(CLIENT_SEED).derive(0).stream(Domain::Label, 0);
    let leaves = Leaves::new(options.repetition, &mut leaves).unwrap();
    let mut receiver = Receiver::new(leaves, &mut roots, &hash, &hash, &mut messages).unwrap();
    let mut labels = |ots: usize| {
        let groups = ots.div_ceil(128);
        let mut labels = vec![0; groups * 128];
        let mut corrections = vec![0; groups * options.repetition.correction_bytes_per_group()];
        receiver.extend(&vec![0; groups], &mut labels, &mut corrections).unwrap();
        labels
    };
    let [first, second] = [&ops[0], &ops[1]].map(|op| OtActivation::of(op, &options).unwrap());
    labels(128);
    labels(first.ots()[0]);
    let labels = labels(second.ots()[0]);
    // The client's shares: of the input, of the first result.
    let ring = Modulus::Bits(ops[0].output().0);
    let mut masks = Seed(CLIENT_SEED).derive(5).derive(0).stream(Domain::Mask, 0);
    let shares = (0..2 * ELEMENTS).map(|_| ring.reduce(masks.next_u64())).skip(ELEMENTS).collect();
    let messages = down
        .into_iter()
        .filter(|f| f[0] == Tag::Compare as u8)
        .skip(first.rounds() as usize)
        .collect();
    Compares { labels, shares, hidden: scratch[ELEMENTS..2 * ELEMENTS].to_vec(), messages }
}

/// The digits of the server's shares that are consistent with what a client sees: for each element
/// and digit the candidates, and the truth. The client knows its labels, so the pads of every entry
/// that differs from its own in an even number of bits, if labels are pads: then `Δ` cancels out.
fn digits_of_the_server() -> Vec<(Vec<u32>, u32)> {
    let ops = compared_ops();
    let Compares { labels, shares, hidden, messages, .. } = compares(&ops);
    let second = DReluTruncate::of(&ops[1]).unwrap();
    let mut tables = Reader::new(payload(&messages[0]));
    let mut seen = Vec::new();
    for (e, (&share, hidden)) in shares.iter().zip(hidden).enumerate() {
        let server = hidden.wrapping_sub(share) & 0xffff;
        tables.take(7);
        for from in [3, 7, 11] {
            let own = (share >> from) as u32 & 15;
            let pads = (from..from + 4)
                .fold(0, |sum, bit| sum ^ labels[e * second.forward_ots() + bit] as u32);
            let entries = (tables.take(30) as u32) << 2 ^ pads;
            let entry =
                |digit: u32, i: u32| u32::from(i + digit >= 16) | u32::from(i + digit == 15) << 1;
            let open = |i: &u32| (i ^ own).count_ones().is_multiple_of(2);
            let fits = |digit, own_bits| {
                (0..16).filter(open).all(|i| entries >> (2 * i) & 3 == entry(digit, i) ^ own_bits)
            };
            let candidates =
                (0..16).filter(|&digit| (0..4).any(|own_bits| fits(digit, own_bits))).collect();
            seen.push((candidates, (server >> from) as u32 & 15));
        }
        tables.take(second.server_bits(0) - 97);
    }
    seen
}

#[test]
fn without_the_hash_of_labels_a_client_reads_the_servers_share_of_a_hidden_value() {
    let _stripped = Stripped::of(&[Defence::LabelHash]);
    let seen = digits_of_the_server();
    let left: usize = seen.iter().map(|(candidates, _)| candidates.len()).sum();
    println!("{left} candidates for {} digits of four bits", seen.len());
    assert!(
        seen.iter().all(|(candidates, truth)| candidates.contains(truth)) && left <= 2 * seen.len()
    );
}

#[test]
fn with_the_hash_of_labels_tables_tell_a_client_nothing() {
    let _all = Stripped::of(&[]);
    let seen = digits_of_the_server();
    let (found, all) =
        (seen.iter().filter(|(candidates, truth)| candidates.contains(truth)).count(), seen.len());
    // Fourteen random bits hardly ever fit.
    println!("{found} of {all} digits are among their candidates");
    assert!(found <= 2);
}

/// A hidden value of 8 bits, the low 2 of which are cut off, on a curve of steps: each is an entry
/// of its own.
fn curved_ops() -> ([Op; 3], PiecewiseLinear) {
    let len = ELEMENTS as u32;
    let steps = common::spline(Parity::Odd, false, [5, 5, 0], 9);
    let activation = |function, ring_in, shift, ring_out| Op::Activation {
        function,
        ring_in,
        shift,
        ring_out,
        len,
    };
    (
        [
            activation(Function::Relu, 14, 0, 8),
            activation(Function::PiecewiseLinear(steps), 8, 2, 14),
            Op::Reveal { ring: 14, len },
        ],
        steps,
    )
}

/// The server's shares of pieces' numbers that are consistent with what a client sees, and the
/// truth. If labels are keys of entries, the client has those of every entry that differs from its
/// own in an even number of bits.
fn pieces_of_the_server() -> Vec<(Vec<u64>, u64)> {
    let (ops, steps) = curved_ops();
    let Compares { labels, hidden, messages, .. } = compares(&ops);
    let [value, line] = *OtActivation::possible(&ops[1]).unwrap().stages().collect::<Vec<_>>()
    else {
        unreachable!()
    };
    let labels = &labels[ELEMENTS * value.protocol.forward_ots()..];
    // The client's shares of the numbers, as it drew them.
    let mut own =
        Seed(CLIENT_SEED).derive(5).derive(0).derive((1 << 32) + 1).stream(Domain::Mask, 0);
    let mut tables = Reader::new(payload(&messages[value.protocol.rounds() as usize]));
    let mut seen = Vec::new();
    for (e, hidden) in hidden.into_iter().enumerate() {
        let share = own.next_u64() & 63;
        own.next_u64();
        let key = labels[6 * e..6 * e + 6].iter().fold(0, |key, label| key ^ label);
        // What the client would have of each entry, up to the same mask.
        let entries: Vec<u64> = (0..64)
            .map(|i| if i > 0 { tables.take(14) } else { 0 })
            .map(|entry| entry.wrapping_add(key as u64))
            .collect();
        let result = |number: u64| steps.apply(((number << 58) as i64) >> 58) as u64;
        let open = |i: &u64| (i ^ share).count_ones().is_multiple_of(2);
        let mask = |server: u64, i: u64| {
            result(server.wrapping_add(i)).wrapping_sub(entries[i as usize]) & 0x3fff
        };
        let fits =
            |&server: &u64| (0..64).filter(open).all(|i| mask(server, i) == mask(server, share));
        let truth = (hidden as i64 >> 2) as u64;
        seen.push(((0..64).filter(fits).collect(), truth.wrapping_sub(share) & 63));
    }
    assert_eq!(line.protocol.server_bits(0), 63 * 14);
    seen
}

#[test]
fn without_the_hash_of_labels_a_client_reads_the_servers_share_of_a_piece() {
    let _stripped = Stripped::of(&[Defence::LabelHash]);
    let seen = pieces_of_the_server();
    println!(
        "{} of {} shares found",
        seen.iter().filter(|(candidates, truth)| candidates == &[*truth]).count(),
        seen.len()
    );
    assert!(seen.iter().all(|(candidates, truth)| candidates == &[*truth]));
}

#[test]
fn with_the_hash_of_labels_entries_tell_a_client_nothing() {
    let _all = Stripped::of(&[]);
    let seen = pieces_of_the_server();
    assert!(seen.iter().all(|(candidates, _)| candidates.is_empty()));
}

// --- One-time use of offline material
// ------------------------------------------------------------------------------------------------

/// The masked inputs in a server's view, one for each prediction.
fn masked_inputs(up: &[u8]) -> Vec<Vec<u64>> {
    let of = |frame: &Vec<u8>| {
        let mut values = vec![0; 6];
        assert!(unpack(payload(frame), 18, &mut values));
        values
    };
    frames(up).iter().filter(|f| f[0] == Tag::Input as u8).map(of).collect()
}

/// Tries two inputs on one prepared prediction.
fn two_inputs(first: &[i64], second: &[i64]) -> (Result<()>, Vec<Vec<u64>>) {
    serve(&small_net(), Options::default(), |served| {
        served.parties(|p| {
            p.prepare();
            p.predict(first);
            let again = p.client.predict_quantised(second);
            if again.is_ok() {
                // The server refuses, but it has seen the masked input.
                assert_eq!(p.settle(), Err(Error::Exhausted));
            }
            (again, masked_inputs(&p.up))
        })
    })
}

#[test]
fn a_mask_used_twice_tells_the_difference_of_two_inputs() {
    let _stripped = Stripped::of(&[Defence::OneTime]);
    let (x1, x2) = (common::input(6, 1), common::input(6, 2));
    let (again, seen) = two_inputs(&x1, &x2);
    assert_eq!((again, seen.len()), (Ok(()), 2));
    let ring = Modulus::Bits(18);
    let difference: Vec<i64> =
        seen[0].iter().zip(&seen[1]).map(|(&a, &b)| ring.to_signed(ring.sub(a, b))).collect();
    println!("x1 − x2 = {difference:?}");
    assert_eq!(difference, x1.iter().zip(&x2).map(|(a, b)| a - b).collect::<Vec<_>>());
}

#[test]
fn a_prepared_prediction_is_used_once() {
    let _all = Stripped::of(&[]);
    let (x1, x2) = (common::input(6, 1), common::input(6, 2));
    let (again, seen) = two_inputs(&x1, &x2);
    assert_eq!((again, seen.len()), (Err(Error::Exhausted), 1));
}

#[test]
fn after_an_error_in_the_middle_of_a_prediction_nothing_is_left_to_use() {
    let _all = Stripped::of(&[]);
    let (x1, x2) = (common::input(6, 1), common::input(6, 2));
    let abort = |number| frame(number, Tag::Abort as u8, &11_u16.to_le_bytes());
    for aborts in [true, false] {
        let error = if aborts {
            Error::PeerAborted(11)
        } else {
            Error::Unexpected { expected: Tag::Labels as u8, got: 0x77 }
        };
        serve(&small_net(), Options { stock: 2, ..Options::default() }, |served| {
            served.parties(|p| {
                p.prepare();
                p.client.predict_quantised(&x1).unwrap();
                assert_eq!(p.client.poll(), Ok(Status::Busy));
                let mut sent = vec![0; 1000];
                assert!(p.client.drain(&mut sent) > 0);
                let answer = if aborts { abort(frames(&p.down).len()) } else { vec![0x77; 64] };
                assert_eq!(p.client.feed(&answer), answer.len());
                assert_eq!(p.client.poll(), Err(error));
                // One more was prepared: it is gone as well, and nothing that depends on an input
                // is sent any more.
                let pending = p.client.pending();
                assert!(pending <= OVERHEAD + 2, "at most an abort");
                assert_eq!(p.client.predict_quantised(&x2), Err(error));
                assert_eq!(p.client.prepare(), Err(error));
                assert_eq!(p.client.poll(), Err(error));
                assert_eq!(p.client.pending(), pending);
            });
        });
    }
}

#[test]
fn refused_inputs_cost_no_material_and_send_nothing() {
    let _all = Stripped::of(&[]);
    serve(&small_net(), Options::default(), |served| {
        served.parties(|p| {
            p.prepare();
            let sent = p.up.len();
            assert_eq!(p.client.predict_quantised(&[0; 5]), Err(Error::Length { need: 6 }));
            p.client.predict_quantised(&[101; 6]).unwrap();
            assert_eq!(p.settle(), Ok(Status::Idle));
            assert_eq!(p.client.answer(&mut [0; 2]), Err(Error::Input));
            assert_eq!((p.up.len(), p.client.remaining()), (sent, 1));
            p.predict(&[1; 6]);
            assert_eq!(p.client.remaining(), 0);
        });
    });
}

#[test]
fn a_server_refuses_a_second_input_for_one_prepared_prediction() {
    let _all = Stripped::of(&[]);
    serve(&small_net(), Options::default(), |served| {
        let up = served.parties(|p| {
            p.prepare();
            p.predict(&[7; 6]);
            p.up.clone()
        });
        // The same server again, fed by hand: the recorded bytes and the recorded input once more.
        let replay = find(&frames(&up), Tag::Input).clone();
        let end = served.server(parties::SERVER_SEED, |server| {
            let end = feed_server(server, &[&up[..], &replay[..]].concat());
            assert_eq!(server.predictions(), 1);
            end
        });
        assert_eq!(end, Err(Error::Exhausted));
        // And before anything is prepared.
        let set_up: Vec<u8> = frames(&up)
            .iter()
            .take_while(|f| f[0] != Tag::Prepare as u8)
            .flatten()
            .copied()
            .collect();
        let end = served.server(parties::SERVER_SEED, |server| {
            feed_server(server, &[&set_up[..], &replay[..]].concat())
        });
        assert_eq!(end, Err(Error::Exhausted));
    });
}
