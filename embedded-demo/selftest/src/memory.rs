//! What the firmware uses of flash and RAM. The stack is measured by painting: fill what is free, run, see how much paint is left.

use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use semihosting::println;

/// Paint: unlikely as data, not an address on this machine.
const PAINT: u32 = 0xa5c3_5a3c;
/// Bytes that painting leaves alone below its own local variable: room for its frame. They count as used, so this is the least that
/// [`stack_used`] can say.
const MARGIN: usize = 256;

/// Deepest stack that any test has needed.
static DEEPEST: AtomicUsize = AtomicUsize::new(0);

// Placed by the linker script; only their addresses mean something.
unsafe extern "C" {
    static _stack_start: u32;
    static _stack_end: u32;
    static _ram_start: u32;
    static __sdata: u32;
    static __edata: u32;
    static __sidata: u32;
}

/// First free word, right above the static variables; the stack grows down towards it.
fn bottom() -> *mut u32 {
    (&raw const _stack_end).cast_mut()
}

/// One past the last word of the stack.
fn top() -> *mut u32 {
    (&raw const _stack_start).cast_mut()
}

/// Paints the stack below the caller.
#[inline(never)]
pub(crate) fn paint() {
    let here = 0_u32;
    let end = (&raw const here as usize - MARGIN) as *mut u32;
    let mut word = bottom();
    while word < end {
        // SAFETY: between the static variables and this function's frame lies only free stack, aligned to words by the linker
        // script. There is no heap, no other thread and no interrupt. Volatile, so that no call of memset takes its place.
        unsafe { word.write_volatile(PAINT) };
        word = word.wrapping_add(1);
    }
}

/// Bytes of stack used since [`paint`], everything above it included.
#[inline(never)]
pub(crate) fn stack_used() -> usize {
    let mut word = bottom();
    // SAFETY: the range is RAM, aligned to words; volatile, because the compiler does not know who wrote it.
    while word < top() && unsafe { word.read_volatile() } == PAINT {
        word = word.wrapping_add(1);
    }
    let used = top() as usize - word as usize;
    DEEPEST.fetch_max(used, Relaxed);
    used
}

/// Prints the sizes. False if the stack came so low that it may have run into the static variables.
pub(crate) fn report() -> bool {
    let data = address(&raw const __edata) - address(&raw const __sdata);
    let flash = address(&raw const __sidata) + data; // starts at 0; the initial values of .data are what is stored last
    let fixed = bottom() as usize - address(&raw const _ram_start);
    let free = top() as usize - bottom() as usize;
    let stack = DEEPEST.load(Relaxed);
    println!("flash {flash}, static RAM {fixed}, deepest stack {stack} of {free} bytes");
    stack < free
}

fn address(symbol: *const u32) -> usize {
    symbol as usize
}
