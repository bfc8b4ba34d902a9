//! Ticks of the board's counter: instructions in QEMU (with `-icount shift=0`), cycles on a board.

use crate::board::{TICK, TICKS_PER_SECOND, ticks};
use core::cell::Cell;

/// Counts while it runs.
#[derive(Debug)]
pub struct Stopwatch {
    sum: Cell<u64>,
    since: Cell<u32>,
}

impl Stopwatch {
    /// Runs from now on.
    #[must_use]
    pub fn start() -> Self {
        Self { sum: Cell::new(0), since: Cell::new(ticks()) }
    }

    /// Stops until [`Self::go`].
    pub fn stop(&self) {
        self.sum.set(self.read());
    }

    /// Runs on.
    pub fn go(&self) {
        self.since.set(ticks());
    }

    /// Instructions or cycles counted so far, while it runs. It must not run without a stop for
    /// longer than the counter takes to go round (25 s at the fastest board's clock).
    pub fn read(&self) -> u64 {
        self.sum.get() + u64::from(ticks().wrapping_sub(self.since.get())) * u64::from(TICK)
    }
}

/// A time limit of `milliseconds`, at most a few seconds.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    start: u32,
    ticks: u32,
}

impl Deadline {
    /// From now on.
    #[must_use]
    pub fn after(milliseconds: u32) -> Self {
        Self { start: ticks(), ticks: milliseconds * (TICKS_PER_SECOND / 1000) }
    }

    /// Whether it has passed.
    #[must_use]
    pub fn passed(&self) -> bool {
        ticks().wrapping_sub(self.start) >= self.ticks
    }
}

/// Milliseconds since its start, without going round.
#[derive(Debug)]
pub struct Clock {
    last: u32,
    ticks: u64,
}

impl Clock {
    /// Starts at zero.
    #[must_use]
    pub fn start() -> Self {
        Self { last: ticks(), ticks: 0 }
    }

    /// The time. Ask before the counter has gone round once.
    pub fn milliseconds(&mut self) -> u64 {
        let now = ticks();
        self.ticks += u64::from(now.wrapping_sub(self.last));
        self.last = now;
        self.ticks / u64::from(TICKS_PER_SECOND / 1000)
    }
}
