//! AES-128 on labels. The `aes` crate picks AES-NI or its constant-time software at run time.

use crate::hash::Block;
use ::aes::Aes128Enc;
use ::aes::cipher::{Array, BlockCipherEncrypt, KeyInit};

/// AES-128 with a scheduled key.
pub struct Aes {
    cipher: Aes128Enc,
}

impl Aes {
    /// Blocks in flight: enough for AES-NI to hide its latency, a pair on small machines (bit-sliced software does two for the price of one).
    const PIPELINE: usize = if cfg!(target_pointer_width = "64") { 8 } else { 2 };

    /// Schedules `key`, taken as 16 little-endian bytes.
    #[must_use]
    pub fn new(key: Block) -> Self {
        Self { cipher: Aes128Enc::new(&Array(key.to_le_bytes())) }
    }

    /// Encrypts every block in place.
    #[inline]
    pub fn encrypt(&self, blocks: &mut [Block]) {
        for chunk in blocks.chunks_mut(Self::PIPELINE) {
            let mut buffer = [::aes::Block::default(); Self::PIPELINE];
            for (to, from) in buffer.iter_mut().zip(chunk.iter()) {
                to.0 = from.to_le_bytes();
            }
            if let Some(used) = buffer.get_mut(..chunk.len()) {
                self.cipher.encrypt_blocks(used);
            }
            for (to, from) in chunk.iter_mut().zip(buffer) {
                *to = Block::from_le_bytes(from.0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fips_197_appendix_c1() {
        let key = 0x0f0e_0d0c_0b0a_0908_0706_0504_0302_0100;
        let mut blocks = [0xffee_ddcc_bbaa_9988_7766_5544_3322_1100; 11];
        Aes::new(key).encrypt(&mut blocks);
        assert_eq!(blocks, [0x5ac5_b470_80b7_cdd8_3004_7b6a_d8e0_c469; 11]);
    }
}
