//! Where random tests of all folders begin.

use core::cell::Cell;

/// Set this to a number to draw other samples than every day's.
const VARIABLE: &str = "MINIONN_TEST_SEED";

thread_local! {
    static SHOWN: Cell<bool> = const { Cell::new(false) };
}

/// The beginning of a generator that is `own` to it; another one for each [`VARIABLE`]. It is
/// printed, so that a failure shows what repeats it.
pub(crate) fn seed(own: u64) -> u64 {
    let chosen = std::env::var(VARIABLE).map_or(0_u64, |text| {
        text.parse().unwrap_or_else(|_| panic!("{VARIABLE}={text} is no number of 64 bits"))
    });
    if !SHOWN.replace(true) {
        println!("{VARIABLE}={chosen}");
    }
    // 0 leaves what each generator has of its own.
    own ^ chosen.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
