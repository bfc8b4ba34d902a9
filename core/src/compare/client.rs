//! What the client does for one element.

#![expect(
    clippy::indexing_slicing,
    reason = "hot; OTs of an element are counted once, arrays are as long as there can be"
)]

use super::tree::Tree;
use super::{
    DReluTruncate, Hashes, SECOND, bit, bits, client_levels, gather, scatter, server_levels, spread,
};
use crate::block::Block;
use crate::hash::Tmmo;
use crate::rng::Prg;
use crate::wire::{Packer, Reader};
use crate::{Error, Result};
use bytemuck::{Pod, Zeroable};

/// What a client keeps of one element between messages.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Element {
    tree: Tree,
    /// Its random choice for the server's part of a ReLU.
    choice: u32,
    padding: u32,
    /// Pads of single terms.
    single: [[u64; 2]; 2],
    /// Pads of a pair's term.
    pair: [u64; 4],
    /// Pad of the server's part; then its share of the product.
    part: u64,
    /// Its share of the result.
    pub(crate) result: u64,
}

/// Swaps every two values that are `apart`, if the lowest bit is set. It is public here; without a
/// branch, an emulator can hold that no secret decides anything.
fn swap_if(bit: u32, values: &mut [u64], apart: usize) {
    let mask = u64::from(bit & 1).wrapping_neg();
    for some in values.chunks_exact_mut(2 * apart) {
        let (a, b) = some.split_at_mut(apart);
        for (a, b) in a.iter_mut().zip(b) {
            let both = (*a ^ *b) & mask;
            (*a, *b) = (*a ^ both, *b ^ both);
        }
    }
}

impl Element {
    /// Starts an element: draws the random choices of its forward OTs. `result`: the share of the
    /// result that it is to have.
    pub(crate) fn start(&mut self, c: &DReluTruncate, share: u64, result: u64, random: &mut Prg) {
        let (nodes, word) = (c.nodes(), random.next_u64());
        let count = nodes.count_ones();
        let choice = (word >> count) as u32 & u32::from(c.relu);
        *self = Self {
            tree: Tree { a: scatter(nodes, word), w: c.sign(share), ..Tree::default() },
            choice,
            result,
            ..Self::default()
        };
    }

    /// The choices of the forward OTs, the first lowest.
    pub(crate) fn choices(&self, c: &DReluTruncate, share: u64) -> u64 {
        let own = gather(c.nodes(), self.tree.a) | u64::from(self.choice) << c.nodes().count_ones();
        share & ((1 << c.compared) - 1) | own << c.compared
    }

    /// Uses the labels of the forward OTs.
    pub(crate) fn forward(
        &mut self,
        c: &DReluTruncate,
        share: u64,
        hash: &Tmmo,
        tweak: Block,
        labels: &[Block],
    ) -> Result<()> {
        let mut hashes = Hashes::none();
        let hashes = hashes.of(hash, labels, 0, tweak)?;
        let mut next = hashes.iter();
        for digit in c.digits() {
            let pads = next.by_ref().take(digit.bits.into()).fold(0, |sum, &h| sum ^ h as u32)
                >> (2 * digit.of(share));
            self.tree.g |= (pads & 1) << digit.leaf;
            self.tree.p |= (pads >> 1 & 1) << digit.leaf;
        }
        for (t, &h) in bits(c.nodes()).zip(next.by_ref()) {
            self.tree.ab.iter_mut().enumerate().for_each(|(v, ab)| *ab ^= bit(h, v) << t);
        }
        if c.relu {
            self.part = c.result().reduce(*next.next().ok_or(Error::Internal)? as u64);
        }
        Ok(())
    }

    /// Uses the labels of the backward OTs, whose sender the client is.
    pub(crate) fn backward(
        &mut self,
        c: &DReluTruncate,
        hash: &Tmmo,
        delta: Block,
        tweak: Block,
        labels: &[Block],
    ) -> Result<()> {
        let mut both = [Hashes::none(), Hashes::none()];
        let both = Hashes::both(&mut both, hash, labels, delta, tweak)?;
        let nodes = c.nodes();
        let masks = c
            .operands(nodes & !c.root())
            .into_iter()
            .zip(c.operands(nodes & c.root()))
            .map(|(a, b)| a | b);
        for (i, t) in bits(nodes).enumerate() {
            let (h0, h1) = (both[0][i], both[1][i]);
            for (v, (b, ab)) in self.tree.b.iter_mut().zip(&mut self.tree.ab).enumerate() {
                *b |= bit(h0 ^ h1, v) << t;
                *ab ^= bit(h0, v) << t;
            }
        }
        for ((b, ab), mask) in self.tree.b.iter_mut().zip(&mut self.tree.ab).zip(masks.skip(1)) {
            *b &= mask;
            *ab ^= self.tree.a & *b;
        }
        let first = nodes.count_ones() as usize;
        for (number, term) in c.terms().enumerate() {
            let at = first + term.choice;
            let mask = (1 << term.bits) - 1;
            match term.second {
                None => self.single[number] = [0, 1].map(|i: usize| both[i][at] as u64 & mask),
                Some(second) => {
                    for (i, offset) in [0, delta].into_iter().enumerate() {
                        let again =
                            Hashes::one(hash, labels[at] ^ offset, tweak + at as Block + SECOND);
                        for (j, both) in both.iter().enumerate() {
                            let pad = (again >> (64 * j)) ^ (both[first + second] >> (64 * i));
                            self.pair[i + 2 * j] = pad as u64 & mask;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Reads the server's message `number`.
    pub(crate) fn receive(
        &mut self,
        c: &DReluTruncate,
        share: u64,
        number: u32,
        input: &mut Reader<'_>,
    ) {
        if number == 0 {
            self.leaves(c, share, input);
        }
        for level in server_levels(number).filter(|&level| c.level(level) != 0) {
            self.tree.join(c, level, input, false);
        }
    }

    fn leaves(&mut self, c: &DReluTruncate, share: u64, input: &mut Reader<'_>) {
        for digit in c.digits() {
            let (bits, own) = (digit.table_bits(), digit.of(share));
            let entries = input.take(bits) as u32;
            let entry = if digit.leaf == 0 {
                entries << 1 >> own & 1
            } else {
                entries << 2 >> (2 * own) & 3
            };
            self.tree.g ^= (entry & 1) << digit.leaf;
            self.tree.p ^= (entry >> 1) << digit.leaf;
        }
        // Leaf 0 passes nothing on.
        self.tree.p &= !1;
        self.tree.open(c, 1);
    }

    /// Writes the openings of the client's message `number`.
    pub(crate) fn send(&mut self, c: &DReluTruncate, number: u32, out: &mut Packer<'_>) {
        for level in client_levels(number) {
            self.tree.put(c, level, out);
        }
    }

    /// Reads the end of the server's last message: which choices are the other way round, and its
    /// part of a ReLU.
    pub(crate) fn selected(&mut self, c: &DReluTruncate, input: &mut Reader<'_>) {
        let turned = if c.choices() > 0 { input.take(c.choices()) as u32 } else { 0 };
        for (number, term) in c.terms().enumerate() {
            let pads: &mut [u64] =
                if term.second.is_some() { &mut self.pair } else { &mut self.single[number] };
            for (i, choice) in [term.choice].into_iter().chain(term.second).enumerate() {
                swap_if(turned >> choice, pads, 1 << i);
            }
        }
        if c.relu {
            let correction = input.take(c.ring_out.into());
            self.part = c.result().add(self.part, correction & spread(self.choice));
        }
    }

    /// Ends the client's last message: everything of the comparison's result but `part`, its own
    /// share.
    pub(crate) fn finish(
        &self,
        c: &DReluTruncate,
        share: u64,
        part: u64,
        out: &mut Packer<'_>,
    ) -> Result<()> {
        let ring = c.result();
        let (own, above) = (self.tree.choices(c, false), c.above(share));
        let mut base = ring.sub(0, part);
        if c.relu {
            let turned = own & 1 ^ self.choice;
            out.push(u64::from(turned), 1);
            // The product, negated if the choice was the other one.
            base = ring.reduce(
                base.wrapping_add((self.part ^ spread(turned)).wrapping_add(u64::from(turned))),
            );
        } else {
            base = ring.add(base, above);
        }
        // All ones where both parties' shares of a bit add up to 1.
        let of_both = |choice: usize, theirs: u32| spread(own >> choice & 1 ^ theirs);
        let mut corrections = [(0, 0); 5];
        let mut slots = corrections.iter_mut();
        for (number, term) in c.terms().enumerate() {
            let mask = (1_u64 << term.bits) - 1;
            let count = if term.second.is_some() { 4 } else { 2 };
            let mut start = 0;
            for theirs in 0..count {
                let first = of_both(term.choice, theirs & 1);
                let (value, pad) = match term.second {
                    Some(second) => (
                        (first & of_both(second, theirs >> 1) & 1).wrapping_neg(),
                        self.pair[theirs as usize],
                    ),
                    None if term.shift > 0 => {
                        ((first & 1).wrapping_neg(), self.single[number][theirs as usize])
                    }
                    None if c.relu && number == 0 => {
                        (first & above, self.single[number][theirs as usize])
                    }
                    None => (first & 1, self.single[number][theirs as usize]),
                };
                let entry = value.wrapping_sub(pad);
                if theirs == 0 {
                    start = entry & mask;
                } else {
                    let slot = slots.next().ok_or(Error::Internal)?;
                    *slot = (entry.wrapping_sub(start) & mask, term.bits);
                }
            }
            base = ring.reduce(base.wrapping_add(start << term.shift));
        }
        out.push(base, c.ring_out.into());
        corrections
            .iter()
            .filter(|(_, bits)| *bits > 0)
            .for_each(|&(correction, bits)| out.push(correction, bits));
        Ok(())
    }
}
