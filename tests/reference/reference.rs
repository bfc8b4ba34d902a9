//! The reference implementation: the protocol as docs/protocol.md describes it, slow and
//! schoolbook, without dependencies. Here is all of it but oblivious transfers (`ots.rs`), circuits
//! (`circuits.rs`) and comparisons (`compare.rs`).
//!
//! It plays both parties at once from their two seeds and writes down every message. Section
//! numbers are those of the document. Where the document leaves two ways, this file takes the one
//! that looks most like a definition: transforms are sums over powers of ψ, rescaling divides
//! exactly, the OT extension adds up all leaves, the sender's labels included. Nothing here is
//! constant time, fast or fit for secrets.

mod circuits;
mod compare;
mod ots;
#[cfg(test)]
mod own;

pub use circuits::{Circuit, Garbled, circuit};
pub use compare::Choice;
pub use ots::{Extension, Labels, Trees, decoded};

// -------------------------------------------------------------------------------------------------
// 1. Notation

/// Packs values of any widths, the first lowest.
pub fn pack(values: impl IntoIterator<Item = (u64, u32)>) -> Vec<u8> {
    let (mut bytes, mut at) = (vec![], 0);
    for (value, bits) in values {
        for i in 0..bits {
            if at % 8 == 0 {
                bytes.push(0);
            }
            *bytes.last_mut().unwrap() |= ((value >> i & 1) as u8) << (at % 8);
            at += 1;
        }
    }
    bytes
}

/// Packs values of one width.
pub fn pack_all(values: &[u64], bits: u32) -> Vec<u8> {
    pack(values.iter().map(|&x| (x, bits)))
}

/// The values of a packed run.
fn unpack_all(bytes: &[u8], bits: usize) -> Vec<u64> {
    let bit_at = |i: usize| u64::from(bytes[i / 8] >> (i % 8) & 1);
    let value = |first: usize| (0..bits).map(|i| bit_at(first + i) << i).sum();
    (0..8 * bytes.len() / bits).map(|i| value(i * bits)).collect()
}

/// 6.1: goes on with what another implementation has rounded, the next of `sent`: it may be off by
/// one now and then.
fn follow(values: &mut [u64], bits: u32, sent: &mut Option<&[u8]>) {
    let Some(bytes) = sent else { return };
    let (own, rest) = bytes.split_at(packed(values.len(), bits));
    let (mut differ, most) = (0, values.len() / 16 + 1);
    for (value, other) in values.iter_mut().zip(unpack_all(own, bits as usize)) {
        let off = ring(i128::from(other) - i128::from(*value), bits);
        assert!([0, 1, (1 << bits) - 1].contains(&off), "off by more than one");
        differ += usize::from(off > 0);
        *value = other;
    }
    assert!(differ <= most, "{differ} of {} differ in the last bit", values.len());
    *bytes = rest;
}

fn packed(count: usize, bits: u32) -> usize {
    (count * bits as usize).div_ceil(8)
}

fn ring(x: i128, bits: u32) -> u64 {
    x.rem_euclid(1 << bits) as u64
}

fn signed(x: u64, bits: u32) -> i64 {
    if x < 1 << (bits - 1) { x as i64 } else { x as i64 - (1 << bits) }
}

fn bit(x: u128, i: usize) -> bool {
    x >> i & 1 == 1
}

/// The next number of a count.
fn count(next: &mut usize) -> usize {
    *next += 1;
    *next - 1
}

fn log2_up(x: usize) -> usize {
    (0..).find(|&m| 1 << m >= x).unwrap()
}

// -------------------------------------------------------------------------------------------------
// 2.1 Hashes, ciphers

/// SHA-256 (FIPS 180-4): the constants are the fractions of the roots of the first primes.
pub fn sha256(message: &[u8]) -> [u8; 32] {
    let primes: Vec<u128> = (2..312).filter(|p| (2..*p).all(|d| p % d != 0)).collect();
    // The first 32 bits of the fraction of the k-th root of p: floor(root · 2^32), by bisection.
    let fraction = |p: u128, k: u32| {
        let (mut low, mut high) = (0_u128, 1 << 37);
        while high - low > 1 {
            let middle = (low + high) / 2;
            // middle^k ≤ p·2^(32k): for k = 3 that is at most 2^111.
            if middle.pow(k) <= p << (32 * k) { low = middle } else { high = middle }
        }
        low as u32
    };
    let k: Vec<u32> = primes.iter().take(64).map(|&p| fraction(p, 3)).collect();
    let mut h: Vec<u32> = primes.iter().take(8).map(|&p| fraction(p, 2)).collect();
    let mut padded = message.to_vec();
    padded.push(0x80);
    while padded.len() % 64 != 56 {
        padded.push(0);
    }
    padded.extend((message.len() as u64 * 8).to_be_bytes());
    for block in padded.chunks(64) {
        let mut w: Vec<u32> =
            block.chunks(4).map(|b| u32::from_be_bytes(b.try_into().unwrap())).collect();
        for t in 16..64 {
            let s0 = w[t - 15].rotate_right(7) ^ w[t - 15].rotate_right(18) ^ (w[t - 15] >> 3);
            let s1 = w[t - 2].rotate_right(17) ^ w[t - 2].rotate_right(19) ^ (w[t - 2] >> 10);
            w.push(w[t - 16].wrapping_add(s0).wrapping_add(w[t - 7]).wrapping_add(s1));
        }
        let mut v = h.clone();
        for t in 0..64 {
            let s1 = v[4].rotate_right(6) ^ v[4].rotate_right(11) ^ v[4].rotate_right(25);
            let choose = (v[4] & v[5]) ^ (!v[4] & v[6]);
            let t1 =
                v[7].wrapping_add(s1).wrapping_add(choose).wrapping_add(k[t]).wrapping_add(w[t]);
            let s0 = v[0].rotate_right(2) ^ v[0].rotate_right(13) ^ v[0].rotate_right(22);
            let majority = (v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]);
            v.rotate_right(1);
            v[4] = v[4].wrapping_add(t1);
            v[0] = t1.wrapping_add(s0).wrapping_add(majority);
        }
        for (h, v) in h.iter_mut().zip(v) {
            *h = h.wrapping_add(v);
        }
    }
    h.iter().flat_map(|x| x.to_be_bytes()).collect::<Vec<_>>().try_into().unwrap()
}

/// CRC-32, bit by bit.
pub fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0x04c1_1db7_u32.reverse_bits() } else { crc >> 1 };
        }
    }
    !crc
}

/// Twice `x` in AES's field.
fn double(x: u8) -> u8 {
    x << 1 ^ if x & 0x80 != 0 { 0x1b } else { 0 }
}

/// A product in AES's field.
fn field(mut a: u8, mut b: u8) -> u8 {
    let mut product = 0;
    while b > 0 {
        if b & 1 == 1 {
            product ^= a;
        }
        a = double(a);
        b >>= 1;
    }
    product
}

/// AES's table: inverse, then the affine map.
fn s_box() -> &'static [u8; 256] {
    static TABLE: std::sync::OnceLock<[u8; 256]> = std::sync::OnceLock::new();
    TABLE.get_or_init(|| {
        core::array::from_fn(|x| {
            let inverse = (0..=255).find(|&y| field(x as u8, y) == 1).unwrap_or(0);
            (0..5).fold(0x63, |sum, turn| sum ^ inverse.rotate_left(turn))
        })
    })
}

/// AES-128 (FIPS 197).
pub fn aes128(key: [u8; 16], plain: [u8; 16]) -> [u8; 16] {
    let s = s_box();
    let mut words: Vec<[u8; 4]> = key.chunks(4).map(|w| w.try_into().unwrap()).collect();
    let mut constant = 1;
    for i in 4..44 {
        let mut w = words[i - 1];
        if i % 4 == 0 {
            w = [s[w[1] as usize] ^ constant, s[w[2] as usize], s[w[3] as usize], s[w[0] as usize]];
            constant = double(constant);
        }
        words.push(core::array::from_fn(|b| w[b] ^ words[i - 4][b]));
    }
    let round_key = |round: usize, i: usize| words[4 * round + i / 4][i % 4];
    let mut state: [u8; 16] = core::array::from_fn(|i| plain[i] ^ round_key(0, i));
    for round in 1..=10 {
        // Bytes are columns of four; row r turns left by r columns.
        let shifted: [u8; 16] = core::array::from_fn(|i| s[state[(i + 4 * (i % 4)) % 16] as usize]);
        state = core::array::from_fn(|i| {
            let [a, b, c, d] = core::array::from_fn(|turn| shifted[i / 4 * 4 + (i + turn) % 4]);
            let mixed = if round < 10 { double(a) ^ double(b) ^ b ^ c ^ d } else { a };
            mixed ^ round_key(round, i)
        });
    }
    state
}

/// AES on blocks.
pub fn aes(key: u128, x: u128) -> u128 {
    u128::from_le_bytes(aes128(key.to_le_bytes(), x.to_le_bytes()))
}

/// TMMO under the key `k`.
pub fn tmmo(k: u128, x: u128, i: u128) -> u128 {
    aes(k, aes(k, x) ^ i) ^ aes(k, x)
}

/// The public key of a session's hash.
pub fn session_key(
    pairing: Option<u128>,
    client_nonce: &[u8],
    server_nonce: &[u8],
    digest: &[u8],
) -> u128 {
    let start = match pairing {
        None => b"MiniONN session".to_vec(),
        Some(id) => [&b"MiniONN resumed"[..], &id.to_le_bytes()].concat(),
    };
    let hash = sha256(&[&start[..], client_nonce, server_nonce, digest].concat());
    u128::from_le_bytes(hash[..16].try_into().unwrap())
}

// -------------------------------------------------------------------------------------------------
// 2.2 Streams

/// A ChaCha20 block: `tail` are words 12 to 15.
pub fn chacha20(key: &[u8; 32], tail: [u32; 4]) -> [u8; 64] {
    let word = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().unwrap());
    let mut start: Vec<u32> = b"expand 32-byte k".chunks(4).map(word).collect();
    start.extend(key.chunks(4).map(word));
    start.extend(tail);
    let mut x = start.clone();
    let mut quarter = |a: usize, b: usize, c: usize, d: usize| {
        for (to, from, turn_at, turn) in [(a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)]
        {
            x[to] = x[to].wrapping_add(x[from]);
            x[turn_at] = (x[turn_at] ^ x[to]).rotate_left(turn);
        }
    };
    for _ in 0..10 {
        for i in 0..4 {
            quarter(i, 4 + i, 8 + i, 12 + i);
        }
        for i in 0..4 {
            quarter(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4);
        }
    }
    let sum: Vec<u8> =
        x.iter().zip(start).flat_map(|(x, s)| x.wrapping_add(s).to_le_bytes()).collect();
    sum.try_into().unwrap()
}

/// A seed.
pub type Seed = [u8; 32];

/// Domains of streams.
pub const UNIFORM: u64 = 2;
const DERIVE: u64 = 1;
const TERNARY: u64 = 3;
const NOISE: u64 = 4;
const FLOOD: u64 = 5;
const MASK: u64 = 6;
const LABEL: u64 = 7;

/// Stream `(domain, index)` of a seed.
pub struct Stream {
    seed: Seed,
    nonce: u64,
    counter: u64,
    ready: std::collections::VecDeque<u8>,
}

impl Stream {
    /// From its first byte on.
    pub fn new(seed: Seed, domain: u64, index: u64) -> Self {
        Self { seed, nonce: domain * (1 << 56) + index, counter: 0, ready: [].into() }
    }

    /// The next bytes.
    pub fn bytes<const K: usize>(&mut self) -> [u8; K] {
        while self.ready.len() < K {
            let words = [
                self.counter as u32,
                (self.counter >> 32) as u32,
                self.nonce as u32,
                (self.nonce >> 32) as u32,
            ];
            self.ready.extend(chacha20(&self.seed, words));
            self.counter += 1;
        }
        core::array::from_fn(|_| self.ready.pop_front().unwrap())
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.bytes())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.bytes())
    }

    fn block(&mut self) -> u128 {
        u128::from_le_bytes(self.bytes())
    }
}

/// Appendix A.
pub fn derive(seed: Seed, i: u64) -> Seed {
    Stream::new(seed, DERIVE, i).bytes()
}

// -------------------------------------------------------------------------------------------------
// 2.3, 2.4 Parameters and the transform

/// The larger degree, and that of the slots.
pub const N: usize = 4096;
/// The limbs.
pub const LIMBS: [u64; 4] = [134_176_769, 66_994_177, 134_111_233, 40_961];
/// Bits of a number of each.
pub const LIMB_BITS: [u32; 4] = [27, 26, 27, 16];
/// The slot prime.
pub const T: u64 = 65_537;

/// The degree that goes with a number of limbs.
pub fn degree(limbs: usize) -> usize {
    if limbs == 2 { N / 2 } else { N }
}

/// The product of the first limbs.
pub fn modulus(limbs: usize) -> u128 {
    LIMBS[..limbs].iter().map(|&q| u128::from(q)).product()
}

fn power(base: u64, exponent: u64, p: u64) -> u64 {
    (0..64).rev().fold(1, |x, i| x * x % p * if exponent >> i & 1 == 1 { base } else { 1 } % p)
}

fn inverse_mod(x: u64, p: u64) -> u64 {
    power(x % p, p - 2, p)
}

/// All powers of ψ for degree `n`: the table of 2n of them.
fn powers(p: u64, n: usize) -> Vec<u64> {
    let g = (2..).find(|&g| power(g, (p - 1) / 2, p) == p - 1).unwrap();
    let psi = power(g, (p - 1) / (2 * n as u64), p);
    let mut table = vec![1];
    while table.len() < 2 * n {
        table.push(table.last().unwrap() * psi % p);
    }
    table
}

/// The bits of an index of `n`, the other way round.
fn reversed(i: usize, n: usize) -> usize {
    (0..log2_up(n)).fold(0, |r, b| r << 1 | (i >> b & 1))
}

/// `Σ_i a_i·x^i` for the points `x = ψ^e` with `e = exponent(j)`, j in 0..n: `e` must be `2j` or
/// `−2j` up to a constant. With `i = 64s + r` the inner sum `Σ_s a_i·x^(64s)` is the same for all j
/// that agree mod n/64, so this takes 64 + n/64 steps a point, not n.
fn values_at(a: &[u64], p: u64, exponent: impl Fn(usize) -> usize) -> Vec<u64> {
    let (n, period) = (a.len(), a.len() / 64);
    let table = powers(p, n);
    let term = |a: u64, j: usize, i: usize| a * table[exponent(j) * i % (2 * n)] % p;
    let inner =
        |r: usize, j: usize| (0..period).map(|s| term(a[64 * s + r], j, 64 * s)).sum::<u64>() % p;
    let inner: Vec<Vec<u64>> =
        (0..64).map(|r| (0..period).map(|j| inner(r, j)).collect()).collect();
    (0..n).map(|j| (0..64).map(|r| term(inner[r][j % period], j, r)).sum::<u64>() % p).collect()
}

/// The value of `a` at `ψ^e`, by Horner's rule.
pub fn value_at(a: &[u64], e: usize, p: u64) -> u64 {
    let x = powers(p, a.len())[e % (2 * a.len())];
    a.iter().rev().fold(0, |value, a| (value * x + a) % p)
}

/// The values of `a` at the odd powers of ψ; the degree is the length.
pub fn transform(a: &[u64], p: u64) -> Vec<u64> {
    let natural = values_at(a, p, |k| 2 * k + 1);
    (0..a.len()).map(|i| natural[reversed(i, a.len())]).collect()
}

/// The polynomial with these values: `a_j = 1/n Σ_k value_k·ψ^(−(2k + 1)·j)`.
pub fn interpolate(values: &[u64], p: u64) -> Vec<u64> {
    let n = values.len();
    let (table, scale) = (powers(p, n), inverse_mod(n as u64, p));
    let natural: Vec<u64> = (0..n).map(|k| values[reversed(k, n)]).collect();
    let sums = values_at(&natural, p, |j| 2 * (n - j));
    (0..n).map(|j| sums[j] * table[(2 * n - j) % (2 * n)] % p * scale % p).collect()
}

fn residue(x: i128, p: u64) -> u64 {
    x.rem_euclid(i128::from(p)) as u64
}

// -------------------------------------------------------------------------------------------------
// 3. Frames

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Whether the client sends it.
    pub up: bool,
    /// Its tag.
    pub tag: u8,
    /// Its payload.
    pub payload: Vec<u8>,
}

impl Message {
    /// The frame of this number in its direction.
    pub fn frame(&self, number: u64) -> Vec<u8> {
        let mut frame = vec![self.tag];
        frame.extend((self.payload.len() as u32).to_le_bytes());
        frame.extend(&self.payload);
        let mut covered = if number > 0 { number.to_le_bytes().to_vec() } else { vec![] };
        covered.extend(&frame);
        frame.extend(crc32(&covered).to_le_bytes());
        frame
    }
}

// -------------------------------------------------------------------------------------------------
// 4. Plan and model

/// Version of the protocol and of all files.
pub const VERSION: u16 = 2;

/// What an activation applies (4.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    Identity,
    Relu,
    Clip { lo: i64, hi: i64 },
    Leaky { m: u8, e: u8 },
}

impl Function {
    /// The function of the signed reading `y`, divided.
    pub fn apply(self, y: i64, shift: u8) -> i64 {
        match self {
            Self::Identity => y >> shift,
            Self::Relu => y.max(0) >> shift,
            Self::Clip { lo, hi } => y.max(lo).min(hi) >> shift,
            Self::Leaky { m, e } => {
                if y >= 0 {
                    y >> shift
                } else {
                    (y * i64::from(m)) >> (e + shift)
                }
            }
        }
    }
}

/// What a pool goes over: no dilation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub channels: u32,
    /// Height, width.
    pub size: [u32; 2],
    pub kernel: [u32; 2],
    pub stride: [u32; 2],
    /// Top, left, bottom, right.
    pub padding: [u16; 4],
}

impl Window {
    fn records(self) -> Vec<u8> {
        let Self { channels, size, kernel, stride, padding } = self;
        let words = [size[0], size[1], kernel[0], kernel[1], stride[0], stride[1], 1, 1];
        let words = words.iter().flat_map(|x| x.to_le_bytes());
        words
            .chain(padding.iter().flat_map(|x| x.to_le_bytes()))
            .chain(channels.to_le_bytes())
            .chain([0; 4])
            .collect()
    }

    /// The elements of each output's window; none where there is padding.
    fn places(self) -> Vec<Vec<Option<usize>>> {
        let [down, across] = [0, 1].map(|i| {
            let padded = self.size[i] + u32::from(self.padding[i]) + u32::from(self.padding[i + 2]);
            (padded - self.kernel[i]) / self.stride[i] + 1
        });
        let at = |channel: u32, place: [u32; 2]| -> Option<usize> {
            let inside = |i: usize| {
                place[i].checked_sub(self.padding[i].into()).filter(|&x| x < self.size[i])
            };
            Some(((channel * self.size[0] + inside(0)?) * self.size[1] + inside(1)?) as usize)
        };
        let mut all = vec![];
        for (channel, y, x) in (0..self.channels)
            .flat_map(|c| (0..down).flat_map(move |y| (0..across).map(move |x| (c, y, x))))
        {
            let places = (0..self.kernel[0]).flat_map(|u| {
                (0..self.kernel[1]).map(move |v| [y * self.stride[0] + u, x * self.stride[1] + v])
            });
            all.push(places.map(|place| at(channel, place)).collect());
        }
        all
    }

    /// 9.2: the first element of a window stands in for its padding.
    fn elements(self) -> Vec<Vec<usize>> {
        let filled = |window: &Vec<Option<usize>>| {
            let first = window.iter().flatten().next().unwrap();
            window.iter().map(|i| *i.as_ref().unwrap_or(first)).collect()
        };
        self.places().iter().map(filled).collect()
    }

    /// The sum of each window, where padding adds nothing.
    fn sums(self, x: &[i128]) -> Vec<i128> {
        self.places().iter().map(|window| window.iter().flatten().map(|&i| x[i]).sum()).collect()
    }
}

/// An operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    FullyConnected { ring: u8, weight_bits: u8, inputs: u32, outputs: u32 },
    Activation { ring: u8, ring_out: u8, shift: u8, function: Function, len: u32 },
    Square { ring: u8, len: u32 },
    Reveal { ring: u8, len: u32 },
    Argmax { ring: u8, len: u32 },
    MaxPool { ring: u8, ring_out: u8, shift: u8, function: Function, window: Window },
    SumPool { ring: u8, window: Window },
}

impl Op {
    fn records(self) -> Vec<u8> {
        let (kind, a, x, y) = match self {
            Self::FullyConnected { ring, weight_bits, inputs, outputs } => {
                (1, [ring, weight_bits, 0], inputs, outputs)
            }
            Self::Activation { ring, ring_out, shift, len, .. } => {
                (2, [ring, ring_out, shift], len, 0)
            }
            Self::Square { ring, len } => (3, [ring, 0, 0], len, 0),
            Self::Reveal { ring, len } => (4, [ring, 0, 0], len, 0),
            Self::Argmax { ring, len } => (5, [ring, 0, 0], len, 0),
            Self::MaxPool { ring, ring_out, shift, window, .. } => {
                (7, [ring, ring_out, shift], window.channels, window.channels)
            }
            Self::SumPool { ring, window } => (8, [ring, 0, 0], window.channels, window.channels),
        };
        let (d, after) = match self.function() {
            None | Some((Function::Identity, ..)) => (0, vec![]),
            Some((Function::Relu, ..)) => (1, vec![]),
            Some((Function::Clip { lo, hi }, ..)) => {
                (2, [lo.to_le_bytes(), hi.to_le_bytes()].concat())
            }
            Some((Function::Leaky { m, e }, ..)) => {
                (3, [m.into(), e.into(), 0, 0].iter().flat_map(|x: &u32| x.to_le_bytes()).collect())
            }
        };
        let shape = match self {
            Self::MaxPool { window, .. } | Self::SumPool { window, .. } => window.records(),
            _ => vec![],
        };
        [&[kind][..], &a, &[d, 0, 0, 0], &x.to_le_bytes(), &y.to_le_bytes(), &shape, &after]
            .concat()
    }

    fn ring(self) -> u32 {
        u32::from(self.records()[1])
    }

    /// Function, shift and ring of the output, of an Activation or MaxPool.
    fn function(self) -> Option<(Function, u8, u32)> {
        match self {
            Self::Activation { function, shift, ring_out, .. }
            | Self::MaxPool { function, shift, ring_out, .. } => {
                Some((function, shift, ring_out.into()))
            }
            _ => None,
        }
    }

    fn inputs(self) -> usize {
        match self {
            Self::MaxPool { window, .. } | Self::SumPool { window, .. } => {
                (window.channels * window.size[0] * window.size[1]) as usize
            }
            _ => u32::from_le_bytes(self.records()[8..12].try_into().unwrap()) as usize,
        }
    }

    fn outputs(self) -> usize {
        match self {
            Self::FullyConnected { outputs, .. } => outputs as usize,
            Self::MaxPool { window, .. } | Self::SumPool { window, .. } => window.places().len(),
            _ => self.inputs(),
        }
    }

    /// The input's elements of each neuron, or of each element of a square.
    fn windows(self) -> Vec<Vec<usize>> {
        match self {
            Self::MaxPool { window, .. } => window.elements(),
            Self::Argmax { .. } => vec![(0..self.inputs()).collect()],
            Self::Activation { .. } | Self::Square { .. } => {
                (0..self.inputs()).map(|i| vec![i]).collect()
            }
            Self::FullyConnected { .. } | Self::SumPool { .. } | Self::Reveal { .. } => vec![],
        }
    }
}

/// A network: what stands in a model.
#[derive(Clone, Debug)]
pub struct Network {
    pub step: f32,
    pub least: i32,
    pub greatest: i32,
    pub output_step: f32,
    pub name: String,
    pub ops: Vec<Op>,
    /// Row by row, for each fully connected operation.
    pub weights: Vec<Vec<i64>>,
    pub biases: Vec<Vec<i64>>,
}

impl Network {
    /// The plan's bytes.
    pub fn plan(&self) -> Vec<u8> {
        let mut name = self.name.clone().into_bytes();
        let records: Vec<u8> = self.ops.iter().flat_map(|op| op.records()).collect();
        name.resize(32, 0);
        let mut plan = b"MiniONNp".to_vec();
        plan.extend(VERSION.to_le_bytes());
        plan.extend((records.len() as u16 / 16).to_le_bytes());
        plan.extend((self.ops[0].inputs() as u32).to_le_bytes());
        plan.extend((self.ops.last().unwrap().inputs() as u32).to_le_bytes());
        plan.extend(self.step.to_le_bytes());
        plan.extend(self.least.to_le_bytes());
        plan.extend(self.greatest.to_le_bytes());
        plan.extend(self.output_step.to_le_bytes());
        plan.extend(name);
        plan.extend([0; 12]);
        plan.extend(records);
        plan.extend(sha256(&plan));
        plan
    }

    /// The model's bytes.
    pub fn model(&self) -> Vec<u8> {
        let mut model = b"MiniONNm\x02\0\0\0\0\0\0\0".to_vec();
        model.extend(self.plan());
        let linear = self.ops.iter().filter(|op| matches!(op, Op::FullyConnected { .. }));
        for (op, (weights, biases)) in linear.zip(self.weights.iter().zip(&self.biases)) {
            let Op::FullyConnected { weight_bits, .. } = *op else { unreachable!() };
            let width = if weight_bits > 8 { 2 } else { 1 };
            weights.iter().for_each(|w| model.extend(&w.to_le_bytes()[..width]));
            biases.iter().for_each(|b| model.extend(b.to_le_bytes()));
        }
        model.extend(sha256(&model));
        model
    }

    /// The network in the clear: the opened tensor, signed (for argmax: what it compares).
    pub fn evaluate(&self, x: &[i64]) -> Vec<i64> {
        let mut x: Vec<i64> = x.to_vec();
        let mut layer = 0;
        for &op in &self.ops {
            let ring_in = op.ring();
            let wrap = |y: i128, bits| signed(ring(y, bits), bits);
            x.iter_mut().for_each(|x| *x = wrap((*x).into(), ring_in));
            match op {
                Op::FullyConnected { .. } => {
                    let row = |w: &[i64]| {
                        w.iter().zip(&x).map(|(&w, &x)| i128::from(w) * i128::from(x)).sum::<i128>()
                    };
                    let rows = self.weights[layer].chunks(op.inputs()).zip(&self.biases[layer]);
                    x = rows.map(|(w, &b)| wrap(row(w) + i128::from(b), ring_in)).collect();
                    layer += 1;
                }
                Op::Activation { .. } | Op::MaxPool { .. } => {
                    let (function, shift, ring_out) = op.function().unwrap();
                    let of_window = |w: &Vec<usize>| {
                        function.apply(w.iter().map(|&i| x[i]).max().unwrap(), shift)
                    };
                    x = op.windows().iter().map(|w| wrap(of_window(w).into(), ring_out)).collect();
                }
                Op::Square { .. } => {
                    x = x.iter().map(|&y| wrap(i128::from(y) * i128::from(y), ring_in)).collect()
                }
                Op::SumPool { window, .. } => {
                    let wide: Vec<i128> = x.iter().map(|&x| x.into()).collect();
                    x = window.sums(&wide).iter().map(|&sum| wrap(sum, ring_in)).collect();
                }
                Op::Reveal { .. } | Op::Argmax { .. } => {}
            }
        }
        x
    }
}

// -------------------------------------------------------------------------------------------------
// 5. Choices that both parties derive

/// What is sent of an uploaded ciphertext (6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upload {
    Whole,
    /// To this number of bits.
    Rounded(u32),
}

impl Upload {
    /// Bytes of a ciphertext.
    fn bytes(self, limbs: usize) -> usize {
        match self {
            Self::Whole => LIMB_BITS[..limbs].iter().map(|&bits| packed(degree(limbs), bits)).sum(),
            Self::Rounded(bits) => packed(degree(limbs), bits),
        }
    }
}

/// 5.1: the uploads of a layer with `packed` weights in a result polynomial, of which each output
/// has `own`.
pub fn upload(
    limbs: usize,
    ring: u32,
    weight_bits: u32,
    packed: u128,
    own: u128,
) -> Option<Upload> {
    let (bits, share, fresh) = if limbs == 2 { (53, 116, 1950) } else { (80, 65, 2760) };
    let room = share * modulus(limbs) / (1 << (ring + 10));
    let always = fresh + own * (1 << (weight_bits - 2));
    if room < always + (1 << weight_bits) {
        return None;
    }
    let s = ((room - always) / (1 << (weight_bits - 1)) - 1).min(1 << 60);
    if s * s < 1186 * packed {
        return None;
    }
    // 4^60 is s² at most; 11·4^60 is below 2^124.
    let most = s * s / packed;
    let dropped = (0..=60).rev().find(|&d| 1186 + 11 * 4_u128.pow(d) <= most);
    let left = dropped.map(|dropped| bits - dropped).filter(|&left| left <= 56);
    Some(left.map_or(Upload::Whole, Upload::Rounded))
}

fn root(x: u128) -> u128 {
    (0..64)
        .rev()
        .fold(0, |r, i| if (r + (1 << i)) * (r + (1 << i)) <= x { r + (1 << i) } else { r })
}

/// 5.1: the flooding of base OTs.
pub fn base_flooding() -> u32 {
    let n = N as u128;
    let bound = (root(1186 * n) + 1) * (1 << 15) + 4400 + n * (1 << 14);
    let flood = (45 * modulus(4) / (1 << 26) - bound).ilog2();
    assert!(flood - bound.ilog2() > 40);
    flood
}

/// The packing of a linear layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tile {
    pub ring: u32,
    pub inputs: usize,
    pub outputs: usize,
    pub stock: usize,
    pub n_b: usize,
    pub n_o: usize,
    pub n_w: usize,
    pub limbs: usize,
    pub up: Upload,
}

impl Tile {
    /// The one that both parties come to.
    pub fn choose(op: Op, stock: usize) -> Option<Self> {
        let Op::FullyConnected { ring, weight_bits, .. } = op else { return None };
        let (ring, inputs, outputs) = (u32::from(ring), op.inputs(), op.outputs());
        let mut best: Option<Self> = None;
        let cost = |t: &Self| (t.upload() + t.download(), t.batches() * t.chunks() * t.groups());
        for limbs in [2, 3] {
            let n = degree(limbs);
            for n_b in (0..).map(|i| 1 << i).take_while(|&n_b| n_b <= stock.min(n)) {
                for chunks in inputs.div_ceil(n / n_b).. {
                    let n_w = inputs.div_ceil(chunks);
                    let most = outputs.min(n / (n_b * n_w));
                    let mut n_o = most;
                    while n_o > 0 {
                        if let Some(up) = upload(
                            limbs,
                            ring,
                            weight_bits.into(),
                            (inputs * n_o) as u128,
                            inputs as u128,
                        ) {
                            let tile =
                                Self { ring, inputs, outputs, stock, n_b, n_o, n_w, limbs, up };
                            if best.as_ref().is_none_or(|b| cost(&tile) < cost(b)) {
                                best = Some(tile);
                            }
                            break;
                        }
                        n_o /= 2;
                    }
                    if most == outputs || n_w == 1 {
                        break;
                    }
                }
            }
        }
        best
    }

    fn chunks(&self) -> usize {
        self.inputs.div_ceil(self.n_w)
    }
    fn groups(&self) -> usize {
        self.outputs.div_ceil(self.n_o)
    }
    fn batches(&self) -> usize {
        self.stock.div_ceil(self.n_b)
    }
    fn degree(&self) -> usize {
        degree(self.limbs)
    }
    /// Payload of an upload.
    pub fn upload(&self) -> usize {
        32 + self.batches() * self.chunks() * self.up.bytes(self.limbs)
    }
    /// Payload of a download.
    pub fn download(&self) -> usize {
        let each = |b, g| {
            packed(self.degree(), self.ring + 10) + packed(self.results(b, g).len(), self.ring + 5)
        };
        (0..self.batches()).flat_map(|b| (0..self.groups()).map(move |g| each(b, g))).sum()
    }
    /// Prediction, output and coefficient of the results of a ciphertext, in the order of the wire.
    fn results(&self, batch: usize, group: usize) -> Vec<(usize, usize, usize)> {
        let mut results = vec![];
        for b in 0..self.n_b.min(self.stock - batch * self.n_b) {
            for i in 0..self.n_o.min(self.outputs - group * self.n_o) {
                results.push((
                    batch * self.n_b + b,
                    group * self.n_o + i,
                    (b * self.n_o + i) * self.n_w + self.n_w - 1,
                ));
            }
        }
        results
    }
    /// The weight polynomial.
    fn weights(&self, w: &[i64], group: usize, chunk: usize) -> Vec<i128> {
        let mut poly = vec![0; self.degree()];
        for i in 0..self.n_o.min(self.outputs - group * self.n_o) {
            for j in 0..self.n_w.min(self.inputs - chunk * self.n_w) {
                let (row, column) = (group * self.n_o + i, chunk * self.n_w + j);
                poly[i * self.n_w + self.n_w - 1 - j] = i128::from(w[row * self.inputs + column]);
            }
        }
        poly
    }
}

// -------------------------------------------------------------------------------------------------
// 6. Lattice encryption

/// Ternary values.
pub fn ternary(seed: Seed, index: u64, count: usize) -> Vec<i128> {
    let mut stream = Stream::new(seed, TERNARY, index);
    let mut digits = vec![];
    while digits.len() < count {
        let mut fraction = u128::from(stream.u64());
        for _ in 0..16 {
            fraction *= 3;
            digits.push((fraction >> 64) as i128 - 1);
            fraction %= 1 << 64;
        }
    }
    digits.truncate(count);
    digits
}

/// Noise values.
pub fn noise(seed: Seed, index: u64, count: usize) -> Vec<i128> {
    let mut stream = Stream::new(seed, NOISE, index);
    let mut values = vec![];
    while values.len() < count {
        let coins = stream.block();
        values.extend(
            (0..3).map(|v| (42 * v..42 * v + 42).filter(|&i| bit(coins, i)).count() as i128 - 21),
        );
    }
    values.truncate(count);
    values
}

/// Flooding values.
pub fn flooding(seed: Seed, index: u64, bits: u32, count: usize) -> Vec<i128> {
    let mut stream = Stream::new(seed, FLOOD, index);
    (0..count).map(|_| (stream.block() % (1 << (bits + 1))) as i128 - (1 << bits)).collect()
}

/// The uniform half of ciphertext `number`, of degree `n`, in one limb, transformed.
pub fn uniform(public: Seed, number: u64, limb: usize, n: usize) -> Vec<u64> {
    let mut stream = Stream::new(public, UNIFORM, 4 * number + limb as u64);
    let mut value = || loop {
        let x = u64::from(stream.u32() % (1 << LIMB_BITS[limb]));
        if x < LIMBS[limb] {
            return x;
        }
    };
    (0..n).map(|_| value()).collect()
}

/// `c1` of a ciphertext, in all limbs.
fn uniform_limbs(public: Seed, number: u64, limbs: usize) -> Limbs {
    (0..limbs).map(|i| uniform(public, number, i, degree(limbs))).collect()
}

/// `round(q·m/p)`, with `q = a·p + b`: `a·m + round(b·m/p)`. No term exceeds 2^114.
pub fn encode(m: u64, p: u64, limbs: usize) -> u128 {
    let (q, m, p) = (modulus(limbs), u128::from(m), u128::from(p));
    q / p * m + (2 * (q % p) * m + p) / (2 * p)
}

/// `round(2^bits·x/q) mod 2^bits` by long division.
fn rescale_mod(x: u128, q: u128, bits: u32) -> u64 {
    let (mut quotient, mut rest) = (0, x);
    for _ in 0..bits {
        rest *= 2;
        quotient *= 2;
        if rest >= q {
            rest -= q;
            quotient += 1;
        }
    }
    (quotient + u64::from(2 * rest >= q)) % (1 << bits)
}

/// The same for the product of the first limbs.
pub fn rescale(x: u128, limbs: usize, bits: u32) -> u64 {
    rescale_mod(x, modulus(limbs), bits)
}

/// The integer in `[0, q)` with these residues.
fn chinese_remainder(residues: &[u64]) -> u128 {
    let q = modulus(residues.len());
    residues.iter().zip(LIMBS).fold(0, |sum, (&r, p)| {
        let others = q / u128::from(p);
        let digit = r * inverse_mod((others % u128::from(p)) as u64, p) % p;
        (sum + others * u128::from(digit)) % q
    })
}

/// A polynomial, limb by limb, transformed.
pub type Limbs = Vec<Vec<u64>>;

fn to_limbs(poly: &[i128], limbs: usize) -> Limbs {
    LIMBS[..limbs]
        .iter()
        .map(|&p| transform(&poly.iter().map(|&x| residue(x, p)).collect::<Vec<_>>(), p))
        .collect()
}

/// The coefficients in `[0, q)` of a transformed polynomial.
fn from_limbs(transformed: &Limbs) -> Vec<u128> {
    let limbs: Limbs =
        transformed.iter().zip(LIMBS).map(|(values, p)| interpolate(values, p)).collect();
    let residues = |k: usize| limbs.iter().map(|limb| limb[k]).collect::<Vec<_>>();
    (0..limbs[0].len()).map(|k| chinese_remainder(&residues(k))).collect()
}

/// A lattice key of one degree.
#[derive(Clone)]
pub struct Key {
    s: Vec<i128>,
    transformed: Limbs,
}

impl Key {
    /// From its party's seed, the key of degree `n`.
    pub fn new(seed: Seed, n: usize) -> Self {
        let (index, limbs) = if n == N { (0, 4) } else { (1, 2) };
        let s = ternary(seed, index, n);
        Self { transformed: to_limbs(&s, limbs), s }
    }

    /// `c0` of ciphertext `number` for the encoded message `m`, transformed.
    pub fn encrypt(
        &self,
        m: &[u128],
        limbs: usize,
        number: u64,
        public: Seed,
        noise_seed: Seed,
    ) -> Limbs {
        let noise = noise(noise_seed, number, m.len());
        let noisy: Vec<i128> = m.iter().zip(noise).map(|(&m, e)| m as i128 + e).collect();
        let (mut c0, c1) = (to_limbs(&noisy, limbs), uniform_limbs(public, number, limbs));
        for (i, c0) in c0.iter_mut().enumerate() {
            for ((c0, a), s) in c0.iter_mut().zip(&c1[i]).zip(&self.transformed[i]) {
                *c0 = (*c0 + LIMBS[i] * LIMBS[i] - a * s) % LIMBS[i];
            }
        }
        c0
    }

    /// Coefficient `k` of `c1·s`, mod 2^64.
    fn product_at(&self, c1: &[u64], k: usize) -> u64 {
        let n = self.s.len();
        (0..n).fold(0, |sum: u64, j| {
            let term = (self.s[j] as u64).wrapping_mul(c1[(n + k - j) % n]);
            if j <= k { sum.wrapping_add(term) } else { sum.wrapping_sub(term) }
        })
    }
}

/// 6.2: `c0` as a whole upload has it.
fn whole_upload(c0: &Limbs) -> Vec<u8> {
    let of_limb =
        |(values, i): (&Vec<u64>, usize)| pack_all(&interpolate(values, LIMBS[i]), LIMB_BITS[i]);
    c0.iter().zip(0..).flat_map(of_limb).collect()
}

/// 6.2: `c0` as a rounded upload has it.
pub fn round_upload(c0: &Limbs, bits: u32) -> Vec<u64> {
    from_limbs(c0).iter().map(|&x| rescale(x, c0.len(), bits)).collect()
}

/// 6.2: `c0` as the server reads it.
pub fn read_upload(y: &[u64], limbs: usize, bits: u32) -> Limbs {
    let c0: Vec<i128> = y.iter().map(|&y| encode(y, 1 << bits, limbs) as i128).collect();
    to_limbs(&c0, limbs)
}

/// A public key: the seed of `a` and the number of its stream, and `b`.
#[derive(Clone)]
pub struct PublicKey {
    seed: Seed,
    number: u64,
    b: Limbs,
}

/// 6.3: answer `number` under `seed`: `X0` at the coefficients `at`, `X1`, for products of
/// ciphertexts `(c0, c1)` with `w`.
fn answer(
    key: &PublicKey,
    products: &[(&Limbs, Limbs, Vec<i128>)],
    limbs: usize,
    (seed, number): (Seed, u64),
    at: &[usize],
) -> [Vec<u128>; 2] {
    let n = degree(limbs);
    let rho = to_limbs(&ternary(seed, number, n), limbs);
    let weights: Vec<Limbs> = products.iter().map(|(_, _, w)| to_limbs(w, limbs)).collect();
    let sum = |of_key: &Limbs, halves: &[&Limbs]| -> Vec<u128> {
        let sum_of_limb = |i: usize| {
            let p = LIMBS[i];
            let mut sum: Vec<u64> =
                of_key[i].iter().zip(&rho[i]).map(|(x, rho)| x * rho % p).collect();
            for (half, w) in halves.iter().zip(&weights) {
                for ((sum, x), w) in sum.iter_mut().zip(&half[i]).zip(&w[i]) {
                    *sum = (*sum + x * w) % p;
                }
            }
            sum
        };
        from_limbs(&(0..limbs).map(sum_of_limb).collect())
    };
    let sums0 = sum(&key.b, &products.iter().map(|p| p.0).collect::<Vec<_>>());
    let a = uniform_limbs(key.seed, key.number, limbs);
    let sums1 = sum(&a, &products.iter().map(|p| &p.1).collect::<Vec<_>>());
    let noisy = |x: u128, e: i128| (x as i128 + e).rem_euclid(modulus(limbs) as i128) as u128;
    let (e0, e1) = (noise(seed, 2 * number, at.len()), noise(seed, 2 * number + 1, n));
    [
        at.iter().zip(e0).map(|(&k, e)| noisy(sums0[k], e)).collect(),
        sums1.into_iter().zip(e1).map(|(x, e)| noisy(x, e)).collect(),
    ]
}

/// 6.4: `z` at a coefficient, mod 2^bits.
fn phase(key: &Key, bits: u32, c0: u64, c1: &[u64], k: usize) -> u64 {
    (32 * c0).wrapping_add(key.product_at(c1, k)) % (1 << bits)
}

/// 6.3: what is sent of a result, and what the server keeps of its mask `U`.
fn mask(scaled: u64, mask: u64, bits: u32) -> [u64; 2] {
    [(scaled + mask) % (1 << (bits + 5)), ring(-i128::from(mask >> 4), bits + 1)]
}

/// 6.4: the client's `v`.
fn unmask(z: u64, bits: u32) -> u64 {
    ((z + 256) >> 9) % (1 << (bits + 1))
}

/// 8.3: what the server sends of a carry, its share and the client's; the client's label follows
/// from its choice.
fn carry(
    session: u128,
    bits: u32,
    [u, v]: [u64; 2],
    [q, t]: [u128; 2],
    delta: u128,
    tweak: u128,
) -> [u64; 3] {
    let [h0, h1, h] = [q, q ^ delta, t].map(|label| {
        // A sum of hashes mod 2^bits: the low bits do.
        (tmmo(session, label, tweak) % (1 << bits)) as i128
    });
    let c = ring(h0 + i128::from(u & 1) - h1, bits);
    let chosen = if v & 1 == 1 { c } else { 0 };
    [
        c,
        ring(i128::from(u >> 1) - h0, bits),
        ring(i128::from(v >> 1) + h + i128::from(chosen), bits),
    ]
}

// -------------------------------------------------------------------------------------------------
// 7.3 Base OTs

/// The polynomial with these slots.
fn slots(values: &[i128]) -> Vec<u64> {
    let mut slots: Vec<u64> = values.iter().map(|&x| residue(x, T)).collect();
    slots.resize(N, 0);
    interpolate(&slots, T)
}

/// The slots of an encoded message.
fn words(message: [u128; 2]) -> impl Iterator<Item = i128> {
    message.into_iter().flat_map(|block| (0..8).map(move |w| (block >> (16 * w)) as i128 & 0xffff))
}

// -------------------------------------------------------------------------------------------------
// 8.5 Products

/// Corrections and both shares of a product.
pub struct Product {
    pub corrections: Vec<u64>,
    pub p_s: u64,
    pub p_c: u64,
}

/// `a·v` in a ring of `bits` bits, from the labels of the bits of `v`.
#[expect(clippy::too_many_arguments, reason = "each is a different thing")]
pub fn product(
    session: u128,
    bits: u32,
    a: u64,
    v: u64,
    q: &[u128],
    t: &[u128],
    delta: u128,
    first_tweak: u128,
) -> Product {
    let mut p = Product { corrections: vec![], p_s: 0, p_c: 0 };
    for i in 0..bits {
        let h = |x: u128| tmmo(session, x, first_tweak + u128::from(i)) as u64;
        let [h0, h1, ht] = [q[i as usize], q[i as usize] ^ delta, t[i as usize]].map(h);
        let c = h0.wrapping_add(a).wrapping_sub(h1) % (1 << (bits - i));
        let own = if v >> i & 1 == 1 { c } else { 0 };
        p.corrections.push(c);
        p.p_s = ring(i128::from(p.p_s) - (i128::from(h0) << i), bits);
        p.p_c = ring(i128::from(p.p_c) + (i128::from(ht) << i) + (i128::from(own) << i), bits);
    }
    assert_eq!(
        u128::from(ring(i128::from(p.p_s) + i128::from(p.p_c), bits)),
        u128::from(a) * u128::from(v) % (1 << bits)
    );
    p
}

// -------------------------------------------------------------------------------------------------
// 7 to 9: a session

/// How a session runs.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub k: usize,
    pub streamed: bool,
    pub stock: usize,
    /// What a round trip is worth, as a power of two, if there are comparisons (7.1).
    pub compare: Option<u8>,
}

impl Options {
    fn compares(self, op: Op) -> bool {
        self.compare.is_some_and(|n| Choice::of(op, self.k).is_some_and(|choice| choice.taken(n)))
    }
}

/// What set-up makes, both halves.
#[derive(Clone)]
pub struct Pairing {
    /// The key of the session that made it.
    id: u128,
    /// The client's.
    secret: Seed,
    /// Its keys of degree 2048 and 4096, and the public ones of these.
    keys: [Key; 2],
    public: [PublicKey; 2],
    trees: Trees,
    /// The server's.
    delta: u128,
}

impl Pairing {
    /// Appendix B: the client's half, the server's half.
    pub fn export(&self) -> [Vec<u8>; 2] {
        let half = |party: u8, secrets: Vec<u8>| {
            let mut bytes = [
                &b"MiniONN"[..],
                &[party, VERSION as u8, 0, self.trees.k as u8, 0, 0, 0, 0, 0],
                &self.id.to_le_bytes(),
                &secrets,
            ]
            .concat();
            bytes.extend(sha256(&bytes));
            bytes
        };
        let mut server = self.delta.to_le_bytes().to_vec();
        server.extend(self.public[0].seed);
        for (j, &(m0, m1)) in self.trees.messages.iter().enumerate() {
            server.extend(if bit(self.delta, j) { m1 } else { m0 }.to_le_bytes());
        }
        server.extend(self.client_keys());
        [half(b'c', self.secret.to_vec()), half(b's', server)]
    }

    /// The public keys on the wire.
    fn client_keys(&self) -> Vec<u8> {
        self.public
            .iter()
            .flat_map(|key| (0..key.b.len()).flat_map(|i| limb_bytes(&key.b, i)))
            .collect()
    }
}

/// A session's transcript and what lies behind it.
pub struct Session<'a> {
    network: &'a Network,
    options: Options,
    /// Seeds of the client and of the server.
    seeds: [Seed; 2],
    /// Everything sent, in order.
    pub messages: Vec<Message>,
    /// The session key.
    pub session: u128,
    own_labels: u128,
    /// What set-up made, or an earlier one.
    pub pairing: Pairing,
    /// The forward OTs.
    ots: Extension,
    prepared: u64,
    /// Whether each operation is run by comparison.
    compared: Vec<bool>,
    /// The other direction's OTs of this Prepare.
    backward: Option<compare::Backward>,
    /// Exactly rounded coefficients of the base OTs' answer: c0, then c1.
    pub base_ot: [Vec<u64>; 2],
    /// How many results of linear layers had the carry 0, and 1.
    pub carries: [usize; 2],
    /// Payloads of Upload and Download by another implementation, in turn, if this one is to go on
    /// with what they have rounded.
    pub followed: Option<std::collections::VecDeque<Vec<u8>>>,
}

/// What is ready for one prediction.
#[derive(Clone, Default)]
struct Prediction {
    /// The client's share of the input and of every output; of a linear layer, `v` as long as its
    /// carries wait.
    client: Vec<Vec<u64>>,
    /// The server's share of `W·r`, for every operation; `u` as long as its carries wait.
    u: Vec<Vec<u64>>,
    /// Labels T and Q, for every operation.
    labels: Vec<(Vec<u128>, Vec<u128>)>,
    /// Factor and shares of products, for every operation.
    products: Vec<Vec<[u64; 3]>>,
    /// Comparisons, for every operation.
    compared: Vec<compare::Ready>,
}

/// 8.4: whether the client has choices in an operation.
fn has_choices(op: Op) -> bool {
    matches!(op, Op::Activation { .. } | Op::MaxPool { .. } | Op::Square { .. } | Op::Argmax { .. })
}

/// A limb of a transformed polynomial on the wire.
fn limb_bytes(polynomial: &Limbs, limb: usize) -> Vec<u8> {
    pack_all(&polynomial[limb], LIMB_BITS[limb])
}

impl<'a> Session<'a> {
    /// Handshake, and set-up unless there is a pairing.
    pub fn new(
        network: &'a Network,
        options: Options,
        seeds: [Seed; 2],
        pairing: Option<&Pairing>,
    ) -> Self {
        let mut messages = vec![];
        let mut send = |up, tag, payload| messages.push(Message { up, tag, payload });
        let plan = network.plan();
        let digest = &plan[plan.len() - 32..];

        // 7.1
        let nonces: [Seed; 2] = seeds.map(|seed| Stream::new(derive(seed, 4), MASK, 0).bytes());
        let mut hello = b"MiniONN\0\x02\0".to_vec();
        hello.extend([
            options.k as u8,
            u8::from(options.streamed) + 2 * options.compare.map_or(0, |n| n + 1),
        ]);
        hello.extend((options.stock as u32).to_le_bytes());
        hello.extend(digest);
        hello.extend(nonces[0]);
        hello.extend(pairing.map_or(0, |p| p.id).to_le_bytes());
        send(true, 1, hello);
        send(false, 4, [&VERSION.to_le_bytes(), &nonces[1][..]].concat());
        let session = session_key(pairing.map(|p| p.id), &nonces[0], &nonces[1], digest);
        let seeds = seeds
            .map(|seed| sha256(&[b"MiniONN secrets", &seed[..], &session.to_le_bytes()].concat()));

        let (pairing, base_ot) = match pairing {
            Some(pairing) => (pairing.clone(), [vec![], vec![]]),
            None => Self::set_up(session, nonces, options.k, seeds, send),
        };
        Self {
            network,
            options,
            seeds,
            messages,
            session,
            own_labels: Stream::new(derive(seeds[1], 4), LABEL, 1).block(),
            ots: Extension::new(pairing.trees.of_session(session), pairing.delta),
            pairing,
            prepared: 0,
            compared: network.ops.iter().map(|&op| options.compares(op)).collect(),
            backward: None,
            base_ot,
            carries: [0; 2],
            followed: None,
        }
    }

    /// 7.2 to 7.4: what set-up makes, and the coefficients of the base OTs' answer.
    fn set_up(
        session: u128,
        nonces: [Seed; 2],
        k: usize,
        [client, server]: [Seed; 2],
        mut send: impl FnMut(bool, u8, Vec<u8>),
    ) -> (Pairing, [Vec<u64>; 2]) {
        // 7.2, and the first step of 7.3
        let delta = Stream::new(derive(server, 4), LABEL, 0).block() | 1;
        let server_key = Key::new(derive(server, 0), N);
        let [noise, public] = [derive(server, 1), derive(server, 2)];
        let b = server_key.encrypt(&[0; N], 4, 0, public, noise);
        let choices: Vec<i128> =
            (0..16 * 128).map(|slot| i128::from(bit(delta, slot / 16))).collect();
        let encoded: Vec<u128> = slots(&choices).iter().map(|&m| encode(m, T, 4)).collect();
        let bits = server_key.encrypt(&encoded, 4, 1, public, noise);
        let mut keys = public.to_vec();
        for i in 0..4 {
            keys.extend(limb_bytes(&b, i));
            keys.extend(limb_bytes(&bits, i));
        }
        send(false, 5, keys);
        let server_public = PublicKey { seed: public, number: 0, b };

        let (secret, noise) = (derive(client, 0), derive(client, 1));
        let common = sha256(&[b"MiniONN key", &nonces.concat()[..]].concat());
        let keys = [2, 3].map(|limbs| Key::new(secret, degree(limbs)));
        let public = [(2, 1), (3, 0)].map(|(limbs, number)| {
            let zero = vec![0; degree(limbs)];
            let b = keys[limbs - 2].encrypt(&zero, limbs, number, common, noise);
            PublicKey { seed: common, number, b }
        });

        // 7.3 and 7.4
        let mut roots = Stream::new(secret, LABEL, 0);
        let trees = Trees::new(session, k, || roots.block());
        let mut random = Stream::new(derive(client, 6), LABEL, 0);
        let messages = trees.encoded_messages(session, || random.block());
        let of_slots = |f: &dyn Fn(&[[u128; 2]; 2]) -> Vec<i128>| {
            slots(&messages.iter().flat_map(f).collect::<Vec<_>>())
        };
        let differences =
            of_slots(&|&[m0, m1]| words(m0).zip(words(m1)).map(|(w0, w1)| w1 - w0).collect());
        let centred = differences
            .iter()
            .map(|&x| if x > T / 2 { i128::from(x) - i128::from(T) } else { x.into() })
            .collect();
        let plain: Vec<u128> =
            of_slots(&|&[m0, _]| words(m0).collect()).iter().map(|&m| encode(m, T, 4)).collect();
        let c1 = uniform_limbs(server_public.seed, 1, 4);
        let (seed, all) = (derive(client, 3), (0..N).collect::<Vec<_>>());
        let [x0, x1] = answer(&server_public, &[(&bits, c1, centred)], 4, (seed, 0), &all);
        let flooded =
            x0.iter().zip(flooding(seed, 0, base_flooding(), N)).zip(plain).map(
                |((&x, f), plain)| (x as i128 + f + plain as i128).rem_euclid(modulus(4) as i128),
            );
        let c0: Vec<u64> = flooded.map(|x| rescale(x as u128, 4, 21)).collect();
        let c1: Vec<u64> = x1.iter().map(|&x| rescale(x, 4, 26)).collect();
        let pairing = Pairing { id: session, secret, keys, public, trees, delta };
        send(true, 7, [pack_all(&c0, 21), pack_all(&c1, 26)].concat());
        send(true, 6, pairing.client_keys());

        // The server's side of 7.3, to see that it gets what it chose.
        let decrypted: Vec<u64> = (0..N)
            .map(|k| ((phase(&server_key, 26, c0[k], &c1, k) * T + (1 << 25)) >> 26) % T)
            .collect();
        for (j, received) in transform(&decrypted, T).chunks(16).take(128).enumerate() {
            assert!(received.iter().all(|&word| word < 1 << 16), "at most 16 bits");
            let block = |words: &[u64]| {
                words.iter().rev().fold(0, |block, &word| block << 16 | u128::from(word))
            };
            let chosen = bit(delta, j);
            let message = decoded(session, j, chosen, [&received[..8], &received[8..]].map(block));
            let (m0, m1) = pairing.trees.messages[j];
            assert_eq!(message, if chosen { m1 } else { m0 });
        }
        send(false, 8, vec![]);
        (pairing, [c0, c1])
    }

    /// Tells the server that the client has kept its half of the pairing.
    pub fn keep(&mut self) {
        self.send(true, 21, vec![]);
    }

    fn send(&mut self, up: bool, tag: u8, payload: Vec<u8>) {
        self.messages.push(Message { up, tag, payload });
    }

    /// One stock of predictions, offline and online; returns what the client learns: index of the
    /// greatest, opened tensor.
    pub fn predict(&mut self, inputs: &[Vec<i64>]) -> Vec<(usize, Vec<i64>)> {
        assert!(inputs.len() <= self.options.stock);
        let mut stock = self.offline();
        let first = self.prepared * self.options.stock as u64;
        self.prepared += 1;
        let stored: Vec<_> = stock.iter_mut().enumerate().collect();
        inputs
            .iter()
            .zip(stored)
            .map(|(x, (i, prediction))| self.online(prediction, first + i as u64, x))
            .collect()
    }

    /// Says good-bye.
    pub fn close(&mut self) {
        self.send(true, 20, vec![]);
    }

    fn offline(&mut self) -> Vec<Prediction> {
        let ops = self.network.ops.clone();
        let stock = self.options.stock;
        self.send(true, 9, vec![]);
        let [client_seed, server_seed] =
            self.seeds.map(|seed| derive(derive(seed, 5), self.prepared));

        // 8.1
        let mut random = Stream::new(client_seed, MASK, 0);
        let mut draw = |count: usize, bits: u32| {
            (0..count).map(|_| random.u64() % (1 << bits)).collect::<Vec<_>>()
        };
        let mut predictions = vec![Prediction::default(); stock];
        for p in &mut predictions {
            p.client.push(draw(ops[0].inputs(), ops[0].ring()));
            for &op in &ops {
                p.client.push(match op {
                    Op::Activation { ring_out, .. } | Op::MaxPool { ring_out, .. } => {
                        draw(op.outputs(), ring_out.into())
                    }
                    Op::Square { .. } => draw(op.outputs(), op.ring()),
                    _ => vec![0; op.outputs()],
                });
            }
        }

        // 8.2, 8.3
        let mut random = Stream::new(server_seed, MASK, 0);
        let (mut linear, mut waiting) = (0, vec![]);
        for (o, &op) in ops.iter().enumerate() {
            let is_linear = matches!(op, Op::FullyConnected { .. });
            // Operations form a chain: each reads what the one before has made.
            if (is_linear || matches!(op, Op::SumPool { .. }))
                && waiting.iter().any(|&before| before + 1 == o)
            {
                self.carry_round(&mut waiting, &mut predictions);
            }
            for p in &mut predictions {
                p.u.push(vec![0; if is_linear { op.outputs() } else { 0 }]);
                if let Op::SumPool { window, .. } = op {
                    let wide: Vec<i128> = p.client[o].iter().map(|&x| x.into()).collect();
                    p.client[o + 1] =
                        window.sums(&wide).iter().map(|&sum| ring(sum, op.ring())).collect();
                }
            }
            if is_linear {
                let seeds =
                    (derive(client_seed, o as u64 + 1), derive(server_seed, linear as u64 + 1));
                self.linear(op, linear, seeds, o, &mut predictions);
                waiting.push(o);
                linear += 1;
            }
        }
        if !waiting.is_empty() {
            self.carry_round(&mut waiting, &mut predictions);
        }

        // 8.4, 8.6
        let stored = !self.options.streamed;
        let run = self.compared.contains(&true) || stored && ops.iter().any(|&op| has_choices(op));
        let mut corrections = if run { self.ots.start() } else { vec![] };
        let (base, mut tables) = self.start_backward([client_seed, server_seed]);
        corrections.extend(base);
        for (i, p) in predictions.iter_mut().enumerate().filter(|_| stored) {
            let number = self.prepared * stock as u64 + i as u64;
            for (o, &op) in ops.iter().enumerate() {
                corrections.extend(self.extend(op, o, number, p));
            }
        }
        if run {
            corrections.extend(self.ots.finish());
            self.send(true, 12, corrections);
        }

        // 8.5
        if stored {
            for (i, p) in predictions.iter_mut().enumerate() {
                for (o, &op) in ops.iter().enumerate() {
                    let layer = (self.prepared * stock as u64 + i as u64) << 16 | o as u64;
                    tables.extend(self.products(op, o, layer, p, &mut random));
                    tables.extend(&p.compared[o].corrections);
                    for (g, last) in self.garbled(op, o, layer, &p.labels[o].1) {
                        tables.extend(g.tables.concat());
                        tables.extend(last);
                    }
                }
            }
            if let Some(backward) = &mut self.backward {
                tables.extend(backward.ots.finish());
            }
        }
        if !tables.is_empty() {
            self.send(false, 13, tables);
        }
        predictions
    }

    /// 8.4: the OTs of one operation of prediction `number`: their labels go to the prediction, the
    /// corrections come back.
    fn extend(&mut self, op: Op, o: usize, number: u64, p: &mut Prediction) -> Vec<u8> {
        let (mut choices, mut corrections, mut compared) =
            (vec![], vec![], compare::Ready::default());
        if self.compared[o] {
            (compared, corrections) = self.compare(op, o, number, p);
        } else {
            let mut bits = |x: u64, width: u32| choices.extend((0..width).map(|b| x >> b & 1 == 1));
            for (neuron, window) in op.windows().iter().enumerate() {
                window.iter().for_each(|&i| bits(p.client[o][i], op.ring()));
                if let Some((_, _, ring_out)) = op.function() {
                    bits(p.client[o + 1][neuron], ring_out);
                }
            }
        }
        let labels = self.ots.transfer(&choices);
        corrections.extend(labels.corrections);
        p.labels.push((labels.t, labels.q));
        p.compared.push(compared);
        corrections
    }

    /// 8.5: the products of one operation: both shares go to the prediction, the corrections come
    /// back.
    fn products(
        &self,
        op: Op,
        o: usize,
        layer: u64,
        p: &mut Prediction,
        random: &mut Stream,
    ) -> Vec<u8> {
        let (mut products, mut corrections) = (vec![], vec![]);
        if let Op::Square { .. } = op {
            for e in 0..op.inputs() {
                let (bits, a) = (op.ring(), random.u64() % (1 << op.ring()));
                let labels = e * bits as usize..(e + 1) * bits as usize;
                let (t, q) = (&p.labels[o].0[labels.clone()], &p.labels[o].1[labels]);
                let tweak = (u128::from(layer) << 40) + ((e as u128) << 8);
                let product =
                    product(self.session, bits, a, p.client[o][e], q, t, self.ots.delta, tweak);
                corrections
                    .extend(pack(product.corrections.iter().zip(0..).map(|(&c, i)| (c, bits - i))));
                products.push([a, product.p_s, product.p_c]);
            }
        }
        p.products.push(products);
        corrections
    }

    /// The garbled neurons of an operation, each with what follows its tables.
    fn garbled(&self, op: Op, o: usize, layer: u64, q: &[u128]) -> Vec<(Garbled, Vec<u8>)> {
        let Some(circuit) = circuit(op).filter(|_| !self.compared[o]) else { return vec![] };
        let each = |(neuron, zero): (usize, &[u128])| {
            let g =
                circuit.garble(self.session, self.own_labels, self.ots.delta, layer, neuron, zero);
            let last =
                if let Op::Argmax { .. } = op { g.permute.to_le_bytes().to_vec() } else { vec![] };
            (g, last)
        };
        q.chunks(q.len() / op.windows().len()).enumerate().map(each).collect()
    }

    fn linear(
        &mut self,
        op: Op,
        linear: usize,
        seeds: (Seed, Seed),
        o: usize,
        predictions: &mut [Prediction],
    ) {
        let tile = Tile::choose(op, self.options.stock).unwrap();
        let (public, noise) = (derive(seeds.0, 0), derive(seeds.0, 1));
        let (bits, limbs) = (tile.ring, tile.limbs);
        let own_key = self.pairing.keys[limbs - 2].clone();

        let [sent_up, sent_down] =
            [0, 1].map(|_| self.followed.as_mut().map(|sent| sent.pop_front().unwrap()));
        let (mut up, mut payload) = (vec![], public.to_vec());
        let mut sent = sent_up.as_ref().map(|sent| &sent[32..]);
        for batch in 0..tile.batches() {
            for chunk in 0..tile.chunks() {
                let mut m = vec![0; tile.degree()];
                for b in 0..tile.n_b.min(tile.stock - batch * tile.n_b) {
                    for j in 0..tile.n_w.min(tile.inputs - chunk * tile.n_w) {
                        let share =
                            predictions[batch * tile.n_b + b].client[o][chunk * tile.n_w + j];
                        m[b * tile.n_o * tile.n_w + j] =
                            encode(share % (1 << bits), 1 << bits, limbs);
                    }
                }
                let c0 = own_key.encrypt(&m, limbs, up.len() as u64, public, noise);
                up.push(if let Upload::Rounded(bits) = tile.up {
                    let mut y = round_upload(&c0, bits);
                    follow(&mut y, bits, &mut sent);
                    payload.extend(pack_all(&y, bits));
                    read_upload(&y, limbs, bits)
                } else {
                    payload.extend(whole_upload(&c0));
                    c0
                });
            }
        }
        assert_eq!(payload.len(), tile.upload());
        let answers = sha256(&[b"MiniONN answers", &seeds.1[..], &payload].concat());
        let mut random = Stream::new(answers, MASK, 0);
        for u in predictions.iter_mut().flat_map(|p| &mut p.u[o]) {
            *u = random.u64() % (1 << (op.ring() + 5));
        }
        self.send(true, 10, payload);

        let (mut payload, mut given) = (vec![], sent_down.as_deref());
        for down in 0..tile.batches() * tile.groups() {
            let (batch, group) = (down / tile.groups(), down % tile.groups());
            let results = tile.results(batch, group);
            let products: Vec<_> = (0..tile.chunks())
                .map(|c| {
                    let number = batch * tile.chunks() + c;
                    (
                        &up[number],
                        uniform_limbs(public, number as u64, limbs),
                        tile.weights(&self.network.weights[linear], group, c),
                    )
                })
                .collect();
            let at: Vec<usize> = results.iter().map(|r| r.2).collect();
            let public_key = &self.pairing.public[limbs - 2];
            let [x0, x1] = answer(public_key, &products, limbs, (answers, down as u64), &at);
            let mut c1: Vec<u64> = x1.iter().map(|&x| rescale(x, limbs, bits + 10)).collect();
            follow(&mut c1, bits + 10, &mut given);
            let mut masked = vec![];
            for (&(p, i, _), &x0) in results.iter().zip(&x0) {
                let [t, u] = mask(rescale(x0, limbs, bits + 5), predictions[p].u[o][i], bits);
                masked.push(t);
                predictions[p].u[o][i] = u;
            }
            follow(&mut masked, bits + 5, &mut given);
            for (&(p, i, k), &t) in results.iter().zip(&masked) {
                predictions[p].client[o + 1][i] =
                    unmask(phase(&own_key, bits + 10, t, &c1, k), bits);
            }
            payload.extend(pack_all(&c1, bits + 10));
            payload.extend(pack_all(&masked, bits + 5));
        }
        assert_eq!(payload.len(), tile.download());
        self.send(false, 11, payload);
        for p in predictions {
            let of_shares = self.times(linear, &p.client[o]);
            for ((product, &v), &u) in of_shares.iter().zip(&p.client[o + 1]).zip(&p.u[o]) {
                let carry = ring(i128::from(v) + i128::from(u) - 2 * product, bits + 1);
                assert!(carry < 2, "v + u = 2·W·r + ε");
                self.carries[carry as usize] += 1;
            }
        }
    }

    /// `W·x`.
    fn times(&self, linear: usize, x: &[u64]) -> Vec<i128> {
        self.network.weights[linear]
            .chunks(x.len())
            .map(|row| row.iter().zip(x).map(|(&w, &x)| i128::from(w) * i128::from(x)).sum())
            .collect()
    }

    /// 8.3: removes the carries of the layers that wait.
    fn carry_round(&mut self, waiting: &mut Vec<usize>, predictions: &mut [Prediction]) {
        let mut choices = vec![];
        for &o in &*waiting {
            for p in &*predictions {
                choices.extend(p.client[o + 1].iter().map(|v| v & 1 == 1));
            }
        }
        let mask = self.ots.start();
        let labels = self.ots.transfer(&choices);
        let proof = self.ots.finish();
        self.send(true, 12, [mask, labels.corrections, proof].concat());
        let (mut payload, mut next) = (vec![], 0);
        for o in core::mem::take(waiting) {
            let bits = self.network.ops[o].ring();
            let mut corrections = vec![];
            for (i, p) in predictions.iter_mut().enumerate() {
                let number = self.prepared * self.options.stock as u64 + i as u64;
                for j in 0..p.u[o].len() {
                    let ot = count(&mut next);
                    let [c, server, client] = carry(
                        self.session,
                        bits,
                        [p.u[o][j], p.client[o + 1][j]],
                        [labels.q[ot], labels.t[ot]],
                        self.ots.delta,
                        (u128::from(number << 16 | o as u64) << 40) + ((j as u128) << 8),
                    );
                    corrections.push(c);
                    p.u[o][j] = server;
                    p.client[o + 1][j] = client;
                }
            }
            payload.extend(pack_all(&corrections, bits));
        }
        self.send(false, 23, payload);
    }

    fn online(&mut self, p: &mut Prediction, number: u64, x: &[i64]) -> (usize, Vec<i64>) {
        let ops = self.network.ops.clone();
        let bits = ops[0].ring();
        let mut server: Vec<u64> = x
            .iter()
            .zip(&p.client[0])
            .map(|(&x, &r)| ring(i128::from(x) - i128::from(r), bits))
            .collect();
        self.send(true, 14, pack_all(&server, bits));
        // Streamed: factors of products that are made now.
        let stock = self.options.stock as u64;
        let seed = derive(derive(derive(self.seeds[1], 5), number / stock), 0);
        let mut random = Stream::new(seed, MASK, number % stock);
        let mut linear = 0;
        for (o, &op) in ops.iter().enumerate() {
            let (bits, layer) = (op.ring(), number << 16 | o as u64);
            let mut opening = vec![];
            if self.options.streamed {
                let choices = has_choices(op);
                let mask = if choices { self.ots.start() } else { vec![] };
                let corrections = self.extend(op, o, number, p);
                if choices {
                    let proof = self.ots.finish();
                    self.send(true, 12, [mask, corrections, proof].concat());
                }
                opening = self.products(op, o, layer, p, &mut random);
            }
            server.iter_mut().for_each(|x| *x %= 1 << bits);
            let client = p.client[o].iter().map(|&x| x % (1 << bits)).collect::<Vec<_>>();
            if self.compared[o] {
                server = self.select(op, layer, &p.compared[o], &server);
                continue;
            }
            match op {
                Op::FullyConnected { .. } => {
                    let own = self.network.biases[linear].iter().zip(&p.u[o]);
                    server = own
                        .zip(self.times(linear, &server))
                        .map(|((&b, &u), product)| {
                            ring(product + i128::from(b) + i128::from(u), bits)
                        })
                        .collect();
                    linear += 1;
                }
                Op::SumPool { window, .. } => {
                    let wide: Vec<i128> = server.iter().map(|&x| x.into()).collect();
                    server = window.sums(&wide).iter().map(|&sum| ring(sum, bits)).collect();
                }
                Op::Activation { .. } | Op::MaxPool { .. } | Op::Argmax { .. } => {
                    let (t, q) = &p.labels[o];
                    let (circuit, windows) = (circuit(op).unwrap(), op.windows());
                    let (mut labels, mut colours, mut permute) = (vec![], vec![], vec![]);
                    for (neuron, (g, last)) in self.garbled(op, o, layer, q).iter().enumerate() {
                        let mut active = vec![];
                        for (step, &element) in windows[neuron].iter().enumerate() {
                            let share = server[element];
                            let of_bit = |(b, &zero): (usize, &u128)| {
                                zero ^ if share >> b & 1 == 1 { self.ots.delta } else { 0 }
                            };
                            active.push(
                                g.server_zero[step]
                                    .iter()
                                    .enumerate()
                                    .map(of_bit)
                                    .collect::<Vec<_>>(),
                            );
                            if self.options.streamed {
                                labels.extend(&g.tables[step]);
                            }
                            labels.extend(active[step].iter().flat_map(|l| l.to_le_bytes()));
                        }
                        if self.options.streamed {
                            labels.extend(last);
                        }
                        let own = &t[neuron * t.len() / windows.len()
                            ..(neuron + 1) * t.len() / windows.len()];
                        colours.push(circuit.evaluate(
                            self.session,
                            layer,
                            neuron,
                            &g.tables,
                            &active,
                            own,
                        ));
                        permute.push(g.permute);
                    }
                    self.send(false, 15, labels);
                    if let Some((_, _, ring_out)) = op.function() {
                        self.send(true, 16, pack_all(&colours, ring_out));
                        server = colours.iter().zip(permute).map(|(c, p)| c ^ p).collect();
                    } else {
                        return ((colours[0] ^ permute[0]) as usize, vec![]);
                    }
                }
                Op::Square { .. } => {
                    let wide = |x: u64| i128::from(x);
                    let delta: Vec<u64> = server
                        .iter()
                        .zip(&p.products[o])
                        .map(|(&y, &[a, ..])| ring(wide(y) - wide(a), bits))
                        .collect();
                    opening.extend(pack_all(&delta, bits));
                    self.send(false, 17, opening);
                    let answer: Vec<u64> = (0..delta.len())
                        .map(|e| {
                            let (y, [_, _, p_c], r) =
                                (wide(client[e]), p.products[o][e], wide(p.client[o + 1][e]));
                            // Wrapping: δ·y has up to 88 bits.
                            ring(y * y + 2 * (wide(p_c) + wide(delta[e]) * y) - r, bits)
                        })
                        .collect();
                    self.send(true, 18, pack_all(&answer, bits));
                    server = (0..answer.len())
                        .map(|e| {
                            ring(
                                wide(server[e]) * wide(server[e])
                                    + 2 * wide(p.products[o][e][1])
                                    + wide(answer[e]),
                                bits,
                            )
                        })
                        .collect();
                }
                Op::Reveal { .. } => {
                    self.send(false, 19, pack_all(&server, bits));
                    let opened: Vec<i64> = server
                        .iter()
                        .zip(&client)
                        .map(|(&s, &c)| signed(ring(i128::from(s) + i128::from(c), bits), bits))
                        .collect();
                    let best = (0..opened.len()).rev().max_by_key(|&i| opened[i]).unwrap();
                    return (best, opened);
                }
            }
        }
        unreachable!("a plan ends with an output")
    }
}
