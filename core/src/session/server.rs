//! The server: holds a network, learns nothing of the input.

use super::channel::{Channel, Traffic};
use super::compared::OpContext;
use super::garbled::{self, Garbling, Send};
use super::keys::{op_instance, session_key};
use super::layout::{OpSlices, ServerMemory, ServerOnline, ServerRegions, padded_ots};
use super::pairing::{self, Pairing, PairingState, Party};
use super::prepared::{Prepared, tile};
use super::setup::{self, Secrets};
use super::triplets::{self, EvaluateLayer};
use super::{Options, Tables, compared, products};
use crate::block::Block;
use crate::compare::OtActivation;
use crate::cost::{
    corrections_bytes, labels_bytes, late_corrections_bytes, opening_bytes, server_message_bytes,
    tables_bytes,
};
use crate::error::{Error, Result};
use crate::handshake::{HELLO_BYTES, Hello, WELCOME_BYTES};
use crate::hash::Tmmo;
use crate::lattice::PublicKey;
use crate::memory::{Space, wipe, wipe_first};
use crate::ot::{GROUP, Leaves, Receiver, Renewable, Sender};
use crate::params::VERSION;
use crate::plan::circuit::NonlinearCost;
use crate::plan::{Op, Plan};
use crate::ring::Modulus;
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
    stocks: u64,
    remaining: u32,
    closed: bool,
}

impl<IO> Server<'_, IO> {
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

    /// As [`Server::open`], with the pairing_state in the session.
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

    /// Handshake, and set-up unless pairing_state and key hold a pairing already. They do in the end.
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
        let secrets = Secrets::new(seed);
        match Self::set_up(&mut ch, plan, &options, &secrets, leaves, key, memory, pairing_state)
            .await
        {
            Ok((hash, sender, key)) => {
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

    #[expect(clippy::too_many_arguments, reason = "each is a different thing")]
    async fn set_up(
        ch: &mut Channel<IO>,
        plan: &Plan<'_>,
        options: &Options,
        secrets: &Secrets,
        leaves: &'a mut [Block],
        key: &'a mut [i32],
        scratch: &mut [u8],
        pairing_state: &mut [Block],
    ) -> Result<(Tmmo, Sender<'a>, PublicKey<'a>)> {
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
        let pairing = pairing_state.first().copied().filter(|&id| id != 0);
        if hello.pairing != pairing.map(Block::to_le_bytes) {
            return Err(Error::UnknownPairing);
        }
        let mut welcome = [0; WELCOME_BYTES];
        let (version, nonce) = welcome.split_first_chunk_mut::<2>().ok_or(Error::Internal)?;
        *version = VERSION.to_le_bytes();
        secrets.labels.stream(Domain::Mask, 0).fill(nonce);
        let session =
            session_key(pairing, &hello.nonce, nonce.first_chunk().ok_or(Error::Internal)?, digest);
        let hash = Tmmo::new(session);
        ch.send(Tag::Welcome, &welcome).await?;
        if pairing.is_some() {
            let (sender, key) =
                setup::resume_server(&hash, options.repetition, leaves, key, pairing_state)?;
            return Ok((hash, sender, key));
        }
        let (sender, key) = setup::server(
            ch,
            scratch,
            secrets,
            &hash,
            options.repetition,
            leaves,
            key,
            pairing_state,
        )
        .await?;
        if let Some(id) = pairing_state.first_mut() {
            *id = session;
        }
        Ok((hash, sender, key))
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
    /// Link and peer errors; after one, the session has ended.
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

    async fn offline(&mut self) -> Result<()> {
        let Self {
            ch,
            prepared,
            options,
            secrets,
            hash,
            own_labels,
            sender,
            backward,
            workers,
            key,
            memory,
            stocks,
            ..
        } = self;
        let ServerMemory { labels, decode, masks, products, compared: elements, scratch, .. } =
            memory;
        let plan = prepared.model().plan();
        let stock = options.stock as usize;
        let first = *stocks * stock as u64;
        let seed = secrets.later.derive(*stocks);

        let mut random = seed.stream(Domain::Mask, 0);
        let mut masks = &mut masks[..];
        for (number, (op, at)) in plan.ops().filter(Op::is_linear).zip(0..).enumerate() {
            let tile = tile(&op, options)?;
            let ring = Modulus::Bits(tile.ring);
            let own = masks.split_off_mut(..stock * tile.outputs()).ok_or(Error::Internal)?;
            for u in own.iter_mut() {
                *u = ring.reduce(random.next_u64());
            }
            let seed = seed.derive(number as u64 + 1);
            let evaluate = EvaluateLayer {
                key,
                seed: &seed,
                tile,
                weights: prepared.layer(at)?,
                masks: own,
                workers: *workers,
            };
            triplets::server(ch, scratch, &evaluate).await?;
        }

        let mut space = Space::carve(scratch)?;
        let base: &mut [[Block; 2]] = space.take(compared::base_ots(plan, options))?;
        let workspace = space.into_rest();
        let corrections = corrections_bytes(plan, options);
        if corrections > 0 {
            ch.expect(Tag::Corrections, corrections).await?;
            #[cfg(feature = "compare")]
            if !base.is_empty() {
                let scratch =
                    compared::Scratch::take(&mut Space::carve(workspace)?, plan, options)?;
                compared::server_base(
                    ch,
                    scratch,
                    options,
                    sender,
                    backward,
                    hash,
                    (&seed, *stocks),
                    base,
                )
                .await?;
            }
            let mut labels = &mut labels[..];
            let mut elements = OpSlices::new(elements, options, 0, 0);
            let stored = (0..stock).filter(|_| options.tables == Tables::Stored);
            for prediction in stored {
                for (number, op) in plan.ops().enumerate() {
                    #[cfg(feature = "compare")]
                    if let Some(compared) = OtActivation::of(&op, options) {
                        let layer = OpContext {
                            op: &op,
                            compared: &compared,
                            layer: op_instance(first + prediction as u64, number),
                            hash,
                            options,
                            plan,
                        };
                        layer
                            .server_forward(ch, workspace, sender, elements.take(compared.len())?)
                            .await?;
                        continue;
                    }
                    let own = labels
                        .split_off_mut(..NonlinearCost::with_options(&op, options).groups() * GROUP)
                        .ok_or(Error::Internal)?;
                    garbled::extend_server(ch, workspace, options, sender, own).await?;
                }
            }
            ch.finish().await?;
        }

        let tables = tables_bytes(plan, options);
        if tables > 0 {
            ch.begin(Tag::Tables, tables).await?;
            ch.put(bytemuck::cast_slice(base)).await?;
            let (mut labels, mut decode, mut products) =
                (&labels[..], &mut decode[..], &mut products[..]);
            let mut elements = OpSlices::new(elements, options, 0, 0);
            let stored = (0..stock).filter(|_| options.tables == Tables::Stored);
            for prediction in stored {
                for (number, op) in plan.ops().enumerate() {
                    #[cfg(feature = "compare")]
                    if let Some(compared) = OtActivation::of(&op, options) {
                        let layer = OpContext {
                            op: &op,
                            compared: &compared,
                            layer: op_instance(first + prediction as u64, number),
                            hash,
                            options,
                            plan,
                        };
                        let random = (&compared::choices(&seed, number), prediction);
                        layer
                            .server_backward(
                                ch,
                                workspace,
                                backward.half()?,
                                random,
                                elements.take(compared.len())?,
                            )
                            .await?;
                        continue;
                    }
                    let counts = NonlinearCost::with_options(&op, options);
                    let own = labels.split_off(..counts.groups() * GROUP).ok_or(Error::Internal)?;
                    let layer = op_instance(first + prediction as u64, number);
                    if counts.products > 0 {
                        let ring = Modulus::Bits(op.input().0);
                        let keep =
                            products.split_off_mut(..counts.products).ok_or(Error::Internal)?;
                        products::server(
                            ch,
                            ring,
                            &counts,
                            layer,
                            hash,
                            sender.delta(),
                            own,
                            &mut random,
                            keep,
                        )
                        .await?;
                    } else if counts.neurons > 0 {
                        let decode =
                            decode.split_off_mut(..counts.neurons).ok_or(Error::Internal)?;
                        let garbling = Garbling {
                            session: hash,
                            secret: own_labels,
                            delta: sender.delta(),
                            layer,
                        };
                        garbled::send(
                            ch,
                            workspace,
                            &op,
                            &garbling,
                            own,
                            decode,
                            Send { tables: true, shares: None },
                        )
                        .await?;
                    }
                }
            }
            ch.end().await?;
            ch.flush().await?;
        }
        wipe_first(
            ServerMemory::offline_scratch(
                TargetProfile::THIS,
                plan,
                options,
                prepared.footprint(),
            )?,
            scratch,
        );
        Ok(())
    }

    async fn online(&mut self, index: usize) -> Result<()> {
        let Self {
            ch,
            prepared,
            options,
            secrets,
            hash,
            own_labels,
            sender,
            backward,
            memory,
            stocks,
            ..
        } = self;
        let ServerMemory { labels, decode, masks, products, compared: elements, scratch, .. } =
            memory;
        let model = prepared.model();
        let plan = model.plan();
        let stock = options.stock as usize;
        let prediction = (*stocks - 1) * u64::from(options.stock) + index as u64;
        let mut space = Space::carve(scratch)?;
        let ServerOnline { tensors, labels: fresh, workspace, decode: fresh_decode } =
            ServerOnline::take(&mut space, plan, options)?;
        let used = space.used();

        let (ring, len) = (u32::from(plan.input_ring()), plan.header().input_len as usize);
        let mut slots = tensors.iter_mut();
        ch.get_values(len, ring, |_, x| {
            *slots.next().ok_or(Error::Internal)? = x;
            Ok(())
        })
        .await?;
        ch.finish().await?;

        let ots = padded_ots(plan, options);
        let labels = if options.tables == Tables::Streamed { fresh } else { &mut **labels };
        let mut labels = OpSlices::new(labels, options, index, ots);
        let neurons: usize =
            plan.ops().map(|op| NonlinearCost::with_options(&op, options).neurons).sum();
        let mut decode = match options.tables {
            Tables::Stored => {
                decode.get_mut(index * neurons..(index + 1) * neurons).ok_or(Error::Internal)?
            }
            Tables::Streamed => &mut [],
        };
        let per: usize =
            plan.ops().map(|op| NonlinearCost::with_options(&op, options).products).sum();
        let mut products = OpSlices::new(products, options, index, per);
        let mut elements =
            OpSlices::new(elements, options, index, compared::elements(plan, options));
        // Factors of products that are made now.
        let mut random =
            secrets.later.derive(*stocks - 1).derive(0).stream(Domain::Mask, index as u64);
        let mut masks = &masks[..];
        let mut layers = model.layers();
        for step in plan.steps() {
            let op = step.op;
            let (ring, ring_out) = (Modulus::Bits(op.input().0), Modulus::Bits(op.output().0));
            let (len, len_out) = (op.input().1 as usize, op.output().1 as usize);
            let counts = NonlinearCost::with_options(&op, options);
            let own = labels.take(counts.groups() * GROUP)?;
            #[cfg(feature = "compare")]
            if let Some(compared) = OtActivation::of(&op, options) {
                let layer = OpContext {
                    op: &op,
                    compared: &compared,
                    layer: op_instance(prediction, step.number),
                    hash,
                    options,
                    plan,
                };
                let elements = elements.take(compared.len())?;
                let share = |e: usize| tensors.get(step.from + e).map_or(0, |&x| ring.reduce(x));
                let streamed = options.tables == Tables::Streamed;
                if streamed {
                    ch.expect(Tag::Corrections, late_corrections_bytes(&op, options)).await?;
                    layer.server_forward(ch, workspace, sender, elements).await?;
                    ch.finish().await?;
                }
                for stage in compared.stages() {
                    for message in 0..stage.protocol.rounds() {
                        ch.begin(Tag::Compare, server_message_bytes(&op, &stage, message, options))
                            .await?;
                        if streamed && stage.first == 0 && message == 0 {
                            let seed =
                                compared::choices(&secrets.later.derive(*stocks - 1), step.number);
                            layer
                                .server_backward(
                                    ch,
                                    workspace,
                                    backward.half()?,
                                    (&seed, index),
                                    elements,
                                )
                                .await?;
                        }
                        layer
                            .server_send(ch, workspace, (&stage, message), elements, share)
                            .await?;
                        ch.end().await?;
                        let [_, bytes] = stage.message_bytes(message);
                        ch.expect(Tag::Compare, bytes).await?;
                        layer
                            .server_receive(ch, workspace, (&stage, message), elements, share)
                            .await?;
                        ch.finish().await?;
                    }
                }
                if op.is_output() {
                    let own = elements.last().map_or(0, |element| element.result);
                    ch.begin(Tag::Output, compared.answer_bytes()).await?;
                    ch.put_values(1, compared.answer_bits(), |_| own).await?;
                    ch.end().await?;
                } else {
                    let results = elements.iter().skip(elements.len().saturating_sub(len_out));
                    let y = tensors.iter_mut().skip(step.to);
                    y.zip(results).for_each(|(y, element)| *y = element.result);
                }
                continue;
            }
            if late_corrections_bytes(&op, options) > 0 {
                ch.expect(Tag::Corrections, late_corrections_bytes(&op, options)).await?;
                garbled::extend_server(ch, workspace, options, sender, own).await?;
                ch.finish().await?;
            }
            let layer_of = if op.has_parameters() {
                Some(layers.next().ok_or(Error::Internal)?)
            } else {
                None
            };
            match op {
                Op::FullyConnected { .. } | Op::Convolution { .. } => {
                    let (x, y) = step.split(tensors)?;
                    layer_of.ok_or(Error::Internal)?.apply(x, y)?;
                    let all = masks.split_off(..stock * len_out).ok_or(Error::Internal)?;
                    for (y, &u) in y.iter_mut().zip(all.iter().skip(index * len_out)) {
                        *y = ring.add(*y, u);
                    }
                }
                Op::SumPool { .. } | Op::StridedAdd { .. } | Op::Offset { .. } => {
                    step.compute(tensors)?;
                    if let Some(constants) = layer_of {
                        constants.add_biases(step.split(tensors)?.1)?;
                    }
                }
                Op::Activation { .. } | Op::MaxPool { .. } | Op::Argmax { .. } => {
                    let decode = match options.tables {
                        Tables::Stored => {
                            decode.split_off_mut(..counts.neurons).ok_or(Error::Internal)?
                        }
                        Tables::Streamed => {
                            fresh_decode.get_mut(..counts.neurons).ok_or(Error::Internal)?
                        }
                    };
                    let layer = op_instance(prediction, step.number);
                    let garbling = Garbling {
                        session: hash,
                        secret: own_labels,
                        delta: sender.delta(),
                        layer,
                    };
                    let x = tensors.get(step.from..step.from + len).ok_or(Error::Internal)?;
                    let what = Send { tables: options.tables == Tables::Streamed, shares: Some(x) };
                    ch.begin(Tag::Labels, labels_bytes(&op, options)).await?;
                    garbled::send(ch, workspace, &op, &garbling, own, decode, what).await?;
                    ch.end().await?;
                    if !op.is_output() {
                        let y =
                            tensors.get_mut(step.to..step.to + len_out).ok_or(Error::Internal)?;
                        ch.expect(Tag::Colours, packed_len(len_out as u64, counts.colour_bits))
                            .await?;
                        let constant = ring_out.from_signed(op.constant());
                        let mut slots = y.iter_mut().zip(decode.iter());
                        ch.get_values(len_out, ring_out.bits(), |_, colours| {
                            let (y, &decode) = slots.next().ok_or(Error::Internal)?;
                            *y = ring_out.add(colours ^ decode, constant);
                            Ok(())
                        })
                        .await?;
                        ch.finish().await?;
                    }
                }
                Op::Square { .. } | Op::Product { .. } => {
                    ch.begin(Tag::Opening, opening_bytes(&op, options)).await?;
                    let keep = products.take(counts.products)?;
                    if options.tables == Tables::Streamed {
                        let layer = op_instance(prediction, step.number);
                        products::server(
                            ch,
                            ring,
                            &counts,
                            layer,
                            hash,
                            sender.delta(),
                            own,
                            &mut random,
                            keep,
                        )
                        .await?;
                    }
                    products::server_online(ch, ring, &step, keep, tensors).await?;
                }
                Op::Reveal { .. } => {
                    let x = tensors.get(step.from..step.from + len).ok_or(Error::Internal)?;
                    ch.begin(Tag::Output, packed_len(len as u64, ring.bits())).await?;
                    ch.put_values(len, ring.bits(), |i| x.get(i).map_or(0, |&x| ring.reduce(x)))
                        .await?;
                    ch.end().await?;
                }
            }
        }
        wipe_first(used, scratch);
        ch.flush().await
    }
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
