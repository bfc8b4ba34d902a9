//! A server for many clients: each on a thread of its own over `std::net`, or over any other
//! blocking stream; the module `tokio` (feature `tokio`) has the same for tokio.

mod options;
pub(crate) mod service;
mod stop;

pub use options::ServerOptions;
pub use stop::StopHandle;

use crate::error::{Error, Result};
use crate::model::{Model, Plan};
#[cfg(feature = "serial")]
use crate::serial::Line;
use crate::stream::{self, Buffered, Medium, Wire};
use core::fmt;
use core::future::Future;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::pin::pin;
use core::sync::atomic::Ordering;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use minionn_core::Error as CoreError;
use minionn_core::session::blocking::Blocking;
use serde::{Serialize, Serializer};
use service::{Activity, Service, refuse};
use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use stop::{Entry, Stop};

/// What one client's session came to.
#[derive(Debug, Default, Serialize)]
#[non_exhaustive]
pub struct SessionReport {
    /// The client's address.
    pub peer: String,
    /// Predictions made.
    pub predictions: u64,
    /// Predictions prepared, made or not.
    pub prepared: u64,
    /// Bytes to the client.
    pub bytes_sent: u64,
    /// Bytes from the client.
    pub bytes_received: u64,
    /// Why it ended, if not in order.
    #[serde(serialize_with = "in_words")]
    pub error: Option<Error>,
    /// Why its pairing could not be kept, or forgotten, if it should be.
    #[serde(serialize_with = "in_words", skip_serializing_if = "Option::is_none")]
    pub warning: Option<Error>,
}

impl SessionReport {
    /// Whether the client may still be sending, and is to read why that is in vain.
    pub(crate) const fn wants_end(&self) -> bool {
        !matches!(self.error, None | Some(Error::Stopped))
    }
}

fn in_words<S: Serializer>(error: &Option<Error>, serializer: S) -> Result<S::Ok, S::Error> {
    error.as_ref().map(Error::report).serialize(serializer)
}

/// Serves a model. Cheap to clone: all clones share weights, pairings and limits.
///
/// ```no_run
/// use minionn_host::{Model, Server};
/// # fn main() -> minionn_host::Result<()> {
/// let listener = std::net::TcpListener::bind("0.0.0.0:7650").unwrap();
/// Server::new(Model::open("net.minionn")?).serve(listener)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Server {
    pub(crate) service: Arc<Service>,
    pub(crate) stop: Arc<Stop>,
}

impl Server {
    /// A server with the default options.
    #[must_use]
    pub fn new(model: Model) -> Self {
        Self::with_options(model, ServerOptions::new())
    }

    /// A server with other options, which are checked when it begins to serve.
    #[must_use]
    pub fn with_options(model: Model, options: ServerOptions) -> Self {
        Self { service: Arc::new(Service::new(model, options)), stop: Arc::default() }
    }

    /// The plan that clients may fetch.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        self.service.model.plan()
    }

    /// Transforms the weights for a stock now, so that the first client with that need not wait.
    ///
    /// # Errors
    /// [`Error::Options`] for a stock out of range.
    pub fn prepare(&self, stock: u32) -> Result<()> {
        self.service.prepare(stock)
    }

    /// Stops this server and all of its clones.
    #[must_use]
    pub fn stop_handle(&self) -> StopHandle {
        StopHandle::new(self.stop.clone())
    }

    /// Serves clients, each on its own thread, until [`StopHandle::stop`].
    ///
    /// # Errors
    /// [`Error::Listen`] if the listener fails, [`Error::Options`].
    pub fn serve(&self, listener: TcpListener) -> Result<()> {
        self.service.options.check()?;
        let address = listener.local_addr().map_err(|source| failed("listener", source))?;
        let knock = wakes(address);
        let _entry = self.stop.on_stop(Arc::new(move || {
            // The loop below waits for a client: here is one. It fails only where others wait.
            drop(TcpStream::connect_timeout(&knock, Duration::from_secs(1)));
        }));
        let result = loop {
            let accepted = listener.accept();
            if self.stop.is_stopping() {
                break Ok(());
            }
            match accepted {
                Ok((stream, _)) => self.start(stream),
                // One client that is gone before it was accepted must not stop the others.
                Err(error) if passing(&error) => {}
                Err(error) => break Err(failed(address, error)),
            }
        };
        if result.is_ok() {
            drop(listener);
            self.stop.end_sessions(self.service.options.grace);
        }
        result
    }

    /// Serves the next client only, on this thread. The observer of the options is not told.
    ///
    /// # Errors
    /// As [`Server::serve`]; what goes wrong in the session is in the report.
    pub fn serve_one(&self, listener: &TcpListener) -> Result<SessionReport> {
        self.service.options.check()?;
        loop {
            match listener.accept() {
                Ok((stream, _)) => {
                    return Ok(self.attend(&Arc::new(stream), &self.stop.activity()));
                }
                Err(error) if passing(&error) => {}
                Err(error) => return Err(failed("listener", error)),
            }
        }
    }

    /// Serves one client over a blocking stream, to the end of its session, on this thread. `peer`
    /// is its name in the report.
    ///
    /// # Errors
    /// [`Error::Options`]; what goes wrong in the session is in the report.
    pub fn serve_stream<S: io::Read + io::Write>(
        &self,
        stream: S,
        peer: impl Into<String>,
    ) -> Result<SessionReport> {
        self.service.options.check()?;
        let wire = Wire::new(Blocking(Buffered::new(stream)));
        Ok(self.run(wire, &self.stop.activity(), peer.into()))
    }

    /// Serves the clients of a serial line, one after the other; `ended` is told about every
    /// session.
    ///
    /// # Errors
    /// [`Error::Listen`] if the port fails, [`Error::Options`].
    #[cfg(feature = "serial")]
    pub fn serve_line(&self, line: &mut Line, mut ended: impl FnMut(SessionReport)) -> Result<()> {
        self.service.options.check()?;
        loop {
            let name = line.name().to_owned();
            line.await_greeting().map_err(|source| failed(&name, source))?;
            ended(self.run(Wire::new(Blocking(&mut *line)), &self.stop.activity(), name));
        }
    }

    /// Starts a client's session on a thread of its own.
    fn start(&self, stream: TcpStream) {
        let (server, stream) = (self.clone(), Arc::new(stream));
        let opened = self.open(&stream);
        std::thread::spawn(move || match opened {
            Some((entry, activity)) => {
                let report = server.attend(&stream, &activity);
                drop(entry);
                (server.service.options.observer)(report);
            }
            None => server.turn_away(&stream),
        });
    }

    /// Registers a session over this socket, unless there are too many.
    pub(crate) fn open(&self, stream: &Arc<TcpStream>) -> Option<(Entry, Activity)> {
        let stream = stream.clone();
        let cut = move || drop(stream.shutdown(Shutdown::Both));
        self.stop.open(self.service.options.max_sessions, Arc::new(cut))
    }

    /// Tells a client that there are too many.
    fn turn_away(&self, stream: &Arc<TcpStream>) {
        if let Ok(buffered) = stream::tcp(stream.clone(), self.service.options.idle_timeout) {
            let mut wire = Wire::new(Blocking(buffered));
            if done(refuse(&mut wire, CoreError::Refused)).is_ok() {
                stream::end(stream);
            }
        }
    }

    /// A session over TCP.
    fn attend(&self, stream: &Arc<TcpStream>, activity: &Activity) -> SessionReport {
        let peer = name(stream.peer_addr());
        match stream::tcp(stream.clone(), self.service.options.idle_timeout) {
            Ok(buffered) => {
                let wire = Wire::watched(Blocking(buffered), activity.busy.clone());
                let report = self.run(wire, activity, peer);
                if report.wants_end() {
                    stream::end(stream);
                }
                report
            }
            Err(source) => {
                let error = Error::Connect { address: peer.clone(), source };
                SessionReport { peer, error: Some(error), ..SessionReport::default() }
            }
        }
    }

    /// A session over a blocking stream.
    fn run<M: Medium>(&self, wire: Wire<M>, activity: &Activity, peer: String) -> SessionReport {
        let session = session(&self.service, wire, activity, peer.clone());
        done(session).unwrap_or_else(|error| SessionReport {
            peer,
            error: Some(error),
            ..SessionReport::default()
        })
    }
}

/// A client's session, and what it came to.
pub(crate) async fn session<M: Medium>(
    service: &Service,
    wire: Wire<M>,
    activity: &Activity,
    peer: String,
) -> SessionReport {
    let mut report = SessionReport { peer, ..SessionReport::default() };
    let result = service.serve(wire, activity, &mut report).await;
    report.error = match result {
        Err(Error::Session { .. }) if activity.stopping.load(Ordering::SeqCst) => {
            Some(Error::Stopped)
        }
        result => result.err(),
    };
    report
}

/// A peer's address, for people.
pub(crate) fn name(address: io::Result<SocketAddr>) -> String {
    address.map_or_else(|_| "unknown".to_owned(), |address| address.to_string())
}

/// Over a blocking stream, a future is done in one poll.
fn done<T>(future: impl Future<Output = T>) -> Result<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => Ok(result),
        Poll::Pending => Err(Error::Bug("a blocking stream did not block")),
    }
}

/// Whether an error concerns one client only, which is gone.
pub(crate) fn passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted)
}

pub(crate) fn failed(address: impl fmt::Display, source: io::Error) -> Error {
    Error::Listen { address: address.to_string(), source }
}

/// An address that reaches a listener on `address` from here.
fn wakes(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
