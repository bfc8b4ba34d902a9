//! AES-128: blocks under one key and key schedules, the limits of garbling and OT extension.

use minionn_core::backend::aes::{Aes, Lanes, Path};
use minionn_core::block::Block;

/// Blocks of one run.
pub const BLOCKS: usize = 1024;
/// Keys scheduled side by side.
pub const LANES: usize = 16;
/// Key schedules of one run.
pub const KEYS: usize = 1024;

/// One path's memory.
pub struct Bench {
    cipher: Aes,
    lanes: Lanes<LANES>,
    blocks: Vec<Block>,
}

impl Bench {
    /// On a path that this CPU can go.
    #[must_use]
    pub fn new(path: Path) -> Self {
        Self {
            cipher: Aes::on(path, &[1]),
            lanes: Lanes::on(path, &[1; LANES]),
            blocks: vec![0; BLOCKS],
        }
    }

    /// Encrypts [`BLOCKS`] blocks under one key.
    pub fn encrypt(&mut self) {
        self.cipher.encrypt(&mut self.blocks);
    }

    /// Schedules [`KEYS`] keys.
    pub fn schedule(&mut self) {
        for keys in self.blocks.as_chunks().0.iter().take(KEYS / LANES) {
            self.lanes.replace(keys);
        }
    }
}
