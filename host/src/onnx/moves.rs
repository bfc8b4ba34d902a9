//! Nodes that only move elements, as lists: for every element of the result, which element of the
//! inputs it is. One list serves constants and computed tensors; of the latter it becomes strided
//! adds, by [`listed`].

use super::build::{Builder, joint};
use super::call::{Call, Computed, Kind, Outputs, Value, axes_of, axis_of, one, possible};
use super::tensor::{Data, Tensor, count, source};
use super::views::{listed, strides};
use crate::network::{PerElement, Piece};

/// Stands for the fill.
const NOWHERE: u32 = u32::MAX;

/// Shape, and for each element its place among the elements of all sources, one after the other.
pub(super) struct Moved {
    dims: Vec<usize>,
    from: Vec<u32>,
}

impl Moved {
    /// `from` is given the index of every element; `None` is the fill.
    pub(super) fn new(
        b: &mut Builder,
        dims: Vec<usize>,
        from: impl Fn(usize) -> Option<usize>,
    ) -> Result<Self, String> {
        let len = match count(&dims) {
            Some(0) => 0,
            _ => possible(&dims)?,
        };
        // A list is work, whoever reads it.
        b.count_constant(len)?;
        let place = |i| from(i).map_or(NOWHERE, |i| i as u32);
        Ok(Self { from: (0..len).map(place).collect(), dims })
    }
}

fn dim(dims: &[usize], axis: usize) -> usize {
    dims.get(axis).copied().unwrap_or(1)
}

fn stride(dims: &[usize], axis: usize) -> usize {
    strides(dims).get(axis).map_or(1, |&s| s as usize)
}

/// `dims` with another size along `axis`.
fn with(dims: &[usize], axis: usize, size: usize) -> Vec<usize> {
    let mut dims = dims.to_vec();
    dims.get_mut(axis).into_iter().for_each(|d| *d = size);
    dims
}

/// The index of an element along each dimension.
fn unravelled(mut i: usize, dims: &[usize]) -> Vec<usize> {
    let mut at = vec![0; dims.len()];
    for (at, &d) in at.iter_mut().zip(dims).rev() {
        *at = i % d.max(1);
        i /= d.max(1);
    }
    at
}

/// Which places of a list belong to each of several sources, one after the other.
fn ranges(sources: &[&Value]) -> Result<Vec<core::ops::Range<u32>>, String> {
    let mut start = 0_usize;
    let range = |source: &&Value| {
        let from = start;
        start = count(source.dims()).and_then(|n| n.checked_add(from))?;
        (start < NOWHERE as usize).then_some(from as u32..start as u32)
    };
    sources.iter().map(range).collect::<Option<_>>().ok_or_else(|| "it is too large".into())
}

/// Elements of `sources`, moved; `fill` elsewhere.
pub(super) fn placed(
    b: &mut Builder,
    name: &str,
    sources: &[&Value],
    moved: Moved,
    fill: f64,
) -> Result<Value, String> {
    let Moved { dims, from } = moved;
    let ranges = ranges(sources)?;
    let constant = |source: &&Value| match source {
        Value::Constant(tensor) => Some(tensor.clone()),
        Value::Computed(_) => None,
    };
    if let Some(tensors) = sources.iter().map(constant).collect::<Option<Vec<_>>>() {
        let at = |place: u32| {
            let s = ranges.iter().position(|range| range.contains(&place))?;
            Some((s, (place - ranges.get(s)?.start) as usize))
        };
        return Ok(constants(&tensors, dims, fill, from.into_iter().map(at)).into());
    }
    let (len, row) = (possible(&dims)?, dims.last().copied().unwrap_or(1));
    let mut kind = Kind::Float;
    let (mut inputs, mut pieces) = (Vec::new(), Vec::new());
    let mut numbers: Vec<f64> =
        from.iter().map(|&place| if place == NOWHERE { fill } else { 0.0 }).collect();
    for (source, range) in sources.iter().zip(ranges) {
        let own = from.iter().zip(0..).filter(|(place, _)| range.contains(place));
        let moves: Vec<(u32, u32)> = own.map(|(place, to)| (place - range.start, to)).collect();
        match source {
            _ if moves.is_empty() => {}
            Value::Constant(tensor) => {
                let all = tensor.numbers();
                for (from, to) in moves {
                    let (number, slot) = (all.get(from as usize), numbers.get_mut(to as usize));
                    slot.zip(number).into_iter().for_each(|(slot, number)| *slot = *number);
                }
            }
            Value::Computed(_) => {
                let moved = source.movable()?;
                if moved.kind != Kind::Float {
                    kind = moved.kind.clone();
                }
                let input = inputs.len();
                let piece = |view| Piece { input, factor: 1.0, view };
                pieces.extend(listed(&moves, row)?.into_iter().map(piece));
                inputs.push(moved.id);
            }
        }
    }
    if inputs.is_empty() {
        let data = Data::Float(numbers.into_iter().map(|x| x as f32).collect());
        return Ok(Tensor { dims, data }.into());
    }
    let made = Computed::new(b.arrange(name, inputs, len, pieces)?, dims);
    let nothing = numbers.iter().all(|&x| x == 0.0);
    let offset = if nothing { PerElement::One(0.0) } else { PerElement::Each(numbers) };
    let made = b.affine(name, &made, PerElement::One(1.0), offset)?;
    Ok(Computed { kind, ..made }.into())
}

/// Numbers of constants, moved; whole ones if all of them are.
fn constants(
    tensors: &[std::rc::Rc<Tensor>],
    dims: Vec<usize>,
    fill: f64,
    from: impl Iterator<Item = Option<(usize, usize)>>,
) -> Tensor {
    if tensors.iter().all(|tensor| tensor.ints().is_ok()) {
        let number = |(s, i): (usize, usize)| tensors.get(s)?.ints().ok()?.get(i).copied();
        let ints = from.map(|at| at.and_then(number).unwrap_or(fill as i64)).collect();
        return Tensor { dims, data: Data::Int(ints) };
    }
    let floats: Vec<Vec<f32>> = tensors.iter().map(|tensor| tensor.floats()).collect();
    let number = |(s, i): (usize, usize)| floats.get(s)?.get(i).copied();
    let made = from.map(|at| at.and_then(number).unwrap_or(fill as f32)).collect();
    Tensor { dims, data: Data::Float(made) }
}

/// `x` with the elements of a list along one dimension; `fill` where it names none.
pub(super) fn along(
    b: &mut Builder,
    name: &str,
    x: &Value,
    axis: usize,
    list: &[Option<usize>],
    fill: f64,
) -> Result<Value, String> {
    let size = dim(x.dims(), axis);
    if list.len() == size && list.iter().copied().eq((0..size).map(Some)) {
        return Ok(x.clone());
    }
    let dims = with(x.dims(), axis, list.len());
    let inner = stride(&dims, axis);
    let from = |i: usize| {
        let (outer, at, rest) = (i / inner / list.len(), i / inner % list.len(), i % inner);
        list.get(at).copied().flatten().map(|at| (outer * size + at) * inner + rest)
    };
    let moved = Moved::new(b, dims, from)?;
    placed(b, name, &[x], moved, fill)
}

/// Indices counted from the front.
fn counted(indices: &Tensor, size: usize) -> Result<Vec<usize>, String> {
    let one = |&i: &i64| {
        axis_of(i, size).map_err(|_| format!("index {i} is outside a dimension of {size}"))
    };
    indices.ints()?.iter().map(one).collect()
}

/// Gather with indices of any shape: they are one dimension while elements move.
pub(super) fn gather(b: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(2, &["axis"])?;
    let x = call.value(0)?;
    if let Value::Computed(indices) = call.value(1)? {
        return super::select::looked_up(b, call, x, indices);
    }
    let indices = call.constant(1)?;
    let axis = axis_of(call.int("axis", 0)?, x.dims().len())?;
    let list: Vec<Option<usize>> =
        counted(indices, dim(x.dims(), axis))?.into_iter().map(Some).collect();
    let (front, back) =
        (x.dims().get(..axis).unwrap_or_default(), x.dims().get(axis + 1..).unwrap_or_default());
    let dims = [front, &indices.dims, back].concat();
    one(along(b, &call.name, x, axis, &list, 0.0)?.shaped(dims))
}

pub(super) fn gather_elements(b: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(2, &["axis"])?;
    let (x, indices) = (call.value(0)?, call.constant(1)?);
    let axis = axis_of(call.int("axis", 0)?, x.dims().len())?;
    inside(&indices.dims, x.dims(), axis)?;
    let list = counted(indices, dim(x.dims(), axis))?;
    let hops = strides(x.dims());
    let from = |i: usize| {
        let mut at = unravelled(i, &indices.dims);
        at.get_mut(axis).zip(list.get(i)).into_iter().for_each(|(at, &i)| *at = i);
        Some(flat(&at, &hops))
    };
    let moved = Moved::new(b, indices.dims.clone(), from)?;
    one(placed(b, &call.name, &[x], moved, 0.0)?)
}

fn flat(at: &[usize], hops: &[i64]) -> usize {
    at.iter().zip(hops).map(|(&i, &hop)| i * hop as usize).sum()
}

/// Indices of every element must lie inside a tensor, but along the axis that they replace.
fn inside(indices: &[usize], dims: &[usize], axis: usize) -> Result<(), String> {
    let fits = indices.len() == dims.len()
        && indices.iter().zip(dims).enumerate().all(|(a, (i, d))| a == axis || i <= d);
    if fits {
        Ok(())
    } else {
        Err(format!("indices of shape {indices:?} do not fit shape {dims:?}"))
    }
}

/// Rows of indices into the first dimensions behind those of a batch: where each of them starts.
fn starts(indices: &Tensor, dims: &[usize], batch: usize) -> Result<(Vec<usize>, usize), String> {
    let wrong = || format!("indices of shape {:?} do not fit shape {dims:?}", indices.dims);
    let k = *indices.dims.last().ok_or_else(wrong)?;
    let own = dims.get(batch..batch + k).filter(|_| k > 0).ok_or_else(wrong)?;
    let hops = strides(dims);
    let inner = dims.get(batch + k..).unwrap_or_default().iter().product::<usize>();
    let rows = indices.ints()?.chunks(k).map(|row| {
        let place = row.iter().zip(own).zip(hops.iter().skip(batch)).map(|((&i, &d), &hop)| {
            let i =
                axis_of(i, d).map_err(|_| format!("index {i} is outside a dimension of {d}"))?;
            Ok(i * hop as usize)
        });
        place.sum::<Result<usize, String>>()
    });
    Ok((rows.collect::<Result<_, _>>()?, inner))
}

pub(super) fn gather_nd(b: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(2, &["batch_dims"])?;
    let (x, indices) = (call.value(0)?, call.constant(1)?);
    let batch =
        usize::try_from(call.int("batch_dims", 0)?).map_err(|_| "batch_dims is negative")?;
    let (rank, leading) = (indices.dims.len(), indices.dims.get(..batch));
    if batch >= rank || leading != x.dims().get(..batch) {
        return Err(format!(
            "{batch} dimensions of shapes {:?} and {:?} are no common batch",
            x.dims(),
            indices.dims
        ));
    }
    let (rows, inner) = starts(indices, x.dims(), batch)?;
    let k = indices.dims.last().copied().unwrap_or(0);
    let dims = [
        indices.dims.get(..rank - 1).unwrap_or_default(),
        x.dims().get(batch + k..).unwrap_or_default(),
    ]
    .concat();
    let each = rows.len() / leading.and_then(count).unwrap_or(1).max(1);
    let size: usize = x.dims().iter().skip(batch).product();
    let from = |i: usize| {
        let row = i / inner;
        Some(row / each.max(1) * size + rows.get(row)? + i % inner)
    };
    let moved = Moved::new(b, dims, from)?;
    one(placed(b, &call.name, &[x], moved, 0.0)?)
}

/// `x`, but what `targets` names is of the updates, one after the other.
fn scattered(b: &mut Builder, call: &Call<'_>, targets: &[usize]) -> Outputs {
    let (x, updates) = (call.value(0)?, call.value(2)?);
    let reduction = call.text("reduction", "none")?;
    if reduction != "none" {
        return Err(format!("reduction is {reduction}: only none is supported"));
    }
    let len = count(x.dims()).ok_or("it is too large")?;
    let mut from: Vec<Option<usize>> = (0..len).map(Some).collect();
    for (i, &target) in targets.iter().enumerate() {
        from.get_mut(target).into_iter().for_each(|place| *place = Some(len + i));
    }
    let moved = Moved::new(b, x.dims().to_vec(), |i| from.get(i).copied().flatten())?;
    one(placed(b, &call.name, &[x, updates], moved, 0.0)?)
}

pub(super) fn scatter_elements(b: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(3, &["axis", "reduction"])?;
    let (x, indices) = (call.value(0)?, call.constant(1)?);
    let axis = axis_of(call.int("axis", 0)?, x.dims().len())?;
    inside(&indices.dims, x.dims(), axis)?;
    if call.value(2)?.dims() != indices.dims {
        return Err("its updates and indices have different shapes".into());
    }
    let list = counted(indices, dim(x.dims(), axis))?;
    let hops = strides(x.dims());
    let target = |(i, &index): (usize, &usize)| {
        let mut at = unravelled(i, &indices.dims);
        at.get_mut(axis).into_iter().for_each(|at| *at = index);
        flat(&at, &hops)
    };
    let targets: Vec<usize> = list.iter().enumerate().map(target).collect();
    scattered(b, call, &targets)
}

pub(super) fn scatter_nd(b: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(3, &["reduction"])?;
    let (x, indices) = (call.value(0)?, call.constant(1)?);
    let (rows, inner) = starts(indices, x.dims(), 0)?;
    if count(call.value(2)?.dims()) != rows.len().checked_mul(inner) {
        return Err("its updates and indices do not match".into());
    }
    let targets: Vec<usize> =
        rows.iter().flat_map(|&row| (0..inner).map(move |i| row + i)).collect();
    scattered(b, call, &targets)
}

/// The upper or the lower triangle of matrices, 0 elsewhere.
pub(super) fn trilu(b: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(2, &["upper"])?;
    let x = call.value(0)?;
    let &[.., rows, columns] = x.dims() else {
        return Err(format!("shape {:?} is no matrix", x.dims()));
    };
    let k = call.optional_constant(1)?.map_or(Ok(0.0), Tensor::scalar)?;
    let upper = call.flag("upper", true)?;
    let from = |i: usize| {
        let (row, column) = (i / columns % rows, i % columns);
        let beyond = column as f64 - row as f64 - k;
        (if upper { beyond >= 0.0 } else { beyond <= 0.0 }).then_some(i)
    };
    let moved = Moved::new(b, x.dims().to_vec(), from)?;
    one(placed(b, &call.name, &[x], moved, 0.0)?)
}

/// Elements of one tensor where a constant is not 0, of the other elsewhere.
pub(super) fn masked(
    b: &mut Builder,
    name: &str,
    mask: &Tensor,
    (x, y): (&Value, &Value),
) -> Result<Value, String> {
    let dims = joint(&joint(&mask.dims, x.dims())?, y.dims())?;
    possible(&dims)?;
    let at =
        |own: &[usize], i| source(i, own, dims.get(dims.len() - own.len()..).unwrap_or_default());
    let (chosen, len) = (mask.numbers(), count(x.dims()).unwrap_or(0));
    let from = |i: usize| {
        let first = chosen.get(at(&mask.dims, i)).is_some_and(|&c| c != 0.0);
        Some(if first { at(x.dims(), i) } else { len + at(y.dims(), i) })
    };
    let moved = Moved::new(b, dims.clone(), from)?;
    placed(b, name, &[x, y], moved, 0.0)
}

pub(super) fn compress(b: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(2, &["axis"])?;
    let (x, chosen) = (call.value(0)?, call.constant(1)?.numbers());
    let flat = x.shaped(vec![count(x.dims()).ok_or("it is too large")?]);
    let (x, axis) = match call.has("axis") {
        true => (x, axis_of(call.int("axis", 0)?, x.dims().len())?),
        false => (&flat, 0),
    };
    let list: Vec<Option<usize>> = (0..dim(x.dims(), axis))
        .filter(|&i| chosen.get(i).is_some_and(|&c| c != 0.0))
        .map(Some)
        .collect();
    one(along(b, &call.name, x, axis, &list, 0.0)?)
}

pub(super) fn tile(b: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(2, &[])?;
    let repeats = call.constant(1)?.ints()?;
    let mut x = call.value(0)?.clone();
    if repeats.len() != x.dims().len() {
        return Err(format!("repeats {repeats:?} do not fit shape {:?}", x.dims()));
    }
    for (axis, &n) in repeats.iter().enumerate() {
        let size = dim(x.dims(), axis);
        let len = usize::try_from(n).ok().filter(|&n| n > 0).and_then(|n| n.checked_mul(size));
        let len = len.ok_or_else(|| format!("it repeats {n} times, which is not supported"))?;
        possible(&with(x.dims(), axis, len))?;
        let list: Vec<Option<usize>> = (0..len).map(|i| Some(i % size)).collect();
        x = along(b, &call.name, &x, axis, &list, 0.0)?;
    }
    one(x)
}

/// Where the elements of a padded dimension come from: all modes but `constant`.
pub(super) fn reflected(
    mode: &str,
    size: i64,
    front: i64,
    back: i64,
) -> Option<Vec<Option<usize>>> {
    let inside = |i: i64| match mode {
        "edge" => i.clamp(0, size - 1),
        "wrap" => i.rem_euclid(size),
        // Mirrored on the middle of the last element, as often as it takes.
        _ if size == 1 => 0,
        _ => {
            let period = 2 * (size - 1);
            let i = i.rem_euclid(period);
            if i < size { i } else { period - i }
        }
    };
    let known = matches!(mode, "edge" | "wrap" | "reflect");
    known.then(|| (-front..size + back).map(|i| Some(inside(i) as usize)).collect())
}

pub(super) fn reverse_sequence(b: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(2, &["batch_axis", "time_axis"])?;
    let (x, lens) = (call.value(0)?, call.constant(1)?.ints()?);
    let rank = x.dims().len();
    let (batch, time) =
        (axis_of(call.int("batch_axis", 1)?, rank)?, axis_of(call.int("time_axis", 0)?, rank)?);
    let (hops, size) = (strides(x.dims()), dim(x.dims(), time) as i64);
    if batch == time
        || lens.len() != dim(x.dims(), batch)
        || lens.iter().any(|n| !(0..=size).contains(n))
    {
        return Err(format!("lengths {lens:?} do not fit shape {:?}", x.dims()));
    }
    let from = |i: usize| {
        let mut at = unravelled(i, x.dims());
        let len = *lens.get(*at.get(batch)?)? as usize;
        let step = at.get_mut(time)?;
        if *step < len {
            *step = len - 1 - *step;
        }
        Some(flat(&at, &hops))
    };
    let moved = Moved::new(b, x.dims().to_vec(), from)?;
    one(placed(b, &call.name, &[x], moved, 0.0)?)
}

/// Blocks of channels become blocks of an image: `mode` says which of them are neighbours.
pub(super) fn depth_to_space(b: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(1, &["blocksize", "mode"])?;
    let x = call.value(0)?;
    let (n, c, h, w, size) = blocks(call, x.dims())?;
    let square = size * size;
    if c % square != 0 {
        return Err(format!("{c} channels are no blocks of {size} times {size}"));
    }
    let rows_first = match call.text("mode", "DCR")?.as_str() {
        "DCR" => true,
        "CRD" => false,
        other => return Err(format!("mode is {other}: DCR and CRD are supported")),
    };
    let depth = c / square;
    let dims = vec![n, depth, h * size, w * size];
    let from = |i: usize| {
        let at = unravelled(i, &[n, depth, h, size, w, size]);
        let &[n, d, y, dy, x, dx] = &at[..] else { return None };
        let block = dy * size + dx;
        let channel = if rows_first { block * depth + d } else { d * square + block };
        Some(((n * c + channel) * h + y) * w + x)
    };
    let moved = Moved::new(b, dims, from)?;
    one(placed(b, &call.name, &[x], moved, 0.0)?)
}

pub(super) fn space_to_depth(b: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(1, &["blocksize"])?;
    let x = call.value(0)?;
    let (n, c, h, w, size) = blocks(call, x.dims())?;
    if h % size != 0 || w % size != 0 {
        return Err(format!("an image of {h} times {w} is not made of blocks of {size}"));
    }
    let (rows, columns) = (h / size, w / size);
    let from = |i: usize| {
        let at = unravelled(i, &[n, size, size, c, rows, columns]);
        let &[n, dy, dx, channel, y, x] = &at[..] else { return None };
        Some(((n * c + channel) * h + y * size + dy) * w + x * size + dx)
    };
    let moved = Moved::new(b, vec![n, c * size * size, rows, columns], from)?;
    one(placed(b, &call.name, &[x], moved, 0.0)?)
}

fn blocks(call: &Call<'_>, dims: &[usize]) -> Result<(usize, usize, usize, usize, usize), String> {
    let size = call.int("blocksize", 0)?;
    match (dims, usize::try_from(size)) {
        (&[n, c, h, w], Ok(size)) if (1..1 << 15).contains(&size) => Ok((n, c, h, w, size)),
        _ => Err(format!("shape {dims:?} does not go with blocks of {size}")),
    }
}

/// Axes of an optional input, all of them without it.
pub(super) fn axes_or_all(axes: Option<&[i64]>, rank: usize) -> Result<Vec<usize>, String> {
    match axes {
        None => Ok((0..rank).collect()),
        Some(axes) => {
            axes_of(axes, rank)?;
            axes.iter().map(|&axis| axis_of(axis, rank)).collect()
        }
    }
}
