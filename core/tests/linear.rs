//! Linear layers against tests/vectors/linear.json: in the clear, and privately between two
//! parties.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use crate::common;

use common::Lcg;
use minionn_core::lattice::noise::ParameterSet;
use minionn_core::model::Model;
use minionn_core::params::{MAX_RING_BITS, MIN_RING_BITS};
use minionn_core::plan::tile::Tile;
use minionn_core::plan::{self, Convolution, Function, Header, Op, Plan, Quantisation, View};
use minionn_core::ring::Modulus;
use minionn_core::session::Options;
use serde_json::Value;

/// A fully connected layer of the vectors: `y = W·x mod 2^ring`.
#[derive(Clone)]
struct Layer {
    id: u64,
    ring: u8,
    weight_bits: u8,
    inputs: usize,
    outputs: usize,
    x: Vec<u64>,
    weights: Vec<i64>,
    y: Vec<u64>,
}

fn groups() -> Vec<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/linear.json");
    let file: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    file["testGroups"].as_array().unwrap().clone()
}

fn layers() -> Vec<Layer> {
    let mut all = vec![];
    for group in groups().iter().filter(|group| group["type"] == "FC") {
        let field = |name: &str| group["params"][name].as_u64().unwrap();
        let (modulus, inputs, outputs, weight_bits) = (
            field("modulus"),
            field("inputs") as usize,
            field("outputs") as usize,
            field("weight_bits"),
        );
        assert!(modulus.is_power_of_two());
        // The generator that the group names; small groups carry what it gives.
        let mut g = Lcg((inputs * outputs) as u64);
        let x: Vec<u64> = (0..inputs).map(|_| g.below(modulus)).collect();
        let weights: Vec<i64> = (0..inputs * outputs)
            .map(|_| g.below(1 << weight_bits) as i64 - (1 << (weight_bits - 1)))
            .collect();
        let (ring, weight_bits) = (modulus.ilog2() as u8, weight_bits as u8);
        for test in group["tests"].as_array().unwrap() {
            if let (Some(given_x), Some(given_w)) = (test["x"].as_array(), test["w"].as_array()) {
                assert!(given_x.iter().map(|v| v.as_u64().unwrap()).eq(x.iter().copied()));
                assert!(given_w.iter().map(|v| v.as_i64().unwrap()).eq(weights.iter().copied()));
            }
            let y = test["y"].as_array().unwrap().iter().map(|v| v.as_u64().unwrap()).collect();
            let id = test["tcId"].as_u64().unwrap();
            all.push(Layer {
                id,
                ring,
                weight_bits,
                inputs,
                outputs,
                x: x.clone(),
                weights: weights.clone(),
                y,
            });
        }
    }
    all
}

impl Layer {
    /// The layer, or if the planner refuses it, its rows in blocks as large as it admits.
    fn admitted(&self, stock: usize) -> Vec<Self> {
        let block = |rows: usize, first: usize| Self {
            outputs: rows.min(self.outputs - first),
            weights: self.weights
                [first * self.inputs..(first + rows).min(self.outputs) * self.inputs]
                .to_vec(),
            y: self.y[first..(first + rows).min(self.outputs)].to_vec(),
            ..self.clone()
        };
        let rows = (1..=self.outputs)
            .rev()
            .find(|&rows| Tile::choose(&block(rows, 0).op(), stock).is_ok())
            .unwrap();
        (0..self.outputs).step_by(rows).map(|first| block(rows, first)).collect()
    }

    fn op(&self) -> Op {
        Op::FullyConnected {
            ring: self.ring,
            weight_bits: self.weight_bits,
            inputs: self.inputs as u32,
            outputs: self.outputs as u32,
        }
    }

    /// A model of this layer. Inputs are the ring's elements read signed; where these do not fit
    /// the plan's `i32`, they come in two halves, see [`Layer::halves`].
    fn model(&self) -> Vec<u8> {
        let half = 1_i64 << (u32::from(self.ring) - 1).min(31);
        let header = Header {
            input_len: self.inputs as u32,
            output_len: self.outputs as u32,
            input: Quantisation { scale: 1.0, min: (-half) as i32, max: (half - 1) as i32 },
            output_scale: 1.0,
            name: [0; 32],
        };
        let mut plan = vec![0; plan::MAX_BYTES];
        let ops = [self.op(), Op::Reveal { ring: self.ring, len: self.outputs as u32 }];
        let len = Plan::write(&header, &ops, &mut plan).unwrap();
        plan.truncate(len);
        let mut bytes = vec![0; Model::len_bytes(&Plan::parse(&plan).unwrap())];
        Model::write(&plan, |_, i, j| self.weights[i * self.inputs + j], |_, _| 0, &mut bytes)
            .unwrap();
        bytes
    }

    /// The inputs as numbers that the plan admits, and the factor with which results add up: `x =
    /// x_0 + 2^16·x_1 + 2^32·x_2` in wide rings, where a layer without bias is linear in `x`;
    /// one part elsewhere.
    fn parts(&self) -> Vec<(Vec<i64>, u64)> {
        let ring = Modulus::Bits(self.ring);
        if self.ring <= 32 {
            return vec![(self.x.iter().map(|&x| ring.to_signed(x)).collect(), 1)];
        }
        let part = |i: u32| {
            (self.x.iter().map(|&x| (x >> (16 * i) & 0xffff) as i64).collect(), 1 << (16 * i))
        };
        (0..3).map(part).collect()
    }

    /// Adds up the results of the parts and compares.
    fn check(&self, results: &[(Vec<i64>, u64)], how: &str) {
        let ring = Modulus::Bits(self.ring);
        let sum = |i: usize| {
            results.iter().fold(0, |sum, (y, factor)| {
                ring.add(sum, ring.mul(ring.reduce_signed(y[i]), ring.reduce(*factor)))
            })
        };
        assert_eq!(
            (0..self.outputs).map(sum).collect::<Vec<_>>(),
            self.y,
            "tcId {}, {how}",
            self.id
        );
    }
}

#[test]
fn fully_connected_layers_in_the_clear() {
    for layer in layers().iter().flat_map(|layer| layer.admitted(1)) {
        let bytes = layer.model();
        let model = Model::parse(&bytes).unwrap();
        let mut y = vec![0; layer.outputs];
        model.layers().next().unwrap().apply(&layer.x, &mut y).unwrap();
        assert_eq!(y, layer.y, "tcId {}, apply", layer.id);

        let evaluate = |x: &[i64]| {
            let mut scratch = vec![0; Model::scratch_len(model.plan())];
            let mut out = vec![0; layer.outputs];
            model.evaluate(x, &mut scratch, &mut out).unwrap();
            out
        };
        let results: Vec<_> =
            layer.parts().into_iter().map(|(x, factor)| (evaluate(&x), factor)).collect();
        layer.check(&results, "evaluate");
    }
}

/// The outputs of private predictions with these inputs.
fn privately(model: &[u8], inputs: &[Vec<i64>], options: Options) -> Vec<Vec<i64>> {
    let model = Model::parse(model).unwrap();
    common::private(&model, options, inputs)
}

#[test]
fn fully_connected_layers_privately() {
    let mut many_chunks = 0;
    for layer in layers().iter().flat_map(|layer| layer.admitted(layer.parts().len())) {
        let (inputs, factors): (Vec<_>, Vec<_>) = layer.parts().into_iter().unzip();
        let options = Options { stock: inputs.len() as u32, ..Options::default() };
        many_chunks += usize::from(Tile::choose(&layer.op(), inputs.len()).unwrap().chunks() > 1);
        let results: Vec<_> =
            privately(&layer.model(), &inputs, options).into_iter().zip(factors).collect();
        layer.check(&results, "privately");
    }
    assert!(many_chunks > 0, "no layer needs more than one ciphertext up");
}

/// The same layers with shares that an identity made: the server's share is no longer `x − r` of a
/// chosen `r`.
#[test]
fn fully_connected_layers_after_a_garbled_layer() {
    for layer in layers().into_iter().filter(|layer| layer.inputs <= 100 && layer.ring <= 32) {
        let header = Header {
            input_len: layer.inputs as u32,
            output_len: layer.outputs as u32,
            input: Quantisation {
                scale: 1.0,
                min: -(1 << (layer.ring - 1)),
                max: (1 << (layer.ring - 1)) - 1,
            },
            output_scale: 1.0,
            name: [0; 32],
        };
        let len = layer.inputs as u32;
        let ops = [
            Op::Activation {
                function: Function::Identity,
                ring_in: layer.ring,
                ring_out: layer.ring,
                shift: 0,
                len,
            },
            layer.op(),
            Op::Reveal { ring: layer.ring, len: layer.outputs as u32 },
        ];
        let mut plan = vec![0; plan::MAX_BYTES];
        let n = Plan::write(&header, &ops, &mut plan).unwrap();
        let mut bytes = vec![0; Model::len_bytes(&Plan::parse(&plan[..n]).unwrap())];
        Model::write(
            &plan[..n],
            |_, i, j| layer.weights[i * layer.inputs + j],
            |_, _| 0,
            &mut bytes,
        )
        .unwrap();
        let (x, factor) = layer.parts().remove(0);
        let out = privately(&bytes, &[x], Options::default()).remove(0);
        layer.check(&[(out, factor)], "after a garbled layer");
    }
}

/// No layer of the vectors is refused: each runs as one block.
#[test]
fn what_the_planner_refuses() {
    let blocks: Vec<_> =
        layers().iter().map(|layer| (layer.ring, layer.admitted(1).len())).collect();
    assert_eq!(blocks, [(16, 1), (21, 1), (24, 1), (44, 1), (22, 1)]);
}

/// Copies of one element.
const COPIES: u32 = 4096;

/// An element that is copied, and a sum of all copies, every one times the smallest weight.
fn sum_of_copies(ring: u8, weight_bits: u8) -> [Op; 3] {
    let view =
        View { dims: [1, 1, 1, COPIES], steps: [0; 4], strides: [0, 0, 0, 1], from: 0, to: 0 };
    [
        Op::StridedAdd { ring, onto: false, inputs: 1, len: COPIES, factor: 1, view },
        Op::FullyConnected { ring, weight_bits, inputs: COPIES, outputs: 1 },
        Op::Reveal { ring, len: 1 },
    ]
}

/// The encoding rounds all copies of an element alike, so these errors add up, and the smallest
/// weight makes them as large as any: results are exact all the same, under many masks, in the
/// widest rings that either parameter set carries.
#[test]
fn sums_of_copies_are_exact_in_the_widest_rings() {
    const STOCK: usize = 512;
    let mut widest = vec![];
    for weight_bits in [8, 12] {
        for set in ParameterSet::ALL {
            let carried = |ring: &u8| {
                let tile = Tile::choose(&sum_of_copies(*ring, weight_bits)[1], STOCK);
                tile.is_ok_and(|tile| tile.level.set == set)
            };
            let ring = (MIN_RING_BITS..=MAX_RING_BITS).rfind(carried).unwrap();
            widest.push(ring);
            let ops = sum_of_copies(ring, weight_bits);
            let header = Header {
                input_len: 1,
                output_len: 1,
                input: Quantisation { scale: 1.0, min: -1000, max: 1000 },
                output_scale: 1.0,
                name: [0; 32],
            };
            let mut plan = vec![0; plan::MAX_BYTES];
            let len = Plan::write(&header, &ops, &mut plan).unwrap();
            plan.truncate(len);
            let smallest = -1_i64 << (weight_bits - 1);
            let mut bytes = vec![0; Model::len_bytes(&Plan::parse(&plan).unwrap())];
            Model::write(&plan, |_, _, _| smallest, |_, _| 0, &mut bytes).unwrap();
            let mut g = Lcg::seeded(ring.into());
            let inputs: Vec<_> = (0..STOCK).map(|_| vec![g.below(2001) as i64 - 1000]).collect();
            let modulus = Modulus::Bits(ring);
            let sum = |x: &Vec<i64>| {
                modulus.to_signed(modulus.reduce_signed(smallest * i64::from(COPIES) * x[0]))
            };
            let results =
                privately(&bytes, &inputs, Options { stock: STOCK as u32, ..Options::default() });
            assert!(results.iter().flatten().copied().eq(inputs.iter().map(sum)), "ring {ring}");
        }
    }
    // One bit more in the smaller set, if the errors of copies did not count.
    assert_eq!(widest, [30, MAX_RING_BITS, 26, MAX_RING_BITS]);
}

/// A convolution of the vectors, in the clear and privately.
fn convolution(group: &Value) -> (Convolution, Vec<u64>, Vec<i64>) {
    let numbers = |name: &str| {
        group["params"][name]
            .as_array()
            .unwrap()
            .iter()
            .map(|v| v.as_u64().unwrap() as u32)
            .collect::<Vec<_>>()
    };
    let number = |name: &str| group["params"][name].as_u64().unwrap() as u32;
    let (input, weights, pads) =
        (numbers("input"), numbers("weights"), numbers("pads_top_left_bottom_right"));
    let layer = Convolution {
        input: [input[0], input[1], input[2]],
        outputs: weights[0],
        kernel: [weights[2], weights[3]],
        stride: [number("stride"); 2],
        pads: [pads[0], pads[1], pads[2], pads[3]],
        dilation: [number("dilation"); 2],
        groups: number("groups"),
    };
    let seed: u64 = group["params"]["generator"]
        .as_str()
        .unwrap()
        .split_once("lcg(")
        .unwrap()
        .1
        .split_once(')')
        .unwrap()
        .0
        .parse()
        .unwrap();
    let mut g = Lcg(seed);
    let x = (0..input.iter().product::<u32>()).map(|_| g.below(1 << 22)).collect();
    let w = (0..layer.weights()).map(|_| g.below(256) as i64 - 128).collect();
    (layer, x, w)
}

#[test]
fn convolutions_in_the_clear_and_privately() {
    use sha2::Digest as _;
    let mut checked = 0;
    for group in groups().iter().filter(|group| group["type"] == "Conv") {
        let (layer, x, w) = convolution(group);
        let size = layer.output_size().unwrap();
        let len = layer.outputs * size[0] * size[1];
        let header = Header {
            input_len: x.len() as u32,
            output_len: len,
            input: Quantisation { scale: 1.0, min: -(1 << 21), max: (1 << 21) - 1 },
            output_scale: 1.0,
            name: [0; 32],
        };
        let mut plan = vec![0; plan::MAX_BYTES];
        let ops =
            [Op::Convolution { ring: 22, weight_bits: 8, layer }, Op::Reveal { ring: 22, len }];
        let n = Plan::write(&header, &ops, &mut plan).unwrap();
        plan.truncate(n);
        let mut bytes = vec![0; Model::len_bytes(&Plan::parse(&plan).unwrap())];
        let fan_in = layer.fan_in() as usize;
        Model::write(&plan, |_, o, j| w[o * fan_in + j], |_, _| 0, &mut bytes).unwrap();
        let model = Model::parse(&bytes).unwrap();
        let ring = Modulus::Bits(22);
        let x: Vec<i64> = x.iter().map(|&x| ring.to_signed(x)).collect();
        let (_, clear) = common::expected(&model, &x);
        let y: Vec<u64> = clear.iter().map(|&y| ring.reduce_signed(y)).collect();
        let test = &group["tests"][0];
        assert_eq!(
            test["output_shape"]
                .as_array()
                .unwrap()
                .iter()
                .map(|v| v.as_u64().unwrap() as u32)
                .collect::<Vec<_>>(),
            [layer.outputs, size[0], size[1]]
        );
        match test["y"].as_array() {
            Some(given) => {
                assert_eq!(given.iter().map(|v| v.as_u64().unwrap()).collect::<Vec<_>>(), y)
            }
            None => {
                let all: Vec<u8> = y.iter().flat_map(|y| y.to_le_bytes()).collect();
                let hex: String =
                    sha2::Sha256::digest(&all).iter().map(|b| format!("{b:02x}")).collect();
                assert_eq!(test["y_sha256"].as_str().unwrap(), hex);
            }
        }
        assert_eq!(common::private(&model, Options::default(), &[x]), [clear]);
        checked += 1;
    }
    assert_eq!(checked, 7);
}

#[test]
fn every_group_is_of_a_known_kind() {
    let of = |kind: &str| groups().iter().filter(|group| group["type"] == kind).count();
    assert_eq!((of("FC"), of("Conv"), groups().len()), (5, 7, 12));
    assert_eq!(layers().len(), 5);
}
