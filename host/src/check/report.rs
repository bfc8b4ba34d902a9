//! What a check found, for people (`Display`) and as JSON (`Serialize`).

use core::fmt;
use serde::Serialize;

/// Where a layer's float values come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// Nowhere: a step inside of a function, for which the float network has no tensor.
    #[default]
    None,
    /// The independent engine.
    Tract,
    /// The compiler's own float network.
    Own,
}

/// One layer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LayerCheck {
    /// Its name.
    pub name: String,
    /// What it does.
    pub operation: String,
    /// Elements of its tensor.
    pub elements: usize,
    /// Where its float values come from.
    pub source: Source,
    /// The tensor's name in the ONNX file.
    pub onnx: Option<String>,
    /// Largest magnitude of its float values.
    pub float_peak: Option<f64>,
    /// Largest difference between a float value and what the integer stands for.
    pub max_error: Option<f64>,
    /// The same as a part of the largest magnitude.
    pub relative: Option<f64>,
    /// Largest difference between the engine and the compiler's own float network, as a part of
    /// the largest magnitude.
    pub import_relative: Option<f64>,
    /// Whether the private values equal the integers, for the first row; `None` if that was not
    /// asked for.
    pub private_equal: Option<bool>,
}

/// In how many rows the same output is largest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Answers {
    /// Rows.
    pub rows: usize,
    /// Float network and integer model.
    pub float_integer: usize,
    /// Float network and private run.
    pub float_private: Option<usize>,
    /// All three.
    pub all_three: Option<usize>,
}

/// The private run against the integer model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PrivateCheck {
    /// Layers that are equal for the first row.
    pub equal_layers: usize,
    /// Rows whose answer is equal: every logit, or the index.
    pub equal_rows: usize,
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CheckReport {
    /// The model's name.
    pub name: String,
    /// What a layer may be off, as a part of its largest magnitude.
    pub tolerance: f64,
    /// Input values outside of the model's range.
    pub input_values_clamped: usize,
    /// The layers in order.
    pub layers: Vec<LayerCheck>,
    /// The answers.
    pub answers: Answers,
    /// What the private run showed.
    pub private: Option<PrivateCheck>,
    /// What is to be known about the figures.
    pub notes: Vec<String>,
}

/// Two float networks differ by rounding alone up to here.
const ROUNDING: f64 = 1e-4;

impl CheckReport {
    /// The first layer that is off by more than the tolerance.
    #[must_use]
    pub fn first_far(&self) -> Option<&LayerCheck> {
        self.layers.iter().find(|layer| layer.relative.is_some_and(|r| r > self.tolerance))
    }

    /// Whether no private value differs from the integer model.
    #[must_use]
    pub fn private_equal(&self) -> bool {
        let layers = self.layers.iter().all(|layer| layer.private_equal != Some(false));
        layers && self.private.is_none_or(|p| p.equal_rows == self.answers.rows)
    }

    /// Whether float network and integer model agree on every answer.
    #[must_use]
    pub const fn answers_agree(&self) -> bool {
        self.answers.float_integer == self.answers.rows
    }

    /// Says where the importer's float network is another one than the engine's.
    pub(super) fn note_imports(&mut self) {
        let differs = self
            .layers
            .iter()
            .find_map(|l| Some((l, l.import_relative.filter(|&r| r > ROUNDING)?)));
        if let Some((layer, part)) = differs {
            let name = layer.onnx.as_deref().unwrap_or_default();
            self.notes.push(format!(
                "at {} (`{name}`) tract and the compiler's own float network differ by {}: one of \
                 them reads the file otherwise than it is meant. Hold the answer against the \
                 program that wrote the file, and please report this",
                layer.name,
                percent(part)
            ));
        }
    }
}

impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name =
            self.layers.iter().map(|l| l.name.chars().count()).max().unwrap_or(0).clamp(5, 32);
        let operation =
            self.layers.iter().map(|l| l.operation.chars().count()).max().unwrap_or(0).clamp(9, 26);
        writeln!(
            f,
            "  {:<name$} {:<operation$} {:>8} {:>6} {:>11} {:>9} {:>9}  private",
            "layer", "operation", "elements", "float", "largest", "off by", "of it"
        )?;
        let first = self.first_far();
        for layer in &self.layers {
            let mark = if first.is_some_and(|far| core::ptr::eq(far, layer)) { '>' } else { ' ' };
            let source = match layer.source {
                Source::None => "-",
                Source::Tract => "tract",
                Source::Own => "own",
            };
            let or_dash = |x: Option<String>| x.unwrap_or_else(|| "-".into());
            let private =
                layer.private_equal.map_or("-", |equal| if equal { "=" } else { "DIFFERS" });
            writeln!(
                f,
                "{mark} {:<name$} {:<operation$} {:>8} {source:>6} {:>11} {:>9} {:>9}  {private}",
                cut(&layer.name, name),
                cut(&layer.operation, operation),
                layer.elements,
                or_dash(layer.float_peak.map(|p| format!("{p:.4}"))),
                or_dash(layer.max_error.map(|e| format!("{e:.1e}"))),
                or_dash(layer.relative.map(percent)),
            )?;
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "note: {note}"))?;
        if self.input_values_clamped > 0 {
            writeln!(
                f,
                "note: {} input values are outside of the model's range and were clamped",
                self.input_values_clamped
            )?;
        }
        writeln!(f, "\n{}", self.floats())?;
        self.privately().map_or(Ok(()), |text| writeln!(f, "{text}"))
    }
}

impl CheckReport {
    /// Float against integer, in a sentence.
    fn floats(&self) -> String {
        let Answers { rows, float_integer, .. } = self.answers;
        let agree =
            format!("Float and integer: the same answer in {float_integer} of {rows} rows; ");
        let allowed = percent(self.tolerance);
        let far = |layer: &LayerCheck| {
            format!("{} ({})", layer.name, percent(layer.relative.unwrap_or(0.0)))
        };
        if let Some(layer) = self.first_far() {
            return format!(
                "{agree}the first layer that is off by more than {allowed} of its largest value \
                 is {}.",
                far(layer)
            );
        }
        let part = |layer: &&LayerCheck| layer.relative.unwrap_or(0.0);
        let worst = self
            .layers
            .iter()
            .max_by(|a, b| part(a).total_cmp(&part(b)))
            .map_or_else(String::new, far);
        format!(
            "{agree}no layer is off by more than {allowed} of its largest value, the most is \
             {worst}."
        )
    }

    /// Private against integer, in a sentence.
    fn privately(&self) -> Option<String> {
        let PrivateCheck { equal_layers, equal_rows } = self.private?;
        let (layers, rows) = (self.layers.len(), self.answers.rows);
        if self.private_equal() {
            return Some(format!(
                "Private and integer: equal bit for bit, in all {layers} layers of the first row \
                 and all {rows} answers."
            ));
        }
        let first = self
            .layers
            .iter()
            .find(|l| l.private_equal == Some(false))
            .map_or("the output", |l| &l.name);
        Some(format!(
            "Private and integer DIFFER, first at {first}: equal are {equal_layers} of {layers} \
             layers and {equal_rows} of {rows} answers. Please report this."
        ))
    }
}

fn percent(part: f64) -> String {
    match 100.0 * part {
        p if p >= 1e4 || p.is_nan() => ">9999 %".into(),
        p if p >= 0.1 || p == 0.0 => format!("{p:.2} %"),
        p => format!("{p:.1e} %"),
    }
}

fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        text.into()
    } else {
        text.chars().take(most - 1).chain(['…']).collect()
    }
}
