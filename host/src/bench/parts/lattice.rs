//! The lattice side: polynomials of n coefficients.

use super::{Facts, Measure, Needs};
use core::hint::black_box;
use minionn_core::lattice::encode::Plaintext;
use minionn_core::lattice::encrypt::{Mask, noise};
use minionn_core::lattice::evaluate::{Fresh, accumulate, add_zero};
use minionn_core::lattice::rescale::{Basis, Fraction as _};
use minionn_core::lattice::{Encoder, PublicKey, SecretKey, decrypt as lattice_decrypt};
use minionn_core::params::N;
use minionn_core::ring::{LIMBS, Limb};
use minionn_core::rng::Seed;
use minionn_core::wire::{pack, packed_len};

/// Bytes of one limb of a polynomial in memory.
const POLYNOMIAL: u64 = 4 * N as u64;
/// Pseudo-random bytes of a polynomial: uniform modulo a limb, ternary, noise (three values from each 16 bytes), flooding per value.
const UNIFORM: u64 = 4 * N as u64;
const TERNARY: u64 = N as u64 / 2;
const NOISE: u64 = 16 * N.div_ceil(3) as u64;
const FLOOD: u64 = 16;
/// Ring of the results that are decrypted, and so of nine bits more for `c1` and four for `c0`.
const RING: u32 = 24;
const C1_BITS: u32 = RING + 9;
const C0_BITS: u32 = RING + 4;

/// Uniform in `[0, q)` of one limb.
fn uniform(limb: usize, number: u64) -> Vec<i32> {
    let mut mask = Mask::new(&Seed([1; 32]), number, limb);
    LIMBS.get(limb).into_iter().flat_map(|limb| (0..N).map(|_| mask.next(limb)).collect::<Vec<_>>()).collect()
}

fn key() -> (SecretKey, Vec<Vec<i32>>) {
    let key = SecretKey::new(Seed([2; 32]));
    let expanded = LIMBS.iter().map(|limb| {
        let mut secret = vec![0; N];
        key.expand(limb, &mut secret);
        secret
    });
    let expanded = expanded.collect();
    (key, expanded)
}

fn transform(what: &str, run: fn(&Limb, &mut [i32]), measure: Measure<'_>) -> anyhow::Result<()> {
    let mut a = uniform(0, 0);
    let needs = Needs { bytes: 2 * POLYNOMIAL, ..Needs::default() };
    measure(Facts { what: what.to_owned(), units: 1, unit: "limb", needs }, &mut || {
        LIMBS.iter().take(1).for_each(|limb| run(limb, black_box(&mut a)));
        Ok(())
    })
}

/// Number-theoretic transform of one limb.
///
/// # Errors
/// Those of `measure`, as everywhere here.
pub fn forward(measure: Measure<'_>) -> anyhow::Result<()> {
    transform("NTT of 4096", Limb::forward, measure)
}

/// Its inverse.
///
/// # Errors
/// As above.
pub fn inverse(measure: Measure<'_>) -> anyhow::Result<()> {
    transform("inverse NTT", Limb::inverse, measure)
}

/// A ciphertext of four limbs times a polynomial of weights, added to a sum.
///
/// # Errors
/// As above.
pub fn multiply_accumulate(measure: Measure<'_>) -> anyhow::Result<()> {
    let limbs = LIMBS.len();
    let polynomials = |number| (0..limbs).map(move |limb| uniform(limb, number)).collect::<Vec<_>>();
    let (x, w, mut sum) = ([polynomials(1), polynomials(2)], polynomials(3), vec![vec![vec![0; N]; limbs]; 2]);
    // Read the ciphertext and the weights, read and write the sum.
    let needs = Needs { bytes: (2 + 1 + 4) * limbs as u64 * POLYNOMIAL, ..Needs::default() };
    measure(Facts { what: "multiply and add, 4 limbs".into(), units: 1, unit: "ciphertext", needs }, &mut || {
        for (x, sum) in x.iter().zip(&mut sum) {
            for (((limb, x), w), sum) in LIMBS.iter().zip(x).zip(&w).zip(sum) {
                accumulate(limb, x.iter().copied(), w, sum);
            }
        }
        black_box(&mut sum);
        Ok(())
    })
}

/// Symmetric encryption of n values under the first `limbs` limbs.
///
/// # Errors
/// As above.
pub fn encrypt(limbs: usize, measure: Measure<'_>) -> anyhow::Result<()> {
    let ((_, secrets), encoder) = (key(), Encoder::new(Plaintext::Bits(20), limbs));
    let (mut errors, mut out) = (vec![0; N], vec![0; N]);
    let needs = Needs { transforms: limbs as u64, random: limbs as u64 * UNIFORM + NOISE, ..Needs::default() };
    measure(Facts { what: format!("encrypt, {limbs} limbs"), units: 1, unit: "ciphertext", needs }, &mut || {
        noise(&Seed([4; 32]), 0, &mut errors);
        for (index, secret) in secrets.iter().enumerate().take(limbs) {
            for (i, x) in out.iter_mut().enumerate() {
                *x = encoder.encode(index, i as u64);
            }
            SecretKey::encrypt_limb(index, 0, &Seed([3; 32]), &errors, secret, &mut out);
            black_box(&mut out);
        }
        Ok(())
    })
}

/// Decryption of a result of which every coefficient is wanted.
///
/// # Errors
/// As above.
pub fn decrypt(measure: Measure<'_>) -> anyhow::Result<()> {
    let ((_, secrets), limbs) = (key(), lattice_decrypt::limbs(C1_BITS));
    let values: Vec<u64> = (0..N as u64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - C1_BITS)).collect();
    let mut packed = vec![0; packed_len(N as u64, C1_BITS) as usize];
    pack(&values, C1_BITS, &mut packed);
    let mut residues = vec![vec![0; N]; 3];
    let mut plain = vec![0; N];
    let needs = Needs { transforms: 2 * limbs as u64, bytes: packed.len() as u64, ..Needs::default() };
    measure(Facts { what: "decrypt, all coefficients".into(), units: 1, unit: "ciphertext", needs }, &mut || {
        for (index, (secret, polynomial)) in secrets.iter().zip(&mut residues).enumerate().take(limbs) {
            lattice_decrypt::load(index, &packed, C1_BITS, polynomial);
            lattice_decrypt::multiply_by_secret(index, secret, polynomial);
        }
        let [r0, r1, r2] = &residues[..] else { anyhow::bail!("three residues") };
        for ((((m, &r0), &r1), &r2), &c0) in plain.iter_mut().zip(r0).zip(r1).zip(r2).zip(&values) {
            *m = lattice_decrypt::round(RING, c0 >> (C1_BITS - C0_BITS), lattice_decrypt::lift([r0, r1, r2], limbs));
        }
        black_box(&mut plain);
        Ok(())
    })
}

/// A fresh encryption of zero, noise and flooding for a result of 16 values on four limbs, and its rescaling.
///
/// # Errors
/// As above.
pub fn rerandomise(measure: Measure<'_>) -> anyhow::Result<()> {
    const RESULTS: u64 = 16;
    let limbs = LIMBS.len() as u64;
    let b: Vec<i32> = (0..LIMBS.len()).flat_map(|limb| uniform(limb, 5)).collect();
    let key = PublicKey { seed: Seed([3; 32]), b: &b };
    let (mut c0, mut c1, mut ephemeral, mut sums) = (vec![0; N], vec![0; N], vec![0; N], vec![0_u64; N]);
    let (encoder, basis, seed) = (Encoder::new(Plaintext::Bits(RING), LIMBS.len()), Basis::new(LIMBS.len()), Seed([5; 32]));
    let random = limbs * (UNIFORM + TERNARY + NOISE + RESULTS * FLOOD);
    let needs = Needs { transforms: 3 * limbs, random, ..Needs::default() };
    measure(Facts { what: "flood and re-randomise, 4 limbs".into(), units: 1, unit: "ciphertext", needs }, &mut || {
        let fresh = Fresh { seed: &seed, number: 0, flood: 62 };
        for (index, limb) in LIMBS.iter().enumerate() {
            fresh.ephemeral(limb, &mut ephemeral);
            add_zero(index, &key, &ephemeral, &mut c0, &mut c1);
            limb.inverse(&mut c0);
            limb.inverse(&mut c1);
            let add = |sum: Option<&mut u64>, x: i32| sum.into_iter().for_each(|sum| sum.add(basis.fraction(index, x)));
            let mut each = sums.iter_mut();
            fresh.finish_c0(index, &encoder, &c0, (0..RESULTS).map(|i| (i as usize * 256, i)), |x| add(each.next(), x));
            let mut each = sums.iter_mut();
            fresh.finish_c1(index, &c1, |x| add(each.next(), x));
        }
        black_box(&mut sums);
        Ok(())
    })
}
