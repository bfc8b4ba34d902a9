//! Comparisons in a build that has none.

use crate::error::{Error, Result};
use crate::options::COMPARE;
use core::future::{Future, Ready, ready};

/// A future of this module. Without comparisons in this build, what would hold it takes no room in
/// the caller's future, and none of its code is there: it is an error that nothing gets to, as such
/// options are refused.
pub(crate) fn here<T, F: Future<Output = Result<T>>>(
    future: F,
) -> <Build<COMPARE> as Select>::Future<T, F> {
    Build::<COMPARE>::select(future)
}

/// A build with comparisons or without.
pub(crate) struct Build<const COMPARES: bool>;

/// What becomes of a comparison's future.
pub(crate) trait Select {
    type Future<T, F: Future<Output = Result<T>>>: Future<Output = Result<T>>;
    fn select<T, F: Future<Output = Result<T>>>(future: F) -> Self::Future<T, F>;
}

impl Select for Build<true> {
    type Future<T, F: Future<Output = Result<T>>> = F;
    fn select<T, F: Future<Output = Result<T>>>(future: F) -> F {
        future
    }
}

impl Select for Build<false> {
    type Future<T, F: Future<Output = Result<T>>> = Ready<Result<T>>;
    fn select<T, F: Future<Output = Result<T>>>(_: F) -> Ready<Result<T>> {
        ready(Err(Error::Option))
    }
}
