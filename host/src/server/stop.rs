//! Stopping a server: no further clients, an end to sessions.

use super::service::Activity;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Stops a server from another thread, a task, or a signal handler's thread. Cheap to clone.
#[derive(Clone)]
pub struct StopHandle(Arc<Stop>);

impl StopHandle {
    pub(crate) fn new(stop: Arc<Stop>) -> Self {
        Self(stop)
    }

    /// No more clients are accepted. Sessions that wait for their client end at once; a request
    /// that is under way has the server's grace to come to its end. Returns at once; the server's
    /// `serve` returns when all sessions have ended.
    pub fn stop(&self) {
        self.0.stop();
    }
}

impl core::fmt::Debug for StopHandle {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("StopHandle").field("stopping", &self.0.is_stopping()).finish()
    }
}

type Action = Arc<dyn Fn() + Send + Sync>;

/// Whether a server is to stop, who is to be told, and which sessions are open.
#[derive(Default)]
pub(crate) struct Stop {
    stopping: Arc<AtomicBool>,
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Default)]
struct Inner {
    next: u64,
    /// Told when the server is to stop.
    told: HashMap<u64, Action>,
    sessions: HashMap<u64, Open>,
}

impl Inner {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

/// A session that is open.
struct Open {
    busy: Arc<AtomicBool>,
    /// Cuts its connection.
    cut: Action,
}

/// Takes what was registered out of the list when it is dropped.
pub(crate) struct Entry {
    stop: Arc<Stop>,
    number: u64,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut inner = self.stop.lock();
        inner.told.remove(&self.number);
        inner.sessions.remove(&self.number);
        self.stop.changed.notify_all();
    }
}

impl Stop {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        let told: Vec<Action> = self.lock().told.values().cloned().collect();
        told.iter().for_each(|tell| tell());
    }

    /// What a session outside of the list looks at.
    pub(crate) fn activity(&self) -> Activity {
        Activity { busy: Arc::default(), stopping: self.stopping.clone() }
    }

    /// Has `tell` called when the server is to stop, as long as the entry lives; now, if it is
    /// stopping already.
    pub(crate) fn on_stop(self: &Arc<Self>, tell: Action) -> Entry {
        let mut inner = self.lock();
        let number = inner.number();
        inner.told.insert(number, tell.clone());
        drop(inner);
        if self.is_stopping() {
            tell();
        }
        Entry { stop: self.clone(), number }
    }

    /// Registers a session, as long as the entry lives; `None` if there are `most` already.
    pub(crate) fn open(self: &Arc<Self>, most: usize, cut: Action) -> Option<(Entry, Activity)> {
        let mut inner = self.lock();
        if inner.sessions.len() >= most {
            return None;
        }
        let (number, activity) = (inner.number(), self.activity());
        inner.sessions.insert(number, Open { busy: activity.busy.clone(), cut });
        Some((Entry { stop: self.clone(), number }, activity))
    }

    /// Ends all sessions: at once where no request is under way, after `grace` where one is.
    /// Returns when all have ended.
    pub(crate) fn end_sessions(&self, grace: Duration) {
        self.cut(|open| !open.busy.load(Ordering::SeqCst));
        let open = |inner: &mut Inner| !inner.sessions.is_empty();
        let waited = self.changed.wait_timeout_while(self.lock(), grace, open);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
        self.cut(|_| true);
        let ended = self.changed.wait_while(self.lock(), open);
        drop(ended.unwrap_or_else(PoisonError::into_inner));
    }

    fn cut(&self, which: impl Fn(&Open) -> bool) {
        let inner = self.lock();
        let cuts: Vec<Action> =
            inner.sessions.values().filter(|open| which(open)).map(|o| o.cut.clone()).collect();
        drop(inner);
        cuts.iter().for_each(|cut| cut());
    }
}
