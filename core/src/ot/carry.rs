//! Carries of halved sums: shares of `⌊(v + u)/2⌋` in `Z_{2^ℓ}`, of a client's `v` and a server's
//! `u` of `ℓ + 1` bits, one OT each.
//!
//! `⌊(v + u)/2⌋ = (v >> 1) + (u >> 1) + v_0·u_0` with the lowest bits `v_0`, `u_0`. The client
//! chose `v_0` in an OT: `T = Q ⊕ v_0·Δ`. With `h0 = H(Q)` and `h1 = H(Q ⊕ Δ)` the server sends
//! `c = h0 + u_0 − h1` and takes `−h0`; the client gets `h0 + v_0·u_0` as `H(T) + v_0·c`. It knows
//! one of `h0` and `h1`, so the correction tells it nothing.

use super::mask;
use crate::block::Block;
use crate::hash::Tmmo;
use crate::ring::Modulus;
use crate::{Error, Result};
use zeroize::Zeroizing;

/// Results hashed in one pipeline.
const PIPELINE: usize = if cfg!(target_pointer_width = "64") { 16 } else { 1 };

/// From the tweak of a result to that of the next.
const TWEAK_STEP: u128 = 1 << 8;

/// Where the client keeps its choice until the correction comes.
const CHOICE: u32 = u64::BITS - 1;

/// Shares of consecutive results.
#[derive(Clone, Copy)]
pub struct Carries<'h> {
    /// The ring of the results, `Z_{2^ℓ}` with `ℓ ≤ 62`.
    pub ring: Modulus,
    /// The session's hash.
    pub hash: &'h Tmmo,
    /// Tweak of the first result, each of the next has `2^8` more: a session uses each tweak once.
    pub tweak_base: u128,
}

impl Carries<'_> {
    /// Server: turns every `u`, of `ℓ + 1` bits, into its share of the result, and gives the
    /// corrections to send. `labels` are the labels `Q`, one for each result.
    ///
    /// # Errors
    /// [`Error::Length`] unless there are as many labels and corrections as results.
    pub fn server(
        &self,
        u: &mut [u64],
        labels: &[Block],
        delta: Block,
        corrections: &mut [u64],
    ) -> Result<()> {
        check(u.len(), labels.len())?;
        check(u.len(), corrections.len())?;
        let chunks = labels.chunks(PIPELINE).zip(corrections.chunks_mut(PIPELINE));
        for (first, (u, (labels, corrections))) in
            (0..).step_by(PIPELINE).zip(u.chunks_mut(PIPELINE).zip(chunks))
        {
            let (q, tweaks) = self.lanes(labels, first);
            let h0 = Zeroizing::new(self.hash.hash(q, tweaks));
            let h1 = Zeroizing::new(self.hash.hash(q.map(|q| q ^ delta), tweaks));
            for ((u, correction), (&h0, &h1)) in
                u.iter_mut().zip(corrections).zip(h0.iter().zip(h1.iter()))
            {
                let (h0, h1) = (h0 as u64, h1 as u64);
                let difference = h0.wrapping_add(*u & 1).wrapping_sub(h1);
                *correction = self.ring.reduce(difference);
                *u = self.ring.reduce(self.halve(*u).wrapping_sub(h0));
            }
        }
        Ok(())
    }

    /// Client: turns every `v`, of `ℓ + 1` bits, into what [`Self::client_finish`] takes. `labels`
    /// are the labels `T` of the lowest bits, one for each result.
    ///
    /// # Errors
    /// [`Error::Length`] unless there are as many labels as results.
    pub fn client_choose(&self, v: &mut [u64], labels: &[Block]) -> Result<()> {
        check(v.len(), labels.len())?;
        for (first, (v, labels)) in
            (0..).step_by(PIPELINE).zip(v.chunks_mut(PIPELINE).zip(labels.chunks(PIPELINE)))
        {
            let (t, tweaks) = self.lanes(labels, first);
            let hashes = Zeroizing::new(self.hash.hash(t, tweaks));
            for (v, &h) in v.iter_mut().zip(hashes.iter()) {
                let share = self.ring.reduce(self.halve(*v).wrapping_add(h as u64));
                *v = share | *v << CHOICE;
            }
        }
        Ok(())
    }

    /// Client: its share of a result in `ring`, from what [`Self::client_choose`] left and the
    /// server's correction. In constant time for all but the correction's range.
    ///
    /// # Errors
    /// [`Error::Malformed`] if the correction is outside the ring.
    pub fn client_finish(ring: Modulus, v: &mut u64, correction: u64) -> Result<()> {
        if correction >= ring.value() {
            return Err(Error::Malformed);
        }
        *v = ring.reduce(v.wrapping_add(correction & mask(*v >> CHOICE)));
        Ok(())
    }

    /// Half of a number of `ℓ + 1` bits.
    fn halve(&self, x: u64) -> u64 {
        debug_assert!(x >> 1 < self.ring.value() && self.ring.bits() < CHOICE);
        x >> 1
    }

    /// Labels and tweaks of the next results, from result `first` on, filled up to a pipeline; what
    /// the filling gives is dropped.
    fn lanes(&self, labels: &[Block], first: u64) -> ([Block; PIPELINE], [Block; PIPELINE]) {
        let mut x = [0; PIPELINE];
        for (x, &label) in x.iter_mut().zip(labels) {
            *x = label;
        }
        let first = self.tweak_base.wrapping_add(u128::from(first) * TWEAK_STEP);
        (x, core::array::from_fn(|lane| first.wrapping_add(lane as u128 * TWEAK_STEP)))
    }
}

/// As many as results.
const fn check(need: usize, got: usize) -> Result<()> {
    if got == need { Ok(()) } else { Err(Error::Length { need }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::{MAX_RING_BITS, MIN_RING_BITS};
    use crate::rng::{Domain, Prg, Seed};
    use std::vec;
    use std::vec::Vec;

    /// Results of pairs `(u, v)` with ideal OTs: corrections, shares of the server and the client.
    fn run(bits: u8, pairs: &[(u64, u64)], random: &mut Prg) -> [Vec<u64>; 3] {
        let (hash, delta) = (Tmmo::new(random.next_u128()), random.next_u128() | 1);
        let ring = Modulus::Bits(bits);
        let carries = Carries { ring, hash: &hash, tweak_base: random.next_u128() >> 1 };
        let (mut u, mut v): (Vec<u64>, Vec<u64>) = pairs.iter().copied().unzip();
        let q: Vec<Block> = pairs.iter().map(|_| random.next_u128()).collect();
        let t: Vec<Block> =
            q.iter().zip(&v).map(|(q, v)| q ^ (u128::from(v & 1) * delta)).collect();
        let mut corrections = vec![0; pairs.len()];
        carries.server(&mut u, &q, delta, &mut corrections).unwrap();
        carries.client_choose(&mut v, &t).unwrap();
        for (v, &c) in v.iter_mut().zip(&corrections) {
            Carries::client_finish(ring, v, c).unwrap();
        }
        [corrections, u, v]
    }

    fn shares_sum_to_the_half(bits: u8, pairs: &[(u64, u64)], random: &mut Prg) {
        let ring = Modulus::Bits(bits);
        let [corrections, server, client] = run(bits, pairs, random);
        for (i, (u, v)) in pairs.iter().enumerate() {
            assert!([corrections[i], server[i], client[i]].iter().all(|&x| x < ring.value()));
            assert_eq!(
                ring.add(server[i], client[i]),
                ring.reduce((u + v) / 2),
                "{bits} bits, {u} + {v}"
            );
        }
    }

    #[test]
    fn every_pair_of_small_rings() {
        let mut random = Seed([4; 32]).stream(Domain::Mask, 2);
        for bits in 1..=6 {
            let all = 0..2_u64 << bits;
            let pairs: Vec<_> =
                all.clone().flat_map(|u| all.clone().map(move |v| (u, v))).collect();
            shares_sum_to_the_half(bits, &pairs, &mut random);
            // Twice a number, and a carry or none: whatever the shares are.
            let ring = Modulus::Bits(bits);
            let [_, server, client] = run(bits, &pairs, &mut random);
            for ((u, v), (server, client)) in pairs.iter().zip(server.iter().zip(&client)) {
                let whole = (u + v) % (2 << bits);
                let (half, carry) = (ring.add(*server, *client), whole & 1);
                assert_eq!(2 * half + carry, whole);
            }
        }
    }

    #[test]
    fn random_pairs_and_extremes_of_all_rings() {
        let mut random = Seed([4; 32]).stream(Domain::Mask, 3);
        for bits in (MIN_RING_BITS..=MAX_RING_BITS).chain([62]) {
            let top = (2 << bits) - 1;
            let edges = [0, 1, 2, top / 2, top / 2 + 1, top - 1, top];
            let mut pairs: Vec<_> = edges.iter().flat_map(|&u| edges.map(|v| (u, v))).collect();
            pairs.extend((0..50).map(|_| (random.next_u64() & top, random.next_u64() & top)));
            for len in [0, 1, 15, 16, 17, pairs.len()] {
                shares_sum_to_the_half(bits, &pairs[..len], &mut random);
            }
        }
    }

    /// All numbers straight from the formulas; result i has tweak `tweak_base + i·2^8`.
    #[test]
    fn corrections_and_shares_are_the_definition() {
        let (hash, delta, base) = (Tmmo::new(8), 0x5_0000_0001, 3_u128 << 40);
        let modulus = 1_u64 << 21;
        let carries = Carries { ring: Modulus::Bits(21), hash: &hash, tweak_base: base };
        let mut random = Seed([4; 32]).stream(Domain::Mask, 4);
        let mut numbers =
            || (0..20).map(|_| random.next_u64() % (2 * modulus)).collect::<Vec<u64>>();
        let (u, v) = (numbers(), numbers());
        let q: Vec<Block> = (0..20).map(|i| i << 90 | 0xabc).collect();
        let t: Vec<Block> =
            q.iter().zip(&v).map(|(q, v)| q ^ (u128::from(v & 1) * delta)).collect();
        let (mut server, mut client, mut corrections) = (u.clone(), v.clone(), vec![0; 20]);
        carries.server(&mut server, &q, delta, &mut corrections).unwrap();
        carries.client_choose(&mut client, &t).unwrap();
        for (i, q) in q.iter().enumerate() {
            let [h0, h1, h] = [*q, q ^ delta, t[i]]
                .map(|x| hash.hash([x], [base + ((i as u128) << 8)])[0] as u64 % modulus);
            assert_eq!(corrections[i], (h0 + u[i] % 2 + modulus - h1) % modulus);
            assert_eq!(server[i], (u[i] / 2 + modulus - h0) % modulus);
            assert_eq!(client[i], ((v[i] / 2 + h) % modulus) | ((v[i] & 1) << 63));
        }
    }

    #[test]
    fn bad_lengths_and_corrections_are_refused() {
        let (hash, ring) = (Tmmo::new(1), Modulus::Bits(8));
        let carries = Carries { ring, hash: &hash, tweak_base: 0 };
        let length = Err(Error::Length { need: 8 });
        assert_eq!(carries.server(&mut [0; 8], &[0; 8], 1, &mut [0; 8]), Ok(()));
        for bad in [0, 7, 9] {
            assert_eq!(carries.server(&mut [0; 8], &[0; 9][..bad], 1, &mut [0; 8]), length);
            assert_eq!(carries.server(&mut [0; 8], &[0; 8], 1, &mut [0; 9][..bad]), length);
            assert_eq!(carries.client_choose(&mut [0; 8], &[0; 9][..bad]), length);
        }
        for before in [5, 5 | 1 << 63] {
            let mut v = before;
            for bad in [256, 257, 1 << 63, u64::MAX] {
                assert_eq!(Carries::client_finish(ring, &mut v, bad), Err(Error::Malformed));
                assert_eq!(v, before);
            }
            assert_eq!(Carries::client_finish(ring, &mut v, 255), Ok(()));
            assert_eq!(v, if before >> 63 == 1 { 4 } else { 5 });
        }
    }
}
