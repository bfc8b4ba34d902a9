//! A server with an even `Δ`: both labels of a wire have one colour.

use super::{Stripped, fair};
use minionn_core::attack::Defence;
use minionn_core::backend::aes::Aes;
use minionn_core::block::Block;
use minionn_core::hash::Tmmo;
use minionn_core::ot::{GROUP, Leaves, Receiver, Repetition, ggm_tweak};
use minionn_core::rng::{Domain, Seed};

/// OTs of a session.
const GROUPS: usize = 8;

/// A session's leaves of one tree at a server that chose by the bits of `path`, whatever they are:
/// all but number `path`.
fn leaves(hash: &Tmmo, tree: u8, path: usize, received: &[Block]) -> Vec<Option<Block>> {
    let mut nodes = vec![None];
    for (level, &sum) in (1..).zip(received) {
        let half = nodes.len();
        let mut below = vec![None; 2 * half];
        for (node, parent) in nodes.into_iter().enumerate() {
            for (side, at) in [(false, node), (true, node + half)] {
                let tweak = ggm_tweak(tree, level, side, node as u16);
                below[at] = parent.map(|parent: Block| hash.hash([parent], [tweak])[0]);
            }
        }
        // The missing node's sibling, from the sum of all nodes on its side.
        let sibling = (path ^ half) & (2 * half - 1);
        let side = if sibling < half { &below[..half] } else { &below[half..] };
        below[sibling] = Some(side.iter().flatten().fold(sum, |sum, node| sum ^ node));
        nodes = below;
    }
    let level = received.len() as u8 + 1;
    let own = |(x, leaf): (usize, Option<Block>)| {
        leaf.map(|leaf| hash.hash([leaf], [ggm_tweak(tree, level, false, x as u16)])[0])
    };
    nodes.into_iter().enumerate().map(own).collect()
}

/// The labels `Q` of such a server, for any `Δ`.
fn labels_of_the_server(
    hash: &Tmmo,
    k: usize,
    delta: Block,
    received: &[Block],
    corrections: &[Block],
) -> Vec<Block> {
    let [start] = hash.hash([0], [(1 << 126) + 1]);
    let mut labels = vec![0; GROUPS * GROUP];
    for (tree, received) in received.chunks(k).enumerate() {
        let path = (delta >> (tree * k)) as usize & ((1 << k) - 1);
        for (x, leaf) in leaves(hash, tree as u8, path, received).into_iter().enumerate() {
            let Some(leaf) = leaf else { continue };
            let mut rows: [Block; GROUPS] =
                core::array::from_fn(|group| (group as Block + 1) ^ start);
            Aes::of(leaf).encrypt(&mut rows);
            for (o, label) in labels.iter_mut().enumerate() {
                *label ^=
                    ((x ^ path) as Block * (rows[o / GROUP] >> (o % GROUP) & 1)) << (tree * k);
            }
        }
        for (o, label) in labels.iter_mut().enumerate() {
            let correction = corrections[o / GROUP * (128 / k) + tree];
            *label ^= (path as Block * (correction >> (o % GROUP) & 1)) << (tree * k);
        }
    }
    labels
}

/// How many OTs of an honest client with this server have labels that match, and in how many the
/// client's label has the colour of the server's.
fn labels_that_match(repetition: Repetition, delta: Block) -> [usize; 2] {
    let hash = Tmmo::new(21);
    let mut random = Seed([22; 32]).stream(Domain::Label, 0);
    let (mut memory, mut messages) = (vec![0; repetition.leaves()], [[0; 2]; 128]);
    let own = Leaves::new(repetition, &mut memory).unwrap();
    let keep = |b: usize, pair| messages[b] = pair;
    let mut client = Receiver::new(own, &mut random, &hash, &hash, keep).unwrap();
    let choices: [Block; GROUPS] = core::array::from_fn(|_| random.next_u128());
    let mut labels = vec![0; GROUPS * GROUP];
    let bytes = repetition.correction_bytes_per_group();
    let mut sent = vec![0; GROUPS * bytes];
    let mut sums = [0; GROUP];
    client.start(&mut sums, &mut sent[..bytes]).unwrap();
    client.extend(&mut sums, &choices, &mut labels, &mut sent).unwrap();

    let received: Vec<Block> =
        (0..128).map(|b| messages[b][usize::from(delta >> b & 1 == 1)]).collect();
    let sent: Vec<Block> = sent.as_chunks().0.iter().map(|c| Block::from_le_bytes(*c)).collect();
    let server = labels_of_the_server(&hash, repetition.k(), delta, &received, &sent);
    let pairs = || labels.iter().zip(&server).enumerate();
    let chosen = |o: usize| (choices[o / GROUP] >> (o % GROUP) & 1) * delta;
    [
        pairs().filter(|&(o, (t, q))| *t == q ^ chosen(o)).count(),
        pairs().filter(|(_, (t, q))| (*t ^ *q) & 1 == 0).count(),
    ]
}

const ALL: usize = GROUPS * GROUP;
const EVEN: Block = 0x1b23_5711_1317_1923_2931_3741_4347_5358;

#[test]
fn without_messages_for_an_odd_delta_only_a_server_knows_the_colours_of_all_labels() {
    let _stripped = Stripped::of(&[Defence::OddDelta]);
    for repetition in Repetition::ALL {
        assert_eq!(labels_that_match(repetition, EVEN), [ALL, ALL], "{repetition:?}");
    }
}

#[test]
fn with_messages_for_an_odd_delta_only_an_even_one_knows_no_colour() {
    let _all = Stripped::of(&[]);
    for repetition in Repetition::ALL {
        let [matching, colours] = labels_that_match(repetition, EVEN);
        println!("{repetition:?}: {matching} of {ALL} labels match, {colours} colours known");
        // As many as match by chance in the first part of Δ: one in 2^k.
        let chance = ALL as f64 / f64::from(1 << repetition.k());
        assert!((matching as f64 - chance).abs() < 6.0 * chance.sqrt(), "{repetition:?}");
        assert!(fair(colours, ALL), "{repetition:?}");
        // With an odd one all match, and a colour is that of a choice.
        let [matching, colours] = labels_that_match(repetition, EVEN | 1);
        assert!(matching == ALL && fair(colours, ALL), "{repetition:?}");
    }
}
