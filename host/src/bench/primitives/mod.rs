//! Single parts of the protocol, one thread: measured bodies and the rates that they reach.
//!
//! A body works on memory that it owns and does the same work each time it runs; [`seconds`] runs
//! it until the fastest run is known.
//!
//! | module | what is measured |
//! |---|---|
//! | [`lattice`] | transforms, products, encryption, decryption, results, packed integers |
//! | [`layers`] | one linear layer: offline between two parties, and the product in the clear |
//! | [`aes`] | blocks and key schedules of every AES path: the limits of what follows |
//! | [`garbling`] | garbling and evaluating many neurons |
//! | [`extension`] | OT extension, each party |
//! | [`streamed`] | OTs, garbling, sending and evaluating between two threads over loopback |

pub mod aes;
pub mod extension;
pub mod garbling;
pub mod lattice;
pub mod layers;
pub mod streamed;

use core::time::Duration;
use std::time::Instant;

/// Seconds of the fastest run of `body` within `budget`, and of at least five runs: what the
/// machine does when nothing else disturbs it.
pub fn seconds(budget: Duration, mut body: impl FnMut()) -> f64 {
    let (start, mut best, mut runs) = (Instant::now(), Duration::MAX, 0);
    while runs < 5 || start.elapsed() < budget {
        let run = Instant::now();
        body();
        best = best.min(run.elapsed());
        runs += 1;
    }
    best.as_secs_f64()
}
