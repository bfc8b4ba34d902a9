//! Two layers of the number-theoretic transform at a time, where there are no vectors. `thumb.rs`
//! is the same in assembly.

use crate::prime::{Limb, TwiddleSequence};
use core::hint::black_box;

/// Two layers forward on `blocks` blocks, a power of two, which are all of `a`; if they have four
/// values each, these are reduced.
pub(crate) fn forward(limb: &Limb, a: &mut [i32], blocks: usize) {
    match a.len() / (4 * blocks) {
        1 => forward_pass::<1>(limb, a, blocks),
        4 => forward_pass::<4>(limb, a, blocks),
        16 => forward_pass::<16>(limb, a, blocks),
        64 => forward_pass::<64>(limb, a, blocks),
        256 => forward_pass::<256>(limb, a, blocks),
        _ => forward_pass::<1024>(limb, a, blocks),
    }
}

/// Undoes [`forward`] but for a factor of 4.
pub(crate) fn inverse(limb: &Limb, a: &mut [i32], blocks: usize) {
    match a.len() / (4 * blocks) {
        1 => inverse_pass::<1>(limb, a, blocks),
        4 => inverse_pass::<4>(limb, a, blocks),
        16 => inverse_pass::<16>(limb, a, blocks),
        64 => inverse_pass::<64>(limb, a, blocks),
        256 => inverse_pass::<256>(limb, a, blocks),
        _ => inverse_pass::<1024>(limb, a, blocks),
    }
}

/// The factors that a run has for a layer's `blocks`, a power of two.
fn lefts(limb: &Limb, run: &TwiddleSequence, blocks: usize) -> impl Iterator<Item = i32> {
    let entry = |of: &[i32], i: u32| of.get(i as usize).copied().unwrap_or_default();
    let mut left = entry(&run.before, blocks.trailing_zeros());
    (blocks..2 * blocks).map(move |m| {
        left = limb.mul(left, entry(&run.steps, m.trailing_zeros()));
        left
    })
}

/// Factors of block `m` of all layers' blocks, counted from 1: `ζ_m`, and those of the two blocks
/// it falls into, `ζ_2m` and `ζ_(2m+1)`, where `ζ_k = ψ^brv(k)`. All from one: `brv(m) = 2·brv(2m)`
/// and `brv(2m + 1) = brv(2m) + N/2`.
#[inline(always)]
fn zetas(limb: &Limb, left: i32) -> [i32; 3] {
    // Opaque: else the compiler keeps them in 64 bits on 32-bit machines, and every product takes
    // three multiplications more.
    black_box([limb.mul(left, left), left, limb.mul(left, limb.root)])
}

/// Two layers on `blocks` blocks of `4·Q` values: the length of a quarter is known to the compiler.
#[inline(never)] // registers of its own
fn forward_pass<const Q: usize>(limb: &Limb, a: &mut [i32], blocks: usize) {
    let r = black_box(limb.montgomery_one());
    for (block, left) in a.as_chunks_mut::<Q>().0.as_chunks_mut().0.iter_mut().zip(lefts(
        limb,
        &limb.forward,
        blocks,
    )) {
        let [zeta, left, right] = zetas(limb, left);
        let [q0, q1, q2, q3] = block;
        for (((x0, x1), x2), x3) in q0.iter_mut().zip(q1).zip(q2).zip(q3) {
            let (t2, t3) = (limb.mul(*x2, zeta), limb.mul(*x3, zeta));
            let (y0, y1, y2, y3) = (*x0 + t2, *x1 + t3, *x0 - t2, *x1 - t3);
            let (t1, t3) = (limb.mul(y1, left), limb.mul(y3, right));
            [*x0, *x1, *x2, *x3] = [y0 + t1, y0 - t1, y2 + t3, y2 - t3];
            if Q == 1 {
                // The last layers: below q again.
                [*x0, *x1, *x2, *x3] = [*x0, *x1, *x2, *x3].map(|x| limb.mul(x, r));
            }
        }
    }
}

/// Undoes [`forward_pass`] but for a factor of 4.
#[inline(never)] // as above
fn inverse_pass<const Q: usize>(limb: &Limb, a: &mut [i32], blocks: usize) {
    let r = black_box(limb.montgomery_one());
    for (block, right) in a.as_chunks_mut::<Q>().0.as_chunks_mut().0.iter_mut().zip(lefts(
        limb,
        &limb.inverse,
        blocks,
    )) {
        // All are negative, as differences are. Left and right have changed places.
        let [zeta, right, left] = zetas(limb, right);
        let [q0, q1, q2, q3] = block;
        for (((x0, x1), x2), x3) in q0.iter_mut().zip(q1).zip(q2).zip(q3) {
            let (s0, d0) = (*x0 + *x1, limb.mul(*x1 - *x0, left));
            let (s1, d1) = (*x2 + *x3, limb.mul(*x3 - *x2, right));
            [*x0, *x1, *x2, *x3] =
                [limb.mul(s0 + s1, r), d0 + d1, limb.mul(s1 - s0, zeta), limb.mul(d1 - d0, zeta)];
        }
    }
}
