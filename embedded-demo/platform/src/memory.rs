//! What the firmware uses of flash and RAM. The stack is measured by painting: fill what is free,
//! run, see how much paint is left. Below it lies a guard that faults when touched, so that a stack
//! which grows too far never reaches the static variables.

use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Paint: unlikely as data, not an address on these machines.
const PAINT: u32 = 0xa5c3_5a3c;
/// Bytes that painting leaves alone below its own local variable: room for its frame. They count as
/// used, so this is the least that [`stack_used`] can say.
const MARGIN: usize = 256;
/// Bytes of the guard: a region of the memory protection unit, aligned to its size.
const GUARD: usize = 256;

/// Deepest stack seen by any call of [`stack_used`].
static DEEPEST: AtomicUsize = AtomicUsize::new(0);

// Placed by the linker script; only their addresses mean something.
unsafe extern "C" {
    static _stack_start: u32;
    static _stack_end: u32;
    static _ram_start: u32;
    static _flash_start: u32;
    static __sdata: u32;
    static __edata: u32;
    static __sidata: u32;
}

/// Bytes of flash and RAM.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Code, constants and initial values.
    pub flash: usize,
    /// Static variables.
    pub fixed: usize,
    /// Left for the stack.
    pub free: usize,
    /// Deepest stack so far.
    pub stack: usize,
}

impl Sizes {
    /// Whether the stack never came down to the guard.
    #[must_use]
    pub const fn sound(&self) -> bool {
        self.stack < self.free
    }
}

/// The sizes, as known now.
#[must_use]
pub fn sizes() -> Sizes {
    let data = address(&raw const __edata) - address(&raw const __sdata);
    Sizes {
        // The initial values of .data are what is stored last.
        flash: address(&raw const __sidata) + data - address(&raw const _flash_start),
        fixed: address(&raw const _stack_end) - address(&raw const _ram_start),
        free: top() as usize - bottom() as usize,
        stack: DEEPEST.load(Relaxed),
    }
}

/// Forbids access to the guard between static variables and stack. Call once, at the start.
pub fn guard() {
    // Bits of the region's size and attributes (ARMv7-M, B3.5): no access, not even for fetching
    // instructions.
    const ENABLE: u32 = 1;
    const NEVER_EXECUTE: u32 = 1 << 28;
    const SIZE: u32 = (GUARD.trailing_zeros() - 1) << 1;
    /// Memory outside of all regions stays as it is for privileged code.
    const DEFAULT_MAP: u32 = 1 << 2;
    const VALID: u32 = 1 << 4;
    let mpu = cortex_m::peripheral::MPU::PTR.cast_mut();
    // SAFETY: the unit belongs to this function alone. The region covers no variable: it begins
    // above them and ends where `bottom` says that the stack may begin.
    unsafe {
        (*mpu).rbar.write(guard_start() as u32 | VALID);
        (*mpu).rasr.write(NEVER_EXECUTE | SIZE | ENABLE);
        (*mpu).ctrl.write(DEFAULT_MAP | ENABLE);
    }
    cortex_m::asm::dsb();
    cortex_m::asm::isb();
}

/// Paints the stack below the caller.
#[inline(never)]
pub fn paint() {
    let here = 0_u32;
    let end = (&raw const here as usize - MARGIN) as *mut u32;
    let mut word = bottom();
    while word < end {
        // SAFETY: between the guard and this function's frame lies only free stack, aligned to
        // words. There is no heap and no other thread, and an interrupt's frame lies below
        // `here` only while the interrupt runs. Volatile, so that no call of memset takes its
        // place.
        unsafe { word.write_volatile(PAINT) };
        word = word.wrapping_add(1);
    }
}

/// Bytes of stack used since [`paint`], everything above it included.
#[inline(never)]
pub fn stack_used() -> usize {
    let mut word = bottom();
    // SAFETY: the range is RAM, aligned to words; volatile, because the compiler does not know who
    // wrote it.
    while word < top() && unsafe { word.read_volatile() } == PAINT {
        word = word.wrapping_add(1);
    }
    let used = top() as usize - word as usize;
    DEEPEST.fetch_max(used, Relaxed);
    used
}

/// Where the guard begins: the first aligned address above the static variables.
fn guard_start() -> usize {
    address(&raw const _stack_end).next_multiple_of(GUARD)
}

/// First word above the guard; the stack grows down towards it.
fn bottom() -> *mut u32 {
    (guard_start() + GUARD) as *mut u32
}

/// One past the last word of the stack.
fn top() -> *mut u32 {
    (&raw const _stack_start).cast_mut()
}

fn address(symbol: *const u32) -> usize {
    symbol as usize
}
