//! defmt frames to QEMU's console; `cargo xtask embedded` decodes them. One thread, and no
//! interrupt logs: nothing to lock.

use core::cell::UnsafeCell;

#[defmt::global_logger]
struct Console;

/// The state of the encoding.
struct Encoder(UnsafeCell<defmt::Encoder>);

// SAFETY: there is one thread, and no interrupt handler logs.
unsafe impl Sync for Encoder {}

static ENCODER: Encoder = Encoder(UnsafeCell::new(defmt::Encoder::new()));

/// The encoder, for one call.
fn with(call: impl FnOnce(&mut defmt::Encoder)) {
    // SAFETY: as above; and the encoder's calls below call only the console, never this function.
    call(unsafe { &mut *ENCODER.0.get() });
}

// SAFETY: `acquire` needs to exclude nobody.
unsafe impl defmt::Logger for Console {
    fn acquire() {
        with(|encoder| encoder.start_frame(crate::semihosting::write));
    }
    unsafe fn flush() {}
    unsafe fn release() {
        with(|encoder| encoder.end_frame(crate::semihosting::write));
    }
    unsafe fn write(bytes: &[u8]) {
        with(|encoder| encoder.write(bytes, crate::semihosting::write));
    }
}
