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
//! On the wire a instance is `32 · ands` bytes: for every AND, in the circuit's order, T_G then T_E,
//! 16 bytes each, little-endian. Records follow each other neuron by neuron, so how many neurons
//! (*lanes*) a party works on at once is its own affair.

mod activation;
pub mod circuits;
mod evaluator;
mod function;
mod garbler;
pub mod gates;
mod half_gates;

pub use circuits::{Argmax, Circuit, Max, Neuron};
pub use evaluator::Evaluator;
pub(crate) use evaluator::count;
pub use function::{Function, MAX_PIECES, Parity, PiecewiseLinear};
pub use garbler::Garbler;
pub use gates::{Bit, GateCounts, Gates, Number, bits, plain, shape, shapes, totals};

use crate::hash::{Block, Tmmo};
use core::array;

/// Bytes of one AND gate on the wire.
pub const GATE_BYTES: usize = 32;

/// A wire of all lanes: zero labels or active labels. No vector of them crosses a cache line.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(target_pointer_width = "64", repr(align(64)))]
pub struct Labels<const L: usize>([Block; L]);

/// The keys of `L` instances, one `stride` apart.
fn record_keys<const L: usize>(session: &Tmmo, layer: u64, first: u64, stride: u64) -> [Block; L] {
    let mut keys = array::from_fn(|lane| {
        let instance = first.wrapping_add(stride.wrapping_mul(lane as u64));
        Block::from(layer) << 64 | Block::from(instance)
    });
    session.permute_all(&mut keys);
    keys
}

/// Which labels, rows and outputs come next in the slices handed in, and which gate of the instance;
/// the same for every lane.
#[derive(Default)]
struct Cursor {
    server_input: usize,
    client_input: usize,
    row: usize,
    output: u32,
    gate: usize,
}

/// The first lane's instance of `step`, and from one lane's to the next. A wrapped instance has no
/// honest counterpart.
fn lane_records<C: Circuit>(circuit: &C, first_neuron: u64, step: usize) -> (u64, u64) {
    let steps = circuit.steps() as u64;
    (first_neuron.wrapping_mul(steps).wrapping_add(step as u64), steps)
}

/// The next index of a counter.
fn next(counter: &mut usize) -> usize {
    let index = *counter;
    *counter += 1;
    index
}

/// The `index`-th element of every lane, of lane-major `[lanes][stride]`; zeros for what is not
/// there.
#[inline(always)]
fn lane_elements<const L: usize>(blocks: &[Block], stride: usize, index: usize) -> Labels<L> {
    let mut from = if index < stride { blocks.get(index..).unwrap_or_default() } else { &[] };
    let mut labels = [0; L];
    for label in &mut labels {
        let Some(&element) = from.first() else { break };
        *label = element;
        from = from.get(stride..).unwrap_or_default();
    }
    Labels(labels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_record_has_its_own_key() {
        let session = Tmmo::new(1);
        let mut seen = HashSet::new();
        for layer in [0, 1, 2, 1 << 40] {
            // Records 0..64, in lanes of 8 with every stride that fits.
            for (first, stride) in [(0, 1), (8, 4), (9, 4), (10, 4), (11, 4)] {
                for key in record_keys::<8>(&session, layer, first, stride) {
                    assert!(seen.insert(key), "{layer} {first} {stride}");
                }
            }
        }
    }

    #[test]
    fn a_lanes_key_is_its_records() {
        let session = Tmmo::new(1);
        let keys = record_keys::<4>(&session, 7, 5, 3);
        for (lane, key) in keys.iter().enumerate() {
            let [own] = record_keys::<1>(&session, 7, 5 + 3 * lane as u64, 1);
            assert_eq!([*key, own], [session.permute(7 << 64 | (5 + 3 * lane as u128)); 2]);
        }
    }
}
