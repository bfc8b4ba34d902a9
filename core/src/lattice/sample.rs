//! Samplers. Secret ones take a fixed number of bytes and no branch.

use crate::backend;
use crate::ring::Limb;
use crate::rng::Prg;
use crate::{Error, Result};
use bytemuck::Pod;
use core::marker::PhantomData;
use zeroize::{Zeroize as _, Zeroizing};

/// The next `out.len()` values uniform in `[0, q)`, by rejection from strings of the limb's bits:
/// the low ones of 32. For public polynomials only: its time depends on its output.
///
/// # Errors
/// None.
pub fn uniform_vartime(prg: &mut Prg, limb: &Limb, mut out: &mut [i32]) -> Result<()> {
    while !out.is_empty() {
        prg.fill_u32(bytemuck::cast_slice_mut(out));
        let kept = backend::sample::keep_below_vartime(out, limb.bits(), limb.q);
        out = out.get_mut(kept..).ok_or(Error::Internal)?;
    }
    Ok(())
}

/// Words of 32 random bits that become several small values.
pub trait Words: Pod {
    /// Values of each.
    const EACH: usize;
    /// All values of some.
    fn values(words: &[Self], out: &mut [i8]);
}

/// Sixteen digits to base 3, less 1, of a 64-bit fraction: uniform in `{−1, 0, 1}` up to `3^16 /
/// 2^64 < 2^-38`.
impl Words for [u32; 2] {
    const EACH: usize = backend::sample::DIGITS;
    fn values(words: &[Self], out: &mut [i8]) {
        backend::sample::ternary(words, out);
    }
}

/// Centred binomial with parameter [`crate::params::CBD`]: the number of heads among 42 coins less
/// 21, three times over.
impl Words for [u32; 4] {
    const EACH: usize = backend::sample::EACH;
    fn values(words: &[Self], out: &mut [i8]) {
        backend::sample::binomial(words, out);
    }
}

/// Small values from a stream.
pub struct Small<W> {
    prg: Prg,
    /// Values of the last words, and how many of them were not taken.
    last: [i8; 16],
    remaining: usize,
    words: PhantomData<W>,
}

/// Values of secrets.
pub type Ternary = Small<[u32; 2]>;
/// Noise, at most 21 in absolute value.
pub type Noise = Small<[u32; 4]>;

impl<W: Words> Small<W> {
    /// The values of this stream.
    #[must_use]
    pub const fn new(prg: Prg) -> Self {
        Self { prg, last: [0; 16], remaining: 0, words: PhantomData }
    }

    /// The next `out.len()` values.
    ///
    /// # Errors
    /// None.
    pub fn fill(&mut self, out: &mut [i8]) -> Result<()> {
        let (begun, out) = out.split_at_mut(self.remaining.min(out.len()));
        self.take(begun);
        let (whole, rest) = out.split_at_mut(out.len() / W::EACH * W::EACH);
        // As much as the generator makes at a time.
        let mut buffer = Zeroizing::new([0; 64]);
        let words: &mut [W] = bytemuck::cast_slice_mut(buffer.as_mut_slice());
        for out in whole.chunks_mut(words.len() * W::EACH) {
            let words = words.get_mut(..out.len() / W::EACH).ok_or(Error::Internal)?;
            self.prg.fill_u32(bytemuck::cast_slice_mut(words));
            W::values(words, out);
        }
        if !rest.is_empty() {
            let word = words.get_mut(..1).ok_or(Error::Internal)?;
            self.prg.fill_u32(bytemuck::cast_slice_mut(word));
            W::values(word, &mut self.last);
            self.remaining = W::EACH;
            self.take(rest);
        }
        Ok(())
    }

    /// Values of the last words, at most as many as remain.
    fn take(&mut self, out: &mut [i8]) {
        for (to, from) in out.iter_mut().zip(self.last.iter().skip(W::EACH - self.remaining)) {
            *to = *from;
        }
        self.remaining -= out.len();
    }
}

impl<W> Drop for Small<W> {
    fn drop(&mut self) {
        self.last.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::CBD;
    use crate::ring::LIMBS;
    use crate::rng::{Domain, Seed};

    /// As flooding is drawn, one value.
    fn flood(prg: &mut Prg, bits: u32, limb: &Limb) -> i32 {
        let (mut word, mut out) = ([[0; 2]], [0]);
        prg.fill_u64(word.as_flattened_mut());
        backend::limb::add_uniform(limb, bits, &word, &mut out);
        limb.reduce(out[0])
    }

    #[test]
    fn flooding_is_the_same_integer_in_every_limb() {
        for bits in [20, 58, 62, 90, 100] {
            let mut exact = Seed([9; 32]).stream(Domain::Flood, 0);
            let mut prgs: std::vec::Vec<_> =
                LIMBS.iter().map(|_| Seed([9; 32]).stream(Domain::Flood, 0)).collect();
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
    fn any_cut<W: Words>() {
        let stream = || Small::<W>::new(Seed([3; 32]).stream(Domain::Noise, 0));
        let mut all = [0; 2000];
        stream().fill(&mut all).unwrap();
        let (mut parts, mut rest) = (stream(), all.as_slice());
        for len in [1, 2, 3, 15, 16, 17, 0, 511, 47, 48, 1, 1, 1, 1000] {
            let mut out = std::vec![0; len];
            parts.fill(&mut out).unwrap();
            assert_eq!(rest.split_off(..len).unwrap(), out, "{len}");
        }
    }

    #[test]
    fn values_do_not_depend_on_the_cut() {
        any_cut::<[u32; 2]>();
        any_cut::<[u32; 4]>();
        let limb = &LIMBS[3];
        let stream = || Seed([4; 32]).stream(Domain::Uniform, 0);
        let (mut one, mut all) = (stream(), [0; 5000]);
        uniform_vartime(&mut stream(), limb, &mut all).unwrap();
        for cut in all.chunks(333) {
            let mut out = [0; 333];
            uniform_vartime(&mut one, limb, &mut out[..cut.len()]).unwrap();
            assert_eq!(&out[..cut.len()], cut);
        }
        assert!(all.iter().all(|x| (0..limb.q).contains(x)));
    }

    #[test]
    fn noise_has_the_variance_of_the_bound() {
        let draws = 100_000;
        let mut noise = std::vec![0; draws];
        Noise::new(Seed([1; 32]).stream(Domain::Noise, 0)).fill(&mut noise).unwrap();
        let (mut sum, mut squares) = (0_i64, 0_i64);
        for e in noise.into_iter().map(i64::from) {
            sum += e;
            squares += e * e;
        }
        let variance = squares as f64 / draws as f64;
        assert!(
            (variance - f64::from(CBD) / 2.0).abs() < 0.25
                && (sum as f64 / draws as f64).abs() < 0.05
        );
    }

    #[test]
    fn ternary_values_are_equally_frequent() {
        let mut values = std::vec![0; 90_000];
        Ternary::new(Seed([2; 32]).stream(Domain::Ternary, 0)).fill(&mut values).unwrap();
        let mut counts = [0_i32; 3];
        for value in values {
            counts[(value + 1) as usize] += 1;
        }
        // Five standard deviations of a count are 707.
        assert!(counts.iter().all(|c| (c - 30_000).abs() < 707), "{counts:?}");
    }
}
