//! Every path against the portable one, and that against the definition.

use super::*;
use crate::rng::{Domain, Seed};
use std::vec::Vec;

/// Elements and weights: random, among them the extremes.
struct Case {
    x: Vec<u64>,
    narrow: Vec<i8>,
    wide: Vec<[u8; 2]>,
}

impl Case {
    fn new(elements: usize, weights: usize, extreme: bool) -> Self {
        let mut random = Seed([8; 32]).stream(Domain::Mask, (elements * 31 + weights) as u64);
        let edges = [
            0x8000_8000_8000_8000,
            u64::MAX,
            0x7fff_7fff_7fff_7fff,
            0,
            1 << 63,
            0xfff,
            0x1000,
            u64::MAX << 12,
        ];
        let mut element = |i: usize| if extreme { edges[i / 7 % 8] } else { random.next_u64() };
        let x = (0..elements).map(&mut element).collect();
        let mut weight = |i: usize, bits: u32| {
            let top = 1 << (bits - 1);
            if extreme {
                [-top, -top, -top, top - 1, 0][i / 5 % 5]
            } else {
                random.next_u32() as i32 >> (32 - bits)
            }
        };
        let narrow = (0..weights).map(|i| weight(i, 8) as i8).collect();
        Self {
            x,
            narrow,
            wide: (0..weights).map(|i| (weight(i, 12) as i16).to_le_bytes()).collect(),
        }
    }

    fn each(&self, mut run: impl FnMut(Weights<'_>)) {
        run(Weights::Narrow(&self.narrow));
        run(Weights::Wide(&self.wide));
    }
}

const RINGS: [u32; 9] = [8, 13, 16, 17, 26, 27, 32, 44, 48];

fn agree(a: &[u64], b: &[u64], bits: u32, what: &str) {
    assert!(a.iter().zip(b).all(|(a, b)| (a ^ b) << (64 - bits) == 0), "{what}, {bits} bits");
}

#[test]
fn rows() {
    for (rows, len) in [
        (1, 1),
        (2, 15),
        (3, 16),
        (3, 17),
        (2, 127),
        (4, 128),
        (5, 129),
        (2, 255),
        (2, 256),
        (3, 257),
        (1, 1000),
        (0, 5),
    ] {
        for extreme in [false, true] {
            let case = Case::new(len, rows * len, extreme);
            case.each(|weights| {
                for bits in RINGS.into_iter().chain([49, 53, 64]) {
                    let (mut a, mut b) = (std::vec![7; rows], std::vec![7; rows]);
                    add_rows(weights, bits, (0..).step_by(len), &case.x, &mut a).unwrap();
                    portable::add_rows(weights, bits, (0..).step_by(len), &case.x, &mut b).unwrap();
                    agree(&a, &b, bits, "rows");
                }
            });
        }
    }
}

#[test]
fn rows_that_overlap() {
    let case = Case::new(64, 300, false);
    let starts = [0, 1, 2, 77, 235, 236];
    case.each(|weights| {
        let (mut a, mut b) = ([0; 6], [0; 6]);
        add_rows(weights, 53, starts.into_iter(), &case.x, &mut a).unwrap();
        portable::add_rows(weights, 53, starts.into_iter(), &case.x, &mut b).unwrap();
        agree(&a, &b, 53, "overlapping rows");
    });
}

#[test]
fn convolutions() {
    let plain = Convolution::fully_connected(1, 1);
    for layer in [
        Convolution { input: [1, 9, 8], outputs: 3, kernel: [3, 3], ..plain },
        Convolution { input: [2, 5, 17], outputs: 65, kernel: [3, 2], pads: [1, 2, 3, 4], ..plain },
        Convolution { input: [15, 8, 8], outputs: 2, kernel: [3, 3], pads: [1; 4], ..plain },
        Convolution {
            input: [3, 12, 11],
            outputs: 4,
            kernel: [5, 4],
            stride: [2, 3],
            pads: [2, 1, 0, 3],
            ..plain
        },
        Convolution {
            input: [4, 10, 16],
            outputs: 6,
            kernel: [3, 3],
            dilation: [2, 3],
            pads: [2, 3, 2, 3],
            groups: 2,
            ..plain
        },
        Convolution { input: [6, 4, 9], outputs: 6, kernel: [2, 2], groups: 6, ..plain },
        Convolution { input: [260, 2, 3], outputs: 3, ..plain },
        Convolution {
            input: [1, 1, 40],
            outputs: 2,
            kernel: [1, 7],
            stride: [1, 2],
            pads: [0, 9, 0, 9],
            ..plain
        },
        Convolution {
            input: [1, 3, 3],
            outputs: 1,
            kernel: [2, 2],
            pads: [4; 4],
            dilation: [5, 5],
            ..plain
        },
    ] {
        let [ho, wo] = layer.output_size().unwrap();
        let (len, made) =
            (layer.input.iter().product::<u32>() as usize, (layer.outputs * ho * wo) as usize);
        for extreme in [false, true] {
            let case = Case::new(len, layer.weights() as usize, extreme);
            case.each(|weights| {
                let mut portably = std::vec![1; made];
                portable::convolve(weights, 48, &layer, &case.x, &mut portably).unwrap();
                agree(&portably, &definition(weights, &layer, &case.x), 48, "definition");
                for bits in RINGS {
                    let mut y = std::vec![2; made];
                    convolve(weights, bits, &layer, &case.x, &mut y).unwrap();
                    agree(&y, &portably, bits, "convolution");
                }
            });
        }
    }
}

fn definition(weights: Weights<'_>, layer: &Convolution, x: &[u64]) -> Vec<u64> {
    let [ho, wo] = layer.output_size().unwrap().map(|n| n as usize);
    let (per_in, per_out) = (layer.input[0] / layer.groups, layer.outputs / layer.groups);
    let [kh, kw] = layer.kernel.map(|n| n as usize);
    (0..layer.outputs as usize * ho * wo)
        .map(|i| {
            let (o, place) = (i / (ho * wo), [i / wo % ho, i % wo]);
            let taps =
                (0..per_in as usize).flat_map(|c| (0..kh * kw).map(move |t| (c, [t / kw, t % kw])));
            taps.enumerate().fold(0, |sum: u64, (k, (c, tap))| {
                let channel = o / per_out as usize * per_in as usize + c;
                let x = layer.tap(channel, place, tap).map_or(0, |i| x[i]);
                sum.wrapping_add(
                    (i64::from(weights.get(o * layer.fan_in() as usize + k).unwrap()) as u64)
                        .wrapping_mul(x),
                )
            })
        })
        .collect()
}

/// Too few weights, inputs or outputs, and rows that are not whole, on every path.
#[test]
fn what_is_missing_is_an_error() {
    let layer = Convolution {
        input: [2, 5, 5],
        kernel: [3, 3],
        outputs: 2,
        ..Convolution::fully_connected(2, 2)
    };
    let (weights, x) = ([1_i8; 36], [1; 50]);
    for (w, inputs, outputs, right) in
        [(36, 50, 18, true), (35, 50, 18, false), (36, 49, 18, false), (36, 50, 17, false)]
    {
        let (weights, x) = (Weights::Narrow(&weights[..w]), &x[..inputs]);
        let wanted = if right { Ok(()) } else { Err(Error::Internal) };
        for convolve in [convolve, portable::convolve] {
            assert_eq!(convolve(weights, 32, &layer, x, &mut [0; 18][..outputs]), wanted);
        }
    }
    for (first, rows, right) in [(0, 2, true), (1, 2, false), (0, 1, false), (40, 2, false)] {
        let wanted = if right { Ok(()) } else { Err(Error::Internal) };
        let (weights, rows) = (Weights::Narrow(&weights), (first..).step_by(18).take(rows));
        assert_eq!(add_rows(weights, 32, rows.clone(), &x[..18], &mut [0; 2]), wanted);
        assert_eq!(portable::add_rows(weights, 32, rows, &x[..18], &mut [0; 2]), wanted);
    }
}
