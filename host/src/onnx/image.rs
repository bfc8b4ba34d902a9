//! Nodes that slide a window over an image: convolution and pooling, in one or two dimensions. One dimension is an image of height 1.

use super::proto::NodeProto;
use super::tensor::Tensor;
use super::walk::{Step, Walk, attribute, axis_of, int, operand};
use crate::network::{Layer, output_len};
use minionn_core::params::N;
use minionn_core::plan::{Convolution, MAX_CLASSES, MAX_LEN, MAX_WEIGHTS};

/// Larger images, kernels, strides, pads and dilations than this are refused before anything is computed from them.
const MOST: u32 = (1 << 15) - 1;

/// Attributes of a window.
const WINDOW: [&str; 5] = ["auto_pad", "dilations", "kernel_shape", "pads", "strides"];

/// A number of a shape.
fn small(what: &str, value: impl TryInto<u32> + Copy + core::fmt::Display) -> Result<u32, String> {
    value.try_into().ok().filter(|&n| n <= MOST).ok_or_else(|| format!("{what} holds {value}: 0 to {MOST} are supported"))
}

/// Refuses attributes that are not in `known`.
fn only(node: &NodeProto, known: &[&str]) -> Step {
    let stranger = node.attribute.iter().find(|a| !known.contains(&a.name.as_str()));
    stranger.map_or(Ok(()), |a| Err(format!("attribute `{}` is not supported. Supported are {}", a.name, known.join(", "))))
}

/// Channels, height and width of `dims`, and how many dimensions the image has.
fn image(dims: &[usize]) -> Result<([u32; 3], usize), String> {
    let wrong = || format!("shape {dims:?} is not [1, channels, height, width] or [1, channels, length]");
    let (c, size) = match *dims {
        [1, c, h, w] => (c, [h, w]),
        [1, c, w] => (c, [1, w]),
        _ => return Err(wrong()),
    };
    let [h, w] = [small("the shape", size[0])?, small("the shape", size[1])?];
    let c = u32::try_from(c).map_err(|_| wrong())?;
    if c == 0 || h == 0 || w == 0 { Err(wrong()) } else { Ok(([c, h, w], dims.len() - 2)) }
}

/// One number for each dimension of the image from attribute `name`, down and right; `None` if it is not there.
fn pair(node: &NodeProto, name: &str, rank: usize) -> Result<Option<[u32; 2]>, String> {
    let Some(attribute) = attribute(node, name) else { return Ok(None) };
    match (rank, &attribute.ints[..]) {
        (1, &[across]) => Ok(Some([1, positive(name, across)?])),
        (2, &[down, across]) => Ok(Some([positive(name, down)?, positive(name, across)?])),
        (_, other) => Err(format!("{name} is {other:?}: {rank} numbers are needed")),
    }
}

fn positive(name: &str, value: i64) -> Result<u32, String> {
    if value > 0 { small(name, value) } else { Err(format!("{name} holds {value}: it must be positive")) }
}

/// Top, left, bottom, right.
fn explicit_pads(node: &NodeProto, rank: usize) -> Result<[u32; 4], String> {
    let Some(attribute) = attribute(node, "pads") else { return Ok([0; 4]) };
    match (rank, &attribute.ints[..]) {
        (_, []) => Ok([0; 4]),
        (1, &[left, right]) => Ok([0, small("pads", left)?, 0, small("pads", right)?]),
        (2, &[top, left, bottom, right]) => Ok([small("pads", top)?, small("pads", left)?, small("pads", bottom)?, small("pads", right)?]),
        (_, other) => Err(format!("pads is {other:?}: {} numbers are needed", 2 * rank)),
    }
}

/// Elements that a kernel reaches over.
const fn reach(kernel: u32, dilation: u32) -> u32 {
    (kernel - 1).saturating_mul(dilation).saturating_add(1)
}

/// The padding that makes `⌈input / stride⌉` outputs: all of it, before and behind.
fn same(input: u32, reach: u32, stride: u32, upper: bool) -> (u32, u32) {
    let total = ((input.div_ceil(stride) - 1) * stride).saturating_add(reach).saturating_sub(input);
    let (less, more) = (total / 2, total - total / 2);
    if upper { (less, more) } else { (more, less) }
}

/// The window that `node` slides over `input`; `kernel` where the weights give it.
fn window(node: &NodeProto, input: [u32; 3], rank: usize, kernel: Option<[u32; 2]>) -> Result<Convolution, String> {
    let declared = pair(node, "kernel_shape", rank)?;
    let kernel = kernel.or(declared).ok_or("kernel_shape is missing")?;
    if declared.is_some_and(|declared| declared != kernel) {
        return Err(format!("kernel_shape says {declared:?}, its weights are {kernel:?}"));
    }
    let stride = pair(node, "strides", rank)?.unwrap_or([1; 2]);
    let dilation = pair(node, "dilations", rank)?.unwrap_or([1; 2]);
    let ([_, h, w], [down, across]) = (input, [reach(kernel[0], dilation[0]), reach(kernel[1], dilation[1])]);
    let auto = attribute(node, "auto_pad").map_or(&b"NOTSET"[..], |a| &a.s);
    let pads = match auto {
        b"NOTSET" | b"" => explicit_pads(node, rank)?,
        b"VALID" => [0; 4],
        b"SAME_UPPER" | b"SAME_LOWER" => {
            let upper = auto == b"SAME_UPPER";
            let ((top, bottom), (left, right)) = (same(h, down, stride[0], upper), same(w, across, stride[1], upper));
            [top, left, bottom, right]
        }
        other => {
            let other = String::from_utf8_lossy(other);
            return Err(format!("auto_pad is {other}: NOTSET, VALID, SAME_UPPER and SAME_LOWER are supported"));
        }
    };
    let window = Convolution::window(input, kernel, stride, pads, dilation);
    let padded = [h + pads[0].min(MOST) + pads[2].min(MOST), w + pads[1].min(MOST) + pads[3].min(MOST)];
    if down > padded[0] || across > padded[1] || window.output_size().is_err() {
        return Err(format!("its kernel {kernel:?} with dilations {dilation:?} does not fit into {padded:?} padded elements"));
    }
    Ok(window)
}

/// More padding behind, so that the last window, which is not full, counts too. That is exact where padding is left out of every window.
fn with_ceiling(mut window: Convolution, exact: bool) -> Result<Convolution, String> {
    let ([_, h, w], [sh, sw], [kh, kw], [dh, dw]) = (window.input, window.stride, window.kernel, window.dilation);
    let [top, left, bottom, right] = window.pads;
    let missing = |padded: u32, reach: u32, stride: u32| (stride - (padded - reach) % stride) % stride;
    let (down, across) = (missing(h + top + bottom, reach(kh, dh), sh), missing(w + left + right, reach(kw, dw), sw));
    if (down > 0 || across > 0) && !exact {
        return Err("ceil_mode 1 adds windows that are not full: only ceil_mode 0 is supported here".into());
    }
    window.pads = [top, left, bottom + down, right + across];
    match window.output_size() {
        // ONNX leaves out a window that starts behind the image.
        Ok([ho, wo]) if (ho - 1) * sh < h + top && (wo - 1) * sw < w + left => Ok(window),
        _ => Err("ceil_mode 1 adds windows that lie behind the image: only ceil_mode 0 is supported here".into()),
    }
}

/// Elements of the image in every window, if that is the same number.
fn even_count(window: &Convolution) -> Option<usize> {
    if window.pads == [0; 4] {
        return Some(window.window_len());
    }
    // Along one side: the same in every window?
    let along = |side: usize| {
        let (size, pad) = (window.input.get(side + 1).copied()?, window.pads.get(side).copied()?);
        let pick = |of: [u32; 2]| of.get(side).copied();
        let (kernel, stride, dilation) = (pick(window.kernel)?, pick(window.stride)?, pick(window.dilation)?);
        let outputs = pick(window.output_size().ok()?)?;
        let inside = |y: u32| (0..kernel).filter(|u| (y * stride + u * dilation).checked_sub(pad).is_some_and(|row| row < size)).count();
        let first = inside(0);
        (1..outputs).all(|y| inside(y) == first).then_some(first)
    };
    Some(along(0)? * along(1)?)
}

impl Walk<'_> {
    pub(super) fn convolution(&mut self, name: String, node: &NodeProto) -> Step {
        self.computed_is(node, 0)?;
        only(node, &[&WINDOW[..], &["group"]].concat())?;
        let (input, rank) = image(&self.dims)?;
        let weights = self.constant(node, 1)?;
        let groups = positive("group", int(node, "group", 1))?;
        let (outputs, per_group, kernel) = kernel_of(&weights, rank)?;
        if input[0] % groups != 0 || outputs % groups != 0 || input[0] / groups != per_group {
            let shape = &weights.dims;
            return Err(format!("weights of shape {shape:?} in {groups} groups do not fit {} input channels", input[0]));
        }
        let layer = Convolution { outputs, groups, ..window(node, input, rank, Some(kernel))? };
        // The core counts a channel for every phase of the stride.
        let phases = layer.stride.iter().try_fold(input[0], |n, &s| n.checked_mul(s)).filter(|&n| n <= MAX_LEN);
        if layer.weights() > MAX_WEIGHTS || phases.is_none() {
            return Err(format!("it is too large: at most {MAX_WEIGHTS} weights and {MAX_LEN} channels times strides are supported"));
        }
        let [kh, kw] = [0, 1].map(|i| reach(layer.kernel[i], layer.dilation[i]).div_ceil(layer.stride[i]) as usize);
        if kh * kw > N {
            return Err(format!("its kernel reaches over {kh} times {kw} elements of every stride: at most {N} in all are supported"));
        }
        let biases = match operand(node, 2) {
            None => vec![0.0; outputs as usize],
            Some(name) => {
                let biases = self.graph.constant(name)?;
                if biases.dims != [outputs as usize] {
                    return Err(format!("its bias has shape {:?}, {outputs} numbers are needed", biases.dims));
                }
                biases.floats().into_iter().map(f64::from).collect()
            }
        };
        let dims = self.output(&layer, rank)?;
        self.append(name, layer, weights.floats(), biases)?;
        self.dims = dims;
        Ok(())
    }

    /// The shape that `layer` makes.
    fn output(&self, layer: &Convolution, rank: usize) -> Result<Vec<usize>, String> {
        let [ho, wo] = layer.output_size().map_err(|e| e.to_string())?;
        let product = [layer.outputs, ho, wo].iter().try_fold(1_u32, |n, &d| n.checked_mul(d));
        if product.is_none_or(|n| n > MAX_LEN) {
            return Err(format!("its output [{}, {ho}, {wo}] is too large: at most {MAX_LEN} elements are supported", layer.outputs));
        }
        debug_assert_eq!(product.map(|n| n as usize), Some(output_len(layer)));
        let image = [ho as usize, wo as usize];
        Ok([&[1, layer.outputs as usize], image.get(2 - rank..).unwrap_or_default()].concat())
    }

    pub(super) fn pool(&mut self, name: String, op: &str, node: &NodeProto) -> Step {
        self.computed_is(node, 0)?;
        if node.output.iter().skip(1).any(|name| !name.is_empty()) {
            return Err("its second output (Indices) is not supported".into());
        }
        let most = op == "MaxPool";
        only(node, &[&WINDOW[..], &["ceil_mode", if most { "storage_order" } else { "count_include_pad" }]].concat())?;
        let (input, rank) = image(&self.dims)?;
        let mut window = window(node, input, rank, None)?;
        if int(node, "ceil_mode", 0) != 0 {
            window = with_ceiling(window, most)?;
        }
        if most {
            return self.max_pool(name, window, rank);
        }
        let count = if int(node, "count_include_pad", 0) == 0 { even_count(&window) } else { Some(window.window_len()) };
        let count = count.filter(|&n| n > 0).ok_or(
            "count_include_pad 0 divides windows at the border by other numbers than those inside: use count_include_pad 1 or no padding",
        )?;
        self.slide(name, Layer::SumPool(window, count as f64), &window, rank)
    }

    fn max_pool(&mut self, name: String, window: Convolution, rank: usize) -> Step {
        if window.window_len() > MAX_CLASSES as usize {
            return Err(format!("a window of {} elements is too large: at most {MAX_CLASSES} are supported", window.window_len()));
        }
        self.slide(name, Layer::MaxPool(window), &window, rank)
    }

    /// Appends pooling.
    fn slide(&mut self, name: String, layer: Layer, window: &Convolution, rank: usize) -> Step {
        let dims = self.output(window, rank)?;
        if !window.is_window() {
            return Err(format!(
                "a window lies in the padding altogether: pads {:?} (top, left, bottom, right) are too large",
                window.pads
            ));
        }
        self.builder.activation(name, layer)?;
        self.dims = dims;
        Ok(())
    }

    pub(super) fn global_pool(&mut self, name: String, op: &str, node: &NodeProto) -> Step {
        self.computed_is(node, 0)?;
        only(node, &[])?;
        let (input, rank) = image(&self.dims)?;
        let window = whole(input);
        if op == "GlobalMaxPool" {
            return self.max_pool(name, window, rank);
        }
        self.slide(name, Layer::SumPool(window, window.window_len() as f64), &window, rank)
    }

    /// The mean over the whole image.
    pub(super) fn reduce_mean(&mut self, name: String, node: &NodeProto) -> Step {
        self.computed_is(node, 0)?;
        only(node, &["axes", "keepdims", "noop_with_empty_axes"])?;
        let (input, rank) = image(&self.dims)?;
        let mut axes = Vec::new();
        for axis in self.axes(node)?.unwrap_or_default() {
            axes.push(axis_of(axis, rank + 2)?);
        }
        axes.sort_unstable();
        if axes != (2..rank + 2).collect::<Vec<_>>() {
            return Err(format!("axes {axes:?} of shape {:?}: only the mean over the whole image of each channel is supported", self.dims));
        }
        let window = whole(input);
        self.slide(name, Layer::SumPool(window, window.window_len() as f64), &window, rank)?;
        if int(node, "keepdims", 1) == 0 {
            self.dims.truncate(2);
        }
        Ok(())
    }
}

/// The window that covers an image.
const fn whole(input: [u32; 3]) -> Convolution {
    let [_, h, w] = input;
    Convolution::window(input, [h, w], [1; 2], [0; 4], [1; 2])
}

/// Outputs, channels of a group, and kernel.
fn kernel_of(weights: &Tensor, rank: usize) -> Result<(u32, u32, [u32; 2]), String> {
    let shape = &weights.dims;
    let (o, c, kernel) = match (rank, &shape[..]) {
        (2, &[o, c, h, w]) => (o, c, [h, w]),
        (1, &[o, c, w]) => (o, c, [1, w]),
        _ => return Err(format!("its weights have shape {shape:?}: {} dimensions are needed", rank + 2)),
    };
    let channels = |n: usize| u32::try_from(n).ok().filter(|&n| (1..=MAX_LEN).contains(&n));
    let kernel = [small("the weights' shape", kernel[0])?, small("the weights' shape", kernel[1])?];
    match (channels(o), channels(c)) {
        (Some(o), Some(c)) if kernel[0] > 0 && kernel[1] > 0 => Ok((o, c, kernel)),
        _ => Err(format!("its weights have shape {shape:?}, which is not valid")),
    }
}
