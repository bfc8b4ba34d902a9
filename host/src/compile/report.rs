//! What the compiler decided, for people (`Display`) and as JSON (`Serialize`).

use core::fmt;
use minionn_core::plan::Convolution;
use serde::Serialize;

/// The whole report.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CompileReport {
    /// Name in the plan.
    pub name: String,
    /// The input.
    pub input: InputReport,
    /// The operations in order.
    pub layers: Vec<LayerReport>,
    /// The output.
    pub output: OutputReport,
    /// How the integer model does on the calibration rows.
    pub calibration: Option<CalibrationReport>,
    /// Why the integer model is not to be used as it is, with the layer to blame and what helps.
    pub warning: Option<String>,
    /// What was dropped, folded or made coarser.
    pub notes: Vec<String>,
    /// Bytes of the model.
    pub model_bytes: usize,
    /// Bytes of the plan.
    pub plan_bytes: usize,
}

/// The input.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct InputReport {
    /// Elements.
    pub len: usize,
    /// Real range: declared or seen.
    pub range: [f32; 2],
    /// Real value of one step.
    pub scale: f32,
    /// Smallest and largest integer.
    pub integers: [i32; 2],
    /// How many parts have steps of their own, if they have.
    pub parts: Option<usize>,
}

/// The output.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OutputReport {
    /// `logits` or `argmax`.
    pub kind: &'static str,
    /// Elements of the last tensor.
    pub len: usize,
    /// Real value of one step of the logits.
    pub scale: f64,
}

/// One operation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LayerReport {
    /// `fully_connected`, `convolution`, `relu`, `clip`, `leaky_relu`, `spline`, `identity`
    /// (truncation only), `max_pool`, `relu_max_pool` (fused), `sum_pool`, `square`,
    /// `product`, `arrange` or `offset`.
    pub op: &'static str,
    /// The node's name.
    pub name: String,
    /// Elements in.
    pub inputs: usize,
    /// Elements out.
    pub outputs: usize,
    /// Ring of the output, in bits.
    pub ring: u8,
    /// Signed width of the weights.
    pub weight_bits: Option<u8>,
    /// Bits cut off.
    pub shift: Option<u8>,
    /// The window that slides over the image.
    pub window: Option<WindowReport>,
    /// Pieces of a spline.
    pub pieces: Option<usize>,
    /// Real value of one step of the output.
    pub scale: f64,
    /// Smallest and largest integer that any input can cause.
    pub proven: [i64; 2],
    /// Bits that these take, signed.
    pub proven_bits: u32,
    /// Largest absolute real value on the calibration rows.
    pub calibrated_max: Option<f64>,
    /// Largest difference from the float network on the first calibration rows.
    pub max_error: Option<f64>,
    /// Largest error of a spline over all inputs that the layer can meet.
    pub curve_error: Option<f64>,
}

/// A kernel or pooling window.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WindowReport {
    /// Channels, height and width of the input.
    pub input: [u32; 3],
    /// Height and width.
    pub kernel: [u32; 2],
    /// Down and right.
    pub stride: [u32; 2],
    /// Zeros around the input: top, left, bottom, right.
    pub pads: [u32; 4],
    /// Distance of its elements, down and right.
    pub dilation: [u32; 2],
    /// Groups of channels that do not mix.
    pub groups: u32,
}

impl From<&Convolution> for WindowReport {
    fn from(layer: &Convolution) -> Self {
        let Convolution { input, kernel, stride, pads, dilation, groups, .. } = *layer;
        Self { input, kernel, stride, pads, dilation, groups }
    }
}

/// The integer model against the float network on the calibration rows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CalibrationReport {
    /// Rows.
    pub rows: usize,
    /// Largest absolute difference of a logit.
    pub max_abs_error: f64,
    /// Largest absolute logit of the float network.
    pub max_abs_logit: f64,
    /// Rows in which the same output is largest.
    pub same_argmax: usize,
}

impl fmt::Display for CompileReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let InputReport { len, range: [lo, hi], scale, integers: [min, max], parts } = &self.input;
        writeln!(
            f,
            "{}: {} bytes of model, {} of plan",
            self.name, self.model_bytes, self.plan_bytes
        )?;
        write!(f, "input: {len} numbers from {lo} to {hi}, as integers {min} to {max} ")?;
        match parts {
            Some(parts) => writeln!(f, "({parts} features, each with its own step and offset)")?,
            None => writeln!(f, "(step {scale:.4e})")?,
        }
        let head = [
            "layer",
            "operation",
            "in",
            "out",
            "ring",
            "shift",
            "step",
            "proven bits",
            "calibrated max",
            "error",
        ];
        writeln!(f, "{}", row(&head.map(String::from)))?;
        for layer in &self.layers {
            writeln!(f, "{}", row(&layer.cells()))?;
        }
        writeln!(
            f,
            "output: {} of {} (step {:.4e})",
            self.output.kind, self.output.len, self.output.scale
        )?;
        if let Some(c) = &self.calibration {
            let (error, largest) = (c.max_abs_error, c.max_abs_logit);
            writeln!(
                f,
                "calibration: same argmax in {} of {} rows; largest error of a logit {error:.4}, \
                 largest logit {largest:.4}",
                c.same_argmax, c.rows
            )?;
        }
        if let Some(warning) = &self.warning {
            writeln!(f, "warning: {warning}")?;
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "note: {note}"))
    }
}

/// Fewest rows that say something about agreement.
const FEW_ROWS: usize = 8;
/// Least part of the rows with the same answer.
const LEAST_AGREEMENT: f64 = 0.9;
/// Errors of logits, as a part of the largest: with fewer same answers than that, and in any case.
const NOTICED: f64 = 0.05;
const LARGE: f64 = 0.25;

impl CompileReport {
    /// Looks at the calibration rows: whether answers are the same, and if not, which layer is to
    /// blame.
    pub(super) fn judge(&mut self) {
        let Some(c) = self.calibration.as_ref().filter(|c| c.rows >= FEW_ROWS) else { return };
        let agreement = c.same_argmax as f64 / c.rows as f64;
        let error = if c.max_abs_logit > 0.0 { c.max_abs_error / c.max_abs_logit } else { 0.0 };
        let poor = agreement < LEAST_AGREEMENT && error > NOTICED || error > LARGE;
        if !poor {
            return;
        }
        let blame = self.blamed().map_or_else(String::new, |(layer, part)| {
            format!(
                " The layer to blame is {} ({}), off by {:.0} % of its values: {}",
                layer.name,
                layer.operation(),
                100.0 * part,
                layer.remedy()
            )
        });
        self.warning = Some(format!(
            "the integer model is far from the float network: the same answer in {} of {} \
             calibration rows, logits off by up to {:.0} % of the largest.{blame}",
            c.same_argmax,
            c.rows,
            100.0 * error
        ));
    }

    /// The layer that adds most to the error, as a part of its largest value.
    fn blamed(&self) -> Option<(&LayerReport, f64)> {
        let part = |layer: &LayerReport| {
            let (error, most) = (layer.max_error?, layer.calibrated_max?);
            (most > 0.0).then_some(error / most)
        };
        let mut before = 0.0;
        let mut worst: Option<(&LayerReport, f64, f64)> = None;
        for layer in &self.layers {
            let Some(part) = part(layer) else { continue };
            let added = part - before;
            if worst.is_none_or(|(_, _, most)| added > most) {
                worst = Some((layer, part, added));
            }
            before = part;
        }
        worst.map(|(layer, part, _)| (layer, part))
    }
}

impl LayerReport {
    /// What makes this layer more exact.
    const fn remedy(&self) -> &'static str {
        match self.op.as_bytes() {
            b"spline" => "more pieces or bits help (--segments 32, --activation-bits 10)",
            b"fully_connected" | b"convolution" => {
                "scales for each channel or more bits help (--per-channel, --weight-bits 12)"
            }
            _ => "more bits of activations help (--activation-bits 12)",
        }
    }
}

impl LayerReport {
    /// The operation, with its window.
    #[must_use]
    pub fn operation(&self) -> String {
        if let (Some(pieces), Some(error)) = (self.pieces, self.curve_error) {
            return format!("{} of {pieces}, ±{error:.1e}", self.op);
        }
        let Some(WindowReport { kernel: [h, w], stride, .. }) = &self.window else {
            return self.op.into();
        };
        let stride = if *stride == [1, 1] { String::new() } else { format!("/{}", stride[0]) };
        format!("{} {h}x{w}{stride}", self.op)
    }

    fn cells(&self) -> [String; 10] {
        let or_dash = |x: Option<String>| x.unwrap_or_else(|| "-".into());
        [
            self.name.clone(),
            self.operation(),
            self.inputs.to_string(),
            self.outputs.to_string(),
            self.ring.to_string(),
            or_dash(self.shift.map(|s| s.to_string())),
            format!("{:.3e}", self.scale),
            self.proven_bits.to_string(),
            or_dash(self.calibrated_max.map(|m| format!("{m:.4}"))),
            or_dash(self.max_error.map(|e| format!("{e:.1e}"))),
        ]
    }
}

fn row(cells: &[String; 10]) -> String {
    let [name, op, inputs, outputs, ring, shift, step, bits, max, error] = cells;
    format!(
        "  {name:<20} {op:<20} {inputs:>6} {outputs:>6} {ring:>5} {shift:>6} {step:>10} \
         {bits:>12} {max:>15} {error:>8}"
    )
}
