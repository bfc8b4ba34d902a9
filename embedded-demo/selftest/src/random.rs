//! A board's randomness behind `rand_core`'s traits.

use platform::random::{Random, Source, SourceFailed};
use rand_core::TryRng as _;

/// Counts its calls, and fails at the second one only.
struct FailsOnce(u8);

impl Source for FailsOnce {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), SourceFailed> {
        self.0 += 1;
        bytes.fill(self.0);
        if self.0 == 2 { Err(SourceFailed) } else { Ok(()) }
    }
}

/// One failure, and the source is not asked again: a third call would succeed.
pub(crate) fn failure_is_final() -> bool {
    let mut random = Random::new(Some(FailsOnce(0)));
    let words = [(); 3].map(|()| random.try_next_u32());
    let mut absent = Random::new(None::<FailsOnce>);
    words == [Ok(0x0101_0101), Err(SourceFailed), Err(SourceFailed)]
        && absent.try_fill_bytes(&mut [0; 32]) == Err(SourceFailed)
}
