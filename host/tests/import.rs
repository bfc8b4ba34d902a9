//! The importer on graphs of every operator, held against another runtime's results
//! (tests/graphs/README.md).

#[path = "common/graphs.rs"]
mod graphs;
#[path = "../../tests/common/seed.rs"]
mod seed;

use graphs::{Graphs, folder};
use minionn_host::network::{Activation, Network, Work};
use minionn_host::onnx::{Reading, import, read};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

fn largest(row: &[f64]) -> usize {
    (0..row.len()).rev().max_by(|&i, &j| row[i].total_cmp(&row[j])).unwrap()
}

/// What the file's own end makes of the outputs: the importer drops a Softmax, and leaves ArgMax to
/// the compiler.
fn ended(network: &Network, mut y: Vec<f64>) -> Vec<f64> {
    let noted = |what: &str| network.notes.iter().any(|note| note.contains(what));
    if network.argmax {
        return vec![largest(&y) as f64];
    }
    if noted("(Softmax) dropped") || noted("(LogSoftmax) dropped") {
        let most = y.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let log = most + y.iter().map(|y| (y - most).exp()).sum::<f64>().ln();
        y.iter_mut()
            .for_each(|y| *y = if noted("(LogSoftmax)") { *y - log } else { (*y - log).exp() });
    }
    y
}

/// Holds a network against the results beside its file.
fn compare(graphs: &Graphs, name: &str, network: &Network) -> Result<(), String> {
    let (x, want) = (graphs.array(name, "x"), graphs.array(name, "y"));
    let rows = x.data().len() / network.input_len;
    assert!(rows > 0 && want.data().len().is_multiple_of(rows), "{name}");
    for (x, want) in x
        .data()
        .chunks_exact(network.input_len)
        .zip(want.data().chunks_exact(want.data().len() / rows))
    {
        let tensors = network.evaluate(x.iter().map(|&x| f64::from(x)).collect());
        assert_eq!(tensors.iter().map(Vec::len).collect::<Vec<_>>(), network.lengths());
        assert_eq!(tensors[network.output].len(), network.output_len);
        let got = ended(network, tensors[network.output].clone());
        let close =
            |(&g, &w): (&f64, &f32)| (g - f64::from(w)).abs() <= 1e-4 * (1.0 + f64::from(w).abs());
        if got.len() != want.len() || !got.iter().zip(want).all(close) {
            return Err(format!("{got:?} instead of {want:?}"));
        }
    }
    Ok(())
}

/// The first dimension of these is no batch.
fn whole() -> Reading {
    Reading { keep_batch: true, ..Reading::default() }
}

/// Imports and compares all of an archive; returns the names of those that are refused, with the
/// reasons.
fn run(graphs: &Graphs) -> Vec<(String, String)> {
    let (mut refused, mut wrong) = (Vec::new(), Vec::new());
    for name in graphs.names() {
        match read(graphs.onnx(name), &whole()) {
            Err(error) => refused.push((name.to_owned(), error.to_string())),
            Ok(network) => wrong.extend(
                compare(graphs, name, &network).err().map(|what| format!("{name}: {what}")),
            ),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    refused
}

#[test]
fn every_operator_computes_what_it_should() {
    let refused = run(&Graphs::read("graphs"));
    // The compiler takes the first of equal outputs.
    let [(name, why)] = &refused[..] else { panic!("{refused:#?}") };
    assert!(name == "argmax_negative_axis" && why.contains("select_last_index"), "{name}: {why}");
}

#[test]
fn the_examples_of_the_standard() {
    let graphs = Graphs::read("backend");
    let refused = run(&graphs);
    let reasons = [
        "not the whole row",
        "has a batch of",
        "is not [1, channels",
        "(Indices) is not supported",
        "exponent must be the same",
        "are not a range",
        "reduction is",
        "region lies outside",
    ];
    let strange: Vec<_> =
        refused.iter().filter(|(_, text)| !reasons.iter().any(|r| text.contains(r))).collect();
    assert!(strange.is_empty(), "{strange:#?}");
    let read = graphs.names().count() - refused.len();
    assert!(read >= 420, "only {read} were read");
}

/// With which words is a committed list. `MINIONN_BLESS=1` writes it again.
#[test]
fn what_is_not_sound_or_not_supported_is_refused() {
    let mut list = String::new();
    let graphs = Graphs::read("refused");
    for name in graphs.names() {
        // What was refused once and is read by now says so.
        let text = match read(graphs.onnx(name), &whole()) {
            Ok(_) => "is read".into(),
            Err(error) => error.to_string(),
        };
        list.push_str(&format!("{name}: {text}\n"));
    }
    let path = folder().join("refused.txt");
    if std::env::var_os("MINIONN_BLESS").is_some() {
        std::fs::write(&path, &list).unwrap();
    }
    assert_eq!(
        std::fs::read_to_string(&path).unwrap_or_default(),
        list,
        "the list has changed: look at it, then bless it"
    );
}

/// What a file's network is made of.
fn works(name: &str) -> Vec<Work> {
    import(Graphs::read("graphs").onnx(name))
        .unwrap()
        .nodes
        .into_iter()
        .map(|node| node.work)
        .collect()
}

#[test]
fn curves_that_are_spelled_out_are_recognised() {
    for name in
        ["gelu_erf", "gelu_tanh", "gelu", "silu", "hard_swish", "hard_swish_spelled", "convnext"]
    {
        let all = works(name);
        let curves =
            all.iter().filter(|w| matches!(w, Work::Activation(Activation::Curve(_)))).count();
        let products = all.iter().filter(|w| matches!(w, Work::Product | Work::Square)).count();
        assert!(curves > 0 && products == 0, "{name}: {all:#?}");
        // Factors of the spelling are gone; that network has scales of its own.
        assert!(
            name == "convnext" || !all.iter().any(|w| matches!(w, Work::Affine(..))),
            "{name}: {all:#?}"
        );
    }
}

#[test]
fn damage_is_refused_or_harmless() {
    let mut random = ChaCha8Rng::seed_from_u64(seed::seed(1));
    let archives = ["graphs", "backend", "refused"].map(Graphs::read);
    for (graphs, name) in archives.iter().flat_map(|g| g.names().map(move |name| (g, name))) {
        let bytes = graphs.onnx(name).to_vec();
        for _ in 0..40 {
            let mut damaged = bytes.clone();
            for _ in 0..1 + random.next_u64() % 3 {
                let (at, byte) = (random.next_u64() as usize, random.next_u64());
                let at = at % damaged.len().max(1);
                match (byte % 4, damaged.get_mut(at)) {
                    (0, _) => damaged.truncate(at),
                    (_, Some(b)) => {
                        *b = [*b ^ (1 << (byte >> 8 & 7)), (byte >> 16) as u8, b.wrapping_add(1)]
                            [(byte >> 32) as usize % 3]
                    }
                    _ => {}
                }
            }
            if let Ok(network) = import(&damaged) {
                let lengths = network.lengths();
                for node in &network.nodes {
                    let Work::StridedAdd(len, pieces) = &node.work else { continue };
                    let inside = |p: &minionn_host::network::Piece| {
                        p.view
                            .check(
                                lengths[node.inputs[p.input]] as u32,
                                *len as u32,
                                minionn_core::plan::MAX_COPIES,
                            )
                            .is_ok()
                    };
                    assert!(pieces.iter().all(inside), "{name}");
                }
            }
        }
    }
}
