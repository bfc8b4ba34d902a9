use super::*;
use core::fmt::Debug;

const CURVES: [Curve; 15] = [
    Curve::Sigmoid,
    Curve::Tanh,
    Curve::Erf,
    Curve::Softsign,
    Curve::Gelu,
    Curve::GeluTanh,
    Curve::Silu,
    Curve::Softplus,
    Curve::HardSwish,
    Curve::Elu { alpha: 1.0, beta: 1.0 },
    Curve::Elu { alpha: 0.5, beta: 0.5 },
    Curve::Elu { alpha: 1.673_263_2, beta: 1.0 },
    Curve::Elu { alpha: 2.0, beta: 2.0 },
    Curve::Elu { alpha: 0.1, beta: 1.0 },
    Curve::Elu { alpha: 50.0, beta: 50.0 },
];

/// Proven inputs, and the largest result on the calibration rows.
const RANGES: [((f64, f64), f64); 8] = [
    ((-8.0, 8.0), 8.0),
    ((-3.0, 20.0), 5.0),
    ((-1.0, 1.0), 0.8),
    ((-40.0, 10.0), 10.0),
    ((-0.1, 0.1), 0.1),
    ((0.0, 5.0), 1.0),
    ((-9.0, -2.0), 0.4),
    ((-300.0, 300.0), 30.0),
];

fn wanted(scale: f64, (lo, hi): (f64, f64), bits: u8) -> Wanted {
    Wanted {
        scale,
        ring: 24,
        widest: 22,
        range: ((lo / scale).round() as i64, (hi / scale).round() as i64),
        peak: hi.max(-lo),
        bits,
        segments: 32,
        max_error: None,
    }
}

/// A ring that the range fills.
fn filled(ring: u8, (range, peak): ((f64, f64), f64), bits: u8) -> Wanted {
    let largest = f64::from((1 << (ring - 1)) - 1);
    Wanted { ring, widest: ring - 2, peak, ..wanted(range.1.max(-range.0) / largest, range, bits) }
}

/// Bounds of the curve on the left of 0, and from there on, where some are also below `x`.
fn bounds(curve: Curve) -> [(f64, f64); 2] {
    let any = f64::INFINITY;
    match curve {
        Curve::Sigmoid => [(0.0, 0.5), (0.5, 1.0)],
        Curve::Tanh | Curve::Erf | Curve::Softsign => [(-1.0, 0.0), (0.0, 1.0)],
        Curve::Gelu | Curve::GeluTanh | Curve::Silu | Curve::HardSwish => {
            let least = curve.at(curve.minimum().unwrap());
            [(least, 0.0), (least, any)]
        }
        Curve::Softplus => [(0.0, any); 2],
        Curve::Elu { alpha, .. } => [(-alpha, 0.0), (0.0, any)],
    }
}

/// Asserts that the results for inputs in ascending order are monotone, on each side of the one
/// minimum where there is one, and within the bounds.
fn hold(curve: Curve, scale: f64, results: impl Iterator<Item = (i64, i64)>, of: &dyn Debug) {
    let turns = matches!(curve, Curve::Gelu | Curve::GeluTanh | Curve::Silu | Curve::HardSwish);
    let [left, right] = bounds(curve);
    let whole = |(lo, hi): (f64, f64)| {
        ((lo / scale - 1e-6).ceil() as i64, (hi / scale + 1e-6).floor() as i64)
    };
    let (left, right) = (whole(left), whole(right));
    let (mut before, mut rises) = (None, !turns);
    for (z, result) in results {
        let (least, most) = if z < 0 { left } else { right };
        let most = if turns && z >= 0 { z } else { most };
        assert!(
            (least..=most).contains(&result),
            "{curve:?} leaves its bounds at {z}: {result} is not in {least} to {most}, {of:?}"
        );
        // The minimum is on the left of 0.
        rises |= z > 0;
        if let Some(before) = before {
            assert!(result >= before || !rises, "{curve:?} falls from {before} at {z}, {of:?}");
            rises |= result > before;
        }
        before = Some(result);
    }
}

/// Runs a check of every curve on two threads.
fn every_curve(check: impl Fn(Curve) + Sync) {
    let (some, others) = CURVES.split_at(CURVES.len() / 2);
    std::thread::scope(|scope| {
        scope.spawn(|| others.iter().for_each(|&curve| check(curve)));
        some.iter().for_each(|&curve| check(curve));
    });
}

/// Not only what is chosen: whatever number of pieces and precision of slopes could be.
#[test]
fn all_pieces_are_monotone_and_within_bounds() {
    every_curve(|curve| {
        for ring in 4..=16 {
            for range in RANGES {
                for bits in [2, 4, 8, 16] {
                    let wanted = filled(ring, range, bits);
                    for job in jobs(curve, &wanted) {
                        every_candidate(&job, 1 << ring);
                    }
                }
            }
        }
    });
}

/// Inputs are looked at up to where the pieces have ended, and at the ends of the ring.
fn every_candidate(job: &Job<'_>, ring: i64) {
    let targets = job.targets();
    for index_bits in 0..=job.input_bits.min(5) {
        for bits in 0..=(job.input_bits - index_bits + 2).min(15) {
            let Some(spline) = job.spline(&targets, index_bits, bits) else { continue };
            let end = (1 << job.input_bits) + 1;
            let ends = [-ring, ring];
            let inputs = [ends[0]].into_iter().chain(-end..=end).chain([ends[1]]);
            hold(job.curve, job.scale, inputs.map(|z| (z, spline.apply(z))), &spline);
        }
    }
}

/// Every number of the ring, through what both backends compute.
#[test]
fn every_curve_is_monotone_and_near_at_every_input() {
    let choices = [(2, 32), (8, 1), (8, 32), (12, 8), (16, 32)].iter().cycle();
    every_curve(|curve| {
        for (ring, skipped) in (4..=16).zip(0..) {
            for (range, &(bits, segments)) in RANGES.into_iter().zip(choices.clone().skip(skipped))
            {
                every_input(curve, &Wanted { segments, ..filled(ring, range, bits) });
            }
        }
    });
}

fn every_input(curve: Curve, wanted: &Wanted) {
    let fit = fit(curve, wanted).unwrap();
    let function = Function::PiecewiseLinear(fit.spline);
    // As the compiler adds it.
    let early = if fit.spline.parity == Parity::Left { (1_i64 << fit.shift) >> 1 } else { 0 };
    let half = 1_i64 << (wanted.ring - 1);
    let results = || (-half..half).map(|y| (y, function.apply(y, fit.shift)));
    hold(curve, fit.scale, results().map(|(y, result)| (y >> fit.shift, result)), wanted);
    let (lo, hi) = wanted.range;
    for (y, result) in results() {
        if (lo..=hi).contains(&(y - early)) {
            let x = (y - early) as f64 * wanted.scale;
            let far = (result as f64 * fit.scale - curve.at(x)).abs();
            assert!(far <= fit.error + 1e-9, "{curve:?} {wanted:?} {x}: {far}, not {}", fit.error);
        }
    }
}

#[test]
fn errors_are_about_a_step_of_the_result() {
    for curve in CURVES {
        for (scale, range, bits) in [
            (1e-3, (-9.0, 9.0), 8),
            (0.013, (-3.0, 20.0), 8),
            (2e-5, (-4.0, 4.0), 10),
            (0.03, (-1.0, 1.0), 6),
        ] {
            let wanted = wanted(scale, range, bits);
            let fit = fit(curve, &wanted).unwrap();
            let flat = if curve == Curve::Softsign { 0.07 } else { 0.0 };
            assert!(
                fit.error <= 2.6 * fit.scale + flat,
                "{curve:?} {scale}: {} with steps of {}",
                fit.error,
                fit.scale
            );
        }
    }
}

#[test]
fn minima_are_where_they_are_said_to_be() {
    for curve in CURVES {
        let Some(x) = curve.minimum() else { continue };
        let least = curve.at(x);
        assert!(curve.at(x - 1e-4) > least && curve.at(x + 1e-4) > least, "{curve:?}");
        assert!((-10_000..10_000).all(|i| curve.at(f64::from(i) / 1e3) >= least), "{curve:?}");
    }
}

#[test]
fn bounds_are_rounded_inwards() {
    assert_eq!(Interval::inside(-1.5, 1.5), Interval::inside(-1.0, 1.0));
    assert_eq!(Interval::inside(0.2, 0.8), None);
}

#[test]
fn steps_are_coarser_where_pieces_would_not_reach() {
    // 2^14 of these steps are 0.016, and a result of 1 is no offset.
    let fine = Wanted { peak: 1e-3, ..wanted(1e-6, (-8.0, 8.0), 16) };
    for curve in CURVES {
        let error = fit(curve, &fine).unwrap().error;
        assert!(error < 0.01, "{curve:?}: {error}");
    }
    // A result of 20 000 is an offset, 40 000 are none.
    let steep = Curve::Elu { alpha: 10.0, beta: 1.0 };
    for scale in [5e-4, 2.5e-4] {
        let wanted = Wanted { peak: 0.1, ..wanted(scale, (-4.0, 4.0), 16) };
        let error = fit(steep, &wanted).unwrap().error;
        assert!(error < 0.02, "{scale}: {error}");
    }
}

#[test]
fn fewer_pieces_are_worse_and_an_error_that_cannot_be_kept_is_refused() {
    let all = wanted(1e-3, (-9.0, 9.0), 8);
    let errors: Vec<f64> = [2, 4, 8, 16]
        .map(|segments| fit(Curve::Tanh, &Wanted { segments, ..all }).unwrap().error)
        .to_vec();
    assert!(errors.windows(2).all(|e| e[1] <= e[0] * 1.01), "{errors:?}");
    assert!(errors[0] > 2.0 * errors[3]);
    assert!(fit(Curve::Tanh, &Wanted { max_error: Some(1e-6), ..all }).is_err());
    let ands = |max_error| {
        let wanted = Wanted { max_error, ..all };
        let fit = fit(Curve::Sigmoid, &wanted).unwrap();
        assert!(fit.error <= max_error.unwrap_or(1.0));
        let ring = Modulus::Bits(wanted.ring);
        totals(&Neuron {
            function: Function::PiecewiseLinear(fit.spline),
            modulus_in: ring,
            modulus_out: ring,
            shift: fit.shift,
        })
        .ands
    };
    assert!(ands(Some(0.05)) < ands(None), "what may be coarse is cheaper");
}
