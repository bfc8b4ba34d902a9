//! Inputs and outputs as a file declares them: shapes, batches, and which output is meant.

use super::call::{Computed, Kind, plausible};
use super::graph::{Graph, short};
use super::import::Setting;
use super::proto::{TensorType, ValueInfoProto, data_type};
use super::tensor::count;
use super::{Error, Reading};
use minionn_core::plan::MAX_LEN;

/// The type of numbers, if the file says one.
fn tensor_type(port: &ValueInfoProto) -> Option<&TensorType> {
    port.r#type.as_ref()?.tensor_type.as_ref()
}

/// The declared dimensions: `None` for one that is not fixed.
fn declared(port: &ValueInfoProto) -> Option<Vec<Option<usize>>> {
    let shape = tensor_type(port)?.shape.as_ref()?;
    let fixed = |value: Option<i64>| usize::try_from(value?).ok().filter(|&d| d > 0);
    Some(shape.dim.iter().map(|dim| fixed(dim.dim_value)).collect())
}

/// Whether an output is made of scores: floats, or what ZipMap makes of them.
pub(super) fn is_score(port: &ValueInfoProto) -> bool {
    tensor_type(port).is_none_or(|t| {
        matches!(
            t.elem_type,
            data_type::FLOAT | data_type::DOUBLE | data_type::FLOAT16 | data_type::BFLOAT16
        )
    })
}

/// The output that is meant: the one that was named, else the first that is a score.
pub(super) fn output<'a>(graph: &Graph<'a>, reading: &Reading) -> Result<&'a str, Error> {
    let listed = || {
        let all = graph.outputs.iter().take(8).map(|o| format!("`{}`", short(&o.name)));
        all.collect::<Vec<_>>().join(", ")
    };
    if let Some(wanted) = &reading.output_node {
        let ports = graph.outputs.iter().map(|o| o.name.as_str());
        let made = graph.proto.node.iter().flat_map(|n| &n.output).map(String::as_str);
        let mut found = ports.chain(made).filter(|name| name == wanted);
        return found.next().ok_or_else(|| {
            Error::File(format!("nothing makes `{wanted}`. The outputs are {}", listed()))
        });
    }
    let score = graph.outputs.iter().find(|port| is_score(port)).or(graph.outputs.first());
    score.map(|port| port.name.as_str()).ok_or_else(|| Error::File("it has no output".into()))
}

/// A fixed batch above one: the first dimension that all inputs and the output share.
pub(super) fn fixed_batch(graph: &Graph<'_>, reading: &Reading) -> Option<usize> {
    let first = |port: &ValueInfoProto| {
        let dims = declared(port)?;
        if dims.len() > 1 { *dims.first()? } else { None }
    };
    let wanted = output(graph, reading).ok()?;
    let output = graph.outputs.iter().find(|port| port.name == wanted);
    let batch =
        graph.inputs.iter().map(|port| first(port)).reduce(|a, b| a.filter(|_| a == b))??;
    // An output of one dimension, as ArgMax makes it, has the batch, too.
    let out = match output.map(|port| declared(port)) {
        Some(Some(dims)) => dims.first().copied().flatten(),
        _ => Some(batch),
    };
    let asked = reading.keep_batch || !reading.shapes.is_empty();
    (batch > 1 && out == Some(batch) && !asked).then_some(batch)
}

/// Whether the first dimension of an input of this shape is its batch.
pub(super) fn has_batch(port: &ValueInfoProto, dims: &[usize], setting: Setting<'_>) -> bool {
    let open = declared(port).is_some_and(|d| d.len() > 1 && d.first() == Some(&None));
    dims.len() > 1 && dims.first() == Some(&1) || open || setting.batch.is_some()
}

/// The inputs that these nodes read, in the order of the file, as tensors.
pub(super) fn inputs<'a>(
    graph: &Graph<'a>,
    order: &[usize],
    setting: Setting<'_>,
) -> Result<Vec<(&'a ValueInfoProto, Computed)>, Error> {
    let nodes = || order.iter().filter_map(|&i| graph.proto.node.get(i));
    let reads = |name: &String| nodes().any(|node| node.input.contains(name));
    let unknown = setting.reading.shapes.iter().find(|(name, _)| {
        name.as_ref().is_some_and(|name| !graph.inputs.iter().any(|port| port.name == *name))
    });
    if let Some((Some(name), _)) = unknown {
        let all: Vec<String> =
            graph.inputs.iter().map(|port| format!("`{}`", short(&port.name))).collect();
        return Err(Error::File(format!(
            "a shape is given for `{name}`, which is no input. The inputs are {}",
            all.join(", ")
        )));
    }
    let mut found = Vec::new();
    let mut total = 0_usize;
    for port in graph.inputs.iter().filter(|port| reads(&port.name)) {
        let tensor = one(port, graph.inputs.len() == 1, setting)
            .map_err(|what| Error::File(format!("input `{}`: {what}", short(&port.name))))?;
        total = total.saturating_add(tensor.len());
        found.push((*port, tensor));
    }
    if found.is_empty() {
        return Err(Error::File("the output does not depend on the input".into()));
    }
    if total > MAX_LEN as usize {
        return Err(Error::File(format!(
            "its inputs have {total} elements: at most {MAX_LEN} are supported"
        )));
    }
    Ok(found)
}

/// An input as a tensor. A first dimension that is not fixed is the batch and counts as 1.
fn one(port: &ValueInfoProto, alone: bool, setting: Setting<'_>) -> Result<Computed, String> {
    let tensor = tensor_type(port).ok_or("it is not a tensor")?;
    let mut given = setting.reading.shapes.iter();
    let given = given
        .find(|(name, _)| name.as_ref().map_or(alone, |name| *name == port.name))
        .map(|(_, shape)| shape);
    let dims = match (declared(port), given) {
        (None, None) => return Err("it declares no shape: give one (--input-shape)".into()),
        (None, Some(given)) => given.clone(),
        (Some(declared), Some(given)) => merged(&declared, given)?,
        (Some(declared), None) => fixed(&declared)?,
    };
    let dims = match (setting.batch, &dims[..]) {
        (Some((batch, rows)), [first, row @ ..]) if *first == batch => [&[rows][..], row].concat(),
        _ => dims,
    };
    let kind = match tensor.elem_type {
        data_type::FLOAT | data_type::DOUBLE | data_type::FLOAT16 | data_type::BFLOAT16 => {
            Kind::Float
        }
        data_type::UINT8
        | data_type::INT8
        | data_type::UINT16
        | data_type::INT16
        | data_type::INT32
        | data_type::INT64 => Kind::Integer,
        data_type::STRING => {
            return Err(
                "it is made of words: encode them as numbers before the network, and export what \
                 follows"
                    .into(),
            );
        }
        other => {
            return Err(format!(
                "its element type is number {other}: floats and integers are supported"
            ));
        }
    };
    match count(&dims) {
        Some(n) if (1..=MAX_LEN as usize).contains(&n) => {
            plausible(&dims).map(|()| Computed { kind, ..Computed::new(0, dims) })
        }
        _ => Err(format!("shape {dims:?} is too large: at most {MAX_LEN} elements are supported")),
    }
}

/// Declared dimensions without a choice.
fn fixed(declared: &[Option<usize>]) -> Result<Vec<usize>, String> {
    let dim = |(i, dim): (usize, &Option<usize>)| match dim {
        Some(d) => Ok(*d),
        None if i == 0 && declared.len() > 1 => Ok(1),
        None => Err(format!(
            "dimension {i} is not fixed: only the first one (the batch) may be. Give the shape \
             (--input-shape, for example 1,3,224,224)"
        )),
    };
    declared.iter().enumerate().map(dim).collect()
}

/// Declared dimensions, and those that were asked for where they are open.
fn merged(declared: &[Option<usize>], given: &[usize]) -> Result<Vec<usize>, String> {
    let shown = || {
        let dims = declared.iter().map(|d| d.map_or_else(|| "?".into(), |d| d.to_string()));
        dims.collect::<Vec<String>>().join(",")
    };
    // Without the batch, it is one row.
    let row = declared.len() == given.len() + 1
        && declared.first().is_some_and(|d| d.is_none_or(|d| d == 1));
    let given = if row { [&[1][..], given].concat() } else { given.to_vec() };
    if declared.len() != given.len() {
        return Err(format!("the shape {given:?} was asked for, it declares {}", shown()));
    }
    let dim = |(i, (declared, &given)): (usize, (&Option<usize>, &usize))| match declared {
        Some(d) if *d != given => {
            Err(format!("{given} was asked for as dimension {i}, it declares {}", shown()))
        }
        // The batch is one row for a prediction.
        None if i == 0 && given > 1 && shown().contains(',') => Ok(1),
        _ => Ok(given),
    };
    declared.iter().zip(&given).enumerate().map(dim).collect()
}
