//! A hardware fault or an unexpected exception ends the program.

use cortex_m_rt::{ExceptionFrame, exception};

#[cfg(feature = "log")]
macro_rules! say { ($($words:tt)*) => { defmt::error!($($words)*) } }
#[cfg(not(feature = "log"))]
macro_rules! say { ($text:literal $(, $value:expr)*) => { { $( let _ = $value; )* } } }

/// Most likely the stack ran into its guard.
#[exception]
unsafe fn HardFault(frame: &ExceptionFrame) -> ! {
    say!("FAILED: hard fault at {=u32:#010x}", frame.pc());
    crate::exit(false)
}

/// No other interrupt is enabled than those with a handler.
#[exception]
unsafe fn DefaultHandler(number: i16) {
    say!("FAILED: exception {=i16}", number);
    crate::exit(false)
}
