//! The networks of Figures 10 to 12 on the committed 1000 digits of MNIST that training never saw:
//! how many the integers get right, and that private predictions are the same integers.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use minionn_core::ot::Repetition;
use minionn_core::session::{Activations, Options, Tables};
use minionn_host::Model;

#[path = "common/samples.rs"]
mod samples;
#[path = "common/session.rs"]
mod session;

use samples::{array, float_right, head, models};
use session::check;

const DIGITS: usize = 1000;

/// By comparison instead of circuits.
const COMPARED: Activations = Activations::Compared { log2_bytes_per_round: 0 };

/// Name, and the fewest right answers of [`DIGITS`].
const NETWORKS: [(&str, usize); 3] =
    [("fig10_square", 950), ("fig11_conv_square", 970), ("fig12_conv_relu", 980)];

fn model(name: &str) -> Vec<u8> {
    std::fs::read(models().join(format!("{name}.minionn"))).unwrap()
}

/// Within half a point of the float network.
#[test]
fn integers_are_as_accurate_as_floats() {
    let (images, labels) = (array("mnist.test.npy"), array("mnist.labels.npy"));
    assert_eq!((images.rows(), labels.data().len()), (DIGITS, DIGITS));
    for (name, least) in NETWORKS {
        let logits = array(&format!("{name}.logits.npy"));
        assert_eq!(logits.rows(), DIGITS);
        let answers = Model::from_bytes(model(name))
            .unwrap()
            .predict_plain_batch(images.rows_of(784).unwrap())
            .unwrap();
        let right = answers.iter().zip(labels.data()).filter(|(a, l)| a.class == **l as usize);
        let (right, float) = (right.count(), float_right(&logits, labels.data(), DIGITS));
        println!("{name}: {right} of {DIGITS} right, float {float}");
        assert!(
            right >= least && right.abs_diff(float) * 200 <= DIGITS,
            "{name}: {right} of {DIGITS} right, float {float}"
        );
    }
}

/// Some digits, with both kinds of table, by circuits and by comparison.
fn private(name: &str, digits: usize) {
    let (model, labels) = (model(name), array("mnist.labels.npy"));
    let images = head(&array("mnist.test.npy"), digits);
    let options = Options { stock: 2, ..Options::default() };
    let right = check(name, &model, options, &images, labels.data());
    assert!(right * 4 >= digits * 3, "{right} of {digits} right");
    let one = head(&images, 1);
    for activations in [Activations::Garbled, COMPARED] {
        let options = Options { tables: Tables::Streamed, activations, ..Options::default() };
        check(name, &model, options, &one, labels.data());
    }
}

#[test]
fn fig10_squares() {
    private("fig10_square", 24);
}

#[test]
fn fig11_convolution_and_squares() {
    private("fig11_conv_square", 4);
}

#[test]
fn fig12_convolutions_and_maxima() {
    private("fig12_conv_relu", 4);
}

#[test]
#[ignore = "6000 predictions: cargo test -p minionn-host --test mnist -- --ignored --nocapture"]
fn every_held_out_digit_privately() {
    let (images, labels) = (array("mnist.test.npy"), array("mnist.labels.npy"));
    for (name, least) in NETWORKS {
        for activations in [Activations::Garbled, COMPARED] {
            let options = Options {
                tables: Tables::Streamed,
                repetition: Repetition::K8,
                stock: 20,
                activations,
            };
            let right = check(name, &model(name), options, &images, labels.data());
            println!(
                "{name}, {activations:?}: all {DIGITS} equal the integer model, {right} right"
            );
            assert!(right >= least, "{name}: {right} of {DIGITS} right");
        }
    }
}
