//! The host side of MiniONN: from an ONNX file to the integer model that the protocol runs.
//!
//! | module | what it is |
//! |---|---|
//! | [`cli`], [`commands`] | the `minionn` command; one file for each subcommand |
//! | [`compile`] | float network → integers, rings and shifts with proven bounds → plan and model |
//! | [`mod@bench`] | measuring; the method as published |
//! | [`client`], [`server`], [`link`] | the protocol over TCP |
//! | [`onnx`] | ONNX file → [`network`] |
//! | [`network`] | a chain of float layers |
//! | [`npy`] | NumPy arrays: samples in, results out |

pub mod bench;
pub mod cli;
pub mod client;
pub mod commands;
pub mod compile;
pub mod link;
pub mod network;
pub mod npy;
pub mod onnx;
pub mod server;
