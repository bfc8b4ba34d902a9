//! Counts the records of a file before it is decoded.
//!
//! A record of two bytes can become a structure of hundreds, so the size of a file alone bounds the
//! memory for it badly.

use prost::DecodeError;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

/// Most nodes, attributes, names, constants and dimensions together.
pub(super) const MAX_RECORDS: usize = 1 << 20;

/// The fields of a message that become structures of their own.
struct Message(&'static [(u32, Message)]);

const LEAF: Message = Message(&[]);
const TENSOR: Message = Message(&[(6, LEAF), (13, LEAF)]);
const NODE: Message = Message(&[(1, LEAF), (2, LEAF), (5, Message(&[(5, TENSOR), (9, LEAF)]))]);
const VALUE: Message = Message(&[(2, Message(&[(1, Message(&[(2, Message(&[(1, LEAF)]))]))]))]);
const GRAPH: Message = Message(&[(1, NODE), (5, TENSOR), (11, VALUE), (12, VALUE)]);
const MODEL: Message = Message(&[(7, GRAPH), (8, LEAF)]);

/// Number of records of a file, at most one more than [`MAX_RECORDS`].
///
/// # Errors
/// If the bytes are not protobuf.
pub(super) fn records(bytes: &[u8]) -> Result<usize, DecodeError> {
    let mut count = 0;
    scan(bytes, &MODEL, &mut count)?;
    Ok(count)
}

fn scan(mut bytes: &[u8], message: &Message, count: &mut usize) -> Result<(), DecodeError> {
    while !bytes.is_empty() && *count <= MAX_RECORDS {
        let (tag, wire) = decode_key(&mut bytes)?;
        let child = message.0.iter().find(|(t, _)| *t == tag).map(|(_, child)| child);
        match child.filter(|_| wire == WireType::LengthDelimited) {
            None => skip_field(wire, tag, &mut bytes, DecodeContext::default())?,
            Some(child) => {
                *count += 1;
                let len = usize::try_from(decode_varint(&mut bytes)?).unwrap_or(usize::MAX);
                // A record that is cut off: decoding will say so.
                let (inner, rest) = bytes.split_at_checked(len).unwrap_or((bytes, &[]));
                if !child.0.is_empty() {
                    scan(inner, child, count)?;
                }
                bytes = rest;
            }
        }
    }
    Ok(())
}
