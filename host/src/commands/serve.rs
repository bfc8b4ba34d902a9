//! `minionn serve`.

use crate::pairing::Pairings;
use crate::say::say;
use crate::serial::{self, Line};
use crate::server::SessionReport;
use crate::{Model, Server, ServerOptions, Threads};
use anyhow::Context as _;
use serde::Serialize;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::PathBuf;

/// Arguments; what the command does stands at [`super::Command`].
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A model written by `minionn compile`.
    #[arg(value_name = "M.minionn")]
    model: PathBuf,
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7650")]
    listen: String,
    /// Serve the device on this serial port instead, one session after the other.
    #[arg(long, value_name = "PORT", conflicts_with_all = ["listen", "once"])]
    serial: Option<String>,
    /// Bits per second of the serial port.
    #[arg(long, value_name = "N", default_value_t = 115_200, requires = "serial")]
    baud: u32,
    /// RTS and CTS of the serial port are wired: use them.
    #[arg(long, requires = "serial")]
    flow_control: bool,
    /// Serve one client, then exit.
    #[arg(long)]
    once: bool,
    /// Predictions that a client may prepare in one session, made or not.
    #[arg(long, value_name = "N", default_value_t = ServerOptions::MAX_PREPARED)]
    max_prepared: u64,
    /// Largest stock of predictions that a client may prepare at once.
    #[arg(long, value_name = "K", default_value_t = ServerOptions::MAX_STOCK)]
    max_stock: u32,
    /// Clients at a time; more are turned away.
    #[arg(long, value_name = "N", default_value_t = ServerOptions::MAX_SESSIONS)]
    max_clients: usize,
    /// Keep pairings of clients in this folder (files that only the owner may read), so that they
    /// outlive this process: whoever reads these files and what went over the wire can read
    /// the model's values in those sessions. Without it, they are kept in memory.
    #[arg(long, value_name = "DIR")]
    pairings: Option<PathBuf>,
    /// Pairings kept, of 57 kB each: the one that was not used for longest goes first. 0 keeps
    /// none.
    #[arg(long, value_name = "N", default_value_t = Pairings::DEFAULT)]
    max_pairings: usize,
    /// Threads of each session: its own, and what all sessions share beside. Without it as many as
    /// there are processors.
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Print a JSON object for each event: listening, session.
    #[arg(long)]
    json: bool,
}

/// Listens until it is stopped.
///
/// # Errors
/// An unusable model or address.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let json = args.json;
    let server = Server::with_options(Model::open(&args.model)?, options(args)?);
    // Weights that do not fit into memory are told now, not to the first client.
    server.prepare(1)?;
    if let Some(port) = &args.serial {
        let mut line = Line::open(&serial::Settings {
            port: port.clone(),
            baud: args.baud,
            flow_control: args.flow_control,
        })?;
        announce(port, json)?;
        return Ok(server.serve_line(&mut line, |session| tell(&session, json))?);
    }
    let listener =
        TcpListener::bind(&args.listen).with_context(|| format!("listening on {}", args.listen))?;
    announce(&listener.local_addr()?.to_string(), json)?;
    if args.once {
        tell(&server.serve_one(&listener)?, json);
        return Ok(());
    }
    Ok(server.serve(listener)?)
}

fn options(args: &Args) -> anyhow::Result<ServerOptions> {
    let pairings = match &args.pairings {
        Some(folder) => Pairings::in_folder(folder, args.max_pairings)?,
        None => Pairings::in_memory(args.max_pairings),
    };
    let json = args.json;
    Ok(ServerOptions::new()
        .max_stock(args.max_stock)
        .max_prepared(args.max_prepared)
        .max_sessions(args.max_clients)
        .pairings(pairings)
        .threads(Threads::new(args.threads.unwrap_or_else(Threads::here))?)
        .on_session(move |session| tell(&session, json)))
}

fn announce(address: &str, json: bool) -> std::io::Result<()> {
    if json {
        say!("{}", serde_json::json!({"event": "listening", "address": address}));
    } else {
        say!("listening on {address}");
    }
    std::io::stdout().flush()
}

/// A session as an event.
#[derive(Serialize)]
struct SessionEvent<'s> {
    event: &'static str,
    #[serde(flatten)]
    session: &'s SessionReport,
}

fn tell(session: &SessionReport, json: bool) {
    if json {
        match serde_json::to_string(&SessionEvent { event: "session", session }) {
            Ok(line) => say!("{line}"),
            Err(error) => eprintln!("a session cannot be told as JSON: {error}"),
        }
        return;
    }
    let SessionReport { peer, prepared, bytes_sent, bytes_received, error, warning, .. } = session;
    let predictions = format!("{} predictions of {prepared} prepared", session.predictions);
    if let Some(warning) = warning {
        eprintln!("{peer}: its pairing: {}", warning.report());
    }
    match error {
        None => {
            eprintln!("{peer}: {predictions}, {bytes_sent} bytes sent, {bytes_received} received")
        }
        Some(error) => eprintln!("{peer}: {predictions}, then {}", error.report()),
    }
}
