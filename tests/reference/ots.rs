//! Oblivious transfer: messages of base OTs (7.3), trees (7.4, 7.5), the extension (8.4) and its
//! runs (8.6). Where both parties compute something, both are here.

use super::{Seed, aes, bit, sha256, tmmo};

// -------------------------------------------------------------------------------------------------
// 7.3 Base OTs

/// Message `b` of OT `j`, encoded with the block `r`.
fn encoded(session: u128, j: usize, b: bool, m: u128, r: u128) -> [u128; 2] {
    let tweak = (1 << 127) + (1 << 126) + 4 * j as u128 + 2 * u128::from(b);
    let x = m ^ tmmo(session, r, tweak);
    [x, r ^ tmmo(session, x, tweak + 1)]
}

/// The message that is encoded so.
pub fn decoded(session: u128, j: usize, b: bool, [x, y]: [u128; 2]) -> u128 {
    let tweak = (1 << 127) + (1 << 126) + 4 * j as u128 + 2 * u128::from(b);
    let r = y ^ tmmo(session, x, tweak + 1);
    x ^ tmmo(session, r, tweak)
}

// -------------------------------------------------------------------------------------------------
// 7.4, 7.5 Trees

/// All trees of the OT extension, and the messages of the base OTs.
#[derive(Clone)]
pub struct Trees {
    pub(super) k: usize,
    /// `[tree][leaf]`.
    leaves: Vec<Vec<u128>>,
    /// `(m0, m1)`.
    pub(super) messages: Vec<(u128, u128)>,
    /// What a session's groups count from.
    offset: u128,
    /// What masks come from: of a pairing `R`, of a session its hash (Appendix A).
    mask: u128,
}

/// Labels of a sequence of OTs, and the bytes of its corrections.
#[derive(Clone, Default)]
pub struct Labels {
    pub corrections: Vec<u8>,
    pub t: Vec<u128>,
    pub q: Vec<u128>,
}

impl Trees {
    /// From the roots, under the id of the pairing.
    pub fn new(pairing: u128, k: usize, mut root: impl FnMut() -> u128) -> Self {
        let (mut leaves, mut messages) = (vec![], vec![]);
        for tree in 0..128 / k {
            let mut nodes = vec![root()];
            for level in 1..=k {
                let half = nodes.len();
                let child = |side: usize, node: usize| {
                    let tweak = (1 << 127)
                        + ((tree as u128) << 32)
                        + ((level as u128) << 24)
                        + ((side as u128) << 16)
                        + node as u128;
                    tmmo(pairing, nodes[node], tweak)
                };
                let [left, right] =
                    [0, 1].map(|side| (0..half).map(|node| child(side, node)).collect::<Vec<_>>());
                let sum = |nodes: &[u128]| nodes.iter().fold(0, |sum, x| sum ^ x);
                // Those of the first are both for an odd Δ.
                let odd = messages.is_empty();
                messages.push((if odd { sum(&left) } else { sum(&right) }, sum(&left)));
                nodes = [left, right].concat();
            }
            leaves.push(nodes);
        }
        Self { k, leaves, messages, offset: 0, mask: root() }
    }

    /// With the leaves of a session (7.5).
    pub fn of_session(&self, session: u128) -> Self {
        let mut own = self.clone();
        own.offset = tmmo(session, 0, (1 << 126) + 1);
        own.mask = tmmo(session, self.mask, (1 << 126) + 2);
        for (tree, leaves) in own.leaves.iter_mut().enumerate() {
            for (x, leaf) in leaves.iter_mut().enumerate() {
                *leaf = tmmo(
                    session,
                    *leaf,
                    (1 << 127) + ((tree as u128) << 32) + ((self.k as u128 + 1) << 24) + x as u128,
                );
            }
        }
        own
    }

    /// The messages `(m0, m1)` of the base OTs.
    pub fn messages(&self) -> &[(u128, u128)] {
        &self.messages
    }

    /// The same, encoded with blocks that are drawn OT by OT.
    pub fn encoded_messages(
        &self,
        session: u128,
        mut random: impl FnMut() -> u128,
    ) -> Vec<[[u128; 2]; 2]> {
        let mut of_pair = |(j, &(m0, m1)): (usize, &(u128, u128))| {
            [(false, m0), (true, m1)].map(|(b, m)| encoded(session, j, b, m, random()))
        };
        self.messages.iter().enumerate().map(&mut of_pair).collect()
    }

    // 8.4

    /// What the leaves of a tree give in group number `number`.
    fn rows(&self, tree: usize, number: u64) -> Vec<u128> {
        let row = |&leaf: &u128| aes(leaf, u128::from(number) ^ self.offset);
        self.leaves[tree].iter().map(row).collect()
    }

    /// The client's half of a group with these choices: corrections and labels.
    pub fn receive(&self, number: u64, choices: u128) -> (Vec<u128>, Vec<u128>) {
        let (mut corrections, mut v) = (vec![], vec![]);
        for tree in 0..self.leaves.len() {
            let g = self.rows(tree, number);
            corrections.push(sum(&g, |_| true) ^ choices);
            v.extend((0..self.k).map(|j| sum(&g, |x| x >> j & 1 == 1)));
        }
        (corrections, columns(&v))
    }

    /// The server's half of a group with these corrections: labels.
    pub fn send(&self, number: u64, corrections: &[u128], delta: u128) -> Vec<u128> {
        let mut q = vec![];
        for (tree, correction) in corrections.iter().enumerate() {
            let g = self.rows(tree, number);
            let own = (delta >> (tree * self.k)) as usize % (1 << self.k);
            for j in 0..self.k {
                let known = sum(&g, |x| (x ^ own) >> j & 1 == 1);
                q.push(known ^ if own >> j & 1 == 1 { *correction } else { 0 });
            }
        }
        columns(&q)
    }
}

/// The exclusive or of some rows.
fn sum(rows: &[u128], take: impl Fn(usize) -> bool) -> u128 {
    (0..rows.len()).filter(|&x| take(x)).fold(0, |sum, x| sum ^ rows[x])
}

/// The columns of a matrix of 128 × 128 bits.
fn columns(rows: &[u128]) -> Vec<u128> {
    let column = |o: usize| (0..128).fold(0, |label, r| label | u128::from(bit(rows[r], o)) << r);
    (0..128).map(column).collect()
}

fn bytes(blocks: &[u128]) -> Vec<u8> {
    blocks.iter().flat_map(|block| block.to_le_bytes()).collect()
}

// -------------------------------------------------------------------------------------------------
// 8.6 Runs

/// Value `n` of a multiplier's product with the values `x`.
fn product(multiplier: &Seed, n: usize, x: impl Fn(usize) -> u128) -> u128 {
    let at = |i: usize| multiplier[i / 8] >> (i % 8) & 1 == 1;
    (0..128).filter(|j| at(128 + n - j)).fold(0, |sum, j| sum ^ x(j))
}

/// A multiplier's product with a block.
fn times(multiplier: &Seed, x: u128) -> u128 {
    (0..128).fold(0, |block, n| block | product(multiplier, n, |j| x >> j & 1) << n)
}

/// What a party makes of a run so far.
#[derive(Clone)]
struct Sums {
    hash: Seed,
    labels: Vec<u128>,
    /// The client's alone.
    choices: u128,
}

impl Sums {
    /// Sums of the mask alone.
    fn new(offset: u128, number: u64, corrections: &[u128], labels: Vec<u128>) -> Self {
        let start = [&b"MiniONN check"[..], &offset.to_le_bytes(), &number.to_le_bytes()].concat();
        Self { hash: sha256(&[start, bytes(corrections)].concat()), labels, choices: 0 }
    }

    /// Adds a group; what its choices are multiplied with comes back.
    fn add(&mut self, corrections: &[u128], labels: &[u128]) -> Seed {
        self.hash = sha256(&[&self.hash[..], &bytes(corrections)].concat());
        for (n, sum) in self.labels.iter_mut().enumerate() {
            *sum ^= product(&self.hash, n, |j| labels[j]);
        }
        self.hash
    }

    /// The hash of labels that stands in a proof.
    fn proof_of(&self, labels: &[u128]) -> Vec<u8> {
        let hash = sha256(&[&b"MiniONN proof"[..], &self.hash, &bytes(labels)].concat());
        hash[..16].to_vec()
    }

    /// The client's proof.
    fn proof(&self) -> Vec<u8> {
        [&self.choices.to_le_bytes()[..], &self.proof_of(&self.labels)].concat()
    }

    /// Whether the server takes a proof.
    fn takes(&self, proof: &[u8], delta: u128) -> bool {
        let x = u128::from_le_bytes(proof[..16].try_into().unwrap());
        let label = |n: usize| self.labels[n] ^ if bit(x, n) { delta } else { 0 };
        self.proof_of(&(0..128).map(label).collect::<Vec<_>>()) == proof[16..]
    }
}

impl Trees {
    /// A run of one group, as a client makes it that has other choices in one part of Δ: it proves
    /// those of the other parts.
    pub fn run_with_others(&self, part: usize, others: u128) -> Vec<u8> {
        let (own, choices) = (77, u128::MAX);
        let (mask, labels) = self.receive(0, own);
        let mut client = Sums::new(self.offset, 0, &mask, labels);
        let (mut corrections, labels) = self.receive(1, choices);
        corrections[part] ^= choices ^ others;
        let multiplier = client.add(&corrections, &labels);
        client.choices = own ^ times(&multiplier, choices);
        [bytes(&mask), bytes(&corrections), client.proof()].concat()
    }
}

/// All OTs of one direction, of both parties.
pub struct Extension {
    trees: Trees,
    /// The sender's.
    pub delta: u128,
    /// The number of the next group.
    groups: u64,
    /// The run that is under way: the client's sums and the server's.
    run: Option<[Sums; 2]>,
}

impl Extension {
    /// On the trees of a session.
    pub fn new(trees: Trees, delta: u128) -> Self {
        Self { trees, delta, groups: 0, run: None }
    }

    /// The next group with these choices, of both parties: corrections, both labels.
    fn group(&mut self, choices: u128) -> (Vec<u128>, [Vec<u128>; 2]) {
        let (corrections, t) = self.trees.receive(self.groups, choices);
        let q = self.trees.send(self.groups, &corrections, self.delta);
        self.groups += 1;
        for o in 0..128 {
            assert_eq!(t[o], q[o] ^ if bit(choices, o) { self.delta } else { 0 });
        }
        (corrections, [t, q])
    }

    /// Starts a run: the corrections of its mask.
    pub fn start(&mut self) -> Vec<u8> {
        assert!(self.run.is_none(), "one run at a time");
        let number = self.groups;
        let secret = self.trees.mask.to_le_bytes();
        let hash = sha256(&[&b"MiniONN mask"[..], &secret, &number.to_le_bytes()].concat());
        let choices = u128::from_le_bytes(hash[..16].try_into().unwrap());
        let (corrections, labels) = self.group(choices);
        let mut run =
            labels.map(|labels| Sums::new(self.trees.offset, number, &corrections, labels));
        run[0].choices = choices;
        self.run = Some(run);
        bytes(&corrections)
    }

    /// OTs with these choices, in new groups of the run.
    pub fn transfer(&mut self, choices: &[bool]) -> Labels {
        let mut labels = Labels::default();
        for group in choices.chunks(128) {
            let block = group.iter().enumerate().map(|(j, &c)| u128::from(c) << j).sum();
            let (corrections, [t, q]) = self.group(block);
            let [client, server] = self.run.as_mut().unwrap();
            server.add(&corrections, &q);
            let multiplier = client.add(&corrections, &t);
            client.choices ^= times(&multiplier, block);
            labels.corrections.extend(bytes(&corrections));
            labels.t.extend(t);
            labels.q.extend(q);
        }
        labels.t.truncate(choices.len());
        labels.q.truncate(choices.len());
        labels
    }

    /// Ends the run: its proof, which the server takes.
    pub fn finish(&mut self) -> Vec<u8> {
        let [client, server] = self.run.take().unwrap();
        let proof = client.proof();
        assert!(server.takes(&proof, self.delta));
        proof
    }

    /// Whether a server takes a run as it comes: mask, corrections, proof.
    pub fn takes(&mut self, run: &[u8]) -> bool {
        let (groups, proof) = run.split_at(run.len() - 32);
        let mut sums: Option<Sums> = None;
        for group in groups.chunks(2048 / self.trees.k) {
            let corrections: Vec<u128> =
                group.chunks(16).map(|c| u128::from_le_bytes(c.try_into().unwrap())).collect();
            let number = self.groups;
            self.groups += 1;
            let q = self.trees.send(number, &corrections, self.delta);
            match &mut sums {
                None => sums = Some(Sums::new(self.trees.offset, number, &corrections, q)),
                Some(sums) => {
                    sums.add(&corrections, &q);
                }
            }
        }
        sums.unwrap().takes(proof, self.delta)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{LABEL, Stream};
    use super::*;

    /// Trees of a session, and its Δ.
    fn extension(k: usize, delta: u128) -> Extension {
        let mut roots = Stream::new([5; 32], LABEL, 0);
        Extension::new(Trees::new(8, k, || roots.block()).of_session(9), delta)
    }

    /// 7.3: an encoded message is read with all of its words alone.
    #[test]
    fn encoded_messages() {
        let mut next = Stream::new([6; 32], LABEL, 0);
        let trees = Trees::new(8, 4, || next.block());
        let messages = trees.encoded_messages(8, || next.block());
        for (j, (&(m0, m1), [x0, x1])) in trees.messages().iter().zip(messages).enumerate() {
            assert_eq!([decoded(8, j, false, x0), decoded(8, j, true, x1)], [m0, m1]);
            assert_ne!(decoded(8, j, true, x0), m0);
            for word in 0..16 {
                let mut other = x0;
                other[word / 8] ^= 1 << (16 * (word % 8));
                assert_ne!(decoded(8, j, false, other), m0);
            }
        }
    }

    /// 8.6: a run is taken as it is, not with any other byte, nor a second time.
    #[test]
    fn runs_are_taken_as_they_are() {
        for k in [1, 2, 4, 8] {
            let delta = (u128::MAX / 7) | 1;
            let mut client = extension(k, delta);
            let mut runs = vec![];
            for choices in [vec![true; 130], vec![], vec![false, true]] {
                let mask = client.start();
                let corrections = client.transfer(&choices).corrections;
                runs.push([mask, corrections, client.finish()].concat());
                assert_eq!(
                    runs.last().unwrap().len(),
                    2048 / k * (1 + choices.len().div_ceil(128)) + 32
                );
            }
            let mut server = extension(k, delta);
            assert!(runs.iter().all(|run| server.takes(run)));
            assert!(!server.takes(&runs[0]));
            for at in (0..runs[0].len()).step_by(29) {
                let mut damaged = runs[0].clone();
                damaged[at] ^= 1 << (at % 8);
                assert!(!extension(k, delta).takes(&damaged), "byte {at}");
            }
        }
    }

    /// 8.6: a client that has other choices in one part of Δ passes where it guesses that part, and
    /// only there.
    #[test]
    fn runs_with_other_choices_in_a_part() {
        let (k, part, others) = (4, 3, u128::MAX ^ 0x80_0001);
        for of_part in 0..1 << k {
            let delta = (0x1234_5678_u128 << 70) | of_part << (k * part) | 1;
            let run = extension(k, delta).trees.run_with_others(part, others);
            let taken = extension(k, delta).takes(&run);
            assert_eq!(taken, of_part == 0, "{of_part}");
        }
    }
}
