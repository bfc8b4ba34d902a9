//! Threads that a C program lends.

use crate::handle::{self, Opaque};
use crate::pointer::checked;
use crate::session::{Engine, Session};
use crate::status::{Result, Status, guard, minionn_status};
use core::ffi::c_void;
use minionn_core::workers::{Executor, Workers};

/// Work to be called with its argument.
pub type minionn_job = Option<unsafe extern "C" fn(argument: *mut c_void)>;

/// Threads to lend to sessions, see minionn_client_share(). Results and bytes on the wire do not
/// depend on them. Any number of sessions may use_workers one, each on its own thread.
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
            // SAFETY: the caller's promise to minionn_client_share(). The argument outlives the
            // call, and so all calls of the job.
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

/// Lends threads to a session, or with NULL takes them back.
///
/// # Safety
/// `session` is NULL or a handle that nobody else uses meanwhile; `executor` is NULL or stays as it
/// is until the session is wiped.
pub(crate) unsafe fn use_workers<T, E: Engine>(
    session: *mut T,
    executor: *const minionn_executor,
) -> minionn_status
where
    T: Opaque<Value = Session<E>>,
{
    let workers = || -> Result<Workers<'static>> {
        if executor.is_null() {
            return Ok(Workers::OWN);
        }
        // SAFETY: neither NULL nor crooked, and the caller's promise.
        let executor: &'static minionn_executor = unsafe { &*checked(executor)? };
        executor.run.ok_or(Status::MINIONN_ERROR_NULL)?;
        Ok(Workers::lent(executor))
    };
    guard(|| {
        let workers = workers()?;
        let use_workers = |session: &mut Session<E>| {
            session.engine.use_workers(workers);
            Ok(())
        };
        // SAFETY: the caller's promise.
        unsafe { handle::with(session, use_workers) }
    })
}
