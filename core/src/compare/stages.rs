//! An operation as comparisons one after the other: `max(a, b) = b + max(a − b, 0)` for a
//! tournament over a window and for a lower bound, `min(v, h) = h − max(h − v, 0)` for an upper
//! one. A leaky ReLU is the larger of two truncations, or the smaller. An argmax is a tournament of
//! values with their ranks as low bits. Every stage re-shares, so each party's shares of what it
//! compares are known when the stage before is done, the client's offline.

use super::curve::{Curve, Part};
use super::{DReluTruncate, MAX_RING, StageProtocol, Truncation};
use crate::ot::{GROUP, Repetition};
use crate::plan::{Convolution, Function, Op};
use crate::wire::packed_len;

/// An operation that is computed by comparison, and what that costs one prediction.
#[derive(Clone, Copy, Debug)]
pub struct OtActivation {
    /// The truncation of the elements that go in; those of a curve are in `curve`.
    first: Option<Truncation>,
    /// The truncation of the differences of a tournament.
    pairs: Option<Truncation>,
    /// The truncations of differences to the lower and to the upper bound. What comes before stays
    /// in the ring of the difference: the bound takes its place in the result.
    bounded: [Option<Truncation>; 2],
    inputs: usize,
    outputs: usize,
    window: Option<Convolution>,
    ranks: Option<Ranks>,
    leak: Option<Leak>,
    curve: Option<Curve>,
    /// Least and largest result, if these are bounds of their own: zero below is a ReLU.
    bounds: [Option<i64>; 2],
}

/// How an argmax ranks: values are multiplied by `2^bits`, and the number of elements behind one is
/// added. So among equal ones the first is the largest, and the low bits of the largest tell its
/// place.
#[derive(Clone, Copy, Debug)]
struct Ranks {
    bits: u8,
    /// The truncation of the last difference: only the rank of its result is needed.
    last: Truncation,
}

/// A slope for negative inputs: the result is the larger of `⌊y/2^f⌋` and `⌊y·m/2^c⌋`, whatever the
/// sign; with a slope above 1, the smaller.
#[derive(Clone, Copy, Debug)]
struct Leak {
    multiplier: u8,
    steep: bool,
    /// The truncation of the elements, into a ring that has room for the product.
    extended: Truncation,
    /// The truncation of the product.
    scaled: Truncation,
    /// The truncation of the difference of both.
    difference: Truncation,
}

/// What a stage compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Input {
    /// The elements of the tensor.
    Tensor,
    /// The elements in the wider ring, times this.
    Product(u8),
    /// Both truncations of an element.
    Larger,
    /// Both truncations of an element, for the smaller.
    Smaller,
    /// Two of each window's that are left, of this round of the tournament, from 1 on.
    Pair(u32),
    /// What is left of each window, and the lower bound.
    Floor(i64),
    /// What is left of that, and the upper bound.
    Bound(i64),
    /// A part of a curve.
    Curve(Part),
}

/// The same for many elements.
#[derive(Clone, Copy, Debug)]
pub struct Stage {
    /// What is done with them.
    pub protocol: StageProtocol,
    /// Elements.
    pub len: usize,
    /// Number of its first element among those of all stages.
    pub first: usize,
    input: Input,
    last: bool,
}

impl OtActivation {
    /// The comparisons of `op`, if it can be compared at all.
    #[must_use]
    pub fn possible(op: &Op) -> Option<Self> {
        let (function, ring_in, ring_out, shift, window) = match *op {
            Op::Activation { function, ring_in, ring_out, shift, .. } => {
                (function, ring_in, ring_out, shift, None)
            }
            Op::MaxPool { function, ring_in, ring_out, shift, window } => {
                (function, ring_in, ring_out, shift, Some(window))
            }
            Op::Argmax { ring, len } => return Self::argmax(ring, len),
            _ => return None,
        };
        let (relu, lo, hi) = match function {
            Function::Leaky { multiplier, bits } => return Self::leaky(op, multiplier, bits),
            Function::Identity => (false, None, None),
            Function::Relu => (true, None, None),
            Function::Clip { lo, hi } => {
                let lo = lo.checked_shr(shift.into())?;
                (lo == 0, (lo != 0).then_some(lo), Some(hi.checked_shr(shift.into())?))
            }
            Function::PiecewiseLinear(_) => return Self::curve(op),
        };
        // Results have `bits` bits, with a sign if there is one; a bound beyond them is none, or
        // all that is left.
        let bits = ring_in.checked_sub(shift).filter(|&bits| bits >= 2)?;
        let (least, most) = (-1 << (bits - 1), (1 << (bits - 1)) - 1);
        if lo.is_some_and(|lo| lo > most) || hi.is_some_and(|hi| hi < least) {
            return None;
        }
        let bounds = [lo.filter(|&lo| lo > least), hi.filter(|&hi| hi <= most)];
        // A window of one element would leave out the others.
        if window.is_some_and(|window| window.window_len() < 2) {
            return None;
        }
        let difference = if relu { bits } else { bits + 1 };
        let [floor, bound] = bounds.map(|bound| bound.is_some());
        let ring = if floor || bound { difference } else { ring_out };
        let pairs = match window {
            Some(_) if difference > ring => return None,
            Some(_) => Some(Truncation::new(true, difference, 0, ring)?),
            None => None,
        };
        let difference_to = |is_one: bool, ring| {
            if is_one { Truncation::new(true, difference, 0, ring).map(Some) } else { Some(None) }
        };
        let bounded = [
            difference_to(floor, if bound { difference } else { ring_out })?,
            difference_to(bound, ring_out)?,
        ];
        let first = Truncation::new(relu, ring_in, shift, ring)?;
        let ((_, inputs), (_, outputs)) = (op.input(), op.output());
        Some(Self {
            pairs,
            bounded,
            window,
            bounds,
            ..Self::elementwise(Some(first), inputs as usize, outputs as usize)
        })
    }

    /// One stage, or none.
    const fn elementwise(first: Option<Truncation>, inputs: usize, outputs: usize) -> Self {
        let (bounded, bounds) = ([None; 2], [None; 2]);
        Self {
            first,
            pairs: None,
            bounded,
            inputs,
            outputs,
            window: None,
            ranks: None,
            leak: None,
            curve: None,
            bounds,
        }
    }

    fn argmax(ring: u8, len: u32) -> Option<Self> {
        let bits = (u32::BITS - len.checked_sub(1)?.leading_zeros()) as u8;
        // Differences take one bit more than values.
        let wide = ring.checked_add(bits + 1).filter(|&wide| bits > 0 && wide <= MAX_RING)?;
        let pairs = Some(Truncation::new(true, wide, 0, wide)?);
        let ranks = Some(Ranks { bits, last: Truncation::new(true, wide, 0, bits)? });
        let first = Truncation::new(false, ring, 0, ring + 1)?;
        Some(Self { pairs, ranks, ..Self::elementwise(Some(first), len as usize, 1) })
    }

    fn leaky(op: &Op, multiplier: u8, bits: u8) -> Option<Self> {
        let Op::Activation { ring_in, ring_out, shift, len, .. } = *op else { return None };
        let wide = ring_in
            .checked_add((u8::BITS - multiplier.leading_zeros()) as u8)
            .filter(|&wide| wide <= MAX_RING)?;
        let (cut, steep) = (shift.checked_add(bits)?, u32::from(multiplier) > 1 << bits);
        // One bit more than what is left of an element, or what is left of the product, in which
        // the difference lies.
        let ring = if steep { wide.checked_sub(cut)? } else { ring_in.checked_sub(shift)? + 1 };
        // What the difference is added to, or taken from, needs the bits of the result.
        let base = ring.max(ring_out);
        let [first, scaled] = if steep { [base, ring] } else { [ring, base] };
        let leak = Leak {
            multiplier,
            steep,
            extended: Truncation::new(false, ring_in, 0, wide)?,
            scaled: Truncation::new(false, wide, cut, scaled)?,
            difference: Truncation::new(true, ring, 0, ring_out)?,
        };
        let first = Truncation::new(false, ring_in, shift, first)?;
        Some(Self {
            leak: Some(leak),
            ..Self::elementwise(Some(first), len as usize, len as usize)
        })
    }

    fn curve(op: &Op) -> Option<Self> {
        let (curve, len) = (Some(Curve::of(op)?), op.output().1 as usize);
        Some(Self { curve, ..Self::elementwise(None, len, len) })
    }

    /// Elements of a window that are left after `round` rounds.
    fn remaining(&self, round: u32) -> usize {
        let width = if self.ranks.is_some() {
            self.inputs
        } else {
            self.window.map_or(1, |window| window.window_len())
        };
        (0..round).fold(width, |left, _| left.div_ceil(2))
    }

    /// Rounds of the tournament.
    fn tournament(&self) -> u32 {
        (0..usize::BITS).find(|&round| self.remaining(round) <= 1).unwrap_or(0)
    }

    /// The stages in order.
    pub fn stages(&self) -> impl Iterator<Item = Stage> + use<'_> {
        let mut first = 0;
        (0..).map_while(move |number| {
            let stage = self.stage(number, first)?;
            first += stage.len;
            Some(stage)
        })
    }

    /// Stage `number`, whose first element has this number.
    pub(crate) fn stage(&self, number: u32, first: usize) -> Option<Stage> {
        if let Some(curve) = self.curve {
            let (part, protocol, last) = curve.stage(number)?;
            return Some(Stage {
                protocol,
                len: self.inputs,
                first,
                input: Input::Curve(part),
                last,
            });
        }
        let rounds = self.tournament();
        let [floor, bound] = self.bounds;
        let [below, above] = self.bounded;
        let count = if self.leak.is_some() {
            4
        } else {
            1 + rounds + self.bounds.iter().flatten().count() as u32
        };
        if number >= count {
            return None;
        }
        let (truncation, len, input) = match (number, self.leak, floor, bound) {
            (0, ..) => (self.first?, self.inputs, Input::Tensor),
            (1, Some(leak), ..) => (leak.extended, self.inputs, Input::Tensor),
            (2, Some(leak), ..) => (leak.scaled, self.inputs, Input::Product(leak.multiplier)),
            (_, Some(leak), ..) => (
                leak.difference,
                self.inputs,
                if leak.steep { Input::Smaller } else { Input::Larger },
            ),
            (round, ..) if round <= rounds => {
                let last = self.ranks.filter(|_| round == rounds).map(|ranks| ranks.last);
                (
                    last.or(self.pairs)?,
                    self.outputs * (self.remaining(round - 1) / 2),
                    Input::Pair(round),
                )
            }
            (number, _, Some(lo), _) if number == rounds + 1 => {
                (below?, self.outputs, Input::Floor(lo))
            }
            (.., hi) => (above?, self.outputs, Input::Bound(hi?)),
        };
        let protocol = StageProtocol::DReluTruncate(DReluTruncate::new(truncation));
        Some(Stage {
            protocol,
            len,
            first,
            input,
            last: number + 1 == count && self.ranks.is_none(),
        })
    }

    /// Elements of all stages.
    #[must_use]
    pub fn len(&self) -> usize {
        self.stages().map(|stage| stage.len).fold(0, usize::saturating_add)
    }

    /// Whether there are none.
    #[cfg(any(test, feature = "unstable"))]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// OTs in which the client chooses, in which the server does, without padding.
    #[must_use]
    pub fn ots(&self) -> [usize; 2] {
        self.stages().fold([0usize; 2], |[forward, backward], Stage { protocol: m, len, .. }| {
            [
                forward.saturating_add(len.saturating_mul(m.forward_ots())),
                backward.saturating_add(len.saturating_mul(m.backward_ots())),
            ]
        })
    }

    /// Round trips.
    #[must_use]
    pub fn rounds(&self) -> u32 {
        self.stages().map(|stage| stage.protocol.rounds()).sum()
    }

    /// Bytes of the client's corrections, of the server's.
    #[must_use]
    pub fn correction_bytes(&self, repetition: Repetition) -> [u64; 2] {
        self.ots().map(|ots| (ots.div_ceil(GROUP) * repetition.correction_bytes_per_group()) as u64)
    }

    /// Bytes of one prediction, frames apart, in both directions.
    #[must_use]
    pub fn bytes(&self, repetition: Repetition) -> u64 {
        let messages = self.stages().flat_map(|stage| {
            (0..stage.protocol.rounds()).flat_map(move |number| stage.message_bytes(number))
        });
        messages.chain(self.correction_bytes(repetition)).chain([self.answer_bytes()]).sum()
    }

    /// Bits of the answer that the server sends to the client in the end: the rank of the largest
    /// element, in an argmax only.
    #[must_use]
    pub fn answer_bits(&self) -> u32 {
        self.ranks.map_or(0, |ranks| ranks.bits.into())
    }

    /// Bytes of this answer.
    #[must_use]
    pub fn answer_bytes(&self) -> u64 {
        packed_len(1, self.answer_bits())
    }

    /// The place of the largest element, from both parties' shares of its rank; `None`: there is no
    /// such element.
    pub(crate) fn answer(&self, shares: [u64; 2]) -> Option<usize> {
        let rank = shares.iter().fold(0, |sum: u64, &share| sum.wrapping_add(share))
            & ((1 << self.answer_bits()) - 1);
        self.inputs.checked_sub(1 + rank as usize)
    }

    /// Elements of the stages before this round of the tournament.
    fn before(&self, round: u32) -> usize {
        self.inputs
            + (1..round).map(|round| self.outputs * (self.remaining(round - 1) / 2)).sum::<usize>()
    }

    /// The number, among elements of all stages, of the one whose result is number `i` of what is
    /// left of window `output` after a round.
    fn place(&self, round: u32, output: usize, i: usize) -> usize {
        let before = round.checked_sub(1).map(|before| (before, self.remaining(before)));
        match before {
            None if self.ranks.is_some() => i,
            None => self.window.map_or(output, |window| window.window_element(output, i)),
            // The odd one goes on as it is.
            Some((before, left)) if i == left / 2 => self.place(before, output, left - 1),
            Some((before, left)) => {
                debug_assert!(before < round);
                self.before(round) + output * (left / 2) + i
            }
        }
    }

    /// A party's share of a result by its number, as a tournament takes it.
    fn ranked(
        &self,
        number: usize,
        server: bool,
        result: impl Fn(usize) -> Option<u64>,
    ) -> Option<u64> {
        let result = result(number)?;
        Some(match self.ranks {
            Some(Ranks { bits, .. }) if number < self.inputs => {
                let behind = if server { self.inputs - 1 - number } else { 0 };
                (result << bits).wrapping_add(behind as u64)
            }
            _ => result,
        })
    }

    /// A party's share of what element `e` of a stage compares, and of what its result is added to,
    /// or taken from. `tensor`: its shares of the operation's input; `result`: of results of
    /// elements before, by number. The server has all that is public. `None` if one of them is
    /// missing.
    pub(crate) fn shares(
        &self,
        stage: &Stage,
        e: usize,
        server: bool,
        tensor: impl Fn(usize) -> Option<u64>,
        result: impl Fn(usize) -> Option<u64>,
    ) -> Option<[u64; 2]> {
        let ring = stage.protocol.argument();
        Some(match stage.input {
            Input::Curve(part) => {
                let [argument, base] =
                    self.curve?.shares(part, (e, self.inputs), server, tensor, result)?;
                [ring.reduce(argument), base]
            }
            Input::Tensor => [ring.reduce(tensor(e)?), 0],
            Input::Pair(round) => {
                let pairs = self.remaining(round - 1) / 2;
                let [a, b] = [1, 0].map(|i| {
                    self.ranked(
                        self.place(round - 1, e / pairs, 2 * (e % pairs) + i),
                        server,
                        &result,
                    )
                });
                let (a, b) = (a?, b?);
                [ring.reduce(a.wrapping_sub(b)), b]
            }
            Input::Product(multiplier) => {
                [ring.reduce(result(self.inputs + e)?.wrapping_mul(multiplier.into())), 0]
            }
            Input::Larger => {
                let (a, b) = (result(e)?, result(2 * self.inputs + e)?);
                [ring.reduce(a.wrapping_sub(b)), b]
            }
            Input::Smaller => {
                let (a, b) = (result(e)?, result(2 * self.inputs + e)?);
                [ring.reduce(a.wrapping_sub(b)), a]
            }
            Input::Floor(lo) => {
                let own = if server { lo as u64 } else { 0 };
                [ring.reduce(result(self.place(self.tournament(), e, 0))?.wrapping_sub(own)), own]
            }
            Input::Bound(hi) => {
                let own = if server { hi as u64 } else { 0 };
                let [floor, _] = self.bounds;
                let place = if floor.is_some() {
                    self.before(self.tournament() + 1) + e
                } else {
                    self.place(self.tournament(), e, 0)
                };
                [ring.reduce(own.wrapping_sub(result(place)?)), own]
            }
        })
    }
}

impl Stage {
    /// Bytes of message `number` of the server, of the client.
    #[must_use]
    pub fn message_bytes(&self, number: u32) -> [u64; 2] {
        [self.protocol.server_bits(number), self.protocol.client_bits(number)]
            .map(|bits| packed_len(self.len as u64, bits))
    }

    /// Whether its results are the operation's output tensor.
    #[must_use]
    pub const fn is_last(&self) -> bool {
        self.last
    }

    /// The result of an element from that of the protocol, or the reverse: shares in the ring of
    /// the result.
    pub(crate) fn combine(&self, base: u64, share: u64) -> u64 {
        let ring = self.protocol.result();
        ring.reduce(if self.is_taken() {
            base.wrapping_sub(share)
        } else {
            base.wrapping_add(share)
        })
    }

    /// The protocol's result that [`Self::combine`] makes `share` of.
    pub(crate) fn part(&self, base: u64, share: u64) -> u64 {
        let ring = self.protocol.result();
        ring.reduce(if self.is_taken() {
            base.wrapping_sub(share)
        } else {
            share.wrapping_sub(base)
        })
    }

    /// Whether the protocol's result is taken from what it would be added to: of two, the smaller.
    const fn is_taken(&self) -> bool {
        matches!(self.input, Input::Bound(_) | Input::Smaller | Input::Curve(Part::Bound))
    }
}
