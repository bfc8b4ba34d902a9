//! Functions that have a name, however an exporter spelled them out: they keep what is proven for
//! the curve of that name, and cost what it costs. Recognised by their values.

use crate::network::{Chain, Curve};

/// `outer · curve(inner · (x − start)) + offset`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Named {
    pub(super) inner: f64,
    pub(super) start: f64,
    pub(super) curve: Curve,
    pub(super) outer: f64,
    pub(super) offset: f64,
}

/// Largest difference, as a part of the largest value: constants in files are rounded.
const NEAR: f64 = 1e-4;
/// Beyond this every curve has become its tail.
const FAR: f64 = 1e5;
/// Curves between two values.
const BOUNDED: [Curve; 4] = [Curve::Sigmoid, Curve::Tanh, Curve::Erf, Curve::Softsign];
/// Curves that are 0 on one side and `x` on the other.
const GATES: [Curve; 4] = [Curve::Silu, Curve::Gelu, Curve::GeluTanh, Curve::HardSwish];

/// The curve that `chain` is, if it is one.
pub(super) fn named(chain: &Chain) -> Option<Named> {
    let f = |x: f64| chain.at(x);
    let slope = (f(FAR) - f(FAR / 2.0)) / (FAR / 2.0);
    let left = (f(-FAR) - f(-FAR / 2.0)) / (FAR / 2.0);
    if !(slope.is_finite() && left.is_finite()) {
        return None;
    }
    let flat = |slope: f64| slope.abs() < 1e-6;
    let found = match (flat(slope), flat(left)) {
        (true, true) => bounded(&f),
        (false, true) => gated(&f, tidy(slope)),
        // Mirrored.
        (true, false) => gated(&|x| f(-x), tidy(left)).map(|named| Named {
            inner: -named.inner,
            start: -named.start,
            ..named
        }),
        (false, false) => None,
    };
    found.filter(|named| named.distance(&f) <= NEAR)
}

/// The nearest of them.
fn nearest(all: impl Iterator<Item = Named>, f: &dyn Fn(f64) -> f64) -> Option<Named> {
    all.min_by(|a, b| a.distance(f).total_cmp(&b.distance(f)))
}

/// 1 if it is meant.
fn tidy(x: f64) -> f64 {
    if (x - 1.0).abs() < 1e-6 { 1.0 } else { x }
}

/// Where a rising function takes a value between those at two ends.
fn solved(g: impl Fn(f64) -> f64, value: f64) -> f64 {
    let (mut lo, mut hi) = (0.0, 64.0);
    for _ in 0..100 {
        let middle = f64::midpoint(lo, hi);
        if g(middle) < value { lo = middle } else { hi = middle }
    }
    f64::midpoint(lo, hi)
}

/// A place where a rising function from 0 or 1/2 to 1 is about in the middle.
fn middle(part: impl Fn(f64) -> f64) -> Option<f64> {
    (-12..=12).map(|i| f64::from(i).exp2()).find(|&x| (0.6..0.95).contains(&part(x)))
}

fn bounded(f: &dyn Fn(f64) -> f64) -> Option<Named> {
    let (lo, hi) = (f(-FAR * FAR), f(FAR * FAR));
    let height = hi - lo;
    if !height.is_finite() || height == 0.0 {
        return None;
    }
    // From 1/2 in the middle to 1 far out.
    let part = |x: f64| (f(x) - lo) / height;
    let start = whole(solved(|x| part(x - 32.0), 0.5) - 32.0);
    let at = middle(|x| part(x + start))?;
    let all = BOUNDED.into_iter().map(|curve| {
        let (least, most) = if curve == Curve::Sigmoid { (0.0, 1.0) } else { (-1.0, 1.0) };
        let value = part(at + start);
        let inner = solved(|t| (curve.at(t) - least) / (most - least), value) / at;
        let outer = height / (most - least);
        Named { inner: rounded(inner), start, curve, outer, offset: lo - outer * least }
    });
    nearest(all.into_iter(), f)
}

fn gated(f: &dyn Fn(f64) -> f64, slope: f64) -> Option<Named> {
    let offset = whole(f(-FAR));
    // Where the line starts that it becomes.
    let start = whole(FAR - (f(FAR) - offset) / slope);
    let value = |x: f64| f(x + start) - offset;
    let part = |x: f64| value(x) / (slope * x);
    let gates = middle(part).into_iter().flat_map(|at| {
        GATES.map(|curve| {
            let inner = rounded(solved(|t| curve.at(t) / t, part(at)) / at);
            Named { inner, start, curve, outer: slope / inner, offset }
        })
    });
    // Softplus is not 0 at 0.
    let inner = rounded(slope * core::f64::consts::LN_2 / value(0.0));
    let soft = Named { inner, start, curve: Curve::Softplus, outer: slope / inner, offset };
    nearest(gates.chain([soft]).filter(|named| named.inner > 0.0), f)
}

/// 0 if it is meant.
fn whole(x: f64) -> f64 {
    if x.abs() < 1e-6 { 0.0 } else { x }
}

/// Without what solving left of a round factor.
fn rounded(x: f64) -> f64 {
    let round = (x * 64.0).round() / 64.0;
    if (x - round).abs() < 1e-4 * round { round } else { x }
}

impl Named {
    /// Largest difference, as a part of the largest value.
    fn distance(&self, f: &dyn Fn(f64) -> f64) -> f64 {
        let Self { inner, start, curve, outer, offset } = *self;
        let reach = 12.0 / inner.abs();
        let all = (-240..=240).map(|i| start + reach * f64::from(i) / 240.0);
        let pairs = all.map(|x| (f(x), outer * curve.at(inner * (x - start)) + offset));
        let (mut far, mut most) = (0.0_f64, 0.0_f64);
        for (own, other) in pairs {
            (far, most) = (far.max((own - other).abs()), most.max(own.abs()));
            if !(own.is_finite() && other.is_finite()) {
                return f64::INFINITY;
            }
        }
        far / most
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Activation, Binary, Unary};

    fn curve(curve: Curve, inner: f64) -> Chain {
        let x = Chain::input().scaled(inner, 0.0).unwrap();
        x.activation(Activation::Curve(curve)).unwrap()
    }

    #[test]
    fn curves_are_found_with_their_factors() {
        for (inner, outer, offset) in
            [(1.0, 1.0, 0.0), (1.702, 2.0, 0.0), (-0.4, 0.3, 0.0), (3.0, -2.0, 0.0)]
        {
            for named_so in GATES.into_iter().chain([Curve::Softplus]) {
                let chain = curve(named_so, inner).scaled(outer, offset).unwrap();
                let found = named(&chain).unwrap_or_else(|| panic!("{named_so:?} {inner} {outer}"));
                assert_eq!(found.curve, named_so);
                assert!((found.inner - inner).abs() < 1e-3 && (found.outer - outer).abs() < 1e-3);
                assert_eq!(found.start, 0.0);
            }
        }
        let moved = Chain::input().scaled(2.0, 0.25).unwrap();
        let moved = moved.activation(Activation::Curve(Curve::Gelu)).unwrap();
        let found = named(&moved).unwrap();
        assert_eq!((found.curve, found.inner), (Curve::Gelu, 2.0));
        assert!((found.start + 0.125).abs() < 1e-9);
        for (inner, outer, offset) in [(1.0, 1.0, 0.0), (2.5, 3.0, -1.0), (0.1, 0.5, 4.0)] {
            for named_so in BOUNDED {
                let chain = curve(named_so, inner).scaled(outer, offset).unwrap();
                let found = named(&chain).unwrap_or_else(|| panic!("{named_so:?} {inner} {outer}"));
                // Sigmoid and tanh are one function.
                let x = 0.7;
                let inner = found.inner * (x - found.start);
                let value = found.outer * found.curve.at(inner) + found.offset;
                assert!((value - chain.at(x)).abs() < 1e-3, "{named_so:?} {found:?}");
            }
        }
    }

    #[test]
    fn what_is_no_curve_of_these_is_none() {
        let x = Chain::input();
        for function in [Unary::Mish, Unary::Exp, Unary::Sin, Unary::Log, Unary::Atan, Unary::Abs] {
            assert_eq!(named(&x.unary(function).unwrap()), None, "{function:?}");
        }
        let square = x.binary(Binary::Mul, &x).unwrap();
        assert_eq!(named(&square), None);
        assert_eq!(named(&x), None);
    }
}
