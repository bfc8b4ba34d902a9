//! The lattice side: polynomials of n coefficients.

use super::{Facts, Measure, Needs};
use crate::bench::primitives::lattice::{
    Bits, Encryption, N, Path, Products, Results, SET, Transform, UPLOAD_BITS,
};

/// Bytes of one limb of a polynomial in memory.
const POLYNOMIAL: u64 = 4 * N as u64;
/// Pseudo-random bytes of a polynomial: uniform modulo a limb, ternary, noise.
const UNIFORM: u64 = 4 * N as u64;
const TERNARY: u64 = N as u64 / 2;
const NOISE: u64 = 16 * N.div_ceil(3) as u64;
/// Results of a ciphertext that is sent back.
const RESULTS: usize = 16;
/// Limbs of a ciphertext.
const ALL: u64 = SET.limbs as u64;

fn facts(what: &str, unit: &'static str, needs: Needs) -> Facts {
    Facts { what: what.to_owned(), units: 1, unit, needs }
}

/// Bytes read and written.
fn moved(bytes: u64) -> Needs {
    Needs { bytes, ..Needs::default() }
}

/// Number-theoretic transform of one limb.
///
/// # Errors
/// Those of `measure`, as everywhere here.
pub fn forward(measure: Measure<'_>) -> anyhow::Result<()> {
    let mut transform = Transform::default();
    measure(facts("NTT of 2048", "limb", moved(2 * POLYNOMIAL)), &mut || {
        transform.forward(Path::Fastest);
        Ok(())
    })
}

/// Its inverse.
///
/// # Errors
/// As above.
pub fn inverse(measure: Measure<'_>) -> anyhow::Result<()> {
    let mut transform = Transform::default();
    measure(facts("inverse NTT", "limb", moved(2 * POLYNOMIAL)), &mut || {
        transform.inverse(Path::Fastest);
        Ok(())
    })
}

/// The sum of ciphertexts, each times a polynomial of weights.
///
/// # Errors
/// As above.
pub fn multiply_accumulate(measure: Measure<'_>) -> anyhow::Result<()> {
    const CIPHERTEXTS: usize = 3;
    let mut products = Products::new(CIPHERTEXTS);
    // Ciphertexts and weights are read, the sum is written.
    let needs = moved(ALL * POLYNOMIAL * (3 * CIPHERTEXTS as u64 + 2));
    let what = format!("multiply and add {CIPHERTEXTS}");
    measure(Facts { what, units: CIPHERTEXTS as u64, unit: "ciphertext", needs }, &mut || {
        products.run(Path::Fastest);
        Ok(())
    })
}

/// Symmetric encryption of n values.
///
/// # Errors
/// As above.
pub fn encrypt(measure: Measure<'_>) -> anyhow::Result<()> {
    let mut encryption = Encryption::default();
    let needs = Needs { transforms: ALL, random: ALL * UNIFORM + NOISE, ..Needs::default() };
    measure(facts("encrypt", "ciphertext", needs), &mut || {
        encryption.encrypt();
        Ok(())
    })
}

/// Decryption of a result of which every coefficient is wanted.
///
/// # Errors
/// As above.
pub fn decrypt_many(measure: Measure<'_>) -> anyhow::Result<()> {
    let mut encryption = Encryption::default();
    // Two limbs, there and back.
    let needs = Needs { transforms: 4, ..Needs::default() };
    measure(facts("decrypt, all results", "ciphertext", needs), &mut || {
        encryption.decrypt_many();
        Ok(())
    })
}

/// Decryption of a result of which few coefficients are wanted.
///
/// # Errors
/// As above.
pub fn decrypt_few(measure: Measure<'_>) -> anyhow::Result<()> {
    let mut encryption = Encryption::default();
    // Every result reads c1 and the secret.
    let needs = moved(RESULTS as u64 * N as u64 * 9);
    measure(facts(&format!("decrypt, {RESULTS} results"), "ciphertext", needs), &mut || {
        encryption.decrypt_few(RESULTS);
        Ok(())
    })
}

/// A fresh encryption of zero and noise for a result, and its rescaling.
///
/// # Errors
/// As above.
pub fn rerandomise(measure: Measure<'_>) -> anyhow::Result<()> {
    let mut results = Results::default();
    let needs =
        Needs { transforms: 3 * ALL, random: ALL * UNIFORM + TERNARY + NOISE, ..Needs::default() };
    measure(facts(&format!("re-randomise {RESULTS} results"), "ciphertext", needs), &mut || {
        results.finish(RESULTS);
        Ok(())
    })
}

fn bits(what: &str, run: fn(&mut Bits), measure: Measure<'_>) -> anyhow::Result<()> {
    let mut bits = Bits::new(UPLOAD_BITS);
    let needs = moved((8 * N + bits.len_bytes()) as u64);
    measure(
        Facts {
            what: format!("{what} values of {UPLOAD_BITS} bits"),
            units: N as u64,
            unit: "value",
            needs,
        },
        &mut || {
            run(&mut bits);
            Ok(())
        },
    )
}

/// Coefficients of an upload, packed.
///
/// # Errors
/// As above.
pub fn pack(measure: Measure<'_>) -> anyhow::Result<()> {
    bits("pack", Bits::pack, measure)
}

/// And back.
///
/// # Errors
/// As above.
pub fn unpack(measure: Measure<'_>) -> anyhow::Result<()> {
    bits("unpack", Bits::unpack, measure)
}
