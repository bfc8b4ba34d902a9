//! The two parties. One engine, written top to bottom as `async` functions over a byte stream;
//! drivers differ only in the stream: [`blocking`] for sockets and serial lines, [`engine`] for
//! callers that move the bytes themselves (C, event loops).
//!
//! ```text
//! handshake   hello, welcome                                   once per connection
//! set-up      keys, base OTs, OT extension                     once per connection,  [setup]
//!             or nothing, with a pairing that is left of an earlier set-up           [pairing]
//! offline     triplets, then OTs and tables unless streamed, for a stock             [triplets], [garbled], [products]
//! online      masked input, then one round trip for each non-linear layer (streamed: with its OTs and tables)
//! ```

pub mod blocking;
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
