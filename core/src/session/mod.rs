//! The two parties. One engine, written top to bottom as `async` functions over a byte stream;
//! drivers differ only in the stream: [`blocking`] for sockets and serial lines, [`engine`] for
//! callers that move the bytes themselves (C, event loops).
//!
//! | phase | what happens | how often |
//! |---|---|---|
//! | handshake | hello, welcome | once per connection |
//! | set-up | keys, base OTs; nothing with the pairing of an earlier one | as above |
//! | offline | dot-product triplets, then OTs and tables unless streamed | once per stock |
//! | online | masked input, then messages for each non-linear operation | per prediction |
//!
//! Offline and online a party walks over the plan's operations in order. `choice` names the
//! protocol of each; a file per protocol has both parties' parts:
//!
//! | protocol | file |
//! |---|---|
//! | local: on shares alone | `local` |
//! | linear, by triplets | `triplets`, then `carries` |
//! | garbled circuit | `garbled` |
//! | comparison by OTs | `compared` |
//! | products by OTs | `products` |
//! | reveal | `reveal` |
//!
//! `client` and `server` are the two walks. They hand each protocol an `operation` (what is public)
//! and a `phase` (link, OTs, randomness, scratch); what offline leaves for online is in `material`.

pub mod blocking;
mod carries;
mod channel;
mod client;
mod compared;
pub mod engine;
mod extension;
mod garbled;
mod keys;
mod layout;
mod local;
mod material;
mod operation;
mod pairing;
mod phase;
mod polynomials;
mod prepared;
mod products;
mod reveal;
mod runs;
mod server;
mod setup;
mod shares;
mod store;
mod triplets;

pub use crate::handshake::PairingId;
pub use crate::options::{Activations, MAX_LOG2_BYTES_PER_ROUND, MAX_STOCK, Options, Tables};
pub use channel::Traffic;
pub use client::{Client, fetch_plan};
pub use layout::{
    client_memory, client_memory_on, prepared_memory, server_memory, small_server_memory,
    small_server_memory_on,
};
pub use pairing::{CLIENT_PAIRING_BYTES, Pairing, Party, SERVER_PAIRING_BYTES};
pub use prepared::{Footprint, Prepared};
pub use server::{Event, Server};
pub use store::{NoStore, SliceStore, Store};
