//! How a client connects and predicts.

use crate::error::{Error, Result};
use crate::link_model::LinkModel;
use crate::model::Plan;
use crate::pairing::{PairingFile, PairingStore};
use crate::threads::Threads;
use core::error::Error as StdError;
use core::fmt;
use core::time::Duration;
use minionn_core::ot::Repetition;
use minionn_core::plan::DIGEST;
use minionn_core::session::{Activations, Options, Tables};
use std::path::PathBuf;
use std::sync::Arc;

/// What is wrong with a plan, in the words of the program that checks it.
pub type Refusal = Box<dyn StdError + Send + Sync>;

type PlanCheck = Arc<dyn Fn(&Plan) -> Result<(), Refusal> + Send + Sync>;

/// How a client connects and predicts. The defaults: the server is asked for its plan, set-up is
/// done in every session, one prediction is prepared at a time, tables are kept in memory, and
/// activations are computed as suits a LAN.
///
/// ```no_run
/// use minionn_host::{Client, ClientOptions, LinkModel};
/// # fn main() -> minionn_host::Result<()> {
/// let options = ClientOptions::new()
///     .stock(16)
///     .link(&LinkModel::wan())
///     .pairing_file("device.pairing");
/// let mut client = Client::connect_with("example.org:7650", options)?;
/// client.prepare()?; // before the inputs are known
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ClientOptions {
    pub(crate) plan: Option<Plan>,
    pub(crate) digest: Option<[u8; DIGEST]>,
    pub(crate) plan_check: Option<PlanCheck>,
    pub(crate) session: Options,
    pub(crate) pairing: Option<Arc<dyn PairingStore>>,
    pub(crate) table_file: Option<PathBuf>,
    pub(crate) threads: Threads,
    pub(crate) connect_timeout: Duration,
    pub(crate) idle_timeout: Duration,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            plan: None,
            digest: None,
            plan_check: None,
            session: Options { activations: LinkModel::lan().activations(), ..Options::default() },
            pairing: None,
            table_file: None,
            threads: Threads::default(),
            connect_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(600),
        }
    }
}

impl ClientOptions {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The plan, which is known already: the server is not asked for it, and refuses if it has
    /// another one.
    #[must_use]
    pub fn plan(self, plan: Plan) -> Self {
        Self { plan: Some(plan), ..self }
    }

    /// The digest that the server's plan must have ([`Plan::digest`]): for a plan that is too long
    /// to keep. With another one, connecting fails with [`Error::PlanDigest`].
    #[must_use]
    pub fn plan_digest(self, digest: [u8; DIGEST]) -> Self {
        Self { digest: Some(digest), ..self }
    }

    /// Is shown the plan before anything else is sent. If it finds something wrong with it,
    /// connecting fails with [`Error::PlanRefused`].
    #[must_use]
    pub fn check_plan(
        self,
        check: impl Fn(&Plan) -> Result<(), Refusal> + Send + Sync + 'static,
    ) -> Self {
        Self { plan_check: Some(Arc::new(check)), ..self }
    }

    /// Predictions that are prepared at once, 1 to 4096: they share ciphertexts, so the bytes of
    /// each are fewer. The server may allow less.
    #[must_use]
    pub fn stock(mut self, stock: u32) -> Self {
        self.session.stock = stock;
        self
    }

    /// When garbled tables travel.
    #[must_use]
    pub fn tables(mut self, tables: Tables) -> Self {
        self.session.tables = tables;
        self
    }

    /// The OT parameter: a larger one saves bytes and costs work.
    #[must_use]
    pub fn ot(mut self, repetition: Repetition) -> Self {
        self.session.repetition = repetition;
        self
    }

    /// The link that the session is for: activations are computed by circuits or by OTs, layer by
    /// layer, whatever is faster there.
    #[must_use]
    pub fn link(self, link: &LinkModel) -> Self {
        self.activations(link.activations())
    }

    /// How activations are computed, instead of what suits the link.
    #[must_use]
    pub fn activations(mut self, activations: Activations) -> Self {
        self.session.activations = activations;
        self
    }

    /// All of the engine's options at once.
    #[must_use]
    pub fn session(self, session: Options) -> Self {
        Self { session, ..self }
    }

    /// Set-up is done once: what it makes is kept in this file, which is read if it is there and
    /// written if not. It is secret, see [`PairingStore`].
    #[must_use]
    pub fn pairing_file(self, path: impl Into<PathBuf>) -> Self {
        self.pairing(PairingFile::new(path))
    }

    /// As [`ClientOptions::pairing_file`], kept elsewhere.
    #[must_use]
    pub fn pairing(self, store: impl PairingStore + 'static) -> Self {
        Self { pairing: Some(Arc::new(store)), ..self }
    }

    /// Keeps garbled tables in this file instead of memory. Its content is replaced.
    #[must_use]
    pub fn table_file(self, path: impl Into<PathBuf>) -> Self {
        Self { table_file: Some(path.into()), ..self }
    }

    /// Threads that share the session's work; the default is the session's own alone.
    #[must_use]
    pub fn threads(self, threads: Threads) -> Self {
        Self { threads, ..self }
    }

    /// How long a connection may take to open: 30 seconds unless said otherwise. For streams that
    /// are open already it means nothing.
    #[must_use]
    pub fn connect_timeout(self, connect_timeout: Duration) -> Self {
        Self { connect_timeout, ..self }
    }

    /// How long a silent server is waited for: 600 seconds unless said otherwise. Blocking streams
    /// other than sockets have to bring a limit of their own.
    #[must_use]
    pub fn idle_timeout(self, idle_timeout: Duration) -> Self {
        Self { idle_timeout, ..self }
    }

    /// The engine's options, as costs are computed from.
    #[must_use]
    pub const fn session_options(&self) -> &Options {
        &self.session
    }

    /// Whether a client with these options goes on with this plan.
    pub(crate) fn admit(&self, plan: &Plan) -> Result<()> {
        if self.digest.is_some_and(|digest| digest != *plan.digest()) {
            return Err(Error::PlanDigest);
        }
        match &self.plan_check {
            Some(check) => check(plan).map_err(|source| Error::PlanRefused { source }),
            None => Ok(()),
        }
    }

    /// Refuses options before anything is sent.
    pub(crate) fn check(&self) -> Result<()> {
        self.session.check().map_err(Error::session_options)?;
        if self.connect_timeout.is_zero() || self.idle_timeout.is_zero() {
            return Err(Error::Options("a timeout of zero leaves no time for anything".into()));
        }
        Ok(())
    }
}

impl fmt::Debug for ClientOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientOptions")
            .field("plan", &self.plan)
            .field("session", &self.session)
            .field("pairing", &self.pairing)
            .field("table_file", &self.table_file)
            .field("threads", &self.threads)
            .field("connect_timeout", &self.connect_timeout)
            .field("idle_timeout", &self.idle_timeout)
            .finish_non_exhaustive()
    }
}
