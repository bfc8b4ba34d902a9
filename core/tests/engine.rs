//! Two sans-IO engines in memory: whole and one byte at a time, in exactly the memory that was
//! asked for.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use crate::common;

use common::{Memory, curve_net, expected, graph_net, input, pooling_net, relu_net, square_net};
use minionn_core::Error;
use minionn_core::memory::ALIGN;
use minionn_core::model::Model;
use minionn_core::ot::Repetition;
use minionn_core::rng::{KnownSeed, Seed};
use minionn_core::session::engine::{Buffers, ClientEngine, ServerEngine, Status};
use minionn_core::session::{Activations, Options, Prepared, Tables, prepared_memory};

/// Moves bytes both ways, `step` at a time, until the client is idle or closed.
fn settle(client: &mut ClientEngine<'_>, server: &mut ServerEngine<'_>, step: usize) -> Status {
    let mut buffer = vec![0; step];
    loop {
        let status = client.poll().unwrap();
        let mut moved = 0;
        let n = client.drain(&mut buffer);
        moved += n;
        let mut part = &buffer[..n];
        while !part.is_empty() {
            part = &part[server.feed(part)..];
            server.poll().unwrap();
        }
        server.poll().unwrap();
        let n = server.drain(&mut buffer);
        moved += n;
        let mut part = &buffer[..n];
        while !part.is_empty() {
            part = &part[client.feed(part)..];
            client.poll().unwrap();
        }
        if moved == 0 && status != Status::Busy {
            return status;
        }
    }
}

fn check(net: &[u8], options: Options, buffers: Buffers, step: usize) {
    let model = Model::parse(net).unwrap();
    let plan = *model.plan();
    let mut weights = Memory::new(prepared_memory(&plan, options.stock).unwrap());
    let prepared = Prepared::new(model, options.stock, weights.bytes()).unwrap();
    let (need_client, need_server) = (
        ClientEngine::memory(&plan, &options, buffers).unwrap(),
        ServerEngine::memory(&plan, &options, buffers).unwrap(),
    );
    let (mut client_memory, mut server_memory) =
        (Memory::new(need_client), Memory::new(need_server));
    let mut client = ClientEngine::new(
        plan,
        options,
        buffers,
        client_memory.bytes(),
        &mut KnownSeed::new(Seed([1; 32])),
    )
    .unwrap();
    let mut server = ServerEngine::new(
        &prepared,
        options,
        buffers,
        server_memory.bytes(),
        &mut KnownSeed::new(Seed([2; 32])),
    )
    .unwrap();

    assert_eq!(settle(&mut client, &mut server, step), Status::Idle);
    let x = input(plan.header().input_len as usize, 5);
    assert_eq!(client.predict_quantised(&x), Err(Error::Exhausted));
    client.prepare().unwrap();
    assert_eq!(client.prepare(), Err(Error::State));
    assert_eq!(settle(&mut client, &mut server, step), Status::Idle);
    for i in 0..options.stock {
        let x = input(plan.header().input_len as usize, u64::from(i));
        assert_eq!(client.predict_quantised(&x[1..]), Err(Error::Length { need: x.len() }));
        client.predict_quantised(&x).unwrap();
        assert_eq!(settle(&mut client, &mut server, step), Status::Idle);
        let (best, logits) = expected(&model, &x);
        let mut out = vec![0; if plan.is_argmax() { 0 } else { logits.len() }];
        assert_eq!(client.answer(&mut out), Ok(best));
        assert!(plan.is_argmax() || out == logits);
    }
    assert_eq!(client.predict_quantised(&x), Err(Error::Exhausted));
    assert_eq!(server.predictions(), u64::from(options.stock));
    client.close().unwrap();
    assert_eq!(settle(&mut client, &mut server, step), Status::Closed);
    assert_eq!(server.poll(), Ok(Status::Closed));
    drop((client, server));

    // One byte less is an error that names the need.
    let need = need_client;
    let mut short = Memory::new(need - 1);
    assert_eq!(
        ClientEngine::new(
            plan,
            options,
            buffers,
            short.bytes(),
            &mut KnownSeed::new(Seed([1; 32]))
        )
        .err(),
        Some(Error::Memory { need })
    );
    let need = need_server;
    let mut short = Memory::new(need - 1);
    assert_eq!(
        ServerEngine::new(
            &prepared,
            options,
            buffers,
            short.bytes(),
            &mut KnownSeed::new(Seed([1; 32]))
        )
        .err(),
        Some(Error::Memory { need })
    );
    let mut crooked = Memory::new(need_client + ALIGN);
    assert_eq!(
        ClientEngine::new(
            plan,
            options,
            buffers,
            &mut crooked.bytes()[1..],
            &mut KnownSeed::new(Seed([1; 32]))
        )
        .err(),
        Some(Error::Alignment)
    );
}

#[test]
fn whole_and_one_byte_at_a_time() {
    let compared = Activations::Compared { log2_bytes_per_round: 0 };
    for (net, tables, activations) in [
        (relu_net(), Tables::Stored, Activations::Garbled),
        (square_net(), Tables::Streamed, Activations::Garbled),
        (graph_net(), Tables::Stored, Activations::Garbled),
        (relu_net(), Tables::Stored, compared),
        (pooling_net(), Tables::Streamed, compared),
        (curve_net(), Tables::Streamed, compared),
    ] {
        for (step, size) in [(1 << 16, 1 << 16), (1, Buffers::LEAST), (1000, 300)] {
            let options = Options { repetition: Repetition::K2, tables, stock: 2, activations };
            assert_eq!(common::compared(&net, &options) > 0, activations == compared);
            check(&net, options, Buffers { inbox: size, outbox: size }, step);
        }
    }
}

#[test]
fn memory_is_wiped_when_an_engine_is_dropped() {
    wiped(&relu_net(), Activations::Garbled);
    wiped(&relu_net(), Activations::Compared { log2_bytes_per_round: 0 });
    wiped(&curve_net(), Activations::Compared { log2_bytes_per_round: 0 });
}

fn wiped(net: &[u8], activations: Activations) {
    let model = Model::parse(net).unwrap();
    let options =
        Options { tables: Tables::Stored, stock: 1, repetition: Repetition::K4, activations };
    assert_eq!(common::compared(net, &options) > 0, activations != Activations::Garbled);
    let buffers = Buffers::default();
    let plan = *model.plan();
    let mut weights = Memory::new(prepared_memory(&plan, 1).unwrap());
    let prepared = Prepared::new(model, 1, weights.bytes()).unwrap();
    let mut client_memory = Memory::new(ClientEngine::memory(&plan, &options, buffers).unwrap());
    let mut server_memory = Memory::new(ServerEngine::memory(&plan, &options, buffers).unwrap());
    {
        let mut client = ClientEngine::new(
            plan,
            options,
            buffers,
            client_memory.bytes(),
            &mut KnownSeed::new(Seed([1; 32])),
        )
        .unwrap();
        let mut server = ServerEngine::new(
            &prepared,
            options,
            buffers,
            server_memory.bytes(),
            &mut KnownSeed::new(Seed([2; 32])),
        )
        .unwrap();
        settle(&mut client, &mut server, 4096);
        client.prepare().unwrap();
        settle(&mut client, &mut server, 4096);
    }
    // What may stay: pointers and counters of the shared state, the client's public key, and the
    // garbled tables, public to the client.
    let longest = |bytes: &[u8]| bytes.split(|&b| b == 0).map(<[u8]>::len).max().unwrap_or(0);
    let tables = minionn_core::cost::store_bytes(&plan, &options) as usize;
    let bytes = client_memory.bytes();
    let kept = bytes.iter().filter(|&&b| b != 0).count();
    assert!(kept <= tables + 512, "{kept} bytes stay, tables have {tables}");
    let key = minionn_core::params::N * 4 * 4;
    let kept = server_memory.bytes().iter().filter(|&&b| b != 0).count();
    assert!(kept <= key + 512, "{kept} bytes stay, longest run {}", longest(server_memory.bytes()));
}

#[test]
fn model_a_fits_a_small_client() {
    // The shape of 64-32-10 at 8 bits: rings of 20 bits.
    use minionn_core::plan::{Function, Op};
    use minionn_core::target::TargetProfile;
    let net = common::model(
        64,
        &[
            Op::FullyConnected { ring: 20, weight_bits: 8, inputs: 64, outputs: 32 },
            Op::Activation {
                function: Function::Relu,
                ring_in: 20,
                ring_out: 20,
                shift: 10,
                len: 32,
            },
            Op::FullyConnected { ring: 20, weight_bits: 8, inputs: 32, outputs: 10 },
            Op::Reveal { ring: 20, len: 10 },
        ],
        3,
    );
    let plan = *Model::parse(&net).unwrap().plan();
    let options = Options {
        repetition: Repetition::K2,
        tables: Tables::Streamed,
        stock: 1,
        ..Options::default()
    };
    let need = ClientEngine::memory_on(
        TargetProfile::BITS32,
        &plan,
        &options,
        Buffers { inbox: 2048, outbox: 2048 },
    )
    .unwrap();
    assert!(need <= 56 * 1024, "{need}");
}
