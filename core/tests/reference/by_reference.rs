//! What the reference implementation says.

use super::cases::{chosen, garbling, message, rescale_values};
use super::networks::{inputs, network};
use super::{Case, block, blocks, compare, hex, reference, row, summary};
use serde_json::{Value, json};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, OnceLock};

pub(super) fn by_reference(kind: &str, case: &Case<'_>) -> Value {
    match kind {
        "Frame" => {
            let (tag, payload) = (case.u8("tag"), case.bytes("payload"));
            let message = reference::Message { up: true, tag, payload };
            json!({ "frame": hex(&message.frame(0)) })
        }
        "Greeting" => json!({ "code": greeting_by_reference(&case.bytes("frame")) }),
        "Packed" => {
            json!({
                "bytes": hex(&reference::pack_all(&case.numbers("values"), case.u64("bits") as u32))
            })
        }
        "Stream" => {
            let mut stream =
                reference::Stream::new(case.seed("seed"), case.u64("domain"), case.u64("index"));
            let bytes: [u8; 1000] = stream.bytes();
            json!({ "first": hex(&bytes[..16]), "sha256_of_1000": hex(&reference::sha256(&bytes)) })
        }
        "Derive" => {
            json!({ "seed": hex(&reference::derive(case.seed("seed"), case.u64("index"))) })
        }
        "Files" => {
            let net = network(case.0["network"].as_str().unwrap());
            let model = net.model();
            json!({
                "plan": hex(&net.plan()), "model_bytes": model.len(),
                "model_sha256": hex(&reference::sha256(&model))
            })
        }
        "Tile" => {
            let (ring, weight_bits, inputs, outputs) = case.fully_connected();
            match reference::Tile::choose(
                reference::Op::FullyConnected { ring, weight_bits, inputs, outputs },
                case.usize("stock"),
            ) {
                Some(t) => {
                    json!({
                        "n_b": t.n_b, "n_o": t.n_o, "n_w": t.n_w, "limbs": t.limbs,
                        "bits": match t.up {
                            reference::Upload::Whole => json!("whole"),
                            reference::Upload::Rounded(bits) => json!(bits),
                        }, "upload": t.upload(), "download": t.download()
                    })
                }
                None => json!({ "refused": true }),
            }
        }
        "Transform" => {
            let (n, limb) = (case.usize("n"), case.usize("limb"));
            let a = reference::uniform(case.seed("seed"), 0, limb, n);
            let values = reference::transform(&a, reference::LIMBS[limb]);
            assert_eq!(reference::interpolate(&values, reference::LIMBS[limb]), a);
            for i in [0, 1, 2, 77, n / 2, n - 1] {
                let point = 2 * (i.reverse_bits() >> (usize::BITS - n.ilog2())) + 1;
                assert_eq!(
                    values[i],
                    reference::value_at(&a, point, reference::LIMBS[limb]),
                    "index {i}"
                );
            }
            summary(values.iter().map(|&x| x as i64))
        }
        "Uniform" => summary(
            reference::uniform(
                case.seed("seed"),
                case.u64("number"),
                case.usize("limb"),
                reference::N,
            )
            .iter()
            .map(|&x| x as i64),
        ),
        "Ternary" => summary(
            reference::ternary(case.seed("seed"), case.u64("index"), reference::N)
                .iter()
                .map(|&x| x as i64),
        ),
        "Noise" => summary(
            reference::noise(case.seed("seed"), case.u64("index"), reference::N)
                .iter()
                .map(|&x| x as i64),
        ),
        "Flooding" => {
            let values = reference::flooding(
                case.seed("seed"),
                case.u64("index"),
                case.u64("bits") as u32,
                100,
            );
            let residues = |p: u64| summary(values.iter().map(|x| x.rem_euclid(p.into()) as i64));
            json!({
                "exact": values[..4].iter().map(|x| x.to_string()).collect::<Vec<_>>(),
                "limbs": reference::LIMBS.map(residues)
            })
        }
        "Encode" => {
            let p = case.0["bits"].as_u64().map_or(reference::T, |bits| 1 << bits);
            let limbs = case.usize("limbs");
            let exact = reference::encode(case.u64("m"), p, limbs);
            json!({
                "exact": exact.to_string(),
                "residues": reference::LIMBS[
                    ..limbs
                ].iter().map(|&q| (exact % u128::from(q)) as u64).collect::<Vec<_>>()
            })
        }
        "Rescale" => {
            let values = rescale_values(case.usize("limbs"), case.seed("seed"));
            let (limbs, bits) = (case.usize("limbs"), case.u64("bits") as u32);
            let rounded = values.iter().map(|&x| reference::rescale(x, limbs, bits));
            json!({ "rounded": rounded.collect::<Vec<_>>() })
        }
        "PublicKey" => {
            let (limbs, n) = (case.usize("limbs"), reference::degree(case.usize("limbs")));
            let key = reference::Key::new(case.seed("secret"), n);
            let b = key.encrypt(
                &vec![0; n],
                limbs,
                case.u64("number"),
                case.seed("public"),
                case.seed("noise"),
            );
            json!({ "limbs": summaries(&b) })
        }
        "Upload" => {
            let (bits, limbs) = (case.u64("bits") as u32, case.usize("limbs"));
            let (n, upload_bits) = (reference::degree(limbs), case.u64("upload_bits") as u32);
            let key = reference::Key::new(case.seed("secret"), n);
            let m: Vec<u128> =
                message(bits, n).iter().map(|&m| reference::encode(m, 1 << bits, limbs)).collect();
            let c0 =
                key.encrypt(&m, limbs, case.u64("number"), case.seed("public"), case.seed("noise"));
            let y = reference::round_upload(&c0, upload_bits);
            json!({
                "sent": summary(y.iter().map(|&y| y as i64)),
                "read": summaries(&reference::read_upload(&y, limbs, upload_bits))
            })
        }
        "TMMO" => {
            let hash = reference::tmmo(case.block("key"), case.block("x"), case.block("tweak"));
            json!({ "hash": block(hash) })
        }
        "Extension" => {
            let (trees, mut extension) = extension(case);
            let mut random = reference::Stream::new(case.seed("encoding"), 7, 0);
            let encoded = trees
                .encoded_messages(case.block("pairing"), || u128::from_le_bytes(random.bytes()));
            let messages: Vec<u128> =
                trees.messages().iter().flat_map(|&(m0, m1)| [m0, m1]).collect();
            let runs = runs(case).into_iter().map(|run| {
                let mask = extension.start();
                let choices: Vec<bool> =
                    run.iter().flat_map(|x| (0..128).map(move |j| x >> j & 1 == 1)).collect();
                let labels = extension.transfer(&choices);
                json!({
                    "mask": hex(&reference::sha256(&mask)),
                    "corrections": hex(&reference::sha256(&labels.corrections)),
                    "t": blocks(&labels.t), "q": blocks(&labels.q),
                    "proof": hex(&extension.finish())
                })
            });
            json!({
                "messages": blocks(&messages),
                "encoded": blocks(encoded.as_flattened().as_flattened()),
                "runs": runs.collect::<Vec<_>>()
            })
        }
        "Run" => {
            let taken = extension(case).1.takes(&case.bytes("run"));
            json!({ "code": if taken { 0 } else { 111 } })
        }
        "Activation" => {
            let function = if case.0["relu"] == true {
                reference::Function::Relu
            } else {
                reference::Function::Identity
            };
            let (ring, shift, ring_out) =
                (case.usize("ring"), case.usize("shift"), case.usize("ring_out"));
            let circuit = reference::Circuit::activation(function, ring, shift, ring_out);
            garbled_by_reference(
                &circuit,
                case.usize("neurons"),
                ring + ring_out,
                case.u64("layer"),
            )
        }
        "Argmax" => {
            let (ring, elements) = (case.usize("ring"), case.usize("elements"));
            garbled_by_reference(
                &reference::Circuit::argmax(ring, elements),
                1,
                ring * elements,
                case.u64("layer"),
            )
        }
        "Product" => {
            let (ring, t, q, session, delta, tweak) = product_labels(case);
            let p = reference::product(
                session,
                ring,
                case.u64("a"),
                case.u64("v"),
                &q,
                &t,
                delta,
                tweak,
            );
            json!({ "corrections": p.corrections, "p_s": p.p_s, "p_c": p.p_c })
        }
        "Choice" => {
            let choice = reference::Choice::of(chosen(case), case.usize("k"));
            choice.map_or(json!({ "possible": false }), |choice| {
                // The greatest number with which it is taken; one round trip is worth any number.
                let most = (0..=48).rev().find(|&n| choice.taken(n));
                json!({
                    "most": most, "round_trips": choice.round_trips(),
                    "corrections": row(choice.corrections), "messages": row(choice.messages)
                })
            })
        }
        "Session" => {
            let run = session_by_reference(case);
            json!({
                "messages": messages(&run.messages), "answers": run.answers,
                "pairing": run.pairing
            })
        }
        _ => panic!("no such case: {kind}"),
    }
}

/// Trees of a case, and the OTs of its session.
fn extension(case: &Case<'_>) -> (reference::Trees, reference::Extension) {
    let mut roots = reference::Stream::new(case.seed("roots"), 7, 0);
    let root = || u128::from_le_bytes(roots.bytes());
    let trees = reference::Trees::new(case.block("pairing"), case.usize("k"), root);
    let own = trees.of_session(case.block("session"));
    (trees, reference::Extension::new(own, case.block("delta")))
}

/// Choices of each run of a case, group by group.
pub(super) fn runs(case: &Case<'_>) -> Vec<Vec<u128>> {
    let group = |group: &Value| Case(&json!({ "group": group })).block("group");
    let run = |run: &Value| run.as_array().unwrap().iter().map(group).collect();
    case.0["runs"].as_array().unwrap().iter().map(run).collect()
}

/// A summary of each limb.
fn summaries(limbs: &[Vec<u64>]) -> Vec<Value> {
    limbs.iter().map(|limb| summary(limb.iter().map(|&x| x as i64))).collect()
}

/// The document's rules for a first frame: 0 or the code of the refusal.
fn greeting_by_reference(frame: &[u8]) -> u16 {
    let length = u32::from_le_bytes(frame[1..5].try_into().unwrap());
    let payload = &frame[5..frame.len() - 4];
    let (plan_request, known) = (frame[0] == 2, frame[0] == 1 || frame[0] == 2);
    if !known {
        return 102;
    }
    if length != if plan_request { 2 } else { 96 } {
        return 103;
    }
    if reference::crc32(&frame[..frame.len() - 4]).to_le_bytes() != frame[frame.len() - 4..] {
        return 104;
    }
    let version = if plan_request { payload } else { &payload[8..10] };
    let stock = || u32::from_le_bytes(payload[12..16].try_into().unwrap());
    match () {
        () if !plan_request && payload[..8] != *b"MiniONN\0" => 108,
        () if version != [2, 0] => 105,
        () if !plan_request
            && (![1, 2, 4, 8].contains(&payload[10])
                || payload[11] >> 1 > 49
                || !(1..=4096).contains(&stock())) =>
        {
            107
        }
        () => 0,
    }
}

fn garbled_by_reference(
    circuit: &reference::Circuit,
    neurons: usize,
    client_bits: usize,
    layer: u64,
) -> Value {
    let (session, own, delta, zero) = garbling(neurons * client_bits);
    let garbled: Vec<_> = zero
        .chunks(client_bits)
        .enumerate()
        .map(|(n, zero)| circuit.garble(session, own, delta, layer, n, zero))
        .collect();
    let tables: Vec<u8> = garbled.iter().flat_map(|g| g.tables.concat()).collect();
    let labels: Vec<u128> = garbled.iter().flat_map(|g| g.server_zero.concat()).collect();
    json!({
        "ands": circuit.ands(),
        "tables": hex(&reference::sha256(&tables)),
        "server_labels": blocks(&labels),
        "permute": garbled.iter().map(|g| g.permute).collect::<Vec<_>>(),
    })
}

pub(super) fn product_labels(case: &Case<'_>) -> (u32, Vec<u128>, Vec<u128>, u128, u128, u128) {
    let ring = case.u64("ring") as u32;
    let (session, _, delta, q) = garbling(ring as usize);
    let t = q
        .iter()
        .enumerate()
        .map(|(i, q)| q ^ if case.u64("v") >> i & 1 == 1 { delta } else { 0 })
        .collect();
    (
        ring,
        t,
        q,
        session,
        delta,
        u128::from(case.u64("layer")) << 40 | u128::from(case.u64("element")) << 8,
    )
}

/// Direction, tag, length, digest. What comparisons say in turn is one entry, its digest that of
/// all payloads.
pub(super) fn messages(all: &[reference::Message]) -> Value {
    let line = |run: &[reference::Message]| {
        let direction = if run[0].tag == 22 {
            "in turn"
        } else if run[0].up {
            "up"
        } else {
            "down"
        };
        let payloads: Vec<u8> = run.iter().flat_map(|m| m.payload.clone()).collect();
        format!(
            "{direction} {} {} {}",
            run[0].tag,
            row(run.iter().map(|m| m.payload.len())),
            hex(&reference::sha256(&payloads))
        )
    };
    all.chunk_by(|a, b| a.tag == 22 && b.tag == 22 && a.up != b.up)
        .map(line)
        .collect::<Vec<_>>()
        .into()
}

/// What both parties keep of a session, if they do.
pub(super) fn kept(case: &Case<'_>, [client, server]: [&[u8]; 2]) -> Value {
    if case.0["keep"] == true {
        json!({ "client": hex(client), "server_sha256": hex(&reference::sha256(server)) })
    } else {
        Value::Null
    }
}

/// The session that made the pairing, if this one goes on with it.
pub(super) fn earlier<'v>(case: &Case<'v>) -> Option<Case<'v>> {
    case.0.get("after").map(Case)
}

/// What a session gives.
pub(super) struct Run {
    pub messages: Vec<reference::Message>,
    answers: Value,
    pairing: Value,
    pub base_ot: [Vec<u64>; 2],
}

fn reference_options(case: &Case<'_>) -> reference::Options {
    reference::Options {
        k: case.usize("k"),
        streamed: case.0["streamed"].as_bool().unwrap(),
        stock: case.usize("stock"),
        compare: compare(case),
    }
}

/// The reference implementation's session; made once.
pub(super) fn session_by_reference(case: &Case<'_>) -> Arc<Run> {
    type Slot = Arc<OnceLock<Arc<Run>>>;
    static RUNS: OnceLock<Mutex<HashMap<String, Slot>>> = OnceLock::new();
    let slot = RUNS
        .get_or_init(Mutex::default)
        .lock()
        .unwrap()
        .entry(case.0.to_string())
        .or_default()
        .clone();
    slot.get_or_init(|| Arc::new(run_by_reference(case, None))).clone()
}

/// The same; with the payloads of Upload and Download that another one has sent, it goes on with
/// these.
pub(super) fn run_by_reference(case: &Case<'_>, followed: Option<VecDeque<Vec<u8>>>) -> Run {
    let net = network(case.0["network"].as_str().unwrap());
    let options = reference_options(case);
    let seeds = |case: &Case<'_>| [case.seed("client"), case.seed("server")];
    let pairing = earlier(case).map(|first| {
        let net = network(first.0["network"].as_str().unwrap());
        reference::Session::new(&net, reference_options(&first), seeds(&first), None).pairing
    });
    let mut session = reference::Session::new(&net, options, seeds(case), pairing.as_ref());
    session.followed = followed;
    if case.0["keep"] == true {
        session.keep();
    }
    let mut answers = vec![];
    for stock in inputs(case, &net).chunks(options.stock) {
        for ((best, opened), x) in session.predict(stock).into_iter().zip(stock) {
            let clear = net.evaluate(x);
            let first = (0..clear.len()).find(|&i| clear[i] == *clear.iter().max().unwrap());
            assert!(
                first == Some(best) && (opened.is_empty() || opened == clear),
                "the reference implementation's own answer"
            );
            answers.push(json!({ "best": best, "opened": opened }));
        }
    }
    session.close();
    let [client, server] = session.pairing.export();
    let pairing = kept(case, [&client, &server]);
    Run {
        answers: answers.into(),
        pairing,
        base_ot: session.base_ot.clone(),
        messages: session.messages,
    }
}
