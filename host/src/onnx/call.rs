//! What a node is given: its inputs and attributes, each read once and checked.

use super::proto::{AttributeProto, NodeProto, attribute_type};
use super::tensor::Tensor;
use crate::network::TensorId;
use minionn_core::plan::MAX_LEN;
use std::rc::Rc;

/// What the numbers of a computed tensor are.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// Numbers to compute with.
    Float,
    /// Integers, to be cast before anything is computed with them.
    Integer,
    /// 1 or 0: whether something holds.
    Truth,
    /// What the named Softmax was given: of use for an ArgMax only.
    Scores(Rc<str>),
    /// The same, behind the named ArgMax.
    Index(Rc<str>),
    /// Quantised: it stands for the numbers that are meant, and has a scale and a zero point.
    Quantised(Steps),
}

/// How a file quantises a tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Steps {
    pub(super) scale: f64,
    pub(super) zero: i64,
}

/// A tensor of the network.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Computed {
    pub(super) id: TensorId,
    pub(super) dims: Vec<usize>,
    pub(super) kind: Kind,
}

impl Computed {
    pub(super) const fn new(id: TensorId, dims: Vec<usize>) -> Self {
        Self { id, dims, kind: Kind::Float }
    }

    pub(super) fn len(&self) -> usize {
        self.dims.iter().product()
    }

    /// The same elements under another shape.
    pub(super) fn shaped(&self, dims: Vec<usize>) -> Self {
        Self { dims, ..self.clone() }
    }
}

/// What a name of the file stands for.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Constant(Rc<Tensor>),
    Computed(Computed),
}

impl From<Computed> for Value {
    fn from(computed: Computed) -> Self {
        Self::Computed(computed)
    }
}

impl From<Tensor> for Value {
    fn from(tensor: Tensor) -> Self {
        Self::Constant(Rc::new(tensor))
    }
}

impl Value {
    pub(super) fn dims(&self) -> &[usize] {
        match self {
            Self::Constant(tensor) => &tensor.dims,
            Self::Computed(computed) => &computed.dims,
        }
    }

    /// The same elements under another shape.
    pub(super) fn shaped(&self, dims: Vec<usize>) -> Self {
        match self {
            Self::Constant(tensor) => Tensor { dims, ..Tensor::clone(tensor) }.into(),
            Self::Computed(computed) => computed.shaped(dims).into(),
        }
    }

    /// A computed tensor that may be computed with.
    pub(super) fn number(&self) -> Result<&Computed, String> {
        match self {
            Self::Constant(_) => Err("it needs a computed tensor where it has a constant".into()),
            Self::Computed(computed) => match &computed.kind {
                Kind::Float | Kind::Truth => Ok(computed),
                Kind::Integer => {
                    Err("it computes with integers of the input: cast them to FLOAT first".into())
                }
                Kind::Quantised(_) => Err(
                    "it computes with quantised numbers: only DequantizeLinear, MaxPool and what \
                     moves elements may read them"
                        .into(),
                ),
                Kind::Scores(end) | Kind::Index(end) => Err(format!(
                    "it follows {end}, after which nothing but ArgMax and changes of shape is \
                     supported"
                )),
            },
        }
    }

    /// A computed tensor whose elements may move: integers and quantised ones too.
    pub(super) fn movable(&self) -> Result<&Computed, String> {
        match self {
            Self::Computed(computed)
                if matches!(computed.kind, Kind::Integer | Kind::Quantised(_)) =>
            {
                Ok(computed)
            }
            _ => self.number(),
        }
    }
}

/// What the outputs of a node stand for, in order.
pub(super) type Outputs = Result<Vec<Value>, String>;

/// One output.
#[expect(clippy::unnecessary_wraps, reason = "it ends every operator")]
pub(super) fn one(value: impl Into<Value>) -> Outputs {
    Ok(vec![value.into()])
}

/// A node with its inputs.
pub(super) struct Call<'a> {
    pub(super) node: &'a NodeProto,
    /// For messages: index, name and operator.
    pub(super) described: String,
    /// For the report.
    pub(super) name: String,
    pub(super) inputs: Vec<Option<Value>>,
    pub(super) opset: i64,
    /// Whether nothing computes with what it makes: the network ends here, or only asks which
    /// output is largest.
    pub(super) last: bool,
}

/// Most dimensions of a tensor.
pub(super) const MAX_RANK: usize = 16;
/// Most inputs of a node.
pub(super) const MAX_INPUTS: usize = 1024;
/// Largest tensor of no elements, its empty dimensions left out: shapes are computed with.
const MAX_SPAN: usize = 1 << 32;

/// Refuses shapes that are not worth computing with.
pub(super) fn plausible(dims: &[usize]) -> Result<(), String> {
    if dims.len() > MAX_RANK {
        return Err(format!(
            "a tensor has {} dimensions: at most {MAX_RANK} are supported",
            dims.len()
        ));
    }
    let span = dims.iter().filter(|&&d| d > 0).try_fold(1_usize, |n, &d| n.checked_mul(d));
    if span.is_some_and(|n| n <= MAX_SPAN) {
        Ok(())
    } else {
        Err(format!("shape {dims:?} is too large"))
    }
}

/// `axis` counted from the front.
pub(super) fn axis_of(axis: i64, rank: usize) -> Result<usize, String> {
    let counted = if axis < 0 { axis.checked_add(rank as i64) } else { Some(axis) };
    counted
        .and_then(|a| usize::try_from(a).ok())
        .filter(|&a| a < rank)
        .ok_or_else(|| format!("axis {axis} is outside a tensor of {rank} dimensions"))
}

/// Axes counted from the front, in order, none twice.
pub(super) fn axes_of(axes: &[i64], rank: usize) -> Result<Vec<usize>, String> {
    let mut counted = axes.iter().map(|&a| axis_of(a, rank)).collect::<Result<Vec<_>, _>>()?;
    counted.sort_unstable();
    if counted.windows(2).any(|pair| matches!(pair, [a, b] if a == b)) {
        return Err(format!("axes {axes:?} name one dimension twice"));
    }
    Ok(counted)
}

/// Elements of a shape that a tensor may have.
pub(super) fn possible(dims: &[usize]) -> Result<usize, String> {
    match super::tensor::count(dims) {
        Some(0) => Err(format!("shape {dims:?} holds no elements")),
        Some(n) if n <= MAX_LEN as usize => Ok(n),
        _ => Err(format!("shape {dims:?} is too large: at most {MAX_LEN} elements are supported")),
    }
}

impl Call<'_> {
    pub(super) fn op(&self) -> &str {
        &self.node.op_type
    }

    // Attributes.

    /// Refuses more than `inputs` inputs, and attributes that are not in `known`.
    pub(super) fn only(&self, inputs: usize, known: &[&str]) -> Result<(), String> {
        let extra = self.inputs.iter().skip(inputs).position(Option::is_some);
        if let Some(extra) = extra {
            return Err(format!(
                "input {} is not supported: it takes {inputs} at most",
                inputs + extra
            ));
        }
        match self.node.attribute.iter().find(|a| !known.contains(&a.name.as_str())) {
            Some(a) if known.is_empty() => {
                Err(format!("attribute `{}` is not supported: it takes none", a.name))
            }
            Some(a) => Err(format!(
                "attribute `{}` is not supported. Supported are {}",
                a.name,
                known.join(", ")
            )),
            None => Ok(()),
        }
    }

    fn attribute(&self, name: &str, kind: i32) -> Result<Option<&AttributeProto>, String> {
        let mut all = self.node.attribute.iter().filter(|a| a.name == name);
        match (all.next(), all.next()) {
            (_, Some(_)) => Err(format!("attribute `{name}` is there twice")),
            (Some(a), _) if !(a.r#type == kind || a.r#type == 0) => {
                Err(format!("attribute `{name}` is of type {}, type {kind} is needed", a.r#type))
            }
            (found, _) => Ok(found),
        }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.node.attribute.iter().any(|a| a.name == name)
    }

    pub(super) fn int(&self, name: &str, default: i64) -> Result<i64, String> {
        Ok(self.attribute(name, attribute_type::INT)?.map_or(default, |a| a.i))
    }

    /// An integer that is 0 or 1.
    pub(super) fn flag(&self, name: &str, default: bool) -> Result<bool, String> {
        match self.int(name, default.into())? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(format!("attribute `{name}` is {other}: 0 and 1 are supported")),
        }
    }

    /// A number that may be infinite.
    pub(super) fn bound(&self, name: &str, default: f32) -> Result<f64, String> {
        Ok(f64::from(self.attribute(name, attribute_type::FLOAT)?.map_or(default, |a| a.f)))
    }

    pub(super) fn float(&self, name: &str, default: f32) -> Result<f64, String> {
        let value = self.bound(name, default)?;
        if value.is_finite() {
            Ok(value)
        } else {
            Err(format!("attribute `{name}` is {value}: it must be a finite number"))
        }
    }

    pub(super) fn ints(&self, name: &str) -> Result<Option<&[i64]>, String> {
        Ok(self.attribute(name, attribute_type::INTS)?.map(|a| &a.ints[..]))
    }

    pub(super) fn floats(&self, name: &str) -> Result<Option<&[f32]>, String> {
        Ok(self.attribute(name, attribute_type::FLOATS)?.map(|a| &a.floats[..]))
    }

    pub(super) fn text(&self, name: &str, default: &'static str) -> Result<String, String> {
        let found = self.attribute(name, attribute_type::STRING)?;
        Ok(found.map_or_else(|| default.into(), |a| String::from_utf8_lossy(&a.s).into_owned()))
    }

    pub(super) fn texts(&self, name: &str) -> Result<Option<Vec<String>>, String> {
        let found = self.attribute(name, attribute_type::STRINGS)?;
        Ok(found
            .map(|a| a.strings.iter().map(|s| String::from_utf8_lossy(s).into_owned()).collect()))
    }

    pub(super) fn tensor(&self, name: &str) -> Result<Option<Tensor>, String> {
        let Some(found) = self.attribute(name, attribute_type::TENSOR)? else { return Ok(None) };
        let tensor = found.t.as_ref().ok_or_else(|| format!("attribute `{name}` is empty"))?;
        Tensor::decode(tensor).map(Some).map_err(|what| format!("attribute `{name}`: {what}"))
    }

    // Inputs.

    pub(super) fn optional(&self, i: usize) -> Option<&Value> {
        self.inputs.get(i).and_then(Option::as_ref)
    }

    pub(super) fn value(&self, i: usize) -> Result<&Value, String> {
        self.optional(i).ok_or_else(|| format!("input {i} is missing"))
    }

    /// The constant that is input `i`, `None` if it is left out.
    pub(super) fn optional_constant(&self, i: usize) -> Result<Option<&Tensor>, String> {
        match self.optional(i) {
            Some(Value::Constant(tensor)) => Ok(Some(tensor)),
            Some(Value::Computed(_)) => {
                let name = self.node.input.get(i).map_or("", |name| name);
                Err(format!("`{name}` must be a constant, it is computed from the input"))
            }
            None => Ok(None),
        }
    }

    pub(super) fn constant(&self, i: usize) -> Result<&Tensor, String> {
        self.optional_constant(i)?.ok_or_else(|| format!("input {i} is missing"))
    }

    /// The integers that are input `i`, or attribute `name` of older versions; `None` if both are
    /// left out.
    pub(super) fn ints_or(&self, i: usize, name: &str) -> Result<Option<Vec<i64>>, String> {
        match (self.ints(name)?, self.optional_constant(i)?) {
            (Some(_), Some(_)) => {
                Err(format!("`{name}` is there twice, as attribute and as input {i}"))
            }
            (Some(ints), None) => Ok(Some(ints.to_vec())),
            (None, Some(tensor)) => Ok(Some(tensor.ints()?.to_vec())),
            (None, None) => Ok(None),
        }
    }

    /// The computed tensor that is input `i`.
    pub(super) fn computed(&self, i: usize) -> Result<&Computed, String> {
        self.value(i)?.number()
    }
}
