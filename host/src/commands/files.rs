//! What inputs may come as: NumPy arrays, tables of numbers as text, images; in a file or on
//! standard input (`-`). What it is, its first bytes say.

use crate::network::Port;
use crate::npy::{self, Array};
use anyhow::{Context as _, anyhow, bail, ensure};
use image::{DynamicImage, ImageReader, Limits, imageops::FilterType};
use std::io::{Cursor, Read as _};
use std::path::Path;
use std::sync::OnceLock;

/// Most bytes of standard input, and of a table or image in a file.
const MAX_TEXT: u64 = 1 << 30;
/// Largest image before it is scaled, each way, and most memory to decode it.
const MAX_PIXELS: u32 = 1 << 15;
const MAX_IMAGE: u64 = 1 << 29;
/// Most numbers of a table.
const MAX_NUMBERS: usize = 1 << 28;

/// What an image is to become.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pixels {
    /// What black and white are for the network.
    pub(super) range: Option<(f32, f32)>,
    /// The model's input range, which says it if nobody else does.
    pub(super) model: [f32; 2],
}

/// Reads one file as an array. `image`: for which input an image is, and how.
pub(super) fn array(path: &Path, image: Option<(&Port, Pixels)>) -> anyhow::Result<Array> {
    let read = || -> anyhow::Result<Array> {
        if path == Path::new("-") {
            return decoded(standard_input()?, image);
        }
        let mut head = [0; 8];
        let mut file = std::fs::File::open(path)?;
        let n = file.read(&mut head)?;
        if head.get(..n).is_some_and(|head| head.starts_with(b"\x93NUMPY")) {
            return Ok(npy::read(path)?);
        }
        decoded(&limited(std::fs::File::open(path)?)?, image)
    };
    read().with_context(|| path.display().to_string())
}

/// All bytes of a reader that does not have too many.
fn limited(reader: impl std::io::Read) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(MAX_TEXT + 1).read_to_end(&mut bytes)?;
    ensure!(bytes.len() as u64 <= MAX_TEXT, "larger than {MAX_TEXT} bytes");
    Ok(bytes)
}

/// Standard input, which is read once and may be asked for again.
fn standard_input() -> anyhow::Result<&'static [u8]> {
    static READ: OnceLock<Result<Vec<u8>, String>> = OnceLock::new();
    let read = READ.get_or_init(|| limited(std::io::stdin()).map_err(|e| format!("{e:#}")));
    read.as_deref().map_err(|what| anyhow!("standard input: {what}"))
}

fn decoded(bytes: &[u8], image: Option<(&Port, Pixels)>) -> anyhow::Result<Array> {
    match bytes {
        [0x93, b'N', ..] => Ok(npy::parse(bytes)?),
        [0x89, b'P', b'N', b'G', ..] | [0xff, 0xd8, ..] => {
            let (port, pixels) =
                image.context("an image is taken by models of image shape only, once compiled")?;
            picture(bytes, port, pixels)
        }
        _ => table(bytes),
    }
}

/// A table of numbers: a row on each line, with commas, semicolons or spaces between. A first line
/// of words is its head.
fn table(bytes: &[u8]) -> anyhow::Result<Array> {
    let text = core::str::from_utf8(bytes).map_err(|_| {
        anyhow!("neither a NumPy array, nor a PNG or JPEG image, nor a table of numbers")
    })?;
    let (mut data, mut columns, mut rows) = (Vec::new(), None, 0);
    let lines = text.lines().enumerate().map(|(i, line)| (i + 1, line.trim()));
    for (number, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
        let cells: Vec<&str> = if line.contains([',', ';']) {
            line.split([',', ';']).map(str::trim).collect()
        } else {
            line.split_whitespace().collect()
        };
        let numbers: Result<Vec<f32>, &str> =
            cells.iter().map(|cell| cell.parse().map_err(|_| *cell)).collect();
        let numbers = match numbers {
            Ok(numbers) => numbers,
            // The names of columns.
            Err(_) if rows == 0 && columns.is_none() && cells.iter().all(|c| named(c)) => {
                columns = Some(cells.len());
                continue;
            }
            Err(cell) => bail!("line {number}: '{cell}' is not a number"),
        };
        let wanted = *columns.get_or_insert(numbers.len());
        ensure!(
            numbers.len() == wanted,
            "line {number} has {} numbers, the first one {wanted}",
            numbers.len()
        );
        ensure!(data.len() + wanted <= MAX_NUMBERS, "more than {MAX_NUMBERS} numbers");
        data.extend(numbers);
        rows += 1;
    }
    ensure!(rows > 0, "it holds no numbers");
    let columns = columns.context("it holds no numbers")?;
    Array::new(&[rows, columns], data).context("it is too large")
}

/// Whether a cell may be the name of a column.
fn named(cell: &str) -> bool {
    cell.parse::<f32>().is_err() && !cell.is_empty()
}

/// How a row's shape holds an image: channels, height, width, and whether channels come first.
fn layout(port: &Port) -> anyhow::Result<([usize; 3], bool)> {
    Ok(match *port.row() {
        [c @ (3 | 4), h, w] => ([c, h, w], true),
        [h, w, c @ (3 | 4)] => ([c, h, w], false),
        [1, h, w] | [h, w, 1] | [h, w] => ([1, h, w], true),
        ref other => bail!(
            "an image does not fit: the model takes rows of shape {other:?}, which are no image of \
             1, 3 or 4 channels"
        ),
    })
}

/// An image as one row, brought to the size of the model's input.
fn picture(bytes: &[u8], port: &Port, pixels: Pixels) -> anyhow::Result<Array> {
    let ([channels, height, width], first) = layout(port)?;
    let (black, white) = pixels.ends()?;
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_PIXELS);
    limits.max_image_height = Some(MAX_PIXELS);
    limits.max_alloc = Some(MAX_IMAGE);
    reader.limits(limits);
    let mut image = reader.decode().context("a damaged image, or one that is too large")?;
    let size = (width as u32, height as u32);
    if (image.width(), image.height()) != size {
        eprintln!(
            "note: an image of {}x{} pixels is scaled to the model's {width}x{height}",
            image.width(),
            image.height()
        );
        image = image.resize_exact(size.0, size.1, FilterType::Triangle);
    }
    let raw = match channels {
        1 => DynamicImage::from(image.to_luma8()).into_bytes(),
        3 => image.to_rgb8().into_raw(),
        _ => image.to_rgba8().into_raw(),
    };
    let value = |byte: u8| black + (white - black) * f32::from(byte) / 255.0;
    let mut data = vec![0.0; raw.len()];
    for (i, &byte) in raw.iter().enumerate() {
        let (place, channel) = (i / channels, i % channels);
        let to = if first { channel * height * width + place } else { i };
        data.get_mut(to).into_iter().for_each(|x| *x = value(byte));
    }
    let shape = [&[1][..], port.row()].concat();
    Array::new(&shape, data).context("an image of another size than the model's")
}

impl Pixels {
    /// What black and white become: told, or plain from the model's input range.
    fn ends(self) -> anyhow::Result<(f32, f32)> {
        let [lo, hi] = self.model;
        let near = |x: f32, y: f32| (x - y).abs() <= 0.02 * y.abs().max(1.0);
        match self.range {
            Some(range) => Ok(range),
            None if lo >= 0.0 && near(hi, 255.0) => Ok((0.0, 255.0)),
            None if lo >= 0.0 && near(hi, 1.0) => Ok((0.0, 1.0)),
            None if near(lo, -1.0) && near(hi, 1.0) => Ok((-1.0, 1.0)),
            None => bail!(
                "the model's input range is {lo} to {hi}: say what black and white become, such \
                 as --pixels 0,1"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_every_form() {
        for text in [
            "1,2.5\n-3,4e1\n",
            "a,b\n1,2.5\n-3,4e1",
            "# note\n1;2.5\r\n\r\n-3;4e1\r\n",
            "1 2.5\n  -3   4e1 ",
        ] {
            let array = table(text.as_bytes()).unwrap();
            assert_eq!((array.shape(), array.data()), (&[2, 2][..], &[1.0, 2.5, -3.0, 40.0][..]));
        }
        for (text, part) in [
            ("1,2\n3", "line 2 has 1 numbers"),
            ("1,x", "'x' is not a number"),
            ("1,2\na,b", "'a' is not a number"),
            ("1,,2", "'' is not a number"),
            ("a,b\n", "no numbers"),
            ("", "no numbers"),
        ] {
            let error = table(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(part), "{text:?}: {error}");
        }
        assert!(table(&[0xff, 0xfe, 0]).unwrap_err().to_string().contains("neither"));
    }

    #[test]
    fn images_take_the_model_s_shape_and_range() {
        let png = |image: DynamicImage| {
            let mut bytes = Cursor::new(Vec::new());
            image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
            bytes.into_inner()
        };
        let port =
            |row: &[usize]| Port { name: "x".into(), shape: [&[1][..], row].concat(), batch: true };
        let rgb = image::RgbImage::from_raw(2, 1, vec![0, 51, 255, 255, 102, 0]).unwrap();
        let bytes = png(DynamicImage::from(rgb));
        let unit = Pixels { range: None, model: [0.0, 1.0] };
        let of = |row: &[usize], pixels| decoded(&bytes, Some((&port(row), pixels)));
        let first = of(&[3, 1, 2], unit).unwrap();
        assert_eq!(first.data(), [0.0, 1.0, 0.2, 0.4, 1.0, 0.0]);
        assert_eq!(first.shape(), [1, 3, 1, 2]);
        assert_eq!(of(&[1, 2, 3], unit).unwrap().data(), [0.0, 0.2, 1.0, 1.0, 0.4, 0.0]);
        let signed = Pixels { range: Some((-1.0, 1.0)), model: [0.0, 7.0] };
        assert_eq!(of(&[1, 2, 3], signed).unwrap().data()[3], 1.0);
        assert_eq!(of(&[3, 2, 4], unit).unwrap().data().len(), 24);
        assert_eq!(of(&[1, 2], unit).unwrap().data().len(), 2);
        let unknown = Pixels { range: None, model: [-2.1, 2.6] };
        assert!(of(&[3, 1, 2], unknown).unwrap_err().to_string().contains("--pixels"));
        assert!(of(&[5, 1, 2], unit).unwrap_err().to_string().contains("no image"));
        assert!(decoded(&bytes, None).is_err());
        for cut in 8..bytes.len() {
            let _error = decoded(&bytes[..cut], Some((&port(&[3, 1, 2]), unit)));
        }
    }
}
