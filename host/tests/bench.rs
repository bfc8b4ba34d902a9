//! `minionn bench`, and the method as published: counts of the paper's Table 3, triplets, answers
//! equal to the integer model's.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may panic")]

use minionn_core::cost;
use minionn_core::model::Model;
use minionn_core::plan::{Convolution, Function, Header, Op, Plan, Quantisation};
use minionn_core::rng::{Domain, Seed};
use minionn_core::session::Options;
use minionn_host::ClientOptions;
use minionn_host::bench::paper::batch::{Batch, MODULUS, RING};
use minionn_host::bench::paper::cipher::Client;
use minionn_host::bench::paper::triplet::{Counts, Dots, uniform};
use minionn_host::bench::paper::{self, Profile};
use minionn_host::bench::{curves, networks, parts, tables};
use minionn_host::link_model::LinkModel;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const SEED: Seed = Seed([42; 32]);

/// A model with weights below `top` in absolute value, and inputs up to `most`.
fn model(ops: &[Op], most: i32, top: i64) -> Vec<u8> {
    let header = Header {
        input_len: ops[0].input().1,
        output_len: ops[ops.len() - 1].input().1,
        input: Quantisation { scale: 1.0, min: -most, max: most },
        output_scale: 1.0,
        name: [0; 32],
    };
    let mut plan = vec![0; 4096];
    let n = Plan::write(&header, ops, &mut plan).unwrap();
    plan.truncate(n);
    let mut model = vec![0; Model::len_bytes(&Plan::parse(&plan).unwrap())];
    let weight = |l: usize, i: usize, j: usize| {
        (l * 7919 + i * 131 + j * 37 + 5) as i64 * 7 % (2 * top + 1) - top
    };
    Model::write(&plan, weight, |l, i| (l * 10 + i) as i64 - 5, &mut model).unwrap();
    model
}

fn inputs(model: &Model<'_>, seed: u64) -> Vec<i64> {
    let (len, most) = (
        model.plan().header().input_len,
        u64::from(model.plan().header().input.max.unsigned_abs()),
    );
    let mut random = SEED.stream(Domain::Mask, seed);
    (0..len).map(|_| (random.next_u64() % (2 * most + 1)) as i64 - most as i64).collect()
}

/// Runs as published, on a few inputs; the profile holds its answers against the integer model, and
/// so does this.
fn published(bytes: &[u8], rounds: u64) -> Profile {
    let model = Model::parse(bytes).unwrap();
    let plan = model.plan();
    let mut last = None;
    for round in 0..rounds {
        let x = inputs(&model, round);
        let profile = paper::run(&model, &x, &SEED.derive(round)).unwrap();
        let mut out = vec![0; plan.header().output_len as usize];
        let index = model.evaluate(&x, &mut vec![0; Model::scratch_len(plan)], &mut out).unwrap();
        assert_eq!(profile.outputs, if plan.is_argmax() { vec![index as i64] } else { out });
        assert_eq!(profile.rows.len(), plan.ops().count());
        last = Some(profile);
    }
    last.unwrap()
}

/// `u + v = W·r mod N`, by the definition of the dense convolution that the own method runs.
fn triplet(op: Op) -> Counts {
    let open = Op::Reveal { ring: op.output().0, len: op.output().1 };
    let bytes = model(&[op, open], 7, 100);
    let model = Model::parse(&bytes).unwrap();
    let layer = model.layers().next().unwrap();
    let (batch, mut random) = (Batch::default(), SEED.stream(Domain::Mask, 1));
    let r: Vec<u64> = (0..op.input().1)
        .map(|i| if i == 0 { MODULUS - 1 } else { uniform(&mut random) })
        .collect();
    let mut parties = Client::with_server(&SEED.derive(1), SEED.derive(2));
    let dots = Dots::new(layer, &batch);
    let triplet = dots.triplet(&mut parties, &batch, &r, &mut random).unwrap();

    let (g, mut row) = (layer.geometry(), 0);
    let [ho, wo] = g.size;
    for (o, y, x) in
        (0..g.outputs).flat_map(|o| (0..ho).flat_map(move |y| (0..wo).map(move |x| (o, y, x))))
    {
        let mut want = 0;
        for (c, u, v) in (0..g.channels).flat_map(|c| {
            (0..g.kernel[0]).flat_map(move |u| (0..g.kernel[1]).map(move |v| (c, u, v)))
        }) {
            if let (Some(i), Some(j)) = (g.source(c, y + u, x + v), g.weight(o, c, u, v)) {
                want = RING.add(want, RING.mul(r[i], RING.reduce_signed(layer.weight(j).unwrap())));
            }
        }
        assert_eq!(RING.add(triplet.server[row], triplet.client[row]), want, "{op:?} row {row}");
        row += 1;
    }
    assert_eq!((triplet.server.len(), triplet.client.len()), (row, row));
    assert!(dots.triplet(&mut parties, &batch, &r[1..], &mut random).is_err());
    triplet.counts
}

fn fully_connected(inputs: u32, outputs: u32) -> Op {
    Op::FullyConnected { ring: 24, weight_bits: 8, inputs, outputs }
}

#[test]
fn paper_layer_takes_twenty_five_of_everything() {
    assert_eq!(
        triplet(fully_connected(784, 128)),
        Counts { up: 25, multiplications: 25, down: 25, decryptions: 25 }
    );
}

#[test]
fn triplets_are_products() {
    let plain = Convolution::fully_connected(1, 1);
    for (inputs, outputs, ciphertexts) in
        [(1, 1, 1), (4096, 1, 1), (4097, 1, 2), (5000, 3, 4), (64, 64, 1)]
    {
        assert_eq!(triplet(fully_connected(inputs, outputs)).up, ciphertexts, "{inputs}→{outputs}");
    }
    for layer in [
        Convolution {
            input: [1, 28, 28],
            outputs: 5,
            kernel: [5, 5],
            stride: [2, 2],
            pads: [1; 4],
            ..plain
        },
        Convolution {
            input: [3, 9, 8],
            outputs: 4,
            kernel: [3, 2],
            stride: [2, 2],
            pads: [1, 0, 2, 1],
            ..plain
        },
        Convolution {
            input: [4, 10, 10],
            outputs: 8,
            kernel: [3, 3],
            pads: [2; 4],
            dilation: [2, 2],
            groups: 4,
            ..plain
        },
        Convolution { input: [6, 5, 5], outputs: 9, groups: 3, ..plain },
    ] {
        triplet(Op::Convolution { ring: 20, weight_bits: 8, layer });
    }
}

#[test]
fn small_networks_equal_the_integer_model() {
    let ops = [
        fully_connected(6, 5),
        Op::Activation { function: Function::Relu, ring_in: 24, ring_out: 30, shift: 3, len: 5 },
        Op::Square { ring: 30, len: 5 },
        Op::FullyConnected { ring: 30, weight_bits: 8, inputs: 5, outputs: 4 },
        Op::Activation {
            function: Function::Identity,
            ring_in: 30,
            ring_out: 20,
            shift: 12,
            len: 4,
        },
        Op::FullyConnected { ring: 20, weight_bits: 8, inputs: 4, outputs: 3 },
        Op::Argmax { ring: 20, len: 3 },
    ];
    let profile = published(&model(&ops, 20, 20), 8);
    assert!(
        profile.rows[1].and_gates > 0
            && profile.rows[2].ots == 5 * 37
            && profile.rows[6].and_gates > 0
    );
    assert!(
        profile.rows.iter().zip(&ops).all(|(row, op)| (row.offline.bytes() > 0) == op.is_linear())
    );

    let plain = Convolution::fully_connected(1, 1);
    let first = Convolution {
        input: [2, 7, 7],
        outputs: 4,
        kernel: [3, 3],
        pads: [1; 4],
        groups: 2,
        ..plain
    };
    let pool = Convolution::window([4, 7, 7], [3, 3], [2, 2], [1; 4], [1; 2]);
    let sum = Convolution::window([4, 4, 4], [2, 2], [2, 2], [0; 4], [1; 2]);
    for function in [Function::Relu, Function::Identity] {
        let ops = [
            Op::Convolution { ring: 24, weight_bits: 8, layer: first },
            Op::MaxPool { function, ring_in: 24, ring_out: 22, shift: 2, window: pool },
            Op::SumPool { ring: 22, window: sum },
            Op::FullyConnected { ring: 22, weight_bits: 8, inputs: 16, outputs: 3 },
            Op::Reveal { ring: 22, len: 3 },
        ];
        published(&model(&ops, 50, 20), 3);
    }
}

#[test]
fn integers_beyond_half_the_modulus_are_refused() {
    let bytes = model(
        &[
            Op::FullyConnected { ring: 44, weight_bits: 8, inputs: 64, outputs: 4 },
            Op::Reveal { ring: 44, len: 4 },
        ],
        i32::MAX,
        100,
    );
    let model = Model::parse(&bytes).unwrap();
    assert_eq!(paper::run(&model, &[3; 64], &SEED).unwrap().outputs.len(), 4);
    let signs: Vec<i64> = model
        .layers()
        .next()
        .unwrap()
        .weights()
        .take(64)
        .map(|w| w.signum() * i64::from(i32::MAX))
        .collect();
    let error = paper::run(&model, &signs, &SEED).unwrap_err().to_string();
    assert!(error.contains("operation 0") && error.contains("half the paper's N"), "{error}");
}

// ---- the command
// -------------------------------------------------------------------------------------------------

fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models")
}

fn bench(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_minionn"))
        .arg("bench")
        .args(arguments)
        .current_dir(models())
        .output()
        .unwrap()
}

fn json(arguments: &[&str]) -> Value {
    let output = bench(arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn own_method() {
    let value = json(&[
        "digits_relu.minionn",
        "--stock",
        "3",
        "--tables",
        "streamed",
        "--ot",
        "2",
        "--runs",
        "2",
        "--json",
    ]);
    assert_eq!(
        (value["network"].as_str(), &value["stock"], &value["runs"]),
        (Some("digits_relu"), &3.into(), &2.into())
    );
    for phase in ["setup", "offline", "online"] {
        assert!(
            value[phase]["seconds"].as_f64().unwrap() > 0.0
                && value[phase]["bytes_sent"].as_u64().unwrap() > 0,
            "{phase}"
        );
    }
    let text = String::from_utf8(bench(&["--model", "digits_relu.minionn", "--runs", "1"]).stdout)
        .unwrap();
    assert!(text.contains("online, per prediction"), "{text}");
    assert!(
        !bench(&[]).status.success()
            && !bench(&["README.md"]).status.success()
            && !bench(&["fig10", "--runs", "0"]).status.success()
    );
}

#[test]
fn both_methods_on_figure_10() {
    let input = "mnist.test.npy";
    let value = json(&[
        "--profile",
        "paper",
        "--model",
        "fig10",
        "--input",
        input,
        "--stock",
        "2",
        "--runs",
        "1",
        "--json",
    ]);
    assert_eq!(value["network"], "fig10_square");
    let all = |counts: &Value| {
        ["up", "multiplications", "down", "decryptions"].map(|key| counts[key].as_u64().unwrap())
    };
    assert_eq!(all(&value["table_3"]["paper"]), [25; 4]);
    assert_eq!(all(&value["table_3"]["secureml"]), [784, 100_352, 128, 128]);
    assert_eq!(all(&value["operations"][0]["paper"]["ciphertexts"]), [25; 4]);
    assert!(value["warning"].as_str().unwrap().contains("never serves real inputs"));
    assert!(value["flooding_bits"].as_u64().unwrap() < 40);
    assert!(
        value["speed_up"].as_f64().unwrap() > 0.0 && value["fewer_bytes"].as_f64().unwrap() > 1.0
    );
}

#[test]
fn onnx_files_are_compiled_first() {
    let output = bench(&[
        "digits_relu.onnx",
        "--calibrate",
        "digits_relu.calibrate.npy",
        "--profile",
        "paper",
        "--runs",
        "1",
    ]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success()
            && text.contains("never serves real inputs")
            && text.contains("times faster"),
        "{text}"
    );
    assert!(!text.contains("Table 3"), "no such layer: {text}");
}

#[test]
fn parts_stand_beside_the_limits_of_the_machine() {
    let value = json(&["--primitives", "--json"]);
    let rows = value["rows"].as_array().unwrap();
    // Beside the parts, three layers offline and online; with every k, OTs over loopback, a layer
    // streamed, and one compared.
    assert_eq!(rows.len(), parts::PARTS.iter().filter(|part| part.again).count() + 6 + 3 * 4);
    for row in rows {
        let [seconds, limit, ratio] =
            ["seconds", "limit_seconds", "ratio"].map(|key| row[key].as_f64().unwrap());
        assert!(
            seconds > 0.0 && limit > 0.0 && (ratio * limit / seconds - 1.0).abs() < 1e-9,
            "{row}"
        );
    }
    for limit in [
        "block",
        "schedule",
        "cached_byte",
        "memory_byte",
        "loopback_byte",
        "round_trip",
        "transform",
        "random_byte",
    ] {
        assert!(value["limits"][limit].as_f64().unwrap() > 0.0, "{limit}");
    }
}

#[test]
fn parts_are_run_by_name_for_counting() {
    let list = String::from_utf8(bench(&["--count", "list"]).stdout).unwrap();
    assert_eq!(
        list.lines().collect::<Vec<_>>(),
        parts::PARTS.iter().map(|part| part.name).collect::<Vec<_>>()
    );
    for part in ["ntt", "fig10-offline", "fig10-online"] {
        let output = bench(&["--count", part]);
        assert!(
            output.status.success() && output.stdout.is_empty(),
            "{part}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    assert!(
        String::from_utf8_lossy(&bench(&["--count", "nothing"]).stderr).contains("--count list")
    );
}

#[test]
fn many_clients_at_once() {
    let value =
        json(&["--clients", "6", "--model", "digits_relu.minionn", "--stock", "2", "--json"]);
    assert_eq!((value["clients"].as_u64(), value["stock"].as_u64()), (Some(6), Some(2)));
    // A session touches most of its memory: set-up all of it, the phases after it what they share.
    let (planned, resident) = (value["planned"].as_u64().unwrap(), value["resident"].as_u64());
    assert!(resident.is_none_or(|resident| resident > planned / 2), "{value}");
    assert!(
        !bench(&["--clients", "0"]).status.success()
            && !bench(&["--clients", "2", "--link", "lan"]).status.success()
    );
}

#[test]
fn what_cannot_be_measured_together_is_refused() {
    for arguments in [
        &["fig10", "--link", "lan", "--link", "wan"][..],
        &["fig10", "--link", "dialup"],
        &["--primitives", "--curves", "x"],
        &["--primitives", "--link", "lan"],
        &["--networks", "fig10"],
        &["--profile", "paper", "--link", "lan"],
        &["--count", "ntt", "fig10"],
    ] {
        let output = bench(arguments);
        assert!(!output.status.success() && !output.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn curves_show_what_was_measured() {
    for curve in
        [curves::width(&[16, 32], 1), curves::channels(&[1, 2], 1), curves::stock(&[1, 2], 1)]
    {
        let curve = curve.unwrap();
        let [first, last] = &curve.points[..] else { panic!("two points") };
        for point in [first, last] {
            assert!(
                point.seconds.iter().all(|&s| s > 0.0)
                    && point.bytes.iter().all(|&b| b > 0)
                    && point.memory.iter().all(|&m| m > 0)
            );
        }
        let each = |point: &curves::Point| point.bytes.iter().sum::<u64>() as f64;
        match curve.name {
            // Ciphertexts come whole, so small layers grow by their tables: hardly more than in
            // proportion.
            "width" | "channels" => {
                assert!(each(last) > each(first) && each(last) <= 2.1 * each(first), "{curve:?}")
            }
            _ => assert!(each(last) < each(first), "a stock shares ciphertexts: {curve:?}"),
        }
        let svg = curve.chart().svg();
        assert_eq!(svg.matches("r=\"3\"").count(), 2 * (2 + 2 + 3), "{}", curve.name);
    }
}

/// What every session of the tables runs with: the defaults.
fn session(link: Option<&LinkModel>) -> anyhow::Result<Options> {
    let client = ClientOptions::new();
    Ok(*link.map_or(client.clone(), |link| client.link(link)).session_options())
}

/// As the command makes them, without the published method on Figure 13: that takes half a minute.
#[test]
fn the_paper_s_tables() {
    let request = tables::Request {
        session: &session,
        link: &LinkModel::lan(),
        runs: 1,
        largest_as_published: false,
    };
    let made = tables::measure(request, &SEED, |_| {}).unwrap();
    let markdown = made.to_string();
    for title in ["**Table 2**", "**Table 3**", "**Table 4**"] {
        assert!(markdown.contains(title), "{markdown}");
    }
    let tables = serde_json::to_value(made).unwrap();
    let own = |table: &str, network: &str| -> Vec<Value> {
        let lines = tables[table].as_array().unwrap().iter();
        let own: Vec<Value> = lines
            .filter(|line| line["network"] == network)
            .filter(|line| line["method"].as_str().unwrap().starts_with("this project"))
            .cloned()
            .collect();
        assert_eq!(own.len(), 2, "{network}: loopback and the LAN");
        own
    };
    for (table, network, least) in [
        ("table_2", "fig10", Some(95.0)),
        ("table_2", "fig11", Some(97.0)),
        ("table_4", "fig12", Some(98.0)),
        ("table_4", "fig13", None),
        ("table_4", "fig14", None),
    ] {
        let published = tables[table]
            .as_array()
            .unwrap()
            .iter()
            .find(|line| line["network"] == network && line["method"] == "MiniONN, published");
        let published = published.unwrap();
        for line in own(table, network) {
            assert!(line["accuracy"].as_f64() >= least, "{line}");
            for bytes in ["offline_mb", "online_mb"] {
                assert!(line[bytes].as_f64() < published[bytes].as_f64(), "{line}");
            }
        }
    }
    assert_eq!(own("table_2", "fig10, ReLU")[0]["accuracy"], Value::Null);
    assert_eq!(tables["table_3"]["paper"]["multiplications"], 25);
    assert_eq!(tables["table_3"]["secureml"]["multiplications"], 100_352);

    let fig14 = networks::find("fig14").unwrap();
    let (model, link) = (fig14.model().unwrap(), LinkModel::lan());
    for (line, link) in own("table_4", "fig14").iter().zip([None, Some(&link)]) {
        let options = Options { tables: fig14.tables, ..session(link).unwrap() };
        let plan = model.plan().core();
        let phases = [cost::offline(plan, &options).unwrap(), cost::online(plan, &options)];
        let predicted = phases.map(|phase| (phase.up + phase.down) as f64 / 1e6);
        let measured = ["offline_mb", "online_mb"].map(|key| line[key].as_f64().unwrap());
        assert_eq!(measured, predicted);
    }
}

#[test]
fn the_published_method_runs_chains_only() {
    for network in networks::NETWORKS {
        let model = network.model().unwrap();
        assert_eq!(paper::knows(model.plan().core()), network.name != "fig14");
    }
    let stocked = bench(&["--paper-tables", "--stock", "2"]);
    assert!(String::from_utf8_lossy(&stocked.stderr).contains("single predictions"));
}
