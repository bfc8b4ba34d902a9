//! Seconds and bytes of a phase.

use serde::Serialize;
use std::time::Instant;

/// What a phase took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Cost {
    /// Wall-clock seconds, both parties one after the other.
    pub seconds: f64,
    /// Bytes from client to server.
    pub bytes_up: u64,
    /// Bytes from server to client.
    pub bytes_down: u64,
}

impl Cost {
    /// Adds the time since `began`.
    pub fn stop(&mut self, began: Instant) {
        self.seconds += began.elapsed().as_secs_f64();
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            seconds: self.seconds + other.seconds,
            bytes_up: self.bytes_up + other.bytes_up,
            bytes_down: self.bytes_down + other.bytes_down,
        }
    }

    /// Bytes both ways.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes_up + self.bytes_down
    }
}
