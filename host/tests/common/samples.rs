//! Networks and samples in the repository's folder `models/`.

use minionn_host::npy::{self, Array};
use std::path::{Path, PathBuf};

pub(crate) fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models")
}

pub(crate) fn array(name: &str) -> Array {
    npy::read(&models().join(name)).unwrap()
}

/// The first `rows` rows.
pub(crate) fn head(array: &Array, rows: usize) -> Array {
    let columns = array.columns();
    Array::new(&[rows, columns], array.data()[..rows * columns].to_vec()).unwrap()
}

/// Right answers of the float network.
pub(crate) fn float_right(logits: &Array, labels: &[f32], rows: usize) -> usize {
    let best =
        |row: &[f32]| (0..row.len()).rev().max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap();
    logits
        .data()
        .chunks(logits.columns())
        .zip(labels)
        .take(rows)
        .filter(|(row, l)| best(row) == **l as usize)
        .count()
}
