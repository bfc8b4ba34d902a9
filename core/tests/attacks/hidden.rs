//! Hidden activations of garbled layers.

use super::common;
use super::parties::{CLIENT_SEED, find, frames, payload, serve};
use super::{Stripped, fair, masked_inputs, secrets, session_of, small_net};
use minionn_core::block::Block;
use minionn_core::cost;
use minionn_core::garble::{
    EvaluateBuffers, Evaluator, Function, GarbleBuffers, Garbler, Neuron, totals,
};
use minionn_core::hash::Tmmo;
use minionn_core::model::Model;
use minionn_core::plan::Op;
use minionn_core::plan::circuit::NonlinearCost;
use minionn_core::ring::Modulus;
use minionn_core::rng::{Domain, Prg, Seed};
use minionn_core::session::{Options, Tables};
use minionn_core::wire::{Tag, unpack};

#[test]
fn colours_hide_an_activation_and_permute_bits_open_it() {
    let relu = Neuron {
        function: Function::Relu,
        modulus_in: Modulus::Bits(16),
        modulus_out: Modulus::Bits(12),
        shift: 4,
    };
    let (ring_in, ring_out) = (relu.modulus_in, relu.modulus_out);
    let shape = totals(&relu);
    let (y, y_client, r) = (5000_u64, 0xbeef_u64, 0x5a5_u64);
    let y_server = ring_in.sub(y, y_client);
    const RUNS: usize = 600;
    let mut ones = [0; 12];
    let mut prg = Seed([11; 32]).stream(Domain::Label, 0);
    let block = |prg: &mut Prg| -> Block { prg.next_u128() };
    for run in 0..RUNS as u64 {
        let (session, secret, delta) =
            (Tmmo::new(block(&mut prg)), Tmmo::new(block(&mut prg)), block(&mut prg) | 1);
        let zero: Vec<Block> = (0..shape.client_inputs).map(|_| block(&mut prg)).collect();
        let garbler = Garbler::new(&session, &secret, delta, run);
        let (mut tables, mut decode) = (vec![0; shape.ands as usize * 32], [0]);
        let buffers =
            GarbleBuffers { client_zero: &zero, tables: &mut tables, decode: &mut decode };
        garbler.garble_neurons::<_, 1>(&relu, 0..1, buffers).unwrap();
        let mut server_labels = vec![0; 16];
        garbler.active_labels(0, 0, y_server, &mut server_labels).unwrap();
        let choices = y_client | r << 16;
        let client_labels: Vec<Block> = zero
            .iter()
            .enumerate()
            .map(|(i, &z)| if choices >> i & 1 == 1 { z ^ delta } else { z })
            .collect();
        let mut colours = [0];
        let evaluator = Evaluator::new(&session, run);
        let buffers = EvaluateBuffers {
            tables: &tables,
            server_labels: &server_labels,
            client_labels: &client_labels,
            colours: &mut colours,
        };
        evaluator.evaluate_neurons::<_, 1>(&relu, 0..1, buffers).unwrap();
        for (i, ones) in ones.iter_mut().enumerate() {
            *ones += (colours[0] >> i & 1) as usize;
        }
        // The defence stripped: a client that is also sent the permute bits opens the activation.
        assert_eq!(ring_out.add(colours[0] ^ decode[0], r), y >> 4);
    }
    println!("ones of {RUNS}: {ones:?}");
    assert!(ones.iter().all(|&n| fair(n, RUNS)), "{ones:?}");
}

/// An input and its hidden activations.
fn hidden_of(model: &Model<'_>, seed: u64) -> (Vec<i64>, [u64; 4]) {
    let (x, ring) = (common::input(6, seed), Modulus::Bits(18));
    let mut hidden = [0; 4];
    model
        .layers()
        .next()
        .unwrap()
        .apply(&x.iter().map(|&x| ring.reduce_signed(x)).collect::<Vec<_>>(), &mut hidden)
        .unwrap();
    (x, hidden.map(|y| (ring.to_signed(y).max(0) >> 6) as u64))
}

#[test]
fn hidden_layers_send_the_client_labels_and_nothing_else() {
    let _all = Stripped::of(&[]);
    let net = small_net();
    let model = Model::parse(&net).unwrap();
    let plan = *model.plan();
    let ops: Vec<Op> = plan.ops().collect();
    const STOCK: u32 = 256;
    for tables in [Tables::Stored, Tables::Streamed] {
        let options = Options { stock: STOCK, tables, ..Options::default() };
        let (x, hidden) = (0..)
            .map(|seed| hidden_of(&model, seed))
            .find(|(_, hidden)| hidden.iter().filter(|&&y| y > 0).count() > 1)
            .unwrap();
        let (up, down) = serve(&net, options, |served| {
            served.parties(|p| {
                p.prepare();
                for _ in 0..STOCK {
                    assert_eq!(p.predict(&x), common::expected(&model, &x));
                }
                (frames(&p.up), frames(&p.down))
            })
        });

        // By tag and length, every frame to the client is one of the plan's.
        let labels = NonlinearCost::of(&ops[1]).server_labels * 16;
        let streamed =
            if tables == Tables::Streamed { NonlinearCost::of(&ops[1]).table_bytes() } else { 0 };
        let online: Vec<(u8, u64)> = down
            .iter()
            .rev()
            .take(2 * STOCK as usize)
            .rev()
            .map(|f| (f[0], payload(f).len() as u64))
            .collect();
        for pair in online.chunks(2) {
            assert_eq!(
                pair,
                [
                    (Tag::Labels as u8, labels + streamed),
                    (Tag::Output as u8, 2 * 14_u64.div_ceil(8))
                ]
            );
        }
        let offline: Vec<u8> = down.iter().map(|f| f[0]).take(down.len() - online.len()).collect();
        let mut due = vec![
            Tag::Welcome as u8,
            Tag::ServerKeys as u8,
            Tag::Ready as u8,
            Tag::Download as u8,
            Tag::Download as u8,
            Tag::Carries as u8,
        ];
        if tables == Tables::Stored {
            due.push(Tag::Tables as u8);
            let bytes = payload(find(&down, Tag::Tables)).len() as u64;
            assert_eq!(
                bytes,
                cost::store_bytes(&plan, &options),
                "tables of AND gates, no permute bits"
            );
            assert_eq!(bytes, NonlinearCost::of(&ops[1]).table_bytes() * u64::from(STOCK));
        }
        assert_eq!(offline, due);

        // The client knows its mask r of the activation, so the output bits of the circuit are
        // those of f(y) − r. Neither the colours nor any label that came with them agree
        // with these bits more often than a coin.
        let (ring, ring_out) = (Modulus::Bits(18), Modulus::Bits(14));
        let mut inputs = masked_inputs(&up.concat()).into_iter();
        let mut masks = secrets(CLIENT_SEED, session_of(&up, &down))
            .derive(5)
            .derive(0)
            .stream(Domain::Mask, 0);
        let mut agree = vec![[0; 1 + 18]; 4 * 14];
        let (colours, labels): (Vec<_>, Vec<_>) = (
            up.iter().filter(|f| f[0] == Tag::Colours as u8).collect(),
            down.iter().filter(|f| f[0] == Tag::Labels as u8).map(|f| payload(f)).collect(),
        );
        assert_eq!((colours.len(), labels.len()), (STOCK as usize, STOCK as usize));
        for (colours, labels) in colours.iter().zip(labels) {
            // That these are the client's masks, its masked input shows.
            let masked: Vec<u64> = x
                .iter()
                .map(|&x| ring.sub(ring.reduce_signed(x), ring.reduce(masks.next_u64())))
                .collect();
            assert_eq!(inputs.next(), Some(masked));
            let mut words = [0; 4];
            assert!(unpack(payload(colours), 14, &mut words));
            for (neuron, &word) in words.iter().enumerate() {
                let output = ring_out
                    .sub(ring_out.reduce(hidden[neuron]), ring_out.reduce(masks.next_u64()));
                let record = labels.len() / 4;
                let own = &labels[neuron * record..(neuron + 1) * record];
                let own = &own[own.len() - 18 * 16..];
                for bit in 0..14 {
                    let unknown = (output ^ word) >> bit & 1;
                    let seen = core::iter::once(0)
                        .chain(own.chunks(16).map(|label| u64::from(label[0] & 1)));
                    for (count, seen) in agree[neuron * 14 + bit].iter_mut().zip(seen) {
                        *count += usize::from(unknown == seen);
                    }
                }
            }
        }
        let worst = agree.iter().flatten().map(|&n| n.abs_diff(STOCK as usize / 2)).max().unwrap();
        println!(
            "{tables:?}: {} counts of agreement, at most {worst} from {}",
            19 * agree.len(),
            STOCK / 2
        );
        assert!(agree.iter().flatten().all(|&n| fair(n, STOCK as usize)));
    }
}
