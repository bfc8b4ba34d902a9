//! The client's side of triplets.

use super::super::channel::Channel;
use super::super::polynomials::{put_limb, put_rescaled};
use super::super::shares::Shares;
use crate::error::{Error, Result};
use crate::lattice::encode::{Encoder, Plaintext};
use crate::lattice::rescale::Basis;
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
    /// The secret in the first limbs: in those where it is kept. In the others it is expanded for
    /// each ciphertext.
    secrets: &'a mut [i32],
    /// All limbs of as many ciphertexts as are encrypted at once.
    polys: &'a mut [i32],
    /// Their noise.
    noise: &'a mut [i8],
}

impl<'a> EncryptScratch<'a> {
    fn take(space: &mut Space<'a>, tile: &Tile) -> Result<Self> {
        let at_once = tile.up().clamp(1, space.machine().ciphertexts);
        let (n, limbs) = (tile.n(), tile.limbs());
        // On a small machine, one in the smaller ring: no more than a set-up takes.
        let kept = match at_once {
            1 if tile.up() == 1 || n == N => 0,
            1 => 1,
            _ => limbs,
        };
        Ok(Self {
            secrets: space.take(kept * n)?,
            polys: space.take(at_once * limbs * n)?,
            noise: space.take(at_once * n)?,
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
            unfolded: space.take(decrypt::unfolded(tile.n()))?,
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
            secrets: space.take(decrypt::limbs(tile.n(), tile.c1_bits()) * tile.n())?,
            poly: space.take(tile.n())?,
            packed: space.take(packed_len(tile.n() as u64, tile.c1_bits()) as usize)?,
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
/// it makes; `v` has a carry still.
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
    let EncryptScratch { secrets, polys, noise } = EncryptScratch::take(&mut space, tile)?;
    let used = space.used();
    let (n, all) = (tile.n(), tile.limbs() * tile.n());
    for (limb, secret) in LIMBS.iter().zip(secrets.chunks_exact_mut(n)) {
        key.expand(limb, secret)?;
    }
    let encryption = Encryption {
        key,
        secrets,
        tile,
        encoder: Encoder::new(Plaintext::Bits(u32::from(tile.ring)), tile.limbs()),
        public: seed.derive(0),
        noise: seed.derive(1),
    };
    let basis = Basis::new(tile.limbs());
    ch.begin(Tag::Upload, tile.upload_bytes()).await?;
    ch.put(&encryption.public.0).await?;
    for first in (0..tile.up()).step_by(polys.len() / all) {
        let ciphertexts =
            (first..tile.up()).zip(polys.chunks_exact_mut(all).zip(noise.chunks_exact_mut(n)));
        let count = ciphertexts.size_hint().0;
        workers.for_each(
            ciphertexts,
            || (),
            |(), (number, (poly, noise))| encryption.make(number, shares, step, poly, noise),
        )?;
        for poly in polys.chunks_exact(all).take(count) {
            put_upload(ch, &encryption, &basis, poly).await?;
        }
    }
    drop(encryption);
    wipe_first(used, scratch)?;
    ch.end().await
}

/// Sends `c0` of a ciphertext, as [`Encryption::make`] makes it.
async fn put_upload<IO: Read + Write>(
    ch: &mut Channel<IO>,
    encryption: &Encryption<'_>,
    basis: &Basis,
    poly: &[i32],
) -> Result<()> {
    let n = encryption.tile.n();
    if let Some(bits) = encryption.tile.level.upload_bits {
        return put_rescaled(ch, basis, n, poly, bits).await;
    }
    for (limb, values) in LIMBS.iter().zip(poly.chunks_exact(n)) {
        put_limb(ch, limb, values).await?;
    }
    Ok(())
}

/// What all ciphertexts of a layer have in common.
struct Encryption<'s> {
    key: &'s SecretKey,
    /// The secret in the first limbs.
    secrets: &'s [i32],
    tile: &'s Tile,
    encoder: Encoder,
    public: Seed,
    noise: Seed,
}

impl Encryption<'_> {
    /// Makes `c0` of ciphertext `number`: its coefficients in all limbs, one after the other.
    fn make(
        &self,
        number: usize,
        shares: &Shares<'_>,
        step: &Step,
        poly: &mut [i32],
        noise: &mut [i8],
    ) -> Result<()> {
        let n = self.tile.n();
        encrypt::noise(&self.noise, number as u64, noise)?;
        let mut secrets = self.secrets.chunks_exact(n);
        for (index, (limb, poly)) in LIMBS.iter().zip(poly.chunks_exact_mut(n)).enumerate() {
            match secrets.next() {
                Some(secret) => poly.copy_from_slice(secret),
                None => self.key.expand(limb, poly)?,
            }
            SecretKey::mask_limb((index, limb), number as u64, &self.public, noise, poly)?;
            for run in self.tile.input_spans(number) {
                let out = poly.get_mut(run.at..run.at + run.len).ok_or(Error::Internal)?;
                let own = shares.of(run.prediction)?.get(step.from + run.element..);
                self.add(index, own.ok_or(Error::Internal)?, run.step, out)?;
            }
        }
        Ok(())
    }

    /// Adds encoded shares, every `step`-th of them from the first on.
    fn add(&self, index: usize, shares: &[u64], step: usize, out: &mut [i32]) -> Result<()> {
        let mut some = Zeroizing::new([0; GROUP]);
        let mut encoded = Zeroizing::new([0; GROUP]);
        let mut shares = shares.iter().step_by(step);
        for out in out.chunks_mut(GROUP) {
            let some = some.get_mut(..out.len()).ok_or(Error::Internal)?;
            let encoded = encoded.get_mut(..out.len()).ok_or(Error::Internal)?;
            for to in some.iter_mut() {
                *to = *shares.next().ok_or(Error::Internal)?;
            }
            self.encoder.encode_all(index, some, encoded)?;
            out.iter_mut().zip(encoded).for_each(|(out, encoded)| *out += *encoded);
        }
        Ok(())
    }
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
                *slots.next().ok_or(Error::Internal)? = decrypt::row(tile.n(), coefficient)?;
            }
        }
        if slots.len() > 0 {
            return Err(Error::Internal);
        }
        sums.fill(0);
        ch.get_packed(tile.n(), tile.c1_bits(), &mut |first, c1, _| {
            decrypt::add_products(unfolded, tile.c1_bits(), first, c1, rows, sums)
        })
        .await?;
        let mut sums = sums.iter();
        receive_c0(ch, tile, number, shares, step, &mut || sums.next().copied()).await?;
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
    let (n, bits) = (tile.n(), tile.c1_bits());
    let limbs = decrypt::limbs(n, bits);
    for (limb, secret) in LIMBS.iter().zip(secrets.chunks_exact_mut(n)) {
        key.expand(limb, secret)?;
    }
    let packed = packed.get_mut(..packed_len(n as u64, bits) as usize).ok_or(Error::Internal)?;
    for number in 0..tile.down() {
        ch.get(packed).await?;
        for (index, secret) in secrets.chunks_exact(n).enumerate() {
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
        receive_c0(ch, tile, number, shares, step, &mut || {
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
    product: &mut (dyn FnMut() -> Option<u64> + Send),
) -> Result<()> {
    let mut results = tile.results(number);
    ch.get_values(tile.result_count(number), tile.c0_bits(), |_, c0| {
        let (product, (prediction, output, _)) =
            product().zip(results.next()).ok_or(Error::Internal)?;
        let v = decrypt::round(tile.result_bits(), c0, product);
        *shares.of_mut(prediction)?.get_mut(step.to + output).ok_or(Error::Internal)? = v;
        Ok(())
    })
    .await
}
