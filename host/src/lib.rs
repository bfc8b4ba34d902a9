//! The host side of MiniONN: from an ONNX file to the integer model that the protocol runs.
//!
//! | module | what it is |
//! |---|---|
//! | [`cli`], [`commands`] | the `minionn` command; one file for each subcommand |
//! | [`compile`] | float network → integers, rings and shifts with proven bounds → plan and model |
//! | [`mod@bench`] | measuring; the method as published |
//! | [`mod@check`] | the float network, the integer model and the private run, layer by layer |
//! | [`client`], [`server`], [`server_process`], [`link`], [`serial`] | the protocol over TCP; the server over a serial line |
//! | [`threads`] | a pool that sessions share |
//! | [`link_model`] | round trip and bandwidth of a link |
//! | [`pairings`] | what set-up makes, kept for later sessions |
//! | [`loopback`], [`prefix`] | both parties in one process; the first operations of a model |
//! | [`c_header`] | a plan, or samples and answers, for a C compiler |
//! | [`plot`], [`chart`] | what a plan costs, and how costs grow, as pictures |
//! | [`onnx`] | ONNX file → [`network`] |
//! | [`network`] | a graph of float layers |
//! | [`npy`] | NumPy arrays: samples in, results out |

pub mod bench;
pub mod c_header;
pub mod chart;
pub mod check;
pub mod cli;
pub mod client;
pub mod commands;
pub mod compile;
pub mod link;
pub mod link_model;
pub mod loopback;
pub mod network;
pub mod npy;
pub mod onnx;
pub mod pairings;
pub mod plot;
pub mod prefix;
pub mod repository;
pub mod serial;
pub mod server;
pub mod server_process;
pub mod threads;
