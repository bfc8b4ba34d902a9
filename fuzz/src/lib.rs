//! What is fuzzed: each function takes any bytes and must neither panic nor hang.
//!
//! The same functions serve the libFuzzer targets in `fuzz_targets/` and the smoke test, see
//! README.md.

#[path = "../../core/tests/common/mod.rs"]
mod common;
#[path = "../../core/tests/common/parties.rs"]
mod parties;

use minionn_core::cost;
use minionn_core::handshake::Greeting;
use minionn_core::model::{HEADER, Model};
use minionn_core::ot::Repetition;
use minionn_core::plan::{self, Plan};
use minionn_core::session::engine::{Buffers, ClientEngine, ServerEngine, Status};
use minionn_core::session::{Activations, Options, Pairing, Party, Tables, prepared_memory};
use minionn_core::wire::Tag;
use parties::{
    CLIENT_SEED, Frame, Halves, SERVER_SEED, Step, feed_client, feed_server, frame, frames, pair,
    serve_with,
};
use sha2::{Digest as _, Sha256};
use std::sync::OnceLock;

/// Makes the digest at the end match, or a fuzzer would never get past it.
fn seal(bytes: &mut [u8]) {
    if let Some(n) = bytes.len().checked_sub(plan::DIGEST) {
        let (content, digest) = bytes.split_at_mut(n);
        digest.copy_from_slice(&Sha256::digest(content));
    }
}

/// A plan; if it parses, everything that is computed from it.
pub fn plan(data: &[u8]) {
    let _ = Plan::parse(data);
    let mut bytes = data.to_vec();
    seal(&mut bytes);
    let Ok(plan) = Plan::parse(&bytes) else { return };
    for tables in [Tables::Stored, Tables::Streamed] {
        let options = Options { tables, stock: 3, ..Options::default() };
        let _ = (
            cost::offline(&plan, &options),
            cost::online(&plan, &options),
            prepared_memory(&plan, 3),
        );
        let _ = ClientEngine::memory(&plan, &options, Buffers::default());
        let _ = ServerEngine::memory(&plan, &options, Buffers::default());
    }
}

/// A model; if it parses, one evaluation.
pub fn model(data: &[u8]) {
    let _ = Model::parse(data);
    let mut bytes = data.to_vec();
    // The plan inside has its own digest.
    if let Some(head) = bytes.get(HEADER..HEADER + plan::HEADER) {
        let extra = |at: usize| usize::from(u16::from_le_bytes([head[at], head[at + 1]]));
        let len = plan::HEADER + extra(10) * plan::OP + extra(68) * 8 + extra(72) + plan::DIGEST;
        if let Some(plan) = bytes.get_mut(HEADER..HEADER + len) {
            seal(plan);
        }
    }
    seal(&mut bytes);
    let Ok(model) = Model::parse(&bytes) else { return };
    let plan = *model.plan();
    let (mut scratch, mut out) =
        (vec![0; Model::scratch_len(&plan)], vec![0; plan.header().output_len as usize]);
    let _ = model.evaluate(&vec![0; plan.header().input_len as usize], &mut scratch, &mut out);
}

/// The first bytes of a connection, as they are and as the payload of a sound frame.
pub fn greeting(data: &[u8]) {
    let _ = Greeting::peek(data);
    for tag in [Tag::Hello, Tag::PlanRequest] {
        if let Ok(Some((_, n))) = Greeting::peek(&frame(0, tag as u8, data)) {
            assert!(n <= Greeting::MAX);
        }
    }
}

/// A pairing of sessions with this OT parameter.
fn halves() -> &'static Halves {
    static HALVES: OnceLock<Halves> = OnceLock::new();
    HALVES.get_or_init(|| {
        pair(
            Options {
                repetition: Repetition::K1,
                tables: Tables::Stored,
                stock: 1,
                ..Options::default()
            },
            [3; 32],
            [4; 32],
        )
    })
}

/// An exported pairing, as it is and with a digest that matches; if it parses, it goes on with the
/// other half of an honest one.
pub fn pairing(data: &[u8]) {
    let _ = Pairing::parse(data);
    let mut bytes = data.to_vec();
    seal(&mut bytes);
    let Ok(pairing) = Pairing::parse(&bytes) else { return };
    let options = Options {
        repetition: pairing.repetition(),
        tables: Tables::Streamed,
        stock: 1,
        ..Options::default()
    };
    let [own, peers] = halves().clone();
    let server = pairing.party() == Party::Server;
    if Pairing::parse(&own).is_ok_and(|p| p.repetition() == options.repetition) {
        let both = if server { [own, bytes] } else { [bytes, peers] };
        serve_with(net(), options, Some(both), |served| {
            let _ = served
                .parties(|p| p.settle().and_then(|_| p.client.prepare()).and_then(|()| p.settle()));
        });
    }
}

/// An honest session: what to do, and both directions.
struct Recording {
    net: &'static [u8],
    options: Options,
    pairing: Option<Halves>,
    steps: Vec<Step>,
    up: Vec<Frame>,
    down: Vec<Frame>,
}

/// A model with layers, truncations, products and an argmax.
fn net() -> &'static [u8] {
    static NET: OnceLock<Vec<u8>> = OnceLock::new();
    NET.get_or_init(common::square_net)
}

/// A model with curves.
fn curves() -> &'static [u8] {
    static NET: OnceLock<Vec<u8>> = OnceLock::new();
    NET.get_or_init(common::curve_net)
}

/// Stored and streamed tables, each with a set-up and with a pairing, by circuits and by
/// comparison.
fn recordings() -> &'static [Recording; 8] {
    static RECORDINGS: OnceLock<[Recording; 8]> = OnceLock::new();
    RECORDINGS.get_or_init(|| {
        let compared = Activations::Compared { log2_bytes_per_round: 0 };
        [
            (net(), Tables::Stored, false, Activations::Garbled),
            (net(), Tables::Streamed, false, Activations::Garbled),
            (net(), Tables::Stored, true, Activations::Garbled),
            (net(), Tables::Streamed, true, Activations::Garbled),
            (net(), Tables::Stored, false, compared),
            (curves(), Tables::Streamed, false, compared),
            (curves(), Tables::Stored, true, compared),
            (net(), Tables::Streamed, true, compared),
        ]
        .map(|(net, tables, paired, activations)| {
            let options = Options { repetition: Repetition::K1, tables, stock: 1, activations };
            assert_eq!(common::compared(net, &options) > 0, activations == compared);
            let pairing = paired.then(|| halves().clone());
            let x = common::input(20, 1);
            serve_with(net, options, pairing.clone(), |served| {
                served.parties(|p| {
                    p.prepare();
                    p.predict(&x);
                    p.export();
                    p.client.close().expect("idle");
                    assert_eq!(p.settle(), Ok(Status::Closed));
                    let steps =
                        vec![Step::Prepare, Step::Predict(x.clone()), Step::Export, Step::Close];
                    Recording {
                        net,
                        options,
                        pairing,
                        steps,
                        up: frames(&p.up),
                        down: frames(&p.down),
                    }
                })
            })
        })
    })
}

/// What a hostile peer sends: some honest frames, then `data`. The first two bytes choose how many,
/// in which session, and whether the rest is the payload of a sound frame, as far as it goes,
/// before the honest ones go on.
fn hostile(data: &[u8], of: fn(&Recording) -> &[Frame]) -> (&'static Recording, Vec<u8>) {
    let (&[mode, at], data) = data.split_first_chunk::<2>().unwrap_or((&[0, 0], &[]));
    let recording = &recordings()[usize::from(mode & 1 | mode >> 2 & 6)];
    let honest = of(recording);
    let at = usize::from(at) % honest.len();
    let mut bytes = honest[..at].concat();
    if mode & 2 == 0 {
        bytes.extend(data);
    } else {
        let mut payload = parties::payload(&honest[at]).to_vec();
        // Not always from the front.
        let first = if mode & 4 == 0 { 0 } else { payload.len().saturating_sub(data.len()) };
        payload.iter_mut().skip(first).zip(data).for_each(|(to, from)| *to = *from);
        bytes.extend(frame(at, honest[at][0], &payload));
        bytes.extend(honest[at + 1..].concat());
    }
    (recording, bytes)
}

/// A client against a hostile server.
pub fn client(data: &[u8]) {
    let (recording, bytes) = hostile(data, |r| &r.down);
    serve_with(recording.net, recording.options, recording.pairing.clone(), |served| {
        let _ = served.client(CLIENT_SEED, |client| feed_client(client, &recording.steps, &bytes));
    });
}

/// A server against a hostile client.
pub fn server(data: &[u8]) {
    let (recording, bytes) = hostile(data, |r| &r.up);
    serve_with(recording.net, recording.options, recording.pairing.clone(), |served| {
        let _ = served.server(SERVER_SEED, |server| feed_server(server, &bytes));
    });
}

/// Inputs to start from, for the target of this name.
#[must_use]
pub fn seeds(target: &str) -> Vec<Vec<u8>> {
    match target {
        "plan" => {
            let plan = *Model::parse(net()).expect("a model").plan();
            let (content, digest) = plan.bytes();
            vec![[content, digest].concat()]
        }
        "model" => vec![net().to_vec()],
        "greeting" => recordings().iter().map(|r| r.up[0].clone()).collect(),
        "pairing" => halves().to_vec(),
        _ => (0..32)
            .flat_map(|mode| (0..20).map(move |at| vec![mode, at, 0x80, 0xff, 1, 2, 3, 4]))
            .collect(),
    }
}
