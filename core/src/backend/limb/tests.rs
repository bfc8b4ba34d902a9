//! Every path against the portable one.

use super::*;
use crate::params::{N, PRIMES, SMALL_N};
use crate::prime::{RECIPROCALS, montgomery_inverse};
use crate::ring::{LIMBS, SLOT};
use crate::rng::{Domain, Seed};
use std::vec::Vec;

/// All moduli in use.
fn limbs() -> impl Iterator<Item = &'static Limb> {
    LIMBS.iter().chain([&SLOT])
}

/// Polynomials of values in `(−q, q)`: all at one extreme, at alternating ones, and random.
fn inputs(limb: &Limb, len: usize) -> Vec<Vec<i32>> {
    let top = limb.q - 1;
    let mut inputs: Vec<Vec<i32>> = [top, -top, 0].iter().map(|&x| std::vec![x; len]).collect();
    inputs.push((0..len).map(|i| if i % 2 == 0 { top } else { -top }).collect());
    inputs.push((0..len).map(|i| if i.count_ones() % 2 == 0 { top } else { -top }).collect());
    for seed in 0..3 {
        inputs.push(random(limb, seed, len));
    }
    inputs
}

/// Random values in `(−q, q)`.
fn random(limb: &Limb, seed: u64, len: usize) -> Vec<i32> {
    let mut random = Seed([5; 32]).stream(Domain::Mask, seed);
    let sign = |x: i32, negative: u32| if negative & 1 == 1 { -x } else { x };
    (0..len).map(|_| sign((random.next_u32() % limb.q as u32) as i32, random.next_u32())).collect()
}

/// The elements of `[0, q)`; asserts that representatives are within their bounds.
fn classes(limb: &Limb, values: &[i32]) -> Vec<u32> {
    assert!(values.iter().all(|x| x.abs() < limb.q));
    values.iter().map(|&x| limb.canonical(x)).collect()
}

/// Lengths around every block edge.
const LENGTHS: [usize; 14] = [0, 1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, SMALL_N, N];

/// Runs both paths on copies of `out` and compares classes.
fn agree(
    limb: &Limb,
    out: &[i32],
    fast: impl FnOnce(&mut [i32]),
    portable: impl FnOnce(&mut [i32]),
) {
    let (mut a, mut b) = (out.to_vec(), out.to_vec());
    fast(&mut a);
    portable(&mut b);
    assert_eq!(classes(limb, &a), classes(limb, &b), "q = {}, {} values", limb.q, out.len());
}

#[test]
fn transforms() {
    for limb in limbs() {
        for input in [4, 8, 256, SMALL_N, N].into_iter().flat_map(|n| inputs(limb, n)) {
            agree(limb, &input, |a| forward(limb, a), |a| portable::forward(limb, a));
            agree(limb, &input, |a| inverse(limb, a), |a| portable::inverse(limb, a));
        }
    }
}

#[test]
fn pointwise() {
    for limb in limbs() {
        for len in LENGTHS {
            for (a, b) in inputs(limb, len).iter().zip(inputs(limb, len).iter().rev()) {
                agree(limb, a, |a| multiply(limb, a, b), |a| portable::multiply(limb, a, b));
                agree(
                    limb,
                    a,
                    |out| multiply_add(limb, a, b, out),
                    |out| portable::multiply_add(limb, a, b, out),
                );
                agree(
                    limb,
                    a,
                    |out| multiply_subtract(limb, a, b, out),
                    |out| portable::multiply_subtract(limb, a, b, out),
                );
            }
        }
    }
}

#[test]
fn small_values() {
    for limb in limbs() {
        for len in LENGTHS {
            let small: Vec<i8> = random(limb, 1, len).iter().map(|x| (x % 22) as i8).collect();
            let ternary: Vec<i8> = small.iter().map(|x| x.signum()).collect();
            agree(
                limb,
                &std::vec![5; len],
                |a| to_montgomery_small(limb, &ternary, a),
                |a| portable::to_montgomery_small(limb, &ternary, a),
            );
            let a = random(limb, 2, len).iter().map(|x| x / 2).collect::<Vec<_>>();
            agree(limb, &a, |a| add_small(&small, a), |a| portable::add_small(&small, a));
        }
    }
}

/// Words with all extremes.
fn words(seed: u64, len: usize) -> Vec<u64> {
    let mut random = Seed([7; 32]).stream(Domain::Mask, seed);
    (0..len)
        .map(|i| {
            [0, u64::MAX, 1 << 63, u64::MAX >> 1]
                .get(i % 9)
                .copied()
                .unwrap_or_else(|| random.next_u64())
        })
        .collect()
}

#[test]
fn wide_values() {
    for (index, limb) in LIMBS.iter().enumerate() {
        for len in LENGTHS {
            for bits in [8, 17, 31, 32, 33, 44, 45, 53, 56, 58] {
                let values: Vec<u64> =
                    words(bits.into(), len).iter().map(|x| x >> (64 - bits)).collect();
                let out = std::vec![3; len];
                agree(
                    limb,
                    &out,
                    |out| reduce_signed(limb, bits, &values, out),
                    |out| portable::reduce_signed(limb, bits, &values, out),
                );
                for (q_mod_p, inverse) in
                    [(0, 1), ((1 << bits.min(56)) - 1, limb.q / 2), (12345, -limb.q / 2)]
                {
                    let encoding = Encoding { bits: bits.min(56), q_mod_p, inverse };
                    let values: Vec<u64> =
                        values.iter().map(|x| x >> (bits - encoding.bits)).collect();
                    agree(
                        limb,
                        &out,
                        |out| encode(limb, &encoding, &values, out),
                        |out| portable::encode(limb, &encoding, &values, out),
                    );
                }
            }
            for bits in [0, 20, 31, 32, 63, 64, 90, 126] {
                let words = words(bits.into(), 2 * len);
                let words: &[[u64; 2]] = bytemuck::cast_slice(&words);
                let run = |add: fn(&Limb, u32, &[[u64; 2]], &mut [i32])| {
                    let mut out = inputs(limb, len).swap_remove(3);
                    add(limb, bits, words, &mut out);
                    out.iter_mut().for_each(|x| *x = limb.reduce(*x));
                    classes(limb, &out)
                };
                assert_eq!(run(add_uniform), run(portable::add_uniform), "{bits} bits");
            }
            let any: Vec<i32> = words(index as u64, len).iter().map(|&x| x as i32).collect();
            let mut sums = [words(9, len), words(9, len)];
            let reciprocal = [0xffff_ffff, 0x1234_5678, 32 + index as u64];
            add_fractions(limb, limb.q / 3, &reciprocal, &any, &mut sums[0]);
            portable::add_fractions(limb, limb.q / 3, &reciprocal, &any, &mut sums[1]);
            assert_eq!(sums[0], sums[1]);
        }
    }
}

/// Plaintexts modulo `2^bits` against `round(q·m / 2^bits)`, of every modulus that is used.
#[test]
fn encodings() {
    let product = |limbs: usize| PRIMES.iter().take(limbs).map(|&q| u128::from(q)).product();
    for (limbs, bits) in (2..=4).flat_map(|limbs| [8, 44, 45, 53, 56].map(|bits| (limbs, bits))) {
        let (q, p): (u128, u64) = (product(limbs), 1 << bits);
        let edges = [0, 1, 2, p / 2 - 1, p / 2, p / 2 + 1, p - 2, p - 1, p / 3];
        let random = words(bits.into(), 100);
        let m: Vec<u64> = edges.into_iter().chain(random.iter().map(|x| x % p)).collect();
        for limb in LIMBS.iter().take(limbs) {
            let inverse = limb.to_montgomery(montgomery_inverse(p, limb.q as u32));
            let encoding = Encoding { bits, q_mod_p: q as u64 % p, inverse };
            // q·m/p in parts, as it has more than 128 bits.
            let exact = |m: u64| {
                let (m, p) = (u128::from(m), u128::from(p));
                q / p * m + (q % p * m + p / 2) / p
            };
            for encode in [encode, portable::encode] {
                let mut out = std::vec![0; m.len()];
                encode(limb, &encoding, &m, &mut out);
                let exact = m.iter().map(|&m| (exact(m) % limb.q as u128) as u32);
                assert!(classes(limb, &out).into_iter().eq(exact), "{limbs} limbs, {bits} bits");
                assert!(out.iter().all(|x| i64::from(x.abs()) * 10 < i64::from(limb.q) * 6));
            }
        }
    }
}

/// Fractions of residues against the quotient: off by less than `2^-63`.
#[test]
fn fractions() {
    for (limb, reciprocal) in LIMBS.iter().zip(&RECIPROCALS) {
        let mut residues: Vec<i32> = (0..20).chain(limb.q - 20..limb.q).collect();
        residues.extend(random(limb, 4, 200).iter().map(|x| x.abs()));
        let inverse = montgomery_inverse(3, limb.q as u32);
        for add in [add_fractions, portable::add_fractions] {
            let mut sums = std::vec![1 << 63; residues.len()];
            add(limb, inverse, reciprocal, &residues, &mut sums);
            for (&c, sum) in residues.iter().zip(sums) {
                let x = [0, 1, 2].map(|k| c + k * limb.q).into_iter().find(|x| x % 3 == 0);
                let exact = ((x.unwrap() as u128 / 3) << 64) / limb.q as u128;
                let off = sum.wrapping_sub(1 << 63).wrapping_sub(exact as u64) as i64;
                assert!(off.abs() < 2, "{c} of {}: {off}", limb.q);
            }
        }
    }
}

/// [`sums_of_products`], [`sums_of_multiples`].
type Sums = fn(&Limb, [Polynomials<'_>; 2], &[i32], [&mut [i32]; 2]);

/// Blocks of all polynomials, from polynomials that follow each other.
fn in_blocks(y: &[i32], len: usize) -> Vec<i32> {
    let blocks = (0..len).step_by(BLOCK);
    blocks.flat_map(|at| y.chunks(len).flat_map(move |y| y[at..at + BLOCK].to_vec())).collect()
}

#[test]
fn sums() {
    let sizes = [(16, 1), (16, 0), (32, 255), (32, 256), (48, 257), (64, 1025)];
    for (limb, (len, terms)) in limbs().flat_map(|limb| sizes.map(|size| (limb, size))) {
        let stride = len + terms % 3;
        let inputs = inputs(limb, stride * terms);
        for (x, y) in inputs.iter().zip(inputs.iter().rev()) {
            let halves = [x, &inputs[3]].map(|values| Polynomials { values, stride });
            for multiples in [false, true] {
                let (fast, portably) = if multiples {
                    (sums_of_multiples as Sums, portable::sums_of_multiples as Sums)
                } else {
                    (sums_of_products as Sums, portable::sums_of_products as Sums)
                };
                let y = &y[..if multiples { terms } else { len * terms }];
                let factors = if multiples { y.to_vec() } else { in_blocks(y, len) };
                let run = |sums: Sums| {
                    let mut out = [std::vec![7; len], std::vec![8; len]];
                    let [a, b] = &mut out;
                    sums(limb, halves, &factors, [a, b]);
                    out.map(|out| classes(limb, &out))
                };
                let got = run(fast);
                assert_eq!(got, run(portably));
                for (x, got) in halves.iter().zip(&got) {
                    for (i, &got) in got.iter().enumerate() {
                        let y = |k: usize| if multiples { y[k] } else { y[k * len + i] };
                        let exact: i128 = (0..terms)
                            .map(|k| i128::from(x.values[k * stride + i]) * i128::from(y(k)))
                            .sum();
                        let got = i128::from(limb.to_montgomery(got as i32));
                        assert_eq!((got - exact) % i128::from(limb.q), 0);
                    }
                }
            }
        }
    }
}
