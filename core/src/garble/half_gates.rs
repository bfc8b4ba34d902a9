//! One AND gate in all lanes, garbled and evaluated: half-gates (Zahur, Rosulek, Evans, Eurocrypt 2015, Figure 2).
//!
//! Together with the free gates around it: `carry = (a ⊕ carry)·(b ⊕ carry) ⊕ carry`, the majority of three, and for a carry of 0 just
//! `a·b`; and `b = a ⊕ b ⊕ carry` where the sum is wanted. So labels are read and written once.

use super::{GATE_BYTES, Labels};
use crate::backend::aes::{Job, Machine};
use crate::hash::{Block, hash_lanes};

/// The tables of some lanes, `[lanes][stride]` bytes, at one row of each.
pub(super) struct Rows<T> {
    pub(super) tables: T,
    pub(super) stride: usize,
    pub(super) row: usize,
}

impl<T> Rows<T> {
    /// Where the row of `lane` begins, if its lane's bytes hold it.
    #[inline(always)]
    fn at(&self, lane: usize) -> Option<usize> {
        let row = self.row * GATE_BYTES;
        (row + GATE_BYTES <= self.stride).then_some(lane * self.stride + row)
    }
}

impl Rows<&[u8]> {
    /// T_G and T_E of a lane; zeros if there is no such row.
    #[inline(always)]
    fn get(&self, lane: usize) -> [Block; 2] {
        let bytes = self.at(lane).and_then(|at| self.tables.get(at..)).and_then(<[u8]>::first_chunk::<GATE_BYTES>);
        bytes.map_or([0; 2], |bytes| bytemuck::must_cast::<[u8; GATE_BYTES], [[u8; 16]; 2]>(*bytes).map(Block::from_le_bytes))
    }
}

impl Rows<&mut [u8]> {
    /// Writes T_G and T_E of a lane, if there is such a row.
    #[inline(always)]
    fn set(&mut self, lane: usize, row: [Block; 2]) {
        let bytes = self.at(lane).and_then(|at| self.tables.get_mut(at..)).and_then(<[u8]>::first_chunk_mut::<GATE_BYTES>);
        if let Some(bytes) = bytes {
            *bytes = bytemuck::must_cast::<[[u8; 16]; 2], [u8; GATE_BYTES]>(row.map(Block::to_le_bytes));
        }
    }
}

/// The second summand, and what becomes of it.
pub(super) enum Second<'r, const L: usize> {
    /// Nothing.
    Kept(&'r Labels<L>),
    /// The sum.
    Added(&'r mut Labels<L>),
}

/// Garbles: zero labels in and out; writes the row of every lane below `lanes`.
pub(super) struct GarbleAnd<'r, const L: usize> {
    pub(super) delta: Block,
    pub(super) gate: usize,
    pub(super) lanes: usize,
    pub(super) a: &'r Labels<L>,
    pub(super) b: Second<'r, L>,
    pub(super) carry: &'r mut Labels<L>,
    pub(super) rows: Rows<&'r mut [u8]>,
}

impl<const L: usize> Job<L> for GarbleAnd<'_, L> {
    #[inline(always)]
    fn run<X: Machine>(mut self, machine: X, keys: &X::Keys<L>) {
        let mut first = 0;
        while first < self.lanes && first + 2 * X::BLOCKS <= L {
            self.vectors::<X, 2>(machine, keys, first);
            first += 2 * X::BLOCKS;
        }
        while first < self.lanes {
            self.vectors::<X, 1>(machine, keys, first);
            first += X::BLOCKS;
        }
    }
}

impl<const L: usize> GarbleAnd<'_, L> {
    /// The lanes of `G` vectors from `first` on.
    #[inline(always)]
    fn vectors<X: Machine, const G: usize>(&mut self, machine: X, keys: &X::Keys<L>, first: usize) {
        let delta = machine.splat(self.delta);
        let [j, k] = tweaks(machine, self.gate);
        let mut labels = [[delta; 3]; G];
        let mut hashes = [[delta; 4]; G];
        for (g, (labels, hashes)) in labels.iter_mut().zip(&mut hashes).enumerate() {
            *labels = take(machine, first + g * X::BLOCKS, self.a, &mut self.b, self.carry);
            let [a, b, _] = *labels;
            *hashes = [a, machine.xor(a, delta), b, machine.xor(b, delta)];
        }
        hash_lanes(machine, keys, first, &mut hashes, [j, j, k, k]);
        for (g, ([a, b, carry], [a0, a1, b0, b1])) in labels.into_iter().zip(hashes).enumerate() {
            let lane = first + g * X::BLOCKS;
            let (permute_a, permute_b) = (machine.colour_masks(a), machine.colour_masks(b));
            let t_g = machine.xor(machine.xor(a0, a1), machine.and(permute_b, delta));
            let t_e_a = machine.xor(b0, b1);
            let t_e = machine.xor(t_e_a, a);
            let generator = machine.xor(a0, machine.and(permute_a, t_g));
            let evaluator = machine.xor(b0, machine.and(permute_b, t_e_a));
            let both = machine.xor(generator, evaluator);
            if let Some(to) = self.carry.0.get_mut(lane..) {
                machine.store(machine.xor(both, carry), to);
            }
            for i in (0..X::BLOCKS).take_while(|i| lane + i < self.lanes) {
                self.rows.set(lane + i, [machine.block(t_g, i), machine.block(t_e, i)]);
            }
        }
    }
}

/// Evaluates: active labels in and out; reads the rows.
pub(super) struct EvaluateAnd<'r, const L: usize> {
    pub(super) gate: usize,
    pub(super) lanes: usize,
    pub(super) a: &'r Labels<L>,
    pub(super) b: Second<'r, L>,
    pub(super) carry: &'r mut Labels<L>,
    pub(super) rows: Rows<&'r [u8]>,
}

impl<const L: usize> Job<L> for EvaluateAnd<'_, L> {
    #[inline(always)]
    fn run<X: Machine>(mut self, machine: X, keys: &X::Keys<L>) {
        let mut first = 0;
        while first < self.lanes && first + 4 * X::BLOCKS <= L {
            self.vectors::<X, 4>(machine, keys, first);
            first += 4 * X::BLOCKS;
        }
        while first < self.lanes {
            self.vectors::<X, 1>(machine, keys, first);
            first += X::BLOCKS;
        }
    }
}

impl<const L: usize> EvaluateAnd<'_, L> {
    /// The lanes of `G` vectors from `first` on.
    #[inline(always)]
    fn vectors<X: Machine, const G: usize>(&mut self, machine: X, keys: &X::Keys<L>, first: usize) {
        let mut labels = [[machine.splat(0); 3]; G];
        let mut hashes = [[machine.splat(0); 2]; G];
        for (g, (labels, hashes)) in labels.iter_mut().zip(&mut hashes).enumerate() {
            *labels = take(machine, first + g * X::BLOCKS, self.a, &mut self.b, self.carry);
            let [a, b, _] = *labels;
            *hashes = [a, b];
        }
        hash_lanes(machine, keys, first, &mut hashes, tweaks(machine, self.gate));
        for (g, ([a, b, carry], [h_a, h_b])) in labels.into_iter().zip(hashes).enumerate() {
            let lane = first + g * X::BLOCKS;
            let t_g = machine.gather(|i| self.rows.get(lane + i)[0]);
            let t_e = machine.gather(|i| self.rows.get(lane + i)[1]);
            let generator = machine.xor(h_a, machine.and(machine.colour_masks(a), t_g));
            let evaluator = machine.xor(h_b, machine.and(machine.colour_masks(b), machine.xor(t_e, a)));
            let both = machine.xor(generator, evaluator);
            if let Some(to) = self.carry.0.get_mut(lane..) {
                machine.store(machine.xor(both, carry), to);
            }
        }
    }
}

/// The tweaks of a gate's two halves, in all lanes.
#[inline(always)]
fn tweaks<X: Machine>(machine: X, gate: usize) -> [X::Vector; 2] {
    [machine.splat(2 * gate as Block), machine.splat(2 * gate as Block + 1)]
}

/// The factors `a ⊕ carry` and `b ⊕ carry`, and the carry, of the lanes from `lane` on.
#[inline(always)]
fn take<X: Machine, const L: usize>(
    machine: X,
    lane: usize,
    a: &Labels<L>,
    second: &mut Second<'_, L>,
    carry: &Labels<L>,
) -> [X::Vector; 3] {
    let [a, carry] = [a, carry].map(|x| machine.load(from(&x.0, lane)));
    let a_carry = machine.xor(a, carry);
    let b = match second {
        Second::Kept(b) => machine.load(from(&b.0, lane)),
        Second::Added(b) => {
            let to = b.0.get_mut(lane..).unwrap_or_default();
            let b = machine.load(to);
            machine.store(machine.xor(a_carry, b), to);
            b
        }
    };
    [a_carry, machine.xor(b, carry), carry]
}

#[inline(always)]
fn from(blocks: &[Block], at: usize) -> &[Block] {
    blocks.get(at..).unwrap_or_default()
}
