//! The caller's random source.

use crate::pointer::checked;
use crate::status::{Result, Status};
use core::ffi::{c_int, c_void};
use minionn_core::Error;
use rand_core::{TryCryptoRng, TryRng};

/// Bytes that a session draws from its random source, once, when it starts.
const SEED_BYTES: usize = 32;

/// A cryptographic random source: the operating system's, a hardware generator.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct minionn_random {
    /// Fills `out` with `len` bytes that nobody else knows and that were never used before.
    /// MUST return 0 if and only if all bytes were filled, MUST NOT throw, and MUST NOT call this
    /// library. A failure is never worked around: the call that needed the bytes fails with
    /// MINIONN_ERROR_RANDOM, and no session is started.
    pub fill: Option<unsafe extern "C" fn(user: *mut c_void, out: *mut u8, len: usize) -> c_int>,
    /// Handed to `fill`.
    pub user: *mut c_void,
}

/// For tests and test vectors ONLY, as `fill` of a minionn_random whose `user` points at 32 bytes:
/// hands these out, so a session says the same every time. Two sessions with one seed give their
/// secrets away.
///
/// \retval 0 `out` has the seed.
/// \retval -1 other than 32 bytes are asked for, or a pointer is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_random_test_seed(
    user: *mut c_void,
    out: *mut u8,
    len: usize,
) -> c_int {
    if len != SEED_BYTES || user.is_null() || out.is_null() {
        return -1;
    }
    // SAFETY: neither is NULL; the caller says that both have 32 bytes. They may even be the same.
    unsafe { core::ptr::copy(user.cast::<u8>(), out, SEED_BYTES) };
    0
}

/// The caller's source as the engine's. Once it has failed, it is not asked again.
pub(crate) struct Source {
    fill: unsafe extern "C" fn(user: *mut c_void, out: *mut u8, len: usize) -> c_int,
    user: *mut c_void,
    failed: bool,
}

impl Source {
    /// # Safety
    /// Unless NULL or crooked, `random` points at a [`minionn_random`] that keeps to its contract
    /// for as long as the result is used.
    pub(crate) unsafe fn new(random: *const minionn_random) -> Result<Self> {
        // SAFETY: neither NULL nor crooked, and the caller's promise.
        let minionn_random { fill, user } = unsafe { checked(random)?.read() };
        let fill = fill.ok_or(Status::MINIONN_ERROR_NULL)?;
        Ok(Self { fill, user, failed: false })
    }
}

impl TryRng for Source {
    type Error = Error;

    fn try_next_u32(&mut self) -> core::result::Result<u32, Error> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> core::result::Result<u64, Error> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> core::result::Result<(), Error> {
        // SAFETY: the promise of whoever made this; the slice has as many bytes as the call says.
        self.failed =
            self.failed || unsafe { (self.fill)(self.user, out.as_mut_ptr(), out.len()) } != 0;
        if self.failed { Err(Error::Random) } else { Ok(()) }
    }
}

impl TryCryptoRng for Source {}
