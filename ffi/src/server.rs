//! A server's session: how it starts. The client drives it.

use crate::handle;
use crate::model::{Ready, minionn_model};
use crate::options::{minionn_options, read};
use crate::pairing;
use crate::pointer::Out;
use crate::random::{Source, minionn_random};
use crate::session::{Session, minionn_session};
use crate::status::{guard, minionn_status};
use minionn_core::session::engine::ServerEngine;

/// Bytes of memory that one session needs besides the model.
///
/// \retval MINIONN_ERROR_HANDLE `model` is no model.
/// \retval MINIONN_ERROR_OPTION an option is outside its range.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_server_memory(
    model: *const minionn_model,
    options: *const minionn_options,
    bytes: *mut usize,
) -> minionn_status {
    guard(|| {
        // SAFETY: the caller's promise to this function.
        let (ready, options, out) =
            unsafe { (handle::shared(model)?, read(options)?, Out::new(bytes)?) };
        let (options, buffers) = options.parse()?;
        let region = ServerEngine::memory(ready.prepared.model().plan(), &options, buffers)?;
        out.set(handle::bytes::<minionn_session>(region)?);
        Ok(())
    })
}

/// Starts a session of a server in `memory`, which has the bytes that minionn_server_memory() told,
/// or more, aligned to MINIONN_ALIGN.
///
/// `options` are those that the client asked for, see minionn_greeting_peek(); their stock MUST be
/// the model's. The greeting MUST be fed all the same. `memory` MUST stay where it is, untouched,
/// until minionn_session_wipe(), and `model` MUST NOT be wiped before. `options` and `random` are
/// used in this call only.
///
/// \retval MINIONN_ERROR_MEMORY, MINIONN_ERROR_ALIGNMENT `memory` is not what
/// minionn_server_memory() told.
/// \retval MINIONN_ERROR_HANDLE `model` is no model.
/// \retval MINIONN_ERROR_OPTION an option is outside its range, or the stock is not the model's.
/// \retval MINIONN_ERROR_RANDOM the random source failed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_server_init(
    memory: *mut u8,
    capacity: usize,
    model: *const minionn_model,
    options: *const minionn_options,
    random: *const minionn_random,
    session: *mut *mut minionn_session,
) -> minionn_status {
    guard(|| {
        // SAFETY: the caller's promise to this function: the model lives as long as the handle.
        let (ready, options, out) = unsafe {
            (handle::shared::<minionn_model>(model)?, read(options)?, Out::new(session)?)
        };
        let Ready { prepared, .. } = ready;
        let (options, buffers) = options.parse()?;
        let region = ServerEngine::memory(prepared.model().plan(), &options, buffers)?;
        // SAFETY: the caller's promise to this function.
        let mut random = unsafe { Source::new(random) }?;
        let make = |region| {
            let engine = ServerEngine::new(prepared, options, buffers, region, &mut random)?;
            Ok(Session::of_server(engine))
        };
        // SAFETY: the caller's promise to this function.
        out.set(unsafe { handle::init(memory, capacity, region, make) }?);
        Ok(())
    })
}

/// As minionn_server_init(), for a client that goes on with a pairing, see MINIONN_GREETING_RESUME:
/// there is no set-up. `pairing` was written by minionn_session_export_pairing() and is used in
/// this call only.
///
/// \retval MINIONN_ERROR_PAIRING damaged, of another version, or a client's half.
/// \retval MINIONN_ERROR_OPTION an option is outside its range, or the repetition is not the
/// pairing's, or the stock is not the model's.
/// \retval MINIONN_ERROR_MEMORY, ... as minionn_server_init().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_server_resume(
    memory: *mut u8,
    capacity: usize,
    model: *const minionn_model,
    options: *const minionn_options,
    pairing: *const u8,
    pairing_len: usize,
    random: *const minionn_random,
    session: *mut *mut minionn_session,
) -> minionn_status {
    guard(|| {
        // SAFETY: the caller's promise to this function: the model lives as long as the handle.
        let (ready, options, out) = unsafe {
            (handle::shared::<minionn_model>(model)?, read(options)?, Out::new(session)?)
        };
        // SAFETY: the caller's promise to this function.
        let pairing = unsafe { pairing::parse(pairing, pairing_len) }?;
        let Ready { prepared, .. } = ready;
        let (options, buffers) = options.parse()?;
        let region = ServerEngine::memory(prepared.model().plan(), &options, buffers)?;
        // SAFETY: the caller's promise to this function.
        let mut random = unsafe { Source::new(random) }?;
        let make = |region| {
            let engine =
                ServerEngine::resume(prepared, options, buffers, region, &mut random, &pairing)?;
            Ok(Session::of_server(engine))
        };
        // SAFETY: the caller's promise to this function.
        out.set(unsafe { handle::init(memory, capacity, region, make) }?);
        Ok(())
    })
}
