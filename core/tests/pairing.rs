//! Sessions that go on with a pairing: the same answers without a set-up, in any order, at the same
//! time, from an old copy; and everything that can be wrong with an exported half.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may panic")]

use crate::common;
use crate::parties;

use common::{Lcg, Memory, expected, input, link};
use minionn_core::cost;
use minionn_core::error::PlanFault;
use minionn_core::handshake::Greeting;
use minionn_core::model::Model;
use minionn_core::ot::Repetition;
use minionn_core::rng::{Domain, KnownSeed, Seed};
use minionn_core::session::blocking::{Blocking, run};
use minionn_core::session::engine::{Buffers, ClientEngine, ServerEngine, Status};
use minionn_core::session::{
    CLIENT_PAIRING_BYTES, Client, Event, Options, Pairing, Party, Prepared, SERVER_PAIRING_BYTES,
    Server, SliceStore, Tables, Traffic, client_memory, prepared_memory, server_memory,
};
use minionn_core::wire::{HEADER, Tag};
use minionn_core::{Error, Result};
use parties::{
    CLIENT_SEED, Halves, Parties, SERVER_SEED, Step, feed_client, feed_server, find, frames, pair,
    payload, serve, serve_with,
};
use sha2::{Digest as _, Sha256};

fn options(repetition: Repetition) -> Options {
    Options { repetition, tables: Tables::Streamed, stock: 1, ..Options::default() }
}

fn halves() -> Halves {
    pair(options(Repetition::K2), [3; 32], [4; 32])
}

fn parse(halves: &Halves) -> [Pairing<'_>; 2] {
    halves.each_ref().map(|half| Pairing::parse(half).unwrap())
}

fn spent(p: &Parties<'_, '_, '_>) -> (u64, u64) {
    (p.up.len() as u64, p.down.len() as u64)
}

/// Over a blocking link: a first session, then others, each on what the one before exported.
#[test]
fn later_sessions_need_no_set_up_and_answer_alike() {
    fn session(net: &[u8], options: Options, round: u8, halves: Option<&Halves>) -> Halves {
        let model = Model::parse(net).unwrap();
        let plan = *model.plan();
        let (client_io, server_io) = link();
        let [own, peers] = halves.map_or([None, None], |halves| parse(halves).map(Some));
        let phase = |p: cost::Phase| Traffic { sent: p.up, received: p.down, rounds: p.rounds };
        std::thread::scope(|scope| {
            let server = scope.spawn(move || {
                let mut weights = Memory::new(prepared_memory(&plan, options.stock).unwrap());
                let prepared = Prepared::new(model, options.stock, weights.bytes()).unwrap();
                let mut memory = Memory::new(server_memory(&plan, &options).unwrap());
                let (io, seed) = (Blocking(server_io), Seed([100 + round; 32]));
                let mut server = match &peers {
                    None => run(Server::accept(
                        io,
                        &prepared,
                        options,
                        memory.bytes(),
                        &mut KnownSeed::new(seed),
                    ))
                    .unwrap(),
                    Some(peers) => run(Server::resume(
                        io,
                        &prepared,
                        options,
                        memory.bytes(),
                        &mut KnownSeed::new(seed),
                        peers,
                    ))
                    .unwrap(),
                };
                let mut half = vec![0; SERVER_PAIRING_BYTES];
                loop {
                    match run(server.serve()).unwrap() {
                        Event::Keep => {
                            assert_eq!(server.export(&mut half), Ok(SERVER_PAIRING_BYTES))
                        }
                        Event::Closed => break,
                        Event::Prepared | Event::Predicted => {}
                    }
                }
                assert_eq!(server.export(&mut half), Err(Error::Closed));
                half
            });
            let mut tables = vec![0; cost::store_bytes(&plan, &options) as usize];
            let mut memory = Memory::new(client_memory(&plan, &options).unwrap());
            let (io, store, seed) =
                (Blocking(client_io), SliceStore::new(&mut tables), Seed([round; 32]));
            let mut client = match &own {
                None => run(Client::connect(
                    io,
                    store,
                    plan,
                    options,
                    memory.bytes(),
                    &mut KnownSeed::new(seed),
                ))
                .unwrap(),
                Some(own) => run(Client::resume(
                    io,
                    store,
                    plan,
                    options,
                    memory.bytes(),
                    &mut KnownSeed::new(seed),
                    own,
                ))
                .unwrap(),
            };
            assert_eq!(
                client.traffic(),
                phase(if own.is_some() { cost::resume() } else { cost::setup() })
            );
            let mut before = client.traffic();
            let mut cost = |client: &Client<'_, _, _>, want| {
                assert_eq!(client.traffic().since(before), phase(want));
                before = client.traffic();
            };
            let mut half = vec![0; CLIENT_PAIRING_BYTES];
            let need = CLIENT_PAIRING_BYTES;
            assert_eq!(run(client.export(&mut half[1..])), Err(Error::Memory { need }));
            assert_eq!(run(client.export(&mut half)), Ok(CLIENT_PAIRING_BYTES));
            cost(&client, cost::keep());
            for stock in 0..2 {
                run(client.prepare()).unwrap();
                cost(&client, cost::offline(&plan, &options).unwrap());
                for i in 0..options.stock {
                    let x = input(plan.header().input_len as usize, u64::from(10 * stock + i));
                    let (best, logits) = expected(&model, &x);
                    let mut out = vec![0; if plan.is_argmax() { 0 } else { logits.len() }];
                    assert_eq!(run(client.predict(&x, &mut out)), Ok(best));
                    assert!(plan.is_argmax() || out == logits);
                    cost(&client, cost::online(&plan, &options));
                }
            }
            run(client.close()).unwrap();
            assert_eq!(run(client.export(&mut half)), Err(Error::Closed));
            [half, server.join().unwrap()]
        })
    }
    let nets = [common::relu_net(), common::square_net(), common::graph_net()];
    for repetition in Repetition::ALL {
        let first = session(
            &nets[0],
            Options { repetition, tables: Tables::Stored, stock: 1, ..Options::default() },
            1,
            None,
        );
        // Other networks, tables and stocks; the halves never change.
        for (round, net) in (2..).zip(&nets) {
            let tables = if round % 2 == 0 { Tables::Streamed } else { Tables::Stored };
            let again = session(
                net,
                Options { repetition, tables, stock: u32::from(round) - 1, ..Options::default() },
                round,
                Some(&first),
            );
            assert!(again == first, "{repetition:?}, session {round}");
        }
        let [client, server] = parse(&first);
        assert_eq!(
            (client.id(), client.party(), server.party()),
            (server.id(), Party::Client, Party::Server)
        );
        assert_eq!((client.repetition(), server.repetition()), (repetition, repetition));
    }
}

#[test]
fn engines_go_on_with_a_pairing_byte_by_byte() {
    let halves = halves();
    let [own, peers] = parse(&halves);
    let net = common::square_net();
    let model = Model::parse(&net).unwrap();
    let (plan, options) = (*model.plan(), options(Repetition::K2));
    let mut weights = Memory::new(prepared_memory(&plan, 1).unwrap());
    let prepared = Prepared::new(model, 1, weights.bytes()).unwrap();
    for size in [Buffers::LEAST, 300] {
        let buffers = Buffers { inbox: size, outbox: size };
        let mut client_memory =
            Memory::new(ClientEngine::memory(&plan, &options, buffers).unwrap());
        let mut server_memory =
            Memory::new(ServerEngine::memory(&plan, &options, buffers).unwrap());
        let mut client = ClientEngine::resume(
            plan,
            options,
            buffers,
            client_memory.bytes(),
            &mut KnownSeed::new(Seed([5; 32])),
            &own,
        )
        .unwrap();
        let mut server = ServerEngine::resume(
            &prepared,
            options,
            buffers,
            server_memory.bytes(),
            &mut KnownSeed::new(Seed([6; 32])),
            &peers,
        )
        .unwrap();
        let mut exported = [vec![0; CLIENT_PAIRING_BYTES], vec![0; SERVER_PAIRING_BYTES]];
        // Not before the handshake, though both have it.
        assert_eq!(client.export(&mut exported[0]), Err(Error::State));
        assert_eq!(server.export(&mut exported[1]), Err(Error::State));
        let settle = |client: &mut ClientEngine<'_>, server: &mut ServerEngine<'_>| loop {
            let status = client.poll().unwrap();
            server.poll().unwrap();
            let mut byte = [0];
            let (up, down) = (
                client.pending() > 0 && server.feed_capacity() > 0,
                server.pending() > 0 && client.feed_capacity() > 0,
            );
            if up {
                assert_eq!((client.drain(&mut byte), server.feed(&byte)), (1, 1));
            }
            if down {
                assert_eq!((server.drain(&mut byte), client.feed(&byte)), (1, 1));
            }
            if !up && !down && status != Status::Busy {
                return status;
            }
        };
        assert_eq!(settle(&mut client, &mut server), Status::Idle);
        client.prepare().unwrap();
        assert_eq!(client.export(&mut exported[0]), Err(Error::State), "busy");
        assert_eq!(settle(&mut client, &mut server), Status::Idle);
        let x = input(20, 3);
        client.predict_quantised(&x).unwrap();
        assert_eq!(settle(&mut client, &mut server), Status::Idle);
        assert_eq!(client.answer(&mut []), Ok(expected(&model, &x).0));
        // Keep and Bye in one go: the server's half is there as long as the engine.
        assert!(!server.keep_asked());
        client.export(&mut exported[0]).unwrap();
        assert_eq!(client.poll(), Ok(Status::Idle));
        client.close().unwrap();
        assert_eq!(settle(&mut client, &mut server), Status::Closed);
        assert!(server.keep_asked());
        assert_eq!(server.export(&mut exported[1]), Ok(SERVER_PAIRING_BYTES));
        assert_eq!(exported, halves);
        assert_eq!(client.export(&mut exported[0]), Err(Error::Closed));
    }
}

/// Two sessions of one pairing, step by step side by side.
#[test]
fn sessions_of_one_pairing_run_at_the_same_time() {
    let (net, options) = (common::relu_net(), options(Repetition::K2));
    let model = Model::parse(&net).unwrap();
    serve_with(&net, options, Some(halves()), |served| {
        served.parties_of([5; 32], [6; 32], |one| {
            served.parties_of([7; 32], [8; 32], |two| {
                one.settle().unwrap();
                assert_eq!(spent(one), (cost::resume().up, cost::resume().down));
                two.prepare();
                one.prepare();
                for i in 0..2 {
                    let x = [input(20, i), input(20, 10 + i)];
                    assert_eq!(one.predict(&x[0]), expected(&model, &x[0]));
                    assert_eq!(two.predict(&x[1]), expected(&model, &x[1]));
                    two.prepare();
                    one.prepare();
                }
                // Nothing of what they sent is the same but what is empty.
                for (one, two) in [(&one.up, &two.up), (&one.down, &two.down)] {
                    let (one, two) = (frames(one), frames(two));
                    assert!(
                        one.iter()
                            .filter(|f| f.len() > 20)
                            .all(|frame| !two.iter().any(|f| payload(f) == payload(frame)))
                    );
                }
            });
        });
    });
}

/// The power goes at any byte; the device starts again from what it once kept.
#[test]
fn an_interrupted_session_leaves_the_pairing_as_it_was() {
    let (net, options) = (common::relu_net(), options(Repetition::K2));
    let model = Model::parse(&net).unwrap();
    let x = input(20, 1);
    serve_with(&net, options, Some(halves()), |served| {
        let up = served.parties(|p| {
            p.prepare();
            p.predict(&x);
            p.up.clone()
        });
        let mut g = Lcg::seeded(3);
        for _ in 0..20 {
            let cut = g.below(up.len() as u64) as usize;
            // With the same nonces: else a client's corrections are not consistent.
            let end = served.server(SERVER_SEED, |server| feed_server(server, &up[..cut]));
            assert_eq!(end, Err(Error::Eof), "{cut}");
        }
        served.parties_of([9; 32], [10; 32], |p| {
            p.prepare();
            assert_eq!(p.predict(&x), expected(&model, &x));
        });
    });
}

/// What the server must be told, and what the client is told.
fn refusal(named: Option<Halves>, had: Option<Halves>) -> (Result<Status>, u16) {
    let (net, options) = (common::relu_net(), options(Repetition::K2));
    let hello = serve_with(&net, options, named.clone(), |served| {
        served.client(CLIENT_SEED, |client| {
            client.poll().unwrap();
            let mut hello = [0; Greeting::MAX];
            assert_eq!(client.drain(&mut hello), Greeting::MAX);
            hello
        })
    });
    let Ok(Some((Greeting::Hello(peeked), _))) = Greeting::peek(&hello) else { panic!("a hello") };
    assert_eq!(peeked.pairing, named.as_ref().map(|halves| *parse(halves)[0].id()));
    let (end, told) = serve_with(&net, options, had, |served| {
        served.server(SERVER_SEED, |server| {
            let end = feed_server(server, &hello);
            let mut told = vec![0; 100];
            let n = server.drain(&mut told);
            told.truncate(n);
            (end, told)
        })
    });
    let at_client = serve_with(&net, options, named, |served| {
        served.client(CLIENT_SEED, |client| feed_client(client, &[], &told))
    });
    match at_client {
        Err(Error::PeerAborted(code)) => (end, code),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_unknown_pairing_is_told_and_never_replaced_by_a_set_up() {
    let other = pair(options(Repetition::K2), [3; 32], [5; 32]);
    let unknown = (Err(Error::UnknownPairing), 110);
    assert_eq!(refusal(Some(halves()), None), unknown);
    assert_eq!(refusal(Some(halves()), Some(other)), unknown);
    assert_eq!(refusal(None, Some(halves())), unknown);
    assert_eq!(Error::UnknownPairing.code(), 110);
    assert!(Error::describe(110).contains("set up again"));
}

fn seal(bytes: &mut [u8]) {
    let (content, digest) = bytes.split_last_chunk_mut::<32>().unwrap();
    *digest = Sha256::digest(content).into();
}

fn fault(bytes: &[u8]) -> Option<PlanFault> {
    match Pairing::parse(bytes).err()? {
        Error::Pairing(fault) => Some(fault),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_damage_to_an_exported_half_is_an_error() {
    for half in halves() {
        assert_eq!(fault(&half), None);
        for n in 0..half.len().min(200) {
            assert!(fault(&half[..n]).is_some(), "{n} bytes");
        }
        for n in [half.len() / 2, half.len() - 1] {
            assert_eq!(fault(&half[..n]), Some(PlanFault::Truncated));
        }
        assert_eq!(fault(&[&half[..], &[0]].concat()), Some(PlanFault::Truncated));
        for at in (0..half.len()).step_by(if half.len() > 1000 { 61 } else { 1 }) {
            let mut bad = half.clone();
            bad[at] ^= 1 << (at % 8);
            let expected = match at {
                0..8 => PlanFault::Magic,
                8..10 => PlanFault::Version,
                _ => PlanFault::Digest,
            };
            // The two magics differ in some bits of their last byte.
            assert_eq!(fault(&bad), Some(expected), "byte {at}");
        }
        // With a digest that matches: what this version cannot have written.
        let with = |at: usize, bytes: &[u8]| {
            let mut bad = half.clone();
            bad[at..at + bytes.len()].copy_from_slice(bytes);
            seal(&mut bad);
            fault(&bad)
        };
        for k in (0..=255).filter(|k| ![1, 2, 4, 8].contains(k)) {
            assert_eq!(with(10, &[k]), Some(PlanFault::Field));
        }
        assert_eq!(with(10, &[8]), None);
        for at in 11..16 {
            assert_eq!(with(at, &[1]), Some(PlanFault::Field));
        }
        assert_eq!(with(16, &[0; 16]), Some(PlanFault::Field), "no id");
        let other = if half[7] == b'c' { b's' } else { b'c' };
        assert_eq!(with(7, &[other]), Some(PlanFault::Truncated), "the other party's");
    }
    let [_, server] = halves();
    let mut even = server.clone();
    even[32] &= 0xfe;
    seal(&mut even);
    assert_eq!(fault(&even), Some(PlanFault::Field), "Δ is odd");
    // The first and the last coefficient of every limb of the public key.
    let limbs = [(2048, 27), (2048, 26), (4096, 27), (4096, 26), (4096, 27)];
    let bytes = limbs.map(|(n, bits): (usize, usize)| n * bits / 8);
    let mut key = server.len() - 32 - bytes.iter().sum::<usize>();
    for bytes in bytes {
        let (first, last) = (key, key + bytes - 4);
        key += bytes;
        for at in [first, last] {
            let mut bad = server.clone();
            bad[at..at + 4].fill(0xff);
            seal(&mut bad);
            assert_eq!(fault(&bad), Some(PlanFault::Field), "byte {at}");
        }
    }
}

#[test]
fn a_pairing_is_for_one_party_and_one_ot_parameter() {
    let halves = halves();
    let [own, peers] = parse(&halves);
    serve(&common::relu_net(), options(Repetition::K2), |served| {
        let (plan, buffers) = (served.plan, Buffers::default());
        let mut client_memory =
            Memory::new(ClientEngine::memory(&plan, &options(Repetition::K8), buffers).unwrap());
        let mut server_memory =
            Memory::new(ServerEngine::memory(&plan, &options(Repetition::K8), buffers).unwrap());
        let mut start = |options, own: &Pairing<'_>, peers: &Pairing<'_>| {
            [
                ClientEngine::resume(
                    plan,
                    options,
                    buffers,
                    client_memory.bytes(),
                    &mut KnownSeed::new(Seed(CLIENT_SEED)),
                    own,
                )
                .err(),
                ServerEngine::resume(
                    &served.prepared,
                    options,
                    buffers,
                    server_memory.bytes(),
                    &mut KnownSeed::new(Seed(SERVER_SEED)),
                    peers,
                )
                .err(),
            ]
        };
        assert_eq!(start(options(Repetition::K2), &own, &peers), [None, None]);
        assert_eq!(
            start(options(Repetition::K2), &peers, &own),
            [Some(Error::Pairing(PlanFault::Magic)); 2]
        );
        assert_eq!(start(options(Repetition::K8), &own, &peers), [Some(Error::Option); 2]);
    });
}

/// Nothing of a pairing stays in the caller's memory, whether its session ran, failed, or was never
/// polled.
#[test]
fn what_was_loaded_is_wiped() {
    let halves = halves();
    let [own, peers] = parse(&halves);
    let found = |secrets: &[u8], memory: &[u8]| {
        secrets.chunks(8).filter(|s| memory.windows(8).any(|w| w == *s)).count()
    };
    serve(&common::relu_net(), options(Repetition::K2), |served| {
        let (plan, options, buffers) = (served.plan, served.options, Buffers::default());
        for polls in 0..3 {
            let mut memory = Memory::new(ClientEngine::memory(&plan, &options, buffers).unwrap());
            let mut client = ClientEngine::resume(
                plan,
                options,
                buffers,
                memory.bytes(),
                &mut KnownSeed::new(Seed(CLIENT_SEED)),
                &own,
            )
            .unwrap();
            if polls > 0 {
                let _ = feed_client(&mut client, &[Step::Prepare], &[0; 50][..10 * polls]);
            }
            drop(client);
            assert_eq!(found(&halves[0][32..64], memory.bytes()), 0);
            let mut memory = Memory::new(ServerEngine::memory(&plan, &options, buffers).unwrap());
            let mut server = ServerEngine::resume(
                &served.prepared,
                options,
                buffers,
                memory.bytes(),
                &mut KnownSeed::new(Seed(SERVER_SEED)),
                &peers,
            )
            .unwrap();
            if polls > 0 {
                let _ = feed_server(&mut server, &[0; 50][..10 * polls]);
            }
            drop(server);
            // Δ, and what the base OTs gave; the public key between them may stay.
            assert_eq!(
                found(&halves[1][32..48], memory.bytes())
                    + found(&halves[1][80..80 + 128 * 16], memory.bytes()),
                0
            );
        }
    });
}

/// The id is the public key of the first session's hash; a session's own key is bound to it and to
/// both nonces.
#[test]
fn a_hello_names_the_pairing_and_nothing_else_of_it() {
    let (net, options) = (common::relu_net(), options(Repetition::K2));
    let halves = halves();
    let welcome_and_hello = |client: [u8; 32], server: [u8; 32]| {
        serve_with(&net, options, Some(halves.clone()), |served| {
            served.parties_of(client, server, |p| {
                p.settle().unwrap();
                assert_eq!((frames(&p.up).len(), frames(&p.down).len()), (1, 1));
                (
                    payload(find(&frames(&p.up), Tag::Hello)).to_vec(),
                    payload(find(&frames(&p.down), Tag::Welcome)).to_vec(),
                )
            })
        })
    };
    let (hello, welcome) = welcome_and_hello([5; 32], [6; 32]);
    assert_eq!(&hello[80..], parse(&halves)[0].id());
    assert_eq!(hello.len() + HEADER + 4, Greeting::MAX);
    let mut nonce = [0; 32];
    Seed([5; 32]).derive(4).stream(Domain::Mask, 0).fill(&mut nonce);
    assert_eq!(hello[48..80], nonce);
    let (other, other_welcome) = welcome_and_hello([7; 32], [8; 32]);
    assert!(
        hello[48..80] != other[48..80]
            && welcome != other_welcome
            && hello[..48] == other[..48]
            && hello[80..] == other[80..]
    );
}
