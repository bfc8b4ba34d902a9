//! SoftSpokenOT, repetition code (Roy, CRYPTO 2022, §3–§5). Groups come in runs that start with
//! a mask and end with a proof, see [`super::check`].
//!
//! Let `G` be a leaf's pseudo-random row of 128 bits for a group: AES-128 keyed by the leaf on the
//! group's number, exclusive or the session's [`offset`]. For block `i` of `Δ` and bit `j` of that
//! block, sums over all leaves `x`:
//!
//! - client: `u_i = ⊕ G(r_x)`, `v_ij = ⊕ x_j·G(r_x)`; sends `c_i = u_i ⊕ choices`;
//! - server: `w_ij = ⊕ (x ⊕ Δ_i)_j·G(r_x) = v_ij ⊕ Δ_ij·u_i`, in which leaf `Δ_i`, unknown to it,
//!   has factor 0; `q_ij = w_ij ⊕ Δ_ij·c_i = v_ij ⊕ Δ_ij·choices`.
//!
//! Rows `v` and `q` number `i·k + j` are bit `i·k + j` of all labels `T` and `Q` of the group: `T =
//! Q ⊕ b·Δ`.

#![expect(
    clippy::indexing_slicing,
    reason = "hot; lengths are checked on entry, batches hold at most BATCH groups"
)]

use super::check::{self, PROOF_BYTES, Run};
use super::leaves::{Leaves, check};
use super::{GROUP, Repetition, base, ggm, wide_mask};
use crate::attack::{Defence, stripped};
use crate::backend::aes::{Job, Lane, Lanes, Pass, Path, SimdBackend, in_flight};
use crate::backend::transpose::transpose;
use crate::block::Block;
use crate::hash::Tmmo;
use crate::params::KAPPA;
use crate::rng::Prg;
use crate::{Error, Result};
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize as _, Zeroizing};

/// Groups per key schedule of a leaf. The stack holds `(2k + 1)·BATCH` blocks: 4.5 KiB at `k = 4`,
/// 2.1 KiB on a small machine at any.
const BATCH: usize = if cfg!(target_pointer_width = "64") { 32 } else { 8 };

/// Levels of a tree of depth `k` whose leaves are worked on side by side: 16 leaves, on a small
/// machine one.
const fn depth(k: usize) -> usize {
    match (cfg!(target_pointer_width = "64"), k) {
        (false, _) => 0,
        (true, k) if k < 4 => k,
        (true, _) => 4,
    }
}

/// Levels for which a [`Fold`] has room: those of its trees, on a small machine those of any, so
/// that its code is there once.
const fn levels(k: usize) -> usize {
    if cfg!(target_pointer_width = "64") { k } else { 8 }
}

/// The client's half of one session, after set-up: chooses bits, gets `T`. Wiped on drop.
pub struct Receiver<'a> {
    leaves: Leaves<'a>,
    offset: Block,
    /// Masks of runs are drawn from it.
    masks: Zeroizing<Block>,
    groups: u64,
    /// The run under way, with the sum of its choices.
    run: Option<(Run, Zeroizing<Block>)>,
}

impl<'a> Receiver<'a> {
    /// Set-up: grows the trees of a pairing from the next `128/k` values of `roots`, and hands
    /// `pair` the message pair `[m0, m1]` of each base OT, in which this party is the sender. In
    /// base OT `b` the server's choice is bit `b` of `Δ`. The messages are secret. Those of base
    /// OT 0 are both the one for an odd `Δ`: with an even one labels would have constant colours,
    /// from which a server reads shares; so it gets leaves that do not match.
    ///
    /// `pairing` is the key of the session that made the pairing, `session` that of this session,
    /// bound to fresh nonces of both parties (the same in the first one): the trees grow under
    /// the first, under the second their leaves become those of this session. So sessions of one
    /// pairing may be any number, in any order, at the same time, and each numbers its groups from
    /// 0.
    ///
    /// # Errors
    /// [`Error::Internal`] if a tree does not fit its levels, which cannot happen.
    pub fn new(
        mut leaves: Leaves<'a>,
        roots: &mut Prg,
        pairing: &Tmmo,
        session: &Tmmo,
        mut pair: impl FnMut(usize, [Block; 2]),
    ) -> Result<Self> {
        let k = leaves.repetition().k();
        for (tree, leaves) in (0..).zip(leaves.trees_mut()) {
            let pairs = base::grow(pairing, tree, roots.next_u128(), leaves)?;
            let first = usize::from(tree) * k;
            (first..first + k).zip(pairs.iter()).for_each(|(j, messages)| pair(j, *messages));
            ggm::refresh(session, tree, 0, false, leaves)?;
        }
        let [masks] = session.hash([roots.next_u128()], [MASKS_TWEAK]);
        let (offset, masks) = (offset(session), Zeroizing::new(masks));
        Ok(Self { leaves, offset, masks, groups: 0, run: None })
    }

    /// Starts a run of groups with its mask; `corrections` gets what to send of it. `sums` has 128
    /// blocks, which all calls of the run get as the one before left them.
    ///
    /// # Errors
    /// [`Error::Length`] for another length of `sums`, and unless `corrections` holds
    /// [`Repetition::correction_bytes_per_group`] bytes; [`Error::Internal`] in a run, or after
    /// `2^64` groups.
    pub fn start(&mut self, sums: &mut [Block], corrections: &mut [u8]) -> Result<()> {
        check::labels_of(sums)?;
        check(self.leaves.repetition().correction_bytes_per_group(), corrections.len())?;
        if self.run.is_some() {
            return Err(Error::Internal);
        }
        let end = advance(self.groups, 1)?;
        let mask = Zeroizing::new(check::mask(*self.masks, self.groups)?);
        self.groups(&[*mask], sums, corrections)?;
        self.run = Some((Run::start(self.offset, self.groups, corrections, sums)?, mask));
        self.groups = end;
        Ok(())
    }

    /// Ends a run. Returns the proof to send.
    ///
    /// # Errors
    /// [`Error::Internal`] unless one was started.
    pub fn finish(&mut self, sums: &mut [Block]) -> Result<[u8; PROOF_BYTES]> {
        let (run, choices) = self.run.take().ok_or(Error::Internal)?;
        let digest = run.finish(sums, (0, 0))?;
        let mut proof = [0; PROOF_BYTES];
        let sent = choices.to_le_bytes().into_iter().chain(digest);
        proof.iter_mut().zip(sent).for_each(|(to, from)| *to = from);
        Ok(proof)
    }

    /// Groups done so far, masks included.
    #[cfg(any(test, feature = "unstable"))]
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.groups
    }

    /// `choices.len()` more groups of a run. OT `j` of a group chooses bit `j` of the group's
    /// `choices`; `labels` gets `T`, 128 per group; `corrections` gets what to send: per group
    /// `128/k` little-endian blocks. However calls are cut, the results are the same.
    ///
    /// # Errors
    /// [`Error::Length`] unless `labels` holds 128 blocks and `corrections`
    /// [`Repetition::correction_bytes_per_group`] bytes per group; [`Error::Internal`] outside a
    /// run and after `2^64` groups. Nothing is written and no group is used up then.
    pub fn extend(
        &mut self,
        sums: &mut [Block],
        choices: &[u128],
        labels: &mut [Block],
        corrections: &mut [u8],
    ) -> Result<()> {
        let groups = choices.len();
        check(groups * GROUP, labels.len())?;
        let repetition = self.leaves.repetition();
        check(groups * repetition.correction_bytes_per_group(), corrections.len())?;
        let end = advance(self.groups, groups)?;
        if self.run.is_none() {
            return Err(Error::Internal);
        }
        self.groups(choices, labels, corrections)?;
        let (run, sum) = self.run.as_mut().ok_or(Error::Internal)?;
        for (corrections, (labels, &choices)) in corrections
            .chunks_exact(repetition.correction_bytes_per_group())
            .zip(labels.as_chunks().0.iter().zip(choices))
        {
            let multiplier = run.add(corrections, labels, sums)?;
            **sum ^= check::product(multiplier, choices);
        }
        self.groups = end;
        Ok(())
    }

    /// The next groups, into slices of the right lengths.
    fn groups(&self, choices: &[u128], labels: &mut [Block], corrections: &mut [u8]) -> Result<()> {
        let (labels, corrections) = (labels.as_chunks_mut().0, corrections.as_chunks_mut().0);
        match self.leaves.repetition() {
            Repetition::K1 => self.run::<{ levels(1) }, { 1 << depth(1) }, { depth(1) }>(
                choices,
                labels,
                corrections,
            ),
            Repetition::K2 => self.run::<{ levels(2) }, { 1 << depth(2) }, { depth(2) }>(
                choices,
                labels,
                corrections,
            ),
            Repetition::K4 => self.run::<{ levels(4) }, { 1 << depth(4) }, { depth(4) }>(
                choices,
                labels,
                corrections,
            ),
            Repetition::K8 => self.run::<{ levels(8) }, { 1 << depth(8) }, { depth(8) }>(
                choices,
                labels,
                corrections,
            ),
        }
    }

    fn run<const K: usize, const W: usize, const D: usize>(
        &self,
        choices: &[u128],
        labels: &mut [[Block; GROUP]],
        corrections: &mut [[u8; 16]],
    ) -> Result<()> {
        let leaves = &self.leaves;
        let k = leaves.repetition().k();
        let blocks = KAPPA / k;
        let batches = labels
            .chunks_mut(BATCH)
            .zip(corrections.chunks_mut(BATCH * blocks))
            .zip(choices.chunks(BATCH));
        let batches = numbers(self.groups).zip(batches);
        leaves.workers().for_each(
            batches,
            || Fold::<K, W, D>::new(leaves.path(), self.offset),
            |fold, (first, ((labels, corrections), choices))| {
                for (block, leaves) in leaves.trees().enumerate() {
                    fold.sum(leaves, false, first, labels.len());
                    for (g, labels) in labels.iter_mut().enumerate() {
                        for (j, row) in fold.rows.iter().enumerate().take(k) {
                            labels[block * k + j] = row[g];
                        }
                        corrections[g * blocks + block] =
                            (fold.value[g] ^ choices[g]).to_le_bytes();
                    }
                }
                labels.iter_mut().for_each(transpose);
                Ok(())
            },
        )
    }
}

impl<'a> AsMut<Leaves<'a>> for Receiver<'a> {
    fn as_mut(&mut self) -> &mut Leaves<'a> {
        &mut self.leaves
    }
}

impl<'a> From<Receiver<'a>> for Leaves<'a> {
    /// Gives the memory back for another set-up.
    fn from(receiver: Receiver<'a>) -> Self {
        receiver.leaves
    }
}

/// The server's half of one session, after set-up: holds `Δ`, gets `Q`. `Δ` is wiped on drop.
pub struct Sender<'a> {
    delta: Zeroizing<Block>,
    leaves: Leaves<'a>,
    offset: Block,
    groups: u64,
    /// The run under way.
    run: Option<Run>,
}

impl<'a> Sender<'a> {
    /// Set-up: rebuilds all leaves but one per tree from the 128 messages `received` in the base
    /// OTs, where bit `b` of `delta` was the choice in base OT `b`. In constant time. The hashes
    /// are those of [`Receiver::new`].
    ///
    /// # Errors
    /// [`Error::Internal`] if the lowest bit of `delta` is not 1 (point-and-permute needs it; that
    /// bit is public).
    pub fn new(
        mut leaves: Leaves<'a>,
        delta: Block,
        received: &[Block; KAPPA],
        pairing: &Tmmo,
        session: &Tmmo,
    ) -> Result<Self> {
        if delta & 1 == 0 {
            return Err(Error::Internal);
        }
        let k = leaves.repetition().k();
        for (tree, (leaves, received)) in
            (0..).zip(leaves.trees_mut().zip(received.chunks_exact(k)))
        {
            let path = (delta >> (usize::from(tree) * k)) as u16 & ((1 << k) - 1);
            ggm::puncture(pairing, tree, path, received, leaves)?;
            ggm::refresh(session, tree, path, true, leaves)?;
        }
        let (delta, offset) = (Zeroizing::new(delta), offset(session));
        Ok(Self { delta, leaves, offset, groups: 0, run: None })
    }

    /// Groups done so far, masks included.
    #[cfg(any(test, feature = "unstable"))]
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.groups
    }

    /// `Δ`, secret.
    #[must_use]
    pub fn delta(&self) -> Block {
        *self.delta
    }

    /// Starts a run of groups, from the `corrections` of its mask.
    ///
    /// # Errors
    /// Those of [`Receiver::start`].
    pub fn start(&mut self, sums: &mut [Block], corrections: &[u8]) -> Result<()> {
        check::labels_of(sums)?;
        check(self.leaves.repetition().correction_bytes_per_group(), corrections.len())?;
        if self.run.is_some() {
            return Err(Error::Internal);
        }
        let end = advance(self.groups, 1)?;
        self.groups(corrections, sums)?;
        self.run = Some(Run::start(self.offset, self.groups, corrections, sums)?);
        self.groups = end;
        Ok(())
    }

    /// Ends a run: whether the client's corrections in it were for the same choices in all blocks
    /// of `Δ`. Nothing that was made of its labels may be sent before. In constant time.
    ///
    /// # Errors
    /// [`Error::Inconsistent`] if they were not, but with the probability of a guess of `Δ` in a
    /// block: then the pairing must not be used again. [`Error::Internal`] outside a run.
    pub fn finish(&mut self, sums: &mut [Block], proof: &[u8; PROOF_BYTES]) -> Result<()> {
        let run = self.run.take().ok_or(Error::Internal)?;
        let (choices, digest) = proof.split_first_chunk().ok_or(Error::Internal)?;
        let own = run.finish(sums, (Block::from_le_bytes(*choices), *self.delta))?;
        let right = own.ct_eq(digest);
        if bool::from(right) || stripped(Defence::Consistency) {
            Ok(())
        } else {
            Err(Error::Inconsistent)
        }
    }

    /// The next groups of a run from the client's `corrections`; `labels` gets `Q`, 128 per group.
    /// However calls are cut, the results are the same.
    ///
    /// # Errors
    /// [`Error::Length`] unless `labels` holds a multiple of 128 blocks and `corrections`
    /// [`Repetition::correction_bytes_per_group`] bytes per group; [`Error::Internal`] outside a
    /// run and after `2^64` groups. Nothing is written and no group is used up then.
    pub fn extend(
        &mut self,
        sums: &mut [Block],
        corrections: &[u8],
        labels: &mut [Block],
    ) -> Result<()> {
        let groups = labels.len() / GROUP;
        check(groups * GROUP, labels.len())?;
        let repetition = self.leaves.repetition();
        check(groups * repetition.correction_bytes_per_group(), corrections.len())?;
        let end = advance(self.groups, groups)?;
        if self.run.is_none() {
            return Err(Error::Internal);
        }
        self.groups(corrections, labels)?;
        let run = self.run.as_mut().ok_or(Error::Internal)?;
        for (corrections, labels) in corrections
            .chunks_exact(repetition.correction_bytes_per_group())
            .zip(labels.as_chunks().0)
        {
            run.add(corrections, labels, sums)?;
        }
        self.groups = end;
        Ok(())
    }

    /// The next groups, into a slice of the right length.
    fn groups(&self, corrections: &[u8], labels: &mut [Block]) -> Result<()> {
        let (labels, corrections) = (labels.as_chunks_mut().0, corrections.as_chunks().0);
        match self.leaves.repetition() {
            Repetition::K1 => {
                self.run::<{ levels(1) }, { 1 << depth(1) }, { depth(1) }>(corrections, labels)
            }
            Repetition::K2 => {
                self.run::<{ levels(2) }, { 1 << depth(2) }, { depth(2) }>(corrections, labels)
            }
            Repetition::K4 => {
                self.run::<{ levels(4) }, { 1 << depth(4) }, { depth(4) }>(corrections, labels)
            }
            Repetition::K8 => {
                self.run::<{ levels(8) }, { 1 << depth(8) }, { depth(8) }>(corrections, labels)
            }
        }
    }

    fn run<const K: usize, const W: usize, const D: usize>(
        &self,
        corrections: &[[u8; 16]],
        labels: &mut [[Block; GROUP]],
    ) -> Result<()> {
        let (leaves, delta) = (&self.leaves, self.delta());
        let k = leaves.repetition().k();
        let blocks = KAPPA / k;
        let batches = numbers(self.groups)
            .zip(labels.chunks_mut(BATCH).zip(corrections.chunks(BATCH * blocks)));
        leaves.workers().for_each(
            batches,
            || Fold::<K, W, D>::new(leaves.path(), self.offset),
            |fold, (first, (labels, corrections))| {
                for (block, leaves) in leaves.trees().enumerate() {
                    fold.sum(leaves, true, first, labels.len());
                    for (j, sums) in fold.rows.iter().enumerate().take(k) {
                        let row = block * k + j;
                        let delta = wide_mask(delta >> row);
                        for (g, labels) in labels.iter_mut().enumerate() {
                            labels[row] = sums[g]
                                ^ (delta & Block::from_le_bytes(corrections[g * blocks + block]));
                        }
                    }
                }
                labels.iter_mut().for_each(transpose);
                Ok(())
            },
        )
    }
}

impl<'a> AsMut<Leaves<'a>> for Sender<'a> {
    fn as_mut(&mut self) -> &mut Leaves<'a> {
        &mut self.leaves
    }
}

impl<'a> From<Sender<'a>> for Leaves<'a> {
    /// Gives the memory back for another set-up.
    fn from(sender: Sender<'a>) -> Self {
        sender.leaves
    }
}

/// Sums over the leaves of one tree of at most K levels, for up to [`BATCH`] groups at once; wiped
/// on drop. `W = 2^D` leaves share a pipeline.
struct Fold<const K: usize, const W: usize, const D: usize> {
    /// The keys of the leaves at hand.
    leaves: Lanes<W>,
    offset: Block,
    /// A partial sum on its way up; at the end the sum over all leaves, `u`.
    value: [Block; BATCH],
    /// Per level the partial sum that waits for its right neighbour.
    left: [[Block; BATCH]; K],
    /// Row `j`: the sum over the slots with bit `j` set.
    rows: [[Block; BATCH]; K],
}

impl<const K: usize, const W: usize, const D: usize> Fold<K, W, D> {
    fn new(path: Path, offset: Block) -> Self {
        const { assert!(W == 1 << D && D <= K) };
        Self {
            leaves: Lanes::on(path, &[0; W]),
            offset,
            value: [0; BATCH],
            left: [[0; BATCH]; K],
            rows: [[0; BATCH]; K],
        }
    }

    /// The sums over one tree for groups `first..first + groups`, `groups ≤ BATCH`. Pairs are
    /// folded from the leaves up: `2·2^k` additions instead of `k·2^k` (Roy, CRYPTO 2022,
    /// §3.1). Slot 0 of a `punctured` tree counts as zero.
    fn sum(&mut self, leaves: &[Block], punctured: bool, first: u64, groups: usize) {
        self.rows.as_flattened_mut().fill(0);
        for (part, leaves) in leaves.as_chunks::<W>().0.iter().enumerate() {
            let skip = punctured && part == 0;
            let (value, (low, rows)) = (&mut self.value[..groups], self.rows.split_at_mut(D));
            if skip && W == 1 {
                value.fill(0);
            } else {
                self.leaves.replace(leaves);
                let offset = self.offset;
                self.leaves.run(FoldLeaves::<D> { first, offset, skip, value, rows: low });
            }
            for (j, (left, row)) in self.left.iter_mut().zip(rows).enumerate() {
                let (left, row) = (&mut left[..groups], &mut row[..groups]);
                if part >> j & 1 == 0 {
                    left.copy_from_slice(value);
                    break;
                }
                for ((value, row), left) in value.iter_mut().zip(row).zip(left) {
                    *row ^= *value;
                    *value ^= *left;
                }
            }
        }
    }
}

/// Rows of `2^D` leaves for the groups from `first` on, one for each block of `value`: `value` gets
/// the sum over all leaves, and to `rows[j]` is added that over the leaves with bit `j` set. The
/// first leaf counts as zero if it is to be skipped.
struct FoldLeaves<'r, const D: usize> {
    first: u64,
    offset: Block,
    skip: bool,
    value: &'r mut [Block],
    rows: &'r mut [[Block; BATCH]],
}

impl<const W: usize, const D: usize> Job<W> for FoldLeaves<'_, D> {
    #[inline(always)]
    fn run<X: SimdBackend>(self, simd: X, keys: &X::Keys<W>) {
        let groups = (self.first..).map(|group| Block::from(group) ^ self.offset);
        self.value.iter_mut().zip(groups).for_each(|(value, group)| *value = group);
        in_flight(
            simd,
            self.value,
            &mut FoldPass::<X, W, D> { simd, keys, skip: self.skip, rows: self.rows },
        );
    }
}

struct FoldPass<'r, X: SimdBackend, const W: usize, const D: usize> {
    simd: X,
    keys: &'r X::Keys<W>,
    skip: bool,
    rows: &'r mut [[Block; BATCH]],
}

impl<X: SimdBackend, const W: usize, const D: usize> Pass<X> for FoldPass<'_, X, W, D> {
    #[inline(always)]
    fn pass<const M: usize>(&mut self, at: usize, x: &mut [X::Vector; M]) {
        let simd = self.simd;
        let groups = *x;
        let mut left = [groups; D];
        let mut rows = [[simd.splat(0); M]; D];
        for lane in Lane::all() {
            let leaf = lane.number();
            *x = groups;
            if self.skip && leaf == 0 {
                *x = [simd.splat(0); M];
            } else {
                simd.encrypt(self.keys, lane, x);
            }
            for (j, (left, row)) in left.iter_mut().zip(&mut rows).enumerate() {
                if leaf >> j & 1 == 0 {
                    *left = *x;
                    break;
                }
                for ((x, row), left) in x.iter_mut().zip(row).zip(left) {
                    *row = simd.xor(*row, *x);
                    *x = simd.xor(*x, *left);
                }
            }
        }
        for (to, row) in self.rows.iter_mut().zip(rows) {
            for (to, row) in to[at..].chunks_mut(X::BLOCKS).zip(row) {
                simd.store(simd.xor(simd.load(to), row), to);
            }
        }
    }
}

impl<const K: usize, const W: usize, const D: usize> Drop for Fold<K, W, D> {
    fn drop(&mut self) {
        self.value.zeroize();
        self.left.zeroize();
        self.rows.zeroize();
    }
}

/// What a session's groups count from: a search for a leaf by its rows serves one session only.
fn offset(session: &Tmmo) -> Block {
    let [offset] = session.hash([0], [OFFSET_TWEAK]);
    offset
}

/// Tweak of [`offset`]: used for nothing else.
const OFFSET_TWEAK: Block = (1 << 126) + 1;

/// Tweak of what masks of runs are drawn from.
const MASKS_TWEAK: Block = (1 << 126) + 2;

/// The numbers of the batches' first groups.
fn numbers(first: u64) -> impl Iterator<Item = u64> + Send {
    core::iter::successors(Some(first), |first| Some(first.wrapping_add(BATCH as u64)))
}

/// The counter after `groups` more; a number never comes twice.
fn advance(counter: u64, groups: usize) -> Result<u64> {
    u64::try_from(groups).ok().and_then(|groups| counter.checked_add(groups)).ok_or(Error::Internal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::aes::Aes;
    use crate::rng::{Domain, Seed};
    use core::array::from_fn;
    use std::vec;
    use std::vec::Vec;

    struct Setup {
        repetition: Repetition,
        delta: Block,
        hash: Tmmo,
        client_leaves: Vec<Block>,
        server_leaves: Vec<Block>,
        random: Prg,
    }

    impl Setup {
        fn new(repetition: Repetition, delta: Block) -> Self {
            Self {
                repetition,
                delta,
                hash: Tmmo::new(11),
                client_leaves: vec![1; repetition.leaves()],
                server_leaves: vec![2; repetition.leaves()],
                random: Seed([delta as u8; 32]).stream(Domain::Label, 0),
            }
        }

        fn parties(&mut self) -> (Receiver<'_>, Sender<'_>) {
            self.parties_on(Path::best())
        }

        fn parties_on(&mut self, path: Path) -> (Receiver<'_>, Sender<'_>) {
            let [client, server] = [&mut self.client_leaves, &mut self.server_leaves]
                .map(|leaves| Leaves::new(self.repetition, leaves).unwrap().on_path(path));
            let (hash, mut messages) = (&self.hash, [[0; 2]; KAPPA]);
            let keep = |b: usize, pair| messages[b] = pair;
            let client = Receiver::new(client, &mut self.random, hash, hash, keep).unwrap();
            let received = from_fn(|b| messages[b][(self.delta >> b & 1) as usize]);
            (client, Sender::new(server, self.delta, &received, hash, hash).unwrap())
        }
    }

    fn random_choices(groups: usize) -> Vec<u128> {
        let mut random = Seed([7; 32]).stream(Domain::Mask, 0);
        (0..groups)
            .map(|g| {
                if g == 0 {
                    0
                } else if g == 1 {
                    u128::MAX
                } else {
                    random.next_u128()
                }
            })
            .collect()
    }

    /// Both parties, calls cut into `cuts` groups each: labels `T`, labels `Q`, corrections.
    fn run(
        setup: &mut Setup,
        choices: &[u128],
        cuts: &[usize],
    ) -> (Vec<Block>, Vec<Block>, Vec<u8>) {
        run_on(Path::best(), setup, choices, cuts)
    }

    fn run_on(
        path: Path,
        setup: &mut Setup,
        choices: &[u128],
        cuts: &[usize],
    ) -> (Vec<Block>, Vec<Block>, Vec<u8>) {
        let (bytes, delta) = (setup.repetition.correction_bytes_per_group(), setup.delta);
        let (mut client, mut server) = setup.parties_on(path);
        let (mut ours, mut theirs) = ([0; GROUP], [0; GROUP]);
        let (mut t, mut q, mut sent) = (vec![], vec![], vec![0; bytes]);
        client.start(&mut ours, &mut sent).unwrap();
        server.start(&mut theirs, &sent).unwrap();
        let mut rest = choices;
        for &cut in cuts {
            let (now, later) = rest.split_at(cut);
            rest = later;
            let (mut labels, mut corrections) = (vec![0; cut * GROUP], vec![0; cut * bytes]);
            client.extend(&mut ours, now, &mut labels, &mut corrections).unwrap();
            t.extend_from_slice(&labels);
            server.extend(&mut theirs, &corrections, &mut labels).unwrap();
            q.extend_from_slice(&labels);
            sent.extend_from_slice(&corrections);
        }
        assert!(rest.is_empty());
        assert_eq!([client.count(), server.count()], [choices.len() as u64 + 1; 2]);
        let proof = client.finish(&mut ours).unwrap();
        server.finish(&mut theirs, &proof).unwrap();
        sent.extend(proof);
        assert_eq!(server.delta(), delta);
        (t, q, sent)
    }

    fn deltas() -> [Block; 4] {
        [
            1,
            Block::MAX,
            0x0123_4567_89ab_cdef_0f1e_2d3c_4b5a_6979,
            0x8000_0000_0000_0000_8000_0000_0000_0001,
        ]
    }

    #[test]
    fn labels_differ_by_choice_times_delta() {
        for repetition in Repetition::ALL {
            for delta in deltas() {
                let choices = random_choices(BATCH + 3);
                let (t, q, _) = run(&mut Setup::new(repetition, delta), &choices, &[BATCH + 3]);
                for (j, (t, q)) in t.iter().zip(&q).enumerate() {
                    let bit = choices[j / GROUP] >> (j % GROUP) & 1;
                    assert_eq!(t ^ q, bit * delta, "{repetition:?}, OT {j}");
                }
                let mut distinct = q;
                distinct.sort_unstable();
                distinct.dedup();
                assert_eq!(distinct.len(), t.len());
            }
        }
    }

    #[test]
    fn cuts_do_not_matter() {
        for repetition in Repetition::ALL {
            let delta = deltas()[2];
            let choices = random_choices(2 * BATCH + 5);
            let whole = run(&mut Setup::new(repetition, delta), &choices, &[2 * BATCH + 5]);
            let ones = run(&mut Setup::new(repetition, delta), &choices, &vec![1; 2 * BATCH + 5]);
            let ragged =
                run(&mut Setup::new(repetition, delta), &choices, &[0, 3, BATCH + 1, 0, BATCH, 1]);
            assert!(whole == ones && whole == ragged, "{repetition:?}");
        }
    }

    #[test]
    fn paths_agree() {
        for repetition in Repetition::ALL {
            let choices = random_choices(BATCH + 13);
            for groups in (1..14).chain([BATCH - 1, BATCH, BATCH + 13]) {
                let run = |path| {
                    run_on(
                        path,
                        &mut Setup::new(repetition, deltas()[2]),
                        &choices[..groups],
                        &[groups],
                    )
                };
                let portable = run(Path::Portable);
                assert!(
                    Path::ALL
                        .into_iter()
                        .filter(|path| path.is_here())
                        .all(|path| run(path) == portable),
                    "{repetition:?}, {groups}"
                );
            }
        }
    }

    /// Labels and corrections straight from the formulas at the head of this file.
    #[test]
    fn client_is_the_definition() {
        for repetition in Repetition::ALL {
            let (k, groups) = (repetition.k(), BATCH + 1);
            let choices = random_choices(groups);
            let mut setup = Setup::new(repetition, deltas()[2]);
            let (mut client, _) = setup.parties();
            let mut ours = [0; GROUP];
            let leaves: Vec<_> = client.leaves.trees().flatten().copied().collect();
            let bytes = repetition.correction_bytes_per_group();
            let (mut labels, mut corrections) = (vec![0; groups * GROUP], vec![0; groups * bytes]);
            client.start(&mut ours, &mut corrections[..bytes]).unwrap();
            client.extend(&mut ours, &choices, &mut labels, &mut corrections).unwrap();
            for (g, choices) in choices.iter().enumerate() {
                let (mut want, mut sent) = ([0; GROUP], vec![]);
                for (i, leaves) in leaves.chunks(1 << k).enumerate() {
                    let mut u = *choices;
                    for (x, &leaf) in leaves.iter().enumerate() {
                        let mut row = [(g as Block + 1) ^ client.offset];
                        Aes::of(leaf).encrypt(&mut row);
                        u ^= row[0];
                        for (label, want) in want.iter_mut().enumerate() {
                            *want ^= (x as Block * (row[0] >> label & 1)) << (i * k);
                        }
                    }
                    sent.extend_from_slice(&u.to_le_bytes());
                }
                assert_eq!(labels[g * GROUP..][..GROUP], want, "{repetition:?}, group {g}");
                assert_eq!(corrections[g * bytes..][..bytes], sent, "{repetition:?}, group {g}");
            }
        }
    }

    #[test]
    fn missing_leaf_never_matters() {
        for repetition in Repetition::ALL {
            let mut setup = Setup::new(repetition, deltas()[2]);
            let (mut client, mut server) = setup.parties();
            let (mut ours, mut theirs) = ([0; GROUP], [0; GROUP]);
            for leaves in server.leaves.trees_mut() {
                leaves[0] = 0xbad;
            }
            let (mut t, mut q, mut corrections) =
                ([0; GROUP], [0; GROUP], vec![0; repetition.correction_bytes_per_group()]);
            client.start(&mut ours, &mut corrections).unwrap();
            server.start(&mut theirs, &corrections).unwrap();
            client.extend(&mut ours, &[0], &mut t, &mut corrections).unwrap();
            server.extend(&mut theirs, &corrections, &mut q).unwrap();
            assert_eq!(t, q);
            server.finish(&mut theirs, &client.finish(&mut ours).unwrap()).unwrap();
        }
    }

    #[test]
    fn wrong_lengths_are_errors_and_use_nothing_up() {
        let mut setup = Setup::new(Repetition::K4, 1);
        let length = |need| Some(Error::Length { need });
        let (mut client, mut server) = setup.parties();
        let (mut ours, mut theirs) = ([0; GROUP], [0; GROUP]);
        let (mut labels, mut corrections) = ([0; 256], [0; 1024]);
        assert_eq!(client.start(&mut ours, &mut corrections).err(), length(512));
        assert_eq!(server.start(&mut theirs, &corrections[1..]).err(), length(512));
        client.start(&mut ours, &mut corrections[..512]).unwrap();
        server.start(&mut theirs, &corrections[..512]).unwrap();
        corrections.fill(0);
        assert_eq!(
            client.extend(&mut ours, &[1, 2], &mut labels[1..], &mut corrections).err(),
            length(256)
        );
        assert_eq!(
            client.extend(&mut ours, &[1, 2], &mut labels, &mut corrections[1..]).err(),
            length(1024)
        );
        assert_eq!(server.extend(&mut theirs, &corrections, &mut labels[1..]).err(), length(128));
        assert_eq!(server.extend(&mut theirs, &corrections[1..], &mut labels).err(), length(1024));
        client.groups = u64::MAX - 1;
        server.groups = u64::MAX - 1;
        assert_eq!(
            client.extend(&mut ours, &[1, 2], &mut labels, &mut corrections),
            Err(Error::Internal)
        );
        assert_eq!(server.extend(&mut theirs, &corrections, &mut labels), Err(Error::Internal));
        assert_eq!((client.count(), server.count()), (u64::MAX - 1, u64::MAX - 1));
        assert_eq!((labels, corrections), ([0; 256], [0; 1024]));
    }

    #[test]
    fn an_even_delta_is_refused() {
        let (hash, mut leaves) = (Tmmo::new(11), [1; Repetition::K4.leaves()]);
        for delta in [0, 2, Block::MAX - 1] {
            let memory = Leaves::new(Repetition::K4, &mut leaves).unwrap();
            let sender = Sender::new(memory, delta, &[0; KAPPA], &hash, &hash);
            assert_eq!(sender.err(), Some(Error::Internal));
        }
    }

    /// Corrections for the same choices pass, those for others in any block do not, whatever the
    /// group and the OT, be it in the mask; nor does a proof with any bit changed.
    #[test]
    fn the_check_finds_every_change() {
        for repetition in Repetition::ALL {
            let bytes = repetition.correction_bytes_per_group();
            for (at, bit) in
                [(0, 0), (bytes - 1, 7), (bytes, 0), (3 * bytes - 1, 7), (2 * bytes + 5, 3)]
            {
                let mut setup = Setup::new(repetition, Block::MAX);
                let (mut client, mut server) = setup.parties();
                let (mut ours, mut theirs) = ([0; GROUP], [0; GROUP]);
                let (mut labels, mut sent) = ([0; 2 * GROUP], vec![0; 3 * bytes]);
                client.start(&mut ours, &mut sent[..bytes]).unwrap();
                client.extend(&mut ours, &[3, 4], &mut labels, &mut sent[bytes..]).unwrap();
                let proof = client.finish(&mut ours).unwrap();
                sent[at] ^= 1 << bit;
                server.start(&mut theirs, &sent[..bytes]).unwrap();
                server.extend(&mut theirs, &sent[bytes..], &mut labels).unwrap();
                assert_eq!(
                    server.finish(&mut theirs, &proof),
                    Err(Error::Inconsistent),
                    "{repetition:?} {at}"
                );
            }
        }
        for bit in 0..8 * PROOF_BYTES {
            let mut setup = Setup::new(Repetition::K8, deltas()[2]);
            let (mut client, mut server) = setup.parties();
            let (mut ours, mut theirs) = ([0; GROUP], [0; GROUP]);
            let mut sent = [0; 256];
            client.start(&mut ours, &mut sent).unwrap();
            server.start(&mut theirs, &sent).unwrap();
            let mut proof = client.finish(&mut ours).unwrap();
            proof[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(server.finish(&mut theirs, &proof), Err(Error::Inconsistent), "{bit}");
        }
    }

    #[test]
    fn there_are_no_groups_outside_a_run() {
        let mut setup = Setup::new(Repetition::K8, 1);
        let (mut client, mut server) = setup.parties();
        let (mut ours, mut theirs) = ([0; GROUP], [0; GROUP]);
        let (mut labels, mut sent) = ([0; GROUP], [0; 256]);
        assert_eq!(client.extend(&mut ours, &[0], &mut labels, &mut sent), Err(Error::Internal));
        assert_eq!(server.extend(&mut theirs, &sent, &mut labels), Err(Error::Internal));
        assert_eq!(client.finish(&mut ours), Err(Error::Internal));
        assert_eq!(server.finish(&mut theirs, &[0; PROOF_BYTES]), Err(Error::Internal));
        client.start(&mut ours, &mut sent).unwrap();
        server.start(&mut theirs, &sent).unwrap();
        assert_eq!(client.start(&mut ours, &mut sent), Err(Error::Internal));
        assert_eq!(server.start(&mut theirs, &sent), Err(Error::Internal));
        server.finish(&mut theirs, &client.finish(&mut ours).unwrap()).unwrap();
        assert_eq!(client.extend(&mut ours, &[0], &mut labels, &mut sent), Err(Error::Internal));
        assert_eq!(server.extend(&mut theirs, &sent, &mut labels), Err(Error::Internal));
    }

    #[test]
    fn leaves_are_wiped_on_drop() {
        let mut setup = Setup::new(Repetition::K2, 5);
        drop(setup.parties());
        assert!(setup.client_leaves.iter().chain(&setup.server_leaves).all(|&leaf| leaf == 0));
    }
}
