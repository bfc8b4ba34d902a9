//! The parts of a [`super::Neuron`] that compute its function, all but the ReLU.
//!
//! Each takes the reconstructed `y` and leaves `f(y)`, of which the low `keep` bits are needed.
//! Constants of the function are public and fold away ([`Bit::Const`]).

use super::arithmetic::{bit_length, relu, subtract};
use super::function::{MAX_PIECES, Parity, PiecewiseLinear};
use super::gates::{Bit, CAPACITY, Gates, Number};

/// Bits of the longest product of a [`leaky`] side: the multiplier has 8 bits.
const PRODUCT: usize = CAPACITY + 8;

/// Bits below the sign of every number from `least` to `greatest`, and the sign if it is the same
/// for all.
fn span(least: i64, greatest: i64) -> (usize, Option<bool>) {
    let magnitude = |x: i64| bit_length((if x < 0 { !x } else { x }) as u64);
    let sign = if least >= 0 { Some(false) } else { (greatest < 0).then_some(true) };
    (magnitude(least).max(magnitude(greatest)), sign)
}

/// `a ∨ b`.
fn or<G: Gates>(gates: &mut G, a: &Bit<G::Wire>, b: &Bit<G::Wire>) -> Bit<G::Wire> {
    let both = a.and(gates, b);
    a.xor(gates, b).xor(gates, &both)
}

/// Whether the signed number `y ≥ constant`. One AND for each bit above the constant's lowest 1,
/// none if `y` can't reach the one or the other.
fn reaches<G: Gates>(gates: &mut G, y: &Number<G::Wire>, constant: i64) -> Bit<G::Wire> {
    let below_sign = y.len().saturating_sub(1);
    let least = -1_i64 << below_sign;
    if constant <= least || constant > !least {
        return Bit::Const(constant <= least);
    }
    // The last carry of y − constant, both with inverted signs.
    let offset = constant ^ least;
    let mut carry = Bit::Const(true);
    for i in 0..=below_sign {
        let bit = y.bit(i).xor(gates, &Bit::Const(i == below_sign));
        bit.majority(gates, &Bit::Const(offset >> i & 1 == 0), &mut carry);
    }
    carry
}

/// `y = min(max(y, lo), hi)`: two comparisons with constants, then one AND for each bit.
#[inline(never)] // so that its stack is free again before the next part
pub(super) fn clip<G: Gates>(
    gates: &mut G,
    y: &mut Number<G::Wire>,
    lo: i64,
    hi: i64,
    keep: usize,
) {
    let below = reaches(gates, y, lo).not(gates);
    let above = reaches(gates, y, hi + 1);
    let outside = below.xor(gates, &above); // never both
    let least = -1_i64 << y.len().saturating_sub(1);
    let (bits, sign) = span(least.max(lo).min(hi), (!least).max(lo).min(hi));
    let mut clipped = Number::new();
    for i in 0..(bits + usize::from(sign.is_none())).min(keep) {
        let bound = below.select(lo >> i & 1 == 1).xor(gates, &above.select(hi >> i & 1 == 1));
        let bit = outside.mux(gates, &bound, y.bit(i));
        clipped.push(bit);
    }
    if let Some(sign) = sign
        && clipped.len() < keep
    {
        clipped.push(Bit::Const(sign));
    }
    *y = clipped;
}

/// From `y`, not truncated, to `y >> shift` or, where `y < 0`, to `y·multiplier >> cut`. An adder
/// for each digit of the multiplier but one, then one AND for each bit.
#[inline(never)] // as above
pub(super) fn leaky<G: Gates>(
    gates: &mut G,
    y: &mut Number<G::Wire>,
    multiplier: u8,
    cut: usize,
    shift: usize,
    keep: usize,
) {
    let (sign, below_sign) = (*y.sign(), y.len().saturating_sub(1));
    // The product only counts where y < 0: so its own sign is public, too.
    let (bits, _) = product_span(below_sign, i64::from(multiplier));
    let bits = bits.min(cut.saturating_add(keep));
    let mut product = Number::new();
    if bits > cut {
        y.set(below_sign, Bit::Const(true));
        product = negative_multiple(gates, y, multiplier, bits);
    }
    let mut result = Number::new();
    let (positive, negative) = (below_sign.saturating_sub(shift), bits.saturating_sub(cut));
    for i in 0..positive.max(negative).min(keep) {
        let right = if i < positive { y.bit(i + shift) } else { &Bit::Const(false) };
        let left = if i < negative { product.bit(i + cut) } else { &Bit::Const(true) };
        let bit = sign.mux(gates, left, right);
        result.push(bit);
    }
    if result.len() < keep {
        result.push(sign);
    }
    *y = result;
}

/// [`span`] of `y·multiple` for `−2^below_sign ≤ y < 0`.
fn product_span(below_sign: usize, multiple: i64) -> (usize, Option<bool>) {
    let (near, far) = (-multiple, -multiple << below_sign);
    span(near.min(far), near.max(far))
}

/// The low `bits` bits of `y·multiplier` for a `y` with a public sign, negative.
fn negative_multiple<G: Gates>(
    gates: &mut G,
    y: &Number<G::Wire>,
    multiplier: u8,
    bits: usize,
) -> Number<G::Wire, PRODUCT> {
    let below_sign = y.len().saturating_sub(1);
    let (plus, minus) = signed_digits(multiplier);
    // A positive one first: nothing is negated then.
    let first = plus.trailing_zeros();
    let others = (0..u16::BITS).filter(|&j| j != first && (plus | minus) >> j & 1 == 1);
    let (mut product, mut multiple) = (Number::new(), 0);
    for j in core::iter::once(first).chain(others) {
        let negative = minus >> j & 1 == 1;
        multiple += if negative { -1 } else { 1 } << j;
        let (wide, sign) = product_span(below_sign, multiple);
        product.resize(bits);
        let mut carry = Bit::Const(negative);
        let from = j as usize;
        for i in from..bits {
            let bit = if i < wide {
                let (a, mut b, wanted) = (product.bit(i), *y.bit(i - from), i + 1 < bits.min(wide));
                if negative {
                    subtract(gates, a, &mut b, &mut carry, wanted);
                } else {
                    a.add(gates, &mut b, &mut carry, wanted);
                }
                b
            } else {
                Bit::Const(sign == Some(true))
            };
            product.set(i, bit);
        }
    }
    product
}

/// `multiplier = plus − minus` with as few ones as possible: the non-adjacent form, where it has
/// fewer than the binary one.
const fn signed_digits(multiplier: u8) -> (u16, u16) {
    let binary = multiplier as u16;
    let half = binary >> 1;
    let sum = binary + half;
    let digits = half ^ sum;
    if digits.count_ones() < binary.count_ones() {
        (sum & digits, half & digits)
    } else {
        (binary, 0)
    }
}

/// A piece as the circuit adds it up, with unsigned products only: `(base + slope·t) >> shift`,
/// where a falling one takes the complement of `t`.
#[derive(Clone, Copy, Default)]
struct Piece {
    base: i64,
    slope: u64,
    falling: bool,
}

/// Most bits of a spline's input, of a slope's magnitude, and of a line's value: its product with a
/// sign, more than an offset changes.
const INPUT: usize = 14;
const SLOPE: usize = 16;
const LINE: usize = INPUT + SLOPE + 2;
/// The pieces, then what stands beyond the last, then what stands on the other side of a
/// [`Parity::Left`].
const ENTRIES: usize = MAX_PIECES + 2;

impl Piece {
    fn table(s: &PiecewiseLinear, low: usize) -> [Self; ENTRIES] {
        let most = (1_i64 << low) - 1;
        let mut table = [Self::default(); ENTRIES];
        for ((entry, &offset), &slope) in table.iter_mut().zip(&s.offsets).zip(&s.slopes) {
            let slope = if low == 0 { 0 } else { i64::from(slope) };
            let base = (i64::from(offset) << s.shift) + slope.min(0) * most;
            *entry = Self { base, slope: slope.unsigned_abs(), falling: slope < 0 };
        }
        let last = table
            .get(s.pieces() - 1)
            .map_or(0, |p| p.at(if p.falling { 0 } else { most }, s.shift));
        if let Some(beyond) = table.get_mut(s.pieces()) {
            *beyond = Self { base: last << s.shift, ..Self::default() };
        }
        if let Some(other) = table.get_mut(s.pieces() + 1) {
            *other = Self::default();
        }
        table
    }

    const fn at(&self, t: i64, shift: u8) -> i64 {
        (self.base + self.slope as i64 * t) >> shift
    }
}

/// From the truncated `y` to the spline's value without its constant
/// ([`super::Function::constant`]); an odd one lacks 1 more where `y < 0`.
///
/// ANDs: one for each bit of the magnitude beyond `input_bits`, `2^index_bits − 1` to choose the
/// piece, `2ab − max(a, b)` for the product of `a` bits of `t` and `b` of the slopes, one for each
/// bit of the result to add the offset. The other side costs nothing; `plus_relu` a ReLU and, but
/// for [`Parity::Left`], an adder. A sigmoid of 16 pieces from `Z_{2^24}`, 10 bits cut off,
/// `input_bits` 11 and slopes of 6 bits takes 99 ANDs, with both shares and the new one (20 bits)
/// 141.
#[inline(never)] // as above
pub(super) fn spline<G: Gates>(
    gates: &mut G,
    y: &mut Number<G::Wire>,
    s: &PiecewiseLinear,
    keep: usize,
) {
    let low = usize::from(s.input_bits - s.index_bits);
    let table = Piece::table(s, low);
    let (mut t, mut hot) = (Number::new(), Number::new());
    choose_piece(gates, y, s, &table, &mut t, &mut hot);
    let v = line(gates, s, &table, &t, &hot, keep);
    let (turned, mut width) = (y.sign().select(s.parity == Parity::Odd), v.len());
    // To the left the ReLU is 0, to the right nothing else is there: no carries.
    let carries = s.plus_relu && s.parity != Parity::Left;
    if s.plus_relu {
        relu(gates, y, keep);
        width = (width.max(y.len()) + usize::from(carries)).min(keep);
    } else {
        y.resize(1);
        y.set(0, Bit::Const(false));
    }
    y.resize(width);
    let mut carry = Bit::Const(false);
    for i in 0..width {
        let mut sum = v.bit(i).xor(gates, &turned);
        y.bit(i).add(gates, &mut sum, &mut carry, carries && i + 1 < width);
        y.set(i, sum);
    }
}

/// Fills two empty numbers: with the low bits `t` of the magnitude, turned round for a falling
/// piece, and with `hot`, for each entry of the table whether it is the one.
#[inline(never)] // as above
fn choose_piece<G: Gates>(
    gates: &mut G,
    y: &Number<G::Wire>,
    s: &PiecewiseLinear,
    table: &[Piece; ENTRIES],
    u: &mut Number<G::Wire, INPUT>,
    hot: &mut Number<G::Wire, ENTRIES>,
) {
    let (inner, low) = (usize::from(s.input_bits), usize::from(s.input_bits - s.index_bits));
    let mut beyond = Bit::Const(false);
    for i in 0..inner.max(y.len().saturating_sub(1)) {
        let bit = y.bit(i).xor(gates, y.sign());
        if i < inner {
            u.push(if i + 1 < y.len() { bit } else { Bit::Const(false) });
        } else {
            beyond = or(gates, &beyond, &bit);
        }
    }
    let left = s.parity == Parity::Left;
    let other = y.sign().not(gates).select(left);
    let outside = or(gates, &beyond, &other);
    // Where slopes have several ones in common it is cheaper to keep these public and to let t
    // stop, too.
    let common = table.iter().take(s.pieces()).fold(u64::MAX, |ones, p| ones & p.slope);
    let stop = !left && common.count_ones() > 1;
    for i in if stop { 0 } else { low }..inner {
        let bit = or(gates, u.bit(i), &outside);
        u.set(i, bit);
    }
    hot.push(Bit::Const(true));
    for i in (low..inner).rev() {
        split(gates, hot, u.bit(i));
    }
    if !stop {
        // What is outside went to the last piece.
        let last = hot.len() - 1;
        let bit = hot.bit(last).xor(gates, &outside);
        hot.set(last, bit);
        let saturated = outside.xor(gates, &other);
        hot.push(saturated);
        hot.push(other);
    }
    let falling = look_up(gates, hot, table, |p| p.falling);
    u.resize(low);
    for i in 0..low {
        let bit = u.bit(i).xor(gates, &falling);
        u.set(i, bit);
    }
}

/// Each wire of `hot` becomes two: with the next bit of the index 0, and 1. One AND each, but for
/// the first: one of all is 1.
fn split<G: Gates>(gates: &mut G, hot: &mut Number<G::Wire, ENTRIES>, index: &Bit<G::Wire>) {
    let len = hot.len();
    hot.resize(2 * len);
    let mut rest = *index;
    for i in (0..len).rev() {
        let one = if i > 0 { hot.bit(i).and(gates, index) } else { rest };
        rest = rest.xor(gates, &one);
        let zero = hot.bit(i).xor(gates, &one);
        hot.set(2 * i, zero);
        hot.set(2 * i + 1, one);
    }
}

/// A bit of the entry that is chosen: public where all entries have the same.
fn look_up<G: Gates>(
    gates: &mut G,
    hot: &Number<G::Wire, ENTRIES>,
    table: &[Piece; ENTRIES],
    bit: impl Fn(&Piece) -> bool,
) -> Bit<G::Wire> {
    if possible(hot, table).all(|(_, piece)| bit(piece)) {
        return Bit::Const(true);
    }
    possible(hot, table)
        .fold(Bit::Const(false), |sum, (wire, piece)| sum.xor(gates, &wire.select(bit(piece))))
}

/// The entries that may be chosen.
fn possible<'a, W: Copy>(
    hot: &'a Number<W, ENTRIES>,
    table: &'a [Piece; ENTRIES],
) -> impl Iterator<Item = (&'a Bit<W>, &'a Piece)> {
    let wires = (0..hot.len()).map(|i| hot.bit(i));
    wires.zip(table).filter(|(wire, _)| !matches!(wire, Bit::Const(false)))
}

/// `(base + slope·t) >> shift` of the chosen entry.
#[inline(never)] // as above
fn line<G: Gates>(
    gates: &mut G,
    s: &PiecewiseLinear,
    table: &[Piece; ENTRIES],
    t: &Number<G::Wire, INPUT>,
    hot: &Number<G::Wire, ENTRIES>,
    keep: usize,
) -> Number<G::Wire, LINE> {
    let mask = |bits: usize| (1_u64 << bits) - 1;
    let steepest = table.iter().map(|p| p.slope).max().unwrap_or(0);
    let mut slope = Number::<_, SLOPE>::new();
    for i in 0..bit_length(steepest) {
        let bit = look_up(gates, hot, table, |p| p.slope >> i & 1 == 1);
        slope.push(bit);
    }
    let product = if slope.len() <= t.len() {
        let most =
            |rows| table.iter().map(|p| p.slope & mask(rows)).max().unwrap_or(0) * mask(t.len());
        multiply(gates, t, &slope, most)
    } else {
        multiply(gates, &slope, t, |rows| steepest * mask(rows))
    };
    let ends = possible(hot, table).map(|(_, p)| {
        let ends = [0, mask(t.len()) as i64].map(|t| p.at(t, s.shift));
        (ends[0].min(ends[1]), ends[0].max(ends[1]))
    });
    let (least, greatest) = ends.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))).unwrap_or_default();
    let (bits, sign) = span(least, greatest);
    let width = (bits + usize::from(sign.is_none())).min(keep);
    let (mut v, mut carry) = (Number::new(), Bit::Const(false));
    let shift = usize::from(s.shift);
    for i in 0..shift + width {
        let mut sum = look_up(gates, hot, table, |p| p.base >> i & 1 == 1);
        product.bit(i).add(gates, &mut sum, &mut carry, i + 1 < shift + width);
        if i >= shift {
            v.push(sum);
        }
    }
    if let Some(sign) = sign
        && width < keep
    {
        v.push(Bit::Const(sign));
    }
    v
}

/// `a·b`, both unsigned and as long as they are, with a public sign; `most(k)`: the largest product
/// with the low `k` bits of `b`.
fn multiply<G: Gates, const A: usize, const B: usize>(
    gates: &mut G,
    a: &Number<G::Wire, A>,
    b: &Number<G::Wire, B>,
    most: impl Fn(usize) -> u64,
) -> Number<G::Wire, LINE> {
    let mut product = Number::new();
    product.push(Bit::Const(false));
    for j in 0..b.len() {
        let width = bit_length(most(j + 1));
        product.resize(width + 1);
        let mut carry = Bit::Const(false);
        for i in j..width {
            let mut sum =
                if i - j < a.len() { a.bit(i - j).and(gates, b.bit(j)) } else { Bit::Const(false) };
            product.bit(i).add(gates, &mut sum, &mut carry, i + 1 < width);
            product.set(i, sum);
        }
    }
    product
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;
    use crate::garble::{Circuit as _, Function, Neuron};
    use crate::garble::{bits, plain, totals};
    use crate::ring::Modulus;
    use std::vec::Vec;

    /// A small deterministic generator.
    struct Lcg(u64);
    impl Lcg {
        fn next(&mut self) -> u64 {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            self.0 >> 24
        }
        fn below(&mut self, n: u64) -> u64 {
            self.next() % n
        }
        /// A signed number of `bits` bits.
        fn signed(&mut self, bits: u32) -> i64 {
            self.below(1 << bits) as i64 - (1 << (bits - 1))
        }
        fn spline(&mut self, most_input: u64) -> PiecewiseLinear {
            let input_bits = 1 + self.below(most_input) as u8;
            let index_bits = self.below(6).min(input_bits.into()) as u8;
            let parity = [Parity::Odd, Parity::Even, Parity::Left][self.below(3) as usize];
            let mut s = PiecewiseLinear {
                parity,
                plus_relu: self.below(2) == 1,
                input_bits,
                index_bits,
                shift: self.below(16) as u8,
                centre: self.signed(20) as i32,
                offsets: [0; MAX_PIECES],
                slopes: [0; MAX_PIECES],
            };
            // All signs, wide and narrow, with bits in common, constant.
            let (wide, steep, kind, base) = (
                1 + self.below(16) as u32,
                1 + self.below(16) as u32,
                self.below(5),
                self.signed(16) as i16,
            );
            for i in 0..s.pieces() {
                let slope = self.signed(steep) as i16;
                s.offsets[i] = self.signed(wide) as i16;
                s.slopes[i] = match kind {
                    0 => slope.saturating_abs(),
                    1 => -slope.saturating_abs(),
                    2 => slope | base,
                    3 => base,
                    _ => slope,
                };
            }
            s
        }
        fn function(&mut self, ring: u32) -> Function {
            match self.below(4) {
                0 => {
                    let (a, b) = (self.signed(ring + 1), self.signed(ring + 1));
                    Function::Clip { lo: a.min(b), hi: a.max(b) }
                }
                1 => Function::Leaky {
                    multiplier: 1 + self.below(255) as u8,
                    bits: self.below(16) as u8,
                },
                _ => {
                    Function::PiecewiseLinear(self.spline(if ring < 9 { ring.into() } else { 14 }))
                }
            }
        }
    }

    /// The circuit on one input against the definition; the server's share is `y − c`.
    fn hold(circuit: &Neuron, y: i64, c: u64, r: u64) {
        let (m, out) = (circuit.modulus_in, circuit.modulus_out);
        let s = m.sub(m.reduce_signed(y), m.reduce(c));
        let r = out.reduce(r);
        let got = plain(
            circuit,
            bits(s, m.bits()),
            bits(m.reduce(c), m.bits()).chain(bits(r, out.bits())),
        );
        let wanted = out.reduce_signed(
            circuit.function.apply(y, circuit.shift) - circuit.function.constant() - r as i64,
        );
        assert_eq!(got, Ok(wanted), "{circuit:?} {y} {c} {r}");
    }

    fn neuron(function: Function, ring_in: u32, ring_out: u32, shift: u8) -> Neuron {
        let circuit = Neuron {
            function,
            modulus_in: Modulus::Bits(ring_in as u8),
            modulus_out: Modulus::Bits(ring_out as u8),
            shift,
        };
        assert_eq!(circuit.check(), Ok(()), "{circuit:?}");
        circuit
    }

    #[test]
    fn small_rings_hold_exhaustively() {
        let mut g = Lcg(1);
        for _ in 0..6000 {
            let (ring, ring_out) = (1 + g.below(7) as u32, 1 + g.below(9) as u32);
            let shift = g.below(4).min(u64::from(ring)) as u8;
            let circuit = neuron(g.function(ring), ring, ring_out, shift);
            for y in -(1 << (ring - 1))..1 << (ring - 1) {
                hold(&circuit, y, g.next(), g.next());
            }
        }
    }

    #[test]
    fn clip_and_leaky_hold_for_all_parameters() {
        for (ring, shift) in [(1, 0), (2, 0), (4, 0), (4, 1), (5, 2), (4, 9)] {
            for lo in -18..18 {
                for hi in lo..18 {
                    let circuit = neuron(Function::Clip { lo, hi }, ring, 6, shift);
                    (-(1 << (ring - 1))..1 << (ring - 1)).for_each(|y| hold(&circuit, y, 5, 3));
                }
            }
            for (multiplier, bits) in (1..=255).flat_map(|m| [0, 1, 4, 8, 15].map(|b| (m, b))) {
                let circuit = neuron(Function::Leaky { multiplier, bits }, ring, 14, shift);
                (-(1 << (ring - 1))..1 << (ring - 1)).for_each(|y| hold(&circuit, y, 5, 3));
            }
        }
    }

    #[test]
    fn large_rings_hold_at_random() {
        let mut g = Lcg(2);
        for _ in 0..6000 {
            let (ring, ring_out) = (20 + g.below(25) as u32, 8 + g.below(37) as u32);
            let shift = g.below(u64::from(ring) - 1) as u8;
            let circuit = neuron(g.function(ring.min(43)), ring, ring_out, shift);
            for _ in 0..12 {
                // All magnitudes, around every bound.
                let magnitude = 2 + g.below(u64::from(ring) - 1) as u32;
                let y = g.signed(magnitude);
                hold(&circuit, y, g.next(), g.next());
            }
            for y in [0, -1, 1, -2, (1 << (ring - 1)) - 1, -(1 << (ring - 1))] {
                hold(&circuit, y, g.next(), g.next());
            }
            if let Function::PiecewiseLinear(s) = circuit.function {
                let edge = 1_i64 << (u32::from(s.input_bits) + u32::from(shift)).min(ring - 1);
                [edge - 1, -edge].into_iter().for_each(|y| hold(&circuit, y, g.next(), g.next()));
            }
        }
    }

    /// `ANDs` of what stands between the two shares of a neuron and its re-sharing.
    fn own(function: Function, ring_in: u32, ring_out: u32, shift: u8) -> u32 {
        totals(&neuron(function, ring_in, ring_out, shift)).ands - (ring_in - 1) - (ring_out - 1)
    }

    #[test]
    fn typical_functions_cost_what_the_documentation_says() {
        // 0 to 6 in steps of 2^-10, five bits of which are cut off: two bits are choices of wires,
        // twelve compared, eight chosen.
        assert_eq!(own(Function::Clip { lo: 0, hi: (6 << 10) - 1 }, 24, 20, 5), 20);
        assert_eq!(own(Function::Clip { lo: -100, hi: 100 }, 24, 20, 0), 21 + 23 + 8);
        let constant = Function::Clip { lo: 1 << 30, hi: 1 << 31 };
        assert!(totals(&neuron(constant, 24, 20, 0)).ands <= 23 + 19);
        let leaky = |multiplier, bits| own(Function::Leaky { multiplier, bits }, 24, 20, 10);
        assert_eq!([leaky(1, 3), leaky(1, 0), leaky(41, 12), leaky(205, 11)], [13, 13, 59, 105]);
        // 256 steps of output, pieces of 1/2 up to 8, the input in steps of 2^-8.
        let at = |i: i16| 127.5 * (2.0 / (1.0 + (-f64::from(i) / 2.0).exp()) - 1.0);
        let (mut offsets, mut slopes) = ([0; MAX_PIECES], [0; MAX_PIECES]);
        for i in 0..16_i16 {
            offsets[i as usize] = at(i) as i16;
            slopes[i as usize] = ((at(i + 1) - at(i)) * 2.0) as i16;
        }
        assert_eq!(slopes[0], 62, "six bits");
        let sigmoid = PiecewiseLinear {
            parity: Parity::Odd,
            plus_relu: false,
            input_bits: 11,
            index_bits: 4,
            shift: 8,
            centre: 128,
            offsets,
            slopes,
        };
        let spline = |s| own(Function::PiecewiseLinear(s), 24, 20, 10);
        // Saturated, piece, product, offset.
        assert_eq!(spline(sigmoid), 1 + 15 + (2 * 7 * 6 - 7) + 6);
        assert_eq!(totals(&neuron(Function::PiecewiseLinear(sigmoid), 24, 20, 10)).ands, 141);
        for (parity, plus_relu, ands) in [
            (Parity::Even, false, 99),
            (Parity::Even, true, 125),
            (Parity::Left, false, 100),
            (Parity::Left, true, 113),
        ] {
            assert_eq!(spline(PiecewiseLinear { parity, plus_relu, ..sigmoid }), ands);
        }
        // What is the same in all pieces costs nothing but its additions.
        let flat = PiecewiseLinear { slopes: [0; MAX_PIECES], ..sigmoid };
        assert_eq!(spline(flat), 1 + 15);
        let steps = PiecewiseLinear { index_bits: 4, input_bits: 4, ..sigmoid };
        assert_eq!(spline(steps), 8 + 15);
        let mut line = PiecewiseLinear {
            index_bits: 0,
            offsets: [0; MAX_PIECES],
            slopes: [0; MAX_PIECES],
            ..sigmoid
        };
        line.slopes[0] = 5;
        assert_eq!(spline(line), 1 + 11 + 11);
    }

    /// Eight calls of an instance's key for each AND.
    #[test]
    fn no_instance_takes_more_than_2_to_the_13_calls() {
        let mut most = 0;
        for (index_bits, parity) in
            (0..6).flat_map(|i| [Parity::Odd, Parity::Even, Parity::Left].map(|p| (i, p)))
        {
            let (mut offsets, mut slopes) = ([0; MAX_PIECES], [0; MAX_PIECES]);
            for i in 0..1 << index_bits {
                (offsets[i], slopes[i]) =
                    (0x5555_i16.rotate_left(i as u32), [i16::MIN, 0x5555, 0x2aaa][i % 3]);
            }
            let s = PiecewiseLinear {
                parity,
                plus_relu: true,
                input_bits: 14,
                index_bits,
                shift: 0,
                centre: 0,
                offsets,
                slopes,
            };
            most = most.max(totals(&neuron(Function::PiecewiseLinear(s), 44, 44, 0)).ands);
        }
        for multiplier in 1..=u8::MAX {
            most =
                most.max(totals(&neuron(Function::Leaky { multiplier, bits: 0 }, 44, 44, 0)).ands);
        }
        assert!((512..=1024).contains(&most), "{most}");
    }

    #[test]
    fn multipliers_have_few_digits() {
        for m in 0..=u8::MAX {
            let (plus, minus) = signed_digits(m);
            assert_eq!(plus - minus, u16::from(m));
            assert_eq!(plus & minus, 0);
            assert!(plus.count_ones() + minus.count_ones() <= m.count_ones().min(5), "{m}");
        }
    }

    #[test]
    fn what_is_not_valid_is_refused() {
        let good = neuron(Function::PiecewiseLinear(Lcg(3).spline(14)), 24, 20, 10);
        for ring in [Modulus::Odd(101), Modulus::Bits(0)] {
            assert_eq!(Neuron { modulus_in: ring, ..good }.check(), Err(Error::Internal));
            assert_eq!(Neuron { modulus_out: ring, ..good }.check(), Err(Error::Internal));
        }
        let Function::PiecewiseLinear(s) = good.function else { unreachable!() };
        let splines = [
            PiecewiseLinear { input_bits: 0, index_bits: 0, ..s },
            PiecewiseLinear { input_bits: 15, ..s },
            PiecewiseLinear { index_bits: s.input_bits + 1, ..s },
            PiecewiseLinear { input_bits: 14, index_bits: 6, ..s },
            PiecewiseLinear { shift: 16, ..s },
            PiecewiseLinear { centre: 1 << 20, ..s },
            PiecewiseLinear { index_bits: 0, offsets: [1; MAX_PIECES], ..s },
            PiecewiseLinear { index_bits: 0, slopes: [1; MAX_PIECES], ..s },
        ];
        let others = [
            Function::Clip { lo: 1, hi: 0 },
            Function::Clip { lo: -(1 << 43) - 1, hi: 0 },
            Function::Clip { lo: 0, hi: 1 << 43 },
            Function::Leaky { multiplier: 0, bits: 1 },
            Function::Leaky { multiplier: 1, bits: 16 },
        ];
        let bad: Vec<Function> =
            splines.into_iter().map(Function::PiecewiseLinear).chain(others).collect();
        for function in bad {
            assert_eq!(Neuron { function, ..good }.check(), Err(Error::Internal), "{function:?}");
        }
    }
}
