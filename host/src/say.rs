//! What the command says on standard output. Whoever reads it may close it early, as `head` does:
//! then there is nobody left to say anything to, which is no error.

use core::fmt;
use std::io::{self, Write as _};

/// Writes to standard output.
pub(crate) fn write(text: fmt::Arguments<'_>) {
    let mut out = io::stdout().lock();
    if let Err(error) = out.write_fmt(text).and_then(|()| out.flush()) {
        drop(out);
        end(&error);
    }
}

/// Ends the program, as what it has to say cannot be said.
fn end(error: &io::Error) -> ! {
    if error.kind() == io::ErrorKind::BrokenPipe {
        std::process::exit(0);
    }
    eprintln!("error: standard output: {error}");
    std::process::exit(1);
}

/// A line on standard output.
macro_rules! say {
    ($($text:tt)*) => { $crate::say::write(format_args!("{}\n", format_args!($($text)*))) };
}
pub(crate) use say;
