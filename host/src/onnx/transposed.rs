//! ConvTranspose: a convolution that makes every phase of the stride as channels of its own, which
//! are then put between each other.

use super::build::Builder;
use super::call::{Call, Computed, Outputs, Value, one, possible};
use super::image::{image, positive, reach, small};
use super::moves::{Moved, placed};
use minionn_core::plan::{Convolution, MAX_LEN, MAX_WEIGHTS};

/// One dimension of the image.
#[derive(Clone, Copy, Debug)]
struct Axis {
    size: usize,
    kernel: usize,
    stride: usize,
    dilation: usize,
    /// Cut off in front.
    front: usize,
    output: usize,
}

impl Axis {
    /// Elements of the kernel that a phase of the stride has.
    const fn taps(&self) -> usize {
        reach(self.kernel as u32, self.dilation as u32).div_ceil(self.stride as u32) as usize
    }

    /// Elements of every phase.
    const fn places(&self) -> usize {
        let needed = (self.front + self.output).div_ceil(self.stride);
        let full = self.size + self.taps() - 1;
        if needed > full { needed } else { full }
    }
}

/// Down and across of an attribute with one number for each dimension.
fn numbers(call: &Call<'_>, name: &str, rank: usize, default: u32) -> Result<[u32; 2], String> {
    let neutral = u32::from(default > 0);
    match (rank, call.ints(name)?) {
        (_, None | Some([])) => Ok([if rank == 1 { neutral } else { default }, default]),
        (1, Some(&[across])) => Ok([neutral, small(name, across)?]),
        (2, Some(&[down, across])) => Ok([small(name, down)?, small(name, across)?]),
        (_, Some(other)) => Err(format!("{name} is {other:?}: {rank} numbers are needed")),
    }
}

fn axes(
    call: &Call<'_>,
    sizes: [u32; 2],
    kernel: [u32; 2],
    rank: usize,
) -> Result<[Axis; 2], String> {
    let (strides, dilations) =
        (numbers(call, "strides", rank, 1)?, numbers(call, "dilations", rank, 1)?);
    let extra = numbers(call, "output_padding", rank, 0)?;
    let wanted = match call.ints("output_shape")? {
        // All dimensions, or those of the image only.
        Some(shape) if shape.len() >= rank => {
            Some(shape.get(shape.len() - rank..).unwrap_or_default())
        }
        Some(other) => return Err(format!("output_shape {other:?} does not fit")),
        None => None,
    };
    let pads = match (rank, call.ints("pads")?) {
        (_, None | Some([])) => [0; 4],
        (1, Some(&[left, right])) => [0, small("pads", left)?, 0, small("pads", right)?],
        (2, Some(&[t, l, bottom, r])) => {
            [small("pads", t)?, small("pads", l)?, small("pads", bottom)?, small("pads", r)?]
        }
        (_, Some(other)) => return Err(format!("pads is {other:?}")),
    };
    let auto = call.text("auto_pad", "NOTSET")?;
    let mut made = [None; 2];
    for (i, slot) in made.iter_mut().enumerate() {
        let of = |all: &[u32]| all.get(i).copied().unwrap_or(0) as usize;
        let (stride, dilation) = (of(&strides), of(&dilations));
        if stride == 0 || dilation == 0 || of(&kernel) == 0 {
            return Err("strides, dilations and kernels must be positive".into());
        }
        let (size, extra) = (of(&sizes), of(&extra));
        let full =
            (size - 1) * stride + reach(of(&kernel) as u32, dilation as u32) as usize + extra;
        // How much is cut off altogether decides about the ends where a shape is asked for.
        let asked = match (wanted, auto.as_str()) {
            (Some(shape), _) => {
                let size = (i + rank).checked_sub(2).and_then(|i| shape.get(i)).copied();
                Some(size.map_or(Ok(1), |n| positive("output_shape", n))? as usize)
            }
            (None, "SAME_UPPER" | "SAME_LOWER") => Some(size * stride),
            (None, "NOTSET" | "" | "VALID") => None,
            (None, other) => return Err(format!("auto_pad {other} is not known")),
        };
        let (front, output) = match asked {
            Some(output) => {
                let cut = full.saturating_sub(output);
                let less = cut / 2;
                (if auto == "SAME_UPPER" { less } else { cut - less }, Some(output))
            }
            None => {
                let back = pads.get(i + 2).copied().unwrap_or(0) as usize;
                (of(&pads), full.checked_sub(of(&pads) + back))
            }
        };
        let output = output.filter(|&n| n > 0).ok_or("its padding leaves nothing")?;
        *slot = Some(Axis { size, kernel: of(&kernel), stride, dilation, front, output });
    }
    match made {
        [Some(down), Some(across)] => Ok([down, across]),
        _ => Err("it has no dimensions".into()),
    }
}

pub(super) fn convolution(b: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(
        3,
        &[
            "auto_pad",
            "dilations",
            "group",
            "kernel_shape",
            "output_padding",
            "output_shape",
            "pads",
            "strides",
        ],
    )?;
    let x = call.computed(0)?;
    let (input, rank) = image(&x.dims)?;
    let weights = call.constant(1)?;
    let groups = positive("group", call.int("group", 1)?)? as usize;
    let (channels, per_group, kernel) = match (rank, &weights.dims[..]) {
        (2, &[c, o, h, w]) => (c, o, [h, w]),
        (1, &[c, o, w]) => (c, o, [1, w]),
        _ => return Err(format!("its weights have shape {:?}", weights.dims)),
    };
    let sizes = [small("the weights' shape", kernel[0])?, small("the weights' shape", kernel[1])?];
    if channels != input[0] as usize || channels % groups != 0 || per_group == 0 {
        return Err(format!(
            "weights of shape {:?} in {groups} groups do not fit {} input channels",
            weights.dims, input[0]
        ));
    }
    let axes @ [down, across] = axes(call, [input[1], input[2]], sizes, rank)?;
    let outputs = per_group.checked_mul(groups).ok_or("it is too large")?;
    let dims = [outputs, down.output, across.output];
    possible(&dims)?;
    let phases = down.stride * across.stride;
    let made = phased(b, axes, [channels / groups, per_group, groups], &weights.floats())?;
    let layer = Convolution {
        outputs: (outputs * phases) as u32,
        groups: groups as u32,
        ..window(input, axes)?
    };
    let biases = match call.optional_constant(2)? {
        None => vec![0.0; outputs],
        Some(biases) if biases.dims == [outputs] => biases.numbers(),
        Some(biases) => {
            return Err(format!(
                "its bias has shape {:?}, {outputs} numbers are needed",
                biases.dims
            ));
        }
    };
    let each = biases.iter().flat_map(|&bias| core::iter::repeat_n(bias, phases)).collect();
    let parts = b.linear(&call.name, x.id, layer, made, each)?;
    // Element s·q + r is element q of phase r.
    let [rows, columns] = axes.map(|axis| axis.places());
    let from = |i: usize| {
        let (o, y, x) = (i / dims[1] / dims[2], i / dims[2] % dims[1], i % dims[2]);
        let (y, x) = (y + down.front, x + across.front);
        let phase = y % down.stride * across.stride + x % across.stride;
        Some(((o * phases + phase) * rows + y / down.stride) * columns + x / across.stride)
    };
    let image = [down.output, across.output];
    let shape = [&[1, outputs], image.get(2 - rank..).unwrap_or_default()].concat();
    let moved = Moved::new(b, shape, from)?;
    let parts: Value = Computed::new(parts, vec![outputs * phases, rows, columns]).into();
    one(placed(b, &call.name, &[&parts], moved, 0.0)?)
}

/// The convolution that makes all phases: padded by all but one of its taps.
fn window(input: [u32; 3], [down, across]: [Axis; 2]) -> Result<Convolution, String> {
    let pads = |axis: Axis| {
        let front = axis.taps() - 1;
        (front, axis.places() + axis.taps() - 1 - axis.size - front)
    };
    let ((top, bottom), (left, right)) = (pads(down), pads(across));
    let pad = |n: usize| small("the padding that it needs", n);
    let kernel = [down.taps() as u32, across.taps() as u32];
    let pads = [pad(top)?, pad(left)?, pad(bottom)?, pad(right)?];
    Ok(Convolution::window(input, kernel, [1; 2], pads, [1; 2]))
}

/// The weights of every phase: `[group][output][phase][input][taps]`, taps backwards.
fn phased(
    b: &mut Builder,
    [down, across]: [Axis; 2],
    [inputs, outputs, groups]: [usize; 3],
    weights: &[f32],
) -> Result<Vec<f32>, String> {
    let [(th, sh), (tw, sw)] = [down, across].map(|axis| (axis.taps(), axis.stride));
    let len = [groups, outputs, sh, sw, inputs, th, tw]
        .into_iter()
        .try_fold(1_u64, |n, d| n.checked_mul(d as u64));
    let channels =
        [groups, outputs, sh, sw].into_iter().try_fold(1_u64, |n, d| n.checked_mul(d as u64));
    let len = len.filter(|&n| n <= MAX_WEIGHTS);
    let len = len.filter(|_| channels.is_some_and(|n| n <= u64::from(MAX_LEN)));
    let len = len.ok_or("it has too many weights")?;
    // Between the weights of wide strides are zeros.
    b.count_constant(len as usize)?;
    let mut made = vec![0.0; len as usize];
    // Tap m of phase r is element s·m + r of the dilated kernel.
    let spread = |axis: Axis| {
        (0..axis.kernel).map(move |k| {
            let at = k * axis.dilation;
            (k, at % axis.stride, axis.taps() - 1 - at / axis.stride)
        })
    };
    for channel in 0..groups * inputs {
        let (group, input) = (channel / inputs, channel % inputs);
        for output in 0..outputs {
            for (ky, ry, ty) in spread(down) {
                for (kx, rx, tx) in spread(across) {
                    let from =
                        ((channel * outputs + output) * down.kernel + ky) * across.kernel + kx;
                    let row = ((group * outputs + output) * sh + ry) * sw + rx;
                    let to = ((row * inputs + input) * th + ty) * tw + tx;
                    let weight = weights.get(from).copied();
                    made.get_mut(to).zip(weight).into_iter().for_each(|(slot, w)| *slot = w);
                }
            }
        }
    }
    Ok(made)
}
