//! What each defence is for: with the defence stripped the attack succeeds, with it on the attack
//! fails.
//!
//! `cargo test --package minionn-core --features attack --test attacks`
#![cfg(feature = "attack")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may panic")]

#[path = "../common/mod.rs"]
mod common;
mod consistency;
mod deltas;
mod hidden;
mod keys;
mod labels;
mod masks;
mod one_time;
mod pairings;
#[path = "../common/parties.rs"]
mod parties;
mod products;
mod seeds;

use minionn_core::Error;
use minionn_core::attack::{Defence, strip};
use minionn_core::block::Block;
use minionn_core::plan::{Function, Op};
use minionn_core::rng::Seed;
use minionn_core::session::engine::Status;
use minionn_core::wire::{HEADER, OVERHEAD, Tag, unpack};
use parties::{Frame, Parties, find, frame, frames, payload};
use sha2::{Digest as _, Sha256};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Takes defences away until dropped. Switches are global to the process, so tests take turns.
struct Stripped(#[expect(dead_code, reason = "held, not read")] MutexGuard<'static, ()>);

impl Stripped {
    fn of(defences: &[Defence]) -> Self {
        static TURN: Mutex<()> = Mutex::new(());
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        strip(defences);
        Self(turn)
    }
}

impl Drop for Stripped {
    fn drop(&mut self) {
        strip(&[]);
    }
}

/// The name of a session, from its hello and from both nonces.
fn session_key(hello: &[u8], nonces: [&[u8]; 2]) -> Block {
    let (digest, pairing) = (&hello[16..48], &hello[80..96]);
    let start = if pairing == [0; 16] {
        Sha256::new().chain_update(b"MiniONN session")
    } else {
        Sha256::new().chain_update(b"MiniONN resumed").chain_update(pairing)
    };
    let [client, server] = nonces;
    let key = start.chain_update(client).chain_update(server).chain_update(digest).finalize();
    Block::from_le_bytes(*key.first_chunk().unwrap())
}

/// The name of the session in which these frames went up and down.
fn session_of(up: &[Frame], down: &[Frame]) -> Block {
    let (hello, welcome) = (payload(find(up, Tag::Hello)), payload(find(down, Tag::Welcome)));
    session_key(hello, [&hello[48..80], &welcome[2..34]])
}

/// What a party with this seed draws from in that session.
fn secrets(seed: [u8; 32], session: Block) -> Seed {
    let hedged = Sha256::new()
        .chain_update(b"MiniONN secrets")
        .chain_update(seed)
        .chain_update(session.to_le_bytes());
    Seed(hedged.finalize().into())
}

/// Set-up, then one stock, with a client whose messages `change` may change: tag, payload, and what
/// went up and down before. Returns what the server says.
fn prepare_dishonestly(
    p: &mut Parties<'_, '_, '_>,
    mut change: impl FnMut(u8, &mut Vec<u8>, [&[u8]; 2]),
) -> Result<(), Error> {
    let mut buffer = vec![0; 1 << 16];
    let (mut honest, mut queue, mut number, mut prepared) = (vec![], vec![], 0, false);
    loop {
        let status = p.client.poll().unwrap();
        let drained = p.client.drain(&mut buffer);
        honest.extend(&buffer[..drained]);
        while let Some(length) = honest.get(1..HEADER) {
            let end = u32::from_le_bytes(length.try_into().unwrap()) as usize + OVERHEAD;
            if honest.len() < end {
                break;
            }
            let rest = honest.split_off(end);
            let mut sent = payload(&honest).to_vec();
            change(honest[0], &mut sent, [&p.up, &p.down]);
            queue.extend(frame(number, honest[0], &sent));
            (honest, number) = (rest, number + 1);
        }
        let fed = p.server.feed(&queue);
        p.up.extend(queue.drain(..fed));
        p.server.poll()?;
        let down = p.server.drain(&mut buffer);
        p.down.extend(&buffer[..down]);
        assert_eq!(p.client.feed(&buffer[..down]), down);
        if drained + fed + down > 0 || status == Status::Busy {
            continue;
        }
        if prepared {
            return Ok(());
        }
        p.client.prepare().unwrap();
        prepared = true;
    }
}

/// Whether `count` of `of` fair coins is within 6 standard deviations.
fn fair(count: usize, of: usize) -> bool {
    let (count, of) = (count as f64, of as f64);
    (count - of / 2.0).abs() < 3.0 * of.sqrt()
}

/// 6-4-2: a hidden layer of four neurons.
fn small_net() -> Vec<u8> {
    common::model(
        6,
        &[
            Op::FullyConnected { ring: 18, weight_bits: 7, inputs: 6, outputs: 4 },
            Op::Activation {
                function: Function::Relu,
                ring_in: 18,
                ring_out: 14,
                shift: 6,
                len: 4,
            },
            Op::FullyConnected { ring: 14, weight_bits: 4, inputs: 4, outputs: 2 },
            Op::Reveal { ring: 14, len: 2 },
        ],
        5,
    )
}

/// The masked inputs in a server's view, one for each prediction.
fn masked_inputs(up: &[u8]) -> Vec<Vec<u64>> {
    let of = |frame: &Vec<u8>| {
        let mut values = vec![0; 6];
        assert!(unpack(payload(frame), 18, &mut values));
        values
    };
    frames(up).iter().filter(|f| f[0] == Tag::Input as u8).map(of).collect()
}
