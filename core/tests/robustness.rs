//! Damaged, reordered and hostile messages: every one ends in an error of the receiver, none in a panic or a hang.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod common;
#[path = "common/parties.rs"]
mod parties;

use common::{Lcg, Memory};
use minionn_core::memory::ALIGN;
use minionn_core::ot::Repetition;
use minionn_core::params::{N, PRIMES};
use minionn_core::plan::cost;
use minionn_core::rng::Seed;
use minionn_core::session::engine::{Buffers, ClientEngine, ServerEngine, Status};
use minionn_core::session::{MAX_STOCK, Options, Tables};
use minionn_core::wire::{Checksum, Greeting, HEADER, Hello, OVERHEAD, TRAILER, Tag};
use minionn_core::{Error, Result};
use parties::{CLIENT_SEED, End, Frame, SERVER_SEED, Served, Step, blames_the_peer, feed_client, feed_server, find, frame, frames, serve};

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
    /// Two stocks of two predictions, the second stock used by half.
    fn new(served: &Served<'_>) -> Self {
        let x = |seed| common::input(served.plan.header().input_len as usize, seed);
        served.parties(|p| {
            let mut steps = Vec::new();
            for (stock, predictions) in [(0, 2), (1, 1)] {
                p.prepare();
                steps.push(Step::Prepare);
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
                    assert_eq!((client.prepare(), client.predict(&[]), client.close()), (Err(error), Err(error), Err(error)));
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
    fn feed_with(&self, served: &Served<'_>, receiver: Receiver, at: usize, frames: &[&[u8]]) -> End {
        let all = self.to(receiver);
        let bytes = [all[..at].concat(), frames.concat(), all[at + 1..].concat()].concat();
        self.feed(served, receiver, &bytes)
    }
}

/// Runs `check` on recordings with every kind of layer, in both table modes, for both receivers.
fn everywhere(check: impl Fn(&Served<'_>, &Recording, Receiver) + Sync) {
    std::thread::scope(|scope| {
        for net in [common::relu_net(), common::square_net()] {
            for tables in [Tables::Stored, Tables::Streamed] {
                let (check, net) = (&check, net.clone());
                scope.spawn(move || {
                    serve(&net, Options { repetition: Repetition::K2, tables, stock: 2 }, |served| {
                        let recording = Recording::new(served);
                        for receiver in [Receiver::Client, Receiver::Server] {
                            let all = recording.to(receiver).concat();
                            assert_eq!(recording.feed(served, receiver, &all), Ok(Status::Closed), "unchanged");
                            check(served, &recording, receiver);
                        }
                    });
                });
            }
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
            for keep in [0, 1, HEADER, HEADER + 1, frame.len() / 2, frame.len() - TRAILER, frame.len() - 1] {
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
            for byte in [0, 1, HEADER - 1, HEADER, honest.len() / 2, last - TRAILER, last - TRAILER + 1, last] {
                let mut bad = honest.clone();
                bad[byte] ^= 1 << (at % 8);
                refused(recording.feed_with(served, receiver, at, &[&bad]), &format!("{receiver:?}, frame {at}, byte {byte}"));
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
            let refuse = |frames: &[&[u8]], what: &str| refused(recording.feed_with(served, receiver, at, frames), &name(what));
            let payload = parties::payload(honest);
            assert_eq!(refuse(&[&frame(at, Tag::Abort as u8, &[8, 0])], "abort"), Error::PeerAborted(8));
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
                let swapped = [&all[..at], &[all[at + 1].clone(), honest.clone()], &all[at + 2..]].concat().concat();
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
            for (j, second) in all.iter().enumerate().skip(i + 1).filter(|(_, f)| f[..HEADER] == first[..HEADER] && **f != *first) {
                let mut swapped = all.to_vec();
                swapped.swap(i, j);
                let error = refused(recording.feed(served, receiver, &swapped.concat()), &format!("{receiver:?}, {i} and {j}"));
                assert_eq!(error, Error::Checksum);
                let mut replayed = all.to_vec();
                replayed[j] = first.clone();
                let error = refused(recording.feed(served, receiver, &replayed.concat()), &format!("{receiver:?}, {i} again for {j}"));
                assert_eq!((error, second.len()), (Error::Checksum, first.len()));
                tried += 1;
            }
        }
        assert!(tried > 3);
    });
}
