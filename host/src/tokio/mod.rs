//! Client and server as tasks of tokio; with the feature `tokio`.
//!
//! Sessions are the same as in the blocking [`crate::Client`] and [`crate::Server`]. They wait for
//! their stream on the reactor, like everything else in tokio, and compute on its threads for
//! blocking work ([`tokio::task::spawn_blocking`]): no task of the program waits for a prediction,
//! and a session that waits for its peer occupies no thread.
//!
//! ```
//! use minionn_host::Model;
//! use minionn_host::tokio::{Client, Server};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn core::error::Error>> {
//! let model = Model::open("../models/digits_relu.minionn")?;
//! let image = vec![0.5; model.plan().input_len()];
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! let address = listener.local_addr()?;
//! let server = Server::new(model.clone());
//! let stop = server.stop_handle();
//! let serving = tokio::spawn(async move { server.serve(listener).await });
//!
//! let mut client = Client::connect(address).await?;
//! assert_eq!(client.predict(&image).await?, model.predict_plain(&image)?);
//! client.close().await?;
//!
//! stop.stop();
//! serving.await??;
//! # Ok(())
//! # }
//! ```

mod client;
mod server;

pub use client::Client;
pub use server::Server;

use crate::error::{Error, Result};
use crate::stream::{BUFFER, Medium, silence};
use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use embedded_io_adapters::tokio_1::FromTokio;
use embedded_io_async::{ErrorType, Read, Write};
use std::io;
use std::sync::Arc;
use std::task::Wake;
use tokio::io::{AsyncRead, AsyncWrite, BufStream};
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// A stream of tokio as the engine's byte stream, on which a peer that is silent for too long is an
/// error.
struct Socket<S> {
    stream: FromTokio<BufStream<S>>,
    idle: Duration,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    fn new(stream: S, idle: Duration) -> Self {
        let stream = BufStream::with_capacity(BUFFER, BUFFER, stream);
        Self { stream: FromTokio::new(stream), idle }
    }
}

/// The result of `call`, if it comes in time. There is no clock where there is nothing to wait for.
async fn in_time<T>(idle: Duration, call: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let mut call = pin!(call);
    match poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await {
        Poll::Ready(result) => result,
        Poll::Pending => timeout(idle, call).await.unwrap_or_else(|_| Err(silence())),
    }
}

impl<S> ErrorType for Socket<S> {
    type Error = io::Error;
}

impl<S: AsyncRead + AsyncWrite + Unpin> Read for Socket<S> {
    async fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        in_time(self.idle, self.stream.read(to)).await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Write for Socket<S> {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        in_time(self.idle, self.stream.write(bytes)).await
    }

    async fn flush(&mut self) -> io::Result<()> {
        in_time(self.idle, self.stream.flush()).await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Medium for Socket<S> {}

/// Rings when a future that is polled on another thread wants to be polled again.
#[derive(Default)]
struct Bell(Notify);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

/// A future that is polled off the reactor: what it computes holds no task up.
type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Polls `work` until it is done, or waits and `pause` says that this is enough. Gives it back if
/// it is not done.
///
/// If this call is dropped, `work` is dropped as well, as soon as it has nothing to compute.
async fn off_reactor<T: Send + 'static>(
    mut work: Work<T>,
    mut pause: impl FnMut() -> bool,
) -> Result<(Work<T>, Poll<T>)> {
    let bell = Arc::new(Bell::default());
    loop {
        let waker = Waker::from(bell.clone());
        let polled = spawn_blocking(move || {
            let polled = work.as_mut().poll(&mut Context::from_waker(&waker));
            (work, polled)
        });
        let (back, polled) = polled.await.map_err(|e| Error::system("thread")(e.into()))?;
        if polled.is_ready() || pause() {
            return Ok((back, polled));
        }
        work = back;
        bell.0.notified().await;
    }
}
