//! Products of a server's and a client's secret in a share ring, one OT per bit (Gilboa, CRYPTO
//! 1999; MiniONN, Figure 8).
//!
//! The server has `a`, the client has `v` and chose its bits in OTs, lowest first: `T_i = Q_i ⊕
//! v_i·Δ`. With `h0_i = H(Q_i)` and `h1_i = H(Q_i ⊕ Δ)` the server sends `c_i = h0_i + a·2^i −
//! h1_i`; the client gets `h0_i + v_i·a·2^i` as `H(T_i) + v_i·c_i`. Summed up: `p_S = −Σ h0_i`,
//! `p_C = Σ (H(T_i) + v_i·c_i)`, and `p_S + p_C = a·v`.
//!
//! In `Z_{2^ℓ}` the factor `2^i` is taken out of all of bit `i`'s terms, which then need `ℓ − i`
//! bits only.
//!
//! `a` must be uniform, fresh, and serve once: online the server opens `δ = y_S − a`, and the
//! client, knowing `v = y_C`, has `p_C + δ·y_C` as its share of `y_S·y_C`. A second product with
//! the same `a` would tell the difference of two `y_S`.

use super::mask;
use crate::block::Block;
use crate::hash::Tmmo;
use crate::ring::Modulus;
use crate::{Error, Result};
use zeroize::Zeroizing;

/// OTs hashed in one pipeline.
const PIPELINE: usize = if cfg!(target_pointer_width = "64") { 16 } else { 1 };

/// Bits on the wire of correction `i < modulus.bits()` of a product: `ℓ − i` in `Z_{2^ℓ}`, else
/// `ℓ`.
#[must_use]
pub const fn correction_width(modulus: Modulus, i: u32) -> u32 {
    match modulus {
        Modulus::Bits(_) => modulus.bits().saturating_sub(i),
        Modulus::Odd(_) => modulus.bits(),
    }
}

/// Bits on the wire of all corrections of a product: `ℓ(ℓ+1)/2` in `Z_{2^ℓ}`, else `ℓ²`.
#[must_use]
pub const fn product_bits(modulus: Modulus) -> u32 {
    let l = modulus.bits();
    match modulus {
        Modulus::Bits(_) => l * (l + 1) / 2,
        Modulus::Odd(_) => l * l,
    }
}

/// Shares of one product `a·v`, of the server's `a` and the client's `v`, by `ℓ = modulus.bits()`
/// OTs.
#[derive(Clone, Copy)]
pub struct OtMultiply<'h> {
    /// The ring, `ℓ` bits wide.
    pub modulus: Modulus,
    /// The session's hash.
    pub hash: &'h Tmmo,
    /// OT `i` is hashed with tweak `tweak_base + i`: a session uses each tweak once.
    pub tweak_base: u128,
}

impl OtMultiply<'_> {
    /// Server: its share `p_S` of `a·v`, and the `ℓ` corrections to send. `labels` are the `ℓ`
    /// labels `Q`. `a` is an element, see above for its use.
    ///
    /// # Errors
    /// [`Error::Length`] unless there are `ℓ` labels and corrections.
    pub fn server(
        &self,
        a: u64,
        labels: &[Block],
        delta: Block,
        corrections: &mut [u64],
    ) -> Result<u64> {
        let modulus = self.modulus;
        debug_assert!(a < modulus.value());
        self.check(labels.len(), corrections.len())?;
        let (mut share, mut factor) = (0, a);
        for (first, (labels, corrections)) in (0..)
            .step_by(PIPELINE)
            .zip(labels.chunks(PIPELINE).zip(corrections.chunks_mut(PIPELINE)))
        {
            let (q, tweaks) = self.lanes(labels, first);
            let h0 = Zeroizing::new(self.hash.hash(q, tweaks));
            let h1 = Zeroizing::new(self.hash.hash(q.map(|q| q ^ delta), tweaks));
            for (i, (correction, (&h0, &h1))) in
                (first..).zip(corrections.iter_mut().zip(h0.iter().zip(h1.iter())))
            {
                let bit = ProductBit::new(modulus, i);
                let h0 = bit.element(h0);
                *correction = bit.ring.sub(bit.ring.add(h0, bit.operand(factor)), bit.element(h1));
                share = modulus.sub(share, h0 << bit.shift);
                factor = bit.next_factor(factor);
            }
        }
        Ok(share)
    }

    /// Client: its share `p_C` of `a·v`. `labels` are the `ℓ` labels `T` of the bits of `v`, lowest
    /// first; `corrections` are the server's. `v` is an element. In constant time for all but the
    /// corrections' range.
    ///
    /// # Errors
    /// [`Error::Length`] unless there are `ℓ` labels and corrections; [`Error::Malformed`] if a
    /// correction is outside its ring.
    pub fn client(&self, v: u64, labels: &[Block], corrections: &[u64]) -> Result<u64> {
        let modulus = self.modulus;
        debug_assert!(v < modulus.value());
        self.check(labels.len(), corrections.len())?;
        let mut share = 0;
        for (first, (labels, corrections)) in
            (0..).step_by(PIPELINE).zip(labels.chunks(PIPELINE).zip(corrections.chunks(PIPELINE)))
        {
            let (t, tweaks) = self.lanes(labels, first);
            let hashes = Zeroizing::new(self.hash.hash(t, tweaks));
            for (i, (&correction, &h)) in (first..).zip(corrections.iter().zip(hashes.iter())) {
                let bit = ProductBit::new(modulus, i);
                if correction >= bit.ring.value() {
                    return Err(Error::Malformed);
                }
                let x = bit.ring.add(bit.element(h), correction & mask(v >> i));
                share = modulus.add(share, x << bit.shift);
            }
        }
        Ok(share)
    }

    /// Labels and tweaks of the next OTs, from OT `first` on, filled up to a pipeline; results of
    /// the filling are dropped.
    fn lanes(&self, labels: &[Block], first: u32) -> ([Block; PIPELINE], [Block; PIPELINE]) {
        let mut x = [0; PIPELINE];
        for (x, &label) in x.iter_mut().zip(labels) {
            *x = label;
        }
        let first = self.tweak_base.wrapping_add(u128::from(first));
        (x, core::array::from_fn(|lane| first.wrapping_add(lane as u128)))
    }

    /// A product takes `ℓ` labels and `ℓ` corrections.
    const fn check(&self, labels: usize, corrections: usize) -> Result<()> {
        let need = self.modulus.bits() as usize;
        if labels != need {
            return Err(Error::Length { need });
        }
        if corrections != need {
            return Err(Error::Length { need });
        }
        Ok(())
    }
}

/// Where the contribution of bit `i` of the client's value lives: `2^shift · ring`.
#[derive(Clone, Copy)]
struct ProductBit {
    ring: Modulus,
    shift: u32,
}

impl ProductBit {
    /// `i < modulus.bits()`.
    const fn new(modulus: Modulus, i: u32) -> Self {
        match modulus {
            Modulus::Bits(_) => {
                Self { ring: Modulus::Bits(correction_width(modulus, i) as u8), shift: i }
            }
            Modulus::Odd(_) => Self { ring: modulus, shift: 0 },
        }
    }

    /// An element from a hash `h`: its low bits, or `⌊h·N/2^128⌋`, which takes no division
    /// (constant time) and is within `N/2^128 < 2^−66` of uniform.
    const fn element(self, h: Block) -> u64 {
        match self.ring {
            Modulus::Bits(_) => self.ring.reduce(h as u64),
            Modulus::Odd(n) => {
                let (high, low) = (h >> 64, h & u64::MAX as u128);
                // < 2^64·N: both products are, and N < 2^62.
                ((high * n as u128 + ((low * n as u128) >> 64)) >> 64) as u64
            }
        }
    }

    /// What is multiplied with the client's bit.
    const fn operand(self, factor: u64) -> u64 {
        match self.ring {
            Modulus::Bits(_) => self.ring.reduce(factor),
            Modulus::Odd(_) => factor,
        }
    }

    /// The factor of the next bit: doubled, unless the shift does that.
    const fn next_factor(self, factor: u64) -> u64 {
        match self.ring {
            Modulus::Bits(_) => factor,
            Modulus::Odd(_) => self.ring.add(factor, factor),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Domain, Prg, Seed};
    use std::vec;
    use std::vec::Vec;

    const PAPER: Modulus = Modulus::Odd(101_285_036_033);

    fn rings() -> impl Iterator<Item = Modulus> {
        (1..=63).map(Modulus::Bits).chain([PAPER, Modulus::Odd(7), Modulus::Odd((1 << 62) - 57)])
    }

    /// One product with ideal OTs: corrections and both shares.
    fn product(m: Modulus, a: u64, v: u64, random: &mut Prg) -> (Vec<u64>, u64, u64) {
        let (hash, delta) = (Tmmo::new(random.next_u128()), random.next_u128() | 1);
        let base = random.next_u128() >> 1;
        let q: Vec<_> = (0..m.bits()).map(|_| random.next_u128()).collect();
        let t: Vec<_> =
            q.iter().enumerate().map(|(i, q)| q ^ (delta * u128::from(v >> i & 1))).collect();
        let mut corrections = vec![0; q.len()];
        let multiply = OtMultiply { modulus: m, hash: &hash, tweak_base: base };
        let server = multiply.server(a, &q, delta, &mut corrections).unwrap();
        let client = multiply.client(v, &t, &corrections).unwrap();
        (corrections, server, client)
    }

    #[test]
    fn shares_sum_to_the_product() {
        let mut random = Seed([4; 32]).stream(Domain::Mask, 1);
        for m in rings() {
            let edges = [0, 1, m.value() / 2, m.value() - 1].map(|x| m.reduce(x));
            let mut pairs: Vec<_> = edges.iter().flat_map(|&a| edges.map(|v| (a, v))).collect();
            pairs.extend(
                (0..30).map(|_| (m.reduce(random.next_u64()), m.reduce(random.next_u64()))),
            );
            for (a, v) in pairs {
                let (corrections, server, client) = product(m, a, v, &mut random);
                assert!(server < m.value() && client < m.value());
                assert_eq!(m.add(server, client), m.mul(a, v), "{m:?} {a}·{v}");
                for (i, c) in (0..).zip(corrections) {
                    assert!(c >> correction_width(m, i) == 0, "{m:?} correction {i}");
                }
            }
        }
    }

    /// The corrections straight from the formula; OT `i` has tweak `tweak_base + i`.
    #[test]
    fn corrections_are_the_definition() {
        let (hash, delta, base) = (Tmmo::new(8), 0x5_0000_0001, 1_u128 << 40);
        for m in [Modulus::Bits(21), PAPER] {
            let q: Vec<_> = (0..m.bits()).map(|i| u128::from(i) << 90 | 0xabc).collect();
            let mut corrections = vec![0; q.len()];
            let a = m.value() - 12_345;
            let multiply = OtMultiply { modulus: m, hash: &hash, tweak_base: base };
            multiply.server(a, &q, delta, &mut corrections).unwrap();
            for (i, q) in (0..).zip(q) {
                let [h0, h1] = [q, q ^ delta].map(|x| hash.hash([x], [base + u128::from(i)])[0]);
                let want = match m {
                    Modulus::Bits(l) => {
                        ((h0 as u64).wrapping_add(a).wrapping_sub(h1 as u64))
                            % (1 << (u32::from(l) - i))
                    }
                    Modulus::Odd(_) => {
                        let bit = ProductBit::new(m, i);
                        m.sub(m.add(bit.element(h0), m.mul(a, 1 << i)), bit.element(h1))
                    }
                };
                assert_eq!(corrections[i as usize], want, "{m:?} correction {i}");
            }
        }
    }

    #[test]
    fn widths_add_up() {
        for m in rings() {
            assert_eq!(
                (0..m.bits()).map(|i| correction_width(m, i)).sum::<u32>(),
                product_bits(m),
                "{m:?}"
            );
        }
        assert_eq!(
            [product_bits(Modulus::Bits(8)), product_bits(Modulus::Bits(44)), product_bits(PAPER)],
            [36, 990, 1369]
        );
    }

    #[test]
    fn hash_to_element_is_the_definition() {
        let mut random = Seed([5; 32]).stream(Domain::Mask, 2);
        let n = (1_u64 << 62) - 57;
        let bit = ProductBit::new(Modulus::Odd(n), 0);
        assert_eq!((bit.element(0), bit.element(Block::MAX)), (0, n - 1));
        // N = 2^62 − 57: ⌊h·N/2^128⌋ = ⌊(h·2^62 − 57·h)/2^128⌋, by halves of h.
        for _ in 0..1000 {
            let h = random.next_u128();
            let (mut product, wide) = ([0_u128; 3], u128::from(u64::MAX));
            product[0] = (h & wide) * u128::from(n);
            product[1] = (h >> 64) * u128::from(n) + (product[0] >> 64);
            product[2] = product[1] >> 64;
            assert_eq!(u128::from(bit.element(h)), product[2]);
        }
        // Small N: each element takes its share of the hashes.
        let bit = ProductBit::new(Modulus::Odd(7), 0);
        let mut seen = [0_u32; 7];
        (0..7000).for_each(|_| seen[bit.element(random.next_u128()) as usize] += 1);
        assert!(seen.iter().all(|&count| (850..1150).contains(&count)), "{seen:?}");
    }

    #[test]
    fn bad_lengths_and_corrections_are_refused() {
        let hash = Tmmo::new(1);
        let over = |modulus| OtMultiply { modulus, hash: &hash, tweak_base: 0 };
        let m = over(Modulus::Bits(8));
        let length = Err(Error::Length { need: 8 });
        assert_eq!(m.server(1, &[0; 7], 1, &mut [0; 8]), length);
        assert_eq!(m.server(1, &[0; 8], 1, &mut [0; 9]), length);
        assert_eq!(m.client(1, &[0; 9], &[0; 8]), length);
        assert_eq!(m.client(1, &[0; 8], &[0; 0]), length);
        for i in 0..8 {
            let mut corrections = [0; 8];
            corrections[i] = (1 << (8 - i)) - 1;
            assert!(m.client(1, &[0; 8], &corrections).is_ok());
            corrections[i] += 1;
            assert_eq!(m.client(1, &[0; 8], &corrections), Err(Error::Malformed));
        }
        let mut corrections = [0; 37];
        corrections[36] = PAPER.value() - 1;
        assert!(over(PAPER).client(1, &[0; 37], &corrections).is_ok());
        for bad in [PAPER.value(), u64::MAX] {
            corrections[36] = bad;
            assert_eq!(over(PAPER).client(1, &[0; 37], &corrections), Err(Error::Malformed));
        }
    }
}
