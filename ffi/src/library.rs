//! The library that is linked: its version, and sizes that never change while a program runs.

use core::ffi::c_char;

/// Version of this header; minionn_library_info() tells the library's.
pub const MINIONN_VERSION_MAJOR: u32 = 0;
/// See MINIONN_VERSION_MAJOR.
pub const MINIONN_VERSION_MINOR: u32 = 1;
/// See MINIONN_VERSION_MAJOR.
pub const MINIONN_VERSION_PATCH: u32 = 0;
/// Version of the protocol and of the file formats.
pub const MINIONN_PROTOCOL_VERSION: u16 = 2;

/// Alignment of all memory that is handed in.
pub const MINIONN_ALIGN: usize = 16;
/// Most bytes of a plan.
pub const MINIONN_PLAN_MAX: usize = 295024;
/// Bytes of a plan request.
pub const MINIONN_PLAN_REQUEST_BYTES: usize = 11;
/// Most bytes of the answer to a plan request.
pub const MINIONN_PLAN_REPLY_MAX: usize = 295033;
/// Most bytes that minionn_greeting_peek() wants.
pub const MINIONN_GREETING_MAX: usize = 105;
/// Bytes of a refusal.
pub const MINIONN_REFUSAL_BYTES: usize = 11;
/// Bytes of a pairing's name.
pub const MINIONN_PAIRING_ID_BYTES: usize = 16;
/// Bytes of a client's half of a pairing, exported.
pub const MINIONN_CLIENT_PAIRING_BYTES: usize = 96;
/// Bytes of a server's half of a pairing, exported.
pub const MINIONN_SERVER_PAIRING_BYTES: usize = 56688;
/// Most predictions in one stock.
pub const MINIONN_STOCK_MAX: u32 = 4096;
/// Least bytes of inbox and outbox.
pub const MINIONN_BUFFER_MIN: usize = 64;

const _: () = {
    use minionn_core::{handshake, memory, params, plan, session};
    assert!(MINIONN_PROTOCOL_VERSION == params::VERSION);
    assert!(MINIONN_ALIGN == memory::ALIGN);
    assert!(MINIONN_PLAN_MAX == plan::MAX_BYTES);
    assert!(MINIONN_PLAN_REQUEST_BYTES == handshake::PLAN_REQUEST_BYTES);
    assert!(MINIONN_PLAN_REPLY_MAX == handshake::PLAN_REPLY_MAX);
    assert!(MINIONN_GREETING_MAX == handshake::Greeting::MAX);
    assert!(MINIONN_REFUSAL_BYTES == handshake::ABORT_BYTES);
    assert!(MINIONN_PAIRING_ID_BYTES == size_of::<session::PairingId>());
    assert!(MINIONN_CLIENT_PAIRING_BYTES == session::CLIENT_PAIRING_BYTES);
    assert!(MINIONN_SERVER_PAIRING_BYTES == session::SERVER_PAIRING_BYTES);
    assert!(MINIONN_STOCK_MAX == session::MAX_STOCK);
    assert!(MINIONN_BUFFER_MIN == session::engine::Buffers::LEAST);
};

/// What the library that is linked was compiled with: for programs that cannot read this header,
/// and for those that want to be sure that header and library belong together.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct minionn_library {
    /// Such as "0.1.0", ends with a zero.
    pub version: *const c_char,
    /// `major << 16 | minor << 8 | patch`.
    pub version_number: u32,
    /// MINIONN_PROTOCOL_VERSION.
    pub protocol_version: u16,
    /// MINIONN_ALIGN.
    pub align: usize,
    /// MINIONN_PLAN_MAX.
    pub plan_max: usize,
    /// MINIONN_PLAN_REQUEST_BYTES.
    pub plan_request_bytes: usize,
    /// MINIONN_PLAN_REPLY_MAX.
    pub plan_reply_max: usize,
    /// MINIONN_GREETING_MAX.
    pub greeting_max: usize,
    /// MINIONN_REFUSAL_BYTES.
    pub refusal_bytes: usize,
    /// MINIONN_PAIRING_ID_BYTES.
    pub pairing_id_bytes: usize,
    /// MINIONN_CLIENT_PAIRING_BYTES.
    pub client_pairing_bytes: usize,
    /// MINIONN_SERVER_PAIRING_BYTES.
    pub server_pairing_bytes: usize,
    /// MINIONN_STOCK_MAX.
    pub stock_max: u32,
    /// MINIONN_BUFFER_MIN.
    pub buffer_min: usize,
    /// sizeof(minionn_options), for minionn_options_init().
    pub options_bytes: usize,
}

// SAFETY: nobody writes it, nor the text that it points at.
unsafe impl Sync for minionn_library {}

static LIBRARY: minionn_library = minionn_library {
    version: concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast(),
    version_number: MINIONN_VERSION_MAJOR << 16
        | MINIONN_VERSION_MINOR << 8
        | MINIONN_VERSION_PATCH,
    protocol_version: MINIONN_PROTOCOL_VERSION,
    align: MINIONN_ALIGN,
    plan_max: MINIONN_PLAN_MAX,
    plan_request_bytes: MINIONN_PLAN_REQUEST_BYTES,
    plan_reply_max: MINIONN_PLAN_REPLY_MAX,
    greeting_max: MINIONN_GREETING_MAX,
    refusal_bytes: MINIONN_REFUSAL_BYTES,
    pairing_id_bytes: MINIONN_PAIRING_ID_BYTES,
    client_pairing_bytes: MINIONN_CLIENT_PAIRING_BYTES,
    server_pairing_bytes: MINIONN_SERVER_PAIRING_BYTES,
    stock_max: MINIONN_STOCK_MAX,
    buffer_min: MINIONN_BUFFER_MIN,
    options_bytes: size_of::<crate::options::minionn_options>(),
};

/// Versions and sizes of the library that is linked. Never NULL, static.
#[unsafe(no_mangle)]
pub extern "C" fn minionn_library_info() -> *const minionn_library {
    &raw const LIBRARY
}
