//! A client's session.

use crate::executor::{self, minionn_executor};
use crate::handle::{self, Opaque};
use crate::options::{minionn_options, read};
use crate::pairing;
use crate::plan::parse;
use crate::pointer::{Out, slice, slice_mut};
use crate::random::{draw, minionn_random};
use crate::session::{self, Engine, Session, minionn_state, minionn_traffic};
use crate::status::{Result, Status, guard, minionn_status};
use core::ffi::c_void;
use minionn_core::memory::ALIGN;
use minionn_core::session::engine::ClientEngine;

/// A client's session: holds an input, learns the prediction. One thread at a time.
pub struct minionn_client {
    _opaque: [u8; 0],
}

type Client = Session<ClientEngine<'static>>;

impl Opaque for minionn_client {
    type Value = Client;
    const MAGIC: u64 = u64::from_le_bytes(*b"minionnC");
}

/// Memory that a client needs for everything: session, table store, buffers.
///
/// \retval MINIONN_ERROR_PLAN damaged, or of another version.
/// \retval MINIONN_ERROR_OPTION an option is outside its range.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_client_memory(
    plan: *const u8,
    plan_len: usize,
    options: *const minionn_options,
    size: *mut usize,
    align: *mut usize,
) -> minionn_status {
    guard(|| {
        // SAFETY: the caller's promise to this function.
        let (plan, options) = unsafe { (parse(plan, plan_len)?, read(options)?) };
        // SAFETY: as above.
        let (size, align) = unsafe { (Out::new(size)?, Out::new(align)?) };
        let (options, buffers) = options.parse()?;
        size.set(handle::bytes::<minionn_client>(ClientEngine::memory(&plan, &options, buffers)?)?);
        align.set(ALIGN);
        Ok(())
    })
}

/// Starts a session in `memory`, which has the `size` and alignment that minionn_client_memory()
/// told: poll, and set-up begins.
///
/// `memory` and `plan` MUST stay where they are, untouched, until minionn_client_wipe(). `options`
/// and `random` are used in this call only.
///
/// \retval MINIONN_ERROR_MEMORY, MINIONN_ERROR_ALIGNMENT `memory` is not what
/// minionn_client_memory() told. \retval MINIONN_ERROR_PLAN damaged, or of another version.
/// \retval MINIONN_ERROR_OPTION an option is outside its range.
/// \retval MINIONN_ERROR_RANDOM the random source failed; nothing was started.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_client_init(
    memory: *mut u8,
    size: usize,
    plan: *const u8,
    plan_len: usize,
    options: *const minionn_options,
    random: minionn_random,
    user: *mut c_void,
    client: *mut *mut minionn_client,
) -> minionn_status {
    guard(|| {
        // SAFETY: the caller's promise to this function: the plan lives as long as the handle.
        let (plan, options, client) =
            unsafe { (parse(plan, plan_len)?, read(options)?, Out::new(client)?) };
        let (options, buffers) = options.parse()?;
        let region = ClientEngine::memory(&plan, &options, buffers)?;
        // SAFETY: the caller's promise to this function.
        let make = |region| {
            Ok(Session::new(ClientEngine::new(
                plan,
                options,
                buffers,
                region,
                &mut minionn_core::rng::KnownSeed::new(unsafe { draw(random, user) }?),
            )?))
        };
        // SAFETY: the caller's promise to this function.
        client.set(unsafe { handle::init(memory, size, region, make) }?);
        Ok(())
    })
}

/// As minionn_client_init(), but goes on with a pairing that minionn_client_export() wrote in an
/// earlier session with the same server: there is no set-up. Plan, tables and stock may be others
/// than then; the repetition may not.
///
/// `pairing` is used in this call only. The server may have forgotten its half: then
/// minionn_client_poll() returns MINIONN_ERROR_PEER_ABORTED and minionn_client_peer_status()
/// MINIONN_ERROR_UNKNOWN_PAIRING, and minionn_client_init() sets up anew.
///
/// \retval MINIONN_ERROR_PAIRING damaged, of another version, or a server's half.
/// \retval MINIONN_ERROR_OPTION an option is outside its range, or the repetition is not the
/// pairing's. \retval MINIONN_ERROR_MEMORY, ... as minionn_client_init().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_client_init_resume(
    memory: *mut u8,
    size: usize,
    plan: *const u8,
    plan_len: usize,
    options: *const minionn_options,
    pairing: *const u8,
    pairing_len: usize,
    random: minionn_random,
    user: *mut c_void,
    client: *mut *mut minionn_client,
) -> minionn_status {
    guard(|| {
        // SAFETY: the caller's promise to this function: the plan lives as long as the handle.
        let (plan, options, client) =
            unsafe { (parse(plan, plan_len)?, read(options)?, Out::new(client)?) };
        // SAFETY: the caller's promise to this function.
        let pairing = unsafe { pairing::parse(pairing, pairing_len) }?;
        let (options, buffers) = options.parse()?;
        let region = ClientEngine::memory(&plan, &options, buffers)?;
        let make = |region| {
            // SAFETY: the caller's promise to this function.
            let seed = unsafe { draw(random, user) }?;
            Ok(Session::new(ClientEngine::resume(
                plan,
                options,
                buffers,
                region,
                &mut minionn_core::rng::KnownSeed::new(seed),
                &pairing,
            )?))
        };
        // SAFETY: the caller's promise to this function.
        client.set(unsafe { handle::init(memory, size, region, make) }?);
        Ok(())
    })
}

/// Exports this party's half of the pairing, MINIONN_CLIENT_PAIRING_BYTES, and asks the server to
/// keep the other. Poll until idle.
///
/// It is SECRET: whoever has it and what went over the wire can read the inputs of all its
/// sessions. The caller MUST seal it (encrypt and authenticate) wherever it is kept. It is the same
/// at any time and in all sessions of a pairing; nothing needs to be written after a session.
///
/// \retval MINIONN_ERROR_STATE not idle.
/// \retval MINIONN_ERROR_MEMORY `capacity` is too small.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_client_export(
    client: *mut minionn_client,
    out: *mut u8,
    capacity: usize,
    written: *mut usize,
) -> minionn_status {
    guard(|| {
        // SAFETY: the caller's promise to this function.
        let (out, written) = unsafe { (slice_mut(out, capacity)?, Out::new(written)?) };
        // SAFETY: the caller's promise to this function.
        written.set(unsafe { handle::with(client, |c| Ok(c.engine.export(out)?)) }?);
        Ok(())
    })
}

/// Lends threads to a session, whose calls then use them for the phases that have not begun yet:
/// from set-up on, if this comes before the first poll. `executor` MUST stay where it is,
/// untouched, until minionn_client_wipe(). NULL takes the threads back.
///
/// \retval MINIONN_ERROR_NULL there is no function in it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_client_share(
    client: *mut minionn_client,
    executor: *const minionn_executor,
) -> minionn_status {
    // SAFETY: the caller's promise to this function.
    unsafe { executor::use_workers(client, executor) }
}

/// Hands over bytes from the peer, split anywhere. `taken` may be less than `len`: the inbox may be
/// full until the next poll.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_client_feed(
    client: *mut minionn_client,
    bytes: *const u8,
    len: usize,
    taken: *mut usize,
) -> minionn_status {
    // SAFETY: the caller's promise to this function.
    unsafe { session::feed(client, bytes, len, taken) }
}

/// Says that no more bytes will come from the peer. Without this, a session whose link is gone
/// stays busy.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_client_end_of_input(
    client: *mut minionn_client,
) -> minionn_status {
    // SAFETY: the caller's promise to this function.
    unsafe { session::end_of_input(client) }
}

/// Takes bytes for the peer. `written` is zero when there are none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_client_drain(
    client: *mut minionn_client,
    out: *mut u8,
    capacity: usize,
    written: *mut usize,
) -> minionn_status {
    // SAFETY: the caller's promise to this function.
    unsafe { session::drain(client, out, capacity, written) }
}

/// Bytes that wait to be drained; 0 if this is no session.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_client_pending(client: *const minionn_client) -> usize {
    // SAFETY: the caller's promise to this function.
    unsafe { session::number(client, Engine::pending) }
}

/// Bytes that can be fed now; 0 if this is no session.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_client_want(client: *const minionn_client) -> usize {
    // SAFETY: the caller's promise to this function.
    unsafe { session::number(client, Engine::want) }
}

/// Works as far as the bytes fed and the room for bytes to drain allow; never waits.
///
/// Any error has ended the session and comes again on every call. Bytes that tell the peer may be
/// left to drain.
///
/// \retval MINIONN_ERROR_PEER_ABORTED see minionn_client_peer_status().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_client_poll(
    client: *mut minionn_client,
    state: *mut minionn_state,
) -> minionn_status {
    // SAFETY: the caller's promise to this function.
    unsafe { session::poll(client, state) }
}

/// Why the peer ended the session; MINIONN_OK if it did not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_client_peer_status(
    client: *const minionn_client,
) -> minionn_status {
    // SAFETY: the caller's promise to this function.
    unsafe { session::peer_status(client) }
}

/// What went over the wire up to the end of the last phase: set-up, stock or prediction.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_client_traffic(
    client: *const minionn_client,
    traffic: *mut minionn_traffic,
) -> minionn_status {
    // SAFETY: the caller's promise to this function.
    unsafe { session::traffic(client, traffic) }
}

/// Drops the session and overwrites its memory; the caller may then free it. NULL is ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_client_wipe(client: *mut minionn_client) {
    // SAFETY: the caller's promise to this function.
    guard(|| unsafe { handle::wipe(client) });
}

/// Gives a command to an idle engine.
///
/// # Safety
/// As [`handle::with`].
unsafe fn command(
    client: *mut minionn_client,
    give: impl FnOnce(&mut ClientEngine<'static>) -> minionn_core::Result<()>,
) -> minionn_status {
    // SAFETY: the caller's promise.
    guard(|| unsafe { handle::with(client, |c| Ok(give(&mut c.engine)?)) })
}

/// Starts the offline phase for one stock; what was left of the stock before is discarded. Poll
/// until idle.
///
/// \retval MINIONN_ERROR_STATE not idle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_client_prepare(client: *mut minionn_client) -> minionn_status {
    // SAFETY: the caller's promise to this function.
    unsafe { command(client, ClientEngine::prepare) }
}

/// Starts a prediction on real inputs, quantised as the plan says; values beyond its range are
/// clamped. Poll until idle.
///
/// \retval MINIONN_ERROR_STATE not idle.
/// \retval MINIONN_ERROR_LENGTH `n` is not the plan's input length.
/// \retval MINIONN_ERROR_INPUT a value is not finite.
/// \retval MINIONN_ERROR_EXHAUSTED prepare first.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_client_predict(
    client: *mut minionn_client,
    x: *const f32,
    n: usize,
) -> minionn_status {
    // SAFETY: the caller's promise to this function.
    guard(|| unsafe { with_input(client, slice(x, n)?, ClientEngine::predict) })
}

/// As minionn_client_predict(), on quantised inputs.
///
/// \retval MINIONN_ERROR_INPUT a value is outside the plan's range; told by
/// minionn_client_answer().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_client_predict_quantised(
    client: *mut minionn_client,
    x: *const i64,
    n: usize,
) -> minionn_status {
    // SAFETY: the caller's promise to this function.
    guard(|| unsafe { with_input(client, slice(x, n)?, ClientEngine::predict_quantised) })
}

/// # Safety
/// As [`handle::with`].
unsafe fn with_input<T>(
    client: *mut minionn_client,
    x: &[T],
    give: impl FnOnce(&mut ClientEngine<'static>, &[T]) -> minionn_core::Result<()>,
) -> Result<()> {
    // SAFETY: the caller's promise.
    unsafe { handle::with(client, |c| Ok(give(&mut c.engine, x)?)) }
}

/// The answer of the last prediction, once the session is idle again: the opened integers, and the
/// index of the largest one.
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
    client: *mut minionn_client,
    logits: *mut i64,
    capacity: usize,
    written: *mut usize,
    argmax: *mut usize,
) -> minionn_status {
    // SAFETY: the caller's promise to this function.
    guard(|| unsafe {
        answer(client, slice_mut(logits, capacity)?, written, argmax, ClientEngine::answer)
    })
}

/// As minionn_client_answer(), in real units: each integer times the plan's output scale.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_client_answer_real(
    client: *mut minionn_client,
    logits: *mut f64,
    capacity: usize,
    written: *mut usize,
    argmax: *mut usize,
) -> minionn_status {
    // SAFETY: the caller's promise to this function.
    guard(|| unsafe {
        answer(client, slice_mut(logits, capacity)?, written, argmax, ClientEngine::answer_real)
    })
}

/// # Safety
/// As [`handle::with`] and [`Out::new`].
unsafe fn answer<T>(
    client: *mut minionn_client,
    logits: &mut [T],
    written: *mut usize,
    argmax: *mut usize,
    get: impl FnOnce(&mut ClientEngine<'static>, &mut [T]) -> minionn_core::Result<usize>,
) -> Result<()> {
    // SAFETY: the caller's promise.
    let (written, argmax) = unsafe { (Out::new(written)?, Out::new(argmax)?) };
    let call = |c: &mut Client| {
        let need = c.engine.answer_len();
        let out = logits.get_mut(..need).ok_or(Status::MINIONN_ERROR_LENGTH)?;
        Ok((need, get(&mut c.engine, out)?))
    };
    // SAFETY: the caller's promise.
    let (need, best) = unsafe { handle::with(client, call) }?;
    written.set(need);
    argmax.set(best);
    Ok(())
}

/// Predictions left in the stock; 0 if this is no session.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_client_left(client: *const minionn_client) -> u32 {
    // SAFETY: the caller's promise to this function.
    unsafe { session::number(client, ClientEngine::remaining) }
}

/// Ends the session in order: poll and drain until closed.
///
/// \retval MINIONN_ERROR_STATE not idle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_client_close(client: *mut minionn_client) -> minionn_status {
    // SAFETY: the caller's promise to this function.
    unsafe { command(client, ClientEngine::close) }
}
