//! A piece of a curve by its number: from shares of a value and of the number of its piece, those
//! of `slope·v + intercept` of that piece.
//!
//! The server's part of every piece comes by an OT of one in as many as there are pieces; what the
//! client's part is multiplied by is shared by the same OT, and the product of the server's share
//! of it with the client's value is made of OTs in which the server chooses. One round trip.

pub(super) mod client;
pub(super) mod server;

use super::{MAX_OTS, spread};
use crate::block::Block;
use crate::plan::{Parity, PiecewiseLinear};

/// Most bits of a piece's number.
pub(super) const MAX_INDEX: u8 = 6;
/// Most pieces, those beyond the knots included.
const MAX_ENTRIES: usize = 1 << MAX_INDEX;
const _: () = assert!(MAX_ENTRIES <= MAX_OTS, "pads of all entries are hashed as those of OTs");
/// Most bits of a sloped line's result: of a product of 30 bits, and of offsets as wide as all
/// their differences, shifted.
const MAX_SLOPED: u32 = 33;
/// Tweak of entry 0's pads, behind those of labels and of their second hashes.
const ENTRIES: Block = 128;

/// Where a value lies among the pieces of a [`PiecewiseLinear`], and what is computed of it: what
/// both parties derive from the plan. The pieces themselves, which only the server needs, stay
/// there: this is copied often.
#[derive(Clone, Copy, Debug)]
pub struct SegmentLookup {
    /// Bits of a value below the number of its piece.
    low: u8,
    /// The spline's shift, and below it the spline's centre.
    shift: u8,
    centre: i32,
    /// Bits of the signed number of a piece: as many of the value's high bits.
    index_bits: u8,
    /// Bits of the result.
    bits: u8,
    /// Whether the value matters, beside the number of its piece.
    sloped: bool,
    /// The result that is represented as zero.
    origin: i64,
}

impl SegmentLookup {
    /// The lookup of a valid spline, with `index_bits` bits for the number of a piece: at least one
    /// more than the spline's own if values go beyond its knots. What has no slope needs no more
    /// stages after this one, so it goes into `ring_out` itself.
    pub(super) fn new(spline: &PiecewiseLinear, index_bits: u8, ring_out: u8) -> Self {
        let sloped =
            spline.input_bits > spline.index_bits && spline.slopes.iter().any(|&slope| slope != 0);
        let low = spline.input_bits.saturating_sub(spline.index_bits);
        let mut new = Self {
            low,
            shift: spline.shift,
            centre: spline.centre,
            index_bits,
            bits: ring_out,
            sloped,
            origin: 0,
        };
        if sloped {
            let (lo, hi) = new.range(spline);
            let (cut, floor) = (new.cut(), lo >> new.cut() << new.cut());
            // A comparison truncates rings with two bits left.
            let bits = (u64::BITS - ((hi - floor) as u64).leading_zeros()).max(cut + 2);
            new.bits = if cut == 0 { (bits as u8).min(ring_out) } else { bits as u8 };
            new.origin = floor + (1 << (new.bits - 1));
        }
        new
    }

    /// Least and largest result over all pieces.
    fn range(&self, spline: &PiecewiseLinear) -> (i64, i64) {
        let low = self.low();
        (0..1 << self.index_bits).fold((i64::MAX, i64::MIN), |(lo, hi), number| {
            let [slope, intercept] = self.piece(spline, number);
            let first = self.signed(number) << low;
            let [a, b] = [first, first + (1 << low) - 1].map(|v| slope * v + intercept);
            (lo.min(a).min(b), hi.max(a).max(b))
        })
    }

    /// Bits of a value below the number of its piece.
    pub(super) const fn low(&self) -> u32 {
        self.low as u32
    }

    /// Bits that are still to be cut off the result.
    pub(super) const fn cut(&self) -> u32 {
        if self.sloped { self.shift as u32 } else { 0 }
    }

    /// What is to be added to the result, once these are cut off.
    pub(super) const fn constant(&self) -> i64 {
        self.centre as i64 + (self.origin >> self.cut())
    }

    /// Bits of the number of a piece.
    pub(super) const fn index_bits(&self) -> u32 {
        self.index_bits as u32
    }

    /// Bits of the value.
    pub(super) const fn value_bits(&self) -> u32 {
        if self.sloped { self.bits as u32 } else { 0 }
    }

    /// The ring of a party's shares of the number of a piece and of the value, as one.
    pub(super) const fn ring_in(&self) -> u8 {
        self.index_bits + self.value_bits() as u8
    }

    /// Bits of the result.
    pub(super) const fn ring_out(&self) -> u8 {
        self.bits
    }

    /// A party's share of what goes in: the number of a piece in the low bits.
    pub(super) const fn join(&self, index: u64, value: u64) -> u64 {
        index & ((1 << self.index_bits) - 1) | value << self.index_bits
    }

    /// The reverse.
    const fn split(&self, share: u64) -> [u64; 2] {
        [share & ((1 << self.index_bits) - 1), share >> self.index_bits]
    }

    const fn reduce(&self, x: u64) -> u64 {
        x & ((1 << self.bits) - 1)
    }

    const fn entries(&self) -> u32 {
        1 << self.index_bits
    }

    /// The number of a piece with its sign: pieces below 0 are negative.
    const fn signed(&self, number: u32) -> i64 {
        let above = u32::BITS - self.index_bits as u32;
        ((number << above) as i32 >> above) as i64
    }

    /// Slope and intercept of a piece: `⌊(slope·v + intercept)/2^cut⌋` is the curve without centre
    /// and without the ReLU that is added, less the origin.
    fn piece(&self, s: &PiecewiseLinear, number: u32) -> [i64; 2] {
        let (cut, low) = (self.cut(), self.low());
        let signed = self.signed(number);
        let negative = signed < 0;
        if matches!(s.parity, Parity::Left) && !negative {
            return [0, -self.origin];
        }
        let place = if negative { !signed } else { signed };
        let piece = (place as usize).min(s.pieces() - 1);
        let at = |xs: &[i16]| xs.get(piece).map_or(0, |&x| i64::from(x));
        let (offset, slope) = (at(&s.offsets), if self.sloped { at(&s.slopes) } else { 0 });
        // Slope and intercept over the magnitude; beyond the knots, the value that it stops at.
        let [mut a, mut b] = if piece as i64 == place {
            [slope, (offset << cut) - slope * (place << low)]
        } else {
            [0, (offset + ((slope * ((1 << low) - 1)) >> s.shift)) << cut]
        };
        // The magnitude is −1−v.
        if negative {
            [a, b] = [-a, b - a];
        }
        // −⌊x/2^c⌋ = ⌊(2^c − 1 − x)/2^c⌋.
        if negative && matches!(s.parity, Parity::Odd) {
            [a, b] = [-a, (1 << cut) - 1 - b];
        }
        [a, b - self.origin]
    }

    /// OTs of an element in which the client chooses.
    pub(super) const fn forward_ots(&self) -> usize {
        self.index_bits as usize
    }

    /// OTs of an element in which the server chooses.
    pub(super) const fn backward_ots(&self) -> usize {
        self.value_bits() as usize
    }

    /// Bits of an element in the server's message.
    pub(super) const fn server_bits(&self) -> u32 {
        (self.entries() - 1) * self.bits as u32 + self.entries() * self.value_bits()
    }

    /// Bits of an element in the client's message.
    pub(super) const fn client_bits(&self) -> u32 {
        self.bits as u32 + self.correction_bits()
    }

    /// Bits of the corrections of a product.
    const fn correction_bits(&self) -> u32 {
        let bits = self.value_bits();
        bits * (bits + 1) / 2
    }
}

/// All ones if both are equal, in constant time.
fn equal(a: u64, b: u64) -> u64 {
    spread(((a ^ b).wrapping_sub(1) >> 63) as u32)
}

#[cfg(test)]
mod tests;
