//! The lattice side, in the ring that most layers use.

use crate::bench::done;
use core::hint::black_box;
use minionn_core::backend::limb::{self, Polynomials, portable};
use minionn_core::lattice::encode::{Encoder, Plaintext};
use minionn_core::lattice::encrypt::{Mask, PUBLIC_KEY, transform_small};
use minionn_core::lattice::evaluate::{CiphertextRandomness, add_zero};
use minionn_core::lattice::noise::ParameterSet;
use minionn_core::lattice::rescale::{Basis, Fraction as _};
use minionn_core::lattice::{PublicKey, SecretKey, decrypt, encrypt};
use minionn_core::ring::{LIMBS, Limb};
use minionn_core::rng::Seed;
use minionn_core::wire::{GROUP, pack, packed_len, unpack};

/// The ring.
pub const SET: ParameterSet = ParameterSet::SMALL;
/// Coefficients of a polynomial.
pub const N: usize = SET.n;
/// Bits of a coefficient of an upload.
pub const UPLOAD_BITS: u32 = 40;

/// The limbs of the ring.
fn limbs() -> impl Iterator<Item = (usize, &'static Limb)> {
    LIMBS.iter().enumerate().take(SET.limbs)
}

/// A random polynomial in `[0, q)` of the first limb.
fn uniform(number: u64) -> Vec<i32> {
    let mut values = vec![0; N];
    done(Mask::new(&Seed([1; 32]), number, 0).fill(&LIMBS[0], &mut values));
    values
}

/// Which code runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// What the processor offers.
    Fastest,
    /// The portable path.
    Portable,
}

/// The transform of one limb.
pub struct Transform(Box<[i32; N]>);

impl Default for Transform {
    fn default() -> Self {
        let mut values = Box::new([0; N]);
        values.copy_from_slice(&uniform(0));
        Self(values)
    }
}

impl Transform {
    /// Forward, in place.
    pub fn forward(&mut self, path: Path) {
        match path {
            Path::Fastest => limb::forward(&LIMBS[0], black_box(self.0.as_mut_slice())),
            Path::Portable => portable::forward(&LIMBS[0], black_box(self.0.as_mut_slice())),
        }
    }

    /// Back.
    pub fn inverse(&mut self, path: Path) {
        match path {
            Path::Fastest => limb::inverse(&LIMBS[0], black_box(self.0.as_mut_slice())),
            Path::Portable => portable::inverse(&LIMBS[0], black_box(self.0.as_mut_slice())),
        }
    }
}

/// Sums of products of transformed ciphertexts and weights, in all limbs.
pub struct Products {
    halves: [Vec<i32>; 2],
    weights: Vec<i32>,
    sums: [Vec<i32>; 2],
}

impl Products {
    /// Ciphertexts that are added up.
    #[must_use]
    pub fn new(ciphertexts: usize) -> Self {
        let many = |first: usize| {
            (first..first + ciphertexts).flat_map(|number| uniform(number as u64)).collect()
        };
        Self { halves: [many(0), many(1)], weights: many(2), sums: [vec![0; N], vec![0; N]] }
    }

    /// The sum.
    pub fn run(&mut self, path: Path) {
        let sums =
            if path == Path::Fastest { limb::sums_of_products } else { portable::sums_of_products };
        let halves = self.halves.each_ref().map(|values| Polynomials { values, stride: N });
        let [z0, z1] = &mut self.sums;
        for (_, limb) in limbs() {
            sums(limb, black_box(halves), &self.weights, [z0, z1]);
        }
    }
}

/// Keys, and a ciphertext under way.
pub struct Encryption {
    seed: Seed,
    public: Seed,
    secrets: Vec<Vec<i32>>,
    noise: Vec<i8>,
    number: u64,
    /// The polynomial that is worked on.
    poly: Vec<i32>,
    encoded: Vec<i32>,
    sums: Vec<u64>,
    plaintext: Vec<u64>,
    /// A received `c1`.
    packed: Vec<u8>,
    unfolded: Vec<i8>,
}

/// Bits of a coefficient of the `c1` that is decrypted.
const C1_BITS: u32 = 33;

impl Default for Encryption {
    fn default() -> Self {
        let key = SecretKey::new(Seed([2; 32]));
        let secret = |limb| {
            let mut secret = vec![0; N];
            done(key.expand(limb, &mut secret));
            secret
        };
        let mut unfolded = vec![0; decrypt::unfolded(N)];
        done(decrypt::unfold(&key, &mut unfolded));
        Self {
            seed: Seed([4; 32]),
            public: Seed([3; 32]),
            secrets: LIMBS.iter().map(secret).collect(),
            noise: vec![0; N],
            number: 0,
            poly: vec![0; N],
            encoded: vec![0; N],
            sums: vec![0; N],
            plaintext: (0..N as u64).collect(),
            packed: (0..packed_len(N as u64, C1_BITS)).map(|i| (i * 37) as u8).collect(),
            unfolded,
        }
    }
}

impl Encryption {
    /// Encrypts a polynomial and rounds it; the key is expanded already.
    pub fn encrypt(&mut self) {
        let (encoder, basis) =
            (Encoder::new(Plaintext::Bits(20), SET.limbs), Basis::new(SET.limbs));
        self.number += 1;
        done(encrypt::noise(&self.seed, self.number, &mut self.noise));
        self.sums.fill(0);
        for ((index, limb), secret) in limbs().zip(&self.secrets) {
            let (public, noise, poly) = (&self.public, &self.noise, &mut self.poly);
            poly.copy_from_slice(secret);
            done(SecretKey::mask_limb((index, limb), self.number, public, noise, poly));
            done(encoder.encode_all(index, &self.plaintext, &mut self.encoded));
            poly.iter_mut().zip(&self.encoded).for_each(|(x, encoded)| *x += encoded);
            done(basis.add(index, poly, &mut self.sums));
        }
        self.plaintext.iter_mut().zip(&self.sums).for_each(|(x, sum)| *x = sum.round(UPLOAD_BITS));
        black_box(&mut self.plaintext);
    }

    /// `c1·s` of a ciphertext with many results, by transforms; the key is expanded already.
    pub fn decrypt_many(&mut self) {
        for (index, secret) in self.secrets.iter().enumerate().take(decrypt::limbs(N, C1_BITS)) {
            done(decrypt::load(index, &self.packed, C1_BITS, &mut self.poly));
            done(decrypt::multiply_by_secret(index, secret, &mut self.poly));
            black_box(&mut self.poly);
        }
    }

    /// The coefficients of `c1·s` of a ciphertext with `results` results, as inner products.
    pub fn decrypt_few(&mut self, results: usize) {
        let mut rows = vec![0; results];
        for (i, row) in rows.iter_mut().enumerate() {
            done(decrypt::row(N, i * N / results).map(|found| *row = found));
        }
        let (mut sums, mut values) = (vec![0; results], [0; GROUP]);
        let groups = self.packed.chunks_exact(GROUP * C1_BITS as usize / 8);
        for (packed, first) in groups.zip((0..).step_by(GROUP)) {
            let _whole_bytes = unpack(packed, C1_BITS, &mut values);
            let (unfolded, sums) = (&self.unfolded, &mut sums);
            done(decrypt::add_products(unfolded, C1_BITS, first, &values, &rows, sums));
        }
        black_box(&mut sums);
    }
}

/// What the evaluating party does to a sum of products before it is sent.
pub struct Results {
    seed: Seed,
    public: Seed,
    /// The peer's key, both halves.
    b: Vec<i32>,
    number: u64,
    z0: Vec<i32>,
    z1: Vec<i32>,
    ephemeral: Vec<i32>,
    /// An ephemeral key, the noise of `c1`.
    small: [Vec<i8>; 2],
    /// The noise of results.
    results: Vec<i8>,
    sums: Vec<u64>,
}

impl Default for Results {
    fn default() -> Self {
        Self {
            seed: Seed([5; 32]),
            public: Seed([6; 32]),
            b: (0..).flat_map(uniform).take(PUBLIC_KEY).collect(),
            number: 0,
            z0: uniform(1),
            z1: uniform(2),
            ephemeral: vec![0; N],
            small: [vec![0; N], vec![0; N]],
            results: vec![0; N],
            sums: vec![0; N],
        }
    }
}

impl Results {
    /// Re-randomises and rescales one ciphertext with `results` results.
    pub fn finish(&mut self, results: usize) {
        let basis = Basis::new(SET.limbs);
        self.number += 1;
        let fresh = CiphertextRandomness { seed: &self.seed, number: self.number };
        let key = PublicKey { seed: self.public.clone(), b: &self.b };
        let (runs, [small, e1]) = (results.div_ceil(16), &mut self.small);
        let e0 = &mut self.results[..runs * 16];
        done(fresh.draw(small, e0, e1));
        for (index, limb) in limbs() {
            done(transform_small(limb, small, &mut self.ephemeral));
            done(add_zero(SET, index, &key, &self.ephemeral, &mut self.z0, &mut self.z1));
            limb.inverse(&mut self.z0);
            limb.inverse(&mut self.z1);
            let runs = self.z0.chunks_exact_mut(32).map(|z0| &mut z0[..16]);
            let noise = e0.as_chunks::<16>().0.iter();
            for ((z0, noise), sums) in runs.zip(noise).zip(self.sums.chunks_exact_mut(16)) {
                limb::add_small(noise, z0);
                done(basis.add(index, z0, sums));
            }
            limb::add_small(e1, &mut self.z1);
            done(basis.add(index, &self.z1, &mut self.sums));
        }
        black_box(&mut self.sums);
    }
}

/// Integers as they travel: a polynomial of some width.
pub struct Bits {
    width: u32,
    values: Vec<u64>,
    packed: Vec<u8>,
}

impl Bits {
    /// Values of `width` bits each.
    #[must_use]
    pub fn new(width: u32) -> Self {
        let values =
            (1..=N as u64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - width)).collect();
        Self { width, values, packed: vec![0; packed_len(N as u64, width) as usize] }
    }

    /// Packed bytes.
    #[must_use]
    pub const fn len_bytes(&self) -> usize {
        self.packed.len()
    }

    /// Packs all, group by group.
    pub fn pack(&mut self) {
        for (values, packed) in self
            .values
            .chunks_exact(GROUP)
            .zip(self.packed.chunks_exact_mut(GROUP * self.width as usize / 8))
        {
            done(pack(values, self.width, packed));
        }
        black_box(&mut self.packed);
    }

    /// Unpacks all.
    pub fn unpack(&mut self) {
        for (values, packed) in self
            .values
            .chunks_exact_mut(GROUP)
            .zip(self.packed.chunks_exact(GROUP * self.width as usize / 8))
        {
            black_box(unpack(packed, self.width, values));
        }
    }
}
