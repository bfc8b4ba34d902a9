//! The client's side of triplets.

use super::super::channel::Channel;
use super::super::polynomials::put_limb;
use super::super::shares::Shares;
use crate::error::{Error, Result};
use crate::lattice::encode::{Encoder, Plaintext};
use crate::lattice::{SecretKey, decrypt, encrypt};
use crate::memory::{Space, measure, wipe_first};
use crate::params::N;
use crate::plan::Step;
use crate::plan::tile::Tile;
use crate::ring::LIMBS;
use crate::rng::Seed;
use crate::target::TargetProfile;
use crate::wire::{GROUP, Tag, packed_len};
use crate::workers::Workers;
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
    rows: &'a mut [u16],
    sums: &'a mut [u64],
}

impl<'a> FewScratch<'a> {
    fn take(space: &mut Space<'a>, tile: &Tile) -> Result<Self> {
        let results = tile.most_results();
        Ok(Self {
            unfolded: space.take(decrypt::UNFOLDED)?,
            rows: space.take(results)?,
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
pub(crate) fn scratch(machine: TargetProfile, tile: &Tile) -> Result<usize> {
    let decrypt = if tile.most_results() <= decrypt::FEW {
        measure(machine, |space| FewScratch::take(space, tile).map(|_| ()))?
    } else {
        measure(machine, |space| ManyScratch::take(space, tile).map(|_| ()))?
    };
    Ok(decrypt.max(measure(machine, |space| EncryptScratch::take(space, tile).map(|_| ()))?))
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
        |(), (number, noise)| encrypt::noise(&noise_seed, number, noise),
    )?;
    ch.begin(Tag::Upload, tile.upload_bytes()).await?;
    ch.put(&public.0).await?;
    for (index, limb) in LIMBS.iter().enumerate().take(tile.level.limbs) {
        key.expand(limb, secret)?;
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
                        let own = shares.of(run.prediction)?.get(step.from + run.element..);
                        encode_run(index, &encoder, own.ok_or(Error::Internal)?, run.step, out)?;
                    }
                    SecretKey::encrypt_limb(index, number as u64, &public, noise, secret, poly)
                },
            )?;
            for poly in polys.chunks_exact(N).take(count) {
                put_limb(ch, poly).await?;
            }
        }
    }
    wipe_first(used, scratch)?;
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
        return encoder.encode_all(index, shares.get(..out.len()).ok_or(Error::Internal)?, out);
    }
    let (mut some, mut shares) = (Zeroizing::new([0; GROUP]), shares.iter().step_by(step));
    for out in out.chunks_mut(GROUP) {
        let some = some.get_mut(..out.len()).ok_or(Error::Internal)?;
        for to in some.iter_mut() {
            *to = *shares.next().ok_or(Error::Internal)?;
        }
        encoder.encode_all(index, some, out)?;
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
    let FewScratch { unfolded, rows, sums } = FewScratch::take(&mut Space::carve(scratch)?, tile)?;
    decrypt::unfold(key, unfolded)?;
    for number in 0..tile.down() {
        let count = tile.result_count(number);
        let (rows, sums) = (
            rows.get_mut(..count).ok_or(Error::Internal)?,
            sums.get_mut(..count).ok_or(Error::Internal)?,
        );
        let mut slots = rows.iter_mut();
        for run in tile.result_spans(number) {
            for coefficient in run.at..run.at + run.len {
                *slots.next().ok_or(Error::Internal)? = decrypt::row(coefficient)?;
            }
        }
        if slots.len() > 0 {
            return Err(Error::Internal);
        }
        sums.fill(0);
        ch.get_groups(N, tile.c1_bits(), |first, c1| {
            decrypt::add_products(unfolded, tile.c1_bits(), first, c1, rows, sums)
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
        key.expand(limb, secret)?;
    }
    let packed = packed.get_mut(..packed_len(N as u64, bits) as usize).ok_or(Error::Internal)?;
    for number in 0..tile.down() {
        ch.get(packed).await?;
        for (index, secret) in secrets.chunks_exact(N).enumerate() {
            decrypt::load(index, packed, bits, poly)?;
            decrypt::multiply_by_secret(index, secret, poly)?;
            let mut residues = residues.iter_mut();
            for run in tile.result_spans(number) {
                let values = poly.get(run.at..run.at + run.len).ok_or(Error::Internal)?;
                for &value in values {
                    let residue = residues.next().and_then(|r| r.get_mut(index));
                    *residue.ok_or(Error::Internal)? = value;
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
        *shares.of_mut(prediction)?.get_mut(step.to + output).ok_or(Error::Internal)? = v;
        Ok(())
    })
    .await
}
