//! OT extension, each party by itself.

use minionn_core::backend::aes::Path;
use minionn_core::hash::{Block, Tmmo};
use minionn_core::ot::{GROUP, Receiver, Repetition, Sender};
use minionn_core::params::KAPPA;
use minionn_core::rng::{Domain, Seed};

/// What both parties keep, and what passes between them.
pub struct Memory {
    repetition: Repetition,
    client_leaves: Vec<Block>,
    server_leaves: Vec<Block>,
    choices: Vec<u128>,
    labels: Vec<Block>,
    corrections: Vec<u8>,
}

/// Both parties after set-up.
pub struct Pair<'m> {
    receiver: Receiver<'m>,
    sender: Sender<'m>,
    choices: &'m [u128],
    labels: &'m mut [Block],
    corrections: &'m mut [u8],
}

impl Memory {
    /// For `groups` groups of OTs in each run.
    #[must_use]
    pub fn new(repetition: Repetition, groups: usize) -> Self {
        let mut random = Seed([2; 32]).stream(Domain::Mask, 0);
        Self {
            repetition,
            client_leaves: vec![0; repetition.leaves()],
            server_leaves: vec![0; repetition.leaves()],
            choices: (0..groups).map(|_| random.next_u128()).collect(),
            labels: vec![0; groups * GROUP],
            corrections: vec![0; groups * repetition.correction_bytes_per_group()],
        }
    }

    /// Sets both parties up, as after the base OTs, on a path that this CPU can go.
    ///
    /// # Errors
    /// None.
    pub fn pair(&mut self, path: Path) -> minionn_core::Result<Pair<'_>> {
        let mut random = Seed([3; 32]).stream(Domain::Label, 0);
        let (hash, delta) = (Tmmo::new(random.next_u128()), random.next_u128() | 1);
        let mut messages = [[0; 2]; KAPPA];
        let receiver = Receiver::new(self.repetition, &mut random, &hash, &hash, &mut self.client_leaves, &mut messages)?;
        let mut received = [0; KAPPA];
        for (b, (to, [m0, m1])) in received.iter_mut().zip(messages).enumerate() {
            *to = if delta >> b & 1 == 0 { m0 } else { m1 };
        }
        let sender = Sender::new(self.repetition, delta, &received, &hash, &hash, &mut self.server_leaves)?;
        let (receiver, sender) = (receiver.on_path(path), sender.on_path(path));
        Ok(Pair { receiver, sender, choices: &self.choices, labels: &mut self.labels, corrections: &mut self.corrections })
    }
}

impl Pair<'_> {
    /// OTs of one run.
    #[must_use]
    pub const fn ots(&self) -> usize {
        self.choices.len() * GROUP
    }

    /// The client's work.
    pub fn receive(&mut self) {
        let done = self.receiver.extend(self.choices, self.labels, self.corrections);
        debug_assert!(done.is_ok());
    }

    /// The server's work.
    pub fn send(&mut self) {
        let done = self.sender.extend(self.corrections, self.labels);
        debug_assert!(done.is_ok());
    }
}
