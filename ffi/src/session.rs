//! What both parties' sessions offer, written once; the C functions stand in `client` and `server`.

use crate::handle::{self, Opaque};
use crate::pointer::{Out, slice, slice_mut};
use crate::status::{Result, Status, guard, guard_number, minionn_status};
use minionn_core::Error;
use minionn_core::session::Traffic;
use minionn_core::session::engine::{self, ClientEngine, ServerEngine};
use minionn_core::workers::Workers;

/// What a session wants next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum minionn_state {
    /// Work is under way: move bytes, then poll again.
    MINIONN_BUSY = 0,
    /// A client waits for its next command. A server is never idle.
    MINIONN_IDLE = 1,
    /// The session has ended in order; bytes may be left to drain.
    MINIONN_CLOSED = 2,
}

/// What went over the wire, as this party sees it.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct minionn_traffic {
    /// Bytes sent.
    pub sent: u64,
    /// Bytes received.
    pub received: u64,
    /// How often this party turned from sending to receiving.
    pub rounds: u32,
}

/// A session, and what its peer told when it ended it.
pub(crate) struct Session<E> {
    pub(crate) engine: E,
    peer: Option<u16>,
}

impl<E> Session<E> {
    pub(crate) const fn new(engine: E) -> Self {
        Self { engine, peer: None }
    }
}

/// The engine of either party.
pub(crate) trait Engine: 'static {
    fn feed(&mut self, bytes: &[u8]) -> usize;
    fn end_of_input(&mut self);
    fn drain(&mut self, bytes: &mut [u8]) -> usize;
    fn pending(&self) -> usize;
    fn want(&self) -> usize;
    fn poll(&mut self) -> minionn_core::Result<engine::Status>;
    fn traffic(&self) -> Traffic;
    fn use_workers(&mut self, workers: Workers<'static>);
}

macro_rules! engine {
    ($type:ty) => {
        impl Engine for $type {
            fn feed(&mut self, bytes: &[u8]) -> usize {
                self.feed(bytes)
            }
            fn end_of_input(&mut self) {
                self.end_of_input();
            }
            fn drain(&mut self, bytes: &mut [u8]) -> usize {
                self.drain(bytes)
            }
            fn pending(&self) -> usize {
                self.pending()
            }
            fn want(&self) -> usize {
                self.want()
            }
            fn poll(&mut self) -> minionn_core::Result<engine::Status> {
                self.poll()
            }
            fn traffic(&self) -> Traffic {
                self.traffic()
            }
            fn use_workers(&mut self, workers: Workers<'static>) {
                self.use_workers(workers);
            }
        }
    };
}
engine!(ClientEngine<'static>);
engine!(ServerEngine<'static>);

/// # Safety
/// `session` is NULL or a handle that nobody else uses meanwhile; the other pointers are as in
/// [`slice`] and [`Out::new`].
pub(crate) unsafe fn feed<T, E: Engine>(
    session: *mut T,
    bytes: *const u8,
    len: usize,
    taken: *mut usize,
) -> minionn_status
where
    T: Opaque<Value = Session<E>>,
{
    guard(|| {
        // SAFETY: the caller's promise.
        let (bytes, taken) = unsafe { (slice(bytes, len)?, Out::new(taken)?) };
        // SAFETY: the caller's promise.
        taken.set(unsafe { handle::with(session, |s| Ok(s.engine.feed(bytes))) }?);
        Ok(())
    })
}

/// # Safety
/// As [`feed`].
pub(crate) unsafe fn drain<T, E: Engine>(
    session: *mut T,
    out: *mut u8,
    capacity: usize,
    written: *mut usize,
) -> minionn_status
where
    T: Opaque<Value = Session<E>>,
{
    guard(|| {
        // SAFETY: the caller's promise.
        let (out, written) = unsafe { (slice_mut(out, capacity)?, Out::new(written)?) };
        // SAFETY: the caller's promise.
        written.set(unsafe { handle::with(session, |s| Ok(s.engine.drain(out))) }?);
        Ok(())
    })
}

/// # Safety
/// As [`feed`].
pub(crate) unsafe fn poll<T, E: Engine>(
    session: *mut T,
    state: *mut minionn_state,
) -> minionn_status
where
    T: Opaque<Value = Session<E>>,
{
    guard(|| {
        // SAFETY: the caller's promise.
        let state = unsafe { Out::new(state) }?;
        // SAFETY: the caller's promise.
        let status = unsafe { handle::with(session, |s| s.poll()) }?;
        state.set(match status {
            engine::Status::Busy => minionn_state::MINIONN_BUSY,
            engine::Status::Idle => minionn_state::MINIONN_IDLE,
            engine::Status::Closed => minionn_state::MINIONN_CLOSED,
        });
        Ok(())
    })
}

impl<E: Engine> Session<E> {
    fn poll(&mut self) -> Result<engine::Status> {
        self.engine.poll().map_err(|error| {
            if let Error::PeerAborted(code) = error {
                self.peer = Some(code);
            }
            error.into()
        })
    }
}

/// # Safety
/// As [`feed`].
pub(crate) unsafe fn number<T, E: Engine, N: Default>(
    session: *const T,
    get: impl FnOnce(&E) -> N,
) -> N
where
    T: Opaque<Value = Session<E>>,
{
    // SAFETY: the caller's promise.
    guard_number(|| Ok(get(&unsafe { handle::shared(session) }?.engine)))
}

/// # Safety
/// As [`feed`].
pub(crate) unsafe fn end_of_input<T, E: Engine>(session: *mut T) -> minionn_status
where
    T: Opaque<Value = Session<E>>,
{
    guard(|| {
        let end = |s: &mut Session<E>| {
            s.engine.end_of_input();
            Ok(())
        };
        // SAFETY: the caller's promise.
        unsafe { handle::with(session, end) }
    })
}

/// # Safety
/// As [`feed`].
pub(crate) unsafe fn traffic<T, E: Engine>(
    session: *const T,
    traffic: *mut minionn_traffic,
) -> minionn_status
where
    T: Opaque<Value = Session<E>>,
{
    guard(|| {
        // SAFETY: the caller's promise.
        let (out, session) = unsafe { (Out::new(traffic)?, handle::shared(session)?) };
        let Traffic { sent, received, rounds } = session.engine.traffic();
        out.set(minionn_traffic { sent, received, rounds });
        Ok(())
    })
}

/// # Safety
/// As [`feed`].
pub(crate) unsafe fn peer_status<T, E: Engine>(session: *const T) -> minionn_status
where
    T: Opaque<Value = Session<E>>,
{
    // SAFETY: the caller's promise.
    guard(|| match unsafe { handle::shared(session) }?.peer {
        Some(code) => Err(Status::from_code(code)),
        None => Ok(()),
    })
}
