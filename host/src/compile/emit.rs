//! Plan and model bytes, and how far the integer model is from the float one.

use super::quantise::{Input, Integers, Quantised, Tensor, linear_op, proven_bits};
use super::report::{CalibrationReport, CompileReport, InputReport, LayerReport, OutputReport};
use super::segment::{Chain, Entry, Reference, Work};
use super::{CompileOptions, Compiled, Error, Output, option, progress};
use minionn_core::model::Model;
use minionn_core::plan::{self, Function, Header, Op, Plan};

/// Writes plan and model, and measures them.
pub(super) fn emit(
    chain: &Chain,
    input: &Input,
    integers: Integers,
    options: &CompileOptions,
    rows: &[&[f32]],
    reference: Option<&Reference>,
) -> Result<Compiled, Error> {
    let output = options.output.unwrap_or(if chain.argmax { Output::Argmax } else { Output::Logits });
    let name = options.name.clone().unwrap_or_else(|| short(&chain.name));
    let scale = integers.segments.last().map_or(0.0, |s| s.end().scale);
    let plan = plan_bytes(chain, input, &integers, options, (output, &name, scale))?;
    let model = model_bytes(&plan, &integers)?;
    let mut notes = [&chain.notes[..], &integers.notes].concat();
    if chain.argmax && output == Output::Logits {
        notes.push("ArgMax dropped: logits were asked for".into());
    }
    let report = CompileReport {
        name,
        input: InputReport {
            len: chain.input_len,
            range: input.range.into(),
            scale: input.quantisation.scale,
            integers: [input.quantisation.min, input.quantisation.max],
        },
        layers: layers(chain, &integers, options, reference),
        output: OutputReport { kind: if output == Output::Argmax { "argmax" } else { "logits" }, len: chain.output_len, scale },
        calibration: reference.map(|r| measure(&model, rows, r, options)).transpose()?,
        notes,
        model_bytes: model.len(),
        plan_bytes: plan.len(),
    };
    Ok(Compiled { model, plan, report })
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
    chain: &Chain,
    input: &Input,
    integers: &Integers,
    options: &CompileOptions,
    (output, name, scale): (Output, &str, f64),
) -> Result<Vec<u8>, Error> {
    let mut padded = [0; 32];
    padded.iter_mut().zip(name.bytes()).for_each(|(to, from)| *to = from);
    let output_scale = scale as f32;
    if !output_scale.is_normal() {
        return option(format!("one step of the logits is {scale:e}, outside the range of f32: rescale the network"));
    }
    let header = Header {
        input_len: chain.input_len as u32,
        output_len: chain.output_len as u32,
        input: input.quantisation,
        output_scale,
        name: padded,
    };
    let ops = ops(chain, integers, options.weight_bits, output);
    let records: usize = ops.iter().map(records).sum();
    if records > plan::MAX_OPS {
        return option(format!("the network takes {records} records of a plan, at most {} are supported", plan::MAX_OPS));
    }
    let mut bytes = vec![0; plan::MAX_BYTES];
    let len = Plan::write(&header, &ops, &mut bytes)?;
    bytes.truncate(len);
    Ok(bytes)
}

/// Records of an operation: one, and three more for shapes.
const fn records(op: &Op) -> usize {
    if matches!(op, Op::Convolution { .. } | Op::MaxPool { .. } | Op::SumPool { .. }) { 4 } else { 1 }
}

fn ops(chain: &Chain, integers: &Integers, weight_bits: u8, output: Output) -> Vec<Op> {
    let mut ops = Vec::new();
    let (mut ring_in, mut len) = (0, chain.input_len as u32);
    for (segment, quantised) in chain.segments.iter().zip(&integers.segments) {
        let (ring_out, shift) = (quantised.ring, quantised.shift);
        match segment.entry {
            Some(Entry { function, window: Some(window), .. }) => ops.push(Op::MaxPool { function, ring_in, ring_out, shift, window }),
            Some(Entry { function, window: None, .. }) => ops.push(Op::Activation { function, ring_in, ring_out, shift, len }),
            None => {}
        }
        let ring = ring_out;
        len = quantised.entered.bounds.len() as u32;
        for (part, done) in segment.parts.iter().zip(&quantised.done) {
            ops.push(match &part.work {
                Work::Square => Op::Square { ring, len },
                Work::Sum(window, _) => Op::SumPool { ring, window: *window },
                Work::Linear(linear) => linear_op(&linear.layer, ring, weight_bits),
            });
            len = done.tensor.bounds.len() as u32;
        }
        ring_in = ring;
    }
    ops.push(match output {
        Output::Logits => Op::Open { ring: ring_in, len },
        Output::Argmax => Op::Argmax { ring: ring_in, len },
    });
    ops
}

#[expect(clippy::indexing_slicing, reason = "Model::write asks for the layers and elements of the plan, which were made from these")]
fn model_bytes(plan: &[u8], integers: &Integers) -> Result<Vec<u8>, Error> {
    let layers: Vec<_> = integers.segments.iter().flat_map(|s| &s.done).filter_map(|done| done.weights.as_ref()).collect();
    let weight = |l: usize, i: usize, j: usize| {
        let fan_in = layers[l].weights.len() / layers[l].biases.len();
        i64::from(layers[l].weights[i * fan_in + j])
    };
    let mut bytes = vec![0; Model::len_bytes(&Plan::parse(plan)?)];
    Model::write(plan, weight, |l, i| layers[l].biases[i], &mut bytes)?;
    Ok(bytes)
}

fn layers(chain: &Chain, integers: &Integers, options: &CompileOptions, reference: Option<&Reference>) -> Vec<LayerReport> {
    let mut reports = Vec::new();
    let mut len = chain.input_len;
    for (i, (segment, quantised)) in chain.segments.iter().zip(&integers.segments).enumerate() {
        let entered = reference.and_then(|r| r.entry_peaks.get(i)).copied();
        let parts = reference.and_then(|r| r.part_peaks.get(i)).map_or(&[][..], |peaks| peaks);
        if let Some(entry) = &segment.entry {
            reports.push(entry_report(entry, quantised, len, entered));
        }
        len = quantised.entered.bounds.len();
        for (j, (part, done)) in segment.parts.iter().zip(&quantised.done).enumerate() {
            let (op, window, weight_bits) = match &part.work {
                Work::Square => ("square", None, None),
                Work::Sum(window, _) => ("sum_pool", Some(window), None),
                Work::Linear(linear) if linear.is_dense() => ("fully_connected", None, Some(options.weight_bits)),
                Work::Linear(linear) => ("convolution", Some(&linear.layer), Some(options.weight_bits)),
            };
            let report = report(op, &part.name, len, quantised.ring, &done.tensor);
            reports.push(LayerReport { weight_bits, window: window.map(Into::into), calibrated_max: parts.get(j).copied(), ..report });
            len = done.tensor.bounds.len();
        }
    }
    reports
}

fn entry_report(entry: &Entry, quantised: &Quantised, inputs: usize, calibrated_max: Option<f64>) -> LayerReport {
    let op = match (entry.function, entry.window) {
        (Function::Identity, None) => "identity",
        (Function::Relu, None) => "relu",
        (Function::Identity, Some(_)) => "max_pool",
        (Function::Relu, Some(_)) => "relu_max_pool",
    };
    let window = entry.window.as_ref().map(Into::into);
    let report = report(op, &entry.name, inputs, quantised.ring, &quantised.entered);
    LayerReport { shift: Some(quantised.shift), window, calibrated_max, ..report }
}

fn report(op: &'static str, name: &str, inputs: usize, ring: u8, tensor: &Tensor) -> LayerReport {
    let (lo, hi) = tensor.bounds.extremes();
    LayerReport {
        op,
        name: name.into(),
        inputs,
        outputs: tensor.bounds.len(),
        ring,
        weight_bits: None,
        shift: None,
        window: None,
        scale: tensor.scale,
        proven: [lo, hi],
        proven_bits: proven_bits(&tensor.bounds),
        calibrated_max: None,
    }
}

/// Runs the integer model on the calibration rows.
fn measure(model: &[u8], rows: &[&[f32]], reference: &Reference, options: &CompileOptions) -> Result<CalibrationReport, Error> {
    let model = Model::parse(model)?;
    let header = model.plan().header();
    let scale = f64::from(header.output_scale);
    let mut scratch = vec![0; Model::scratch_len(model.plan())];
    let mut out = vec![0; header.output_len as usize];
    let mut report = CalibrationReport { rows: rows.len(), max_abs_error: 0.0, max_abs_logit: 0.0, same_argmax: 0 };
    let bar = progress(options.progress, rows.len(), "integer model");
    for (row, logits) in rows.iter().zip(&reference.logits) {
        let x: Vec<i64> = row.iter().map(|&x| header.input.quantise(x)).collect::<Result<_, _>>()?;
        let best = model.evaluate(&x, &mut scratch, &mut out)?;
        for (&integer, &float) in out.iter().zip(logits) {
            report.max_abs_error = report.max_abs_error.max((integer as f64 * scale - float).abs());
            report.max_abs_logit = report.max_abs_logit.max(float.abs());
        }
        report.same_argmax += usize::from(best == first_largest(logits));
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(report)
}

fn first_largest(logits: &[f64]) -> usize {
    let start = (0, f64::NEG_INFINITY);
    logits.iter().enumerate().fold(start, |best, (i, &x)| if x > best.1 { (i, x) } else { best }).0
}
