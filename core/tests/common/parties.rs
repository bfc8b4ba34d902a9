//! Two sans-IO engines in memory, and what goes over the wire between them, frame by frame.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use crate::common::Memory;
use minionn_core::model::Model;
use minionn_core::plan::Plan;
use minionn_core::rng::{KnownSeed, Seed};
use minionn_core::session::engine::{Buffers, ClientEngine, ServerEngine, Status};
use minionn_core::session::{
    CLIENT_PAIRING_BYTES, Options, Pairing, Prepared, SERVER_PAIRING_BYTES, prepared_memory,
};
use minionn_core::wire::{Checksum, HEADER, OVERHEAD, TRAILER, Tag};
use minionn_core::{Error, Result};

/// The client's randomness in every test.
pub const CLIENT_SEED: [u8; 32] = [1; 32];
/// The server's.
pub const SERVER_SEED: [u8; 32] = [2; 32];

/// A frame as it travels: header, payload, checksum.
pub type Frame = Vec<u8>;

/// The payload of a frame.
pub fn payload(frame: &[u8]) -> &[u8] {
    &frame[HEADER..frame.len() - TRAILER]
}

/// The first frame of this kind.
pub fn find(frames: &[Frame], tag: Tag) -> &Frame {
    frames.iter().find(|f| f[0] == tag as u8).unwrap()
}

/// Cuts a byte stream into its frames.
pub fn frames(mut bytes: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let length = u32::from_le_bytes(bytes[1..HEADER].try_into().unwrap()) as usize;
        let (frame, rest) = bytes.split_at(length + OVERHEAD);
        frames.push(frame.to_vec());
        bytes = rest;
    }
    frames
}

/// The well-formed frame of this number in its direction.
pub fn frame(number: usize, tag: u8, payload: &[u8]) -> Frame {
    let mut frame = vec![tag];
    frame.extend((payload.len() as u32).to_le_bytes());
    frame.extend(payload);
    let mut checksum = Checksum::of_frame(number as u64);
    checksum.update(&frame);
    frame.extend(checksum.finish());
    frame
}

/// Both halves of a pairing, exported: the client's, the server's.
pub type Halves = [Vec<u8>; 2];

/// A model, prepared.
pub struct Served<'m> {
    pub prepared: Prepared<'m>,
    pub plan: Plan<'m>,
    pub options: Options,
    /// What sessions go on with, instead of a set-up.
    pub pairing: Option<Halves>,
}

/// Prepares a model for `options`.
pub fn serve<T>(net: &[u8], options: Options, run: impl FnOnce(&Served<'_>) -> T) -> T {
    serve_with(net, options, None, run)
}

/// As [`serve`], for sessions that go on with a pairing.
pub fn serve_with<T>(
    net: &[u8],
    options: Options,
    pairing: Option<Halves>,
    run: impl FnOnce(&Served<'_>) -> T,
) -> T {
    let model = Model::parse(net).unwrap();
    let plan = *model.plan();
    let mut weights = Memory::new(prepared_memory(&plan, options.stock).unwrap());
    let prepared = Prepared::new(model, options.stock, weights.bytes()).unwrap();
    run(&Served { prepared, plan, options, pairing })
}

/// Both halves of the pairing that a set-up with these options and seeds makes; which network it is
/// for does not matter.
pub fn pair(options: Options, client: [u8; 32], server: [u8; 32]) -> Halves {
    serve(&crate::common::relu_net(), options, |served| {
        served.parties_of(client, server, |p| p.export())
    })
}

impl Served<'_> {
    /// Runs `run` on a fresh client.
    pub fn client<T>(&self, seed: [u8; 32], run: impl FnOnce(&mut ClientEngine<'_>) -> T) -> T {
        let (buffers, seed) = (Buffers::default(), Seed(seed));
        let mut memory =
            Memory::new(ClientEngine::memory(&self.plan, &self.options, buffers).unwrap());
        let mut client = match &self.pairing {
            None => ClientEngine::new(
                self.plan,
                self.options,
                buffers,
                memory.bytes(),
                &mut KnownSeed::new(seed),
            ),
            Some([own, _]) => ClientEngine::resume(
                self.plan,
                self.options,
                buffers,
                memory.bytes(),
                &mut KnownSeed::new(seed),
                &Pairing::parse(own).unwrap(),
            ),
        };
        run(client.as_mut().unwrap())
    }

    /// Runs `run` on a fresh server.
    pub fn server<T>(&self, seed: [u8; 32], run: impl FnOnce(&mut ServerEngine<'_>) -> T) -> T {
        let (buffers, seed) = (Buffers::default(), Seed(seed));
        let mut memory =
            Memory::new(ServerEngine::memory(&self.plan, &self.options, buffers).unwrap());
        let mut server = match &self.pairing {
            None => ServerEngine::new(
                &self.prepared,
                self.options,
                buffers,
                memory.bytes(),
                &mut KnownSeed::new(seed),
            ),
            Some([_, own]) => ServerEngine::resume(
                &self.prepared,
                self.options,
                buffers,
                memory.bytes(),
                &mut KnownSeed::new(seed),
                &Pairing::parse(own).unwrap(),
            ),
        };
        run(server.as_mut().unwrap())
    }

    /// Runs `run` on both parties.
    pub fn parties<T>(&self, run: impl FnOnce(&mut Parties<'_, '_, '_>) -> T) -> T {
        self.parties_of(CLIENT_SEED, SERVER_SEED, run)
    }

    /// Runs `run` on both parties with these seeds.
    pub fn parties_of<T>(
        &self,
        client: [u8; 32],
        server: [u8; 32],
        run: impl FnOnce(&mut Parties<'_, '_, '_>) -> T,
    ) -> T {
        self.client(client, |client| {
            self.server(server, move |server| {
                run(&mut Parties { client, server, up: vec![], down: vec![] })
            })
        })
    }
}

/// Both parties and all bytes that went over the wire.
pub struct Parties<'p, 'c, 's> {
    pub client: &'p mut ClientEngine<'c>,
    pub server: &'p mut ServerEngine<'s>,
    /// From client to server.
    pub up: Vec<u8>,
    /// From server to client.
    pub down: Vec<u8>,
}

impl Parties<'_, '_, '_> {
    /// Moves bytes until nothing moves. Returns what the client says, or the first error of either.
    pub fn settle(&mut self) -> Result<Status> {
        let mut buffer = vec![0; 1 << 16];
        loop {
            let status = self.client.poll()?;
            let up = self.client.drain(&mut buffer);
            self.up.extend(&buffer[..up]);
            assert_eq!(self.server.feed(&buffer[..up]), up);
            self.server.poll()?;
            let down = self.server.drain(&mut buffer);
            self.down.extend(&buffer[..down]);
            assert_eq!(self.client.feed(&buffer[..down]), down);
            if up + down == 0 && status != Status::Busy {
                return Ok(status);
            }
            assert!(up + down > 0 || self.client.poll()? != Status::Busy, "both wait");
        }
    }

    /// Set-up, then one stock.
    pub fn prepare(&mut self) {
        self.settle().unwrap();
        self.client.prepare().unwrap();
        assert_eq!(self.settle(), Ok(Status::Idle));
    }

    /// Both halves of the pairing.
    pub fn export(&mut self) -> Halves {
        self.settle().unwrap();
        let mut halves = [vec![0; CLIENT_PAIRING_BYTES], vec![0; SERVER_PAIRING_BYTES]];
        assert_eq!(self.client.export(&mut halves[0]), Ok(CLIENT_PAIRING_BYTES));
        assert_eq!(self.settle(), Ok(Status::Idle));
        assert!(self.server.keep_asked());
        assert_eq!(self.server.export(&mut halves[1]), Ok(SERVER_PAIRING_BYTES));
        halves
    }

    /// One prediction.
    pub fn predict(&mut self, x: &[i64]) -> (usize, Vec<i64>) {
        self.client.predict_quantised(x).unwrap();
        assert_eq!(self.settle(), Ok(Status::Idle));
        let plan = self.client.plan();
        let mut out = vec![0; if plan.is_argmax() { 0 } else { plan.header().output_len as usize }];
        (self.client.answer(&mut out).unwrap(), out)
    }
}

/// What a client is told to do, in order.
#[derive(Clone, Debug)]
pub enum Step {
    Prepare,
    Predict(Vec<i64>),
    Export,
    Close,
}

/// How a lone engine ended: its last status or its error.
pub type End = Result<Status>;

/// Feeds a client with `bytes`, then with the end of input. It is told each of `steps` when idle.
pub fn feed_client(client: &mut ClientEngine<'_>, steps: &[Step], mut bytes: &[u8]) -> End {
    let mut steps = steps.iter();
    let mut sink = vec![0; 1 << 16];
    // Bounded by the work that an honest peer causes: an engine that neither ends nor moves hangs.
    for _ in 0..100_000 {
        let status = client.poll()?;
        let drained = client.drain(&mut sink);
        if status == Status::Closed {
            return Ok(status);
        }
        if status == Status::Idle {
            match steps.next() {
                Some(Step::Prepare) => client.prepare()?,
                Some(Step::Predict(x)) => client.predict_quantised(x)?,
                Some(Step::Export) => drop(client.export(&mut [0; CLIENT_PAIRING_BYTES])?),
                Some(Step::Close) => client.close()?,
                None => return Ok(Status::Idle),
            }
            continue;
        }
        let fed = client.feed(&bytes[..bytes.len().min(5000)]);
        bytes = &bytes[fed..];
        if bytes.is_empty() {
            client.end_of_input();
        }
        assert!(fed + drained > 0 || client.poll() != Ok(Status::Busy), "a client hangs");
    }
    panic!("a client never ends");
}

/// Feeds a server with `bytes`, then with the end of input.
pub fn feed_server(server: &mut ServerEngine<'_>, mut bytes: &[u8]) -> End {
    let mut sink = vec![0; 1 << 16];
    for _ in 0..100_000 {
        let status = server.poll()?;
        let drained = server.drain(&mut sink);
        if status == Status::Closed {
            return Ok(status);
        }
        let fed = server.feed(&bytes[..bytes.len().min(5000)]);
        bytes = &bytes[fed..];
        if bytes.is_empty() {
            server.end_of_input();
        }
        assert!(fed + drained > 0 || server.poll() != Ok(Status::Busy), "a server hangs");
    }
    panic!("a server never ends");
}

/// Whether an error says that the link or the peer is at fault.
pub fn blames_the_peer(error: Error) -> bool {
    (100..200).contains(&error.code())
}
