//! A pool of threads to lend to sessions.

use crate::error::{Error, Result};
use core::fmt;
use minionn_core::workers::{Executor, Workers};
use std::sync::Arc;

/// Threads that any number of sessions share; cheap to clone. None of them ever waits for a peer: a
/// slow client holds nobody up.
#[derive(Clone, Default)]
pub struct Threads(Option<Arc<rayon::ThreadPool>>);

impl Threads {
    /// So many for each session, its own included; the default is its own alone.
    ///
    /// # Errors
    /// [`Error::System`] if there are none to be had.
    pub fn new(threads: usize) -> Result<Self> {
        if threads < 2 {
            return Ok(Self(None));
        }
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads - 1)
            .thread_name(|i| format!("worker {i}"))
            .build()
            .map_err(|error| Error::system("threads")(error.into()))?;
        Ok(Self(Some(Arc::new(pool))))
    }

    /// As many as there are processors.
    #[must_use]
    pub fn here() -> usize {
        std::thread::available_parallelism().map_or(1, usize::from)
    }

    /// To be lent.
    #[must_use]
    pub fn workers(&self) -> Workers<'_> {
        if self.0.is_some() { Workers::lent(self) } else { Workers::OWN }
    }
}

impl Executor for Threads {
    fn run(&self, job: &(dyn Fn() + Sync)) {
        if let Some(pool) = &self.0 {
            pool.in_place_scope(|scope| {
                (0..pool.current_num_threads()).for_each(|_| scope.spawn(|_| job()));
                job();
            });
        }
    }
}

impl fmt::Debug for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lent = self.0.as_ref().map_or(0, |pool| pool.current_num_threads());
        f.debug_struct("Threads").field("lent", &lent).finish()
    }
}
