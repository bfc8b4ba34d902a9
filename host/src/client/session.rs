//! A client's session from its first byte to its last: one future for all drivers.
//!
//! The future owns what the engine borrows (plan, memory, store), and waits for nothing but its
//! stream and its next command. A driver puts a command into the mailbox, polls, and finds the
//! answer there: over a blocking stream one poll is enough ([`Session::run_blocking`]), in tokio
//! it takes as many as the stream makes it wait ([`crate::tokio`]).

use super::options::ClientOptions;
use crate::compile::Output;
use crate::error::{Error, Result, Step};
use crate::memory::Memory;
use crate::model::Plan;
use crate::pairing::{Half, PairingStore};
use crate::prediction::Prediction;
use crate::store::FileStore;
use crate::stream::{Buffered, Failure, Medium, Wire};
use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use getrandom::SysRng;
use minionn_core::Error as CoreError;
use minionn_core::session::blocking::Blocking;
use minionn_core::session::{
    CLIENT_PAIRING_BYTES, Client as Engine, Pairing, SliceStore, Store, Traffic, client_memory,
    fetch_plan,
};
use minionn_core::{cost, plan};
use serde::Serialize;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use zeroize::Zeroizing;

/// Time and traffic of a phase, as the client sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Phase {
    /// Wall-clock seconds.
    pub seconds: f64,
    /// Bytes to the server.
    pub bytes_sent: u64,
    /// Bytes from the server.
    pub bytes_received: u64,
    /// How often the client waited for the server.
    pub rounds: u32,
}

impl Phase {
    fn add(&mut self, began: Instant, traffic: Traffic) {
        self.seconds += began.elapsed().as_secs_f64();
        self.bytes_sent += traffic.sent;
        self.bytes_received += traffic.received;
        self.rounds += traffic.rounds;
    }

    /// Bytes both ways.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes_sent + self.bytes_received
    }
}

/// What a session has taken so far. Fetching the plan is not in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Phases {
    /// Handshake, keys, base OTs; or the handshake alone, with a pairing.
    pub setup: Phase,
    /// All stocks.
    pub offline: Phase,
    /// All predictions.
    pub online: Phase,
}

/// What the session is to do next.
pub(crate) enum Command {
    /// A stock, unless predictions are left.
    Prepare,
    /// A prediction on a quantised input, after a stock if none is left.
    Predict(Input),
    Close,
}

/// A quantised input, which is wiped.
pub(crate) type Input = Zeroizing<Vec<i64>>;

impl State {
    /// Inputs as the engine takes them, once all of them are looked at.
    pub(crate) fn inputs<R: AsRef<[f32]>>(
        &self,
        rows: impl IntoIterator<Item = R>,
    ) -> Result<Vec<Input>> {
        let rows = rows.into_iter().enumerate();
        rows.map(|(i, row)| self.plan.quantise(i, row.as_ref()).map(Zeroizing::new)).collect()
    }

    /// The answer to a [`Command::Predict`].
    pub(crate) fn prediction(&mut self) -> Result<Prediction> {
        self.prediction.take().ok_or(Error::Bug("a prediction without an answer"))
    }
}

/// Where a session stands after a command.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) plan: Plan,
    /// Predictions that are left of the stock.
    pub(crate) remaining: u32,
    pub(crate) phases: Phases,
    /// That of the last command.
    prediction: Option<Prediction>,
}

/// Where driver and session meet.
#[derive(Default)]
pub(crate) struct Mailbox {
    command: Option<Command>,
    answer: Option<State>,
}

pub(crate) type Shared = Arc<Mutex<Mailbox>>;
pub(crate) type Life = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

fn lock(mailbox: &Shared) -> MutexGuard<'_, Mailbox> {
    mailbox.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The answer to the last command, if it is there.
pub(crate) fn answer(mailbox: &Shared) -> Option<State> {
    lock(mailbox).answer.take()
}

/// A session and its mailbox.
pub(crate) struct Session {
    /// Taken while a driver has it: a call that is dropped half-way takes the session with it.
    pub(crate) life: Option<Life>,
    mailbox: Shared,
}

impl Session {
    /// A session whose life `begin` makes. Nothing happens before it is driven; its first answer
    /// comes when set-up is over.
    pub(crate) fn new(begin: impl FnOnce(Shared) -> Life) -> Self {
        let mailbox = Shared::default();
        Self { life: Some(begin(mailbox.clone())), mailbox }
    }

    /// A session that is over.
    #[cfg(feature = "tokio")]
    pub(crate) fn ended() -> Self {
        Self { life: None, mailbox: Shared::default() }
    }

    /// Over a blocking stream, up to the end of set-up.
    pub(crate) fn blocking<S>(stream: Buffered<S>, options: ClientOptions) -> Result<(Self, State)>
    where
        S: io::Read + io::Write + Send + 'static,
    {
        let wire = Wire::new(Blocking(stream));
        let mut session = Self::new(|mailbox| Box::pin(live(wire, options, mailbox)));
        let state = session.poll()?.ok_or(Error::Ended)?;
        Ok((session, state))
    }

    /// Has the next poll do this. A session that a driver has lost is left alone: it may still be
    /// on its way.
    pub(crate) fn command(&self, command: Command) -> Result<()> {
        if self.life.is_none() {
            return Err(Error::Ended);
        }
        lock(&self.mailbox).command = Some(command);
        Ok(())
    }

    /// Where its answers are.
    #[cfg(feature = "tokio")]
    pub(crate) fn mailbox(&self) -> Shared {
        self.mailbox.clone()
    }

    /// Runs a command over a blocking stream. `None` if the session has ended in order.
    pub(crate) fn run(&mut self, command: Command) -> Result<Option<State>> {
        self.command(command)?;
        self.poll()
    }

    /// Over a blocking stream, one poll goes as far as the next answer.
    fn poll(&mut self) -> Result<Option<State>> {
        let mut life = self.life.take().ok_or(Error::Ended)?;
        match life.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(end) => end.map(|()| None),
            Poll::Pending => {
                let state =
                    answer(&self.mailbox).ok_or(Error::Bug("a blocking stream did not block"))?;
                self.life = Some(life);
                Ok(Some(state))
            }
        }
    }

    /// Tells the server that the session ends, if it still runs and its stream takes that message
    /// at once: a server that is not told sees a connection that breaks off.
    pub(crate) fn say_goodbye(&mut self) {
        if self.life.is_some() {
            let _ = self.run(Command::Close);
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.say_goodbye();
    }
}

/// The whole life of a session.
pub(crate) async fn live<M: Medium>(
    mut wire: Wire<M>,
    options: ClientOptions,
    mailbox: Shared,
) -> Result<()> {
    let plan = match options.plan.clone() {
        Some(plan) => plan,
        None => fetched(&mut wire).await?,
    };
    options.admit(&plan)?;
    let (core, session) = (*plan.core(), options.session);
    let mut tables = Memory::new(match options.table_file {
        Some(_) => 0,
        None => usize::try_from(cost::store_bytes(&core, &session))
            .map_err(|_| Error::session_options(CoreError::Option))?,
    });
    let mut store: Box<dyn Store + Send + '_> = match &options.table_file {
        Some(path) => Box::new(FileStore::create(path).map_err(Error::file(path))?),
        None => Box::new(SliceStore::new(tables.bytes())),
    };
    let mut memory = Memory::new(client_memory(&core, &session).map_err(Error::session_options)?);

    let (began, failure) = (Instant::now(), wire.failure().clone());
    let mut client = set_up(wire, &mut *store, core, &options, memory.bytes()).await?;
    let mut state =
        State { plan: plan.clone(), remaining: 0, phases: Phases::default(), prediction: None };
    state.phases.setup.add(began, client.traffic());
    loop {
        state.remaining = client.remaining();
        let prediction = state.prediction.take();
        lock(&mailbox).answer = Some(State { prediction, ..state.clone() });
        match next(&mailbox).await {
            Command::Prepare if client.remaining() > 0 => {}
            Command::Prepare => prepare(&mut client, &mut state, &failure).await?,
            Command::Predict(x) => {
                if client.remaining() == 0 {
                    prepare(&mut client, &mut state, &failure).await?;
                }
                predict(&mut client, &x, &mut state, &failure).await?;
            }
            Command::Close => {
                let closed = client.close().await;
                return closed.map_err(|e| Error::session(Step::Close, e, &failure));
            }
        }
    }
}

/// Waits for a command. The driver polls after it has sent one: nobody needs to be woken.
async fn next(mailbox: &Shared) -> Command {
    poll_fn(|_| match lock(mailbox).command.take() {
        Some(command) => Poll::Ready(command),
        None => Poll::Pending,
    })
    .await
}

/// Asks the server for its plan.
async fn fetched<M: Medium>(wire: &mut Wire<M>) -> Result<Plan> {
    let failure = wire.failure().clone();
    let mut bytes = vec![0; plan::MAX_BYTES];
    let n = fetch_plan(wire, &mut bytes)
        .await
        .map_err(|error| Error::session(Step::Plan, error, &failure))?;
    bytes.truncate(n);
    Plan::parse(bytes, "the server's plan")
}

/// Handshake and set-up, or the handshake alone with a pairing that was kept.
async fn set_up<'a, M: Medium, S: Store>(
    wire: Wire<M>,
    store: S,
    plan: plan::Plan<'a>,
    options: &'a ClientOptions,
    memory: &'a mut [u8],
) -> Result<Engine<'a, Wire<M>, S>> {
    let (session, failure) = (options.session, wire.failure().clone());
    let failed = |error| Error::session(Step::SetUp, error, &failure);
    let pairings = options.pairing.as_deref();
    let kept = match pairings {
        Some(pairings) => loaded(pairings)?,
        None => None,
    };
    let mut client = match (&kept, pairings) {
        (Some(half), Some(pairings)) => {
            let pairing = usable(half, pairings, options)?;
            let resumed =
                Engine::resume(wire, store, plan, session, memory, &mut SysRng, &pairing).await;
            resumed.map_err(|error| match error {
                CoreError::PeerAborted(code) if code == CoreError::UnknownPairing.code() => {
                    Error::PairingForgotten { place: pairings.place() }
                }
                error => failed(error),
            })?
        }
        _ => {
            let connected = Engine::connect(wire, store, plan, session, memory, &mut SysRng).await;
            connected.map_err(failed)?
        }
    };
    client.use_workers(options.threads.workers());
    if let (None, Some(pairings)) = (&kept, pairings) {
        let mut half = Zeroizing::new(vec![0; CLIENT_PAIRING_BYTES]);
        let exported = client.export(&mut half).await;
        exported.map_err(|error| Error::session(Step::Export, error, &failure))?;
        let kept = pairings.save(&half);
        kept.map_err(|source| Error::PairingStore { place: pairings.place(), source })?;
    }
    Ok(client)
}

/// A pairing that was kept, if there is one.
fn loaded(pairings: &dyn PairingStore) -> Result<Option<Half>> {
    pairings.load().map_err(|source| Error::PairingStore { place: pairings.place(), source })
}

/// The pairing in a kept half, if sessions with these options can go on with it.
fn usable<'h>(
    half: &'h [u8],
    pairings: &dyn PairingStore,
    options: &ClientOptions,
) -> Result<Pairing<'h>> {
    let pairing =
        Pairing::parse(half).map_err(|error| Error::Pairing { place: pairings.place(), error })?;
    let made_with = pairing.repetition();
    if made_with != options.session.repetition {
        return Err(Error::PairingParameter { place: pairings.place(), made_with: made_with.k() });
    }
    Ok(pairing)
}

/// The offline phase of one stock.
async fn prepare<M: Medium, S: Store>(
    client: &mut Engine<'_, Wire<M>, S>,
    state: &mut State,
    failure: &Failure,
) -> Result<()> {
    let (began, before) = (Instant::now(), client.traffic());
    client.prepare().await.map_err(|error| Error::session(Step::Offline, error, failure))?;
    state.phases.offline.add(began, client.traffic().since(before));
    Ok(())
}

/// The online phase of one prediction.
async fn predict<M: Medium, S: Store>(
    client: &mut Engine<'_, Wire<M>, S>,
    x: &[i64],
    state: &mut State,
    failure: &Failure,
) -> Result<()> {
    let (began, before) = (Instant::now(), client.traffic());
    let opened = match state.plan.output() {
        Output::Argmax => 0,
        Output::Logits => state.plan.output_len(),
    };
    let mut integers = vec![0; opened];
    let class = client
        .predict(x, &mut integers)
        .await
        .map_err(|error| Error::session(Step::Online, error, failure))?;
    state.phases.online.add(began, client.traffic().since(before));
    state.prediction = Some(state.plan.prediction(&integers, class));
    Ok(())
}
