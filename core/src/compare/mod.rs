//! Activations by comparison: ReLU, exact truncation and all that is made of them by OTs alone,
//! without tables (docs/protocol.md, section 12).
//!
//! What lies between shares and sign is a carry, which `tree` computes from digits of four bits,
//! after Rathee et al., "CrypTFlow2" (CCS 2020, §3): leaves by OTs of one in sixteen, joined by
//! products of shared bits. The carry out of the bits that are cut off is an inner node. The
//! client's share is known offline, and so is its side of every leaf. What each party does for one
//! element is in `client` and `server`; all of it works on one state of fixed size for each
//! element, and on runs of bits. `line` is for pieces of curves, on the same states.

pub(crate) mod client;
mod curve;
mod line;
mod protocol;
pub(crate) mod server;
mod stages;
mod tree;

pub use line::SegmentLookup;
pub use protocol::StageProtocol;
pub use stages::{OtActivation, Stage};

use crate::attack::{Defence, stripped};
use crate::block::Block;
use crate::hash::Tmmo;
#[cfg(any(test, feature = "unstable"))]
use crate::plan::{Function, Op};
use crate::ring::Modulus;
use crate::{Error, Result};
use zeroize::Zeroize as _;

/// Most bits of a digit.
const DIGIT: u32 = 4;
/// Most bits of a ring whose elements are truncated.
const MAX_RING: u8 = 44;
/// Most leaves: as many bits in two parts.
const MAX_LEAVES: usize = 12;
/// Number of the first leaf of the high part; that of the root, too.
const HIGH: u32 = 16;
/// Most levels: eleven leaves, then the root.
const MAX_LEVELS: usize = 5;
/// Most OTs of an element, in either direction.
pub(crate) const MAX_OTS: usize = 64;
/// Hash calls in one pipeline.
const PIPELINE: usize = 8;

/// A digit of both shares, and its place in them.
#[derive(Clone, Copy, Debug, Default)]
struct Digit {
    leaf: u8,
    from: u8,
    bits: u8,
}

impl Digit {
    /// This digit of a share.
    const fn of(self, share: u64) -> u32 {
        (share >> self.from) as u32 & ((1 << self.bits) - 1)
    }

    /// Bits on the wire: entries but the first, of two bits; leaf 0 passes no carry on.
    const fn table_bits(self) -> u32 {
        let entries = (1 << self.bits) - 1;
        if self.leaf == 0 { entries } else { 2 * entries }
    }
}

/// A number that depends on choices: bits of the server's shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Term {
    /// Number of the choice.
    choice: usize,
    /// Number of a second one.
    second: Option<usize>,
    /// Bits of the number; in the result it counts `2^shift`, both of which fill the ring.
    bits: u32,
    shift: u32,
}

/// What one comparison computes: shares of `y` become shares of `⌊y/2^shift⌋`, in a ReLU of
/// `max(⌊y/2^shift⌋, 0)`.
#[derive(Clone, Copy, Debug)]
struct Truncation {
    relu: bool,
    ring_in: u8,
    shift: u8,
    ring_out: u8,
}

impl Truncation {
    /// `None` if nothing is to be compared.
    const fn new(relu: bool, ring_in: u8, shift: u8, ring_out: u8) -> Option<Self> {
        let nothing =
            shift as u32 + 2 > ring_in as u32 || !relu && shift == 0 && ring_out <= ring_in;
        if nothing { None } else { Some(Self { relu, ring_in, shift, ring_out }) }
    }
}

/// How one activation is compared: what both parties derive from the plan.
#[derive(Clone, Copy, Debug)]
pub struct DReluTruncate {
    relu: bool,
    ring_in: u8,
    ring_out: u8,
    /// Bits cut off.
    shift: u32,
    /// Bits compared.
    compared: u32,
    digits: [Digit; MAX_LEAVES],
    leaves: usize,
    /// Nodes of each level, a bit for each.
    levels: [u32; MAX_LEVELS],
    depth: usize,
}

impl DReluTruncate {
    /// The comparison of an operation that is one.
    #[cfg(any(test, feature = "unstable"))]
    #[must_use]
    pub fn of(op: &Op) -> Option<Self> {
        let truncation = match *op {
            Op::Activation { function: Function::Relu, ring_in, ring_out, shift, .. } => {
                Truncation::new(true, ring_in, shift, ring_out)
            }
            Op::Activation { function: Function::Identity, ring_in, ring_out, shift, .. } => {
                Truncation::new(false, ring_in, shift, ring_out)
            }
            _ => None,
        };
        truncation.map(Self::new)
    }

    fn new(Truncation { relu, ring_in, shift, ring_out }: Truncation) -> Self {
        let (ring, cut) = (u32::from(ring_in), u32::from(shift));
        let compared = match relu {
            true => ring - 1,
            false if u32::from(ring_out) > ring - cut => ring,
            false => cut,
        };
        let mut new = Self {
            relu,
            ring_in,
            ring_out,
            shift: cut,
            compared,
            digits: [Digit::default(); MAX_LEAVES],
            leaves: 0,
            levels: [0; MAX_LEVELS],
            depth: 0,
        };
        new.cut(0, cut, 0);
        new.cut(cut, compared, if cut > 0 { HIGH } else { 0 });
        new.grow();
        new
    }

    /// Adds the digits of bits `from..to`.
    fn cut(&mut self, from: u32, to: u32, leaf: u32) {
        let bits = to.saturating_sub(from);
        let digits = bits.div_ceil(DIGIT);
        let mut at = from;
        for (i, slot) in (0..digits).zip(self.digits.iter_mut().skip(self.leaves)) {
            let width = bits / digits + u32::from(i < bits % digits);
            *slot = Digit { leaf: (leaf + i) as u8, from: at as u8, bits: width as u8 };
            at += width;
        }
        self.leaves += digits as usize;
    }

    /// Finds the nodes of each level.
    fn grow(&mut self) {
        let (nodes, root) = (self.nodes(), self.root());
        for (level, slot) in self.levels.iter_mut().enumerate() {
            *slot = bits(nodes & !root)
                .filter(|t| t.trailing_zeros() as usize == level)
                .fold(0, |mask, t| mask | 1 << t);
        }
        self.depth = self.levels.iter().take_while(|&&mask| mask != 0).count();
        if let (1.., Some(slot)) = (root, self.levels.get_mut(self.depth)) {
            *slot = root;
            self.depth += 1;
        }
    }

    fn digits(&self) -> impl Iterator<Item = &Digit> {
        self.digits.iter().take(self.leaves)
    }

    /// All nodes, a bit for each.
    fn nodes(&self) -> u32 {
        self.digits().fold(0, |mask, digit| mask | 1 << digit.leaf) & !1
    }

    /// The node where low part meets high part, if there are both.
    const fn root(&self) -> u32 {
        if self.shift > 0 && self.compared > self.shift { 1 << HIGH } else { 0 }
    }

    /// Nodes of a level, counted from 1; none behind the last one.
    fn level(&self, level: usize) -> u32 {
        match level.checked_sub(1).and_then(|i| self.levels.get(i)) {
            Some(&nodes) => nodes,
            None => 0,
        }
    }

    /// Which nodes of a level have an operand `x`, `y_0`, `y_1`, `y_2`.
    fn operands(&self, nodes: u32) -> [u32; 4] {
        if nodes & self.root() != 0 {
            let more = if self.relu { nodes } else { 0 };
            return [nodes, nodes, more, more];
        }
        [nodes, nodes, nodes & !POWERS, 0]
    }

    /// Bits of the openings of one party for a level.
    fn opening_bits(&self, level: usize) -> u32 {
        self.operands(self.level(level)).iter().map(|mask| mask.count_ones()).sum()
    }

    /// Bits of the choices that the server has in the end.
    const fn choices(&self) -> u32 {
        let carry = self.term_bits() > 0;
        self.relu as u32 + (self.shift > 0) as u32 + carry as u32
    }

    /// Bits of the result that a carry reaches: `ω`.
    const fn term_bits(&self) -> u32 {
        let top = self.ring_in as u32 - self.shift - self.relu as u32;
        (self.ring_out as u32).saturating_sub(top)
    }

    fn terms(&self) -> impl Iterator<Item = Term> + use<> {
        let (ring, bits, relu) = (u32::from(self.ring_out), self.term_bits(), self.relu);
        let whole = move |choice| Term { choice, second: None, bits: ring, shift: 0 };
        let (first, rest) = (usize::from(relu), usize::from(relu) + usize::from(self.shift > 0));
        let carry = match relu {
            true => Term { choice: 0, second: Some(rest), bits, shift: ring - bits.min(ring) },
            false => Term { choice: rest, second: None, bits, shift: ring - bits.min(ring) },
        };
        let terms = [
            relu.then(|| whole(0)),
            (self.shift > 0).then(|| whole(first)),
            (bits > 0).then_some(carry),
        ];
        terms.into_iter().flatten()
    }

    /// OTs of an element in which the client chooses.
    #[must_use]
    pub fn forward_ots(&self) -> usize {
        (self.compared + self.nodes().count_ones()) as usize + usize::from(self.relu)
    }

    /// OTs of an element in which the server chooses.
    #[must_use]
    pub fn backward_ots(&self) -> usize {
        (self.nodes().count_ones() + self.choices()) as usize
    }

    /// Round trips: messages of either party.
    #[must_use]
    pub const fn rounds(&self) -> u32 {
        match self.depth {
            0 => 1,
            depth => depth.div_ceil(2) as u32 + 1,
        }
    }

    /// Bits of an element in the server's message `number`.
    #[must_use]
    pub fn server_bits(&self, number: u32) -> u32 {
        let tables =
            if number == 0 { self.digits().map(|digit| digit.table_bits()).sum() } else { 0 };
        let last = if number + 1 == self.rounds() {
            self.choices() + if self.relu { u32::from(self.ring_out) } else { 0 }
        } else {
            0
        };
        tables + server_levels(number).map(|level| self.opening_bits(level)).sum::<u32>() + last
    }

    /// Bits of an element in the client's message `number`.
    #[must_use]
    pub fn client_bits(&self, number: u32) -> u32 {
        let terms = || {
            self.terms()
                .map(|term| if term.second.is_some() { 3 * term.bits } else { term.bits })
                .sum::<u32>()
        };
        let last = if number + 1 == self.rounds() {
            u32::from(self.relu) + u32::from(self.ring_out) + terms()
        } else {
            0
        };
        client_levels(number).map(|level| self.opening_bits(level)).sum::<u32>() + last
    }

    const fn result(&self) -> Modulus {
        Modulus::Bits(self.ring_out)
    }

    /// The part of a share that is not cut off, in the ring of the result.
    const fn above(&self, share: u64) -> u64 {
        let share = if self.relu { share & ((1 << (self.ring_in - 1)) - 1) } else { share };
        self.result().reduce(share >> self.shift)
    }

    /// The highest bit of a share.
    const fn sign(&self, share: u64) -> u32 {
        (share >> (self.ring_in - 1)) as u32 & 1
    }
}

/// Nodes that pass no carry on: their run starts at leaf 0.
const POWERS: u32 = 1 | 1 << 1 | 1 << 2 | 1 << 4 | 1 << 8 | 1 << 16;

/// Levels that the server opens in its message `number`.
fn server_levels(number: u32) -> impl Iterator<Item = usize> {
    let first = 2 * number as usize;
    first..=first + 1
}

/// Levels that the client opens in its message `number`.
fn client_levels(number: u32) -> impl Iterator<Item = usize> {
    let first = 2 * number as usize + 1;
    first..=first + 1
}

/// The numbers of the bits that are set.
fn bits(mut mask: u32) -> impl Iterator<Item = u32> {
    core::iter::from_fn(move || {
        let bit = mask.trailing_zeros();
        mask &= mask.wrapping_sub(1);
        (bit < u32::BITS).then_some(bit)
    })
}

/// Puts the low bits of a word where `mask` has ones, the lowest first.
fn scatter(mask: u32, word: u64) -> u32 {
    bits(mask).zip(0..).fold(0, |sum, (bit, i)| sum | ((word >> i) as u32 & 1) << bit)
}

/// The reverse of [`scatter`].
fn gather(mask: u32, word: u32) -> u64 {
    bits(mask).zip(0..).fold(0, |sum, (bit, i)| sum | u64::from(word >> bit & 1) << i)
}

/// All ones if the lowest bit is set, else zero.
fn spread(bit: u32) -> u64 {
    crate::ot::mask(u64::from(bit))
}

/// Tweak of an element's first OT.
pub(crate) const fn tweak(layer: u64, element: usize) -> Block {
    (layer as Block) << 40 | (element as Block) << 8
}

/// A second hash of the same label.
const SECOND: Block = 128;

/// Room for the hashes of at most [`MAX_OTS`] labels; wiped on drop. They are made where they stay:
/// moved, they would leave copies on the stack.
struct Hashes([Block; MAX_OTS]);

impl Hashes {
    const fn none() -> Self {
        Self([0; MAX_OTS])
    }

    /// `H(label ⊕ offset, tweak + j)` for all labels, in order. Behind them is nothing of use.
    ///
    /// # Errors
    /// [`Error::Length`] for more labels than that.
    fn of(
        &mut self,
        hash: &Tmmo,
        labels: &[Block],
        offset: Block,
        tweak: Block,
    ) -> Result<&[Block; MAX_OTS]> {
        if labels.len() > MAX_OTS {
            return Err(Error::Length { need: MAX_OTS });
        }
        for (first, (hashes, labels)) in
            (0..).step_by(PIPELINE).zip(self.0.chunks_mut(PIPELINE).zip(labels.chunks(PIPELINE)))
        {
            let mut x = [0; PIPELINE];
            x.iter_mut().zip(labels).for_each(|(x, label)| *x = label ^ offset);
            let tweaks = core::array::from_fn(|j| tweak + first + j as Block);
            hashes.copy_from_slice(&if stripped(Defence::LabelHash) {
                x
            } else {
                hash.hash(x, tweaks)
            });
        }
        Ok(&self.0)
    }

    /// Those of both messages of OTs.
    fn both<'h>(
        [zero, one]: &'h mut [Self; 2],
        hash: &Tmmo,
        labels: &[Block],
        delta: Block,
        tweak: Block,
    ) -> Result<[&'h [Block; MAX_OTS]; 2]> {
        Ok([zero.of(hash, labels, 0, tweak)?, one.of(hash, labels, delta, tweak)?])
    }

    /// One more of a label.
    fn one(hash: &Tmmo, label: Block, tweak: Block) -> Block {
        let [h] = hash.hash([label], [tweak]);
        h
    }
}

impl Drop for Hashes {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// One bit of a hash.
const fn bit(h: Block, number: usize) -> u32 {
    (h >> number) as u32 & 1
}

/// Half `number` of a hash, in constant time.
fn half(h: Block, number: u32) -> u64 {
    let (low, high) = (h as u64, (h >> 64) as u64);
    low ^ (low ^ high) & spread(number)
}

#[cfg(test)]
mod tests;
