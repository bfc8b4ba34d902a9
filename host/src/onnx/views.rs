//! Regular copies of any rank, as the four loops of a [`View`].

use minionn_core::plan::View;

/// Most views that one copy is split into when it needs more than four loops.
const MAX_VIEWS: usize = 64;

/// One loop: how often it runs, and how far it steps in the source and in the target.
#[derive(Clone, Copy, Debug, PartialEq)]
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
