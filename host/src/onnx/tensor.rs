//! Constant tensors.

use super::proto::{AttributeProto, TensorProto, data_type};
use crate::network::PerElement;
use minionn_core::plan::{MAX_LEN, View};

/// Numbers of a tensor.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Data {
    /// From floating-point types.
    Float(Vec<f32>),
    /// From integer types and BOOL.
    Int(Vec<i64>),
}

/// A constant tensor in C order.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tensor {
    pub(super) dims: Vec<usize>,
    pub(super) data: Data,
}

/// Product of dimensions, `None` if it does not fit.
pub(super) fn count(dims: &[usize]) -> Option<usize> {
    dims.iter().try_fold(1_usize, |n, &d| n.checked_mul(d))
}

/// The declared shape.
pub(super) fn shape_of(proto: &TensorProto) -> Result<Vec<usize>, String> {
    let dims: Option<Vec<usize>> = proto.dims.iter().map(|&d| usize::try_from(d).ok()).collect();
    dims.ok_or_else(|| format!("its shape {:?} is not valid", proto.dims))
}

/// Bytes of a number of this type, `None` for types that are not read.
pub(super) const fn width_of(kind: i32) -> Option<usize> {
    Some(match kind {
        data_type::DOUBLE | data_type::INT64 | data_type::UINT64 => 8,
        data_type::FLOAT | data_type::INT32 | data_type::UINT32 => 4,
        data_type::UINT16 | data_type::INT16 | data_type::FLOAT16 | data_type::BFLOAT16 => 2,
        data_type::UINT8 | data_type::INT8 | data_type::BOOL => 1,
        _ => return None,
    })
}

impl Tensor {
    /// Reads a tensor. Nothing is allocated before the declared shape has been held against the
    /// data that are there.
    pub(super) fn decode(proto: &TensorProto) -> Result<Self, String> {
        if proto.data_location != 0 {
            return Err(
                "its data are in another file, which is supported for initializers only".into()
            );
        }
        let dims = shape_of(proto)?;
        let width = width_of(proto.data_type).ok_or_else(|| {
            format!(
                "its element type is number {}: only FLOAT, DOUBLE, FLOAT16, BFLOAT16, BOOL and \
                 integers of 8 to 64 bits are supported",
                proto.data_type
            )
        })?;
        let have = match proto.data_type {
            data_type::FLOAT => proto.float_data.len(),
            data_type::DOUBLE => proto.double_data.len(),
            data_type::INT64 => proto.int64_data.len(),
            data_type::UINT32 | data_type::UINT64 => proto.uint64_data.len(),
            _ => proto.int32_data.len(),
        };
        let raw = &proto.raw_data[..];
        let whole = raw.len().is_multiple_of(width);
        let have = if raw.is_empty() { have } else { raw.len() / width };
        if !whole || count(&dims) != Some(have) {
            return Err(format!(
                "its shape {dims:?} does not match the {have} numbers that it holds"
            ));
        }
        Ok(Self { dims, data: numbers(proto) })
    }

    /// The value of a Constant node.
    pub(super) fn of_attribute(attribute: &AttributeProto) -> Result<Self, String> {
        match attribute.name.as_str() {
            "value" => {
                attribute.t.as_ref().map_or_else(|| Err("it has no value".into()), Self::decode)
            }
            "value_float" => Ok(Self { dims: vec![], data: Data::Float(vec![attribute.f]) }),
            "value_int" => Ok(Self { dims: vec![], data: Data::Int(vec![attribute.i]) }),
            "value_floats" => Ok(Self {
                dims: vec![attribute.floats.len()],
                data: Data::Float(attribute.floats.clone()),
            }),
            "value_ints" => Ok(Self::ints_of(attribute.ints.clone())),
            other => Err(format!("its value comes as `{other}`, which is not supported")),
        }
    }

    /// A vector of integers.
    pub(super) fn ints_of(ints: Vec<i64>) -> Self {
        Self { dims: vec![ints.len()], data: Data::Int(ints) }
    }

    pub(super) const fn len(&self) -> usize {
        match &self.data {
            Data::Float(xs) => xs.len(),
            Data::Int(xs) => xs.len(),
        }
    }

    /// The numbers as floats.
    pub(super) fn floats(&self) -> Vec<f32> {
        match &self.data {
            Data::Float(xs) => xs.clone(),
            Data::Int(xs) => xs.iter().map(|&x| x as f32).collect(),
        }
    }

    /// The numbers as floats, without a copy if they are.
    pub(super) fn into_floats(self) -> Vec<f32> {
        match self.data {
            Data::Float(xs) => xs,
            Data::Int(_) => self.floats(),
        }
    }

    /// The numbers, exact.
    pub(super) fn numbers(&self) -> Vec<f64> {
        match &self.data {
            Data::Float(xs) => xs.iter().map(|&x| f64::from(x)).collect(),
            Data::Int(xs) => xs.iter().map(|&x| x as f64).collect(),
        }
    }

    /// Other numbers of the same kind, whole ones cut off.
    pub(super) fn with(&self, dims: Vec<usize>, numbers: Vec<f64>) -> Self {
        let data = match &self.data {
            Data::Float(_) => Data::Float(numbers.into_iter().map(|x| x as f32).collect()),
            Data::Int(_) => Data::Int(numbers.into_iter().map(|x| x as i64).collect()),
        };
        Self { dims, data }
    }

    /// Other numbers of the same kind and shape.
    pub(super) fn like(&self, numbers: Vec<f64>) -> Self {
        self.with(self.dims.clone(), numbers)
    }

    /// The only number of a scalar, whatever its rank.
    pub(super) fn scalar(&self) -> Result<f64, String> {
        match (&self.data, self.len()) {
            (Data::Float(xs), 1) => Ok(xs.iter().copied().map(f64::from).sum()),
            (Data::Int(xs), 1) => Ok(xs.iter().sum::<i64>() as f64),
            _ => Err(format!("one number is needed, its shape is {:?}", self.dims)),
        }
    }

    /// The numbers as integers.
    pub(super) fn ints(&self) -> Result<&[i64], String> {
        match &self.data {
            Data::Int(xs) => Ok(xs),
            Data::Float(_) => Err("integers are needed, it holds floats".into()),
        }
    }

    /// A tensor of shape `dims` with elements copied from others, `fill` where nothing is copied
    /// to; integers if all of them are.
    pub(super) fn assembled(dims: Vec<usize>, fill: f64, parts: &[(&Self, Vec<View>)]) -> Self {
        fn copy<T: Copy>(from: &[T], to: &mut [T], views: &[View]) {
            for view in views {
                view.for_each(|i, j| {
                    if let (Some(&x), Some(y)) = (from.get(i), to.get_mut(j)) {
                        *y = x;
                    }
                });
            }
        }
        let len = count(&dims).unwrap_or(0);
        if let [(tensor, views)] = parts
            && tensor.len() == len
            && views[..] == [View::whole(len as u32)]
        {
            return Self { dims, data: tensor.data.clone() };
        }
        let data = if !parts.is_empty() && parts.iter().all(|(tensor, _)| tensor.ints().is_ok()) {
            let mut all = vec![fill as i64; len];
            parts.iter().for_each(|(tensor, views)| {
                copy(tensor.ints().unwrap_or_default(), &mut all, views)
            });
            Data::Int(all)
        } else {
            let mut all = vec![fill as f32; len];
            for (tensor, views) in parts {
                match &tensor.data {
                    Data::Float(xs) => copy(xs, &mut all, views),
                    Data::Int(_) => copy(&tensor.floats(), &mut all, views),
                }
            }
            Data::Float(all)
        };
        Self { dims, data }
    }

    /// A number for every element of a tensor of shape `to`, by NumPy's broadcasting; refused if
    /// that would enlarge `to`.
    pub(super) fn broadcast(&self, to: &[usize]) -> Result<PerElement, String> {
        let wrong = format!("a constant of shape {:?} does not broadcast to {to:?}", self.dims);
        let extra = self.dims.len().saturating_sub(to.len());
        let (leading, dims) = self.dims.split_at(extra);
        let aligned = to.get(to.len() - dims.len()..).unwrap_or_default();
        let fits = dims.iter().zip(aligned).all(|(&d, &t)| d == 1 || d == t);
        if leading.iter().any(|&d| d != 1) || !fits {
            return Err(wrong);
        }
        let numbers = self.numbers();
        if let [x, rest @ ..] = &numbers[..]
            && rest.iter().all(|y| x == y)
        {
            return Ok(PerElement::One(*x));
        }
        let len = count(to).filter(|&n| n <= MAX_LEN as usize).ok_or(wrong)?;
        Ok(PerElement::Each(
            (0..len)
                .map(|i| numbers.get(source(i, dims, aligned)).copied().unwrap_or(f64::NAN))
                .collect(),
        ))
    }
}

/// Index into a constant of shape `dims` for element `i` of a tensor whose last dimensions are
/// `to`.
pub(super) fn source(mut i: usize, dims: &[usize], to: &[usize]) -> usize {
    let (mut index, mut stride) = (0, 1);
    for (&d, &t) in dims.iter().zip(to).rev() {
        if d != 1 {
            index += stride * (i % t);
        }
        stride *= d;
        i /= t;
    }
    index
}

/// A number of 16 bits: one of sign, five of exponent, ten of fraction.
fn half(bits: u16) -> f32 {
    let (exponent, fraction) = (bits >> 10 & 31, f32::from(bits & 1023));
    let size = match exponent {
        0 => fraction * 2f32.powi(-24),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        e => (1024.0 + fraction) * 2f32.powi(i32::from(e) - 25),
    };
    if bits >> 15 == 0 { size } else { -size }
}

/// The upper half of a number of 32 bits.
fn brain(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// Larger integers than this are of no use anywhere.
fn clamped(x: u64) -> i64 {
    i64::try_from(x).unwrap_or(i64::MAX)
}

/// The numbers, wherever they are.
fn numbers(proto: &TensorProto) -> Data {
    fn each<T, const K: usize>(raw: &[u8], number: impl Fn([u8; K]) -> T) -> Vec<T> {
        raw.as_chunks().0.iter().map(|&b| number(b)).collect()
    }
    let raw = &proto.raw_data[..];
    // Narrow types share a field; their bits are the lower ones.
    let narrow = |number: fn(u16) -> f32| {
        Data::Float(proto.int32_data.iter().map(|&x| number(x as u16)).collect())
    };
    match (proto.data_type, raw.is_empty()) {
        (data_type::FLOAT, true) => Data::Float(proto.float_data.clone()),
        (data_type::FLOAT, false) => Data::Float(each(raw, f32::from_le_bytes)),
        (data_type::DOUBLE, true) => {
            Data::Float(proto.double_data.iter().map(|&x| x as f32).collect())
        }
        (data_type::DOUBLE, false) => Data::Float(each(raw, |b| f64::from_le_bytes(b) as f32)),
        (data_type::FLOAT16, true) => narrow(half),
        (data_type::FLOAT16, false) => Data::Float(each(raw, |b| half(u16::from_le_bytes(b)))),
        (data_type::BFLOAT16, true) => narrow(brain),
        (data_type::BFLOAT16, false) => Data::Float(each(raw, |b| brain(u16::from_le_bytes(b)))),
        (data_type::INT64, true) => Data::Int(proto.int64_data.clone()),
        (data_type::INT64, false) => Data::Int(each(raw, i64::from_le_bytes)),
        (data_type::UINT32 | data_type::UINT64, true) => {
            Data::Int(proto.uint64_data.iter().map(|&x| clamped(x)).collect())
        }
        (data_type::UINT64, false) => Data::Int(each(raw, |b| clamped(u64::from_le_bytes(b)))),
        (data_type::UINT32, false) => Data::Int(each(raw, |b| i64::from(u32::from_le_bytes(b)))),
        (data_type::INT32, false) => Data::Int(each(raw, |b| i64::from(i32::from_le_bytes(b)))),
        (data_type::INT16, false) => Data::Int(each(raw, |b| i64::from(i16::from_le_bytes(b)))),
        (data_type::UINT16, false) => Data::Int(each(raw, |b| i64::from(u16::from_le_bytes(b)))),
        (data_type::INT8, false) => {
            Data::Int(raw.iter().map(|&b| i64::from(b.cast_signed())).collect())
        }
        (_, true) => Data::Int(proto.int32_data.iter().map(|&x| i64::from(x)).collect()),
        (_, false) => Data::Int(raw.iter().map(|&b| i64::from(b)).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(dims: &[usize]) -> Tensor {
        Tensor {
            dims: dims.to_vec(),
            data: Data::Float((0..count(dims).unwrap()).map(|i| i as f32).collect()),
        }
    }

    #[test]
    fn broadcasts_as_numpy_does() {
        let each = |from: &[usize], to: &[usize]| match tensor(from).broadcast(to) {
            Ok(PerElement::Each(xs)) => xs,
            other => panic!("{other:?}"),
        };
        assert_eq!(tensor(&[1, 1]).broadcast(&[1, 4]), Ok(PerElement::One(0.0)));
        assert_eq!(each(&[4], &[1, 4]), [0.0, 1.0, 2.0, 3.0]);
        assert_eq!(each(&[1, 2, 1, 1], &[1, 2, 1, 3]), [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
        assert_eq!(each(&[2, 1], &[2, 3]), [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
        assert_eq!(each(&[2, 3], &[1, 2, 3]), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        for (from, to) in [(&[3][..], &[1, 4][..]), (&[2, 4], &[1, 4]), (&[2, 1, 4], &[1, 4])] {
            assert!(tensor(from).broadcast(to).is_err(), "{from:?} {to:?}");
        }
    }

    #[test]
    fn numbers_of_16_bits() {
        for (bits, value) in [
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65504.0),
            (1, 2f32.powi(-24)),
            (0x3555, 0.333_251_95),
            (0, 0.0),
        ] {
            assert_eq!(half(bits), value);
        }
        assert!(half(0x7c01).is_nan() && half(0xfc00) == f32::NEG_INFINITY);
        assert_eq!((brain(0x3f80), brain(0xc040)), (1.0, -3.0));
    }

    #[test]
    fn narrow_integers_keep_their_sign() {
        let proto = |data_type| TensorProto {
            dims: vec![2],
            data_type,
            raw_data: vec![255, 1],
            ..Default::default()
        };
        assert_eq!(Tensor::decode(&proto(data_type::INT8)).unwrap().data, Data::Int(vec![-1, 1]));
        assert_eq!(Tensor::decode(&proto(data_type::UINT8)).unwrap().data, Data::Int(vec![255, 1]));
    }

    #[test]
    fn refuses_shapes_that_do_not_match() {
        let proto = |dims: &[i64], raw: usize| TensorProto {
            dims: dims.to_vec(),
            data_type: 1,
            raw_data: vec![0; raw],
            ..Default::default()
        };
        assert!(Tensor::decode(&proto(&[2, 2], 16)).is_ok());
        for (dims, raw) in [
            (&[2, 2][..], 15),
            (&[2, 3], 16),
            (&[-2, -2], 16),
            (&[1 << 40, 1 << 40], 16),
            (&[i64::MAX], 0),
            (&[0, 4], 16),
        ] {
            assert!(Tensor::decode(&proto(dims, raw)).is_err(), "{dims:?}");
        }
    }
}
