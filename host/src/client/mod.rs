//! A client: connects to a server, prepares, predicts. Over `std::net` and any other blocking
//! stream; the module `tokio` (feature `tokio`) has the same for tokio.

mod options;
pub(crate) mod session;

pub use options::{ClientOptions, Refusal};
pub use session::{Phase, Phases};

use crate::error::{Error, Result};
use crate::model::Plan;
use crate::prediction::Prediction;
use crate::stream::{self, Buffered};
use core::fmt;
use core::time::Duration;
use session::{Command, Session, State};
use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;

/// A client's session with a server.
///
/// Predictions are prepared a stock at a time, offline: before the inputs are known. That happens
/// by itself whenever the stock is empty; [`Client::prepare`] does it ahead of time, so that
/// [`Client::predict`] answers sooner.
pub struct Client {
    session: Session,
    state: State,
}

impl Client {
    /// Connects to `HOST:PORT`, fetches the plan and sets up a session, with the default options.
    ///
    /// # Errors
    /// [`Error::Connect`], [`Error::Session`].
    pub fn connect(address: impl ToSocketAddrs + fmt::Display) -> Result<Self> {
        Self::connect_with(address, ClientOptions::new())
    }

    /// As [`Client::connect`], with other options.
    ///
    /// # Errors
    /// As [`Client::connect`]; [`Error::Options`], [`Error::PlanDigest`], and errors of the
    /// pairing, of files and of the system.
    pub fn connect_with(
        address: impl ToSocketAddrs + fmt::Display,
        options: ClientOptions,
    ) -> Result<Self> {
        options.check()?;
        let no_connection = |source| Error::Connect { address: address.to_string(), source };
        let stream = open(&address, options.connect_timeout).map_err(no_connection)?;
        let stream = stream::tcp(Arc::new(stream), options.idle_timeout).map_err(no_connection)?;
        Self::start(stream, options)
    }

    /// A session over a blocking stream that is open already: a serial line, a TLS connection, a
    /// pipe.
    ///
    /// # Errors
    /// As [`Client::connect_with`].
    pub fn over<S>(stream: S, options: ClientOptions) -> Result<Self>
    where
        S: io::Read + io::Write + Send + 'static,
    {
        options.check()?;
        Self::start(Buffered::new(stream), options)
    }

    fn start<S>(stream: Buffered<S>, options: ClientOptions) -> Result<Self>
    where
        S: io::Read + io::Write + Send + 'static,
    {
        let (session, state) = Session::blocking(stream, options)?;
        Ok(Self { session, state })
    }

    /// One private prediction. Inputs outside of the plan's range are clamped. Prepares if nothing
    /// is left of the stock. What was prepared for a prediction is used once, whatever happens.
    ///
    /// # Errors
    /// [`Error::InputLength`] and [`Error::InputValue`] leave the session as it was; after
    /// [`Error::Session`] it is over.
    pub fn predict(&mut self, x: &[f32]) -> Result<Prediction> {
        let mut answer = None;
        self.predict_each([x], |prediction| answer = Some(prediction))?;
        answer.ok_or(Error::Bug("a prediction without an answer"))
    }

    /// As [`Client::predict`], for many inputs. All of them are looked at before the first one is
    /// used. If the session ends half-way, there are no answers at all.
    ///
    /// # Errors
    /// As [`Client::predict`].
    pub fn predict_batch<R: AsRef<[f32]>>(
        &mut self,
        rows: impl IntoIterator<Item = R>,
    ) -> Result<Vec<Prediction>> {
        let mut predictions = Vec::new();
        self.predict_each(rows, |prediction| predictions.push(prediction))?;
        Ok(predictions)
    }

    /// As [`Client::predict_batch`]; `answered` gets each answer as soon as it is there.
    ///
    /// # Errors
    /// As [`Client::predict`].
    pub fn predict_each<R: AsRef<[f32]>>(
        &mut self,
        rows: impl IntoIterator<Item = R>,
        mut answered: impl FnMut(Prediction),
    ) -> Result<()> {
        for input in self.state.inputs(rows)? {
            self.run(Command::Predict(input))?;
            answered(self.state.prediction()?);
        }
        Ok(())
    }

    /// Prepares a stock now, unless predictions are left of the last one.
    ///
    /// # Errors
    /// [`Error::Session`]; the session is over then.
    pub fn prepare(&mut self) -> Result<()> {
        self.run(Command::Prepare)
    }

    fn run(&mut self, command: Command) -> Result<()> {
        self.state.remaining = 0; // whatever stops this command ends the session
        self.state = self.session.run(command)?.ok_or(Error::Ended)?;
        Ok(())
    }

    /// Predictions that are prepared.
    #[must_use]
    pub const fn remaining(&self) -> u32 {
        self.state.remaining
    }

    /// The server's plan.
    #[must_use]
    pub const fn plan(&self) -> &Plan {
        &self.state.plan
    }

    /// What the session has taken so far.
    #[must_use]
    pub const fn phases(&self) -> &Phases {
        &self.state.phases
    }

    /// Ends the session. Dropping the client does so, too; this says whether the server could be
    /// told.
    ///
    /// # Errors
    /// [`Error::Session`]; [`Error::Ended`] if it was over before.
    pub fn close(mut self) -> Result<()> {
        self.session.run(Command::Close).map(drop)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("plan", self.plan())
            .field("remaining", &self.remaining())
            .finish_non_exhaustive()
    }
}

/// Connects, trying every address of the name.
fn open(address: &impl ToSocketAddrs, timeout: Duration) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, timeout) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}
