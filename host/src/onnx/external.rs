//! Data of constants that lie in a file beside the network's, as exporters write them for large
//! networks.
//!
//! A network file may come from anywhere, so what it names is read only from inside its own
//! folder: no absolute path, no `..`, no link that leads out.

use super::proto::{GraphProto, StringStringEntryProto, TensorProto};
use super::tensor::{Tensor, count, shape_of, width_of};
use core::cell::RefCell;
use std::collections::HashMap;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Component, Path, PathBuf};

/// Value of [`TensorProto::data_location`] for data in another file.
const EXTERNAL: i32 = 1;

/// The files beside the network's.
pub(super) struct Files<'a> {
    folder: Option<&'a Path>,
    /// What was opened already, and how long it is.
    open: RefCell<HashMap<String, (File, u64)>>,
}

/// Bytes of the data that constants say to have in other files.
pub(super) fn declared(graph: &GraphProto) -> usize {
    let outside = graph.initializer.iter().filter(|t| t.data_location == EXTERNAL);
    let bytes =
        outside.filter_map(|t| count(&shape_of(t).ok()?)?.checked_mul(width_of(t.data_type)?));
    bytes.fold(0, usize::saturating_add)
}

impl<'a> Files<'a> {
    pub(super) fn new(folder: Option<&'a Path>) -> Self {
        Self { folder, open: RefCell::default() }
    }

    /// The constant, wherever its data are. Nothing is allocated before its declared shape has
    /// been held against the file.
    pub(super) fn tensor(&self, proto: &TensorProto) -> Result<Tensor, String> {
        if proto.data_location != EXTERNAL {
            return Tensor::decode(proto);
        }
        let dims = shape_of(proto)?;
        let need = count(&dims)
            .and_then(|n| n.checked_mul(width_of(proto.data_type)?))
            .ok_or_else(|| {
                format!(
                    "its shape {dims:?} or element type (number {}) is not supported",
                    proto.data_type
                )
            })?;
        let raw_data =
            if need == 0 { vec![] } else { self.read(&proto.external_data, need as u64)? };
        Tensor::decode(&TensorProto {
            dims: proto.dims.clone(),
            data_type: proto.data_type,
            raw_data,
            ..TensorProto::default()
        })
    }

    /// The `need` bytes that these entries name.
    fn read(&self, entries: &[StringStringEntryProto], need: u64) -> Result<Vec<u8>, String> {
        let entry = |key: &str| {
            let mut all = entries.iter().filter(|e| e.key == key).map(|e| e.value.as_str());
            match (all.next(), all.next()) {
                (_, Some(_)) => Err(format!("its external data name `{key}` twice")),
                (found, None) => Ok(found),
            }
        };
        let number = |key: &str| {
            let digits = entry(key)?;
            let parse = |text: &str| {
                text.parse::<u64>()
                    .map_err(|_| format!("the `{key}` of its external data is not a number"))
            };
            digits.map(parse).transpose()
        };
        let location = entry("location")?.ok_or("its external data name no `location`")?;
        // Without an offset, the data start with the file.
        let start = number("offset")?.map_or(0, |offset| offset);
        if let Some(length) = number("length")?
            && length != need
        {
            return Err(format!(
                "its external data have {length} bytes, its shape and type need {need}"
            ));
        }
        let mut open = self.open.borrow_mut();
        if !open.contains_key(location) {
            let file = self.file(location)?;
            open.insert(location.to_owned(), file);
        }
        let (file, len) = open.get_mut(location).ok_or("its external data are not there")?;
        if start.checked_add(need).is_none_or(|end| end > *len) {
            return Err(format!(
                "its external data end behind `{location}`, which has {len} bytes: {need} from \
                 {start} on are needed. Is the file cut off, or of another export?"
            ));
        }
        let mut bytes = vec![0; usize::try_from(need).map_err(|_| "it is too large")?];
        file.seek(SeekFrom::Start(start))
            .and_then(|_| file.read_exact(&mut bytes))
            .map_err(|error| format!("its external data in `{location}`: {error}"))?;
        Ok(bytes)
    }

    /// Opens a file of the network's folder.
    fn file(&self, location: &str) -> Result<(File, u64), String> {
        let folder = self.folder.ok_or_else(|| {
            format!(
                "its data are in the file `{location}`, and the network was not read from a \
                 file: save the model with all tensors inside, or name its file"
            )
        })?;
        let outside = || {
            format!(
                "its data are said to be in `{location}`: only files in the folder of the network \
                 are read, and no links that lead out of it"
            )
        };
        let inside = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
        if location.is_empty() || !Path::new(location).components().all(inside) {
            return Err(outside());
        }
        let wrong = |path: &Path, error: &std::io::Error| {
            format!("its data are in `{}`: {error}", path.display())
        };
        let path: PathBuf = folder.join(location);
        let real = path.canonicalize().map_err(|error| wrong(&path, &error))?;
        let root = folder.canonicalize().map_err(|error| wrong(folder, &error))?;
        if !real.starts_with(&root) {
            return Err(outside());
        }
        let kind = real.metadata().map_err(|error| wrong(&path, &error))?;
        if !kind.is_file() {
            return Err(format!("its data are in `{}`, which is not a file", path.display()));
        }
        let file = File::open(&real).map_err(|error| wrong(&path, &error))?;
        Ok((file, kind.len()))
    }
}
