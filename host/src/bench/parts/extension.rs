//! OT extension after set-up, each party by itself.

use super::{Facts, Measure, Needs};
use minionn_core::hash::{Block, Tmmo};
use minionn_core::ot::{GROUP, Receiver, Repetition, Sender};
use minionn_core::params::KAPPA;
use minionn_core::rng::{Domain, Seed};

/// Groups of OTs in one run.
const GROUPS: usize = 64;

/// What both parties keep, and what passes between them.
struct Memory {
    leaves: [Vec<Block>; 2],
    choices: Vec<u128>,
    labels: Vec<Block>,
    corrections: Vec<u8>,
}

impl Memory {
    fn new(repetition: Repetition) -> Self {
        let mut random = Seed([2; 32]).stream(Domain::Mask, 0);
        Self {
            leaves: [vec![0; repetition.leaves()], vec![0; repetition.leaves()]],
            choices: (0..GROUPS).map(|_| random.next_u128()).collect(),
            labels: vec![0; GROUPS * GROUP],
            corrections: vec![0; GROUPS * repetition.correction_bytes_per_group()],
        }
    }
}

/// Both parties as base OTs leave them.
fn parties(repetition: Repetition, leaves: &mut [Vec<Block>; 2]) -> anyhow::Result<(Receiver<'_>, Sender<'_>)> {
    let mut random = Seed([3; 32]).stream(Domain::Label, 0);
    let (hash, delta) = (Tmmo::new(random.next_u128()), random.next_u128() | 1);
    let [client, server] = leaves;
    let (mut messages, mut received) = ([[0; 2]; KAPPA], [0; KAPPA]);
    let receiver = Receiver::new(repetition, &mut random, &hash, &hash, client, &mut messages)?;
    for (b, (to, [zero, one])) in received.iter_mut().zip(messages).enumerate() {
        *to = if delta >> b & 1 == 0 { zero } else { one };
    }
    Ok((receiver, Sender::new(repetition, delta, &received, &hash, &hash, server)?))
}

fn facts(party: &str, repetition: Repetition) -> Facts {
    // One block of each leaf for every group.
    let needs = Needs { blocks: (GROUPS * repetition.leaves()) as u64, ..Needs::default() };
    Facts { what: format!("OT extension k = {}, {party}", repetition.k()), units: (GROUPS * GROUP) as u64, unit: "OT", needs }
}

/// The client's work.
///
/// # Errors
/// Those of `measure`, as everywhere here.
pub fn receive(repetition: Repetition, measure: Measure<'_>) -> anyhow::Result<()> {
    let Memory { mut leaves, choices, mut labels, mut corrections } = Memory::new(repetition);
    let (mut receiver, _) = parties(repetition, &mut leaves)?;
    measure(facts("receiver", repetition), &mut || Ok(receiver.extend(&choices, &mut labels, &mut corrections)?))
}

/// The server's work.
///
/// # Errors
/// As above.
pub fn send(repetition: Repetition, measure: Measure<'_>) -> anyhow::Result<()> {
    let Memory { mut leaves, choices, mut labels, mut corrections } = Memory::new(repetition);
    let (mut receiver, mut sender) = parties(repetition, &mut leaves)?;
    receiver.extend(&choices, &mut labels, &mut corrections)?;
    measure(facts("sender", repetition), &mut || Ok(sender.extend(&corrections, &mut labels)?))
}
