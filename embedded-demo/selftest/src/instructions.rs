//! What a client's hot paths take, in instructions, by the counter of QEMU's `-icount`. A board
//! would count cycles.

use crate::garbled::Garbled;
use minionn_core::lattice::decrypt;
use minionn_core::lattice::encode::{Encoder, Plaintext};
use minionn_core::lattice::encrypt::{self, SecretKey};
use minionn_core::lattice::noise::{C1_EXTRA, RESULT_EXTRA};
use minionn_core::lattice::rescale::{Basis, Fraction as _};
use minionn_core::params::SMALL_N;
use minionn_core::ring::LIMBS;
use minionn_core::rng::Seed;
use minionn_core::wire::GROUP;
use platform::time::Stopwatch;
use semihosting::println;

/// Limit for one ciphertext of two limbs that carries a window of samples, rounded, before it is
/// packed for the wire.
const ENCRYPTION: u64 = 1_500_000;
/// Limit for one ciphertext with the results of the window classifier's first layer.
const DECRYPTION: u64 = 600_000;
/// Limit for an AND gate with its share of the neuron's key schedule and free gates.
const AND: u64 = 7_500;

/// Samples of a window; outputs of the first layer, bits of its ring and of its uploads.
const WINDOW: usize = 384;
const OUTPUTS: usize = 32;
const RING: u32 = 13;
const UPLOAD_BITS: u32 = 31;
const LIMBS_OF_LAYERS: usize = 2;

/// Holds what `work` took against a limit for each of `units`.
fn within(limit: u64, units: u64, work: impl FnOnce() -> bool) -> bool {
    let watch = Stopwatch::start();
    let done = work();
    let each = watch.read() / units.max(1);
    println!("  {each} instructions, at most {limit}");
    done && each <= limit
}

/// As `send_masks` of a session does it.
pub(crate) fn encryption() -> bool {
    let (mut poly, mut noise) = ([0; LIMBS_OF_LAYERS * SMALL_N], [0; SMALL_N]);
    let key = SecretKey::new(Seed([1; 32]));
    within(ENCRYPTION, 1, || {
        let encoder = Encoder::new(Plaintext::Bits(RING), LIMBS_OF_LAYERS);
        let mut encrypt = || {
            encrypt::noise(&Seed([2; 32]), 0, &mut noise)?;
            let mut encoded = [0; WINDOW];
            let limbs = LIMBS.iter().enumerate().zip(poly.chunks_exact_mut(SMALL_N));
            for ((index, limb), poly) in limbs {
                key.expand(limb, poly)?;
                SecretKey::mask_limb((index, limb), 0, &Seed([3; 32]), &noise, poly)?;
                encoder.encode_all(index, &[1234; WINDOW], &mut encoded)?;
                poly.iter_mut().zip(&encoded).for_each(|(x, m)| *x += *m);
            }
            let basis = Basis::new(LIMBS_OF_LAYERS);
            let mut sum = 0_u64;
            for first in (0..SMALL_N).step_by(GROUP) {
                let mut sums = [0_u64; GROUP];
                for (index, poly) in poly.chunks_exact(SMALL_N).enumerate() {
                    basis.add(index, &poly[first..first + GROUP], &mut sums)?;
                }
                sum = sums.iter().fold(sum, |sum, x| sum.wrapping_add(x.round(UPLOAD_BITS)));
            }
            Ok::<u64, minionn_core::Error>(sum)
        };
        encrypt().is_ok_and(|sum| core::hint::black_box(sum) != 0)
    })
}

/// As `receive_few` of a session does it, against transforms.
pub(crate) fn decryption() -> bool {
    const BITS: u32 = RING + RESULT_EXTRA + C1_EXTRA;
    let key = SecretKey::new(Seed([1; 32]));
    let c1 = |i: usize| (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - BITS);
    let places: [usize; OUTPUTS] = core::array::from_fn(|i| i * WINDOW % SMALL_N);
    let mut sums = [0_u64; OUTPUTS];
    let mut unfolded = [0; decrypt::unfolded(SMALL_N)];
    let quick = within(DECRYPTION, 1, || {
        let mut rows = [0; OUTPUTS];
        let rows_there = rows
            .iter_mut()
            .zip(places)
            .all(|(row, place)| decrypt::row(SMALL_N, place).map(|found| *row = found).is_ok());
        rows_there
            && decrypt::unfold(&key, &mut unfolded).is_ok()
            && (0..SMALL_N).step_by(GROUP).all(|first| {
                let group: [u64; GROUP] = core::array::from_fn(|i| c1(first + i));
                decrypt::add_products(&unfolded, BITS, first, &group, &rows, &mut sums).is_ok()
            })
    });
    let mut residues = [[0; OUTPUTS]; 3];
    let (mut secret, mut poly) = ([0; SMALL_N], [0; SMALL_N]);
    let limbs = decrypt::limbs(SMALL_N, BITS);
    for (index, residues) in residues.iter_mut().enumerate().take(limbs) {
        let limb = &LIMBS[index];
        if key.expand(limb, &mut secret).is_err() {
            return false;
        }
        for (i, x) in poly.iter_mut().enumerate() {
            let signed = ((c1(i) << (64 - BITS)) as i64) >> (64 - BITS);
            *x = (signed % i64::from(limb.q)) as i32;
        }
        if decrypt::multiply_by_secret(index, &secret, &mut poly).is_err() {
            return false;
        }
        for (residue, &place) in residues.iter_mut().zip(&places) {
            *residue = poly[place];
        }
    }
    let same = |i: usize| {
        (decrypt::lift(residues.map(|r| r[i]), limbs) ^ sums[i]) & ((1 << BITS) - 1) == 0
    };
    (0..OUTPUTS).all(same) && quick
}

/// A neuron of a session: ReLU and truncation.
pub(crate) fn and_gate() -> bool {
    let Some(mut neuron) = Garbled::new(1000, 0x155, 7) else { return false };
    within(AND, Garbled::ands(), || neuron.evaluate()) && neuron.is_right()
}
