//! Blocking helpers for programs that have a stream: two callbacks, such as recv() and send().

use crate::handle;
use crate::pointer::{Out, checked, slice_mut};
use crate::session::{Session, minionn_session, minionn_state};
use crate::status::{Result, Status, guard, minionn_status};
use core::ffi::c_void;
use minionn_core::handshake;

/// Bytes that are read or written at once, on the stack.
const PIECE: usize = if cfg!(target_pointer_width = "64") { 16384 } else { 256 };

/// A byte stream to the peer that waits: a socket, a serial line. Both functions MUST NOT throw,
/// and MUST NOT use the session that they are called for.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct minionn_io {
    /// Waits for bytes and puts them into `out`, at least one and at most `capacity`. Returns how
    /// many; 0 at the end of the stream; less than 0 if it has failed or has waited too long. As
    /// recv() does; a call that a signal interrupts is made again by this function.
    pub read:
        Option<unsafe extern "C" fn(user: *mut c_void, out: *mut u8, capacity: usize) -> isize>,
    /// Sends bytes, at least one and at most `len`, waiting for room. Returns how many; 0 or less
    /// if it has failed or has waited too long. As send() does.
    pub write:
        Option<unsafe extern "C" fn(user: *mut c_void, bytes: *const u8, len: usize) -> isize>,
    /// Handed to both.
    pub user: *mut c_void,
}

/// A [`minionn_io`] with both functions.
struct Stream {
    read: unsafe extern "C" fn(*mut c_void, *mut u8, usize) -> isize,
    write: unsafe extern "C" fn(*mut c_void, *const u8, usize) -> isize,
    user: *mut c_void,
}

impl Stream {
    /// # Safety
    /// Unless NULL or crooked, `io` points at a [`minionn_io`] that keeps to its contract for as
    /// long as the result is used.
    unsafe fn new(io: *const minionn_io) -> Result<Self> {
        // SAFETY: neither NULL nor crooked, and the caller's promise.
        let minionn_io { read, write, user } = unsafe { checked(io)?.read() };
        let (Some(read), Some(write)) = (read, write) else {
            return Err(Status::MINIONN_ERROR_NULL);
        };
        Ok(Self { read, write, user })
    }

    /// Bytes that were read, none at the end of the stream.
    fn read<'o>(&self, out: &'o mut [u8]) -> Result<&'o [u8]> {
        // SAFETY: the promise of whoever made this; the slice has as many bytes as the call says.
        let n = unsafe { (self.read)(self.user, out.as_mut_ptr(), out.len()) };
        // A function that claims to have read more than there is room for is not to be trusted.
        let n = usize::try_from(n).map_err(|_| Status::MINIONN_ERROR_IO)?;
        out.get(..n).ok_or(Status::MINIONN_ERROR_IO)
    }

    fn write_all(&self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            // SAFETY: as in `read`.
            let n = unsafe { (self.write)(self.user, bytes.as_ptr(), bytes.len()) };
            let n = usize::try_from(n).map_err(|_| Status::MINIONN_ERROR_IO)?;
            if n == 0 {
                return Err(Status::MINIONN_ERROR_IO);
            }
            bytes = bytes.get(n..).ok_or(Status::MINIONN_ERROR_IO)?;
        }
        Ok(())
    }
}

impl Session {
    /// Sends all that waits. Returns whether there was anything.
    fn send(&mut self, stream: &Stream, piece: &mut [u8]) -> Result<bool> {
        let mut any = false;
        loop {
            let n = self.drain(piece);
            let bytes = piece.get(..n).ok_or(Status::MINIONN_ERROR_INTERNAL)?;
            if bytes.is_empty() {
                return Ok(any);
            }
            // What was drained and not sent is lost, so the session cannot go on.
            stream.write_all(bytes).map_err(|status| self.fail(status))?;
            any = true;
        }
    }

    /// Moves bytes until there is nothing left to do.
    fn run(&mut self, stream: &Stream) -> Result<()> {
        let mut piece = [0; PIECE];
        loop {
            let state = self.poll();
            let sent = self.send(stream, &mut piece);
            // An error of the session says more than one of the stream that came after it.
            let state = state?;
            if sent? {
                // There is room in the outbox again.
                continue;
            }
            if state != minionn_state::MINIONN_BUSY {
                return Ok(());
            }
            let room = self.feed_capacity().min(PIECE);
            let room = piece.get_mut(..room).filter(|room| !room.is_empty());
            let room = room.ok_or(Status::MINIONN_ERROR_INTERNAL)?;
            match stream.read(room) {
                Ok([]) => self.end_of_input(),
                Ok(bytes) if self.feed(bytes) == bytes.len() => {}
                Ok(_) => return Err(self.fail(Status::MINIONN_ERROR_INTERNAL)),
                Err(status) => return Err(self.fail(status)),
            }
        }
    }
}

/// Moves bytes between session and peer and works, until a client waits for its next command, or
/// the session has ended. It waits as long as the two functions do; a program that has other things
/// to do meanwhile feeds, polls and drains instead.
///
/// A client calls it after minionn_client_init() for the set-up, and after every command. A server
/// calls it once: it returns when the client has closed the session.
///
/// \retval MINIONN_ERROR_IO a function of `io` has failed, which has ended the session.
/// \retval MINIONN_ERROR_EOF the peer has gone.
/// \retval MINIONN_ERROR_PEER_ABORTED, ... as minionn_session_poll().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_session_run(
    session: *mut minionn_session,
    io: *const minionn_io,
) -> minionn_status {
    guard(|| {
        // SAFETY: the caller's promise to this function.
        let stream = unsafe { Stream::new(io)? };
        // SAFETY: as above.
        unsafe { handle::with(session, |session| session.run(&stream)) }
    })
}

/// Client: asks the server for its plan and waits for it: minionn_plan_request() and
/// minionn_plan_peek() in one. It goes first on a connection; the session follows on the same one.
///
/// `memory` takes what is received, MINIONN_PLAN_REPLY_MAX bytes at most, whether or not it is a
/// plan. `plan` then points into it, so it MUST stay there as long as the plan is used.
///
/// \retval MINIONN_ERROR_MEMORY `capacity` is too small.
/// \retval MINIONN_ERROR_IO a function of `io` has failed.
/// \retval MINIONN_ERROR_EOF the server has gone.
/// \retval MINIONN_ERROR_UNEXPECTED the server sent more than a plan.
/// \retval MINIONN_ERROR_PEER_ABORTED, ... as minionn_plan_peek().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_plan_fetch(
    io: *const minionn_io,
    memory: *mut u8,
    capacity: usize,
    plan: *mut *const u8,
    plan_len: *mut usize,
) -> minionn_status {
    guard(|| {
        // SAFETY: the caller's promise to this function.
        let (stream, memory, plan, plan_len) = unsafe {
            let memory = slice_mut(memory, capacity)?;
            (Stream::new(io)?, memory, Out::new(plan)?, Out::new(plan_len)?)
        };
        let found = fetch(&stream, memory)?;
        plan.set(found.as_ptr());
        plan_len.set(found.len());
        Ok(())
    })
}

fn fetch<'m>(stream: &Stream, memory: &'m mut [u8]) -> Result<&'m [u8]> {
    stream.write_all(&handshake::plan_request())?;
    let mut received = 0;
    let (frame, plan_len) = loop {
        let room = memory.get_mut(received..).filter(|room| !room.is_empty());
        let n = stream.read(room.ok_or(Status::MINIONN_ERROR_MEMORY)?)?.len();
        if n == 0 {
            return Err(Status::MINIONN_ERROR_EOF);
        }
        received += n;
        let bytes = memory.get(..received).ok_or(Status::MINIONN_ERROR_INTERNAL)?;
        if let Some((plan, frame)) = handshake::peek_plan(bytes)? {
            break (frame, plan.len());
        }
    };
    // A server says nothing further before a session's greeting.
    if frame != received {
        return Err(Status::MINIONN_ERROR_UNEXPECTED);
    }
    memory
        .get(handshake::FRAME_HEADER..handshake::FRAME_HEADER + plan_len)
        .ok_or(Status::MINIONN_ERROR_INTERNAL)
}
