//! Labels, keys and places of the neurons that are garbled or evaluated side by side.

use super::circuit::Circuit;
use crate::block::Block;
use crate::hash::Tmmo;
use core::array;

/// A wire of all lanes: zero labels or active labels. No vector of them crosses a cache line.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(target_pointer_width = "64", repr(align(64)))]
pub struct Labels<const L: usize>(pub(super) [Block; L]);

/// The keys of `L` instances, one `stride` apart.
pub(super) fn instance_keys<const L: usize>(
    session: &Tmmo,
    layer: u64,
    first: u64,
    stride: u64,
) -> [Block; L] {
    let mut keys = array::from_fn(|lane| {
        let instance = first.wrapping_add(stride.wrapping_mul(lane as u64));
        Block::from(layer) << 64 | Block::from(instance)
    });
    session.permute_all(&mut keys);
    keys
}

/// Which labels, rows and outputs come next in the slices handed in, and which gate of the
/// instance; the same for every lane.
#[derive(Default)]
pub(super) struct Cursor {
    pub(super) server_input: usize,
    pub(super) client_input: usize,
    pub(super) row: usize,
    pub(super) output: u32,
    pub(super) gate: usize,
}

/// The first lane's instance of `step`, and from one lane's to the next. A wrapped instance has no
/// honest counterpart.
pub(super) fn lane_instances<C: Circuit>(
    circuit: &C,
    first_neuron: u64,
    step: usize,
) -> (u64, u64) {
    let steps = circuit.steps() as u64;
    (first_neuron.wrapping_mul(steps).wrapping_add(step as u64), steps)
}

/// The next index of a counter.
pub(super) fn next(counter: &mut usize) -> usize {
    let index = *counter;
    *counter += 1;
    index
}

/// Reads the `index`-th element of each of the `lanes` lanes, of lane-major `[lanes][stride]`; what
/// lanes behind them hold is of no use. False if one of them has no such element. Labels are
/// written where they are wanted, and in a loop over all lanes: by value in an `Option`, or in a
/// loop over some lanes, they would be copied on the stack.
#[inline(always)]
#[must_use]
pub(super) fn lane_elements<const L: usize>(
    blocks: &[Block],
    stride: usize,
    lanes: usize,
    index: usize,
    labels: &mut Labels<L>,
) -> bool {
    let there = lanes == 0 || index < stride && lanes * stride <= blocks.len();
    if there {
        for (lane, label) in labels.0.iter_mut().enumerate() {
            if let Some(&element) = blocks.get(lane * stride + index) {
                *label = element;
            }
        }
    }
    there
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_instance_has_its_own_key() {
        let session = Tmmo::new(1);
        let mut seen = HashSet::new();
        for layer in [0, 1, 2, 1 << 40] {
            // Instances 0..64, in lanes of 8 with every stride that fits.
            for (first, stride) in [(0, 1), (8, 4), (9, 4), (10, 4), (11, 4)] {
                for key in instance_keys::<8>(&session, layer, first, stride) {
                    assert!(seen.insert(key), "{layer} {first} {stride}");
                }
            }
        }
    }

    #[test]
    fn an_element_that_a_lane_lacks_is_missing() {
        let blocks = [1, 2, 3, 4, 5, 6];
        let element = |stride, lanes, index| {
            let mut labels = Labels([9; 4]);
            lane_elements(&blocks, stride, lanes, index, &mut labels).then_some(labels.0)
        };
        assert_eq!(element(2, 3, 1), Some([2, 4, 6, 9]));
        assert_eq!(element(0, 0, 6), Some([9; 4]));
        for (stride, lanes, index) in [(2, 3, 2), (2, 4, 0), (3, 2, 3), (0, 1, 0)] {
            assert_eq!(element(stride, lanes, index), None, "{stride} {lanes} {index}");
        }
    }

    #[test]
    fn a_lanes_key_is_its_instances() {
        let session = Tmmo::new(1);
        let keys = instance_keys::<4>(&session, 7, 5, 3);
        for (lane, key) in keys.iter().enumerate() {
            let [own] = instance_keys::<1>(&session, 7, 5 + 3 * lane as u64, 1);
            assert_eq!([*key, own], [session.permute(7 << 64 | (5 + 3 * lane as u128)); 2]);
        }
    }
}
