//! The caller's random source.

use crate::status::{Result, Status};
use core::ffi::{c_int, c_void};
use minionn_core::rng::Seed;

/// Fills `out` with `len` bytes from a cryptographic random source: getrandom(), a hardware
/// generator. `user` is what the caller handed in beside the function. MUST return 0 if and only if
/// all bytes were filled. MUST NOT call back into this library, and MUST NOT throw.
///
/// It is called once, for 32 bytes, before anything is started; whatever it draws MUST NOT be used
/// for anything else.
pub type minionn_random =
    Option<unsafe extern "C" fn(user: *mut c_void, out: *mut u8, len: usize) -> c_int>;

/// A fresh seed.
///
/// # Safety
/// `random` keeps to the contract of [`minionn_random`].
pub(crate) unsafe fn draw(random: minionn_random, user: *mut c_void) -> Result<Seed> {
    let random = random.ok_or(Status::MINIONN_ERROR_NULL)?;
    let mut seed = Seed([0; 32]);
    // SAFETY: the buffer has as many bytes as the call says.
    let failed = unsafe { random(user, seed.0.as_mut_ptr(), seed.0.len()) } != 0;
    // A source that claims success and writes nothing is caught as well: an honest one draws this
    // with probability 2^-256.
    if failed || seed.0 == [0; 32] { Err(Status::MINIONN_ERROR_RANDOM) } else { Ok(seed) }
}
