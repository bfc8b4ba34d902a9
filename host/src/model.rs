//! Models, which are the server's secret, and plans, which are public.

use crate::compile::{self, CompileOptions, Output};
use crate::costs::{Costs, LinkCosts};
use crate::error::{Error, Result};
use crate::link_model::LinkModel;
use crate::network::Labels;
use crate::prediction::Prediction;
use crate::text::{self, Described};
use core::fmt;
use minionn_core::session::Options;
use minionn_core::{model, plan};
use self_cell::self_cell;
use std::path::Path;
use std::sync::Arc;

self_cell!(
    struct PlanCell {
        owner: Vec<u8>,
        #[covariant]
        dependent: CorePlan,
    }
);

self_cell!(
    struct ModelCell {
        owner: Vec<u8>,
        #[covariant]
        dependent: CoreModel,
    }
);

type CorePlan<'a> = plan::Plan<'a>;
type CoreModel<'a> = model::Model<'a>;

/// The public description of a network: what client and server agree on. Cheap to clone.
#[derive(Clone)]
pub struct Plan {
    cell: Arc<PlanCell>,
    described: Arc<Described>,
}

impl Plan {
    /// Reads a file that `minionn compile --plan` or [`Plan::save`] wrote.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Format`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(Error::file(path))?;
        Self::parse(bytes, &path.display().to_string())
    }

    /// A plan from its bytes.
    ///
    /// # Errors
    /// [`Error::Format`].
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Result<Self> {
        Self::parse(bytes.into(), "plan")
    }

    pub(crate) fn parse(bytes: Vec<u8>, what: &str) -> Result<Self> {
        let cell = PlanCell::try_new(bytes, |bytes| plan::Plan::parse(bytes));
        let made = |cell: PlanCell| {
            let described = Arc::new(text::read(cell.borrow_dependent().text()));
            Self { cell: Arc::new(cell), described }
        };
        cell.map(made).map_err(|error| Error::Format { what: what.to_owned(), error })
    }

    /// Writes the plan to a file.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        std::fs::write(&path, self.as_bytes()).map_err(Error::file(path.as_ref()))
    }

    /// Its bytes, as in a file.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.cell.borrow_owner()
    }

    /// The engine's view of it.
    #[must_use]
    pub fn core(&self) -> &plan::Plan<'_> {
        self.cell.borrow_dependent()
    }

    /// The name that it was compiled with.
    #[must_use]
    pub fn name(&self) -> &str {
        self.core().name()
    }

    /// What it says of its inputs, of the names of classes, and of what was dropped behind the
    /// logits.
    #[must_use]
    pub fn described(&self) -> &Described {
        &self.described
    }

    /// What a client learns from the opened integers and the index of the largest.
    pub(crate) fn prediction(&self, integers: &[i64], class: usize) -> Prediction {
        let mut prediction = Prediction::of(self.core(), integers, class);
        prediction.name_by(self.labels(), self.described.signature.threshold);
        prediction
    }

    /// The names of the classes, if the plan has as many as there are outputs.
    #[must_use]
    pub fn labels(&self) -> Option<&Labels> {
        let labels = self.described.signature.labels.as_ref()?;
        let outputs = self.output_len();
        (labels.len() == outputs || (labels.len(), outputs) == (2, 1)).then_some(labels)
    }

    /// SHA-256 of its content: two plans are the same if and only if their digests are.
    #[must_use]
    pub fn digest(&self) -> &[u8; plan::DIGEST] {
        self.core().digest()
    }

    /// Numbers that a prediction takes.
    #[must_use]
    pub fn input_len(&self) -> usize {
        self.core().header().input_len as usize
    }

    /// Range of these numbers; what is outside is clamped. Where features have ranges of their own,
    /// it is what all of them together reach: see [`Plan::range_of`].
    #[must_use]
    pub fn input_range(&self) -> [f32; 2] {
        let each = (0..self.input_len()).filter_map(|i| self.range_of(i));
        each.reduce(|[a, b], [c, d]| [a.min(c), b.max(d)]).unwrap_or([0.0; 2])
    }

    /// Range of the number at place `i` of an input.
    #[must_use]
    pub fn range_of(&self, i: usize) -> Option<[f32; 2]> {
        let input = self.core().header().input;
        let (step, offset) = self.core().input_step(i)?;
        Some([input.min, input.max].map(|integer| integer as f32 * step + offset))
    }

    /// Outputs of the last layer.
    #[must_use]
    pub fn output_len(&self) -> usize {
        self.core().header().output_len as usize
    }

    /// What a client learns: all outputs, or the index of the largest only.
    #[must_use]
    pub fn output(&self) -> Output {
        if self.core().is_argmax() { Output::Argmax } else { Output::Logits }
    }

    /// What sessions with these options cost, before anything runs.
    ///
    /// # Errors
    /// [`Error::Options`] for options out of range.
    pub fn costs(&self, options: &Options) -> Result<Costs> {
        Costs::new(self.core(), options)
    }

    /// What a prediction takes on a link, with each way to compute activations.
    ///
    /// # Errors
    /// [`Error::Options`] for options out of range.
    pub fn costs_on(&self, options: &Options, link: &LinkModel) -> Result<LinkCosts> {
        LinkCosts::new(self.core(), options, link)
    }

    /// Whether an input has the right length and holds finite numbers. `row` is its number in the
    /// error.
    ///
    /// # Errors
    /// [`Error::InputLength`], [`Error::InputValue`].
    pub fn check_input(&self, row: usize, x: &[f32]) -> Result<()> {
        self.quantise(row, x).map(drop)
    }

    /// An input as the integers that the protocol runs on; what is outside of the plan's range is
    /// clamped. `row` is its number, for errors.
    pub(crate) fn quantise(&self, row: usize, x: &[f32]) -> Result<Vec<i64>> {
        let (need, got) = (self.input_len(), x.len());
        if need != got {
            return Err(Error::InputLength { row, need, got });
        }
        let plan = self.core();
        let integers = x.iter().enumerate().map(|(column, &x)| {
            plan.quantise(column, x).map_err(|_| Error::InputValue { row, column })
        });
        integers.collect()
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan")
            .field("name", &self.name())
            .field("input_len", &self.input_len())
            .field("output_len", &self.output_len())
            .field("output", &self.output())
            .finish_non_exhaustive()
    }
}

impl PartialEq for Plan {
    fn eq(&self, other: &Self) -> bool {
        self.digest() == other.digest()
    }
}

impl Eq for Plan {}

/// What the integer model gives for one input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The input, quantised.
    pub input: Vec<i64>,
    /// The outputs; empty if the plan reveals the class only.
    pub integers: Vec<i64>,
    /// Index of the largest output, the first one on a tie.
    pub class: usize,
}

/// A network as integers, weights and all: the server's secret. Cheap to clone.
#[derive(Clone)]
pub struct Model {
    cell: Arc<ModelCell>,
    plan: Plan,
}

impl Model {
    /// Reads a file that `minionn compile` or [`Model::save`] wrote.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Format`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(Error::file(path))?;
        Self::parse(bytes, &path.display().to_string())
    }

    /// A model from its bytes.
    ///
    /// # Errors
    /// [`Error::Format`].
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Result<Self> {
        Self::parse(bytes.into(), "model")
    }

    pub(crate) fn parse(bytes: Vec<u8>, what: &str) -> Result<Self> {
        let cell = ModelCell::try_new(bytes, |bytes| model::Model::parse(bytes))
            .map_err(|error| Error::Format { what: what.to_owned(), error })?;
        let (content, digest) = cell.borrow_dependent().plan().bytes();
        let plan = Plan::parse([content, digest].concat(), what)?;
        Ok(Self { cell: Arc::new(cell), plan })
    }

    /// Compiles an ONNX file. `calibration` are typical inputs: they set the input range, unless
    /// the options do, and where values are cut. An empty slice is none; then the options have to
    /// name the input range. [`compile::compile`] also reports what was decided.
    ///
    /// # Errors
    /// [`Error::Compile`] with the node, layer or option that stands in the way.
    pub fn compile<R: AsRef<[f32]>>(
        onnx: &[u8],
        calibration: &[R],
        options: &CompileOptions,
    ) -> Result<Self> {
        let rows: Vec<&[f32]> = calibration.iter().map(AsRef::as_ref).collect();
        let compiled = compile::compile_rows(onnx, options, &rows)?;
        Self::from_bytes(compiled.model)
    }

    /// Writes the model to a file. Whoever can read that has the weights.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        std::fs::write(&path, self.as_bytes()).map_err(Error::file(path.as_ref()))
    }

    /// Its bytes, as in a file.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.cell.borrow_owner()
    }

    /// The engine's view of it.
    #[must_use]
    pub fn core(&self) -> &model::Model<'_> {
        self.cell.borrow_dependent()
    }

    /// The plan, which is public.
    #[must_use]
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What a private prediction equals bit for bit, computed in the clear.
    ///
    /// # Errors
    /// [`Error::InputLength`], [`Error::InputValue`].
    pub fn predict_plain(&self, x: &[f32]) -> Result<Prediction> {
        Ok(self.prediction(&self.answer(0, x)?))
    }

    /// As [`Model::predict_plain`], for many inputs.
    ///
    /// # Errors
    /// Those of [`Model::predict_plain`], with the number of the input.
    pub fn predict_plain_batch<R: AsRef<[f32]>>(
        &self,
        rows: impl IntoIterator<Item = R>,
    ) -> Result<Vec<Prediction>> {
        Ok(self.answers(rows)?.iter().map(|answer| self.prediction(answer)).collect())
    }

    /// As [`Model::predict_plain_batch`], as integers.
    ///
    /// # Errors
    /// Those of [`Model::predict_plain`], with the number of the input.
    pub fn answers<R: AsRef<[f32]>>(
        &self,
        rows: impl IntoIterator<Item = R>,
    ) -> Result<Vec<Answer>> {
        rows.into_iter().enumerate().map(|(i, row)| self.answer(i, row.as_ref())).collect()
    }

    fn answer(&self, row: usize, x: &[f32]) -> Result<Answer> {
        let input = self.plan.quantise(row, x)?;
        let mut scratch = vec![0; model::Model::scratch_len(self.plan.core())];
        let mut integers = vec![0; self.plan.output_len()];
        let class = self
            .core()
            .evaluate(&input, &mut scratch, &mut integers)
            .map_err(|_| Error::Bug("a checked model did not run"))?;
        if self.plan.output() == Output::Argmax {
            integers.clear();
        }
        Ok(Answer { input, integers, class })
    }

    fn prediction(&self, answer: &Answer) -> Prediction {
        self.plan.prediction(&answer.integers, answer.class)
    }

    /// What sessions with these options cost, before anything runs.
    ///
    /// # Errors
    /// [`Error::Options`] for options out of range.
    pub fn costs(&self, options: &Options) -> Result<Costs> {
        self.plan.costs(options)
    }
}

impl fmt::Debug for Model {
    /// Not the weights: they are secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model").field("plan", &self.plan).finish_non_exhaustive()
    }
}
