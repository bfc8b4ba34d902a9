//! A serial line.

use super::{Fault, Link, PATIENCE_MS};
use crate::time::Deadline;
use embedded_io::{Read, Write};

/// A line is quiet when nothing came for this long. More than a serial adapter on USB waits before
/// it hands bytes on (16 ms).
const QUIET_MS: u32 = 100;

/// Cycles between two looks at a port, less than a byte takes on any line; and looks at it for one
/// at the clock. Without the pause QEMU's other threads hardly get a turn.
const PAUSE: u32 = 100;
const LOOKS: usize = 16;

/// A serial port, one byte at a time, never waiting.
pub trait Port {
    /// The next byte, if one has come.
    ///
    /// # Errors
    /// [`Fault::Overrun`], once, if bytes were lost.
    fn receive(&mut self) -> Result<Option<u8>, Fault>;

    /// Whether the port took the byte.
    fn send(&mut self, byte: u8) -> bool;
}

/// A port as a link.
///
/// A line knows no connections. After a broken session the other side may still be sending:
/// [`Link::open`] waits until it has stopped. A server takes a hello in the middle of a session as
/// the begin of a new one.
#[derive(Debug)]
pub struct Serial<P>(pub P);

impl<P> embedded_io::ErrorType for Serial<P> {
    type Error = Fault;
}

impl<P: Port> Serial<P> {
    /// The next byte, or `None` if the line was silent for so long.
    fn within(&mut self, milliseconds: u32) -> Result<Option<u8>, Fault> {
        let deadline = Deadline::after(milliseconds);
        while !deadline.passed() {
            for _ in 0..LOOKS {
                if let Some(byte) = self.0.receive()? {
                    return Ok(Some(byte));
                }
                cortex_m::asm::delay(PAUSE);
            }
        }
        Ok(None)
    }
}

impl<P: Port> Read for Serial<P> {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Fault> {
        let Some((first, rest)) = buf.split_first_mut() else { return Ok(0) };
        *first = self.within(PATIENCE_MS)?.ok_or(Fault::Silent)?;
        let mut n = 1;
        for slot in rest {
            let Some(byte) = self.0.receive()? else { break };
            *slot = byte;
            n += 1;
        }
        Ok(n)
    }
}

impl<P: Port> Write for Serial<P> {
    fn write(&mut self, buf: &[u8]) -> Result<usize, Fault> {
        for &byte in buf {
            let deadline = Deadline::after(PATIENCE_MS);
            while !self.0.send(byte) {
                if deadline.passed() {
                    return Err(Fault::Silent);
                }
            }
        }
        Ok(buf.len())
    }

    /// Nothing is held back.
    fn flush(&mut self) -> Result<(), Fault> {
        Ok(())
    }
}

impl<P: Port> Link for Serial<P> {
    fn open(&mut self) -> Result<(), Fault> {
        // What was lost before does not matter now.
        while !matches!(self.within(QUIET_MS), Ok(None)) {}
        Ok(())
    }

    fn close(&mut self) {}
}
