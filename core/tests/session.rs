//! Two parties in memory, blocking: the private prediction equals the integer model, bytes equal
//! the prediction of the plan.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use crate::common;
use crate::parties;

use common::{
    Lcg, Memory, check, convolution_net, curve_net, graph, graph_net, link, pooling_net, relu_net,
    spline, square_net,
};
use minionn_core::Error;
use minionn_core::compare::{DReluTruncate, OtActivation};
use minionn_core::model::Model;
use minionn_core::ot::Repetition;
use minionn_core::plan::tile::Tile;
use minionn_core::plan::{Convolution, Function, Node, Op, Parity};
use minionn_core::rng::{KnownSeed, Seed};
use minionn_core::session::blocking::{Blocking, run};
use minionn_core::session::{
    Activations, Options, Prepared, Server, Tables, prepared_memory, server_memory,
    small_server_memory,
};
use minionn_core::workers::{Executor, Workers};
use parties::{Parties, Served, serve};

#[test]
fn every_mode_equals_the_integer_model() {
    for net in [relu_net(), square_net(), convolution_net(), pooling_net(), graph_net()] {
        for tables in [Tables::Stored, Tables::Streamed] {
            for repetition in Repetition::ALL {
                check(&net, Options { repetition, tables, stock: 1, ..Options::default() }, 2);
            }
        }
    }
}

#[test]
fn stocks_share_ciphertexts() {
    for (stock, tables) in [(3, Tables::Stored), (8, Tables::Streamed)] {
        for net in [relu_net(), square_net(), convolution_net(), pooling_net(), graph_net()] {
            check(&net, Options { stock, tables, ..Options::default() }, 2);
        }
    }
}

/// Every activation that can be is compared.
const COMPARED: Activations = Activations::Compared { log2_bytes_per_round: 0 };

#[test]
fn compared_activations_equal_the_integer_model_in_every_mode() {
    for net in
        [relu_net(), square_net(), convolution_net(), pooling_net(), graph_net(), curve_net()]
    {
        for (tables, stock) in
            [(Tables::Stored, 1), (Tables::Streamed, 1), (Tables::Stored, 3), (Tables::Streamed, 2)]
        {
            for repetition in Repetition::ALL {
                let options = Options { repetition, tables, stock, activations: COMPARED };
                assert!(common::compared(&net, &options) > 0, "{options:?}");
                check(&net, options, 2);
            }
        }
    }
}

/// Layers of one element, of parts of a group, and of more than are made at once.
#[test]
fn compared_layers_of_all_lengths_equal_the_integer_model() {
    for (len, function) in [1, 4, 7, 64, 129, 300]
        .into_iter()
        .flat_map(|len| [(len, Function::Relu), (len, Function::Identity)])
    {
        for (ring_in, shift, ring_out) in
            [(10, 3, 12), (24, 10, 22), (9, 0, 30), (44, 20, 44), (16, 9, 8)]
        {
            let activation = Op::Activation { function, ring_in, shift, ring_out, len };
            let net = common::model(len, &[activation, Op::Reveal { ring: ring_out, len }], 7);
            for tables in [Tables::Stored, Tables::Streamed] {
                let options = Options { tables, activations: COMPARED, ..Options::default() };
                let possible = OtActivation::possible(&activation).is_some();
                assert_eq!(DReluTruncate::of(&activation).is_some(), possible);
                assert!(
                    possible == (function == Function::Relu || shift > 0 || ring_out > ring_in)
                );
                assert!(OtActivation::of(&activation, &options).is_some() == possible || len < 7);
                check(&net, options, 1);
            }
        }
    }
}

/// Bounds of all kinds, of values of all magnitudes: the input is what is activated.
#[test]
fn compared_bounds_equal_the_integer_model() {
    let bounds = [0, 1, 7, 8, 31, 60, 99, 100, 127, 500, 1 << 20, (1 << 43) - 1].map(|hi| (0, hi));
    let others = [
        (-1, 9),
        (-100, -3),
        (-128, 127),
        (-127, 126),
        (5, 90),
        (3, 3),
        (1, 2),
        (-(1 << 43), 50),
        (-77, (1 << 43) - 1),
        (-(1 << 20), 1 << 20),
    ];
    for (lo, hi) in bounds.into_iter().chain(others) {
        for (ring_in, shift, ring_out) in
            [(8, 0, 8), (8, 2, 9), (20, 3, 22), (20, 4, 9), (44, 1, 44)]
        {
            let len = 201;
            let activation = Op::Activation {
                function: Function::Clip { lo, hi },
                ring_in,
                shift,
                ring_out,
                len,
            };
            let net = common::model(len, &[activation, Op::Reveal { ring: ring_out, len }], 7);
            for tables in [Tables::Stored, Tables::Streamed] {
                let options =
                    Options { tables, activations: COMPARED, stock: 2, ..Options::default() };
                let nothing = shift == 0 && ring_out <= ring_in && lo < -127 && hi > 127;
                assert_eq!(
                    OtActivation::possible(&activation).is_none(),
                    nothing,
                    "{activation:?}"
                );
                assert_eq!(common::compared(&net, &options) == 0, nothing, "{activation:?}");
                check(&net, options, 1);
            }
        }
    }
    // What can only be a constant.
    for (lo, hi) in [(1 << 30, 1 << 31), (-(1 << 31), -(1 << 30))] {
        let constant = Op::Activation {
            function: Function::Clip { lo, hi },
            ring_in: 8,
            shift: 1,
            ring_out: 8,
            len: 3,
        };
        assert!(OtActivation::possible(&constant).is_none());
    }
}

/// Two classes and many, with equal values among them, in rings of all widths; what does not fit a
/// ring stays a circuit.
#[test]
fn compared_argmax_equals_the_integer_model() {
    for (ring, len) in [2, 3, 4, 5, 10, 63, 64, 300]
        .into_iter()
        .flat_map(|len| [8, 9, 22, 40, 44].map(|ring| (ring, len)))
    {
        let argmax = Op::Argmax { ring, len };
        let wide = u32::from(ring) + 1 + len.next_power_of_two().trailing_zeros();
        assert_eq!(OtActivation::possible(&argmax).is_some(), wide <= 44, "{argmax:?}");
        let net = common::model(len, &[argmax], 7);
        for (tables, stock) in [(Tables::Stored, 2), (Tables::Streamed, 1)] {
            let options = Options { tables, activations: COMPARED, stock, ..Options::default() };
            assert_eq!(OtActivation::of(&argmax, &options).is_some(), wide <= 44, "{argmax:?}");
            check(&net, options, if len < 10 { 4 } else { 1 });
        }
    }
    assert!(OtActivation::possible(&Op::Argmax { ring: 8, len: 1 }).is_none());
}

/// Slopes of all sizes, from rings that leave room for the product.
#[test]
fn compared_leaky_activations_equal_the_integer_model() {
    for (multiplier, bits) in [
        (1, 1),
        (1, 7),
        (77, 8),
        (255, 8),
        (128, 7),
        (255, 15),
        (1, 15),
        (3, 2),
        (129, 7),
        (3, 1),
        (255, 1),
        (5, 0),
    ] {
        for (ring_in, shift, ring_out) in
            [(10, 0, 10), (9, 2, 12), (20, 3, 22), (20, 4, 9), (36, 11, 20), (36, 1, 44)]
        {
            let len = 201;
            let activation = Op::Activation {
                function: Function::Leaky { multiplier, bits },
                ring_in,
                shift,
                ring_out,
                len,
            };
            let net = common::model(len, &[activation, Op::Reveal { ring: ring_out, len }], 7);
            // A product that is cut off nearly whole stays a circuit.
            let wide = ring_in + (8 - multiplier.leading_zeros() as u8);
            let steep = u32::from(multiplier) > 1 << bits;
            let possible = shift + bits + 2 <= wide && !(steep && shift + bits == 0);
            assert_eq!(OtActivation::possible(&activation).is_some(), possible, "{activation:?}");
            let options = Options { activations: COMPARED, ..Options::default() };
            assert_eq!(
                OtActivation::of(&activation, &options).is_some(),
                possible,
                "{activation:?}"
            );
            for (tables, stock) in [(Tables::Stored, 2), (Tables::Streamed, 1)] {
                check(
                    &net,
                    Options { tables, activations: COMPARED, stock, ..Options::default() },
                    1,
                );
            }
        }
    }
    let wide = Op::Activation {
        function: Function::Leaky { multiplier: 77, bits: 8 },
        ring_in: 38,
        shift: 4,
        ring_out: 20,
        len: 3,
    };
    assert!(OtActivation::possible(&wide).is_none());
}

/// Curves of every parity, with and without a ReLU, that stop at their knots or go beyond, with
/// steps and with all bits of the product, and layers of all lengths: the input is what is
/// activated.
#[test]
fn compared_curves_equal_the_integer_model() {
    let mut seed = 0;
    for (parity, plus_relu) in [Parity::Odd, Parity::Even, Parity::Left]
        .into_iter()
        .flat_map(|parity| [(parity, false), (parity, true)])
    {
        for (bits, ring_in, shift, ring_out) in [
            ([6, 3, 5], 8, 0, 8),
            ([7, 5, 3], 24, 2, 20),
            ([4, 2, 9], 20, 1, 10),
            ([5, 5, 4], 16, 2, 30),
            ([6, 0, 0], 10, 0, 12),
            ([14, 5, 15], 44, 0, 44),
            ([13, 1, 2], 9, 7, 8),
        ] {
            seed += 1;
            let len = [201, 1, 7, 64][seed % 4];
            let function = Function::PiecewiseLinear(spline(parity, plus_relu, bits, seed as u64));
            let activation = Op::Activation { function, ring_in, shift, ring_out, len };
            let net = common::model(len, &[activation, Op::Reveal { ring: ring_out, len }], 7);
            for (tables, stock) in [(Tables::Stored, 2), (Tables::Streamed, 1)] {
                let options =
                    Options { tables, stock, activations: COMPARED, ..Options::default() };
                assert!(
                    OtActivation::of(&activation, &options).is_some() || len == 1,
                    "{activation:?}"
                );
                check(&net, options, 1);
            }
        }
    }
    // One bit that is left is no comparison.
    let function = Function::PiecewiseLinear(spline(Parity::Odd, false, [6, 3, 5], 1));
    assert!(
        OtActivation::possible(&Op::Activation {
            function,
            ring_in: 20,
            shift: 19,
            ring_out: 20,
            len: 3
        })
        .is_none()
    );
}

/// Windows of two elements and of many, odd and even, with padding and overlap, with and without
/// ReLU.
#[test]
fn compared_pooling_windows_equal_the_integer_model() {
    for (size, window, stride, pads) in [
        ([2, 6, 6], [2, 2], [2, 2], [0; 4]),
        ([5, 10, 9], [1, 3], [1, 3], [0; 4]),
        ([1, 9, 8], [3, 3], [2, 1], [1, 0, 0, 1]),
        ([2, 9, 8], [9, 8], [9, 8], [0; 4]),
        ([3, 7, 5], [1, 2], [3, 3], [0; 4]),
    ] {
        let layer = Convolution::window(size, window, stride, pads, [1, 1]);
        let len = size.iter().product();
        let [h, w] = layer.output_size().unwrap();
        for (function, shift, ring_out) in
            [(Function::Relu, 1, 12), (Function::Relu, 0, 12), (Function::Identity, 2, 13)]
        {
            let pool = Op::MaxPool { function, ring_in: 12, ring_out, shift, window: layer };
            let net =
                common::model(len, &[pool, Op::Reveal { ring: ring_out, len: size[0] * h * w }], 7);
            for (tables, stock) in [(Tables::Stored, 2), (Tables::Streamed, 1)] {
                let options =
                    Options { tables, stock, activations: COMPARED, ..Options::default() };
                assert!(OtActivation::of(&pool, &options).is_some(), "{pool:?}");
                check(&net, options, 2);
            }
        }
    }
}

/// Few windows, many, and one of more instances than are made at once.
#[test]
fn pooling_windows_of_all_sizes_equal_the_integer_model() {
    for (size, window) in [([2, 6, 6], [2, 2]), ([5, 10, 9], [1, 3]), ([2, 9, 8], [9, 8])] {
        let layer = Convolution::window(size, window, window, [0; 4], [1, 1]);
        let len = size.iter().product();
        let [h, w] = layer.output_size().unwrap();
        let pool = Op::MaxPool {
            function: Function::Relu,
            ring_in: 12,
            ring_out: 10,
            shift: 1,
            window: layer,
        };
        let net = common::model(len, &[pool, Op::Reveal { ring: 10, len: size[0] * h * w }], 7);
        for tables in [Tables::Stored, Tables::Streamed] {
            check(&net, Options { tables, ..Options::default() }, 2);
        }
    }
}

#[test]
fn graphs_equal_the_integer_model_in_every_mode() {
    let mut g = Lcg::seeded(11);
    for round in 0..60 {
        let net = graph::random(&mut g);
        let tables = if round % 2 == 0 { Tables::Stored } else { Tables::Streamed };
        let repetition = Repetition::ALL[round / 2 % Repetition::ALL.len()];
        check(
            &net,
            Options { repetition, tables, stock: 1 + g.below(3) as u32, ..Options::default() },
            2,
        );
    }
}

#[test]
fn the_input_is_as_wide_as_the_widest_that_reads_it() {
    let narrow =
        Op::Activation { function: Function::Relu, ring_in: 8, ring_out: 30, shift: 1, len: 5 };
    let open = Op::Reveal { ring: 30, len: 5 };
    for (from, also) in [(5, 0), (0, 5)] {
        let product = Node { op: Op::Product { ring: 30, len: 5 }, from: Some(from), also };
        let net = common::graph(5, &[narrow.into(), product, open.into()], 1);
        assert_eq!(Model::parse(&net).unwrap().plan().input_ring(), 30);
        check(&net, Options::default(), 3);
    }
}

/// In the largest stock a ciphertext holds one element of every prediction, and a weight is one
/// number.
#[test]
fn the_largest_stock_multiplies_by_numbers() {
    let stock = minionn_core::session::MAX_STOCK;
    let layer = Op::FullyConnected { ring: 20, weight_bits: 8, inputs: 3, outputs: 4 };
    assert!(Tile::choose(&layer, stock as usize).unwrap().is_scalar());
    let net = common::model(3, &[layer, Op::Reveal { ring: 20, len: 4 }], 5);
    let plan = *Model::parse(&net).unwrap().plan();
    assert_eq!(prepared_memory(&plan, stock).unwrap(), 2 * 4 * 3 * size_of::<i32>(), "two limbs");
    check(&net, Options { stock, tables: Tables::Streamed, ..Options::default() }, 1);
}

/// A number of threads beside the session's own.
struct Threads(usize);

impl Executor for Threads {
    fn run(&self, job: &(dyn Fn() + Sync)) {
        std::thread::scope(|scope| (0..self.0).for_each(|_| drop(scope.spawn(job))));
    }
}

/// However many threads either party has, both say the same, byte for byte.
#[test]
fn threads_change_nothing_on_the_wire() {
    for net in
        [relu_net(), square_net(), convolution_net(), pooling_net(), graph_net(), curve_net()]
    {
        for (stock, tables, repetition, activations) in [
            (9, Tables::Stored, Repetition::K4, Activations::Garbled),
            (1, Tables::Streamed, Repetition::K8, Activations::Garbled),
            (2, Tables::Stored, Repetition::K8, COMPARED),
        ] {
            let options = Options { repetition, tables, stock, activations };
            let x =
                common::input(Model::parse(&net).unwrap().plan().header().input_len as usize, 1);
            let session = |[client, server]: [Workers<'static>; 2]| {
                serve(&net, options, |served| {
                    served.parties(|parties| {
                        parties.client.use_workers(client);
                        parties.server.use_workers(server);
                        parties.prepare();
                        (parties.predict(&x), parties.up.clone(), parties.down.clone())
                    })
                })
            };
            let alone = session([Workers::OWN; 2]);
            for threads in [
                [Workers::lent(&Threads(0)), Workers::lent(&Threads(3))],
                [Workers::lent(&Threads(2)), Workers::OWN],
            ] {
                assert!(session(threads) == alone);
            }
        }
    }
}

/// A server with little memory says the same, byte for byte.
#[test]
fn a_small_server_says_the_same() {
    for net in [relu_net(), square_net(), convolution_net(), pooling_net(), graph_net()] {
        for (stock, tables) in [(1, Tables::Streamed), (3, Tables::Stored)] {
            let (model, options) =
                (Model::parse(&net).unwrap(), Options { stock, tables, ..Options::default() });
            let plan = *model.plan();
            let x = common::input(plan.header().input_len as usize, 1);
            let session = |parties: &mut Parties<'_, '_, '_>| {
                parties.prepare();
                (parties.predict(&x), parties.up.clone(), parties.down.clone())
            };
            let fast = serve(&net, options, |served| served.parties(session));
            let served = Served {
                prepared: Prepared::small(model, stock).unwrap(),
                plan,
                options,
                pairing: None,
            };
            assert!(served.parties(session) == fast);
            assert!(
                small_server_memory(&plan, &options).unwrap()
                    <= server_memory(&plan, &options).unwrap()
            );
        }
    }
}

#[test]
fn a_small_server_needs_what_it_says() {
    let net = relu_net();
    let model = Model::parse(&net).unwrap();
    let options = Options { tables: Tables::Streamed, ..Options::default() };
    let prepared = Prepared::small(model, 1).unwrap();
    let need = small_server_memory(model.plan(), &options).unwrap();
    let mut memory = Memory::new(need);
    let (io, _peer) = link();
    let short = &mut memory.bytes()[..need - 1];
    let refused = run(Server::accept(
        Blocking(io),
        &prepared,
        options,
        short,
        &mut KnownSeed::new(Seed([1; 32])),
    ))
    .err();
    assert!(matches!(refused, Some(Error::Memory { .. })), "{refused:?}");
}
