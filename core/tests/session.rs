//! Two parties in memory, blocking: the private prediction equals the integer model, bytes equal the prediction of the plan.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod common;

use common::{Memory, convolution_net, expected, input, link, pooling_net, relu_net, square_net};
use minionn_core::model::Model;
use minionn_core::ot::Repetition;
use minionn_core::plan::cost;
use minionn_core::rng::Seed;
use minionn_core::session::blocking::{Blocking, run};
use minionn_core::session::{
    Client, Event, Options, Prepared, Server, SliceStore, Tables, Traffic, client_memory, prepared_memory, server_memory,
};

fn phase(p: cost::Phase) -> Traffic {
    Traffic { sent: p.up, received: p.down, rounds: p.rounds }
}

/// Runs `stocks` full stocks in exactly the memory asked for, and checks every answer and every byte count.
fn check(bytes: &[u8], options: Options, stocks: usize) {
    let model = Model::parse(bytes).unwrap();
    let plan = *model.plan();
    let (client_io, server_io) = link();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut weights = Memory::new(prepared_memory(&plan, options.stock).unwrap());
            let prepared = Prepared::new(model, options.stock, weights.bytes()).unwrap();
            let mut memory = Memory::new(server_memory(&plan, &options).unwrap());
            let mut server = run(Server::accept(Blocking(server_io), &prepared, options, memory.bytes(), Seed([7; 32]))).unwrap();
            while run(server.serve()).unwrap() != Event::Closed {}
        });
        let mut tables = vec![0; cost::store_bytes(&plan, &options) as usize];
        let mut memory = Memory::new(client_memory(&plan, &options).unwrap());
        let store = SliceStore::new(&mut tables);
        let mut client = run(Client::connect(Blocking(client_io), store, plan, options, memory.bytes(), Seed([8; 32]))).unwrap();
        assert_eq!(client.traffic(), phase(cost::setup()));
        for stock in 0..stocks {
            let before = client.traffic();
            run(client.prepare()).unwrap();
            assert_eq!(client.traffic().since(before), phase(cost::offline(&plan, &options).unwrap()));
            for prediction in 0..options.stock {
                let x = input(plan.header().input_len as usize, stock as u64 * 1000 + u64::from(prediction));
                let (best, logits) = expected(&model, &x);
                let mut out = vec![0; if plan.is_argmax() { 0 } else { logits.len() }];
                let before = client.traffic();
                assert_eq!(run(client.predict(&x, &mut out)).unwrap(), best);
                assert!(plan.is_argmax() || out == logits, "{out:?} {logits:?}");
                assert_eq!(client.traffic().since(before), phase(cost::online(&plan, &options)));
            }
        }
        run(client.close()).unwrap();
    });
}

#[test]
fn every_mode_equals_the_integer_model() {
    for net in [relu_net(), square_net(), convolution_net(), pooling_net()] {
        for tables in [Tables::Stored, Tables::Streamed] {
            for repetition in Repetition::ALL {
                check(&net, Options { repetition, tables, stock: 1 }, 2);
            }
        }
    }
}

#[test]
fn stocks_share_ciphertexts() {
    for (stock, tables) in [(3, Tables::Stored), (8, Tables::Streamed)] {
        for net in [relu_net(), square_net(), convolution_net(), pooling_net()] {
            check(&net, Options { stock, tables, ..Options::default() }, 2);
        }
    }
}
