//! The reference implementation (tests/reference/reference.rs), its vectors
//! (tests/vectors/reference.json), and the engine, held against each other.
//!
//! A case of the vectors has inputs and expected results. The reference implementation must
//! reproduce all of them, and so must the engine: by its public functions where it has them, and
//! message by message for whole sessions. With `MINIONN_WRITE_VECTORS=1` the reference
//! implementation writes the file again.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may panic"
)]

use crate::common;
mod by_core;
mod by_reference;
mod cases;
mod networks;
#[path = "../../../tests/reference/reference.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "the reference implementation is complete, not every part is called"
)]
mod reference;
mod wire;

use by_core::by_core;
use by_reference::by_reference;
use cases::cases;
use common::Memory;
use core::sync::atomic::{AtomicUsize, Ordering};
use minionn_core::model::Model;
use minionn_core::ot::Repetition;
use minionn_core::ring::Modulus;
use minionn_core::rng::{KnownSeed, Seed};
use minionn_core::session::engine::{Buffers, ServerEngine};
use minionn_core::session::{Options, Prepared, Tables, prepared_memory};
use networks::network;
use serde_json::{Value, json};
use std::collections::HashMap;
use wire::frames;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/reference.json");

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
    json!({ "first": values[..4], "sha256": hex(&reference::sha256(&bytes)) })
}

/// SHA-256 over blocks, and the first.
fn blocks(values: &[u128]) -> Value {
    let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    json!({ "first": block(values[0]), "sha256": hex(&reference::sha256(&bytes)) })
}

/// Numbers in a line.
fn row<T: ToString>(numbers: impl IntoIterator<Item = T>) -> String {
    numbers.into_iter().map(|x| x.to_string()).collect::<Vec<_>>().join(" ")
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

/// What a round trip is worth to a session with comparisons.
fn compare(case: &Case<'_>) -> Option<u8> {
    case.0.get("compare").map(|n| n.as_u64().unwrap() as u8)
}

/// Every case of the committed file: type, inputs, expected, number.
fn committed() -> Vec<(String, Value, Value, u64)> {
    let file: Value = serde_json::from_str(&std::fs::read_to_string(FILE).unwrap()).unwrap();
    let mut all = vec![];
    for group in file["testGroups"].as_array().unwrap() {
        for test in group["tests"].as_array().unwrap() {
            let kind = group["type"].as_str().unwrap().to_owned();
            all.push((
                kind,
                test["input"].clone(),
                test["expected"].clone(),
                test["tcId"].as_u64().unwrap(),
            ));
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
                let expected = by_reference(kind, &Case(input));
                let refused = expected["code"].as_u64().is_some_and(|c| c != 0)
                    || expected["refused"] == true;
                json!({
                    "tcId": number, "input": input, "expected": expected,
                    "result": if refused { "invalid" } else { "valid" }
                })
            })
            .collect();
        groups.push(json!({ "type": kind, "tests": tests }));
    }
    let notes = json!({
        "seeds": "a number stands for 32 bytes of that value",
        "blocks": "16 bytes, little-endian, in hexadecimal",
        "first, sha256": "the first values; SHA-256 over all of them as i64, little-endian \
             (blocks as they are)",
        "messages": "direction, tag, length of the payload, SHA-256 of the payload; Compare frames \
             one after the other: in turn, tag, lengths, SHA-256 of all payloads",
        "mask, corrections of an extension's run": "SHA-256 of their bytes",
        "function, window": "the function with its constants; channels, size, kernel, stride, \
             padding (top, left, bottom, right)",
        "corrections, messages of a choice": "bytes of those forward and backward; of each message",
        "most": "the greatest number of 12.1 with which the operation is compared, if any",
        "weights, inputs, labels": "see core/tests/reference",
    });
    let file = json!({
        "algorithm": "MiniONN protocol, version 2",
        "source": "tests/reference/reference.rs, from docs/protocol.md",
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
                while let Some((kind, input, expected, id)) =
                    cases.iter().rev().nth(next.fetch_add(1, Ordering::Relaxed))
                {
                    check(kind, input, expected, *id);
                }
            });
        }
    });
}

#[test]
fn reference_and_engine_reproduce_the_vectors() {
    if std::env::var_os("MINIONN_WRITE_VECTORS").is_some_and(|v| v == "1") {
        write();
    }
    let inputs: Vec<_> = cases()
        .into_iter()
        .flat_map(|(kind, inputs)| inputs.into_iter().map(move |i| (kind.to_owned(), i)))
        .collect();
    assert_eq!(
        inputs,
        committed().into_iter().map(|(kind, input, ..)| (kind, input)).collect::<Vec<_>>(),
        "the committed cases"
    );
    each(|kind, input, expected, id| {
        assert_eq!(
            by_reference(kind, &Case(input)),
            *expected,
            "the reference implementation, {kind}, tcId {id}"
        );
        assert_eq!(
            by_core(kind, &Case(input), expected),
            *expected,
            "the engine, {kind}, tcId {id}"
        );
    });
}

#[test]
fn primitives_of_the_reference_are_the_published_ones() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/known_answers.json");
    let file: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut seen = HashMap::new();
    for group in file["testGroups"].as_array().unwrap() {
        let kind = group["type"].as_str().unwrap();
        for test in group["tests"].as_array().unwrap() {
            let case = Case(test);
            match kind {
                "AES-128" => {
                    let (key, plain) = (
                        case.bytes("key").try_into().unwrap(),
                        case.bytes("plain").try_into().unwrap(),
                    );
                    assert_eq!(reference::aes128(key, plain)[..], case.bytes("cipher"));
                    let mut block = [u128::from_le_bytes(plain)];
                    minionn_core::backend::aes::Aes::of(u128::from_le_bytes(key))
                        .encrypt(&mut block);
                    assert_eq!(block[0].to_le_bytes()[..], case.bytes("cipher"));
                }
                "SHA-256" => {
                    use sha2::Digest as _;
                    assert_eq!(reference::sha256(&case.bytes("msg"))[..], case.bytes("digest"));
                    assert_eq!(sha2::Sha256::digest(case.bytes("msg"))[..], case.bytes("digest"));
                }
                "ChaCha20 block" => {
                    // RFC 8439 has a 32-bit counter and a 96-bit nonce: the engine's 64-bit counter
                    // does not get there, the reference implementation does.
                    let nonce = case.bytes("nonce");
                    let word =
                        |i: usize| u32::from_le_bytes(nonce[4 * i..4 * i + 4].try_into().unwrap());
                    let key = case.bytes("key").try_into().unwrap();
                    let block = reference::chacha20(
                        &key,
                        [case.u64("counter") as u32, word(0), word(1), word(2)],
                    );
                    assert_eq!(block[..], case.bytes("block"));
                }
                "Parameters" if [2048, 4096].contains(&case.usize("n")) => {
                    let limbs = if case.usize("n") == 2048 { 2 } else { 4 };
                    let q = reference::LIMBS[..limbs].iter();
                    let log2_q: f64 = q.map(|&p| (p as f64).log2()).sum();
                    assert!(log2_q <= case.u64("max_log2_q") as f64, "{log2_q}");
                    let own = minionn_core::params::PRIMES.map(u64::from);
                    assert_eq!(own, reference::LIMBS);
                }
                // Other ring degrees are not used.
                "Parameters" => continue,
                // The profile that reproduces Table 3 does not exist yet; the counts are there for
                // it.
                "Table 3" => assert!(test["encryptions"].is_u64() && test["decryptions"].is_u64()),
                other => panic!("no check for {other}"),
            }
            *seen.entry(kind).or_insert(0) += 1;
        }
    }
    let counts =
        [("AES-128", 1), ("SHA-256", 2), ("ChaCha20 block", 1), ("Parameters", 2), ("Table 3", 2)];
    assert_eq!(seen, HashMap::from(counts));
    assert_eq!(reference::crc32(b"123456789"), 0xcbf4_3926);
}

/// A server's first answer to bytes of a client.
fn answer(prepared: &Prepared<'_>, options: Options, bytes: &[u8]) -> reference::Message {
    let buffers = Buffers::default();
    let mut memory =
        Memory::new(ServerEngine::memory(prepared.model().plan(), &options, buffers).unwrap());
    let mut server = ServerEngine::new(
        prepared,
        options,
        buffers,
        memory.bytes(),
        &mut KnownSeed::new(Seed([2; 32])),
    )
    .unwrap();
    assert_eq!(server.feed(bytes), bytes.len());
    let _refused = server.poll();
    let mut out = vec![0; 1 << 16];
    let n = server.drain(&mut out);
    let first = 9 + u32::from_le_bytes(out[1..5].try_into().unwrap()) as usize;
    frames(&out[..first.min(n)], false).pop_front().unwrap()
}

/// A server answers each greeting of the vectors with a welcome, its plan, or an abort with the
/// code of the document.
#[test]
fn the_engine_refuses_with_the_documented_codes() {
    let net = network("relu");
    let bytes = net.model();
    let options = Options {
        repetition: Repetition::K4,
        tables: Tables::Streamed,
        stock: 3,
        ..Options::default()
    };
    let mut weights =
        Memory::new(prepared_memory(Model::parse(&bytes).unwrap().plan(), 3).unwrap());
    let prepared = Prepared::new(Model::parse(&bytes).unwrap(), 3, weights.bytes()).unwrap();
    let abort = |code: u16| reference::Message {
        up: false,
        tag: 255,
        payload: code.to_le_bytes().to_vec(),
    };
    let mut seen = 0;
    let mut hello = vec![];
    for (kind, input, expected, id) in committed() {
        if kind != "Greeting" {
            continue;
        }
        let frame = Case(&input).bytes("frame");
        let (code, got) =
            (expected["code"].as_u64().unwrap() as u16, answer(&prepared, options, &frame));
        match (code, frame[0]) {
            // This server wants circuits alone.
            (0, 1) if frame[5 + 11] > 1 => assert_eq!(got, abort(107), "tcId {id}"),
            // It has no pairings.
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
    assert_eq!(seen, 15);
    // What only a server with its own plan and options can refuse.
    for (at, code) in [(16, 106), (10, 107), (11, 107), (12, 107)] {
        let mut other = hello.clone();
        other[at] = if at == 10 { 8 } else { other[at] ^ 1 };
        let frame = reference::Message { up: true, tag: 1, payload: other }.frame(0);
        assert_eq!(answer(&prepared, options, &frame), abort(code), "byte {at}");
    }
}

/// The circuits of the reference implementation compute what they should, on plain bits.
#[test]
fn circuits_of_the_reference_are_the_functionalities() {
    let bits = |x: u64, n: usize| (0..n).map(move |i| x >> i & 1 == 1);
    let mut g = common::Lcg::seeded(99);
    for _ in 0..300 {
        let (ring, ring_out) = (8 + g.below(37) as usize, 8 + g.below(37) as usize);
        let shift = g.below(ring as u64 - 1) as usize;
        let mut bound = || {
            Modulus::Bits(44)
                .to_signed(g.below(1 << 44) >> g.below(36) << (g.below(2) * 8) & ((1 << 44) - 1))
        };
        let ends = [bound(), bound()];
        let function = match g.below(4) {
            0 => reference::Function::Identity,
            1 => reference::Function::Relu,
            2 => reference::Function::Clip { lo: ends[0].min(ends[1]), hi: ends[0].max(ends[1]) },
            _ => reference::Function::Leaky { m: 1 + g.below(255) as u8, e: g.below(16) as u8 },
        };
        let circuit = reference::Circuit::activation(function, ring, shift, ring_out);
        let (s, c, r) = (g.below(1 << ring), g.below(1 << ring), g.below(1 << ring_out));
        let y = Modulus::Bits(ring as u8).to_signed((s + c) % (1 << ring));
        let out = circuit.plain(bits(s, ring), bits(c, ring).chain(bits(r, ring_out)));
        let result = function.apply(y, shift as u8) as u64;
        assert_eq!(
            out,
            result.wrapping_sub(r) % (1 << ring_out),
            "{function:?} of {y}, {ring} >> {shift}, {ring_out}"
        );
    }
    for elements in 2..12 {
        for relu in [false, true] {
            let (ring, ring_out) = (8 + g.below(37) as usize, 8 + g.below(37) as usize);
            let shift = g.below(ring as u64 - 1) as usize;
            let circuit = reference::Circuit::max_pool(relu, ring, shift, ring_out, elements);
            let shares: Vec<(u64, u64)> =
                (0..elements).map(|_| (g.below(1 << ring), g.below(1 << ring))).collect();
            let r = g.below(1 << ring_out);
            let client = shares.iter().flat_map(|&(_, c)| bits(c, ring)).chain(bits(r, ring_out));
            let out = circuit.plain(shares.iter().flat_map(|&(s, _)| bits(s, ring)), client);
            let values = shares
                .iter()
                .map(|&(s, c)| Modulus::Bits(ring as u8).to_signed((s + c) % (1 << ring)));
            let function =
                if relu { reference::Function::Relu } else { reference::Function::Identity };
            let result = function.apply(values.max().unwrap(), shift as u8) as u64;
            assert_eq!(out, result.wrapping_sub(r) % (1 << ring_out));
        }
    }
    for elements in 2..40 {
        let ring = 8 + g.below(37) as usize;
        let shares: Vec<(u64, u64)> =
            (0..elements).map(|_| (g.below(1 << ring), g.below(1 << ring))).collect();
        let values: Vec<i64> = shares
            .iter()
            .map(|&(s, c)| Modulus::Bits(ring as u8).to_signed((s + c) % (1 << ring)))
            .collect();
        let best = (0..elements).find(|&i| values[i] == *values.iter().max().unwrap());
        let circuit = reference::Circuit::argmax(ring, elements);
        let out = circuit.plain(
            shares.iter().flat_map(|&(s, _)| bits(s, ring)),
            shares.iter().flat_map(|&(_, c)| bits(c, ring)),
        );
        assert_eq!(Some(out as usize), best);
    }
}

/// Both choose the same operations for comparison, with the same messages.
#[test]
fn the_reference_chooses_as_the_engine() {
    let mut g = common::Lcg::seeded(5);
    let mut possible = 0;
    for _ in 0..200 {
        let (ring, ring_out) = (8 + g.below(37), 8 + g.below(37));
        let shift = g.below(ring - 1);
        let mut bound = || Modulus::Bits(44).to_signed(g.below(1 << 44)) >> g.below(44);
        let ends = [bound(), bound()];
        let e = g.below(10);
        let function = match g.below(4) {
            0 => "identity".to_owned(),
            1 => "relu".to_owned(),
            2 => format!("clip {} {}", ends[0].min(ends[1]), ends[0].max(ends[1])),
            _ => format!("leaky {} {e}", 1 + g.below(255.min(1 << e))),
        };
        let k = 1 << g.below(4);
        let mut input = json!({
            "function": function, "ring": ring, "shift": shift, "ring_out": ring_out, "k": k
        });
        if ["identity", "relu"].contains(&function.as_str()) && g.below(2) == 0 {
            let (height, width) = (1 + g.below(3), 1 + g.below(4));
            input["window"] = format!("2 6 5 {height} {width} {} 2 0 0 0 0", 1 + g.below(2)).into();
        } else {
            input["len"] = (1 + g.below(300)).into();
        }
        let expected = by_reference("Choice", &Case(&input));
        assert_eq!(by_core("Choice", &Case(&input), &expected), expected, "{input}");
        possible += u32::from(expected["possible"] != false);
    }
    assert!(possible > 100, "{possible}");
}
