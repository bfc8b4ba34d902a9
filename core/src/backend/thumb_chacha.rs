//! A block of ChaCha20 for Cortex-M4, M7, M33 and up, where a compiler runs out of registers:
//! `chacha.rs` in assembly.

#![allow(unsafe_code)]

use core::arch::global_asm;

// r0 to r11: words 0 to 11 of the state; r12, lr: two of the other four. On the stack: what
// remains of the 16 words, how many double rounds are left, the two arguments.
//
// Every rotation is put off until its word is read, where it costs nothing: between quarters, words
// 4 to 7 wait to be rotated to the right by 25, and words 12 to 15 by 24.
global_asm!(
    ".syntax unified",
    ".thumb",
    ".macro minionn_quarter a, b, c, d",
    "add \\a, \\a, \\b, ror #25",
    "eor \\d, \\a, \\d, ror #24",
    "add \\c, \\c, \\d, ror #16",
    "eor \\b, \\c, \\b, ror #25",
    "add \\a, \\a, \\b, ror #20",
    "eor \\d, \\a, \\d, ror #16",
    "add \\c, \\c, \\d, ror #24",
    "eor \\b, \\c, \\b, ror #20",
    ".endm",
    // Four words of the state and of the sums, added.
    ".macro minionn_add_state rotation:vararg",
    "ldm r0!, {{r3-r6}}",
    "ldm r2!, {{r7-r10}}",
    "add r3, r3, r7 \\rotation",
    "add r4, r4, r8 \\rotation",
    "add r5, r5, r9 \\rotation",
    "add r6, r6, r10 \\rotation",
    "stm r1!, {{r3-r6}}",
    ".endm",
    // (state, out)
    ".section .text.minionn_chacha_block, \"ax\", %progbits",
    ".global minionn_chacha_block",
    ".type minionn_chacha_block, %function",
    ".thumb_func",
    "minionn_chacha_block:",
    "push {{r0, r1, r4-r11, lr}}",
    "sub sp, sp, #72",
    "add r12, r0, #48",
    "ldm r12, {{r4-r7}}",
    "ror r4, r4, #8",
    "ror r5, r5, #8",
    "ror r6, r6, #8",
    "ror r7, r7, #8",
    "strd r4, r5, [sp, #48]",
    "strd r6, r7, [sp, #56]",
    "mov r4, #10",
    "str r4, [sp, #64]",
    "ldm r0, {{r0-r11}}",
    "ror r4, r4, #7",
    "ror r5, r5, #7",
    "ror r6, r6, #7",
    "ror r7, r7, #7",
    "1:",
    "ldrd r12, lr, [sp, #48]",
    "minionn_quarter r0, r4, r8, r12",
    "minionn_quarter r1, r5, r9, lr",
    "strd r12, lr, [sp, #48]",
    "ldrd r12, lr, [sp, #56]",
    "minionn_quarter r2, r6, r10, r12",
    "minionn_quarter r3, r7, r11, lr",
    "minionn_quarter r0, r5, r10, lr",
    "minionn_quarter r3, r4, r9, r12",
    "strd r12, lr, [sp, #56]",
    "ldrd r12, lr, [sp, #48]",
    "minionn_quarter r1, r6, r11, r12",
    "minionn_quarter r2, r7, r8, lr",
    "strd r12, lr, [sp, #48]",
    "ldr r12, [sp, #64]",
    "subs r12, r12, #1",
    "str r12, [sp, #64]",
    "bne 1b",
    "stm sp, {{r0-r11}}",
    "ldrd r0, r1, [sp, #72]",
    "mov r2, sp",
    "minionn_add_state",
    "minionn_add_state , ror #25",
    "minionn_add_state",
    "minionn_add_state , ror #24",
    "add sp, sp, #80",
    "pop {{r4-r11, pc}}",
    ".size minionn_chacha_block, . - minionn_chacha_block",
    ".purgem minionn_quarter",
    ".purgem minionn_add_state",
);

unsafe extern "C" {
    fn minionn_chacha_block(state: *const u32, out: *mut u32);
}

/// The block of a state: ten double rounds, and the state added.
pub(crate) fn block(state: &[u32; 16], out: &mut [u32; 16]) {
    // SAFETY: it reads the 16 words of one and writes those of the other, and keeps to the
    // procedure call standard.
    unsafe { minionn_chacha_block(state.as_ptr(), out.as_mut_ptr()) }
}
