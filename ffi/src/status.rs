//! Status numbers and the panic boundary.

use core::ffi::c_char;
use minionn_core::Error;

/// What a call returns. The numbers are fixed for ever: 1-99 the caller's fault, 100-199 the peer's
/// or the link's, 200 a bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
#[non_exhaustive]
pub enum minionn_status {
    /// Done.
    MINIONN_OK = 0,
    /// The memory handed in is too small.
    MINIONN_ERROR_MEMORY = 1,
    /// A pointer is not aligned as its type, or as the size query said.
    MINIONN_ERROR_ALIGNMENT = 2,
    /// Not a usable plan.
    MINIONN_ERROR_PLAN = 3,
    /// Not a usable model.
    MINIONN_ERROR_MODEL = 4,
    /// A tensor of the wrong length.
    MINIONN_ERROR_LENGTH = 5,
    /// An input is not a number or outside the plan's input range.
    MINIONN_ERROR_INPUT = 6,
    /// An option is outside its range.
    MINIONN_ERROR_OPTION = 7,
    /// No offline material is left: prepare first.
    MINIONN_ERROR_EXHAUSTED = 8,
    /// Not allowed in this state.
    MINIONN_ERROR_STATE = 9,
    /// The session has ended.
    MINIONN_ERROR_CLOSED = 10,
    /// The random source failed. Nothing was started.
    MINIONN_ERROR_RANDOM = 11,
    /// The table store failed.
    MINIONN_ERROR_STORE = 12,
    /// Not a usable pairing.
    MINIONN_ERROR_PAIRING = 13,
    /// A pointer that must not be NULL is NULL, or a length exceeds the address space.
    MINIONN_ERROR_NULL = 90,
    /// Not a handle of this type, or wiped before.
    MINIONN_ERROR_HANDLE = 91,
    /// A client's call on a server's session.
    MINIONN_ERROR_ROLE = 92,
    /// Reading or writing failed.
    MINIONN_ERROR_IO = 100,
    /// The peer closed the connection early.
    MINIONN_ERROR_EOF = 101,
    /// The peer sent a message that was not due.
    MINIONN_ERROR_UNEXPECTED = 102,
    /// The peer sent a message of the wrong length.
    MINIONN_ERROR_FRAME_LENGTH = 103,
    /// A message arrived damaged.
    MINIONN_ERROR_CHECKSUM = 104,
    /// The peer speaks another protocol version.
    MINIONN_ERROR_VERSION = 105,
    /// The peer serves another plan.
    MINIONN_ERROR_PLAN_MISMATCH = 106,
    /// The peer's options are refused.
    MINIONN_ERROR_REFUSED = 107,
    /// The peer sent a value that no honest peer sends.
    MINIONN_ERROR_MALFORMED = 108,
    /// The peer ended the session with an error, see peer_status of minionn_progress.
    MINIONN_ERROR_PEER_ABORTED = 109,
    /// The server does not have the client's pairing: start without it.
    MINIONN_ERROR_UNKNOWN_PAIRING = 110,
    /// The peer's OTs are inconsistent, which no honest peer's are. A server that has kept the
    /// session's pairing must delete it.
    MINIONN_ERROR_INCONSISTENT = 111,
    /// A bug in this library. The handle is of no further use but to be wiped.
    MINIONN_ERROR_INTERNAL = 200,
    /// No error: more bytes are needed.
    MINIONN_NEED_MORE = 300,
}

pub(crate) use minionn_status as Status;
pub(crate) type Result<T> = core::result::Result<T, Status>;

impl minionn_status {
    /// All of them.
    pub const ALL: &[Self] = {
        use minionn_status::*;
        &[
            MINIONN_OK,
            MINIONN_ERROR_MEMORY,
            MINIONN_ERROR_ALIGNMENT,
            MINIONN_ERROR_PLAN,
            MINIONN_ERROR_MODEL,
            MINIONN_ERROR_LENGTH,
            MINIONN_ERROR_INPUT,
            MINIONN_ERROR_OPTION,
            MINIONN_ERROR_EXHAUSTED,
            MINIONN_ERROR_STATE,
            MINIONN_ERROR_CLOSED,
            MINIONN_ERROR_RANDOM,
            MINIONN_ERROR_STORE,
            MINIONN_ERROR_PAIRING,
            MINIONN_ERROR_NULL,
            MINIONN_ERROR_HANDLE,
            MINIONN_ERROR_ROLE,
            MINIONN_ERROR_IO,
            MINIONN_ERROR_EOF,
            MINIONN_ERROR_UNEXPECTED,
            MINIONN_ERROR_FRAME_LENGTH,
            MINIONN_ERROR_CHECKSUM,
            MINIONN_ERROR_VERSION,
            MINIONN_ERROR_PLAN_MISMATCH,
            MINIONN_ERROR_REFUSED,
            MINIONN_ERROR_MALFORMED,
            MINIONN_ERROR_PEER_ABORTED,
            MINIONN_ERROR_UNKNOWN_PAIRING,
            MINIONN_ERROR_INCONSISTENT,
            MINIONN_ERROR_INTERNAL,
            MINIONN_NEED_MORE,
        ]
    };

    fn find(code: u16) -> Option<Self> {
        Self::ALL.iter().copied().find(|&status| status as i32 == i32::from(code))
    }

    /// What a peer said that ended the session. A code that no party of this version sends does
    /// not pass for a success, nor for something that this library says.
    pub(crate) fn of_peer(code: u16) -> Self {
        match Self::find(code) {
            None | Some(Self::MINIONN_OK | Self::MINIONN_NEED_MORE) => {
                Self::MINIONN_ERROR_MALFORMED
            }
            Some(status) => status,
        }
    }
}

impl From<Error> for minionn_status {
    fn from(error: Error) -> Self {
        // A test holds that every error of the core has its number here.
        Self::find(error.code()).unwrap_or(Self::MINIONN_ERROR_INTERNAL)
    }
}

/// One sentence for a status: what happened and what to do. Never NULL, static, English.
#[unsafe(no_mangle)]
pub extern "C" fn minionn_strerror(status: i32) -> *const c_char {
    describe(status).as_ptr().cast()
}

/// Ends with a zero.
fn describe(status: i32) -> &'static [u8] {
    /// One arm for each number, with the engine's own text.
    macro_rules! texts {
        ($($code:literal)*) => {
            match status {
                $($code => {
                    const TEXT: &str = Error::describe($code);
                    const BYTES: [u8; TEXT.len() + 1] = terminated(TEXT);
                    &BYTES
                })*
                90 => {
                    b"a pointer that must not be NULL is NULL, \
                      or a length exceeds the address space\0"
                }
                91 => b"not a handle of this type, or wiped before\0",
                92 => b"a client's call on a server's session\0",
                300 => b"more bytes are needed\0",
                _ => b"unknown status\0",
            }
        };
    }
    texts!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 100 101 102 103 104 105 106 107 108 109 110 111 200)
}

#[expect(clippy::indexing_slicing, reason = "runs in the compiler only")]
const fn terminated<const N: usize>(text: &str) -> [u8; N] {
    let (mut out, mut i) = ([0; N], 0);
    while i + 1 < N {
        out[i] = text.as_bytes()[i];
        i += 1;
    }
    out
}

/// Runs the body of a C function: no panic leaves it.
pub(crate) fn guard(body: impl FnOnce() -> Result<()>) -> Status {
    match caught(body) {
        Some(Ok(())) => Status::MINIONN_OK,
        Some(Err(status)) => status,
        None => Status::MINIONN_ERROR_INTERNAL,
    }
}

/// `None`: it panicked.
#[cfg(feature = "std")]
fn caught<T>(body: impl FnOnce() -> T) -> Option<T> {
    // A handle whose call panicked is marked as broken, so nothing half-changed is seen later.
    std::panic::catch_unwind(core::panic::AssertUnwindSafe(body)).ok()
}

/// Without `std`, a panic does not come back.
#[cfg(not(feature = "std"))]
fn caught<T>(body: impl FnOnce() -> T) -> Option<T> {
    Some(body())
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::ffi::CStr;
    use minionn_core::error::PlanFault;

    #[test]
    fn numbers_are_those_of_the_core() {
        let fault = PlanFault::Magic;
        let all = [
            Error::Memory { need: 0 },
            Error::Alignment,
            Error::Plan(fault),
            Error::Model(fault),
            Error::Length { need: 0 },
            Error::Input,
            Error::Option,
            Error::Exhausted,
            Error::State,
            Error::Closed,
            Error::Random,
            Error::Store,
            Error::Pairing(fault),
            Error::Io,
            Error::Eof,
            Error::Unexpected { expected: 0, got: 0 },
            Error::FrameLength { got: 0 },
            Error::Checksum,
            Error::Version,
            Error::PlanMismatch,
            Error::Refused,
            Error::Malformed,
            Error::PeerAborted(0),
            Error::UnknownPairing,
            Error::Inconsistent,
            Error::Internal,
        ];
        for error in all {
            assert_eq!(Status::from(error) as i32, i32::from(error.code()));
            assert_eq!(
                CStr::from_bytes_with_nul(describe(error.code().into())).unwrap().to_str(),
                Ok(Error::describe(error.code()))
            );
        }
        // OK, NULL, HANDLE, ROLE and NEED_MORE are this boundary's own.
        assert_eq!(Status::ALL.len(), all.len() + 5);
    }

    #[test]
    fn a_peer_cannot_say_that_all_is_well() {
        assert_eq!(Status::of_peer(107), Status::MINIONN_ERROR_REFUSED);
        for code in [0, 77, 300, u16::MAX] {
            assert_eq!(Status::of_peer(code), Status::MINIONN_ERROR_MALFORMED, "{code}");
        }
    }

    #[test]
    fn every_status_has_its_text() {
        let text = |status| CStr::from_bytes_with_nul(describe(status)).unwrap();
        let mut texts: Vec<_> = Status::ALL.iter().map(|&s| text(s as i32)).collect();
        texts.sort_unstable();
        texts.dedup();
        assert_eq!(texts.len(), Status::ALL.len());
        assert!(!texts.contains(&text(-1)));
    }

    #[test]
    fn no_panic_leaves() {
        assert_eq!(guard(|| panic!("on purpose")), Status::MINIONN_ERROR_INTERNAL);
        assert_eq!(guard(|| Err(Status::MINIONN_NEED_MORE)), Status::MINIONN_NEED_MORE);
    }
}
