//! What a server does for one client, whatever the stream.

use super::{ServerOptions, SessionReport};
use crate::error::{Error, Result, Step};
use crate::memory::Memory;
use crate::model::Model;
use crate::pairing::Half;
use crate::stream::{Failure, Medium, Wire};
use core::sync::atomic::{AtomicBool, Ordering};
use embedded_io_async::{Read as _, Write as _};
use getrandom::SysRng;
use minionn_core::Error as CoreError;
use minionn_core::handshake::{
    Greeting, Hello, PLAN_REQUEST_BYTES, abort, plan_reply, plan_reply_bytes,
};
use minionn_core::session::{
    Event, Pairing, Prepared, SERVER_PAIRING_BYTES, Server as Engine, prepared_memory,
    server_memory,
};
use self_cell::{MutBorrow, self_cell};
use std::sync::{Arc, Mutex, PoisonError};

/// Stocks whose transformed weights are kept ready; others are made when they are asked for.
const KEPT_STOCKS: usize = 8;

struct Weights {
    model: Model,
    memory: MutBorrow<Memory>,
}

type CorePrepared<'a> = Prepared<'a>;

self_cell!(
    /// A model with its weights transformed for one stock.
    struct PreparedCell {
        owner: Weights,
        #[covariant]
        dependent: CorePrepared,
    }
);

/// What a session and whoever watches over it share.
#[derive(Clone, Default)]
pub(crate) struct Activity {
    /// Whether a request is under way: from its first byte to its end.
    pub(crate) busy: Arc<AtomicBool>,
    /// Whether no further request is to be served.
    pub(crate) stopping: Arc<AtomicBool>,
}

/// A model, and what all of its sessions share.
pub(crate) struct Service {
    pub(crate) model: Model,
    pub(crate) options: ServerOptions,
    /// The last ones that were used come first.
    prepared: Mutex<Vec<(u32, Arc<PreparedCell>)>>,
}

impl Service {
    pub(crate) fn new(model: Model, options: ServerOptions) -> Self {
        Self { model, options, prepared: Mutex::default() }
    }

    /// The transformed weights for a stock.
    fn prepared(&self, stock: u32) -> Result<Arc<PreparedCell>> {
        let mut all = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        let place = all.iter().position(|(kept, _)| *kept == stock);
        let cell = match place {
            Some(place) => all.remove(place).1,
            None => Arc::new(self.transformed(stock).map_err(Error::session_options)?),
        };
        all.insert(0, (stock, cell.clone()));
        all.truncate(KEPT_STOCKS);
        Ok(cell)
    }

    fn transformed(&self, stock: u32) -> minionn_core::Result<PreparedCell> {
        let memory = Memory::new(prepared_memory(self.model.plan().core(), stock)?);
        let weights = Weights { model: self.model.clone(), memory: MutBorrow::new(memory) };
        PreparedCell::try_new(weights, |weights| {
            Prepared::new(*weights.model.core(), stock, weights.memory.borrow_mut().bytes())
        })
    }

    /// Transforms the weights for a stock, so that the first client with that need not wait.
    pub(crate) fn prepare(&self, stock: u32) -> Result<()> {
        self.prepared(stock).map(drop)
    }

    /// Serves one client to the end of its session.
    pub(crate) async fn serve<M: Medium>(
        &self,
        mut wire: Wire<M>,
        activity: &Activity,
        report: &mut SessionReport,
    ) -> Result<()> {
        let failure = wire.failure().clone();
        let Some(hello) = self.greet(&mut wire, &failure, report).await? else { return Ok(()) };
        let options = hello.options;
        let mut kept = hello.pairing;
        let half = self.half_of(&mut wire, &hello).await?;
        let pairing = half.as_ref().map(|half| Pairing::parse(half)).transpose();
        let pairing = pairing.map_err(|error| Error::session(Step::SetUp, error, &failure))?;
        let greeted = (report.bytes_sent, report.bytes_received);
        let prepared = self.prepared(options.stock)?;
        let prepared = prepared.borrow_dependent();
        let need = server_memory(self.model.plan().core(), &options);
        let mut memory = Memory::new(need.map_err(Error::session_options)?);
        let (memory, random) = (memory.bytes(), &mut SysRng);
        let mut server = match &pairing {
            None => Engine::accept(wire, prepared, options, memory, random).await,
            Some(pairing) => Engine::resume(wire, prepared, options, memory, random, pairing).await,
        }
        .map_err(|error| Error::session(Step::SetUp, error, &failure))?;
        server.use_workers(self.options.threads.workers());
        server.limit_prepared(self.options.max_prepared);
        loop {
            activity.busy.store(false, Ordering::SeqCst);
            if activity.stopping.load(Ordering::SeqCst) {
                return Err(Error::Stopped);
            }
            let event = server.serve().await;
            report.bytes_sent = greeted.0 + server.traffic().sent;
            report.bytes_received = greeted.1 + server.traffic().received;
            if let (Err(CoreError::Inconsistent), Some(id)) = (&event, &kept) {
                report.warning = self.options.pairings.forget(id).err();
            }
            match event.map_err(|error| Error::session(Step::Serving, error, &failure))? {
                Event::Prepared => report.prepared = server.prepared(),
                Event::Predicted => report.predictions += 1,
                Event::Keep => {
                    let mut half = Half::new(vec![0; SERVER_PAIRING_BYTES]);
                    server
                        .export(&mut half)
                        .map_err(|error| Error::session(Step::Export, error, &failure))?;
                    kept = Pairing::parse(&half).ok().map(|half| *half.id());
                    report.warning = self.options.pairings.keep(half).err();
                }
                Event::Closed => return Ok(()),
            }
        }
    }

    /// The server's half of the pairing that a hello names, if it names one.
    async fn half_of<M: Medium>(&self, wire: &mut Wire<M>, hello: &Hello) -> Result<Option<Half>> {
        let Some(id) = &hello.pairing else { return Ok(None) };
        let Some(half) = self.options.pairings.get(id) else {
            refuse(wire, CoreError::UnknownPairing).await;
            return Err(Error::Refused("the client names a pairing that is not kept here".into()));
        };
        let parameter = Pairing::parse(&half).map(|pairing| pairing.repetition());
        if parameter != Ok(hello.options.repetition) {
            refuse(wire, CoreError::Refused).await;
            let what = "the client asks for an OT parameter that is not its pairing's";
            return Err(Error::Refused(what.into()));
        }
        Ok(Some(half))
    }

    /// Answers plan requests until the hello comes, whose options say how much memory the session
    /// takes. `None` if the client only wanted the plan.
    async fn greet<M: Medium>(
        &self,
        wire: &mut Wire<M>,
        failure: &Failure,
        report: &mut SessionReport,
    ) -> Result<Option<Hello>> {
        let failed = |error| Error::session(Step::Greeting, error, failure);
        let io = |_| failed(CoreError::Io);
        let plan = self.model.plan().core();
        let mut bytes = Vec::new();
        loop {
            match Greeting::peek(&bytes) {
                Ok(Some((Greeting::Hello(hello), _))) => {
                    self.admit(wire, &hello).await?;
                    wire.read_again(bytes);
                    return Ok(Some(hello));
                }
                Ok(Some((Greeting::PlanRequest, n))) => {
                    bytes.drain(..n);
                    let mut frame = vec![0; plan_reply_bytes(plan)];
                    let n = plan_reply(plan, &mut frame).map_err(failed)?;
                    wire.write_all(&frame).await.map_err(io)?;
                    wire.flush().await.map_err(io)?;
                    report.bytes_sent += n as u64;
                    report.bytes_received += PLAN_REQUEST_BYTES as u64;
                }
                Ok(None) => {
                    let mut more = [0; 256];
                    match wire.read(&mut more).await.map_err(io)? {
                        0 if bytes.is_empty() => return Ok(None),
                        0 => return Err(failed(CoreError::Eof)),
                        n => bytes.extend(more.iter().take(n)),
                    }
                }
                Err(error) => {
                    refuse(wire, error).await;
                    return Err(failed(error));
                }
            }
        }
    }

    /// Whether a session with these options is allowed.
    async fn admit<M: Medium>(&self, wire: &mut Wire<M>, hello: &Hello) -> Result<()> {
        let (asked, most) = (hello.options.stock, self.options.max_stock);
        if asked <= most {
            return Ok(());
        }
        refuse(wire, CoreError::Refused).await;
        Err(Error::Refused(format!("a stock of {asked}: at most {most} are allowed")))
    }
}

/// Tells a client why it is not served. Best effort.
pub(crate) async fn refuse<M: Medium>(wire: &mut Wire<M>, error: CoreError) {
    if wire.write_all(&abort(error.code())).await.is_ok() {
        let _ = wire.flush().await;
    }
}
