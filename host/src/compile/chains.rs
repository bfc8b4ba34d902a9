//! Functions of one number that an exporter spelled out: tables, and sums of them.

use super::Error;
use super::bounds::Bounds;
use super::curves::Wanted;
use super::curves::tables::{self, Tables, fit};
use super::quantise::{At, Fault, Kind, Lowering, Tensor};
use crate::network::{Chain, Piece};
use minionn_core::plan::{Function, View};

impl Lowering<'_> {
    pub(super) fn chain(&mut self, at: At<'_>, chain: &Chain) -> Result<usize, Fault> {
        let At { name, stands_for, x, .. } = at;
        let Tensor { bounds, scale, stands_for: before, inside, .. } = self.tensor(x).clone();
        let (lo, hi) = bounds.extremes();
        let proven = (lo as f64 * scale, hi as f64 * scale);
        let seen = self.reference.filter(|_| !inside).and_then(|r| r.ranges.get(before)).copied();
        let seen = seen.filter(|(lo, hi)| lo <= hi).unwrap_or(proven);
        let peak = self.reference.and_then(|r| r.ranges.get(stands_for)).copied();
        let peak = peak.map_or(0.0, |(lo, hi)| hi.max(-lo));
        let wanted = Wanted {
            scale,
            ring: bounds.bits(),
            widest: bounds.bits().saturating_sub(3),
            range: (lo, hi),
            peak: if peak > 0.0 { peak } else { chain.at(proven.1).abs().min(1e9) },
            bits: self.options.activation_bits,
            segments: self.options.segments,
            max_error: self.options.max_error,
        };
        let tables =
            fit(&|x| chain.at(x), seen, &wanted).map_err(|fault| self.refused(name, fault))?;
        self.notes_of(name, &tables, wanted.peak);
        let own = if tables.mirrored { self.negate(at)? } else { x };
        let mut parts = Vec::new();
        for table in &tables.tables {
            let alone = At { x: own, single: false, ..at };
            let steps = (-table.above / scale).round();
            let steps = self.integer(name, own, steps)? + ((1 << table.shift) >> 1);
            let moved = self.plus(alone, &[steps])?;
            self.widen(moved, table.shift + 2);
            self.change(moved, |t| t.inside = t.inside || moved != x);
            let function = Function::PiecewiseLinear(table.spline);
            let bounds = self.tensor(moved).bounds.activate(&function, table.shift);
            let tensor = Tensor {
                stands_for,
                inside: true,
                bounds,
                scale: tables.scale,
                ratios: vec![],
                level: 0,
                ring: 0,
            };
            let kind = Kind::Garbled { function, window: None, shift: table.shift };
            parts.push(self.push(name, kind, vec![moved], tensor));
            if let Some(operation) = self.integers.operations.last_mut() {
                operation.curve_error = Some(tables.error);
            }
        }
        if let ([only], 1.0, 0.0) = (&parts[..], tables.sign, tables.line) {
            self.change(*only, |t| t.inside = false);
            return Ok(*only);
        }
        let len = self.tensor(own).bounds.len();
        let piece =
            |input: usize, factor: f64| Piece { input, factor, view: View::whole(len as u32) };
        let mut pieces: Vec<Piece> = (0..parts.len()).map(|i| piece(i, tables.sign)).collect();
        if tables.line != 0.0 {
            pieces.push(piece(parts.len(), tables.line));
            parts.push(own);
        }
        self.arrange(At { x: parts.first().copied().unwrap_or(x), ..at }, len, &pieces, &parts)
    }

    /// At least `bits` for a tensor: a circuit leaves one besides the sign.
    fn widen(&mut self, tensor: usize, bits: u8) {
        let bounds = &self.tensor(tensor).bounds;
        if bounds.bits() < bits {
            let (lo, hi) = bounds.extremes();
            let wide = Bounds::same(bounds.len(), lo.min(-1 << (bits - 1)), hi);
            self.change(tensor, |t| t.bounds = wide);
        }
    }

    fn refused(&self, name: &str, fault: tables::Fault) -> Error {
        let what = match fault {
            tables::Fault::Jumps(at) => format!(
                "it jumps or is infinite at {at:.3}, which inputs reach: no straight pieces \
                 describe that"
            ),
            tables::Fault::Coarse(error) if error.is_finite() => format!(
                "its approximation is off by up to {error:.2e}, more than wanted. Allow more \
                 pieces (--segments, at most 32), a larger --max-error or more activation bits \
                 (--activation-bits)"
            ),
            tables::Fault::Coarse(_) if self.reference.is_some() => {
                "it has no values where the calibration rows reach, or is too steep there".into()
            }
            tables::Fault::Coarse(_) => "where it is to be approximated is not known: give \
                                         calibration rows (--calibrate X.npy)"
                .into(),
        };
        Error::Layer { layer: name.into(), what }
    }

    /// What a user should know of an approximation.
    fn notes_of(&mut self, name: &str, tables: &Tables, peak: f64) {
        let (a, b) = tables.ends;
        if !(tables.open.0 && tables.open.1) {
            self.integers.notes.push(format!(
                "{name}: approximated from {a:.3} to {b:.3}, where the calibration rows reach: \
                 beyond, it stays as it is there"
            ));
        }
        if tables.error > peak / 10.0 {
            self.integers.notes.push(format!(
                "{name}: its approximation is off by up to {:.1e}, where its results reach \
                 {peak:.1e}: allow more activation bits (--activation-bits) or more pieces \
                 (--segments)",
                tables.error
            ));
        }
    }
}
