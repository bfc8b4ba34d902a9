//! The cases' inputs.

use super::networks::network;
use super::{Case, block, common, hex, reference};
use serde_json::{Value, json};

/// Inputs of all cases: type, and what varies.
pub(super) fn cases() -> Vec<(&'static str, Vec<Value>)> {
    let seeds = [0, 7, 255];
    let mut hello = {
        let net = network("relu");
        let session_less = net.plan();
        let mut hello = b"MiniONN\0\x02\0\x04\x01".to_vec();
        hello.extend(3_u32.to_le_bytes());
        hello.extend(&session_less[session_less.len() - 32..]);
        hello.extend([0x5a; 32]);
        hello.extend([0; 16]);
        hello
    };
    let frame = |tag: u8, payload: &[u8]| json!({ "tag": tag, "payload": hex(payload) });
    let greeting =
        |comment: &str, frame: Vec<u8>| json!({ "comment": comment, "frame": hex(&frame) });
    let framed = |tag, payload: &[u8]| {
        reference::Message { up: true, tag, payload: payload.to_vec() }.frame(0)
    };
    let mut greetings = vec![
        greeting("a hello", framed(1, &hello)),
        greeting("asks for the plan", framed(2, &[2, 0])),
    ];
    for (at, value, comment) in [
        (0, b'm', "magic"),
        (8, 1, "version"),
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
    greetings.push(greeting("plan request of another version", framed(2, &[1, 0])));
    greetings.push(greeting("wrong length", framed(1, &hello[1..])));
    greetings.push(greeting("wrong tag", framed(4, &hello)));
    let mut damaged = framed(1, &hello);
    damaged[40] ^= 4;
    greetings.push(greeting("checksum", damaged));

    let widths = [1, 5, 8, 13, 27, 44, 53, 64];
    let values = |bits: u32| {
        let mut g = common::Lcg(bits.into());
        (0..11)
            .map(|_| (g.next() << 33 ^ g.next() << 11 ^ g.next()) & (u64::MAX >> (64 - bits)))
            .collect::<Vec<_>>()
    };
    let tile = |(ring, weight_bits, inputs, outputs, stock): (u8, u8, u32, u32, u32)| {
        json!({
            "ring": ring, "weight_bits": weight_bits, "inputs": inputs, "outputs": outputs,
            "stock": stock
        })
    };
    let activation = |function: &str, [ring, shift, ring_out]: [u8; 3], len: u32, k: u8| {
        json!({
            "function": function, "ring": ring, "shift": shift, "ring_out": ring_out, "len": len,
            "k": k
        })
    };
    let pool = |function: &str, [ring, shift, ring_out]: [u8; 3], window: &str, k: u8| {
        json!({
            "function": function, "ring": ring, "shift": shift, "ring_out": ring_out,
            "window": window, "k": k
        })
    };
    let neurons = [
        (true, 20, 7, 19),
        (false, 21, 12, 30),
        (true, 8, 0, 44),
        (true, 44, 30, 8),
        (false, 9, 7, 9),
        (true, 13, 11, 13),
    ];
    vec![
        ("Frame", vec![
            frame(8, &[]), frame(255, &[108, 0]), frame(16, b"123456789"), frame(1, &hello)
        ]),
        ("Greeting", greetings),
        ("Packed", widths.map(|bits| json!({ "bits": bits, "values": values(bits) })).into()),
        (
            "Stream",
            seeds
                .iter()
                .flat_map(|&s| [(1, 0), (2, 5), (7, (1_u64 << 56) - 1)].map(|(d, i)| json!({
                    "seed": s, "domain": d, "index": i
                })))
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
        (
            "Transform",
            [(2048, 0), (2048, 1), (4096, 0), (4096, 1), (4096, 2), (4096, 3)]
                .map(|(n, limb)| json!({ "seed": 1, "n": n, "limb": limb }))
                .into(),
        ),
        ("Uniform", (0..4).map(|limb| json!({ "seed": 9, "number": 5, "limb": limb })).collect()),
        ("Ternary", seeds.map(|s| json!({ "seed": s, "index": 1 })).into()),
        ("Noise", seeds.map(|s| json!({ "seed": s, "index": 2 })).into()),
        ("Flooding", [20, 58, 63, 74].map(|bits| json!({
            "seed": 3, "index": 0, "bits": bits
        })).into()),
        (
            "Encode",
            [(8, 2), (20, 2), (33, 3), (44, 3), (39, 2), (53, 2), (56, 3)]
                .iter()
                .flat_map(|&(bits, limbs)| [
                    0_u64, 1, (1 << bits) / 2, (1 << bits) - 1
                ].map(|m| json!({
                    "bits": bits, "limbs": limbs, "m": m
                })))
                .chain([0, 1, 32_768, 65_536].map(|m| json!({
                    "bits": "slots", "limbs": 4, "m": m
                })))
                .collect(),
        ),
        ("Rescale", [(2, 25), (2, 39), (3, 49), (3, 54), (4, 26)].map(|(limbs, bits)| json!({
            "limbs": limbs, "bits": bits, "seed": 4
        })).into()),
        ("PublicKey", [(2, 1), (3, 0), (4, 0)].map(|(limbs, number)| json!({
            "limbs": limbs, "number": number, "secret": 1, "noise": 2, "public": 3
        })).into()),
        (
            "Upload",
            [(20, 2, 39), (36, 3, 43)].map(|(bits, limbs, upload_bits)| json!({
                "bits": bits, "limbs": limbs, "upload_bits": upload_bits, "secret": 1,
                "noise": 4, "public": 5, "number": 2
            })).into(),
        ),
        (
            "TMMO",
            vec![
                json!({ "key": block(0), "x": block(0), "tweak": block(0) }),
                json!({
                    "key": block(7), "x": block(u128::MAX / 3), "tweak": block(1 << 127 | 99)
                }),
            ],
        ),
        (
            "Extension",
            [1, 2, 4, 8].map(|k| json!({
                "k": k, "pairing": block(78), "session": block(77), "roots": 6, "encoding": 8,
                "delta": block((u128::MAX / 5) | 1),
                "runs": [[block(1), block(u128::MAX / 7)], [block(u128::MAX / 3)]]
            })).into(),
        ),
        (
            "Activation",
            neurons.map(|(relu, ring, shift, ring_out)| json!({
                "relu": relu, "ring": ring, "shift": shift, "ring_out": ring_out, "neurons": 3,
                "layer": 65_538
            })).into(),
        ),
        ("Argmax", [(8, 1), (20, 2), (19, 10), (44, 5)].map(|(ring, elements)| json!({
            "ring": ring, "elements": elements, "layer": 4
        })).into()),
        ("Product", [(8, 255_u64), (30, 12_345_678), (44, 1 << 43)].map(|(ring, v)| json!({
            "ring": ring, "a": v / 3, "v": v, "layer": 2, "element": 5
        })).into()),
        (
            "Session",
            vec![
                json!({
                    "network": "relu", "k": 8, "streamed": false, "stock": 2, "client": 1,
                    "server": 2, "predictions": 4, "keep": true
                }),
                json!({
                    "network": "square", "k": 2, "streamed": true, "stock": 1, "client": 3,
                    "server": 4, "predictions": 2
                }),
                json!({
                    "network": "square", "k": 4, "streamed": false, "stock": 3, "client": 5,
                    "server": 6, "predictions": 3
                }),
                json!({
                    "network": "chunks", "k": 1, "streamed": false, "stock": 1, "client": 7,
                    "server": 8, "predictions": 1
                }),
                json!({
                    "network": "square", "k": 2, "streamed": true, "stock": 2, "client": 9,
                    "server": 10, "predictions": 2,
                    "keep": true, "after": {
                        "network": "relu", "k": 2, "streamed": false, "stock": 1, "client": 11,
                        "server": 12
                    } }),
            ],
        ),
        // Comparisons, behind all others: numbers of cases stay.
        (
            "Greeting",
            [
                (0x63, "circuits or comparisons, the largest number"),
                (0x64, "a number above the largest")
            ]
                .map(|(modes, comment)| {
                    hello[11] = modes;
                    greeting(comment, framed(1, &hello))
                })
                .into(),
        ),
        (
            "Choice",
            vec![
                activation("relu", [20, 7, 19], 100, 8),
                activation("relu", [44, 0, 44], 1, 1),
                activation("relu", [8, 6, 8], 3, 2),
                activation("relu", [8, 7, 8], 3, 2),
                activation("identity", [21, 12, 30], 100, 4),
                activation("identity", [30, 12, 10], 1000, 8),
                activation("identity", [20, 0, 21], 7, 8),
                activation("identity", [20, 0, 20], 7, 8),
                activation("clip -1000 1000", [20, 3, 12], 60, 8),
                activation("clip 7 6000", [20, 3, 12], 60, 8),
                activation("clip 8 524288", [20, 3, 18], 60, 8),
                activation("clip -1099511627776 99", [20, 3, 18], 60, 8),
                activation("clip -1099511627776 1099511627776", [20, 3, 18], 60, 8),
                activation("clip -1099511627776 1099511627776", [20, 0, 20], 60, 8),
                activation("clip 524288 1099511627776", [20, 3, 18], 60, 8),
                activation("clip -1099511627776 -1048576", [20, 3, 18], 60, 8),
                activation("leaky 51 9", [20, 4, 19], 60, 8),
                activation("leaky 1 0", [20, 4, 19], 60, 2),
                activation("leaky 7 3", [42, 0, 44], 60, 8),
                activation("leaky 7 9", [20, 13, 19], 60, 8),
                pool("relu", [19, 3, 16], "2 9 9 3 3 2 2 1 0 1 0", 8),
                pool("relu", [19, 3, 15], "2 9 9 3 3 2 2 1 0 1 0", 8),
                pool("identity", [19, 3, 17], "1 8 8 2 2 2 2 0 0 0 0", 8),
                pool("identity", [19, 3, 16], "1 8 8 2 2 2 2 0 0 0 0", 8),
                pool("relu", [19, 3, 16], "1 8 8 1 1 2 2 0 0 0 0", 8),
            ],
        ),
        (
            "Session",
            vec![
                json!({
                    "network": "relu", "k": 8, "compare": 0, "streamed": false, "stock": 2,
                    "client": 21, "server": 22, "predictions": 3
                }),
                json!({
                    "network": "shapes", "k": 8, "compare": 0, "streamed": false, "stock": 1,
                    "client": 25, "server": 26, "predictions": 1
                }),
                json!({
                    "network": "bounds", "k": 8, "compare": 0, "streamed": false, "stock": 1,
                    "client": 27, "server": 28, "predictions": 1
                }),
                json!({
                    "network": "bounds", "k": 8, "compare": 48, "streamed": false, "stock": 1,
                    "client": 29, "server": 30, "predictions": 1
                }),
                json!({
                    "network": "pools", "k": 4, "compare": 0, "streamed": true, "stock": 1,
                    "client": 31, "server": 32, "predictions": 1
                }),
                json!({
                    "network": "pools", "k": 4, "compare": 48, "streamed": true, "stock": 1,
                    "client": 33, "server": 34, "predictions": 1
                }),
                json!({
                    "network": "leaky", "k": 8, "compare": 1, "streamed": false, "stock": 1,
                    "client": 35, "server": 36, "predictions": 1
                }),
                json!({
                    "network": "leaky", "k": 8, "compare": 48, "streamed": false, "stock": 1,
                    "client": 37, "server": 38, "predictions": 1
                }),
                json!({
                    "network": "sizes", "k": 8, "compare": 12, "streamed": false, "stock": 2,
                    "client": 39, "server": 40, "predictions": 2
                }),
                json!({
                    "network": "sizes", "k": 1, "compare": 12, "streamed": true, "stock": 2,
                    "client": 41, "server": 42, "predictions": 3,
                    "after": {
                        "network": "relu", "k": 1, "streamed": false, "stock": 1, "client": 43,
                        "server": 44
                    } }),
            ],
        ),
        // Carries: rounds between linear layers, both sets of degree and limbs.
        (
            "Session",
            vec![
                json!({
                    "network": "carries", "k": 8, "streamed": false, "stock": 3, "client": 51,
                    "server": 52, "predictions": 6
                }),
                json!({
                    "network": "carries", "k": 4, "compare": 0, "streamed": true, "stock": 1,
                    "client": 53, "server": 54, "predictions": 2
                }),
                json!({
                    "network": "wide", "k": 8, "streamed": false, "stock": 2, "client": 55,
                    "server": 56, "predictions": 2
                }),
            ],
        ),
        // Runs of corrections; one in a frame of tables, between the parts of other operations.
        ("Run", runs()),
        (
            "Session",
            [(false, 61), (true, 63)].map(|(streamed, seed)| json!({
                "network": "between", "k": 8, "compare": 12, "streamed": streamed, "stock": 2,
                "client": seed, "server": seed + 1, "predictions": 3
            })).into(),
        ),
    ]
}

/// Runs of corrections as they come to a server.
fn runs() -> Vec<Value> {
    let (pairing, session, roots) = (81, 82, 14);
    let trees = |k| {
        let mut roots = reference::Stream::new([roots; 32], 7, 0);
        let root = || u128::from_le_bytes(roots.bytes());
        reference::Trees::new(pairing, k, root).of_session(session)
    };
    // Its part number 3 of 8 bits is 0, number 2 is not.
    let delta = 0x1234_5678_9abc_0007_u128 << 64 | 0x00ff_0001;
    let case = |comment: &str, k: usize, run: &[u8]| {
        json!({
            "comment": comment, "k": k, "pairing": block(pairing), "session": block(session),
            "roots": roots, "delta": block(delta), "run": hex(run)
        })
    };
    let mut extension = reference::Extension::new(trees(8), delta);
    let [run, next] = [200, 1].map(|ots: u32| {
        let mask = extension.start();
        let choices: Vec<bool> = (0..ots).map(|i| i % 3 == 0).collect();
        [mask, extension.transfer(&choices).corrections, extension.finish()].concat()
    });
    let mut cases = vec![case("mask, two groups, proof", 8, &run)];
    for (at, comment) in [
        (1, "a bit of the mask's corrections"),
        (2 * 256 + 9, "a bit of the last group's corrections"),
        (3 * 256 + 15, "a bit of the sum of choices"),
        (3 * 256 + 16, "a bit of the proof's hash"),
    ] {
        let mut damaged = run.clone();
        damaged[at] ^= 0x10;
        cases.push(case(comment, 8, &damaged));
    }
    cases.push(case("a run whose mask is not the group that comes next", 8, &next));
    let others = |k, part| trees(k).run_with_others(part, 1 << 100);
    cases.push(case("other choices in part 2", 8, &others(8, 2)));
    cases.push(case("other choices in part 3, which is 0 in Δ: a right guess", 8, &others(8, 3)));
    cases.push(case("other choices in part 17, of bits", 1, &others(1, 17)));
    cases
}

/// Some polynomial: noise and a few large values.
pub(super) fn rescale_values(limbs: usize, seed: [u8; 32]) -> Vec<u128> {
    let mut stream = reference::Stream::new(seed, 6, 0);
    (0..64).map(|_| u128::from_le_bytes(stream.bytes()) % reference::modulus(limbs)).collect()
}

pub(super) fn message(bits: u32, n: usize) -> Vec<u64> {
    let mut g = common::Lcg(bits.into());
    (0..n).map(|i| if i % 3 == 0 { g.below(1 << bits) } else { 0 }).collect()
}

/// Labels for garbling: session key, own key, Δ, and zero labels of the client.
pub(super) fn garbling(count: usize) -> (u128, u128, u128, Vec<u128>) {
    let mut stream = reference::Stream::new([12; 32], 7, 3);
    let mut block = || u128::from_le_bytes(stream.bytes());
    (block(), block(), block() | 1, (0..count).map(|_| block()).collect())
}

/// The operation of a choice.
pub(super) fn chosen(case: &Case<'_>) -> reference::Op {
    let [ring, shift, ring_out] = ["ring", "shift", "ring_out"].map(|name| case.u8(name));
    let text = |name: &str| case.0[name].as_str().unwrap().split(' ').collect::<Vec<_>>();
    let words = text("function");
    let number = |i: usize| words[i].parse::<i64>().unwrap();
    let function = match words[0] {
        "identity" => reference::Function::Identity,
        "relu" => reference::Function::Relu,
        "clip" => reference::Function::Clip { lo: number(1), hi: number(2) },
        "leaky" => reference::Function::Leaky { m: number(1) as u8, e: number(2) as u8 },
        other => panic!("no function {other}"),
    };
    if case.0.get("window").is_none() {
        return reference::Op::Activation {
            ring,
            ring_out,
            shift,
            function,
            len: case.u64("len") as u32,
        };
    }
    let numbers: Vec<u32> = text("window").iter().map(|x| x.parse().unwrap()).collect();
    let pair = |i: usize| [numbers[i], numbers[i + 1]];
    let padding = [7, 8, 9, 10].map(|i| numbers[i] as u16);
    let window = reference::Window {
        channels: numbers[0],
        size: pair(1),
        kernel: pair(3),
        stride: pair(5),
        padding,
    };
    reference::Op::MaxPool { ring, ring_out, shift, function, window }
}
