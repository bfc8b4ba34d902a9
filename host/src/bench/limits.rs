//! What this machine can do at all, measured in the same run as what is held against it: one
//! thread, the best of many short runs.

use super::parts::Needs;
use super::primitives::{aes, seconds};
use core::hint::black_box;
use core::time::Duration;
use minionn_core::backend::aes::Path;
use serde::Serialize;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

/// Seconds of single operations.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Limits {
    /// An AES block under one key, the pipeline full.
    pub block: f64,
    /// An AES key schedule.
    pub schedule: f64,
    /// A byte read or written in the cache.
    pub cached_byte: f64,
    /// A byte read or written in main memory.
    pub memory_byte: f64,
    /// A byte over the loopback interface, one way.
    pub loopback_byte: f64,
    /// A byte over the loopback interface and its answer.
    pub round_trip: f64,
    /// A transform of one limb; 0 until it was measured.
    pub transform: f64,
    /// A pseudo-random byte; 0 until it was measured.
    pub random_byte: f64,
}

/// Bytes that fit the first cache twice, and bytes that fit none.
const CACHED: usize = 1 << 13;
const UNCACHED: usize = 1 << 26;
/// Bytes in one write, writes in one run, and answers in one run.
const WRITE: usize = 1 << 16;
const WRITES: usize = 512;
const ANSWERS: usize = 500;

/// [`seconds`] of a body that can fail.
///
/// # Errors
/// The first of the body.
pub fn fastest(
    budget: Duration,
    mut body: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<f64> {
    let mut failed = Ok(());
    let best = seconds(budget, || {
        if failed.is_ok() {
            failed = body();
        }
    });
    failed.map(|()| best)
}

impl Limits {
    /// Measures, `budget` for each.
    ///
    /// # Errors
    /// If the loopback interface cannot be used.
    pub fn measure(budget: Duration) -> anyhow::Result<Self> {
        let (mut block, mut schedule) = (f64::MAX, f64::MAX);
        for path in Path::ALL.into_iter().filter(|path| path.is_here()) {
            let mut bench = aes::Bench::new(path);
            block = block.min(seconds(budget, || bench.encrypt()) / aes::BLOCKS as f64);
            schedule = schedule.min(seconds(budget, || bench.schedule()) / aes::KEYS as f64);
        }
        let (loopback_byte, round_trip) = loopback(budget)?;
        Ok(Self {
            block,
            schedule,
            cached_byte: copied(CACHED, budget),
            memory_byte: copied(UNCACHED, budget),
            loopback_byte,
            round_trip,
            transform: 0.0,
            random_byte: 0.0,
        })
    }

    /// Seconds that `needs` take at the least.
    #[must_use]
    pub fn seconds(&self, needs: &Needs) -> f64 {
        let priced = [
            (needs.blocks, self.block),
            (needs.schedules, self.schedule),
            (needs.bytes, self.cached_byte),
            (needs.transforms, self.transform),
            (needs.random, self.random_byte),
            (needs.wire, self.loopback_byte),
            (needs.rounds, self.round_trip),
        ];
        priced.into_iter().map(|(count, seconds)| count as f64 * seconds).sum()
    }
}

/// Seconds of a byte read or written, in a copy of `len` bytes.
fn copied(len: usize, budget: Duration) -> f64 {
    let (from, mut to) = (vec![1_u8; len], vec![0_u8; len]);
    let copy = || {
        to.copy_from_slice(black_box(&from));
        black_box(&mut to);
    };
    seconds(budget, copy) / (2 * len) as f64
}

/// Seconds of a byte one way, and of a byte and its answer.
fn loopback(budget: Duration) -> anyhow::Result<(f64, f64)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut near = TcpStream::connect(listener.local_addr()?)?;
    let (far, _) = listener.accept()?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    std::thread::scope(|scope| {
        // Ends when `near` closes.
        scope.spawn(move || answer(far));
        let made = (|| {
            let (piece, mut reply) = (vec![1; WRITE], [0]);
            let bulk = fastest(budget, || {
                for _ in 0..WRITES {
                    near.write_all(&piece)?;
                }
                Ok(near.read_exact(&mut reply)?)
            })?;
            // From now on every byte is answered.
            near.write_all(&[0])?;
            near.read_exact(&mut reply)?;
            let answered = fastest(budget, || {
                for _ in 0..ANSWERS {
                    near.write_all(&[1])?;
                    near.read_exact(&mut reply)?;
                }
                Ok(())
            })?;
            Ok((bulk / (WRITE * WRITES) as f64, answered / ANSWERS as f64))
        })();
        near.shutdown(std::net::Shutdown::Both)?;
        made
    })
}

/// Answers every [`WRITES`] pieces with a byte, and after a byte that is 0 every byte.
fn answer(mut far: TcpStream) -> std::io::Result<()> {
    let mut buffer = vec![0; WRITE];
    let mut left = WRITE * WRITES;
    loop {
        let n = far.read(&mut buffer)?;
        let single = buffer.first() == Some(&0);
        if n == 0 {
            return Ok(());
        }
        if single {
            break;
        }
        left -= n.min(left);
        if left == 0 {
            left = WRITE * WRITES;
            far.write_all(&[0])?;
        }
    }
    far.write_all(&[0])?;
    let mut byte = [0];
    while far.read(&mut byte)? == 1 {
        far.write_all(&byte)?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn every_limit_is_measured_and_priced() {
        let limits = Limits {
            transform: 1e-6,
            random_byte: 1e-9,
            ..Limits::measure(Duration::from_millis(5)).unwrap()
        };
        let prices = [
            (Needs { blocks: 3, ..Needs::default() }, 3.0 * limits.block),
            (Needs { schedules: 3, ..Needs::default() }, 3.0 * limits.schedule),
            (Needs { bytes: 3, ..Needs::default() }, 3.0 * limits.cached_byte),
            (Needs { transforms: 3, ..Needs::default() }, 3e-6),
            (Needs { random: 3, ..Needs::default() }, 3e-9),
            (
                Needs { wire: 3, rounds: 2, ..Needs::default() },
                3.0 * limits.loopback_byte + 2.0 * limits.round_trip,
            ),
        ];
        for (needs, seconds) in prices {
            assert!(
                seconds > 0.0 && (limits.seconds(&needs) / seconds - 1.0).abs() < 1e-9,
                "{needs:?}"
            );
        }
        assert!(limits.memory_byte > 0.0 && limits.round_trip > limits.loopback_byte);
    }
}
