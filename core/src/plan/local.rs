//! What each party computes on its own share of a tensor, and the integer model on the tensor
//! itself.

use super::{Op, Step};
use crate::error::{Error, Result};
use crate::ring::Modulus;

impl Step {
    /// Carries out a local operation ([`Op::is_local`]) on all tensors of one prediction. The
    /// constants of [`Op::Offset`] are not added: the server does that.
    ///
    /// # Errors
    /// [`Error::Internal`] if `tensors` is too short, or the operation is not local.
    pub(crate) fn compute(&self, tensors: &mut [u64]) -> Result<()> {
        let (x, y) = self.split(tensors)?;
        let ring = Modulus::Bits(self.op.output().0);
        match self.op {
            Op::SumPool { window, .. } => {
                for (output, y) in y.iter_mut().enumerate() {
                    let sum = window.window_at(output).try_fold(0_u64, |sum, i| {
                        Ok(sum.wrapping_add(*x.get(i).ok_or(Error::Internal)?))
                    })?;
                    *y = ring.reduce(sum);
                }
            }
            Op::StridedAdd { onto, factor, view, .. } => {
                if !onto {
                    y.fill(0);
                }
                let factor = i64::from(factor) as u64;
                view.try_for_each(|from, to| {
                    let (x, y) = x.get(from).zip(y.get_mut(to)).ok_or(Error::Internal)?;
                    *y = ring.reduce(y.wrapping_add(factor.wrapping_mul(*x)));
                    Ok(())
                })?;
            }
            Op::Offset { .. } => {
                if x.len() != y.len() {
                    return Err(Error::Internal);
                }
                for (y, &x) in y.iter_mut().zip(x) {
                    *y = ring.reduce(x);
                }
            }
            _ => return Err(Error::Internal),
        }
        Ok(())
    }

    /// The tensor that is read, and the one that is made.
    pub(crate) fn split<'t>(&self, tensors: &'t mut [u64]) -> Result<(&'t [u64], &'t mut [u64])> {
        let ((_, inputs), (_, outputs)) = (self.op.input(), self.op.output());
        let (before, rest) = tensors.split_at_mut_checked(self.to).ok_or(Error::Internal)?;
        let x = before.get(self.from..self.from + inputs as usize).ok_or(Error::Internal)?;
        Ok((x, rest.get_mut(..outputs as usize).ok_or(Error::Internal)?))
    }

    /// Elements that the OT product `number` of a square or product multiplies: the one whose share
    /// the server puts in, the client's. A product of two tensors takes two for each element.
    pub(crate) const fn factors(&self, number: usize) -> (usize, usize) {
        match self.op {
            Op::Product { .. } => {
                let (x, y) = (self.from + number / 2, self.also + number / 2);
                if number.is_multiple_of(2) { (x, y) } else { (y, x) }
            }
            _ => (self.from + number, self.from + number),
        }
    }
}
