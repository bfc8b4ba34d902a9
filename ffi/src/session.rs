//! A session of either party: what both roles offer, once.

use crate::handle::{self, Opaque};
use crate::pointer::{Out, slice, slice_mut};
use crate::status::{Result, Status, guard, minionn_status};
use minionn_core::Error;
use minionn_core::session::Traffic;
use minionn_core::session::engine::{self, ClientEngine, ServerEngine};
use minionn_core::workers::Workers;

/// A session: of a client, which holds an input and learns the prediction, or of a server, which
/// holds a network and learns nothing of the input. One thread at a time.
///
/// minionn_client_init() and minionn_client_resume() make a client's, minionn_server_init() and
/// minionn_server_resume() a server's. The functions minionn_session_... take both, those that are
/// called minionn_client_... a client's only: another is MINIONN_ERROR_ROLE.
pub struct minionn_session {
    _opaque: [u8; 0],
}

impl Opaque for minionn_session {
    type Value = Session;
    const MAGIC: u64 = u64::from_le_bytes(*b"minionnS");
}

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
    /// An error has ended the session; bytes that tell the peer may be left to drain.
    MINIONN_FAILED = 3,
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

/// How far a session has come.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct minionn_progress {
    /// What it wants next.
    pub state: minionn_state,
    /// The error that has ended it; MINIONN_OK if none has.
    pub status: minionn_status,
    /// After MINIONN_ERROR_PEER_ABORTED, why the peer has ended it; else MINIONN_OK.
    pub peer_status: minionn_status,
    /// Bytes that can be fed now.
    pub feed_capacity: usize,
    /// Bytes that wait to be drained.
    pub pending: usize,
    /// What went over the wire up to the end of the last phase: set-up, stock or prediction.
    pub traffic: minionn_traffic,
    /// Client: predictions that are left in the stock.
    pub remaining: u32,
    /// Server: predictions made so far.
    pub predictions: u64,
    /// Server: whether the client has asked it to keep its half of the pairing, see
    /// minionn_session_export_pairing(). A server need not.
    pub keep_asked: bool,
}

/// The engine of either party.
enum Role {
    Client(ClientEngine<'static>),
    Server(ServerEngine<'static>),
}

/// The same call of either engine.
macro_rules! either {
    ($role:expr, $engine:ident => $call:expr) => {
        match $role {
            Role::Client($engine) => $call,
            Role::Server($engine) => $call,
        }
    };
}

/// What stands behind a [`minionn_session`].
pub(crate) struct Session {
    role: Role,
    state: minionn_state,
    /// The error that has ended it; MINIONN_OK if none has.
    failure: Status,
    /// What the peer said when it ended the session; MINIONN_OK if it did not.
    peer: Status,
}

impl Session {
    const fn new(role: Role) -> Self {
        let ok = Status::MINIONN_OK;
        Self { role, state: minionn_state::MINIONN_BUSY, failure: ok, peer: ok }
    }

    pub(crate) const fn of_client(engine: ClientEngine<'static>) -> Self {
        Self::new(Role::Client(engine))
    }

    pub(crate) const fn of_server(engine: ServerEngine<'static>) -> Self {
        Self::new(Role::Server(engine))
    }

    /// The client's engine, for a look at what it has.
    pub(crate) const fn client(&mut self) -> Result<&mut ClientEngine<'static>> {
        match &mut self.role {
            Role::Client(engine) => Ok(engine),
            Role::Server(_) => Err(Status::MINIONN_ERROR_ROLE),
        }
    }

    /// Gives a command to a client's engine, which then has work to do.
    pub(crate) fn command<R>(
        &mut self,
        give: impl FnOnce(&mut ClientEngine<'static>) -> minionn_core::Result<R>,
    ) -> Result<R> {
        let failure = self.failure;
        let engine = self.client()?;
        if failure != Status::MINIONN_OK {
            return Err(failure);
        }
        let result = give(engine)?;
        self.state = minionn_state::MINIONN_BUSY;
        Ok(result)
    }

    pub(crate) fn poll(&mut self) -> Result<minionn_state> {
        if self.failure != Status::MINIONN_OK {
            return Err(self.failure);
        }
        match either!(&mut self.role, engine => engine.poll()) {
            Ok(status) => {
                self.state = match status {
                    engine::Status::Busy => minionn_state::MINIONN_BUSY,
                    engine::Status::Idle => minionn_state::MINIONN_IDLE,
                    engine::Status::Closed => minionn_state::MINIONN_CLOSED,
                };
                Ok(self.state)
            }
            Err(error) => {
                if let Error::PeerAborted(code) = error {
                    self.peer = Status::of_peer(code);
                }
                Err(self.fail(error.into()))
            }
        }
    }

    /// Ends the session: every later call tells the same.
    pub(crate) fn fail(&mut self, status: Status) -> Status {
        if self.failure == Status::MINIONN_OK {
            (self.state, self.failure) = (minionn_state::MINIONN_FAILED, status);
        }
        self.failure
    }

    pub(crate) fn feed(&mut self, bytes: &[u8]) -> usize {
        either!(&mut self.role, engine => engine.feed(bytes))
    }

    pub(crate) fn end_of_input(&mut self) {
        either!(&mut self.role, engine => engine.end_of_input());
    }

    pub(crate) fn drain(&mut self, out: &mut [u8]) -> usize {
        either!(&mut self.role, engine => engine.drain(out))
    }

    pub(crate) fn feed_capacity(&self) -> usize {
        either!(&self.role, engine => engine.feed_capacity())
    }

    pub(crate) fn use_workers(&mut self, workers: Workers<'static>) {
        either!(&mut self.role, engine => engine.use_workers(workers));
    }

    fn progress(&self) -> minionn_progress {
        let Traffic { sent, received, rounds } = either!(&self.role, engine => engine.traffic());
        let (remaining, predictions, keep_asked) = match &self.role {
            Role::Client(engine) => (engine.remaining(), 0, false),
            Role::Server(engine) => (0, engine.predictions(), engine.keep_asked()),
        };
        minionn_progress {
            state: self.state,
            status: self.failure,
            peer_status: self.peer,
            feed_capacity: self.feed_capacity(),
            pending: either!(&self.role, engine => engine.pending()),
            traffic: minionn_traffic { sent, received, rounds },
            remaining,
            predictions,
            keep_asked,
        }
    }
}

/// Hands over bytes from the peer, split anywhere. `taken` may be less than `len`: the inbox may be
/// full until the next poll. A session that has ended reads no more: its inbox stays full.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_session_feed(
    session: *mut minionn_session,
    bytes: *const u8,
    len: usize,
    taken: *mut usize,
) -> minionn_status {
    guard(|| {
        // SAFETY: the caller's promise to this function.
        let (bytes, taken) = unsafe { (slice(bytes, len)?, Out::new(taken)?) };
        // SAFETY: the caller's promise to this function.
        taken.set(unsafe { handle::with(session, |session| Ok(session.feed(bytes))) }?);
        Ok(())
    })
}

/// Says that no more bytes will come from the peer. Without this, a session whose link is gone
/// stays busy.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_session_end_of_input(
    session: *mut minionn_session,
) -> minionn_status {
    let end = |session: &mut Session| {
        session.end_of_input();
        Ok(())
    };
    // SAFETY: the caller's promise to this function.
    guard(|| unsafe { handle::with(session, end) })
}

/// Takes bytes for the peer. `written` is zero when there are none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_session_drain(
    session: *mut minionn_session,
    out: *mut u8,
    capacity: usize,
    written: *mut usize,
) -> minionn_status {
    guard(|| {
        // SAFETY: the caller's promise to this function.
        let (out, written) = unsafe { (slice_mut(out, capacity)?, Out::new(written)?) };
        // SAFETY: the caller's promise to this function.
        written.set(unsafe { handle::with(session, |session| Ok(session.drain(out))) }?);
        Ok(())
    })
}

/// Works as far as the bytes fed and the room for bytes to drain allow; never waits.
///
/// Any error has ended the session and comes again on every call. Bytes that tell the peer may be
/// left to drain.
///
/// \retval MINIONN_ERROR_PEER_ABORTED minionn_session_progress() says why.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_session_poll(
    session: *mut minionn_session,
    state: *mut minionn_state,
) -> minionn_status {
    guard(|| {
        // SAFETY: the caller's promise to this function.
        let state = unsafe { Out::new(state) }?;
        // SAFETY: the caller's promise to this function.
        state.set(unsafe { handle::with(session, Session::poll) }?);
        Ok(())
    })
}

/// Says how far the session has come, also after its end.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_session_progress(
    session: *const minionn_session,
    progress: *mut minionn_progress,
) -> minionn_status {
    guard(|| {
        // SAFETY: the caller's promise to this function.
        let (out, session) = unsafe { (Out::new(progress)?, handle::shared(session)?) };
        out.set(session.progress());
        Ok(())
    })
}

/// Exports this party's half of the pairing: later sessions with the same peer start without a
/// set-up, see minionn_client_resume() and minionn_server_resume().
///
/// A client exports MINIONN_CLIENT_PAIRING_BYTES whenever it is idle, and asks the server to keep
/// the other half: it is busy until that has been sent. A server exports
/// MINIONN_SERVER_PAIRING_BYTES from the end of set-up until the session is wiped; it is worth the
/// memory once keep_asked of minionn_progress is true, and it may forget it at any time.
///
/// It is SECRET: whoever has the client's half and what went over the wire can read the inputs of
/// all its sessions; with the server's, what the server puts into them. The caller MUST seal it
/// (encrypt and authenticate) wherever it is kept, a server under the id that
/// minionn_pairing_info() tells. It is the same at any time and in all sessions of a pairing;
/// nothing needs to be written after a session.
///
/// \retval MINIONN_ERROR_STATE a client is not idle, or set-up has not finished.
/// \retval MINIONN_ERROR_MEMORY `capacity` is too small.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_session_export_pairing(
    session: *mut minionn_session,
    out: *mut u8,
    capacity: usize,
    written: *mut usize,
) -> minionn_status {
    guard(|| {
        // SAFETY: the caller's promise to this function.
        let (out, written) = unsafe { (slice_mut(out, capacity)?, Out::new(written)?) };
        let export = |session: &mut Session| match &mut session.role {
            Role::Client(_) => session.command(|client| client.export(out)),
            Role::Server(server) => Ok(server.export(out)?),
        };
        // SAFETY: the caller's promise to this function.
        written.set(unsafe { handle::with(session, export) }?);
        Ok(())
    })
}

/// Drops the session and overwrites its memory; the caller may then free it. NULL is ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_session_wipe(session: *mut minionn_session) {
    // SAFETY: the caller's promise to this function.
    guard(|| unsafe { handle::wipe(session) });
}
