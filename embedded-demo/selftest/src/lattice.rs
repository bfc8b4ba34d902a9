//! The transform of a limb.

use minionn_core::params::{N, SMALL_N};
use minionn_core::ring::LIMBS;
use sha2::{Digest as _, Sha256};

/// The generator of tests/vectors/make.py.
struct Lcg(u64);

impl Lcg {
    fn next(&mut self) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }
    fn wide(&mut self, m: u64) -> u64 {
        let high = self.next() << 31;
        (high | self.next()) % m
    }
}

/// A product of two polynomials of degree 4096, against the reference vector: the first bytes of
/// `product_sha256` for this degree and q = 134176769 in tests/vectors/negacyclic.json.
pub(crate) fn product() -> bool {
    let (mut a, mut b) = ([0; N], [0; N]);
    is_product(&mut a, &mut b, [0x76, 0xd8, 0x3b, 0x8c, 0x4b, 0xc0, 0x0c, 0x90])
}

/// The same of degree 2048.
pub(crate) fn small_product() -> bool {
    let (mut a, mut b) = ([0; SMALL_N], [0; SMALL_N]);
    is_product(&mut a, &mut b, [0x0f, 0x06, 0xce, 0x6c, 0x02, 0x22, 0xaa, 0xac])
}

/// Whether the product of the two polynomials that the generator puts into `a` and `b` has this
/// hash.
fn is_product(a: &mut [i32], b: &mut [i32], hash: [u8; 8]) -> bool {
    let limb = &LIMBS[0];
    let q = limb.q as u64;
    let mut g = Lcg(q);
    a.fill_with(|| limb.centre(g.wide(q) as u32));
    for _ in 0..64 {
        let value = limb.centre(g.wide(q) as u32);
        b[g.wide(b.len() as u64) as usize] = value;
    }
    limb.forward(a);
    limb.forward(b);
    for (a, b) in a.iter_mut().zip(b.iter()) {
        *a = limb.mul(*a, limb.to_montgomery(*b));
    }
    limb.inverse(a);
    let mut sha = Sha256::new();
    for &x in a.iter() {
        sha.update(u64::from(limb.canonical(x)).to_le_bytes());
    }
    sha.finalize().starts_with(&hash)
}
