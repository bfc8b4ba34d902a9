//! The float network, the integer model and the private run, side by side: where does a prediction
//! change, and by how much?
//!
//! | module | what it is |
//! |---|---|
//! | `engine` | the float network in tract, an ONNX engine; with the feature `check` |
//! | [`report`] | what came out, for people and as JSON |

#[cfg(feature = "check")]
mod engine;
pub mod report;

use crate::compile::{Compiled, LayerMap, first_largest};
use crate::npy::Array;
use crate::progress::Bar;
use crate::{clamp, loopback, prefix};
use anyhow::{Context as _, ensure};
use minionn_core::model::Model;
use minionn_core::ring::Modulus;
use minionn_core::session::Options;
use report::{Answers, CheckReport, LayerCheck, PrivateCheck, Source};
use std::collections::HashMap;

/// What to check.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'a> {
    /// How far a layer may be from its float values, as a part of the largest of these.
    pub tolerance: f64,
    /// Run privately, too: every layer for the first row, the whole network for all rows.
    pub private: bool,
    /// Options of the private sessions.
    pub options: Options,
    /// Another model to serve than the compiled one: shows that the check notices.
    pub served: Option<&'a [u8]>,
    /// Show progress on standard error.
    pub progress: bool,
}

impl Default for Settings<'_> {
    fn default() -> Self {
        Self {
            tolerance: 0.05,
            private: true,
            options: Options::default(),
            served: None,
            progress: false,
        }
    }
}

/// Checks `compiled`, which was made of `onnx`, on every row of `inputs`.
///
/// # Errors
/// Inputs that do not fit the network, and whatever ends a private session. That something differs
/// is no error but in the report.
pub fn check(
    onnx: &[u8],
    compiled: &Compiled,
    inputs: &Array,
    settings: &Settings<'_>,
) -> anyhow::Result<CheckReport> {
    let model = Model::parse(&compiled.model)?;
    let header = model.plan().header();
    let rows: Vec<&[f32]> = inputs.rows_of(header.input_len as usize)?.collect();
    ensure!(!rows.is_empty(), "no rows to check");
    let mut engine = Floats::new(onnx, compiled);
    let mut layers: Vec<Compared> = compiled.layers.iter().map(|_| Compared::default()).collect();
    let (mut floats, mut integers, mut clamped) = (Vec::new(), Vec::new(), 0);
    let mut scratch = vec![0; Model::scratch_len(model.plan())];
    let mut out = vec![0; header.output_len as usize];
    let mut first = Vec::new();
    let bar = Bar::new(settings.progress, rows.len(), "float and integers");
    for (index, row) in rows.iter().enumerate() {
        let x: Vec<i64> = row
            .iter()
            .enumerate()
            .map(|(i, &x)| model.plan().quantise(i, x))
            .collect::<Result<_, _>>()
            .with_context(|| format!("row {index}"))?;
        clamped += clamp::of(model.plan(), row).values;
        integers.push(model.evaluate(&x, &mut scratch, &mut out)?);
        if index == 0 {
            first.clone_from(&scratch);
        }
        let values = engine.values(compiled, row);
        for (map, layer) in compiled.layers.iter().zip(&mut layers).filter(|(map, _)| !map.inside) {
            layer.add(map, &scratch, &values);
        }
        floats.push(first_largest(values.output(compiled)));
        bar.advance();
    }
    bar.finish();
    let checks: Vec<LayerCheck> = compiled
        .layers
        .iter()
        .zip(&compiled.report.layers)
        .zip(&layers)
        .map(|((map, report), layer)| layer.check(map, report))
        .collect();
    let answers =
        Answers { rows: rows.len(), float_integer: same(&floats, &integers), ..Answers::default() };
    let mut report = CheckReport {
        name: compiled.report.name.clone(),
        tolerance: settings.tolerance,
        input_values_clamped: clamped,
        layers: checks,
        answers,
        private: None,
        notes: engine.notes,
    };
    report.note_imports();
    if settings.private {
        private(compiled, &first, inputs, (&floats, &integers), settings, &mut report)?;
    }
    Ok(report)
}

/// Runs privately and fills in what that shows. `first`: all integers of the first row.
fn private(
    compiled: &Compiled,
    first: &[u64],
    inputs: &Array,
    (floats, integers): (&[usize], &[usize]),
    settings: &Settings<'_>,
    report: &mut CheckReport,
) -> anyhow::Result<()> {
    let served = crate::Model::from_bytes(settings.served.unwrap_or(&compiled.model))?;
    let len = served.plan().input_len();
    let row = inputs.rows_of(len)?.next().context("no rows to check")?;
    let row = Array::new(&[1, len], row.to_vec()).context("no rows to check")?;
    let bar = Bar::new(settings.progress, compiled.layers.len(), "private, layer by layer");
    for (map, layer) in compiled.layers.iter().zip(&mut report.layers) {
        let values = layer_values(served.core(), map.elements.start, &row)
            .with_context(|| format!("private run up to layer {}", map.name))?;
        let ring = Modulus::Bits(map.ring);
        let expected = first.get(map.elements.clone()).unwrap_or_default();
        layer.private_equal = Some(
            values
                .iter()
                .copied()
                .eq(expected.iter().map(|&x| ring.to_signed(ring.reduce(x)) as f64)),
        );
        bar.advance();
    }
    bar.finish();

    let expected =
        crate::Model::from_bytes(&compiled.model[..])?.predict_plain_batch(inputs.rows_of(len)?)?;
    let bar = Bar::new(settings.progress, expected.len(), "private, whole network");
    let made = loopback::predict(&served, settings.options, inputs, || bar.advance())
        .context("private run")?;
    bar.finish();
    let indices: Vec<usize> = made.predictions.iter().map(|p| p.class).collect();
    report.answers.float_private = Some(same(floats, &indices));
    let all =
        floats.iter().zip(integers).zip(&indices).filter(|((f, i), p)| f == i && i == p).count();
    report.answers.all_three = Some(all);
    report.private = Some(PrivateCheck {
        equal_layers: report.layers.iter().filter(|l| l.private_equal == Some(true)).count(),
        equal_rows: made.predictions.iter().zip(&expected).filter(|(a, b)| a == b).count(),
    });
    Ok(())
}

/// The private values of the tensor at `offset`, for the one row of `inputs`.
///
/// # Errors
/// If nothing makes a tensor there, or the session fails.
pub fn layer_values(model: &Model<'_>, offset: usize, inputs: &Array) -> anyhow::Result<Vec<f64>> {
    let short = prefix::up_to(model, offset)?;
    let made =
        loopback::predict(&crate::Model::from_bytes(short)?, Options::default(), inputs, || {})?;
    made.predictions.into_iter().next().and_then(|p| p.logits).context("no answer")
}

/// How far a layer's integers are from its floats, over all rows so far.
#[derive(Default)]
struct Compared {
    source: Source,
    peak: f64,
    error: f64,
    /// Between the engine and the compiler's own float network.
    import: Option<f64>,
}

impl Compared {
    fn add(&mut self, map: &LayerMap, scratch: &[u64], values: &Values) {
        let own = values.own.get(map.tensor).map_or(&[][..], |t| t);
        let engine = map
            .onnx
            .as_ref()
            .and_then(|name| values.named.get(name))
            .filter(|t| t.len() == own.len());
        let float = engine.map_or(own, |t| t);
        self.source = if engine.is_some() { Source::Tract } else { Source::Own };
        self.peak = float.iter().fold(self.peak, |most, x| most.max(x.abs()));
        self.error = largest(self.error, map.reals(scratch), float);
        if engine.is_some() {
            self.import = Some(largest(self.import.unwrap_or(0.0), own.iter().copied(), float));
        }
    }

    fn check(&self, map: &LayerMap, report: &crate::compile::report::LayerReport) -> LayerCheck {
        let compared = self.source != Source::None;
        let part = |error: f64| match self.peak {
            // Where the floats are all zero, there is nothing to be a part of: a few steps are
            // none, more are all.
            0.0 => f64::from(error > 2.0 * map.scale),
            peak => error / peak,
        };
        LayerCheck {
            name: map.name.clone(),
            operation: report.operation(),
            elements: map.elements.len(),
            source: self.source,
            onnx: map.onnx.clone().filter(|_| compared),
            float_peak: compared.then_some(self.peak),
            max_error: compared.then_some(self.error),
            relative: compared.then(|| part(self.error)),
            import_relative: self.import.map(part),
            private_equal: None,
        }
    }
}

/// The largest difference, and `so_far`; what is no number counts as infinitely far.
fn largest(so_far: f64, xs: impl Iterator<Item = f64>, ys: &[f64]) -> f64 {
    let differences =
        xs.zip(ys).map(|(x, y)| if y.is_finite() { (x - y).abs() } else { f64::INFINITY });
    differences.fold(so_far, f64::max)
}

fn same(a: &[usize], b: &[usize]) -> usize {
    a.iter().zip(b).filter(|(a, b)| a == b).count()
}

/// The float values of one row.
struct Values {
    /// Every tensor of the compiler's float network.
    own: Vec<Vec<f64>>,
    /// Tensors of the engine, by their name in the file.
    named: HashMap<String, Vec<f64>>,
}

impl Values {
    fn output(&self, compiled: &Compiled) -> &[f64] {
        let own = self.own.get(compiled.float.output()).map_or(&[][..], |t| t);
        let named =
            compiled.float.name(compiled.float.output()).and_then(|name| self.named.get(name));
        named.filter(|t| t.len() == own.len()).map_or(own, |t| t)
    }
}

/// Where float values come from.
struct Floats {
    #[cfg(feature = "check")]
    engine: Option<engine::Engine>,
    notes: Vec<String>,
}

impl Floats {
    #[cfg(feature = "check")]
    fn new(onnx: &[u8], compiled: &Compiled) -> Self {
        let signature = compiled.float.signature();
        if signature.inputs.len() > 1 || signature.batch.is_some() {
            let note = "several inputs, or a fixed batch of which one row is left, are not run in \
                        tract: float values are of the compiler's own float network";
            return Self { engine: None, notes: vec![note.into()] };
        }
        let wanted =
            compiled.layers.iter().filter(|map| !map.inside).filter_map(|map| map.onnx.as_deref());
        let mut names: Vec<&str> = Vec::new();
        for name in wanted.chain(compiled.float.name(compiled.float.output())) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let (engine, notes) = engine::Engine::new(onnx, &names);
        Self { engine, notes }
    }

    #[cfg(not(feature = "check"))]
    fn new(_: &[u8], _: &Compiled) -> Self {
        Self {
            notes: vec![
                "built without tract: all float values are of the compiler's own float network"
                    .into(),
            ],
        }
    }

    #[cfg(feature = "check")]
    fn values(&mut self, compiled: &Compiled, row: &[f32]) -> Values {
        let mut named = HashMap::new();
        if let Some(engine) = &self.engine {
            match engine.run(row) {
                Ok(values) => named = values,
                Err(error) => {
                    self.notes.push(format!(
                        "tract stopped ({error:#}): float values from here on are of the \
                         compiler's own float network"
                    ));
                    self.engine = None;
                }
            }
        }
        Values { own: compiled.float.evaluate(row), named }
    }

    #[cfg(not(feature = "check"))]
    fn values(&mut self, compiled: &Compiled, row: &[f32]) -> Values {
        Values { own: compiled.float.evaluate(row), named: HashMap::new() }
    }
}
