//! The plan: everything about a network that both parties know (layer kinds, shapes, ring widths,
//! scales), and what follows from it.
//!
//! A [`Plan`] is a checked view over bytes, so a device reads it from flash. Layout
//! (little-endian), see docs/protocol.md: header of [`HEADER`] bytes, operations of [`OP`] bytes
//! each, steps of the input where its parts have their own, text for people, SHA-256 of all that.

#[cfg(not(feature = "unstable"))]
pub(crate) mod circuit;
#[cfg(feature = "unstable")]
pub mod circuit;
mod geometry;
mod limits;
mod local;
mod offline;
mod op;
#[cfg(not(feature = "unstable"))]
pub(crate) mod tile;
#[cfg(feature = "unstable")]
pub mod tile;
mod view;

pub use crate::convolution::Convolution;
pub use geometry::Geometry;
pub use limits::{
    DIGEST, HEADER, MAX_BYTES, MAX_CLASSES, MAX_COPIES, MAX_ELEMENTS, MAX_LEN, MAX_MOVES, MAX_OPS,
    MAX_WEIGHTS, OP,
};
use limits::{FEATURE, MAX_EXTRA};
pub(crate) use offline::OfflineStep;
pub use op::{Function, MAX_PIECES, Node, Op, Parity, PiecewiseLinear};
pub use view::View;

use crate::error::{Error, PlanFault, Result};
use crate::params;
use op::PlanEntries;
use sha2::{Digest as _, Sha256};

/// First bytes of a plan.
pub const MAGIC: [u8; 8] = *b"MiniONNp";

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
    /// [`Error::Input`] if `x` is not finite. Values beyond the range are clamped: the compiler
    /// proved the rings for the range.
    pub fn quantise(&self, x: f32) -> Result<i64> {
        self.quantise_by(x, self.scale, 0.0)
    }

    /// The same with another step, counted from `offset`.
    fn quantise_by(&self, x: f32, scale: f32, offset: f32) -> Result<i64> {
        if !x.is_finite() {
            return Err(Error::Input);
        }
        Ok(libm::rintf((x - offset) / scale).clamp(self.min as f32, self.max as f32) as i64)
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
    entries: &'a [[u8; OP]],
    features: &'a [[u8; FEATURE]],
    text: &'a str,
    digest: [u8; DIGEST],
}

/// Step and offset of a part of the input, both `f32`.
fn feature([a, b, c, d, e, f, g, h]: [u8; FEATURE]) -> (f32, f32) {
    (f32::from_le_bytes([a, b, c, d]), f32::from_le_bytes([e, f, g, h]))
}

/// What stands behind the header: entries, features, text.
type Body<'a> = (&'a [[u8; OP]], &'a [[u8; FEATURE]], &'a str);

/// Takes the parts of `bytes`, which must be all of it.
fn body(bytes: &[u8], [entries, features, text]: [usize; 3]) -> Result<Body<'_>> {
    let cut = || Error::Plan(PlanFault::Truncated);
    if features > MAX_EXTRA / FEATURE || text > MAX_EXTRA - features * FEATURE {
        return fault(PlanFault::Field);
    }
    let (entries, rest) = bytes.split_at_checked(entries * OP).ok_or_else(cut)?;
    let (features, rest) = rest.split_at_checked(features * FEATURE).ok_or_else(cut)?;
    if rest.len() != text {
        return Err(cut());
    }
    let text = core::str::from_utf8(rest).map_err(|_| Error::Plan(PlanFault::Field))?;
    Ok((entries.as_chunks().0, features.as_chunks().0, text))
}

/// Reads fixed fields one after the other.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const K: usize>(&mut self) -> Result<[u8; K]> {
        let (head, tail) =
            self.0.split_first_chunk::<K>().ok_or(Error::Plan(PlanFault::Truncated))?;
        self.0 = tail;
        Ok(*head)
    }
    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.take()?))
    }
}

/// An operation of a plan in its place. All tensors of a prediction lie one after the other, the
/// input first; an offset is the number of elements before a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Which operation it is.
    pub number: usize,
    /// What is done.
    pub op: Op,
    /// Offset of the tensor that it reads.
    pub from: usize,
    /// Offset of a product's second factor.
    pub also: usize,
    /// Offset of the tensor that it makes, or adds to.
    pub to: usize,
}

/// How far the tensors reach.
#[derive(Clone, Copy)]
struct Place {
    number: usize,
    /// Offset of the last tensor, and behind it.
    last: usize,
    end: usize,
}

/// Where a search for a tensor may start: between two operations.
#[derive(Clone, Copy)]
struct Mark<'a> {
    entries: &'a [[u8; OP]],
    place: Place,
}

/// Most marks of a plan: a search looks at this part of it.
const MARKS: usize = if cfg!(target_pointer_width = "64") { 128 } else { 8 };

impl Place {
    const fn after_input(input_len: u32) -> Self {
        Self { number: 0, last: 0, end: input_len as usize }
    }

    /// The next operation; `None` if there are more elements than an address space holds.
    fn step(&mut self, Node { op, from, also }: Node) -> Option<Step> {
        let to = if matches!(op, Op::StridedAdd { onto: true, .. }) { self.last } else { self.end };
        let step = Step {
            number: self.number,
            op,
            from: from.map_or(self.last, |f| f as usize),
            also: also as usize,
            to,
        };
        self.number += 1;
        if op.makes_tensor() {
            (self.last, self.end) = (self.end, self.end.checked_add(op.output().1 as usize)?);
        }
        Some(step)
    }
}

const fn fault<T>(fault: PlanFault) -> Result<T> {
    Err(Error::Plan(fault))
}

impl<'a> Plan<'a> {
    /// Checks everything that later code relies on: digest, ranges, shapes, and that a parameter
    /// set carries the noise of every layer.
    ///
    /// # Errors
    /// [`Error::Plan`] with the reason.
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        let content = bytes
            .len()
            .checked_sub(DIGEST)
            .and_then(|n| bytes.get(..n))
            .ok_or(Error::Plan(PlanFault::Truncated))?;
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
            input: Quantisation {
                scale: f32::from_le_bytes(fields.take()?),
                min: fields.u32()? as i32,
                max: fields.u32()? as i32,
            },
            output_scale: f32::from_le_bytes(fields.take()?),
            name: fields.take()?,
        };
        let [features, text] = [fields.u32()?, fields.u32()?].map(|n| n as usize);
        if fields.u32()? != 0 {
            return fault(PlanFault::Field);
        }
        let (entries, features, text) = body(fields.0, [ops, features, text])?;
        let digest: [u8; DIGEST] = Sha256::digest(content).into();
        if bytes.get(content.len()..) != Some(&digest[..]) {
            return fault(PlanFault::Digest);
        }
        let plan = Self { bytes: content, header, entries, features, text, digest };
        plan.check(ops)?;
        Ok(plan)
    }

    /// Writes a plan into `out`. Returns its length. `nodes`: operations in order, [`Op`]s where
    /// each reads the one before.
    ///
    /// # Errors
    /// [`Error::Memory`] if `out` is too small, [`Error::Plan`] if the plan would not parse, or not
    /// into these nodes.
    pub fn write<I>(header: &Header, nodes: I, out: &mut [u8]) -> Result<usize>
    where
        I: IntoIterator<Item: Into<Node>> + Clone,
    {
        Self::write_with(header, nodes, &[], "", out)
    }

    /// As [`Plan::write`], with what [`Plan::features`] and [`Plan::text`] give back.
    ///
    /// # Errors
    /// As [`Plan::write`].
    pub fn write_with<I>(
        header: &Header,
        nodes: I,
        features: &[[u8; 8]],
        text: &str,
        out: &mut [u8],
    ) -> Result<usize>
    where
        I: IntoIterator<Item: Into<Node>> + Clone,
    {
        let nodes = || nodes.clone().into_iter().map(Into::<Node>::into);
        let each = || nodes().map(|node| node.emit());
        let entries: usize = each().map(|entries| entries.len()).sum();
        let extra = features.as_flattened().len().saturating_add(text.len());
        if !(1..=MAX_OPS).contains(&entries) || extra > MAX_EXTRA {
            return fault(PlanFault::Field);
        }
        let need = HEADER + entries * OP + extra + DIGEST;
        let out = out.get_mut(..need).ok_or(Error::Memory { need })?;
        let (content, digest) = out.split_at_mut(need - DIGEST);
        let (head, body) = content.split_at_mut(HEADER);
        head.fill(0);
        let fields: [&[u8]; 9] = [
            &MAGIC,
            &params::VERSION.to_le_bytes(),
            &(entries as u16).to_le_bytes(),
            &header.input_len.to_le_bytes(),
            &header.output_len.to_le_bytes(),
            &header.input.scale.to_le_bytes(),
            &header.input.min.to_le_bytes(),
            &header.input.max.to_le_bytes(),
            &header.output_scale.to_le_bytes(),
        ];
        let extras = [features.len() as u32, text.len() as u32].map(u32::to_le_bytes);
        let bytes = fields.iter().flat_map(|f| f.iter()).chain(&header.name);
        let bytes = bytes.chain(extras.as_flattened());
        for (to, from) in head.iter_mut().zip(bytes) {
            *to = *from;
        }
        for (slot, entry) in
            body.as_chunks_mut().0.iter_mut().zip(each().flat_map(PlanEntries::bytes))
        {
            *slot = entry;
        }
        let behind = features.as_flattened().iter().chain(text.as_bytes());
        for (to, from) in body.iter_mut().skip(entries * OP).zip(behind) {
            *to = *from;
        }
        digest.copy_from_slice(&Sha256::digest(&*content));
        // Whatever the entries have no place for comes back differently.
        let mut back = Plan::parse(out)?.entries();
        if nodes().any(|node| Node::parse(&mut back) != Some(Ok(node))) {
            return fault(PlanFault::Field);
        }
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
            || !(self.features.is_empty()
                || (h.input_len as usize).is_multiple_of(self.features.len()))
            || self.features.iter().any(|&f| !positive(feature(f).0) || !feature(f).1.is_finite())
        {
            return fault(PlanFault::Field);
        }
        let mut entries = self.entries.iter();
        let mut place = Place::after_input(h.input_len);
        let (mut marks, mut marked) = ([Mark { entries: self.entries, place }; MARKS], 1);
        let mut last: Option<Step> = None;
        let mut copies = 0_u64;
        while let Some(node) = Node::parse(&mut entries) {
            let step = place.step(node?).ok_or(Error::Plan(PlanFault::Shape))?;
            if last.is_some_and(|l| l.op.is_output()) {
                return fault(PlanFault::Shape);
            }
            let (ring, len) = step.op.input();
            let reads = |from| -> Option<bool> {
                let tensor = self.tensor(from, step.number, marks.get(..marked)?)?;
                Some(tensor.1 == len && tensor.0 >= ring)
            };
            let sound = match step.op {
                // Only onto a tensor of the same kind, and never from itself.
                Op::StridedAdd { onto: true, ring, len, .. } => {
                    let before = last.filter(|l| {
                        matches!(l.op, Op::StridedAdd { .. }) && l.op.output() == (ring, len)
                    });
                    before.is_some() && step.from != step.to && reads(step.from) == Some(true)
                }
                Op::Product { .. } => {
                    [step.from, step.also].into_iter().all(|from| reads(from) == Some(true))
                }
                _ => reads(step.from) == Some(true) && step.also == 0,
            };
            if let Op::StridedAdd { view, .. } = step.op {
                copies = copies.saturating_add(view.len());
            }
            if !sound || copies > MAX_MOVES || place.end > MAX_ELEMENTS {
                return fault(PlanFault::Shape);
            }
            if step.op.is_linear() {
                tile::Tile::choose(&step.op, 1)?;
            }
            last = Some(step);
            let here = Mark { entries: entries.as_slice(), place };
            if self.entries.len() - here.entries.len() >= marked * (MAX_OPS / MARKS)
                && let Some(mark) = marks.get_mut(marked)
            {
                (*mark, marked) = (here, marked + 1);
            }
        }
        match last {
            Some(step) if step.op.is_output() && step.op.input().1 == h.output_len => {}
            _ => return fault(PlanFault::Shape),
        }
        let ring = self.input_ring();
        let half = 1_i64 << (ring - 1);
        if i64::from(h.input.min) < -half || i64::from(h.input.max) >= half {
            return fault(PlanFault::Field);
        }
        Ok(())
    }

    /// Ring and length of the tensor at `offset`, if one was finished before operation `number`;
    /// `marks`: in order, all before that operation.
    fn tensor(&self, offset: usize, number: usize, marks: &[Mark<'_>]) -> Option<(u8, u32)> {
        if offset == 0 {
            // Its ring is the widest that reads it.
            return Some((params::MAX_RING_BITS, self.header.input_len));
        }
        let mark = marks.iter().rev().find(|mark| mark.place.end <= offset)?;
        let (mut entries, mut place) = (mark.entries.iter(), mark.place);
        core::iter::from_fn(|| place.step(Node::parse(&mut entries)?.ok()?))
            .take_while(|step| step.number < number)
            .find(|step| step.op.makes_tensor() && step.to == offset)
            .map(|step| step.op.output())
    }

    fn entries(&self) -> impl Iterator<Item = &'a [u8; OP]> + use<'a> {
        self.entries.iter()
    }

    /// The header.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The integer of the real input `x` at place `i`: `clamp(rint((x − offset) / step))`, by the
    /// step and offset of its part where parts have their own, else by the header's.
    ///
    /// # Errors
    /// [`Error::Input`] if `x` is not finite, or `i` outside the input.
    pub fn quantise(&self, i: usize, x: f32) -> Result<i64> {
        let (scale, offset) = self.input_step(i).ok_or(Error::Input)?;
        self.header.input.quantise_by(x, scale, offset)
    }

    /// Step and offset of the input at place `i`.
    #[must_use]
    pub fn input_step(&self, i: usize) -> Option<(f32, f32)> {
        let len = self.header.input_len as usize;
        if i >= len {
            return None;
        }
        match self.features.len() {
            0 => Some((self.header.input.scale, 0.0)),
            parts => self.features.get(i / (len / parts)).map(|&bytes| feature(bytes)),
        }
    }

    /// For each of equal parts of the input its step and offset, two little-endian `f32`; empty if
    /// the header's step is that of all.
    #[must_use]
    pub const fn features(&self) -> &'a [[u8; 8]] {
        self.features
    }

    /// Text for people and for programs that show results; nothing in the protocol depends on it.
    #[must_use]
    pub const fn text(&self) -> &'a str {
        self.text
    }

    /// The name, without padding.
    #[must_use]
    pub fn name(&self) -> &str {
        core::str::from_utf8(&self.header.name).unwrap_or_default().trim_end_matches('\0')
    }

    /// The operations in order.
    pub fn ops(&self) -> impl Iterator<Item = Op> + use<'a> {
        self.steps().map(|step| step.op)
    }

    /// The operations in order, with the tensors that they read and make.
    pub fn steps(&self) -> impl Iterator<Item = Step> + use<'a> {
        let (mut entries, mut place) = (self.entries(), Place::after_input(self.header.input_len));
        core::iter::from_fn(move || place.step(Node::parse(&mut entries)?.ok()?))
    }

    /// Elements of all tensors of one prediction: the input and what operations make, one after the
    /// other.
    #[must_use]
    pub fn elements(&self) -> usize {
        let made = self.ops().filter(Op::makes_tensor).map(|op| op.output().1 as usize);
        made.fold(self.header.input_len as usize, usize::saturating_add)
    }

    /// Ring width of the input tensor, in bits: the widest in which an operation reads it.
    #[must_use]
    pub fn input_ring(&self) -> u8 {
        let reads =
            |step: &Step| step.from == 0 || matches!(step.op, Op::Product { .. }) && step.also == 0;
        self.steps()
            .filter(reads)
            .map(|step| step.op.input().0)
            .max()
            .unwrap_or(params::MIN_RING_BITS)
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
        let cut = || Error::Plan(PlanFault::Truncated);
        let ops = bytes.get(10..12).and_then(|b| b.first_chunk()).ok_or_else(cut)?;
        let extra = |at: usize| {
            let field = bytes.get(at..).and_then(<[u8]>::first_chunk).ok_or_else(cut)?;
            Ok::<usize, Error>(u32::from_le_bytes(*field) as usize)
        };
        let (features, text) = (extra(68)?, extra(72)?);
        if features > MAX_EXTRA || text > MAX_EXTRA {
            return fault(PlanFault::Field);
        }
        let ops = usize::from(u16::from_le_bytes(*ops));
        let len = HEADER + ops * OP + features * FEATURE + text + DIGEST;
        bytes.get(..len).ok_or(Error::Plan(PlanFault::Truncated))
    }
}
