use super::*;
use crate::compare::tests::{run, spline};
use crate::compare::{MAX_OTS, StageProtocol};
use crate::rng::{Domain, Prg, Seed};

/// A value through a line: the piece's number is what is above its low bits.
fn hold(line: &SegmentLookup, spline: &PiecewiseLinear, v: i64, random: &mut Prg) {
    let index = (v >> line.low()) as u64;
    let [c_index, c_value, r] = [(); 3].map(|()| random.next_u64());
    let client = line.join(c_index, c_value);
    let server = line.join(index.wrapping_sub(c_index), (v as u64).wrapping_sub(c_value));
    let mask = |share: u64| share & ((1 << line.ring_in()) - 1);
    let r = line.reduce(r);
    let got = line.reduce(
        run(
            &StageProtocol::SegmentLookup(*line),
            Some(spline),
            mask(server),
            mask(client),
            r,
            random,
        )
        .wrapping_add(r),
    );
    let signed = (got << (64 - u32::from(line.bits))) as i64 >> (64 - u32::from(line.bits));
    let without_relu = PiecewiseLinear { plus_relu: false, ..*spline };
    let difference = (signed >> line.cut()) + line.constant() - without_relu.apply(v);
    // A curve whose low bits are kept may stop at the ring of its result.
    let kept = if line.cut() == 0 { line.reduce(difference as u64) } else { difference as u64 };
    assert_eq!(kept, 0, "{line:?} {v}");
}

fn seeded(number: u8) -> Prg {
    Seed([number; 32]).stream(Domain::Mask, 0)
}

#[test]
fn small_lines_hold_exhaustively() {
    let mut random = seeded(3);
    for _ in 0..600 {
        let spline = spline(&mut random, 6);
        let low = spline.input_bits - spline.index_bits;
        for index_bits in 1..=MAX_INDEX {
            let line = SegmentLookup::new(&spline, index_bits, 1 + (random.next_u32() % 44) as u8);
            let bits = u32::from(low + index_bits);
            if bits <= 7 {
                (-(1 << (bits - 1))..1 << (bits - 1))
                    .for_each(|v| hold(&line, &spline, v, &mut random));
            }
        }
    }
}

#[test]
fn large_lines_hold_at_random() {
    let mut random = seeded(4);
    for _ in 0..1500 {
        let spline = spline(&mut random, 14);
        let low = u32::from(spline.input_bits - spline.index_bits);
        for index_bits in 1..=MAX_INDEX {
            let line = SegmentLookup::new(&spline, index_bits, 1 + (random.next_u32() % 44) as u8);
            let half = 1 << (low + u32::from(index_bits) - 1);
            let any = (random.next_u32() & (2 * half as u32 - 1)) as i64 - half;
            for v in [half - 1, -half, 0, -1, any, any >> low << low, (any | ((1 << low) - 1))] {
                hold(&line, &spline, v, &mut random);
            }
        }
    }
}

/// Slopes and offsets at their ends.
#[test]
fn the_widest_line_fits_its_element() {
    let mut most = 0;
    for (slope, offset, parity) in [i16::MIN, i16::MAX, 1]
        .into_iter()
        .flat_map(|slope| [i16::MIN, i16::MAX].map(|offset| (slope, offset)))
        .flat_map(|(slope, offset)| {
            [Parity::Odd, Parity::Even, Parity::Left].map(|parity| (slope, offset, parity))
        })
    {
        for shift in 0..=15 {
            let (mut offsets, mut slopes) = ([0; 32], [0; 32]);
            (offsets[0], offsets[1], slopes[0], slopes[1]) = (offset, !offset, slope, !slope);
            for index_bits in [0, 1] {
                let end = usize::from(index_bits);
                (offsets[1], slopes[1]) =
                    (if end == 1 { !offset } else { 0 }, if end == 1 { !slope } else { 0 });
                let spline = PiecewiseLinear {
                    parity,
                    plus_relu: true,
                    input_bits: 14,
                    index_bits,
                    shift,
                    centre: -(1 << 19),
                    offsets,
                    slopes,
                };
                let line = SegmentLookup::new(&spline, MAX_INDEX, 44);
                most = most.max(line.value_bits());
                assert!(line.forward_ots().max(line.backward_ots()) <= MAX_OTS);
                let mut random = seeded(5);
                [-20000, -(1 << 14), -1, 0, 1, 20000]
                    .into_iter()
                    .for_each(|v| hold(&line, &spline, v, &mut random));
            }
        }
    }
    assert!((31..=MAX_SLOPED).contains(&most), "{most}");
}
