//! What the server does for one element of a line.

use super::{ENTRIES, MAX_ENTRIES, MAX_INDEX, SegmentLookup};
use crate::block::Block;
use crate::compare::{Hashes, server, spread};
use crate::hash::Tmmo;
use crate::plan::PiecewiseLinear;
use crate::rng::Prg;
use crate::wire::{Packer, Reader};
use crate::{Error, Result};
use bytemuck::{Pod, Zeroable};
use zeroize::Zeroize as _;

/// What a server keeps of it between messages, in the place of a comparison's.
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
#[repr(C)]
struct State {
    /// The key of entry 0, in halves.
    key: [u64; 2],
    /// What a bit of an entry's number changes of its key.
    differences: [[u64; 2]; MAX_INDEX as usize],
    /// Its share of the slope: random choices of the backward OTs.
    slope: u64,
    /// Its pads of the product; then its share of the result, but for the client's last message.
    sum: u64,
    padding: u64,
    /// As in every element.
    result: u64,
}

const fn halves(block: Block) -> [u64; 2] {
    [block as u64, (block >> 64) as u64]
}

fn whole([low, high]: [u64; 2]) -> Block {
    Block::from(low) | Block::from(high) << 64
}

/// The server's part of every piece, and its slope; wiped on drop.
struct Table([[u64; 2]; MAX_ENTRIES]);

impl Table {
    /// Entry `i` takes the place of entry `i − by`, among `2^bits`, in constant time.
    fn rotate(&mut self, by: u64, bits: u32) {
        let mut before = Self([[0; 2]; MAX_ENTRIES]);
        for bit in 0..bits {
            before.0 = self.0;
            let there = spread((by >> bit) as u32 & 1);
            let (one, another) = before.0.split_at(1 << bit);
            let turned = another.iter().take((1 << bits) - (1 << bit)).chain(one);
            for (entry, from) in self.0.iter_mut().zip(turned) {
                entry.iter_mut().zip(from).for_each(|(x, from)| *x ^= (*x ^ from) & there);
            }
        }
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl SegmentLookup {
    fn server(element: &mut server::Element) -> &mut State {
        bytemuck::must_cast_mut(element)
    }

    /// Uses the labels of the forward OTs, whose sender the server is. Starts an element.
    pub(in crate::compare) fn server_forward(
        element: &mut server::Element,
        hash: &Tmmo,
        delta: Block,
        tweak: Block,
        labels: &[Block],
    ) -> Result<()> {
        *element = server::Element::default();
        let mut both = [Hashes::none(), Hashes::none()];
        let [h0, h1] = Hashes::both(&mut both, hash, labels, delta, tweak)?;
        let own = Self::server(element);
        let mut key = 0;
        for (difference, ((&h0, &h1), _)) in
            own.differences.iter_mut().zip(h0.iter().zip(h1).zip(labels))
        {
            key ^= h0;
            *difference = halves(h0 ^ h1);
        }
        own.key = halves(key);
        Ok(())
    }

    /// Draws its share of the slope.
    pub(in crate::compare) fn server_choose(
        &self,
        element: &mut server::Element,
        random: &mut Prg,
    ) {
        Self::server(element).slope = self.reduce(random.next_u64());
    }

    /// The choices of the backward OTs, the first lowest.
    pub(in crate::compare) fn server_choices(&self, mut element: server::Element) -> u64 {
        if self.sloped { Self::server(&mut element).slope } else { 0 }
    }

    /// Uses the labels of the backward OTs.
    pub(in crate::compare) fn server_backward(
        &self,
        element: &mut server::Element,
        hash: &Tmmo,
        tweak: Block,
        labels: &[Block],
    ) -> Result<()> {
        let mut hashes = Hashes::none();
        let hashes = hashes.of(hash, labels, 0, tweak)?;
        Self::server(element).sum = (0..self.value_bits())
            .zip(hashes)
            .fold(0, |sum, (i, &h)| sum.wrapping_add((h as u64) << i));
        Ok(())
    }

    /// Writes the server's message.
    pub(in crate::compare) fn server_send(
        &self,
        element: &mut server::Element,
        share: u64,
        (hash, tweak, pieces): (&Tmmo, Block, &PiecewiseLinear),
        out: &mut Packer<'_>,
    ) -> Result<()> {
        let ([index, value], own, bits) =
            (self.split(share), Self::server(element), u32::from(self.bits));
        let mut table = Table([[0; 2]; MAX_ENTRIES]);
        for (entry, number) in table.0.iter_mut().zip(0..self.entries()) {
            let [slope, intercept] = self.piece(pieces, number).map(|x| x as u64);
            *entry = [slope.wrapping_mul(value).wrapping_add(intercept), slope];
        }
        table.rotate(index, self.index_bits());
        let (mut keys, mut key) = (Hashes::none(), whole(own.key));
        for (slot, number) in keys.0.iter_mut().zip(0..self.entries()) {
            *slot = key;
            // From a number to the next, its trailing ones and the zero in front of them change.
            let changed = own.differences.iter().take(1 + number.trailing_ones() as usize);
            key = changed.fold(key, |key, &difference| key ^ whole(difference));
        }
        let keys = keys.0.get(..self.entries() as usize).ok_or(Error::Internal)?;
        let mut pads = Hashes::none();
        let pads = pads.of(hash, keys, 0, tweak + ENTRIES)?;
        let mut mask = 0;
        for (number, (pad, &[part, slope])) in
            (0..self.entries()).zip(pads.iter().copied().map(halves).zip(&table.0))
        {
            let part = part.wrapping_sub(pad[0]);
            if number == 0 {
                mask = part;
            } else {
                out.push(self.reduce(part.wrapping_sub(mask)), bits);
            }
            if self.sloped {
                out.push(self.reduce(slope.wrapping_sub(own.slope).wrapping_sub(pad[1])), bits);
            }
        }
        own.sum = own.sum.wrapping_add(mask);
        Ok(())
    }

    /// Reads the client's message. Returns the server's share of the result.
    pub(in crate::compare) fn server_receive(
        &self,
        element: &mut server::Element,
        input: &mut Reader<'_>,
    ) -> u64 {
        let own = Self::server(element);
        let mut result = own.sum.wrapping_add(input.take(self.bits.into()));
        for i in 0..self.value_bits() {
            let correction = input.take(self.value_bits() - i);
            result = result.wrapping_add((correction & spread((own.slope >> i) as u32 & 1)) << i);
        }
        self.reduce(result)
    }
}
