//! Section 12: activations by comparison.
//!
//! What both parties share stands side by side, the server's first. Frames are made element by
//! element, then joined.

use super::{
    Extension, Function, LABEL, Labels, MASK, Op, Prediction, Seed, Session, Stream, Trees, bit,
    circuit, derive, pack, packed, ring, signed, tmmo,
};
use std::collections::BTreeMap;

/// Shares of a bit.
type Shared = [bool; 2];

fn xor(a: Shared, b: Shared) -> Shared {
    [a[0] ^ b[0], a[1] ^ b[1]]
}

/// A field of a frame: value, width.
type Field = (u64, u32);

fn flag(x: bool) -> Field {
    (x.into(), 1)
}

fn low(x: u128, bits: u32) -> u64 {
    (x % (1 << bits)) as u64
}

// -------------------------------------------------------------------------------------------------
// 12.1 Which operations

/// A comparison of one element: Relu or Identity from a ring with a shift into a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    relu: bool,
    ring: u32,
    shift: u32,
    ring_out: u32,
}

/// What a party does in a stage.
type OfStage<'a> = dyn FnMut(Shape, &[i128], &[i128], i128) -> Vec<i128> + 'a;

/// The stages of an operation on the shares `x` of one party. To `stage` go the shape, what is
/// compared, and for each element `before` and a sign: it gives shares of `before ± F(x)`, of which
/// the constants in `before` are the server's.
fn through(op: Op, server: bool, x: &[i128], stage: &mut OfStage<'_>) -> Vec<i128> {
    let (function, shift, ring_out) = op.function().unwrap();
    let (ring, shift) = (op.ring(), shift.into());
    let none = vec![0; x.len()];
    let relu = |ring, ring_out| Shape { relu: true, ring, shift: 0, ring_out };
    let of_input = |relu, shift, ring_out| Shape { relu, ring, shift, ring_out };
    let minus = |a: &[i128], b: &[i128]| a.iter().zip(b).map(|(a, b)| a - b).collect::<Vec<_>>();
    let b = ring - shift;
    match function {
        Function::Identity | Function::Relu => {
            let is_relu = function == Function::Relu;
            let mut v = stage(of_input(is_relu, shift, ring_out), x, &none, 1);
            if let Op::MaxPool { .. } = op {
                let mut rows: Vec<Vec<i128>> = op
                    .windows()
                    .iter()
                    .map(|window| window.iter().map(|&i| v[i]).collect())
                    .collect();
                while rows[0].len() > 1 {
                    let of_pairs = |place: usize| {
                        rows.iter()
                            .flat_map(|r| r.chunks_exact(2).map(move |p| p[place]))
                            .collect::<Vec<_>>()
                    };
                    let (x, y) = (of_pairs(0), of_pairs(1));
                    let mut greater = stage(
                        relu(if is_relu { b } else { b + 1 }, ring_out),
                        &minus(&y, &x),
                        &x,
                        1,
                    )
                    .into_iter();
                    for row in &mut rows {
                        *row = row
                            .chunks(2)
                            .map(|p| if p.len() == 2 { greater.next().unwrap() } else { p[0] })
                            .collect();
                    }
                }
                v = rows.concat();
            }
            v
        }
        Function::Clip { lo, hi } => {
            let (low, high) = (lo >> shift, hi >> shift);
            let limit = |x: i64| vec![if server { x.into() } else { 0 }; none.len()];
            let (lower, upper) = (low != 0 && low > -1 << (b - 1), high < 1 << (b - 1));
            let after_lower = if low == 0 { b } else { b + 1 };
            let last = if upper { after_lower } else { ring_out };
            let mut v =
                stage(of_input(low == 0, shift, if lower { b + 1 } else { last }), x, &none, 1);
            if lower {
                v = stage(relu(b + 1, last), &minus(&v, &limit(low)), &limit(low), 1);
            }
            if upper {
                v = stage(relu(after_lower, ring_out), &minus(&limit(high), &v), &limit(high), -1);
            }
            v
        }
        Function::Leaky { m, e } => {
            let wide = ring + m.ilog2() + 1;
            let above = stage(of_input(false, shift, b + 1), x, &none, 1);
            let whole = stage(of_input(false, 0, wide), x, &none, 1);
            let product: Vec<i128> = whole.iter().map(|x| i128::from(m) * x).collect();
            let sloped = Shape {
                relu: false,
                ring: wide,
                shift: shift + u32::from(e),
                ring_out: ring_out.max(b + 1),
            };
            let below = stage(sloped, &product, &none, 1);
            stage(relu(b + 1, ring_out), &minus(&above, &below), &below, 1)
        }
    }
}

/// The stages of an operation, and how many elements each has.
fn stages(op: Op) -> Vec<(Shape, usize)> {
    let mut all = vec![];
    through(op, false, &vec![0; op.inputs()], &mut |shape, x, _, _| {
        all.push((shape, x.len()));
        vec![0; x.len()]
    });
    all
}

/// Whether there is a comparison for an operation.
fn possible(op: Op) -> bool {
    let Some((function, shift, ring_out)) = op.function() else { return false };
    let (ring, shift) = (op.ring(), u32::from(shift));
    let b = ring - shift;
    let has_function = match function {
        Function::Relu => true,
        Function::Identity => shift > 0 || ring_out > ring,
        Function::Clip { lo, hi } => {
            let (low, high, half) = (lo >> shift, hi >> shift, 1 << (b - 1));
            let idle = low <= -half && high >= half;
            low < half && high >= -half && (!idle || shift > 0 || ring_out > ring)
        }
        Function::Leaky { m, e } => {
            let w = m.ilog2() + 1;
            u32::from(m) <= 1 << e && ring + w <= 44 && shift + u32::from(e) + 2 <= ring + w
        }
    };
    let pool = match op {
        Op::MaxPool { .. } => {
            op.windows()[0].len() > 1
                && if function == Function::Relu { b <= ring_out } else { b < ring_out }
        }
        _ => true,
    };
    has_function && pool && b >= 2
}

/// What decides about an operation. Bytes are those of one prediction.
pub struct Choice {
    /// Bytes that the comparison saves.
    pub saved: i64,
    /// Bytes of corrections, forward and backward.
    pub corrections: [usize; 2],
    /// Bytes of each message.
    pub messages: Vec<usize>,
}

impl Choice {
    /// The choice for an operation that has a comparison.
    pub fn of(op: Op, k: usize) -> Option<Self> {
        if !possible(op) {
            return None;
        }
        let group_bytes = |ots: usize| ots.div_ceil(128) * 2048 / k;
        let (circuit, (_, _, ring_out)) = (circuit(op).unwrap(), op.function().unwrap());
        let (windows, ring) = (op.windows(), op.ring() as usize);
        let elements = windows.concat().len();
        let tables = windows.len() * circuit.ands() * 32;
        let colours = packed(windows.len(), ring_out);
        let garbled = tables
            + elements * ring * 16
            + colours
            + group_bytes(elements * ring + windows.len() * ring_out as usize);
        let (mut ots, mut messages) = ([0; 2], vec![]);
        for (shape, count) in stages(op) {
            ots.iter_mut().zip(shape.ots()).for_each(|(sum, each)| *sum += count * each);
            messages.extend(
                shape
                    .frames()
                    .iter()
                    .map(|frame| packed(count, frame.iter().map(|field| field.1).sum())),
            );
        }
        let corrections = ots.map(group_bytes);
        let saved = garbled as i64 - corrections.iter().chain(&messages).sum::<usize>() as i64;
        Some(Self { saved, corrections, messages })
    }

    /// Round trips of the comparison.
    pub fn round_trips(&self) -> usize {
        self.messages.len() / 2
    }

    /// Whether the operation is run so where a round trip is worth `2^n` bytes.
    pub fn taken(&self, n: u8) -> bool {
        self.saved > 0 && self.saved >= (self.round_trips() as i64 - 1) << n
    }
}

// -------------------------------------------------------------------------------------------------
// 12.2 The comparison

impl Shape {
    /// N.
    fn compared(self) -> u32 {
        match self.relu {
            true => self.ring - 1,
            false if self.ring_out > self.ring - self.shift => self.ring,
            false => self.shift,
        }
    }

    /// Number, lowest bit, and width of each leaf.
    fn leaves(self) -> Vec<(usize, u32, u32)> {
        let mut leaves = vec![];
        let high = if self.shift == 0 { 0 } else { 16 };
        for (number, from, to) in [(0, 0, self.shift), (high, self.shift, self.compared())] {
            let (bits, mut at) = (to - from, from);
            let digits = bits.div_ceil(4);
            for i in 0..digits {
                let width = bits / digits + u32::from(i < bits % digits);
                leaves.push((number + i as usize, at, width));
                at += width;
            }
        }
        leaves
    }

    /// Number and level of each node.
    fn nodes(self) -> Vec<(usize, usize)> {
        let mut nodes: Vec<_> = self
            .leaves()
            .iter()
            .skip(1)
            .map(|&(t, ..)| (t, t.trailing_zeros() as usize + 1))
            .collect();
        let others = nodes.iter().filter(|node| node.0 != 16).map(|node| node.1).max().unwrap_or(0);
        nodes.iter_mut().filter(|node| node.0 == 16).for_each(|root| root.1 = others + 1);
        nodes
    }

    /// Bits of the result that the carry out of all bits (Identity), or the sign (Relu) reaches: ω.
    fn reach(self) -> u32 {
        self.ring_out.saturating_sub(self.ring - self.shift - u32::from(self.relu))
    }

    fn choices(self) -> usize {
        usize::from(self.relu) + usize::from(self.shift > 0) + usize::from(self.reach() > 0)
    }

    /// OTs of an element, forward and backward.
    fn ots(self) -> [usize; 2] {
        let nodes = self.nodes().len();
        [self.compared() as usize + nodes + usize::from(self.relu), nodes + self.choices()]
    }

    /// The frames of an element: what they are made of, whatever it is.
    fn frames(self) -> Vec<Vec<Field>> {
        let [forward, backward] =
            self.ots().map(|ots| Labels { t: vec![0; ots], q: vec![0; ots], ..Labels::default() });
        let element = Element { c: 0, r: 0, random: [0; 2], forward, backward };
        Play::new(&element, self, &Keys { forward: (0, 0), backward: (0, 0), tweak: 0 }, 0).run().0
    }
}

// -------------------------------------------------------------------------------------------------
// 12.3 OTs

/// The other direction's OTs of one Prepare.
pub struct Backward {
    key: u128,
    pub ots: Extension,
}

/// An element that waits for the server's share.
#[derive(Clone)]
struct Element {
    /// The client's share of what is compared.
    c: u64,
    /// That of the result.
    r: u64,
    /// Random bits of the server and of the client.
    random: [u64; 2],
    forward: Labels,
    backward: Labels,
}

/// A stage that waits for the server's shares.
#[derive(Clone)]
struct Stage {
    shape: Shape,
    elements: Vec<Element>,
}

/// An operation that waits for the server's shares.
#[derive(Clone, Default)]
pub struct Ready {
    stages: Vec<Stage>,
    /// Those of the backward OTs; if tables are streamed, with their mask.
    pub corrections: Vec<u8>,
    /// If tables are streamed, their proof.
    proof: Vec<u8>,
}

impl Session<'_> {
    /// Base OTs of the backward OTs, if any operation is compared: their corrections, and the start
    /// of the Tables frame.
    pub(super) fn start_backward(&mut self, seeds: [Seed; 2]) -> (Vec<u8>, Vec<u8>) {
        self.backward = None;
        if !self.compared.contains(&true) {
            return (vec![], vec![]);
        }
        let key = tmmo(self.session, 0, 1 << 126);
        let [mut roots, mut of_client] =
            [0, 1].map(|party| Stream::new(derive(seeds[1 - party], (1 << 32) - 1), LABEL, 0));
        let delta = of_client.block() | 1;
        let trees = Trees::new(key, self.options.k, || roots.block());
        let choices: Vec<bool> = (0..128).map(|j| bit(delta, j)).collect();
        let labels = self.ots.transfer(&choices);
        let mut start = vec![];
        for (j, &(m0, m1)) in trees.messages().iter().enumerate() {
            let pad = |x: u128| {
                tmmo(
                    self.session,
                    x,
                    (1 << 126) + (u128::from(self.prepared + 1) << 64) + j as u128,
                )
            };
            start.extend((m0 ^ pad(labels.q[j])).to_le_bytes());
            start.extend((m1 ^ pad(labels.q[j] ^ self.ots.delta)).to_le_bytes());
        }
        let mut ots = Extension::new(trees.of_session(key), delta);
        if !self.options.streamed {
            start.extend(ots.start());
        }
        self.backward = Some(Backward { key, ots });
        (labels.corrections, start)
    }

    /// The OTs of an operation, and the corrections of those forward.
    pub(super) fn compare(
        &mut self,
        op: Op,
        o: usize,
        number: u64,
        p: &Prediction,
    ) -> (Ready, Vec<u8>) {
        let stock = self.options.stock as u64;
        let mut streams = self.seeds.map(|seed| {
            let later = derive(derive(seed, 5), number / stock);
            Stream::new(derive(later, (1 << 32) + o as u64), MASK, number % stock)
        });
        let backward = self.backward.as_mut().unwrap();
        let last = self::stages(op).len() - 1;
        let (mut stages, mut choices) = (vec![], [vec![], vec![]]);
        let x: Vec<i128> = p.client[o].iter().map(|&x| x.into()).collect();
        through(op, false, &x, &mut |shape, x, before, sign| {
            let [bits, nodes] = [shape.compared() as usize, shape.nodes().len()];
            let [_, back] = shape.ots();
            let (mut elements, mut results) = (vec![], vec![]);
            for (e, (&x, &before)) in x.iter().zip(before).enumerate() {
                let drawn = streams[0].u64() % (1 << shape.ring_out);
                let result =
                    i128::from(if stages.len() == last { p.client[o + 1][e] } else { drawn });
                let random = [streams[1].u64(), streams[0].u64()];
                let c = ring(x, shape.ring);
                choices[0].extend((0..bits).map(|b| c >> b & 1 == 1));
                choices[0]
                    .extend((0..nodes + usize::from(shape.relu)).map(|j| random[1] >> j & 1 == 1));
                choices[1].extend((0..back).map(|j| random[0] >> j & 1 == 1));
                let r = ring(sign * (result - before), shape.ring_out);
                elements.push(Element {
                    c,
                    r,
                    random,
                    forward: Labels::default(),
                    backward: Labels::default(),
                });
                results.push(result);
            }
            stages.push(Stage { shape, elements });
            results
        });
        let streamed = self.options.streamed;
        let mut corrections = if streamed { backward.ots.start() } else { vec![] };
        let [forward, back] = [self.ots.transfer(&choices[0]), backward.ots.transfer(&choices[1])];
        corrections.extend(back.corrections);
        let proof = if streamed { backward.ots.finish() } else { vec![] };
        let mut at = [0; 2];
        for stage in &mut stages {
            let ots = stage.shape.ots();
            for element in &mut stage.elements {
                for (direction, (t, q)) in
                    [(&forward.t, &forward.q), (&back.t, &back.q)].into_iter().enumerate()
                {
                    let own = at[direction]..at[direction] + ots[direction];
                    at[direction] = own.end;
                    let labels = Labels {
                        corrections: vec![],
                        t: t[own.clone()].to_vec(),
                        q: q[own].to_vec(),
                    };
                    *[&mut element.forward, &mut element.backward][direction] = labels;
                }
            }
        }
        (Ready { stages, corrections, proof }, forward.corrections)
    }

    /// The messages of an operation on the server's shares, and its shares of the results.
    pub(super) fn select(&mut self, op: Op, layer: u64, ready: &Ready, server: &[u64]) -> Vec<u64> {
        let backward = self.backward.as_ref().unwrap();
        let mut keys = Keys {
            forward: (self.session, self.ots.delta),
            backward: (backward.key, backward.ots.delta),
            tweak: u128::from(layer) << 40,
        };
        let mut first = self.options.streamed.then_some(ready);
        let mut stages_left = ready.stages.iter();
        let mut results = vec![];
        let x: Vec<i128> = server.iter().map(|&x| x.into()).collect();
        let last = through(op, true, &x, &mut |_, x, before, sign| {
            let Stage { shape, elements, .. } = stages_left.next().unwrap();
            let mut frames: Vec<Vec<Field>> = vec![vec![]; shape.frames().len()];
            let mut shares = vec![];
            for ((element, &x), before) in elements.iter().zip(x).zip(before) {
                let server = ring(x, shape.ring);
                let (fields, share) = Play::new(element, *shape, &keys, server).run();
                let y = signed(
                    ring(i128::from(server) + i128::from(element.c), shape.ring),
                    shape.ring,
                );
                let expected = i128::from(if shape.relu { y.max(0) } else { y } >> shape.shift);
                assert_eq!(
                    ring(i128::from(share) + i128::from(element.r), shape.ring_out),
                    ring(expected, shape.ring_out),
                    "{shape:?}"
                );
                frames.iter_mut().zip(fields).for_each(|(frame, fields)| frame.extend(fields));
                shares.push(before + sign * i128::from(share));
                keys.tweak += 1 << 8;
            }
            for (number, frame) in frames.into_iter().enumerate() {
                let mut payload = pack(frame);
                if let Some(Ready { corrections, proof, .. }) = first.take() {
                    payload = [corrections, &payload, proof].map(|part| &part[..]).concat();
                }
                results.push((number % 2 == 1, payload));
            }
            shares
        });
        for (up, payload) in results {
            self.send(up, 22, payload);
        }
        last.into_iter().map(|x| ring(x, op.function().unwrap().2)).collect()
    }
}

// -------------------------------------------------------------------------------------------------
// 12.4 What OTs are good for

/// The key of the hash and Δ of each direction; the tweak of the element.
struct Keys {
    forward: (u128, u128),
    backward: (u128, u128),
    tweak: u128,
}

/// The OTs of one direction of an element.
struct Direction<'a> {
    labels: &'a Labels,
    key: u128,
    delta: u128,
    tweak: u128,
}

impl Direction<'_> {
    /// The sender's hash for a value of OT `j`, `further` on.
    fn sent(&self, j: usize, value: bool, further: u128) -> u128 {
        tmmo(
            self.key,
            self.labels.q[j] ^ if value { self.delta } else { 0 },
            self.tweak + j as u128 + further,
        )
    }

    /// The receiver's hash.
    fn received(&self, j: usize, further: u128) -> u128 {
        tmmo(self.key, self.labels.t[j], self.tweak + j as u128 + further)
    }

    /// The sender's masks of a node, and shares of the receiver's random bit times them: the
    /// sender's, the receiver's.
    fn masks(&self, j: usize) -> (u128, u128, u128) {
        let sent = self.sent(j, false, 0);
        (sent ^ self.sent(j, true, 0), sent, self.received(j, 0))
    }
}

/// Shares of a node's random `a`, of its masks `b` of each operand, and of `a·b`.
struct Masks {
    a: Shared,
    b: [Shared; 3],
    ab: [Shared; 3],
}

impl Masks {
    /// The masks of OT `at` forward and `back` backward.
    fn new(
        a: Shared,
        (forward, at): (&Direction<'_>, usize),
        (backward, back): (&Direction<'_>, usize),
    ) -> Self {
        let (of_server, sent, received) = forward.masks(at);
        let (of_client, sent_back, received_back) = backward.masks(back);
        let b = [0, 1, 2].map(|v| [bit(of_server, v), bit(of_client, v)]);
        let ab = [0, 1, 2].map(|v| {
            let crossed = [bit(sent ^ received_back, v), bit(received ^ sent_back, v)];
            xor(crossed, [a[0] & b[v][0], a[1] & b[v][1]])
        });
        Self { a, b, ab }
    }
}

/// Half `half` of a hash.
fn half(hash: u128, half: bool) -> u128 {
    hash >> (64 * u32::from(half))
}

// -------------------------------------------------------------------------------------------------
// 12.5, 12.6 Messages and selection

/// A term of the result: its choices, the lowest first; the value for each of theirs; width,
/// logarithm of the factor.
struct Term {
    choices: Vec<usize>,
    values: Vec<i128>,
    width: u32,
    factor: u32,
}

/// Both parties at one element.
struct Play<'a> {
    shape: Shape,
    element: &'a Element,
    /// The server's share.
    s: u64,
    forward: Direction<'a>,
    backward: Direction<'a>,
    /// Number and level of each node.
    nodes: Vec<(usize, usize)>,
    frames: Vec<Vec<Field>>,
    /// G and P of the run of digits that starts at each leaf.
    g: BTreeMap<usize, Shared>,
    p: BTreeMap<usize, Shared>,
    /// The carry into the high part, and times the sign.
    k: Shared,
    q: Shared,
}

impl<'a> Play<'a> {
    fn new(element: &'a Element, shape: Shape, keys: &Keys, server: u64) -> Self {
        let direction = |labels, (key, delta)| Direction { labels, key, delta, tweak: keys.tweak };
        let nodes = shape.nodes();
        let round_trips =
            nodes.iter().map(|node| node.1).max().map_or(1, |levels| levels.div_ceil(2) + 1);
        Self {
            shape,
            element,
            s: if shape.relu {
                server
            } else {
                ring(i128::from(server) + (1 << (shape.ring - 1)), shape.ring)
            },
            forward: direction(&element.forward, keys.forward),
            backward: direction(&element.backward, keys.backward),
            nodes,
            frames: vec![vec![]; 2 * round_trips],
            g: BTreeMap::new(),
            p: BTreeMap::new(),
            k: [false; 2],
            q: [false; 2],
        }
    }

    /// The fields of each frame, and the server's share of the result.
    fn run(mut self) -> (Vec<Vec<Field>>, u64) {
        self.shape.leaves().into_iter().for_each(|leaf| self.leaf(leaf));
        let levels = self.nodes.iter().map(|node| node.1).max().unwrap_or(0);
        (1..=levels).for_each(|level| self.level(level));
        if !self.shape.relu && self.shape.compared() == self.shape.shift {
            self.k = self.g[&0];
        }
        let share = self.select();
        (self.frames, share)
    }

    fn leaf(&mut self, (number, at, width): (usize, u32, u32)) {
        let [a, b] = [self.s, self.element.c].map(|x| x >> at & ((1 << width) - 1));
        let wide = if number > 0 { 2 } else { 1 };
        let ots = at as usize..(at + width) as usize;
        let hashes: Vec<[u128; 2]> = ots
            .clone()
            .map(|j| [false, true].map(|value| self.forward.sent(j, value, 0)))
            .collect();
        let cut = |pads: u128, i: u64| low(pads >> (2 * i), wide);
        let entry = |i: u64| {
            u64::from(a + i >= 1 << width)
                | if number > 0 && a + i == (1 << width) - 1 { 2 } else { 0 }
        };
        let pad = |i: u64| {
            cut(
                hashes
                    .iter()
                    .enumerate()
                    .fold(0, |sum, (b, of_values)| sum ^ of_values[(i >> b & 1) as usize]),
                i,
            )
        };
        let server = entry(0) ^ pad(0);
        let sent: Vec<u64> = (1..1 << width).map(|i| entry(i) ^ pad(i) ^ server).collect();
        let known = cut(ots.fold(0, |sum, j| sum ^ self.forward.received(j, 0)), b);
        let client = known ^ if b > 0 { sent[b as usize - 1] } else { 0 };
        self.frames[0].extend(sent.iter().map(|&entry| (entry, wide)));
        self.g.insert(number, [server & 1 == 1, client & 1 == 1]);
        self.p.insert(number, [server >> 1 == 1, client >> 1 == 1]);
    }

    /// w: the exclusive or of the highest bits.
    fn w(&self) -> Shared {
        [self.s, self.element.c].map(|x| x >> (self.shape.ring - 1) & 1 == 1)
    }

    /// Opens `x ⊕ mask`: each party's share goes into its frame of the level.
    fn open(&mut self, level: usize, x: Shared, mask: Shared) -> bool {
        let shares = xor(x, mask);
        self.frames[level / 2 * 2].push(flag(shares[0]));
        self.frames[(level - 1) / 2 * 2 + 1].push(flag(shares[1]));
        shares[0] ^ shares[1]
    }

    fn level(&mut self, level: usize) {
        for (place, (t, _)) in
            self.nodes.clone().into_iter().enumerate().filter(|(_, node)| node.1 == level)
        {
            let u = t - (1 << t.trailing_zeros());
            let (x, operands) = match t {
                16 if self.shape.relu => (self.g[&0], vec![self.p[&t], self.g[&t], self.w()]),
                16 => (self.g[&0], vec![self.p[&t]]),
                _ if t.is_power_of_two() => (self.p[&t], vec![self.g[&u]]),
                _ => (self.p[&t], vec![self.g[&u], self.p[&u]]),
            };
            let a = self.element.random.map(|random| random >> place & 1 == 1);
            let Masks { a, b, ab } = Masks::new(
                a,
                (&self.forward, self.shape.compared() as usize + place),
                (&self.backward, place),
            );
            let d = self.open(level, x, a);
            let mut products = vec![];
            for (v, &y) in operands.iter().enumerate() {
                let e = self.open(level, y, b[v]);
                let share = |party: usize| (d & b[v][party]) ^ (e & a[party]) ^ ab[v][party];
                products.push([share(0) ^ (d & e), share(1)]);
            }
            if t == 16 {
                self.k = x;
                self.q = products.iter().fold(x, |q, &product| xor(q, product));
            } else if let [_, of_p] = products[..] {
                self.p.insert(u, of_p);
            }
            self.g.insert(u, xor(self.g[&t], products[0]));
        }
    }

    /// What of a share is left behind the shift.
    fn truncated(&self, share: u64) -> i128 {
        let Shape { relu, ring, shift, .. } = self.shape;
        i128::from(if relu { share % (1 << (ring - 1)) } else { share } >> shift)
    }

    /// p: whether the sign is positive.
    fn positive(&self) -> Shared {
        xor(xor(self.w(), self.g[&0]), [true, false])
    }

    /// The server's choices, and the terms as the client knows them.
    fn terms(&self) -> (Vec<bool>, Vec<Term>) {
        let Shape { relu, ring, shift, ring_out } = self.shape;
        let reach = self.shape.reach();
        let (mut choices, mut terms) = (vec![], vec![]);
        let mut single = |choice: Shared, times: i128, width: u32, factor: u32| {
            let values = [false, true].map(|b| i128::from(b ^ choice[1]) * times).to_vec();
            terms.push(Term { choices: vec![choices.len()], values, width, factor });
            choices.push(choice[0]);
        };
        if relu {
            single(self.positive(), self.truncated(self.element.c), ring_out, 0);
        }
        if shift > 0 {
            single(if relu { self.q } else { self.k }, 1, ring_out, 0);
        }
        if reach > 0 && !relu {
            single(self.g[&0], -1, reach, ring - shift);
        }
        if reach > 0 && relu {
            let value = |b: u8| {
                -i128::from((b & 1 == 1) ^ self.positive()[1])
                    * i128::from((b & 2 == 2) ^ self.w()[1])
            };
            let values = (0..4).map(value).collect();
            terms.push(Term {
                choices: vec![0, choices.len()],
                values,
                width: reach,
                factor: ring - 1 - shift,
            });
            choices.push(self.w()[0]);
        }
        (choices, terms)
    }

    /// 12.6: the last frames, and the server's share of the result.
    fn select(&mut self) -> u64 {
        let Shape { relu, ring: bits, shift, ring_out } = self.shape;
        let (choices, terms) = self.terms();
        let nodes = self.nodes.len();
        let value = |choice: usize| self.element.random[0] >> (nodes + choice) & 1 == 1;
        let deltas: Vec<bool> =
            choices.iter().enumerate().map(|(i, &choice)| choice ^ value(i)).collect();
        let (mut up, mut down): (Vec<Field>, Vec<Field>) =
            (vec![], deltas.iter().map(|&delta| flag(delta)).collect());
        let (mut base, mut share) = (-i128::from(self.element.r), self.truncated(self.s));
        if relu {
            let sign = |x: bool| if x { -1 } else { 1 };
            let (p, own) = (self.positive(), share);
            let rho = self.element.random[1] >> nodes & 1 == 1;
            let j = self.shape.compared() as usize + nodes;
            let hashes = [
                self.forward.sent(j, false, 0),
                self.forward.sent(j, true, 0),
                self.forward.received(j, 0),
            ];
            let [h0, h1, h] = hashes.map(|hash| i128::from(low(hash, ring_out)));
            let alpha = sign(p[0]) * own;
            let kappa = ring(h0 + alpha - h1, ring_out);
            let delta = p[1] ^ rho;
            down.push((kappa, ring_out));
            up.push(flag(delta));
            base += sign(delta) * (h + i128::from(rho) * i128::from(kappa));
            share = i128::from(p[0]) * own + i128::from(delta) * alpha - sign(delta) * h0;
        } else {
            share -= 1 << (bits - 1 - shift);
            base += self.truncated(self.element.c);
        }
        let mut corrections = vec![];
        for Term { choices: of, values, width, factor } in &terms {
            // Pads are those of the OTs' values: of both choices each other's value says which
            // half.
            let (sent, received) = (
                |i: usize, ot, on| self.backward.sent(nodes + of[i], ot, on),
                |i, on| self.backward.received(nodes + i, on),
            );
            let pad = |b: usize| {
                let ot = |i: usize| (b >> i & 1 == 1) ^ deltas[of[i]];
                low(
                    if of.len() == 1 {
                        sent(0, ot(0), 0)
                    } else {
                        half(sent(0, ot(0), 128), ot(1)) ^ half(sent(1, ot(1), 0), ot(0))
                    },
                    *width,
                )
            };
            let servers = match of[..] {
                [p, m] => half(received(p, 128), value(m)) ^ half(received(m, 0), value(p)),
                _ => received(of[0], 0),
            };
            let masked: Vec<i128> =
                values.iter().enumerate().map(|(b, e)| e - i128::from(pad(b))).collect();
            let fields: Vec<u64> = masked.iter().map(|x| ring(x - masked[0], *width)).collect();
            let chosen = of
                .iter()
                .enumerate()
                .map(|(i, &choice)| usize::from(choices[choice]) << i)
                .sum::<usize>();
            base += masked[0] << factor;
            share += (i128::from(low(servers, *width)) + i128::from(fields[chosen])) << factor;
            corrections.extend(fields[1..].iter().map(|&x| (x, *width)));
        }
        let base = ring(base, ring_out);
        up.push((base, ring_out));
        up.extend(corrections);
        let last = self.frames.len() - 2;
        self.frames[last].extend(down);
        self.frames[last + 1].extend(up);
        ring(share + i128::from(base), ring_out)
    }
}
