//! Work that several threads share. This crate has no threads of its own: who has some lends them
//! to a session.
//!
//! Core's hot loops are lists of independent items. Every thread takes the next item until none is
//! left, so results do not depend on how many there are, nor on what an [`Executor`] does. Nothing
//! that is shared waits for a peer: messages are sent and received by the session's own thread
//! only.

use crate::error::Result;
use core::marker::PhantomData;

/// Threads to lend: a pool, or a callback of a C program.
pub trait Executor: Sync {
    /// Calls `job` on as many threads as there are, the own one included, and returns when all
    /// calls have returned. `job` ends at once when there is nothing left to do. Never calling
    /// it is allowed, too: the session then does everything itself.
    fn run(&self, job: &(dyn Fn() + Sync));
}

/// The threads that a session may use: its own, and those of an [`Executor`]. On machines with
/// pointers of 32 bits its own only.
#[derive(Clone, Copy, Default)]
pub struct Workers<'e> {
    #[cfg(target_pointer_width = "64")]
    lent: Option<&'e dyn Executor>,
    life: PhantomData<&'e ()>,
}

impl core::fmt::Debug for Workers<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Workers").field("lent", &self.are_lent()).finish()
    }
}

impl<'e> Workers<'e> {
    /// The session's own thread.
    pub const OWN: Self = Self {
        #[cfg(target_pointer_width = "64")]
        lent: None,
        life: PhantomData,
    };

    /// Those of an executor, too.
    #[must_use]
    #[cfg_attr(
        not(target_pointer_width = "64"),
        expect(unused_variables, reason = "there are no threads on such machines")
    )]
    pub const fn lent(executor: &'e dyn Executor) -> Self {
        Self {
            #[cfg(target_pointer_width = "64")]
            lent: Some(executor),
            life: PhantomData,
        }
    }

    /// Whether there are more threads than the session's own.
    #[must_use]
    pub(crate) const fn are_lent(self) -> bool {
        #[cfg(target_pointer_width = "64")]
        let lent = self.lent.is_some();
        #[cfg(not(target_pointer_width = "64"))]
        let lent = false;
        lent
    }

    /// Calls `work` for every item, in any order, with what `own` makes once for each thread. Items
    /// that are left after an error may be left undone.
    ///
    /// # Errors
    /// One of those of `work`.
    pub(crate) fn for_each<I, O>(
        self,
        items: I,
        own: impl Fn() -> O + Sync,
        work: impl Fn(&mut O, I::Item) -> Result<()> + Sync,
    ) -> Result<()>
    where
        I: Iterator + Send,
    {
        #[cfg(target_pointer_width = "64")]
        if let Some(executor) = self.lent
            && !matches!(items.size_hint().1, Some(0 | 1))
        {
            let (items, failed) = (spin::Mutex::new(items), spin::Mutex::new(Ok(())));
            let job = || {
                // The lock is held for taking an item only.
                let next = || items.lock().next();
                let Some(mut item) = next() else { return };
                let mut own = own();
                loop {
                    if let Err(error) = work(&mut own, item) {
                        *failed.lock() = Err(error);
                        return;
                    }
                    item = match next() {
                        Some(item) => item,
                        None => return,
                    };
                }
            };
            executor.run(&job);
            job();
            return failed.into_inner();
        }
        let (mut items, mut own) = (items, own());
        items.try_for_each(|item| work(&mut own, item))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;
    use core::sync::atomic::{AtomicUsize, Ordering};
    use std::vec::Vec;

    /// A number of threads.
    struct Threads(usize);

    impl Executor for Threads {
        fn run(&self, job: &(dyn Fn() + Sync)) {
            std::thread::scope(|scope| (0..self.0).for_each(|_| drop(scope.spawn(job))));
        }
    }

    fn squares(workers: Workers<'_>) -> Vec<u64> {
        let mut squares: Vec<u64> = (0..1000).collect();
        let square = |(): &mut (), chunk: &mut [u64]| {
            chunk.iter_mut().for_each(|x| *x *= *x);
            Ok(())
        };
        workers.for_each(squares.chunks_mut(7), || (), square).unwrap();
        squares
    }

    #[test]
    fn every_item_is_done_once_on_any_number_of_threads() {
        let alone = squares(Workers::OWN);
        for threads in [0, 1, 2, 5] {
            assert_eq!(squares(Workers::lent(&Threads(threads))), alone);
        }
    }

    #[test]
    fn an_error_is_told() {
        let done = AtomicUsize::new(0);
        let work = |(): &mut (), i: usize| {
            done.fetch_add(1, Ordering::Relaxed);
            if i == 3 { Err(Error::Malformed) } else { Ok(()) }
        };
        for workers in [Workers::OWN, Workers::lent(&Threads(2))] {
            assert_eq!(workers.for_each(0..100, || (), work), Err(Error::Malformed));
        }
        assert!(done.load(Ordering::Relaxed) >= 8);
        assert_eq!(Workers::lent(&Threads(2)).for_each(0..0, || (), work), Ok(()));
    }
}
