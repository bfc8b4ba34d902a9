//! The C ABI, called as C calls it: both parties in memory, and everything that a caller can do
//! wrong.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod blocking;
mod failures;
mod pairing;
mod parties;
mod sessions;

use core::ffi::CStr;
use minionn::minionn_status::*;
use minionn::*;

#[test]
fn versions_and_sizes_agree_with_the_package() {
    let [major, minor, patch] =
        [MINIONN_VERSION_MAJOR, MINIONN_VERSION_MINOR, MINIONN_VERSION_PATCH];
    assert_eq!(format!("{major}.{minor}.{patch}"), env!("CARGO_PKG_VERSION"));
    // SAFETY: static, with a static text that ends with a zero.
    let library = unsafe { &*minionn_library_info() };
    // SAFETY: static texts that end with a zero.
    unsafe {
        assert_eq!(CStr::from_ptr(library.version).to_str(), Ok(env!("CARGO_PKG_VERSION")));
        for status in [i32::MIN, -1, 0, 8, 90, 91, 92, 200, 300, i32::MAX] {
            assert!(!CStr::from_ptr(minionn_strerror(status)).is_empty());
        }
    }
    assert_eq!(library.version_number, major << 16 | minor << 8 | patch);
    assert_eq!(library.protocol_version, MINIONN_PROTOCOL_VERSION);
    assert_eq!(library.stock_max, MINIONN_STOCK_MAX);
    for (told, size) in [
        (library.align, MINIONN_ALIGN),
        (library.plan_max, MINIONN_PLAN_MAX),
        (library.plan_request_bytes, MINIONN_PLAN_REQUEST_BYTES),
        (library.plan_reply_max, MINIONN_PLAN_REPLY_MAX),
        (library.greeting_max, MINIONN_GREETING_MAX),
        (library.refusal_bytes, MINIONN_REFUSAL_BYTES),
        (library.pairing_id_bytes, MINIONN_PAIRING_ID_BYTES),
        (library.client_pairing_bytes, MINIONN_CLIENT_PAIRING_BYTES),
        (library.server_pairing_bytes, MINIONN_SERVER_PAIRING_BYTES),
        (library.buffer_min, MINIONN_BUFFER_MIN),
        (library.options_bytes, size_of::<minionn_options>()),
    ] {
        assert_eq!(told, size);
    }
}

#[test]
fn links_are_named_or_given_in_numbers() {
    let mut options = parties::options(1, 4096);
    assert_eq!(options.activations, MINIONN_ACTIVATIONS_GARBLED);
    for (link, rtt_us, bits_per_s) in [
        (minionn_link::MINIONN_LINK_LAN, 1_000, 1_000_000_000),
        (minionn_link::MINIONN_LINK_WAN, 50_000, 100_000_000),
        (minionn_link::MINIONN_LINK_UART, 2_000, 737_280),
        (minionn_link::MINIONN_LINK_BLE, 30_000, 700_000),
    ] {
        // SAFETY: live options.
        assert_eq!(unsafe { minionn_options_set_link(&mut options, link as i32) }, MINIONN_OK);
        assert_eq!(
            (options.activations, options.link_rtt_us, options.link_bits_per_s),
            (MINIONN_ACTIVATIONS_AUTO, rtt_us, bits_per_s)
        );
    }
}
