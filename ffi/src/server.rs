//! One session of a server.

use crate::executor::{self, minionn_executor};
use crate::handle::{self, Opaque};
use crate::model::{Ready, minionn_model};
use crate::options::{minionn_options, read};
use crate::pairing;
use crate::pointer::{Out, slice_mut};
use crate::random::{draw, minionn_random};
use crate::session::{self, Engine, Session, minionn_state, minionn_traffic};
use crate::status::{guard, minionn_status};
use core::ffi::c_void;
use minionn_core::memory::ALIGN;
use minionn_core::session::engine::ServerEngine;

/// One session of a server: holds a network, learns nothing of the input. One thread at a time.
pub struct minionn_server {
    _opaque: [u8; 0],
}

impl Opaque for minionn_server {
    type Value = Session<ServerEngine<'static>>;
    const MAGIC: u64 = u64::from_le_bytes(*b"minionnS");
}

/// Memory that one session needs besides the model.
///
/// \retval MINIONN_ERROR_HANDLE `model` is no model.
/// \retval MINIONN_ERROR_OPTION an option is outside its range.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_server_memory(
    model: *const minionn_model,
    options: *const minionn_options,
    size: *mut usize,
    align: *mut usize,
) -> minionn_status {
    guard(|| {
        // SAFETY: the caller's promise to this function.
        let (ready, options) = unsafe { (handle::shared(model)?, read(options)?) };
        // SAFETY: as above.
        let (size, align) = unsafe { (Out::new(size)?, Out::new(align)?) };
        let (options, buffers) = options.parse()?;
        let region = ServerEngine::memory(ready.prepared.model().plan(), &options, buffers)?;
        size.set(handle::bytes::<minionn_server>(region)?);
        align.set(ALIGN);
        Ok(())
    })
}

/// Starts a session in `memory`, which has the `size` and alignment that minionn_server_memory()
/// told. The client drives it.
///
/// `options` are those that the client asked for, see minionn_greeting_peek(); their stock MUST be
/// the model's. The greeting MUST be fed all the same. `memory` MUST stay where it is, untouched,
/// until minionn_server_wipe(), and `model` MUST NOT be wiped before. `options` and `random` are
/// used in this call only.
///
/// \retval MINIONN_ERROR_MEMORY, MINIONN_ERROR_ALIGNMENT `memory` is not what
/// minionn_server_memory() told. \retval MINIONN_ERROR_HANDLE `model` is no model.
/// \retval MINIONN_ERROR_OPTION an option is outside its range, or the stock is not the model's.
/// \retval MINIONN_ERROR_RANDOM the random source failed; nothing was started.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_server_init(
    memory: *mut u8,
    size: usize,
    model: *const minionn_model,
    options: *const minionn_options,
    random: minionn_random,
    user: *mut c_void,
    server: *mut *mut minionn_server,
) -> minionn_status {
    guard(|| {
        // SAFETY: the caller's promise to this function: the model lives as long as the handle.
        let (ready, options, server) =
            unsafe { (handle::shared::<minionn_model>(model)?, read(options)?, Out::new(server)?) };
        let Ready { prepared, .. } = ready;
        let (options, buffers) = options.parse()?;
        let region = ServerEngine::memory(prepared.model().plan(), &options, buffers)?;
        // SAFETY: the caller's promise to this function.
        let make = |region| {
            Ok(Session::new(ServerEngine::new(
                prepared,
                options,
                buffers,
                region,
                &mut minionn_core::rng::KnownSeed::new(unsafe { draw(random, user) }?),
            )?))
        };
        // SAFETY: the caller's promise to this function.
        server.set(unsafe { handle::init(memory, size, region, make) }?);
        Ok(())
    })
}

/// As minionn_server_init(), for a client that goes on with a pairing, see
/// minionn_greeting_pairing(): there is no set-up. `pairing` was written by minionn_server_export()
/// and is used in this call only.
///
/// \retval MINIONN_ERROR_PAIRING damaged, of another version, or a client's half.
/// \retval MINIONN_ERROR_OPTION an option is outside its range, or the repetition is not the
/// pairing's, or the stock is not the model's. \retval MINIONN_ERROR_MEMORY, ... as
/// minionn_server_init().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_server_init_resume(
    memory: *mut u8,
    size: usize,
    model: *const minionn_model,
    options: *const minionn_options,
    pairing: *const u8,
    pairing_len: usize,
    random: minionn_random,
    user: *mut c_void,
    server: *mut *mut minionn_server,
) -> minionn_status {
    guard(|| {
        // SAFETY: the caller's promise to this function: the model lives as long as the handle.
        let (ready, options, server) =
            unsafe { (handle::shared::<minionn_model>(model)?, read(options)?, Out::new(server)?) };
        // SAFETY: the caller's promise to this function.
        let pairing = unsafe { pairing::parse(pairing, pairing_len) }?;
        let Ready { prepared, .. } = ready;
        let (options, buffers) = options.parse()?;
        let region = ServerEngine::memory(prepared.model().plan(), &options, buffers)?;
        let make = |region| {
            // SAFETY: the caller's promise to this function.
            let seed = unsafe { draw(random, user) }?;
            Ok(Session::new(ServerEngine::resume(
                prepared,
                options,
                buffers,
                region,
                &mut minionn_core::rng::KnownSeed::new(seed),
                &pairing,
            )?))
        };
        // SAFETY: the caller's promise to this function.
        server.set(unsafe { handle::init(memory, size, region, make) }?);
        Ok(())
    })
}

/// Whether the client has asked this server to keep its half of the pairing, see
/// minionn_server_export(). A server need not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_server_keep_asked(server: *const minionn_server) -> bool {
    // SAFETY: the caller's promise to this function.
    unsafe { session::number(server, ServerEngine::keep_asked) }
}

/// Exports this party's half of the pairing, MINIONN_SERVER_PAIRING_BYTES, from the end of set-up
/// until the session is wiped. Worth the memory once minionn_server_keep_asked() is true.
///
/// It is SECRET: whoever has it and what went over the wire can read what the server puts into all
/// its sessions. The caller MUST seal it (encrypt and authenticate) wherever it is kept, under the
/// id that minionn_pairing_info() tells. It is the same in all sessions of a pairing. A server may
/// forget it at any time.
///
/// \retval MINIONN_ERROR_STATE set-up has not finished.
/// \retval MINIONN_ERROR_MEMORY `capacity` is too small.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_server_export(
    server: *const minionn_server,
    out: *mut u8,
    capacity: usize,
    written: *mut usize,
) -> minionn_status {
    guard(|| {
        // SAFETY: the caller's promise to this function.
        let (out, written) = unsafe { (slice_mut(out, capacity)?, Out::new(written)?) };
        // SAFETY: the caller's promise to this function.
        written.set(unsafe { handle::shared(server) }?.engine.export(out)?);
        Ok(())
    })
}

/// As minionn_client_share(), of a server's session.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_server_share(
    server: *mut minionn_server,
    executor: *const minionn_executor,
) -> minionn_status {
    // SAFETY: the caller's promise to this function.
    unsafe { executor::use_workers(server, executor) }
}

/// Hands over bytes from the peer, split anywhere. `taken` may be less than `len`: the inbox may be
/// full until the next poll.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_server_feed(
    server: *mut minionn_server,
    bytes: *const u8,
    len: usize,
    taken: *mut usize,
) -> minionn_status {
    // SAFETY: the caller's promise to this function.
    unsafe { session::feed(server, bytes, len, taken) }
}

/// Says that no more bytes will come from the peer. Without this, a session whose link is gone
/// stays busy.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_server_end_of_input(
    server: *mut minionn_server,
) -> minionn_status {
    // SAFETY: the caller's promise to this function.
    unsafe { session::end_of_input(server) }
}

/// Takes bytes for the peer. `written` is zero when there are none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_server_drain(
    server: *mut minionn_server,
    out: *mut u8,
    capacity: usize,
    written: *mut usize,
) -> minionn_status {
    // SAFETY: the caller's promise to this function.
    unsafe { session::drain(server, out, capacity, written) }
}

/// Bytes that wait to be drained; 0 if this is no session.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_server_pending(server: *const minionn_server) -> usize {
    // SAFETY: the caller's promise to this function.
    unsafe { session::number(server, Engine::pending) }
}

/// Bytes that can be fed now; 0 if this is no session.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_server_want(server: *const minionn_server) -> usize {
    // SAFETY: the caller's promise to this function.
    unsafe { session::number(server, Engine::want) }
}

/// Works as far as the bytes fed and the room for bytes to drain allow; never waits.
///
/// Any error has ended the session and comes again on every call. Bytes that tell the peer may be
/// left to drain.
///
/// \retval MINIONN_ERROR_PEER_ABORTED see minionn_server_peer_status().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_server_poll(
    server: *mut minionn_server,
    state: *mut minionn_state,
) -> minionn_status {
    // SAFETY: the caller's promise to this function.
    unsafe { session::poll(server, state) }
}

/// Why the peer ended the session; MINIONN_OK if it did not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_server_peer_status(
    server: *const minionn_server,
) -> minionn_status {
    // SAFETY: the caller's promise to this function.
    unsafe { session::peer_status(server) }
}

/// What went over the wire up to the end of the last phase: set-up, stock or prediction.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_server_traffic(
    server: *const minionn_server,
    traffic: *mut minionn_traffic,
) -> minionn_status {
    // SAFETY: the caller's promise to this function.
    unsafe { session::traffic(server, traffic) }
}

/// Drops the session and overwrites its memory; the caller may then free it. NULL is ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_server_wipe(server: *mut minionn_server) {
    // SAFETY: the caller's promise to this function.
    guard(|| unsafe { handle::wipe(server) });
}

/// Predictions made so far; 0 if this is no session.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_server_predictions(server: *const minionn_server) -> u64 {
    // SAFETY: the caller's promise to this function.
    unsafe { session::number(server, ServerEngine::predictions) }
}
