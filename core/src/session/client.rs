//! The client: holds an input, learns the prediction.

use super::channel::{Channel, Traffic};
use super::compared::Comparison;
use super::keys::{public_key_seed, session_key};
use super::layout::{ClientMemory, ClientOnline, ClientRegions};
use super::material::{ClientMaterial, ClientOpMaterial, OpSlices};
use super::operation::{Amounts, Context};
use super::pairing::{self, Pairing, PairingState, Party, to_blocks, to_seed};
use super::phase::ClientPhase;
use super::prepared::tile;
use super::runs::{end_choosing, start_choosing};
use super::setup::{self, Secrets, Terms};
use super::shares::{Shares, tensor, tensor_mut};
use super::store::Store;
use super::triplets::client::EncryptInputs;
use super::{Options, Tables, carries, compared, extension, garbled, products, reveal, triplets};
use crate::attack::{Defence, stripped};
use crate::block::Block;
use crate::choice::OpProtocol;
use crate::cost::{compares_offline, corrections_bytes, tables_bytes};
use crate::error::{Error, Result};
use crate::handshake::{Hello, WELCOME_BYTES};
use crate::hash::Tmmo;
use crate::lattice::SecretKey;
use crate::memory::{Space, wipe, wipe_first};
use crate::ot::{GROUP, Leaves, Receiver, Renewable, Sender};
use crate::params::VERSION;
use crate::plan::{self, OfflineStep, Op, Plan, Step};
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
    let need = length as usize;
    if need > plan::MAX_BYTES {
        return Err(Error::Malformed);
    }
    ch.get(out.get_mut(..need).ok_or(Error::Memory { need })?).await?;
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
    /// [`crate::cost::store_bytes`].
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

    /// As [`Client::open`], with the pairing state in the session.
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

    /// Handshake, and set-up unless the pairing state holds a pairing already. It does in the end.
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
        match Self::set_up(&mut ch, &plan, &options, seed, leaves, memory, pairing_state).await {
            Ok((secrets, hash, receiver)) => {
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
        seed: &Seed,
        leaves: &'a mut [Block],
        scratch: &mut [u8],
        pairing_state: &mut [Block],
    ) -> Result<(Secrets, Tmmo, Receiver<'a>)> {
        let (id, secret) = pairing_state.split_first_mut().ok_or(Error::Internal)?;
        let secret = secret.first_chunk_mut().ok_or(Error::Internal)?;
        let pairing = (*id != 0).then_some(*id);
        let nonce = Secrets::nonce(seed);
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
        let server = server.first_chunk().ok_or(Error::Internal)?;
        let key = session_key(pairing, &nonce, server, plan.digest());
        let (hash, repetition) = (Tmmo::new(key), options.repetition);
        let key_seed = public_key_seed(&nonce, server);
        let mut secrets = Secrets::new(seed, key);
        if let Some(id) = pairing {
            secrets.key = SecretKey::new(to_seed(secret));
            let terms = Terms { secrets: &secrets, hash: &hash, key_seed, repetition };
            let receiver = setup::resume_client(&terms, id, leaves)?;
            return Ok((secrets, hash, receiver));
        }
        let terms = Terms { secrets: &secrets, hash: &hash, key_seed, repetition };
        let receiver = setup::client(ch, scratch, &terms, leaves).await?;
        (*id, *secret) = (key, to_blocks(secrets.key.seed()));
        Ok((secrets, hash, receiver))
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
    pub async fn predict<T: Copy + Into<i64> + Sync>(
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
                return Err(Error::Length { need });
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
        let forgotten = self.forget(index as usize);
        let result = result.and_then(|answer| forgotten.map(|()| answer));
        if result.is_err() {
            out.fill(0); // what came before the damage was noticed is no answer
        }
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

    /// Wipes what one prediction used up.
    fn forget(&mut self, index: usize) -> Result<()> {
        if stripped(Defence::OneTime) {
            return Ok(());
        }
        let Self { plan, options, memory, .. } = self;
        let used = Amounts::prediction(plan, options);
        wipe(OpSlices::prediction(memory.labels, options, index, used.labels)?.all());
        wipe(OpSlices::prediction(memory.elements, options, index, used.elements)?.all());
        wipe(Shares::new(memory.shares, plan).of_mut(index)?);
        Ok(())
    }

    /// One stock: triplets of linear layers first, then everything of the others in two frames.
    async fn offline(&mut self) -> Result<()> {
        let seed = self.secrets.later.derive(self.stocks);
        self.ch.send(Tag::Prepare, &[]).await?;
        self.triplets(&seed).await?;

        let Self { ch, store, plan, options, hash, receiver, backward, memory, .. } = self;
        let ClientMemory { labels, elements, shares, scratch, .. } = memory;
        let context = &Context { plan, options, hash, stock: self.stocks };
        let mut space = Space::carve(scratch)?;
        let base: &mut [Block] = space.take(compared::base_ots(plan, options))?;
        let sums = space.take(GROUP)?;
        let shares = Shares::new(shares, plan);
        let (seed, workspace) = (&seed, space.into_rest());
        let mut phase =
            ClientPhase { ch, store, receiver, backward, sums, shares, seed, workspace };
        let material = &mut ClientMaterial::stock(labels, elements);
        send_corrections(&mut phase, context, material, base).await?;
        phase.store.clear()?;
        let material = &mut ClientMaterial::stock(labels, elements);
        receive_tables(&mut phase, context, material, base).await?;
        wipe_first(ClientMemory::offline_scratch(TargetProfile::THIS, plan, options)?, scratch)?;
        ch.flush().await
    }

    /// Draws masks, and gets to all shares that depend on the client's choice alone.
    async fn triplets(&mut self, seed: &Seed) -> Result<()> {
        let Self { ch, plan, options, hash, secrets, receiver, workers, memory, .. } = self;
        let context = &Context { plan, options, hash, stock: self.stocks };
        let (scratch, stock) = (&mut *memory.scratch, options.stock as usize);
        let mut shares = Shares::new(memory.shares, plan);
        draw_masks(plan, stock, seed, &mut shares)?;
        for step in plan.offline_steps() {
            match step {
                OfflineStep::Local(step) => {
                    for index in 0..stock {
                        step.compute(shares.of_mut(index)?)?;
                    }
                }
                OfflineStep::Linear(step) => {
                    let tile = tile(&step.op, options)?;
                    let seed = seed.derive(step.number as u64 + 1);
                    let inputs =
                        EncryptInputs { key: &secrets.key, seed: &seed, tile, workers: *workers };
                    triplets::client::client(ch, scratch, &inputs, &mut shares, &step).await?;
                }
                OfflineStep::Carries(range) => {
                    carries::client(ch, scratch, receiver, context, &mut shares, &range).await?;
                }
            }
        }
        Ok(())
    }

    /// One prediction: the masked input, then operation by operation.
    async fn online<T: Copy + Into<i64> + Sync>(
        &mut self,
        index: usize,
        x: &[T],
        out: &mut [i64],
    ) -> Result<usize> {
        let Self { ch, store, plan, options, secrets, hash, receiver, backward, memory, .. } = self;
        let ClientMemory { labels, elements, shares, scratch, .. } = memory;
        let shares = Shares::new(shares, plan);
        send_input(ch, plan, shares.of(index)?, x).await?;

        // The current stock was counted when it was prepared.
        let stock = self.stocks.checked_sub(1).ok_or(Error::Internal)?;
        let context = &Context { plan, options, hash, stock };
        let (own, used) = ClientOnline::carve(scratch, plan, options)?;
        let ClientOnline { labels: fresh, sums, workspace } = own;
        let labels = match options.tables {
            Tables::Stored => &mut **labels,
            Tables::Streamed => fresh,
        };
        let each = Amounts::prediction(plan, options);
        let material = &mut ClientMaterial {
            labels: OpSlices::prediction(labels, options, index, each.labels)?,
            elements: OpSlices::prediction(elements, options, index, each.elements)?,
        };
        let seed = &secrets.later.derive(stock);
        let mut phase =
            ClientPhase { ch, store, receiver, backward, sums, shares, seed, workspace };
        let answer = compute(&mut phase, context, index, material, out).await?;
        wipe_first(used, scratch)?;
        Ok(answer)
    }
}

/// Draws the client's share of every tensor that it may choose: the input, and what non-linear
/// operations re-share.
fn draw_masks(plan: &Plan<'_>, stock: usize, seed: &Seed, shares: &mut Shares<'_>) -> Result<()> {
    let mut random = seed.stream(Domain::Mask, 0);
    for index in 0..stock {
        let all = shares.of_mut(index)?;
        let ring = Modulus::Bits(plan.input_ring());
        for r in tensor_mut(all, 0, plan.header().input_len as usize)? {
            *r = ring.reduce(random.next_u64());
        }
        for Step { op, to, .. } in plan.steps() {
            let (ring, len) = (Modulus::Bits(op.output().0), op.output().1 as usize);
            if matches!(
                op,
                Op::Activation { .. } | Op::MaxPool { .. } | Op::Square { .. } | Op::Product { .. }
            ) {
                for r in tensor_mut(all, to, len)? {
                    *r = ring.reduce(random.next_u64());
                }
            }
        }
    }
    Ok(())
}

/// The corrections of all OTs that are made offline, in one frame.
async fn send_corrections<IO: Read + Write, S: Store>(
    phase: &mut ClientPhase<'_, '_, IO, S>,
    context: &Context<'_>,
    material: &mut ClientMaterial<'_>,
    base: &mut [Block],
) -> Result<()> {
    let bytes = corrections_bytes(context.plan, context.options);
    if bytes == 0 {
        return Ok(());
    }
    phase.ch.begin(Tag::Corrections, bytes).await?;
    start_choosing(phase.ch, (phase.receiver, phase.sums), context.options, phase.workspace)
        .await?;
    if !base.is_empty() {
        compared::here(compared::client_choose_base(phase, context.options, base)).await?;
    }
    for index in context.stored() {
        for op in context.operations(index) {
            let ClientOpMaterial { labels, elements } = material.take(&op)?;
            match &op.protocol {
                OpProtocol::Local | OpProtocol::Linear | OpProtocol::Reveal => {}
                OpProtocol::Circuit(_) | OpProtocol::Product => {
                    extension::client(phase, &op, labels).await?;
                }
                OpProtocol::Ot(activation) => {
                    let it = Comparison { op: &op, activation };
                    compared::here(compared::client::corrections(phase, it, elements)).await?;
                }
            }
        }
    }
    end_choosing(phase.ch, (phase.receiver, phase.sums)).await
}

/// The tables and corrections of the server that are sent offline, in one frame.
async fn receive_tables<IO: Read + Write, S: Store>(
    phase: &mut ClientPhase<'_, '_, IO, S>,
    context: &Context<'_>,
    material: &mut ClientMaterial<'_>,
    base: &mut [Block],
) -> Result<()> {
    let bytes = tables_bytes(context.plan, context.options);
    if bytes == 0 {
        return Ok(());
    }
    phase.ch.expect(Tag::Tables, bytes).await?;
    if !base.is_empty() {
        compared::here(compared::client_receive_base(phase, context, base)).await?;
    }
    let checked = compares_offline(context.plan, context.options);
    if checked {
        compared::here(compared::client::start(phase, context.options)).await?;
    }
    for index in context.stored() {
        for op in context.operations(index) {
            let ClientOpMaterial { labels, elements } = material.take(&op)?;
            match &op.protocol {
                OpProtocol::Local | OpProtocol::Linear | OpProtocol::Reveal => {}
                OpProtocol::Circuit(_) => garbled::client_tables(phase, &op).await?,
                OpProtocol::Product => products::client_tables(phase, &op, labels).await?,
                OpProtocol::Ot(activation) => {
                    let it = Comparison { op: &op, activation };
                    compared::here(compared::client::tables(phase, it, elements)).await?;
                }
            }
        }
    }
    if checked {
        compared::here(compared::client::end(phase)).await
    } else {
        phase.ch.finish().await
    }
}

/// Masks the input and sends it. Every element has its mask before the first byte leaves.
async fn send_input<IO: Read + Write, T: Copy + Into<i64> + Sync>(
    ch: &mut Channel<IO>,
    plan: &Plan<'_>,
    shares: &[u64],
    x: &[T],
) -> Result<()> {
    let masks = tensor(shares, 0, x.len())?;
    let ring = Modulus::Bits(plan.input_ring());
    ch.begin(Tag::Input, packed_len(x.len() as u64, ring.bits())).await?;
    let mut masked = x.iter().zip(masks);
    ch.put_values(x.len(), ring.bits(), |_| {
        let (&x, &r) = masked.next().ok_or(Error::Internal)?;
        Ok(ring.sub(ring.reduce_signed(x.into()), ring.reduce(r)))
    })
    .await?;
    ch.end().await
}

/// Takes part in all operations of a prediction. Returns the index of the largest output.
async fn compute<IO: Read + Write, S: Store>(
    phase: &mut ClientPhase<'_, '_, IO, S>,
    context: &Context<'_>,
    index: usize,
    material: &mut ClientMaterial<'_>,
    out: &mut [i64],
) -> Result<usize> {
    let mut answer = None;
    for op in context.operations(index) {
        let ClientOpMaterial { labels, elements } = material.take(&op)?;
        match &op.protocol {
            OpProtocol::Local | OpProtocol::Linear => {}
            OpProtocol::Circuit(circuit) => {
                answer = garbled::client_online(phase, &op, circuit, labels).await?;
            }
            OpProtocol::Product => products::client_online(phase, &op, labels).await?,
            OpProtocol::Ot(activation) => {
                let it = Comparison { op: &op, activation };
                answer = compared::here(compared::client::online(phase, it, elements)).await?;
            }
            OpProtocol::Reveal => answer = reveal::client(phase, &op, out).await?,
        }
    }
    answer.ok_or(Error::Internal)
}
