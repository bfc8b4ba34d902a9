//! The memory of one half of the OT extension, before and between set-ups.

use super::Repetition;
use crate::backend::aes::Path;
use crate::block::Block;
use crate::workers::Workers;
use crate::{Error, Result};
use core::mem::replace;
use zeroize::Zeroize as _;

/// Memory for the leaves of all trees, in blocks that the caller lends: the state before set-up.
/// [`super::Receiver::new`] or [`super::Sender::new`] takes it, so there is no half without trees.
/// Wiped on drop.
pub struct Leaves<'a> {
    repetition: Repetition,
    /// The leaves; before, halves of the messages of base OTs.
    blocks: &'a mut [Block],
    path: Path,
    workers: Workers<'a>,
}

impl<'a> Leaves<'a> {
    /// Memory for the trees of one half.
    ///
    /// # Errors
    /// [`Error::Length`] unless `blocks` has [`Repetition::leaves`] blocks.
    pub fn new(repetition: Repetition, blocks: &'a mut [Block]) -> Result<Self> {
        check(repetition.leaves(), blocks.len())?;
        Ok(Self { repetition, blocks, path: Path::best(), workers: Workers::OWN })
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
        self.blocks.chunks_exact(1 << self.repetition.k())
    }

    /// The same, to be written.
    pub(super) fn trees_mut(&mut self) -> impl Iterator<Item = &mut [Block]> {
        self.blocks.chunks_exact_mut(1 << self.repetition.k())
    }

    /// All of the memory, before there are leaves.
    pub(super) const fn memory(&mut self) -> &mut [Block] {
        self.blocks
    }
}

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        self.blocks.zeroize();
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

    const K2: usize = Repetition::K2.leaves();

    #[test]
    fn memory_of_another_length_is_refused() {
        for repetition in Repetition::ALL {
            let need = repetition.leaves();
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
            let (half, sums) = (sender.half().unwrap(), &mut [0; GROUP]);
            half.start(sums, &corrections).unwrap();
            half.extend(sums, &corrections, &mut labels).unwrap();
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
