//! MiniONN's protocol engine, after "Oblivious Neural Network Predictions via MiniONN
//! Transformations" (Liu, Juuti, Lu, Asokan, CCS 2017): `no_std`, no allocation, no I/O, no clock,
//! no threads.
//!
//! From the outside in; each layer uses only those below it.
//!
//! | layer | what it is |
//! |---|---|
//! | [`session`] | the two parties: handshake, set-up, offline, online; blocking and sans-IO drivers |
//! | [`plan`], [`model`] | the public description of a network; the server's weights; sizes before anything runs |
//! | [`garble`] | circuits, garbling, evaluating |
//! | [`compare`] | activations by OTs instead of circuits |
//! | [`ot`] | base OTs, OT extension, products by OT |
//! | [`lattice`] | packed ring-LWE encryption |
//! | [`ring`] | integers mod 2^ℓ or N, number-theoretic transform |
//! | [`wire`] | frames, packed bits |
//! | [`hash`], [`rng`], [`memory`], [`machine`], [`workers`], [`params`] | shared primitives |
//! | [`backend`] | the only place for `unsafe` |
#![no_std]
#![deny(unsafe_code)]
// Without comparisons, what serves them alone is left to the linker.
#![cfg_attr(
    not(feature = "compare"),
    allow(dead_code, unused_imports, unused_mut, unused_variables)
)]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(test)]
extern crate std;

pub mod attack;
pub mod backend;
pub mod compare;
pub mod error;
pub mod garble;
pub mod hash;
pub mod lattice;
pub mod machine;
pub mod memory;
pub mod model;
pub mod ot;
pub mod params;
pub mod plan;
pub mod ring;
pub mod rng;
pub mod session;
pub mod wire;
pub mod workers;

pub use error::{Error, Result};
