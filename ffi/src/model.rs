//! A server's weights, made ready once.

use crate::handle::{self, Opaque};
use crate::pointer::{Out, slice};
use crate::status::{Result, Status, guard, minionn_status};
use minionn_core::model::{HEADER, Model};
use minionn_core::session::{Prepared, prepared_memory};

/// A server's weights, transformed for one stock. Sessions share it, on any thread; none of them
/// changes it.
pub struct minionn_model {
    _opaque: [u8; 0],
}

/// What stands behind a [`minionn_model`].
pub(crate) struct Ready {
    plan: &'static [u8],
    pub(crate) prepared: Prepared<'static>,
}

impl Opaque for minionn_model {
    type Value = Ready;
    const MAGIC: u64 = u64::from_le_bytes(*b"minionnM");
}

/// # Safety
/// As [`slice`].
unsafe fn parse<'a>(model: *const u8, len: usize) -> Result<(&'a [u8], Model<'a>)> {
    // SAFETY: the caller's promise.
    let bytes = unsafe { slice(model, len) }?;
    Ok((bytes, Model::parse(bytes)?))
}

/// Bytes of memory that a model needs for sessions with this stock.
///
/// \retval MINIONN_ERROR_MODEL, MINIONN_ERROR_PLAN damaged, or of another version.
/// \retval MINIONN_ERROR_OPTION `stock` is outside its range.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_model_memory(
    file: *const u8,
    file_len: usize,
    stock: u32,
    bytes: *mut usize,
) -> minionn_status {
    guard(|| {
        // SAFETY: the caller's promise to this function.
        let ((_, model), out) = unsafe { (parse(file, file_len)?, Out::new(bytes)?) };
        out.set(handle::bytes::<minionn_model>(prepared_memory(model.plan(), stock)?)?);
        Ok(())
    })
}

/// Makes a model ready in `memory`, which has the bytes that minionn_model_memory() told, or more,
/// aligned to MINIONN_ALIGN.
///
/// `memory` and `file` MUST stay where they are, untouched, until minionn_model_wipe(); that MUST
/// NOT come before the last session on this model has been wiped.
///
/// \retval MINIONN_ERROR_MEMORY, MINIONN_ERROR_ALIGNMENT `memory` is not what
/// minionn_model_memory() told.
/// \retval MINIONN_ERROR_MODEL, MINIONN_ERROR_PLAN damaged, or of another version.
/// \retval MINIONN_ERROR_OPTION `stock` is outside its range.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_model_init(
    memory: *mut u8,
    capacity: usize,
    file: *const u8,
    file_len: usize,
    stock: u32,
    model: *mut *mut minionn_model,
) -> minionn_status {
    guard(|| {
        // SAFETY: the caller's promise to this function: the bytes live as long as the handle.
        let ((bytes, parsed), out) = unsafe { (parse(file, file_len)?, Out::new(model)?) };
        let plan = bytes
            .get(HEADER..HEADER + parsed.plan().len_bytes())
            .ok_or(Status::MINIONN_ERROR_INTERNAL)?;
        let region = prepared_memory(parsed.plan(), stock)?;
        let make = |region| Ok(Ready { plan, prepared: Prepared::new(parsed, stock, region)? });
        // SAFETY: the caller's promise to this function.
        out.set(unsafe { handle::init(memory, capacity, region, make) }?);
        Ok(())
    })
}

/// The model's plan, inside the model's file.
///
/// \retval MINIONN_ERROR_HANDLE not a model.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_model_plan(
    model: *const minionn_model,
    plan: *mut *const u8,
    plan_len: *mut usize,
) -> minionn_status {
    guard(|| {
        // SAFETY: the caller's promise to this function.
        let (ready, plan, plan_len) =
            unsafe { (handle::shared(model)?, Out::new(plan)?, Out::new(plan_len)?) };
        plan.set(ready.plan.as_ptr());
        plan_len.set(ready.plan.len());
        Ok(())
    })
}

/// Ends the use of the model's memory and overwrites it; the caller may then free it. No session
/// MUST be left on it. NULL is ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_model_wipe(model: *mut minionn_model) {
    // SAFETY: the caller's promise to this function.
    guard(|| unsafe { handle::wipe(model) });
}
