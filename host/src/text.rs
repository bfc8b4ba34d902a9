//! The text of a plan: what the input is, what the classes are called, what was dropped behind the
//! logits. Lines of a word and its value; docs/protocol.md lists them. Nothing in the protocol
//! depends on it.

use crate::network::{Head, Labels, Port, Signature};

/// Most bytes: a plan has room for this much beside the steps of its input.
const MAX_TEXT: usize = 15 << 10;

/// A value on one line.
fn line(value: &str) -> String {
    value.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The text of a network, with these labels instead of its own if there are any. Labels that are
/// too long for it are left out.
pub(crate) fn of(signature: &Signature, labels: Option<&Labels>, note: Option<&str>) -> String {
    let mut text = String::new();
    let mut add = |lines: String| {
        if text.len() + lines.len() <= MAX_TEXT {
            text.push_str(&lines);
        }
    };
    // One flat input needs no words: its length is in the header.
    let flat = |port: &Port| port.batch && port.row().len() == 1;
    let told = !matches!(&signature.inputs[..], [port] if flat(port));
    for port in signature.inputs.iter().filter(|_| told) {
        let batch = if port.batch { "rows" } else { "whole" };
        let shape: Vec<String> = port.shape.iter().map(usize::to_string).collect();
        add(format!("input {batch} {} {}\n", shape.join("x"), line(&port.name)));
    }
    if let Some(note) = note {
        add(format!("note {}\n", line(note)));
    }
    match signature.head {
        Some(Head::Softmax) => add("head softmax\n".into()),
        Some(Head::LogSoftmax) => add("head log_softmax\n".into()),
        None => {}
    }
    let labels = labels.or(signature.labels.as_ref());
    match labels {
        Some(Labels::Numbers(all)) => {
            add(all.iter().map(|n| format!("number {n}\n")).collect());
        }
        Some(Labels::Words(all)) => {
            add(all.iter().map(|word| format!("label {}\n", line(word))).collect());
        }
        None => {}
    }
    if labels.is_some_and(|labels| labels.len() == 2) && signature.threshold != 0.0 {
        add(format!("threshold {}\n", signature.threshold));
    }
    text
}

/// What the text of a plan says. Lines that are not known are left out.
#[must_use]
pub(crate) fn read(text: &str) -> Described {
    let mut described = Described::default();
    let (mut numbers, mut words) = (Vec::new(), Vec::new());
    for (word, value) in text.lines().map(|line| line.split_once(' ').unwrap_or((line, ""))) {
        match word {
            "input" => described.signature.inputs.extend(port(value)),
            "note" => described.note = Some(value.into()),
            "number" => numbers.extend(value.parse::<i64>()),
            "label" => words.push(value.to_owned()),
            "head" => {
                described.signature.head = match value {
                    "softmax" => Some(Head::Softmax),
                    "log_softmax" => Some(Head::LogSoftmax),
                    _ => None,
                };
            }
            "threshold" => {
                described.signature.threshold = value.parse().unwrap_or(0.0);
            }
            _ => {}
        }
    }
    if !words.is_empty() {
        described.signature.labels = Some(Labels::Words(words));
    } else if !numbers.is_empty() {
        described.signature.labels = Some(Labels::Numbers(numbers));
    }
    described
}

/// `rows 1x3x8x8 name`.
fn port(value: &str) -> Option<Port> {
    let (batch, rest) = value.split_once(' ')?;
    let (shape, name) = rest.split_once(' ')?;
    let shape: Option<Vec<usize>> = shape
        .split('x')
        .filter(|d| !d.is_empty())
        .map(|d| d.parse().ok().filter(|&d: &usize| d > 0))
        .collect();
    let shape = shape?;
    shape.iter().try_fold(1_usize, |n, &d| n.checked_mul(d))?;
    Some(Port { name: name.into(), shape, batch: batch == "rows" })
}

/// What is said about a network.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Described {
    /// Inputs, labels and head.
    pub signature: Signature,
    /// What inputs are to be, in words.
    pub note: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let port =
            |shape: &[usize], batch| Port { name: "a name".into(), shape: shape.to_vec(), batch };
        for labels in [
            Some(Labels::Numbers(vec![3, -1])),
            Some(Labels::Words(vec!["a b".into(), "ü".into()])),
            None,
        ] {
            let signature = Signature {
                inputs: vec![port(&[1, 3, 8, 8], true), port(&[7], false)],
                labels,
                head: Some(Head::LogSoftmax),
                ..Signature::default()
            };
            let described = read(&of(&signature, None, Some("pixels / 255,\nRGB")));
            assert_eq!(described.signature, signature);
            assert_eq!(described.note.as_deref(), Some("pixels / 255, RGB"));
        }
        assert_eq!(read("nonsense\n\ninput rows 3xx name\ninput rows 0 n\nlabel"), {
            let mut described = Described::default();
            described.signature.inputs.push(Port {
                name: "name".into(),
                shape: vec![3],
                batch: true,
            });
            described.signature.labels = Some(Labels::Words(vec![String::new()]));
            described
        });
    }

    #[test]
    fn too_many_labels_are_left_out() {
        let signature = Signature {
            labels: Some(Labels::Words(vec!["x".repeat(200); 1000])),
            head: Some(Head::Softmax),
            ..Signature::default()
        };
        assert_eq!(of(&signature, None, None), "head softmax\n");
    }
}
