//! Products by OT (paper, Fig. 8): `x·y = x_S·y_S + x_S·y_C + y_S·x_C + x_C·y_C`, each cross term
//! by an OT product of the server's random `a` and the client's share, which is known offline; a
//! square needs one of the two. Online the server opens `δ = x_S − a` for each, the client answers
//! a correction for each element.

use super::material::ServerOpMaterial;
use super::operation::OpContext;
use super::phase::{ClientPhase, ServerPhase};
use super::shares::{share, tensor};
use super::{Tables, extension};
use crate::attack::{Defence, stripped};
use crate::block::Block;
use crate::cost::opening_bytes;
use crate::error::{Error, Result};
use crate::ot::{OtMultiply, correction_width};
use crate::wire::{Packer, Tag, packed_len, unpack_widths};
use embedded_io_async::{Read, Write};

/// Most corrections of one product: one for each bit of the ring.
const WIDEST: usize = crate::params::MAX_RING_BITS as usize;
/// Most bytes of the corrections of one product.
const MAX_BYTES: usize = (WIDEST * (WIDEST + 1) / 2).div_ceil(8);

/// Product `number` of an operation, whose instance never repeats in a session. Tweaks of trees
/// have bit 127 set.
fn multiply<'s>(op: &OpContext<'s>, number: usize) -> OtMultiply<'s> {
    let tweak_base = u128::from(op.instance) << 40 | (number as u128) << 8;
    OtMultiply { modulus: op.ring(), hash: op.hash, tweak_base }
}

/// Server: draws every `a`, sends corrections, keeps `[a, p_S]`.
pub(crate) async fn server_tables<IO: Read + Write>(
    phase: &mut ServerPhase<'_, '_, IO>,
    op: &OpContext<'_>,
    own: &mut ServerOpMaterial<'_>,
) -> Result<()> {
    let (mut corrections, mut bytes) = ([0; WIDEST], [0; MAX_BYTES]);
    let (ring, width) = (op.ring(), op.ring().bits() as usize);
    let corrections = corrections.get_mut(..width).ok_or(Error::Internal)?;
    let bytes = bytes.get_mut(..op.counts.product_bytes).ok_or(Error::Internal)?;
    let mut labels = &*own.labels;
    let mut previous = None;
    for (number, keep) in own.products.iter_mut().enumerate() {
        let labels = labels.split_off(..width).ok_or(Error::Internal)?;
        let fresh = ring.reduce(phase.factors.next_u64());
        let a = match previous {
            Some(previous) if stripped(Defence::OwnFactor) => previous,
            _ => fresh,
        };
        previous = Some(a);
        let delta = phase.sender.delta();
        *keep = [a, multiply(op, number).server(a, labels, delta, corrections)?];
        let mut packer = Packer::new(bytes);
        for (&c, i) in corrections.iter().zip(0..) {
            packer.push(c, correction_width(ring, i));
        }
        packer.finish()?;
        phase.ch.put(bytes).await?;
    }
    Ok(())
}

/// Client: its product shares `p_C`, each left in the place of its product's first label.
pub(crate) async fn client_tables<IO: Read + Write, S>(
    phase: &mut ClientPhase<'_, '_, IO, S>,
    op: &OpContext<'_>,
    mut labels: &mut [Block],
) -> Result<()> {
    let (mut corrections, mut bytes) = ([0; WIDEST], [0; MAX_BYTES]);
    let (ring, width) = (op.ring(), op.ring().bits() as usize);
    let corrections = corrections.get_mut(..width).ok_or(Error::Internal)?;
    let bytes = bytes.get_mut(..op.counts.product_bytes).ok_or(Error::Internal)?;
    let shares = phase.shares.of(op.index)?;
    for number in 0..op.counts.products {
        let labels = labels.split_off_mut(..width).ok_or(Error::Internal)?;
        phase.ch.get(bytes).await?;
        if !unpack_widths(bytes, |i| correction_width(ring, i as u32), corrections) {
            return Err(Error::Malformed);
        }
        let factor = share(shares, op.step.factors(number).1, ring)?;
        let product = multiply(op, number).client(factor, labels, corrections)?;
        // The labels are spent: the first one's place keeps the share until the online phase.
        labels.fill(0);
        *labels.first_mut().ok_or(Error::Internal)? = u128::from(product);
    }
    Ok(())
}

/// What the cross terms of an element count: twice where one product stands for both.
const fn weight(op: &OpContext<'_>) -> u64 {
    if op.step.op.products_per_element() == 1 { 2 } else { 1 }
}

/// Server, online: opens every δ, with corrections that were not sent before; then receives the
/// answers and writes its share of the result.
pub(crate) async fn server_online<IO: Read + Write>(
    phase: &mut ServerPhase<'_, '_, IO>,
    op: &OpContext<'_>,
    own: &mut ServerOpMaterial<'_>,
    tensors: &mut [u64],
) -> Result<()> {
    extension::server_late(phase, op, own.labels).await?;
    phase.ch.begin(Tag::Opening, opening_bytes(&op.step.op, op.options)).await?;
    if op.options.tables == Tables::Streamed {
        server_tables(phase, op, own).await?;
    }
    let (ring, keep) = (op.ring(), &*own.products);
    let factor = |tensors: &[u64], number: usize| share(tensors, op.step.factors(number).0, ring);
    let mut kept = keep.iter();
    phase
        .ch
        .put_values(keep.len(), ring.bits(), |number| {
            let [a, _] = kept.next().ok_or(Error::Internal)?;
            Ok(ring.sub(factor(tensors, number)?, *a))
        })
        .await?;
    phase.ch.end().await?;

    let (each, len) = (op.step.op.products_per_element(), op.outputs());
    phase.ch.expect(Tag::Answer, packed_len(len as u64, ring.bits())).await?;
    let mut kept = keep;
    phase
        .ch
        .get_values(len, ring.bits(), |i, answer| {
            let own = kept.split_off(..each).ok_or(Error::Internal)?;
            let cross = own.iter().fold(0, |sum, &[_, p]| ring.add(sum, p));
            let last = i * each + each - 1;
            let square = ring.mul(factor(tensors, i * each)?, factor(tensors, last)?);
            let result = ring.add(square, ring.add(ring.mul(weight(op), cross), answer));
            *tensors.get_mut(op.step.to + i).ok_or(Error::Internal)? = result;
            Ok(())
        })
        .await?;
    phase.ch.finish().await
}

/// Client, online: has `p_C` where [`client_tables`] leaves it. Each element's answer is the
/// product of its own shares, plus `p_C + δ·share` for each cross term, minus `r`, its share of the
/// result.
pub(crate) async fn client_online<IO: Read + Write, S>(
    phase: &mut ClientPhase<'_, '_, IO, S>,
    op: &OpContext<'_>,
    labels: &mut [Block],
) -> Result<()> {
    extension::client_late(phase, op, labels).await?;
    phase.ch.expect(Tag::Opening, opening_bytes(&op.step.op, op.options)).await?;
    if op.options.tables == Tables::Streamed {
        client_tables(phase, op, labels).await?;
    }
    let (ring, width) = (op.ring(), op.ring().bits() as usize);
    let labels = labels.get_mut(..op.counts.ots).ok_or(Error::Internal)?;
    let shares = phase.shares.of(op.index)?;
    let factor = |number: usize| share(shares, op.step.factors(number).1, ring);
    let mut places = labels.iter_mut().step_by(width);
    phase
        .ch
        .get_values(op.counts.products, ring.bits(), |number, delta| {
            let p = places.next().ok_or(Error::Internal)?;
            *p = u128::from(ring.add(*p as u64, ring.mul(delta, factor(number)?)));
            Ok(())
        })
        .await?;
    phase.ch.finish().await?;

    let (each, len) = (op.step.op.products_per_element(), op.outputs());
    let own_shares = tensor(shares, op.step.to, len)?;
    phase.ch.begin(Tag::Answer, packed_len(len as u64, ring.bits())).await?;
    let (mut terms, mut results) = (labels.iter().step_by(width), own_shares.iter());
    phase
        .ch
        .put_values(len, ring.bits(), |i| {
            let mut cross = 0;
            for _ in 0..each {
                cross = ring.add(cross, *terms.next().ok_or(Error::Internal)? as u64);
            }
            let own = ring.mul(factor(i * each)?, factor(i * each + each - 1)?);
            let r = ring.reduce(*results.next().ok_or(Error::Internal)?);
            Ok(ring.sub(ring.add(own, ring.mul(weight(op), cross)), r))
        })
        .await?;
    phase.ch.end().await
}
