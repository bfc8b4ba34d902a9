//! The tests of the public interface, in one program: protocols are compiled once for all of them.
//! `attacks` is another one, with the feature `attack`.

#[path = "reference/mod.rs"]
mod against_reference;
mod circuits;
mod common;
mod engine;
mod linear;
mod ot;
mod pairing;
#[path = "common/parties.rs"]
mod parties;
mod plans;
mod properties;
mod robustness;
mod session;
