//! What the client does for one element of a line.

use super::{ENTRIES, SegmentLookup, equal};
use crate::block::Block;
use crate::compare::{Hashes, client};
use crate::hash::Tmmo;
use crate::wire::{Packer, Reader, packed_len};
use crate::{Error, Result};
use bytemuck::{Pod, Zeroable};

/// What a client keeps of it between messages, in the place of a comparison's.
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
#[repr(C)]
struct State {
    /// Corrections of its value, for the server's choices; packed.
    corrections: [[u8; 8]; 9],
    padding: [u64; 3],
    /// Pads of its entry; then the entry: the server's part, and the slope.
    entry: [u64; 2],
    /// Its share of the product of the server's share of the slope with its own of the value.
    product: u64,
    /// As in every element.
    result: u64,
}

const _: () = assert!(super::MAX_SLOPED * (super::MAX_SLOPED + 1) / 2 <= 9 * u64::BITS);

impl SegmentLookup {
    fn client(element: &mut client::Element) -> &mut State {
        bytemuck::must_cast_mut(element)
    }

    /// Starts an element. `result`: the share of the result that the client is to have.
    pub(in crate::compare) fn client_start(element: &mut client::Element, result: u64) {
        *element = client::Element::default();
        Self::client(element).result = result;
    }

    /// The choices of the forward OTs, the first lowest.
    pub(in crate::compare) const fn client_choices(&self, share: u64) -> u64 {
        self.split(share)[0]
    }

    /// Uses the labels of the forward OTs.
    pub(in crate::compare) fn client_forward(
        &self,
        element: &mut client::Element,
        share: u64,
        hash: &Tmmo,
        tweak: Block,
        labels: &[Block],
    ) -> Result<()> {
        let mut hashes = Hashes::none();
        let own = hashes.of(hash, labels, 0, tweak)?;
        let key = own.iter().zip(labels).fold(0, |key, (h, _)| key ^ h);
        let [index, _] = self.split(share);
        let [pad, ..] = *hashes.of(hash, &[key], 0, tweak + ENTRIES + Block::from(index))?;
        Self::client(element).entry = [pad as u64, (pad >> 64) as u64];
        Ok(())
    }

    /// Uses the labels of the backward OTs, whose sender the client is.
    pub(in crate::compare) fn client_backward(
        &self,
        element: &mut client::Element,
        share: u64,
        (hash, delta): (&Tmmo, Block),
        tweak: Block,
        labels: &[Block],
    ) -> Result<()> {
        let mut both = [Hashes::none(), Hashes::none()];
        let [h0, h1] = Hashes::both(&mut both, hash, labels, delta, tweak)?;
        let (own, [_, value]) = (Self::client(element), self.split(share));
        let bytes = packed_len(1, self.correction_bits()) as usize;
        let corrections =
            own.corrections.as_flattened_mut().get_mut(..bytes).ok_or(Error::Internal)?;
        let mut corrections = Packer::new(corrections);
        for (i, (&h0, &h1)) in (0..self.value_bits()).zip(h0.iter().zip(h1)) {
            let (h0, h1, bits) = (h0 as u64, h1 as u64, self.value_bits() - i);
            own.product = own.product.wrapping_sub(h0 << i);
            corrections.push(value.wrapping_add(h0).wrapping_sub(h1) & ((1 << bits) - 1), bits);
        }
        corrections.finish()
    }

    /// Reads the server's message.
    pub(in crate::compare) fn client_receive(
        &self,
        element: &mut client::Element,
        share: u64,
        input: &mut Reader<'_>,
    ) {
        let [index, _] = self.split(share);
        let own = Self::client(element);
        let (bits, mut entry) = (u32::from(self.bits), [0; 2]);
        for i in 0..self.entries() {
            let part = if i > 0 { input.take(bits) } else { 0 };
            let slope = if self.sloped { input.take(bits) } else { 0 };
            let here = equal(index, i.into());
            entry = [entry[0] | part & here, entry[1] | slope & here];
        }
        own.entry.iter_mut().zip(entry).for_each(|(pad, entry)| *pad = pad.wrapping_add(entry));
    }

    /// Writes the client's message. `part`: its own share of the result.
    pub(in crate::compare) fn client_send(
        &self,
        element: &mut client::Element,
        share: u64,
        part: u64,
        out: &mut Packer<'_>,
    ) {
        let [_, value] = self.split(share);
        let own = Self::client(element);
        let [server, slope] = own.entry;
        let product =
            if self.sloped { slope.wrapping_mul(value).wrapping_add(own.product) } else { 0 };
        out.push(self.reduce(server.wrapping_add(product).wrapping_sub(part)), self.bits.into());
        let mut corrections = Reader::new(own.corrections.as_flattened());
        for bits in (1..=self.value_bits()).rev() {
            out.push(corrections.take(bits), bits);
        }
    }
}
