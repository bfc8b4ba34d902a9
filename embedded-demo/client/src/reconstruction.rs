//! A network that gives back what it is shown, as well as it can: what it gives back badly is
//! unlike anything that it was trained on. The build script needs the same.

/// When a window stands out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reconstruction {
    /// What one of the network's integers stands for, in and out.
    pub(crate) input_scale: f32,
    pub(crate) output_scale: f32,
    /// Largest mean squared error of a window like those of the training.
    pub(crate) largest: f32,
}

impl Reconstruction {
    /// Mean squared error of what came back. Sums in this order on host and device, so both get the
    /// same number.
    pub(crate) fn error(&self, pairs: impl ExactSizeIterator<Item = (i64, i64)>) -> f32 {
        let count = pairs.len() as f32;
        let squares = pairs.map(|(x, y)| {
            let difference = x as f32 * self.input_scale - y as f32 * self.output_scale;
            difference * difference
        });
        squares.sum::<f32>() / count
    }
}
