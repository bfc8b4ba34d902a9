//! Every linear layer as one kind of convolution: stride 1, no dilation, no padding.
//!
//! Stride s becomes channels: phase `(a, b)` of the padded input is a channel of its own, and the
//! kernel shrinks to `⌈k/s⌉` (space to depth). Dilation widens the kernel with zeros, padding is
//! elements that are zero. A fully connected layer is a convolution of a 1×1 image. So packing,
//! transforming and decrypting are written once, over [`Geometry`].

use super::limits::{MAX_LEN, MAX_WEIGHTS};
use crate::convolution::Convolution;
use crate::error::{Error, PlanFault, Result};

/// The same layer with stride, dilation and padding taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    layer: Convolution,
    /// Channels of the dense convolution, phases included.
    pub channels: usize,
    /// Output channels.
    pub outputs: usize,
    /// Groups of channels that do not mix.
    pub groups: usize,
    /// Height and width of its kernel.
    pub kernel: [usize; 2],
    /// Height and width of the output.
    pub size: [usize; 2],
}

impl Geometry {
    /// The geometry of a layer.
    ///
    /// # Errors
    /// [`PlanFault::Shape`] as [`Convolution::output_size`].
    pub const fn new(layer: Convolution) -> Result<Self> {
        let [ho, wo] = match layer.output_size() {
            Ok(size) => size,
            Err(error) => return Err(error),
        };
        let ([c, ..], [kh, kw], [sh, sw], [dh, dw]) =
            (layer.input, layer.kernel, layer.stride, layer.dilation);
        let channels = (c as u64).saturating_mul(sh as u64 * sw as u64);
        if channels > MAX_LEN as u64 || layer.outputs > MAX_LEN || layer.weights() > MAX_WEIGHTS {
            return Err(Error::Plan(PlanFault::Shape));
        }
        Ok(Self {
            layer,
            channels: channels as usize,
            outputs: layer.outputs as usize,
            groups: layer.groups as usize,
            kernel: [
                (dh * (kh - 1) + 1).div_ceil(sh) as usize,
                (dw * (kw - 1) + 1).div_ceil(sw) as usize,
            ],
            size: [ho as usize, wo as usize],
        })
    }

    /// Input and phase of a dense channel.
    const fn phase(&self, channel: usize) -> (usize, usize, usize) {
        let [sh, sw] = self.layer.stride;
        let (sh, sw) = (sh as usize, sw as usize);
        (channel / (sh * sw), channel / sw % sh, channel % sw)
    }

    /// Element of the input tensor at `(channel, y, x)` of the dense convolution; `None` is a zero
    /// of the padding.
    #[must_use]
    pub const fn source(&self, channel: usize, y: usize, x: usize) -> Option<usize> {
        let (c, a, b) = self.phase(channel);
        let ([_, h, w], [sh, sw], [top, left, ..]) =
            (self.layer.input, self.layer.stride, self.layer.pads);
        let (Some(y), Some(x)) = (
            (y * sh as usize + a).checked_sub(top as usize),
            (x * sw as usize + b).checked_sub(left as usize),
        ) else {
            return None;
        };
        if y < h as usize && x < w as usize {
            Some((c * h as usize + y) * w as usize + x)
        } else {
            None
        }
    }

    /// Whether every channel is one element of the input tensor, so that those of several channels
    /// are a row.
    #[must_use]
    pub const fn is_row(&self) -> bool {
        let Convolution { input: [_, h, w], stride: [down, across], pads: [top, left, ..], .. } =
            self.layer;
        h * w == 1 && down * across == 1 && top + left == 0
    }

    /// As [`Self::source`] of `len` places from `x` on in a row: how many are padding before the
    /// first element, that element, and how many there are; each is `stride[1]` behind the one
    /// before.
    #[must_use]
    pub fn row(
        &self,
        channel: usize,
        y: usize,
        x: usize,
        len: usize,
    ) -> Option<(usize, usize, usize)> {
        let (c, a, b) = self.phase(channel);
        let ([_, h, w], [sh, sw], [top, left, ..]) =
            (self.layer.input, self.layer.stride, self.layer.pads);
        let [h, w, sh, sw, left] = [h, w, sh, sw, left].map(|n| n as usize);
        let row = (y * sh + a).checked_sub(top as usize).filter(|&row| row < h)?;
        let first = left.saturating_sub(b).div_ceil(sw).max(x);
        let end = (left + w).saturating_sub(b).div_ceil(sw).min(x + len);
        (first < end).then(|| (first - x, (c * h + row) * w + first * sw + b - left, end - first))
    }

    /// Index of the weight from `channel` to `output` at `(u, v)` of the dense kernel; `None` is a
    /// zero.
    #[must_use]
    pub const fn weight(&self, output: usize, channel: usize, u: usize, v: usize) -> Option<usize> {
        let (c, a, b) = self.phase(channel);
        let ([cin, ..], [kh, kw], [sh, sw], [dh, dw]) =
            (self.layer.input, self.layer.kernel, self.layer.stride, self.layer.dilation);
        let per_group = cin as usize / self.groups;
        if c / per_group != output / (self.outputs / self.groups) {
            return None;
        }
        let (down, across) = (u * sh as usize + a, v * sw as usize + b);
        let (dh, dw) = (dh as usize, dw as usize);
        if down % dh != 0
            || across % dw != 0
            || down / dh >= kh as usize
            || across / dw >= kw as usize
        {
            return None;
        }
        Some(
            ((output * per_group + c % per_group) * kh as usize + down / dh) * kw as usize
                + across / dw,
        )
    }

    /// Dense channels that belong to one group.
    #[must_use]
    pub const fn channels_per_group(&self) -> usize {
        self.channels / self.groups
    }

    /// The layer.
    #[must_use]
    pub const fn layer(&self) -> &Convolution {
        &self.layer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// The dense convolution of the gathered input with the gathered kernel equals the layer.
    #[test]
    fn gathering_is_the_layer() {
        for (input, outputs, kernel, stride, pads, dilation, groups) in [
            ([1, 6, 7], 2, [3, 3], [1, 1], [0; 4], [1, 1], 1),
            ([1, 28, 28], 5, [5, 5], [2, 2], [1; 4], [1, 1], 1),
            ([3, 9, 8], 4, [3, 2], [2, 2], [1, 0, 2, 1], [1, 1], 1),
            ([4, 10, 10], 4, [3, 3], [1, 1], [2; 4], [2, 2], 4),
            ([4, 5, 5], 6, [1, 1], [1, 1], [0; 4], [1, 1], 2),
            ([2, 3, 40], 3, [3, 5], [1, 1], [1, 2, 1, 2], [1, 1], 1),
            ([2, 11, 9], 4, [2, 3], [3, 2], [0, 1, 2, 0], [2, 3], 2),
            ([9, 1, 1], 4, [1, 1], [1, 1], [0; 4], [1, 1], 1),
        ] {
            let layer = Convolution { input, outputs, kernel, stride, pads, dilation, groups };
            let g = Geometry::new(layer).unwrap();
            let n = input.iter().product::<u32>() as i64;
            let x: Vec<i64> = (0..n).map(|i| (i * 37 + 11) % 101 - 50).collect();
            let w: Vec<i64> = (0..layer.weights() as i64).map(|i| (i * 53 + 5) % 61 - 30).collect();
            for o in 0..g.outputs {
                for y in 0..g.size[0] {
                    for z in 0..g.size[1] {
                        let mut dense = 0;
                        for c in 0..g.channels {
                            for u in 0..g.kernel[0] {
                                for v in 0..g.kernel[1] {
                                    if let (Some(i), Some(j)) =
                                        (g.source(c, y + u, z + v), g.weight(o, c, u, v))
                                    {
                                        dense += x[i] * w[j];
                                    }
                                }
                            }
                        }
                        assert_eq!(dense, direct(&layer, &x, &w, o, y, z));
                    }
                }
            }
        }
    }

    #[test]
    fn rows_are_their_elements() {
        for (input, kernel, stride, pads, dilation) in [
            ([2, 6, 7], [3, 3], [1, 1], [0; 4], [1, 1]),
            ([2, 6, 7], [3, 3], [1, 1], [3, 4, 2, 1], [1, 1]),
            ([3, 9, 8], [3, 2], [2, 3], [1, 2, 2, 5], [1, 2]),
            ([1, 2, 3], [2, 2], [3, 2], [4, 7, 4, 7], [2, 1]),
            ([9, 1, 1], [1, 1], [1, 1], [0; 4], [1, 1]),
        ] {
            let layer =
                Convolution { input, outputs: 1, kernel, stride, pads, dilation, groups: 1 };
            let g = Geometry::new(layer).unwrap();
            for (channel, y, x, len) in (0..g.channels).flat_map(|c| {
                (0..12).flat_map(move |y| {
                    (0..12).flat_map(move |x| [1, 2, 5, 20].map(|len| (c, y, x, len)))
                })
            }) {
                let one_by_one: Vec<Option<usize>> =
                    (x..x + len).map(|x| g.source(channel, y, x)).collect();
                let mut row = std::vec![None; len];
                if let Some((skipped, element, count)) = g.row(channel, y, x, len) {
                    for i in 0..count {
                        row[skipped + i] = Some(element + i * stride[1] as usize);
                    }
                }
                assert_eq!(
                    row, one_by_one,
                    "{layer:?}, channel {channel}, row {y}, {len} from {x}"
                );
            }
        }
    }

    fn direct(l: &Convolution, x: &[i64], w: &[i64], o: usize, y: usize, z: usize) -> i64 {
        let [c, h, wd] = l.input.map(|n| n as i64);
        let (per, out_per) = (c / i64::from(l.groups), i64::from(l.outputs / l.groups));
        let mut sum = 0;
        for ci in 0..per {
            for u in 0..i64::from(l.kernel[0]) {
                for v in 0..i64::from(l.kernel[1]) {
                    let row = y as i64 * i64::from(l.stride[0]) - i64::from(l.pads[0])
                        + u * i64::from(l.dilation[0]);
                    let column = z as i64 * i64::from(l.stride[1]) - i64::from(l.pads[1])
                        + v * i64::from(l.dilation[1]);
                    if (0..h).contains(&row) && (0..wd).contains(&column) {
                        let from = (o as i64 / out_per) * per + ci;
                        let i = (from * h + row) * wd + column;
                        let j = ((o as i64 * per + ci) * i64::from(l.kernel[0]) + u)
                            * i64::from(l.kernel[1])
                            + v;
                        sum += x[i as usize] * w[j as usize];
                    }
                }
            }
        }
        sum
    }

    #[test]
    fn a_window_needs_an_element_everywhere() {
        for (size, kernel, stride, pad, dilation) in (1..6).flat_map(|n| {
            (1..5).flat_map(move |k| {
                (1..4).flat_map(move |s| {
                    (0..5).flat_map(move |p| (1..4).map(move |d| (n, k, s, p, d)))
                })
            })
        }) {
            let window = Convolution::window(
                [2, size, 1],
                [kernel, 1],
                [stride, 1],
                [pad, 0, pad, 0],
                [dilation, 1],
            );
            let Ok([ho, _]) = window.output_size() else { continue };
            let all = (0..ho as usize).all(|output| window.window_at(output).next().is_some());
            assert_eq!(window.is_window(), all, "{window:?}");
        }
    }

    #[test]
    fn impossible_shapes_are_refused() {
        let good = Convolution::fully_connected(3, 2);
        for bad in [
            Convolution { kernel: [2, 1], ..good },
            Convolution { stride: [0, 1], ..good },
            Convolution { groups: 2, ..good },
            Convolution { input: [0, 1, 1], ..good },
            Convolution { dilation: [1, u32::MAX], ..good },
            Convolution { input: [1024, 1, 1], stride: [32_767; 2], ..good },
            Convolution {
                input: [1 << 24, 1, 1],
                outputs: 1 << 24,
                kernel: [32_767; 2],
                pads: [16_384; 4],
                ..good
            },
            Convolution { input: [u32::MAX; 3], outputs: u32::MAX, ..good },
        ] {
            assert!(Geometry::new(bad).is_err(), "{bad:?}");
        }
    }
}
