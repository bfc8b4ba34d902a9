//! OT extension, each party by itself, and both over loopback.

use minionn_core::backend::aes::Path;
use minionn_core::block::Block;
use minionn_core::hash::Tmmo;
use minionn_core::ot::{GROUP, Leaves, Receiver, Repetition, Sender};
use minionn_core::params::KAPPA;
use minionn_core::rng::{Domain, Seed};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Instant;

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
    sums: [[Block; GROUP]; 2],
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
        let client = Leaves::new(self.repetition, &mut self.client_leaves)?.on_path(path);
        let keep = |b: usize, pair| messages.iter_mut().skip(b).take(1).for_each(|to| *to = pair);
        let mut receiver = Receiver::new(client, &mut random, &hash, &hash, keep)?;
        let mut received = [0; KAPPA];
        for (b, (to, [m0, m1])) in received.iter_mut().zip(messages).enumerate() {
            *to = if delta >> b & 1 == 0 { m0 } else { m1 };
        }
        let server = Leaves::new(self.repetition, &mut self.server_leaves)?.on_path(path);
        let mut sender = Sender::new(server, delta, &received, &hash, &hash)?;
        let mut mask = vec![0; self.repetition.correction_bytes_per_group()];
        let mut sums = [[0; GROUP]; 2];
        let [ours, theirs] = &mut sums;
        receiver.start(ours, &mut mask)?;
        sender.start(theirs, &mask)?;
        Ok(Pair {
            receiver,
            sender,
            sums,
            choices: &self.choices,
            labels: &mut self.labels,
            corrections: &mut self.corrections,
        })
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
        let done =
            self.receiver.extend(&mut self.sums[0], self.choices, self.labels, self.corrections);
        debug_assert!(done.is_ok());
    }

    /// The server's work.
    pub fn send(&mut self) {
        let done = self.sender.extend(&mut self.sums[1], self.corrections, self.labels);
        debug_assert!(done.is_ok());
    }
}

/// Groups of OTs that a party makes between two calls of the system, a run.
const CHUNK: usize = 256;

/// Seconds for `chunks` runs of 256 groups, both parties over loopback with a thread each: the
/// least of `runs`. Returns the number of OTs, too.
///
/// # Errors
/// If there is no loopback.
pub fn over_loopback(
    repetition: Repetition,
    chunks: usize,
    runs: u32,
) -> anyhow::Result<(usize, f64)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut near = TcpStream::connect(listener.local_addr()?)?;
    let (mut far, _) = listener.accept()?;
    near.set_nodelay(true)?;
    // The same seeds: one's receiver and the other's sender belong together.
    let (mut client, mut server) = (Memory::new(repetition, CHUNK), Memory::new(repetition, CHUNK));
    let (mut client, mut server) = (client.pair(Path::best())?, server.pair(Path::best())?);
    let mut best = f64::MAX;
    for _ in 0..runs {
        let began = Instant::now();
        thread::scope(|scope| {
            let sender = scope.spawn(|| {
                (0..chunks).try_for_each(|_| {
                    far.read_exact(server.corrections)?;
                    server.send();
                    Ok::<_, std::io::Error>(())
                })
            });
            for _ in 0..chunks {
                client.receive();
                near.write_all(client.corrections)?;
            }
            sender.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })?;
        best = best.min(began.elapsed().as_secs_f64());
    }
    Ok((chunks * client.ots(), best))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn both_parties_over_loopback_make_ots() {
        for repetition in Repetition::ALL {
            let (mut a, mut b) = (Memory::new(repetition, CHUNK), Memory::new(repetition, CHUNK));
            let (mut client, mut server) =
                (a.pair(Path::best()).unwrap(), b.pair(Path::best()).unwrap());
            let mut delta = None;
            for _ in 0..2 {
                client.receive();
                server.corrections.copy_from_slice(client.corrections);
                server.send();
                for (i, (m, zero)) in client.labels.iter().zip(&*server.labels).enumerate() {
                    let choice = client.choices[i / GROUP] >> (i % GROUP) & 1;
                    let difference = m ^ zero;
                    assert_eq!(difference != 0, choice == 1, "{repetition:?} {i}");
                    if choice == 1 {
                        assert_eq!(*delta.get_or_insert(difference), difference);
                    }
                }
            }
            let (ots, seconds) = over_loopback(repetition, 2, 1).unwrap();
            assert!(ots == 2 * CHUNK * GROUP && seconds > 0.0);
        }
    }
}
