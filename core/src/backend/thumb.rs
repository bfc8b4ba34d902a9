//! The number-theoretic transform for Cortex-M4, M7, M33 and up, where a compiler runs out of registers: two layers of all blocks.

#![allow(unsafe_code)]

use core::arch::global_asm;

// r0: next value of the first quarter; r1: bytes of a quarter; r2, r3, r4: factors; r5: q; r6: −q^-1; r7: where the quarter or all ends;
// r8 to r11: four values. On the stack: next entry of `lefts`; `root`; where all ends.
//
// A product x·ζ/2^32 is three instructions: the low word of x·ζ + (x·ζ·(−q^-1) mod 2^32)·q is zero, the high word the result.
global_asm!(
    ".syntax unified",
    ".thumb",
    ".macro minionn_times x, factor",
    "smull r12, \\x, \\x, \\factor",
    "mul lr, r12, r6",
    "smlal r12, \\x, lr, r5",
    ".endm",
    // [ζ, left, right] in r2, r3, r4.
    ".macro minionn_zetas",
    "ldr r12, [sp]",
    "ldr r3, [r12], #4",
    "str r12, [sp]",
    "mov r2, r3",
    "ldr r4, [sp, #4]",
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
    // (values, bytes of a quarter, lefts, [q, −q^-1, root, end])
    ".section .text.minionn_forward_pass, \"ax\", %progbits",
    ".global minionn_forward_pass",
    ".type minionn_forward_pass, %function",
    ".thumb_func",
    "minionn_forward_pass:",
    "push {{r4-r11, lr}}",
    "ldm r3, {{r5, r6, r7, r8}}",
    "push {{r2, r7, r8}}",
    "2:",
    "minionn_zetas",
    "add r7, r0, r1",
    "1:",
    "minionn_load",
    "minionn_forward",
    "minionn_store",
    "cmp r0, r7",
    "bne 1b",
    "ldr r12, [sp, #8]",
    "add r0, r0, r1",
    "add r0, r0, r1, lsl #1",
    "cmp r0, r12",
    "bne 2b",
    "add sp, sp, #12",
    "pop {{r4-r11, pc}}",
    ".size minionn_forward_pass, . - minionn_forward_pass",
    // (values, 2^32 mod q, lefts, [q, −q^-1, root, end])
    ".section .text.minionn_forward_last, \"ax\", %progbits",
    ".global minionn_forward_last",
    ".type minionn_forward_last, %function",
    ".thumb_func",
    "minionn_forward_last:",
    "push {{r4-r11, lr}}",
    "ldm r3, {{r5, r6, r7, r8}}",
    "push {{r2, r7}}",
    "mov r7, r8",
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
    "add sp, sp, #8",
    "pop {{r4-r11, pc}}",
    ".size minionn_forward_last, . - minionn_forward_last",
    // (values, bytes of a quarter, behind the lefts, [q, −q^-1, root, end, 2^32 mod q]); on the stack also where the quarter ends
    ".section .text.minionn_inverse_pass, \"ax\", %progbits",
    ".global minionn_inverse_pass",
    ".type minionn_inverse_pass, %function",
    ".thumb_func",
    "minionn_inverse_pass:",
    "push {{r4-r11, lr}}",
    "ldm r3, {{r5, r6, r7, r8, r9}}",
    "push {{r2, r7, r8, r9}}",
    "mov r7, r9",
    "2:",
    "ldr r12, [sp]",
    "ldr r3, [r12, #-4]!",
    "str r12, [sp]",
    "mov r2, r3",
    "ldr r4, [sp, #4]",
    "minionn_times r2, r3",
    "minionn_times r4, r3",
    "add r12, r0, r1",
    "str r12, [sp, #12]",
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
    "ldr r12, [sp, #12]",
    "cmp r0, r12",
    "bne 1b",
    "ldr r12, [sp, #8]",
    "add r0, r0, r1",
    "add r0, r0, r1, lsl #1",
    "cmp r0, r12",
    "bne 2b",
    "add sp, sp, #16",
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
    root: i32,
    /// Behind the last value.
    end: *const i32,
    /// 2^32 mod q.
    one: i32,
}

unsafe extern "C" {
    fn minionn_forward_pass(values: *mut i32, quarter: usize, lefts: *const i32, constants: *const Constants);
    fn minionn_forward_last(values: *mut i32, one: i32, lefts: *const i32, constants: *const Constants);
    fn minionn_inverse_pass(values: *mut i32, quarter: usize, behind_lefts: *const i32, constants: *const Constants);
}

/// The numbers of one limb.
pub struct Transform {
    /// The prime.
    pub q: i32,
    /// `−q^-1 mod 2^32`.
    pub minus_inverse: i32,
    /// Square root of −1, Montgomery form.
    pub root: i32,
    /// Montgomery form of 1.
    pub one: i32,
}

impl Transform {
    const fn constants(&self, values: &[i32]) -> Constants {
        let Self { q, minus_inverse, root, one } = *self;
        Constants { q, minus_inverse, root, end: values.as_ptr_range().end, one }
    }

    /// Two layers forward on `lefts.len()` blocks, which are all of `values`; if they have four values each, these are reduced.
    /// False, and nothing was done, if the lengths do not go together.
    pub fn forward(&self, values: &mut [i32], lefts: &[i32]) -> bool {
        let constants = self.constants(values);
        match quarter(values, lefts) {
            None => return false,
            // SAFETY: it reads and writes `values`, up to `end`, reads one of `lefts` for every four of them and the constants, and
            // keeps to the procedure call standard.
            Some(1) => unsafe { minionn_forward_last(values.as_mut_ptr(), self.one, lefts.as_ptr(), &raw const constants) },
            // SAFETY: as above, one of `lefts` for every four quarters.
            Some(quarter) => unsafe {
                minionn_forward_pass(values.as_mut_ptr(), quarter * size_of::<i32>(), lefts.as_ptr(), &raw const constants);
            },
        }
        true
    }

    /// Undoes [`Self::forward`] but for a factor of 4; `lefts` are read from the last to the first.
    pub fn inverse(&self, values: &mut [i32], lefts: &[i32]) -> bool {
        let constants = self.constants(values);
        let Some(quarter) = quarter(values, lefts) else { return false };
        // SAFETY: as above.
        unsafe {
            minionn_inverse_pass(values.as_mut_ptr(), quarter * size_of::<i32>(), lefts.as_ptr_range().end, &raw const constants);
        }
        true
    }
}

/// Values in a quarter of a block.
fn quarter(values: &[i32], lefts: &[i32]) -> Option<usize> {
    let quarter = values.len().checked_div(4 * lefts.len())?;
    (quarter > 0 && quarter * 4 * lefts.len() == values.len()).then_some(quarter)
}
