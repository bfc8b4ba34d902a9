//! The networks of tests/graphs, which lie in archives: see the README there.

#![allow(dead_code, reason = "not every test uses everything")]

use minionn_host::npy::{self, Array};
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/graphs")
}

/// The files of an archive by their names.
pub(crate) struct Graphs(BTreeMap<String, Vec<u8>>);

impl Graphs {
    /// `graphs`, `backend` or `refused`.
    pub(crate) fn read(archive: &str) -> Self {
        let bytes = std::fs::read(folder().join(archive).with_extension("tar")).unwrap();
        let mut tar = tar::Archive::new(&bytes[..]);
        let file = |entry: Result<tar::Entry<'_, &[u8]>, _>| {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            (entry.path().unwrap().to_str().unwrap().to_owned(), content)
        };
        Self(tar.entries().unwrap().map(file).collect())
    }

    /// Names of all networks, in order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().filter_map(|name| name.strip_suffix(".onnx"))
    }

    pub(crate) fn onnx(&self, name: &str) -> &[u8] {
        self.file(&format!("{name}.onnx"))
    }

    /// Its inputs (`x`) or results (`y`).
    pub(crate) fn array(&self, name: &str, what: &str) -> Array {
        let name = format!("{name}.{what}.npy");
        npy::parse(self.file(&name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn file(&self, name: &str) -> &[u8] {
        self.0.get(name).unwrap_or_else(|| panic!("{name} is not in the archive"))
    }
}
