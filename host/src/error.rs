//! The errors of this library: what happened, whose fault it is, and what helps.

use crate::compile;
use crate::stream::Failure;
use core::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Result of this library.
pub type Result<T, E = Error> = core::result::Result<T, E>;

/// Why a call failed. [`Error::fault`] says whose fault it is; the text says what happened and what
/// helps. Causes that the text does not name are in [`core::error::Error::source`];
/// [`Error::report`] is the text with all of them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be read or written.
    #[error("{}: the file cannot be used", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// These bytes are no model, or no plan.
    #[error("{what}: {error}")]
    Format {
        /// The file, or where else the bytes come from.
        what: String,
        /// What is wrong with them.
        error: minionn_core::Error,
    },
    /// A network cannot be compiled.
    #[error("the network cannot be compiled")]
    Compile(#[from] compile::Error),
    /// An input has the wrong length.
    #[error("input {row} has {got} numbers: the plan takes {need}")]
    InputLength {
        /// Which one of a batch, from 0.
        row: usize,
        /// Numbers that the plan takes.
        need: usize,
        /// Numbers that came.
        got: usize,
    },
    /// An input holds something that is not a finite number.
    #[error("input {row}, number {column}: not a finite number")]
    InputValue {
        /// Which one of a batch, from 0.
        row: usize,
        /// Which number of it, from 0.
        column: usize,
    },
    /// The options of a session, a server or a measurement are out of range.
    #[error("{0}")]
    Options(String),
    /// The operating system has no threads, memory or randomness to give.
    #[error("the operating system gave no {what}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// What the system says.
        source: Box<dyn core::error::Error + Send + Sync>,
    },
    /// No connection to the server.
    #[error("{address}: no connection; does the server run, and is this HOST:PORT?")]
    Connect {
        /// Where to.
        address: String,
        /// What the system says.
        source: io::Error,
    },
    /// A listener cannot accept clients, or a port fails.
    #[error("{address}: no clients can be accepted")]
    Listen {
        /// Where.
        address: String,
        /// What the system says.
        source: io::Error,
    },
    /// A session has failed. It is over: what was prepared in it is wiped.
    #[error("{step}: {error}")]
    Session {
        /// What was under way.
        step: Step,
        /// What went wrong, from the engine.
        error: minionn_core::Error,
        /// Why the stream failed, if it did.
        #[source]
        stream: Option<io::Error>,
    },
    /// The session of this client is over, after an error or a call that was dropped half-way.
    #[error("the session is over: connect again")]
    Ended,
    /// The server was stopped, which has cut the session.
    #[error("the server was stopped")]
    Stopped,
    /// The server has another plan than the one whose digest was asked for.
    #[error("the server's plan is not the expected one: its digest is another")]
    PlanDigest,
    /// The check of the options refuses the server's plan.
    #[error("the server's plan is refused")]
    PlanRefused {
        /// Why.
        source: Box<dyn core::error::Error + Send + Sync>,
    },
    /// The client's pairing cannot be used.
    #[error("{place}: {error}")]
    Pairing {
        /// Where it is kept.
        place: String,
        /// What is wrong with it.
        error: minionn_core::Error,
    },
    /// The pairing was made with another OT parameter than these options have.
    #[error(
        "{place}: this pairing was made with OT parameter {made_with}: use that, or another pairing"
    )]
    PairingParameter {
        /// Where it is kept.
        place: String,
        /// Its `k`.
        made_with: usize,
    },
    /// The place of a pairing cannot be read or written.
    #[error("{place}: the pairing cannot be read or kept there")]
    PairingStore {
        /// Where.
        place: String,
        /// What the system says.
        source: io::Error,
    },
    /// The server no longer has its half of this pairing.
    #[error(
        "the server does not have this pairing: remove {place} and connect again, to set up \
         without it"
    )]
    PairingForgotten {
        /// Where the client's half is kept.
        place: String,
    },
    /// A client asked for more than this server allows.
    #[error("refused: {0}")]
    Refused(String),
    /// A bug in this library.
    #[error("internal error: please report it ({0})")]
    Bug(&'static str),
}

/// What was under way when a session failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// Asking for the plan.
    Plan,
    /// A server reads a client's first message.
    Greeting,
    /// Handshake, keys, base OTs.
    SetUp,
    /// Exporting the pairing.
    Export,
    /// The offline phase.
    Offline,
    /// The online phase.
    Online,
    /// A server waits for, or answers, its client's requests.
    Serving,
    /// The end.
    Close,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plan => "fetching the plan",
            Self::Greeting => "first message",
            Self::SetUp => "set-up",
            Self::Export => "exporting the pairing",
            Self::Offline => "offline phase",
            Self::Online => "online phase",
            Self::Serving => "session",
            Self::Close => "closing",
        })
    }
}

/// Whose fault an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The program that calls: its arguments, files, options, or the order of its calls.
    Caller,
    /// The connection: no peer there, silence, or an end in the middle.
    Link,
    /// The other party: refuses, has another plan or version, or does not follow the protocol.
    Peer,
    /// The operating system: no memory, threads, randomness, or room on a disk.
    System,
    /// This library.
    Bug,
}

impl Error {
    /// Whose fault it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::File { source, .. } | Self::PairingStore { source, .. } => match source.kind() {
                io::ErrorKind::NotFound
                | io::ErrorKind::PermissionDenied
                | io::ErrorKind::InvalidInput
                | io::ErrorKind::InvalidData => Fault::Caller,
                _ => Fault::System,
            },
            Self::Session { error, .. } => match error.code() {
                11 => Fault::System,
                100 | 101 => Fault::Link,
                1..100 => Fault::Caller,
                102..200 => Fault::Peer,
                _ => Fault::Bug,
            },
            Self::Format { .. }
            | Self::Compile(_)
            | Self::InputLength { .. }
            | Self::InputValue { .. }
            | Self::Options(_)
            | Self::Ended
            | Self::Stopped
            | Self::Pairing { .. }
            | Self::PairingParameter { .. } => Fault::Caller,
            Self::System { .. } => Fault::System,
            Self::Connect { .. } | Self::Listen { .. } => Fault::Link,
            Self::PlanDigest
            | Self::PlanRefused { .. }
            | Self::PairingForgotten { .. }
            | Self::Refused(_) => Fault::Peer,
            Self::Bug(_) => Fault::Bug,
        }
    }

    /// The text, and that of every cause behind it.
    #[must_use]
    pub fn report(&self) -> String {
        let causes = core::iter::successors(core::error::Error::source(self), |e| e.source());
        causes.fold(self.to_string(), |text, cause| format!("{text}: {cause}"))
    }

    /// An error of the engine's, with why the stream has failed if it has.
    pub(crate) fn session(step: Step, error: minionn_core::Error, failure: &Failure) -> Self {
        let stream = failure.take().filter(|_| error == minionn_core::Error::Io);
        Self::Session { step, error, stream }
    }

    pub(crate) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::File { path: path.to_owned(), source }
    }

    pub(crate) fn system(
        what: &'static str,
    ) -> impl FnOnce(Box<dyn core::error::Error + Send + Sync>) -> Self {
        move |source| Self::System { what, source }
    }

    /// The options of a session are refused by the engine, before anything is sent.
    pub(crate) fn session_options(error: minionn_core::Error) -> Self {
        Self::Options(format!(
            "these session options cannot be used ({error}): a stock is 1 to {}",
            minionn_core::session::MAX_STOCK
        ))
    }
}
