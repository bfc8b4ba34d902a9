//! What a stage does with every element, a comparison or a line, and what each party does for it:
//! one state, in either case.

use super::{DReluTruncate, SegmentLookup, client, server};
use crate::block::Block;
use crate::hash::Tmmo;
use crate::plan::PiecewiseLinear;
use crate::ring::Modulus;
use crate::rng::Prg;
use crate::wire::{Packer, Reader};
use crate::{Error, Result};

/// What a stage does with every element. All of it is derived from the plan.
#[derive(Clone, Copy, Debug)]
pub enum StageProtocol {
    /// Truncation, with ReLU or without.
    DReluTruncate(DReluTruncate),
    /// A piece of a curve.
    SegmentLookup(SegmentLookup),
}

impl StageProtocol {
    /// OTs of an element in which the client chooses.
    #[must_use]
    pub fn forward_ots(&self) -> usize {
        match self {
            Self::DReluTruncate(c) => c.forward_ots(),
            Self::SegmentLookup(line) => line.forward_ots(),
        }
    }

    /// OTs of an element in which the server chooses.
    #[must_use]
    pub fn backward_ots(&self) -> usize {
        match self {
            Self::DReluTruncate(c) => c.backward_ots(),
            Self::SegmentLookup(line) => line.backward_ots(),
        }
    }

    /// Round trips: messages of either party.
    #[must_use]
    pub const fn rounds(&self) -> u32 {
        match self {
            Self::DReluTruncate(c) => c.rounds(),
            Self::SegmentLookup(_) => 1,
        }
    }

    /// Bits of an element in the server's message `number`.
    #[must_use]
    pub fn server_bits(&self, number: u32) -> u32 {
        match self {
            Self::DReluTruncate(c) => c.server_bits(number),
            Self::SegmentLookup(line) => line.server_bits(),
        }
    }

    /// Bits of an element in the client's message `number`.
    #[must_use]
    pub fn client_bits(&self, number: u32) -> u32 {
        match self {
            Self::DReluTruncate(c) => c.client_bits(number),
            Self::SegmentLookup(line) => line.client_bits(),
        }
    }

    /// Most bits of an element in any message.
    #[must_use]
    pub fn most_bits(&self) -> u32 {
        (0..self.rounds())
            .map(|number| self.server_bits(number).max(self.client_bits(number)))
            .max()
            .unwrap_or(0)
    }

    /// The ring of what goes in.
    pub(super) const fn argument(&self) -> Modulus {
        Modulus::Bits(match self {
            Self::DReluTruncate(c) => c.ring_in,
            Self::SegmentLookup(line) => line.ring_in(),
        })
    }

    /// The ring of the result.
    pub(super) const fn result(&self) -> Modulus {
        Modulus::Bits(match self {
            Self::DReluTruncate(c) => c.ring_out,
            Self::SegmentLookup(line) => line.ring_out(),
        })
    }

    /// A number in the ring of the result.
    pub(crate) const fn reduce(&self, x: u64) -> u64 {
        self.result().reduce(x)
    }

    /// An element has a label for every OT of its own.
    const fn check(labels: &[Block], ots: usize) -> Result<()> {
        if labels.len() == ots { Ok(()) } else { Err(Error::Length { need: ots }) }
    }

    const fn is_last(&self, number: u32) -> bool {
        number + 1 == self.rounds()
    }

    /// Client: starts an element, draws the random choices of its forward OTs. `result`: the share
    /// of the result that it is to have.
    pub(crate) fn client_start(
        &self,
        element: &mut client::Element,
        share: u64,
        result: u64,
        random: &mut Prg,
    ) {
        match self {
            Self::DReluTruncate(c) => element.start(c, share, result, random),
            Self::SegmentLookup(_) => SegmentLookup::client_start(element, result),
        }
    }

    /// Client: the choices of the forward OTs, the first lowest.
    pub(crate) fn client_choices(&self, element: &client::Element, share: u64) -> u64 {
        match self {
            Self::DReluTruncate(c) => element.choices(c, share),
            Self::SegmentLookup(line) => line.client_choices(share),
        }
    }

    /// Client: uses the labels of the forward OTs.
    ///
    /// # Errors
    /// [`Error::Length`] unless there are [`Self::forward_ots`] of them.
    #[inline(never)] // so that its stack is free again while more OTs are made
    pub(crate) fn client_forward(
        &self,
        element: &mut client::Element,
        share: u64,
        hash: &Tmmo,
        tweak: Block,
        labels: &[Block],
    ) -> Result<()> {
        Self::check(labels, self.forward_ots())?;
        match self {
            Self::DReluTruncate(c) => element.forward(c, share, hash, tweak, labels),
            Self::SegmentLookup(line) => line.client_forward(element, share, hash, tweak, labels),
        }
    }

    /// Client: uses the labels of the backward OTs, whose sender it is.
    ///
    /// # Errors
    /// [`Error::Length`] unless there are [`Self::backward_ots`] of them.
    #[inline(never)] // so that its stack is free again while more OTs are made
    pub(crate) fn client_backward(
        &self,
        element: &mut client::Element,
        share: u64,
        (hash, delta): (&Tmmo, Block),
        tweak: Block,
        labels: &[Block],
    ) -> Result<()> {
        Self::check(labels, self.backward_ots())?;
        match self {
            Self::DReluTruncate(c) => element.backward(c, hash, delta, tweak, labels),
            Self::SegmentLookup(line) => {
                line.client_backward(element, share, (hash, delta), tweak, labels)
            }
        }
    }

    /// Client: reads the server's message `number`.
    pub(crate) fn client_receive(
        &self,
        element: &mut client::Element,
        share: u64,
        number: u32,
        input: &mut Reader<'_>,
    ) {
        match self {
            Self::DReluTruncate(c) => {
                element.receive(c, share, number, input);
                if self.is_last(number) {
                    element.selected(c, input);
                }
            }
            Self::SegmentLookup(line) => line.client_receive(element, share, input),
        }
    }

    /// Client: writes its message `number`. `part`: its own share of the result, and `share`, are
    /// for the last.
    ///
    /// # Errors
    /// None: what is written has room.
    pub(crate) fn client_send(
        &self,
        element: &mut client::Element,
        [share, part]: [u64; 2],
        number: u32,
        out: &mut Packer<'_>,
    ) -> Result<()> {
        match self {
            Self::DReluTruncate(c) => {
                element.send(c, number, out);
                if self.is_last(number) {
                    element.finish(c, share, part, out)?;
                }
            }
            Self::SegmentLookup(line) => line.client_send(element, share, part, out),
        }
        Ok(())
    }

    /// Server: uses the labels of the forward OTs, whose sender it is. Starts an element.
    ///
    /// # Errors
    /// [`Error::Length`] unless there are [`Self::forward_ots`] of them.
    #[inline(never)] // so that its stack is free again while more OTs are made
    pub(crate) fn server_forward(
        &self,
        element: &mut server::Element,
        (hash, delta): (&Tmmo, Block),
        tweak: Block,
        labels: &[Block],
    ) -> Result<()> {
        Self::check(labels, self.forward_ots())?;
        match self {
            Self::DReluTruncate(c) => element.forward(c, hash, delta, tweak, labels),
            Self::SegmentLookup(_) => {
                SegmentLookup::server_forward(element, hash, delta, tweak, labels)
            }
        }
    }

    /// Server: draws the choices of the backward OTs.
    pub(crate) fn server_choose(&self, element: &mut server::Element, random: &mut Prg) {
        match self {
            Self::DReluTruncate(c) => element.choose(c, random),
            Self::SegmentLookup(line) => line.server_choose(element, random),
        }
    }

    /// Server: these choices, the first lowest.
    pub(crate) fn server_choices(&self, element: &server::Element) -> u64 {
        match self {
            Self::DReluTruncate(c) => element.choices(c),
            Self::SegmentLookup(line) => line.server_choices(*element),
        }
    }

    /// Server: uses the labels of the backward OTs.
    ///
    /// # Errors
    /// [`Error::Length`] unless there are [`Self::backward_ots`] of them.
    #[inline(never)] // so that its stack is free again while more OTs are made
    pub(crate) fn server_backward(
        &self,
        element: &mut server::Element,
        hash: &Tmmo,
        tweak: Block,
        labels: &[Block],
    ) -> Result<()> {
        Self::check(labels, self.backward_ots())?;
        match self {
            Self::DReluTruncate(c) => element.backward(c, hash, tweak, labels),
            Self::SegmentLookup(line) => line.server_backward(element, hash, tweak, labels),
        }
    }

    /// Server: writes its message `number`. The hash is that of the forward OTs. A line needs its
    /// pieces.
    ///
    /// # Errors
    /// [`Error::Internal`] for a line without them.
    pub(crate) fn server_send(
        &self,
        element: &mut server::Element,
        share: u64,
        number: u32,
        (hash, tweak, pieces): (&Tmmo, Block, Option<&PiecewiseLinear>),
        out: &mut Packer<'_>,
    ) -> Result<()> {
        match (self, pieces) {
            (Self::DReluTruncate(c), _) => {
                element.send(c, share, number, out);
                Ok(())
            }
            (Self::SegmentLookup(line), Some(pieces)) => {
                line.server_send(element, share, (hash, tweak, pieces), out)
            }
            (Self::SegmentLookup(_), None) => Err(Error::Internal),
        }
    }

    /// Server: reads the client's message `number`. `share` is for the last. Returns the server's
    /// share of the result, once it is there.
    pub(crate) fn server_receive(
        &self,
        element: &mut server::Element,
        share: u64,
        number: u32,
        input: &mut Reader<'_>,
    ) -> Option<u64> {
        match self {
            Self::DReluTruncate(c) => {
                element.receive(c, number, input);
                self.is_last(number).then(|| element.finish(c, share, input))
            }
            Self::SegmentLookup(line) => Some(line.server_receive(element, input)),
        }
    }
}
