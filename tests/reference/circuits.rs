//! Section 10: circuits and garbling.

use super::{Function, Op, aes, bit, count, log2_up, tmmo};

/// A wire's source; wires are numbered as their sources.
#[derive(Clone, Copy)]
enum Source {
    Server,
    Client,
    Xor(usize, usize),
    Not(usize),
    And(usize, usize),
}

/// A wire or a constant.
#[derive(Clone, Copy)]
enum Bit {
    Constant(bool),
    Wire(usize),
}
use Bit::{Constant, Wire};

/// A list of gates, each with the step it belongs to.
#[derive(Clone, Default)]
pub struct Circuit {
    sources: Vec<(usize, Source)>,
    outputs: Vec<usize>,
    step: usize,
}

/// 10.7: the span of a range.
fn span(ends: [i128; 2]) -> usize {
    ends.map(|x| (0..).find(|&bits| (if x < 0 { -1 - x } else { x }) >> bits == 0).unwrap())
        .into_iter()
        .max()
        .unwrap()
}

/// 10.7: the digits of `m`, place and whether it is 1 (else −1), the lowest first.
fn digits(m: i128) -> Vec<(usize, bool)> {
    let ones: Vec<_> = (0..8).filter(|j| m >> j & 1 == 1).map(|j| (j, true)).collect();
    // No two digits of the non-adjacent form are neighbours: an odd rest becomes a multiple of 4.
    let (mut form, mut rest) = (vec![], m);
    for j in 0..9 {
        if rest & 1 == 1 {
            let positive = rest & 3 == 1;
            form.push((j, positive));
            rest -= if positive { 1 } else { -1 };
        }
        rest >>= 1;
    }
    if form.len() < ones.len() { form } else { ones }
}

/// What garbling one neuron gives. Lists are by step.
#[derive(Clone, Default)]
pub struct Garbled {
    /// The tables.
    pub tables: Vec<Vec<u8>>,
    /// Zero labels of the server's inputs.
    pub server_zero: Vec<Vec<u128>>,
    /// Permute bits of the outputs.
    pub permute: u64,
}

impl Circuit {
    fn source(&mut self, source: Source) -> Bit {
        self.sources.push((self.step, source));
        Wire(self.sources.len() - 1)
    }
    fn not(&mut self, a: Bit) -> Bit {
        match a {
            Constant(a) => Constant(!a),
            Wire(a) => self.source(Source::Not(a)),
        }
    }
    fn xor(&mut self, a: Bit, b: Bit) -> Bit {
        match (a, b) {
            (Constant(false), x) | (x, Constant(false)) => x,
            (Constant(true), x) | (x, Constant(true)) => self.not(x),
            (Wire(a), Wire(b)) => self.source(Source::Xor(a, b)),
        }
    }
    fn and(&mut self, a: Bit, b: Bit) -> Bit {
        match (a, b) {
            (Constant(false), _) | (_, Constant(false)) => Constant(false),
            (Constant(true), x) | (x, Constant(true)) => x,
            (Wire(a), Wire(b)) => self.source(Source::And(a, b)),
        }
    }
    fn maj(&mut self, a: Bit, b: Bit, c: Bit) -> Bit {
        if let (Constant(a), Constant(b)) = (a, b) {
            return if a == b { Constant(a) } else { c };
        }
        let (x, y) = (self.xor(a, c), self.xor(b, c));
        let z = self.and(x, y);
        self.xor(z, c)
    }
    fn mux(&mut self, s: Bit, a: Bit, b: Bit) -> Bit {
        let x = self.xor(a, b);
        let y = self.and(s, x);
        self.xor(y, b)
    }
    fn output(&mut self, a: Bit) {
        let Wire(a) = a else { panic!("a public output") };
        self.outputs.push(a);
    }

    fn reconstruct(&mut self, ring: usize, shift: usize) -> Vec<Bit> {
        let (mut y, mut carry) = (vec![], Constant(false));
        for i in 0..ring {
            let (s, c) = (self.source(Source::Server), self.source(Source::Client));
            let sum = self.xor(s, c);
            y.push(self.xor(sum, carry));
            if i < ring - 1 {
                carry = self.maj(s, c, carry);
            }
        }
        y.split_off(shift)
    }

    fn reshare(&mut self, y: &[Bit], ring: usize) {
        let mut carry = Constant(true);
        for i in 0..ring {
            let (y, r) = (y[i.min(y.len() - 1)], self.source(Source::Client));
            let r = self.not(r);
            let sum = self.xor(y, r);
            let d = self.xor(sum, carry);
            if i < ring - 1 {
                carry = self.maj(y, r, carry);
            }
            self.output(d);
        }
    }

    fn greater(&mut self, a: &[Bit], b: &[Bit]) -> Bit {
        let (mut carry, top) = (Constant(false), a.len() - 1);
        for i in 0..top {
            let not_b = self.not(b[i]);
            carry = self.maj(a[i], not_b, carry);
        }
        let not_sign = self.not(a[top]);
        self.maj(not_sign, b[top], carry)
    }

    /// 10.4.
    pub fn activation(function: Function, ring: usize, shift: usize, ring_out: usize) -> Self {
        let mut c = Self::default();
        let y = match function {
            Function::Identity => c.reconstruct(ring, shift),
            Function::Relu => {
                let mut y = c.reconstruct(ring, shift);
                let w = y.len();
                let positive = c.not(y[w - 1]);
                for y in y.iter_mut().take((w - 1).min(ring_out)) {
                    *y = c.and(*y, positive);
                }
                y[w - 1] = Constant(false);
                y.truncate(ring_out);
                y
            }
            Function::Clip { lo, hi } => {
                let y = c.reconstruct(ring, shift);
                c.clip(&y, (lo >> shift, hi >> shift), ring_out)
            }
            Function::Leaky { m, e } => {
                let y = c.reconstruct(ring, 0);
                c.leaky(&y, i128::from(m), e.into(), shift, ring_out)
            }
        };
        c.reshare(&y, ring_out);
        c
    }

    /// 10.7: whether `y ≥ c`.
    fn reaches(&mut self, y: &[Bit], c: i64) -> Bit {
        let (w, half) = (y.len(), 1 << (y.len() - 1));
        if !(1 - half..half).contains(&c) {
            return Constant(c < half);
        }
        let mut carry = Constant(true);
        for (i, &y) in y.iter().enumerate() {
            let y = if i == w - 1 { self.not(y) } else { y };
            carry = self.maj(y, Constant((c + half) >> i & 1 == 0), carry);
        }
        carry
    }

    /// 10.7.
    fn clip(&mut self, y: &[Bit], (lo, hi): (i64, i64), ring_out: usize) -> Vec<Bit> {
        let (w, half) = (y.len(), 1 << (y.len() - 1));
        let below = self.reaches(y, lo);
        let (below, above) = (self.not(below), self.reaches(y, hi + 1));
        let outside = self.xor(below, above);
        let ends = [-half, half - 1].map(|end: i64| i128::from(end.max(lo).min(hi)));
        let public = (ends[0] < 0) == (ends[1] < 0);
        let bits = span(ends) + usize::from(!public);
        let mut v = vec![];
        for i in 0..bits.min(ring_out) {
            let [low, high] = [(below, lo), (above, hi)]
                .map(|(s, end)| if end >> i & 1 == 1 { s } else { Constant(false) });
            let end = self.xor(low, high);
            v.push(self.mux(outside, end, y[i.min(w - 1)]));
        }
        if public && bits < ring_out {
            v.push(Constant(ends[0] < 0));
        }
        v
    }

    /// 10.7.
    fn leaky(&mut self, y: &[Bit], m: i128, e: usize, shift: usize, ring_out: usize) -> Vec<Bit> {
        let (ring, s, cut) = (y.len(), y[y.len() - 1], e + shift);
        let bits = (cut + ring_out).min(span([-(m << (ring - 1)), -m]));
        let mut p = vec![Constant(false); bits];
        if bits > cut {
            let mut digits = digits(m);
            let first = digits.iter().position(|&(_, positive)| positive).unwrap();
            digits[..=first].rotate_right(1);
            let mut sum = 0;
            for (j, positive) in digits {
                sum += if positive { 1 << j } else { -(1 << j) };
                let end = bits.min(span([-sum, -(sum << (ring - 1))]));
                let mut carry = Constant(!positive);
                for i in j..end {
                    let y = if i - j < ring - 1 { y[i - j] } else { Constant(true) };
                    let y = if positive { y } else { self.not(y) };
                    let added = self.xor(p[i], y);
                    let added = self.xor(added, carry);
                    if i < end - 1 {
                        carry = self.maj(p[i], y, carry);
                    }
                    p[i] = added;
                }
                p[end..].fill(Constant(sum > 0));
            }
        }
        let (r, l) = ((ring - 1).saturating_sub(shift), bits.saturating_sub(cut));
        let mut v = vec![];
        for i in 0..r.max(l).min(ring_out) {
            let negative = if i < l { p[i + cut] } else { Constant(true) };
            let positive = if i < r { y[i + shift] } else { Constant(false) };
            v.push(self.mux(s, negative, positive));
        }
        if v.len() < ring_out {
            v.push(s);
        }
        v
    }

    /// 10.5.
    pub fn max_pool(
        relu: bool,
        ring: usize,
        shift: usize,
        ring_out: usize,
        elements: usize,
    ) -> Self {
        let mut c = Self::default();
        let mut best = c.reconstruct(ring, shift);
        let w = best.len();
        if relu {
            let positive = c.not(best[w - 1]);
            for best in &mut best[..w - 1] {
                *best = c.and(*best, positive);
            }
            best[w - 1] = Constant(false);
        }
        for e in 1..elements {
            c.step = e;
            let y = c.reconstruct(ring, shift);
            let greater = c.greater(&y, &best);
            for i in 0..if relu { w - 1 } else { w } {
                best[i] = c.mux(greater, y[i], best[i]);
            }
        }
        c.reshare(&best, ring_out);
        c
    }

    /// 10.6.
    pub fn argmax(ring: usize, elements: usize) -> Self {
        let mut c = Self::default();
        let mut best = c.reconstruct(ring, 0);
        let mut index = vec![Constant(false); log2_up(elements)];
        for e in 1..elements {
            c.step = e;
            let y = c.reconstruct(ring, 0);
            let greater = c.greater(&y, &best);
            for (i, index) in index.iter_mut().enumerate() {
                *index = c.mux(greater, Constant(e >> i & 1 == 1), *index);
                if e == elements - 1 {
                    c.output(*index);
                }
            }
            if e < elements - 1 {
                for (best, y) in best.iter_mut().zip(y) {
                    *best = c.mux(greater, y, *best);
                }
            }
        }
        c
    }

    fn steps(&self) -> usize {
        self.step + 1
    }

    /// How many AND gates there are.
    pub fn ands(&self) -> usize {
        self.sources.iter().filter(|(_, s)| matches!(s, Source::And(..))).count()
    }

    /// Goes through the gates; `and` gets the step, the gate's number in it, and the operands.
    fn run<W: Copy>(
        &self,
        mut server: impl FnMut(usize, usize) -> W,
        mut client: impl FnMut() -> W,
        xor: impl Fn(W, W) -> W,
        not: impl Fn(W) -> W,
        mut and: impl FnMut(usize, usize, W, W) -> W,
    ) -> Vec<W> {
        let mut wires: Vec<W> = vec![];
        let (mut servers, mut ands) = (vec![0; self.steps()], vec![0; self.steps()]);
        for &(step, source) in &self.sources {
            let wire = match source {
                Source::Server => server(step, count(&mut servers[step])),
                Source::Client => client(),
                Source::Xor(a, b) => xor(wires[a], wires[b]),
                Source::Not(a) => not(wires[a]),
                Source::And(a, b) => and(step, count(&mut ands[step]), wires[a], wires[b]),
            };
            wires.push(wire);
        }
        self.outputs.iter().map(|&o| wires[o]).collect()
    }

    /// On plain bits.
    pub fn plain(
        &self,
        mut server: impl Iterator<Item = bool>,
        mut client: impl Iterator<Item = bool>,
    ) -> u64 {
        let outputs = self.run(
            |_, _| server.next().unwrap(),
            || client.next().unwrap(),
            |a, b| a ^ b,
            |a| !a,
            |_, _, a, b| a && b,
        );
        outputs.iter().enumerate().map(|(i, &o)| u64::from(o) << i).sum()
    }

    /// Garbles neuron `neuron` of layer `layer`.
    pub fn garble(
        &self,
        session: u128,
        own: u128,
        delta: u128,
        layer: u64,
        neuron: usize,
        client_zero: &[u128],
    ) -> Garbled {
        let record = |step: usize| (neuron * self.steps() + step) as u128;
        let if_odd = |x: u128, y: u128| if bit(x, 0) { y } else { 0 };
        let mut garbled = Garbled {
            tables: vec![vec![]; self.steps()],
            server_zero: vec![vec![]; self.steps()],
            permute: 0,
        };
        let Garbled { tables, server_zero, .. } = &mut garbled;
        let mut clients = client_zero.iter();
        let outputs = self.run(
            |step, input| {
                server_zero[step].push(aes(
                    own,
                    (u128::from(layer) << 64) + (record(step) << 16) + input as u128,
                ));
                *server_zero[step].last().unwrap()
            },
            || *clients.next().unwrap(),
            |a, b| a ^ b,
            |a| a ^ delta,
            |step, gate, a, b| {
                let key = aes(session, (u128::from(layer) << 64) + record(step));
                let h = |x: u128, half: usize| tmmo(key, x, (2 * gate + half) as u128);
                let t_g = h(a, 0) ^ h(a ^ delta, 0) ^ if_odd(b, delta);
                let t_e = h(b, 1) ^ h(b ^ delta, 1) ^ a;
                tables[step].extend([t_g.to_le_bytes(), t_e.to_le_bytes()].concat());
                h(a, 0) ^ if_odd(a, t_g) ^ h(b, 1) ^ if_odd(b, t_e ^ a)
            },
        );
        assert!(clients.next().is_none());
        garbled.permute = outputs.iter().enumerate().map(|(i, o)| ((o & 1) as u64) << i).sum();
        garbled
    }

    /// Evaluates it: the colours of the outputs.
    pub fn evaluate(
        &self,
        session: u128,
        layer: u64,
        neuron: usize,
        tables: &[Vec<u8>],
        server: &[Vec<u128>],
        client: &[u128],
    ) -> u64 {
        let if_odd = |x: u128, y: u128| if bit(x, 0) { y } else { 0 };
        let mut clients = client.iter();
        let outputs = self.run(
            |step, input| server[step][input],
            || *clients.next().unwrap(),
            |a, b| a ^ b,
            |a| a,
            |step, gate, a, b| {
                let key = aes(
                    session,
                    (u128::from(layer) << 64) + (neuron * self.steps() + step) as u128,
                );
                let half = |i: usize| {
                    u128::from_le_bytes(
                        tables[step][32 * gate + 16 * i..][..16].try_into().unwrap(),
                    )
                };
                let (t_g, t_e) = (half(0), half(1));
                let h = |x: u128, half: usize| tmmo(key, x, (2 * gate + half) as u128);
                h(a, 0) ^ if_odd(a, t_g) ^ h(b, 1) ^ if_odd(b, t_e ^ a)
            },
        );
        outputs.iter().enumerate().map(|(i, o)| ((o & 1) as u64) << i).sum()
    }
}

/// The circuit of an operation's neurons.
pub fn circuit(op: Op) -> Option<Circuit> {
    match op {
        Op::Activation { ring, ring_out, shift, function, .. } => {
            Some(Circuit::activation(function, ring.into(), shift.into(), ring_out.into()))
        }
        Op::MaxPool { ring, ring_out, shift, function, .. } => {
            let relu = function == Function::Relu;
            Some(Circuit::max_pool(
                relu,
                ring.into(),
                shift.into(),
                ring_out.into(),
                op.windows()[0].len(),
            ))
        }
        Op::Argmax { ring, len } => Some(Circuit::argmax(ring.into(), len as usize)),
        _ => None,
    }
}
