//! The shape of a convolution or of a pooling window.

use crate::error::{Error, PlanFault, Result};

/// A convolution as ONNX describes it, on `[channels][height][width]` with weights
/// `[outputs][channels / groups][kernel]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Convolution {
    /// Input channels, height, width.
    pub input: [u32; 3],
    /// Output channels.
    pub outputs: u32,
    /// Height and width of the kernel.
    pub kernel: [u32; 2],
    /// Stride, down and right.
    pub stride: [u32; 2],
    /// Zeros around the input: top, left, bottom, right.
    pub pads: [u32; 4],
    /// Distance of kernel elements, down and right.
    pub dilation: [u32; 2],
    /// Groups of channels that do not mix.
    pub groups: u32,
}

impl Convolution {
    /// A fully connected layer.
    #[must_use]
    pub const fn fully_connected(inputs: u32, outputs: u32) -> Self {
        Self {
            input: [inputs, 1, 1],
            outputs,
            kernel: [1; 2],
            stride: [1; 2],
            pads: [0; 4],
            dilation: [1; 2],
            groups: 1,
        }
    }

    /// Height and width of the output.
    ///
    /// # Errors
    /// [`PlanFault::Shape`] if a field is zero or too large, or the kernel does not fit the padded
    /// input.
    pub const fn output_size(&self) -> Result<[u32; 2]> {
        const MOST: u32 = 1 << 15;
        let [c, h, w] = self.input;
        let ([kh, kw], [sh, sw], [dh, dw]) = (self.kernel, self.stride, self.dilation);
        let [top, left, bottom, right] = self.pads;
        let positive = c > 0
            && h > 0
            && w > 0
            && kh > 0
            && kw > 0
            && sh > 0
            && sw > 0
            && dh > 0
            && dw > 0
            && self.outputs > 0
            && self.groups > 0;
        let small = h < MOST
            && w < MOST
            && kh < MOST
            && kw < MOST
            && sh < MOST
            && sw < MOST
            && dh < MOST
            && dw < MOST;
        let pads = top < MOST && left < MOST && bottom < MOST && right < MOST;
        if !(positive
            && small
            && pads
            && c.is_multiple_of(self.groups)
            && self.outputs.is_multiple_of(self.groups))
        {
            return Err(Error::Plan(PlanFault::Shape));
        }
        let (Some(down), Some(across)) = (
            (h + top + bottom).checked_sub(dh * (kh - 1) + 1),
            (w + left + right).checked_sub(dw * (kw - 1) + 1),
        ) else {
            return Err(Error::Plan(PlanFault::Shape));
        };
        Ok([down / sh + 1, across / sw + 1])
    }

    /// Element of the input under element `(u, v)` of the kernel at output `(y, x)`, in `channel`;
    /// `None` is a zero of the padding.
    #[must_use]
    pub const fn tap(
        &self,
        channel: usize,
        [y, x]: [usize; 2],
        [u, v]: [usize; 2],
    ) -> Option<usize> {
        let ([_, h, w], [sh, sw], [dh, dw], [top, left, ..]) =
            (self.input, self.stride, self.dilation, self.pads);
        let row = (y * sh as usize + u * dh as usize).checked_sub(top as usize);
        let column = (x * sw as usize + v * dw as usize).checked_sub(left as usize);
        match (row, column) {
            (Some(row), Some(column)) if row < h as usize && column < w as usize => {
                Some((channel * h as usize + row) * w as usize + column)
            }
            _ => None,
        }
    }

    /// A pooling window that slides over each channel by itself.
    #[must_use]
    pub const fn window(
        input: [u32; 3],
        kernel: [u32; 2],
        stride: [u32; 2],
        pads: [u32; 4],
        dilation: [u32; 2],
    ) -> Self {
        let [channels, ..] = input;
        Self { input, outputs: channels, kernel, stride, pads, dilation, groups: channels }
    }

    /// Whether this is a pooling window: one channel in, one out, and no window that lies in the
    /// padding altogether.
    #[must_use]
    pub fn is_window(&self) -> bool {
        let ([c, h, w], [kh, kw]) = (self.input, self.kernel);
        let Ok([ho, wo]) = self.output_size() else { return false };
        let down =
            (0..ho).all(|y| Self::meets(y, kh, self.stride[0], self.dilation[0], self.pads[0], h));
        let across =
            (0..wo).all(|x| Self::meets(x, kw, self.stride[1], self.dilation[1], self.pads[1], w));
        self.outputs == c && self.groups == c && down && across
    }

    /// Whether some element of a window at `at` lies inside, along one axis: the first that is
    /// behind the padding has to.
    const fn meets(at: u32, kernel: u32, stride: u32, dilation: u32, pad: u32, size: u32) -> bool {
        let start = at * stride;
        let first = pad.saturating_sub(start).div_ceil(dilation);
        first < kernel && start + first * dilation - pad < size
    }

    /// Elements of a pooling window.
    #[must_use]
    pub const fn window_len(&self) -> usize {
        let [kh, kw] = self.kernel;
        kh as usize * kw as usize
    }

    /// The input elements of the window of output element `output`; padding is left out.
    pub fn window_at(&self, output: usize) -> impl Iterator<Item = usize> + Clone + use<> {
        let (layer, [ho, wo]) = (*self, self.output_size().unwrap_or([1, 1]).map(|n| n as usize));
        let (channel, place) = (output / (ho * wo), [output / wo % ho, output % wo]);
        let across = layer.kernel[1] as usize;
        (0..layer.window_len())
            .filter_map(move |i| layer.tap(channel, place, [i / across, i % across]))
    }

    /// As [`Convolution::window_at`], always [`Convolution::window_len`] elements: the first one
    /// stands in for padding, which changes no maximum.
    #[must_use]
    pub fn window_element(&self, output: usize, i: usize) -> usize {
        let (layer, [ho, wo]) = (*self, self.output_size().unwrap_or([1, 1]).map(|n| n as usize));
        let (channel, place) = (output / (ho * wo), [output / wo % ho, output % wo]);
        let across = layer.kernel[1] as usize;
        let tap = layer.tap(channel, place, [i / across, i % across]);
        tap.or_else(|| self.window_at(output).next()).unwrap_or(0)
    }

    /// Weights of the layer; too many to count are more than any plan may have.
    #[must_use]
    pub const fn weights(&self) -> u64 {
        let [c, ..] = self.input;
        let [kh, kw] = self.kernel;
        (self.outputs as u64)
            .saturating_mul((c / self.groups) as u64)
            .saturating_mul(kh as u64 * kw as u64)
    }

    /// Weights that one output adds up.
    #[must_use]
    pub const fn fan_in(&self) -> u64 {
        self.weights() / self.outputs as u64
    }
}
