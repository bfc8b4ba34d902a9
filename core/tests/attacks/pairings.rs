//! Nonces of a session that goes on with a pairing.

use super::common;
use super::parties::{Frame, find, frames, pair, payload, serve_with};
use super::{Stripped, fair, secrets, session_key, session_of, small_net};
use minionn_core::attack::Defence;
use minionn_core::block::Block;
use minionn_core::rng::Domain;
use minionn_core::session::Options;
use minionn_core::wire::Tag;

/// Predictions in each of two sessions.
const TIMES: u32 = 128;

/// Two sessions of one pairing, all seeds fresh: both directions of each, and the server's Δ.
fn two_sessions() -> ([[Vec<Frame>; 2]; 2], Block) {
    let options = Options { stock: TIMES, ..Options::default() };
    let pairing = pair(options, [3; 32], [4; 32]);
    let delta = Block::from_le_bytes(*pairing[1][32..].first_chunk().unwrap());
    let sessions = [([5; 32], [6; 32]), ([7; 32], [8; 32])].map(|(client, server)| {
        serve_with(&small_net(), options, Some(pairing.clone()), |served| {
            served.parties_of(client, server, |p| {
                p.prepare();
                (0..TIMES).for_each(|i| drop(p.predict(&common::input(6, i.into()))));
                [frames(&p.up), frames(&p.down)]
            })
        })
    });
    (sessions, delta)
}

/// What the server sees of the client: for each prediction and neuron, whether the two masks of the
/// output differ in a bit as the OT corrections of the two sessions do. `session`: what names a
/// session.
fn masks_told(
    sessions: &[[Vec<Frame>; 2]; 2],
    session: impl Fn(&[Vec<Frame>; 2]) -> Block,
) -> [usize; 2] {
    let masks = [(&sessions[0], [5; 32]), (&sessions[1], [7; 32])].map(|(frames, seed)| {
        let mut stream = secrets(seed, session(frames)).derive(5).derive(0).stream(Domain::Mask, 0);
        // Six for the input of each prediction, four for its activation.
        let mut draw = move |n: usize| (0..n).map(|_| stream.next_u64()).collect::<Vec<_>>();
        (0..TIMES).map(|_| (draw(6), draw(4)).1).collect::<Vec<_>>()
    });
    // Those of the circuits come after those of carries, between a mask and a proof.
    let blocks = Options::default().repetition.blocks();
    let corrections = sessions.each_ref().map(|[up, _]| {
        let last = up.iter().rfind(|f| f[0] == Tag::Corrections as u8).unwrap();
        let all = payload(last).as_chunks::<16>().0;
        &all[blocks..all.len() - 2]
    });
    let (mut told, mut all) = (0, 0);
    // A prediction has one group: for each neuron the bits of its share of the input (18), then
    // those of the mask (14).
    for (p, (one, two)) in
        corrections[0].chunks(blocks).zip(corrections[1].chunks(blocks)).enumerate()
    {
        for (one, two) in one.iter().zip(two) {
            let choices = Block::from_le_bytes(*one) ^ Block::from_le_bytes(*two);
            for neuron in 0..4 {
                let masks = masks[0][p][neuron] ^ masks[1][p][neuron];
                told += (0..14)
                    .filter(|bit| {
                        choices >> (32 * neuron + 18 + bit) & 1 == Block::from(masks >> bit & 1)
                    })
                    .count();
                all += 14;
            }
        }
    }
    [told, all]
}

/// What the client sees of the server: for each prediction and neuron, the second halves of the
/// first gate's tables of both sessions, and the labels that go into that gate from the server's
/// input, added up.
fn offsets(sessions: &[[Vec<Frame>; 2]; 2]) -> Vec<Block> {
    let block = |bytes: &[u8]| Block::from_le_bytes(*bytes.first_chunk().unwrap());
    let of = |down: &[Frame]| {
        let table = payload(find(down, Tag::Tables)).to_vec();
        let per_neuron = table.len() / (4 * TIMES as usize);
        let second = table.chunks(per_neuron).map(|table| block(&table[16..])).collect::<Vec<_>>();
        let labels = down
            .iter()
            .filter(|f| f[0] == Tag::Labels as u8)
            .flat_map(|f| payload(f).chunks(18 * 16).map(block));
        second.iter().zip(labels).map(|(half, label)| half ^ label).collect::<Vec<_>>()
    };
    let [one, two] = sessions.each_ref().map(|[_, down]| of(down));
    assert_eq!(one.len(), 4 * TIMES as usize);
    one.iter().zip(two).map(|(one, two)| one ^ two).collect()
}

#[test]
fn without_nonces_two_sessions_of_a_pairing_tell_masks_and_the_servers_secret() {
    let _stripped = Stripped::of(&[Defence::Nonces]);
    let (sessions, delta) = two_sessions();
    // Both have one name. The choices of two sessions, added up, in every correction.
    let [told, all] =
        masks_told(&sessions, |[up, _]| session_key(payload(find(up, Tag::Hello)), [&[0; 32]; 2]));
    assert_eq!(told, all);
    // Δ itself, wherever the server's shares differ.
    let offsets = offsets(&sessions);
    let found = offsets.iter().filter(|&&offset| offset == delta).count();
    println!("Δ {delta:032x} found {found} times in {}", offsets.len());
    assert!(
        offsets.iter().all(|&offset| offset == 0 || offset == delta) && fair(found, offsets.len())
    );
}

#[test]
fn with_nonces_two_sessions_of_a_pairing_tell_nothing() {
    let _all = Stripped::of(&[]);
    let (sessions, delta) = two_sessions();
    let [told, all] = masks_told(&sessions, |[up, down]| session_of(up, down));
    println!("{told} of {all} bits agree");
    assert!(fair(told, all));
    assert!(offsets(&sessions).iter().all(|&offset| offset != 0 && offset != delta));
}
