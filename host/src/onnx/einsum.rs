//! Einsum of one or two tensors: dimensions are put in order, then it is a matrix product.

use super::build::Builder;
use super::call::{Call, Outputs, Value, one, possible};
use super::matrix::multiplied;
use super::moves::{Moved, placed};
use super::tensor::count;
use super::views::{Loops, strides};

/// A tensor and the letter of each of its dimensions.
struct Named {
    value: Value,
    letters: Vec<char>,
}

impl Named {
    fn size(&self, letter: char) -> Option<usize> {
        let at = self.letters.iter().position(|&l| l == letter)?;
        self.value.dims().get(at).copied()
    }

    /// Whether one of its dimensions is called so and has another size.
    fn has_not(&self, letter: char, size: usize) -> bool {
        let own = self.letters.iter().zip(self.value.dims());
        own.into_iter().any(|(&l, &n)| l == letter && n != size)
    }

    /// Dimensions in the order of `letters`; one that is named twice is a diagonal, one that is not
    /// there has size 1.
    fn ordered(&self, b: &mut Builder, name: &str, letters: &[char]) -> Result<Value, String> {
        if self.letters == letters {
            return Ok(self.value.clone());
        }
        let dims: Vec<usize> = letters.iter().map(|&l| self.size(l).unwrap_or(1)).collect();
        let hops = strides(self.value.dims());
        let hop = |letter: &char| -> usize {
            let own = self.letters.iter().zip(&hops).filter(|(l, _)| *l == letter);
            own.map(|(_, &hop)| hop as usize).sum()
        };
        let hops: Vec<usize> = letters.iter().map(hop).collect();
        let from = |mut i: usize| {
            let mut at = 0;
            for (&d, &hop) in dims.iter().zip(&hops).rev() {
                at += i % d * hop;
                i /= d;
            }
            Some(at)
        };
        let moved = Moved::new(b, dims.clone(), from)?;
        placed(b, name, &[&self.value], moved, 0.0)
    }

    /// Sums over the dimensions that are not in `kept`, which then has them in its order.
    fn summed(&self, b: &mut Builder, name: &str, kept: &[char]) -> Result<Self, String> {
        let mut gone: Vec<char> = Vec::new();
        for &letter in self.letters.iter().filter(|l| !kept.contains(l)) {
            if !gone.contains(&letter) {
                gone.push(letter);
            }
        }
        let value = self.ordered(b, name, &[kept, &gone].concat())?;
        let (dims, rest) = value.dims().split_at(kept.len());
        let (dims, n) = (dims.to_vec(), count(rest).unwrap_or(1));
        let value = match &value {
            _ if gone.is_empty() => value,
            Value::Constant(c) => {
                let sums = c.numbers().chunks(n.max(1)).map(|part| part.iter().sum()).collect();
                c.with(dims, sums).into()
            }
            Value::Computed(_) => {
                let len = possible(&dims)?;
                let sums = Loops::new(&[len, n], 0, &[n as i64, 1], 0, &[1, 0]);
                b.copy(name, value.number()?, dims, 1.0, &sums)?.into()
            }
        };
        Ok(Self { value, letters: kept.to_vec() })
    }
}

/// Letters of an equation's part; three dots stand for what is left of `rank` dimensions, and
/// become letters that are none.
fn letters(part: &str, rank: Option<usize>, dots: usize) -> Result<Vec<char>, String> {
    let named = part.replace("...", "").chars().count();
    let own = rank.map_or(Some(dots), |rank| rank.checked_sub(named));
    let wrong = || match rank {
        Some(rank) => format!("`{part}` does not name the {rank} dimensions that there are"),
        None => format!("`{part}` is not made of letters"),
    };
    let own = own.ok_or_else(wrong)?;
    let stand_in = |i: usize| char::from_u32(0x2460 + i as u32).unwrap_or('…');
    let hidden: String = (dots.saturating_sub(own)..dots).map(stand_in).collect();
    let all: Vec<char> = part.replacen("...", &hidden, 1).chars().collect();
    let known = |c: &char| c.is_ascii_alphabetic() || *c >= '\u{2460}';
    if all.iter().all(known) && rank.is_none_or(|rank| all.len() == rank) {
        Ok(all)
    } else {
        Err(wrong())
    }
}

/// The letters of all inputs and of the output.
fn parsed(equation: &str, ranks: &[usize]) -> Result<(Vec<Vec<char>>, Vec<char>), String> {
    let equation: String = equation.chars().filter(|c| !c.is_whitespace()).collect();
    let (inputs, output) = match equation.split_once("->") {
        Some((inputs, output)) => (inputs, Some(output)),
        None => (equation.as_str(), None),
    };
    let parts: Vec<&str> = inputs.split(',').collect();
    if parts.len() != ranks.len() {
        return Err(format!("`{equation}` names {} tensors, not {}", parts.len(), ranks.len()));
    }
    let dotted = |(part, &rank): (&&str, &usize)| {
        let named = part.replace("...", "").chars().count();
        if part.contains("...") { rank.saturating_sub(named) } else { 0 }
    };
    let dots = parts.iter().zip(ranks).map(dotted).max().unwrap_or(0);
    let all: Vec<Vec<char>> = parts
        .iter()
        .zip(ranks)
        .map(|(part, &rank)| letters(part, Some(rank), dots))
        .collect::<Result<_, _>>()?;
    let output = match output {
        Some(output) => letters(output, None, if output.contains("...") { dots } else { 0 })?,
        // Those that occur once, in the order of the alphabet, behind the dots.
        None => {
            let mut once: Vec<char> = all.concat();
            once.sort_unstable_by_key(|&c| (c.is_ascii(), c));
            let many = |c: &char| c.is_ascii() && once.iter().filter(|o| *o == c).count() > 1;
            let mut output: Vec<char> = once.iter().copied().filter(|c| !many(c)).collect();
            output.dedup();
            output
        }
    };
    let twice = output.iter().any(|c| output.iter().filter(|o| *o == c).count() > 1);
    let unknown = output.iter().any(|c| !all.iter().flatten().any(|o| o == c));
    if twice || unknown {
        return Err(format!("`{equation}` is no equation that is known"));
    }
    Ok((all, output))
}

pub(super) fn einsum(b: &mut Builder, call: &Call<'_>) -> Outputs {
    call.only(2, &["equation"])?;
    let values: Vec<&Value> =
        (0..call.inputs.len()).map(|i| call.value(i)).collect::<Result<_, _>>()?;
    let ranks: Vec<usize> = values.iter().map(|value| value.dims().len()).collect();
    let (letters, output) = parsed(&call.text("equation", "")?, &ranks)?;
    let named = values.into_iter().zip(letters);
    let named: Vec<Named> =
        named.map(|(value, letters)| Named { value: value.clone(), letters }).collect();
    for of in &named {
        for (&letter, &size) in of.letters.iter().zip(of.value.dims()) {
            if named.iter().any(|other| other.has_not(letter, size)) {
                return Err(format!("dimension `{letter}` has more than one size"));
            }
        }
    }
    match &named[..] {
        [only] => one(only.summed(b, &call.name, &output)?.value),
        [left, right] => one(multiplied_named(b, &call.name, (left, right), &output)?),
        more => Err(format!("it has {} tensors: one and two are supported", more.len())),
    }
}

/// Both as matrices, for each place of the dimensions that they share with the output.
fn multiplied_named(
    b: &mut Builder,
    name: &str,
    (left, right): (&Named, &Named),
    output: &[char],
) -> Result<Value, String> {
    // What only one side has and the output has not is summed up there.
    let own = |of: &Named, other: &Named| -> Vec<char> {
        let mut kept: Vec<char> = Vec::new();
        for &l in &of.letters {
            if (output.contains(&l) || other.letters.contains(&l)) && !kept.contains(&l) {
                kept.push(l);
            }
        }
        kept
    };
    let (kept_left, kept_right) = (own(left, right), own(right, left));
    let (left, right) = (left.summed(b, name, &kept_left)?, right.summed(b, name, &kept_right)?);
    let pick = |of: &[char], in_left: bool, in_right: bool, in_output: bool| -> Vec<char> {
        let fits = |l: &char| {
            left.letters.contains(l) == in_left
                && right.letters.contains(l) == in_right
                && output.contains(l) == in_output
        };
        of.iter().copied().filter(fits).collect()
    };
    let batch = pick(output, true, true, true);
    let inner = pick(&left.letters, true, true, false);
    let rows = pick(output, true, false, true);
    let columns = pick(output, false, true, true);
    let size = |l: &char| left.size(*l).or_else(|| right.size(*l)).unwrap_or(1);
    let sizes = |of: &[char]| -> Vec<usize> { of.iter().map(size).collect() };
    let total = |of: &[char]| count(&sizes(of)).ok_or("it is too large");
    let (all, m, k, n) = (total(&batch)?, total(&rows)?, total(&inner)?, total(&columns)?);
    let left = left.ordered(b, name, &[&batch[..], &rows, &inner].concat())?;
    let right = right.ordered(b, name, &[&batch[..], &inner, &columns].concat())?;
    let (left, right) = (left.shaped(vec![all, m, k]), right.shaped(vec![all, k, n]));
    let made = multiplied(b, name, &left, &right)?;
    let letters = [batch, rows, columns].concat();
    let made = Named { value: made.shaped(sizes(&letters)).into(), letters };
    made.ordered(b, name, output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equations() {
        let read = |equation: &str, ranks: &[usize]| {
            parsed(equation, ranks).map(|(all, output)| {
                let text = |letters: &Vec<char>| letters.iter().collect::<String>();
                (all.iter().map(text).collect::<Vec<_>>().join(","), text(&output))
            })
        };
        let two = |a: &str, b: &str| Ok((a.to_owned(), b.to_owned()));
        assert_eq!(read("bi, oi -> bo", &[2, 2]), two("bi,oi", "bo"));
        assert_eq!(read("bi,io", &[2, 2]), two("bi,io", "bo"));
        let dots = two("\u{2460}\u{2461}i,io", "\u{2460}\u{2461}o");
        assert_eq!(read("...i,io->...o", &[3, 2]), dots);
        assert_eq!(read("ii", &[2]), two("ii", ""));
        for (equation, ranks) in [
            ("ij,jk->il", &[2, 2][..]),
            ("ij->ii", &[2]),
            ("ij,jk", &[2]),
            ("i1->i", &[2]),
            ("ij", &[3]),
        ] {
            assert!(read(equation, ranks).is_err(), "{equation}");
        }
    }
}
