//! What a neuron computes, as integers.

/// Most pieces of a [`PiecewiseLinear`].
pub const MAX_PIECES: usize = 32;

/// What a neuron computes of `y`, before `shift` bits are cut off: [`Function::apply`]
/// is the definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// `y`: for truncation alone.
    Identity,
    /// `max(y, 0)`.
    Relu,
    /// `min(max(y, lo), hi)`, with `lo ≤ hi`.
    Clip {
        /// Least result.
        lo: i64,
        /// Largest result.
        hi: i64,
    },
    /// `y`, but `floor(y · multiplier / 2^bits)` where `y` is negative.
    Leaky {
        /// Numerator of the slope, at least 1.
        multiplier: u8,
        /// Its denominator's logarithm, at most 15.
        bits: u8,
    },
    /// Straight pieces of equal length: sigmoid, tanh and their kin.
    PiecewiseLinear(PiecewiseLinear),
}

/// How a [`PiecewiseLinear`] treats the two sides of 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parity {
    /// `f(−1−y) = −f(y)`, but for the centre: sigmoid, tanh.
    Odd,
    /// `f(−1−y) = f(y)`, before the ReLU is added: the bump of SiLU, GELU, softplus.
    Even,
    /// The pieces describe the negative side, the other is the ReLU, or 0: ELU.
    Left,
}

/// A function made of straight pieces over the magnitude `u = y` for `y ≥ 0`, `−1−y` for `y < 0`,
/// where `y` is the value whose low bits have been cut off already. `u` stops at `2^input_bits −
/// 1`; its top `index_bits` bits choose the piece, the others are `t`: `v = offset + floor(slope ·
/// t / 2^shift)`.
///
/// The result is `centre` plus: for [`Parity::Odd`] `v` or, if `y < 0`, `−v`; for [`Parity::Even`]
/// `v`; for [`Parity::Left`] `v` if `y < 0`, else 0; and with `plus_relu`, `max(y, 0)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PiecewiseLinear {
    /// The sides of 0.
    pub parity: Parity,
    /// Whether `max(y, 0)` is added.
    pub plus_relu: bool,
    /// Bits of `u`: 1 to 14.
    pub input_bits: u8,
    /// Bits that choose the piece: at most 5, and at most `input_bits`.
    pub index_bits: u8,
    /// Bits cut off the product: at most 15.
    pub shift: u8,
    /// Added last: by the server to its share of the result, so no circuit does it.
    pub centre: i32,
    /// One for each piece, zeros behind the last.
    pub offsets: [i16; MAX_PIECES],
    /// One for each piece, zeros behind the last.
    pub slopes: [i16; MAX_PIECES],
}

impl Function {
    /// The definition: the integer result, before it is reduced into a ring.
    #[must_use]
    pub fn apply(&self, y: i64, shift: u8) -> i64 {
        match self {
            Self::Identity => y >> shift,
            Self::Relu => y.max(0) >> shift,
            Self::Clip { lo, hi } => y.max(*lo).min(*hi) >> shift,
            Self::Leaky { multiplier, bits } if y < 0 => {
                y.wrapping_mul(i64::from(*multiplier))
                    >> (u32::from(*bits) + u32::from(shift)).min(63)
            }
            Self::Leaky { .. } => y >> shift,
            Self::PiecewiseLinear(spline) => spline.apply(y >> shift),
        }
    }

    /// The part of the result that no circuit computes: the server adds it to its share.
    #[must_use]
    pub const fn constant(&self) -> i64 {
        match self {
            Self::PiecewiseLinear(s) => s.centre as i64 + matches!(s.parity, Parity::Odd) as i64,
            _ => 0,
        }
    }

    /// Whether all parameters are in their ranges.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        match self {
            Self::Identity | Self::Relu => true,
            Self::Clip { lo, hi } => lo <= hi && *lo >= -(1 << 43) && *hi < 1 << 43,
            Self::Leaky { multiplier, bits } => *multiplier > 0 && *bits <= 15,
            Self::PiecewiseLinear(s) => {
                let behind = |xs: &[i16; MAX_PIECES]| xs.iter().skip(s.pieces()).all(|&x| x == 0);
                (1..=14).contains(&s.input_bits)
                    && s.index_bits <= s.input_bits.min(5)
                    && s.shift <= 15
                    && s.centre.unsigned_abs() < 1 << 20
                    && behind(&s.offsets)
                    && behind(&s.slopes)
            }
        }
    }
}

impl PiecewiseLinear {
    /// How many pieces there are.
    #[must_use]
    pub const fn pieces(&self) -> usize {
        1 << if self.index_bits > 5 { 5 } else { self.index_bits }
    }

    /// The definition, of the truncated value.
    #[must_use]
    pub fn apply(&self, y: i64) -> i64 {
        let negative = y < 0;
        let u = if negative { !y } else { y }.min((1 << self.input_bits) - 1);
        let low = u32::from(self.input_bits - self.index_bits);
        let (piece, t) = ((u >> low) as usize, u & ((1 << low) - 1));
        let at = |xs: &[i16; MAX_PIECES]| xs.get(piece).map_or(0, |&x| i64::from(x));
        let v = at(&self.offsets) + ((at(&self.slopes) * t) >> self.shift);
        let sides = match self.parity {
            Parity::Odd if negative => -v,
            Parity::Left if !negative => 0,
            _ => v,
        };
        i64::from(self.centre) + sides + if self.plus_relu { y.max(0) } else { 0 }
    }
}
