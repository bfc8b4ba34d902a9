//! Dot-product triplets: `u + v = W·r` for every linear layer and a whole stock, by packed lattice encryption (§3.2 of the paper,
//! with coefficient packing instead of slots).

use super::Options;
use super::channel::Channel;
use super::setup::{checked, put_limb};
use crate::error::{Error, Result};
use crate::lattice::encode::{Encoder, Plaintext};
use crate::lattice::encrypt::Mask;
use crate::lattice::evaluate::{Fresh, accumulate, accumulate_scaled, add_zero};
use crate::lattice::rescale::{Basis, Fraction as _};
use crate::lattice::{PublicKey, SecretKey, decrypt};
use crate::memory::Space;
use crate::model::{Layer, Model};
use crate::params::{LIMB_BITS, N};
use crate::plan::tile::Tile;
use crate::plan::{Op, Plan, Step};
use crate::ring::{LIMBS, Modulus};
use crate::rng::Seed;
use crate::wire::{Tag, packed_len};
use embedded_io_async::{Read, Write};

/// The tile of a linear operation under these options.
pub(crate) fn tile(op: &Op, options: &Options) -> Result<Tile> {
    Tile::choose(op, options.stock as usize)
}

/// A model whose weights are transformed, once for all sessions with the same stock.
pub struct Prepared<'a> {
    model: Model<'a>,
    stock: u32,
    /// `NTT(w)`, Montgomery form, for each linear layer `[limb][group][chunk][n]`, or `[limb][group][chunk]` ([`Tile::is_scalar`]).
    weights: &'a [i32],
}

impl<'a> Prepared<'a> {
    pub(crate) fn take(space: &mut Space<'a>, plan: &Plan<'_>, stock: u32) -> Result<&'a mut [i32]> {
        let options = Options { stock, ..Options::default() };
        options.check()?;
        let mut numbers = 0_usize;
        for op in plan.ops().filter(Op::is_linear) {
            numbers = numbers.saturating_add(weights_len(&tile(&op, &options)?));
        }
        space.take(numbers)
    }

    /// Transforms the weights into `memory`, which has [`super::prepared_memory`] bytes.
    ///
    /// # Errors
    /// [`Error::Memory`], [`Error::Alignment`] or [`Error::Option`].
    pub fn new(model: Model<'a>, stock: u32, memory: &'a mut [u8]) -> Result<Self> {
        let weights = Self::take(&mut Space::carve(memory)?, model.plan(), stock)?;
        let options = Options { stock, ..Options::default() };
        let mut left = &mut *weights;
        for (op, layer) in model.plan().ops().filter(Op::has_parameters).zip(model.layers()).filter(|(op, _)| op.is_linear()) {
            let tile = tile(&op, &options)?;
            for limb in LIMBS.iter().take(tile.level.limbs) {
                for group in 0..tile.groups() {
                    for chunk in tile.chunks_of(group) {
                        let poly = left.split_off_mut(..tile.weight_len()).ok_or(Error::Internal)?;
                        weight_polynomial(&tile, &layer, group, chunk, poly);
                        for w in poly.iter_mut() {
                            *w = limb.to_montgomery(*w);
                        }
                        if !tile.is_scalar() {
                            limb.forward(poly);
                        }
                    }
                }
            }
        }
        Ok(Self { model, stock, weights })
    }

    /// The model.
    #[must_use]
    pub const fn model(&self) -> &Model<'a> {
        &self.model
    }

    /// The stock that the tiles were chosen for.
    #[must_use]
    pub const fn stock(&self) -> u32 {
        self.stock
    }
}

/// Numbers that the weights of a layer take.
fn weights_len(tile: &Tile) -> usize {
    tile.weight_polynomials().saturating_mul(tile.level.limbs * tile.weight_len())
}

/// The weight polynomial of one group of outputs and one chunk of inputs.
fn weight_polynomial(tile: &Tile, layer: &Layer<'_>, group: usize, chunk: usize, out: &mut [i32]) {
    out.fill(0);
    for (index, at) in tile.weights(group, chunk) {
        if let Some(slot) = out.get_mut(at) {
            *slot = layer.weight(index) as i32;
        }
    }
}

/// The client's scratch for one layer.
pub(crate) struct ClientScratch<'a> {
    secret: &'a mut [i32],
    poly: &'a mut [i32],
    packed: &'a mut [u8],
    residues: &'a mut [[i32; 3]],
}

impl<'a> ClientScratch<'a> {
    pub(crate) fn take(space: &mut Space<'a>, tile: &Tile) -> Result<Self> {
        Ok(Self {
            secret: space.take(N)?,
            poly: space.take(N)?,
            packed: space.take(packed_len(N as u64, tile.c1_bits()) as usize)?,
            residues: space.take(tile.most_results())?,
        })
    }
}

/// The client's shares of all tensors of the stock.
pub(crate) struct Shares<'s> {
    pub(crate) all: &'s mut [u64],
    pub(crate) per_prediction: usize,
}

impl<'s> Shares<'s> {
    pub(crate) fn new(all: &'s mut [u64], plan: &Plan<'_>) -> Self {
        Self { all, per_prediction: plan.elements() }
    }

    /// Share of element `i` of all elements of `prediction`, in a ring that may be narrower than the tensor's.
    pub(crate) fn get(&self, prediction: usize, ring: Modulus, i: usize) -> u64 {
        ring.reduce(self.all.get(prediction * self.per_prediction + i).copied().unwrap_or(0))
    }

    /// All tensors of `prediction`.
    pub(crate) fn of(&mut self, prediction: usize) -> Result<&mut [u64]> {
        let first = prediction * self.per_prediction;
        self.all.get_mut(first..first + self.per_prediction).ok_or(Error::Internal)
    }

    /// `len` elements from `offset` of `prediction`.
    pub(crate) fn tensor(&mut self, prediction: usize, offset: usize, len: usize) -> Result<&mut [u64]> {
        self.of(prediction)?.get_mut(offset..offset + len).ok_or(Error::Internal)
    }
}

/// Client: encrypts its shares `r` of the tensor that `step` reads, receives `v` into the one that it makes.
/// `seed` is fresh for this layer and stock.
pub(crate) async fn client<IO: Read + Write>(
    ch: &mut Channel<IO>,
    scratch: &mut [u8],
    key: &SecretKey,
    seed: &Seed,
    tile: &Tile,
    shares: &mut Shares<'_>,
    step: &Step,
) -> Result<()> {
    let ClientScratch { secret, poly, packed, residues } = ClientScratch::take(&mut Space::carve(scratch)?, tile)?;
    let (public, noise) = (seed.derive(0), seed.derive(1));
    let ring = u32::from(tile.ring);
    let modulus = Modulus::Bits(tile.ring);
    let encoder = Encoder::new(Plaintext::Bits(ring), tile.level.limbs);

    ch.begin(Tag::Upload, tile.upload_bytes()).await?;
    ch.put(&public.0).await?;
    for (index, limb) in LIMBS.iter().enumerate().take(tile.level.limbs) {
        key.expand(limb, secret);
        for number in 0..tile.up() {
            poly.fill(0);
            for (prediction, element, at) in tile.inputs(number) {
                let r = shares.get(prediction, modulus, step.from + element);
                *poly.get_mut(at).ok_or(Error::Internal)? = encoder.encode(index, r);
            }
            SecretKey::encrypt_limb(index, number as u64, &public, &noise, secret, poly);
            put_limb(ch, poly).await?;
        }
    }
    ch.end().await?;

    ch.expect(Tag::Download, tile.download_bytes()).await?;
    for number in 0..tile.down() {
        let results = tile.results(number);
        let packed = packed.get_mut(..packed_len(N as u64, tile.c1_bits()) as usize).ok_or(Error::Internal)?;
        ch.get(packed).await?;
        let limbs = decrypt::limbs(tile.c1_bits());
        for index in 0..limbs {
            decrypt::load(index, packed, tile.c1_bits(), poly);
            decrypt::multiply_by_secret(index, key, poly, secret);
            for (residue, (_, _, position)) in residues.iter_mut().zip(results.clone()) {
                let slot = residue.get_mut(index).ok_or(Error::Internal)?;
                *slot = poly.get(position).copied().ok_or(Error::Internal)?;
            }
        }
        let mut each = residues.iter().zip(results.clone());
        ch.get_values(results.count(), tile.c0_bits(), |_, c0| {
            let (&residue, (prediction, output, _)) = each.next().ok_or(Error::Internal)?;
            let v = decrypt::round(ring, c0, decrypt::lift(residue, limbs));
            *shares.of(prediction)?.get_mut(step.to + output).ok_or(Error::Internal)? = v;
            Ok(())
        })
        .await?;
    }
    ch.finish().await
}

/// The server's scratch for one layer.
pub(crate) struct ServerScratch<'a> {
    c0: &'a mut [i32],
    c1: &'a mut [i32],
    z0: &'a mut [i32],
    z1: &'a mut [i32],
    ephemeral: &'a mut [i32],
    sums0: &'a mut [u64],
    sums1: &'a mut [u64],
}

impl<'a> ServerScratch<'a> {
    pub(crate) fn take(space: &mut Space<'a>, tile: &Tile) -> Result<Self> {
        let polynomials = |n: usize| n.saturating_mul(N);
        Ok(Self {
            c0: space.take(polynomials(tile.up()))?,
            c1: space.take(polynomials(tile.up()))?,
            z0: space.take(N)?,
            z1: space.take(N)?,
            ephemeral: space.take(N)?,
            sums0: space.take(tile.down().saturating_mul(tile.most_results()))?,
            sums1: space.take(polynomials(tile.down()))?,
        })
    }
}

/// Server: multiplies the client's encrypted shares by the weights, subtracts `masks` (`[stock][outputs]`), answers.
/// `weights` are the layer's in [`Prepared`]; `seed` is fresh for this layer and stock.
pub(crate) async fn server<IO: Read + Write>(
    ch: &mut Channel<IO>,
    scratch: &mut [u8],
    key: &PublicKey<'_>,
    seed: &Seed,
    tile: &Tile,
    weights: &[i32],
    masks: &[u64],
) -> Result<()> {
    let ServerScratch { c0, c1, z0, z1, ephemeral, sums0, sums1 } = ServerScratch::take(&mut Space::carve(scratch)?, tile)?;
    let ring = Modulus::Bits(tile.ring);
    let encoder = Encoder::new(Plaintext::Bits(ring.bits()), tile.level.limbs);
    let basis = Basis::new(tile.level.limbs);
    let results_per_download = tile.most_results();
    let elements = tile.outputs();

    ch.expect(Tag::Upload, tile.upload_bytes()).await?;
    let mut public = Seed([0; 32]);
    ch.get(&mut public.0).await?;
    for (index, limb) in LIMBS.iter().enumerate().take(tile.level.limbs) {
        for (number, (c0, c1)) in c0.chunks_exact_mut(N).zip(c1.chunks_exact_mut(N)).enumerate() {
            let mut values = c0.iter_mut();
            ch.get_values(N, LIMB_BITS, |_, x| {
                *values.next().ok_or(Error::Internal)? = checked(limb, x)?;
                Ok(())
            })
            .await?;
            let mut mask = Mask::new(&public, number as u64, index);
            c1.fill_with(|| mask.next(limb));
        }
        let layer_limb = tile.weight_polynomials() * tile.weight_len();
        let weights = weights.get(index * layer_limb..(index + 1) * layer_limb).ok_or(Error::Internal)?;
        for (number, (sums0, sums1)) in sums0.chunks_exact_mut(results_per_download).zip(sums1.chunks_exact_mut(N)).enumerate() {
            let (group, rest) = (number % tile.groups(), number / tile.groups());
            let chunks = tile.chunks_of(group);
            let first = rest * tile.chunks();
            let inputs = (first + chunks.start) * N..(first + chunks.end) * N;
            let weights = weights.chunks_exact(tile.weight_len()).skip(tile.polynomials_before(group));
            let (c0, c1) = (c0.get(inputs.clone()).ok_or(Error::Internal)?, c1.get(inputs).ok_or(Error::Internal)?);
            z0.fill(0);
            z1.fill(0);
            for ((c0, c1), w) in c0.chunks_exact(N).zip(c1.chunks_exact(N)).zip(weights) {
                match *w {
                    [w] => {
                        accumulate_scaled(limb, c0, w, z0);
                        accumulate_scaled(limb, c1, w, z1);
                    }
                    _ => {
                        accumulate(limb, c0.iter().copied(), w, z0);
                        accumulate(limb, c1.iter().copied(), w, z1);
                    }
                }
            }
            let fresh = Fresh { seed, number: number as u64, flood: tile.level.flood };
            fresh.ephemeral(limb, ephemeral);
            add_zero(index, key, ephemeral, z0, z1);
            limb.inverse(z0);
            limb.inverse(z1);
            let mut sums = sums0.iter_mut();
            let plaintexts =
                tile.results(number).map(|(p, o, position)| (position, ring.neg(masks.get(p * elements + o).copied().unwrap_or(0))));
            fresh.finish_c0(index, &encoder, z0, plaintexts, |x| {
                if let Some(sum) = sums.next() {
                    sum.add(basis.fraction(index, x));
                }
            });
            let mut sums = sums1.iter_mut();
            fresh.finish_c1(index, z1, |x| {
                if let Some(sum) = sums.next() {
                    sum.add(basis.fraction(index, x));
                }
            });
        }
    }
    ch.finish().await?;

    ch.begin(Tag::Download, tile.download_bytes()).await?;
    for (number, (sums0, sums1)) in sums0.chunks_exact(results_per_download).zip(sums1.chunks_exact(N)).enumerate() {
        let count = tile.results(number).count();
        let mut sums = sums1.iter();
        ch.put_values(N, tile.c1_bits(), |_| sums.next().map_or(0, |s| s.round(tile.c1_bits()))).await?;
        let mut sums = sums0.iter();
        ch.put_values(count, tile.c0_bits(), |_| sums.next().map_or(0, |s| s.round(tile.c0_bits()))).await?;
    }
    ch.end().await
}

impl Prepared<'_> {
    /// The weights of the `layer`-th linear layer.
    pub(crate) fn layer(&self, layer: usize) -> Result<&[i32]> {
        let options = Options { stock: self.stock, ..Options::default() };
        let mut first = 0;
        for (l, op) in self.model.plan().ops().filter(Op::is_linear).enumerate() {
            let tile = tile(&op, &options)?;
            let len = weights_len(&tile);
            if l == layer {
                return self.weights.get(first..first + len).ok_or(Error::Internal);
            }
            first += len;
        }
        Err(Error::Internal)
    }
}
