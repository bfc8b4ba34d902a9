//! The carry tree on shared bits. A node stands where its upper run of digits starts; its result
//! replaces the run below.

#![expect(clippy::indexing_slicing, reason = "arrays of fixed length, indices up to it")]

use super::{DReluTruncate, HIGH, bits};
use crate::wire::{Packer, Reader};
use bytemuck::{Pod, Zeroable};

/// One party's shares of the bits of an element, and of the masks of its products, by leaf and
/// node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Tree {
    /// Which runs make a carry.
    pub(super) g: u32,
    /// Which runs pass one on.
    pub(super) p: u32,
    /// The highest bit of this party's share.
    pub(super) w: u32,
    /// Mask of a node's `x`; once it is opened, this party's opening.
    pub(super) a: u32,
    /// Masks of `y`, likewise.
    pub(super) b: [u32; 3],
    /// Their products with `a`.
    pub(super) ab: [u32; 3],
}

/// How far below a node its lower run starts, but for the root.
const fn distance(level: usize) -> u32 {
    1 << (level.saturating_sub(1) & 3)
}

impl Tree {
    /// Shares of the operands of a level's products.
    fn operands(&self, c: &DReluTruncate, level: usize) -> [u32; 4] {
        let nodes = c.level(level);
        let masks = c.operands(nodes);
        let all = if nodes & c.root() != 0 {
            [self.g << HIGH, self.p, self.g, self.w << HIGH]
        } else {
            let distance = distance(level);
            [self.p, self.g << distance, self.p << distance, 0]
        };
        core::array::from_fn(|i| all[i] & masks[i])
    }

    /// Replaces the masks of a level by this party's openings.
    pub(super) fn open(&mut self, c: &DReluTruncate, level: usize) {
        let [x, y @ ..] = self.operands(c, level);
        self.a ^= x;
        self.b.iter_mut().zip(y).for_each(|(b, y)| *b ^= y);
    }

    /// Sends this party's openings of a level.
    pub(super) fn put(&self, c: &DReluTruncate, level: usize, out: &mut Packer<'_>) {
        let [x, y @ ..] = c.operands(c.level(level));
        for t in bits(x) {
            let (mut word, mut width) = (self.a >> t & 1, 1);
            for (mask, b) in y.iter().zip(self.b) {
                word |= (b >> t & mask >> t & 1) << width;
                width += mask >> t & 1;
            }
            out.push(u64::from(word), width);
        }
    }

    /// Receives the peer's openings of a level, which this party has opened, and joins its runs.
    /// Opens the next level.
    pub(super) fn join(
        &mut self,
        c: &DReluTruncate,
        level: usize,
        input: &mut Reader<'_>,
        server: bool,
    ) {
        let nodes = c.level(level);
        let masks = c.operands(nodes);
        let mut theirs = [0; 4];
        for t in bits(nodes) {
            let width = masks.iter().map(|mask| mask >> t & 1).sum();
            let mut word = input.take(width) as u32;
            for (value, mask) in theirs.iter_mut().zip(masks) {
                let bit = mask >> t & 1;
                *value |= (word & bit) << t;
                word >>= bit;
            }
        }
        let [x, y @ ..] = self.operands(c, level);
        // What masked the operands is what is left of them in the openings.
        let (d, a) = ((self.a & nodes) ^ theirs[0], (self.a ^ x) & nodes);
        let products: [u32; 3] = core::array::from_fn(|v| {
            let mask = masks[v + 1];
            let (e, b) = ((self.b[v] ^ theirs[v + 1]) & mask, (self.b[v] ^ y[v]) & mask);
            let both = if server { d & e } else { 0 };
            d & b ^ e & a ^ self.ab[v] & mask ^ both
        });
        self.replace(c, level, products);
        self.open(c, level + 1);
    }

    /// Puts the results of nodes in the places of the runs below.
    fn replace(&mut self, c: &DReluTruncate, level: usize, [z0, z1, z2]: [u32; 3]) {
        let nodes = c.level(level);
        if nodes & c.root() == 0 {
            let distance = distance(level);
            let below = !(nodes >> distance);
            self.g = self.g & below | ((self.g ^ z0) & nodes) >> distance;
            self.p = self.p & below | (z1 & nodes) >> distance;
            return;
        }
        // The carry out of the low part, or its product with the result's sign, waits where no run
        // passes a carry on.
        let low = if c.relu { self.g ^ (z0 ^ z1 ^ z2) >> HIGH } else { self.g };
        self.p = self.p & !1 | low & 1;
        self.g = self.g & !1 | ((self.g ^ z0) >> HIGH & 1);
    }

    /// This party's shares of the choices, in order from bit 0.
    pub(super) fn choices(&self, c: &DReluTruncate, server: bool) -> u32 {
        let low = if c.root() != 0 { self.p } else { self.g } & 1;
        let (mut all, mut count) = (0, 0);
        let mut push = |there: bool, bit: u32| {
            all |= if there { (bit & 1) << count } else { 0 };
            count += u32::from(there);
        };
        push(c.relu, self.w ^ self.g ^ u32::from(server));
        push(c.shift > 0, low);
        push(c.term_bits() > 0, if c.relu { self.w } else { self.g });
        all
    }
}
