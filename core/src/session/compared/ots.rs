//! OTs of comparisons, whose labels come in groups and go to elements, stage by stage.

use super::super::Options;
use super::super::channel::Channel;
use super::super::extension::Choices;
use super::comparison::Comparison;
use crate::block::Block;
use crate::compare::{OtActivation, Stage};
use crate::error::{Error, Result};
use crate::memory::Space;
use crate::ot::{GROUP, Receiver, Sender};
use embedded_io_async::{Read, Write};

/// Scratch of either party for the OTs of an operation.
pub(crate) struct Scratch<'a> {
    labels: &'a mut [Block],
    choices: &'a mut [u128],
    corrections: &'a mut [u8],
}

impl<'a> Scratch<'a> {
    pub(crate) fn take(
        space: &mut Space<'a>,
        activation: &OtActivation,
        options: &Options,
    ) -> Result<Self> {
        let [forward, backward] = activation.ots();
        let groups = forward.max(backward).div_ceil(GROUP).min(space.machine().groups);
        // What is left of a call is less than an element's, which is less than a group.
        let held = usize::from(groups > 1);
        let scratch = Self {
            labels: space.take((groups + held) * GROUP)?,
            choices: space.take(groups)?,
            corrections: space.take(groups * options.repetition.correction_bytes_per_group())?,
        };
        Ok(scratch)
    }
}

/// Who chooses in an OT.
#[derive(Clone, Copy)]
pub(super) enum Direction {
    /// The client.
    Forward,
    /// The server.
    Backward,
}

/// The OTs of an operation in one direction.
#[derive(Clone, Copy)]
pub(super) struct Ots<'s> {
    pub(super) of: Comparison<'s>,
    pub(super) direction: Direction,
}

impl Ots<'_> {
    /// How many there are.
    fn count(&self) -> usize {
        let [forward, backward] = self.of.activation.ots();
        match self.direction {
            Direction::Forward => forward,
            Direction::Backward => backward,
        }
    }
}

/// The elements of an operation, stage by stage.
struct StageIter<'s> {
    ots: Ots<'s>,
    /// The next element: its stage with number, its own number in it, its OTs.
    stage: Option<Stage>,
    number: u32,
    e: usize,
    each: usize,
}

impl<'s> StageIter<'s> {
    fn new(ots: Ots<'s>) -> Self {
        let mut walk = Self { ots, stage: None, number: 0, e: 0, each: 0 };
        walk.enter(0, 0);
        walk
    }

    /// Goes to a stage.
    fn enter(&mut self, number: u32, first: usize) {
        (self.number, self.e) = (number, 0);
        self.stage = self.ots.of.activation.stage(number, first);
        if let Some(Stage { protocol, .. }) = &self.stage {
            self.each = match self.ots.direction {
                Direction::Forward => protocol.forward_ots(),
                Direction::Backward => protocol.backward_ots(),
            };
        }
    }

    /// Calls `f` with the next element, and goes on behind it. `None` at the end.
    fn step<T>(&mut self, f: impl FnOnce(&Stage, usize) -> T) -> Option<T> {
        let stage = self.stage.as_ref()?;
        let result = f(stage, self.e);
        self.e += 1;
        if self.e >= stage.len {
            self.enter(self.number + 1, stage.first + stage.len);
        }
        Some(result)
    }
}

/// Cuts labels of OTs, which come in groups, into those of elements.
struct OtBatcher<'a> {
    labels: &'a mut [Block],
    /// Labels that wait for the rest of their element.
    held: usize,
    /// OTs that are still to be made.
    left: usize,
    walk: StageIter<'a>,
}

impl<'a> OtBatcher<'a> {
    fn new(labels: &'a mut [Block], ots: Ots<'a>) -> Self {
        Self { labels, held: 0, left: ots.count(), walk: StageIter::new(ots) }
    }

    /// Where the labels of the next groups go; at most `most` of them. `None` at the end.
    fn fresh(&mut self, most: usize) -> Result<Option<&mut [Block]>> {
        let groups = self.left.div_ceil(GROUP).min(most);
        if groups == 0 {
            // Every element has had its labels.
            return if self.walk.stage.is_none() { Ok(None) } else { Err(Error::Internal) };
        }
        let fresh = self.labels.get_mut(self.held..self.held + groups * GROUP);
        fresh.map(Some).ok_or(Error::Internal)
    }

    /// Uses what `groups` new groups complete.
    fn dispatch_labels(
        &mut self,
        groups: usize,
        mut element: impl FnMut(&Stage, usize, &[Block]) -> Result<()>,
    ) -> Result<()> {
        self.left = self.left.saturating_sub(groups * GROUP);
        let there = self.held + groups * GROUP;
        let mut used = 0;
        while used + self.walk.each <= there {
            let end = used + self.walk.each;
            let labels = self.labels.get(used..end).ok_or(Error::Internal)?;
            match self.walk.step(|stage, e| element(stage, e, labels)) {
                Some(done) => done?,
                None => return Ok(()),
            }
            used = end;
        }
        self.held = there - used;
        self.labels.copy_within(used..there, 0);
        Ok(())
    }
}

/// OTs in which this party chooses: `word` gives an element's choices, `take` uses its labels.
pub(super) async fn choose<IO: Read + Write, E>(
    ch: &mut Channel<IO>,
    workspace: &mut [u8],
    (receiver, sums): (&mut Receiver<'_>, &mut [Block]),
    ots: Ots<'_>,
    elements: &mut [E],
    (word, mut take): (
        impl Fn(&[E], &Stage, usize) -> Result<u64>,
        impl FnMut(&mut [E], &Stage, usize, &[Block]) -> Result<()>,
    ),
) -> Result<()> {
    let Comparison { op, activation } = ots.of;
    let Scratch { labels, choices, corrections } =
        Scratch::take(&mut Space::carve(workspace)?, activation, op.options)?;
    let (mut walk, mut bits) = (StageIter::new(ots), Choices::new(ots.count()));
    let (mut batcher, most) = (OtBatcher::new(labels, ots), choices.len());
    while let Some(labels) = batcher.fresh(most)? {
        let groups = labels.len() / GROUP;
        let choices = choices.get_mut(..groups).ok_or(Error::Internal)?;
        for choices in choices.iter_mut() {
            *choices = bits.group(|| {
                let each = walk.each as u32;
                let word = walk.step(|stage, e| word(elements, stage, e));
                Ok((word.ok_or(Error::Internal)??, each))
            })?;
        }
        let corrections = corrections
            .get_mut(..groups * op.options.repetition.correction_bytes_per_group())
            .ok_or(Error::Internal)?;
        receiver.extend(sums, choices, labels, corrections)?;
        ch.put(corrections).await?;
        batcher.dispatch_labels(groups, |stage, e, labels| take(elements, stage, e, labels))?;
    }
    Ok(())
}

/// OTs in which the peer chooses: `take` uses an element's labels.
pub(super) async fn offer<IO: Read + Write>(
    ch: &mut Channel<IO>,
    workspace: &mut [u8],
    (sender, sums): (&mut Sender<'_>, &mut [Block]),
    ots: Ots<'_>,
    mut take: impl FnMut(&Stage, usize, &[Block]) -> Result<()>,
) -> Result<()> {
    let Comparison { op, activation } = ots.of;
    let Scratch { labels, choices, corrections } =
        Scratch::take(&mut Space::carve(workspace)?, activation, op.options)?;
    let (mut batcher, most) = (OtBatcher::new(labels, ots), choices.len());
    while let Some(labels) = batcher.fresh(most)? {
        let groups = labels.len() / GROUP;
        let corrections = corrections
            .get_mut(..groups * op.options.repetition.correction_bytes_per_group())
            .ok_or(Error::Internal)?;
        ch.get(corrections).await?;
        sender.extend(sums, corrections, labels)?;
        batcher.dispatch_labels(groups, &mut take)?;
    }
    Ok(())
}
