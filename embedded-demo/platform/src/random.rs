//! Randomness as sessions take it: `rand_core`'s traits over what a board has.

use rand_core::utils::next_word_via_fill;
use rand_core::{TryCryptoRng, TryRng};

/// Why there are no random bytes: there is no source, or it has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceFailed;

impl core::fmt::Display for SourceFailed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("the source of randomness failed")
    }
}

impl core::error::Error for SourceFailed {}

/// Where a board's random bytes come from.
pub trait Source {
    /// Fills `bytes` with fresh ones.
    ///
    /// # Errors
    /// If the source cannot, or finds itself faulty.
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), SourceFailed>;
}

/// A source behind `rand_core`'s traits. Once it has failed it is never asked again: a generator
/// that found itself faulty is not to be trusted when it recovers.
#[derive(Debug)]
pub struct Random<S>(Option<S>);

impl<S> Random<S> {
    /// From a board's source; `None` if the board turned out to have none.
    pub const fn new(source: Option<S>) -> Self {
        Self(source)
    }
}

impl<S: Source> TryRng for Random<S> {
    type Error = SourceFailed;

    fn try_next_u32(&mut self) -> Result<u32, SourceFailed> {
        next_word_via_fill(self)
    }

    fn try_next_u64(&mut self) -> Result<u64, SourceFailed> {
        next_word_via_fill(self)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), SourceFailed> {
        let filled = self.0.as_mut().ok_or(SourceFailed).and_then(|source| source.fill(bytes));
        if filled.is_err() {
            self.0 = None;
        }
        filled
    }
}

impl<S: Source> TryCryptoRng for Random<S> {}
