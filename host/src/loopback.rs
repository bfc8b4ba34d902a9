//! Both parties in one process: the server on a thread of its own, TCP over the loopback interface
//! between them.

use crate::bench::shaper;
use crate::client::{self, Report, Settings};
use crate::link::{Link, Memory, fresh_seed};
use crate::link_model::LinkModel;
use crate::npy::Array;
use anyhow::{Context as _, anyhow};
use core::time::Duration;
use minionn_core::model::Model;
use minionn_core::session::blocking::{Blocking, run};
use minionn_core::session::{Event, Options, Prepared, Server, prepared_memory, server_memory};
use minionn_core::workers::Workers;
use std::net::TcpListener;

/// How long one party waits for the other.
const IDLE: Duration = Duration::from_secs(600);

/// Predicts every row of `inputs` privately, with fresh randomness; `progress` is told after each
/// prediction.
///
/// # Errors
/// Inputs that do not fit the model, and whatever ends a session.
pub fn predict(
    model: &Model<'_>,
    options: Options,
    inputs: &Array,
    progress: impl FnMut(),
) -> anyhow::Result<Report> {
    let plan = *model.plan();
    with_prepared(model, options, |prepared| {
        session(model, prepared, options, |link| {
            client::predict(
                link,
                plan,
                &Settings { options, ..Settings::default() },
                inputs,
                progress,
            )
        })
    })
}

/// Transforms the weights once, for as many sessions as `then` likes.
///
/// # Errors
/// Those of `then`, and weights that do not fit into memory.
pub fn with_prepared<T>(
    model: &Model<'_>,
    options: Options,
    then: impl FnOnce(&Prepared<'_>) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let mut memory = Memory::new(prepared_memory(model.plan(), options.stock)?);
    then(&Prepared::new(*model, options.stock, memory.bytes())?)
}

/// Serves one session of `model`, whose weights are `prepared`, on a thread of its own while
/// `client` runs on this one.
///
/// # Errors
/// The client's, and the server's where that says more.
pub fn session<T>(
    model: &Model<'_>,
    prepared: &Prepared<'_>,
    options: Options,
    client: impl FnOnce(Link) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    session_over(None, Workers::OWN, model, prepared, options, client)
}

/// [`session`] over an emulated link, if there is one; the server shares its work with `workers`.
///
/// # Errors
/// As [`session`].
pub fn session_over<T>(
    emulated: Option<&LinkModel>,
    workers: Workers<'_>,
    model: &Model<'_>,
    prepared: &Prepared<'_>,
    options: Options,
    client: impl FnOnce(Link) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut door = listener.local_addr()?;
    if let Some(link) = emulated {
        door = shaper::start(door, link.clone())?;
    }
    let near = client::connect(&door.to_string())?;
    let far = Link::new(listener.accept()?.0, IDLE)?;
    std::thread::scope(|scope| {
        let server = scope.spawn(move || serve(far, workers, model, prepared, options));
        let made = client(near);
        let served = server.join().map_err(|_| anyhow!("the server's thread ended early"))?;
        match (made, served) {
            (Err(error), Err(server)) => Err(error.context(format!("server: {server:#}"))),
            (Ok(_), Err(server)) => Err(server.context("server")),
            (made, Ok(())) => made,
        }
    })
}

fn serve(
    mut link: Link,
    workers: Workers<'_>,
    model: &Model<'_>,
    prepared: &Prepared<'_>,
    options: Options,
) -> anyhow::Result<()> {
    let mut memory = Memory::new(server_memory(model.plan(), &options)?);
    let mut server = run(Server::accept(
        Blocking(&mut link),
        prepared,
        options,
        memory.bytes(),
        &mut minionn_core::rng::KnownSeed::new(fresh_seed()?),
    ))
    .context("set-up")?;
    server.use_workers(workers);
    while run(server.serve()).context("session")? != Event::Closed {}
    Ok(())
}
