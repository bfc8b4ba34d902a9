//! The alphabet of circuits: gates, bits that may be public constants, numbers.

/// Bytes of one AND gate on the wire.
pub const GATE_BYTES: usize = 32;

/// One party's or a tool's reading of a circuit. Input calls fix the order of labels on the wire.
pub trait Gates {
    /// What this reading knows of one wire.
    type Wire: Copy;

    /// The next input bit of the server (garbler).
    fn server_input(&mut self) -> Self::Wire;
    /// The next input bit of the client (evaluator).
    fn client_input(&mut self) -> Self::Wire;
    /// `a ⊕ b`: free.
    fn xor(&mut self, a: &Self::Wire, b: &Self::Wire) -> Self::Wire;
    /// `a = ¬a`: free.
    fn negate(&mut self, a: &mut Self::Wire);
    /// `a ∧ b`: [`GATE_BYTES`] on the wire.
    fn and(&mut self, a: &Self::Wire, b: &Self::Wire) -> Self::Wire;
    /// Names the next output bit.
    fn output(&mut self, a: &Self::Wire);

    /// Turns `carry` into the value that at least two of three bits have, the carry of `a + b +
    /// carry`: one AND (Kolesnikov, Sadeghi, Schneider, CANS 2009).
    #[inline]
    fn majority(&mut self, a: &Self::Wire, b: &Self::Wire, carry: &mut Self::Wire) {
        let (x, y) = (self.xor(a, carry), self.xor(b, carry));
        let both = self.and(&x, &y);
        *carry = self.xor(&both, carry);
    }

    /// Turns `b` into the sum `a ⊕ b ⊕ carry`, and `carry` into the next carry: one AND.
    #[inline]
    fn add(&mut self, a: &Self::Wire, b: &mut Self::Wire, carry: &mut Self::Wire) {
        let sum = self.xor(a, b);
        let sum = self.xor(&sum, carry);
        self.majority(a, b, carry);
        *b = sum;
    }
}

/// A bit that is either public, and then costs nothing, or on a wire. Which of the two is a
/// function of the circuit alone, so every reading folds the same gates and branching on it reveals
/// nothing.
#[derive(Clone, Copy, Debug)]
pub enum Bit<W> {
    /// A public constant.
    Const(bool),
    /// A secret bit.
    Wire(W),
}

// Wires of many lanes are long: they are passed by reference. Where flash is scarce, calls are
// cheaper than copies of the code.
impl<W: Copy> Bit<W> {
    /// `self ⊕ b`.
    #[cfg_attr(target_pointer_width = "64", inline)]
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    pub fn xor<G: Gates<Wire = W>>(&self, gates: &mut G, b: &Self) -> Self {
        match (self, b) {
            (Self::Const(a), Self::Const(b)) => Self::Const(a ^ b),
            (Self::Const(false), x) | (x, Self::Const(false)) => *x,
            (Self::Const(true), x) | (x, Self::Const(true)) => x.not(gates),
            (Self::Wire(a), Self::Wire(b)) => Self::Wire(gates.xor(a, b)),
        }
    }

    /// `¬self`.
    #[cfg_attr(target_pointer_width = "64", inline)]
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    pub fn not<G: Gates<Wire = W>>(&self, gates: &mut G) -> Self {
        let mut not = *self;
        not.negate(gates);
        not
    }

    /// `self = ¬self`.
    #[cfg_attr(target_pointer_width = "64", inline)]
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    pub fn negate<G: Gates<Wire = W>>(&mut self, gates: &mut G) {
        match self {
            Self::Const(a) => *a = !*a,
            Self::Wire(a) => gates.negate(a),
        }
    }

    /// `self ∧ b`: one AND if both are wires.
    #[cfg_attr(target_pointer_width = "64", inline)]
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    pub fn and<G: Gates<Wire = W>>(&self, gates: &mut G, b: &Self) -> Self {
        match (self, b) {
            (Self::Const(false), _) | (_, Self::Const(false)) => Self::Const(false),
            (Self::Const(true), x) | (x, Self::Const(true)) => *x,
            (Self::Wire(a), Self::Wire(b)) => Self::Wire(gates.and(a, b)),
        }
    }

    /// `self ? a : b`: one AND, none if `self` is public.
    #[cfg_attr(target_pointer_width = "64", inline)]
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    pub fn mux<G: Gates<Wire = W>>(&self, gates: &mut G, a: &Self, b: &Self) -> Self {
        let differ = a.xor(gates, b);
        self.and(gates, &differ).xor(gates, b)
    }

    /// Turns `carry` into the carry of `self + b + carry`: one AND, none if two are public.
    #[cfg_attr(target_pointer_width = "64", inline)]
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    pub fn majority<G: Gates<Wire = W>>(&self, gates: &mut G, b: &Self, carry: &mut Self) {
        match (self, b, &mut *carry) {
            (Self::Wire(a), Self::Wire(b), Self::Wire(carry)) => gates.majority(a, b, carry),
            (Self::Const(a), Self::Const(b), _) => {
                if a == b {
                    *carry = Self::Const(*a);
                }
            }
            _ => {
                let (x, y) = (self.xor(gates, carry), b.xor(gates, carry));
                *carry = x.and(gates, &y).xor(gates, carry);
            }
        }
    }

    /// Turns `b` into the sum `self ⊕ b ⊕ carry`, and `carry` into the next carry, if it is wanted.
    #[cfg_attr(target_pointer_width = "64", inline)]
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    pub fn add<G: Gates<Wire = W>>(
        &self,
        gates: &mut G,
        b: &mut Self,
        carry: &mut Self,
        wanted: bool,
    ) {
        if let (Self::Wire(a), Self::Wire(b), Self::Wire(carry), true) =
            (self, &mut *b, &mut *carry, wanted)
        {
            return gates.add(a, b, carry);
        }
        let sum = self.xor(gates, b).xor(gates, carry);
        if wanted {
            self.majority(gates, b, carry);
        }
        *b = sum;
    }

    /// `self` where `constant` is 1, else 0: free.
    #[inline]
    #[must_use]
    pub fn select(&self, constant: bool) -> Self {
        if constant { *self } else { Self::Const(false) }
    }

    /// Names the next output bit. It must not be public; a circuit whose output is public has a
    /// mistake that the tests find.
    #[inline]
    pub fn output<G: Gates<Wire = W>>(&self, gates: &mut G) {
        debug_assert!(matches!(self, Self::Wire(_)), "a public output");
        if let Self::Wire(w) = self {
            gates.output(w);
        }
    }
}

/// Bits of the longest [`Number`]: the widest ring plus room for a carry and a sign.
pub const CAPACITY: usize = crate::params::MAX_RING_BITS as usize + 4;

/// A signed integer in two's complement, least significant bit first, at most `C` bits; the empty
/// number is 0.
#[derive(Clone, Debug)]
pub struct Number<W, const C: usize = CAPACITY> {
    bits: [Bit<W>; C],
    len: usize,
}

impl<W: Copy, const C: usize> Number<W, C> {
    /// The empty number.
    #[must_use]
    pub fn new() -> Self {
        Self { bits: [Bit::Const(false); C], len: 0 }
    }

    /// How many bits are stored.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no bit is stored.
    #[cfg(any(test, feature = "unstable"))]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bit `i`; above the stored bits the top one repeats.
    #[cfg_attr(target_pointer_width = "64", inline)]
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    #[must_use]
    pub fn bit(&self, i: usize) -> &Bit<W> {
        let stored = i.min(self.len.saturating_sub(1));
        self.bits.get(stored).unwrap_or(&Bit::Const(false))
    }

    /// The top bit: 1 if the number is negative.
    #[cfg_attr(target_pointer_width = "64", inline)]
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    #[must_use]
    pub fn sign(&self) -> &Bit<W> {
        self.bit(self.len)
    }

    /// Appends the next higher bit. [`super::Circuit::check`] admits no circuit that exceeds the
    /// capacity.
    #[cfg_attr(target_pointer_width = "64", inline)]
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    pub fn push(&mut self, bit: Bit<W>) {
        debug_assert!(self.len < C);
        if let Some(slot) = self.bits.get_mut(self.len) {
            *slot = bit;
            self.len += 1;
        }
    }

    /// Replaces the stored bit `i`.
    #[cfg_attr(target_pointer_width = "64", inline)]
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    pub fn set(&mut self, i: usize, bit: Bit<W>) {
        debug_assert!(i < self.len);
        if let Some(slot) = self.bits.get_mut(i) {
            *slot = bit;
        }
    }

    /// Makes it `len` bits: reduces mod `2^len`, or repeats the sign.
    pub fn resize(&mut self, len: usize) {
        let sign = *self.sign();
        self.len = self.len.min(len);
        while self.len < len.min(C) {
            self.push(sign);
        }
    }
}

impl<W: Copy, const C: usize> Default for Number<W, C> {
    fn default() -> Self {
        Self::new()
    }
}

/// The low `count` bits of `value`, least significant first.
#[cfg(any(test, feature = "unstable"))]
pub fn bits(value: u64, count: u32) -> impl Iterator<Item = bool> + Clone {
    (0..count).map(move |i| value >> i & 1 == 1)
}

/// What one instance holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GateCounts {
    /// AND gates, [`GATE_BYTES`] each.
    pub ands: u32,
    /// Input bits of the server.
    pub server_inputs: u32,
    /// Input bits of the client.
    pub client_inputs: u32,
    /// Output bits.
    pub outputs: u32,
}

impl GateCounts {
    /// Bytes of the instance's table.
    #[must_use]
    pub const fn table_bytes(self) -> usize {
        self.ands as usize * GATE_BYTES
    }
}

impl core::ops::Add for GateCounts {
    type Output = Self;

    fn add(self, b: Self) -> Self {
        Self {
            ands: self.ands + b.ands,
            server_inputs: self.server_inputs + b.server_inputs,
            client_inputs: self.client_inputs + b.client_inputs,
            outputs: self.outputs + b.outputs,
        }
    }
}
