//! OTs whose messages and choices are not one: corrections for other choices in one part of `Δ`
//! than in the others, and choices that differ within one base OT.

use super::common;
use super::parties::{CLIENT_SEED, SERVER_SEED, serve};
use super::{Stripped, prepare_dishonestly, secrets, session_of};
use crate::parties::frames;
use minionn_core::Error;
use minionn_core::attack::Defence;
use minionn_core::block::Block;
use minionn_core::hash::Tmmo;
use minionn_core::ot::{self, Encoded, GROUP, Leaves, Receiver, Repetition};
use minionn_core::plan::Op;
use minionn_core::ring::Modulus;
use minionn_core::rng::{Domain, Seed};
use minionn_core::session::{Options, SERVER_PAIRING_BYTES};
use minionn_core::wire::Tag;
use std::collections::HashMap;

const RING: u8 = 32;
const INPUTS: usize = 4;
const OUTPUTS: usize = 256;
const LAYER: Op = Op::FullyConnected {
    ring: RING,
    weight_bits: 8,
    inputs: INPUTS as u32,
    outputs: OUTPUTS as u32,
};
const REPETITION: Repetition = Repetition::K8;
/// Parts of `Δ`, of 8 bits each.
const PARTS: usize = REPETITION.blocks();

/// The part of `Δ` for which the OT of a result's carry has the other choice.
const fn part(result: usize) -> usize {
    result % PARTS
}

/// Turns one choice of each carry's OT round, in one part of `Δ`.
fn turn_round(corrections: &mut [u8]) {
    let each = REPETITION.correction_bytes_per_group();
    for result in 0..OUTPUTS {
        // Behind the mask.
        let group = (1 + result / GROUP) * each;
        let bit = result % GROUP;
        corrections[group + part(result) * 16 + bit / 8] ^= 1 << (bit % 8);
    }
}

/// One stock and one prediction of zeros with such corrections: what a client then knows of `Δ`,
/// and `Δ`; or what the server says, and what it says of its half of the pairing.
fn parts_of_delta() -> Result<(Block, Block), (Error, Error)> {
    let net = common::model(INPUTS as u32, &[LAYER, Op::Reveal { ring: RING, len: 256 }], 5);
    let options = Options { repetition: REPETITION, ..Options::default() };
    serve(&net, options, |served| {
        served.parties(|p| {
            let prepared = prepare_dishonestly(p, |tag, payload, _| {
                if tag == Tag::Corrections as u8 {
                    turn_round(payload);
                }
            });
            if let Err(error) = prepared {
                let half = p.server.export(&mut vec![0; SERVER_PAIRING_BYTES]);
                return Err((error, half.unwrap_err()));
            }
            let (_, logits) = p.predict(&[0; INPUTS]);
            let session = session_of(&frames(&p.up), &frames(&p.down));
            Ok((guess(session, &logits), delta(session)))
        })
    })
}

/// The server's.
fn delta(session: Block) -> Block {
    secrets(SERVER_SEED, session).derive(4).stream(Domain::Label, 0).next_u128() | 1
}

/// What the logits say about `Δ`. Where the client's choice was 0, the server's label is the
/// client's exclusive or a part of `Δ`, and a logit is off by the difference of their hashes: the
/// part that makes it small is the right one.
fn guess(session: Block, logits: &[i64]) -> Block {
    let hash = Tmmo::new(session);
    let mut roots = secrets(CLIENT_SEED, session).derive(0).stream(Domain::Label, 0);
    let mut memory = vec![0; REPETITION.leaves()];
    let leaves = Leaves::new(REPETITION, &mut memory).unwrap();
    let mut receiver = Receiver::new(leaves, &mut roots, &hash, &hash, |_, _| {}).unwrap();
    let groups = OUTPUTS / GROUP;
    let mut corrections = vec![0; groups * REPETITION.correction_bytes_per_group()];
    let mut labels = vec![0; OUTPUTS];
    let mut sums = [0; GROUP];
    receiver.start(&mut sums, &mut corrections[..REPETITION.correction_bytes_per_group()]).unwrap();
    receiver.extend(&mut sums, &vec![0; groups], &mut labels, &mut corrections).unwrap();
    let ring = Modulus::Bits(RING);
    let mut votes = vec![HashMap::new(); PARTS];
    for (result, (&label, &logit)) in labels.iter().zip(logits).enumerate() {
        for value in 0..256 {
            let other = label ^ value << (8 * part(result));
            let hashes = hash.hash([label, other], [(result as Block) << 8; 2]);
            let [own, others] = hashes.map(|h| h as u64);
            let true_one = logit.wrapping_sub(own.wrapping_sub(others) as i64);
            if (ring.reduce_signed(true_one) as u32).cast_signed().unsigned_abs() < 1 << 16 {
                *votes[part(result)].entry(value).or_insert(0) += 1;
            }
        }
    }
    let most = |votes: &HashMap<Block, u32>| *votes.iter().max_by_key(|(_, n)| **n).unwrap().0;
    votes.iter().enumerate().fold(0, |delta, (i, votes)| delta | most(votes) << (8 * i))
}

#[test]
fn without_the_check_inconsistent_corrections_tell_delta() {
    let _stripped = Stripped::of(&[Defence::Consistency]);
    let (guess, delta) = parts_of_delta().unwrap();
    println!("Δ {delta:032x}, guess {guess:032x}");
    assert_eq!(guess, delta);
}

#[test]
fn with_the_check_they_end_the_session_and_the_pairing() {
    let _all = Stripped::of(&[]);
    assert_eq!(parts_of_delta(), Err((Error::Inconsistent, Error::State)));
}

/// A server that takes the first half of the words of one message of a base OT and the rest of the
/// other, and searches for the rest of both. For a test, the search is shortened: all but `2^16`
/// of each `2^64` are told. Whether it has both messages.
fn both_messages_by_search() -> bool {
    const OT: usize = 5;
    let (hash, seed) = (Tmmo::new(31), Seed([32; 32]));
    let roots = || seed.stream(Domain::Label, 0);
    let mut memory = vec![0; REPETITION.leaves()];
    let mut own = Leaves::new(REPETITION, &mut memory).unwrap();
    let mut random = seed.stream(Domain::Label, 1);
    let mut y = [[0; 2]; 128];
    let encoded = ot::encode(&mut own, &mut y, &mut roots(), &mut random, &hash).unwrap();
    let sent: [Encoded; 2] = encoded.iter().nth(OT).unwrap();
    let mut messages = [0; 2];
    let keep = |j: usize, pair| messages = if j == OT { pair } else { messages };
    Receiver::new(own, &mut roots(), &hash, &hash, keep).unwrap();

    // Words of `X` where these are the message; else of both, where one half is as good as another.
    let stripped = sent[0][0] == messages[0];
    let words = |[x, y]: Encoded, word: usize| (if word < 8 { x } else { y }) >> (16 * (word % 8));
    let (all, mine) = if stripped { (8, 0..4) } else { (16, 0..8) };
    (0..2).all(|b| {
        let known = |word: usize| mine.contains(&word) == (b == 0);
        // Told and to be searched: four of the words that are missing.
        let missing: Vec<usize> = (0..all).filter(|&word| !known(word)).take(4).collect();
        (0..=u16::MAX).any(|guess| {
            let mut candidate = [0; 2];
            for word in 0..all {
                let value = match missing.iter().position(|&m| m == word) {
                    Some(0) => guess.into(),
                    Some(_) => words(sent[b], word) & 0xffff,
                    None if known(word) => words(sent[b], word) & 0xffff,
                    None => 0,
                };
                candidate[word / 8] |= value << (16 * (word % 8));
            }
            ot::decode(&hash, OT, b == 1, candidate) == messages[b]
        })
    })
}

#[test]
fn without_an_encoding_half_of_each_message_and_a_search_give_both() {
    let _stripped = Stripped::of(&[Defence::AllOrNothing]);
    assert!(both_messages_by_search());
}

#[test]
fn of_encoded_messages_the_same_search_gives_none() {
    let _all = Stripped::of(&[]);
    assert!(!both_messages_by_search());
}
