//! Samplers. Secret ones take a fixed number of bytes and no branch.

use crate::backend;
use crate::params::LIMB_BITS;
use crate::ring::Limb;
use crate::rng::Prg;
use bytemuck::Pod;
use zeroize::{Zeroize as _, Zeroizing};

/// The next `out.len()` values uniform in `[0, q)`, by rejection from 27-bit strings: the low bits of 32. For public polynomials only: its
/// time depends on its output.
pub fn uniform_vartime(prg: &mut Prg, limb: &Limb, mut out: &mut [i32]) {
    while !out.is_empty() {
        prg.fill_u32(bytemuck::cast_slice_mut(out));
        let kept = backend::sample::keep_below_vartime(out, LIMB_BITS, limb.q);
        out = out.get_mut(kept..).unwrap_or_default();
    }
}

/// Random bits that become several small values.
pub trait Word: Pod {
    /// Values of one word.
    const EACH: usize;
    /// The next value of a word.
    fn next(&mut self) -> i8;
    /// All values of some words.
    fn all(words: &[Self], out: &mut [i8]);
}

/// Sixteen digits to base 3, less 1, of a 64-bit fraction: uniform in `{−1, 0, 1}` up to `3^16 / 2^64 < 2^-38`.
impl Word for u64 {
    const EACH: usize = backend::sample::DIGITS;
    #[inline]
    fn next(&mut self) -> i8 {
        backend::sample::portable::digit(self)
    }
    fn all(words: &[Self], out: &mut [i8]) {
        backend::sample::ternary(words, out);
    }
}

/// Centred binomial with parameter [`crate::params::CBD`]: three times the number of heads among 42 coins, less 21.
impl Word for [u64; 2] {
    const EACH: usize = backend::sample::EACH;
    #[inline]
    fn next(&mut self) -> i8 {
        backend::sample::portable::heads(self)
    }
    fn all(words: &[Self], out: &mut [i8]) {
        backend::sample::binomial(words, out);
    }
}

/// Small values from a stream, word by word.
pub struct Small<W: Word> {
    prg: Prg,
    word: W,
    left: usize,
}

/// Values of secrets.
pub type Ternary = Small<u64>;
/// Noise, at most 21 in absolute value.
pub type Noise = Small<[u64; 2]>;

impl<W: Word> Small<W> {
    /// Words drawn at once.
    const BULK: usize = 256 / size_of::<W>();

    /// The values of this stream.
    #[must_use]
    pub fn new(prg: Prg) -> Self {
        Self { prg, word: W::zeroed(), left: 0 }
    }

    /// The next value.
    #[inline]
    pub fn draw(&mut self) -> i32 {
        if self.left == 0 {
            self.prg.fill_u64(bytemuck::cast_slice_mut(core::slice::from_mut(&mut self.word)));
            self.left = W::EACH;
        }
        self.left -= 1;
        self.word.next().into()
    }

    /// The next `out.len()` values.
    pub fn fill(&mut self, out: &mut [i8]) {
        let (begun, rest) = out.split_at_mut(self.left.min(out.len()));
        let (whole, last) = rest.split_at_mut(rest.len() / W::EACH * W::EACH);
        begun.fill_with(|| self.draw() as i8);
        let mut words = Zeroizing::new([0_u64; 32]);
        let words = bytemuck::cast_slice_mut::<_, W>(words.as_mut_slice());
        for out in whole.chunks_mut(Self::BULK * W::EACH) {
            let Some(words) = words.get_mut(..out.len() / W::EACH) else { return };
            self.prg.fill_u64(bytemuck::cast_slice_mut(words));
            W::all(words, out);
        }
        last.fill_with(|| self.draw() as i8);
    }
}

impl<W: Word> Drop for Small<W> {
    fn drop(&mut self) {
        bytemuck::bytes_of_mut(&mut self.word).zeroize();
    }
}

/// Uniform in `[−2^bits, 2^bits)`, `bits < 127`, reduced to a representative of a limb in `(−q, q)`.
pub fn flood(prg: &mut Prg, bits: u32, limb: &Limb) -> i32 {
    let (mut word, mut out) = (Zeroizing::new([[0; 2]]), [0]);
    prg.fill_u64(word.as_flattened_mut());
    backend::limb::add_uniform(limb, bits, word.as_slice(), &mut out);
    limb.reduce(out[0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::CBD;
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

    /// However many values are taken at once.
    fn any_cut<W: Word>() {
        let stream = || Small::<W>::new(Seed([3; 32]).stream(Domain::Noise, 0));
        let (mut one, mut many) = (stream(), stream());
        for len in [1, 2, 3, 15, 16, 17, 0, 511, 47, 48, 1000] {
            let mut out = std::vec![0; len];
            many.fill(&mut out);
            assert!(out.iter().all(|&x| i32::from(x) == one.draw()), "{len}");
        }
    }

    #[test]
    fn values_do_not_depend_on_the_cut() {
        any_cut::<u64>();
        any_cut::<[u64; 2]>();
        let limb = &LIMBS[3];
        let stream = || Seed([4; 32]).stream(Domain::Uniform, 0);
        let (mut one, mut all) = (stream(), [0; 5000]);
        uniform_vartime(&mut stream(), limb, &mut all);
        for cut in all.chunks(333) {
            let mut out = [0; 333];
            uniform_vartime(&mut one, limb, &mut out[..cut.len()]);
            assert_eq!(&out[..cut.len()], cut);
        }
        assert!(all.iter().all(|x| (0..limb.q).contains(x)));
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
