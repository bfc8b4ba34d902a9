//! What a server looks at before it has a session.

use crate::options::{minionn_options, read};
use crate::plan::emit;
use crate::pointer::{Out, slice};
use crate::status::{Status, guard, minionn_status};
use minionn_core::handshake::{self, Greeting};

/// What a new connection asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum minionn_greeting {
    /// The plan: answer with minionn_plan_reply() and drop the frame; another greeting follows.
    MINIONN_GREETING_PLAN_REQUEST = 0,
    /// A session: make one with these options and feed it the same bytes, the greeting included.
    MINIONN_GREETING_SESSION = 1,
    /// A session that goes on with a pairing, see minionn_greeting_pairing().
    MINIONN_GREETING_RESUME = 2,
}

/// Server: reads the first bytes of a connection, so that memory can be reserved for what the
/// client asks for.
///
/// `options` MUST have been filled by minionn_options_init(). For a session, the client's
/// repetition, tables and stock are put there; inbox and outbox stay. A server SHOULD refuse a
/// stock that costs more memory than it wants to give, with minionn_abort().
///
/// \retval MINIONN_NEED_MORE call again with more bytes, MINIONN_GREETING_MAX at most. Nothing was
/// written. \retval MINIONN_ERROR_UNEXPECTED, MINIONN_ERROR_FRAME_LENGTH, MINIONN_ERROR_CHECKSUM,
/// MINIONN_ERROR_MALFORMED this is no client. \retval MINIONN_ERROR_VERSION the client speaks
/// another version. \retval MINIONN_ERROR_REFUSED the client asks for options that do not exist.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_greeting_peek(
    bytes: *const u8,
    len: usize,
    options: *mut minionn_options,
    kind: *mut minionn_greeting,
    frame_len: *mut usize,
) -> minionn_status {
    guard(|| {
        // SAFETY: the caller's promise to this function.
        let (bytes, own, out) = unsafe { (slice(bytes, len)?, read(options)?, Out::new(options)?) };
        // SAFETY: as above.
        let (kind, frame_len) = unsafe { (Out::new(kind)?, Out::new(frame_len)?) };
        let (greeting, used) = Greeting::peek(bytes)?.ok_or(Status::MINIONN_NEED_MORE)?;
        kind.set(match greeting {
            Greeting::PlanRequest => minionn_greeting::MINIONN_GREETING_PLAN_REQUEST,
            Greeting::Hello(hello) => {
                out.set(own.replace(&hello.options));
                match hello.pairing {
                    None => minionn_greeting::MINIONN_GREETING_SESSION,
                    Some(_) => minionn_greeting::MINIONN_GREETING_RESUME,
                }
            }
        });
        frame_len.set(used);
        Ok(())
    })
}

/// Writes what tells the peer that the connection ends because of `reason`, MINIONN_ABORT_BYTES.
/// For a server that refuses before it has a session, with MINIONN_ERROR_REFUSED; a session tells
/// its peer itself.
///
/// \retval MINIONN_ERROR_MEMORY `capacity` is too small.
/// \retval MINIONN_ERROR_OPTION `reason` is no error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_abort(
    reason: i32,
    out: *mut u8,
    capacity: usize,
    written: *mut usize,
) -> minionn_status {
    guard(|| {
        let code = u16::try_from(reason)
            .ok()
            .filter(|code| (1..=200).contains(code))
            .ok_or(Status::MINIONN_ERROR_OPTION)?;
        // SAFETY: the caller's promise to this function.
        unsafe { emit(&handshake::abort(code), out, capacity, written) }
    })
}
