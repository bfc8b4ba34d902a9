//! The server: holds a network, learns nothing of the input.

use super::channel::{Channel, Traffic};
use super::compared::Comparison;
use super::keys::{public_key_seed, session_key};
use super::layout::{ServerMemory, ServerOnline, ServerRegions};
use super::material::{OpSlices, ServerMaterial};
use super::operation::{Amounts, Context};
use super::pairing::{self, Pairing, PairingState, Party};
use super::phase::ServerPhase;
use super::prepared::{Prepared, tile};
use super::runs::{end_offering, start_offering};
use super::setup::{self, Secrets, ServerSetup, Terms};
use super::triplets::server::EvaluateLayer;
use super::{
    Options, Tables, carries, compared, extension, garbled, local, products, reveal, triplets,
};
use crate::block::Block;
use crate::choice::OpProtocol;
use crate::cost::{compares_offline, corrections_bytes, tables_bytes};
use crate::error::{Error, Result};
use crate::handshake::{HELLO_BYTES, Hello, WELCOME_BYTES};
use crate::hash::Tmmo;
use crate::lattice::PublicKey;
use crate::memory::{Space, wipe, wipe_first};
use crate::model::Model;
use crate::ot::{GROUP, Leaves, Receiver, Renewable, Sender};
use crate::params::VERSION;
use crate::plan::{OfflineStep, Plan};
use crate::rng::{Domain, Seed};
use crate::target::TargetProfile;
use crate::wire::{Tag, packed_len};
use crate::workers::Workers;
use embedded_io_async::{Read, Write};
use rand_core::TryCryptoRng;

/// What a server did on a client's request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A stock of predictions was prepared.
    Prepared,
    /// One prediction was made.
    Predicted,
    /// The client has kept its half of the pairing: the other one may be kept now, see
    /// [`Server::export`].
    Keep,
    /// The client ended the session.
    Closed,
}

/// A server's session, after set-up.
pub struct Server<'a, IO> {
    ch: Channel<IO>,
    prepared: &'a Prepared<'a>,
    options: Options,
    secrets: Secrets,
    hash: Tmmo,
    /// Keyed with a secret: labels of the server's own inputs.
    own_labels: Tmmo,
    sender: Sender<'a>,
    /// The OTs in which the server chooses: every stock sets them up.
    backward: Renewable<'a, Receiver<'a>>,
    workers: Workers<'a>,
    key: PublicKey<'a>,
    memory: ServerMemory<'a>,
    /// The pairing's state; empty where the engine holds it.
    pairing_state: PairingState<'a>,
    /// Stocks prepared so far, and how many predictions may be prepared in all.
    stocks: u64,
    most: u64,
    remaining: u32,
    closed: bool,
}

impl<IO> Server<'_, IO> {
    /// Predictions that a session may prepare unless said otherwise.
    pub const MAX_PREPARED: u64 = 1 << 20;

    /// Predictions prepared so far, made or not: what a client may have learned from.
    #[must_use]
    pub fn prepared(&self) -> u64 {
        self.stocks.saturating_mul(self.options.stock.into())
    }

    /// Sets how many predictions the session may prepare. A client that asks for more is refused.
    pub const fn limit_prepared(&mut self, most: u64) {
        self.most = most;
    }

    fn wipe(&mut self) {
        self.memory.wipe();
        self.remaining = 0;
        self.closed = true;
    }
}

impl<'a, IO: Read + Write> Server<'a, IO> {
    /// Handshake and set-up. The hello must ask for `options` and for the plan of `prepared`, whose
    /// stock is that of the options; a server that leaves the choice to its clients looks at
    /// [`crate::handshake::Greeting::peek`] first. `memory` has [`super::server_memory`] bytes;
    /// 32 bytes are drawn from `random`.
    ///
    /// # Errors
    /// Memory, link and peer errors; the peer is told where that helps.
    pub async fn accept(
        io: IO,
        prepared: &'a Prepared<'a>,
        options: Options,
        memory: &'a mut [u8],
        random: &mut (impl TryCryptoRng + ?Sized),
    ) -> Result<Self> {
        let regions = Self::regions(prepared, &options, memory)?;
        Self::with_state(io, prepared, options, regions, &Seed::draw(random)?).await
    }

    /// Handshake only: goes on with a pairing that [`Server::export`] wrote, whose [`Pairing::id`]
    /// is the one of the hello. Otherwise as [`Server::accept`].
    ///
    /// # Errors
    /// [`Error::Pairing`] for a client's half, [`Error::Option`] for another OT parameter than the
    /// pairing's; [`Error::UnknownPairing`] if the hello names another one or none. And those
    /// of [`Server::accept`].
    pub async fn resume(
        io: IO,
        prepared: &'a Prepared<'a>,
        options: Options,
        memory: &'a mut [u8],
        random: &mut (impl TryCryptoRng + ?Sized),
        pairing: &Pairing<'_>,
    ) -> Result<Self> {
        let regions = Self::regions(prepared, &options, memory)?;
        pairing.load(Party::Server, &options, regions.pairing_state, regions.key)?;
        Self::with_state(io, prepared, options, regions, &Seed::draw(random)?).await
    }

    /// Its memory, once it is clear that the options are those of the prepared model.
    pub(super) fn regions(
        prepared: &'a Prepared<'a>,
        options: &Options,
        memory: &'a mut [u8],
    ) -> Result<ServerRegions<'a, 'a>> {
        options.check()?;
        if prepared.stock() != options.stock {
            return Err(Error::Option);
        }
        ServerRegions::take(
            &mut Space::carve(memory)?,
            prepared.model().plan(),
            options,
            prepared.footprint(),
        )
    }

    /// As [`Server::open`], with the pairing state in the session.
    async fn with_state(
        io: IO,
        prepared: &'a Prepared<'a>,
        options: Options,
        regions: ServerRegions<'a, 'a>,
        seed: &Seed,
    ) -> Result<Self> {
        let ServerRegions { leaves, pairing_state, key, scratch } = regions;
        let pairing_state = PairingState(pairing_state);
        let regions = ServerRegions { leaves, pairing_state: pairing_state.0, key, scratch };
        let server = Self::open(io, prepared, options, regions, seed).await?;
        Ok(Self { pairing_state, ..server })
    }

    /// Handshake, and set-up unless pairing state and key hold a pairing already. In the end they
    /// do.
    pub(super) async fn open(
        io: IO,
        prepared: &'a Prepared<'a>,
        options: Options,
        regions: ServerRegions<'a, '_>,
        seed: &Seed,
    ) -> Result<Self> {
        let ServerRegions { leaves, pairing_state, key, scratch: memory } = regions;
        let mut ch = Channel::new(io);
        let plan = prepared.model().plan();
        let set_up = ServerSetup { leaves, key, pairing_state, scratch: memory };
        match Self::set_up(&mut ch, plan, &options, seed, set_up).await {
            Ok((secrets, hash, sender, key)) => {
                let mut memory = ServerMemory::carve(memory, plan, &options, prepared.footprint())?;
                let backward = match core::mem::take(&mut memory.leaves) {
                    [] => Renewable::Never,
                    leaves => Renewable::Before(Leaves::new(options.repetition, leaves)?),
                };
                let own_labels = Tmmo::new(secrets.labels.stream(Domain::Label, 1).next_u128());
                let pairing_state = PairingState::default();
                Ok(Self {
                    ch,
                    prepared,
                    options,
                    secrets,
                    hash,
                    own_labels,
                    sender,
                    backward,
                    workers: Workers::OWN,
                    key,
                    memory,
                    pairing_state,
                    stocks: 0,
                    most: Self::MAX_PREPARED,
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

    /// The client's public key, for the engine's export.
    pub(super) const fn key(&self) -> &'a [i32] {
        self.key.b
    }

    /// Exports this party's half of the pairing, at the latest before the client ends the session.
    /// Returns the length of what was written, [`super::SERVER_PAIRING_BYTES`]. It is secret,
    /// and the same in all sessions of a pairing.
    ///
    /// # Errors
    /// [`Error::Memory`], [`Error::Closed`].
    pub fn export(&self, out: &mut [u8]) -> Result<usize> {
        if self.closed {
            return Err(Error::Closed);
        }
        pairing::export(
            Party::Server,
            self.options.repetition,
            self.pairing_state.0,
            self.key.b,
            out,
        )
    }

    async fn set_up(
        ch: &mut Channel<IO>,
        plan: &Plan<'_>,
        options: &Options,
        seed: &Seed,
        memory: ServerSetup<'a, '_>,
    ) -> Result<(Secrets, Tmmo, Sender<'a>, PublicKey<'a>)> {
        let mut hello = [0; HELLO_BYTES];
        loop {
            // The plan may be asked for first, any number of times.
            match ch.header().await? {
                (tag, 2) if tag == Tag::PlanRequest as u8 => send_plan(ch, plan).await?,
                (tag, length) => {
                    Channel::<IO>::check(Tag::Hello, HELLO_BYTES as u64, tag, length)?;
                    break;
                }
            }
        }
        ch.get(&mut hello).await?;
        ch.finish().await?;
        let hello = Hello::parse(&hello)?;
        let digest = plan.digest();
        if hello.digest != *digest {
            return Err(Error::PlanMismatch);
        }
        if hello.options != *options {
            return Err(Error::Refused);
        }
        let id = *memory.pairing_state.first().ok_or(Error::Internal)?;
        let pairing = (id != 0).then_some(id);
        if hello.pairing != pairing.map(Block::to_le_bytes) {
            return Err(Error::UnknownPairing);
        }
        let mut welcome = [0; WELCOME_BYTES];
        let (version, nonce) = welcome.split_first_chunk_mut::<2>().ok_or(Error::Internal)?;
        *version = VERSION.to_le_bytes();
        nonce.copy_from_slice(&Secrets::nonce(seed));
        let nonce = nonce.first_chunk().ok_or(Error::Internal)?;
        let session = session_key(pairing, &hello.nonce, nonce, digest);
        let key_seed = public_key_seed(&hello.nonce, nonce);
        let secrets = Secrets::new(seed, session);
        let hash = Tmmo::new(session);
        ch.send(Tag::Welcome, &welcome).await?;
        let terms =
            Terms { secrets: &secrets, hash: &hash, key_seed, repetition: options.repetition };
        let (sender, key) = if pairing.is_some() {
            setup::resume_server(&terms, memory)?
        } else {
            setup::server(ch, &terms, session, memory).await?
        };
        Ok((secrets, hash, sender, key))
    }

    /// Shares the work of what follows with these. Bytes and results are the same.
    pub fn use_workers(&mut self, workers: Workers<'a>) {
        self.sender.as_mut().use_workers(workers);
        self.backward.use_workers(workers);
        self.workers = workers;
    }

    /// What went over the wire so far, as this party sees it.
    #[must_use]
    pub const fn traffic(&self) -> Traffic {
        self.ch.traffic()
    }

    /// Serves the client's next request.
    ///
    /// # Errors
    /// Link and peer errors, [`Error::Refused`] for a stock beyond the limit; after one, the
    /// session has ended.
    pub async fn serve(&mut self) -> Result<Event> {
        if self.closed {
            return Err(Error::Closed);
        }
        // A call that is dropped half-way leaves the session closed.
        self.closed = true;
        let result = self.request().await;
        match result {
            Ok(Event::Closed) => self.wipe(),
            Ok(_) => self.closed = false,
            Err(error) => {
                self.wipe();
                self.ch.abort(error).await;
            }
        }
        result
    }

    async fn request(&mut self) -> Result<Event> {
        let (tag, length) = self.ch.header().await?;
        let input = self.prepared.model().plan();
        let input_bytes =
            packed_len(u64::from(input.header().input_len), u32::from(input.input_ring()));
        if tag == Tag::Prepare as u8 {
            Channel::<IO>::check(Tag::Prepare, 0, tag, length)?;
            self.ch.finish().await?;
            self.remaining = 0;
            if self.prepared().saturating_add(self.options.stock.into()) > self.most {
                return Err(Error::Refused);
            }
            self.offline().await?;
            self.stocks += 1;
            self.remaining = self.options.stock;
            Ok(Event::Prepared)
        } else if tag == Tag::Keep as u8 {
            Channel::<IO>::check(Tag::Keep, 0, tag, length)?;
            self.ch.finish().await?;
            Ok(Event::Keep)
        } else if tag == Tag::Bye as u8 {
            Channel::<IO>::check(Tag::Bye, 0, tag, length)?;
            self.ch.finish().await?;
            Ok(Event::Closed)
        } else {
            Channel::<IO>::check(Tag::Input, input_bytes, tag, length)?;
            let index = self
                .options
                .stock
                .checked_sub(self.remaining)
                .filter(|&i| i < self.options.stock)
                .ok_or(Error::Exhausted)?;
            self.remaining -= 1;
            self.online(index as usize).await?;
            Ok(Event::Predicted)
        }
    }

    /// One stock: triplets of linear layers first, then everything of the others in two frames.
    async fn offline(&mut self) -> Result<()> {
        let seed = self.secrets.later.derive(self.stocks);
        let mut random = seed.stream(Domain::Mask, 0);
        self.triplets(&seed).await?;

        let footprint = self.prepared.footprint();
        let Self { ch, prepared, options, hash, own_labels, sender, backward, memory, .. } = self;
        let ServerMemory { labels, decode, products, elements, scratch, .. } = memory;
        let plan = prepared.model().plan();
        let context = &Context { plan, options, hash, stock: self.stocks };
        let mut space = Space::carve(scratch)?;
        let base: &mut [[Block; 2]] = space.take(compared::base_ots(plan, options))?;
        let sums = space.take(GROUP)?;
        let (seed, factors, workspace) = (&seed, &mut random, space.into_rest());
        let mut phase =
            ServerPhase { ch, sender, backward, sums, own_labels, seed, factors, workspace };
        let material = &mut ServerMaterial::stock(labels, decode, products, elements);
        receive_corrections(&mut phase, context, material, base).await?;
        let material = &mut ServerMaterial::stock(labels, decode, products, elements);
        send_tables(&mut phase, context, material, base).await?;
        let used = ServerMemory::offline_scratch(TargetProfile::THIS, plan, options, footprint)?;
        wipe_first(used, scratch)
    }

    /// Answers the client's encrypted shares, and removes the carries.
    async fn triplets(&mut self, seed: &Seed) -> Result<()> {
        let Self { ch, prepared, options, hash, sender, workers, key, memory, .. } = self;
        let plan = prepared.model().plan();
        let context = &Context { plan, options, hash, stock: self.stocks };
        let (scratch, mut masks) = (&mut *memory.scratch, &mut *memory.masks);
        let mut layers = prepared.layers();
        // Masks of layers whose carries wait, and numbers of linear layers.
        let (mut waiting, mut numbers) = (0, 1..);
        for step in plan.offline_steps() {
            match step {
                OfflineStep::Local(_) => {}
                OfflineStep::Linear(step) => {
                    let number: u64 = numbers.next().ok_or(Error::Internal)?;
                    let tile = tile(&step.op, options)?;
                    let count = options.stock as usize * tile.outputs();
                    let own = masks.get_mut(waiting..waiting + count).ok_or(Error::Internal)?;
                    let layer = EvaluateLayer {
                        key,
                        seed: &seed.derive(number),
                        weights: layers(&tile)?,
                        tile,
                        workers: *workers,
                    };
                    triplets::server::server(ch, scratch, &layer, own).await?;
                    waiting += count;
                }
                OfflineStep::Carries(range) => {
                    let own = masks.split_off_mut(..waiting).ok_or(Error::Internal)?;
                    carries::server(ch, scratch, sender, context, own, &range).await?;
                    waiting = 0;
                }
            }
        }
        Ok(())
    }

    /// One prediction, whose masked input arrives: operation by operation.
    async fn online(&mut self, index: usize) -> Result<()> {
        let Self { ch, prepared, options, secrets, hash, own_labels, sender, backward, .. } = self;
        let ServerMemory { labels, decode, masks, products, elements, scratch, .. } =
            &mut self.memory;
        let model = prepared.model();
        let plan = model.plan();
        let (own, used) = ServerOnline::carve(scratch, plan, options)?;
        let ServerOnline { tensors, labels: fresh, sums, workspace, decode: fresh_decode } = own;
        receive_input(ch, plan, tensors).await?;

        // The current stock was counted when it was prepared.
        let stock = self.stocks.checked_sub(1).ok_or(Error::Internal)?;
        let context = &Context { plan, options, hash, stock };
        let (labels, decode) = match options.tables {
            Tables::Stored => (&mut **labels, &mut **decode),
            Tables::Streamed => (fresh, fresh_decode),
        };
        let each = Amounts::prediction(plan, options);
        let material = &mut ServerMaterial {
            labels: OpSlices::prediction(labels, options, index, each.labels)?,
            decode: OpSlices::prediction(decode, options, index, each.neurons)?,
            products: OpSlices::prediction(products, options, index, each.products)?,
            elements: OpSlices::prediction(elements, options, index, each.elements)?,
        };
        let seed = &secrets.later.derive(stock);
        // Factors of products that are made now.
        let factors = &mut seed.derive(0).stream(Domain::Mask, index as u64);
        let mut phase =
            ServerPhase { ch, sender, backward, sums, own_labels, seed, factors, workspace };
        let own = &mut Own { model, masks, tensors };
        compute(&mut phase, context, index, material, own).await?;
        wipe_first(used, scratch)?;
        ch.flush().await
    }
}

/// The corrections of all OTs that are made offline, in one frame.
async fn receive_corrections<IO: Read + Write>(
    phase: &mut ServerPhase<'_, '_, IO>,
    context: &Context<'_>,
    material: &mut ServerMaterial<'_>,
    base: &mut [[Block; 2]],
) -> Result<()> {
    let bytes = corrections_bytes(context.plan, context.options);
    if bytes == 0 {
        return Ok(());
    }
    phase.ch.expect(Tag::Corrections, bytes).await?;
    start_offering(phase.ch, (phase.sender, phase.sums), context.options, phase.workspace).await?;
    if !base.is_empty() {
        compared::here(compared::server_base(phase, context, base)).await?;
    }
    for index in context.stored() {
        for op in context.operations(index) {
            let own = material.take(&op)?;
            match &op.protocol {
                OpProtocol::Local | OpProtocol::Linear | OpProtocol::Reveal => {}
                OpProtocol::Circuit(_) | OpProtocol::Product => {
                    extension::server(phase, op.options, own.labels).await?;
                }
                OpProtocol::Ot(activation) => {
                    let it = Comparison { op: &op, activation };
                    compared::here(compared::server::corrections(phase, it, own.elements)).await?;
                }
            }
        }
    }
    end_offering(phase.ch, (phase.sender, phase.sums)).await
}

/// Tables and the server's own corrections, as far as they are sent offline, in one frame.
async fn send_tables<IO: Read + Write>(
    phase: &mut ServerPhase<'_, '_, IO>,
    context: &Context<'_>,
    material: &mut ServerMaterial<'_>,
    base: &[[Block; 2]],
) -> Result<()> {
    let bytes = tables_bytes(context.plan, context.options);
    if bytes == 0 {
        return Ok(());
    }
    phase.ch.begin(Tag::Tables, bytes).await?;
    phase.ch.put(bytemuck::must_cast_slice(base)).await?;
    let checked = compares_offline(context.plan, context.options);
    if checked {
        compared::here(compared::server::start(phase, context.options)).await?;
    }
    for index in context.stored() {
        for op in context.operations(index) {
            let mut own = material.take(&op)?;
            match &op.protocol {
                OpProtocol::Local | OpProtocol::Linear | OpProtocol::Reveal => {}
                OpProtocol::Circuit(circuit) => {
                    garbled::server_tables(phase, &op, circuit, &mut own).await?;
                }
                OpProtocol::Product => products::server_tables(phase, &op, &mut own).await?,
                OpProtocol::Ot(activation) => {
                    let it = Comparison { op: &op, activation };
                    compared::here(compared::server::tables(phase, it, own.elements)).await?;
                }
            }
        }
    }
    if checked {
        compared::here(compared::server::end(phase)).await?;
    } else {
        phase.ch.end().await?;
    }
    phase.ch.flush().await
}

/// Receives the masked input, which is the server's share of it.
async fn receive_input<IO: Read + Write>(
    ch: &mut Channel<IO>,
    plan: &Plan<'_>,
    tensors: &mut [u64],
) -> Result<()> {
    let (ring, len) = (u32::from(plan.input_ring()), plan.header().input_len as usize);
    let mut slots = tensors.iter_mut();
    ch.get_values(len, ring, |_, x| {
        *slots.next().ok_or(Error::Internal)? = x;
        Ok(())
    })
    .await?;
    ch.finish().await
}

/// What the server puts into a prediction.
struct Own<'o> {
    model: &'o Model<'o>,
    /// Masks `u` of linear layers: `[stock][outputs]` of each.
    masks: &'o [u64],
    /// Its shares of all tensors.
    tensors: &'o mut [u64],
}

/// Takes part in all operations of a prediction.
async fn compute<IO: Read + Write>(
    phase: &mut ServerPhase<'_, '_, IO>,
    context: &Context<'_>,
    index: usize,
    material: &mut ServerMaterial<'_>,
    own: &mut Own<'_>,
) -> Result<()> {
    let Own { model, masks, tensors } = own;
    let mut layers = model.layers();
    for op in context.operations(index) {
        let mut own = material.take(&op)?;
        let layer = if op.step.op.has_parameters() {
            Some(layers.next().ok_or(Error::Internal)?)
        } else {
            None
        };
        match &op.protocol {
            OpProtocol::Local => local::server_local(&op, layer, tensors)?,
            OpProtocol::Linear => {
                let count = context.options.stock as usize * op.outputs();
                let masks = masks.split_off(..count).ok_or(Error::Internal)?;
                local::server_linear(&op, layer, masks, tensors)?;
            }
            OpProtocol::Circuit(circuit) => {
                garbled::server_online(phase, &op, circuit, &mut own, tensors).await?;
            }
            OpProtocol::Product => {
                products::server_online(phase, &op, &mut own, tensors).await?;
            }
            OpProtocol::Ot(activation) => {
                let it = Comparison { op: &op, activation };
                let elements = own.elements;
                compared::here(compared::server::online(phase, it, elements, tensors)).await?;
            }
            OpProtocol::Reveal => reveal::server(phase, &op, tensors).await?,
        }
    }
    Ok(())
}

/// Answers a plan request whose header was read.
async fn send_plan<IO: Read + Write>(ch: &mut Channel<IO>, plan: &Plan<'_>) -> Result<()> {
    let mut version = [0; 2];
    ch.get(&mut version).await?;
    ch.finish().await?;
    if u16::from_le_bytes(version) != VERSION {
        return Err(Error::Version);
    }
    ch.begin(Tag::Plan, plan.len_bytes() as u64).await?;
    let (content, digest) = plan.bytes();
    ch.put(content).await?;
    ch.put(digest).await?;
    ch.end().await?;
    ch.restart();
    Ok(())
}
