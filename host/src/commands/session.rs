//! What several subcommands take: how a session runs, and for which link.

use crate::ClientOptions;
use crate::link_model::LinkModel;
use anyhow::{Context as _, anyhow};
use minionn_core::ot::Repetition;
use minionn_core::session::{Activations, Options, Tables};

/// How a session runs: what client and server agree on.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct SessionArgs {
    /// Predictions prepared at once: they share ciphertexts, so bytes per prediction fall.
    #[arg(long, value_name = "K", default_value_t = 1)]
    pub stock: u32,
    /// When garbled tables travel: offline into the client's store, or online just before use.
    #[arg(long, value_enum, default_value_t = TablesArg::Stored)]
    pub tables: TablesArg,
    /// OT extension: 1, 2, 4 or 8; more saves bytes and costs work.
    #[arg(long, value_name = "K", default_value_t = 8)]
    pub ot: u8,
    /// How activations are computed: by garbled circuits (one round trip, most bytes), by
    /// comparison with OTs where there is one (more round trips, a tenth of the bytes), or
    /// whichever of the two the link makes faster, layer by layer. Without it: auto; for a C
    /// header gc, as firmware's library has comparisons only if it is built so.
    #[arg(long, value_enum, value_name = "HOW")]
    pub activation: Option<ActivationArg>,
}

/// Which link `--activation auto` is to suit.
#[derive(Clone, Debug, clap::Args)]
pub struct LinkArgs {
    /// The link that the session is for, which decides with --activation auto: lan (1 ms, 1
    /// Gbit/s), wan (50 ms, 100 Mbit/s), uart (921600 baud), ble, or a round trip and a
    /// bandwidth such as 20ms,50mbit. Without it, activations are chosen as for lan.
    #[arg(long, value_name = "LINK")]
    pub link: Option<LinkModel>,
}

/// [`Activations`] for the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ActivationArg {
    /// By garbled circuits.
    Gc,
    /// By comparison, where there is one for the function and it saves bytes.
    Ot,
    /// By comparison where it saves time on the --link.
    Auto,
}

/// [`Tables`] for the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum TablesArg {
    /// Offline, with their OTs.
    Stored,
    /// Online just before use, with their OTs: least memory.
    Streamed,
}

impl SessionArgs {
    /// The session's options.
    ///
    /// # Errors
    /// If one is out of range.
    pub fn options(&self) -> anyhow::Result<Options> {
        self.options_on(None)
    }

    /// The same on a link.
    ///
    /// # Errors
    /// If one is out of range.
    pub fn options_on(&self, link: Option<&LinkModel>) -> anyhow::Result<Options> {
        let repetition =
            Repetition::from_k(self.ot).ok_or_else(|| anyhow!("--ot takes 1, 2, 4 or 8"))?;
        let tables = match self.tables {
            TablesArg::Stored => Tables::Stored,
            TablesArg::Streamed => Tables::Streamed,
        };
        let mut client = ClientOptions::new().stock(self.stock).tables(tables).ot(repetition);
        if let Some(link) = link {
            client = client.link(link);
        }
        client = match self.activation.unwrap_or(ActivationArg::Auto) {
            ActivationArg::Auto => client,
            ActivationArg::Gc => client.activations(Activations::Garbled),
            ActivationArg::Ot => {
                client.activations(Activations::Compared { log2_bytes_per_round: 0 })
            }
        };
        let options = *client.session_options();
        options
            .check()
            .with_context(|| format!("--stock takes 1 to {}", minionn_core::session::MAX_STOCK))?;
        Ok(options)
    }
}
