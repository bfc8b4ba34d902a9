//! A server for many clients over TCP, one thread each.

use crate::link::{Connection, Link, Memory, fresh_seed};
use crate::pairings::{Half, Pairings};
use crate::serial::Line;
use crate::threads::Threads;
use anyhow::{Context as _, bail};
use core::time::Duration;
use minionn_core::handshake::{
    Greeting, Hello, PLAN_REQUEST_BYTES, abort, plan_reply, plan_reply_bytes,
};
use minionn_core::model::Model;
use minionn_core::session::blocking::{Blocking, run};
use minionn_core::session::{
    Event, MAX_STOCK, Pairing, Prepared, SERVER_PAIRING_BYTES, Server, prepared_memory,
    server_memory,
};
use minionn_core::{Error, plan::Plan};
use std::collections::HashMap;
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

/// How long a silent client is waited for.
const IDLE: Duration = Duration::from_secs(600);

/// What a server allows.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest stock of a client.
    pub max_stock: u32,
    /// Clients at a time.
    pub max_clients: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_stock: 256, max_clients: 256 }
    }
}

/// What one client's session came to.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Session {
    /// The client's address.
    pub peer: String,
    /// Predictions made.
    pub predictions: u64,
    /// Bytes to the client.
    pub bytes_sent: u64,
    /// Bytes from the client.
    pub bytes_received: u64,
    /// Why it ended, if not in order.
    pub error: Option<String>,
    /// Why its pairing could not be kept, if it should be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
}

/// A model with its transformed weights, for each stock that a client asked for.
pub struct Service {
    /// The file; kept for the life of the process, since sessions on other threads borrow it.
    model: Model<'static>,
    limits: Limits,
    prepared: Mutex<HashMap<u32, Arc<Prepared<'static>>>>,
    pairings: Pairings,
    threads: Threads,
}

impl Service {
    /// A service for the model in `bytes`, which stay in memory as long as the process runs; so do
    /// pairings, see [`Service::keeping`].
    ///
    /// # Errors
    /// If the bytes are no model.
    pub fn new(bytes: Vec<u8>, limits: Limits) -> anyhow::Result<Self> {
        let model = Model::parse(bytes.leak())?;
        let service = Self {
            model,
            limits,
            prepared: Mutex::default(),
            pairings: Pairings::in_memory(Pairings::MOST),
            threads: Threads::new(1)?,
        };
        service.prepare(1)?;
        Ok(service)
    }

    /// The same, with another place for pairings.
    #[must_use]
    pub fn keeping(self, pairings: Pairings) -> Self {
        Self { pairings, ..self }
    }

    /// The same, with threads that all sessions share, beside one each.
    #[must_use]
    pub fn sharing(self, threads: Threads) -> Self {
        Self { threads, ..self }
    }

    /// The plan that clients may fetch.
    #[must_use]
    pub const fn plan(&self) -> &Plan<'static> {
        self.model.plan()
    }

    /// The transformed weights for a stock, made on first use and kept.
    fn prepare(&self, stock: u32) -> anyhow::Result<Arc<Prepared<'static>>> {
        let mut all = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(prepared) = all.get(&stock) {
            return Ok(prepared.clone());
        }
        // Leaked on purpose: at most one for each stock that the limits allow, shared by all
        // sessions until the process ends.
        let memory = Box::leak(Box::new(Memory::new(prepared_memory(self.plan(), stock)?)));
        let prepared = Arc::new(Prepared::new(self.model, stock, memory.bytes())?);
        all.insert(stock, prepared.clone());
        Ok(prepared)
    }

    /// Serves one client to the end of its session.
    #[must_use]
    pub fn serve(&self, stream: TcpStream) -> Session {
        let peer = stream.peer_addr().map_or_else(|_| "unknown".to_owned(), |a| a.to_string());
        let mut session = Session { peer, ..Session::default() };
        let result = Link::new(stream, IDLE).map_err(Into::into).and_then(|mut link| {
            let result = self.try_serve(&mut link, &mut session);
            if result.is_err() {
                link.end();
            }
            result
        });
        session.error = result.err().map(|error: anyhow::Error| format!("{error:#}"));
        session
    }

    /// Serves the clients of a serial line, one after the other; `ended` is told about every
    /// session.
    ///
    /// # Errors
    /// If the port fails.
    pub fn serve_line(
        &self,
        line: &mut Line,
        mut ended: impl FnMut(&Session),
    ) -> anyhow::Result<()> {
        loop {
            let mut session = Session { peer: line.name().to_owned(), ..Session::default() };
            line.await_greeting().context("serial port")?;
            let result = self.try_serve(line, &mut session);
            session.error = result.err().map(|error| format!("{error:#}"));
            ended(&session);
        }
    }

    fn try_serve(&self, link: &mut impl Connection, session: &mut Session) -> anyhow::Result<()> {
        let Some(hello) = self.greet(link, session)? else { return Ok(()) };
        let options = hello.options;
        let half = match &hello.pairing {
            None => None,
            Some(id) => match self.pairings.get(id) {
                Some(half) => Some(half),
                None => {
                    refuse(link, Error::UnknownPairing);
                    bail!("the client names a pairing that is not kept here");
                }
            },
        };
        let pairing = half.as_ref().map(|half| Pairing::parse(half)).transpose()?;
        if pairing.is_some_and(|p| p.repetition() != options.repetition) {
            refuse(link, Error::Refused);
            bail!("refused an OT parameter that is not the pairing's");
        }
        let greeted = (session.bytes_sent, session.bytes_received);
        let prepared = self.prepare(options.stock)?;
        let mut memory = Memory::new(server_memory(self.plan(), &options)?);
        let (io, seed) = (Blocking(link), fresh_seed()?);
        let mut server = match &pairing {
            None => run(Server::accept(
                io,
                &prepared,
                options,
                memory.bytes(),
                &mut minionn_core::rng::KnownSeed::new(seed),
            )),
            Some(pairing) => run(Server::resume(
                io,
                &prepared,
                options,
                memory.bytes(),
                &mut minionn_core::rng::KnownSeed::new(seed),
                pairing,
            )),
        }
        .context("set-up")?;
        server.use_workers(self.threads.workers());
        loop {
            let event = run(server.serve());
            session.bytes_sent = greeted.0 + server.traffic().sent;
            session.bytes_received = greeted.1 + server.traffic().received;
            match event.context("session")? {
                Event::Prepared => {}
                Event::Predicted => session.predictions += 1,
                Event::Keep => {
                    let mut half = Half::new(vec![0; SERVER_PAIRING_BYTES]);
                    server.export(&mut half)?;
                    session.warning = self
                        .pairings
                        .keep(half)
                        .err()
                        .map(|error| format!("the pairing was not kept: {error:#}"));
                }
                Event::Closed => return Ok(()),
            }
        }
    }

    /// Answers plan requests until the hello comes, whose options say how much memory the session
    /// takes. `None` if the client only wanted the plan.
    fn greet(
        &self,
        link: &mut impl Connection,
        session: &mut Session,
    ) -> anyhow::Result<Option<Hello>> {
        let mut bytes = Vec::new();
        loop {
            let greeting = Greeting::peek(&bytes);
            match greeting {
                Ok(Some((Greeting::Hello(hello), _))) => {
                    if hello.options.stock > self.limits.max_stock {
                        refuse(link, Error::Refused);
                        bail!(
                            "refused a stock of {}: at most {} are allowed",
                            hello.options.stock,
                            self.limits.max_stock
                        );
                    }
                    link.read_again(bytes);
                    return Ok(Some(hello));
                }
                Ok(Some((Greeting::PlanRequest, n))) => {
                    bytes.drain(..n);
                    let mut frame = vec![0; plan_reply_bytes(self.plan())];
                    let n = plan_reply(self.plan(), &mut frame)?;
                    link.write_all(&frame)?;
                    link.flush()?;
                    session.bytes_sent += n as u64;
                    session.bytes_received += PLAN_REQUEST_BYTES as u64;
                }
                Ok(None) => {
                    let mut more = [0; 256];
                    match link.read(&mut more)? {
                        0 if bytes.is_empty() => return Ok(None),
                        0 => bail!("the client closed the connection inside its first message"),
                        n => bytes.extend_from_slice(more.get(..n).unwrap_or_default()),
                    }
                }
                Err(error) => {
                    refuse(link, error);
                    return Err(error).context("first message");
                }
            }
        }
    }
}

/// Tells a client why it is not served. Best effort.
fn refuse(link: &mut impl Connection, error: Error) {
    let _ = link.write_all(&abort(error.code())).and_then(|()| link.flush());
}

/// Accepts clients, each on its own thread; `ended` is told about every session. With `once`,
/// returns after the first one.
///
/// # Errors
/// If the listener fails.
pub fn run_listener(
    listener: &TcpListener,
    service: Arc<Service>,
    once: bool,
    ended: impl Fn(&Session) + Send + Sync + 'static,
) -> anyhow::Result<()> {
    let ended = Arc::new(ended);
    let active = Arc::new(());
    for stream in listener.incoming() {
        let stream = match stream {
            Ok(stream) => stream,
            // One client that is gone before it was accepted must not stop the others.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionAborted => continue,
            Err(error) => return Err(error).context("accepting a client"),
        };
        if once {
            ended(&service.serve(stream));
            return Ok(());
        }
        if Arc::strong_count(&active) > service.limits.max_clients {
            std::thread::spawn(move || {
                if let Ok(mut link) = Link::new(stream, IDLE) {
                    refuse(&mut link, Error::Refused);
                    link.end();
                }
            });
            continue;
        }
        let (service, ended, guard) = (service.clone(), ended.clone(), active.clone());
        std::thread::spawn(move || {
            ended(&service.serve(stream));
            drop(guard);
        });
    }
    Ok(())
}

const _: () = assert!(256 <= MAX_STOCK, "the default limit is one that the engine allows");
