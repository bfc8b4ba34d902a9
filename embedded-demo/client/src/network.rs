//! What is compiled in: the plan, held-out windows, and what the integer model makes of them. Written by `build.rs`.

/// A window of samples, and what must come out.
pub(crate) struct Window {
    /// Quantised.
    pub(crate) samples: [Sample; INPUTS],
    /// Index of the largest output.
    pub(crate) label: usize,
    /// The outputs, unless the network opens the label only.
    pub(crate) outputs: [i64; OUTPUTS],
}

/// The public plan.
pub(crate) static PLAN: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/plan"));

include!(concat!(env!("OUT_DIR"), "/network.rs"));
