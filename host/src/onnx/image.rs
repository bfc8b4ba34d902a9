//! Nodes that slide a window over an image: convolution and pooling, in one or two dimensions. One
//! dimension is an image of height 1.

use super::build::Builder;
use super::call::{Call, Computed, Outputs, one};
use super::tensor::Tensor;
use crate::network::PerElement;
use minionn_core::params::N;
use minionn_core::plan::{Convolution, MAX_LEN, MAX_WEIGHTS};

/// Larger images, kernels, strides, pads and dilations than this are refused before anything is
/// computed from them.
const MOST: u32 = (1 << 15) - 1;

/// Attributes of a window.
const WINDOW: [&str; 5] = ["auto_pad", "dilations", "kernel_shape", "pads", "strides"];

/// A number of a shape.
pub(super) fn small(
    what: &str,
    value: impl TryInto<u32> + Copy + core::fmt::Display,
) -> Result<u32, String> {
    value
        .try_into()
        .ok()
        .filter(|&n| n <= MOST)
        .ok_or_else(|| format!("{what} holds {value}: 0 to {MOST} are supported"))
}

/// Channels, height and width of `dims`, and how many dimensions the image has.
pub(super) fn image(dims: &[usize]) -> Result<([u32; 3], usize), String> {
    let wrong =
        || format!("shape {dims:?} is not [1, channels, height, width] or [1, channels, length]");
    let (c, size) = match *dims {
        [1, c, h, w] => (c, [h, w]),
        [1, c, w] => (c, [1, w]),
        _ => return Err(wrong()),
    };
    let [h, w] = [small("the shape", size[0])?, small("the shape", size[1])?];
    let c = u32::try_from(c).map_err(|_| wrong())?;
    if c == 0 || h == 0 || w == 0 { Err(wrong()) } else { Ok(([c, h, w], dims.len() - 2)) }
}

/// One number for each dimension of the image from attribute `name`, down and right; `None` if it
/// is not there.
fn pair(call: &Call<'_>, name: &str, rank: usize) -> Result<Option<[u32; 2]>, String> {
    match (rank, call.ints(name)?) {
        (_, None) => Ok(None),
        (1, Some(&[across])) => Ok(Some([1, positive(name, across)?])),
        (2, Some(&[down, across])) => Ok(Some([positive(name, down)?, positive(name, across)?])),
        (_, Some(other)) => Err(format!("{name} is {other:?}: {rank} numbers are needed")),
    }
}

pub(super) fn positive(name: &str, value: i64) -> Result<u32, String> {
    if value > 0 {
        small(name, value)
    } else {
        Err(format!("{name} holds {value}: it must be positive"))
    }
}

/// Top, left, bottom, right.
fn explicit_pads(call: &Call<'_>, rank: usize) -> Result<[u32; 4], String> {
    let pad = |n: i64| small("pads", n);
    match (rank, call.ints("pads")?) {
        (_, None | Some([])) => Ok([0; 4]),
        (1, Some(&[left, right])) => Ok([0, pad(left)?, 0, pad(right)?]),
        (2, Some(&[top, left, bottom, right])) => {
            Ok([pad(top)?, pad(left)?, pad(bottom)?, pad(right)?])
        }
        (_, Some(other)) => Err(format!("pads is {other:?}: {} numbers are needed", 2 * rank)),
    }
}

/// Elements that a kernel reaches over.
pub(super) const fn reach(kernel: u32, dilation: u32) -> u32 {
    (kernel - 1).saturating_mul(dilation).saturating_add(1)
}

/// The padding that makes `⌈input / stride⌉` outputs: all of it, before and behind.
fn same(input: u32, reach: u32, stride: u32, upper: bool) -> (u32, u32) {
    let total = ((input.div_ceil(stride) - 1) * stride).saturating_add(reach).saturating_sub(input);
    let (less, more) = (total / 2, total - total / 2);
    if upper { (less, more) } else { (more, less) }
}

/// The window that a node slides over `input`; `kernel` where the weights give it.
fn window(
    call: &Call<'_>,
    input: [u32; 3],
    rank: usize,
    kernel: Option<[u32; 2]>,
) -> Result<Convolution, String> {
    let declared = pair(call, "kernel_shape", rank)?;
    let kernel = kernel.or(declared).ok_or("kernel_shape is missing")?;
    if declared.is_some_and(|declared| declared != kernel) {
        return Err(format!("kernel_shape says {declared:?}, its weights are {kernel:?}"));
    }
    let stride = pair(call, "strides", rank)?.unwrap_or([1; 2]);
    let dilation = pair(call, "dilations", rank)?.unwrap_or([1; 2]);
    let ([_, h, w], [down, across]) =
        (input, [reach(kernel[0], dilation[0]), reach(kernel[1], dilation[1])]);
    let auto = call.text("auto_pad", "NOTSET")?;
    let pads = match auto.as_str() {
        "NOTSET" | "" => explicit_pads(call, rank)?,
        "VALID" => [0; 4],
        "SAME_UPPER" | "SAME_LOWER" => {
            let upper = auto == "SAME_UPPER";
            let ((top, bottom), (left, right)) =
                (same(h, down, stride[0], upper), same(w, across, stride[1], upper));
            [top, left, bottom, right]
        }
        other => {
            return Err(format!(
                "auto_pad is {other}: NOTSET, VALID, SAME_UPPER and SAME_LOWER are supported"
            ));
        }
    };
    let window = Convolution::window(input, kernel, stride, pads, dilation);
    let padded =
        [h + pads[0].min(MOST) + pads[2].min(MOST), w + pads[1].min(MOST) + pads[3].min(MOST)];
    if down > padded[0] || across > padded[1] || window.output_size().is_err() {
        return Err(format!(
            "its kernel {kernel:?} with dilations {dilation:?} does not fit into {padded:?} \
             padded elements"
        ));
    }
    Ok(window)
}

/// More padding behind, so that the last window, which is not full, counts too; a window that would
/// start behind the image does not.
fn with_ceiling(mut window: Convolution) -> Convolution {
    let ([_, h, w], [sh, sw], [kh, kw], [dh, dw]) =
        (window.input, window.stride, window.kernel, window.dilation);
    let [top, left, bottom, right] = window.pads;
    let more = |size: u32, before: u32, behind: u32, reach: u32, stride: u32| {
        let rest = (before + size + behind - reach) % stride;
        let start = before + size + behind - reach - rest + stride;
        if rest > 0 && start < before + size { stride - rest } else { 0 }
    };
    let (down, across) =
        (more(h, top, bottom, reach(kh, dh), sh), more(w, left, right, reach(kw, dw), sw));
    window.pads = [top, left, bottom + down, right + across];
    window
}

/// Elements of the window at each place that lie in the image with `pads` around it.
fn counts(window: &Convolution, pads: [u32; 4]) -> Vec<f64> {
    let [_, h, w] = window.input;
    let [top, left, bottom, right] = pads;
    let along =
        |outputs: u32, kernel: u32, stride: u32, dilation: u32, low: u32, high: u32| -> Vec<u32> {
            // Elements of the kernel in front of `end`.
            let before =
                |end: u32, y: u32| end.saturating_sub(y * stride).div_ceil(dilation).min(kernel);
            (0..outputs).map(|y| before(high, y) - before(low, y)).collect()
        };
    let [ho, wo] = window.output_size().unwrap_or([0; 2]);
    let ([kh, kw], [sh, sw], [dh, dw], [above, before, ..]) =
        (window.kernel, window.stride, window.dilation, window.pads);
    let down = along(ho, kh, sh, dh, above - top, above + h + bottom);
    let across = along(wo, kw, sw, dw, before - left, before + w + right);
    down.iter().flat_map(|&d| across.iter().map(move |&a| f64::from(d * a))).collect()
}

pub(super) fn convolution(b: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(3, &[&WINDOW[..], &["group"]].concat())?;
    let x = call.computed(0)?;
    let (input, rank) = image(&x.dims)?;
    let weights = call.constant(1)?;
    let groups = positive("group", call.int("group", 1)?)?;
    let (outputs, per_group, kernel) = kernel_of(weights, rank)?;
    if input[0] % groups != 0 || outputs % groups != 0 || input[0] / groups != per_group {
        let shape = &weights.dims;
        return Err(format!(
            "weights of shape {shape:?} in {groups} groups do not fit {} input channels",
            input[0]
        ));
    }
    let layer = Convolution { outputs, groups, ..window(call, input, rank, Some(kernel))? };
    // The core counts a channel for every phase of the stride.
    let phases =
        layer.stride.iter().try_fold(input[0], |n, &s| n.checked_mul(s)).filter(|&n| n <= MAX_LEN);
    if layer.weights() > MAX_WEIGHTS || phases.is_none() {
        return Err(format!(
            "it is too large: at most {MAX_WEIGHTS} weights and {MAX_LEN} channels times strides \
             are supported"
        ));
    }
    let ([kh, kw], [dh, dw], [sh, sw]) = (layer.kernel, layer.dilation, layer.stride);
    let (kh, kw) = (reach(kh, dh).div_ceil(sh) as usize, reach(kw, dw).div_ceil(sw) as usize);
    if kh * kw > N {
        return Err(format!(
            "its kernel reaches over {kh} times {kw} elements of every stride: at most {N} in all \
             are supported"
        ));
    }
    let biases = match call.optional_constant(2)? {
        None => vec![0.0; outputs as usize],
        Some(biases) if biases.dims == [outputs as usize] => biases.numbers(),
        Some(biases) => {
            return Err(format!(
                "its bias has shape {:?}, {outputs} numbers are needed",
                biases.dims
            ));
        }
    };
    let dims = output(&layer, rank)?;
    one(Computed::new(b.linear(&call.name, x.id, layer, weights.floats(), biases)?, dims))
}

/// The shape that `layer` makes.
fn output(layer: &Convolution, rank: usize) -> Result<Vec<usize>, String> {
    let [ho, wo] = layer.output_size().map_err(|e| e.to_string())?;
    let product = [layer.outputs, ho, wo].iter().try_fold(1_u32, |n, &d| n.checked_mul(d));
    if product.is_none_or(|n| n > MAX_LEN) {
        return Err(format!(
            "its output [{}, {ho}, {wo}] is too large: at most {MAX_LEN} elements are supported",
            layer.outputs
        ));
    }
    let image = [ho as usize, wo as usize];
    Ok([&[1, layer.outputs as usize], image.get(2 - rank..).unwrap_or_default()].concat())
}

pub(super) fn pool(b: &mut Builder, call: &Call<'_>) -> Outputs {
    if call.node.output.iter().skip(1).any(|name| !name.is_empty()) {
        return Err("its second output (Indices) is not supported".into());
    }
    let most = call.op() == "MaxPool";
    call.only(
        1,
        &[&WINDOW[..], &["ceil_mode", if most { "storage_order" } else { "count_include_pad" }]]
            .concat(),
    )?;
    // The largest of quantised numbers is the largest of those they stand for.
    let x = if most { call.value(0)?.movable()? } else { call.computed(0)? };
    let (input, rank) = image(&x.dims)?;
    let plain = window(call, input, rank, None)?;
    let window = if call.flag("ceil_mode", false)? { with_ceiling(plain) } else { plain };
    let dims = output(&window, rank)?;
    if !window.is_window() {
        return Err(format!(
            "a window lies in the padding altogether: pads {:?} (top, left, bottom, right) are \
             too large",
            window.pads
        ));
    }
    if most {
        return one(Computed {
            id: b.max_pool(&call.name, x.id, window)?,
            dims,
            kind: x.kind.clone(),
        });
    }
    // Padding that ceil_mode adds never counts.
    let counts =
        counts(&window, if call.flag("count_include_pad", false)? { plain.pads } else { [0; 4] });
    let first = counts.first().copied().unwrap_or(1.0);
    if counts.iter().all(|&n| n == first) {
        return one(Computed::new(b.sum_pool(&call.name, x.id, window, first)?, dims));
    }
    let sums = Computed::new(b.sum_pool(&call.name, x.id, window, 1.0)?, dims);
    let scale = counts.iter().map(|n| 1.0 / n).collect::<Vec<_>>().repeat(window.outputs as usize);
    one(b.affine(&call.name, &sums, PerElement::Each(scale), PerElement::One(0.0))?)
}

pub(super) fn global_pool(b: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(1, &[])?;
    let x = call.computed(0)?;
    let (input, rank) = image(&x.dims)?;
    let (window, dims) = (whole(input), output(&whole(input), rank)?);
    let id = if call.op() == "GlobalMaxPool" {
        b.max_pool(&call.name, x.id, window)?
    } else {
        b.sum_pool(&call.name, x.id, window, window.window_len() as f64)?
    };
    one(Computed::new(id, dims))
}

/// The means of the channels of an image, if that is what `axes` of `dims` are.
pub(super) fn means(
    b: &mut Builder,
    name: &str,
    x: &Computed,
    axes: &[usize],
) -> Option<Result<usize, String>> {
    let (input, _) =
        image(&x.dims).ok().filter(|(_, rank)| axes.iter().copied().eq(2..rank + 2))?;
    let window = whole(input);
    Some(b.sum_pool(name, x.id, window, window.window_len() as f64))
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
        _ => {
            return Err(format!(
                "its weights have shape {shape:?}: {} dimensions are needed",
                rank + 2
            ));
        }
    };
    let channels = |n: usize| u32::try_from(n).ok().filter(|&n| (1..=MAX_LEN).contains(&n));
    let kernel = [small("the weights' shape", kernel[0])?, small("the weights' shape", kernel[1])?];
    match (channels(o), channels(c)) {
        (Some(o), Some(c)) if kernel[0] > 0 && kernel[1] > 0 => Ok((o, c, kernel)),
        _ => Err(format!("its weights have shape {shape:?}, which is not valid")),
    }
}
