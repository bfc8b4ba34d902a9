//! What the engine says.

use super::by_reference::{product_labels, runs};
use super::cases::{chosen, garbling, message, rescale_values};
use super::networks::{core_files, core_op, network};
use super::wire::session_by_core;
use super::{Case, block, blocks, hex, reference, row, summary};
use minionn_core::backend::limb::add_uniform;
use minionn_core::compare::{OtActivation, Stage};
use minionn_core::garble::{Argmax, Circuit, Function, GarbleBuffers, Garbler, Neuron, totals};
use minionn_core::handshake::Greeting;
use minionn_core::hash::Tmmo;
use minionn_core::lattice::encode::{Encoder, Plaintext};
use minionn_core::lattice::encrypt::Mask;
use minionn_core::lattice::rescale::{Basis, Fraction};
use minionn_core::lattice::sample::{Noise, Ternary};
use minionn_core::lattice::{SecretKey, encrypt};
use minionn_core::ot::{self, GROUP, Leaves, OtMultiply, Receiver, Repetition, Sender};
use minionn_core::plan;
use minionn_core::plan::tile::Tile;
use minionn_core::ring::{LIMBS, Modulus};
use minionn_core::rng::{Domain, Seed};
use minionn_core::session::{Activations, Options};
use minionn_core::wire::{Checksum, packed_len, unpack, unpack_widths};
use serde_json::{Value, json};

fn domain(number: u64) -> Domain {
    let all = [
        Domain::Derive,
        Domain::Uniform,
        Domain::Ternary,
        Domain::Noise,
        Domain::Flood,
        Domain::Mask,
        Domain::Label,
    ];
    all[number as usize - 1]
}

/// What of a case the engine has public functions for; `expected` is for those parts that it keeps
/// to itself.
pub(super) fn by_core(kind: &str, case: &Case<'_>, expected: &Value) -> Value {
    match kind {
        "Frame" => {
            let payload = case.bytes("payload");
            let mut frame = vec![case.u8("tag")];
            frame.extend((payload.len() as u32).to_le_bytes());
            frame.extend(payload);
            let mut checksum = Checksum::new();
            checksum.update(&frame);
            frame.extend(checksum.finish());
            json!({ "frame": hex(&frame) })
        }
        "Greeting" => {
            let frame = case.bytes("frame");
            let result = Greeting::peek(&frame);
            if let Ok(Some((greeting, length))) = result {
                assert_eq!(length, frame.len());
                if let Greeting::Hello(hello) = greeting {
                    assert_eq!(hello.emit(), frame[5..frame.len() - 4]);
                }
            }
            let code = match result {
                Ok(greeting) => {
                    assert!(greeting.is_some());
                    0
                }
                Err(error) => error.code(),
            };
            json!({ "code": code })
        }
        "Packed" => {
            let (bits, values) = (case.u64("bits") as u32, case.numbers("values"));
            let mut bytes = vec![0; packed_len(values.len() as u64, bits) as usize];
            minionn_core::wire::pack(&values, bits, &mut bytes).unwrap();
            let mut back = vec![0; values.len()];
            assert!(unpack(&bytes, bits, &mut back) && back == values);
            json!({ "bytes": hex(&bytes) })
        }
        "Stream" => {
            let mut prg =
                Seed(case.seed("seed")).stream(domain(case.u64("domain")), case.u64("index"));
            let mut bytes = [0; 1000];
            bytes[..4].copy_from_slice(&prg.next_u32().to_le_bytes());
            bytes[4..12].copy_from_slice(&prg.next_u64().to_le_bytes());
            bytes[12..28].copy_from_slice(&prg.next_u128().to_le_bytes());
            prg.fill(&mut bytes[28..]);
            json!({ "first": hex(&bytes[..16]), "sha256_of_1000": hex(&reference::sha256(&bytes)) })
        }
        "Derive" => json!({ "seed": hex(&Seed(case.seed("seed")).derive(case.u64("index")).0) }),
        "Files" => {
            let (plan, model) = core_files(&network(case.0["network"].as_str().unwrap()));
            json!({
                "plan": hex(&plan), "model_bytes": model.len(),
                "model_sha256": hex(&reference::sha256(&model))
            })
        }
        "Tile" => {
            let (ring, weight_bits, inputs, outputs) = case.fully_connected();
            match Tile::choose(
                &plan::Op::FullyConnected { ring, weight_bits, inputs, outputs },
                case.usize("stock"),
            ) {
                Ok(t) => {
                    json!({
                        "n_b": t.n_b, "n_o": t.n_o, "n_w": t.n_c, "limbs": t.limbs(),
                        "bits": t.level.upload_bits.map_or(json!("whole"), |bits| json!(bits)),
                        "upload": t.upload_bytes(), "download": t.download_bytes()
                    })
                }
                Err(_) => json!({ "refused": true }),
            }
        }
        "Transform" => {
            let limb = &LIMBS[case.usize("limb")];
            let mut a = vec![0; case.usize("n")];
            Mask::new(&Seed(case.seed("seed")), 0, case.usize("limb")).fill(limb, &mut a).unwrap();
            limb.forward(&mut a);
            summary(a.iter().map(|&x| i64::from(limb.canonical(x))))
        }
        "Uniform" => {
            let limb = &LIMBS[case.usize("limb")];
            let mut a = vec![0; reference::N];
            Mask::new(&Seed(case.seed("seed")), case.u64("number"), case.usize("limb"))
                .fill(limb, &mut a)
                .unwrap();
            summary(a.into_iter().map(i64::from))
        }
        "Ternary" => {
            let mut values = [0; reference::N];
            Ternary::new(Seed(case.seed("seed")).stream(Domain::Ternary, case.u64("index")))
                .fill(&mut values)
                .unwrap();
            summary(values.map(i64::from))
        }
        "Noise" => {
            let mut values = [0; reference::N];
            Noise::new(Seed(case.seed("seed")).stream(Domain::Noise, case.u64("index")))
                .fill(&mut values)
                .unwrap();
            summary(values.map(i64::from))
        }
        "Flooding" => {
            let residues = LIMBS.each_ref().map(|limb| {
                let mut prg = Seed(case.seed("seed")).stream(Domain::Flood, case.u64("index"));
                summary((0..100).map(|_| {
                    let (mut word, mut flood) = ([[0; 2]], [0]);
                    prg.fill_u64(word.as_flattened_mut());
                    add_uniform(limb, case.u64("bits") as u32, &word, &mut flood);
                    i64::from(limb.canonical(limb.reduce(flood[0])))
                }))
            });
            json!({ "exact": expected["exact"], "limbs": residues })
        }
        "Encode" => {
            let plaintext = case.0["bits"]
                .as_u64()
                .map_or(Plaintext::Slots, |bits| Plaintext::Bits(bits as u32));
            let encoder = Encoder::new(plaintext, case.usize("limbs"));
            let residue = |i: usize| LIMBS[i].canonical(encoder.encode(i, case.u64("m")).unwrap());
            json!({
                "exact": expected["exact"],
                "residues": (0..case.usize("limbs")).map(residue).collect::<Vec<_>>()
            })
        }
        "Rescale" => {
            let (limbs, bits) = (case.usize("limbs"), case.u64("bits") as u32);
            let basis = Basis::new(limbs);
            let rounded = rescale_values(limbs, case.seed("seed")).into_iter().map(|x| {
                let mut sum = 0_u64;
                for (i, limb) in LIMBS.iter().enumerate().take(limbs) {
                    basis
                        .add(i, &[(x % limb.q as u128) as i32], core::slice::from_mut(&mut sum))
                        .unwrap();
                }
                sum.round(bits)
            });
            json!({ "rounded": rounded.collect::<Vec<_>>() })
        }
        "PublicKey" => json!({ "limbs": public_key_by_core(case) }),
        "Upload" => upload_by_core(case),
        "TMMO" => {
            json!({
                "hash": block(Tmmo::new(case.block("key")).hash([
                    case.block("x")
                ], [case.block("tweak")])[0])
            })
        }
        "Extension" => extension_by_core(case),
        "Run" => run_by_core(case),
        "Activation" => {
            let bits = |name| Modulus::Bits(case.u8(name));
            let function = if case.0["relu"] == true { Function::Relu } else { Function::Identity };
            let neuron = Neuron {
                function,
                modulus_in: bits("ring"),
                modulus_out: bits("ring_out"),
                shift: case.u8("shift"),
            };
            garbled_by_core(&neuron, case.usize("neurons"), case.u64("layer"))
        }
        "Argmax" => {
            let argmax = Argmax {
                modulus: Modulus::Bits(case.u8("ring")),
                inputs: case.u64("elements") as u32,
            };
            garbled_by_core(&argmax, 1, case.u64("layer"))
        }
        "Product" => {
            let (ring, t, q, session, delta, tweak) = product_labels(case);
            let (modulus, hash) = (Modulus::Bits(ring as u8), Tmmo::new(session));
            let mut corrections = vec![0; ring as usize];
            let multiply = OtMultiply { modulus, hash: &hash, tweak_base: tweak };
            let p_s = multiply.server(case.u64("a"), &q, delta, &mut corrections).unwrap();
            let p_c = multiply.client(case.u64("v"), &t, &corrections).unwrap();
            let bytes = reference::pack(corrections.iter().zip(0..).map(|(&c, i)| (c, ring - i)));
            let mut back = vec![0; ring as usize];
            assert!(unpack_widths(&bytes, |i| ring - i as u32, &mut back) && back == corrections);
            json!({ "corrections": corrections, "p_s": p_s, "p_c": p_c })
        }
        "Choice" => {
            let (op, repetition) =
                (core_op(chosen(case)), Repetition::from_k(case.u8("k")).unwrap());
            let most = (0..=48).rev().find(|&log2_bytes_per_round| {
                let options = Options {
                    repetition,
                    activations: Activations::Compared { log2_bytes_per_round },
                    ..Options::default()
                };
                OtActivation::of(&op, &options).is_some()
            });
            OtActivation::possible(&op).map_or(json!({ "possible": false }), |compared| {
                let of_stage = |stage: Stage| {
                    (0..stage.protocol.rounds()).flat_map(move |number| stage.message_bytes(number))
                };
                let messages = compared.stages().flat_map(of_stage);
                let corrections = compared.correction_bytes(repetition);
                json!({
                    "most": most, "round_trips": compared.rounds(),
                    "corrections": row(corrections), "messages": row(messages)
                })
            })
        }
        "Session" => session_by_core(case),
        _ => panic!("no such case: {kind}"),
    }
}

/// Seeds of a ciphertext: its key, and the public one; its noise.
fn ciphertext(case: &Case<'_>, n: usize) -> (SecretKey, Seed, Vec<i8>) {
    let mut noise = vec![0; n];
    encrypt::noise(&Seed(case.seed("noise")), case.u64("number"), &mut noise).unwrap();
    (SecretKey::new(Seed(case.seed("secret"))), Seed(case.seed("public")), noise)
}

fn public_key_by_core(case: &Case<'_>) -> Vec<Value> {
    let n = reference::degree(case.usize("limbs"));
    let (key, public, noise) = ciphertext(case, n);
    let limb = |index: usize| {
        let (mut secret, mut poly) = (vec![0; n], vec![0; n]);
        key.expand(&LIMBS[index], &mut secret).unwrap();
        let number = case.u64("number");
        let at = (index, &LIMBS[index]);
        SecretKey::encrypt_limb(at, number, &public, &noise, &secret, &mut poly).unwrap();
        summary(poly.iter().map(|&x| i64::from(x)))
    };
    (0..case.usize("limbs")).map(limb).collect()
}

fn upload_by_core(case: &Case<'_>) -> Value {
    let (bits, limbs) = (case.u64("bits") as u32, case.usize("limbs"));
    let (n, upload_bits) = (reference::degree(limbs), case.u64("upload_bits") as u32);
    let (key, public, noise) = ciphertext(case, n);
    let (encoder, basis) = (Encoder::new(Plaintext::Bits(bits), limbs), Basis::new(limbs));
    let mut sums = vec![0_u64; n];
    for (index, limb) in LIMBS.iter().enumerate().take(limbs) {
        let (mut poly, mut encoded) = (vec![0; n], vec![0; n]);
        key.expand(limb, &mut poly).unwrap();
        SecretKey::mask_limb((index, limb), case.u64("number"), &public, &noise, &mut poly)
            .unwrap();
        encoder.encode_all(index, &message(bits, n), &mut encoded).unwrap();
        poly.iter_mut().zip(encoded).for_each(|(x, m)| *x += m);
        basis.add(index, &poly, &mut sums).unwrap();
    }
    let y: Vec<u64> = sums.iter().map(|sum| sum.round(upload_bits)).collect();
    let reader = Encoder::new(Plaintext::Bits(upload_bits), limbs);
    let read = LIMBS.iter().enumerate().take(limbs).map(|(index, limb)| {
        let mut poly = vec![0; n];
        reader.encode_all(index, &y, &mut poly).unwrap();
        limb.forward(&mut poly);
        summary(poly.iter().map(|&x| i64::from(limb.canonical(x))))
    });
    json!({ "sent": summary(y.iter().map(|&y| y as i64)), "read": read.collect::<Vec<_>>() })
}

/// Both parties' memory for the OTs of a case.
struct Ots {
    repetition: Repetition,
    memory: [Vec<u128>; 2],
}

impl Ots {
    fn new(case: &Case<'_>) -> Self {
        let repetition = Repetition::from_k(case.u8("k")).unwrap();
        Self { repetition, memory: [(); 2].map(|()| vec![0; repetition.leaves()]) }
    }

    /// Both halves, and the messages of the base OTs.
    fn set_up(&mut self, case: &Case<'_>) -> (Receiver<'_>, Sender<'_>, [[u128; 2]; 128]) {
        let (pairing, session) =
            (Tmmo::new(case.block("pairing")), Tmmo::new(case.block("session")));
        let [client, server] =
            self.memory.each_mut().map(|memory| Leaves::new(self.repetition, memory).unwrap());
        let mut pairs = [[0; 2]; 128];
        let mut roots = Seed(case.seed("roots")).stream(Domain::Label, 0);
        let keep = |j: usize, pair| pairs[j] = pair;
        let receiver = Receiver::new(client, &mut roots, &pairing, &session, keep).unwrap();
        let delta = case.block("delta");
        let received = core::array::from_fn(|j| pairs[j][(delta >> j & 1) as usize]);
        let sender = Sender::new(server, delta, &received, &pairing, &session).unwrap();
        (receiver, sender, pairs)
    }
}

fn extension_by_core(case: &Case<'_>) -> Value {
    let mut ots = Ots::new(case);
    let bytes = ots.repetition.correction_bytes_per_group();
    let (mut receiver, mut sender, pairs) = ots.set_up(case);
    let runs = runs(case).into_iter().map(|choices| {
        let mut mask = vec![0; bytes];
        let (mut ours, mut theirs) = ([0; GROUP], [0; GROUP]);
        receiver.start(&mut ours, &mut mask).unwrap();
        sender.start(&mut theirs, &mask).unwrap();
        let mut corrections = vec![0; choices.len() * bytes];
        let (mut t, mut q) = (vec![0; choices.len() * GROUP], vec![0; choices.len() * GROUP]);
        receiver.extend(&mut ours, &choices, &mut t, &mut corrections).unwrap();
        sender.extend(&mut theirs, &corrections, &mut q).unwrap();
        let proof = receiver.finish(&mut ours).unwrap();
        sender.finish(&mut theirs, &proof).unwrap();
        json!({
            "mask": hex(&reference::sha256(&mask)),
            "corrections": hex(&reference::sha256(&corrections)),
            "t": blocks(&t), "q": blocks(&q), "proof": hex(&proof)
        })
    });
    let runs: Vec<Value> = runs.collect();
    json!({
        "messages": blocks(&pairs.concat()), "encoded": blocks(&encoded_by_core(case, &pairs)),
        "runs": runs
    })
}

/// The encoded messages of the base OTs, which decode to `pairs`.
fn encoded_by_core(case: &Case<'_>, pairs: &[[u128; 2]; 128]) -> Vec<u128> {
    let repetition = Repetition::from_k(case.u8("k")).unwrap();
    let mut memory = vec![0; repetition.leaves()];
    let mut leaves = Leaves::new(repetition, &mut memory).unwrap();
    let [mut roots, mut random] =
        ["roots", "encoding"].map(|name| Seed(case.seed(name)).stream(Domain::Label, 0));
    let hash = Tmmo::new(case.block("pairing"));
    let mut y = [[0; 2]; 128];
    let encoded = ot::encode(&mut leaves, &mut y, &mut roots, &mut random, &hash).unwrap();
    let encoded: Vec<_> = encoded.iter().flatten().collect();
    for (i, &message) in encoded.iter().enumerate() {
        let (j, second) = (i / 2, i % 2 == 1);
        assert_eq!(ot::decode(&hash, j, second, message), pairs[j][i % 2]);
    }
    encoded.concat()
}

/// What the server says to a run.
fn run_by_core(case: &Case<'_>) -> Value {
    let mut ots = Ots::new(case);
    let bytes = ots.repetition.correction_bytes_per_group();
    let (_, mut sender, _) = ots.set_up(case);
    let run = case.bytes("run");
    let (groups, proof) = run.split_last_chunk().unwrap();
    let (mask, corrections) = groups.split_at(bytes);
    let mut sums = [0; GROUP];
    sender.start(&mut sums, mask).unwrap();
    sender.extend(&mut sums, corrections, &mut vec![0; corrections.len() / bytes * GROUP]).unwrap();
    json!({ "code": sender.finish(&mut sums, proof).map_or_else(|error| error.code(), |()| 0) })
}

fn garbled_by_core<C: Circuit>(circuit: &C, neurons: usize, layer: u64) -> Value {
    let shape = totals(circuit);
    let (session, own, delta, zero) = garbling(neurons * shape.client_inputs as usize);
    let (session, own) = (Tmmo::new(session), Tmmo::new(own));
    let garbler = Garbler::new(&session, &own, delta, layer);
    let (mut tables, mut permute) = (vec![0; neurons * shape.table_bytes()], vec![0; neurons]);
    let buffers = GarbleBuffers { client_zero: &zero, tables: &mut tables, decode: &mut permute };
    garbler.garble_neurons::<C, 8>(circuit, 0..neurons as u64, buffers).unwrap();
    let per_record = shape.server_inputs as usize / circuit.steps();
    let mut labels = vec![0; neurons * shape.server_inputs as usize];
    for (record, labels) in labels.chunks_mut(per_record).enumerate() {
        garbler.active_labels(record as u64, 0, 0, labels).unwrap();
    }
    json!({
        "ands": shape.ands, "tables": hex(&reference::sha256(&tables)),
        "server_labels": blocks(&labels), "permute": permute
    })
}
