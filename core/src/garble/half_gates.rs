//! One AND gate in all lanes, garbled and evaluated: half-gates (Zahur, Rosulek, Evans, Eurocrypt
//! 2015, Figure 2).
//!
//! Together with the free gates around it: `carry = (a ⊕ carry)·(b ⊕ carry) ⊕ carry`, the majority
//! of three, and for a carry of 0 just `a·b`; and `b = a ⊕ b ⊕ carry` where the sum is wanted. So
//! labels are read and written once.

use super::gates::GATE_BYTES;
use super::lanes::Labels;
use crate::backend::aes::{Job, Lane, SimdBackend};
use crate::block::Block;
use crate::hash::hash_lanes;

/// One row of the tables of some lanes, `[lanes][stride]` bytes. Every lane has it.
pub(super) struct Rows<T> {
    tables: T,
    stride: usize,
    first: usize,
    lanes: usize,
}

impl<T: AsRef<[u8]>> Rows<T> {
    /// Row number `row`. `None` if a lane has no such row.
    #[inline(always)]
    pub(super) fn new(tables: T, stride: usize, lanes: usize, row: usize) -> Option<Self> {
        let (first, bytes) = (row * GATE_BYTES, tables.as_ref().len());
        let there = first + GATE_BYTES <= stride && lanes * stride <= bytes;
        there.then_some(Self { tables, stride, first, lanes })
    }

    const fn at(&self, lane: usize) -> usize {
        lane * self.stride + self.first
    }
}

impl Rows<&[u8]> {
    /// T_G and T_E of a lane; zeros behind the last one, of which nothing is used.
    #[inline(always)]
    fn get(&self, lane: usize) -> [Block; 2] {
        let bytes = self.tables.get(self.at(lane)..).and_then(<[u8]>::first_chunk::<GATE_BYTES>);
        bytes.map_or([0; 2], |bytes| {
            bytemuck::must_cast::<[u8; GATE_BYTES], [[u8; 16]; 2]>(*bytes).map(Block::from_le_bytes)
        })
    }
}

impl Rows<&mut [u8]> {
    /// Writes T_G and T_E of a lane; nothing behind the last one.
    #[inline(always)]
    fn set(&mut self, lane: usize, row: [Block; 2]) {
        let at = self.at(lane);
        let bytes = self.tables.get_mut(at..).and_then(<[u8]>::first_chunk_mut::<GATE_BYTES>);
        if let (true, Some(bytes)) = (lane < self.lanes, bytes) {
            *bytes =
                bytemuck::must_cast::<[[u8; 16]; 2], [u8; GATE_BYTES]>(row.map(Block::to_le_bytes));
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

/// Garbles: zero labels in and out; writes the row of every lane that has one.
pub(super) struct GarbleAnd<'r, const L: usize> {
    pub(super) delta: Block,
    pub(super) gate: usize,
    pub(super) a: &'r Labels<L>,
    pub(super) b: Second<'r, L>,
    pub(super) carry: &'r mut Labels<L>,
    pub(super) rows: Rows<&'r mut [u8]>,
}

impl<const L: usize> Job<L> for GarbleAnd<'_, L> {
    #[inline(always)]
    fn run<X: SimdBackend>(mut self, simd: X, keys: &X::Keys<L>) {
        let (mut first, lanes) = (0, self.rows.lanes);
        while first < lanes
            && first + 2 * X::BLOCKS <= L
            && let Some(at) = Lane::vectors::<2>(first, X::BLOCKS)
        {
            self.vectors(simd, keys, at);
            first += 2 * X::BLOCKS;
        }
        while first < lanes
            && let Some(at) = Lane::vectors::<1>(first, X::BLOCKS)
        {
            self.vectors(simd, keys, at);
            first += X::BLOCKS;
        }
    }
}

impl<const L: usize> GarbleAnd<'_, L> {
    /// The lanes of `G` vectors.
    #[inline(always)]
    fn vectors<X: SimdBackend, const G: usize>(
        &mut self,
        simd: X,
        keys: &X::Keys<L>,
        at: [Lane<L>; G],
    ) {
        let delta = simd.splat(self.delta);
        let [j, k] = tweaks(simd, self.gate);
        let mut labels = [[delta; 3]; G];
        let mut hashes = [[delta; 4]; G];
        for ((labels, hashes), at) in labels.iter_mut().zip(&mut hashes).zip(at) {
            *labels = take(simd, at, self.a, &mut self.b, self.carry);
            let [a, b, _] = *labels;
            *hashes = [a, simd.xor(a, delta), b, simd.xor(b, delta)];
        }
        hash_lanes(simd, keys, at, &mut hashes, [j, j, k, k]);
        for ((&[a, b, carry], &[a0, a1, b0, b1]), at) in labels.iter().zip(&hashes).zip(at) {
            let (permute_a, permute_b) = (simd.colour_masks(a), simd.colour_masks(b));
            let t_g = simd.xor(simd.xor(a0, a1), simd.and(permute_b, delta));
            let t_e_a = simd.xor(b0, b1);
            let t_e = simd.xor(t_e_a, a);
            let generator = simd.xor(a0, simd.and(permute_a, t_g));
            let evaluator = simd.xor(b0, simd.and(permute_b, t_e_a));
            let both = simd.xor(generator, evaluator);
            simd.store(simd.xor(both, carry), at.tail_mut(&mut self.carry.0));
            simd.scatter([t_g, t_e], |i, row| self.rows.set(at.number() + i, row));
        }
    }
}

/// Evaluates: active labels in and out; reads the rows.
pub(super) struct EvaluateAnd<'r, const L: usize> {
    pub(super) gate: usize,
    pub(super) a: &'r Labels<L>,
    pub(super) b: Second<'r, L>,
    pub(super) carry: &'r mut Labels<L>,
    pub(super) rows: Rows<&'r [u8]>,
}

impl<const L: usize> Job<L> for EvaluateAnd<'_, L> {
    #[inline(always)]
    fn run<X: SimdBackend>(mut self, simd: X, keys: &X::Keys<L>) {
        let (mut first, lanes) = (0, self.rows.lanes);
        while first < lanes
            && first + 4 * X::BLOCKS <= L
            && let Some(at) = Lane::vectors::<4>(first, X::BLOCKS)
        {
            self.vectors(simd, keys, at);
            first += 4 * X::BLOCKS;
        }
        while first < lanes
            && let Some(at) = Lane::vectors::<1>(first, X::BLOCKS)
        {
            self.vectors(simd, keys, at);
            first += X::BLOCKS;
        }
    }
}

impl<const L: usize> EvaluateAnd<'_, L> {
    /// The lanes of `G` vectors.
    #[inline(always)]
    fn vectors<X: SimdBackend, const G: usize>(
        &mut self,
        simd: X,
        keys: &X::Keys<L>,
        at: [Lane<L>; G],
    ) {
        let mut labels = [[simd.splat(0); 3]; G];
        let mut hashes = [[simd.splat(0); 2]; G];
        for ((labels, hashes), at) in labels.iter_mut().zip(&mut hashes).zip(at) {
            *labels = take(simd, at, self.a, &mut self.b, self.carry);
            let [a, b, _] = *labels;
            *hashes = [a, b];
        }
        hash_lanes(simd, keys, at, &mut hashes, tweaks(simd, self.gate));
        for ((&[a, b, carry], &[h_a, h_b]), at) in labels.iter().zip(&hashes).zip(at) {
            let [t_g, t_e] = simd.gather(|i| self.rows.get(at.number() + i));
            let generator = simd.xor(h_a, simd.and(simd.colour_masks(a), t_g));
            let evaluator = simd.xor(h_b, simd.and(simd.colour_masks(b), simd.xor(t_e, a)));
            let both = simd.xor(generator, evaluator);
            simd.store(simd.xor(both, carry), at.tail_mut(&mut self.carry.0));
        }
    }
}

/// The tweaks of a gate's two halves, in all lanes.
#[inline(always)]
fn tweaks<X: SimdBackend>(simd: X, gate: usize) -> [X::Vector; 2] {
    [simd.splat(2 * gate as Block), simd.splat(2 * gate as Block + 1)]
}

/// The factors `a ⊕ carry` and `b ⊕ carry`, and the carry, of the lanes of a vector.
#[inline(always)]
fn take<X: SimdBackend, const L: usize>(
    simd: X,
    at: Lane<L>,
    a: &Labels<L>,
    second: &mut Second<'_, L>,
    carry: &Labels<L>,
) -> [X::Vector; 3] {
    let load = |labels: &Labels<L>| simd.load(at.tail(&labels.0));
    let (a, carry) = (load(a), load(carry));
    let a_carry = simd.xor(a, carry);
    let b = match second {
        Second::Kept(b) => load(b),
        Second::Added(b) => {
            let to = at.tail_mut(&mut b.0);
            let b = simd.load(to);
            simd.store(simd.xor(a_carry, b), to);
            b
        }
    };
    [a_carry, simd.xor(b, carry), carry]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::aes::{Lanes, Path};
    use crate::rng::{Domain, Prg, Seed};
    use core::array;
    use std::vec;
    use std::vec::Vec;

    const DELTA: Block = 0x0123_4567_89ab_cdef_0f1e_2d3c_4b5a_6979;
    const GATE: usize = 11;
    const ROWS: usize = 3;

    fn random<const L: usize>(prg: &mut Prg) -> Labels<L> {
        Labels(array::from_fn(|_| prg.next_u128()))
    }

    /// `a`, `b` and the carry; the last two as the gate leaves them, of the lanes that count.
    type Wires = (Vec<Block>, Vec<Block>);

    fn second<const L: usize>(b: &mut Labels<L>, add: bool) -> Second<'_, L> {
        if add { Second::Added(b) } else { Second::Kept(b) }
    }

    /// The middle row of the tables.
    fn garbled<const L: usize>(
        keys: &Lanes<L>,
        lanes: usize,
        add: bool,
        zero: [Labels<L>; 3],
        tables: &mut [u8],
    ) -> Wires {
        let [a, mut b, mut carry] = zero;
        let rows = Rows::new(tables, ROWS * GATE_BYTES, lanes, 1).unwrap();
        keys.run(GarbleAnd {
            delta: DELTA,
            gate: GATE,
            a: &a,
            b: second(&mut b, add),
            carry: &mut carry,
            rows,
        });
        (b.0[..lanes].to_vec(), carry.0[..lanes].to_vec())
    }

    fn evaluated<const L: usize>(
        keys: &Lanes<L>,
        lanes: usize,
        add: bool,
        active: [Labels<L>; 3],
        tables: &[u8],
    ) -> Wires {
        let [a, mut b, mut carry] = active;
        let rows = Rows::new(tables, ROWS * GATE_BYTES, lanes, 1).unwrap();
        keys.run(EvaluateAnd {
            gate: GATE,
            a: &a,
            b: second(&mut b, add),
            carry: &mut carry,
            rows,
        });
        (b.0[..lanes].to_vec(), carry.0[..lanes].to_vec())
    }

    fn bits<const L: usize>(labels: &Labels<L>, bits: u64) -> Labels<L> {
        Labels(array::from_fn(|lane| {
            labels.0[lane] ^ (DELTA * Block::from(bits >> (lane % 64) & 1))
        }))
    }

    /// Every path makes the portable one's bits, evaluates to the sum and the majority, and touches
    /// one row of the lanes that count.
    fn agrees<const L: usize>() {
        let mut prg = Seed([L as u8; 32]).stream(Domain::Label, 1);
        let keys: [Block; L] = array::from_fn(|_| prg.next_u128());
        let portable = Lanes::on(Path::Portable, &keys);
        for (path, lanes) in
            Path::ALL.into_iter().flat_map(|path| (1..=L).map(move |lanes| (path, lanes)))
        {
            let fast = Lanes::on(path, &keys);
            let zero: [Labels<L>; 3] = array::from_fn(|_| random(&mut prg));
            for add in [false, true] {
                let mut tables =
                    [vec![0xaa; L * ROWS * GATE_BYTES], vec![0xaa; L * ROWS * GATE_BYTES]];
                let zeros = garbled(&portable, lanes, add, zero, &mut tables[0]);
                assert_eq!(
                    garbled(&fast, lanes, add, zero, &mut tables[1]),
                    zeros,
                    "{path:?}, {lanes} lanes of {L}"
                );
                assert_eq!(tables[0], tables[1]);
                for (i, row) in tables[0].chunks(GATE_BYTES).enumerate() {
                    assert_eq!(
                        row.iter().all(|&byte| byte == 0xaa),
                        i % ROWS != 1 || i / ROWS >= lanes
                    );
                }
                let [x, y, z] = array::from_fn(|_| prg.next_u64());
                let active = [bits(&zero[0], x), bits(&zero[1], y), bits(&zero[2], z)];
                let got = evaluated(&fast, lanes, add, active, &tables[0]);
                assert_eq!(
                    got,
                    evaluated(&portable, lanes, add, active, &tables[0]),
                    "{path:?}, {lanes} lanes of {L}"
                );
                for lane in 0..lanes {
                    let value = |bits: u64| DELTA * Block::from(bits >> (lane % 64) & 1);
                    assert_eq!(got.0[lane] ^ zeros.0[lane], value(if add { x ^ y ^ z } else { y }));
                    assert_eq!(got.1[lane] ^ zeros.1[lane], value((x & y) | (x & z) | (y & z)));
                }
            }
        }
    }

    #[test]
    fn paths_agree() {
        agrees::<1>();
        agrees::<2>();
        agrees::<3>();
        agrees::<8>();
        agrees::<21>();
        agrees::<32>();
    }

    /// So no gate is garbled or evaluated without its row.
    #[test]
    fn there_is_no_row_that_a_lane_lacks() {
        const STRIDE: usize = ROWS * GATE_BYTES;
        for (lanes, row) in [1, 2, 8].into_iter().flat_map(|n| (0..=ROWS).map(move |row| (n, row)))
        {
            for length in [0, 1, STRIDE - 1, lanes * STRIDE - 1, lanes * STRIDE, lanes * STRIDE + 1]
            {
                let mut tables = vec![7; length];
                let there = row < ROWS && length >= lanes * STRIDE;
                assert_eq!(Rows::new(&tables[..], STRIDE, lanes, row).is_some(), there);
                assert_eq!(Rows::new(&mut tables[..], STRIDE, lanes, row).is_some(), there);
            }
        }
    }
}
