//! A party's shares of tensors. One that is missing is an error: another number in its place would
//! give a secret away, or make an answer wrong.

use crate::error::{Error, Result};
use crate::plan::Plan;
use crate::ring::Modulus;

/// The client's shares of all tensors of a stock.
pub(crate) struct Shares<'s> {
    all: &'s mut [u64],
    per_prediction: usize,
}

impl<'s> Shares<'s> {
    pub(crate) fn new(all: &'s mut [u64], plan: &Plan<'_>) -> Self {
        Self { all, per_prediction: plan.elements() }
    }

    /// Those of the prediction in place `index`.
    pub(crate) fn of(&self, index: usize) -> Result<&[u64]> {
        let first = index * self.per_prediction;
        self.all.get(first..first + self.per_prediction).ok_or(Error::Internal)
    }

    /// The same, to be written.
    pub(crate) fn of_mut(&mut self, index: usize) -> Result<&mut [u64]> {
        let first = index * self.per_prediction;
        self.all.get_mut(first..first + self.per_prediction).ok_or(Error::Internal)
    }
}

/// `len` elements from `offset` on, of all tensors of a prediction.
pub(crate) fn tensor(all: &[u64], offset: usize, len: usize) -> Result<&[u64]> {
    all.get(offset..).and_then(|rest| rest.get(..len)).ok_or(Error::Internal)
}

/// The same, to be written.
pub(crate) fn tensor_mut(all: &mut [u64], offset: usize, len: usize) -> Result<&mut [u64]> {
    all.get_mut(offset..).and_then(|rest| rest.get_mut(..len)).ok_or(Error::Internal)
}

/// A share in a ring that may be narrower than its tensor's.
pub(crate) fn share(all: &[u64], i: usize, ring: Modulus) -> Result<u64> {
    all.get(i).map(|&x| ring.reduce(x)).ok_or(Error::Internal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_an_error() {
        let mut all = [1, 2, 3, 4, 5];
        let mut shares = Shares { all: &mut all, per_prediction: 2 };
        assert_eq!(shares.of(1), Ok(&[3, 4][..]));
        for index in [2, 3] {
            assert_eq!(shares.of(index), Err(Error::Internal));
            assert_eq!(shares.of_mut(index), Err(Error::Internal));
        }
        assert_eq!(tensor(&all, 1, 4), Ok(&[2, 3, 4, 5][..]));
        for (offset, len) in [(0, 6), (1, 5), (6, 0), (usize::MAX, 2)] {
            assert_eq!(tensor(&all, offset, len), Err(Error::Internal));
            assert_eq!(tensor_mut(&mut all, offset, len), Err(Error::Internal));
        }
        let ring = Modulus::Bits(2);
        assert_eq!((share(&all, 4, ring), share(&all, 5, ring)), (Ok(1), Err(Error::Internal)));
    }
}
