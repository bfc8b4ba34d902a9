//! A client's session: how it starts, and its commands.

use crate::handle;
use crate::options::{minionn_options, read};
use crate::pairing;
use crate::plan::parse;
use crate::pointer::{Out, slice, slice_mut};
use crate::random::{Source, minionn_random};
use crate::session::{Session, minionn_session};
use crate::status::{Result, Status, guard, minionn_status};
use minionn_core::session::engine::ClientEngine;

/// Bytes of memory that a client needs for everything: session, table store, buffers.
///
/// \retval MINIONN_ERROR_PLAN damaged, or of another version.
/// \retval MINIONN_ERROR_OPTION an option is outside its range.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_client_memory(
    plan: *const u8,
    plan_len: usize,
    options: *const minionn_options,
    bytes: *mut usize,
) -> minionn_status {
    guard(|| {
        // SAFETY: the caller's promise to this function.
        let (plan, options, out) =
            unsafe { (parse(plan, plan_len)?, read(options)?, Out::new(bytes)?) };
        let (options, buffers) = options.parse()?;
        let region = ClientEngine::memory(&plan, &options, buffers)?;
        out.set(handle::bytes::<minionn_session>(region)?);
        Ok(())
    })
}

/// Starts a session of a client in `memory`, which has the bytes that minionn_client_memory() told,
/// or more, aligned to MINIONN_ALIGN. Its set-up begins with the first poll.
///
/// `memory` and `plan` MUST stay where they are, untouched, until minionn_session_wipe(). `options`
/// and `random` are used in this call only.
///
/// \retval MINIONN_ERROR_MEMORY, MINIONN_ERROR_ALIGNMENT `memory` is not what
/// minionn_client_memory() told.
/// \retval MINIONN_ERROR_PLAN damaged, or of another version.
/// \retval MINIONN_ERROR_OPTION an option is outside its range.
/// \retval MINIONN_ERROR_RANDOM the random source failed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_client_init(
    memory: *mut u8,
    capacity: usize,
    plan: *const u8,
    plan_len: usize,
    options: *const minionn_options,
    random: *const minionn_random,
    session: *mut *mut minionn_session,
) -> minionn_status {
    guard(|| {
        // SAFETY: the caller's promise to this function: the plan lives as long as the handle.
        let (plan, options, out) =
            unsafe { (parse(plan, plan_len)?, read(options)?, Out::new(session)?) };
        let (options, buffers) = options.parse()?;
        let region = ClientEngine::memory(&plan, &options, buffers)?;
        // SAFETY: the caller's promise to this function.
        let mut random = unsafe { Source::new(random) }?;
        let make = |region| {
            let engine = ClientEngine::new(plan, options, buffers, region, &mut random)?;
            Ok(Session::of_client(engine))
        };
        // SAFETY: the caller's promise to this function.
        out.set(unsafe { handle::init(memory, capacity, region, make) }?);
        Ok(())
    })
}

/// As minionn_client_init(), but goes on with a pairing that minionn_session_export_pairing() wrote
/// in an earlier session with the same server: there is no set-up. Plan, tables, activations and
/// stock may be others than then; the repetition may not.
///
/// `pairing` is used in this call only. The server may have forgotten its half: then the session
/// ends with MINIONN_ERROR_PEER_ABORTED, its peer_status is MINIONN_ERROR_UNKNOWN_PAIRING, and
/// minionn_client_init() starts another one with a set-up.
///
/// \retval MINIONN_ERROR_PAIRING damaged, of another version, or a server's half.
/// \retval MINIONN_ERROR_OPTION an option is outside its range, or the repetition is not the
/// pairing's.
/// \retval MINIONN_ERROR_MEMORY, ... as minionn_client_init().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_client_resume(
    memory: *mut u8,
    capacity: usize,
    plan: *const u8,
    plan_len: usize,
    options: *const minionn_options,
    pairing: *const u8,
    pairing_len: usize,
    random: *const minionn_random,
    session: *mut *mut minionn_session,
) -> minionn_status {
    guard(|| {
        // SAFETY: the caller's promise to this function: the plan lives as long as the handle.
        let (plan, options, out) =
            unsafe { (parse(plan, plan_len)?, read(options)?, Out::new(session)?) };
        // SAFETY: the caller's promise to this function.
        let pairing = unsafe { pairing::parse(pairing, pairing_len) }?;
        let (options, buffers) = options.parse()?;
        let region = ClientEngine::memory(&plan, &options, buffers)?;
        // SAFETY: the caller's promise to this function.
        let mut random = unsafe { Source::new(random) }?;
        let make = |region| {
            let engine =
                ClientEngine::resume(plan, options, buffers, region, &mut random, &pairing)?;
            Ok(Session::of_client(engine))
        };
        // SAFETY: the caller's promise to this function.
        out.set(unsafe { handle::init(memory, capacity, region, make) }?);
        Ok(())
    })
}

/// Starts the offline phase for one stock; what was left of the stock before is discarded. The
/// session is busy until it has finished.
///
/// \retval MINIONN_ERROR_STATE not idle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_client_prepare(session: *mut minionn_session) -> minionn_status {
    // SAFETY: the caller's promise to this function.
    guard(|| unsafe { handle::with(session, |session| session.command(ClientEngine::prepare)) })
}

/// Starts a prediction on real inputs, quantised as the plan says; values beyond its range are
/// clamped. The session is busy until it has finished.
///
/// \retval MINIONN_ERROR_STATE not idle.
/// \retval MINIONN_ERROR_LENGTH `n` is not the plan's input length.
/// \retval MINIONN_ERROR_INPUT a value is not finite.
/// \retval MINIONN_ERROR_EXHAUSTED prepare first.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_client_predict(
    session: *mut minionn_session,
    x: *const f32,
    n: usize,
) -> minionn_status {
    guard(|| {
        // SAFETY: the caller's promise to this function.
        let x = unsafe { slice(x, n) }?;
        // SAFETY: as above.
        unsafe { handle::with(session, |session| session.command(|client| client.predict(x))) }
    })
}

/// As minionn_client_predict(), on quantised inputs.
///
/// \retval MINIONN_ERROR_INPUT a value is outside the plan's range; some are told by
/// minionn_client_answer() only.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_client_predict_quantised(
    session: *mut minionn_session,
    x: *const i64,
    n: usize,
) -> minionn_status {
    guard(|| {
        // SAFETY: the caller's promise to this function.
        let x = unsafe { slice(x, n) }?;
        let predict = |client: &mut ClientEngine<'static>| client.predict_quantised(x);
        // SAFETY: as above.
        unsafe { handle::with(session, |session| session.command(predict)) }
    })
}

/// The answer of the last prediction in real units, once the session is idle again: the opened
/// tensor, and the index of the largest output.
///
/// `logits` has room for `capacity` elements; answer_length of minionn_info are written, none for
/// an argmax plan, where `logits` may be NULL.
///
/// \retval MINIONN_ERROR_STATE there is no answer yet.
/// \retval MINIONN_ERROR_LENGTH `capacity` is too small.
/// \retval MINIONN_ERROR_INPUT, MINIONN_ERROR_EXHAUSTED what was wrong with the prediction; the
/// session goes on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_client_answer(
    session: *mut minionn_session,
    logits: *mut f64,
    capacity: usize,
    written: *mut usize,
    argmax: *mut usize,
) -> minionn_status {
    // SAFETY: the caller's promise to this function.
    guard(|| unsafe {
        let logits = slice_mut(logits, capacity)?;
        answer(session, logits, written, argmax, ClientEngine::answer_real)
    })
}

/// As minionn_client_answer(), in integers: times output_scale of minionn_info in real units.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_client_answer_quantised(
    session: *mut minionn_session,
    logits: *mut i64,
    capacity: usize,
    written: *mut usize,
    argmax: *mut usize,
) -> minionn_status {
    // SAFETY: the caller's promise to this function.
    guard(|| unsafe {
        let logits = slice_mut(logits, capacity)?;
        answer(session, logits, written, argmax, ClientEngine::answer)
    })
}

/// # Safety
/// As [`handle::with`] and [`Out::new`].
unsafe fn answer<T>(
    session: *mut minionn_session,
    logits: &mut [T],
    written: *mut usize,
    argmax: *mut usize,
    get: impl FnOnce(&mut ClientEngine<'static>, &mut [T]) -> minionn_core::Result<usize>,
) -> Result<()> {
    // SAFETY: the caller's promise.
    let (written, argmax) = unsafe { (Out::new(written)?, Out::new(argmax)?) };
    let call = |session: &mut Session| {
        let client = session.client()?;
        let need = client.answer_len();
        let out = logits.get_mut(..need).ok_or(Status::MINIONN_ERROR_LENGTH)?;
        Ok((need, get(client, out)?))
    };
    // SAFETY: the caller's promise.
    let (need, best) = unsafe { handle::with(session, call) }?;
    written.set(need);
    argmax.set(best);
    Ok(())
}

/// Ends the session in order: it is busy until the server knows, then closed.
///
/// \retval MINIONN_ERROR_STATE not idle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_client_close(session: *mut minionn_session) -> minionn_status {
    // SAFETY: the caller's promise to this function.
    guard(|| unsafe { handle::with(session, |session| session.command(ClientEngine::close)) })
}
