//! The number-theoretic transform for Cortex-M4, M7, M33 and up, where a compiler runs out of
//! registers: `layers.rs` in assembly.

#![allow(unsafe_code)]

use crate::prime::{Limb, TwiddleSequence};
use core::arch::global_asm;

// r0: next value of the first quarter; r1: bytes of a quarter; r2, r3, r4: factors; r5: q; r6:
// −q^-1; r7: where the quarter or all ends; r8 to r11: four values. On the stack: factor of the
// block before; `root`; number of the block; `steps`; where all ends.
//
// A product x·ζ/2^32 is three instructions: the low word of x·ζ + (x·ζ·(−q^-1) mod 2^32)·q is zero,
// the high word the result.
global_asm!(
    ".syntax unified",
    ".thumb",
    ".macro minionn_times x, factor",
    "smull r12, \\x, \\x, \\factor",
    "mul lr, r12, r6",
    "smlal r12, \\x, lr, r5",
    ".endm",
    // The next of a run, its square and its product with `root` in r3, r2, r4.
    ".macro minionn_zetas",
    "ldm sp, {{r3, r4, r8, r9}}",
    "rbit r10, r8",
    "clz r10, r10",
    "add r8, r8, #1",
    "ldr r10, [r9, r10, lsl #2]",
    "minionn_times r3, r10",
    "str r3, [sp]",
    "str r8, [sp, #8]",
    "mov r2, r3",
    "minionn_times r2, r3",
    "minionn_times r4, r3",
    ".endm",
    ".macro minionn_load",
    "add r12, r0, r1",
    "ldr r8, [r0]",
    "ldr r9, [r0, r1]",
    "ldr r10, [r0, r1, lsl #1]",
    "ldr r11, [r12, r1, lsl #1]",
    ".endm",
    ".macro minionn_store",
    "add r12, r0, r1",
    "str r9, [r0, r1]",
    "str r10, [r0, r1, lsl #1]",
    "str r11, [r12, r1, lsl #1]",
    "str r8, [r0], #4",
    ".endm",
    ".macro minionn_forward",
    "minionn_times r10, r2",
    "minionn_times r11, r2",
    "add r8, r8, r10",
    "sub r10, r8, r10, lsl #1",
    "add r9, r9, r11",
    "sub r11, r9, r11, lsl #1",
    "minionn_times r9, r3",
    "minionn_times r11, r4",
    "add r8, r8, r9",
    "sub r9, r8, r9, lsl #1",
    "add r10, r10, r11",
    "sub r11, r10, r11, lsl #1",
    ".endm",
    // (values, bytes of a quarter, constants)
    ".section .text.minionn_forward_pass, \"ax\", %progbits",
    ".global minionn_forward_pass",
    ".type minionn_forward_pass, %function",
    ".thumb_func",
    "minionn_forward_pass:",
    "push {{r4-r11, lr}}",
    "ldm r2, {{r5-r11}}",
    "push {{r7-r11}}",
    "2:",
    "minionn_zetas",
    "add r7, r0, r1",
    "1:",
    "minionn_load",
    "minionn_forward",
    "minionn_store",
    "cmp r0, r7",
    "bne 1b",
    "ldr r12, [sp, #16]",
    "add r0, r0, r1",
    "add r0, r0, r1, lsl #1",
    "cmp r0, r12",
    "bne 2b",
    "add sp, sp, #20",
    "pop {{r4-r11, pc}}",
    ".size minionn_forward_pass, . - minionn_forward_pass",
    // (values, 2^32 mod q, constants)
    ".section .text.minionn_forward_last, \"ax\", %progbits",
    ".global minionn_forward_last",
    ".type minionn_forward_last, %function",
    ".thumb_func",
    "minionn_forward_last:",
    "push {{r4-r11, lr}}",
    "ldm r2, {{r5-r11}}",
    "push {{r7-r10}}",
    "mov r7, r11",
    "1:",
    "minionn_zetas",
    "ldm r0, {{r8-r11}}",
    "minionn_forward",
    "minionn_times r8, r1",
    "minionn_times r9, r1",
    "minionn_times r10, r1",
    "minionn_times r11, r1",
    "stm r0!, {{r8-r11}}",
    "cmp r0, r7",
    "bne 1b",
    "add sp, sp, #16",
    "pop {{r4-r11, pc}}",
    ".size minionn_forward_last, . - minionn_forward_last",
    // (values, bytes of a quarter, constants); on the stack also where the quarter ends
    ".section .text.minionn_inverse_pass, \"ax\", %progbits",
    ".global minionn_inverse_pass",
    ".type minionn_inverse_pass, %function",
    ".thumb_func",
    "minionn_inverse_pass:",
    "push {{r4-r11, lr}}",
    "ldm r2, {{r5-r12}}",
    "push {{r7-r12}}",
    "mov r7, r12",
    "2:",
    "minionn_zetas",
    "add r12, r0, r1",
    "str r12, [sp, #20]",
    "1:",
    "minionn_load",
    "add r8, r8, r9",
    "rsb r9, r8, r9, lsl #1",
    "add r10, r10, r11",
    "rsb r11, r10, r11, lsl #1",
    "minionn_times r9, r4",
    "minionn_times r11, r3",
    "add r8, r8, r10",
    "rsb r10, r8, r10, lsl #1",
    "add r9, r9, r11",
    "rsb r11, r9, r11, lsl #1",
    "minionn_times r8, r7",
    "minionn_times r10, r2",
    "minionn_times r11, r2",
    "minionn_store",
    "ldr r12, [sp, #20]",
    "cmp r0, r12",
    "bne 1b",
    "ldr r12, [sp, #16]",
    "add r0, r0, r1",
    "add r0, r0, r1, lsl #1",
    "cmp r0, r12",
    "bne 2b",
    "add sp, sp, #24",
    "pop {{r4-r11, pc}}",
    ".size minionn_inverse_pass, . - minionn_inverse_pass",
    ".purgem minionn_times",
    ".purgem minionn_zetas",
    ".purgem minionn_load",
    ".purgem minionn_store",
    ".purgem minionn_forward",
);

/// What the passes read.
#[repr(C)]
struct Constants {
    q: i32,
    minus_inverse: i32,
    /// Factor of the block before the first.
    before: i32,
    root: i32,
    /// Number of the first block.
    block: usize,
    steps: *const i32,
    /// Behind the last value.
    end: *const i32,
    /// 2^32 mod q.
    one: i32,
}

unsafe extern "C" {
    fn minionn_forward_pass(values: *mut i32, quarter: usize, constants: *const Constants);
    fn minionn_forward_last(values: *mut i32, one: i32, constants: *const Constants);
    fn minionn_inverse_pass(values: *mut i32, quarter: usize, constants: *const Constants);
}

impl Constants {
    /// And the bytes of a quarter of each block. None if the numbers do not go together.
    fn new(
        limb: &Limb,
        values: &[i32],
        block: usize,
        run: &TwiddleSequence,
    ) -> Option<(Self, usize)> {
        let Limb { q, minus_inverse, root, .. } = *limb;
        let quarter = values.len().checked_div(4 * block)?;
        let before = *run.before.get(block.trailing_zeros() as usize)?;
        let (steps, end) = (run.steps.as_ptr(), values.as_ptr_range().end);
        let constants =
            Self { q, minus_inverse, before, root, block, steps, end, one: limb.montgomery_one() };
        (block.is_power_of_two() && quarter > 0 && quarter * 4 * block == values.len())
            .then_some((constants, quarter * size_of::<i32>()))
    }
}

/// Two layers forward on `blocks` blocks, a power of two, which are all of `a`; if they have four
/// values each, these are reduced.
pub(crate) fn forward(limb: &Limb, a: &mut [i32], blocks: usize) {
    match Constants::new(limb, a, blocks, &limb.forward) {
        None => debug_assert!(false, "blocks of another length"),
        // SAFETY: it reads and writes `a`, up to `end`, and reads the constants and of `steps` as
        // many entries as zeros trail in a block's number, at most those that trail in the
        // first, for which there is an entry. It keeps to the procedure call standard.
        Some((constants, 4)) => unsafe {
            minionn_forward_last(a.as_mut_ptr(), constants.one, &raw const constants)
        },
        // SAFETY: as above.
        Some((constants, quarter)) => unsafe {
            minionn_forward_pass(a.as_mut_ptr(), quarter, &raw const constants)
        },
    }
}

/// Undoes [`forward`] but for a factor of 4.
pub(crate) fn inverse(limb: &Limb, a: &mut [i32], blocks: usize) {
    match Constants::new(limb, a, blocks, &limb.inverse) {
        None => debug_assert!(false, "blocks of another length"),
        // SAFETY: as above.
        Some((constants, quarter)) => unsafe {
            minionn_inverse_pass(a.as_mut_ptr(), quarter, &raw const constants)
        },
    }
}
