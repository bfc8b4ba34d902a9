//! Functions of one tensor: whatever an exporter spells out element by element, of one tensor and
//! constants, becomes one curve. Lines, absolute values, bounds and polynomials stay exact.

use super::build::{Builder, joint};
use super::call::{Call, Computed, Kind, Outputs, one};
use super::named::{Named, named};
use crate::network::{Activation, Binary, Chain, Curve, Node, PerElement, TensorId, Unary, Work};
use minionn_core::plan::View;
use std::sync::Arc;

/// How many nodes are looked at for one expression.
const MOST_NODES: usize = 256;

/// A tensor as a function of another one, element by element.
#[derive(Clone, Debug)]
pub(super) struct Traced {
    pub(super) base: TensorId,
    pub(super) chain: Chain,
    /// Whether something in it is approximated: else it is exact as it stands.
    pub(super) curved: bool,
}

fn node(nodes: &[Node], id: TensorId) -> Option<&Node> {
    nodes.get(id.checked_sub(1)?)
}

/// As a function of the farthest tensor that it is one of.
pub(super) fn traced(nodes: &[Node], id: TensorId) -> Traced {
    let mut left = MOST_NODES;
    trace(nodes, id, &mut left)
}

fn trace(nodes: &[Node], id: TensorId, left: &mut usize) -> Traced {
    step(nodes, id, left).unwrap_or_else(|| Traced {
        base: id,
        chain: Chain::input(),
        curved: false,
    })
}

fn step(nodes: &[Node], id: TensorId, left: &mut usize) -> Option<Traced> {
    *left = left.checked_sub(1)?;
    let Node { work, inputs, .. } = node(nodes, id)?;
    let before = trace(nodes, *inputs.first()?, left);
    Some(match work {
        Work::Affine(PerElement::One(s), PerElement::One(o)) => {
            Traced { chain: before.chain.scaled(*s, *o)?, ..before }
        }
        Work::Activation(activation) => Traced {
            chain: match activation {
                Activation::Chain(chain) if before.chain == Chain::input() => Chain::clone(chain),
                // Chains are not nested: their steps would multiply.
                Activation::Chain(_) => return None,
                activation => before.chain.activation(activation.clone())?,
            },
            curved: before.curved || is_curved(activation),
            ..before
        },
        Work::Square => {
            Traced { chain: before.chain.binary(Binary::Mul, &before.chain)?, ..before }
        }
        Work::Product => both(&before, &trace(nodes, *inputs.get(1)?, left), Binary::Mul)?,
        Work::StridedAdd(len, pieces) => {
            let mut sum: Option<Traced> = None;
            for piece in pieces {
                let term = trace(nodes, *inputs.get(piece.input)?, left);
                if piece.view != View::whole(*len as u32) {
                    return None;
                }
                let term = Traced { chain: term.chain.scaled(piece.factor, 0.0)?, ..term };
                sum = Some(match &sum {
                    Some(sum) => both(sum, &term, Binary::Add)?,
                    None => term,
                });
            }
            sum?
        }
        _ => return None,
    })
}

fn is_curved(activation: &Activation) -> bool {
    matches!(activation, Activation::Curve(_) | Activation::Chain(_))
}

/// Two functions of the same tensor as one.
pub(super) fn both(x: &Traced, y: &Traced, function: Binary) -> Option<Traced> {
    Some(Traced {
        base: x.base,
        chain: x.chain.binary(function, &y.chain).filter(|_| x.base == y.base)?,
        curved: x.curved || y.curved,
    })
}

/// What was repeated, if a tensor is nothing but that, and how.
fn unstretched(b: &Builder, x: &Computed) -> Option<(Computed, Work)> {
    let Node { work, inputs, .. } = node(&b.nodes, x.id)?;
    let (Work::StridedAdd(len, pieces), &[source]) = (work, &inputs[..]) else { return None };
    let fewer = b.len(source);
    let copied: u64 = pieces.iter().map(|piece| piece.view.len()).sum();
    // Once for every element, without gaps: several pieces of a stretch never overlap.
    let plain = fewer < *len
        && copied == *len as u64
        && pieces.iter().all(|piece| piece.factor == 1.0)
        && !pieces.iter().any(|piece| {
            piece.view.dims.iter().zip(piece.view.strides).any(|(&n, s)| n > 1 && s == 0)
        });
    plain.then(|| (Computed::new(source, vec![fewer]), work.clone()))
}

/// `f` of what `x` is a function of: `f` is given that function.
pub(super) fn function(
    b: &mut Builder,
    name: &str,
    x: &Computed,
    f: impl Fn(&Chain) -> Option<Chain>,
) -> Result<Computed, String> {
    if let Some((source, work)) = unstretched(b, x) {
        let made = function(b, name, &source, f)?;
        return b.repeat(name, work, &made, x.dims.clone());
    }
    let from = traced(&b.nodes, x.id);
    let long = || "it is too long an expression of one tensor".to_owned();
    let (base, chain) = match f(&from.chain) {
        Some(chain) => (from.base, chain),
        None => (x.id, f(&Chain::input()).ok_or_else(long)?),
    };
    approximated(b, name, &Computed::new(base, x.dims.clone()), chain)
}

/// One curve: that of a name, if it has one.
pub(super) fn approximated(
    b: &mut Builder,
    name: &str,
    x: &Computed,
    chain: Chain,
) -> Result<Computed, String> {
    let Some(Named { inner, start, curve, outer, offset }) = named(&chain) else {
        return b.activation(name, x, Activation::Chain(Arc::new(chain)));
    };
    let x = b.scaled(name, x, inner, -inner * start)?;
    let made = b.activation(name, &x, Activation::Curve(curve))?;
    b.scaled(name, &made, outer, offset)
}

/// `x op y` as one curve, if both are functions of one tensor and one of them is a curve already.
pub(super) fn merged(
    b: &mut Builder,
    name: &str,
    (x, y): (&Computed, &Computed),
    function: Binary,
) -> Result<Option<Computed>, String> {
    if x.len() != y.len() || joint(&x.dims, &y.dims)?.iter().product::<usize>() != x.len() {
        return Ok(None);
    }
    let dims = joint(&x.dims, &y.dims)?;
    let (from_x, from_y) = (traced(&b.nodes, x.id), traced(&b.nodes, y.id));
    let curved = match function {
        // Sums cost nothing as they are: two curves are one too many.
        Binary::Add | Binary::Sub => from_x.curved && from_y.curved,
        Binary::Div => true,
        _ => from_x.curved || from_y.curved,
    };
    let joined = both(&from_x, &from_y, function);
    // A product with a bounded line may be a curve that has a name.
    match joined.filter(|both| curved || function == Binary::Mul && named(&both.chain).is_some()) {
        Some(Traced { base, chain, .. }) => {
            approximated(b, name, &Computed::new(base, dims), chain).map(Some)
        }
        None => Ok(None),
    }
}

/// A curve; one of a curve is one.
pub(super) fn activated(
    b: &mut Builder,
    name: &str,
    x: &Computed,
    activation: Activation,
) -> Result<Computed, String> {
    if is_curved(&activation) && traced(&b.nodes, x.id).curved {
        return function(b, name, x, |chain| chain.activation(activation.clone()));
    }
    b.activation(name, x, activation)
}

/// Operators of one tensor that are no activation of their own.
pub(super) fn unary(b: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(1, &[])?;
    let x = call.computed(0)?;
    let function_of = Unary::named(call.op()).ok_or("it is no function of one number")?;
    let name = &call.name;
    one(match function_of {
        Unary::Neg => b.scaled(name, x, -1.0, 0.0)?,
        // |x| = 2·relu(x) − x.
        Unary::Abs => {
            let relu = b.activation(name, x, Activation::Relu)?;
            b.sum(name, &[(2.0, &relu), (-1.0, x)])?
        }
        Unary::Not => Computed { kind: Kind::Truth, ..b.scaled(name, x, -1.0, 1.0)? },
        Unary::Sign => {
            let above = b.activation(name, x, Activation::Step)?;
            let turned = b.scaled(name, x, -1.0, 0.0)?;
            let below = b.activation(name, &turned, Activation::Step)?;
            b.sum(name, &[(1.0, &above), (-1.0, &below)])?
        }
        jumping if jumping.jumps() => {
            return Err("it jumps from one whole number to the next, which is supported for \
                        constants only: leave the rounding out"
                .into());
        }
        smooth => function(b, name, x, |chain| chain.unary(smooth))?,
    })
}

/// Where a rising curve takes a value, if it does.
pub(super) fn inverse(curve: Curve, value: f64) -> Option<f64> {
    let (mut lo, mut hi) = (-1e3, 1e3);
    if curve.minimum().is_some() || !(curve.at(lo)..curve.at(hi)).contains(&value) {
        return None;
    }
    for _ in 0..100 {
        let middle = f64::midpoint(lo, hi);
        if curve.at(middle) <= value { lo = middle } else { hi = middle }
    }
    (curve.at(lo) < curve.at(hi + 1.0)).then_some(lo)
}
