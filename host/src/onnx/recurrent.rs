//! LSTM, GRU and RNN, one step after the other: the sequence has a fixed length.
//!
//! Every step is one linear layer over `[x, h]` that makes all gates, then curves and products
//! (ONNX's operators LSTM, GRU, RNN).

use super::build::Builder;
use super::call::{Call, Computed, Outputs, Value};
use super::tensor::Tensor;
use crate::network::{Activation, Curve, PerElement, Piece, TensorId};
use minionn_core::plan::{MAX_WEIGHTS, View};

/// What a step remembers: known numbers or a tensor.
#[derive(Clone)]
enum State {
    Known(Vec<f64>),
    At(TensorId),
}

/// The weights of one direction: `W [gates·hidden, input]`, `R [gates·hidden, hidden]` and the two
/// biases of each row.
struct Weights {
    input: Vec<f32>,
    state: Vec<f32>,
    bias: Vec<f64>,
    state_bias: Vec<f64>,
}

/// A recurrent node, its sizes and its weights.
struct Cell<'a> {
    call: &'a Call<'a>,
    x: TensorId,
    /// Steps, numbers of the input and of the state.
    steps: usize,
    input: usize,
    hidden: usize,
    directions: usize,
    reverse: bool,
    batch_first: bool,
}

/// Gates that a linear layer makes: rows of `W` and `R` for each, left out where they do not count.
struct Row {
    gate: usize,
    input: bool,
    state: bool,
}

const fn row(gate: usize) -> Row {
    Row { gate, input: true, state: true }
}

fn slice<T: Clone>(all: &[T], at: usize, len: usize) -> Vec<T> {
    all.get(at * len..(at + 1) * len).unwrap_or_default().to_vec()
}

impl<'a> Cell<'a> {
    /// Checks what the three operators have in common.
    fn new(
        call: &'a Call<'a>,
        gates: usize,
        own: &[&str],
        activations: &[&str],
    ) -> Result<Self, String> {
        let known = ["activations", "direction", "hidden_size", "layout"];
        call.only(if gates == 4 { 8 } else { 6 }, &[&known[..], own].concat())?;
        let x = call.computed(0)?;
        let &[first, second, input] = &x.dims[..] else {
            return Err(format!("shape {:?} is not [steps, batch, numbers]", x.dims));
        };
        let batch_first = call.flag("layout", false)?;
        let (steps, batch) = if batch_first { (second, first) } else { (first, second) };
        if batch != 1 {
            return Err(format!("shape {:?} has a batch of {batch}: 1 is supported", x.dims));
        }
        let (reverse, directions) = match call.text("direction", "forward")?.as_str() {
            "forward" => (false, 1),
            "reverse" => (true, 1),
            "bidirectional" => (false, 2),
            other => {
                return Err(format!(
                    "direction is {other}: forward, reverse and bidirectional are supported"
                ));
            }
        };
        let (w, r) = (call.constant(1)?, call.constant(2)?);
        let &[_, rows, hidden] = &r.dims[..] else {
            return Err(format!("its weights R have shape {:?}", r.dims));
        };
        let asked = call.int("hidden_size", hidden as i64)?;
        let fits = r.dims == [directions, rows, hidden] && w.dims == [directions, rows, input];
        if !fits || hidden == 0 || hidden.checked_mul(gates) != Some(rows) || asked != hidden as i64
        {
            return Err(format!(
                "its weights W {:?} and R {:?} do not fit {directions} directions, {input} \
                 numbers in and hidden_size {asked}",
                w.dims, r.dims
            ));
        }
        if let Some(lens) = call.optional_constant(4)?
            && lens.ints()? != [steps as i64]
        {
            return Err(format!(
                "sequence_lens is {:?}: only the whole sequence, {steps}, is supported",
                lens.ints()?
            ));
        }
        let wanted = activations.repeat(directions);
        if let Some(found) = call.texts("activations")?
            && (found.len() != wanted.len()
                || found.iter().zip(&wanted).any(|(f, w)| !f.eq_ignore_ascii_case(w)))
        {
            return Err(format!("activations are {found:?}: only {wanted:?} are supported"));
        }
        let weights = rows as u64 * (input + hidden) as u64 * directions as u64;
        if weights.saturating_mul(steps as u64) > 2 * MAX_WEIGHTS {
            return Err(format!("{weights} weights in each of {steps} steps are too many"));
        }
        Ok(Self { call, x: x.id, steps, input, hidden, directions, reverse, batch_first })
    }

    fn weights(&self, gates: usize, direction: usize) -> Result<Weights, String> {
        let rows = gates * self.hidden;
        let both = match self.call.optional_constant(3)? {
            None => vec![0.0; 2 * rows],
            Some(b) if b.dims == [self.directions, 2 * rows] => {
                slice(&b.numbers(), direction, 2 * rows)
            }
            Some(b) => {
                return Err(format!(
                    "its biases have shape {:?}, [{}, {}] is needed",
                    b.dims,
                    self.directions,
                    2 * rows
                ));
            }
        };
        let part = |tensor: &Tensor, len| slice(&tensor.floats(), direction, len);
        let (w, r) = (self.call.constant(1)?, self.call.constant(2)?);
        Ok(Weights {
            input: part(w, rows * self.input),
            state: part(r, rows * self.hidden),
            bias: slice(&both, 0, rows),
            state_bias: slice(&both, 1, rows),
        })
    }

    /// The state of a direction before its first step.
    fn initial(&self, b: &mut Builder, input: usize, direction: usize) -> Result<State, String> {
        let shape = if self.batch_first {
            [1, self.directions, self.hidden]
        } else {
            [self.directions, 1, self.hidden]
        };
        match self.call.optional(input) {
            None => Ok(State::Known(vec![0.0; self.hidden])),
            Some(value) if value.dims() != shape => {
                Err(format!("input {input} has shape {:?}, {shape:?} is needed", value.dims()))
            }
            Some(Value::Constant(tensor)) => {
                Ok(State::Known(slice(&tensor.numbers(), direction, self.hidden)))
            }
            Some(value) => self
                .part(b, value.number()?.id, direction * self.hidden, self.hidden)
                .map(State::At),
        }
    }

    fn name(&self) -> &str {
        &self.call.name
    }

    fn computed(&self, b: &Builder, id: TensorId) -> Computed {
        Computed::new(id, vec![b.len(id)])
    }

    /// `len` elements of a tensor.
    fn part(
        &self,
        b: &mut Builder,
        of: TensorId,
        from: usize,
        len: usize,
    ) -> Result<TensorId, String> {
        let view = View { from: from as u32, ..View::whole(len as u32) };
        b.arrange(self.name(), vec![of], len, vec![Piece { input: 0, factor: 1.0, view }])
    }

    /// Gate `i` of a tensor of gates.
    fn gate(&self, b: &mut Builder, of: TensorId, i: usize) -> Result<TensorId, String> {
        self.part(b, of, i * self.hidden, self.hidden)
    }

    fn curve(
        &self,
        b: &mut Builder,
        x: TensorId,
        activation: Activation,
    ) -> Result<TensorId, String> {
        let x = self.computed(b, x);
        Ok(b.activation(self.name(), &x, activation)?.id)
    }

    fn sum(&self, b: &mut Builder, terms: &[(f64, TensorId)]) -> Result<TensorId, String> {
        let terms: Vec<(f64, Computed)> =
            terms.iter().map(|&(f, id)| (f, self.computed(b, id))).collect();
        Ok(b.sum(self.name(), &terms.iter().map(|(f, x)| (*f, x)).collect::<Vec<_>>())?.id)
    }

    /// `x·state`; `None` if that is zero.
    fn product(
        &self,
        b: &mut Builder,
        x: TensorId,
        state: &State,
    ) -> Result<Option<TensorId>, String> {
        let x = self.computed(b, x);
        match state {
            State::Known(c) if c.iter().all(|&c| c == 0.0) => Ok(None),
            State::Known(c) => Ok(Some(
                b.affine(self.name(), &x, PerElement::Each(c.clone()), PerElement::One(0.0))?.id,
            )),
            State::At(y) => {
                let y = self.computed(b, *y);
                Ok(Some(b.product(self.name(), &x, &y)?.id))
            }
        }
    }

    /// Gates `rows` of `[x, h]` at one step, one after the other; a known state becomes part of the
    /// bias.
    fn linear(
        &self,
        b: &mut Builder,
        w: &Weights,
        rows: &[Row],
        step: usize,
        h: &State,
    ) -> Result<TensorId, String> {
        let (ni, nh) = (self.input, self.hidden);
        let recurrent = match h {
            State::At(h) => Some(*h),
            State::Known(_) => None,
        };
        let (mut weights, mut biases) = (Vec::new(), Vec::new());
        for (gate, i) in rows.iter().flat_map(|gate| (0..nh).map(move |i| (gate, i))) {
            let i = gate.gate * nh + i;
            let (of_x, of_h) = (slice(&w.input, i, ni), slice(&w.state, i, nh));
            let (bias, state_bias) = (
                w.bias.get(i).copied().unwrap_or(0.0),
                w.state_bias.get(i).copied().unwrap_or(0.0),
            );
            let known = match h {
                State::Known(h) => h.iter().zip(&of_h).map(|(h, &w)| h * f64::from(w)).sum(),
                State::At(_) => 0.0,
            };
            biases.push(
                f64::from(u8::from(gate.input)) * bias
                    + f64::from(u8::from(gate.state)) * (state_bias + known),
            );
            weights.extend(if gate.input { of_x } else { vec![0.0; ni] });
            if recurrent.is_some() {
                weights.extend(if gate.state { of_h } else { vec![0.0; nh] });
            }
        }
        let x = View { from: (step * ni) as u32, ..View::whole(ni as u32) };
        let mut pieces = vec![Piece { input: 0, factor: 1.0, view: x }];
        let mut inputs = vec![self.x];
        if let Some(h) = recurrent {
            inputs.push(h);
            pieces.push(Piece {
                input: 1,
                factor: 1.0,
                view: View { to: ni as u32, ..View::whole(nh as u32) },
            });
        }
        let len = if recurrent.is_some() { ni + nh } else { ni };
        let both = b.arrange(self.name(), inputs, len, pieces)?;
        b.fully_connected(self.name(), both, weights, biases)
    }

    /// The states after every step, in the order of the sequence, and after the last one, of every
    /// direction; then the outputs.
    fn run<F>(&self, b: &mut Builder, gates: usize, states: usize, mut step: F) -> Outputs
    where
        F: FnMut(&mut Builder, &Weights, usize, &[State]) -> Result<Vec<TensorId>, String>,
    {
        let mut all = vec![Vec::new(); states + 1];
        let mut sequence = vec![0; self.steps * self.directions];
        for direction in 0..self.directions {
            let w = self.weights(gates, direction)?;
            let mut state = Vec::new();
            for input in 0..states {
                // Inputs 5 and 6: initial_h and initial_c.
                state.push(self.initial(b, 5 + input, direction)?);
            }
            let backwards = self.reverse || direction == 1;
            for t in 0..self.steps {
                let t = if backwards { self.steps - 1 - t } else { t };
                let after = step(b, &w, t, &state)?;
                let at = t * self.directions + direction;
                sequence.get_mut(at).into_iter().zip(after.first()).for_each(|(s, &h)| *s = h);
                state = after.into_iter().map(State::At).collect();
            }
            for (last, state) in all.iter_mut().skip(1).zip(&state) {
                last.extend(match state {
                    State::At(id) => Some(*id),
                    State::Known(_) => None,
                });
            }
        }
        if let Some(first) = all.first_mut() {
            *first = sequence;
        }
        let (t, d, h) = (self.steps, self.directions, self.hidden);
        let of_states = if self.batch_first { vec![1, d, h] } else { vec![d, 1, h] };
        let of_sequence = if self.batch_first { vec![1, t, d, h] } else { vec![t, d, 1, h] };
        let shapes = core::iter::once(of_sequence).chain(core::iter::repeat_n(of_states, states));
        all.iter()
            .zip(shapes)
            .map(|(parts, dims)| Ok(Computed::new(self.joined(b, parts)?, dims).into()))
            .collect()
    }

    /// States one after the other.
    fn joined(&self, b: &mut Builder, parts: &[TensorId]) -> Result<TensorId, String> {
        let h = self.hidden;
        let view = |i: usize| View { to: (i * h) as u32, ..View::whole(h as u32) };
        let pieces =
            (0..parts.len()).map(|i| Piece { input: i, factor: 1.0, view: view(i) }).collect();
        b.arrange(self.name(), parts.to_vec(), parts.len() * h, pieces)
    }
}

const SIGMOID: Activation = Activation::Curve(Curve::Sigmoid);
const TANH: Activation = Activation::Curve(Curve::Tanh);

/// `c = f∘c + i∘c̃`, `h = o∘tanh(c)`; rows of the weights: i, o, f, c̃.
pub(super) fn lstm(b: &mut Builder, call: &Call<'_>) -> Outputs {
    let cell = Cell::new(call, 4, &["input_forget"], &["Sigmoid", "Tanh", "Tanh"])?;
    if call.flag("input_forget", false)? {
        return Err("input_forget 1 is not supported".into());
    }
    if call.optional(7).is_some() {
        return Err("input 7, the peepholes P, is not supported".into());
    }
    let n = cell.hidden;
    cell.run(b, 4, 2, |b, w, t, state| {
        let [h, c] = state else { return Err("it has no state".into()) };
        let gates = cell.linear(b, w, &[row(0), row(1), row(2), row(3)], t, h)?;
        let open = cell.part(b, gates, 0, 3 * n)?;
        let (open, fresh) = (cell.curve(b, open, SIGMOID)?, cell.gate(b, gates, 3)?);
        let fresh = cell.curve(b, fresh, TANH)?;
        let (i, o, f) = (cell.gate(b, open, 0)?, cell.gate(b, open, 1)?, cell.gate(b, open, 2)?);
        let fresh = cell.product(b, i, &State::At(fresh))?.unwrap_or(fresh);
        let c = match cell.product(b, f, c)? {
            Some(kept) => cell.sum(b, &[(1.0, kept), (1.0, fresh)])?,
            None => fresh,
        };
        let shown = cell.curve(b, c, TANH)?;
        let h = cell.product(b, o, &State::At(shown))?.unwrap_or(shown);
        Ok(vec![h, c])
    })
}

/// `h = h̃ + z∘(h − h̃)`; rows of the weights: z, r, h̃.
pub(super) fn gru(b: &mut Builder, call: &Call<'_>) -> Outputs {
    let cell = Cell::new(call, 3, &["linear_before_reset"], &["Sigmoid", "Tanh"])?;
    let after = call.flag("linear_before_reset", false)?;
    let n = cell.hidden;
    cell.run(b, 3, 1, |b, w, t, state| {
        let [h] = state else { return Err("it has no state".into()) };
        let (of_x, of_h) = (
            Row { gate: 2, input: true, state: false },
            Row { gate: 2, input: false, state: true },
        );
        let all = if after { vec![row(0), row(1), of_x, of_h] } else { vec![row(0), row(1)] };
        let gates = cell.linear(b, w, &all, t, h)?;
        let open = cell.part(b, gates, 0, 2 * n)?;
        let open = cell.curve(b, open, SIGMOID)?;
        let (z, r) = (cell.gate(b, open, 0)?, cell.gate(b, open, 1)?);
        let fresh = if after {
            let (fresh, old) = (cell.gate(b, gates, 2)?, cell.gate(b, gates, 3)?);
            let old = cell.product(b, r, &State::At(old))?.unwrap_or(old);
            cell.sum(b, &[(1.0, fresh), (1.0, old)])?
        } else {
            let kept = cell.product(b, r, h)?;
            let kept = kept.map_or_else(|| State::Known(vec![0.0; n]), State::At);
            cell.linear(b, w, &[row(2)], t, &kept)?
        };
        let fresh = cell.curve(b, fresh, TANH)?;
        let change = match h {
            State::At(h) => cell.sum(b, &[(1.0, *h), (-1.0, fresh)])?,
            State::Known(h) => {
                let fresh = cell.computed(b, fresh);
                b.affine(cell.name(), &fresh, PerElement::One(-1.0), PerElement::Each(h.clone()))?
                    .id
            }
        };
        let change = cell.product(b, z, &State::At(change))?.unwrap_or(change);
        Ok(vec![cell.sum(b, &[(1.0, fresh), (1.0, change)])?])
    })
}

/// `h = f(W·x + R·h + b)`.
pub(super) fn rnn(b: &mut Builder, call: &Call<'_>) -> Outputs {
    let relu = call
        .texts("activations")?
        .and_then(|all| all.first().map(|a| a.eq_ignore_ascii_case("Relu")))
        .unwrap_or(false);
    let cell = Cell::new(call, 1, &[], if relu { &["Relu"] } else { &["Tanh"] })?;
    cell.run(b, 1, 1, |b, w, t, state| {
        let [h] = state else { return Err("it has no state".into()) };
        let sum = cell.linear(b, w, &[row(0)], t, h)?;
        Ok(vec![cell.curve(b, sum, if relu { Activation::Relu } else { TANH })?])
    })
}
