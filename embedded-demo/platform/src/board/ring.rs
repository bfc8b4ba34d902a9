//! Received bytes between an interrupt handler, which puts them in, and the program, which takes
//! them out. Without it a byte would be lost whenever the engine computes for longer than a byte
//! takes on the line.

use core::sync::atomic::{
    AtomicBool, AtomicU8, AtomicUsize, Ordering::Acquire, Ordering::Relaxed, Ordering::Release,
};

/// Bytes: 90 ms at 460800 bits per second. The engine's longest computation between two reads takes
/// a tenth of that.
const LEN: usize = 4096;

/// One writer, one reader. Both counts only grow, and go round with `usize`.
pub(super) struct Ring {
    bytes: [AtomicU8; LEN],
    written: AtomicUsize,
    read: AtomicUsize,
    overrun: AtomicBool,
}

impl Ring {
    pub(super) const fn new() -> Self {
        Self {
            bytes: [const { AtomicU8::new(0) }; LEN],
            written: AtomicUsize::new(0),
            read: AtomicUsize::new(0),
            overrun: AtomicBool::new(false),
        }
    }

    /// Whether there is room. For the writer.
    pub(super) fn has_room(&self) -> bool {
        self.written.load(Relaxed).wrapping_sub(self.read.load(Acquire)) < LEN
    }

    /// Puts a byte in. For the writer, if there is room.
    pub(super) fn push(&self, byte: u8) {
        let written = self.written.load(Relaxed);
        if let Some(slot) = self.bytes.get(written % LEN) {
            slot.store(byte, Relaxed);
        }
        self.written.store(written.wrapping_add(1), Release);
    }

    /// Takes the oldest byte out. For the reader.
    pub(super) fn pop(&self) -> Option<u8> {
        let read = self.read.load(Relaxed);
        if self.written.load(Acquire) == read {
            return None;
        }
        let byte = self.bytes.get(read % LEN)?.load(Relaxed);
        self.read.store(read.wrapping_add(1), Release);
        Some(byte)
    }

    /// Notes that a byte was lost before it came here.
    pub(super) fn lose(&self) {
        self.overrun.store(true, Relaxed);
    }

    /// Whether bytes were lost since the last question.
    pub(super) fn lost(&self) -> bool {
        // Only the reader clears it: no swap, which the smallest cores do not have.
        let lost = self.overrun.load(Relaxed);
        if lost {
            self.overrun.store(false, Relaxed);
        }
        lost
    }
}
