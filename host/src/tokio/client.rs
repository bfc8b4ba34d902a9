//! The client.

use super::{Socket, off_reactor};
use crate::client::session::{Command, Session, State, answer, live};
use crate::client::{ClientOptions, Phases};
use crate::error::{Error, Result};
use crate::model::Plan;
use crate::prediction::Prediction;
use crate::stream::{Wire, silence};
use core::fmt;
use core::task::Poll;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, ToSocketAddrs};
use tokio::runtime::Handle;
use tokio::time::timeout;

/// A client's session with a server: [`crate::Client`] for tokio.
///
/// A call that is dropped half-way ends the session: what was under way may not be used again.
pub struct Client {
    session: Session,
    state: State,
}

impl Client {
    /// Connects to `HOST:PORT`, fetches the plan and sets up a session, with the default options.
    ///
    /// # Errors
    /// As [`crate::Client::connect`].
    pub async fn connect(address: impl ToSocketAddrs + fmt::Display) -> Result<Self> {
        Self::connect_with(address, ClientOptions::new()).await
    }

    /// As [`Client::connect`], with other options.
    ///
    /// # Errors
    /// As [`crate::Client::connect_with`].
    pub async fn connect_with(
        address: impl ToSocketAddrs + fmt::Display,
        options: ClientOptions,
    ) -> Result<Self> {
        options.check()?;
        let name = address.to_string();
        let connected = timeout(options.connect_timeout, TcpStream::connect(address)).await;
        let stream = connected
            .unwrap_or_else(|_| Err(silence()))
            .and_then(|stream| stream.set_nodelay(true).map(|()| stream))
            .map_err(|source| Error::Connect { address: name, source })?;
        Self::over(stream, options).await
    }

    /// A session over a stream that is open already, for example a TLS connection.
    ///
    /// # Errors
    /// As [`crate::Client::connect_with`].
    pub async fn over<S>(stream: S, options: ClientOptions) -> Result<Self>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        options.check()?;
        let wire = Wire::new(Socket::new(stream, options.idle_timeout));
        let mut session = Session::new(|mailbox| Box::pin(live(wire, options, mailbox)));
        let state = drive(&mut session).await?.ok_or(Error::Ended)?;
        Ok(Self { session, state })
    }

    /// One private prediction, as [`crate::Client::predict`].
    ///
    /// # Errors
    /// As there.
    pub async fn predict(&mut self, x: &[f32]) -> Result<Prediction> {
        let mut answer = None;
        self.predict_each([x], |prediction| answer = Some(prediction)).await?;
        answer.ok_or(Error::Bug("a prediction without an answer"))
    }

    /// As [`Client::predict`], for many inputs; see [`crate::Client::predict_batch`].
    ///
    /// # Errors
    /// As there.
    pub async fn predict_batch<R: AsRef<[f32]>>(
        &mut self,
        rows: impl IntoIterator<Item = R>,
    ) -> Result<Vec<Prediction>> {
        let mut predictions = Vec::new();
        self.predict_each(rows, |prediction| predictions.push(prediction)).await?;
        Ok(predictions)
    }

    /// As [`Client::predict_batch`]; `answered` gets each answer as soon as it is there.
    ///
    /// # Errors
    /// As there.
    pub async fn predict_each<R: AsRef<[f32]>>(
        &mut self,
        rows: impl IntoIterator<Item = R>,
        mut answered: impl FnMut(Prediction),
    ) -> Result<()> {
        for input in self.state.inputs(rows)? {
            self.run(Command::Predict(input)).await?;
            answered(self.state.prediction()?);
        }
        Ok(())
    }

    /// Prepares a stock now, unless predictions are left of the last one.
    ///
    /// # Errors
    /// [`Error::Session`]; the session is over then.
    pub async fn prepare(&mut self) -> Result<()> {
        self.run(Command::Prepare).await
    }

    async fn run(&mut self, command: Command) -> Result<()> {
        self.state.remaining = 0; // whatever stops this command ends the session
        self.session.command(command)?;
        self.state = drive(&mut self.session).await?.ok_or(Error::Ended)?;
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
    pub async fn close(mut self) -> Result<()> {
        self.session.command(Command::Close)?;
        drive(&mut self.session).await.map(drop)
    }
}

/// Runs a session up to its next answer. `None` if it has ended in order.
async fn drive(session: &mut Session) -> Result<Option<State>> {
    let life = session.life.take().ok_or(Error::Ended)?;
    let (mailbox, mut state) = (session.mailbox(), None);
    let (life, polled) = off_reactor(life, || {
        state = answer(&mailbox);
        state.is_some()
    })
    .await?;
    match polled {
        Poll::Ready(end) => end.map(|()| None),
        Poll::Pending => {
            session.life = Some(life);
            Ok(state)
        }
    }
}

impl Drop for Client {
    /// The server is told off the reactor, as wiping a large session takes its time.
    fn drop(&mut self) {
        let session = core::mem::replace(&mut self.session, Session::ended());
        if session.life.is_some()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn_blocking(move || drop(session));
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("tokio::Client")
            .field("plan", self.plan())
            .field("remaining", &self.remaining())
            .finish_non_exhaustive()
    }
}
