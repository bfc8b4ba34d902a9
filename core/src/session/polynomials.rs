//! Polynomials on the wire, limb by limb.

use super::channel::Channel;
use crate::backend;
use crate::error::{Error, Result};
use crate::lattice::encrypt;
use crate::lattice::rescale::{Basis, Fraction};
use crate::ring::Limb;
use crate::wire::GROUP;
use embedded_io_async::{Read, Write};
use zeroize::Zeroizing;

/// Receives a limb of a polynomial, a group of coefficients at a time, with the number of the
/// first and the bytes that they came in. Coefficients that no honest peer can have sent are an
/// error.
async fn get_coefficients<IO: Read + Write>(
    ch: &mut Channel<IO>,
    limb: &Limb,
    n: usize,
    mut each: impl FnMut(usize, &[i32], &[u8]) -> Result<()> + Send,
) -> Result<()> {
    let mut coefficients = [0; GROUP];
    ch.get_packed(n, limb.bits(), &mut |first, values, bytes| {
        let coefficients = coefficients.get_mut(..values.len()).ok_or(Error::Internal)?;
        let mut good = true;
        for (x, &value) in coefficients.iter_mut().zip(values) {
            good &= encrypt::is_canonical(limb, value);
            *x = value as i32;
        }
        each(first, coefficients, bytes)?;
        if good { Ok(()) } else { Err(Error::Malformed) }
    })
    .await
}

/// The coefficients of a group whose first has this number.
fn group<T>(all: &[T], first: usize, len: usize) -> Result<&[T]> {
    all.get(first..first + len).ok_or(Error::Internal)
}

/// The same, to be written.
fn group_mut<T>(all: &mut [T], first: usize, len: usize) -> Result<&mut [T]> {
    all.get_mut(first..first + len).ok_or(Error::Internal)
}

/// Receives one limb of a polynomial.
pub(crate) async fn get_limb<IO: Read + Write>(
    ch: &mut Channel<IO>,
    limb: &Limb,
    out: &mut [i32],
) -> Result<()> {
    get_limb_with(ch, limb, out, |_| ()).await
}

/// The same; `seen` gets the bytes of all of it.
pub(crate) async fn get_limb_with<IO: Read + Write>(
    ch: &mut Channel<IO>,
    limb: &Limb,
    out: &mut [i32],
    mut seen: impl FnMut(&[u8]) + Send,
) -> Result<()> {
    get_coefficients(ch, limb, out.len(), |first, x, bytes| {
        seen(bytes);
        group_mut(out, first, x.len())?.copy_from_slice(x);
        Ok(())
    })
    .await
}

/// Receives one limb of a polynomial and multiplies `values` (Montgomery form) by it.
pub(crate) async fn get_times<IO: Read + Write>(
    ch: &mut Channel<IO>,
    limb: &Limb,
    values: &mut [i32],
) -> Result<()> {
    get_coefficients(ch, limb, values.len(), |first, x, _| {
        backend::limb::multiply(limb, group_mut(values, first, x.len())?, x);
        Ok(())
    })
    .await
}

/// Sends one limb of a polynomial of any representatives.
pub(crate) async fn put_limb<IO: Read + Write>(
    ch: &mut Channel<IO>,
    limb: &Limb,
    values: &[i32],
) -> Result<()> {
    ch.put_groups(values.len(), limb.bits(), &mut |first, out| {
        let values = group(values, first, out.len())?;
        out.iter_mut().zip(values).for_each(|(out, &x)| {
            *out = u64::from(limb.canonical(limb.reduce(x)));
        });
        Ok(())
    })
    .await
}

/// Sends a polynomial of degree n whose limbs lie one after the other, any representatives, rounded
/// to `bits` bits of the modulus.
pub(crate) async fn put_rescaled<IO: Read + Write>(
    ch: &mut Channel<IO>,
    basis: &Basis,
    n: usize,
    limbs: &[i32],
    bits: u32,
) -> Result<()> {
    ch.put_groups(n, bits, &mut |first, out| {
        let mut sums = Zeroizing::new([0_u64; GROUP]);
        let sums = sums.get_mut(..out.len()).ok_or(Error::Internal)?;
        for (index, limb) in limbs.chunks_exact(n).enumerate() {
            basis.add(index, group(limb, first, sums.len())?, sums)?;
        }
        out.iter_mut().zip(sums).for_each(|(out, sum)| *out = sum.round(bits));
        Ok(())
    })
    .await
}

/// Sends sums of fractions, rounded to `bits` bits.
pub(crate) async fn put_rounded<IO: Read + Write, F: Fraction>(
    ch: &mut Channel<IO>,
    sums: &[F],
    bits: u32,
) -> Result<()> {
    ch.put_groups(sums.len(), bits, &mut |first, out| {
        let sums = group(sums, first, out.len())?;
        out.iter_mut().zip(sums).for_each(|(out, sum)| *out = sum.round(bits));
        Ok(())
    })
    .await
}
