//! The transform of a limb, and a garbled neuron.

use minionn_core::garble::{Evaluator, Function, Garbler, Neuron, totals};
use minionn_core::hash::Tmmo;
use minionn_core::params::N;
use minionn_core::ring::{LIMBS, Modulus};
use sha2::{Digest as _, Sha256};

/// The generator of tests/vectors/make.py.
struct Lcg(u64);

impl Lcg {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }
    fn wide(&mut self, m: u64) -> u64 {
        let high = self.next() << 31;
        (high | self.next()) % m
    }
}

/// First bytes of `product_sha256` for q = 134176769, n = 4096 in tests/vectors/negacyclic.json.
const PRODUCT: [u8; 8] = [0x76, 0xd8, 0x3b, 0x8c, 0x4b, 0xc0, 0x0c, 0x90];

/// A product of two polynomials of degree 4096, against the reference vector.
pub(crate) fn product() -> bool {
    let (mut a, mut b) = ([0; N], [0; N]);
    let limb = &LIMBS[0];
    let q = limb.q as u64;
    let mut g = Lcg(q);
    a.fill_with(|| limb.centre(g.wide(q) as u32));
    for _ in 0..64 {
        let value = limb.centre(g.wide(q) as u32);
        b[g.wide(N as u64) as usize] = value;
    }
    limb.forward(&mut a);
    limb.forward(&mut b);
    for (a, b) in a.iter_mut().zip(b.iter()) {
        *a = limb.mul(*a, limb.to_montgomery(*b));
    }
    limb.inverse(&mut a);
    let mut hash = Sha256::new();
    for x in a {
        hash.update(u64::from(limb.canonical(x)).to_le_bytes());
    }
    hash.finalize().starts_with(&PRODUCT)
}

/// ReLU and truncation of shared values, garbled and evaluated, against the integers.
pub(crate) fn neuron() -> bool {
    const BITS: u8 = 16;
    let ring = Modulus::Bits(BITS);
    let circuit = Neuron { function: Function::Relu, modulus_in: ring, modulus_out: ring, shift: 5 };
    let shape = totals(&circuit);
    let (session, secret, delta) = (Tmmo::new(1), Tmmo::new(2), 0x1234_5678_9abc_def1_u128);
    let (mut tables, mut server) = ([0; 2048], [0; BITS as usize]);
    let Some(tables) = tables.get_mut(..shape.ands as usize * 32) else { return false };
    [(40_000_u64, 1_234_u64), (-5_000_i64 as u64, 7), (31_000, 65_535)].into_iter().enumerate().all(|(layer, (y, r))| {
        let (y, share) = (ring.reduce(y), 0x5a5a);
        let zero: [u128; 2 * BITS as usize] = core::array::from_fn(|i| ((i as u128 + 99) << 64) | (0x77 * i as u128));
        let mut decode = [0];
        let garbler = Garbler::new(&session, &secret, delta, layer as u64);
        if garbler.garble_neurons::<_, 1>(&circuit, 0, 1, &zero, tables, &mut decode).is_err() {
            return false;
        }
        garbler.active_labels(0, 0, ring.sub(y, share), BITS.into(), &mut server);
        let chosen = share | (r << BITS);
        let client: [u128; 2 * BITS as usize] = core::array::from_fn(|i| zero[i] ^ (delta * u128::from((chosen >> i) & 1)));
        let mut colours = [0];
        let evaluator = Evaluator::new(&session, layer as u64);
        let done = evaluator.evaluate_neurons::<_, 1>(&circuit, 0, 1, tables, &server, &client, &mut colours);
        done.is_ok() && ring.add(colours[0] ^ decode[0], r) == ring.from_signed(ring.to_signed(y).max(0) >> 5)
    })
}
