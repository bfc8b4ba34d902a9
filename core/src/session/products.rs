//! Squares by OT products (paper, Fig. 8): `y² = y_S² + 2·y_S·y_C + y_C²`, the cross term by a product of the server's random `a`
//! and the client's share `v = y_C`, which is known offline. Online the server opens `δ = y_S − a`, the client answers a correction.

use super::channel::Channel;
use crate::error::{Error, Result};
use crate::hash::{Block, Tmmo};
use crate::ot::product::{client_product, correction_width, server_product};
use crate::plan::nonlinear::Nonlinear;
use crate::ring::Modulus;
use crate::rng::Prg;
use crate::wire::{Packer, Tag, unpack_widths};
use embedded_io_async::{Read, Write};

/// Most corrections of one product: one for each bit of the ring.
const WIDEST: usize = crate::params::MAX_RING_BITS as usize;
/// Most bytes of the corrections of one product.
const MOST_BYTES: usize = (WIDEST * (WIDEST + 1) / 2).div_ceil(8);

/// First tweak of product `element` of `layer`; a layer never repeats in a session. Tweaks of trees have bit 127 set.
const fn tweak(layer: u64, element: usize) -> u128 {
    (layer as u128) << 40 | (element as u128) << 8
}

/// Server, offline: draws every `a`, sends corrections, keeps `[a, p_S]`.
#[expect(clippy::too_many_arguments, reason = "each is a different thing")]
pub(crate) async fn server<IO: Read + Write>(
    ch: &mut Channel<IO>,
    ring: Modulus,
    counts: &Nonlinear,
    layer: u64,
    hash: &Tmmo,
    delta: Block,
    labels: &[Block],
    random: &mut Prg,
    keep: &mut [[u64; 2]],
) -> Result<()> {
    let (mut corrections, mut bytes) = ([0; WIDEST], [0; MOST_BYTES]);
    let width = ring.bits() as usize;
    let corrections = corrections.get_mut(..width).ok_or(Error::Internal)?;
    let bytes = bytes.get_mut(..counts.product_bytes).ok_or(Error::Internal)?;
    for (element, (keep, labels)) in keep.iter_mut().zip(labels.chunks_exact(width)).enumerate() {
        let a = ring.reduce(random.next_u64());
        *keep = [a, server_product(ring, a, labels, delta, hash, tweak(layer, element), corrections)?];
        let (mut packer, mut slots) = (Packer::default(), bytes.iter_mut());
        let mut each = |byte| {
            if let Some(slot) = slots.next() {
                *slot = byte;
            }
        };
        for (&c, i) in corrections.iter().zip(0..) {
            packer.push(c, correction_width(ring, i), &mut each);
        }
        packer.finish(each);
        ch.put(bytes).await?;
    }
    Ok(())
}

/// Client, offline: its product shares `p_C`, each left in the place of its product's first label.
pub(crate) async fn client<IO: Read + Write>(
    ch: &mut Channel<IO>,
    ring: Modulus,
    counts: &Nonlinear,
    layer: u64,
    hash: &Tmmo,
    labels: &mut [Block],
    v: impl Fn(usize) -> u64,
) -> Result<()> {
    let (mut corrections, mut bytes) = ([0; WIDEST], [0; MOST_BYTES]);
    let width = ring.bits() as usize;
    let corrections = corrections.get_mut(..width).ok_or(Error::Internal)?;
    let bytes = bytes.get_mut(..counts.product_bytes).ok_or(Error::Internal)?;
    for (element, labels) in labels.chunks_exact_mut(width).enumerate().take(counts.products) {
        ch.get(bytes).await?;
        if !unpack_widths(bytes, |i| correction_width(ring, i as u32), corrections) {
            return Err(Error::Malformed);
        }
        let share = client_product(ring, v(element), labels, hash, tweak(layer, element), corrections)?;
        // The labels are spent: the first one's place keeps the share until the online phase.
        labels.fill(0);
        *labels.first_mut().ok_or(Error::Internal)? = u128::from(share);
    }
    Ok(())
}

/// Server, online: opens δ, receives the answer; `y` turns from its share of the input into its share of the square.
pub(crate) async fn server_online<IO: Read + Write>(ch: &mut Channel<IO>, ring: Modulus, keep: &[[u64; 2]], y: &mut [u64]) -> Result<()> {
    let bytes = crate::wire::packed_len(y.len() as u64, ring.bits());
    ch.begin(Tag::Opening, bytes).await?;
    let mut pairs = y.iter().zip(keep);
    ch.put_values(y.len(), ring.bits(), |_| pairs.next().map_or(0, |(&y, &[a, _])| ring.sub(y, a))).await?;
    ch.end().await?;
    ch.expect(Tag::Answer, bytes).await?;
    let mut triples = y.iter_mut().zip(keep);
    let count = keep.len();
    ch.get_values(count, ring.bits(), |_, answer| {
        let (y, &[_, p]) = triples.next().ok_or(Error::Internal)?;
        *y = ring.add(ring.mul(*y, *y), ring.add(ring.add(p, p), answer));
        Ok(())
    })
    .await?;
    ch.finish().await
}

/// Client, online: with its shares `v` of the input and `r` of the output, and `p_C` where [`client`] left it.
/// Each element's answer is `v² + 2·(p_C + δ·v) − r`.
pub(crate) async fn client_online<IO: Read + Write>(
    ch: &mut Channel<IO>,
    ring: Modulus,
    counts: &Nonlinear,
    labels: &mut [Block],
    v: impl Fn(usize) -> u64,
    r: impl Fn(usize) -> u64,
) -> Result<()> {
    let bytes = crate::wire::packed_len(counts.products as u64, ring.bits());
    let width = ring.bits() as usize;
    let mut shares = labels.chunks_exact_mut(width);
    ch.expect(Tag::Opening, bytes).await?;
    ch.get_values(counts.products, ring.bits(), |i, delta| {
        let p = shares.next().and_then(|l| l.first_mut()).ok_or(Error::Internal)?;
        let cross = ring.add(*p as u64, ring.mul(delta, v(i)));
        *p = u128::from(ring.sub(ring.add(ring.mul(v(i), v(i)), ring.add(cross, cross)), r(i)));
        Ok(())
    })
    .await?;
    ch.finish().await?;
    ch.begin(Tag::Answer, bytes).await?;
    let mut answers = labels.chunks_exact(width);
    ch.put_values(counts.products, ring.bits(), |_| answers.next().and_then(|l| l.first()).map_or(0, |&p| p as u64)).await?;
    ch.end().await
}
