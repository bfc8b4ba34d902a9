//! The client: holds an input, learns the prediction.

use super::channel::{Channel, Traffic};
use super::compared::OpContext;
use super::garbled::{self, Evaluation};
use super::keys::{op_instance, session_key};
use super::layout::{ClientMemory, ClientOnline, ClientRegions, OpSlices, padded_ots};
use super::pairing::{self, Pairing, PairingState, Party, to_blocks, to_seed};
use super::prepared::tile;
use super::setup::{self, Secrets};
use super::store::Store;
use super::triplets::{self, EncryptInputs, Shares};
use super::{Options, Tables, compared, products};
use crate::attack::{Defence, stripped};
use crate::block::Block;
use crate::compare::OtActivation;
use crate::cost::{
    corrections_bytes, labels_bytes, late_corrections_bytes, opening_bytes, server_message_bytes,
    tables_bytes,
};
use crate::error::{Error, Result};
use crate::handshake::{Hello, WELCOME_BYTES};
use crate::hash::Tmmo;
use crate::lattice::SecretKey;
use crate::memory::{Space, wipe, wipe_first};
use crate::ot::{GROUP, Leaves, Receiver, Renewable, Sender};
use crate::params::VERSION;
use crate::plan::circuit::NonlinearCost;
use crate::plan::{self, Op, Plan, Step};
use crate::ring::Modulus;
use crate::rng::{Domain, Seed};
use crate::target::TargetProfile;
use crate::wire::{Tag, packed_len};
use crate::workers::Workers;
use embedded_io_async::{Read, Write};
use rand_core::TryCryptoRng;

/// Asks a server for its plan, before [`Client::connect`] on the same stream. Writes it into `out`
/// (at most [`plan::MAX_BYTES`]) and returns its length; [`Plan::parse`] then checks it.
///
/// # Errors
/// [`Error::Memory`] if `out` is too small, link and peer errors.
pub async fn fetch_plan<IO: Read + Write>(io: IO, out: &mut [u8]) -> Result<usize> {
    let mut ch = Channel::new(io);
    ch.send(Tag::PlanRequest, &VERSION.to_le_bytes()).await?;
    let (tag, length) = ch.header().await?;
    if tag != Tag::Plan as u8 {
        return Err(Error::Unexpected { expected: Tag::Plan as u8, got: tag });
    }
    let (need, got) = (length as usize, out.len());
    if need > plan::MAX_BYTES {
        return Err(Error::Malformed);
    }
    ch.get(out.get_mut(..need).ok_or(Error::Memory { need, got })?).await?;
    ch.finish().await?;
    Ok(need)
}

/// A client's session, after set-up.
pub struct Client<'a, IO, S> {
    ch: Channel<IO>,
    store: S,
    plan: Plan<'a>,
    options: Options,
    secrets: Secrets,
    hash: Tmmo,
    receiver: Receiver<'a>,
    /// The OTs in which the server chooses: every stock sets them up.
    backward: Renewable<'a, Sender<'a>>,
    workers: Workers<'a>,
    memory: ClientMemory<'a>,
    /// The pairing's state; empty where the engine holds it.
    pairing_state: PairingState<'a>,
    /// Stocks prepared so far.
    stocks: u64,
    /// Predictions of the current stock that are left.
    remaining: u32,
    closed: bool,
}

impl<IO, S> Client<'_, IO, S> {
    fn wipe(&mut self) {
        self.memory.wipe();
        self.remaining = 0;
        self.closed = true;
    }

    /// Whether the session has ended.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        self.closed
    }

    /// Predictions that can be made before the next [`Client::prepare`].
    #[must_use]
    pub const fn remaining(&self) -> u32 {
        self.remaining
    }
}

impl<'a, IO: Read + Write, S: Store> Client<'a, IO, S> {
    /// Handshake and set-up. `memory` has [`super::client_memory`] bytes; 32 bytes are
    /// drawn from `random`. For [`Tables::Stored`], `store` holds
    /// [`cost::store_bytes`].
    ///
    /// # Errors
    /// Memory, link and peer errors; the peer is told where that helps.
    pub async fn connect(
        io: IO,
        store: S,
        plan: Plan<'a>,
        options: Options,
        memory: &'a mut [u8],
        random: &mut (impl TryCryptoRng + ?Sized),
    ) -> Result<Self> {
        options.check()?;
        let regions = ClientRegions::take(&mut Space::carve(memory)?, &plan, &options)?;
        Self::with_state(io, store, plan, options, regions, &Seed::draw(random)?).await
    }

    /// Handshake only: goes on with a pairing that [`Client::export`] wrote. Otherwise as
    /// [`Client::connect`]; plan, tables and stock may be others than in the session that made
    /// the pairing.
    ///
    /// # Errors
    /// [`Error::Pairing`] for a server's half, [`Error::Option`] for another OT parameter than the
    /// pairing's; [`Error::PeerAborted`] with the code of [`Error::UnknownPairing`] if the
    /// server has not kept its half: then [`Client::connect`] sets up again. And those of
    /// [`Client::connect`].
    pub async fn resume(
        io: IO,
        store: S,
        plan: Plan<'a>,
        options: Options,
        memory: &'a mut [u8],
        random: &mut (impl TryCryptoRng + ?Sized),
        pairing: &Pairing<'_>,
    ) -> Result<Self> {
        options.check()?;
        let regions = ClientRegions::take(&mut Space::carve(memory)?, &plan, &options)?;
        pairing.load(Party::Client, &options, regions.pairing_state, &mut [])?;
        Self::with_state(io, store, plan, options, regions, &Seed::draw(random)?).await
    }

    /// As [`Client::open`], with the pairing_state in the session.
    async fn with_state(
        io: IO,
        store: S,
        plan: Plan<'a>,
        options: Options,
        regions: ClientRegions<'a, 'a>,
        seed: &Seed,
    ) -> Result<Self> {
        let ClientRegions { leaves, pairing_state, scratch } = regions;
        let pairing_state = PairingState(pairing_state);
        let regions = ClientRegions { leaves, pairing_state: pairing_state.0, scratch };
        let client = Self::open(io, store, plan, options, regions, seed).await?;
        Ok(Self { pairing_state, ..client })
    }

    /// Handshake, and set-up unless the pairing_state holds a pairing already. It does in the end.
    pub(super) async fn open(
        io: IO,
        store: S,
        plan: Plan<'a>,
        options: Options,
        regions: ClientRegions<'a, '_>,
        seed: &Seed,
    ) -> Result<Self> {
        let ClientRegions { leaves, pairing_state, scratch: memory } = regions;
        let mut ch = Channel::new(io);
        let mut secrets = Secrets::new(seed);
        match Self::set_up(&mut ch, &plan, &options, &mut secrets, leaves, memory, pairing_state)
            .await
        {
            Ok((hash, receiver)) => {
                let mut memory = ClientMemory::carve(memory, &plan, &options)?;
                let backward = match core::mem::take(&mut memory.leaves) {
                    [] => Renewable::Never,
                    leaves => Renewable::Before(Leaves::new(options.repetition, leaves)?),
                };
                let (pairing_state, workers) = (PairingState::default(), Workers::OWN);
                Ok(Self {
                    ch,
                    store,
                    plan,
                    options,
                    secrets,
                    hash,
                    receiver,
                    backward,
                    workers,
                    memory,
                    pairing_state,
                    stocks: 0,
                    remaining: 0,
                    closed: false,
                })
            }
            Err(error) => {
                wipe(memory);
                wipe(pairing_state);
                ch.abort(error).await;
                Err(error)
            }
        }
    }

    async fn set_up(
        ch: &mut Channel<IO>,
        plan: &Plan<'_>,
        options: &Options,
        secrets: &mut Secrets,
        leaves: &'a mut [Block],
        scratch: &mut [u8],
        pairing_state: &mut [Block],
    ) -> Result<(Tmmo, Receiver<'a>)> {
        let (id, secret) = pairing_state.split_first_mut().ok_or(Error::Internal)?;
        let secret = secret.first_chunk_mut().ok_or(Error::Internal)?;
        let pairing = (*id != 0).then_some(*id);
        let mut nonce = [0; 32];
        secrets.labels.stream(Domain::Mask, 0).fill(&mut nonce);
        let hello = Hello {
            options: *options,
            digest: *plan.digest(),
            nonce,
            pairing: pairing.map(Block::to_le_bytes),
        };
        ch.send(Tag::Hello, &hello.emit()).await?;
        let mut welcome = [0; WELCOME_BYTES];
        ch.receive(Tag::Welcome, &mut welcome).await?;
        let (version, server) = welcome.split_first_chunk::<2>().ok_or(Error::Internal)?;
        if u16::from_le_bytes(*version) != VERSION {
            return Err(Error::Version);
        }
        let key = session_key(
            pairing,
            &nonce,
            server.first_chunk().ok_or(Error::Internal)?,
            plan.digest(),
        );
        let hash = Tmmo::new(key);
        if let Some(id) = pairing {
            secrets.key = SecretKey::new(to_seed(secret));
            let receiver =
                setup::resume_client(scratch, secrets, id, &hash, options.repetition, leaves)?;
            return Ok((hash, receiver));
        }
        let receiver =
            setup::client(ch, scratch, secrets, &hash, options.repetition, leaves).await?;
        (*id, *secret) = (key, to_blocks(secrets.key.seed()));
        Ok((hash, receiver))
    }

    /// Exports this party's half of the pairing and asks the server to keep the other. Returns the
    /// length of what was written, [`super::CLIENT_PAIRING_BYTES`]. It is secret, and the same
    /// at any time of a session and in all sessions of a pairing. A server may forget its half
    /// at any time.
    ///
    /// # Errors
    /// [`Error::Memory`] leaves the session as it was; link errors end it.
    pub async fn export(&mut self, out: &mut [u8]) -> Result<usize> {
        if self.closed {
            return Err(Error::Closed);
        }
        let written = pairing::export(
            Party::Client,
            self.options.repetition,
            self.pairing_state.0,
            &[],
            out,
        )?;
        self.keep().await?;
        Ok(written)
    }

    /// Asks the server to keep its half of the pairing.
    pub(super) async fn keep(&mut self) -> Result<()> {
        self.closed = true;
        let result = match self.ch.send(Tag::Keep, &[]).await {
            Ok(()) => self.ch.flush().await,
            error => error,
        };
        self.finish_call(result).await
    }

    /// Shares the work of what follows with these. Bytes and results are the same.
    pub fn use_workers(&mut self, workers: Workers<'a>) {
        self.receiver.as_mut().use_workers(workers);
        self.backward.use_workers(workers);
        self.workers = workers;
    }

    /// What went over the wire so far.
    #[must_use]
    pub const fn traffic(&self) -> Traffic {
        self.ch.traffic()
    }

    /// The offline phase for one stock. What was left of the stock before is discarded.
    ///
    /// # Errors
    /// Link, peer and store errors; after one, the session has ended.
    pub async fn prepare(&mut self) -> Result<()> {
        if self.closed {
            return Err(Error::Closed);
        }
        self.remaining = 0;
        self.closed = true;
        let result = self.offline().await;
        self.finish_call(result).await?;
        self.stocks += 1;
        self.remaining = self.options.stock;
        Ok(())
    }

    /// One prediction. `x`: quantised input in the plan's range, of whatever type of integer a
    /// sensor has. `out`: receives the opened tensor, signed; empty for an argmax plan. Returns
    /// the index of the largest output. One prepared prediction is used up, whatever happens.
    ///
    /// # Errors
    /// [`Error::Exhausted`], [`Error::Length`] and [`Error::Input`] leave the session as it was;
    /// link and peer errors end it.
    pub async fn predict<T: Copy + Into<i64>>(
        &mut self,
        x: &[T],
        out: &mut [i64],
    ) -> Result<usize> {
        if self.closed {
            return Err(Error::Closed);
        }
        let header = self.plan.header();
        let out_len = if self.plan.is_argmax() { 0 } else { header.output_len as usize };
        for (need, got) in [(header.input_len as usize, x.len()), (out_len, out.len())] {
            if need != got {
                return Err(Error::Length { need, got });
            }
        }
        let range = i64::from(header.input.min)..=i64::from(header.input.max);
        if !x.iter().all(|&v| range.contains(&v.into())) {
            return Err(Error::Input);
        }
        let index = self
            .options
            .stock
            .checked_sub(self.remaining)
            .filter(|&i| i < self.options.stock)
            .ok_or(Error::Exhausted)?;
        // Spent before the first byte leaves: nothing is ever used twice.
        if !stripped(Defence::OneTime) {
            self.remaining -= 1;
        }
        self.closed = true;
        let result = self.online(index as usize, x, out).await;
        if result.is_err() {
            out.fill(0); // what came before the damage was noticed is no answer
        }
        self.forget(index as usize);
        self.finish_call(result).await
    }

    /// Ends the session.
    ///
    /// # Errors
    /// Link errors.
    pub async fn close(&mut self) -> Result<()> {
        if self.closed {
            return Ok(());
        }
        let result = match self.ch.send(Tag::Bye, &[]).await {
            Ok(()) => self.ch.flush().await,
            error => error,
        };
        self.wipe();
        result
    }

    /// After a call's end: opens the session again, or tells the peer and wipes it. A call that is
    /// dropped half-way never comes here: the session stays closed, for link and material are
    /// in a state that nobody may build on.
    async fn finish_call<T>(&mut self, result: Result<T>) -> Result<T> {
        match result {
            Ok(_) => self.closed = false,
            Err(error) => {
                self.wipe();
                self.ch.abort(error).await;
            }
        }
        result
    }

    /// Wipes what one prediction used.
    fn forget(&mut self, index: usize) {
        if stripped(Defence::OneTime) {
            return;
        }
        let (ots, per) = (padded_ots(&self.plan, &self.options), self.plan.elements());
        match self.options.tables {
            Tables::Stored => {
                wipe(
                    self.memory.labels.get_mut(index * ots..(index + 1) * ots).unwrap_or_default(),
                );
                let compared = compared::elements(&self.plan, &self.options);
                wipe(
                    self.memory
                        .compared
                        .get_mut(index * compared..(index + 1) * compared)
                        .unwrap_or_default(),
                );
            }
            Tables::Streamed => wipe(self.memory.compared),
        }
        wipe(self.memory.shares.get_mut(index * per..(index + 1) * per).unwrap_or_default());
    }

    async fn offline(&mut self) -> Result<()> {
        let Self {
            ch,
            store,
            plan,
            options,
            secrets,
            hash,
            receiver,
            backward,
            workers,
            memory,
            stocks,
            ..
        } = self;
        let ClientMemory { labels, shares, compared: elements, scratch, .. } = memory;
        let stock = options.stock as usize;
        let first = *stocks * stock as u64;
        let seed = secrets.later.derive(*stocks);
        ch.send(Tag::Prepare, &[]).await?;

        let mut shares = Shares::new(shares, plan);
        draw_masks(plan, stock, &seed, &mut shares)?;
        for step in plan.steps() {
            if step.op.is_local() {
                for prediction in 0..stock {
                    step.compute(shares.of(prediction)?)?;
                }
            }
            if step.op.is_linear() {
                let tile = tile(&step.op, options)?;
                let seed = seed.derive(step.number as u64 + 1);
                let inputs =
                    EncryptInputs { key: &secrets.key, seed: &seed, tile, workers: *workers };
                triplets::client(ch, scratch, &inputs, &mut shares, &step).await?;
            }
        }

        let mut space = Space::carve(scratch)?;
        let base: &mut [Block] = space.take(compared::base_ots(plan, options))?;
        let workspace = space.into_rest();
        let corrections = corrections_bytes(plan, options);
        if corrections > 0 {
            ch.begin(Tag::Corrections, corrections).await?;
            #[cfg(feature = "compare")]
            if !base.is_empty() {
                let scratch =
                    compared::Scratch::take(&mut Space::carve(workspace)?, plan, options)?;
                compared::client_choose_base(ch, scratch, options, receiver, &seed, base).await?;
            }
            let mut labels = &mut labels[..];
            let mut elements = OpSlices::new(elements, options, 0, 0);
            let stored = (0..stock).filter(|_| options.tables == Tables::Stored);
            for prediction in stored {
                for step in plan.steps() {
                    #[cfg(feature = "compare")]
                    if let Some(compared) = OtActivation::of(&step.op, options) {
                        let layer = op_instance(first + prediction as u64, step.number);
                        let layer = OpContext {
                            op: &step.op,
                            compared: &compared,
                            layer,
                            hash,
                            options,
                            plan,
                        };
                        let share = |e| {
                            shares.get(prediction, Modulus::Bits(step.op.input().0), step.from + e)
                        };
                        let random = (&compared::choices(&seed, step.number), prediction);
                        let output = |e| {
                            shares.get(prediction, Modulus::Bits(step.op.output().0), step.to + e)
                        };
                        layer
                            .client_forward(
                                ch,
                                workspace,
                                receiver,
                                random,
                                elements.take(compared.len())?,
                                share,
                                output,
                            )
                            .await?;
                        continue;
                    }
                    let own = labels
                        .split_off_mut(
                            ..NonlinearCost::with_options(&step.op, options).groups() * GROUP,
                        )
                        .ok_or(Error::Internal)?;
                    extend(ch, workspace, options, receiver, &step, own, (&shares, prediction))
                        .await?;
                }
            }
            ch.end().await?;
        }

        store.clear()?;
        let tables = tables_bytes(plan, options);
        if tables > 0 {
            ch.expect(Tag::Tables, tables).await?;
            #[cfg(feature = "compare")]
            if !base.is_empty() {
                compared::client_base(ch, hash, backward, (&seed, *stocks), base).await?;
            }
            let mut labels = &mut labels[..];
            let mut elements = OpSlices::new(elements, options, 0, 0);
            let stored = (0..stock).filter(|_| options.tables == Tables::Stored);
            for prediction in stored {
                for step in plan.steps() {
                    #[cfg(feature = "compare")]
                    if let Some(compared) = OtActivation::of(&step.op, options) {
                        let layer = op_instance(first + prediction as u64, step.number);
                        let layer = OpContext {
                            op: &step.op,
                            compared: &compared,
                            layer,
                            hash,
                            options,
                            plan,
                        };
                        let share = |e| {
                            shares.get(prediction, Modulus::Bits(step.op.input().0), step.from + e)
                        };
                        layer
                            .client_backward(
                                ch,
                                workspace,
                                backward.half()?,
                                elements.take(compared.len())?,
                                share,
                            )
                            .await?;
                        continue;
                    }
                    let counts = NonlinearCost::with_options(&step.op, options);
                    let own =
                        labels.split_off_mut(..counts.groups() * GROUP).ok_or(Error::Internal)?;
                    if counts.products > 0 {
                        let ring = Modulus::Bits(step.op.input().0);
                        let layer = op_instance(first + prediction as u64, step.number);
                        let factor = |i| shares.get(prediction, ring, step.factors(i).1);
                        products::client(ch, ring, &counts, layer, hash, own, factor).await?;
                    } else {
                        garbled::keep(ch, workspace, &step.op, store).await?;
                    }
                }
            }
            ch.finish().await?;
        }
        wipe_first(ClientMemory::offline_scratch(TargetProfile::THIS, plan, options)?, scratch);
        ch.flush().await
    }

    async fn online<T: Copy + Into<i64>>(
        &mut self,
        index: usize,
        x: &[T],
        out: &mut [i64],
    ) -> Result<usize> {
        let Self {
            ch,
            store,
            plan,
            options,
            secrets,
            hash,
            receiver,
            backward,
            memory,
            stocks,
            ..
        } = self;
        let ClientMemory { labels, shares, compared: elements, scratch, .. } = memory;
        let prediction = (*stocks - 1) * u64::from(options.stock) + index as u64;
        let shares = Shares::new(shares, plan);
        let ring = Modulus::Bits(plan.input_ring());
        let bits = ring.bits();
        ch.begin(Tag::Input, packed_len(x.len() as u64, bits)).await?;
        let mut masked = x.iter().enumerate();
        let mask =
            |(i, &x): (usize, &T)| ring.sub(ring.from_signed(x.into()), shares.get(index, ring, i));
        ch.put_values(x.len(), bits, |_| masked.next().map_or(0, mask)).await?;
        ch.end().await?;

        let ots = padded_ots(plan, options);
        let mut space = Space::carve(scratch)?;
        let ClientOnline { labels: fresh, workspace } =
            ClientOnline::take(&mut space, plan, options)?;
        let used = space.used();
        let labels = if options.tables == Tables::Streamed { fresh } else { &mut **labels };
        let mut labels = OpSlices::new(labels, options, index, ots);
        let mut elements =
            OpSlices::new(elements, options, index, compared::elements(plan, options));
        let mut answer = 0;
        for step in plan.steps() {
            let Step { number, op, from, .. } = step;
            let (ring, len) = (Modulus::Bits(op.input().0), op.input().1 as usize);
            let counts = NonlinearCost::with_options(&op, options);
            let own = labels.take(counts.groups() * GROUP)?;
            #[cfg(feature = "compare")]
            if let Some(compared) = OtActivation::of(&op, options) {
                let layer = OpContext {
                    op: &op,
                    compared: &compared,
                    layer: op_instance(prediction, number),
                    hash,
                    options,
                    plan,
                };
                let elements = elements.take(compared.len())?;
                let share = |e| shares.get(index, ring, from + e);
                let output = |e| shares.get(index, Modulus::Bits(op.output().0), step.to + e);
                let streamed = options.tables == Tables::Streamed;
                if streamed {
                    let seed = compared::choices(&secrets.later.derive(*stocks - 1), number);
                    ch.begin(Tag::Corrections, late_corrections_bytes(&op, options)).await?;
                    layer
                        .client_forward(
                            ch,
                            workspace,
                            receiver,
                            (&seed, index),
                            elements,
                            share,
                            output,
                        )
                        .await?;
                    ch.end().await?;
                }
                for stage in compared.stages() {
                    for message in 0..stage.protocol.rounds() {
                        ch.expect(
                            Tag::Compare,
                            server_message_bytes(&op, &stage, message, options),
                        )
                        .await?;
                        if streamed && stage.first == 0 && message == 0 {
                            let backward = backward.half()?;
                            layer.client_backward(ch, workspace, backward, elements, share).await?;
                        }
                        layer
                            .client_receive(ch, workspace, (&stage, message), elements, share)
                            .await?;
                        ch.finish().await?;
                        let [_, bytes] = stage.message_bytes(message);
                        ch.begin(Tag::Compare, bytes).await?;
                        layer
                            .client_send(ch, workspace, (&stage, message), elements, share)
                            .await?;
                        ch.end().await?;
                    }
                }
                if op.is_output() {
                    let own = elements.last().map_or(0, |element| element.result);
                    let bits = compared.answer_bits();
                    ch.expect(Tag::Output, compared.answer_bytes()).await?;
                    ch.get_values(1, bits, |_, share| {
                        answer = compared.answer([own, share]).ok_or(Error::Malformed)?;
                        Ok(())
                    })
                    .await?;
                    ch.finish().await?;
                }
                continue;
            }
            if late_corrections_bytes(&op, options) > 0 {
                ch.begin(Tag::Corrections, late_corrections_bytes(&op, options)).await?;
                extend(ch, workspace, options, receiver, &step, own, (&shares, index)).await?;
                ch.end().await?;
            }
            match op {
                Op::FullyConnected { .. }
                | Op::Convolution { .. }
                | Op::SumPool { .. }
                | Op::StridedAdd { .. }
                | Op::Offset { .. } => {}
                Op::Activation { .. } | Op::MaxPool { .. } | Op::Argmax { .. } => {
                    ch.expect(Tag::Labels, labels_bytes(&op, options)).await?;
                    let layer = op_instance(prediction, number);
                    let evaluation =
                        Evaluation { session: hash, layer, tables: options.tables, labels: own };
                    let words = garbled::evaluate(ch, workspace, &op, &evaluation, store).await?;
                    ch.finish().await?;
                    if op.is_output() {
                        answer = usize::try_from(*words.first().ok_or(Error::Internal)?)
                            .map_err(|_| Error::Malformed)?;
                        if answer >= len {
                            return Err(Error::Malformed);
                        }
                    } else {
                        let neurons = words.len();
                        ch.begin(Tag::Colours, packed_len(neurons as u64, counts.colour_bits))
                            .await?;
                        let mut words = words.iter();
                        ch.put_values(neurons, counts.colour_bits, |_| {
                            words.next().copied().unwrap_or(0)
                        })
                        .await?;
                        ch.end().await?;
                    }
                }
                Op::Square { .. } | Op::Product { .. } => {
                    ch.expect(Tag::Opening, opening_bytes(&op, options)).await?;
                    if options.tables == Tables::Streamed {
                        let factor = |i| shares.get(index, ring, step.factors(i).1);
                        products::client(
                            ch,
                            ring,
                            &counts,
                            op_instance(prediction, number),
                            hash,
                            own,
                            factor,
                        )
                        .await?;
                    }
                    products::client_online(ch, ring, &step, &counts, own, |i| {
                        shares.get(index, ring, i)
                    })
                    .await?;
                }
                Op::Reveal { .. } => {
                    ch.expect(Tag::Output, packed_len(len as u64, ring.bits())).await?;
                    let mut slots = out.iter_mut().enumerate();
                    let mut best = i64::MIN;
                    ch.get_values(len, ring.bits(), |_, share| {
                        let (i, slot) = slots.next().ok_or(Error::Internal)?;
                        *slot = ring.to_signed(ring.add(share, shares.get(index, ring, from + i)));
                        if *slot > best {
                            (answer, best) = (i, *slot);
                        }
                        Ok(())
                    })
                    .await?;
                    ch.finish().await?;
                }
            }
        }
        wipe_first(used, scratch);
        Ok(answer)
    }
}

/// The OTs of one operation of one prediction.
async fn extend<IO: Read + Write>(
    ch: &mut Channel<IO>,
    scratch: &mut [u8],
    options: &Options,
    receiver: &mut Receiver<'_>,
    step: &Step,
    labels: &mut [Block],
    (shares, prediction): (&Shares<'_>, usize),
) -> Result<()> {
    let (ring, ring_out) = (Modulus::Bits(step.op.input().0), Modulus::Bits(step.op.output().0));
    let products = step.op.products_per_element() > 0;
    let v =
        |i| shares.get(prediction, ring, if products { step.factors(i).1 } else { step.from + i });
    let r = |i| shares.get(prediction, ring_out, step.to + i);
    garbled::extend_client(ch, scratch, options, receiver, &step.op, labels, v, r).await
}

/// Draws the client's share of every tensor that it may choose: the input, and what non-linear
/// operations re-share.
fn draw_masks(plan: &Plan<'_>, stock: usize, seed: &Seed, shares: &mut Shares<'_>) -> Result<()> {
    let mut random = seed.stream(Domain::Mask, 0);
    for prediction in 0..stock {
        let ring = Modulus::Bits(plan.input_ring());
        for r in shares.tensor(prediction, 0, plan.header().input_len as usize)? {
            *r = ring.reduce(random.next_u64());
        }
        for Step { op, to, .. } in plan.steps() {
            let (ring, len) = (Modulus::Bits(op.output().0), op.output().1 as usize);
            if matches!(
                op,
                Op::Activation { .. } | Op::MaxPool { .. } | Op::Square { .. } | Op::Product { .. }
            ) {
                for r in shares.tensor(prediction, to, len)? {
                    *r = ring.reduce(random.next_u64());
                }
            }
        }
    }
    Ok(())
}
