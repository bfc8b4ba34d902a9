//! Coefficient packing of a fully connected layer: the tile, and how it is chosen.
//!
//! A tile holds `batch · outputs · inputs ≤ n` coefficients (after Cheetah, USENIX Security 2022, §3, with a batch dimension):
//! inputs `Σ x_bj X^(b·n_o·n_w + j)`, weights `Σ W_ij X^(i·n_w + n_w − 1 − j)`, results at `b·n_o·n_w + i·n_w + n_w − 1`.

use super::Op;
use super::noise::{self, Level};
use crate::error::{Error, Result};
use crate::params::{LIMB_BITS, N};

/// The packing of one fully connected layer for a stock of predictions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fc {
    /// Ring of the layer, in bits.
    pub ring: u8,
    /// Elements in.
    pub inputs: usize,
    /// Elements out.
    pub outputs: usize,
    /// Predictions in the stock.
    pub stock: usize,
    /// Predictions in one ciphertext.
    pub n_b: usize,
    /// Outputs in one ciphertext.
    pub n_o: usize,
    /// Inputs in one ciphertext.
    pub n_w: usize,
    /// Moduli and flooding.
    pub level: Level,
}

impl Fc {
    /// The tile with the fewest bytes, then the fewest products; both parties come to the same one.
    ///
    /// # Errors
    /// [`Error::Plan`] if no tile leaves enough flooding, [`Error::Internal`] if `op` is not fully connected.
    pub fn choose(op: &Op, stock: usize) -> Result<Self> {
        let Op::FullyConnected { ring, weight_bits, inputs, outputs } = *op else { return Err(Error::Internal) };
        let (inputs, outputs) = (inputs as usize, outputs as usize);
        let mut best: Option<(u64, u64, Self)> = None;
        let mut refused = Error::Internal;
        let mut n_b = 1;
        while n_b <= stock.min(N) {
            let mut chunks = inputs.div_ceil(N / n_b);
            loop {
                let n_w = inputs.div_ceil(chunks);
                let n_o = outputs.min(N / (n_b * n_w));
                let packed = (inputs * n_o) as u64;
                match Level::choose(u32::from(ring), noise::bound(packed, u32::from(weight_bits) - 1)) {
                    Ok(level) => {
                        let tile = Self { ring, inputs, outputs, stock, n_b, n_o, n_w, level };
                        let (bytes, work) = (tile.bytes(), tile.products());
                        if best.is_none_or(|(b, w, _)| (bytes, work) < (b, w)) {
                            best = Some((bytes, work, tile));
                        }
                    }
                    Err(error) => refused = error,
                }
                // More chunks than this only add uploads: one output group is all that is left.
                if n_o == outputs || n_w == 1 {
                    break;
                }
                // The next number of chunks that makes them narrower.
                chunks = inputs.div_ceil(n_w - 1);
            }
            n_b *= 2;
        }
        best.map(|(_, _, tile)| tile).ok_or(refused)
    }

    /// Ciphertexts of inputs per group of predictions.
    #[must_use]
    pub const fn chunks(&self) -> usize {
        self.inputs.div_ceil(self.n_w)
    }

    /// Ciphertexts of outputs per group of predictions.
    #[must_use]
    pub const fn groups(&self) -> usize {
        self.outputs.div_ceil(self.n_o)
    }

    /// Groups of predictions that share a ciphertext.
    #[must_use]
    pub const fn batches(&self) -> usize {
        self.stock.div_ceil(self.n_b)
    }

    /// Ciphertexts up, for the whole stock.
    #[must_use]
    pub const fn up(&self) -> usize {
        self.batches() * self.chunks()
    }

    /// Ciphertexts down, for the whole stock.
    #[must_use]
    pub const fn down(&self) -> usize {
        self.batches() * self.groups()
    }

    /// Products of a ciphertext with a weight polynomial, for the whole stock.
    #[must_use]
    pub const fn products(&self) -> u64 {
        self.up() as u64 * self.groups() as u64
    }

    /// Weight polynomials.
    #[must_use]
    pub const fn weight_polynomials(&self) -> usize {
        self.chunks() * self.groups()
    }

    /// Predictions in batch `b`.
    #[must_use]
    pub const fn batch_len(&self, b: usize) -> usize {
        min(self.n_b, self.stock - b * self.n_b)
    }

    /// Outputs in group `g`.
    #[must_use]
    pub const fn group_len(&self, g: usize) -> usize {
        min(self.n_o, self.outputs - g * self.n_o)
    }

    /// Inputs in chunk `c`.
    #[must_use]
    pub const fn chunk_len(&self, c: usize) -> usize {
        min(self.n_w, self.inputs - c * self.n_w)
    }

    /// Coefficient of input `j` of the chunk, of prediction `b` of the batch.
    #[must_use]
    pub const fn input_at(&self, b: usize, j: usize) -> usize {
        b * self.n_o * self.n_w + j
    }

    /// Coefficient of weight `(i, j)` of a weight polynomial.
    #[must_use]
    pub const fn weight_at(&self, i: usize, j: usize) -> usize {
        i * self.n_w + self.n_w - 1 - j
    }

    /// Coefficient of result `i` of the group, of prediction `b` of the batch.
    #[must_use]
    pub const fn result_at(&self, b: usize, i: usize) -> usize {
        (b * self.n_o + i) * self.n_w + self.n_w - 1
    }

    /// Bits of a coefficient of the downloaded `c1`.
    #[must_use]
    pub const fn c1_bits(&self) -> u32 {
        self.ring as u32 + noise::C1_EXTRA
    }

    /// Bits of a coefficient of the downloaded `c0`.
    #[must_use]
    pub const fn c0_bits(&self) -> u32 {
        self.ring as u32 + noise::C0_EXTRA
    }

    /// Bytes of the upload's payload: a seed and one polynomial for each ciphertext and limb.
    #[must_use]
    pub const fn upload_bytes(&self) -> u64 {
        32 + self.up() as u64 * self.level.limbs as u64 * (N as u64 * LIMB_BITS as u64 / 8)
    }

    /// Bytes of the download's payload: for each ciphertext `c1` whole and `c0` where results stand.
    #[must_use]
    pub const fn download_bytes(&self) -> u64 {
        let c1 = self.down() as u64 * (N as u64 * self.c1_bits() as u64 / 8);
        // All batches but the last are alike, and so are all groups: a plan of any size is counted at once.
        let (b, g) = (self.batches() - 1, self.groups() - 1);
        c1 + (b * g) as u64 * self.c0_bytes(0, 0) + b as u64 * self.c0_bytes(0, g) + g as u64 * self.c0_bytes(b, 0) + self.c0_bytes(b, g)
    }

    /// Bytes of the results of one ciphertext.
    const fn c0_bytes(&self, batch: usize, group: usize) -> u64 {
        (self.batch_len(batch) as u64 * self.group_len(group) as u64 * self.c0_bits() as u64).div_ceil(8)
    }

    const fn bytes(&self) -> u64 {
        self.upload_bytes() + self.download_bytes()
    }
}

const fn min(a: usize, b: usize) -> usize {
    if a < b { a } else { b }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fc(ring: u8, inputs: u32, outputs: u32, stock: usize) -> Fc {
        Fc::choose(&Op::FullyConnected { ring, weight_bits: 8, inputs, outputs }, stock).unwrap_or_else(|e| panic!("{e}"))
    }

    #[test]
    fn paper_layer_takes_three_up_and_nine_down() {
        let t = fc(24, 784, 128, 1);
        assert_eq!((t.up(), t.down(), t.level.limbs), (3, 9, 4));
    }

    #[test]
    fn bytes_per_prediction_fall_with_the_stock() {
        let per = |k: usize| fc(24, 784, 128, k).bytes() / k as u64;
        assert!(per(4) < per(1) && per(16) < per(4) && per(64) <= per(16), "{} {} {} {}", per(1), per(4), per(16), per(64));
    }

    #[test]
    fn positions_are_in_range_and_distinct() {
        for (i, o, k) in [(7, 3, 1), (784, 128, 5), (4097, 2, 3), (1, 5000, 1), (64, 10, 100)] {
            let t = fc(20, i, o, k);
            let mut seen = std::collections::HashSet::new();
            for b in 0..t.n_b {
                for r in 0..t.n_o {
                    assert!(t.result_at(b, r) < N && seen.insert(t.result_at(b, r)));
                }
                assert!(t.input_at(b, t.n_w - 1) < N);
            }
            assert!(t.weight_at(t.n_o - 1, 0) < N && t.weight_at(0, t.n_w - 1) == 0);
        }
    }
}
