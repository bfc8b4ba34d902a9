//! ONNX files: the subset that MiniONN runs, read into a [`Network`].
//!
//! | module | what it is |
//! |---|---|
//! | [`proto`] | the messages |
//! | `scan` | how many records a file holds |
//! | `tensor`, `fold`, `evaluate` | constants, and what is computed of them |
//! | `graph` | who makes and reads which tensor; cycles and missing tensors are refused here |
//! | `import` | from the input to the output, node by node |
//! | `operators` | which operator is read where, and what is said of the others |
//! | `call` | the inputs and attributes of one node |
//! | `build` | the network in the making, and its limits |
//! | `views` | copies of any rank, and lists of moves, as the four loops of views |
//! | `functions`, `named` | functions of one tensor, in however many nodes |
//! | `matrix`, `einsum`, `image`, `transposed`, `resize` | linear operators |
//! | `elementwise`, `select`, `reduce`, `norm`, `recurrent` | what computes |
//! | `copy`, `moves`, `shape` | what moves elements, or nothing |
//! | `simplify` | what is left to tidy in the end |

mod build;
mod call;
mod copy;
mod einsum;
mod elementwise;
mod evaluate;
mod external;
mod fold;
mod foreign;
mod functions;
mod graph;
mod image;
mod import;
mod input;
mod learn;
mod matrix;
mod moves;
mod named;
mod norm;
mod old;
mod operators;
pub mod proto;
mod quantised;
mod recurrent;
mod reduce;
mod resize;
mod rewrite;
mod scan;
mod select;
mod shape;
mod simplify;
mod tensor;
#[cfg(test)]
mod tests;
mod transposed;
mod views;

pub use operators::{Operator, operators};

use crate::network::Network;
use prost::Message as _;
use std::path::PathBuf;

/// Largest file that is read.
pub const MAX_FILE: usize = (1 << 31) - 1;

/// Oldest and newest operator set that is read.
const OPSETS: core::ops::RangeInclusive<i64> = 6..=25;

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not protobuf, or cut off.
    #[error("not an ONNX file, or damaged: {0}")]
    Decode(prost::DecodeError),
    /// Something about the whole file.
    #[error("{0}")]
    File(String),
    /// Something about one node.
    #[error("{node}: {what}")]
    Node {
        /// Index, name and operator.
        node: String,
        /// What is wrong, and what would be supported.
        what: String,
    },
}

/// What is read of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// The folder that files beside the network's are read from. Without it, a network with data
    /// in other files is refused.
    pub folder: Option<PathBuf>,
    /// The tensor that is the output; without it, the first output that is a score.
    pub output_node: Option<String>,
    /// Shapes of inputs, by name or, where there is one input only, without: they set what the
    /// file leaves open.
    pub shapes: Vec<(Option<String>, Vec<usize>)>,
    /// A fixed batch above one is one input as a whole. Without it, one row of it is the input, if
    /// rows do not depend on each other.
    pub keep_batch: bool,
}

/// Reads a network that lies in one piece.
///
/// # Errors
/// As [`read`].
pub fn import(bytes: &[u8]) -> Result<Network, Error> {
    read(bytes, &Reading::default())
}

/// Reads a network.
///
/// # Errors
/// [`Error`] with the node that cannot be read. Sizes are held against the file before anything is
/// allocated for them.
pub fn read(bytes: &[u8], reading: &Reading) -> Result<Network, Error> {
    if bytes.len() > MAX_FILE {
        return Err(Error::File("larger than 2 GiB: save its data in a file beside it".into()));
    }
    if let Some(what) = foreign::recognise(bytes) {
        return Err(Error::File(format!("not an ONNX file, but {what}")));
    }
    if scan::records(bytes).map_err(Error::Decode)? > scan::MAX_RECORDS {
        return Err(Error::File(format!(
            "more than {} nodes, names and constants",
            scan::MAX_RECORDS
        )));
    }
    let model = proto::ModelProto::decode(bytes).map_err(Error::Decode)?;
    let mut graph = model
        .graph
        .ok_or_else(|| Error::File("not an ONNX file, or damaged: it holds no graph".into()))?;
    let opset = opset(&model.opset_import)?;
    rewrite::rewrite(&mut graph).map_err(|(node, what)| Error::Node { node, what })?;
    let files = external::Files::new(reading.folder.as_deref());
    let len = bytes.len().saturating_add(external::declared(&graph));
    let setting = import::Setting { opset, len, files: &files, reading, batch: None };
    import::network(&graph::Graph::new(&graph)?, setting)
}

/// The operator set, if it is one that is read.
fn opset(sets: &[proto::OperatorSetIdProto]) -> Result<i64, Error> {
    let version =
        sets.iter().find(|o| matches!(o.domain.as_str(), "" | "ai.onnx")).map(|o| o.version);
    // A file of scikit-learn's operators alone names no other.
    let version =
        version.or_else(|| sets.iter().any(|o| o.domain == learn::DOMAIN).then_some(*OPSETS.end()));
    match version {
        Some(version) if OPSETS.contains(&version) => Ok(version),
        Some(old) if old < *OPSETS.start() => Err(Error::File(format!(
            "operator set {old} is too old: export with {} or newer",
            OPSETS.start()
        ))),
        Some(new) => Err(Error::File(format!(
            "operator set {new} is too new: export with {} or older",
            OPSETS.end()
        ))),
        None => Err(Error::File("not an ONNX file, or damaged: it names no operator set".into())),
    }
}
