//! Sessions of both engines in memory, message by message.

use super::by_reference::{earlier, kept, messages, run_by_reference, session_by_reference};
use super::common::Memory;
use super::networks::{core_files, inputs, network};
use super::{Case, compare, reference};
use minionn_core::model::Model;
use minionn_core::ot::Repetition;
use minionn_core::rng::{KnownSeed, Seed};
use minionn_core::session::engine::{Buffers, ClientEngine, ServerEngine, Status};
use minionn_core::session::{
    Activations, CLIENT_PAIRING_BYTES, Options, Pairing, Prepared, SERVER_PAIRING_BYTES, Tables,
    prepared_memory,
};
use minionn_core::wire::{packed_len, unpack};
use serde_json::{Value, json};
use std::collections::VecDeque;

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
pub(super) fn frames(mut bytes: &[u8], up: bool) -> VecDeque<reference::Message> {
    let mut frames = VecDeque::new();
    while !bytes.is_empty() {
        let length = u32::from_le_bytes(bytes[1..5].try_into().unwrap()) as usize;
        let (frame, rest) = bytes.split_at(length + 9);
        let message =
            reference::Message { up, tag: frame[0], payload: frame[5..5 + length].to_vec() };
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
    let activations = compare(case).map_or(Activations::Garbled, |log2_bytes_per_round| {
        Activations::Compared { log2_bytes_per_round }
    });
    let options = Options {
        repetition: Repetition::from_k(case.u8("k")).unwrap(),
        tables,
        stock: case.u64("stock") as u32,
        activations,
    };
    let buffers = Buffers::default();
    let mut weights = Memory::new(prepared_memory(&plan, options.stock).unwrap());
    let prepared = Prepared::new(model, options.stock, weights.bytes()).unwrap();
    let mut client_memory = Memory::new(ClientEngine::memory(&plan, &options, buffers).unwrap());
    let mut server_memory = Memory::new(ServerEngine::memory(&plan, &options, buffers).unwrap());
    let [own, peers] = pairing.map_or([None, None], |halves| {
        halves.each_ref().map(|half| Some(Pairing::parse(half).unwrap()))
    });
    let (seed, memory) = (Seed(case.seed("client")), client_memory.bytes());
    let client = match &own {
        None => ClientEngine::new(plan, options, buffers, memory, &mut KnownSeed::new(seed)),
        Some(own) => {
            ClientEngine::resume(plan, options, buffers, memory, &mut KnownSeed::new(seed), own)
        }
    };
    let (seed, memory) = (Seed(case.seed("server")), server_memory.bytes());
    let server = match &peers {
        None => ServerEngine::new(&prepared, options, buffers, memory, &mut KnownSeed::new(seed)),
        Some(peers) => ServerEngine::resume(
            &prepared,
            options,
            buffers,
            memory,
            &mut KnownSeed::new(seed),
            peers,
        ),
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

pub(super) fn session_by_core(case: &Case<'_>) -> Value {
    let pairing = earlier(case).map(|first| engines(&first, None, export));
    engines(case, pairing.as_ref(), |wire, client, server| {
        let keep = case.0["keep"] == true;
        let [own, peers] = if keep { export(wire, client, server) } else { Halves::default() };
        let mut answers = vec![];
        for stock in
            inputs(case, &network(case.0["network"].as_str().unwrap())).chunks(case.usize("stock"))
        {
            client.prepare().unwrap();
            assert_eq!(wire.settle(client, server), Status::Idle);
            for x in stock {
                client.predict_quantised(x).unwrap();
                assert_eq!(wire.settle(client, server), Status::Idle);
                let mut opened = vec![0; client.answer_len()];
                answers
                    .push(json!({ "best": client.answer(&mut opened).unwrap(), "opened": opened }));
            }
        }
        client.close().unwrap();
        assert_eq!(wire.settle(client, server), Status::Closed);
        json!({
            "messages": sent(case, wire), "answers": answers,
            "pairing": kept(case, [&own, &peers])
        })
    })
}

/// What went over the wire, held against the reference implementation.
fn sent(case: &Case<'_>, wire: &mut Wire) -> Value {
    // Both directions must have the reference implementation's frames, and turns must change where
    // its turns do. Where the document allows a difference of one in the last bit, the reference
    // implementation goes on with what the engine sent.
    let exact = session_by_reference(case);
    let rounded = |messages: &[reference::Message]| {
        let of_layers = messages.iter().filter(|m| [10, 11].contains(&m.tag));
        of_layers.map(|m| m.payload.clone()).collect::<VecDeque<_>>()
    };
    let [ups, downs] = [(&wire.up, true), (&wire.down, false)]
        .map(|(bytes, up)| rounded(frames(bytes, up).make_contiguous()));
    let in_turn: VecDeque<_> = ups.into_iter().zip(downs).flat_map(|(u, d)| [u, d]).collect();
    let other =
        (in_turn != rounded(&exact.messages)).then(|| run_by_reference(case, Some(in_turn)));
    let run = other.as_ref().unwrap_or(&exact);
    let mut turns: Vec<bool> = run.messages.iter().map(|m| m.up).collect();
    turns.dedup();
    wire.order.dedup();
    assert_eq!(wire.order, turns);
    let (mut up, mut down) = (frames(&wire.up, true), frames(&wire.down, false));
    let mut all = vec![];
    for expected in &run.messages {
        let queue = if expected.up { &mut up } else { &mut down };
        let Some(mut message) = queue.pop_front() else { break };
        if message.tag == 7 {
            // Where the document allows a difference of one in the last bit.
            compare_base_ot(&message.payload, &run.base_ot);
            message.payload.clone_from(&expected.payload);
        }
        all.push(message);
    }
    all.extend(up.into_iter().chain(down));
    if other.is_some() {
        assert_eq!(messages(&all), messages(&run.messages), "the engine's own roundings");
        return messages(&exact.messages);
    }
    messages(&all)
}

fn compare_base_ot(payload: &[u8], exact: &[Vec<u64>; 2]) {
    let split = packed_len(reference::N as u64, 21) as usize;
    for (bytes, (bits, exact)) in
        [&payload[..split], &payload[split..]].into_iter().zip([21, 26].into_iter().zip(exact))
    {
        let mut values = vec![0; reference::N];
        assert!(unpack(bytes, bits, &mut values));
        let off = |&(a, b): &(&u64, &u64)| a != b;
        let near = |(&a, &b): (&u64, &u64)| {
            [0, 1, (1 << bits) - 1].contains(&(a.wrapping_sub(b) % (1 << bits)))
        };
        assert!(values.iter().zip(exact).all(near), "rounded to within one");
        let differ = values.iter().zip(exact).filter(off).count();
        assert!(differ < reference::N / 4, "{differ} differ in the last bit");
    }
}
