//! Resize and Upsample: every element of the result is one of the input (nearest) or a few of them
//! with constant weights (linear, cubic), one dimension after the other.

use super::build::Builder;
use super::call::{Call, Computed, Outputs, Value, one, possible};
use super::moves::{along, axes_or_all};
use super::tensor::{Tensor, count};
use super::views::{listed, strides};
use crate::network::Piece;

/// Most elements on either side that one of the result is made of.
const MOST_TAPS: i64 = 1 << 10;
/// Weights below this are left out.
const LEAST: f64 = 1e-6;

/// Where an element of the result lies in the input.
struct Coordinates {
    how: String,
    size: usize,
    target: usize,
    scale: f64,
    /// Part of the input that tf_crop_and_resize takes.
    roi: (f64, f64),
}

impl Coordinates {
    fn at(&self, i: usize) -> Result<f64, String> {
        // What the size would be without rounding.
        let (i, size) = (i as f64, self.size as f64);
        let target = self.scale * size;
        Ok(match self.how.as_str() {
            "half_pixel" => (i + 0.5) / self.scale - 0.5,
            "half_pixel_symmetric" => {
                let adjustment = self.target as f64 / target;
                let centre = size / 2.0;
                centre * (1.0 - adjustment) + (i + 0.5) / self.scale - 0.5
            }
            "pytorch_half_pixel" if self.target > 1 => (i + 0.5) / self.scale - 0.5,
            "pytorch_half_pixel" => 0.0,
            "align_corners" if self.target > 1 => i * (size - 1.0) / (target - 1.0),
            "align_corners" => 0.0,
            "asymmetric" => i / self.scale,
            "tf_half_pixel_for_nn" => (i + 0.5) / self.scale,
            "tf_crop_and_resize" if self.target > 1 => {
                let (start, end) = self.roi;
                start * (size - 1.0) + i * (end - start) * (size - 1.0) / (target - 1.0)
            }
            "tf_crop_and_resize" => 0.5 * (self.roi.0 + self.roi.1) * (size - 1.0),
            other => return Err(format!("coordinate_transformation_mode {other} is not known")),
        })
    }
}

fn nearest(how: &str, x: f64) -> Result<f64, String> {
    Ok(match how {
        "round_prefer_floor" if x.fract().abs() == 0.5 => x.floor(),
        "round_prefer_floor" => x.round(),
        "round_prefer_ceil" => (x + 0.5).floor(),
        "floor" => x.floor(),
        "ceil" => x.ceil(),
        other => return Err(format!("nearest_mode {other} is not known")),
    })
}

/// What is asked for: the size of each dimension, and its scale.
struct Wanted {
    sizes: Vec<usize>,
    scales: Vec<f64>,
}

fn wanted(call: &Call<'_>, dims: &[usize]) -> Result<Wanted, String> {
    let rank = dims.len();
    // Version 10 has no region; Upsample neither, and its scales were an attribute once.
    let old = call.op() == "Upsample" || call.opset < 11;
    let axes = axes_or_all(call.ints("axes")?, rank)?;
    let given = |i: usize| {
        call.optional_constant(i).map(|t| t.filter(|t| t.len() > 0).map(Tensor::numbers))
    };
    let scales = match given(if old { 1 } else { 2 })? {
        None => call.floats("scales")?.map(|all| all.iter().map(|&s| f64::from(s)).collect()),
        scales => scales,
    };
    let sizes = if old { None } else { given(3)? };
    let mut made = Wanted { sizes: dims.to_vec(), scales: vec![1.0; rank] };
    let wrong =
        |n: usize| format!("it needs sizes or scales for {} dimensions, not {n}", axes.len());
    let policy = call.text("keep_aspect_ratio_policy", "stretch")?;
    let numbers = sizes.as_ref().or(scales.as_ref()).ok_or_else(|| wrong(0))?;
    if numbers.len() != axes.len() {
        return Err(wrong(numbers.len()));
    }
    if let Some(number) = numbers.iter().find(|x| !(**x > 0.0 && **x < 1e9)) {
        return Err(format!("a size or scale of {number} is not supported"));
    }
    let ratio = |i: usize, size: f64| {
        let own = axes.get(i).and_then(|&a| dims.get(a)).copied().unwrap_or(1);
        size / own as f64
    };
    let ratios = || numbers.iter().enumerate().map(|(i, &size)| ratio(i, size));
    let kept = match policy.as_str() {
        "stretch" => None,
        "not_larger" => Some(ratios().fold(f64::INFINITY, f64::min)),
        "not_smaller" => Some(ratios().fold(0.0, f64::max)),
        other => return Err(format!("keep_aspect_ratio_policy {other} is not known")),
    };
    for (i, (&axis, &number)) in axes.iter().zip(numbers).enumerate() {
        let own = dims.get(axis).copied().unwrap_or(1) as f64;
        let (size, scale) = match (&sizes, kept) {
            (None, _) => ((own * number).floor(), number),
            (Some(_), None) => (number, ratio(i, number)),
            (Some(_), Some(scale)) => ((own * scale).round(), scale),
        };
        made.sizes.get_mut(axis).into_iter().for_each(|s| *s = size as usize);
        made.scales.get_mut(axis).into_iter().for_each(|s| *s = scale);
    }
    possible(&made.sizes)?;
    Ok(made)
}

/// Where the part that tf_crop_and_resize takes starts and ends along each dimension.
fn region(call: &Call<'_>, how: &str, rank: usize) -> Result<(Vec<f64>, Vec<f64>), String> {
    let (mut starts, mut ends) = (vec![0.0; rank], vec![1.0; rank]);
    if how != "tf_crop_and_resize" {
        return Ok((starts, ends));
    }
    let (axes, given) = (axes_or_all(call.ints("axes")?, rank)?, call.constant(1)?.numbers());
    if given.len() != 2 * axes.len() {
        let need = 2 * axes.len();
        return Err(format!("its region has {} numbers: {need} are needed", given.len()));
    }
    let (from, to) = given.split_at(axes.len());
    for ((&axis, &from), &to) in axes.iter().zip(from).zip(to) {
        starts.get_mut(axis).into_iter().for_each(|start| *start = from);
        ends.get_mut(axis).into_iter().for_each(|end| *end = to);
    }
    Ok((starts, ends))
}

pub(super) fn resize(b: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(
        4,
        &[
            "antialias",
            "axes",
            "coordinate_transformation_mode",
            "cubic_coeff_a",
            "exclude_outside",
            "extrapolation_value",
            "keep_aspect_ratio_policy",
            "mode",
            "nearest_mode",
            "scales",
        ],
    )?;
    let mut x = call.value(0)?.clone();
    let Wanted { sizes, scales } = wanted(call, x.dims())?;
    let old = call.op() == "Upsample" || call.opset < 11;
    let how = if old {
        "asymmetric".into()
    } else {
        call.text("coordinate_transformation_mode", "half_pixel")?
    };
    let round = if old { "floor".into() } else { call.text("nearest_mode", "round_prefer_floor")? };
    let mode = call.text("mode", "nearest")?;
    let (starts, ends) = region(call, &how, sizes.len())?;
    let outside = call.float("extrapolation_value", 0.0)?;
    for (axis, ((&target, &scale), roi)) in
        sizes.iter().zip(&scales).zip(starts.iter().copied().zip(ends.iter().copied())).enumerate()
    {
        let size = x.dims().get(axis).copied().unwrap_or(1);
        if target == size && scale == 1.0 && roi == (0.0, 1.0) {
            continue;
        }
        let at = Coordinates { how: how.clone(), size, target, scale, roi };
        let crops = how == "tf_crop_and_resize";
        let places = (0..target).map(|i| at.at(i)).collect::<Result<Vec<f64>, _>>()?;
        let beyond = |x: f64| crops && !(0.0..=size as f64 - 1.0).contains(&x);
        if mode == "nearest" {
            let one = |&x: &f64| {
                let place = nearest(&round, x)?.clamp(0.0, size as f64 - 1.0) as usize;
                Ok((!beyond(x)).then_some(place))
            };
            let list = places.iter().map(one).collect::<Result<Vec<_>, String>>()?;
            x = along(b, &call.name, &x, axis, &list, outside)?;
        } else {
            if places.iter().any(|&x| beyond(x)) {
                return Err("its region lies outside the image, which only nearest supports".into());
            }
            let taps = taps(call, &mode, size, scale, &places)?;
            x = weighted(b, &call.name, &x, axis, &taps)?;
        }
    }
    one(x)
}

/// For every element of the result, elements of the input and their weights.
fn taps(
    call: &Call<'_>,
    mode: &str,
    size: usize,
    scale: f64,
    places: &[f64],
) -> Result<Vec<Vec<(usize, f64)>>, String> {
    let a = call.float("cubic_coeff_a", -0.75)?;
    let cubic = match mode {
        "linear" => false,
        "cubic" => true,
        other => return Err(format!("mode is {other}: nearest, linear and cubic are supported")),
    };
    let exclude = call.flag("exclude_outside", false)?;
    // Wider where the image shrinks and it asks for that.
    let wide = if call.flag("antialias", false)? { (1.0 / scale).max(1.0) } else { 1.0 };
    let weight = |d: f64| {
        let d = d.abs() / wide;
        match (cubic, d) {
            (false, d) => (1.0 - d).max(0.0),
            (true, d) if d <= 1.0 => ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0,
            (true, d) if d < 2.0 => ((a * d - 5.0 * a) * d + 8.0 * a) * d - 4.0 * a,
            _ => 0.0,
        }
    };
    let reach = (if cubic { 2.0 } else { 1.0 } * wide).ceil() as i64;
    if reach > MOST_TAPS {
        return Err(format!("it shrinks to a scale of {scale}, which is not supported"));
    }
    let last = size as i64 - 1;
    let one = |&x: &f64| {
        let middle = x.floor() as i64;
        let mut all: Vec<(usize, f64)> = Vec::new();
        for i in middle - reach..=middle + reach + 1 {
            let w = weight(x - i as f64);
            // What lies outside is left out, or is the last element.
            if w == 0.0 || exclude && !(0..=last).contains(&i) {
                continue;
            }
            let at = i.clamp(0, last) as usize;
            match all.iter_mut().find(|(known, _)| *known == at) {
                Some((_, sum)) => *sum += w,
                None => all.push((at, w)),
            }
        }
        let sum: f64 = all.iter().map(|(_, w)| w).sum();
        all.iter_mut().for_each(|(_, w)| *w /= sum);
        all
    };
    Ok(places.iter().map(one).collect())
}

/// Sums of elements along one dimension with constant weights: local adds.
fn weighted(
    b: &mut Builder,
    name: &str,
    x: &Value,
    axis: usize,
    taps: &[Vec<(usize, f64)>],
) -> Result<Value, String> {
    let size = x.dims().get(axis).copied().unwrap_or(1);
    let mut dims = x.dims().to_vec();
    dims.get_mut(axis).into_iter().for_each(|d| *d = taps.len());
    let inner = strides(&dims).get(axis).map_or(1, |&s| s as usize);
    let outer = count(&dims).unwrap_or(0) / (inner * taps.len()).max(1);
    let Value::Computed(_) = x else {
        let Value::Constant(c) = x else { return Err("it is no tensor".into()) };
        b.count_constant(possible(&dims)?)?;
        let all = c.numbers();
        let of = |o: usize, t: &[(usize, f64)], i: usize| -> f64 {
            let at = |place| all.get((o * size + place) * inner + i).copied().unwrap_or(f64::NAN);
            t.iter().map(|&(place, w)| w * at(place)).sum()
        };
        let made = (0..outer)
            .flat_map(|o| taps.iter().flat_map(move |t| (0..inner).map(move |i| (o, t, i))))
            .map(|(o, t, i)| of(o, t, i))
            .collect();
        return Ok(c.with(dims, made).into());
    };
    let x = x.number()?;
    let mut classes: Vec<(f64, Vec<(u32, u32)>)> = Vec::new();
    let target = taps.len();
    for o in 0..outer {
        for (to, own) in taps.iter().enumerate() {
            for &(from, w) in own {
                if w.abs() < LEAST {
                    continue;
                }
                let same = |(known, _): &(f64, _)| (known - w).abs() < LEAST;
                let class = match classes.iter().position(same) {
                    Some(class) => class,
                    None => {
                        classes.push((w, Vec::new()));
                        classes.len() - 1
                    }
                };
                let place = |at: usize, size: usize| ((o * size + at) * inner) as u32;
                let (from, to) = (place(from, size), place(to, target));
                if let Some((_, moves)) = classes.get_mut(class) {
                    moves.extend((0..inner as u32).map(|i| (from + i, to + i)));
                }
            }
        }
    }
    let row = dims.last().copied().unwrap_or(1);
    let mut pieces = Vec::new();
    for (factor, moves) in classes {
        pieces.extend(listed(&moves, row)?.into_iter().map(|view| Piece {
            input: 0,
            factor,
            view,
        }));
    }
    let len = possible(&dims)?;
    Ok(Computed::new(b.arrange(name, vec![x.id], len, pieces)?, dims).into())
}
