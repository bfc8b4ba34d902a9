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
mod fold;
mod functions;
mod graph;
mod image;
mod import;
mod matrix;
mod moves;
mod named;
mod norm;
mod operators;
pub mod proto;
mod recurrent;
mod reduce;
mod resize;
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

/// Largest file that is read.
pub const MAX_FILE: usize = 1 << 30;

/// Oldest and newest operator set that is read.
const OPSETS: core::ops::RangeInclusive<i64> = 7..=25;

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

/// Reads a network.
///
/// # Errors
/// [`Error`] with the node that cannot be read. Sizes are held against the file before anything is
/// allocated for them.
pub fn import(bytes: &[u8]) -> Result<Network, Error> {
    if bytes.len() > MAX_FILE {
        return Err(Error::File("larger than 1 GiB".into()));
    }
    if scan::records(bytes).map_err(Error::Decode)? > scan::MAX_RECORDS {
        return Err(Error::File(format!(
            "more than {} nodes, names and constants",
            scan::MAX_RECORDS
        )));
    }
    let model = proto::ModelProto::decode(bytes).map_err(Error::Decode)?;
    let graph = model
        .graph
        .ok_or_else(|| Error::File("not an ONNX file, or damaged: it holds no graph".into()))?;
    let opset = model
        .opset_import
        .iter()
        .find(|o| matches!(o.domain.as_str(), "" | "ai.onnx"))
        .map(|o| o.version);
    match opset {
        Some(version) if OPSETS.contains(&version) => {
            import::walk(&graph::Graph::new(&graph)?, version, bytes.len())
        }
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
