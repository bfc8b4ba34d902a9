//! The blocking driver: a byte stream that waits, such as a socket or a serial line.
//!
//! The engine's futures never wait for anything but the stream, so over a blocking stream they
//! finish in one poll.

use crate::error::{Error, Result};
use core::future::Future;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use embedded_io_async::{ErrorType, Read, Write};

/// A blocking stream as the engine's byte stream.
#[derive(Debug)]
pub struct Blocking<IO>(pub IO);

impl<IO: embedded_io::ErrorType> ErrorType for Blocking<IO> {
    type Error = IO::Error;
}

impl<IO: embedded_io::Read> Read for Blocking<IO> {
    async fn read(&mut self, buf: &mut [u8]) -> core::result::Result<usize, IO::Error> {
        self.0.read(buf)
    }
}

impl<IO: embedded_io::Write> Write for Blocking<IO> {
    async fn write(&mut self, buf: &[u8]) -> core::result::Result<usize, IO::Error> {
        self.0.write(buf)
    }
    async fn flush(&mut self) -> core::result::Result<(), IO::Error> {
        self.0.flush()
    }
}

/// Runs a call of [`super::Client`] or [`super::Server`] over a [`Blocking`] stream.
///
/// # Errors
/// Those of the call; [`Error::State`] if the stream was not blocking after all.
pub fn run<T>(call: impl Future<Output = Result<T>>) -> Result<T> {
    match pin!(call).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => Err(Error::State),
    }
}
