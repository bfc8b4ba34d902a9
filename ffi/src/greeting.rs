//! What a server looks at before it has a session.

use crate::options::{minionn_options, read};
use crate::plan::emit;
use crate::pointer::{Out, slice};
use crate::status::{Status, guard, minionn_status};
use minionn_core::handshake::{self, Greeting};

/// What a new connection asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum minionn_greeting_kind {
    /// The plan: answer with minionn_plan_reply() and drop the frame; another greeting follows.
    MINIONN_GREETING_PLAN_REQUEST = 0,
    /// A session: make one with minionn_server_init() and feed it the same bytes, the greeting
    /// included.
    MINIONN_GREETING_SESSION = 1,
    /// A session that goes on with a pairing: if the server has kept its half, as above, but with
    /// minionn_server_resume(). If not, the client MUST be told so: minionn_greeting_refuse() with
    /// MINIONN_ERROR_UNKNOWN_PAIRING, or a session by minionn_server_init(), which does that.
    MINIONN_GREETING_RESUME = 2,
}

/// The first message of a connection.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct minionn_greeting {
    /// What it asks for.
    pub kind: minionn_greeting_kind,
    /// Bytes of the message.
    pub frame_len: usize,
    /// For a session: the client's, with the server's own buffers. The bytes that the link carries
    /// in a round trip are the client's, its speed alone is not known. For a plan request: the
    /// server's own.
    pub options: minionn_options,
    /// Name of the pairing that the session goes on with; zeros if there is none.
    pub pairing_id: [u8; 16],
}

/// Server: reads the first bytes of a connection, so that memory can be reserved for what the
/// client asks for.
///
/// `own` gives inbox and outbox of a session. A server SHOULD refuse a stock that costs more memory
/// than it wants to give, with minionn_greeting_refuse().
///
/// \retval MINIONN_NEED_MORE call again with more bytes, MINIONN_GREETING_MAX at most.
/// \retval MINIONN_ERROR_UNEXPECTED, MINIONN_ERROR_FRAME_LENGTH, MINIONN_ERROR_CHECKSUM,
/// MINIONN_ERROR_MALFORMED this is no client.
/// \retval MINIONN_ERROR_VERSION the client speaks another version.
/// \retval MINIONN_ERROR_REFUSED the client asks for options that do not exist.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_greeting_peek(
    bytes: *const u8,
    len: usize,
    own: *const minionn_options,
    greeting: *mut minionn_greeting,
) -> minionn_status {
    use minionn_greeting_kind::*;
    guard(|| {
        // SAFETY: the caller's promise to this function.
        let (bytes, own, out) = unsafe { (slice(bytes, len)?, read(own)?, Out::new(greeting)?) };
        let (found, frame_len) = Greeting::peek(bytes)?.ok_or(Status::MINIONN_NEED_MORE)?;
        let (kind, options, pairing_id) = match found {
            Greeting::PlanRequest => (MINIONN_GREETING_PLAN_REQUEST, own, [0; 16]),
            Greeting::Hello(hello) => {
                let options = own.replace(&hello.options);
                match hello.pairing {
                    None => (MINIONN_GREETING_SESSION, options, [0; 16]),
                    Some(id) => (MINIONN_GREETING_RESUME, options, id),
                }
            }
        };
        out.set(minionn_greeting { kind, frame_len, options, pairing_id });
        Ok(())
    })
}

/// Server: writes what tells a client that the connection ends because of `reason`,
/// MINIONN_REFUSAL_BYTES. For a server that has no session yet, usually with MINIONN_ERROR_REFUSED;
/// a session tells its peer itself.
///
/// \retval MINIONN_ERROR_MEMORY `capacity` is too small.
/// \retval MINIONN_ERROR_OPTION `reason` is no error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_greeting_refuse(
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
