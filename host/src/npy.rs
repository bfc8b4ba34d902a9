//! NumPy's `.npy` format (versions 1–3): C-ordered arrays of numbers, read as `f32`.
//!
//! Format: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>.

use crate::network::Port;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// First bytes of the format.
const MAGIC: &[u8] = b"\x93NUMPY";
/// Largest file that is read.
const MAX_FILE: u64 = 4 << 30;
/// Longest header that is read; NumPy itself warns beyond 10 000.
const MAX_HEADER: usize = 1 << 16;
/// Most dimensions of an array; NumPy's own limit.
const MAX_DIMS: usize = 64;

/// Why an array cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Opening, reading or writing failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The content is not an array that is supported.
    #[error("not a usable .npy file: {0}")]
    Format(String),
    /// The array is fine but has another shape than is needed, although as many numbers.
    #[error(
        "an array of shape {got:?} does not fit: rows of shape {need:?} are needed{}, or flat \
         rows of {} numbers in that order", transposed(need, got), need.iter().product::<usize>()
    )]
    Order {
        /// The shape of one row.
        need: Vec<usize>,
        /// The shape of the array.
        got: Vec<usize>,
    },
    /// The array is fine but has another shape than is needed.
    #[error("{got} do not fit: {need} numbers per row are needed")]
    Shape {
        /// Numbers per row that are needed.
        need: usize,
        /// What the array holds, in words.
        got: String,
    },
}

fn format<T>(what: impl Into<String>) -> Result<T, Error> {
    Err(Error::Format(what.into()))
}

/// The transposition that brings an array of shape `got` to rows of shape `need`, if there is only
/// one.
fn transposed(need: &[usize], got: &[usize]) -> String {
    let from = got.get(1..).unwrap_or_default();
    let places: Option<Vec<usize>> = need
        .iter()
        .map(|d| {
            let mut found = from.iter().enumerate().filter(|(_, other)| *other == d);
            found.next().filter(|_| found.next().is_none()).map(|(i, _)| i + 1)
        })
        .collect();
    match places {
        Some(places) if places.len() == from.len() => {
            let axes: Vec<String> = places.iter().map(usize::to_string).collect();
            format!(" (x.transpose(0, {}) makes them)", axes.join(", "))
        }
        // Height and width are the same, as in most images: the channels tell.
        _ => match (need, from) {
            ([c, a, b], [d, e, f]) if (c, a, b) == (f, d, e) => {
                " (x.transpose(0, 3, 1, 2) makes them of channels that come last)".into()
            }
            ([a, b, c], [d, e, f]) if (a, b, c) == (e, f, d) => {
                " (x.transpose(0, 2, 3, 1) makes them of channels that come first)".into()
            }
            _ => String::new(),
        },
    }
}

/// An array in C order.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    shape: Vec<usize>,
    data: Vec<f32>,
}

impl Array {
    /// An array of this shape; `None` if `data` has another length.
    #[must_use]
    pub fn new(shape: &[usize], data: Vec<f32>) -> Option<Self> {
        (elements(shape)? == data.len()).then(|| Self { shape: shape.to_vec(), data })
    }

    /// The dimensions.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// All numbers.
    #[must_use]
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// Length of the first dimension: how many rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.shape.first().copied().unwrap_or(1)
    }

    /// Product of the other dimensions: numbers in a row.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.shape.get(1..).and_then(elements).unwrap_or(1)
    }

    /// The rows, which must have `len` numbers each. A one-dimensional array of `len` numbers is
    /// one row.
    ///
    /// # Errors
    /// [`Error::Shape`] if the rows have another length.
    pub fn rows_of(&self, len: usize) -> Result<core::slice::ChunksExact<'_, f32>, Error> {
        let single = self.shape.len() <= 1 && self.data.len() == len;
        if len == 0 || (self.columns() != len && !single) {
            return Err(Error::Shape {
                need: len,
                got: format!("rows of an array of shape {:?}", self.shape),
            });
        }
        Ok(self.data.chunks_exact(len))
    }

    /// The rows for a network with these inputs, of `len` numbers in all. An array that is not flat
    /// must have the input's shape, but for dimensions of 1: another order of as many numbers would
    /// be read wrongly.
    ///
    /// # Errors
    /// [`Error::Order`], and those of [`Array::rows_of`].
    pub fn rows_for(
        &self,
        ports: &[Port],
        len: usize,
    ) -> Result<core::slice::ChunksExact<'_, f32>, Error> {
        let [port] = ports else { return self.rows_of(len) };
        let squeezed =
            |shape: &[usize]| shape.iter().copied().filter(|&d| d != 1).collect::<Vec<_>>();
        let row = squeezed(port.row());
        match &self.shape[..] {
            [_] | [] => {}
            // The batch of one row may be missing.
            all if len > 0 && self.data.len() == len && squeezed(all) == row => {
                return Ok(self.data.chunks_exact(len));
            }
            [_, one] if *one == len => {}
            [_, rest @ ..] if squeezed(rest) == row => {}
            all if self.columns() == len || self.data.len() == len => {
                return Err(Error::Order { need: port.row().to_vec(), got: all.to_vec() });
            }
            _ => {}
        }
        self.rows_of(len)
    }
}

/// Product of dimensions, `None` if it does not fit.
fn elements(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1_usize, |n, &d| n.checked_mul(d))
}

/// Reads a file.
///
/// # Errors
/// [`Error::Io`], or [`Error::Format`] with the reason.
pub fn read(path: &Path) -> Result<Array, Error> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        return format("larger than 4 GiB");
    }
    parse(&bytes)
}

/// Reads an array from the bytes of a file. Nothing is allocated before the shape has been held
/// against the length.
///
/// # Errors
/// [`Error::Format`] with the reason.
pub fn parse(bytes: &[u8]) -> Result<Array, Error> {
    let (header, data) = split(bytes)?;
    let header = core::str::from_utf8(header).or_else(|_| format("its header is not text"))?;
    let (descr, shape) = Header(header).read()?;
    let Some(kind) = Kind::of(&descr) else {
        return format(format!(
            "element type '{descr}' is not supported (little-endian f4, f8, i1 to i8, u1 to u8 \
             are): use .astype('float32')"
        ));
    };
    let need = elements(&shape).and_then(|n| n.checked_mul(kind.bytes()));
    if need != Some(data.len()) {
        return format(format!(
            "shape {shape:?} of '{descr}' does not match the {} bytes of data: truncated or \
             damaged",
            data.len()
        ));
    }
    Ok(Array { shape, data: kind.decode(data) })
}

/// Header and data of a file.
fn split(bytes: &[u8]) -> Result<(&[u8], &[u8]), Error> {
    let short = || Error::Format("truncated header".into());
    let Some(rest) = bytes.strip_prefix(MAGIC) else {
        return format("it does not start with \\x93NUMPY");
    };
    let (&[major, _minor], rest) = rest.split_first_chunk().ok_or_else(short)?;
    let (len, rest) = match major {
        1 => rest.split_first_chunk().map(|(n, rest)| (usize::from(u16::from_le_bytes(*n)), rest)),
        2 | 3 => rest.split_first_chunk().map(|(n, rest)| (u32::from_le_bytes(*n) as usize, rest)),
        _ => return format(format!("format version {major} is not known")),
    }
    .ok_or_else(short)?;
    if len > MAX_HEADER {
        return format("its header is too long");
    }
    rest.split_at_checked(len).ok_or_else(short)
}

/// What remains of the header: a Python dictionary literal.
struct Header<'a>(&'a str);

impl<'a> Header<'a> {
    /// Element type and shape.
    fn read(mut self) -> Result<(String, Vec<usize>), Error> {
        let (mut descr, mut fortran, mut shape) = (None, None, None);
        self.expect("{")?;
        while !self.eat("}") {
            let key = self.string()?;
            self.expect(":")?;
            match key {
                "descr" => descr = Some(self.string()?.to_owned()),
                "fortran_order" => fortran = Some(self.boolean()?),
                "shape" => shape = Some(self.tuple()?),
                other => return format(format!("unknown header key '{other}'")),
            }
            if !self.eat(",") {
                self.expect("}")?;
                break;
            }
        }
        let (Some(descr), Some(fortran), Some(shape), "") = (descr, fortran, shape, self.0.trim())
        else {
            return format(
                "its header lacks 'descr', 'fortran_order' or 'shape', or has something after them",
            );
        };
        if fortran && shape.len() > 1 {
            return format("it is in Fortran order: save numpy.ascontiguousarray(x)");
        }
        Ok((descr, shape))
    }

    fn eat(&mut self, token: &str) -> bool {
        let rest = self.0.trim_start().strip_prefix(token);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn expect(&mut self, token: &str) -> Result<(), Error> {
        if self.eat(token) { Ok(()) } else { format(format!("'{token}' is missing in its header")) }
    }

    fn string(&mut self) -> Result<&'a str, Error> {
        let quote = if self.eat("'") {
            '\''
        } else if self.eat("\"") {
            '"'
        } else {
            return format("its header is damaged, or its elements are records");
        };
        let Some((text, rest)) = self.0.split_once(quote) else {
            return format("its header has an open string");
        };
        self.0 = rest;
        Ok(text)
    }

    fn boolean(&mut self) -> Result<bool, Error> {
        if self.eat("True") {
            return Ok(true);
        }
        self.expect("False").map(|()| false)
    }

    fn tuple(&mut self) -> Result<Vec<usize>, Error> {
        self.expect("(")?;
        let mut shape = Vec::new();
        while !self.eat(")") {
            self.0 = self.0.trim_start();
            let digits = self.0.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.0.len());
            let (number, rest) = self.0.split_at(digits);
            let Ok(dim) = number.parse() else { return format("its shape is damaged") };
            shape.push(dim);
            self.0 = rest;
            if shape.len() > MAX_DIMS {
                return format("too many dimensions");
            }
            if !self.eat(",") {
                self.expect(")")?;
                break;
            }
        }
        Ok(shape)
    }
}

/// Element types.
#[derive(Clone, Copy)]
enum Kind {
    F4,
    F8,
    I1,
    I2,
    I4,
    I8,
    U1,
    U2,
    U4,
    U8,
}

impl Kind {
    /// The type of a NumPy description such as `<f4`.
    fn of(descr: &str) -> Option<Self> {
        Some(match descr {
            "<f4" => Self::F4,
            "<f8" => Self::F8,
            "|i1" | "<i1" => Self::I1,
            "<i2" => Self::I2,
            "<i4" => Self::I4,
            "<i8" => Self::I8,
            "|u1" | "<u1" => Self::U1,
            "<u2" => Self::U2,
            "<u4" => Self::U4,
            "<u8" => Self::U8,
            _ => return None,
        })
    }

    const fn bytes(self) -> usize {
        match self {
            Self::I1 | Self::U1 => 1,
            Self::I2 | Self::U2 => 2,
            Self::F4 | Self::I4 | Self::U4 => 4,
            Self::F8 | Self::I8 | Self::U8 => 8,
        }
    }

    fn decode(self, data: &[u8]) -> Vec<f32> {
        fn each<const K: usize>(data: &[u8], number: impl Fn([u8; K]) -> f32) -> Vec<f32> {
            data.as_chunks().0.iter().map(|&b| number(b)).collect()
        }
        match self {
            Self::F4 => each(data, f32::from_le_bytes),
            Self::F8 => each(data, |b| f64::from_le_bytes(b) as f32),
            Self::I1 => each(data, |b| f32::from(i8::from_le_bytes(b))),
            Self::I2 => each(data, |b| f32::from(i16::from_le_bytes(b))),
            Self::I4 => each(data, |b| i32::from_le_bytes(b) as f32),
            Self::I8 => each(data, |b| i64::from_le_bytes(b) as f32),
            Self::U1 => each(data, |b| f32::from(u8::from_le_bytes(b))),
            Self::U2 => each(data, |b| f32::from(u16::from_le_bytes(b))),
            Self::U4 => each(data, |b| u32::from_le_bytes(b) as f32),
            Self::U8 => each(data, |b| u64::from_le_bytes(b) as f32),
        }
    }
}

/// The bytes of a version 1.0 file of `<f4`.
#[must_use]
pub fn emit(array: &Array) -> Vec<u8> {
    let dims: String = array.shape.iter().map(|d| format!("{d}, ")).collect();
    let mut header =
        format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}), }}", dims.trim_end());
    // The data start at a multiple of 64, the header ends with a line feed.
    let before = MAGIC.len() + 4;
    while !(before + header.len() + 1).is_multiple_of(64) {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = Vec::with_capacity(before + header.len() + 4 * array.data.len());
    bytes.extend(MAGIC);
    bytes.extend([1, 0]);
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.bytes());
    bytes.extend(array.data.iter().flat_map(|x| x.to_le_bytes()));
    bytes
}

/// Writes a file of `<f4`.
///
/// # Errors
/// [`Error::Io`].
pub fn write(path: &Path, array: &Array) -> Result<(), Error> {
    Ok(std::fs::write(path, emit(array))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.bytes());
        bytes.extend(data);
        bytes
    }

    #[test]
    fn round_trip_and_every_truncation() {
        for shape in [vec![], vec![3], vec![2, 3], vec![2, 1, 3, 2], vec![0, 5]] {
            let n = shape.iter().product();
            let array = Array::new(&shape, (0..n).map(|i| i as f32 - 1.5).collect()).unwrap();
            let bytes = emit(&array);
            assert_eq!(bytes.len() % 64, (4 * n) % 64);
            assert_eq!(parse(&bytes).unwrap(), array);
            for cut in 0..bytes.len() {
                assert!(parse(&bytes[..cut]).is_err(), "{shape:?} cut at {cut}");
            }
            let longer = [bytes, vec![0]].concat();
            assert!(parse(&longer).is_err());
        }
    }

    #[test]
    fn other_types_and_versions() {
        let header =
            |d: &str| format!("{{\"shape\": (2,), 'fortran_order': True, 'descr': '{d}'}}\n");
        let two = |d: &str, bytes: &[u8]| parse(&file(&header(d), bytes)).unwrap().data().to_vec();
        assert_eq!(
            two("<f8", &[1.5_f64.to_le_bytes(), (-2.0_f64).to_le_bytes()].concat()),
            [1.5, -2.0]
        );
        assert_eq!(two("|i1", &[255, 3]), [-1.0, 3.0]);
        assert_eq!(two("|u1", &[255, 3]), [255.0, 3.0]);
        assert_eq!(two("<i2", &[255, 255, 0, 1]), [-1.0, 256.0]);
        assert_eq!(
            two("<i8", &[(-7_i64).to_le_bytes(), 9_i64.to_le_bytes()].concat()),
            [-7.0, 9.0]
        );
        let mut v2 = b"\x93NUMPY\x02\x00".to_vec();
        v2.extend((header("|u1").len() as u32).to_le_bytes());
        v2.extend(header("|u1").bytes());
        v2.extend([4, 5]);
        assert_eq!(parse(&v2).unwrap().data(), [4.0, 5.0]);
    }

    #[test]
    fn refuses_what_it_cannot_read() {
        let with = |shape: &str, fortran: &str, d: &str| {
            format!("{{'descr': {d}, 'fortran_order': {fortran}, 'shape': {shape}}}")
        };
        let text = |h: &str| parse(&file(h, &[0; 8])).unwrap_err().to_string();
        assert!(text(&with("(2, 1)", "True", "'<f4'")).contains("Fortran"));
        assert!(text(&with("(2,)", "False", "'>f4'")).contains("'>f4'"));
        assert!(text(&with("(2,)", "False", "[('a', '<f4')]")).contains("records"));
        assert!(
            text(&with("(18446744073709551615, 18446744073709551615)", "False", "'<f4'"))
                .contains("does not match")
        );
        assert!(
            text(&with("(4611686018427387906,)", "False", "'<f4'")).contains("does not match"),
            "wraps to 2 elements"
        );
        assert!(text(&with("(99999999999999999999999,)", "False", "'<f4'")).contains("shape"));
        assert!(text(&with("(-1,)", "False", "'<f4'")).contains("shape"));
        assert!(text("{'descr': '<f4'").contains("missing"));
        assert!(text("{'descr").contains("open string"));
        assert!(
            text(&with(&format!("({})", "1,".repeat(100)), "False", "'<f4'"))
                .contains("dimensions")
        );
        assert!(parse(b"\x93NUMPY\x02\x00\xff\xff\xff\xff").is_err());
    }

    #[test]
    fn rows() {
        let array = Array::new(&[2, 3, 2], vec![0.0; 12]).unwrap();
        assert_eq!((array.rows(), array.columns(), array.rows_of(6).unwrap().len()), (2, 6, 2));
        assert!(array.rows_of(12).is_err() && array.rows_of(0).is_err());
        let flat = Array::new(&[4], vec![0.0; 4]).unwrap();
        assert_eq!((flat.rows_of(4).unwrap().len(), flat.rows_of(1).unwrap().len()), (1, 4));
        assert!(flat.rows_of(2).is_err());
    }
}
