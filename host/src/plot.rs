//! What a plan costs, as a picture: one bar for each layer, in SVG written by hand.
//!
//! The scale is linear: a bar is made of four parts, and only on a linear scale their lengths add
//! up. What is too short to be seen is still read, since every bar has its figure.

use crate::units::{bytes, seconds};
use core::fmt::Write as _;

/// A layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// What it is.
    pub label: String,
    /// Bytes for one prediction: offline up and down, online up and down.
    pub bytes: [u64; 4],
    /// Seconds for one prediction, if measured.
    pub seconds: Option<f64>,
}

/// A network.
#[derive(Clone, Debug, PartialEq)]
pub struct Plot {
    /// The network's name.
    pub title: String,
    /// What the figures are for.
    pub subtitle: String,
    /// From top to bottom.
    pub rows: Vec<Row>,
}

/// The parts of a bar and their colours, which stand out on white and on black, and for the
/// colour-blind (Okabe and Ito).
const PARTS: [(&str, &str); 4] = [
    ("offline, up", "#0072b2"),
    ("offline, down", "#56b4e9"),
    ("online, up", "#d55e00"),
    ("online, down", "#e69f00"),
];
const SECONDS: &str = "#009e73";
/// Text has the same contrast to white and to black.
pub(crate) const TEXT: &str = "#777";

const WIDTH: f64 = 960.0;
const LABELS: f64 = 230.0;
const FIGURES: f64 = 80.0;
const HEAD: f64 = 78.0;
const ROW: f64 = 22.0;
const BAR: f64 = 14.0;

impl Plot {
    /// The picture.
    #[must_use]
    pub fn svg(&self) -> String {
        let timed = self.rows.iter().any(|row| row.seconds.is_some());
        let area = WIDTH - LABELS;
        let (first, second) = if timed { (area * 0.6, area * 0.4) } else { (area, 0.0) };
        let height = HEAD + ROW * self.rows.len() as f64 + 36.0;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
             role=\"img\" font-family=\"sans-serif\" font-size=\"12\" fill=\"{TEXT}\">\n\
             <title>{}: {}</title>\n",
            escaped(&self.title),
            escaped(&self.subtitle)
        );
        text(&mut svg, (0.0, 16.0), "start", &format!("{}: {}", self.title, self.subtitle));
        let mut x = LABELS;
        let legend = PARTS.iter().chain(timed.then_some(&("seconds", SECONDS)));
        for (name, colour) in legend {
            rect(&mut svg, (x, 30.0), (10.0, 10.0), colour);
            text(&mut svg, (x + 14.0, 39.0), "start", name);
            x += 110.0;
        }
        let most =
            self.rows.iter().map(|row| row.bytes.iter().sum::<u64>()).max().unwrap_or(0) as f64;
        let scale = Axis::new(most, first - FIGURES, height);
        scale.draw(&mut svg, LABELS, |x| bytes(x as u64));
        for (i, row) in self.rows.iter().enumerate() {
            let top = HEAD + ROW * i as f64;
            text(&mut svg, (LABELS - 8.0, top + BAR - 3.0), "end", &row.label);
            let mut x = LABELS;
            for (&part, (_, colour)) in row.bytes.iter().zip(PARTS) {
                let width = scale.length(part as f64);
                if part > 0 {
                    rect(&mut svg, (x, top), (width, BAR), colour);
                }
                x += width;
            }
            text(&mut svg, (x + 5.0, top + BAR - 3.0), "start", &bytes(row.bytes.iter().sum()));
        }
        if timed {
            let most = self.rows.iter().filter_map(|row| row.seconds).fold(0.0, f64::max);
            let (left, scale) = (LABELS + first, Axis::new(most, second - FIGURES, height));
            scale.draw(&mut svg, left, seconds);
            for (i, time) in
                self.rows.iter().enumerate().filter_map(|(i, row)| Some((i, row.seconds?)))
            {
                let (top, width) = (HEAD + ROW * i as f64, scale.length(time));
                rect(&mut svg, (left, top), (width, BAR), SECONDS);
                text(&mut svg, (left + width + 5.0, top + BAR - 3.0), "start", &seconds(time));
            }
        }
        svg.push_str("</svg>\n");
        svg
    }
}

/// A linear axis from 0.
struct Axis {
    most: f64,
    step: f64,
    width: f64,
    bottom: f64,
}

impl Axis {
    fn new(most: f64, width: f64, height: f64) -> Self {
        // About four steps of 1, 2 or 5 times a power of ten.
        let rough = most.max(1e-9) / 4.0;
        let power = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0]
            .into_iter()
            .map(|n| n * power)
            .find(|&step| step >= rough)
            .unwrap_or(10.0 * power);
        Self { most: most.max(1e-9), step, width, bottom: height - 30.0 }
    }

    fn length(&self, value: f64) -> f64 {
        value / self.most * self.width
    }

    fn draw(&self, svg: &mut String, left: f64, label: impl Fn(f64) -> String) {
        for i in 0..=(self.most / self.step + 1e-9) as u32 {
            let value = f64::from(i) * self.step;
            let x = left + self.length(value);
            let _ = writeln!(
                svg,
                "<line x1=\"{x:.1}\" y1=\"{:.1}\" x2=\"{x:.1}\" y2=\"{:.1}\" stroke=\"{TEXT}\" \
                 stroke-opacity=\"0.4\"/>",
                HEAD - 6.0,
                self.bottom
            );
            text(svg, (x, self.bottom + 15.0), "middle", &label(value));
        }
    }
}

fn rect(svg: &mut String, (x, y): (f64, f64), (width, height): (f64, f64), colour: &str) {
    let _ = writeln!(
        svg,
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height}\" \
         fill=\"{colour}\"/>"
    );
}

pub(crate) fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, text: &str) {
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>",
        escaped(text)
    );
}

/// What XML allows inside of an element.
pub(crate) fn escaped(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control())
        .map(|c| match c {
            '&' => "&amp;".into(),
            '<' => "&lt;".into(),
            '>' => "&gt;".into(),
            c => c.to_string(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every tag is closed, in order; returns how many there are of each kind that the plot uses.
    fn parse(svg: &str) -> [usize; 3] {
        let (mut open, mut rest, mut counts) = (Vec::new(), svg, [0; 3]);
        while let Some(at) = rest.find('<') {
            assert!(
                !rest[..at].contains('>')
                    && rest[..at]
                        .replace("&amp;", "")
                        .replace("&lt;", "")
                        .replace("&gt;", "")
                        .find('&')
                        .is_none()
            );
            let end = rest[at..].find('>').unwrap() + at;
            let tag = &rest[at + 1..end];
            rest = &rest[end + 1..];
            if let Some(name) = tag.strip_prefix('/') {
                assert_eq!(open.pop(), Some(name));
                continue;
            }
            let name = tag.split_whitespace().next().unwrap();
            assert_eq!(tag.matches('"').count() % 2, 0);
            ["rect", "text", "line"]
                .iter()
                .zip(&mut counts)
                .filter(|(n, _)| **n == name)
                .for_each(|(_, c)| *c += 1);
            if !tag.ends_with('/') {
                open.push(name);
            }
        }
        assert!(open.is_empty());
        counts
    }

    #[test]
    fn pictures_are_xml_whatever_the_names() {
        let row = |label: &str, bytes, seconds| Row { label: label.into(), bytes, seconds };
        let rows =
            vec![row("a < b & \"c\"", [1000, 2000, 30, 4], None), row("nothing", [0; 4], None)];
        let mut plot = Plot { title: "<net>\u{1}".into(), subtitle: "x".into(), rows };
        // Four parts and four in the legend; 0, 1000, 2000 and 3000 on the axis.
        let [rects, texts, lines] = parse(&plot.svg());
        assert_eq!((rects, lines), (8, 4));
        assert_eq!(texts, 1 + 4 + 4 + 4);
        plot.rows[0].seconds = Some(0.25);
        assert_eq!(parse(&plot.svg())[0], 10);
        assert!(plot.svg().contains("250 ms") && plot.svg().contains("&lt;net&gt;"));
        plot.rows.clear();
        parse(&plot.svg());
    }

    #[test]
    fn axes_have_round_steps() {
        for (most, step) in [(4.0, 1.0), (3034.0, 1000.0), (1.0e6, 500_000.0), (0.02, 0.005)] {
            assert!((Axis::new(most, 100.0, 100.0).step / step - 1.0).abs() < 1e-9, "{most}");
        }
    }
}
