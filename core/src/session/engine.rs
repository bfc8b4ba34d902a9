//! The sans-IO driver: the caller moves the bytes. For the C ABI, event loops, interrupt-driven
//! links.
//!
//! [`ClientEngine`] and [`ServerEngine`] keep everything, the running future included, in one piece
//! of the caller's memory:
//! ```text
//! loop:  feed(bytes from the peer) → poll() → drain(bytes for the peer)
//! ```
//! Bytes may be split anywhere. `poll` does as much as the buffers allow and never waits.

use super::layout::{ClientRegions, ServerRegions};
use super::pairing::{self, Pairing, Party};
use super::store::SliceStore;
use super::{Client, Event, Footprint, Options, Prepared, Server, Traffic};
use crate::backend::place::{PlacedFuture, place};
use crate::block::Block;
use crate::cost;
use crate::error::{Error, Result};
use crate::memory::{ALIGN, Space};
use crate::ot::Repetition;
use crate::plan::Plan;
use crate::rng::Seed;
use crate::target::TargetProfile;
use crate::workers::Workers;
use core::cell::{Cell, Ref, RefCell};
use core::future::{Future, poll_fn};
use core::task::{Context, Poll, Waker};
use embedded_io_async::{ErrorType, Read, Write};
use rand_core::TryCryptoRng;
use zeroize::Zeroize as _;

/// Bytes of the two buffers between the engine and its caller, at least [`Buffers::LEAST`] each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffers {
    /// For bytes from the peer.
    pub inbox: usize,
    /// For bytes to the peer.
    pub outbox: usize,
}

impl Buffers {
    /// Least bytes of either.
    pub const LEAST: usize = 64;

    /// What suits a machine.
    #[must_use]
    pub const fn of(machine: TargetProfile) -> Self {
        Self { inbox: machine.buffer, outbox: machine.buffer }
    }
}

impl Default for Buffers {
    fn default() -> Self {
        Self::of(TargetProfile::THIS)
    }
}

/// What an engine wants next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Work is under way: move bytes, then poll again.
    Busy,
    /// A client waits for its next command, a server for its client's next request.
    Idle,
    /// The session has ended in order; bytes may be left to drain.
    Closed,
}

/// A first-in-first-out buffer of bytes.
struct Ring<'m> {
    bytes: &'m mut [u8],
    first: usize,
    len: usize,
}

impl Ring<'_> {
    /// Appends as much as fits.
    fn push(&mut self, from: &[u8]) -> usize {
        let capacity = self.bytes.len();
        let mut done = 0;
        while self.len < capacity && done < from.len() {
            let at = (self.first + self.len) % capacity;
            let room = (capacity - at).min(capacity - self.len).min(from.len() - done);
            let (Some(to), Some(part)) =
                (self.bytes.get_mut(at..at + room), from.get(done..done + room))
            else {
                break;
            };
            to.copy_from_slice(part);
            self.len += room;
            done += room;
        }
        done
    }

    /// Takes as much as there is.
    fn pop(&mut self, to: &mut [u8]) -> usize {
        let mut done = 0;
        while self.len > 0 && done < to.len() {
            let run = self.front().len().min(to.len() - done);
            let (Some(slot), Some(part)) = (to.get_mut(done..done + run), self.front().get(..run))
            else {
                break;
            };
            slot.copy_from_slice(part);
            self.consume(run);
            done += run;
        }
        done
    }

    /// The longest run of bytes in one piece.
    fn front(&self) -> &[u8] {
        let end = (self.first + self.len).min(self.bytes.len());
        self.bytes.get(self.first..end).unwrap_or_default()
    }

    fn consume(&mut self, n: usize) {
        let n = n.min(self.len);
        self.first = (self.first + n) % self.bytes.len().max(1);
        self.len -= n;
    }
}

/// What engine and caller share.
struct Shared<'m> {
    inbox: RefCell<Ring<'m>>,
    outbox: RefCell<Ring<'m>>,
    ended: Cell<bool>,
    idle: Cell<bool>,
    command: Cell<Option<Command>>,
    answer: Cell<Option<Result<usize>>>,
    left: Cell<u32>,
    input: RefCell<&'m mut [i32]>,
    output: RefCell<&'m mut [i64]>,
    predictions: Cell<u64>,
    traffic: Cell<Traffic>,
    /// The pairing's state, once set-up is over.
    pairing_state: RefCell<&'m mut [Block]>,
    /// The client's public key, at the server.
    key: Cell<&'m [i32]>,
    /// Whether the client asked the server to keep its half of the pairing.
    keep: Cell<bool>,
    workers: Cell<Workers<'m>>,
}

#[derive(Clone, Copy)]
enum Command {
    Prepare,
    Predict,
    Keep,
    Close,
}

/// The engine's end of the buffers.
#[derive(Clone, Copy)]
struct Pipe<'m>(&'m Shared<'m>);

impl ErrorType for Pipe<'_> {
    type Error = core::convert::Infallible;
}

impl Read for Pipe<'_> {
    async fn read(&mut self, buf: &mut [u8]) -> core::result::Result<usize, Self::Error> {
        poll_fn(|_| match self.0.inbox.borrow_mut().pop(buf) {
            0 if !buf.is_empty() && !self.0.ended.get() => Poll::Pending,
            n => Poll::Ready(Ok(n)),
        })
        .await
    }
}

impl Write for Pipe<'_> {
    async fn write(&mut self, buf: &[u8]) -> core::result::Result<usize, Self::Error> {
        poll_fn(|_| match self.0.outbox.borrow_mut().push(buf) {
            0 if !buf.is_empty() => Poll::Pending,
            n => Poll::Ready(Ok(n)),
        })
        .await
    }
    async fn flush(&mut self) -> core::result::Result<(), Self::Error> {
        Ok(())
    }
}

impl<'m> Shared<'m> {
    fn take(
        space: &mut Space<'m>,
        plan: &Plan<'_>,
        buffers: Buffers,
        elements: bool,
    ) -> Result<Parts<'m>> {
        if buffers.inbox < Buffers::LEAST || buffers.outbox < Buffers::LEAST {
            return Err(Error::Option);
        }
        let header = plan.header();
        let of = |n: u32| if elements { n as usize } else { 0 };
        Ok(Parts {
            shared: space.take(space.machine().shared)?,
            inbox: space.take(buffers.inbox)?,
            outbox: space.take(buffers.outbox)?,
            input: space.take(of(header.input_len))?,
            output: space.take(of(if plan.is_argmax() { 0 } else { header.output_len }))?,
        })
    }

    async fn next_command(&self) -> Command {
        self.idle.set(true);
        poll_fn(|_| match self.command.take() {
            Some(command) => {
                self.idle.set(false);
                Poll::Ready(command)
            }
            None => Poll::Pending,
        })
        .await
    }
}

/// Regions of [`Shared`].
struct Parts<'m> {
    shared: &'m mut [u8],
    inbox: &'m mut [u8],
    outbox: &'m mut [u8],
    input: &'m mut [i32],
    output: &'m mut [i64],
}

impl<'m> Parts<'m> {
    fn share(self, pairing_state: &'m mut [Block]) -> Result<&'m Shared<'m>> {
        let ring = |bytes| RefCell::new(Ring { bytes, first: 0, len: 0 });
        let shared = Shared {
            inbox: ring(self.inbox),
            outbox: ring(self.outbox),
            ended: Cell::new(false),
            idle: Cell::new(false),
            command: Cell::new(None),
            answer: Cell::new(None),
            left: Cell::new(0),
            input: RefCell::new(self.input),
            output: RefCell::new(self.output),
            predictions: Cell::new(0),
            traffic: Cell::new(Traffic::default()),
            pairing_state: RefCell::new(pairing_state),
            key: Cell::new(&[]),
            keep: Cell::new(false),
            workers: Cell::new(Workers::OWN),
        };
        place(self.shared, shared).map(|s| &*s)
    }
}

/// Bytes of the future that `make` returns, without making one.
const fn future_bytes<A, F: Future>(_make: &impl Fn(A) -> F) -> usize {
    size_of::<F>() + align_of::<F>().saturating_sub(ALIGN)
}

// What the compiler makes fits what is reserved for it. If this does not compile, raise the numbers
// of the machine.
const _: () = {
    assert!(size_of::<Shared<'_>>() <= TargetProfile::THIS.shared);
    assert!(future_bytes(&client_life) <= TargetProfile::THIS.client);
    assert!(future_bytes(&server_life) <= TargetProfile::THIS.server);
};

/// The part that both engines have.
struct Engine<'m> {
    shared: &'m Shared<'m>,
    future: Option<PlacedFuture<'m, Result<()>>>,
    end: Option<Result<()>>,
    repetition: Repetition,
}

impl Engine<'_> {
    fn poll(&mut self) -> Result<Status> {
        if let Some(future) = self.future.as_mut()
            && let Poll::Ready(result) =
                future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        {
            self.end = Some(result);
            self.future = None; // drops and wipes the session
            if result == Err(Error::Inconsistent) {
                // Whoever tries to guess `Δ` has one attempt with a pairing.
                self.shared.pairing_state.borrow_mut().zeroize();
            }
        }
        match self.end {
            Some(Err(error)) => Err(error),
            Some(Ok(())) => Ok(Status::Closed),
            None if self.shared.idle.get() && self.shared.command.get().is_none() => {
                Ok(Status::Idle)
            }
            None => Ok(Status::Busy),
        }
    }

    /// Exports this party's half of the pairing.
    fn export(&self, party: Party, out: &mut [u8]) -> Result<usize> {
        let pairing_state = self.shared.pairing_state.try_borrow().map_err(|_| Error::State)?;
        pairing::export(party, self.repetition, &pairing_state, self.shared.key.get(), out)
    }
}

impl Drop for Engine<'_> {
    fn drop(&mut self) {
        self.future = None;
        for ring in [&self.shared.inbox, &self.shared.outbox] {
            ring.borrow_mut().bytes.zeroize();
        }
        self.shared.input.borrow_mut().zeroize();
        self.shared.output.borrow_mut().zeroize();
        self.shared.pairing_state.borrow_mut().zeroize();
    }
}

/// The calls that both engines offer, written once.
macro_rules! byte_calls {
    () => {
        /// Hands over bytes from the peer. Returns how many were taken: the inbox may be full until
        /// the next poll.
        pub fn feed(&mut self, bytes: &[u8]) -> usize {
            self.engine.shared.inbox.borrow_mut().push(bytes)
        }

        /// Says that no more bytes will come from the peer.
        pub fn end_of_input(&mut self) {
            self.engine.shared.ended.set(true);
        }

        /// Takes bytes for the peer. Returns how many; call again until it is zero.
        pub fn drain(&mut self, bytes: &mut [u8]) -> usize {
            self.engine.shared.outbox.borrow_mut().pop(bytes)
        }

        /// Bytes that wait for [`Self::drain`].
        #[must_use]
        pub fn pending(&self) -> usize {
            self.engine.shared.outbox.borrow().len
        }

        /// Free bytes of the inbox: as much may be fed.
        #[must_use]
        pub fn feed_capacity(&self) -> usize {
            let inbox = self.engine.shared.inbox.borrow();
            inbox.bytes.len() - inbox.len
        }

        /// Works as far as the buffers allow.
        ///
        /// # Errors
        /// Whatever ended the session, again on every call. Bytes that tell the peer may be left to
        /// drain.
        pub fn poll(&mut self) -> Result<Status> {
            self.engine.poll()
        }

        /// Shares the work of the phases that have not begun yet with these, from the first one if
        /// this is called before the first poll. Bytes and results are the same.
        pub fn use_workers(&mut self, workers: Workers<'m>) {
            self.engine.shared.workers.set(workers);
        }

        /// What went over the wire up to the end of the last phase: set-up, stock or prediction.
        #[must_use]
        pub fn traffic(&self) -> Traffic {
            self.engine.shared.traffic.get()
        }
    };
}

/// What a client engine runs on.
type ClientArguments<'m> =
    (&'m Shared<'m>, Plan<'m>, Options, [&'m mut [u8]; 2], &'m mut [Block], Seed);

/// The client's whole life: set-up, then commands.
#[inline] // compiled where it is used: firmware wants it small, whatever the core is optimised for
#[expect(
    clippy::await_holding_refcell_ref,
    reason = "calls of the owner try to borrow, and are told that it is not their turn"
)]
async fn client_life(
    (shared, plan, options, [scratch, tables], leaves, seed): ClientArguments<'_>,
) -> Result<()> {
    let mut client = {
        let mut pairing_state = shared.pairing_state.borrow_mut();
        let regions = ClientRegions { leaves, pairing_state: &mut pairing_state, scratch };
        Client::open(Pipe(shared), SliceStore::new(tables), plan, options, regions, &seed).await?
    };
    drop(seed);
    loop {
        shared.traffic.set(client.traffic());
        let command = shared.next_command().await;
        client.use_workers(shared.workers.get());
        match command {
            Command::Prepare => client.prepare().await?,
            Command::Predict => {
                let answer = {
                    let (input, mut output) =
                        (shared.input.borrow_mut(), shared.output.borrow_mut());
                    client.predict(&input, &mut output).await
                };
                if client.is_closed() {
                    answer?;
                }
                shared.answer.set(Some(answer));
            }
            Command::Keep => client.keep().await?,
            Command::Close => return client.close().await,
        }
        shared.left.set(client.remaining());
    }
}

/// A client that moves no bytes itself.
pub struct ClientEngine<'m> {
    engine: Engine<'m>,
    plan: Plan<'m>,
}

/// Regions of a client engine.
struct ClientLayout<'m> {
    parts: Parts<'m>,
    regions: ClientRegions<'m, 'm>,
    tables: &'m mut [u8],
    future: &'m mut [u8],
}

impl<'m> ClientLayout<'m> {
    fn take(
        space: &mut Space<'m>,
        plan: &Plan<'_>,
        options: &Options,
        buffers: Buffers,
    ) -> Result<Self> {
        options.check()?;
        let tables =
            usize::try_from(cost::store_bytes(plan, options)).map_err(|_| Error::Option)?;
        Ok(Self {
            parts: Shared::take(space, plan, buffers, true)?,
            regions: ClientRegions::take(space, plan, options)?,
            tables: space.take(tables)?,
            future: space.take(space.machine().client)?,
        })
    }
}

impl<'m> ClientEngine<'m> {
    /// Bytes that a client needs for everything: session, table store, buffers, state.
    ///
    /// # Errors
    /// [`Error::Option`] for options out of range.
    pub fn memory(plan: &Plan<'_>, options: &Options, buffers: Buffers) -> Result<usize> {
        Self::memory_on(TargetProfile::THIS, plan, options, buffers)
    }

    /// As [`ClientEngine::memory`], on another machine.
    ///
    /// # Errors
    /// As [`ClientEngine::memory`]; [`Error::Memory`] if the other machine cannot address that
    /// much.
    pub fn memory_on(
        machine: TargetProfile,
        plan: &Plan<'_>,
        options: &Options,
        buffers: Buffers,
    ) -> Result<usize> {
        let mut space = Space::measure_on(machine);
        ClientLayout::take(&mut space, plan, options, buffers)?;
        machine.check(space.used())
    }

    /// Starts a session in `memory`, which has [`ClientEngine::memory`] bytes aligned to
    /// [`crate::memory::ALIGN`]. 32 bytes are drawn from `random`.
    ///
    /// # Errors
    /// [`Error::Memory`], [`Error::Alignment`], [`Error::Option`].
    #[inline]
    pub fn new(
        plan: Plan<'m>,
        options: Options,
        buffers: Buffers,
        memory: &'m mut [u8],
        random: &mut (impl TryCryptoRng + ?Sized),
    ) -> Result<Self> {
        Self::start(plan, options, buffers, memory, Seed::draw(random)?, None)
    }

    /// As [`ClientEngine::new`], but goes on with a pairing that [`ClientEngine::export`] wrote:
    /// there is no set-up. `pairing` is used in this call only.
    ///
    /// # Errors
    /// As [`ClientEngine::new`]; [`Error::Pairing`] for a server's half, [`Error::Option`] for
    /// another OT parameter than the pairing's. If the server has not kept its half, poll
    /// returns [`Error::PeerAborted`] with the code of [`Error::UnknownPairing`].
    #[inline]
    pub fn resume(
        plan: Plan<'m>,
        options: Options,
        buffers: Buffers,
        memory: &'m mut [u8],
        random: &mut (impl TryCryptoRng + ?Sized),
        pairing: &Pairing<'_>,
    ) -> Result<Self> {
        Self::start(plan, options, buffers, memory, Seed::draw(random)?, Some(pairing))
    }

    #[inline]
    fn start(
        plan: Plan<'m>,
        options: Options,
        buffers: Buffers,
        memory: &'m mut [u8],
        seed: Seed,
        pairing: Option<&Pairing<'_>>,
    ) -> Result<Self> {
        let ClientLayout { parts, regions, tables, future } =
            ClientLayout::take(&mut Space::carve(memory)?, &plan, &options, buffers)?;
        let ClientRegions { leaves, pairing_state, scratch } = regions;
        if let Some(pairing) = pairing {
            pairing.load(Party::Client, &options, pairing_state, &mut [])?;
        }
        let shared = parts.share(pairing_state)?;
        let future = PlacedFuture::new(
            future,
            client_life((shared, plan, options, [scratch, tables], leaves, seed)),
        )?;
        let engine =
            Engine { shared, future: Some(future), end: None, repetition: options.repetition };
        Ok(Self { engine, plan })
    }

    byte_calls!();

    /// Whether it waits for a command.
    fn ready(&self) -> Result<()> {
        match self.engine.end {
            Some(Err(error)) => Err(error),
            Some(Ok(())) => Err(Error::Closed),
            None if !self.engine.shared.idle.get()
                || self.engine.shared.command.get().is_some() =>
            {
                Err(Error::State)
            }
            None => Ok(()),
        }
    }

    fn command(&mut self, command: Command) -> Result<()> {
        self.ready()?;
        self.engine.shared.command.set(Some(command));
        Ok(())
    }

    /// Starts the offline phase for one stock.
    ///
    /// # Errors
    /// [`Error::State`] unless idle.
    pub fn prepare(&mut self) -> Result<()> {
        self.command(Command::Prepare)
    }

    /// Exports this party's half of the pairing into `out`, and asks the server to keep the other:
    /// poll until idle. Returns the length of what was
    /// written, [`super::CLIENT_PAIRING_BYTES`]. It is secret, and the same at any time of a
    /// session and in all sessions of a pairing. A server may forget its half at any time.
    ///
    /// # Errors
    /// [`Error::State`] unless idle, [`Error::Memory`].
    pub fn export(&mut self, out: &mut [u8]) -> Result<usize> {
        self.ready()?;
        let written = self.engine.export(Party::Client, out)?;
        self.command(Command::Keep)?;
        Ok(written)
    }

    /// Starts a prediction on real inputs, quantised as the plan says.
    ///
    /// # Errors
    /// [`Error::State`] unless idle, [`Error::Length`], [`Error::Input`] for a value that is not
    /// finite, [`Error::Exhausted`].
    pub fn predict(&mut self, x: &[f32]) -> Result<()> {
        let plan = self.plan;
        self.predict_with(x.len(), |i| plan.quantise(i, x.get(i).copied().unwrap_or(f32::NAN)))
    }

    /// Starts a prediction on quantised inputs.
    ///
    /// # Errors
    /// As [`ClientEngine::predict`].
    pub fn predict_quantised<T: Copy + Into<i64>>(&mut self, x: &[T]) -> Result<()> {
        self.predict_with(x.len(), |i| x.get(i).map(|&x| x.into()).ok_or(Error::Internal))
    }

    fn predict_with(
        &mut self,
        got: usize,
        mut value: impl FnMut(usize) -> Result<i64>,
    ) -> Result<()> {
        let shared = self.engine.shared;
        if !shared.idle.get() || self.engine.end.is_some() {
            return self.command(Command::Predict);
        }
        if shared.left.get() == 0 {
            return Err(Error::Exhausted);
        }
        {
            let mut input = shared.input.try_borrow_mut().map_err(|_| Error::State)?;
            if input.len() != got {
                return Err(Error::Length { need: input.len() });
            }
            for (i, slot) in input.iter_mut().enumerate() {
                *slot = i32::try_from(value(i)?).map_err(|_| Error::Input)?;
            }
        }
        shared.answer.set(None);
        self.command(Command::Predict)
    }

    /// The answer of the last prediction, once the engine is idle again: the index of the largest
    /// output; `out` receives the opened tensor (empty for an argmax plan).
    ///
    /// # Errors
    /// [`Error::State`] if there is none yet, [`Error::Length`], or what was wrong with the
    /// prediction.
    pub fn answer(&mut self, out: &mut [i64]) -> Result<usize> {
        let (best, output) = self.opened(out.len())?;
        out.copy_from_slice(&output);
        Ok(best)
    }

    /// As [`ClientEngine::answer`], in real units: each integer times the plan's output scale.
    ///
    /// # Errors
    /// As [`ClientEngine::answer`].
    pub fn answer_real(&mut self, out: &mut [f64]) -> Result<usize> {
        let (best, output) = self.opened(out.len())?;
        let scale = f64::from(self.plan.header().output_scale);
        for (slot, &y) in out.iter_mut().zip(output.iter()) {
            *slot = y as f64 * scale;
        }
        Ok(best)
    }

    /// The last answer, if its tensor has `got` elements.
    fn opened(&self, got: usize) -> Result<(usize, Ref<'_, &'m mut [i64]>)> {
        let best = self.engine.shared.answer.get().ok_or(Error::State)??;
        let output = self.engine.shared.output.try_borrow().map_err(|_| Error::State)?;
        if output.len() == got {
            Ok((best, output))
        } else {
            Err(Error::Length { need: output.len() })
        }
    }

    /// Elements of the opened tensor; zero for an argmax plan.
    #[must_use]
    pub fn answer_len(&self) -> usize {
        if self.plan.is_argmax() { 0 } else { self.plan.header().output_len as usize }
    }

    /// Predictions left in the stock.
    #[must_use]
    pub fn remaining(&self) -> u32 {
        self.engine.shared.left.get()
    }

    /// Ends the session; poll and drain until [`Status::Closed`].
    ///
    /// # Errors
    /// [`Error::State`] unless idle.
    pub fn close(&mut self) -> Result<()> {
        self.command(Command::Close)
    }

    /// The plan.
    #[must_use]
    pub const fn plan(&self) -> &Plan<'m> {
        &self.plan
    }
}

/// What a server engine runs on.
type ServerArguments<'m> =
    (&'m Shared<'m>, &'m Prepared<'m>, Options, &'m mut [Block], &'m mut [i32], &'m mut [u8], Seed);

/// The server's whole life: set-up, then the client's requests.
#[inline]
#[expect(
    clippy::await_holding_refcell_ref,
    reason = "calls of the owner try to borrow, and are told that it is not their turn"
)]
async fn server_life(
    (shared, prepared, options, leaves, key, scratch, seed): ServerArguments<'_>,
) -> Result<()> {
    let mut server = {
        let mut pairing_state = shared.pairing_state.borrow_mut();
        let regions = ServerRegions { leaves, pairing_state: &mut pairing_state, key, scratch };
        Server::open(Pipe(shared), prepared, options, regions, &seed).await?
    };
    drop(seed);
    shared.key.set(server.key());
    loop {
        shared.traffic.set(server.traffic());
        server.use_workers(shared.workers.get());
        match server.serve().await? {
            Event::Prepared => {}
            Event::Keep => shared.keep.set(true),
            Event::Predicted => shared.predictions.set(shared.predictions.get() + 1),
            Event::Closed => return Ok(()),
        }
    }
}

/// A server's session that moves no bytes itself. The client drives: this engine is never idle
/// before the end.
pub struct ServerEngine<'m> {
    engine: Engine<'m>,
}

/// Regions of a server engine.
struct ServerLayout<'m> {
    parts: Parts<'m>,
    regions: ServerRegions<'m, 'm>,
    future: &'m mut [u8],
}

impl<'m> ServerLayout<'m> {
    fn take(
        space: &mut Space<'m>,
        plan: &Plan<'_>,
        options: &Options,
        buffers: Buffers,
        footprint: Footprint,
    ) -> Result<Self> {
        options.check()?;
        Ok(Self {
            parts: Shared::take(space, plan, buffers, false)?,
            regions: ServerRegions::take(space, plan, options, footprint)?,
            future: space.take(space.machine().server)?,
        })
    }
}

impl<'m> ServerEngine<'m> {
    /// Bytes that a session needs for everything but the prepared model, [`Footprint::Fast`]; less
    /// is enough where that is small.
    ///
    /// # Errors
    /// [`Error::Option`] for options out of range.
    pub fn memory(plan: &Plan<'_>, options: &Options, buffers: Buffers) -> Result<usize> {
        Self::memory_on(TargetProfile::THIS, plan, options, buffers)
    }

    /// As [`ServerEngine::memory`], on another machine.
    ///
    /// # Errors
    /// As [`ServerEngine::memory`]; [`Error::Memory`] if the other machine cannot address that
    /// much.
    pub fn memory_on(
        machine: TargetProfile,
        plan: &Plan<'_>,
        options: &Options,
        buffers: Buffers,
    ) -> Result<usize> {
        let mut space = Space::measure_on(machine);
        ServerLayout::take(&mut space, plan, options, buffers, Footprint::Fast)?;
        machine.check(space.used())
    }

    /// Starts a session in `memory`, which has [`ServerEngine::memory`] bytes aligned to
    /// [`crate::memory::ALIGN`]. `options` are those of the client's hello, see
    /// [`crate::handshake::Greeting::peek`]; feed the hello all the same. 32 bytes are drawn from
    /// `random`.
    ///
    /// # Errors
    /// [`Error::Memory`], [`Error::Alignment`], [`Error::Option`].
    #[inline]
    pub fn new(
        prepared: &'m Prepared<'m>,
        options: Options,
        buffers: Buffers,
        memory: &'m mut [u8],
        random: &mut (impl TryCryptoRng + ?Sized),
    ) -> Result<Self> {
        Self::start(prepared, options, buffers, memory, Seed::draw(random)?, None)
    }

    /// As [`ServerEngine::new`], for a client that goes on with the pairing that its hello names:
    /// there is no set-up. `pairing`, which [`ServerEngine::export`] wrote, is used in this
    /// call only.
    ///
    /// # Errors
    /// As [`ServerEngine::new`]; [`Error::Pairing`] for a client's half, [`Error::Option`] for
    /// another OT parameter than the pairing's.
    #[inline]
    pub fn resume(
        prepared: &'m Prepared<'m>,
        options: Options,
        buffers: Buffers,
        memory: &'m mut [u8],
        random: &mut (impl TryCryptoRng + ?Sized),
        pairing: &Pairing<'_>,
    ) -> Result<Self> {
        Self::start(prepared, options, buffers, memory, Seed::draw(random)?, Some(pairing))
    }

    #[inline]
    fn start(
        prepared: &'m Prepared<'m>,
        options: Options,
        buffers: Buffers,
        memory: &'m mut [u8],
        seed: Seed,
        pairing: Option<&Pairing<'_>>,
    ) -> Result<Self> {
        if prepared.stock() != options.stock {
            return Err(Error::Option);
        }
        let ServerLayout { parts, regions, future } = ServerLayout::take(
            &mut Space::carve(memory)?,
            prepared.model().plan(),
            &options,
            buffers,
            prepared.footprint(),
        )?;
        let ServerRegions { leaves, pairing_state, key, scratch } = regions;
        if let Some(pairing) = pairing {
            pairing.load(Party::Server, &options, pairing_state, key)?;
        }
        let shared = parts.share(pairing_state)?;
        let future = PlacedFuture::new(
            future,
            server_life((shared, prepared, options, leaves, key, scratch, seed)),
        )?;
        Ok(Self {
            engine: Engine {
                shared,
                future: Some(future),
                end: None,
                repetition: options.repetition,
            },
        })
    }

    /// Whether the client has asked this server to keep its half of the pairing, see
    /// [`ServerEngine::export`]. A server need not.
    #[must_use]
    pub fn keep_asked(&self) -> bool {
        self.engine.shared.keep.get()
    }

    /// Exports this party's half of the pairing, from the end of set-up until the engine is
    /// dropped. Returns the length of what was written, [`super::SERVER_PAIRING_BYTES`]. It is
    /// secret, and the same in all sessions of a pairing.
    ///
    /// # Errors
    /// [`Error::State`] before set-up has finished and after [`Error::Inconsistent`],
    /// [`Error::Memory`].
    pub fn export(&self, out: &mut [u8]) -> Result<usize> {
        self.engine.export(Party::Server, out)
    }

    byte_calls!();

    /// Predictions made so far.
    #[must_use]
    pub fn predictions(&self) -> u64 {
        self.engine.shared.predictions.get()
    }
}
