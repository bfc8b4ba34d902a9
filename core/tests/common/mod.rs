//! Two parties in memory, and small networks to run them on.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

pub mod graph;
#[path = "../../../tests/common/seed.rs"]
mod seed;
use seed::seed;

use minionn_core::compare::OtActivation;
use minionn_core::cost;
use minionn_core::memory::ALIGN;
use minionn_core::model::Model;
use minionn_core::plan::{
    Convolution, Function, Header, MAX_PIECES, Node, Op, Parity, PiecewiseLinear, Plan,
    Quantisation, View,
};
use minionn_core::rng::{Domain, KnownSeed, Prg, Seed};
use minionn_core::session::blocking::{Blocking, run};
use minionn_core::session::{
    Client, Event, Options, Prepared, Server, SliceStore, Traffic, client_memory, prepared_memory,
    server_memory,
};
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex};

/// One direction of a link.
#[derive(Default)]
struct Direction {
    bytes: Mutex<(VecDeque<u8>, bool)>,
    more: Condvar,
}

/// One end of a blocking in-memory link.
pub struct Link {
    to: Arc<Direction>,
    from: Arc<Direction>,
}

/// Both ends.
pub fn link() -> (Link, Link) {
    let (a, b) = (Arc::new(Direction::default()), Arc::new(Direction::default()));
    (Link { to: a.clone(), from: b.clone() }, Link { to: b, from: a })
}

impl Drop for Link {
    fn drop(&mut self) {
        self.to.bytes.lock().unwrap().1 = true;
        self.to.more.notify_all();
    }
}

#[derive(Debug)]
pub struct LinkError;
impl core::fmt::Display for LinkError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("link error")
    }
}
impl core::error::Error for LinkError {}
impl embedded_io::Error for LinkError {
    fn kind(&self) -> embedded_io::ErrorKind {
        embedded_io::ErrorKind::Other
    }
}
impl embedded_io::ErrorType for Link {
    type Error = LinkError;
}
impl embedded_io::Read for Link {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, LinkError> {
        let mut guard = self.from.bytes.lock().unwrap();
        while guard.0.is_empty() && !guard.1 {
            guard = self.from.more.wait(guard).unwrap();
        }
        let n = buf.len().min(guard.0.len());
        for (slot, byte) in buf.iter_mut().zip(guard.0.drain(..n)) {
            *slot = byte;
        }
        Ok(n)
    }
}
impl embedded_io::Write for Link {
    fn write(&mut self, buf: &[u8]) -> Result<usize, LinkError> {
        self.to.bytes.lock().unwrap().0.extend(buf);
        self.to.more.notify_all();
        Ok(buf.len())
    }
    fn flush(&mut self) -> Result<(), LinkError> {
        Ok(())
    }
}

/// Aligned memory of exactly `len` bytes.
pub struct Memory(Vec<u128>, usize);

impl Memory {
    pub fn new(len: usize) -> Self {
        Self(vec![0xa5a5_a5a5_a5a5_a5a5_a5a5_a5a5_a5a5_a5a5; len.div_ceil(ALIGN)], len)
    }
    pub fn bytes(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.0)[..self.1]
    }
}

/// A small deterministic generator for tests.
pub struct Lcg(pub u64);
impl Lcg {
    /// For samples that need not be the same every day.
    pub fn seeded(own: u64) -> Self {
        Self(seed(own))
    }
    pub fn next(&mut self) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }
    pub fn below(&mut self, n: u64) -> u64 {
        ((self.next() << 31) | self.next()) % n
    }
}

/// The bytes of a model with these operations and pseudo-random weights.
pub fn model(input_len: u32, ops: &[Op], seed: u64) -> Vec<u8> {
    graph(input_len, &ops.iter().map(Node::from).collect::<Vec<_>>(), seed)
}

/// The same of operations that say what they read.
pub fn graph(input_len: u32, nodes: &[Node], seed: u64) -> Vec<u8> {
    let header = Header {
        input_len,
        output_len: nodes.last().unwrap().op.output().1,
        input: Quantisation { scale: 1.0, min: -100, max: 100 },
        output_scale: 1.0,
        name: *b"test\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
    };
    let mut plan = vec![0; minionn_core::plan::MAX_BYTES];
    let n =
        Plan::write(&header, nodes, &mut plan).unwrap_or_else(|error| panic!("{error}: {nodes:?}"));
    plan.truncate(n);
    let layers: Vec<Op> = nodes.iter().map(|node| node.op).filter(Op::has_parameters).collect();
    let weight = |l: usize, i: usize, j: usize| {
        let (_, weight_bits, geometry) = layers[l].linear().unwrap();
        let fan_in = geometry.unwrap().layer().fan_in();
        let mut g = Lcg(seed ^ ((l as u64) << 50) ^ (i as u64 * fan_in + j as u64));
        g.next();
        g.below(1 << weight_bits) as i64 - (1 << (weight_bits - 1))
    };
    let mut bytes = vec![0; Model::len_bytes(&Plan::parse(&plan).unwrap())];
    Model::write(&plan, weight, |l, i| (l as i64 + 1) * (i as i64 - 3), &mut bytes).unwrap();
    bytes
}

/// ReLU network 20-12-5 that opens its logits.
pub fn relu_net() -> Vec<u8> {
    model(
        20,
        &[
            Op::FullyConnected { ring: 20, weight_bits: 8, inputs: 20, outputs: 12 },
            Op::Activation {
                function: Function::Relu,
                ring_in: 20,
                ring_out: 19,
                shift: 7,
                len: 12,
            },
            Op::FullyConnected { ring: 19, weight_bits: 6, inputs: 12, outputs: 5 },
            Op::Reveal { ring: 19, len: 5 },
        ],
        1,
    )
}

/// Square network 20-9-9-4, argmax.
pub fn square_net() -> Vec<u8> {
    model(
        20,
        &[
            Op::FullyConnected { ring: 21, weight_bits: 8, inputs: 20, outputs: 9 },
            Op::Activation {
                function: Function::Identity,
                ring_in: 21,
                ring_out: 30,
                shift: 12,
                len: 9,
            },
            Op::Square { ring: 30, len: 9 },
            Op::FullyConnected { ring: 30, weight_bits: 8, inputs: 9, outputs: 9 },
            Op::Activation {
                function: Function::Identity,
                ring_in: 30,
                ring_out: 33,
                shift: 15,
                len: 9,
            },
            Op::Square { ring: 33, len: 9 },
            Op::FullyConnected { ring: 33, weight_bits: 8, inputs: 9, outputs: 4 },
            Op::Argmax { ring: 33, len: 4 },
        ],
        2,
    )
}

/// Two convolutions and a fully connected layer on a 2×9×7 image: stride, padding, dilation,
/// groups.
pub fn convolution_net() -> Vec<u8> {
    let plain = Convolution::fully_connected(1, 1);
    let first = Convolution {
        input: [2, 9, 7],
        outputs: 6,
        kernel: [3, 2],
        stride: [2, 1],
        pads: [1, 0, 1, 1],
        ..plain
    };
    let [h, w] = first.output_size().unwrap();
    let second = Convolution {
        input: [6, h, w],
        outputs: 9,
        kernel: [2, 2],
        dilation: [2, 3],
        groups: 3,
        pads: [1, 0, 0, 2],
        ..plain
    };
    let [h2, w2] = second.output_size().unwrap();
    let (len, len2) = (6 * h * w, 9 * h2 * w2);
    model(
        126,
        &[
            Op::Convolution { ring: 18, weight_bits: 6, layer: first },
            Op::Activation { function: Function::Relu, ring_in: 18, ring_out: 20, shift: 5, len },
            Op::Convolution { ring: 20, weight_bits: 8, layer: second },
            Op::Activation {
                function: Function::Identity,
                ring_in: 20,
                ring_out: 22,
                shift: 6,
                len: len2,
            },
            Op::FullyConnected { ring: 22, weight_bits: 7, inputs: len2, outputs: 5 },
            Op::Reveal { ring: 22, len: 5 },
        ],
        4,
    )
}

/// A spline with pseudo-random pieces.
pub fn spline(
    parity: Parity,
    plus_relu: bool,
    [input_bits, index_bits, shift]: [u8; 3],
    seed: u64,
) -> PiecewiseLinear {
    let mut g = Lcg(seed);
    let mut pieces = |most: u64| {
        let mut all = [0; MAX_PIECES];
        all.iter_mut()
            .take(1 << index_bits)
            .for_each(|x| *x = g.below(2 * most) as i16 - most as i16);
        all
    };
    PiecewiseLinear {
        parity,
        plus_relu,
        input_bits,
        index_bits,
        shift,
        centre: 19,
        offsets: pieces(300),
        slopes: pieces(60),
    }
}

/// Fully connected layers with curves between them: one that stops at its outer knots, one whose
/// pieces go on, one of steps.
pub fn curve_net() -> Vec<u8> {
    let curve = |spline, ring_in, shift, len| Op::Activation {
        function: Function::PiecewiseLinear(spline),
        ring_in,
        ring_out: 18,
        shift,
        len,
    };
    model(
        20,
        &[
            Op::FullyConnected { ring: 20, weight_bits: 8, inputs: 20, outputs: 12 },
            curve(spline(Parity::Odd, false, [8, 3, 6], 1), 20, 3, 12),
            Op::FullyConnected { ring: 18, weight_bits: 6, inputs: 12, outputs: 9 },
            curve(spline(Parity::Even, true, [13, 2, 7], 2), 18, 2, 9),
            Op::FullyConnected { ring: 18, weight_bits: 5, inputs: 9, outputs: 9 },
            curve(spline(Parity::Left, true, [4, 4, 0], 3), 18, 9, 9),
            Op::Reveal { ring: 18, len: 9 },
        ],
        6,
    )
}

/// Convolution, max-pool with padding and overlap fused with ReLU, convolution, sum-pool, fully
/// connected.
pub fn pooling_net() -> Vec<u8> {
    let plain = Convolution::fully_connected(1, 1);
    let first = Convolution { input: [1, 10, 9], outputs: 3, kernel: [3, 3], ..plain };
    let max = Convolution::window([3, 8, 7], [3, 2], [2, 2], [1, 0, 0, 1], [1, 1]);
    let [h, w] = max.output_size().unwrap();
    let second =
        Convolution { input: [3, h, w], outputs: 4, kernel: [2, 2], pads: [1, 1, 0, 0], ..plain };
    let sum = Convolution::window([4, h, w], [2, 2], [2, 2], [0, 0, 1, 1], [1, 1]);
    let [h2, w2] = sum.output_size().unwrap();
    let (last, len) = (4 * h2 * w2, 4 * h * w);
    model(
        90,
        &[
            Op::Convolution { ring: 20, weight_bits: 8, layer: first },
            Op::MaxPool {
                function: Function::Relu,
                ring_in: 20,
                ring_out: 21,
                shift: 6,
                window: max,
            },
            Op::Convolution { ring: 21, weight_bits: 6, layer: second },
            Op::Activation {
                function: Function::Identity,
                ring_in: 21,
                ring_out: 24,
                shift: 4,
                len,
            },
            Op::SumPool { ring: 24, window: sum },
            Op::FullyConnected { ring: 24, weight_bits: 6, inputs: last, outputs: 6 },
            Op::Reveal { ring: 24, len: 6 },
        ],
        5,
    )
}

/// A residual block with a gate, as a graph: every operation that reads two tensors or another than
/// the one before, and every function.
pub fn graph_net() -> Vec<u8> {
    let line = |i: usize| if i < 8 { 40 - 7 * i as i16 } else { 0 };
    let spline = Function::PiecewiseLinear(PiecewiseLinear {
        parity: Parity::Even,
        plus_relu: true,
        input_bits: 9,
        index_bits: 3,
        shift: 5,
        centre: -3,
        offsets: core::array::from_fn(line),
        slopes: core::array::from_fn(|i| line(i) / 2),
    });
    let act = |function, from, also| Node {
        op: Op::Activation { function, ring_in: 20, ring_out: 22, shift: 4, len: 6 },
        from: Some(from),
        also,
    };
    let view =
        View { dims: [1, 1, 2, 3], from: 5, steps: [0, 0, -1, -2], to: 1, strides: [0, 0, 3, 1] };
    let arrange = |onto, inputs, factor, view| Op::StridedAdd {
        ring: 22,
        onto,
        inputs,
        len: 8,
        factor,
        view,
    };
    graph(
        8,
        &[
            Op::FullyConnected { ring: 20, weight_bits: 8, inputs: 8, outputs: 6 }.into(), // 8
            act(spline, 8, 0),                                                             // 14
            act(Function::Leaky { multiplier: 41, bits: 6 }, 8, 0),                        // 20
            act(Function::Clip { lo: -500, hi: 900 }, 8, 0),                               // 26
            Node { op: Op::Product { ring: 22, len: 6 }, from: Some(14), also: 26 },       // 32
            arrange(false, 6, 3, view).into(),                                             // 38
            Node { op: arrange(true, 8, -2, View::whole(8)), from: Some(0), also: 0 },
            Node {
                op: arrange(true, 6, 1, View { strides: [0; 4], ..View::whole(6) }),
                from: Some(20),
                also: 0,
            },
            Op::Offset { ring: 21, channels: 4, len: 8 }.into(), // 46
            Op::FullyConnected { ring: 21, weight_bits: 5, inputs: 8, outputs: 3 }.into(),
            Op::Argmax { ring: 20, len: 3 }.into(),
        ],
        6,
    )
}

/// How many operations of a model are compared in a session with these options: what means to test
/// comparison says that there is some.
pub fn compared(net: &[u8], options: &Options) -> usize {
    let plan = *Model::parse(net).unwrap().plan();
    plan.ops().filter(|op| OtActivation::of(op, options).is_some()).count()
}

/// A stream of bits for samples that need not be the same every day.
pub fn random_bits(own: u8) -> Prg {
    let mut bytes = [own; 32];
    for (byte, chosen) in bytes.iter_mut().zip(seed(0).to_le_bytes()) {
        *byte ^= chosen;
    }
    Seed(bytes).stream(Domain::Mask, 0)
}

/// An input in range.
pub fn input(len: usize, seed: u64) -> Vec<i64> {
    let mut g = Lcg(seed);
    (0..len).map(|_| g.below(201) as i64 - 100).collect()
}

/// The integer model's answer: index and opened tensor.
pub fn expected(model: &Model<'_>, x: &[i64]) -> (usize, Vec<i64>) {
    let mut scratch = vec![0; Model::scratch_len(model.plan())];
    let mut out = vec![0; model.plan().header().output_len as usize];
    let best = model.evaluate(x, &mut scratch, &mut out).unwrap();
    (best, out)
}

/// What a client gets for each input, over a blocking link: the opened tensors.
pub fn private(model: &Model<'_>, options: Options, inputs: &[Vec<i64>]) -> Vec<Vec<i64>> {
    let plan = *model.plan();
    let (client_io, server_io) = link();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut weights = Memory::new(prepared_memory(&plan, options.stock).unwrap());
            let prepared = Prepared::new(*model, options.stock, weights.bytes()).unwrap();
            let mut memory = Memory::new(server_memory(&plan, &options).unwrap());
            let mut server = run(Server::accept(
                Blocking(server_io),
                &prepared,
                options,
                memory.bytes(),
                &mut KnownSeed::new(Seed([7; 32])),
            ))
            .unwrap();
            while run(server.serve()).unwrap() != Event::Closed {}
        });
        let mut tables = vec![0; cost::store_bytes(&plan, &options) as usize];
        let mut memory = Memory::new(client_memory(&plan, &options).unwrap());
        let store = SliceStore::new(&mut tables);
        let mut client = run(Client::connect(
            Blocking(client_io),
            store,
            plan,
            options,
            memory.bytes(),
            &mut KnownSeed::new(Seed([8; 32])),
        ))
        .unwrap();
        let mut answers = Vec::new();
        for x in inputs {
            if client.remaining() == 0 {
                run(client.prepare()).unwrap();
            }
            let mut out = vec![0; plan.header().output_len as usize];
            run(client.predict(x, &mut out)).unwrap();
            answers.push(out);
        }
        run(client.close()).unwrap();
        answers
    })
}

fn phase(p: cost::Phase) -> Traffic {
    Traffic { sent: p.up, received: p.down, rounds: p.rounds }
}

/// Runs `stocks` full stocks in exactly the memory asked for, and checks every answer and every
/// byte count.
pub fn check(bytes: &[u8], options: Options, stocks: usize) {
    let model = Model::parse(bytes).unwrap();
    let plan = *model.plan();
    let (client_io, server_io) = link();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut weights = Memory::new(prepared_memory(&plan, options.stock).unwrap());
            let prepared = Prepared::new(model, options.stock, weights.bytes()).unwrap();
            let mut memory = Memory::new(server_memory(&plan, &options).unwrap());
            let mut server = run(Server::accept(
                Blocking(server_io),
                &prepared,
                options,
                memory.bytes(),
                &mut KnownSeed::new(Seed([7; 32])),
            ))
            .unwrap();
            while run(server.serve()).unwrap() != Event::Closed {}
        });
        let mut tables = vec![0; cost::store_bytes(&plan, &options) as usize];
        let mut memory = Memory::new(client_memory(&plan, &options).unwrap());
        let store = SliceStore::new(&mut tables);
        let mut client = run(Client::connect(
            Blocking(client_io),
            store,
            plan,
            options,
            memory.bytes(),
            &mut KnownSeed::new(Seed([8; 32])),
        ))
        .unwrap();
        assert_eq!(client.traffic(), phase(cost::setup()));
        for stock in 0..stocks {
            let before = client.traffic();
            run(client.prepare()).unwrap();
            assert_eq!(
                client.traffic().since(before),
                phase(cost::offline(&plan, &options).unwrap())
            );
            for prediction in 0..options.stock {
                let x = input(
                    plan.header().input_len as usize,
                    stock as u64 * 1000 + u64::from(prediction),
                );
                let (best, logits) = expected(&model, &x);
                let mut out = vec![0; if plan.is_argmax() { 0 } else { logits.len() }];
                let before = client.traffic();
                assert_eq!(run(client.predict(&x, &mut out)).unwrap(), best);
                assert!(plan.is_argmax() || out == logits, "{out:?} {logits:?}");
                assert_eq!(client.traffic().since(before), phase(cost::online(&plan, &options)));
            }
        }
        run(client.close()).unwrap();
    });
}
