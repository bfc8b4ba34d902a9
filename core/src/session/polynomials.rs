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
    mut each: impl FnMut(usize, &[i32]),
) -> Result<()> {
    let mut coefficients = [0; GROUP];
    ch.get_groups(N, LIMB_BITS, |first, values| {
        let mut good = true;
        for (x, &value) in coefficients.iter_mut().zip(values) {
            good &= encrypt::is_canonical(limb, value);
            *x = value as i32;
        }
        each(first, &coefficients);
        if good { Ok(()) } else { Err(Error::Malformed) }
    })
    .await
}

/// Receives one limb of a polynomial.
pub(crate) async fn get_limb<IO: Read + Write>(
    ch: &mut Channel<IO>,
    limb: &Limb,
    out: &mut [i32],
) -> Result<()> {
    get_coefficients(ch, limb, |first, x| {
        out.iter_mut().skip(first).zip(x).for_each(|(out, &x)| *out = x);
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
        backend::limb::multiply(limb, values.get_mut(first..first + x.len()).unwrap_or_default(), x)
    })
    .await
}

/// Sends one limb of a polynomial in `[0, q)`.
pub(crate) async fn put_limb<IO: Read + Write>(ch: &mut Channel<IO>, values: &[i32]) -> Result<()> {
    ch.put_groups(values.len(), LIMB_BITS, |first, out| {
        out.iter_mut().zip(values.iter().skip(first)).for_each(|(out, &x)| *out = x as u64);
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
        out.iter_mut().zip(sums.iter().skip(first)).for_each(|(out, sum)| *out = sum.round(bits));
    })
    .await
}
