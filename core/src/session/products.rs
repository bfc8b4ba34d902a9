//! Products by OT (paper, Fig. 8): `x·y = x_S·y_S + x_S·y_C + y_S·x_C + x_C·y_C`, each cross term
//! by an OT product of the server's random `a` and the client's share, which is known offline; a
//! square needs one of the two. Online the server opens `δ = x_S − a` for each, the client answers
//! a correction for each element.

use super::channel::Channel;
use crate::attack::{Defence, stripped};
use crate::block::Block;
use crate::error::{Error, Result};
use crate::hash::Tmmo;
use crate::ot::{OtMultiply, correction_width};
use crate::plan::Step;
use crate::plan::circuit::NonlinearCost;
use crate::ring::Modulus;
use crate::rng::Prg;
use crate::wire::{Packer, Tag, packed_len, unpack_widths};
use embedded_io_async::{Read, Write};

/// Most corrections of one product: one for each bit of the ring.
const WIDEST: usize = crate::params::MAX_RING_BITS as usize;
/// Most bytes of the corrections of one product.
const MAX_BYTES: usize = (WIDEST * (WIDEST + 1) / 2).div_ceil(8);

/// First tweak of product `element` of `layer`; a layer never repeats in a session. Tweaks of trees
/// have bit 127 set.
const fn tweak(layer: u64, element: usize) -> u128 {
    (layer as u128) << 40 | (element as u128) << 8
}

/// Server, offline: draws every `a`, sends corrections, keeps `[a, p_S]`.
#[expect(clippy::too_many_arguments, reason = "each is a different thing")]
pub(crate) async fn server<IO: Read + Write>(
    ch: &mut Channel<IO>,
    ring: Modulus,
    counts: &NonlinearCost,
    layer: u64,
    hash: &Tmmo,
    delta: Block,
    labels: &[Block],
    random: &mut Prg,
    keep: &mut [[u64; 2]],
) -> Result<()> {
    let (mut corrections, mut bytes) = ([0; WIDEST], [0; MAX_BYTES]);
    let width = ring.bits() as usize;
    let corrections = corrections.get_mut(..width).ok_or(Error::Internal)?;
    let bytes = bytes.get_mut(..counts.product_bytes).ok_or(Error::Internal)?;
    let mut previous = None;
    for (element, (keep, labels)) in keep.iter_mut().zip(labels.chunks_exact(width)).enumerate() {
        let fresh = ring.reduce(random.next_u64());
        let a = previous.filter(|_| stripped(Defence::OwnFactor)).unwrap_or(fresh);
        previous = Some(a);
        let multiply = OtMultiply { modulus: ring, hash, tweak_base: tweak(layer, element) };
        *keep = [a, multiply.server(a, labels, delta, corrections)?];
        let mut packer = Packer::new(bytes);
        for (&c, i) in corrections.iter().zip(0..) {
            packer.push(c, correction_width(ring, i));
        }
        packer.finish()?;
        ch.put(bytes).await?;
    }
    Ok(())
}

/// Client, offline: its product shares `p_C`, each left in the place of its product's first label.
/// `factor`: its share of each factor.
pub(crate) async fn client<IO: Read + Write>(
    ch: &mut Channel<IO>,
    ring: Modulus,
    counts: &NonlinearCost,
    layer: u64,
    hash: &Tmmo,
    labels: &mut [Block],
    factor: impl Fn(usize) -> u64,
) -> Result<()> {
    let (mut corrections, mut bytes) = ([0; WIDEST], [0; MAX_BYTES]);
    let width = ring.bits() as usize;
    let corrections = corrections.get_mut(..width).ok_or(Error::Internal)?;
    let bytes = bytes.get_mut(..counts.product_bytes).ok_or(Error::Internal)?;
    for (element, labels) in labels.chunks_exact_mut(width).enumerate().take(counts.products) {
        ch.get(bytes).await?;
        if !unpack_widths(bytes, |i| correction_width(ring, i as u32), corrections) {
            return Err(Error::Malformed);
        }
        let multiply = OtMultiply { modulus: ring, hash, tweak_base: tweak(layer, element) };
        let share = multiply.client(factor(element), labels, corrections)?;
        // The labels are spent: the first one's place keeps the share until the online phase.
        labels.fill(0);
        *labels.first_mut().ok_or(Error::Internal)? = u128::from(share);
    }
    Ok(())
}

/// What the cross terms of an element count: twice where one product stands for both.
const fn weight(step: &Step) -> u64 {
    if step.op.products_per_element() == 1 { 2 } else { 1 }
}

/// Server, online, in the frame that opens: every δ; then receives the answers and writes its share
/// of the result.
pub(crate) async fn server_online<IO: Read + Write>(
    ch: &mut Channel<IO>,
    ring: Modulus,
    step: &Step,
    keep: &[[u64; 2]],
    tensors: &mut [u64],
) -> Result<()> {
    let (each, len) = (step.op.products_per_element(), step.op.output().1 as usize);
    let share = |tensors: &[u64], number: usize| {
        tensors.get(step.factors(number).0).map_or(0, |&x| ring.reduce(x))
    };
    ch.put_values(keep.len(), ring.bits(), |i| {
        keep.get(i).map_or(0, |&[a, _]| ring.sub(share(tensors, i), a))
    })
    .await?;
    ch.end().await?;
    ch.expect(Tag::Answer, packed_len(len as u64, ring.bits())).await?;
    ch.get_values(len, ring.bits(), |i, answer| {
        let own = keep.get(i * each..(i + 1) * each).ok_or(Error::Internal)?;
        let cross = own.iter().fold(0, |sum, &[_, p]| ring.add(sum, p));
        let square = ring.mul(share(tensors, i * each), share(tensors, i * each + each - 1));
        let result = ring.add(square, ring.add(ring.mul(weight(step), cross), answer));
        *tensors.get_mut(step.to + i).ok_or(Error::Internal)? = result;
        Ok(())
    })
    .await?;
    ch.finish().await
}

/// Client, online, in the frame that opens: with its shares of all elements, and `p_C` where
/// [`client`] left it. Each element's answer is the product of its own shares, plus `p_C + δ·share`
/// for each cross term, minus `r`, its share of the result.
pub(crate) async fn client_online<IO: Read + Write>(
    ch: &mut Channel<IO>,
    ring: Modulus,
    step: &Step,
    counts: &NonlinearCost,
    labels: &mut [Block],
    share: impl Fn(usize) -> u64,
) -> Result<()> {
    let (each, len) = (step.op.products_per_element(), step.op.output().1 as usize);
    let width = ring.bits() as usize;
    let factor = |number: usize| share(step.factors(number).1);
    let mut places = labels.chunks_exact_mut(width);
    ch.get_values(counts.products, ring.bits(), |i, delta| {
        let p = places.next().and_then(|l| l.first_mut()).ok_or(Error::Internal)?;
        *p = u128::from(ring.add(*p as u64, ring.mul(delta, factor(i))));
        Ok(())
    })
    .await?;
    ch.finish().await?;
    ch.begin(Tag::Answer, packed_len(len as u64, ring.bits())).await?;
    ch.put_values(len, ring.bits(), |i| {
        let term = |number: usize| labels.get(number * width).map_or(0, |&p| p as u64);
        let cross = (i * each..(i + 1) * each).fold(0, |sum, number| ring.add(sum, term(number)));
        let own = ring.mul(factor(i * each), factor(i * each + each - 1));
        ring.sub(ring.add(own, ring.mul(weight(step), cross)), share(step.to + i))
    })
    .await?;
    ch.end().await
}
