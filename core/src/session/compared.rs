//! Compared operations: OTs in both directions offline (streamed: online), then messages to and fro.
//!
//! OTs in which the server chooses need the parties' roles exchanged. Their base OTs are OTs of the
//! other direction, in which the client chooses its own `Δ'`; they last for one Prepare.

use super::channel::Channel;
use super::garbled::Choices;
use super::{Options, Tables};
use crate::block::Block;
use crate::compare::{OtActivation, Stage, client, server, tweak};
use crate::cost::compares;
use crate::error::{Error, Result};
use crate::hash::Tmmo;
use crate::memory::Space;
use crate::ot::{GROUP, Receiver, Renewable, Sender};
use crate::params::KAPPA;
use crate::plan::{Function, Op, Plan};
use crate::rng::{Domain, Seed};
use crate::target::TargetProfile;
use crate::wire::{Packer, Reader, packed_len};
use embedded_io_async::{Read, Write};

/// Elements whose bits are packed at once; those of eight fill whole bytes.
const BATCH: usize = batch(TargetProfile::THIS);

const fn batch(machine: TargetProfile) -> usize {
    machine.groups.next_multiple_of(8)
}

/// Where seeds of compared operations start among those of a stock.
const SEEDS: u64 = 1 << 32;
/// Tweaks of the base OTs: see docs/protocol.md, 12.3.
const BASE_TWEAK: Block = 1 << 126;

/// The seed of an operation's random choices, in a stock's.
pub(crate) fn choices(stock: &Seed, number: usize) -> Seed {
    stock.derive(SEEDS + number as u64)
}

/// The seed of what the base OTs need, in a stock's.
pub(crate) fn base(stock: &Seed) -> Seed {
    stock.derive(SEEDS - 1)
}

/// The hash of everything in the direction in which the server chooses: under a key of its own.
pub(crate) fn backward_hash(hash: &Tmmo) -> Tmmo {
    let [key] = hash.hash([0], [BASE_TWEAK]);
    Tmmo::new(key)
}

/// Elements of one prediction that are compared, in all.
pub(crate) fn elements(plan: &Plan<'_>, options: &Options) -> usize {
    if !cfg!(feature = "compare") {
        return 0;
    }
    lengths(plan, options).fold(0, usize::saturating_add)
}

/// Element states that a party holds: of the whole stock, or of one operation where they are
/// made just before use.
pub(crate) fn element_states(plan: &Plan<'_>, options: &Options) -> usize {
    match options.tables {
        Tables::Stored => elements(plan, options).saturating_mul(options.stock as usize),
        Tables::Streamed => lengths(plan, options).max().unwrap_or(0),
    }
}

fn lengths(plan: &Plan<'_>, options: &Options) -> impl Iterator<Item = usize> {
    plan.ops().filter_map(move |op| OtActivation::of(&op, options)).map(|compared| compared.len())
}

/// Leaves of the trees for the other direction.
pub(crate) fn leaves(plan: &Plan<'_>, options: &Options) -> usize {
    if compares(plan, options) { options.repetition.leaves() } else { 0 }
}

/// Base OTs of a Prepare.
pub(crate) fn base_ots(plan: &Plan<'_>, options: &Options) -> usize {
    if compares(plan, options) { KAPPA } else { 0 }
}

/// Scratch of either party.
pub(crate) struct Scratch<'a> {
    labels: &'a mut [Block],
    choices: &'a mut [u128],
    corrections: &'a mut [u8],
    bytes: &'a mut [u8],
}

impl<'a> Scratch<'a> {
    /// For all compared operations of a plan, and for their base OTs.
    pub(crate) fn take(space: &mut Space<'a>, plan: &Plan<'_>, options: &Options) -> Result<Self> {
        let (mut groups, mut bits) = (0, 0);
        for compared in plan.ops().filter_map(|op| OtActivation::of(&op, options)) {
            let [forward, backward] = compared.ots();
            groups = groups.max(forward.max(backward).div_ceil(GROUP)).min(space.machine().groups);
            bits = compared.stages().fold(bits, |bits, stage| bits.max(stage.protocol.most_bits()));
        }
        // What is left of a call is less than an element's, which is less than a group.
        let held = usize::from(groups > 1);
        Ok(Self {
            labels: space.take((groups + held) * GROUP)?,
            choices: space.take(groups)?,
            corrections: space.take(groups * options.repetition.correction_bytes_per_group())?,
            bytes: space.take(packed_len(batch(space.machine()) as u64, bits) as usize)?,
        })
    }
}

/// Who chooses in an OT.
#[derive(Clone, Copy)]
enum Direction {
    /// The client.
    Forward,
    /// The server.
    Backward,
}

/// The elements of an operation, stage by stage.
struct StageIter<'c> {
    compared: &'c OtActivation,
    direction: Direction,
    /// The next element: its stage with number, its own number in it, its OTs.
    stage: Option<Stage>,
    number: u32,
    e: usize,
    each: usize,
}

impl<'c> StageIter<'c> {
    fn new(compared: &'c OtActivation, direction: Direction) -> Self {
        let mut walk = Self { compared, direction, stage: None, number: 0, e: 0, each: 0 };
        walk.enter(0, 0);
        walk
    }

    /// Goes to a stage.
    fn enter(&mut self, number: u32, first: usize) {
        (self.number, self.e) = (number, 0);
        self.stage = self.compared.stage(number, first);
        self.each = self.stage.map_or(0, |Stage { protocol, .. }| match self.direction {
            Direction::Forward => protocol.forward_ots(),
            Direction::Backward => protocol.backward_ots(),
        });
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
    fn new(labels: &'a mut [Block], compared: &'a OtActivation, direction: Direction) -> Self {
        let [forward, backward] = compared.ots();
        let left = match direction {
            Direction::Forward => forward,
            Direction::Backward => backward,
        };
        Self { labels, held: 0, left, walk: StageIter::new(compared, direction) }
    }

    /// Where the labels of the next groups go; at most `most` of them. `None` at the end.
    fn fresh(&mut self, most: usize) -> Option<&mut [Block]> {
        let groups = self.left.div_ceil(GROUP).min(most);
        if groups == 0 { None } else { self.labels.get_mut(self.held..self.held + groups * GROUP) }
    }

    /// Uses what `groups` new groups complete.
    fn dispatch_labels(&mut self, groups: usize, mut element: impl FnMut(&Stage, usize, &[Block])) {
        self.left = self.left.saturating_sub(groups * GROUP);
        let there = self.held + groups * GROUP;
        let mut used = 0;
        while used + self.walk.each <= there {
            let labels = self.labels.get(used..used + self.walk.each).unwrap_or_default();
            let more = self.walk.step(|stage, e| element(stage, e, labels));
            if more.is_none() {
                return;
            }
            used += labels.len();
        }
        self.held = there - used;
        self.labels.copy_within(used..there, 0);
    }
}

/// OTs in which this party chooses: `word` gives an element's choices, `element` uses its labels.
async fn choose<IO: Read + Write, E>(
    ch: &mut Channel<IO>,
    scratch: Scratch<'_>,
    options: &Options,
    receiver: &mut Receiver<'_>,
    (compared, direction): (&OtActivation, Direction),
    elements: &mut [E],
    (word, mut element): (
        impl Fn(&[E], &Stage, usize) -> u64,
        impl FnMut(&mut [E], &Stage, usize, &[Block]),
    ),
) -> Result<()> {
    let Scratch { labels, choices, corrections, .. } = scratch;
    let (mut walk, mut pending) = (StageIter::new(compared, direction), (0, 0));
    let (mut run, most) = (OtBatcher::new(labels, compared, direction), choices.len());
    while let Some(labels) = run.fresh(most) {
        let groups = labels.len() / GROUP;
        let choices = choices.get_mut(..groups).ok_or(Error::Internal)?;
        let words = core::iter::from_fn(|| {
            let each = walk.each as u32;
            walk.step(|stage, e| (word(elements, stage, e), each))
        });
        let mut bits = Choices::after(pending, words);
        choices.fill_with(|| bits.group());
        pending = bits.pending();
        let corrections = corrections
            .get_mut(..groups * options.repetition.correction_bytes_per_group())
            .ok_or(Error::Internal)?;
        receiver.extend(choices, labels, corrections)?;
        ch.put(corrections).await?;
        run.dispatch_labels(groups, |stage, e, labels| element(elements, stage, e, labels));
    }
    Ok(())
}

/// OTs in which the peer chooses.
async fn offer<IO: Read + Write>(
    ch: &mut Channel<IO>,
    scratch: Scratch<'_>,
    options: &Options,
    sender: &mut Sender<'_>,
    (compared, direction): (&OtActivation, Direction),
    mut element: impl FnMut(&Stage, usize, &[Block]),
) -> Result<()> {
    let Scratch { labels, choices, corrections, .. } = scratch;
    let (mut run, most) = (OtBatcher::new(labels, compared, direction), choices.len());
    while let Some(labels) = run.fresh(most) {
        let groups = labels.len() / GROUP;
        let corrections = corrections
            .get_mut(..groups * options.repetition.correction_bytes_per_group())
            .ok_or(Error::Internal)?;
        ch.get(corrections).await?;
        sender.extend(corrections, labels)?;
        run.dispatch_labels(groups, &mut element);
    }
    Ok(())
}

/// An operation of a prediction.
pub(crate) struct OpContext<'s> {
    pub(crate) op: &'s Op,
    pub(crate) compared: &'s OtActivation,
    /// Its number.
    pub(crate) layer: u64,
    pub(crate) hash: &'s Tmmo,
    pub(crate) options: &'s Options,
    pub(crate) plan: &'s Plan<'s>,
}

/// A stage's elements, behind those of the stages before.
fn part<'e, E>(stage: &Stage, elements: &'e mut [E]) -> Result<(&'e [E], &'e mut [E])> {
    let (before, rest) = elements.split_at_mut_checked(stage.first).ok_or(Error::Internal)?;
    Ok((before, rest.get_mut(..stage.len).ok_or(Error::Internal)?))
}

impl OpContext<'_> {
    fn scratch<'a>(&self, memory: &'a mut [u8]) -> Result<Scratch<'a>> {
        Scratch::take(&mut Space::carve(memory)?, self.plan, self.options)
    }

    /// First tweak of an element of a stage.
    const fn tweak(&self, stage: &Stage, e: usize) -> Block {
        tweak(self.layer, stage.first + e)
    }

    /// Client: what it has of an element's input, and of what the result is added to. `tensor`: its
    /// shares of the operation's input.
    fn client_shares(
        &self,
        stage: &Stage,
        e: usize,
        tensor: impl Fn(usize) -> u64,
        before: &[client::Element],
    ) -> [u64; 2] {
        self.compared
            .shares(stage, e, false, tensor, |i| before.get(i).map_or(0, |element| element.result))
    }

    /// Server: the same.
    fn server_shares(
        &self,
        stage: &Stage,
        e: usize,
        tensor: impl Fn(usize) -> u64,
        before: &[server::Element],
    ) -> [u64; 2] {
        self.compared
            .shares(stage, e, true, tensor, |i| before.get(i).map_or(0, |element| element.result))
    }

    /// Client: OTs in which it chooses. `seed` and prediction: of its random choices; `tensor`,
    /// `output`: its shares of the operation's input and output.
    #[expect(clippy::too_many_arguments, reason = "each is a different thing")]
    pub(crate) async fn client_forward<IO: Read + Write>(
        &self,
        ch: &mut Channel<IO>,
        memory: &mut [u8],
        receiver: &mut Receiver<'_>,
        (seed, prediction): (&Seed, usize),
        elements: &mut [client::Element],
        tensor: impl Fn(usize) -> u64,
        output: impl Fn(usize) -> u64,
    ) -> Result<()> {
        let mut random = seed.stream(Domain::Mask, prediction as u64);
        for stage in self.compared.stages() {
            let (protocol, (before, elements)) = (&stage.protocol, part(&stage, elements)?);
            for (e, element) in elements.iter_mut().enumerate() {
                let fresh = protocol.reduce(random.next_u64());
                let result = if stage.is_last() { output(e) } else { fresh };
                let [share, _] = self.client_shares(&stage, e, &tensor, before);
                protocol.client_start(element, share, result, &mut random);
            }
        }
        let share = |elements: &[client::Element], stage: &Stage, e: usize| {
            self.client_shares(stage, e, &tensor, elements)[0]
        };
        let word = |elements: &[client::Element], stage: &Stage, e: usize| {
            let share = share(elements, stage, e);
            elements
                .get(stage.first + e)
                .map_or(0, |element| stage.protocol.client_choices(element, share))
        };
        let take = |elements: &mut [client::Element], stage: &Stage, e: usize, labels: &[Block]| {
            let (share, tweak) = (share(elements, stage, e), self.tweak(stage, e));
            if let Some(element) = elements.get_mut(stage.first + e) {
                stage.protocol.client_forward(element, share, self.hash, tweak, labels);
            }
        };
        let (what, scratch) = ((self.compared, Direction::Forward), self.scratch(memory)?);
        choose(ch, scratch, self.options, receiver, what, elements, (word, take)).await
    }

    /// Server: the same OTs.
    pub(crate) async fn server_forward<IO: Read + Write>(
        &self,
        ch: &mut Channel<IO>,
        memory: &mut [u8],
        sender: &mut Sender<'_>,
        elements: &mut [server::Element],
    ) -> Result<()> {
        let delta = sender.delta();
        let take = |stage: &Stage, e: usize, labels: &[Block]| {
            if let Some(element) = elements.get_mut(stage.first + e) {
                stage.protocol.server_forward(
                    element,
                    (self.hash, delta),
                    self.tweak(stage, e),
                    labels,
                );
            }
        };
        offer(
            ch,
            self.scratch(memory)?,
            self.options,
            sender,
            (self.compared, Direction::Forward),
            take,
        )
        .await
    }

    /// Server: OTs in which it chooses.
    pub(crate) async fn server_backward<IO: Read + Write>(
        &self,
        ch: &mut Channel<IO>,
        memory: &mut [u8],
        receiver: &mut Receiver<'_>,
        (seed, prediction): (&Seed, usize),
        elements: &mut [server::Element],
    ) -> Result<()> {
        let hash = backward_hash(self.hash);
        let mut random = seed.stream(Domain::Mask, prediction as u64);
        for stage in self.compared.stages() {
            let (_, elements) = part(&stage, elements)?;
            elements
                .iter_mut()
                .for_each(|element| stage.protocol.server_choose(element, &mut random));
        }
        let word = |elements: &[server::Element], stage: &Stage, e: usize| {
            elements
                .get(stage.first + e)
                .map_or(0, |element| stage.protocol.server_choices(element))
        };
        let take = |elements: &mut [server::Element], stage: &Stage, e: usize, labels: &[Block]| {
            if let Some(element) = elements.get_mut(stage.first + e) {
                stage.protocol.server_backward(element, &hash, self.tweak(stage, e), labels);
            }
        };
        let (what, scratch) = ((self.compared, Direction::Backward), self.scratch(memory)?);
        choose(ch, scratch, self.options, receiver, what, elements, (word, take)).await
    }

    /// Client: the same OTs.
    pub(crate) async fn client_backward<IO: Read + Write>(
        &self,
        ch: &mut Channel<IO>,
        memory: &mut [u8],
        sender: &mut Sender<'_>,
        elements: &mut [client::Element],
        tensor: impl Fn(usize) -> u64,
    ) -> Result<()> {
        let (hash, delta) = (backward_hash(self.hash), sender.delta());
        let take = |stage: &Stage, e: usize, labels: &[Block]| {
            if let Some((before, [element, ..])) = elements.split_at_mut_checked(stage.first + e) {
                let [share, _] = self.client_shares(stage, e, &tensor, before);
                stage.protocol.client_backward(
                    element,
                    share,
                    (&hash, delta),
                    self.tweak(stage, e),
                    labels,
                );
            }
        };
        offer(
            ch,
            self.scratch(memory)?,
            self.options,
            sender,
            (self.compared, Direction::Backward),
            take,
        )
        .await
    }

    /// Client: reads the server's message `number` of a stage.
    pub(crate) async fn client_receive<IO: Read + Write>(
        &self,
        ch: &mut Channel<IO>,
        memory: &mut [u8],
        (stage, number): (&Stage, u32),
        elements: &mut [client::Element],
        tensor: impl Fn(usize) -> u64,
    ) -> Result<()> {
        let (protocol, (before, elements)) = (&stage.protocol, part(stage, elements)?);
        receive(
            ch,
            self.scratch(memory)?.bytes,
            protocol.server_bits(number),
            elements,
            |e, element, input| {
                let share =
                    if number == 0 { self.client_shares(stage, e, &tensor, before)[0] } else { 0 };
                protocol.client_receive(element, share, number, input);
            },
        )
        .await
    }

    /// Client: writes its message `number` of a stage.
    pub(crate) async fn client_send<IO: Read + Write>(
        &self,
        ch: &mut Channel<IO>,
        memory: &mut [u8],
        (stage, number): (&Stage, u32),
        elements: &mut [client::Element],
        tensor: impl Fn(usize) -> u64,
    ) -> Result<()> {
        let (protocol, (before, elements)) = (&stage.protocol, part(stage, elements)?);
        let last = number + 1 == protocol.rounds();
        send(
            ch,
            self.scratch(memory)?.bytes,
            protocol.client_bits(number),
            elements,
            |e, element, out| {
                let [share, base] =
                    if last { self.client_shares(stage, e, &tensor, before) } else { [0; 2] };
                let part = stage.part(base, element.result);
                protocol.client_send(element, [share, part], number, out);
            },
        )
        .await
    }

    /// Server: writes its message `number` of a stage.
    pub(crate) async fn server_send<IO: Read + Write>(
        &self,
        ch: &mut Channel<IO>,
        memory: &mut [u8],
        (stage, number): (&Stage, u32),
        elements: &mut [server::Element],
        tensor: impl Fn(usize) -> u64,
    ) -> Result<()> {
        let (protocol, (before, elements)) = (&stage.protocol, part(stage, elements)?);
        let pieces = match self.op {
            Op::Activation { function: Function::PiecewiseLinear(spline), .. } => Some(spline),
            _ => None,
        };
        send(
            ch,
            self.scratch(memory)?.bytes,
            protocol.server_bits(number),
            elements,
            |e, element, out| {
                let [share, _] = self.server_shares(stage, e, &tensor, before);
                protocol.server_send(
                    element,
                    share,
                    number,
                    (self.hash, self.tweak(stage, e), pieces),
                    out,
                );
            },
        )
        .await
    }

    /// Server: reads the client's message `number` of a stage, and has its shares of the results
    /// with the last.
    pub(crate) async fn server_receive<IO: Read + Write>(
        &self,
        ch: &mut Channel<IO>,
        memory: &mut [u8],
        (stage, number): (&Stage, u32),
        elements: &mut [server::Element],
        tensor: impl Fn(usize) -> u64,
    ) -> Result<()> {
        let (protocol, (before, elements)) = (&stage.protocol, part(stage, elements)?);
        let last = number + 1 == protocol.rounds();
        receive(
            ch,
            self.scratch(memory)?.bytes,
            protocol.client_bits(number),
            elements,
            |e, element, input| {
                let [share, base] =
                    if last { self.server_shares(stage, e, &tensor, before) } else { [0; 2] };
                if let Some(result) = protocol.server_receive(element, share, number, input) {
                    element.result = stage.combine(base, result);
                }
            },
        )
        .await
    }
}

/// Sends `bits` bits of every element.
async fn send<IO: Read + Write, E>(
    ch: &mut Channel<IO>,
    bytes: &mut [u8],
    bits: u32,
    elements: &mut [E],
    mut each: impl FnMut(usize, &mut E, &mut Packer<'_>),
) -> Result<()> {
    for (first, elements) in (0..).step_by(BATCH).zip(elements.chunks_mut(BATCH)) {
        let bytes = bytes
            .get_mut(..packed_len(elements.len() as u64, bits) as usize)
            .ok_or(Error::Internal)?;
        let mut out = Packer::new(bytes);
        (first..).zip(elements).for_each(|(e, element)| each(e, element, &mut out));
        out.finish()?;
        ch.put(bytes).await?;
    }
    Ok(())
}

/// Receives `bits` bits of every element.
async fn receive<IO: Read + Write, E>(
    ch: &mut Channel<IO>,
    bytes: &mut [u8],
    bits: u32,
    elements: &mut [E],
    mut each: impl FnMut(usize, &mut E, &mut Reader<'_>),
) -> Result<()> {
    for (first, elements) in (0..).step_by(BATCH).zip(elements.chunks_mut(BATCH)) {
        let bytes = bytes
            .get_mut(..packed_len(elements.len() as u64, bits) as usize)
            .ok_or(Error::Internal)?;
        ch.get(bytes).await?;
        let mut input = Reader::new(bytes);
        (first..).zip(elements).for_each(|(e, element)| each(e, element, &mut input));
        if !input.finish() {
            return Err(Error::Malformed);
        }
    }
    Ok(())
}

/// Tweak of base OT 0 of stock number `stock`.
const fn base_tweak(stock: u64) -> Block {
    BASE_TWEAK | (stock as Block + 1) << 64
}

/// Client: the base OTs, in which it chooses the bits of `Δ'`, at the start of its corrections.
/// `labels`: kept for [`client_base`].
pub(crate) async fn client_choose_base<IO: Read + Write>(
    ch: &mut Channel<IO>,
    scratch: Scratch<'_>,
    options: &Options,
    receiver: &mut Receiver<'_>,
    stock: &Seed,
    labels: &mut [Block],
) -> Result<()> {
    let corrections = scratch
        .corrections
        .get_mut(..options.repetition.correction_bytes_per_group())
        .ok_or(Error::Internal)?;
    receiver.extend(&[own_delta(stock)], labels, corrections)?;
    ch.put(corrections).await
}

/// The client's `Δ'` for a stock.
fn own_delta(stock: &Seed) -> Block {
    base(stock).stream(Domain::Label, 0).next_u128() | 1
}

/// Client: their messages, at the start of the tables.
pub(crate) async fn client_base<'a, IO: Read + Write>(
    ch: &mut Channel<IO>,
    hash: &Tmmo,
    sender: &mut Renewable<'a, Sender<'a>>,
    (stock, number): (&Seed, u64),
    labels: &mut [Block],
) -> Result<()> {
    let labels = labels.first_chunk_mut::<KAPPA>().ok_or(Error::Internal)?;
    let delta = own_delta(stock);
    for (j, label) in labels.iter_mut().enumerate() {
        let mut pair = [0; 2];
        ch.get(bytemuck::must_cast_slice_mut(&mut pair)).await?;
        let [m0, m1] = pair.map(Block::from_le);
        let [pad] = hash.hash([*label], [base_tweak(number) + j as Block]);
        // In constant time: all ones for the second message.
        let second = (delta >> j & 1).wrapping_neg();
        *label = pad ^ m0 ^ (m0 ^ m1) & second;
    }
    let backward = backward_hash(hash);
    sender.renew(|leaves| Sender::new(leaves, delta, labels, &backward, &backward))
}

/// Server: the base OTs, from the start of the client's corrections. `messages` gets what to send.
#[expect(clippy::too_many_arguments, reason = "each is a different thing")]
pub(crate) async fn server_base<'a, IO: Read + Write>(
    ch: &mut Channel<IO>,
    scratch: Scratch<'_>,
    options: &Options,
    sender: &mut Sender<'_>,
    receiver: &mut Renewable<'a, Receiver<'a>>,
    hash: &Tmmo,
    (stock, number): (&Seed, u64),
    messages: &mut [[Block; 2]],
) -> Result<()> {
    let messages = messages.first_chunk_mut::<KAPPA>().ok_or(Error::Internal)?;
    let corrections = scratch
        .corrections
        .get_mut(..options.repetition.correction_bytes_per_group())
        .ok_or(Error::Internal)?;
    let labels = scratch.labels.get_mut(..GROUP).ok_or(Error::Internal)?;
    ch.get(corrections).await?;
    sender.extend(corrections, labels)?;
    let backward = backward_hash(hash);
    let mut roots = base(stock).stream(Domain::Label, 0);
    receiver.renew(|leaves| Receiver::new(leaves, &mut roots, &backward, &backward, messages))?;
    for (j, (pair, &label)) in messages.iter_mut().zip(&*labels).enumerate() {
        let pads = hash.hash([label, label ^ sender.delta()], [base_tweak(number) + j as Block; 2]);
        pair.iter_mut().zip(pads).for_each(|(message, pad)| *message = (*message ^ pad).to_le());
    }
    Ok(())
}
