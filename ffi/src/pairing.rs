//! Exported pairings: what set-up makes, so that later sessions start without one.

use crate::pointer::{Out, slice};
use crate::status::{Result, guard, minionn_status};
use minionn_core::session::{Pairing, Party};

/// What an exported pairing says about itself.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct minionn_pairing {
    /// Its name, the same for both halves: a server stores its half under it. Not secret.
    pub id: [u8; 16],
    /// Whether it is a server's half; else a client's.
    pub server: bool,
    /// The repetition that sessions of it MUST ask for.
    pub repetition: u8,
}

/// The pairing in these bytes.
///
/// # Safety
/// As [`slice`].
pub(crate) unsafe fn parse<'a>(pairing: *const u8, len: usize) -> Result<Pairing<'a>> {
    // SAFETY: the caller's promise.
    Ok(Pairing::parse(unsafe { slice(pairing, len) }?)?)
}

/// Checks a pairing that minionn_session_export_pairing() wrote, and says what it is.
///
/// \retval MINIONN_ERROR_PAIRING damaged, or of another version.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_pairing_info(
    pairing: *const u8,
    pairing_len: usize,
    info: *mut minionn_pairing,
) -> minionn_status {
    guard(|| {
        // SAFETY: the caller's promise to this function.
        let (pairing, out) = unsafe { (parse(pairing, pairing_len)?, Out::new(info)?) };
        out.set(minionn_pairing {
            id: *pairing.id(),
            server: pairing.party() == Party::Server,
            repetition: pairing.repetition().k() as u8,
        });
        Ok(())
    })
}
