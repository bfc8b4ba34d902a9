//! What one operation takes, each at its best of many short runs: other programs on the machine only ever add time.
//!
//! | module | what it measures |
//! |---|---|
//! | [`lattice`] | transforms, products, encryption, packed bits, products with weights in the clear |
//! | [`layers`] | one linear layer, both parties over loopback |

pub mod lattice;
pub mod layers;

use core::fmt;
use core::time::Duration;
use serde::Serialize;
use std::time::Instant;

/// One measured operation.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// What it is, in words.
    pub name: String,
    /// Seconds at best.
    pub seconds: f64,
    /// Seconds of the portable code, where that can be called by itself.
    pub portable: Option<f64>,
    /// Bytes that it reads or writes, where speed is better told in these.
    pub bytes: Option<u64>,
}

impl Line {
    /// An operation by itself.
    #[must_use]
    pub fn new(name: impl Into<String>, seconds: f64) -> Self {
        Self { name: name.into(), seconds, portable: None, bytes: None }
    }

    /// Beside the portable code.
    #[must_use]
    pub const fn beside(mut self, portable: f64) -> Self {
        self.portable = Some(portable);
        self
    }

    /// Of so many bytes.
    #[must_use]
    pub const fn of_bytes(mut self, bytes: u64) -> Self {
        self.bytes = Some(bytes);
        self
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:56} {:>10.2} µs", self.name, self.seconds * 1e6)?;
        if let Some(portable) = self.portable {
            write!(f, "   portable {:>9.2} µs, {:>5.1} times", portable * 1e6, portable / self.seconds)?;
        }
        if let Some(bytes) = self.bytes {
            write!(f, "   {:>6.2} GB/s", bytes as f64 / self.seconds / 1e9)?;
        }
        Ok(())
    }
}

/// How long one operation is tried.
const EACH: Duration = Duration::from_millis(60);

/// Seconds of one call of `run`, at best.
pub fn least(mut run: impl FnMut()) -> f64 {
    let (began, mut best) = (Instant::now(), Duration::MAX);
    while began.elapsed() < EACH {
        let start = Instant::now();
        run();
        best = best.min(start.elapsed());
    }
    best.as_secs_f64()
}
