//! The plan: what both parties know. It comes from a file, or from the server over the same
//! connection.

use crate::handle;
use crate::model::minionn_model;
use crate::options::{minionn_options, read};
use crate::pointer::{Out, slice, slice_mut};
use crate::session::minionn_session;
use crate::status::{Result, Status, guard, minionn_status};
use core::ffi::c_char;
use minionn_core::cost;
use minionn_core::handshake;
use minionn_core::plan::{DIGEST, Plan};
use minionn_core::session::engine::{ClientEngine, ServerEngine};
use minionn_core::session::prepared_memory;

/// What a plan says about its network.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct minionn_info {
    /// Elements of the input tensor.
    pub input_length: u32,
    /// Elements of the output tensor; for argmax: the number of classes.
    pub output_length: u32,
    /// Elements that an answer has: output_length, or 0 for argmax.
    pub answer_length: u32,
    /// Operations.
    pub operations: u32,
    /// Whether the client learns the index of the largest output only.
    pub argmax: bool,
    /// Real value of one step of the input; 0 if its parts have steps of their own:
    /// minionn_plan_input_step().
    pub input_scale: f32,
    /// Smallest quantised input.
    pub input_min: i32,
    /// Largest quantised input.
    pub input_max: i32,
    /// Real value of one step of the output.
    pub output_scale: f32,
    /// SHA-256 of the plan: what the handshake compares.
    pub digest: [u8; 32],
    /// Name, UTF-8, ends with a zero.
    pub name: [c_char; 33],
}

/// Bytes and rounds of a phase, as the client sees them.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct minionn_phase {
    /// Bytes from client to server.
    pub up: u64,
    /// Bytes from server to client.
    pub down: u64,
    /// How often the client waits for the server.
    pub rounds: u32,
}

/// What predictions cost, known before anything runs. Measured bytes and rounds equal these.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct minionn_cost {
    /// Once per connection, if the client has no plan yet.
    pub fetch_plan: minionn_phase,
    /// Once per connection.
    pub setup: minionn_phase,
    /// Instead of that, for a connection that goes on with a pairing.
    pub resume: minionn_phase,
    /// Exporting a pairing.
    pub keep: minionn_phase,
    /// Once per stock.
    pub offline: minionn_phase,
    /// Once per prediction.
    pub online: minionn_phase,
    /// Bytes of memory of a client, store included.
    pub client_memory: usize,
    /// Bytes of memory of one session of a server.
    pub server_memory: usize,
    /// Bytes of memory of a server's model, once for all sessions with this stock.
    pub model_memory: usize,
    /// Bytes of the client's table store.
    pub store_bytes: u64,
}

impl From<cost::Phase> for minionn_phase {
    fn from(phase: cost::Phase) -> Self {
        Self { up: phase.up, down: phase.down, rounds: phase.rounds }
    }
}

/// The plan in these bytes.
///
/// # Safety
/// As [`slice`].
pub(crate) unsafe fn parse<'a>(plan: *const u8, len: usize) -> Result<Plan<'a>> {
    // SAFETY: the caller's promise.
    Ok(Plan::parse(unsafe { slice(plan, len) }?)?)
}

fn info(plan: &Plan<'_>) -> minionn_info {
    let header = plan.header();
    let mut name = [0; 33];
    for (to, &from) in name.iter_mut().zip(&header.name) {
        *to = from as c_char;
    }
    let digest: &[u8; DIGEST] = plan.digest();
    minionn_info {
        input_length: header.input_len,
        output_length: header.output_len,
        answer_length: if plan.is_argmax() { 0 } else { header.output_len },
        operations: plan.ops().count() as u32,
        argmax: plan.is_argmax(),
        input_scale: if plan.features().is_empty() { header.input.scale } else { 0.0 },
        input_min: header.input.min,
        input_max: header.input.max,
        output_scale: header.output_scale,
        digest: *digest,
        name,
    }
}

/// Checks a plan and says what is in it.
///
/// \retval MINIONN_ERROR_PLAN damaged, or of another version.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_plan_info(
    plan: *const u8,
    plan_len: usize,
    info: *mut minionn_info,
) -> minionn_status {
    guard(|| {
        // SAFETY: the caller's promise to this function.
        let (plan, out) = unsafe { (parse(plan, plan_len)?, Out::new(info)?) };
        out.set(self::info(&plan));
        Ok(())
    })
}

/// How the input at place `i` becomes an integer: `rint((x - offset) / step)`, within input_min and
/// input_max. minionn_client_predict() and its kin do that.
///
/// \retval MINIONN_ERROR_PLAN damaged, or of another version.
/// \retval MINIONN_ERROR_LENGTH the input has no place `i`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_plan_input_step(
    plan: *const u8,
    plan_len: usize,
    i: usize,
    step: *mut f32,
    offset: *mut f32,
) -> minionn_status {
    guard(|| {
        // SAFETY: the caller's promise to this function.
        let (plan, step, offset) =
            unsafe { (parse(plan, plan_len)?, Out::new(step)?, Out::new(offset)?) };
        let (a, b) = plan.input_step(i).ok_or(Status::MINIONN_ERROR_LENGTH)?;
        step.set(a);
        offset.set(b);
        Ok(())
    })
}

/// What predictions with these options cost.
///
/// \retval MINIONN_ERROR_PLAN damaged, or of another version.
/// \retval MINIONN_ERROR_OPTION an option is outside its range.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_plan_cost(
    plan: *const u8,
    plan_len: usize,
    options: *const minionn_options,
    cost: *mut minionn_cost,
) -> minionn_status {
    guard(|| {
        // SAFETY: the caller's promise to this function.
        let (plan, options, out) =
            unsafe { (parse(plan, plan_len)?, read(options)?, Out::new(cost)?) };
        let (options, buffers) = options.parse()?;
        out.set(minionn_cost {
            fetch_plan: cost::fetch_plan(&plan).into(),
            setup: cost::setup().into(),
            resume: cost::resume().into(),
            keep: cost::keep().into(),
            offline: cost::offline(&plan, &options)?.into(),
            online: cost::online(&plan, &options).into(),
            client_memory: handle::bytes::<minionn_session>(ClientEngine::memory(
                &plan, &options, buffers,
            )?)?,
            server_memory: handle::bytes::<minionn_session>(ServerEngine::memory(
                &plan, &options, buffers,
            )?)?,
            model_memory: handle::bytes::<minionn_model>(prepared_memory(&plan, options.stock)?)?,
            store_bytes: cost::store_bytes(&plan, &options),
        });
        Ok(())
    })
}

/// Copies a short frame.
///
/// # Safety
/// As [`slice_mut`] and [`Out::new`].
pub(crate) unsafe fn emit(
    frame: &[u8],
    out: *mut u8,
    capacity: usize,
    written: *mut usize,
) -> Result<()> {
    // SAFETY: the caller's promise.
    let (out, written) = unsafe { (slice_mut(out, capacity)?, Out::new(written)?) };
    out.get_mut(..frame.len()).ok_or(Status::MINIONN_ERROR_MEMORY)?.copy_from_slice(frame);
    written.set(frame.len());
    Ok(())
}

/// Client: writes what asks the server for its plan, MINIONN_PLAN_REQUEST_BYTES. It goes first on a
/// connection; the session follows on the same one. minionn_plan_fetch() does all of it.
///
/// \retval MINIONN_ERROR_MEMORY `capacity` is too small.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_plan_request(
    out: *mut u8,
    capacity: usize,
    written: *mut usize,
) -> minionn_status {
    // SAFETY: the caller's promise to this function.
    guard(|| unsafe { emit(&handshake::plan_request(), out, capacity, written) })
}

/// Client: finds the plan in the bytes that came back. `plan` then points into `bytes`, so it MUST
/// be copied before those go away; `frame_len` bytes are used up, the rest belongs to the session.
///
/// \retval MINIONN_NEED_MORE call again with more bytes, MINIONN_PLAN_REPLY_MAX at most.
/// \retval MINIONN_ERROR_PEER_ABORTED the server refused.
/// \retval MINIONN_ERROR_PLAN the plan is of another version.
/// \retval MINIONN_ERROR_CHECKSUM, MINIONN_ERROR_UNEXPECTED, MINIONN_ERROR_FRAME_LENGTH what came
/// is no plan.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_plan_peek(
    bytes: *const u8,
    len: usize,
    plan: *mut *const u8,
    plan_len: *mut usize,
    frame_len: *mut usize,
) -> minionn_status {
    guard(|| {
        // SAFETY: the caller's promise to this function.
        let (bytes, plan, plan_len, frame_len) = unsafe {
            (slice(bytes, len)?, Out::new(plan)?, Out::new(plan_len)?, Out::new(frame_len)?)
        };
        let (found, used) = handshake::peek_plan(bytes)?.ok_or(Status::MINIONN_NEED_MORE)?;
        plan.set(found.as_ptr());
        plan_len.set(found.len());
        frame_len.set(used);
        Ok(())
    })
}

/// Server: writes the answer to a plan request, MINIONN_PLAN_REPLY_MAX bytes at most. For a server
/// that has no session yet, because it makes one when it knows the client's options; a session
/// answers plan requests itself.
///
/// \retval MINIONN_ERROR_MEMORY `capacity` is too small.
/// \retval MINIONN_ERROR_PLAN damaged, or of another version.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_plan_reply(
    plan: *const u8,
    plan_len: usize,
    out: *mut u8,
    capacity: usize,
    written: *mut usize,
) -> minionn_status {
    guard(|| {
        // SAFETY: the caller's promise to this function.
        let (plan, out, written) =
            unsafe { (parse(plan, plan_len)?, slice_mut(out, capacity)?, Out::new(written)?) };
        written.set(handshake::plan_reply(&plan, out)?);
        Ok(())
    })
}
