//! Damaged, reordered and hostile messages: every one ends in an error of the receiver, none in a
//! panic or a hang.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may panic")]

use crate::common;
use crate::parties;

use common::{Lcg, Memory};
use core::sync::atomic::{AtomicUsize, Ordering};
use core::task::{Context, Poll, Waker};
use minionn_core::compare::OtActivation;
use minionn_core::cost;
use minionn_core::handshake::{Greeting, Hello};
use minionn_core::ot::Repetition;
use minionn_core::params::{LIMB_BITS, N, PRIMES, SMALL_N, VERSION};
use minionn_core::plan::tile::Tile;
use minionn_core::plan::{Convolution, Function, Op, Parity, Plan};
use minionn_core::rng::{KnownSeed, Seed};
use minionn_core::session::engine::{Buffers, ClientEngine, ServerEngine, Status};
use minionn_core::session::{
    Activations, Client, Event, MAX_LOG2_BYTES_PER_ROUND, MAX_STOCK, Options, Server, SliceStore,
    Tables, client_memory, server_memory,
};
use minionn_core::wire::{HEADER, OVERHEAD, TRAILER, Tag};
use minionn_core::{Error, Result};
use parties::{
    CLIENT_SEED, End, Frame, SERVER_SEED, Served, Step, blames_the_peer, feed_client, feed_server,
    frame, frames, serve, serve_with,
};

/// Both directions of an honest session, and what the client is told to do in it.
struct Recording {
    steps: Vec<Step>,
    up: Vec<Frame>,
    down: Vec<Frame>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Receiver {
    Client,
    Server,
}

impl Recording {
    /// A stock of two predictions, then another one that is used by half.
    fn new(served: &Served<'_>) -> Self {
        let x = |seed| common::input(served.plan.header().input_len as usize, seed);
        served.parties(|p| {
            let mut steps = Vec::new();
            for (stock, predictions) in [(0, 2), (1, 1)] {
                p.prepare();
                steps.push(Step::Prepare);
                p.export();
                steps.push(Step::Export);
                for i in 0..predictions {
                    p.predict(&x(10 * stock + i));
                    steps.push(Step::Predict(x(10 * stock + i)));
                }
            }
            p.client.close().unwrap();
            assert_eq!(p.settle(), Ok(Status::Closed));
            steps.push(Step::Close);
            Self { steps, up: frames(&p.up), down: frames(&p.down) }
        })
    }

    fn to(&self, receiver: Receiver) -> &[Frame] {
        if receiver == Receiver::Client { &self.down } else { &self.up }
    }

    /// Feeds `bytes` to a party with the recording's seed; checks what holds after every end.
    fn feed(&self, served: &Served<'_>, receiver: Receiver, bytes: &[u8]) -> End {
        match receiver {
            Receiver::Client => served.client(CLIENT_SEED, |client| {
                let end = feed_client(client, &self.steps, bytes);
                if let Err(error) = end {
                    assert_eq!(client.poll(), Err(error), "an error stays");
                    assert_eq!(
                        (client.prepare(), client.predict(&[]), client.close()),
                        (Err(error), Err(error), Err(error))
                    );
                }
                end
            }),
            Receiver::Server => served.server(SERVER_SEED, |server| {
                let end = feed_server(server, bytes);
                assert_eq!(server.poll(), end, "an end stays");
                end
            }),
        }
    }

    /// Feeds the recording with frame `at` replaced.
    fn feed_with(
        &self,
        served: &Served<'_>,
        receiver: Receiver,
        at: usize,
        frames: &[&[u8]],
    ) -> End {
        let all = self.to(receiver);
        let bytes = [all[..at].concat(), frames.concat(), all[at + 1..].concat()].concat();
        self.feed(served, receiver, &bytes)
    }
}

/// Max-pool, then a bound: comparisons of several stages.
fn small_pool() -> Vec<u8> {
    let window = Convolution::window([1, 4, 6], [2, 2], [2, 2], [0; 4], [1, 1]);
    let ops = [
        Op::MaxPool { function: Function::Relu, ring_in: 12, ring_out: 14, shift: 1, window },
        Op::Activation {
            function: Function::Clip { lo: 0, hi: 20 },
            ring_in: 14,
            ring_out: 14,
            shift: 1,
            len: 6,
        },
        Op::Reveal { ring: 14, len: 6 },
    ];
    common::model(24, &ops, 4)
}

/// A curve of eight elements: no frame is padded, so what damage is noticed by depends on no bits.
fn small_curve() -> Vec<u8> {
    let function = Function::PiecewiseLinear(common::spline(Parity::Odd, true, [6, 2, 4], 1));
    let ops = [
        Op::Activation { function, ring_in: 16, ring_out: 14, shift: 1, len: 8 },
        Op::Reveal { ring: 14, len: 8 },
    ];
    common::model(8, &ops, 4)
}

/// Runs `check` for both receivers on recordings that hold every kind of message, one in each table
/// mode.
fn everywhere(check: impl Fn(&Served<'_>, &Recording, Receiver) + Sync) {
    std::thread::scope(|scope| {
        let compared = Activations::Compared { log2_bytes_per_round: 0 };
        let options = |tables, activations| Options {
            repetition: Repetition::K2,
            tables,
            stock: 2,
            activations,
        };
        let pairing = parties::pair(options(Tables::Stored, compared), [3; 32], [4; 32]);
        for (net, tables, activations, pairing) in [
            (common::relu_net(), Tables::Stored, Activations::Garbled, None),
            (common::square_net(), Tables::Streamed, Activations::Garbled, Some(pairing.clone())),
            (common::graph_net(), Tables::Streamed, Activations::Garbled, None),
            (common::relu_net(), Tables::Stored, compared, Some(pairing)),
            (small_pool(), Tables::Streamed, compared, None),
            (small_curve(), Tables::Stored, compared, None),
        ] {
            let check = &check;
            let options = options(tables, activations);
            assert_eq!(common::compared(&net, &options) > 0, activations == compared);
            scope.spawn(move || {
                serve_with(&net, options, pairing, |served| {
                    let recording = Recording::new(served);
                    for receiver in [Receiver::Client, Receiver::Server] {
                        let all = recording.to(receiver).concat();
                        assert_eq!(
                            recording.feed(served, receiver, &all),
                            Ok(Status::Closed),
                            "unchanged"
                        );
                        check(served, &recording, receiver);
                    }
                });
            });
        }
    });
}

fn refused(end: End, what: &str) -> Error {
    match end {
        Err(error) => {
            assert!(blames_the_peer(error) || error == Error::Exhausted, "{what}: {error:?}");
            error
        }
        Ok(status) => panic!("{what}: {status:?}"),
    }
}

#[test]
fn every_truncation_is_an_error() {
    everywhere(|served, recording, receiver| {
        for (at, frame) in recording.to(receiver).iter().enumerate() {
            let before = recording.to(receiver)[..at].concat();
            for keep in
                [0, 1, HEADER, HEADER + 1, frame.len() / 2, frame.len() - TRAILER, frame.len() - 1]
            {
                let keep = keep.min(frame.len() - 1);
                let end = recording.feed(served, receiver, &[&before, &frame[..keep]].concat());
                assert_eq!(end, Err(Error::Eof), "{receiver:?}, frame {at}, {keep} bytes");
            }
        }
    });
}

#[test]
fn every_flipped_bit_is_an_error() {
    everywhere(|served, recording, receiver| {
        for (at, honest) in recording.to(receiver).iter().enumerate() {
            let last = honest.len() - 1;
            for byte in [
                0,
                1,
                HEADER - 1,
                HEADER,
                honest.len() / 2,
                last - TRAILER,
                last - TRAILER + 1,
                last,
            ] {
                let mut bad = honest.clone();
                bad[byte] ^= 1 << (at % 8);
                refused(
                    recording.feed_with(served, receiver, at, &[&bad]),
                    &format!("{receiver:?}, frame {at}, byte {byte}"),
                );
            }
        }
    });
}

#[test]
fn added_and_missing_bytes_and_frames_are_an_error() {
    everywhere(|served, recording, receiver| {
        let all = recording.to(receiver);
        for (at, honest) in all.iter().enumerate() {
            let name = |what: &str| format!("{receiver:?}, frame {at}, tag {}: {what}", honest[0]);
            let refuse = |frames: &[&[u8]], what: &str| {
                refused(recording.feed_with(served, receiver, at, frames), &name(what))
            };
            let payload = parties::payload(honest);
            assert_eq!(
                refuse(&[&frame(at, Tag::Abort as u8, &[8, 0])], "abort"),
                Error::PeerAborted(8)
            );
            refuse(&[&frame(at, honest[0], &[payload, &[0]].concat())], "longer by a byte");
            refuse(&[&frame(at, honest[0] ^ 32, payload)], "unknown tag");
            refuse(&[&frame(at, Tag::Abort as u8, &[8])], "crooked abort");
            refuse(&[], "left out");
            if !payload.is_empty() {
                refuse(&[&frame(at, honest[0], &payload[1..])], "shorter by a byte");
            }
            if at + 1 < all.len() {
                refuse(&[honest, &[0]], "a byte between frames");
                refuse(&[honest, honest], "twice");
                let swapped = [&all[..at], &[all[at + 1].clone(), honest.clone()], &all[at + 2..]]
                    .concat()
                    .concat();
                refused(recording.feed(served, receiver, &swapped), &name("swapped with the next"));
            }
        }
    });
}

#[test]
fn frames_out_of_their_turn_are_an_error() {
    // Frames of equal kind and length, from another prediction of the same session.
    everywhere(|served, recording, receiver| {
        let all = recording.to(receiver);
        let mut tried = 0;
        for (i, first) in all.iter().enumerate() {
            for (j, second) in all
                .iter()
                .enumerate()
                .skip(i + 1)
                .filter(|(_, f)| f[..HEADER] == first[..HEADER] && **f != *first)
            {
                let mut swapped = all.to_vec();
                swapped.swap(i, j);
                let error = refused(
                    recording.feed(served, receiver, &swapped.concat()),
                    &format!("{receiver:?}, {i} and {j}"),
                );
                assert_eq!(error, Error::Checksum);
                let mut replayed = all.to_vec();
                replayed[j] = first.clone();
                let error = refused(
                    recording.feed(served, receiver, &replayed.concat()),
                    &format!("{receiver:?}, {i} again for {j}"),
                );
                assert_eq!((error, second.len()), (Error::Checksum, first.len()));
                tried += 1;
            }
        }
        assert!(tried > 3);
    });
}

/// Every limb of a run of polynomials: coefficients and bits of each.
fn limbs_of(n: usize, limbs: usize) -> impl Iterator<Item = (usize, usize)> {
    LIMB_BITS.into_iter().take(limbs).map(move |bits| (n, bits as usize))
}

/// How many bytes stand before the polynomials of a message, and what these are: only residues that
/// are sent whole can be out of range.
fn polynomials(tag: u8) -> Option<(usize, Vec<(usize, usize)>)> {
    if tag == Tag::ServerKeys as u8 {
        let each = limbs_of(N, LIMB_BITS.len()).flat_map(|limb| [limb; 2]);
        Some((32, each.collect()))
    } else if tag == Tag::ClientKeys as u8 {
        Some((0, limbs_of(SMALL_N, 2).chain(limbs_of(N, 3)).collect()))
    } else {
        None
    }
}

/// Sets the first coefficient of a packed polynomial to all ones, which is no residue of any limb.
fn spoil(polynomial: &mut [u8], bits: usize) {
    for i in 0..bits {
        polynomial[i / 8] |= 1 << (i % 8);
    }
}

#[test]
fn coefficients_out_of_range_are_malformed() {
    assert!(PRIMES.iter().zip(LIMB_BITS).all(|(&q, bits)| q < (1 << bits) - 1));
    everywhere(|served, recording, receiver| {
        let mut tried = 0;
        for (at, honest) in recording.to(receiver).iter().enumerate() {
            let Some((mut first, all)) = polynomials(honest[0]) else { continue };
            let bytes = all.iter().map(|(n, bits)| n * bits / 8).sum::<usize>();
            assert_eq!(honest.len(), OVERHEAD + first + bytes);
            for (polynomial, (n, bits)) in all.into_iter().enumerate() {
                let mut payload = parties::payload(honest).to_vec();
                spoil(&mut payload[first..], bits);
                first += n * bits / 8;
                let end =
                    recording.feed_with(served, receiver, at, &[&frame(at, honest[0], &payload)]);
                assert_eq!(
                    end,
                    Err(Error::Malformed),
                    "{receiver:?}, frame {at}, polynomial {polynomial}"
                );
                tried += 1;
            }
        }
        // With a pairing, nobody receives a key.
        assert!(tried >= 5 || served.pairing.is_some());
    });
}

/// Bits of the last packed run of every message of one prediction, in the order of the wire.
fn bits(plan: &Plan<'_>, tag: Tag) -> Vec<u64> {
    let elements = |(ring, len): (u8, u32)| u64::from(ring) * u64::from(len);
    let of = |op: Op| match (tag, op) {
        (Tag::Colours, Op::Activation { .. }) => Some(elements(op.output())),
        (Tag::Opening | Tag::Answer, Op::Square { .. }) | (Tag::Output, Op::Reveal { .. }) => {
            Some(elements(op.input()))
        }
        (Tag::Download, Op::FullyConnected { .. }) => {
            let tile = Tile::choose(&op, 2).unwrap();
            Some(tile.results(tile.down() - 1).count() as u64 * u64::from(tile.c0_bits()))
        }
        _ => None,
    };
    match tag {
        Tag::Input => vec![elements((plan.input_ring(), plan.header().input_len))],
        _ => plan.ops().filter_map(of).collect(),
    }
}

#[test]
fn padding_must_be_zero() {
    let tried = AtomicUsize::new(0);
    everywhere(|served, recording, receiver| {
        for tag in [Tag::Input, Tag::Colours, Tag::Opening, Tag::Answer, Tag::Output, Tag::Download]
        {
            let bits = bits(&served.plan, tag);
            let of_tag =
                recording.to(receiver).iter().enumerate().filter(|(_, f)| f[0] == tag as u8);
            for ((at, honest), bits) in of_tag.zip(bits.iter().cycle()) {
                if bits % 8 > 0 {
                    let mut payload = parties::payload(honest).to_vec();
                    *payload.last_mut().unwrap() |= 0x80;
                    let end = recording.feed_with(
                        served,
                        receiver,
                        at,
                        &[&frame(at, honest[0], &payload)],
                    );
                    assert_eq!(end, Err(Error::Malformed), "{receiver:?}, {tag:?}, frame {at}");
                    tried.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    });
    assert!(tried.into_inner() > 15);
}

#[test]
fn padding_of_comparisons_must_be_zero() {
    let options = Options {
        repetition: Repetition::K2,
        stock: 2,
        activations: Activations::Compared { log2_bytes_per_round: 0 },
        ..Options::default()
    };
    for net in [small_pool(), common::curve_net()] {
        serve(&net, options, |served| padding_is_checked(served, &options));
    }
}

fn padding_is_checked(served: &Served<'_>, options: &Options) {
    let recording = Recording::new(served);
    // Bits of each frame, the server's and the client's, in the order in which they travel.
    let mut bits = [vec![], vec![]];
    for stage in served
        .plan
        .ops()
        .filter_map(|op| OtActivation::of(&op, options))
        .flat_map(|compared| compared.stages().collect::<Vec<_>>())
    {
        for number in 0..stage.protocol.rounds() {
            bits[0].push(stage.len * stage.protocol.server_bits(number) as usize);
            bits[1].push(stage.len * stage.protocol.client_bits(number) as usize);
        }
    }
    let mut tried = 0;
    for (receiver, bits) in [Receiver::Client, Receiver::Server].into_iter().zip(bits) {
        let compared =
            recording.to(receiver).iter().enumerate().filter(|(_, f)| f[0] == Tag::Compare as u8);
        for ((at, honest), _) in compared.zip(bits.iter().cycle()).filter(|(_, bits)| *bits % 8 > 0)
        {
            let mut payload = parties::payload(honest).to_vec();
            *payload.last_mut().unwrap() |= 0x80;
            let end = recording.feed_with(served, receiver, at, &[&frame(at, honest[0], &payload)]);
            assert_eq!(end, Err(Error::Malformed), "{receiver:?}, frame {at}");
            tried += 1;
        }
    }
    assert!(tried > 10, "{tried}");
}

#[test]
fn an_answer_that_is_no_class_is_malformed() {
    for tables in [Tables::Stored, Tables::Streamed] {
        serve(
            &common::square_net(),
            Options { repetition: Repetition::K2, tables, stock: 2, ..Options::default() },
            |served| {
                let recording = Recording::new(served);
                // The permute bits of the index stand at the end of what carries tables.
                let tag = if tables == Tables::Stored { Tag::Tables } else { Tag::Labels };
                let at = recording.down.iter().rposition(|f| f[0] == tag as u8).unwrap();
                for byte in 1..=8 {
                    let mut payload = parties::payload(&recording.down[at]).to_vec();
                    let n = payload.len();
                    payload[n - byte] ^= 0x80;
                    let end = recording.feed_with(
                        served,
                        Receiver::Client,
                        at,
                        &[&frame(at, tag as u8, &payload)],
                    );
                    // The second stock has two predictions, of which the recording uses the first
                    // only.
                    let last = if tables == Tables::Stored {
                        Ok(Status::Closed)
                    } else {
                        Err(Error::Malformed)
                    };
                    assert_eq!(end, last, "{tables:?}, byte {byte}");
                }
            },
        );
    }
}

#[test]
fn a_server_says_what_is_wrong_with_a_hello() {
    let options = Options { stock: 2, ..Options::default() };
    serve(&common::relu_net(), options, |served| {
        let honest =
            Hello { options, digest: *served.plan.digest(), nonce: [9; 32], pairing: None }.emit();
        let with = |at: usize, bytes: &[u8]| {
            let mut hello = honest;
            hello[at..at + bytes.len()].copy_from_slice(bytes);
            hello
        };
        let too_many = (MAX_STOCK + 1).to_le_bytes();
        let other = Repetition::K1.k() as u8;
        for (hello, error, at_once) in [
            (with(0, b"m"), Error::Malformed, true),
            (with(8, &[1, 0]), Error::Version, true),
            (with(8, &[3, 0]), Error::Version, true),
            (with(8, &[2, 1]), Error::Version, true),
            (with(10, &[0]), Error::Refused, true),
            (with(10, &[3]), Error::Refused, true),
            (with(10, &[16]), Error::Refused, true),
            (with(11, &[2 * (MAX_LOG2_BYTES_PER_ROUND + 2)]), Error::Refused, true),
            (with(11, &[255]), Error::Refused, true),
            (with(12, &[0, 0, 0, 0]), Error::Refused, true),
            (with(12, &too_many), Error::Refused, true),
            (with(12, &[255; 4]), Error::Refused, true),
            (with(10, &[other]), Error::Refused, false),
            (with(11, &[Tables::Streamed as u8]), Error::Refused, false),
            (with(11, &[2]), Error::Refused, false),
            (with(12, &[3]), Error::Refused, false),
            (with(16, &[!honest[16]]), Error::PlanMismatch, false),
            (with(47, &[!honest[47]]), Error::PlanMismatch, false),
            (with(80, &[1]), Error::UnknownPairing, false),
            (with(95, &[255]), Error::UnknownPairing, false),
        ] {
            let bytes = frame(0, Tag::Hello as u8, &hello);
            assert_eq!(Greeting::peek(&bytes).err(), at_once.then_some(error));
            served.server(SERVER_SEED, |server| {
                assert_eq!(feed_server(server, &bytes), Err(error));
                let mut told = vec![0; 100];
                let n = server.drain(&mut told);
                assert_eq!(told[..n], frame(0, Tag::Abort as u8, &error.code().to_le_bytes()));
            });
        }
        let bytes = frame(0, Tag::Hello as u8, &honest);
        for n in 0..bytes.len() {
            assert_eq!(Greeting::peek(&bytes[..n]), Ok(None), "{n} bytes");
        }
        assert!(
            matches!(Greeting::peek(&bytes), Ok(Some((Greeting::Hello(_), n))) if n == bytes.len())
        );
        // The client looks at the server's version, too.
        let recording = Recording::new(served);
        let mut welcome = parties::payload(&recording.down[0]).to_vec();
        welcome[0] ^= 3;
        let end = recording.feed_with(
            served,
            Receiver::Client,
            0,
            &[&frame(0, Tag::Welcome as u8, &welcome)],
        );
        assert_eq!(end, Err(Error::Version));
    });
}

#[test]
fn the_plan_may_be_asked_for_first() {
    serve(
        &common::relu_net(),
        Options { stock: 2, repetition: Repetition::K2, ..Options::default() },
        |served| {
            let recording = Recording::new(served);
            let request = frame(0, Tag::PlanRequest as u8, &VERSION.to_le_bytes());
            assert_eq!(Greeting::peek(&request), Ok(Some((Greeting::PlanRequest, request.len()))));
            let bytes = [&request[..], &request, &recording.up.concat()].concat();
            assert_eq!(recording.feed(served, Receiver::Server, &bytes), Ok(Status::Closed));
            let other = frame(0, Tag::PlanRequest as u8, &(VERSION - 1).to_le_bytes());
            assert_eq!(Greeting::peek(&other), Err(Error::Version));
            assert_eq!(recording.feed(served, Receiver::Server, &other), Err(Error::Version));
            // Not later.
            let bytes =
                [&recording.up[0][..], &frame(1, Tag::PlanRequest as u8, &VERSION.to_le_bytes())]
                    .concat();
            refused(
                recording.feed(served, Receiver::Server, &bytes),
                "a plan request after the hello",
            );
        },
    );
}

#[test]
fn garbage_at_any_stage_is_an_error() {
    everywhere(|served, recording, receiver| {
        let mut g = Lcg::seeded(5);
        for at in 0..recording.to(receiver).len() {
            let honest = recording.to(receiver)[..at].concat();
            let garbage: Vec<u8> = (0..1 + g.below(300)).map(|_| g.next() as u8).collect();
            for filler in [&garbage[..], &[0; 100], &[0xff; 100]] {
                refused(
                    recording.feed(served, receiver, &[&honest, filler].concat()),
                    &format!("{receiver:?}, frame {at}"),
                );
            }
        }
    });
}

/// A checksum is no authentication: with the checksum recomputed, a session may go on to a wrong
/// result. It never panics or hangs.
#[test]
fn forged_payloads_never_panic_or_hang() {
    let (ends, wrong) = (AtomicUsize::new(0), AtomicUsize::new(0));
    everywhere(|served, recording, receiver| {
        let mut g = Lcg::seeded(served.options.tables as u64 + 7);
        let frames = recording.to(receiver);
        for _ in 0..100 {
            let at = g.below(frames.len() as u64) as usize;
            let mut payload = parties::payload(&frames[at]).to_vec();
            if payload.is_empty() {
                continue;
            }
            for _ in 0..1 + g.below(8) {
                let byte = g.below(payload.len() as u64) as usize;
                payload[byte] = g.next() as u8;
            }
            if g.below(8) == 0 {
                payload.fill_with(|| g.next() as u8);
            }
            let end =
                recording.feed_with(served, receiver, at, &[&frame(at, frames[at][0], &payload)]);
            if end != Ok(Status::Closed) {
                refused(end, "forged");
                wrong.fetch_add(1, Ordering::Relaxed);
            }
            ends.fetch_add(1, Ordering::Relaxed);
        }
    });
    println!(
        "{} forged sessions, {} of them ended with an error",
        ends.into_inner(),
        wrong.into_inner()
    );
}

#[test]
fn bytes_after_the_end_change_nothing() {
    serve(
        &common::relu_net(),
        Options { stock: 2, repetition: Repetition::K2, ..Options::default() },
        |served| {
            let recording = Recording::new(served);
            let bytes = [recording.up.concat(), vec![0x55; 1000]].concat();
            served.server(SERVER_SEED, |server| {
                assert_eq!(feed_server(server, &bytes), Ok(Status::Closed));
                let mut sink = [0; 100];
                while server.drain(&mut sink) > 0 {}
                server.feed(&[1; 100]);
                assert_eq!((server.poll(), server.drain(&mut sink)), (Ok(Status::Closed), 0));
            });
        },
    );
}

#[test]
fn memory_is_wiped_after_an_error() {
    let longest = |bytes: &[u8]| bytes.split(|&b| b == 0).map(<[u8]>::len).max().unwrap_or(0);
    let kept = |bytes: &[u8]| bytes.iter().filter(|&&b| b != 0).count();
    serve(
        &common::square_net(),
        Options { stock: 2, repetition: Repetition::K2, ..Options::default() },
        |served| {
            let recording = Recording::new(served);
            let (plan, options, buffers) = (served.plan, served.options, Buffers::default());
            for at in 1..recording.down.len() {
                let bytes = [recording.down[..at].concat(), vec![0xee; 500]].concat();
                let mut memory =
                    Memory::new(ClientEngine::memory(&plan, &options, buffers).unwrap());
                let mut client = ClientEngine::new(
                    plan,
                    options,
                    buffers,
                    memory.bytes(),
                    &mut KnownSeed::new(Seed(CLIENT_SEED)),
                )
                .unwrap();
                assert!(feed_client(&mut client, &recording.steps, &bytes).is_err());
                drop(client);
                // Counters and pointers of the shared state may stay, and tables, which the client
                // got from the server.
                let tables = cost::store_bytes(&plan, &options) as usize;
                assert!(
                    kept(memory.bytes()) <= tables + 512,
                    "frame {at}: {} of {tables}",
                    kept(memory.bytes())
                );
            }
            for at in 1..recording.up.len() {
                let bytes = [recording.up[..at].concat(), vec![0xee; 500]].concat();
                let mut memory =
                    Memory::new(ServerEngine::memory(&plan, &options, buffers).unwrap());
                let mut server = ServerEngine::new(
                    &served.prepared,
                    options,
                    buffers,
                    memory.bytes(),
                    &mut KnownSeed::new(Seed(SERVER_SEED)),
                )
                .unwrap();
                assert!(feed_server(&mut server, &bytes).is_err());
                drop(server);
                let key = PRIMES.len() * N * 4;
                assert!(
                    kept(memory.bytes()) <= key + 512,
                    "frame {at}: {}, {}",
                    kept(memory.bytes()),
                    longest(memory.bytes())
                );
            }
        },
    );
}

/// A stream that gives recorded bytes, takes anything, and then leaves the reader waiting for ever.
struct Recorded<'b>(&'b [u8]);

impl embedded_io_async::ErrorType for Recorded<'_> {
    type Error = core::convert::Infallible;
}
impl embedded_io_async::Read for Recorded<'_> {
    async fn read(&mut self, buf: &mut [u8]) -> core::result::Result<usize, Self::Error> {
        if self.0.is_empty() {
            core::future::pending::<()>().await;
        }
        let n = buf.len().min(self.0.len());
        buf[..n].copy_from_slice(&self.0[..n]);
        self.0 = &self.0[n..];
        Ok(n)
    }
}
impl embedded_io_async::Write for Recorded<'_> {
    async fn write(&mut self, buf: &[u8]) -> core::result::Result<usize, Self::Error> {
        Ok(buf.len())
    }
    async fn flush(&mut self) -> core::result::Result<(), Self::Error> {
        Ok(())
    }
}

/// Polls once, then drops the call.
fn cancel<T>(call: impl Future<Output = Result<T>>) -> Option<Result<T>> {
    match core::pin::pin!(call).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => Some(result),
        Poll::Pending => None,
    }
}

/// An asynchronous caller may drop a call half-way: what it used must not be used again.
#[test]
fn a_cancelled_call_ends_the_session() {
    serve(
        &common::relu_net(),
        Options { stock: 2, repetition: Repetition::K2, ..Options::default() },
        |served| {
            let recording = Recording::new(served);
            let (plan, options) = (served.plan, served.options);
            let x = common::input(20, 0);
            let position =
                |frames: &[Frame], tag: Tag| frames.iter().position(|f| f[0] == tag as u8).unwrap();

            for (tag, prepared) in [(Tag::Tables, false), (Tag::Output, true)] {
                let bytes = recording.down[..position(&recording.down, tag)].concat();
                let mut memory = Memory::new(client_memory(&plan, &options).unwrap());
                let mut tables = vec![0; cost::store_bytes(&plan, &options) as usize];
                let store = SliceStore::new(&mut tables);
                let mut client = cancel(Client::connect(
                    Recorded(&bytes),
                    store,
                    plan,
                    options,
                    memory.bytes(),
                    &mut KnownSeed::new(Seed(CLIENT_SEED)),
                ))
                .unwrap()
                .unwrap();
                assert_eq!(cancel(client.prepare()), prepared.then_some(Ok(())));
                if prepared {
                    assert_eq!(cancel(client.predict(&x, &mut [0; 5])), None);
                }
                let sent = client.traffic().sent;
                assert!(client.is_closed());
                assert_eq!(cancel(client.predict(&x, &mut [0; 5])), Some(Err(Error::Closed)));
                assert_eq!(cancel(client.prepare()), Some(Err(Error::Closed)));
                assert_eq!(client.traffic().sent, sent);
            }

            for (tag, events) in
                [(Tag::Corrections, &[][..]), (Tag::Colours, &[Event::Prepared, Event::Keep])]
            {
                let bytes = recording.up[..position(&recording.up, tag)].concat();
                let mut memory = Memory::new(server_memory(&plan, &options).unwrap());
                let mut random = KnownSeed::new(Seed(SERVER_SEED));
                let accept = Server::accept(
                    Recorded(&bytes),
                    &served.prepared,
                    options,
                    memory.bytes(),
                    &mut random,
                );
                let mut server = cancel(accept).unwrap().unwrap();
                for &event in events {
                    assert_eq!(cancel(server.serve()), Some(Ok(event)));
                }
                assert_eq!(cancel(server.serve()), None);
                assert_eq!(cancel(server.serve()), Some(Err(Error::Closed)));
            }
        },
    );
}
