//! A curve as stages: the value, cut to what its pieces reach; the number of its piece; the line of
//! that piece, and what is cut off that.

use super::line::MAX_INDEX;
use super::{DReluTruncate, SegmentLookup, StageProtocol, Truncation};
use crate::plan::{Function, Op};

/// How a curve is computed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Curve {
    line: SegmentLookup,
    ring_in: u8,
    ring_out: u8,
    shift: u8,
    /// The largest value that a piece reaches, if values go beyond the numbers of pieces.
    bound: Option<i64>,
    plus_relu: bool,
}

/// A stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The value, truncated.
    Value,
    /// What is added to the result: the value, if it is positive.
    PlusRelu,
    /// The value, from its lower bound on.
    Floor,
    /// That, up to its upper bound.
    Bound,
    /// The number of its piece.
    Index,
    /// Its line.
    SegmentLookup,
    /// The line's result, truncated.
    Truncation,
}

const PARTS: [Part; 7] = [
    Part::Value,
    Part::PlusRelu,
    Part::Floor,
    Part::Bound,
    Part::Index,
    Part::SegmentLookup,
    Part::Truncation,
];

impl Curve {
    /// The curve of an activation with a spline, if at least two bits of its input are left.
    pub(super) fn of(op: &Op) -> Option<Self> {
        let Op::Activation {
            function: Function::PiecewiseLinear(spline),
            ring_in,
            ring_out,
            shift,
            ..
        } = *op
        else {
            return None;
        };
        let bits = ring_in.checked_sub(shift).filter(|&bits| bits >= 2)?;
        // Pieces beyond the knots are cheaper than two more stages, if there are few.
        let index_bits = (bits + spline.index_bits).saturating_sub(spline.input_bits).max(1);
        let (index_bits, bound) = match index_bits {
            0..=MAX_INDEX => (index_bits, None),
            _ => (spline.index_bits + 1, Some((1 << spline.input_bits) - 1)),
        };
        Some(Self {
            line: SegmentLookup::new(&spline, index_bits, ring_out),
            ring_in,
            ring_out,
            shift,
            bound,
            plus_relu: spline.plus_relu,
        })
    }

    /// Bits of the value, with its sign.
    const fn bits(&self) -> u8 {
        self.ring_in - self.shift
    }

    /// Bits of the value of which its piece's number is a truncation: a comparison leaves two at
    /// least.
    fn indexed(&self) -> u32 {
        self.line.low() + self.line.index_bits().max(if self.line.low() > 0 { 2 } else { 1 })
    }

    /// The ring of what goes into the line.
    fn reached(&self) -> u8 {
        self.indexed().max(self.line.value_bits()) as u8
    }

    /// The ring of the value: a difference to the lower bound takes a bit more.
    fn wide(&self) -> u8 {
        if self.bound.is_some() { self.bits() + 1 } else { self.reached() }
    }

    fn has(&self, part: Part) -> bool {
        match part {
            Part::Value => self.shift > 0 || self.wide() > self.ring_in,
            Part::PlusRelu => self.plus_relu,
            Part::Floor | Part::Bound => self.bound.is_some(),
            Part::Index => self.line.low() > 0,
            Part::SegmentLookup => true,
            Part::Truncation => self.line.cut() > 0 || self.ring_out > self.line.ring_out(),
        }
    }

    fn parts(&self) -> impl Iterator<Item = Part> + use<'_> {
        PARTS.into_iter().filter(|&part| self.has(part))
    }

    /// Stage `number`, and whether it is the last.
    pub(super) fn stage(&self, number: u32) -> Option<(Part, StageProtocol, bool)> {
        let part = self.parts().nth(number as usize)?;
        let relu = |ring_in, ring_out| Truncation::new(true, ring_in, 0, ring_out);
        let truncation = match part {
            Part::Value => Truncation::new(false, self.ring_in, self.shift, self.wide()),
            Part::PlusRelu => relu(self.bits(), self.ring_out),
            Part::Floor => relu(self.wide(), self.bits()),
            Part::Bound => relu(self.bits(), self.reached()),
            Part::Index => Truncation::new(
                false,
                self.indexed() as u8,
                self.line.low() as u8,
                self.line.index_bits() as u8,
            ),
            Part::SegmentLookup => {
                return Some((part, StageProtocol::SegmentLookup(self.line), self.is_last(part)));
            }
            Part::Truncation => {
                Truncation::new(false, self.line.ring_out(), self.line.cut() as u8, self.ring_out)
            }
        };
        Some((
            part,
            StageProtocol::DReluTruncate(DReluTruncate::new(truncation?)),
            self.is_last(part),
        ))
    }

    fn is_last(&self, part: Part) -> bool {
        part == if self.has(Part::Truncation) { Part::Truncation } else { Part::SegmentLookup }
    }

    /// A party's share of what element `e` of a stage computes with, not yet reduced, and of what
    /// its result is added to, or taken from. `result`: of results of elements before, by
    /// number; each stage has `len` of them. `None` if one of them is missing.
    pub(super) fn shares(
        &self,
        part: Part,
        (e, len): (usize, usize),
        server: bool,
        tensor: impl Fn(usize) -> Option<u64>,
        result: impl Fn(usize) -> Option<u64>,
    ) -> Option<[u64; 2]> {
        let of = |part| result(self.parts().take_while(|&before| before != part).count() * len + e);
        let value = || if self.has(Part::Value) { of(Part::Value) } else { tensor(e) };
        let reached = || if self.has(Part::Bound) { of(Part::Bound) } else { value() };
        let public = |x: i64| if server { x as u64 } else { 0 };
        let (hi, lo) = self.bound.map_or((0, 0), |hi| (public(hi), public(!hi)));
        let argument = match part {
            Part::Value => tensor(e)?,
            Part::PlusRelu => value()?,
            Part::Floor => return Some([value()?.wrapping_sub(lo), lo]),
            Part::Bound => return Some([hi.wrapping_sub(of(Part::Floor)?), hi]),
            Part::Index => reached()?,
            Part::SegmentLookup => {
                let value = reached()?;
                let index = if self.has(Part::Index) { of(Part::Index)? } else { value };
                self.line.join(index, value)
            }
            Part::Truncation => of(Part::SegmentLookup)?,
        };
        let base = if self.is_last(part) {
            let plus_relu = if self.has(Part::PlusRelu) { of(Part::PlusRelu)? } else { 0 };
            plus_relu.wrapping_add(public(self.line.constant()))
        } else {
            0
        };
        Some([argument, base])
    }
}
