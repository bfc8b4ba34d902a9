//! What is compiled in: the plan, held-out windows, and what the integer model makes of them.
//! Written by `build.rs`.

use crate::reconstruction::Reconstruction;

/// A window of samples, and what must come out.
pub(crate) struct Window {
    /// Quantised.
    pub(crate) samples: [Sample; INPUTS],
    /// Its class; of a network that reconstructs its input: whether it stands out (1) or not (0).
    pub(crate) label: usize,
    /// The outputs, unless the network opens the label only.
    pub(crate) outputs: [i32; OUTPUTS],
}

impl Window {
    /// The label that follows from what the network said: its largest output, and all of them.
    pub(crate) fn label_of(&self, largest: usize, outputs: &[i64; OUTPUTS]) -> usize {
        let Some(reconstruction) = RECONSTRUCTION else { return largest };
        let pairs = self.samples.iter().map(|&x| i64::from(x)).zip(outputs.iter().copied());
        usize::from(reconstruction.error(pairs) > reconstruction.largest)
    }
}

/// The public plan.
pub(crate) static PLAN: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/plan"));

include!(concat!(env!("OUT_DIR"), "/network.rs"));
