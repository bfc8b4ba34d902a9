//! The server's side of triplets.

use super::super::channel::Channel;
use super::super::polynomials::{get_limb_with, put_rounded};
use super::super::prepared::{Footprint, Weights, transformed_weights};
use crate::attack::{Defence, stripped};
use crate::backend;
use crate::backend::limb::{BLOCK, Polynomials};
use crate::error::{Error, Result};
use crate::lattice::PublicKey;
use crate::lattice::encode::{Encoder, Plaintext};
use crate::lattice::encrypt::Mask;
use crate::lattice::evaluate::CiphertextRandomness;
use crate::lattice::rescale::{Basis, Fraction as _};
use crate::memory::Space;
use crate::params::N;
use crate::plan::tile::Tile;
use crate::ring::{LIMBS, Limb, Modulus};
use crate::rng::{Domain, Seed};
use crate::wire::Tag;
use crate::workers::Workers;
use core::ops::Range;
use embedded_io_async::{Read, Write};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// The server's scratch for one layer.
pub(crate) struct ServerScratch<'a> {
    /// The uploads' halves, limb by limb, [`stride`] numbers for each polynomial.
    c0: &'a mut [i32],
    /// Those of one limb. [`Footprint::Small`]: empty, it takes the place of `c0`.
    c1: &'a mut [i32],
    /// Uniform half of the client's key, or a weight polynomial that was made.
    poly: &'a mut [i32],
    ephemeral: &'a mut [i32],
    z: &'a mut [i32],
    /// [`Footprint::Small`]: empty.
    z1: &'a mut [i32],
    sums0: &'a mut [u64],
    /// Sums for `c1` of all results, or of one.
    sums1: &'a mut [u64],
    /// Noise of `c1` of all results, or made when it is needed.
    noise: &'a mut [i8],
}

impl<'a> ServerScratch<'a> {
    pub(crate) fn take(space: &mut Space<'a>, tile: &Tile, footprint: Footprint) -> Result<Self> {
        let polynomials = |n: usize| n.saturating_mul(tile.n());
        let (c1, results, noise) = match footprint {
            Footprint::Fast => (tile.up(), tile.down(), tile.down()),
            Footprint::Small => (0, 1, 0),
        };
        let uploads = |n: usize| n.saturating_mul(stride(tile, footprint));
        Ok(Self {
            c0: space.take(uploads(tile.up()).saturating_mul(tile.limbs()))?,
            c1: space.take(uploads(c1))?,
            poly: space.take(tile.n())?,
            ephemeral: space.take(tile.n())?,
            z: space.take(tile.n())?,
            z1: space.take(if footprint == Footprint::Fast { tile.n() } else { 0 })?,
            sums0: space.take(tile.down().saturating_mul(tile.most_results()))?,
            sums1: space.take(polynomials(results))?,
            noise: space.take(polynomials(noise))?,
        })
    }
}

/// Numbers from an upload to the next. Where many are read a block of each at a time, these blocks
/// must not fall into the same few places of a cache: so one block stays empty.
fn stride(tile: &Tile, footprint: Footprint) -> usize {
    match footprint {
        Footprint::Fast if tile.chunks() > 1 => tile.n() + BLOCK,
        Footprint::Fast | Footprint::Small => tile.n(),
    }
}

/// What a server needs for the triplets of one layer.
pub(crate) struct EvaluateLayer<'s> {
    /// The client's.
    pub(crate) key: &'s PublicKey<'s>,
    /// For this layer and stock.
    pub(crate) seed: &'s Seed,
    pub(crate) tile: Tile,
    pub(crate) weights: Weights<'s>,
    pub(crate) workers: Workers<'s>,
}

/// What a client uploaded for a layer, but for `c0`.
struct Uploads {
    /// Seed of the uniform halves.
    public: Seed,
    /// Seed of all that the server draws for its answers: no other upload has the same.
    answers: Seed,
}

impl Uploads {
    const fn fresh(&self, number: usize) -> CiphertextRandomness<'_> {
        CiphertextRandomness { seed: &self.answers, number: number as u64 }
    }
}

impl EvaluateLayer<'_> {
    const fn footprint(&self) -> Footprint {
        match self.weights {
            Weights::Kept(_) => Footprint::Fast,
            Weights::Made(_) => Footprint::Small,
        }
    }

    fn stride(&self) -> usize {
        stride(&self.tile, self.footprint())
    }

    /// The uploads that result `number` is made of: the range of their coefficients, and the chunks
    /// of its group.
    fn uploads(&self, number: usize) -> (Range<usize>, usize, Range<usize>) {
        let (group, rest) = (number % self.tile.groups(), number / self.tile.groups());
        let (first, chunks) = (rest * self.tile.chunks(), self.tile.chunks_of(group));
        let stride = self.stride();
        ((first + chunks.start) * stride..(first + chunks.end) * stride, group, chunks)
    }

    /// `z = Σ x∘w` of both halves of result `number` in one limb, with weights that are kept; `x`:
    /// both halves of all uploads.
    fn products(
        &self,
        index: usize,
        number: usize,
        x: [&[i32]; 2],
        z: [&mut [i32]; 2],
    ) -> Result<()> {
        let (tile, limb) = (&self.tile, LIMBS.get(index).ok_or(Error::Internal)?);
        let ((uploads, group, chunks), Weights::Kept(all)) = (self.uploads(number), &self.weights)
        else {
            return Err(Error::Internal);
        };
        let (before, len) =
            (index * tile.weight_polynomials() + tile.polynomials_before(group), tile.weight_len());
        let w = all.get(before * len..(before + chunks.len()) * len).ok_or(Error::Internal)?;
        let [x0, x1] = x.map(|x| x.get(uploads.clone()));
        let x = [x0.ok_or(Error::Internal)?, x1.ok_or(Error::Internal)?]
            .map(|values| Polynomials { values, stride: self.stride() });
        if tile.is_scalar() {
            backend::limb::sums_of_multiples(limb, x, w, z);
        } else {
            backend::limb::sums_of_products(limb, x, w, z);
        }
        Ok(())
    }

    /// The same of one half, with weights that are made when they are needed, in `poly`.
    fn made_products(
        &self,
        index: usize,
        number: usize,
        x: &[i32],
        poly: &mut [i32],
        z: &mut [i32],
    ) -> Result<()> {
        let (tile, limb) = (&self.tile, LIMBS.get(index).ok_or(Error::Internal)?);
        let ((uploads, group, chunks), Weights::Made(layer)) =
            (self.uploads(number), &self.weights)
        else {
            return Err(Error::Internal);
        };
        z.fill(0);
        let uploads = x.get(uploads).ok_or(Error::Internal)?.chunks_exact(tile.n());
        for (chunk, x) in chunks.zip(uploads) {
            transformed_weights(limb, tile, layer, (group, chunk), poly)?;
            backend::limb::multiply_add(limb, x, poly, z);
        }
        Ok(())
    }

    /// Adds one limb of `c0` of result `number` to its sums; `z`: the transformed sum of products
    /// and of the encryption of zero.
    fn finish_c0(
        &self,
        index: usize,
        number: usize,
        (basis, uploads): (&Basis, &Uploads),
        z: &mut [i32],
        sums: &mut [u64],
    ) -> Result<()> {
        LIMBS.get(index).ok_or(Error::Internal)?.inverse(z);
        let mut sums = sums.get_mut(..self.tile.result_count(number)).ok_or(Error::Internal)?;
        let runs = self.tile.result_spans(number).map(|run| (run.at, run.len));
        uploads.fresh(number).add_noise_to_c0(z, runs, |x| {
            basis.add(index, x, sums.split_off_mut(..x.len()).ok_or(Error::Internal)?)
        })?;
        if sums.is_empty() { Ok(()) } else { Err(Error::Internal) }
    }

    /// One limb of all uploads.
    fn limb<'c>(&self, c0: &'c [i32], index: usize) -> Result<&'c [i32]> {
        let len = self.tile.up() * self.stride();
        c0.get(index * len..(index + 1) * len).ok_or(Error::Internal)
    }
}

/// One limb of the uniform halves of all uploads, which are `stride` apart.
fn expand_masks(
    workers: Workers<'_>,
    (index, limb): (usize, &Limb),
    public: &Seed,
    (n, stride): (usize, usize),
    c1: &mut [i32],
) -> Result<()> {
    workers.for_each(
        (0..).zip(c1.chunks_exact_mut(stride)),
        || (),
        |(), (number, c1)| {
            let c1 = c1.get_mut(..n).ok_or(Error::Internal)?;
            Mask::new(public, number, index).fill(limb, c1)
        },
    )
}

/// Calls `work` for every item, with three polynomials to work on: `own`, or where several threads
/// work, some on each one's stack.
fn with_polynomials<I: Iterator + Send>(
    workers: Workers<'_>,
    mut items: I,
    [p0, p1, p2]: [&mut [i32]; 3],
    work: impl Fn([&mut [i32]; 3], I::Item) -> Result<()> + Sync,
) -> Result<()> {
    let n = p0.len();
    if workers.are_lent() {
        return workers.for_each(
            items,
            || Zeroizing::new([[0; N]; 3]),
            |own, item| {
                let [p0, p1, p2] = &mut **own;
                let [p0, p1, p2] = [p0, p1, p2].map(|poly| poly.get_mut(..n));
                let all = p0.zip(p1).zip(p2).ok_or(Error::Internal)?;
                let ((p0, p1), p2) = all;
                work([p0, p1, p2], item)
            },
        );
    }
    items.try_for_each(|item| work([p0, p1, p2], item))
}

/// Receives the client's encrypted shares, multiplies them by the weights, masks the results,
/// answers. `masks`, `[stock][outputs]`, get `u`, of [`Tile::result_bits`] bits.
pub(crate) async fn server<IO: Read + Write>(
    ch: &mut Channel<IO>,
    scratch: &mut [u8],
    layer: &EvaluateLayer<'_>,
    masks: &mut [u64],
) -> Result<()> {
    let tile = &layer.tile;
    let mut scratch = ServerScratch::take(&mut Space::carve(scratch)?, tile, layer.footprint())?;
    let basis = Basis::new(tile.limbs());
    let uploads = receive_uploads(ch, layer, scratch.c0).await?;
    let results = scratch.noise.chunks_exact_mut(tile.n()).enumerate();
    layer.workers.for_each(
        results,
        || (),
        |(), (number, noise)| uploads.fresh(number).noise_of_c1(noise),
    )?;
    let (mut random, masked) =
        (uploads.answers.stream(Domain::Mask, 0), Modulus::Bits(tile.c0_bits() as u8));
    for u in masks.iter_mut() {
        *u = masked.reduce(random.next_u64());
    }
    for (index, limb) in LIMBS.iter().enumerate().take(tile.limbs()) {
        match layer.footprint() {
            Footprint::Fast => layer.add_limb((index, limb), &basis, &uploads, &mut scratch)?,
            Footprint::Small => {
                layer.add_limb_to_c0((index, limb), &basis, &uploads, &mut scratch)?
            }
        }
    }
    answer(ch, layer, &basis, &uploads, &mut scratch, masks).await?;
    let result = Modulus::Bits(tile.result_bits() as u8);
    for u in masks {
        *u = result.sub(0, result.reduce(*u >> (tile.c0_bits() - tile.result_bits())));
    }
    Ok(())
}

/// Receives the rounded `c0` of all uploads and gets them back in every limb, transformed. Returns
/// the seed of their uniform halves, and that of the answers, which depends on every byte: so a
/// server whose seed comes again does not answer two uploads under one mask.
async fn receive_uploads<IO: Read + Write>(
    ch: &mut Channel<IO>,
    layer: &EvaluateLayer<'_>,
    c0: &mut [i32],
) -> Result<Uploads> {
    let (tile, stride) = (&layer.tile, layer.stride());
    let (n, all) = (tile.n(), tile.up() * stride);
    ch.expect(Tag::Upload, tile.upload_bytes()).await?;
    let mut public = Seed([0; 32]);
    ch.get(&mut public.0).await?;
    let mut digest = Sha256::new().chain_update(b"MiniONN answers").chain_update(layer.seed.0);
    let mut seen = |bytes: &[u8]| {
        if !stripped(Defence::Hedge) {
            digest.update(bytes);
        }
    };
    seen(&public.0);
    for number in 0..tile.up() {
        let own = number * stride..number * stride + n;
        if let Some(bits) = tile.level.upload_bits {
            let encoder = Encoder::new(Plaintext::Bits(bits), tile.limbs());
            ch.get_packed(n, bits, &mut |first, values, bytes| {
                seen(bytes);
                for (index, c0) in c0.chunks_exact_mut(all).enumerate() {
                    let out = c0.get_mut(own.clone()).ok_or(Error::Internal)?;
                    let out = out.get_mut(first..first + values.len()).ok_or(Error::Internal)?;
                    encoder.encode_all(index, values, out)?;
                }
                Ok(())
            })
            .await?;
        } else {
            for (limb, c0) in LIMBS.iter().zip(c0.chunks_exact_mut(all)) {
                let own = c0.get_mut(own.clone()).ok_or(Error::Internal)?;
                get_limb_with(ch, limb, own, &mut seen).await?;
            }
        }
    }
    ch.finish().await?;
    for (limb, c0) in LIMBS.iter().zip(c0.chunks_exact_mut(all)) {
        layer.workers.for_each(
            c0.chunks_exact_mut(stride),
            || (),
            |(), poly| {
                limb.forward(poly.get_mut(..n).ok_or(Error::Internal)?);
                Ok(())
            },
        )?;
    }
    Ok(Uploads { public, answers: Seed(digest.finalize().into()) })
}

/// Sends all results, masked. Every result has its mask: one that is missing would tell the client
/// a product.
async fn answer<IO: Read + Write>(
    ch: &mut Channel<IO>,
    layer: &EvaluateLayer<'_>,
    basis: &Basis,
    uploads: &Uploads,
    scratch: &mut ServerScratch<'_>,
    masks: &[u64],
) -> Result<()> {
    let (tile, n) = (&layer.tile, layer.tile.n());
    let outputs = tile.outputs();
    let masked = Modulus::Bits(tile.c0_bits() as u8);
    let below_step = tile.c0_bits() - u32::from(tile.ring);
    ch.begin(Tag::Download, tile.download_bytes()).await?;
    for number in 0..tile.down() {
        let sums1 = match layer.footprint() {
            Footprint::Fast => {
                scratch.sums1.get(number * n..(number + 1) * n).ok_or(Error::Internal)?
            }
            Footprint::Small => {
                layer.make_c1(number, basis, uploads, scratch)?;
                &*scratch.sums1
            }
        };
        put_rounded(ch, sums1, tile.c1_bits()).await?;
        let (first, count) = (number * tile.most_results(), tile.result_count(number));
        let sums0 = scratch.sums0.get(first..first + count).ok_or(Error::Internal)?;
        let mut results = tile.results(number).zip(sums0);
        ch.put_values(count, tile.c0_bits(), |_| {
            let ((prediction, output, _), sum) = results.next().ok_or(Error::Internal)?;
            let mask = masks.get(prediction * outputs + output).ok_or(Error::Internal)?;
            let step = if stripped(Defence::MaskBelowStep) { below_step } else { 0 };
            let mask = masked.reduce(*mask) >> step << step;
            Ok(masked.add(sum.round(tile.c0_bits()), mask))
        })
        .await?;
    }
    ch.end().await
}

impl EvaluateLayer<'_> {
    /// Adds one limb of all results, both halves.
    fn add_limb(
        &self,
        (index, limb): (usize, &Limb),
        basis: &Basis,
        uploads: &Uploads,
        scratch: &mut ServerScratch<'_>,
    ) -> Result<()> {
        let ServerScratch { c0, c1, poly, ephemeral, z, z1, sums0, sums1, noise } = scratch;
        let (set, n) = (self.tile.level.set, self.tile.n());
        expand_masks(self.workers, (index, limb), &uploads.public, (n, self.stride()), c1)?;
        self.key.expand(set, index, poly)?;
        let (c0, c1, a) = (self.limb(c0, index)?, &**c1, &**poly);
        // One of each for every result.
        let results = noise
            .chunks_exact(n)
            .zip(sums1.chunks_exact_mut(n))
            .zip(sums0.chunks_exact_mut(self.tile.most_results()))
            .enumerate();
        with_polynomials(
            self.workers,
            results,
            [ephemeral, z, z1],
            |[ephemeral, z, z1], (number, ((noise, sums1), sums0))| {
                uploads.fresh(number).ephemeral(limb, ephemeral)?;
                self.products(index, number, [c0, c1], [z, z1])?;
                backend::limb::multiply_add(limb, a, ephemeral, z1);
                limb.inverse(z1);
                backend::limb::add_small(noise, z1);
                basis.add(index, z1, sums1)?;
                backend::limb::multiply_add(limb, self.key.limb(set, index)?, ephemeral, z);
                self.finish_c0(index, number, (basis, uploads), z, sums0)
            },
        )
    }

    /// Adds one limb of all results' `c0`; their `c1` is made when it is sent.
    fn add_limb_to_c0(
        &self,
        (index, limb): (usize, &Limb),
        basis: &Basis,
        uploads: &Uploads,
        scratch: &mut ServerScratch<'_>,
    ) -> Result<()> {
        let ServerScratch { c0, poly, ephemeral, z, sums0, .. } = scratch;
        let (set, c0) = (self.tile.level.set, self.limb(c0, index)?);
        for (number, sums0) in sums0.chunks_exact_mut(self.tile.most_results()).enumerate() {
            uploads.fresh(number).ephemeral(limb, ephemeral)?;
            self.made_products(index, number, c0, poly, z)?;
            backend::limb::multiply_add(limb, self.key.limb(set, index)?, ephemeral, z);
            self.finish_c0(index, number, (basis, uploads), z, sums0)?;
        }
        Ok(())
    }

    /// Makes `c1` of one result.
    fn make_c1(
        &self,
        number: usize,
        basis: &Basis,
        uploads: &Uploads,
        scratch: &mut ServerScratch<'_>,
    ) -> Result<()> {
        let ServerScratch { c0: c1, poly, ephemeral, z, sums1, .. } = scratch;
        let (set, n) = (self.tile.level.set, self.tile.n());
        let c1 = c1.get_mut(..self.tile.up() * n).ok_or(Error::Internal)?;
        sums1.fill(0);
        for (index, limb) in LIMBS.iter().enumerate().take(self.tile.limbs()) {
            expand_masks(Workers::OWN, (index, limb), &uploads.public, (n, n), c1)?;
            self.made_products(index, number, c1, poly, z)?;
            uploads.fresh(number).ephemeral(limb, ephemeral)?;
            self.key.expand(set, index, poly)?;
            backend::limb::multiply_add(limb, poly, ephemeral, z);
            limb.inverse(z);
            uploads.fresh(number).add_noise_to_c1(z)?;
            basis.add(index, z, sums1)?;
        }
        Ok(())
    }
}
