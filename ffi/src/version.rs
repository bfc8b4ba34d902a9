//! Versions, and sizes that never change while a program runs: each as a macro and as a function of
//! the library that is linked.

use core::ffi::c_char;

/// Version of this header. A program may compare it with minionn_version_number().
pub const MINIONN_VERSION_MAJOR: u32 = 0;
/// See MINIONN_VERSION_MAJOR.
pub const MINIONN_VERSION_MINOR: u32 = 1;
/// See MINIONN_VERSION_MAJOR.
pub const MINIONN_VERSION_PATCH: u32 = 0;
/// Version of the protocol and of the file formats.
pub const MINIONN_PROTOCOL_VERSION: u16 = 1;

/// Alignment of all memory that is handed in.
pub const MINIONN_ALIGN: usize = 16;
/// Most bytes of a plan.
pub const MINIONN_PLAN_MAX: usize = 32880;
/// Bytes of a plan request.
pub const MINIONN_PLAN_REQUEST_BYTES: usize = 11;
/// Most bytes of the answer to a plan request.
pub const MINIONN_PLAN_REPLY_MAX: usize = 32889;
/// Most bytes that minionn_greeting_peek() wants.
pub const MINIONN_GREETING_MAX: usize = 105;
/// Bytes of an abort message.
pub const MINIONN_ABORT_BYTES: usize = 11;
/// Bytes of a pairing's name.
pub const MINIONN_PAIRING_ID_BYTES: usize = 16;
/// Bytes of a client's half of a pairing, exported.
pub const MINIONN_CLIENT_PAIRING_BYTES: usize = 96;
/// Bytes of a server's half of a pairing, exported.
pub const MINIONN_SERVER_PAIRING_BYTES: usize = 57456;
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
    assert!(MINIONN_ABORT_BYTES == handshake::ABORT_BYTES);
    assert!(MINIONN_PAIRING_ID_BYTES == size_of::<session::PairingId>());
    assert!(MINIONN_CLIENT_PAIRING_BYTES == session::CLIENT_PAIRING_BYTES);
    assert!(MINIONN_SERVER_PAIRING_BYTES == session::SERVER_PAIRING_BYTES);
    assert!(MINIONN_STOCK_MAX == session::MAX_STOCK);
    assert!(MINIONN_BUFFER_MIN == session::engine::Buffers::LEAST);
};

/// Version of the library that is linked, such as "0.1.0". Static.
#[unsafe(no_mangle)]
pub extern "C" fn minionn_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// Version of the library that is linked: `major << 16 | minor << 8 | patch`.
#[unsafe(no_mangle)]
pub extern "C" fn minionn_version_number() -> u32 {
    MINIONN_VERSION_MAJOR << 16 | MINIONN_VERSION_MINOR << 8 | MINIONN_VERSION_PATCH
}

/// MINIONN_PROTOCOL_VERSION of the library that is linked.
#[unsafe(no_mangle)]
pub extern "C" fn minionn_protocol_version() -> u16 {
    MINIONN_PROTOCOL_VERSION
}

/// MINIONN_ALIGN of the library that is linked.
#[unsafe(no_mangle)]
pub extern "C" fn minionn_align() -> usize {
    MINIONN_ALIGN
}

/// MINIONN_PLAN_MAX of the library that is linked.
#[unsafe(no_mangle)]
pub extern "C" fn minionn_plan_max() -> usize {
    MINIONN_PLAN_MAX
}

/// MINIONN_PLAN_REQUEST_BYTES of the library that is linked.
#[unsafe(no_mangle)]
pub extern "C" fn minionn_plan_request_bytes() -> usize {
    MINIONN_PLAN_REQUEST_BYTES
}

/// MINIONN_PLAN_REPLY_MAX of the library that is linked.
#[unsafe(no_mangle)]
pub extern "C" fn minionn_plan_reply_max() -> usize {
    MINIONN_PLAN_REPLY_MAX
}

/// MINIONN_GREETING_MAX of the library that is linked.
#[unsafe(no_mangle)]
pub extern "C" fn minionn_greeting_max() -> usize {
    MINIONN_GREETING_MAX
}

/// MINIONN_ABORT_BYTES of the library that is linked.
#[unsafe(no_mangle)]
pub extern "C" fn minionn_abort_bytes() -> usize {
    MINIONN_ABORT_BYTES
}

/// MINIONN_CLIENT_PAIRING_BYTES of the library that is linked.
#[unsafe(no_mangle)]
pub extern "C" fn minionn_client_pairing_bytes() -> usize {
    MINIONN_CLIENT_PAIRING_BYTES
}

/// MINIONN_SERVER_PAIRING_BYTES of the library that is linked.
#[unsafe(no_mangle)]
pub extern "C" fn minionn_server_pairing_bytes() -> usize {
    MINIONN_SERVER_PAIRING_BYTES
}
