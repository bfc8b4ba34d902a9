//! Both parties in one process: the server on a thread of its own, TCP over the loopback interface
//! between them.

use crate::link_model::LinkModel;
use crate::model::Model;
use crate::npy::Array;
use crate::report::Report;
use crate::shaper;
use crate::{Client, ClientOptions, Server};
use anyhow::anyhow;
use core::time::Duration;
use minionn_core::session::Options;
use std::net::{TcpListener, TcpStream};

/// How long one party waits for the other.
const IDLE: Duration = Duration::from_secs(600);

/// Predicts every row of `inputs` privately, with fresh randomness; `progress` is told after each
/// prediction.
///
/// # Errors
/// Inputs that do not fit the model, and whatever ends a session.
pub fn predict(
    model: &Model,
    session: Options,
    inputs: &Array,
    progress: impl FnMut(),
) -> anyhow::Result<Report> {
    let rows = inputs.rows_of(model.plan().input_len())?;
    let options = ClientOptions::new().plan(model.plan().clone()).session(session);
    connected(None, &Server::new(model.clone()), options, |client| {
        Ok(Report::make(client, rows, progress)?)
    })
}

/// Serves one session on a thread of its own while `then` has the client on this one, over an
/// emulated link if there is one.
///
/// # Errors
/// The client's, and the server's where that says more.
pub fn connected<T>(
    emulated: Option<&LinkModel>,
    server: &Server,
    options: ClientOptions,
    then: impl FnOnce(Client) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut door = listener.local_addr()?;
    if let Some(link) = emulated {
        door = shaper::start(door, link.clone())?;
    }
    let near = TcpStream::connect(door)?;
    let far = listener.accept()?.0;
    for stream in [&near, &far] {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(IDLE))?;
        stream.set_write_timeout(Some(IDLE))?;
    }
    std::thread::scope(|scope| {
        let server = scope.spawn(move || server.serve_stream(far, "loopback"));
        let made = Client::over(near, options).map_err(Into::into).and_then(then);
        let served = server.join().map_err(|_| anyhow!("the server's thread ended early"))??;
        match (made, served.error) {
            (Err(error), Some(server)) => {
                Err(error.context(format!("server: {}", server.report())))
            }
            (Ok(_), Some(server)) => Err(anyhow::Error::from(server).context("server")),
            (made, None) => made,
        }
    })
}
