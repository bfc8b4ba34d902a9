//! Share rings: `Z_{2^ℓ}` (every layer) and `Z_N` (the paper's prime).

/// The ring in which a value is shared. Elements are integers in `[0, modulus)`; a value reads
/// signed: `x` if `x < ⌈modulus/2⌉`, else `x − modulus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Modulus {
    /// `Z_{2^ℓ}`, `1 ≤ ℓ ≤ 63`.
    Bits(u8),
    /// `Z_N`, `N` odd and below `2^62`.
    #[cfg_attr(
        not(any(test, feature = "unstable")),
        expect(dead_code, reason = "rings of the paper, for its method as a baseline")
    )]
    Odd(u64),
}

impl Modulus {
    /// The modulus itself.
    #[must_use]
    pub const fn value(self) -> u64 {
        match self {
            Self::Bits(l) => 1 << l,
            Self::Odd(n) => n,
        }
    }

    /// Bits of one element.
    #[must_use]
    pub const fn bits(self) -> u32 {
        match self {
            Self::Bits(l) => l as u32,
            Self::Odd(n) => u64::BITS - n.leading_zeros(),
        }
    }

    /// `x mod modulus` for any `x`. Variable time for [`Modulus::Odd`] on some CPUs; the protocol
    /// uses [`Modulus::Bits`].
    #[must_use]
    pub const fn reduce(self, x: u64) -> u64 {
        match self {
            Self::Bits(l) => x & ((1 << l) - 1),
            Self::Odd(n) => x % n,
        }
    }

    /// `a + b`, both elements.
    #[must_use]
    pub const fn add(self, a: u64, b: u64) -> u64 {
        match self {
            Self::Bits(_) => self.reduce(a.wrapping_add(b)),
            Self::Odd(n) => {
                let (d, borrow) = (a + b).overflowing_sub(n);
                d.wrapping_add(n & (borrow as u64).wrapping_neg())
            }
        }
    }

    /// `−a`, an element.
    #[cfg(any(test, feature = "unstable"))]
    #[must_use]
    pub const fn neg(self, a: u64) -> u64 {
        self.sub(0, a)
    }

    /// `a − b`, both elements.
    #[must_use]
    pub const fn sub(self, a: u64, b: u64) -> u64 {
        match self {
            Self::Bits(_) => self.reduce(a.wrapping_sub(b)),
            Self::Odd(n) => {
                let (d, borrow) = a.overflowing_sub(b);
                d.wrapping_add(n & (borrow as u64).wrapping_neg())
            }
        }
    }

    /// `a · b`, both elements.
    #[must_use]
    pub const fn mul(self, a: u64, b: u64) -> u64 {
        match self {
            Self::Bits(_) => self.reduce(a.wrapping_mul(b)),
            Self::Odd(n) => ((a as u128 * b as u128) % n as u128) as u64,
        }
    }

    /// The element of a signed integer.
    #[must_use]
    pub const fn reduce_signed(self, x: i64) -> u64 {
        match self {
            Self::Bits(_) => self.reduce(x as u64),
            Self::Odd(n) => x.rem_euclid(n as i64) as u64,
        }
    }

    /// The signed reading of an element.
    #[must_use]
    pub const fn to_signed(self, x: u64) -> i64 {
        match self {
            Self::Bits(l) => {
                let up = 64 - l as u32;
                ((x << up) as i64) >> up
            }
            Self::Odd(n) => {
                let upper = (n.div_ceil(2) > x) as u64;
                (x as i64).wrapping_sub((n & upper.wrapping_sub(1)) as i64)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signed_reading_round_trips_at_the_edges() {
        for m in [
            Modulus::Bits(1),
            Modulus::Bits(8),
            Modulus::Bits(44),
            Modulus::Odd(101_285_036_033),
            Modulus::Odd(7),
        ] {
            let half = m.value().div_ceil(2);
            for x in [0, 1, half - 1, half, m.value() - 1].map(|x| m.reduce(x)) {
                let s = m.to_signed(x);
                assert_eq!(m.reduce_signed(s), x, "{m:?} {x}");
                assert_eq!(s < 0, x >= half, "{m:?} {x}");
            }
        }
    }

    #[test]
    fn arithmetic_agrees_with_wide_integers() {
        let mut x = 1_u64;
        for m in [Modulus::Bits(13), Modulus::Bits(44), Modulus::Odd(101_285_036_033)] {
            let q = u128::from(m.value());
            for _ in 0..1000 {
                x = x
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                let (a, b) = (m.reduce(x >> 7), m.reduce(x.rotate_left(29)));
                let (wa, wb) = (u128::from(a), u128::from(b));
                assert_eq!(u128::from(m.add(a, b)), (wa + wb) % q);
                assert_eq!(u128::from(m.sub(a, b)), (wa + q - wb) % q);
                assert_eq!(u128::from(m.mul(a, b)), wa * wb % q);
            }
        }
    }
}
