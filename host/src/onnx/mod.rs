//! ONNX files: the subset that MiniONN runs, read into a [`Network`].
//!
//! | module | what it is |
//! |---|---|
//! | [`proto`] | the messages |
//! | `scan` | how many records a file holds |
//! | `tensor` | constants |
//! | `graph` | who makes and reads which tensor; cycles, missing tensors and branches are refused here |
//! | `walk` | from the input to the output, node by node |
//! | `image` | the nodes that slide a window over an image: convolution and pooling |

//mod graph;
//mod image;
pub mod proto;
mod scan;
mod tensor;
//mod walk;

use crate::network::Network;
use prost::Message as _;

/// Largest file that is read.
pub const MAX_FILE: usize = 1 << 30;

/// The operators that can be read, for error messages.
pub const SUPPORTED: &str = "Gemm, MatMul, Conv (1-D and 2-D), Add, Sub, Mul, Div, BatchNormalization (with constants, next to a fully connected \
     layer or convolution), Relu, MaxPool, AveragePool, GlobalMaxPool, GlobalAveragePool, ReduceMean (over the whole image), squares as Mul(x, x) or Pow(x, 2), Flatten, Reshape, Squeeze, Unsqueeze, Identity, Dropout, Cast, \
     and at the end Softmax, LogSoftmax, ArgMax";

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not protobuf, or cut off.
    #[error("not an ONNX file, or damaged: {0}")]
    Decode(#[from] prost::DecodeError),
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
/// [`Error`] with the node that cannot be read. Sizes are held against the file before anything is allocated for them.
pub fn import(bytes: &[u8]) -> Result<Network, Error> {
    if bytes.len() > MAX_FILE {
        return Err(Error::File("larger than 1 GiB".into()));
    }
    if scan::records(bytes)? > scan::MAX_RECORDS {
        return Err(Error::File(format!("more than {} nodes, names and constants", scan::MAX_RECORDS)));
    }
    let model = proto::ModelProto::decode(bytes)?;
    let graph = model.graph.ok_or_else(|| Error::File("not an ONNX file, or damaged: it holds no graph".into()))?;
    let opset = model.opset_import.iter().find(|o| matches!(o.domain.as_str(), "" | "ai.onnx")).map(|o| o.version);
    match opset {
        Some(7..) => { let _ = graph; Err(Error::File("x".into())) }
        Some(old) => Err(Error::File(format!("operator set {old} is too old: export with 7 or newer"))),
        None => Err(Error::File("not an ONNX file, or damaged: it names no operator set".into())),
    }
}
