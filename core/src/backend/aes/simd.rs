//! What a processor offers for AES on many blocks, and how work is cut for it.

#![allow(unsafe_code)]

use crate::block::Block;
use core::array;

/// A lane below `L`: what is looked up by one is there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lane<const L: usize>(usize);

impl<const L: usize> Lane<L> {
    /// The first one.
    pub(crate) const FIRST: Self = {
        assert!(L > 0);
        Self(0)
    };

    /// All of them.
    #[inline(always)]
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..L).map(Self)
    }

    /// The lanes at which `G` vectors of `blocks` blocks begin, the first at lane `first`. `None`
    /// if one would begin behind the last lane.
    #[inline(always)]
    pub(crate) fn vectors<const G: usize>(first: usize, blocks: usize) -> Option<[Self; G]> {
        let last = first + (G - 1) * blocks;
        (last < L).then(|| array::from_fn(|g| Self(first + g * blocks)))
    }

    /// Its number.
    #[inline(always)]
    pub(crate) const fn number(self) -> usize {
        self.0
    }

    /// Its element.
    #[inline(always)]
    pub(super) fn of<T>(self, lanes: &[T; L]) -> &T {
        // SAFETY: a lane is below `L` by construction.
        unsafe { lanes.get_unchecked(self.0) }
    }

    /// The elements from its own on.
    #[inline(always)]
    pub(crate) fn tail<T>(self, lanes: &[T; L]) -> &[T] {
        // SAFETY: a lane is below `L` by construction.
        unsafe { lanes.get_unchecked(self.0..) }
    }

    /// The same, to be written.
    #[inline(always)]
    pub(crate) fn tail_mut<T>(self, lanes: &mut [T; L]) -> &mut [T] {
        // SAFETY: a lane is below `L` by construction.
        unsafe { lanes.get_unchecked_mut(self.0..) }
    }
}

/// Vectors under one key that are worked on at once: enough to hide the latency of AES
/// instructions, a pair on small machines (bit-sliced software does two blocks for the price of
/// one).
pub(crate) const FLIGHT: usize = if cfg!(target_pointer_width = "64") { 8 } else { 2 };

/// One way to work on several blocks side by side. A value is the proof that the CPU has the
/// instructions.
///
/// All methods are `#[inline(always)]`, so that they become part of a function that is compiled for
/// these instructions.
pub(crate) trait Vectors: Copy {
    /// [`Self::BLOCKS`] blocks.
    type Vector: Copy;

    /// Blocks of a vector.
    const BLOCKS: usize;

    /// The first blocks of `from`, which is not empty. Where it ends within the vector, what the
    /// others hold is of no use.
    fn load(self, from: &[Block]) -> Self::Vector;
    /// Stores as many blocks as fit.
    fn store(self, v: Self::Vector, to: &mut [Block]);
    /// Two vectors, of which blocks `i` are `pair(i)`.
    fn gather(self, pair: impl Fn(usize) -> [Block; 2]) -> [Self::Vector; 2];
    /// The reverse: calls `each` for the blocks `i` of two vectors.
    fn scatter(self, pair: [Self::Vector; 2], each: impl FnMut(usize, [Block; 2]));
    /// `block` everywhere.
    fn splat(self, block: Block) -> Self::Vector;
    /// `a ⊕ b`.
    fn xor(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a ∧ b`.
    fn and(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// All ones in each block whose lowest bit is 1, else zeros.
    fn colour_masks(self, v: Self::Vector) -> Self::Vector;
}

/// One way to do AES.
pub(crate) trait SimdBackend: Vectors {
    /// The scheduled keys of `L` lanes.
    type Keys<const L: usize>;

    /// AES under the key of `lane`, on all vectors.
    fn encrypt<const L: usize, const M: usize>(
        self,
        keys: &Self::Keys<L>,
        lane: Lane<L>,
        x: &mut [Self::Vector; M],
    );
    /// AES under the keys of many lanes: block `i` of every vector of `x[g]` belongs to the `i`-th
    /// lane from `at[g]` on. What happens to blocks behind the last lane is of no use.
    fn encrypt_lanes<const L: usize, const M: usize, const G: usize>(
        self,
        keys: &Self::Keys<L>,
        at: [Lane<L>; G],
        x: &mut [[Self::Vector; M]; G],
    );
}

/// Work with the scheduled keys of `L` lanes that any backend can do.
pub(crate) trait Job<const L: usize> {
    /// Does it. `#[inline(always)]`.
    fn run<X: SimdBackend>(self, simd: X, keys: &X::Keys<L>);
}

/// Work on many blocks, some vectors at a time.
pub(crate) trait Pass<X: SimdBackend> {
    /// Does it for the vectors that begin with block number `at`. `#[inline(always)]`.
    fn pass<const M: usize>(&mut self, at: usize, x: &mut [X::Vector; M]);
}

/// Runs `pass` on `blocks`, in place, [`FLIGHT`] vectors at a time as long as there are as many.
#[inline(always)]
pub(crate) fn in_flight<X: SimdBackend>(simd: X, blocks: &mut [Block], pass: &mut impl Pass<X>) {
    let mut at = 0;
    let rest = passes::<X, FLIGHT>(simd, blocks, &mut at, pass);
    let rest = passes::<X, 4>(simd, rest, &mut at, pass);
    for last in rest.chunks_mut(X::BLOCKS) {
        pass_once::<X, 1>(simd, last, &mut at, pass);
    }
}

/// As many passes over `M` vectors as fit; returns what is left.
#[inline(always)]
fn passes<'b, X: SimdBackend, const M: usize>(
    simd: X,
    blocks: &'b mut [Block],
    at: &mut usize,
    pass: &mut impl Pass<X>,
) -> &'b mut [Block] {
    let mut chunks = blocks.chunks_exact_mut(M * X::BLOCKS);
    for chunk in &mut chunks {
        pass_once::<X, M>(simd, chunk, at, pass);
    }
    chunks.into_remainder()
}

#[inline(always)]
fn pass_once<X: SimdBackend, const M: usize>(
    simd: X,
    chunk: &mut [Block],
    at: &mut usize,
    pass: &mut impl Pass<X>,
) {
    let mut x = [simd.splat(0); M];
    for (x, from) in x.iter_mut().zip(chunk.chunks(X::BLOCKS)) {
        *x = simd.load(from);
    }
    pass.pass(*at, &mut x);
    for (x, to) in x.iter().zip(chunk.chunks_mut(X::BLOCKS)) {
        simd.store(*x, to);
    }
    *at += M * X::BLOCKS;
}
