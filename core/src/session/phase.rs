//! What a party works with in a phase: its link, its halves of the OTs, its randomness, scratch.

use super::channel::Channel;
use super::shares::Shares;
use crate::block::Block;
use crate::hash::Tmmo;
use crate::ot::{Receiver, Renewable, Sender};
use crate::rng::{Prg, Seed};

/// The client's.
pub(crate) struct ClientPhase<'w, 'a, IO, S> {
    pub(crate) ch: &'w mut Channel<IO>,
    /// For garbled tables.
    pub(crate) store: &'w mut S,
    /// OTs in which the client chooses.
    pub(crate) receiver: &'w mut Receiver<'a>,
    /// OTs in which the server chooses.
    pub(crate) backward: &'w mut Renewable<'a, Sender<'a>>,
    /// For the run of corrections under way.
    pub(crate) sums: &'w mut [Block],
    pub(crate) shares: Shares<'w>,
    /// The stock's.
    pub(crate) seed: &'w Seed,
    /// For OTs, then for a circuit or a comparison.
    pub(crate) workspace: &'w mut [u8],
}

/// The server's.
pub(crate) struct ServerPhase<'w, 'a, IO> {
    pub(crate) ch: &'w mut Channel<IO>,
    /// OTs in which the client chooses.
    pub(crate) sender: &'w mut Sender<'a>,
    /// OTs in which the server chooses.
    pub(crate) backward: &'w mut Renewable<'a, Receiver<'a>>,
    /// For the run of corrections under way.
    pub(crate) sums: &'w mut [Block],
    /// Keyed with a secret: labels of the server's own inputs.
    pub(crate) own_labels: &'w Tmmo,
    /// The stock's.
    pub(crate) seed: &'w Seed,
    /// Factors of products are drawn from it.
    pub(crate) factors: &'w mut Prg,
    /// For OTs, then for a circuit or a comparison.
    pub(crate) workspace: &'w mut [u8],
}
