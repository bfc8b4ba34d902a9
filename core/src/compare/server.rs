//! What the server does for one element.

#![expect(
    clippy::indexing_slicing,
    reason = "hot; OTs of an element are counted once, arrays are as long as there can be"
)]

use super::tree::Tree;
use super::{
    DIGIT, DReluTruncate, Digit, Hashes, MAX_LEAVES, SECOND, bit, bits, client_levels, gather,
    half, scatter, server_levels, spread,
};
use crate::block::Block;
use crate::hash::Tmmo;
use crate::rng::Prg;
use crate::wire::{Packer, Reader};
use crate::{Error, Result};
use bytemuck::{Pod, Zeroable};

/// What a server keeps of one element between messages.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Element {
    tree: Tree,
    /// Its random choices in the backward OTs.
    choices: u32,
    padding: u32,
    /// Pads of leaves, two bits for each of the client's digits.
    leaves: [u32; MAX_LEAVES],
    /// Pads of terms.
    terms: [u64; 3],
    /// Both pads of its part of a ReLU.
    part: [u64; 2],
    /// Its share of the result.
    pub(crate) result: u64,
}

/// The lower bit of every entry.
const GENERATE: u32 = 0x5555_5555;

/// For each of the client's digits, whether there is a carry (bit 0 of the entry), and whether one
/// is passed on (bit 1). In constant time.
pub(super) const fn table(digit: Digit, own: u32) -> u32 {
    let all = all_entries(digit);
    let carry = all & !(all >> (2 * own)) & GENERATE;
    carry | (all ^ all >> 1) >> (2 * own)
}

/// The bits of all entries.
const fn all_entries(digit: Digit) -> u32 {
    u32::MAX >> (u32::BITS - (2 << digit.bits))
}

/// Positions of the entries of two bits whose number has bit `b`.
const fn entries_with(b: u32) -> u32 {
    match b {
        0 => 0xcccc_cccc,
        1 => 0xf0f0_f0f0,
        2 => 0xff00_ff00,
        _ => 0xffff_0000,
    }
}

/// The lower bits of all entries, side by side.
const fn lower_bits(mut x: u32) -> u32 {
    x &= GENERATE;
    x = (x | x >> 1) & 0x3333_3333;
    x = (x | x >> 2) & 0x0f0f_0f0f;
    x = (x | x >> 4) & 0x00ff_00ff;
    (x | x >> 8) & 0xffff
}

impl Element {
    /// Uses the labels of the forward OTs, whose sender the server is. Starts an element.
    pub(crate) fn forward(
        &mut self,
        c: &DReluTruncate,
        hash: &Tmmo,
        delta: Block,
        tweak: Block,
        labels: &[Block],
    ) -> Result<()> {
        *self = Self::default();
        let mut both = [Hashes::none(), Hashes::none()];
        let both = Hashes::both(&mut both, hash, labels, delta, tweak)?;
        let mut next = both[0].iter().zip(both[1]);
        for (digit, pads) in c.digits().zip(&mut self.leaves) {
            for (b, (&h0, &h1)) in (0..digit.bits.into()).zip(next.by_ref()) {
                const { assert!(DIGIT == 4) };
                *pads ^= (h0 as u32 & !entries_with(b)) | (h1 as u32 & entries_with(b));
            }
        }
        for (t, (&h0, &h1)) in bits(c.nodes()).zip(next.by_ref()) {
            for (v, (b, ab)) in self.tree.b.iter_mut().zip(&mut self.tree.ab).enumerate() {
                *b |= bit(h0 ^ h1, v) << t;
                *ab ^= bit(h0, v) << t;
            }
        }
        let nodes = c.nodes();
        let masks = c
            .operands(nodes & !c.root())
            .into_iter()
            .zip(c.operands(nodes & c.root()))
            .map(|(a, b)| a | b);
        self.tree.b.iter_mut().zip(masks.skip(1)).for_each(|(b, mask)| *b &= mask);
        if c.relu {
            let (&h0, &h1) = next.next().ok_or(Error::Internal)?;
            self.part = [h0, h1].map(|h| c.result().reduce(h as u64));
        }
        Ok(())
    }

    /// Draws the choices of the backward OTs.
    pub(crate) fn choose(&mut self, c: &DReluTruncate, random: &mut Prg) {
        let (nodes, word) = (c.nodes(), random.next_u64());
        self.tree.a = scatter(nodes, word);
        self.choices = (word >> nodes.count_ones()) as u32 & ((1 << c.choices()) - 1);
    }

    /// The choices of the backward OTs, the first lowest.
    pub(crate) fn choices(&self, c: &DReluTruncate) -> u64 {
        gather(c.nodes(), self.tree.a) | u64::from(self.choices) << c.nodes().count_ones()
    }

    /// Uses the labels of the backward OTs.
    pub(crate) fn backward(
        &mut self,
        c: &DReluTruncate,
        hash: &Tmmo,
        tweak: Block,
        labels: &[Block],
    ) -> Result<()> {
        let mut hashes = Hashes::none();
        let hashes = hashes.of(hash, labels, 0, tweak)?;
        for (t, &h) in bits(c.nodes()).zip(hashes) {
            self.tree.ab.iter_mut().enumerate().for_each(|(v, ab)| *ab ^= bit(h, v) << t);
        }
        for (b, ab) in self.tree.b.iter().zip(&mut self.tree.ab) {
            *ab ^= self.tree.a & b;
        }
        let first = c.nodes().count_ones() as usize;
        for (number, term) in c.terms().enumerate() {
            let at = first + term.choice;
            let pad = match term.second {
                None => hashes[at] as u64,
                Some(second) => {
                    let again = Hashes::one(hash, labels[at], tweak + at as Block + SECOND);
                    half(again, self.choices >> second)
                        ^ half(hashes[first + second], self.choices >> term.choice)
                }
            };
            self.terms[number] = pad & ((1 << term.bits) - 1);
        }
        Ok(())
    }

    /// A share as it is compared.
    const fn share(c: &DReluTruncate, share: u64) -> u64 {
        if c.relu { share } else { share ^ 1 << (c.ring_in - 1) }
    }

    /// Writes the server's message `number`; `share`: that of the element.
    pub(crate) fn send(
        &mut self,
        c: &DReluTruncate,
        share: u64,
        number: u32,
        out: &mut Packer<'_>,
    ) {
        if number == 0 {
            self.put_leaves(c, Self::share(c, share), out);
        }
        for level in server_levels(number) {
            self.tree.put(c, level, out);
        }
        if number + 1 == c.rounds() {
            self.select(c, share, out);
        }
    }

    /// Tables of leaves. Entry 0 is this party's share.
    fn put_leaves(&mut self, c: &DReluTruncate, share: u64, out: &mut Packer<'_>) {
        self.tree.w = c.sign(share);
        for (digit, pads) in c.digits().zip(self.leaves) {
            let entries = (table(*digit, digit.of(share)) ^ pads) & all_entries(*digit);
            let own = entries & 3;
            self.tree.g |= (own & 1) << digit.leaf;
            self.tree.p |= own >> 1 << digit.leaf;
            let table = entries ^ ((own * GENERATE) & all_entries(*digit));
            let table = if digit.leaf == 0 { lower_bits(table) >> 1 } else { table >> 2 };
            out.push(table.into(), digit.table_bits());
        }
        self.tree.p &= !1;
        self.tree.open(c, 1);
    }

    /// What the result takes of this party's share in a ReLU, and the product's factor.
    fn product(&self, c: &DReluTruncate, share: u64) -> (u64, u64) {
        let (p, above) = (spread(self.tree.choices(c, true)), c.above(share));
        (p & above, c.result().reduce((above ^ p).wrapping_sub(p)))
    }

    /// Which choices are the other way round, and the correction of the product.
    fn select(&self, c: &DReluTruncate, share: u64, out: &mut Packer<'_>) {
        if c.choices() > 0 {
            out.push(u64::from(self.tree.choices(c, true) ^ self.choices), c.choices());
        }
        if c.relu {
            let (ring, [h0, h1]) = (c.result(), self.part);
            out.push(ring.sub(ring.add(h0, self.product(c, share).1), h1), ring.bits());
        }
    }

    /// Reads the client's message `number`, but for the end of the last.
    pub(crate) fn receive(&mut self, c: &DReluTruncate, number: u32, input: &mut Reader<'_>) {
        for level in client_levels(number).filter(|&level| c.level(level) != 0) {
            self.tree.join(c, level, input, true);
        }
    }

    /// Reads the end of the client's last message. Returns the server's share of the result.
    pub(crate) fn finish(&self, c: &DReluTruncate, share: u64, input: &mut Reader<'_>) -> u64 {
        let ring = c.result();
        let mut result = if c.relu {
            let (own, factor) = self.product(c, share);
            let turned = input.take(1);
            let [h0, _] = self.part;
            let turned = spread(turned as u32);
            own.wrapping_add(turned & factor).wrapping_sub((h0 ^ turned).wrapping_sub(turned))
        } else {
            c.above(Self::share(c, share)).wrapping_sub(1 << (u32::from(c.ring_in) - 1 - c.shift))
        };
        result = result.wrapping_add(input.take(ring.bits()));
        let choices = self.tree.choices(c, true);
        for (term, pad) in c.terms().zip(self.terms) {
            let (first, second) = (
                spread(choices >> term.choice),
                term.second.map(|second| spread(choices >> second)),
            );
            let correction = match second {
                None => first & input.take(term.bits),
                Some(second) => {
                    let [one, two, three] = [(); 3].map(|()| input.take(term.bits));
                    first & !second & one | !first & second & two | first & second & three
                }
            };
            result = result.wrapping_add(pad.wrapping_add(correction) << term.shift);
        }
        ring.reduce(result)
    }
}
