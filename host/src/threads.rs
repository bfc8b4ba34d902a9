//! A pool of threads to lend to sessions.

use anyhow::Context as _;
use minionn_core::workers::{Executor, Workers};

/// Threads that any number of sessions share. None of them ever waits for a peer: a slow client
/// holds nobody up.
#[derive(Debug)]
pub struct Threads(Option<rayon::ThreadPool>);

impl Threads {
    /// So many for each session, its own included.
    ///
    /// # Errors
    /// If the system has none to give.
    pub fn new(threads: usize) -> anyhow::Result<Self> {
        if threads < 2 {
            return Ok(Self(None));
        }
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads - 1)
            .thread_name(|i| format!("worker {i}"));
        Ok(Self(Some(pool.build().context("starting threads")?)))
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
