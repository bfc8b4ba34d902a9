//! Keys and seeded symmetric encryption, one limb at a time.

use super::sample::{self, Noise, Ternary};
use crate::backend;
use crate::params::LIMB_BITS;
use crate::ring::{LIMBS, Limb};
use crate::rng::{Domain, Prg, Seed};
use zeroize::Zeroizing;

/// A secret key: only its seed is kept; each use expands it.
pub struct SecretKey {
    seed: Seed,
}

/// Stream index of limb `limb` of polynomial `polynomial`.
const fn limb_stream(polynomial: u64, limb: usize) -> u64 {
    polynomial << 2 | limb as u64
}

impl SecretKey {
    /// A key from a seed whose stream `(Ternary, 0)` is used for nothing else.
    #[must_use]
    pub const fn new(seed: Seed) -> Self {
        Self { seed }
    }

    /// The seed.
    pub(crate) const fn seed(&self) -> &Seed {
        &self.seed
    }

    /// `NTT(s)` in Montgomery form, in `(−q, q)`. `out`: n values.
    pub fn expand(&self, limb: &Limb, out: &mut [i32]) {
        transform(limb, self.coefficients(), out);
    }

    /// The coefficients of `s`, in order.
    #[must_use]
    pub fn coefficients(&self) -> Ternary {
        Ternary::new(self.seed.stream(Domain::Ternary, 0))
    }

    /// Turns `out` from an encoded message (representatives below `0.6q`) into `c0 = m + e − a·s`,
    /// transformed, in `[0, q)`. `number` names the ciphertext under the public seed; `noise`
    /// is `e`, the same in every limb and used for this ciphertext only ([`noise`]); `secret`
    /// is [`SecretKey::expand`] for this limb.
    #[inline(never)]
    pub fn encrypt_limb(
        index: usize,
        number: u64,
        public: &Seed,
        noise: &[i8],
        secret: &[i32],
        out: &mut [i32],
    ) {
        let Some(limb) = LIMBS.get(index) else { return };
        backend::limb::add_small(noise, out);
        limb.forward(out);
        let (mut mask, mut a) = (Mask::new(public, number, index), [0; CHUNK]);
        for (out, secret) in out.chunks_mut(CHUNK).zip(secret.chunks(CHUNK)) {
            let Some(a) = a.get_mut(..out.len()) else { return };
            mask.fill(limb, a);
            backend::limb::multiply_subtract(limb, a, secret, out);
        }
    }
}

/// Values that are made at a time, on the stack.
const CHUNK: usize = 64;

/// The transform of a small polynomial in Montgomery form, in `(−q, q)`.
pub(super) fn transform(limb: &Limb, mut coefficients: Ternary, out: &mut [i32]) {
    let mut small = Zeroizing::new([0; CHUNK]);
    for out in out.chunks_mut(CHUNK) {
        let Some(small) = small.get_mut(..out.len()) else { return };
        coefficients.fill(small);
        backend::limb::to_montgomery_small(limb, small, out);
    }
    limb.forward(out);
}

/// The noise of ciphertext `number` under a seed that is used for nothing else.
pub fn noise(seed: &Seed, number: u64, out: &mut [i8]) {
    Noise::new(seed.stream(Domain::Noise, number)).fill(out);
}

/// The uniform half of a ciphertext in one limb, transformed, in `[0, q)`, coefficient by
/// coefficient.
pub struct Mask {
    prg: Prg,
}

impl Mask {
    /// The mask of ciphertext `number` under a public seed.
    #[must_use]
    pub fn new(public: &Seed, number: u64, limb: usize) -> Self {
        Self { prg: public.stream(Domain::Uniform, limb_stream(number, limb)) }
    }

    /// The next values.
    pub fn fill(&mut self, limb: &Limb, out: &mut [i32]) {
        sample::uniform_vartime(&mut self.prg, limb, out);
    }

    /// `values ∘ mask`, in place: the next values, in Montgomery form if those are.
    pub fn multiply(&mut self, limb: &Limb, values: &mut [i32]) {
        let mut mask = [0; CHUNK];
        for values in values.chunks_mut(CHUNK) {
            let Some(mask) = mask.get_mut(..values.len()) else { return };
            self.fill(limb, mask);
            backend::limb::multiply(limb, values, mask);
        }
    }
}

/// The peer's public key: an encryption of zero. `b` holds `−a·s + e` for each limb, transformed,
/// in `[0, q)`; `a` is seeded.
pub struct PublicKey<'a> {
    /// Seed of `a`: ciphertext number 0.
    pub seed: Seed,
    /// `b`: four limbs of n values.
    pub b: &'a [i32],
}

impl PublicKey<'_> {
    /// `a` in one limb. `out`: n values.
    pub fn expand(&self, index: usize, out: &mut [i32]) {
        let Some(limb) = LIMBS.get(index) else { return };
        Mask::new(&self.seed, 0, index).fill(limb, out);
    }

    /// `b` in one limb.
    #[must_use]
    pub fn limb(&self, index: usize) -> &[i32] {
        let n = self.b.len() / LIMBS.len();
        self.b.get(index * n..(index + 1) * n).unwrap_or_default()
    }
}

/// Whether a value received as a limb's coefficient is in range. Honest senders only send values
/// below q.
#[must_use]
pub fn is_canonical(limb: &Limb, x: u64) -> bool {
    debug_assert!(x < 1 << LIMB_BITS);
    x < limb.q as u64
}
