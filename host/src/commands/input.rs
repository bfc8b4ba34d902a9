//! Inputs of predictions: arrays in files, one for each input of the network.

use super::files::{self, Pixels};
use crate::network::{Labels, Port};
use crate::npy::Array;
use anyhow::{Context as _, bail, ensure};
use std::path::Path;

/// One `[NAME=]FILE` of the command line.
struct Source<'s> {
    name: Option<&'s str>,
    file: &'s Path,
}

/// Whether all these files are there: told before a server is asked for what they are to hold.
pub(super) fn there(texts: &[String]) -> anyhow::Result<()> {
    for text in texts.iter().filter(|text| !(*text == "-" || text.ends_with("=-"))) {
        let path = match text.split_once('=') {
            Some((_, file)) if !Path::new(text).exists() => file,
            _ => text,
        };
        Path::new(path).metadata().with_context(|| path.to_owned())?;
    }
    Ok(())
}

/// Which input a file is for. A file's own name may hold a `=`.
fn source<'s>(text: &'s str, ports: &[Port]) -> anyhow::Result<Source<'s>> {
    let named = ports.iter().find_map(|port| {
        let file = text.strip_prefix(port.name.as_str())?.strip_prefix('=')?;
        Some(Source { name: text.get(..port.name.len()), file: Path::new(file) })
    });
    if let Some(source) = named {
        return Ok(source);
    }
    let file = Path::new(text);
    match text.split_once('=') {
        Some((name, _)) if !file.exists() => {
            let known: Vec<String> = ports.iter().map(|port| format!("`{}`", port.name)).collect();
            bail!("`{name}` is no input of the network. Its inputs are {}", known.join(", "))
        }
        _ => Ok(Source { name: None, file }),
    }
}

/// The rows of all these files: arrays of whole rows one after the other, or one for each input,
/// whose rows are joined in the inputs' order. Images only if `pixels` says what becomes of them.
pub(super) fn read(
    texts: &[String],
    ports: &[Port],
    pixels: Option<Pixels>,
) -> anyhow::Result<Array> {
    let sources = texts.iter().map(|t| source(t, ports)).collect::<anyhow::Result<Vec<_>>>()?;
    let of = |file: &Path, port: Option<&Port>| files::array(file, port.zip(pixels));
    if ports.len() < 2 || sources.iter().all(|source| source.name.is_none()) {
        return whole(&sources, ports, of);
    }
    let mut columns: Vec<(Array, &Port)> = Vec::new();
    for port in ports {
        let mut own = sources.iter().filter(|s| s.name == Some(port.name.as_str()));
        let (Some(source), None) = (own.next(), own.next()) else {
            bail!("one file is needed for the input `{0}`: --input {0}=X.npy", port.name);
        };
        columns.push((of(source.file, Some(port))?, port));
    }
    ensure!(
        columns.len() == sources.len() && !columns.is_empty(),
        "of several files each must say for which input it is: NAME=X.npy"
    );
    joined(&columns)
}

/// Whole rows of several files, one after the other.
fn whole(
    sources: &[Source<'_>],
    ports: &[Port],
    of: impl Fn(&Path, Option<&Port>) -> anyhow::Result<Array>,
) -> anyhow::Result<Array> {
    let port = if let [port] = ports { Some(port) } else { None };
    if let [source] = sources
        && ports.is_empty()
    {
        return of(source.file, port);
    }
    let len: usize = ports.iter().map(Port::len).sum();
    let mut arrays = Vec::new();
    for source in sources {
        let array = of(source.file, port)?;
        let fits = array.rows_for(ports, len).map(|_| ());
        fits.with_context(|| source.file.display().to_string())?;
        arrays.push(array);
    }
    if arrays.len() == 1 {
        return arrays.pop().context("no inputs");
    }
    let data: Vec<f32> = arrays.iter().flat_map(|array| array.data()).copied().collect();
    Array::new(&[data.len() / len.max(1), len], data).context("the inputs are too large")
}

/// Most bytes of a file of labels.
const MAX_LABELS: usize = 1 << 20;

/// The names of classes, one on each line of a file.
pub(super) fn labels(path: &Path) -> anyhow::Result<Labels> {
    let bytes = super::compile::read(path, MAX_LABELS)
        .with_context(|| format!("{}: labels", path.display()))?;
    let text = String::from_utf8(bytes)
        .with_context(|| format!("{}: labels are no UTF-8 text", path.display()))?;
    let names: Vec<String> = text.lines().map(|line| line.trim().to_owned()).collect();
    ensure!(!names.is_empty(), "{}: it holds no labels", path.display());
    Ok(Labels::Words(names))
}

/// One row of each, one after the other.
fn joined(columns: &[(Array, &Port)]) -> anyhow::Result<Array> {
    let mut parts = Vec::new();
    for (array, port) in columns {
        let rows = array
            .rows_for(core::slice::from_ref(*port), port.len())
            .with_context(|| format!("input `{}`", port.name))?;
        parts.push(rows);
    }
    let rows = parts.first().map_or(0, ExactSizeIterator::len);
    if let Some((part, (_, port))) = parts.iter().zip(columns).find(|(part, _)| part.len() != rows)
    {
        bail!("the input `{}` has {} rows, the first one has {rows}", port.name, part.len());
    }
    let len: usize = columns.iter().map(|(_, port)| port.len()).sum();
    let mut data = Vec::with_capacity(rows * len);
    for _ in 0..rows {
        for part in &mut parts {
            data.extend_from_slice(part.next().unwrap_or_default());
        }
    }
    Array::new(&[rows, len], data).context("the inputs are too large")
}
