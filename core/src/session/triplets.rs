//! Dot-product triplets: `u + v = W·r` for every linear layer and a whole stock, by packed lattice
//! encryption (§3.2 of the paper, with coefficient packing instead of slots).

use super::channel::Channel;
use super::polynomials::{get_limb, put_limb, put_rounded};
use super::prepared::{Footprint, Weights, transformed_weights};
use crate::backend;
use crate::error::{Error, Result};
use crate::lattice::encode::{Encoder, Plaintext};
use crate::lattice::encrypt::Mask;
use crate::lattice::evaluate::CiphertextRandomness;
use crate::lattice::rescale::Basis;
use crate::lattice::{PublicKey, SecretKey, decrypt, encrypt};
use crate::memory::{Space, measure, wipe_first};
use crate::params::N;
use crate::plan::tile::Tile;
use crate::plan::{Plan, Step};
use crate::ring::{LIMBS, Limb, Modulus};
use crate::rng::Seed;
use crate::target::TargetProfile;
use crate::wire::{GROUP, Tag, packed_len};
use crate::workers::Workers;
use core::ops::Range;
use embedded_io_async::{Read, Write};
use zeroize::Zeroizing;

/// The client's scratch to encrypt for one layer.
struct EncryptScratch<'a> {
    secret: &'a mut [i32],
    /// As many ciphertexts as are encrypted at once.
    polys: &'a mut [i32],
    /// Noise of every ciphertext.
    noise: &'a mut [i8],
}

impl<'a> EncryptScratch<'a> {
    fn take(space: &mut Space<'a>, tile: &Tile) -> Result<Self> {
        let at_once = tile.up().clamp(1, space.machine().ciphertexts);
        Ok(Self {
            secret: space.take(N)?,
            polys: space.take(at_once * N)?,
            noise: space.take(tile.up().saturating_mul(N))?,
        })
    }
}

/// The client's scratch to decrypt ciphertexts with few results.
struct FewScratch<'a> {
    unfolded: &'a mut [i8],
    places: &'a mut [u16],
    sums: &'a mut [u64],
}

impl<'a> FewScratch<'a> {
    fn take(space: &mut Space<'a>, tile: &Tile) -> Result<Self> {
        let results = tile.most_results();
        Ok(Self {
            unfolded: space.take(decrypt::UNFOLDED)?,
            places: space.take(results)?,
            sums: space.take(results)?,
        })
    }
}

/// The client's scratch to decrypt ciphertexts with many results.
struct ManyScratch<'a> {
    /// The secret in every limb that `c1·s` needs.
    secrets: &'a mut [i32],
    poly: &'a mut [i32],
    packed: &'a mut [u8],
    residues: &'a mut [[i32; 3]],
}

impl<'a> ManyScratch<'a> {
    fn take(space: &mut Space<'a>, tile: &Tile) -> Result<Self> {
        Ok(Self {
            secrets: space.take(decrypt::limbs(tile.c1_bits()) * N)?,
            poly: space.take(N)?,
            packed: space.take(packed_len(N as u64, tile.c1_bits()) as usize)?,
            residues: space.take(tile.most_results())?,
        })
    }
}

/// Bytes of the client's scratch for one layer.
pub(crate) fn client_scratch(machine: TargetProfile, tile: &Tile) -> Result<usize> {
    let decrypt = if tile.most_results() <= decrypt::FEW {
        measure(machine, |space| FewScratch::take(space, tile).map(|_| ()))?
    } else {
        measure(machine, |space| ManyScratch::take(space, tile).map(|_| ()))?
    };
    Ok(decrypt.max(measure(machine, |space| EncryptScratch::take(space, tile).map(|_| ()))?))
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

    /// Share of element `i` of all elements of `prediction`, in a ring that may be narrower than
    /// the tensor's.
    pub(crate) fn get(&self, prediction: usize, ring: Modulus, i: usize) -> u64 {
        ring.reduce(self.all.get(prediction * self.per_prediction + i).copied().unwrap_or(0))
    }

    /// Shares of `prediction` from element `i` of all on.
    fn from(&self, prediction: usize, i: usize) -> Result<&[u64]> {
        self.all
            .get(prediction * self.per_prediction + i..(prediction + 1) * self.per_prediction)
            .ok_or(Error::Internal)
    }

    /// All tensors of `prediction`.
    pub(crate) fn of(&mut self, prediction: usize) -> Result<&mut [u64]> {
        let first = prediction * self.per_prediction;
        self.all.get_mut(first..first + self.per_prediction).ok_or(Error::Internal)
    }

    /// `len` elements from `offset` of `prediction`.
    pub(crate) fn tensor(
        &mut self,
        prediction: usize,
        offset: usize,
        len: usize,
    ) -> Result<&mut [u64]> {
        self.of(prediction)?.get_mut(offset..offset + len).ok_or(Error::Internal)
    }
}

/// What a client needs for the triplets of one layer.
pub(crate) struct EncryptInputs<'s> {
    pub(crate) key: &'s SecretKey,
    /// Fresh for this layer and stock.
    pub(crate) seed: &'s Seed,
    pub(crate) tile: Tile,
    pub(crate) workers: Workers<'s>,
}

/// Client: encrypts its shares `r` of the tensor that `step` reads, receives `v` into the one that
/// it makes.
pub(crate) async fn client<IO: Read + Write>(
    ch: &mut Channel<IO>,
    scratch: &mut [u8],
    inputs: &EncryptInputs<'_>,
    shares: &mut Shares<'_>,
    step: &Step,
) -> Result<()> {
    send_masks(ch, scratch, inputs, shares, step).await?;
    let EncryptInputs { key, tile, .. } = inputs;
    ch.expect(Tag::Download, tile.download_bytes()).await?;
    if tile.most_results() <= decrypt::FEW {
        receive_few(ch, scratch, key, tile, shares, step).await?;
    } else {
        receive_many(ch, scratch, key, tile, shares, step).await?;
    }
    ch.finish().await
}

/// Encrypts and sends `r`; wipes its scratch.
async fn send_masks<IO: Read + Write>(
    ch: &mut Channel<IO>,
    scratch: &mut [u8],
    inputs: &EncryptInputs<'_>,
    shares: &Shares<'_>,
    step: &Step,
) -> Result<()> {
    let EncryptInputs { key, seed, tile, workers } = inputs;
    let mut space = Space::carve(scratch)?;
    let EncryptScratch { secret, polys, noise } = EncryptScratch::take(&mut space, tile)?;
    let used = space.used();
    let (public, noise_seed) = (seed.derive(0), seed.derive(1));
    let encoder = Encoder::new(Plaintext::Bits(u32::from(tile.ring)), tile.level.limbs);
    workers.for_each(
        (0..).zip(noise.chunks_exact_mut(N)),
        || (),
        |(), (number, noise)| {
            encrypt::noise(&noise_seed, number, noise);
            Ok(())
        },
    )?;
    ch.begin(Tag::Upload, tile.upload_bytes()).await?;
    ch.put(&public.0).await?;
    for (index, limb) in LIMBS.iter().enumerate().take(tile.level.limbs) {
        key.expand(limb, secret);
        let secret = &*secret;
        for first in (0..tile.up()).step_by(polys.len() / N) {
            let noise = noise.get(first * N..).ok_or(Error::Internal)?;
            let ciphertexts = (first..).zip(polys.chunks_exact_mut(N).zip(noise.chunks_exact(N)));
            let count = ciphertexts.size_hint().0;
            workers.for_each(
                ciphertexts,
                || (),
                |(), (number, (poly, noise))| {
                    poly.fill(0);
                    for run in tile.input_spans(number) {
                        let out = poly.get_mut(run.at..run.at + run.len).ok_or(Error::Internal)?;
                        encode_run(
                            index,
                            &encoder,
                            shares.from(run.prediction, step.from + run.element)?,
                            run.step,
                            out,
                        )?;
                    }
                    SecretKey::encrypt_limb(index, number as u64, &public, noise, secret, poly);
                    Ok(())
                },
            )?;
            for poly in polys.chunks_exact(N).take(count) {
                put_limb(ch, poly).await?;
            }
        }
    }
    wipe_first(used, scratch);
    ch.end().await
}

/// Encodes `shares`, every `step`-th of them from the first on.
fn encode_run(
    index: usize,
    encoder: &Encoder,
    shares: &[u64],
    step: usize,
    out: &mut [i32],
) -> Result<()> {
    if step == 1 {
        encoder.encode_all(index, shares.get(..out.len()).ok_or(Error::Internal)?, out);
        return Ok(());
    }
    let (mut some, mut shares) = (Zeroizing::new([0; GROUP]), shares.iter().step_by(step));
    for out in out.chunks_mut(GROUP) {
        let some = some.get_mut(..out.len()).ok_or(Error::Internal)?;
        for to in some.iter_mut() {
            *to = *shares.next().ok_or(Error::Internal)?;
        }
        encoder.encode_all(index, some, out);
    }
    Ok(())
}

/// Receives `v` in ciphertexts with few results: nothing of a ciphertext is kept but these.
async fn receive_few<IO: Read + Write>(
    ch: &mut Channel<IO>,
    scratch: &mut [u8],
    key: &SecretKey,
    tile: &Tile,
    shares: &mut Shares<'_>,
    step: &Step,
) -> Result<()> {
    let FewScratch { unfolded, places, sums } =
        FewScratch::take(&mut Space::carve(scratch)?, tile)?;
    decrypt::unfold(key, unfolded);
    for number in 0..tile.down() {
        let count = tile.result_count(number);
        let (places, sums) = (
            places.get_mut(..count).ok_or(Error::Internal)?,
            sums.get_mut(..count).ok_or(Error::Internal)?,
        );
        let mut slots = places.iter_mut();
        for run in tile.result_spans(number) {
            for (position, place) in (run.at..run.at + run.len).zip(slots.by_ref()) {
                *place = u16::try_from(position).map_err(|_| Error::Internal)?;
            }
        }
        sums.fill(0);
        ch.get_groups(N, tile.c1_bits(), |first, c1| {
            decrypt::add_products(unfolded, tile.c1_bits(), first, c1, places, sums)
        })
        .await?;
        let mut sums = sums.iter();
        receive_c0(ch, tile, number, shares, step, || sums.next().copied()).await?;
    }
    Ok(())
}

/// Receives `v` in ciphertexts with many results.
async fn receive_many<IO: Read + Write>(
    ch: &mut Channel<IO>,
    scratch: &mut [u8],
    key: &SecretKey,
    tile: &Tile,
    shares: &mut Shares<'_>,
    step: &Step,
) -> Result<()> {
    let ManyScratch { secrets, poly, packed, residues } =
        ManyScratch::take(&mut Space::carve(scratch)?, tile)?;
    let (bits, limbs) = (tile.c1_bits(), decrypt::limbs(tile.c1_bits()));
    for (limb, secret) in LIMBS.iter().zip(secrets.chunks_exact_mut(N)) {
        key.expand(limb, secret);
    }
    let packed = packed.get_mut(..packed_len(N as u64, bits) as usize).ok_or(Error::Internal)?;
    for number in 0..tile.down() {
        ch.get(packed).await?;
        for (index, secret) in secrets.chunks_exact(N).enumerate() {
            decrypt::load(index, packed, bits, poly);
            decrypt::multiply_by_secret(index, secret, poly);
            let mut residues = residues.iter_mut();
            for run in tile.result_spans(number) {
                let values = poly.get(run.at..run.at + run.len).ok_or(Error::Internal)?;
                for (&value, residue) in values.iter().zip(residues.by_ref()) {
                    *residue.get_mut(index).ok_or(Error::Internal)? = value;
                }
            }
        }
        let mut residues = residues.iter();
        receive_c0(ch, tile, number, shares, step, || {
            residues.next().map(|&r| decrypt::lift(r, limbs))
        })
        .await?;
    }
    Ok(())
}

/// Receives `c0` of one ciphertext; `product` is the next result's coefficient of `c1·s`.
async fn receive_c0<IO: Read + Write>(
    ch: &mut Channel<IO>,
    tile: &Tile,
    number: usize,
    shares: &mut Shares<'_>,
    step: &Step,
    mut product: impl FnMut() -> Option<u64>,
) -> Result<()> {
    let mut results = tile.results(number);
    ch.get_values(tile.result_count(number), tile.c0_bits(), |_, c0| {
        let (product, (prediction, output, _)) =
            product().zip(results.next()).ok_or(Error::Internal)?;
        let v = decrypt::round(u32::from(tile.ring), c0, product);
        *shares.of(prediction)?.get_mut(step.to + output).ok_or(Error::Internal)? = v;
        Ok(())
    })
    .await
}

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
        let x = x.map(|x| x.get(uploads.clone()).unwrap_or_default());
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
            transformed_weights(limb, tile, layer, group, chunk, poly)?;
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
        (encoder, basis): (&Encoder, &Basis),
        z: &mut [i32],
        mut sums: &mut [u64],
    ) {
        let Some(limb) = LIMBS.get(index) else { return };
        let outputs = self.tile.outputs();
        limb.inverse(z);
        let masks = self.tile.result_spans(number).map(|run| {
            let first = run.prediction * outputs + run.element;
            (run.at, self.masks.get(first..first + run.len).unwrap_or_default())
        });
        self.fresh(number).finish_c0(index, encoder, z, masks, |x| {
            basis.add(index, x, sums.split_off_mut(..x.len()).unwrap_or_default());
        });
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
        |(), (number, c1)| {
            Mask::new(public, number, index).fill(limb, c1);
            Ok(())
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

/// Server: multiplies the client's encrypted shares by the weights, subtracts the masks, answers.
pub(crate) async fn server<IO: Read + Write>(
    ch: &mut Channel<IO>,
    scratch: &mut [u8],
    m: &EvaluateLayer<'_>,
) -> Result<()> {
    let (tile, key, footprint) = (&m.tile, m.key, m.footprint());
    let ServerScratch { c0, c1, poly, ephemeral, z, z1, sums0, sums1, noise } =
        ServerScratch::take(&mut Space::carve(scratch)?, tile, footprint)?;
    let encoder = Encoder::new(Plaintext::Bits(u32::from(tile.ring)), tile.level.limbs);
    let basis = Basis::new(tile.level.limbs);
    let limbs = || LIMBS.iter().enumerate().take(tile.level.limbs);
    let most = tile.most_results();

    let each_noise = |(): &mut (), (number, noise): (usize, &mut [i8])| {
        m.fresh(number).noise_of_c1(noise);
        Ok(())
    };
    m.workers.for_each(noise.chunks_exact_mut(N).enumerate(), || (), each_noise)?;

    ch.expect(Tag::Upload, tile.upload_bytes()).await?;
    let mut public = Seed([0; 32]);
    ch.get(&mut public.0).await?;
    for (index, limb) in limbs() {
        for c0 in c0.chunks_exact_mut(N) {
            get_limb(ch, limb, c0).await?;
        }
        if footprint == Footprint::Fast {
            expand_masks(m.workers, limb, index, &public, c1)?;
            key.expand(index, poly);
            let (c0, c1, a) = (&*c0, &*c1, &*poly);
            let results = noise
                .chunks_exact(N)
                .zip(sums1.chunks_exact_mut(N))
                .zip(sums0.chunks_exact_mut(most))
                .enumerate();
            with_polynomials(
                m.workers,
                results,
                [ephemeral, z, z1],
                |[ephemeral, z, z1], (number, ((noise, sums1), sums0))| {
                    m.fresh(number).ephemeral(limb, ephemeral);
                    m.products(index, number, [c0, c1], [z, z1])?;
                    backend::limb::multiply_add(limb, a, ephemeral, z1);
                    limb.inverse(z1);
                    backend::limb::add_small(noise, z1);
                    basis.add(index, z1, sums1);
                    backend::limb::multiply_add(limb, key.limb(index), ephemeral, z);
                    m.finish_c0(index, number, (&encoder, &basis), z, sums0);
                    Ok(())
                },
            )?;
            continue;
        }
        for (number, sums0) in sums0.chunks_exact_mut(most).enumerate() {
            m.fresh(number).ephemeral(limb, ephemeral);
            m.made_products(index, number, c0, poly, z)?;
            backend::limb::multiply_add(limb, key.limb(index), ephemeral, z);
            m.finish_c0(index, number, (&encoder, &basis), z, sums0);
        }
    }
    ch.finish().await?;

    ch.begin(Tag::Download, tile.download_bytes()).await?;
    for (number, sums0) in sums0.chunks_exact(most).enumerate() {
        if footprint == Footprint::Small {
            sums1.fill(0);
            for (index, limb) in limbs() {
                expand_masks(Workers::OWN, limb, index, &public, c0)?;
                m.made_products(index, number, c0, poly, z)?;
                m.fresh(number).ephemeral(limb, ephemeral);
                key.expand(index, poly);
                backend::limb::multiply_add(limb, poly, ephemeral, z);
                limb.inverse(z);
                m.fresh(number).add_noise_to_c1(z);
                basis.add(index, z, sums1);
            }
        }
        let sums1 = match footprint {
            Footprint::Fast => sums1.get(number * N..(number + 1) * N).ok_or(Error::Internal)?,
            Footprint::Small => &*sums1,
        };
        put_rounded(ch, sums1, tile.c1_bits()).await?;
        put_rounded(
            ch,
            sums0.get(..tile.result_count(number)).ok_or(Error::Internal)?,
            tile.c0_bits(),
        )
        .await?;
    }
    ch.end().await
}
