//! Plan and model bytes, and how far the integer model is from the float one.

use super::quantise::{Input, Integers, Quantised, Tensor, proven_bits};
use super::report::{CalibrationReport, CompileReport, InputReport, LayerReport, OutputReport};
use super::segment::{Chain, Reference, Segment};
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
    let scale = integers.segments.last().map_or(0.0, |s| s.end.scale);
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
    if ops.len() > plan::MAX_OPS {
        return option(format!("the network takes {} operations, at most {} are supported", ops.len(), plan::MAX_OPS));
    }
    let mut bytes = vec![0; plan::MAX_BYTES];
    let len = Plan::write(&header, &ops, &mut bytes)?;
    bytes.truncate(len);
    Ok(bytes)
}

fn ops(chain: &Chain, integers: &Integers, weight_bits: u8, output: Output) -> Vec<Op> {
    let mut ops = Vec::new();
    let (mut ring_in, mut len) = (0, chain.input_len as u32);
    for (segment, quantised) in chain.segments.iter().zip(&integers.segments) {
        let ring = quantised.ring;
        if let Some(entry) = &segment.entry {
            ops.push(Op::Activation { function: entry.function, ring_in, ring_out: ring, shift: quantised.shift, len });
        }
        if segment.square.is_some() {
            ops.push(Op::Square { ring, len });
        }
        if let Some((_, linear)) = &segment.linear {
            let (inputs, outputs) = (len, linear.outputs as u32);
            ops.push(Op::FullyConnected { ring, weight_bits, inputs, outputs });
            len = outputs;
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
    let layers: Vec<_> = integers.segments.iter().filter_map(|s| s.linear.as_ref().map(|l| (s.squared.bounds.len(), l))).collect();
    let weight = |l: usize, i: usize, j: usize| {
        let (inputs, layer) = layers[l];
        i64::from(layer.weights[i * inputs + j])
    };
    let mut bytes = vec![0; Model::len_bytes(&Plan::parse(plan)?)];
    Model::write(plan, weight, |l, i| layers[l].1.biases[i], &mut bytes)?;
    Ok(bytes)
}

fn layers(chain: &Chain, integers: &Integers, options: &CompileOptions, reference: Option<&Reference>) -> Vec<LayerReport> {
    let mut reports = Vec::new();
    for (i, (segment, quantised)) in chain.segments.iter().zip(&integers.segments).enumerate() {
        let peak = |pick: fn(&Reference) -> &Vec<f64>| reference.and_then(|r| pick(r).get(i)).copied();
        segment_report(
            segment,
            quantised,
            options,
            &mut reports,
            [peak(|r| &r.entry_peaks), peak(|r| &r.square_peaks), peak(|r| &r.end_peaks)],
        );
    }
    reports
}

fn segment_report(
    segment: &Segment,
    quantised: &Quantised,
    options: &CompileOptions,
    reports: &mut Vec<LayerReport>,
    peaks: [Option<f64>; 3],
) {
    let [entered, squared, end] = peaks;
    let len = quantised.entered.bounds.len();
    let report = |op, name: &str, tensor: &Tensor, calibrated_max| {
        let (lo, hi) = tensor.bounds.extremes();
        LayerReport {
            op,
            name: name.into(),
            inputs: len,
            outputs: tensor.bounds.len(),
            ring: quantised.ring,
            weight_bits: None,
            shift: None,
            scale: tensor.scale,
            proven: [lo, hi],
            proven_bits: proven_bits(&tensor.bounds),
            calibrated_max,
        }
    };
    if let Some(entry) = &segment.entry {
        let op = match entry.function {
            Function::Identity => "identity",
            Function::Relu => "relu",
        };
        reports.push(LayerReport { shift: Some(quantised.shift), ..report(op, &entry.name, &quantised.entered, entered) });
    }
    if let Some(name) = &segment.square {
        reports.push(report("square", name, &quantised.squared, squared));
    }
    if let Some((name, _)) = &segment.linear {
        reports.push(LayerReport { weight_bits: Some(options.weight_bits), ..report("fully_connected", name, &quantised.end, end) });
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
