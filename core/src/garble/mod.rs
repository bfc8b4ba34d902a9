//! Garbled circuits: half-gates (Zahur, Rosulek, Evans, Eurocrypt 2015) with free XOR and
//! point-and-permute.
//!
//! A non-linear layer is many copies (neurons) of one small [`Circuit`]. A circuit is written once,
//! over [`Gates`], and read as plain bits, by the [`Garbler`] (the server) and by the [`Evaluator`]
//! (the client), which also counts.
//!
//! One neuron takes `steps` *instances*; instance `neuron · steps + step` has its own AES key
//! `π_session(layer·2^64 + instance)` and gates numbered from 0, gate `j` with the tweaks `2j` and
//! `2j + 1`. So a key sees 8 AES calls per AND, 2^8 to 2^13 in all (see SECURITY.md for the bound).
//! `layer` must never repeat under one session key and Δ: it names the prediction, too.
//!
//! On the wire an instance is `32 · ands` bytes: for every AND, in the circuit's order, T_G then
//! T_E, 16 bytes each, little-endian. Instances follow each other neuron by neuron, so how many
//! neurons (*lanes*) a party works on at once is its own affair.

mod activation;
mod arithmetic;
mod circuit;
pub mod circuits;
mod count;
mod evaluator;
mod function;
mod garbler;
pub mod gates;
mod half_gates;
mod lanes;
#[cfg(any(test, feature = "unstable"))]
mod plain;

pub use circuit::Circuit;
pub use circuits::{Argmax, Max, Neuron};
pub use count::shapes;
pub(crate) use evaluator::count;
pub use evaluator::{EvaluateBuffers, Evaluator};
pub use function::{Function, MAX_PIECES, Parity, PiecewiseLinear};
pub use garbler::{GarbleBuffers, Garbler};
pub use gates::{GATE_BYTES, GateCounts};
#[cfg(any(test, feature = "unstable"))]
pub use {
    count::{shape, totals},
    gates::{Bit, Gates, Number, bits},
    lanes::Labels,
    plain::plain,
};
