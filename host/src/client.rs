//! A client over TCP.

use crate::commands::plain::Prediction;
use crate::link::{FileStore, Link, Memory, fresh_seed};
use crate::npy;
use crate::pairings;
use anyhow::{Context as _, anyhow, ensure};
use core::time::Duration;
use minionn_core::Error;
use minionn_core::cost;
use minionn_core::plan::{self, Plan};
use minionn_core::session::blocking::{Blocking, run};
use minionn_core::session::{
    CLIENT_PAIRING_BYTES, Client, Options, Pairing, SliceStore, Store, Traffic, client_memory,
    fetch_plan,
};
use minionn_core::workers::Workers;
use serde::Serialize;
use std::net::{TcpStream, ToSocketAddrs as _};
use std::path::Path;
use std::time::Instant;
use zeroize::Zeroizing;

/// How long a silent server is waited for.
const IDLE: Duration = Duration::from_secs(600);
/// How long a connection may take to open.
const CONNECT: Duration = Duration::from_secs(30);

/// Time and traffic of a phase, as the client sees it.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Phase {
    /// Wall-clock seconds.
    pub seconds: f64,
    /// Bytes to the server.
    pub bytes_sent: u64,
    /// Bytes from the server.
    pub bytes_received: u64,
    /// How often the client waited for the server.
    pub rounds: u32,
}

impl Phase {
    fn add(&mut self, began: Instant, traffic: Traffic) {
        self.seconds += began.elapsed().as_secs_f64();
        self.bytes_sent += traffic.sent;
        self.bytes_received += traffic.received;
        self.rounds += traffic.rounds;
    }

    /// Bytes both ways.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes_sent + self.bytes_received
    }
}

/// What a client got, and what it cost.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// One for each row.
    pub predictions: Vec<Prediction>,
    /// Handshake, keys, base OTs.
    pub setup: Phase,
    /// All stocks.
    pub offline: Phase,
    /// All predictions.
    pub online: Phase,
}

/// Connects, trying every address of the name.
///
/// # Errors
/// If none answers.
pub fn connect(address: &str) -> anyhow::Result<Link> {
    let mut last = None;
    for address in
        address.to_socket_addrs().with_context(|| format!("'{address}' is not HOST:PORT"))?
    {
        match TcpStream::connect_timeout(&address, CONNECT) {
            Ok(stream) => return Ok(Link::new(stream, IDLE)?),
            Err(error) => last = Some(error),
        }
    }
    Err(last.map_or_else(|| anyhow::anyhow!("no address"), Into::into))
        .with_context(|| format!("connecting to {address}"))
}

/// Asks the server for its plan.
///
/// # Errors
/// Link and peer errors.
pub fn plan_from(link: &mut Link) -> anyhow::Result<Vec<u8>> {
    let mut bytes = vec![0; plan::MAX_BYTES];
    let n = run(fetch_plan(Blocking(link), &mut bytes)).context("fetching the plan")?;
    bytes.truncate(n);
    Ok(bytes)
}

/// How to predict.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings<'s> {
    /// Options of the session.
    pub options: Options,
    /// File for garbled tables; else they are kept in memory.
    pub store: Option<&'s Path>,
    /// File for what set-up makes, so that it is done once: read if it is there, written if not.
    /// Secret.
    pub pairing: Option<&'s Path>,
    /// To share the work with.
    pub workers: Workers<'s>,
}

/// Predicts every row of `inputs`, a stock at a time. `progress` is told after each prediction.
///
/// # Errors
/// Inputs that do not fit the plan, link and peer errors.
pub fn predict(
    link: Link,
    plan: Plan<'_>,
    settings: &Settings<'_>,
    inputs: &npy::Array,
    progress: impl FnMut(),
) -> anyhow::Result<Report> {
    let header = plan.header();
    let mut rows = Vec::new();
    for (i, row) in inputs.rows_of(header.input_len as usize)?.enumerate() {
        let x: Result<Vec<i64>, _> = row.iter().map(|&x| header.input.quantise(x)).collect();
        rows.push(x.with_context(|| format!("row {i}"))?);
    }
    let bytes = usize::try_from(cost::store_bytes(&plan, &settings.options))?;
    match settings.store {
        Some(path) => {
            let file = std::fs::OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(true)
                .open(path);
            let file = file.with_context(|| path.display().to_string())?;
            session(link, FileStore::new(file), plan, settings, &rows, progress)
        }
        None => session(
            link,
            SliceStore::new(Memory::new(bytes).bytes()),
            plan,
            settings,
            &rows,
            progress,
        ),
    }
}

/// The pairing in a file, if sessions with these options can go on with it.
fn usable<'h>(half: &'h [u8], options: &Options) -> anyhow::Result<Pairing<'h>> {
    let pairing = Pairing::parse(half)?;
    let k = pairing.repetition().k();
    ensure!(
        pairing.repetition() == options.repetition,
        "this pairing was made with --ot {k}: use that, or another file"
    );
    Ok(pairing)
}

/// What helps, if the server has forgotten a pairing.
fn remedy(error: Error, path: &Path) -> String {
    if error == Error::PeerAborted(Error::UnknownPairing.code()) {
        format!(" (remove {} and run this again)", path.display())
    } else {
        String::new()
    }
}

fn session(
    mut link: Link,
    store: impl Store,
    plan: Plan<'_>,
    settings: &Settings<'_>,
    rows: &[Vec<i64>],
    mut progress: impl FnMut(),
) -> anyhow::Result<Report> {
    let scale = f64::from(plan.header().output_scale);
    let options = &settings.options;
    let mut memory = Memory::new(client_memory(&plan, options)?);
    let mut out = vec![0; if plan.is_argmax() { 0 } else { plan.header().output_len as usize }];
    let mut report = Report {
        predictions: Vec::new(),
        setup: Phase::default(),
        offline: Phase::default(),
        online: Phase::default(),
    };

    let began = Instant::now();
    let (io, seed) = (Blocking(&mut link), fresh_seed()?);
    let half = settings.pairing.map(pairings::read).transpose()?.flatten();
    let mut client = match (&half, settings.pairing) {
        (Some(half), Some(path)) => {
            let pairing = usable(half, options).with_context(|| path.display().to_string())?;
            run(Client::resume(
                io,
                store,
                plan,
                *options,
                memory.bytes(),
                &mut minionn_core::rng::KnownSeed::new(seed),
                &pairing,
            ))
            .map_err(|error| anyhow!("{error}{}", remedy(error, path)))
        }
        _ => run(Client::connect(
            io,
            store,
            plan,
            *options,
            memory.bytes(),
            &mut minionn_core::rng::KnownSeed::new(seed),
        ))
        .map_err(Into::into),
    }
    .context("set-up")?;
    client.use_workers(settings.workers);
    if let (None, Some(path)) = (&half, settings.pairing) {
        let mut half = Zeroizing::new(vec![0; CLIENT_PAIRING_BYTES]);
        run(client.export(&mut half)).context("exporting the pairing")?;
        pairings::write(path, &half)?;
    }
    report.setup.add(began, client.traffic());
    for x in rows {
        if client.remaining() == 0 {
            let (began, before) = (Instant::now(), client.traffic());
            run(client.prepare()).context("offline phase")?;
            report.offline.add(began, client.traffic().since(before));
        }
        let (began, before) = (Instant::now(), client.traffic());
        let argmax = run(client.predict(x, &mut out)).context("online phase")?;
        report.online.add(began, client.traffic().since(before));
        let logits = (!plan.is_argmax()).then(|| out.iter().map(|&y| y as f64 * scale).collect());
        report.predictions.push(Prediction { logits, argmax });
        progress();
    }
    run(client.close())?;
    Ok(report)
}
