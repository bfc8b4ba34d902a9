//! Curves as a picture in SVG: panels side by side, both axes logarithmic, so that what grows in
//! proportion is a line of slope one.

use crate::plot::{TEXT, escaped, text};
use core::fmt::Write as _;

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// What it shows.
    pub name: String,
    /// From left to right; only positive numbers can be drawn.
    pub points: Vec<(f64, f64)>,
}

/// One diagram.
#[derive(Clone, Debug)]
pub struct Panel {
    /// What grows upwards.
    pub title: &'static str,
    /// Its figures for people.
    pub label: fn(f64) -> String,
    /// Its lines.
    pub series: Vec<Series>,
}

/// Diagrams over the same axis.
#[derive(Clone, Debug)]
pub struct Chart {
    /// What was measured.
    pub title: String,
    /// What grows to the right.
    pub along: String,
    /// From left to right.
    pub panels: Vec<Panel>,
}

/// Colours of lines (Okabe and Ito), as in [`crate::plot`].
const COLOURS: [&str; 4] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7"];

const WIDTH: f64 = 320.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 50.0;
const HEIGHT: f64 = 180.0;
const FOOT: f64 = 90.0;
const LINE: f64 = 15.0;

/// A logarithmic axis from `from` to `to`.
#[derive(Clone, Copy, Debug)]
struct Scale {
    from: f64,
    to: f64,
}

impl Scale {
    /// Holds all of `values`; `None` if there are none above zero.
    fn around(values: impl Iterator<Item = f64>) -> Option<Self> {
        values.filter(|&v| v > 0.0).fold(None, |scale, v| match scale {
            None => Some(Self { from: v, to: v }),
            Some(Self { from, to }) => Some(Self { from: from.min(v), to: to.max(v) }),
        })
    }

    /// As far as whole powers of ten.
    fn widened(self) -> Self {
        let (from, to) = (self.from.log10().floor(), self.to.log10().ceil());
        Self { from: 10_f64.powf(from), to: 10_f64.powf(to.max(from + 1.0)) }
    }

    /// 0 at the lower end, 1 at the upper.
    fn place(self, value: f64) -> f64 {
        let span = (self.to / self.from).ln();
        if span > 0.0 { (value / self.from).ln() / span } else { 0.5 }
    }

    /// The powers of ten.
    fn powers(self) -> impl Iterator<Item = f64> {
        let (from, to) = (self.from.log10().round() as i32, self.to.log10().round() as i32);
        (from..=to).map(|power| 10_f64.powi(power))
    }
}

impl Chart {
    /// The picture.
    #[must_use]
    pub fn svg(&self) -> String {
        let (width, height) = (WIDTH * self.panels.len() as f64, TOP + HEIGHT + FOOT);
        let title = escaped(&self.title);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
             role=\"img\" font-family=\"sans-serif\" font-size=\"11\" fill=\"{TEXT}\">\n\
             <title>{title}</title>\n"
        );
        text(&mut svg, (0.0, 14.0), "start", &self.title);
        for (i, panel) in self.panels.iter().enumerate() {
            panel.draw(&mut svg, WIDTH * i as f64 + LEFT, &self.along);
        }
        svg.push_str("</svg>\n");
        svg
    }
}

fn line(svg: &mut String, (x1, y1): (f64, f64), (x2, y2): (f64, f64), style: &str) {
    let _ = writeln!(
        svg,
        "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{TEXT}\" \
         {style}/>"
    );
}

impl Panel {
    fn draw(&self, svg: &mut String, left: f64, along: &str) {
        let (across, bottom) = (WIDTH - LEFT - RIGHT, TOP + HEIGHT);
        text(svg, (left, TOP - 12.0), "start", self.title);
        let all = || self.series.iter().flat_map(|series| series.points.iter().copied());
        let (Some(x), Some(y)) =
            (Scale::around(all().map(|p| p.0)), Scale::around(all().map(|p| p.1)))
        else {
            return;
        };
        let y = y.widened();
        let at =
            |(px, py): (f64, f64)| (left + across * x.place(px), bottom - HEIGHT * y.place(py));
        for power in y.powers() {
            let (_, height) = at((x.from, power));
            line(svg, (left, height), (left + across, height), "stroke-opacity=\"0.4\"");
            text(svg, (left - 5.0, height + 4.0), "end", &(self.label)(power));
        }
        let mut ticks: Vec<f64> = all().map(|p| p.0).collect();
        ticks.sort_by(f64::total_cmp);
        ticks.dedup();
        for tick in ticks {
            text(svg, (at((tick, y.from)).0, bottom + LINE), "middle", &tick.to_string());
        }
        text(svg, (left + across / 2.0, bottom + 2.0 * LINE), "middle", along);
        for (i, (series, colour)) in self.series.iter().zip(COLOURS.iter().cycle()).enumerate() {
            let points: Vec<(f64, f64)> =
                series.points.iter().copied().filter(|p| p.1 > 0.0).map(at).collect();
            let path: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
            let _ = writeln!(
                svg,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
                path.join(" ")
            );
            for (x, y) in points {
                let _ = writeln!(
                    svg,
                    "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>"
                );
            }
            let height = bottom + (3.0 + i as f64) * LINE + 4.0;
            let _ = writeln!(
                svg,
                "<circle cx=\"{left:.1}\" cy=\"{:.1}\" r=\"4\" fill=\"{colour}\"/>",
                height - 4.0
            );
            text(svg, (left + 10.0, height), "start", &series.name);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn panel(points: Vec<(f64, f64)>) -> Panel {
        Panel {
            title: "bytes",
            label: |y| y.to_string(),
            series: vec![Series { name: "a < b".into(), points }],
        }
    }

    #[test]
    fn scales_are_logarithmic_and_end_at_powers_of_ten() {
        let scale = Scale::around([30.0, 0.0, 2000.0].into_iter()).unwrap().widened();
        assert!((scale.from - 10.0).abs() < 1e-9 && (scale.to - 10_000.0).abs() < 1e-6);
        assert!((scale.place(100.0) - 1.0 / 3.0).abs() < 1e-9);
        assert_eq!(scale.powers().count(), 4);
        assert!(Scale::around([0.0, -1.0].into_iter()).is_none());
        // One value alone has room above it.
        assert!(Scale::around([10.0].into_iter()).unwrap().widened().to > 99.0);
    }

    #[test]
    fn every_point_is_drawn_that_can_be() {
        let chart = |points| Chart {
            title: "<t>".into(),
            along: "n".into(),
            panels: vec![panel(points), panel(vec![])],
        };
        let svg = chart(vec![(1.0, 10.0), (2.0, 100.0), (4.0, 0.0)]).svg();
        assert_eq!(svg.matches("r=\"3\"").count(), 2, "zero has no logarithm");
        assert!(svg.contains("a &lt; b") && svg.contains("<title>&lt;t&gt;</title>"));
        // Ten and hundred are at the lower and the upper end of their axis, one and two at a half
        // of theirs.
        assert!(svg.contains("points=\"62.0,230.0 184.0,50.0\""), "{svg}");
        for (open, close) in [("<svg", "</svg>"), ("<text", "</text>"), ("<title>", "</title>")] {
            assert_eq!(svg.matches(open).count(), svg.matches(close).count());
        }
    }
}
