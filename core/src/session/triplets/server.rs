//! The server's side of triplets.

use super::super::channel::Channel;
use super::super::polynomials::{get_limb, put_rounded};
use super::super::prepared::{Footprint, Weights, transformed_weights};
use crate::backend;
use crate::error::{Error, Result};
use crate::lattice::PublicKey;
use crate::lattice::encode::{Encoder, Plaintext};
use crate::lattice::encrypt::Mask;
use crate::lattice::evaluate::CiphertextRandomness;
use crate::lattice::rescale::Basis;
use crate::memory::Space;
use crate::params::N;
use crate::plan::tile::Tile;
use crate::ring::{LIMBS, Limb};
use crate::rng::Seed;
use crate::wire::Tag;
use crate::workers::Workers;
use core::ops::Range;
use embedded_io_async::{Read, Write};
use zeroize::Zeroizing;

/// The server's scratch for one layer.
pub(crate) struct ServerScratch<'a> {
    c0: &'a mut [i32],
    /// [`Footprint::Small`]: empty, `c1` takes the place of `c0`.
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
        let polynomials = |n: usize| n.saturating_mul(N);
        let (c1, results, noise) = match footprint {
            Footprint::Fast => (tile.up(), tile.down(), tile.down()),
            Footprint::Small => (0, 1, 0),
        };
        Ok(Self {
            c0: space.take(polynomials(tile.up()))?,
            c1: space.take(polynomials(c1))?,
            poly: space.take(N)?,
            ephemeral: space.take(N)?,
            z: space.take(N)?,
            z1: space.take(if footprint == Footprint::Fast { N } else { 0 })?,
            sums0: space.take(tile.down().saturating_mul(tile.most_results()))?,
            sums1: space.take(polynomials(results))?,
            noise: space.take(polynomials(noise))?,
        })
    }
}

/// What a server needs for the triplets of one layer.
pub(crate) struct EvaluateLayer<'s> {
    /// The client's.
    pub(crate) key: &'s PublicKey<'s>,
    /// Fresh for this layer and stock.
    pub(crate) seed: &'s Seed,
    pub(crate) tile: Tile,
    pub(crate) weights: Weights<'s>,
    /// `u`, `[stock][outputs]`.
    pub(crate) masks: &'s [u64],
    pub(crate) workers: Workers<'s>,
}

impl EvaluateLayer<'_> {
    const fn fresh(&self, number: usize) -> CiphertextRandomness<'_> {
        CiphertextRandomness {
            seed: self.seed,
            number: number as u64,
            flood: self.tile.level.flood,
        }
    }

    const fn footprint(&self) -> Footprint {
        match self.weights {
            Weights::Kept(_) => Footprint::Fast,
            Weights::Made(_) => Footprint::Small,
        }
    }

    /// The uploads that result `number` is made of: the range of their coefficients, and the chunks
    /// of its group.
    fn uploads(&self, number: usize) -> (Range<usize>, usize, Range<usize>) {
        let (group, rest) = (number % self.tile.groups(), number / self.tile.groups());
        let (first, chunks) = (rest * self.tile.chunks(), self.tile.chunks_of(group));
        ((first + chunks.start) * N..(first + chunks.end) * N, group, chunks)
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
        let x = [x0.ok_or(Error::Internal)?, x1.ok_or(Error::Internal)?];
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
        for (chunk, x) in chunks.zip(x.get(uploads).ok_or(Error::Internal)?.chunks_exact(N)) {
            transformed_weights(limb, tile, layer, (group, chunk), poly)?;
            backend::limb::multiply_add(limb, x, poly, z);
        }
        Ok(())
    }

    /// Adds one limb of `c0` of result `number` to its sums; `z`: the transformed sum of products
    /// and of the encryption of zero. Every result has its mask: one that is missing would tell the
    /// client a product.
    fn finish_c0(
        &self,
        index: usize,
        number: usize,
        codes: &Codes,
        z: &mut [i32],
        sums: &mut [u64],
    ) -> Result<()> {
        let limb = LIMBS.get(index).ok_or(Error::Internal)?;
        let outputs = self.tile.outputs();
        limb.inverse(z);
        let mut missing = false;
        let masks = self.tile.result_spans(number).map_while(|run| {
            let first = run.prediction * outputs + run.element;
            let masks = self.masks.get(first..first + run.len);
            missing |= masks.is_none();
            Some((run.at, masks?))
        });
        let mut sums = sums.get_mut(..self.tile.result_count(number)).ok_or(Error::Internal)?;
        self.fresh(number).finish_c0(index, &codes.encoder, z, masks, |x| {
            codes.basis.add(index, x, sums.split_off_mut(..x.len()).ok_or(Error::Internal)?)
        })?;
        if missing || !sums.is_empty() { Err(Error::Internal) } else { Ok(()) }
    }
}

/// How plaintexts go into a ciphertext, and limbs into a sum.
struct Codes {
    encoder: Encoder,
    basis: Basis,
}

impl Codes {
    fn of(tile: &Tile) -> Self {
        let (plaintext, limbs) = (Plaintext::Bits(u32::from(tile.ring)), tile.level.limbs);
        Self { encoder: Encoder::new(plaintext, limbs), basis: Basis::new(limbs) }
    }
}

/// One limb of the uniform halves of all uploads.
fn expand_masks(
    workers: Workers<'_>,
    limb: &Limb,
    index: usize,
    public: &Seed,
    c1: &mut [i32],
) -> Result<()> {
    workers.for_each(
        (0..).zip(c1.chunks_exact_mut(N)),
        || (),
        |(), (number, c1)| Mask::new(public, number, index).fill(limb, c1),
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
    if workers.are_lent() {
        return workers.for_each(
            items,
            || Zeroizing::new([[0; N]; 3]),
            |own, item| {
                let [p0, p1, p2] = &mut **own;
                work([p0, p1, p2], item)
            },
        );
    }
    items.try_for_each(|item| work([p0, p1, p2], item))
}

/// Receives the client's encrypted shares, multiplies them by the weights, subtracts the masks,
/// answers.
pub(crate) async fn server<IO: Read + Write>(
    ch: &mut Channel<IO>,
    scratch: &mut [u8],
    layer: &EvaluateLayer<'_>,
) -> Result<()> {
    let mut scratch =
        ServerScratch::take(&mut Space::carve(scratch)?, &layer.tile, layer.footprint())?;
    let codes = Codes::of(&layer.tile);
    let results = scratch.noise.chunks_exact_mut(N).enumerate();
    layer.workers.for_each(
        results,
        || (),
        |(), (number, noise)| layer.fresh(number).noise_of_c1(noise),
    )?;
    ch.expect(Tag::Upload, layer.tile.upload_bytes()).await?;
    let mut public = Seed([0; 32]);
    ch.get(&mut public.0).await?;
    for (index, limb) in LIMBS.iter().enumerate().take(layer.tile.level.limbs) {
        for c0 in scratch.c0.chunks_exact_mut(N) {
            get_limb(ch, limb, c0).await?;
        }
        match layer.footprint() {
            Footprint::Fast => layer.add_limb((index, limb), &codes, &public, &mut scratch)?,
            Footprint::Small => layer.add_limb_to_c0((index, limb), &codes, &mut scratch)?,
        }
    }
    ch.finish().await?;
    answer(ch, layer, &codes, &public, &mut scratch).await
}

/// Sends all results.
async fn answer<IO: Read + Write>(
    ch: &mut Channel<IO>,
    layer: &EvaluateLayer<'_>,
    codes: &Codes,
    public: &Seed,
    scratch: &mut ServerScratch<'_>,
) -> Result<()> {
    let tile = &layer.tile;
    ch.begin(Tag::Download, tile.download_bytes()).await?;
    for number in 0..tile.down() {
        let sums1 = match layer.footprint() {
            Footprint::Fast => {
                scratch.sums1.get(number * N..(number + 1) * N).ok_or(Error::Internal)?
            }
            Footprint::Small => {
                layer.make_c1(number, codes, public, scratch)?;
                &*scratch.sums1
            }
        };
        put_rounded(ch, sums1, tile.c1_bits()).await?;
        let first = number * tile.most_results();
        let sums0 = scratch.sums0.get(first..first + tile.result_count(number));
        put_rounded(ch, sums0.ok_or(Error::Internal)?, tile.c0_bits()).await?;
    }
    ch.end().await
}

impl EvaluateLayer<'_> {
    /// Adds one limb of all results, both halves.
    fn add_limb(
        &self,
        (index, limb): (usize, &Limb),
        codes: &Codes,
        public: &Seed,
        scratch: &mut ServerScratch<'_>,
    ) -> Result<()> {
        let ServerScratch { c0, c1, poly, ephemeral, z, z1, sums0, sums1, noise } = scratch;
        expand_masks(self.workers, limb, index, public, c1)?;
        self.key.expand(index, poly)?;
        let (c0, c1, a) = (&**c0, &**c1, &**poly);
        // One of each for every result.
        let results = noise
            .chunks_exact(N)
            .zip(sums1.chunks_exact_mut(N))
            .zip(sums0.chunks_exact_mut(self.tile.most_results()))
            .enumerate();
        with_polynomials(
            self.workers,
            results,
            [ephemeral, z, z1],
            |[ephemeral, z, z1], (number, ((noise, sums1), sums0))| {
                self.fresh(number).ephemeral(limb, ephemeral)?;
                self.products(index, number, [c0, c1], [z, z1])?;
                backend::limb::multiply_add(limb, a, ephemeral, z1);
                limb.inverse(z1);
                backend::limb::add_small(noise, z1);
                codes.basis.add(index, z1, sums1)?;
                backend::limb::multiply_add(limb, self.key.limb(index)?, ephemeral, z);
                self.finish_c0(index, number, codes, z, sums0)
            },
        )
    }

    /// Adds one limb of all results' `c0`; their `c1` is made when it is sent.
    fn add_limb_to_c0(
        &self,
        (index, limb): (usize, &Limb),
        codes: &Codes,
        scratch: &mut ServerScratch<'_>,
    ) -> Result<()> {
        let ServerScratch { c0, poly, ephemeral, z, sums0, .. } = scratch;
        for (number, sums0) in sums0.chunks_exact_mut(self.tile.most_results()).enumerate() {
            self.fresh(number).ephemeral(limb, ephemeral)?;
            self.made_products(index, number, c0, poly, z)?;
            backend::limb::multiply_add(limb, self.key.limb(index)?, ephemeral, z);
            self.finish_c0(index, number, codes, z, sums0)?;
        }
        Ok(())
    }

    /// Makes `c1` of one result.
    fn make_c1(
        &self,
        number: usize,
        codes: &Codes,
        public: &Seed,
        scratch: &mut ServerScratch<'_>,
    ) -> Result<()> {
        let ServerScratch { c0: c1, poly, ephemeral, z, sums1, .. } = scratch;
        sums1.fill(0);
        for (index, limb) in LIMBS.iter().enumerate().take(self.tile.level.limbs) {
            expand_masks(Workers::OWN, limb, index, public, c1)?;
            self.made_products(index, number, c1, poly, z)?;
            self.fresh(number).ephemeral(limb, ephemeral)?;
            self.key.expand(index, poly)?;
            backend::limb::multiply_add(limb, poly, ephemeral, z);
            limb.inverse(z);
            self.fresh(number).add_noise_to_c1(z)?;
            codes.basis.add(index, z, sums1)?;
        }
        Ok(())
    }
}
