//! Constant tensors.

use super::proto::{AttributeProto, TensorProto, data_type};
use crate::network::PerElement;
use minionn_core::plan::MAX_LEN;

/// Numbers of a tensor.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Data {
    /// From FLOAT or DOUBLE.
    Float(Vec<f32>),
    /// From INT32, INT64 or BOOL.
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

/// ONNX's number of BOOL: only Dropout's `training_mode` has it.
const BOOL: i32 = 9;

impl Tensor {
    /// Reads a tensor. Nothing is allocated before the declared shape has been held against the data that are there.
    pub(super) fn decode(proto: &TensorProto) -> Result<Self, String> {
        if proto.data_location != 0 {
            return Err("its data are in another file: save the model with all tensors inside".into());
        }
        let dims: Option<Vec<usize>> = proto.dims.iter().map(|&d| usize::try_from(d).ok()).collect();
        let dims = dims.ok_or_else(|| format!("its shape {:?} is not valid", proto.dims))?;
        let raw = &proto.raw_data[..];
        let (have, width) = match proto.data_type {
            data_type::FLOAT => (proto.float_data.len(), 4),
            data_type::DOUBLE => (proto.double_data.len(), 8),
            data_type::INT32 => (proto.int32_data.len(), 4),
            data_type::INT64 => (proto.int64_data.len(), 8),
            BOOL => (proto.int32_data.len(), 1),
            other => return Err(format!("its element type is number {other}: only FLOAT, DOUBLE, INT32 and INT64 are supported")),
        };
        let whole = raw.len().is_multiple_of(width);
        let have = if raw.is_empty() { have } else { raw.len() / width };
        if !whole || count(&dims) != Some(have) {
            return Err(format!("its shape {dims:?} does not match the {have} numbers that it holds"));
        }
        Ok(Self { dims, data: numbers(proto) })
    }

    /// The value of a Constant node.
    pub(super) fn of_attribute(attribute: &AttributeProto) -> Result<Self, String> {
        match attribute.name.as_str() {
            "value" => attribute.t.as_ref().map_or_else(|| Err("it has no value".into()), Self::decode),
            "value_float" => Ok(Self { dims: vec![], data: Data::Float(vec![attribute.f]) }),
            "value_int" => Ok(Self { dims: vec![], data: Data::Int(vec![attribute.i]) }),
            "value_floats" => Ok(Self { dims: vec![attribute.floats.len()], data: Data::Float(attribute.floats.clone()) }),
            "value_ints" => Ok(Self { dims: vec![attribute.ints.len()], data: Data::Int(attribute.ints.clone()) }),
            other => Err(format!("its value comes as `{other}`, which is not supported")),
        }
    }

    /// The numbers as floats.
    pub(super) fn floats(self) -> Vec<f32> {
        match self.data {
            Data::Float(xs) => xs,
            Data::Int(xs) => xs.iter().map(|&x| x as f32).collect(),
        }
    }

    /// The numbers as integers.
    pub(super) fn ints(&self) -> Result<&[i64], String> {
        match &self.data {
            Data::Int(xs) => Ok(xs),
            Data::Float(_) => Err("integers are needed, it holds floats".into()),
        }
    }

    /// Rows and columns.
    pub(super) fn matrix(&self) -> Result<(usize, usize), String> {
        match *self.dims {
            [rows, columns] if rows > 0 && columns > 0 => Ok((rows, columns)),
            _ => Err(format!("the weights must be a matrix, their shape is {:?}", self.dims)),
        }
    }

    /// Exchanges rows and columns.
    pub(super) fn transposed(self) -> Result<Self, String> {
        let (rows, columns) = self.matrix()?;
        fn turn<T: Copy>(xs: &[T], rows: usize, columns: usize) -> Vec<T> {
            (0..columns).flat_map(|j| xs.iter().skip(j).step_by(columns).take(rows).copied()).collect()
        }
        let data = match &self.data {
            Data::Float(xs) => Data::Float(turn(xs, rows, columns)),
            Data::Int(xs) => Data::Int(turn(xs, rows, columns)),
        };
        Ok(Self { dims: vec![columns, rows], data })
    }

    /// A number for every element of a tensor of shape `to`, by NumPy's broadcasting; refused if that would enlarge `to`.
    pub(super) fn broadcast(self, to: &[usize]) -> Result<PerElement, String> {
        let (dims, wrong) = (self.dims.clone(), format!("a constant of shape {:?} does not broadcast to {to:?}", self.dims));
        let numbers: Vec<f64> = self.floats().into_iter().map(f64::from).collect();
        let extra = dims.len().saturating_sub(to.len());
        let (leading, dims) = dims.split_at(extra);
        let aligned = to.get(to.len() - dims.len()..).unwrap_or_default();
        let fits = dims.iter().zip(aligned).all(|(&d, &t)| d == 1 || d == t);
        if leading.iter().any(|&d| d != 1) || !fits {
            return Err(wrong);
        }
        if let [x] = *numbers {
            return Ok(PerElement::One(x));
        }
        let len = count(to).filter(|&n| n <= MAX_LEN as usize).ok_or(wrong)?;
        Ok(PerElement::Each((0..len).map(|i| numbers.get(source(i, dims, aligned)).copied().unwrap_or(f64::NAN)).collect()))
    }
}

/// Index into a constant of shape `dims` for element `i` of a tensor whose last dimensions are `to`.
fn source(mut i: usize, dims: &[usize], to: &[usize]) -> usize {
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

/// The numbers, wherever they are.
fn numbers(proto: &TensorProto) -> Data {
    fn each<T, const K: usize>(raw: &[u8], number: impl Fn([u8; K]) -> T) -> Vec<T> {
        raw.as_chunks().0.iter().map(|&b| number(b)).collect()
    }
    let raw = &proto.raw_data[..];
    match (proto.data_type, raw.is_empty()) {
        (data_type::FLOAT, true) => Data::Float(proto.float_data.clone()),
        (data_type::FLOAT, false) => Data::Float(each(raw, f32::from_le_bytes)),
        (data_type::DOUBLE, true) => Data::Float(proto.double_data.iter().map(|&x| x as f32).collect()),
        (data_type::DOUBLE, false) => Data::Float(each(raw, |b| f64::from_le_bytes(b) as f32)),
        (data_type::INT64, true) => Data::Int(proto.int64_data.clone()),
        (data_type::INT64, false) => Data::Int(each(raw, i64::from_le_bytes)),
        (data_type::INT32, false) => Data::Int(each(raw, |b| i64::from(i32::from_le_bytes(b)))),
        (_, true) => Data::Int(proto.int32_data.iter().map(|&x| i64::from(x)).collect()),
        (_, false) => Data::Int(raw.iter().map(|&b| i64::from(b)).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(dims: &[usize]) -> Tensor {
        Tensor { dims: dims.to_vec(), data: Data::Float((0..count(dims).unwrap()).map(|i| i as f32).collect()) }
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
    fn transposes() {
        let t = tensor(&[2, 3]).transposed().unwrap();
        assert_eq!(t, Tensor { dims: vec![3, 2], data: Data::Float(vec![0.0, 3.0, 1.0, 4.0, 2.0, 5.0]) });
    }

    #[test]
    fn refuses_shapes_that_do_not_match() {
        let proto =
            |dims: &[i64], raw: usize| TensorProto { dims: dims.to_vec(), data_type: 1, raw_data: vec![0; raw], ..Default::default() };
        assert!(Tensor::decode(&proto(&[2, 2], 16)).is_ok());
        for (dims, raw) in [(&[2, 2][..], 15), (&[2, 3], 16), (&[-2, -2], 16), (&[1 << 40, 1 << 40], 16), (&[i64::MAX], 0), (&[0, 4], 16)] {
            assert!(Tensor::decode(&proto(dims, raw)).is_err(), "{dims:?}");
        }
    }
}
