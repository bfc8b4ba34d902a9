//! Many clients of one server at once: a server process of its own, a thread for each client.

use super::own;
use crate::model::Model;
use crate::report::Report;
use crate::server_process::ServerProcess;
use crate::units::bytes;
use crate::{Client, ClientOptions};
use anyhow::{Context as _, anyhow, bail, ensure};
use core::fmt;
use minionn_core::cost;
use minionn_core::rng::Seed;
use minionn_core::session::{Options, server_memory};
use serde::Serialize;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Instant;

/// What a session takes beside the memory that `minionn plan` tells: two buffers of 128 KiB, a
/// thread's stack with the futures of the session on it, the allocator's own.
pub const BESIDE: u64 = 640 << 10;

/// What it came to.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    /// Clients at once, none of which failed.
    pub clients: u32,
    /// Predictions of each.
    pub stock: u32,
    /// From the first connection to the last answer.
    pub seconds: f64,
    /// Predictions of all clients in a second.
    pub predictions_per_second: f64,
    /// Bytes of each client, set-up included: as predicted.
    pub bytes: u64,
    /// Memory of a session on the server, as `minionn plan` tells it.
    pub planned: u64,
    /// Memory that the server's process took for each client while all sessions were open; unknown
    /// where the system does not tell.
    pub resident: Option<u64>,
}

/// Where clients wait until all are there, or one is lost.
#[derive(Default)]
struct Gate {
    state: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    there: u32,
    lost: bool,
    open: bool,
}

impl Gate {
    fn change(&self, how: impl FnOnce(&mut Waiting)) {
        how(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }

    fn wait(&self, enough: impl Fn(&Waiting) -> bool) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.changed.wait_while(state, |waiting| !enough(waiting)));
    }

    /// A client is there; returns when all are.
    fn pass(&self) {
        self.change(|waiting| waiting.there += 1);
        self.wait(|waiting| waiting.open);
    }
}

/// Has `clients` clients make a stock of predictions each; all sessions are open at the same time.
///
/// # Errors
/// If a session fails, an answer is not the integer model's, the traffic is not as predicted, or
/// the server takes more memory than planned.
pub fn measure(
    model: &Model,
    session: Options,
    clients: u32,
    seed: &Seed,
) -> anyhow::Result<Measured> {
    let plan = model.plan().core();
    let (most, stock) = ((clients + 1).to_string(), session.stock.to_string());
    let server = ServerProcess::start(model, &["--max-clients", &most, "--max-stock", &stock])?;
    let inputs = own::inputs(model, None, session.stock as usize, seed)?;
    let rows = inputs.rows_of(model.plan().input_len())?;
    let expected = model.predict_plain_batch(rows.clone())?;
    let options = ClientOptions::new().plan(model.plan().clone()).session(session);
    let one = |progress: &mut dyn FnMut()| -> anyhow::Result<u64> {
        let client = Client::connect_with(server.address(), options.clone())?;
        let report = Report::make(client, rows.clone(), progress)?;
        ensure!(
            report.predictions == expected,
            "a private prediction differs from the integer model: please report this"
        );
        let phases = report.phases;
        Ok(phases.setup.bytes() + phases.offline.bytes() + phases.online.bytes())
    };
    // Weights are transformed for the first client.
    one(&mut || {})?;

    let before = server.resident();
    let (gate, began) = (Gate::default(), Instant::now());
    let (during, seconds, sent) = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..clients).map(|_| scope.spawn(|| attend(&gate, &one))).collect();
        gate.wait(|waiting| waiting.there == clients || waiting.lost);
        let during = server.resident();
        gate.change(|waiting| waiting.open = true);
        let sent: Vec<_> = threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| anyhow!("a client's thread ended early"))?)
            .collect();
        (during, began.elapsed().as_secs_f64(), sent)
    });
    let lost = sent.iter().filter(|sent| sent.is_err()).count();
    let online = cost::online(plan, &session);
    let [setup, offline] =
        [cost::setup(), cost::offline(plan, &session)?].map(|phase| phase.up + phase.down);
    let bytes = setup + offline + u64::from(session.stock) * (online.up + online.down);
    for sent in sent {
        ensure!(
            sent.with_context(|| format!("{lost} of {clients} clients failed"))? == bytes,
            "the traffic differs from its prediction"
        );
    }
    let made = Measured {
        clients,
        stock: session.stock,
        seconds,
        predictions_per_second: f64::from(clients * session.stock) / seconds,
        bytes,
        planned: server_memory(plan, &session)? as u64,
        resident: before
            .zip(during)
            .map(|(before, during)| during.saturating_sub(before) / u64::from(clients.max(1))),
    };
    made.check()?;
    Ok(made)
}

/// One client, which keeps its session open until all have theirs.
fn attend(
    gate: &Gate,
    one: &dyn Fn(&mut dyn FnMut()) -> anyhow::Result<u64>,
) -> anyhow::Result<u64> {
    let mut first = true;
    let done = one(&mut || {
        if core::mem::take(&mut first) {
            gate.pass();
        }
    });
    if done.is_err() {
        gate.change(|waiting| waiting.lost = true);
    }
    done
}

impl Measured {
    /// Whether a session took no more memory than was planned, and [`BESIDE`].
    fn check(&self) -> anyhow::Result<()> {
        match self.resident {
            Some(resident) if resident > self.planned + BESIDE => {
                bail!(
                    "a session took {} on the server, {} were planned",
                    bytes(resident),
                    bytes(self.planned)
                )
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { clients, stock, seconds, .. } = self;
        writeln!(
            f,
            "{clients} clients at once, {stock} predictions each: all finished in {seconds:.2} s, \
             every answer the integer model's"
        )?;
        writeln!(
            f,
            "{:.1} predictions a second, {} for each client",
            self.predictions_per_second,
            bytes(self.bytes)
        )?;
        let resident = self.resident.map_or_else(|| "not told by this system".to_owned(), bytes);
        let (planned, beside) = (bytes(self.planned), bytes(BESIDE));
        writeln!(
            f,
            "server memory for each client: {resident}; planned {planned}, and at most {beside} \
             for buffers and stack"
        )
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn more_memory_than_planned_is_an_error() {
        let made = |resident| Measured {
            clients: 1,
            stock: 1,
            seconds: 1.0,
            predictions_per_second: 1.0,
            bytes: 1,
            planned: 1000,
            resident,
        };
        assert!(made(None).check().is_ok() && made(Some(1000 + BESIDE)).check().is_ok());
        assert!(made(Some(1001 + BESIDE)).check().unwrap_err().to_string().contains("planned"));
    }

    #[test]
    fn a_lost_client_opens_the_gate_for_all() {
        let gate = Gate::default();
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| attend(&gate, &|progress| Ok((progress(), 7).1)));
            let fails = scope.spawn(|| attend(&gate, &|_| Err(anyhow!("gone"))));
            gate.wait(|waiting| waiting.lost);
            gate.change(|waiting| waiting.open = true);
            assert!(waits.join().unwrap().unwrap() == 7 && fails.join().unwrap().is_err());
        });
    }
}
