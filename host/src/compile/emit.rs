//! Plan and model bytes, and how far the integer model is from the float one.

use super::features::Features;
use super::graph::{Graph, Reference};
use super::quantise::{Input, Integers, Kind, Operation, Tensor, linear_op, proven_bits};
use super::report::{CalibrationReport, CompileReport, InputReport, LayerReport, OutputReport};
use super::{CompileOptions, Compiled, Error, Float, LayerMap, Output, option};
use crate::progress::Bar;
use crate::text;
use minionn_core::model::Model;
use minionn_core::plan::{self, Function, Header, Node, Op, Plan};
use rayon::prelude::*;

/// Writes plan and model, and measures them.
pub(super) fn emit(
    graph: Graph,
    input: &Input,
    integers: Integers,
    options: &CompileOptions,
    rows: &[&[f32]],
    reference: Option<&Reference>,
) -> Result<Compiled, Error> {
    let output =
        options.output.unwrap_or(if graph.argmax { Output::Argmax } else { Output::Logits });
    let name = options.name.clone().unwrap_or_else(|| short(&graph.name));
    let scale = integers.tensors.get(integers.output).map_or(0.0, |t| t.scale);
    let plan = plan_bytes(&graph, input, &integers, options, (output, &name, scale))?;
    let model = model_bytes(&plan, &integers)?;
    let mut notes = [&graph.notes[..], &integers.notes].concat();
    if graph.argmax && output == Output::Logits {
        notes.push("ArgMax dropped: logits were asked for".into());
    }
    let mut layers = layers(&integers, options, reference);
    let map = layer_map(&graph, &integers);
    let calibration = reference
        .map(|r| measure(&model, &graph, rows, r, (&map, &mut layers), options))
        .transpose()?;
    let mut report = CompileReport {
        name,
        input: InputReport {
            len: graph.input_len,
            range: input.range.into(),
            scale: input.quantisation.scale,
            integers: [input.quantisation.min, input.quantisation.max],
            parts: input.features.as_ref().map(Features::len),
        },
        layers,
        output: OutputReport {
            kind: if output == Output::Argmax { "argmax" } else { "logits" },
            len: graph.output_len,
            scale,
        },
        calibration,
        warning: None,
        notes,
        model_bytes: model.len(),
        plan_bytes: plan.len(),
    };
    report.judge();
    Ok(Compiled {
        model,
        plan,
        report,
        layers: map,
        float: Float { graph, features: input.features.clone() },
    })
}

/// At most 32 bytes of a name, without control characters.
fn short(name: &str) -> String {
    let mut short = String::new();
    for c in name.chars().filter(|c| !c.is_control()) {
        if short.len() + c.len_utf8() > 32 {
            break;
        }
        short.push(c);
    }
    if short.is_empty() { "model".into() } else { short }
}

fn plan_bytes(
    graph: &Graph,
    input: &Input,
    integers: &Integers,
    options: &CompileOptions,
    (output, name, scale): (Output, &str, f64),
) -> Result<Vec<u8>, Error> {
    let mut padded = [0; 32];
    padded.iter_mut().zip(name.bytes()).for_each(|(to, from)| *to = from);
    let output_scale = scale as f32;
    if !output_scale.is_normal() {
        return option(format!(
            "one step of the logits is {scale:e}, outside the range of f32: rescale the network"
        ));
    }
    let header = Header {
        input_len: graph.input_len as u32,
        output_len: graph.output_len as u32,
        input: input.quantisation,
        output_scale,
        name: padded,
    };
    let nodes = nodes(integers, options.weight_bits, output)?;
    let entries: usize = nodes.iter().map(Node::entries).sum();
    if entries > plan::MAX_OPS {
        return option(format!(
            "the network takes {entries} entries of a plan, at most {} are supported",
            plan::MAX_OPS
        ));
    }
    let mut bytes = vec![0; plan::MAX_BYTES];
    let features = input.features.as_ref().map_or_else(Vec::new, Features::bytes);
    let note = options.input_note.as_deref();
    let text = text::of(&graph.signature, options.labels.as_ref(), note);
    let len = Plan::write_with(&header, &nodes, &features, &text, &mut bytes)?;
    bytes.truncate(len);
    Ok(bytes)
}

/// The plan's operations. A strided add takes one for each piece.
fn nodes(integers: &Integers, weight_bits: u8, output: Output) -> Result<Vec<Node>, Error> {
    let offsets = offsets(integers)?;
    let at = |tensor: usize| offsets.get(tensor).copied().unwrap_or(0);
    let tensor = |index: usize| {
        integers.tensors.get(index).ok_or(Error::Core(minionn_core::Error::Internal))
    };
    let mut nodes: Vec<Node> = Vec::new();
    for (index, operation) in integers.operations.iter().enumerate() {
        let made = tensor(index + 1)?;
        let x = operation.inputs.first().copied().unwrap_or(0);
        let (ring, len) = (made.ring, made.bounds.len() as u32);
        let ring_in = tensor(x)?.bounds.bits();
        let op = match &operation.kind {
            Kind::Garbled { function, window: Some(window), shift } => Op::MaxPool {
                function: *function,
                ring_in,
                ring_out: ring,
                shift: *shift,
                window: *window,
            },
            Kind::Garbled { function, window: None, shift } => {
                Op::Activation { function: *function, ring_in, ring_out: ring, shift: *shift, len }
            }
            Kind::Linear { layer, .. } => linear_op(layer, ring, weight_bits),
            Kind::Sum(window) => Op::SumPool { ring, window: *window },
            Kind::Square => Op::Square { ring, len },
            Kind::Product => Op::Product { ring, len },
            Kind::Offset(constants) => Op::Offset { ring, channels: constants.len() as u32, len },
            Kind::StridedAdd(pieces) => {
                for (number, &(input, factor, view)) in pieces.iter().enumerate() {
                    let source = operation.inputs.get(input).copied().unwrap_or(0);
                    let inputs = tensor(source)?.bounds.len() as u32;
                    let op = Op::StridedAdd { ring, onto: number > 0, inputs, len, factor, view };
                    let behind = number == 0 && source == index;
                    nodes.push(Node { op, from: (!behind).then(|| at(source)), also: 0 });
                }
                continue;
            }
        };
        let from = match operation.kind {
            Kind::Product => Some(at(x)),
            _ => (x != index).then(|| at(x)),
        };
        let also = operation.inputs.get(1).map_or(0, |&y| at(y));
        nodes.push(Node { op, from, also });
    }
    let opened = tensor(integers.output)?;
    let (ring, len) = (opened.bounds.bits(), opened.bounds.len() as u32);
    let op = match output {
        Output::Logits => Op::Reveal { ring, len },
        Output::Argmax => Op::Argmax { ring, len },
    };
    let from = (integers.output != integers.operations.len()).then(|| at(integers.output));
    nodes.push(Node { op, from, also: 0 });
    Ok(nodes)
}

/// The elements before every tensor.
fn offsets(integers: &Integers) -> Result<Vec<u32>, Error> {
    let mut sum = 0_u32;
    let mut offsets = Vec::new();
    for tensor in &integers.tensors {
        offsets.push(sum);
        let len = u32::try_from(tensor.bounds.len()).ok();
        sum = len
            .and_then(|len| sum.checked_add(len))
            .ok_or_else(|| Error::Option("the network has more than 2^32 elements".into()))?;
    }
    Ok(offsets)
}

/// Which elements of the integer model's tensors stand for which tensor of the prepared float
/// network.
fn layer_map(graph: &Graph, integers: &Integers) -> Vec<LayerMap> {
    let mut offset = integers.tensors.first().map_or(0, |t| t.bounds.len());
    let behind = integers.tensors.iter().skip(1);
    behind
        .zip(&integers.operations)
        .map(|(tensor, operation)| {
            let len = tensor.bounds.len();
            offset += len;
            LayerMap {
                name: operation.name.clone(),
                tensor: tensor.stands_for,
                inside: tensor.inside,
                onnx: graph.names.get(tensor.stands_for).cloned().flatten(),
                elements: offset - len..offset,
                scale: tensor.scale,
                ratios: tensor.ratios.clone(),
                ring: tensor.ring,
            }
        })
        .collect()
}

#[expect(
    clippy::indexing_slicing,
    reason = "Model::write asks for the layers and elements of the plan, which were made from these"
)]
fn model_bytes(plan: &[u8], integers: &Integers) -> Result<Vec<u8>, Error> {
    let layers: Vec<(&[i16], &[i64])> = integers
        .operations
        .iter()
        .filter_map(|operation| match &operation.kind {
            Kind::Linear { weights, biases, .. } => Some((&weights[..], &biases[..])),
            Kind::Offset(constants) => Some((&[][..], &constants[..])),
            _ => None,
        })
        .collect();
    let weight = |l: usize, i: usize, j: usize| {
        let (weights, biases) = layers[l];
        i64::from(weights[i * (weights.len() / biases.len()) + j])
    };
    let mut bytes = vec![0; Model::len_bytes(&Plan::parse(plan)?)];
    Model::write(plan, weight, |l, i| layers[l].1[i], &mut bytes)?;
    Ok(bytes)
}

fn layers(
    integers: &Integers,
    options: &CompileOptions,
    reference: Option<&Reference>,
) -> Vec<LayerReport> {
    let made = integers.tensors.iter().skip(1);
    let reports = made.zip(&integers.operations).map(|(tensor, operation)| {
        let x = operation.inputs.first().and_then(|&i| integers.tensors.get(i));
        let peaks =
            reference.and_then(|r| r.peaks.get(tensor.stands_for)).filter(|_| !tensor.inside);
        let report = report(operation, x.map_or(0, |x| x.bounds.len()), tensor, options);
        LayerReport {
            calibrated_max: peaks.map(|p| p.iter().copied().fold(0.0, f64::max)),
            ..report
        }
    });
    reports.collect()
}

fn report(
    operation: &Operation,
    inputs: usize,
    tensor: &Tensor,
    options: &CompileOptions,
) -> LayerReport {
    let (lo, hi) = tensor.bounds.extremes();
    let linear = |layer| linear_op(layer, tensor.ring, options.weight_bits);
    let (op, window, shift) = match &operation.kind {
        Kind::Garbled { function, window, shift } => {
            let op = match (function, window) {
                (Function::Identity, None) => "identity",
                (Function::Relu, None) => "relu",
                (Function::Identity, Some(_)) => "max_pool",
                (Function::Relu, Some(_)) => "relu_max_pool",
                (Function::Clip { .. }, _) => "clip",
                (Function::Leaky { .. }, _) => "leaky_relu",
                (Function::PiecewiseLinear(_), _) => "spline",
            };
            (op, window.as_ref(), Some(*shift))
        }
        Kind::Linear { layer, .. } if matches!(linear(layer), Op::FullyConnected { .. }) => {
            ("fully_connected", None, None)
        }
        Kind::Linear { layer, .. } => ("convolution", Some(layer), None),
        Kind::Sum(window) => ("sum_pool", Some(window), None),
        Kind::Square => ("square", None, None),
        Kind::Product => ("product", None, None),
        Kind::StridedAdd(..) => ("arrange", None, None),
        Kind::Offset(_) => ("offset", None, None),
    };
    let pieces = if let Kind::Garbled { function: Function::PiecewiseLinear(spline), .. } =
        &operation.kind
    {
        Some(spline.pieces())
    } else {
        None
    };
    LayerReport {
        op,
        name: operation.name.clone(),
        inputs,
        outputs: tensor.bounds.len(),
        ring: tensor.ring,
        weight_bits: matches!(operation.kind, Kind::Linear { .. }).then_some(options.weight_bits),
        shift,
        window: window.map(Into::into),
        pieces,
        scale: tensor.scale,
        proven: [lo, hi],
        proven_bits: proven_bits(&tensor.bounds),
        calibrated_max: None,
        max_error: None,
        curve_error: operation.curve_error,
    }
}

/// Runs the integer model on the calibration rows.
fn measure(
    model: &[u8],
    graph: &Graph,
    rows: &[&[f32]],
    reference: &Reference,
    (map, layers): (&[LayerMap], &mut [LayerReport]),
    options: &CompileOptions,
) -> Result<CalibrationReport, Error> {
    let model = Model::parse(model)?;
    let header = model.plan().header();
    let scale = f64::from(header.output_scale);
    let bar = Bar::new(options.progress, rows.len(), "integer model");
    let each = rows.len().div_ceil(rayon::current_num_threads().max(1)).max(1);
    let parts = rows.par_chunks(each).zip(reference.logits.par_chunks(each)).enumerate();
    let parts: Result<Vec<Measured>, Error> = parts
        .map(|(part, (rows, logits))| {
            let mut measured = Measured::new(map.len());
            let mut scratch = vec![0; Model::scratch_len(model.plan())];
            let mut out = vec![0; header.output_len as usize];
            for (index, (row, logits)) in rows.iter().zip(logits).enumerate() {
                let x: Vec<i64> =
                    row.iter().map(|&x| header.input.quantise(x)).collect::<Result<_, _>>()?;
                let best = model.evaluate(&x, &mut scratch, &mut out)?;
                measured.answer(&out, scale, logits, best);
                // A few rows are enough to see where the error comes from.
                if part * each + index < LAYER_ROWS {
                    measured.layers(map, &scratch, &graph.evaluate(row));
                }
                bar.advance();
            }
            Ok(measured)
        })
        .collect();
    bar.finish();
    let mut all = Measured::new(map.len());
    parts?.iter().for_each(|part| all.add(part));
    for (layer, error) in layers.iter_mut().zip(all.errors) {
        layer.max_error = error;
    }
    Ok(CalibrationReport { rows: rows.len(), ..all.report })
}

/// What some of the rows have shown.
struct Measured {
    report: CalibrationReport,
    /// The largest error of each layer, if it was compared.
    errors: Vec<Option<f64>>,
}

impl Measured {
    fn new(layers: usize) -> Self {
        let report =
            CalibrationReport { rows: 0, max_abs_error: 0.0, max_abs_logit: 0.0, same_argmax: 0 };
        Self { report, errors: vec![None; layers] }
    }

    /// The answer to one row.
    fn answer(&mut self, out: &[i64], scale: f64, logits: &[f64], best: usize) {
        let report = &mut self.report;
        for (&integer, &float) in out.iter().zip(logits) {
            report.max_abs_error = report.max_abs_error.max((integer as f64 * scale - float).abs());
            report.max_abs_logit = report.max_abs_logit.max(float.abs());
        }
        report.same_argmax += usize::from(best == first_largest(logits));
    }

    /// All layers of one row.
    fn layers(&mut self, map: &[LayerMap], scratch: &[u64], tensors: &[Vec<f64>]) {
        for (layer, own) in map.iter().zip(&mut self.errors).filter(|(layer, _)| !layer.inside) {
            let float = tensors.get(layer.tensor).map_or(&[][..], |t| t);
            let differences = layer.reals(scratch).zip(float).map(|(x, y)| (x - y).abs());
            let worst = differences.fold(0.0, f64::max);
            *own = Some(own.map_or(worst, |own| own.max(worst)));
        }
    }

    fn add(&mut self, other: &Self) {
        let (own, more) = (&mut self.report, &other.report);
        own.max_abs_error = own.max_abs_error.max(more.max_abs_error);
        own.max_abs_logit = own.max_abs_logit.max(more.max_abs_logit);
        own.same_argmax += more.same_argmax;
        for (own, more) in self.errors.iter_mut().zip(&other.errors) {
            if let Some(more) = more {
                *own = Some(own.map_or(*more, |own| own.max(*more)));
            }
        }
    }
}

/// Rows on which every layer is compared.
const LAYER_ROWS: usize = 16;

/// Index of the largest, the first one on a tie.
pub(crate) fn first_largest(logits: &[f64]) -> usize {
    let start = (0, f64::NEG_INFINITY);
    logits.iter().enumerate().fold(start, |best, (i, &x)| if x > best.1 { (i, x) } else { best }).0
}
