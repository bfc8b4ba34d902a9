//! What is compiled in. Written by `build.rs`.

/// Plan and weights, in flash.
pub(crate) static MODEL: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/model"));

include!(concat!(env!("OUT_DIR"), "/workspace.rs"));
