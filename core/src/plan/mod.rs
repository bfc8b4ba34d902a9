//! The plan: everything about a network that both parties know (layer kinds, shapes, ring widths, scales), and what follows from it.
//!
//! A [`Plan`] is a checked view over bytes, so a device reads it from flash. Layout (little-endian), see docs/protocol.md:
//! header of [`HEADER`] bytes, operations of [`OP`] bytes each, SHA-256 of all that.

pub mod cost;
mod geometry;
pub mod noise;
pub mod nonlinear;
mod op;
pub mod tile;

pub use geometry::{Convolution, Geometry};
pub use op::{Function, Op};

use crate::error::{Error, PlanFault, Result};
use crate::params;
use sha2::{Digest as _, Sha256};

/// First bytes of a plan.
pub const MAGIC: [u8; 8] = *b"MiniONNp";
/// Bytes of the header.
pub const HEADER: usize = 80;
/// Bytes of one record; an operation takes one, a convolution four.
pub const OP: usize = 16;
/// Bytes of the digest at the end.
pub const DIGEST: usize = 32;
/// Most records in one plan.
pub const MAX_OPS: usize = 256;
/// Most bytes of a plan.
pub const MAX_BYTES: usize = HEADER + MAX_OPS * OP + DIGEST;
/// Most elements of one tensor.
pub const MAX_LEN: u32 = 1 << 24;
/// Most classes of an argmax.
pub const MAX_CLASSES: u32 = 1 << 16;
/// Most weights of one layer.
pub const MAX_WEIGHTS: u64 = 1 << 28;

/// How real inputs become integers: `clamp(round(x / scale), min, max)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantisation {
    /// Real value of one step, finite and positive.
    pub scale: f32,
    /// Smallest integer.
    pub min: i32,
    /// Largest integer.
    pub max: i32,
}

impl Quantisation {
    /// The integer of a real input.
    ///
    /// # Errors
    /// [`Error::Input`] if `x` is not finite. Values beyond the range are clamped: the compiler proved the rings for the range.
    pub fn quantise(&self, x: f32) -> Result<i64> {
        if !x.is_finite() {
            return Err(Error::Input);
        }
        Ok(libm::rintf(x / self.scale).clamp(self.min as f32, self.max as f32) as i64)
    }
}

/// What stands before the operations.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Header {
    /// Elements of the input tensor.
    pub input_len: u32,
    /// Elements of the tensor that the last operation opens (for argmax: the number of classes).
    pub output_len: u32,
    /// How inputs are quantised.
    pub input: Quantisation,
    /// Real value of one step of the logits.
    pub output_scale: f32,
    /// Name for people, UTF-8, padded with zeros.
    pub name: [u8; 32],
}

/// A checked plan over borrowed bytes.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    bytes: &'a [u8],
    header: Header,
    digest: [u8; DIGEST],
}

/// Reads fixed fields one after the other.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const K: usize>(&mut self) -> Result<[u8; K]> {
        let (head, tail) = self.0.split_first_chunk::<K>().ok_or(Error::Plan(PlanFault::Truncated))?;
        self.0 = tail;
        Ok(*head)
    }
    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.take()?))
    }
}

const fn fault<T>(fault: PlanFault) -> Result<T> {
    Err(Error::Plan(fault))
}

impl<'a> Plan<'a> {
    /// Checks everything that later code relies on: digest, ranges, shapes, and that flooding fits (§noise).
    ///
    /// # Errors
    /// [`Error::Plan`] with the reason.
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        let content = bytes.len().checked_sub(DIGEST).and_then(|n| bytes.get(..n)).ok_or(Error::Plan(PlanFault::Truncated))?;
        let mut fields = Fields(content);
        if fields.take::<8>()? != MAGIC {
            return fault(PlanFault::Magic);
        }
        if u16::from_le_bytes(fields.take()?) != params::VERSION {
            return fault(PlanFault::Version);
        }
        let ops = usize::from(u16::from_le_bytes(fields.take()?));
        let header = Header {
            input_len: fields.u32()?,
            output_len: fields.u32()?,
            input: Quantisation { scale: f32::from_le_bytes(fields.take()?), min: fields.u32()? as i32, max: fields.u32()? as i32 },
            output_scale: f32::from_le_bytes(fields.take()?),
            name: fields.take()?,
        };
        if fields.take::<12>()? != [0; 12] {
            return fault(PlanFault::Field);
        }
        if fields.0.len() != ops * OP {
            return fault(PlanFault::Truncated);
        }
        let digest: [u8; DIGEST] = Sha256::digest(content).into();
        if bytes.get(content.len()..) != Some(&digest[..]) {
            return fault(PlanFault::Digest);
        }
        let plan = Self { bytes: content, header, digest };
        plan.check(ops)?;
        Ok(plan)
    }

    /// Writes a plan into `out`. Returns its length.
    ///
    /// # Errors
    /// [`Error::Memory`] if `out` is too small, [`Error::Plan`] if the plan would not parse.
    pub fn write(header: &Header, ops: &[Op], out: &mut [u8]) -> Result<usize> {
        let records: usize = ops.iter().map(|op| op.emit().1).sum();
        let need = HEADER + records * OP + DIGEST;
        if ops.is_empty() || records > MAX_OPS {
            return fault(PlanFault::Field);
        }
        let got = out.len();
        let out = out.get_mut(..need).ok_or(Error::Memory { need, got })?;
        let (content, digest) = out.split_at_mut(need - DIGEST);
        let (head, body) = content.split_at_mut(HEADER);
        head.fill(0);
        let fields: [&[u8]; 9] = [
            &MAGIC,
            &params::VERSION.to_le_bytes(),
            &(records as u16).to_le_bytes(),
            &header.input_len.to_le_bytes(),
            &header.output_len.to_le_bytes(),
            &header.input.scale.to_le_bytes(),
            &header.input.min.to_le_bytes(),
            &header.input.max.to_le_bytes(),
            &header.output_scale.to_le_bytes(),
        ];
        let bytes = fields.iter().flat_map(|f| f.iter()).chain(&header.name);
        for (to, from) in head.iter_mut().zip(bytes) {
            *to = *from;
        }
        let records = ops.iter().map(Op::emit).flat_map(|(records, n)| records.into_iter().take(n));
        for (slot, record) in body.chunks_exact_mut(OP).zip(records) {
            slot.copy_from_slice(&record);
        }
        digest.copy_from_slice(&Sha256::digest(&*content));
        Plan::parse(out)?;
        Ok(need)
    }

    fn check(&self, ops: usize) -> Result<()> {
        let h = &self.header;
        let positive = |x: f32| x.is_finite() && x > 0.0;
        if !(1..=MAX_OPS).contains(&ops)
            || !(1..=MAX_LEN).contains(&h.input_len)
            || !positive(h.input.scale)
            || !positive(h.output_scale)
            || h.input.min > h.input.max
            || core::str::from_utf8(&h.name).is_err()
        {
            return fault(PlanFault::Field);
        }
        let mut shape: Option<(u8, u32)> = None; // ring and length of the tensor between operations
        let mut last: Option<Op> = None;
        let mut records = self.records();
        while let Some(op) = Op::parse(&mut records) {
            let op = op?;
            if last.is_some_and(|l| l.is_output() || (l.is_linear() && op.is_linear())) {
                return fault(PlanFault::Shape);
            }
            let (ring, len) = op.input();
            match shape {
                None if len != h.input_len => return fault(PlanFault::Shape),
                Some(before) if before != (ring, len) => return fault(PlanFault::Shape),
                _ => {}
            }
            if op.is_linear() {
                tile::Tile::choose(&op, 1)?;
            }
            shape = Some(op.output());
            last = Some(op);
        }
        match (last, shape) {
            (Some(op), Some((_, len))) if op.is_output() && len == h.output_len => {}
            _ => return fault(PlanFault::Shape),
        }
        let ring = self.input_ring();
        let half = 1_i64 << (ring - 1);
        if i64::from(h.input.min) < -half || i64::from(h.input.max) >= half {
            return fault(PlanFault::Field);
        }
        Ok(())
    }

    fn records(&self) -> impl Iterator<Item = &'a [u8; OP]> + use<'a> {
        self.bytes.get(HEADER..).unwrap_or_default().as_chunks().0.iter()
    }

    /// The header.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The name, without padding.
    #[must_use]
    pub fn name(&self) -> &str {
        core::str::from_utf8(&self.header.name).unwrap_or_default().trim_end_matches('\0')
    }

    /// The operations in order.
    pub fn ops(&self) -> impl Iterator<Item = Op> + use<'a> {
        let mut records = self.records();
        core::iter::from_fn(move || Op::parse(&mut records)?.ok())
    }

    /// Ring width of the input tensor, in bits.
    #[must_use]
    pub fn input_ring(&self) -> u8 {
        self.ops().next().map_or(params::MIN_RING_BITS, |op| op.input().0)
    }

    /// Whether the client learns only the index of the largest logit.
    #[must_use]
    pub fn is_argmax(&self) -> bool {
        self.ops().any(|op| matches!(op, Op::Argmax { .. }))
    }

    /// SHA-256 of the plan: what the handshake compares.
    #[must_use]
    pub const fn digest(&self) -> &[u8; DIGEST] {
        &self.digest
    }

    /// Bytes of the whole plan, digest included.
    #[must_use]
    pub const fn len_bytes(&self) -> usize {
        self.bytes.len() + DIGEST
    }

    /// The plan's bytes: content and digest.
    #[must_use]
    pub const fn bytes(&self) -> (&'a [u8], &[u8; DIGEST]) {
        (self.bytes, &self.digest)
    }

    /// Reads the bytes of a plan that stands at the start of `bytes`, without checking it.
    pub(crate) fn prefix(bytes: &'a [u8]) -> Result<&'a [u8]> {
        let ops = bytes.get(10..12).and_then(|b| b.first_chunk()).ok_or(Error::Plan(PlanFault::Truncated))?;
        let len = HEADER + usize::from(u16::from_le_bytes(*ops)) * OP + DIGEST;
        bytes.get(..len).ok_or(Error::Plan(PlanFault::Truncated))
    }
}
