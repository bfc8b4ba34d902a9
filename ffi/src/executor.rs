//! Threads that a C program lends.

use crate::handle;
use crate::pointer::checked;
use crate::session::minionn_session;
use crate::status::{Result, Status, guard, minionn_status};
use core::ffi::c_void;
use minionn_core::workers::{Executor, Workers};

/// Work to be called with its argument.
pub type minionn_job = Option<unsafe extern "C" fn(argument: *mut c_void)>;

/// Threads to lend to sessions, see minionn_session_use_workers(). Results and bytes on the wire do
/// not depend on them. Any number of sessions may use one, each on its own thread.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct minionn_executor {
    /// Calls job(argument) on as many threads as it likes, its own included, at the same time or
    /// not, and returns when all calls have returned. A call returns at once when there is
    /// nothing left to do. MUST NOT call this library otherwise, and MUST NOT throw.
    pub run:
        Option<unsafe extern "C" fn(user: *mut c_void, job: minionn_job, argument: *mut c_void)>,
    /// Handed to `run`.
    pub user: *mut c_void,
}

// SAFETY: `run` may be called by every thread that has a session, as its documentation says.
unsafe impl Sync for minionn_executor {}

impl Executor for minionn_executor {
    fn run(&self, job: &(dyn Fn() + Sync)) {
        let mut job = job;
        if let Some(run) = self.run {
            // SAFETY: the caller's promise to minionn_session_use_workers(). The argument outlives
            // the call, and so all calls of the job.
            unsafe { run(self.user, Some(call), (&raw mut job).cast()) };
        }
    }
}

/// # Safety
/// `argument` points at a job, which lives as long as this call.
unsafe extern "C" fn call(argument: *mut c_void) {
    // SAFETY: the caller's promise; nobody writes it.
    let job = unsafe { argument.cast::<&(dyn Fn() + Sync)>().read() };
    job();
}

/// The threads behind a pointer.
///
/// # Safety
/// `executor` is NULL or stays as it is for as long as the result is used.
unsafe fn workers(executor: *const minionn_executor) -> Result<Workers<'static>> {
    if executor.is_null() {
        return Ok(Workers::OWN);
    }
    // SAFETY: neither NULL nor crooked, and the caller's promise.
    let executor: &'static minionn_executor = unsafe { &*checked(executor)? };
    executor.run.ok_or(Status::MINIONN_ERROR_NULL)?;
    Ok(Workers::lent(executor))
}

/// Lends threads to a session, whose calls then use them for the phases that have not begun yet:
/// from set-up on, if this comes before the first poll. `executor` MUST stay where it is,
/// untouched, until minionn_session_wipe(). NULL takes the threads back.
///
/// \retval MINIONN_ERROR_NULL there is no function in it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minionn_session_use_workers(
    session: *mut minionn_session,
    executor: *const minionn_executor,
) -> minionn_status {
    guard(|| {
        // SAFETY: the caller's promise to this function.
        unsafe {
            let workers = workers(executor)?;
            handle::with(session, |session| {
                session.use_workers(workers);
                Ok(())
            })
        }
    })
}
