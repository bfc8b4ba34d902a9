//! The C ABI of MiniONN: private neural-network prediction between two parties, in the caller's
//! memory, over the caller's link. C programs read `include/minionn.h`, made from this. A client on
//! a socket, `examples/c/client.c`, which the tests compile and run against a server:
//!
//! ```c
#![doc = include_str!("../../examples/c/client.c")]
//! ```
//!
//! `examples/c/server.c` is its other side, `examples/cpp/client.cpp` the same on
//! `include/minionn.hpp`. A program that cannot wait feeds, polls and drains instead of calling
//! [`minionn_session_run`]; `tests/c/two_parties.c` does that for both parties in one program.
//!
//! | file | what it is |
//! |---|---|
//! | [`session`] | a session of either party: the caller moves the bytes |
//! | [`client`], [`server`] | how a session of either starts; a client's commands |
//! | [`io`] | or two callbacks move them, and calls wait |
//! | [`model`] | a server's weights, made ready once and shared by sessions |
//! | [`plan`] | the public description of a network, its costs, how a client fetches it |
//! | [`greeting`] | what a server looks at before it has a session |
//! | [`pairing`] | what set-up makes, kept for later sessions |
//! | [`executor`] | threads that a program lends |
//! | [`library`], [`options`], [`random`], [`status`] | what all of them use |
//! | `handle`, `pointer` | the boundary: handles in foreign memory, checked pointers |
//!
//! Every function checks its pointers, catches panics (feature `std`) and leaves its outputs as
//! they were when it fails.
#![cfg_attr(not(feature = "std"), no_std)]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(
    non_camel_case_types,
    reason = "types carry their C names, so that both sides can be searched for one word"
)]
#![allow(clippy::missing_safety_doc, reason = "the C documentation says MUST")]
#![allow(clippy::doc_markdown, reason = "the comments become C documentation")]

pub mod client;
pub mod executor;
pub mod greeting;
mod handle;
pub mod io;
pub mod library;
pub mod model;
pub mod options;
pub mod pairing;
pub mod plan;
mod pointer;
pub mod random;
pub mod server;
pub mod session;
pub mod status;

pub use client::*;
pub use executor::*;
pub use greeting::*;
pub use io::*;
pub use library::*;
pub use model::*;
pub use options::*;
pub use pairing::*;
pub use plan::*;
pub use random::*;
pub use server::*;
pub use session::*;
pub use status::*;

/// For firmware without Rust of its own: ends in C's `abort`.
#[cfg(all(feature = "panic-handler", not(feature = "std")))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    unsafe extern "C" {
        safe fn abort() -> !;
    }
    abort()
}
