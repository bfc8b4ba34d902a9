//! A register of a peripheral that has no crate of its own.

/// A 32-bit register at a fixed address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Register(*mut u32);

// SAFETY: a register is only an address; who may use it is settled where it is named.
unsafe impl Sync for Register {}

impl Register {
    /// Only for addresses of device registers on this board, where reads and writes cannot touch
    /// memory that Rust knows of.
    pub(crate) const fn at(address: usize) -> Self {
        Self(address as *mut u32)
    }

    pub(crate) fn read(self) -> u32 {
        // SAFETY: see `at`.
        unsafe { self.0.read_volatile() }
    }

    pub(crate) fn write(self, value: u32) {
        // SAFETY: see `at`.
        unsafe { self.0.write_volatile(value) }
    }
}
