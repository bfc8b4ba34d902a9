//! Functions of numbers by their ONNX names, and chains of them: one function of one number,
//! however many steps an exporter spelled it out in.

use super::Activation;

/// A function of one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unary {
    /// `|x|`.
    Abs,
    /// `arccos(x)`.
    Acos,
    /// `arcosh(x)`.
    Acosh,
    /// `arcsin(x)`.
    Asin,
    /// `arsinh(x)`.
    Asinh,
    /// `arctan(x)`.
    Atan,
    /// `artanh(x)`.
    Atanh,
    /// The least whole number that is not below `x`.
    Ceil,
    /// `cos(x)`.
    Cos,
    /// `cosh(x)`.
    Cosh,
    /// `e^x`.
    Exp,
    /// The largest whole number that is not above `x`.
    Floor,
    /// Whether `x` is infinite.
    IsInf,
    /// Whether `x` is no number.
    IsNan,
    /// `ln(x)`.
    Log,
    /// `x · tanh(softplus(x))`.
    Mish,
    /// `−x`.
    Neg,
    /// Whether `x` is 0.
    Not,
    /// `1 / x`.
    Reciprocal,
    /// The nearest whole number, the even one of two.
    Round,
    /// −1, 0 or 1.
    Sign,
    /// `sin(x)`.
    Sin,
    /// `sinh(x)`.
    Sinh,
    /// `√x`.
    Sqrt,
    /// `tan(x)`.
    Tan,
}

impl Unary {
    /// The function of an ONNX operator.
    #[must_use]
    pub fn named(op: &str) -> Option<Self> {
        Some(match op {
            "Abs" => Self::Abs,
            "Acos" => Self::Acos,
            "Acosh" => Self::Acosh,
            "Asin" => Self::Asin,
            "Asinh" => Self::Asinh,
            "Atan" => Self::Atan,
            "Atanh" => Self::Atanh,
            "Ceil" => Self::Ceil,
            "Cos" => Self::Cos,
            "Cosh" => Self::Cosh,
            "Exp" => Self::Exp,
            "Floor" => Self::Floor,
            "IsInf" => Self::IsInf,
            "IsNaN" => Self::IsNan,
            "Log" => Self::Log,
            "Mish" => Self::Mish,
            "Neg" => Self::Neg,
            "Not" => Self::Not,
            "Reciprocal" => Self::Reciprocal,
            "Round" => Self::Round,
            "Sign" => Self::Sign,
            "Sin" => Self::Sin,
            "Sinh" => Self::Sinh,
            "Sqrt" => Self::Sqrt,
            "Tan" => Self::Tan,
            _ => return None,
        })
    }

    /// The function.
    #[must_use]
    pub fn at(self, x: f64) -> f64 {
        match self {
            Self::Abs => x.abs(),
            Self::Acos => x.acos(),
            Self::Acosh => x.acosh(),
            Self::Asin => x.asin(),
            Self::Asinh => x.asinh(),
            Self::Atan => x.atan(),
            Self::Atanh => x.atanh(),
            Self::Ceil => x.ceil(),
            Self::Cos => x.cos(),
            Self::Cosh => x.cosh(),
            Self::Exp => x.exp(),
            Self::Floor => x.floor(),
            Self::IsInf => f64::from(x.is_infinite()),
            Self::IsNan => f64::from(x.is_nan()),
            Self::Log => x.ln(),
            Self::Mish => x * super::Curve::Softplus.at(x).tanh(),
            Self::Neg => -x,
            Self::Not => f64::from(x == 0.0),
            Self::Reciprocal => 1.0 / x,
            Self::Round => x.round_ties_even(),
            Self::Sign if x == 0.0 || x.is_nan() => x,
            Self::Sign => x.signum(),
            Self::Sin => x.sin(),
            Self::Sinh => x.sinh(),
            Self::Sqrt => x.sqrt(),
            Self::Tan => x.tan(),
        }
    }

    /// Whether no straight piece describes it where it jumps.
    #[must_use]
    pub const fn jumps(self) -> bool {
        matches!(
            self,
            Self::Ceil
                | Self::Floor
                | Self::IsInf
                | Self::IsNan
                | Self::Not
                | Self::Round
                | Self::Sign
        )
    }
}

/// A function of two numbers; whether something holds is 1 or 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    /// `x + y`.
    Add,
    /// Whether neither is 0.
    And,
    /// `x / y`.
    Div,
    /// Whether they are equal.
    Equal,
    /// The rest of a division, with the sign of `x`.
    Fmod,
    /// Whether `x > y`.
    Greater,
    /// Whether `x ≥ y`.
    GreaterOrEqual,
    /// Whether `x < y`.
    Less,
    /// Whether `x ≤ y`.
    LessOrEqual,
    /// The larger one.
    Max,
    /// The lesser one.
    Min,
    /// The rest of a division, with the sign of `y`.
    Mod,
    /// `x · y`.
    Mul,
    /// Whether one of them is not 0.
    Or,
    /// `x^y`.
    Pow,
    /// `x`, or `x · y` where `x` is negative.
    PRelu,
    /// `x − y`.
    Sub,
    /// Whether just one of them is not 0.
    Xor,
}

impl Binary {
    /// The function of an ONNX operator.
    #[must_use]
    pub fn named(op: &str) -> Option<Self> {
        Some(match op {
            "Add" | "Sum" => Self::Add,
            "And" => Self::And,
            "Div" => Self::Div,
            "Equal" => Self::Equal,
            "Greater" => Self::Greater,
            "GreaterOrEqual" => Self::GreaterOrEqual,
            "Less" => Self::Less,
            "LessOrEqual" => Self::LessOrEqual,
            "Max" => Self::Max,
            "Min" => Self::Min,
            "Mod" => Self::Mod,
            "Mul" => Self::Mul,
            "Or" => Self::Or,
            "Pow" => Self::Pow,
            "PRelu" => Self::PRelu,
            "Sub" => Self::Sub,
            "Xor" => Self::Xor,
            _ => return None,
        })
    }

    /// The function.
    #[must_use]
    pub fn at(self, x: f64, y: f64) -> f64 {
        match self {
            Self::Add => x + y,
            Self::And => f64::from(x != 0.0 && y != 0.0),
            Self::Div => x / y,
            Self::Equal => f64::from(x == y),
            Self::Fmod => x % y,
            Self::Greater => f64::from(x > y),
            Self::GreaterOrEqual => f64::from(x >= y),
            Self::Less => f64::from(x < y),
            Self::LessOrEqual => f64::from(x <= y),
            Self::Max => x.max(y),
            Self::Min => x.min(y),
            Self::Mod => x - y * (x / y).floor(),
            Self::Mul => x * y,
            Self::Or => f64::from(x != 0.0 || y != 0.0),
            Self::Pow => x.powf(y),
            Self::PRelu if x < 0.0 => x * y,
            Self::PRelu => x,
            Self::Sub => x - y,
            Self::Xor => f64::from((x != 0.0) != (y != 0.0)),
        }
    }

    /// The function of whole numbers, exact; `None` where there is no result.
    #[must_use]
    pub fn of_integers(self, x: i64, y: i64) -> Option<i64> {
        Some(match self {
            Self::Add => x.checked_add(y)?,
            Self::And => (x != 0 && y != 0).into(),
            Self::Div => x.checked_div(y)?,
            Self::Equal => (x == y).into(),
            Self::Fmod => x.checked_rem(y)?,
            Self::Greater => (x > y).into(),
            Self::GreaterOrEqual => (x >= y).into(),
            Self::Less => (x < y).into(),
            Self::LessOrEqual => (x <= y).into(),
            Self::Max => x.max(y),
            Self::Min => x.min(y),
            // The rest has the sign of `y`.
            Self::Mod => match x.checked_rem(y)? {
                rest if rest != 0 && (rest < 0) != (y < 0) => rest + y,
                rest => rest,
            },
            Self::Mul => x.checked_mul(y)?,
            Self::Or => (x != 0 || y != 0).into(),
            Self::Pow if y < 0 => return None,
            Self::Pow => x.checked_pow(u32::try_from(y).ok()?)?,
            Self::PRelu if x < 0 => x.checked_mul(y)?,
            Self::PRelu => x,
            Self::Sub => x.checked_sub(y)?,
            Self::Xor => ((x != 0) != (y != 0)).into(),
        })
    }
}

/// A step of a chain, of what earlier steps made.
#[derive(Clone, Debug, PartialEq)]
enum Step {
    Input,
    Constant(f64),
    Activation(Activation, usize),
    Unary(Unary, usize),
    Binary(Binary, usize, usize),
    /// The second where the first is not 0, else the third.
    Select(usize, usize, usize),
}

/// Most steps of a chain.
const MAX_STEPS: usize = 64;

/// A function of one number in steps; the last one is the result.
#[derive(Clone, Debug, PartialEq)]
pub struct Chain(Vec<Step>);

impl Chain {
    /// `x`.
    #[must_use]
    pub fn input() -> Self {
        Self(vec![Step::Input])
    }

    /// The same number for every `x`.
    #[must_use]
    pub fn constant(number: f64) -> Self {
        Self(vec![Step::Constant(number)])
    }

    /// The function.
    #[must_use]
    pub fn at(&self, x: f64) -> f64 {
        let mut made = [f64::NAN; MAX_STEPS];
        let mut last = f64::NAN;
        for (i, step) in self.0.iter().enumerate() {
            let of = |i: usize| made.get(i).copied().unwrap_or(f64::NAN);
            last = match step {
                Step::Input => x,
                Step::Constant(c) => *c,
                Step::Activation(activation, i) => activation.at(of(*i)),
                Step::Unary(function, i) => function.at(of(*i)),
                Step::Binary(function, i, j) => function.at(of(*i), of(*j)),
                Step::Select(c, i, j) => of(if of(*c) == 0.0 { *j } else { *i }),
            };
            made.get_mut(i).into_iter().for_each(|slot| *slot = last);
        }
        last
    }

    /// Steps of several chains of the same number, and where the last one of each is; `None` if
    /// there are too many.
    fn joined(chains: &[&Self]) -> Option<(Vec<Step>, Vec<usize>)> {
        let (mut steps, mut ends) = (Vec::new(), Vec::new());
        for chain in chains {
            // Most have a common start.
            let same = steps.iter().zip(&chain.0).take_while(|(a, b)| a == b).count();
            let shift = steps.len() - same;
            let moved = |i: usize| if i < same { i } else { i + shift };
            steps.extend(chain.0.iter().skip(same).map(|step| match step.clone() {
                Step::Activation(activation, i) => Step::Activation(activation, moved(i)),
                Step::Unary(function, i) => Step::Unary(function, moved(i)),
                Step::Binary(function, i, j) => Step::Binary(function, moved(i), moved(j)),
                Step::Select(c, i, j) => Step::Select(moved(c), moved(i), moved(j)),
                step => step,
            }));
            ends.push(moved(chain.0.len() - 1));
        }
        (steps.len() < MAX_STEPS).then_some((steps, ends))
    }

    /// `f` of this one.
    #[must_use]
    pub fn unary(&self, function: Unary) -> Option<Self> {
        let (mut steps, ends) = Self::joined(&[self])?;
        steps.push(Step::Unary(function, *ends.first()?));
        Some(Self(steps))
    }

    /// `f` of this one.
    #[must_use]
    pub fn activation(&self, activation: Activation) -> Option<Self> {
        let (mut steps, ends) = Self::joined(&[self])?;
        steps.push(Step::Activation(activation, *ends.first()?));
        Some(Self(steps))
    }

    /// `f` of this one and another.
    #[must_use]
    pub fn binary(&self, function: Binary, other: &Self) -> Option<Self> {
        let (mut steps, ends) = Self::joined(&[self, other])?;
        steps.push(Step::Binary(function, *ends.first()?, *ends.get(1)?));
        Some(Self(steps))
    }

    /// `yes` where this one is not 0, else `no`.
    #[must_use]
    pub fn select(&self, yes: &Self, no: &Self) -> Option<Self> {
        let (mut steps, ends) = Self::joined(&[self, yes, no])?;
        steps.push(Step::Select(*ends.first()?, *ends.get(1)?, *ends.get(2)?));
        Some(Self(steps))
    }

    /// `scale · f + offset`.
    #[must_use]
    pub fn scaled(&self, scale: f64, offset: f64) -> Option<Self> {
        let mut scaled = self.clone();
        if scale != 1.0 {
            scaled = scaled.binary(Binary::Mul, &Self::constant(scale))?;
        }
        if offset != 0.0 {
            scaled = scaled.binary(Binary::Add, &Self::constant(offset))?;
        }
        Some(scaled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_share_their_start_and_compute_what_they_say() {
        let x = Chain::input();
        let soft = x.activation(Activation::Curve(crate::network::Curve::Softplus)).unwrap();
        let mish = x.binary(
            Binary::Mul,
            &soft.activation(Activation::Curve(crate::network::Curve::Tanh)).unwrap(),
        );
        let mish = mish.unwrap();
        assert_eq!(mish.0.len(), 4);
        for i in -50..50 {
            let x = f64::from(i) / 7.0;
            assert!((mish.at(x) - Unary::Mish.at(x)).abs() < 1e-15);
        }
        let where_ = x
            .binary(Binary::Greater, &Chain::constant(0.0))
            .and_then(|c| c.select(&x.unary(Unary::Log)?, &Chain::constant(7.0)))
            .unwrap();
        assert_eq!((where_.at(-1.0), where_.at(1.0)), (7.0, 0.0));
        let mut long = x.clone();
        while let Some(longer) = long.binary(Binary::Add, &x) {
            long = longer;
        }
        assert_eq!((long.0.len(), long.at(1.0)), (MAX_STEPS, MAX_STEPS as f64));
    }

    #[test]
    fn rests_have_the_sign_that_they_should() {
        for (x, y, floor, trunc) in [(7, 3, 1, 1), (-7, 3, 2, -1), (7, -3, -2, 1), (-7, -3, -1, -1)]
        {
            assert_eq!(Binary::Mod.of_integers(x, y), Some(floor));
            assert_eq!(Binary::Fmod.of_integers(x, y), Some(trunc));
            assert_eq!(Binary::Mod.at(x as f64, y as f64), floor as f64);
            assert_eq!(Binary::Fmod.at(x as f64, y as f64), trunc as f64);
        }
        assert_eq!(Binary::Mod.of_integers(1, 0), None);
    }
}
