//! The operators of `ai.onnx.ml`, as scikit-learn's models are exported with them.

use super::build::Builder;
use super::call::{Call, Computed, Kind, Outputs, Value, one, possible};
use super::operators::Reader;
use super::proto::{AttributeProto, NodeProto, TensorProto, attribute_type};
use super::tensor::{Data, Tensor};
use super::{copy, moves};
use crate::network::{Activation, Curve, Head, Labels, Node, PerElement, Work};

/// The operators' domain.
pub(super) const DOMAIN: &str = "ai.onnx.ml";

/// Most words of a constant, and the longest of them in bytes.
const MAX_WORDS: usize = 1 << 16;
const MAX_WORD: usize = 256;

/// What reads the nodes of an operator; refused with the reason where there is none.
pub(super) fn operator(op: &str) -> Result<Reader, String> {
    Ok(match op {
        "Scaler" => scaler,
        "Normalizer" => normalizer,
        "LinearClassifier" => linear_classifier,
        "LinearRegressor" => linear_regressor,
        "ArrayFeatureExtractor" => extractor,
        "FeatureVectorizer" => vectorizer,
        "Imputer" => imputer,
        "ZipMap" => zip_map,
        "LabelEncoder" => label_encoder,
        _ => return Err(refused(op)),
    })
}

/// Why an operator has no private form, and what to use instead.
fn refused(op: &str) -> String {
    match op {
        "TreeEnsemble" | "TreeEnsembleClassifier" | "TreeEnsembleRegressor" => {
            "decision trees (forests, boosting) are not supported: each of their splits would be \
             a comparison of its own, with all of the tree to be hidden. Use a linear model or an \
             MLPClassifier or MLPRegressor"
        }
        "SVMClassifier" | "SVMRegressor" => {
            "support vector machines with kernels are not supported: each support vector would be \
             a secret product and a curve of its own. Use LinearSVC or LinearSVR, or \
             SGDClassifier behind a fixed feature map"
        }
        "Binarizer" => {
            "a threshold for every feature is not supported inside a network: binarise the \
             features before they are given to it"
        }
        "OneHotEncoder" | "CategoryMapper" | "DictVectorizer" => {
            "words and categories are not supported as inputs: encode them as numbers before, and \
             export what follows"
        }
        other => {
            return format!(
                "{DOMAIN}'s {other} is not supported. Supported of this domain are Scaler, \
                 Normalizer, LinearClassifier, LinearRegressor, ArrayFeatureExtractor, \
                 FeatureVectorizer, Imputer, ZipMap and LabelEncoder"
            );
        }
    }
    .into()
}

/// The words of a constant.
pub(super) fn words(proto: &TensorProto) -> Result<Vec<String>, String> {
    labels_of(&proto.string_data)
}

fn labels_of(words: &[Vec<u8>]) -> Result<Vec<String>, String> {
    if words.len() > MAX_WORDS || words.iter().any(|word| word.len() > MAX_WORD) {
        return Err(format!(
            "its words are too many or too long: at most {MAX_WORDS} of {MAX_WORD} bytes are \
             supported"
        ));
    }
    Ok(words.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect())
}

impl Builder {
    /// Names the classes, unless a node before has done so.
    fn label(&mut self, labels: Labels) {
        if !labels.is_empty() && self.labels.is_none() {
            self.labels = Some(labels);
        }
    }
}

/// One number for all, or one for each of the last dimension.
fn spread(numbers: &[f32], x: &Computed, name: &str) -> Result<PerElement, String> {
    let columns = x.dims.last().copied().unwrap_or(1);
    match numbers {
        [number] => Ok(PerElement::One(f64::from(*number))),
        _ if numbers.len() == columns => {
            let all = (0..x.len()).filter_map(|i| numbers.get(i % columns).copied());
            Ok(PerElement::Each(all.map(f64::from).collect()))
        }
        _ => Err(format!(
            "attribute `{name}` has {} numbers: 1 or {columns} are needed",
            numbers.len()
        )),
    }
}

/// `(x − offset) · scale`.
fn scaler(b: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(1, &["offset", "scale"])?;
    let x = numbers(call, 0)?;
    let offset = spread(call.floats("offset")?.unwrap_or(&[0.0]), &x, "offset")?;
    let scale = spread(call.floats("scale")?.unwrap_or(&[1.0]), &x, "scale")?;
    let moved = offset.zip(&scale, |o, s| -o * s);
    one(b.affine(&call.name, &x, scale, moved)?)
}

/// A computed input as numbers: these operators take integers as they are.
fn numbers(call: &Call<'_>, i: usize) -> Result<Computed, String> {
    match call.value(i)? {
        Value::Computed(x) if x.kind == Kind::Integer => {
            Ok(Computed { kind: Kind::Float, ..x.clone() })
        }
        value => value.number().cloned(),
    }
}

/// Attribute of a Normalizer that stands for a division of scores by their sum at the end.
pub(super) const PROPORTIONS: &str = "proportions";

/// Probabilities are one in all already; of features, the norm would have to be computed.
fn normalizer(b: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(1, &["norm", PROPORTIONS])?;
    let last = call.flag(PROPORTIONS, false)?;
    let norm = call.text("norm", if last { "L1" } else { "MAX" })?;
    let x = match call.value(0)? {
        Value::Computed(x) if matches!(x.kind, Kind::Scores(_)) && norm == "L1" => {
            return one(x.clone());
        }
        value if last => value.number()?,
        _ => {
            return Err(format!(
                "features divided by their own norm ({norm}) are not supported: divide them \
                 before they are given to the network, and export what follows"
            ));
        }
    };
    let kind = Kind::Scores(call.described.as_str().into());
    let maker = x.id.checked_sub(1).and_then(|i| b.nodes.get(i));
    if let Some(Node { work: Work::Activation(Activation::Curve(Curve::Sigmoid)), inputs, .. }) =
        maker
        && let Some(&scores) = inputs.first()
    {
        let scores = Computed::new(scores, x.dims.clone());
        let logarithms = log_sigmoid(b, &call.name, &scores)?;
        b.dropped(&call.described, Head::Softmax);
        return one(Computed { kind, ..logarithms });
    }
    b.notes.push(format!(
        "{} dropped: its scores are not divided by their sum, which does not change which is \
         largest",
        call.described
    ));
    one(Computed { kind, ..x.clone() })
}

/// `ln σ(s) = −ln(1 + e^−s)`: σ(s) as parts of their sum are the Softmax of these.
fn log_sigmoid(b: &mut Builder, name: &str, scores: &Computed) -> Result<Computed, String> {
    let turned = b.scaled(name, scores, -1.0, 0.0)?;
    let curve = b.activation(name, &turned, Activation::Curve(Curve::Softplus))?;
    b.scaled(name, &curve, -1.0, 0.0)
}

/// Class labels of a node, as numbers or words.
fn classes(call: &Call<'_>, [numbers, words]: [&str; 2]) -> Result<Option<Labels>, String> {
    Ok(match (call.ints(numbers)?, call.texts_checked(words)?) {
        (Some(_), Some(_)) => {
            return Err(format!("attributes `{numbers}` and `{words}` are both there"));
        }
        (Some(all), None) => Some(Labels::Numbers(all.to_vec())),
        (None, Some(all)) => Some(Labels::Words(all)),
        (None, None) => None,
    })
}

/// `W·x + b` of a linear model; `b` may be left out.
fn linear(
    b: &mut Builder,
    call: &Call<'_>,
    x: &Computed,
    outputs: Option<usize>,
) -> Result<Computed, String> {
    let columns = x.dims.last().copied().unwrap_or(1).max(1);
    if x.len() != columns {
        return Err(format!("shape {:?} is not one row of features", x.dims));
    }
    let weights = call.floats("coefficients")?.ok_or("its coefficients are missing")?;
    let rows = weights.len() / columns;
    if rows == 0 || rows * columns != weights.len() || outputs.is_some_and(|n| n != rows) {
        return Err(format!(
            "it has {} coefficients, which are not whole rows for {columns} features",
            weights.len()
        ));
    }
    let biases = match call.floats("intercepts")? {
        None | Some([]) => vec![0.0; rows],
        Some(all) if all.len() == rows => all.iter().map(|&b| f64::from(b)).collect(),
        Some(all) => {
            return Err(format!("it has {} intercepts for {rows} outputs", all.len()));
        }
    };
    possible(&[rows, columns])?;
    let id = b.fully_connected(&call.name, x.id, weights.to_vec(), biases)?;
    Ok(Computed::new(id, vec![1, rows]))
}

/// Label and scores.
fn linear_classifier(b: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(
        1,
        &[
            "classlabels_ints",
            "classlabels_strings",
            "coefficients",
            "intercepts",
            "multi_class",
            "post_transform",
        ],
    )?;
    let labels = classes(call, ["classlabels_ints", "classlabels_strings"])?;
    let scores = linear(b, call, &numbers(call, 0)?, None)?;
    let transform = call.text("post_transform", "NONE")?;
    // One row tells two classes apart: the scores are −s and s.
    let two = labels.as_ref().is_some_and(|labels| labels.len() == 2);
    let single = scores.len() == 1 && two;
    if let Some(labels) = labels {
        b.label(labels);
    }
    let (name, node) = (&call.name, &call.described);
    let index = |of: &Computed| Computed {
        dims: vec![1],
        kind: Kind::Index(node.as_str().into()),
        ..of.clone()
    };
    let dropped = |of: Computed| Computed { kind: Kind::Scores(node.as_str().into()), ..of };
    let both = |b: &mut Builder, part: f64| -> Result<Computed, String> {
        let id =
            b.fully_connected(name, scores.id, vec![-part as f32, part as f32], vec![0.0; 2])?;
        Ok(Computed::new(id, vec![1, 2]))
    };
    let (ranked, scores) = match transform.as_str() {
        "NONE" if single => {
            // As onnxruntime has it: 1 − s and s; the label asks whether s is positive.
            let id = b.fully_connected(name, scores.id, vec![-1.0, 1.0], vec![1.0, 0.0])?;
            (both(b, 1.0)?, Computed::new(id, vec![1, 2]))
        }
        "NONE" => (scores.clone(), scores),
        "SOFTMAX" | "SOFTMAX_ZERO" => {
            let scores = if single { both(b, 1.0)? } else { scores };
            b.dropped(node, Head::Softmax);
            (scores.clone(), dropped(scores))
        }
        "LOGISTIC" if single || opposite(call, scores.len())? => {
            // σ(s) and σ(−s) are the Softmax of s/2 and −s/2.
            let halves = if single { both(b, 0.5)? } else { b.scaled(name, &scores, 0.5, 0.0)? };
            b.dropped(node, Head::Softmax);
            (halves.clone(), dropped(halves))
        }
        "LOGISTIC" => {
            let logarithms = log_sigmoid(b, name, &scores)?;
            b.dropped(node, Head::Softmax);
            (scores, dropped(logarithms))
        }
        other => {
            return Err(format!(
                "post_transform is {other}: NONE, SOFTMAX and LOGISTIC are supported"
            ));
        }
    };
    Ok(vec![index(&ranked).into(), scores.into()])
}

/// Whether a classifier has two rows of coefficients that differ by their sign only.
fn opposite(call: &Call<'_>, rows: usize) -> Result<bool, String> {
    let halves = |all: Option<&[f32]>| {
        let all = all.unwrap_or_default();
        let (first, second) = all.split_at(all.len() / 2);
        first.len() == second.len() && first.iter().zip(second).all(|(a, b)| *a == -b)
    };
    Ok(rows == 2 && halves(call.floats("coefficients")?) && halves(call.floats("intercepts")?))
}

fn linear_regressor(b: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(1, &["coefficients", "intercepts", "post_transform", "targets"])?;
    let transform = call.text("post_transform", "NONE")?;
    if transform != "NONE" {
        return Err(format!("post_transform is {transform}: NONE is supported"));
    }
    let targets = usize::try_from(call.int("targets", 1)?).map_err(|_| "targets is negative")?;
    one(linear(b, call, &numbers(call, 0)?, Some(targets))?)
}

/// Columns of features, or the label of a class.
fn extractor(b: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(2, &[])?;
    let index = call.value(1)?;
    match (call.optional(0), index) {
        (names, Value::Computed(index)) if matches!(index.kind, Kind::Index(_)) => {
            let labels = match (names, b.words.take()) {
                (Some(Value::Constant(tensor)), _) => match &tensor.data {
                    Data::Int(all) => Labels::Numbers(all.clone()),
                    Data::Float(all) if all.iter().all(|x| x.fract() == 0.0) => {
                        Labels::Numbers(all.iter().map(|&x| x as i64).collect())
                    }
                    Data::Float(_) => return Err("its labels are no whole numbers".into()),
                },
                (None, Some(words)) => Labels::Words(words),
                _ => return Err("it looks a computed value up by a computed index".into()),
            };
            b.label(labels);
            one(Computed { dims: vec![1, 1], ..index.clone() })
        }
        (Some(x), Value::Constant(index)) => {
            let index = Tensor { dims: vec![index.len()], ..Tensor::clone(index) };
            let x = if let Value::Computed(_) = x { numbers(call, 0)?.into() } else { x.clone() };
            let x = if x.dims().is_empty() { x.shaped(vec![1]) } else { x };
            moves::gather(
                b,
                &call.with("Gather", "axis", -1, vec![Some(x), Some(index.into())]).as_call(),
            )
        }
        _ => Err("its index must be a constant or the result of an ArgMax".into()),
    }
}

/// Features beside each other.
fn vectorizer(b: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(usize::MAX, &["inputdimensions"])?;
    let parts = (0..call.inputs.len())
        .map(|i| match call.value(i)? {
            Value::Constant(tensor) => Ok(Value::Constant(tensor.clone())),
            Value::Computed(_) => numbers(call, i).map(Value::Computed),
        })
        .collect::<Result<Vec<_>, String>>()?;
    if let Some(dims) = call.ints("inputdimensions")? {
        let own: Vec<i64> =
            parts.iter().map(|part| part.dims().last().map_or(1, |&d| d as i64)).collect();
        if dims != own {
            return Err(format!("inputdimensions is {dims:?}, its inputs have {own:?} columns"));
        }
    }
    let parts = parts.into_iter().map(Some).collect();
    copy::concat(b, &call.with("Concat", "axis", -1, parts).as_call())
}

/// Replaces what is missing, which an input of finite numbers never has.
fn imputer(b: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(
        1,
        &[
            "imputed_value_floats",
            "imputed_value_int64s",
            "replaced_value_float",
            "replaced_value_int64",
        ],
    )?;
    let x = numbers(call, 0)?;
    let replaced = call.bound("replaced_value_float", f32::NAN)?;
    if call.has("replaced_value_int64") || !replaced.is_nan() {
        return Err(
            "values that stand for a missing one are not supported, only NaN: replace them before \
             they are given to the network"
                .into(),
        );
    }
    b.notes.push(format!(
        "{} changes nothing: inputs of a private prediction are finite numbers, none is missing",
        call.described
    ));
    one(x)
}

/// Scores with the names of their classes.
fn zip_map(b: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(1, &["classlabels_int64s", "classlabels_strings"])?;
    if let Some(labels) = classes(call, ["classlabels_int64s", "classlabels_strings"])? {
        b.label(labels);
    }
    let Value::Computed(x) = call.value(0)? else {
        return Err("it reads a constant, which is not supported".into());
    };
    one(x.clone())
}

/// Other names for the classes.
fn label_encoder(b: &mut Builder, call: &Call<'_>) -> Outputs {
    let known = [
        "default_float",
        "default_int64",
        "default_string",
        "keys_int64s",
        "keys_strings",
        "values_int64s",
        "values_strings",
        "keys_tensor",
        "values_tensor",
    ];
    call.only(1, &known)?;
    let Value::Computed(x) = call.value(0)? else {
        return Err("it reads a constant, which is not supported".into());
    };
    if !matches!(x.kind, Kind::Index(_)) {
        return Err(
            "words and numbers that stand for others are supported as names of classes only, \
             behind an ArgMax or a classifier"
                .into(),
        );
    }
    let keys = classes(call, ["keys_int64s", "keys_strings"])?.ok_or("its keys are missing")?;
    let values =
        classes(call, ["values_int64s", "values_strings"])?.ok_or("its values are missing")?;
    if keys.len() != values.len() {
        return Err(format!("it has {} keys and {} values", keys.len(), values.len()));
    }
    // Without names so far, a class is its number.
    let before =
        b.labels.take().unwrap_or_else(|| Labels::Numbers((0..b.len(x.id) as i64).collect()));
    let place = |i: usize| match (&before, &keys) {
        (Labels::Numbers(all), Labels::Numbers(keys)) => {
            keys.iter().position(|key| all.get(i) == Some(key))
        }
        (Labels::Words(all), Labels::Words(keys)) => {
            keys.iter().position(|key| all.get(i) == Some(key))
        }
        _ => None,
    };
    let places: Option<Vec<usize>> = (0..before.len()).map(place).collect();
    let places = places.ok_or("a class has no key")?;
    let renamed = match values {
        Labels::Numbers(all) => {
            Labels::Numbers(places.iter().filter_map(|&p| all.get(p).copied()).collect())
        }
        Labels::Words(all) => {
            Labels::Words(places.iter().filter_map(|&p| all.get(p).cloned()).collect())
        }
    };
    b.label(renamed);
    one(x.clone())
}

/// A node that stands in for another one.
struct StandIn {
    node: NodeProto,
    described: String,
    name: String,
    inputs: Vec<Option<Value>>,
    opset: i64,
    last: bool,
}

impl StandIn {
    fn as_call(&self) -> Call<'_> {
        Call {
            node: &self.node,
            described: self.described.clone(),
            name: self.name.clone(),
            inputs: self.inputs.clone(),
            opset: self.opset,
            last: self.last,
        }
    }
}

impl Call<'_> {
    /// The same node as another operator, with one attribute and other inputs.
    fn with(&self, op: &str, name: &str, i: i64, inputs: Vec<Option<Value>>) -> StandIn {
        let attribute = AttributeProto {
            name: name.into(),
            i,
            r#type: attribute_type::INT,
            ..Default::default()
        };
        let node =
            NodeProto { op_type: op.into(), attribute: vec![attribute], ..self.node.clone() };
        let (described, name) = (self.described.clone(), self.name.clone());
        StandIn { node, described, name, inputs, opset: self.opset, last: self.last }
    }

    /// Texts that may be names of classes.
    fn texts_checked(&self, name: &str) -> Result<Option<Vec<String>>, String> {
        let texts = self.texts(name)?;
        if let Some(texts) = &texts
            && (texts.len() > MAX_WORDS || texts.iter().any(|text| text.len() > MAX_WORD))
        {
            return Err(format!("attribute `{name}` holds too many or too long words"));
        }
        Ok(texts)
    }
}
