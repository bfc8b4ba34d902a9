//! The reference twin (tests/twin/twin.rs), its vectors (tests/vectors/twin.json), and the engine, held against each other.
//!
//! A case of the vectors has inputs and expected results. The twin must reproduce all of them, and so must the engine: by its public
//! functions where it has them, and message by message for whole sessions.
//! With `MINIONN_WRITE_VECTORS=1` the twin writes the file anew.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may panic")]

use crate::common;
#[path = "../../tests/twin/twin.rs"]
#[allow(dead_code, unreachable_pub, reason = "the twin is complete, not every part is called")]
mod twin;

use common::Memory;
use core::sync::atomic::{AtomicUsize, Ordering};
use minionn_core::garble::{Argmax, Circuit, Function, Garbler, Neuron, totals};
use minionn_core::hash::Tmmo;
use minionn_core::lattice::encode::{Encoder, Plaintext};
use minionn_core::lattice::encrypt::Mask;
use minionn_core::lattice::rescale::{Basis, Fraction};
use minionn_core::lattice::sample::{self, Noise, Ternary};
use minionn_core::lattice::{SecretKey, encrypt};
use minionn_core::model::Model;
use minionn_core::ot::{self, GROUP, Receiver, Repetition, Sender};
use minionn_core::plan::tile::Tile;
use minionn_core::plan::{self, Header, Plan, Quantisation};
use minionn_core::ring::{LIMBS, Modulus};
use minionn_core::rng::{Domain, Seed};
use minionn_core::session::engine::{Buffers, ClientEngine, ServerEngine, Status};
use minionn_core::session::{CLIENT_PAIRING_BYTES, Options, Pairing, Prepared, SERVER_PAIRING_BYTES, Tables, prepared_memory};
use minionn_core::wire::{Checksum, Greeting, packed_len, unpack, unpack_widths};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/twin.json");

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap()).collect()
}

fn block(x: u128) -> String {
    hex(&x.to_le_bytes())
}

/// SHA-256 over values as `i64`, little-endian, and the first four.
fn summary(values: impl IntoIterator<Item = i64>) -> Value {
    let values: Vec<i64> = values.into_iter().collect();
    let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    json!({ "first": values[..4], "sha256": hex(&twin::sha256(&bytes)) })
}

/// SHA-256 over blocks, and the first.
fn blocks(values: &[u128]) -> Value {
    let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    json!({ "first": block(values[0]), "sha256": hex(&twin::sha256(&bytes)) })
}

/// The inputs of a case.
struct Case<'v>(&'v Value);

impl Case<'_> {
    fn u64(&self, name: &str) -> u64 {
        self.0[name].as_u64().unwrap_or_else(|| panic!("{name} of {}", self.0))
    }
    fn usize(&self, name: &str) -> usize {
        self.u64(name) as usize
    }
    fn u8(&self, name: &str) -> u8 {
        self.u64(name) as u8
    }
    fn bytes(&self, name: &str) -> Vec<u8> {
        unhex(self.0[name].as_str().unwrap_or_else(|| panic!("{name} of {}", self.0)))
    }
    /// A seed of 32 equal bytes.
    fn seed(&self, name: &str) -> [u8; 32] {
        [self.u8(name); 32]
    }
    fn block(&self, name: &str) -> u128 {
        u128::from_le_bytes(self.bytes(name).try_into().unwrap())
    }
    fn numbers(&self, name: &str) -> Vec<u64> {
        self.0[name].as_array().unwrap().iter().map(|x| x.as_u64().unwrap()).collect()
    }
    fn fully_connected(&self) -> (u8, u8, u32, u32) {
        let u32 = |name| self.u64(name) as u32;
        (self.u8("ring"), self.u8("weight_bits"), u32("inputs"), u32("outputs"))
    }
}

// ---- Networks ------------------------------------------------------------------------------------------------------------

/// A network by name, with weights from the generator of common/mod.rs.
fn network(name: &str) -> twin::Network {
    use twin::Op::{Activation, Argmax, FullyConnected, Open, Square};
    let ops = match name {
        "relu" => vec![
            FullyConnected { ring: 20, weight_bits: 8, inputs: 20, outputs: 12 },
            Activation { ring: 20, ring_out: 19, shift: 7, relu: true, len: 12 },
            FullyConnected { ring: 19, weight_bits: 6, inputs: 12, outputs: 5 },
            Open { ring: 19, len: 5 },
        ],
        "square" => vec![
            FullyConnected { ring: 21, weight_bits: 10, inputs: 20, outputs: 9 },
            Activation { ring: 21, ring_out: 30, shift: 12, relu: false, len: 9 },
            Square { ring: 30, len: 9 },
            FullyConnected { ring: 30, weight_bits: 8, inputs: 9, outputs: 5 },
            Argmax { ring: 30, len: 5 },
        ],
        "chunks" => {
            vec![FullyConnected { ring: 22, weight_bits: 8, inputs: 4097, outputs: 3 }, Open { ring: 22, len: 3 }]
        }
        _ => panic!("no network {name}"),
    };
    let (mut weights, mut biases) = (vec![], vec![]);
    for op in &ops {
        if let FullyConnected { weight_bits, inputs, outputs, .. } = *op {
            let mut g = common::Lcg(u64::from(inputs) << 8 | u64::from(outputs));
            weights.push((0..inputs * outputs).map(|_| g.below(1 << weight_bits) as i64 - (1 << (weight_bits - 1))).collect());
            biases.push((0..outputs).map(|_| g.below(2000) as i64 - 1000).collect());
        }
    }
    twin::Network { step: 0.5, least: -100, greatest: 100, output_step: 0.125, name: name.into(), ops, weights, biases }
}

fn core_op(op: twin::Op) -> plan::Op {
    match op {
        twin::Op::FullyConnected { ring, weight_bits, inputs, outputs } => plan::Op::FullyConnected { ring, weight_bits, inputs, outputs },
        twin::Op::Activation { ring, ring_out, shift, relu, len } => {
            plan::Op::Activation { function: if relu { Function::Relu } else { Function::Identity }, ring_in: ring, ring_out, shift, len }
        }
        twin::Op::Square { ring, len } => plan::Op::Square { ring, len },
        twin::Op::Open { ring, len } => plan::Op::Open { ring, len },
        twin::Op::Argmax { ring, len } => plan::Op::Argmax { ring, len },
    }
}

/// Plan and model as the engine writes them.
fn core_files(net: &twin::Network) -> (Vec<u8>, Vec<u8>) {
    let ops: Vec<_> = net.ops.iter().map(|&op| core_op(op)).collect();
    let mut name = [0; 32];
    name[..net.name.len()].copy_from_slice(net.name.as_bytes());
    let header = Header {
        input_len: ops[0].input().1,
        output_len: ops.last().unwrap().output().1,
        input: Quantisation { scale: net.step, min: net.least, max: net.greatest },
        output_scale: net.output_step,
        name,
    };
    let mut plan = vec![0; plan::MAX_BYTES];
    let len = Plan::write(&header, &ops, &mut plan).unwrap();
    plan.truncate(len);
    let mut model = vec![0; Model::len_bytes(&Plan::parse(&plan).unwrap())];
    let inputs: Vec<usize> = ops.iter().filter(|op| op.is_linear()).map(|op| op.input().1 as usize).collect();
    Model::write(&plan, |l, i, j| net.weights[l][i * inputs[l] + j], |l, i| net.biases[l][i], &mut model).unwrap();
    (plan, model)
}

fn inputs(case: &Case<'_>, net: &twin::Network) -> Vec<Vec<i64>> {
    let plan = net.plan();
    let len = u32::from_le_bytes(plan[12..16].try_into().unwrap()) as usize;
    (0..case.u64("predictions")).map(|i| common::input(len, i)).collect()
}

// ---- The cases -----------------------------------------------------------------------------------------------------------

/// Inputs of all cases: type, and what varies.
fn cases() -> Vec<(&'static str, Vec<Value>)> {
    let seeds = [0, 7, 255];
    let mut hello = {
        let net = network("relu");
        let session_less = net.plan();
        let mut hello = b"MiniONN\0\x01\0\x04\x01".to_vec();
        hello.extend(3_u32.to_le_bytes());
        hello.extend(&session_less[session_less.len() - 32..]);
        hello.extend([0x5a; 32]);
        hello.extend([0; 16]);
        hello
    };
    let frame = |tag: u8, payload: &[u8]| json!({ "tag": tag, "payload": hex(payload) });
    let greeting = |comment: &str, frame: Vec<u8>| json!({ "comment": comment, "frame": hex(&frame) });
    let framed = |tag, payload: &[u8]| twin::Message { up: true, tag, payload: payload.to_vec() }.frame(0);
    let mut greetings = vec![greeting("a hello", framed(1, &hello)), greeting("asks for the plan", framed(2, &[1, 0]))];
    for (at, value, comment) in [
        (0, b'm', "magic"),
        (8, 2, "version"),
        (10, 3, "k is 1, 2, 4 or 8"),
        (11, 100, "modes of no options"),
        (12, 0, "a stock of 0"),
        (13, 0x10, "a stock of 4099"),
    ] {
        let before = core::mem::replace(&mut hello[at], value);
        greetings.push(greeting(comment, framed(1, &hello)));
        hello[at] = before;
    }
    let mut named = hello.clone();
    named[80..].fill(0xa5);
    greetings.push(greeting("a hello that names a pairing", framed(1, &named)));
    greetings.push(greeting("plan request of another version", framed(2, &[2, 0])));
    greetings.push(greeting("wrong length", framed(1, &hello[1..])));
    greetings.push(greeting("wrong tag", framed(4, &hello)));
    let mut damaged = framed(1, &hello);
    damaged[40] ^= 4;
    greetings.push(greeting("checksum", damaged));

    let widths = [1, 5, 8, 13, 27, 44, 53, 64];
    let values = |bits: u32| {
        let mut g = common::Lcg(bits.into());
        (0..11).map(|_| (g.next() << 33 ^ g.next() << 11 ^ g.next()) & (u64::MAX >> (64 - bits))).collect::<Vec<_>>()
    };
    let tile = |(ring, weight_bits, inputs, outputs, stock): (u8, u8, u32, u32, u32)| json!({ "ring": ring, "weight_bits": weight_bits, "inputs": inputs, "outputs": outputs, "stock": stock });
    let neurons = [(true, 20, 7, 19), (false, 21, 12, 30), (true, 8, 0, 44), (true, 44, 30, 8), (false, 9, 7, 9), (true, 13, 11, 13)];
    vec![
        ("Frame", vec![frame(8, &[]), frame(255, &[108, 0]), frame(16, b"123456789"), frame(1, &hello)]),
        ("Greeting", greetings),
        ("Packed", widths.map(|bits| json!({ "bits": bits, "values": values(bits) })).into()),
        (
            "Stream",
            seeds
                .iter()
                .flat_map(|&s| [(1, 0), (2, 5), (7, (1_u64 << 56) - 1)].map(|(d, i)| json!({ "seed": s, "domain": d, "index": i })))
                .collect(),
        ),
        ("Derive", seeds.map(|s| json!({ "seed": s, "index": 3 })).into()),
        ("Files", ["relu", "square", "chunks"].map(|name| json!({ "network": name })).into()),
        (
            "Tile",
            [
                (20, 8, 784, 128, 1),
                (20, 8, 784, 128, 5),
                (20, 8, 784, 128, 64),
                (22, 8, 4097, 2, 1),
                (44, 2, 100, 10, 3),
                (30, 8, 9, 9, 4096),
                (8, 2, 1, 1, 1),
                (25, 8, 1, 5000, 2),
                (18, 12, 16_384, 1, 1),
                (33, 8, 4096, 4096, 7),
                (44, 12, 100, 2, 1),
                (44, 12, 100, 10, 1),
                (44, 12, 4097, 2, 1),
            ]
            .map(tile)
            .into(),
        ),
        ("Transform", (0..4).map(|limb| json!({ "seed": 1, "limb": limb })).collect()),
        ("Uniform", (0..4).map(|limb| json!({ "seed": 9, "number": 5, "limb": limb })).collect()),
        ("Ternary", seeds.map(|s| json!({ "seed": s, "index": 1 })).into()),
        ("Noise", seeds.map(|s| json!({ "seed": s, "index": 2 })).into()),
        ("Flooding", [20, 58, 63, 87].map(|bits| json!({ "seed": 3, "index": 0, "bits": bits })).into()),
        (
            "Encode",
            [(8, 3), (20, 3), (33, 4), (44, 4)]
                .iter()
                .flat_map(|&(bits, limbs)| [0_u64, 1, (1 << bits) / 2, (1 << bits) - 1].map(|m| json!({ "bits": bits, "limbs": limbs, "m": m })))
                .chain([0, 1, 32_768, 65_536].map(|m| json!({ "bits": "slots", "limbs": 4, "m": m })))
                .collect(),
        ),
        ("Rescale", [(3, 29), (4, 26), (4, 42)].map(|(limbs, bits)| json!({ "limbs": limbs, "bits": bits, "seed": 4 })).into()),
        ("PublicKey", vec![json!({ "secret": 1, "noise": 2, "public": 3 })]),
        (
            "Upload",
            [(20, 3), (33, 4)].map(|(bits, limbs)| json!({ "bits": bits, "limbs": limbs, "secret": 1, "noise": 4, "public": 5, "number": 2 })).into(),
        ),
        (
            "TMMO",
            vec![
                json!({ "key": block(0), "x": block(0), "tweak": block(0) }),
                json!({ "key": block(7), "x": block(u128::MAX / 3), "tweak": block(1 << 127 | 99) }),
            ],
        ),
        (
            "Extension",
            [1, 2, 4, 8].map(|k| json!({ "k": k, "pairing": block(78), "session": block(77), "roots": 6, "delta": block((u128::MAX / 5) | 1), "choices": [block(1), block(u128::MAX / 7)] })).into(),
        ),
        (
            "Activation",
            neurons.map(|(relu, ring, shift, ring_out)| json!({ "relu": relu, "ring": ring, "shift": shift, "ring_out": ring_out, "neurons": 3, "layer": 65_538 })).into(),
        ),
        ("Argmax", [(8, 1), (20, 2), (19, 10), (44, 5)].map(|(ring, elements)| json!({ "ring": ring, "elements": elements, "layer": 4 })).into()),
        ("Product", [(8, 255_u64), (30, 12_345_678), (44, 1 << 43)].map(|(ring, v)| json!({ "ring": ring, "a": v / 3, "v": v, "layer": 2, "element": 5 })).into()),
        (
            "Session",
            vec![
                json!({ "network": "relu", "k": 8, "streamed": false, "stock": 2, "client": 1, "server": 2, "predictions": 4, "keep": true }),
                json!({ "network": "square", "k": 2, "streamed": true, "stock": 1, "client": 3, "server": 4, "predictions": 2 }),
                json!({ "network": "square", "k": 4, "streamed": false, "stock": 3, "client": 5, "server": 6, "predictions": 3 }),
                json!({ "network": "chunks", "k": 1, "streamed": false, "stock": 1, "client": 7, "server": 8, "predictions": 1 }),
                json!({ "network": "square", "k": 2, "streamed": true, "stock": 2, "client": 9, "server": 10, "predictions": 2,
                    "keep": true, "after": { "network": "relu", "k": 2, "streamed": false, "stock": 1, "client": 11, "server": 12 } }),
            ],
        ),
    ]
}

/// Some polynomial: noise and a few large values.
fn rescale_values(limbs: usize, seed: [u8; 32]) -> Vec<u128> {
    let mut stream = twin::Stream::new(seed, 6, 0);
    (0..64).map(|_| u128::from_le_bytes(stream.bytes()) % twin::modulus(limbs)).collect()
}

fn message(bits: u32) -> Vec<u64> {
    let mut g = common::Lcg(bits.into());
    (0..twin::N).map(|i| if i % 3 == 0 { g.below(1 << bits) } else { 0 }).collect()
}

/// Labels for garbling: session key, own key, Δ, and zero labels of the client.
fn garbling(count: usize) -> (u128, u128, u128, Vec<u128>) {
    let mut stream = twin::Stream::new([12; 32], 7, 3);
    let mut block = || u128::from_le_bytes(stream.bytes());
    (block(), block(), block() | 1, (0..count).map(|_| block()).collect())
}

// ---- What the twin says --------------------------------------------------------------------------------------------------

fn by_twin(kind: &str, case: &Case<'_>) -> Value {
    match kind {
        "Frame" => json!({ "frame": hex(&twin::Message { up: true, tag: case.u8("tag"), payload: case.bytes("payload") }.frame(0)) }),
        "Greeting" => json!({ "code": greeting_by_twin(&case.bytes("frame")) }),
        "Packed" => json!({ "bytes": hex(&twin::pack_all(&case.numbers("values"), case.u64("bits") as u32)) }),
        "Stream" => {
            let mut stream = twin::Stream::new(case.seed("seed"), case.u64("domain"), case.u64("index"));
            let bytes: [u8; 1000] = stream.bytes();
            json!({ "first": hex(&bytes[..16]), "sha256_of_1000": hex(&twin::sha256(&bytes)) })
        }
        "Derive" => json!({ "seed": hex(&twin::derive(case.seed("seed"), case.u64("index"))) }),
        "Files" => {
            let net = network(case.0["network"].as_str().unwrap());
            let model = net.model();
            json!({ "plan": hex(&net.plan()), "model_bytes": model.len(), "model_sha256": hex(&twin::sha256(&model)) })
        }
        "Tile" => {
            let (ring, weight_bits, inputs, outputs) = case.fully_connected();
            match twin::Tile::choose(twin::Op::FullyConnected { ring, weight_bits, inputs, outputs }, case.usize("stock")) {
                Some(t) => {
                    json!({ "n_b": t.n_b, "n_o": t.n_o, "n_w": t.n_w, "limbs": t.limbs, "flood": t.flood, "upload": t.upload(), "download": t.download() })
                }
                None => json!({ "refused": true }),
            }
        }
        "Transform" => {
            let limb = case.usize("limb");
            let a = twin::uniform(case.seed("seed"), 0, limb);
            let values = twin::transform(&a, twin::LIMBS[limb]);
            assert_eq!(twin::interpolate(&values, twin::LIMBS[limb]), a);
            for i in [0, 1, 2, 77, 2048, 4095_u16] {
                let point = 2 * usize::from(i.reverse_bits() >> 4) + 1;
                assert_eq!(values[usize::from(i)], twin::value_at(&a, point, twin::LIMBS[limb]), "index {i}");
            }
            summary(values.iter().map(|&x| x as i64))
        }
        "Uniform" => summary(twin::uniform(case.seed("seed"), case.u64("number"), case.usize("limb")).iter().map(|&x| x as i64)),
        "Ternary" => summary(twin::ternary(case.seed("seed"), case.u64("index")).iter().map(|&x| x as i64)),
        "Noise" => summary(twin::noise(case.seed("seed"), case.u64("index"), twin::N).iter().map(|&x| x as i64)),
        "Flooding" => {
            let values = twin::flooding(case.seed("seed"), case.u64("index"), case.u64("bits") as u32, 100);
            let residues = |p: u64| summary(values.iter().map(|x| x.rem_euclid(p.into()) as i64));
            json!({ "exact": values[..4].iter().map(|x| x.to_string()).collect::<Vec<_>>(), "limbs": twin::LIMBS.map(residues) })
        }
        "Encode" => {
            let p = case.0["bits"].as_u64().map_or(twin::T, |bits| 1 << bits);
            let limbs = case.usize("limbs");
            let exact = twin::encode(case.u64("m"), p, limbs);
            json!({ "exact": exact.to_string(), "residues": twin::LIMBS[..limbs].iter().map(|&q| (exact % u128::from(q)) as u64).collect::<Vec<_>>() })
        }
        "Rescale" => {
            let values = rescale_values(case.usize("limbs"), case.seed("seed"));
            json!({ "rounded": values.iter().map(|&x| twin::rescale(x, case.usize("limbs"), case.u64("bits") as u32)).collect::<Vec<_>>() })
        }
        "PublicKey" => {
            let key = twin::Key::new(case.seed("secret"));
            let b = key.encrypt(&[0; twin::N], 4, 0, case.seed("public"), case.seed("noise"));
            json!({ "limbs": b.iter().map(|b| summary(b.iter().map(|&x| x as i64))).collect::<Vec<_>>() })
        }
        "Upload" => {
            let (bits, limbs) = (case.u64("bits") as u32, case.usize("limbs"));
            let key = twin::Key::new(case.seed("secret"));
            let m: Vec<u128> = message(bits).iter().map(|&m| twin::encode(m, 1 << bits, limbs)).collect();
            let c0 = key.encrypt(&m, limbs, case.u64("number"), case.seed("public"), case.seed("noise"));
            json!({ "limbs": c0.iter().map(|c| summary(c.iter().map(|&x| x as i64))).collect::<Vec<_>>() })
        }
        "TMMO" => json!({ "hash": block(twin::tmmo(case.block("key"), case.block("x"), case.block("tweak"))) }),
        "Extension" => {
            let mut roots = twin::Stream::new(case.seed("roots"), 7, 0);
            let trees = twin::Trees::new(case.block("pairing"), case.usize("k"), || u128::from_le_bytes(roots.bytes()));
            let trees = trees.of_session(case.block("session"));
            let choices: Vec<u128> = case.0["choices"].as_array().unwrap().iter().map(|c| Case(&json!({ "c": c })).block("c")).collect();
            let groups: Vec<_> = choices.iter().zip(0..).map(|(&c, number)| trees.extend(number, c, case.block("delta"))).collect();
            let all = |f: fn(&twin::Group) -> &Vec<u128>| blocks(&groups.iter().flat_map(|g| f(g).clone()).collect::<Vec<_>>());
            let messages: Vec<u128> = trees.messages().iter().flat_map(|&(m0, m1)| [m0, m1]).collect();
            json!({ "messages": blocks(&messages), "corrections": all(|g| &g.corrections), "t": all(|g| &g.t), "q": all(|g| &g.q) })
        }
        "Activation" => {
            let relu = case.0["relu"].as_bool().unwrap();
            let (ring, shift, ring_out) = (case.usize("ring"), case.usize("shift"), case.usize("ring_out"));
            let circuit = twin::Circuit::activation(relu, ring, shift, ring_out);
            garbled_by_twin(&circuit, case.usize("neurons"), ring + ring_out, case.u64("layer"))
        }
        "Argmax" => {
            let (ring, elements) = (case.usize("ring"), case.usize("elements"));
            garbled_by_twin(&twin::Circuit::argmax(ring, elements), 1, ring * elements, case.u64("layer"))
        }
        "Product" => {
            let (ring, t, q, session, delta, tweak) = product_labels(case);
            let p = twin::product(session, ring, case.u64("a"), case.u64("v"), &q, &t, delta, tweak);
            json!({ "corrections": p.corrections, "p_s": p.p_s, "p_c": p.p_c })
        }
        "Session" => {
            let run = session_by_twin(case);
            json!({ "messages": messages(&run.messages), "answers": run.answers, "pairing": run.pairing })
        }
        _ => panic!("no such case: {kind}"),
    }
}

/// The document's rules for a first frame: 0 or the code of the refusal.
fn greeting_by_twin(frame: &[u8]) -> u16 {
    let length = u32::from_le_bytes(frame[1..5].try_into().unwrap());
    let payload = &frame[5..frame.len() - 4];
    let (plan_request, known) = (frame[0] == 2, frame[0] == 1 || frame[0] == 2);
    if !known {
        return 102;
    }
    if length != if plan_request { 2 } else { 96 } {
        return 103;
    }
    if twin::crc32(&frame[..frame.len() - 4]).to_le_bytes() != frame[frame.len() - 4..] {
        return 104;
    }
    let version = if plan_request { payload } else { &payload[8..10] };
    let stock = || u32::from_le_bytes(payload[12..16].try_into().unwrap());
    match () {
        () if !plan_request && payload[..8] != *b"MiniONN\0" => 108,
        () if version != [1, 0] => 105,
        () if !plan_request && (![1, 2, 4, 8].contains(&payload[10]) || payload[11] > 1 || !(1..=4096).contains(&stock())) => 107,
        () => 0,
    }
}

fn garbled_by_twin(circuit: &twin::Circuit, neurons: usize, client_bits: usize, layer: u64) -> Value {
    let (session, own, delta, zero) = garbling(neurons * client_bits);
    let garbled: Vec<_> =
        zero.chunks(client_bits).enumerate().map(|(n, zero)| circuit.garble(session, own, delta, layer, n, zero)).collect();
    let tables: Vec<u8> = garbled.iter().flat_map(|g| g.tables.concat()).collect();
    let labels: Vec<u128> = garbled.iter().flat_map(|g| g.server_zero.concat()).collect();
    json!({
        "ands": circuit.ands(),
        "tables": hex(&twin::sha256(&tables)),
        "server_labels": blocks(&labels),
        "permute": garbled.iter().map(|g| g.permute).collect::<Vec<_>>(),
    })
}

fn product_labels(case: &Case<'_>) -> (u32, Vec<u128>, Vec<u128>, u128, u128, u128) {
    let ring = case.u64("ring") as u32;
    let (session, _, delta, q) = garbling(ring as usize);
    let t = q.iter().enumerate().map(|(i, q)| q ^ if case.u64("v") >> i & 1 == 1 { delta } else { 0 }).collect();
    (ring, t, q, session, delta, u128::from(case.u64("layer")) << 40 | u128::from(case.u64("element")) << 8)
}

/// Direction, tag, length, digest.
fn messages(all: &[twin::Message]) -> Value {
    let line = |m: &twin::Message| {
        format!("{} {} {} {}", if m.up { "up" } else { "down" }, m.tag, m.payload.len(), hex(&twin::sha256(&m.payload)))
    };
    all.iter().map(line).collect::<Vec<_>>().into()
}

/// What both parties keep of a session, if they do.
fn kept(case: &Case<'_>, [client, server]: [&[u8]; 2]) -> Value {
    if case.0["keep"] == true { json!({ "client": hex(client), "server_sha256": hex(&twin::sha256(server)) }) } else { Value::Null }
}

/// The session that made the pairing, if this one goes on with it.
fn earlier<'v>(case: &Case<'v>) -> Option<Case<'v>> {
    case.0.get("after").map(Case)
}

/// What a session gives.
struct Run {
    messages: Vec<twin::Message>,
    answers: Value,
    pairing: Value,
    base_ot: [Vec<u64>; 2],
}

fn twin_options(case: &Case<'_>) -> twin::Options {
    twin::Options { k: case.usize("k"), streamed: case.0["streamed"].as_bool().unwrap(), stock: case.usize("stock") }
}

/// The twin's session; made once.
fn session_by_twin(case: &Case<'_>) -> Arc<Run> {
    type Slot = Arc<OnceLock<Arc<Run>>>;
    static RUNS: OnceLock<Mutex<HashMap<String, Slot>>> = OnceLock::new();
    let slot = RUNS.get_or_init(Mutex::default).lock().unwrap().entry(case.0.to_string()).or_default().clone();
    slot.get_or_init(|| {
        let net = network(case.0["network"].as_str().unwrap());
        let options = twin_options(case);
        let seeds = |case: &Case<'_>| [case.seed("client"), case.seed("server")];
        let pairing = earlier(case).map(|first| {
            let net = network(first.0["network"].as_str().unwrap());
            twin::Session::new(&net, twin_options(&first), seeds(&first), None).pairing
        });
        let mut session = twin::Session::new(&net, options, seeds(case), pairing.as_ref());
        if case.0["keep"] == true {
            session.keep();
        }
        let mut answers = vec![];
        for stock in inputs(case, &net).chunks(options.stock) {
            for ((best, opened), x) in session.predict(stock).into_iter().zip(stock) {
                let clear = net.evaluate(x);
                let first = (0..clear.len()).find(|&i| clear[i] == *clear.iter().max().unwrap());
                assert!(first == Some(best) && (opened.is_empty() || opened == clear), "the twin's own answer");
                answers.push(json!({ "best": best, "opened": opened }));
            }
        }
        session.close();
        let [client, server] = session.pairing.export();
        let pairing = kept(case, [&client, &server]);
        Arc::new(Run { answers: answers.into(), pairing, base_ot: session.base_ot.clone(), messages: session.messages })
    })
    .clone()
}

// ---- What the engine says ------------------------------------------------------------------------------------------------

fn domain(number: u64) -> Domain {
    let all = [Domain::Derive, Domain::Uniform, Domain::Ternary, Domain::Noise, Domain::Flood, Domain::Mask, Domain::Label];
    all[number as usize - 1]
}

/// What of a case the engine has public functions for; `expected` is for those parts that it keeps to itself.
fn by_core(kind: &str, case: &Case<'_>, expected: &Value) -> Value {
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
            json!({ "code": match result { Ok(greeting) => { assert!(greeting.is_some()); 0 } Err(error) => error.code() } })
        }
        "Packed" => {
            let (bits, values) = (case.u64("bits") as u32, case.numbers("values"));
            let mut bytes = vec![0; packed_len(values.len() as u64, bits) as usize];
            minionn_core::wire::pack(&values, bits, &mut bytes);
            let mut back = vec![0; values.len()];
            assert!(unpack(&bytes, bits, &mut back) && back == values);
            json!({ "bytes": hex(&bytes) })
        }
        "Stream" => {
            let mut prg = Seed(case.seed("seed")).stream(domain(case.u64("domain")), case.u64("index"));
            let mut bytes = [0; 1000];
            bytes[..4].copy_from_slice(&prg.next_u32().to_le_bytes());
            bytes[4..12].copy_from_slice(&prg.next_u64().to_le_bytes());
            bytes[12..28].copy_from_slice(&prg.next_u128().to_le_bytes());
            prg.fill(&mut bytes[28..]);
            json!({ "first": hex(&bytes[..16]), "sha256_of_1000": hex(&twin::sha256(&bytes)) })
        }
        "Derive" => json!({ "seed": hex(&Seed(case.seed("seed")).derive(case.u64("index")).0) }),
        "Files" => {
            let (plan, model) = core_files(&network(case.0["network"].as_str().unwrap()));
            json!({ "plan": hex(&plan), "model_bytes": model.len(), "model_sha256": hex(&twin::sha256(&model)) })
        }
        "Tile" => {
            let (ring, weight_bits, inputs, outputs) = case.fully_connected();
            match Tile::choose(&plan::Op::FullyConnected { ring, weight_bits, inputs, outputs }, case.usize("stock")) {
                Ok(t) => {
                    json!({ "n_b": t.n_b, "n_o": t.n_o, "n_w": t.n_c, "limbs": t.level.limbs, "flood": t.level.flood, "upload": t.upload_bytes(), "download": t.download_bytes() })
                }
                Err(_) => json!({ "refused": true }),
            }
        }
        "Transform" => {
            let limb = &LIMBS[case.usize("limb")];
            let mut a = vec![0; twin::N];
            Mask::new(&Seed(case.seed("seed")), 0, case.usize("limb")).fill(limb, &mut a);
            limb.forward(&mut a);
            summary(a.iter().map(|&x| i64::from(limb.canonical(x))))
        }
        "Uniform" => {
            let limb = &LIMBS[case.usize("limb")];
            let mut a = vec![0; twin::N];
            Mask::new(&Seed(case.seed("seed")), case.u64("number"), case.usize("limb")).fill(limb, &mut a);
            summary(a.into_iter().map(i64::from))
        }
        "Ternary" => {
            let mut values = [0; twin::N];
            Ternary::new(Seed(case.seed("seed")).stream(Domain::Ternary, case.u64("index"))).fill(&mut values);
            summary(values.map(i64::from))
        }
        "Noise" => {
            let mut values = [0; twin::N];
            Noise::new(Seed(case.seed("seed")).stream(Domain::Noise, case.u64("index"))).fill(&mut values);
            summary(values.map(i64::from))
        }
        "Flooding" => {
            let residues = LIMBS.each_ref().map(|limb| {
                let mut prg = Seed(case.seed("seed")).stream(Domain::Flood, case.u64("index"));
                summary((0..100).map(|_| i64::from(limb.canonical(sample::flood(&mut prg, case.u64("bits") as u32, limb)))))
            });
            json!({ "exact": expected["exact"], "limbs": residues })
        }
        "Encode" => {
            let plaintext = case.0["bits"].as_u64().map_or(Plaintext::Slots, |bits| Plaintext::Bits(bits as u32));
            let encoder = Encoder::new(plaintext, case.usize("limbs"));
            let residue = |i: usize| LIMBS[i].canonical(encoder.encode(i, case.u64("m")));
            json!({ "exact": expected["exact"], "residues": (0..case.usize("limbs")).map(residue).collect::<Vec<_>>() })
        }
        "Rescale" => {
            let (limbs, bits) = (case.usize("limbs"), case.u64("bits") as u32);
            let basis = Basis::new(limbs);
            let rounded = rescale_values(limbs, case.seed("seed")).into_iter().map(|x| {
                let mut sum = 0_u64;
                for (i, limb) in LIMBS.iter().enumerate().take(limbs) {
                    basis.add(i, &[(x % limb.q as u128) as i32], core::slice::from_mut(&mut sum));
                }
                sum.round(bits)
            });
            json!({ "rounded": rounded.collect::<Vec<_>>() })
        }
        "PublicKey" => json!({ "limbs": encryptions(case, &vec![0; twin::N], None, 4, 0) }),
        "Upload" => {
            let bits = case.u64("bits") as u32;
            let encoder = Encoder::new(Plaintext::Bits(bits), case.usize("limbs"));
            json!({ "limbs": encryptions(case, &message(bits), Some(&encoder), case.usize("limbs"), case.u64("number")) })
        }
        "TMMO" => json!({ "hash": block(Tmmo::new(case.block("key")).hash([case.block("x")], [case.block("tweak")])[0]) }),
        "Extension" => extension_by_core(case),
        "Activation" => {
            let bits = |name| Modulus::Bits(case.u8(name));
            let function = if case.0["relu"] == true { Function::Relu } else { Function::Identity };
            let neuron = Neuron { function, modulus_in: bits("ring"), modulus_out: bits("ring_out"), shift: case.u8("shift") };
            garbled_by_core(&neuron, case.usize("neurons"), case.u64("layer"))
        }
        "Argmax" => {
            let argmax = Argmax { modulus: Modulus::Bits(case.u8("ring")), inputs: case.u64("elements") as u32 };
            garbled_by_core(&argmax, 1, case.u64("layer"))
        }
        "Product" => {
            let (ring, t, q, session, delta, tweak) = product_labels(case);
            let (modulus, hash) = (Modulus::Bits(ring as u8), Tmmo::new(session));
            let mut corrections = vec![0; ring as usize];
            let p_s = ot::product::server_product(modulus, case.u64("a"), &q, delta, &hash, tweak, &mut corrections).unwrap();
            let p_c = ot::product::client_product(modulus, case.u64("v"), &t, &hash, tweak, &corrections).unwrap();
            let bytes = twin::pack(corrections.iter().zip(0..).map(|(&c, i)| (c, ring - i)));
            let mut back = vec![0; ring as usize];
            assert!(unpack_widths(&bytes, |i| ring - i as u32, &mut back) && back == corrections);
            json!({ "corrections": corrections, "p_s": p_s, "p_c": p_c })
        }
        "Session" => session_by_core(case),
        _ => panic!("no such case: {kind}"),
    }
}

fn encryptions(case: &Case<'_>, message: &[u64], encoder: Option<&Encoder>, limbs: usize, number: u64) -> Vec<Value> {
    let key = SecretKey::new(Seed(case.seed("secret")));
    let (public, mut noise) = (Seed(case.seed("public")), vec![0; twin::N]);
    encrypt::noise(&Seed(case.seed("noise")), number, &mut noise);
    let limb = |index: usize| {
        let mut secret = vec![0; twin::N];
        key.expand(&LIMBS[index], &mut secret);
        let mut poly: Vec<i32> = message.iter().map(|&m| encoder.map_or(0, |e| e.encode(index, m))).collect();
        SecretKey::encrypt_limb(index, number, &public, &noise, &secret, &mut poly);
        summary(poly.iter().map(|&x| i64::from(x)))
    };
    (0..limbs).map(limb).collect()
}

fn extension_by_core(case: &Case<'_>) -> Value {
    let repetition = Repetition::from_k(case.u8("k")).unwrap();
    let (pairing, session, delta) = (Tmmo::new(case.block("pairing")), Tmmo::new(case.block("session")), case.block("delta"));
    let choices: Vec<u128> = case.0["choices"].as_array().unwrap().iter().map(|c| Case(&json!({ "c": c })).block("c")).collect();
    let (mut client_leaves, mut server_leaves) = (vec![0; repetition.leaves()], vec![0; repetition.leaves()]);
    let mut pairs = vec![[0; 2]; 128];
    let mut roots = Seed(case.seed("roots")).stream(Domain::Label, 0);
    let mut receiver = Receiver::new(repetition, &mut roots, &pairing, &session, &mut client_leaves, &mut pairs).unwrap();
    let received: Vec<u128> = pairs.iter().enumerate().map(|(j, m)| m[(delta >> j & 1) as usize]).collect();
    let mut sender = Sender::new(repetition, delta, &received, &pairing, &session, &mut server_leaves).unwrap();
    let mut corrections = vec![0; choices.len() * repetition.correction_bytes_per_group()];
    let (mut t, mut q) = (vec![0; choices.len() * GROUP], vec![0; choices.len() * GROUP]);
    receiver.extend(&choices, &mut t, &mut corrections).unwrap();
    sender.extend(&corrections, &mut q).unwrap();
    let corrections: Vec<u128> = corrections.chunks(16).map(|c| u128::from_le_bytes(c.try_into().unwrap())).collect();
    json!({ "messages": blocks(&pairs.concat()), "corrections": blocks(&corrections), "t": blocks(&t), "q": blocks(&q) })
}

fn garbled_by_core<C: Circuit>(circuit: &C, neurons: usize, layer: u64) -> Value {
    let shape = totals(circuit);
    let (session, own, delta, zero) = garbling(neurons * shape.client_inputs as usize);
    let (session, own) = (Tmmo::new(session), Tmmo::new(own));
    let garbler = Garbler::new(&session, &own, delta, layer);
    let (mut tables, mut permute) = (vec![0; neurons * shape.table_bytes()], vec![0; neurons]);
    garbler.garble_neurons::<C, 8>(circuit, 0, neurons, &zero, &mut tables, &mut permute).unwrap();
    let per_record = shape.server_inputs as usize / circuit.steps();
    let mut labels = vec![0; neurons * shape.server_inputs as usize];
    for (record, labels) in labels.chunks_mut(per_record).enumerate() {
        garbler.active_labels(record as u64, 0, 0, per_record, labels);
    }
    json!({ "ands": shape.ands, "tables": hex(&twin::sha256(&tables)), "server_labels": blocks(&labels), "permute": permute })
}

/// Both engines in memory, and what they sent.
struct Wire {
    up: Vec<u8>,
    down: Vec<u8>,
    /// Whose turn it was to send: true for the client.
    order: Vec<bool>,
}

impl Wire {
    /// Moves bytes until the client is idle or closed.
    fn settle(&mut self, client: &mut ClientEngine<'_>, server: &mut ServerEngine<'_>) -> Status {
        let mut buffer = vec![0; 1 << 16];
        loop {
            let status = client.poll().unwrap();
            let up = client.drain(&mut buffer);
            self.up.extend(&buffer[..up]);
            self.order.extend((up > 0).then_some(true));
            assert_eq!(server.feed(&buffer[..up]), up);
            server.poll().unwrap();
            let down = server.drain(&mut buffer);
            self.down.extend(&buffer[..down]);
            self.order.extend((down > 0).then_some(false));
            assert_eq!(client.feed(&buffer[..down]), down);
            if up + down == 0 && status != Status::Busy {
                return status;
            }
        }
    }
}

/// The frames of one direction.
fn frames(mut bytes: &[u8], up: bool) -> std::collections::VecDeque<twin::Message> {
    let mut frames = std::collections::VecDeque::new();
    while !bytes.is_empty() {
        let length = u32::from_le_bytes(bytes[1..5].try_into().unwrap()) as usize;
        let (frame, rest) = bytes.split_at(length + 9);
        let message = twin::Message { up, tag: frame[0], payload: frame[5..5 + length].to_vec() };
        assert_eq!(message.frame(frames.len() as u64), frame);
        frames.push_back(message);
        bytes = rest;
    }
    frames
}

/// Both halves of a pairing, exported.
type Halves = [Vec<u8>; 2];

/// Both engines up to the end of set-up, or on a pairing instead of one; then `run`.
fn engines<T>(
    case: &Case<'_>,
    pairing: Option<&Halves>,
    run: impl FnOnce(&mut Wire, &mut ClientEngine<'_>, &mut ServerEngine<'_>) -> T,
) -> T {
    let net = network(case.0["network"].as_str().unwrap());
    let bytes = core_files(&net).1;
    let model = Model::parse(&bytes).unwrap();
    let plan = *model.plan();
    let tables = if case.0["streamed"] == true { Tables::Streamed } else { Tables::Stored };
    let options =
        Options { repetition: Repetition::from_k(case.u8("k")).unwrap(), tables, stock: case.u64("stock") as u32, ..Options::default() };
    let buffers = Buffers::default();
    let mut weights = Memory::new(prepared_memory(&plan, options.stock).unwrap());
    let prepared = Prepared::new(model, options.stock, weights.bytes()).unwrap();
    let mut client_memory = Memory::new(ClientEngine::memory(&plan, &options, buffers).unwrap());
    let mut server_memory = Memory::new(ServerEngine::memory(&plan, &options, buffers).unwrap());
    let [own, peers] = pairing.map_or([None, None], |halves| halves.each_ref().map(|half| Some(Pairing::parse(half).unwrap())));
    let (seed, memory) = (Seed(case.seed("client")), client_memory.bytes());
    let client = match &own {
        None => ClientEngine::new(plan, options, buffers, memory, seed),
        Some(own) => ClientEngine::resume(plan, options, buffers, memory, seed, own),
    };
    let (seed, memory) = (Seed(case.seed("server")), server_memory.bytes());
    let server = match &peers {
        None => ServerEngine::new(&prepared, options, buffers, memory, seed),
        Some(peers) => ServerEngine::resume(&prepared, options, buffers, memory, seed, peers),
    };
    let (mut client, mut server) = (client.unwrap(), server.unwrap());
    let mut wire = Wire { up: vec![], down: vec![], order: vec![] };
    assert_eq!(wire.settle(&mut client, &mut server), Status::Idle);
    run(&mut wire, &mut client, &mut server)
}

/// Exports both halves.
fn export(wire: &mut Wire, client: &mut ClientEngine<'_>, server: &mut ServerEngine<'_>) -> Halves {
    let mut halves = [vec![0; CLIENT_PAIRING_BYTES], vec![0; SERVER_PAIRING_BYTES]];
    assert_eq!(client.export(&mut halves[0]), Ok(CLIENT_PAIRING_BYTES));
    assert!(!server.keep_asked());
    assert_eq!(wire.settle(client, server), Status::Idle);
    assert!(server.keep_asked());
    assert_eq!(server.export(&mut halves[1]), Ok(SERVER_PAIRING_BYTES));
    halves
}

fn session_by_core(case: &Case<'_>) -> Value {
    let pairing = earlier(case).map(|first| engines(&first, None, export));
    engines(case, pairing.as_ref(), |wire, client, server| {
        let keep = case.0["keep"] == true;
        let [own, peers] = if keep { export(wire, client, server) } else { Halves::default() };
        let mut answers = vec![];
        for stock in inputs(case, &network(case.0["network"].as_str().unwrap())).chunks(case.usize("stock")) {
            client.prepare().unwrap();
            assert_eq!(wire.settle(client, server), Status::Idle);
            for x in stock {
                client.predict_quantised(x).unwrap();
                assert_eq!(wire.settle(client, server), Status::Idle);
                let mut opened = vec![0; client.answer_len()];
                answers.push(json!({ "best": client.answer(&mut opened).unwrap(), "opened": opened }));
            }
        }
        client.close().unwrap();
        assert_eq!(wire.settle(client, server), Status::Closed);
        json!({ "messages": sent(case, wire), "answers": answers, "pairing": kept(case, [&own, &peers]) })
    })
}

/// What went over the wire, held against the twin.
fn sent(case: &Case<'_>, wire: &mut Wire) -> Value {
    // Both directions must have the twin's frames, and turns must change where the twin's do.
    let run = session_by_twin(case);
    let mut turns: Vec<bool> = run.messages.iter().map(|m| m.up).collect();
    turns.dedup();
    wire.order.dedup();
    assert_eq!(wire.order, turns);
    let (mut up, mut down) = (frames(&wire.up, true), frames(&wire.down, false));
    let mut all = vec![];
    for twin in &run.messages {
        let queue = if twin.up { &mut up } else { &mut down };
        let Some(mut message) = queue.pop_front() else { break };
        if message.tag == 7 {
            // Where the document allows a difference of one in the last bit.
            compare_base_ot(&message.payload, &run.base_ot);
            message.payload.clone_from(&twin.payload);
        }
        all.push(message);
    }
    all.extend(up.into_iter().chain(down));
    messages(&all)
}

fn compare_base_ot(payload: &[u8], exact: &[Vec<u64>; 2]) {
    let split = packed_len(twin::N as u64, 21) as usize;
    for (bytes, (bits, exact)) in [&payload[..split], &payload[split..]].into_iter().zip([21, 26].into_iter().zip(exact)) {
        let mut values = vec![0; twin::N];
        assert!(unpack(bytes, bits, &mut values));
        let off = |&(a, b): &(&u64, &u64)| a != b;
        let near = |(&a, &b): (&u64, &u64)| [0, 1, (1 << bits) - 1].contains(&(a.wrapping_sub(b) % (1 << bits)));
        assert!(values.iter().zip(exact).all(near), "rounded to within one");
        let differ = values.iter().zip(exact).filter(off).count();
        assert!(differ < twin::N / 4, "{differ} differ in the last bit");
    }
}

// ---- The tests -----------------------------------------------------------------------------------------------------------

/// Every case of the committed file: type, inputs, expected, number.
fn committed() -> Vec<(String, Value, Value, u64)> {
    let file: Value = serde_json::from_str(&std::fs::read_to_string(FILE).unwrap()).unwrap();
    let mut all = vec![];
    for group in file["testGroups"].as_array().unwrap() {
        for test in group["tests"].as_array().unwrap() {
            let kind = group["type"].as_str().unwrap().to_owned();
            all.push((kind, test["input"].clone(), test["expected"].clone(), test["tcId"].as_u64().unwrap()));
        }
    }
    assert_eq!(file["numberOfTests"].as_u64(), Some(all.len() as u64));
    all
}

fn write() {
    let mut number = 0;
    let mut groups = vec![];
    for (kind, inputs) in cases() {
        let tests: Vec<Value> = inputs
            .iter()
            .map(|input| {
                number += 1;
                let expected = by_twin(kind, &Case(input));
                let refused = expected["code"].as_u64().is_some_and(|c| c != 0) || expected["refused"] == true;
                json!({ "tcId": number, "input": input, "expected": expected, "result": if refused { "invalid" } else { "valid" } })
            })
            .collect();
        groups.push(json!({ "type": kind, "tests": tests }));
    }
    let notes = json!({
        "seeds": "a number stands for 32 bytes of that value",
        "blocks": "16 bytes, little-endian, in hexadecimal",
        "first, sha256": "the first values; SHA-256 over all of them as i64, little-endian (blocks as they are)",
        "messages": "direction, tag, length of the payload, SHA-256 of the payload",
        "weights, inputs, labels": "see core/tests/twin.rs",
    });
    let file = json!({
        "algorithm": "MiniONN protocol, version 1", "source": "tests/twin/twin.rs, from docs/protocol.md",
        "notes": notes, "numberOfTests": number, "testGroups": groups
    });
    std::fs::write(FILE, serde_json::to_string_pretty(&file).unwrap() + "\n").unwrap();
}

/// Runs a check on every case, several at a time: sessions take a second each.
fn each(check: impl Fn(&str, &Value, &Value, u64) + Sync) {
    let cases = committed();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some((kind, input, expected, id)) = cases.iter().rev().nth(next.fetch_add(1, Ordering::Relaxed)) {
                    check(kind, input, expected, *id);
                }
            });
        }
    });
}

#[test]
fn twin_and_engine_reproduce_the_vectors() {
    if std::env::var_os("MINIONN_WRITE_VECTORS").is_some_and(|v| v == "1") {
        write();
    }
    let inputs: Vec<_> = cases().into_iter().flat_map(|(kind, inputs)| inputs.into_iter().map(move |i| (kind.to_owned(), i))).collect();
    assert_eq!(inputs, committed().into_iter().map(|(kind, input, ..)| (kind, input)).collect::<Vec<_>>(), "the committed cases");
    each(|kind, input, expected, id| {
        assert_eq!(by_twin(kind, &Case(input)), *expected, "the twin, {kind}, tcId {id}");
        assert_eq!(by_core(kind, &Case(input), expected), *expected, "the engine, {kind}, tcId {id}");
    });
}

#[test]
fn primitives_of_the_twin_are_the_published_ones() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/known_answers.json");
    let file: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut seen = HashMap::new();
    for group in file["testGroups"].as_array().unwrap() {
        let kind = group["type"].as_str().unwrap();
        for test in group["tests"].as_array().unwrap() {
            let case = Case(test);
            match kind {
                "AES-128" => {
                    let (key, plain) = (case.bytes("key").try_into().unwrap(), case.bytes("plain").try_into().unwrap());
                    assert_eq!(twin::aes128(key, plain)[..], case.bytes("cipher"));
                    let mut block = [u128::from_le_bytes(plain)];
                    minionn_core::backend::aes::Aes::of(u128::from_le_bytes(key)).encrypt(0, &mut block);
                    assert_eq!(block[0].to_le_bytes()[..], case.bytes("cipher"));
                }
                "SHA-256" => {
                    use sha2::Digest as _;
                    assert_eq!(twin::sha256(&case.bytes("msg"))[..], case.bytes("digest"));
                    assert_eq!(sha2::Sha256::digest(case.bytes("msg"))[..], case.bytes("digest"));
                }
                "ChaCha20 block" => {
                    // RFC 8439 has a 32-bit counter and a 96-bit nonce: the engine's 64-bit counter does not get there, the twin does.
                    let nonce = case.bytes("nonce");
                    let word = |i: usize| u32::from_le_bytes(nonce[4 * i..4 * i + 4].try_into().unwrap());
                    let key = case.bytes("key").try_into().unwrap();
                    let block = twin::chacha20(&key, [case.u64("counter") as u32, word(0), word(1), word(2)]);
                    assert_eq!(block[..], case.bytes("block"));
                }
                "Parameters" if case.usize("n") == minionn_core::params::N => {
                    let log2_q: f64 = minionn_core::params::PRIMES.iter().map(|&p| f64::from(p).log2()).sum();
                    assert!(log2_q <= case.u64("max_log2_q") as f64, "{log2_q}");
                }
                // Other ring degrees are not used.
                "Parameters" => continue,
                // The profile that reproduces Table 3 does not exist yet; the counts are there for it.
                "Table 3" => assert!(test["encryptions"].is_u64() && test["decryptions"].is_u64()),
                other => panic!("no check for {other}"),
            }
            *seen.entry(kind).or_insert(0) += 1;
        }
    }
    let counts = [("AES-128", 1), ("SHA-256", 2), ("ChaCha20 block", 1), ("Parameters", 1), ("Table 3", 2)];
    assert_eq!(seen, HashMap::from(counts));
    assert_eq!(twin::crc32(b"123456789"), 0xcbf4_3926);
}

/// A server's first answer to bytes of a client.
fn answer(prepared: &Prepared<'_>, options: Options, bytes: &[u8]) -> twin::Message {
    let buffers = Buffers::default();
    let mut memory = Memory::new(ServerEngine::memory(prepared.model().plan(), &options, buffers).unwrap());
    let mut server = ServerEngine::new(prepared, options, buffers, memory.bytes(), Seed([2; 32])).unwrap();
    assert_eq!(server.feed(bytes), bytes.len());
    let _refused = server.poll();
    let mut out = vec![0; 1 << 16];
    let n = server.drain(&mut out);
    let first = 9 + u32::from_le_bytes(out[1..5].try_into().unwrap()) as usize;
    frames(&out[..first.min(n)], false).pop_front().unwrap()
}

/// A server answers each greeting of the vectors with a welcome, its plan, or an abort with the code of the document.
#[test]
fn the_engine_refuses_with_the_documented_codes() {
    let net = network("relu");
    let bytes = net.model();
    let options = Options { repetition: Repetition::K4, tables: Tables::Streamed, stock: 3, ..Options::default() };
    let mut weights = Memory::new(prepared_memory(Model::parse(&bytes).unwrap().plan(), 3).unwrap());
    let prepared = Prepared::new(Model::parse(&bytes).unwrap(), 3, weights.bytes()).unwrap();
    let abort = |code: u16| twin::Message { up: false, tag: 255, payload: code.to_le_bytes().to_vec() };
    let mut seen = 0;
    let mut hello = vec![];
    for (kind, input, expected, id) in committed() {
        if kind != "Greeting" {
            continue;
        }
        let frame = Case(&input).bytes("frame");
        let (code, got) = (expected["code"].as_u64().unwrap() as u16, answer(&prepared, options, &frame));
        match (code, frame[0]) {
            // This server has no pairings.
            (0, 1) if frame[5 + 80..5 + 96] != [0; 16] => assert_eq!(got, abort(110), "tcId {id}"),
            (0, 1) => {
                assert_eq!((got.tag, got.payload.len()), (4, 34), "tcId {id}");
                hello = frame[5..101].to_vec();
            }
            (0, _) => assert_eq!((got.tag, got.payload), (3, net.plan()), "tcId {id}"),
            _ => assert_eq!(got, abort(code), "tcId {id}"),
        }
        seen += 1;
    }
    assert_eq!(seen, 13);
    // What only a server with its own plan and options can refuse.
    for (at, code) in [(16, 106), (10, 107), (11, 107), (12, 107)] {
        let mut other = hello.clone();
        other[at] = if at == 10 { 8 } else { other[at] ^ 1 };
        let frame = twin::Message { up: true, tag: 1, payload: other }.frame(0);
        assert_eq!(answer(&prepared, options, &frame), abort(code), "byte {at}");
    }
}

/// The circuits of the twin compute what they should, on plain bits.
#[test]
fn circuits_of_the_twin_are_the_functionalities() {
    let bits = |x: u64, n: usize| (0..n).map(move |i| x >> i & 1 == 1);
    let mut g = common::Lcg(99);
    for _ in 0..300 {
        let (ring, ring_out, relu) = (8 + g.below(37) as usize, 8 + g.below(37) as usize, g.below(2) == 1);
        let shift = g.below(ring as u64 - 1) as usize;
        let circuit = twin::Circuit::activation(relu, ring, shift, ring_out);
        let (s, c, r) = (g.below(1 << ring), g.below(1 << ring), g.below(1 << ring_out));
        let y = Modulus::Bits(ring as u8).to_signed((s + c) % (1 << ring));
        let y = if relu { y.max(0) } else { y };
        let out = circuit.plain(bits(s, ring), bits(c, ring).chain(bits(r, ring_out)));
        assert_eq!(out, ((y >> shift) as u64).wrapping_sub(r) % (1 << ring_out));
    }
    for elements in 2..40 {
        let ring = 8 + g.below(37) as usize;
        let shares: Vec<(u64, u64)> = (0..elements).map(|_| (g.below(1 << ring), g.below(1 << ring))).collect();
        let values: Vec<i64> = shares.iter().map(|&(s, c)| Modulus::Bits(ring as u8).to_signed((s + c) % (1 << ring))).collect();
        let best = (0..elements).find(|&i| values[i] == *values.iter().max().unwrap());
        let circuit = twin::Circuit::argmax(ring, elements);
        let out = circuit.plain(shares.iter().flat_map(|&(s, _)| bits(s, ring)), shares.iter().flat_map(|&(_, c)| bits(c, ring)));
        assert_eq!(Some(out as usize), best);
    }
}
