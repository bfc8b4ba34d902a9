//! Arithmetic on numbers in a circuit, shared by all of them.

use super::gates::{Bit, Gates, Number};

/// Makes `y = max(y, 0)`, of which the low `keep` bits are needed. One AND for each of these below
/// the sign.
pub(super) fn relu<G: Gates>(gates: &mut G, y: &mut Number<G::Wire>, keep: usize) {
    let sign = y.len().saturating_sub(1);
    let positive = y.sign().not(gates);
    for i in 0..sign.min(keep) {
        let bit = y.bit(i).and(gates, &positive);
        y.set(i, bit);
    }
    y.set(sign, Bit::Const(false));
    if keep < y.len() {
        y.resize(keep);
    }
}

/// `d ± multiple·condition`, known to lie in `[0, multiple)`, and as long as that needs, with a
/// public sign.
pub(super) fn add_multiple<G: Gates>(
    gates: &mut G,
    d: &mut Number<G::Wire>,
    multiple: u64,
    condition: &Bit<G::Wire>,
    negative: bool,
) {
    let width = bit_length(multiple - 1);
    d.resize(width);
    let mut carry = Bit::Const(negative);
    for i in 0..width {
        let mut addend = condition.select(multiple >> i & 1 == 1);
        if negative {
            subtract(gates, d.bit(i), &mut addend, &mut carry, i + 1 < width);
        } else {
            d.bit(i).add(gates, &mut addend, &mut carry, i + 1 < width);
        }
        d.set(i, addend);
    }
    d.push(Bit::Const(false));
}

/// Turns `b` into `a − b`, as `a + ¬b` with a first carry of 1, and `carry` into the next carry, if
/// it is wanted.
#[inline]
pub(super) fn subtract<G: Gates>(
    gates: &mut G,
    a: &Bit<G::Wire>,
    b: &mut Bit<G::Wire>,
    carry: &mut Bit<G::Wire>,
    wanted: bool,
) {
    b.negate(gates);
    a.add(gates, b, carry, wanted);
}

/// Whether the unsigned number `a ≥ constant`: the last carry of `a − constant`.
/// `constant < 2^a.len()`. At most one AND per bit but the first.
pub(super) fn at_least<G: Gates>(
    gates: &mut G,
    a: &Number<G::Wire>,
    constant: u64,
) -> Bit<G::Wire> {
    let mut carry = Bit::Const(true);
    for i in 0..a.len() {
        a.bit(i).majority(gates, &Bit::Const(constant >> i & 1 == 0), &mut carry);
    }
    carry
}

/// Whether `a > b`, both signed and equally long: the last carry of `a − b − 1`. One AND per bit.
pub(super) fn greater<G: Gates>(
    gates: &mut G,
    a: &Number<G::Wire>,
    b: &Number<G::Wire>,
) -> Bit<G::Wire> {
    debug_assert_eq!(a.len(), b.len());
    let sign = a.len().saturating_sub(1);
    let mut carry = Bit::Const(false);
    for i in 0..sign {
        let not_b = b.bit(i).not(gates);
        a.bit(i).majority(gates, &not_b, &mut carry);
    }
    // A sign counts the other way round: with both inverted, the order is that of unsigned numbers.
    let not_a = a.sign().not(gates);
    not_a.majority(gates, b.sign(), &mut carry);
    carry
}

/// `b = condition ? a : b`, equally long. One AND per bit; none for the sign if `b`'s is public,
/// for then `b ≥ 0` and `a` is chosen only if it is larger.
pub(super) fn choose<G: Gates>(
    gates: &mut G,
    condition: &Bit<G::Wire>,
    a: &Number<G::Wire>,
    b: &mut Number<G::Wire>,
) {
    let sign = b.len().saturating_sub(1);
    let width = if matches!(b.sign(), Bit::Const(_)) { sign } else { b.len() };
    for i in 0..width {
        let bit = condition.mux(gates, a.bit(i), b.bit(i));
        b.set(i, bit);
    }
}

/// Bits of the unsigned integer `x`.
pub(super) const fn bit_length(x: u64) -> usize {
    (u64::BITS - x.leading_zeros()) as usize
}
