//! MiniONN's protocol engine, after "Oblivious Neural Network Predictions via MiniONN
//! Transformations" (Liu, Juuti, Lu, Asokan, CCS 2017): `no_std`, no allocation, no I/O, no clock,
//! no threads.
//!
//! From the outside in; each layer uses only those below it, and `cargo xtask test` holds that.
//!
//! | layer | what it is |
//! |---|---|
//! | [`session`] | the two parties: set-up, offline, online; blocking and sans-IO drivers |
//! | [`model`] | the server's weights; the integer model in the clear |
//! | [`cost`] | bytes and rounds of every phase, before anything runs |
//! | [`handshake`] | the first messages of a connection |
//! | `choice` | which protocol computes an operation |
//! | `compare` | activations by OTs instead of circuits |
//! | [`plan`] | the public description of a network: operations, tiles, circuits |
//! | `options` | how a session runs |
//! | `garble` | circuits, garbling, evaluating |
//! | [`ot`] | base OTs, OT extension, products by OT |
//! | `lattice` | packed ring-LWE encryption, noise bounds |
//! | `wire` | frames, packed bits |
//! | `ring` | integers mod 2^ℓ or N, the number-theoretic transform |
//! | `hash`, [`rng`] | the tweakable hash, seeds and streams |
//! | `backend` | what depends on the machine: the only place for `unsafe` |
//! | [`memory`], [`workers`] | the caller's memory and threads |
//! | `block`, `convolution`, `prime`, [`target`] | plain values: labels, shapes, a prime, sizes |
//! | [`error`], `attack`, [`params`] | errors, switches of the attack tests, parameters |
//!
//! Public are what a program needs that runs a session, and the formats of files and messages. The
//! rest is public with the feature `unstable`: for benches, tests and tools of this project. It may
//! change with every version.
#![no_std]
#![deny(unsafe_code)]
// Layers that are public with `unstable` only.
#![cfg_attr(not(feature = "unstable"), allow(unreachable_pub))]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(test)]
extern crate std;

#[cfg(not(any(feature = "attack", feature = "unstable")))]
mod attack;
#[cfg(any(feature = "attack", feature = "unstable"))]
pub mod attack;
#[cfg(not(feature = "unstable"))]
mod backend;
#[cfg(feature = "unstable")]
pub mod backend;
#[cfg(not(feature = "unstable"))]
mod block;
#[cfg(feature = "unstable")]
pub mod block;
#[cfg(not(feature = "unstable"))]
mod choice;
#[cfg(feature = "unstable")]
pub mod choice;
#[cfg(not(feature = "unstable"))]
mod compare;
#[cfg(feature = "unstable")]
pub mod compare;
#[cfg(not(feature = "unstable"))]
mod garble;
#[cfg(feature = "unstable")]
pub mod garble;
#[cfg(not(feature = "unstable"))]
mod hash;
#[cfg(feature = "unstable")]
pub mod hash;
#[cfg(not(feature = "unstable"))]
mod lattice;
#[cfg(feature = "unstable")]
pub mod lattice;
#[cfg(not(feature = "unstable"))]
mod ring;
#[cfg(feature = "unstable")]
pub mod ring;
#[cfg(not(feature = "unstable"))]
mod wire;
#[cfg(feature = "unstable")]
pub mod wire;

mod convolution;
pub mod cost;
pub mod error;
pub mod handshake;
pub mod memory;
pub mod model;
mod options;
pub mod ot;
pub mod params;
pub mod plan;
mod prime;
pub mod rng;
pub mod session;
pub mod target;
pub mod workers;

pub use error::{Error, Result};
