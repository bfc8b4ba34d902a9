//! Dot-product triplets: `u + v = W·r mod N`, every element copied for every row.
//!
//! Row i of the m×k matrix takes the slots `i·k .. (i+1)·k` of consecutive ciphertexts: the client
//! puts copies of `r` there, the server multiplies by `W` and adds a fresh mask to each slot, the
//! client adds up its row. A convolution is the matrix of all its windows (im2col), one row for
//! each output element.

use super::batch::{Batch, MODULUS, RING};
use super::cipher::{Client, DOWNLOAD_BYTES, Multiplier, SEED_BYTES, Server, UPLOAD_BYTES};
use anyhow::ensure;
use minionn_core::model::Layer;
use minionn_core::params::N;
use minionn_core::plan::Convolution;
use minionn_core::rng::Prg;
use serde::Serialize;

/// What a layer's triplets took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Ciphertexts from the client.
    pub up: u64,
    /// Products of a ciphertext and a plaintext polynomial.
    pub multiplications: u64,
    /// Ciphertexts from the server.
    pub down: u64,
    /// Decryptions by the client.
    pub decryptions: u64,
}

impl Counts {
    /// Bytes up and down.
    #[must_use]
    pub const fn bytes(&self) -> [u64; 2] {
        [SEED_BYTES + self.up * UPLOAD_BYTES, self.down * DOWNLOAD_BYTES]
    }
}

/// A uniform element of `Z_N`, up to `2^-91`.
pub fn uniform(prg: &mut Prg) -> u64 {
    (prg.next_u128() % u128::from(MODULUS)) as u64
}

/// A linear layer as dot products, with its weights ready to multiply.
pub struct Dots<'m> {
    layer: Layer<'m>,
    multipliers: Vec<Multiplier>,
}

/// Both parties' shares of `W·r`.
pub struct Triplet {
    /// `u`.
    pub server: Vec<u64>,
    /// `v`.
    pub client: Vec<u64>,
    /// What it took.
    pub counts: Counts,
}

impl<'m> Dots<'m> {
    /// Encodes the weights of a layer.
    ///
    /// # Panics
    /// If the layer has fewer weights than its shape says, which no parsed model has.
    #[must_use]
    pub fn new(layer: Layer<'m>, batch: &Batch) -> Self {
        let (k, slots) = (width(layer.geometry().layer()), slots(&layer));
        let place = layer.geometry().size.iter().product::<usize>();
        let weights: Vec<i64> = layer.weights().collect();
        let weight = |slot: usize| RING.reduce_signed(weights[slot / k / place * k + slot % k]);
        let chunk = |first: usize| {
            (first..first + N).map(|slot| if slot < slots { weight(slot) } else { 0 }).collect()
        };
        let multipliers =
            (0..slots).step_by(N).map(|first| Multiplier::new(batch, chunk(first))).collect();
        Self { layer, multipliers }
    }

    /// The row of a slot, and the element of the input that belongs there; `None` is padding.
    fn element(&self, slot: usize) -> (usize, Option<usize>) {
        let (g, layer) = (self.layer.geometry(), self.layer.geometry().layer());
        let ([_, wo], [kh, kw]) = (g.size, layer.kernel.map(|x| x as usize));
        let (row, j) = (slot / width(layer), slot % width(layer));
        let (output, y, x) = (row / (g.size[0] * wo), row / wo % g.size[0], row % wo);
        let per_group = layer.input[0] as usize / g.groups;
        let channel = output / (g.outputs / g.groups) * per_group + j / (kh * kw);
        (row, layer.tap(channel, [y, x], [j / kw % kh, j % kw]))
    }

    /// Elements of the output.
    #[must_use]
    pub fn rows(&self) -> usize {
        slots(&self.layer) / width(self.layer.geometry().layer())
    }

    /// Both parties' shares of `W·r`, for the client's `r`; `masks` is the server's.
    ///
    /// # Errors
    /// If `r` is too short.
    pub fn triplet(
        &self,
        parties: &mut (Client, Server),
        batch: &Batch,
        r: &[u64],
        masks: &mut Prg,
    ) -> anyhow::Result<Triplet> {
        let (client, server) = parties;
        let before = (client.encryptions, server.multiplications, client.decryptions);
        let slots = slots(&self.layer);
        ensure!(
            r.len() == self.layer.geometry().layer().input.iter().product::<u32>() as usize,
            "a mask of another length than the input"
        );

        let copy = |slot: usize| {
            if slot < slots {
                self.element(slot).1.and_then(|i| r.get(i)).copied().unwrap_or(0)
            } else {
                0
            }
        };
        let row_sums = |sums: &mut [u64], first: usize, values: &[u64], sign: fn(u64) -> u64| {
            for (slot, &value) in (first..slots).zip(values) {
                if let Some(sum) = sums.get_mut(self.element(slot).0) {
                    *sum = RING.add(*sum, sign(value));
                }
            }
        };
        let (mut u, mut v, mut down) = (vec![0; self.rows()], vec![0; self.rows()], 0);
        // One ciphertext after the other, so that no more than one is in memory.
        for (first, multiplier) in (0..slots).step_by(N).zip(&self.multipliers) {
            let mut copies: Vec<u64> = (first..first + N).map(copy).collect();
            batch.encode(&mut copies);
            let upload = client.encrypt(&copies);

            let mut mask: Vec<u64> = (0..N).map(|_| uniform(masks)).collect();
            row_sums(&mut u, first, &mask, |x| RING.neg(x));
            batch.encode(&mut mask);
            let download = server.multiply_add(&upload, multiplier, &mask);
            down += 1;

            let mut products = client.decrypt(&download);
            batch.decode(&mut products);
            row_sums(&mut v, first, &products, |x| x);
        }
        let counts = Counts {
            up: client.encryptions - before.0,
            multiplications: server.multiplications - before.1,
            down,
            decryptions: client.decryptions - before.2,
        };
        Ok(Triplet { server: u, client: v, counts })
    }

    /// `W·x + b mod N`: the server's online work.
    #[must_use]
    pub fn apply(&self, x: &[u64]) -> Vec<u64> {
        let (k, place) = (
            width(self.layer.geometry().layer()),
            self.layer.geometry().size.iter().product::<usize>(),
        );
        let biases: Vec<i64> = self.layer.biases().collect();
        let row = |row: usize| {
            let output = row / place;
            let start = i128::from(biases.get(output).copied().unwrap_or(0));
            // 2^11 · 2^37 · 2^28 at most.
            let sum = (0..k).filter_map(|j| {
                let x = *x.get(self.element(row * k + j).1?)?;
                Some(i128::from(self.layer.weight(output * k + j)?) * i128::from(x))
            });
            sum.fold(start, |a, b| a + b).rem_euclid(i128::from(MODULUS)) as u64
        };
        (0..self.rows()).map(row).collect()
    }
}

/// Length of a dot product.
const fn width(layer: &Convolution) -> usize {
    layer.fan_in() as usize
}

/// Elements of the matrix of a layer.
fn slots(layer: &Layer<'_>) -> usize {
    let g = layer.geometry();
    g.outputs * g.size.iter().product::<usize>() * width(g.layer())
}
