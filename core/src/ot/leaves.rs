//! The memory of one half of the OT extension, before and between set-ups.

use super::{Encoded, GROUP, MESSAGES, Repetition};
use crate::backend::aes::Path;
use crate::block::Block;
use crate::params::KAPPA;
use crate::workers::Workers;
use crate::{Error, Result};
use core::mem::{replace, take};
use zeroize::Zeroize as _;

/// Memory for the leaves of all trees and for a check, in blocks that the caller lends: the state
/// before set-up.
/// [`super::Receiver::new`] or [`super::Sender::new`] takes it, so there is no half without trees.
/// Wiped on drop.
pub struct Leaves<'a> {
    repetition: Repetition,
    /// The leaves; before, the messages of base OTs.
    blocks: &'a mut [Block],
    /// Sums of labels, for the check of a run.
    sums: &'a mut [Block],
    path: Path,
    workers: Workers<'a>,
}

impl<'a> Leaves<'a> {
    /// Memory for the trees of one half.
    ///
    /// # Errors
    /// [`Error::Length`] unless `memory` has [`Repetition::memory`] blocks.
    pub fn new(repetition: Repetition, memory: &'a mut [Block]) -> Result<Self> {
        check(repetition.memory(), memory.len())?;
        let (blocks, sums) =
            memory.split_at_mut_checked(repetition.memory() - GROUP).ok_or(Error::Internal)?;
        Ok(Self { repetition, blocks, sums, path: Path::best(), workers: Workers::OWN })
    }

    /// Does AES in another than the best way.
    #[cfg(any(test, feature = "unstable"))]
    #[must_use]
    pub const fn on_path(mut self, path: Path) -> Self {
        self.path = path;
        self
    }

    /// Shares the work of an extension with these.
    pub const fn use_workers(&mut self, workers: Workers<'a>) {
        self.workers = workers;
    }

    pub(super) const fn repetition(&self) -> Repetition {
        self.repetition
    }

    pub(super) const fn path(&self) -> Path {
        self.path
    }

    pub(super) const fn workers(&self) -> Workers<'a> {
        self.workers
    }

    /// The leaves of each of the `128/k` trees.
    pub(super) fn trees(&self) -> impl Iterator<Item = &[Block]> {
        let trees = self.blocks.chunks_exact(1 << self.repetition.k());
        trees.take(self.repetition.blocks())
    }

    /// The same, to be written.
    pub(super) fn trees_mut(&mut self) -> impl Iterator<Item = &mut [Block]> {
        let trees = self.blocks.chunks_exact_mut(1 << self.repetition.k());
        trees.take(self.repetition.blocks())
    }

    /// The sums.
    pub(super) fn sums_mut(&mut self) -> Result<&mut [Block; GROUP]> {
        self.sums.first_chunk_mut().ok_or(Error::Internal)
    }

    /// Lends the sums, until they are given back.
    pub(super) fn take_sums(&mut self) -> &'a mut [Block] {
        take(&mut self.sums)
    }

    /// Takes them back.
    pub(super) fn give_sums(&mut self, sums: &'a mut [Block]) -> Result<&mut [Block; GROUP]> {
        self.sums = sums;
        self.sums_mut()
    }

    /// Before there are leaves: memory for the messages of base OTs, and for one tree at least.
    pub(super) fn messages(&mut self) -> Result<(&mut [Encoded; 2 * KAPPA], &mut [Block])> {
        let (messages, rest) = self.blocks.split_at_mut_checked(MESSAGES).ok_or(Error::Internal)?;
        let messages = messages.as_chunks_mut().0.try_into().map_err(|_| Error::Internal)?;
        Ok((messages, if rest.is_empty() { self.sums } else { rest }))
    }
}

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        self.blocks.zeroize();
        self.sums.zeroize();
    }
}

/// One half that is set up several times in the same memory: none before the first time, and none
/// after one that failed.
pub enum Renewable<'a, H> {
    /// Nothing can be set up: the session has no use for it, or set-up failed.
    Never,
    /// Before the first set-up.
    Before(Leaves<'a>),
    /// After it.
    Ready(H),
}

impl<'a, H: AsMut<Leaves<'a>> + Into<Leaves<'a>>> Renewable<'a, H> {
    /// Sets up another half in place of the one before. If that fails, there is none any more.
    ///
    /// # Errors
    /// Those of `set_up`; [`Error::Internal`] if there is no memory for it.
    pub fn renew(&mut self, set_up: impl FnOnce(Leaves<'a>) -> Result<H>) -> Result<()> {
        let leaves = match replace(self, Self::Never) {
            Self::Never => return Err(Error::Internal),
            Self::Before(leaves) => leaves,
            Self::Ready(half) => half.into(),
        };
        *self = Self::Ready(set_up(leaves)?);
        Ok(())
    }

    /// The half.
    ///
    /// # Errors
    /// [`Error::Internal`] before it is set up.
    pub const fn half(&mut self) -> Result<&mut H> {
        match self {
            Self::Ready(half) => Ok(half),
            Self::Never | Self::Before(_) => Err(Error::Internal),
        }
    }

    /// Shares the work of its extensions with these.
    pub fn use_workers(&mut self, workers: Workers<'a>) {
        match self {
            Self::Never => {}
            Self::Before(leaves) => leaves.use_workers(workers),
            Self::Ready(half) => half.as_mut().use_workers(workers),
        }
    }
}

/// A slice must have exactly the length needed.
pub(super) const fn check(need: usize, got: usize) -> Result<()> {
    if need == got { Ok(()) } else { Err(Error::Length { need }) }
}

#[cfg(test)]
mod tests {
    use super::super::{GROUP, Receiver, Sender};
    use super::*;
    use crate::hash::Tmmo;
    use crate::params::KAPPA;

    const K2: usize = Repetition::K2.memory();

    #[test]
    fn memory_of_another_length_is_refused() {
        for repetition in Repetition::ALL {
            let need = repetition.memory();
            let mut blocks = std::vec![0; need + 1];
            for got in [0, need - 1, need + 1] {
                let error = Leaves::new(repetition, &mut blocks[..got]).err();
                assert_eq!(error, Some(Error::Length { need }));
            }
            assert!(Leaves::new(repetition, &mut blocks[..need]).is_ok());
        }
    }

    #[test]
    fn there_is_no_half_before_set_up_nor_after_a_failure() {
        let (hash, mut blocks) = (Tmmo::new(1), [7; K2]);
        let leaves = Leaves::new(Repetition::K2, &mut blocks).unwrap();
        let mut sender = Renewable::<Sender<'_>>::Before(leaves);
        let set_up = |delta, message| {
            let hash = &hash;
            move |leaves| Sender::new(leaves, delta, &[message; KAPPA], hash, hash)
        };
        assert_eq!(sender.half().err(), Some(Error::Internal));
        let labels = [4, 5, 4].map(|message| {
            sender.renew(set_up(1, message)).unwrap();
            let (mut labels, corrections) = ([0; GROUP], [0; 1024]);
            sender.half().unwrap().start(&corrections).unwrap();
            sender.half().unwrap().extend(&corrections, &mut labels).unwrap();
            labels
        });
        assert_eq!(labels[0], labels[2]);
        assert_ne!(labels[0], labels[1]);
        assert_eq!(sender.renew(set_up(0, 4)), Err(Error::Internal));
        assert_eq!(sender.half().err(), Some(Error::Internal));
        assert_eq!(sender.renew(set_up(1, 4)), Err(Error::Internal));
        drop(sender);
        assert_eq!(blocks, [0; K2]);
        assert_eq!(Renewable::<Receiver<'_>>::Never.half().err(), Some(Error::Internal));
    }
}
