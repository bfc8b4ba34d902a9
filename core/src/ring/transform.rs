//! The negacyclic number-theoretic transform.
//!
//! It is plain (no Montgomery factor): index `i` of the output is the value at `ψ^(2·brv(i) + 1)`,
//! with brv over `log2(n)` bits and ψ as in [`Limb::new`].

use crate::backend::{self, layers};
use crate::params::N;
use crate::prime::Limb;

impl Limb {
    /// Transforms `a` (length a power of two, 4 to N) in place. Input in `(−q, q)`; output in `(−q,
    /// q)`. Inside, after layer i representatives are below `B_i·q` with `B_0 = 1`, `B_{i+1} =
    /// B_i·(1 + 1/63) + 1/2`: 7.8 after 12 layers of the widest primes.
    ///
    /// Two layers at a time where there are no vectors: half the loads and stores, and a third of
    /// the factors.
    pub fn forward(&self, a: &mut [i32]) {
        backend::limb::forward(self, a);
    }

    /// The transform without vectors.
    pub(crate) fn forward_in_passes(&self, a: &mut [i32]) {
        debug_assert!(a.len().is_power_of_two() && (4..=N).contains(&a.len()));
        let mut blocks = 1;
        if a.len().trailing_zeros() % 2 == 1 {
            self.forward_layer(a);
            blocks = 2;
        }
        while blocks <= a.len() / 4 {
            layers::forward(self, a, blocks);
            blocks *= 4;
        }
    }

    /// Undoes [`Limb::forward`]. Input in `(−q, q)`; output in `(−q, q)`.
    ///
    /// Two layers at a time where there are no vectors: of four values below 2q, the sum of all, at
    /// most 8q, is reduced below `0.6q`, the sum of two products stays below 2q, the other two
    /// are products.
    pub fn inverse(&self, a: &mut [i32]) {
        backend::limb::inverse(self, a);
    }

    /// The inverse without vectors.
    pub(crate) fn inverse_in_passes(&self, a: &mut [i32]) {
        debug_assert!(a.len().is_power_of_two() && (4..=N).contains(&a.len()));
        let mut blocks = a.len() / 4;
        while blocks > 0 {
            layers::inverse(self, a, blocks);
            blocks /= 4;
        }
        if a.len().trailing_zeros() % 2 == 1 {
            self.inverse_layer(a);
        }
        let scale = self.scale(a.len());
        for x in a {
            *x = self.mul(*x, scale);
        }
    }

    /// The first layer alone, for lengths that are no power of four.
    fn forward_layer(&self, a: &mut [i32]) {
        let (low, high) = a.split_at_mut(a.len() / 2);
        for (x, y) in low.iter_mut().zip(high) {
            let t = self.mul(*y, self.root);
            (*x, *y) = (*x + t, *x - t);
        }
    }

    /// Undoes [`Self::forward_layer`] but for a factor of 2.
    fn inverse_layer(&self, a: &mut [i32]) {
        let (low, high) = a.split_at_mut(a.len() / 2);
        for (x, y) in low.iter_mut().zip(high) {
            (*x, *y) = (*x + *y, self.mul(*y - *x, self.root));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::SMALL_N;
    use crate::prime::{LIMBS, SLOT, pow};
    use std::vec::Vec;

    fn product(limb: &Limb, a: &[u64], b: &[u64]) -> Vec<u64> {
        let load = |v: &[u64]| v.iter().map(|&x| limb.centre(x as u32)).collect::<Vec<_>>();
        let (mut a, mut b) = (load(a), load(b));
        limb.forward(&mut a);
        limb.forward(&mut b);
        for (a, b) in a.iter_mut().zip(&b) {
            *a = limb.mul(*a, limb.to_montgomery(*b));
        }
        limb.inverse(&mut a);
        a.iter().map(|&x| u64::from(limb.canonical(x))).collect()
    }

    /// The vectors of tests/vectors/negacyclic.json; see there for the generator.
    struct Lcg(u64);
    impl Lcg {
        fn next(&mut self) -> u64 {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            self.0 >> 33
        }
        fn wide(&mut self, m: u64) -> u64 {
            let high = self.next() << 31;
            (high | self.next()) % m
        }
    }

    #[test]
    fn reference_vectors() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/negacyclic.json");
        let file: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let numbers = |v: &serde_json::Value| {
            v.as_array().unwrap().iter().map(|x| x.as_u64().unwrap()).collect::<Vec<_>>()
        };
        let mut checked = 0;
        for group in file["testGroups"].as_array().unwrap() {
            let q = group["params"]["q"].as_u64().unwrap();
            if q >= 1 << 27 {
                continue; // the paper's 37-bit N: not a limb
            }
            let (limb, n) = (Limb::new(q as u32), group["params"]["n"].as_u64().unwrap());
            for t in group["tests"].as_array().unwrap() {
                if group["type"] == "product" {
                    assert_eq!(
                        product(&limb, &numbers(&t["a"]), &numbers(&t["b"])),
                        numbers(&t["product"]),
                        "q {q}, n {n}"
                    );
                } else {
                    let mut g = Lcg(q);
                    let a: Vec<u64> = (0..n).map(|_| g.wide(q)).collect();
                    let mut b = std::vec![0; n as usize];
                    for _ in 0..64 {
                        // make.py assigns `b[wide(g, n)] = wide(g, q)`: Python draws the value
                        // before the position.
                        let value = g.wide(q);
                        b[g.wide(n) as usize] = value;
                    }
                    use sha2::Digest as _;
                    let bytes: Vec<u8> =
                        product(&limb, &a, &b).iter().flat_map(|x| x.to_le_bytes()).collect();
                    let hex: std::string::String = sha2::Sha256::digest(&bytes)
                        .iter()
                        .map(|b| std::format!("{b:02x}"))
                        .collect();
                    assert_eq!(hex, t["product_sha256"].as_str().unwrap(), "q {q}, n {n}");
                }
                checked += 1;
            }
        }
        assert_eq!(checked, 55);
    }

    #[test]
    fn extreme_values_stay_within_bounds() {
        let n = [4, 8, 16, 1024, SMALL_N, N];
        for (limb, n) in LIMBS.iter().chain([&SLOT]).flat_map(|limb| n.map(|n| (limb, n))) {
            let top = limb.q - 1;
            let signs = |sign: fn(usize) -> bool| {
                (0..n).map(|i| if sign(i) { top } else { -top }).collect::<Vec<_>>()
            };
            for input in [
                signs(|_| true),
                signs(|_| false),
                signs(|i| i % 2 == 0),
                signs(|i| i.count_ones() % 2 == 0),
                std::vec![limb.q / 2; n],
            ] {
                let vectors: [fn(&Limb, &mut [i32]); 2] = [Limb::forward, Limb::inverse];
                let passes: [fn(&Limb, &mut [i32]); 2] =
                    [Limb::forward_in_passes, Limb::inverse_in_passes];
                for [forward, inverse] in [vectors, passes] {
                    let mut a = input.clone();
                    forward(limb, &mut a);
                    assert!(a.iter().all(|x| x.abs() < limb.q));
                    inverse(limb, &mut a);
                    assert!(
                        a.iter().zip(&input).all(|(&x, &y)| limb.canonical(x) == limb.canonical(y)),
                        "{n} values modulo {}",
                        limb.q
                    );
                }
            }
        }
    }

    #[test]
    fn transform_is_evaluation_at_odd_powers() {
        for limb in LIMBS.iter().chain([&SLOT]) {
            let q = limb.q as u64;
            let psi = (2..)
                .map(|g| pow(g, (q - 1) / (2 * N as u64), q))
                .find(|&psi| pow(psi, N as u64, q) == q - 1)
                .unwrap();
            let root = u64::from(limb.canonical(limb.mul(limb.root, 1)));
            assert_eq!(pow(psi, N as u64 / 2, q), root);
            for n in [N, SMALL_N] {
                let psi = pow(psi, (N / n) as u64, q);
                assert_eq!(pow(psi, n as u64, q), q - 1);
                let mut a = std::vec![0; n];
                a[1] = 1;
                limb.forward(&mut a);
                for (i, &a) in (0_u32..).zip(&a) {
                    let exponent = 2 * u64::from(i.reverse_bits() >> (32 - n.ilog2())) + 1;
                    assert_eq!(u64::from(limb.canonical(a)), pow(psi, exponent, q));
                }
            }
        }
    }
}
