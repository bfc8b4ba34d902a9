//! What a server allows, and what it keeps.

use super::SessionReport;
use crate::error::{Error, Result};
use crate::pairing::Pairings;
use crate::threads::Threads;
use core::fmt;
use core::time::Duration;
use minionn_core::session::MAX_STOCK;
use std::sync::Arc;

/// Told about every session that has ended.
pub(crate) type Observer = Arc<dyn Fn(SessionReport) + Send + Sync>;

/// What a server allows, and what it keeps. The defaults: stocks up to 256, 2^20 predictions
/// prepared in a session, 256 clients at a time, pairings in memory, no threads beside one for each
/// session.
#[derive(Clone)]
pub struct ServerOptions {
    pub(crate) max_stock: u32,
    pub(crate) max_prepared: u64,
    pub(crate) max_sessions: usize,
    pub(crate) pairings: Arc<Pairings>,
    pub(crate) threads: Threads,
    pub(crate) idle_timeout: Duration,
    pub(crate) grace: Duration,
    pub(crate) observer: Observer,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            max_stock: Self::MAX_STOCK,
            max_prepared: Self::MAX_PREPARED,
            max_sessions: Self::MAX_SESSIONS,
            pairings: Arc::new(Pairings::in_memory(Pairings::DEFAULT)),
            threads: Threads::default(),
            idle_timeout: Duration::from_secs(600),
            grace: Duration::from_secs(10),
            observer: Arc::new(|_| ()),
        }
    }
}

impl ServerOptions {
    /// Largest stock of a client unless said otherwise.
    pub const MAX_STOCK: u32 = 256;
    /// Predictions that a client may prepare in one session unless said otherwise.
    pub const MAX_PREPARED: u64 = 1 << 20;
    /// Clients at a time unless said otherwise.
    pub const MAX_SESSIONS: usize = 256;

    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Largest stock of a client, which decides how much memory its session takes.
    #[must_use]
    pub fn max_stock(self, max_stock: u32) -> Self {
        Self { max_stock, ..self }
    }

    /// Predictions that a client may prepare in one session, whether it makes them or not: what it
    /// may learn from. One that asks for more is refused, and has to start another session.
    #[must_use]
    pub fn max_prepared(self, max_prepared: u64) -> Self {
        Self { max_prepared, ..self }
    }

    /// Clients at a time; more are turned away.
    #[must_use]
    pub fn max_sessions(self, max_sessions: usize) -> Self {
        Self { max_sessions, ..self }
    }

    /// Where pairings of clients are kept.
    #[must_use]
    pub fn pairings(self, pairings: Pairings) -> Self {
        Self { pairings: Arc::new(pairings), ..self }
    }

    /// Threads that all sessions share, beside one of each session's own.
    #[must_use]
    pub fn threads(self, threads: Threads) -> Self {
        Self { threads, ..self }
    }

    /// How long a silent client is waited for: 600 seconds unless said otherwise. Blocking streams
    /// other than sockets have to bring a limit of their own.
    #[must_use]
    pub fn idle_timeout(self, idle_timeout: Duration) -> Self {
        Self { idle_timeout, ..self }
    }

    /// How long a server that is stopped waits for requests that are under way: 10 seconds unless
    /// said otherwise.
    #[must_use]
    pub fn grace(self, grace: Duration) -> Self {
        Self { grace, ..self }
    }

    /// Is told about every session that has ended, on that session's thread.
    #[must_use]
    pub fn on_session(self, observer: impl Fn(SessionReport) + Send + Sync + 'static) -> Self {
        Self { observer: Arc::new(observer), ..self }
    }

    /// Refuses options before anybody is served.
    pub(crate) fn check(&self) -> Result<()> {
        if !(1..=MAX_STOCK).contains(&self.max_stock) {
            return Err(Error::Options(format!("the largest stock is 1 to {MAX_STOCK}")));
        }
        if self.max_prepared < u64::from(self.max_stock) {
            let what = "a session may prepare fewer predictions than one stock has";
            return Err(Error::Options(what.into()));
        }
        if self.max_sessions == 0 || self.idle_timeout.is_zero() {
            let what = "a server without sessions, or without time for them, serves nobody";
            return Err(Error::Options(what.into()));
        }
        Ok(())
    }
}

impl fmt::Debug for ServerOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerOptions")
            .field("max_stock", &self.max_stock)
            .field("max_prepared", &self.max_prepared)
            .field("max_sessions", &self.max_sessions)
            .field("pairings", &self.pairings)
            .field("threads", &self.threads)
            .field("idle_timeout", &self.idle_timeout)
            .field("grace", &self.grace)
            .finish_non_exhaustive()
    }
}
