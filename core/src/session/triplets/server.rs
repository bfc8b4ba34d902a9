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
use crate::lattice::encrypt::{Mask, transform_small};
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
    /// [`Footprint::Small`]: empty, one limb at a time takes the place of `c0`.
    c1: &'a mut [i32],
    /// Uniform half of the client's key, limb by limb. [`Footprint::Small`]: of one limb, or a
    /// weight polynomial that was made.
    poly: &'a mut [i32],
    /// What a result is made in: [`THREE`] polynomials. [`Footprint::Small`]: two.
    work: &'a mut [i32],
    /// Its key and noise. [`Footprint::Small`]: none.
    small: &'a mut [i8],
    /// Sums for `c0` of the results that are made at a time. [`Footprint::Small`]: of all.
    sums0: &'a mut [u64],
    /// Sums for `c1` of the results that are made at a time. [`Footprint::Small`]: of one.
    sums1: &'a mut [u64],
}

/// An ephemeral key and sums of products of both halves; or that key and the noise of both halves.
const THREE: usize = 3;

impl<'a> ServerScratch<'a> {
    pub(crate) fn take(space: &mut Space<'a>, tile: &Tile, footprint: Footprint) -> Result<Self> {
        let polynomials = |n: usize| n.saturating_mul(tile.n());
        let uploads =
            |n: usize| n.saturating_mul(tile.up()).saturating_mul(stride(tile, footprint));
        let (down, limbs) = (tile.down(), tile.limbs());
        let at_once = down.min(space.machine().ciphertexts);
        let [c1, key, work, small, results0, results1] = match footprint {
            Footprint::Fast => [limbs, limbs, THREE, THREE, at_once, at_once],
            Footprint::Small => [0, 1, THREE - 1, 0, down, 1],
        };
        Ok(Self {
            c0: space.take(uploads(limbs))?,
            c1: space.take(uploads(c1))?,
            poly: space.take(polynomials(key))?,
            work: space.take(polynomials(work))?,
            small: space.take(polynomials(small))?,
            sums0: space.take(results0.saturating_mul(tile.most_results()))?,
            sums1: space.take(polynomials(results1))?,
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

    /// The uniform halves of all uploads and of the client's key, in all limbs.
    fn expand(&self, public: &Seed, c1: &mut [i32], a: &mut [i32]) -> Result<()> {
        let (tile, n, stride) = (&self.tile, self.tile.n(), self.stride());
        let limbs = LIMBS.iter().enumerate().take(tile.limbs());
        for ((index, limb), a) in limbs.zip(a.chunks_exact_mut(n)) {
            let c1 = self.limb_mut(c1, index)?;
            expand_masks(self.workers, (index, limb), public, (n, stride), c1)?;
            self.key.expand(tile.level.set, index, a)?;
        }
        Ok(())
    }

    /// One limb of all uploads.
    fn limb<'c>(&self, all: &'c [i32], index: usize) -> Result<&'c [i32]> {
        all.get(self.limb_at(index)).ok_or(Error::Internal)
    }

    /// The same, to be written.
    fn limb_mut<'c>(&self, all: &'c mut [i32], index: usize) -> Result<&'c mut [i32]> {
        all.get_mut(self.limb_at(index)).ok_or(Error::Internal)
    }

    fn limb_at(&self, index: usize) -> Range<usize> {
        let len = self.tile.up() * self.stride();
        index * len..(index + 1) * len
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

/// What a result is made in: see [`ServerScratch`].
type Buffers<'w> = (&'w mut [i32], &'w mut [i8]);

/// Calls `work` for every item with what a result is made in: `own`, or where several threads work,
/// some on each one's stack.
fn with_buffers<I: Iterator + Send>(
    workers: Workers<'_>,
    mut items: I,
    (numbers, small): Buffers<'_>,
    work: impl Fn(Buffers<'_>, I::Item) -> Result<()> + Sync,
) -> Result<()> {
    if workers.are_lent() {
        return workers.for_each(
            items,
            || (Zeroizing::new([0; THREE * N]), Zeroizing::new([0; THREE * N])),
            |(numbers, small), item| work((numbers.as_mut_slice(), small.as_mut_slice()), item),
        );
    }
    items.try_for_each(|item| work((numbers, small), item))
}

/// The first three polynomials of degree n.
fn three<T>(values: &mut [T], n: usize) -> Result<[&mut [T]; THREE]> {
    let mut polynomials = values.chunks_exact_mut(n);
    let mut next = || polynomials.next().ok_or(Error::Internal);
    Ok([next()?, next()?, next()?])
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
    let uploads = receive_uploads(ch, layer, &mut scratch).await?;
    let (mut random, masked) =
        (uploads.answers.stream(Domain::Mask, 0), Modulus::Bits(tile.c0_bits() as u8));
    for u in masks.iter_mut() {
        *u = masked.reduce(random.next_u64());
    }
    let answers = Answers { layer, basis: Basis::new(tile.limbs()), uploads };
    match layer.footprint() {
        Footprint::Fast => answers.send(ch, &mut scratch, masks).await?,
        Footprint::Small => answers.send_one_by_one(ch, &mut scratch, masks).await?,
    }
    let result = Modulus::Bits(tile.result_bits() as u8);
    for u in masks {
        *u = result.sub(0, result.reduce(*u >> (tile.c0_bits() - tile.result_bits())));
    }
    Ok(())
}

/// Receives the rounded `c0` of all uploads and gets them back in every limb, transformed. Returns
/// the seed of their uniform halves, and that of the answers, which depends on every byte: so a
/// server whose seed comes again does not answer two uploads under one mask. What can be made ahead
/// of the uploads is made while the client encrypts.
async fn receive_uploads<IO: Read + Write>(
    ch: &mut Channel<IO>,
    layer: &EvaluateLayer<'_>,
    scratch: &mut ServerScratch<'_>,
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
    let ServerScratch { c0, c1, poly, .. } = scratch;
    if layer.footprint() == Footprint::Fast {
        layer.expand(&public, c1, poly)?;
    }
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
        for (limb, c0) in LIMBS.iter().zip(c0.chunks_exact_mut(all)) {
            limb.forward(c0.get_mut(own.clone()).ok_or(Error::Internal)?);
        }
    }
    ch.finish().await?;
    Ok(Uploads { public, answers: Seed(digest.finalize().into()) })
}

/// The answers to the uploads of a layer, being made.
struct Answers<'s> {
    layer: &'s EvaluateLayer<'s>,
    basis: Basis,
    uploads: Uploads,
}

impl Answers<'_> {
    /// Sends one result, masked: its sums of both halves. Every result has its mask: one that is
    /// missing would tell the client a product.
    async fn put<IO: Read + Write>(
        &self,
        ch: &mut Channel<IO>,
        number: usize,
        [sums0, sums1]: [&[u64]; 2],
        masks: &[u64],
    ) -> Result<()> {
        let (tile, outputs) = (&self.layer.tile, self.layer.tile.outputs());
        let masked = Modulus::Bits(tile.c0_bits() as u8);
        let below_step = tile.c0_bits() - u32::from(tile.ring);
        put_rounded(ch, sums1, tile.c1_bits()).await?;
        let count = tile.result_count(number);
        let mut results = tile.results(number).zip(sums0.get(..count).ok_or(Error::Internal)?);
        ch.put_values(count, tile.c0_bits(), |_| {
            let ((prediction, output, _), sum) = results.next().ok_or(Error::Internal)?;
            let mask = masks.get(prediction * outputs + output).ok_or(Error::Internal)?;
            let step = if stripped(Defence::MaskBelowStep) { below_step } else { 0 };
            let mask = masked.reduce(*mask) >> step << step;
            Ok(masked.add(sum.round(tile.c0_bits()), mask))
        })
        .await
    }

    /// Makes and sends all results, some at a time: the client decrypts those while others are
    /// made.
    async fn send<IO: Read + Write>(
        &self,
        ch: &mut Channel<IO>,
        scratch: &mut ServerScratch<'_>,
        masks: &[u64],
    ) -> Result<()> {
        let ServerScratch { c0, c1, poly: a, work, small, sums0, sums1 } = scratch;
        let EvaluateLayer { tile, workers, .. } = self.layer;
        let (n, most, down) = (tile.n(), tile.most_results(), tile.down());
        ch.begin(Tag::Download, tile.download_bytes()).await?;
        for first in (0..down).step_by(sums1.len() / n) {
            sums0.fill(0);
            sums1.fill(0);
            let sums = sums0.chunks_exact_mut(most).zip(sums1.chunks_exact_mut(n));
            with_buffers(
                *workers,
                (first..down).zip(sums),
                (work, small),
                |buffers, (number, (sums0, sums1))| {
                    self.add([c0, c1, a], number, buffers, [sums0, sums1])
                },
            )?;
            let sums = sums0.chunks_exact(most).zip(sums1.chunks_exact(n));
            for (number, (sums0, sums1)) in (first..down).zip(sums) {
                self.put(ch, number, [sums0, sums1], masks).await?;
            }
        }
        ch.end().await
    }

    /// Adds all limbs of one result to its sums, from both halves of all uploads and `a` of the
    /// client's key.
    fn add(
        &self,
        [c0, c1, a]: [&[i32]; 3],
        number: usize,
        (work, small): Buffers<'_>,
        [sums0, sums1]: [&mut [u64]; 2],
    ) -> Result<()> {
        let (tile, fresh) = (&self.layer.tile, self.uploads.fresh(number));
        let (set, n) = (tile.level.set, tile.n());
        let ([ephemeral, z0, z1], [u, e0, e1]) = (three(work, n)?, three(small, n)?);
        let e0 = e0.get_mut(..tile.result_count(number)).ok_or(Error::Internal)?;
        fresh.draw(u, e0, e1)?;
        for (index, (limb, a)) in LIMBS.iter().zip(a.chunks_exact(n)).enumerate() {
            let halves = [self.layer.limb(c0, index)?, self.layer.limb(c1, index)?];
            transform_small(limb, u, ephemeral)?;
            self.layer.products(index, number, halves, [z0, z1])?;
            backend::limb::multiply_add(limb, a, ephemeral, z1);
            limb.inverse(z1);
            backend::limb::add_small(e1, z1);
            self.basis.add(index, z1, sums1)?;
            backend::limb::multiply_add(limb, self.layer.key.limb(set, index)?, ephemeral, z0);
            limb.inverse(z0);
            let (mut e0, mut sums) = (&*e0, sums0.get_mut(..e0.len()).ok_or(Error::Internal)?);
            for run in tile.result_spans(number) {
                let z0 = z0.get_mut(run.at..run.at + run.len).ok_or(Error::Internal)?;
                backend::limb::add_small(e0.split_off(..run.len).ok_or(Error::Internal)?, z0);
                self.basis.add(index, z0, sums.split_off_mut(..run.len).ok_or(Error::Internal)?)?;
            }
            if !sums.is_empty() {
                return Err(Error::Internal);
            }
        }
        Ok(())
    }

    /// Makes `c0` of all results, then sends one after the other: its `c1` is made before.
    async fn send_one_by_one<IO: Read + Write>(
        &self,
        ch: &mut Channel<IO>,
        scratch: &mut ServerScratch<'_>,
        masks: &[u64],
    ) -> Result<()> {
        let tile = &self.layer.tile;
        for (index, limb) in LIMBS.iter().enumerate().take(tile.limbs()) {
            self.add_limb_to_c0((index, limb), scratch)?;
        }
        ch.begin(Tag::Download, tile.download_bytes()).await?;
        for number in 0..tile.down() {
            self.make_c1(number, scratch)?;
            let first = number * tile.most_results();
            let sums0 = scratch.sums0.get(first..).ok_or(Error::Internal)?;
            self.put(ch, number, [sums0, scratch.sums1], masks).await?;
        }
        ch.end().await
    }

    /// Adds one limb of all results' `c0`; their `c1` is made when it is sent.
    fn add_limb_to_c0(
        &self,
        (index, limb): (usize, &Limb),
        scratch: &mut ServerScratch<'_>,
    ) -> Result<()> {
        let ServerScratch { c0, poly, work, sums0, .. } = scratch;
        let EvaluateLayer { tile, key, .. } = self.layer;
        let (set, c0) = (tile.level.set, self.layer.limb(c0, index)?);
        let (ephemeral, z) = work.split_at_mut(tile.n());
        for (number, sums0) in sums0.chunks_exact_mut(tile.most_results()).enumerate() {
            let fresh = self.uploads.fresh(number);
            fresh.ephemeral(limb, ephemeral)?;
            self.layer.made_products(index, number, c0, poly, z)?;
            backend::limb::multiply_add(limb, key.limb(set, index)?, ephemeral, z);
            limb.inverse(z);
            let mut sums = sums0.get_mut(..tile.result_count(number)).ok_or(Error::Internal)?;
            let runs = tile.result_spans(number).map(|run| (run.at, run.len));
            fresh.add_noise_to_c0(z, runs, |x| {
                self.basis.add(index, x, sums.split_off_mut(..x.len()).ok_or(Error::Internal)?)
            })?;
            if !sums.is_empty() {
                return Err(Error::Internal);
            }
        }
        Ok(())
    }

    /// Makes `c1` of one result.
    fn make_c1(&self, number: usize, scratch: &mut ServerScratch<'_>) -> Result<()> {
        let ServerScratch { c0: c1, poly, work, sums1, .. } = scratch;
        let EvaluateLayer { tile, key, .. } = self.layer;
        let (set, n) = (tile.level.set, tile.n());
        let (ephemeral, z) = work.split_at_mut(n);
        let c1 = c1.get_mut(..tile.up() * n).ok_or(Error::Internal)?;
        sums1.fill(0);
        for (index, limb) in LIMBS.iter().enumerate().take(tile.limbs()) {
            expand_masks(Workers::OWN, (index, limb), &self.uploads.public, (n, n), c1)?;
            self.layer.made_products(index, number, c1, poly, z)?;
            self.uploads.fresh(number).ephemeral(limb, ephemeral)?;
            key.expand(set, index, poly)?;
            backend::limb::multiply_add(limb, poly, ephemeral, z);
            limb.inverse(z);
            self.uploads.fresh(number).add_noise_to_c1(z)?;
            self.basis.add(index, z, sums1)?;
        }
        Ok(())
    }
}
