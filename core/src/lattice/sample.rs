//! Samplers. Secret ones take a fixed number of bytes and no branch.

use crate::params::{CBD, LIMB_BITS};
use crate::ring::Limb;
use crate::rng::Prg;
use zeroize::Zeroize as _;

/// Uniform in `[0, q)` by rejection from 27-bit strings. For public polynomials only: its time depends on its output.
#[inline]
pub fn uniform_vartime(prg: &mut Prg, limb: &Limb) -> i32 {
    loop {
        let x = (prg.next_u32() & ((1 << LIMB_BITS) - 1)) as i32;
        if x < limb.q {
            return x;
        }
    }
}

/// Uniform in `{−1, 0, 1}`: sixteen digits to base 3 of each 64-bit fraction, up to `3^16 / 2^64 < 2^-38`.
pub struct Ternary {
    prg: Prg,
    fraction: u64,
    left: u32,
}

impl Ternary {
    const DIGITS: u32 = 16;

    /// The values of this stream.
    #[must_use]
    pub const fn new(prg: Prg) -> Self {
        Self { prg, fraction: 0, left: 0 }
    }

    /// The next value.
    #[inline]
    pub fn draw(&mut self) -> i32 {
        if self.left == 0 {
            (self.fraction, self.left) = (self.prg.next_u64(), Self::DIGITS);
        }
        self.left -= 1;
        // Times three in words of 32 bits: what carries out of the top is the digit.
        let low = (self.fraction & 0xffff_ffff) * 3;
        let high = (self.fraction >> 32) * 3 + (low >> 32);
        self.fraction = high << 32 | (low & 0xffff_ffff);
        (high >> 32) as i32 - 1
    }
}

/// Centred binomial with parameter [`CBD`]: the number of heads among 42 coins less 21. Three values from each 16 bytes.
pub struct Noise {
    prg: Prg,
    /// Values that are ready, the last first.
    ready: [i8; 3],
    left: u32,
}

impl Noise {
    /// The values of this stream.
    #[must_use]
    pub const fn new(prg: Prg) -> Self {
        Self { prg, ready: [0; 3], left: 0 }
    }

    /// The first `out.len()` values.
    pub fn fill(mut self, out: &mut [i8]) {
        let (threes, rest) = out.as_chunks_mut();
        for three in threes {
            let [third, second, first] = self.three();
            *three = [first, second, third];
        }
        rest.fill_with(|| self.draw() as i8);
    }

    /// The next value, at most 21 in absolute value.
    #[inline]
    pub fn draw(&mut self) -> i32 {
        if self.left == 0 {
            (self.ready, self.left) = (self.three(), 3);
        }
        let [third, second, first] = self.ready;
        self.ready = [0, third, second];
        self.left -= 1;
        i32::from(first)
    }

    /// Three values: bits 0 to 41, 42 to 83 and 84 to 125 of the next 16 bytes, in words of 32 bits.
    #[inline]
    fn three(&mut self) -> [i8; 3] {
        const _: () = assert!(CBD == 21);
        let [a, b, c, d] = core::array::from_fn(|_| self.prg.next_u32());
        let heads = |x: u32, y: u32| (x.count_ones() + y.count_ones()) as i8 - CBD as i8;
        [heads(c >> 20, d & 0x3fff_ffff), heads(b >> 10, c & 0xf_ffff), heads(a, b & 0x3ff)]
    }
}

impl Drop for Ternary {
    fn drop(&mut self) {
        self.fraction.zeroize();
    }
}

impl Drop for Noise {
    fn drop(&mut self) {
        self.ready.zeroize();
    }
}

/// Uniform in `[−2^bits, 2^bits)`, `bits < 127`, reduced to a representative of a limb in `(−q, q)`.
#[inline]
pub fn flood(prg: &mut Prg, bits: u32, limb: &Limb) -> i32 {
    let x = (prg.next_u128() & ((2 << bits) - 1)) as i128 - (1 << bits);
    // Horner in 32-bit words: Montgomery form multiplies by 2^32. Words are taken as representatives, so each step reduces.
    let word = |i: u32| limb.reduce((x >> (32 * i)) as i32);
    // A word read as i32 is 2^32 too small when its top bit is set: the carry goes into the next word.
    let carry = |i: u32| ((x >> (32 * i + 31)) & 1) as i32;
    let top = (x >> 96) as i32 + carry(2);
    [word(2) + carry(1), word(1) + carry(0), word(0)].into_iter().fold(limb.reduce(top), |sum, w| limb.reduce(limb.to_montgomery(sum) + w))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::LIMBS;
    use crate::rng::{Domain, Seed};

    #[test]
    fn flooding_is_the_same_integer_in_every_limb() {
        for bits in [20, 58, 62, 90, 100] {
            let mut exact = Seed([9; 32]).stream(Domain::Flood, 0);
            let mut prgs: std::vec::Vec<_> = LIMBS.iter().map(|_| Seed([9; 32]).stream(Domain::Flood, 0)).collect();
            for _ in 0..500 {
                let x = (exact.next_u128() & ((2 << bits) - 1)) as i128 - (1 << bits);
                for (limb, prg) in LIMBS.iter().zip(&mut prgs) {
                    let r = flood(prg, bits, limb);
                    assert!(r.abs() < limb.q);
                    assert_eq!((i128::from(r) - x) % i128::from(limb.q), 0);
                }
            }
        }
    }

    #[test]
    fn noise_has_the_variance_of_the_bound() {
        let mut noise = Noise::new(Seed([1; 32]).stream(Domain::Noise, 0));
        let draws = 100_000;
        let (mut sum, mut squares) = (0_i64, 0_i64);
        for _ in 0..draws {
            let e = i64::from(noise.draw());
            sum += e;
            squares += e * e;
        }
        let variance = squares as f64 / draws as f64;
        assert!((variance - f64::from(CBD) / 2.0).abs() < 0.25 && (sum as f64 / draws as f64).abs() < 0.05);
    }

    #[test]
    fn ternary_values_are_equally_frequent() {
        let mut ternary = Ternary::new(Seed([2; 32]).stream(Domain::Ternary, 0));
        let mut counts = [0_i32; 3];
        for _ in 0..90_000 {
            counts[(ternary.draw() + 1) as usize] += 1;
        }
        // Five standard deviations of a count are 707.
        assert!(counts.iter().all(|c| (c - 30_000).abs() < 707), "{counts:?}");
    }
}
