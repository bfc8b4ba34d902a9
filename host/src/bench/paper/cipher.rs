//! Ring-LWE encryption of batch-encoded polynomials mod N, at n = 4096 with a modulus q of 108
//! bits: four primes of its own.
//!
//! The paper encrypts with YASHE, which is broken (Albrecht, Bai, Ducas, Crypto 2016), so this is
//! BFV; the counts are the same. A result travels whole: no rescaling, no coefficient left out.

use super::batch::{Batch, Factor, MODULUS};
use crate::bench::done;
use minionn_core::backend::limb::{add_small, add_uniform, multiply, multiply_add};
use minionn_core::lattice::evaluate::CiphertextRandomness;
use minionn_core::lattice::sample::Noise;
use minionn_core::lattice::{SecretKey, encrypt, encrypt::Mask};
use minionn_core::params::N;
use minionn_core::ring::{Limb, montgomery_inverse};
use minionn_core::rng::{Domain, Seed};
use minionn_core::wire::packed_len;

/// The largest primes below 2^27 that are 1 mod 2n.
const PRIMES: [u32; 4] = [134_176_769, 134_111_233, 134_012_929, 133_963_777];
/// Bits of each.
const LIMB_BITS: u32 = 27;
/// Their limbs.
static LIMBS: [Limb; 4] =
    [Limb::new(PRIMES[0]), Limb::new(PRIMES[1]), Limb::new(PRIMES[2]), Limb::new(PRIMES[3])];
/// Their product.
const Q: u128 = PRIMES[0] as u128 * PRIMES[1] as u128 * PRIMES[2] as u128 * PRIMES[3] as u128;

/// What a residue counts for in a fraction of q.
#[derive(Clone, Copy)]
struct Fraction {
    /// `(q/q_i)^-1 mod q_i`, Montgomery form.
    inverse: i32,
    /// `⌊2^96/q_i⌋`.
    reciprocal: u128,
}

impl Fraction {
    fn of(limb: &Limb) -> Self {
        let q = limb.q as u128;
        let rest = (Q / q % q) as u64;
        Self { inverse: montgomery_inverse(rest, limb.q as u32), reciprocal: (1 << 96) / q }
    }

    /// The residue's part of `x/q`, as a fraction of `2^64`.
    fn part(self, limb: &Limb, residue: i32) -> u64 {
        let digit = limb.canonical(limb.mul(residue, self.inverse));
        ((u128::from(digit) * self.reciprocal) >> 32) as u64
    }
}

/// The noise of a product with a polynomial mod N: all n coefficients packed, up to `2^36` each.
const NOISE: u128 = (((1186 * N as u128).isqrt() + 1) << MODULUS.ilog2()) + 4400;
/// Flooding noise is uniform in `[−2^FLOOD, 2^FLOOD)`: as much as decryption, which fails beyond
/// `q/2N`, leaves.
const FLOOD: u32 = (Q / (2 * MODULUS as u128) - NOISE - 1).ilog2();
/// Bits between noise and flooding. 40 are the project's minimum.
pub const STATISTICAL_BITS: u32 = FLOOD - (NOISE.ilog2() + 1);

/// Bytes of an upload: one polynomial, the other is a seed.
pub const UPLOAD_BYTES: u64 = PRIMES.len() as u64 * packed_len(N as u64, LIMB_BITS);
/// Bytes of a download: two polynomials.
pub const DOWNLOAD_BYTES: u64 = 2 * UPLOAD_BYTES;
/// Bytes of the seed of all uploads of a layer.
pub const SEED_BYTES: u64 = 32;

/// `round(q·m/N)` limb by limb: with `h = ⌊N/2⌋` and `rem = (q·m + h) mod N` it is `(h − rem)/N` in
/// every limb.
struct Encoder {
    q_mod_n: Factor,
    /// `N^-1`, for a numerator that went through a Montgomery reduction.
    inverses: [i32; LIMBS.len()],
}

impl Encoder {
    fn new() -> Self {
        let q_mod_n = (Q % u128::from(MODULUS)) as u64;
        let inverses = LIMBS
            .each_ref()
            .map(|limb| limb.to_montgomery(montgomery_inverse(MODULUS, limb.q as u32)));
        Self { q_mod_n: Factor::new(q_mod_n), inverses }
    }

    /// In limb `index`, a representative in `(−q, q)`.
    fn encode(&self, index: usize, m: u64) -> i32 {
        let (Some(limb), Some(&inverse)) = (LIMBS.get(index), self.inverses.get(index)) else {
            return 0;
        };
        let half = MODULUS / 2;
        let rem = super::batch::RING.add(self.q_mod_n.times(m), half);
        limb.mul(limb.montgomery(half as i64 - rem as i64), inverse)
    }
}

/// An encryption by the client: `c0` for each limb, transformed, in `[0, q)`; `c1` is the stream
/// `number` of the public seed.
pub struct Upload {
    number: u64,
    c0: Vec<i32>,
}

/// A result: both polynomials for each limb, in `[0, q)`.
pub struct Download {
    c0: Vec<i32>,
    c1: Vec<i32>,
}

/// The client's side.
pub struct Client {
    /// `NTT(s)` for each limb, Montgomery form.
    secret: Vec<i32>,
    public: Seed,
    noise: Seed,
    encoder: Encoder,
    fractions: [Fraction; LIMBS.len()],
    /// Encryptions made; the public key is number 0.
    pub encryptions: u64,
    /// Decryptions made.
    pub decryptions: u64,
}

impl Client {
    /// Keys from a seed used for nothing else, and the server's side with the public key and a seed
    /// of its own.
    #[must_use]
    pub fn with_server(seed: &Seed, server: Seed) -> (Self, Server) {
        let key = SecretKey::new(seed.derive(0));
        let (public, noise) = (seed.derive(1), seed.derive(2));
        let (mut secret, mut b) = (vec![0; LIMBS.len() * N], vec![0; LIMBS.len() * N]);
        let mut errors = vec![0; N];
        done(encrypt::noise(&noise, 0, &mut errors));
        for (index, (limb, (secret, b))) in
            LIMBS.iter().zip(secret.chunks_exact_mut(N).zip(b.chunks_exact_mut(N))).enumerate()
        {
            done(key.expand(limb, secret));
            done(SecretKey::encrypt_limb((index, limb), 0, &public, &errors, secret, b));
        }
        let server = Server {
            seed: server,
            public: public.clone(),
            key: b,
            encoder: Encoder::new(),
            multiplications: 0,
        };
        let fractions = LIMBS.each_ref().map(Fraction::of);
        (
            Self {
                secret,
                public,
                noise,
                encoder: Encoder::new(),
                fractions,
                encryptions: 0,
                decryptions: 0,
            },
            server,
        )
    }

    /// Encrypts a polynomial mod N.
    pub fn encrypt(&mut self, coefficients: &[u64]) -> Upload {
        self.encryptions += 1;
        let (number, mut c0, mut errors) = (self.encryptions, vec![0; LIMBS.len() * N], vec![0; N]);
        done(encrypt::noise(&self.noise, number, &mut errors));
        let parts = c0.chunks_exact_mut(N).zip(self.secret.chunks_exact(N));
        for (index, (limb, (c0, secret))) in LIMBS.iter().zip(parts).enumerate() {
            for (x, &m) in c0.iter_mut().zip(coefficients) {
                *x = self.encoder.encode(index, m);
            }
            done(SecretKey::encrypt_limb((index, limb), number, &self.public, &errors, secret, c0));
        }
        Upload { number, c0 }
    }

    /// Decrypts to a polynomial mod N.
    pub fn decrypt(&mut self, result: &Download) -> Vec<u64> {
        self.decryptions += 1;
        let mut fractions = vec![0_u64; N];
        let mut product = vec![0; N];
        let parts = result
            .c0
            .chunks_exact(N)
            .zip(result.c1.chunks_exact(N))
            .zip(self.secret.chunks_exact(N));
        for ((limb, fraction), ((c0, c1), secret)) in LIMBS.iter().zip(self.fractions).zip(parts) {
            product.copy_from_slice(c1);
            limb.forward(&mut product);
            multiply(limb, &mut product, secret);
            limb.inverse(&mut product);
            for ((sum, x), c0) in fractions.iter_mut().zip(&product).zip(c0) {
                *sum = sum.wrapping_add(fraction.part(limb, x + c0));
            }
        }
        // phase/q is off by less than 2^-61, so N times that is harmless.
        let round =
            |f: u64| (((u128::from(f) * u128::from(MODULUS)) + (1 << 63)) >> 64) as u64 % MODULUS;
        fractions.into_iter().map(round).collect()
    }
}

/// A factor of the server: for each limb its transform, Montgomery form.
pub struct Multiplier(Vec<i32>);

impl Multiplier {
    /// The multiplier of a vector of n slots mod N.
    #[must_use]
    pub fn new(batch: &Batch, mut slots: Vec<u64>) -> Self {
        batch.encode(&mut slots);
        let mut limbs = vec![0; LIMBS.len() * N];
        for (limb, out) in LIMBS.iter().zip(limbs.chunks_exact_mut(N)) {
            for (x, &w) in out.iter_mut().zip(&slots) {
                *x = limb.to_montgomery(limb.reduce_wide(super::batch::RING.to_signed(w)));
            }
            limb.forward(out);
        }
        Self(limbs)
    }
}

/// The server's side.
pub struct Server {
    seed: Seed,
    public: Seed,
    /// The public key's `b`.
    key: Vec<i32>,
    encoder: Encoder,
    /// Homomorphic multiplications made.
    pub multiplications: u64,
}

impl Server {
    /// The product of an upload and a multiplier, plus a polynomial mod N; re-randomised, and
    /// flooded as far as there is room.
    pub fn multiply_add(
        &mut self,
        upload: &Upload,
        multiplier: &Multiplier,
        summand: &[u64],
    ) -> Download {
        self.multiplications += 1;
        let fresh = CiphertextRandomness { seed: &self.seed, number: self.multiplications };
        let mut result = Download { c0: upload.c0.clone(), c1: vec![0; LIMBS.len() * N] };
        let (mut ephemeral, mut errors, mut flood) = (vec![0; N], vec![0; N], vec![[0; 2]; N]);
        let parts = result
            .c0
            .chunks_exact_mut(N)
            .zip(result.c1.chunks_exact_mut(N))
            .zip(multiplier.0.chunks_exact(N).zip(self.key.chunks_exact(N)));
        for (index, (limb, ((c0, c1), (w, b)))) in LIMBS.iter().zip(parts).enumerate() {
            multiply(limb, c0, w);
            c1.copy_from_slice(w);
            done(Mask::new(&self.public, upload.number, index).multiply(limb, c1));
            done(fresh.ephemeral(limb, &mut ephemeral));
            multiply_add(limb, b, &ephemeral, c0);
            done(Mask::new(&self.public, 0, index).multiply(limb, &mut ephemeral));
            c1.iter_mut().zip(&ephemeral).for_each(|(x, &zero)| *x = limb.reduce(*x + zero));
            limb.inverse(c0);
            limb.inverse(c1);
            // Every limb draws the same integers again.
            done(Noise::new(self.seed.stream(Domain::Noise, fresh.number << 1)).fill(&mut errors));
            self.seed.stream(Domain::Flood, fresh.number).fill_u64(flood.as_flattened_mut());
            add_small(&errors, c0);
            add_uniform(limb, FLOOD, &flood, c0);
            for (x, &u) in c0.iter_mut().zip(summand) {
                *x = limb.canonical(limb.reduce(*x + self.encoder.encode(index, u))) as i32;
            }
            done(fresh.add_noise_to_c1(c1));
            for x in c1.iter_mut() {
                *x = limb.canonical(limb.reduce(*x)) as i32;
            }
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::super::batch::RING;
    use super::*;

    #[test]
    fn slots_multiply_and_add_under_encryption() {
        let batch = Batch::default();
        let (mut client, mut server) = Client::with_server(&Seed([1; 32]), Seed([2; 32]));
        for round in 0..3 {
            // Uniform slots, and the extremes: all N − 1.
            let draw = |which: u64| -> Vec<u64> {
                let mut prg = Seed([3; 32]).stream(Domain::Mask, round * 3 + which);
                (0..N)
                    .map(|_| if round == 0 { MODULUS - 1 } else { prg.next_u64() % MODULUS })
                    .collect()
            };
            let (x, w, u) = (draw(0), draw(1), draw(2));
            let (mut encoded_x, mut encoded_u) = (x.clone(), u.clone());
            batch.encode(&mut encoded_x);
            batch.encode(&mut encoded_u);
            let upload = client.encrypt(&encoded_x);
            let mut got = client.decrypt(&server.multiply_add(
                &upload,
                &Multiplier::new(&batch, w.clone()),
                &encoded_u,
            ));
            batch.decode(&mut got);
            let want: Vec<u64> = x
                .iter()
                .zip(&w)
                .zip(&u)
                .map(|((&x, &w), &u)| RING.add(RING.mul(x, w), u))
                .collect();
            assert!(got == want, "round {round}");
        }
        assert_eq!((client.encryptions, server.multiplications, client.decryptions), (3, 3, 3));
    }

    #[test]
    fn flooding_does_not_reach_the_minimum() {
        assert!(
            (15..minionn_core::params::FLOOD_BITS).contains(&STATISTICAL_BITS),
            "{STATISTICAL_BITS} bits"
        );
        assert!((1 << FLOOD) + NOISE < Q / (2 * u128::from(MODULUS)));
    }
}
