//! The circuits of the non-linear layers, each written once.
//!
//! Every circuit first adds the two shares and reads the sum signed, and (but for [`Argmax`]) last
//! subtracts the client's mask, so that the server gets its share `x_s = f(y) − r` of the next
//! layer's input (paper, Figures 6, 7 and 9). For rings `Z_{2^ℓ}` an adder costs one AND per bit
//! but the last. Truncation by `shift` bits, exact and rounding down, is a choice of wires.

use super::activation;
use super::arithmetic::{add_multiple, at_least, bit_length, choose, greater, relu, subtract};
use super::circuit::Circuit;
use super::function::{Function, Parity, PiecewiseLinear};
use super::gates::{Bit, Gates, Number};
use crate::ring::Modulus;
use crate::{Error, Result, params};

/// Most values that [`Max`] or [`Argmax`] compares: the index has 16 bits.
pub const MAX_INPUTS: u32 = 1 << INDEX_BITS;
const INDEX_BITS: usize = 16;

/// `x_s = f(y_s + y_c) − r`, reduced mod `modulus_out` as it is, with [`Function::apply`] for `f`,
/// truncation included; but for the [`Function::constant`], which the server adds afterwards.
///
/// Inputs: the server's share (`modulus_in.bits()` bits, least significant first), the client's
/// share (the same), the client's mask `r` (`modulus_out.bits()` bits). Outputs: the
/// `modulus_out.bits()` bits of `x_s`. One step. ANDs from `Z_{2^ℓ}` to `Z_{2^ℓ'}`: `ℓ−1`, for ReLU
/// `min(ℓ−1−shift, ℓ')`, for others what `activation.rs` says, and `ℓ'−1`. Leaky and spline know no
/// `N`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neuron {
    /// The activation.
    pub function: Function,
    /// Ring of `y`'s shares.
    pub modulus_in: Modulus,
    /// Ring of `r` and `x_s`.
    pub modulus_out: Modulus,
    /// Bits to truncate.
    pub shift: u8,
}

impl Circuit for Neuron {
    type State<W: Copy> = ();

    fn start<W: Copy>(&self) {}

    fn steps(&self) -> usize {
        1
    }

    fn step<G: Gates>(&self, gates: &mut G, _state: &mut (), _step: usize) {
        let (keep, shift) = (kept_bits(self.modulus_out), usize::from(self.shift));
        // A product needs all bits, the others none of those that are cut off.
        let at_once = if matches!(self.function, Function::Leaky { .. }) { 0 } else { self.shift };
        let mut y = Number::new();
        reconstruct(gates, self.modulus_in, at_once, &mut y);
        let mut carry = Bit::Const(true);
        if let Function::PiecewiseLinear(PiecewiseLinear { parity: Parity::Odd, .. }) =
            self.function
        {
            // −v is ¬v + 1: the 1 goes where the re-share has room for it, instead of another that
            // the server adds.
            carry = *y.sign();
        }
        match &self.function {
            Function::Identity => {}
            Function::Relu => relu(gates, &mut y, keep),
            // Rounding down is monotone: so bounds may be rounded as well.
            Function::Clip { lo, hi } => {
                activation::clip(gates, &mut y, lo >> shift.min(63), hi >> shift.min(63), keep)
            }
            Function::Leaky { multiplier, bits } => {
                activation::leaky(
                    gates,
                    &mut y,
                    *multiplier,
                    usize::from(*bits) + shift,
                    shift,
                    keep,
                );
            }
            Function::PiecewiseLinear(spline) => activation::spline(gates, &mut y, spline, keep),
        }
        reshare(gates, &y, &mut carry, self.modulus_out);
    }

    fn check(&self) -> Result<()> {
        check_modulus(self.modulus_in)?;
        check_modulus(self.modulus_out)?;
        let simple =
            matches!(self.function, Function::Identity | Function::Relu | Function::Clip { .. });
        let rings =
            matches!((self.modulus_in, self.modulus_out), (Modulus::Bits(_), Modulus::Bits(_)));
        if self.function.is_valid() && (simple || rings) { Ok(()) } else { Err(Error::Internal) }
    }
}

/// `x_s = (max_i(y_i) >> shift) − r`, or of `max(max_i(y_i), 0)`: a pooling window, and its ReLU
/// for the price of one comparison with 0.
///
/// Step `i` inputs the server's and the client's share of `y_i` (bits as in [`Neuron`]); the last
/// step inputs the client's mask, too, and outputs `x_s`. Truncation is monotone, so it comes
/// before the comparisons and narrows them. ANDs, with `w = ℓ − shift`: `k(ℓ−1)` to reconstruct,
/// `2w(k−1)` to compare and choose, `ℓ'−1` to re-share; with ReLU `w−1` more for the first value
/// and `k−1` less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Max {
    /// Ring of the values' shares.
    pub modulus_in: Modulus,
    /// Ring of `r` and `x_s`.
    pub modulus_out: Modulus,
    /// How many values.
    pub inputs: u32,
    /// Bits to truncate.
    pub shift: u8,
    /// Whether the result is at least 0.
    pub relu: bool,
}

impl Circuit for Max {
    type State<W: Copy> = Number<W>;

    fn start<W: Copy>(&self) -> Number<W> {
        Number::new()
    }

    fn steps(&self) -> usize {
        self.inputs as usize
    }

    fn step<G: Gates>(&self, gates: &mut G, max: &mut Number<G::Wire>, step: usize) {
        let mut y = Number::new();
        reconstruct(gates, self.modulus_in, self.shift, &mut y);
        if step > 0 {
            let more = greater(gates, &y, max);
            choose(gates, &more, &y, max);
        } else {
            *max = y;
            if self.relu {
                // From here on the maximum is at least 0, and its sign is public.
                let width = max.len();
                relu(gates, max, width);
            }
        }
        if step + 1 == self.steps() {
            reshare(gates, max, &mut Bit::Const(true), self.modulus_out);
        }
    }

    fn check(&self) -> Result<()> {
        check_inputs(self.inputs)?;
        check_modulus(self.modulus_in)?;
        check_modulus(self.modulus_out)
    }
}

/// The index of the largest of `inputs` values, the lowest if several are: a classifier's answer.
///
/// Step `i` inputs the server's and the client's share of `y_i`; the last step outputs the index,
/// `⌈log2(inputs)⌉` bits. ANDs: the first step `ℓ−1`, the others `3ℓ−1` and one for each index bit
/// that is not yet public; the last `ℓ` less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argmax {
    /// Ring of the values' shares.
    pub modulus: Modulus,
    /// How many values.
    pub inputs: u32,
}

/// The largest value so far and its index.
#[derive(Clone, Debug)]
pub struct Leader<W> {
    value: Number<W>,
    index: Number<W, INDEX_BITS>,
}

impl Circuit for Argmax {
    type State<W: Copy> = Leader<W>;

    fn start<W: Copy>(&self) -> Leader<W> {
        Leader { value: Number::new(), index: Number::new() }
    }

    fn steps(&self) -> usize {
        self.inputs as usize
    }

    fn step<G: Gates>(&self, gates: &mut G, leader: &mut Leader<G::Wire>, step: usize) {
        let mut y = Number::new();
        reconstruct(gates, self.modulus, 0, &mut y);
        let last = step + 1 == self.steps();
        if step == 0 {
            leader.value = y;
            for _ in 0..self.index_bits() {
                leader.index.push(Bit::Const(false));
            }
            return;
        }
        let more = greater(gates, &y, &leader.value);
        for i in 0..leader.index.len() {
            let index = more.mux(gates, &Bit::Const(step >> i & 1 == 1), leader.index.bit(i));
            leader.index.set(i, index);
            if last {
                index.output(gates);
            }
        }
        if !last {
            choose(gates, &more, &y, &mut leader.value);
        }
    }

    fn check(&self) -> Result<()> {
        check_inputs(self.inputs)?;
        check_modulus(self.modulus)
    }
}

impl Argmax {
    /// Bits of the index: `⌈log2(inputs)⌉`.
    #[must_use]
    pub const fn index_bits(&self) -> u32 {
        u32::BITS - self.inputs.saturating_sub(1).leading_zeros()
    }
}

fn check_modulus(modulus: Modulus) -> Result<()> {
    let widest = u32::from(params::MAX_RING_BITS);
    let fits = match modulus {
        Modulus::Bits(l) => l >= 1 && u32::from(l) <= widest,
        Modulus::Odd(n) => n >= 3 && n % 2 == 1 && modulus.bits() <= widest,
    };
    if fits { Ok(()) } else { Err(Error::Internal) }
}

fn check_inputs(inputs: u32) -> Result<()> {
    if (1..=MAX_INPUTS).contains(&inputs) { Ok(()) } else { Err(Error::Internal) }
}

/// How many low bits of a value decide its residue.
fn kept_bits(modulus: Modulus) -> usize {
    match modulus {
        Modulus::Bits(l) => l.into(),
        Modulus::Odd(_) => usize::MAX,
    }
}

/// Takes the next element of both parties; of the empty `y` makes `y_s + y_c` read signed, without
/// its low `shift` bits. `modulus.bits() − shift` bits, at least the sign. ANDs: `ℓ−1`, or at most
/// `4k` for `N` of `k` bits.
#[inline(never)] // so that its stack is free again before the next part
fn reconstruct<G: Gates>(gates: &mut G, modulus: Modulus, shift: u8, y: &mut Number<G::Wire>) {
    let (width, shift) = (modulus.bits() as usize, usize::from(shift));
    let mut carry = Bit::Const(false);
    for i in 0..width {
        let (s, mut sum) = (Bit::Wire(gates.server_input()), Bit::Wire(gates.client_input()));
        let odd = matches!(modulus, Modulus::Odd(_));
        s.add(gates, &mut sum, &mut carry, odd || i + 1 < width);
        if odd || i >= shift || i + 1 == width {
            y.push(sum);
        }
    }
    if let Modulus::Odd(n) = modulus {
        y.push(carry);
        read_signed(gates, y, n, shift);
    }
}

/// From the sum `t < 2N` of two elements to the signed number it stands for, without its low
/// `shift` bits. With `h = ⌈N/2⌉` that is `t − N·[t ≥ h] − N·[t ≥ N+h]`, and lies strictly between
/// `−h` and `h ≤ 2^(k−1)`.
fn read_signed<G: Gates>(gates: &mut G, t: &mut Number<G::Wire>, n: u64, shift: usize) {
    let h = n.div_ceil(2);
    let once = at_least(gates, t, h);
    let twice = at_least(gates, t, n + h);
    let only_once = once.xor(gates, &twice);
    let (width, mut carry) = (bit_length(n), Bit::Const(true));
    for i in 0..width {
        let mut multiple =
            only_once.select(n >> i & 1 == 1).xor(gates, &twice.select(n << 1 >> i & 1 == 1));
        subtract(gates, t.bit(i), &mut multiple, &mut carry, i + 1 < width);
        // In place and shifted: what falls below bit 0 is overwritten there.
        t.set(i.saturating_sub(shift), multiple);
    }
    t.resize(width.saturating_sub(shift).max(1));
}

/// Takes the client's mask `r` and outputs `v − r mod modulus`, with `borrow`, in fact the first
/// carry, 1; for `Z_{2^ℓ}` it may be 0: then 1 less. ANDs: `ℓ'−1`; for `N` of `k` bits and `|v| <
/// N`, `2k−1` if `v` is known not to be negative, else at most `4k+2`.
#[inline(never)] // as above
fn reshare<G: Gates>(
    gates: &mut G,
    v: &Number<G::Wire>,
    borrow: &mut Bit<G::Wire>,
    modulus: Modulus,
) {
    let k = modulus.bits() as usize;
    let n = match modulus {
        Modulus::Bits(_) => {
            for i in 0..k {
                let mut r = Bit::Wire(gates.client_input());
                subtract(gates, v.bit(i), &mut r, borrow, i + 1 < k);
                r.output(gates);
            }
            return;
        }
        Modulus::Odd(n) => n,
    };
    // d = v − r lies in [−below − (N−1), above): one bit more than that for the sign.
    let above = 1_u64 << v.len().saturating_sub(1);
    let below = if matches!(v.sign(), Bit::Const(false)) { 0 } else { above };
    let deepest = below + (n - 1);
    let width = bit_length((deepest - 1).max(above - 1)) + 1;
    let mut d = Number::new();
    for i in 0..width {
        let mut r = if i < k { Bit::Wire(gates.client_input()) } else { Bit::Const(false) };
        subtract(gates, v.bit(i), &mut r, borrow, i + 1 < width);
        d.push(r);
    }
    // Into [0, 2^j·N) by one addition, then down to [0, N) by halves.
    let mut multiple = n;
    while multiple < deepest || multiple < above {
        multiple <<= 1;
    }
    let negative = *d.sign();
    add_multiple(gates, &mut d, multiple, &negative, false);
    while multiple > n {
        multiple >>= 1;
        let over = at_least(gates, &d, multiple);
        add_multiple(gates, &mut d, multiple, &over, true);
    }
    for i in 0..k {
        d.bit(i).output(gates);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::garble::{GateCounts, bits, plain, shape, totals};
    use std::vec::Vec;

    const RINGS: [Modulus; 7] = [
        Modulus::Bits(1),
        Modulus::Bits(2),
        Modulus::Bits(3),
        Modulus::Bits(5),
        Modulus::Odd(3),
        Modulus::Odd(7),
        Modulus::Odd(19),
    ];

    fn elements(m: Modulus) -> core::ops::Range<u64> {
        0..m.value()
    }

    /// The definition: floor, then the residue as it is.
    fn wanted(value: i64, shift: u8, r: u64, out: Modulus) -> u64 {
        out.reduce_signed((value >> shift) - r as i64)
    }

    #[test]
    fn neuron_is_its_definition_exhaustively() {
        for modulus_in in RINGS {
            for modulus_out in RINGS {
                let functions = [
                    Function::Identity,
                    Function::Relu,
                    Function::Clip { lo: -2, hi: 1 },
                    Function::Clip { lo: 0, hi: 3 },
                ];
                for (shift, function) in
                    [0, 1, 3].into_iter().flat_map(|s| functions.map(|f| (s, f)))
                {
                    let circuit = Neuron { function, modulus_in, modulus_out, shift };
                    let (k, ko) = (modulus_in.bits(), modulus_out.bits());
                    for (s, c) in
                        elements(modulus_in).flat_map(|s| elements(modulus_in).map(move |c| (s, c)))
                    {
                        let y = modulus_in.to_signed(modulus_in.add(s, c));
                        let f = match function {
                            Function::Relu => y.max(0),
                            Function::Clip { lo, hi } => y.clamp(lo, hi),
                            _ => y,
                        };
                        for r in elements(modulus_out) {
                            let got = plain(&circuit, bits(s, k), bits(c, k).chain(bits(r, ko)));
                            assert_eq!(
                                got,
                                Ok(wanted(f, shift, r, modulus_out)),
                                "{circuit:?} {s} {c} {r}"
                            );
                        }
                    }
                }
            }
        }
    }

    /// All tuples of `count` elements.
    fn tuples(m: Modulus, count: u32) -> impl Iterator<Item = Vec<u64>> {
        (0..m.value().pow(count)).map(move |mut x| {
            let digit = |_| {
                let d = x % m.value();
                x /= m.value();
                d
            };
            (0..count).map(digit).collect()
        })
    }

    /// Shares of `values` that differ from value to value.
    fn share(m: Modulus, values: &[u64]) -> (Vec<bool>, Vec<bool>) {
        let (mut server, mut client) = (Vec::new(), Vec::new());
        for (i, v) in values.iter().enumerate() {
            let c = m.reduce(v * 5 + i as u64 * 3 + 1);
            client.extend(bits(c, m.bits()));
            server.extend(bits(m.sub(*v, c), m.bits()));
        }
        (server, client)
    }

    #[test]
    fn max_and_argmax_are_their_definitions_exhaustively() {
        for modulus in
            [Modulus::Bits(1), Modulus::Bits(2), Modulus::Bits(3), Modulus::Odd(3), Modulus::Odd(7)]
        {
            for inputs in 1..=4 {
                for values in tuples(modulus, inputs) {
                    let (server, client) = share(modulus, &values);
                    let signed: Vec<i64> = values.iter().map(|v| modulus.to_signed(*v)).collect();
                    let max = signed.iter().copied().max().unwrap_or_default();
                    for (relu, shift) in [(false, 0), (false, 1), (true, 0), (true, 1)] {
                        let circuit = Max {
                            modulus_in: modulus,
                            modulus_out: Modulus::Bits(4),
                            inputs,
                            shift,
                            relu,
                        };
                        let f = if relu { max.max(0) } else { max };
                        let r = values.iter().sum::<u64>() & 15;
                        let got = plain(
                            &circuit,
                            server.iter().copied(),
                            client.iter().copied().chain(bits(r, 4)),
                        );
                        assert_eq!(
                            got,
                            Ok(wanted(f, shift, r, Modulus::Bits(4))),
                            "{circuit:?} {signed:?}"
                        );
                    }
                    let circuit = Argmax { modulus, inputs };
                    let got = plain(&circuit, server.iter().copied(), client.iter().copied());
                    assert_eq!(
                        got.map(Some),
                        Ok(signed.iter().position(|y| *y == max).map(|i| i as u64)),
                        "{circuit:?} {signed:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn costs_are_the_formulae() {
        let b = Modulus::Bits;
        for (l, lo, shift) in
            [(8, 8, 0), (24, 20, 0), (24, 20, 8), (37, 37, 5), (44, 21, 12), (8, 44, 20), (1, 1, 0)]
        {
            let (w, wo, s) = (u32::from(l), u32::from(lo), u32::from(shift));
            let neuron =
                |function| Neuron { function, modulus_in: b(l), modulus_out: b(lo), shift };
            let shape_of =
                |ands| GateCounts { ands, server_inputs: w, client_inputs: w + wo, outputs: wo };
            assert_eq!(totals(&neuron(Function::Identity)), shape_of(w - 1 + wo - 1));
            let survive = (w - 1).saturating_sub(s).min(wo);
            // Where nothing survives, the value is the constant 0, and its first borrow is free.
            let relu = if survive > 0 { survive + wo - 1 } else { wo.saturating_sub(2) };
            assert_eq!(totals(&neuron(Function::Relu)), shape_of(w - 1 + relu), "{l} {lo} {shift}");
            let (k, narrow) = (9, w.saturating_sub(s).max(1));
            let pool = |relu| Max { modulus_in: b(l), modulus_out: b(lo), inputs: k, shift, relu };
            assert_eq!(totals(&pool(false)).ands, k * (w - 1) + 2 * narrow * (k - 1) + wo - 1);
            if survive > 0 {
                assert_eq!(
                    totals(&pool(true)).ands,
                    k * (w - 1) + 2 * narrow * (k - 1) + wo - 1 + narrow - 1 - (k - 1)
                );
            }
        }
    }

    #[test]
    fn argmax_pays_for_indices_only_where_they_are_open() {
        let circuit = Argmax { modulus: Modulus::Bits(24), inputs: 10 };
        assert_eq!(circuit.index_bits(), 4);
        let ands: Vec<u32> = (0..10).map(|i| shape(&circuit, i).ands).collect();
        // 23 to add, 24 to compare, 24 to choose, and index bits: bit i is public until index 2^i
        // has passed.
        assert_eq!(ands, [23, 71, 72, 73, 73, 74, 74, 74, 74, 51]);
        assert_eq!(shape(&circuit, 8).outputs, 0);
        assert_eq!(shape(&circuit, 9).outputs, 4);
        assert_eq!(totals(&circuit).ands, ands.iter().sum::<u32>());
        assert_eq!(totals(&circuit).server_inputs, 240);
        assert_eq!(
            totals(&Argmax { modulus: Modulus::Bits(24), inputs: 1 }),
            GateCounts { ands: 23, server_inputs: 24, client_inputs: 24, outputs: 0 }
        );
    }

    #[test]
    fn the_papers_prime_costs_a_few_ands_per_bit() {
        let n = Modulus::Odd(101_285_036_033);
        let neuron = |function, shift| {
            totals(&Neuron { function, modulus_in: n, modulus_out: n, shift }).ands
        };
        assert!(neuron(Function::Relu, 0) <= 7 * 37, "{}", neuron(Function::Relu, 0));
        assert!(neuron(Function::Identity, 0) <= 8 * 37 + 2, "{}", neuron(Function::Identity, 0));
    }

    #[test]
    fn parameters_out_of_range_are_refused() {
        let ok = Neuron {
            function: Function::Relu,
            modulus_in: Modulus::Bits(44),
            modulus_out: Modulus::Odd(3),
            shift: 255,
        };
        assert_eq!(ok.check(), Ok(()));
        for bad in [
            Modulus::Bits(0),
            Modulus::Bits(45),
            Modulus::Odd(1),
            Modulus::Odd(4),
            Modulus::Odd((1 << 44) + 1),
        ] {
            assert_eq!(Neuron { modulus_in: bad, ..ok }.check(), Err(Error::Internal));
            assert_eq!(Neuron { modulus_out: bad, ..ok }.check(), Err(Error::Internal));
            assert_eq!(Argmax { modulus: bad, inputs: 2 }.check(), Err(Error::Internal));
        }
        assert!(Argmax { modulus: Modulus::Bits(8), inputs: 0 }.check().is_err());
        assert!(Argmax { modulus: Modulus::Bits(8), inputs: MAX_INPUTS + 1 }.check().is_err());
        assert_eq!(plain(&ok, core::iter::empty(), bits(0, 64)), Err(Error::Internal));
    }
}
