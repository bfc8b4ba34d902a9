//! Curves that exporters spell out as products: GELU, SiLU, hard swish.

use crate::network::{Activation, Curve, Node, PerElement, TensorId, Work};
use core::f64::consts::{FRAC_2_PI, SQRT_2};
use minionn_core::plan::View;

/// How deep an expression is followed, and how many terms of a sum: each is followed by itself.
const DEPTH: usize = 6;
const TERMS: usize = 4;

/// `outer · curve(inner · x)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spelled {
    pub(super) of: TensorId,
    pub(super) inner: f64,
    pub(super) curve: Curve,
    pub(super) outer: f64,
}

fn node(nodes: &[Node], id: TensorId) -> Option<&Node> {
    nodes.get(id.checked_sub(1)?)
}

/// What a tensor is `scale·y + offset` of, step by step, itself first.
fn peeled(nodes: &[Node], id: TensorId) -> Vec<(f64, f64, TensorId)> {
    let mut all = vec![(1.0, 0.0, id)];
    while let Some(&(scale, offset, at)) = all.last()
        && let Some(Node {
            work: Work::Affine(PerElement::One(s), PerElement::One(o)), inputs, ..
        }) = node(nodes, at)
        && let (Some(&next), true) = (inputs.first(), all.len() < DEPTH)
    {
        all.push((scale * s, scale * o + offset, next));
    }
    all
}

/// A tensor as a polynomial of `x`, up to the third power; all tensors have as many elements as
/// `x`.
fn polynomial(nodes: &[Node], id: TensorId, x: TensorId, depth: usize) -> Option<[f64; 4]> {
    if id == x {
        return Some([0.0, 1.0, 0.0, 0.0]);
    }
    let node = node(nodes, id).filter(|_| depth > 0)?;
    let input = |i: usize| polynomial(nodes, *node.inputs.get(i)?, x, depth - 1);
    match &node.work {
        Work::Affine(PerElement::One(s), PerElement::One(o)) => {
            input(0).map(|[c0, c1, c2, c3]| [s * c0 + o, s * c1, s * c2, s * c3])
        }
        Work::Square => input(0).and_then(|p| times(p, p)),
        Work::Product => times(input(0)?, input(1)?),
        Work::StridedAdd(len, pieces) if pieces.len() <= TERMS => {
            pieces.iter().try_fold([0.0; 4], |sum, piece| {
                let whole = piece.view == View::whole(*len as u32);
                let term = input(piece.input).filter(|_| whole)?;
                let mut both = sum;
                both.iter_mut().zip(term).for_each(|(s, t)| *s += piece.factor * t);
                Some(both)
            })
        }
        _ => None,
    }
}

/// The product of two polynomials, if its powers are few enough.
fn times(a: [f64; 4], b: [f64; 4]) -> Option<[f64; 4]> {
    let mut product = [0.0; 7];
    for (i, a) in a.iter().enumerate() {
        for (p, b) in product.iter_mut().skip(i).zip(b) {
            *p += a * b;
        }
    }
    let [c0, c1, c2, c3, high @ ..] = product;
    high.iter().all(|&c| c == 0.0).then_some([c0, c1, c2, c3])
}

/// Whether two numbers are the same but for the rounding of a file.
fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-4 * b.abs()
}

/// 1 if it is meant.
fn tidy(x: f64) -> f64 {
    if (x - 1.0).abs() < 1e-6 { 1.0 } else { x }
}

/// `curve` and its inner factor if `gate`, of `scale·gate + offset`, makes it of `x`; and what is
/// outside then.
fn curve(
    gate: Activation,
    [c0, c1, c2, c3]: [f64; 4],
    scale: f64,
    offset: f64,
) -> Option<(f64, Curve, f64)> {
    let straight = c2 == 0.0 && c3 == 0.0 && c1 != 0.0;
    match gate {
        Activation::Curve(Curve::Sigmoid) if straight && c0 == 0.0 && offset == 0.0 => {
            Some((c1, Curve::Silu, scale))
        }
        Activation::Curve(Curve::Erf) if straight && c0 == 0.0 && near(offset, scale) => {
            Some((tidy(c1 * SQRT_2), Curve::Gelu, 2.0 * scale))
        }
        Activation::Curve(Curve::Tanh) if c0 == 0.0 && c2 == 0.0 && near(offset, scale) => {
            let inner = tidy(c1 / FRAC_2_PI.sqrt());
            near(c3, FRAC_2_PI.sqrt() * 0.044_715 * inner.powi(3)).then_some((
                inner,
                Curve::GeluTanh,
                2.0 * scale,
            ))
        }
        Activation::Clip { lo: 0.0, hi } if straight && near(c0, hi / 2.0) && offset == 0.0 => {
            Some((tidy(6.0 * c1 / hi), Curve::HardSwish, scale * hi))
        }
        _ => None,
    }
}

/// The curve that `p·q` is, if it is one: `x·gate(x)` with any constant factors on the way.
pub(super) fn recognise(nodes: &[Node], p: TensorId, q: TensorId) -> Option<Spelled> {
    let sides = [(p, q), (q, p)];
    sides.into_iter().find_map(|(side, gated)| {
        let (scale, offset, gate) = *peeled(nodes, gated).last()?;
        let Node { work: Work::Activation(activation), inputs, .. } = node(nodes, gate)? else {
            return None;
        };
        peeled(nodes, side).into_iter().filter(|&(_, o, _)| o == 0.0).find_map(|(factor, _, of)| {
            let argument = polynomial(nodes, *inputs.first()?, of, DEPTH)?;
            let (inner, curve, outer) = curve(*activation, argument, scale, offset)?;
            Some(Spelled { of, inner, curve, outer: factor * outer / inner })
        })
    })
}
