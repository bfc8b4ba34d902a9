//! The machine that runs a party, as far as its need for memory depends on it: so a host can tell
//! what a microcontroller will ask for.

use crate::error::{Error, Result};

/// Sizes that neither plan nor options decide. A party takes exactly these from its caller's
/// memory, whatever of it the compiler then uses: a need that is told on one machine is the need on
/// the other, to the byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetProfile {
    /// Instances (neurons) garbled or evaluated at once. Only speed and memory depend on it, never
    /// the bytes on the wire.
    pub(crate) lanes: usize,
    /// Groups of OTs in one call of the extension: as many as share one key schedule, or several
    /// times that, for several threads.
    pub(crate) groups: usize,
    /// Ciphertexts of one limb encrypted at once.
    pub(crate) ciphertexts: usize,
    /// Usual bytes of an engine's inbox, and of its outbox.
    pub(crate) buffer: usize,
    /// Reserved for what an engine shares with its caller.
    pub(crate) shared: usize,
    /// Reserved for a client's future.
    pub(crate) client: usize,
    /// Reserved for a server's future.
    pub(crate) server: usize,
    /// Reserved by the C ABI in front of a session or a model.
    pub handle: usize,
    /// Most bytes of one piece of memory.
    pub(crate) most: usize,
}

impl TargetProfile {
    /// Pointers of 32 bits: microcontrollers.
    pub const BITS32: Self = Self {
        lanes: 1,
        groups: 8,
        ciphertexts: 1,
        buffer: 2048,
        shared: 160,
        client: 4864,
        server: 5632,
        handle: 192,
        most: i32::MAX as usize,
    };

    /// WebAssembly: pointers of 32 bits, but keys as on larger machines.
    pub const WASM32: Self = Self { client: 7168, server: 7680, ..Self::BITS32 };

    /// Pointers of 64 bits.
    pub const BITS64: Self = Self {
        lanes: 32,
        groups: 128,
        ciphertexts: 8,
        buffer: 1 << 16,
        shared: 256,
        client: 36864,
        server: 40960,
        handle: 256,
        most: isize::MAX as usize,
    };

    /// The one that this is compiled for.
    pub const THIS: Self = if cfg!(target_pointer_width = "64") {
        Self::BITS64
    } else if cfg!(target_family = "wasm") {
        Self::WASM32
    } else {
        Self::BITS32
    };

    /// The number of bytes, if one piece of memory can have as many.
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub const fn check(self, need: usize) -> Result<usize> {
        if need <= self.most { Ok(need) } else { Err(Error::Memory { need }) }
    }
}

/// How many instances (neurons) a party garbles or evaluates at once. Only speed and memory depend
/// on it, never the bytes on the wire. On hosts the largest circuits take up to 256 KiB of stack.
pub const LANES: usize = TargetProfile::THIS.lanes;
