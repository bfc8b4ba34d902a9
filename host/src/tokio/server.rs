//! The server.

use super::{Socket, off_reactor};
use crate::error::{Error, Result};
use crate::model::{Model, Plan};
use crate::server::service::{Activity, refuse};
use crate::server::{self, ServerOptions, SessionReport, StopHandle, failed, passing};
use crate::stream::{self, Wire};
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;
use minionn_core::Error as CoreError;
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::spawn_blocking;

/// Serves a model: [`crate::Server`] for tokio, and one can be made from the other. Cheap to clone:
/// all clones share weights, pairings and limits.
#[derive(Clone)]
pub struct Server(crate::Server);

impl From<crate::Server> for Server {
    fn from(server: crate::Server) -> Self {
        Self(server)
    }
}

impl Server {
    /// A server with the default options.
    #[must_use]
    pub fn new(model: Model) -> Self {
        Self(crate::Server::new(model))
    }

    /// A server with other options, which are checked when it begins to serve.
    #[must_use]
    pub fn with_options(model: Model, options: ServerOptions) -> Self {
        Self(crate::Server::with_options(model, options))
    }

    /// The plan that clients may fetch.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        self.0.plan()
    }

    /// Transforms the weights for a stock now, so that the first client with that need not wait.
    ///
    /// # Errors
    /// [`Error::Options`] for a stock out of range.
    pub async fn prepare(&self, stock: u32) -> Result<()> {
        let server = self.0.clone();
        blocking(move || server.prepare(stock)).await?
    }

    /// Stops this server and all of its clones.
    #[must_use]
    pub fn stop_handle(&self) -> StopHandle {
        self.0.stop_handle()
    }

    /// Serves clients, each in a task of its own, until [`StopHandle::stop`].
    ///
    /// # Errors
    /// [`Error::Listen`] if the listener fails, [`Error::Options`].
    pub async fn serve(&self, listener: TcpListener) -> Result<()> {
        let options = &self.0.service.options;
        options.check()?;
        let bell = Arc::new(Notify::new());
        let rung = bell.clone();
        let _entry = self.0.stop.on_stop(Arc::new(move || rung.notify_one()));
        let mut stopped = pin!(bell.notified());
        loop {
            let accepted = poll_fn(|cx| match stopped.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(None),
                Poll::Pending => listener.poll_accept(cx).map(Some),
            });
            match accepted.await {
                None => break,
                Some(Ok((stream, _))) => self.start(stream),
                // One client that is gone before it was accepted must not stop the others.
                Some(Err(error)) if passing(&error) => {}
                Some(Err(error)) => return Err(failed("listener", error)),
            }
        }
        drop(listener);
        let (stop, grace) = (self.0.stop.clone(), options.grace);
        blocking(move || stop.end_sessions(grace)).await
    }

    /// Serves one client over a stream, to the end of its session. `peer` is its name in the
    /// report.
    ///
    /// # Errors
    /// [`Error::Options`]; what goes wrong in the session is in the report.
    pub async fn serve_stream<S>(&self, stream: S, peer: impl Into<String>) -> Result<SessionReport>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        self.0.service.options.check()?;
        Ok(self.run(stream, self.0.stop.activity(), peer.into()).await)
    }

    /// Starts a client's session in a task of its own.
    fn start(&self, stream: TcpStream) {
        let Ok((stream, second)) = twice(stream) else { return };
        let (server, opened) = (self.clone(), self.0.open(&second));
        tokio::spawn(async move {
            match opened {
                Some((entry, activity)) => {
                    let peer = server::name(second.peer_addr());
                    let report = server.run(stream, activity, peer).await;
                    if report.wants_end() {
                        linger(second).await;
                    }
                    drop(entry);
                    (server.0.service.options.observer)(report);
                }
                None => {
                    let idle = server.0.service.options.idle_timeout;
                    let mut wire = Wire::new(Socket::new(stream, idle));
                    refuse(&mut wire, CoreError::Refused).await;
                    drop(wire);
                    linger(second).await;
                }
            }
        });
    }

    /// A session over a stream.
    async fn run<S>(&self, stream: S, activity: Activity, peer: String) -> SessionReport
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (service, name) = (self.0.service.clone(), peer.clone());
        let socket = Socket::new(stream, service.options.idle_timeout);
        let wire = Wire::watched(socket, activity.busy.clone());
        let work = Box::pin(async move { server::session(&service, wire, &activity, name).await });
        let error = match off_reactor(work, || false).await {
            Ok((_, Poll::Ready(report))) => return report,
            Ok((_, Poll::Pending)) => Error::Bug("a session has stopped half-way"),
            Err(error) => error,
        };
        SessionReport { peer, error: Some(error), ..SessionReport::default() }
    }
}

/// A socket, and a second handle to close it with.
fn twice(stream: TcpStream) -> io::Result<(TcpStream, Arc<std::net::TcpStream>)> {
    stream.set_nodelay(true)?;
    let stream = stream.into_std()?;
    let second = stream.try_clone()?;
    Ok((TcpStream::from_std(stream)?, Arc::new(second)))
}

/// Ends a connection so that the peer reads why.
async fn linger(stream: Arc<std::net::TcpStream>) {
    let ended = blocking(move || {
        if stream.set_nonblocking(false).is_ok() {
            stream::end(&stream);
        }
    });
    drop(ended.await); // best effort
}

/// Calls `work` on a thread for blocking work.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    spawn_blocking(work).await.map_err(|error| Error::system("thread")(error.into()))
}
