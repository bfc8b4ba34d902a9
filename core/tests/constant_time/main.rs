//! Whole sessions, of which memcheck takes seeds, inputs and weights for not initialised: it tells
//! of every branch and every address that depends on them. `cargo xtask constant-time` runs this.
//!
//! What goes over the wire is everybody's to know: it is declared so when it leaves its party.
//!
//! Without valgrind the sessions run all the same, and nothing is watched. `--planted branch` and
//! `--planted address` leak on purpose: what does not find these finds nothing.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, unreachable_pub)]

#[path = "../common/mod.rs"]
mod common;
mod valgrind;

use common::Memory;
use core::hint::black_box;
use minionn_core::Result;
use minionn_core::model::Model;
use minionn_core::plan::{Convolution, Function, Op};
use minionn_core::rng::{KnownSeed, Seed};
use minionn_core::session::engine::{Buffers, ClientEngine, ServerEngine, Status};
use minionn_core::session::{Activations, Footprint, Options, Prepared, Tables, prepared_memory};
use rand_core::{TryCryptoRng, TryRng};

/// A random source whose one seed is secret.
struct SecretSeed(KnownSeed);

impl SecretSeed {
    fn new(byte: u8) -> Self {
        Self(KnownSeed::new(Seed([byte; 32])))
    }
}

impl TryRng for SecretSeed {
    type Error = minionn_core::Error;
    fn try_next_u32(&mut self) -> Result<u32> {
        self.0.try_next_u32()
    }
    fn try_next_u64(&mut self) -> Result<u64> {
        self.0.try_next_u64()
    }
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<()> {
        self.0.try_fill_bytes(out)?;
        valgrind::secret(out);
        Ok(())
    }
}
impl TryCryptoRng for SecretSeed {}

/// Every protocol in small: a convolution, a pooling, both kinds of functions, a product, the
/// largest of several.
fn network() -> Vec<u8> {
    let plain = Convolution::fully_connected(1, 1);
    let first = Convolution { input: [1, 5, 5], outputs: 2, kernel: [2, 2], ..plain };
    let max = Convolution::window([2, 4, 4], [2, 2], [2, 2], [0; 4], [1, 1]);
    let function = |function, ring_in, ring_out, len| Op::Activation {
        function,
        ring_in,
        ring_out,
        shift: 6,
        len,
    };
    let curve = common::spline(minionn_core::plan::Parity::Odd, false, [8, 3, 6], 1);
    common::model(
        25,
        &[
            Op::Convolution { ring: 20, weight_bits: 8, layer: first },
            Op::MaxPool {
                function: Function::Relu,
                ring_in: 20,
                ring_out: 20,
                shift: 6,
                window: max,
            },
            Op::FullyConnected { ring: 20, weight_bits: 6, inputs: 8, outputs: 4 },
            function(Function::PiecewiseLinear(curve), 20, 18, 4),
            Op::FullyConnected { ring: 18, weight_bits: 5, inputs: 4, outputs: 4 },
            function(Function::Identity, 18, 26, 4),
            Op::Square { ring: 26, len: 4 },
            Op::FullyConnected { ring: 26, weight_bits: 6, inputs: 4, outputs: 4 },
            Op::Argmax { ring: 26, len: 4 },
        ],
        9,
    )
}

/// Both parties; what each sent that depended on secrets, in bytes.
struct Session<'c, 's> {
    client: ClientEngine<'c>,
    server: ServerEngine<'s>,
    sent: [usize; 2],
}

impl Session<'_, '_> {
    /// Moves bytes until nothing moves.
    fn settle(&mut self) {
        let mut buffer = vec![0; 1 << 16];
        loop {
            let status = self.client.poll().unwrap();
            let up = self.client.drain(&mut buffer);
            self.sent[0] += published(&buffer[..up]);
            assert_eq!(self.server.feed(&buffer[..up]), up);
            self.server.poll().unwrap();
            let down = self.server.drain(&mut buffer);
            self.sent[1] += published(&buffer[..down]);
            assert_eq!(self.client.feed(&buffer[..down]), down);
            if up + down == 0 && status != Status::Busy {
                return;
            }
        }
    }
}

/// These bytes are everybody's from now on. How many of them depended on secrets.
fn published(bytes: &[u8]) -> usize {
    let secret = valgrind::secret_bytes(bytes);
    valgrind::public(bytes);
    secret
}

/// One prediction: its answer is the integer model's.
fn session(options: Options, footprint: Footprint) {
    let bytes = network();
    let (model, x) = (Model::parse(&bytes).unwrap(), common::input(25, 3));
    let (plan, (best, _)) = (*model.plan(), common::expected(&model, &x));
    let (inside, _) = plan.bytes();
    let parameters = inside.as_ptr() as usize - bytes.as_ptr() as usize + plan.len_bytes();
    let digest = bytes.len() - 32;
    assert!(parameters + 100 < digest, "weights and biases are between plan and digest");
    valgrind::secret(&bytes[parameters..digest]);
    valgrind::secret(&x);

    let mut weights = Memory::new(prepared_memory(&plan, options.stock).unwrap());
    let prepared = match footprint {
        Footprint::Fast => Prepared::new(model, options.stock, weights.bytes()).unwrap(),
        Footprint::Small => Prepared::small(model, options.stock).unwrap(),
    };
    let buffers = Buffers::default();
    let mut room = [
        ClientEngine::memory(&plan, &options, buffers).unwrap(),
        ServerEngine::memory(&plan, &options, buffers).unwrap(),
    ]
    .map(Memory::new);
    let [client, server] = &mut room;
    let mut session = Session {
        client: ClientEngine::new(
            plan,
            options,
            buffers,
            client.bytes(),
            &mut SecretSeed::new(black_box(1)),
        )
        .unwrap(),
        server: ServerEngine::new(
            &prepared,
            options,
            buffers,
            server.bytes(),
            &mut SecretSeed::new(black_box(2)),
        )
        .unwrap(),
        sent: [0; 2],
    };
    session.settle();
    session.client.prepare().unwrap();
    session.settle();
    session.client.predict_quantised(&x).unwrap();
    session.settle();
    let answer = [session.client.answer(&mut []).unwrap()];
    valgrind::public(&answer);
    assert_eq!(answer, [best]);
    if valgrind::is_here() {
        // A watch that has lost sight of the secrets would be content.
        assert!(session.sent.iter().all(|&bytes| bytes > 50_000), "{:?}", session.sent);
    }
    println!("{options:?}, {footprint:?}: secret bytes sent {:?}", session.sent);
}

/// Leaks one bit of a secret.
fn planted(how: &str) {
    let secret = [1_u8];
    valgrind::secret(&secret);
    // Opaque: else the compiler knows what it is.
    let [secret] = *black_box(&secret);
    match how {
        "branch" => {
            if secret & 1 == 1 {
                println!("a branch");
            }
        }
        "address" => {
            let table = black_box([5_u8; 256]);
            black_box(table[usize::from(secret)]);
        }
        _ => panic!("branch or address"),
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "--planted") {
        return planted(&arguments[at + 1]);
    }
    let watched = if valgrind::is_here() { "watched" } else { "not watched" };
    println!("{watched}");
    let compared = Activations::Compared { log2_bytes_per_round: 0 };
    for (activations, tables, footprint) in [
        (Activations::Garbled, Tables::Stored, Footprint::Fast),
        (compared, Tables::Streamed, Footprint::Small),
    ] {
        session(Options { activations, tables, ..Options::default() }, footprint);
    }
}
