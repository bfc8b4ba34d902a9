//! Regular copies of any rank, as the four loops of a [`View`].

use minionn_core::plan::View;
use std::collections::HashMap;

/// Most views that one copy is split into when it needs more than four loops.
const MAX_VIEWS: usize = 64;

/// One loop: how often it runs, and how far it steps in the source and in the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Loop {
    n: usize,
    step: i64,
    stride: i64,
}

/// For every `i` below `dims`: element `from + Σ i·steps` goes to `to + Σ i·strides`.
#[derive(Clone, Debug)]
pub(super) struct Loops {
    loops: Vec<Loop>,
    from: i64,
    to: i64,
}

/// Distance of neighbours along each dimension of a tensor in C order.
pub(super) fn strides(dims: &[usize]) -> Vec<i64> {
    let mut strides = vec![1; dims.len()];
    let mut size = 1_i64;
    for (stride, &d) in strides.iter_mut().zip(dims).rev() {
        *stride = size;
        size = size.saturating_mul(d as i64);
    }
    strides
}

/// Steps through a tensor of shape `dims` that is stretched to `to`: 0 along what is repeated. The
/// shapes must broadcast.
pub(super) fn stretched(dims: &[usize], to: &[usize]) -> Vec<i64> {
    let mut steps = vec![0; to.len().saturating_sub(dims.len())];
    steps.extend(strides(dims).iter().zip(dims).map(|(&s, &d)| if d == 1 { 0 } else { s }));
    steps
}

impl Loops {
    pub(super) fn new(dims: &[usize], from: i64, steps: &[i64], to: i64, strides: &[i64]) -> Self {
        let loops = dims.iter().zip(steps).zip(strides).map(|((&n, &step), &stride)| Loop {
            n,
            step,
            stride,
        });
        Self { loops: loops.collect(), from, to }
    }

    /// Loops that run once vanish, and two that step as one become one.
    fn merged(&self) -> Vec<Loop> {
        let mut loops: Vec<Loop> = self.loops.iter().copied().filter(|l| l.n != 1).collect();
        let joins = |outer: &Loop, inner: &Loop| {
            inner.step.checked_mul(inner.n as i64) == Some(outer.step)
                && inner.stride.checked_mul(inner.n as i64) == Some(outer.stride)
        };
        'again: loop {
            for inner in (0..loops.len()).rev() {
                for outer in (0..loops.len()).filter(|&o| o != inner) {
                    if let (Some(o), Some(i)) = (loops.get(outer).copied(), loops.get_mut(inner))
                        && joins(&o, i)
                    {
                        i.n *= o.n;
                        loops.remove(outer);
                        continue 'again;
                    }
                }
            }
            return loops;
        }
    }

    /// The views that copy this.
    pub(super) fn views(&self) -> Result<Vec<View>, String> {
        let mut loops = self.merged();
        let mut starts = vec![(self.from, self.to)];
        // What is too much for a view: the shortest loops become views of their own.
        while loops.len() > 4 {
            let shortest = loops.iter().enumerate().min_by_key(|(_, l)| l.n).map_or(0, |(i, _)| i);
            let l = loops.remove(shortest);
            if starts.len().saturating_mul(l.n) > MAX_VIEWS {
                return Err(format!(
                    "it moves elements in more than four nested loops, {} and longer: fewer \
                     dimensions are supported, so split the transposition or merge dimensions by \
                     a Reshape",
                    l.n
                ));
            }
            starts = starts
                .iter()
                .flat_map(|&(f, t)| {
                    (0..l.n as i64).map(move |i| (f + i * l.step, t + i * l.stride))
                })
                .collect();
        }
        starts
            .into_iter()
            .map(|start| view(start, &loops).ok_or_else(|| "it is too large".into()))
            .collect()
    }
}

/// Most regular pieces that any list of moves may fall into.
const MAX_PIECES: usize = 256;
/// Most runs of neighbours that are looked at.
const MAX_RUNS: usize = 1 << 20;
/// How many neighbours are tried as the second of a row.
const TRIED: usize = 12;

/// Pieces of the same shape lie at these places: target and source of each.
struct Bucket {
    loops: Vec<Loop>,
    places: Vec<(i64, i64)>,
}

/// Any list of moves, source and target of each, as few views: runs of equal steps, then rows of
/// equal runs, and so on for four loops. `row` is the length of the target's last dimension, at
/// whose ends runs may have to stop.
pub(super) fn listed(moves: &[(u32, u32)], row: usize) -> Result<Vec<View>, String> {
    let free = grouped(moves, u32::MAX);
    let cut = grouped(moves, u32::try_from(row).unwrap_or(u32::MAX).max(1));
    match (free, cut) {
        (Ok(free), Ok(cut)) => Ok(if cut.len() < free.len() { cut } else { free }),
        (Err(_), other) | (other, Err(_)) => other,
    }
}

fn grouped(moves: &[(u32, u32)], row: u32) -> Result<Vec<View>, String> {
    let mut buckets = runs(moves, row)?;
    for _ in 0..3 {
        let mut next: HashMap<Vec<Loop>, Vec<(i64, i64)>> = HashMap::new();
        let mut order = Vec::new();
        for bucket in buckets {
            for (start, repeat) in rows(&bucket.places) {
                let loops = [repeat.as_slice(), &bucket.loops].concat();
                let places = next.entry(loops.clone()).or_default();
                if places.is_empty() {
                    order.push(loops);
                }
                places.push(start);
            }
        }
        let bucket = |loops| Some(Bucket { places: next.remove(&loops)?, loops });
        buckets = order.into_iter().filter_map(bucket).collect();
    }
    let pieces: usize = buckets.iter().map(|bucket| bucket.places.len()).sum();
    if pieces > MAX_PIECES {
        return Err(format!(
            "its elements move in {pieces} regular pieces: at most {MAX_PIECES} are supported"
        ));
    }
    let views = buckets.iter().flat_map(|Bucket { loops, places }| {
        places.iter().map(|&(to, from)| view((from, to), loops))
    });
    views.collect::<Option<_>>().ok_or_else(|| "it is too large".into())
}

/// Neighbours in the list that go on by the same steps, each within a row of the target.
fn runs(moves: &[(u32, u32)], row: u32) -> Result<Vec<Bucket>, String> {
    let mut found: HashMap<Loop, Vec<(i64, i64)>> = HashMap::new();
    let mut order = Vec::new();
    let step = |at: usize| -> Option<(i64, i64)> {
        let (&(f, t), &(g, u)) = (moves.get(at)?, moves.get(at + 1)?);
        if t / row != u / row {
            return None;
        }
        Some((i64::from(g) - i64::from(f), i64::from(u) - i64::from(t)))
    };
    let (mut at, mut count) = (0, 0);
    while let Some(&(from, to)) = moves.get(at) {
        let first = step(at);
        let mut n = 1;
        while first.is_some() && step(at + n - 1) == first {
            n += 1;
        }
        let (step, stride) = if n > 1 { first.unwrap_or_default() } else { (0, 0) };
        let key = Loop { n, step, stride };
        let places = found.entry(key).or_default();
        if places.is_empty() {
            order.push(key);
        }
        places.push((i64::from(to), i64::from(from)));
        (at, count) = (at + n, count + 1);
        if count > MAX_RUNS {
            return Err("its elements move without any order".into());
        }
    }
    let bucket = |key: Loop| {
        let loops = if key.n > 1 { vec![key] } else { vec![] };
        Some(Bucket { loops, places: found.remove(&key)? })
    };
    Ok(order.into_iter().filter_map(bucket).collect())
}

/// Places in rows of equal distance: the first of each, and how it repeats.
fn rows(places: &[(i64, i64)]) -> Vec<((i64, i64), Option<Loop>)> {
    let index: HashMap<(i64, i64), usize> = places.iter().copied().zip(0..).collect();
    let mut free = vec![true; places.len()];
    let mut left = places.len();
    let mut made = Vec::new();
    for (i, &(to, from)) in places.iter().enumerate() {
        if free.get(i) != Some(&true) {
            continue;
        }
        let row = |stride: i64, step: i64, free: &[bool]| {
            let next = |n: &usize| {
                let n = *n as i64;
                let at = index.get(&(to + n * stride, from + n * step));
                at.is_some_and(|&at| free.get(at) == Some(&true))
            };
            1 + (1..).take_while(next).count()
        };
        let mut best = Loop { n: 1, step: 0, stride: 0 };
        let seconds = places.iter().zip(&free).skip(i + 1).filter(|(_, free)| **free);
        for (&(t, f), _) in seconds.take(TRIED) {
            let n = row(t - to, f - from, &free);
            if n > best.n {
                best = Loop { n, step: f - from, stride: t - to };
            }
            if 2 * best.n > left {
                break;
            }
        }
        for n in 0..best.n as i64 {
            let at = index.get(&(to + n * best.stride, from + n * best.step));
            at.and_then(|&at| free.get_mut(at)).into_iter().for_each(|free| *free = false);
        }
        left -= best.n;
        made.push(((to, from), (best.n > 1).then_some(best)));
    }
    made
}

fn view((from, to): (i64, i64), loops: &[Loop]) -> Option<View> {
    let mut view = View {
        dims: [1; 4],
        from: u32::try_from(from).ok()?,
        steps: [0; 4],
        to: u32::try_from(to).ok()?,
        strides: [0; 4],
    };
    let skip = 4 - loops.len();
    let places = view.dims.iter_mut().zip(&mut view.steps).zip(&mut view.strides).skip(skip);
    for (((dim, step), stride), l) in places.zip(loops) {
        (*dim, *step, *stride) =
            (u32::try_from(l.n).ok()?, i32::try_from(l.step).ok()?, i32::try_from(l.stride).ok()?);
    }
    Some(view)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(loops: &Loops) -> Vec<(usize, usize)> {
        let mut pairs = Vec::new();
        for view in loops.views().unwrap() {
            view.for_each(|i, j| pairs.push((i, j)));
        }
        pairs.sort_unstable();
        pairs
    }

    /// A copy loop by loop, without merging.
    fn slow(dims: &[usize], steps: &[i64], strides: &[i64]) -> Vec<(usize, usize)> {
        let mut pairs = Vec::new();
        for i in 0..dims.iter().product() {
            let (mut rest, mut from, mut to) = (i, 0, 0);
            for ((&d, s), t) in dims.iter().zip(steps).zip(strides).rev() {
                from += (rest % d) as i64 * s;
                to += (rest % d) as i64 * t;
                rest /= d;
            }
            pairs.push((from as usize, to as usize));
        }
        pairs.sort_unstable();
        pairs
    }

    #[test]
    fn what_is_one_copy_becomes_one_loop() {
        let dims = [2, 3, 1, 4];
        let loops = Loops::new(&dims, 0, &strides(&dims), 0, &strides(&dims));
        assert_eq!(loops.views().unwrap(), [View::whole(24)]);
        let sum = Loops::new(&dims, 0, &strides(&dims), 0, &[0; 4]);
        assert_eq!(sum.merged().len(), 1);
    }

    /// Held against the list itself: every element once, and in how many views.
    fn lists(from: &[u32], row: usize) -> usize {
        let moves: Vec<(u32, u32)> = from.iter().copied().zip(0..).collect();
        let views = listed(&moves, row).unwrap();
        let mut pairs = Vec::new();
        for view in &views {
            view.for_each(|i, j| pairs.push((i as u32, j as u32)));
        }
        pairs.sort_unstable_by_key(|&(_, to)| to);
        assert_eq!(pairs, moves);
        views.len()
    }

    #[test]
    fn lists_become_few_views() {
        assert_eq!(lists(&[5], 1), 1);
        assert_eq!(lists(&[7, 0, 1, 2, 3], 5), 2);
        // An image of 3 × 5, each row turned and mirrored on its ends: [c b | a b c d e | d c].
        let mirrored: Vec<u32> =
            (0..3).flat_map(|y| [2, 1, 0, 1, 2, 3, 4, 3, 2].map(|x| 5 * y + x)).collect();
        assert_eq!(lists(&mirrored, 9), 3);
        // Enlarged by 7/4: groups of 3 and 4 pairs.
        let nearest: Vec<u32> =
            (0..6).flat_map(|c| (0..14).map(move |x| c * 8 + x * 4 / 7)).collect();
        assert_eq!(lists(&nearest, 14), 2);
        // A transposition of four dimensions, and one of every third element.
        let turned: Vec<u32> =
            (0..120).map(|i| i % 2 * 60 + i / 2 % 3 * 20 + i / 6 % 4 * 5 + i / 24).collect();
        assert_eq!(lists(&turned, 2), 1);
        assert_eq!(lists(&(0..50).map(|i| 149 - 3 * i).collect::<Vec<_>>(), 50), 1);
        // What has no order at all.
        let mixed: Vec<(u32, u32)> = (0..4000_u32).map(|i| (i * i % 4001, i)).collect();
        assert!(listed(&mixed, 8).unwrap_err().contains("regular pieces"));
        let some: Vec<u32> = (0..60_u32).map(|i| i * i % 61).collect();
        assert!(lists(&some, 60) <= 60);
    }

    #[test]
    fn transposes_of_every_rank() {
        for (dims, axes) in [
            (&[2, 3][..], &[1, 0][..]),
            (&[2, 3, 4], &[2, 0, 1]),
            (&[2, 3, 4, 5], &[3, 2, 1, 0]),
            (&[2, 3, 2, 3, 2], &[4, 3, 2, 1, 0]),
            (&[2, 2, 2, 2, 2, 3], &[5, 4, 3, 2, 1, 0]),
        ] {
            let steps: Vec<i64> = axes.iter().map(|&a| strides(dims)[a]).collect();
            let out: Vec<usize> = axes.iter().map(|&a| dims[a]).collect();
            let loops = Loops::new(&out, 0, &steps, 0, &strides(&out));
            assert_eq!(pairs(&loops), slow(&out, &steps, &strides(&out)), "{dims:?}");
        }
        let wide = [9; 6];
        let reversed: Vec<i64> = strides(&wide).into_iter().rev().collect();
        assert!(
            Loops::new(&wide, 0, &reversed, 0, &strides(&wide))
                .views()
                .unwrap_err()
                .contains("four nested loops")
        );
    }
}
