//! Polynomials on the wire, limb by limb.

use super::channel::Channel;
use crate::backend;
use crate::error::{Error, Result};
use crate::lattice::encrypt;
use crate::lattice::rescale::Fraction;
use crate::params::{LIMB_BITS, N};
use crate::ring::Limb;
use crate::wire::GROUP;
use embedded_io_async::{Read, Write};

/// Receives a limb of a polynomial, a group of coefficients at a time, with the number of the
/// first. Coefficients that no honest peer can have sent are an error.
async fn get_coefficients<IO: Read + Write>(
    ch: &mut Channel<IO>,
    limb: &Limb,
    mut each: impl FnMut(usize, &[i32]) -> Result<()>,
) -> Result<()> {
    let mut coefficients = [0; GROUP];
    ch.get_groups(N, LIMB_BITS, |first, values| {
        let coefficients = coefficients.get_mut(..values.len()).ok_or(Error::Internal)?;
        let mut good = true;
        for (x, &value) in coefficients.iter_mut().zip(values) {
            good &= encrypt::is_canonical(limb, value);
            *x = value as i32;
        }
        each(first, coefficients)?;
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
    get_coefficients(ch, limb, |first, x| {
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
    get_coefficients(ch, limb, |first, x| {
        backend::limb::multiply(limb, group_mut(values, first, x.len())?, x);
        Ok(())
    })
    .await
}

/// Sends one limb of a polynomial in `[0, q)`.
pub(crate) async fn put_limb<IO: Read + Write>(ch: &mut Channel<IO>, values: &[i32]) -> Result<()> {
    ch.put_groups(values.len(), LIMB_BITS, |first, out| {
        let values = group(values, first, out.len())?;
        out.iter_mut().zip(values).for_each(|(out, &x)| *out = x as u64);
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
    ch.put_groups(sums.len(), bits, |first, out| {
        let sums = group(sums, first, out.len())?;
        out.iter_mut().zip(sums).for_each(|(out, sum)| *out = sum.round(bits));
        Ok(())
    })
    .await
}
